//! The door as a client sees it: whole requests against a double of the engine.

mod jobs;
mod media;

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

// --- Comprehend ----------------------------------------------------------------------------------------

#[tokio::test]
async fn dominant_language() {
    let client = client();
    let answer = client
        .comprehend("DetectDominantLanguage", json!({"Text": "es una casa"}))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        json!({"Languages": [{"LanguageCode": "es", "Score": 0.75}, {"LanguageCode": "pt", "Score": 0.125}]})
    );
    assert_eq!(
        answer.name,
        OperationName {
            service: "comprehend",
            operation: "DetectDominantLanguage"
        }
    );
}

#[tokio::test]
async fn the_size_of_a_text_is_counted_in_bytes() {
    let client = client();
    let detect = async |text: String| {
        client
            .comprehend("DetectDominantLanguage", json!({ "Text": text }))
            .await
    };
    assert_eq!(detect("é".repeat(50_000)).await.status, 200);
    let answer = detect("é".repeat(50_000) + "x").await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "TextSizeLimitExceededException")
    );
    // The sentence of the real service, under the field of its model.
    assert_eq!(
        answer.body["Message"],
        "Input text size exceeds limit. Max length of request text allowed is 100000 bytes while in this request \
         the text size is 100001 bytes"
    );
    let blank = detect(" \n\u{3000}".to_owned()).await;
    assert_eq!(
        (blank.status, blank.code()),
        (400, "InvalidRequestException")
    );
    let empty = detect(String::new()).await;
    assert_eq!((empty.status, empty.code()), (400, "ValidationException"));
    assert!(empty.body["message"].is_string(), "{}", empty.body);
}

#[tokio::test]
async fn a_batch_tells_apart_what_succeeded_and_what_failed() {
    let client = client();
    let texts = json!([
        "es uno",
        "x".repeat(5_001),
        "en two",
        "  ",
        "fail InvalidInput",
        "fr trois"
    ]);
    let answer = client
        .comprehend("BatchDetectDominantLanguage", json!({ "TextList": texts }))
        .await;
    assert_eq!(answer.status, 200);
    let indices = |list: &str| {
        answer.body[list]
            .as_array()
            .expect("list")
            .iter()
            .map(|item| item["Index"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(indices("ResultList"), [json!(0), json!(2), json!(5)]);
    assert_eq!(indices("ErrorList"), [json!(1), json!(3), json!(4)]);
    assert_eq!(
        answer.body["ResultList"][1]["Languages"][0]["LanguageCode"],
        "en"
    );
    assert_eq!(
        answer.body["ErrorList"][0]["ErrorCode"],
        "TEXT_SIZE_LIMIT_EXCEEDED"
    );
    assert!(
        answer.body["ErrorList"][0]["ErrorMessage"]
            .as_str()
            .expect("text")
            .contains("5000 bytes")
    );
    // What is refused beforehand costs the engine nothing.
    assert_eq!(
        client.double.texts.lock().concat(),
        ["es uno", "en two", "fail InvalidInput", "fr trois"]
    );
}

#[tokio::test]
async fn sentiment_of_documents() {
    let client = client();
    let detect = async |text: &str, language: &str| {
        let body = json!({"Text": text, "LanguageCode": language});
        client.comprehend("DetectSentiment", body).await
    };
    for (text, name) in [
        ("+", "POSITIVE"),
        ("-", "NEGATIVE"),
        ("0", "NEUTRAL"),
        ("?", "MIXED"),
    ] {
        let answer = detect(text, "en").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body["Sentiment"], name);
    }
    let scores = &detect("-", "zh-TW").await.body["SentimentScore"];
    let want = json!({"Positive": 0.125, "Negative": 0.75, "Neutral": 0.125, "Mixed": 0.0});
    assert_eq!(scores, &want);
    assert_eq!(
        client
            .double
            .texts
            .lock()
            .concat()
            .last()
            .map(String::as_str),
        Some("zh-TW -")
    );
    for (text, language, code) in [
        ("x".repeat(5_001), "en", "TextSizeLimitExceededException"),
        (" \n".to_owned(), "en", "InvalidRequestException"),
        ("+".to_owned(), "xx", "ValidationException"),
        ("nan".to_owned(), "en", "InternalServerException"),
    ] {
        let answer = detect(&text, language).await;
        assert!(answer.status >= 400, "{code}");
        assert!(
            answer.body["__type"]
                .as_str()
                .is_some_and(|t| t.ends_with(code)),
            "{}",
            answer.body
        );
    }
    let batch = json!({"TextList": ["+", "  ", "-"], "LanguageCode": "fr"});
    let answer = client.comprehend("BatchDetectSentiment", batch).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["ResultList"][1]["Index"], 2);
    assert_eq!(answer.body["ResultList"][1]["Sentiment"], "NEGATIVE");
    assert_eq!(answer.body["ErrorList"][0]["Index"], 1);
}

#[tokio::test]
async fn toxicity_of_segments() {
    let client = client();
    let detect = async |segments: Vec<String>, language: &str| {
        let segments: Vec<Value> = segments.iter().map(|text| json!({"Text": text})).collect();
        let body = json!({"TextSegments": segments, "LanguageCode": language});
        client.comprehend("DetectToxicContent", body).await
    };
    let many = |text: &str, count| vec![text.to_owned(); count];
    let answer = detect(vec!["four".to_owned(), "x".repeat(512)], "en").await;
    assert_eq!(answer.status, 200);
    let results = &answer.body["ResultList"];
    assert_eq!(results[0]["Toxicity"], json!(4.0 / 1024.0));
    assert_eq!(results[1]["Toxicity"], json!(0.5));
    let names = [
        "PROFANITY",
        "HATE_SPEECH",
        "INSULT",
        "HARASSMENT_OR_ABUSE",
        "VIOLENCE_OR_THREAT",
    ];
    let labels = names.map(|name| json!({"Name": name, "Score": 0.25}));
    assert_eq!(results[0]["Labels"], json!(labels));
    assert_eq!(results.as_array().map(Vec::len), Some(2));
    assert_eq!(detect(many(&"x".repeat(1_000), 10), "en").await.status, 200);
    let asked = client.double.texts.lock().len();
    for (segments, language, code) in [
        (many("x", 11), "en", "InvalidRequestException"),
        (many(" \n", 1), "en", "InvalidRequestException"),
        (
            many(&"x".repeat(1_001), 1),
            "en",
            "TextSizeLimitExceededException",
        ),
        (
            many(&"é".repeat(501), 2),
            "en",
            "TextSizeLimitExceededException",
        ),
        (many("x", 1), "fr", "UnsupportedLanguageException"),
        (many("x", 1), "xx", "ValidationException"),
        (many("", 1), "en", "ValidationException"),
        (Vec::new(), "en", "ValidationException"),
    ] {
        let answer = detect(segments, language).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, code),
            "{}",
            answer.body
        );
    }
    // What is refused beforehand costs the engine nothing.
    assert_eq!(client.double.texts.lock().len(), asked);
    // One segment that fails fails the request: there is no list of errors.
    let segments = || vec!["good".to_owned(), "fail Unavailable".to_owned()];
    let answer = detect(segments(), "en").await;
    assert_eq!(
        (answer.status, answer.code()),
        (503, "ServiceUnavailableException")
    );
    let answer = detect(many("nan", 2), "en").await;
    assert_eq!(
        (answer.status, answer.code()),
        (500, "InternalServerException")
    );
    let missing = json!({"TextSegments": [{}], "LanguageCode": "en"});
    let answer = client.comprehend("DetectToxicContent", missing).await;
    assert_eq!((answer.status, answer.code()), (400, "ValidationException"));
}

