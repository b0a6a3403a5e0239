//! Labelled texts become a classifier: an encoder of the catalogue learns, or adapters beside it, or a layer on top.

use escala_models::Compute;
use escala_models::bert::{Config as Encoder, SentenceEncoder, Tokenizer};
use escala_models::compute::Device;
use escala_models::team::Team;
use escala_models::train::adapter::{self, Adapter, AdapterConfig, Head};
use escala_models::train::calibrate;
use escala_models::train::classifier::{
    Ended, Example, HEAD, Learned as Tensor, Observer, Progress, Settings, Trainer, softmax,
};
use escala_models::train::dataset::Labelled;
use escala_models::train::encoder;
use escala_models::train::head;
use escala_models::train::loss::Loss;
use escala_models::train::metrics::Metrics;
use escala_models::train::ratings;
use escala_models::train::set_aside_share;
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
    /// A classifier that was learned before, to begin with. It is of the base and the method that are wanted, or only its layer
    /// on top learns.
    pub earlier: Option<Earlier>,
}

/// A classifier to begin with.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// What [`train`] wrote.
    pub folder: PathBuf,
    /// What becomes of its layer on top.
    pub layer: TopLayer,
}

/// What becomes of the layer on top of a classifier to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopLayer {
    /// Labels that it knows begin with what it has for them, others anew.
    Known,
    /// It goes on as it is; its labels must be those of the examples.
    Same,
    /// All of it begins anew.
    New,
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
    /// There are no examples.
    #[error("there are no labelled texts to learn from")]
    Nothing,
    /// All examples have one label.
    #[error("all texts have the label {0}: there is nothing to tell apart")]
    Alike(String),
    /// A label of a later part is not among those that are learned.
    #[error("the label {0} does not occur among the training examples")]
    Label(String),
    /// The layer on top is to go on as it is, and the examples have other labels than it.
    #[error(
        "the layer on top of the earlier classifier has the labels {earlier}, and the training examples {found}: it goes on as it is only where they are the same"
    )]
    Labels {
        /// The layer's.
        earlier: String,
        /// The examples'.
        found: String,
    },
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
    match &labels[..] {
        [] => return Err(Error::Nothing),
        [one] => return Err(Error::Alike(one.clone())),
        _ => {}
    }
    let earlier = match &wanted.earlier {
        None => None,
        Some(one) => Some(Begin::open(one, &labels)?),
    };
    let base = match earlier.as_ref().filter(|begin| begin.holds_base()) {
        Some(begin) => machine
            .weights
            .checkpoint(&begin.folder.to_string_lossy(), &Silent)?,
        None => machine.weights.ensure(&wanted.base, &Silent)?,
    };
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
    let mut settings = wanted.settings.clone();
    if earlier.as_ref().is_some_and(|begin| begin.whole) {
        // What is new about a layer on top is held down, not what it knows.
        (settings.head_dropout, settings.head_l2) = (Some(0.0), 0.0);
    }
    let run = Run {
        machine,
        wanted,
        settings,
        earlier,
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

/// A classifier that was learned before.
struct Begin {
    folder: PathBuf,
    adapter: Adapter,
    /// Whether labels begin with what its layer on top has for them.
    layer: bool,
    /// Whether all of them do.
    whole: bool,
}

impl Begin {
    fn open(earlier: &Earlier, labels: &[String]) -> Result<Self, Error> {
        let adapter = Adapter::open(&earlier.folder)?;
        let known = &adapter.config.labels;
        let same = known.len() == labels.len() && labels.iter().all(|one| known.contains(one));
        if earlier.layer == TopLayer::Same && !same {
            return Err(Error::Labels {
                earlier: known.join(", "),
                found: labels.join(", "),
            });
        }
        let layer = earlier.layer != TopLayer::New;
        Ok(Self {
            folder: earlier.folder.clone(),
            adapter,
            layer,
            whole: layer && same,
        })
    }

    /// Whether its folder has the encoder, too, all of which learned.
    fn holds_base(&self) -> bool {
        self.adapter.config.base_model_name_or_path == adapter::OWN_BASE
    }

    /// Whether it has adapters.
    fn adapts(&self) -> bool {
        self.adapter.config.peft_type == adapter::LOW_RANK
    }

    /// What of it learned beside its layer on top.
    fn below(&self) -> Result<Vec<Tensor>, Error> {
        let mut learned = self.adapter.learned()?;
        learned.retain(|(name, ..)| !HEAD.contains(&name.as_str()));
        Ok(learned)
    }

    /// A layer on a width of `hidden` for these labels: what its own has for those that it knows, in the place of what `layer` has.
    fn layer(&self, labels: &[String], hidden: usize, mut layer: Head) -> Result<Head, Error> {
        if !self.layer {
            return Ok(layer);
        }
        let own = self.adapter.head(hidden)?;
        let rows = layer.weight.chunks_exact_mut(hidden.max(1));
        for ((label, row), bias) in labels.iter().zip(rows).zip(&mut layer.bias) {
            let mut known = self.adapter.config.labels.iter();
            if let Some(at) = known.position(|one| one == label) {
                row.copy_from_slice(&own.weight[at * hidden..][..hidden]);
                *bias = own.bias[at];
            }
        }
        Ok(layer)
    }
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
    settings: Settings,
    earlier: Option<Begin>,
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
        let hidden = encoder.hidden_size;
        let mut trainer = Trainer::new(
            encoder,
            tensors,
            labels,
            method,
            self.settings.clone(),
            &self.machine.device,
            Arc::new(Team::own(self.machine.threads)),
        )?;
        if let Some(begin) = &self.earlier {
            let mut drawn = trainer.learned()?.into_iter();
            let mut of = |part: &str| {
                let found = drawn.find(|(name, ..)| name == part);
                found.map(|(.., values)| values).unwrap_or_default()
            };
            let layer = Head {
                weight: of(HEAD[0]),
                bias: of(HEAD[1]),
            };
            let layer = begin.layer(&description.labels, hidden, layer)?;
            let mut values = begin.below()?;
            values.push((HEAD[0].to_owned(), vec![labels, hidden], layer.weight));
            values.push((HEAD[1].to_owned(), vec![labels], layer.bias));
            trainer.begin_with(&values)?;
        }
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
        let begin = self.earlier.as_ref();
        let adapted = begin.filter(|begin| begin.adapts());
        let encoder = match adapted {
            Some(begin) => {
                SentenceEncoder::load_adapted(self.base.dir(), &begin.adapter, &compute.device)?
            }
            None => SentenceEncoder::load(self.base.dir(), &compute.device)?,
        };
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
                    top: None,
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
            top: None,
            rate: 0.0,
        };
        let width = encoder.config().hidden_size;
        let layer = Head {
            weight: vec![0.0; labels * width],
            bias: vec![0.0; labels],
        };
        let layer = match begin {
            Some(begin) => Some(begin.layer(&description.labels, width, layer)?),
            None => None,
        };
        let mut interrupted = false;
        let head = head::train_from(
            layer.as_ref(),
            &train,
            &wanted(&parts.train),
            (&dev, &wanted(&parts.dev)),
            (labels, &Loss::Softmax),
            &self.settings,
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
        match adapted {
            Some(begin) => {
                description.r = begin.adapter.config.r;
                description.lora_alpha = begin.adapter.config.lora_alpha;
            }
            None => {
                description.peft_type = adapter::HEAD_ONLY.to_owned();
                description.target_modules.clear();
                description.r = 1;
                description.lora_alpha = 1.0;
            }
        }
        if !interrupted {
            description.temperature = calibrate::temperature(&logits.dev, &targets(&parts.dev));
        }
        let mut learned = vec![
            (HEAD[0].to_owned(), vec![labels, width], head.weight),
            (HEAD[1].to_owned(), vec![labels], head.bias),
        ];
        if let Some(begin) = adapted {
            learned.extend(begin.below()?);
        }
        if let Some(begin) = begin.filter(|begin| begin.holds_base()) {
            description.base_model_name_or_path = adapter::OWN_BASE.to_owned();
            for name in ["model.safetensors", "config.json", "tokenizer.json"] {
                let path = self.output.join(name);
                let copied = std::fs::copy(begin.folder.join(name), &path);
                copied.map_err(|source| Error::File { path, source })?;
            }
        }
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
            "base": self.wanted.base, "labels": description.labels, "settings": self.settings,
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

/// The share of the examples that is set aside where none is said.
pub const SHARE: f64 = 0.1;

/// A share of the examples of each label, set aside.
pub fn set_aside(train: &mut Vec<Labelled>, share: f64) -> Vec<Labelled> {
    set_aside_share(train, share, |example| {
        let likeliest = example.target.iter();
        let likeliest = likeliest.max_by(|one, other| one.1.total_cmp(other.1));
        likeliest.map(|(label, _)| label.clone())
    })
}

/// Sentiment's labels in Comprehend's order; whole numbers as such; any others by name.
fn order_of(names: BTreeSet<&String>) -> Vec<String> {
    let known: Vec<String> = ratings::LABELS.map(str::to_owned).to_vec();
    if names.len() == known.len() && known.iter().all(|name| names.contains(name)) {
        return known;
    }
    let mut names: Vec<String> = names.into_iter().cloned().collect();
    if names.iter().all(|name| name.parse::<i64>().is_ok()) {
        names.sort_by_key(|name| name.parse::<i64>().unwrap_or_default());
    }
    names
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_are_numbers_come_in_their_order() {
        let ordered = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|one| (*one).to_owned()).collect();
            order_of(names.iter().collect())
        };
        assert_eq!(ordered(&["10", "9", "-1"]), ["-1", "9", "10"]);
        assert_eq!(ordered(&["10", "9", "b"]), ["10", "9", "b"]);
        let sentiment = ["NEUTRAL", "MIXED", "POSITIVE", "NEGATIVE"];
        assert_eq!(ordered(&sentiment), ratings::LABELS);
    }
}
