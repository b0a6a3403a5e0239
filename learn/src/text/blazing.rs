//! blazingtext with `mode=supervised`: fastText's classifier of texts (Joulin et al., "Bag of Tricks for Efficient Text
//! Classification", 2016) under the names of SageMaker's developer guide.
//!
//! A text is the mean of vectors of its words and of its n-grams of up to `word_ngrams` words, which are hashed to `buckets`
//! rows; labels are a softmax over it. `seed` is an addition. With `early_stopping` the model of the epoch that was best on
//! the validation channel is kept.
//!
//! A folder with a `model.bin` of BlazingText's or fastText's own is read, too.

use super::fasttext;
use super::train::Matrices;
use super::vocabulary::{Grams, Vocabulary};
use super::{Said, TextAlgorithm, TextModel, Texts};
use crate::check::{COUNT, SEED, optional, required};
use crate::parameters::{Bound, Kind};
use crate::store::{self, Numbers};
use crate::{Error, Parameter, Parameters, Result, Watch};
use serde::{Deserialize, Serialize};
use std::path::Path;

const NAME: &str = "blazingtext";
const VERSION: u32 = 1;
const CHECKPOINT: &str = "blazingtext checkpoint";
/// The file of words and labels.
const VOCABULARY: &str = "vocabulary.json";
/// fastText's own file.
const THEIRS: &str = "model.bin";
/// The most numbers that all rows may have.
const NUMBERS: usize = 1 << 30;
/// The mode that is here; the others learn vectors of words.
const SUPERVISED: &str = "supervised";

const DECLARED: &[Parameter] = &[
    required(
        "mode",
        Kind::Choice(&[SUPERVISED, "batch_skipgram", "skipgram", "cbow"]),
        "what is learned; only supervised is here: to classify texts",
    ),
    optional(
        "buckets",
        Kind::Integer(1, u32::MAX as i64),
        Some("2000000"),
        "rows that n-grams are hashed to",
    ),
    optional(
        "early_stopping",
        Kind::Flag,
        Some("false"),
        "whether to end when the validation channel is classified no better, and keep what was best",
    ),
    optional("epochs", COUNT, Some("5"), "passes over the train channel"),
    optional(
        "learning_rate",
        Kind::Real(Bound::Excluded(0.0), Bound::None),
        Some("0.05"),
        "of the first step; it falls to zero",
    ),
    optional(
        "min_count",
        Kind::Integer(0, i64::MAX),
        Some("5"),
        "how often a word must be there to have a vector",
    ),
    optional(
        "min_epochs",
        COUNT,
        Some("5"),
        "passes before early stopping",
    ),
    optional(
        "patience",
        COUNT,
        Some("4"),
        "passes without a better accuracy before early stopping",
    ),
    optional(
        "vector_dim",
        Kind::Integer(1, 1 << 20),
        Some("100"),
        "numbers of a vector",
    ),
    optional(
        "word_ngrams",
        Kind::Integer(1, 100),
        Some("2"),
        "most words of an n-gram",
    ),
    SEED,
];

/// The algorithm.
pub struct BlazingText;

/// A classifier of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    vocabulary: Vocabulary,
    learned: Matrices,
}

/// How a file of a model begins.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    dim: usize,
    words: usize,
    labels: usize,
    buckets: usize,
    grams: Grams,
    /// Of the file of the vocabulary.
    digest: u64,
}

/// Words and labels, in the order of their rows.
#[derive(Debug, Serialize, Deserialize)]
struct Names {
    labels: Vec<String>,
    words: Vec<String>,
}

/// Whether a folder has a model of fastText's own, and none of ours.
///
/// # Errors
///
/// As [`store::algorithm`].
pub(crate) fn is_theirs(folder: &Path) -> Result<bool> {
    Ok(store::algorithm(folder)?.is_none() && fasttext::is_one(&folder.join(THEIRS)))
}

/// Where a run is.
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    epoch: u64,
    /// The best epoch, and how accurate it was.
    best: Option<(u64, f64)>,
    shape: [usize; 3],
    /// Of the words and labels.
    digest: u64,
}

