//! The faces task: from encoded images to faces, as the engine runs it.
//!
//! Images of a batch are decoded in parallel; then the networks see one image after the other, each with the whole
//! team. Networks that nobody asked for are not run: descriptors cost more than everything else about a face.

use super::broken;
use super::cascade::{CASCADE, Cascade};
use super::chip::{self, chip};
use super::detect::{self, ANCHORS, Candidate, Thresholds};
use super::gaze::{self, Eye, Gaze};
use super::landmarks::{Landmarks, SIDE};
use super::looks::{AgeGender, Emotion, emotions};
use super::mesh::{self, Mesh, Pose};
use super::quality::{Quality, measure};
use super::quarters::Quarter;
use super::similarity::DIMENSIONS;
use super::upright::Upright;
use crate::error::{Error, Kind, Result};
use crate::image::{Detail, ImageLimits, decode_for};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, unavailable};
use crate::vision::Area;
use crate::vision::network::{Network, decode_all, tensors};
use crate::vision::resample::whole_pixels;
use bytes::Bytes;
use escala_models::{Compute, faces};
use escala_weights::{Progress, Store};
use image::{Rgb, RgbImage};

/// The catalogue's name of the detector.
pub const DETECTOR: &str = "face-ssd-mobilenetv1";
const MESH: &str = "face-mesh";
const IRIS: &str = "face-iris";
const LANDMARKS: &str = "face-landmarks-68";
const AGE_GENDER: &str = "face-age-gender";
const EXPRESSION: &str = "face-expression";
const DESCRIPTOR: &str = "face-descriptor";

/// The catalogue's names of the other networks.
pub const OTHERS: [&str; 7] = [
    CASCADE, MESH, IRIS, LANDMARKS, AGE_GENDER, EXPRESSION, DESCRIPTOR,
];

/// A candidate below this of the mesh's flag is no face.
const FLAG: f32 = 0.5;
/// What the detector must be sure of in a picture that is turned, for that it is looked at more closely.
const SURE: f32 = 0.5;

/// One image and what is asked about it.
#[derive(Clone, Debug)]
pub struct FacesInput {
    /// The encoded image.
    pub image: Bytes,
    /// What is asked.
    pub options: FacesOptions,
}

/// What is asked about the faces of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FacesOptions {
    /// Most faces, largest first.
    pub most: usize,
    /// Least score of the detector, 0 to 1.
    pub score: f32,
    /// Age, gender, expression, and whether eyes and mouth are open.
    pub looks: bool,
    /// Where open eyes look.
    pub gaze: bool,
    /// Descriptors, to compare faces by.
    pub descriptors: bool,
}

impl Default for FacesOptions {
    fn default() -> Self {
        Self {
            most: 100,
            score: Thresholds::default().score,
            looks: false,
            gaze: false,
            descriptors: false,
        }
    }
}

/// The faces of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Faces {
    /// Columns of the image.
    pub width: u32,
    /// Rows of the image.
    pub height: u32,
    /// Largest first, as Rekognition orders them.
    pub faces: Vec<Face>,
}

/// One face.
#[derive(Clone, Debug, PartialEq)]
pub struct Face {
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// Where it is, in pixels; it may reach outside the image.
    pub area: Area,
    /// Its points.
    pub landmarks: Landmarks,
    /// How it is turned.
    pub pose: Pose,
    /// How bright and sharp it is.
    pub quality: Quality,
    /// What it looks like, when asked for.
    pub looks: Option<Looks>,
    /// Where the eyes look, when asked for and they are open.
    pub gaze: Option<Gaze>,
    /// Numbers to compare it by, when asked for.
    pub descriptor: Option<Vec<f32>>,
}

/// What a face looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Looks {
    /// Age and gender.
    pub age_gender: AgeGender,
    /// What it expresses, likeliest first.
    pub emotions: Vec<(Emotion, f32)>,
    /// How sure it is that the eyes are open, 0 to 1.
    pub eyes_open: f32,
    /// How sure it is that the mouth is open, 0 to 1.
    pub mouth_open: f32,
}

