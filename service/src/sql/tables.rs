//! Tables of this server: `topic('reviews')`, `jobs()`, `streams()`, `predictions()`.
//!
//! A query reads of a topic what is there and committed when it is planned; conditions on `offset`, `partition` and
//! `timestamp` are looked up and not read through.

mod predictions;

use crate::app::App;
use crate::rest::jobs::view;
use crate::rest::streams::StreamView;
use async_trait::async_trait;
use escala_batch::runner::Runner;
use escala_batch::store::{Filter, Place};
use escala_sql::arrow::array::builder::{
    BinaryBuilder, Int32Builder, Int64Builder, ListBuilder, StringBuilder, StructBuilder,
    TimestampMillisecondBuilder,
};
use escala_sql::arrow::array::{ArrayRef, RecordBatch};
use escala_sql::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use escala_sql::sources::{Bounds, Part, Refused, Rows, Source, Sources, from_json, time};
use escala_stream_ingest::flow::Flows;
use escala_stream_ingest::log::{Isolation, Log};
use escala_stream_ingest::records::{self, Record, extent};
use futures_util::{StreamExt, stream};
use predictions::Predictions;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

/// Bytes of batches that are read of a partition at once; a batch is read whole.
const TURN: usize = 1 << 20;
/// Records of a batch of rows, and bytes after which it ends.
const ROWS: usize = 8192;
const BYTES: usize = 4 << 20;
/// Jobs that are read at once.
const JOBS: usize = 500;

/// Those that a server has.
pub fn of(app: &App) -> Vec<Arc<dyn Sources>> {
    let mut sources: Vec<Arc<dyn Sources>> = Vec::new();
    if let Some(log) = &app.log {
        sources.push(Arc::new(Topics(log.clone())));
    }
    if let Some(jobs) = &app.jobs {
        sources.push(Arc::new(Jobs(jobs.clone())));
    }
    if let Some(flows) = &app.flows {
        sources.push(Arc::new(Streams(flows.clone())));
        if let Some(log) = &app.log {
            sources.push(Arc::new(Predictions::new(log.clone(), flows.clone())));
        }
    }
    sources
}

fn said(error: impl fmt::Display) -> Refused {
    error.to_string()
}

fn schema(fields: impl IntoIterator<Item = (&'static str, DataType)>) -> SchemaRef {
    let field = |(name, kind)| Field::new(name, kind, true);
    Arc::new(Schema::new(
        fields.into_iter().map(field).collect::<Vec<_>>(),
    ))
}

/// `topic('name')`: the records of a topic.
struct Topics(Log);

impl fmt::Debug for Topics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("topics")
    }
}

fn header() -> Fields {
    let text = |name| Field::new(name, DataType::Utf8, true);
    vec![text("name"), text("value")].into()
}

impl Sources for Topics {
    fn name(&self) -> &'static str {
        "topic"
    }

    fn open(&self, arguments: &[&str]) -> Result<Arc<dyn Source>, Refused> {
        let [name] = arguments else {
            return Err("it takes the name of a topic".to_owned());
        };
        self.0.topic(name).map_err(said)?;
        let headers = Field::new_list_field(DataType::Struct(header()), true);
        Ok(Arc::new(Topic {
            log: self.0.clone(),
            name: (*name).into(),
            columns: schema([
                ("partition", DataType::Int32),
                ("offset", DataType::Int64),
                ("timestamp", time()),
                ("key", DataType::Utf8),
                ("value", DataType::Utf8),
                ("key_bytes", DataType::Binary),
                ("value_bytes", DataType::Binary),
                ("headers", DataType::List(Arc::new(headers))),
            ]),
        }))
    }
}

/// A topic as a table.
#[derive(Clone)]
struct Topic {
    log: Log,
    name: Arc<str>,
    columns: SchemaRef,
}

impl fmt::Debug for Topic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "topic {}", self.name)
    }
}

#[async_trait]
impl Source for Topic {
    fn columns(&self) -> SchemaRef {
        self.columns.clone()
    }

    async fn parts(&self, bounds: &Bounds) -> Result<Vec<Arc<dyn Part>>, Refused> {
        let (topic, bounds) = (self.clone(), bounds.clone());
        // Times are looked up on the disk.
        let parts = tokio::task::spawn_blocking(move || topic.extents(&bounds));
        parts.await.map_err(said)?
    }
}

