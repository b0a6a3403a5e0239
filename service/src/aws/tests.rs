//! The door as a client sees it: whole requests against a double of the engine.

mod anything;
mod comprehend;
mod jobs;
mod media;
mod protocol;
mod rekognition;

use super::model::{Id, Kind as ShapeKind, Models, Service, ShapeId};
use super::*;
use crate::app::Answers;
use crate::object_store::{Objects, memory::Memory};
use crate::server::body::Buffers;
use axum::http::{HeaderMap, Request as HttpRequest, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use escala_pipelines::image::properties::{DominantColor, ImageProperties, Quality};
use escala_pipelines::labels::{Label, LabelFilters, LabelsOptions};
use escala_pipelines::language::Language;
use escala_pipelines::offsets::Offsets;
use escala_pipelines::pii::{Evidence, PiiEntity, PiiKind};
use escala_pipelines::sentiment::{Scores, SentimentInput};
use escala_pipelines::syntax::{Entity, EntityType, KeyPhrase, PartOfSpeech, SyntaxInput, Token};
use escala_pipelines::targeted::{Group, Target, TargetType};
use escala_pipelines::toxicity::ToxicKind;
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Answers from its input: a text `fail Kind` fails with that kind, an image's bytes too. What it was asked
/// is kept.
#[derive(Default)]
struct Double {
    texts: parking_lot::Mutex<Vec<Vec<String>>>,
    images: parking_lot::Mutex<Vec<(LabelsInput, Options)>>,
}

fn failure_of(text: &str) -> Option<Error> {
    let kind = match text.strip_prefix("fail ")? {
        "InvalidInput" => Kind::InvalidInput,
        "InvalidImage" => Kind::InvalidImage,
        "TooLarge" => Kind::TooLarge,
        "Overloaded" => Kind::Overloaded,
        "Deadline" => Kind::Deadline,
        "Unavailable" => Kind::Unavailable,
        _ => Kind::Internal,
    };
    Some(
        Error::new(kind, format!("the double was told to fail with {kind:?}"))
            .with_retry_after(Duration::from_millis(1500)),
    )
}

impl Predict<String, Languages> for Double {
    fn predict_many(&self, inputs: Vec<String>, _: Options) -> Answers<'_, Languages> {
        self.texts.lock().push(inputs.clone());
        let score = |text: &str| if text == "nan" { f32::NAN } else { 0.75 };
        let answer = move |text: String| match failure_of(&text) {
            Some(error) => Err(error),
            None => Ok(vec![
                Language {
                    code: text.chars().take(2).collect(),
                    score: score(&text),
                },
                Language {
                    code: "pt".to_owned(),
                    score: 0.125,
                },
            ]),
        };
        Box::pin(async move { inputs.into_iter().map(answer).collect() })
    }
}

/// Every run of letters is a noun, a key phrase and a place.
impl Predict<SyntaxInput, Syntax> for Double {
    fn predict_many(&self, inputs: Vec<SyntaxInput>, _: Options) -> Answers<'_, Syntax> {
        let asked = inputs.iter().map(|input| input.text.to_string());
        self.texts.lock().push(asked.collect());
        let answer = |SyntaxInput { text, language }| {
            if &*language == "es" && &*text == "absent" {
                return Err(Error::new(Kind::Unsupported, "pull it with a command"));
            }
            if let Some(error) = failure_of(&text) {
                return Err(error);
            }
            let offsets = Offsets::new(&text);
            let mut syntax = Syntax::default();
            for word in text.split(' ').filter(|word| !word.is_empty()) {
                let start = word.as_ptr() as usize - text.as_ptr() as usize;
                let extent = offsets.extent(start..start + word.len())?;
                syntax.tokens.push(Token {
                    extent,
                    part_of_speech: PartOfSpeech::Noun,
                    score: 0.5,
                    tag: "NN".to_owned(),
                    lemma: word.to_owned(),
                    dependency: "ROOT".to_owned(),
                    head: 0,
                });
                syntax.entities.push(Entity {
                    extent,
                    kind: EntityType::Location,
                    label: "GPE".to_owned(),
                    score: 0.25,
                });
                syntax.key_phrases.push(KeyPhrase {
                    extent,
                    score: 0.75,
                });
            }
            Ok(syntax)
        };
        Box::pin(async move { inputs.into_iter().map(answer).collect() })
    }
}

