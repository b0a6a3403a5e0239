//! Where names and phrases end whatever the parser thinks: line ends, tabs, tags of markup, bullets and pictures.
//!
//! A line end within a paragraph that was wrapped is no break: the line before is long and goes on without a mark, and
//! the next begins with a letter or digit. Pictures (emoji, with all that belongs to one: skin tones, joiners, both
//! halves of a flag) are breaks as a whole, so that none is cut in two.

use super::unseen::is_unseen;
use std::ops::Range;

/// Characters of a line from which it may have been wrapped.
const WRAPPED: usize = 40;
/// Longest tag of markup.
const TAG: usize = 300;

/// The breaks of a text in order; none overlap.
pub(super) struct Breaks<'t> {
    text: &'t str,
    breaks: Vec<Range<usize>>,
}

impl<'t> Breaks<'t> {
    /// Looks through a text once.
    pub fn of(text: &'t str) -> Self {
        let mut breaks = Vec::new();
        // Characters since the last line end, and the last of them that is no white space.
        let (mut column, mut last) = (0, ' ');
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let end = match c {
                _ if c.is_whitespace() => {
                    let rest = text[at..].trim_start();
                    let end = text.len() - rest.len();
                    let lines = text[at..end].matches('\n').count();
                    let next = rest.chars().next().unwrap_or(' ');
                    let goes_on = last.is_alphanumeric() || last == ',';
                    let wrapped =
                        lines == 1 && column >= WRAPPED && goes_on && next.is_alphanumeric();
                    let parts =
                        |c: char| c != ' ' && (c.is_control() || "\u{2028}\u{2029}".contains(c));
                    let breaks_here = text[at..end].contains(parts) && !wrapped;
                    column = match text[at..end].contains(['\n', '\r']) {
                        true => 0,
                        false => column + 1,
                    };
                    if breaks_here {
                        breaks.push(at..end);
                    }
                    at = end;
                    continue;
                }
                '<' => tag(&text[at..]).map(|length| at + length),
                _ => picture(&text[at..]).map(|length| at + length),
            };
            (column, last) = (column + 1, c);
            match end {
                Some(end) => {
                    breaks.push(at..end);
                    at = end;
                }
                None => at += c.len_utf8(),
            }
        }
        Self { text, breaks }
    }

    /// The parts of a range between its breaks, without white space and unseen characters at their edges.
    pub fn parts(&self, bytes: &Range<usize>) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let mut start = bytes.start;
        let first = self.breaks.partition_point(|one| one.end <= bytes.start);
        for one in &self.breaks[first..] {
            if one.start >= bytes.end {
                break;
            }
            parts.extend(self.trimmed(start..one.start.max(start)));
            start = one.end.min(bytes.end);
        }
        parts.extend(self.trimmed(start..bytes.end));
        parts
    }

    /// What lies between breaks: lines, cells, what is between tags.
    pub fn all(&self) -> Vec<Range<usize>> {
        self.parts(&(0..self.text.len()))
    }

    fn trimmed(&self, bytes: Range<usize>) -> Option<Range<usize>> {
        trimmed(self.text, bytes, |c| c.is_whitespace() || is_unseen(c))
    }
}

/// A range without such characters at its edges; nothing when nothing is left, or no range of the text.
pub(super) fn trimmed(
    text: &str,
    bytes: Range<usize>,
    loose: impl Fn(char) -> bool,
) -> Option<Range<usize>> {
    let part = text.get(bytes.clone())?;
    let start = bytes.start + part.len() - part.trim_start_matches(&loose).len();
    let kept = part.trim_matches(&loose).len();
    (kept > 0).then_some(start..start + kept)
}

/// Bytes of the tag that a text begins with.
fn tag(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('<')?;
    if !inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!') {
        return None;
    }
    let end = inner
        .bytes()
        .take(TAG)
        .position(|byte| matches!(byte, b'<' | b'>'))?;
    (inner.as_bytes()[end] == b'>').then_some(end + 2)
}

/// Bytes of the pictures that a text begins with.
fn picture(text: &str) -> Option<usize> {
    let mut end = 0;
    for (at, c) in text.char_indices() {
        // A key's cap is a digit with two marks behind it.
        let after = &text[at + c.len_utf8()..];
        let cap = (c.is_ascii_digit() || matches!(c, '#' | '*'))
            && after.trim_start_matches('\u{fe0f}').starts_with('\u{20e3}');
        let belongs = end > 0
            && (matches!(c, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{20e3}')
                || ('\u{e0020}'..='\u{e007f}').contains(&c));
        if !(cap || belongs || is_picture(c)) {
            break;
        }
        end = at + c.len_utf8();
    }
    (end > 0).then_some(end)
}

/// A picture, arrow, bullet or other sign that is drawn and not read.
pub(super) fn is_picture(c: char) -> bool {
    matches!(
        c,
        '\u{1f000}'..='\u{1faff}'
            | '\u{2600}'..='\u{27bf}'
            | '\u{2b00}'..='\u{2bff}'
            | '\u{2300}'..='\u{23ff}'
            | '\u{2190}'..='\u{21ff}'
            | '\u{2500}'..='\u{25ff}'
            | '\u{2022}'
            | '\u{2043}'
    )
}

/// Nothing but pictures.
pub(super) fn is_drawn(text: &str) -> bool {
    picture(text) == Some(text.len())
        || text
            .chars()
            .all(|c| matches!(c, '\u{fe0f}' | '\u{200d}' | '\u{20e3}'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unicode_segmentation::UnicodeSegmentation;

    fn parts(text: &str) -> Vec<&str> {
        let all = Breaks::of(text).all().into_iter();
        all.map(|part| &text[part]).collect()
    }

    #[test]
    fn texts_are_parted() {
        for (text, wanted) in [
            ("Bob\tCity: Paris", vec!["Bob", "City: Paris"]),
            ("one\r\ntwo\n\nthree", vec!["one", "two", "three"]),
            ("Maria 🇪🇸 and Ana", vec!["Maria", "and Ana"]),
            ("a👩🏽‍🚀b 5️⃣ c ❤️", vec!["a", "b", "c"]),
            ("<p>Visit <b>Berlin</b", vec!["Visit", "Berlin</b"]),
            ("x < y > z, 5 <6>", vec!["x < y > z, 5 <6>"]),
            ("• one • two", vec!["one", "two"]),
            (
                "The committee of the city council met Barack\nObama there",
                vec!["The committee of the city council met Barack\nObama there"],
            ),
            (
                "The committee of the city council met Barack.\nObama left",
                vec![
                    "The committee of the city council met Barack.",
                    "Obama left",
                ],
            ),
            ("\u{feff}Bob\u{200b}", vec!["Bob"]),
            ("", vec![]),
        ] {
            assert_eq!(parts(text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_picture_is_cut(text in "([a-z ]{0,3}|👩🏽‍🚀|🇪🇸|5️⃣|❤️|👍🏿|\\n|\\t|<b>){0,20}") {
            let edges: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
            for part in Breaks::of(&text).all() {
                prop_assert!(edges.contains(&part.start) && edges.contains(&part.end), "{text:?} {part:?}");
                prop_assert!(!text[part].contains(is_picture));
            }
        }
    }
}
