//! Training jobs of the image `image-classification`: transfer learning on the network of labels, tuning of that network, and
//! learning of one from the beginning.
//!
//! What the channels have is read in `labelled.rs`. Hyperparameters are SageMaker's, with their ranges and meaning; `num_layers`,
//! `precision_dtype`, `resize`, `kv_store` and `checkpoint_frequency` say of AWS's own networks what has no use here: there is one
//! network, on one machine, which keeps every pass. Source: the developer guide, "Image Classification Hyperparameters".
//!
//! `epochs` are passes of a layer that learns on a network that stays, or with `use_pretrained_model` 0 of the network itself, which
//! begins with random values. Our own are `seed`, `fine_tune_epochs` (0: the network
//! stays; above: it learns too, from where the layer ended, for at most so many passes), `fine_tune_learning_rate` and
//! `augmentation_flip`. Images are augmented where the network learns; the layer sees each image once, as it is.
//!
//! `optimizer` and what belongs to it hold for the layer and the network; `lr_scheduler_step`, `lr_scheduler_factor` and early
//! stopping are of the passes of `epochs`. Gradients of the network are scaled to a length of 1 where they are longer, and rates of
//! its tensors are parts of the size of their numbers. Early stopping looks at the accuracy on what is held out; what had the least
//! loss there is kept, whether or not a run stops early. `top_k` tells how often the class is among so many of the likeliest
//! (`train:top_k_accuracy_5`, `validation:top_k_accuracy_5`), where an image is of one class.
//!
//! Their names and bounds are in `parameters.rs`.

use super::REPOSITORY;
use super::labelled::{Labelled, Lists};
use super::model::{Layer, NETWORK};
use super::parameters::{PARAMETERS, augmentation, settings, shape, tuned};
use crate::failure::chain;
use escala_learn::{Parameters, Watch};
use escala_models::Compute;
use escala_models::compute::Device;
use escala_models::efficientnet::{INPUT, SIDE};
use escala_models::train::adapter::Head;
use escala_models::train::classifier::{Ended, Observer, Progress, Settings};
use escala_models::train::head;
use escala_models::train::image::{self, Augmentation, Images, Tuner};
use escala_models::train::loss::{Loss, balanced};
use escala_models::train::metrics::{Metrics, top_accuracy};
use escala_pipelines::image::{File as Image, ImageLimits};
use escala_pipelines::labels::features::{ImageFeatures, WIDTH, inputs, tensors};
use escala_pipelines::labels::task::MODEL;
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::Container;
use escala_sagemaker::training::{Channel, Failure, File, Lesson, Trainer};
use escala_weights::{Store, Tensors};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Images that the network sees at a time.
const AT_ONCE: usize = 32;
/// The trainer.
pub struct ImageClassification {
    /// Where the network comes from.
    pub weights: Arc<Store>,
    /// What computes.
    pub device: Device,
    /// Its threads.
    pub threads: usize,
    /// What an image may have.
    pub limits: ImageLimits,
}

pub(super) fn client(why: impl std::fmt::Display) -> Failure {
    Failure::Client(why.to_string())
}

/// The images of a channel that could be decoded.
struct Seen {
    files: Vec<File>,
    /// The places of the classes of each.
    classes: Vec<Vec<u32>>,
    /// What a network that stays sees in each; nothing where none does.
    vectors: Vec<Vec<f32>>,
}

impl Seen {
    /// 1 for each class that holds, image by image.
    fn targets(&self, classes: usize) -> Vec<Vec<f32>> {
        let each = self.classes.iter().map(|held| {
            let mut target = vec![0.0; classes];
            for place in held {
                target[*place as usize] = 1.0;
            }
            target
        });
        each.collect()
    }
}

/// Images that are read again in every pass.
struct Pass<'a> {
    lesson: &'a Lesson<'a>,
    channel: &'a Channel,
    limits: &'a ImageLimits,
    compute: &'a Compute,
    files: &'a [File],
    classes: &'a [Vec<u32>],
    /// Why the last image could not be read.
    failure: Option<Failure>,
}

