//! Jobs that score datasets: tables with answers beside their rows, and folders of images with a line for each.
//!
//! The kind of a job is `score.` and a task. Of tables the tasks are the functions of SQL, and a piece of a table is a query
//! ([`escala_sql::score`]); of images they are those of the command line. `endpoint:NAME` is a hosted model, asked about both: the
//! kind of its jobs is `score.endpoint`. What is asked is asked as everywhere, after
//! whoever waits for an answer.

use crate::app::App;
use crate::asked::{self, OfImage};
use crate::config::Objects;
use crate::failure::Failure;
use crate::flows::{ENDPOINT, endpoint_of};
use crate::hosted::rows;
use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use escala_batch::job::{Form, Source, Spec, Split, Target};
#[cfg(feature = "sql")]
use escala_batch::work::Tables;
use escala_batch::work::{Answer, Bounds, Failed, Fault, Found, Place, Seen, Work};
use escala_objects::folder;
use escala_pipelines::{Options, Priority};
use escala_sagemaker::served::Haste;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "sql")]
pub(crate) mod tables;

/// What the kinds begin with.
const KIND: &str = "score.";
/// What the kind of jobs about hosted models ends with.
const HOSTED: &str = "endpoint";
/// The column of what a hosted model says, and the beginning of the name of its lines about images.
const PREDICTION: &str = "prediction";
/// How long an image may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(600);

/// Tasks about the rows of tables, and whether they take a language.
const OF_ROWS: [(&str, bool); 9] = [
    ("sentiment", true),
    ("language", false),
    ("entities", true),
    ("key_phrases", true),
    ("pii", true),
    ("redact", true),
    ("embed", false),
    ("labels", false),
    ("faces", false),
];

/// Tasks about images.
const OF_IMAGES: [(&str, OfImage); 6] = [
    ("labels", OfImage::Labels),
    ("faces", OfImage::Faces),
    ("image-text", OfImage::Text),
    ("moderation", OfImage::Moderation),
    ("bodies", OfImage::Bodies),
    ("classify-image", OfImage::Classes),
];

/// Formats that tables are written in.
pub const FORMATS: [&str; 5] = ["parquet", "csv", "tsv", "jsonl", "arrow"];

/// The names of all tasks.
pub fn tasks() -> Vec<&'static str> {
    let images = OF_IMAGES.iter().map(|(name, _)| *name);
    let images = images.filter(|name| OF_ROWS.iter().all(|(row, _)| row != name));
    OF_ROWS
        .iter()
        .map(|(name, _)| *name)
        .chain(images)
        .collect()
}

/// What somebody wants scored.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The task.
    pub task: String,
    /// The column of texts or images; without one the inputs are images.
    pub column: Option<String>,
    /// Of a hosted model: the columns of a row, in the order in which it takes them.
    pub columns: Vec<String>,
    /// The texts' language.
    pub language: Option<String>,
    /// What is written, where it is not what is read.
    pub format: Option<String>,
    /// `s3://bucket/prefix`.
    pub input: String,
    /// `s3://bucket/folder`.
    pub output: String,
    /// A name.
    pub name: Option<String>,
    /// Higher ones first.
    pub priority: i32,
}

/// A question, as it is kept with the job.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    /// Those of a row for an endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    columns: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<String>,
}

impl Question {
    /// The columns that it is about.
    #[cfg(feature = "sql")]
    fn columns(&self) -> Vec<String> {
        match &self.column {
            Some(column) => vec![column.clone()],
            None => self.columns.clone(),
        }
    }
}

