//! Spanish dictionary forms: each part of speech has a procedure of its own over lists of endings, of which the
//! word's features choose one.
//!
//! Reference: `spacy/lang/es/lemmatizer.py` of spaCy 3.8. It gives several candidates, the first of which counts:
//! here as there the first that is a known form, else the first there is.

use super::super::vocab::Vocabulary;
use super::{File, Form, take};
use std::collections::{HashMap, HashSet};

/// What is replaced, and by what.
type Rules = Vec<(String, String)>;
/// Words with features of their own in place of a rule.
type Exceptions = HashMap<String, Vec<String>>;

/// Most pronouns that are taken off a verb.
const PRONOUNS: usize = 4;

#[derive(Default)]
pub(crate) struct Lemmatizer {
    adjective: Table,
    noun: Table,
    verb: Table,
    determiner: Table,
    pronoun: Table,
    /// Exceptions of auxiliaries, numbers and adverbs.
    auxiliaries: Exceptions,
    numbers: (Rules, Exceptions),
    adverbs: (Rules, Exceptions),
    /// Determiners and pronouns that have a form of their own, and the endings of the others.
    fixed: Rules,
    general: Rules,
    /// Vowels with their accent, and without.
    accents: Rules,
    /// Stems' single vowels and diphthongs, and what they are in the infinitive.
    vowels: Vec<(char, String)>,
    diphthongs: Rules,
    /// Bytes of the longest known verb.
    longest_verb: usize,
}

/// What is known about a part of speech.
#[derive(Default)]
struct Table {
    /// Rules of whole words.
    words: Rules,
    /// Rules of endings, with the features they need, in the order to try.
    groups: Vec<(Vec<String>, Rules)>,
    exceptions: Exceptions,
    index: HashSet<String>,
}

impl Lemmatizer {
    pub(super) fn new(mut file: File, vocabulary: &Vocabulary) -> Self {
        let rules = file.lemma_rules.clone();
        let named = |name: &str| {
            let rules = rules.get(&vocabulary.id(name).to_string());
            rules.cloned().unwrap_or_default()
        };
        let mut table = |part: &str| Table {
            words: named(part),
            groups: take(&mut file.lemma_rules_groups, vocabulary, part)
                .into_iter()
                .map(|(name, features)| (features, named(&name)))
                .collect(),
            exceptions: take(&mut file.lemma_exc, vocabulary, part),
            index: take(&mut file.lemma_index, vocabulary, part)
                .into_iter()
                .collect(),
        };
        let single = |(old, new): (String, String)| {
            let mut letters = old.chars();
            match (letters.next(), letters.next()) {
                (Some(letter), None) => Some((letter, new)),
                // Nothing but single letters is ever compared with it.
                _ => None,
            }
        };
        let verb = table("verb");
        Self {
            adjective: table("adj"),
            noun: table("noun"),
            longest_verb: verb.index.iter().map(String::len).max().unwrap_or(0),
            verb,
            determiner: table("det"),
            pronoun: table("pron"),
            auxiliaries: take(&mut file.lemma_exc, vocabulary, "aux"),
            numbers: (named("num"), take(&mut file.lemma_exc, vocabulary, "num")),
            adverbs: (
                named("adverbs"),
                take(&mut file.lemma_exc, vocabulary, "adv"),
            ),
            fixed: named("det_and_pron_fixed"),
            general: named("det_and_pron_general"),
            accents: named("accents"),
            vowels: named("voc_alt_1").into_iter().filter_map(single).collect(),
            diphthongs: named("voc_alt_2"),
        }
    }