impl Pass<'_> {
    fn fill(&self, indices: &[usize], out: &mut [f32]) -> Result<(), Failure> {
        let mut images = Vec::with_capacity(indices.len());
        for &index in indices {
            images.push(read(
                self.lesson,
                self.channel,
                &self.files[index],
                self.limits,
            )?);
        }
        let inputs = inputs(self.limits, self.compute, &images);
        for ((input, out), &index) in inputs
            .into_iter()
            .zip(out.chunks_exact_mut(INPUT))
            .zip(indices)
        {
            let input = input.map_err(|error| {
                client(format!(
                    "{} cannot be decoded any more: {}",
                    self.files[index],
                    error.message()
                ))
            })?;
            if input.len() != out.len() {
                let why = format!("an image of {} values", input.len());
                return Err(Failure::Algorithm(why));
            }
            out.copy_from_slice(&input);
        }
        Ok(())
    }
}

impl Images for Pass<'_> {
    fn count(&self) -> usize {
        self.files.len()
    }

    fn classes(&self, index: usize) -> &[u32] {
        &self.classes[index]
    }

    fn read(&mut self, indices: &[usize], out: &mut [f32]) -> escala_models::Result<()> {
        self.fill(indices, out).map_err(|failure| {
            self.failure = Some(failure);
            escala_models::Error::Unsupported {
                what: "an image cannot be read".to_owned(),
            }
        })
    }
}

/// An image's bytes; more than it may have are not read.
fn read(
    lesson: &Lesson<'_>,
    channel: &Channel,
    file: &File,
    limits: &ImageLimits,
) -> Result<Image, Failure> {
    let mut bytes = Vec::new();
    let read = lesson
        .open(channel, file)?
        .take(limits.max_bytes as u64 + 1)
        .read_to_end(&mut bytes);
    read.map_err(|error| Failure::Now(format!("{file} cannot be read: {error}")))?;
    Ok(Image::new(bytes.into()))
}

/// Tells a job's watch of a run.
struct Onlooker<'a> {
    watch: &'a mut dyn Watch,
    /// What is said to go on.
    what: &'static str,
    per_epoch: u64,
    /// Sum of the batches' accuracies in this pass.
    right: f64,
    /// How many of the likeliest classes are looked at, and the sum of the batches' shares of those.
    top: Option<usize>,
    near: f64,
}

impl Observer for Onlooker<'_> {
    fn step(&mut self, progress: Progress) -> bool {
        self.right += progress.accuracy.unwrap_or(0.0);
        self.near += progress.top.unwrap_or(0.0);
        if progress.step.is_multiple_of(self.per_epoch) {
            let accuracy = self.right / self.per_epoch as f64;
            let near = self.top.map(|_| self.near / self.per_epoch as f64);
            (self.right, self.near) = (0.0, 0.0);
            let pass = progress.step / self.per_epoch;
            self.watch.log(&format!(
                "{}, pass {pass}: train accuracy {accuracy:.4}{}",
                self.what,
                nearly(self.top, near)
            ));
            self.watch.metric("train:accuracy", accuracy);
            tell(self.watch, "train", self.top, near);
        }
        self.watch.progress(progress.step, progress.steps);
        self.watch.stopped()
    }

    fn evaluated(&mut self, progress: Progress, metrics: &Metrics, best: bool) {
        let pass = progress.step / self.per_epoch;
        self.watch.log(&format!(
            "{}, pass {pass}: validation accuracy {:.4}, loss {:.4}{}{}",
            self.what,
            metrics.accuracy,
            metrics.loss,
            nearly(self.top, metrics.top),
            if best { ", the best so far" } else { "" }
        ));
        self.watch.metric("validation:accuracy", metrics.accuracy);
        tell(self.watch, "validation", self.top, metrics.top);
    }

    fn stopped(&mut self) -> bool {
        self.watch.stopped()
    }
}

