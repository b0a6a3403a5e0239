//! Times blazingtext on lines that `benches/peers/learn_fasttext.py` wrote: a line of JSON.
//!
//! `cargo run --release -p escala-learn --example text_bench -- <train.txt> <test.txt> <seed> [name=value ...]`

use escala_learn::text::blazing::BlazingText;
use escala_learn::text::formats::{self, Form};
use escala_learn::{Parameters, TextAlgorithm, Texts, Watch};
use std::fs::File;
use std::io::BufReader;
use std::time::Instant;

/// Keeps the last value of each metric.
#[derive(Default)]
struct Last(Vec<(String, f64)>);

impl Watch for Last {
    fn log(&mut self, _: &str) {}
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
    let [train, test, seed, settings @ ..] = arguments.as_slice() else {
        return Err("train, test, seed, settings".into());
    };
    let began = Instant::now();
    let mut texts = Texts::default();
    let lines = |path: &str| File::open(path).map(BufReader::new);
    formats::read(lines(train)?, Form::Labelled, train, &mut texts.train)?;
    let pairs = settings.iter().filter_map(|pair| pair.split_once('='));
    let given = pairs.chain([("mode", "supervised"), ("seed", seed.as_str())]);
    let parameters = Parameters::read(BlazingText.parameters(), given)?;
    let mut last = Last::default();
    let model = BlazingText.train(&parameters, &texts, &mut last)?;
    let seconds = began.elapsed().as_secs_f64();
    let mut held_out = Vec::new();
    formats::read(lines(test)?, Form::Labelled, test, &mut held_out)?;
    let right = held_out.iter().filter(|line| {
        let said = model.classify(&line.text, 1);
        said.iter()
            .any(|(label, _)| line.labels.iter().any(|one| one == label))
    });
    let accuracy = right.count() as f64 / held_out.len() as f64;
    println!(
        "{}",
        serde_json::json!({"seconds": seconds, "accuracy": accuracy, "bytes": model.memory()})
    );
    Ok(())
}
