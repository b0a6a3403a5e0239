//! fastText's own files of classifiers, `model.bin`: what BlazingText leaves and hosts.
//!
//! Format (`fasttext.cc`, `args.cc`, `dictionary.cc`, `densematrix.cc`; versions 11 and 12, little endian): a magic number and the
//! version; twelve `i32` and an `f64` of arguments; the counts of entries, and each entry as a text that ends in a zero byte, an
//! `i64` and its type; then the matrices of rows and of labels, each with a byte that says whether it is quantized, its two sizes
//! and its numbers. Quantized models, those of words' parts and other losses than softmax are refused.

use super::train::Matrices;
use super::vocabulary::{Grams, Vocabulary};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

const MAGIC: i32 = 793_712_314;
const VERSIONS: [i32; 2] = [11, 12];
/// Numbers of the arguments that are looked at, and what they are for what is read here.
const SUPERVISED: i32 = 3;
const SOFTMAX: i32 = 3;
/// Most bytes of a word.
const LONGEST: u64 = 1 << 20;

/// What is read from.
struct File {
    bytes: BufReader<std::fs::File>,
    length: u64,
}

impl File {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut taken = [0; N];
        let read = self.bytes.read_exact(&mut taken);
        read.map_err(|why| format!("it ends too soon: {why}"))?;
        Ok(taken)
    }

    fn i32(&mut self) -> Result<i32, String> {
        self.take().map(i32::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, String> {
        self.take().map(i64::from_le_bytes)
    }

    /// A size, of what has at least so many bytes each.
    fn size(&mut self, size: i64, each: u64, what: &str) -> Result<usize, String> {
        let wrong = || format!("{size} {what} are not in {} bytes", self.length);
        let size = u64::try_from(size).map_err(|_| wrong())?;
        match size.checked_mul(each) {
            Some(bytes) if bytes <= self.length => Ok(size as usize),
            _ => Err(wrong()),
        }
    }

    fn word(&mut self) -> Result<String, String> {
        let mut word = Vec::new();
        let read = self.bytes.by_ref().take(LONGEST).read_until(0, &mut word);
        read.map_err(|why| why.to_string())?;
        if word.pop() != Some(0) {
            return Err("a word has no end".to_owned());
        }
        String::from_utf8(word).map_err(|_| "a word is not UTF-8".to_owned())
    }

    /// A matrix of a shape.
    fn matrix(&mut self, rows: usize, dim: usize, what: &str) -> Result<Vec<f32>, String> {
        if self.take::<1>()? != [0] {
            return Err("it is quantized, which is not read".to_owned());
        }
        let (m, n) = (self.i64()?, self.i64()?);
        if (u64::try_from(m), u64::try_from(n)) != (Ok(rows as u64), Ok(dim as u64)) {
            return Err(format!(
                "{what} are {m} by {n}, and {rows} by {dim} is expected"
            ));
        }
        // As many bytes as there are to come, before there is room for them.
        let values = m.checked_mul(n).ok_or("it has too many numbers")?;
        let values = self.size(values, 4, what)?;
        let mut numbers = Vec::with_capacity(values);
        for _ in 0..values {
            let number = self.take().map(f32::from_le_bytes)?;
            if !number.is_finite() {
                return Err(format!("{what} have numbers that are not finite"));
            }
            numbers.push(number);
        }
        Ok(numbers)
    }
}

/// Whether a file begins as fastText's do: other libraries have files of the same name.
pub(super) fn is_one(path: &Path) -> bool {
    let mut first = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && i32::from_le_bytes(first) == MAGIC
}

/// Reads a file.
///
/// # Errors
///
/// A sentence about what it is not.
pub(super) fn read(path: &Path) -> Result<(Vocabulary, Matrices), String> {
    let file = std::fs::File::open(path).map_err(|why| why.to_string())?;
    let length = file.metadata().map_err(|why| why.to_string())?.len();
    let mut file = File {
        bytes: BufReader::with_capacity(1 << 20, file),
        length,
    };
    let (magic, version) = (file.i32()?, file.i32()?);
    if magic != MAGIC || !VERSIONS.contains(&version) {
        return Err("it is no file of fastText's that is known".to_owned());
    }
    let mut arguments = [0; 12];
    for argument in &mut arguments {
        *argument = file.i32()?;
    }
    file.take::<8>()?;
    let [dim, _, _, _, _, ngrams, loss, model, buckets, _, parts, _] = arguments;
    if model != SUPERVISED {
        return Err("it has vectors of words and classifies nothing".to_owned());
    }
    if loss != SOFTMAX {
        return Err("its loss is not softmax, which is all that is read".to_owned());
    }
    // The older version wrote what classifiers did not have.
    if parts > 0 && version > 11 {
        return Err("it has vectors of parts of words, which are not read".to_owned());
    }
    let (entries, words, labels) = (file.i32()?, file.i32()?, file.i32()?);
    file.i64()?;
    if file.i64()? >= 0 {
        return Err("its n-grams are pruned, which is not read".to_owned());
    }
    // A zero byte, a count and a type.
    let entries = file.size(entries.into(), 10, "entries")?;
    let words = file.size(words.into(), 10, "words")?;
    let labels = file.size(labels.into(), 10, "labels")?;
    if words.checked_add(labels) != Some(entries) {
        return Err(format!(
            "{words} words and {labels} labels are not {entries} entries"
        ));
    }
    let mut names = [Vec::with_capacity(words), Vec::with_capacity(labels)];
    for at in 0..entries {
        let name = file.word()?;
        file.i64()?;
        let kind = usize::from(at >= words);
        if usize::from(file.take::<1>()?[0]) != kind {
            return Err("words and labels are out of order".to_owned());
        }
        names[kind].push(name);
    }
    let dim = file.size(dim.into(), 4, "numbers of a vector")?;
    let buckets = file.size(buckets.into(), 4, "buckets")?;
    if dim == 0 {
        return Err("its vectors have no numbers".to_owned());
    }
    let grams = Grams {
        words: usize::try_from(ngrams).unwrap_or(0).max(1),
        buckets: u32::try_from(buckets).map_err(|_| "it has too many buckets")?,
    };
    let rows = file.matrix(words + buckets, dim, "the rows")?;
    let output = file.matrix(labels, dim, "the labels")?;
    let [words, labels] = names;
    let vocabulary = Vocabulary::kept(words, labels, grams, (0..grams.buckets).collect())?;
    Ok((vocabulary, Matrices { dim, rows, output }))
}
