//! knn against scikit-learn's, of `golden/knn.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use escala_learn::knn::{Knn, Neighbors};
use escala_learn::{Algorithm, Channels, Error, Model, Table, Values};
use support::{Looker, channels, field, golden, numbers, parameters, sparse, split};

const CLASSES: [(&str, &str); 3] = [
    ("k", "5"),
    ("predictor_type", "classifier"),
    ("sample_size", "100000"),
];
const NUMBERS: [(&str, &str); 3] = [
    ("k", "5"),
    ("predictor_type", "regressor"),
    ("sample_size", "100000"),
];

fn run(given: &[(&str, &str)], channels: &Channels) -> (Neighbors, Looker) {
    let mut looker = Looker::default();
    let model = Knn
        .fit(&parameters(&Knn, given), channels, &mut looker)
        .unwrap();
    (model, looker)
}

#[test]
fn the_nearest_are_those_of_the_reference() {
    let golden = golden("knn");
    for (name, given) in [
        ("cancer", CLASSES),
        ("digits", CLASSES),
        ("diabetes", NUMBERS),
    ] {
        let (train, test) = split(name);
        let (model, _) = run(&given, &channels(&train));
        for test in [&test, &sparse(&test)] {
            let answers = model.predict_verbose(test).unwrap();
            for (got, expected) in field(&answers, "distances")
                .iter()
                .zip(numbers(&golden[name]["distances"]))
            {
                assert!(
                    (f64::from(*got) - expected).abs() < 1e-5 * expected.max(1.0),
                    "{name}: {got} {expected}"
                );
            }
            let labels = field(&answers, "labels");
            let expected = numbers(&golden[name]["labels"]);
            // Rows that are as far as others may come in another order.
            let same = labels
                .iter()
                .zip(&expected)
                .filter(|(a, b)| f64::from(**a) == **b)
                .count();
            assert!(
                same * 100 >= expected.len() * 98,
                "{name}: {same} of {}",
                expected.len()
            );
            assert!(matches!(
                answers.fields[1].values,
                Values::Vectors { width: 5, .. }
            ));

            let said = field(&answers, "predicted_label");
            let expected = numbers(&golden[name]["said"]);
            assert_eq!(said.len(), expected.len());
            let same = said
                .iter()
                .zip(&expected)
                .filter(|(a, b)| (f64::from(**a) - **b).abs() < 1e-3)
                .count();
            // Of classes with as many rows the reference takes the first, we the nearest.
            assert!(
                same * 100 >= expected.len() * 99,
                "{name}: {same} of {}",
                expected.len()
            );
        }
        assert_eq!(model.predict(&test).unwrap().fields.len(), 1);
    }
}

#[test]
fn other_metrics_are_those_of_the_reference() {
    let golden = golden("knn");
    let (train, test) = split("wine");
    for (metric, name, list) in [
        ("COSINE", "cosine", "similarities"),
        ("INNER_PRODUCT", "product", "products"),
    ] {
        let (model, _) = run(
            &[&CLASSES[..], &[("index_metric", metric)]].concat(),
            &channels(&train),
        );
        let distances = field(&model.predict_verbose(&test).unwrap(), "distances");
        for (got, expected) in distances.iter().zip(numbers(&golden[name][list])) {
            assert!(
                (f64::from(*got) / expected - 1.0).abs() < 1e-5,
                "{metric}: {got} {expected}"
            );
        }
    }
}

#[test]
fn the_test_channel_is_measured() {
    let (train, test) = split("digits");
    let all = Channels {
        test: Some(test),
        ..channels(&train)
    };
    assert!(run(&CLASSES, &all).1.last("test:accuracy") > 0.98);
    for way in ["sign", "fjlt"] {
        let given = [
            ("dimension_reduction_type", way),
            ("dimension_reduction_target", "40"),
        ];
        let (model, looker) = run(&[&CLASSES[..], &given].concat(), &all);
        assert!(looker.last("test:accuracy") > 0.95, "{way}");
        assert!(
            looker
                .log
                .iter()
                .any(|line| line.contains("40 numbers of each"))
        );
        assert_eq!(model.columns(), Some(64));
    }
    let few = [
        ("k", "3"),
        ("predictor_type", "classifier"),
        ("sample_size", "100"),
        ("index_type", "faiss.IVFFlat"),
    ];
    let (_, looker) = run(&few, &all);
    assert!(looker.last("test:accuracy") > 0.8 && looker.log[0].contains("exactly"));
    let (train, test) = split("diabetes");
    let all = Channels {
        test: Some(test),
        ..channels(&train)
    };
    assert!(run(&NUMBERS, &all).1.last("test:mse") < 4500.0);
}

#[test]
fn ties_go_to_the_nearest() {
    let table = Table::dense(1, vec![0.0, 1.0, 3.0, 4.0])
        .unwrap()
        .labelled(vec![7.0, 7.0, 2.0, 2.0])
        .unwrap();
    let given = [
        ("k", "4"),
        ("predictor_type", "classifier"),
        ("sample_size", "4"),
    ];
    let (model, _) = run(&given, &channels(&table));
    let said = model
        .predict(&Table::dense(1, vec![0.5, 3.9]).unwrap())
        .unwrap();
    assert_eq!(field(&said, "predicted_label"), [7.0, 2.0]);
}

#[test]
fn models_are_read_as_they_were_written() {
    let (train, test) = split("wine");
    for given in [
        vec![],
        vec![
            ("dimension_reduction_type", "sign"),
            ("dimension_reduction_target", "4"),
        ],
    ] {
        let (model, _) = run(&[&CLASSES[..], &given].concat(), &channels(&train));
        let folder = tempfile::tempdir().unwrap();
        model.write(folder.path()).unwrap();
        let opened = Knn.open(folder.path()).unwrap();
        assert_eq!(
            opened.predict_verbose(&test).unwrap(),
            model.predict_verbose(&test).unwrap()
        );
    }
}

#[test]
fn what_cannot_be_asked_is_said() {
    let (train, _) = split("wine");
    let refused = |given: &[(&str, &str)]| {
        let given = [&CLASSES[..], given].concat();
        match Knn.fit(
            &parameters(&Knn, &given),
            &channels(&train),
            &mut Looker::default(),
        ) {
            Err(Error::Input(why)) => why,
            _ => panic!("{given:?}"),
        }
    };
    assert!(refused(&[("k", "200")]).contains("k is 200, and 134 rows are kept"));
    assert!(refused(&[("dimension_reduction_type", "sign")]).contains("set together"));
    let same = [
        ("dimension_reduction_type", "sign"),
        ("dimension_reduction_target", "13"),
    ];
    assert!(refused(&same).contains("dimension_reduction_target is 13, and rows have 13 columns"));
    let cosine = [("index_type", "faiss.IVFPQ"), ("index_metric", "COSINE")];
    assert!(refused(&cosine).contains("not for index_type faiss.IVFPQ"));
}