impl ImageClassification {
    /// What was seen of a channel, to be read again.
    fn pass<'a>(
        &'a self,
        lesson: &'a Lesson<'a>,
        channel: &'a Channel,
        compute: &'a Compute,
        seen: &'a Seen,
    ) -> Pass<'a> {
        Pass {
            lesson,
            channel,
            limits: &self.limits,
            compute,
            files: &seen.files,
            classes: &seen.classes,
            failure: None,
        }
    }

    /// The images that can be decoded, and what a network that stays sees in them; those that cannot are passed over and said.
    fn see(
        &self,
        lesson: &Lesson<'_>,
        channel: &Channel,
        features: Option<&ImageFeatures>,
        compute: &Compute,
        images: Vec<Labelled>,
        watch: &mut dyn Watch,
    ) -> Result<Seen, Failure> {
        let mut seen = Seen {
            files: Vec::with_capacity(images.len()),
            classes: Vec::with_capacity(images.len()),
            vectors: Vec::new(),
        };
        let count = images.len();
        let mut images = images.into_iter();
        while images.len() > 0 {
            let some: Vec<Labelled> = images.by_ref().take(AT_ONCE).collect();
            let mut files = Vec::with_capacity(some.len());
            for image in &some {
                files.push(read(lesson, channel, &image.file, &self.limits)?);
            }
            let vectors = match features {
                Some(features) => features.vectors(compute, &files),
                // It is decoded, and none of it kept.
                None => {
                    let inputs = inputs(&self.limits, compute, &files);
                    Ok(inputs
                        .into_iter()
                        .map(|one| one.map(|_| Vec::new()))
                        .collect())
                }
            };
            let vectors = vectors.map_err(|error| Failure::Algorithm(chain(&error)))?;
            for (Labelled { file, classes }, vector) in some.into_iter().zip(vectors) {
                match vector {
                    Ok(vector) => {
                        seen.files.push(file);
                        seen.classes.push(classes);
                        if features.is_some() {
                            seen.vectors.push(vector);
                        }
                    }
                    Err(error) => watch.log(&format!("{file} is passed over: {}", error.message())),
                }
            }
            watch.progress((count - images.len()) as u64, count as u64);
            if watch.stopped() {
                return Err(Failure::Stopped);
            }
        }
        Ok(seen)
    }
}

