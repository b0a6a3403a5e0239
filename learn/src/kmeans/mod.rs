//! kmeans: centers of which every row is near one.
//!
//! Hyperparameters and stages are those of SageMaker's developer guide:
//!
//! 1. Mini-batches move `k * extra_center_factor` centers, in `epochs` passes, rows counting less the longer ago they were
//!    seen where `half_life_time_size` says so.
//! 2. Lloyd's method makes `k` of these, the best of `local_lloyd_num_trials`.
//! 3. An addition: Lloyd's method goes on over all rows, for up to `local_lloyd_max_iter` passes or until a pass
//!    gains less than `local_lloyd_tol` of the sum of squares. So centers are means of their rows, as elsewhere.
//!
//! `extra_center_factor=auto` makes four times `k` centers, and at least 256; `local_lloyd_num_trials=auto` is 10, and 3 where
//! there are more than 2000 centers. `seed` is an addition. The distances that are answered are Euclidean.

mod lloyd;

use crate::check::{self, COUNT, FEATURE_DIM, SEED, complete, fits, optional, required};
use crate::parameters::{Bound, Kind};
use crate::store::{self, Numbers};
use crate::{
    Algorithm, Answers, Channels, Error, Features, Field, Model, Parameter, Parameters, Result,
    Table, Values, Watch,
};
use lloyd::Points;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use std::path::Path;

const NAME: &str = "kmeans";
const VERSION: u32 = 1;
const CHECKPOINT: &str = "kmeans checkpoint";

/// The most numbers that all centers may have.
const CENTERS: usize = 1 << 28;

const WAYS: Kind = Kind::Choice(&["random", "kmeans++"]);

const DECLARED: &[Parameter] = &[
    required("k", COUNT, "centers"),
    FEATURE_DIM,
    optional(
        "mini_batch_size",
        COUNT,
        Some("5000"),
        "rows that move centers at once",
    ),
    optional(
        "init_method",
        WAYS,
        Some("random"),
        "how the first centers are chosen",
    ),
    optional(
        "extra_center_factor",
        Kind::Text,
        Some("auto"),
        "how many times k centers there are in the first stage",
    ),
    optional(
        "local_lloyd_max_iter",
        COUNT,
        Some("300"),
        "most passes of Lloyd's method",
    ),
    optional(
        "local_lloyd_tol",
        Kind::Real(Bound::Included(0.0), Bound::Included(1.0)),
        Some("0.0001"),
        "what share of the sum of squares a pass must gain to be followed by another",
    ),
    optional(
        "local_lloyd_init_method",
        WAYS,
        Some("kmeans++"),
        "how k of the centers of the first stage are chosen",
    ),
    optional(
        "local_lloyd_num_trials",
        Kind::Text,
        Some("auto"),
        "how often they are, of which the best is kept",
    ),
    optional(
        "half_life_time_size",
        Kind::Integer(0, i64::MAX),
        Some("0"),
        "rows after which a row counts half; 0 is never",
    ),
    optional("epochs", COUNT, Some("1"), "passes of the first stage"),
    optional(
        "eval_metrics",
        Kind::Text,
        Some("[\"msd\"]"),
        "msd and ssd, of the test channel",
    ),
    optional(
        "force_dense",
        Kind::Flag,
        Some("false"),
        "the SageMaker SDK says it; rows with few numbers are made whole anyway",
    ),
    SEED,
];

/// The algorithm.
pub struct KMeans;

/// Centers.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    columns: usize,
    centers: Vec<f32>,
}

impl Clusters {
    /// The centers, one after another.
    pub fn centers(&self) -> &[f32] {
        &self.centers
    }

