//! linear-learner against scikit-learn's linear models, of `golden/linear.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use escala_learn::linear::LinearLearner;
use escala_learn::{Algorithm, Channels, Error, Table};
use support::{Looker, channels, field, golden, numbers, parameters, rows, sparse, split};

const BINARY: (&str, &str) = ("predictor_type", "binary_classifier");
const REGRESSOR: (&str, &str) = ("predictor_type", "regressor");
/// To the very end, as the reference.
const LONG: [(&str, &str); 2] = [("epochs", "200"), ("early_stopping_tolerance", "1e-9")];

fn run(given: &[(&str, &str)], channels: &Channels) -> (escala_learn::linear::Linear, Looker) {
    let mut looker = Looker::default();
    let model = LinearLearner
        .fit(&parameters(&LinearLearner, given), channels, &mut looker)
        .unwrap();
    (model, looker)
}

fn near(got: f64, expected: f64, margin: f64) {
    assert!(
        (got - expected).abs() <= margin,
        "{got} is not {expected} within {margin}"
    );
}

fn with_test(train: &Table, test: &Table) -> Channels {
    Channels {
        test: Some(test.clone()),
        ..channels(train)
    }
}

#[test]
fn two_classes_are_told_as_by_logistic_regression() {
    let golden = &golden("linear")["cancer"];
    let (train, test) = split("cancer");
    let mut given = vec![
        BINARY,
        (
            "binary_classifier_model_selection_criteria",
            "loss_function",
        ),
    ];
    given.extend(LONG);
    let (model, looker) = run(&given, &with_test(&train, &test));
    near(
        looker.last("train:objective_loss"),
        golden["train_loss"].as_f64().unwrap(),
        1e-5,
    );
    near(
        looker.last("test:objective_loss"),
        golden["test_loss"].as_f64().unwrap(),
        1e-4,
    );
    near(
        looker.last("test:binary_classification_accuracy"),
        golden["test_accuracy"].as_f64().unwrap(),
        1e-6,
    );
    near(
        looker.last("test:roc_auc_score"),
        golden["area"].as_f64().unwrap(),
        1e-4,
    );
    let scores = field(
        &escala_learn::Model::predict(&model, &test).unwrap(),
        "score",
    );
    let expected = numbers(&golden["chances"]);
    for (score, expected) in scores.iter().zip(expected.iter().skip(1).step_by(2)) {
        near(f64::from(*score), *expected, 1e-3);
    }
}

#[test]
fn many_classes_are_told_as_by_logistic_regression() {
    for (name, classes) in [("wine", "3"), ("digits", "10")] {
        let golden = &golden("linear")[name];
        let (train, test) = split(name);
        let mut given = vec![
            ("predictor_type", "multiclass_classifier"),
            ("num_classes", classes),
        ];
        given.extend(LONG);
        let (model, looker) = run(&given, &with_test(&train, &test));
        near(
            looker.last("train:objective_loss"),
            golden["train_loss"].as_f64().unwrap(),
            1e-4,
        );
        near(
            looker.last("test:multiclass_accuracy"),
            golden["test_accuracy"].as_f64().unwrap(),
            1e-6,
        );
        near(
            looker.last("test:macro_f_beta"),
            golden["f1"].as_f64().unwrap(),
            1e-6,
        );
        let scores = field(
            &escala_learn::Model::predict(&model, &test).unwrap(),
            "score",
        );
        for (score, expected) in scores.iter().zip(numbers(&golden["chances"])) {
            near(f64::from(*score), expected, 2e-3);
        }
        assert!(
            looker.last("test:multiclass_top_k_accuracy")
                >= looker.last("test:multiclass_accuracy")
        );
    }
}

