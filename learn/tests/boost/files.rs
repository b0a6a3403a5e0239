//! Models of XGBoost are read and ours by it, and damaged ones are refused.

use super::*;
use escala_learn::Error;
use std::process::Command;

#[test]
fn models_of_xgboost_predict_what_it_predicts() {
    for case in cases() {
        let expected = case.told["predictions"].as_array().unwrap();
        for ending in ["ubj", "json"] {
            if !golden().join(format!("{}.{ending}", case.name())).exists() {
                continue;
            }
            let model = case.model(ending);
            assert_eq!(model.columns(), Some(case.train.columns()));
            let found = predicted(&model, &case.held);
            assert!(found.len() >= expected.len());
            for (found, expected) in found.iter().zip(expected) {
                let expected = expected.as_f64().unwrap() as f32;
                assert!(
                    close(*found, expected, CLOSE),
                    "{}.{ending}: {found} {expected}",
                    case.name()
                );
            }
        }
    }
}

#[test]
fn models_of_older_versions_are_read_too() {
    let told = std::fs::read(golden().join("older.json")).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    let models = told["models"].as_array().unwrap();
    assert_eq!(models.len(), 3);
    for model in models {
        let case = case(model["case"].as_str().unwrap());
        let file = model["file"].as_str().unwrap();
        let read = Boosted::read(&std::fs::read(golden().join(file)).unwrap()).unwrap();
        let found = predicted(&read, &case.held);
        let expected = model["predictions"].as_array().unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let expected = expected.as_f64().unwrap() as f32;
            assert!(close(*found, expected, CLOSE), "{file}: {found} {expected}");
        }
    }
}

#[test]
fn dense_and_sparse_rows_alone_and_together_have_the_same_answers() {
    let case = case("softmax_sparse");
    let model = case.model("ubj");
    let together = predicted(&model, &case.held);
    let Features::Sparse(csr) = &case.held.features else {
        panic!("dense");
    };
    for (row, expected) in together.iter().enumerate() {
        let mut values = vec![f32::NAN; csr.columns];
        let (columns, own) = csr.row(row);
        for (column, value) in columns.iter().zip(own) {
            values[*column as usize] = *value;
        }
        let alone = Table::dense(csr.columns, values).unwrap();
        assert_eq!(predicted(&model, &alone), [*expected]);
    }
    for columns in [csr.columns - 1, csr.columns + 1] {
        let other = Table::dense(columns, vec![0.0; columns]).unwrap();
        assert!(matches!(model.predict(&other), Err(Error::Input(_))));
    }
}

#[test]
fn a_model_is_the_same_after_it_was_left_in_a_folder() {
    let case = case("softprob");
    let model = case.model("json");
    let folder = tempfile::tempdir().unwrap();
    let open = || Xgboost.open(folder.path());
    assert!(
        open()
            .err()
            .unwrap()
            .to_string()
            .contains("neither xgboost-model nor")
    );
    model.write(folder.path()).unwrap();
    let kept = open().unwrap();
    assert_eq!(predicted(&*kept, &case.held), predicted(&model, &case.held));
    for (name, bytes) in [
        ("a.json", model.json()),
        ("a.ubj", model.json()),
        ("a.bst", model.ubj()),
        ("a.model", model.ubj()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), bytes).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not a model").unwrap();
        let kept = Xgboost.open(folder.path()).unwrap();
        assert_eq!(predicted(&*kept, &case.held), predicted(&model, &case.held));
        std::fs::write(folder.path().join("b.json"), model.json()).unwrap();
        assert!(
            Xgboost
                .open(folder.path())
                .err()
                .unwrap()
                .to_string()
                .contains("2 files")
        );
    }
    for (bytes, part) in [
        (b"binf\x00\x00".to_vec(), "older XGBoost"),
        (b"\x80\x04\x95".to_vec(), "pickle"),
        (Vec::new(), "neither JSON"),
        (b"{}".to_vec(), "there is no learner"),
    ] {
        std::fs::write(folder.path().join("xgboost-model"), bytes).unwrap();
        let error = open().err().unwrap().to_string();
        assert!(
            error.contains(part) && error.contains("xgboost-model"),
            "{error}"
        );
    }
}

/// A model that says which of its rounds was the best answers with those up to it, as XGBoost's scikit-learn classes do.
#[test]
fn rounds_behind_the_best_one_do_not_answer() {
    let case = case("softprob");
    let trained = |rounds: &str| case.trained(&[("num_round", rounds)], &mut Seen::default());
    let (short, long) = (trained("3"), trained("6"));
    assert_ne!(predicted(&short, &case.held), predicted(&long, &case.held));
    for (best, expected) in [("2", &short), ("5", &long), ("70", &long), ("x", &long)] {
        let mut told: Value = serde_json::from_slice(&long.json()).unwrap();
        told["learner"]["attributes"]["best_iteration"] = best.into();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.json"), told.to_string()).unwrap();
        let opened = Xgboost.open(folder.path()).unwrap();
        assert_eq!(
            predicted(&*opened, &case.held),
            predicted(expected, &case.held),
            "{best}"
        );
    }
}

/// Where values of a name begin in a document.
fn places(bytes: &[u8], name: &str) -> Vec<usize> {
    let name = name.as_bytes();
    let found = bytes
        .windows(name.len())
        .enumerate()
        .filter(|(_, window)| *window == name);
    found.map(|(at, _)| at + name.len()).collect()
}

