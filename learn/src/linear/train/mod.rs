//! The way from a table to the best of some models.
//!
//! | file | what |
//! | --- | --- |
//! | `solve.rs` | squared errors, whose best weights are the solution of equations |
//! | `checkpoint.rs` | what is kept of models that are being learned |

mod checkpoint;
mod solve;

use crate::check;
use crate::linear::descent::Descent;
use crate::linear::design::{Design, Scaler};
use crate::linear::lbfgs::Lbfgs;
use crate::linear::loss::Loss;
use crate::linear::model::{Head, Linear};
use crate::linear::settings::{Criterion, Optimizer, Positive, Predictor, Settings};
use crate::linear::{NAME, measure};
use crate::{Channels, Error, Result, Table, Watch};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Passes over the table in an epoch of optimizer `auto`.
const PASSES: usize = 10;
/// The greatest slope that is left when a search ends.
const LEVEL: f64 = 1e-5;
/// How wide corners of losses are rounded in the end.
const SHARP: f64 = 1e-3;
/// The most models there can be.
const MODELS: usize = 128;
/// The most weights of all models; searches remember some twenty times as many numbers.
const WEIGHTS: usize = 1 << 27;

/// Rows with labels, as losses take them.
struct Held<'a> {
    table: &'a Table,
    /// As they are.
    labels: &'a [f32],
    /// Shifted and scaled.
    targets: Vec<f32>,
    /// How much each row counts, for each of the factors of class 1.
    weights: Vec<Option<Vec<f32>>>,
    totals: Vec<f64>,
}

/// A model among others.
struct Candidate {
    wd: f64,
    /// Which of the factors of class 1 it has.
    factor: usize,
    state: State,
    /// The weights at the best epoch by the validation channel.
    kept: Vec<f64>,
    best: f64,
    waited: u64,
    ended: bool,
}

enum State {
    Search(Lbfgs),
    Descent(Descent),
    Solved(Vec<f64>),
}

impl Candidate {
    fn weights(&self) -> &[f64] {
        match &self.state {
            State::Search(search) => &search.point,
            State::Descent(descent) => &descent.weights,
            State::Solved(weights) => weights,
        }
    }

    /// Whether it is anything but what it began with.
    fn begun(&self) -> bool {
        match &self.state {
            State::Search(search) => search.started,
            State::Descent(descent) => descent.steps > 0,
            State::Solved(_) => true,
        }
    }

    fn finished(&self) -> bool {
        self.ended
            || match &self.state {
                State::Search(search) => search.done,
                State::Descent(_) => false,
                State::Solved(_) => true,
            }
    }
}

pub(super) fn train(
    settings: &Settings,
    channels: &Channels,
    watch: &mut dyn Watch,
) -> Result<Linear> {
    let table = &channels.train;
    check_labels(settings, table, "train", None)?;
    let columns = table.columns();
    for (other, name) in [
        (&channels.validation, "validation"),
        (&channels.test, "test"),
    ] {
        if let Some(other) = other {
            check_labels(settings, other, name, Some(columns))?;
        }
    }
    bounded(settings, columns)?;
    let scaler = Scaler::of(
        &table.features,
        settings.scaler_rows,
        settings.shift,
        settings.scale,
    );
    let scale = label_scale(settings, table);
    let factors = factors(settings, table);
    let train = held(settings, table, scale, &factors);
    let validation = channels
        .validation
        .as_ref()
        .map(|table| held(settings, table, scale, &factors));
    let design = Design::new(&table.features, &scaler);
    let looked = validation
        .as_ref()
        .map(|held| Design::new(&held.table.features, &scaler));

    let mut run = Run {
        settings,
        width: columns + 1,
        candidates: candidates(
            settings,
            &train,
            validation.is_some(),
            columns + 1,
            factors.len(),
        ),
        design,
        looked,
        train,
        validation,
        epoch: 0,
    };
    watch.log(&format!(
        "{} rows of {columns} columns; {} models",
        table.rows(),
        run.candidates.len()
    ));
    run.learn(watch)?;
    run.finish(&scaler, scale, channels, watch)
}

