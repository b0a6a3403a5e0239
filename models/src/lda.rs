//! Topics of a collection of documents: latent Dirichlet allocation (Blei, Ng and Jordan 2003), learnt by online
//! variational Bayes (Hoffman, Blei and Bach 2010, "Online Learning for Latent Dirichlet Allocation").
//!
//! A topic is a distribution over words, a document a mixture of topics. [`Lda::learn`] takes a batch of documents at a time,
//! so a collection need not be in memory; [`Lda::mixtures`] says what documents are about. Reference:
//! `LatentDirichletAllocation` of scikit-learn with `learning_method="online"`, whose numbers these are, with one
//! difference: documents begin with equal topics and not with random ones, so that what is learnt depends on the seed and the
//! order of the documents alone, not on the number of threads.

use crate::error::{Error, Result};
use std::ops::Range;

/// Steps for a document at most.
const STEPS: usize = 100;
/// A document is done when its topics change by less than this, on average.
const SETTLED: f64 = 1e-3;
/// Fewest documents that are worth a thread.
const SHARE: usize = 16;

/// What is to be learnt.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Number of topics.
    pub topics: usize,
    /// Number of different words.
    pub words: usize,
    /// Dirichlet prior of a document's topics; `1 / topics` when left out.
    pub document_prior: Option<f64>,
    /// Dirichlet prior of a topic's words; `1 / topics` when left out.
    pub word_prior: Option<f64>,
    /// How quickly later batches count for less: kappa of the paper, above 0.5 and at most 1.
    pub decay: f64,
    /// How little the first batches count: tau of the paper.
    pub offset: f64,
}

impl Options {
    /// Topics over words, with the reference's defaults.
    pub fn new(topics: usize, words: usize) -> Self {
        Self {
            topics,
            words,
            document_prior: None,
            word_prior: None,
            decay: 0.7,
            offset: 10.0,
        }
    }
}

/// The words of a document and how often each of them is in it.
pub type Counts = [(u32, u32)];

/// Topics that are learnt.
#[derive(Clone, Debug)]
pub struct Lda {
    topics: usize,
    words: usize,
    document_prior: f64,
    word_prior: f64,
    decay: f64,
    offset: f64,
    /// Variational parameters of the topics' words, `[words, topics]`.
    lambda: Vec<f64>,
    /// `exp(E[log beta])` of these, `[words, topics]`.
    beta: Vec<f64>,
    batches: u32,
}

impl Lda {
    /// Topics that know nothing yet, by a seed.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where there are no topics or no words, or where a prior, the decay or the offset cannot be.
    pub fn new(options: &Options, seed: u64) -> Result<Self> {
        // As in the reference the parameters begin near 1, different for each: the mean of 100 exponential draws
        // has its gamma distribution with shape 100 and scale 0.01.
        let mut state = seed;
        let mut draw = || {
            let sum: f64 = (0..100).map(|_| -(1.0 - unit(&mut state)).ln()).sum();
            sum / 100.0
        };
        let size = options.topics.saturating_mul(options.words);
        if size > MOST {
            let what = format!("at most {MOST} topics times words can be learnt, not {size}");
            return Err(Error::Unsupported { what });
        }
        let lambda = (0..size).map(|_| draw()).collect();
        Self::begin(options, lambda)
    }

    /// Topics that begin with these parameters, `[words, topics]`.
    ///
    /// # Errors
    /// As [`Lda::new`], and where there are not that many parameters or one is not positive.
    pub fn begin(options: &Options, lambda: Vec<f64>) -> Result<Self> {
        let (topics, words) = (options.topics, options.words);
        let usual = 1.0 / topics.max(1) as f64;
        let lda = Self {
            topics,
            words,
            document_prior: options.document_prior.unwrap_or(usual),
            word_prior: options.word_prior.unwrap_or(usual),
            decay: options.decay,
            offset: options.offset,
            lambda,
            beta: Vec::new(),
            batches: 0,
        };
        let positive = |value: &f64| *value > 0.0 && value.is_finite();
        let sane = topics > 0
            && words > 0
            && u32::try_from(words).is_ok()
            && topics.checked_mul(words) == Some(lda.lambda.len())
            && lda.lambda.iter().all(positive)
            && positive(&lda.document_prior)
            && positive(&lda.word_prior)
            && lda.decay > 0.5
            && lda.decay <= 1.0
            && lda.offset >= 0.0
            && lda.offset.is_finite();
        if !sane {
            let what = format!("no topics can be learnt with these options: {options:?}");
            return Err(Error::Unsupported { what });
        }
        Ok(lda.refreshed())
    }