#[test]
fn defaults_in_one_run_are_as_good_as_the_reference() {
    for (name, given, metric) in [
        (
            "cancer",
            vec![BINARY],
            "test:binary_classification_accuracy",
        ),
        (
            "wine",
            vec![
                ("predictor_type", "multiclass_classifier"),
                ("num_classes", "3"),
            ],
            "test:multiclass_accuracy",
        ),
        (
            "digits",
            vec![
                ("predictor_type", "multiclass_classifier"),
                ("num_classes", "10"),
            ],
            "test:multiclass_accuracy",
        ),
    ] {
        let golden = &golden("linear")[name];
        let (train, test) = split(name);
        let (_, looker) = run(&given, &with_test(&train, &test));
        let reference = golden["test_accuracy"].as_f64().unwrap();
        // A hundredth: one or two rows of the smallest table.
        assert!(
            looker.last(metric) >= reference - 0.011,
            "{name}: {} {reference}",
            looker.last(metric)
        );
    }
}

#[test]
fn numbers_are_told_as_by_least_squares() {
    let golden = &golden("linear")["diabetes"];
    let (train, test) = split("diabetes");
    for (what, wd) in [("plain", "0"), ("ridge", "auto")] {
        let (model, looker) = run(&[REGRESSOR, ("wd", wd)], &with_test(&train, &test));
        let said = field(
            &escala_learn::Model::predict(&model, &test).unwrap(),
            "score",
        );
        for (said, expected) in said.iter().zip(numbers(&golden[what]["said"])) {
            near(f64::from(*said), expected, 2e-3);
        }
        near(
            looker.last("test:mse"),
            golden[what]["mse"].as_f64().unwrap(),
            0.1,
        );
    }
}

#[test]
fn sparse_rows_and_searched_weights_are_as_dense_and_solved_ones() {
    let (train, test) = split("diabetes");
    let (dense, _) = run(&[REGRESSOR], &channels(&train));
    let mut given = vec![REGRESSOR];
    given.extend(LONG);
    // Sparse tables have no normal equations here.
    let (searched, _) = run(&given, &channels(&sparse(&train)));
    let say = |model: &escala_learn::linear::Linear, table: &Table| {
        field(
            &escala_learn::Model::predict(model, table).unwrap(),
            "score",
        )
    };
    for (a, b) in say(&dense, &test)
        .iter()
        .zip(say(&searched, &sparse(&test)))
    {
        near(f64::from(*a), f64::from(b), 0.05);
    }
    let (train, test) = split("digits");
    let given = [
        ("predictor_type", "multiclass_classifier"),
        ("num_classes", "10"),
    ];
    let (dense, _) = run(&given, &channels(&train));
    let (other, _) = run(&given, &channels(&sparse(&train)));
    for (a, b) in say(&dense, &test).iter().zip(say(&other, &sparse(&test))) {
        near(f64::from(*a), f64::from(b), 0.02);
    }
}

#[test]
fn quantiles_are_as_by_linear_programming() {
    let golden = &golden("linear")["diabetes"]["quantile"];
    let (train, test) = split("diabetes");
    let mut given = vec![
        REGRESSOR,
        ("loss", "quantile_loss"),
        ("quantile", "0.8"),
        ("wd", "0"),
    ];
    given.extend(LONG);
    let (model, _) = run(&given, &channels(&train));
    let said = field(
        &escala_learn::Model::predict(&model, &test).unwrap(),
        "score",
    );
    // The optimum is flat: predictions are near (labels go from 25 to 346), the loss is the same.
    for (said, expected) in said.iter().zip(numbers(&golden["said"])) {
        near(f64::from(*said), expected, 12.0);
    }
    let said = field(
        &escala_learn::Model::predict(&model, &train).unwrap(),
        "score",
    );
    let labels = train.labels.as_ref().unwrap();
    let mean = labels.iter().sum::<f32>() / labels.len() as f32;
    let deviation =
        (labels.iter().map(|one| (one - mean).powi(2)).sum::<f32>() / labels.len() as f32).sqrt();
    let loss: f32 = said
        .iter()
        .zip(labels)
        .map(|(said, label)| ((label - said) * if label > said { 0.8 } else { -0.2 }) / deviation)
        .sum::<f32>()
        / labels.len() as f32;
    near(
        f64::from(loss),
        golden["train_pinball"].as_f64().unwrap(),
        1e-3,
    );
}