    /// The nearest center of each row, and the square of how far it is.
    fn nearest(&self, features: &Features) -> (Vec<u32>, Vec<f32>) {
        // Around the mean of the centers; those of sparse rows stay where they are, or all rows would be filled.
        let mut mean = vec![0.0; self.columns];
        if let Features::Dense { .. } = features {
            mean = mean_of(&self.centers, self.columns);
        }
        let mut centers = self.centers.clone();
        for center in centers.chunks_exact_mut(self.columns) {
            center
                .iter_mut()
                .zip(&mean)
                .for_each(|(one, mean)| *one -= mean);
        }
        Points::new(features, self.columns, &mean, Vec::new()).distances(&centers)
    }
}

fn mean_of(rows: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; columns];
    for row in rows.chunks_exact(columns) {
        sums.iter_mut()
            .zip(row)
            .for_each(|(sum, one)| *sum += f64::from(*one));
    }
    let count = (rows.len() / columns).max(1) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

impl Model for Clusters {
    fn columns(&self) -> Option<usize> {
        Some(self.columns)
    }

    fn predict(&self, table: &Table) -> Result<Answers> {
        fits(&table.features, self.columns)?;
        complete(&table.features, "the rows")?;
        let (labels, squares) = self.nearest(&table.features);
        // Clusters are numbers with a point in SageMaker's answers.
        let labels = labels.into_iter().map(|label| label as f32).collect();
        let distances = squares.into_iter().map(f32::sqrt).collect();
        let field = |name, values| Field {
            name,
            values: Values::Numbers(values),
        };
        Ok(Answers {
            list: "predictions",
            fields: vec![
                field("closest_cluster", labels),
                field("distance_to_cluster", distances),
            ],
        })
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let shape = [self.centers.len() / self.columns, self.columns];
        store::write(
            folder,
            NAME,
            VERSION,
            &shape,
            &[("centers", &shape, Numbers::F32(&self.centers))],
        )
    }
}

impl Algorithm for KMeans {
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
        let model = store::read(folder, NAME, VERSION, |shape: [usize; 2], tensors| {
            if shape.contains(&0) {
                return Err(format!("{shape:?} are no centers"));
            }
            Ok(Clusters {
                columns: shape[1],
                centers: tensors.f32("centers", &shape)?,
            })
        })?;
        Ok(Box::new(model))
    }
}

/// Where the last stage is.
#[derive(Serialize, Deserialize)]
struct Progress {
    pass: u64,
    k: usize,
    columns: usize,
}

