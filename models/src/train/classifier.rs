//! A text classifier on an encoder, and the loop that trains it.
//!
//! The head is one linear layer on the mean of the last hidden states (not scaled to length one). Targets are
//! distributions over the labels, so that disagreeing raters can be taught as they are; the loss is the
//! cross-entropy to them.

use super::encoder::{Dropout, LearningEncoder, Method, uniform};
use super::metrics::Metrics;
use super::ops::Ops;
use super::optimizer::{Optimizer, OptimizerConfig, Parameter, warm_up_and_decay};
use super::random;
use super::rule::Rule;
use super::run::{Course, Learner, Run, Taken};
use crate::bert::Config;
use crate::error::{Error, Result};
use crate::team::Team;
use candle_core::{D, Device, Tensor, Var};
use escala_weights::Tensors;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Batches whose examples are sorted by length together, so that a batch holds texts of about one length.
const BUCKET: usize = 50;

/// A text to learn from or to be measured on.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Token ids, special ones included.
    pub ids: Vec<u32>,
    /// Probabilities of the labels.
    pub target: Vec<f32>,
}

/// How rates change over a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Schedule {
    /// They rise over [`Settings::warm_up`]; then those of a network fall to nothing, and those of a layer alone stay.
    WarmUp,
    /// They go down in steps.
    Steps(Steps),
}

/// Steps in which rates go down; none where there are no epochs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// What becomes of a rate at a step.
    pub factor: f64,
    /// The epochs after which there is one, from 1.
    pub epochs: Vec<u32>,
}

impl Steps {
    /// The rates' factor where so many epochs are done.
    pub(super) fn factor(&self, done: u64) -> f64 {
        let gone = self
            .epochs
            .iter()
            .filter(|epoch| u64::from(**epoch) <= done);
        self.factor
            .powi(i32::try_from(gone.count()).unwrap_or(i32::MAX))
    }
}

/// What counts as an improvement, for [`Settings::patience`]. What is kept is always what has the least loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Improvement {
    /// The loss is less, and by so much at least.
    Loss(f64),
    /// The accuracy is greater, and by such a part of the best at least.
    Accuracy(f64),
}

impl Improvement {
    /// The figure of an evaluation, where it is an improvement on that of the last that was one.
    pub(super) fn over(self, mark: Option<f64>, metrics: &Metrics) -> Option<f64> {
        let (figure, gained, least) = match self {
            Self::Loss(least) => (metrics.loss, mark.map(|mark| mark - metrics.loss), least),
            Self::Accuracy(share) => {
                let gained = mark.map(|mark| metrics.accuracy - mark);
                (metrics.accuracy, gained, share * mark.unwrap_or(0.0))
            }
        };
        let improved = gained.is_none_or(|gained| gained > 0.0 && gained >= least);
        improved.then_some(figure)
    }
}

/// Settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Passes over the examples.
    pub epochs: u32,
    /// Examples in a step.
    pub batch: usize,
    /// Learning rate of the encoder at its highest.
    pub rate: f64,
    /// Learning rate of the head at its highest.
    pub head_rate: f64,
    /// Share of the steps over which the rates rise.
    pub warm_up: f64,
    /// Weight decay: decoupled, or of gradient descent a part of the gradient.
    pub weight_decay: f64,
    /// Share of activations dropped.
    pub dropout: f32,
    /// Evaluations on the development set in each epoch.
    pub evaluations: u32,
    /// Evaluations without improvement after which training stops; 0: never.
    pub patience: u32,
    /// Source of order, dropout and initial values.
    pub seed: u64,
    /// What a step makes of a gradient.
    pub rule: Rule,
    /// How rates change.
    pub schedule: Schedule,
    /// What counts as an improvement.
    pub improvement: Improvement,
    /// Epochs before which training does not stop early.
    pub least_epochs: u32,
    /// Share of what the head reads that is dropped; [`Settings::dropout`] where there is none.
    pub head_dropout: Option<f32>,
    /// What the sum of the squares of the head's weights adds to the loss, times this.
    pub head_l2: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            epochs: 3,
            batch: 32,
            rate: 1e-3,
            head_rate: 1e-3,
            warm_up: 0.06,
            weight_decay: 0.01,
            dropout: 0.1,
            evaluations: 2,
            patience: 3,
            seed: 1,
            rule: Rule::default(),
            schedule: Schedule::WarmUp,
            improvement: Improvement::Loss(0.0),
            least_epochs: 0,
            head_dropout: None,
            head_l2: 0.0,
        }
    }
}

