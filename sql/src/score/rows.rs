//! The rows of text files, all of them: one that is not as the others is a row with nothing but what could be read of it, and
//! [`WRONG`] says what is wrong with it. A query over files (`FROM 'x.csv'`) ends there; scoring goes on.

use crate::csv::{self, Uneven};
use crate::files::{Format, Typing};
use bytes::Bytes;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringBuilder};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::arrow::json::reader::infer_json_schema_from_iterator;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The column that says what is wrong with a row. No file can have one of this name: names have no control characters here.
pub(super) const WRONG: &str = "\u{1}wrong";
/// Rows that are handed on at once, as everywhere here.
const BATCH: usize = 256;
/// Bytes of a row at most.
const MOST: usize = 64 << 20;
/// Values of a row at most.
const VALUES: usize = 1 << 20;
/// Sentences that are kept of those about rows.
const EXAMPLES: usize = 3;
/// Lines that are looked at to guess what columns are.
const LINES: usize = 1000;

/// The rows of files as a table, in their order, with [`WRONG`] as its last column.
///
/// A range is for a single file: of CSV it begins and ends where rows do, of lines of JSON it has the lines that begin in it.
///
/// # Errors
/// A file cannot be read, or has no columns.
pub(super) async fn table(
    store: Arc<dyn ObjectStore>,
    files: Vec<Key>,
    format: Format,
    typing: Typing,
    range: Option<Range<u64>>,
) -> Result<(Arc<dyn TableProvider>, Arc<Wrong>)> {
    let known = match format {
        Format::JsonLines => json_schema(&*store, &files).await?,
        _ => {
            let separator = format.separator();
            csv::schema(&*store, &files, separator, typing, Uneven::PassedOver).await?
        }
    };
    if let Some(field) = known.fields().iter().find(|field| field.name() == WRONG) {
        return plan_err!("there is a column {:?}", field.name());
    }
    let mut fields: Vec<Field> = known.fields().iter().map(|one| (**one).clone()).collect();
    fields.push(Field::new(WRONG, DataType::Utf8, true));
    let wrong = Arc::new(Wrong::default());
    let rows = Rows {
        wrong: wrong.clone(),
        store,
        files,
        range,
        format,
        known,
        schema: Arc::new(Schema::new(fields)),
    };
    let table = StreamingTable::try_new(rows.schema.clone(), vec![Arc::new(rows)])?;
    Ok((Arc::new(table), wrong))
}

/// Counts rows that are wrong.
#[derive(Debug, Default)]
pub(crate) struct Wrong(Mutex<(usize, Vec<String>)>);

impl Wrong {
    /// How many there were, and what is wrong with a few.
    pub(crate) fn counted(&self) -> (usize, Vec<String>) {
        self.0.lock().clone()
    }

    fn add(&self, rows: &[Option<String>]) {
        let mut counted = self.0.lock();
        for why in rows.iter().flatten() {
            counted.0 += 1;
            if counted.1.len() < EXAMPLES {
                counted.1.push(why.clone());
            }
        }
    }
}

/// What lines of JSON have, by the first of them that are objects.
async fn json_schema(store: &dyn ObjectStore, files: &[Key]) -> Result<SchemaRef> {
    let mut objects = Vec::new();
    for file in files {
        let mut lines = Lines::new(store, file, None).await?;
        while objects.len() < LINES {
            let Some(line) = lines.next(file).await? else {
                break;
            };
            let object = serde_json::from_slice::<serde_json::Value>(&line);
            objects.extend(object.ok().filter(serde_json::Value::is_object).map(Ok));
        }
    }
    Ok(Arc::new(infer_json_schema_from_iterator(
        objects.into_iter(),
    )?))
}

struct Rows {
    wrong: Arc<Wrong>,
    store: Arc<dyn ObjectStore>,
    files: Vec<Key>,
    range: Option<Range<u64>>,
    format: Format,
    /// What the files have.
    known: SchemaRef,
    /// That and [`WRONG`].
    schema: SchemaRef,
}

impl fmt::Debug for Rows {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.debug_struct("Rows")
            .field("files", &self.files)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reading = Reading {
            wrong: self.wrong.clone(),
            store: self.store.clone(),
            left: self.files.iter().cloned().collect(),
            range: self.range.clone(),
            format: self.format,
            known: self.known.clone(),
            schema: self.schema.clone(),
            file: None,
        };
        let batches = futures_util::stream::try_unfold(reading, |mut reading| async {
            let batch = reading.next().await?;
            Ok(batch.map(|batch| (batch, reading)))
        });
        Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            batches.boxed(),
        ))
    }
}

/// Files that are read one after the other.
struct Reading {
    wrong: Arc<Wrong>,
    store: Arc<dyn ObjectStore>,
    left: VecDeque<Key>,
    range: Option<Range<u64>>,
    format: Format,
    known: SchemaRef,
    schema: SchemaRef,
    file: Option<(Key, File)>,
}

/// Values of rows, and what is wrong with each.
type Batch = (Vec<ArrayRef>, Vec<Option<String>>);