#[tokio::test]
async fn a_reading_of_a_text_in_three_views() {
    let client = client();
    let text = json!({"Text": "Zoë  Köln", "LanguageCode": "en"});
    let tokens = client.comprehend("DetectSyntax", text.clone()).await;
    let noun = json!({"Tag": "NOUN", "Score": 0.5});
    assert_eq!(
        tokens.body,
        json!({"SyntaxTokens": [
            {"TokenId": 1, "Text": "Zoë", "BeginOffset": 0, "EndOffset": 3, "PartOfSpeech": noun},
            {"TokenId": 2, "Text": "Köln", "BeginOffset": 5, "EndOffset": 9, "PartOfSpeech": noun},
        ]})
    );
    let entities = client.comprehend("DetectEntities", text.clone()).await;
    assert_eq!(
        entities.body["Entities"][1],
        json!({"Type": "LOCATION", "Text": "Köln", "BeginOffset": 5, "EndOffset": 9, "Score": 0.25})
    );
    let phrases = client.comprehend("DetectKeyPhrases", text).await;
    assert_eq!(
        phrases.body["KeyPhrases"][0],
        json!({"Text": "Zoë", "BeginOffset": 0, "EndOffset": 3, "Score": 0.75})
    );
    for (operation, list) in [
        ("BatchDetectSyntax", "SyntaxTokens"),
        ("BatchDetectEntities", "Entities"),
        ("BatchDetectKeyPhrases", "KeyPhrases"),
    ] {
        let texts = json!({"TextList": ["a b", " ", "c"], "LanguageCode": "en"});
        let answer = client.comprehend(operation, texts).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["ResultList"][1]["Index"], 2, "{operation}");
        assert_eq!(
            answer.body["ResultList"][0][list].as_array().map(Vec::len),
            Some(2)
        );
        assert_eq!(answer.body["ErrorList"][0]["Index"], 1, "{operation}");
    }
}

