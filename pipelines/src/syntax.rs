//! Words, names and phrases of an English or a Spanish text, in Comprehend's terms.
//!
//! Each language is a task of its own, because each has a model of its own, which is loaded when a text needs it.
//! The Spanish one needs consent to its licence and may be absent: its task then answers that the language is
//! not supported, and how to get the model.
//!
//! The network reads a text once; entities, key phrases and parts of speech are three views of that one
//! reading, so that the three operations agree with each other.
//!
//! Maps: universal parts of speech are Comprehend's tags but for `X`, which is `O`. The recogniser's eighteen
//! types in English, four in Spanish, become Comprehend's nine ([`EntityType`]). Key phrases are the parser's noun
//! chunks, without the marks, conjunctions and prepositions that the Spanish ones begin and end with, and without
//! those that are one pronoun or hold neither letter nor digit. Tokens of white space are left out.
//!
//! The models were made of newspapers. Texts as people send them hold what those do not, and rules after the networks
//! mend what becomes of it; the networks' own answers stay spaCy's:
//!
//! | file | what it mends |
//! | --- | --- |
//! | `unseen` | characters without width, which are not read |
//! | `breaks` | names and phrases over line ends, tabs, tags and emoji |
//! | `identifiers` | addresses, numbers and handles, which are OTHER |
//! | `amounts` | currency and percent signs beside a number |
//! | `brands` | well-known names, and products with their model (English) |
//! | `companies` | names that end with a company's form |
//! | `claims` | how what rules know meets what the recogniser found |
//! | `phrases` | key phrases from chunks and entities |
//! | `parts` | parts of speech of signs |
//!
//! Scores are the networks' own probabilities of what they chose, moved so that their means are the precision that the
//! models' makers measured ([`scores`]).

mod amounts;
mod brands;
mod breaks;
mod claims;
mod companies;
mod identifiers;
mod parts;
mod phrases;
pub mod scores;
mod unseen;

use breaks::Breaks;
use claims::Draft;
pub(crate) use unseen::analyse;

use crate::classifier::Source;
use crate::error::{Error, Kind, Result};
use crate::offsets::{Extent, Offsets};
use crate::task::{Limits, LoadContext, Pipeline, Task, Unit, each, shown, unavailable};
use escala_models::bert::{TokenClassifier, WordLabels};
use escala_models::spacy::{self, Document, Language};
use escala_models::{Compute, Precision};
use escala_weights::{Progress, Store};
use parking_lot::Mutex;
use scores::Offsets as Scores;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Weak};

/// The catalogue's name of the English model.
pub const MODEL: &str = "en-core-web-sm";

/// The catalogue's name of the Spanish model.
pub const SPANISH_MODEL: &str = "es-core-news-sm";

/// Languages that there are models for.
pub const LANGUAGES: &[&str] = &["en", "es"];

/// A text to read in a language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxInput {
    /// The text.
    pub text: Arc<str>,
    /// Its language, one of [`LANGUAGES`].
    pub language: Box<str>,
}