/// Refuses more models, classes and columns than memory would hold.
fn bounded(settings: &Settings, columns: usize) -> Result<()> {
    let models = settings.models.unwrap_or(8);
    if models > MODELS {
        return Err(Error::input(format!(
            "hyperparameter num_models is {models}: it is auto or at most {MODELS}"
        )));
    }
    let numbers = models
        .saturating_mul(settings.classes)
        .saturating_mul(columns + 1);
    if numbers > WEIGHTS {
        return Err(Error::input(format!(
            "{models} models of {} times {columns} weights are more than {WEIGHTS} numbers: num_models must be less",
            settings.classes
        )));
    }
    Ok(())
}

/// Labels that are what the predictor needs, and values that are there.
fn check_labels(
    settings: &Settings,
    table: &Table,
    channel: &str,
    columns: Option<usize>,
) -> Result<()> {
    check::channel(&table.features, channel, settings.columns, columns)?;
    let labels = table.labels.as_deref().ok_or_else(|| {
        Error::input(format!(
            "channel {channel} has no labels; those of text/csv are its first column"
        ))
    })?;
    let (wrong, is): (&dyn Fn(f32) -> bool, _) = match settings.predictor {
        Predictor::Binary => (&|label| label != 0.0 && label != 1.0, "0 or 1".to_owned()),
        Predictor::Multiclass => (
            &|label| label < 0.0 || label.fract() != 0.0 || label >= settings.classes as f32,
            format!("a whole number from 0 to {}", settings.classes - 1),
        ),
        Predictor::Regressor => (&|label| !label.is_finite(), "a number".to_owned()),
    };
    match labels
        .iter()
        .position(|label| wrong(*label) || label.is_nan())
    {
        None => Ok(()),
        Some(at) => Err(Error::input(format!(
            "the label of row {} of channel {channel} is {}, and a label is {is}",
            at + 1,
            labels[at]
        ))),
    }
}

/// What is subtracted from labels, and what they are divided by.
fn label_scale(settings: &Settings, table: &Table) -> (f64, f64) {
    let labels = table.labels.as_deref().unwrap_or_default();
    let count = labels.len().max(1) as f64;
    let mean = labels.iter().map(|label| f64::from(*label)).sum::<f64>() / count;
    let variance = labels
        .iter()
        .map(|label| (f64::from(*label) - mean).powi(2))
        .sum::<f64>()
        / count;
    let scale = if settings.scale_label && variance > 0.0 {
        variance.sqrt()
    } else {
        1.0
    };
    (if settings.shift_label { mean } else { 0.0 }, scale)
}

/// What rows of class 1 count, of each that is tried.
fn factors(settings: &Settings, table: &Table) -> Vec<f64> {
    if settings.predictor != Predictor::Binary {
        return vec![1.0];
    }
    let labels = table.labels.as_deref().unwrap_or_default();
    let ones = labels.iter().filter(|label| **label > 0.5).count() as f64;
    let balanced = match ones > 0.0 {
        true => ((labels.len() as f64 - ones) / ones).max(f64::MIN_POSITIVE),
        false => 1.0,
    };
    match settings.positive {
        Positive::Times(factor) => vec![factor],
        Positive::Balanced => vec![balanced],
        Positive::Auto => vec![1.0, balanced],
    }
}

fn held<'a>(settings: &Settings, table: &'a Table, scale: (f64, f64), factors: &[f64]) -> Held<'a> {
    let labels = table.labels.as_deref().unwrap_or_default();
    let mut classes = Vec::new();
    if settings.predictor == Predictor::Multiclass && settings.balance {
        let mut counts = vec![0.0_f64; settings.classes];
        labels
            .iter()
            .for_each(|label| counts[*label as usize] += 1.0);
        let there = counts.iter().filter(|count| **count > 0.0).count() as f64;
        classes = counts
            .iter()
            .map(|count| labels.len() as f64 / (there * count.max(1.0)))
            .collect();
    }
    let weights: Vec<_> = factors
        .iter()
        .map(|factor| {
            if *factor == 1.0 && classes.is_empty() && table.weights.is_none() {
                return None;
            }
            let weights = labels.iter().enumerate().map(|(row, label)| {
                let own = table.weights.as_ref().map_or(1.0, |weights| weights[row]);
                let class = classes.get(*label as usize).copied().unwrap_or(1.0);
                let positive = if settings.predictor == Predictor::Binary && *label > 0.5 {
                    *factor
                } else {
                    1.0
                };
                (f64::from(own) * class * positive) as f32
            });
            Some(weights.collect::<Vec<f32>>())
        })
        .collect();
    let totals = weights
        .iter()
        .map(|weights| match weights {
            None => labels.len() as f64,
            Some(weights) => weights
                .iter()
                .map(|one| f64::from(*one))
                .sum::<f64>()
                .max(1e-30),
        })
        .collect();
    Held {
        table,
        labels,
        targets: labels
            .iter()
            .map(|label| ((f64::from(*label) - scale.0) / scale.1) as f32)
            .collect(),
        weights,
        totals,
    }
}

