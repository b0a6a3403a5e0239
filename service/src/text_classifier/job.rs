//! Training jobs of the image `text-classification`.
//!
//! Channels have labelled texts: CSV of `label,text`, TSV, or JSON Lines of `{"text": …, "label": …}` (`source` in the place of
//! `text`, as in augmented manifests). Hyperparameters are those of SageMaker's text classification where they mean something
//! here: `epochs`, `batch_size`, `learning_rate`, `dropout_rate`, `train_only_on_top_layer`, `early_stopping`,
//! `early_stopping_patience`, `warmup_steps_fraction`, `max_seq_length`; `model`, `lora_rank` and `seed` are our own.

use super::trainer::{self, Machine, Method, Onlooker, Wanted};
use crate::failure::chain;
use crate::hosted::TRAINED;
use escala_learn::parameters::{Bound, Kind};
use escala_learn::{Parameter, Parameters, Watch};
use escala_models::compute::Device;
use escala_models::train::classifier::{Observer, Progress, Settings};
use escala_models::train::dataset::{self, Labelled};
use escala_models::train::metrics::Metrics;
use escala_sagemaker::served::Container;
use escala_sagemaker::training::{Channel, Failure, Lesson, Trainer};
use escala_weights::Store;
use std::fs::File;
use std::io::copy;
use std::sync::Arc;

const PARAMETERS: &[Parameter] = &[
    whole("epochs", 1, 1000, "3", "passes over the texts"),
    whole("batch_size", 1, 1024, "32", "texts of a step"),
    Parameter {
        name: "learning_rate",
        kind: Kind::Real(Bound::Excluded(0.0), Bound::Included(1.0)),
        default: None,
        required: false,
        help: "of the encoder at its highest; 1e-3 of adapters, 5e-5 of all weights",
    },
    real(
        "dropout_rate",
        0.0,
        0.9,
        "0.1",
        "activations that are dropped while learning",
    ),
    real(
        "warmup_steps_fraction",
        0.0,
        1.0,
        "0.06",
        "steps over which the rate rises",
    ),
    flag(
        "train_only_on_top_layer",
        "false",
        "only a layer on top of the encoder learns",
    ),
    flag("train_only_top_layer", "false", "the same by another name"),
    flag(
        "early_stopping",
        "true",
        "ends where the validation does not improve",
    ),
    whole(
        "early_stopping_patience",
        1,
        1000,
        "3",
        "evaluations that may be no better than the best",
    ),
    whole("max_seq_length", 8, 512, "128", "tokens read of a text"),
    text(
        "model",
        "all-minilm-l6-v2",
        "the encoder, by its name in the catalogue",
    ),
    whole(
        "lora_rank",
        0,
        256,
        "16",
        "rank of the adapters; 0 makes all weights learn",
    ),
    whole("seed", 0, i64::MAX, "1", "of everything random"),
];

const fn whole(
    name: &'static str,
    least: i64,
    most: i64,
    default: &'static str,
    help: &'static str,
) -> Parameter {
    declared(name, Kind::Integer(least, most), default, help)
}

const fn real(
    name: &'static str,
    least: f64,
    most: f64,
    default: &'static str,
    help: &'static str,
) -> Parameter {
    let kind = Kind::Real(Bound::Included(least), Bound::Included(most));
    declared(name, kind, default, help)
}

const fn flag(name: &'static str, default: &'static str, help: &'static str) -> Parameter {
    declared(name, Kind::Flag, default, help)
}

const fn text(name: &'static str, default: &'static str, help: &'static str) -> Parameter {
    declared(name, Kind::Text, default, help)
}

