//! `escala train …`: fine-tuning on the user's own labelled texts; what learns from tables is in [`super::learn`].

use super::{Stop, learn, output};
use crate::config::Config;
use crate::machine;
use crate::text_classifier::trainer::{self, Machine, Method, Onlooker, Wanted};
use clap::{Args, Subcommand, ValueEnum};
use escala_models::train::classifier::{Observer, Progress, Settings};
use escala_models::train::dataset::{self, Labelled};
use escala_models::train::metrics::Metrics;
use escala_models::train::ratings::{self, Rated};
use escala_weights::Terminal;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The catalogue's name of the rated sentences.
const RATINGS: &str = "vader-ratings";

#[derive(Debug, Subcommand)]
pub enum Train {
    /// Fine-tune a sentence encoder as a classifier of texts.
    TextClassifier(Box<TextClassifierArgs>),
    /// Learn from a table of numbers: xgboost, linear-learner, kmeans, pca, knn, randomcutforest.
    Table(learn::TableArgs),
    /// List what may be set of an algorithm that learns from tables.
    Parameters(learn::ParametersArgs),
    /// Write the rated sentences that the sentiment model is trained on, split and composed.
    SentimentData(SentimentDataArgs),
}

/// What of the encoder learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MethodChoice {
    /// Low-rank adapters: small files, merged into the base when they are loaded.
    Lora,
    /// All weights.
    Full,
    /// Nothing: only a linear layer on top learns. Minutes instead of hours, and several points worse.
    Head,
}