/// The models: the first as it was asked for, the others drawn to zero more and less.
fn candidates(
    settings: &Settings,
    train: &Held,
    validated: bool,
    width: usize,
    factors: usize,
) -> Vec<Candidate> {
    let count = settings.models.unwrap_or(if validated { 8 } else { 1 });
    let unit = 1.0 / train.labels.len().max(1) as f64;
    let first = settings.wd.unwrap_or(unit);
    // 0, 1, -1, 2, -2, 3, -3, then the halves between them, as powers of ten.
    let mut powers = vec![0.0];
    for step in 1..=3 {
        powers.extend([f64::from(step), f64::from(-step)]);
    }
    let mut spacing = 1.0;
    while powers.len() < count {
        spacing *= 0.5;
        let mut at = -3.0 + spacing;
        while at < 3.0 {
            powers.push(at);
            at += 2.0 * spacing;
        }
    }
    let mut random = StdRng::seed_from_u64(settings.seed);
    let size = settings.classes * width;
    let mut out = Vec::new();
    for power in powers.into_iter().take(count) {
        let wd = match first {
            0.0 if power == 0.0 => 0.0,
            0.0 => unit * 10_f64.powf(power),
            first => first * 10_f64.powf(power),
        };
        for factor in 0..factors {
            let mut weights = vec![0.0; size];
            if settings.optimizer != Optimizer::Auto {
                for weight in &mut weights {
                    *weight = match settings.init_normal {
                        true => {
                            // Box and Muller's way to a normal deviate.
                            let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
                            radius
                                * (std::f64::consts::TAU * random.random::<f64>()).cos()
                                * settings.init_width
                        }
                        false => random.random_range(-settings.init_width..settings.init_width),
                    };
                }
            }
            for bias in weights.iter_mut().skip(width - 1).step_by(width) {
                *bias = if settings.bias {
                    settings.init_bias
                } else {
                    0.0
                };
            }
            out.push(Candidate {
                wd,
                factor,
                kept: Vec::new(),
                state: match settings.optimizer {
                    Optimizer::Auto => State::Search(Lbfgs::new(weights)),
                    _ => State::Descent(Descent::new(weights)),
                },
                best: f64::MAX,
                waited: 0,
                ended: false,
            });
        }
    }
    out
}

struct Run<'a> {
    settings: &'a Settings,
    /// Columns and a bias.
    width: usize,
    candidates: Vec<Candidate>,
    design: Design,
    looked: Option<Design>,
    train: Held<'a>,
    validation: Option<Held<'a>>,
    epoch: u64,
}

