//! `Start…DetectionJob`: a request becomes a job.

use super::{Kind, invalid, topics, work};
use crate::aws::comprehend::View;
use crate::aws::dispatch::typed;
use crate::aws::errors::Failure;
use crate::aws::jobs;
use escala_batch::job::{Form, Job, Source, Spec, Split, Target};
use escala_batch::runner::{Error, Runner, Token};
use escala_objects::ObjectName;
use escala_pipelines::pii::redact::{Mode, Redaction};
use escala_pipelines::pii::{LANGUAGES as PII_LANGUAGES, PiiKind};
use escala_pipelines::{sentiment, syntax, targeted};
use escala_sagemaker::Caller;
use serde::Deserialize;
use serde_json::{Value, json};

/// What `Describe` shows as it was given, beside what the job itself says.
const SHOWN: [&str; 7] = [
    "InputDataConfig",
    "LanguageCode",
    "DataAccessRoleArn",
    "VpcConfig",
    "Mode",
    "RedactionConfig",
    "NumberOfTopics",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    input_data_config: Place,
    output_data_config: Place,
    job_name: Option<String>,
    language_code: Option<String>,
    client_request_token: Option<String>,
    volume_kms_key_id: Option<String>,
    entity_recognizer_arn: Option<String>,
    flywheel_arn: Option<String>,
    mode: Option<String>,
    redaction_config: Option<RedactionConfig>,
    number_of_topics: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Place {
    s3_uri: String,
    input_format: Option<String>,
    kms_key_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RedactionConfig {
    pii_entity_types: Option<Vec<String>>,
    mask_mode: Option<String>,
    mask_character: Option<String>,
}

/// A checked request.
pub struct Start {
    /// The request, which is the same text for the same request.
    request: String,
    token: Option<String>,
    spec: Spec,
    /// The folder that the output's folder is made in.
    output: String,
}

impl Start {
    /// Checks a request.
    ///
    /// # Errors
    /// What the operation answers instead.
    pub fn read(kind: &'static Kind, input: Value) -> Result<Self, Failure> {
        let input = jobs::without_nulls(input);
        let asked: Asked = typed(input.clone())?;
        if asked.entity_recognizer_arn.is_some() || asked.flywheel_arn.is_some() {
            return Err(Failure::declared(
                "ResourceUnavailableException",
                "Custom entity recognizers and flywheels are not part of this version of Escala; leave out \
                 EntityRecognizerArn and FlywheelArn to use the built-in model.",
            ));
        }
        if asked.volume_kms_key_id.is_some() || asked.output_data_config.kms_key_id.is_some() {
            return Err(Failure::declared(
                "KmsKeyValidationException",
                "Keys are not part of this version of Escala; leave out KmsKeyId and VolumeKmsKeyId.",
            ));
        }
        let language = asked.language_code.unwrap_or_default();
        let languages = match kind.view {
            Some(View::Sentiment) => Some(sentiment::LANGUAGES),
            Some(View::Pii) => Some(PII_LANGUAGES),
            Some(View::Entities | View::KeyPhrases) => Some(syntax::LANGUAGES),
            Some(View::Targeted) => Some(targeted::LANGUAGES),
            _ => None,
        };
        if let Some(languages) = languages.filter(|all| !all.contains(&language.as_str())) {
            // They declare no error of its own for it.
            return Err(invalid(&format!(
                "There is no model for the language '{language}' in this build; languages it has models for: {}.",
                languages.join(", ")
            )));
        }
        let (bucket, prefix) = located(&asked.input_data_config.s3_uri)?;
        let split = match asked.input_data_config.input_format.as_deref() {
            Some("ONE_DOC_PER_FILE") => Split::Files,
            // AWS's default.
            _ => Split::Lines,
        };
        let redaction = redaction(kind, asked.mode.as_deref(), asked.redaction_config)?;
        let (out_bucket, output) = located(&asked.output_data_config.s3_uri)?;
        let form = match kind.view {
            Some(View::Pii) => Form::Files {
                suffix: ".out".to_owned(),
            },
            None => Form::Collected {
                name: "output.tar.gz".to_owned(),
                members: topics::MEMBERS.map(str::to_owned).to_vec(),
            },
            Some(_) => Form::Archive {
                name: "output.tar.gz".to_owned(),
                member: "output".to_owned(),
            },
        };
        let mut shown = json!({});
        for member in SHOWN {
            if let Some(value) = input.get(member) {
                shown[member] = value.clone();
            }
        }
        // The model's bounds hold; a fraction is cut off as AWS does.
        let topics = asked.number_of_topics.map(|number| number as u64);
        if let Some(topics) = topics {
            shown["NumberOfTopics"] = topics.into();
        }
        Ok(Self {
            request: input.to_string(),
            token: asked.client_request_token,
            spec: Spec {
                kind: kind.full_name(),
                name: asked.job_name,
                priority: 0,
                input: Source {
                    bucket,
                    prefix,
                    split,
                },
                output: Target {
                    bucket: out_bucket,
                    folder: String::new(),
                    form,
                },
                question: match kind.view {
                    None => topics::question(topics),
                    Some(_) => work::question(&language, redaction.as_ref()),
                },
                details: shown,
            },
            output,
        })
    }

    /// Keeps it.
    ///
    /// # Errors
    /// Those of [`Runner::submit`].
    pub fn submit(mut self, jobs: &Runner, caller: &Caller, kind: &Kind) -> Result<Job, Error> {
        let id = Runner::new_id();
        let prefix = self.output.trim_end_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        let account = &caller.account;
        self.spec.output.folder = format!("{prefix}{slash}{account}-{}-{id}/output/", kind.code);
        let token = self.token.as_deref().map(|token| Token {
            token,
            request: &self.request,
        });
        Ok(jobs.submit(id, self.spec, token)?.job())
    }
}

/// The bucket and the rest of an address; the service model has checked its form, S3's rules are checked here.
fn located(uri: &str) -> Result<(String, String), Failure> {
    let wrong = |why: &str| invalid(&format!("{uri} is not the address of an object: {why}."));
    let rest = uri.strip_prefix("s3://");
    let rest = rest.ok_or_else(|| wrong("it does not begin with s3://"))?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let name = if key.is_empty() { "a" } else { key };
    ObjectName::new(bucket, name, None).map_err(|error| wrong(&error.to_string()))?;
    Ok((bucket.to_owned(), key.to_owned()))
}

/// How personal data is taken out, where that is asked.
fn redaction(
    kind: &Kind,
    mode: Option<&str>,
    config: Option<RedactionConfig>,
) -> Result<Option<Redaction>, Failure> {
    if !matches!(kind.view, Some(View::Pii)) || mode != Some("ONLY_REDACTION") {
        return Ok(None);
    }
    let config =
        config.ok_or_else(|| invalid("RedactionConfig is needed for the mode ONLY_REDACTION."))?;
    let mode = match config.mask_mode.as_deref() {
        Some("REPLACE_WITH_PII_ENTITY_TYPE") => Mode::Replace,
        // AWS's default, and its default character.
        _ => {
            let mask = config.mask_character.as_deref().unwrap_or("*");
            Mode::Mask(mask.chars().next().unwrap_or('*'))
        }
    };
    let names = config.pii_entity_types.unwrap_or_default();
    let all = names.is_empty() || names.iter().any(|name| name == "ALL");
    let kinds = names.iter().map(|name| {
        PiiKind::of_name(name)
            .ok_or_else(|| invalid(&format!("There is no PII entity type {name}.")))
    });
    let kinds = match all {
        true => None,
        false => Some(kinds.collect::<Result<_, _>>()?),
    };
    Ok(Some(Redaction {
        mode,
        kinds,
        min_score: 0.0,
    }))
}
