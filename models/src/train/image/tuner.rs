//! The run in which the network learns: from a layer that was learned on its features, or from random values, to weights of its own.

use super::augment::{Augmentation, Change};
use super::initial;
use super::network::{self, Dropout, Network, Workspace};
use crate::efficientnet::{FOLDED, INPUT};
use crate::error::{Error, Result};
use crate::team::Team;
use crate::train::adapter::Head;
use crate::train::checkpoint::write_f32;
use crate::train::classifier::{Ended, Learned, Observer, Settings, fingerprint, shuffle};
use crate::train::loss::Loss;
use crate::train::metrics::{Metrics, among, argmax, top_accuracy};
use crate::train::optimizer::{Optimizer, OptimizerConfig, Parameter, warm_up_and_cosine};
use crate::train::random;
use crate::train::run::{Course, Learner, Run, Taken};
use candle_core::{Device, Var};
use escala_weights::Tensors;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The rate of offsets where all begin with random values, as a part of the highest.
const OFFSETS: f64 = 0.2;
/// Images that are read at a time for each member of the team.
const AHEAD: usize = 8;

/// Images to learn from or to be measured on.
pub trait Images {
    /// How many there are.
    fn count(&self) -> usize;

    /// The classes that hold for the image at `index`: one, where one excludes the others.
    fn classes(&self, index: usize) -> &[u32];

    /// Writes the images at `indices` to `out`: for each `[SIDE, SIDE, 3]` values as
    /// [`EfficientNetLite::forward`](crate::efficientnet::EfficientNetLite::forward) takes them. It is asked for a few images
    /// at a time, in every pass again.
    ///
    /// # Errors
    /// When an image cannot be read; the run ends with the same error.
    fn read(&mut self, indices: &[usize], out: &mut [f32]) -> Result<()>;
}

/// Bytes that tuning takes at most for so many classes on so many threads, beside what [`Images`] hold and what
/// [`Settings::batch`] does not change: activations are those of one image a thread.
pub fn memory(classes: usize, threads: usize) -> u64 {
    // The values, their copy in a step, two means, the best, gradients, the two ways they are packed, and what is written.
    const COPIES: usize = 9;
    let parameters = network::count(classes).saturating_mul(COPIES * size_of::<f32>());
    let images = (threads * AHEAD * INPUT * size_of::<f32>()) as u64;
    (parameters as u64)
        .saturating_add(network::workspace_bytes(classes).saturating_mul(threads as u64))
        .saturating_add(images)
}

/// Bytes that [`Tuner::begin`] takes at most before it ends.
pub fn memory_to_begin(classes: usize) -> u64 {
    let parameters = network::count(classes).saturating_mul(2 * size_of::<f32>());
    let images = initial::IMAGES * INPUT * size_of::<f32>();
    initial::memory()
        .saturating_add(parameters as u64)
        .saturating_add(images as u64)
}

/// EfficientNet-Lite0 and a layer on it, both of which learn.
pub struct Tuner<'a> {
    model: Model<'a>,
    run: Run,
}

struct Model<'a> {
    settings: Settings,
    augmentation: Augmentation,
    loss: Loss,
    classes: usize,
    /// How many of the likeliest classes are looked at, beside the first.
    top: Option<usize>,
    /// Whether it began with random values.
    begun: bool,
    team: &'a Team,
}

impl<'a> Tuner<'a> {
    /// The network of `tensors` with `head` on it, which says how many classes there are. The head's rate is
    /// [`Settings::head_rate`]. A tensor of the network has [`Settings::rate`] times the root of the mean of its squares, as
    /// it comes: with normalisation folded in, tensors differ in size by a thousand times, and Adam's steps do not (relative
    /// steps as in Adafactor, Shazeer and Stern 2018, arXiv:1804.04235). Gradient descent has the same shares, by which it learns
    /// at rates like those that it has elsewhere, such as 0.1.
    ///
    /// # Errors
    /// When the settings make no sense or the tensors do not fit.
    pub fn new(
        tensors: &Tensors,
        head: &Head,
        settings: Settings,
        augmentation: Augmentation,
        team: &'a Team,
    ) -> Result<Self> {
        settings.check()?;
        let learned = network::parameters(tensors, head)?;
        Self::of(learned, false, settings, augmentation, team)
    }