#[test]
fn weights_are_drawn_to_zero_as_by_the_reference() {
    for name in ["cancer", "wine"] {
        let golden = &golden("linear")[name]["l1"];
        let (train, _) = split(name);
        let mut given = vec![("l1", "0.01"), ("wd", "0")];
        match name {
            "cancer" => given.push(BINARY),
            _ => given.extend([
                ("predictor_type", "multiclass_classifier"),
                ("num_classes", "3"),
            ]),
        }
        given.extend(LONG);
        let (model, looker) = run(&given, &channels(&train));
        near(
            looker.last("train:objective_loss"),
            golden["train_loss"].as_f64().unwrap(),
            2e-4,
        );
        let zeros = model
            .weights()
            .iter()
            .filter(|weight| **weight == 0.0)
            .count() as f64;
        near(zeros, golden["zeros"].as_f64().unwrap(), 1.0);
    }
}

#[test]
fn every_loss_and_optimizer_learns() {
    let (train, test) = split("diabetes");
    let plain = golden("linear")["diabetes"]["plain"]["mse"]
        .as_f64()
        .unwrap();
    for loss in [
        "squared_loss",
        "absolute_loss",
        "eps_insensitive_squared_loss",
        "eps_insensitive_absolute_loss",
        "huber_loss",
    ] {
        let (_, looker) = run(&[REGRESSOR, ("loss", loss)], &with_test(&train, &test));
        assert!(
            looker.last("test:mse") < 1.06 * plain,
            "{loss}: {} {plain}",
            looker.last("test:mse")
        );
    }
    for optimizer in ["sgd", "adam", "rmsprop"] {
        let given = [
            REGRESSOR,
            ("optimizer", optimizer),
            ("mini_batch_size", "32"),
            ("epochs", "60"),
        ];
        let (_, looker) = run(&given, &with_test(&train, &test));
        assert!(
            looker.last("test:mse") < 1.06 * plain,
            "{optimizer}: {} {plain}",
            looker.last("test:mse")
        );
    }
    let (train, test) = split("cancer");
    let (model, looker) = run(&[BINARY, ("loss", "hinge_loss")], &with_test(&train, &test));
    assert!(looker.last("test:binary_classification_accuracy") > 0.95);
    // No probabilities.
    let scores = field(
        &escala_learn::Model::predict(&model, &test).unwrap(),
        "score",
    );
    assert!(scores.iter().any(|score| *score < 0.0));
}

/// Epochs that bring nothing end a training, the sooner the less patience there is and the more must be gained.
#[test]
fn training_ends_early_where_nothing_is_gained() {
    let (train, _) = split("cancer");
    let epochs = |more: &[(&str, &str)]| {
        let mut given = vec![
            BINARY,
            ("optimizer", "adam"),
            ("learning_rate", "0.05"),
            ("mini_batch_size", "50"),
            ("epochs", "120"),
        ];
        given.extend(more);
        let (_, looker) = run(&given, &channels(&train));
        let told = looker.metrics.iter();
        told.filter(|(name, _)| name == "train:objective_loss")
            .count()
    };
    let never = epochs(&[("early_stopping_patience", "1000")]);
    assert!(never >= 120, "{never}");
    let patient = epochs(&[("early_stopping_patience", "6")]);
    let plain = epochs(&[]);
    let much = epochs(&[("early_stopping_tolerance", "0.5")]);
    assert!(
        much < plain && plain < patient && patient < never,
        "{much} {plain} {patient} {never}"
    );
}

