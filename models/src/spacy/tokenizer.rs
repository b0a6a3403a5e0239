//! Text into words, as spaCy does it (`spacy/tokenizer.pyx` of spaCy 3.8): white space separates chunks;
//! from each chunk prefixes and suffixes are stripped until an exception or nothing is left to strip; what
//! remains is an exception, an address, or is split at its infixes. In the end, exceptions that lie across
//! several words of the result are put back together.
//!
//! The patterns are Python's and come with the model. All that can be a prefix or a suffix is a few
//! characters or a run of dots, so only the ends of a chunk are searched, and a text is split in time
//! proportional to its length however long a chunk is.

use super::vocab::{Lexeme, Vocabulary, is_space};
use crate::error::{Error, Result};
use fancy_regex::{Regex, RegexBuilder};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Characters at the end of a chunk that are searched for a prefix or suffix, more than any pattern takes
/// (runs of dots are followed beyond it).
const WINDOW: usize = 32;
/// Steps after which a pattern gives up on a chunk: enough for an address of several thousand characters.
const STEPS: usize = 200_000;
/// Chunks longer than this (bytes) are no addresses: Internet Explorer's old limit, which the web still keeps to.
const LONGEST_URL: usize = 2083;
/// Words of chunks that are remembered, over all shards: with what is known of each, some 30 MB.
const REMEMBERED: usize = 20_000;
/// Chunks longer than this (bytes) are not remembered.
const MEMORABLE: usize = 48;
const SHARDS: usize = 16;

/// A word of a text.
#[derive(Clone, Debug)]
pub struct Word {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// Whether a single space follows that is no word of its own.
    pub space_after: bool,
    /// What it looks like.
    pub lexeme: Arc<Lexeme>,
}

/// A word of a chunk: its length in bytes and its look.
type Piece = (usize, Arc<Lexeme>);

/// Chunks that were split before.
#[derive(Default)]
struct Memory {
    chunks: HashMap<Box<str>, Arc<[Piece]>>,
    /// How many words they have together.
    words: usize,
}

pub(crate) struct Tokenizer {
    prefix: Vec<Regex>,
    suffix: Vec<Regex>,
    infix: Regex,
    url: Regex,
    exceptions: HashMap<Box<str>, Arc<[Piece]>>,
    longest_exception: usize,
    /// What may follow a word for both to be (part of) an exception; [`Lexeme::special`] is the index.
    sequences: Vec<Vec<Vec<Box<str>>>>,
    /// Index into `sequences` by first word.
    heads: HashMap<Box<str>, u32>,
    /// In shards, so that threads seldom meet.
    memory: [Mutex<Memory>; SHARDS],
    hasher: RandomState,
}

#[derive(Deserialize)]
struct Settings {
    prefix_search: String,
    suffix_search: String,
    infix_finditer: String,
    url_match: String,
    token_match: Option<String>,
    exceptions: BTreeMap<String, Vec<Exception>>,
    /// Models of spaCy 3.1 do not say: spaCy 3.8 then uses them.
    #[serde(default = "usual")]
    faster_heuristics: bool,
}

fn usual() -> bool {
    true
}

/// A word of an exception; the keys are spaCy's numbers of the attributes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    #[serde(rename = "65")]
    orth: String,
    #[serde(rename = "67")]
    norm: Option<String>,
}

impl Tokenizer {
    pub(crate) fn load(folder: &Path, vocabulary: &Vocabulary) -> Result<Self> {
        let settings: Settings = super::read_json(&folder.join("tokenizer.json"))?;
        if settings.token_match.is_some() || !settings.faster_heuristics {
            return Err(Error::unsupported(
                "tokenizer.json has a token pattern or no faster heuristics",
            ));
        }
        let mut tokenizer = Self {
            prefix: alternatives(&settings.prefix_search)?,
            suffix: alternatives(&settings.suffix_search)?,
            infix: compile(&rust_pattern(&settings.infix_finditer))?,
            url: compile(&rust_pattern(&settings.url_match))?,
            exceptions: HashMap::new(),
            longest_exception: 0,
            sequences: Vec::new(),
            heads: HashMap::new(),
            memory: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        };
        for (text, words) in &settings.exceptions {
            let spelt: String = words.iter().map(|w| w.orth.as_str()).collect();
            if spelt != *text || words.iter().any(|w| w.orth.is_empty()) {
                return Err(Error::unsupported(format!(
                    "tokenizer.json: the words of \"{text}\" do not spell it"
                )));
            }
            // Without exceptions as yet: these are the words that a later pass has to put together.
            if tokenizer.prefix_of(text) > 0
                || tokenizer.suffix_of(text) > 0
                || tokenizer.infix.is_match(text).unwrap_or(false)
                || text.contains(' ')
            {
                tokenizer.add_sequence(text);
            }
        }
        for (text, words) in &settings.exceptions {
            let pieces = words
                .iter()
                .map(|w| tokenizer.piece(vocabulary, &w.orth, w.norm.as_deref()))
                .collect();
            tokenizer.longest_exception = tokenizer.longest_exception.max(text.len());
            tokenizer.exceptions.insert(text.as_str().into(), pieces);
        }
        Ok(tokenizer)
    }

