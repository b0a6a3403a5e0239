//! Labels with the places of the things they name: one question to two tasks, asked alike behind every door.
//!
//! The classifier names what an image shows, the detector knows where eighty kinds of things are, and
//! [`join`] makes one answer of both. Where the detector's weights cannot be had, or not in half of the time, labels are
//! answered without places, and the log says so.

use crate::app::{Predict, one};
use escala_pipelines::image::properties::ImageProperties;
use escala_pipelines::labels::{LabelFilters, Labels, LabelsInput, LabelsOptions};
use escala_pipelines::objects::join::{Instance, Located, join};
use escala_pipelines::objects::{Objects, ObjectsInput};
use escala_pipelines::{Kind, Options, Priority, Result};
use std::time::Instant;

/// Least confidence of an object that is joined with labels, in percent, unless a request asks for less sure ones.
const LEAST_OBJECT: f32 = 30.0;
/// Most objects that are joined with labels.
const MOST_OBJECTS: usize = 200;

/// The answer for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct LocatedLabels {
    /// Columns and rows of the image; not known where the detector did not answer.
    pub size: Option<(u32, u32)>,
    /// Best first; empty when labels were not asked for. Places are in pixels inside the image, and there are none
    /// without a size.
    pub labels: Vec<Located>,
    /// Present when asked for.
    pub properties: Option<ImageProperties>,
    /// Version of the model and taxonomy that answered.
    pub model_version: String,
}

impl From<Labels> for LocatedLabels {
    fn from(answer: Labels) -> Self {
        let bare = |label| Located {
            label,
            instances: Vec::new(),
        };
        Self {
            size: None,
            labels: answer.labels.into_iter().map(bare).collect(),
            properties: answer.properties,
            model_version: answer.model_version,
        }
    }
}

/// Asks about the labels of an image, and the detector too where there is one and labels are wanted.
///
/// # Errors
/// The classifier's; the detector's where they are about the image or the queue.
pub async fn located(
    labels: &dyn Predict<LabelsInput, Labels>,
    objects: Option<&dyn Predict<ObjectsInput, Objects>>,
    input: LabelsInput,
    options: Options,
) -> Result<LocatedLabels> {
    let Some(objects) = objects.filter(|_| input.options.general_labels) else {
        return one(labels, input, options).await.map(LocatedLabels::from);
    };
    let asked = input.options;
    let everything = LabelsInput {
        image: input.image.clone(),
        options: LabelsOptions {
            max_labels: usize::MAX,
            min_confidence: 0.0,
            filters: LabelFilters::default(),
            ..asked.clone()
        },
    };
    let sought = ObjectsInput {
        image: input.image,
        min_confidence: asked.min_confidence.min(LEAST_OBJECT),
        most: MOST_OBJECTS,
    };
    // A job asks again; what it keeps lacks nothing.
    let may_lack = options.priority == Priority::Interactive;
    let patience = if may_lack { sooner(options) } else { options };
    let (answer, found) = tokio::join!(
        one(labels, everything, options),
        one(objects, sought, patience)
    );
    let answer = answer?;
    let found = match found {
        Ok(found) => Some(found),
        Err(error) if may_lack && matches!(error.kind(), Kind::Unavailable | Kind::Deadline) => {
            tracing::warn!(%error, "labels without instances");
            None
        }
        Err(error) => return Err(error),
    };
    let size = found.as_ref().map(|found| (found.width, found.height));
    let objects = found.map_or_else(Vec::new, |found| found.objects);
    let mut labels = join(&answer.labels, &objects, &asked);
    if let Some((width, height)) = size {
        let inside = |instance: &mut Instance| instance.area = instance.area.within(width, height);
        let instances = labels.iter_mut().flat_map(|located| &mut located.instances);
        instances.for_each(inside);
    }
    Ok(LocatedLabels {
        size,
        labels,
        properties: answer.properties,
        model_version: answer.model_version,
    })
}

/// Half of the time that is left, so that labels are still answered when the detector's weights take long to come.
fn sooner(options: Options) -> Options {
    let now = Instant::now();
    let half = |deadline: Instant| now + deadline.saturating_duration_since(now) / 2;
    Options {
        deadline: options.deadline.map(half),
        ..options
    }
}