impl Wanted {
    /// The job that it is.
    ///
    /// # Errors
    /// 400 with what is wrong with it.
    pub fn spec(self) -> Result<Spec, Failure> {
        let failure =
            |at: &'static str, why: &str| Failure::invalid(format!("`{at}`: {why}")).at(at);
        let invalid = |at, why: String| Err(failure(at, &why));
        let endpoint = endpoint_of(&self.task);
        let rows = match endpoint {
            Some(_) => Some(&(HOSTED, false)),
            None => OF_ROWS.iter().find(|(name, _)| *name == self.task),
        };
        let images = endpoint.is_some() || OF_IMAGES.iter().any(|(name, _)| *name == self.task);
        if !self.columns.is_empty() && (endpoint.is_none() || self.column.is_some()) {
            let why =
                format!("only {ENDPOINT}NAME takes several columns, and they are all of them");
            return invalid("columns", why);
        }
        let of_rows = self.column.is_some() || !self.columns.is_empty();
        let bucket = |at, text: &str| match text.strip_prefix("s3://") {
            Some(rest) if !rest.is_empty() && !rest.starts_with('/') => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                Ok((bucket.to_owned(), key.to_owned()))
            }
            _ => Err(failure(at, "this is not s3://BUCKET/KEY")),
        };
        let (input, prefix) = bucket("input", &self.input)?;
        let (output, mut folder) = bucket("output", &self.output)?;
        if !folder.is_empty() && !folder.ends_with('/') {
            folder.push('/');
        }
        if output == input && folder.starts_with(&prefix) {
            return invalid("output", "the output lies in the input".to_owned());
        }
        if let Some(format) = &self.format
            && !FORMATS.contains(&format.as_str())
        {
            let why = format!("there is no such format; there are {}", FORMATS.join(", "));
            return invalid("format", why);
        }
        let (split, form) = match (of_rows, rows) {
            (true, Some((_, takes))) => {
                if self.language.is_some() && !takes {
                    return invalid("language", format!("{} takes none", self.task));
                }
                // Each has its own name again. In another format it may be another's, which is seen when both are known.
                let own = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
                if output == input && folder == own && self.format.is_none() {
                    let why = format!(
                        "tables that are scored into s3://{output}/{folder}, where they are, would be replaced; name another folder"
                    );
                    return invalid("output", why);
                }
                let ending = self.format;
                (Split::Rows, Form::Tables { ending })
            }
            (false, _) if images => {
                if self.language.is_some() {
                    return invalid("language", "images have none".to_owned());
                }
                if self.format.is_some_and(|format| format != "jsonl") {
                    let why = "of images there are lines of JSON".to_owned();
                    return invalid("format", why);
                }
                let name = match endpoint {
                    Some(_) => format!("{PREDICTION}.jsonl"),
                    None => format!("{}.jsonl", self.task),
                };
                (Split::Files, Form::Joined { name })
            }
            (false, Some(_)) => {
                return invalid("column", "tables need the name of a column".to_owned());
            }
            (true, None) if images => {
                let why = "there are no tables for this task, only images".to_owned();
                return invalid("column", why);
            }
            _ => {
                let known = tasks().join(", ");
                let why = format!(
                    "there is no such task; there are {known}, and {ENDPOINT}NAME for a hosted model"
                );
                return invalid("task", why);
            }
        };
        let kind = endpoint.map_or(self.task.as_str(), |_| HOSTED);
        let kind = format!("{KIND}{kind}");
        let question = Question {
            column: self.column,
            columns: self.columns,
            endpoint: endpoint.map(str::to_owned),
            language: self.language,
        };
        let Ok(question) = serde_json::to_value(question) else {
            return invalid("column", "it cannot be kept".to_owned());
        };
        Ok(Spec {
            kind,
            name: self.name,
            priority: self.priority,
            input: Source {
                bucket: input,
                prefix,
                split,
            },
            output: Target {
                bucket: output,
                folder,
                form,
            },
            question,
            details: Value::Null,
        })
    }
}

/// What is read, as objects: of `file:///PATH` it is those of the bucket that the folder is.
///
/// # Errors
/// 400 where no folder that may be read has the path.
pub fn read_from(input: String, objects: &Objects) -> Result<String, Failure> {
    placed(input, &objects.named()).ok_or_else(|| {
        let why = "`input`: no folder that may be read (`objects.folders`) has this path";
        Failure::invalid(why).at("input")
    })
}

/// Where something is written that a member of a request names, as objects in the same way.
///
/// # Errors
/// 400 where no folder that may be written has the path.
pub fn written_to(
    output: String,
    member: &'static str,
    objects: &Objects,
) -> Result<String, Failure> {
    let mut folders = objects.named();
    folders.retain(|name, _| objects.writable.contains(name));
    placed(output, &folders).ok_or_else(|| {
        let why = format!(
            "`{member}`: no folder that may be written (`objects.folders` and `objects.writable`) has this path"
        );
        Failure::invalid(why).at(member)
    })
}

