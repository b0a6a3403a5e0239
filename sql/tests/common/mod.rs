//! Models that count, and tables for them.

#![allow(dead_code, reason = "each program of tests uses a part")]

use async_trait::async_trait;
use escala_sql::arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, RecordBatch, StringArray, StructArray,
};
use escala_sql::arrow::compute::cast;
use escala_sql::arrow::datatypes::{DataType, Field, Fields, Float32Type, Int64Type};
use escala_sql::endpoint::PREDICT;
use escala_sql::engine::{Rights, Room, Session};
use escala_sql::functions::{Function, named};
use escala_sql::model::Seen;
use escala_sql::output::File;
use escala_sql::places::Places;
use escala_sql::{Engine, Error, Model, Scores, answers};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

fn fields() -> Fields {
    Fields::from(vec![
        Field::new("label", DataType::Utf8, true),
        Field::new("score", DataType::Float32, true),
    ])
}

const FAKE: Function = Function {
    name: "f",
    arguments: &[DataType::Utf8],
    needed: 1,
    answers: || DataType::Struct(fields()),
    cost: 1000,
    piece: 256,
};
static F: Function = FAKE;
static G: Function = Function {
    name: "g",
    cost: 10,
    ..FAKE
};

/// What the fake model says about a text: a label by its length, a score by its letters.
pub fn score_of(text: &str) -> f32 {
    (text.bytes().map(usize::from).sum::<usize>() % 100) as f32 / 100.0
}

fn label_of(text: &str) -> &'static str {
    match text.len() % 2 {
        0 => "EVEN",
        _ => "ODD",
    }
}

type Fault = dyn Fn(&str) -> Option<String> + Send + Sync;
type Spoils = dyn Fn(&str) -> bool + Send + Sync;
type Broken = dyn Fn() -> Error + Send + Sync;

/// A model of nothing that counts what it is asked.
#[derive(Clone)]
pub struct Fake(Arc<Inner>);

struct Inner {
    function: &'static Function,
    texts: Mutex<HashMap<String, usize>>,
    at_work: AtomicUsize,
    changed: tokio::sync::Notify,
    slow: bool,
    fault: Box<Fault>,
    spoils: Box<Spoils>,
    broken: Option<Box<Broken>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a fake")
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self::named("f")
    }
}

impl Fake {
    fn inner(function: &'static Function) -> Inner {
        Inner {
            function,
            texts: Mutex::default(),
            at_work: AtomicUsize::new(0),
            changed: tokio::sync::Notify::new(),
            slow: false,
            fault: Box::new(|_| None),
            spoils: Box::new(|_| false),
            broken: None,
        }
    }

    pub fn named(name: &str) -> Self {
        Self(Arc::new(Self::inner(if name == "g" { &G } else { &F })))
    }

    /// One that takes its time.
    pub fn slow() -> Self {
        Self(Arc::new(Inner {
            slow: true,
            ..Self::inner(&F)
        }))
    }

    /// One that cannot answer some texts.
    pub fn failing(fault: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            fault: Box::new(fault),
            ..Self::inner(&F)
        }))
    }

    /// One whose batches fail as a whole when some text is among them.
    pub fn spoiled(spoils: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            spoils: Box::new(spoils),
            ..Self::inner(&F)
        }))
    }

    /// One that always fails.
    pub fn broken(error: impl Fn() -> Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            broken: Some(Box::new(error)),
            ..Self::inner(&F)
        }))
    }

    pub fn model(&self) -> Arc<dyn Model> {
        self.0.clone()
    }

    /// How many texts it was asked about.
    pub fn asked(&self) -> usize {
        self.0.texts.lock().values().sum()
    }

    /// How many of them it had been asked about before.
    pub fn repeated(&self) -> usize {
        self.0.texts.lock().values().map(|times| times - 1).sum()
    }

    pub fn times(&self, text: &str) -> usize {
        self.0.texts.lock().get(text).copied().unwrap_or_default()
    }

    /// How many batches it is working on.
    pub fn at_work(&self) -> usize {
        self.0.at_work.load(Ordering::SeqCst)
    }

    /// Waits until nothing was asked or given up for a while.
    pub async fn quiet(&self) {
        let pause = Duration::from_millis(500);
        while tokio::time::timeout(pause, self.0.changed.notified())
            .await
            .is_ok()
        {}
    }
}

/// Counts a batch as being worked on, however the work ends.
struct AtWork<'i>(&'i Inner);

