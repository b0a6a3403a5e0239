//! What is asked about the documents of Comprehend's jobs, and what is written of the answers.
//!
//! The same models and the same answers as those of the operations on one document, asked with the priority of jobs.

use super::topics::Topics;
use super::{KINDS, Kind};
use crate::aws::Aws;
use crate::aws::comprehend::{View, document, dominant_language, pii, sentiment, syntax, targeted};
use crate::aws::jobs;
use escala_batch::job::Spec;
use escala_batch::work::{Answer, Bounds, Failed, Fault, Found, Place, Seen, Work};
use escala_pipelines::pii::redact::{Mode, Redaction};
use escala_pipelines::pii::{PiiInput, PiiKind};
use escala_pipelines::{Error, Kind as ErrorKind, Meter, Options};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Bytes of a job's inputs and their number, as at AWS.
pub(super) const MOST_BYTES: u64 = 5 << 30;
pub(super) const MOST_DOCUMENTS: u64 = 1_000_000;
/// Characters of a unit, and the fewest units of a document, as AWS bills.
const UNIT: u64 = 100;
const FEWEST_UNITS: u64 = 3;

/// Asks the engine for the jobs of a kind.
pub struct Asker {
    aws: Aws,
    kind: &'static Kind,
}

impl Asker {
    /// One for each kind, by its full name.
    pub fn all(aws: &Aws) -> impl Iterator<Item = (String, Arc<dyn Work>)> {
        let of = |kind: &'static Kind| -> (String, Arc<dyn Work>) {
            let aws = aws.clone();
            let work: Arc<dyn Work> = match kind.view {
                Some(_) => Arc::new(Self { aws, kind }),
                // Half of the machine: whoever waits for an answer has the rest.
                None => Arc::new(Topics {
                    threads: std::thread::available_parallelism()
                        .map_or(1, usize::from)
                        .div_ceil(2),
                }),
            };
            (kind.full_name(), work)
        };
        KINDS.iter().map(of)
    }
}

/// A question, as it is kept with the job.
#[derive(Serialize, Deserialize)]
struct Question {
    language: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redaction: Option<Kept>,
}

/// A redaction, as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The character of masks; kinds' names where there is none.
    mask: Option<char>,
    kinds: Option<Vec<String>>,
}

/// What is asked.
pub fn question(language: &str, redaction: Option<&Redaction>) -> Value {
    let redaction = redaction.map(|redaction| {
        let names = |kind: &PiiKind| kind.name().to_owned();
        let kinds = redaction.kinds.as_ref();
        json!({
            "mask": match redaction.mode {
                Mode::Mask(mask) => Some(mask),
                Mode::Replace => None,
            },
            "kinds": kinds.map(|kinds| kinds.iter().map(names).collect::<Vec<_>>()),
        })
    });
    match redaction {
        Some(redaction) => json!({"language": language, "redaction": redaction}),
        None => json!({ "language": language }),
    }
}

impl Question {
    fn of(spec: &Spec) -> Result<Self, Error> {
        Self::deserialize(&spec.question).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                format!("a job's question cannot be read: {error}"),
            )
        })
    }
}

impl Kept {
    fn redaction(&self) -> Redaction {
        let of_names = |names: &Vec<String>| {
            names
                .iter()
                .filter_map(|name| PiiKind::of_name(name))
                .collect()
        };
        Redaction {
            mode: self.mask.map_or(Mode::Replace, Mode::Mask),
            kinds: self.kinds.as_ref().map(of_names),
            min_score: 0.0,
        }
    }
}

/// Whether answers of a job are the documents themselves, without personal data.
fn redacts(spec: &Spec) -> bool {
    spec.question.get("redaction").is_some()
}

impl Asker {
    async fn answers(
        &self,
        question: &Question,
        texts: Vec<Arc<str>>,
    ) -> Vec<Result<Vec<u8>, Error>> {
        let options = jobs::options();
        let (aws, language) = (&self.aws, question.language.as_str());
        let most = usize::try_from(self.kind.document).unwrap_or(usize::MAX);
        if let Some(kept) = &question.redaction {
            return self
                .redacted(&kept.redaction(), language, texts, options)
                .await;
        }
        let answers = match self.kind.view {
            Some(View::Language) => {
                let rules = dominant_language::rules(aws);
                rules.documents(texts, language, most, options).await
            }
            Some(View::Entities) => {
                syntax::entities(aws)
                    .documents(texts, language, most, options)
                    .await
            }
            Some(View::KeyPhrases) => {
                let rules = syntax::key_phrases(aws);
                rules.documents(texts, language, most, options).await
            }
            Some(View::Sentiment) => {
                sentiment::rules(aws)
                    .documents(texts, language, most, options)
                    .await
            }
            Some(View::Targeted) => {
                targeted::rules(aws)
                    .documents(texts, language, most, options)
                    .await
            }
            _ => {
                pii::detect(aws)
                    .documents(texts, language, most, options)
                    .await
            }
        };
        let bytes = |answer: Result<Value, Error>| Ok(answer?.to_string().into_bytes());
        answers.into_iter().map(bytes).collect()
    }

