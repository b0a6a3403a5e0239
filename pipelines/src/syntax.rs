//! Words, names and phrases of an English text, in Comprehend's terms.
//!
//! The network reads a text once; entities, key phrases and parts of speech are three views of that one
//! reading, so that the three operations agree with each other.
//!
//! Maps: universal parts of speech are Comprehend's tags but for `X`, which is `O`. The recogniser's eighteen
//! types become Comprehend's nine ([`EntityType`]). Key phrases are the parser's noun chunks, without those
//! that are one pronoun or hold neither letter nor digit. Tokens of white space are left out.
//!
//! Scores are the networks' own probabilities of what they chose, not calibrated on held-out data.

use crate::error::{Error, Kind, Result};
use crate::offsets::{Extent, Offsets};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, each, unavailable};
use escala_models::Compute;
use escala_models::spacy::{Document, English};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::{Arc, Weak};

/// The catalogue's name of the model.
pub const MODEL: &str = "en-core-web-sm";

/// Languages that the model reads.
pub const LANGUAGES: &[&str] = &["en"];

macro_rules! names {
    ($(#[$about:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $type {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in Comprehend's API.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}
pub(crate) use names;

names! {
    /// A part of speech, as Comprehend names them.
    PartOfSpeech {
        /// Adjective.
        Adjective = "ADJ",
        /// Adposition.
        Adposition = "ADP",
        /// Adverb.
        Adverb = "ADV",
        /// Auxiliary.
        Auxiliary = "AUX",
        /// Conjunction; the model tells the two kinds of conjunctions apart and does not use it.
        Conjunction = "CONJ",
        /// Coordinating conjunction.
        CoordinatingConjunction = "CCONJ",
        /// Determiner.
        Determiner = "DET",
        /// Interjection.
        Interjection = "INTJ",
        /// Noun.
        Noun = "NOUN",
        /// Numeral.
        Numeral = "NUM",
        /// Anything else.
        Other = "O",
        /// Particle.
        Particle = "PART",
        /// Pronoun.
        Pronoun = "PRON",
        /// Proper noun.
        ProperNoun = "PROPN",
        /// Punctuation.
        Punctuation = "PUNCT",
        /// Subordinating conjunction.
        SubordinatingConjunction = "SCONJ",
        /// Symbol.
        Symbol = "SYM",
        /// Verb.
        Verb = "VERB",
    }
}

impl PartOfSpeech {
    fn of_universal(tag: &str) -> Self {
        let same = Self::ALL.iter().find(|part| part.name() == tag);
        same.copied().unwrap_or(Self::Other)
    }
}

names! {
    /// What an entity is, as Comprehend tells them apart.
    EntityType {
        /// A person.
        Person = "PERSON",
        /// A country, city, place or building.
        Location = "LOCATION",
        /// A company or institution.
        Organization = "ORGANIZATION",
        /// A product.
        CommercialItem = "COMMERCIAL_ITEM",
        /// A named event.
        Event = "EVENT",
        /// A date or time.
        Date = "DATE",
        /// A number, amount of money, percentage or measure.
        Quantity = "QUANTITY",
        /// The title of a work.
        Title = "TITLE",
        /// A nationality, law or language.
        Other = "OTHER",
    }
}

impl EntityType {
    /// The type for a label of OntoNotes 5, which the recogniser was trained on.
    fn of_ontonotes(label: &str) -> Self {
        match label {
            "PERSON" => Self::Person,
            "ORG" => Self::Organization,
            "GPE" | "LOC" | "FAC" => Self::Location,
            "DATE" | "TIME" => Self::Date,
            "EVENT" => Self::Event,
            "PRODUCT" => Self::CommercialItem,
            "WORK_OF_ART" => Self::Title,
            "CARDINAL" | "ORDINAL" | "PERCENT" | "MONEY" | "QUANTITY" => Self::Quantity,
            _ => Self::Other,
        }
    }
}

/// A word or mark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Where it stands.
    pub extent: Extent,
    /// Its part of speech.
    pub part_of_speech: PartOfSpeech,
    /// Probability of its fine tag, 0 to 1.
    pub score: f32,
    /// Fine tag of the Penn treebank.
    pub tag: String,
    /// Dictionary form.
    pub lemma: String,
    /// Its relation to its head.
    pub dependency: String,
    /// Index of its head among the tokens; its own for the root of a sentence.
    pub head: usize,
}

/// A named thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// Where it stands.
    pub extent: Extent,
    /// What it is.
    pub kind: EntityType,
    /// What the recogniser calls it: a label of OntoNotes 5, finer than `kind`.
    pub label: String,
    /// Probability, 0 to 1.
    pub score: f32,
}

/// A noun phrase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyPhrase {
    /// Where it stands.
    pub extent: Extent,
    /// Probability, 0 to 1.
    pub score: f32,
}

