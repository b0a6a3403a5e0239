//! fastText models (`.bin`, and `.ftz` with product-quantised tables), version 12 of the file.
//!
//! Layout, little-endian: magic and version; 12 integer arguments and one double; the dictionary (entries as
//! NUL-terminated text with a count and a type, then pairs bucket → row when the n-gram buckets were pruned);
//! the input table; the output table. Reference: `src/{args,dictionary,matrix,densematrix,quantmatrix,
//! productquantizer}.cc` of fastText 0.9.2.
//!
//! # What a conversion holds
//! | tensor | type and shape | what |
//! | --- | --- | --- |
//! | `input` | f32 `[words + bucket rows, dim]` | rows of words, then of n-gram buckets; quantised rows expanded, norm included |
//! | `output` | f32 `[labels, dim]` | one row per label, or per inner node of the Huffman tree |
//! | `words` | u8 | words in row order, separated by NUL |
//! | `labels` | u8 | labels in file order without `__label__`, separated by NUL |
//! | `label_counts` | i64 `[labels]` | how often each label was seen; decides the Huffman tree |
//! | `prune.bucket` | u32 `[n]` | buckets that were kept, ascending (only when pruned) |
//! | `prune.row` | u32 `[n]` | the row of each, counted after the words |
//!
//! Metadata: `format` = `fasttext`, `dim`, `nwords`, `nlabels`, `bucket`, `minn`, `maxn`, `word_ngrams`,
//! `loss` (`hs`, `ns`, `softmax`, `ova`) and `pruned` (`true`, `false`).

use super::safetensors::{Contents, Tensor};
use super::{Bytes, Error, invalid};

/// Raised when the conversion of the same file changes.
pub const REVISION: u32 = 1;

const MAGIC: i32 = 0x2f4f_16ba;
const VERSION: i32 = 12;
/// Centroids of a sub-quantiser.
const CENTROIDS: usize = 256;
const LABEL_PREFIX: &[u8] = b"__label__";
/// Most bytes of one expanded table: ten times the largest published quantised model.
const TABLE_LIMIT: u64 = 1 << 30;

/// Reads a model and gives it as tensors.
///
/// # Errors
/// Anything that is not a whole supervised model of version 12.
pub fn convert(file: &[u8]) -> Result<Contents, Error> {
    let mut from = Bytes::new(file);
    let magic = from.i32("the magic number")?;
    if magic != MAGIC {
        return Err(invalid(format!(
            "magic number {magic:#x} is not fastText's"
        )));
    }
    let version = from.i32("the version")?;
    if version != VERSION {
        return Err(Error::Unsupported {
            what: format!("fastText file version {version}"),
        });
    }
    let args = Args::read(&mut from)?;
    let dictionary = Dictionary::read(&mut from)?;
    let quantised = flag(&mut from, "the input table's kind")?;
    let input = if quantised {
        read_quantised(&mut from)?
    } else {
        read_dense(&mut from)?
    };
    let output_quantised = flag(&mut from, "the output table's kind")?;
    let output = if quantised && output_quantised {
        read_quantised(&mut from)?
    } else {
        read_dense(&mut from)?
    };
    if from.remaining() > 0 {
        return Err(invalid(format!(
            "{} bytes after the output table",
            from.remaining()
        )));
    }
    for (name, table) in [("input", &input), ("output", &output)] {
        if table.columns != args.dim {
            return Err(invalid(format!(
                "the {name} table has {} columns, not {}",
                table.columns, args.dim
            )));
        }
    }
    let labels = dictionary.labels.len();
    if output.rows != labels {
        return Err(invalid(format!(
            "{} output rows for {labels} labels",
            output.rows
        )));
    }
    let words = dictionary.words.len();
    let bucket_rows = input
        .rows
        .checked_sub(words)
        .ok_or_else(|| invalid(format!("{} input rows for {words} words", input.rows)))?;
    match &dictionary.prune {
        Some(prune) => {
            if let Some((bucket, row)) = prune
                .iter()
                .find(|(bucket, row)| *bucket >= args.bucket || *row as usize >= bucket_rows)
            {
                return Err(invalid(format!(
                    "n-gram bucket {bucket} maps to row {row} of {bucket_rows}"
                )));
            }
        }
        None if (args.maxn > 0 || args.word_ngrams > 1) && bucket_rows != args.bucket as usize => {
            return Err(invalid(format!(
                "{bucket_rows} bucket rows for {} buckets",
                args.bucket
            )));
        }
        None => (),
    }

    let mut contents = Contents::default();
    let mut put = |name: &str, tensor| contents.tensors.insert(name.to_owned(), tensor);
    put(
        "input",
        Tensor::f32(&[input.rows, input.columns], &input.data),
    );
    put(
        "output",
        Tensor::f32(&[output.rows, output.columns], &output.data),
    );
    put("words", Tensor::u8(dictionary.words.join(&0)));
    put("labels", Tensor::u8(dictionary.labels.join(&0)));
    put("label_counts", Tensor::i64(&dictionary.label_counts));
    if let Some(prune) = &dictionary.prune {
        let (buckets, rows): (Vec<_>, Vec<_>) = prune.iter().copied().unzip();
        put("prune.bucket", Tensor::u32(&buckets));
        put("prune.row", Tensor::u32(&rows));
    }
    let mut say = |key: &str, value: String| contents.metadata.insert(key.to_owned(), value);
    say("format", "fasttext".to_owned());
    say("dim", args.dim.to_string());
    say("nwords", words.to_string());
    say("nlabels", labels.to_string());
    say("bucket", args.bucket.to_string());
    say("minn", args.minn.to_string());
    say("maxn", args.maxn.to_string());
    say("word_ngrams", args.word_ngrams.to_string());
    say("loss", args.loss.to_owned());
    say("pruned", dictionary.prune.is_some().to_string());
    Ok(contents)
}