impl KMeans {
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
    ) -> Result<Clusters> {
        let whole = |name| parameters.integer(name).unwrap_or_default() as usize;
        let metrics = check::words(parameters, "eval_metrics", &["msd", "ssd"])?;
        let said = check::count(parameters, "feature_dim")?;
        let table = &channels.train;
        check::channel(&table.features, "train", said, None)?;
        let (rows, columns, k) = (table.rows(), table.columns(), whole("k"));
        if let Some(test) = &channels.test {
            check::channel(&test.features, "test", said, Some(columns))?;
        }
        if rows < k {
            return Err(Error::input(format!(
                "k is {k}, and channel train has {rows} rows: there must be a row for each center"
            )));
        }
        if k.saturating_mul(columns) > CENTERS {
            return Err(Error::input(format!(
                "{k} centers of {columns} columns are more than {CENTERS} numbers: k must be less"
            )));
        }
        let mean = match &table.features {
            Features::Dense { values, .. } => mean_of(values, columns),
            Features::Sparse(_) => vec![0.0; columns],
        };
        let points = Points::new(
            &table.features,
            columns,
            &mean,
            weights(table, whole("half_life_time_size")),
        );
        let total: f64 = points.weights.iter().map(|weight| f64::from(*weight)).sum();
        if total <= 0.0 {
            return Err(Error::input(
                "the weights of all rows of channel train are zero",
            ));
        }
        watch.log(&format!("{rows} rows of {columns} columns; {k} centers"));

        let passes = whole("local_lloyd_max_iter") as u64;
        let tolerance = parameters.real("local_lloyd_tol").unwrap_or_default();
        let mut labels = vec![u32::MAX; rows];
        let (mut centers, mut before, mut pass) = match resumed(watch, k, columns) {
            Some(found) => found,
            None => (
                first_stages(parameters, &points, k, columns, watch)?,
                f64::MAX,
                0,
            ),
        };
        while pass < passes && !watch.stopped() {
            let step = points.step(&centers, 0..rows, &mut labels);
            points.moved(&step, &mut centers);
            pass += 1;
            watch.metric("train:msd", step.ssd / total);
            watch.progress(pass, passes);
            // Nothing moves, or hardly anything is gained; an empty cluster that was filled gains in the next pass.
            let settled = step.counts.iter().all(|count| *count > 0.0);
            if settled && (step.moved == 0 || before - step.ssd <= tolerance * step.ssd) {
                break;
            }
            before = step.ssd;
            watch.checkpoint(&mut || {
                let head = Progress { pass, k, columns };
                let tensors = [
                    ("centers", &[k, columns][..], Numbers::F32(&centers)),
                    ("before", &[1], Numbers::F64(&[before])),
                ];
                // Two tensors of known shapes always become bytes; none would only mean to begin anew.
                store::bytes(CHECKPOINT, VERSION, &head, &tensors).unwrap_or_default()
            });
        }
        watch.log(&format!(
            "centers settled after {pass} passes over all rows"
        ));
        if centers.iter().any(|one| !one.is_finite()) {
            return Err(Error::Diverged(
                "sums of rows are beyond what can be counted with".to_owned(),
            ));
        }
        for center in centers.chunks_exact_mut(columns) {
            center
                .iter_mut()
                .zip(&mean)
                .for_each(|(one, mean)| *one += mean);
        }
        let model = Clusters { columns, centers };
        for (table, name) in [(Some(table), "train"), (channels.test.as_ref(), "test")] {
            let Some(table) = table else { continue };
            let (_, squares) = model.nearest(&table.features);
            let ssd: f64 = squares.iter().map(|square| f64::from(*square)).sum();
            for metric in &metrics {
                let value = if *metric == "ssd" {
                    ssd
                } else {
                    ssd / squares.len() as f64
                };
                watch.metric(&format!("{name}:{metric}"), value);
            }
        }
        Ok(model)
    }
}

/// How much rows count: as the table says, and less the longer ago they came.
fn weights(table: &Table, half_life: usize) -> Vec<f32> {
    let mut weights = table
        .weights
        .clone()
        .unwrap_or_else(|| vec![1.0; table.rows()]);
    if half_life > 0 {
        for (at, weight) in weights.iter_mut().rev().enumerate() {
            *weight *= (-(at as f64) / half_life as f64).exp2() as f32;
        }
    }
    weights
}

fn resumed(watch: &mut dyn Watch, k: usize, columns: usize) -> Option<(Vec<f32>, f64, u64)> {
    let bytes = watch.resume()?;
    let found = store::open::<Progress>(CHECKPOINT, VERSION, &bytes).and_then(|(head, tensors)| {
        if (head.k, head.columns) != (k, columns) {
            return Err("it is of another table or other hyperparameters".to_owned());
        }
        let before = tensors.f64("before", &[1])?;
        Ok((tensors.f32("centers", &[k, columns])?, before[0], head.pass))
    });
    match found {
        Ok(found) => {
            watch.log(&format!("goes on after {} passes over all rows", found.2));
            Some(found)
        }
        Err(why) => {
            watch.log(&format!("begins anew, the checkpoint is of no use: {why}"));
            None
        }
    }
}

