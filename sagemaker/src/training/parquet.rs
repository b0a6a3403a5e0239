//! Tables in Parquet files: every column is one of numbers, the first that of labels where an algorithm learns them.
//!
//! Files are read a batch of rows at a time from a copy on the disk, since Parquet begins at its end.

use super::channels::Channel;
use super::trainer::{Failure, Lesson};
use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use escala_learn::Table;
use escala_objects::parquet::{MOST_LEVELS, levels_of};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs;
use std::io::copy;

/// The rows of a channel's files.
///
/// # Errors
/// [`Failure::Client`] with the file and column that are none of numbers.
pub(super) fn table(
    lesson: &Lesson<'_>,
    channel: &Channel,
    labelled: bool,
) -> Result<Table, Failure> {
    let disk = |error: std::io::Error| {
        Failure::Now(format!("what is learned from cannot be kept: {error}"))
    };
    let mut rows = Rows::default();
    for (number, file) in channel.files.iter().enumerate() {
        let path = lesson
            .scratch
            .join(format!("{}-{number}.parquet", channel.name));
        let mut to = fs::File::create(&path).map_err(disk)?;
        copy(&mut lesson.open(channel, file)?, &mut to).map_err(disk)?;
        drop(to);
        let wrong = |why: String| Failure::Client(format!("{file}: {why}"));
        let mut opened = fs::File::open(&path).map_err(disk)?;
        if let Some(levels) = levels_of(&mut opened).map_err(disk)?
            && levels > MOST_LEVELS
        {
            return Err(wrong(format!(
                "it has columns that lie {levels} levels deep in others; {MOST_LEVELS} are read"
            )));
        }
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened);
        let reader = reader.and_then(ParquetRecordBatchReaderBuilder::build);
        let reader = reader.map_err(|error| wrong(format!("it is no Parquet file: {error}")))?;
        for batch in reader {
            let batch = batch.map_err(|error| wrong(error.to_string()))?;
            rows.add(&batch, labelled).map_err(wrong)?;
        }
        fs::remove_file(&path).map_err(disk)?;
    }
    let table = Table::dense(rows.columns, rows.values)?;
    Ok(match labelled {
        true => table.labelled(rows.labels)?,
        false => table,
    })
}

#[derive(Default)]
struct Rows {
    columns: usize,
    values: Vec<f32>,
    labels: Vec<f32>,
}

impl Rows {
    fn add(&mut self, batch: &RecordBatch, labelled: bool) -> Result<(), String> {
        let skipped = usize::from(labelled);
        let columns = batch.num_columns().saturating_sub(skipped);
        if columns == 0 {
            return Err("it has no columns to learn from".to_owned());
        }
        if self.columns != 0 && self.columns != columns {
            return Err(format!(
                "it has {columns} columns to learn from, the files before it {}",
                self.columns
            ));
        }
        self.columns = columns;
        let mut numbers = Vec::with_capacity(batch.num_columns());
        for (column, field) in batch.columns().iter().zip(batch.schema().fields()) {
            let named = |why: &str| format!("column {:?} {why}", field.name());
            let kind = field.data_type();
            if !(kind.is_numeric() || matches!(kind, DataType::Boolean)) {
                return Err(named(&format!("has values of type {kind}, not numbers")));
            }
            let cast = arrow_cast::cast(column, &DataType::Float32);
            numbers.push(cast.map_err(|error| named(&format!("cannot be read: {error}")))?);
        }
        // What is not there is a missing value.
        let value = |column: usize, row: usize| {
            let values = numbers[column].as_primitive::<Float32Type>();
            match values.is_null(row) {
                true => f32::NAN,
                false => values.value(row),
            }
        };
        for row in 0..batch.num_rows() {
            if labelled {
                self.labels.push(value(0, row));
            }
            self.values
                .extend((0..columns).map(|column| value(column + skipped, row)));
        }
        Ok(())
    }
}
