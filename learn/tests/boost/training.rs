//! What is learned is what XGBoost learns, in any number of threads and after any interruption, and what is not done is refused.

use super::*;
use escala_learn::Error;

/// What a model learned, without what does not matter: the text of base scores and nodes' numbers that XGBoost leaves unset.
/// Trees, and numbers beside them: what each tree counts, or the weights of a linear model.
fn learned(model: &Boosted) -> (Vec<Value>, Vec<f32>) {
    let model: Value = serde_json::from_slice(&model.json()).expect("JSON");
    let booster = &model["learner"]["gradient_booster"];
    let numbers = |list: &Value| {
        let list = list.as_array().expect("a list").iter();
        list.map(|one| one.as_f64().expect("a number") as f32)
            .collect()
    };
    let trees = |model: &Value| model["trees"].as_array().expect("a list").clone();
    match booster["name"].as_str() {
        Some("gblinear") => (Vec::new(), numbers(&booster["model"]["weights"])),
        Some("dart") => (
            trees(&booster["gbtree"]["model"]),
            numbers(&booster["weight_drop"]),
        ),
        _ => (trees(&booster["model"]), Vec::new()),
    }
}

#[test]
fn training_grows_the_trees_of_xgboost() {
    for case in cases() {
        if case.is("only") || case.is("drawn") {
            continue;
        }
        let mut seen = Seen::default();
        let model = case.trained(&[], &mut seen);
        let ((found, numbers), (expected, others)) = (learned(&model), learned(&case.model("ubj")));
        assert_eq!(found.len(), expected.len(), "{}", case.name());
        assert_eq!(numbers.len(), others.len(), "{}", case.name());
        // A round of steps hands what it rounded off to the next.
        let within = if found.is_empty() { 1e-3 } else { CLOSE };
        for (place, (found, expected)) in numbers.iter().zip(&others).enumerate() {
            assert!(
                close(*found, *expected, within),
                "{} {place}: {found} {expected}",
                case.name()
            );
        }
        for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
            for same in [
                "left_children",
                "right_children",
                "parents",
                "split_indices",
                "default_left",
                "tree_param",
            ] {
                assert_eq!(
                    found[same],
                    expected[same],
                    "{} {place} {same}",
                    case.name()
                );
            }
            for near in [
                "split_conditions",
                "base_weights",
                "loss_changes",
                "sum_hessian",
            ] {
                let of = |tree: &Value| -> Vec<f32> {
                    let list = tree[near].as_array().unwrap().iter();
                    list.map(|one| one.as_f64().unwrap() as f32).collect()
                };
                let leaves = expected["left_children"].as_array().unwrap();
                for (node, (found, expected)) in of(found).iter().zip(of(expected)).enumerate() {
                    // Thresholds are cuts, which are the same; the rest are sums.
                    let is_cut = near == "split_conditions" && leaves[node] != -1;
                    let within = if is_cut { 0.0 } else { 1e-5 };
                    assert!(
                        close(*found, expected, within),
                        "{} {place} {near} {node}: {found} {expected}",
                        case.name()
                    );
                }
            }
        }
        for (name, expected) in case.told["metrics"].as_object().unwrap() {
            let found = &seen.metrics[name];
            let expected = expected.as_array().unwrap();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                let expected = expected.as_f64().unwrap();
                assert!(
                    close(*found as f32, expected as f32, 1e-5),
                    "{} {name}: {found} {expected}",
                    case.name()
                );
            }
        }
        assert_eq!(
            seen.metrics.len(),
            case.told["metrics"].as_object().unwrap().len()
        );
    }
}

#[test]
fn rounds_are_told_as_the_container_tells_them() {
    let case = case("binary_missing");
    let mut seen = Seen::default();
    case.trained(&[], &mut seen);
    let value = |name: &str| case.told["metrics"][name][0].as_f64().unwrap();
    let mut expected = String::from("[0]");
    for channel in ["train", "validation"] {
        for metric in ["error", "error@0.3", "auc", "aucpr", "logloss"] {
            expected += &format!(
                "\t{channel}-{metric}:{:.5}",
                value(&format!("{channel}:{metric}"))
            );
        }
    }
    let rounds: Vec<&String> = seen
        .lines
        .iter()
        .filter(|line| line.starts_with('['))
        .collect();
    assert_eq!(*rounds[0], expected);
    assert_eq!(rounds.len(), 8);
    assert_eq!(seen.done, 8);
}

