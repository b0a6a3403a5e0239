//! randomcutforest against rrcf, of `golden/forest.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use escala_learn::forest::{Forest, RandomCutForest};
use escala_learn::formats::{self, Format};
use escala_learn::{Algorithm, Channels, Error, Model, Table};
use std::collections::BTreeSet;
use support::{Looker, channels, field, golden, numbers, parameters, rows, sparse, whole};

fn planted() -> Table {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/tables/planted.csv"
    );
    let format = Format::of("text/csv;label_size=1", false).unwrap();
    formats::read(format, path, std::fs::File::open(path).unwrap()).unwrap()
}

fn run(given: &[(&str, &str)], channels: &Channels) -> (Forest, Looker) {
    let mut looker = Looker::default();
    let model = RandomCutForest
        .fit(&parameters(&RandomCutForest, given), channels, &mut looker)
        .unwrap();
    (model, looker)
}

fn ranks(scores: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let mut ranks = vec![0.0; scores.len()];
    for (rank, at) in order.into_iter().enumerate() {
        ranks[at] = rank as f64;
    }
    ranks
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    let (x, y) = (mean(a), mean(b));
    let product =
        |of: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| of(a - x, b - y)).sum::<f64>();
    product(&|a, b| a * b) / (product(&|a, _| a * a) * product(&|_, b| b * b)).sqrt()
}

/// Of pairs of a planted row and another, those in which the planted one has the greater score.
fn area(scores: &[f64], labels: &[f32]) -> f64 {
    let of = |class: f32| {
        scores
            .iter()
            .zip(labels)
            .filter(move |one| *one.1 == class)
            .map(|one| *one.0)
    };
    let pairs = (of(1.0).count() * of(0.0).count()) as f64;
    of(1.0)
        .map(|one| of(0.0).filter(|zero| one > *zero).count())
        .sum::<usize>() as f64
        / pairs
}

#[test]
fn what_was_planted_stands_out_as_with_the_reference() {
    let golden = golden("forest");
    let table = planted();
    let expected = numbers(&golden["scores"]);
    for seed in ["0", "1", "2"] {
        let (model, _) = run(&[("seed", seed)], &channels(&table));
        let answers = model.predict(&table).unwrap();
        assert_eq!(answers.list, "scores");
        let scores: Vec<f64> = field(&answers, "score")
            .into_iter()
            .map(f64::from)
            .collect();
        let found = area(&scores, table.labels.as_ref().unwrap());
        println!("area {found}, of the reference {}", golden["area"]);
        assert!(found >= golden["area"].as_f64().unwrap() - 0.005, "{found}");
        let alike = correlation(&ranks(&scores), &ranks(&expected));
        println!("ranks are alike by {alike}");
        assert!(alike > 0.85, "{alike}");
        // Rows that are scored are in some of the trees: about 1 is usual.
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        assert!((0.5..1.5).contains(&mean), "{mean}");
    }
}

/// Few rows of other classes among those of one, in scikit-learn's tables. Forests are drawn: the areas of five of the reference
/// lie up to 0.015 apart, and the ranks of two of them are alike by 0.9.
#[test]
fn few_rows_of_other_classes_stand_out_as_with_the_reference() {
    let golden = golden("forest");
    for (name, about) in golden["tables"].as_object().unwrap() {
        let wanted = numbers(&about["rows"]).into_iter();
        let wanted: BTreeSet<usize> = wanted.map(|row| row as usize).collect();
        let table = rows(&whole(name), |row| wanted.contains(&row));
        let usual = about["usual"].as_f64().unwrap() as f32;
        let labels = table.labels.as_ref().unwrap().iter();
        let odd: Vec<f32> = labels
            .map(|class| f32::from(u8::from(*class != usual)))
            .collect();
        let expected = numbers(&about["scores"]);
        let areas = numbers(&about["areas"]);
        let least = areas.iter().copied().fold(1.0, f64::min);
        for seed in ["0", "1", "2"] {
            let (model, _) = run(&[("seed", seed)], &channels(&table));
            let answers = model.predict(&table).unwrap();
            let scores: Vec<f64> = field(&answers, "score")
                .into_iter()
                .map(f64::from)
                .collect();
            let found = area(&scores, &odd);
            let alike = correlation(&ranks(&scores), &ranks(&expected));
            println!(
                "{name}: area {found}, of the reference {areas:?}; ranks are alike by {alike}"
            );
            assert!(found >= least - 0.005, "{name}: {found}");
            assert!(alike > 0.85, "{name}: {alike}");
        }
    }
}

#[test]
fn anomalies_of_the_test_channel_are_counted() {
    let table = planted();
    let all = Channels {
        test: Some(table.clone()),
        ..channels(&table)
    };
    let (_, looker) = run(&[], &all);
    assert!(looker.last("test:accuracy") > 0.99);
    assert!(looker.last("test:recall") > 0.7 && looker.last("test:precision") > 0.4);
    let (precision, recall) = (looker.last("test:precision"), looker.last("test:recall"));
    assert!(
        (looker.last("test:f1") - 2.0 * precision * recall / (precision + recall)).abs() < 1e-9
    );
    let (_, looker) = run(&[("eval_metrics", "[\"accuracy\"]")], &all);
    assert!(
        looker
            .metrics
            .iter()
            .all(|metric| metric.0 == "test:accuracy")
    );
}

#[test]
fn sparse_rows_and_threads_change_nothing() {
    let table = planted();
    let scores = |threads: usize, table: &Table| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            field(
                &run(&[], &channels(table)).0.predict(table).unwrap(),
                "score",
            )
        })
    };
    let first = scores(1, &table);
    assert_eq!(first, scores(3, &table));
    assert_eq!(first, scores(2, &sparse(&table)));
}

#[test]
fn models_are_read_as_they_were_written() {
    let table = planted();
    let (model, _) = run(
        &[("num_trees", "50"), ("num_samples_per_tree", "20")],
        &channels(&table),
    );
    let folder = tempfile::tempdir().unwrap();
    model.write(folder.path()).unwrap();
    let opened = RandomCutForest.open(folder.path()).unwrap();
    assert_eq!(opened.columns(), Some(4));
    assert_eq!(
        opened.predict(&table).unwrap(),
        model.predict(&table).unwrap()
    );
}

#[test]
fn what_cannot_be_scored_is_said() {
    let table = planted();
    let refused = |given: &[(&str, &str)], test: Option<Table>| {
        let all = Channels {
            test,
            ..channels(&table)
        };
        match RandomCutForest.fit(
            &parameters(&RandomCutForest, given),
            &all,
            &mut Looker::default(),
        ) {
            Err(Error::Input(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let unlabelled = Table::new(table.features.clone());
    assert!(refused(&[], Some(unlabelled)).contains("1 for an anomaly and 0"));
    assert!(refused(&[("feature_dim", "7")], None).contains("feature_dim is 7"));
    assert!(refused(&[("eval_metrics", "auc")], None).contains("a list of some of accuracy"));
}
