//! kmeans against scikit-learn's, of `golden/kmeans.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use escala_learn::kmeans::{Clusters, KMeans};
use escala_learn::{Algorithm, Channels, Error, Model, Table};
use support::{Looker, channels, field, golden, parameters, sparse, split};

fn run(given: &[(&str, &str)], channels: &Channels) -> (Clusters, Looker) {
    let mut looker = Looker::default();
    let model = KMeans
        .fit(&parameters(&KMeans, given), channels, &mut looker)
        .unwrap();
    (model, looker)
}

#[test]
fn sums_of_squares_are_as_small_as_the_reference_s() {
    let golden = golden("kmeans");
    for name in ["digits", "cancer", "wine", "diabetes"] {
        let (train, _) = split(name);
        let k = golden[name]["k"].to_string();
        let mut sum = 0.0;
        for seed in 0..10 {
            let seed = seed.to_string();
            let (_, looker) = run(
                &[("k", &k), ("seed", &seed), ("eval_metrics", "ssd")],
                &channels(&train),
            );
            sum += looker.last("train:ssd") / 10.0;
        }
        let mean = golden[name]["mean"].as_f64().unwrap();
        println!("{name}: {:.4} of the reference", sum / mean);
        assert!(sum <= 1.01 * mean, "{name}: {sum} {mean}");
        assert!(
            sum >= 0.999 * golden[name]["least"].as_f64().unwrap(),
            "{name}: {sum}"
        );
    }
}

#[test]
fn answers_are_the_nearest_centers() {
    let (train, test) = split("wine");
    let all = Channels {
        test: Some(test.clone()),
        ..channels(&train)
    };
    let (model, looker) = run(&[("k", "5"), ("eval_metrics", "[\"msd\", \"ssd\"]")], &all);
    let answers = model.predict(&test).unwrap();
    let (labels, distances) = (
        field(&answers, "closest_cluster"),
        field(&answers, "distance_to_cluster"),
    );
    let escala_learn::Features::Dense { columns, values } = &test.features else {
        unreachable!()
    };
    let mut sum = 0.0;
    for (row, (label, distance)) in values
        .chunks_exact(*columns)
        .zip(labels.iter().zip(&distances))
    {
        let far = |center: &[f32]| -> f64 {
            let pairs = row.iter().zip(center);
            pairs
                .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
                .sum::<f64>()
                .sqrt()
        };
        let all: Vec<f64> = model.centers().chunks_exact(*columns).map(far).collect();
        let least = all.iter().copied().fold(f64::MAX, f64::min);
        assert!(
            (all[*label as usize] - least).abs() < 1e-3
                && (f64::from(*distance) - least).abs() < 1e-3
        );
        sum += least * least;
    }
    assert!((looker.last("test:ssd") / sum - 1.0).abs() < 1e-4);
    assert!((looker.last("test:msd") * test.rows() as f64 / sum - 1.0).abs() < 1e-4);
    assert_eq!(answers.list, "predictions");
}

#[test]
fn sparse_rows_are_clustered_as_dense_ones() {
    let (train, test) = split("digits");
    let (_, dense) = run(&[("k", "10"), ("eval_metrics", "ssd")], &channels(&train));
    let (model, looker) = run(
        &[("k", "10"), ("eval_metrics", "ssd")],
        &channels(&sparse(&train)),
    );
    assert!((looker.last("train:ssd") / dense.last("train:ssd") - 1.0).abs() < 0.02);
    let a = field(&model.predict(&test).unwrap(), "closest_cluster");
    let b = field(&model.predict(&sparse(&test)).unwrap(), "closest_cluster");
    assert_eq!(a, b);
}