    /// Number of topics.
    pub fn topics(&self) -> usize {
        self.topics
    }

    /// Learns from a batch of documents, out of `total` that there are in all. Empty documents teach nothing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where a document has a word that there is not; nothing is learnt then.
    pub fn learn<D: AsRef<Counts> + Sync>(
        &mut self,
        batch: &[D],
        total: u64,
        threads: usize,
    ) -> Result<()> {
        self.check(batch)?;
        if batch.is_empty() {
            return Ok(());
        }
        let settled = self.settle(batch, threads);
        let mut statistics = vec![0.0; self.lambda.len()];
        // In the documents' order, so that the sums do not depend on the threads.
        for (document, settled) in batch.iter().zip(&settled) {
            for ((word, _), ratio) in document.as_ref().iter().zip(&settled.ratios) {
                let row = &mut statistics[self.row(*word)];
                for (sum, theta) in row.iter_mut().zip(&settled.theta) {
                    *sum += theta * ratio;
                }
            }
        }
        self.batches += 1;
        let weight = (self.offset + f64::from(self.batches)).powf(-self.decay);
        let scale = total as f64 / batch.len() as f64;
        for ((lambda, sum), beta) in self.lambda.iter_mut().zip(&statistics).zip(&self.beta) {
            let seen = self.word_prior + scale * sum * beta;
            *lambda = (1.0 - weight) * *lambda + weight * seen;
        }
        self.refresh();
        Ok(())
    }

    /// The topics of documents: for each document a number a topic, which sum up to one. An empty document is about all topics alike.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where a document has a word that there is not.
    pub fn mixtures<D: AsRef<Counts> + Sync>(
        &self,
        documents: &[D],
        threads: usize,
    ) -> Result<Vec<Vec<f64>>> {
        self.check(documents)?;
        let mut settled = self.settle(documents, threads);
        for document in &mut settled {
            let sum: f64 = document.gamma.iter().sum();
            document.gamma.iter_mut().for_each(|gamma| *gamma /= sum);
        }
        Ok(settled.into_iter().map(|settled| settled.gamma).collect())
    }

    /// The words of a topic: a number a word, which sum up to one.
    ///
    /// # Panics
    /// Where there is no such topic.
    pub fn distribution(&self, topic: usize) -> Vec<f64> {
        assert!(topic < self.topics, "a topic");
        let column = || self.lambda.iter().skip(topic).step_by(self.topics);
        let sum: f64 = column().sum();
        column().map(|lambda| lambda / sum).collect()
    }

    fn row(&self, word: u32) -> Range<usize> {
        let from = word as usize * self.topics;
        from..from + self.topics
    }

    fn check<D: AsRef<Counts>>(&self, documents: &[D]) -> Result<()> {
        let mut words = documents.iter().flat_map(AsRef::as_ref);
        match words.find(|(word, _)| *word as usize >= self.words) {
            None => Ok(()),
            Some((word, _)) => {
                let words = self.words;
                let what = format!("there are {words} words, and none has the number {word}");
                Err(Error::Unsupported { what })
            }
        }
    }

    fn refreshed(mut self) -> Self {
        self.beta = vec![0.0; self.lambda.len()];
        self.refresh();
        self
    }

    /// Computes `exp(E[log beta])` anew.
    fn refresh(&mut self) {
        let mut sums = vec![0.0; self.topics];
        for row in self.lambda.chunks_exact(self.topics) {
            sums.iter_mut().zip(row).for_each(|(sum, one)| *sum += one);
        }
        sums.iter_mut().for_each(|sum| *sum = digamma(*sum));
        let rows = self.lambda.chunks_exact(self.topics);
        for (beta, lambda) in self.beta.chunks_exact_mut(self.topics).zip(rows) {
            for ((beta, lambda), sum) in beta.iter_mut().zip(lambda).zip(&sums) {
                *beta = (digamma(*lambda) - sum).exp();
            }
        }
    }

