//! Queries in SQL: the tasks of the doors as functions of [`escala_sql`].
//!
//! A function asks the same app as the doors, after whoever waits for an answer, and answers what the REST door answers,
//! in Arrow's types.

pub mod copying;
pub mod tables;

use crate::app::App;
use crate::asked::{self, OfImage, OfText};
use crate::config::Config;
use crate::failure::Failure;
use crate::hosted::rows;
use crate::rest::analyze::Outcome;
use crate::rest::call::predict_list;
use crate::rest::redact::{How, RedactAnswer};
use crate::s3::places::Places as Objects;
use async_trait::async_trait;
use axum::http::StatusCode;
use bytes::Bytes;
use escala_pipelines::embeddings::EmbeddingInput;
use escala_pipelines::pii::PiiInput;
use escala_pipelines::{Kind, Meter, Options, Priority};
use escala_sagemaker::served::Haste;
use escala_sql::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use escala_sql::arrow::compute::{concat, take};
use escala_sql::arrow::datatypes::{DataType, SchemaRef};
use escala_sql::arrow::error::ArrowError;
use escala_sql::buckets::Buckets;
use escala_sql::chains::STACK;
use escala_sql::endpoint::PREDICT;
use escala_sql::engine::{DataFusionError, Query, Rights, Room, Session};
use escala_sql::functions::{FUNCTIONS, Function};
use escala_sql::model::Seen;
use escala_sql::places::Places;
use escala_sql::{Error, Model, Scores, answers};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a piece of rows may wait for its turn before it is asked again.
const PATIENCE: Duration = Duration::from_secs(600);
/// The pause before that, when the engine says none.
const PAUSE: Duration = Duration::from_secs(1);
/// Pieces of an answer that wait for their reader.
const AHEAD: usize = 2;
/// Images of a piece that are asked about at the same time.
const IMAGES: usize = 8;

/// All functions, asked of this app.
pub fn models(app: &Arc<App>) -> Vec<Arc<dyn Model>> {
    let model = |function: &'static Function| -> Arc<dyn Model> {
        let app = app.clone();
        Arc::new(Prediction { function, app })
    };
    FUNCTIONS.iter().chain([&PREDICT]).map(model).collect()
}

/// The task of the configuration whose model a function needs.
pub fn task_of(function: &str) -> Option<&'static str> {
    Some(match function {
        "language" => "language",
        "entities" | "key_phrases" => "syntax",
        "pii" | "redact" => "pii",
        "embed" => "embeddings",
        "sentiment" => "sentiment",
        "labels" => "labels",
        "faces" => "faces",
        _ => return None,
    })
}

/// The folders that queries by HTTP may read.
///
/// # Errors
/// What is wrong with `sql.folders`.
pub fn places(config: &Config) -> Result<Places, String> {
    let mut folders = Vec::new();
    for folder in &config.sql.folders {
        let Some((name, path)) = folder.split_once('=') else {
            return Err(format!("`sql.folders`: `{folder}` is not NAME=PATH"));
        };
        folders.push((name.trim(), Path::new(path.trim())));
    }
    let places = Places::folders(folders);
    let places = places.map_err(|error| format!("`sql.folders`: {}", error.strip_backtrace()))?;
    Ok(places.and_files(config.objects.named()))
}

/// What queries by HTTP share.
pub struct Queries {
    engine: escala_sql::Engine,
    places: Arc<Semaphore>,
    threads: Threads,
}

/// How much operators may take.
pub fn room(config: &Config) -> Room {
    Room {
        memory: config.sql.memory.as_usize(),
        spill: config.sql.spill.get(),
    }
}

/// Threads of queries' own, so that a large sort holds up no request at another door. They may be dropped anywhere.
struct Threads(Option<Runtime>);

impl Threads {
    /// Each of them does `first` before anything else.
    fn start(name: &'static str, first: fn()) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name(name)
            .on_thread_start(first)
            .thread_stack_size(STACK)
            .enable_all()
            .build();
        Ok(Self(Some(runtime.map_err(|error| error.to_string())?)))
    }