    fn add_sequence(&mut self, text: &str) {
        let mut words = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let first = is_space(rest.chars().next().unwrap_or(' '));
            let end = rest.find(|c| is_space(c) != first).unwrap_or(rest.len());
            let mut at = 0;
            if !(first && end == 1) {
                for length in self.split(&rest[..end]).0 {
                    words.push(Box::from(&rest[at..at + length]));
                    at += length;
                }
            }
            rest = &rest[end..];
        }
        if words.is_empty() {
            return;
        }
        let head: Box<str> = words.remove(0);
        let next = self.sequences.len() as u32;
        let index = *self.heads.entry(head).or_insert(next);
        if index == next {
            self.sequences.push(Vec::new());
        }
        self.sequences[index as usize].push(words);
    }

    fn piece(&self, vocabulary: &Vocabulary, text: &str, norm: Option<&str>) -> Piece {
        let mut lexeme = vocabulary.lexeme(text, norm);
        lexeme.special = self.heads.get(text).copied();
        (text.len(), Arc::new(lexeme))
    }

    /// The words of a text, in order.
    pub(crate) fn words(&self, vocabulary: &Vocabulary, text: &str) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::with_capacity(text.len() / 5 + 1);
        let mut start = 0;
        let mut in_space = text.chars().next().is_some_and(is_space);
        for (at, c) in text.char_indices() {
            if is_space(c) == in_space {
                continue;
            }
            if start < at {
                self.chunk(vocabulary, text, start..at, &mut words);
            }
            start = at;
            if c == ' ' {
                if let Some(word) = words.last_mut() {
                    word.space_after = true;
                }
                start += 1;
            }
            in_space = !in_space;
        }
        if start < text.len() {
            self.chunk(vocabulary, text, start..text.len(), &mut words);
        }
        self.join_exceptions(text, words)
    }

    fn chunk(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        range: std::ops::Range<usize>,
        words: &mut Vec<Word>,
    ) {
        let chunk = &text[range.clone()];
        let mut at = range.start;
        let mut take = |pieces: &[Piece]| {
            for (length, lexeme) in pieces {
                words.push(Word {
                    start: at,
                    end: at + length,
                    space_after: false,
                    lexeme: lexeme.clone(),
                });
                at += length;
            }
        };
        if let Some(pieces) = self.exception(chunk) {
            return take(pieces);
        }
        let shard = (self.hasher.hash_one(chunk) % SHARDS as u64) as usize;
        let remembered = || {
            self.memory[shard]
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if chunk.len() <= MEMORABLE
            && let Some(pieces) = remembered().chunks.get(chunk)
        {
            return take(pieces);
        }
        let mut pieces = Vec::new();
        let mut from = 0;
        let (lengths, exception) = self.split(chunk);
        for (index, length) in lengths.into_iter().enumerate() {
            let word = &chunk[from..from + length];
            from += length;
            match self.exception(word) {
                Some(words) if exception == Some(index) => pieces.extend_from_slice(words),
                _ => pieces.push(self.piece(vocabulary, word, None)),
            }
        }
        take(&pieces);
        if chunk.len() <= MEMORABLE {
            let mut memory = remembered();
            if memory.words + pieces.len() > REMEMBERED / SHARDS {
                *memory = Memory::default();
            }
            memory.words += pieces.len();
            memory.chunks.insert(chunk.into(), pieces.into());
        }
    }

    fn exception(&self, text: &str) -> Option<&[Piece]> {
        if text.len() > self.longest_exception {
            return None;
        }
        self.exceptions.get(text).map(|pieces| &**pieces)
    }

    /// Lengths in bytes of the words of a chunk, and which of them is an exception (left whole), if any.
    /// Affixes and what lies between infixes may be spelt like an exception without being one.
    fn split(&self, chunk: &str) -> (Vec<usize>, Option<usize>) {
        let mut prefixes = Vec::new();
        let mut suffixes = Vec::new();
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.exception(rest).is_some() {
                break;
            }
            let before = self.prefix_of(rest);
            if before > 0 && before < rest.len() && self.exception(&rest[before..]).is_some() {
                prefixes.push(before);
                rest = &rest[before..];
                break;
            }
            let after = self.suffix_of(&rest[before..]);
            let kept = rest.len() - after;
            if after > 0 && kept > 0 && self.exception(&rest[..kept]).is_some() {
                suffixes.push(after);
                rest = &rest[..kept];
                break;
            }
            if before == 0 && after == 0 {
                break;
            }
            if before > 0 {
                prefixes.push(before);
            }
            if after > 0 {
                suffixes.push(after);
            }
            rest = &rest[before..kept];
        }
        let mut lengths = prefixes;
        let mut exception = None;
        if !rest.is_empty() {
            if self.exception(rest).is_some() {
                exception = Some(lengths.len());
                lengths.push(rest.len());
            } else if self.is_url(rest) {
                lengths.push(rest.len());
            } else {
                self.split_infixes(rest, &mut lengths);
            }
        }
        lengths.extend(suffixes.into_iter().rev());
        (lengths, exception)
    }

    fn prefix_of(&self, text: &str) -> usize {
        let mut end = text
            .char_indices()
            .nth(WINDOW)
            .map_or(text.len(), |(at, _)| at);
        // A run of dots is one prefix however long it is.
        while text.as_bytes().get(end) == Some(&b'.') && text.as_bytes()[end - 1] == b'.' {
            end += 1;
        }
        let window = &text[..end];
        self.prefix
            .iter()
            .find_map(|pattern| pattern.find(window).ok().flatten())
            .map_or(0, |found| found.end() - found.start())
    }

    fn suffix_of(&self, text: &str) -> usize {
        let mut start = text
            .char_indices()
            .rev()
            .nth(WINDOW - 1)
            .map_or(0, |(at, _)| at);
        while start > 0 && text.as_bytes()[start] == b'.' && text.as_bytes()[start - 1] == b'.' {
            start -= 1;
        }
        let window = &text[start..];
        // Every alternative ends at the end, so the leftmost match is the longest.
        self.suffix
            .iter()
            .filter_map(|pattern| pattern.find(window).ok().flatten())
            .map(|found| found.end() - found.start())
            .max()
            .unwrap_or(0)
    }

    fn is_url(&self, text: &str) -> bool {
        text.len() <= LONGEST_URL && text.contains('.') && self.url.is_match(text).unwrap_or(false)
    }

    fn split_infixes(&self, text: &str, lengths: &mut Vec<usize>) {
        let mut start = 0;
        if !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            // A pattern that gives up leaves the rest unsplit.
            for found in self
                .infix
                .find_iter(text)
                .map_while(std::result::Result::ok)
            {
                if found.start() == 0 {
                    continue;
                }
                if found.start() > start {
                    lengths.push(found.start() - start);
                }
                if !found.as_str().is_empty() {
                    lengths.push(found.end() - found.start());
                }
                start = found.end();
            }
        }
        if start < text.len() {
            lengths.push(text.len() - start);
        }
    }

    /// Replaces words that together spell an exception by the exception's words: the longest first, then
    /// the leftmost.
    fn join_exceptions(&self, text: &str, words: Vec<Word>) -> Vec<Word> {
        let mut found = Vec::new();
        for (start, word) in words.iter().enumerate() {
            let Some(index) = word.lexeme.special else {
                continue;
            };
            for sequence in &self.sequences[index as usize] {
                let end = start + 1 + sequence.len();
                let Some(following) = words.get(start + 1..end) else {
                    continue;
                };
                if following
                    .iter()
                    .zip(sequence)
                    .all(|(word, wanted)| text[word.start..word.end] == **wanted)
                {
                    found.push((start, end));
                }
            }
        }
        if found.is_empty() {
            return words;
        }
        found.sort_unstable_by_key(|&(start, end)| (std::cmp::Reverse(end - start), start));
        let mut seen = HashSet::new();
        let mut chosen = BTreeMap::new();
        for (start, end) in found {
            if !seen.contains(&start) && !seen.contains(&(end - 1)) {
                chosen.insert(start, end);
            }
            seen.extend(start..end);
        }
        let mut joined = Vec::with_capacity(words.len());
        let mut at = 0;
        while at < words.len() {
            let end = chosen.get(&at).copied().unwrap_or(at + 1);
            let (first, last) = (&words[at], &words[end - 1]);
            let exception = (chosen.contains_key(&at))
                .then(|| self.exception(&text[first.start..last.end]))
                .flatten();
            match exception {
                Some(pieces) => {
                    let mut start = first.start;
                    for (length, lexeme) in pieces {
                        joined.push(Word {
                            start,
                            end: start + length,
                            space_after: false,
                            lexeme: lexeme.clone(),
                        });
                        start += length;
                    }
                    if let Some(word) = joined.last_mut() {
                        word.space_after = last.space_after;
                    }
                }
                None => joined.extend_from_slice(&words[at..end]),
            }
            at = end;
        }
        joined
    }

    /// About how many bytes the tables take, and the memory of chunks when it is full.
    pub(crate) fn memory(&self) -> u64 {
        ((self.exceptions.len() + REMEMBERED) * 1536) as u64
    }
}

