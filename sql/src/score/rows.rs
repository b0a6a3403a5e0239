//! The rows of text files. To scoring, all of them: one that is not as the others is a row with nothing but what could be read of
//! it, and [`WRONG`] says what is wrong with it. A query over lines of JSON (`FROM 'x.jsonl'`) ends there and says
//! where, or leaves such rows out, of CSV too ([`BadRows`](crate::engine::BadRows)).

use crate::bad::SKIPPING;
use crate::csv::{self, Uneven};
use crate::files::{Format, Typing};
use crate::kinds::{Columns, Members, Object};
use bytes::Bytes;
use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, StringBuilder,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
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
/// The column of the lines themselves, of JSON that becomes JSON again.
pub(crate) const LINE: &str = "\u{1}line";
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
/// What some editors write before the first line.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What the files' rows have.
///
/// # Errors
/// A file cannot be read, or has no columns.
pub(super) async fn columns(
    store: &dyn ObjectStore,
    files: &[Key],
    format: Format,
    typing: Typing,
) -> Result<SchemaRef> {
    let known = match format {
        Format::JsonLines => json_schema(store, files, typing).await?,
        _ => {
            let separator = format.separator();
            csv::schema(store, files, separator, typing, Uneven::PassedOver).await?
        }
    };
    match known
        .fields()
        .iter()
        .find(|field| [WRONG, LINE].contains(&field.name().as_str()))
    {
        Some(field) => plan_err!("there is a column {:?}", field.name()),
        None => Ok(known),
    }
}

/// Columns of lines of JSON that are kept as they are: what is asked about, and [`LINE`].
pub(super) fn kept(about: &[String]) -> SchemaRef {
    let column = |name: &str| Field::new(name, DataType::Utf8, true);
    let about = about.iter().map(|name| column(name));
    Arc::new(Schema::new(about.chain([column(LINE)]).collect::<Vec<_>>()))
}

/// The rows of files as a table, in their order: of what they have the `known` columns, and [`WRONG`] as the last one.
/// Lines of JSON that have one of the `taken` members are wrong.
///
/// A range is for a single file: of CSV it begins and ends where rows do, of lines of JSON it has the lines that begin in it.
///
/// # Errors
/// There is no such table.
pub(super) fn table(
    store: Arc<dyn ObjectStore>,
    files: Vec<Key>,
    format: Format,
    known: SchemaRef,
    taken: Vec<String>,
    range: Option<Range<u64>>,
) -> Result<(Arc<dyn TableProvider>, Arc<Wrong>)> {
    let mut fields: Vec<Field> = known.fields().iter().map(|one| (**one).clone()).collect();
    fields.push(Field::new(WRONG, DataType::Utf8, true));
    let wrong = Arc::new(Wrong::default());
    let part = |file| Part {
        file,
        range: range.clone(),
        keys: Vec::new(),
    };
    let rows = Rows {
        bad: Bad::Shown(wrong.clone()),
        store,
        parts: files.into_iter().map(part).collect(),
        format,
        known,
        taken: taken.into(),
        schema: Arc::new(Schema::new(fields)),
        order: None,
    };
    let table = StreamingTable::try_new(rows.schema.clone(), vec![Arc::new(rows)])?;
    Ok((Arc::new(table), wrong))
}

/// Some rows of a table of text files, for a query. Where nobody counts those that are none, the first ends it; else they are
/// left out.
///
/// They have the columns `schema`: each is one of the file's, `known`, or one of the keys of a part, as `order` says. Of CSV
/// `known` is all that the file has.
pub(crate) fn of_query(
    store: Arc<dyn ObjectStore>,
    parts: Vec<Part>,
    format: Format,
    known: SchemaRef,
    schema: SchemaRef,
    order: Vec<Origin>,
    left_out: Option<Arc<Wrong>>,
) -> Arc<dyn PartitionStream> {
    Arc::new(Rows {
        bad: left_out.map_or(Bad::Ends, Bad::LeftOut),
        store,
        parts,
        format,
        known,
        taken: Arc::default(),
        schema,
        order: Some(order.into()),
    })
}

/// Rows of one file.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) file: Key,
    /// Where they begin.
    pub(crate) range: Option<Range<u64>>,
    /// What its folders' names say.
    pub(crate) keys: Vec<ScalarValue>,
}

/// Where a column is from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    /// This one of the file's.
    File(usize),
    /// This one of the keys.
    Key(usize),
}

