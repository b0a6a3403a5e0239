//! randomcutforest: how little a row is like the others.
//!
//! Trees of random cuts (Guha, Mishra, Roy and Schrijvers 2016), each through a sample of the rows. The score of a row is what
//! SageMaker's developer guide says it is, the mean over the trees of the expected inverse of the depth at which the row would
//! lie in them, scaled by the size of the sample; the expectation is that of AWS's own random-cut-forest library. About 1 is
//! usual.
//!
//! Samples of trees have no row in common where there are enough. The `test` channel's rows are called anomalies by scores
//! more than three standard deviations above their mean, as SageMaker does. `seed` is an addition.

mod tree;

use crate::check::{self, SEED, complete, fits, optional};
use crate::linear::measure::Counts;
use crate::parameters::Kind;
use crate::store::{self, Numbers};
use crate::{
    Algorithm, Answers, Channels, Error, Features, Field, Model, Parameter, Parameters, Result,
    Table, Values, Watch,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use tree::{Node, Tree};

const NAME: &str = "randomcutforest";
const VERSION: u32 = 1;
/// How much memory the rows of all trees may take; their boxes take four times as much.
const HELD: usize = 1 << 30;

const DECLARED: &[Parameter] = &[
    check::FEATURE_DIM,
    optional("num_trees", Kind::Integer(50, 1000), Some("100"), "trees"),
    optional(
        "num_samples_per_tree",
        Kind::Integer(1, 2048),
        Some("256"),
        "rows of each tree",
    ),
    optional(
        "eval_metrics",
        Kind::Text,
        Some("[\"accuracy\", \"precision_recall_fscore\"]"),
        "what is measured of a test channel with labels",
    ),
    optional(
        "mini_batch_size",
        check::COUNT,
        Some("1000"),
        "rows that SageMaker reads at once; changes nothing",
    ),
    SEED,
];

/// The algorithm.
pub struct RandomCutForest;

/// Trees.
#[derive(Debug)]
pub struct Forest {
    columns: usize,
    trees: Vec<Tree>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    columns: usize,
    /// Rows of each tree.
    rows: usize,
    /// Places of each tree.
    places: Vec<usize>,
}

impl Forest {
    fn scores(&self, features: &Features) -> Vec<f32> {
        let mut out = vec![0.0; features.rows()];
        out.par_chunks_mut(16).enumerate().for_each(|(block, out)| {
            let mut path = Vec::new();
            for (at, out) in out.iter_mut().enumerate() {
                let row = row(features, block * 16 + at, self.columns);
                let sum: f64 = self
                    .trees
                    .iter()
                    .map(|tree| tree.score(&row, &mut path))
                    .sum();
                *out = (sum / self.trees.len() as f64) as f32;
            }
        });
        out
    }
}

/// A row, every value of it.
fn row(features: &Features, at: usize, columns: usize) -> Vec<f32> {
    match features {
        Features::Dense { values, .. } => values[at * columns..][..columns].to_vec(),
        Features::Sparse(csr) => {
            let mut row = vec![0.0; columns];
            let (indices, values) = csr.row(at);
            for (index, value) in indices.iter().zip(values) {
                row[*index as usize] = *value;
            }
            row
        }
    }
}

impl RandomCutForest {
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
    ) -> Result<Forest> {
        let whole = |name| parameters.integer(name).unwrap_or_default() as usize;
        let metrics = check::words(
            parameters,
            "eval_metrics",
            &["accuracy", "precision_recall_fscore"],
        )?;
        let said = check::count(parameters, "feature_dim")?;
        let table = &channels.train;
        check::channel(&table.features, "train", said, None)?;
        let (rows, columns) = (table.rows(), table.columns());
        if let Some(test) = &channels.test {
            check::channel(&test.features, "test", said, Some(columns))?;
            match &test.labels {
                Some(labels) if labels.iter().all(|label| *label == 0.0 || *label == 1.0) => {}
                _ => {
                    return Err(Error::input(
                        "the labels of channel test are 1 for an anomaly and 0 for any other row; text/csv has them first with \
                         label_size=1",
                    ));
                }
            }
        }
        let (count, size) = (whole("num_trees"), whole("num_samples_per_tree").min(rows));
        if count * size * columns * 4 > HELD {
            return Err(Error::input(format!(
                "{count} trees of {size} rows of {columns} columns are more than {HELD} bytes: num_trees or \
                 num_samples_per_tree must be less"
            )));
        }
        watch.log(&format!(
            "{rows} rows of {columns} columns; {count} trees of {size}"
        ));
        let seed = whole("seed") as u64;
        let mut random = StdRng::seed_from_u64(seed);
        let samples: Vec<Vec<usize>> = if rows >= count * size {
            let all = rand::seq::index::sample(&mut random, rows, count * size).into_vec();
            all.chunks(size).map(<[usize]>::to_vec).collect()
        } else {
            (0..count)
                .map(|_| rand::seq::index::sample(&mut random, rows, size).into_vec())
                .collect()
        };
        let mut trees = Vec::with_capacity(count);
        for (at, samples) in samples.chunks(25).enumerate() {
            if watch.stopped() {
                return Err(Error::Stopped);
            }
            trees.par_extend(samples.par_iter().enumerate().map(|(tree, sample)| {
                let own = sample
                    .iter()
                    .flat_map(|at| row(&table.features, *at, columns))
                    .collect();
                // A generator of its own, whichever thread it grows on.
                let number = (at * 25 + tree) as u64 + 1;
                let mut random =
                    StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                Tree::grow(own, columns, &mut random)
            }));
            watch.progress(trees.len() as u64, count as u64);
        }
        let model = Forest { columns, trees };
        if let Some(test) = &channels.test {
            let scores = model.scores(&test.features);
            let count = scores.len() as f64;
            let mean = scores.iter().map(|score| f64::from(*score)).sum::<f64>() / count;
            let variance = scores
                .iter()
                .map(|score| (f64::from(*score) - mean).powi(2))
                .sum::<f64>()
                / count;
            let limit = mean + 3.0 * variance.sqrt();
            watch.log(&format!(
                "rows of channel test with scores above {limit:.4} are called anomalies"
            ));
            let labels = test.labels.as_deref().unwrap_or_default();
            let pairs = scores.iter().zip(labels);
            let counts =
                Counts::of(pairs.map(|(score, label)| (f64::from(*score) > limit, *label > 0.5)));
            if metrics.contains(&"accuracy") {
                watch.metric("test:accuracy", counts.accuracy());
            }
            if metrics.contains(&"precision_recall_fscore") {
                watch.metric("test:precision", counts.precision());
                watch.metric("test:recall", counts.recall());
                watch.metric("test:f1", counts.f_beta(1.0));
            }
        }
        Ok(model)
    }
}