    /// None while they end.
    fn get(&self) -> Option<&Runtime> {
        self.0.as_ref()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What whoever asks chooses about rows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Choices {
    /// What becomes of one that a model cannot answer: `null` or `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<String>,
    /// What becomes of one of CSV or JSON that is none: `error` or `skip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_rows: Option<String>,
}

impl Choices {
    /// Sets what was chosen.
    ///
    /// # Errors
    /// 400 where there is no such choice.
    fn set(&self, session: &Session) -> Result<(), Failure> {
        for (member, chosen, known) in [
            ("on_error", &self.on_error, "`null` or `error`"),
            ("bad_rows", &self.bad_rows, "`error` or `skip`"),
        ] {
            if let Some(chosen) = chosen {
                let set = session.set(&format!("escala.{member}"), chosen);
                let wrong = |_| Failure::invalid(format!("`{member}` is {known}")).at(member);
                set.map_err(wrong)?;
            }
        }
        Ok(())
    }
}

/// A part of a query's answer: first the columns, then rows.
pub enum Piece {
    /// What its rows have.
    Columns(SchemaRef),
    /// Some of them.
    Rows(RecordBatch),
}

impl Queries {
    /// Queries that ask the app `asking`, and may read all objects and what the server has ([`tables`]).
    ///
    /// # Errors
    /// What is wrong with the configuration or the machine.
    pub fn open(asking: App, objects: Arc<Objects>, server: &App) -> Result<Self, String> {
        let config = asking.config.clone();
        let engine = escala_sql::Engine::new(
            models(&Arc::new(asking)),
            places(&config)?.and_buckets(Buckets::new(objects)),
            Rights::Read,
            room(&config),
        );
        Ok(Self {
            engine: engine
                .map_err(|error| error.strip_backtrace())?
                .with_sources(tables::of(server)),
            places: Arc::new(Semaphore::new(config.sql.queries)),
            threads: Threads::start("sql", || ())?,
        })
    }

    /// Starts a query. It ends when its pieces are dropped.
    ///
    /// # Errors
    /// 429 when too many run.
    pub fn start(
        queries: &Arc<Self>,
        text: String,
        choices: Choices,
    ) -> Result<Receiver<Result<Piece, Failure>>, Failure> {
        let place = queries.place()?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let runtime = queries.threads.get().ok_or_else(stops)?.handle().clone();
        let queries = queries.clone();
        runtime.spawn(async move {
            let _place = place;
            let answered = queries.answer(&text, &choices, &sender);
            let failed = tokio::select! {
                biased;
                () = sender.closed() => None,
                answered = answered => answered.err(),
            };
            if let Some(failure) = failed {
                // Nobody may be there to hear it.
                let _ = sender.send(Err(failure)).await;
            }
        });
        Ok(receiver)
    }

    /// Plans a query that runs later.
    ///
    /// # Errors
    /// 400 with what is wrong with it; 429 when too many run.
    pub async fn check(queries: &Arc<Self>, text: String, choices: Choices) -> Result<(), Failure> {
        // What is read of its tables takes memory, too.
        let place = queries.place()?;
        let runtime = queries.threads.get().ok_or_else(stops)?.handle().clone();
        let queries = queries.clone();
        let planned = runtime.spawn(async move {
            let _place = place;
            queries.planned(&text, &choices).await.map(drop)
        });
        planned.await.unwrap_or_else(|error| {
            tracing::error!(%error, "planning a query broke off");
            Err(untold())
        })
    }

    /// A place among the queries that run.
    fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.places.clone().try_acquire_owned().map_err(|_| {
            let message = "as many queries run as `sql.queries` allows";
            Failure::of_kind(Kind::Overloaded, message).retry_after(PAUSE)
        })
    }

    async fn planned(&self, text: &str, choices: &Choices) -> Result<Query, Failure> {
        let refused = |error: DataFusionError| Failure::invalid(error.strip_backtrace());
        let session = self.engine.session().map_err(refused)?;
        choices.set(&session)?;
        session.query(text).await.map_err(refused)
    }

    async fn answer(
        &self,
        text: &str,
        choices: &Choices,
        to: &Sender<Result<Piece, Failure>>,
    ) -> Result<(), Failure> {
        let query = self.planned(text, choices).await?;
        let mut rows = query.rows().map_err(broken)?;
        // Whoever went away ends this future.
        let _ = to.send(Ok(Piece::Columns(query.schema()))).await;
        while let Some(batch) = rows.try_next().await.map_err(broken)? {
            let _ = to.send(Ok(Piece::Rows(batch))).await;
        }
        Ok(())
    }
}

fn stops() -> Failure {
    Failure::of_kind(Kind::Unavailable, "the server stops")
}

/// What is said of a query whose error is for the log alone.
fn untold() -> Failure {
    Failure::of_kind(
        Kind::Internal,
        "the query failed; the server's log says why",
    )
}

/// What went wrong with a query that was planned.
fn broken(error: DataFusionError) -> Failure {
    let message = error.strip_backtrace();
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => {
            let message = format!("{message}; `sql.memory` is what queries share");
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "too_large", message)
        }
        DataFusionError::Internal(_) => {
            tracing::error!(error = message, "a query failed");
            untold()
        }
        _ => Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "query_failed", message),
    }
}