fn placed(place: String, folders: &BTreeMap<String, PathBuf>) -> Option<String> {
    let Some(path) = place.strip_prefix("file://") else {
        return Some(place);
    };
    let path = path.strip_prefix("localhost").unwrap_or(path);
    let (bucket, key) = folder::within(folders, path)?;
    Some(format!("s3://{bucket}/{key}"))
}

/// The full name of a kind, and its work.
type Named = (String, Arc<dyn Work>);

/// Scores what jobs of a kind read.
pub struct Score {
    app: Arc<App>,
    task: &'static str,
    #[cfg(feature = "sql")]
    tables: Option<tables::Scorer>,
}

impl Score {
    /// One for each kind, by its full name.
    ///
    /// # Errors
    /// The machine cannot score tables.
    pub fn all(
        app: &Arc<App>,
        #[cfg(feature = "sql")] places: &Arc<crate::s3::places::Places>,
    ) -> Result<Vec<Named>, String> {
        #[cfg(feature = "sql")]
        let engine = tables::engine(app, places)?;
        let of = |task: &'static str| -> Named {
            let work = Self {
                app: app.clone(),
                task,
                #[cfg(feature = "sql")]
                tables: OF_ROWS
                    .iter()
                    .any(|(name, _)| *name == task)
                    .then(|| tables::Scorer::new(engine.clone(), task)),
            };
            (format!("{KIND}{task}"), Arc::new(work))
        };
        let hosted: Named = {
            let work = Self {
                app: app.clone(),
                task: HOSTED,
                #[cfg(feature = "sql")]
                tables: Some(tables::Scorer::of_endpoints(engine.clone())),
            };
            (format!("{KIND}{HOSTED}"), Arc::new(work))
        };
        Ok(tasks().into_iter().map(of).chain([hosted]).collect())
    }

    /// What a hosted model says of images.
    async fn hosted(&self, endpoint: &str, images: Vec<Vec<u8>>, seen: &Seen) -> Vec<Answer> {
        let pixels: Vec<u64> = images.iter().map(|image| asked::pixels(image)).collect();
        let rows = images
            .into_iter()
            .map(|image| json!({"image": STANDARD.encode(image)}).to_string());
        let (hosted, account) = (&self.app.sagemaker, &self.app.config.aws.account);
        let asked = rows::of_rows(hosted, account, endpoint, Haste::Behind, rows.collect());
        match asked.await {
            Ok(outcomes) => counted(outcomes, pixels, seen),
            Err(failure) => vec![Err(failed(&failure)); pixels.len()],
        }
    }

    async fn answer(&self, what: OfImage, images: Vec<Vec<u8>>, seen: &Seen) -> Vec<Answer> {
        let options = Options {
            priority: Priority::Batch,
            deadline: Some(Instant::now() + PATIENCE),
        };
        let images: Vec<Bytes> = images.into_iter().map(Bytes::from).collect();
        let pixels: Vec<u64> = images.iter().map(|image| asked::pixels(image)).collect();
        let outcomes = asked::of_images(&self.app, what, images, options).await;
        counted(outcomes, pixels, seen)
    }
}

/// What was said of images with so many pixels, which count where there is an answer.
fn counted(
    outcomes: Vec<Result<Box<RawValue>, Failure>>,
    pixels: Vec<u64>,
    seen: &Seen,
) -> Vec<Answer> {
    let answer = |(outcome, pixels): (Result<Box<RawValue>, Failure>, u64)| match outcome {
        Ok(answer) => {
            seen.add(0, pixels);
            Ok(Found {
                answer: answer.get().as_bytes().to_vec(),
                characters: 0,
                units: 1,
            })
        }
        Err(failure) => Err(failed(&failure)),
    };
    outcomes.into_iter().zip(pixels).map(answer).collect()
}

fn failed(failure: &Failure) -> Failed {
    let fault = match failure.code {
        "overloaded" | "deadline" | "unavailable" => Fault::Now,
        _ if failure.status.is_server_error() => Fault::Defect,
        _ => Fault::Document,
    };
    Failed {
        fault,
        code: failure.code.to_owned(),
        message: failure.message.clone(),
        subject: None,
    }
}

