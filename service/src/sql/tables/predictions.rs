//! `predictions()`: what flows have answered, read from the topics that they write to.
//!
//! Nothing is kept for it twice: a row is a record of an output topic that says by its headers which flow wrote it and about
//! which record, and it is there as long as that topic keeps it. Topics are read as `topic()` reads them; a condition on `flow`
//! leaves out those that these flows do not write to, one on `timestamp` is looked up. Flows on another Kafka have their topics
//! there, and are not read.

use super::{Span, nothing, said, schema, text};
use async_trait::async_trait;
use escala_sql::arrow::array::builder::{
    Int32Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder,
};
use escala_sql::arrow::array::{ArrayRef, RecordBatch};
use escala_sql::arrow::datatypes::{DataType, SchemaRef};
use escala_sql::sources::{Bounds, Part, Refused, Rows, Source, Sources, time};
use escala_stream_ingest::flow::{FLOW, Flows, OFFSET, PARTITION, TOPIC};
use escala_stream_ingest::log::{Error, Log};
use escala_stream_ingest::records::Record;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The predictions of all flows.
#[derive(Clone)]
pub struct Predictions {
    log: Log,
    flows: Arc<Flows>,
    columns: SchemaRef,
}

impl fmt::Debug for Predictions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("predictions")
    }
}

impl Predictions {
    /// Those of these flows, on this log.
    pub fn new(log: Log, flows: Arc<Flows>) -> Self {
        Self {
            log,
            flows,
            columns: schema([
                ("flow", DataType::Utf8),
                ("topic", DataType::Utf8),
                ("partition", DataType::Int32),
                ("offset", DataType::Int64),
                ("timestamp", time()),
                ("key", DataType::Utf8),
                ("prediction", DataType::Utf8),
                ("model", DataType::Utf8),
                ("digest", DataType::Utf8),
            ]),
        }
    }

    /// What is read of the topics.
    fn extents(&self, bounds: &Bounds) -> Result<Vec<Arc<dyn Part>>, Refused> {
        let wanted = bounds.texts("flow");
        let flows = self.flows.definitions().into_iter();
        let topics: BTreeSet<String> = flows
            .filter(|flow| flow.brokers.is_none())
            .filter(|flow| wanted.is_none_or(|wanted| wanted.contains(&flow.name)))
            .map(|flow| flow.to.clone())
            .collect();
        // Columns of places speak of the records that were asked about, not of those with the answers; their times are the same.
        let bounds = bounds.only("timestamp");
        let mut parts: Vec<Arc<dyn Part>> = Vec::new();
        let part = |span| Answers {
            span,
            columns: self.columns.clone(),
        };
        for topic in topics {
            let topic: Arc<str> = topic.into();
            match self.log.topic(&topic) {
                Ok(_) => {}
                // It was deleted.
                Err(Error::NoTopic(_)) => continue,
                Err(error) => return Err(said(error)),
            }
            for span in Span::all(&self.log, &topic, &bounds)? {
                parts.push(Arc::new(part(span)));
            }
        }
        if parts.is_empty() {
            // A table has parts, if only one that is empty.
            parts.push(Arc::new(part(Span::nothing(&self.log, &"".into()))));
        }
        Ok(parts)
    }
}

