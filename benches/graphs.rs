//! The question: how long does the graph runtime take for each vision network on this machine?
//!
//! ```text
//! cargo bench --bench graphs                        # a table for one and all cores
//! cargo bench --bench graphs -- --profile pp-ocr-v6/det   # the slowest steps of one network
//! benches/graphs.sh                                 # the ONNX networks beside ONNX Runtime
//! cargo bench --bench graphs -- --contender         # what graphs.sh talks to
//! ```
//!
//! As a contender it answers one JSON line on standard output for each request on standard input:
//! `{"network": …, "shape": […], "threads": 2, "repeats": 5}` gives `{"ms": […], "output": […]}`. Loading and one
//! unmeasured run come before the clock starts. Inputs are those of `tests/golden/make_graphs.py`.

use escala_models::Compute;
use escala_models::graph::{Graph, Input, Network};
use escala_models::kernels::Isa;
use escala_weights::{Store, StoreOptions, Terminal};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The networks, their input's shape, and the range of its values.
const NETWORKS: [(&str, &[usize], f32, f32); 9] = [
    ("open-nsfw/model", &[1, 224, 224, 3], -117.0, 255.0),
    ("pp-ocr-v6/det", &[1, 3, 640, 320], -1.0, 2.0),
    ("pp-ocr-v6/rec", &[1, 3, 48, 320], -1.0, 2.0),
    ("pp-ocr-v6/cls", &[1, 3, 48, 192], -1.0, 2.0),
    ("nanodet-g", &[1, 3, 416, 416], -2.0, 4.0),
    ("nsfwjs-mobilenet-v2", &[1, 224, 224, 3], 0.0, 1.0),
    ("movenet-lightning", &[1, 192, 192, 3], 0.0, 255.0),
    ("face-mesh", &[1, 192, 192, 3], 0.0, 1.0),
    ("face-iris", &[1, 64, 64, 3], 0.0, 1.0),
];

struct Networks {
    store: Store,
    loaded: HashMap<String, Network>,
    /// By number of threads.
    computes: HashMap<usize, Compute>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let mut networks = Networks {
        store: Store::open(StoreOptions::default())?,
        loaded: HashMap::new(),
        computes: HashMap::new(),
    };
    let after = |flag: &str| arguments.iter().position(|argument| argument == flag);
    if after("--contender").is_some() {
        networks.serve()
    } else if let Some(name) = after("--profile").and_then(|at| arguments.get(at + 1)) {
        networks.profile(name)
    } else {
        networks.table()
    }
}

impl Networks {
    fn load(&mut self, name: &str) -> Result<()> {
        if self.loaded.contains_key(name) {
            return Ok(());
        }
        let (entry, file) = name.split_once('/').unwrap_or((name, ""));
        let files = self.store.ensure(entry, &Terminal::new())?;
        let graph = if file.is_empty() {
            Graph::open_tfjs_files(files.path("graph.json")?, files.path("model.safetensors")?)?
        } else {
            Graph::open_onnx(files.path(&format!("{file}.onnx"))?)?
        };
        self.loaded
            .insert(name.to_owned(), Network::compile(graph)?);
        Ok(())
    }

    /// Milliseconds of each of `repeats` runs after two unmeasured ones, and the first numbers of the output.
    fn time(
        &mut self,
        name: &str,
        shape: &[usize],
        threads: usize,
        repeats: usize,
    ) -> Result<(Vec<f64>, Vec<f32>)> {
        self.load(name)?;
        // A team that is not in use would still spin for a moment between two cases: keep only one.
        self.computes.retain(|&count, _| count == threads);
        let computes = &mut self.computes;
        let compute = &*computes
            .entry(threads)
            .or_insert_with(|| Compute::cpu(threads));
        let network = &self.loaded[name];
        let data = noise(name, shape)?;
        let input = network.inputs().next().ok_or("no inputs")?.name.clone();
        let input = Input {
            name: &input,
            shape,
            data: &data,
        };
        let mut first = Vec::new();
        let mut ms = Vec::with_capacity(repeats);
        for turn in 0..repeats + 2 {
            let start = Instant::now();
            let outputs = network.run(compute, &[input])?;
            if turn >= 2 {
                ms.push(start.elapsed().as_secs_f64() * 1e3);
            }
            let values = outputs.first().map(|output| output.tensor.data());
            first = values.into_iter().flatten().take(8).copied().collect();
        }
        Ok((ms, first))
    }

    /// Answers requests until standard input closes.
    fn serve(&mut self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        for line in std::io::stdin().lock().lines() {
            let answer = match self.answer(&line?) {
                Ok(answer) => answer,
                Err(error) => json!({ "error": error.to_string() }),
            };
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
        Ok(())
    }

    fn answer(&mut self, line: &str) -> Result<Value> {
        let request: Value = serde_json::from_str(line)?;
        let name = request["network"].as_str().ok_or("`network` is missing")?;
        let shape: Vec<usize> = serde_json::from_value(request["shape"].clone())?;
        let number = |key: &str| request[key].as_u64().ok_or("a number is missing");
        let (threads, repeats) = (number("threads")? as usize, number("repeats")? as usize);
        let (ms, output) = self.time(name, &shape, threads, repeats)?;
        Ok(json!({ "ms": ms, "output": output }))
    }

    fn table(&mut self) -> Result<()> {
        let cores = std::thread::available_parallelism()?.get();
        println!(
            "{} on up to {cores} threads; median and best of 25 runs",
            Isa::best().name()
        );
        for (name, shape, ..) in NETWORKS {
            for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
                let (mut ms, _) = self.time(name, shape, threads, 25)?;
                ms.sort_by(f64::total_cmp);
                println!(
                    "{name:20} {:18} {threads} threads  median {:8.3} ms  best {:8.3} ms",
                    format!("{shape:?}"),
                    ms[ms.len() / 2],
                    ms[0]
                );
            }
        }
        Ok(())
    }

    /// The slowest steps of a network on one thread.
    fn profile(&mut self, name: &str) -> Result<()> {
        self.load(name)?;
        let (_, shape, ..) = NETWORKS
            .into_iter()
            .find(|(other, ..)| *other == name)
            .ok_or("no such network")?;
        let network = &self.loaded[name];
        let data = noise(name, shape)?;
        let input = network.inputs().next().ok_or("no inputs")?.name.clone();
        let input = Input {
            name: &input,
            shape,
            data: &data,
        };
        let compute = Compute::cpu(1);
        let mut steps: Vec<(String, Vec<u64>)> = Vec::new();
        for _ in 0..15 {
            let (_, times) = network.profile(&compute, &[input])?;
            steps.resize_with(times.len(), Default::default);
            for (step, time) in steps.iter_mut().zip(times) {
                step.0 = format!("{} ({})", time.what, time.node);
                step.1.push(time.nanoseconds);
            }
        }
        let mut rows: Vec<(u64, String)> = steps
            .into_iter()
            .map(|(what, mut times)| {
                times.sort_unstable();
                (times[times.len() / 2], what)
            })
            .collect();
        rows.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        let total: u64 = rows.iter().map(|(time, _)| time).sum();
        println!("{} us in {} steps", total / 1000, rows.len());
        for (time, what) in rows.iter().take(40) {
            println!("{:8} us  {what}", time / 1000);
        }
        Ok(())
    }
}

fn noise(name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let (.., offset, scale) = NETWORKS
        .into_iter()
        .find(|(other, ..)| *other == name)
        .ok_or("no such network")?;
    let count: usize = shape.iter().product();
    let value = |i: usize| offset + scale * (i * 7919 % 1021) as f32 / 1020.0;
    Ok((0..count).map(value).collect())
}
