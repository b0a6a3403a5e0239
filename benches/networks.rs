//! The question: how long does one forward pass of each network take on this machine, in process?
//!
//! ```text
//! cargo bench --bench networks                 # a table for one and all cores
//! benches/compare.sh --only networks           # the same beside ONNX Runtime, PyTorch and fastText
//! cargo bench --bench networks -- --contender  # what compare.sh talks to
//! ```
//!
//! As a contender it answers the line protocol that `benches/peers/contender.py` describes: one JSON
//! request a line on standard input, one JSON answer a line on standard output. Loading and one unmeasured
//! run come before the clock starts.

use candle_core::Device;
use escala_models::Compute;
use escala_models::bert::SentenceEncoder;
use escala_models::efficientnet::{CLASSES, EfficientNetLite};
use escala_models::fasttext::{Classifier, Scratch};
use escala_models::kernels::Isa;
use escala_models::toxicity;
use escala_weights::{Store, StoreOptions, Terminal};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let contender = std::env::args().any(|argument| argument == "--contender");
    let mut networks = Networks::load()?;
    if contender {
        networks.serve()
    } else {
        networks.table()
    }
}

struct Networks {
    minilm: SentenceEncoder,
    efficientnet: EfficientNetLite,
    language: Classifier,
    toxicity: toxicity::Classifier,
    /// By number of threads.
    computes: HashMap<usize, Compute>,
}

impl Networks {
    fn load() -> Result<Self> {
        let store = Store::open(StoreOptions::default())?;
        let files = |name: &str| store.ensure(name, &Terminal::new());
        let efficientnet = files("efficientnet-lite0")?.path("model.safetensors")?;
        let language = files("lid.176")?.path("model.safetensors")?;
        Ok(Self {
            minilm: SentenceEncoder::load(files("all-minilm-l6-v2")?.dir(), &Device::Cpu)?,
            efficientnet: EfficientNetLite::load(&efficientnet, &Device::Cpu)?,
            language: Classifier::load(&language)?,
            toxicity: toxicity::Classifier::load(files("tox-block")?.dir(), &Device::Cpu)?,
            computes: HashMap::new(),
        })
    }