impl Settings {
    /// What the head's rate is of the rest's.
    pub(super) fn head_share(&self) -> f64 {
        if self.rate > 0.0 {
            self.head_rate / self.rate
        } else {
            0.0
        }
    }

    /// Whether a run ends after so many evaluations without improvement, and so many epochs.
    pub(super) fn ends(&self, since: u32, epochs: u64) -> bool {
        self.patience > 0 && since >= self.patience && epochs >= u64::from(self.least_epochs)
    }

    /// What tells settings apart: the first of them as they are, the others where they are not the default and have an effect, so
    /// that a checkpoint of a run that knew nothing of these stays its own.
    pub(super) fn identity(&self) -> String {
        let Self {
            epochs,
            batch,
            rate,
            head_rate,
            warm_up,
            weight_decay,
            dropout,
            evaluations,
            patience,
            seed,
            rule,
            schedule,
            improvement,
            least_epochs,
            head_dropout,
            head_l2,
        } = self;
        let mut text = format!(
            "Settings {{ epochs: {epochs:?}, batch: {batch:?}, rate: {rate:?}, head_rate: {head_rate:?}, warm_up: {warm_up:?}, \
             weight_decay: {weight_decay:?}, dropout: {dropout:?}, evaluations: {evaluations:?}, patience: {patience:?}, \
             seed: {seed:?} }}"
        );
        let plain = Self::default();
        let learns = (rule, schedule, head_dropout, head_l2);
        if learns
            != (
                &plain.rule,
                &plain.schedule,
                &plain.head_dropout,
                &plain.head_l2,
            )
        {
            text += &format!(" {learns:?}");
        }
        let stops = (improvement, least_epochs);
        if *patience > 0 && stops != (&plain.improvement, &plain.least_epochs) {
            text += &format!(" {stops:?}");
        }
        text
    }

    pub(super) fn check(&self) -> Result<()> {
        let rates = [self.rate, self.head_rate];
        if self.epochs == 0 || self.batch == 0 || self.evaluations == 0 {
            return Err(Error::unsupported(
                "epochs, batch and evaluations must be at least 1",
            ));
        }
        if rates.iter().any(|rate| !rate.is_finite() || *rate < 0.0) {
            return Err(Error::unsupported("learning rates must not be negative"));
        }
        if !(0.0..1.0).contains(&self.dropout)
            || !(0.0..=1.0).contains(&self.warm_up)
            || self.weight_decay < 0.0
            || !self.weight_decay.is_finite()
        {
            return Err(Error::unsupported(
                "dropout must be in [0, 1), warm-up in [0, 1], weight decay not negative",
            ));
        }
        let factor = match &self.schedule {
            Schedule::WarmUp => 1.0,
            Schedule::Steps(steps) => steps.factor,
        };
        let (Improvement::Loss(least) | Improvement::Accuracy(least)) = self.improvement;
        if !self.rule.holds()
            || [factor, least, self.head_l2]
                .iter()
                .any(|one| !one.is_finite() || *one < 0.0)
            || self
                .head_dropout
                .is_some_and(|dropout| !(0.0..=1.0).contains(&dropout))
        {
            return Err(Error::unsupported(
                "decays, momentum and the head's dropout must be in [0, 1]; epsilons, factors and improvements not negative",
            ));
        }
        Ok(())
    }
}

/// Where a run is, after each step.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run, unless it stops early.
    pub steps: u64,
    /// The batch's loss.
    pub loss: f64,
    /// The share of the batch that was right before the step, where the trainer counts it.
    pub accuracy: Option<f64>,
    /// The share of the batch whose class was among the likeliest, where the trainer counts it.
    pub top: Option<f64>,
    /// The encoder's learning rate in this step.
    pub rate: f64,
}