#[tokio::test]
async fn longer_texts_only_where_the_settings_and_the_model_allow_them() {
    use crate::long_texts::{InWindows, PersonalData};
    let mut client = client();
    client.aws.long_texts = Some(200_000);
    let ask = async |client: &Client, operation: &str, size: usize| {
        let request = json!({"Text": "x ".repeat(size / 2), "LanguageCode": "en"});
        client.comprehend(operation, request).await
    };
    // The stand-in does not read long texts: AWS's limits stay.
    assert_eq!(ask(&client, "DetectEntities", 100_002).await.status, 400);
    let syntax = Arc::new(InWindows::new(client.double.clone(), 1000));
    client.aws.syntax = syntax.clone();
    client.aws.pii = Arc::new(PersonalData::new(client.double.clone(), syntax));
    for operation in ["DetectEntities", "DetectSyntax", "DetectPiiEntities"] {
        let answer = ask(&client, operation, 200_000).await;
        assert_eq!(answer.status, 200, "{operation}");
        let large = ask(&client, operation, 200_002).await;
        assert_eq!(large.code(), "TextSizeLimitExceededException");
        assert!(
            large.message().contains("200000 bytes"),
            "{}",
            large.message()
        );
    }
    let answer = ask(&client, "DetectEntities", 200_000).await;
    let entities = answer.body["Entities"].as_array().expect("entities");
    assert_eq!(entities.len(), 100_000);
    assert_eq!(entities[99_999]["BeginOffset"], 199_998);
    let batch = json!({"TextList": ["x ".repeat(3000)], "LanguageCode": "en"});
    let answer = client.comprehend("BatchDetectSyntax", batch).await;
    assert_eq!(answer.body["ErrorList"], json!([]));
}

/// Finds what the rules find, with extensions where they are asked for.
struct Rules;

impl Predict<PiiInput, Pii> for Rules {
    fn predict_many(&self, inputs: Vec<PiiInput>, _: Options) -> Answers<'_, Pii> {
        let one = |input: &PiiInput| match input.is_extended() {
            true => escala_pipelines::pii::detect_extended(input.text(), None),
            false => escala_pipelines::pii::detect(input.text(), None),
        };
        Box::pin(async move { inputs.iter().map(one).collect() })
    }
}

#[tokio::test]
async fn kinds_that_aws_does_not_know_only_where_the_settings_allow_them() {
    let mut client = client();
    client.aws.pii = Arc::new(Rules);
    let request = json!({"Text": "DNI 12345678Z", "LanguageCode": "es"});
    let plain = client
        .comprehend("DetectPiiEntities", request.clone())
        .await;
    assert_eq!(plain.body["Entities"], json!([]));
    client.aws.pii_extensions = true;
    let ask = async |operation: &str| {
        let http = HttpRequest::post("/")
            .header("x-amz-target", format!("Comprehend_20171127.{operation}"))
            .header("content-type", "application/x-amz-json-1.1")
            .body(request.to_string().into());
        client.exchange(http.expect("request")).await.body
    };
    let extended = ask("DetectPiiEntities").await;
    assert_eq!(extended["Entities"][0]["Type"], "ES_DNI");
    let labels = ask("ContainsPiiEntities").await;
    assert_eq!(labels["Labels"][0]["Name"], "ES_DNI");
}

#[tokio::test]
async fn texts_have_the_sizes_and_languages_of_each_operation() {
    let client = client();
    for (operation, most) in [
        ("DetectSyntax", 5_000),
        ("DetectTargetedSentiment", 5_000),
        ("DetectEntities", 100_000),
        ("DetectKeyPhrases", 100_000),
        ("DetectPiiEntities", 100_000),
        ("ContainsPiiEntities", 100_000),
    ] {
        let ask = async |size: usize, language: &str| {
            let request = json!({"Text": "x".repeat(size), "LanguageCode": language});
            client.comprehend(operation, request).await
        };
        assert_eq!(ask(most, "en").await.status, 200, "{operation}");
        let large = ask(most + 1, "en").await;
        assert_eq!(
            (large.status, large.code()),
            (400, "TextSizeLimitExceededException"),
            "{operation}"
        );
        let french = ask(5, "fr").await;
        assert_eq!(
            (french.status, french.code()),
            (400, "UnsupportedLanguageException"),
            "{operation}"
        );
        assert!(
            french.message().contains("models for: en"),
            "{}",
            french.message()
        );
        let spanish = match operation {
            "DetectTargetedSentiment" => 400,
            _ => 200,
        };
        assert_eq!(ask(5, "es").await.status, spanish, "{operation}");
        // No member of the operation's list of languages.
        assert_eq!(ask(5, "xx").await.code(), "ValidationException");
    }
    for operation in [
        "BatchDetectSyntax",
        "BatchDetectEntities",
        "BatchDetectKeyPhrases",
        "BatchDetectTargetedSentiment",
    ] {
        let ask = async |texts: Vec<&str>, language: &str| {
            let request = json!({"TextList": texts, "LanguageCode": language});
            client.comprehend(operation, request).await
        };
        assert_eq!(ask(vec!["a"; 25], "en").await.status, 200);
        assert_eq!(
            ask(vec!["a"; 26], "en").await.code(),
            "BatchSizeLimitExceededException"
        );
        assert_eq!(
            ask(vec!["a"], "de").await.code(),
            "UnsupportedLanguageException"
        );
        // A model that is absent is absent for the whole request.
        let absent = ask(vec!["a", "absent"], "es").await;
        assert_eq!(
            (absent.status, absent.code()),
            (400, "UnsupportedLanguageException")
        );
        let says = match operation {
            "BatchDetectTargetedSentiment" => "models for: en.",
            _ => "pull it with a command",
        };
        assert!(absent.message().contains(says), "{}", absent.message());
        let long = "x".repeat(5_001);
        let answer = ask(vec!["a", &long], "en").await;
        assert_eq!(
            answer.body["ErrorList"][0]["ErrorCode"],
            "TEXT_SIZE_LIMIT_EXCEEDED"
        );
    }
}

