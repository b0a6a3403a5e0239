//! Training jobs of the image `text-classification`.
//!
//! The channel `train`, or `training` as at SageMaker, has labelled texts, as `validation` and `test` have: CSV of `label,text`, TSV,
//! or JSON Lines of `{"text": …, "label": …}` (`source` in the place of `text`, as in augmented manifests); labels are names or
//! numbers. The channel `model` has the `model.tar.gz` of an earlier job, to go on with: its encoder or adapters, and its layer on
//! top for the labels that it knows, unless `reinitialize_top_layer` says otherwise.
//!
//! Hyperparameters are those of SageMaker's text classification, with their ranges and meaning; `model`, `max_seq_length`,
//! `lora_rank` and `seed` are our own. Rates stay as they are, but those of `adamw` rise over the steps of `warmup_steps_fraction`
//! and, of an encoder, fall to nothing then; weights of `adamw` decay by 0.01. Gradients of an encoder are scaled to a length of 1
//! where they are longer. Steps are of 1024 texts at most, which bounds memory. Improvement is that of the loss on the texts that are
//! held out, which are looked at twice in a pass where an encoder learns; what had the least of it is kept, whether or not the run
//! stops early. Within the encoder a tenth of what is active is dropped whatever `dropout_rate` says, which is of its layer on top,
//! as is `regularizers_l2`; both are of a layer that begins anew. Defaults are SageMaker's but for these:
//!
//! | hyperparameter | here | SageMaker's | why |
//! | --- | --- | --- | --- |
//! | `optimizer` | `adamw` | `adam` | at a rate that begins high and stays, an encoder forgets what it knew |
//! | `epochs` | 3 | 10 | as many as an encoder needs; a pass takes minutes where there is no accelerator |
//! | `learning_rate` | 5e-5 of all weights by `adamw`, `adam` or `rmsprop` | 1e-3 | steps of that size ruin an encoder; adapters and layers on top learn by 1e-3 here, too |
//!
//! Source: the developer guide, "Text Classification - TensorFlow Hyperparameters" and "Input and output interface".

use super::trainer::{self, Earlier, Machine, Method, Onlooker, TopLayer, Wanted};
use crate::failure::chain;
use crate::hosted::TRAINED;
use escala_learn::parameters::{Bound, Kind};
use escala_learn::{Parameter, Parameters, Watch};
use escala_models::compute::Device;
use escala_models::train::Rule;
use escala_models::train::adapter::{Adapter, AdapterConfig, LOW_RANK, OWN_BASE};
use escala_models::train::classifier::{
    Improvement, Observer, Progress, Schedule, Settings, Steps,
};
use escala_models::train::dataset::{self, Labelled};
use escala_models::train::metrics::Metrics;
use escala_sagemaker::archive;
use escala_sagemaker::served::Container;
use escala_sagemaker::training::{Channel, Failure, Lesson, Trainer};
use escala_weights::Store;
use std::fs::File;
use std::io::copy;
use std::path::PathBuf;
use std::sync::Arc;

/// Texts of a step, at most: their activations are in memory together.
const MOST: i64 = 1024;
/// Share of what is active within the encoder that is dropped while it learns.
const DROPOUT: f32 = 0.1;