/// Who watches a run.
pub trait Observer {
    /// After each step; `true` asks the run to write a checkpoint and stop.
    fn step(&mut self, progress: Progress) -> bool;

    /// After each evaluation; `best` says that it is the best so far.
    fn evaluated(&mut self, progress: Progress, metrics: &Metrics, best: bool);

    /// Asked now and then within an evaluation that takes long; `true` ends the run as [`Observer::step`] does.
    fn stopped(&mut self) -> bool {
        false
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All epochs are done.
    Finished,
    /// The development set did not improve any more.
    EarlyStop,
    /// The observer asked for it; the checkpoint says how to go on.
    Interrupted,
}

/// An encoder with a head, and what of them learns.
pub struct Trainer {
    model: Model,
    method: Method,
    run: Run,
}

struct Model {
    encoder: LearningEncoder,
    head: Head,
    settings: Settings,
    labels: usize,
}

struct Head {
    weight: Var,
    bias: Var,
}

/// A tensor that learned: its name, shape and values.
pub type Learned = (String, Vec<usize>, Vec<f32>);

/// Names of the head's tensors.
pub const HEAD: [&str; 2] = ["classifier.weight", "classifier.bias"];

impl Trainer {
    /// A classifier for `labels` labels on the encoder of `config` and `tensors`.
    ///
    /// # Errors
    /// When the settings make no sense, the tensors do not fit or the device refuses.
    pub fn new(
        config: Config,
        tensors: Arc<Tensors>,
        labels: usize,
        method: Method,
        settings: Settings,
        device: &Device,
        team: Arc<Team>,
    ) -> Result<Self> {
        settings.check()?;
        if labels < 2 {
            return Err(Error::unsupported("a classifier needs two labels or more"));
        }
        let hidden = config.hidden_size;
        let (encoder, mut parameters) = LearningEncoder::new(
            config,
            tensors,
            method,
            random(settings.seed, 0),
            Ops::new(team),
            device,
        )?;
        let limit = 1.0 / (hidden as f64).sqrt();
        let initial = uniform(labels * hidden, limit, random(settings.seed, 1));
        let head = Head {
            weight: Var::from_vec(initial, (labels, hidden), device)?,
            bias: Var::from_vec(vec![0f32; labels], labels, device)?,
        };
        let rate = settings.head_share();
        for (name, var, decays) in [
            (HEAD[0], head.weight.clone(), true),
            (HEAD[1], head.bias.clone(), false),
        ] {
            parameters.push(Parameter {
                name: name.to_owned(),
                var,
                rate,
                decays,
            });
        }
        let config = OptimizerConfig {
            rule: settings.rule,
            weight_decay: settings.weight_decay,
            ..OptimizerConfig::default()
        };
        Ok(Self {
            model: Model {
                encoder,
                head,
                settings,
                labels,
            },
            method,
            run: Run::new(Optimizer::new(config, parameters)),
        })
    }

    /// Begins with values that were learned before, by the names of what learns: those that are not named begin as they would.
    ///
    /// # Errors
    /// When one is named that does not learn, or has another shape, or candle fails.
    pub fn begin_with(&mut self, learned: &[Learned]) -> Result<()> {
        for (name, shape, values) in learned {
            let mut parameters = self.run.optimizer.parameters().iter();
            let parameter = parameters.find(|one| one.name == *name);
            let parameter = parameter
                .filter(|one| one.var.dims() == *shape)
                .ok_or_else(|| {
                    Error::unsupported(format!(
                        "\"{name}\" of shape {shape:?} is none of what learns here"
                    ))
                })?;
            let value = Tensor::from_slice(values, parameter.var.shape(), parameter.var.device())?;
            parameter.var.set(&value)?;
        }
        Ok(())
    }

    /// Numbers that learn.
    pub fn parameters(&self) -> usize {
        self.run.optimizer.count()
    }

