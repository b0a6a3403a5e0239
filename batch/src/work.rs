//! What a kind of job does with documents: ask a model, and say what is written of the answer.

use crate::job::{Input, Job, Piece, Spec, Usage};
use crate::runner::{Cut, Trouble};
use futures_util::future::BoxFuture;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is done with the documents of some kinds of jobs.
///
/// The contract: an answer depends on nothing but its document and the job, never on what is asked beside it or how often;
/// so a task that is done again writes the same bytes.
pub trait Work: Send + Sync + 'static {
    /// What its jobs may have.
    fn bounds(&self, spec: &Spec) -> Bounds;

    /// One answer for each document, in order, and what networks were shown for them. Dropping the future gives its work up. Works
    /// on the whole and on tables are asked about no document, and leave this and the next as they are.
    fn predict<'a>(
        &'a self,
        _: &'a Spec,
        documents: Vec<Vec<u8>>,
        _: &'a Seen,
    ) -> BoxFuture<'a, Vec<Answer>> {
        let answers = documents.iter().map(|_| Err(no_document())).collect();
        Box::pin(std::future::ready(answers))
    }

    /// Why a document of so many bytes, more than [`Bounds::document`], has no answer.
    fn too_large(&self, _: &Spec, _: u64) -> Failed {
        no_document()
    }

    /// Who answers for all documents together, where the output is not an answer a document. Its jobs have one task, and
    /// their output is [`Form::Collected`](crate::job::Form::Collected), or of one file [`Form::Joined`](crate::job::Form::Joined)
    /// or [`Form::Unpacked`](crate::job::Form::Unpacked); nothing is predicted or rendered then.
    fn whole(&self) -> Option<&dyn Whole> {
        None
    }

    /// Who answers for the rows of tables, for jobs whose documents are [`Split::Rows`](crate::job::Split::Rows); nothing
    /// is predicted or rendered for them.
    fn tables(&self) -> Option<&dyn Tables> {
        None
    }

    /// Writes what stands in the output for a document: in the summary, where there is one and the document has no answer.
    fn render(&self, _: &Spec, _: Place<'_>, _: Result<&[u8], &Failed>, _: &mut Vec<u8>) {}

    /// Told that a job has ended. After a crash it may not be told, and it must not wait for the runner.
    fn ended(&self, _: &Job) {}

    /// What stands around the errors in the summary of a job whose output is [`Form::Summed`](crate::job::Form::Summed) and
    /// that took so much. What is between errors may not depend on that.
    fn summary(&self, _: &Spec, _: &Usage) -> Summary {
        Summary::default()
    }
}

/// What a work says that is asked about no document.
fn no_document() -> Failed {
    Failed {
        fault: Fault::Document,
        code: "no_document".to_owned(),
        message: "these jobs have no documents".to_owned(),
        subject: None,
    }
}

/// What a summary has beside the errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Before the first.
    pub head: Vec<u8>,
    /// Between two of them.
    pub between: Vec<u8>,
    /// Behind the last.
    pub tail: Vec<u8>,
}

/// What is done with all documents of a job together.
///
/// The contract is that of [`Work`]: the same documents give the same bytes.
pub trait Whole: Send + Sync {
    /// Writes the files of the output, each by its number, one after the other.
    ///
    /// # Errors
    /// Those of what is read and written; [`Trouble::Rest`] where `progress` breaks; [`Trouble::Fails`] with what
    /// is wrong with the documents.
    fn collect(
        &self,
        spec: &Spec,
        documents: &mut dyn Documents,
        progress: &Telling<'_>,
        write: &mut Writing<'_>,
    ) -> Result<Collected, Trouble>;
}

/// What is done with tables: a piece of one after the other, in any order and again.
///
/// The contract is that of [`Work`]: the same rows give the same bytes. The output of its jobs is
/// [`Form::Tables`](crate::job::Form::Tables).
pub trait Tables: Send + Sync {
    /// Whether an input is passed over: a file that is none of a dataset.
    fn passes_over(&self, key: &str) -> bool;

    /// Whether an input without bytes has an output, which is empty then.
    fn takes_empty(&self) -> bool {
        false
    }

    /// Whether an input has an output only where all its rows have answers. The job does the other inputs then, and fails
    /// when their output is there, with the first error's message; of a job that is stopped there is no output.
    fn is_strict(&self) -> bool {
        false
    }

    /// The keys of the inputs, where they are not all that begin with the job's prefix.
    ///
    /// # Errors
    /// They are not known.
    fn keys(&self, _: &Spec) -> Result<Option<Vec<String>>, Trouble> {
        Ok(None)
    }

    /// How many bytes of the inputs' keys are left out of the names of the output; up to the prefix's last slash where
    /// nothing is said.
    fn root(&self, _: &Spec, _: &[Input]) -> Option<usize> {
        None
    }

