//! What DataFusion does not know of CSV: where a record ends whose values have line ends, and so what its columns are. It
//! looks at a sample that it cuts at any line end.

use crate::bad::SKIPPING;
use crate::files::Typing;
use datafusion::arrow::csv::reader::Format;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result, plan_err};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;

/// Bytes of a file that are looked at to guess what its columns are; of a longer first record, as many as it has up to
/// [`MOST`].
const SAMPLE: u64 = 1 << 20;
const MOST: u64 = 64 << 20;
/// Records of all files that are looked at.
const RECORDS: usize = 1000;

/// What records are that are not as long as the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Uneven {
    /// An error.
    Refused,
    /// Nothing that tells of columns.
    PassedOver,
}

/// The columns of files, in the order of these.
///
/// # Errors
/// One cannot be read, or its records are not as long as the first and this is refused.
pub(crate) async fn schema(
    store: &dyn ObjectStore,
    files: &[Key],
    separator: u8,
    typing: Typing,
    uneven: Uneven,
) -> Result<SchemaRef> {
    let format = Format::default()
        .with_header(true)
        .with_delimiter(separator);
    let mut columns: Vec<(String, DataType)> = Vec::new();
    let mut left = RECORDS;
    for file in files {
        let mut sample = sample(store, file, separator).await?;
        match uneven {
            Uneven::PassedOver => sample = even(&sample, separator)?,
            Uneven::Refused => check(file, &sample, separator, left)?,
        }
        let (found, records) = format
            .infer_schema(&*sample, Some(left))
            .map_err(|error| DataFusionError::from(error).context(format!("{file} is no table")))?;
        for (at, field) in found.fields().iter().enumerate() {
            let kind = match typing {
                Typing::Inferred => field.data_type(),
                Typing::Texts => &DataType::Utf8,
            };
            match columns.get_mut(at) {
                Some((name, known)) if name == field.name() => *known = both(known, kind),
                Some(_) => {
                    return plan_err!("{file}: its columns are not those of the files before");
                }
                None => columns.push((field.name().clone(), kind.clone())),
            }
        }
        left = left.saturating_sub(records);
        if left == 0 {
            break;
        }
    }
    let field = |(name, kind): (String, DataType)| {
        let kind = match kind {
            // Nothing but empty values.
            DataType::Null => DataType::Utf8,
            kind => kind,
        };
        Field::new(name, kind, true)
    };
    Ok(Arc::new(Schema::new(
        columns.into_iter().map(field).collect::<Vec<_>>(),
    )))
}

/// Refuses records among the first that are not as long as the first, with the file and the line.
fn check(file: &Key, sample: &[u8], separator: u8, most: usize) -> Result<()> {
    let mut records = ::csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(sample);
    let mut width = None;
    for record in records.byte_records().take(most.saturating_add(1)) {
        let record = record.map_err(|error| DataFusionError::External(error.into()))?;
        let (values, columns) = (record.len(), *width.get_or_insert(record.len()));
        if values != columns {
            let line = record.position().map_or(0, ::csv::Position::line);
            let why = uneven(values, columns);
            return plan_err!("{file} cannot be read: line {line}: {why}; {SKIPPING}");
        }
    }
    Ok(())
}

/// What is wrong with a record that is not as long as the first.
pub(crate) fn uneven(values: usize, columns: usize) -> String {
    let plural = if values == 1 { "" } else { "s" };
    format!("the row has {values} value{plural}, the table {columns} columns")
}

/// The records that are as long as the first and are UTF-8.
fn even(sample: &[u8], separator: u8) -> Result<Vec<u8>> {
    let unread = |error: ::csv::Error| DataFusionError::External(error.into());
    let mut records = ::csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(sample);
    let mut kept = ::csv::WriterBuilder::new()
        .delimiter(separator)
        .from_writer(Vec::with_capacity(sample.len()));
    let mut width = None;
    for record in records.byte_records() {
        let record = record.map_err(unread)?;
        let whole = record
            .iter()
            .all(|value| std::str::from_utf8(value).is_ok());
        if *width.get_or_insert(record.len()) == record.len() && whole {
            kept.write_byte_record(&record).map_err(unread)?;
        }
    }
    let kept = kept.into_inner();
    kept.map_err(|error| DataFusionError::IoError(error.into_error()))
}

/// What holds values of both kinds.
fn both(one: &DataType, other: &DataType) -> DataType {
    match (one, other) {
        (one, other) if one == other => one.clone(),
        (DataType::Null, kind) | (kind, DataType::Null) => kind.clone(),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => {
            DataType::Float64
        }
        _ => DataType::Utf8,
    }
}

