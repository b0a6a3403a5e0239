//! `TfIdfVectorizer`: how often words, and words in a row, of a list are in each row of a table.

use super::Meaning;
use super::operator::{Kind, Made, Operator, Read};
use super::value::{Call, Data, Value};
use crate::graph::Result;
use crate::graph::onnx::wire::Node;
use std::collections::HashMap;
use std::sync::Arc;

/// Most words in a row that are looked for together.
const LONGEST: usize = 64;
/// Most words that may be left out between two.
const SKIPPED: usize = 64;

/// What is said of what is looked for.
#[derive(Clone, Copy)]
enum Mode {
    /// How often it is there.
    Count,
    /// Its weight, where it is there.
    Weight,
    /// Its weight, as often as it is there.
    Weighted,
}

/// The words that there are, and their numbers.
enum Words {
    Texts(HashMap<Arc<str>, u32>),
    Whole(HashMap<i64, u32>),
}

/// `TfIdfVectorizer`.
struct Vectorizer {
    words: Words,
    /// The place of words in a row, by their numbers, among those that are looked for.
    grams: HashMap<Box<[u32]>, usize>,
    /// For each of those the column of the result.
    columns: Vec<usize>,
    weights: Vec<f32>,
    width: usize,
    shortest: usize,
    longest: usize,
    skipped: usize,
    mode: Mode,
}

/// The numbers of elements in the order in which they come.
fn numbered<T: Eq + std::hash::Hash + Clone>(pool: &[T]) -> (HashMap<T, u32>, Vec<u32>) {
    let mut numbers = HashMap::new();
    let number = |element: &T| {
        let next = numbers.len() as u32;
        *numbers.entry(element.clone()).or_insert(next)
    };
    let all = pool.iter().map(number).collect();
    (numbers, all)
}

/// Reads a `TfIdfVectorizer`.
pub(super) fn vectorizer(node: &Node<'_>, inputs: &[Read<'_>]) -> Result<Made> {
    let wrong = |what: String| node.unsupported(what);
    let size = |name: &str, least: i64, most: usize| {
        let size = node.integer(name, -1);
        let valid = usize::try_from(size.max(least - 1)).ok();
        let valid = valid.filter(|&size| size as i64 >= least && size <= most);
        valid.ok_or_else(|| wrong(format!("{name} is {size}, not from {least} to {most}")))
    };
    let shortest = size("min_gram_length", 1, LONGEST)?;
    let longest = size("max_gram_length", shortest as i64, LONGEST)?;
    let skipped = size("max_skip_count", 0, SKIPPED)?;
    let mode = match node.text("mode") {
        Some("TF") => Mode::Count,
        Some("IDF") => Mode::Weight,
        Some("TFIDF") => Mode::Weighted,
        other => return Err(wrong(format!("the mode {other:?}"))),
    };
    let texts = node.texts("pool_strings")?;
    let of_texts = inputs
        .first()
        .is_some_and(|input| input.fact.kind == Kind::Texts);
    if of_texts == texts.is_empty() {
        return Err(wrong("a pool of another type than the input".to_owned()));
    }
    let (words, pool) = if texts.is_empty() {
        let (numbers, pool) = numbered(node.integers("pool_int64s").unwrap_or(&[]));
        (Words::Whole(numbers), pool)
    } else {
        let (numbers, pool) = numbered(&texts);
        (Words::Texts(numbers), pool)
    };
    let columns = node.integers("ngram_indexes").unwrap_or(&[]).iter();
    let columns: Option<Vec<usize>> = columns.map(|&at| usize::try_from(at).ok()).collect();
    let columns = columns.filter(|columns| !columns.is_empty());
    let columns = columns.ok_or_else(|| wrong("ngram_indexes are no columns".to_owned()))?;
    let width = columns
        .iter()
        .max()
        .map_or(0, |last| last.saturating_add(1));
    let weights = node.floats("weights").to_vec();
    if !weights.is_empty() && weights.len() != columns.len() {
        return Err(wrong(
            "weights and ngram_indexes differ in number".to_owned(),
        ));
    }
    let starts = node.integers("ngram_counts").unwrap_or(&[]).iter();
    let starts: Option<Vec<usize>> = starts.map(|&at| usize::try_from(at).ok()).collect();
    let starts = starts.filter(|starts| starts.len() >= longest);
    let starts = starts.ok_or_else(|| wrong("ngram_counts do not fit the lengths".to_owned()))?;
    let mut grams = HashMap::new();
    let mut place = 0;
    for (at, &start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(pool.len());
        let part = pool.get(start..end);
        let length = at + 1;
        let part = part.filter(|part| part.len().is_multiple_of(length));
        let part = part.ok_or_else(|| wrong("ngram_counts do not fit the pool".to_owned()))?;
        for gram in part.chunks(length) {
            let is_looked_for = (shortest..=longest).contains(&length);
            if is_looked_for && grams.insert(Box::from(gram), place).is_some() {
                return Err(wrong("the pool has the same words twice".to_owned()));
            }
            place += 1;
        }
    }
    if place > columns.len() {
        return Err(wrong("there are fewer ngram_indexes than words".to_owned()));
    }
    let vectorizer = Vectorizer {
        words,
        grams,
        columns,
        weights,
        width,
        shortest,
        longest,
        skipped,
        mode,
    };
    Ok(Made::one(vectorizer, Kind::Numbers, Meaning::Numbers))
}