/// The text itself is the sentiment: `+`, `-`, `0`; otherwise mixed.
impl Predict<SentimentInput, Scores> for Double {
    fn predict_many(&self, inputs: Vec<SentimentInput>, _: Options) -> Answers<'_, Scores> {
        let asked = inputs.iter().map(|i| format!("{} {}", i.language, i.text));
        self.texts.lock().push(asked.collect());
        let answer = |input: SentimentInput| match (failure_of(&input.text), &*input.text) {
            (Some(error), _) => Err(error),
            (None, "+") => Ok([0.75, 0.125, 0.125, 0.0]),
            (None, "-") => Ok([0.125, 0.75, 0.125, 0.0]),
            (None, "0") => Ok([0.125, 0.125, 0.75, 0.0]),
            (None, "nan") => Ok([f32::NAN; 4]),
            (None, _) => Ok([0.125, 0.125, 0.0, 0.75]),
        };
        Box::pin(async move { inputs.into_iter().map(answer).collect() })
    }
}

/// The whole text is good twice, as one thing.
impl Predict<Arc<str>, Targeted> for Double {
    fn predict_many(&self, inputs: Vec<Arc<str>>, _: Options) -> Answers<'_, Targeted> {
        let answer = |text: Arc<str>| {
            if let Some(error) = failure_of(&text) {
                return Err(error);
            }
            let score = if &*text == "nan" { f32::NAN } else { 0.75 };
            let target = |group_score| {
                Ok(Target {
                    extent: Offsets::new(&text).extent(0..text.len())?,
                    kind: TargetType::Attribute,
                    score: 0.5,
                    group_score,
                    scores: [score, 0.125, 0.125, 0.0],
                })
            };
            Ok(vec![Group {
                descriptive: vec![0, 1],
                mentions: vec![target(1.0)?, target(0.25)?],
            }])
        };
        Box::pin(async move { inputs.into_iter().map(answer).collect() })
    }
}

/// As toxic as the text is long.
impl Predict<Arc<str>, Toxicity> for Double {
    fn predict_many(&self, inputs: Vec<Arc<str>>, _: Options) -> Answers<'_, Toxicity> {
        let asked = inputs.iter().map(|text| text.to_string());
        self.texts.lock().push(asked.collect());
        let answer = |text: Arc<str>| match failure_of(&text) {
            Some(error) => Err(error),
            None => Ok(Toxicity {
                toxicity: if &*text == "nan" {
                    f32::NAN
                } else {
                    text.len() as f32 / 1024.0
                },
                labels: (ToxicKind::ALL.into_iter())
                    .filter(|kind| *kind != ToxicKind::Sexual)
                    .map(|kind| (kind, 0.25))
                    .collect(),
            }),
        };
        Box::pin(async move { inputs.into_iter().map(answer).collect() })
    }
}

/// The first character is an address, the whole text too.
impl Predict<PiiInput, Pii> for Double {
    fn predict_many(&self, inputs: Vec<PiiInput>, _: Options) -> Answers<'_, Pii> {
        let answer = |input: PiiInput| {
            if let Some(error) = failure_of(input.text()) {
                return Err(error);
            }
            let offsets = Offsets::new(input.text());
            let found = |bytes, kind, score| {
                Ok(PiiEntity {
                    extent: offsets.extent(bytes)?,
                    kind,
                    score,
                    evidence: Evidence::Pattern,
                })
            };
            let first = input.text().chars().next().map_or(0, char::len_utf8);
            let all = input.text().len();
            [
                found(0..first, PiiKind::Name, 0.5),
                found(first..all, PiiKind::Email, 0.75),
                found(all..all, PiiKind::Name, 0.25),
            ]
            .into_iter()
            .collect()
        };
        Box::pin(async move { inputs.into_iter().map(answer).collect() })
    }
}