const fn declared(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Parameter {
    Parameter {
        name,
        kind,
        default: Some(default),
        required: false,
        help,
    }
}

/// The trainer.
pub struct TextClassification {
    /// Where encoders come from.
    pub weights: Arc<Store>,
    /// What computes.
    pub device: Device,
    /// Its threads.
    pub threads: usize,
}

fn client(why: impl std::fmt::Display) -> Failure {
    Failure::Client(why.to_string())
}

/// The labelled texts of a channel.
fn labelled(lesson: &Lesson<'_>, channel: &Channel) -> Result<Vec<Labelled>, Failure> {
    let disk = |error: std::io::Error| {
        Failure::Now(format!("what is learned from cannot be kept: {error}"))
    };
    let mut all = Vec::new();
    for (number, file) in channel.files.iter().enumerate() {
        let kind = channel.content_type.as_deref().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let ending = match kind {
            "text/csv" => "csv",
            "text/tab-separated-values" => "tsv",
            "application/jsonlines" | "application/x-jsonlines" => "jsonl",
            _ if !channel.attributes.is_empty() => "jsonl",
            "" => file.key.rsplit_once('.').map_or("", |(_, ending)| ending),
            other => {
                return Err(client(format!(
                    "channel {:?}: labelled texts are text/csv (label,text) or application/jsonlines, not {other}",
                    channel.name
                )));
            }
        };
        let path = lesson
            .scratch
            .join(format!("{}-{number}.{ending}", channel.name));
        let mut bytes = lesson.open(channel, file)?;
        copy(&mut bytes, &mut File::create(&path).map_err(disk)?).map_err(disk)?;
        let read = dataset::read(&path);
        // What is said of the copy is meant of the object.
        let named = |error: escala_models::Error| {
            let said = chain(&error).replace(&path.display().to_string(), &file.to_string());
            client(said)
        };
        all.extend(read.map_err(named)?);
        std::fs::remove_file(&path).map_err(disk)?;
    }
    Ok(all)
}

impl Trainer for TextClassification {
    fn repositories(&self) -> Vec<&'static str> {
        vec![TRAINED]
    }

    fn train(
        &self,
        _: &Container<'_>,
        lesson: &Lesson<'_>,
        watch: &mut dyn Watch,
    ) -> Result<(), Failure> {
        let given = Parameters::read(PARAMETERS, lesson.given())?;
        let channel = lesson.train_channel(&["train", "validation", "test"])?;
        lesson.check_size()?;
        let mut train = labelled(lesson, channel)?;
        let other = |name: &str| {
            lesson
                .channel(name)
                .map(|one| labelled(lesson, one))
                .transpose()
        };
        let dev = match other("validation")? {
            Some(dev) => dev,
            None => trainer::set_aside(&mut train),
        };
        let test = other("test")?.unwrap_or_default();
        let (whole, flag) = (
            |name| given.integer(name).unwrap_or(0),
            |name| given.flag(name) == Some(true),
        );
        let real = |name| given.real(name).unwrap_or(0.0);
        let top = ["train_only_on_top_layer", "train_only_top_layer"];
        let method = match (top.into_iter().any(flag), whole("lora_rank")) {
            (true, _) => Method::Head,
            (false, 0) => Method::Full,
            (false, _) => Method::Lora,
        };
        let wanted = Wanted {
            train,
            dev,
            test,
            base: given.text("model").unwrap_or_default().to_owned(),
            method,
            rank: whole("lora_rank").max(1) as usize,
            alpha: None,
            settings: Settings {
                epochs: whole("epochs") as u32,
                batch: whole("batch_size") as usize,
                rate: given.real("learning_rate").unwrap_or(match method {
                    Method::Full => 5e-5,
                    Method::Lora | Method::Head => 1e-3,
                }),
                warm_up: real("warmup_steps_fraction"),
                dropout: real("dropout_rate") as f32,
                patience: match flag("early_stopping") {
                    true => whole("early_stopping_patience") as u32,
                    false => 0,
                },
                seed: whole("seed") as u64,
                ..Settings::default()
            },
            max_tokens: whole("max_seq_length") as usize,
            prompt: String::new(),
            keep: true,
        };
        lesson.learning();
        let machine = Machine {
            weights: &self.weights,
            device: self.device.clone(),
            threads: self.threads,
        };
        let checkpoint = lesson.checkpoint.join("checkpoint.safetensors");
        let mut told = Told(watch);
        let learned = trainer::train(&machine, &wanted, lesson.folder, &checkpoint, &mut told);
        let learned = match learned {
            Ok(learned) => learned,
            Err(trainer::Error::Interrupted { kept: true }) => {
                watch.log("stopped: the best up to here is kept, as the last evaluation that was called best found it; its probabilities are not calibrated");
                return Ok(());
            }
            Err(trainer::Error::Interrupted { kept: false }) => return Err(Failure::Stopped),
            Err(error @ trainer::Error::File { .. }) => return Err(Failure::Now(chain(&error))),
            Err(error) => return Err(Failure::Client(chain(&error))),
        };
        let name = match learned.part {
            "test" => "test",
            _ => "validation",
        };
        watch.log(&format!(
            "{name}: accuracy {:.4}, macro F1 {:.3}, {} texts",
            learned.metrics.accuracy, learned.metrics.macro_f1, learned.metrics.count
        ));
        watch.metric(&format!("{name}:accuracy"), learned.metrics.accuracy);
        watch.metric(&format!("{name}:macro_f1"), learned.metrics.macro_f1);
        Ok(())
    }
}

/// The job's onlooker, told by the trainer.
struct Told<'a>(&'a mut dyn Watch);

impl Observer for Told<'_> {
    fn step(&mut self, progress: Progress) -> bool {
        self.0.progress(progress.step, progress.steps);
        self.0.stopped()
    }

    fn evaluated(&mut self, progress: Progress, metrics: &Metrics, best: bool) {
        self.0.log(&format!(
            "step {}/{} loss {:.4} validation loss {:.4} accuracy {:.4} macro F1 {:.3}{}",
            progress.step,
            progress.steps,
            progress.loss,
            metrics.loss,
            metrics.accuracy,
            metrics.macro_f1,
            if best { " best" } else { "" }
        ));
        self.0.metric("train:loss", progress.loss);
        self.0.metric("validation:loss", metrics.loss);
        self.0.metric("validation:accuracy", metrics.accuracy);
    }
}

impl Onlooker for Told<'_> {
    fn say(&mut self, line: &str) {
        self.0.log(line);
    }

    fn labels(&mut self, labels: &[String]) {
        self.0.log(&format!("labels: {}", labels.join(", ")));
    }

    fn seen(&mut self, texts: u64, of: u64) {
        self.0.progress(texts, of);
    }
}