/// One reading of a text; every list is in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Syntax {
    /// Words and marks.
    pub tokens: Vec<Token>,
    /// Named things.
    pub entities: Vec<Entity>,
    /// Noun phrases.
    pub key_phrases: Vec<KeyPhrase>,
    /// Sentences.
    pub sentences: Vec<Extent>,
}

/// A place for the one copy of the English model that the tasks on it share.
///
/// Each task counts the whole of it against the memory budget: what is evicted is then never counted too
/// low, whichever goes first.
#[derive(Clone, Default)]
pub struct SharedEnglish(Arc<Mutex<Weak<English>>>);

impl SharedEnglish {
    /// The copy that another task holds, or a new one.
    ///
    /// # Errors
    /// `Unavailable` with what is missing and what to do.
    pub(crate) fn load(&self, context: &LoadContext<'_>) -> Result<Arc<English>> {
        // Whoever comes second waits here instead of reading the files again.
        let mut place = self.0.lock();
        if let Some(english) = place.upgrade() {
            return Ok(english);
        }
        let files = context
            .weights
            .ensure(MODEL, &escala_weights::Silent)
            .map_err(|e| unavailable(MODEL, e))?;
        let english = English::load(files.dir()).map_err(|e| unavailable(MODEL, e))?;
        let english = Arc::new(english);
        *place = Arc::downgrade(&english);
        Ok(english)
    }
}

/// Reading takes about 10 µs a byte: a batch is some 80 ms on one core, a full queue about ten seconds.
pub(crate) const LIMITS: Limits = Limits {
    batch_cost: 8 << 10,
    batch_items: 64,
    queue_items: 8192,
    queue_cost: 1 << 20,
};

/// Words, names and phrases of an English text.
#[derive(Clone, Default)]
pub struct SyntaxTask {
    english: SharedEnglish,
}

impl SyntaxTask {
    /// The task, on the copy of the model in this place.
    pub fn new(english: SharedEnglish) -> Self {
        Self { english }
    }
}

/// The loaded model.
pub struct SyntaxPipeline {
    english: Arc<English>,
}

impl Task for SyntaxTask {
    type Input = Arc<str>;
    type Output = Syntax;
    type Pipeline = SyntaxPipeline;

    fn name(&self) -> &'static str {
        "syntax"
    }

    fn model(&self) -> &str {
        MODEL
    }

    fn unit(&self) -> Unit {
        Unit::Bytes
    }

    fn cost(&self, input: &Arc<str>) -> u64 {
        input.len() as u64 + 16
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn load(&self, context: &LoadContext<'_>) -> Result<SyntaxPipeline> {
        let english = self.english.load(context)?;
        Ok(SyntaxPipeline { english })
    }
}

impl Pipeline for SyntaxPipeline {
    type Input = Arc<str>;
    type Output = Syntax;

    fn memory(&self) -> u64 {
        self.english.memory()
    }

    fn sample(&self) -> Arc<str> {
        "Ada Lovelace lived in London.".into()
    }

    fn run(&self, compute: &Compute, batch: &[Arc<str>]) -> Vec<Result<Syntax>> {
        each(compute, batch, |text| {
            read(text, &self.english.analyse(text))
        })
    }
}

