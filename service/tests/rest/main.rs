//! The router of all doors over predictions made up on the spot: shapes, statuses, limits, documents.

mod images;
mod limits;
mod openai;
mod ops;
mod texts;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header::HeaderMap};
use escala_pipelines::classes::{Class, Classes};
use escala_pipelines::embeddings::{Embedding, EmbeddingInput};
use escala_pipelines::image::ImageLimits;
use escala_pipelines::image::properties::{DominantColor, ImageProperties, Quality};
use escala_pipelines::labels::{Label, Labels, LabelsInput};
use escala_pipelines::language::{Language, Languages};
use escala_pipelines::objects::{Object, Objects, ObjectsInput};
use escala_pipelines::offsets::Offsets;
use escala_pipelines::pii::{self, Pii, PiiInput};
use escala_pipelines::render::RenderInput;
use escala_pipelines::render::task::render;
use escala_pipelines::sentiment::{Scores, SentimentInput};
use escala_pipelines::syntax::{Entity, EntityType, KeyPhrase, Syntax, SyntaxInput};
use escala_pipelines::targeted::{Group, Target, TargetType, Targeted};
use escala_pipelines::toxicity::{ToxicKind, Toxicity};
use escala_pipelines::vision::Area;
use escala_pipelines::{Error, Kind, Options, Result};
use escala_service::app::{Answers, App, Images, Predict};
use escala_service::config::Config;
use escala_service::config::units::Size;
use escala_service::doors;
use escala_service::long_texts::{InWindows, PersonalData};
use escala_service::metrics::Metrics;
use escala_service::object_store::folder::Folder;
use escala_service::ready::Readiness;
use escala_service::s3::{S3, places::Places};
use escala_service::server::body::Buffers;
use escala_service::topics::Topics;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tower::ServiceExt;

/// A prediction made of a function.
struct By<F>(F);

impl<I: Send + 'static, O: Send + 'static, F: Fn(I) -> Result<O> + Send + Sync> Predict<I, O>
    for By<F>
{
    fn predict_many(&self, inputs: Vec<I>, options: Options) -> Answers<'_, O> {
        assert!(options.deadline.is_some(), "every request has a deadline");
        Box::pin(async move { inputs.into_iter().map(&self.0).collect() })
    }
}

fn fail(text: &str) -> Option<Error> {
    let kind = match text {
        "!invalid" => Kind::InvalidInput,
        "!large" => Kind::TooLarge,
        "!unsupported" => Kind::Unsupported,
        "!missing" => Kind::NotFound,
        "!overloaded" => Kind::Overloaded,
        "!deadline" => Kind::Deadline,
        "!unavailable" => Kind::Unavailable,
        "!internal" => Kind::Internal,
        "!panic" => panic!("asked to"),
        _ => return None,
    };
    Some(
        Error::new(kind, format!("told to fail by {text}"))
            .with_retry_after(Duration::from_secs(3)),
    )
}

fn language(text: String) -> Result<Languages> {
    match fail(&text) {
        Some(error) => Err(error),
        None => Ok(vec![Language {
            code: text.chars().take(2).collect(),
            score: 0.75,
        }]),
    }
}

/// All of the text is a place and a phrase.
fn syntax(SyntaxInput { text, .. }: SyntaxInput) -> Result<Syntax> {
    if let Some(error) = fail(&text) {
        return Err(error);
    }
    let extent = Offsets::new(&text).extent(0..text.len())?;
    Ok(Syntax {
        entities: vec![Entity {
            extent,
            kind: EntityType::Location,
            label: "GPE".into(),
            score: 0.5,
        }],
        key_phrases: vec![KeyPhrase {
            extent,
            score: 0.25,
        }],
        sentences: vec![extent],
        ..Syntax::default()
    })
}

/// All of the text is one thing, and good.
fn targeted(text: Arc<str>) -> Result<Targeted> {
    if let Some(error) = fail(&text) {
        return Err(error);
    }
    let target = Target {
        extent: Offsets::new(&text).extent(0..text.len())?,
        kind: TargetType::Facility,
        score: 0.5,
        group_score: 1.0,
        scores: [0.75, 0.125, 0.125, 0.0],
    };
    Ok(vec![Group {
        descriptive: vec![0],
        mentions: vec![target],
    }])
}

fn personal(input: PiiInput) -> Result<Pii> {
    match fail(input.text()) {
        Some(error) => Err(error),
        None if input.is_extended() => pii::detect_extended(input.text(), None),
        None => pii::detect(input.text(), None),
    }
}

