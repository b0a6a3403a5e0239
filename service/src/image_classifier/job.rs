//! Training jobs of the image `image-classification`: transfer learning on the network of labels, and tuning of the network.
//!
//! A channel has images and what they are, in one of four ways: with a list (`train_lst` beside `train`, lines of
//! `number<TAB>class<TAB>path`, as SageMaker's own algorithm takes it); in a folder for each class; as MXNet's record files
//! (`application/x-recordio`), which come here as such folders; or as an augmented manifest
//! (`{"source-ref": "s3://…", "class": 1}`). Hyperparameters are SageMaker's where they mean something here: `num_classes`,
//! `num_training_samples`, `epochs`, `mini_batch_size`, `learning_rate`, `weight_decay`, `early_stopping`,
//! `early_stopping_patience`, `augmentation_type`. Source: the developer guide, "Image Classification Hyperparameters".
//!
//! `epochs` are passes of a layer that learns on a network that stays. Our own are `seed`, `fine_tune_epochs` (0: the network
//! stays; above: it learns too, from where the layer ended, for at most so many passes), `fine_tune_learning_rate` and
//! `augmentation_flip`. Images are augmented where the network learns; the layer sees each image once, as it is. `early_stopping` is
//! about the layer.

use super::REPOSITORY;
use super::model::{CLASSES, Layer, NETWORK};
use crate::failure::chain;
use escala_learn::parameters::{Bound, Kind};
use escala_learn::{Parameter, Parameters, Watch};
use escala_models::Compute;
use escala_models::compute::Device;
use escala_models::efficientnet::INPUT;
use escala_models::train::adapter::Head;
use escala_models::train::classifier::{Ended, Observer, Progress, Settings, softmax};
use escala_models::train::head;
use escala_models::train::image::{self, Augmentation, Images, Tuner};
use escala_models::train::metrics::Metrics;
use escala_models::train::set_aside;
use escala_pipelines::image::{File as Image, ImageLimits};
use escala_pipelines::labels::features::{ImageFeatures, WIDTH, inputs, tensors};
use escala_pipelines::labels::task::MODEL;
use escala_pipelines::task::LoadContext;
use escala_sagemaker::names::s3;
use escala_sagemaker::served::Container;
use escala_sagemaker::training::{Channel, Failure, File, Lesson, Trainer};
use escala_weights::{Store, Tensors};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

/// Images that the network sees at a time.
const AT_ONCE: usize = 32;
/// Pixels that augmentation moves an image by at most: a fourteenth of what the network sees.
const SHIFT: usize = 16;
/// Most bytes of a line of a list.
const LINE: usize = 64 << 10;
/// Most images of a channel.
const MOST: usize = 1_000_000;

