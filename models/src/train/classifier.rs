//! A text classifier on an encoder, and the loop that trains it.
//!
//! The head is one linear layer on the mean of the last hidden states (not scaled to length one). Targets are
//! distributions over the labels, so that disagreeing raters can be taught as they are; the loss is the
//! cross-entropy to them.

use super::checkpoint::{self, Checkpoint};
use super::encoder::{Dropout, LearningEncoder, Method, uniform};
use super::metrics::Metrics;
use super::ops::Ops;
use super::optimizer::{AdamW, AdamWConfig, Parameter, warm_up_and_decay};
use super::random;
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

/// Settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Share of activations dropped.
    pub dropout: f32,
    /// Evaluations on the development set in each epoch.
    pub evaluations: u32,
    /// Evaluations without improvement after which training stops; 0: never.
    pub patience: u32,
    /// Source of order, dropout and initial values.
    pub seed: u64,
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
        }
    }
}

impl Settings {
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
    /// The encoder's learning rate in this step.
    pub rate: f64,
}

/// Who watches a run.
pub trait Observer {
    /// After each step; `true` asks the run to write a checkpoint and stop.
    fn step(&mut self, progress: Progress) -> bool;

    /// After each evaluation; `best` says that it is the best so far.
    fn evaluated(&mut self, progress: Progress, metrics: &Metrics, best: bool);
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
    encoder: LearningEncoder,
    head: Head,
    optimizer: AdamW,
    settings: Settings,
    method: Method,
    labels: usize,
    /// The parameters' values at the best evaluation.
    best: Option<Best>,
    since_best: u32,
    fingerprint: u64,
}

struct Head {
    weight: Var,
    bias: Var,
}