/// Centers by mini-batches, and `k` of them.
fn first_stages(
    parameters: &Parameters,
    points: &Points,
    k: usize,
    columns: usize,
    watch: &mut dyn Watch,
) -> Result<Vec<f32>> {
    let whole = |name| parameters.integer(name).unwrap_or_default() as usize;
    let plus = |name| parameters.text(name) == Some("kmeans++");
    let factor = check::count(parameters, "extra_center_factor")?;
    let trials = check::count(parameters, "local_lloyd_num_trials")?;
    let mut random = StdRng::seed_from_u64(whole("seed") as u64);
    let many = match factor {
        Some(factor) => k.saturating_mul(factor),
        None => k.saturating_mul(4).max(256),
    };
    let rows = points.len();
    let batch = whole("mini_batch_size").min(rows);

    // Where there would be as many centers as rows, rows are the centers.
    let extra = if many < rows {
        let sample = batch.max(many.saturating_mul(3)).min(rows);
        let chosen = rand::seq::index::sample(&mut random, rows, sample);
        let sampled: Vec<f32> = chosen.iter().flat_map(|at| points.point(at)).collect();
        let own: Vec<f32> = chosen.iter().map(|at| points.weights[at]).collect();
        let sampled = Points::dense(sampled, columns, own);
        let mut centers = match plus("init_method") {
            true => sampled.spread(many, &mut random),
            false => sampled.random(many, &mut random),
        };
        let mut counts = vec![0.0_f64; many];
        let mut labels = vec![0; batch];
        for _ in 0..whole("epochs") {
            for start in (0..rows).step_by(batch) {
                if watch.stopped() {
                    return Err(Error::Stopped);
                }
                let range = start..(start + batch).min(rows);
                let step = points.step(&centers, range.clone(), &mut labels[..range.len()]);
                for (cluster, center) in centers.chunks_exact_mut(columns).enumerate() {
                    let new = step.counts[cluster];
                    if new > 0.0 {
                        counts[cluster] += new;
                        let share = new / counts[cluster];
                        let sums = &step.sums[cluster * columns..][..columns];
                        for (one, sum) in center.iter_mut().zip(sums) {
                            *one = ((1.0 - share) * f64::from(*one) + share * sum / new) as f32;
                        }
                    }
                }
            }
        }
        let there: Vec<usize> = (0..many).filter(|at| counts[*at] > 0.0).collect();
        let kept = there
            .iter()
            .flat_map(|at| &centers[at * columns..][..columns])
            .copied()
            .collect();
        Points::dense(
            kept,
            columns,
            there.iter().map(|at| counts[*at] as f32).collect(),
        )
    } else {
        let all = (0..rows).flat_map(|at| points.point(at)).collect();
        Points::dense(all, columns, points.weights.clone())
    };
    if extra.len() <= k {
        // Rows that are alike; others fill the places that are left.
        let mut centers: Vec<f32> = (0..extra.len()).flat_map(|at| extra.point(at)).collect();
        centers.extend(points.random(k - extra.len(), &mut random));
        return Ok(centers);
    }

    let trials = trials.unwrap_or(if extra.len() > 2000 { 3 } else { 10 });
    let tolerance = parameters.real("local_lloyd_tol").unwrap_or_default();
    let mut best: Option<(f64, Vec<f32>)> = None;
    for _ in 0..trials {
        if watch.stopped() {
            break;
        }
        let mut centers = match plus("local_lloyd_init_method") {
            true => extra.spread(k, &mut random),
            false => extra.random(k, &mut random),
        };
        let mut labels = vec![u32::MAX; extra.len()];
        let mut before = f64::MAX;
        for _ in 0..whole("local_lloyd_max_iter") {
            let step = extra.step(&centers, 0..extra.len(), &mut labels);
            extra.moved(&step, &mut centers);
            let gained = before - step.ssd;
            before = step.ssd;
            if step.moved == 0 || gained <= tolerance * step.ssd {
                break;
            }
        }
        if best.as_ref().is_none_or(|best| before < best.0) {
            best = Some((before, centers));
        }
    }
    best.map(|best| best.1).ok_or(Error::Stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_bring_no_panic() {
        let model = Clusters {
            columns: 2,
            centers: vec![0.0, 1.0, 5.0, 5.0, -1.0, 2.0],
        };
        let folder = tempfile::tempdir().unwrap();
        model.write(folder.path()).unwrap();
        let table = Table::dense(2, vec![1.0, 2.0]).unwrap();
        crate::store::tests::mutated(&KMeans, folder.path(), &table);
    }
}