/// The model's reading of a text in Comprehend's terms.
///
/// # Errors
/// `Internal` when the document does not fit the text or holds a score that is none.
pub(crate) fn read(text: &str, document: &Document) -> Result<Syntax> {
    let offsets = Offsets::new(text);
    // Where a token of the document is among those that are no white space.
    let mut place = vec![None; document.tokens.len()];
    let mut count = 0;
    for (place, token) in place.iter_mut().zip(&document.tokens) {
        if !token.is_space {
            *place = Some(count);
            count += 1;
        }
    }
    let mut tokens = Vec::with_capacity(count);
    for (index, token) in document.tokens.iter().enumerate() {
        let Some(own) = place[index] else { continue };
        let head = place.get(token.head).copied().flatten();
        tokens.push(Token {
            extent: offsets.extent(token.start..token.end)?,
            part_of_speech: PartOfSpeech::of_universal(&token.pos),
            score: probability(token.tag_score)?,
            tag: token.tag.clone(),
            lemma: token.lemma.clone(),
            dependency: token.dep.clone(),
            head: head.unwrap_or(own),
        });
    }
    let mut entities = Vec::with_capacity(document.entities.len());
    for span in &document.entities {
        let label = &span.label;
        if let Some(extent) = offsets.trimmed(bytes(document, &span.tokens)?)? {
            entities.push(Entity {
                extent,
                kind: EntityType::of_ontonotes(label),
                label: label.clone(),
                score: probability(span.score)?,
            });
        }
    }
    let mut key_phrases = Vec::with_capacity(document.noun_chunks.len());
    for span in &document.noun_chunks {
        let words = document.tokens.get(span.tokens.clone()).unwrap_or_default();
        let mut words = words.iter().filter(|token| !token.is_space);
        let pronoun = words
            .next()
            .is_some_and(|token| PartOfSpeech::of_universal(&token.pos) == PartOfSpeech::Pronoun)
            && words.next().is_none();
        match offsets.trimmed(bytes(document, &span.tokens)?)? {
            Some(extent) if !pronoun && wordy(extent.of(text)) => key_phrases.push(KeyPhrase {
                extent,
                score: probability(span.score)?,
            }),
            _ => {}
        }
    }
    let mut sentences = Vec::with_capacity(document.sentences.len());
    for sentence in &document.sentences {
        sentences.extend(offsets.trimmed(bytes(document, sentence)?)?);
    }
    Ok(Syntax {
        tokens,
        entities,
        key_phrases,
        sentences,
    })
}