#[tokio::test]
async fn entities_of_custom_models_and_files_are_refused_in_words() {
    let client = client();
    let arn = "arn:aws:comprehend:us-east-1:123456789012:entity-recognizer-endpoint/mine";
    for (request, code, says) in [
        (
            json!({"Text": "a", "EndpointArn": arn}),
            "ResourceUnavailableException",
            "EndpointArn",
        ),
        (
            json!({"Bytes": "YQ==", "LanguageCode": "en"}),
            "InvalidRequestException",
            "Bytes",
        ),
        (
            json!({"Text": "a", "Bytes": "YQ==", "LanguageCode": "en"}),
            "InvalidRequestException",
            "not both",
        ),
        (
            json!({"Text": "a"}),
            "InvalidRequestException",
            "LanguageCode",
        ),
        (json!({}), "InvalidRequestException", "Text"),
    ] {
        let answer = client.comprehend("DetectEntities", request).await;
        assert_eq!((answer.status, answer.code()), (400, code));
        assert!(answer.message().contains(says), "{}", answer.message());
    }
}

#[tokio::test]
async fn what_a_text_speaks_of_and_the_sentiment_towards_it() {
    let client = client();
    let mention = |group_score: f64| {
        json!({
            "Score": 0.5, "GroupScore": group_score, "Text": "Köln", "Type": "ATTRIBUTE",
            "MentionSentiment": {
                "Sentiment": "POSITIVE",
                "SentimentScore": {"Positive": 0.75, "Negative": 0.125, "Neutral": 0.125, "Mixed": 0.0},
            },
            "BeginOffset": 0, "EndOffset": 4,
        })
    };
    let entities = json!([{
        "DescriptiveMentionIndex": [0, 1], "Mentions": [mention(1.0), mention(0.25)],
    }]);
    let one = json!({"Text": "Köln", "LanguageCode": "en"});
    let one = client.comprehend("DetectTargetedSentiment", one).await;
    assert_eq!(one.body, json!({"Entities": entities}));
    let many = json!({"TextList": ["fail InvalidInput", "Köln"], "LanguageCode": "en"});
    let many = client
        .comprehend("BatchDetectTargetedSentiment", many)
        .await;
    assert_eq!(
        many.body["ResultList"],
        json!([{"Index": 1, "Entities": entities}])
    );
    assert_eq!(many.body["ErrorList"][0]["Index"], 0);
    // JSON has no NaN.
    let nan = json!({"Text": "nan", "LanguageCode": "en"});
    let nan = client.comprehend("DetectTargetedSentiment", nan).await;
    assert_eq!(nan.status, 500);
}

#[tokio::test]
async fn personal_data_by_place_and_by_kind() {
    let client = client();
    let text = json!({"Text": "éa@b.c", "LanguageCode": "es"});
    let places = client.comprehend("DetectPiiEntities", text.clone()).await;
    assert_eq!(
        places.body["Entities"][1],
        json!({"Type": "EMAIL", "Score": 0.75, "BeginOffset": 1, "EndOffset": 6})
    );
    let kinds = client.comprehend("ContainsPiiEntities", text).await;
    assert_eq!(
        kinds.body,
        json!({"Labels": [{"Name": "EMAIL", "Score": 0.75}, {"Name": "NAME", "Score": 0.5}]})
    );
}

#[tokio::test]
async fn a_batch_of_nothing_good_and_a_batch_too_large() {
    let client = client();
    let all_bad = client
        .comprehend("BatchDetectDominantLanguage", json!({"TextList": [" "]}))
        .await;
    assert_eq!(
        (all_bad.status, &all_bad.body["ResultList"]),
        (200, &json!([]))
    );
    assert!(client.double.texts.lock().is_empty());
    let most = vec!["x"; 25];
    assert_eq!(
        client
            .comprehend("BatchDetectDominantLanguage", json!({ "TextList": most }))
            .await
            .status,
        200
    );
    let answer = client
        .comprehend(
            "BatchDetectDominantLanguage",
            json!({"TextList": vec!["x"; 26]}),
        )
        .await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "BatchSizeLimitExceededException")
    );
    assert_eq!(
        answer.message(),
        "Please use a smaller number of items in a single batch. Maximum batch size is 25."
    );
    // An overload is not one document's fault.
    let answer = client
        .comprehend(
            "BatchDetectDominantLanguage",
            json!({"TextList": ["x", "fail Overloaded"]}),
        )
        .await;
    assert_eq!((answer.status, answer.code()), (400, "ThrottlingException"));
}

