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
//! Defaults are SageMaker's but for these:
//!
//! | hyperparameter | here | SageMaker's | why |
//! | --- | --- | --- | --- |
//! | `num_classes`, `num_training_samples` | as many as there are | required | they are counted; `num_classes` that is said and is not so is refused |
//! | `use_pretrained_model` | 1 | 0 | a network that has learned knows more than a few images teach |
//! | `optimizer` | Adam with decoupled `weight_decay`; of the network with rates that rise and fall along a cosine | `sgd` | a layer on standardised values, and the network, learn in the fewest passes so; one that is named does as AWS says: its rate stays but for `lr_scheduler_step` |
//! | `learning_rate` | 0.1 of `sgd` and `nag`, else 0.001, and of a network from the beginning 0.01 | 0.1 | Adam and RMSProp move by the rate itself, which 0.1 is too much for |

use super::REPOSITORY;
use super::labelled::{Labelled, Lists};
use super::model::{CLASSES, Layer, NETWORK};
use crate::failure::chain;
use escala_learn::parameters::{Bound, Kind};
use escala_learn::{Parameter, Parameters, Watch};
use escala_models::Compute;
use escala_models::compute::Device;
use escala_models::efficientnet::{INPUT, SIDE};
use escala_models::train::Rule;
use escala_models::train::adapter::Head;
use escala_models::train::classifier::{
    Ended, Improvement, Observer, Progress, Schedule, Settings, Steps,
};
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
/// Pixels that augmentation moves an image by at most: a fourteenth of what the network sees.
const SHIFT: usize = 16;
/// Rates where nothing is said: of gradient descent; of other rules a layer's, and the highest of a network from the beginning.
const DESCENT_RATE: f64 = 0.1;
const LAYER_RATE: f64 = 0.001;
const RATE: f64 = 0.01;
/// How much less the rate of the layer is than that of the network below it, where both learn.
const LAYER_SHARE: f64 = 3.0;
/// Share of the steps over which the network's rates rise, and of what its layer reads that is dropped.
const WARM_UP: f64 = 0.2;
const DROPOUT: f32 = 0.2;