impl Run<'_> {
    fn learn(&mut self, watch: &mut dyn Watch) -> Result<()> {
        if let Some(bytes) = watch.resume() {
            match self.restore(&bytes) {
                Ok(()) => watch.log(&format!("goes on after epoch {}", self.epoch)),
                Err(why) => watch.log(&format!("begins anew, the checkpoint is of no use: {why}")),
            }
        }
        if self.epoch == 0 && self.solve() {
            self.epoch = self.settings.epochs;
            self.look(None, watch);
            watch.progress(1, 1);
        }
        let mut order: Vec<u32> = Vec::new();
        while self.epoch < self.settings.epochs {
            if self.candidates.iter().all(Candidate::finished) && !self.rounds_left() {
                break;
            }
            let stopped = match self.settings.optimizer {
                Optimizer::Auto => self.search(watch)?,
                _ => self.descend(&mut order, watch)?,
            };
            if stopped {
                watch.log(&format!("was asked to stop in epoch {}", self.epoch + 1));
                if !self.candidates.iter().all(Candidate::begun) {
                    return Err(Error::Stopped);
                }
                break;
            }
            self.epoch += 1;
            self.look(Some(self.epoch), watch);
            watch.progress(self.epoch, self.settings.epochs);
            // Tensors of known shapes always become bytes; none would only mean to begin anew.
            let bytes = &mut || self.checkpoint().unwrap_or_default();
            watch.checkpoint(bytes);
        }
        Ok(())
    }

    /// How wide corners are rounded in an epoch.
    fn round(&self, epoch: u64) -> f64 {
        if self.settings.loss.has_corners() && self.settings.optimizer == Optimizer::Auto {
            0.5_f64
                .powi(i32::try_from(epoch + 1).unwrap_or(i32::MAX))
                .max(SHARP)
        } else {
            0.0
        }
    }

    /// Whether corners will be sharper in the next epoch than they were.
    fn rounds_left(&self) -> bool {
        self.epoch > 0
            && self.round(self.epoch) < self.round(self.epoch - 1)
            && self.candidates.iter().any(|one| !one.ended)
    }

    /// Mean losses of models, and their slopes, at weights.
    fn evaluate(
        &self,
        models: &[usize],
        points: &[f64],
        order: Option<&[u32]>,
        round: f64,
    ) -> Vec<(f64, Vec<f64>)> {
        let outputs = self.settings.classes;
        let size = outputs * self.width;
        let train = &self.train;
        let slopes = |range: std::ops::Range<usize>, scores: &mut [f32], sums: &mut [f64]| {
            let rows: Option<&[u32]> = order.map(|order| &order[range.clone()]);
            let pick = |all: &[f32]| -> Vec<f32> {
                match rows {
                    None => all[range.clone()].to_vec(),
                    Some(rows) => rows.iter().map(|row| all[*row as usize]).collect(),
                }
            };
            let labels = pick(&train.targets);
            let mut losses = vec![0.0; labels.len()];
            let mut apply = |model: usize, scores: &mut [f32]| -> f64 {
                self.settings
                    .loss
                    .slopes(scores, outputs, &labels, round as f32, &mut losses);
                if let Some(weights) = &train.weights[self.candidates[model].factor] {
                    let weights = pick(weights);
                    for ((row, loss), weight) in scores
                        .chunks_exact_mut(outputs)
                        .zip(&mut losses)
                        .zip(weights)
                    {
                        row.iter_mut().for_each(|one| *one *= weight);
                        *loss *= weight;
                    }
                }
                losses.iter().map(|loss| f64::from(*loss)).sum()
            };
            if let [model] = models {
                sums[0] += apply(*model, scores);
                return;
            }
            // Scores of one model beside each other, without those of others between them.
            let stride = models.len() * outputs;
            let mut own = vec![0.0; range.len() * outputs];
            for (at, model) in models.iter().enumerate() {
                let columns = at * outputs..(at + 1) * outputs;
                for (own, row) in own
                    .chunks_exact_mut(outputs)
                    .zip(scores.chunks_exact(stride))
                {
                    own.copy_from_slice(&row[columns.clone()]);
                }
                sums[at] += apply(*model, &mut own);
                for (own, row) in own
                    .chunks_exact(outputs)
                    .zip(scores.chunks_exact_mut(stride))
                {
                    row[columns.clone()].copy_from_slice(own);
                }
            }
        };
        let sums = self
            .design
            .sums(points, models.len() * outputs, models.len(), order, &slopes);
        let parts = models
            .iter()
            .zip(sums.losses)
            .zip(sums.slopes.chunks_exact(size));
        parts
            .map(|((model, loss), slopes)| {
                let factor = self.candidates[*model].factor;
                let total = match (order, &train.weights[factor]) {
                    (None, _) => train.totals[factor],
                    (Some(order), None) => order.len() as f64,
                    (Some(order), Some(weights)) => {
                        let sum: f64 = order
                            .iter()
                            .map(|row| f64::from(weights[*row as usize]))
                            .sum();
                        sum.max(1e-30)
                    }
                };
                let mut slopes: Vec<f64> = slopes.iter().map(|slope| slope / total).collect();
                if !self.settings.bias {
                    slopes
                        .iter_mut()
                        .skip(self.width - 1)
                        .step_by(self.width)
                        .for_each(|slope| *slope = 0.0);
                }
                (loss / total, slopes)
            })
            .collect()
    }

    /// Half the squares of weights as `wd` counts them, with their slopes added to others.
    fn decay(&self, model: usize, weights: &[f64], slopes: &mut [f64]) -> f64 {
        let wd = self.candidates[model].wd;
        let mut sum = 0.0;
        for (at, (weight, slope)) in weights.iter().zip(slopes).enumerate() {
            let bias = (at + 1) % self.width == 0;
            let wd = if bias { wd * self.settings.bias_wd } else { wd };
            sum += 0.5 * wd * weight * weight;
            *slope += wd * weight;
        }
        sum
    }

    /// How strongly each weight is drawn to exactly zero; biases are not.
    fn drawn(&self) -> Vec<f64> {
        let l1 = self.settings.l1.unwrap_or(0.0);
        (0..self.settings.classes * self.width)
            .map(|at| if (at + 1) % self.width == 0 { 0.0 } else { l1 })
            .collect()
    }

    /// An epoch of quasi-Newton steps; whether it was asked to stop.
    fn search(&mut self, watch: &mut dyn Watch) -> Result<bool> {
        let round = self.round(self.epoch);
        if self.epoch > 0 && round != self.round(self.epoch - 1) {
            for candidate in self.candidates.iter_mut().filter(|one| !one.ended) {
                if let State::Search(search) = &mut candidate.state {
                    search.restart();
                }
            }
        }
        let drawn = self.drawn();
        for _ in 0..PASSES {
            if watch.stopped() {
                return Ok(true);
            }
            let active: Vec<usize> = (0..self.candidates.len())
                .filter(|at| !self.candidates[*at].finished())
                .collect();
            if active.is_empty() {
                break;
            }
            let mut points = Vec::new();
            for model in &active {
                if let State::Search(search) = &self.candidates[*model].state {
                    points.extend_from_slice(&search.trial);
                }
            }
            let found = self.evaluate(&active, &points, None, round);
            for (model, (mut value, mut slopes)) in active.into_iter().zip(found) {
                let State::Search(search) = &self.candidates[model].state else {
                    continue;
                };
                if !search.started && !value.is_finite() {
                    return Err(diverged());
                }
                value += self.decay(model, &search.trial, &mut slopes);
                if let State::Search(search) = &mut self.candidates[model].state {
                    search.tell(value, slopes, &drawn, LEVEL);
                }
            }
        }
        Ok(false)
    }

    /// An epoch of steps by batches, in an order of its own; whether it was asked to stop.
    fn descend(&mut self, order: &mut Vec<u32>, watch: &mut dyn Watch) -> Result<bool> {
        order.clear();
        order.extend(
            0..u32::try_from(self.design.rows())
                .map_err(|_| Error::input("the table has too many rows"))?,
        );
        let mut random = StdRng::seed_from_u64(
            self.settings.seed ^ (self.epoch + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        );
        order.shuffle(&mut random);
        let drawn = self.drawn();
        let width = self.width;
        let settings = self.settings;
        for batch in order.chunks(settings.batch) {
            if watch.stopped() {
                return Ok(true);
            }
            let active: Vec<usize> = (0..self.candidates.len())
                .filter(|at| !self.candidates[*at].finished())
                .collect();
            let points: Vec<f64> = active
                .iter()
                .flat_map(|at| self.candidates[*at].weights().iter().copied())
                .collect();
            let found = self.evaluate(&active, &points, Some(batch), 0.0);
            for (model, (value, mut slopes)) in active.into_iter().zip(found) {
                if !value.is_finite() {
                    return Err(diverged());
                }
                self.decay(model, self.candidates[model].weights(), &mut slopes);
                if let State::Descent(descent) = &mut self.candidates[model].state {
                    descent.step(&slopes, &drawn, settings, |at| (at + 1) % width == 0);
                }
            }
        }
        Ok(false)
    }

    /// The mean loss of a model on rows, without what draws to zero.
    fn loss(&self, held: &Held, scores: &[f32], model: usize) -> f64 {
        let outputs = self.settings.classes;
        let factor = self.candidates[model].factor;
        let mut scores = scores.to_vec();
        let mut losses = vec![0.0; held.targets.len()];
        self.settings
            .loss
            .slopes(&mut scores, outputs, &held.targets, 0.0, &mut losses);
        let sum: f64 = match &held.weights[factor] {
            None => losses.iter().map(|loss| f64::from(*loss)).sum(),
            Some(weights) => {
                let pairs = losses.iter().zip(weights);
                pairs
                    .map(|(loss, weight)| f64::from(*loss) * f64::from(*weight))
                    .sum()
            }
        };
        sum / held.totals[factor]
    }

    /// Says how far models are, and ends those that no longer improve.
    fn look(&mut self, epoch: Option<u64>, watch: &mut dyn Watch) {
        let settings = self.settings;
        let outputs = settings.classes;
        let mut shown = (f64::MAX, None);
        for model in 0..self.candidates.len() {
            if self.candidates[model].ended {
                continue;
            }
            let weights = self.candidates[model].weights().to_vec();
            let train = match &self.candidates[model].state {
                // It knows; what draws to zero is not of the loss.
                State::Search(search) if search.started => {
                    let mut slopes = vec![0.0; weights.len()];
                    search.value - self.decay(model, &weights, &mut slopes)
                }
                _ => self.loss(&self.train, &self.design.scores(&weights, outputs), model),
            };
            let mut judged = train;
            let mut looked = None;
            if let (Some(design), Some(held)) = (&self.looked, &self.validation) {
                let scores = design.scores(&weights, outputs);
                let loss = self.loss(held, &scores, model);
                looked = Some(loss);
                judged = loss;
                if settings.criterion_set && settings.criterion != Criterion::Loss {
                    let count = settings.calibration.min(held.labels.len());
                    let found = measure::threshold(
                        &scores[..count],
                        &held.labels[..count],
                        settings.criterion,
                        settings.beta,
                        0.0,
                    );
                    judged = -found.1;
                }
            }
            if judged < shown.0 {
                shown = (judged, Some((train, looked)));
            }
            let candidate = &mut self.candidates[model];
            let improved = (candidate.best - judged)
                > settings.tolerance * candidate.best.abs().min(f64::MAX / 2.0);
            if looked.is_some() && (judged < candidate.best || candidate.kept.is_empty()) {
                candidate.kept = weights;
            }
            if improved || candidate.best == f64::MAX {
                candidate.waited = 0;
            } else {
                candidate.waited += 1;
            }
            candidate.best = candidate.best.min(judged);
            // While corners become sharper, losses stand still now and then.
            let sharp = epoch.is_none_or(|epoch| {
                self.settings.optimizer != Optimizer::Auto || {
                    !self.settings.loss.has_corners() || 0.5_f64.powi(epoch.min(60) as i32) <= SHARP
                }
            });
            if sharp && candidate.waited >= settings.patience {
                candidate.ended = true;
            }
        }
        if let Some((train, looked)) = shown.1 {
            watch.metric("train:objective_loss", train);
            if let Some(looked) = looked {
                watch.metric("validation:objective_loss", looked);
            }
        }
    }

    /// The best model, measured.
    fn finish(
        mut self,
        scaler: &Scaler,
        scale: (f64, f64),
        channels: &Channels,
        watch: &mut dyn Watch,
    ) -> Result<Linear> {
        let settings = self.settings;
        let outputs = settings.classes;
        let mut best: Option<(usize, f64, f64, f32)> = None;
        for model in 0..self.candidates.len() {
            let candidate = &mut self.candidates[model];
            if candidate.kept.is_empty() {
                candidate.kept = candidate.weights().to_vec();
            }
            let weights = self.candidates[model].kept.clone();
            if weights.iter().any(|weight| !weight.is_finite()) {
                continue;
            }
            let (held, design) = match (&self.validation, &self.looked) {
                (Some(held), Some(design)) => (held, design),
                _ => (&self.train, &self.design),
            };
            let mut scores = design.scores(&weights, outputs);
            let loss = self.loss(held, &scores, model);
            let (mut judged, mut threshold) = (-loss, 0.0);
            if settings.predictor == Predictor::Binary {
                let middle = if settings.loss == Loss::Logistic {
                    0.5
                } else {
                    0.0
                };
                if settings.loss == Loss::Logistic {
                    let zeros = vec![0.0; scores.len()];
                    let mut losses = vec![0.0; scores.len()];
                    crate::kernel::logistic(&mut scores, &zeros, &mut losses);
                }
                let count = settings.calibration.min(held.labels.len());
                let (at, found) = measure::threshold(
                    &scores[..count],
                    &held.labels[..count],
                    settings.criterion,
                    settings.beta,
                    middle,
                );
                threshold = at;
                if settings.criterion != Criterion::Loss {
                    judged = found;
                }
            }
            let better = best.is_none_or(|(_, other, loss_of_other, _)| {
                judged > other + 1e-12 || (judged > other - 1e-12 && loss < loss_of_other)
            });
            if better {
                best = Some((model, judged, loss, threshold));
            }
        }
        let (model, _, _, threshold) = best.ok_or_else(diverged)?;
        let candidate = &self.candidates[model];
        watch.log(&format!(
            "the best of {} models has wd {:e}; positive examples count {}",
            self.candidates.len(),
            candidate.wd,
            self.train.weights[candidate.factor]
                .as_ref()
                .map_or("once", |_| "as they are weighted")
        ));
        let columns = self.width - 1;
        let mut linear = Linear {
            head: Head {
                predictor: settings.predictor,
                probabilities: matches!(settings.loss, Loss::Logistic | Loss::Softmax),
                columns,
                outputs,
                threshold,
            },
            weights: Vec::with_capacity(outputs * columns),
            biases: Vec::with_capacity(outputs),
        };
        for row in candidate.kept.chunks_exact(self.width) {
            let (weights, bias) = scaler.unscaled(row);
            linear
                .weights
                .extend(weights.into_iter().map(|weight| weight * scale.1));
            linear.biases.push(bias * scale.1 + scale.0);
        }
        if linear
            .weights
            .iter()
            .chain(&linear.biases)
            .any(|one| !one.is_finite())
        {
            return Err(diverged());
        }
        for (table, name) in [
            (&channels.validation, "validation"),
            (&channels.test, "test"),
        ] {
            let Some(table) = table else { continue };
            let held = held(settings, table, scale, &factors(settings, &channels.train));
            let design = Design::new(&table.features, scaler);
            let scores = design.scores(&candidate.kept, outputs);
            watch.metric(
                &format!("{name}:objective_loss"),
                self.loss(&held, &scores, model),
            );
            for (metric, value) in measured(settings, &linear, table) {
                watch.metric(&format!("{name}:{metric}"), value);
            }
        }
        Ok(linear)
    }
}