pub(super) struct Best {
    pub loss: f64,
    pub values: Vec<Vec<f32>>,
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
        let rate = if settings.rate > 0.0 {
            settings.head_rate / settings.rate
        } else {
            0.0
        };
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
        let config = AdamWConfig {
            weight_decay: settings.weight_decay,
            ..AdamWConfig::default()
        };
        Ok(Self {
            encoder,
            head,
            optimizer: AdamW::new(config, parameters),
            settings,
            method,
            labels,
            best: None,
            since_best: 0,
            fingerprint: 0,
        })
    }

    /// Numbers that learn.
    pub fn parameters(&self) -> usize {
        self.optimizer.count()
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
            .find(|e| e.target.len() != self.labels)
        {
            return Err(Error::unsupported(format!(
                "a target of {} probabilities for {} labels",
                example.target.len(),
                self.labels
            )));
        }
        self.fingerprint = self.fingerprint_of(train, dev);
        if let Some(path) = checkpoint
            && path.exists()
        {
            self.restore(Checkpoint::read(path)?)?;
        }
        let per_epoch = train.len().div_ceil(self.settings.batch) as u64;
        let steps = per_epoch * u64::from(self.settings.epochs);
        let every = per_epoch.div_ceil(u64::from(self.settings.evaluations));
        let mut epoch = u64::MAX;
        let mut order = Vec::new();
        while self.optimizer.steps() < steps {
            let step = self.optimizer.steps();
            if epoch != step / per_epoch {
                epoch = step / per_epoch;
                order = self.batches(train, epoch);
            }
            let batch: Vec<&Example> = order[(step % per_epoch) as usize]
                .iter()
                .map(|&index| &train[index])
                .collect();
            let factor = warm_up_and_decay(step, steps, self.settings.warm_up);
            let rate = self.settings.rate * factor;
            let loss = self.learn(&batch, step, factor)?;
            let progress = Progress {
                step: step + 1,
                steps,
                loss,
                rate,
            };
            let stop = observer.step(progress);
            let done = step + 1;
            let within = done % per_epoch;
            if !dev.is_empty() && (within.is_multiple_of(every) || within == 0) {
                let metrics = self.evaluate(dev)?;
                let better = self
                    .best
                    .as_ref()
                    .is_none_or(|best| metrics.loss < best.loss);
                observer.evaluated(progress, &metrics, better);
                if better {
                    self.best = Some(Best {
                        loss: metrics.loss,
                        values: self.values()?,
                    });
                    self.since_best = 0;
                } else {
                    self.since_best += 1;
                }
                if let Some(path) = checkpoint {
                    self.snapshot()?.write(path)?;
                }
                if self.settings.patience > 0 && self.since_best >= self.settings.patience {
                    self.take_best()?;
                    return Ok(Ended::EarlyStop);
                }
            }
            if stop {
                if let Some(path) = checkpoint {
                    self.snapshot()?.write(path)?;
                }
                return Ok(Ended::Interrupted);
            }
        }
        self.take_best()?;
        Ok(Ended::Finished)
    }

    /// One step on `batch`; returns its loss.
    fn learn(&mut self, batch: &[&Example], step: u64, factor: f64) -> Result<f64> {
        let dropout = (self.settings.dropout > 0.0).then(|| Dropout {
            rate: self.settings.dropout,
            seed: random(self.settings.seed ^ 0xD509, step),
        });
        let logits = self.logits(batch, dropout)?;
        let targets: Vec<f32> = batch
            .iter()
            .flat_map(|e| e.target.iter().copied())
            .collect();
        let targets = Tensor::from_vec(targets, (batch.len(), self.labels), logits.device())?;
        let loss = (candle_nn::ops::log_softmax(&logits, D::Minus1)? * targets)?
            .sum_all()?
            .affine(-1.0 / batch.len() as f64, 0.0)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(Error::NotFinite);
        }
        let grads = loss.backward()?;
        self.optimizer.step(&grads, self.settings.rate * factor)?;
        Ok(value)
    }

    fn logits(&self, batch: &[&Example], dropout: Option<Dropout>) -> Result<Tensor> {
        let ids: Vec<&[u32]> = batch.iter().map(|e| e.ids.as_slice()).collect();
        let mut pooled = self.encoder.forward(&ids, dropout)?;
        if let Some(Dropout { rate, seed }) = dropout {
            pooled = self.encoder.ops().dropout(&pooled, rate, random(seed, 0))?;
        }
        Ok(pooled
            .matmul(&self.head.weight.t()?)?
            .broadcast_add(&self.head.bias)?)
    }

    /// Logits of `examples`, in their order, without dropout.
    ///
    /// # Errors
    /// When an example does not fit or candle fails.
    pub fn predict(&self, examples: &[Example]) -> Result<Vec<Vec<f32>>> {
        let mut order: Vec<usize> = (0..examples.len()).collect();
        order.sort_by_key(|&index| examples[index].ids.len());
        let mut all = vec![Vec::new(); examples.len()];
        for chunk in order.chunks(64) {
            let batch: Vec<&Example> = chunk.iter().map(|&index| &examples[index]).collect();
            let rows = self.logits(&batch, None)?.to_vec2::<f32>()?;
            for (&index, row) in chunk.iter().zip(rows) {
                if row.iter().any(|x| !x.is_finite()) {
                    return Err(Error::NotFinite);
                }
                all[index] = row;
            }
        }
        Ok(all)
    }

    /// Figures on `examples`.
    ///
    /// # Errors
    /// As [`Trainer::predict`].
    pub fn evaluate(&self, examples: &[Example]) -> Result<Metrics> {
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

    fn values(&self) -> Result<Vec<Vec<f32>>> {
        self.optimizer
            .parameters()
            .iter()
            .map(|p| {
                let value = p.var.to_device(&Device::Cpu)?.flatten_all()?;
                Ok(value.to_vec1::<f32>()?)
            })
            .collect()
    }

    fn set_values(&self, values: &[Vec<f32>]) -> Result<()> {
        for (parameter, values) in self.optimizer.parameters().iter().zip(values) {
            let tensor = Tensor::from_slice(values, parameter.var.shape(), parameter.var.device())?;
            parameter.var.set(&tensor)?;
        }
        Ok(())
    }

    fn take_best(&mut self) -> Result<()> {
        if let Some(best) = self.best.take() {
            self.set_values(&best.values)?;
            self.best = Some(best);
        }
        Ok(())
    }

    /// What learns, by name: shape and values.
    ///
    /// # Errors
    /// When the device fails.
    pub fn learned(&self) -> Result<Vec<Learned>> {
        let values = self.values()?;
        let parameters = self.optimizer.parameters().iter();
        Ok(parameters
            .zip(values)
            .map(|(p, values)| (p.name.clone(), p.var.dims().to_vec(), values))
            .collect())
    }

    /// What tells this run from others: settings, method and examples.
    fn fingerprint_of(&self, train: &[Example], dev: &[Example]) -> u64 {
        let settings = format!("{:?} {:?} {}", self.settings, self.method, self.labels);
        let mut hash = random(0, train.len() as u64);
        for byte in settings.bytes() {
            hash = random(hash, u64::from(byte));
        }
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

    fn snapshot(&self) -> Result<Checkpoint> {
        let values = self.values()?;
        let parameters = self.optimizer.parameters().iter();
        Ok(Checkpoint {
            fingerprint: self.fingerprint,
            steps: self.optimizer.steps(),
            since_best: self.since_best,
            best_loss: self.best.as_ref().map(|best| best.loss),
            parameters: parameters
                .zip(values)
                .enumerate()
                .map(|(index, (parameter, value))| checkpoint::Saved {
                    name: parameter.name.clone(),
                    means: self.optimizer.means(index).map(<[f32]>::to_vec),
                    best: self.best.as_ref().map(|best| best.values[index].clone()),
                    value,
                })
                .collect(),
        })
    }

    fn restore(&mut self, checkpoint: Checkpoint) -> Result<()> {
        let names = self.optimizer.parameters().iter().map(|p| &p.name);
        if checkpoint.fingerprint != self.fingerprint
            || !names.eq(checkpoint.parameters.iter().map(|p| &p.name))
        {
            return Err(Error::unsupported(
                "the checkpoint belongs to a run with other data or settings",
            ));
        }
        let (mut values, mut means, mut best) = (Vec::new(), Vec::new(), Vec::new());
        for saved in checkpoint.parameters {
            values.push(saved.value);
            means.push(saved.means);
            best.extend(saved.best);
        }
        let fits = |all: &[Vec<f32>]| {
            let parameters = self.optimizer.parameters().iter();
            all.len() == values.len()
                && parameters
                    .zip(all)
                    .all(|(p, v)| p.var.elem_count() == v.len())
        };
        if !fits(&values) || !(best.is_empty() || fits(&best)) {
            return Err(Error::unsupported("the checkpoint's tensors do not fit"));
        }
        self.set_values(&values)?;
        self.optimizer.restore(checkpoint.steps, means)?;
        self.since_best = checkpoint.since_best;
        self.best = checkpoint
            .best_loss
            .filter(|_| !best.is_empty())
            .map(|loss| Best { loss, values: best });
        Ok(())
    }
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