/// A function that a task answers.
struct Prediction {
    function: &'static Function,
    app: Arc<App>,
}

impl fmt::Debug for Prediction {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}()", self.function.name)
    }
}

#[async_trait]
impl Model for Prediction {
    fn function(&self) -> &'static Function {
        self.function
    }

    async fn score(&self, inputs: &[ArrayRef], seen: &Seen) -> Result<Scores, Error> {
        let meter = Meter::default();
        let answers = meter.count(async {
            match inputs {
                [rows] if self.function.arguments == [DataType::Binary] => {
                    self.images(rows, seen).await
                }
                [endpoints, rows] if self.function.name == PREDICT.name => {
                    self.of_endpoints(endpoints, rows).await
                }
                [texts] => self.texts(texts, None).await,
                [texts, languages] => self.in_languages(texts, languages).await,
                _ => Err(Error::Batch("one or two arguments are taken".to_owned())),
            }
        });
        let answers = answers.await;
        seen.add(meter.tokens(), 0);
        answers
    }
}

impl Prediction {
    /// Texts that bring their language: each language's are asked about together.
    async fn in_languages(&self, texts: &ArrayRef, languages: &ArrayRef) -> Result<Scores, Error> {
        let groups = grouped(languages);
        let mut scores = Vec::with_capacity(groups.len());
        for (language, rows) in &groups {
            let texts = some_of(texts, rows)?;
            scores.push(self.texts(&texts, Some(language)).await?);
        }
        together(groups.values(), scores, texts.len())
    }

    /// Rows for hosted models: each endpoint's are asked about together.
    async fn of_endpoints(&self, endpoints: &ArrayRef, rows: &ArrayRef) -> Result<Scores, Error> {
        let groups = grouped(endpoints);
        let mut scores = Vec::with_capacity(groups.len());
        for (endpoint, group) in &groups {
            let rows = some_of(rows, group)?;
            let rows = rows.as_string::<i32>().iter();
            let rows: Vec<String> = rows.map(|row| row.unwrap_or_default().to_owned()).collect();
            scores.push(self.of_endpoint(endpoint, rows).await?);
        }
        together(groups.values(), scores, rows.len())
    }

    async fn of_endpoint(&self, endpoint: &str, rows: Vec<String>) -> Result<Scores, Error> {
        let (hosted, account) = (&self.app.sagemaker, &self.app.config.aws.account);
        loop {
            match rows::of_rows(hosted, account, endpoint, Haste::Behind, rows.clone()).await {
                Ok(outcomes) => {
                    let said = outcomes.into_iter().map(|outcome| match outcome {
                        Ok(answer) => Ok(bare(&answer)),
                        Err(failure) => Err(failure.message),
                    });
                    return Ok(answers::texts(said.collect()));
                }
                // No other row would be answered either.
                Err(failure) if failure.code == "not_found" => {
                    return Err(Error::Unavailable(failure.message));
                }
                Err(failure) => wait_out(failure).await?,
            }
        }
    }