const PARAMETERS: &[Parameter] = &[
    whole(
        "num_classes",
        2,
        CLASSES as i64,
        None,
        "classes; as many as there are where nothing is said",
    ),
    whole(
        "num_training_samples",
        1,
        i64::MAX,
        None,
        "images to learn from; they are counted here",
    ),
    whole("epochs", 1, 10_000, Some("30"), "passes over the images"),
    whole("mini_batch_size", 1, 4096, Some("32"), "images of a step"),
    real("learning_rate", "0.001", "of the layer"),
    real("weight_decay", "0.0001", "decoupled decay of its weights"),
    Parameter {
        name: "early_stopping",
        kind: Kind::Flag,
        default: Some("true"),
        required: false,
        help: "ends where the validation does not improve",
    },
    whole(
        "early_stopping_patience",
        1,
        1000,
        Some("5"),
        "passes that may be no better than the best",
    ),
    Parameter {
        name: "use_pretrained_model",
        kind: Kind::Choice(&["1"]),
        default: Some("1"),
        required: false,
        help: "the network is one that has learned; nothing is learned from the beginning",
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
        kind: Kind::Choice(&["crop"]),
        default: None,
        required: false,
        help: "images are moved and mirrored at random where the network learns",
    },
    Parameter {
        name: "augmentation_flip",
        kind: Kind::Flag,
        default: Some("true"),
        required: false,
        help: "whether augmentation mirrors: not for what left and right tell apart",
    },
    whole("seed", 0, i64::MAX, Some("1"), "of everything random"),
    // What AWS's own algorithm is told of the network that it makes; here there is one, which learns by AdamW.
    without_effect("image_shape"),
    Parameter {
        kind: Kind::Choice(&[
            "18", "34", "50", "101", "152", "200", "20", "32", "44", "56", "110",
        ]),
        ..without_effect("num_layers")
    },
    without_effect("optimizer"),
    without_effect("momentum"),
    without_effect("beta_1"),
    without_effect("beta_2"),
    without_effect("eps"),
    without_effect("gamma"),
    without_effect("lr_scheduler_factor"),
    without_effect("lr_scheduler_step"),
    without_effect("precision_dtype"),
    without_effect("resize"),
    without_effect("top_k"),
    without_effect("kv_store"),
    without_effect("checkpoint_frequency"),
    without_effect("early_stopping_min_epochs"),
    without_effect("early_stopping_tolerance"),
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

fn client(why: impl std::fmt::Display) -> Failure {
    Failure::Client(why.to_string())
}

/// An image and the name of its class.
type Labelled = (File, String);

/// What the images of a channel are.
fn labelled(lesson: &Lesson<'_>, name: &str) -> Result<Option<Vec<Labelled>>, Failure> {
    let Some(channel) = lesson.channel(name) else {
        return Ok(None);
    };
    let list = format!("{name}_lst");
    let found = match lesson.channel(&list) {
        Some(list) => by_list(lesson, channel, list)?,
        None if !channel.attributes.is_empty() => by_manifest(lesson, channel)?,
        None => by_folder(channel)?,
    };
    match found.len() {
        0 => Err(client(format!("channel {name:?} has no images"))),
        many if many > MOST => Err(client(format!(
            "channel {name:?} has more than {MOST} images"
        ))),
        _ => Ok(Some(found)),
    }
}

/// The lines of a channel's files.
fn lines(
    lesson: &Lesson<'_>,
    channel: &Channel,
    mut each: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for file in &channel.files {
        let mut reader = BufReader::new(lesson.open(channel, file)?);
        for number in 1_u64.. {
            let mut line = String::new();
            let read = reader.by_ref().take(LINE as u64 + 1).read_line(&mut line);
            let wrong =
                |why: &dyn std::fmt::Display| client(format!("{file}: line {number}: {why}"));
            let read = read.map_err(|error| wrong(&error))?;
            if read == 0 {
                break;
            }
            if read > LINE {
                return Err(wrong(&format!("it has more than {LINE} bytes")));
            }
            if !line.trim().is_empty() {
                each(line.trim_end()).map_err(|failure| match failure {
                    Failure::Client(why) => wrong(&why),
                    other => other,
                })?;
            }
        }
    }
    Ok(())
}

/// What stands behind the last slash.
fn last(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, last)| last)
}

/// That there is room for one more.
fn few(found: &[Labelled]) -> Result<(), Failure> {
    match found.len() < MOST {
        true => Ok(()),
        false => Err(client(format!("a channel has at most {MOST} images"))),
    }
}

/// `number<TAB>class<TAB>path`, the path from the channel's folder.
fn by_list(
    lesson: &Lesson<'_>,
    channel: &Channel,
    list: &Channel,
) -> Result<Vec<Labelled>, Failure> {
    // By the last part of their keys, so that a line is not compared with every image.
    let mut images: HashMap<&str, Vec<&File>> = HashMap::new();
    for file in &channel.files {
        images.entry(last(&file.key)).or_default().push(file);
    }
    let mut found = Vec::new();
    lines(lesson, list, |line| {
        few(&found)?;
        let mut parts = line.split('\t');
        let (Some(_), Some(class), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(client("it is not number<TAB>class<TAB>path"));
        };
        let class = class
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|class| class.fract() == 0.0 && *class >= 0.0);
        let class = class.ok_or_else(|| client("its class is no whole number"))?;
        let ending = format!("/{path}");
        let named = images.get(last(path)).into_iter().flatten();
        let file = named
            .copied()
            .find(|file| file.key == path || file.key.ends_with(&ending));
        let file = file.ok_or_else(|| {
            client(format!(
                "there is no image {path} in the channel {:?}",
                channel.name
            ))
        })?;
        found.push((file.clone(), (class as u64).to_string()));
        Ok(())
    })?;
    Ok(found)
}

/// The name of the folder that an image lies in is its class.
fn by_folder(channel: &Channel) -> Result<Vec<Labelled>, Failure> {
    channel
        .files
        .iter()
        .map(|file| {
            let mut parts = file.key.rsplit('/');
            parts.next();
            let class = parts.next().ok_or_else(|| {
                client(format!(
                    "{file} lies in no folder that would name its class"
                ))
            })?;
            Ok((file.clone(), class.to_owned()))
        })
        .collect()
}

