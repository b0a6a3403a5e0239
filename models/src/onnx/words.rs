//! Texts made ready to be counted: `StringNormalizer`, and `Tokenizer` of ONNX Runtime's own set (`com.microsoft`), which
//! skl2onnx writes for scikit-learn's `CountVectorizer` and `TfidfVectorizer`.

use super::Meaning;
use super::operator::{Kind, Made, Operator, Read};
use super::pattern::{Cache, Pattern};
use super::value::{Call, Data, Value};
use crate::graph::Result;
use crate::graph::onnx::wire::Node;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// What becomes of letters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
    Same,
}

impl Case {
    /// Letter by letter, as C's functions for wide characters do: a letter that becomes several stays.
    fn of(self, letters: Letters, text: &str) -> String {
        let ascii = letters == Letters::Ascii;
        match self {
            Self::Same => text.to_owned(),
            Self::Lower if ascii => text.to_ascii_lowercase(),
            Self::Upper if ascii => text.to_ascii_uppercase(),
            // İ alone becomes two, of which the first is its simple form.
            Self::Lower => text
                .chars()
                .map(|letter| letter.to_lowercase().next().unwrap_or(letter))
                .collect(),
            Self::Upper => text.chars().map(upper).collect(),
        }
    }
}

/// The one letter that a letter is in upper case.
fn upper(letter: char) -> char {
    let mut all = letter.to_uppercase();
    if let (Some(one), None) = (all.next(), all.next()) {
        return one;
    }
    // Greek letters with an iota below have one that is written as two.
    let step = match letter {
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => 8,
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => 9,
        _ => 0,
    };
    char::from_u32(u32::from(letter) + step).unwrap_or(letter)
}

/// Which letters have a case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Letters {
    Ascii,
    All,
}

/// `StringNormalizer`: without words of a list, and in one case.
struct Normalizer {
    case: Case,
    letters: Letters,
    /// Whether the words of the list are in the case that they are compared in.
    is_case_sensitive: bool,
    stop_words: HashSet<String>,
}

fn takes_texts(node: &Node<'_>, inputs: &[Read<'_>]) -> Result<()> {
    match inputs {
        [input] if input.fact.kind == Kind::Texts => Ok(()),
        _ => Err(node.unsupported("an input that is not one of texts")),
    }
}

/// Reads a `StringNormalizer`.
pub(super) fn normalizer(node: &Node<'_>, inputs: &[Read<'_>]) -> Result<Made> {
    takes_texts(node, inputs)?;
    let case = match node.text("case_change_action") {
        None | Some("NONE") => Case::Same,
        Some("LOWER") => Case::Lower,
        Some("UPPER") => Case::Upper,
        Some(other) => return Err(node.unsupported(format!("case_change_action {other}"))),
    };
    let letters = match node.text("locale") {
        Some("C" | "POSIX") => Letters::Ascii,
        Some(name) if ["tr", "az", "lt"].iter().any(|own| name.starts_with(own)) => {
            return Err(node.unsupported(format!("the letters of the locale {name}")));
        }
        _ => Letters::All,
    };
    let is_case_sensitive = node.integer("is_case_sensitive", 0) != 0;
    let words = node.texts("stopwords")?;
    let words = words.iter().map(|word| match is_case_sensitive {
        true => word.to_string(),
        false => Case::Lower.of(letters, word),
    });
    let normalizer = Normalizer {
        case,
        letters,
        is_case_sensitive,
        stop_words: words.collect(),
    };
    Ok(Made::one(normalizer, Kind::Texts, Meaning::Numbers))
}

impl Normalizer {
    fn is_kept(&self, text: &str) -> bool {
        if self.stop_words.is_empty() {
            return true;
        }
        match self.is_case_sensitive {
            true => !self.stop_words.contains(text),
            false => !self
                .stop_words
                .contains(&Case::Lower.of(self.letters, text)),
        }
    }
}

impl Operator for Normalizer {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let input = call.input(inputs, 0)?;
        let mut shape = match *input.shape.as_slice() {
            [_] => Vec::new(),
            [1, _] => vec![1],
            ref shape => return Err(call.invalid(format!("a list is wanted, not {shape:?}"))),
        };
        let kept = call.texts(input)?.iter().filter(|text| self.is_kept(text));
        let mut kept: Vec<Arc<str>> = match self.case {
            Case::Same => kept.cloned().collect(),
            case => kept
                .map(|text| case.of(self.letters, text).into())
                .collect(),
        };
        // A list is never empty.
        if kept.is_empty() {
            kept.push("".into());
        }
        shape.push(kept.len());
        Ok(vec![Value::new(shape, Data::Texts(kept))])
    }

    fn bytes(&self) -> u64 {
        let words = self.stop_words.iter().map(|word| word.len() as u64 + 48);
        words.sum()
    }
}

/// Where texts are cut.
enum Cut {
    /// After every character.
    Characters,
    /// Words match the pattern.
    Words(Box<[Pattern; 1]>),
    /// What is between words matches one of these.
    Between(Vec<Pattern>),
}

impl Cut {
    fn patterns(&self) -> &[Pattern] {
        match self {
            Self::Characters => &[],
            Self::Words(words) => words.as_slice(),
            Self::Between(separators) => separators,
        }
    }
}

/// `Tokenizer`: the words of every text in a row, filled up to the longest row.
struct Tokenizer {
    cut: Cut,
    /// Whether rows have a mark at their start and one at their end.
    is_marked: bool,
    filler: Arc<str>,
    /// Characters of the shortest word.
    shortest: usize,
}

const START: &str = "\u{2}";
const END: &str = "\u{3}";

