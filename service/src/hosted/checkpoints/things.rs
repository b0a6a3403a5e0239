//! Detectors of objects in images.

use super::super::alone::{Answers, told, wanted};
use super::super::questions::{answers, images, refuse};
use escala_models::Compute;
use escala_pipelines::image::ImageLimits;
use escala_pipelines::objects::plain::{PlainObject, PlainObjects};
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{About, Asked, Said, Unanswered};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

/// Images that are decoded at a time.
const AT_ONCE: usize = 8;
/// Least score where nobody says one, as transformers' pipeline has it.
const LEAST: f64 = 0.5;

/// One.
pub struct Things(PlainObjects);

impl Things {
    /// What is named.
    ///
    /// # Errors
    /// It is no detector, or not there.
    pub fn load(
        reference: &str,
        limits: ImageLimits,
        context: &LoadContext<'_>,
    ) -> escala_pipelines::Result<Self> {
        PlainObjects::load(reference, limits, context).map(Self)
    }
}

fn thing(found: &PlainObject) -> Value {
    // Whole pixels, cut off as the reference does.
    let pixel = |edge: f32| edge as i64;
    let area = &found.area;
    json!({
        "score": found.score,
        "label": &*found.name,
        "box": {
            "xmin": pixel(area.left),
            "ymin": pixel(area.top),
            "xmax": pixel(area.right),
            "ymax": pixel(area.bottom),
        },
    })
}

impl Answers for Things {
    fn about(&self) -> About {
        About::Images
    }

    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let asked_about = images(asked)?;
        let least = match asked_about.parameters.get("threshold") {
            None | Some(Value::Null) => LEAST,
            Some(least) => match least.as_f64() {
                Some(least) if (0.0..=1.0).contains(&least) => least,
                _ => {
                    return Err(refuse(400, "parameters.threshold is a number from 0 to 1"));
                }
            },
        };
        let mut rows = Vec::with_capacity(asked_about.items.len());
        for some in asked_about.items.chunks(AT_ONCE) {
            wanted(asked)?;
            for found in self.0.find(compute, some, least as f32) {
                let found = found.map_err(|error| told(&error))?;
                let row = to_raw_value(&found.iter().map(thing).collect::<Vec<_>>());
                rows.push(row.map_err(|error| refuse(500, error.to_string()))?);
            }
        }
        answers(asked_about.answered(), asked.accept.as_deref(), &rows)
    }

    fn memory(&self) -> u64 {
        self.0.memory()
    }
}
