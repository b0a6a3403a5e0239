//! Where the values of a column are cut into bins.
//!
//! XGBoost's weighted quantile sketch (Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", appendix A), step by step
//! as its `src/common/quantile.h` and `quantile.cc` do it at 3.2.0, with ranks in 32 bits: the cuts are the same numbers, so
//! trees are too. Columns with fewer distinct values than bins are cut at each.

/// The cuts of all columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Cuts {
    /// Where each column's cuts begin in `values`, and the end: columns + 1 numbers.
    pub starts: Vec<usize>,
    /// Upper bounds of bins, ascending in a column; a value is in the first bin whose bound is above it.
    pub values: Vec<f32>,
    /// A number below all values of each column.
    pub least: Vec<f32>,
}

impl Cuts {
    /// The bounds of a column's bins.
    pub fn of(&self, column: usize) -> &[f32] {
        &self.values[self.starts[column]..self.starts[column + 1]]
    }

    /// The bins of a column.
    pub fn bins(&self, column: usize) -> usize {
        self.starts[column + 1] - self.starts[column]
    }

    /// Puts columns one after another.
    pub fn join(columns: impl IntoIterator<Item = (Vec<f32>, f32)>) -> Self {
        let mut cuts = Self {
            starts: vec![0],
            values: Vec::new(),
            least: Vec::new(),
        };
        for (values, least) in columns {
            cuts.values.extend(values);
            cuts.starts.push(cuts.values.len());
            cuts.least.push(least);
        }
        cuts
    }
}

/// The bin of a value among the bounds of its column; what is above all of them is in the last.
pub fn bin(bounds: &[f32], value: f32) -> usize {
    bounds
        .partition_point(|bound| *bound <= value)
        .min(bounds.len() - 1)
}

/// A value with what is known of its rank.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Weight of what is certainly below.
    least: f32,
    /// Weight of what may be below or equal.
    most: f32,
    /// Weight of what is equal.
    weight: f32,
    value: f32,
}

impl Entry {
    fn least_after(&self) -> f32 {
        self.least + self.weight
    }

    fn most_before(&self) -> f32 {
        self.most - self.weight
    }
}

/// How much finer the sketch is than the bins.
const FACTOR: usize = 8;

/// A summary of a column's values.
pub struct Sketch {
    bins: usize,
    /// How many values are there to come.
    size: usize,
    /// Entries of a level.
    limit: usize,
    /// Values and weights that are in no summary yet: the bits of the value, ordered as values are, above those of the weight.
    queue: Vec<u64>,
    room: usize,
    /// Summaries, each of about twice as many values as the one before; an empty one is free.
    levels: Vec<Vec<Entry>>,
}

impl Sketch {
    /// Of a column with `size` values that will be cut into at most `bins`.
    pub fn new(size: usize, bins: usize) -> Self {
        let fine = bins.min(size).max(1);
        let error = 1.0 / f64::from(fine as f32 * FACTOR as f32);
        let mut level = 1;
        let limit = loop {
            let limit = ((level as f64 / error).ceil() as usize + 1).min(size);
            if level >= 63 || limit.saturating_mul(1 << level) >= size {
                break limit;
            }
            level += 1;
        };
        Self {
            bins,
            size,
            limit,
            queue: Vec::new(),
            room: limit * 2,
            levels: Vec::new(),
        }
    }

    /// The next value; it is finite.
    pub fn push(&mut self, value: f32, weight: f32) {
        if weight == 0.0 {
            return;
        }
        let key = ordered(value);
        if let Some(last) = self.queue.last_mut()
            && (*last >> 32) as u32 == key
        {
            let sum = f32::from_bits(*last as u32) + weight;
            *last = u64::from(key) << 32 | u64::from(sum.to_bits());
            return;
        }
        if self.queue.len() == self.room {
            let summary = self.summary();
            self.raise(summary);
        }
        self.queue
            .push(u64::from(key) << 32 | u64::from(weight.to_bits()));
    }

    /// Empties the queue.
    fn summary(&mut self) -> Vec<Entry> {
        self.queue.sort_unstable();
        let mut summary: Vec<Entry> = Vec::with_capacity(self.queue.len());
        let mut sum = 0f32;
        for equal in self.queue.chunk_by(|a, b| a >> 32 == b >> 32) {
            let weights = equal.iter().map(|one| f32::from_bits(*one as u32));
            let weight = weights.fold(0.0, |sum: f32, one| sum + one);
            let value = value_of((equal[0] >> 32) as u32);
            summary.push(Entry {
                least: sum,
                most: sum + weight,
                weight,
                value,
            });
            sum += weight;
        }
        self.queue.clear();
        summary
    }

    fn raise(&mut self, mut summary: Vec<Entry>) {
        let mut level = 0;
        loop {
            if self.levels.len() <= level {
                self.levels.push(Vec::new());
            }
            summary = pruned(&summary, self.limit);
            if self.levels[level].is_empty() {
                self.levels[level] = summary;
                return;
            }
            summary = merged(&summary, &self.levels[level]);
            if summary.len() <= self.limit {
                self.levels[level] = summary;
                return;
            }
            self.levels[level] = Vec::new();
            level += 1;
        }
    }

