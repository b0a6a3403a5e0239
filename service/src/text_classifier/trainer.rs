//! Labelled texts become a classifier: an encoder of the catalogue learns, or adapters beside it, or a layer on top.

use escala_models::Compute;
use escala_models::bert::{Config as Encoder, SentenceEncoder, Tokenizer};
use escala_models::compute::Device;
use escala_models::team::Team;
use escala_models::train::adapter::{self, AdapterConfig};
use escala_models::train::calibrate;
use escala_models::train::classifier::{
    Ended, Example, HEAD, Observer, Progress, Settings, Trainer, softmax,
};
use escala_models::train::dataset::Labelled;
use escala_models::train::encoder;
use escala_models::train::head;
use escala_models::train::loss::Loss;
use escala_models::train::metrics::Metrics;
use escala_models::train::ratings;
use escala_weights::{ModelFiles, Silent, Store, Tensors};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What of an encoder learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Low-rank adapters: small files, merged into the base when they are loaded.
    Lora,
    /// All weights.
    Full,
    /// Nothing: only a linear layer on top learns.
    Head,
}

/// What is to be learned, and how.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Texts to learn from.
    pub train: Vec<Labelled>,
    /// Texts to stop early and to calibrate by.
    pub dev: Vec<Labelled>,
    /// Texts to report on at the end; those of `dev` where there are none.
    pub test: Vec<Labelled>,
    /// The encoder, by its name in the catalogue.
    pub base: String,
    /// What of it learns.
    pub method: Method,
    /// Rank of the adapters.
    pub rank: usize,
    /// Numerator of the adapters' factor; the rank where there is none.
    pub alpha: Option<f64>,
    /// Steps and rates.
    pub settings: Settings,
    /// Tokens read of each text.
    pub max_tokens: usize,
    /// Put before every text.
    pub prompt: String,
    /// Whether a run that is stopped writes the best that it had.
    pub keep: bool,
}

/// What learning has at hand.
pub struct Machine<'a> {
    /// Where encoders come from.
    pub weights: &'a Store,
    /// What computes.
    pub device: Device,
    /// Its threads.
    pub threads: usize,
}

/// Who looks on.
pub trait Onlooker: Observer {
    /// A line about the run.
    fn say(&mut self, line: &str);

    /// The labels, in the order of the figures that follow.
    fn labels(&mut self, labels: &[String]);

    /// So many of so many texts have gone through the encoder, where only a layer on top learns.
    fn seen(&mut self, texts: u64, of: u64);
}