    /// Where a table is cut, in its order: pieces of the input of this number. At least one, which may have no rows. Dropping
    /// the future gives its work up.
    ///
    /// # Errors
    /// It cannot be read, or is no table.
    fn cut<'a>(
        &'a self,
        spec: &'a Spec,
        input: u64,
        key: &'a str,
        cut: Cut,
    ) -> BoxFuture<'a, Result<Vec<Piece>, Trouble>>;

    /// Writes what stands in the output for a piece of a table. Dropping the future gives its work up.
    ///
    /// # Errors
    /// Those of what is read and of `write`; what is wrong with the table.
    fn score<'a>(
        &'a self,
        spec: &'a Spec,
        asked: Asked<'a>,
        write: &'a mut Scoring<'a>,
    ) -> BoxFuture<'a, Result<(), Trouble>>;
}

/// Which rows are asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The input.
    pub key: &'a str,
    /// The rows of it.
    pub piece: Piece,
    /// Whether models are asked about one group of rows after the other, and those that have an answer are written before more
    /// are asked about: it is looked for the one that ends the process.
    pub one_by_one: bool,
}

/// Takes some rows of the output.
pub type Scoring<'a> = dyn FnMut(Scored) -> Result<(), Trouble> + Send + 'a;

/// Some rows of the output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scored {
    /// What is written.
    pub bytes: Vec<u8>,
    /// Rows in it.
    pub rows: u64,
    /// Those without an answer: their numbers in the table, and why.
    pub failed: Vec<(u64, Failed)>,
    /// What was counted of those with an answer, and what networks were shown.
    pub counted: Collected,
}

/// Writes some of a file of the output, by its number.
pub type Writing<'a> = dyn FnMut(usize, &[u8]) -> Result<(), Trouble> + 'a;

/// Told which part of the work is done, between 0 and 1; breaks where the job is to rest.
pub type Telling<'a> = dyn Fn(f64) -> ControlFlow<()> + 'a;

/// Told each document, or why it is none.
pub type Each<'a> = dyn FnMut(Place<'_>, Result<&[u8], &Failed>) -> ControlFlow<()> + 'a;

/// All documents of a job.
pub trait Documents {
    /// Reads them in their order, until `each` breaks. May be asked again and again.
    ///
    /// # Errors
    /// They cannot be read, or are not what they were; or the job rests.
    fn read(&mut self, each: &mut Each<'_>) -> Result<(), Trouble>;

    /// Says how many inputs have gone through a work so far that are no documents of the job: the rows that a question reads.
    /// Who reads none, and writes for long nothing, says it again and again; else all places at which it is killed look alike.
    fn passed(&mut self, inputs: u64);

    /// Says what the answer to a question has so far: its rows are the documents of the job then.
    fn made(&mut self, made: Made);
}

/// Rows that answer a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// How many there are.
    pub rows: u64,
    /// Answers of models that they lack.
    pub errors: u64,
    /// Why, of a few.
    pub examples: Vec<String>,
}

/// What networks are shown, counted while it is.
#[derive(Debug, Default)]
pub struct Seen {
    tokens: AtomicU64,
    pixels: AtomicU64,
}

impl Seen {
    /// So much more: tokens by encoders of texts, pixels of images that were decoded.
    pub fn add(&self, tokens: u64, pixels: u64) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        self.pixels.fetch_add(pixels, Ordering::Relaxed);
    }

    /// Tokens so far.
    pub fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Pixels so far.
    pub fn pixels(&self) -> u64 {
        self.pixels.load(Ordering::Relaxed)
    }
}

/// What a work on the whole or on tables counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Characters (code points) of the documents.
    pub characters: u64,
    /// Units as AWS bills them.
    pub units: u64,
    /// Tokens that encoders of texts were shown.
    pub tokens: u64,
    /// Pixels of images that were decoded.
    pub pixels: u64,
}

/// What a job may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of one document.
    pub document: u64,
    /// Documents of a job; none of a question whose answer has rows, which nobody can count before.
    pub documents: u64,
    /// Bytes of all inputs.
    pub bytes: u64,
}

/// Which document it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The name of its file: the key without the folder that the job was given.
    pub file: &'a str,
    /// Its line, from 0, where documents are lines.
    pub line: Option<u64>,
}

/// What was found in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The answer, in the words of the work.
    pub answer: Vec<u8>,
    /// Characters (code points) of the document.
    pub characters: u64,
    /// Units as AWS bills them.
    pub units: u64,
}

/// What is said about one document.
pub type Answer = Result<Found, Failed>;

/// Why a document has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Whose fault it is.
    pub fault: Fault,
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// What the document names, where it names something and was understood so far.
    pub subject: Option<String>,
}

/// Whose fault it is that there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The document's: asking again gives the same, and the error stands in the document's place.
    Document,
    /// The machine's, for now: it is asked again, until the job's patience ends and with it the job.
    Now,
    /// A defect: asked again alone, a few times, then an error in the document's place.
    Defect,
}
