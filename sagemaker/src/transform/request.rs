//! What a transform job is asked to do: the request, as it is kept with the job.

use crate::names::{ADDRESSES, s3};
use crate::{Refusal, refusal};
use escala_batch::job::{Form, Source, Spec, Split, Target};
use escala_batch::transform::record::{Split as Records, Strategy};
use escala_batch::transform::{Options, Transform};
use escala_objects::ObjectName;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Members of the request that are said again when somebody asks for the job.
pub(super) const SHOWN: [&str; 10] = [
    "ModelName",
    "MaxConcurrentTransforms",
    "ModelClientConfig",
    "MaxPayloadInMB",
    "BatchStrategy",
    "Environment",
    "ExperimentConfig",
    "TransformInput",
    "TransformOutput",
    "TransformResources",
];

/// How often a request is asked again where nothing is said, and how long an answer may take.
const RETRIES: u32 = 3;
const TIMEOUT: Duration = Duration::from_secs(600);

/// `CreateTransformJobRequest`, without its tags.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Request {
    pub transform_job_name: String,
    pub model_name: String,
    max_concurrent_transforms: Option<usize>,
    model_client_config: Option<ModelClientConfig>,
    #[serde(rename = "MaxPayloadInMB")]
    max_payload: Option<usize>,
    batch_strategy: Option<String>,
    /// What is added to the model's environment.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    transform_input: TransformInput,
    transform_output: TransformOutput,
    data_capture_config: Option<Value>,
    data_processing: Option<DataProcessing>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ModelClientConfig {
    invocations_timeout_in_seconds: Option<u64>,
    invocations_max_retries: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TransformInput {
    data_source: DataSource,
    content_type: Option<String>,
    compression_type: Option<String>,
    split_type: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataSource {
    s3_data_source: S3DataSource,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct S3DataSource {
    s3_data_type: String,
    s3_uri: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TransformOutput {
    s3_output_path: String,
    accept: Option<String>,
    assemble_with: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataProcessing {
    input_filter: Option<String>,
    output_filter: Option<String>,
    join_source: Option<String>,
}

/// A bucket and a key or the beginning of keys, which may be empty.
fn located<'a>(address: &'a str, what: &str) -> refusal::Result<(&'a str, &'a str)> {
    let wrong = |why: &str| {
        Refusal::validation(format!(
            "{what} '{address}' is not an address in S3: {why}."
        ))
    };
    let (bucket, key) = s3(address).ok_or_else(|| wrong(&format!("those are {ADDRESSES}")))?;
    let name = if key.is_empty() { "a" } else { key };
    ObjectName::new(bucket, name, None).map_err(|error| wrong(&error.to_string()))?;
    Ok((bucket, key))
}

impl Request {
    /// Reads a request that was checked against the service model.
    ///
    /// # Errors
    /// It is none.
    pub fn read(input: &Value) -> Result<Self, String> {
        Self::deserialize(input).map_err(|error| error.to_string())
    }

    /// Refuses what is not done here.
    ///
    /// # Errors
    /// A sentence about what.
    pub fn check(&self) -> refusal::Result<()> {
        if self.data_capture_config.is_some() {
            return Err(Refusal::validation(
                "Data of transform jobs is not captured; leave out DataCaptureConfig.",
            ));
        }
        self.transform().map(drop)
    }

    /// What is done with objects.
    ///
    /// # Errors
    /// What does not go together.
    pub fn transform(&self) -> refusal::Result<Transform> {
        let (input, output) = (&self.transform_input, &self.transform_output);
        let processing = self.data_processing.as_ref();
        let options = Options {
            content_type: input.content_type.clone(),
            accept: output.accept.clone(),
            split: match input.split_type.as_deref() {
                Some("Line") => Records::Line,
                Some("RecordIO") => Records::RecordIo,
                Some("TFRecord") => Records::TfRecord,
                _ => Records::None,
            },
            strategy: match self.batch_strategy.as_deref() {
                Some("MultiRecord") => Strategy::MultiRecord,
                _ => Strategy::SingleRecord,
            },
            assemble_lines: output.assemble_with.as_deref() == Some("Line"),
            payload: self.max_payload,
            concurrent: self.max_concurrent_transforms,
            input_filter: processing.and_then(|processing| processing.input_filter.clone()),
            join: processing
                .is_some_and(|processing| processing.join_source.as_deref() == Some("Input")),
            output_filter: processing.and_then(|processing| processing.output_filter.clone()),
        };
        let transform = Transform::new(&options);
        transform.map_err(|error| Refusal::validation(format!("{error}.")))
    }

    /// Where the inputs are, or the manifest that names them.
    ///
    /// # Errors
    /// It is no address.
    pub fn input(&self) -> refusal::Result<(&str, &str)> {
        located(
            &self.transform_input.data_source.s3_data_source.s3_uri,
            "S3Uri",
        )
    }

    /// Whether a manifest names the inputs.
    pub fn has_manifest(&self) -> bool {
        self.transform_input.data_source.s3_data_source.s3_data_type == "ManifestFile"
    }

    /// Whether the inputs are compressed.
    pub fn is_gzipped(&self) -> bool {
        self.transform_input.compression_type.as_deref() == Some("Gzip")
    }

    /// What a body is, and what is wanted.
    pub fn types(&self) -> (Option<&String>, Option<&String>) {
        (
            self.transform_input.content_type.as_ref(),
            self.transform_output.accept.as_ref(),
        )
    }

    /// How often a request is asked again, and how long an answer may take.
    pub fn patience(&self) -> (u32, Duration) {
        let client = self.model_client_config.as_ref();
        let retries = client.and_then(|client| client.invocations_max_retries);
        let timeout = client.and_then(|client| client.invocations_timeout_in_seconds);
        (
            retries.unwrap_or(RETRIES),
            timeout.map_or(TIMEOUT, Duration::from_secs),
        )
    }

    /// The job of a request without its tags; `source` is the bucket and what the keys of its inputs begin with.
    ///
    /// # Errors
    /// The output has no place.
    pub fn spec(&self, input: &Value, source: (String, String)) -> refusal::Result<Spec> {
        let (bucket, folder) = located(&self.transform_output.s3_output_path, "S3OutputPath")?;
        let folder = match folder.trim_end_matches('/') {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        Ok(Spec {
            kind: super::KIND.to_owned(),
            name: Some(self.transform_job_name.clone()),
            priority: 0,
            input: Source {
                bucket: source.0,
                prefix: source.1,
                split: Split::Rows,
            },
            output: Target {
                bucket: bucket.to_owned(),
                folder,
                form: Form::Files {
                    suffix: ".out".to_owned(),
                },
            },
            question: input.clone(),
            details: Value::Null,
        })
    }
}

/// A request as it is shown: with what SageMaker fills in.
pub(super) fn shown(request: &Value) -> serde_json::Map<String, Value> {
    let mut shown = serde_json::Map::new();
    for member in SHOWN {
        // Clients that check answers take no structure without members.
        let value = request.get(member);
        let empty = |value: &&Value| value.as_object().is_some_and(serde_json::Map::is_empty);
        if let Some(value) = value.filter(|value| !empty(value)) {
            shown.insert(member.to_owned(), value.clone());
        }
    }
    let mut fill = |member: &str, defaults: &[(&str, &str)]| {
        let of = shown.entry(member).or_insert_with(|| json!({}));
        if let Some(of) = of.as_object_mut() {
            for (name, value) in defaults {
                of.entry(*name).or_insert_with(|| Value::from(*value));
            }
        }
    };
    fill(
        "TransformInput",
        &[("CompressionType", "None"), ("SplitType", "None")],
    );
    fill(
        "TransformOutput",
        &[("AssembleWith", "None"), ("KmsKeyId", "")],
    );
    let mut processing = request.get("DataProcessing").cloned().unwrap_or(json!({}));
    if let Some(of) = processing.as_object_mut() {
        for (name, value) in [
            ("InputFilter", "$"),
            ("OutputFilter", "$"),
            ("JoinSource", "None"),
        ] {
            of.entry(name).or_insert_with(|| Value::from(value));
        }
    }
    shown.insert("DataProcessing".to_owned(), processing);
    shown
}
