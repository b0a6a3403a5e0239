//! Predictions about texts of any length: long ones are asked about in windows, and the answers put together.
//!
//! The engine sees items of bounded size, so that a long text neither holds a lane for long nor takes much
//! memory while it is read, and its windows are shared out among lanes and threads. All doors ask through
//! here: a text has one answer, whichever door it comes through. `escala_pipelines::windows` says where a
//! text is cut.

use crate::app::{Answers, Predict};
use escala_pipelines::pii::{Pii, PiiInput};
use escala_pipelines::syntax::{Syntax, SyntaxInput};
use escala_pipelines::windows::{Joined, Part, READING, Windowed, cut};
use escala_pipelines::{Error, Kind, Options, Result};
use std::sync::Arc;

/// Windows of a request that stand in the engine's queue at a time: enough to keep its threads busy, and few enough that
/// those who come later do not wait for a whole long text.
const AT_ONCE: usize = 4;

/// A prediction whose long texts are cut into windows of at most so many bytes.
pub struct InWindows<P> {
    inner: P,
    most: usize,
}

impl<P> InWindows<P> {
    /// The prediction, asked about at most `most` bytes at a time.
    pub fn new(inner: P, most: usize) -> Self {
        Self { inner, most }
    }
}

impl<I, O, P> Predict<I, O> for InWindows<P>
where
    I: Windowed + Send + 'static,
    O: Joined + Send + 'static,
    P: Predict<I, O>,
{
    fn predict_many(&self, inputs: Vec<I>, options: Options) -> Answers<'_, O> {
        if inputs.iter().all(|input| input.text().len() <= self.most) {
            return self.inner.predict_many(inputs, options);
        }
        let mut windows = Vec::new();
        let mut texts: Vec<Vec<Part>> = Vec::with_capacity(inputs.len());
        for input in inputs {
            let parts = cut(input.text(), self.most);
            if parts.len() == 1 {
                windows.push(input);
            } else {
                let part = |part: &Part| input.part(&input.text()[part.bytes.clone()]);
                windows.extend(parts.iter().map(part));
            }
            texts.push(parts);
        }
        Box::pin(async move {
            let mut answers = Vec::with_capacity(windows.len());
            let mut windows = windows.into_iter().peekable();
            while windows.peek().is_some() {
                // Short texts among the long ones take their share of the bytes, not of the number.
                let (mut some, mut bytes) = (Vec::new(), 0);
                while let Some(window) = windows.next_if(|window| {
                    some.is_empty() || bytes + window.text().len() <= AT_ONCE * self.most
                }) {
                    bytes += window.text().len();
                    some.push(window);
                }
                answers.extend(self.inner.predict_many(some, options).await);
            }
            let mut answers = answers.into_iter();
            let whole = |mut parts: Vec<Part>| {
                let mine: Vec<Result<O>> = answers.by_ref().take(parts.len()).collect();
                if mine.len() < parts.len() {
                    return Err(unanswered());
                }
                let mut mine = mine.into_iter();
                if parts.len() == 1 {
                    return mine.next().unwrap_or_else(|| Err(unanswered()));
                }
                let pairs = parts.drain(..).zip(mine);
                let pairs: Result<Vec<(Part, O)>> = pairs
                    .map(|(part, answer)| answer.map(|answer| (part, answer)))
                    .collect();
                pairs.map(O::join)
            };
            texts.into_iter().map(whole).collect()
        })
    }

    fn reads_long_texts(&self) -> bool {
        true
    }
}

/// Personal data in texts of any length: the model reads a long text in windows, the rules see it whole, so that
/// no number and no word beside it is lost between two windows. Texts in languages whose model may be absent are
/// read here where it is there, and else searched by the rules alone.
pub struct PersonalData<P> {
    inner: P,
    syntax: Arc<dyn Predict<SyntaxInput, Syntax>>,
}

impl<P> PersonalData<P> {
    /// The prediction, with readings of long texts made by `syntax`.
    pub fn new(inner: P, syntax: Arc<dyn Predict<SyntaxInput, Syntax>>) -> Self {
        Self { inner, syntax }
    }
}