impl<'i> AtWork<'i> {
    fn new(inner: &'i Inner) -> Self {
        inner.at_work.fetch_add(1, Ordering::SeqCst);
        inner.changed.notify_one();
        Self(inner)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

#[async_trait]
impl Model for Inner {
    fn function(&self) -> &'static Function {
        self.function
    }

    async fn score(&self, inputs: &[ArrayRef], seen: &Seen) -> Result<Scores, Error> {
        let _at_work = AtWork::new(self);
        if let Some(broken) = &self.broken {
            return Err(broken());
        }
        let texts: Vec<&str> = inputs[0]
            .as_string::<i32>()
            .iter()
            .map(|text| text.expect("no nulls"))
            .collect();
        if texts.iter().any(|text| (self.spoils)(text)) {
            return Err(Error::Batch("spoiled".to_owned()));
        }
        seen.add(3 * texts.len() as u64, texts.len() as u64);
        {
            let mut counts = self.texts.lock();
            for text in &texts {
                *counts.entry((*text).to_owned()).or_default() += 1;
            }
        }
        if self.slow {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let faults: Vec<Option<String>> = texts.iter().map(|text| (self.fault)(text)).collect();
        let good = |row: usize| faults[row].is_none();
        let labels = texts
            .iter()
            .enumerate()
            .map(|(row, text)| good(row).then(|| label_of(text)));
        let scores = texts
            .iter()
            .enumerate()
            .map(|(row, text)| good(row).then(|| score_of(text)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(labels.collect::<StringArray>()),
            Arc::new(scores.collect::<Float32Array>()),
        ];
        let nulls = (0..texts.len()).map(good).collect();
        Ok(Scores {
            values: Arc::new(StructArray::new(fields(), columns, Some(nulls))),
            faults,
        })
    }
}

/// Embeddings of nothing: a direction for each number in a text.
#[derive(Debug, Clone, Default)]
pub struct Vectors(Arc<AtomicUsize>);

impl Vectors {
    pub fn model(&self) -> Arc<dyn Model> {
        Arc::new(self.clone())
    }

    pub fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Model for Vectors {
    fn function(&self) -> &'static Function {
        named("embed").expect("a function")
    }

    async fn score(&self, inputs: &[ArrayRef], _: &Seen) -> Result<Scores, Error> {
        let texts = inputs[0].as_string::<i32>();
        self.0.fetch_add(texts.len(), Ordering::SeqCst);
        let vector = |text: Option<&str>| {
            let number: f32 = text
                .and_then(|text| text.split(' ').next_back()?.parse().ok())
                .expect("a number");
            let angle = number / 50.0 * std::f32::consts::PI;
            Ok(vec![2.0 * angle.cos(), 2.0 * angle.sin()])
        };
        Ok(answers::vectors(texts.iter().map(vector).collect()))
    }
}

/// Hosted models of nothing: an answer repeats what it was asked, in JSON.
#[derive(Debug, Clone, Default)]
pub struct Endpoints(Arc<AtomicUsize>);

impl Endpoints {
    pub fn model(&self) -> Arc<dyn Model> {
        Arc::new(self.clone())
    }

    pub fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Model for Endpoints {
    fn function(&self) -> &'static Function {
        &PREDICT
    }

    async fn score(&self, inputs: &[ArrayRef], _: &Seen) -> Result<Scores, Error> {
        let (names, asked) = (inputs[0].as_string::<i32>(), inputs[1].as_string::<i32>());
        self.0.fetch_add(asked.len(), Ordering::SeqCst);
        let said = names.iter().zip(asked).map(|(name, row)| {
            let (name, row) = (name.expect("no nulls"), row.expect("no nulls"));
            match row.contains("refuse") {
                true => Err(format!("{name} refuses")),
                false => Ok(serde_json::json!({"by": name, "row": row}).to_string()),
            }
        });
        Ok(answers::texts(said.collect()))
    }
}

/// The text of a row.
pub fn text_of(id: usize) -> String {
    format!("text {}{}", "x".repeat(id % 3), id)
}

/// A table in a file.
pub struct Table {
    folder: TempDir,
}

impl Table {
    /// `id` and `text`, all texts distinct.
    pub fn parquet(rows: usize) -> Self {
        Self::of((0..rows).map(|id| (id as i64, text_of(id))).collect())
    }

    /// Texts that are there again and again.
    pub fn repeated(rows: usize, distinct: usize) -> Self {
        Self::of(
            (0..rows)
                .map(|id| (id as i64, format!("text {}", id % distinct)))
                .collect(),
        )
    }

    fn of(rows: Vec<(i64, String)>) -> Self {
        let (ids, texts): (Vec<i64>, Vec<String>) = rows.into_iter().unzip();
        let ids: ArrayRef = Arc::new(escala_sql::arrow::array::Int64Array::from(ids));
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        let batch = RecordBatch::try_from_iter([("id", ids), ("text", texts)]).expect("rows");
        let folder = tempfile::tempdir().expect("folder");
        let mut file =
            File::create(&folder.path().join("t.parquet"), batch.schema()).expect("file");
        file.write(&batch).expect("written");
        file.end().expect("ended");
        Self { folder }
    }

    /// Its name in queries.
    pub fn name(&self) -> String {
        format!("'{}'", self.folder.path().join("t.parquet").display())
    }
}

pub fn engine(fake: &Fake) -> Engine {
    engine_of(vec![fake.model()])
}

pub fn engine_of(models: Vec<Arc<dyn Model>>) -> Engine {
    Engine::new(models, Places::anywhere(), Rights::All, room(256 << 20)).expect("engine")
}

/// So much memory, and as much of the disk as is needed.
pub fn room(memory: usize) -> Room {
    Room {
        memory,
        spill: u64::MAX,
    }
}

pub fn session(engine: &Engine) -> Session {
    engine.session().expect("session")
}

pub async fn rows(engine: &Engine, sql: &str) -> Result<Vec<RecordBatch>, String> {
    let query = session(engine)
        .query(sql)
        .await
        .map_err(|error| error.to_string())?;
    query.collect().await.map_err(|error| error.to_string())
}

/// Text, score and number of rows.
pub fn triples(batch: &RecordBatch) -> Vec<(String, f32, usize)> {
    let texts = cast(batch.column(0), &DataType::Utf8).expect("texts");
    let texts = texts.as_string::<i32>();
    let scores = batch.column(1).as_primitive::<Float32Type>();
    let ids = batch.column(2).as_primitive::<Int64Type>();
    (0..batch.num_rows())
        .map(|row| {
            (
                texts.value(row).to_owned(),
                scores.value(row),
                ids.value(row) as usize,
            )
        })
        .collect()
}
