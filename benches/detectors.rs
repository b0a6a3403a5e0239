//! The question: are RT-DETR networks of the published sizes what transformers says they are, and how long do they take?
//!
//! ```text
//! benches/detectors.sh          # beside PyTorch and ONNX Runtime; makes the checkpoints
//! cargo bench --bench detectors -- --profile FOLDER      # the slowest steps for a checkpoint
//! ```
//!
//! Otherwise it answers one JSON line on standard output for each request on standard input:
//!
//! | request | answer |
//! | --- | --- |
//! | `{"open": FOLDER}` | reads `config.json` and `model.safetensors` |
//! | `{"image": PATH, "threads": 2, "repeats": 5, "to": FOLDER}` | `ms` of each run after two unmeasured ones; writes `logits` and `pred_boxes` |
//!
//! Images are 640 x 640 pixels as 32-bit floats, channels last; so are the answers.

mod profile;

use escala_models::graph::{Input, Network, Output};
use escala_models::{Compute, rtdetr};
use escala_weights::Tensors;
use serde_json::{Value, json};
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SIDE: usize = 640;

fn open(folder: &Path) -> Result<Network> {
    let config = rtdetr::Config::read(&std::fs::read(folder.join("config.json"))?)?;
    let tensors = Tensors::open(folder.join("model.safetensors"))?;
    Ok(Network::compile(rtdetr::graph(&config, &tensors, SIDE)?)?)
}

fn input(data: &[f32]) -> Input<'_> {
    Input {
        name: rtdetr::INPUT,
        shape: &[1, SIDE, SIDE, 3],
        data,
    }
}

fn floats(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    let floats = bytes.as_chunks::<4>().0.iter();
    Ok(floats.map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|part| part == "--profile") {
        let folder = arguments.get(at + 1).ok_or("a folder is missing")?;
        return profile(&open(Path::new(folder))?);
    }
    let mut server = Server::default();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = match server.answer(&line?) {
            Ok(answer) => answer,
            Err(error) => json!({ "error": error.to_string() }),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

#[derive(Default)]
struct Server {
    network: Option<Network>,
    compute: Option<(u64, Compute)>,
}

impl Server {
    fn answer(&mut self, line: &str) -> Result<Value> {
        let request: Value = serde_json::from_str(line)?;
        if let Some(folder) = request["open"].as_str() {
            self.network = Some(open(Path::new(folder))?);
            return Ok(json!({}));
        }
        let text = |key: &str| request[key].as_str().ok_or("a path is missing");
        let number = |key: &str| request[key].as_u64().ok_or("a number is missing");
        let (threads, repeats) = (number("threads")?, number("repeats")?);
        if self
            .compute
            .as_ref()
            .is_none_or(|(count, _)| *count != threads)
        {
            self.compute = Some((threads, Compute::cpu(threads as usize)));
        }
        let (Some(network), Some((_, compute))) = (&self.network, &self.compute) else {
            return Err("nothing is open".into());
        };
        let data = floats(Path::new(text("image")?))?;
        let mut ms = Vec::new();
        let mut outputs: Vec<Output> = Vec::new();
        for turn in 0..repeats + 2 {
            let start = Instant::now();
            outputs = network.run(compute, &[input(&data)])?;
            if turn >= 2 {
                ms.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        let to = Path::new(text("to")?);
        for output in outputs {
            let data = output.tensor.data().iter();
            let bytes: Vec<u8> = data.flat_map(|value| value.to_le_bytes()).collect();
            std::fs::write(to.join(output.name), bytes)?;
        }
        Ok(json!({ "ms": ms }))
    }
}

/// The slowest steps of a network.
fn profile(network: &Network) -> Result<()> {
    let noise = |i: usize| (i * 7919 % 1021) as f32 / 1020.0;
    let data: Vec<f32> = (0..3 * SIDE * SIDE).map(noise).collect();
    Ok(profile::print_slowest(network, input(&data), 5)?)
}