impl Topic {
    /// What is read of each partition.
    fn extents(&self, bounds: &Bounds) -> Result<Vec<Arc<dyn Part>>, Refused> {
        let mut parts: Vec<Arc<dyn Part>> = Vec::new();
        for span in Span::all(&self.log, &self.name, bounds)? {
            parts.push(Arc::new(Extent {
                columns: self.columns.clone(),
                span,
            }));
        }
        if parts.is_empty() {
            // A table has parts, if only one that is empty.
            parts.push(Arc::new(Extent {
                columns: self.columns.clone(),
                span: Span::nothing(&self.log, &self.name),
            }));
        }
        Ok(parts)
    }
}

/// Records of a partition that are still to be read.
#[derive(Clone)]
struct Span {
    log: Log,
    topic: Arc<str>,
    partition: u32,
    begin: i64,
    end: i64,
}

impl fmt::Debug for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.begin, self.end);
        write!(out, "{}-{} {from}..{to}", self.topic, self.partition)
    }
}

impl Span {
    /// What is there and committed of each partition of a topic, within bounds of `partition`, `offset` and `timestamp`.
    fn all(log: &Log, topic: &Arc<str>, bounds: &Bounds) -> Result<Vec<Self>, Refused> {
        let count = log.topic(topic).map_err(said)?.partitions;
        let (first, last) = bounds.of("partition");
        let (from, to) = bounds.of("offset");
        let (earliest, _) = bounds.of("timestamp");
        let mut spans = Vec::new();
        for partition in (0..count).filter(|one| (first..=last).contains(&i64::from(*one))) {
            let state = log.describe(topic, partition).map_err(said)?;
            let mut begin = from.max(state.log_start);
            if earliest > 0 {
                let found = log.offset_for_time(topic, partition, earliest);
                let found = found.map_err(said)?;
                begin = begin.max(found.map_or(state.last_stable, |found| found.offset));
            }
            spans.push(Self {
                log: log.clone(),
                topic: topic.clone(),
                partition,
                begin,
                end: to.saturating_add(1).min(state.last_stable),
            });
        }
        Ok(spans)
    }

    /// One without records.
    fn nothing(log: &Log, topic: &Arc<str>) -> Self {
        Self {
            log: log.clone(),
            topic: topic.clone(),
            partition: 0,
            begin: 0,
            end: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.begin >= self.end
    }

    /// The records that come next, as many as a batch of rows has; perhaps none.
    fn read(&mut self, each: &mut dyn FnMut(&Record)) -> Result<(), Refused> {
        let (log, topic) = (&self.log, &self.topic);
        let (partition, begin) = (self.partition, self.begin);
        let read = log.read(topic, partition, begin, TURN, Isolation::ReadCommitted);
        let read = read.map_err(said)?;
        let (mut count, mut bytes) = (0, 0);
        let mut last = None;
        for batch in read.batches.iter().flat_map(records::split) {
            let ends = extent(&batch.map_err(said)?).map(|(_, last, _)| last);
            last = last.max(ends);
        }
        // Also behind what is not shown.
        let mut next = last.map_or(self.end, |last| last + 1);
        'read: for batch in &read.visible() {
            for record in records::open(batch).map_err(said)? {
                let record = record.map_err(said)?;
                if !(begin..self.end).contains(&record.offset) {
                    continue;
                }
                if count >= ROWS || bytes >= BYTES {
                    next = record.offset;
                    break 'read;
                }
                let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, |b| b.len());
                bytes += length(&record.key) + length(&record.value);
                count += 1;
                each(&record);
            }
        }
        log.given(topic, partition, bytes, count as u64);
        self.begin = next;
        Ok(())
    }
}

/// Some records of a topic as rows.
#[derive(Debug, Clone)]
struct Extent {
    columns: SchemaRef,
    span: Span,
}

impl Part for Extent {
    fn rows(&self) -> Rows {
        let rows = stream::try_unfold(self.clone(), |extent| async move {
            if extent.span.is_empty() {
                return Ok(None);
            }
            let read = tokio::task::spawn_blocking(move || extent.read());
            read.await.map_err(said)?.map(Some)
        });
        rows.boxed()
    }
}

impl Extent {
    /// The rows that come next, which may be none, and what comes behind them.
    fn read(mut self) -> Result<(RecordBatch, Self), Refused> {
        let mut rows = Writing::default();
        let partition = self.span.partition;
        self.span.read(&mut |record| rows.add(partition, record))?;
        let batch = rows.end(&self.columns)?;
        Ok((batch, self))
    }
}

