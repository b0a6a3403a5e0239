//! A text as the rules see it: matches that stand alone, and the words beside them.

use super::{Evidence, Found, PiiKind};
use regex::{Regex, RegexBuilder};
use std::ops::Range;

/// A pattern of this program's own, compiled once.
///
/// # Panics
/// When it is not one; a test compiles them all.
pub fn compile(source: &str) -> Regex {
    RegexBuilder::new(source)
        .size_limit(8 << 20)
        .build()
        .expect("patterns of the program are sound")
}

/// Words that may stand beside a match: alternatives of a pattern, whole words, in any case.
pub fn words(alternatives: &str) -> Regex {
    compile(&format!(
        r"(?i)(?:^|[^\p{{L}}\p{{N}}])(?:{alternatives})(?:$|[^\p{{L}}\p{{N}}])"
    ))
}

/// Declares a function that returns a pattern, compiled at its first use.
macro_rules! pattern {
    ($name:ident = $source:expr) => {
        fn $name() -> &'static regex::Regex {
            static PATTERN: std::sync::LazyLock<regex::Regex> =
                std::sync::LazyLock::new(|| $crate::pii::page::compile($source));
            &PATTERN
        }
    };
    ($name:ident = words $source:expr) => {
        fn $name() -> &'static regex::Regex {
            static PATTERN: std::sync::LazyLock<regex::Regex> =
                std::sync::LazyLock::new(|| $crate::pii::page::words($source));
            &PATTERN
        }
    };
}
pub(crate) use pattern;

/// Bytes before a match in which a word may stand that says what it is.
const BEFORE: usize = 48;
/// Bytes after it.
const AFTER: usize = 24;

// What a number behind one of these is: the nearest says it. Kinds of personal data and what else people number.
pattern!(label = words r"accounts?|acct|a/c|checking|savings|cuentas?|iban|swift|bic|routing|aba|rtn|sort code|cards?|visa|mastercard|amex|tarjetas?|cvv|cvc|pin|phone|telephone|tel|cell|mobile|fax|whatsapp|teléfono|móvil|ssn|social (?:security|insurance)|itin|passports?|pasaporte|licen[cs]es?|plates?|matrícula|vin|chassis|nhs|utr|sin|ohip|phn|aadhaar|pan|voter|epic|username|password|orders?|pedidos?|invoices?|facturas?|tickets?|tracking|ref|references?|referencia|serial|isbn|sku|transactions?|confirmation|bookings?|reservations?|receipts?|parcels?|shipments?|expediente|(?:case|item|part|model|lot|batch|room|policy|claim|file|job|project|product|version|member|customer|client|user|employee|student|patient|record)(?: (?:number|no\.?|nr\.?|id|code|ref))? ?#?$|(?:case|item|part|model|lot|batch|policy|claim|file|job|project|product|member|customer|client|user|employee|student|patient|record) (?:number|no\.?|nr\.?|id|code|#)");
// What may stand between a word and the value that it announces.
pattern!(
    filler = r#"(?i)^[\s:=#.,()"'“”*?-]*(?:(?:numbers?|no|nr|num|n[ºo°]|número|numero|code|id|card|is|was|are|as|the|this|my|our|your|his|her|me|us|him|them|at|on|of|to|for|es|era|al|en|follows|below|here|new|old|current|now)(?:[\s:=#.,()"'“”*-]+|$)){0,5}$"#
);

/// Short forms whose full stop ends no sentence.
const SHORTENED: &[&str] = &[
    "no", "nr", "nos", "num", "núm", "tel", "tél", "ph", "mob", "acct", "acc", "exp", "lic", "ref",
    "reg", "ext", "st", "dr", "mr", "mrs", "ms", "sr", "sra", "id", "cta", "tlf", "telf",
];

/// A text to search.
pub struct Page<'t> {
    /// The text.
    pub text: &'t str,
}

impl<'t> Page<'t> {
    /// A text to search.
    pub fn new(text: &'t str) -> Self {
        Self { text }
    }