/// Reads a `Tokenizer`.
pub(super) fn tokenizer(node: &Node<'_>, inputs: &[Read<'_>]) -> Result<Made> {
    takes_texts(node, inputs)?;
    let shortest = node.integer("mincharnum", 1);
    let shortest = usize::try_from(shortest)
        .ok()
        .filter(|&shortest| shortest > 0);
    let shortest = shortest.ok_or_else(|| node.unsupported("words without characters"))?;
    let pattern = |text: &str| Pattern::read(text).map_err(|why| node.unsupported(why));
    let separators = node.texts("separators")?;
    let cut = match (node.text("tokenexp"), separators.as_slice()) {
        // Of this pattern ONNX Runtime takes line ends for characters, too.
        (Some("."), []) => Cut::Characters,
        (Some(words), []) => Cut::Words(Box::new([pattern(words)?])),
        (None, [none]) if none.is_empty() => Cut::Characters,
        (None, [_, ..]) if separators.iter().all(|separator| !separator.is_empty()) => {
            let patterns = separators.iter().map(|separator| pattern(separator));
            Cut::Between(patterns.collect::<Result<_>>()?)
        }
        _ => return Err(node.unsupported("either separators or a tokenexp say where words are")),
    };
    if matches!(cut, Cut::Characters) && shortest > 1 {
        return Err(node.unsupported("characters are shorter than mincharnum"));
    }
    let tokenizer = Tokenizer {
        cut,
        is_marked: node.integer("mark", 0) != 0,
        filler: node.text("pad_value").unwrap_or_default().into(),
        shortest,
    };
    Ok(Made::one(tokenizer, Kind::Texts, Meaning::Numbers))
}

/// Where the character that starts at a place ends; at the end of the text behind it.
fn after_character(text: &str, at: usize) -> usize {
    let next = text.get(at..).and_then(|rest| rest.chars().next());
    at + next.map_or(1, char::len_utf8)
}

fn find(
    call: &Call<'_>,
    pattern: &Pattern,
    cache: &mut Cache,
    text: &str,
    from: usize,
) -> Result<Option<Range<usize>>> {
    let found = pattern.find(cache, text, from);
    found.map_err(|why| call.invalid(why))
}

impl Tokenizer {
    fn is_long_enough(&self, word: &str) -> bool {
        word.chars().nth(self.shortest - 1).is_some()
    }

    /// The parts of a text that match.
    fn matching<'t>(
        &self,
        call: &Call<'_>,
        words: &Pattern,
        cache: &mut Cache,
        text: &'t str,
    ) -> Result<Vec<&'t str>> {
        let (mut from, mut found) = (0, Vec::new());
        while let Some(range) = find(call, words, cache, text, from)? {
            let word = &text[range.clone()];
            if self.is_long_enough(word) {
                found.push(word);
                from = range.end;
            } else {
                from = after_character(text, range.start);
            }
        }
        Ok(found)
    }

    /// The parts of texts between those that match.
    fn between<'t>(
        &self,
        call: &Call<'_>,
        separator: &Pattern,
        cache: &mut Cache,
        texts: &[&'t str],
    ) -> Result<Vec<&'t str>> {
        let mut found = Vec::new();
        for text in texts {
            let mut from = 0;
            while let Some(range) = find(call, separator, cache, text, from)? {
                found.push(&text[from..range.start]);
                from = match range.is_empty() {
                    true => after_character(text, range.start),
                    false => range.end,
                };
            }
            found.push(text.get(from..).unwrap_or_default());
        }
        found.retain(|word| self.is_long_enough(word));
        Ok(found)
    }

    fn words<'t>(
        &self,
        call: &Call<'_>,
        caches: &mut [Cache],
        text: &'t str,
    ) -> Result<Vec<&'t str>> {
        let mut caches = self.cut.patterns().iter().zip(caches);
        match &self.cut {
            Cut::Characters => {
                let characters = text.char_indices();
                Ok(characters
                    .map(|(at, character)| &text[at..at + character.len_utf8()])
                    .collect())
            }
            Cut::Words(_) => match caches.next() {
                Some((words, cache)) => self.matching(call, words, cache, text),
                None => Ok(Vec::new()),
            },
            Cut::Between(_) => caches.try_fold(vec![text], |texts, (separator, cache)| {
                self.between(call, separator, cache, &texts)
            }),
        }
    }
}

impl Operator for Tokenizer {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let input = call.input(inputs, 0)?;
        let mut shape = input.shape.clone();
        if !matches!(shape.len(), 1 | 2) {
            return Err(call.invalid(format!("a list or a table is wanted, not {shape:?}")));
        }
        let patterns = self.cut.patterns().iter();
        let mut caches: Vec<Cache> = patterns.map(Pattern::cache).collect();
        let texts = call.texts(input)?.iter();
        let rows = texts.map(|text| self.words(call, &mut caches, text));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = match (longest, self.is_marked) {
            (0, _) => 0,
            (longest, true) => longest + 2,
            (longest, false) => longest,
        };
        if rows.is_empty() {
            shape.pop();
        }
        shape.push(width);
        let mut words: Vec<Arc<str>> = Vec::with_capacity(call.room_for_texts(&shape)?);
        let [start, end] = [START, END].map(Arc::from);
        for row in rows.iter().filter(|_| width > 0) {
            let before = words.len();
            words.extend(self.is_marked.then(|| Arc::clone(&start)));
            words.extend(row.iter().map(|&word| Arc::from(word)));
            words.extend(self.is_marked.then(|| Arc::clone(&end)));
            words.resize(before + width, Arc::clone(&self.filler));
        }
        Ok(vec![Value::new(shape, Data::Texts(words))])
    }

    fn bytes(&self) -> u64 {
        self.cut.patterns().iter().map(Pattern::bytes).sum()
    }
}