impl Vectorizer {
    /// The number of every element; nothing for those that are not in the list.
    fn numbers(&self, call: &Call<'_>, input: &Value) -> Result<Vec<Option<u32>>> {
        Ok(match &self.words {
            Words::Texts(words) => {
                let texts = call.texts(input)?.iter();
                texts.map(|text| words.get(text).copied()).collect()
            }
            Words::Whole(words) => {
                let whole = call.whole(input)?;
                whole.iter().map(|x| words.get(x).copied()).collect()
            }
        })
    }

    /// Fills the result's row for a row of words.
    fn count(&self, row: &[Option<u32>], counts: &mut [f32]) {
        let mut found = |gram: &[u32]| {
            let place = self.grams.get(gram).copied();
            let column = place.and_then(|place| self.columns.get(place));
            let count = column.and_then(|&column| counts.get_mut(column));
            if let (Some(place), Some(count)) = (place, count) {
                let weight = self.weights.get(place).copied().unwrap_or(1.0);
                match self.mode {
                    Mode::Count => *count += 1.0,
                    Mode::Weight => *count = weight,
                    Mode::Weighted => *count += weight,
                }
            }
        };
        // Words alone are counted once, however many may be left out between others.
        if self.shortest == 1 {
            row.iter().flatten().for_each(|&word| found(&[word]));
        }
        let shortest = self.shortest.max(2);
        let mut gram = Vec::with_capacity(self.longest);
        for step in 1..=self.skipped + 1 {
            for start in 0..row.len() {
                gram.clear();
                let words = row[start..].iter().step_by(step).take(self.longest);
                for word in words.map_while(|word| *word) {
                    gram.push(word);
                    if gram.len() >= shortest {
                        found(&gram);
                    }
                }
            }
        }
    }
}

impl Operator for Vectorizer {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let input = call.input(inputs, 0)?;
        let (shape, length) = match *input.shape.as_slice() {
            [length] => (vec![self.width], length),
            [rows, length] => (vec![rows, self.width], length),
            ref shape => return Err(call.invalid(format!("rows are wanted, not {shape:?}"))),
        };
        let numbers = self.numbers(call, input)?;
        let mut counts = vec![0f32; call.room(&shape)?];
        let rows = numbers.chunks(length.max(1));
        let parts = rows.zip(counts.chunks_mut(self.width.max(1)));
        call.share(parts.collect(), |(row, counts)| {
            self.count(row, counts);
        });
        Ok(vec![Value::new(shape, Data::Numbers(counts))])
    }

    fn bytes(&self) -> u64 {
        let words = match &self.words {
            Words::Texts(words) => words.keys().map(|word| word.len() as u64 + 48).sum(),
            Words::Whole(words) => 24 * words.len() as u64,
        };
        let grams = self.grams.keys().map(|gram| 4 * gram.len() as u64 + 40);
        words + grams.sum::<u64>() + 12 * self.columns.len() as u64
    }
}