/// Rows that are being put together.
struct Writing {
    partitions: Int32Builder,
    offsets: Int64Builder,
    times: TimestampMillisecondBuilder,
    keys: StringBuilder,
    values: StringBuilder,
    key_bytes: BinaryBuilder,
    value_bytes: BinaryBuilder,
    headers: ListBuilder<StructBuilder>,
}

impl Default for Writing {
    fn default() -> Self {
        Self {
            partitions: Int32Builder::new(),
            offsets: Int64Builder::new(),
            times: TimestampMillisecondBuilder::new().with_data_type(time()),
            keys: StringBuilder::new(),
            values: StringBuilder::new(),
            key_bytes: BinaryBuilder::new(),
            value_bytes: BinaryBuilder::new(),
            headers: ListBuilder::new(StructBuilder::from_fields(header(), 0)),
        }
    }
}

/// Bytes that are UTF-8.
fn text(bytes: Option<&bytes::Bytes>) -> Option<&str> {
    bytes.and_then(|bytes| std::str::from_utf8(bytes).ok())
}

impl Writing {
    fn add(&mut self, partition: u32, record: &Record) {
        self.partitions.append_option(i32::try_from(partition).ok());
        self.offsets.append_value(record.offset);
        self.times.append_value(record.timestamp);
        self.keys.append_option(text(record.key.as_ref()));
        self.values.append_option(text(record.value.as_ref()));
        self.key_bytes.append_option(record.key.as_deref());
        self.value_bytes.append_option(record.value.as_deref());
        let headers = self.headers.values();
        for (name, value) in &record.headers {
            if let Some(names) = headers.field_builder::<StringBuilder>(0) {
                names.append_value(name);
            }
            if let Some(values) = headers.field_builder::<StringBuilder>(1) {
                values.append_option(text(value.as_ref()));
            }
            headers.append(true);
        }
        self.headers.append(true);
    }

    fn end(mut self, columns: &SchemaRef) -> Result<RecordBatch, Refused> {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(self.partitions.finish()),
            Arc::new(self.offsets.finish()),
            Arc::new(self.times.finish()),
            Arc::new(self.keys.finish()),
            Arc::new(self.values.finish()),
            Arc::new(self.key_bytes.finish()),
            Arc::new(self.value_bytes.finish()),
            Arc::new(self.headers.finish()),
        ];
        RecordBatch::try_new(columns.clone(), arrays).map_err(said)
    }
}

/// `jobs()`: the jobs of this server.
struct Jobs(Arc<Runner>);

/// `streams()`: its flows.
struct Streams(Arc<Flows>);

impl fmt::Debug for Jobs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("jobs")
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("streams")
    }
}

fn nothing(arguments: &[&str]) -> Result<(), Refused> {
    match arguments.is_empty() {
        true => Ok(()),
        false => Err("it takes nothing".to_owned()),
    }
}

/// Seconds since 1970 as the tables' times.
fn millis(seconds: Option<f64>) -> Option<i64> {
    seconds.map(|seconds| (seconds * 1000.0).round() as i64)
}

/// Lines of JSON of some values.
fn lines(values: impl IntoIterator<Item = Value>) -> Vec<u8> {
    let mut lines = String::new();
    for value in values {
        lines.push_str(&value.to_string());
        lines.push('\n');
    }
    lines.into_bytes()
}

impl Sources for Jobs {
    fn name(&self) -> &'static str {
        "jobs"
    }

    fn open(&self, arguments: &[&str]) -> Result<Arc<dyn Source>, Refused> {
        nothing(arguments)?;
        Ok(Arc::new(JobTable {
            jobs: self.0.clone(),
            columns: schema([
                ("id", DataType::Utf8),
                ("kind", DataType::Utf8),
                ("name", DataType::Utf8),
                ("state", DataType::Utf8),
                ("reason", DataType::Utf8),
                ("input", DataType::Utf8),
                ("output", DataType::Utf8),
                ("submitted", time()),
                ("begun", time()),
                ("ended", time()),
                ("documents", DataType::Int64),
                ("done", DataType::Int64),
                ("errors", DataType::Int64),
                ("compute_seconds", DataType::Float64),
                ("characters", DataType::Int64),
                ("units", DataType::Int64),
                ("tokens", DataType::Int64),
                ("pixels", DataType::Int64),
                ("aws_dollars", DataType::Float64),
            ]),
        }))
    }
}