    pub(super) fn lemma(&self, form: &Form<'_>) -> String {
        let lower = form.lower;
        let exceptions = match form.part {
            "ADJ" => &self.adjective.exceptions,
            "ADV" => &self.adverbs.1,
            "AUX" => &self.auxiliaries,
            "DET" => &self.determiner.exceptions,
            "NOUN" => &self.noun.exceptions,
            "NUM" => &self.numbers.1,
            "PRON" => &self.pronoun.exceptions,
            "VERB" => &self.verb.exceptions,
            "PROPN" => return form.text.to_owned(),
            "" | "SPACE" => return lower.to_owned(),
            _ if form.starts_sentence => return lower.to_owned(),
            _ => return form.text.to_owned(),
        };
        if let Some(form) = exceptions.get(lower).and_then(|forms| forms.first()) {
            return form.clone();
        }
        match form.part {
            "ADJ" => self.inflected(&self.adjective, form),
            "NOUN" => self.inflected(&self.noun, form),
            "ADV" => whole(&self.adverbs.0, lower).unwrap_or(lower).to_owned(),
            "NUM" => self.number(lower),
            "DET" => self.pointer(&self.determiner, lower, true),
            "PRON" => self.pointer(&self.pronoun, lower, false),
            _ if form.has("PronType=Prs") => self.verb_with_pronouns(form),
            _ => self.verb(lower, form),
        }
    }

    /// The endings that a word's features choose.
    fn rules<'a>(table: &'a Table, form: &Form<'_>) -> &'a [(String, String)] {
        let chosen = table
            .groups
            .iter()
            .find(|(features, _)| features.iter().all(|feature| form.has(feature)));
        chosen.map_or(&[], |(_, rules)| rules)
    }

    /// Nouns and adjectives.
    fn inflected(&self, table: &Table, form: &Form<'_>) -> String {
        let word = form.lower;
        let mut candidates = replaced_endings(Self::rules(table, form), word);
        if form.has("Number=Plur") {
            // Plurals that have an accent which their singular has not: jóvenes, joven.
            let bare: Vec<String> = candidates
                .iter()
                .filter(|candidate| candidate.ends_with(['n', 's']))
                .flat_map(|candidate| self.unaccented(candidate))
                .collect();
            candidates.extend(bare);
        }
        best(candidates, &table.index, word)
    }

    /// Determiners and pronouns; a determiner that a rule of endings leaves as it is counts as a candidate.
    fn pointer(&self, table: &Table, word: &str, unchanged: bool) -> String {
        if let Some(form) = whole(&table.words, word).or_else(|| whole(&self.fixed, word)) {
            return form.to_owned();
        }
        let candidates = match unchanged {
            true => endings(&self.general, word).collect(),
            false => replaced_endings(&self.general, word),
        };
        let candidates = candidates.into_iter().chain([word.to_owned()]);
        best(candidates.collect(), &table.index, word)
    }

    /// Numbers with a decimal point and without dots between the thousands.
    fn number(&self, word: &str) -> String {
        if let Some(form) = whole(&self.numbers.0, word) {
            return form.to_owned();
        }
        let integer = word.split(',').next().unwrap_or_default();
        let digits = integer.as_bytes();
        let thousands = digits.len() >= 4
            && digits[digits.len() - 4] == b'.'
            && digits[digits.len() - 3..].iter().all(u8::is_ascii_digit);
        match thousands {
            true => word.replace('.', "").replace(',', "."),
            false => word.replace(',', "."),
        }
    }

    /// A verb, or an auxiliary.
    fn verb(&self, word: &str, form: &Form<'_>) -> String {
        let mut candidates = replaced_endings(Self::rules(&self.verb, form), word);
        let index = &self.verb.index;
        if let Some(known) = candidates.iter().find(|c| index.contains(*c)) {
            return known.clone();
        }
        // Stems whose vowel is another in the infinitive: duermen, dormir. What is longer than any known verb
        // cannot become one, and would take time that grows with the square of its length.
        let fits = |candidate: &str, old: usize, new: usize| {
            candidate.len() + new <= self.longest_verb + old
        };
        for candidate in &candidates {
            for (old, new) in &self.vowels {
                if !fits(candidate, old.len_utf8(), new.len()) {
                    continue;
                }
                for (at, letter) in candidate.char_indices() {
                    if letter == *old {
                        let rest = &candidate[at + letter.len_utf8()..];
                        let other = format!("{}{new}{rest}", &candidate[..at]);
                        if index.contains(&other) {
                            return other;
                        }
                    }
                }
            }
            for (old, new) in &self.diphthongs {
                if fits(candidate, old.len(), new.len()) && candidate.contains(old.as_str()) {
                    let other = candidate.replacen(old.as_str(), new, 1);
                    if index.contains(&other) {
                        return other;
                    }
                }
            }
        }
        // Without any known form it is the first candidate; those without accents would come after it.
        match candidates.is_empty() {
            true => word.to_owned(),
            false => candidates.swap_remove(0),
        }
    }

