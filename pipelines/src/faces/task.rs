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
/// The mesh's flag of a face that is seen as it should be; where one is less, the picture may lie.
const CLEAR: f32 = 0.9995;
/// So is one that is tilted more than this, in degrees.
const LIES: f32 = 40.0;
/// What the detector must be sure of in a picture that is turned.
const SURE: f32 = 0.5;
/// What it must be sure of in one of half that size to look at it.
const GLIMPSED: f32 = 0.3;

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
    /// How sure the detector and the mesh are together that it is a face, 0 to 1.
    pub confidence: f32,
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

impl Looks {
    /// How sure it is that the face smiles, 0 to 1: the share of happiness, because no network here looks for smiles alone.
    pub fn smile(&self) -> f32 {
        let mut emotions = self.emotions.iter();
        let happy = emotions.find(|(emotion, _)| *emotion == Emotion::Happy);
        happy.map_or(0.0, |(_, share)| *share)
    }
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
            // Networks look at one image after the other, for a second where a crowd is in it. A lone one is decoded by the
            // team.
            batch_items: 1,
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

/// A face, and whether it is seen as it should be.
struct Look {
    face: Face,
    /// How sure the mesh is that it is one.
    flag: f32,
    /// The same of the face turned upside down.
    hanging: f32,
}

/// The faces of a picture as it lies.
#[derive(Default)]
struct Seen {
    faces: Vec<Face>,
    /// How sure the networks are of all of them together.
    sure: f32,
    /// Whether the picture may lie on its side or stand on its head.
    doubtful: bool,
}

struct Prepared {
    image: RgbImage,
    pixels: Vec<f32>,
}

/// How sure two networks are together that see different things: that not both are wrong. The mesh's flag, which has removed every
/// false hit of the tests and is 1 for nearly every face, is taken for right in no more than 99 of 100 cases.
fn together(score: f32, flag: f32) -> f32 {
    1.0 - (1.0 - score) * (1.0 - flag.min(0.99))
}

/// The shape of a square picture.
fn picture(side: u32) -> [usize; 4] {
    [1, side as usize, side as usize, 3]
}

impl FacesPipeline {
    /// The faces of an image, largest first. Where they are not surely upright, or there are none, it may be that the picture
    /// lies: it is looked at again as the detector is surest of faces in it, and how more is seen counts.
    fn find(
        &self,
        compute: &Compute,
        prepared: &Prepared,
        options: &FacesOptions,
    ) -> Result<Faces> {
        let image = &prepared.image;
        let size = image.dimensions();
        let mut seen = self.seen(compute, image, &prepared.pixels, options)?;
        if seen.doubtful {
            let turns = self.turns(compute, prepared, options)?;
            for (_, turn) in turns.into_iter().filter(|(sum, _)| *sum > seen.sure) {
                let turned = turn.turned(image);
                let pixels = detect::input(&turned);
                let other = self.seen(compute, &turned, &pixels, options)?;
                if other.sure > seen.sure {
                    let back = other.faces.into_iter().map(|face| turn.back(size, face));
                    seen.faces = back.collect();
                    break;
                }
            }
        }
        Ok(Faces {
            width: size.0,
            height: size.1,
            faces: seen.faces,
        })
    }

