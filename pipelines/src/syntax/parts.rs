//! Parts of speech of what is no word: the tagger makes nouns and names of signs that it has never seen.
//!
//! Universal Dependencies, whose tags Comprehend's are, call a sign that is drawn or stands for a word a symbol, and a
//! mark between words punctuation.

use super::PartOfSpeech;
use super::breaks::is_drawn;

/// The part of speech of a token that the tagger gave this one.
pub(super) fn of(word: &str, tagged: PartOfSpeech) -> PartOfSpeech {
    use PartOfSpeech::{Adjective, Noun, Other, Pronoun, ProperNoun, Punctuation, Symbol, Verb};
    if word.starts_with(|c: char| !c.is_ascii()) && is_drawn(word) {
        return Symbol;
    }
    let nominal = matches!(
        tagged,
        Noun | ProperNoun | Pronoun | Verb | Adjective | Other
    );
    let handle = word
        .strip_prefix('@')
        .is_some_and(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_'));
    if handle && nominal {
        return ProperNoun;
    }
    if !nominal || word.contains(char::is_alphanumeric) {
        return tagged;
    }
    match word.chars().next() {
        Some(
            '%' | '‰' | '$' | '€' | '£' | '¥' | '+' | '=' | '<' | '>' | '~' | '^' | '°' | '#' | '|',
        ) => Symbol,
        Some(c)
            if c.is_ascii_punctuation() || matches!(c, '–' | '—' | '…' | '“' | '”' | '«' | '»') =>
        {
            Punctuation
        }
        _ => tagged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PartOfSpeech::{Noun, Pronoun, ProperNoun, Punctuation, Symbol, Verb};

    #[test]
    fn signs_are_no_nouns() {
        for (word, tagged, wanted) in [
            ("😀", ProperNoun, Symbol),
            ("❤️", Noun, Symbol),
            ("%", Noun, Symbol),
            ("-", Noun, Punctuation),
            ("@bob", Pronoun, ProperNoun),
            ("@", Noun, Punctuation),
            ("mail", Noun, Noun),
            ("5", Noun, Noun),
            ("goes", Verb, Verb),
            (",", Punctuation, Punctuation),
        ] {
            assert_eq!(of(word, tagged), wanted, "{word}");
        }
    }
}
