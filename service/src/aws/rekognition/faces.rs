//! `DetectFaces` and `CompareFaces`, and how a face looks in answers.
//!
//! What no network here predicts (`Beard`, `Mustache`, `Eyeglasses`, `Sunglasses`, `FaceOccluded`, the emotion `CONFUSED`,
//! the confidence of `EyeDirection`) is left out of answers, as the API allows. `Smile` is the network's share of happiness.
//! `OrientationCorrection` is always null at AWS, and so is left out.

use super::image::Image;
use crate::app::one;
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::{Aws, number};
use escala_collections::Descriptor;
use escala_pipelines::faces::landmarks::DEFAULT_NAMES;
use escala_pipelines::faces::looks::{Emotion, Gender};
use escala_pipelines::faces::similarity::{distance, percent};
use escala_pipelines::faces::{Face, Faces, FacesInput, FacesOptions};
use escala_pipelines::vision::Area;
use escala_pipelines::{Error, Kind, Options};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Most faces of an answer.
const MOST: usize = 100;

/// Likeness that counts when the request does not say, in percent.
pub const THRESHOLD: f32 = 80.0;

/// `DetectFacesRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DetectFaces {
    image: Image,
    attributes: Option<Vec<String>>,
}

/// `CompareFacesRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CompareFaces {
    source_image: Image,
    target_image: Image,
    similarity_threshold: Option<f32>,
    quality_filter: Option<String>,
}

/// What of a face is answered beside box, points, pose and quality.
pub struct Attributes(Vec<String>);

impl Attributes {
    /// Those that a request names.
    pub fn of(names: Option<Vec<String>>) -> Self {
        Self(names.unwrap_or_default())
    }

    fn all(&self) -> bool {
        self.0.iter().any(|name| name == "ALL")
    }

    fn has(&self, name: &str) -> bool {
        self.all() || self.0.iter().any(|other| other == name)
    }

    /// Whether the networks for looks are needed.
    pub fn looks(&self) -> bool {
        let names = [
            "AGE_RANGE",
            "EMOTIONS",
            "EYES_OPEN",
            "GENDER",
            "MOUTH_OPEN",
            "SMILE",
        ];
        names.iter().any(|name| self.has(name))
    }

    /// Whether it is asked where the eyes look.
    pub fn gaze(&self) -> bool {
        self.has("EYE_DIRECTION")
    }
}

/// Finds the faces of an image.
///
/// # Errors
/// What the operation answers instead of its output.
pub async fn find(
    aws: &Aws,
    call: Call,
    image: Image,
    asked: FacesOptions,
    options: Options,
) -> Result<Faces, Failure> {
    let input = FacesInput {
        image: image.encoded()?,
        options: asked,
    };
    let found = one(&*aws.images.faces, input, options).await;
    found.map_err(|error| Failure::of(call.service.id, call.operation, error))
}

/// `DetectFaces`.
pub async fn detect(
    aws: &Aws,
    call: Call,
    input: DetectFaces,
    options: Options,
) -> Result<Value, Failure> {
    let attributes = Attributes::of(input.attributes);
    let asked = FacesOptions {
        most: MOST,
        looks: attributes.looks(),
        gaze: attributes.gaze(),
        ..FacesOptions::default()
    };
    let found = find(aws, call, input.image, asked, options).await?;
    let details = found
        .faces
        .iter()
        .map(|face| detail(&found, face, &attributes));
    let details: Result<Vec<Value>, Error> = details.collect();
    let details = details.map_err(|error| Failure::of(call.service.id, call.operation, error))?;
    Ok(json!({ "FaceDetails": details }))
}