const PARAMETERS: &[Parameter] = &[
    whole("epochs", 1, u32::MAX as i64, "3", "passes over the texts"),
    whole("batch_size", 1, MOST, "32", "texts of a step"),
    Parameter {
        name: "learning_rate",
        kind: Kind::Real(Bound::Included(0.0), Bound::Included(1.0)),
        default: None,
        required: false,
        help: "of all that learns; 1e-3, of all weights by adamw, adam or rmsprop 5e-5",
    },
    Parameter {
        name: "optimizer",
        kind: Kind::Choice(&[
            "adamw", "adam", "sgd", "nesterov", "rmsprop", "adagrad", "adadelta",
        ]),
        default: Some("adamw"),
        required: false,
        help: "what a step makes of a gradient",
    },
    part(
        "beta_1",
        "0.9",
        "decay of the mean of the gradients, for adam and adamw",
    ),
    part(
        "beta_2",
        "0.999",
        "decay of the mean of their squares, for adam and adamw",
    ),
    part(
        "epsilon",
        "1e-7",
        "added so that nothing is divided by 0, for adam, adamw, rmsprop, adadelta and adagrad",
    ),
    part(
        "momentum",
        "0.9",
        "the part of its velocity that a weight keeps, for sgd and nesterov",
    ),
    part(
        "rho",
        "0.95",
        "decay of the means of squares, for adadelta and rmsprop",
    ),
    part(
        "initial_accumulator_value",
        "0.0001",
        "what sums of squares begin with, for adagrad",
    ),
    part(
        "dropout_rate",
        "0.2",
        "what is dropped of what the layer on top reads, where it begins anew",
    ),
    part(
        "regularizers_l2",
        "0.0001",
        "what the squares of the layer on top add to the loss, where it begins anew",
    ),
    Parameter {
        name: "reinitialize_top_layer",
        kind: Kind::Choice(&["Auto", "True", "False"]),
        default: Some("Auto"),
        required: false,
        help: "whether the layer on top of the model in the channel model begins anew; Auto: for labels that it does not know; \
               False: labels must be the same",
    },
    part(
        "warmup_steps_fraction",
        "0.1",
        "steps over which the rate rises, for adamw",
    ),
    part(
        "validation_split_ratio",
        "0.2",
        "texts of each label that are held out where there is no channel validation",
    ),
    flag(
        "train_only_on_top_layer",
        "false",
        "only a layer on top of the encoder learns",
    ),
    flag("train_only_top_layer", "false", "the same by another name"),
    flag(
        "early_stopping",
        "false",
        "ends where the loss on what is held out does not improve",
    ),
    whole(
        "early_stopping_patience",
        1,
        u32::MAX as i64,
        "5",
        "passes that may bring no improvement",
    ),
    part(
        "early_stopping_min_delta",
        "0.0",
        "the least that counts as an improvement",
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

const fn part(name: &'static str, default: &'static str, help: &'static str) -> Parameter {
    let kind = Kind::Real(Bound::Included(0.0), Bound::Included(1.0));
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

/// The rule of the `optimizer`.
fn rule(given: &Parameters) -> Rule {
    let real = |name| given.real(name).unwrap_or(0.0);
    let epsilon = real("epsilon");
    match given.text("optimizer").unwrap_or_default() {
        name @ ("sgd" | "nesterov") => Rule::Sgd {
            momentum: real("momentum"),
            nesterov: name == "nesterov",
        },
        "rmsprop" => Rule::RmsProp {
            rho: real("rho"),
            epsilon,
        },
        "adagrad" => Rule::Adagrad {
            initial: real("initial_accumulator_value"),
            epsilon,
        },
        "adadelta" => Rule::Adadelta {
            rho: real("rho"),
            epsilon,
        },
        _ => Rule::Adam {
            beta1: real("beta_1"),
            beta2: real("beta_2"),
            epsilon,
        },
    }
}

/// Steps and rates of a method.
fn settings(given: &Parameters, method: Method) -> Settings {
    let plain = Settings::default();
    let whole = |name| given.integer(name).unwrap_or(0).clamp(0, u32::MAX.into()) as u32;
    let real = |name| given.real(name).unwrap_or(0.0);
    let rule = rule(given);
    let decays = given.text("optimizer") == Some("adamw");
    let small = matches!(rule, Rule::Adam { .. } | Rule::RmsProp { .. }) && method == Method::Full;
    let said = given.real("learning_rate");
    Settings {
        epochs: whole("epochs"),
        batch: whole("batch_size") as usize,
        rate: said.unwrap_or(if small { 5e-5 } else { plain.rate }),
        head_rate: said.unwrap_or(plain.head_rate),
        warm_up: real("warmup_steps_fraction"),
        weight_decay: if decays { plain.weight_decay } else { 0.0 },
        dropout: DROPOUT,
        // Passes, of which each is looked at more than once where an encoder learns.
        patience: match (given.flag("early_stopping"), method) {
            (Some(true), Method::Head) => whole("early_stopping_patience"),
            (Some(true), _) => whole("early_stopping_patience").saturating_mul(plain.evaluations),
            _ => 0,
        },
        seed: given.integer("seed").unwrap_or(0) as u64,
        rule,
        schedule: match decays {
            true => Schedule::WarmUp,
            false => Schedule::Steps(Steps::default()),
        },
        improvement: Improvement::Loss(real("early_stopping_min_delta")),
        head_dropout: Some(real("dropout_rate") as f32),
        head_l2: real("regularizers_l2"),
        ..plain
    }
}

/// The classifier in the channel `model`, unpacked.
fn unpacked(lesson: &Lesson<'_>) -> Result<Option<PathBuf>, Failure> {
    let Some(channel) = lesson.channel("model") else {
        return Ok(None);
    };
    let [file] = &*channel.files else {
        return Err(client(format!(
            "channel \"model\" has {} objects: it has one, the model.tar.gz of an earlier job",
            channel.files.len()
        )));
    };
    let folder = lesson.scratch.join("model");
    let limits = archive::Limits {
        bytes: lesson.most_bytes,
        ..archive::Limits::default()
    };
    let unpacked = archive::unpack(lesson.bytes(file)?, &folder, limits);
    unpacked.map_err(|error| match error {
        archive::Error::Unread(_) | archive::Error::File { .. } => {
            Failure::Now(format!("{file} cannot be unpacked: {error}"))
        }
        error => client(format!("channel \"model\": {file}: {error}")),
    })?;
    match Adapter::is_in(&folder) {
        true => Ok(Some(folder)),
        false => Err(client(format!(
            "channel \"model\": {file} is no model of text-classification"
        ))),
    }
}

/// What is learned, and on what: as the hyperparameters say, or as an earlier classifier has it.
struct Form {
    base: String,
    method: Method,
    rank: usize,
    alpha: Option<f64>,
}

impl Form {
    fn of(given: &Parameters, earlier: Option<&AdapterConfig>) -> Result<Self, Failure> {
        let top = ["train_only_on_top_layer", "train_only_top_layer"];
        let top = top.into_iter().any(|name| given.flag(name) == Some(true));
        let rank = given.integer("lora_rank").unwrap_or(0);
        let said = Self {
            base: given.text("model").unwrap_or_default().to_owned(),
            method: match (top, rank) {
                (true, _) => Method::Head,
                (false, 0) => Method::Full,
                (false, _) => Method::Lora,
            },
            rank: rank.max(1) as usize,
            alpha: None,
        };
        let Some(earlier) = earlier else {
            return Ok(said);
        };
        let own = earlier.base_model_name_or_path == OWN_BASE;
        let adapted = earlier.peft_type == LOW_RANK;
        let base = &earlier.base_model_name_or_path;
        if given.is_set("model") && (own || said.base != *base) {
            let base = if own { "its own" } else { base };
            return Err(client(format!(
                "hyperparameter model is {}, and the encoder of the earlier model is {base}",
                said.base
            )));
        }
        let learned = match (own, adapted) {
            (true, _) => Some(0),
            (false, true) => Some(earlier.r as i64),
            (false, false) => None,
        };
        if let Some(learned) =
            learned.filter(|learned| given.is_set("lora_rank") && *learned != rank)
        {
            return Err(client(format!(
                "hyperparameter lora_rank is {rank}, and of the earlier model it was {learned}"
            )));
        }
        Ok(Self {
            base: if own { said.base } else { base.clone() },
            method: match (said.method, learned) {
                (Method::Head, _) => Method::Head,
                (_, Some(0)) => Method::Full,
                (_, Some(_)) => Method::Lora,
                (method, None) => method,
            },
            rank: if adapted { earlier.r } else { said.rank },
            alpha: adapted.then_some(earlier.lora_alpha),
        })
    }
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
        let channel =
            lesson.train_channel(&["train", "training", "validation", "test", "model"])?;
        lesson.check_size()?;
        let earlier = unpacked(lesson)?;
        let known = match &earlier {
            None => None,
            Some(folder) => Some(
                Adapter::open(folder)
                    .map_err(|error| client(format!("channel \"model\": {}", chain(&error))))?
                    .config,
            ),
        };
        let form = Form::of(&given, known.as_ref())?;
        let mut train = labelled(lesson, channel)?;
        let other = |name: &str| {
            lesson
                .channel(name)
                .map(|one| labelled(lesson, one))
                .transpose()
        };
        let dev = match other("validation")? {
            Some(dev) => dev,
            None => {
                let share = given.real("validation_split_ratio").unwrap_or(0.0);
                trainer::set_aside(&mut train, share)
            }
        };
        let test = other("test")?.unwrap_or_default();
        let layer = match given.text("reinitialize_top_layer") {
            Some("True") => TopLayer::New,
            Some("False") => TopLayer::Same,
            _ => TopLayer::Known,
        };
        let wanted = Wanted {
            train,
            dev,
            test,
            settings: settings(&given, form.method),
            base: form.base,
            method: form.method,
            rank: form.rank,
            alpha: form.alpha,
            max_tokens: given.integer("max_seq_length").unwrap_or(0) as usize,
            prompt: known.map(|known| known.prompt).unwrap_or_default(),
            keep: true,
            earlier: earlier.map(|folder| Earlier { folder, layer }),
        };
        if wanted.earlier.is_some() {
            watch.log("goes on with what the earlier model learned");
        }
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
        // Nothing was held out to look at.
        if learned.metrics.count == 0 {
            return Ok(());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&'static str, &'static str)]) -> Parameters {
        Parameters::read(PARAMETERS, given.iter().copied()).expect("parameters")
    }

    #[test]
    fn hyperparameters_are_sagemakers() {
        let plain = settings(&read(&[]), Method::Lora);
        let wanted = Settings {
            epochs: 3,
            warm_up: 0.1,
            patience: 0,
            rule: Rule::Adam {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-7,
            },
            head_dropout: Some(0.2),
            head_l2: 1e-4,
            ..Settings::default()
        };
        assert_eq!(plain, wanted);
        let full = settings(&read(&[]), Method::Full);
        assert_eq!((full.rate, full.head_rate), (5e-5, 1e-3));

        let said = settings(
            &read(&[
                ("optimizer", "nesterov"),
                ("momentum", "0.5"),
                ("learning_rate", "0.25"),
                ("early_stopping", "True"),
                ("early_stopping_patience", "4"),
                ("early_stopping_min_delta", "0.125"),
                ("dropout_rate", "1.0"),
                ("regularizers_l2", "0.5"),
                ("epochs", "7"),
                ("batch_size", "9"),
            ]),
            Method::Full,
        );
        let wanted = Settings {
            epochs: 7,
            batch: 9,
            rate: 0.25,
            head_rate: 0.25,
            warm_up: 0.1,
            weight_decay: 0.0,
            // Passes are looked at twice.
            patience: 8,
            rule: Rule::Sgd {
                momentum: 0.5,
                nesterov: true,
            },
            schedule: Schedule::Steps(Steps::default()),
            improvement: Improvement::Loss(0.125),
            head_dropout: Some(1.0),
            head_l2: 0.5,
            ..Settings::default()
        };
        assert_eq!(said, wanted);
        let patient = [("early_stopping", "True"), ("early_stopping_patience", "4")];
        assert_eq!(settings(&read(&patient), Method::Head).patience, 4);
        for (name, wanted) in [
            (
                "adam",
                Rule::Adam {
                    beta1: 0.75,
                    beta2: 0.5,
                    epsilon: 0.01,
                },
            ),
            (
                "sgd",
                Rule::Sgd {
                    momentum: 0.9,
                    nesterov: false,
                },
            ),
            (
                "rmsprop",
                Rule::RmsProp {
                    rho: 0.25,
                    epsilon: 0.01,
                },
            ),
            (
                "adagrad",
                Rule::Adagrad {
                    initial: 0.1,
                    epsilon: 0.01,
                },
            ),
            (
                "adadelta",
                Rule::Adadelta {
                    rho: 0.25,
                    epsilon: 0.01,
                },
            ),
        ] {
            let given = read(&[
                ("optimizer", name),
                ("beta_1", "0.75"),
                ("beta_2", "0.5"),
                ("epsilon", "0.01"),
                ("rho", "0.25"),
                ("initial_accumulator_value", "0.1"),
            ]);
            assert_eq!(rule(&given), wanted);
        }
    }

    #[test]
    fn what_is_out_of_range_is_said() {
        for (name, bad) in [
            ("optimizer", "adamax"),
            ("beta_1", "1.5"),
            ("beta_2", "-0.1"),
            ("epsilon", "2"),
            ("momentum", "x"),
            ("rho", "1.01"),
            ("initial_accumulator_value", "-1"),
            ("regularizers_l2", "1.1"),
            ("reinitialize_top_layer", "Maybe"),
            ("validation_split_ratio", "1.5"),
            ("early_stopping_min_delta", "-0.5"),
            ("early_stopping_patience", "0"),
            ("warmup_steps_fraction", "2"),
            ("learning_rate", "1.5"),
            ("dropout_rate", "1.5"),
            ("batch_size", "0"),
            ("epochs", "0"),
        ] {
            let error = Parameters::read(PARAMETERS, [(name, bad)]).expect_err(name);
            let said = error.to_string();
            assert!(
                said.starts_with(&format!("Hyperparameter {name}: ")),
                "{said}"
            );
        }
        for name in [
            "beta_1",
            "beta_2",
            "epsilon",
            "momentum",
            "rho",
            "dropout_rate",
        ] {
            for end in ["0.0", "1.0"] {
                assert!(
                    Parameters::read(PARAMETERS, [(name, end)]).is_ok(),
                    "{name} {end}"
                );
            }
        }
    }

    #[test]
    fn an_earlier_model_says_what_goes_on() {
        let earlier = |peft_type: &str, base: &str| AdapterConfig {
            peft_type: peft_type.to_owned(),
            task_type: "SEQ_CLS".to_owned(),
            base_model_name_or_path: base.to_owned(),
            r: 8,
            lora_alpha: 12.0,
            target_modules: Vec::new(),
            modules_to_save: Vec::new(),
            labels: Vec::new(),
            max_tokens: 64,
            prompt: String::new(),
            temperature: 1.0,
        };
        let form = |given: &[(&'static str, &'static str)], earlier: &AdapterConfig| {
            let form = Form::of(&read(given), Some(earlier))?;
            Ok((form.base, form.method, form.rank, form.alpha))
        };
        let adapted = earlier(LOW_RANK, "small");
        let goes_on = ("small".to_owned(), Method::Lora, 8, Some(12.0));
        assert_eq!(form(&[], &adapted), Ok(goes_on.clone()));
        let same = [("model", "small"), ("lora_rank", "8")];
        assert_eq!(form(&same, &adapted), Ok(goes_on));
        let whole = earlier("HEAD", OWN_BASE);
        let said = form(&[], &whole).map(|form| form.1);
        assert_eq!(said, Ok(Method::Full));
        let layer = earlier("HEAD", "small");
        let said = form(&[("lora_rank", "4")], &layer);
        assert_eq!(said, Ok(("small".to_owned(), Method::Lora, 4, None)));
        for earlier in [&adapted, &whole, &layer] {
            let said = form(&[("train_only_on_top_layer", "True")], earlier);
            assert_eq!(said.map(|form| form.1), Ok(Method::Head));
        }
        for (given, earlier) in [
            (("lora_rank", "4"), &adapted),
            (("lora_rank", "16"), &whole),
            (("model", "large"), &adapted),
            (("model", "small"), &whole),
        ] {
            let refused: Result<_, Failure> = form(&[given], earlier);
            assert!(
                matches!(&refused, Err(Failure::Client(why)) if why.contains(given.0)),
                "{refused:?}"
            );
        }
    }
}
