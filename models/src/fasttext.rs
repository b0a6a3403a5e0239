//! fastText's linear text classifier (Joulin et al. 2016, arXiv:1607.01759) with hierarchical softmax,
//! as the language identifier `lid.176` uses it.
//!
//! The hidden vector is the mean of the rows of a text's words and character n-grams; the probability of a
//! label is the product of the binary decisions on its path through the Huffman tree of the label counts.
//! Reference: `dictionary.cc`, `loss.cc` of fastText 0.9.2. The tensors are those that
//! `escala_weights::format::fasttext` writes.
//!
//! Made for many short texts: a prediction allocates nothing, looks n-grams up in a table that fits the
//! second-level cache, and takes all decisions of the tree as one small product over its nodes.

use crate::error::{Error, Result};
use crate::kernels::simd::{Isa, Simd, multiversion};
use crate::kernels::{AlignedVec, math};
use escala_weights::Tensors;
use std::path::Path;

/// What the reference adds to a probability before it takes the logarithm.
const LOG_FLOOR: f32 = 1e-5;

/// The token that ends a line.
const END: &[u8] = b"</s>";

/// A loaded classifier. Predictions take a [`Scratch`] so that threads share the model.
pub struct Classifier {
    dim: usize,
    /// `[rows, dim]`: words, then n-gram buckets.
    input: AlignedVec,
    /// Row by word.
    words: WordTable,
    buckets: Buckets,
    shortest: usize,
    longest: usize,
    /// `[dim, nodes]`, nodes padded to a whole vector: one column per inner node of the tree.
    nodes: AlignedVec,
    node_stride: usize,
    /// Inner nodes from the root down: (left child, right child); children below `labels.len()` are leaves.
    tree: Vec<(u32, u32)>,
    labels: Vec<String>,
    isa: Isa,
}

/// Memory of one prediction at a time.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    decisions: Vec<f32>,
    reach: Vec<f32>,
}

/// Which row an n-gram has.
enum Buckets {
    /// No n-grams.
    None,
    /// Row = words + hash mod buckets.
    All { first: u32, count: u32 },
    /// Only some buckets were kept.
    Pruned { count: u32, rows: BucketTable },
}

impl Classifier {
    /// Loads a converted model.
    ///
    /// # Errors
    /// When the tensors are not a fastText classifier with hierarchical softmax.
    pub fn load(path: &Path) -> Result<Self> {
        let tensors = Tensors::open(path)?;
        let (shape, input) = tensors.f32("input")?;
        let [rows, dim] = shape[..] else {
            return Err(Error::unsupported("input table is not a matrix"));
        };
        let (_, label_text) = tensors.u8("labels")?;
        let labels: Vec<String> = label_text
            .split(|&byte| byte == 0)
            .map(|label| String::from_utf8_lossy(label).into_owned())
            .collect();
        let output = tensors.f32_of("output", &[labels.len(), dim])?;
        let (_, counts) = tensors.i64("label_counts")?;
        let loss = tensors.metadata("loss").unwrap_or_default();
        if loss != "hs" {
            return Err(Error::unsupported(format!(
                "fastText loss `{loss}`, only `hs` is built"
            )));
        }
        if labels.len() < 2 || counts.len() != labels.len() || dim == 0 {
            return Err(Error::unsupported(format!(
                "{} labels with {} counts",
                labels.len(),
                counts.len()
            )));
        }
        if tensors.metadata_as::<usize>("word_ngrams")? > 1 {
            return Err(Error::unsupported("fastText word n-grams"));
        }
        let nwords: u32 = tensors.metadata_as("nwords")?;
        let bucket: u32 = tensors.metadata_as("bucket")?;
        let longest: usize = tensors.metadata_as("maxn")?;
        let (_, words) = tensors.u8("words")?;
        let words = WordTable::new(words.split(|&byte| byte == 0).take(nwords as usize));
        let in_range = |row: u32| (row as usize) < rows;
        let buckets = if longest == 0 || bucket == 0 {
            Buckets::None
        } else if tensors.metadata("pruned") == Some("true") {
            let ((_, kept), (_, at)) = (tensors.u32("prune.bucket")?, tensors.u32("prune.row")?);
            if kept.len() != at.len()
                || at
                    .iter()
                    .any(|&row| !row.checked_add(nwords).is_some_and(in_range))
            {
                return Err(Error::unsupported("pruned n-grams outside the input table"));
            }
            let pairs = kept
                .iter()
                .zip(at.iter())
                .map(|(&bucket, &row)| (bucket, row + nwords));
            Buckets::Pruned {
                count: bucket,
                rows: BucketTable::new(pairs, kept.len()),
            }
        } else {
            if bucket
                .checked_add(nwords)
                .is_none_or(|end| end as usize > rows)
            {
                return Err(Error::unsupported("n-gram buckets outside the input table"));
            }
            Buckets::All {
                first: nwords,
                count: bucket,
            }
        };
        if nwords as usize > rows {
            return Err(Error::unsupported("words outside the input table"));
        }
        let isa = Isa::best();
        let inner = labels.len() - 1;
        let node_stride = inner.next_multiple_of(isa.lanes());
        let mut nodes = AlignedVec::zeroed(dim * node_stride);
        for node in 0..inner {
            for d in 0..dim {
                nodes[d * node_stride + node] = output[node * dim + d];
            }
        }
        Ok(Self {
            dim,
            input: input.as_ref().into(),
            words,
            buckets,
            shortest: tensors.metadata_as("minn")?,
            longest,
            nodes,
            node_stride,
            tree: huffman(&counts),
            labels,
            isa,
        })
    }