/// FNV-1a of 64 bits.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn names(vocabulary: &Vocabulary) -> Result<Vec<u8>> {
    let names = Names {
        labels: vocabulary.labels().to_vec(),
        words: vocabulary.words().to_vec(),
    };
    serde_json::to_vec(&names).map_err(|why| Error::input(why.to_string()))
}

impl TextModel for Classifier {
    fn classify(&self, text: &str, most: usize) -> Said<'_> {
        let coded = self.vocabulary.code(text, &[]);
        let scores = self.learned.probabilities(&coded.rows);
        let labels = self.vocabulary.labels().iter().map(String::as_str);
        let mut said: Said<'_> = labels.zip(scores).collect();
        // Ties stay in the order of the labels.
        said.sort_by(|a, b| b.1.total_cmp(&a.1));
        said.truncate(most);
        said
    }

    fn memory(&self) -> u64 {
        let names = self
            .vocabulary
            .words()
            .iter()
            .chain(self.vocabulary.labels());
        // Each name is there twice, and once as a row.
        let names: usize = names.map(|name| 2 * name.len() + 80).sum();
        let numbers = self.learned.rows.len() + self.learned.output.len();
        (names + 4 * (numbers + self.vocabulary.buckets().len())) as u64
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let names = names(&self.vocabulary)?;
        let path = folder.join(VOCABULARY);
        let written = std::fs::File::create(&path).and_then(|file| {
            std::io::Write::write_all(&mut &file, &names)?;
            file.sync_all()
        });
        written.map_err(|source| Error::File { path, source })?;
        let vocabulary = &self.vocabulary;
        let header = Header {
            dim: self.learned.dim,
            words: vocabulary.words().len(),
            labels: vocabulary.labels().len(),
            buckets: vocabulary.buckets().len(),
            grams: vocabulary.grams(),
            digest: digest(&names),
        };
        let Matrices { dim, rows, output } = &self.learned;
        store::write(
            folder,
            NAME,
            VERSION,
            &header,
            &[
                ("rows", &[vocabulary.rows(), *dim], Numbers::F32(rows)),
                ("output", &[header.labels, *dim], Numbers::F32(output)),
                (
                    "buckets",
                    &[header.buckets],
                    Numbers::U32(vocabulary.buckets()),
                ),
            ],
        )
    }
}

impl TextAlgorithm for BlazingText {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> &'static [Parameter] {
        DECLARED
    }

    fn train(
        &self,
        parameters: &Parameters,
        texts: &Texts,
        watch: &mut dyn Watch,
    ) -> Result<Box<dyn TextModel>> {
        Ok(Box::new(self.fit(parameters, texts, watch)?))
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn TextModel>> {
        if is_theirs(folder)? {
            let path = folder.join(THEIRS);
            let (vocabulary, learned) = fasttext::read(&path).map_err(|why| Error::Model {
                path,
                algorithm: NAME,
                why,
            })?;
            return Ok(Box::new(Classifier {
                vocabulary,
                learned,
            }));
        }
        let path = folder.join(VOCABULARY);
        let bytes = std::fs::read(&path).map_err(|source| Error::File { path, source })?;
        let model = store::read(folder, NAME, VERSION, |header: Header, tensors| {
            if digest(&bytes) != header.digest {
                return Err(format!("{VOCABULARY} is another model's"));
            }
            let Header {
                dim, words, labels, ..
            } = header;
            let names: Names = serde_json::from_slice(&bytes)
                .map_err(|why| format!("{VOCABULARY} cannot be read: {why}"))?;
            if dim == 0 || (names.words.len(), names.labels.len()) != (words, labels) {
                return Err(format!("{VOCABULARY} has other words or labels"));
            }
            let rows = words.checked_add(header.buckets);
            let rows = rows.ok_or("it has more rows than there can be")?;
            let buckets = tensors.u32("buckets", &[header.buckets])?;
            Ok(Classifier {
                learned: Matrices {
                    dim,
                    rows: tensors.f32("rows", &[rows, dim])?,
                    output: tensors.f32("output", &[labels, dim])?,
                },
                vocabulary: Vocabulary::kept(names.words, names.labels, header.grams, buckets)?,
            })
        })?;
        Ok(Box::new(model))
    }
}