#[test]
fn every_way_to_begin_ends_near() {
    let (train, _) = split("digits");
    let mean = golden("kmeans")["digits"]["mean"].as_f64().unwrap();
    for given in [
        [("init_method", "kmeans++"), ("mini_batch_size", "500")],
        [("init_method", "random"), ("epochs", "3")],
        [
            ("extra_center_factor", "1"),
            ("local_lloyd_init_method", "random"),
        ],
        [
            ("extra_center_factor", "8"),
            ("local_lloyd_num_trials", "2"),
        ],
        [
            ("extra_center_factor", "1000"),
            ("local_lloyd_max_iter", "50"),
        ],
    ] {
        let given = [&given[..], &[("k", "10"), ("eval_metrics", "ssd")]].concat();
        let (_, looker) = run(&given, &channels(&train));
        assert!(
            looker.last("train:ssd") < 1.05 * mean,
            "{given:?} {}",
            looker.last("train:ssd")
        );
    }
}

#[test]
fn rows_that_came_long_ago_count_less() {
    // The first half is around 0, the second around 100; one center is pulled to what came last.
    let rows: Vec<f32> = (0..2000)
        .map(|at| if at < 1000 { 0.0 } else { 100.0 })
        .collect();
    let all = channels(&Table::dense(1, rows).unwrap());
    let center = |half_life| {
        run(&[("k", "1"), ("half_life_time_size", half_life)], &all)
            .0
            .centers()[0]
    };
    assert!((center("0") - 50.0).abs() < 0.01);
    assert!((center("1000") - 66.7).abs() < 0.1);
    assert!(center("50") > 99.9);
}

#[test]
fn rows_that_are_alike_are_no_trouble() {
    let all = channels(&Table::dense(2, vec![1.0; 40]).unwrap());
    let (model, looker) = run(&[("k", "7")], &all);
    assert_eq!(model.centers(), [1.0; 14]);
    assert_eq!(looker.last("train:msd"), 0.0);
}

#[test]
fn training_goes_on_from_every_checkpoint() {
    let (train, _) = split("digits");
    let given = [("k", "12"), ("local_lloyd_tol", "0")];
    let (whole, looker) = run(&given, &channels(&train));
    assert!(looker.checkpoints.len() > 3);
    for checkpoint in &looker.checkpoints {
        let mut again = Looker {
            from: Some(checkpoint.clone()),
            ..Looker::default()
        };
        let model = KMeans
            .fit(&parameters(&KMeans, &given), &channels(&train), &mut again)
            .unwrap();
        assert_eq!(model, whole);
    }
}

#[test]
fn threads_change_nothing() {
    let (train, _) = split("digits");
    let models = [1, 2, 5].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| run(&[("k", "10")], &channels(&train)).0)
    });
    assert!(models.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn models_are_read_as_they_were_written() {
    let (train, test) = split("wine");
    let (model, _) = run(&[("k", "3")], &channels(&train));
    let folder = tempfile::tempdir().unwrap();
    model.write(folder.path()).unwrap();
    let opened = KMeans.open(folder.path()).unwrap();
    assert_eq!(
        opened.predict(&test).unwrap(),
        model.predict(&test).unwrap()
    );
}

#[test]
fn what_cannot_be_clustered_is_said() {
    let refused = |given: &[(&str, &str)], table: Table| match KMeans.fit(
        &parameters(&KMeans, given),
        &channels(&table),
        &mut Looker::default(),
    ) {
        Err(Error::Input(why)) => why,
        other => panic!("{other:?}"),
    };
    let table = || Table::dense(1, vec![1.0, 2.0]).unwrap();
    assert!(refused(&[("k", "3")], table()).contains("k is 3, and channel train has 2 rows"));
    assert!(
        refused(&[("k", "2"), ("eval_metrics", "mse")], table())
            .contains("a list of some of msd, ssd")
    );
    assert!(refused(&[("k", "2"), ("feature_dim", "4")], table()).contains("feature_dim is 4"));
    let missing = Table::dense(1, vec![1.0, f32::NAN]).unwrap();
    assert!(
        refused(&[("k", "2")], missing).contains("column 1 of row 2 of channel train has no value")
    );
}