    /// The labels, in the order of the probabilities.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Bytes of memory that the model holds.
    pub fn memory(&self) -> u64 {
        self.input.bytes() + self.nodes.bytes() + self.words.bytes() + (1 << 20)
    }

    /// The probability of every label for one text; line breaks count as spaces.
    ///
    /// They sum to nearly one: the reference keeps probabilities away from zero by 1e-5 at each decision.
    pub fn predict<'a>(&self, text: &str, scratch: &'a mut Scratch) -> &'a [f32] {
        let hidden = self.hidden(text.as_bytes());
        scratch.decisions.resize(self.node_stride, 0.0);
        // SAFETY: `nodes` is `dim` rows of `node_stride`, a multiple of the lanes, and `decisions` one such row.
        unsafe {
            decide(
                self.isa,
                &hidden,
                self.nodes.as_ptr(),
                self.node_stride,
                scratch.decisions.as_mut_ptr(),
            );
        }
        let leaves = self.labels.len();
        scratch.reach.resize(leaves + self.tree.len(), 0.0);
        let reach = &mut scratch.reach[..];
        let Some(root) = reach.last_mut() else {
            return &[];
        };
        *root = 1.0;
        for (node, &(left, right)) in self.tree.iter().enumerate().rev() {
            let (arrived, yes) = (reach[leaves + node], scratch.decisions[node]);
            reach[left as usize] = arrived * (1.0 - yes + LOG_FLOOR);
            reach[right as usize] = arrived * (yes + LOG_FLOOR);
        }
        &reach[..leaves]
    }

    /// Rows of the input table that a text is read as: for each word its own, if it is known, and those of its
    /// character n-grams; at last the row of a line's end.
    pub fn rows(&self, text: &str) -> Vec<u32> {
        let mut rows = Vec::new();
        self.features(text.as_bytes(), |row| rows.push(row));
        rows
    }

    /// The mean of the rows of all features of one line.
    fn hidden(&self, text: &[u8]) -> Vec<f32> {
        if self.dim == 16 {
            return self.hidden_of_width::<16>(text).to_vec();
        }
        let mut sum = vec![0f32; self.dim];
        let mut count = 0u32;
        self.features(text, |row| {
            let at = row as usize * self.dim;
            sum.iter_mut()
                .zip(&self.input[at..at + self.dim])
                .for_each(|(sum, x)| *sum += x);
            count += 1;
        });
        sum.iter_mut().for_each(|x| *x /= count.max(1) as f32);
        sum
    }

    /// [`Self::hidden`] for a width known to the compiler, which keeps the sum in registers.
    fn hidden_of_width<const DIM: usize>(&self, text: &[u8]) -> [f32; DIM] {
        let (rows, _) = self.input.as_chunks::<DIM>();
        let mut sum = [0f32; DIM];
        let mut count = 0u32;
        self.features(text, |row| {
            let row = &rows[row as usize];
            for d in 0..DIM {
                sum[d] += row[d];
            }
            count += 1;
        });
        sum.map(|x| x / count.max(1) as f32)
    }

    /// Calls `add` with the row of each word and n-gram of a line, its end included.
    fn features(&self, text: &[u8], mut add: impl FnMut(u32)) {
        // What fastText's reader splits at.
        let space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c | 0);
        for word in text.split(space).filter(|word| !word.is_empty()) {
            if word == END {
                // A line's end in the middle of a text is a word like in the reference, without n-grams.
                self.words.get(word).into_iter().for_each(&mut add);
                continue;
            }
            self.words.get(word).into_iter().for_each(&mut add);
            self.ngrams(word, &mut add);
        }
        self.words.get(END).into_iter().for_each(add);
    }

    /// The rows of the character n-grams of `<word>`.
    #[inline]
    fn ngrams(&self, word: &[u8], add: &mut impl FnMut(u32)) {
        if matches!(self.buckets, Buckets::None) {
            return;
        }
        let end = word.len() + 2;
        let byte = |at: usize| {
            if at == 0 {
                b'<'
            } else if at == end - 1 {
                b'>'
            } else {
                word[at - 1]
            }
        };
        let continues = |at: usize| at < end && byte(at) & 0xC0 == 0x80;
        for start in 0..end {
            if continues(start) {
                continue;
            }
            let mut hash = FNV_START;
            let mut at = start;
            for length in 1..=self.longest {
                if at >= end {
                    break;
                }
                hash = fnv(hash, byte(at));
                at += 1;
                while continues(at) {
                    hash = fnv(hash, byte(at));
                    at += 1;
                }
                if length < self.shortest || (length == 1 && (start == 0 || at == end)) {
                    continue;
                }
                match &self.buckets {
                    Buckets::None => {}
                    Buckets::All { first, count } => add(first + hash % count),
                    Buckets::Pruned { count, rows } => {
                        rows.get(hash % count).into_iter().for_each(&mut *add)
                    }
                }
            }
        }
    }
}

