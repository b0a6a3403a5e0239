//! Rows that come one after another, dense or sparse, and become one table.

use super::MAX_COLUMNS;
use crate::{Csr, Error, Features, Result, Table};

/// Rows so far.
#[derive(Default)]
pub(super) struct Rows {
    features: Option<Features>,
    count: usize,
    labels: Vec<f32>,
    weights: Vec<f32>,
}

/// What a row says beside its features.
#[derive(Clone, Copy, Default)]
pub(super) struct Beside {
    pub label: Option<f32>,
    pub weight: Option<f32>,
}

impl Rows {
    /// Adds a row with every value; `NaN` is one that is missing.
    ///
    /// The errors of this and the other methods say what is wrong; the caller knows where.
    pub fn dense(&mut self, row: &[f32], beside: Beside) -> std::result::Result<(), String> {
        if row.is_empty() {
            return Err("there are no columns".to_owned());
        }
        match &mut self.features {
            None => {
                self.features = Some(Features::Dense {
                    columns: row.len(),
                    values: row.to_vec(),
                });
            }
            Some(Features::Dense { columns, values }) => {
                same(row.len(), *columns)?;
                values.extend_from_slice(row);
            }
            Some(Features::Sparse(csr)) => {
                same(row.len(), csr.columns)?;
                push_dense(csr, row)?;
            }
        }
        self.beside(beside)
    }

    /// Adds a row that has some values. Keys may come in any order. Without `columns`, there are as many as the greatest
    /// key of any row needs.
    pub fn sparse(
        &mut self,
        entries: &mut [(u32, f32)],
        columns: Option<usize>,
        beside: Beside,
    ) -> std::result::Result<(), String> {
        entries.sort_unstable_by_key(|entry| entry.0);
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("column {} is there twice", pair[0].0));
        }
        let least = entries.last().map_or(0, |entry| entry.0 as usize + 1);
        if least > MAX_COLUMNS {
            return Err(format!(
                "there is a value in column {}, and tables have at most {MAX_COLUMNS} columns",
                least - 1
            ));
        }
        if let Some(columns) = columns
            && columns < least
        {
            return Err(format!(
                "there is a value in column {} of {columns}, counted from 0",
                least - 1
            ));
        }
        let mut csr = match self.features.take() {
            None => Csr {
                columns: columns.unwrap_or(0),
                starts: vec![0],
                ..Csr::default()
            },
            Some(Features::Sparse(csr)) => csr,
            Some(Features::Dense { columns, values }) => sparse(columns, &values)?,
        };
        match columns {
            Some(columns) => same(columns, csr.columns)?,
            None => csr.columns = csr.columns.max(least),
        }
        for (column, value) in entries {
            csr.indices.push(*column);
            csr.values.push(*value);
        }
        csr.starts.push(csr.values.len());
        self.features = Some(Features::Sparse(csr));
        self.beside(beside)
    }

    /// Adds a row as tensors of JSON and Protocol Buffers say it: sparse where there are keys, or a shape and no values.
    pub fn tensor(
        &mut self,
        values: Vec<f32>,
        keys: Vec<u32>,
        shape: &[usize],
        beside: Beside,
    ) -> std::result::Result<(), String> {
        let columns = match shape {
            [] => None,
            shape => Some(
                shape
                    .iter()
                    .try_fold(1_usize, |product, size| product.checked_mul(*size))
                    .filter(|columns| *columns <= MAX_COLUMNS)
                    .ok_or_else(|| {
                        format!("a shape of {shape:?} is none of at most {MAX_COLUMNS} columns")
                    })?,
            ),
        };
        if keys.is_empty() && (!values.is_empty() || columns.is_none()) {
            if let Some(columns) = columns.filter(|columns| *columns != values.len()) {
                return Err(format!(
                    "there are {} values, and {columns} by the shape",
                    values.len()
                ));
            }
            return self.dense(&values, beside);
        }
        if keys.len() != values.len() {
            return Err(format!(
                "there are {} keys for {} values",
                keys.len(),
                values.len()
            ));
        }
        if columns.is_none() {
            return Err("there are keys, and no shape".to_owned());
        }
        let mut entries: Vec<_> = keys.into_iter().zip(values).collect();
        self.sparse(&mut entries, columns, beside)
    }

    fn beside(&mut self, beside: Beside) -> std::result::Result<(), String> {
        let before = self.count;
        self.count += 1;
        for (kept, now, what) in [
            (&mut self.labels, beside.label, "label"),
            (&mut self.weights, beside.weight, "weight"),
        ] {
            match now {
                Some(number) if kept.len() == before => {
                    if !number.is_finite() {
                        return Err(format!("the {what} is missing"));
                    }
                    kept.push(number);
                }
                None if kept.is_empty() => {}
                _ => return Err(format!("some rows have a {what} and others have none")),
            }
        }
        match beside.weight {
            Some(weight) if weight < 0.0 => Err(format!("the weight is {weight}, below 0")),
            _ => Ok(()),
        }
    }

    pub fn table(self) -> Result<Table> {
        let features = self
            .features
            .ok_or_else(|| Error::input("there are no rows"))?;
        Ok(Table {
            features,
            labels: (!self.labels.is_empty()).then_some(self.labels),
            weights: (!self.weights.is_empty()).then_some(self.weights),
        })
    }
}

fn same(now: usize, before: usize) -> std::result::Result<(), String> {
    if now == before {
        Ok(())
    } else {
        Err(format!(
            "there are {now} columns, and {before} in the rows before"
        ))
    }
}

fn push_dense(csr: &mut Csr, row: &[f32]) -> std::result::Result<(), String> {
    for (column, value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
        csr.indices
            .push(u32::try_from(column).map_err(|_| "there are too many columns".to_owned())?);
        csr.values.push(*value);
    }
    csr.starts.push(csr.values.len());
    Ok(())
}

fn sparse(columns: usize, values: &[f32]) -> std::result::Result<Csr, String> {
    let mut csr = Csr {
        columns,
        starts: vec![0],
        ..Csr::default()
    };
    for row in values.chunks_exact(columns) {
        push_dense(&mut csr, row)?;
    }
    Ok(csr)
}
