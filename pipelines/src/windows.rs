//! Long texts in windows: where a text is cut, and how the answers about its parts become one about the whole.
//!
//! ```text
//! text    │ first paragraph. │ second. Third. │ …            cut(): in order, together all of the text
//! parts   0                  17               32           Part: its bytes, and the characters before it
//! answer  Joined::join: positions moved by what stands before, lists one after the other
//! ```
//!
//! A window ends where a reader would pause: behind an empty line, else behind a line, a sentence, a white
//! space, a mark, and only where none of these stands in the second half of a window, between two characters as
//! people see them (grapheme clusters). So what is found in a text is rarely cut in two, and never an emoji.
//!
//! Promises: a text that fits one window is one window; every window has at least one byte and at most as many
//! as asked for, unless a single grapheme is longer than that, which is then cut between code points. Time is
//! proportional to the length of the text.

use crate::language::{Language, Languages};
use crate::offsets::Extent;
use crate::sentiment;
use crate::syntax::{Syntax, SyntaxInput};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use unicode_segmentation::GraphemeCursor;

/// Bytes of a window of a text that a language model reads. Words cost about 35 µs each: 30 ms of work for prose and
/// 0.2 s for the worst text, in which every mark is a word; some three megabytes while it is read. Half of what a
/// batch takes, so that the windows of one long text keep several threads busy.
pub const READING: usize = 4 << 10;
/// Bytes of a window of a text whose sentiment is asked: some 0.1 s of work.
pub const SENTIMENT: usize = 2 << 10;
/// Bytes of a window of a text whose language is asked: some milliseconds of work.
pub const LANGUAGE: usize = 128 << 10;

/// Bytes of a window of a text whose toxicity is asked: some 150 readings, 30 ms of work.
pub const TOXICITY: usize = 4 << 10;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its bytes.
    pub bytes: Range<usize>,
    /// Characters (code points) of the text before it.
    pub before: usize,
}

impl Part {
    /// Where something that stands in the part stands in the whole text.
    pub fn moved(&self, extent: Extent) -> Extent {
        Extent {
            begin_byte: extent.begin_byte + self.bytes.start,
            end_byte: extent.end_byte + self.bytes.start,
            begin: extent.begin + self.before,
            end: extent.end + self.before,
        }
    }
}

/// What is asked about a text, and can be asked about a part of it.
pub trait Windowed: Sized {
    /// The text.
    fn text(&self) -> &str;

    /// The same question about a part of the text.
    fn part(&self, text: &str) -> Self;
}

/// A window is in the language of its text.
impl Windowed for SyntaxInput {
    fn text(&self) -> &str {
        &self.text
    }

    fn part(&self, text: &str) -> Self {
        Self::new(text.into(), &self.language)
    }
}

impl Windowed for Arc<str> {
    fn text(&self) -> &str {
        self
    }

    fn part(&self, text: &str) -> Self {
        text.into()
    }
}

impl Windowed for String {
    fn text(&self) -> &str {
        self
    }

    fn part(&self, text: &str) -> Self {
        text.to_owned()
    }
}

/// An answer about a text that can be put together from answers about its parts.
pub trait Joined: Sized {
    /// The answer about the whole, from those about its parts in order; there is at least one part.
    fn join(parts: Vec<(Part, Self)>) -> Self;
}

impl Joined for Syntax {
    fn join(parts: Vec<(Part, Self)>) -> Self {
        let mut whole = Self::default();
        for (part, answer) in parts {
            let tokens = whole.tokens.len();
            whole
                .tokens
                .extend(answer.tokens.into_iter().map(|mut token| {
                    token.extent = part.moved(token.extent);
                    token.head += tokens;
                    token
                }));
            let entities = answer.entities.into_iter().map(|mut entity| {
                entity.extent = part.moved(entity.extent);
                entity
            });
            whole.entities.extend(entities);
            let phrases = answer.key_phrases.into_iter().map(|mut phrase| {
                phrase.extent = part.moved(phrase.extent);
                phrase
            });
            whole.key_phrases.extend(phrases);
            let sentences = answer.sentences.into_iter();
            whole
                .sentences
                .extend(sentences.map(|extent| part.moved(extent)));
        }
        whole
    }
}