multiversion! {
    /// `out[n] = sigmoid(sum over d of hidden[d] * nodes[d][n])`
    unsafe fn decide(isa, hidden: &[f32], nodes: *const f32, stride: usize, out: *mut f32) = decide_body
}

#[inline(always)]
unsafe fn decide_body<S: Simd>(hidden: &[f32], nodes: *const f32, stride: usize, out: *mut f32) {
    let mut node = 0;
    while node < stride {
        // SAFETY: the caller's contract: `stride` is a multiple of the lanes.
        unsafe {
            let mut sum = S::splat(0.0);
            for (d, &x) in hidden.iter().enumerate() {
                sum = S::fma(S::splat(x), S::load(nodes.add(d * stride + node)), sum);
            }
            let one = S::splat(1.0);
            let e = math::exp::<S>(S::sub(S::splat(0.0), sum));
            S::store(out.add(node), S::div(one, S::add(one, e)));
        }
        node += S::LANES;
    }
}

/// The Huffman tree of word2vec: inner nodes in the order they are made, the root last.
fn huffman(counts: &[i64]) -> Vec<(u32, u32)> {
    let leaves = counts.len();
    let mut weight: Vec<i64> = counts.to_vec();
    weight.resize(2 * leaves - 1, 1_000_000_000_000_000);
    let mut leaf = leaves;
    let mut inner = leaves;
    let mut tree = Vec::with_capacity(leaves - 1);
    for made in leaves..2 * leaves - 1 {
        let mut smallest = || {
            if leaf > 0 && weight[leaf - 1] < weight[inner] {
                leaf -= 1;
                leaf
            } else {
                inner += 1;
                inner - 1
            }
        };
        let (left, right) = (smallest(), smallest());
        weight[made] = weight[left].saturating_add(weight[right]);
        tree.push((left as u32, right as u32));
    }
    tree
}

