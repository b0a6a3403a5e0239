//! pca against scikit-learn's, of `golden/pca.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use escala_learn::pca::{Components, Pca};
use escala_learn::{Algorithm, Error, Model, Table};
use support::{Looker, channels, field, golden, numbers, parameters, rows, sparse, split};

fn run(given: &[(&str, &str)], table: &Table) -> Components {
    Pca.fit(
        &parameters(&Pca, given),
        &channels(table),
        &mut Looker::default(),
    )
    .unwrap()
}

/// Ours go from the least component to the greatest; signs are free.
fn compare(model: &Components, test: &Table, golden: &serde_json::Value, margin: f64) {
    let kept = golden["kept"].as_u64().unwrap() as usize;
    let columns = test.columns();
    let values = numbers(&golden["values"]);
    for (got, expected) in model.singular_values().iter().rev().zip(&values) {
        assert!((got / expected - 1.0).abs() < margin, "{got} {expected}");
    }
    let said = field(&model.predict(test).unwrap(), "projection");
    for at in 0..kept {
        let own = &model.components()[(kept - 1 - at) * columns..][..columns];
        let reference = numbers(&golden["components"][at]);
        let product: f64 = own
            .iter()
            .zip(&reference)
            .map(|(a, b)| f64::from(*a) * b)
            .sum();
        assert!(
            (product.abs() - 1.0).abs() < margin,
            "component {at}: {product}"
        );
        for (row, expected) in golden["projections"].as_array().unwrap().iter().enumerate() {
            let expected = expected[at].as_f64().unwrap() * product.signum();
            let got = f64::from(said[row * kept + kept - 1 - at]);
            // Of the size of the greatest numbers along any component.
            assert!(
                (got - expected).abs() < margin * values[0],
                "{row} {at}: {got} {expected}"
            );
        }
    }
}

#[test]
fn components_are_those_of_the_reference() {
    let golden = golden("pca");
    for name in ["digits", "cancer", "wine"] {
        let (train, test) = split(name);
        let kept = golden[name]["kept"].to_string();
        let given = [("num_components", kept.as_str())];
        compare(&run(&given, &train), &test, &golden[name], 1e-6);
        compare(&run(&given, &sparse(&train)), &test, &golden[name], 1e-5);
        let given = [
            ("num_components", kept.as_str()),
            ("algorithm_mode", "randomized"),
        ];
        compare(&run(&given, &train), &test, &golden[name], 1e-3);
        compare(&run(&given, &sparse(&train)), &test, &golden[name], 1e-3);
    }
}

#[test]
fn means_can_stay() {
    let (train, _) = split("digits");
    let model = run(
        &[("num_components", "8"), ("subtract_mean", "false")],
        &train,
    );
    let expected = numbers(&golden("pca")["digits"]["values_without_mean"]);
    for (got, expected) in model.singular_values().iter().rev().zip(expected) {
        assert!((got / expected - 1.0).abs() < 1e-6);
    }
}

#[test]
fn sparse_rows_have_the_same_projections() {
    let (train, test) = split("digits");
    let model = run(&[("num_components", "5")], &train);
    let dense = field(&model.predict(&test).unwrap(), "projection");
    let other = field(&model.predict(&sparse(&test)).unwrap(), "projection");
    for (a, b) in dense.iter().zip(&other) {
        assert!((a - b).abs() < 1e-3);
    }
}

#[test]
fn threads_change_nothing() {
    let (train, _) = split("digits");
    for mode in ["regular", "randomized"] {
        let models = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| run(&[("num_components", "5"), ("algorithm_mode", mode)], &train))
        });
        assert_eq!(models[0], models[1]);
    }
}

#[test]
fn models_are_read_as_they_were_written() {
    let (train, test) = split("wine");
    let model = run(&[("num_components", "3")], &train);
    let folder = tempfile::tempdir().unwrap();
    model.write(folder.path()).unwrap();
    let opened = Pca.open(folder.path()).unwrap();
    assert_eq!(
        opened.predict(&test).unwrap(),
        model.predict(&test).unwrap()
    );
    assert_eq!(opened.columns(), Some(13));
}

#[test]
fn a_few_rows_have_few_directions() {
    let (train, _) = split("wine");
    let few = rows(&train, |row| row < 3);
    for mode in ["regular", "randomized"] {
        let model = run(&[("num_components", "5"), ("algorithm_mode", mode)], &few);
        let values = model.singular_values();
        assert!(values[0] < 1e-2 && values[4] > 1.0, "{values:?}");
    }
}

#[test]
fn more_components_than_columns_are_refused() {
    let table = Table::dense(2, vec![1.0, 2.0, 3.0, 5.0]).unwrap();
    let given = parameters(&Pca, &[("num_components", "3")]);
    match Pca.fit(&given, &channels(&table), &mut Looker::default()) {
        Err(Error::Input(why)) => {
            assert!(why.contains("num_components is 3, and channel train has 2 columns"))
        }
        other => panic!("{other:?}"),
    }
}