    /// The topics of each document, on threads.
    fn settle<D: AsRef<Counts> + Sync>(&self, documents: &[D], threads: usize) -> Vec<Settled> {
        let most = documents.len().div_ceil(SHARE);
        let share = documents.len().div_ceil(threads.clamp(1, most.max(1)));
        let all = |some: &[D]| -> Vec<Settled> {
            some.iter()
                .map(|document| self.settle_one(document.as_ref()))
                .collect()
        };
        if share >= documents.len() {
            return all(documents);
        }
        std::thread::scope(|scope| {
            let parts: Vec<_> = documents
                .chunks(share)
                .map(|some| scope.spawn(move || all(some)))
                .collect();
            let joined = parts.into_iter().flat_map(|part| match part.join() {
                Ok(settled) => settled,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect()
        })
    }

    /// The E step of the paper for one document.
    fn settle_one(&self, document: &Counts) -> Settled {
        let mut gamma = vec![1.0; self.topics];
        let mut theta = expected(&gamma);
        let mut ratios = vec![0.0; document.len()];
        let mut sums = vec![0.0; self.topics];
        let shares = |theta: &[f64], ratios: &mut [f64]| {
            for ((word, count), ratio) in document.iter().zip(ratios) {
                let beta = &self.beta[self.row(*word)];
                let norm: f64 = beta.iter().zip(theta).map(|(a, b)| a * b).sum();
                *ratio = f64::from(*count) / (norm + f64::EPSILON);
            }
        };
        for _ in 0..STEPS {
            shares(&theta, &mut ratios);
            sums.fill(0.0);
            for ((word, _), ratio) in document.iter().zip(&ratios) {
                let beta = &self.beta[self.row(*word)];
                sums.iter_mut()
                    .zip(beta)
                    .for_each(|(sum, beta)| *sum += ratio * beta);
            }
            let mut change = 0.0;
            for ((gamma, theta), sum) in gamma.iter_mut().zip(&theta).zip(&sums) {
                let next = theta * sum + self.document_prior;
                change += (next - *gamma).abs();
                *gamma = next;
            }
            theta = expected(&gamma);
            if change / (self.topics as f64) < SETTLED {
                break;
            }
        }
        shares(&theta, &mut ratios);
        Settled {
            gamma,
            theta,
            ratios,
        }
    }
}

/// Most topics times words: 800 MB of parameters.
const MOST: usize = 50_000_000;

/// What a document is about.
struct Settled {
    /// Variational parameters of its topics.
    gamma: Vec<f64>,
    /// `exp(E[log theta])` of these.
    theta: Vec<f64>,
    /// Of each of its words: how often it is there, divided by how much it is expected.
    ratios: Vec<f64>,
}

/// `exp(E[log x])` of a Dirichlet distribution with these parameters.
fn expected(parameters: &[f64]) -> Vec<f64> {
    let whole = digamma(parameters.iter().sum());
    let parts = parameters
        .iter()
        .map(|parameter| (digamma(*parameter) - whole).exp());
    parts.collect()
}

/// The derivative of the logarithm of the gamma function, of a positive number: recurrence up to 6, then the asymptotic
/// series (Abramowitz and Stegun 6.3.5 and 6.3.18); right to 1e-12.
fn digamma(mut x: f64) -> f64 {
    let mut below = 0.0;
    while x < 6.0 {
        below += 1.0 / x;
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let terms = [
        1.0 / 12.0,
        -1.0 / 120.0,
        1.0 / 252.0,
        -1.0 / 240.0,
        1.0 / 132.0,
        -691.0 / 32760.0,
        1.0 / 12.0,
    ];
    let series = terms
        .iter()
        .rev()
        .fold(0.0, |sum, term| (sum + term) * inverse);
    x.ln() - 0.5 / x - series - below
}

/// The next number in [0, 1) of a sequence: SplitMix64 (Steele, Lea and Flood 2014).
fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of scipy.special.digamma 1.18.
    #[test]
    fn digamma_is_scipys() {
        for (x, want) in [
            (1e-3, -1000.5755719318103),
            (0.1, -10.423754940411076),
            (0.5, -1.9635100260214235),
            (1.0, -0.5772156649015329),
            (2.5, 0.7031566406452432),
            (6.0, 1.7061176684318005),
            (100.0, 4.600161852738087),
            (1e6, 13.815510057964191),
        ] {
            let got = digamma(x);
            assert!((got - want).abs() <= 1e-12 * want.abs(), "{x}: {got}");
        }
    }

    /// Two kinds of documents that share no word: each topic is one of them.
    #[test]
    fn documents_that_share_no_word_are_about_different_topics() {
        let documents: Vec<Vec<(u32, u32)>> = (0..200)
            .map(|at| {
                (0..5)
                    .map(|word| (word + 5 * (at % 2), 1 + at % 3))
                    .collect()
            })
            .collect();
        for seed in 0..5 {
            let mut lda = Lda::new(&Options::new(2, 10), seed).expect("topics");
            for _ in 0..5 {
                for batch in documents.chunks(50) {
                    lda.learn(batch, 200, 2).expect("learnt");
                }
            }
            let mixtures = lda.mixtures(&documents, 2).expect("mixtures");
            let first = usize::from(mixtures[0][1] > mixtures[0][0]);
            for (at, mixture) in mixtures.iter().enumerate() {
                assert!(mixture[first ^ (at % 2)] > 0.9, "{seed} {at}: {mixture:?}");
                assert!((mixture.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
            let words = lda.distribution(first);
            assert!(words[..5].iter().sum::<f64>() > 0.95, "{words:?}");
        }
    }

    #[test]
    fn threads_change_nothing() {
        let documents: Vec<Vec<(u32, u32)>> = (0..300u32)
            .map(|at| {
                (0..at % 9)
                    .map(|word| ((at * 7 + word * 13) % 50, 1 + word % 4))
                    .collect()
            })
            .collect();
        let learnt = |threads| {
            let mut lda = Lda::new(&Options::new(7, 50), 3).expect("topics");
            for batch in documents.chunks(128) {
                lda.learn(batch, 300, threads).expect("learnt");
            }
            (
                lda.lambda.clone(),
                lda.mixtures(&documents, threads).expect("mixtures"),
            )
        };
        let alone = learnt(1);
        for threads in [2, 3, 8] {
            assert!(learnt(threads) == alone, "{threads}");
        }
        // A document without words is about all topics alike.
        assert!(
            alone.1[0]
                .iter()
                .all(|part| (part - 1.0 / 7.0).abs() < 1e-12)
        );
    }

    #[test]
    fn what_cannot_be_learnt_is_refused() {
        for (topics, words) in [(0, 5), (5, 0), (usize::MAX, 2), (100_000, 100_000)] {
            assert!(Lda::new(&Options::new(topics, words), 0).is_err());
        }
        for change in [
            |options: &mut Options| options.document_prior = Some(0.0),
            |options: &mut Options| options.word_prior = Some(f64::NAN),
            |options: &mut Options| options.decay = 0.5,
            |options: &mut Options| options.offset = -1.0,
        ] {
            let mut options = Options::new(2, 2);
            change(&mut options);
            assert!(Lda::new(&options, 0).is_err(), "{options:?}");
        }
        let mut lda = Lda::new(&Options::new(2, 3), 0).expect("topics");
        let before = lda.lambda.clone();
        assert!(lda.learn(&[vec![(0, 1)], vec![(3, 1)]], 2, 1).is_err());
        assert!(lda.mixtures(&[vec![(3, 1)]], 1).is_err());
        assert_eq!(lda.lambda, before);
        lda.learn::<Vec<(u32, u32)>>(&[], 0, 1).expect("nothing");
        assert_eq!(lda.lambda, before);
    }
}
