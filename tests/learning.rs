//! Algorithms that learn from tables, on the command line of the real binary: from rows in files to a model in a folder to
//! answers. That the models are as good as those of XGBoost and scikit-learn is tested in `learn/`; the data is scikit-learn's
//! breast cancer table, as `learn/tests/golden/boost.py` wrote it.

mod common;

use common::escala;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What a command says; its exit status must be this.
#[track_caller]
fn said(folder: &Path, status: i32, arguments: &[&str]) -> (String, String) {
    let output = escala(folder).args(arguments).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}\n{out}\n{err}"
    );
    (out, err)
}

/// Writes `train.csv` and `held.csv` with labels first, and `bare.csv` without; the labels of the last.
fn tables(folder: &Path) -> Vec<bool> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("learn/tests/golden/boost");
    let told = fs::read(golden.join("cases.json")).expect("a golden file");
    let told: Value = serde_json::from_slice(&told).expect("JSON");
    let about = &told["tables"]["breast"];
    let columns = about["columns"].as_u64().expect("a number") as usize;
    let cases = told["cases"].as_array().expect("cases");
    let case = cases
        .iter()
        .find(|case| case["table"] == "breast")
        .expect("a case");
    let labels = case["labels"].as_array().expect("labels");
    let bytes = fs::read(golden.join("breast.f32")).expect("a golden file");
    let values: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
        .collect();
    let (mut train, mut held, mut bare) = (String::new(), String::new(), String::new());
    let mut wanted = Vec::new();
    for (at, (row, label)) in values.chunks_exact(columns).zip(labels).enumerate() {
        let row: Vec<String> = row.iter().map(f32::to_string).collect();
        let row = row.join(",");
        let label = label.as_f64().expect("a label");
        match at % 4 {
            0 => {
                held += &format!("{label},{row}\n");
                bare += &format!("{row}\n");
                wanted.push(label > 0.5);
            }
            _ => train += &format!("{label},{row}\n"),
        }
    }
    for (name, text) in [("train.csv", train), ("held.csv", held), ("bare.csv", bare)] {
        fs::write(folder.join(name), text).expect("written");
    }
    wanted
}

fn learn(folder: &Path, algorithm: &str, set: &[&str], output: &str) {
    let mut arguments = vec![
        "train",
        "table",
        "--algorithm",
        algorithm,
        "--output",
        output,
    ];
    // Those that learn no labels take none.
    match algorithm {
        "xgboost" | "linear-learner" | "knn" => {
            arguments.extend(["--train", "train.csv", "--validation", "held.csv"]);
        }
        _ => arguments.extend(["--train", "bare.csv"]),
    }
    arguments.extend(set.iter().flat_map(|one| ["-p", one]));
    let (out, _) = said(folder, 0, &arguments);
    assert!(out.contains("learned in"), "{out}");
}

fn answers(folder: &Path, model: &str) -> Vec<Value> {
    let (out, _) = said(folder, 0, &["predict", "rows", "--from", model, "bare.csv"]);
    out.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn what_learns_labels_knows_those_of_rows_that_it_has_not_seen() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let wanted = tables(folder);
    for (algorithm, set, member) in [
        (
            "xgboost",
            vec!["objective=binary:logistic", "num_round=30", "max_depth=3"],
            "score",
        ),
        (
            "linear-learner",
            vec!["predictor_type=binary_classifier"],
            "predicted_label",
        ),
        (
            "knn",
            vec![
                "predictor_type=classifier",
                "k=5",
                "sample_size=300",
                "feature_dim=30",
            ],
            "predicted_label",
        ),
    ] {
        learn(folder, algorithm, &set, algorithm);
        let said = answers(folder, algorithm);
        assert_eq!(said.len(), wanted.len(), "{algorithm}");
        let right = said.iter().zip(&wanted).filter(|(said, wanted)| {
            let number = said[member]
                .as_f64()
                .unwrap_or_else(|| panic!("{algorithm}: {said}"));
            (number > 0.5) == **wanted
        });
        let part = right.count() as f64 / wanted.len() as f64;
        assert!(part > 0.9, "{algorithm}: {part}");
    }
    // Numbers alone, as the container of XGBoost answers.
    let (csv, _) = said(
        folder,
        0,
        &[
            "predict", "rows", "--from", "xgboost", "bare.csv", "--accept", "text/csv",
        ],
    );
    let numbers: Vec<f64> = csv
        .split_whitespace()
        .flat_map(|line| line.split(','))
        .map(|one| one.parse().expect("a number"))
        .collect();
    assert_eq!(numbers.len(), wanted.len());
}

