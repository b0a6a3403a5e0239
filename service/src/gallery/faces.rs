//! Which of an image's faces are good enough for what is asked, and what collections keep of a face.

use escala_collections::{Descriptor, NewFace};
use escala_pipelines::faces::{Face, Faces};
use escala_pipelines::vision::Area;
use escala_pipelines::{Error, Kind, Result};

/// Likeness that counts as the same person when nobody says otherwise, in percent.
pub const THRESHOLD: f32 = 80.0;

/// What is asked of a face's quality before it is used: the `QualityFilter` of Rekognition. Its steps are ours: AWS does
/// not say its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar(f32);

impl Bar {
    /// Nothing is asked.
    pub const NONE: Self = Self(0.0);
    /// What is asked of faces that are to be indexed, unless another bar is named.
    pub const AUTO: Self = Self(1.0);

    /// Names of bars.
    pub const NAMES: [&str; 5] = ["NONE", "AUTO", "LOW", "MEDIUM", "HIGH"];

    /// The bar of one of [`Bar::NAMES`].
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "NONE" => Self::NONE,
            "LOW" => Self(0.5),
            "AUTO" | "MEDIUM" => Self::AUTO,
            "HIGH" => Self(2.0),
            _ => return None,
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

/// The place, among an image's faces, of the largest one that passes the bar.
///
/// # Errors
/// `InvalidInput` when there is none, as AWS has it.
pub fn largest(found: &Faces, bar: Bar) -> Result<usize> {
    let mut faces = found.faces.iter();
    let first = faces.position(|face| bar.reasons(found, face).is_empty());
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
pub fn descriptor(face: &Face) -> Result<Descriptor> {
    let numbers = face.descriptor.as_deref().unwrap_or_default();
    numbers
        .try_into()
        .map_err(|_| Error::new(Kind::Internal, "a face has no descriptor"))
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

/// What a collection keeps of a face.
///
/// # Errors
/// `Internal` when it has no descriptor.
pub fn kept(found: &Faces, face: &Face) -> Result<NewFace> {
    Ok(NewFace {
        place: shares(found, &face.area),
        confidence: face.confidence * 100.0,
        descriptor: descriptor(face)?,
    })
}