impl Sources for Predictions {
    fn name(&self) -> &'static str {
        "predictions"
    }

    fn open(&self, arguments: &[&str]) -> Result<Arc<dyn Source>, Refused> {
        nothing(arguments)?;
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Source for Predictions {
    fn columns(&self) -> SchemaRef {
        self.columns.clone()
    }

    async fn parts(&self, bounds: &Bounds) -> Result<Vec<Arc<dyn Part>>, Refused> {
        let (table, bounds) = (self.clone(), bounds.clone());
        // Times are looked up on the disk.
        let parts = tokio::task::spawn_blocking(move || table.extents(&bounds));
        parts.await.map_err(said)?
    }
}

/// The answers among some records of a topic.
#[derive(Clone, Debug)]
struct Answers {
    span: Span,
    columns: SchemaRef,
}

impl Part for Answers {
    fn rows(&self) -> Rows {
        let rows = stream::try_unfold(self.clone(), |answers| async move {
            if answers.span.is_empty() {
                return Ok(None);
            }
            let read = tokio::task::spawn_blocking(move || answers.read());
            read.await.map_err(said)?.map(Some)
        });
        rows.boxed()
    }
}

impl Answers {
    /// The rows that come next, which may be none, and what comes behind them.
    fn read(mut self) -> Result<(RecordBatch, Self), Refused> {
        let mut rows = Writing::default();
        self.span.read(&mut |record| {
            if let Some(answer) = Answer::of(record) {
                rows.add(record, &answer);
            }
        })?;
        let batch = rows.end(&self.columns)?;
        Ok((batch, self))
    }
}

/// The value of an answer.
#[derive(Deserialize)]
struct Value<'a> {
    #[serde(borrow)]
    prediction: &'a RawValue,
    model: Option<String>,
    digest: Option<String>,
}

/// An answer and where its record is.
struct Answer<'a> {
    flow: &'a str,
    topic: &'a str,
    partition: i32,
    offset: i64,
    value: Value<'a>,
}

impl<'a> Answer<'a> {
    /// None of records that no flow wrote, and of those without a prediction (tombstones).
    fn of(record: &'a Record) -> Option<Self> {
        // Where a flow reads what another wrote, the headers of the first come first.
        let header = |name: &str| {
            let headers = record.headers.iter().rev();
            let mut named = headers.filter(|(header, _)| header == name);
            text(named.next()?.1.as_ref())
        };
        Some(Self {
            flow: header(FLOW)?,
            topic: header(TOPIC)?,
            partition: header(PARTITION)?.parse().ok()?,
            offset: header(OFFSET)?.parse().ok()?,
            value: serde_json::from_slice(record.value.as_ref()?).ok()?,
        })
    }
}

/// Rows that are being put together.
struct Writing {
    flows: StringBuilder,
    topics: StringBuilder,
    partitions: Int32Builder,
    offsets: Int64Builder,
    times: TimestampMillisecondBuilder,
    keys: StringBuilder,
    predictions: StringBuilder,
    models: StringBuilder,
    digests: StringBuilder,
}

impl Default for Writing {
    fn default() -> Self {
        Self {
            flows: StringBuilder::new(),
            topics: StringBuilder::new(),
            partitions: Int32Builder::new(),
            offsets: Int64Builder::new(),
            times: TimestampMillisecondBuilder::new().with_data_type(time()),
            keys: StringBuilder::new(),
            predictions: StringBuilder::new(),
            models: StringBuilder::new(),
            digests: StringBuilder::new(),
        }
    }
}

impl Writing {
    fn add(&mut self, record: &Record, answer: &Answer<'_>) {
        self.flows.append_value(answer.flow);
        self.topics.append_value(answer.topic);
        self.partitions.append_value(answer.partition);
        self.offsets.append_value(answer.offset);
        self.times.append_value(record.timestamp);
        self.keys.append_option(text(record.key.as_ref()));
        self.predictions.append_value(answer.value.prediction.get());
        self.models.append_option(answer.value.model.as_deref());
        self.digests.append_option(answer.value.digest.as_deref());
    }

    fn end(mut self, columns: &SchemaRef) -> Result<RecordBatch, Refused> {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(self.flows.finish()),
            Arc::new(self.topics.finish()),
            Arc::new(self.partitions.finish()),
            Arc::new(self.offsets.finish()),
            Arc::new(self.times.finish()),
            Arc::new(self.keys.finish()),
            Arc::new(self.predictions.finish()),
            Arc::new(self.models.finish()),
            Arc::new(self.digests.finish()),
        ];
        RecordBatch::try_new(columns.clone(), arrays).map_err(said)
    }
}