/// How well it learned.
#[derive(Clone, Debug)]
pub struct Learned {
    /// `test` or `dev`: of what the figures are.
    pub part: &'static str,
    /// They.
    pub metrics: Metrics,
}

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The observer asked to stop; the checkpoint says how to go on.
    #[error("stopped")]
    Interrupted {
        /// The best up to there was written; its probabilities are not calibrated.
        kept: bool,
    },
    /// A label of a later part is not among those that are learned.
    #[error("the label {0} does not occur among the training examples")]
    Label(String),
    /// The encoder cannot be had.
    #[error("the encoder cannot be used")]
    Weights(#[from] escala_weights::Error),
    /// The encoder's weights cannot be read.
    #[error("the encoder cannot be read")]
    Tensors(#[from] escala_weights::tensors::Error),
    /// The examples cannot be learned from, or computing failed.
    #[error(transparent)]
    Model(#[from] escala_models::Error),
    /// A file cannot be written.
    #[error("{path} cannot be written")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Learns, and writes what was learned into a folder. A run that was interrupted goes on from the checkpoint, which stays when it
/// has ended.
///
/// # Errors
/// [`Error`].
pub fn train(
    machine: &Machine<'_>,
    wanted: &Wanted,
    output: &Path,
    checkpoint: &Path,
    onlooker: &mut dyn Onlooker,
) -> Result<Learned, Error> {
    let names: BTreeSet<&String> = wanted.train.iter().flat_map(|e| e.target.keys()).collect();
    let labels: Vec<String> = order_of(names);
    let base = machine.weights.ensure(&wanted.base, &Silent)?;
    let encoder = Encoder::open(&base.path("config.json")?)?;
    let max_tokens = wanted.max_tokens.min(encoder.max_tokens());
    let tokenizer = Tokenizer::load(base.dir(), max_tokens)?;
    let examples = |part: &[Labelled]| -> Result<Vec<Example>, Error> {
        part.iter()
            .map(|e| example(&tokenizer, &wanted.prompt, &labels, e))
            .collect()
    };
    let parts = Parts {
        train: examples(&wanted.train)?,
        dev: examples(&wanted.dev)?,
        test: examples(&wanted.test)?,
    };
    onlooker.labels(&labels);
    let mut description = AdapterConfig {
        peft_type: adapter::LOW_RANK.to_owned(),
        task_type: "SEQ_CLS".to_owned(),
        base_model_name_or_path: wanted.base.clone(),
        r: wanted.rank,
        lora_alpha: wanted.alpha.unwrap_or(wanted.rank as f64),
        target_modules: ["query", "key", "value", "dense"]
            .map(str::to_owned)
            .to_vec(),
        modules_to_save: vec!["classifier".to_owned()],
        labels,
        max_tokens,
        prompt: wanted.prompt.clone(),
        temperature: 1.0,
    };
    let run = Run {
        machine,
        wanted,
        base: &base,
        parts: &parts,
        output,
        checkpoint,
    };
    let logits = match wanted.method {
        Method::Head => run.head_only(&mut description, onlooker)?,
        Method::Lora | Method::Full => run.fine_tuned(&mut description, onlooker)?,
    };
    run.report(&description, &logits)
}

/// Examples as token ids and distributions.
struct Parts {
    train: Vec<Example>,
    dev: Vec<Example>,
    test: Vec<Example>,
}

/// Logits of the development and test examples.
struct Logits {
    dev: Vec<Vec<f32>>,
    test: Vec<Vec<f32>>,
}

struct Run<'a> {
    machine: &'a Machine<'a>,
    wanted: &'a Wanted,
    base: &'a ModelFiles,
    parts: &'a Parts,
    output: &'a Path,
    checkpoint: &'a Path,
}

fn targets(examples: &[Example]) -> Vec<&[f32]> {
    examples.iter().map(|e| e.target.as_slice()).collect()
}

impl Run<'_> {
    /// Trains the encoder, or adapters beside it, and writes what was learned.
    fn fine_tuned(
        &self,
        description: &mut AdapterConfig,
        onlooker: &mut dyn Onlooker,
    ) -> Result<Logits, Error> {
        let encoder = Encoder::open(&self.base.path("config.json")?)?;
        let tensors = Arc::new(Tensors::open(self.base.path("model.safetensors")?)?);
        let method = match self.wanted.method {
            Method::Full => encoder::Method::Full,
            Method::Lora | Method::Head => encoder::Method::Lora {
                rank: description.r,
                alpha: description.lora_alpha,
            },
        };
        let labels = description.labels.len();
        let mut trainer = Trainer::new(
            encoder,
            tensors,
            labels,
            method,
            self.wanted.settings.clone(),
            &self.machine.device,
            Arc::new(Team::own(self.machine.threads)),
        )?;
        onlooker.say(&format!(
            "{} examples, {labels} labels, {} numbers to learn",
            self.parts.train.len(),
            trainer.parameters()
        ));
        let mut watch = Watch(onlooker);
        let (train, dev) = (&self.parts.train, &self.parts.dev);
        let ended = trainer.train(train, dev, Some(self.checkpoint), &mut watch)?;
        if ended == Ended::Interrupted {
            let kept = self.wanted.keep;
            if kept {
                adapter::save(&trainer, description, method, self.base.dir(), self.output)?;
            }
            return Err(Error::Interrupted { kept });
        }
        let logits = Logits {
            dev: trainer.predict(&self.parts.dev)?,
            test: trainer.predict(&self.parts.test)?,
        };
        description.temperature = calibrate::temperature(&logits.dev, &targets(&self.parts.dev));
        adapter::save(&trainer, description, method, self.base.dir(), self.output)?;
        Ok(logits)
    }

    /// Trains a linear layer on the encoder as it is, and writes it.
    fn head_only(
        &self,
        description: &mut AdapterConfig,
        onlooker: &mut dyn Onlooker,
    ) -> Result<Logits, Error> {
        let compute = Compute::new(self.machine.device.clone(), self.machine.threads);
        let encoder = SentenceEncoder::load(self.base.dir(), &compute.device)?;
        let parts = self.parts;
        let total = (parts.train.len() + parts.dev.len() + parts.test.len()) as u64;
        let mut seen = 0;
        let mut vectors = |examples: &[Example]| -> Result<Vec<Vec<f32>>, Error> {
            // Texts of one length together.
            let mut order: Vec<usize> = (0..examples.len()).collect();
            order.sort_by_key(|&index| examples[index].ids.len());
            let mut all = vec![Vec::new(); examples.len()];
            for chunk in order.chunks(64) {
                let ids: Vec<&[u32]> = chunk.iter().map(|&i| examples[i].ids.as_slice()).collect();
                let pooled = encoder.pool(&compute, &ids)?;
                for (&index, vector) in chunk.iter().zip(pooled) {
                    all[index] = vector;
                }
                seen += chunk.len() as u64;
                onlooker.seen(seen, total);
                let progress = Progress {
                    step: seen,
                    steps: total,
                    loss: 0.0,
                    accuracy: None,
                    rate: 0.0,
                };
                if onlooker.step(progress) {
                    return Err(Error::Interrupted { kept: false });
                }
            }
            Ok(all)
        };
        let (train, dev, test) = (
            vectors(&parts.train)?,
            vectors(&parts.dev)?,
            vectors(&parts.test)?,
        );
        let wanted = |examples: &[Example]| -> Vec<Vec<f32>> {
            examples.iter().map(|e| e.target.clone()).collect()
        };
        let labels = description.labels.len();
        let all_seen = Progress {
            step: total,
            steps: total,
            loss: 0.0,
            accuracy: None,
            rate: 0.0,
        };
        let mut interrupted = false;
        let head = head::train(
            &train,
            &wanted(&parts.train),
            (&dev, &wanted(&parts.dev)),
            (labels, &Loss::Softmax),
            &self.wanted.settings,
            &mut || {
                interrupted = onlooker.step(all_seen);
                interrupted
            },
        )?;
        let kept = self.wanted.keep;
        if interrupted && !kept {
            return Err(Error::Interrupted { kept });
        }
        let logits = Logits {
            dev: dev.iter().map(|x| head.apply(x)).collect(),
            test: test.iter().map(|x| head.apply(x)).collect(),
        };
        description.peft_type = adapter::HEAD_ONLY.to_owned();
        description.target_modules.clear();
        description.r = 1;
        description.lora_alpha = 1.0;
        if !interrupted {
            description.temperature = calibrate::temperature(&logits.dev, &targets(&parts.dev));
        }
        let width = encoder.config().hidden_size;
        let learned = vec![
            (HEAD[0].to_owned(), vec![labels, width], head.weight),
            (HEAD[1].to_owned(), vec![labels], head.bias),
        ];
        adapter::write(description, learned, self.output)?;
        if interrupted {
            return Err(Error::Interrupted { kept });
        }
        Ok(logits)
    }

    /// Writes `metrics.json` and gives the most important of it.
    fn report(&self, description: &AdapterConfig, logits: &Logits) -> Result<Learned, Error> {
        let labels = description.labels.len();
        let figures = |logits: &[Vec<f32>], examples: &[Example]| -> Metrics {
            let predicted: Vec<Vec<f32>> = logits
                .iter()
                .map(|row| {
                    let scaled: Vec<f32> =
                        row.iter().map(|x| x / description.temperature).collect();
                    softmax(&scaled)
                })
                .collect();
            Metrics::of(&predicted, &targets(examples), labels)
        };
        let dev = figures(&logits.dev, &self.parts.dev);
        let mut report = json!({
            "base": self.wanted.base, "labels": description.labels, "settings": self.wanted.settings,
            "temperature": description.temperature, "examples": self.parts.train.len(), "dev": dev,
        });
        let learned = match self.parts.test.is_empty() {
            true => Learned {
                part: "dev",
                metrics: dev,
            },
            false => {
                let metrics = figures(&logits.test, &self.parts.test);
                report["test"] = json!(metrics);
                Learned {
                    part: "test",
                    metrics,
                }
            }
        };
        let path = self.output.join("metrics.json");
        match std::fs::write(&path, format!("{report:#}\n")) {
            Ok(()) => Ok(learned),
            Err(source) => Err(Error::File { path, source }),
        }
    }
}

/// The onlooker as the trainer knows it.
struct Watch<'a>(&'a mut dyn Onlooker);

