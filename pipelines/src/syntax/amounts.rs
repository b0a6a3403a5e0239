//! Amounts with their currency, their percent sign and their short thousands: `$999`, `20 €`, `$383B`, `20 %`.
//!
//! The recogniser, made for newspapers, leaves a sign that touches a number out as often as not, and takes `$383B` for
//! `383B`. Codes of currencies before a sign (`US$`) belong to it. Marks between digits part thousands or decimals,
//! whichever a country uses.

use super::EntityType;
use super::claims::{Draft, Met, put};
use regex::Regex;
use std::sync::LazyLock;

/// What is sure of an amount that the recogniser did not see: as often as it is right about money.
const SCORE: f32 = 0.915;

const NUMBER: &str = r"[0-9]+(?:[.,][0-9]+)*";
const SHORT: &str = r"(?:bn|mn|tn|[KkMmBbTt])";
const LONG: &str = r"(?:hundred|thousand|million|billion|trillion|mil|millón|millones|billones)";
const SIGN: &str = r"[$€£¥₹₽₩₺₪₫฿₴₦]";

static MONEY: LazyLock<Regex> = LazyLock::new(|| {
    compile(&format!(
        r"(?:(?:US|AU|CA|NZ|HK|SG|A|C|S|R)?{SIGN} ?{NUMBER}{SHORT}?(?:[ -]{LONG})?|{NUMBER}{SHORT}?(?: {LONG})? ?{SIGN})"
    ))
});
static PERCENT: LazyLock<Regex> =
    LazyLock::new(|| compile(&format!(r"{NUMBER}(?: |\x{{a0}}|&nbsp;)?[%‰]")));

static SHORT_END: LazyLock<Regex> =
    LazyLock::new(|| compile(&format!("{SIGN} ?{NUMBER}{SHORT}?[.]$")));

fn compile(source: &str) -> Regex {
    // A test compiles them.
    Regex::new(source).expect("patterns of the program are sound")
}

/// Puts whole amounts in the place of their parts.
pub(super) fn complete(text: &str, drafts: Vec<Draft>) -> Vec<Draft> {
    let mut claims = Vec::new();
    for (pattern, label) in [(&*MONEY, "MONEY"), (&*PERCENT, "PERCENT")] {
        let found = pattern.find_iter(text).map(|found| found.range());
        let alone = found.filter(|range| {
            let before = text[..range.start].chars().next_back();
            let after = text[range.end..].chars().next();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '.')
                && !after.is_some_and(char::is_alphanumeric)
        });
        claims.extend(alone.map(|range| Draft::new(range, EntityType::Quantity, label, SCORE)));
    }
    let mut drafts = put(text, drafts, claims, |draft| match draft.kind {
        EntityType::Quantity => Met::Joins,
        _ => Met::Yields,
    });
    for draft in &mut drafts {
        // The tokenizer leaves the sentence's mark at a short form: "383B."
        let amount = &text[draft.bytes.clone()];
        if draft.kind == EntityType::Quantity && SHORT_END.is_match(amount) {
            draft.bytes.end -= 1;
        }
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_whole() {
        for (text, seen, wanted) in [
            ("$999 now", Some("999"), "$999"),
            ("worth $383B.", Some("383B"), "$383B"),
            ("¥45T", Some("45"), "¥45T"),
            ("worth $383B.", Some("383B."), "$383B"),
            ("paid $177 billion", Some("$177 billion"), "$177 billion"),
            ("nearly $5", Some("nearly $5"), "nearly $5"),
            ("US$1,200 rent", Some("1,200"), "US$1,200"),
            ("1.234,56 € al mes", None, "1.234,56 €"),
            ("20&nbsp;% off", Some("20"), "20&nbsp;%"),
            ("about 3.5% more", Some("about 3.5"), "about 3.5%"),
            ("A$AP Rocky", None, ""),
            ("$HOME and a5%b", None, ""),
        ] {
            let drafts = seen.map(|seen| {
                let at = text.find(seen).expect("seen");
                Draft::new(at..at + seen.len(), EntityType::Quantity, "CARDINAL", 0.5)
            });
            let found = complete(text, drafts.into_iter().collect());
            let found: Vec<&str> = found.iter().map(|one| &text[one.bytes.clone()]).collect();
            assert_eq!(found.concat(), wanted, "{text}");
        }
    }
}