/// Faces in images.
#[derive(Clone, Copy, Debug, Default)]
pub struct FacesTask {
    limits: ImageLimits,
}

impl FacesTask {
    /// The task for images within `limits`.
    pub fn new(limits: ImageLimits) -> Self {
        Self { limits }
    }
}

impl Task for FacesTask {
    type Input = FacesInput;
    type Output = Faces;
    type Pipeline = FacesPipeline;

    fn name(&self) -> &'static str {
        "faces"
    }

    fn model(&self) -> &str {
        DETECTOR
    }

    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        let mut models = [DETECTOR].into_iter().chain(OTHERS);
        models.try_for_each(|model| weights.ensure(model, progress).map(drop))
    }

    fn unit(&self) -> Unit {
        Unit::Pixels
    }

    fn cost(&self, input: &FacesInput) -> u64 {
        self.limits.cost(&input.image) + u64::from(detect::SIDE * detect::SIDE)
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_cost: 32_000_000,
            batch_items: 8,
            queue_items: 256,
            queue_cost: 400_000_000,
        }
    }

    fn memory_estimate(&self) -> Option<u64> {
        // 15 million parameters of four bytes and the maps of a run.
        Some(150_000_000)
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<FacesPipeline> {
        let weights = tensors(context, DETECTOR)?;
        let anchors = faces::anchors(&weights).map_err(|cause| unavailable(DETECTOR, cause))?;
        Ok(FacesPipeline {
            detector: Network::built(context, DETECTOR, faces::detector)?,
            anchors,
            cascade: Cascade::load(context)?,
            mesh: Network::tfjs(context, MESH)?,
            iris: Network::tfjs(context, IRIS)?,
            landmarks: Network::built(context, LANDMARKS, faces::landmarks)?,
            age_gender: Network::built(context, AGE_GENDER, faces::age_gender)?,
            expression: Network::built(context, EXPRESSION, faces::expression)?,
            descriptor: Network::built(context, DESCRIPTOR, faces::descriptor)?,
            limits: self.limits,
        })
    }
}

/// The loaded networks.
pub struct FacesPipeline {
    detector: Network,
    anchors: Vec<f32>,
    cascade: Cascade,
    mesh: Network,
    iris: Network,
    landmarks: Network,
    age_gender: Network,
    expression: Network,
    descriptor: Network,
    limits: ImageLimits,
}

struct Prepared {
    image: RgbImage,
    pixels: Vec<f32>,
}

/// The shape of a square picture.
fn picture(side: u32) -> [usize; 4] {
    [1, side as usize, side as usize, 3]
}

impl FacesPipeline {
    /// The faces of an image, largest first. Where none stands upright it may be that the picture does not: it is looked at
    /// again as most of its faces lie, or, when it has none, as the detector is surest of some.
    fn find(
        &self,
        compute: &Compute,
        prepared: &Prepared,
        options: &FacesOptions,
    ) -> Result<Faces> {
        let image = &prepared.image;
        let size = image.dimensions();
        let found = self.detect(compute, size, &prepared.pixels, options.score)?;
        let mut faces = self.among(compute, image, found, options)?;
        let turns = match faces.as_slice() {
            [] => self.turns(compute, prepared, options)?,
            _ => {
                let rolls = faces.iter().map(|face| face.pose.roll);
                Quarter::righting(rolls).into_iter().collect()
            }
        };
        for turn in turns {
            let turned = turn.turned(image);
            let pixels = detect::input(&turned);
            let found = self.detect(compute, turned.dimensions(), &pixels, options.score)?;
            let found = self.among(compute, &turned, found, options)?;
            if found.is_empty() {
                continue;
            }
            let found: Vec<Face> = found
                .into_iter()
                .map(|face| turn.back(size, face))
                .collect();
            faces.retain(|one| {
                let same = |other: &Face| one.area.overlap(&other.area) > detect::SAME;
                !found.iter().any(same)
            });
            faces.extend(found);
            faces.sort_by(|a, b| b.area.size().total_cmp(&a.area.size()));
            faces.truncate(options.most);
            break;
        }
        Ok(Faces {
            width: size.0,
            height: size.1,
            faces,
        })
    }

