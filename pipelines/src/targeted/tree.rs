//! A reading as a tree: who hangs on whom, which clause a word is part of, and the text of chosen words.

use crate::error::{Error, Kind, Result};
use crate::syntax::{PartOfSpeech, Syntax, Token};
use std::ops::Range;

/// Relations of what a clause is about.
pub const SUBJECTS: &[&str] = &["nsubj", "nsubjpass", "expl", "csubj", "csubjpass"];

/// The words of a text with their relations. The dependents of a word are in the order of the text.
pub struct Tree<'a> {
    text: &'a str,
    tokens: &'a [Token],
    lower: Vec<String>,
    children: Vec<Vec<usize>>,
    clause: Vec<usize>,
    predicate: Vec<usize>,
    sentence: Vec<usize>,
}

impl<'a> Tree<'a> {
    /// The tree of a reading.
    ///
    /// # Errors
    /// `Internal` when the reading is not of this text, or its words hang on what there is not.
    pub fn of(text: &'a str, syntax: &'a Syntax) -> Result<Self> {
        let tokens = &syntax.tokens;
        let fits = |token: &Token| {
            let extent = token.extent;
            token.head < tokens.len() && text.get(extent.begin_byte..extent.end_byte).is_some()
        };
        if !tokens.iter().all(fits) {
            let message = "the reading does not fit its text";
            return Err(Error::new(Kind::Internal, message));
        }
        let lower = |token: &Token| token.extent.of(text).to_lowercase();
        let mut children = vec![Vec::new(); tokens.len()];
        for (index, token) in tokens.iter().enumerate() {
            if token.head != index {
                children[token.head].push(index);
            }
        }
        let mut sentence = vec![0; tokens.len()];
        let mut at = 0;
        for (place, token) in sentence.iter_mut().zip(tokens) {
            while syntax
                .sentences
                .get(at)
                .is_some_and(|sentence| sentence.end_byte <= token.extent.begin_byte)
            {
                at += 1;
            }
            *place = at;
        }
        let mut tree = Self {
            text,
            tokens,
            lower: tokens.iter().map(lower).collect(),
            children,
            clause: Vec::new(),
            predicate: Vec::new(),
            sentence,
        };
        tree.clause = tree.nearest(|index| tree.opens_clause(index));
        tree.predicate = tree.nearest(|index| tree.opens_predicate(index));
        Ok(tree)
    }