/// The epoch that was best so far, how accurate it was, and what was learned then.
type Best = (u64, f64, Matrices);

impl BlazingText {
    /// As [`TextAlgorithm::train`], the model in its own type.
    ///
    /// # Errors
    ///
    /// As [`TextAlgorithm::train`].
    pub fn fit(
        &self,
        parameters: &Parameters,
        texts: &Texts,
        watch: &mut dyn Watch,
    ) -> Result<Classifier> {
        let whole = |name| parameters.integer(name).unwrap_or_default().unsigned_abs();
        let mode = parameters.text("mode").unwrap_or_default();
        if mode != SUPERVISED {
            return Err(Error::input(format!(
                "mode is {mode}, which learns vectors of words: here is {SUPERVISED}, which learns to classify texts"
            )));
        }
        let early = parameters.flag("early_stopping").unwrap_or_default();
        if early && texts.validation.is_none() {
            return Err(Error::input(
                "early_stopping is true, and there is no channel validation to look at",
            ));
        }
        let grams = Grams {
            words: whole("word_ngrams") as usize,
            buckets: whole("buckets") as u32,
        };
        let vocabulary = Vocabulary::of(&texts.train, whole("min_count"), grams);
        let dim = whole("vector_dim") as usize;
        let (rows, labels) = (vocabulary.rows(), vocabulary.labels().len());
        let numbers = rows.saturating_add(labels).saturating_mul(dim);
        if numbers > NUMBERS {
            return Err(Error::input(format!(
                "{rows} rows and {labels} labels of {dim} numbers are more than {NUMBERS}: vector_dim or buckets must be less, or min_count more"
            )));
        }
        let train = vocabulary.code_all(&texts.train, "train")?;
        let validation = texts.validation.as_ref();
        let validation = validation.map(|lines| vocabulary.code_all(lines, "validation"));
        let validation = validation.transpose()?;
        watch.log(&format!(
            "{} lines with labels; {} words and {} n-grams, {labels} labels",
            train.len(),
            vocabulary.words().len(),
            vocabulary.buckets().len(),
        ));
        let shape = [rows, labels, dim];
        let digest = digest(&names(&vocabulary)?);
        let (epochs, seed) = (whole("epochs"), whole("seed"));
        let rate = parameters.real("learning_rate").unwrap_or_default() as f32;
        let (mut learned, mut epoch, mut best) = match resumed(watch, shape, digest) {
            Some(found) => found,
            None => (Matrices::new(dim, rows, labels, seed), 0, None),
        };
        let (least, patience) = (whole("min_epochs"), whole("patience"));
        while epoch < epochs {
            let late = best.as_ref().is_some_and(|best| epoch - best.0 >= patience);
            if early && late && epoch >= least {
                watch.log(&format!("ends early, after {epoch} epochs"));
                break;
            }
            let steps = (epoch + 1, epochs);
            if !learned.epoch(&train, steps, (rate, seed), || !watch.stopped()) {
                watch.log(&format!("stopped in epoch {}", epoch + 1));
                break;
            }
            epoch += 1;
            if !learned.is_finite() {
                return Err(Error::Diverged(format!(
                    "the vectors grew beyond what can be counted with in epoch {epoch}: learning_rate must be less than {rate}"
                )));
            }
            watch.progress(epoch, epochs);
            if let Some(lines) = &validation {
                let accuracy = learned.accuracy(lines);
                watch.metric("validation:accuracy", accuracy);
                if early && best.as_ref().is_none_or(|best| accuracy > best.1) {
                    best = Some((epoch, accuracy, learned.clone()));
                }
            }
            watch.checkpoint(&mut || checkpoint(&learned, epoch, &best, shape, digest));
        }
        if let Some((of, accuracy, was)) = best {
            watch.log(&format!("kept epoch {of}, accurate to {accuracy:.4}"));
            learned = was;
        }
        watch.metric("train:accuracy", learned.accuracy(&train));
        Ok(Classifier {
            vocabulary,
            learned,
        })
    }
}