    /// What the detector of large faces takes for faces in an image of this size, of which it is shown these pixels.
    fn detect(
        &self,
        compute: &Compute,
        size: (u32, u32),
        pixels: &[f32],
        score: f32,
    ) -> Result<Vec<Candidate>> {
        let shape = picture(detect::SIDE);
        let answers = self.detector.run_letterboxed(compute, &shape, pixels)?;
        let thresholds = Thresholds {
            score,
            ..Thresholds::default()
        };
        let (boxes, classes) = (answers.of("boxes")?, answers.of("classes")?);
        debug_assert_eq!(self.anchors.len(), ANCHORS * detect::EDGES);
        detect::decode(boxes, classes, &self.anchors, size, &thresholds)
    }

    /// How an image without faces may be turned, as the detector is surest of some first.
    fn turns(
        &self,
        compute: &Compute,
        prepared: &Prepared,
        options: &FacesOptions,
    ) -> Result<Vec<Quarter>> {
        let score = options.score.max(SURE);
        let size = prepared.image.dimensions();
        let mut turns = Vec::new();
        for turn in Quarter::ALL {
            let shown = turn.shown(&prepared.pixels, detect::SIDE, detect::seen(size));
            let found = self.detect(compute, turn.size(size), &shown, score)?;
            let best = found.iter().map(|candidate| candidate.score);
            if let Some(best) = best.max_by(f32::total_cmp) {
                turns.push((best, turn));
            }
        }
        turns.sort_by(|a, b| b.0.total_cmp(&a.0));
        Ok(turns.into_iter().map(|(_, turn)| turn).collect())
    }

    /// The faces among what the detector `found` and what the cascade finds, largest first.
    fn among(
        &self,
        compute: &Compute,
        image: &RgbImage,
        found: Vec<Candidate>,
        options: &FacesOptions,
    ) -> Result<Vec<Face>> {
        let mut second = self.cascade.find(compute, image)?;
        second.retain(|candidate| candidate.score >= options.score);
        let mut candidates = detect::united(found, second, image.dimensions());
        candidates.sort_by(|a, b| b.area.size().total_cmp(&a.area.size()));
        let mut faces = Vec::new();
        for candidate in candidates {
            if faces.len() == options.most {
                break;
            }
            faces.extend(self.look_at(compute, image, &candidate, options)?);
        }
        Ok(faces)
    }

    /// What there is to say about a candidate; `None` when it is no face.
    fn look_at(
        &self,
        compute: &Compute,
        image: &RgbImage,
        candidate: &Candidate,
        options: &FacesOptions,
    ) -> Result<Option<Face>> {
        let features = candidate.features.as_ref();
        if let Some(part) = features.and_then(|features| Upright::of(image, features)) {
            let (area, score) = (part.area, candidate.score);
            let inside = Candidate {
                score,
                area,
                features: None,
            };
            if let Some(face) = self.look_closer(compute, &part.image, &inside, options)? {
                let (width, height) = image.dimensions();
                let crop = whole_pixels(&candidate.area, width, height);
                return Ok(crop.map(|crop| Face {
                    area: candidate.area,
                    quality: measure(image, crop),
                    ..part.back(face)
                }));
            }
        }
        self.look_closer(compute, image, candidate, options)
    }

