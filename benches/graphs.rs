//! The question: how long does the graph runtime take for each vision network on this machine?
//!
//! ```text
//! cargo bench --bench graphs                        # a table for one and all cores
//! cargo bench --bench graphs -- --profile pp-ocr-v6/det   # the slowest steps of one network
//! benches/graphs.sh                                 # all of them beside ONNX Runtime and TensorFlow.js
//! cargo bench --bench graphs -- --contender         # what graphs.sh talks to
//! ```
//!
//! As a contender it answers one JSON line on standard output for each request on standard input:
//!
//! | request | answer |
//! | --- | --- |
//! | `{"list": true}` | the networks: `name`, `shape`, `offset`, `scale` and `form` of each |
//! | `{"files": NAME}` | the paths of the network's files |
//! | `{"export": NAME, "to": PATH}` | writes the network as an ONNX file |
//! | `{"network": NAME, "threads": 2, "repeats": 5}` | `ms` of each run, and samples of every output |
//!
//! Loading and two unmeasured runs come before the clock starts. Inputs are those of `tests/golden/make_graphs.py`.

mod profile;

use escala_models::Compute;
use escala_models::faces;
use escala_models::graph::{Graph, Input, Network, Output};
use escala_models::kernels::Isa;
use escala_weights::{Store, StoreOptions, Tensors, Terminal};
use profile::print_slowest;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// An architecture of ours for published weights.
type Build = fn(&Tensors) -> std::result::Result<Graph, faces::Error>;

/// Where a network comes from.
#[derive(Clone, Copy)]
enum Form {
    /// `ENTRY/FILE` is an ONNX file.
    Onnx,
    /// A TensorFlow.js graph.
    Tfjs,
    Built(Build),
}

/// A network, its input's shape, and the range of its values; what follows ` of ` says what is special about a case.
#[derive(Clone, Copy)]
struct Case(&'static str, Form, &'static [usize], f32, f32);

const CASES: [Case; 18] = [
    Case(
        "open-nsfw/model",
        Form::Onnx,
        &[1, 224, 224, 3],
        -117.0,
        255.0,
    ),
    Case("pp-ocr-v6/det", Form::Onnx, &[1, 3, 640, 320], -1.0, 2.0),
    Case(
        "pp-ocr-v6/det of a photograph",
        Form::Onnx,
        &[1, 3, 1504, 2016],
        -1.0,
        2.0,
    ),
    Case("pp-ocr-v6/rec", Form::Onnx, &[1, 3, 48, 320], -1.0, 2.0),
    Case("pp-ocr-v6/cls", Form::Onnx, &[1, 3, 48, 192], -1.0, 2.0),
    Case("nanodet-g", Form::Tfjs, &[1, 3, 416, 416], -2.0, 4.0),
    Case(
        "nsfwjs-mobilenet-v2",
        Form::Tfjs,
        &[1, 224, 224, 3],
        0.0,
        1.0,
    ),
    Case(
        "movenet-lightning",
        Form::Tfjs,
        &[1, 192, 192, 3],
        0.0,
        255.0,
    ),
    Case("face-mesh", Form::Tfjs, &[1, 192, 192, 3], 0.0, 1.0),
    Case("face-iris", Form::Tfjs, &[1, 64, 64, 3], 0.0, 1.0),
    Case(
        "face-ssd-mobilenetv1",
        Form::Built(faces::detector),
        &[1, 512, 512, 3],
        -1.0,
        2.0,
    ),
    Case(
        "face-mtcnn/propose",
        Form::Built(faces::cascade::propose),
        &[1, 385, 577, 3],
        -1.0,
        2.0,
    ),
    Case(
        "face-mtcnn/refine",
        Form::Built(faces::cascade::refine),
        &[32, 24, 24, 3],
        -1.0,
        2.0,
    ),
    Case(
        "face-mtcnn/confirm",
        Form::Built(faces::cascade::confirm),
        &[16, 48, 48, 3],
        -1.0,
        2.0,
    ),
    Case(
        "face-landmarks-68",
        Form::Built(faces::landmarks),
        &[1, 112, 112, 3],
        -1.0,
        2.0,
    ),
    Case(
        "face-expression",
        Form::Built(faces::expression),
        &[1, 112, 112, 3],
        -1.0,
        2.0,
    ),
    Case(
        "face-age-gender",
        Form::Built(faces::age_gender),
        &[1, 112, 112, 3],
        -1.0,
        2.0,
    ),
    Case(
        "face-descriptor",
        Form::Built(faces::descriptor),
        &[1, 150, 150, 3],
        -1.0,
        2.0,
    ),
];

