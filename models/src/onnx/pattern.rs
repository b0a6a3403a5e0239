//! Patterns of words as ONNX Runtime's `Tokenizer` reads them, which hands them to Google's RE2: of the matches that start
//! first the longest is taken, and `\w`, `\d`, `\s` and `\b` know ASCII only.

use regex_automata::hybrid::dfa::DFA;

use regex_automata::meta::Regex;
use regex_automata::nfa::thompson;
use regex_automata::{Anchored, Input, MatchKind};
use std::ops::Range;

/// What searches for one pattern share.
pub(super) use regex_automata::hybrid::dfa::Cache;

/// Most bytes that one of the machines of a pattern may take.
const MACHINE: usize = 8 << 20;
/// Most bytes of a pattern.
const LENGTH: usize = 4096;

/// A pattern.
pub(super) struct Pattern {
    /// Finds where a match starts.
    leftmost: Regex,
    /// Finds where the longest that starts there ends.
    longest: DFA,
}

impl Pattern {
    /// Reads a pattern in RE2's syntax.
    ///
    /// # Errors
    /// When it is none, takes too much memory, or uses what is read in another way here.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("the pattern {text:?} is not read here: {why}");
        if text.len() > LENGTH {
            return Err(format!("a pattern of more than {LENGTH} bytes"));
        }
        let ours = translated(text).map_err(|why| wrong(why.to_owned()))?;
        let meta = Regex::config()
            .nfa_size_limit(Some(MACHINE))
            .hybrid_cache_capacity(MACHINE);
        let leftmost = Regex::builder().configure(meta).build(&ours);
        let dfa = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(MACHINE);
        let longest = DFA::builder()
            .configure(dfa)
            .thompson(thompson::Config::new().nfa_size_limit(Some(MACHINE)))
            .build(&ours);
        Ok(Self {
            leftmost: leftmost.map_err(|error| wrong(error.to_string()))?,
            longest: longest.map_err(|error| wrong(error.to_string()))?,
        })
    }

    /// What searches share.
    pub(super) fn cache(&self) -> Cache {
        self.longest.create_cache()
    }

    /// The longest of the first matches that start at or after a place.
    pub(super) fn find(
        &self,
        cache: &mut Cache,
        text: &str,
        from: usize,
    ) -> Result<Option<Range<usize>>, String> {
        if from > text.len() {
            return Ok(None);
        }
        let all = Input::new(text).range(from..);
        let Some(first) = self.leftmost.find(all) else {
            return Ok(None);
        };
        let here = Input::new(text)
            .range(first.start()..)
            .anchored(Anchored::Yes);
        let end = self.longest.try_search_fwd(cache, &here);
        let end = end.map_err(|error| error.to_string())?;
        let end = end.map_or(first.end(), |end| end.offset());
        Ok(Some(first.start()..end))
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn bytes(&self) -> u64 {
        (self.leftmost.memory_usage() + self.longest.memory_usage()) as u64
    }
}

/// The same pattern in the syntax of the crate that reads it.
fn translated(text: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_class = false;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        if first == '\\' {
            let escaped = after.chars().next().ok_or("it ends in a backslash")?;
            match escaped {
                'd' => out.push_str("[0-9]"),
                'D' => out.push_str("[^0-9]"),
                'w' => out.push_str("[0-9A-Za-z_]"),
                'W' => out.push_str("[^0-9A-Za-z_]"),
                's' => out.push_str(r"[\t\n\f\r ]"),
                'S' => out.push_str(r"[^\t\n\f\r ]"),
                'b' if !in_class && !after.starts_with("b{") => out.push_str(r"(?-u:\b)"),
                'b' | 'B' | 'C' | 'Q' => return Err("an escape that is not supported"),
                '<' | '>' => out.push(escaped),
                _ => {
                    out.push('\\');
                    out.push(escaped);
                }
            }
            rest = &after[escaped.len_utf8()..];
        } else if in_class {
            match first {
                '[' if after.starts_with(':') => {
                    let end = after.find(":]").ok_or("a class has no end")? + 2;
                    out.push('[');
                    out.push_str(&after[..end]);
                    rest = &after[end..];
                    continue;
                }
                '-' if after.starts_with('-') => return Err("a class with -- in it"),
                // The crate has operators of classes that RE2 has not.
                '[' | '&' | '~' => {
                    out.push('\\');
                    out.push(first);
                }
                ']' => {
                    in_class = false;
                    out.push(']');
                }
                other => out.push(other),
            }
            rest = after;
        } else {
            out.push(first);
            rest = after;
            match first {
                '[' => {
                    in_class = true;
                    // Brackets in front are members of the class.
                    let negated = rest.strip_prefix('^');
                    if let Some(after) = negated {
                        out.push('^');
                        rest = after;
                    }
                    if let Some(after) = rest.strip_prefix(']') {
                        out.push_str(r"\]");
                        rest = after;
                    }
                }
                '(' => {
                    if let Some(flags) = after.strip_prefix('?') {
                        let end = flags.find([':', ')', '<']).unwrap_or(flags.len());
                        let known = |flag: char| "imsUP-".contains(flag);
                        if !flags[..end].chars().all(known) {
                            return Err("flags or groups that RE2 has not");
                        }
                    }
                }
                _ => {}
            }
        }
    }
    if in_class {
        return Err("a class has no end");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<'t>(pattern: &str, text: &'t str) -> Vec<&'t str> {
        let pattern = Pattern::read(pattern).expect("a pattern");
        let (mut cache, mut from, mut found) = (pattern.cache(), 0, Vec::new());
        while let Some(range) = pattern.find(&mut cache, text, from).expect("searched") {
            from = range.end.max(from + 1);
            found.push(&text[range]);
        }
        found
    }

    /// As RE2 with its longest matches finds them.
    #[test]
    fn the_longest_match_is_taken() {
        assert_eq!(words("a|ab", "ab aab"), ["ab", "a", "ab"]);
        assert_eq!(words("[a-z]+?", "ab aab."), ["ab", "aab"]);
        assert_eq!(words("(a?)(ab)?b", "abb ab"), ["abb", "ab"]);
        assert_eq!(words("^a", "aa"), ["a"]);
    }

    #[test]
    fn classes_are_those_of_re2() {
        assert_eq!(words(r"\w+", "naïve 12_a"), ["na", "ve", "12_a"]);
        assert_eq!(words(r"[^\W\d]+", "ab1é_"), ["ab", "_"]);
        assert_eq!(words(r"\b\w\w+\b", "a ab é"), ["ab"]);
        assert_eq!(words(r"[[:alpha:]&&~]+", "a&b~c1"), ["a&b~c"]);
        assert_eq!(words(r"[][]+", "a[]b"), ["[]"]);
        assert_eq!(words(r"\p{L}+", "été 1"), ["été"]);
        assert_eq!(words(r"[^ ]+", "ï, b"), ["ï,", "b"]);
        for wrong in [
            r"(?u)\w+", r"a\B", r"[a--b]", "(", "[a", "\\", "(?=a)", "(?x)a", r"(a)\1",
        ] {
            assert!(Pattern::read(wrong).is_err(), "{wrong}");
        }
        assert!(Pattern::read(&"(a{1000}){1000}".repeat(3)).is_err());
        assert!(Pattern::read(&"a".repeat(LENGTH + 1)).is_err());
    }
}