#[tokio::test]
async fn failures_of_the_engine_have_the_codes_of_the_service() {
    let client = client();
    for (kind, status, code) in [
        ("InvalidInput", 400, "InvalidRequestException"),
        ("TooLarge", 400, "TextSizeLimitExceededException"),
        ("Overloaded", 400, "ThrottlingException"),
        ("Deadline", 503, "ServiceUnavailableException"),
        ("Unavailable", 503, "ServiceUnavailableException"),
        ("Internal", 500, "InternalServerException"),
    ] {
        let answer = client
            .comprehend(
                "DetectDominantLanguage",
                json!({"Text": format!("fail {kind}")}),
            )
            .await;
        assert_eq!((answer.status, answer.code()), (status, code));
        assert_eq!(answer.headers["retry-after"], "2", "rounded up");
    }
    // A score that is none is a defect, not an answer.
    let answer = client
        .comprehend("DetectDominantLanguage", json!({"Text": "nan"}))
        .await;
    assert_eq!(
        (answer.status, answer.code()),
        (500, "InternalServerException")
    );
}

// --- Rekognition ---------------------------------------------------------------------------------------

#[tokio::test]
async fn labels_of_an_image() {
    let client = client();
    let image = STANDARD.encode(b"encoded image");
    let answer = client
        .rekognition("DetectLabels", json!({"Image": {"Bytes": image}}))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        json!({
            "Labels": [{
                "Name": "Cat",
                "Confidence": 98.5,
                "Instances": [],
                "Parents": [{"Name": "Animal"}, {"Name": "Mammal"}],
                "Aliases": [{"Name": "Kitty"}],
                "Categories": [{"Name": "Animals and Pets"}],
            }],
            "LabelModelVersion": "1.0",
        })
    );
    let images = client.double.images.lock();
    let (input, _) = images.first().expect("one image");
    assert_eq!(&input.image[..], b"encoded image");
    assert_eq!(input.options, LabelsOptions::default());
}

#[tokio::test]
async fn what_is_asked_about_an_image_reaches_the_engine() {
    let client = client();
    let body = json!({
        "Image": {"Bytes": "AAAA"},
        "MaxLabels": 5.9,
        "MinConfidence": 10.5,
        "Features": ["GENERAL_LABELS", "IMAGE_PROPERTIES"],
        "Settings": {
            "GeneralLabels": {
                "LabelInclusionFilters": ["Cat", "Dog"],
                "LabelExclusionFilters": ["Car"],
                "LabelCategoryInclusionFilters": ["Animals and Pets"],
                "LabelCategoryExclusionFilters": ["Vehicles and Automotive"],
            },
            "ImageProperties": {"MaxDominantColors": 3},
        },
    });
    let answer = client.rekognition("DetectLabels", body).await;
    assert_eq!(answer.status, 200);
    let color = &answer.body["ImageProperties"]["DominantColors"][0];
    // The spelling of a real answer.
    assert_eq!(
        (&color["HexCode"], &color["CSSColor"], &color["Green"]),
        (&json!("#2f4f4f"), &json!("darkslategrey"), &json!(79))
    );
    assert_eq!(
        answer.body["ImageProperties"]["Quality"]["Brightness"],
        50.5
    );
    let list = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let wanted = LabelsOptions {
        general_labels: true,
        max_labels: 5,
        min_confidence: 10.5,
        filters: LabelFilters {
            include_labels: list(&["Cat", "Dog"]),
            exclude_labels: list(&["Car"]),
            include_categories: list(&["Animals and Pets"]),
            exclude_categories: list(&["Vehicles and Automotive"]),
        },
        properties: Some(3),
    };
    assert_eq!(client.double.images.lock()[0].0.options, wanted);
}

#[tokio::test]
async fn features_have_the_defaults_of_aws() {
    let client = client();
    for (features, general, properties) in [
        (json!([]), true, None),
        (json!(["GENERAL_LABELS"]), true, None),
        (json!(["IMAGE_PROPERTIES"]), false, Some(10)),
        (json!(null), true, None),
    ] {
        let body = json!({"Image": {"Bytes": "AAAA"}, "Features": features, "MaxLabels": 4_000_000_000_u32});
        let answer = client.rekognition("DetectLabels", body).await;
        assert_eq!(
            (answer.status, answer.body.get("ImageProperties").is_some()),
            (200, properties.is_some())
        );
        let asked = client.double.images.lock().pop().expect("asked").0.options;
        assert_eq!(
            (asked.general_labels, asked.properties, asked.max_labels),
            (general, properties, 1_000)
        );
    }
}

#[tokio::test]
async fn an_image_comes_from_exactly_one_place() {
    let client = client();
    let detect = async |image: Value| {
        client
            .rekognition("DetectLabels", json!({ "Image": image }))
            .await
    };
    let object = json!({"Bucket": "bucket", "Name": "photo.jpg"});
    for image in [
        json!({}),
        json!({"Bytes": "AAAA", "S3Object": object}),
        json!({"Bytes": null}),
    ] {
        let answer = detect(image).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "InvalidParameterException")
        );
    }
    for part in [json!({}), json!({"Bucket": "bucket"})] {
        let answer = detect(json!({ "S3Object": part })).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "InvalidS3ObjectException")
        );
    }
    let answer = detect(json!({ "S3Object": object })).await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "InvalidS3ObjectException")
    );
    // The body of the example in Rekognition's developer guide.
    assert_eq!(
        answer.body,
        json!({
            "__type": "InvalidS3ObjectException",
            "Code": "InvalidS3ObjectException",
            "Logref": answer.headers["x-amzn-requestid"].to_str().expect("id"),
            "Message": "Unable to get object metadata from S3. Check object key, region and/or access permissions. \
             (there is no bucket bucket)",
        })
    );
    let answer = detect(json!({"Bytes": "no base64!"})).await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "SerializationException")
    );
    assert!(client.double.images.lock().is_empty());
}

