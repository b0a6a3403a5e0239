//! pca: the directions along which rows differ most, and what rows are along them.
//!
//! `regular` takes the eigenvectors of the whole covariance matrix, `num_components` of them. `randomized` looks in a space of
//! `num_components + extra_components` directions only, for tables with many columns: it begins with random ones and
//! turns them to where the table differs (Halko, Martinsson and Tropp 2011), in seven passes where SageMaker has one.
//!
//! As of SageMaker's models, the components of a projection go from the least of those that are kept to the greatest.
//! `mini_batch_size`, which SageMaker requires and which may be left out here, does not change what is learned; `seed` is an addition,
//! for `randomized`.

mod eigen;

use crate::check::{self, COUNT, FEATURE_DIM, SEED, complete, fits, optional, required};
use crate::kernel::{self, Panels};
use crate::parameters::Kind;
use crate::store::{self, Numbers};
use crate::{
    Algorithm, Answers, Channels, Error, Features, Field, Model, Parameter, Parameters, Result,
    Table, Values, Watch,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use std::path::Path;

const NAME: &str = "pca";
const VERSION: u32 = 1;
/// Rows that are worked on at once.
const BLOCK: usize = 256;
/// The most columns whose covariance is taken whole; time grows with their cube.
const WHOLE: usize = 4096;
/// How often random directions are turned.
const TURNS: usize = 7;
/// How much memory sums may take, over all shares of rows.
const SUMS: usize = 512 << 20;

const DECLARED: &[Parameter] = &[
    FEATURE_DIM,
    required("num_components", COUNT, "components that are kept"),
    optional(
        "mini_batch_size",
        COUNT,
        Some("1000"),
        "rows that SageMaker sums at once; it asks for it, here it may be left out",
    ),
    optional(
        "algorithm_mode",
        Kind::Choice(&["regular", "randomized"]),
        Some("regular"),
        "how components are found",
    ),
    optional(
        "subtract_mean",
        Kind::Flag,
        Some("true"),
        "whether rows are taken around their mean",
    ),
    optional(
        "extra_components",
        Kind::Integer(-1, 1_000_000),
        Some("-1"),
        "directions that randomized looks at beside those that are kept; -1 is as many as are kept, at least 10",
    ),
    SEED,
];

/// The algorithm.
pub struct Pca;

/// Components.
#[derive(Clone, Debug, PartialEq)]
pub struct Components {
    columns: usize,
    mean: Vec<f64>,
    /// One row each, from the least to the greatest.
    components: Vec<f32>,
    /// Singular values of the table that was learned from, in the same order.
    values: Vec<f64>,
}

impl Components {
    /// The components, one after another, from the least to the greatest.
    pub fn components(&self) -> &[f32] {
        &self.components
    }

    /// The singular value of each.
    pub fn singular_values(&self) -> &[f64] {
        &self.values
    }
}

/// Rows around their mean.
struct Rows<'a> {
    features: &'a Features,
    mean: &'a [f64],
}