#[test]
fn the_best_of_many_models_is_kept() {
    let (train, test) = split("digits");
    let part = rows(&train, |row| row % 5 != 0);
    let looked = rows(&train, |row| row % 5 == 0);
    let all = Channels {
        train: part,
        validation: Some(looked),
        test: Some(test),
    };
    let given = [
        ("predictor_type", "multiclass_classifier"),
        ("num_classes", "10"),
    ];
    let (_, many) = run(&given, &all);
    let (_, single) = run(&[given[0], given[1], ("num_models", "1")], &all);
    assert!(many.log[0].contains("8 models"), "{:?}", many.log);
    assert!(
        many.last("validation:objective_loss") <= single.last("validation:objective_loss") + 1e-6
    );
}

#[test]
fn thresholds_hold_what_they_promise() {
    let (train, test) = split("cancer");
    let all = Channels {
        validation: Some(test.clone()),
        ..channels(&train)
    };
    let name = "binary_classifier_model_selection_criteria";
    let (_, looker) = run(
        &[
            BINARY,
            (name, "precision_at_target_recall"),
            ("target_recall", "0.99"),
        ],
        &all,
    );
    assert!(looker.last("validation:recall") >= 0.99);
    let (_, looker) = run(
        &[
            BINARY,
            (name, "recall_at_target_precision"),
            ("target_precision", "0.99"),
        ],
        &all,
    );
    assert!(looker.last("validation:precision") >= 0.99);
    // The other class counts: more of class 1 are found.
    let recall = |factor| {
        let given = [
            BINARY,
            (name, "loss_function"),
            ("positive_example_weight_mult", factor),
        ];
        run(&given, &all).1.last("validation:recall")
    };
    assert!(recall("0.01") < recall("1.0"));
    assert!(recall("100") >= recall("1.0"));
    assert!(recall("balanced") > 0.9 && recall("auto") > 0.9);
}

#[test]
fn training_goes_on_from_every_checkpoint() {
    let (train, test) = split("cancer");
    for given in [
        vec![
            BINARY,
            ("l1", "0.001"),
            ("early_stopping_tolerance", "1e-9"),
        ],
        vec![BINARY, ("loss", "hinge_loss")],
        vec![BINARY, ("optimizer", "adam"), ("mini_batch_size", "50")],
        vec![
            BINARY,
            ("optimizer", "sgd"),
            ("mini_batch_size", "64"),
            ("epochs", "4"),
        ],
    ] {
        let all = Channels {
            validation: Some(test.clone()),
            ..channels(&train)
        };
        let (whole, looker) = run(&given, &all);
        assert!(!looker.checkpoints.is_empty());
        for checkpoint in &looker.checkpoints {
            let mut again = Looker {
                from: Some(checkpoint.clone()),
                ..Looker::default()
            };
            let model = LinearLearner
                .fit(&parameters(&LinearLearner, &given), &all, &mut again)
                .unwrap();
            assert_eq!(model, whole);
        }
        let mut damaged = looker.checkpoints[0].clone();
        let half = damaged.len() / 2;
        damaged.truncate(half);
        let mut again = Looker {
            from: Some(damaged),
            ..Looker::default()
        };
        let model = LinearLearner
            .fit(&parameters(&LinearLearner, &given), &all, &mut again)
            .unwrap();
        assert_eq!(model, whole);
        assert!(again.log.iter().any(|line| line.contains("begins anew")));
    }
}

#[test]
fn a_stop_leaves_what_was_learned() {
    let (train, test) = split("digits");
    let given = [
        ("predictor_type", "multiclass_classifier"),
        ("num_classes", "10"),
    ];
    let mut looker = Looker {
        patience: Some(12),
        ..Looker::default()
    };
    LinearLearner
        .fit(
            &parameters(&LinearLearner, &given),
            &with_test(&train, &test),
            &mut looker,
        )
        .unwrap();
    assert!(looker.last("test:multiclass_accuracy") > 0.8);
}

