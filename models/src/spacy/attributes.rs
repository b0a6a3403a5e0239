//! Parts of speech, morphology and some lemmas by rules over tags, spellings and relations.
//!
//! Reference: `spacy/pipeline/attributeruler.py` and `spacy/matcher/matcher.pyx` of spaCy 3.8, of which
//! `attributes.json` uses: sequences of one or two words with conditions on `TAG`, `POS`, `LOWER`, `DEP` and
//! `IS_SPACE`, each a value, `IN`, `NOT_IN` or `REGEX`. All rules look at the words as the networks left
//! them; their effects are applied in the order of the rules, so that a later one wins.

use crate::error::{Error, Result};
use fancy_regex::Regex;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;

pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// Rules whose first word has one certain tag, by that tag.
    by_tag: HashMap<String, Vec<usize>>,
    /// Other rules whose first word has one certain spelling, by that spelling.
    by_lower: HashMap<String, Vec<usize>>,
    /// All others.
    rest: Vec<usize>,
}

struct Rule {
    patterns: Vec<Vec<Conditions>>,
    effect: Effect,
    /// Which word of the match is changed.
    index: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    patterns: Vec<Vec<ConditionsFile>>,
    attrs: Effect,
    index: usize,
}

/// What becomes of a word.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "UPPERCASE")]
struct Effect {
    pos: Option<String>,
    morph: Option<String>,
    lemma: Option<String>,
    tag: Option<String>,
    dep: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "UPPERCASE")]
struct ConditionsFile {
    tag: Option<TestFile>,
    pos: Option<TestFile>,
    lower: Option<TestFile>,
    dep: Option<TestFile>,
    is_space: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TestFile {
    Is(String),
    Of(Operators),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "UPPERCASE")]
struct Operators {
    r#in: Option<Vec<String>>,
    not_in: Option<Vec<String>>,
    regex: Option<String>,
}

struct Conditions {
    tag: Option<Test>,
    pos: Option<Test>,
    lower: Option<Test>,
    dep: Option<Test>,
    is_space: Option<bool>,
}

enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Regex(Box<Regex>),
}

/// What the rules see of a word.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) tag: &'a str,
    pub(crate) pos: &'a str,
    pub(crate) lower: &'a str,
    pub(crate) dep: &'a str,
    pub(crate) is_space: bool,
}

/// What the rules say about a word.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said<'a> {
    pub(crate) pos: Option<&'a str>,
    pub(crate) morphology: Option<&'a str>,
    pub(crate) lemma: Option<&'a str>,
    pub(crate) tag: Option<&'a str>,
    pub(crate) dep: Option<&'a str>,
}

impl TestFile {
    fn compile(self) -> Result<Test> {
        let operators = match self {
            Self::Is(value) => return Ok(Test::In(vec![value])),
            Self::Of(operators) => operators,
        };
        match (operators.r#in, operators.not_in, operators.regex) {
            (Some(values), None, None) => Ok(Test::In(values)),
            (None, Some(values), None) => Ok(Test::NotIn(values)),
            (None, None, Some(pattern)) => match Regex::new(&pattern) {
                Ok(regex) => Ok(Test::Regex(Box::new(regex))),
                Err(e) => Err(Error::unsupported(format!(
                    "attributes.json: {pattern}: {e}"
                ))),
            },
            _ => Err(Error::unsupported(
                "attributes.json: a test of several operators",
            )),
        }
    }
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::In(values) => values.iter().any(|v| v == value),
            Self::NotIn(values) => values.iter().all(|v| v != value),
            // A pattern that gives up does not match.
            Self::Regex(pattern) => pattern.is_match(value).unwrap_or(false),
        }
    }

    /// All values that pass, where they can be listed.
    fn values(&self) -> Option<&[String]> {
        match self {
            Self::In(values) => Some(values),
            _ => None,
        }
    }
}