fn toxicity(text: Arc<str>) -> Result<Toxicity> {
    match fail(&text) {
        Some(error) => Err(error),
        None => Ok(Toxicity {
            toxicity: 0.5,
            labels: ToxicKind::ALL.map(|kind| (kind, 0.25)).to_vec(),
        }),
    }
}

fn sentiment(input: SentimentInput) -> Result<Scores> {
    match fail(&input.text) {
        Some(error) => Err(error),
        None if &*input.language == "en" => Ok([0.125, 0.5, 0.25, 0.125]),
        None => Ok([0.5, 0.125, 0.25, 0.125]),
    }
}

fn classify(text: Arc<str>) -> Result<Classes> {
    match fail(&text) {
        Some(error) => Err(error),
        None => Ok(vec![Class {
            name: "billing".into(),
            score: 1.0,
        }]),
    }
}

fn embed(input: EmbeddingInput) -> Result<Embedding> {
    match fail(&input.text) {
        Some(error) => Err(error),
        None => Ok(Embedding {
            vector: vec![1.0, -0.5],
            tokens: input.text.len(),
            truncated: input.text.len() > 8,
        }),
    }
}

/// Answers what it was asked as labels, so that tests see what arrived.
fn labels(input: LabelsInput) -> Result<Labels> {
    if *input.image == *b"junk" {
        return Err(Error::new(Kind::InvalidImage, "the bytes are not an image"));
    }
    let options = input.options;
    let label = |name: String| Label {
        name,
        confidence: options.min_confidence,
        parents: vec!["Parent".into()],
        categories: options.filters.include_categories.clone(),
        aliases: vec![],
    };
    let properties = options.properties.map(|_| ImageProperties {
        quality: Quality {
            brightness: 1.0,
            sharpness: 2.0,
            contrast: 3.0,
        },
        dominant_colors: vec![DominantColor {
            rgb: [255, 0, 16],
            css_color: "red".into(),
            css_rgb: [255, 0, 0],
            simplified_color: "red".into(),
            pixel_percent: 100.0,
        }],
    });
    let names = [
        format!("{} bytes", input.image.len()),
        format!("max {}", options.max_labels),
    ];
    Ok(Labels {
        labels: names.into_iter().map(label).collect(),
        properties,
        model_version: "1.0".into(),
    })
}

fn app(config: Config) -> Arc<App> {
    let syntax: Arc<dyn Predict<SyntaxInput, Syntax>> = Arc::new(InWindows::new(By(syntax), 1000));
    let buffers = Arc::new(Buffers::new(config.limits.buffered.get()));
    let nowhere = || Err("there are no objects here".to_owned());
    let places = Arc::new(Places::new(nowhere(), Folder::new(nowhere())));
    Arc::new(App {
        s3: S3::new(
            places,
            buffers.clone(),
            config.limits.body_pause.get(),
            &config.aws.account,
        ),
        buffers,
        log: None,
        kafka_metrics: None,
        topics: Topics::new(config.limits.streams),
        config,
        language: Arc::new(InWindows::new(By(language), 1000)),
        pii: Arc::new(PersonalData::new(By(personal), syntax.clone())),
        syntax,
        targeted: Arc::new(By(targeted)),
        toxicity: Arc::new(By(toxicity)),
        sentiment: Arc::new(By(sentiment)),
        embeddings: Arc::new(By(embed)),
        classify: Some(Arc::new(By(classify))),
        images: Images {
            render: Arc::new(By(|input: RenderInput| {
                render(&input, &ImageLimits::default())
            })),
            ..Images::unavailable()
        },
        labels: Arc::new(By(labels)),
        flows: None,
        jobs: None,
        sagemaker: Default::default(),
        #[cfg(feature = "sql")]
        sql: None,
        metrics: Arc::new(Metrics::default()),
        engine_metrics: Box::new(|| "escala_engine_test 1\n".to_owned()),
        ready: Arc::new(Readiness::new(["language"])),
    })
}

fn router() -> Router {
    doors::router(app(Config::default()))
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }
}

async fn send(
    router: &Router,
    method: &str,
    path: &str,
    media: &str,
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !media.is_empty() {
        request = request.header("content-type", media);
    }
    let response = router
        .clone()
        .oneshot(request.body(body.into()).expect("request"))
        .await
        .expect("infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("body").to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

async fn post(router: &Router, path: &str, body: Value) -> Answer {
    send(router, "POST", path, "application/json", body.to_string()).await
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, "GET", path, "", Body::empty()).await
}
