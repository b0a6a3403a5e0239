//! Dictionary forms by the rules of each language over the model's own tables.

mod english;
mod spanish;

use super::Language;
use super::vocab::Vocabulary;
use crate::error::Result;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;

/// A word whose dictionary form is asked for.
pub(crate) struct Form<'a> {
    pub(crate) text: &'a str,
    /// Its lower-case spelling.
    pub(crate) lower: &'a str,
    /// Its part of speech; empty when there is none.
    pub(crate) part: &'a str,
    /// Its features, `Feature=Value|…`.
    pub(crate) morphology: &'a str,
    pub(crate) starts_sentence: bool,
}

impl Form<'_> {
    /// Whether the word has a feature, `Feature=Value`.
    fn has(&self, feature: &str) -> bool {
        self.morphology.split('|').any(|f| f == feature)
    }
}

/// `lemmas.json`: tables by the id of a name, mostly that of a part of speech in lower case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    lemma_rules: HashMap<String, Vec<(String, String)>>,
    lemma_exc: HashMap<String, HashMap<String, Vec<String>>>,
    lemma_index: HashMap<String, Vec<String>>,
    /// Only in Spanish: rules by their name, and the features with which they apply, in the order to try.
    #[serde(default)]
    lemma_rules_groups: HashMap<String, Vec<(String, Vec<String>)>>,
}

/// Takes what a table has under a name.
fn take<T: Default>(table: &mut HashMap<String, T>, vocabulary: &Vocabulary, name: &str) -> T {
    table
        .remove(&vocabulary.id(name).to_string())
        .unwrap_or_default()
}

pub(crate) enum Lemmatizer {
    English(english::Lemmatizer),
    Spanish(Box<spanish::Lemmatizer>),
}

impl Lemmatizer {
    pub(crate) fn load(folder: &Path, language: Language, vocabulary: &Vocabulary) -> Result<Self> {
        let file: File = super::read_json(&folder.join("lemmas.json"))?;
        Ok(match language {
            Language::English => Self::English(english::Lemmatizer::new(file, vocabulary)),
            Language::Spanish => {
                Self::Spanish(Box::new(spanish::Lemmatizer::new(file, vocabulary)))
            }
        })
    }

    /// The dictionary form of a word.
    pub(crate) fn lemma(&self, vocabulary: &Vocabulary, form: &Form<'_>) -> String {
        match self {
            Self::English(lemmatizer) => lemmatizer.lemma(vocabulary, form),
            Self::Spanish(lemmatizer) => lemmatizer.lemma(form),
        }
    }

    /// About how many bytes the tables take.
    pub(crate) fn memory(&self) -> u64 {
        let entries = match self {
            Self::English(lemmatizer) => lemmatizer.entries(),
            Self::Spanish(lemmatizer) => lemmatizer.entries(),
        };
        entries as u64 * 64
    }
}
