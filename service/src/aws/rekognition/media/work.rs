//! What is asked about the lines of a manifest, and what is written of the answers.
//!
//! A line names an image, which is read and answered as `DetectModerationLabels` reads and answers an object, with the priority
//! of jobs. A result is `{"source-ref":…,"detect-moderation-labels":…}` with the answer of the operation; lines without one are
//! `errors` of the summary. AWS documents that these have a code and not which: here it is the one that the operation has for
//! the image, and for lines that name none the one that Custom Labels of Rekognition has for lines of the same form
//! (<https://docs.aws.amazon.com/rekognition/latest/customlabels-dg/tm-debugging-json-line-errors.html>). Lines are counted from
//! 1 in `line-number`, which AWS's page has as `line-numer`. Images are not looked for twice: a line that comes again is answered
//! again.

use crate::app::one;
use crate::asked::pixels;
use crate::aws::dispatch::{self, Call};
use crate::aws::errors::Failure;
use crate::aws::rekognition::{image, moderation};
use crate::aws::{Aws, jobs};
use crate::object_store::{self, ObjectName};
use escala_batch::job::{Spec, Usage};
use escala_batch::work::{Answer, Bounds, Failed, Fault, Found, Place, Seen, Summary, Work};
use escala_pipelines::Kind;
use escala_pipelines::moderation::ModerationInput;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Bytes of a manifest and its lines. AWS has a limit and does not say which; this one is ours.
pub const MOST_BYTES: u64 = 1 << 30;
const MOST_LINES: u64 = 1_000_000;
/// Bytes of a line, as Custom Labels has it.
const LINE: u64 = 100_000;
/// Images of a task that are held at the same time: they share their memory with requests.
const IMAGES: usize = 4;

/// Asks the engine about the images of manifests.
pub struct Moderation {
    aws: Aws,
}

/// A question, as it is kept with the job.
#[derive(Serialize, Deserialize)]
struct Question {
    /// Least confidence in percent, where the request says it.
    least: Option<f32>,
}

/// What is asked.
pub fn question(least: Option<f32>) -> Value {
    json!({ "least": least })
}

/// What a line names.
fn source(line: &[u8]) -> Result<String, Failed> {
    let line: Map<String, Value> = serde_json::from_slice(line).map_err(|_| {
        manifest(
            "ERROR_INVALID_JSON_LINE",
            "The JSON Line has an invalid format.",
        )
    })?;
    match line.get("source-ref") {
        None => Err(manifest(
            "ERROR_MISSING_SOURCE_REF",
            "The source-ref key is missing.",
        )),
        Some(Value::String(source)) => Ok(source.clone()),
        Some(_) => Err(no_place()),
    }
}

/// The bucket and the key of an address.
fn located(source: &str) -> Option<(&str, &str)> {
    let rest = source
        .strip_prefix("s3://")
        .or_else(|| source.strip_prefix("S3://"))?;
    let (bucket, key) = rest.split_once('/')?;
    (!bucket.is_empty() && !key.is_empty()).then_some((bucket, key))
}

fn no_place() -> Failed {
    manifest(
        "ERROR_INVALID_SOURCE_REF_FORMAT",
        "The format of the source-ref value is invalid.",
    )
}

/// What is wrong with a line.
fn manifest(code: &str, message: &str) -> Failed {
    Failed {
        fault: Fault::Document,
        code: code.to_owned(),
        message: message.to_owned(),
        subject: None,
    }
}

/// A failure of the operation as jobs see it.
fn failed(failure: Failure) -> Failed {
    let kind = failure.cause.as_ref().map(|error| error.kind());
    let (fault, message) = match kind {
        Some(Kind::Overloaded | Kind::Deadline | Kind::Unavailable) => {
            (Fault::Now, failure.message)
        }
        Some(Kind::Internal) => {
            tracing::error!(cause = ?failure.cause, "an image of a job has no answer");
            let message = "The server failed to answer; its log says why.";
            (Fault::Defect, message.to_owned())
        }
        _ => (Fault::Document, failure.message),
    };
    Failed {
        fault,
        code: failure.code.to_owned(),
        message,
        subject: None,
    }
}

/// The operation whose answers and errors these are.
fn operation() -> Result<Call, Failure> {
    dispatch::find(
        dispatch::service("RekognitionService")?,
        "DetectModerationLabels",
    )
}