impl From<MethodChoice> for Method {
    fn from(choice: MethodChoice) -> Self {
        match choice {
            MethodChoice::Lora => Self::Lora,
            MethodChoice::Full => Self::Full,
            MethodChoice::Head => Self::Head,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples are read from .jsonl ({\"text\": …, \"label\": …} or {\"text\": …, \"target\": {label: probability, …}})
and from .csv or .tsv (label,text).

A run that was stopped (Ctrl-C, or worse) goes on where it was when the same command is given again.

Example:
  escala train text-classifier --train train.csv --dev dev.csv --output my-classifier"
)]
pub struct TextClassifierArgs {
    /// Examples to learn from.
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Examples to stop early and to calibrate by; without them a tenth of the training examples is set aside.
    #[arg(long, value_name = "FILE")]
    dev: Option<PathBuf>,
    /// Examples to report on at the end.
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// Folder that the classifier and its figures are written to.
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
    /// The encoder, by its name in the catalogue.
    #[arg(long, default_value = "all-minilm-l6-v2", value_name = "MODEL")]
    base: String,
    /// What of the encoder learns.
    #[arg(long, value_enum, default_value = "lora")]
    method: MethodChoice,
    /// Rank of the adapters.
    #[arg(long, default_value_t = 16, value_name = "N")]
    rank: usize,
    /// Numerator of the adapters' factor; the rank, unless given.
    #[arg(long, value_name = "NUMBER")]
    alpha: Option<f64>,
    /// Passes over the examples.
    #[arg(long, default_value_t = 3, value_name = "N")]
    epochs: u32,
    /// Examples in a step.
    #[arg(long, default_value_t = 32, value_name = "N")]
    batch: usize,
    /// Learning rate of the encoder at its highest; 1e-3 for adapters and 5e-5 for all weights, unless given.
    #[arg(long, value_name = "NUMBER")]
    rate: Option<f64>,
    /// Learning rate of the classifying layer.
    #[arg(long, default_value_t = 1e-3, value_name = "NUMBER")]
    head_rate: f64,
    /// Share of the steps over which the rates rise.
    #[arg(long, default_value_t = 0.06, value_name = "SHARE")]
    warm_up: f64,
    /// Decoupled weight decay.
    #[arg(long, default_value_t = 0.01, value_name = "NUMBER")]
    weight_decay: f64,
    /// Share of activations dropped while learning.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    dropout: f32,
    /// Evaluations in each epoch.
    #[arg(long, default_value_t = 2, value_name = "N")]
    evaluations: u32,
    /// Evaluations without improvement after which training stops; 0: never.
    #[arg(long, default_value_t = 3, value_name = "N")]
    patience: u32,
    /// Tokens read of each text.
    #[arg(long, default_value_t = 128, value_name = "N")]
    max_tokens: usize,
    /// Put before every text; some encoders were trained with one ("query: ").
    #[arg(long, default_value = "", value_name = "TEXT")]
    prompt: String,
    /// Source of everything random: the same seed, data and number of threads give the same model.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Forget a run that was stopped in the same folder.
    #[arg(long)]
    fresh: bool,
}

#[derive(Debug, Args)]
pub struct SentimentDataArgs {
    /// Folder that train.jsonl, dev.jsonl and test.jsonl are written to.
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
    /// Joined examples of mixed sentiment, and as many that are not.
    #[arg(long, default_value_t = 1500, value_name = "N")]
    composed: usize,
}

pub fn run(config: &Config, train: Train) -> Result<(), Stop> {
    match train {
        Train::TextClassifier(args) => text_classifier(config, &args),
        Train::Table(args) => learn::train(&args),
        Train::Parameters(args) => learn::parameters(&args),
        Train::SentimentData(args) => sentiment_data(config, &args),
    }
}

fn stop(error: impl std::error::Error) -> Stop {
    Stop::failed(&error)
}

fn at<'a>(path: &'a Path) -> impl FnOnce(std::io::Error) -> Stop + 'a {
    move |error| Stop::Failed(format!("{}: {error}", path.display()))
}

fn sentiment_data(config: &Config, args: &SentimentDataArgs) -> Result<(), Stop> {
    let store = machine::store(config).map_err(stop)?;
    let files = store.ensure(RATINGS, &Terminal::new()).map_err(stop)?;
    let archive = files.path("ratings.tar.gz").map_err(stop)?;
    let mut split = ratings::open(&archive).map_err(stop)?;
    let composed = ratings::composed(&split.train, args.composed, 7);
    split.train.extend(composed);
    std::fs::create_dir_all(&args.output).map_err(at(&args.output))?;
    for (name, part) in [
        ("train.jsonl", &split.train),
        ("dev.jsonl", &split.dev),
        ("test.jsonl", &split.test),
    ] {
        let path = args.output.join(name);
        write_rated(&path, part).map_err(at(&path))?;
        output::print(&format!("{}: {} sentences\n", path.display(), part.len()))?;
    }
    Ok(())
}

fn write_rated(path: &Path, part: &[Rated]) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for rated in part {
        let target: serde_json::Map<_, _> = ratings::LABELS
            .iter()
            .zip(rated.target)
            .map(|(label, p)| ((*label).to_owned(), json!(p)))
            .collect();
        let line = json!({
            "text": rated.text, "target": target, "mean": rated.mean, "domain": rated.domain,
        });
        writeln!(out, "{line}")?;
    }
    out.into_inner()?.sync_all()
}

fn text_classifier(config: &Config, args: &TextClassifierArgs) -> Result<(), Stop> {
    let [train, dev, test] = parts(args)?;
    let wanted = Wanted {
        train,
        dev,
        test,
        base: args.base.clone(),
        method: args.method.into(),
        rank: args.rank,
        alpha: args.alpha,
        settings: Settings {
            epochs: args.epochs,
            batch: args.batch,
            rate: args.rate.unwrap_or(match args.method {
                MethodChoice::Full => 5e-5,
                MethodChoice::Lora | MethodChoice::Head => 1e-3,
            }),
            head_rate: args.head_rate,
            warm_up: args.warm_up,
            weight_decay: args.weight_decay,
            dropout: args.dropout,
            evaluations: args.evaluations,
            patience: args.patience,
            seed: args.seed,
            ..Settings::default()
        },
        max_tokens: args.max_tokens,
        prompt: args.prompt.clone(),
        keep: false,
        earlier: None,
    };
    let store = machine::store(config).map_err(stop)?;
    store.ensure(&args.base, &Terminal::new()).map_err(stop)?;
    std::fs::create_dir_all(&args.output).map_err(at(&args.output))?;
    let checkpoint = args.output.join("checkpoint.safetensors");
    if args.fresh && checkpoint.exists() {
        std::fs::remove_file(&checkpoint).map_err(at(&checkpoint))?;
    }
    let machine = Machine {
        weights: &store,
        device: config.engine.device.open().map_err(stop)?,
        threads: machine::threads(config),
    };
    let mut watch = Watch::new()?;
    let learned = trainer::train(&machine, &wanted, &args.output, &checkpoint, &mut watch);
    watch.bar.finish_and_clear();
    let learned = match learned {
        Err(trainer::Error::Interrupted { .. }) => {
            return Err(Stop::Failed(format!(
                "stopped; the same command goes on from {}",
                checkpoint.display()
            )));
        }
        learned => learned.map_err(stop)?,
    };
    match std::fs::remove_file(&checkpoint) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(at(&checkpoint)(error));
        }
        _ => {}
    }
    output::print(&format!(
        "{}: accuracy {:.4}, macro F1 {:.3} on {} ({} examples)\n",
        args.output.display(),
        learned.metrics.accuracy,
        learned.metrics.macro_f1,
        learned.part,
        learned.metrics.count,
    ))
}