fn checkpoint(
    learned: &Matrices,
    epoch: u64,
    best: &Option<Best>,
    shape: [usize; 3],
    digest: u64,
) -> Vec<u8> {
    let [rows, labels, dim] = shape;
    let head = Progress {
        epoch,
        best: best
            .as_ref()
            .map(|(epoch, accuracy, _)| (*epoch, *accuracy)),
        shape,
        digest,
    };
    let (of_rows, of_labels) = ([rows, dim], [labels, dim]);
    let mut tensors: Vec<store::Kept<'_>> = vec![
        ("rows", &of_rows, Numbers::F32(&learned.rows)),
        ("output", &of_labels, Numbers::F32(&learned.output)),
    ];
    if let Some((_, _, was)) = best {
        tensors.push(("best_rows", &of_rows, Numbers::F32(&was.rows)));
        tensors.push(("best_output", &of_labels, Numbers::F32(&was.output)));
    }
    // Tensors of known shapes always become bytes; none would only mean to begin anew.
    store::bytes(CHECKPOINT, VERSION, &head, &tensors).unwrap_or_default()
}

fn resumed(
    watch: &mut dyn Watch,
    shape: [usize; 3],
    digest: u64,
) -> Option<(Matrices, u64, Option<Best>)> {
    let bytes = watch.resume()?;
    let found = store::open::<Progress>(CHECKPOINT, VERSION, &bytes).and_then(|(head, tensors)| {
        if (head.shape, head.digest) != (shape, digest) {
            return Err("it is of other lines or other hyperparameters".to_owned());
        }
        let [rows, labels, dim] = shape;
        let matrices = |of_rows, of_labels| {
            Ok::<_, String>(Matrices {
                dim,
                rows: tensors.f32(of_rows, &[rows, dim])?,
                output: tensors.f32(of_labels, &[labels, dim])?,
            })
        };
        let best = match head.best {
            Some((epoch, accuracy)) if epoch <= head.epoch => {
                Some((epoch, accuracy, matrices("best_rows", "best_output")?))
            }
            Some(_) => return Err("its best epoch is still to come".to_owned()),
            None => None,
        };
        Ok((matrices("rows", "output")?, head.epoch, best))
    });
    match found {
        Ok(found) => {
            watch.log(&format!("goes on after {} epochs", found.1));
            Some(found)
        }
        Err(why) => {
            watch.log(&format!("begins anew, the checkpoint is of no use: {why}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Line;
    use serde_json::Value;

    fn golden() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/text.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn numbers(rows: &Value) -> Vec<f32> {
        let rows = rows.as_array().unwrap().iter();
        let numbers = rows.flat_map(|row| row.as_array().unwrap());
        numbers.map(|one| one.as_f64().unwrap() as f32).collect()
    }

    fn texts(list: &Value) -> Vec<String> {
        Vec::deserialize(list).unwrap()
    }

    /// A model of fastText's, which has a row for each of all buckets.
    fn theirs() -> (Classifier, Value) {
        let golden = golden()["model"].take();
        let grams = Grams {
            words: golden["settings"]["word_ngrams"].as_u64().unwrap() as usize,
            buckets: golden["settings"]["buckets"].as_u64().unwrap() as u32,
        };
        let buckets = (0..grams.buckets).collect();
        let (words, labels) = (texts(&golden["words"]), texts(&golden["labels"]));
        let model = Classifier {
            vocabulary: Vocabulary::kept(words, labels, grams, buckets).unwrap(),
            learned: Matrices {
                dim: golden["settings"]["vector_dim"].as_u64().unwrap() as usize,
                rows: numbers(&golden["rows"]),
                output: numbers(&golden["output"]),
            },
        };
        (model, golden)
    }

    #[test]
    fn a_model_says_what_it_says_in_fasttext() {
        let (model, golden) = theirs();
        let said = golden["said"].as_array().unwrap();
        assert!(said.len() > 20);
        for wanted in said {
            let text = wanted["text"].as_str().unwrap();
            let labels = texts(&wanted["labels"]);
            let found = model.classify(text, 2);
            let names: Vec<&str> = found.iter().map(|one| one.0).collect();
            assert_eq!(names, labels, "{text}");
            for (at, (_, probability)) in found.iter().enumerate() {
                // fastText adds 1e-5 before it takes the logarithm.
                let theirs = wanted["probabilities"][at].as_f64().unwrap() - 1e-5;
                let apart = (f64::from(*probability) - theirs).abs();
                assert!(apart < 5e-6, "{text}: {probability} and {theirs}");
            }
        }
        assert_eq!(model.classify("", 1).len(), 1);
    }

    /// `golden/text.bin` is the same model, as fastText wrote it.
    #[test]
    fn files_of_fasttext_are_read() {
        let (model, _) = theirs();
        let bin = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/text.bin");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(THEIRS);
        std::fs::copy(bin, &path).unwrap();
        let (vocabulary, learned) = fasttext::read(&path).unwrap();
        assert_eq!(vocabulary, model.vocabulary);
        assert_eq!(learned, model.learned);
        let read = BlazingText.open(folder.path()).unwrap();
        assert_eq!(
            read.classify("great phone", 2),
            model.classify("great phone", 2)
        );
        // What was read can be kept as ours is.
        let ours = tempfile::tempdir().unwrap();
        read.write(ours.path()).unwrap();
        let again = BlazingText.open(ours.path()).unwrap();
        assert_eq!(again.classify("not bad", 2), model.classify("not bad", 2));
        crate::store::tests::mutated_file(&path, || {
            let opened = BlazingText.open(folder.path());
            opened.map(|model| drop(model.classify("x y w", 2))).is_ok()
        });
        let whole = std::fs::read(&path).unwrap();
        for (at, what, why) in [
            (4, 1, "no file of fastText's"),
            (32, 1, "not softmax"),
            (36, 1, "vectors of words"),
            (48, 6, "parts of words"),
        ] {
            let mut bytes = whole.clone();
            bytes[at] = what;
            std::fs::write(&path, bytes).unwrap();
            let refused = BlazingText.open(folder.path()).err().unwrap().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }

    fn line(label: &str, text: &str) -> Line {
        Line {
            labels: vec![format!("__label__{label}")],
            text: text.to_owned(),
        }
    }

    #[test]
    fn the_words_are_those_of_fasttext() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/texts/reviews.txt"
        );
        let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
        let mut lines = Vec::new();
        crate::text::formats::read(file, crate::text::formats::Form::Labelled, path, &mut lines)
            .unwrap();
        let train = lines.into_iter().enumerate().filter(|(at, _)| at % 4 != 3);
        let train: Vec<Line> = train.map(|(_, line)| line).collect();
        let (model, golden) = theirs();
        let least = golden["settings"]["min_count"].as_u64().unwrap();
        let ours = Vocabulary::of(&train, least, model.vocabulary.grams());
        // Those that are there equally often have no order in fastText.
        let sorted = |words: &[String]| {
            let mut words = words.to_vec();
            words.sort_unstable();
            words
        };
        assert_eq!(sorted(ours.words()), sorted(model.vocabulary.words()));
        assert_eq!(ours.labels(), model.vocabulary.labels());
    }

    #[test]
    fn damaged_files_bring_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let lines = [line("a", "x y z x y"), line("b", "z w w z")];
        let texts = Texts {
            train: lines.to_vec(),
            validation: None,
        };
        let given = [
            ("mode", "supervised"),
            ("vector_dim", "3"),
            ("min_count", "1"),
        ];
        let parameters = Parameters::read(DECLARED, given).unwrap();
        let mut nobody = crate::Unwatched;
        let model = BlazingText.fit(&parameters, &texts, &mut nobody).unwrap();
        model.write(folder.path()).unwrap();
        let again = BlazingText.open(folder.path()).unwrap();
        assert_eq!(again.classify("x w", 2), model.classify("x w", 2));
        assert!(again.memory() > 0);
        crate::store::tests::mutated_file(&folder.path().join("model.safetensors"), || {
            let opened = BlazingText.open(folder.path());
            opened.map(|model| drop(model.classify("x y w", 2))).is_ok()
        });
        let path = folder.path().join(VOCABULARY);
        let other = b"{\"labels\": [\"__label__a\", \"__label__c\"], \"words\": []}";
        std::fs::write(path, other).unwrap();
        let refused = BlazingText.open(folder.path()).err().unwrap().to_string();
        assert!(refused.contains("another model's"), "{refused}");
    }
}
