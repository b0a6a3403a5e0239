//! Rows with their values as numbers of bins.
//!
//! Dense rows are kept twice. Blocks of some columns, row by row, are what histograms are built from: the codes of a row lie
//! in one line of the cache, and the histogram of a block stays in the nearest one. Single columns are what rows are parted by.
//! Sparse rows stay sparse.

use super::cuts::{Cuts, Sketch, bin};
use crate::{Csr, Error, Features, Result};
use rayon::prelude::*;
use std::hint::select_unpredictable;

/// The most columns of a block.
pub const BLOCK: usize = 16;

/// Columns that are cut at once: half a line of the cache of each row, and few enough for threads to have as many.
const LINE: usize = 8;

/// A column with values in one of so many rows, or in more, has a place for each.
const FULL: usize = 5;

/// Rows of a column whose bins are looked for together.
const AT_ONCE: usize = 512;

/// Rows with their values as numbers of bins.
pub struct Bins {
    pub rows: usize,
    pub cuts: Cuts,
    /// Where the sums of each column begin in a histogram, and the end: columns + 1 numbers.
    pub slots: Vec<usize>,
    /// Columns that histograms are built and looked through by.
    pub spans: Vec<std::ops::Range<usize>>,
    pub layout: Layout,
}

/// How bins lie in memory.
pub enum Layout {
    Dense {
        /// One for each span.
        blocks: Vec<Block>,
        columns: Vec<Codes>,
    },
    Sparse {
        /// Where rows begin, and the end.
        starts: Vec<usize>,
        /// The slot in the histogram of each value, ascending in a row.
        slots: Vec<u32>,
        columns: Vec<Column>,
    },
}

/// A column of sparse rows.
pub enum Column {
    /// Of so many values that it has a place for each row.
    Full(Codes),
    /// Rows with values, ascending, and their bins.
    Sparse { rows: Vec<u32>, bins: Vec<u16> },
}

/// Numbers in as many bits as they need.
pub enum Codes {
    Narrow(Vec<u8>),
    Wide(Vec<u16>),
}

/// Some columns of dense rows.
pub struct Block {
    /// Row by row; `Narrow` are bins of their columns, and `Wide` are slots of the block's histogram.
    pub codes: Codes,
    /// Where each column's slots begin in the block's histogram.
    pub offsets: Vec<u32>,
}

impl Bins {
    /// Cuts columns into at most `most` bins. Missing values are in none.
    ///
    /// # Errors
    ///
    /// If a value is infinite, or there are more bins than can be counted.
    pub fn new(features: &Features, weights: Option<&[f32]>, most: usize) -> Result<Self> {
        let dense;
        let features = match features {
            // A row of codes takes as much as a sparse value.
            Features::Sparse(csr) if csr.columns > 0 && is_dense(csr) => {
                dense = filled(csr);
                &dense
            }
            features => features,
        };
        match features {
            Features::Dense { columns, values } => {
                let (columns, rows) = (*columns, features.rows());
                let cuts = dense_cuts(values, rows, columns, weights, most)?;
                Ok(Self::dense(values, rows, columns, cuts))
            }
            Features::Sparse(csr) => Self::sparse(csr, weights, most),
        }
    }