fn diverged() -> Error {
    Error::Diverged(format!(
        "{NAME} diverged: its loss is no number any more; a smaller learning_rate, or normalize_data, may help"
    ))
}

/// What SageMaker measures of a model.
fn measured(settings: &Settings, linear: &Linear, table: &Table) -> Vec<(&'static str, f64)> {
    let labels = table.labels.as_deref().unwrap_or_default();
    let scores = linear.scores(&table.features);
    match settings.predictor {
        Predictor::Binary => {
            let pairs = scores.iter().zip(labels);
            let counts = measure::Counts::of(
                pairs.map(|(score, label)| (*score >= linear.head.threshold, *label > 0.5)),
            );
            vec![
                ("binary_classification_accuracy", counts.accuracy()),
                ("precision", counts.precision()),
                ("recall", counts.recall()),
                ("binary_f_beta", counts.f_beta(settings.beta)),
                ("roc_auc_score", measure::area(&scores, labels)),
            ]
        }
        Predictor::Multiclass => measure::classes(
            &scores,
            settings.classes,
            labels,
            settings.top_k,
            settings.beta,
        ),
        Predictor::Regressor => {
            let count = labels.len().max(1) as f64;
            let errors = || {
                scores
                    .iter()
                    .zip(labels)
                    .map(|(score, label)| f64::from(*score) - f64::from(*label))
            };
            vec![
                (
                    "mse",
                    errors().map(|error| error * error).sum::<f64>() / count,
                ),
                ("absolute_loss", errors().map(f64::abs).sum::<f64>() / count),
            ]
        }
    }
}