    async fn redacted(
        &self,
        redaction: &Redaction,
        language: &str,
        texts: Vec<Arc<str>>,
        options: Options,
    ) -> Vec<Result<Vec<u8>, Error>> {
        let extended = self.aws.pii_extensions;
        // Nothing stays nothing: an empty line is a line of the file.
        let is_blank = |text: &str| text.chars().all(char::is_whitespace);
        let asked = texts.iter().filter(|text| !is_blank(text));
        let inputs = asked.map(|text| PiiInput::new(text.clone(), language).extended(extended));
        let inputs: Vec<PiiInput> = inputs.collect();
        let found = match inputs.is_empty() {
            true => Vec::new(),
            false => self.aws.pii.predict_many(inputs, options).await,
        };
        let mut found = found.into_iter();
        let one = |text: &Arc<str>| {
            if is_blank(text) {
                return Ok(text.as_bytes().to_vec());
            }
            let found = found
                .next()
                .unwrap_or_else(|| Err(document::unanswered()))?;
            Ok(redaction.apply(text, &found)?.text.into_bytes())
        };
        texts.iter().map(one).collect()
    }
}

impl Work for Asker {
    fn bounds(&self, _: &Spec) -> Bounds {
        Bounds {
            document: self.kind.document,
            documents: MOST_DOCUMENTS,
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
            let count = documents.len();
            let question = match Question::of(spec) {
                Ok(question) => question,
                Err(error) => return vec![Err(failed(&error)); count],
            };
            let decoded: Vec<Result<Arc<str>, Failed>> = documents
                .into_iter()
                .map(|bytes| {
                    String::from_utf8(bytes)
                        .map(Arc::from)
                        .map_err(|_| encoding())
                })
                .collect();
            let texts: Vec<Arc<str>> = decoded.iter().flatten().cloned().collect();
            let meter = Meter::default();
            let mut answers = match texts.is_empty() {
                true => Vec::new(),
                false => meter.count(self.answers(&question, texts)).await,
            }
            .into_iter();
            seen.add(meter.tokens(), 0);
            let one = |text: Result<Arc<str>, Failed>| {
                let text = text?;
                let answer = answers
                    .next()
                    .unwrap_or_else(|| Err(document::unanswered()));
                let characters = text.chars().count() as u64;
                Ok(Found {
                    answer: answer.map_err(|error| failed(&error))?,
                    characters,
                    units: characters.div_ceil(UNIT).max(FEWEST_UNITS),
                })
            };
            decoded.into_iter().map(one).collect()
        })
    }

    fn too_large(&self, _: &Spec, _: u64) -> Failed {
        too_large(self.kind.document)
    }

    fn render(
        &self,
        spec: &Spec,
        place: Place<'_>,
        answer: Result<&[u8], &Failed>,
        to: &mut Vec<u8>,
    ) {
        let mut head = json!({"File": place.file});
        if let Some(line) = place.line {
            head["Line"] = line.into();
        }
        match answer {
            Ok(text) if redacts(spec) => {
                to.extend_from_slice(text);
                // A file that is a document has the end that it had.
                if place.line.is_none() {
                    return;
                }
            }
            Ok(members) => {
                // Two objects become one: the end of the one and the begin of the other go.
                let head = head.to_string();
                to.extend_from_slice(head.trim_end_matches('}').as_bytes());
                let members = members.strip_prefix(b"{").unwrap_or(members);
                if members != b"}" {
                    to.push(b',');
                }
                to.extend_from_slice(members);
            }
            Err(failed) => {
                head["ErrorCode"] = failed.code.clone().into();
                head["ErrorMessage"] = failed.message.clone().into();
                to.extend_from_slice(head.to_string().as_bytes());
            }
        }
        to.push(b'\n');
    }
}

/// Why a document of more than so many bytes has no answer.
pub(super) fn too_large(most: u64) -> Failed {
    Failed {
        fault: Fault::Document,
        code: "DOCUMENT_SIZE_EXCEEDED".to_owned(),
        message: format!("Document size is exceeded maximum size limit {most} bytes."),
        subject: None,
    }
}

fn encoding() -> Failed {
    Failed {
        fault: Fault::Document,
        code: "UNSUPPORTED_ENCODING".to_owned(),
        message: "The document is not encoded in UTF-8.".to_owned(),
        subject: None,
    }
}

/// An error of the engine as jobs see it.
fn failed(error: &Error) -> Failed {
    let (fault, code) = match error.kind() {
        ErrorKind::TooLarge => (Fault::Document, "DOCUMENT_SIZE_EXCEEDED"),
        ErrorKind::InvalidInput | ErrorKind::InvalidImage | ErrorKind::NotFound => {
            (Fault::Document, "INVALID_REQUEST")
        }
        ErrorKind::Unsupported => (Fault::Document, "UNSUPPORTED_LANGUAGE"),
        ErrorKind::Overloaded | ErrorKind::Deadline | ErrorKind::Unavailable => {
            (Fault::Now, "SERVICE_UNAVAILABLE")
        }
        ErrorKind::Internal => (Fault::Defect, "INTERNAL_SERVER_ERROR"),
    };
    let message = match fault {
        Fault::Defect => {
            tracing::error!(%error, "a document of a job has no answer");
            "The server failed to answer; its log says why.".to_owned()
        }
        _ => error.message().to_owned(),
    };
    Failed {
        fault,
        code: code.to_owned(),
        message,
        subject: None,
    }
}