impl Trainer for ImageClassification {
    fn repositories(&self) -> Vec<&'static str> {
        vec![REPOSITORY]
    }

    fn train(
        &self,
        _: &Container<'_>,
        lesson: &Lesson<'_>,
        watch: &mut dyn Watch,
    ) -> Result<(), Failure> {
        let given = Parameters::read(PARAMETERS, lesson.given())?;
        let [height, width] = shape(given.text("image_shape").unwrap_or("3,224,224"))?;
        let is = |name| given.integer(name) == Some(1);
        let (several, scratch) = (is("multi_label"), !is("use_pretrained_model"));
        let tuning = given.integer("fine_tune_epochs").unwrap_or(0).max(0);
        let settings = settings(&given, scratch)?;
        let top = given.integer("top_k").filter(|_| !several);
        let top = top.and_then(|top| usize::try_from(top).ok());
        if scratch && tuning > 0 {
            return Err(client(
                "hyperparameter fine_tune_epochs is for a network that has learned (use_pretrained_model 1): one from the beginning \
                 learns in epochs",
            ));
        }
        let wanted = given
            .integer("num_classes")
            .map(|wanted| wanted.max(0) as usize);
        let channel =
            lesson.train_channel(&["train", "train_lst", "validation", "validation_lst"])?;
        let Lists {
            classes,
            train,
            held,
            validation,
        } = Lists::read(lesson, channel, several, wanted)?;
        // What a network that stays sees of an image is held until the layer has learned, and a number for each class. Where a network
        // learns, its values, gradients and means are there, and the activations of an image for each thread.
        let images = (train.len() + held.len()) as u64;
        let learns = match scratch || tuning > 0 {
            false => 0,
            true => image::memory(classes.len(), self.threads),
        };
        let begins = match scratch {
            false => 0,
            true => image::memory_to_begin(classes.len()),
        };
        let of_image = classes.len() + if scratch { 0 } else { WIDTH };
        let bytes = images * 4 * of_image as u64 + learns + begins;
        if bytes > lesson.most_bytes {
            return Err(client(format!(
                "{images} images of {} classes take {bytes} bytes to learn from; this server has at most {}",
                classes.len(),
                lesson.most_bytes
            )));
        }
        watch.log(&format!(
            "{} images of {} classes to learn from, {} to look at",
            train.len(),
            classes.len(),
            held.len()
        ));
        if [height, width] != [SIDE as u32; 2] {
            watch.log(&format!(
                "image_shape is 3,{height},{width}: the network sees {SIDE} by {SIDE} pixels of an image all the same"
            ));
        }
        lesson.learning();
        let context = LoadContext {
            weights: &self.weights,
            target: (&self.device).into(),
        };
        let features = match scratch {
            true => None,
            false => Some(ImageFeatures::load(&context, self.limits)),
        };
        let features = features.transpose();
        let features = features.map_err(|error| Failure::Now(chain(&error)))?;
        let compute = Compute::own(self.device.clone(), self.threads);
        let mut see = |channel: &Channel, images: Vec<Labelled>| {
            self.see(lesson, channel, features.as_ref(), &compute, images, watch)
        };
        let (train, held) = (see(channel, train)?, see(validation, held)?);
        if train.files.is_empty() {
            return Err(client(
                "no image could be read; the log says of each why it is passed over",
            ));
        }
        let mut seen = train.classes.iter().flatten();
        let first = seen.next();
        if !several && seen.all(|class| Some(class) == first) {
            return Err(client(
                "all images that could be read are of one class: there is nothing to tell apart; the log says of each other one \
                 why it is passed over",
            ));
        }
        let loss = match several {
            false => Loss::Softmax,
            true => Loss::Sigmoid(match is("use_weighted_loss") {
                true => balanced(train.classes.iter().map(Vec::as_slice), classes.len()),
                false => vec![1.0; classes.len()],
            }),
        };
        let pretrained = match features {
            None => None,
            Some(_) => Some(layer(
                &train,
                &held,
                (classes.len(), &loss),
                (&settings, top),
                watch,
            )?),
        };
        let network = Learning {
            settings: match scratch {
                true => settings,
                false => tuned(&given, &settings),
            },
            top,
            augmentation: augmentation(&given),
            loss,
            classes: classes.len(),
        };
        let mut parts = [
            self.pass(lesson, channel, &compute, &train),
            self.pass(lesson, validation, &compute, &held),
        ];
        let learned = match pretrained {
            None => network.learn(None, &mut parts, lesson, watch)?,
            Some(layer) if tuning == 0 => layer,
            Some(layer) => {
                let tensors = tensors(&context).map_err(|error| Failure::Now(chain(&error)))?;
                network.learn(Some((&tensors, &layer)), &mut parts, lesson, watch)?
            }
        };
        let layer = Layer {
            network: MODEL.to_owned(),
            tuned: scratch || tuning > 0,
            multi_label: several,
            classes,
            weight: learned.weight,
            bias: learned.bias,
        };
        let written = layer.write(lesson.folder);
        written.map_err(|error| Failure::Now(format!("the model cannot be written: {error}")))
    }
}

/// A layer on what a network that stays sees; what became of it is told.
fn layer(
    train: &Seen,
    held: &Seen,
    (classes, loss): (usize, &Loss),
    (settings, top): (&Settings, Option<usize>),
    watch: &mut dyn Watch,
) -> Result<Head, Failure> {
    let (targets, wanted) = (train.targets(classes), held.targets(classes));
    let learned = head::train(
        &train.vectors,
        &targets,
        (&held.vectors, &wanted),
        (classes, loss),
        settings,
        &mut || watch.stopped(),
    );
    let learned = learned.map_err(|error| client(chain(&error)))?;
    for (name, seen, targets) in [("train", train, &targets), ("validation", held, &wanted)] {
        if seen.vectors.is_empty() {
            continue;
        }
        let predicted: Vec<Vec<f32>> = seen
            .vectors
            .iter()
            .map(|vector| loss.probabilities(&learned.apply(vector)))
            .collect();
        let targets: Vec<&[f32]> = targets.iter().map(Vec::as_slice).collect();
        let figures = loss.metrics(&predicted, &targets, classes);
        let near = top.map(|k| top_accuracy(&predicted, &targets, k));
        watch.log(&format!(
            "{name}: accuracy {:.4} of {} images{}{}",
            figures.accuracy,
            figures.count,
            precision(&figures),
            nearly(top, near)
        ));
        watch.metric(&format!("{name}:accuracy"), figures.accuracy);
        tell(watch, name, top, near);
    }
    Ok(learned)
}