fn case(name: &str) -> Result<Case> {
    let found = CASES.into_iter().find(|case| case.0 == name);
    found.ok_or_else(|| "no such network".into())
}

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
    fn files(&self, case: Case) -> Result<Vec<PathBuf>> {
        let name = case.0.split(" of ").next().unwrap_or(case.0);
        let (entry, file) = name.split_once('/').unwrap_or((name, ""));
        let files = self.store.ensure(entry, &Terminal::new())?;
        let names = match case.1 {
            Form::Onnx => vec![format!("{file}.onnx")],
            Form::Tfjs => vec!["graph.json".to_owned(), "model.safetensors".to_owned()],
            Form::Built(_) if file.is_empty() => vec!["model.safetensors".to_owned()],
            Form::Built(_) => vec![format!("{file}.safetensors")],
        };
        let paths = names.iter().map(|name| files.path(name));
        Ok(paths.collect::<std::result::Result<_, _>>()?)
    }

    fn graph(&self, case: Case) -> Result<Graph> {
        let files = self.files(case)?;
        Ok(match case.1 {
            Form::Onnx => Graph::open_onnx(&files[0])?,
            Form::Tfjs => Graph::open_tfjs_files(&files[0], &files[1])?,
            Form::Built(build) => build(&Tensors::open(&files[0])?)?,
        })
    }

    fn load(&mut self, name: &str) -> Result<()> {
        if !self.loaded.contains_key(name) {
            let network = Network::compile(self.graph(case(name)?)?)?;
            self.loaded.insert(name.to_owned(), network);
        }
        Ok(())
    }

    /// Milliseconds of each of `repeats` runs after two unmeasured ones, and what the last gave.
    fn time(
        &mut self,
        name: &str,
        threads: usize,
        repeats: usize,
    ) -> Result<(Vec<f64>, Vec<Output>)> {
        self.load(name)?;
        let Case(_, _, shape, ..) = case(name)?;
        // A team that is not in use would still spin for a moment between two cases: keep only one.
        self.computes.retain(|&count, _| count == threads);
        let computes = &mut self.computes;
        let compute = &*computes
            .entry(threads)
            .or_insert_with(|| Compute::cpu(threads));
        let network = &self.loaded[name];
        let data = noise(name)?;
        let input = network.inputs().next().ok_or("no inputs")?.name.clone();
        let input = Input {
            name: &input,
            shape,
            data: &data,
        };
        let mut last = Vec::new();
        let mut ms = Vec::with_capacity(repeats);
        for turn in 0..repeats + 2 {
            let start = Instant::now();
            let outputs = network.run(compute, &[input])?;
            if turn >= 2 {
                ms.push(start.elapsed().as_secs_f64() * 1e3);
            }
            last = outputs;
        }
        Ok((ms, last))
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
        let text = |key: &str| request[key].as_str();
        let number = |key: &str| request[key].as_u64().ok_or("a number is missing");
        if request["list"] == true {
            let described = CASES.map(|Case(name, form, shape, offset, scale)| {
                let form = match form {
                    Form::Onnx => "onnx",
                    Form::Tfjs => "tfjs",
                    Form::Built(_) => "built",
                };
                json!({"name": name, "form": form, "shape": shape, "offset": offset, "scale": scale})
            });
            return Ok(json!(described));
        }
        if let Some(name) = text("files") {
            return Ok(json!(self.files(case(name)?)?));
        }
        if let Some(name) = text("export") {
            let case = case(name)?;
            let bytes = self.graph(case)?.to_onnx(&[case.2])?;
            std::fs::write(text("to").ok_or("`to` is missing")?, bytes)?;
            return Ok(json!({}));
        }
        let name = text("network").ok_or("`network` is missing")?;
        let (threads, repeats) = (number("threads")? as usize, number("repeats")? as usize);
        let (ms, outputs) = self.time(name, threads, repeats)?;
        let outputs: HashMap<String, Value> = outputs
            .into_iter()
            .map(|output| {
                // A hundred values, spread evenly.
                let data = output.tensor.data();
                let count = data.len().min(100);
                let at: Vec<usize> = (0..count).map(|i| i * data.len() / count).collect();
                let values: Vec<f32> = at.iter().map(|&at| data[at]).collect();
                let shape = output.tensor.shape();
                (
                    output.name,
                    json!({"shape": shape, "at": at, "values": values}),
                )
            })
            .collect();
        Ok(json!({ "ms": ms, "outputs": outputs }))
    }

    fn table(&mut self) -> Result<()> {
        let cores = std::thread::available_parallelism()?.get();
        println!(
            "{} on up to {cores} threads; median and best of 25 runs",
            Isa::best().name()
        );
        for Case(name, _, shape, ..) in CASES {
            for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
                let (mut ms, _) = self.time(name, threads, 25)?;
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
        let Case(_, _, shape, ..) = case(name)?;
        let network = &self.loaded[name];
        let data = noise(name)?;
        let input = network.inputs().next().ok_or("no inputs")?.name.clone();
        let input = Input {
            name: &input,
            shape,
            data: &data,
        };
        Ok(print_slowest(network, input, 15)?)
    }
}

fn noise(name: &str) -> Result<Vec<f32>> {
    let Case(_, _, shape, offset, scale) = case(name)?;
    let count: usize = shape.iter().product();
    let value = |i: usize| offset + scale * (i * 7919 % 1021) as f32 / 1020.0;
    Ok((0..count).map(value).collect())
}