    async fn texts(&self, texts: &ArrayRef, language: Option<&str>) -> Result<Scores, Error> {
        let texts = texts.as_string::<i32>().iter();
        let texts: Vec<String> = texts
            .map(|text| text.unwrap_or_default().to_owned())
            .collect();
        loop {
            let asked = match self.function.name {
                "embed" => self.vectors(&texts).await,
                "redact" => self.redacted(&texts, language).await,
                name => self.features(name, &texts, language).await,
            };
            match asked {
                Ok(scores) => return scores.map_err(defect),
                Err(failure) => wait_out(failure).await?,
            }
        }
    }

    async fn features(
        &self,
        name: &'static str,
        texts: &[String],
        language: Option<&str>,
    ) -> Result<Result<Scores, ArrowError>, Failure> {
        let what = OfText::Feature(name);
        let outcomes =
            asked::of_texts(&self.app, what, language, texts.to_vec(), options()).await?;
        Ok(self.read(outcomes))
    }

    /// Answers of the REST door as the function's.
    fn read(&self, outcomes: Vec<Outcome>) -> Result<Scores, ArrowError> {
        let kind = (self.function.answers)();
        let outcomes = outcomes.into_iter().map(|outcome| match outcome {
            Ok(answer) => Ok(Box::<str>::from(answer).into_boxed_bytes()),
            Err(failure) => Err(failure.message),
        });
        let outcomes = outcomes.collect();
        match self.function.name {
            "sentiment" => answers::from_json(&kind, None, outcomes),
            // The door lists all; this is the likeliest.
            "language" => {
                let all = DataType::new_list(kind, true);
                let scores = answers::from_json(&all, Some("languages"), outcomes)?;
                Ok(Scores {
                    values: answers::first_of(&scores.values)?,
                    faults: scores.faults,
                })
            }
            "pii" => answers::from_json(&kind, Some("entities"), outcomes),
            name => answers::from_json(&kind, Some(name), outcomes),
        }
    }

    async fn vectors(&self, texts: &[String]) -> Result<Result<Scores, ArrowError>, Failure> {
        let limit = self.app.config.limits.text.get();
        let inputs = texts.iter().filter(|text| text.len() as u64 <= limit);
        let inputs = inputs.map(|text| EmbeddingInput { text: text.clone() });
        let found = predict_list(&*self.app.embeddings, inputs.collect(), options()).await?;
        let mut found = found.into_iter();
        let vectors = texts.iter().map(|text| {
            if text.len() as u64 > limit {
                let bytes = text.len();
                return Err(format!(
                    "the text has {bytes} bytes; at most {limit} are taken"
                ));
            }
            match found.next() {
                Some(Ok(embedding)) => Ok(embedding.vector),
                Some(Err(failure)) => Err(failure.message),
                None => Err("the prediction has no answer".to_owned()),
            }
        });
        Ok(Ok(answers::vectors(vectors.collect())))
    }

    async fn redacted(
        &self,
        texts: &[String],
        language: Option<&str>,
    ) -> Result<Result<Scores, ArrowError>, Failure> {
        let plan = How::default().plan()?;
        let pii = asked::feature_named("pii")?;
        let language = language.unwrap_or(asked::LANGUAGE);
        if let Err(failure) = pii.check(language) {
            let refused = texts.iter().map(|_| Err(failure.message.clone()));
            return Ok(Ok(answers::texts(refused.collect())));
        }
        let limit = self.app.config.limits.rest_text.get();
        let short = |text: &&String| text.len() as u64 <= limit;
        let inputs = texts.iter().filter(short);
        let inputs = inputs.map(|text| PiiInput::new(text.as_str().into(), language));
        let found = predict_list(&*self.app.pii, inputs.collect(), options()).await?;
        let mut found = found.into_iter();
        let redacted = texts.iter().map(|text| {
            if !short(&text) {
                let bytes = text.len();
                return Err(format!(
                    "the text has {bytes} bytes; at most {limit} are taken"
                ));
            }
            let found = found
                .next()
                .unwrap_or_else(|| Err(Failure::invalid("no answer")));
            let answer = found.and_then(|found| RedactAnswer::of(text, &found, &plan.redaction));
            answer
                .map(|answer| answer.text)
                .map_err(|failure| failure.message)
        });
        Ok(Ok(answers::texts(redacted.collect())))
    }