/// What else is said of classes that hold each by itself.
fn precision(figures: &Metrics) -> String {
    let precision = figures.average_precision;
    precision.map_or_else(String::new, |precision| {
        format!(", mean average precision {precision:.4}")
    })
}

/// What else is said of the likeliest classes.
fn nearly(top: Option<usize>, share: Option<f64>) -> String {
    match (top, share) {
        (Some(k), Some(share)) => format!(", top-{k} accuracy {share:.4}"),
        _ => String::new(),
    }
}

/// Tells the metric of the likeliest classes, by the name that MXNet has for it.
fn tell(watch: &mut dyn Watch, name: &str, top: Option<usize>, share: Option<f64>) {
    if let (Some(k), Some(share)) = (top, share) {
        watch.metric(&format!("{name}:top_k_accuracy_{k}"), share);
    }
}

/// How the whole network learns.
struct Learning {
    settings: Settings,
    /// How many of the likeliest classes are looked at, too.
    top: Option<usize>,
    augmentation: Augmentation,
    loss: Loss,
    classes: usize,
}

impl Learning {
    /// The whole network learns, from where a layer on `begin` ended, or from the beginning; it is written into the lesson's
    /// folder, and its layer for the classes is the result. One that is stopped ends with the best that it had; one that is killed
    /// goes on from its last pass.
    fn learn(
        self,
        begin: Option<(&Path, &Head)>,
        [train, held]: &mut [Pass<'_>; 2],
        lesson: &Lesson<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Head, Failure> {
        let wrong = |error: escala_models::Error| Failure::Algorithm(chain(&error));
        let what = match begin {
            Some(_) => "fine-tuning",
            None => "training",
        };
        let mut onlooker = Onlooker {
            watch: &mut *watch,
            what,
            per_epoch: train
                .files
                .len()
                .div_ceil(self.settings.batch.max(1))
                .max(1) as u64,
            right: 0.0,
            top: self.top,
            near: 0.0,
        };
        let team = &train.compute.team;
        let tuner = match begin {
            Some((tensors, layer)) => {
                let tensors =
                    Tensors::open(tensors).map_err(|error| Failure::Now(chain(&error)))?;
                Tuner::new(&tensors, layer, self.settings, self.augmentation, team)
            }
            None => Tuner::begin(self.classes, train, self.settings, self.augmentation, team),
        };
        let tuner = tuner.and_then(|tuner| tuner.with_loss(self.loss));
        let tuner = tuner.map(|tuner| tuner.with_top(self.top));
        if let Some(failure) = train.failure.take() {
            return Err(failure);
        }
        let mut tuner = tuner.map_err(wrong)?;
        let state = lesson.checkpoint.join("fine-tuning.safetensors");
        let ended = tuner.train(train, held, Some(&state), &mut onlooker);
        if let Some(failure) = train.failure.take().or_else(|| held.failure.take()) {
            return Err(failure);
        }
        // The figures of what is kept, which need not be those of the last pass.
        if ended.map_err(wrong)? != Ended::Interrupted && !held.files.is_empty() {
            let figures = tuner.evaluate(held);
            if let Some(failure) = held.failure.take() {
                return Err(failure);
            }
            let figures = figures.map_err(wrong)?;
            watch.log(&format!(
                "validation: accuracy {:.4} after {what}{}{}",
                figures.accuracy,
                precision(&figures),
                nearly(self.top, figures.top)
            ));
            watch.metric("validation:accuracy", figures.accuracy);
            tell(watch, "validation", self.top, figures.top);
        }
        let written = tuner.write(&lesson.folder.join(NETWORK));
        written.map_err(|error| {
            Failure::Now(format!("the network cannot be written: {}", chain(&error)))
        })?;
        tuner.head().map_err(wrong)
    }
}
