//! Rows of numbers, with what is to be learned of each.

use crate::{Error, Result};

/// Rows of numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Features {
    /// Every value, row by row. `NaN` is a value that is missing.
    Dense {
        /// Values of a row.
        columns: usize,
        /// `rows * columns` values.
        values: Vec<f32>,
    },
    /// The values that are there.
    Sparse(Csr),
}

/// Compressed sparse rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Csr {
    /// Columns, whether they have values or not.
    pub columns: usize,
    /// Where each row begins in `indices` and `values`, and where the last one ends: `rows + 1` numbers.
    pub starts: Vec<usize>,
    /// Column of each value, ascending within a row, each once.
    pub indices: Vec<u32>,
    /// The values.
    pub values: Vec<f32>,
}

impl Csr {
    /// Columns and values of a row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.starts[row]..self.starts[row + 1];
        (&self.indices[range.clone()], &self.values[range])
    }
}

impl Features {
    /// How many rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense { columns: 0, .. } => 0,
            Self::Dense { columns, values } => values.len() / columns,
            Self::Sparse(csr) => csr.starts.len().saturating_sub(1),
        }
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        match self {
            Self::Dense { columns, .. } => *columns,
            Self::Sparse(csr) => csr.columns,
        }
    }
}

/// Rows of numbers and, where they are known, what each is to be and how much it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The rows.
    pub features: Features,
    /// What is to be learned of each row: a number or the number of a class.
    pub labels: Option<Vec<f32>>,
    /// How much each row counts; without it, all count 1.
    pub weights: Option<Vec<f32>>,
}

impl Table {
    /// Rows without labels.
    pub fn new(features: Features) -> Self {
        Self {
            features,
            labels: None,
            weights: None,
        }
    }

    /// A dense table.
    ///
    /// # Errors
    ///
    /// If there are no columns, or the values are no whole number of rows.
    pub fn dense(columns: usize, values: Vec<f32>) -> Result<Self> {
        if columns == 0 || !values.len().is_multiple_of(columns) {
            return Err(Error::input(format!(
                "{} values are no rows of {columns} columns",
                values.len()
            )));
        }
        Ok(Self::new(Features::Dense { columns, values }))
    }

    /// With what is to be learned of each row.
    ///
    /// # Errors
    ///
    /// If there are not as many labels as rows.
    pub fn labelled(mut self, labels: Vec<f32>) -> Result<Self> {
        if labels.len() != self.rows() {
            return Err(Error::input(format!(
                "there are {} labels for {} rows",
                labels.len(),
                self.rows()
            )));
        }
        self.labels = Some(labels);
        Ok(self)
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.features.rows()
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.features.columns()
    }
}