impl Model for Forest {
    fn columns(&self) -> Option<usize> {
        Some(self.columns)
    }

    fn predict(&self, table: &Table) -> Result<Answers> {
        fits(&table.features, self.columns)?;
        complete(&table.features, "the rows")?;
        Ok(Answers {
            list: "scores",
            fields: vec![Field {
                name: "score",
                values: Values::Numbers(self.scores(&table.features)),
            }],
        })
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let nodes = || self.trees.iter().flat_map(|tree| &tree.nodes);
        let whole = |of: fn(&Node) -> u32| -> Vec<u32> { nodes().map(of).collect() };
        let (columns, lefts, rights) = (
            whole(|one| one.column),
            whole(|one| one.left),
            whole(|one| one.right),
        );
        let cuts: Vec<f32> = nodes().map(|node| node.cut).collect();
        let rows: Vec<f32> = self
            .trees
            .iter()
            .flat_map(|tree| &tree.rows)
            .copied()
            .collect();
        let head = Head {
            columns: self.columns,
            rows: rows.len() / self.columns / self.trees.len().max(1),
            places: self.trees.iter().map(|tree| tree.nodes.len()).collect(),
        };
        let shape = [self.trees.len(), head.rows, self.columns];
        let places = [cuts.len()];
        store::write(
            folder,
            NAME,
            VERSION,
            &head,
            &[
                ("rows", &shape, Numbers::F32(&rows)),
                ("columns", &places, Numbers::U32(&columns)),
                ("cuts", &places, Numbers::F32(&cuts)),
                ("lefts", &places, Numbers::U32(&lefts)),
                ("rights", &places, Numbers::U32(&rights)),
            ],
        )
    }
}

impl Algorithm for RandomCutForest {
    fn name(&self) -> &'static str {
        NAME
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
            let count = head.places.len();
            if count == 0 || head.rows == 0 || head.columns == 0 {
                return Err("it has no trees".to_owned());
            }
            let places = head
                .places
                .iter()
                .try_fold(0_usize, |sum, one| sum.checked_add(*one));
            let places = [places.ok_or("there are too many places")?];
            let rows = tensors.f32("rows", &[count, head.rows, head.columns])?;
            let columns = tensors.u32("columns", &places)?;
            let cuts = tensors.f32("cuts", &places)?;
            let lefts = tensors.u32("lefts", &places)?;
            let rights = tensors.u32("rights", &places)?;
            let mut start = 0;
            let mut trees = Vec::with_capacity(count);
            for (own, rows) in head
                .places
                .iter()
                .zip(rows.chunks_exact(head.rows * head.columns))
            {
                // A tree has fewer than twice as many places as rows, which bounds what its boxes take.
                if *own > 2 * head.rows {
                    return Err(format!("a tree of {} rows has {own} places", head.rows));
                }
                let nodes = (start..start + own).map(|at| Node {
                    column: columns[at],
                    cut: cuts[at],
                    left: lefts[at],
                    right: rights[at],
                });
                trees.push(Tree::kept(nodes.collect(), rows.to_vec(), head.columns)?);
                start += own;
            }
            Ok(Forest {
                columns: head.columns,
                trees,
            })
        })?;
        Ok(Box::new(model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_bring_no_panic() {
        let mut random = StdRng::seed_from_u64(1);
        let rows = vec![1.0, 2.0, 3.0, 5.0, 0.0, 9.0, 4.0, 4.0];
        let model = Forest {
            columns: 2,
            trees: (0..3)
                .map(|_| Tree::grow(rows.clone(), 2, &mut random))
                .collect(),
        };
        let folder = tempfile::tempdir().unwrap();
        model.write(folder.path()).unwrap();
        let table = Table::dense(2, vec![1.0, 2.0]).unwrap();
        crate::store::tests::mutated(&RandomCutForest, folder.path(), &table);
    }
}
