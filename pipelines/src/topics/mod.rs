//! Topics of a collection of texts: what `StartTopicsDetectionJob` finds.
//!
//! A [`Collection`] is read twice: its vocabulary is counted ([`vocabulary`]), then topics are learnt of its words
//! ([`escala_models::lda`]). Where its words do not fit in memory, it is read once for every turn of learning. What is found
//! ([`Found`]) names each topic's words, and says of any text what it is about. The same texts in the same order give the same topics.

mod vocabulary;
mod words;

use escala_models::lda::{Lda, Options};
use std::ops::ControlFlow;
use vocabulary::Survey;
pub use vocabulary::Vocabulary;

/// Words of a topic that are named.
pub const TERMS: usize = 10;
/// Documents that are learnt at a time: fewest and most.
const BATCH: (usize, usize) = (16, 256);
/// Batches of a turn in a small collection. What is learnt moves with each batch, however few documents there are.
const STEPS: u64 = 64;
/// How often the documents are learnt.
const TURNS: usize = 10;
/// Most documents' words that are kept in memory: pairs of a word and its count, 8 bytes each.
const KEPT: usize = 32 << 20;

/// Texts that can be read again and again, always the same in the same order.
pub trait Collection {
    /// Why they cannot be read.
    type Error;

    /// Reads all texts, until `each` breaks.
    ///
    /// # Errors
    /// Those of the collection.
    fn read(
        &mut self,
        each: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> std::result::Result<(), Self::Error>;
}

impl<T: AsRef<str>> Collection for &[T] {
    type Error = std::convert::Infallible;

