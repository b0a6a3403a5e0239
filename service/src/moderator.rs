//! Moderation with everything that can be seen: the two networks that know explicit pictures, and the labels and objects
//! that a moderator cares about too (swimwear, weapons, alcohol).
//!
//! Where one of them cannot be had, there is no answer: a picture that nobody looked at for weapons is not one without.

use crate::app::{Answers, Predict, one};
use escala_pipelines::labels::{Labels, LabelsInput, LabelsOptions};
use escala_pipelines::moderation::{Moderated, ModerationInput, Opinions, Sight};
use escala_pipelines::objects::{Objects, ObjectsInput};
use escala_pipelines::{Options, Result};
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
        let (opinions, labels, objects) = tokio::try_join!(
            one(&*self.opinions, input, options),
            one(&*self.labels, labels, options),
            one(&*self.objects, objects, options),
        )?;
        let labels = labels.labels.into_iter().map(|label| Sight {
            name: label.name,
            percent: label.confidence,
        });
        let objects = objects.objects.into_iter().map(|object| Sight {
            name: object.name,
            percent: object.confidence,
        });
        Ok(Moderated {
            opinions,
            seen: labels.chain(objects).collect(),
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use escala_pipelines::labels::Label;
    use escala_pipelines::{Error, Kind};

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
            known: Arc::default(),
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
        for kind in [Kind::Unavailable, Kind::Deadline, Kind::InvalidInput] {
            let missing = Err(Error::new(kind, "why"));
            let failed = names(moderator(missing)).await.expect_err("fails");
            assert_eq!(failed.kind(), kind);
        }
    }
}