impl<P: Predict<PiiInput, Pii>> Predict<PiiInput, Pii> for PersonalData<P> {
    fn predict_many(&self, inputs: Vec<PiiInput>, options: Options) -> Answers<'_, Pii> {
        let read = |input: &PiiInput| {
            input.may_be_read() || (input.needs_reading() && input.text().len() > READING)
        };
        if !inputs.iter().any(read) {
            return self.inner.predict_many(inputs, options);
        }
        Box::pin(async move {
            let texts = inputs.iter().filter(|input| read(input));
            let texts = texts.map(PiiInput::to_read).collect();
            let mut readings = self.syntax.predict_many(texts, options).await.into_iter();
            // What has no reading keeps its place with the error.
            let mut failed: Vec<Option<Error>> = Vec::with_capacity(inputs.len());
            let mut asked = Vec::with_capacity(inputs.len());
            for input in inputs {
                if !read(&input) {
                    asked.push(input);
                    failed.push(None);
                    continue;
                }
                match readings.next().unwrap_or_else(|| Err(unanswered())) {
                    Ok(reading) => {
                        asked.push(input.read(Arc::new(reading)));
                        failed.push(None);
                    }
                    // Nobody gave consent to the model's licence.
                    Err(error) if input.may_be_read() && error.kind() == Kind::Unsupported => {
                        asked.push(input);
                        failed.push(None);
                    }
                    Err(error) => failed.push(Some(error)),
                }
            }
            let mut answers = match asked.is_empty() {
                true => Vec::new(),
                false => self.inner.predict_many(asked, options).await,
            }
            .into_iter();
            let answer = |failed: Option<Error>| match failed {
                Some(error) => Err(error),
                None => answers.next().unwrap_or_else(|| Err(unanswered())),
            };
            failed.into_iter().map(answer).collect()
        })
    }

    fn reads_long_texts(&self) -> bool {
        true
    }
}