impl SyntaxInput {
    /// A text in a language.
    pub fn new(text: Arc<str>, language: &str) -> Self {
        Self {
            text,
            language: language.into(),
        }
    }
}

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
    /// The type for a label of OntoNotes 5, which the English recogniser was trained on, of WikiNER, which the
    /// Spanish one was, or as other recognisers name what is like it.
    fn of_label(label: &str) -> Self {
        match label {
            "PERSON" | "PER" => Self::Person,
            "ORG" | "ORGANIZATION" | "ORGANISATION" | "COMPANY" | "CORPORATION" => {
                Self::Organization
            }
            "GPE" | "LOC" | "FAC" | "LOCATION" | "PLACE" => Self::Location,
            "DATE" | "TIME" => Self::Date,
            "EVENT" => Self::Event,
            "PRODUCT" | "COMMERCIAL_ITEM" => Self::CommercialItem,
            "WORK_OF_ART" | "TITLE" => Self::Title,
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
    /// Fine tag of the Penn treebank; in Spanish the universal part of speech.
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
    /// What the recogniser calls it: in English a label of OntoNotes 5, finer than `kind`; in Spanish `PER`,
    /// `LOC`, `ORG` or `MISC`. What rules found has such a label as well or, where it is an address or number, a kind of
    /// personal data (`EMAIL`, `PHONE`, …), `HANDLE` or `NUMBER`.
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

/// A place for the one copy of a language's model that the tasks on it share; the English one's by default.
///
/// Each task counts the whole of it against the memory budget: what is evicted is then never counted too
/// low, whichever goes first.
#[derive(Clone, Default)]
pub struct SharedModel {
    language: Language,
    place: Arc<Mutex<Weak<spacy::Pipeline>>>,
}

/// A place for the English model.
pub type SharedEnglish = SharedModel;

impl SharedModel {
    /// A place for the Spanish model.
    pub fn spanish() -> Self {
        Self {
            language: Language::Spanish,
            place: Arc::default(),
        }
    }

    /// The catalogue's name of the model.
    fn model(&self) -> &'static str {
        match self.language {
            Language::English => MODEL,
            Language::Spanish => SPANISH_MODEL,
        }
    }

    /// The copy that another task holds, or a new one.
    ///
    /// # Errors
    /// `Unavailable` with what is missing and what to do; `Unsupported` when the model needs consent that nobody
    /// gave.
    pub(crate) fn load(&self, context: &LoadContext<'_>) -> Result<Arc<spacy::Pipeline>> {
        // Whoever comes second waits here instead of reading the files again.
        let mut place = self.place.lock();
        if let Some(shared) = place.upgrade() {
            return Ok(shared);
        }
        let model = self.model();
        let files = context
            .weights
            .ensure(model, &escala_weights::Silent)
            .map_err(|error| match error {
                escala_weights::Error::Consent { .. } => unsupported(error),
                error => unavailable(model, error),
            })?;
        let shared = spacy::Pipeline::load(files.dir()).map_err(|e| unavailable(model, e))?;
        let shared = Arc::new(shared);
        *place = Arc::downgrade(&shared);
        Ok(shared)
    }
}

/// Whether a model that needs consent is on this machine.
///
/// # Errors
/// `Unsupported` with how to get it when it is not; `Unavailable` when that cannot be found out.
pub fn present(weights: &Store, model: &str) -> Result<()> {
    match weights.pulled(model) {
        Ok(_) => Ok(()),
        Err(error @ escala_weights::Error::Consent { .. }) => Err(unsupported(error)),
        Err(error) => Err(unavailable(model, error)),
    }
}

/// The error of a language whose model nobody gave consent to.
fn unsupported(cause: escala_weights::Error) -> Error {
    let message = format!("there is no model for this language here: {cause}");
    Error::new(Kind::Unsupported, message).with_source(cause)
}

/// Reading takes about 10 µs a byte: a batch is some 80 ms on one core, a full queue about ten seconds.
pub(crate) const LIMITS: Limits = Limits {
    batch_cost: 8 << 10,
    batch_items: 64,
    queue_items: 8192,
    queue_cost: 1 << 20,
};

/// Words, names and phrases of a text in one language.
#[derive(Clone, Default)]
pub struct SyntaxTask {
    shared: SharedModel,
    /// The classifier of words that finds entities in the place of the model's own recogniser.
    entities: Option<Source>,
}

impl SyntaxTask {
    /// The task, on the copy of the model in this place.
    pub fn new(shared: SharedModel) -> Self {
        Self {
            shared,
            entities: None,
        }
    }

    /// The same with entities found by the classifier of words that is named, if one is.
    pub fn with_entities(self, named: Option<&str>) -> Self {
        Self {
            entities: named.map(|named| Source::Checkpoint(named.into())),
            ..self
        }
    }
}

/// The loaded model.
pub struct SyntaxPipeline {
    shared: Arc<spacy::Pipeline>,
    entities: Option<TokenClassifier>,
}

impl SyntaxPipeline {
    /// Puts what the other classifier finds in the place of the recogniser's entities.
    fn recognise(
        &self,
        compute: &Compute,
        batch: &[Arc<str>],
        answers: Vec<Result<Syntax>>,
    ) -> Vec<Result<Syntax>> {
        let Some(classifier) = &self.entities else {
            return answers;
        };
        let texts: Vec<&str> = batch.iter().map(|text| &**text).collect();
        let found = match classifier.classify(compute, &texts) {
            Ok(found) => found,
            Err(error) => {
                let error =
                    Error::new(Kind::Internal, "the model of entities failed").with_source(error);
                return batch.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let one = |((text, answer), words): ((&Arc<str>, Result<Syntax>), WordLabels)| {
            let offsets = Offsets::new(text);
            let mut entities = Vec::with_capacity(words.spans.len());
            for span in words.spans {
                if let Some(extent) = offsets.trimmed(span.start..span.end)? {
                    entities.push(Entity {
                        extent,
                        kind: EntityType::of_label(&span.label.to_uppercase()),
                        label: span.label,
                        score: probability(span.score)?,
                    });
                }
            }
            Ok(Syntax {
                entities,
                ..answer?
            })
        };
        batch.iter().zip(answers).zip(found).map(one).collect()
    }
}

impl Task for SyntaxTask {
    type Input = Arc<str>;
    type Output = Syntax;
    type Pipeline = SyntaxPipeline;

    fn name(&self) -> &'static str {
        match self.shared.language {
            Language::English => "syntax",
            Language::Spanish => "syntax-es",
        }
    }

    fn model(&self) -> &str {
        self.shared.model()
    }

    fn precision(&self, asked: Precision) -> Precision {
        match self.entities {
            Some(_) => asked,
            None => Precision::Full,
        }
    }

    fn fetch(
        &self,
        weights: &Store,
        progress: &dyn Progress,
    ) -> std::result::Result<(), escala_weights::Error> {
        weights.ensure(self.model(), progress)?;
        match &self.entities {
            Some(source) => source.fetch(weights, progress).map(drop),
            None => Ok(()),
        }
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
        let shared = self.shared.load(context)?;
        let classifier = |source: &Source| {
            let files = source.fetch(context.weights, &escala_weights::Silent);
            let files = files.map_err(|e| unavailable(source.name(), e))?;
            TokenClassifier::load(files.dir(), context.target)
                .map_err(|e| unavailable(source.name(), e))
        };
        Ok(SyntaxPipeline {
            shared,
            entities: self.entities.as_ref().map(classifier).transpose()?,
        })
    }
}

impl Pipeline for SyntaxPipeline {
    type Input = Arc<str>;
    type Output = Syntax;

    fn memory(&self) -> u64 {
        let entities = self.entities.as_ref();
        self.shared.memory() + entities.map_or(0, TokenClassifier::memory)
    }

    fn sample(&self) -> Arc<str> {
        match self.shared.language() {
            Language::English => "Ada Lovelace lived in London.".into(),
            Language::Spanish => "Rosalía de Castro vivió en Padrón.".into(),
        }
    }

    fn run(&self, compute: &Compute, batch: &[Arc<str>]) -> Vec<Result<Syntax>> {
        let answers = each(compute, batch, |text| {
            let document = analyse(&self.shared, text);
            let read = read(self.shared.language(), text, &document)?;
            Ok((read, document.tokens.len()))
        });
        self.recognise(compute, batch, shown(compute, answers))
    }
}

/// The model's reading of a text in Comprehend's terms.
///
/// # Errors
/// `Internal` when the document does not fit the text or holds a score that is none.
pub(crate) fn read(language: Language, text: &str, document: &Document) -> Result<Syntax> {
    let calibrated = Scores::of(language);
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
            part_of_speech: parts::of(
                text.get(token.start..token.end).unwrap_or_default(),
                PartOfSpeech::of_universal(&token.pos),
            ),
            score: calibrated.tag(probability(token.tag_score)?),
            tag: token.tag.clone(),
            lemma: token.lemma.clone(),
            dependency: token.dep.clone(),
            head: head.unwrap_or(own),
        });
    }
    let breaks = Breaks::of(text);
    let mut drafts = Vec::with_capacity(document.entities.len());
    for span in &document.entities {
        let label = &span.label;
        let score = calibrated.entity(label, probability(span.score)?);
        let found = bytes(document, &span.tokens)?;
        offsets.extent(found.clone())?;
        if let Some(bytes) = named_part(text, &breaks, &found) {
            drafts.push(Draft::new(bytes, EntityType::of_label(label), label, score));
        }
    }
    let drafts = identifiers::claim(language, text, drafts);
    let drafts = amounts::complete(text, drafts);
    let drafts = match language {
        Language::English => brands::claim(text, &tokens, drafts),
        Language::Spanish => drafts,
    };
    let drafts = companies::complete(text, &tokens, drafts);
    let mut chunks = Vec::with_capacity(document.noun_chunks.len());
    for span in &document.noun_chunks {
        let words = document.tokens.get(span.tokens.clone()).unwrap_or_default();
        let mut words = words.iter().filter(|token| !token.is_space);
        let pronoun = words
            .next()
            .is_some_and(|token| PartOfSpeech::of_universal(&token.pos) == PartOfSpeech::Pronoun)
            && words.next().is_none();
        let phrase = without_edges(document, text, &span.tokens);
        let extent = offsets.extent(bytes(document, &phrase)?)?;
        let score = calibrated.phrase(probability(span.score)?);
        if !pronoun && wordy(extent.of(text)) {
            chunks.push((extent.begin_byte..extent.end_byte, score));
        }
    }
    let phrases = phrases::all(text, &breaks, &tokens, chunks, &drafts);
    let mut key_phrases = Vec::with_capacity(phrases.len());
    for (bytes, score) in phrases {
        if let Some(extent) = offsets.trimmed(bytes)?
            && wordy(extent.of(text))
        {
            key_phrases.push(KeyPhrase { extent, score });
        }
    }
    let mut entities = Vec::with_capacity(drafts.len());
    for draft in drafts {
        entities.push(Entity {
            extent: offsets.extent(draft.bytes)?,
            kind: draft.kind,
            label: draft.label,
            score: draft.score,
        });
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

/// The part of what the recogniser found that is a name: between breaks the first that is not the heading of what
/// follows (`City: …`) and stands before any picture, because what it makes of words behind one is seldom a name; nothing
/// when none holds a letter or digit.
fn named_part(text: &str, breaks: &Breaks<'_>, found: &Range<usize>) -> Option<Range<usize>> {
    let parts = breaks.parts(found);
    if let [only] = &parts[..]
        && only.start == found.start
    {
        return wordy(text.get(only.clone())?).then(|| only.clone());
    }
    let loose = |c: char| c.is_whitespace() || matches!(c, '-' | '*' | '#' | '>' | '|' | ',' | ';');
    let undrawn = |part: &Range<usize>| !text[found.start..part.start].contains(breaks::is_picture);
    let mut parts = parts
        .into_iter()
        .take_while(undrawn)
        .filter_map(|part| breaks::trimmed(text, part, loose));
    parts.find(|part| {
        let heading = text[part.clone()].ends_with(':') || text[part.end..].starts_with(':');
        wordy(&text[part.clone()]) && !heading
    })
}

/// A noun chunk without the marks at its edges that have no partner in it, and without the conjunctions and, after
/// marks, the prepositions it begins with: `, en la calle,` is `la calle`. An edge's mark and its partner at the
/// other edge both go.
fn without_edges(document: &Document, text: &str, chunk: &Range<usize>) -> Range<usize> {
    let Some(words) = document.tokens.get(chunk.clone()) else {
        return chunk.clone();
    };
    let of = |at: usize| {
        let word: &spacy::Token = &words[at];
        text.get(word.start..word.end).unwrap_or_default()
    };
    let is_mark = |at: usize| words[at].is_space || words[at].pos == "PUNCT";
    // How often each mark that has partners is left: a chunk may be as long as its text.
    let mut left: HashMap<&str, usize> = HashMap::new();
    for mark in (0..words.len()).map(of) {
        if partner(mark).is_some() {
            *left.entry(mark).or_default() += 1;
        }
    }
    let (mut start, mut end) = (0, words.len());
    let mut marked = false;
    while start + 1 < end {
        let paired = |at: usize| {
            partner(of(at)).is_some_and(|other| {
                left.get(other).copied().unwrap_or(0) > usize::from(other == of(at))
            })
        };
        let (first, last) = (start, end - 1);
        let around = start + 2 < end && is_mark(first) && is_mark(last);
        let (from_start, from_end) = if around && partner(of(first)) == Some(of(last)) {
            (1, 1)
        } else if (is_mark(first) && !paired(first))
            || words[first].dep == "cc"
            || (marked && words[first].pos == "ADP")
        {
            (1, 0)
        } else if is_mark(last) && !paired(last) {
            (0, 1)
        } else {
            break;
        };
        marked |= from_start > 0;
        for at in (first..first + from_start).chain(end - from_end..end) {
            if let Some(count) = left.get_mut(of(at)) {
                *count -= 1;
            }
        }
        (start, end) = (start + from_start, end - from_end);
    }
    chunk.start + start..chunk.start + end
}

/// What closes a mark that opens something, or opens one that closes.
fn partner(mark: &str) -> Option<&'static str> {
    PAIRS.iter().find_map(|&(open, close)| match mark {
        _ if mark == open => Some(close),
        _ if mark == close => Some(open),
        _ => None,
    })
}

