//! Classifiers of images.

use super::super::alone::{Answers, told, wanted};
use super::super::questions::{answers, images, refuse};
use escala_models::Compute;
use escala_pipelines::image::ImageLimits;
use escala_pipelines::image_classes::{ImageClassesPipeline, ImageClassesTask};
use escala_pipelines::task::{LoadContext, Pipeline, Task};
use escala_sagemaker::served::{About, Asked, Said, Unanswered};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

/// Images that the network sees at a time.
const AT_ONCE: usize = 8;
/// Classes that are told where nobody says how many.
const MOST: usize = 5;

/// One.
pub struct Pictures(ImageClassesPipeline);

impl Pictures {
    /// What is named.
    ///
    /// # Errors
    /// It is no classifier of images, or not there.
    pub fn load(
        reference: &str,
        limits: ImageLimits,
        context: &LoadContext<'_>,
    ) -> escala_pipelines::Result<Self> {
        let task = ImageClassesTask::new(reference, limits);
        task.load(context).map(Self)
    }
}

impl Answers for Pictures {
    fn about(&self) -> About {
        About::Images
    }

    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let asked_about = images(asked)?;
        let most = match asked_about.parameters.get("top_k") {
            None | Some(Value::Null) => MOST,
            Some(most) => match most.as_u64() {
                Some(most) if most > 0 => usize::try_from(most).unwrap_or(usize::MAX),
                _ => return Err(refuse(400, "parameters.top_k is a whole number above 0")),
            },
        };
        let mut rows = Vec::with_capacity(asked_about.items.len());
        for some in asked_about.items.chunks(AT_ONCE) {
            wanted(asked)?;
            for found in self.0.run(compute, some) {
                let found = found.map_err(|error| told(&error))?;
                let classes = found.iter().take(most);
                let classes = classes.map(|one| json!({"label": &*one.name, "score": one.score}));
                let row = to_raw_value(&classes.collect::<Vec<_>>());
                rows.push(row.map_err(|error| refuse(500, error.to_string()))?);
            }
        }
        answers(asked_about.answered(), asked.accept.as_deref(), &rows)
    }

    fn memory(&self) -> u64 {
        self.0.memory()
    }
}