#[test]
fn a_stop_before_the_first_pass_leaves_nothing() {
    let (train, _) = split("cancer");
    let mut looker = Looker {
        patience: Some(0),
        ..Looker::default()
    };
    let stopped = LinearLearner.fit(
        &parameters(&LinearLearner, &[BINARY]),
        &channels(&train),
        &mut looker,
    );
    assert!(matches!(stopped, Err(Error::Stopped)));
}

#[test]
fn threads_change_nothing() {
    let (train, _) = split("digits");
    let given = [
        ("predictor_type", "multiclass_classifier"),
        ("num_classes", "10"),
    ];
    let models: Vec<_> = [1, 2, 5]
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| run(&given, &channels(&train)).0)
        })
        .into();
    assert!(models.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn models_are_read_as_they_were_written() {
    let (train, test) = split("wine");
    let given = [
        ("predictor_type", "multiclass_classifier"),
        ("num_classes", "3"),
    ];
    let (model, _) = run(&given, &channels(&train));
    let folder = tempfile::tempdir().unwrap();
    escala_learn::Model::write(&model, folder.path()).unwrap();
    let opened = LinearLearner.open(folder.path()).unwrap();
    assert_eq!(opened.columns(), Some(13));
    assert_eq!(
        opened.predict(&test).unwrap(),
        escala_learn::Model::predict(&model, &test).unwrap()
    );
    let narrow = Table::dense(2, vec![1.0, 2.0]).unwrap();
    let error = opened.predict(&narrow).unwrap_err().to_string();
    assert_eq!(
        error,
        "rows have 2 columns, and the model was trained with 13"
    );
}

#[test]
fn what_cannot_be_learned_is_said() {
    let table = |labels: Vec<f32>| {
        Table::dense(1, vec![1.0, 2.0])
            .unwrap()
            .labelled(labels)
            .unwrap()
    };
    let refused = |given: &[(&str, &str)], table: &Table| {
        let parameters = parameters(&LinearLearner, given);
        match LinearLearner.fit(&parameters, &channels(table), &mut Looker::default()) {
            Err(Error::Input(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let good = table(vec![0.0, 1.0]);
    for (given, table, say) in [
        (
            vec![BINARY],
            &table(vec![0.0, 2.0]),
            "the label of row 2 of channel train is 2, and a label is 0 or 1",
        ),
        (
            vec![("predictor_type", "multiclass_classifier")],
            &good,
            "num_classes must be set",
        ),
        (
            vec![
                ("predictor_type", "multiclass_classifier"),
                ("num_classes", "3"),
            ],
            &table(vec![0.0, 3.0]),
            "a whole number from 0 to 2",
        ),
        (
            vec![REGRESSOR, ("loss", "logistic")],
            &good,
            "loss is \"logistic\": with predictor_type regressor it is one of",
        ),
        (
            vec![BINARY, ("feature_dim", "3")],
            &good,
            "has 1 columns without the label, and feature_dim is 3",
        ),
        (
            vec![BINARY, ("wd", "-1")],
            &good,
            "wd is \"-1\": it is auto or a number of at least 0",
        ),
        (
            vec![BINARY, ("num_models", "1000000")],
            &good,
            "num_models is 1000000: it is auto or at most 128",
        ),
        (
            vec![BINARY, ("num_models", "1.5")],
            &good,
            "num_models is \"1.5\"",
        ),
        (
            vec![BINARY],
            &Table::dense(1, vec![1.0]).unwrap(),
            "channel train has no labels",
        ),
        (
            vec![BINARY],
            &Table::dense(2, vec![1.0, 2.0, 3.0, f32::NAN])
                .unwrap()
                .labelled(vec![0.0, 1.0])
                .unwrap(),
            "column 2 of row 2 of channel train has no value",
        ),
    ] {
        let why = refused(&given, table);
        assert!(why.contains(say), "{why:?} has no {say:?}");
    }
}
