//! `StartMediaAnalysisJob`: a request becomes a job.

use super::{KIND, work};
use crate::aws::dispatch::{Call, typed};
use crate::aws::errors::Failure;
use crate::aws::rekognition::image::{self, S3Object, invalid};
use crate::aws::{Aws, jobs};
use crate::object_store::ObjectName;
use escala_batch::job::{Form, Job, Source, Spec, Split, Target};
use escala_batch::runner::{Error, Runner, Token};
use escala_pipelines::Options;
use serde::Deserialize;
use serde_json::{Value, json};

/// The files of the output.
const RESULTS: &str = "results.jsonl";
const SUMMARY: &str = "manifest-summary.json";
/// What `GetMediaAnalysisJob` shows as it was given.
const SHOWN: [&str; 3] = ["OperationsConfig", "Input", "OutputConfig"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    operations_config: Operations,
    input: Input,
    output_config: Output,
    job_name: Option<String>,
    client_request_token: Option<String>,
    kms_key_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Operations {
    detect_moderation_labels: Option<Moderation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Moderation {
    min_confidence: Option<f32>,
    project_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    s3_object: S3Object,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    s3_bucket: String,
    s3_key_prefix: Option<String>,
}

/// A checked request.
pub struct Start {
    /// The request, which is the same text for the same request.
    request: String,
    token: Option<String>,
    id: String,
    manifest: ObjectName,
    spec: Spec,
}

impl Start {
    /// Checks a request.
    ///
    /// # Errors
    /// What the operation answers instead.
    pub fn read(call: Call, input: Value) -> Result<Self, Failure> {
        let input = jobs::without_nulls(input);
        let asked: Asked = typed(input.clone())?;
        let Some(moderation) = asked.operations_config.detect_moderation_labels else {
            return Err(invalid("OperationsConfig has no operation."));
        };
        if moderation.project_version.is_some() {
            return Err(invalid(
                "Adapters are not part of this version of Escala; leave out ProjectVersion to use the built-in models.",
            ));
        }
        if asked.kms_key_id.is_some() {
            return Err(invalid(
                "Keys are not part of this version of Escala; leave out KmsKeyId.",
            ));
        }
        let manifest = asked.input.s3_object.named(call)?;
        let id = Runner::new_id();
        let prefix = asked.output_config.s3_key_prefix.unwrap_or_default();
        let prefix = prefix.trim_end_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        let folder = format!("{prefix}{slash}{id}/");
        let bucket = asked.output_config.s3_bucket;
        ObjectName::new(&bucket, &format!("{folder}{SUMMARY}"), None).map_err(|error| {
            invalid(&format!("OutputConfig names no place of objects: {error}."))
        })?;
        let mut shown = json!({});
        for member in SHOWN {
            shown[member] = input[member].clone();
        }
        Ok(Self {
            request: input.to_string(),
            token: asked.client_request_token,
            id,
            spec: Spec {
                kind: KIND.to_owned(),
                name: asked.job_name,
                priority: 0,
                input: Source {
                    bucket: manifest.bucket().to_owned(),
                    prefix: manifest.key().to_owned(),
                    split: Split::Manifest,
                },
                output: Target {
                    bucket,
                    folder,
                    form: Form::Summed {
                        name: RESULTS.to_owned(),
                        summary: SUMMARY.to_owned(),
                    },
                },
                question: work::question(moderation.min_confidence),
                details: shown,
            },
            manifest,
        })
    }

    /// Looks whether there is a manifest of a size that is taken.
    ///
    /// # Errors
    /// There is none.
    pub async fn look(&self, aws: &Aws, call: Call, options: Options) -> Result<(), Failure> {
        let length = aws.images.stored.length(self.manifest.clone(), options);
        let length = length.await.map_err(|error| image::failure(call, error))?;
        let wrong = match length {
            0 => "The manifest is empty.".to_owned(),
            length if length > work::MOST_BYTES => {
                let most = work::MOST_BYTES;
                format!("The manifest has {length} bytes; at most {most} are taken.")
            }
            _ => return Ok(()),
        };
        Err(Failure::declared("InvalidManifestException", wrong))
    }

    fn token(&self) -> Option<Token<'_>> {
        let token = self.token.as_deref()?;
        Some(Token {
            token,
            request: &self.request,
        })
    }

    /// The job that was asked for with its token before.
    ///
    /// # Errors
    /// Those of [`Runner::known`].
    pub fn known(&self, jobs: &Runner) -> Result<Option<Job>, Error> {
        let known = self.token().map(|token| jobs.known(KIND, token));
        known.unwrap_or(Ok(None))
    }

    /// Keeps it.
    ///
    /// # Errors
    /// Those of [`Runner::submit`].
    pub fn submit(&self, jobs: &Runner) -> Result<Job, Error> {
        let (id, spec) = (self.id.clone(), self.spec.clone());
        Ok(jobs.submit(id, spec, self.token())?.job())
    }
}