fn compile(pattern: &str) -> Result<Regex> {
    RegexBuilder::new(pattern)
        .backtrack_limit(STEPS)
        .build()
        .map_err(|e| Error::Tokenizer(e.to_string()))
}

/// The alternatives of a pattern as few regular expressions that are to be tried in turn. Those without
/// look-around are apart from those with, because they run without backtracking.
fn alternatives(pattern: &str) -> Result<Vec<Regex>> {
    let pattern = rust_pattern(pattern);
    let mut groups: Vec<(bool, Vec<&str>)> = Vec::new();
    for alternative in top_level(&pattern) {
        let looks = ["(?=", "(?!", "(?<=", "(?<!"]
            .iter()
            .any(|look| alternative.contains(look));
        match groups.last_mut() {
            Some((same, group)) if *same == looks => group.push(alternative),
            _ => groups.push((looks, vec![alternative])),
        }
    }
    groups
        .iter()
        .map(|(_, group)| compile(&group.join("|")))
        .collect()
}

/// Splits at the bars that are in no group and no class.
fn top_level(pattern: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut class, mut escaped) = (0, 0_usize, false, false);
    for (at, c) in pattern.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\\' => escaped = true,
            '[' if !class => class = true,
            ']' if class => class = false,
            '(' if !class => depth += 1,
            ')' if !class => depth = depth.saturating_sub(1),
            '|' if !class && depth == 0 => {
                parts.push(&pattern[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&pattern[start..]);
    parts
}

/// A pattern of Python's `re` as the `regex` crate writes it: code points as themselves, and no set
/// operations inside of classes, which Python does not have.
fn rust_pattern(python: &str) -> String {
    let mut rust = String::with_capacity(python.len());
    let push_literal = |rust: &mut String, c: char| {
        if c.is_ascii_punctuation() && c != '"' && c != '\'' {
            rust.push('\\');
        }
        rust.push(c);
    };
    let mut chars = python.chars();
    let mut class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(kind @ ('u' | 'U' | 'x')) => {
                    let digits = match kind {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let code: String = chars.by_ref().take(digits).collect();
                    let point = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                    // A code point that is none (half a pair) cannot occur in a text either.
                    push_literal(&mut rust, point.unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                Some(c) if c.is_ascii_alphanumeric() => {
                    rust.push('\\');
                    rust.push(c);
                }
                Some(c) => push_literal(&mut rust, c),
                None => rust.push_str("\\\\"),
            },
            '[' if !class => {
                class = true;
                rust.push('[');
            }
            ']' if class => {
                class = false;
                rust.push(']');
            }
            '[' | '&' | '~' if class => push_literal(&mut rust, c),
            c => rust.push(c),
        }
    }
    rust
}
