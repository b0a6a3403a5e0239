//! English dictionary forms by rules: what a part of speech's endings are replaced by, exceptions, and the list of
//! known forms. Reference: `spacy/pipeline/lemmatizer.py` and `spacy/lang/en/lemmatizer.py` of spaCy 3.8;
//! the tables are WordNet's.

use super::super::vocab::Vocabulary;
use super::{File, Form, take};
use std::collections::{HashMap, HashSet};

pub(crate) struct Lemmatizer {
    tables: HashMap<String, Table>,
}

/// What is known about a part of speech.
#[derive(Default)]
struct Table {
    rules: Vec<(String, String)>,
    exceptions: HashMap<String, Vec<String>>,
    index: HashSet<String>,
}

/// The parts of speech of Universal Dependencies, as the tables' keys spell them.
const PARTS: [&str; 17] = [
    "adj", "adp", "adv", "aux", "cconj", "det", "intj", "noun", "num", "part", "pron", "propn",
    "punct", "sconj", "sym", "verb", "x",
];

impl Lemmatizer {
    pub(super) fn new(mut file: File, vocabulary: &Vocabulary) -> Self {
        let mut tables = HashMap::new();
        for part in PARTS {
            let index = take(&mut file.lemma_index, vocabulary, part);
            let table = Table {
                rules: take(&mut file.lemma_rules, vocabulary, part),
                exceptions: take(&mut file.lemma_exc, vocabulary, part),
                index: index.into_iter().collect(),
            };
            if !(table.rules.is_empty() && table.exceptions.is_empty() && table.index.is_empty()) {
                tables.insert(part.to_uppercase(), table);
            }
        }
        Self { tables }
    }

    pub(super) fn lemma(&self, vocabulary: &Vocabulary, form: &Form<'_>) -> String {
        let Form {
            text,
            lower,
            part,
            morphology,
            ..
        } = *form;
        if part.is_empty() || part == "SPACE" || is_base_form(part, morphology) {
            return lower.to_owned();
        }
        let Some(table) = self.tables.get(part) else {
            return if part == "PROPN" { text } else { lower }.to_owned();
        };
        // An exception wins (the last of several that the rules do not find as well); then the last rule
        // that gives a known form; then the first that gives something that is no word; then the first
        // that gives anything.
        let forms = self.by_rules(vocabulary, table, lower);
        let exceptions = table.exceptions.get(lower).map_or(&[][..], Vec::as_slice);
        if let Some(form) = exceptions.iter().rev().find(|form| !forms.contains(form)) {
            return form.clone();
        }
        if let Some(form) = forms.into_iter().next() {
            return form;
        }
        table
            .rules
            .iter()
            .filter_map(|(old, new)| Some(format!("{}{new}", lower.strip_suffix(old.as_str())?)))
            .find(|form| !form.is_empty())
            .unwrap_or_else(|| text.to_owned())
    }

    /// Forms that are known or are no words, the best first.
    fn by_rules(&self, vocabulary: &Vocabulary, table: &Table, lower: &str) -> Vec<String> {
        let mut known = Vec::new();
        let mut other = Vec::new();
        for (old, new) in &table.rules {
            let Some(stem) = lower.strip_suffix(old.as_str()) else {
                continue;
            };
            let form = format!("{stem}{new}");
            if form.is_empty() {
                continue;
            }
            if table.index.contains(&form) {
                known.insert(0, form);
            } else if !form.chars().all(|c| vocabulary.is_letter(c)) {
                other.push(form);
            }
        }
        known.extend(other);
        known
    }

    /// How many words the tables have.
    pub(super) fn entries(&self) -> usize {
        self.tables
            .values()
            .map(|table| table.index.len() + 2 * table.exceptions.len())
            .sum()
    }
}

/// Whether a word is in its dictionary form already, going by its morphology.
fn is_base_form(part: &str, morphology: &str) -> bool {
    let get = |feature: &str| {
        morphology
            .split('|')
            .find_map(|pair| pair.strip_prefix(feature)?.strip_prefix('='))
    };
    let form = get("VerbForm");
    (part == "NOUN" && get("Number") == Some("Sing"))
        || (part == "VERB"
            && form == Some("Fin")
            && get("Tense") == Some("Pres")
            && get("Number").is_none())
        || form == Some("Inf")
        || form == Some("None")
        || get("Degree") == Some("Pos")
}