/// The first row of a file of CSV that is none: its line, from 1, and what is wrong with it.
///
/// # Errors
/// The file cannot be read.
pub(crate) async fn first_bad(
    store: &dyn ObjectStore,
    file: &Key,
    separator: u8,
    known: &SchemaRef,
) -> Result<Option<(u64, String)>> {
    let mut records = Records::new(store, file, separator, None).await?;
    while let Some(batch) = records.batch(file, known).await? {
        let bad = batch.wrong.into_iter().zip(batch.begun);
        if let Some((why, line)) = bad.filter_map(|(why, line)| Some((why?, line))).next() {
            return Ok(Some((line, why)));
        }
    }
    Ok(None)
}

/// What becomes of rows that are none.
#[derive(Clone)]
enum Bad {
    /// They are counted, and have a column that says what is wrong with them.
    Shown(Arc<Wrong>),
    /// The first ends the query.
    Ends,
    /// They are counted and left out.
    LeftOut(Arc<Wrong>),
}

/// Counts rows that are wrong.
#[derive(Debug, Default)]
pub(crate) struct Wrong(Mutex<(usize, Vec<String>)>);

impl Wrong {
    /// How many there were, and what is wrong with a few.
    pub(crate) fn counted(&self) -> (usize, Vec<String>) {
        self.0.lock().clone()
    }

    /// Counts one, and keeps what is said of it where more is to be kept.
    fn add_one(&self, why: impl FnOnce() -> String) {
        let mut counted = self.0.lock();
        counted.0 += 1;
        if counted.1.len() < EXAMPLES {
            counted.1.push(why());
        }
    }

    /// Whether enough was said.
    fn is_full(&self) -> bool {
        self.0.lock().1.len() >= EXAMPLES
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
///
/// # Errors
/// They cannot be read.
pub(crate) async fn json_schema(
    store: &dyn ObjectStore,
    files: &[Key],
    typing: Typing,
) -> Result<SchemaRef> {
    let mut object = Object::default();
    let mut seen = 0;
    'files: for file in files {
        let mut lines = Lines::new(store, file, None).await?;
        while let Some(line) = lines.next(file).await? {
            if let Ok(members) = serde_json::from_slice::<Members>(&line.text) {
                object.add(&members);
                seen += 1;
            }
            if seen >= LINES {
                break 'files;
            }
        }
    }
    let schema = object.schema();
    if typing == Typing::Inferred {
        return Ok(schema);
    }
    let text = |field: &Arc<Field>| Field::new(field.name(), DataType::Utf8, true);
    let texts: Vec<Field> = schema.fields().iter().map(text).collect();
    Ok(Arc::new(Schema::new(texts)))
}

struct Rows {
    bad: Bad,
    store: Arc<dyn ObjectStore>,
    parts: Vec<Part>,
    format: Format,
    /// What is read of the files.
    known: SchemaRef,
    /// Members that lines must not have.
    taken: Arc<[String]>,
    /// What rows have: that and [`WRONG`], or what `order` says.
    schema: SchemaRef,
    order: Option<Arc<[Origin]>>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.debug_struct("Rows")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reading = Reading {
            bad: self.bad.clone(),
            store: self.store.clone(),
            left: self.parts.iter().cloned().collect(),
            format: self.format,
            known: self.known.clone(),
            taken: self.taken.clone(),
            schema: self.schema.clone(),
            order: self.order.clone(),
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
    bad: Bad,
    store: Arc<dyn ObjectStore>,
    left: VecDeque<Part>,
    format: Format,
    known: SchemaRef,
    taken: Arc<[String]>,
    schema: SchemaRef,
    order: Option<Arc<[Origin]>>,
    file: Option<(Part, File)>,
}

/// Values of rows, and what is wrong with each.
struct Batch {
    values: Vec<ArrayRef>,
    wrong: Vec<Option<String>>,
    /// Where each begins: of lines of JSON the byte, of CSV the line, from 1.
    begun: Vec<u64>,
}

enum File {
    Csv(Box<Records>),
    Json(Lines),
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.file.is_none() {
                let Some(part) = self.left.pop_front() else {
                    return Ok(None);
                };
                let range = part.range.clone();
                let file = match self.format {
                    Format::JsonLines => {
                        File::Json(Lines::new(&*self.store, &part.file, range).await?)
                    }
                    format => {
                        let separator = format.separator();
                        let records = Records::new(&*self.store, &part.file, separator, range);
                        File::Csv(Box::new(records.await?))
                    }
                };
                self.file = Some((part, file));
            }
            let Some((part, file)) = &mut self.file else {
                continue;
            };
            let batch = match file {
                File::Csv(records) => records.batch(&part.file, &self.known).await?,
                File::Json(lines) => lines.batch(&part.file, &self.known, &self.taken).await?,
            };
            let Some(batch) = batch else {
                self.file = None;
                continue;
            };
            let rows = batch.wrong.len();
            if let Bad::Shown(counted) = &self.bad {
                counted.add(&batch.wrong);
                let mut columns = batch.values;
                columns.push(Arc::new(StringArray::from(batch.wrong)));
                return Ok(Some(self.batch(columns, rows)?));
            }
            let mut columns = Vec::with_capacity(self.schema.fields().len());
            for from in self.order.iter().flat_map(|order| order.iter()) {
                columns.push(match from {
                    Origin::File(at) => batch.values[*at].clone(),
                    Origin::Key(at) => part.keys[*at].to_array_of_size(rows)?,
                });
            }
            let file = part.file.clone();
            let good: BooleanArray = batch.wrong.iter().map(|why| Some(why.is_none())).collect();
            for (why, at) in batch.wrong.iter().zip(&batch.begun) {
                let Some(why) = why else { continue };
                match &self.bad {
                    // The place of one that nobody hears of is not looked for.
                    Bad::LeftOut(counted) if counted.is_full() => counted.add_one(String::new),
                    Bad::LeftOut(counted) => {
                        let line = line(&*self.store, &file, self.format, *at).await?;
                        counted.add_one(|| format!("{file}, line {line}: {why}"));
                    }
                    _ => {
                        let line = line(&*self.store, &file, self.format, *at).await?;
                        return exec_err!("{file} cannot be read: line {line}: {why}; {SKIPPING}");
                    }
                }
            }
            let rows = self.batch(columns, rows)?;
            return Ok(Some(match good.true_count() == good.len() {
                true => rows,
                false => filter_record_batch(&rows, &good)?,
            }));
        }
    }

    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        Ok(batch?)
    }
}

