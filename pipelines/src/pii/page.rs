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
        .size_limit(4 << 20)
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

    /// A word before the range says what it is.
    pub fn announced(&self, range: &Range<usize>, words: &Regex) -> bool {
        words.is_match(self.before(range))
    }

    /// A word before or after the range says what it is.
    pub fn beside(&self, range: &Range<usize>, words: &Regex) -> bool {
        self.announced(range, words) || words.is_match(self.after(range))
    }
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