    fn dense(
        values: &[f32],
        rows: usize,
        width: usize,
        (cuts, missing): (Cuts, Vec<bool>),
    ) -> Self {
        // Missing values have a slot of their own, after those of the bins, that nobody reads.
        let needed: Vec<usize> = (0..width)
            .map(|column| cuts.bins(column) + usize::from(missing[column]))
            .collect();
        let mut slots = vec![0];
        for needed in &needed {
            slots.push(slots[slots.len() - 1] + needed);
        }
        let spans = spans(width, &needed);
        let parts: Vec<(Block, Vec<Codes>)> = spans
            .par_iter()
            .map(|span| {
                let own = &needed[span.clone()];
                let cuts: Vec<Bounds> = span
                    .clone()
                    .map(|column| Bounds::new(cuts.of(column)))
                    .collect();
                let offsets: Vec<u32> = span
                    .clone()
                    .map(|column| (slots[column] - slots[span.start]) as u32)
                    .collect();
                let narrow = own.iter().all(|needed| *needed <= 256);
                let mut block = Codes::zero(narrow, rows * own.len());
                let mut columns: Vec<Codes> = own
                    .iter()
                    .map(|needed| Codes::zero(*needed <= 256, rows))
                    .collect();
                let mut found = [0u16; AT_ONCE];
                for (piece, rows) in values.chunks(width * AT_ONCE).enumerate() {
                    let first = piece * AT_ONCE;
                    for (place, column) in span.clone().enumerate() {
                        let own_values = rows.iter().skip(column).step_by(width);
                        let count = own_values.len();
                        for (code, value) in found.iter_mut().zip(own_values) {
                            *code = cuts[place].code(*value) as u16;
                        }
                        let found = &found[..count];
                        columns[place].put(first, 1, 0, found);
                        let offset = if narrow { 0 } else { offsets[place] as u16 };
                        block.put(first * own.len() + place, own.len(), offset, found);
                    }
                }
                (
                    Block {
                        codes: block,
                        offsets,
                    },
                    columns,
                )
            })
            .collect();
        let (blocks, columns): (Vec<Block>, Vec<Vec<Codes>>) = parts.into_iter().unzip();
        Self {
            rows,
            cuts,
            slots,
            spans,
            layout: Layout::Dense {
                blocks,
                columns: columns.into_iter().flatten().collect(),
            },
        }
    }

    fn sparse(csr: &Csr, weights: Option<&[f32]>, most: usize) -> Result<Self> {
        let rows = csr.starts.len().saturating_sub(1);
        let mut sizes = vec![0usize; csr.columns];
        for (column, value) in csr.indices.iter().zip(&csr.values) {
            finite(*value, *column as usize)?;
            sizes[*column as usize] += usize::from(!value.is_nan());
        }
        let (places, entries) = by_columns(csr, &sizes);
        let column = |column: usize| &entries[places[column]..places[column + 1]];
        let cut: Vec<(Vec<f32>, f32)> = sizes
            .par_iter()
            .enumerate()
            .map(|(at, size)| {
                let mut sketch = Sketch::new(*size, most);
                for (row, value) in column(at) {
                    let weight = weights.map_or(1.0, |weights| weights[*row as usize]);
                    sketch.push(*value, weight);
                }
                sketch.cuts()
            })
            .collect();
        let cuts = Cuts::join(cut);
        if u32::try_from(cuts.values.len()).is_err() {
            return Err(Error::input(format!(
                "{} columns of at most {most} bins have more bins than can be counted; a smaller max_bin helps",
                csr.columns
            )));
        }
        let columns: Vec<Column> = (0..csr.columns)
            .into_par_iter()
            .map(|at| Column::new(column(at), cuts.of(at), rows))
            .collect();
        let slots = cuts.starts.clone();
        let rows_at_once: Vec<usize> = (0..rows).step_by(AT_ONCE).collect();
        let found: Vec<(Vec<u32>, Vec<usize>)> = rows_at_once
            .into_par_iter()
            .map(|first| {
                let (mut found, mut counts) = (Vec::new(), Vec::new());
                for row in first..(first + AT_ONCE).min(rows) {
                    let (indices, values) = csr.row(row);
                    let before = found.len();
                    for (column, value) in indices.iter().zip(values) {
                        if !value.is_nan() {
                            let column = *column as usize;
                            let code = bin(cuts.of(column), *value);
                            found.push((slots[column] + code) as u32);
                        }
                    }
                    counts.push(found.len() - before);
                }
                (found, counts)
            })
            .collect();
        let mut starts = vec![0];
        let mut all = Vec::with_capacity(entries.len());
        for (found, counts) in found {
            all.extend(found);
            for count in counts {
                starts.push(starts[starts.len() - 1] + count);
            }
        }
        let width = csr.columns.div_ceil(64).max(64);
        Ok(Self {
            rows,
            slots,
            spans: (0..csr.columns)
                .step_by(width)
                .map(|first| first..(first + width).min(csr.columns))
                .collect(),
            layout: Layout::Sparse {
                starts,
                slots: all,
                columns,
            },
            cuts,
        })
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.slots.len() - 1
    }