impl Observer for Watch<'_> {
    fn step(&mut self, progress: Progress) -> bool {
        self.0.step(progress)
    }

    fn evaluated(&mut self, progress: Progress, metrics: &Metrics, best: bool) {
        self.0.evaluated(progress, metrics, best);
    }
}

/// A tenth of the examples of each label, set aside.
pub fn set_aside(train: &mut Vec<Labelled>) -> Vec<Labelled> {
    escala_models::train::set_aside(train, |example| {
        let likeliest = example.target.iter();
        let likeliest = likeliest.max_by(|one, other| one.1.total_cmp(other.1));
        likeliest.map(|(label, _)| label.clone())
    })
}

/// Sentiment's labels in Comprehend's order; any others by name.
fn order_of(names: BTreeSet<&String>) -> Vec<String> {
    let known: Vec<String> = ratings::LABELS.map(str::to_owned).to_vec();
    if names.len() == known.len() && known.iter().all(|name| names.contains(name)) {
        return known;
    }
    names.into_iter().cloned().collect()
}

fn example(
    tokenizer: &Tokenizer,
    prompt: &str,
    labels: &[String],
    labelled: &Labelled,
) -> Result<Example, Error> {
    if let Some(unknown) = labelled.target.keys().find(|name| !labels.contains(name)) {
        return Err(Error::Label(unknown.clone()));
    }
    let target = |label: &String| labelled.target.get(label).copied().unwrap_or(0.0);
    let text = format!("{prompt}{}", labelled.text);
    Ok(Example {
        ids: tokenizer.encode(&text)?.ids,
        target: labels.iter().map(target).collect(),
    })
}