    /// As [`FacesPipeline::look_at`], of an upright face.
    fn look_closer(
        &self,
        compute: &Compute,
        image: &RgbImage,
        candidate: &Candidate,
        options: &FacesOptions,
    ) -> Result<Option<Face>> {
        let (width, height) = image.dimensions();
        let area = candidate.area;
        let Some(crop) = whole_pixels(&area, width, height) else {
            return Ok(None);
        };
        let shown = mesh::input(image, &area);
        let answers = self.mesh.run(compute, &picture(mesh::SIDE), &shown)?;
        let &[flag] = answers.of("output_faceflag")? else {
            return Err(broken("an answer of another size"));
        };
        if flag < FLAG {
            return Ok(None);
        }
        let mesh = Mesh::decode(answers.of("output_mesh")?)?;
        let shown = super::landmarks::input(image, crop, SIDE);
        let answers = self.landmarks.run(compute, &picture(SIDE), &shown)?;
        let landmarks = Landmarks::decode(answers.only()?, &area, crop)?;
        // Points that all lie outside leave no picture; the detector's is the next best.
        let aligned = landmarks.aligned(width, height).unwrap_or(crop);
        let looks = if options.looks {
            let shown = super::landmarks::input(image, aligned, SIDE);
            let looks = self.age_gender.run(compute, &picture(SIDE), &shown)?;
            let expression = self.expression.run(compute, &picture(SIDE), &shown)?;
            Some(Looks {
                age_gender: AgeGender::decode(looks.of("age")?, looks.of("gender")?)?,
                emotions: emotions(expression.only()?)?,
                eyes_open: mesh.eyes_open(),
                mouth_open: mesh.mouth_open(),
            })
        } else {
            None
        };
        let pose = mesh.pose();
        let gaze = match options.gaze && mesh.eyes_open() >= 0.5 {
            true => self.gaze(compute, image, &mesh, &area, &pose)?,
            false => None,
        };
        let descriptor = if options.descriptors {
            let chip = chip(image, &landmarks).ok_or_else(|| broken("points in one place"))?;
            let shown = super::normalise(chip.as_raw().iter().map(|&v| f32::from(v)).collect());
            let answers = self.descriptor.run(compute, &picture(chip::SIDE), &shown)?;
            let descriptor = answers.only()?.to_vec();
            if descriptor.len() != DIMENSIONS {
                return Err(Error::new(Kind::Internal, "a descriptor of another length"));
            }
            Some(descriptor)
        } else {
            None
        };
        Ok(Some(Face {
            score: candidate.score,
            area,
            pose,
            quality: measure(image, crop),
            landmarks: match gaze {
                Some(gaze) => landmarks.with_pupils(gaze.pupils),
                None => landmarks,
            },
            looks,
            gaze,
            descriptor,
        }))
    }

    /// Where the eyes of a face at `area` look; `None` when an eye has no size.
    fn gaze(
        &self,
        compute: &Compute,
        image: &RgbImage,
        mesh: &Mesh,
        area: &Area,
        pose: &Pose,
    ) -> Result<Option<Gaze>> {
        let size = image.dimensions();
        let look = |side: gaze::Side| -> Result<(Eye, Area)> {
            let square = gaze::square(mesh, area, size, side);
            let shown = gaze::input(image, square, side);
            let answers = self.iris.run(compute, &picture(gaze::SIDE), &shown)?;
            Ok((Eye::decode(answers.only()?, side)?, square))
        };
        let (left, right) = (look(gaze::Side::Left)?, look(gaze::Side::Right)?);
        Ok(Gaze::of(
            (&left.0, &left.1),
            (&right.0, &right.1),
            pose,
            size,
        ))
    }
}

impl Pipeline for FacesPipeline {
    type Input = FacesInput;
    type Output = Faces;

    fn memory(&self) -> u64 {
        let networks = [
            &self.detector,
            &self.mesh,
            &self.iris,
            &self.landmarks,
            &self.age_gender,
            &self.expression,
            &self.descriptor,
        ];
        let anchors = size_of_val(self.anchors.as_slice()) as u64;
        let networks: u64 = networks.iter().map(|network| network.memory()).sum();
        networks + self.cascade.memory() + anchors
    }

    fn sample(&self) -> FacesInput {
        FacesInput {
            image: crate::vision::sample(&RgbImage::from_pixel(128, 128, Rgb([90, 120, 60]))),
            options: FacesOptions::default(),
        }
    }

    fn run(&self, compute: &Compute, batch: &[FacesInput]) -> Vec<Result<Faces>> {
        let prepared = decode_all(compute, batch, |input, threads| {
            let image = decode_for(&input.image, &self.limits, Detail::Whole, threads)?.pixels;
            let pixels = detect::input(&image);
            Ok(Prepared { image, pixels })
        });
        let each = prepared.into_iter().zip(batch);
        each.map(|(image, input)| self.find(compute, &image?, &input.options))
            .collect()
    }
}