const PARAMETERS: &[Parameter] = &[
    whole(
        "num_classes",
        2,
        CLASSES as i64,
        None,
        "classes; as many as there are where nothing is said, which SageMaker requires",
    ),
    whole(
        "num_training_samples",
        1,
        i64::MAX,
        None,
        "images to learn from; they are counted here, where SageMaker requires it to be said",
    ),
    whole(
        "epochs",
        1,
        u32::MAX as i64,
        Some("30"),
        "passes over the images",
    ),
    whole("mini_batch_size", 1, 4096, Some("32"), "images of a step"),
    Parameter {
        name: "learning_rate",
        kind: Kind::Real(Bound::Included(0.0), Bound::Included(1.0)),
        default: None,
        required: false,
        help: "of the layer, or of a network from the beginning as a part of the size of its numbers; where nothing is said 0.1 of \
               sgd and nag, else 0.001 of the layer and 0.01 of the network",
    },
    Parameter {
        name: "optimizer",
        kind: Kind::Choice(&["sgd", "adam", "rmsprop", "nag"]),
        default: None,
        required: false,
        help: "what a step makes of a gradient; adam whose weights decay where nothing is said",
    },
    real(
        "momentum",
        "0.9",
        "the part of its velocity that a weight keeps, for sgd and nag",
    ),
    real(
        "weight_decay",
        "0.0001",
        "decay of weights, for sgd and nag, and where no optimizer is named",
    ),
    real(
        "beta_1",
        "0.9",
        "decay of the mean of the gradients, for adam",
    ),
    real(
        "beta_2",
        "0.999",
        "decay of the mean of their squares, for adam",
    ),
    real(
        "eps",
        "1e-8",
        "added so that nothing is divided by 0, for adam and rmsprop",
    ),
    real(
        "gamma",
        "0.9",
        "decay of the mean of the squares of gradients, for rmsprop",
    ),
    real(
        "lr_scheduler_factor",
        "0.1",
        "what becomes of the rate at each of lr_scheduler_step",
    ),
    Parameter {
        name: "lr_scheduler_step",
        kind: Kind::Text,
        default: None,
        required: false,
        help: "the epochs after which the rate goes down, as 10,20",
    },
    Parameter {
        name: "early_stopping",
        kind: Kind::Flag,
        default: Some("false"),
        required: false,
        help: "ends where the accuracy on what is held out does not improve",
    },
    whole(
        "early_stopping_min_epochs",
        1,
        u32::MAX as i64,
        Some("10"),
        "epochs before which it does not end early",
    ),
    whole(
        "early_stopping_patience",
        1,
        u32::MAX as i64,
        Some("5"),
        "epochs that may bring no improvement",
    ),
    real(
        "early_stopping_tolerance",
        "0.0",
        "the part of the best accuracy that counts as an improvement, at least",
    ),
    whole(
        "top_k",
        2,
        i64::MAX,
        None,
        "tells how often the class is among so many of the likeliest, too",
    ),
    Parameter {
        name: "use_pretrained_model",
        kind: Kind::Choice(&["0", "1"]),
        default: Some("1"),
        required: false,
        help: "1: the network is one that has learned; 0: it begins with random values, and all of it learns in the epochs",
    },
    Parameter {
        name: "multi_label",
        kind: Kind::Choice(&["0", "1"]),
        default: Some("0"),
        required: false,
        help: "1: an image is of any number of classes, and each has a probability of its own",
    },
    Parameter {
        name: "use_weighted_loss",
        kind: Kind::Choice(&["0", "1"]),
        default: Some("0"),
        required: false,
        help: "1: with multi_label 1 the images that a class holds for weigh as much as all others together",
    },
    whole(
        "fine_tune_epochs",
        0,
        1000,
        Some("0"),
        "passes in which the whole network learns, after the layer",
    ),
    real(
        "fine_tune_learning_rate",
        "0.003",
        "of the network below the layer, as a part of the size of its numbers; the layer has a third as much then",
    ),
    Parameter {
        name: "augmentation_type",
        kind: Kind::Choice(&["crop", "crop_color", "crop_color_transform"]),
        default: None,
        required: false,
        help: "where the network learns, images are moved and mirrored at random; their hue, saturation and lightness too; \
               and they are turned, sheared and stretched",
    },
    Parameter {
        name: "augmentation_flip",
        kind: Kind::Flag,
        default: Some("true"),
        required: false,
        help: "whether augmentation mirrors: not for what left and right tell apart",
    },
    whole("seed", 0, i64::MAX, Some("1"), "of everything random"),
    Parameter {
        name: "image_shape",
        kind: Kind::Text,
        default: Some("3,224,224"),
        required: false,
        help: "channels, height and width, as 3,224,224; an image of any size is shown to the network as the square of 224 by 224 \
               pixels in its middle, whatever height and width say",
    },
    // What AWS's own algorithm is told of the networks that it makes, and of the machines.
    Parameter {
        kind: Kind::Choice(&[
            "18", "34", "50", "101", "152", "200", "20", "32", "44", "56", "110",
        ]),
        ..without_effect("num_layers")
    },
    Parameter {
        kind: Kind::Choice(&["float32", "float16"]),
        ..without_effect("precision_dtype")
    },
    Parameter {
        kind: Kind::Integer(1, i64::MAX),
        ..without_effect("resize")
    },
    Parameter {
        kind: Kind::Choice(&["dist_sync", "dist_async"]),
        ..without_effect("kv_store")
    },
    Parameter {
        kind: Kind::Integer(1, i64::MAX),
        ..without_effect("checkpoint_frequency")
    },
];

const fn without_effect(name: &'static str) -> Parameter {
    Parameter {
        name,
        kind: Kind::Text,
        default: None,
        required: false,
        help: "taken and without effect",
    }
}

