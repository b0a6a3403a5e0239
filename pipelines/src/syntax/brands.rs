//! Brands and products that the list of well-known names has ([`crate::targeted::types`]), with the model that follows:
//! `Netflix`, `Xbox Series X`, `Dell XPS 13`, `iPhone 15 Pro`.
//!
//! The recogniser knows the companies of its newspapers and takes others for places or people. Where it found something,
//! a name of the list gets its type; where it found nothing, only a name that is no common word does. What is longer
//! than a name of the list (`Ford Foundation`, `Amazon River`) is left alone, and so is a person with the name of a
//! company (`Ford`).

use super::claims::{Draft, Met, put};
use super::{EntityType, PartOfSpeech, Token};
use crate::targeted::TargetType;
use crate::targeted::types;

/// What is sure of a name of the list.
const SCORE: f32 = 0.8;
/// Words of a name of the list, at most.
const WORDS: usize = 3;
/// Words of a model behind it, at most.
const MODEL: usize = 4;

/// Puts names of the list in the place of what the recogniser made of them.
pub(super) fn claim(text: &str, tokens: &[Token], drafts: Vec<Draft>) -> Vec<Draft> {
    let mut claims: Vec<Draft> = Vec::new();
    let mut draft = 0;
    let mut at = 0;
    while at < tokens.len() {
        let Some((words, known)) = name(text, tokens, at) else {
            at += 1;
            continue;
        };
        let model = match known {
            TargetType::Brand | TargetType::CommercialItem | TargetType::Software => {
                model(text, &tokens[at + words..])
            }
            _ => 0,
        };
        let last = tokens[at + words + model - 1].extent;
        // The sentence's mark that the tokenizer left at a letter: "Series X."
        let mark = model > 0 && last.of(text).ends_with('.');
        let bytes = tokens[at].extent.begin_byte..last.end_byte - usize::from(mark);
        while drafts
            .get(draft)
            .is_some_and(|draft| draft.bytes.end <= bytes.start)
        {
            draft += 1;
        }
        let mut met = drafts[draft..]
            .iter()
            .take_while(|draft| draft.bytes.start < bytes.end)
            .peekable();
        let seen = met.peek().map(|draft| (draft.kind, draft.label.as_str()));
        let longer = met.any(|draft| {
            // An article before it is no part of its name.
            let before = text.get(draft.bytes.start..bytes.start).unwrap_or_default();
            !matches!(before, "" | "the " | "The " | "a " | "A " | "my " | "My ")
                || draft.bytes.end > bytes.end && text.get(bytes.end..draft.bytes.end) != Some("'s")
        });
        let lower = text[bytes.clone()].to_lowercase();
        let kind = match (known, model) {
            (_, 1..) | (TargetType::CommercialItem, _) => Some(EntityType::CommercialItem),
            (TargetType::Brand | TargetType::Organization, _) => match seen {
                Some((EntityType::Person, _)) if types::is_surname_too(&lower) => None,
                None if types::is_common_too(&lower) => None,
                _ => Some(EntityType::Organization),
            },
            _ => None,
        };
        let unsure = seen.is_none() && model == 0 && types::is_common_too(&lower);
        if let Some(kind) = kind
            && !longer
            && !unsure
        {
            let label = match kind {
                EntityType::Organization => "ORG",
                _ => "PRODUCT",
            };
            // What the recogniser itself is sure of keeps its score.
            let score = match seen {
                Some((same, _)) if same == kind => 0.0,
                _ => SCORE,
            };
            claims.push(Draft::new(bytes, kind, label, score));
        }
        at += words + model;
    }
    put(text, drafts, claims, |_| Met::Joins)
}

/// How many words from a place on are a name of the list, written with a capital as names are.
fn name(text: &str, tokens: &[Token], at: usize) -> Option<(usize, TargetType)> {
    let first = tokens[at].extent.of(text);
    let capital = first.contains(char::is_uppercase);
    let part = tokens[at].part_of_speech;
    let nominal = matches!(
        part,
        PartOfSpeech::ProperNoun | PartOfSpeech::Noun | PartOfSpeech::Adjective
    );
    if !capital || !nominal {
        return None;
    }
    (1..=WORDS.min(tokens.len() - at)).rev().find_map(|words| {
        let last = &tokens[at + words - 1];
        let whole = text.get(tokens[at].extent.begin_byte..last.extent.end_byte)?;
        let capitals = words == 1 || last.extent.of(text).starts_with(char::is_uppercase);
        // A word alone must be a name where it stands.
        let named = words > 1 || part != PartOfSpeech::Adjective;
        let known = types::of_known_name(&whole.to_lowercase())?;
        (capitals && named).then_some((words, known))
    })
}

/// How many of these words are the model of what was named before them: `15 Pro`, `XPS 13`, `Series X`.
fn model(text: &str, tokens: &[Token]) -> usize {
    let mut count = 0;
    let mut end = None;
    for token in tokens.iter().take(MODEL) {
        let word = token.extent.of(text);
        // Only a space between, no line end.
        let near = match end {
            None => text[..token.extent.begin_byte].ends_with([' ', '-']),
            Some(end) => text.get(end..token.extent.begin_byte) == Some(" "),
        };
        let bare = word.strip_suffix('.').unwrap_or(word);
        if !near || !is_model(bare) {
            break;
        }
        count += 1;
        if bare.len() < word.len() {
            break;
        }
        end = Some(token.extent.end_byte);
    }
    count
}

/// A word that tells models apart: with a digit, but no year; two to four capitals; or one of the trade's words.
fn is_model(word: &str) -> bool {
    let year = word.len() == 4 && (word.starts_with("19") || word.starts_with("20"));
    let plain = word.chars().all(char::is_alphanumeric);
    let digits = word.contains(|c: char| c.is_ascii_digit());
    let starts = word.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit());
    let capitals = (2..=4).contains(&word.len()) && word.chars().all(|c| c.is_ascii_uppercase());
    // "Windows 11": the number of an edition is short.
    let short = !word.chars().all(|c| c.is_ascii_digit()) || word.len() <= 4;
    plain && (digits && starts && short && !year || capitals && word != "CEO" && word != "CFO")
        || matches!(
            word,
            "Pro"
                | "Max"
                | "Plus"
                | "Mini"
                | "Ultra"
                | "Series"
                | "Air"
                | "Lite"
                | "X"
                | "S"
                | "Fold"
                | "Flip"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_told_from_other_words() {
        for model in ["15", "S24", "XPS", "13", "Pro", "X", "G7", "WH1000XM4"] {
            assert!(is_model(model), "{model}");
        }
        for other in [
            "2024",
            "Foundation",
            "is",
            "CEO",
            "$5",
            "123456",
            "River",
            "a1",
        ] {
            assert!(!is_model(other), "{other}");
        }
    }
}