#[test]
fn damaged_files_are_refused_or_predict_and_never_panic() {
    let case = case("softprob");
    let categories = self::case("categories");
    let mut state = 11u64;
    let mut random = move |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let mut refused = 0;
    let mut tried = 0;
    let of_trees = [
        "left_children",
        "right_children",
        "split_indices",
        "num_nodes",
        "categories",
        "base_score",
    ];
    let of_weights = [
        "weights",
        "boosted_rounds",
        "num_feature",
        "num_class",
        "base_score",
    ];
    let of_drops = ["weight_drop", "tree_info", "iteration_indptr", "num_trees"];
    let (steps, drops) = (self::case("linear_classes"), self::case("dropped_forest"));
    for (case, names, bytes) in [
        (&case, of_trees.as_slice(), case.model("ubj").ubj()),
        (&case, &of_trees, case.model("ubj").json()),
        (&categories, &of_trees, categories.model("json").ubj()),
        (&categories, &of_trees, categories.model("json").json()),
        (&steps, &of_weights, steps.model("ubj").ubj()),
        (&steps, &of_weights, steps.model("ubj").json()),
        (&drops, &of_drops, drops.model("ubj").ubj()),
        (&drops, &of_drops, drops.model("ubj").json()),
    ] {
        for round in 0..4000 {
            let mut bytes = bytes.clone();
            // Numbers that say where others are would make it go round and round: half of the damage is done there.
            let near = places(&bytes, names[random(names.len())]);
            for _ in 0..1 + random(3) {
                let at = match round % 2 {
                    0 => near[random(near.len())] + random(24),
                    _ => random(bytes.len()),
                };
                let at = at.min(bytes.len() - 1);
                match random(4) {
                    0 => bytes[at] ^= 1 << random(8),
                    1 => bytes[at] = [0, 1, 2, 0x7f, 0xff, b'1', b'9', b'-', b','][random(9)],
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"0123456789-[]{},\"L$#"[random(20)]),
                }
            }
            tried += 1;
            match Boosted::read(&bytes) {
                Err(why) => {
                    assert!(!why.is_empty());
                    refused += 1;
                }
                Ok(model) => match model.predict(&case.held) {
                    Ok(_) | Err(Error::Input(_)) => drop(model.ubj()),
                    Err(other) => panic!("{other}"),
                },
            }
        }
    }
    // Some damage is a number of another size, and no more.
    assert!(
        refused > tried / 4 && refused < tried,
        "{refused} of {tried}"
    );
}

#[test]
fn nodes_that_go_round_or_are_not_there_are_refused() {
    let model = case("squared").model("json").json();
    let change = |name: &str, place: usize, to: Value| {
        let mut model: Value = serde_json::from_slice(&model).unwrap();
        model["learner"]["gradient_booster"]["model"]["trees"][0][name][place] = to;
        Boosted::read(model.to_string().as_bytes()).err()
    };
    for (name, place, to, part) in [
        ("left_children", 1, Value::from(0), "not there"),
        ("left_children", 1, Value::from(1), "two parents"),
        ("right_children", 1, Value::from(2), "two parents"),
        ("right_children", 0, Value::from(1_000_000), "not there"),
        ("left_children", 0, Value::from(-1), "not there"),
        ("split_indices", 0, Value::from(10), "column 10 of 10"),
        ("split_indices", 0, Value::from(-1), "column -1"),
        ("default_left", 0, Value::from("left"), "default_left"),
        ("split_conditions", 0, Value::Null, "split_conditions"),
    ] {
        let why = change(name, place, to).unwrap();
        assert!(
            why.contains("tree 0") && why.contains(part),
            "{name}: {why}"
        );
    }
    assert_eq!(change("left_children", 0, Value::from(1)), None);
}

#[test]
fn xgboost_reads_what_is_written_here() {
    let folder = tempfile::tempdir().unwrap();
    let mut list = Vec::new();
    for case in cases() {
        let models = match case.is("only") {
            true => vec![("read", case.model("ubj"))],
            false => vec![
                ("read", case.model("ubj")),
                ("trained", case.trained(&[], &mut Seen::default())),
            ],
        };
        for (how, model) in models {
            let name = format!("{}_{how}", case.name());
            std::fs::write(folder.path().join(format!("{name}.json")), model.json()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.ubj")), model.ubj()).unwrap();
            let features = match &case.held.features {
                Features::Dense { columns, values } => (*columns, values.clone()),
                Features::Sparse(csr) => {
                    let mut values = vec![f32::NAN; csr.columns * case.held.rows()];
                    for (row, places) in values.chunks_mut(csr.columns).enumerate() {
                        let (columns, own) = csr.row(row);
                        columns
                            .iter()
                            .zip(own)
                            .for_each(|(column, value)| places[*column as usize] = *value);
                    }
                    (csr.columns, values)
                }
            };
            let write = |ending: &str, numbers: &[f32]| {
                let bytes: Vec<u8> = numbers.iter().flat_map(|one| one.to_le_bytes()).collect();
                std::fs::write(folder.path().join(format!("{name}.{ending}")), bytes).unwrap();
            };
            write("x", &features.1);
            write("predicted", &predicted(&model, &case.held));
            list.push(serde_json::json!({"name": name, "columns": features.0, "categories": case.is("categories")}));
        }
    }
    std::fs::write(
        folder.path().join("list.json"),
        Value::from(list).to_string(),
    )
    .unwrap();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let python = venv::interpreter("boost-venv", &tests.join("clients/requirements.txt"));
    let script = tests.join("clients/boost.py");
    venv::checks(Command::new(python).arg(script).arg(folder.path()));
}