    /// The matches that are no part of a longer word or number, by the bytes of the group `value` where the
    /// pattern has one.
    pub fn matches(&self, pattern: &'static Regex) -> impl Iterator<Item = Range<usize>> + '_ {
        let grouped = pattern.capture_names().any(|name| name == Some("value"));
        // Captures cost more than a search; most patterns need none.
        let plain = (!grouped).then(|| pattern.find_iter(self.text).map(|found| found.range()));
        let named = grouped.then(|| {
            let value = |captures: regex::Captures<'_>| captures.name("value").map(|m| m.range());
            pattern.captures_iter(self.text).filter_map(value)
        });
        plain
            .into_iter()
            .flatten()
            .chain(named.into_iter().flatten())
            .filter(|range| self.stands_alone(range))
    }

    /// No letter or digit touches the range.
    fn stands_alone(&self, range: &Range<usize>) -> bool {
        let before = self.text[..range.start].chars().next_back();
        let after = self.text[range.end..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    }

    /// What stands at a range.
    pub fn at(&self, range: &Range<usize>) -> &'t str {
        &self.text[range.clone()]
    }

    /// The letters and digits at a range, letters in upper case.
    pub fn compact(&self, range: &Range<usize>) -> String {
        let kept = self.at(range).chars().filter(char::is_ascii_alphanumeric);
        kept.map(|c| c.to_ascii_uppercase()).collect()
    }

    /// More groups of digits follow or precede the range: it is a part of a longer number.
    pub fn goes_on(&self, range: &Range<usize>) -> bool {
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        let (before, after) = (
            &self.text.as_bytes()[..range.start],
            &self.text.as_bytes()[range.end..],
        );
        let parts = |byte: &u8| matches!(byte, b' ' | b'-');
        (before.last().is_some_and(parts) && digit(before.iter().rev().nth(1)))
            || (after.first().is_some_and(parts) && digit(after.get(1)))
    }

    /// A range, and the short groups that hyphens join to it: digits, or a few capitals.
    pub fn hyphened(&self, range: Range<usize>) -> Range<usize> {
        const GROUPS: usize = 3;
        let group = |part: &str| {
            let capitals = part.bytes().all(|byte| byte.is_ascii_uppercase());
            let digits = part.bytes().any(|byte| byte.is_ascii_digit());
            (digits && part.len() <= 8) || (capitals && (1..=3).contains(&part.len()))
        };
        let Range { mut start, mut end } = range;
        for _ in 0..GROUPS {
            let Some(before) = self.text[..start].strip_suffix('-') else {
                break;
            };
            let kept = before
                .bytes()
                .rev()
                .take(9)
                .take_while(u8::is_ascii_alphanumeric);
            let from = before.len() - kept.count();
            if !group(&before[from..]) {
                break;
            }
            start = from;
        }
        for _ in 0..GROUPS {
            let Some(after) = self.text[end..].strip_prefix('-') else {
                break;
            };
            let kept = after.bytes().take(9).take_while(u8::is_ascii_alphanumeric);
            let length = kept.count();
            if !group(&after[..length]) {
                break;
            }
            end += 1 + length;
        }
        start..end
    }

    /// The text just before a range.
    pub fn before(&self, range: &Range<usize>) -> &'t str {
        let mut start = range.start.saturating_sub(BEFORE);
        while !self.text.is_char_boundary(start) {
            start += 1;
        }
        let part = &self.text[start..range.start];
        match start {
            0 => part,
            // The end of a longer word is no word.
            _ => part.trim_start_matches(char::is_alphanumeric),
        }
    }

    /// The text just after a range.
    pub fn after(&self, range: &Range<usize>) -> &'t str {
        let mut end = (range.end + AFTER).min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let part = &self.text[range.end..end];
        match end == self.text.len() {
            true => part,
            false => part.trim_end_matches(char::is_alphanumeric),
        }
    }

    /// The text just before a range, from the beginning of its sentence or clause.
    fn clause(&self, range: &Range<usize>) -> &'t str {
        let before = self.before(range);
        let mut worded = false;
        let mut spaced = false;
        for (place, c) in before.char_indices().rev() {
            let ends = match c {
                ';' | '!' => true,
                // What follows a question answers it.
                '?' => worded,
                '.' => spaced && !shortened(&before[..place]),
                _ => false,
            };
            if ends {
                return &before[place + c.len_utf8()..];
            }
            worded |= c.is_alphabetic();
            spaced = c.is_whitespace();
        }
        before
    }

    /// A word before the range says what it is: in the same sentence, and nearer than any that says something else.
    pub fn announced(&self, range: &Range<usize>, words: &Regex) -> bool {
        let clause = self.clause(range);
        // The mark behind a word is a part of its match.
        last_end(words, clause)
            .is_some_and(|own| last_end(label(), clause).is_none_or(|other| other <= own + 1))
    }

    /// A word directly before the range says what it is.
    pub fn led(&self, range: &Range<usize>, words: &Regex) -> bool {
        let clause = self.clause(range);
        last_end(words, clause).is_some_and(|end| filler().is_match(&clause[end..]))
    }

    /// A word before or after the range says what it is; what stands directly before it goes first.
    pub fn beside(&self, range: &Range<usize>, words: &Regex) -> bool {
        self.announced(range, words)
            || (words.is_match(self.after(range)) && !self.led(range, label()))
    }
}

/// Where the last of these words ends in a text, with the mark that parts it from what follows.
fn last_end(words: &Regex, text: &str) -> Option<usize> {
    let (mut from, mut last) = (0, None);
    while let Some(found) = words.find_at(text, from) {
        last = Some(found.end());
        // The mark between two words belongs to both.
        let mark = text[found.range()].chars().next_back();
        from = (found.end() - mark.map_or(0, char::len_utf8)).max(from + 1);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        if from >= text.len() {
            break;
        }
    }
    last
}

/// The text ends in a short form, or in a letter.
fn shortened(text: &str) -> bool {
    let word = text
        .rsplit(|c: char| !c.is_alphabetic())
        .next()
        .unwrap_or_default();
    word.chars().count() == 1 || SHORTENED.contains(&&*word.to_lowercase())
}

/// Something found by its shape.
pub fn shaped(kind: PiiKind, bytes: Range<usize>, score: f32) -> Found {
    Found {
        kind,
        bytes,
        score,
        evidence: Evidence::Pattern,
    }
}

/// Something that a checksum proves.
pub fn proven(kind: PiiKind, bytes: Range<usize>, score: f32) -> Found {
    Found {
        kind,
        bytes,
        score,
        evidence: Evidence::Checksum,
    }
}
