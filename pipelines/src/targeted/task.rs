//! The task: the English reading, then another task's sentiment of the clauses.

use super::{Plan, Scores, Targeted};
use crate::error::Result;
use crate::syntax::{LIMITS, MODEL, SharedEnglish, analyse, read};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, each, shown};
use escala_models::spacy::{self, Language};
use escala_models::{Compute, Precision};
use escala_weights::{Progress, Store};
use std::sync::Arc;

/// Languages that texts may be in.
pub const LANGUAGES: &[&str] = &["en"];

/// How the task that knows the sentiment of a sentence is asked, and what its answer says.
pub struct Sentences<S: Task> {
    /// The task.
    pub task: S,
    /// What it is asked about an English sentence.
    pub input: fn(&str) -> S::Input,
    /// The probabilities in its answer.
    pub scores: fn(&S::Output) -> Scores,
}

/// Who and what an English text speaks of, and the sentiment towards each.
pub struct TargetedTask<S: Task> {
    english: SharedEnglish,
    sentences: Sentences<S>,
}

impl<S: Task> TargetedTask<S> {
    /// The task, on the copy of the English model in this place and with this task for the sentiment of clauses.
    pub fn new(english: SharedEnglish, sentences: Sentences<S>) -> Self {
        Self { english, sentences }
    }
}

/// The loaded models.
pub struct TargetedPipeline<S: Task> {
    english: Arc<spacy::Pipeline>,
    sentences: S::Pipeline,
    input: fn(&str) -> S::Input,
    scores: fn(&S::Output) -> Scores,
}

impl<S: Task> Task for TargetedTask<S> {
    type Input = Arc<str>;
    type Output = Targeted;
    type Pipeline = TargetedPipeline<S>;

    fn name(&self) -> &'static str {
        "targeted-sentiment"
    }

    fn model(&self) -> &str {
        MODEL
    }

    fn precision(&self, asked: Precision) -> Precision {
        asked
    }

    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        weights.ensure(MODEL, progress)?;
        self.sentences.task.fetch(weights, progress)
    }

    fn unit(&self) -> Unit {
        Unit::Bytes
    }

    fn cost(&self, input: &Arc<str>) -> u64 {
        input.len() as u64 + 16
    }

    fn limits(&self) -> Limits {
        // A byte costs some ten times what reading it costs: its clause is classified.
        Limits {
            batch_cost: LIMITS.batch_cost / 4,
            queue_cost: LIMITS.queue_cost / 8,
            ..LIMITS
        }
    }

    fn memory_estimate(&self) -> Option<u64> {
        self.sentences.task.memory_estimate()
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<TargetedPipeline<S>> {
        Ok(TargetedPipeline {
            english: self.english.load(context)?,
            sentences: self.sentences.task.load(context)?,
            input: self.sentences.input,
            scores: self.sentences.scores,
        })
    }
}

impl<S: Task> TargetedPipeline<S> {
    /// The sentiment of clauses, in order, and the tokens that were shown for each; some hundred at a time, so that memory stays
    /// bounded.
    fn classify<'c>(
        &self,
        compute: &Compute,
        clauses: impl Iterator<Item = &'c String>,
    ) -> Vec<(Result<Scores>, u64)> {
        const AT_ONCE: usize = 128;
        let inputs: Vec<S::Input> = clauses.map(|clause| (self.input)(clause)).collect();
        let mut scores = Vec::with_capacity(inputs.len());
        for some in inputs.chunks(AT_ONCE) {
            let answers = self.sentences.run(compute, some).into_iter();
            // One who says nothing of a clause showed nothing.
            let tokens = compute.shown.take().into_iter().chain(std::iter::repeat(0));
            let scored = |answer: Result<S::Output>| Ok((self.scores)(&answer?));
            scores.extend(answers.map(scored).zip(tokens));
        }
        scores
    }
}

impl<S: Task> Pipeline for TargetedPipeline<S> {
    type Input = Arc<str>;
    type Output = Targeted;

    fn memory(&self) -> u64 {
        self.english.memory() + self.sentences.memory()
    }

    fn sample(&self) -> Arc<str> {
        "The soup was great but the waiter ignored us.".into()
    }

    fn run(&self, compute: &Compute, batch: &[Arc<str>]) -> Vec<Result<Targeted>> {
        let plans = each(compute, batch, |text| {
            let document = analyse(&self.english, text);
            let plan = Plan::of(text, &read(Language::English, text, &document)?)?;
            Ok((plan, document.tokens.len()))
        });
        let clauses = plans.iter().flatten().flat_map(|(plan, _)| plan.clauses());
        let mut scores = self.classify(compute, clauses).into_iter();
        let answer = |plan: Result<(Plan, usize)>| {
            let (plan, read) = plan?;
            let own = scores.by_ref().take(plan.clauses().len());
            let (own, tokens): (Vec<Result<Scores>>, Vec<u64>) = own.unzip();
            let own = own.into_iter().collect::<Result<Vec<Scores>>>()?;
            let tokens = tokens.iter().sum::<u64>() as usize;
            Ok((plan.answer(&own)?, read + tokens))
        };
        shown(compute, plans.into_iter().map(answer).collect())
    }
}