/// The line at which a row begins, from 1, by what is known of its beginning ([`Batch::begun`]).
async fn line(store: &dyn ObjectStore, file: &Key, format: Format, begun: u64) -> Result<u64> {
    match format {
        Format::JsonLines => line_at(store, file, begun).await,
        _ => Ok(begun),
    }
}

/// The number of the line that begins at a byte, from 1.
async fn line_at(store: &dyn ObjectStore, file: &Key, at: u64) -> Result<u64> {
    let mut before = Chunks::new(store, file, Some(0..at)).await?;
    let mut number = 1;
    while before.fill().await? {
        number += lines(&std::mem::take(&mut before.bytes));
    }
    Ok(number)
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
    /// The line of the next byte, from 1 where the bytes begin; lines end with LF.
    line: u64,
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
            line: 1,
        })
    }

    /// Reads the next record: how many values it has, whose ends and text are in the buffers then, and the line at which it
    /// begins.
    async fn next(&mut self, file: &Key) -> Result<Option<(usize, u64)>> {
        use csv_core::ReadRecordResult as Read;
        let (mut text, mut values) = (0, 0);
        let mut begun = None;
        while !self.ended {
            // Without bytes, it reads the end.
            self.chunks.fill().await?;
            if begun.is_none() {
                let ends = self.chunks.bytes.iter();
                let ends = ends
                    .take_while(|byte| matches!(byte, b'\n' | b'\r'))
                    .count();
                self.line += lines(&self.chunks.bytes.split_to(ends));
                if self.chunks.bytes.is_empty() && self.chunks.fill().await? {
                    continue;
                }
                begun = Some(self.line);
            }
            let bytes = &self.chunks.bytes;
            let (read, taken, written, ends) =
                self.reader
                    .read_record(bytes, &mut self.text[text..], &mut self.ends[values..]);
            self.line += lines(&bytes[..taken]);
            self.chunks.bytes = bytes.slice(taken..);
            text += written;
            values += ends;
            match read {
                Read::Record => return Ok(Some((values, begun.unwrap_or(self.line)))),
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
            let values = self.next(file).await?.map(|(values, _)| values);
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
        let mut begun = Vec::new();
        let mut bytes = 0;
        while wrong.len() < BATCH && bytes < MOST {
            let Some((values, line)) = self.next(file).await? else {
                break;
            };
            begun.push(line);
            bytes += values.checked_sub(1).map_or(0, |last| self.ends[last]);
            let mut why = (values != width).then(|| csv::uneven(values, width));
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
        Ok(Some(Batch {
            values: arrays,
            wrong,
            begun,
        }))
    }
}

/// Ends of lines.
fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
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
    /// The next byte.
    at: u64,
    /// Where lines may not begin any more.
    until: u64,
    /// What there was before is not a whole line.
    within: bool,
}

/// A line without its end.
struct Line {
    text: Vec<u8>,
    /// The byte at which it begins.
    begun: u64,
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
            at: from,
            until: if empty { from } else { range.end },
            within,
        })
    }

    /// Takes bytes to the end of a line, or to the end; whether the line has one.
    async fn take(&mut self, file: &Key, line: &mut Vec<u8>) -> Result<bool> {
        while self.chunks.fill().await? {
            let bytes = &mut self.chunks.bytes;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let some = bytes.split_to(end.map_or(bytes.len(), |end| end + 1));
            self.at += some.len() as u64;
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
    async fn next(&mut self, file: &Key) -> Result<Option<Line>> {
        if std::mem::take(&mut self.within) {
            self.take(file, &mut Vec::new()).await?;
        }
        while self.at < self.until {
            let begun = self.at;
            let mut text = Vec::new();
            let more = self.take(file, &mut text).await?;
            text.truncate(text.trim_ascii_end().len());
            if begun == 0 && text.starts_with(MARK) {
                text.drain(..MARK.len());
            }
            if !text.is_empty() {
                return Ok(Some(Line { text, begun }));
            }
            if !more {
                break;
            }
        }
        Ok(None)
    }

    async fn batch(
        &mut self,
        file: &Key,
        known: &SchemaRef,
        taken: &[String],
    ) -> Result<Option<Batch>> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        while lines.len() < BATCH && bytes < MOST {
            let Some(line) = self.next(file).await? else {
                break;
            };
            bytes += line.text.len();
            lines.push(line);
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let some: Vec<usize> = (0..known.fields().len())
            .filter(|at| known.field(*at).name() != LINE)
            .collect();
        let named = Arc::new(known.project(&some)?);
        let columns = Columns::new(named.fields());
        let (mut fitted, mut wrong) = (Vec::new(), Vec::new());
        for line in &mut lines {
            let mut object = Vec::new();
            let why = match serde_json::from_slice::<Members>(&line.text) {
                Ok(members) => {
                    let why = columns.fit(&members, &mut object);
                    why.or_else(|| {
                        let has = |name: &&String| members.0.iter().any(|(one, _)| one == *name);
                        let name = taken.iter().find(has)?;
                        Some(format!("the line has a member `{name}` already"))
                    })
                }
                Err(error) => {
                    object.extend_from_slice(b"{}");
                    // What is none is not kept either.
                    line.text.clear();
                    Some(format!("the line is no row: {error}"))
                }
            };
            fitted.push(object);
            wrong.push(why);
        }
        let batch = match objects(&named, &fitted) {
            Ok(batch) => batch,
            // One spoils it: each alone, then.
            Err(_) => {
                let good = |line: &Vec<u8>| objects(&named, std::slice::from_ref(line));
                for (line, why) in fitted.iter_mut().zip(&mut wrong) {
                    if let Err(error) = good(line) {
                        *why = Some(format!("the line is no row: {error}"));
                        *line = b"{}".to_vec();
                    }
                }
                objects(&named, &fitted)?
            }
        };
        let mut values = batch.columns().to_vec();
        if some.len() < known.fields().len() {
            // What was read as JSON is UTF-8.
            let text = |line: &mut Line| {
                let text = String::from_utf8(std::mem::take(&mut line.text)).ok();
                text.filter(|text| !text.is_empty())
            };
            values.push(Arc::new(StringArray::from_iter(lines.iter_mut().map(text))));
        }
        Ok(Some(Batch {
            values,
            wrong,
            begun: lines.iter().map(|line| line.begun).collect(),
        }))
    }
}

/// Lines as rows, each one object.
fn objects(known: &SchemaRef, lines: &[Vec<u8>]) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(lines.len()));
    if known.fields().is_empty() {
        let none = RecordBatch::try_new_with_options(known.clone(), Vec::new(), &options);
        return Ok(none?);
    }
    let mut decoder = ReaderBuilder::new(known.clone())
        .with_batch_size(lines.len().max(1))
        .build_decoder()?;
    for line in lines {
        decoder.decode(line)?;
    }
    match decoder.flush()? {
        Some(batch) if batch.num_rows() == lines.len() => Ok(batch),
        _ => exec_err!("the lines are not as many rows"),
    }
}
