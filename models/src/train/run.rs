//! The loop that trainers share: steps, evaluations, the best kept, early stopping, checkpoints.

use super::checkpoint::{Checkpoint, Saved};
use super::classifier::{Ended, Learned, Observer, Progress, Schedule, Settings};
use super::metrics::Metrics;
use super::optimizer::Optimizer;
use crate::error::{Error, Result};
use candle_core::Tensor;
use std::path::Path;

/// What learns in a run.
pub(super) trait Learner {
    /// Takes step `step`, of which `factor` says how large a share of the highest rates it has.
    fn learn(&mut self, optimizer: &mut Optimizer, step: u64, factor: f64) -> Result<Taken>;

    /// Figures on what is held out; none when the observer ended it.
    fn evaluate(
        &mut self,
        optimizer: &Optimizer,
        observer: &mut dyn Observer,
    ) -> Result<Option<Metrics>>;
}

/// How a batch was answered before the step that it was for.
pub(super) struct Taken {
    /// Its loss.
    pub loss: f64,
    /// The share of it that was right, where that is counted.
    pub accuracy: Option<f64>,
    /// The share of it that was right among the likeliest classes, where that is counted.
    pub top: Option<f64>,
}

/// What a run goes through.
pub(super) struct Course<'a> {
    /// Epochs, rates, evaluations and patience.
    pub settings: &'a Settings,
    /// Steps of an epoch.
    pub per_epoch: u64,
    /// The rates' factor at a step of so many, with a share that they rise over, where they have no steps of their own.
    pub schedule: fn(u64, u64, f64) -> f64,
    /// Whether there is something to evaluate on.
    pub evaluates: bool,
    /// Whether what the run starts with is evaluated too: then it is not left for something worse.
    pub from_start: bool,
    /// What tells this run from others.
    pub fingerprint: u64,
    /// Where the state is kept.
    pub checkpoint: Option<&'a Path>,
}

/// A run's state.
pub(super) struct Run {
    /// What learns, and how.
    pub optimizer: Optimizer,
    /// The parameters' values at the best evaluation.
    best: Option<Best>,
    /// The figure of the last evaluation that was an improvement, and how many were none since.
    mark: Option<f64>,
    since_best: u32,
    fingerprint: u64,
}

struct Best {
    loss: f64,
    values: Vec<Vec<f32>>,
}

impl Run {
    /// A run that has not begun.
    pub fn new(optimizer: Optimizer) -> Self {
        Self {
            optimizer,
            best: None,
            mark: None,
            since_best: 0,
            fingerprint: 0,
        }
    }

    /// Goes through `course`, from its checkpoint if that is there, and leaves the best values in place.
    pub fn train(
        &mut self,
        course: &Course<'_>,
        learner: &mut dyn Learner,
        observer: &mut dyn Observer,
    ) -> Result<Ended> {
        self.fingerprint = course.fingerprint;
        if let Some(path) = course.checkpoint
            && path.exists()
        {
            self.restore(Checkpoint::read(path)?)?;
        }
        let settings = course.settings;
        let steps = course.per_epoch * u64::from(settings.epochs);
        let every = course.per_epoch.div_ceil(u64::from(settings.evaluations));
        if course.evaluates && course.from_start && self.optimizer.steps() == 0 {
            let start = Progress {
                step: 0,
                steps,
                loss: 0.0,
                accuracy: None,
                top: None,
                rate: 0.0,
            };
            if !self.evaluate(start, settings, learner, observer)? {
                return Ok(Ended::Interrupted);
            }
        }
        while self.optimizer.steps() < steps {
            let step = self.optimizer.steps();
            let factor = match &settings.schedule {
                Schedule::WarmUp => (course.schedule)(step, steps, settings.warm_up),
                Schedule::Steps(steps) => steps.factor(step / course.per_epoch),
            };
            let Taken {
                loss,
                accuracy,
                top,
            } = learner.learn(&mut self.optimizer, step, factor)?;
            let progress = Progress {
                step: step + 1,
                steps,
                loss,
                accuracy,
                top,
                rate: settings.rate * factor,
            };
            let mut stop = observer.step(progress);
            let within = (step + 1) % course.per_epoch;
            if course.evaluates && (within.is_multiple_of(every) || within == 0) {
                stop |= !self.evaluate(progress, settings, learner, observer)?;
                if let Some(path) = course.checkpoint {
                    self.snapshot()?.write(path)?;
                }
                let passes = (step + 1) / course.per_epoch;
                if settings.ends(self.since_best, passes) {
                    self.take_best()?;
                    return Ok(Ended::EarlyStop);
                }
            }
            if stop {
                if let Some(path) = course.checkpoint {
                    self.snapshot()?.write(path)?;
                }
                self.take_best()?;
                return Ok(Ended::Interrupted);
            }
        }
        self.take_best()?;
        Ok(Ended::Finished)
    }

    /// Judges the values as they are; `false` when the observer ended it.
    fn evaluate(
        &mut self,
        progress: Progress,
        settings: &Settings,
        learner: &mut dyn Learner,
        observer: &mut dyn Observer,
    ) -> Result<bool> {
        let Some(metrics) = learner.evaluate(&self.optimizer, observer)? else {
            return Ok(false);
        };
        let better = self
            .best
            .as_ref()
            .is_none_or(|best| metrics.loss < best.loss);
        observer.evaluated(progress, &metrics, better);
        if better {
            self.best = Some(Best {
                loss: metrics.loss,
                values: self.optimizer.values()?,
            });
        }
        match settings.improvement.over(self.mark, &metrics) {
            Some(mark) => (self.mark, self.since_best) = (Some(mark), 0),
            None => self.since_best = self.since_best.saturating_add(1),
        }
        Ok(true)
    }

    fn set_values(&self, values: &[Vec<f32>]) -> Result<()> {
        for (parameter, values) in self.optimizer.parameters().iter().zip(values) {
            let tensor = Tensor::from_slice(values, parameter.var.shape(), parameter.var.device())?;
            parameter.var.set(&tensor)?;
        }
        Ok(())
    }

    fn take_best(&mut self) -> Result<()> {
        match &self.best {
            Some(best) => self.set_values(&best.values),
            None => Ok(()),
        }
    }

    /// What learns, by name: shape and values.
    pub fn learned(&self) -> Result<Vec<Learned>> {
        let values = self.optimizer.values()?;
        let parameters = self.optimizer.parameters().iter();
        Ok(parameters
            .zip(values)
            .map(|(p, values)| (p.name.clone(), p.var.dims().to_vec(), values))
            .collect())
    }

    fn snapshot(&self) -> Result<Checkpoint> {
        let values = self.optimizer.values()?;
        let parameters = self.optimizer.parameters().iter();
        Ok(Checkpoint {
            fingerprint: self.fingerprint,
            steps: self.optimizer.steps(),
            since_best: self.since_best,
            best_loss: self.best.as_ref().map(|best| best.loss),
            mark: self.mark,
            parameters: parameters
                .zip(values)
                .enumerate()
                .map(|(index, (parameter, value))| Saved {
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
        self.mark = checkpoint.mark;
        self.best = checkpoint
            .best_loss
            .filter(|_| !best.is_empty())
            .map(|loss| Best { loss, values: best });
        Ok(())
    }
}