/// Marks that open something, and those that close it.
const PAIRS: [(&str, &str); 9] = [
    ("(", ")"),
    ("[", "]"),
    ("{", "}"),
    ("«", "»"),
    ("“", "”"),
    ("‘", "’"),
    ("¿", "?"),
    ("¡", "!"),
    ("\"", "\""),
];

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
                morphology: String::new(),
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
        let syntax = read(Language::English, text, &document).expect("fits");
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
        let syntax = read(Language::English, text, &document).expect("fits");
        let phrases: Vec<_> = syntax
            .key_phrases
            .iter()
            .map(|p| p.extent.of(text))
            .collect();
        assert_eq!(phrases, ["all of it"]);
    }

    #[test]
    fn phrases_are_without_the_marks_around_them() {
        // Words with their parts of speech; the phrase is what is left of all of them.
        let cases: [(&[(&str, &str)], &str); 7] = [
            (
                &[
                    (",", "PUNCT"),
                    ("en", "ADP"),
                    ("la", "DET"),
                    ("calle", "NOUN"),
                    (",", "PUNCT"),
                ],
                "la calle",
            ),
            (&[("en", "ADP"), ("2019", "NOUN")], "en 2019"),
            (&[("y", "CCONJ"), ("Roma", "PROPN")], "Roma"),
            (&[("(", "PUNCT"), ("UE", "PROPN"), (")", "PUNCT")], "UE"),
            (
                &[
                    ("Unión", "PROPN"),
                    ("(", "PUNCT"),
                    ("UE", "PROPN"),
                    (")", "PUNCT"),
                ],
                "Unión ( UE )",
            ),
            (
                &[("¿", "PUNCT"), ("quién", "PRON"), ("yo", "PRON")],
                "quién yo",
            ),
            (&[("(", "PUNCT"), (")", "PUNCT")], ""),
        ];
        for (words, wanted) in cases {
            let text = words
                .iter()
                .map(|(word, _)| *word)
                .collect::<Vec<_>>()
                .join(" ");
            let words: Vec<_> = words.iter().map(|&(word, pos)| (word, pos, 0)).collect();
            let mut document = document(&text, &words);
            for token in &mut document.tokens {
                token.dep = if token.pos == "CCONJ" { "cc" } else { "dep" }.into();
            }
            document.noun_chunks = vec![span(0..words.len(), "")];
            let phrases = read(Language::English, &text, &document)
                .expect("fits")
                .key_phrases;
            let phrases: Vec<_> = phrases.iter().map(|p| p.extent.of(&text)).collect();
            assert_eq!(phrases.concat(), wanted, "{text}");
        }
        // As long as a text may be, in proportion to its length.
        let count = 40_000;
        let text = format!("{}a{}", "(".repeat(count), "»".repeat(count));
        let mut words = vec![("(", "PUNCT", 0); count];
        words.push(("a", "NOUN", 0));
        words.extend(vec![("»", "PUNCT", 0); count]);
        let mut long = document(&text, &words);
        long.noun_chunks = vec![span(0..words.len(), "")];
        let phrases = read(Language::English, &text, &long)
            .expect("fits")
            .key_phrases;
        let phrases: Vec<_> = phrases.iter().map(|p| p.extent.of(&text)).collect();
        assert_eq!(phrases, ["a"]);
    }

    #[test]
    fn every_label_of_the_recogniser_has_a_type() {
        let groups = [
            (EntityType::Person, &["PERSON", "PER"][..]),
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
            (EntityType::Other, &["NORP", "LAW", "LANGUAGE", "MISC"]),
        ];
        for (kind, labels) in groups {
            for label in labels {
                assert_eq!(EntityType::of_label(label), kind, "{label}");
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
        assert!(read(Language::English, text, &sound()).is_ok());
        for document in [torn, outside, nothing, wild] {
            let error = read(Language::English, text, &document).expect_err("a defect");
            assert_eq!(error.kind(), Kind::Internal);
        }
    }
}