#[tokio::test]
async fn an_image_may_be_an_object() {
    let mut client = client();
    let store = Memory::default();
    store.put("photos", "a/b c.jpg", b"encoded");
    store.put("photos", "large", b"too large");
    store.put("photos", "broken", b"fail InvalidImage");
    let objects = |most, shared| {
        let buffers = Arc::new(Buffers::new(shared));
        Objects::new(Arc::new(store.clone()), most, buffers)
    };
    client.aws.images.stored = objects(8, 100);
    let object = |name: &str| json!({"S3Object": {"Bucket": "photos", "Name": name}});
    let detect = async |client: &Client, image: Value| {
        let answer = client.rekognition("DetectLabels", json!({ "Image": image }));
        let answer = answer.await;
        (
            answer.status,
            answer.code().to_owned(),
            answer.message().to_owned(),
        )
    };
    let (status, ..) = detect(&client, object("a/b c.jpg")).await;
    assert_eq!(status, 200);
    assert_eq!(&client.double.images.lock()[0].0.image[..], b"encoded");
    let mut version = object("a/b c.jpg");
    version["S3Object"]["Version"] = json!("null");
    assert_eq!(detect(&client, version.clone()).await.0, 200);
    version["S3Object"]["Version"] = json!("3HL4kqtJvjVBH40Nrjfkd");
    let mut bucket = object("a/b c.jpg");
    bucket["S3Object"]["Bucket"] = json!("Photos");
    for (image, why) in [
        (version, "no such version"),
        (bucket, "lower-case"),
        (object("a"), "no object a in the bucket photos"),
        (object("a/../large"), "no object a/../large"),
    ] {
        let (status, code, message) = detect(&client, image).await;
        assert_eq!((status, &*code), (400, "InvalidS3ObjectException"));
        let sentence = "Unable to get object metadata from S3. Check object key, region and/or access permissions. (";
        assert!(
            message.starts_with(sentence) && message.contains(why),
            "{message}"
        );
    }
    let (status, code, message) = detect(&client, object("large")).await;
    assert_eq!((status, &*code), (400, "ImageTooLargeException"));
    assert!(message.starts_with("Image size is too large"), "{message}");
    client.aws.images.stored = objects(100, 8);
    let (status, code, _) = detect(&client, object("large")).await;
    assert_eq!(
        (status, &*code),
        (400, "ThrottlingException"),
        "no memory left"
    );
    client.aws.images.stored = objects(100, 100);
    let (status, code, _) = detect(&client, object("broken")).await;
    assert_eq!((status, &*code), (400, "InvalidImageFormatException"));
}

#[tokio::test]
async fn failures_about_images_have_the_codes_of_the_service() {
    let client = client();
    for (kind, status, code, message) in [
        (
            "InvalidImage",
            400,
            "InvalidImageFormatException",
            "Request has invalid image format",
        ),
        (
            "TooLarge",
            400,
            "ImageTooLargeException",
            "Image size is too large: the double was told to fail with TooLarge",
        ),
        (
            "InvalidInput",
            400,
            "InvalidParameterException",
            "Request has invalid parameters: the double was told to fail with InvalidInput",
        ),
        (
            "Overloaded",
            400,
            "ThrottlingException",
            "Slow down; sudden increase in rate of requests.",
        ),
    ] {
        let image = STANDARD.encode(format!("fail {kind}"));
        let answer = client
            .rekognition("DetectLabels", json!({"Image": {"Bytes": image}}))
            .await;
        assert_eq!(
            (answer.status, answer.code(), answer.message()),
            (status, code, message)
        );
    }
    let image = STANDARD.encode("fail Internal");
    let answer = client
        .rekognition("DetectLabels", json!({"Image": {"Bytes": image}}))
        .await;
    assert_eq!((answer.status, answer.code()), (500, "InternalServerError"));
    assert!(!answer.message().contains("double"), "{}", answer.message());
}

#[tokio::test]
async fn a_large_image_is_refused_by_the_model_and_a_full_one_passes() {
    let client = client();
    let detect = async |bytes: usize| {
        client
            .rekognition(
                "DetectLabels",
                json!({"Image": {"Bytes": STANDARD.encode(vec![0; bytes])}}),
            )
            .await
    };
    assert_eq!(detect(5_242_880).await.status, 200);
    let answer = detect(5_242_881).await;
    assert_eq!((answer.status, answer.code()), (400, "ValidationException"));
    assert!(
        answer.message().contains("less than or equal to 5242880"),
        "{}",
        answer.message()
    );
}