    /// The faces of a picture as it lies, of which the detector of large faces is shown these pixels.
    fn seen(
        &self,
        compute: &Compute,
        image: &RgbImage,
        pixels: &[f32],
        options: &FacesOptions,
    ) -> Result<Seen> {
        let found = self.detect(compute, image.dimensions(), pixels, options.score)?;
        let mut second = self.cascade.find(compute, image)?;
        second.retain(|candidate| candidate.score >= options.score);
        let mut candidates = detect::united(found, second, image.dimensions());
        candidates.sort_by(|a, b| b.area.size().total_cmp(&a.area.size()));
        let mut seen = Seen::default();
        for candidate in candidates {
            if seen.faces.len() == options.most {
                break;
            }
            let looked = self.look_at(compute, image, &candidate, options)?;
            let Some(Look {
                face,
                flag,
                hanging,
            }) = looked
            else {
                continue;
            };
            seen.sure += face.score * flag;
            seen.doubtful |= flag < CLEAR || hanging >= flag || face.pose.roll.abs() > LIES;
            seen.faces.push(face);
        }
        seen.doubtful |= seen.faces.is_empty();
        Ok(seen)
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

    /// How an image may be turned, with how sure the detector is of all faces together, surest first. It glimpses at all turned
    /// images at once, and looks at those in which it sees something.
    fn turns(
        &self,
        compute: &Compute,
        prepared: &Prepared,
        options: &FacesOptions,
    ) -> Result<Vec<(f32, Quarter)>> {
        let score = options.score.max(SURE);
        let size = prepared.image.dimensions();
        let seen = detect::seen(size);
        let all = Quarter::side_by_side(&prepared.pixels, detect::SIDE, seen);
        let glimpsed = self.detect(compute, (detect::SIDE, detect::SIDE), &all, GLIMPSED)?;
        let middles = glimpsed.iter().map(|candidate| candidate.area.centre());
        let glimpsed: Vec<Quarter> = middles
            .filter_map(|middle| Quarter::at(detect::SIDE, middle))
            .collect();
        let mut turns = Vec::new();
        for turn in Quarter::ALL {
            if !glimpsed.contains(&turn) {
                continue;
            }
            let shown = turn.shown(&prepared.pixels, detect::SIDE, seen);
            let found = self.detect(compute, turn.size(size), &shown, score)?;
            turns.push((found.iter().map(|candidate| candidate.score).sum(), turn));
        }
        turns.sort_by(|a: &(f32, _), b| b.0.total_cmp(&a.0));
        Ok(turns)
    }

    /// What there is to say about a candidate; `None` when it is no face.
    fn look_at(
        &self,
        compute: &Compute,
        image: &RgbImage,
        candidate: &Candidate,
        options: &FacesOptions,
    ) -> Result<Option<Look>> {
        let features = candidate.features.as_ref();
        if let Some(part) = features.and_then(|features| Upright::of(image, features)) {
            let (area, score) = (part.area, candidate.score);
            let inside = Candidate {
                score,
                area,
                features: None,
            };
            if let Some(look) = self.look_closer(compute, &part.image, &inside, options)? {
                let (width, height) = image.dimensions();
                let crop = whole_pixels(&candidate.area, width, height);
                return Ok(crop.map(|crop| Look {
                    face: Face {
                        area: candidate.area,
                        quality: measure(image, crop),
                        ..part.back(look.face)
                    },
                    ..look
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
    ) -> Result<Option<Look>> {
        let (width, height) = image.dimensions();
        let area = candidate.area;
        let Some(crop) = whole_pixels(&area, width, height) else {
            return Ok(None);
        };
        let mut shown = mesh::input(image, &area);
        let (flag, mesh) = self.flagged(compute, &shown)?;
        if flag < FLAG {
            return Ok(None);
        }
        // The same upside down.
        shown.as_chunks_mut::<3>().0.reverse();
        let (hanging, _) = self.flagged(compute, &shown)?;
        let shown = super::landmarks::input(image, crop, SIDE);
        let answers = self.landmarks.run(compute, &picture(SIDE), &shown)?;
        let landmarks = Landmarks::decode(answers.only()?, &area, crop)?;
        // Points that all lie outside leave no picture; the detector's is the next best.
        let aligned = landmarks.aligned(width, height).unwrap_or(crop);
        let pose = mesh.pose();
        let eyes = match options.looks || options.gaze {
            true => Some(self.eyes(compute, image, &mesh, &area)?),
            false => None,
        };
        // Of lids the eyes' own network knows more than the mesh, which leaves them open.
        let open = eyes.as_ref().and_then(gaze::open);
        let open = open.unwrap_or_else(|| mesh.eyes_open());
        let gaze = eyes.filter(|_| options.gaze && open >= 0.5);
        let gaze = gaze.and_then(|[left, right]| {
            let size = image.dimensions();
            Gaze::of((&left.0, &left.1), (&right.0, &right.1), &pose, size)
        });
        let looks = if options.looks {
            let shown = super::landmarks::input(image, aligned, SIDE);
            let looks = self.age_gender.run(compute, &picture(SIDE), &shown)?;
            let expression = self.expression.run(compute, &picture(SIDE), &shown)?;
            Some(Looks {
                age_gender: AgeGender::decode(looks.of("age")?, looks.of("gender")?)?,
                emotions: emotions(expression.only()?)?,
                eyes_open: open,
                mouth_open: mesh.mouth_open(),
            })
        } else {
            None
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
        let face = Face {
            score: candidate.score,
            confidence: together(candidate.score, flag),
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
        };
        Ok(Some(Look {
            face,
            flag,
            hanging,
        }))
    }

    /// How sure the mesh is that it is shown a face, and the mesh.
    fn flagged(&self, compute: &Compute, shown: &[f32]) -> Result<(f32, Mesh)> {
        let answers = self.mesh.run(compute, &picture(mesh::SIDE), shown)?;
        let &[flag] = answers.of("output_faceflag")? else {
            return Err(broken("an answer of another size"));
        };
        Ok((flag, Mesh::decode(answers.of("output_mesh")?)?))
    }

    /// The eyes of a face at `area`, that on the left first, each with the square in which it was seen.
    fn eyes(
        &self,
        compute: &Compute,
        image: &RgbImage,
        mesh: &Mesh,
        area: &Area,
    ) -> Result<[(Eye, Area); 2]> {
        let look = |side: gaze::Side| -> Result<(Eye, Area)> {
            let square = gaze::square(mesh, area, image.dimensions(), side);
            let shown = gaze::input(image, square, side);
            let answers = self.iris.run(compute, &picture(gaze::SIDE), &shown)?;
            Ok((Eye::decode(answers.only()?, side)?, square))
        };
        Ok([look(gaze::Side::Left)?, look(gaze::Side::Right)?])
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
