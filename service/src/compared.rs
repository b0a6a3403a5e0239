//! The largest face of one image beside all faces of another.

use crate::app::{Predict, one};
use crate::gallery::faces::Bar;
use bytes::Bytes;
use escala_pipelines::faces::similarity::{distance, percent};
use escala_pipelines::faces::{Face, Faces, FacesInput, FacesOptions};
use escala_pipelines::render::{Layer, RenderInput, answers};
use escala_pipelines::{Error, Kind, Options, Result};

/// A face of the target.
#[derive(Clone, Debug, PartialEq)]
pub struct Alike {
    /// The face.
    pub face: Face,
    /// Euclidean distance of the descriptors.
    pub distance: f32,
    /// Percent.
    pub similarity: f32,
}

/// The answer for two images.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The face that was looked for.
    pub source: Face,
    /// Most alike first.
    pub faces: Vec<Alike>,
}

/// Which faces of the second image are told.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Least likeness, in percent.
    pub least: f32,
    /// What is asked of faces.
    pub bar: Bar,
}

impl Default for Terms {
    /// All.
    fn default() -> Self {
        Self {
            least: 0.0,
            bar: Bar::NONE,
        }
    }
}

/// Looks for the largest face of the first image in the second.
///
/// # Errors
/// Those of the images; `InvalidInput` when the first has no face.
pub async fn compare(
    faces: &dyn Predict<FacesInput, Faces>,
    images: &[Bytes; 2],
    terms: Terms,
    options: Options,
) -> Result<Compared> {
    let asked = |image: &Bytes| FacesInput {
        image: image.clone(),
        options: FacesOptions {
            descriptors: true,
            ..FacesOptions::default()
        },
    };
    let [source, target] = images;
    let (source, target) = tokio::join!(
        one(faces, asked(source), options),
        one(faces, asked(target), options)
    );
    let Terms { least, bar } = terms;
    let (source, target) = (source?, target?);
    let none = || Error::new(Kind::InvalidInput, "the source has no face");
    let fine = |face: &&Face| bar.reasons(&source, face).is_empty();
    let source = source.faces.iter().find(fine).cloned().ok_or_else(none)?;
    let descriptor = |face: &Face| face.descriptor.clone().unwrap_or_default();
    let wanted = descriptor(&source);
    let faces = target.faces.iter();
    let faces = faces.filter(|face| bar.reasons(&target, face).is_empty());
    let mut alike: Vec<Alike> = faces
        .cloned()
        .map(|face| {
            let distance = distance(&wanted, &descriptor(&face));
            Alike {
                face,
                distance,
                similarity: percent(distance),
            }
        })
        .filter(|alike| alike.similarity >= least)
        .collect();
    alike.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    Ok(Compared {
        source,
        faces: alike,
    })
}

impl Compared {
    /// The two images beside each other with the faces on them.
    pub fn picture(&self, [source, target]: [Bytes; 2]) -> RenderInput {
        let alike = self.faces.iter();
        let faces: Vec<_> = alike.map(|a| (a.face.clone(), a.similarity)).collect();
        let ([left, right], links) = answers::comparison(&self.source, &faces);
        RenderInput {
            layer: Layer {
                image: source,
                marks: left,
            },
            beside: Some((
                Layer {
                    image: target,
                    marks: right,
                },
                links,
            )),
        }
    }
}