/// `{"source-ref": "s3://…", "class": 1}`, under the names of the request's attributes.
fn by_manifest(lesson: &Lesson<'_>, channel: &Channel) -> Result<Vec<Labelled>, Failure> {
    let [source, class] = &channel.attributes[..] else {
        return Err(client(
            "an augmented manifest of images takes two AttributeNames: the image, and its class",
        ));
    };
    let mut found = Vec::new();
    lines(lesson, channel, |line| {
        few(&found)?;
        let read: serde_json::Value = serde_json::from_str(line).map_err(client)?;
        let address = read[source].as_str().and_then(s3);
        let (bucket, key) =
            address.ok_or_else(|| client(format!("{source:?} is no address of S3's")))?;
        let class = match &read[class] {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            _ => return Err(client(format!("{class:?} is neither a number nor text"))),
        };
        found.push((lesson.file(bucket, key)?, class));
        Ok(())
    })?;
    Ok(found)
}

/// Classes in the order of their numbers: numbers by value, names by name.
fn order(labelled: &[Labelled]) -> Vec<String> {
    let names: BTreeSet<&String> = labelled.iter().map(|(_, class)| class).collect();
    let numbers: Option<BTreeMap<u64, &String>> = names
        .iter()
        .map(|name| Some((name.parse().ok()?, *name)))
        .collect();
    match numbers {
        // Those that no image has keep their places.
        Some(numbers) => {
            let last = numbers.keys().last().copied().unwrap_or(0);
            match last < CLASSES as u64 {
                true => (0..=last).map(|number| number.to_string()).collect(),
                false => numbers.into_values().cloned().collect(),
            }
        }
        None => names.into_iter().cloned().collect(),
    }
}

struct Seen {
    vectors: Vec<Vec<f32>>,
    targets: Vec<Vec<f32>>,
    /// Those that could be decoded, and the places of their classes.
    files: Vec<File>,
    classes: Vec<u32>,
}

/// Images that are read again in every pass.
struct Pass<'a> {
    lesson: &'a Lesson<'a>,
    channel: &'a Channel,
    limits: &'a ImageLimits,
    compute: &'a Compute,
    files: &'a [File],
    classes: &'a [u32],
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
    fn classes(&self) -> &[u32] {
        self.classes
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
    per_epoch: u64,
    /// Sum of the batches' accuracies in this pass.
    right: f64,
}