impl Conditions {
    fn hold(&self, word: &Seen<'_>) -> bool {
        let test = |test: &Option<Test>, value| test.as_ref().is_none_or(|t| t.holds(value));
        self.is_space.is_none_or(|space| space == word.is_space)
            && test(&self.tag, word.tag)
            && test(&self.pos, word.pos)
            && test(&self.lower, word.lower)
            && test(&self.dep, word.dep)
    }
}

impl Rules {
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let files: Vec<RuleFile> = super::read_json(&folder.join("attributes.json"))?;
        let test = |test: Option<TestFile>| test.map(TestFile::compile).transpose();
        let mut rules = Vec::new();
        for file in files {
            let mut patterns = Vec::new();
            for words in file.patterns {
                if file.index >= words.len() {
                    return Err(Error::unsupported(format!(
                        "attributes.json: word {} of a pattern of {}",
                        file.index,
                        words.len()
                    )));
                }
                let compile = |word: ConditionsFile| {
                    Ok(Conditions {
                        tag: test(word.tag)?,
                        pos: test(word.pos)?,
                        lower: test(word.lower)?,
                        dep: test(word.dep)?,
                        is_space: word.is_space,
                    })
                };
                patterns.push(words.into_iter().map(compile).collect::<Result<Vec<_>>>()?);
            }
            rules.push(Rule {
                patterns,
                effect: file.attrs,
                index: file.index,
            });
        }
        let (mut by_tag, mut by_lower) = (HashMap::new(), HashMap::new());
        let mut rest = Vec::new();
        let index = |map: &mut HashMap<String, Vec<usize>>, values: &[String], rule: usize| {
            for value in values {
                let list = map.entry(value.clone()).or_default();
                if list.last() != Some(&rule) {
                    list.push(rule);
                }
            }
        };
        for (number, rule) in rules.iter().enumerate() {
            let firsts: Vec<&Conditions> = rule.patterns.iter().map(|p| &p[0]).collect();
            let all = |of: fn(&Conditions) -> &Option<Test>| -> Option<Vec<String>> {
                let mut all = Vec::new();
                for first in &firsts {
                    all.extend_from_slice(of(first).as_ref()?.values()?);
                }
                Some(all)
            };
            if let Some(values) = all(|c| &c.tag) {
                index(&mut by_tag, &values, number);
            } else if let Some(values) = all(|c| &c.lower) {
                index(&mut by_lower, &values, number);
            } else {
                rest.push(number);
            }
        }
        Ok(Self {
            rules,
            by_tag,
            by_lower,
            rest,
        })
    }

    /// What the rules say about each of `words` words.
    pub(crate) fn apply<'a>(
        &'a self,
        words: usize,
        seen: impl Fn(usize) -> Seen<'a>,
    ) -> Vec<Said<'a>> {
        let mut matches: Vec<(usize, usize)> = Vec::with_capacity(2 * words);
        for word in 0..words {
            let first = seen(word);
            let candidates = [
                self.by_tag.get(first.tag).map_or(&[][..], Vec::as_slice),
                self.by_lower
                    .get(first.lower)
                    .map_or(&[][..], Vec::as_slice),
                &self.rest,
            ];
            for &number in candidates.into_iter().flatten() {
                let rule = &self.rules[number];
                let fits = rule.patterns.iter().any(|pattern| {
                    word + pattern.len() <= words
                        && pattern[0].hold(&first)
                        && (1..pattern.len()).all(|i| pattern[i].hold(&seen(word + i)))
                });
                if fits {
                    matches.push((number, word + rule.index));
                }
            }
        }
        matches.sort_unstable();
        let mut said = vec![Said::default(); words];
        for (number, word) in matches {
            let (said, effect) = (&mut said[word], &self.rules[number].effect);
            said.pos = effect.pos.as_deref().or(said.pos);
            said.morphology = effect.morph.as_deref().or(said.morphology);
            said.lemma = effect.lemma.as_deref().or(said.lemma);
            said.tag = effect.tag.as_deref().or(said.tag);
            said.dep = effect.dep.as_deref().or(said.dep);
        }
        said
    }

    pub(crate) fn memory(&self) -> u64 {
        self.rules.len() as u64 * 512
    }
}