/// `CompareFaces`.
pub async fn compare(
    aws: &Aws,
    call: Call,
    input: CompareFaces,
    options: Options,
) -> Result<Value, Failure> {
    let fail = |error| Failure::of(call.service.id, call.operation, error);
    let asked = FacesOptions {
        most: MOST,
        descriptors: true,
        ..FacesOptions::default()
    };
    let bar = Bar::of(input.quality_filter.as_deref(), "NONE");
    let source = find(aws, call, input.source_image, asked, options).await?;
    let face = largest(&source, bar).map_err(fail)?;
    let wanted = descriptor(face).map_err(fail)?;
    let target = find(aws, call, input.target_image, asked, options).await?;
    let least = input.similarity_threshold.unwrap_or(THRESHOLD);
    let (mut matches, mut others) = (Vec::new(), Vec::new());
    for other in target
        .faces
        .iter()
        .filter(|face| bar.reasons(&target, face).is_empty())
    {
        let alike = percent(distance(&wanted, &descriptor(other).map_err(fail)?));
        match alike >= least {
            true => matches.push((alike, other)),
            false => others.push(other),
        }
    }
    matches.sort_by(|a, b| b.0.total_cmp(&a.0));
    let matched = |(alike, face): &(f32, &Face)| {
        Ok(json!({"Similarity": number(*alike)?, "Face": compared(&target, face)?}))
    };
    let matches: Result<Vec<Value>, Error> = matches.iter().map(matched).collect();
    let others: Result<Vec<Value>, Error> =
        others.iter().map(|face| compared(&target, face)).collect();
    Ok(json!({
        "SourceImageFace": {
            "BoundingBox": bounding_box(&source, &face.area).map_err(fail)?,
            "Confidence": number(face.score * 100.0).map_err(fail)?,
        },
        "FaceMatches": matches.map_err(fail)?,
        "UnmatchedFaces": others.map_err(fail)?,
    }))
}

/// The largest face of an image that passes the bar.
///
/// # Errors
/// `InvalidInput` when there is none, as AWS has it.
pub fn largest(found: &Faces, bar: Bar) -> Result<&Face, Error> {
    let mut faces = found.faces.iter();
    let first = faces.find(|face| bar.reasons(found, face).is_empty());
    first.ok_or_else(|| {
        Error::new(
            Kind::InvalidInput,
            "there are no faces in the image that it should be searched with",
        )
    })
}

/// The descriptor of a face that was asked for one.
///
/// # Errors
/// `Internal` when it has none.
pub fn descriptor(face: &Face) -> Result<Descriptor, Error> {
    let numbers = face.descriptor.as_deref().unwrap_or_default();
    numbers
        .try_into()
        .map_err(|_| Error::new(Kind::Internal, "a face has no descriptor"))
}

/// What is asked of a face's quality before it is used.
#[derive(Clone, Copy, PartialEq)]
pub struct Bar(f32);

impl Bar {
    /// The bar of a `QualityFilter`. Its steps are ours: AWS does not say its own.
    pub fn of(filter: Option<&str>, default: &str) -> Self {
        Self(match filter.unwrap_or(default) {
            "NONE" => 0.0,
            "LOW" => 0.5,
            "HIGH" => 2.0,
            _ => 1.0,
        })
    }

    /// What is wrong with a face, in AWS's words; nothing when it passes.
    pub fn reasons(self, found: &Faces, face: &Face) -> Vec<&'static str> {
        let Self(bar) = self;
        if bar == 0.0 {
            return Vec::new();
        }
        let side = face.area.width().min(face.area.height());
        let turned = face.pose.yaw.abs().max(face.pose.pitch.abs());
        let share = side / (found.width.min(found.height).max(1) as f32);
        let rules = [
            (
                side < 24.0 * bar || share < 0.01 * bar,
                "SMALL_BOUNDING_BOX",
            ),
            (turned > 75.0 - 10.0 * bar, "EXTREME_POSE"),
            (face.quality.brightness < 10.0 * bar, "LOW_BRIGHTNESS"),
            (face.quality.sharpness < 2.0 * bar, "LOW_SHARPNESS"),
            (face.score < 0.4 + 0.1 * bar, "LOW_CONFIDENCE"),
        ];
        let broken = rules.into_iter().filter(|(broken, _)| *broken);
        broken.map(|(_, reason)| reason).collect()
    }
}

/// `BoundingBox`: shares of the image.
///
/// # Errors
/// `Internal` when a number is none.
pub fn bounding_box(found: &Faces, area: &Area) -> Result<Value, Error> {
    place(shares(found, area))
}

/// Left, top, width and height as shares of the image.
pub fn shares(found: &Faces, area: &Area) -> [f32; 4] {
    let (width, height) = (found.width.max(1) as f32, found.height.max(1) as f32);
    [
        area.left / width,
        area.top / height,
        area.width() / width,
        area.height() / height,
    ]
}

