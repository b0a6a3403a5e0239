//! Boosting beside XGBoost 3.2.0: models that it trained are read and predict what it predicted, training comes to the same
//! trees and metrics, and it reads the models that are written here. `golden/boost.py` made what is compared with.

#[allow(dead_code)] // other tests use the rest
#[path = "../../tests/common/venv.rs"]
mod venv;

use escala_learn::boost::{Boosted, Xgboost};
use escala_learn::{
    Algorithm, Channels, Csr, Error, Features, Model, Parameters, Table, Values, Watch,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What XGBoost and Escala compute in 32 bits is in other orders here and there.
const CLOSE: f32 = 1e-6;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/boost")
}

struct Case {
    told: Value,
    train: Table,
    held: Table,
}

impl Case {
    fn name(&self) -> &str {
        self.told["name"].as_str().expect("as the script wrote it")
    }

    fn is(&self, how: &str) -> bool {
        self.told["how"]
            .as_array()
            .expect("as the script wrote it")
            .iter()
            .any(|one| one == how)
    }

    fn model(&self, ending: &str) -> Boosted {
        let path = golden().join(format!("{}.{ending}", self.name()));
        Boosted::read(&std::fs::read(path).expect("as the script wrote it"))
            .expect("as the script wrote it")
    }

    fn parameters(&self, more: &[(&str, &str)]) -> Parameters {
        let told = self.told["parameters"]
            .as_object()
            .expect("as the script wrote it");
        let told = told.iter().map(|(name, text)| {
            (
                name.as_str(),
                text.as_str().expect("as the script wrote it"),
            )
        });
        Parameters::read(Xgboost.parameters(), told.chain(more.iter().copied()))
            .expect("as the script wrote it")
    }

    fn channels(&self) -> Channels {
        Channels {
            train: self.train.clone(),
            validation: Some(self.held.clone()),
            test: None,
        }
    }

    fn trained(&self, more: &[(&str, &str)], watch: &mut Seen) -> Boosted {
        Boosted::train(&self.parameters(more), &self.channels(), watch)
            .expect("as the script wrote it")
    }
}

fn numbers(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("as the script wrote it");
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

fn cases() -> Vec<Case> {
    let told = std::fs::read(golden().join("cases.json")).expect("as the script wrote it");
    let told: Value = serde_json::from_slice(&told).expect("as the script wrote it");
    let tables = &told["tables"];
    told["cases"]
        .as_array()
        .expect("as the script wrote it")
        .iter()
        .map(|case| read(case, tables))
        .collect()
}

fn case(name: &str) -> Case {
    cases()
        .into_iter()
        .find(|case| case.name() == name)
        .expect("as the script wrote it")
}

fn read(told: &Value, tables: &Value) -> Case {
    let table = told["table"].as_str().expect("as the script wrote it");
    let of = |name: &str| {
        tables[table][name]
            .as_u64()
            .expect("as the script wrote it") as usize
    };
    let (rows, columns) = (of("rows"), of("columns"));
    let file = numbers(&golden().join(format!("{table}.f32")));
    let (mut values, labels) = match table {
        "formula" => {
            let value = |at: u64| ((at * 2_654_435_761 % (1 << 32)) >> 8) as f32;
            ((0..(rows * columns) as u64).map(value).collect(), file)
        }
        _ => {
            let labels = told["labels"]
                .as_array()
                .expect("as the script wrote it")
                .iter();
            (
                file,
                labels
                    .map(|label| label.as_f64().expect("as the script wrote it") as f32)
                    .collect(),
            )
        }
    };
    assert_eq!((values.len(), labels.len()), (rows * columns, rows));
    let how = |name: &str| {
        told["how"]
            .as_array()
            .expect("as the script wrote it")
            .iter()
            .any(|one| one == name)
    };
    if how("missing") {
        for (at, value) in values.iter_mut().enumerate() {
            if (7 * (at / columns) + 3 * (at % columns)) % 11 == 0 {
                *value = f32::NAN;
            }
        }
    }
    let part = |held: bool| {
        let chosen: Vec<usize> = (0..rows).filter(|row| (row % 4 == 0) == held).collect();
        let own = chosen
            .iter()
            .flat_map(|row| &values[row * columns..(row + 1) * columns]);
        let features = match how("sparse") {
            false => Features::Dense {
                columns,
                values: own.copied().collect(),
            },
            true => Features::Sparse(sparse(columns, &own.copied().collect::<Vec<f32>>())),
        };
        let mut table = Table::new(features)
            .labelled(chosen.iter().map(|row| labels[*row]).collect())
            .expect("as the script wrote it");
        if how("weighted") {
            table.weights = Some(chosen.iter().map(|row| 0.5 + (row % 5) as f32).collect());
        }
        table
    };
    Case {
        train: part(false),
        held: part(true),
        told: told.clone(),
    }
}

fn sparse(columns: usize, values: &[f32]) -> Csr {
    let mut csr = Csr {
        columns,
        starts: vec![0],
        ..Csr::default()
    };
    for row in values.chunks(columns) {
        for (column, value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            csr.indices.push(column as u32);
            csr.values.push(*value);
        }
        csr.starts.push(csr.values.len());
    }
    csr
}

/// Remembers what was told, stops after some rounds, and keeps checkpoints.
#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    metrics: BTreeMap<String, Vec<f64>>,
    done: u64,
    stop: Option<u64>,
    kept: Option<Vec<u8>>,
    resume: Option<Vec<u8>>,
}

