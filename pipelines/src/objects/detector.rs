//! What finds objects: the built-in network, or one that the operator brings.

use super::Detection;
use super::kinds::{Kind, Kinds};
use super::nanodet::{self, Answer, Thresholds};
use super::{detr, parts, yolo};
use crate::error::{self, Error, Result};
use crate::image::Detail;
use crate::image::resize::Crop;
use crate::labels::taxonomy::Taxonomy;
use crate::task::LoadContext;
use crate::vision::GLANCE;
use crate::vision::model::{self, ImageModel, refused};
use crate::vision::network::Network;
use crate::vision::preprocess::{Frame, Shown, show};
use escala_models::Compute;
use escala_weights::declaration::{self, Classes, Decoder, Detections};
use escala_weights::{Progress, Store};
use image::RgbImage;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::{Arc, Weak};

/// The catalogue's name of the built-in network.
pub const BUILTIN: &str = "nanodet-g";

/// Hub repositories of detectors that are better than the built-in one, best first. One of them is used where it is on
/// this machine already; nothing pulls it by itself.
pub const PREFERRED: [&str; 2] = ["PekingU/rtdetr_r50vd", "PekingU/rtdetr_r18vd"];

/// A loaded detector with its labels.
pub struct Detector {
    eye: Eye,
    /// The label of each class; none for a class that means nothing.
    kinds: Vec<Option<Kind>>,
    /// All labels.
    labels: Arc<[String]>,
}

enum Eye {
    NanoDet(Network),
    Brought(ImageModel),
}

impl Detector {
    /// The built-in network.
    ///
    /// # Errors
    /// `Unavailable` when its weights cannot be had.
    pub fn builtin(context: &LoadContext<'_>) -> Result<Self> {
        let kinds = coco()?.all().iter().cloned().map(Some).collect();
        Ok(Self::new(
            Eye::NanoDet(Network::tfjs(context, BUILTIN)?),
            kinds,
        ))
    }

    /// What the operator named.
    ///
    /// # Errors
    /// `Unavailable` with what is missing or does not fit, and what to do.
    pub fn named(reference: &str, context: &LoadContext<'_>) -> Result<Self> {
        if reference == BUILTIN {
            return Self::builtin(context);
        }
        let model = ImageModel::load(reference, declaration::Task::ObjectDetector, context)?;
        let kinds = coco()?;
        let kinds = match &model.classes {
            Classes::Names(names) => kinds.of_names(names),
            Classes::Coco80 => kinds.all().iter().cloned().map(Some).collect(),
            Classes::Imagenet1k => {
                return Err(refused(
                    reference,
                    "`classes` \"imagenet-1k\" are a classifier's",
                ));
            }
        };
        Ok(Self::new(Eye::Brought(model), kinds))
    }

    fn new(eye: Eye, kinds: Vec<Option<Kind>>) -> Self {
        let labels = kinds.iter().flatten().map(|kind| kind.name.clone());
        Self {
            eye,
            labels: labels.collect(),
            kinds,
        }
    }

    /// How much of an image the network needs to be shown it. That of the built-in one is what labels need, so that both
    /// look at the same pixels.
    pub fn detail(&self) -> Detail {
        match &self.eye {
            Eye::NanoDet(_) => GLANCE,
            Eye::Brought(model) => model.detail(),
        }
    }

    /// The parts of an image of this size that are looked at beside all of it; none where the whole is enough, and for
    /// networks that are brought, which see images as they are declared to.
    pub fn parts(&self, width: u32, height: u32) -> Vec<Crop> {
        match &self.eye {
            Eye::NanoDet(_) => parts::parts(width, height),
            Eye::Brought(_) => Vec::new(),
        }
    }

    /// What the network is shown of an image.
    pub fn show(&self, image: &RgbImage) -> Shown {
        match &self.eye {
            Eye::NanoDet(_) => show(&nanodet::INPUT, image),
            Eye::Brought(model) => model.show(image),
        }
    }

    /// The detections in an image, surest first; scores of the built-in network as [`nanodet::sureness`]. Must not be
    /// called from inside a team's region.
    ///
    /// # Errors
    /// `Internal` when the network fails or its numbers mean nothing.
    pub fn find(&self, compute: &Compute, shown: &Shown) -> Result<Vec<Detection>> {
        match &self.eye {
            Eye::NanoDet(network) => {
                let mut found = nanodet(network, compute, shown, &Thresholds::default())?;
                for detection in &mut found {
                    detection.score = nanodet::sureness(detection.score);
                }
                Ok(found)
            }
            Eye::Brought(model) => {
                brought(model, self.kinds.len(), &model.detections, compute, shown)
            }
        }
    }

    /// The detections in an image whose score is above `least`, 0 to 1, whatever was declared; surest first. Must not be
    /// called from inside a team's region.
    ///
    /// # Errors
    /// As [`Detector::find`].
    pub fn find_above(
        &self,
        compute: &Compute,
        shown: &Shown,
        least: f32,
    ) -> Result<Vec<Detection>> {
        match &self.eye {
            Eye::NanoDet(network) => {
                let thresholds = Thresholds {
                    score: least,
                    ..Thresholds::default()
                };
                nanodet(network, compute, shown, &thresholds)
            }
            Eye::Brought(model) => {
                let kept = Detections {
                    score: least,
                    ..model.detections
                };
                brought(model, self.kinds.len(), &kept, compute, shown)
            }
        }
    }