/// The first records of a file, whole ones.
async fn sample(store: &dyn ObjectStore, file: &Key, separator: u8) -> Result<Vec<u8>> {
    let length = store.head(file).await?.size;
    let mut wanted = SAMPLE;
    loop {
        let until = wanted.min(length);
        if until == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = store.get_range(file, 0..until).await?.to_vec();
        if until == length {
            return Ok(bytes);
        }
        let mut records = Records::new(separator);
        let (mut count, mut end) = (0, 0);
        records.read(&bytes, &mut |at| {
            count += 1;
            end = at;
        });
        // The names and a row at least.
        if count > 1 {
            bytes.truncate(usize::try_from(end).unwrap_or(bytes.len()));
            return Ok(bytes);
        }
        if wanted >= MOST {
            return plan_err!("{file}: its first records have more than {MOST} bytes");
        }
        wanted *= 8;
    }
}

/// What knows values and ends of records: LF, CR, or both.
pub(crate) fn reader(separator: u8) -> csv_core::Reader {
    csv_core::ReaderBuilder::new().delimiter(separator).build()
}

/// Finds the ends of CSV's records, in a few bytes of memory however long a record is.
pub(crate) struct Records {
    reader: csv_core::Reader,
    output: Vec<u8>,
    ends: Vec<usize>,
    /// Bytes that were read.
    pub(crate) at: u64,
    /// Something of a record was read.
    open: bool,
}

impl Records {
    pub(crate) fn new(separator: u8) -> Self {
        Self {
            reader: reader(separator),
            output: vec![0; 4096],
            ends: vec![0; 256],
            at: 0,
            open: false,
        }
    }

    /// Reads some more, and tells where records end.
    pub(crate) fn read(&mut self, mut bytes: &[u8], ended: &mut impl FnMut(u64)) {
        use csv_core::ReadRecordResult as Read;
        while !bytes.is_empty() {
            let (read, taken, _, _) =
                self.reader
                    .read_record(bytes, &mut self.output, &mut self.ends);
            self.at += taken as u64;
            let some = &bytes[..taken];
            bytes = &bytes[taken..];
            // Line ends between records are read and are none.
            self.open |= some.iter().any(|byte| !matches!(byte, b'\n' | b'\r'));
            match read {
                Read::Record => {
                    if std::mem::take(&mut self.open) {
                        ended(self.at);
                    }
                }
                Read::InputEmpty | Read::OutputFull | Read::OutputEndsFull => {}
                Read::End => break,
            }
        }
    }

    /// Whether a record without a line end was at the end.
    pub(crate) fn end(self) -> bool {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &[u8], chunk: usize) -> Vec<u64> {
        let mut records = Records::new(b',');
        let mut ends = Vec::new();
        for some in text.chunks(chunk) {
            records.read(some, &mut |at| ends.push(at));
        }
        assert_eq!(records.at, text.len() as u64, "every byte is read");
        let at = records.at;
        if records.end() {
            ends.push(at);
        }
        ends
    }

    #[test]
    fn records_end_where_they_do_for_a_reader_of_csv() {
        for text in [
            &b"a,b\n1,2\n3,4\n"[..],
            b"a,b\r\n1,2\r\n3,4",
            b"a,b\n\"x\ny\",2\n\"say \"\"hi\"\"\n\",\"\"\n\n\nlast,1",
            b"a,b\n5\" disk,\"2\"\nx,y\n",
            b"\"only\"",
            b"",
        ] {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(text);
            let records = reader.byte_records().filter_map(Result::ok).count();
            for chunk in [1, 2, 3, 7, 1000] {
                let ends = ends(text, chunk);
                assert_eq!(ends.len(), records, "{}", String::from_utf8_lossy(text));
                // Cut there, each part has the records that the whole has.
                let mut from = 0;
                for end in ends {
                    let part = &text[from..end as usize];
                    let mut reader = csv::ReaderBuilder::new()
                        .has_headers(false)
                        .flexible(true)
                        .from_reader(part);
                    let count = reader.byte_records().filter_map(Result::ok).count();
                    assert_eq!(count, 1, "{}", String::from_utf8_lossy(part));
                    from = end as usize;
                }
            }
        }
    }

    #[test]
    fn a_record_longer_than_any_buffer_is_one() {
        let long = format!("a,\"{}\"\nb,c\n", "x\n".repeat(100_000));
        let all = long.len() as u64;
        assert_eq!(ends(long.as_bytes(), 4096), [all - 4, all]);
        let wide = format!("{}\nb\n", ",".repeat(10_000));
        assert_eq!(ends(wide.as_bytes(), 100), [10_001, 10_003]);
    }
}