enum File {
    Csv(Box<Records>),
    Json(Lines),
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.file.is_none() {
                let Some(key) = self.left.pop_front() else {
                    return Ok(None);
                };
                let file = match self.format {
                    Format::JsonLines => {
                        File::Json(Lines::new(&*self.store, &key, self.range.clone()).await?)
                    }
                    format => {
                        let separator = format.separator();
                        let range = self.range.clone();
                        let records = Records::new(&*self.store, &key, separator, range);
                        File::Csv(Box::new(records.await?))
                    }
                };
                self.file = Some((key, file));
            }
            let Some((key, file)) = &mut self.file else {
                continue;
            };
            let batch = match file {
                File::Csv(records) => records.batch(key, &self.known).await?,
                File::Json(lines) => lines.batch(key, &self.known).await?,
            };
            match batch {
                Some((mut columns, wrong)) => {
                    self.wrong.add(&wrong);
                    columns.push(Arc::new(StringArray::from(wrong)));
                    let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
                    return Ok(Some(batch));
                }
                None => self.file = None,
            }
        }
    }
}

/// Bytes of an object as they come.
struct Chunks {
    chunks: BoxStream<'static, object_store::Result<Bytes>>,
    /// What was not looked at yet.
    bytes: Bytes,
}

impl Chunks {
    async fn new(store: &dyn ObjectStore, file: &Key, range: Option<Range<u64>>) -> Result<Self> {
        let chunks = match range {
            // There is nothing to ask for.
            Some(range) if range.is_empty() => futures_util::stream::empty().boxed(),
            range => {
                let options = GetOptions {
                    range: range.map(GetRange::Bounded),
                    ..GetOptions::default()
                };
                store.get_opts(file, options).await?.into_stream()
            }
        };
        let bytes = Bytes::new();
        Ok(Self { chunks, bytes })
    }