    /// A network for `classes` that has learned nothing: weights drawn from [`Settings::seed`], normalised on up to 16 of
    /// `images`. Weights, those of the layer for the classes included, have [`Settings::rate`] times the size that they begin with,
    /// offsets a fifth of it: they move what has a deviation of 1.
    ///
    /// # Errors
    /// When the settings make no sense, there are no images, or one cannot be read.
    pub fn begin(
        classes: usize,
        images: &mut dyn Images,
        settings: Settings,
        augmentation: Augmentation,
        team: &'a Team,
    ) -> Result<Self> {
        settings.check()?;
        if classes < 2 || images.count() == 0 {
            return Err(Error::unsupported(
                "there are no images to learn from, or there is nothing to tell apart",
            ));
        }
        let mut order: Vec<usize> = (0..images.count()).collect();
        shuffle(&mut order, random(settings.seed, 0xB361));
        order.truncate(initial::IMAGES);
        let mut pixels = vec![0.0; order.len() * INPUT];
        images.read(&order, &mut pixels)?;
        let drawn = initial::parameters(classes, &pixels, random(settings.seed, 0xB362), team)?;
        Self::of(drawn, true, settings, augmentation, team)
    }

    /// With another loss than [`Loss::Softmax`].
    ///
    /// # Errors
    /// It is of another number of classes.
    pub fn with_loss(mut self, loss: Loss) -> Result<Self> {
        if !loss.fits(self.model.classes) {
            return Err(Error::unsupported(format!(
                "{loss:?} is not one of {} classes",
                self.model.classes
            )));
        }
        self.model.loss = loss;
        Ok(self)
    }

    /// Looks also at whether an image's class is among its so many likeliest, where one class excludes the others.
    pub fn with_top(mut self, top: Option<usize>) -> Self {
        self.model.top = top.filter(|_| self.model.loss == Loss::Softmax);
        self
    }