    /// Answers requests until standard input closes.
    fn serve(&mut self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        for line in std::io::stdin().lock().lines() {
            let answer = match serde_json::from_str(&line?)
                .map_err(Into::into)
                .and_then(|request| self.answer(&request))
            {
                Ok(answer) => answer,
                Err(error) => json!({ "error": error.to_string() }),
            };
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
        Ok(())
    }

    fn answer(&mut self, request: &Value) -> Result<Value> {
        let number = |key: &str| {
            request[key]
                .as_u64()
                .ok_or_else(|| format!("`{key}` is missing"))
        };
        let case = request["case"].as_str().ok_or("`case` is missing")?;
        if case == "about" {
            return Ok(
                json!({ "about": format!("escala {} ({})", env!("CARGO_PKG_VERSION"), Isa::best().name()) }),
            );
        }
        let (threads, repeats) = (number("threads")? as usize, number("repeats")? as usize);
        // A team that is not in use would still spin for a moment between two cases: keep only one.
        self.computes.retain(|&count, _| count == threads);
        let compute = &*self
            .computes
            .entry(threads)
            .or_insert_with(|| Compute::cpu(threads));
        match case {
            "minilm" if request["mode"] == "padded" => {
                let ids: Vec<Vec<u32>> = serde_json::from_value(request["ids"].clone())?;
                let sequences: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
                let (ms, embeddings) = timed(repeats, || self.minilm.encode(compute, &sequences))?;
                let last = embeddings.last().ok_or("no texts")?;
                Ok(json!({ "ms": ms, "output": last[..8], "note": "no padding" }))
            }
            "minilm" => Err("runs padded requests only: there is no padding to sort away".into()),
            "efficientnet" => {
                let file = request["pixels"].as_str().ok_or("`pixels` is missing")?;
                let image = read_image(file)?.repeat(number("images")? as usize);
                let (ms, predictions) =
                    timed(repeats, || self.efficientnet.forward(compute, &image))?;
                let last = &predictions.logits[predictions.logits.len() - CLASSES..];
                Ok(json!({ "ms": ms, "output": last[..8] }))
            }
            "language" => {
                let texts: Vec<String> = serde_json::from_value(request["texts"].clone())?;
                let mut scratch = Scratch::default();
                let (ms, best) = timed(repeats, || -> Result<Vec<usize>> {
                    let best = |text: &String| {
                        let scores = self.language.predict(text, &mut scratch);
                        scores
                            .iter()
                            .enumerate()
                            .max_by(|a, b| a.1.total_cmp(b.1))
                            .map(|(label, _)| label)
                    };
                    texts
                        .iter()
                        .map(best)
                        .collect::<Option<Vec<_>>>()
                        .ok_or_else(|| "no labels".into())
                })?;
                let labels: Vec<&String> = best
                    .iter()
                    .map(|&label| &self.language.labels()[label])
                    .collect();
                Ok(json!({ "ms": ms, "output": labels }))
            }
            "toxicity" => {
                let words: Vec<Vec<u32>> = serde_json::from_value(request["words"].clone())?;
                let sequences: Vec<&[u32]> = words.iter().map(Vec::as_slice).collect();
                let (ms, scores) = timed(repeats, || self.toxicity.scores(compute, &sequences))?;
                Ok(json!({ "ms": ms, "output": scores.last().ok_or("no texts")? }))
            }
            _ => Err(format!("no case {case}").into()),
        }
    }

    /// The cases of the comparison, Escala alone.
    fn table(&mut self) -> Result<()> {
        let cores = std::thread::available_parallelism()?.get();
        println!(
            "{} on up to {cores} threads; median and best of 15 runs",
            Isa::best().name()
        );
        let pixels = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/images/chelsea_224.png"
        );
        let mixed: Vec<usize> = (0..32).map(|i| 5 + (i * 13 % 32) * 123 / 31).collect();
        let texts = |lengths: &[usize]| -> Vec<Vec<u32>> {
            let word = |i: usize| 1996 + (i as u32 * 7919) % 28_000;
            lengths
                .iter()
                .map(|&n| [vec![101], (2..n).map(word).collect(), vec![102]].concat())
                .collect()
        };
        let sentences = vec!["¿Dónde está la biblioteca?"; 3000];
        let mut cases = Vec::new();
        for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
            for (title, lengths) in [
                ("MiniLM, 1 text of 16 tokens", vec![16]),
                ("MiniLM, 1 text of 128 tokens", vec![128]),
                ("MiniLM, 32 texts of 128 tokens", vec![128; 32]),
                ("MiniLM, 32 texts of 5 to 128 tokens", mixed.clone()),
            ] {
                cases.push((title, json!({ "case": "minilm", "mode": "padded", "ids": texts(&lengths), "threads": threads })));
            }
            for (title, lengths) in [
                ("ToxBlock, 1 text of 12 words", vec![12]),
                (
                    "ToxBlock, 32 texts of 5 to 100 words",
                    (0..32).map(|i| 5 + (i * 13 % 32) * 95 / 31).collect(),
                ),
            ] {
                let word = |at: usize| 1 + (at * 7919) % 19_999;
                let words: Vec<Vec<usize>> = lengths
                    .iter()
                    .map(|&length: &usize| (0..length).map(word).collect())
                    .collect();
                cases.push((
                    title,
                    json!({ "case": "toxicity", "words": words, "threads": threads }),
                ));
            }
            for (title, images) in [
                ("EfficientNet-Lite0, 1 image", 1),
                ("EfficientNet-Lite0, 8 images", 8),
            ] {
                cases.push((title, json!({ "case": "efficientnet", "images": images, "pixels": pixels, "threads": threads })));
            }
        }
        cases.push((
            "language of 3000 short texts",
            json!({ "case": "language", "texts": sentences, "threads": 1 }),
        ));
        for (title, mut request) in cases {
            request["repeats"] = json!(15);
            let answer = self.answer(&request)?;
            let mut ms: Vec<f64> = serde_json::from_value(answer["ms"].clone())?;
            ms.sort_by(f64::total_cmp);
            println!(
                "{title:36} {} threads  median {:9.3} ms  best {:9.3} ms",
                request["threads"],
                ms[ms.len() / 2],
                ms[0]
            );
        }
        Ok(())
    }
}

/// Milliseconds of each of `repeats` runs after an unmeasured one, and what the last answered.
fn timed<T, E: Into<Box<dyn Error>>>(
    repeats: usize,
    mut run: impl FnMut() -> std::result::Result<T, E>,
) -> Result<(Vec<f64>, T)> {
    let mut answer = run().map_err(Into::into)?;
    let mut ms = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let start = Instant::now();
        answer = run().map_err(Into::into)?;
        ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok((ms, answer))
}

/// A 224 by 224 picture as the network wants it: `(x - 127) / 128`, channels last.
fn read_image(file: &str) -> Result<Vec<f32>> {
    let image = image::open(file)?.into_rgb8();
    Ok(image
        .into_raw()
        .into_iter()
        .map(|x| (f32::from(x) - 127.0) / 128.0)
        .collect())
}
