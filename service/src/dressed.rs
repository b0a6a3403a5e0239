//! People with what they wear for protection: one question to two tasks, asked alike behind every door.
//!
//! The networks that are built in know people and the parts of their bodies. Covers are known where the operator names a
//! detector of them for the task `covers`, as far as its labels name them.

use crate::app::{Answers, Predict, one};
use escala_pipelines::bodies::{Bodies, BodiesInput, covers};
use escala_pipelines::objects::{Objects, ObjectsInput};
use escala_pipelines::{Options, Result};
use futures_util::future::join_all;
use std::sync::{Arc, Once};

/// Most covers that are looked for in an image.
const MOST_COVERS: usize = 200;

/// What is asked about each image.
pub struct Dressed {
    /// People and the parts of their bodies.
    pub bodies: Arc<dyn Predict<BodiesInput, Bodies>>,
    /// Covers, where somebody brought a detector of them.
    pub covers: Option<Arc<dyn Predict<ObjectsInput, Objects>>>,
}

impl Dressed {
    async fn ask(&self, input: BodiesInput, options: Options) -> Result<Bodies> {
        let Some(covers) = &self.covers else {
            return one(&*self.bodies, input, options).await;
        };
        let sought = ObjectsInput {
            image: input.image.clone().into(),
            min_confidence: 0.0,
            most: MOST_COVERS,
        };
        let (found, covers) = tokio::try_join!(
            one(&*self.bodies, input, options),
            one(&**covers, sought, options)
        )?;
        let dressed = covers::dress(found, &covers);
        if dressed.sought.is_empty() {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                tracing::warn!(
                    "none of the labels of the detector named for `covers` is protective equipment"
                );
            });
        }
        Ok(dressed)
    }
}

impl Predict<BodiesInput, Bodies> for Dressed {
    fn predict_many(&self, inputs: Vec<BodiesInput>, options: Options) -> Answers<'_, Bodies> {
        let each = inputs.into_iter();
        Box::pin(join_all(each.map(move |input| self.ask(input, options))))
    }
}