#[test]
fn scores_of_the_container_are_those_of_scikit_learn() {
    let mut compared = 0;
    for case in cases() {
        let Some(scores) = case.told["scores"].as_object() else {
            continue;
        };
        let names: Vec<&str> = scores.keys().map(String::as_str).collect();
        let mut seen = Seen::default();
        case.trained(&[("eval_metric", &names.join(","))], &mut seen);
        for (name, expected) in scores {
            let found = *seen.metrics[&format!("validation:{name}")].last().unwrap();
            let expected = expected.as_f64().unwrap();
            assert!(
                close(found as f32, expected as f32, 1e-5),
                "{} {name}: {found} {expected}",
                case.name()
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 11 + 8 + 2 + 11);
}

#[test]
fn what_is_drawn_is_as_good_as_what_xgboost_draws() {
    for name in ["drawn", "drawn_drops"] {
        compare_what_is_drawn(&case(name));
    }
}

fn compare_what_is_drawn(case: &Case) {
    let of = |losses: &[f64]| {
        let count = losses.len() as f64;
        let mean = losses.iter().sum::<f64>() / count;
        let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let told = case.told["losses"]
        .as_array()
        .expect("as the script wrote it")
        .iter();
    let (expected, spread) = of(&told
        .map(|one| one.as_f64().expect("as the script wrote it"))
        .collect::<Vec<f64>>());
    let losses = (0..16).map(|seed| {
        let mut seen = Seen::default();
        case.trained(&[("seed", &seed.to_string())], &mut seen);
        *seen.metrics["validation:logloss"]
            .last()
            .expect("as the script wrote it")
    });
    let (found, own) = of(&losses.collect::<Vec<f64>>());
    // Seeds differ; means of as many do, by chance, by less than four deviations.
    let within = 4.0 * (spread + own).sqrt();
    assert!(
        (found - expected).abs() < within,
        "{found} {expected} {within}"
    );
}

/// Cases that draw rows and columns, have classes, missing and sparse values, medians and several trees a round.
fn varied() -> Vec<(Case, Vec<(&'static str, &'static str)>)> {
    let drawing = vec![
        ("subsample", "0.6"),
        ("colsample_bynode", "0.7"),
        ("seed", "5"),
    ];
    vec![
        (case("drawn"), vec![]),
        (case("softmax_sparse"), drawing.clone()),
        (case("weighted_absolute"), vec![("num_parallel_tree", "2")]),
        (case("by_loss"), drawing.clone()),
        (
            case("squared"),
            vec![
                ("num_round", "60"),
                ("early_stopping_rounds", "4"),
                ("eta", "0.8"),
                ("eval_metric", "rmse"),
            ],
        ),
        (case("formula"), drawing),
        (case("drawn_drops"), vec![]),
        (case("linear_missing"), vec![]),
        (case("hazards"), vec![("subsample", "0.8")]),
    ]
}

#[test]
fn any_number_of_threads_gives_the_same_model() {
    for (case, more) in varied() {
        let mut models = Vec::new();
        for threads in ["1", "2", "5"] {
            let more = [more.as_slice(), &[("nthread", threads)]].concat();
            models.push(case.trained(&more, &mut Seen::default()).ubj());
        }
        assert!(
            models.iter().all(|model| *model == models[0]),
            "{}",
            case.name()
        );
        let other = [more.as_slice(), &[("eta", "0.2")]].concat();
        assert_ne!(case.trained(&other, &mut Seen::default()).ubj(), models[0]);
    }
}

#[test]
fn what_goes_on_from_a_checkpoint_ends_as_what_was_not_disturbed() {
    for (case, more) in varied() {
        let mut whole = Seen::default();
        let undisturbed = case.trained(&more, &mut whole);
        let mut first = Seen {
            stop: Some(2.min(whole.done - 1)),
            ..Seen::default()
        };
        case.trained(&more, &mut first);
        assert!(first.done < whole.done, "{}", case.name());
        let mut second = Seen {
            resume: first.kept.clone(),
            ..Seen::default()
        };
        let resumed = case.trained(&more, &mut second);
        assert!(resumed.ubj() == undisturbed.ubj(), "{}", case.name());
        for (name, all) in &whole.metrics {
            let both = [first.metrics[name].as_slice(), &second.metrics[name]].concat();
            assert_eq!(both, *all, "{} {name}", case.name());
        }
        // One of another training, or a damaged one, is said to be of no use.
        let kept = first.kept.unwrap();
        let half = kept[..kept.len() / 2].to_vec();
        for (bad, more) in [
            (half, more.clone()),
            (kept, [more.as_slice(), &[("base_score", "0.3")]].concat()),
        ] {
            let mut alone = Seen::default();
            let mut seen = Seen {
                resume: Some(bad),
                ..Seen::default()
            };
            let model = case.trained(&more, &mut seen);
            assert!(model.ubj() == case.trained(&more, &mut alone).ubj());
            assert!(
                seen.lines.iter().any(|line| line.contains("checkpoint")),
                "{:?}",
                seen.lines
            );
        }
    }
}

#[test]
fn stopping_before_the_first_round_leaves_nothing() {
    let case = case("squared");
    let mut seen = Seen {
        stop: Some(0),
        ..Seen::default()
    };
    let stopped = Boosted::train(&case.parameters(&[]), &case.channels(), &mut seen);
    assert!(matches!(stopped, Err(Error::Stopped)));
}

#[test]
fn training_stops_when_the_last_metric_gets_no_better() {
    let case = case("squared");
    let more = [
        ("num_round", "200"),
        ("early_stopping_rounds", "5"),
        ("eval_metric", "rmse,mae"),
        ("eta", "0.5"),
    ];
    let mut seen = Seen::default();
    let model = case.trained(&more, &mut seen);
    let scores = &seen.metrics["validation:mae"];
    let best = (0..scores.len())
        .min_by(|a, b| scores[*a].total_cmp(&scores[*b]))
        .unwrap();
    assert_eq!(scores.len(), best + 6);
    let kept: Value = serde_json::from_slice(&model.json()).unwrap();
    assert_eq!(learned(&model).0.len(), best + 1);
    assert_eq!(
        kept["learner"]["attributes"]["best_iteration"],
        best.to_string()
    );
    let rest = predicted(&model, &case.held);
    let labels = case.held.labels.as_deref().unwrap();
    let mae = rest
        .iter()
        .zip(labels)
        .map(|(one, label)| f64::from((one - label).abs()))
        .sum::<f64>()
        / rest.len() as f64;
    assert!(
        (mae - scores[best]).abs() < 1e-4 * mae,
        "{mae} {}",
        scores[best]
    );

    let mut channels = case.channels();
    channels.test = channels.validation.take();
    let mut seen = Seen::default();
    Boosted::train(&case.parameters(&more[1..]), &channels, &mut seen).unwrap();
    assert!(
        seen.lines
            .iter()
            .any(|line| line.contains("no validation channel"))
    );
    assert_eq!(seen.done, 8);
    assert_eq!(seen.metrics["test:rmse"].len(), 1);
}

#[test]
fn what_a_linear_model_has_no_use_for_is_said() {
    let case = case("linear");
    let mut seen = Seen::default();
    case.trained(&[("max_depth", "4"), ("subsample", "0.5")], &mut seen);
    let said = "max_depth, subsample are of trees, and booster gblinear has none";
    assert!(
        seen.lines.iter().any(|line| line == said),
        "{:?}",
        seen.lines
    );
    let mut plain = Seen::default();
    case.trained(&[], &mut plain);
    assert_eq!(plain.metrics, seen.metrics);
}

#[test]
fn what_changes_nothing_may_be_said() {
    let case = case("squared");
    let trained = |more: &[(&'static str, &'static str)]| {
        let folder = tempfile::tempdir().unwrap();
        let model = Boosted::train(
            &case.parameters(more),
            &case.channels(),
            &mut Seen::default(),
        );
        model.unwrap().write(folder.path()).unwrap();
        std::fs::read(folder.path().join("xgboost-model")).unwrap()
    };
    let said = [
        ("refresh_leaf", "1"),
        ("sample_type", "uniform"),
        ("normalize_type", "tree"),
        ("rate_drop", "0.0"),
        ("one_drop", "0"),
        ("skip_drop", "0"),
        ("sketch_eps", "0.03"),
        ("single_precision_histogram", "true"),
        ("use_dask_gpu_training", "false"),
        ("tree_method", "gpu_hist"),
    ];
    assert!(trained(&said) == trained(&[]));
}

#[test]
fn what_is_not_done_is_refused_with_a_sentence() {
    let case = case("squared");
    for (more, part) in [
        (
            vec![("booster", "gblinear"), ("updater", "sync")],
            "only shotgun or coord_descent",
        ),
        (
            vec![("booster", "dart"), ("updater", "shotgun")],
            "only grow_quantile_histmaker",
        ),
        (
            vec![("objective", "rank:pairwise")],
            "rank:pairwise is not learned",
        ),
        (
            vec![("objective", "survival:aft")],
            "survival:aft is not learned",
        ),
        (vec![("sampling_method", "gradient_based")], "only uniform"),
        (vec![("process_type", "update")], "only default"),
        (vec![("rate_drop", "0.5")], "rate_drop is of booster dart"),
        (vec![("refresh_leaf", "0")], "refresh_leaf"),
        (vec![("use_dask_gpu_training", "true")], "use_dask"),
        (vec![("eval_metric", "ndcg")], "ndcg is not measured"),
        (vec![("eval_metric", "mlogloss")], "several classes"),
        (
            vec![("objective", "multi:softmax")],
            "needs hyperparameter num_class",
        ),
        (vec![("num_class", "3")], "num_class is of multi:softmax"),
        (
            vec![("eta", "0.1"), ("learning_rate", "0.2")],
            "both are set",
        ),
        (vec![("max_depth", "0")], "trees need a limit"),
        (vec![("monotone_constraints", "(2)")], "like (1,0,-1)"),
        (
            vec![("interaction_constraints", "[[99]]")],
            "names column 99",
        ),
        (
            vec![("objective", "binary:logistic")],
            "[0,1] for logistic regression",
        ),
        (
            vec![
                ("objective", "multi:softprob"),
                ("num_class", "2"),
                ("eval_metric", "merror"),
            ],
            "num_class",
        ),
        (
            vec![("objective", "binary:logistic"), ("base_score", "2")],
            "a label is",
        ),
        (
            vec![("objective", "reg:gamma"), ("base_score", "-1")],
            "base_score must be above 0",
        ),
    ] {
        let error = Boosted::train(
            &case.parameters(&more),
            &case.channels(),
            &mut Seen::default(),
        );
        let error = error
            .err()
            .unwrap_or_else(|| panic!("{more:?} was done"))
            .to_string();
        assert!(error.contains(part), "{more:?}: {error}");
    }
    type Spoil = fn(&mut Channels);
    let broken: [(&str, Spoil); 5] = [
        ("no labels", |channels| channels.train.labels = None),
        ("infinite", |channels| {
            if let Features::Dense { values, .. } = &mut channels.train.features {
                values[3] = f32::INFINITY;
            }
        }),
        ("a label is NaN", |channels| {
            if let Some(labels) = &mut channels.train.labels {
                labels[0] = f32::NAN;
            }
        }),
        ("must not be negative", |channels| {
            channels.train.weights = Some(vec![-1.0; channels.train.rows()])
        }),
        ("columns", |channels| {
            channels.validation = Some(
                Table::dense(1, vec![0.0])
                    .unwrap()
                    .labelled(vec![0.0])
                    .unwrap(),
            );
        }),
    ];
    for (part, spoil) in broken {
        let mut channels = case.channels();
        spoil(&mut channels);
        let error = Boosted::train(&case.parameters(&[]), &channels, &mut Seen::default());
        let error = error.err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn tables_of_one_row_or_without_values_are_learned() {
    for features in [
        Features::Dense {
            columns: 2,
            values: vec![1.0, f32::NAN],
        },
        Features::Dense {
            columns: 1,
            values: vec![f32::NAN; 7],
        },
        Features::Sparse(Csr {
            columns: 100,
            starts: vec![0; 4],
            ..Csr::default()
        }),
    ] {
        let rows = features.rows();
        let train = Table::new(features).labelled(vec![2.5; rows]).unwrap();
        let channels = Channels {
            train: train.clone(),
            validation: None,
            test: None,
        };
        let parameters = Parameters::read(Xgboost.parameters(), [("num_round", "3")]).unwrap();
        let model = Xgboost
            .train(&parameters, &channels, &mut Seen::default())
            .unwrap();
        assert_eq!(predicted(&*model, &train), vec![2.5; rows]);
    }
}
