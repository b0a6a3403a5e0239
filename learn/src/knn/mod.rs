//! knn: what the nearest rows were.
//!
//! The nearest are always found exactly, as of `faiss.Flat`; the other kinds of `index_type`, which find most of them, are
//! accepted and answered so. Distances that `verbose=true` brings are Euclidean with `L2`; with `INNER_PRODUCT` and `COSINE`
//! they are the products and similarities themselves, the greatest first. A classifier says the class that most of the nearest
//! have, of several that are as many the one with the nearest row; a regressor their mean.
//!
//! `dimension_reduction_type` `sign` and `fjlt` multiply rows with random signs, and with signs of which a Hadamard matrix
//! has rows. `seed`, of these and of the sample, is an addition; `mini_batch_size` does not change what is learned.

use crate::check::{self, COUNT, FEATURE_DIM, SEED, complete, fits, optional, required};
use crate::kernel::Panels;
use crate::linear::measure::Counts;
use crate::parameters::Kind;
use crate::store::{self, Numbers};
use crate::{
    Algorithm, Answers, Channels, Error, Features, Field, Model, Parameter, Parameters, Result,
    Table, Values, Watch,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;

const NAME: &str = "knn";
const VERSION: u32 = 1;
/// Rows that are looked for at once.
const QUERIES: usize = 48;
/// Rows that are looked among at once.
const BLOCK: usize = 1024;
/// Beyond `k`, how many are looked at again with exact distances.
const SPARE: usize = 8;
/// The most neighbours that are answered at once.
const VERBOSE: usize = 1 << 26;
/// How much memory rows may take that were sparse.
const FILLED: usize = 8 << 30;

const DECLARED: &[Parameter] = &[
    FEATURE_DIM,
    required("k", COUNT, "nearest rows that are asked"),
    required(
        "predictor_type",
        Kind::Choice(&["classifier", "regressor"]),
        "whether labels are classes or numbers",
    ),
    required("sample_size", COUNT, "rows that are kept"),
    optional(
        "mini_batch_size",
        COUNT,
        Some("5000"),
        "rows that SageMaker reads at once",
    ),
    optional(
        "dimension_reduction_type",
        Kind::Choice(&["sign", "fjlt"]),
        None,
        "how rows are made shorter; they are not, unless it is set",
    ),
    optional(
        "dimension_reduction_target",
        COUNT,
        None,
        "how long rows are then",
    ),
    optional(
        "index_type",
        Kind::Choice(&["faiss.Flat", "faiss.IVFFlat", "faiss.IVFPQ"]),
        Some("faiss.Flat"),
        "how the nearest are found; always exactly",
    ),
    optional(
        "index_metric",
        Kind::Choice(&["L2", "INNER_PRODUCT", "COSINE"]),
        Some("L2"),
        "what is near",
    ),
    optional(
        "faiss_index_ivf_nlists",
        Kind::Text,
        Some("auto"),
        "of faiss.IVFFlat and faiss.IVFPQ; of no use here",
    ),
    optional(
        "faiss_index_pq_m",
        COUNT,
        None,
        "of faiss.IVFPQ; of no use here",
    ),
    SEED,
];

/// The algorithm.
pub struct Knn;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Metric {
    L2,
    #[serde(rename = "INNER_PRODUCT")]
    Product,
    #[serde(rename = "COSINE")]
    Cosine,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    columns: usize,
    /// How long rows are that are kept.
    length: usize,
    rows: usize,
    k: usize,
    classifier: bool,
    metric: Metric,
}

/// Rows that were kept, with their labels.
pub struct Neighbors {
    head: Head,
    /// `length * columns` signs by which rows are made shorter, if they are.
    reduction: Vec<f32>,
    rows: Vec<f32>,
    labels: Vec<f32>,
    index: Vec<Block>,
}

/// Rows beside each other, as products need them.
struct Block {
    panels: Panels,
    /// What a product times −2 is added to: squares of lengths, or nothing.
    offsets: Vec<f32>,
}

/// One of the nearest: how far it is (less is nearer, whatever the metric), and which.
type Found = (f32, u32);

fn square(row: &[f32]) -> f32 {
    row.iter().map(|one| one * one).sum()
}

impl Neighbors {
    fn new(head: Head, reduction: Vec<f32>, rows: Vec<f32>, labels: Vec<f32>) -> Self {
        let index = rows
            .par_chunks(BLOCK * head.length)
            .map(|rows| Block {
                panels: Panels::new(head.length, rows),
                offsets: rows
                    .chunks_exact(head.length)
                    .map(|row| {
                        if head.metric == Metric::L2 {
                            square(row)
                        } else {
                            0.0
                        }
                    })
                    .collect(),
            })
            .collect();
        Self {
            head,
            reduction,
            rows,
            labels,
            index,
        }
    }

    /// Rows as they are compared: whole, shorter where they are made so, of length one for cosines.
    fn ready(head: &Head, reduction: &[f32], features: &Features, range: Range<usize>) -> Vec<f32> {
        let columns = head.columns;
        let mut out = vec![0.0; range.len() * head.length];
        let mut whole = vec![0.0; columns];
        for (row, out) in range.zip(out.chunks_exact_mut(head.length)) {
            match features {
                Features::Dense { columns, values } => {
                    whole.copy_from_slice(&values[row * columns..][..*columns])
                }
                Features::Sparse(csr) => {
                    whole.fill(0.0);
                    let (indices, values) = csr.row(row);
                    for (index, value) in indices.iter().zip(values) {
                        whole[*index as usize] = *value;
                    }
                }
            }
            if reduction.is_empty() {
                out.copy_from_slice(&whole);
            } else {
                crate::kernel::products(reduction, &whole, out);
            }
            if head.metric == Metric::Cosine {
                let length = square(out).sqrt();
                if length > 0.0 {
                    out.iter_mut().for_each(|one| *one /= length);
                }
            }
        }
        out
    }

    /// How far two rows are from each other; less is nearer.
    fn far(&self, a: &[f32], b: &[f32]) -> f32 {
        let pairs = a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        match self.head.metric {
            Metric::L2 => pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt() as f32,
            _ => -(pairs.map(|(a, b)| a * b).sum::<f64>() as f32),
        }
    }

    /// What `each` makes of the `k` nearest of each row, the nearest first.
    fn nearest<T: Send>(&self, features: &Features, each: impl Fn(&[Found]) -> T + Sync) -> Vec<T> {
        let starts: Vec<usize> = (0..features.rows()).step_by(QUERIES).collect();
        let parts: Vec<Vec<T>> = starts
            .into_par_iter()
            .map(|start| {
                let range = start..(start + QUERIES).min(features.rows());
                self.among(features, range)
                    .iter()
                    .map(|found| each(found))
                    .collect()
            })
            .collect();
        parts.into_iter().flatten().collect()
    }

    /// The `k` nearest of some rows.
    fn among(&self, features: &Features, range: Range<usize>) -> Vec<Vec<Found>> {
        let length = self.head.length;
        let wanted = (self.head.k + SPARE).min(self.head.rows);
        let queries = Self::ready(&self.head, &self.reduction, features, range.clone());
        let mut kept: Vec<Vec<Found>> = vec![Vec::new(); range.len()];
        let mut limits = vec![f32::INFINITY; range.len()];
        let mut products = Vec::new();
        for (block, Block { panels, offsets }) in self.index.iter().enumerate() {
            products.clear();
            products.resize(range.len() * panels.stride(), 0.0);
            panels.dots(&queries, &mut products);
            let first = (block * BLOCK) as u32;
            for ((products, kept), limit) in products
                .chunks_exact(panels.stride())
                .zip(&mut kept)
                .zip(&mut limits)
            {
                for (at, (product, offset)) in products.iter().zip(offsets).enumerate() {
                    let far = offset - 2.0 * product;
                    if far <= *limit {
                        kept.push((far, first + at as u32));
                        if kept.len() == 2 * wanted {
                            nearest_of(kept, wanted);
                            *limit = kept.last().map_or(f32::INFINITY, |one| one.0);
                        }
                    }
                }
            }
        }
        for (query, kept) in queries.chunks_exact(length).zip(&mut kept) {
            nearest_of(kept, wanted);
            for found in kept.iter_mut() {
                found.0 = self.far(query, &self.rows[found.1 as usize * length..][..length]);
            }
            nearest_of(kept, self.head.k);
        }
        kept
    }

    /// What a row is, by its nearest.
    fn label(&self, found: &[Found]) -> f32 {
        let labels = || found.iter().map(|one| self.labels[one.1 as usize]);
        if !self.head.classifier {
            return (labels().map(f64::from).sum::<f64>() / found.len() as f64) as f32;
        }
        let mut votes: Vec<(f32, usize)> = Vec::new();
        for label in labels() {
            match votes.iter_mut().find(|vote| vote.0 == label) {
                Some(vote) => vote.1 += 1,
                None => votes.push((label, 1)),
            }
        }
        // Votes are in the order of the nearest, and the first of the greatest stays.
        votes
            .iter()
            .fold(
                (0.0, 0),
                |best, vote| if vote.1 > best.1 { *vote } else { best },
            )
            .0
    }

    fn answers(&self, table: &Table, verbose: bool) -> Result<Answers> {
        fits(&table.features, self.head.columns)?;
        complete(&table.features, "the rows")?;
        let k = self.head.k;
        let field = |values| Field {
            name: "predicted_label",
            values: Values::Numbers(values),
        };
        if !verbose {
            let labels = self.nearest(&table.features, |found| self.label(found));
            return Ok(Answers {
                list: "predictions",
                fields: vec![field(labels)],
            });
        }
        if table.rows().saturating_mul(k) > VERBOSE {
            return Err(Error::input(format!(
                "the {k} nearest of {} rows are more than {VERBOSE}: fewer rows at once can be answered with verbose=true",
                table.rows()
            )));
        }
        let sign = if self.head.metric == Metric::L2 {
            1.0
        } else {
            -1.0
        };
        let (mut said, mut distances, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for found in self.nearest(&table.features, <[Found]>::to_vec) {
            said.push(self.label(&found));
            distances.extend(found.iter().map(|one| sign * one.0));
            labels.extend(found.iter().map(|one| self.labels[one.1 as usize]));
        }
        let vectors = |name, values| Field {
            name,
            values: Values::Vectors { width: k, values },
        };
        Ok(Answers {
            list: "predictions",
            fields: vec![
                field(said),
                vectors("distances", distances),
                vectors("labels", labels),
            ],
        })
    }
}

/// Leaves the `count` nearest, in order; of those as far, the ones that came first.
fn nearest_of(kept: &mut Vec<Found>, count: usize) {
    kept.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    kept.truncate(count);
}

impl Model for Neighbors {
    fn columns(&self) -> Option<usize> {
        Some(self.head.columns)
    }

    fn predict(&self, table: &Table) -> Result<Answers> {
        self.answers(table, false)
    }

    fn predict_verbose(&self, table: &Table) -> Result<Answers> {
        self.answers(table, true)
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let Head {
            columns,
            length,
            rows,
            ..
        } = self.head;
        let (kept, reduced) = ([rows, length], [length, columns]);
        let mut tensors = vec![
            ("rows", &kept[..], Numbers::F32(&self.rows)),
            ("labels", &kept[..1], Numbers::F32(&self.labels)),
        ];
        if !self.reduction.is_empty() {
            tensors.push(("reduction", &reduced, Numbers::F32(&self.reduction)));
        }
        store::write(folder, NAME, VERSION, &self.head, &tensors)
    }
}

impl Algorithm for Knn {
    fn name(&self) -> &'static str {
        NAME
    }

    fn labelled(&self) -> bool {
        true
    }

    fn parameters(&self) -> &'static [Parameter] {
        DECLARED
    }

    fn train(
        &self,
        parameters: &Parameters,
        channels: &Channels,
        watch: &mut dyn Watch,
    ) -> Result<Box<dyn Model>> {
        Ok(Box::new(self.fit(parameters, channels, watch)?))
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Model>> {
        let model = store::read(folder, NAME, VERSION, |head: Head, tensors| {
            if head.k == 0 || head.k > head.rows || head.columns == 0 || head.length == 0 {
                return Err(format!("{head:?} is no model"));
            }
            let reduction = match head.length == head.columns {
                true => Vec::new(),
                false => tensors.f32("reduction", &[head.length, head.columns])?,
            };
            let rows = tensors.f32("rows", &[head.rows, head.length])?;
            let labels = tensors.f32("labels", &[head.rows])?;
            Ok(Neighbors::new(head, reduction, rows, labels))
        })?;
        Ok(Box::new(model))
    }
}

impl Knn {
    /// As [`Algorithm::train`], the model in its own type.
    ///
    /// # Errors
    ///
    /// As [`Algorithm::train`].
    pub fn fit(
        &self,
        parameters: &Parameters,
        channels: &Channels,
        watch: &mut dyn Watch,
    ) -> Result<Neighbors> {
        let text = |name| parameters.text(name).unwrap_or_default();
        let said = check::count(parameters, "feature_dim")?;
        check::count(parameters, "faiss_index_ivf_nlists")?;
        let metric = match text("index_metric") {
            "INNER_PRODUCT" => Metric::Product,
            "COSINE" => Metric::Cosine,
            _ => Metric::L2,
        };
        if text("index_type") == "faiss.IVFPQ" && metric != Metric::L2 {
            return Err(Error::input(format!(
                "index_metric {} is not for index_type faiss.IVFPQ",
                text("index_metric")
            )));
        }
        let table = &channels.train;
        check::channel(&table.features, "train", said, None)?;
        let columns = table.columns();
        for (table, name) in [(Some(table), "train"), (channels.test.as_ref(), "test")] {
            let Some(table) = table else { continue };
            check::channel(&table.features, name, said, Some(columns))?;
            match &table.labels {
                Some(labels) if labels.iter().all(|label| label.is_finite()) => {}
                _ => {
                    return Err(Error::input(format!(
                        "channel {name} has no labels, or not one for each row; those of text/csv are its first column"
                    )));
                }
            }
        }
        let mut random =
            StdRng::seed_from_u64(parameters.integer("seed").unwrap_or_default() as u64);
        let target = parameters
            .integer("dimension_reduction_target")
            .map(|target| target as usize);
        let reduction = match (parameters.text("dimension_reduction_type"), target) {
            (None, None) => Vec::new(),
            (Some(way), Some(target)) if target < columns => {
                reduction(way, target, columns, &mut random)
            }
            (Some(_), Some(target)) => {
                return Err(Error::input(format!(
                    "dimension_reduction_target is {target}, and rows have {columns} columns: it is less"
                )));
            }
            _ => {
                return Err(Error::input(
                    "dimension_reduction_type and dimension_reduction_target are set together, or neither",
                ));
            }
        };
        let sample =
            (parameters.integer("sample_size").unwrap_or_default() as usize).min(table.rows());
        let k = parameters.integer("k").unwrap_or_default() as usize;
        if k > sample {
            return Err(Error::input(format!(
                "k is {k}, and {sample} rows are kept: there must be as many as are asked"
            )));
        }
        let head = Head {
            columns,
            length: if reduction.is_empty() {
                columns
            } else {
                reduction.len() / columns
            },
            rows: sample,
            k,
            classifier: text("predictor_type") == "classifier",
            metric,
        };
        if sample.saturating_mul(head.length).saturating_mul(4) > FILLED {
            return Err(Error::input(format!(
                "{sample} rows of {} numbers are more than {FILLED} bytes; a smaller sample_size, or dimension_reduction_type, \
                 makes them fewer",
                head.length
            )));
        }
        let mut chosen = rand::seq::index::sample(&mut random, table.rows(), sample).into_vec();
        chosen.sort_unstable();
        let parts: Vec<Vec<f32>> = chosen
            .par_chunks(BLOCK)
            .map(|chosen| {
                let each = chosen.iter().flat_map(|row| {
                    Neighbors::ready(&head, &reduction, &table.features, *row..row + 1)
                });
                each.collect()
            })
            .collect();
        let all = table.labels.as_deref().unwrap_or_default();
        let labels = chosen.iter().map(|row| all[*row]).collect();
        if text("index_type") != "faiss.Flat" {
            watch.log(&format!(
                "index_type {} finds the nearest exactly here, as faiss.Flat does",
                text("index_type")
            ));
        }
        watch.log(&format!(
            "{sample} of {} rows are kept, {} numbers of each",
            table.rows(),
            head.length
        ));
        let model = Neighbors::new(head, reduction, parts.concat(), labels);
        watch.progress(1, 1);
        if let Some(test) = &channels.test {
            let said = crate::answers::numbers(&model.predict(test)?);
            let pairs = || said.iter().zip(test.labels.as_deref().unwrap_or_default());
            if model.head.classifier {
                let counts = Counts::of(pairs().map(|(said, label)| (said == label, true)));
                watch.metric("test:accuracy", counts.recall());
            } else {
                let sum: f64 = pairs()
                    .map(|(said, label)| (f64::from(*said) - f64::from(*label)).powi(2))
                    .sum();
                watch.metric("test:mse", sum / said.len() as f64);
            }
        }
        Ok(model)
    }
}

/// Signs by which rows are made `target` long, distances staying about as they are.
fn reduction(way: &str, target: usize, columns: usize, random: &mut StdRng) -> Vec<f32> {
    let share = 1.0 / (target as f32).sqrt();
    if way == "sign" {
        return (0..target * columns)
            .map(|_| if random.random() { share } else { -share })
            .collect();
    }
    // Rows of a Hadamard matrix, columns of it with random signs: entry (r, c) is −1 to the number of bits r and c share.
    let size = columns.next_power_of_two();
    let signs: Vec<bool> = (0..columns).map(|_| random.random()).collect();
    let mut out = Vec::with_capacity(target * columns);
    for row in rand::seq::index::sample(random, size, target) {
        for (column, sign) in signs.iter().enumerate() {
            let negative = (row & column).count_ones() % 2 == 1;
            out.push(if negative != *sign { -share } else { share });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_bring_no_panic() {
        let head = Head {
            columns: 2,
            length: 1,
            rows: 3,
            k: 2,
            classifier: true,
            metric: Metric::L2,
        };
        let model = Neighbors::new(
            head,
            vec![1.0, -1.0],
            vec![1.0, 2.0, 3.0],
            vec![0.0, 1.0, 1.0],
        );
        let folder = tempfile::tempdir().unwrap();
        model.write(folder.path()).unwrap();
        let table = Table::dense(2, vec![1.0, 2.0]).unwrap();
        crate::store::tests::mutated(&Knn, folder.path(), &table);
    }

    #[test]
    fn reductions_keep_distances() {
        let mut random = StdRng::seed_from_u64(1);
        let (columns, target) = (300, 200);
        for way in ["sign", "fjlt"] {
            let signs = reduction(way, target, columns, &mut random);
            let mut sum = 0.0;
            for _ in 0..50 {
                let row: Vec<f32> = (0..columns)
                    .map(|_| random.random_range(-1.0..1.0))
                    .collect();
                let mut short = vec![0.0; target];
                crate::kernel::products(&signs, &row, &mut short);
                let ratio = square(&short) / square(&row);
                assert!((0.6..1.5).contains(&ratio), "{way} {ratio}");
                sum += ratio / 50.0;
            }
            assert!((sum - 1.0).abs() < 0.08, "{way} {sum}");
        }
    }
}
