//! Moderation with everything that can be seen: the two networks that know explicit pictures, and the labels and objects
//! that a moderator cares about too (swimwear, weapons, alcohol).
//!
//! Where the networks for labels or objects cannot be had, or not in half of the request's time, the first two answer
//! alone, and the log says so.

use crate::app::{Answers, Predict, one};
use crate::located::sooner;
use escala_pipelines::labels::{Labels, LabelsInput, LabelsOptions};
use escala_pipelines::moderation::{Moderated, ModerationInput, Opinions, Sight};
use escala_pipelines::objects::{Objects, ObjectsInput};
use escala_pipelines::{Kind, Options, Result};
use futures_util::future::join_all;
use std::sync::Arc;

/// Least confidence of what is seen, in percent: a request's own bound comes after.
const LEAST: f32 = 1.0;
/// Most objects that are looked at.
const MOST: usize = 200;

/// What is asked about each image.
pub struct Moderator {
    /// The two networks that know explicit pictures.
    pub opinions: Arc<dyn Predict<ModerationInput, Opinions>>,
    /// Labels.
    pub labels: Arc<dyn Predict<LabelsInput, Labels>>,
    /// Things with a place.
    pub objects: Arc<dyn Predict<ObjectsInput, Objects>>,
}

impl Moderator {
    async fn moderate(&self, input: ModerationInput, options: Options) -> Result<Moderated> {
        let labels = LabelsInput {
            image: input.image.clone(),
            options: LabelsOptions {
                max_labels: usize::MAX,
                min_confidence: LEAST,
                ..LabelsOptions::default()
            },
        };
        let objects = ObjectsInput {
            image: input.image.clone(),
            min_confidence: LEAST,
            most: MOST,
        };
        let (opinions, labels, objects) = tokio::join!(
            one(&*self.opinions, input, options),
            one(&*self.labels, labels, sooner(options)),
            one(&*self.objects, objects, sooner(options)),
        );
        let opinions = opinions?;
        let mut seen = Vec::new();
        if let Some(found) = if_there(labels)? {
            seen.extend(found.labels.into_iter().map(|label| Sight {
                name: label.name,
                percent: label.confidence,
            }));
        }
        if let Some(found) = if_there(objects)? {
            seen.extend(found.objects.into_iter().map(|object| Sight {
                name: object.name,
                percent: object.confidence,
            }));
        }
        Ok(Moderated { opinions, seen })
    }
}

impl Predict<ModerationInput, Moderated> for Moderator {
    fn predict_many(
        &self,
        inputs: Vec<ModerationInput>,
        options: Options,
    ) -> Answers<'_, Moderated> {
        let each = inputs.into_iter();
        Box::pin(join_all(
            each.map(move |input| self.moderate(input, options)),
        ))
    }
}

/// An answer that may be missing.
fn if_there<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Deadline) => {
            tracing::warn!(%error, "moderation without all of its networks");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use escala_pipelines::Error;
    use escala_pipelines::labels::Label;

    /// Answers every input with the same.
    struct Always<O>(Result<O>);

    impl<I: Send + 'static, O: Clone + Send + Sync> Predict<I, O> for Always<O> {
        fn predict_many(&self, inputs: Vec<I>, _: Options) -> Answers<'_, O> {
            let answers = inputs.iter().map(|_| self.0.clone()).collect();
            Box::pin(std::future::ready(answers))
        }
    }

    fn moderator(labels: Result<Labels>) -> Moderator {
        let none = Objects {
            width: 1,
            height: 1,
            objects: Vec::new(),
        };
        Moderator {
            opinions: Arc::new(Always(Ok(Opinions {
                neutral: 1.0,
                ..Opinions::default()
            }))),
            labels: Arc::new(Always(labels)),
            objects: Arc::new(Always(Ok(none))),
        }
    }

    async fn names(moderator: Moderator) -> Result<Vec<&'static str>> {
        let image = Bytes::from_static(b"an image").into();
        let found = one(&moderator, ModerationInput { image }, Options::default()).await?;
        Ok(found.labels(50.0).iter().map(|label| label.name).collect())
    }

    #[tokio::test]
    async fn what_labels_show_is_moderated_too() {
        let rifle = Label {
            name: "Firearm".into(),
            confidence: 90.0,
            parents: Vec::new(),
            categories: Vec::new(),
            aliases: Vec::new(),
        };
        let labels = Labels {
            labels: vec![rifle],
            properties: None,
            model_version: "1".into(),
        };
        assert_eq!(
            names(moderator(Ok(labels))).await.expect("found"),
            ["Violence", "Weapons"]
        );
        let missing = Err(Error::new(Kind::Unavailable, "no weights"));
        assert_eq!(names(moderator(missing)).await.expect("fewer"), [""; 0]);
        let broken = Err(Error::new(Kind::InvalidInput, "no image"));
        assert_eq!(
            names(moderator(broken)).await.expect_err("fails").kind(),
            Kind::InvalidInput
        );
    }
}