/// Training, development and test examples.
fn parts(args: &TextClassifierArgs) -> Result<[Vec<Labelled>; 3], Stop> {
    let read = |path: &PathBuf| dataset::read(path).map_err(stop);
    let mut train = read(&args.train)?;
    let dev = match &args.dev {
        Some(path) => read(path)?,
        None => trainer::set_aside(&mut train, trainer::SHARE),
    };
    let test = args
        .test
        .as_ref()
        .map(read)
        .transpose()?
        .unwrap_or_default();
    Ok([train, dev, test])
}

fn bar(of: &str) -> ProgressBar {
    let bar = ProgressBar::no_length();
    let template = format!("{{wide_bar}} {{pos}}/{{len}} {of}  {{elapsed}}<{{eta}}  {{msg}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

/// Shows where a run is, and asks it to stop on Ctrl-C.
struct Watch {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
    labels: Vec<String>,
    started: Instant,
    loss: f64,
}

impl Watch {
    fn new() -> Result<Self, Stop> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = interrupted.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(stop)?;
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
                    flag.store(true, Ordering::Relaxed);
                }
            })
            .map_err(stop)?;
        Ok(Self {
            bar: bar("steps"),
            interrupted,
            labels: Vec::new(),
            started: Instant::now(),
            loss: 0.0,
        })
    }
}

impl Onlooker for Watch {
    fn say(&mut self, line: &str) {
        self.bar.suspend(|| note!("{line}"));
    }

    fn labels(&mut self, labels: &[String]) {
        self.labels = labels.to_vec();
    }

    fn seen(&mut self, texts: u64, of: u64) {
        self.bar.set_length(of);
        self.bar.set_position(texts);
    }
}

impl Observer for Watch {
    fn step(&mut self, progress: Progress) -> bool {
        self.loss = if self.loss == 0.0 {
            progress.loss
        } else {
            0.98 * self.loss + 0.02 * progress.loss
        };
        self.bar.set_length(progress.steps);
        self.bar.set_position(progress.step);
        self.bar.set_message(format!("loss {:.4}", self.loss));
        self.interrupted.load(Ordering::Relaxed)
    }

    fn evaluated(&mut self, progress: Progress, metrics: &Metrics, best: bool) {
        let f1: Vec<String> = self
            .labels
            .iter()
            .zip(&metrics.labels)
            .take(8)
            .map(|(label, figures)| format!("{label} {:.3}", figures.f1))
            .collect();
        let line = format!(
            "step {}/{}  {:.0} s  loss {:.4}  dev loss {:.4}  accuracy {:.4}  macro F1 {:.3}  ({}){}",
            progress.step,
            progress.steps,
            self.started.elapsed().as_secs_f64(),
            self.loss,
            metrics.loss,
            metrics.accuracy,
            metrics.macro_f1,
            f1.join(", "),
            if best { "  best" } else { "" },
        );
        if self.bar.is_hidden() {
            note!("{line}");
        } else {
            self.bar.println(line);
        }
    }
}