const fn whole(
    name: &'static str,
    least: i64,
    most: i64,
    default: Option<&'static str>,
    help: &'static str,
) -> Parameter {
    Parameter {
        name,
        kind: Kind::Integer(least, most),
        default,
        required: false,
        help,
    }
}

const fn real(name: &'static str, default: &'static str, help: &'static str) -> Parameter {
    Parameter {
        name,
        kind: Kind::Real(Bound::Included(0.0), Bound::Included(1.0)),
        default: Some(default),
        required: false,
        help,
    }
}

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

/// Height and width of an `image_shape`.
fn shape(text: &str) -> Result<[u32; 2], Failure> {
    let text = text.trim_matches(|at: char| at.is_whitespace() || "()[]".contains(at));
    let numbers: Option<Vec<u32>> = text
        .split(',')
        .map(|number| number.trim().parse().ok().filter(|number| *number > 0))
        .collect();
    match numbers.as_deref() {
        Some(&[3, height, width]) => Ok([height, width]),
        Some(&[channels, _, _]) => Err(client(format!(
            "Hyperparameter image_shape is {text:?}: images are read in 3 channels, not {channels}"
        ))),
        _ => Err(client(format!(
            "Hyperparameter image_shape is {text:?}: it is three whole numbers above 0, channels, height and width, as 3,224,224"
        ))),
    }
}

/// The epochs of an `lr_scheduler_step`.
fn scheduled(text: &str) -> Result<Vec<u32>, Failure> {
    let numbers: Option<Vec<u32>> = text
        .split(',')
        .map(|number| number.trim().parse().ok().filter(|number| *number > 0))
        .collect();
    numbers.ok_or_else(|| {
        client(format!(
            "Hyperparameter lr_scheduler_step is {text:?}: it is whole numbers above 0, the epochs after which the rate goes down, as 10,20"
        ))
    })
}

/// The rule of the `optimizer`, where one is named.
fn rule(given: &Parameters) -> Option<Rule> {
    let real = |name| given.real(name).unwrap_or(0.0);
    Some(match given.text("optimizer")? {
        "adam" => Rule::Adam {
            beta1: real("beta_1"),
            beta2: real("beta_2"),
            epsilon: real("eps"),
        },
        "rmsprop" => Rule::RmsProp {
            rho: real("gamma"),
            epsilon: real("eps"),
        },
        name => Rule::Sgd {
            momentum: real("momentum"),
            nesterov: name == "nag",
        },
    })
}

/// How a layer on a network that stays learns, or with `scratch` a network from the beginning.
fn settings(given: &Parameters, scratch: bool) -> Result<Settings, Failure> {
    let whole = |name| given.integer(name).unwrap_or(1).clamp(0, u32::MAX.into()) as u32;
    let real = |name| given.real(name).unwrap_or(0.0);
    let named = rule(given);
    let rate = given.real("learning_rate");
    let rate = rate.unwrap_or(match named {
        Some(Rule::Sgd { .. }) => DESCENT_RATE,
        _ if scratch => RATE,
        _ => LAYER_RATE,
    });
    let epochs = match given.text("lr_scheduler_step").map(str::trim) {
        None | Some("") => None,
        Some(text) => Some(scheduled(text)?),
    };
    // The rates of a network rise and fall where nothing is said of them.
    let schedule = match scratch && named.is_none() && epochs.is_none() {
        true => Schedule::WarmUp,
        false => Schedule::Steps(Steps {
            factor: real("lr_scheduler_factor"),
            epochs: epochs.unwrap_or_default(),
        }),
    };
    let decays = matches!(named, None | Some(Rule::Sgd { .. }));
    Ok(Settings {
        epochs: whole("epochs"),
        batch: whole("mini_batch_size") as usize,
        rate,
        head_rate: if scratch { rate / LAYER_SHARE } else { rate },
        warm_up: WARM_UP,
        weight_decay: if decays { real("weight_decay") } else { 0.0 },
        dropout: DROPOUT,
        evaluations: 1,
        patience: match given.flag("early_stopping") {
            Some(true) => whole("early_stopping_patience"),
            _ => 0,
        },
        seed: given.integer("seed").unwrap_or(1).max(0) as u64,
        rule: named.unwrap_or_default(),
        schedule,
        improvement: Improvement::Accuracy(real("early_stopping_tolerance")),
        least_epochs: whole("early_stopping_min_epochs"),
        ..Settings::default()
    })
}

