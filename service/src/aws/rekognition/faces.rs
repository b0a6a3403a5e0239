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
use crate::gallery::faces::{Bar, THRESHOLD, descriptor, largest, shares};
use escala_pipelines::faces::landmarks::DEFAULT_NAMES;
use escala_pipelines::faces::looks::{Emotion, Gender};
use escala_pipelines::faces::similarity::{distance, percent};
use escala_pipelines::faces::{Face, Faces, FacesInput, FacesOptions, Looks};
use escala_pipelines::vision::Area;
use escala_pipelines::{Error, Options};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Most faces of an answer.
const MOST: usize = 100;

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
        image: image.encoded(aws, call, options).await?,
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
    let bar = bar(input.quality_filter.as_deref(), Bar::NONE);
    let source = find(aws, call, input.source_image, asked, options).await?;
    let face = &source.faces[largest(&source, bar).map_err(fail)?];
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
            "Confidence": number(face.confidence * 100.0).map_err(fail)?,
        },
        "FaceMatches": matches.map_err(fail)?,
        "UnmatchedFaces": others.map_err(fail)?,
    }))
}

/// The bar of a `QualityFilter`; the service model knows its names.
pub fn bar(filter: Option<&str>, default: Bar) -> Bar {
    filter.and_then(Bar::named).unwrap_or(default)
}

/// `BoundingBox`: shares of the image.
///
/// # Errors
/// `Internal` when a number is none.
pub fn bounding_box(found: &Faces, area: &Area) -> Result<Value, Error> {
    place(shares(found, area))
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
    members.insert(
        "Confidence".to_owned(),
        json!(number(face.confidence * 100.0)?),
    );
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

/// `ComparedFace`; with emotions and smile where they were asked for.
///
/// # Errors
/// `Internal` when a number is none.
pub fn compared(found: &Faces, face: &Face) -> Result<Value, Error> {
    let mut members = common(found, face, DEFAULT_NAMES)?;
    if let Some(looks) = &face.looks {
        members.insert("Emotions".to_owned(), emotions(looks)?);
        members.insert("Smile".to_owned(), judged(looks.smile())?);
    }
    Ok(Value::Object(members))
}

/// `Emotions`, likeliest first.
fn emotions(looks: &Looks) -> Result<Value, Error> {
    let emotion = |(emotion, share): &(Emotion, f32)| {
        Ok(json!({"Type": emotion.name(), "Confidence": number(share * 100.0)?}))
    };
    let emotions: Result<Vec<Value>, Error> = looks.emotions.iter().map(emotion).collect();
    Ok(json!(emotions?))
}

/// Whether something holds, by its share.
fn judged(share: f32) -> Result<Value, Error> {
    let value = share >= 0.5;
    let confidence = if value { share } else { 1.0 - share };
    Ok(json!({"Value": value, "Confidence": number(confidence * 100.0)?}))
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
    add("EMOTIONS", "Emotions", emotions(looks)?);
    add("EYES_OPEN", "EyesOpen", judged(looks.eyes_open)?);
    add("MOUTH_OPEN", "MouthOpen", judged(looks.mouth_open)?);
    add("SMILE", "Smile", judged(looks.smile())?);
    Ok(Value::Object(members))
}