impl Observer for Onlooker<'_> {
    fn step(&mut self, progress: Progress) -> bool {
        self.right += progress.accuracy.unwrap_or(0.0);
        if progress.step.is_multiple_of(self.per_epoch) {
            let accuracy = self.right / self.per_epoch as f64;
            self.right = 0.0;
            let pass = progress.step / self.per_epoch;
            self.watch.log(&format!(
                "fine-tuning, pass {pass}: train accuracy {accuracy:.4}"
            ));
            self.watch.metric("train:accuracy", accuracy);
        }
        self.watch.progress(progress.step, progress.steps);
        self.watch.stopped()
    }

    fn evaluated(&mut self, progress: Progress, metrics: &Metrics, best: bool) {
        let pass = progress.step / self.per_epoch;
        self.watch.log(&format!(
            "fine-tuning, pass {pass}: validation accuracy {:.4}, loss {:.4}{}",
            metrics.accuracy,
            metrics.loss,
            if best { ", the best so far" } else { "" }
        ));
        self.watch.metric("validation:accuracy", metrics.accuracy);
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

    /// What the network sees in images; those that cannot be decoded are passed over and said.
    fn see(
        &self,
        lesson: &Lesson<'_>,
        channel: &Channel,
        features: &ImageFeatures,
        compute: &Compute,
        (images, classes): (&[Labelled], &[String]),
        watch: &mut dyn Watch,
    ) -> Result<Seen, Failure> {
        let mut seen = Seen {
            vectors: Vec::with_capacity(images.len()),
            targets: Vec::with_capacity(images.len()),
            files: Vec::with_capacity(images.len()),
            classes: Vec::with_capacity(images.len()),
        };
        let places: BTreeMap<&str, usize> = classes
            .iter()
            .enumerate()
            .map(|(at, class)| (class.as_str(), at))
            .collect();
        for (number, some) in images.chunks(AT_ONCE).enumerate() {
            let mut files = Vec::with_capacity(some.len());
            for (file, _) in some {
                files.push(read(lesson, channel, file, &self.limits)?);
            }
            let vectors = features.vectors(compute, &files);
            let vectors = vectors.map_err(|error| Failure::Algorithm(chain(&error)))?;
            for ((file, class), vector) in some.iter().zip(vectors) {
                let place = places.get(class.as_str());
                let place = *place.ok_or_else(|| {
                    client(format!(
                        "{file}: no image to learn from has its class {class}"
                    ))
                })?;
                match vector {
                    Ok(vector) => {
                        let mut target = vec![0.0; classes.len()];
                        target[place] = 1.0;
                        seen.vectors.push(vector);
                        seen.targets.push(target);
                        seen.files.push(file.clone());
                        seen.classes.push(place as u32);
                    }
                    Err(error) => watch.log(&format!("{file} is passed over: {}", error.message())),
                }
            }
            watch.progress(
                ((number + 1) * AT_ONCE).min(images.len()) as u64,
                images.len() as u64,
            );
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
        let known = ["train", "train_lst", "validation", "validation_lst"];
        let channel = lesson.train_channel(&known)?;
        let mut train = labelled(lesson, "train")?.unwrap_or_default();
        let classes = order(&train);
        if classes.len() < 2 {
            return Err(client(
                "all images are of one class: there is nothing to tell apart",
            ));
        }
        if let Some(wanted) = given
            .integer("num_classes")
            .filter(|wanted| *wanted != classes.len() as i64)
        {
            return Err(client(format!(
                "hyperparameter num_classes is {wanted}, and the images are of {} classes",
                classes.len()
            )));
        }
        let (validation, held) = match labelled(lesson, "validation")? {
            Some(held) => (lesson.channel("validation").unwrap_or(channel), held),
            None => (channel, set_aside(&mut train, |(_, class)| class.clone())),
        };
        // What is seen of an image is held until the layer has learned, and a number for each class. Where the network learns,
        // its values, gradients and means are there, and the activations of an image for each thread.
        let images = (train.len() + held.len()) as u64;
        let passes = given.integer("fine_tune_epochs").unwrap_or(0).max(0);
        let tuning = match passes {
            0 => 0,
            _ => image::memory(classes.len(), self.threads),
        };
        let bytes = images * 4 * (WIDTH + classes.len()) as u64 + tuning;
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
        lesson.learning();
        let context = LoadContext {
            weights: &self.weights,
            target: (&self.device).into(),
        };
        let features = ImageFeatures::load(&context, self.limits);
        let features = features.map_err(|error| Failure::Now(chain(&error)))?;
        let compute = Compute::own(self.device.clone(), self.threads);
        let mut see = |channel: &Channel, images: &[Labelled]| {
            self.see(
                lesson,
                channel,
                &features,
                &compute,
                (images, &classes),
                watch,
            )
        };
        let (train, held) = (see(channel, &train)?, see(validation, &held)?);
        if train.vectors.is_empty() {
            return Err(client(
                "no image could be read; the log says of each why it is passed over",
            ));
        }
        let whole = |name| given.integer(name).unwrap_or(1).max(0);
        let settings = Settings {
            epochs: whole("epochs") as u32,
            batch: whole("mini_batch_size") as usize,
            head_rate: given.real("learning_rate").unwrap_or(0.001),
            weight_decay: given.real("weight_decay").unwrap_or(0.0001),
            patience: match given.flag("early_stopping") {
                Some(false) => 0,
                _ => whole("early_stopping_patience") as u32,
            },
            seed: whole("seed") as u64,
            ..Settings::default()
        };
        let dev = (held.vectors.as_slice(), held.targets.as_slice());
        let learned = head::train(
            &train.vectors,
            &train.targets,
            dev,
            classes.len(),
            &settings,
            &mut || watch.stopped(),
        );
        let learned = learned.map_err(|error| client(chain(&error)))?;
        let figures = |seen: &Seen| {
            let predicted: Vec<Vec<f32>> = seen
                .vectors
                .iter()
                .map(|vector| softmax(&learned.apply(vector)))
                .collect();
            let targets: Vec<&[f32]> = seen.targets.iter().map(Vec::as_slice).collect();
            Metrics::of(&predicted, &targets, classes.len())
        };
        for (name, seen) in [("train", &train), ("validation", &held)] {
            if !seen.vectors.is_empty() {
                let figures = figures(seen);
                watch.log(&format!(
                    "{name}: accuracy {:.4} of {} images",
                    figures.accuracy, figures.count
                ));
                watch.metric(&format!("{name}:accuracy"), figures.accuracy);
            }
        }
        let learned = match passes {
            0 => learned,
            _ => {
                let rate = given.real("fine_tune_learning_rate").unwrap_or(0.003);
                let settings = Settings {
                    epochs: passes.min(i64::from(u32::MAX)) as u32,
                    rate,
                    head_rate: rate / 3.0,
                    warm_up: 0.2,
                    // Rates fall to the end, and the network is best there; the best is kept whatever comes.
                    patience: 0,
                    dropout: 0.2,
                    evaluations: 1,
                    ..settings
                };
                let augmentation = match given.text("augmentation_type") {
                    None => Augmentation::default(),
                    Some(_) => Augmentation {
                        flip: given.flag("augmentation_flip").unwrap_or(true),
                        shift: SHIFT,
                    },
                };
                let parts = [
                    self.pass(lesson, channel, &compute, &train),
                    self.pass(lesson, validation, &compute, &held),
                ];
                let tensors = tensors(&context).map_err(|error| Failure::Now(chain(&error)))?;
                tune(
                    &tensors,
                    &learned,
                    settings,
                    augmentation,
                    parts,
                    lesson,
                    watch,
                )?
            }
        };
        let layer = Layer {
            network: MODEL.to_owned(),
            tuned: passes > 0,
            classes,
            weight: learned.weight,
            bias: learned.bias,
        };
        let written = layer.write(lesson.folder);
        written.map_err(|error| Failure::Now(format!("the model cannot be written: {error}")))
    }
}

/// The whole network learns, from where `layer` ended; it is written into the lesson's folder, and what became of the layer
/// is the result. One that is stopped ends with the best that it had; one that is killed goes on from its last pass.
fn tune(
    tensors: &Path,
    layer: &Head,
    settings: Settings,
    augmentation: Augmentation,
    [mut train, mut held]: [Pass<'_>; 2],
    lesson: &Lesson<'_>,
    watch: &mut dyn Watch,
) -> Result<Head, Failure> {
    let wrong = |error: escala_models::Error| Failure::Algorithm(chain(&error));
    let tensors = Tensors::open(tensors).map_err(|error| Failure::Now(chain(&error)))?;
    let mut onlooker = Onlooker {
        watch: &mut *watch,
        per_epoch: train.classes.len().div_ceil(settings.batch.max(1)).max(1) as u64,
        right: 0.0,
    };
    let compute = train.compute;
    let tuner = Tuner::new(&tensors, layer, settings, augmentation, &compute.team);
    let mut tuner = tuner.map_err(wrong)?;
    let state = lesson.checkpoint.join("fine-tuning.safetensors");
    let ended = tuner.train(&mut train, &mut held, Some(&state), &mut onlooker);
    if let Some(failure) = train.failure.take().or_else(|| held.failure.take()) {
        return Err(failure);
    }
    // The figures of what is kept, which need not be those of the last pass.
    if ended.map_err(wrong)? != Ended::Interrupted && !held.classes.is_empty() {
        let figures = tuner.evaluate(&mut held);
        if let Some(failure) = held.failure.take() {
            return Err(failure);
        }
        let accuracy = figures.map_err(wrong)?.accuracy;
        watch.log(&format!(
            "validation: accuracy {accuracy:.4} after fine-tuning"
        ));
        watch.metric("validation:accuracy", accuracy);
    }
    let written = tuner.write(&lesson.folder.join(NETWORK));
    written.map_err(|error| {
        Failure::Now(format!("the network cannot be written: {}", chain(&error)))
    })?;
    tuner.head().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_an_order() {
        let of = |classes: &[&str]| {
            let file = File {
                bucket: String::new(),
                key: String::new(),
                length: 0,
                etag: String::new(),
            };
            let labelled: Vec<Labelled> = classes
                .iter()
                .map(|class| (file.clone(), (*class).to_owned()))
                .collect();
            order(&labelled)
        };
        assert_eq!(of(&["10", "2", "2"]).len(), 11);
        assert_eq!(of(&["b", "a", "b"]), ["a", "b"]);
        assert_eq!(of(&["1", "a"]), ["1", "a"]);
        assert_eq!(of(&["99999999", "1"]), ["1", "99999999"]);
    }
}