/// It holds a letter or a digit.
fn wordy(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// The bytes of a range of tokens.
fn bytes(document: &Document, tokens: &Range<usize>) -> Result<Range<usize>> {
    match document.tokens.get(tokens.clone()) {
        Some([first, .., last]) => Ok(first.start..last.end),
        Some([only]) => Ok(only.start..only.end),
        _ => {
            let message = format!("the model speaks of the tokens {tokens:?}, which there are not");
            Err(Error::new(Kind::Internal, message))
        }
    }
}

/// A score of the model, kept from running a hair over one.
fn probability(score: f32) -> Result<f32> {
    if score.is_finite() {
        return Ok(score.clamp(0.0, 1.0));
    }
    let message = format!("the model answered the score {score}");
    Err(Error::new(Kind::Internal, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use escala_models::spacy::{Span, Token as Word};

    /// A document with these words, one a line: text, part of speech, head. A `_` is white space.
    fn document(text: &str, words: &[(&str, &str, usize)]) -> Document {
        let mut from = 0;
        let word = |&(word, pos, head): &(&str, &str, usize)| {
            let start = from + text[from..].find(word).expect("a word of the text");
            from = start + word.len();
            Word {
                start,
                end: from,
                lemma: word.to_lowercase(),
                tag: "NN".into(),
                tag_score: 0.5,
                pos: pos.into(),
                dep: "dep".into(),
                head,
                is_space: word.trim().is_empty(),
            }
        };
        let tokens: Vec<Word> = words.iter().map(word).collect();
        let whole = 0..tokens.len();
        Document {
            tokens,
            entities: vec![],
            noun_chunks: vec![],
            sentences: vec![whole],
        }
    }

    fn span(tokens: Range<usize>, label: &str) -> Span {
        Span {
            tokens,
            label: label.into(),
            score: 0.75,
        }
    }

    #[test]
    fn documents_are_read_in_characters_without_white_space() {
        let text = "Zoë  naïvely left München.";
        let mut document = document(
            text,
            &[
                ("Zoë", "PROPN", 3),
                (" ", "SPACE", 0),
                ("naïvely", "ADV", 3),
                ("left", "VERB", 3),
                ("München", "X", 3),
                (".", "PUNCT", 3),
            ],
        );
        document.entities = vec![span(0..2, "PERSON"), span(4..5, "GPE"), span(1..2, "ORG")];
        document.noun_chunks = vec![span(0..1, ""), span(4..5, "")];
        let syntax = read(text, &document).expect("fits");
        let tokens: Vec<_> = syntax
            .tokens
            .iter()
            .map(|t| {
                (
                    t.extent.of(text),
                    t.extent.begin,
                    t.part_of_speech.name(),
                    t.head,
                )
            })
            .collect();
        assert_eq!(
            tokens,
            [
                ("Zoë", 0, "PROPN", 2),
                ("naïvely", 5, "ADV", 2),
                ("left", 13, "VERB", 2),
                ("München", 18, "O", 2),
                (".", 25, "PUNCT", 2)
            ]
        );
        let entities: Vec<_> = syntax
            .entities
            .iter()
            .map(|e| {
                (
                    e.extent.of(text),
                    e.kind.name(),
                    e.extent.begin,
                    e.extent.end,
                )
            })
            .collect();
        assert_eq!(
            entities,
            [("Zoë", "PERSON", 0, 3), ("München", "LOCATION", 18, 25)]
        );
        assert_eq!(syntax.key_phrases.len(), 2);
        assert_eq!(syntax.sentences[0].of(text), text);
    }

    #[test]
    fn a_pronoun_alone_is_no_key_phrase() {
        let text = "She saw all of it";
        let mut document = document(
            text,
            &[
                ("She", "PRON", 1),
                ("saw", "VERB", 1),
                ("all", "PRON", 1),
                ("of", "ADP", 2),
                ("it", "PRON", 3),
            ],
        );
        document.noun_chunks = vec![span(0..1, ""), span(2..5, "")];
        let syntax = read(text, &document).expect("fits");
        let phrases: Vec<_> = syntax
            .key_phrases
            .iter()
            .map(|p| p.extent.of(text))
            .collect();
        assert_eq!(phrases, ["all of it"]);
    }

    #[test]
    fn every_label_of_the_recogniser_has_a_type() {
        let groups = [
            (EntityType::Person, &["PERSON"][..]),
            (EntityType::Organization, &["ORG"]),
            (EntityType::Location, &["GPE", "LOC", "FAC"]),
            (EntityType::Date, &["DATE", "TIME"]),
            (EntityType::Event, &["EVENT"]),
            (EntityType::CommercialItem, &["PRODUCT"]),
            (EntityType::Title, &["WORK_OF_ART"]),
            (
                EntityType::Quantity,
                &["CARDINAL", "ORDINAL", "PERCENT", "MONEY", "QUANTITY"],
            ),
            (EntityType::Other, &["NORP", "LAW", "LANGUAGE"]),
        ];
        for (kind, labels) in groups {
            for label in labels {
                assert_eq!(EntityType::of_ontonotes(label), kind, "{label}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let text = "né";
        let sound = || document(text, &[("né", "NOUN", 0)]);
        let mut torn = sound();
        torn.tokens[0].end = 2;
        let mut outside = sound();
        outside.entities = vec![span(0..2, "ORG")];
        let mut nothing = sound();
        nothing.noun_chunks = vec![span(1..1, "")];
        let mut wild = sound();
        wild.tokens[0].tag_score = f32::NAN;
        assert!(read(text, &sound()).is_ok());
        for document in [torn, outside, nothing, wild] {
            let error = read(text, &document).expect_err("a defect");
            assert_eq!(error.kind(), Kind::Internal);
        }
    }
}