/// The parts of the windows, one after the other.
impl Joined for sentiment::Parts {
    fn join(parts: Vec<(Part, Self)>) -> Self {
        Self::concat(parts.into_iter().map(|(_, parts)| parts))
    }
}

/// The mean of the parts' probabilities, each weighted by its bytes.
impl Joined for Languages {
    fn join(parts: Vec<(Part, Self)>) -> Self {
        let all: usize = parts.iter().map(|(part, _)| part.bytes.len()).sum();
        let mut scores = BTreeMap::<String, f64>::new();
        for (part, languages) in parts {
            let share = part.bytes.len() as f64 / all.max(1) as f64;
            for language in languages {
                *scores.entry(language.code).or_default() += share * f64::from(language.score);
            }
        }
        let language = |(code, score): (String, f64)| Language {
            code,
            score: score.min(1.0) as f32,
        };
        let mut languages: Self = scores.into_iter().map(language).collect();
        languages.sort_by(|a, b| b.score.total_cmp(&a.score));
        languages
    }
}

/// The parts of a text that are read together, of about `most` bytes: whole sentences as far as they fit. At least one; together they
/// are the text.
pub fn sentence_parts(text: &str, most: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    if text.len() <= most {
        parts.push(0..text.len());
        return parts;
    }
    let (mut start, mut sentence, mut space) = (0, 0, 0);
    let mut last = ' ';
    for (at, c) in text.char_indices() {
        if at - start >= most {
            // The end of the last whole sentence, or of the last whole word, or here.
            let end = [sentence, space, at].into_iter().find(|&end| end > start);
            let end = end.unwrap_or(at);
            parts.push(start..end);
            start = end;
        }
        let after = at + c.len_utf8();
        if c.is_whitespace() {
            space = after;
            if matches!(last, '.' | '!' | '?' | '…') || c == '\n' {
                sentence = after;
            }
        } else if matches!(c, '。' | '！' | '？') {
            sentence = after;
        }
        last = c;
    }
    parts.push(start..text.len());
    parts
}

/// Cuts a text into windows of at most `most` bytes (at least four, which hold any character).
pub fn cut(text: &str, most: usize) -> Vec<Part> {
    let most = most.max(4);
    let mut parts = Vec::with_capacity(text.len() / most + 1);
    let (mut start, mut before) = (0, 0);
    while text.len() - start > most {
        let end = pause(text, start, most);
        parts.push(Part {
            bytes: start..end,
            before,
        });
        before += text[start..end].chars().count();
        start = end;
    }
    parts.push(Part {
        bytes: start..text.len(),
        before,
    });
    parts
}

/// How good a place is for an end; the better is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pause {
    Mark,
    Space,
    Sentence,
    Line,
    Paragraph,
}

/// The end of a window that begins at `start`: the last of the best places in its second half.
fn pause(text: &str, start: usize, most: usize) -> usize {
    let (mut low, mut high) = (start + most / 2, start + most);
    while !text.is_char_boundary(low) {
        low += 1;
    }
    while !text.is_char_boundary(high) {
        high -= 1;
    }
    low = low.min(high);
    let mut best: Option<(Pause, usize)> = None;
    for (at, next) in text[low..].char_indices() {
        let at = low + at;
        if at > high {
            break;
        }
        if at == start {
            continue;
        }
        if let Some(pause) = before(&text[start..at], next)
            && best.is_none_or(|(kind, _)| kind <= pause)
            && is_boundary(&text[start..], at - start)
        {
            best = Some((pause, at));
        }
    }
    match best {
        Some((_, at)) => at,
        None => between_graphemes(&text[start..], low - start, high - start)
            .map_or(high, |at| start + at),
    }
}

/// What kind of pause lies between a text and the character after it. White space belongs to what it follows.
fn before(text: &str, next: char) -> Option<Pause> {
    let last = text.chars().next_back()?;
    if next.is_whitespace() {
        return None;
    }
    if last.is_whitespace() {
        let told = text.trim_end();
        let space = &text[told.len()..];
        return Some(match space.matches('\n').count() {
            0 if ends_sentence(told) && !next.is_lowercase() => Pause::Sentence,
            0 => Pause::Space,
            1 => Pause::Line,
            _ => Pause::Paragraph,
        });
    }
    // Scripts that put no space between sentences, and between words.
    match last {
        '。' | '！' | '？' | '।' => Some(Pause::Sentence),
        '、' | '，' | '；' => Some(Pause::Mark),
        _ if last.is_ascii_punctuation() != next.is_ascii_punctuation() => Some(Pause::Mark),
        _ => None,
    }
}

