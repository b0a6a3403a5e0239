//! Base noun phrases from the dependencies. Reference: `spacy/lang/{en,es}/syntax_iterators.py` of spaCy 3.8.

use super::Language;
use super::parser::Tree;
use std::ops::Range;

/// Relations a noun phrase's head may have in English.
const RELATIONS: [&str; 10] = [
    "oprd",
    "nsubj",
    "dobj",
    "nsubjpass",
    "pcomp",
    "pobj",
    "dative",
    "appos",
    "attr",
    "ROOT",
];

/// The same in Spanish.
const SPANISH_RELATIONS: [&str; 8] = [
    "nsubj",
    "nsubj:pass",
    "obj",
    "obl",
    "nmod",
    "pcomp",
    "appos",
    "ROOT",
];
/// Relations of a Spanish word's first child on the right with which the phrase goes on to its right edge.
const SPANISH_EXTENSIONS: [&str; 3] = ["flat", "fixed", "compound"];

/// The noun chunks of a language. `parts` and `labels` are the final parts of speech and relations.
pub(crate) fn noun_chunks<'a>(
    language: Language,
    tree: &Tree,
    parts: impl Fn(usize) -> &'a str,
    labels: impl Fn(usize) -> &'a str,
) -> Vec<Range<usize>> {
    match language {
        Language::English => english(tree, parts, labels),
        Language::Spanish => spanish(tree, parts, labels),
    }
}

/// From the left edge of a noun, name or pronoun to the word itself, where its relation (or that of the
/// first of the words it is coordinated with) is one of a noun phrase.
fn english<'a>(
    tree: &Tree,
    parts: impl Fn(usize) -> &'a str,
    labels: impl Fn(usize) -> &'a str,
) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut end = 0;
    for word in 0..tree.heads.len() {
        if !matches!(parts(word), "NOUN" | "PROPN" | "PRON") || tree.left_edges[word] < end {
            continue;
        }
        let head = match labels(word) {
            "conj" => coordinated_with(tree, &labels, word),
            _ => word,
        };
        if RELATIONS.contains(&labels(head)) {
            end = word + 1;
            chunks.push(tree.left_edges[word]..end);
        }
    }
    chunks
}

/// From the left edge of a noun, name or pronoun, less one preposition, over the word to the end of an adjective
/// or the parts of a name that follow it; a word that is coordinated with such a one, from its left edge, less a
/// conjunction, to itself.
fn spanish<'a>(
    tree: &Tree,
    parts: impl Fn(usize) -> &'a str,
    labels: impl Fn(usize) -> &'a str,
) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut end = 0;
    for word in 0..tree.heads.len() {
        let left = tree.left_edges[word];
        if !matches!(parts(word), "NOUN" | "PROPN" | "PRON") || left < end {
            continue;
        }
        let (last, dropped) = if SPANISH_RELATIONS.contains(&labels(word)) {
            let reach = word + 1..=tree.right_edges[word];
            let last = match reach.into_iter().find(|&child| tree.heads[child] == word) {
                Some(child) if labels(child) == "amod" => tree.right_edges[child],
                Some(child) if SPANISH_EXTENSIONS.contains(&labels(child)) => {
                    tree.right_edges[word]
                }
                _ => word,
            };
            (last, "ADP")
        } else if labels(word) == "conj"
            && SPANISH_RELATIONS.contains(&labels(coordinated_with(tree, &labels, word)))
        {
            (word, "CCONJ")
        } else {
            continue;
        };
        end = last + 1;
        chunks.push(left + usize::from(parts(left) == dropped)..end);
    }
    chunks
}

/// The first of the words that a word is coordinated with.
fn coordinated_with<'a>(tree: &Tree, labels: impl Fn(usize) -> &'a str, word: usize) -> usize {
    let mut head = tree.heads[word];
    while labels(head) == "conj" && tree.heads[head] < head {
        head = tree.heads[head];
    }
    head
}