    /// Upper bounds of bins, and a number below all values.
    pub fn cuts(mut self) -> (Vec<f32>, f32) {
        let fine = self.size.min(self.bins * FACTOR);
        let most = fine.min(self.bins);
        let mut all = pruned(&self.summary(), self.limit);
        for level in std::mem::take(&mut self.levels) {
            if level.is_empty() {
                continue;
            }
            all = match all.is_empty() {
                true => level,
                false => pruned(&merged(&all, &level), self.limit),
            };
        }
        let all = pruned(&pruned(&all, fine), most + 1);
        let (Some(first), Some(last)) = (all.first(), all.last()) else {
            // A column without values has one bin, that nothing is in.
            return (vec![1e-5 + (1e-5f32 + 1e-5)], 1e-5);
        };
        let mut bounds: Vec<f32> = Vec::with_capacity(most);
        for entry in all.iter().take(most).skip(1) {
            if bounds.last().is_none_or(|last| entry.value > *last) {
                bounds.push(entry.value);
            }
        }
        // These two are computed in 64 bits there, too.
        let (lowest, highest) = (f64::from(first.value), f64::from(last.value));
        let little = f64::from(1e-5f32);
        bounds.push((highest + (highest.abs() + little)) as f32);
        (bounds, (lowest - lowest.abs() - little) as f32)
    }
}

/// Bits whose order as numbers is that of the values; both zeros are one.
fn ordered(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    bits ^ (((bits as i32 >> 31) as u32) | 0x8000_0000)
}

fn value_of(ordered: u32) -> f32 {
    f32::from_bits(match ordered & 0x8000_0000 {
        0 => !ordered,
        _ => ordered & 0x7fff_ffff,
    })
}

/// At most `most` entries, evenly by rank.
fn pruned(from: &[Entry], most: usize) -> Vec<Entry> {
    if from.len() <= most {
        return from.to_vec();
    }
    let last = from.len() - 1;
    let begin = from[0].most;
    let range = from[last].least - begin;
    let steps = most.saturating_sub(1);
    let mut kept = Vec::with_capacity(most);
    kept.push(from[0]);
    let (mut at, mut taken) = (1, 0);
    for step in 1..steps {
        let twice = 2.0 * ((step as f32 * range) / steps as f32 + begin);
        while at < last && twice >= from[at + 1].most + from[at + 1].least {
            at += 1;
        }
        if at == last {
            break;
        }
        let nearer = match twice < from[at].least_after() + from[at + 1].most_before() {
            true => at,
            false => at + 1,
        };
        if nearer != taken {
            kept.push(from[nearer]);
            taken = nearer;
        }
    }
    if taken != last {
        kept.push(from[last]);
    }
    kept
}

/// One summary of the values of two.
fn merged(one: &[Entry], other: &[Entry]) -> Vec<Entry> {
    let (Some(one_last), Some(other_last)) = (one.last(), other.last()) else {
        return if one.is_empty() { other } else { one }.to_vec();
    };
    let mut all = Vec::with_capacity(one.len() + other.len());
    let (mut a, mut b) = (0, 0);
    let (mut a_least, mut b_least) = (0f32, 0f32);
    while a < one.len() || b < other.len() {
        let entry = match (one.get(a), other.get(b)) {
            (Some(x), Some(y)) if x.value == y.value => {
                a_least = x.least_after();
                b_least = y.least_after();
                a += 1;
                b += 1;
                Entry {
                    least: x.least + y.least,
                    most: x.most + y.most,
                    weight: x.weight + y.weight,
                    value: x.value,
                }
            }
            (Some(x), y) if y.is_none_or(|y| x.value < y.value) => {
                a_least = x.least_after();
                a += 1;
                Entry {
                    least: x.least + b_least,
                    most: x.most + y.map_or(other_last.most, Entry::most_before),
                    ..*x
                }
            }
            (x, Some(y)) => {
                b_least = y.least_after();
                b += 1;
                Entry {
                    least: y.least + a_least,
                    most: y.most + x.map_or(one_last.most, Entry::most_before),
                    ..*y
                }
            }
            (_, None) => break,
        };
        all.push(entry);
    }
    // Sums that were rounded may have changed the order of ranks.
    let (mut least, mut most) = (0f32, 0f32);
    for entry in &mut all {
        entry.least = entry.least.max(least);
        least = entry.least;
        entry.most = entry.most.max(most).max(entry.least_after());
        most = entry.most;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(values: &[f32], bins: usize) -> (Vec<f32>, f32) {
        let mut sketch = Sketch::new(values.len(), bins);
        for value in values {
            sketch.push(*value, 1.0);
        }
        sketch.cuts()
    }

    #[test]
    fn few_distinct_values_are_cut_at_each() {
        let (bounds, least) = cut(&[3.0, 1.0, 2.0, 1.0, -0.0, 0.0, 3.0], 256);
        assert_eq!(bounds, [1.0, 2.0, 3.0, 6.00001]);
        assert!(least < 0.0);
        assert_eq!(
            [-1.0, 0.5, 1.0, 2.5, 3.0, 9.0].map(|value| bin(&bounds, value)),
            [0, 0, 1, 2, 3, 3]
        );
        assert_eq!(cut(&[5.0; 9], 256).0.len(), 1);
        assert_eq!(cut(&[], 256).0.len(), 1);
    }

    #[test]
    fn many_values_are_cut_evenly() {
        let values: Vec<f32> = (0..100_000u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32)
            .collect();
        let (bounds, _) = cut(&values, 64);
        assert!(bounds.is_sorted_by(|a, b| a < b));
        let mut counts = vec![0usize; bounds.len()];
        for value in &values {
            counts[bin(&bounds, *value)] += 1;
        }
        let even = values.len() / bounds.len();
        assert_eq!(bounds.len(), 64);
        assert!(
            counts.iter().all(|count| count.abs_diff(even) < even / 4),
            "{counts:?}"
        );
    }
}
