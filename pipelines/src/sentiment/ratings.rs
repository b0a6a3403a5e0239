//! Ratings in figures become words that the built-in classifier reads rightly.
//!
//! It learned from sentences, and takes `1/5 stars` for praise as it does every `stars`; `1 star` and `5 stars` it knows.
//! So what counts out of five or ten, and rows of stars, is written as so many stars of five before the classifier sees
//! it:
//!
//! | as it came | as it is read |
//! | --- | --- |
//! | `1/5`, `1/5 stars`, `1 out of 5 stars`, `one star out of five` | `1 star` |
//! | `9/10`, `9 out of 10` | `5 stars` |
//! | `3/5`, `5/10` | `average` (of `3 stars` it thinks well) |
//! | `★★☆☆☆`, `⭐⭐` | `2 stars` |
//!
//! A figure is a rating only where it stands by itself: at an end of a sentence or line, behind a word such as
//! `rating:`, or before a word such as `stars`. `4/5 of the shops`, `9/11`, `on 2/10` and `9/10 dentists` are none.

use regex::{Captures, Regex};
use std::borrow::Cow;
use std::sync::LazyLock;

const COUNT: &str = r"[0-9]{1,2}(?:[.,][0-9])?";
const COUNTED: &str =
    r"(?:[0-9]{1,2}(?:\.[0-9])?|zero|one|two|three|four|five|six|seven|eight|nine|ten)";
const STARS: &str = r"(?:stars?|étoiles?|estrellas?|estrelas?|sternen?|stelle|stella|points?|pts)";

/// A figure of five or ten, with the word behind it.
static OUT_OF: LazyLock<Regex> = LazyLock::new(|| {
    compile(&format!(
        r"(?i)(?:(?P<a>{COUNT}) ?/ ?(?P<b>5|10)|(?P<c>{COUNTED})(?: stars?)? out of (?P<d>5|10|five|ten))(?:(?P<s>[ -]{STARS})(?-u:\b))?"
    ))
});
static ROW: LazyLock<Regex> =
    LazyLock::new(|| compile(r"(?:[★⭐🌟]\x{fe0f}? ?){1,10}(?:[☆✩✰]\x{fe0f}? ?){0,9}"));
/// Words before a rating.
static SAYS: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?i)(?:rating|rated|rate|score|scored|scores|overall|give|gave|giving|note|nota|bewertung|voto|it|this|that|them|solid|a|an|:|-|–|—|=|\()\s*(?:is|was|of|a|:|=)?\s*$",
    )
});
/// Words after a rating at the beginning of a sentence.
static GOES_ON: LazyLock<Regex> = LazyLock::new(|| {
    compile(r"(?i)^(?:would|will|from|for|by|recommend|again|because|since|but|and)(?-u:\b)")
});

fn compile(source: &str) -> Regex {
    // A test compiles them.
    Regex::new(source).expect("patterns of the program are sound")
}

/// The text as the classifier is to read it.
pub(super) fn in_words(text: &str) -> Cow<'_, str> {
    let figures = OUT_OF.replace_all(text, |found: &Captures<'_>| {
        let whole = found.get(0).map_or(0..0, |whole| whole.range());
        let same = || text[whole.clone()].to_owned();
        let named = found.name("s").is_some();
        let (Some(count), Some(of)) = (
            figure(found, "a").or(figure(found, "c")),
            figure(found, "b").or(figure(found, "d")),
        ) else {
            return same();
        };
        let starred = named || text[whole.clone()].to_lowercase().contains("star");
        match count <= of && (starred && alone(text, &whole) || is_rating(text, &whole)) {
            true => stars(count, of),
            false => same(),
        }
    });
    // Rows are looked for in what is left, and borrowed texts stay borrowed.
    match figures {
        Cow::Borrowed(text) => ROW.replace_all(text, row),
        Cow::Owned(text) => Cow::Owned(ROW.replace_all(&text, row).into_owned()),
    }
}

fn figure(found: &Captures<'_>, name: &str) -> Option<f32> {
    let word = found.name(name)?.as_str().to_lowercase().replace(',', ".");
    const WORDS: [&str; 11] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    ];
    let place = WORDS.iter().position(|known| *known == word);
    place.map(|place| place as f32).or(word.parse().ok())
}

/// So many of these as stars of five; a rating has at least one.
fn stars(count: f32, of: f32) -> String {
    match (count * 5.0 / of).round() as u32 {
        0 | 1 => "1 star".to_owned(),
        3 => "average".to_owned(),
        some => format!("{some} stars"),
    }
}

fn row(found: &Captures<'_>) -> String {
    let row = &found[0];
    let full = row.chars().filter(|c| "★⭐🌟".contains(*c)).count();
    let empty = row.chars().filter(|c| "☆✩✰".contains(*c)).count();
    let tail = &row[row.trim_end().len()..];
    match (full, empty) {
        // One star adorns; a row without empty ones is of five.
        (1, 0) => row.to_owned(),
        _ => format!(
            "{}{tail}",
            stars(full as f32, ((full + empty) as f32).max(5.0))
        ),
    }
}

/// No digit, letter or slash touches it: `11/5/20`, `a1/5`.
fn alone(text: &str, place: &std::ops::Range<usize>) -> bool {
    let before = text[..place.start].chars().next_back();
    let after = text[place.end..].chars().next();
    let touches = |c: char| c.is_alphanumeric() || matches!(c, '/' | '%' | '$' | '€' | '£');
    !before.is_some_and(|c| touches(c) || matches!(c, '.' | ',')) && !after.is_some_and(touches)
}

/// It stands by itself.
fn is_rating(text: &str, place: &std::ops::Range<usize>) -> bool {
    if !alone(text, place) {
        return false;
    }
    const NEAR: usize = 24;
    let mut from = place.start.saturating_sub(NEAR);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let before = &text[from..place.start];
    let after = &text[place.end..];
    let next = after.trim_start_matches(' ');
    let ends = next.is_empty()
        || next.starts_with(['.', '!', '?', ',', ';', ':', '\n', '\r', ')', '–', '—', '-']);
    let told = before.trim_end_matches(' ');
    let begins = told.is_empty() && from == 0 || told.ends_with(['.', '!', '?', '\n', '…']);
    begins && (ends || GOES_ON.is_match(next)) || ends && SAYS.is_match(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_become_stars() {
        for (text, wanted) in [
            ("1/5 stars", "1 star"),
            ("1 out of 5 stars", "1 star"),
            ("two stars out of five", "2 stars"),
            ("2/10", "1 star"),
            ("3/10", "2 stars"),
            ("10/10 would buy again", "5 stars would buy again"),
            ("Rating: 1/5", "Rating: 1 star"),
            ("I give it 4.5/5.", "I give it 5 stars."),
            ("5/5! Great.", "5 stars! Great."),
            ("⭐☆☆☆☆", "1 star"),
            ("★★★★★ works", "5 stars works"),
            ("⭐⭐ broke", "2 stars broke"),
            ("3/5", "average"),
            ("1/5 estrellas", "1 star"),
        ] {
            assert_eq!(in_words(text), wanted, "{text}");
        }
        for text in [
            "4/5 of the shops are closed",
            "9/10 dentists agree",
            "We met on 2/10 in Rome",
            "on 4/5/2020",
            "Born 11/5/80.",
            "1/2 cup of sugar",
            "7/5",
            "a ⭐ among cooks",
            "Open 24/7.",
            "one out of ten shops",
            "We meet on 2/10.",
            "She finished 3/5 laps",
            "Chapter 1/5 ends here",
            "",
        ] {
            assert_eq!(in_words(text), text);
        }
    }
}
