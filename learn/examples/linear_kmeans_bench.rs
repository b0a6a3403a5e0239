//! Times linear-learner, kmeans and pca on tables that `benches/peers/learn_sklearn.py` wrote, one line of JSON each.
//!
//! `cargo run --release -p escala-learn --example linear_kmeans_bench -- <what> <train.pbr> <threads> <seed>`

use escala_learn::formats::{self, Format};
use escala_learn::kmeans::KMeans;
use escala_learn::linear::LinearLearner;
use escala_learn::pca::Pca;
use escala_learn::{Algorithm, Channels, Parameters, Watch};
use std::time::Instant;

/// Keeps the last value of each metric.
#[derive(Default)]
struct Last(Vec<(String, f64)>, Vec<String>);

impl Watch for Last {
    fn log(&mut self, line: &str) {
        self.1.push(line.to_owned());
    }
    fn metric(&mut self, name: &str, value: f64) {
        self.0.retain(|one| one.0 != name);
        self.0.push((name.to_owned(), value));
    }
    fn progress(&mut self, _: u64, _: u64) {}
    fn stopped(&mut self) -> bool {
        false
    }
    fn checkpoint(&mut self, _: &mut dyn FnMut() -> Vec<u8>) {}
    fn resume(&mut self) -> Option<Vec<u8>> {
        None
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, path, threads, seed] = arguments.as_slice() else {
        return Err("what, table, threads, seed".into());
    };
    let format = Format::of("application/x-recordio-protobuf", true)?;
    let train = formats::read(format, path, std::fs::File::open(path)?)?;
    let mut given = vec![("seed", seed.as_str())];
    let algorithm: &dyn Algorithm = match what.as_str() {
        "kmeans" => {
            given.extend([("k", "20"), ("eval_metrics", "ssd")]);
            &KMeans
        }
        "logistic" => {
            given.push(("predictor_type", "binary_classifier"));
            &LinearLearner
        }
        "softmax" => {
            given.extend([
                ("predictor_type", "multiclass_classifier"),
                ("num_classes", "10"),
            ]);
            &LinearLearner
        }
        "ridge" => {
            given.push(("predictor_type", "regressor"));
            &LinearLearner
        }
        "pca" => {
            given.push(("num_components", "20"));
            &Pca
        }
        other => {
            return Err(format!("{other} is none of kmeans, logistic, softmax, ridge, pca").into());
        }
    };
    let parameters = Parameters::read(algorithm.parameters(), given)?;
    let channels = Channels {
        train,
        validation: None,
        test: None,
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.parse()?)
        .build()?;
    for _ in 0..3 {
        let mut last = Last::default();
        let start = Instant::now();
        pool.install(|| algorithm.train(&parameters, &channels, &mut last))?;
        let seconds = start.elapsed().as_secs_f64();
        let metrics: serde_json::Map<_, _> = last
            .0
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        println!(
            "{}",
            serde_json::json!({"what": what, "seconds": seconds, "metrics": metrics, "log": last.1})
        );
    }
    Ok(())
}
