//! Names that end like a company's: `Acme Widgets LLC`, `Acme, Inc.`, `Müller GmbH`.
//!
//! The form that a company has by law stands at the end of its name, with or without a comma, and says what it is in
//! every country. What is a name goes back over words with capitals to the beginning of what the recogniser found, or
//! to the first of them.

use super::claims::{Draft, Met, put};
use super::{EntityType, PartOfSpeech, Token};

/// What is sure of such a name.
const SCORE: f32 = 0.9;
/// Words of a name before its form, at most.
const WORDS: usize = 6;

/// Puts whole names of companies in the place of their parts.
pub(super) fn complete(text: &str, tokens: &[Token], drafts: Vec<Draft>) -> Vec<Draft> {
    let mut claims = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let form = token.extent.of(text);
        if !is_form(form) {
            continue;
        }
        let Some(first) = first(text, tokens, at) else {
            continue;
        };
        let mut end = token.extent.end_byte;
        if !form.ends_with('.') && abbreviated(form) && text[end..].starts_with('.') {
            // The mark of the short form; that of the sentence's end when nothing follows but it.
            let after = text[end + 1..].trim_start_matches([' ', ',']);
            let goes_on = after.starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit());
            end += usize::from(goes_on);
        }
        let bytes = tokens[first].extent.begin_byte..end;
        claims.push(Draft::new(bytes, EntityType::Organization, "ORG", SCORE));
    }
    // What was found and begins before a name's first word is not widened over: "Yesterday Acme Inc."
    put(text, drafts, claims, |draft| match draft.kind {
        EntityType::Organization | EntityType::Title | EntityType::CommercialItem => Met::Joins,
        _ => Met::Yields,
    })
}

/// The first word of the name that a form ends.
fn first(text: &str, tokens: &[Token], form: usize) -> Option<usize> {
    let mut at = form;
    if at > 0 && tokens[at - 1].extent.of(text) == "," {
        at -= 1;
    }
    let mut first = None;
    for before in (0..at).rev().take(WORDS) {
        let token = &tokens[before];
        let word = token.extent.of(text);
        let gap = text.get(token.extent.end_byte..tokens[before + 1].extent.begin_byte);
        if !matches!(gap, Some("" | " ")) {
            break;
        }
        let proper = token.part_of_speech == PartOfSpeech::ProperNoun;
        let named = word.starts_with(char::is_uppercase)
            && (proper
                || matches!(
                    token.part_of_speech,
                    PartOfSpeech::Noun | PartOfSpeech::Adjective
                ) && before > 0);
        let joins = matches!(word, "&" | "-") && first.is_some();
        if !(named || joins) || is_form(word) {
            break;
        }
        if named {
            first = Some(before);
        }
    }
    first
}

/// A form in law, as it stands behind a name.
fn is_form(word: &str) -> bool {
    matches!(
        word.strip_suffix('.').unwrap_or(word),
        "Inc"
            | "LLC"
            | "Ltd"
            | "Corp"
            | "GmbH"
            | "PLC"
            | "plc"
            | "L.L.C"
            | "S.A"
            | "S.L"
            | "S.L.U"
            | "N.V"
            | "B.V"
            | "LLP"
            | "Corporation"
            | "Incorporated"
            | "S.p.A"
    )
}

/// A form that ends with a mark because letters are left out.
fn abbreviated(form: &str) -> bool {
    matches!(form, "Inc" | "Ltd" | "Corp")
}