    /// Trains on `train`, stops early by the loss on `dev` (when it has examples), and leaves the best values in
    /// place. With `checkpoint`, the state is written there after every evaluation and when the observer stops
    /// the run; if the file is there already, the run goes on from it.
    ///
    /// # Errors
    /// When an example does not fit, the loss stops being a number, the checkpoint belongs to another run or
    /// cannot be read or written, or candle fails.
    pub fn train(
        &mut self,
        train: &[Example],
        dev: &[Example],
        checkpoint: Option<&Path>,
        observer: &mut dyn Observer,
    ) -> Result<Ended> {
        if train.is_empty() {
            return Err(Error::unsupported("there are no examples to learn from"));
        }
        if let Some(example) = train
            .iter()
            .chain(dev)
            .find(|e| e.target.len() != self.model.labels)
        {
            return Err(Error::unsupported(format!(
                "a target of {} probabilities for {} labels",
                example.target.len(),
                self.model.labels
            )));
        }
        let fingerprint = self.fingerprint_of(train, dev);
        let course = Course {
            settings: &self.model.settings,
            per_epoch: train.len().div_ceil(self.model.settings.batch) as u64,
            schedule: warm_up_and_decay,
            evaluates: !dev.is_empty(),
            from_start: false,
            fingerprint,
            checkpoint,
        };
        let mut lessons = Lessons {
            model: &self.model,
            train,
            dev,
            per_epoch: course.per_epoch,
            epoch: u64::MAX,
            order: Vec::new(),
        };
        self.run.train(&course, &mut lessons, observer)
    }

    /// Logits of `examples`, in their order, without dropout.
    ///
    /// # Errors
    /// When an example does not fit or candle fails.
    pub fn predict(&self, examples: &[Example]) -> Result<Vec<Vec<f32>>> {
        self.model.predict(examples)
    }

    /// Figures on `examples`.
    ///
    /// # Errors
    /// As [`Trainer::predict`].
    pub fn evaluate(&self, examples: &[Example]) -> Result<Metrics> {
        self.model.evaluate(examples)
    }

    /// What learns, by name: shape and values.
    ///
    /// # Errors
    /// When the device fails.
    pub fn learned(&self) -> Result<Vec<Learned>> {
        self.run.learned()
    }

    /// What tells this run from others: settings, method and examples.
    fn fingerprint_of(&self, train: &[Example], dev: &[Example]) -> u64 {
        let Model {
            settings, labels, ..
        } = &self.model;
        let settings = format!("{} {:?} {labels}", settings.identity(), self.method);
        let mut hash = fingerprint(random(0, train.len() as u64), &settings);
        for example in train.iter().chain(dev) {
            for id in &example.ids {
                hash = random(hash, u64::from(*id));
            }
            for target in &example.target {
                hash = random(hash, u64::from(target.to_bits()));
            }
        }
        hash
    }
}

/// Examples in the order in which they are learned from.
struct Lessons<'a> {
    model: &'a Model,
    train: &'a [Example],
    dev: &'a [Example],
    per_epoch: u64,
    epoch: u64,
    /// The batches of `epoch`.
    order: Vec<Vec<usize>>,
}

impl Learner for Lessons<'_> {
    fn learn(&mut self, optimizer: &mut Optimizer, step: u64, factor: f64) -> Result<Taken> {
        if self.epoch != step / self.per_epoch {
            self.epoch = step / self.per_epoch;
            self.order = self.model.batches(self.train, self.epoch);
        }
        let batch: Vec<&Example> = self.order[(step % self.per_epoch) as usize]
            .iter()
            .map(|&index| &self.train[index])
            .collect();
        let loss = self.model.learn(optimizer, &batch, step, factor)?;
        Ok(Taken {
            loss,
            accuracy: None,
            top: None,
        })
    }

    fn evaluate(&mut self, _: &Optimizer, _: &mut dyn Observer) -> Result<Option<Metrics>> {
        self.model.evaluate(self.dev).map(Some)
    }
}