    async fn images(&self, images: &ArrayRef, seen: &Seen) -> Result<Scores, Error> {
        let what = match self.function.name {
            "faces" => OfImage::Faces,
            _ => OfImage::Labels,
        };
        let images = images.as_binary::<i32>().iter();
        let images: Vec<Bytes> = images
            .map(|image| Bytes::copy_from_slice(image.unwrap_or_default()))
            .collect();
        let one = |image: Bytes| async move {
            loop {
                let asked = asked::of_images(&self.app, what, vec![image.clone()], options()).await;
                match asked.into_iter().next() {
                    Some(Err(failure)) if is_of_the_machine(&failure) => wait_out(failure).await?,
                    Some(outcome) => {
                        if outcome.is_ok() {
                            seen.add(0, asked::pixels(&image));
                        }
                        return Ok(outcome);
                    }
                    None => return Err(Error::Batch("the prediction has no answer".to_owned())),
                }
            }
        };
        let outcomes: Vec<Result<Outcome, Error>> = stream::iter(images.into_iter().map(one))
            .buffered(IMAGES)
            .collect()
            .await;
        let outcomes = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.read(outcomes).map_err(defect)
    }
}

/// The rows that have each of these names.
fn grouped(names: &ArrayRef) -> BTreeMap<&str, Vec<u32>> {
    let mut groups: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (row, name) in names.as_string::<i32>().iter().enumerate() {
        let group = groups.entry(name.unwrap_or_default()).or_default();
        group.push(row as u32);
    }
    groups
}

/// Those rows.
fn some_of(rows: &ArrayRef, group: &[u32]) -> Result<ArrayRef, Error> {
    take(rows, &UInt32Array::from(group.to_vec()), None).map_err(defect)
}

/// The answers to groups of rows, in the order of the rows.
fn together<'g>(
    groups: impl Iterator<Item = &'g Vec<u32>>,
    scores: Vec<Scores>,
    rows: usize,
) -> Result<Scores, Error> {
    let mut places = vec![0_u32; rows];
    let mut faults = vec![None; rows];
    let mut values = Vec::with_capacity(scores.len());
    let mut next = 0;
    for (group, scores) in groups.zip(scores) {
        values.push(scores.values);
        let mut said = scores.faults.into_iter();
        for row in group {
            places[*row as usize] = next;
            faults[*row as usize] = said.next().flatten();
            next += 1;
        }
    }
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    let values = concat(&values).map_err(defect)?;
    Ok(Scores {
        values: take(&values, &UInt32Array::from(places), None).map_err(defect)?,
        faults,
    })
}

/// What an endpoint says of a row, without what a query has no use for: of an object with one member that member, and of a text
/// no quotation marks.
fn bare(answer: &RawValue) -> String {
    let read = serde_json::from_str::<Value>(answer.get());
    let read = read.map(|value| match value {
        Value::Object(members) if members.len() == 1 => members
            .into_iter()
            .next()
            .map_or(Value::Null, |(_, value)| value),
        other => other,
    });
    match read {
        Ok(Value::String(text)) => text,
        Ok(value) => value.to_string(),
        // It is JSON; a number that is none of ours stays as it was told.
        Err(_) => answer.get().to_owned(),
    }
}

fn options() -> Options {
    Options {
        priority: Priority::Batch,
        deadline: Some(Instant::now() + PATIENCE),
    }
}

fn is_of_the_machine(failure: &Failure) -> bool {
    matches!(failure.code, "overloaded" | "deadline" | "unavailable")
}

/// Waits when others go first; whoever asks may give up.
async fn wait_out(failure: Failure) -> Result<(), Error> {
    match failure.code {
        "overloaded" | "deadline" => {
            tokio::time::sleep(failure.retry_after.unwrap_or(PAUSE)).await;
            Ok(())
        }
        "unavailable" => Err(Error::Unavailable(failure.message)),
        _ => Err(Error::Batch(failure.message)),
    }
}

fn defect(error: ArrowError) -> Error {
    Error::Batch(format!("an answer cannot be read: {error}"))
}