// --- the protocol --------------------------------------------------------------------------------------

#[tokio::test]
async fn operations_that_are_not_built_say_so() {
    let client = client();
    let (mut built, mut missing) = (0, 0);
    let services = Models::get().expect("models are well-formed").services();
    // Of the others the models have the shapes of those that are built, and the names of the rest.
    for service in &services[..2] {
        for operation in service.operations() {
            let answer = client
                .post(
                    &format!("{}.{}", service.target_prefix, operation.name),
                    "{}",
                )
                .await;
            assert_eq!(
                answer.name,
                OperationName {
                    service: service.id.name(),
                    operation: &operation.name
                }
            );
            if answer.code() == "NotImplementedException" {
                assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
                assert!(
                    answer.message().contains(&operation.name),
                    "{}",
                    answer.message()
                );
                missing += 1;
            } else {
                // What DetectEntities needs depends on its form, which the service model cannot say.
                // ListCollections needs nothing, but a folder that these doors do not have.
                let (status, code) = match operation.name.as_str() {
                    "DetectEntities" => (400, "InvalidRequestException"),
                    "ListCollections" => (503, "ServiceUnavailableException"),
                    // Nor do lists of jobs, but something that keeps these.
                    name if name.starts_with("List") && name.ends_with("Jobs") => {
                        (503, "ServiceUnavailableException")
                    }
                    _ => (400, "ValidationException"),
                };
                assert_eq!(
                    (answer.status, answer.code()),
                    (status, code),
                    "{}",
                    operation.name
                );
                built += 1;
            }
        }
    }
    assert_eq!((built, built + missing), (72, 160));
    for (target, status, code) in [
        ("SageMaker.CreatePipeline", 501, "NotImplementedException"),
        ("SageMaker.CreatePipe", 400, "UnknownOperationException"),
        ("Logs_20140328.PutLogEvents", 501, "NotImplementedException"),
        ("SageMaker.DescribeModel", 400, "ValidationException"),
        // Nothing keeps them behind these doors.
        ("SageMaker.ListModels", 503, "ServiceUnavailableException"),
        (
            "Logs_20140328.DescribeLogGroups",
            503,
            "ServiceUnavailableException",
        ),
    ] {
        let answer = client.post(target, "{}").await;
        let said = (answer.status, answer.code());
        assert_eq!(said, (status, code), "{target}");
    }
    // Every operation that is announced can be read.
    for (id, names) in [
        (Id::Comprehend, comprehend::OPERATIONS),
        (Id::Rekognition, rekognition::OPERATIONS),
    ] {
        assert!(
            names
                .iter()
                .all(|name| service(id).operation(name).is_some())
        );
    }
}

#[tokio::test]
async fn unknown_targets_make_no_labels() {
    let client = client();
    for (target, service) in [
        ("Comprehend_20171127.DetectMood", "comprehend"),
        ("Comprehend_20171127.detectsentiment", "comprehend"),
        ("Comprehend_20171127.", "comprehend"),
        ("DynamoDB_20120810.ListTables", "aws"),
        ("DetectLabels", "aws"),
        (".", "aws"),
    ] {
        let answer = client.post(target, "{}").await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "UnknownOperationException"),
            "{target}"
        );
        assert_eq!(
            answer.name,
            OperationName {
                service,
                operation: "unknown"
            }
        );
    }
    let bare = client
        .send(HttpRequest::post("/").body(Bytes::new()).expect("request"))
        .await;
    assert_eq!(
        (bare.status, bare.code()),
        (400, "UnknownOperationException")
    );
}

#[tokio::test]
async fn bodies_that_are_no_requests_are_serialization_errors() {
    let client = client();
    let deep = "{\"Text\":".repeat(10_000) + "1" + &"}".repeat(10_000);
    for body in [
        "",
        "{",
        "null",
        "[]",
        "\"x\"",
        "{\"Text\":1}",
        "{\"Text\":\"a\"",
        "{\"Text\":\"\\ud800\"}",
        deep.as_str(),
    ] {
        let answer = client
            .post(
                "Comprehend_20171127.DetectDominantLanguage",
                body.to_owned(),
            )
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "SerializationException"),
            "{body:.40}"
        );
        assert!(answer.body["Message"].is_string());
    }
}