#[derive(Clone)]
struct JobTable {
    jobs: Arc<Runner>,
    columns: SchemaRef,
}

impl fmt::Debug for JobTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("jobs")
    }
}

#[async_trait]
impl Source for JobTable {
    fn columns(&self) -> SchemaRef {
        self.columns.clone()
    }

    async fn parts(&self, _: &Bounds) -> Result<Vec<Arc<dyn Part>>, Refused> {
        Ok(vec![Arc::new(self.clone())])
    }
}

impl Part for JobTable {
    fn rows(&self) -> Rows {
        let rows = stream::try_unfold(Some((self.clone(), None)), |state| async move {
            let Some((table, behind)) = state else {
                return Ok(None);
            };
            let read = tokio::task::spawn_blocking(move || table.page(behind));
            read.await.map_err(said)?.map(Some)
        });
        rows.boxed()
    }
}

/// A page of jobs, and where the next begins if there may be one.
type Page = (RecordBatch, Option<(JobTable, Option<Place>)>);

impl JobTable {
    fn page(self, behind: Option<Place>) -> Result<Page, Refused> {
        let filter = Filter {
            behind,
            most: JOBS,
            ..Filter::default()
        };
        let found = self.jobs.jobs(&filter).map_err(said)?;
        let next = found
            .last()
            .filter(|_| found.len() == JOBS)
            .map(Place::from);
        let mut values = Vec::with_capacity(found.len());
        for job in found {
            let job = view(&self.jobs, job).map_err(|failure| failure.message)?;
            let cost = &job.cost;
            values.push(json!({
                "id": job.id,
                "kind": job.kind,
                "name": job.name,
                "state": job.state,
                "reason": job.reason,
                "input": job.input,
                "output": job.output,
                "submitted": millis(Some(job.submitted)),
                "begun": millis(job.begun),
                "ended": millis(job.ended),
                "documents": job.documents,
                "done": job.done,
                "errors": job.errors,
                "compute_seconds": cost.compute_seconds,
                "characters": cost.characters,
                "units": cost.units,
                "tokens": cost.tokens,
                "pixels": cost.pixels,
                "aws_dollars": cost.aws_dollars,
            }));
        }
        let rows = from_json(&self.columns, &lines(values))?;
        Ok((rows, next.map(|place| (self, Some(place)))))
    }
}

impl Sources for Streams {
    fn name(&self) -> &'static str {
        "streams"
    }

    fn open(&self, arguments: &[&str]) -> Result<Arc<dyn Source>, Refused> {
        nothing(arguments)?;
        Ok(Arc::new(StreamTable {
            flows: self.0.clone(),
            columns: schema([
                ("name", DataType::Utf8),
                ("state", DataType::Utf8),
                ("reason", DataType::Utf8),
                ("brokers", DataType::Utf8),
                ("from", DataType::Utf8),
                ("to", DataType::Utf8),
                ("dead_letters", DataType::Utf8),
                ("task", DataType::Utf8),
                ("language", DataType::Utf8),
                ("model", DataType::Utf8),
                ("created", time()),
                ("lag", DataType::Int64),
            ]),
        }))
    }
}

#[derive(Clone)]
struct StreamTable {
    flows: Arc<Flows>,
    columns: SchemaRef,
}

impl fmt::Debug for StreamTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("streams")
    }
}

#[async_trait]
impl Source for StreamTable {
    fn columns(&self) -> SchemaRef {
        self.columns.clone()
    }

    async fn parts(&self, _: &Bounds) -> Result<Vec<Arc<dyn Part>>, Refused> {
        Ok(vec![Arc::new(self.clone())])
    }
}

impl Part for StreamTable {
    fn rows(&self) -> Rows {
        let table = self.clone();
        let rows = stream::once(async move {
            let all = table.flows.list().await.map_err(said)?;
            let values = all.into_iter().map(|flow| {
                let flow = StreamView::from(flow);
                json!({
                    "name": flow.name,
                    "state": flow.state,
                    "reason": flow.reason,
                    "brokers": flow.brokers,
                    "from": flow.from,
                    "to": flow.to,
                    "dead_letters": flow.dead_letters,
                    "task": flow.task,
                    "language": flow.language,
                    "model": flow.model,
                    "created": millis(Some(flow.created)),
                    "lag": flow.lag,
                })
            });
            from_json(&table.columns, &lines(values))
        });
        rows.boxed()
    }
}