/// A text ends like a sentence and not like an abbreviation: "Dr.", "U.S.", "J.".
fn ends_sentence(text: &str) -> bool {
    let bare = text.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»']);
    if bare.ends_with(['!', '?', '…', '。']) {
        return true;
    }
    let Some(sentence) = bare.strip_suffix('.') else {
        return false;
    };
    // Few characters are enough to tell; a text without spaces is not looked through again and again.
    let word = sentence
        .char_indices()
        .rev()
        .take(24)
        .take_while(|(_, c)| !c.is_whitespace())
        .last()
        .map_or("", |(at, _)| &sentence[at..]);
    word.chars().count() > 3 && !word.contains('.')
}

/// A grapheme ends there; the text begins where a window does, so that no more than a window is looked through.
fn is_boundary(text: &str, at: usize) -> bool {
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    matches!(cursor.is_boundary(text, 0), Ok(true))
}

/// The last end of a grapheme.
fn between_graphemes(text: &str, low: usize, high: usize) -> Option<usize> {
    if is_boundary(text, high) {
        return Some(high);
    }
    let mut cursor = GraphemeCursor::new(high, text.len(), true);
    match cursor.prev_boundary(text, 0) {
        Ok(Some(at)) if at >= low => Some(at),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::Offsets;
    use crate::syntax::{Entity, EntityType, PartOfSpeech, Token};
    use proptest::prelude::*;
    use std::time::{Duration, Instant};
    use unicode_segmentation::UnicodeSegmentation;

    fn shown(text: &str, most: usize) -> Vec<&str> {
        let parts = cut(text, most);
        parts.iter().map(|part| &text[part.bytes.clone()]).collect()
    }

    #[test]
    fn parts_end_with_sentences_where_they_can() {
        let sentence = "The room was clean and the staff were kind. ";
        let text = sentence.repeat(20);
        for part in sentence_parts(&text, 280) {
            assert!(text[part].ends_with(". "));
        }
        let words = sentence_parts(&"word ".repeat(200), 280).into_iter();
        assert!(words.clone().count() > 3);
        assert_eq!(sentence_parts("", 280).len(), 1);
        let solid = "字".repeat(1000);
        assert!(
            sentence_parts(&solid, 280)
                .iter()
                .all(|part| part.len() <= 280 + 3)
        );
    }

    #[test]
    fn windows_end_where_a_reader_pauses() {
        for (text, most, wanted) in [
            ("One. Two.", 100, vec!["One. Two."]),
            ("", 10, vec![""]),
            (
                "Some words. More words",
                20,
                vec!["Some words. ", "More words"],
            ),
            (
                "Some words.\nMore. Words.",
                20,
                vec!["Some words.\n", "More. Words."],
            ),
            (
                "Some wor\n\nds.\nMore.",
                16,
                vec!["Some wor\n\n", "ds.\nMore."],
            ),
            (
                "I saw Mr. Smith there",
                15,
                vec!["I saw Mr. ", "Smith there"],
            ),
            (
                "He went there. Mr. Smith",
                20,
                vec!["He went there. ", "Mr. Smith"],
            ),
            (
                "今日は晴れ。明日は雨です",
                24,
                vec!["今日は晴れ。", "明日は雨です"],
            ),
            ("abcdefghij", 4, vec!["abcd", "efgh", "ij"]),
        ] {
            assert_eq!(shown(text, most), wanted, "{text}");
        }
    }

    #[test]
    fn graphemes_stay_whole() {
        let astronaut = "👩🏽‍🚀";
        let text = astronaut.repeat(50);
        for part in shown(&text, 40) {
            assert_eq!(part.len() % astronaut.len(), 0, "{part}");
        }
        let accents = "e\u{301}".repeat(100);
        for part in shown(&accents, 10) {
            assert_eq!(part.len() % 3, 0, "{part}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_the_text(text in "\\PC{0,900}|[a-z .!\n]{0,2000}|[字。 a]{0,900}") {
            let parts = sentence_parts(&text, 280);
            prop_assert!(!parts.is_empty());
            let joined: String = parts.iter().map(|part| &text[part.clone()]).collect();
            prop_assert_eq!(joined, text.clone());
            prop_assert!(parts.iter().all(|part| part.len() < 280 + 8));
        }


        #[test]
        fn windows_are_the_text_in_order_and_of_their_size(
            text in "([\\PC]|[a-z ]{1,8}|\\. |\n|\n\n|👩🏽‍🚀|e\u{301}|\u{200f}|שלום){0,60}", most in 4usize..60
        ) {
            let parts = cut(&text, most);
            prop_assert_eq!(parts[0].bytes.start, 0);
            prop_assert_eq!(parts[parts.len() - 1].bytes.end, text.len());
            for pair in parts.windows(2) {
                prop_assert_eq!(pair[0].bytes.end, pair[1].bytes.start);
                prop_assert!(!pair[0].bytes.is_empty());
            }
            let edges: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).collect();
            for part in &parts {
                prop_assert!(part.bytes.len() <= most);
                prop_assert_eq!(part.before, text[..part.bytes.start].chars().count());
                // Only a grapheme longer than half a window may be cut.
                let inside = edges.partition_point(|at| *at < part.bytes.start);
                if edges.get(inside) != Some(&part.bytes.start) && part.bytes.start > 0 {
                    let next = edges.get(inside).copied().unwrap_or(text.len());
                    let last = edges[inside - 1];
                    prop_assert!(next - last > most / 2, "{:?}", &text[last..next]);
                }
            }
        }
    }

    #[test]
    fn time_grows_with_the_length() {
        for unit in [
            "a", ".", ". ", "\n", " ", "é", "\u{301}", "🏽", "🇪", "a. B", "。", "\u{200d}",
        ] {
            let text = unit.repeat(1_000_000 / unit.len());
            let start = Instant::now();
            let parts = cut(&text, READING);
            let took = start.elapsed();
            assert!(parts.len() >= 50, "{unit:?}");
            assert!(took < Duration::from_secs(5), "{unit:?} took {took:?}");
        }
    }

    #[test]
    fn positions_and_heads_are_moved() {
        let (first, second) = ("Né à Köln. ", "Zoë là.");
        let whole = format!("{first}{second}");
        let reading = |text: &str, word: &str| {
            let offsets = Offsets::new(text);
            let at = text.find(word).expect("a word");
            let extent = offsets.extent(at..at + word.len()).expect("fits");
            Syntax {
                tokens: vec![Token {
                    extent,
                    part_of_speech: PartOfSpeech::ProperNoun,
                    score: 1.0,
                    tag: "NNP".into(),
                    lemma: word.into(),
                    dependency: "ROOT".into(),
                    head: 0,
                }],
                entities: vec![Entity {
                    extent,
                    kind: EntityType::Location,
                    label: "GPE".into(),
                    score: 0.5,
                }],
                key_phrases: vec![],
                sentences: vec![offsets.extent(0..text.trim_end().len()).expect("fits")],
            }
        };
        let parts = cut(&whole, 14);
        assert_eq!(parts.len(), 2);
        let answers = [reading(first, "Köln"), reading(second, "Zoë")];
        let joined = Syntax::join(parts.into_iter().zip(answers).collect());
        let offsets = Offsets::new(&whole);
        for (entity, word) in joined.entities.iter().zip(["Köln", "Zoë"]) {
            let at = whole.find(word).expect("a word");
            let extent = offsets.extent(at..at + word.len()).expect("fits");
            assert_eq!(entity.extent, extent);
        }
        let heads: Vec<usize> = joined.tokens.iter().map(|token| token.head).collect();
        assert_eq!(heads, [0, 1]);
        assert_eq!(joined.sentences[1].of(&whole), second);
    }

    #[test]
    fn languages_are_weighted_by_bytes() {
        let part = |bytes: Range<usize>| Part { bytes, before: 0 };
        let language = |code: &str, score| Language {
            code: code.into(),
            score,
        };
        let joined = Languages::join(vec![
            (part(0..300), vec![language("en", 0.8), language("fr", 0.2)]),
            (part(300..400), vec![language("fr", 1.0)]),
        ]);
        let codes: Vec<&str> = joined.iter().map(|language| &*language.code).collect();
        assert_eq!(codes, ["en", "fr"]);
        assert!((joined[0].score - 0.6).abs() < 1e-6 && (joined[1].score - 0.4).abs() < 1e-6);
    }
}