#[test]
fn what_learns_without_labels_answers_in_its_own_words() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    let rows = tables(folder).len();
    for (algorithm, set, member, length) in [
        (
            "kmeans",
            vec!["k=3", "feature_dim=30"],
            "distance_to_cluster",
            None,
        ),
        (
            "pca",
            vec!["num_components=2", "feature_dim=30", "mini_batch_size=100"],
            "projection",
            Some(2),
        ),
        (
            "randomcutforest",
            vec!["feature_dim=30", "num_trees=50", "num_samples_per_tree=64"],
            "score",
            None,
        ),
    ] {
        learn(folder, algorithm, &set, algorithm);
        let said = answers(folder, algorithm);
        assert_eq!(said.len(), rows, "{algorithm}");
        for one in &said {
            match length {
                Some(length) => {
                    assert_eq!(one[member].as_array().map(Vec::len), Some(length), "{one}")
                }
                None => assert!(one[member].as_f64().is_some_and(f64::is_finite), "{one}"),
            }
        }
    }
}

#[test]
fn what_is_wrong_is_said_and_leaves_nothing() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    tables(folder);
    fs::write(folder.join("words.csv"), "1,2,3\n0,five,6\n").expect("written");
    fs::write(folder.join("train.txt"), "1,2,3\n").expect("written");
    let train = |more: &[&str]| {
        let mut arguments = vec![
            "train",
            "table",
            "--algorithm",
            "xgboost",
            "--output",
            "model",
        ];
        arguments.extend(more);
        let (_, err) = said(folder, 2, &arguments);
        assert!(!folder.join("model").exists(), "{err}");
        err
    };
    for (arguments, why) in [
        (
            &["--train", "train.csv", "-p", "eta=2", "-p", "depth=3"][..],
            "Hyperparameter eta: 2 is not in [0, 1]",
        ),
        (
            &["--train", "train.csv", "-p", "eta=2", "-p", "depth=3"],
            "Extraneous hyperparameter found: depth",
        ),
        (
            &["--train", "train.csv"],
            "Missing required hyperparameter: num_round",
        ),
        (
            &["--train", "train.csv", "-p", "num_round"],
            "not NAME=VALUE",
        ),
        (
            &["--train", "words.csv", "-p", "num_round=3"],
            "words.csv: row 2",
        ),
        (
            &["--train", "train.txt", "-p", "num_round=3"],
            "--content-type",
        ),
    ] {
        let err = train(arguments);
        assert!(err.contains(why), "{arguments:?}: {err}");
    }
    learn(folder, "xgboost", &["num_round=2"], "model");
    let (_, err) = said(
        folder,
        2,
        &[
            "train",
            "table",
            "--algorithm",
            "xgboost",
            "--train",
            "train.csv",
            "-p",
            "num_round=2",
            "--output",
            "model",
        ],
    );
    assert!(err.contains("is there already"), "{err}");
    let (_, err) = said(
        folder,
        2,
        &["predict", "rows", "--from", "model", "held.csv"],
    );
    assert!(err.contains("31") && err.contains("30"), "{err}");
    fs::write(folder.join("model/xgboost-model"), b"{\"learner\": 5}").expect("written");
    let (_, err) = said(
        folder,
        1,
        &["predict", "rows", "--from", "model", "bare.csv"],
    );
    assert!(err.contains("xgboost-model"), "{err}");
    let (out, _) = said(folder, 0, &["train", "parameters", "xgboost"]);
    assert!(
        out.contains("num_round") && out.contains("must be set"),
        "{out}"
    );
}