    /// A verb with its pronouns, each in its dictionary form: `decírmelo`, `decir yo él`.
    fn verb_with_pronouns(&self, form: &Form<'_>) -> String {
        let mut stem = form.lower;
        let mut pronouns = Vec::new();
        while pronouns.len() < PRONOUNS
            && let Some(pronoun) = pronoun_at_end(stem)
        {
            stem = &stem[..stem.len() - pronoun.len()];
            pronouns.insert(0, pronoun);
        }
        let mut bare = stem.to_owned();
        for (old, new) in &self.accents {
            bare = bare.replace(old.as_str(), new);
        }
        let mut lemma = match self.verb.exceptions.get(&bare).and_then(|f| f.first()) {
            Some(form) => form.clone(),
            None => self.verb(&bare, form),
        };
        // The space is there even where no pronoun is.
        lemma.push(' ');
        for (index, pronoun) in pronouns.into_iter().enumerate() {
            if index > 0 {
                lemma.push(' ');
            }
            match self.pronoun.exceptions.get(pronoun).and_then(|f| f.first()) {
                Some(form) => lemma.push_str(form),
                None => lemma.push_str(&self.pointer(&self.pronoun, pronoun, false)),
            }
        }
        lemma
    }

    /// A word without one accent after the other: one candidate for each of the vowels.
    fn unaccented(&self, word: &str) -> impl Iterator<Item = String> {
        self.accents
            .iter()
            .map(move |(old, new)| word.replace(old.as_str(), new))
    }

    /// How many words and rules the tables have.
    pub(super) fn entries(&self) -> usize {
        let tables = [
            &self.adjective,
            &self.noun,
            &self.verb,
            &self.determiner,
            &self.pronoun,
        ];
        let of = |table: &Table| {
            let endings: usize = table.groups.iter().map(|(_, rules)| 2 * rules.len()).sum();
            table.index.len() + 2 * (table.words.len() + table.exceptions.len()) + endings
        };
        tables.into_iter().map(of).sum()
    }
}

/// What a rule of whole words says about a word.
fn whole<'a>(rules: &'a [(String, String)], word: &str) -> Option<&'a str> {
    let rule = rules.iter().find(|(old, _)| old == word);
    rule.map(|(_, new)| new.as_str())
}

/// The word with its ending replaced by each rule, or as it is where a rule does not fit.
fn endings(rules: &[(String, String)], word: &str) -> impl Iterator<Item = String> {
    rules
        .iter()
        .map(move |(old, new)| match word.strip_suffix(old.as_str()) {
            Some(stem) => format!("{stem}{new}"),
            None => word.to_owned(),
        })
}

/// The forms with another ending than the word's.
fn replaced_endings(rules: &[(String, String)], word: &str) -> Vec<String> {
    endings(rules, word).filter(|form| form != word).collect()
}

/// The first known form, else the first, else the word.
fn best(candidates: Vec<String>, index: &HashSet<String>, word: &str) -> String {
    let known = candidates.iter().position(|form| index.contains(form));
    candidates
        .into_iter()
        .nth(known.unwrap_or(0))
        .unwrap_or_else(|| word.to_owned())
}

/// The longest pronoun at the end of a word.
fn pronoun_at_end(word: &str) -> Option<&'static str> {
    // By falling length.
    const ENDINGS: [&str; 11] = [
        "las", "les", "los", "nos", "la", "le", "lo", "me", "os", "se", "te",
    ];
    ENDINGS.into_iter().find(|ending| word.ends_with(ending))
}