    /// How many sums a histogram has.
    pub fn total(&self) -> usize {
        self.slots[self.slots.len() - 1]
    }

    /// The slots of a span.
    pub fn slots_of(&self, span: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        self.slots[span.start]..self.slots[span.end]
    }
}

impl Column {
    /// Of rows with values, ascending.
    fn new(entries: &[(u32, f32)], bounds: &[f32], rows: usize) -> Self {
        if entries.len() * FULL >= rows {
            let mut codes = Codes::zero(bounds.len() < 256, rows);
            codes.fill(bounds.len());
            for (row, value) in entries {
                codes.put(*row as usize, 1, 0, &[bin(bounds, *value) as u16]);
            }
            return Self::Full(codes);
        }
        Self::Sparse {
            rows: entries.iter().map(|(row, _)| *row).collect(),
            bins: entries
                .iter()
                .map(|(_, value)| bin(bounds, *value) as u16)
                .collect(),
        }
    }
}

/// Rows and values by columns, and where columns begin: columns + 1 numbers.
fn by_columns(csr: &Csr, sizes: &[usize]) -> (Vec<usize>, Vec<(u32, f32)>) {
    let mut places = vec![0];
    for size in sizes {
        places.push(places[places.len() - 1] + size);
    }
    let mut next = places.clone();
    let mut entries = vec![(0, 0.0); places[sizes.len()]];
    for row in 0..csr.starts.len().saturating_sub(1) {
        let (indices, values) = csr.row(row);
        for (column, value) in indices.iter().zip(values) {
            if !value.is_nan() {
                let next = &mut next[*column as usize];
                entries[*next] = (row as u32, *value);
                *next += 1;
            }
        }
    }
    (places, entries)
}

impl Codes {
    fn zero(narrow: bool, size: usize) -> Self {
        match narrow {
            true => Self::Narrow(vec![0; size]),
            false => Self::Wide(vec![0; size]),
        }
    }

    fn fill(&mut self, code: usize) {
        match self {
            Self::Narrow(codes) => codes.fill(code as u8),
            Self::Wide(codes) => codes.fill(code as u16),
        }
    }

    /// Writes codes, more by an offset, at every `step`th place.
    fn put(&mut self, first: usize, step: usize, offset: u16, found: &[u16]) {
        match self {
            Self::Narrow(codes) => {
                let places = codes[first..].iter_mut().step_by(step);
                places
                    .zip(found)
                    .for_each(|(place, code)| *place = (code + offset) as u8);
            }
            Self::Wide(codes) => {
                let places = codes[first..].iter_mut().step_by(step);
                places
                    .zip(found)
                    .for_each(|(place, code)| *place = code + offset);
            }
        }
    }
}

/// The bounds of a column's bins, to be searched without guessing.
struct Bounds {
    /// Filled up with infinities to a power of two.
    values: Vec<f32>,
    bins: usize,
}

impl Bounds {
    fn new(bounds: &[f32]) -> Self {
        let mut values = bounds.to_vec();
        values.resize(bounds.len().next_power_of_two(), f32::INFINITY);
        Self {
            values,
            bins: bounds.len(),
        }
    }

    /// The bin of a value, or the number of bins where it is missing.
    fn code(&self, value: f32) -> usize {
        let (mut at, mut step) = (0, self.values.len() / 2);
        while step > 0 {
            at = select_unpredictable(self.values[at + step - 1] <= value, at + step, at);
            step /= 2;
        }
        match value.is_nan() {
            true => self.bins,
            false => at.min(self.bins - 1),
        }
    }
}

/// Whether codes for all places take no more than codes for the values alone.
fn is_dense(csr: &Csr) -> bool {
    let rows = csr.starts.len().saturating_sub(1);
    rows.saturating_mul(csr.columns) <= csr.values.len().saturating_mul(2)
}

fn filled(csr: &Csr) -> Features {
    let rows = csr.starts.len().saturating_sub(1);
    let mut values = vec![f32::NAN; rows * csr.columns];
    for (row, places) in values.chunks_exact_mut(csr.columns).enumerate() {
        let (columns, values) = csr.row(row);
        for (column, value) in columns.iter().zip(values) {
            places[*column as usize] = *value;
        }
    }
    Features::Dense {
        columns: csr.columns,
        values,
    }
}