const FNV_START: u32 = 2_166_136_261;

/// One step of fastText's 32-bit FNV-1a, which extends the sign of the byte.
#[inline(always)]
fn fnv(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as i8 as u32).wrapping_mul(16_777_619)
}

/// Words to their numbers, open addressing.
struct WordTable {
    text: Vec<u8>,
    starts: Vec<u32>,
    /// Word number plus one; 0 is empty.
    slots: Vec<u32>,
}

impl WordTable {
    fn new<'a>(words: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut table = Self {
            text: Vec::new(),
            starts: vec![0],
            slots: Vec::new(),
        };
        for word in words {
            table.text.extend_from_slice(word);
            table.starts.push(table.text.len() as u32);
        }
        let count = table.starts.len() - 1;
        table.slots = vec![0; (2 * count + 2).next_power_of_two()];
        for number in 0..count {
            let mut slot = table.slot(table.word(number));
            while table.slots[slot] != 0 {
                slot = (slot + 1) & (table.slots.len() - 1);
            }
            table.slots[slot] = number as u32 + 1;
        }
        table
    }

    fn word(&self, number: usize) -> &[u8] {
        &self.text[self.starts[number] as usize..self.starts[number + 1] as usize]
    }

    fn slot(&self, word: &[u8]) -> usize {
        let hash = word.iter().fold(FNV_START, |hash, &byte| fnv(hash, byte));
        (hash ^ hash >> 15) as usize & (self.slots.len() - 1)
    }

    fn get(&self, word: &[u8]) -> Option<u32> {
        let mut slot = self.slot(word);
        // Half of the slots are empty: the search ends.
        while let Some(number) = self.slots[slot].checked_sub(1) {
            if self.word(number as usize) == word {
                return Some(number);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        None
    }

    fn bytes(&self) -> u64 {
        (self.text.len() + 4 * (self.starts.len() + self.slots.len())) as u64
    }
}

/// Kept n-gram buckets to their rows, open addressing.
struct BucketTable {
    /// (bucket plus one, row); 0 is empty.
    slots: Vec<(u32, u32)>,
    shift: u32,
}

impl BucketTable {
    fn new(pairs: impl Iterator<Item = (u32, u32)>, count: usize) -> Self {
        let size = (2 * count + 2).next_power_of_two();
        let mut table = Self {
            slots: vec![(0, 0); size],
            shift: 32 - size.trailing_zeros(),
        };
        for (bucket, row) in pairs {
            let Some(key) = bucket.checked_add(1) else {
                continue;
            };
            let mut slot = table.slot(bucket);
            while table.slots[slot].0 != 0 {
                slot = (slot + 1) & (size - 1);
            }
            table.slots[slot] = (key, row);
        }
        table
    }

    #[inline(always)]
    fn slot(&self, bucket: u32) -> usize {
        (bucket.wrapping_mul(0x9E37_79B1) >> self.shift) as usize
    }

    #[inline(always)]
    fn get(&self, bucket: u32) -> Option<u32> {
        let mut slot = self.slot(bucket);
        loop {
            let (key, row) = self.slots[slot];
            if key == bucket + 1 {
                return Some(row);
            }
            if key == 0 {
                return None;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_a_huffman_code() {
        // Counts descending, as fastText writes them: codes of lengths 1, 2, 3, 3.
        let tree = huffman(&[50, 20, 8, 5]);
        assert_eq!(tree, [(3, 2), (4, 1), (5, 0)]);
    }

    #[test]
    fn fnv_extends_the_sign() {
        // FNV-1a of ASCII is the published one; bytes above 127 differ from it.
        assert_eq!(
            b"foobar"
                .iter()
                .fold(FNV_START, |hash, &byte| fnv(hash, byte)),
            0xbf9c_f968
        );
        assert_eq!(
            fnv(FNV_START, 0xE9),
            (FNV_START ^ 0xFFFF_FFE9).wrapping_mul(16_777_619)
        );
    }
}