/// How the network learns from where a layer on it ended: as that did, at rates that rise and fall to the end, where it is best.
fn tuned(given: &Parameters, layer: &Settings) -> Settings {
    let rate = given.real("fine_tune_learning_rate").unwrap_or(0.003);
    Settings {
        epochs: given
            .integer("fine_tune_epochs")
            .unwrap_or(0)
            .clamp(0, u32::MAX.into()) as u32,
        rate,
        head_rate: rate / LAYER_SHARE,
        schedule: Schedule::WarmUp,
        patience: 0,
        ..layer.clone()
    }
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

/// What `augmentation_type` says happens to images.
fn augmentation(given: &Parameters) -> Augmentation {
    let Some(kind) = given.text("augmentation_type") else {
        return Augmentation::default();
    };
    Augmentation {
        flip: given.flag("augmentation_flip").unwrap_or(true),
        shift: SHIFT,
        colours: kind != "crop",
        bend: kind == "crop_color_transform",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_shape_is_three_channels_a_height_and_a_width() {
        assert_eq!(shape("3,224,224"), Ok([224, 224]));
        assert_eq!(shape(" 3, 32 ,48"), Ok([32, 48]));
        assert_eq!(shape("(3, 32, 48)"), Ok([32, 48]));
        for bad in [
            "", "224", "3,224", "3,0,224", "3,-1,4", "3,a,b", "3,1,1,1", "1,28,28",
        ] {
            let Err(Failure::Client(why)) = shape(bad) else {
                panic!("{bad} is taken");
            };
            assert!(why.contains("image_shape") && why.contains(bad), "{why}");
        }
    }

    fn read(given: &[(&'static str, &'static str)]) -> Parameters {
        Parameters::read(PARAMETERS, given.iter().copied()).expect("parameters")
    }

    #[test]
    fn hyperparameters_are_sagemakers() {
        let of = |given: &[(&'static str, &'static str)], scratch| {
            settings(&read(given), scratch).expect("settings")
        };
        let plain = of(&[], false);
        let wanted = Settings {
            epochs: 30,
            rate: 0.001,
            warm_up: 0.2,
            weight_decay: 0.0001,
            dropout: 0.2,
            evaluations: 1,
            patience: 0,
            schedule: Schedule::Steps(Steps {
                factor: 0.1,
                epochs: Vec::new(),
            }),
            improvement: Improvement::Accuracy(0.0),
            least_epochs: 10,
            ..Settings::default()
        };
        assert_eq!(plain, wanted);
        let begun = of(&[], true);
        assert_eq!((begun.rate, begun.schedule), (0.01, Schedule::WarmUp));
        let said = [
            ("optimizer", "nag"),
            ("momentum", "0.5"),
            ("weight_decay", "0.25"),
            ("lr_scheduler_factor", "0.5"),
            ("lr_scheduler_step", "10, 20"),
            ("early_stopping", "True"),
            ("early_stopping_min_epochs", "3"),
            ("early_stopping_patience", "4"),
            ("early_stopping_tolerance", "0.125"),
        ];
        for scratch in [false, true] {
            let said = of(&said, scratch);
            let rule = Rule::Sgd {
                momentum: 0.5,
                nesterov: true,
            };
            assert_eq!((said.rule, said.rate, said.weight_decay), (rule, 0.1, 0.25));
            let steps = Steps {
                factor: 0.5,
                epochs: vec![10, 20],
            };
            assert_eq!(said.schedule, Schedule::Steps(steps));
            let stops = (said.patience, said.least_epochs, said.improvement);
            assert_eq!(stops, (4, 3, Improvement::Accuracy(0.125)));
        }
        for (name, rule, rate) in [
            (
                "sgd",
                Rule::Sgd {
                    momentum: 0.9,
                    nesterov: false,
                },
                0.1,
            ),
            (
                "adam",
                Rule::Adam {
                    beta1: 0.25,
                    beta2: 0.75,
                    epsilon: 0.01,
                },
                0.001,
            ),
            (
                "rmsprop",
                Rule::RmsProp {
                    rho: 0.5,
                    epsilon: 0.01,
                },
                0.001,
            ),
        ] {
            let given = [
                ("optimizer", name),
                ("beta_1", "0.25"),
                ("beta_2", "0.75"),
                ("eps", "0.01"),
                ("gamma", "0.5"),
            ];
            let said = of(&given, false);
            assert_eq!((said.rule, said.rate), (rule, rate));
            // As AWS has it, weights decay by gradient descent alone.
            let decays = if name == "sgd" { 0.0001 } else { 0.0 };
            assert_eq!(said.weight_decay, decays, "{name}");
        }
        let given = read(&[("optimizer", "rmsprop"), ("fine_tune_epochs", "2")]);
        let layer = settings(&given, false).expect("settings");
        let network = tuned(&given, &layer);
        assert_eq!((network.epochs, network.rate), (2, 0.003));
        assert_eq!(
            (network.rule, network.schedule),
            (layer.rule, Schedule::WarmUp)
        );
    }

    #[test]
    fn what_is_out_of_range_is_said() {
        for (name, bad) in [
            ("optimizer", "adamw"),
            ("momentum", "1.5"),
            ("weight_decay", "-1"),
            ("beta_1", "1.5"),
            ("beta_2", "x"),
            ("eps", "2"),
            ("gamma", "-0.1"),
            ("lr_scheduler_factor", "1.5"),
            ("top_k", "1"),
            ("early_stopping", "maybe"),
            ("early_stopping_min_epochs", "0"),
            ("early_stopping_patience", "0"),
            ("early_stopping_tolerance", "1.5"),
            ("num_layers", "19"),
            ("precision_dtype", "float64"),
            ("kv_store", "local"),
            ("resize", "0"),
            ("checkpoint_frequency", "0"),
        ] {
            let error = Parameters::read(PARAMETERS, [(name, bad)]).expect_err(name);
            let said = error.to_string();
            assert!(
                said.starts_with(&format!("Hyperparameter {name}: ")),
                "{said}"
            );
        }
        for bad in ["0", "10,", "a", "1.5", "10;20"] {
            let Err(Failure::Client(why)) = scheduled(bad) else {
                panic!("{bad} is taken");
            };
            assert!(
                why.contains("lr_scheduler_step") && why.contains(bad),
                "{why}"
            );
        }
    }

    #[test]
    fn what_augments_follows_its_type() {
        let of = |given: &[(&str, &str)]| {
            augmentation(&Parameters::read(PARAMETERS, given.iter().copied()).expect("parameters"))
        };
        assert_eq!(of(&[]), Augmentation::default());
        let crop = Augmentation {
            flip: true,
            shift: SHIFT,
            colours: false,
            bend: false,
        };
        assert_eq!(of(&[("augmentation_type", "crop")]), crop);
        let colours = Augmentation {
            colours: true,
            ..crop
        };
        assert_eq!(of(&[("augmentation_type", "crop_color")]), colours);
        let given = [
            ("augmentation_type", "crop_color_transform"),
            ("augmentation_flip", "false"),
        ];
        let all = Augmentation {
            flip: false,
            bend: true,
            ..colours
        };
        assert_eq!(of(&given), all);
    }
}