impl Predict<LabelsInput, Labels> for Double {
    fn predict_many(&self, inputs: Vec<LabelsInput>, options: Options) -> Answers<'_, Labels> {
        self.images
            .lock()
            .extend(inputs.iter().cloned().map(|input| (input, options)));
        let answer = |input: LabelsInput| match failure_of(&String::from_utf8_lossy(&input.image)) {
            Some(error) => Err(error),
            None => Ok(Labels {
                labels: vec![Label {
                    name: "Cat".to_owned(),
                    confidence: 98.5,
                    parents: vec!["Animal".to_owned(), "Mammal".to_owned()],
                    categories: vec!["Animals and Pets".to_owned()],
                    aliases: vec!["Kitty".to_owned()],
                }],
                properties: input.options.properties.map(|_| ImageProperties {
                    quality: Quality {
                        brightness: 50.5,
                        sharpness: 40.0,
                        contrast: 30.0,
                    },
                    dominant_colors: vec![DominantColor {
                        rgb: [50, 80, 81],
                        css_rgb: [47, 79, 79],
                        css_color: "darkslategrey".to_owned(),
                        simplified_color: "grey".to_owned(),
                        pixel_percent: 39.453_125,
                    }],
                }),
                model_version: "1.0".to_owned(),
            }),
        };
        Box::pin(async move { inputs.into_iter().map(answer).collect() })
    }
}

struct Client {
    double: Arc<Double>,
    aws: Aws,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    name: OperationName,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["__type"].as_str().unwrap_or_default()
    }

    fn message(&self) -> &str {
        self.body["message"]
            .as_str()
            .or(self.body["Message"].as_str())
            .unwrap_or_default()
    }
}

fn client() -> Client {
    let double = Arc::new(Double::default());
    Client {
        aws: Aws {
            language: double.clone(),
            syntax: double.clone(),
            targeted: double.clone(),
            pii: double.clone(),
            sentiment: double.clone(),
            toxicity: double.clone(),
            labels: double.clone(),
            images: crate::app::Images::unavailable(),
            jobs: None,
            sagemaker: None,
            account: "123456789012".into(),
            long_texts: None,
            pii_extensions: false,
        },
        double,
    }
}

impl Client {
    async fn send(&self, request: HttpRequest<Bytes>) -> Answer {
        let answer = self.exchange(request).await;
        well_formed(&answer);
        answer
    }

    /// An answer as it is, also where it is not what AWS's models say.
    async fn exchange(&self, request: HttpRequest<Bytes>) -> Answer {
        let (parts, body) = request.into_parts();
        let response = handle(&self.aws, &parts, body).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let name = *response
            .extensions()
            .get::<OperationName>()
            .expect("every answer has a name");
        let bytes = response
            .into_body()
            .collect()
            .await
            .expect("body")
            .to_bytes();
        let body = serde_json::from_slice(&bytes).expect("every answer is JSON");
        Answer {
            status,
            headers,
            name,
            body,
        }
    }

    async fn post(&self, target: &str, body: impl Into<Bytes>) -> Answer {
        let request = HttpRequest::post("/")
            .header("x-amz-target", target)
            .header("content-type", "application/x-amz-json-1.1")
            .body(body.into())
            .expect("request");
        self.send(request).await
    }

    async fn comprehend(&self, operation: &str, body: Value) -> Answer {
        self.post(
            &format!("Comprehend_20171127.{operation}"),
            body.to_string(),
        )
        .await
    }

    async fn rekognition(&self, operation: &str, body: Value) -> Answer {
        self.post(&format!("RekognitionService.{operation}"), body.to_string())
            .await
    }
}

/// What holds for every answer, good or bad.
fn well_formed(answer: &Answer) {
    assert_eq!(answer.headers["content-type"], "application/x-amz-json-1.1");
    assert!(!answer.headers["x-amzn-requestid"].is_empty());
    if answer.status == 200 {
        assert!(answer.headers.get("x-amzn-errortype").is_none());
        let models = Models::get().expect("models are well-formed");
        let service = models
            .services()
            .iter()
            .find(|service| service.id.name() == answer.name.service)
            .expect("known");
        let operation = service.operation(answer.name.operation).expect("known");
        assert_eq!(
            validate::output(service, operation.output, &answer.body),
            Vec::<String>::new(),
            "{}",
            answer.body
        );
        return;
    }
    assert!((400..=599).contains(&answer.status), "{}", answer.status);
    assert_eq!(answer.headers["x-amzn-errortype"], answer.code());
    assert!(!answer.message().is_empty(), "{}", answer.body);
    // Not one of them may be an accident.
    assert_ne!(answer.code(), "InternalFailure", "{}", answer.body);
}

fn service(id: Id) -> &'static Service {
    Models::get()
        .expect("models are well-formed")
        .services()
        .iter()
        .find(|service| service.id == id)
        .expect("known")
}