    /// Sees to it that there are bytes, unless this is the end.
    async fn fill(&mut self) -> Result<bool> {
        while self.bytes.is_empty() {
            match self.chunks.try_next().await? {
                Some(bytes) => self.bytes = bytes,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// Records of CSV.
struct Records {
    chunks: Chunks,
    reader: csv_core::Reader,
    /// The next record is the one with the names.
    names: bool,
    text: Vec<u8>,
    ends: Vec<usize>,
    ended: bool,
}

impl Records {
    async fn new(
        store: &dyn ObjectStore,
        file: &Key,
        separator: u8,
        range: Option<Range<u64>>,
    ) -> Result<Self> {
        let names = range.as_ref().is_none_or(|range| range.start == 0);
        Ok(Self {
            chunks: Chunks::new(store, file, range).await?,
            reader: csv::reader(separator),
            names,
            text: vec![0; 4096],
            ends: vec![0; 64],
            ended: false,
        })
    }

    /// Reads the next record: how many values it has, whose ends and text are in the buffers then.
    async fn next(&mut self, file: &Key) -> Result<Option<usize>> {
        use csv_core::ReadRecordResult as Read;
        let (mut text, mut values) = (0, 0);
        while !self.ended {
            // Without bytes, it reads the end.
            self.chunks.fill().await?;
            let bytes = &self.chunks.bytes;
            let (read, taken, written, ends) =
                self.reader
                    .read_record(bytes, &mut self.text[text..], &mut self.ends[values..]);
            self.chunks.bytes = bytes.slice(taken..);
            text += written;
            values += ends;
            match read {
                Read::Record => return Ok(Some(values)),
                Read::InputEmpty => {}
                Read::OutputFull if self.text.len() >= MOST => {
                    return exec_err!("{file}: a row has more than {MOST} bytes");
                }
                Read::OutputFull => self.text.resize(self.text.len() * 2, 0),
                Read::OutputEndsFull if self.ends.len() >= VALUES => {
                    return exec_err!("{file}: a row has more than {VALUES} values");
                }
                Read::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                Read::End => self.ended = true,
            }
        }
        Ok(None)
    }

    /// A value of the record that was read.
    fn value(&self, at: usize) -> &[u8] {
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[from..self.ends[at]]
    }

    async fn batch(&mut self, file: &Key, known: &SchemaRef) -> Result<Option<Batch>> {
        let width = known.fields().len();
        if std::mem::take(&mut self.names) {
            let values = self.next(file).await?;
            let same = values == Some(width)
                && known
                    .fields()
                    .iter()
                    .enumerate()
                    .all(|(at, field)| self.value(at) == field.name().as_bytes());
            // An empty file has no names either.
            if values.is_some() && !same {
                return exec_err!("{file}: its columns are not those of the files before");
            }
        }
        let mut columns: Vec<StringBuilder> =
            (0..width).map(|_| StringBuilder::default()).collect();
        let mut wrong: Vec<Option<String>> = Vec::new();
        let mut bytes = 0;
        while wrong.len() < BATCH && bytes < MOST {
            let Some(values) = self.next(file).await? else {
                break;
            };
            bytes += values.checked_sub(1).map_or(0, |last| self.ends[last]);
            let mut why = (values != width).then(|| {
                let plural = if values == 1 { "" } else { "s" };
                format!("the row has {values} value{plural}, the table {width} columns")
            });
            for (at, column) in columns.iter_mut().enumerate() {
                let value = match at < values {
                    true => self.value(at),
                    false => &[],
                };
                match std::str::from_utf8(value) {
                    Ok("") => column.append_null(),
                    Ok(text) => column.append_value(text),
                    Err(_) => {
                        column.append_value(String::from_utf8_lossy(value));
                        let name = known.field(at).name();
                        why.get_or_insert_with(|| format!("`{name}` is no UTF-8"));
                    }
                }
            }
            wrong.push(why);
        }
        if wrong.is_empty() {
            return Ok(None);
        }
        let mut arrays = Vec::with_capacity(width + 1);
        for (mut column, field) in columns.into_iter().zip(known.fields()) {
            arrays.push(typed(column.finish(), field, &mut wrong)?);
        }
        Ok(Some((arrays, wrong)))
    }
}

/// Texts as values of a column; one that is none is null, and its row wrong.
fn typed(texts: StringArray, field: &Field, wrong: &mut [Option<String>]) -> Result<ArrayRef> {
    if field.data_type() == &DataType::Utf8 {
        return Ok(Arc::new(texts));
    }
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let values = cast_with_options(&texts, field.data_type(), &options)?;
    for (row, why) in wrong.iter_mut().enumerate() {
        if values.is_null(row) && !texts.is_null(row) {
            let text: String = texts.value(row).chars().take(40).collect();
            let kind = field.data_type();
            why.get_or_insert_with(|| {
                format!("`{}` is {text:?}, which is no {kind}", field.name())
            });
        }
    }
    Ok(values)
}

/// Lines of JSON.
struct Lines {
    chunks: Chunks,
    /// Bytes until which lines may begin.
    left: u64,
    /// What there was before is not a whole line.
    within: bool,
}

impl Lines {
    async fn new(store: &dyn ObjectStore, file: &Key, range: Option<Range<u64>>) -> Result<Self> {
        let length = store.head(file).await?.size;
        let range = range.unwrap_or(0..length);
        // Whether a line begins at the first byte, the one before it says; the last line ends where it does.
        let within = range.start > 0;
        let from = range.start.saturating_sub(1);
        let empty = range.is_empty();
        let chunks = Chunks::new(store, file, Some(if empty { 0..0 } else { from..length }));
        Ok(Self {
            chunks: chunks.await?,
            left: if empty { 0 } else { range.end - from },
            within,
        })
    }

    /// Takes bytes to the end of a line, or to the end; whether the line has one.
    async fn take(&mut self, file: &Key, line: &mut Vec<u8>) -> Result<bool> {
        while self.chunks.fill().await? {
            let bytes = &mut self.chunks.bytes;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let some = bytes.split_to(end.map_or(bytes.len(), |end| end + 1));
            self.left = self.left.saturating_sub(some.len() as u64);
            if line.len() + some.len() > MOST {
                return exec_err!("{file}: a row has more than {MOST} bytes");
            }
            line.extend_from_slice(&some);
            if end.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next line that is not blank.
    async fn next(&mut self, file: &Key) -> Result<Option<Vec<u8>>> {
        if std::mem::take(&mut self.within) {
            self.take(file, &mut Vec::new()).await?;
        }
        while self.left > 0 {
            let mut line = Vec::new();
            let more = self.take(file, &mut line).await?;
            line.truncate(line.trim_ascii_end().len());
            if !line.is_empty() {
                return Ok(Some(line));
            }
            if !more {
                break;
            }
        }
        Ok(None)
    }

    async fn batch(&mut self, file: &Key, known: &SchemaRef) -> Result<Option<Batch>> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        while lines.len() < BATCH && bytes < MOST {
            let Some(line) = self.next(file).await? else {
                break;
            };
            bytes += line.len();
            lines.push(line);
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let mut wrong = vec![None; lines.len()];
        let batch = match objects(known, &lines) {
            Ok(batch) => batch,
            // One spoils it: each alone, then.
            Err(_) => {
                let good = |line: &Vec<u8>| objects(known, std::slice::from_ref(line));
                for (line, why) in lines.iter_mut().zip(&mut wrong) {
                    if let Err(error) = good(line) {
                        *why = Some(format!("the line is no row: {error}"));
                        *line = b"{}".to_vec();
                    }
                }
                objects(known, &lines)?
            }
        };
        Ok(Some((batch.columns().to_vec(), wrong)))
    }
}

/// Lines as rows: each must be one object.
fn objects(known: &SchemaRef, lines: &[Vec<u8>]) -> Result<RecordBatch> {
    let mut decoder = ReaderBuilder::new(known.clone())
        .with_batch_size(lines.len().max(1))
        .build_decoder()?;
    for (row, line) in lines.iter().enumerate() {
        let taken = decoder.decode(line)?;
        // Two objects in a line, or half of one.
        if taken != line.len() || decoder.has_partial_record() || decoder.len() != row + 1 {
            return exec_err!("a line must be one JSON object");
        }
    }
    let batch = decoder.flush()?;
    Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(known.clone())))
}