    fn read(
        &mut self,
        each: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> std::result::Result<(), Self::Error> {
        // Whoever breaks knows why.
        let _ = self.iter().try_for_each(|text| each(text.as_ref()));
        Ok(())
    }
}

/// Why no topics are found.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// The collection cannot be read.
    #[error(transparent)]
    Collection(E),
    /// There is nothing to learn from.
    #[error("the documents have no words that say what they are about")]
    Empty,
    /// The caller did not want to go on.
    #[error("the work was stopped")]
    Stopped,
    /// The model cannot be made of this.
    #[error(transparent)]
    Model(#[from] escala_models::Error),
}

/// Topics that were found, the most prominent one first.
#[derive(Debug)]
pub struct Found {
    vocabulary: Vocabulary,
    lda: Lda,
    /// The model's number of each topic.
    order: Vec<usize>,
    threads: usize,
}

/// Finds topics. `progress` is told which part of the work is done, between 0 and 1, and may break it off.
///
/// # Errors
/// Those of the collection; [`Error::Empty`], [`Error::Stopped`].
pub fn discover<C: Collection>(
    collection: &mut C,
    topics: usize,
    threads: usize,
    progress: &dyn Fn(f64) -> ControlFlow<()>,
) -> Result<Found, Error<C::Error>> {
    let readings = (TURNS + 1) as f64;
    let mut survey = Survey::default();
    let mut read = |each: &mut dyn FnMut(&str) -> ControlFlow<()>| {
        collection.read(each).map_err(Error::Collection)
    };
    let mut stopped = false;
    read(&mut |text| {
        survey.add(text);
        if survey.documents().is_multiple_of(1024) {
            stopped = progress(0.0).is_break();
        }
        go_on(stopped)
    })?;
    if stopped {
        return Err(Error::Stopped);
    }
    let total = survey.documents();
    let vocabulary = survey.finish();
    if vocabulary.is_empty() {
        return Err(Error::Empty);
    }
    let size = usize::try_from(total / STEPS).unwrap_or(BATCH.1);
    let size = size.clamp(BATCH.0, BATCH.1);
    let mut lda = Lda::new(&Options::new(topics, vocabulary.len()), 0)?;
    let mut prominence = vec![0.0; topics];
    let mut kept: Option<Vec<Vec<(u32, u32)>>> = Some(Vec::new());
    let mut pairs = 0;
    for turn in 0..TURNS {
        let (mut batch, mut done) = (Vec::with_capacity(size), 0u64);
        let mut failed = None;
        let mut learn = |batch: &mut Vec<Vec<(u32, u32)>>| {
            done += batch.len() as u64;
            let learnt = lda.learn(batch, total, threads);
            if turn + 1 == TURNS && learnt.is_ok() {
                let about = lda.mixtures(batch, threads);
                for mixture in about.into_iter().flatten() {
                    let sums = prominence.iter_mut().zip(mixture);
                    sums.for_each(|(sum, part)| *sum += part);
                }
            }
            batch.clear();
            failed = learnt.err();
            let part = (1.0 + turn as f64 + done as f64 / total.max(1) as f64) / readings;
            stopped = progress(part.min(1.0)).is_break();
            go_on(stopped || failed.is_some())
        };
        match &kept {
            Some(documents) if turn > 0 => {
                let parts = documents.chunks(size);
                let _ = parts.into_iter().try_for_each(|some| {
                    batch.extend_from_slice(some);
                    learn(&mut batch)
                });
            }
            _ => {
                read(&mut |text| {
                    let counts = vocabulary.counts(text);
                    if let (0, Some(documents)) = (turn, &mut kept) {
                        pairs += counts.len() + 3;
                        match pairs <= KEPT {
                            true => documents.push(counts.clone()),
                            false => kept = None,
                        }
                    }
                    batch.push(counts);
                    match batch.len() < size {
                        true => ControlFlow::Continue(()),
                        false => learn(&mut batch),
                    }
                })?;
            }
        }
        if !batch.is_empty() {
            let _ = learn(&mut batch);
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        if stopped {
            return Err(Error::Stopped);
        }
    }
    let mut order: Vec<usize> = (0..topics).collect();
    order.sort_by(|a, b| prominence[*b].total_cmp(&prominence[*a]));
    Ok(Found {
        vocabulary,
        lda,
        order,
        threads,
    })
}

fn go_on(stop: bool) -> ControlFlow<()> {
    match stop {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

impl Found {
    /// The words of each topic that have the largest part in it, at most [`TERMS`], with that part; those first that tell
    /// it from the other topics.
    pub fn terms(&self) -> Vec<Vec<(String, f64)>> {
        let topics: Vec<Vec<f64>> = (0..self.order.len())
            .map(|topic| self.lda.distribution(topic))
            .collect();
        let mean: Vec<f64> = (0..self.vocabulary.len())
            .map(|word| topics.iter().map(|topic| topic[word]).sum::<f64>() / topics.len() as f64)
            .collect();
        let named = |topic: &usize| {
            let parts = &topics[*topic];
            let mut largest: Vec<usize> = (0..parts.len()).collect();
            largest.sort_by(|a, b| parts[*b].total_cmp(&parts[*a]));
            largest.truncate(TERMS);
            // What a word adds to the divergence of the topic from all topics.
            let tells = |word: usize| parts[word] * (parts[word] / mean[word]).ln();
            largest.sort_by(|a, b| tells(*b).total_cmp(&tells(*a)));
            let words = largest.iter();
            words
                .map(|word| (self.vocabulary.word(*word).to_owned(), parts[*word]))
                .collect()
        };
        self.order.iter().map(named).collect()
    }

    /// What texts are about: for each text a part a topic, which sum up to one.
    ///
    /// # Errors
    /// None that the texts can cause.
    pub fn mixtures<T: AsRef<str>>(&self, texts: &[T]) -> escala_models::Result<Vec<Vec<f64>>> {
        let counts: Vec<_> = texts
            .iter()
            .map(|text| self.vocabulary.counts(text.as_ref()))
            .collect();
        let mixtures = self.lda.mixtures(&counts, self.threads)?;
        let ordered = |mixture: Vec<f64>| self.order.iter().map(|topic| mixture[*topic]).collect();
        Ok(mixtures.into_iter().map(ordered).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    const SPORT: [&str; 8] = [
        "team", "game", "player", "season", "coach", "football", "goal", "league",
    ];
    const FOOD: [&str; 8] = [
        "pepper", "sugar", "butter", "flour", "oven", "onion", "garlic", "recipe",
    ];

    /// Texts about one or the other, in a ratio of three to one.
    fn texts() -> Vec<String> {
        let mut state = 1u32;
        let mut text = |at: usize| {
            let mut word = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let words = if at % 4 == 3 { FOOD } else { SPORT };
                words[(state >> 16) as usize % words.len()]
            };
            let (one, two, three, four) = (word(), word(), word(), word());
            format!(
                "It was the {one} and not the {two} that they had with {three} and {four}, number {at}."
            )
        };
        (0..400).map(&mut text).collect()
    }

    fn discovered(texts: &[String], threads: usize) -> Found {
        let mut collection = texts;
        let go_on = &|_| ControlFlow::Continue(());
        discover(&mut collection, 2, threads, go_on).expect("topics")
    }

    #[test]
    fn texts_about_two_things_have_two_topics() {
        let texts = texts();
        let found = discovered(&texts, 2);
        let terms = found.terms();
        for (terms, words) in terms.iter().zip([SPORT, FOOD]) {
            assert_eq!(terms.len(), TERMS);
            for (term, part) in &terms[..8] {
                assert!(words.contains(&term.as_str()), "{terms:?}");
                assert!(*part > 0.05, "{terms:?}");
            }
        }
        let mixtures = found.mixtures(&texts).expect("mixtures");
        for (at, mixture) in mixtures.iter().enumerate() {
            assert!(mixture[usize::from(at % 4 == 3)] > 0.8, "{at}: {mixture:?}");
        }
        let unknown = found.mixtures(&["nothing of it"]).expect("a mixture");
        assert_eq!(unknown, [[0.5, 0.5]]);
        // The same again, on other threads.
        assert_eq!(discovered(&texts, 1).terms(), terms);
    }

    #[test]
    fn work_is_told_and_can_be_stopped() {
        let texts = texts();
        let told = RefCell::new(Vec::new());
        let mut collection = texts.as_slice();
        let found = discover(&mut collection, 3, 1, &|part| {
            told.borrow_mut().push(part);
            ControlFlow::Continue(())
        });
        assert!(found.is_ok());
        let told = told.into_inner();
        assert!(told.is_sorted() && told.last() == Some(&1.0), "{told:?}");
        let left = Cell::new(5);
        let stopped = discover(&mut collection, 3, 1, &|_| {
            left.set(left.get() - 1);
            go_on(left.get() == 0)
        });
        assert!(matches!(stopped, Err(Error::Stopped)));
        assert_eq!(left.get(), 0);
        for nothing in [&[][..], &["", "and the of", "1 2 3"][..]] {
            let mut collection = nothing;
            let go_on = &|_| ControlFlow::Continue(());
            let none = discover(&mut collection, 2, 1, go_on);
            assert!(matches!(none, Err(Error::Empty)), "{nothing:?}");
        }
    }
}