    /// The network of these parameters.
    fn of(
        learned: Vec<Learned>,
        begun: bool,
        settings: Settings,
        augmentation: Augmentation,
        team: &'a Team,
    ) -> Result<Self> {
        let layer = learned.len() - 2;
        let classes = learned[layer + 1].2.len();
        let parameters = learned
            .into_iter()
            .enumerate()
            .map(|(number, (name, shape, values))| {
                let rate = match number < layer {
                    _ if begun && number % 2 == 1 => OFFSETS,
                    _ if begun => size(&values),
                    true => size(&values),
                    false => settings.head_share(),
                };
                Ok(Parameter {
                    name,
                    var: Var::from_vec(values, shape, &Device::Cpu)?,
                    rate,
                    decays: number % 2 == 0,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let config = OptimizerConfig {
            rule: settings.rule,
            weight_decay: settings.weight_decay,
            ..OptimizerConfig::default()
        };
        Ok(Self {
            model: Model {
                settings,
                augmentation,
                loss: Loss::default(),
                classes,
                top: None,
                begun,
                team,
            },
            run: Run::new(Optimizer::new(config, parameters)),
        })
    }

    /// Learns from `train`, judges by the loss on `dev` after every pass (and before the first, so that the result is never
    /// worse there than what it began with), and leaves the best values in place. Rates rise over
    /// [`Settings::warm_up`] and fall along half a cosine. [`Settings::evaluations`] is how often a pass is judged.
    /// `checkpoint` is as in [`Trainer::train`](crate::train::classifier::Trainer::train).
    ///
    /// # Errors
    /// When a class is none of the layer's, an image cannot be read, a number is not finite, or the checkpoint belongs to
    /// another run or cannot be read or written.
    pub fn train(
        &mut self,
        train: &mut dyn Images,
        dev: &mut dyn Images,
        checkpoint: Option<&Path>,
        observer: &mut dyn Observer,
    ) -> Result<Ended> {
        if train.count() == 0 {
            return Err(Error::unsupported("there are no images to learn from"));
        }
        let mut hash = self.model.fingerprint();
        for images in [&*train, &*dev] {
            for index in 0..images.count() {
                let classes = images.classes(index);
                self.model.check(classes)?;
                if self.model.loss != Loss::Softmax {
                    hash = random(hash, classes.len() as u64);
                }
                for class in classes {
                    hash = random(hash, u64::from(*class));
                }
            }
        }
        let course = Course {
            settings: &self.model.settings,
            per_epoch: train.count().div_ceil(self.model.settings.batch) as u64,
            schedule: warm_up_and_cosine,
            evaluates: dev.count() > 0,
            from_start: true,
            fingerprint: hash,
            checkpoint,
        };
        let mut lessons = Lessons {
            model: &self.model,
            train,
            dev,
            per_epoch: course.per_epoch,
            workspaces: Vec::new(),
            pixels: Vec::new(),
        };
        self.run.train(&course, &mut lessons, observer)
    }

    /// Figures on `images` with the values as they are.
    ///
    /// # Errors
    /// As [`Tuner::train`].
    pub fn evaluate(&self, images: &mut dyn Images) -> Result<Metrics> {
        let network = Network::new(&self.run.optimizer.values()?, self.model.team)?;
        let (mut workspaces, mut pixels) = (Vec::new(), Vec::new());
        let found =
            self.model
                .evaluate(&network, images, &mut workspaces, &mut pixels, &mut || {
                    false
                })?;
        found.ok_or_else(|| Error::unsupported("there are no images"))
    }

    /// What was learned, by name: shape and values.
    ///
    /// # Errors
    /// When candle fails.
    pub fn learned(&self) -> Result<Vec<Learned>> {
        self.run.learned()
    }

    /// The layer on the network's features as it is now.
    ///
    /// # Errors
    /// When candle fails.
    pub fn head(&self) -> Result<Head> {
        let mut values = self.run.optimizer.values()?;
        match (values.pop(), values.pop()) {
            (Some(bias), Some(weight)) => Ok(Head { weight, bias }),
            _ => Err(Error::unsupported("there is no layer")),
        }
    }

    /// Writes the network as a file that [`EfficientNetLite::load`](crate::efficientnet::EfficientNetLite::load) reads, in
    /// place of an older one.
    ///
    /// # Errors
    /// When candle fails or the disk refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        let learned = self.learned()?;
        let tensors: Vec<(&str, Vec<usize>, &[f32])> = learned
            .iter()
            .map(|(name, shape, values)| (name.as_str(), shape.clone(), values.as_slice()))
            .collect();
        let (key, version) = FOLDED;
        let metadata = HashMap::from([(key.to_owned(), version.to_owned())]);
        write_f32(path, &tensors, metadata)
    }
}

/// Images in the order in which they are learned from.
struct Lessons<'a, 'b> {
    model: &'a Model<'b>,
    train: &'a mut dyn Images,
    dev: &'a mut dyn Images,
    per_epoch: u64,
    /// One for each member that has work.
    workspaces: Vec<Mutex<Workspace>>,
    pixels: Vec<f32>,
}

impl Learner for Lessons<'_, '_> {
    fn learn(&mut self, optimizer: &mut Optimizer, step: u64, factor: f64) -> Result<Taken> {
        let (epoch, within) = (step / self.per_epoch, step % self.per_epoch);
        let seed = self.model.settings.seed;
        let batch = self.model.settings.batch;
        let mut order: Vec<usize> = (0..self.train.count()).collect();
        shuffle(&mut order, random(seed ^ 0x0DE2, epoch));
        let order: Vec<usize> = order
            .into_iter()
            .skip(within as usize * batch)
            .take(batch)
            .collect();
        let network = Network::new(&optimizer.values()?, self.model.team)?;
        let members = self.model.team.threads().min(order.len()).max(1);
        // Of the images of a batch each member has every so many: the same ones whatever the threads do.
        while self.workspaces.len() < members {
            self.workspaces.push(Mutex::new(network.workspace()));
        }
        let share = 1.0 / order.len() as f32;
        let noise = random(seed ^ 0xA063, epoch);
        let (mut loss, mut right, mut top) = (0.0, 0.0, 0.0);
        for indices in order.chunks(members * AHEAD) {
            self.pixels.resize(indices.len() * INPUT, 0.0);
            self.train.read(indices, &mut self.pixels)?;
            let pixels = &self.pixels;
            let targets: Vec<Vec<f32>> = indices
                .iter()
                .map(|&index| self.model.targets(self.train.classes(index)))
                .collect();
            let said: Vec<Mutex<[f64; 3]>> = indices.iter().map(|_| Mutex::default()).collect();
            self.model.team.for_each(members, |member| {
                let mut workspace = lock(&self.workspaces[member]);
                for (at, &index) in indices.iter().enumerate().skip(member).step_by(members) {
                    let image = &pixels[at * INPUT..][..INPUT];
                    let key = random(noise, index as u64);
                    let dropout = Dropout {
                        rate: self.model.settings.dropout,
                        seed: random(key, 3),
                    };
                    let (loss, said_of) = network.learn(
                        (image, &targets[at], &self.model.loss),
                        share,
                        self.model.augmentation.change(key),
                        Some(dropout),
                        &mut workspace,
                    );
                    let target = &targets[at];
                    let near = self
                        .model
                        .top
                        .is_some_and(|k| among(&said_of, argmax(target), k));
                    *lock(&said[at]) = [loss, self.model.right(&said_of, target), f64::from(near)];
                }
            });
            for said in said {
                let [one, hit, near] = said.into_inner().unwrap_or_else(PoisonError::into_inner);
                loss += one * f64::from(share);
                right += hit;
                top += near;
            }
        }
        if !loss.is_finite() {
            return Err(Error::NotFinite);
        }
        let mut held: Vec<_> = self.workspaces[..members].iter().map(lock).collect();
        let mut held: Vec<&mut Workspace> = held.iter_mut().map(|w| &mut **w).collect();
        let gradients = network::gathered(&mut held, self.model.team);
        optimizer.apply(&gradients, self.model.settings.rate * factor)?;
        Ok(Taken {
            loss,
            accuracy: Some(right * f64::from(share)),
            top: self.model.top.map(|_| top * f64::from(share)),
        })
    }

    fn evaluate(
        &mut self,
        optimizer: &Optimizer,
        observer: &mut dyn Observer,
    ) -> Result<Option<Metrics>> {
        let network = Network::new(&optimizer.values()?, self.model.team)?;
        let (workspaces, pixels) = (&mut self.workspaces, &mut self.pixels);
        self.model
            .evaluate(&network, self.dev, workspaces, pixels, &mut || {
                observer.stopped()
            })
    }
}

impl Model<'_> {
    /// What tells a run apart: of one that tunes for classes that exclude each other, moved and mirrored at most, the same as
    /// ever, so that its checkpoints stay its own.
    fn fingerprint(&self) -> u64 {
        let Augmentation {
            flip,
            shift,
            colours,
            bend,
        } = self.augmentation;
        let text = format!(
            "{} Augmentation {{ flip: {flip:?}, shift: {shift:?} }}",
            self.settings.identity()
        );
        let hash = fingerprint(0, &text);
        match (colours, bend, self.begun, &self.loss) {
            (false, false, false, Loss::Softmax) => hash,
            more => fingerprint(hash, &format!("{more:?}")),
        }
    }

    /// That an image may have these classes.
    fn check(&self, classes: &[u32]) -> Result<()> {
        if let Some(class) = classes
            .iter()
            .find(|class| **class as usize >= self.classes)
        {
            let what = format!("class {class} of {}", self.classes);
            return Err(Error::unsupported(what));
        }
        match self.loss {
            Loss::Softmax if classes.len() != 1 => Err(Error::unsupported(format!(
                "an image of {} classes, where one excludes the others",
                classes.len()
            ))),
            _ => Ok(()),
        }
    }

    /// 1 for each class that holds.
    fn targets(&self, classes: &[u32]) -> Vec<f32> {
        let mut targets = vec![0.0; self.classes];
        for class in classes {
            if let Some(target) = targets.get_mut(*class as usize) {
                *target = 1.0;
            }
        }
        targets
    }

    /// How much of what is said of an image is right: all or nothing of its one class, or the share of the classes.
    fn right(&self, said: &[f32], targets: &[f32]) -> f64 {
        match self.loss {
            Loss::Softmax => f64::from(u8::from(argmax(said) == argmax(targets))),
            Loss::Sigmoid(_) => {
                let both = said.iter().zip(targets);
                let right = both.filter(|(p, target)| (**p >= 0.5) == (**target >= 0.5));
                right.count() as f64 / self.classes as f64
            }
        }
    }

    /// Figures on `images`; none where `stopped` says so, or where there are none.
    fn evaluate(
        &self,
        network: &Network,
        images: &mut dyn Images,
        workspaces: &mut Vec<Mutex<Workspace>>,
        pixels: &mut Vec<f32>,
        stopped: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Metrics>> {
        let count = images.count();
        if count == 0 {
            return Ok(None);
        }
        let members = self.team.threads().min(count).max(1);
        while workspaces.len() < members {
            workspaces.push(Mutex::new(network.workspace()));
        }
        let mut predicted: Vec<Vec<f32>> = Vec::with_capacity(count);
        let all: Vec<usize> = (0..count).collect();
        for indices in all.chunks(members * AHEAD) {
            if stopped() {
                return Ok(None);
            }
            pixels.resize(indices.len() * INPUT, 0.0);
            images.read(indices, pixels)?;
            let said: Vec<Mutex<Vec<f32>>> = indices.iter().map(|_| Mutex::default()).collect();
            self.team.for_each(members, |member| {
                let mut workspace = lock(&workspaces[member]);
                for at in (member..indices.len()).step_by(members) {
                    let image = &pixels[at * INPUT..][..INPUT];
                    let scores = network.forward(image, Change::NONE, None, &mut workspace);
                    *lock(&said[at]) = self.loss.probabilities(&scores);
                }
            });
            for said in said {
                let said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
                if said.iter().any(|p| !p.is_finite()) {
                    return Err(Error::NotFinite);
                }
                predicted.push(said);
            }
        }
        let targets: Vec<Vec<f32>> = (0..count)
            .map(|index| self.targets(images.classes(index)))
            .collect();
        let targets: Vec<&[f32]> = targets.iter().map(Vec::as_slice).collect();
        let figures = self.loss.metrics(&predicted, &targets, self.classes);
        let top = self.top.map(|k| top_accuracy(&predicted, &targets, k));
        Ok(Some(Metrics { top, ..figures }))
    }
}

/// The root of the mean of squares, and not less than what is as good as nothing.
fn size(values: &[f32]) -> f64 {
    const LEAST: f64 = 1e-3;
    let squares: f64 = values.iter().map(|one| f64::from(*one).powi(2)).sum();
    (squares / values.len().max(1) as f64).sqrt().max(LEAST)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