    /// The names of the classes as the detector has them, in the order of [`Detection::class`].
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let own = match &self.eye {
            Eye::Brought(model) => match &model.classes {
                Classes::Names(names) => Some(names),
                _ => None,
            },
            Eye::NanoDet(_) => None,
        };
        self.kinds.iter().enumerate().map(move |(class, kind)| {
            let own = own.and_then(|names| names.get(class));
            let kind = kind.as_ref().map_or("", |kind| kind.coco.as_str());
            own.map_or(kind, String::as_str)
        })
    }

    /// The label of a class of [`Detection`]s; none for a class that means nothing.
    pub fn kind(&self, class: usize) -> Option<&Kind> {
        self.kinds.get(class).and_then(Option::as_ref)
    }

    /// The labels of everything that it knows.
    pub fn labels(&self) -> &Arc<[String]> {
        &self.labels
    }

    /// Whether it knows things of this label.
    pub fn knows(&self, label: &str) -> bool {
        self.labels.iter().any(|known| known == label)
    }

    /// Bytes that the network holds.
    pub fn memory(&self) -> u64 {
        match &self.eye {
            Eye::NanoDet(network) => network.memory(),
            Eye::Brought(model) => model.memory(),
        }
    }
}

fn coco() -> Result<Kinds> {
    let damaged = |cause: String| {
        Error::new(
            error::Kind::Internal,
            format!("the labels of objects are damaged: {cause}"),
        )
    };
    let taxonomy = Taxonomy::builtin().map_err(|error| damaged(error.to_string()))?;
    Kinds::builtin(&taxonomy).map_err(|error| damaged(error.to_string()))
}

fn nanodet(
    network: &Network,
    compute: &Compute,
    shown: &Shown,
    thresholds: &Thresholds,
) -> Result<Vec<Detection>> {
    let side = nanodet::SIDE as usize;
    let answers = network.run(compute, &[1, 3, side, side], &shown.pixels)?;
    let answer = |scores: &str, sides: &str| -> Result<Answer<'_>> {
        Ok(Answer {
            scores: answers.of(scores)?,
            sides: answers.of(sides)?,
        })
    };
    let grids = [
        answer("Identity", "Identity_3")?,
        answer("Identity_1", "Identity_4")?,
        answer("Identity_2", "Identity_5")?,
    ];
    let Frame { width, height, .. } = shown.frame;
    nanodet::decode(grids, width, height, thresholds)
}

fn brought(
    model: &ImageModel,
    classes: usize,
    kept: &Detections,
    compute: &Compute,
    shown: &Shown,
) -> Result<Vec<Detection>> {
    let answers = model.run(compute, &shown.pixels, shown.size)?;
    let first = model.output(&answers, 0)?;
    let (decoder, size) = (model.decoder, shown.size.map(|side| side as f32));
    let frame = &shown.frame;
    match decoder {
        Decoder::Detr | Decoder::Rtdetr => {
            let boxes = model.output(&answers, 1)?;
            detr::decode(decoder, [first, boxes], size, classes, frame, kept)
        }
        _ => yolo::decode(decoder, first, size, classes, frame, kept),
    }
}

/// A place for one copy of a detector, which all tasks that were given it share.
#[derive(Clone, Debug)]
pub struct SharedDetector {
    /// What the operator named, or was found; else the built-in one.
    named: Option<Arc<str>>,
    place: Arc<Mutex<Weak<Detector>>>,
}

impl Default for SharedDetector {
    /// The built-in detector.
    fn default() -> Self {
        Self::of(None)
    }
}

impl SharedDetector {
    fn of(named: Option<&str>) -> Self {
        Self {
            named: named.map(Arc::from),
            place: Arc::default(),
        }
    }

    /// The one that is named.
    pub fn named(name: &str) -> Self {
        Self::of(Some(name))
    }

    /// The detector in force: the one that is named; else the first of [`PREFERRED`] that was pulled or lies in the
    /// local folder under the last part of its name; else the built-in one.
    pub fn choose(named: Option<&str>, store: &Store) -> Self {
        if named.is_some() {
            return Self::of(named);
        }
        for repo in PREFERRED {
            match store.image_checkpoint_here(repo) {
                Ok(Some(_)) => return Self::of(Some(repo)),
                Ok(None) => (),
                Err(error) => {
                    tracing::warn!(repo, %error, "a detector on this machine is passed over")
                }
            }
            let name = Path::new(repo).file_name().unwrap_or_default();
            let folder = store.local_checkpoint(Path::new(name));
            if let Some(folder) = folder.as_deref().and_then(Path::to_str) {
                return Self::of(Some(folder));
            }
        }
        Self::of(None)
    }

    /// The name of the detector: the catalogue's, a repository, or a folder.
    pub fn name(&self) -> &str {
        self.named.as_deref().unwrap_or(BUILTIN)
    }

    /// Whether it is the built-in one.
    pub fn is_builtin(&self) -> bool {
        self.name() == BUILTIN
    }

    /// Most images of a batch. The network looks at one after the other and a few are decoded together, so that all threads
    /// have one; a detector that an operator named may take a second for each.
    pub(crate) fn batch_items(&self) -> usize {
        if self.is_builtin() { 4 } else { 1 }
    }

    /// Pulls it where it is missing.
    ///
    /// # Errors
    /// What cannot be pulled, and what to do.
    pub fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        model::fetch(self.name(), weights, progress).map(drop)
    }

    /// The copy that another task holds, or a new one.
    ///
    /// # Errors
    /// `Unavailable` with what is missing or does not fit, and what to do.
    pub(crate) fn load(&self, context: &LoadContext<'_>) -> Result<Arc<Detector>> {
        // Whoever comes second waits here instead of reading the files again.
        let mut place = self.place.lock();
        if let Some(shared) = place.upgrade() {
            return Ok(shared);
        }
        let shared = Arc::new(Detector::named(self.name(), context)?);
        *place = Arc::downgrade(&shared);
        Ok(shared)
    }
}