/// Even spans of columns, each with no more slots than 16 bits can name.
fn spans(width: usize, needed: &[usize]) -> Vec<std::ops::Range<usize>> {
    // As many for each thread.
    let threads = rayon::current_num_threads().min(width.max(1));
    let count = width.div_ceil(BLOCK).next_multiple_of(threads);
    let even = width.div_ceil(count.max(1)).max(1);
    let mut spans = Vec::new();
    let mut first = 0;
    while first < width {
        let mut end = first;
        let mut slots = 0;
        while end < width && end - first < even && slots + needed[end] <= 1 << 16 {
            slots += needed[end];
            end += 1;
        }
        spans.push(first..end);
        first = end;
    }
    spans
}

fn dense_cuts(
    values: &[f32],
    rows: usize,
    width: usize,
    weights: Option<&[f32]>,
    most: usize,
) -> Result<(Cuts, Vec<bool>)> {
    let lines: Vec<usize> = (0..width).step_by(LINE).collect();
    type Line = Vec<((Vec<f32>, f32), bool)>;
    let cut: Vec<Line> = lines
        .par_iter()
        .map(|first| {
            let span = *first..(first + LINE).min(width);
            let mut sizes = vec![0usize; span.len()];
            for row in values.chunks_exact(width) {
                for (size, value) in sizes.iter_mut().zip(&row[span.clone()]) {
                    *size += usize::from(!value.is_nan());
                }
            }
            let mut sketches: Vec<Sketch> =
                sizes.iter().map(|size| Sketch::new(*size, most)).collect();
            for (at, row) in values.chunks_exact(width).enumerate() {
                let weight = weights.map_or(1.0, |weights| weights[at]);
                for (place, value) in row[span.clone()].iter().enumerate() {
                    finite(*value, first + place)?;
                    if !value.is_nan() {
                        sketches[place].push(*value, weight);
                    }
                }
            }
            Ok(sketches
                .into_iter()
                .zip(sizes)
                .map(|(sketch, size)| (sketch.cuts(), size < rows))
                .collect())
        })
        .collect::<Result<_>>()?;
    let (cuts, missing): (Vec<_>, Vec<_>) = cut.into_iter().flatten().unzip();
    Ok((Cuts::join(cuts), missing))
}

fn finite(value: f32, column: usize) -> Result<()> {
    if value.is_infinite() {
        return Err(Error::input(format!(
            "column {column} has an infinite value"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_bin_of_a_plain_search() {
        for bins in [1usize, 2, 3, 7, 8, 255, 256] {
            let bounds: Vec<f32> = (0..bins).map(|i| i as f32 * 0.5 - 3.0).collect();
            let search = Bounds::new(&bounds);
            for value in -20..300 {
                let value = value as f32 * 0.25;
                assert_eq!(search.code(value), bin(&bounds, value), "{bins} {value}");
            }
            assert_eq!(search.code(f32::NAN), bins);
        }
    }

    #[test]
    fn sparse_rows_with_most_values_are_laid_out_densely() {
        let csr = |values: usize| Csr {
            columns: 4,
            starts: (0..=8).map(|row| row * values).collect(),
            indices: (0..8).flat_map(|_| 0..values as u32).collect(),
            values: (0..8 * values).map(|value| value as f32).collect(),
        };
        let of = |values| Bins::new(&Features::Sparse(csr(values)), None, 256).unwrap();
        assert!(matches!(of(2).layout, Layout::Dense { .. }));
        let sparse = of(1);
        assert!(matches!(sparse.layout, Layout::Sparse { .. }));
        assert_eq!(sparse.total(), 8 + 3);
    }

    #[test]
    fn what_is_infinite_is_refused() {
        let features = Features::Dense {
            columns: 2,
            values: vec![1.0, 2.0, 3.0, f32::NEG_INFINITY],
        };
        let error = Bins::new(&features, None, 256).err().unwrap().to_string();
        assert!(error.contains("column 1"), "{error}");
    }
}