impl Rows<'_> {
    /// Rows of a dense table around the mean.
    fn centered(&self, values: &[f32], out: &mut Vec<f32>) {
        out.clear();
        for row in values.chunks_exact(self.mean.len()) {
            out.extend(
                row.iter()
                    .zip(self.mean)
                    .map(|(one, mean)| (f64::from(*one) - mean) as f32),
            );
        }
    }

    /// `Xᵀ X` of rows around the mean, whole.
    fn gram(&self) -> Vec<f64> {
        let (rows, columns) = (self.features.rows(), self.mean.len());
        let most = (SUMS / (columns * columns * 8)).clamp(1, 16);
        let shares = kernel::shares(rows, 1024, most);
        let parts: Vec<Vec<f64>> = shares
            .into_par_iter()
            .map(|share| {
                let mut gram = vec![0.0; columns * columns];
                match self.features {
                    Features::Dense { values, .. } => {
                        let mut wide = Vec::with_capacity(BLOCK * columns);
                        for block in values[share.start * columns..share.end * columns]
                            .chunks(BLOCK * columns)
                        {
                            wide.clear();
                            for row in block.chunks_exact(columns) {
                                wide.extend(
                                    row.iter()
                                        .zip(self.mean)
                                        .map(|(one, mean)| f64::from(*one) - mean),
                                );
                            }
                            kernel::add_gram(&wide, columns, &mut gram);
                        }
                    }
                    Features::Sparse(csr) => {
                        for row in share {
                            let (indices, values) = csr.row(row);
                            for (at, (row, value)) in indices.iter().zip(values).enumerate() {
                                let sums = &mut gram[*row as usize * columns..][..columns];
                                for (column, other) in indices[..=at].iter().zip(values) {
                                    sums[*column as usize] += f64::from(*value) * f64::from(*other);
                                }
                            }
                        }
                    }
                }
                gram
            })
            .collect();
        let mut parts = parts.into_iter();
        let mut gram = parts.next().unwrap_or_else(|| vec![0.0; columns * columns]);
        for part in parts {
            gram.iter_mut()
                .zip(part)
                .for_each(|(sum, part)| *sum += part);
        }
        let sparse = matches!(self.features, Features::Sparse(_));
        for row in 0..columns {
            for column in 0..=row {
                if sparse {
                    gram[row * columns + column] -=
                        rows as f64 * self.mean[row] * self.mean[column];
                }
                gram[column * columns + row] = gram[row * columns + column];
            }
        }
        gram
    }

    /// `Xᵀ X` times directions (one row each).
    fn turned(&self, directions: &[f64]) -> Vec<f64> {
        let columns = self.mean.len();
        let count = directions.len() / columns;
        let flat: Vec<f32> = directions.iter().map(|one| *one as f32).collect();
        let rows = self.features.rows();
        let most = (SUMS / (directions.len() * 8)).clamp(1, 32);
        let panels = Panels::new(columns, &flat);
        let shifts: Vec<f64> = directions
            .chunks_exact(columns)
            .map(|one| one.iter().zip(self.mean).map(|(a, b)| a * b).sum())
            .collect();
        let parts: Vec<Vec<f64>> = kernel::shares(rows, BLOCK, most)
            .into_par_iter()
            .map(|share| {
                let mut sums = vec![0.0; directions.len()];
                match self.features {
                    Features::Dense { values, .. } => {
                        let (mut block, mut along, mut part) =
                            (Vec::new(), Vec::new(), vec![0.0; directions.len()]);
                        for values in values[share.start * columns..share.end * columns]
                            .chunks(BLOCK * columns)
                        {
                            self.centered(values, &mut block);
                            let height = block.len() / columns;
                            along.clear();
                            along.resize(height * panels.stride(), 0.0);
                            panels.dots(&block, &mut along);
                            let mut own = Vec::with_capacity(height * count);
                            for row in along.chunks_exact(panels.stride()) {
                                own.extend_from_slice(&row[..count]);
                            }
                            part.fill(0.0);
                            kernel::add_transposed(&own, count, &block, columns, &mut part);
                            sums.iter_mut()
                                .zip(&part)
                                .for_each(|(sum, part)| *sum += f64::from(*part));
                        }
                    }
                    Features::Sparse(csr) => {
                        for row in share {
                            let (indices, values) = csr.row(row);
                            for (at, direction) in directions.chunks_exact(columns).enumerate() {
                                let pairs = indices.iter().zip(values);
                                let sum: f64 = pairs
                                    .clone()
                                    .map(|(index, value)| {
                                        f64::from(*value) * direction[*index as usize]
                                    })
                                    .sum();
                                let along = sum - shifts[at];
                                let sums = &mut sums[at * columns..][..columns];
                                for (index, value) in pairs {
                                    sums[*index as usize] += along * f64::from(*value);
                                }
                            }
                        }
                    }
                }
                sums
            })
            .collect();
        // What is subtracted from sparse rows adds nothing: numbers along a direction around their mean sum to zero.
        let mut parts = parts.into_iter();
        let mut sums = parts.next().unwrap_or_else(|| vec![0.0; directions.len()]);
        for part in parts {
            sums.iter_mut()
                .zip(part)
                .for_each(|(sum, part)| *sum += part);
        }
        sums
    }
}

/// Makes rows as long as one and each at a right angle to those before. Rows that have nothing of their own become zero.
fn orthonormal(rows: &mut [f64], columns: usize) {
    for at in 0..rows.len() / columns {
        let (before, rest) = rows.split_at_mut(at * columns);
        let own = &mut rest[..columns];
        let length = own.iter().map(|one| one * one).sum::<f64>().sqrt();
        // Twice: the first time leaves what rounding adds.
        for _ in 0..2 {
            for other in before.chunks_exact(columns) {
                let along: f64 = own.iter().zip(other).map(|(a, b)| a * b).sum();
                own.iter_mut()
                    .zip(other)
                    .for_each(|(one, other)| *one -= along * other);
            }
        }
        let left = own.iter().map(|one| one * one).sum::<f64>().sqrt();
        let scale = if left > 1e-10 * length {
            1.0 / left
        } else {
            0.0
        };
        own.iter_mut().for_each(|one| *one *= scale);
    }
}

