//! `StartTopicsDetectionJob`: what all documents of a job together are about.
//!
//! The output is `output.tar.gz` with `topic-terms.csv` (of each topic the ten words that have the largest part in it) and
//! `doc-topics.csv` (of each document the part of each topic; a line is `file:line`). Documents that are too large are left out.
//! Source: the Comprehend developer guide, "Topic modeling".

use super::work::{MOST_BYTES, MOST_DOCUMENTS, too_large};
use escala_batch::job::Spec;
use escala_batch::runner::Trouble;
use escala_batch::work::{
    Bounds, Collected, Documents, Failed, Place, Telling, Whole, Work, Writing,
};
use escala_pipelines::topics::{Collection, Error, Found, discover};
use serde_json::{Value, json};
use std::ops::ControlFlow;

/// The files of the output.
pub const MEMBERS: [&str; 2] = ["topic-terms.csv", "doc-topics.csv"];
/// Topics where a request does not say, as at AWS.
pub const USUAL: u64 = 10;
/// Most bytes of a document, as at AWS.
pub const DOCUMENT: u64 = 100 << 20;
/// Documents that are asked about at a time.
const BATCH: usize = 256;
/// Bytes of these, after which there are enough.
const BATCH_BYTES: usize = 16 << 20;
/// Bytes of a unit as AWS bills.
const UNIT: u64 = 1 << 20;

/// Finds the topics of jobs, on threads of its own.
pub struct Topics {
    /// How many.
    pub threads: usize,
}

/// What is asked.
pub fn question(topics: Option<u64>) -> Value {
    json!({ "topics": topics.unwrap_or(USUAL) })
}

/// The texts of documents.
struct Texts<'a>(&'a mut dyn Documents);

impl Collection for Texts<'_> {
    type Error = Trouble;

    fn read(&mut self, each: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<(), Trouble> {
        self.0.read(&mut |_, document| match document {
            Ok(bytes) => each(&String::from_utf8_lossy(bytes)),
            // It has no words.
            Err(_) => each(""),
        })
    }
}

impl Whole for Topics {
    fn collect(
        &self,
        spec: &Spec,
        documents: &mut dyn Documents,
        progress: &Telling<'_>,
        write: &mut Writing<'_>,
    ) -> Result<Collected, Trouble> {
        let topics = spec.question["topics"].as_u64().unwrap_or(USUAL);
        let topics = usize::try_from(topics).unwrap_or(usize::MAX);
        // What is left is to say what the documents are about.
        let learning = |part: f64| progress(part * 0.9);
        let found = discover(&mut Texts(documents), topics, self.threads, &learning);
        let found = found.map_err(|error| match error {
            Error::Collection(trouble) => trouble,
            Error::Stopped => Trouble::Rest,
            Error::Empty => Trouble::Fails(
                "the documents have no words that say what they are about".to_owned(),
            ),
            Error::Model(error) => Trouble::Fails(error.to_string()),
        })?;
        write(0, b"topic,term,weight\n")?;
        for (topic, terms) in found.terms().iter().enumerate() {
            for (term, weight) in terms {
                // Words are letters.
                write(0, format!("{topic:03},{term},{weight}\n").as_bytes())?;
            }
        }
        write(1, b"docname,topic,proportion\n")?;
        let mut about = About {
            found: &found,
            write,
            names: Vec::new(),
            texts: Vec::new(),
            bytes: 0,
        };
        let (mut counted, mut read, mut failed) = (Collected::default(), 0, Ok(()));
        documents.read(&mut |place, document| {
            let Ok(bytes) = document else {
                return ControlFlow::Continue(());
            };
            read += bytes.len() as u64;
            let text = String::from_utf8_lossy(bytes).into_owned();
            counted.characters += text.chars().count() as u64;
            failed = about.add(place, text);
            match failed.is_ok() && progress(0.95).is_continue() {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        failed?;
        if progress(0.95).is_break() {
            return Err(Trouble::Rest);
        }
        about.flush()?;
        counted.units = read.div_ceil(UNIT);
        Ok(counted)
    }
}

/// Says what documents are about.
struct About<'a, 'b> {
    found: &'a Found,
    write: &'a mut Writing<'b>,
    names: Vec<String>,
    texts: Vec<String>,
    bytes: usize,
}

impl About<'_, '_> {
    fn add(&mut self, place: Place<'_>, text: String) -> Result<(), Trouble> {
        let name = match place.line {
            Some(line) => format!("{}:{line}", place.file),
            None => place.file.to_owned(),
        };
        self.bytes += text.len();
        self.names.push(quoted(name));
        self.texts.push(text);
        match self.texts.len() >= BATCH || self.bytes >= BATCH_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        let mixtures = self.found.mixtures(&self.texts);
        let mixtures = mixtures.map_err(|error| Trouble::Fails(error.to_string()))?;
        for (name, mixture) in self.names.drain(..).zip(mixtures) {
            for (topic, part) in mixture.iter().enumerate() {
                (self.write)(1, format!("{name},{topic:03},{part}\n").as_bytes())?;
            }
        }
        self.texts.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// A field of a CSV file.
fn quoted(field: String) -> String {
    match field.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field,
    }
}

impl Work for Topics {
    fn bounds(&self, _: &Spec) -> Bounds {
        Bounds {
            document: DOCUMENT,
            documents: MOST_DOCUMENTS,
            bytes: MOST_BYTES,
        }
    }

    fn whole(&self) -> Option<&dyn Whole> {
        Some(self)
    }

    fn too_large(&self, _: &Spec, _: u64) -> Failed {
        too_large(DOCUMENT)
    }
}
