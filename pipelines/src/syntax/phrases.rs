//! Key phrases from the parser's noun chunks and the entities.
//!
//! spaCy ends a chunk with its noun and knows none without one: `July 5, 1994` is `July` there, `$999` nothing, and a list
//! without marks is one long chunk. So a chunk
//!
//! 1. is parted where a break stands in it ([`Breaks`]), and a part must hold a noun, name or number;
//! 2. goes on to the ends of an entity that it meets, and over a number that names it (`card 1111-…`);
//!
//! and what no chunk covers is a phrase as well: dates, amounts and names, and a line of a list or signature that holds
//! only nouns and what belongs to them.

use super::breaks::{Breaks, trimmed};
use super::claims::Draft;
use super::{EntityType, PartOfSpeech, Token};
use std::ops::Range;

/// A phrase in bytes and its score.
pub(super) type Phrase = (Range<usize>, f32);

/// What is sure of a line of nouns.
const LINE: f32 = 0.7;
/// Words of such a line, at most.
const WORDS: usize = 6;

/// The phrases of a text in its order; none overlap.
pub(super) fn all(
    text: &str,
    breaks: &Breaks<'_>,
    tokens: &[Token],
    chunks: Vec<Phrase>,
    entities: &[Draft],
) -> Vec<Phrase> {
    let mut phrases: Vec<Phrase> = Vec::with_capacity(chunks.len());
    for (bytes, score) in chunks {
        let parts = breaks.parts(&bytes);
        let whole = parts.len() == 1;
        for part in parts {
            if whole {
                phrases.push((part, score));
            } else if has_noun(tokens, &part) {
                phrases.extend(trimmed(text, part, is_loose).map(|part| (part, score)));
            }
        }
    }
    let mut entity = 0;
    for (bytes, _) in &mut phrases {
        while entities
            .get(entity)
            .is_some_and(|one| one.bytes.end <= bytes.start)
        {
            entity += 1;
        }
        let end = bytes.end;
        for met in entities[entity..]
            .iter()
            .take_while(|one| one.bytes.start < end)
        {
            bytes.start = bytes.start.min(met.bytes.start);
            bytes.end = bytes.end.max(met.bytes.end);
        }
        // The sentence's mark that the tokenizer left at the last word.
        let last = entities.partition_point(|one| one.bytes.start < bytes.end);
        if let Some(last) = last.checked_sub(1)
            && entities[last].bytes.end + 1 == bytes.end
            && text[..bytes.end].ends_with('.')
        {
            bytes.end -= 1;
        }
        // "Order #12345": a number behind a noun says which.
        let next = entities.partition_point(|one| one.bytes.start < bytes.end);
        if let Some(number) = entities.get(next)
            && is_number(text, number)
            && text.get(bytes.end..number.bytes.start) == Some(" ")
        {
            bytes.end = number.bytes.end;
        }
    }
    let named = entities.iter().filter(|one| is_phrase(one));
    phrases.extend(named.map(|one| (one.bytes.clone(), one.score)));
    let mut phrases = joined(text, phrases);
    lines(text, breaks, tokens, &mut phrases);
    phrases
}

/// Sorted; what overlaps, and what a hyphen joins (`e-mail`), as one, with the score of the first.
fn joined(text: &str, mut phrases: Vec<Phrase>) -> Vec<Phrase> {
    phrases.sort_by_key(|(bytes, _)| (bytes.start, std::cmp::Reverse(bytes.end)));
    let mut joined: Vec<Phrase> = Vec::with_capacity(phrases.len());
    for (bytes, score) in phrases {
        match joined.last_mut() {
            Some((last, _))
                if bytes.start < last.end || text.get(last.end..bytes.start) == Some("-") =>
            {
                last.end = last.end.max(bytes.end);
            }
            _ => joined.push((bytes, score)),
        }
    }
    joined
}

/// Adds lines of nouns in which no phrase is.
fn lines(text: &str, breaks: &Breaks<'_>, tokens: &[Token], phrases: &mut Vec<Phrase>) {
    let lines = breaks.all();
    if lines.len() < 2 {
        return;
    }
    let mut added = Vec::new();
    for line in lines {
        let next = phrases.partition_point(|(bytes, _)| bytes.end <= line.start);
        if phrases
            .get(next)
            .is_some_and(|(bytes, _)| bytes.start < line.end)
        {
            continue;
        }
        let words = within(tokens, &line);
        let nominal = |token: &Token| {
            matches!(
                token.part_of_speech,
                PartOfSpeech::Noun
                    | PartOfSpeech::ProperNoun
                    | PartOfSpeech::Adjective
                    | PartOfSpeech::Determiner
                    | PartOfSpeech::Numeral
                    | PartOfSpeech::Punctuation
            )
        };
        if words.len() <= WORDS && words.iter().all(nominal) && has_noun(tokens, &line) {
            added.extend(trimmed(text, line, is_loose).map(|line| (line, LINE)));
        }
    }
    if !added.is_empty() {
        phrases.extend(added);
        phrases.sort_by_key(|(bytes, _)| bytes.start);
    }
}