/// `BoundingBox` of shares that are known.
///
/// # Errors
/// `Internal` when a number is none.
pub fn place([left, top, width, height]: [f32; 4]) -> Result<Value, Error> {
    Ok(json!({
        "Left": number(left)?,
        "Top": number(top)?,
        "Width": number(width)?,
        "Height": number(height)?,
    }))
}

/// Points, pose and quality, which every face has.
fn common(found: &Faces, face: &Face, points: usize) -> Result<Map<String, Value>, Error> {
    let (width, height) = (found.width.max(1) as f32, found.height.max(1) as f32);
    let point = |(name, point): (&str, escala_pipelines::vision::Point)| {
        Ok(json!({
            "Type": name,
            "X": number(point.x / width)?,
            "Y": number(point.y / height)?,
        }))
    };
    let named = face.landmarks.named().into_iter().take(points).map(point);
    let named: Result<Vec<Value>, Error> = named.collect();
    let mut members = Map::new();
    members.insert("BoundingBox".to_owned(), bounding_box(found, &face.area)?);
    members.insert("Confidence".to_owned(), json!(number(face.score * 100.0)?));
    members.insert("Landmarks".to_owned(), json!(named?));
    members.insert(
        "Pose".to_owned(),
        json!({
            "Roll": number(face.pose.roll)?,
            "Yaw": number(face.pose.yaw)?,
            "Pitch": number(face.pose.pitch)?,
        }),
    );
    members.insert(
        "Quality".to_owned(),
        json!({
            "Brightness": number(face.quality.brightness)?,
            "Sharpness": number(face.quality.sharpness)?,
        }),
    );
    Ok(members)
}

/// `ComparedFace`.
fn compared(found: &Faces, face: &Face) -> Result<Value, Error> {
    common(found, face, DEFAULT_NAMES).map(Value::Object)
}

/// `FaceDetail` with the attributes that were asked for.
///
/// # Errors
/// `Internal` when a number is none.
pub fn detail(found: &Faces, face: &Face, attributes: &Attributes) -> Result<Value, Error> {
    let points = match attributes.all() {
        true => usize::MAX,
        false => DEFAULT_NAMES,
    };
    let mut members = common(found, face, points)?;
    if let Some(gaze) = face.gaze.filter(|_| attributes.gaze()) {
        let direction = json!({"Yaw": number(gaze.yaw)?, "Pitch": number(gaze.pitch)?});
        members.insert("EyeDirection".to_owned(), direction);
    }
    let Some(looks) = &face.looks else {
        return Ok(Value::Object(members));
    };
    let judged = |share: f32| {
        let value = share >= 0.5;
        let confidence = if value { share } else { 1.0 - share };
        Ok::<Value, Error>(json!({"Value": value, "Confidence": number(confidence * 100.0)?}))
    };
    let mut add = |attribute: &str, member: &str, value: Value| {
        if attributes.has(attribute) {
            members.insert(member.to_owned(), value);
        }
    };
    let (low, high) = looks.age_gender.range();
    add("AGE_RANGE", "AgeRange", json!({"Low": low, "High": high}));
    let gender = match looks.age_gender.gender {
        Gender::Male => "Male",
        Gender::Female => "Female",
    };
    let confidence = number(looks.age_gender.gender_score * 100.0)?;
    add(
        "GENDER",
        "Gender",
        json!({"Value": gender, "Confidence": confidence}),
    );
    let emotion = |(emotion, share): &(Emotion, f32)| {
        Ok(json!({"Type": emotion.name(), "Confidence": number(share * 100.0)?}))
    };
    let emotions: Result<Vec<Value>, Error> = looks.emotions.iter().map(emotion).collect();
    add("EMOTIONS", "Emotions", json!(emotions?));
    add("EYES_OPEN", "EyesOpen", judged(looks.eyes_open)?);
    add("MOUTH_OPEN", "MouthOpen", judged(looks.mouth_open)?);
    let happy = looks
        .emotions
        .iter()
        .find(|(emotion, _)| *emotion == Emotion::Happy);
    add(
        "SMILE",
        "Smile",
        judged(happy.map_or(0.0, |(_, share)| *share))?,
    );
    Ok(Value::Object(members))
}
