//! Base noun phrases from the dependencies. Reference: `spacy/lang/en/syntax_iterators.py` of spaCy 3.8.

use super::parser::Tree;
use std::ops::Range;

/// Relations a noun phrase's head may have.
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

/// From the left edge of a noun, name or pronoun to the word itself, where its relation (or that of the
/// first of the words it is coordinated with) is one of a noun phrase. `labels` are the final relations.
pub(crate) fn noun_chunks<'a>(
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
        let mut head = word;
        if labels(word) == "conj" {
            head = tree.heads[word];
            while labels(head) == "conj" && tree.heads[head] < head {
                head = tree.heads[head];
            }
        }
        if RELATIONS.contains(&labels(head)) {
            end = word + 1;
            chunks.push(tree.left_edges[word]..end);
        }
    }
    chunks
}
