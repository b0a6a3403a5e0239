//! Times transfer learning and tuning of the image network on images that `benches/peers/tune_images.py` wrote: a line of
//! JSON.
//!
//! `cargo run --release -p escala-models --example tune_bench -- <folder>`, where `about.json` says what is there: grey
//! images of 224 x 224 bytes in `images`, a byte for the class of each in `labels`, those to learn from first.

use candle_core::Device;
use escala_models::Compute;
use escala_models::efficientnet::{EfficientNetLite, FEATURES, INPUT, SIDE};
use escala_models::train::classifier::{Observer, Progress, Settings};
use escala_models::train::head;
use escala_models::train::image::{Augmentation, Images, Tuner};
use escala_models::train::loss::Loss;
use escala_models::train::metrics::{Metrics, argmax};
use escala_weights::{Store, StoreOptions, Tensors, Terminal};
use serde::Deserialize;
use std::path::Path;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Deserialize)]
struct About {
    train: usize,
    classes: usize,
    threads: usize,
    head_epochs: u32,
    head_rate: f64,
    epochs: u32,
    rate: f64,
    tuned_head_rate: f64,
    batch: usize,
    warm_up: f64,
    weight_decay: f64,
    dropout: f32,
    shift: usize,
    seed: u64,
}

struct Grey<'a> {
    pixels: &'a [u8],
    classes: Vec<u32>,
}

impl<'a> Grey<'a> {
    fn new(pixels: &'a [u8], labels: &[u8]) -> Self {
        Self {
            pixels,
            classes: labels.iter().map(|&label| label.into()).collect(),
        }
    }
}

impl Images for Grey<'_> {
    fn count(&self) -> usize {
        self.classes.len()
    }

    fn classes(&self, index: usize) -> &[u32] {
        std::slice::from_ref(&self.classes[index])
    }

    fn read(&mut self, indices: &[usize], out: &mut [f32]) -> escala_models::Result<()> {
        for (&index, out) in indices.iter().zip(out.chunks_exact_mut(INPUT)) {
            let grey = &self.pixels[index * SIDE * SIDE..][..SIDE * SIDE];
            for (grey, pixel) in grey.iter().zip(out.chunks_exact_mut(3)) {
                pixel.fill((f32::from(*grey) - 127.0) / 128.0);
            }
        }
        Ok(())
    }
}

struct Clock {
    since: Instant,
    steps: Vec<f64>,
    losses: Vec<f64>,
}

impl Observer for Clock {
    fn step(&mut self, progress: Progress) -> bool {
        self.steps.push(self.since.elapsed().as_secs_f64());
        self.losses.push(progress.loss);
        self.since = Instant::now();
        false
    }

    fn evaluated(&mut self, _: Progress, _: &Metrics, _: bool) {
        self.since = Instant::now();
    }
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).ok_or("a folder")?;
    let folder = Path::new(&folder);
    let about: About = serde_json::from_slice(&std::fs::read(folder.join("about.json"))?)?;
    let pixels = std::fs::read(folder.join("images"))?;
    let labels = std::fs::read(folder.join("labels"))?;
    let (pixels, held_pixels) = pixels.split_at(about.train * SIDE * SIDE);
    let (labels, held_labels) = labels.split_at(about.train);
    let mut train = Grey::new(pixels, labels);
    let mut held = Grey::new(held_pixels, held_labels);

    let store = Store::open(StoreOptions::default())?;
    let path = store
        .ensure("efficientnet-lite0", &Terminal::new())?
        .path("model.safetensors")?;
    let compute = Compute::cpu(about.threads);
    let network = EfficientNetLite::load(&path, &Device::Cpu)?;
    let vectors = |images: &mut Grey<'_>| -> Result<Vec<Vec<f32>>> {
        let all: Vec<usize> = (0..images.classes.len()).collect();
        let mut vectors = Vec::new();
        for indices in all.chunks(32) {
            let mut values = vec![0.0; indices.len() * INPUT];
            images.read(indices, &mut values)?;
            let seen = network.forward(&compute, &values)?;
            vectors.extend(seen.features.chunks_exact(FEATURES).map(<[f32]>::to_vec));
        }
        Ok(vectors)
    };
    let began = Instant::now();
    let (seen, held_seen) = (vectors(&mut train)?, vectors(&mut held)?);
    let targets: Vec<Vec<f32>> = labels
        .iter()
        .map(|&label| {
            let mut target = vec![0.0; about.classes];
            target[usize::from(label)] = 1.0;
            target
        })
        .collect();
    let settings = Settings {
        epochs: about.head_epochs,
        batch: about.batch,
        head_rate: about.head_rate,
        warm_up: 0.0,
        weight_decay: about.weight_decay,
        patience: 0,
        seed: about.seed,
        ..Settings::default()
    };
    let none: (&[Vec<f32>], &[Vec<f32>]) = (&[], &[]);
    let layer = head::train(
        &seen,
        &targets,
        none,
        (about.classes, &Loss::Softmax),
        &settings,
        &mut || false,
    )?;
    let layer_seconds = began.elapsed().as_secs_f64();
    let right = held_seen
        .iter()
        .zip(held_labels)
        .filter(|(seen, label)| argmax(&layer.apply(seen)) == usize::from(**label))
        .count();

    let settings = Settings {
        epochs: about.epochs,
        rate: about.rate,
        head_rate: about.tuned_head_rate,
        warm_up: about.warm_up,
        dropout: about.dropout,
        evaluations: 1,
        ..settings
    };
    let augmentation = Augmentation {
        shift: about.shift,
        ..Augmentation::default()
    };
    let tensors = Tensors::open(&path)?;
    let mut tuner = Tuner::new(&tensors, &layer, settings, augmentation, &compute.team)?;
    let mut clock = Clock {
        since: Instant::now(),
        steps: Vec::new(),
        losses: Vec::new(),
    };
    let mut nothing = Grey::new(&[], &[]);
    tuner.train(&mut train, &mut nothing, None, &mut clock)?;
    let figures = tuner.evaluate(&mut held)?;
    println!(
        "{}",
        serde_json::json!({
            "layer": right as f64 / held_labels.len() as f64,
            "layer_seconds": layer_seconds,
            "tuned": figures.accuracy,
            "steps": clock.steps,
            "losses": clock.losses,
        })
    );
    Ok(())
}
