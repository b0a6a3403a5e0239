//! What an algorithm is: what it is given, what it tells while it learns, and what it leaves.

use crate::{Answers, Parameter, Parameters, Result, Table};
use std::path::Path;

/// The tables that a job brought, by the names of their channels.
#[derive(Clone, Debug)]
pub struct Channels {
    /// What is learned from.
    pub train: Table,
    /// What is looked at while learning, to know when to stop and what to keep.
    pub validation: Option<Table>,
    /// What is looked at once at the end.
    pub test: Option<Table>,
}

/// Who looks on while an algorithm learns.
pub trait Watch {
    /// A line for the log of the job.
    fn log(&mut self, line: &str);

    /// A number that was measured, under the algorithm's own name of it, such as `validation:rmse`.
    fn metric(&mut self, name: &str, value: f64);

    /// How much is done, out of how much; in the algorithm's own steps (rounds, epochs).
    fn progress(&mut self, done: u64, total: u64);

    /// Whether to end now, with what was learned so far. Algorithms ask at least once a step.
    fn stopped(&mut self) -> bool;

    /// What was learned up to here, so that a process that is killed goes on from here. It is asked between steps, and takes
    /// the bytes only when enough time has passed since the last ones.
    fn checkpoint(&mut self, bytes: &mut dyn FnMut() -> Vec<u8>);

    /// The last checkpoint, of another process that was killed.
    fn resume(&mut self) -> Option<Vec<u8>>;
}

/// Nobody looks on: nothing is said, kept or stopped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn log(&mut self, _: &str) {}

    fn metric(&mut self, _: &str, _: f64) {}

    fn progress(&mut self, _: u64, _: u64) {}

    fn stopped(&mut self) -> bool {
        false
    }

    fn checkpoint(&mut self, _: &mut dyn FnMut() -> Vec<u8>) {}

    fn resume(&mut self) -> Option<Vec<u8>> {
        None
    }
}

/// An algorithm that learns.
pub trait Algorithm: Send + Sync {
    /// Its name, as repositories of images have it: `linear-learner`.
    fn name(&self) -> &'static str;

    /// Whether it learns labels: files of CSV to learn from have them in their first column then.
    fn labelled(&self) -> bool {
        false
    }

    /// All that may be set, with its bounds and defaults.
    fn parameters(&self) -> &'static [Parameter];

    /// Learns.
    ///
    /// The same tables, parameters and seed give the same model, whatever the number of threads; so does a run that went on
    /// from a checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Input`](crate::Error::Input) if parameters contradict each other or the tables cannot be learned from.
    fn train(
        &self,
        parameters: &Parameters,
        channels: &Channels,
        watch: &mut dyn Watch,
    ) -> Result<Box<dyn Model>>;

    /// Reads what [`Model::write`] left. Nothing that is in the files is believed: sizes, indices and numbers are checked.
    ///
    /// # Errors
    ///
    /// If the folder has no such model, or it is damaged.
    fn open(&self, folder: &Path) -> Result<Box<dyn Model>>;
}

/// What a model was to make small while it learned, as XGBoost names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objective<'a> {
    /// Its name, such as `binary:logistic`.
    pub name: &'a str,
    /// Classes that it tells apart; 0 where it is no objective of classes by number (`multi:…`).
    pub classes: u32,
}

/// What was learned.
pub trait Model: Send + Sync {
    /// How many columns rows must have, where the model knows. Those of sparse rows may be fewer.
    fn columns(&self) -> Option<usize>;

    /// What it says of rows.
    ///
    /// # Errors
    ///
    /// [`Error::Input`](crate::Error::Input) if the rows are not as those that were learned from.
    fn predict(&self, table: &Table) -> Result<Answers>;

    /// The same with all that can be said, as callers ask for with `verbose=true`. Most models have no more to say.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    fn predict_verbose(&self, table: &Table) -> Result<Answers> {
        self.predict(table)
    }

    /// What it was to make small, of XGBoost's models: what its scores are follows from that.
    fn objective(&self) -> Option<Objective<'_>> {
        None
    }

    /// Writes files into a folder that is there and empty.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    fn write(&self, folder: &Path) -> Result<()>;
}
