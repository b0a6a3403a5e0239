//! The run that tunes the network: from a layer that was learned on its features to weights of its own.

use super::augment::{Augmentation, Change};
use super::network::{self, Dropout, Network, Workspace};
use crate::efficientnet::{FOLDED, INPUT};
use crate::error::{Error, Result};
use crate::team::Team;
use crate::train::adapter::Head;
use crate::train::checkpoint::write_f32;
use crate::train::classifier::{Ended, Learned, Observer, Settings, fingerprint, shuffle, softmax};
use crate::train::metrics::Metrics;
use crate::train::optimizer::{AdamW, AdamWConfig, Parameter, warm_up_and_cosine};
use crate::train::random;
use crate::train::run::{Course, Learner, Run, Taken};
use candle_core::{Device, Var};
use escala_weights::Tensors;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Images that are read at a time for each member of the team.
const AHEAD: usize = 8;

/// Images to learn from or to be measured on.
pub trait Images {
    /// The class of each image.
    fn classes(&self) -> &[u32];

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

/// EfficientNet-Lite0 and a layer on it, both of which learn.
pub struct Tuner<'a> {
    model: Model<'a>,
    run: Run,
}

struct Model<'a> {
    settings: Settings,
    augmentation: Augmentation,
    classes: usize,
    team: &'a Team,
}

impl<'a> Tuner<'a> {
    /// The network of `tensors` with `head` on it, which says how many classes there are. The head's rate is
    /// [`Settings::head_rate`]. A tensor of the network has [`Settings::rate`] times the root of the mean of its squares, as
    /// it comes: with normalisation folded in, tensors differ in size by a thousand times, and Adam's steps do not (relative
    /// steps as in Adafactor, Shazeer and Stern 2018, arXiv:1804.04235).
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
        let layer = learned.len() - 2;
        let parameters = learned
            .into_iter()
            .enumerate()
            .map(|(number, (name, shape, values))| {
                let rate = match number < layer {
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
        let config = AdamWConfig {
            weight_decay: settings.weight_decay,
            ..AdamWConfig::default()
        };
        Ok(Self {
            model: Model {
                settings,
                augmentation,
                classes: head.bias.len(),
                team,
            },
            run: Run::new(AdamW::new(config, parameters)),
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
        if train.classes().is_empty() {
            return Err(Error::unsupported("there are no images to learn from"));
        }
        let mut all = train.classes().iter().chain(dev.classes());
        if let Some(class) = all.find(|&&class| class as usize >= self.model.classes) {
            return Err(Error::unsupported(format!(
                "class {class} of {}",
                self.model.classes
            )));
        }
        let mut hash = fingerprint(
            0,
            &format!("{:?} {:?}", self.model.settings, self.model.augmentation),
        );
        for class in train.classes().iter().chain(dev.classes()) {
            hash = random(hash, u64::from(*class));
        }
        let course = Course {
            settings: &self.model.settings,
            per_epoch: train.classes().len().div_ceil(self.model.settings.batch) as u64,
            schedule: warm_up_and_cosine,
            evaluates: !dev.classes().is_empty(),
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
    fn learn(&mut self, optimizer: &mut AdamW, step: u64, factor: f64) -> Result<Taken> {
        let (epoch, within) = (step / self.per_epoch, step % self.per_epoch);
        let seed = self.model.settings.seed;
        let batch = self.model.settings.batch;
        let mut order: Vec<usize> = (0..self.train.classes().len()).collect();
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
        let (mut loss, mut right) = (0.0, 0);
        for indices in order.chunks(members * AHEAD) {
            self.pixels.resize(indices.len() * INPUT, 0.0);
            self.train.read(indices, &mut self.pixels)?;
            let (pixels, classes) = (&self.pixels, self.train.classes());
            let said: Vec<Mutex<(f64, usize)>> = indices.iter().map(|_| Mutex::default()).collect();
            self.model.team.for_each(members, |member| {
                let mut workspace = lock(&self.workspaces[member]);
                for (at, &index) in indices.iter().enumerate().skip(member).step_by(members) {
                    let image = &pixels[at * INPUT..][..INPUT];
                    let key = random(noise, index as u64);
                    let dropout = Dropout {
                        rate: self.model.settings.dropout,
                        seed: random(key, 3),
                    };
                    let class = classes[index] as usize;
                    let (loss, best) = network.learn(
                        (image, class),
                        share,
                        self.model.augmentation.change(key),
                        Some(dropout),
                        &mut workspace,
                    );
                    *lock(&said[at]) = (loss, usize::from(best == class));
                }
            });
            for said in said {
                let (one, hit) = said.into_inner().unwrap_or_else(PoisonError::into_inner);
                loss += one * f64::from(share);
                right += hit;
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
            accuracy: Some(right as f64 * f64::from(share)),
        })
    }

    fn evaluate(
        &mut self,
        optimizer: &AdamW,
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
    /// Figures on `images`; none where `stopped` says so, or where there are none.
    fn evaluate(
        &self,
        network: &Network,
        images: &mut dyn Images,
        workspaces: &mut Vec<Mutex<Workspace>>,
        pixels: &mut Vec<f32>,
        stopped: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Metrics>> {
        let count = images.classes().len();
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
                    *lock(&said[at]) = softmax(&scores);
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
        // One class alone, at any place: a window on a single 1 among zeros.
        let last = self.classes - 1;
        let mut only = vec![0.0; 2 * self.classes - 1];
        only[last] = 1.0;
        let targets: Vec<&[f32]> = images
            .classes()
            .iter()
            .map(|&class| &only[last - class as usize..][..self.classes])
            .collect();
        Ok(Some(Metrics::of(&predicted, &targets, self.classes)))
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