/// A line of the output for an image.
#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    answer: Option<&'a RawValue>,
    error: Option<&'a str>,
}

impl Work for Score {
    fn bounds(&self, _: &Spec) -> Bounds {
        // A dataset is as large as it is; only one image has a limit.
        Bounds {
            document: self.app.config.limits.image.get(),
            documents: u64::MAX,
            bytes: u64::MAX,
        }
    }

    fn predict<'a>(
        &'a self,
        spec: &'a Spec,
        documents: Vec<Vec<u8>>,
        seen: &'a Seen,
    ) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(async move {
            if self.task == HOSTED {
                let endpoint = spec.question["endpoint"].as_str().unwrap_or_default();
                return self.hosted(endpoint, documents, seen).await;
            }
            match OF_IMAGES.iter().find(|(name, _)| *name == self.task) {
                Some((_, what)) => self.answer(*what, documents, seen).await,
                None => {
                    let why = || Failure::invalid("this task is about rows of tables");
                    documents.iter().map(|_| Err(failed(&why()))).collect()
                }
            }
        })
    }

    fn too_large(&self, spec: &Spec, bytes: u64) -> Failed {
        let most = self.bounds(spec).document;
        Failed {
            fault: Fault::Document,
            code: "too_large".to_owned(),
            message: format!("the image has {bytes} bytes; at most {most} are taken"),
            subject: None,
        }
    }

    #[cfg(feature = "sql")]
    fn tables(&self) -> Option<&dyn Tables> {
        self.tables.as_ref().map(|tables| tables as &dyn Tables)
    }

    fn render(&self, _: &Spec, place: Place<'_>, answer: Result<&[u8], &Failed>, to: &mut Vec<u8>) {
        let read = answer.map(serde_json::from_slice::<&RawValue>);
        let line = Line {
            path: place.file,
            answer: read
                .as_ref()
                .ok()
                .and_then(|read| read.as_ref().ok().copied()),
            error: match &read {
                Ok(Ok(_)) => None,
                Ok(Err(_)) => Some("the answer cannot be read"),
                Err(failed) => Some(&failed.message),
            },
        };
        // Texts and JSON that was read can be written.
        if serde_json::to_writer(&mut *to, &line).is_ok() {
            to.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            task: "sentiment".to_owned(),
            column: Some("review".to_owned()),
            columns: Vec::new(),
            language: None,
            format: None,
            input: "s3://lake/reviews/".to_owned(),
            output: "s3://lake/scored".to_owned(),
            name: None,
            priority: 0,
        }
    }

    #[test]
    fn files_are_objects_of_the_folder_that_has_them() {
        let objects = Objects {
            folders: ["lake=/data", "reviews=/data/reviews"]
                .map(str::to_owned)
                .into(),
            writable: vec!["reviews".to_owned()],
            ..Objects::default()
        };
        for (input, placed_at) in [
            ("file:///data/reviews/2026/", "s3://reviews/2026/"),
            ("file://localhost/data/reviews", "s3://reviews/"),
            ("s3://lake/x", "s3://lake/x"),
        ] {
            let placed = read_from(input.to_owned(), &objects).ok();
            assert_eq!(placed.as_deref(), Some(placed_at), "{input}");
            let placed = written_to(input.to_owned(), "output", &objects).ok();
            assert_eq!(placed.as_deref(), Some(placed_at), "{input}");
        }
        let read = read_from("file:///data/x".to_owned(), &objects).ok();
        assert_eq!(read.as_deref(), Some("s3://lake/x"));
        for input in [
            "file:///etc/passwd",
            "file:///data/reviews/../secret.csv",
            "file://data/reviews/x.csv",
            "file://",
        ] {
            let failure = read_from(input.to_owned(), &objects).expect_err(input);
            assert_eq!(failure.member, Some("input"));
        }
        for output in [
            "file:///data/x",
            "file:///data/reviewsx",
            "file:///data/reviews/../x",
        ] {
            let failure = written_to(output.to_owned(), "output", &objects).expect_err(output);
            assert_eq!(failure.member, Some("output"), "{output}");
        }
        let nothing = Objects::default();
        assert!(read_from("file:///data/reviews/x.csv".to_owned(), &nothing).is_err());
    }

    #[test]
    fn what_is_wanted_is_a_job_or_refused() {
        let spec = wanted().spec().map_err(|failure| failure.message);
        let spec = spec.expect("a job");
        assert_eq!(spec.kind, "score.sentiment");
        assert_eq!(
            (spec.input.bucket.as_str(), spec.input.prefix.as_str()),
            ("lake", "reviews/")
        );
        assert_eq!(
            (spec.input.split, spec.output.folder.as_str()),
            (Split::Rows, "scored/")
        );
        let images = Wanted {
            task: "moderation".to_owned(),
            column: None,
            ..wanted()
        };
        let spec = images.spec().map_err(|failure| failure.message);
        let spec = spec.expect("a job");
        assert_eq!(spec.input.split, Split::Files);
        let name = "moderation.jsonl".to_owned();
        assert_eq!(spec.output.form, Form::Joined { name });
        let beside = Wanted {
            input: "s3://lake/reviews/2026.csv".to_owned(),
            output: "s3://lake/reviews/".to_owned(),
            format: Some("parquet".to_owned()),
            ..wanted()
        };
        let spec = beside.spec().map_err(|failure| failure.message);
        assert_eq!(spec.expect("a job").output.folder, "reviews/");
        let hosted = Wanted {
            task: "endpoint:churn".to_owned(),
            column: None,
            columns: vec!["age".to_owned(), "income".to_owned()],
            ..wanted()
        };
        let spec = hosted.clone().spec().map_err(|failure| failure.message);
        let spec = spec.expect("a job");
        assert_eq!(
            (spec.kind.as_str(), spec.input.split),
            ("score.endpoint", Split::Rows)
        );
        assert_eq!(spec.question["endpoint"], "churn");
        let images = Wanted {
            columns: Vec::new(),
            ..hosted
        };
        let spec = images.spec().map_err(|failure| failure.message);
        let name = "prediction.jsonl".to_owned();
        assert_eq!(spec.expect("a job").output.form, Form::Joined { name });
        type Change = fn(&mut Wanted);
        let refused: [(&str, Change); 15] = [
            ("task", |wanted| wanted.task = "endpoint:".to_owned()),
            ("columns", |wanted| wanted.columns = vec!["age".to_owned()]),
            ("columns", |wanted| {
                wanted.task = "endpoint:churn".to_owned();
                wanted.columns = vec!["age".to_owned()];
            }),
            ("language", |wanted| {
                (wanted.task, wanted.language) =
                    ("endpoint:churn".to_owned(), Some("en".to_owned()));
            }),
            ("task", |wanted| wanted.task = "mood".to_owned()),
            ("column", |wanted| wanted.column = None),
            ("column", |wanted| wanted.task = "moderation".to_owned()),
            ("input", |wanted| wanted.input = "reviews/".to_owned()),
            ("output", |wanted| wanted.output = "s3:///x".to_owned()),
            ("output", |wanted| {
                wanted.output = "s3://lake/reviews/scored/".to_owned()
            }),
            ("output", |wanted| {
                wanted.input = "s3://lake/reviews/2026.csv".to_owned();
                wanted.output = "s3://lake/reviews/".to_owned();
            }),
            ("output", |wanted| {
                wanted.input = "s3://lake/2026".to_owned();
                wanted.output = "s3://lake".to_owned();
            }),
            ("format", |wanted| wanted.format = Some("xml".to_owned())),
            ("language", |wanted| {
                (wanted.task, wanted.language) = ("embed".to_owned(), Some("en".to_owned()));
            }),
            ("format", |wanted| {
                (wanted.task, wanted.column) = ("labels".to_owned(), None);
                wanted.format = Some("parquet".to_owned());
            }),
        ];
        for (at, change) in refused {
            let mut wanted = wanted();
            change(&mut wanted);
            let failure = wanted.clone().spec().err();
            let failure = failure.unwrap_or_else(|| panic!("{wanted:?} is a job"));
            assert_eq!(failure.member, Some(at), "{wanted:?}: {}", failure.message);
        }
    }
}