    /// For each word the nearest word at or above it that is such a one, or the last above it.
    fn nearest(&self, is: impl Fn(usize) -> bool) -> Vec<usize> {
        let unknown = usize::MAX;
        let mut found = vec![unknown; self.tokens.len()];
        let mut path = Vec::new();
        for start in 0..self.tokens.len() {
            let mut at = start;
            // A path longer than the text would be a circle, which no tree has: it ends there all the same.
            let end = loop {
                if found[at] != unknown {
                    break found[at];
                }
                path.push(at);
                let above = self.tokens[at].head;
                if is(at) || above == at || path.len() > self.tokens.len() {
                    break at;
                }
                at = above;
            };
            for step in path.drain(..) {
                found[step] = end;
            }
        }
        found
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// A word.
    pub fn token(&self, index: usize) -> &Token {
        &self.tokens[index]
    }

    /// A word in small letters.
    pub fn lower(&self, index: usize) -> &str {
        &self.lower[index]
    }

    /// A word's dictionary form.
    pub fn lemma(&self, index: usize) -> &str {
        &self.tokens[index].lemma
    }

    /// A word's relation to its head.
    pub fn dep(&self, index: usize) -> &str {
        &self.tokens[index].dependency
    }

    /// What a word hangs on; itself for the root of a sentence.
    pub fn head(&self, index: usize) -> usize {
        self.tokens[index].head
    }

    /// A word's part of speech.
    pub fn part(&self, index: usize) -> PartOfSpeech {
        self.tokens[index].part_of_speech
    }

    /// It is a noun or a name.
    pub fn is_noun(&self, index: usize) -> bool {
        matches!(
            self.part(index),
            PartOfSpeech::Noun | PartOfSpeech::ProperNoun
        )
    }

    /// It is a verb, the verb `be` and auxiliaries included.
    pub fn is_verb(&self, index: usize) -> bool {
        matches!(
            self.part(index),
            PartOfSpeech::Verb | PartOfSpeech::Auxiliary
        )
    }

    /// What hangs on a word.
    pub fn children(&self, index: usize) -> &[usize] {
        &self.children[index]
    }

    /// What hangs on a word by one of these relations.
    pub fn dependents<'t>(
        &'t self,
        index: usize,
        relations: &'t [&'t str],
    ) -> impl Iterator<Item = usize> + 't {
        let children = self.children[index].iter().copied();
        children.filter(|child| relations.contains(&self.dep(*child)))
    }

    /// It has a dependent by one of these relations.
    pub fn has(&self, index: usize, relations: &[&str]) -> bool {
        self.dependents(index, relations).next().is_some()
    }

    /// The word that opens the clause around a word.
    pub fn clause(&self, index: usize) -> usize {
        self.clause[index]
    }

    /// The word that opens the predicate around a word: a clause's verb, or a verb joined to it.
    pub fn predicate(&self, index: usize) -> usize {
        self.predicate[index]
    }

    /// Number of the sentence a word stands in.
    pub fn sentence(&self, index: usize) -> usize {
        self.sentence[index]
    }

    /// The subject of a clause or predicate; a verb without one of its own has that of the verb it depends on.
    pub fn subject(&self, verb: usize) -> Option<usize> {
        let mut at = verb;
        for _ in 0..8 {
            if let Some(subject) = self.dependents(at, SUBJECTS).next() {
                return Some(subject);
            }
            match self.dep(at) {
                "conj" | "xcomp" | "pcomp" | "acomp" | "attr" | "prep" | "oprd" | "aux" => {
                    at = self.head(at);
                }
                _ => return None,
            }
        }
        None
    }

    /// A verb's `not`.
    pub fn negated(&self, verb: usize) -> bool {
        self.has(verb, &["neg"])
    }

    fn opens_clause(&self, index: usize) -> bool {
        let own_subject = || self.has(index, SUBJECTS);
        match self.dep(index) {
            "ROOT" | "parataxis" | "relcl" => true,
            // "The trouble is that it crashes" is one clause; "it was good, we will be back" is two.
            "ccomp" if self.completes(index) => false,
            "ccomp" => own_subject() || self.is_verb(index),
            "advcl" => own_subject() || self.has(index, &["mark"]),
            // "… but the service slow": the verb is left out where it is the one before.
            "conj" => {
                let adjective = self.part(index) == PartOfSpeech::Adjective;
                (self.is_verb(index) || adjective) && own_subject()
            }
            _ => self.head(index) == index,
        }
    }

    /// It is what a form of `be` before it says, with no mark in between.
    fn completes(&self, index: usize) -> bool {
        let verb = self.head(index);
        let mut marks = self.dependents(verb, &["punct"]);
        index > verb && self.lemma(verb) == "be" && !marks.any(|mark| (verb..index).contains(&mark))
    }

    fn opens_predicate(&self, index: usize) -> bool {
        let joined = self.dep(index) == "conj" && self.is_verb(index);
        joined || self.opens_clause(index)
    }

    /// Whether a word is another or hangs on it, looking up a bounded number of steps.
    pub fn within(&self, index: usize, top: usize, most: usize) -> bool {
        let mut at = index;
        for _ in 0..most {
            if at == top {
                return true;
            }
            let above = self.head(at);
            if above == at {
                return false;
            }
            at = above;
        }
        false
    }

    /// The bytes from the first to the last of a range of words.
    pub fn bytes(&self, words: &Range<usize>) -> Range<usize> {
        match self.tokens.get(words.clone()) {
            Some([first, .., last]) => first.extent.begin_byte..last.extent.end_byte,
            Some([only]) => only.extent.begin_byte..only.extent.end_byte,
            _ => 0..0,
        }
    }

    /// The text of a range of words.
    pub fn text_of(&self, words: &Range<usize>) -> &'a str {
        self.text.get(self.bytes(words)).unwrap_or_default()
    }

    /// The text of chosen words in order, with one space where words are left out, and a capital at its start.
    pub fn phrase(&self, words: &[usize]) -> String {
        let mut phrase = String::new();
        let mut before: Option<usize> = None;
        for &word in words {
            let extent = self.tokens[word].extent;
            match before {
                Some(last) if last + 1 == word => {
                    let gap = self.tokens[last].extent.end_byte..extent.begin_byte;
                    let gap = self.text.get(gap).unwrap_or_default();
                    phrase.push_str(if gap.is_empty() { "" } else { " " });
                }
                Some(_) => phrase.push(' '),
                None => {}
            }
            let text = extent.of(self.text);
            match (before, text.chars().next()) {
                (None, Some(first)) => {
                    phrase.extend(first.to_uppercase());
                    phrase.push_str(&text[first.len_utf8()..]);
                }
                _ => phrase.push_str(text),
            }
            before = Some(word);
        }
        phrase
    }
}
