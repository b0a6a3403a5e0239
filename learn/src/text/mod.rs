//! Algorithms that learn from lines of text: [`blazing`] learns to classify them.
//!
//! [`TextAlgorithm`] is what such an algorithm is, as [`Algorithm`](crate::Algorithm) is for tables; [`formats`] as which bytes
//! lines, questions and answers come and go.

pub mod blazing;
mod fasttext;
pub mod formats;
mod train;
mod vocabulary;

use crate::{Parameter, Parameters, Result, Watch};
use std::path::Path;

/// A text, and what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its labels, as [`LABEL`] and a name. A text that is asked about has none.
    pub labels: Vec<String>,
    /// Words with whitespace between them.
    pub text: String,
}

/// What the words of a line begin with that are its labels.
pub const LABEL: &str = "__label__";

/// The lines that a job brought, by the names of their channels.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// What is learned from.
    pub train: Vec<Line>,
    /// What is looked at while learning, to know when to stop and what to keep.
    pub validation: Option<Vec<Line>>,
}

/// An algorithm that learns from lines of text.
pub trait TextAlgorithm: Send + Sync {
    /// Its name, as repositories of images have it: `blazingtext`.
    fn name(&self) -> &'static str;

    /// All that may be set, with its bounds and defaults.
    fn parameters(&self) -> &'static [Parameter];

    /// Learns.
    ///
    /// The same lines, parameters and seed give the same model, whatever the number of threads; so does a run that went on
    /// from a checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Input`](crate::Error::Input) if parameters contradict each other or the lines cannot be learned from.
    fn train(
        &self,
        parameters: &Parameters,
        texts: &Texts,
        watch: &mut dyn Watch,
    ) -> Result<Box<dyn TextModel>>;

    /// Reads what [`TextModel::write`] left. Nothing that is in the files is believed: sizes, indices and numbers are checked.
    ///
    /// # Errors
    ///
    /// If the folder has no such model, or it is damaged.
    fn open(&self, folder: &Path) -> Result<Box<dyn TextModel>>;
}

/// Labels of a text, the likeliest first, with the probability of each.
pub type Said<'a> = Vec<(&'a str, f32)>;

/// What was learned.
pub trait TextModel: Send + Sync {
    /// The `most` likeliest labels of a text.
    fn classify(&self, text: &str, most: usize) -> Said<'_>;

    /// Bytes of memory that it holds, about.
    fn memory(&self) -> u64;

    /// Writes files into a folder that is there and empty.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    fn write(&self, folder: &Path) -> Result<()>;
}