impl Pca {
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
    ) -> Result<Components> {
        let said = check::count(parameters, "feature_dim")?;
        let table = &channels.train;
        check::channel(&table.features, "train", said, None)?;
        let (rows, columns) = (table.rows(), table.columns());
        if let Some(test) = &channels.test {
            check::channel(&test.features, "test", said, Some(columns))?;
        }
        let kept = parameters.integer("num_components").unwrap_or_default() as usize;
        if kept > columns {
            return Err(Error::input(format!(
                "num_components is {kept}, and channel train has {columns} columns: there are no more components than columns"
            )));
        }
        let mean = match parameters.flag("subtract_mean") {
            Some(false) => vec![0.0; columns],
            _ => means(&table.features),
        };
        let around = Rows {
            features: &table.features,
            mean: &mean,
        };
        watch.log(&format!(
            "{rows} rows of {columns} columns; {kept} components"
        ));
        let settle = || {
            Error::Diverged(
                "the covariance of channel train has numbers that are not finite".to_owned(),
            )
        };
        let (squares, vectors) = if parameters.text("algorithm_mode") == Some("randomized") {
            let extra = match parameters.integer("extra_components") {
                Some(extra) if extra >= 0 => extra as usize,
                _ => kept.max(10),
            };
            let count = (kept + extra).min(columns);
            let mut random =
                StdRng::seed_from_u64(parameters.integer("seed").unwrap_or_default() as u64);
            let mut directions: Vec<f64> = (0..count * columns)
                .map(|_| random.random_range(-1.0..1.0))
                .collect();
            orthonormal(&mut directions, columns);
            for turn in 0..TURNS {
                if watch.stopped() {
                    return Err(Error::Stopped);
                }
                watch.progress(turn as u64, TURNS as u64);
                directions = around.turned(&directions);
                orthonormal(&mut directions, columns);
            }
            let turned = around.turned(&directions);
            let mut small = vec![0.0; count * count];
            for (row, turned) in turned.chunks_exact(columns).enumerate() {
                for (column, direction) in directions.chunks_exact(columns).enumerate() {
                    small[row * count + column] =
                        turned.iter().zip(direction).map(|(a, b)| a * b).sum();
                }
            }
            for row in 0..count {
                for column in 0..row {
                    let both = 0.5 * (small[row * count + column] + small[column * count + row]);
                    small[row * count + column] = both;
                    small[column * count + row] = both;
                }
            }
            let (squares, small) = eigen::symmetric(&small, count, kept).ok_or_else(settle)?;
            let mut vectors = vec![0.0; kept * columns];
            for (vector, shares) in vectors
                .chunks_exact_mut(columns)
                .zip(small.chunks_exact(count))
            {
                for (share, direction) in shares.iter().zip(directions.chunks_exact(columns)) {
                    vector
                        .iter_mut()
                        .zip(direction)
                        .for_each(|(one, other)| *one += share * other);
                }
            }
            (squares, vectors)
        } else {
            if columns > WHOLE {
                return Err(Error::input(format!(
                    "channel train has {columns} columns: with more than {WHOLE}, algorithm_mode must be randomized"
                )));
            }
            if watch.stopped() {
                return Err(Error::Stopped);
            }
            eigen::symmetric(&around.gram(), columns, kept).ok_or_else(settle)?
        };
        watch.progress(1, 1);
        let mut model = Components {
            columns,
            components: Vec::with_capacity(kept * columns),
            values: squares[..kept]
                .iter()
                .rev()
                .map(|square| square.max(0.0).sqrt())
                .collect(),
            mean,
        };
        for vector in vectors.chunks_exact(columns).take(kept).rev() {
            // The greatest number of a component is positive, so that the same table has the same components.
            let greatest = vector.iter().copied().fold(0.0_f64, |most, one| {
                if one.abs() > most.abs() { one } else { most }
            });
            let sign = if greatest < 0.0 { -1.0 } else { 1.0 };
            model
                .components
                .extend(vector.iter().map(|one| (sign * one) as f32));
        }
        if let Some(test) = &channels.test {
            watch.log(&format!(
                "{} rows of channel test keep {:.4} of their squares",
                test.rows(),
                model.share(&test.features)
            ));
        }
        Ok(model)
    }
}

/// Means of columns.
fn means(features: &Features) -> Vec<f64> {
    let mut sums = vec![0.0_f64; features.columns()];
    match features {
        Features::Dense { columns, values } => {
            for row in values.chunks_exact(*columns) {
                sums.iter_mut()
                    .zip(row)
                    .for_each(|(sum, one)| *sum += f64::from(*one));
            }
        }
        Features::Sparse(csr) => {
            for (index, value) in csr.indices.iter().zip(&csr.values) {
                sums[*index as usize] += f64::from(*value);
            }
        }
    }
    let count = features.rows().max(1) as f64;
    sums.iter_mut().for_each(|sum| *sum /= count);
    sums
}