struct Args {
    dim: usize,
    word_ngrams: u32,
    loss: &'static str,
    bucket: u32,
    minn: u32,
    maxn: u32,
}

impl Args {
    fn read(from: &mut Bytes<'_>) -> Result<Self, Error> {
        let mut next = |what| {
            let value = from.i32("the arguments")?;
            u32::try_from(value).map_err(|_| invalid(format!("argument {what} is {value}")))
        };
        let dim = next("dim")?;
        for unused in ["ws", "epoch", "minCount", "neg"] {
            next(unused)?;
        }
        let word_ngrams = next("wordNgrams")?;
        let loss = match next("loss")? {
            1 => "hs",
            2 => "ns",
            3 => "softmax",
            4 => "ova",
            other => return Err(invalid(format!("loss {other} is none of fastText's"))),
        };
        let model = next("model")?;
        if model != 3 {
            return Err(Error::Unsupported {
                what: format!("model kind {model} (only 3, supervised)"),
            });
        }
        let (bucket, minn, maxn) = (next("bucket")?, next("minn")?, next("maxn")?);
        next("lrUpdateRate")?;
        from.f64("the arguments")?;
        if dim == 0 {
            return Err(invalid("dim is 0"));
        }
        if minn > maxn {
            return Err(invalid(format!("n-grams of {minn} to {maxn} characters")));
        }
        Ok(Self {
            dim: dim as usize,
            word_ngrams,
            loss,
            bucket,
            minn,
            maxn,
        })
    }
}

struct Dictionary<'a> {
    words: Vec<&'a [u8]>,
    labels: Vec<&'a [u8]>,
    label_counts: Vec<i64>,
    /// `(bucket, row)` by ascending bucket.
    prune: Option<Vec<(u32, u32)>>,
}

impl<'a> Dictionary<'a> {
    fn read(from: &mut Bytes<'a>) -> Result<Self, Error> {
        let size = from.i32("the dictionary")?;
        let words = from.i32("the dictionary")?;
        let labels = from.i32("the dictionary")?;
        from.i64("the dictionary")?;
        let pruned = from.i64("the dictionary")?;
        if words < 0 || labels < 1 || i64::from(words) + i64::from(labels) != i64::from(size) {
            return Err(invalid(format!(
                "a dictionary of {size} with {words} words and {labels} labels"
            )));
        }
        let mut read = Self {
            words: Vec::new(),
            labels: Vec::new(),
            label_counts: Vec::new(),
            prune: None,
        };
        for index in 0..size {
            let text = from.until(0, "a dictionary entry")?;
            let count = from.i64("a dictionary entry")?;
            // Rows are numbered by position, so words must come first.
            match from.u8("a dictionary entry")? {
                0 if index < words => read.words.push(text),
                1 if index >= words => {
                    if count < 0 {
                        return Err(invalid(format!("a label seen {count} times")));
                    }
                    let text = text.strip_prefix(LABEL_PREFIX).unwrap_or(text);
                    if std::str::from_utf8(text).is_err() {
                        return Err(invalid("a label that is not UTF-8"));
                    }
                    read.labels.push(text);
                    read.label_counts.push(count);
                }
                kind => {
                    return Err(invalid(format!(
                        "dictionary entry {index} of kind {kind} is out of order"
                    )));
                }
            }
        }
        if pruned >= 0 {
            let bytes = usize::try_from(pruned)
                .ok()
                .and_then(|n| n.checked_mul(8))
                .unwrap_or(usize::MAX);
            let pairs = from.take(bytes, "the pruned buckets")?;
            let pairs = pairs.as_chunks::<8>().0.iter().map(|p| {
                let [a, b, c, d, e, f, g, h] = *p;
                (
                    u32::from_le_bytes([a, b, c, d]),
                    u32::from_le_bytes([e, f, g, h]),
                )
            });
            let mut pairs: Vec<_> = pairs.collect();
            pairs.sort_unstable();
            if let Some(twice) = pairs.windows(2).find(|w| w[0].0 == w[1].0) {
                return Err(invalid(format!(
                    "n-gram bucket {} is mapped twice",
                    twice[0].0
                )));
            }
            read.prune = Some(pairs);
        }
        Ok(read)
    }
}