impl Model {
    /// One step on `batch`; returns its loss.
    fn learn(
        &self,
        optimizer: &mut Optimizer,
        batch: &[&Example],
        step: u64,
        factor: f64,
    ) -> Result<f64> {
        let seed = random(self.settings.seed ^ 0xD509, step);
        let of = |rate: f32| (rate > 0.0).then_some(Dropout { rate, seed });
        let head = self.settings.head_dropout;
        let head = of(head.unwrap_or(self.settings.dropout));
        let logits = self.logits(batch, [of(self.settings.dropout), head])?;
        let targets: Vec<f32> = batch
            .iter()
            .flat_map(|e| e.target.iter().copied())
            .collect();
        let targets = Tensor::from_vec(targets, (batch.len(), self.labels), logits.device())?;
        let loss = (candle_nn::ops::log_softmax(&logits, D::Minus1)? * targets)?
            .sum_all()?
            .affine(-1.0 / batch.len() as f64, 0.0)?;
        let loss = match self.settings.head_l2 > 0.0 {
            true => (loss + (self.head.weight.sqr()?.sum_all()? * self.settings.head_l2)?)?,
            false => loss,
        };
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(Error::NotFinite);
        }
        let grads = loss.backward()?;
        optimizer.step(&grads, self.settings.rate * factor)?;
        Ok(value)
    }

    /// The logits of a batch, with what is dropped in the encoder and of what the head reads.
    fn logits(&self, batch: &[&Example], [encoder, head]: [Option<Dropout>; 2]) -> Result<Tensor> {
        let ids: Vec<&[u32]> = batch.iter().map(|e| e.ids.as_slice()).collect();
        let mut pooled = self.encoder.forward(&ids, encoder)?;
        if let Some(Dropout { rate, seed }) = head {
            pooled = self.encoder.ops().dropout(&pooled, rate, random(seed, 0))?;
        }
        Ok(pooled
            .matmul(&self.head.weight.t()?)?
            .broadcast_add(&self.head.bias)?)
    }

    fn predict(&self, examples: &[Example]) -> Result<Vec<Vec<f32>>> {
        let mut order: Vec<usize> = (0..examples.len()).collect();
        order.sort_by_key(|&index| examples[index].ids.len());
        let mut all = vec![Vec::new(); examples.len()];
        for chunk in order.chunks(64) {
            let batch: Vec<&Example> = chunk.iter().map(|&index| &examples[index]).collect();
            let rows = self.logits(&batch, [None; 2])?.to_vec2::<f32>()?;
            for (&index, row) in chunk.iter().zip(rows) {
                if row.iter().any(|x| !x.is_finite()) {
                    return Err(Error::NotFinite);
                }
                all[index] = row;
            }
        }
        Ok(all)
    }

    fn evaluate(&self, examples: &[Example]) -> Result<Metrics> {
        let predicted: Vec<Vec<f32>> = self.predict(examples)?.iter().map(|l| softmax(l)).collect();
        let targets: Vec<&[f32]> = examples.iter().map(|e| e.target.as_slice()).collect();
        Ok(Metrics::of(&predicted, &targets, self.labels))
    }

    /// The batches of an epoch: shuffled, of about one length each.
    fn batches(&self, train: &[Example], epoch: u64) -> Vec<Vec<usize>> {
        let seed = random(self.settings.seed ^ 0x0DE2, epoch);
        let mut order: Vec<usize> = (0..train.len()).collect();
        shuffle(&mut order, random(seed, 0));
        let mut batches = Vec::new();
        for bucket in order.chunks_mut(self.settings.batch.saturating_mul(BUCKET)) {
            bucket.sort_by_key(|&index| train[index].ids.len());
            batches.extend(bucket.chunks(self.settings.batch).map(<[usize]>::to_vec));
        }
        shuffle(&mut batches, random(seed, 1));
        batches
    }
}

/// A number that stands for `text` after what `hash` stands for.
pub(super) fn fingerprint(hash: u64, text: &str) -> u64 {
    text.bytes()
        .fold(hash, |hash, byte| random(hash, u64::from(byte)))
}

/// Probabilities of `logits`.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut p: Vec<f32> = logits.iter().map(|x| (x - most).exp()).collect();
    let total: f32 = p.iter().sum();
    p.iter_mut().for_each(|x| *x /= total);
    p
}

/// Fisher and Yates, with counter-based random numbers.
pub(super) fn shuffle<T>(items: &mut [T], seed: u64) {
    for last in (1..items.len()).rev() {
        let other = (random(seed, last as u64) % (last as u64 + 1)) as usize;
        items.swap(last, other);
    }
}