fn unanswered() -> Error {
    Error::new(
        Kind::Internal,
        "the engine answered fewer items than it was given",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use escala_pipelines::offsets::Offsets;
    use escala_pipelines::pii;
    use escala_pipelines::syntax::{Entity, EntityType};
    use escala_pipelines::toxicity::{ToxicKind, Toxicity};

    /// Reads every capitalised word as a place, fails where it finds a `!`, and notes what it was asked.
    #[derive(Default)]
    struct Capitals(parking_lot::Mutex<Vec<(usize, Box<str>)>>);

    fn reading(text: &str) -> Result<Syntax> {
        if text.contains('!') {
            return Err(Error::new(Kind::InvalidInput, "an exclamation"));
        }
        let offsets = Offsets::new(text);
        let mut syntax = Syntax::default();
        for (at, _) in text.match_indices(char::is_uppercase) {
            let end = text[at..].find(' ').map_or(text.len(), |end| at + end);
            syntax.entities.push(Entity {
                extent: offsets.extent(at..end)?,
                kind: EntityType::Location,
                label: "GPE".into(),
                score: 0.5,
            });
        }
        Ok(syntax)
    }

    impl Predict<SyntaxInput, Syntax> for Capitals {
        fn predict_many(&self, inputs: Vec<SyntaxInput>, _: Options) -> Answers<'_, Syntax> {
            let asked = inputs.iter();
            let asked = asked.map(|input| (input.text.len(), input.language.clone()));
            self.0.lock().extend(asked);
            Box::pin(async move { inputs.iter().map(|input| reading(&input.text)).collect() })
        }
    }

    struct Rules;

    impl Predict<PiiInput, Pii> for Rules {
        fn predict_many(&self, inputs: Vec<PiiInput>, _: Options) -> Answers<'_, Pii> {
            let one = |input: &PiiInput| {
                assert!(input.text().len() <= READING || !input.needs_reading());
                pii::detect(input.text(), None)
            };
            Box::pin(async move { inputs.iter().map(one).collect() })
        }
    }

    #[tokio::test]
    async fn a_long_text_is_answered_as_if_it_were_read_at_once() {
        let inner = InWindows::new(Capitals::default(), 50);
        let long: Arc<str> = "in Köln and 👩🏽‍🚀 Paris, then שלום Oslo. ".repeat(40).into();
        let texts = [("from Rome".into(), "en"), (long, "es"), ("".into(), "en")];
        let texts = texts.map(|(text, language)| SyntaxInput::new(text, language));
        let inputs = Vec::from(texts.clone());
        let answers = inner.predict_many(inputs, Options::default()).await;
        for (input, answer) in texts.iter().zip(&answers) {
            let whole = reading(&input.text).expect("no exclamation");
            assert_eq!(answer.as_ref().expect("answered").entities, whole.entities);
        }
        let asked = inner.inner.0.lock();
        assert!(asked.len() > 40 && asked.iter().all(|(bytes, _)| *bytes <= 50));
        let spanish = asked.iter().filter(|(_, language)| &**language == "es");
        assert_eq!(spanish.count(), asked.len() - 2, "all windows of one text");
    }

    #[tokio::test]
    async fn one_failed_window_fails_its_text_and_no_other() {
        let inner = InWindows::new(Capitals::default(), 20);
        let bad: Arc<str> = format!("{}! {}", "a b c ".repeat(20), "d ".repeat(20)).into();
        let good: Arc<str> = "Oslo and Rome are far away from here".into();
        let inputs = [good.clone(), bad, good].map(|text| SyntaxInput::new(text, "en"));
        let inputs = Vec::from(inputs);
        let answers = inner.predict_many(inputs, Options::default()).await;
        let kinds: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(kinds, [true, false, true]);
        assert_eq!(answers[0].as_ref().map(|s| s.entities.len()).ok(), Some(2));
    }

    #[tokio::test]
    async fn rules_see_long_texts_whole() {
        let syntax = Arc::new(InWindows::new(Capitals::default(), 100));
        let personal = PersonalData::new(Rules, syntax.clone());
        // Numbers at every distance from the seams.
        let text = "so it was, 4111 1111 1111 1111 ".repeat(2000);
        let inputs = vec![
            PiiInput::new("a@example.com".into(), "en"),
            PiiInput::new(text.as_str().into(), "en"),
            PiiInput::new(format!("{}!", "x".repeat(READING)).into(), "en"),
            PiiInput::new(text.as_str().into(), "es"),
        ];
        let answers = personal.predict_many(inputs, Options::default()).await;
        let counts: Vec<Option<usize>> = answers
            .iter()
            .map(|answer| answer.as_ref().ok().map(Vec::len))
            .collect();
        assert_eq!(counts, [Some(1), Some(2000), None, Some(2000)]);
        let asked = syntax.inner.0.lock();
        for language in ["en", "es"] {
            let asked = asked.iter().filter(|(_, asked)| &**asked == language);
            let read: usize = asked.map(|(bytes, _)| bytes).sum();
            assert!(
                read >= text.len() && read < 2 * text.len(),
                "read once: {read}"
            );
        }
    }

    /// Scores a text by its exclamation marks.
    struct Marks;

    impl Predict<Arc<str>, Toxicity> for Marks {
        fn predict_many(&self, inputs: Vec<Arc<str>>, _: Options) -> Answers<'_, Toxicity> {
            let one = |text: Arc<str>| {
                assert!(text.len() <= 30);
                let score = text.matches('!').count() as f32 / 10.0;
                Ok(Toxicity {
                    toxicity: score,
                    labels: ToxicKind::ALL.map(|kind| (kind, score / 2.0)).into(),
                })
            };
            Box::pin(async move { inputs.into_iter().map(one).collect() })
        }
    }

    #[tokio::test]
    async fn a_long_text_is_as_toxic_as_its_worst_window() {
        let text = format!(
            "{}Go!!! Away! {}",
            "Calm words. ".repeat(30),
            "And calm. ".repeat(30)
        );
        let toxicity = InWindows::new(Marks, 30);
        let inputs = vec![text.as_str().into(), "Hey!".into()];
        let answers = toxicity.predict_many(inputs, Options::default()).await;
        let scores: Vec<f32> = answers
            .iter()
            .flatten()
            .map(|answer| answer.toxicity)
            .collect();
        assert_eq!(scores.len(), 2);
        assert!(
            (0.3..=0.4).contains(&scores[0]) && scores[1] == 0.1,
            "{scores:?}"
        );
        let labels = answers.iter().flatten().flat_map(|answer| &answer.labels);
        let half = |&(_, score): &(ToxicKind, f32)| [scores[0] / 2.0, 0.05].contains(&score);
        let all = 2 * ToxicKind::ALL.len();
        assert_eq!(labels.filter(|label| half(label)).count(), all);
    }

    /// Says of every text that it was read, or not.
    struct Noted;

    impl Predict<PiiInput, Pii> for Noted {
        fn predict_many(&self, inputs: Vec<PiiInput>, _: Options) -> Answers<'_, Pii> {
            let one = |input: &PiiInput| match input.may_be_read() || input.needs_reading() {
                true => Ok(Vec::new()),
                false => pii::detect("a@example.com", None),
            };
            Box::pin(async move { inputs.iter().map(one).collect() })
        }
    }

    /// Reads nothing, for a reason.
    struct Refuses(Kind);

    impl Predict<SyntaxInput, Syntax> for Refuses {
        fn predict_many(&self, inputs: Vec<SyntaxInput>, _: Options) -> Answers<'_, Syntax> {
            let error = Error::new(self.0, "no reading");
            let answers = inputs.iter().map(|_| Err(error.clone())).collect();
            Box::pin(std::future::ready(answers))
        }
    }

    #[tokio::test]
    async fn a_model_that_may_be_absent_is_used_where_it_is_there() {
        let inputs = || {
            let texts = [("Ana", "es"), ("Ann", "en"), ("¡Ana!", "es")];
            let texts = texts.map(|(text, language)| PiiInput::new(text.into(), language));
            Vec::from(texts)
        };
        let found = |answers: Vec<Result<Pii>>| -> Vec<Option<usize>> {
            let counts = answers.into_iter();
            counts
                .map(|answer| answer.ok().map(|found| found.len()))
                .collect()
        };
        let present = PersonalData::new(Noted, Arc::new(Capitals::default()));
        let answers = present.predict_many(inputs(), Options::default()).await;
        // The last fails to be read; the short English one is read by the task itself.
        assert_eq!(found(answers), [Some(1), Some(0), None]);
        let absent = PersonalData::new(Noted, Arc::new(Refuses(Kind::Unsupported)));
        let answers = absent.predict_many(inputs(), Options::default()).await;
        assert_eq!(found(answers), [Some(0), Some(0), Some(0)]);
        let busy = PersonalData::new(Noted, Arc::new(Refuses(Kind::Unavailable)));
        let answers = busy.predict_many(inputs(), Options::default()).await;
        assert_eq!(found(answers), [None, Some(0), None]);
    }
}