impl Watch for Seen {
    fn log(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    fn metric(&mut self, name: &str, value: f64) {
        self.metrics.entry(name.to_owned()).or_default().push(value);
    }

    fn progress(&mut self, done: u64, total: u64) {
        assert!(
            done == self.done + 1 || self.done == 0,
            "{done} after {}",
            self.done
        );
        assert!(done <= total);
        self.done = done;
    }

    fn stopped(&mut self) -> bool {
        self.stop == Some(self.done)
    }

    fn checkpoint(&mut self, bytes: &mut dyn FnMut() -> Vec<u8>) {
        self.kept = Some(bytes());
    }

    fn resume(&mut self) -> Option<Vec<u8>> {
        self.resume.take()
    }
}

fn predicted(model: &dyn Model, table: &Table) -> Vec<f32> {
    let answers = model.predict(table).expect("rows of the same columns");
    assert_eq!(answers.list, "predictions");
    let [field] = answers.fields.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(field.name, "score");
    match &field.values {
        Values::Numbers(values) => {
            assert_eq!(values.len(), table.rows());
            values.clone()
        }
        Values::Vectors { width, values } => {
            assert_eq!(values.len(), table.rows() * width);
            values.clone()
        }
        Values::Whole(_) => panic!("{answers:?}"),
    }
}

/// Within a part of what is expected; what is near 0 is the rest of sums that cancel each other, as exact as those.
fn close(found: f32, expected: f32, within: f32) -> bool {
    found == expected || (found - expected).abs() <= within * expected.abs().max(0.02)
}

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

/// A model without what does not matter: the text of base scores and nodes' numbers that XGBoost leaves unset.
fn trees(model: &Boosted) -> Vec<Value> {
    let model: Value = serde_json::from_slice(&model.json()).expect("JSON");
    let trees = &model["learner"]["gradient_booster"]["model"]["trees"];
    trees.as_array().expect("a list").clone()
}

#[test]
fn training_grows_the_trees_of_xgboost() {
    for case in cases() {
        if case.is("only") || case.is("drawn") {
            continue;
        }
        let mut seen = Seen::default();
        let model = case.trained(&[], &mut seen);
        let (found, expected) = (trees(&model), trees(&case.model("ubj")));
        assert_eq!(found.len(), expected.len(), "{}", case.name());
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
    let case = case("drawn");
    let of = |losses: &[f64]| {
        let count = losses.len() as f64;
        let mean = losses.iter().sum::<f64>() / count;
        let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let told = case.told["losses"].as_array().unwrap().iter();
    let (expected, spread) = of(&told.map(|one| one.as_f64().unwrap()).collect::<Vec<f64>>());
    let losses = (0..16).map(|seed| {
        let mut seen = Seen::default();
        case.trained(&[("seed", &seed.to_string())], &mut seen);
        *seen.metrics["validation:logloss"].last().unwrap()
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
    assert_eq!(trees(&model).len(), best + 1);
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
        (vec![("booster", "dart")], "only gbtree"),
        (vec![("booster", "gblinear")], "only gbtree"),
        (
            vec![("objective", "rank:pairwise")],
            "rank:pairwise is not learned",
        ),
        (
            vec![("objective", "survival:cox")],
            "survival:cox is not learned",
        ),
        (vec![("sampling_method", "gradient_based")], "only uniform"),
        (vec![("process_type", "update")], "only default"),
        (vec![("rate_drop", "0.5")], "rate_drop"),
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
    for (case, bytes) in [
        (&case, case.model("ubj").ubj()),
        (&case, case.model("ubj").json()),
        (&categories, categories.model("json").ubj()),
        (&categories, categories.model("json").json()),
    ] {
        for round in 0..4000 {
            let mut bytes = bytes.clone();
            // Numbers of nodes are where what is wrong would go round and round: half of the damage is done there.
            let names = [
                "left_children",
                "right_children",
                "split_indices",
                "num_nodes",
                "categories",
                "base_score",
            ];
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