struct Table {
    rows: usize,
    columns: usize,
    data: Vec<f32>,
}

fn flag(from: &mut Bytes<'_>, what: &'static str) -> Result<bool, Error> {
    match from.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(invalid(format!("{what} is {other}, neither 0 nor 1"))),
    }
}

/// Rows and columns, with the size of the table in bounds.
fn dimensions(from: &mut Bytes<'_>) -> Result<(usize, usize), Error> {
    let (rows, columns) = (from.i64("a table")?, from.i64("a table")?);
    let (Ok(rows), Ok(columns)) = (u64::try_from(rows), u64::try_from(columns)) else {
        return Err(invalid(format!(
            "a table of {rows} rows and {columns} columns"
        )));
    };
    let bytes = u128::from(rows) * u128::from(columns) * 4;
    if bytes > u128::from(TABLE_LIMIT) {
        return Err(Error::TooLarge {
            what: "a table",
            bytes,
            limit: TABLE_LIMIT,
        });
    }
    let narrow =
        |n: u64| usize::try_from(n).map_err(|_| invalid(format!("a table dimension of {n}")));
    Ok((narrow(rows)?, narrow(columns)?))
}

fn read_dense(from: &mut Bytes<'_>) -> Result<Table, Error> {
    let (rows, columns) = dimensions(from)?;
    let data = from.f32s(rows * columns, "a dense table")?;
    Ok(Table {
        rows,
        columns,
        data,
    })
}

fn read_quantised(from: &mut Bytes<'_>) -> Result<Table, Error> {
    let with_norm = flag(from, "the norm's kind")?;
    let (rows, columns) = dimensions(from)?;
    let code_bytes = from.i32("a quantised table")?;
    let codes = from.take(
        usize::try_from(code_bytes).unwrap_or(usize::MAX),
        "the codes of a table",
    )?;
    let product = Quantiser::read(from)?;
    if product.dim != columns || Some(codes.len()) != rows.checked_mul(product.parts) {
        return Err(invalid(format!(
            "{} codes of {} parts over {} columns for a table of {rows} x {columns}",
            codes.len(),
            product.parts,
            product.dim
        )));
    }
    let norms = if with_norm {
        let codes = from.take(rows, "the norm codes of a table")?;
        let scalar = Quantiser::read(from)?;
        if (scalar.dim, scalar.parts) != (1, 1) {
            return Err(invalid(format!(
                "norms of {} dimensions in {} parts",
                scalar.dim, scalar.parts
            )));
        }
        Some((codes, scalar))
    } else {
        None
    };
    let mut data = Vec::with_capacity(rows * columns);
    for (row, codes) in codes.chunks_exact(product.parts).enumerate() {
        let norm = norms
            .as_ref()
            .map_or(1.0, |(codes, scalar)| scalar.centroid(0, codes[row])[0]);
        for (part, &code) in codes.iter().enumerate() {
            data.extend(
                product
                    .centroid(part, code)
                    .iter()
                    .map(|value| norm * value),
            );
        }
    }
    Ok(Table {
        rows,
        columns,
        data,
    })
}

/// 256 centroids for each part of a row; the last part may be narrower.
struct Quantiser {
    dim: usize,
    parts: usize,
    width: usize,
    last_width: usize,
    centroids: Vec<f32>,
}

impl Quantiser {
    fn read(from: &mut Bytes<'_>) -> Result<Self, Error> {
        let mut next = || {
            let value = from.i32("a quantiser")?;
            match usize::try_from(value) {
                Ok(value) if value > 0 => Ok(value),
                _ => Err(invalid(format!("a quantiser with a dimension of {value}"))),
            }
        };
        let (dim, parts, width, last_width) = (next()?, next()?, next()?, next()?);
        let covered = (parts - 1)
            .checked_mul(width)
            .and_then(|n| n.checked_add(last_width));
        if covered != Some(dim) || last_width > width {
            return Err(invalid(format!(
                "a quantiser of {dim} in {parts} parts of {width}, the last {last_width}"
            )));
        }
        let count = dim
            .checked_mul(CENTROIDS)
            .ok_or_else(|| invalid(format!("a quantiser of {dim}")))?;
        Ok(Self {
            dim,
            parts,
            width,
            last_width,
            centroids: from.f32s(count, "the centroids of a quantiser")?,
        })
    }

    fn centroid(&self, part: usize, code: u8) -> &[f32] {
        // Parts lie one after the other, each with its 256 centroids; only the last can be narrower.
        let width = if part + 1 == self.parts {
            self.last_width
        } else {
            self.width
        };
        let start = part * CENTROIDS * self.width + usize::from(code) * width;
        &self.centroids[start..start + width]
    }
}
