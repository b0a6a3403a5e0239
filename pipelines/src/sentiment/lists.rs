//! Opinions without verbs, which the built-in classifier reads apart: `Pros: … Cons: …`, and lists such as `Food great,
//! service slow, prices high`.
//!
//! Together their good words outweigh the bad, whatever stands where; apart each says what it says, and what contradicts
//! makes the text mixed. What stands under `Cons:` is bad whatever its words are (`light`), so the heading is read as
//! `Bad:`, which the classifier knows.

use crate::windows::sentence_parts;
use regex::Regex;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// Least items of a list, and words of an item.
const ITEMS: usize = 3;
const WORDS: usize = 2;

static HEADING: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?i)(?:^|[\s.;,!?])(?:(?P<good>pros|the good|likes|advantages|upsides?|positives)|(?P<bad>cons|the bad|dislikes|disadvantages|downsides?|drawbacks|negatives)) ?[:\-–] ?",
    )
});
/// Nothing bad is told.
static NOTHING: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?i)^\W*(?:none|nothing|nil|n/?a|no|zero)?(?: (?:so far|yet|really|at all|to (?:report|mention)|cons|complaints))?\W*$|^\W*(?:can't think|haven't found)(?-u:\b)",
    )
});

fn compile(source: &str) -> Regex {
    // A test compiles them.
    Regex::new(source).expect("patterns of the program are sound")
}

/// The parts of a text that are judged apart, as the classifier reads them; at least one.
pub(super) fn parts(text: &str, most: usize) -> Vec<Cow<'_, str>> {
    let mut headings = HEADING.captures_iter(text).peekable();
    if headings.peek().is_none() {
        return items(text, most);
    }
    let mut parts = Vec::new();
    // Where what is told begins, and how it is headed.
    let (mut start, mut head) = (0, None);
    for heading in headings {
        let (Some(whole), bad) = (heading.get(0), heading.name("bad").is_some()) else {
            continue;
        };
        under(text, start..whole.start(), head, most, &mut parts);
        (start, head) = (whole.end(), Some(bad));
    }
    under(text, start..text.len(), head, most, &mut parts);
    if parts.is_empty() {
        parts.push(Cow::Borrowed(text));
    }
    parts
}

/// Adds what stands under a heading of good or bad things, or under none.
fn under<'t>(
    text: &'t str,
    bytes: Range<usize>,
    bad: Option<bool>,
    most: usize,
    parts: &mut Vec<Cow<'t, str>>,
) {
    let told = text[bytes].trim_matches(|c: char| c.is_whitespace() || c == ',' || c == ';');
    let Some(bad) = bad else {
        if !told.is_empty() {
            parts.extend(items(told, most));
        }
        return;
    };
    if bad && NOTHING.is_match(told) {
        return;
    }
    let head = if bad { "Bad: " } else { "Good: " };
    let own = sentence_parts(told, most).into_iter();
    parts.extend(own.map(|part| Cow::Owned(format!("{head}{}", &told[part]))));
}

/// The items of lists without verbs, and the parts of what stands between such lists.
fn items(text: &str, most: usize) -> Vec<Cow<'_, str>> {
    let mut parts: Vec<Cow<'_, str>> = Vec::new();
    let mut from = 0;
    let mut start = 0;
    while start < text.len() {
        let rest = &text[start..];
        let end = rest
            .find(['.', '!', '?', '\n'])
            .map_or(text.len(), |at| start + at + 1);
        if let Some(list) = list(&text[start..end]) {
            if !text[from..start].trim().is_empty() {
                let before = &text[from..start];
                let own = sentence_parts(before, most).into_iter();
                parts.extend(own.map(|part| Cow::Borrowed(&before[part])));
            }
            parts.extend(list.into_iter().map(Cow::Borrowed));
            from = end;
        }
        start = end;
    }
    let after = &text[from..];
    if parts.is_empty() || !after.trim().is_empty() {
        let own = sentence_parts(after, most).into_iter();
        parts.extend(own.map(|part| Cow::Borrowed(&after[part])));
    }
    parts
}

/// The items of a sentence that is a list of two words each: a thing and how it is.
fn list(sentence: &str) -> Option<Vec<&str>> {
    let told = sentence.trim().trim_end_matches(['.', '!', '?']);
    let items: Vec<&str> = told
        .split([',', ';'])
        .map(|item| {
            let item = item.trim();
            item.strip_prefix("and ")
                .or(item.strip_prefix("but "))
                .unwrap_or(item)
        })
        .collect();
    let short = |item: &&str| {
        let mut words = item.split_whitespace();
        let letters = |word: &str| {
            word.chars()
                .all(|c| c.is_alphabetic() || c == '\'' || c == '-')
        };
        words.clone().count() == WORDS && words.all(letters)
    };
    if items.len() < ITEMS || !items.iter().all(short) {
        return None;
    }
    // "Super quiet, super cheap, super thing" speaks of one thing.
    let mut words: Vec<String> = told
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let count = words.len();
    words.sort_unstable();
    words.dedup();
    (words.len() == count).then_some(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn opinions_are_parted() {
        for (text, wanted) in [
            (
                "Pros: light, fast. Cons: loud, hot.",
                vec!["Good: light, fast.", "Bad: loud, hot."],
            ),
            (
                "I like it. Cons: the price",
                vec!["I like it.", "Bad: the price"],
            ),
            ("Pros: cheap\nCons: none", vec!["Good: cheap"]),
            (
                "Pros: cheap\nCons: no sound",
                vec!["Good: cheap", "Bad: no sound"],
            ),
            (
                "Food great, service slow, prices high, view amazing.",
                vec!["Food great", "service slow", "prices high", "view amazing"],
            ),
            (
                "We ate here. Food great, service slow, and prices high! Never again.",
                vec![
                    "We ate here.",
                    "Food great",
                    "service slow",
                    "prices high",
                    " Never again.",
                ],
            ),
            (
                "Super quiet, super cheap, super thing.",
                vec!["Super quiet, super cheap, super thing."],
            ),
            ("Fresh, cheap, good.", vec!["Fresh, cheap, good."]),
            (
                "I came, saw, and left it there.",
                vec!["I came, saw, and left it there."],
            ),
            ("The pros and cons of it", vec!["The pros and cons of it"]),
            ("", vec![""]),
            ("Cons: none", vec!["Cons: none"]),
        ] {
            assert_eq!(parts(text, 280), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn other_texts_are_cut_as_ever(text in "[a-z !\n]{0,900}") {
            let ever: Vec<&str> = sentence_parts(&text, 280).into_iter().map(|part| &text[part]).collect();
            prop_assert_eq!(parts(&text, 280), ever);
        }

        #[test]
        fn there_is_always_a_part(text in "(Pros: |Cons: |good food, |[a-z]{1,5} |\\. ){0,30}") {
            prop_assert!(!parts(&text, 280).is_empty());
        }
    }
}