impl Moderation {
    /// One that asks what the doors ask.
    pub fn new(aws: Aws) -> Self {
        Self { aws }
    }

    /// What is said about a line.
    async fn line(&self, call: Call, least: Option<f32>, line: Vec<u8>, seen: &Seen) -> Answer {
        let source = source(&line)?;
        match self.image(call, least, &source, seen).await {
            // AWS's order, which a map of JSON would not keep.
            Ok(answer) => Ok(Found {
                answer: format!(
                    r#"{{"source-ref":{},"detect-moderation-labels":{answer}}}"#,
                    json!(source)
                )
                .into_bytes(),
                characters: 0,
                units: 1,
            }),
            Err(failed) => Err(Failed {
                subject: Some(source),
                ..failed
            }),
        }
    }

    /// What the operation answers for an image.
    async fn image(
        &self,
        call: Call,
        least: Option<f32>,
        source: &str,
        seen: &Seen,
    ) -> Result<Value, Failed> {
        let (bucket, key) = located(source).ok_or_else(no_place)?;
        let unread = |error: object_store::Error| {
            // One image that cannot be read, and again cannot, is no reason to wait with all others.
            let is_broken = matches!(error, object_store::Error::Broken(_));
            let failed = failed(image::failure(call, error));
            match is_broken {
                true => Failed {
                    fault: Fault::Defect,
                    ..failed
                },
                false => failed,
            }
        };
        let name = ObjectName::new(bucket, key, None).map_err(|error| unread(error.into()))?;
        let (images, options) = (&self.aws.images, jobs::options());
        let image = images.stored.read(name, options).await.map_err(unread)?;
        let pixels = pixels(&image);
        let input = ModerationInput {
            image: image.into(),
        };
        let found = one(&*images.moderation, input, options).await;
        if found.is_ok() {
            seen.add(0, pixels);
        }
        let answer = found.and_then(|found| moderation::answer(&found, least));
        answer.map_err(|error| failed(Failure::of(call.service.id, call.operation, error)))
    }
}

impl Work for Moderation {
    fn bounds(&self, _: &Spec) -> Bounds {
        Bounds {
            document: LINE,
            documents: MOST_LINES,
            bytes: MOST_BYTES,
        }
    }

    fn predict<'a>(
        &'a self,
        spec: &'a Spec,
        documents: Vec<Vec<u8>>,
        seen: &'a Seen,
    ) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(async move {
            let question = Question::deserialize(&spec.question).map_err(|error| {
                Failure::internal(format!("a job's question cannot be read: {error}"))
            });
            let asked = question.and_then(|question| Ok((operation()?, question.least)));
            match asked {
                Ok((call, least)) => {
                    let lines = stream::iter(documents);
                    let answers = lines.map(|line| self.line(call, least, line, seen));
                    answers.buffered(IMAGES).collect().await
                }
                Err(failure) => vec![Err(failed(failure)); documents.len()],
            }
        })
    }

    fn too_large(&self, _: &Spec, bytes: u64) -> Failed {
        let message = format!(
            "The JSON Line has an invalid format: it has {bytes} bytes and may have {LINE}."
        );
        manifest("ERROR_INVALID_JSON_LINE", &message)
    }

    fn render(&self, _: &Spec, place: Place<'_>, answer: Result<&[u8], &Failed>, to: &mut Vec<u8>) {
        match answer {
            Ok(answer) => {
                to.extend_from_slice(answer);
                to.push(b'\n');
            }
            Err(failed) => {
                let number = place.line.map_or(0, |line| line + 1);
                let mut error = format!(r#"{{"line-number":{number},"#);
                if let Some(source) = &failed.subject {
                    error.push_str(&format!(r#""source-ref":{},"#, json!(source)));
                }
                let (code, message) = (json!(failed.code), json!(failed.message));
                error.push_str(&format!(r#""code":{code},"message":{message}}}"#));
                to.extend_from_slice(error.as_bytes());
            }
        }
    }

    fn summary(&self, _: &Spec, usage: &Usage) -> Summary {
        let (all, errors) = (usage.documents, usage.errors);
        let valid = all.saturating_sub(errors);
        let head = format!(
            r#"{{"version":"1.0","statistics":{{"total-json-lines":{all},"valid-json-lines":{valid},"invalid-json-lines":{errors}}},"errors":["#
        );
        Summary {
            head: head.into_bytes(),
            between: b",".to_vec(),
            tail: b"]}".to_vec(),
        }
    }
}
