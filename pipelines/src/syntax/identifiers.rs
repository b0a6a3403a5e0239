//! Addresses and numbers that name something are OTHER: e-mail and web addresses, telephone, card and identity numbers,
//! licence plates, handles and numbers of orders.
//!
//! Comprehend gives that type to what has no other; the recogniser was made for newspapers, which have none of these,
//! and cuts them up into dates and amounts. Most are what the rules for personal data find ([`pii::findings`], without a
//! reading); here are only those that are nobody's: `@handle`, `#12345`, and numbers of so many digits that they count
//! nothing. Streets with their number, which those rules find as well in English texts, are places.
//!
//! The words that a form puts before such numbers (`SSN`, `IBAN`) are nobody's names.

use super::claims::{Draft, Met, put};
use super::{EntityType, Syntax};
use crate::pii::{self, PiiKind};
use escala_models::spacy::Language;
use regex::Regex;
use std::sync::LazyLock;

/// What is sure of a number or handle by its shape.
const SCORE: f32 = 0.9;

static HANDLE: LazyLock<Regex> = LazyLock::new(|| compile(r"@[A-Za-z_][A-Za-z0-9_]{1,29}"));
static NUMBERED: LazyLock<Regex> = LazyLock::new(|| compile(r"#[0-9][0-9A-Za-z-]{1,29}"));
// Three groups of four and more, or nine digits and more without a mark.
static LONG: LazyLock<Regex> = LazyLock::new(|| {
    compile(r"(?:[0-9]{4}(?:-[0-9]{4}){2,5}|[0-9]{4}(?: [0-9]{4}){2,5}|[0-9]{9,34})")
});

fn compile(source: &str) -> Regex {
    // A test compiles them.
    Regex::new(source).expect("patterns of the program are sound")
}

/// Puts addresses and numbers in the place of what the recogniser made of them.
pub(super) fn claim(language: Language, text: &str, mut drafts: Vec<Draft>) -> Vec<Draft> {
    let field = |draft: &Draft| {
        matches!(
            draft.kind,
            EntityType::Person | EntityType::Organization | EntityType::Location
        ) && is_field(text[draft.bytes.clone()].trim_end_matches([':', '.', '#']))
    };
    drafts.retain(|draft| !field(draft));
    // Each needs a digit or one of these.
    if !text.contains(|c: char| c.is_ascii_digit() || matches!(c, '@' | '.' | ':')) {
        return drafts;
    }
    // Streets are found with a reading only, be it an empty one.
    let reading = (language == Language::English).then(Syntax::default);
    let mut claims: Vec<Draft> = pii::findings(text, reading.as_ref(), false)
        .into_iter()
        .filter_map(|found| {
            let kind = kind(found.kind)?;
            Some(Draft::new(
                found.bytes,
                kind,
                found.kind.name(),
                found.score,
            ))
        })
        .collect();
    for (pattern, label) in [
        (&*HANDLE, "HANDLE"),
        (&*NUMBERED, "NUMBER"),
        (&*LONG, "NUMBER"),
    ] {
        let found = pattern.find_iter(text).map(|found| found.range());
        let alone = found.filter(|range| {
            let before = text[..range.start].chars().next_back();
            let mut after = text[range.end..].chars();
            let next = after.next();
            // "1234567890.5" and "$1000000000" are amounts.
            let amount = |c: char| matches!(c, '.' | ',' | '$' | '€' | '£' | '¥' | '@' | '-' | '/');
            let touches = before.is_some_and(|c| c.is_alphanumeric() || amount(c))
                || next.is_some_and(|c| c.is_alphanumeric() || matches!(c, '%' | '€' | '@'));
            let goes_on =
                next.is_some_and(amount) && after.next().is_some_and(char::is_alphanumeric);
            !touches && !goes_on
        });
        claims.extend(alone.map(|range| Draft::new(range, EntityType::Other, label, SCORE)));
    }
    put(text, drafts, claims, |_| Met::Goes)
}

/// What is neither a date, an age nor a name is an address or number.
fn kind(kind: PiiKind) -> Option<EntityType> {
    match kind {
        PiiKind::DateTime | PiiKind::Age | PiiKind::Name | PiiKind::CreditDebitExpiry => None,
        PiiKind::Address => Some(EntityType::Location),
        _ => Some(EntityType::Other),
    }
}

/// The heading of a number or address in a form.
fn is_field(word: &str) -> bool {
    const FIELDS: [&str; 22] = [
        "ssn", "itin", "iban", "bic", "swift", "pin", "cvv", "vin", "url", "ip", "mac", "nhs",
        "dob", "email", "e-mail", "phone", "tel", "fax", "mobile", "zip", "id", "dni",
    ];
    FIELDS.iter().any(|field| field.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers_are_found() {
        for (text, wanted) in [
            ("write to press@tesla.com, please", vec!["press@tesla.com"]),
            (
                "see https://example.com/a?b=1.",
                vec!["https://example.com/a?b=1"],
            ),
            ("call 206-555-0100", vec!["206-555-0100"]),
            ("card 4111111111111112", vec!["4111111111111112"]),
            (
                "account 1111-0000-1111-0008 of",
                vec!["1111-0000-1111-0008"],
            ),
            ("Order #12345, #9 and C#", vec!["#12345"]),
            ("hi @bob_1! meet @ 5", vec!["@bob_1"]),
            ("12 Main Street, or so", vec!["12 Main Street"]),
            ("on 2024-01-05 at 10:30 for 1,000,000,000 people", vec![]),
            ("$1000000000 and 1234567890.5 and 1000000000€", vec![]),
        ] {
            let found = claim(Language::English, text, Vec::new());
            let found: Vec<&str> = found.iter().map(|one| &text[one.bytes.clone()]).collect();
            assert_eq!(found, wanted, "{text}");
        }
    }
}