/// Marks around a line or a cell of a table.
fn is_loose(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '-' | '*' | ':' | ',' | ';' | '.' | '!' | '>' | '#' | '|' | '–' | '—' | '"'
        )
}

/// The words that lie in a range.
fn within<'t>(tokens: &'t [Token], bytes: &Range<usize>) -> &'t [Token] {
    let first = tokens.partition_point(|token| token.extent.begin_byte < bytes.start);
    let last = tokens.partition_point(|token| token.extent.end_byte <= bytes.end);
    tokens.get(first..last).unwrap_or_default()
}

fn has_noun(tokens: &[Token], bytes: &Range<usize>) -> bool {
    let noun = |token: &Token| {
        matches!(
            token.part_of_speech,
            PartOfSpeech::Noun | PartOfSpeech::ProperNoun | PartOfSpeech::Numeral
        )
    };
    within(tokens, bytes).iter().any(noun)
}

/// A number that names what stands before it.
fn is_number(text: &str, entity: &Draft) -> bool {
    entity.kind == EntityType::Other
        && text[entity.bytes.clone()].contains(|c: char| c.is_ascii_digit())
        && !matches!(
            &*entity.label,
            "EMAIL" | "URL" | "HANDLE" | "IP_ADDRESS" | "NORP" | "LAW" | "LANGUAGE" | "MISC"
        )
}

/// What is a phrase by itself. Mere counts belong to what is counted; peoples and languages are adjectives mostly.
fn is_phrase(entity: &Draft) -> bool {
    !matches!(
        &*entity.label,
        "CARDINAL" | "ORDINAL" | "NORP" | "LAW" | "LANGUAGE" | "MISC"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::Offsets;

    /// Tokens between spaces with a part of speech each: `N` noun, `V` verb, `.` mark.
    fn tokens(text: &str, parts: &str) -> Vec<Token> {
        let offsets = Offsets::new(text);
        let mut from = 0;
        let words = text.split_whitespace().zip(parts.chars());
        words
            .map(|(word, part)| {
                let start = from + text[from..].find(word).expect("a word");
                from = start + word.len();
                Token {
                    extent: offsets.extent(start..from).expect("fits"),
                    part_of_speech: match part {
                        'N' => PartOfSpeech::Noun,
                        'V' => PartOfSpeech::Verb,
                        _ => PartOfSpeech::Punctuation,
                    },
                    score: 1.0,
                    tag: String::new(),
                    lemma: word.into(),
                    dependency: String::new(),
                    head: 0,
                }
            })
            .collect()
    }

    fn found(
        text: &str,
        parts: &str,
        chunks: &[&str],
        entities: &[(&str, EntityType, &str)],
    ) -> Vec<String> {
        let place = |part: &str| {
            let start = text.find(part).expect("a part");
            start..start + part.len()
        };
        let chunks = chunks.iter().map(|chunk| (place(chunk), 0.5)).collect();
        let entities: Vec<Draft> = entities
            .iter()
            .map(|(part, kind, label)| Draft::new(place(part), *kind, label, 0.6))
            .collect();
        let all = all(
            text,
            &Breaks::of(text),
            &tokens(text, parts),
            chunks,
            &entities,
        );
        all.into_iter()
            .map(|(bytes, _)| text[bytes].to_owned())
            .collect()
    }

    #[test]
    fn phrases_are_whole_and_parted() {
        use EntityType::{Date, Other, Quantity};
        assert_eq!(
            found(
                "on July 5 , 1994 ended",
                "NNN.NV",
                &["July"],
                &[("July 5 , 1994", Date, "DATE")]
            ),
            ["July 5 , 1994"]
        );
        assert_eq!(
            found(
                "costs $5 today",
                "VNN",
                &[],
                &[("$5", Quantity, "MONEY"), ("today", Date, "DATE")]
            ),
            ["$5", "today"]
        );
        assert_eq!(
            found(
                "two cats",
                "NN",
                &["cats"],
                &[("two", Quantity, "CARDINAL")]
            ),
            ["cats"]
        );
        assert_eq!(
            found(
                "Order #123 came",
                "NNV",
                &["Order"],
                &[("#123", Other, "NUMBER")]
            ),
            ["Order #123"]
        );
        assert_eq!(
            found(
                "Fast food\n* good price",
                "NN.NN",
                &["Fast food\n* good price"],
                &[]
            ),
            ["Fast food", "good price"]
        );
        assert_eq!(
            found(
                "Thanks\nJane Doe\nSales Manager\nI go",
                "NNNNNVV",
                &["Thanks"],
                &[]
            ),
            ["Thanks", "Jane Doe", "Sales Manager"]
        );
        assert_eq!(found("bad 😀 Bob", "V.N", &["bad 😀 Bob"], &[]), ["Bob"]);
    }
}