impl Components {
    fn project(&self, features: &Features) -> Vec<f32> {
        let kept = self.values.len();
        let mut out = vec![0.0; features.rows() * kept];
        let panels = Panels::new(self.columns, &self.components);
        let rows = Rows {
            features,
            mean: &self.mean,
        };
        match features {
            Features::Dense { values, .. } => out
                .par_chunks_mut(BLOCK * kept)
                .zip(values.par_chunks(BLOCK * self.columns))
                .for_each(|(out, values)| {
                    let mut block = Vec::new();
                    rows.centered(values, &mut block);
                    let mut along = vec![0.0; out.len() / kept * panels.stride()];
                    panels.dots(&block, &mut along);
                    for (out, along) in out
                        .chunks_exact_mut(kept)
                        .zip(along.chunks_exact(panels.stride()))
                    {
                        out.copy_from_slice(&along[..kept]);
                    }
                }),
            Features::Sparse(csr) => {
                let components = || self.components.chunks_exact(self.columns);
                let shifts: Vec<f64> = components()
                    .map(|one| {
                        one.iter()
                            .zip(&self.mean)
                            .map(|(a, b)| f64::from(*a) * b)
                            .sum()
                    })
                    .collect();
                out.par_chunks_mut(kept).enumerate().for_each(|(row, out)| {
                    let (indices, values) = csr.row(row);
                    for ((out, component), shift) in out.iter_mut().zip(components()).zip(&shifts) {
                        let pairs = indices.iter().zip(values);
                        let sum: f64 = pairs
                            .map(|(index, value)| {
                                f64::from(*value) * f64::from(component[*index as usize])
                            })
                            .sum();
                        *out = (sum - shift) as f32;
                    }
                });
            }
        }
        out
    }

    /// How much of the squares of rows around the mean is along the components.
    fn share(&self, features: &Features) -> f64 {
        let along: f64 = self
            .project(features)
            .iter()
            .map(|one| f64::from(*one).powi(2))
            .sum();
        let own: f64 = self.mean.iter().map(|mean| mean * mean).sum();
        let all: f64 = (0..features.rows())
            .map(|row| match features {
                Features::Dense { columns, values } => {
                    let row = values[row * columns..][..*columns].iter().zip(&self.mean);
                    row.map(|(one, mean)| (f64::from(*one) - mean).powi(2))
                        .sum::<f64>()
                }
                Features::Sparse(csr) => {
                    let (indices, values) = csr.row(row);
                    let there = indices.iter().zip(values).map(|(index, value)| {
                        let mean = self.mean[*index as usize];
                        (f64::from(*value) - mean).powi(2) - mean * mean
                    });
                    own + there.sum::<f64>()
                }
            })
            .sum();
        if all > 0.0 { along / all } else { 1.0 }
    }
}

impl Model for Components {
    fn columns(&self) -> Option<usize> {
        Some(self.columns)
    }

    fn predict(&self, table: &Table) -> Result<Answers> {
        fits(&table.features, self.columns)?;
        complete(&table.features, "the rows")?;
        Ok(Answers {
            list: "projections",
            fields: vec![Field {
                name: "projection",
                values: Values::Vectors {
                    width: self.values.len(),
                    values: self.project(&table.features),
                },
            }],
        })
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let shape = [self.values.len(), self.columns];
        store::write(
            folder,
            NAME,
            VERSION,
            &shape,
            &[
                ("components", &shape, Numbers::F32(&self.components)),
                ("values", &shape[..1], Numbers::F64(&self.values)),
                ("mean", &shape[1..], Numbers::F64(&self.mean)),
            ],
        )
    }
}

impl Algorithm for Pca {
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
                return Err(format!("{shape:?} are no components"));
            }
            Ok(Components {
                columns: shape[1],
                components: tensors.f32("components", &shape)?,
                values: tensors.f64("values", &shape[..1])?,
                mean: tensors.f64("mean", &shape[1..])?,
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
        let model = Components {
            columns: 2,
            mean: vec![1.0, 2.0],
            components: vec![0.6, 0.8, -0.8, 0.6],
            values: vec![1.0, 2.0],
        };
        let folder = tempfile::tempdir().unwrap();
        model.write(folder.path()).unwrap();
        let table = Table::dense(2, vec![1.0, 2.0]).unwrap();
        crate::store::tests::mutated(&Pca, folder.path(), &table);
    }
}