#[tokio::test]
async fn the_servers_id_deadline_and_place_for_the_name_are_used() {
    let client = client();
    let (operation, deadline) = (
        Operation::default(),
        Instant::now() + Duration::from_secs(7),
    );
    let mut request = HttpRequest::post("/")
        .header("x-amz-target", "RekognitionService.DetectLabels")
        .body(Bytes::from_static(br#"{"Image":{"Bytes":"AAAA"}}"#))
        .expect("request");
    request
        .extensions_mut()
        .insert(RequestId("caller-1".into()));
    request.extensions_mut().insert(operation.clone());
    request.extensions_mut().insert(Deadline(deadline));
    let answer = client.send(request).await;
    assert_eq!(
        (answer.status, &answer.headers["x-amzn-requestid"]),
        (200, &"caller-1".parse().expect("header"))
    );
    assert_eq!(client.double.images.lock()[0].1.deadline, Some(deadline));
    assert!(
        format!("{operation:?}").contains("rekognition.DetectLabels"),
        "{operation:?}"
    );
}

#[tokio::test]
async fn failures_from_before_the_door_have_its_form() {
    for (status, code) in [
        (413, "RequestEntityTooLargeException"),
        (408, "RequestTimeoutException"),
        (429, "ThrottlingException"),
        (500, "InternalFailure"),
    ] {
        let status = StatusCode::from_u16(status).expect("status");
        let response = refused(status, "why", "id-1");
        assert_eq!(
            (response.status(), &response.headers()["x-amzn-requestid"]),
            (status, &"id-1".parse().expect("header"))
        );
        let body = response
            .into_body()
            .collect()
            .await
            .expect("body")
            .to_bytes();
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body, json!({"__type": code, "message": "why"}));
    }
}

// --- anything at all -----------------------------------------------------------------------------------

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }

    /// Roughly what the shape asks for; now and then something else.
    fn value(&mut self, service: &Service, shape: ShapeId, depth: usize) -> Value {
        if self.below(12) == 0 || depth > 12 {
            return match self.below(8) {
                0 => json!(null),
                1 => json!(true),
                2 => json!(-1.5e300),
                3 => json!(u64::MAX),
                4 => json!([[], {}, null]),
                5 => json!({"": {"Text": []}, "Bytes": 1}),
                6 => json!("\u{0}é=\u{10ffff}"),
                _ => json!(""),
            };
        }
        let shape = service.shape(shape);
        match &shape.kind {
            ShapeKind::Structure(members) => {
                let mut object = serde_json::Map::new();
                for member in members {
                    if member.required || self.below(2) == 0 {
                        object.insert(
                            member.name.clone(),
                            self.value(service, member.shape, depth + 1),
                        );
                    }
                }
                Value::Object(object)
            }
            ShapeKind::List(element) => {
                let count = self.below(3);
                (0..count)
                    .map(|_| self.value(service, *element, depth + 1))
                    .collect()
            }
            ShapeKind::Map(_, element) => {
                let count = self.below(3);
                let entries =
                    (0..count).map(|i| (format!("k{i}"), self.value(service, *element, depth + 1)));
                Value::Object(entries.collect::<Vec<_>>().into_iter().collect())
            }
            ShapeKind::String(text) if !text.values.is_empty() => {
                let pick = self.below(text.values.len() as u64) as usize;
                json!(text.values[pick])
            }
            ShapeKind::String(_) => json!(
                ["es", "fail Internal", "fail TooLarge", "arn:aws:x", ""][self.below(5) as usize]
            ),
            ShapeKind::Blob => json!(["AAAA", "AA==", "", "A", "ÄÄÄÄ"][self.below(5) as usize]),
            ShapeKind::Boolean => json!(self.below(2) == 0),
            ShapeKind::Integer | ShapeKind::Long => json!(self.below(100)),
            ShapeKind::Float | ShapeKind::Double | ShapeKind::Timestamp => {
                json!(self.below(1000) as f64 / 8.0)
            }
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime")
        .block_on(future)
}

proptest! {
    /// Inputs shaped like requests, with faults mixed in, never panic the checks of any operation; what
    /// they say is well-formed and bounded.
    #[test]
    fn any_operation_checks_any_input(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        for service in Models::get().expect("models are well-formed").services() {
            let operations: Vec<_> = service.operations().collect();
            let operation = operations[dice.below(operations.len() as u64) as usize];
            let input = dice.value(service, operation.input, 0);
            match validate::input(service, operation.input, &input) {
                Ok(()) => {}
                Err(invalid) => {
                    let message = invalid.message();
                    prop_assert!(!message.is_empty() && message.len() < 100_000, "{}", message);
                }
            }
            // Outputs too: the checker of answers takes anything.
            let output = dice.value(service, operation.output, 0);
            let _ = validate::output(service, operation.output, &output);
        }
    }

    /// Every answer to such requests is well-formed, and an accepted one is what the model promises
    /// ([`well_formed`] checks both).
    #[test]
    fn any_request_is_answered(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let client = client();
        for (id, names) in [(Id::Comprehend, comprehend::OPERATIONS), (Id::Rekognition, rekognition::OPERATIONS)] {
            for name in names {
                let operation = service(id).operation(name).expect("known");
                let input = dice.value(service(id), operation.input, 0);
                let target = format!("{}.{name}", service(id).target_prefix);
                let answer = run(client.post(&target, input.to_string()));
                prop_assert_eq!(answer.name.operation, *name);
            }
        }
    }

    /// So is any body at all, under any target.
    #[test]
    fn any_bytes_are_answered(body in proptest::collection::vec(any::<u8>(), 0..300), target in "[ -~]{0,40}") {
        let client = client();
        let answer = run(client.post("RekognitionService.DetectLabels", body.clone()));
        prop_assert_eq!(answer.status, 400);
        let answer = run(client.post(&target, body));
        prop_assert_eq!(answer.status, 400);
    }
}
