//! The router of all doors over predictions made up on the spot: shapes, statuses, limits, documents.

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
        s3: S3::new(places, buffers.clone(), config.limits.body_pause.get()),
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

#[tokio::test]
async fn language_of_one_text_of_many_and_of_plain_text() {
    let router = router();
    let path = "/v1/text/language";
    let answer = post(&router, path, json!({ "text": "es" })).await;
    assert_eq!(
        answer.json(),
        json!({ "languages": [{ "code": "es", "score": 0.75 }] })
    );
    let answer = send(
        &router,
        "POST",
        path,
        "text/plain; charset=utf-8",
        "zh 你好",
    )
    .await;
    assert_eq!(
        answer.json(),
        json!({ "languages": [{ "code": "zh", "score": 0.75 }] })
    );
    let answer = post(&router, path, json!({ "texts": ["en", "!invalid", "fr"] })).await;
    assert_eq!(
        answer.json(),
        json!({ "results": [
            { "languages": [{ "code": "en", "score": 0.75 }] },
            { "error": { "code": "invalid_input", "message": "told to fail by !invalid" } },
            { "languages": [{ "code": "fr", "score": 0.75 }] },
        ] })
    );
}

#[tokio::test]
async fn readings_and_personal_data_of_one_text_and_of_many() {
    let router = router();
    let place = json!({
        "type": "LOCATION", "label": "GPE", "score": 0.5,
        "text": "Köln", "begin": 0, "end": 4, "begin_byte": 0, "end_byte": 5,
    });
    let entities = post(&router, "/v1/text/entities", json!({ "text": "Köln" })).await;
    assert_eq!(entities.json(), json!({ "entities": [place] }));
    let many = json!({ "texts": ["Köln", "!invalid"], "language": "en" });
    let many = post(&router, "/v1/text/entities", many).await.json();
    assert_eq!(many["results"][0]["entities"][0], place);
    assert_eq!(many["results"][1]["error"]["code"], "invalid_input");
    // A model that is absent is absent for every text.
    for absent in [
        json!({ "text": "!unsupported", "language": "es" }),
        json!({ "texts": ["Köln", "!unsupported"], "language": "es" }),
    ] {
        let absent = post(&router, "/v1/text/entities", absent).await;
        assert_eq!(absent.status.as_u16(), 400);
        assert_eq!(absent.json()["error"]["code"], "unsupported");
        let message = absent.json()["error"]["message"].to_string();
        assert!(
            message.contains("told to fail by !unsupported"),
            "{message}"
        );
    }
    let phrases = post(&router, "/v1/text/key-phrases", json!({ "text": "Köln" })).await;
    assert_eq!(phrases.json()["key_phrases"][0]["score"], 0.25);
    let syntax = post(&router, "/v1/text/syntax", json!({ "text": "Köln" })).await;
    assert_eq!(syntax.json()["sentences"][0]["end"], 4);
    let targets = post(
        &router,
        "/v1/text/targeted-sentiment",
        json!({ "text": "Köln" }),
    )
    .await;
    let mention = json!({
        "type": "FACILITY", "sentiment": "POSITIVE", "score": 0.5, "group_score": 1.0,
        "scores": { "positive": 0.75, "negative": 0.125, "neutral": 0.125, "mixed": 0.0 },
        "text": "Köln", "begin": 0, "end": 4, "begin_byte": 0, "end_byte": 5,
    });
    assert_eq!(
        targets.json(),
        json!({ "entities": [{ "descriptive": [0], "mentions": [mention] }] })
    );
    let pii = json!({ "text": "é a@example.com", "language": "es" });
    let pii = post(&router, "/v1/text/pii", pii).await.json();
    assert_eq!(pii["entities"][0]["type"], "EMAIL");
    assert_eq!(pii["entities"][0]["evidence"], "pattern");
    assert_eq!(
        (
            &pii["entities"][0]["begin"],
            &pii["entities"][0]["begin_byte"]
        ),
        (&json!(2), &json!(3))
    );
    let judged = json!({ "texts": ["a", "!invalid"], "language": "de" });
    let judged = post(&router, "/v1/text/sentiment", judged).await.json();
    assert_eq!(judged["results"][0]["sentiment"], "POSITIVE");
    assert_eq!(judged["results"][1]["error"]["code"], "invalid_input");
    let judged = post(&router, "/v1/text/sentiment", json!({ "text": "a" }))
        .await
        .json();
    assert_eq!(judged["sentiment"], "NEGATIVE");
    assert_eq!(judged["scores"]["neutral"], 0.25);
    let toxicity = json!({ "texts": ["a", "!invalid"] });
    let toxicity = post(&router, "/v1/text/toxicity", toxicity).await.json();
    assert_eq!(toxicity["results"][0]["toxicity"], 0.5);
    let harassment = json!({ "label": "HARASSMENT_OR_ABUSE", "score": 0.25 });
    assert_eq!(toxicity["results"][0]["labels"][3], harassment);
    assert_eq!(toxicity["results"][1]["error"]["code"], "invalid_input");
    let plain = send(
        &router,
        "POST",
        "/v1/text/pii?language=es",
        "text/plain",
        Body::from("a@example.com"),
    )
    .await;
    assert_eq!(plain.json()["entities"][0]["end"], 13);
    for path in [
        "/v1/text/entities",
        "/v1/text/key-phrases",
        "/v1/text/syntax",
        "/v1/text/targeted-sentiment",
        "/v1/text/pii",
        "/v1/text/sentiment",
        "/v1/text/toxicity",
    ] {
        let answer = post(&router, path, json!({ "text": "a", "language": "sv" })).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["code"]),
            (400, &json!("unsupported")),
            "{path}"
        );
        let message = answer.json()["error"]["message"].to_string();
        assert!(
            message.contains("`sv`") && message.contains("en"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn texts_are_redacted() {
    let router = router();
    let path = "/v1/text/redact";
    let text = "👩🏽‍🚀 שלום: ada@example.com, 192.0.2.44 é";
    let masked = post(&router, path, json!({ "text": text })).await.json();
    assert_eq!(masked["text"], "👩🏽‍🚀 שלום: ***************, ********** é");
    let mail = &masked["entities"][0];
    assert_eq!(
        (&mail["type"], &mail["begin"], &mail["end"]),
        (&json!("EMAIL"), &json!(11), &json!(26))
    );
    assert_eq!(
        (&mail["redacted_begin"], &mail["redacted_end"]),
        (&json!(11), &json!(26))
    );
    assert!(!masked.to_string().contains("example"), "{masked}");
    let body = json!({ "texts": [text, "!invalid"], "mode": "replace", "types": ["IP_ADDRESS"] });
    let many = post(&router, path, body).await.json();
    assert_eq!(
        many["results"][0]["text"],
        "👩🏽‍🚀 שלום: ada@example.com, [IP_ADDRESS] é"
    );
    assert_eq!(many["results"][0]["entities"][0]["redacted_end"], 40);
    assert_eq!(many["results"][1]["error"]["code"], "invalid_input");
    let query = format!("{path}?mask=%E2%96%88&types=EMAIL&min_score=0.5&language=es");
    let plain = send(
        &router,
        "POST",
        &query,
        "text/plain",
        Body::from("a@example.com 192.0.2.44"),
    )
    .await;
    assert_eq!(plain.json()["text"], "█████████████ 192.0.2.44");
    let none = post(&router, path, json!({ "text": text, "min_score": 1.0 })).await;
    assert_eq!(none.json()["text"], text);
    let dni = json!({ "text": "mi DNI es 12345678Z", "language": "es" });
    assert_eq!(
        post(&router, path, dni.clone()).await.json()["entities"],
        json!([])
    );
    let mut extended = dni;
    extended["extensions"] = true.into();
    let extended = post(&router, path, extended).await.json();
    assert_eq!(extended["text"], "mi DNI es *********");
    for (body, part) in [
        (json!({ "text": "a", "mode": "blur" }), "mask, replace"),
        (json!({ "text": "a", "mask": "ab" }), "`mask`"),
        (json!({ "text": "a", "mask": "" }), "`mask`"),
        (json!({ "text": "a", "mask": "\n" }), "`mask`"),
        (
            json!({ "text": "a", "mask": "x", "mode": "replace" }),
            "`mask`",
        ),
        (
            json!({ "text": "a", "types": ["EMAIL", "SHOE_SIZE"] }),
            "`SHOE_SIZE`",
        ),
        (json!({ "text": "a", "min_score": 1.5 }), "`min_score`"),
        (json!({ "text": "a", "language": "fr" }), "`fr`"),
        (
            json!({ "text": "a", "colour": "red" }),
            "unknown field `colour`",
        ),
        (json!({}), "either `text` or `texts`"),
    ] {
        let answer = post(&router, path, body.clone()).await;
        let message = answer.json()["error"]["message"].to_string();
        assert_eq!(answer.status, 400, "{body}: {message}");
        assert!(message.contains(part), "{body}: {message}");
    }
}

#[tokio::test]
async fn several_questions_are_answered_from_one_reading() {
    /// Counts the texts that it reads.
    struct Counted(Arc<std::sync::atomic::AtomicUsize>);
    impl Predict<SyntaxInput, Syntax> for Counted {
        fn predict_many(&self, inputs: Vec<SyntaxInput>, _: Options) -> Answers<'_, Syntax> {
            self.0.fetch_add(inputs.len(), Ordering::SeqCst);
            Box::pin(async move { inputs.into_iter().map(syntax).collect() })
        }
    }
    struct Read;
    impl Predict<PiiInput, Pii> for Read {
        fn predict_many(&self, inputs: Vec<PiiInput>, _: Options) -> Answers<'_, Pii> {
            let one = |input: PiiInput| {
                assert!(!input.needs_reading(), "the reading is shared");
                personal(input)
            };
            Box::pin(async move { inputs.into_iter().map(one).collect() })
        }
    }
    let readings = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut app = Arc::into_inner(app(Config::default())).expect("only one");
    app.syntax = Arc::new(Counted(readings.clone()));
    app.pii = Arc::new(Read);
    let router = doors::router(Arc::new(app));
    let path = "/v1/text/analyze";
    // The stand-in takes the first two letters for the language.
    let text = "en a@example.com";
    let answer = post(&router, path, json!({ "text": text })).await.json();
    assert_eq!(answer["language"], "en");
    let said = answer["features"].as_object().expect("features");
    let names: Vec<&str> = said.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "entities",
            "key_phrases",
            "language",
            "pii",
            "sentiment",
            "syntax",
            "targeted_sentiment",
            "toxicity"
        ]
    );
    for (name, route) in [
        ("entities", "/v1/text/entities"),
        ("key_phrases", "/v1/text/key-phrases"),
        ("syntax", "/v1/text/syntax"),
        ("sentiment", "/v1/text/sentiment"),
        ("targeted_sentiment", "/v1/text/targeted-sentiment"),
        ("toxicity", "/v1/text/toxicity"),
        ("language", "/v1/text/language"),
    ] {
        let alone = post(&router, route, json!({ "text": text })).await.json();
        assert_eq!(said[name], alone, "{name}");
    }
    assert_eq!(said["pii"]["entities"][0]["type"], "EMAIL");
    assert_eq!(readings.swap(0, Ordering::SeqCst), 1 + 3);

    let body = json!({ "texts": [text, "fr bonjour", "!invalid"], "features": ["pii", "entities", "pii"] });
    let many = post(&router, path, body).await.json();
    assert_eq!(
        many["results"][0]["features"]["pii"]["entities"][0]["end"],
        16
    );
    let french = &many["results"][1];
    assert_eq!(french["language"], "fr");
    assert_eq!(
        french["features"]["entities"]["error"]["code"],
        "unsupported"
    );
    assert_eq!(many["results"][2]["error"]["code"], "invalid_input");
    assert_eq!(readings.swap(0, Ordering::SeqCst), 1);
    let body =
        json!({ "texts": ["de !", "!invalid"], "language": "en", "features": ["entities", "pii"] });
    let many = post(&router, path, body).await.json();
    assert_eq!(
        many["results"][1]["features"]["entities"]["error"]["code"],
        "invalid_input"
    );
    assert_eq!(
        many["results"][1]["features"]["pii"]["error"]["code"],
        "invalid_input"
    );
    assert_eq!(
        many["results"][0]["features"]["entities"]["entities"][0]["end"],
        4
    );
    let query = format!("{path}?features=entities,language&language=en");
    let plain = send(&router, "POST", &query, "text/plain", Body::from("xx"))
        .await
        .json();
    assert_eq!(
        plain["features"].as_object().map(|said| said.len()),
        Some(2)
    );

    let unknown = json!({ "text": text, "features": ["entities", "mood"] });
    let unknown = post(&router, path, unknown).await;
    let message = unknown.json()["error"]["message"].to_string();
    assert_eq!(unknown.status, 400);
    for name in [
        "`mood`",
        "language",
        "entities",
        "key_phrases",
        "syntax",
        "pii",
        "toxicity",
        "sentiment",
        "targeted_sentiment",
    ] {
        assert!(message.contains(name), "{message}");
    }
    let down = post(
        &router,
        path,
        json!({ "texts": [text, "!overloaded"], "language": "en" }),
    )
    .await;
    assert_eq!(down.status, 429);
}

#[tokio::test]
async fn a_language_without_its_model_costs_only_what_needs_the_model() {
    /// Reads English; notes the language of what it is asked.
    struct English(Arc<std::sync::Mutex<Vec<Box<str>>>>);
    impl Predict<SyntaxInput, Syntax> for English {
        fn predict_many(&self, inputs: Vec<SyntaxInput>, _: Options) -> Answers<'_, Syntax> {
            let asked = inputs.iter().map(|input| input.language.clone());
            self.0.lock().expect("whole").extend(asked);
            let one = |input: SyntaxInput| match &*input.language {
                "en" => syntax(input),
                _ => Err(Error::new(Kind::Unsupported, "pull it with a command")),
            };
            Box::pin(async move { inputs.into_iter().map(one).collect() })
        }
    }
    let asked = Arc::default();
    let mut app = Arc::into_inner(app(Config::default())).expect("only one");
    app.syntax = Arc::new(English(Arc::clone(&asked)));
    let router = doors::router(Arc::new(app));
    let asked = || std::mem::take(&mut *asked.lock().expect("whole")).concat();
    // The stand-in takes the first two letters for the language.
    let texts = ["es a@example.com", "en a@example.com"];
    let ask = async |features: Value| {
        let body = json!({ "texts": texts, "features": features });
        post(&router, "/v1/text/analyze", body).await.json()["results"].clone()
    };
    let answer = ask(json!(["entities", "pii", "toxicity"])).await;
    let spanish = &answer[0]["features"];
    assert_eq!(
        spanish["entities"]["error"],
        json!({ "code": "unsupported", "message": "pull it with a command" })
    );
    assert_eq!(spanish["toxicity"]["error"]["code"], "unsupported");
    let english = &answer[1]["features"];
    assert_eq!(english["entities"]["entities"][0]["type"], "LOCATION");
    assert_eq!(english["toxicity"]["toxicity"], 0.5);
    for said in [spanish, english] {
        assert_eq!(said["pii"]["entities"][0]["type"], "EMAIL");
    }
    assert_eq!(asked(), "esen", "each text once");
    let answer = ask(json!(["pii"])).await;
    assert_eq!(answer[0]["features"]["pii"]["entities"][0]["type"], "EMAIL");
    assert_eq!(asked(), "en", "the rules for Spanish need no reading");
    ask(json!(["toxicity", "language"])).await;
    assert_eq!(asked(), "");
}

#[tokio::test]
async fn long_texts_are_taken_up_to_their_limit() {
    let config = Config::default();
    let limit = config.limits.rest_text.as_usize();
    assert_eq!(limit, 1_000_000);
    let router = doors::router(app(config));
    let text = "in Köln. ".repeat(limit / 10);
    assert_eq!(text.len(), limit);
    for path in [
        "/v1/text/language",
        "/v1/text/entities",
        "/v1/text/key-phrases",
        "/v1/text/syntax",
        "/v1/text/pii",
        "/v1/text/redact",
        "/v1/text/analyze",
    ] {
        let body = json!({ "text": text, "language": "en" });
        let plain = send(&router, "POST", path, "text/plain", text.clone()).await;
        assert_eq!(plain.status, 200, "{path}");
        if path == "/v1/text/entities" {
            // A stand-in for the model: each window is one place.
            let entities = post(&router, path, body).await.json()["entities"].clone();
            let entities = entities.as_array().expect("entities").clone();
            assert!(entities.len() >= 1000);
            let mut at = 0;
            for entity in &entities {
                assert_eq!(entity["begin_byte"], at);
                at = entity["end_byte"].as_u64().expect("a number");
            }
            assert_eq!(at as usize, limit);
            assert_eq!(entities[entities.len() - 1]["end"], text.chars().count());
        }
        let longer = send(&router, "POST", path, "text/plain", format!("{text}x")).await;
        let message = longer.json()["error"]["message"].to_string();
        assert_eq!(longer.status, 413, "{path}");
        assert!(
            message.contains("1000001 bytes; at most 1000000"),
            "{message}"
        );
        let listed = json!({ "texts": ["a", format!("{text}x")] });
        assert_eq!(post(&router, path, listed).await.status, 413, "{path}");
    }
    let answer = post(&router, "/v1/text/embeddings", json!({ "text": text })).await;
    assert_eq!(
        answer.status, 413,
        "models without windows keep their limit"
    );
    let toxicity = post(&router, "/v1/text/toxicity", json!({ "text": text })).await;
    assert_eq!(toxicity.status, 413, "and so does one with its own");
    let body = json!({ "text": text, "language": "en", "features": ["entities", "toxicity"] });
    let both = post(&router, "/v1/text/analyze", body).await;
    let said = &both.json()["features"];
    assert_eq!(said["toxicity"]["error"]["code"], "too_large");
    assert!(said["entities"]["entities"][999].is_object());
}

#[tokio::test]
async fn what_is_wrong_with_the_server_fails_the_request() {
    let router = router();
    for (text, status, code) in [
        ("!invalid", 400, "invalid_input"),
        ("!unsupported", 400, "unsupported"),
        ("!missing", 404, "not_found"),
        ("!large", 413, "too_large"),
        ("!overloaded", 429, "overloaded"),
        ("!internal", 500, "internal"),
        ("!panic", 500, "internal"),
        ("!unavailable", 503, "unavailable"),
        ("!deadline", 504, "deadline"),
    ] {
        let answer = post(&router, "/v1/text/language", json!({ "text": text })).await;
        let body = answer.json();
        assert_eq!(
            (answer.status.as_u16(), body["error"]["code"].as_str()),
            (status, Some(code)),
            "{text}"
        );
        assert_eq!(
            body["error"]["request_id"].as_str(),
            Some(answer.header("x-request-id")),
            "{text}"
        );
        assert_eq!(
            body["error"].as_object().map(|error| error.len()),
            Some(3),
            "{text}"
        );
        if status == 429 {
            assert_eq!(answer.header("retry-after"), "3");
        }
        if status == 500 {
            assert!(
                !body["error"]["message"]
                    .as_str()
                    .expect("message")
                    .contains("told to"),
                "{body}"
            );
        }
    }
    let answer = post(
        &router,
        "/v1/text/language",
        json!({ "texts": ["en", "!overloaded"] }),
    )
    .await;
    assert_eq!(answer.status, 429);
    assert_eq!(
        post(&router, "/v1/text/language", json!({ "text": "en" }))
            .await
            .status,
        200,
        "it lives on"
    );
}

#[tokio::test]
async fn malformed_requests_are_told_what_is_wrong() {
    let router = router();
    let path = "/v1/text/language";
    for (body, part) in [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[]", "does not fit"),
        ("{}", "either `text` or `texts`"),
        (r#"{"text":"a","texts":["b"]}"#, "either `text` or `texts`"),
        (r#"{"text":1}"#, "does not fit"),
        (r#"{"txt":"a"}"#, "unknown field `txt`"),
        (r#"{"texts":[]}"#, "there is no text"),
        (r#" ["a", null]"#, "must be an object"),
        ("{\"text\":\"\u{0}\"}", "not valid JSON"),
    ] {
        let answer = send(&router, "POST", path, "application/json", body.to_owned()).await;
        let message = answer.json()["error"]["message"]
            .as_str()
            .expect("message")
            .to_owned();
        assert_eq!(answer.status, 400, "{body}");
        assert!(message.contains(part), "{body}: {message}");
    }
    let answer = send(&router, "POST", path, "text/plain", &b"\xff\xfe"[..]).await;
    assert_eq!(answer.status, 400);
    for media in ["", "application/x-www-form-urlencoded", "image/png"] {
        let answer = send(&router, "POST", path, media, "{}").await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.json()["error"]["code"].as_str()
            ),
            (415, Some("unsupported_media_type")),
            "{media}"
        );
    }
    let answer = get(&router, path).await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.json()["error"]["code"].as_str()
        ),
        (405, Some("method_not_allowed"))
    );
    assert_eq!(answer.header("allow"), "POST");
    let answer = get(&router, "/v1/nothing").await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.json()["error"]["code"].as_str()
        ),
        (404, Some("not_found"))
    );
}

#[tokio::test]
async fn limits_are_kept_in_every_doors_shape() {
    let mut config = Config::default();
    config.limits.body = Size::bytes(1000);
    config.limits.image = Size::bytes(100);
    config.limits.text = Size::bytes(10);
    config.limits.rest_text = Size::bytes(10);
    config.limits.texts = 3;
    config.check().expect("holds together");
    let router = doors::router(app(config));
    let large = "x".repeat(2000);
    for path in ["/v1/text/language", "/v1/images/labels"] {
        let answer = send(&router, "POST", path, "application/json", large.clone()).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.json()["error"]["code"].as_str()
            ),
            (413, Some("too_large")),
            "{path}"
        );
    }
    let answer = send(
        &router,
        "POST",
        "/v1/embeddings",
        "application/json",
        large.clone(),
    )
    .await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.json()["error"]["type"].as_str()
        ),
        (413, Some("invalid_request_error"))
    );
    let answer = send(&router, "POST", "/", "application/x-amz-json-1.1", large).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["__type"].as_str()),
        (413, Some("RequestEntityTooLargeException"))
    );

    let answer = post(
        &router,
        "/v1/text/language",
        json!({ "texts": ["ok", "eleven byte"] }),
    )
    .await;
    assert_eq!(answer.status, 413);
    let answer = post(
        &router,
        "/v1/text/embeddings",
        json!({ "texts": ["a", "b", "c", "d"] }),
    )
    .await;
    assert_eq!(answer.status, 400);
    let answer = send(
        &router,
        "POST",
        "/v1/images/labels",
        "image/png",
        "x".repeat(101),
    )
    .await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn lists_of_millions_are_counted_and_not_kept() {
    let router = router();
    let many = 1_000_000;
    let empties = format!("[{}\"\"]", "\"\",".repeat(many - 1));
    for path in ["/v1/text/language", "/v1/text/embeddings"] {
        let body = format!("{{\"texts\":{empties}}}");
        let answer = send(&router, "POST", path, "application/json", body).await;
        let message = answer.json()["error"]["message"].to_string();
        assert!(message.contains("there are 1000000 texts"), "{message}");
    }
    let body = format!("{{\"image\":\"aGk=\",\"exclude_labels\":{empties}}}");
    let answer = send(
        &router,
        "POST",
        "/v1/images/labels",
        "application/json",
        body,
    )
    .await;
    let message = answer.json()["error"]["message"].to_string();
    assert!(
        message.contains("`exclude_labels` has 1000000 names"),
        "{message}"
    );
}

#[tokio::test]
async fn embeddings_of_one_and_of_many() {
    let router = router();
    let path = "/v1/text/embeddings";
    let one = json!({ "embedding": [1.0, -0.5], "tokens": 1, "truncated": false });
    let answer = post(&router, path, json!({ "text": "a" })).await;
    let mut expected = one.clone();
    expected["model"] = json!("all-MiniLM-L6-v2");
    assert_eq!(answer.json(), expected);
    let answer = post(&router, path, json!({ "texts": ["a", "!large"] })).await;
    let failed = json!({ "error": { "code": "too_large", "message": "told to fail by !large" } });
    assert_eq!(
        answer.json(),
        json!({ "model": "all-MiniLM-L6-v2", "results": [one, failed] })
    );
}

/// A chair in the middle of any image.
fn objects(_: ObjectsInput) -> Result<Objects> {
    Ok(Objects {
        width: 200,
        height: 160,
        objects: vec![Object {
            class: 56,
            name: "Chair".into(),
            confidence: 80.0,
            area: Area::new(50.0, 60.0, 150.0, 400.0),
            parents: vec![],
            categories: vec!["Furniture and Furnishings".into()],
            aliases: vec![],
        }],
    })
}

/// A router whose labels are joined with [`objects`].
fn router_with_objects(
    draw: impl Fn(RenderInput) -> Result<Bytes> + Send + Sync + 'static,
) -> Router {
    let mut app = Arc::into_inner(app(Config::default())).expect("nobody else has it");
    app.images.objects = Some(Arc::new(By(objects)));
    app.images.render = Arc::new(By(draw));
    doors::router(Arc::new(app))
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let image = image::RgbImage::from_pixel(width, height, image::Rgb([90, 90, 90]));
    let written = image.write_to(&mut file, image::ImageFormat::Png);
    written.expect("written to memory");
    file.into_inner()
}

#[tokio::test]
async fn labels_have_their_places_in_words_and_in_pictures() {
    let router = router_with_objects(|input| render(&input, &ImageLimits::default()));
    let path = "/v1/images/labels";
    let file = png(200, 160);
    let answer = send(&router, "POST", path, "image/png", file.clone())
        .await
        .json();
    assert_eq!(
        (&answer["width"], &answer["height"]),
        (&json!(200), &json!(160))
    );
    let chair = &answer["labels"][0];
    // The box ends where the image does.
    let place = json!({ "left": 50.0, "top": 60.0, "width": 100.0, "height": 100.0 });
    assert_eq!(chair["name"], "Chair");
    assert_eq!(
        chair["instances"],
        json!([{ "box": place, "confidence": 80.0 }])
    );

    let drawn = format!("{path}?render=png&include_labels=Chair");
    let answer = send(&router, "POST", &drawn, "image/png", file).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, "image/png")
    );
    let picture = image::load_from_memory(&answer.body)
        .expect("a picture")
        .into_rgb8();
    assert_eq!(picture.dimensions(), (200, 160));
    let painted = |x: u32, y: u32| picture.get_pixel(x, y).0 != [90; 3];
    // Along the left edge and not beside it, up to the last row.
    for y in 62..158 {
        assert!(painted(50, y) && !painted(47, y) && !painted(53, y), "{y}");
    }
    assert!(painted(100, 159) && !painted(100, 110) && !painted(10, 10));
}

#[tokio::test]
async fn a_picture_that_cannot_be_drawn_is_an_error_in_json() {
    let router = router_with_objects(|_| Err(fail("!overloaded").expect("an error")));
    let path = "/v1/images/labels?render=png";
    let answer = send(&router, "POST", path, "image/png", png(100, 100)).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.json()["error"]["code"], "overloaded");
    assert_eq!(answer.header("retry-after"), "3");
}

#[tokio::test]
async fn images_come_in_json_or_as_they_are() {
    let router = router();
    let path = "/v1/images/labels";
    let body = json!({
        "image": "aGVsbG8=", "max_labels": 5, "min_confidence": 10, "properties": true, "include_categories": ["Animals"]
    });
    let from_json = post(&router, path, body).await;
    assert_eq!(
        from_json.json(),
        json!({
            "labels": [
                { "name": "5 bytes", "confidence": 10.0, "instances": [], "parents": ["Parent"], "categories": ["Animals"], "aliases": [] },
                { "name": "max 5", "confidence": 10.0, "instances": [], "parents": ["Parent"], "categories": ["Animals"], "aliases": [] },
            ],
            "properties": {
                "brightness": 1.0, "sharpness": 2.0, "contrast": 3.0,
                "dominant_colors": [{
                    "rgb": [255, 0, 16], "hex": "#ff0010", "css_color": "red", "simplified_color": "red", "pixel_percent": 100.0
                }],
            },
            "model_version": "1.0",
        })
    );
    let query = "?max_labels=5&min_confidence=10&properties=true&include_categories=Animals";
    for media in ["image/jpeg", "application/octet-stream"] {
        let raw = send(&router, "POST", &format!("{path}{query}"), media, "hello").await;
        assert_eq!(raw.json(), from_json.json(), "{media}");
    }
    // The defaults are Rekognition's.
    let answer = send(&router, "POST", path, "image/png", "hello")
        .await
        .json();
    assert_eq!(answer["labels"][0]["confidence"], json!(55.0));
    assert_eq!(answer["labels"][1]["name"], json!("max 1000"));
    assert!(answer.get("properties").is_none());

    for (path, media, body, code) in [
        (path.to_owned(), "image/png", "junk", "invalid_image"),
        (path.to_owned(), "image/png", "", "invalid_image"),
        (
            path.to_owned(),
            "application/json",
            r#"{"image":"%%%"}"#,
            "invalid_input",
        ),
        (
            path.to_owned(),
            "application/json",
            r#"{"image":"anVuaw=="}"#,
            "invalid_image",
        ),
        (path.to_owned(), "application/json", "{}", "invalid_input"),
        (
            format!("{path}?max_labels=2"),
            "application/json",
            r#"{"image":"aGk="}"#,
            "invalid_input",
        ),
        (
            format!("{path}?max_labels=0"),
            "image/png",
            "hello",
            "invalid_input",
        ),
        (
            format!("{path}?max_labels=x"),
            "image/png",
            "hello",
            "invalid_input",
        ),
        (
            format!("{path}?min_confidence=101"),
            "image/png",
            "hello",
            "invalid_input",
        ),
        (
            format!("{path}?min_confidence=NaN"),
            "image/png",
            "hello",
            "invalid_input",
        ),
        (
            format!("{path}?colour=red"),
            "image/png",
            "hello",
            "invalid_input",
        ),
    ] {
        let answer = send(&router, "POST", &path, media, body).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.json()["error"]["code"].as_str()
            ),
            (400, Some(code)),
            "{path} {body}"
        );
    }
}

#[tokio::test]
async fn openai_clients_get_their_shape() {
    let router = router();
    let path = "/v1/embeddings";
    let model = "all-MiniLM-L6-v2";
    let answer = post(
        &router,
        path,
        json!({ "model": model, "input": ["ab", "c"] }),
    )
    .await;
    assert_eq!(
        answer.json(),
        json!({
            "object": "list", "model": model, "usage": { "prompt_tokens": 3, "total_tokens": 3 },
            "data": [
                { "object": "embedding", "index": 0, "embedding": [1.0, -0.5] },
                { "object": "embedding", "index": 1, "embedding": [1.0, -0.5] },
            ],
        })
    );
    let body = json!({ "model": "sentence-transformers/all-MiniLM-L6-v2", "input": "ab", "encoding_format": "base64", "dimensions": 384, "user": "u" });
    assert_eq!(
        post(&router, path, body).await.json()["data"][0]["embedding"],
        json!("AACAPwAAAL8=")
    );

    for (body, status, param) in [
        (
            json!({ "model": "text-embedding-3-small", "input": "a" }),
            404,
            Some("model"),
        ),
        (
            json!({ "model": model, "input": [1, 2, 3] }),
            400,
            Some("input"),
        ),
        (
            json!({ "model": model, "input": vec![""; 100_000] }),
            400,
            Some("input"),
        ),
        (json!({ "model": model, "input": [] }), 400, Some("input")),
        (json!({ "model": model, "input": "" }), 400, Some("input")),
        (
            json!({ "model": model, "input": "a", "dimensions": 128 }),
            400,
            Some("dimensions"),
        ),
        (
            json!({ "model": model, "input": "a", "encoding_format": "int8" }),
            400,
            None,
        ),
        (
            json!({ "model": model, "input": ["a", "!invalid"] }),
            400,
            Some("input"),
        ),
        (json!({ "model": model }), 400, None),
        (
            json!({ "model": model, "input": ["a", "!overloaded"] }),
            429,
            None,
        ),
        (
            json!({ "model": model, "input": "!unavailable" }),
            503,
            None,
        ),
    ] {
        let answer = post(&router, path, body.clone()).await;
        let error = &answer.json()["error"];
        assert_eq!(
            (answer.status.as_u16(), error["param"].as_str()),
            (status, param),
            "{body}: {error}"
        );
        assert!(
            error["message"].is_string() && error["type"].is_string() && error["code"].is_string(),
            "{error}"
        );
    }
    let list = get(&router, "/v1/models").await.json();
    assert_eq!(
        (list["object"].as_str(), list["data"][0]["id"].as_str()),
        (Some("list"), Some(model))
    );
    assert_eq!(
        get(&router, "/v1/models/sentence-transformers/all-MiniLM-L6-v2")
            .await
            .json()["id"],
        json!(model)
    );
    assert_eq!(
        get(&router, "/v1/models/gpt").await.json()["error"]["code"],
        json!("model_not_found")
    );
    let answer = get(&router, "/v1/models/%ff").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"]["param"], json!("model"));
    let body = json!({ "model": model, "input": "ab", "encoding_format": null });
    assert_eq!(
        post(&router, path, body).await.json()["data"][0]["embedding"],
        json!([1.0, -0.5])
    );
}

#[tokio::test]
async fn health_readiness_and_metrics() {
    let app = app(Config::default());
    let router = doors::router(app.clone());
    assert_eq!(get(&router, "/healthz").await.status, 200);
    let answer = get(&router, "/readyz").await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.json()["tasks"]["language"]["state"].as_str()
        ),
        (503, Some("loading"))
    );
    app.ready.failed("language", "no weights".into());
    assert_eq!(
        get(&router, "/readyz").await.json()["tasks"]["language"]["message"],
        json!("no weights")
    );
    app.ready.ready("language");
    let answer = get(&router, "/readyz").await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["ready"].as_bool()),
        (200, Some(true))
    );

    post(&router, "/v1/text/language", json!({ "text": "es" })).await;
    post(&router, "/v1/text/language", json!({})).await;
    get(&router, "/v1/made/up/by/a/scanner").await;
    let answer = get(&router, "/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain"));
    let text = String::from_utf8(answer.body.to_vec()).expect("text");
    for line in [
        r#"escala_requests_total{door="rest",operation="/v1/text/language",status="200"} 1"#,
        r#"escala_requests_total{door="rest",operation="/v1/text/language",status="400"} 1"#,
        r#"escala_requests_total{door="rest",operation="unmatched",status="404"} 1"#,
        "escala_requests_in_flight 1",
        "escala_engine_test 1",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
    }
    assert!(!text.contains("scanner"));
}

#[tokio::test]
async fn request_ids_come_back() {
    let router = router();
    let request = Request::builder()
        .uri("/healthz")
        .header("x-request-id", "mine-1")
        .body(Body::empty())
        .expect("request");
    let response = router.clone().oneshot(request).await.expect("infallible");
    assert_eq!(response.headers()["x-request-id"], "mine-1");
    let (one, two) = (
        get(&router, "/healthz").await,
        get(&router, "/healthz").await,
    );
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    assert_eq!(one.header("x-request-id").len(), 36);
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_and_is_counted() {
    /// Never answers; tells when it is dropped.
    struct Never(Arc<AtomicBool>, Arc<tokio::sync::Notify>);
    struct Told(Arc<AtomicBool>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    impl Predict<String, Languages> for Never {
        fn predict_many(&self, _: Vec<String>, _: Options) -> Answers<'_, Languages> {
            let told = Told(self.0.clone());
            let entered = self.1.clone();
            Box::pin(async move {
                let _told = told;
                entered.notify_one();
                std::future::pending().await
            })
        }
    }
    let (dropped, entered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(tokio::sync::Notify::new()),
    );
    let mut app = Arc::into_inner(app(Config::default())).expect("only one");
    app.language = Arc::new(Never(dropped.clone(), entered.clone()));
    let app = Arc::new(app);
    let router = doors::router(app.clone());
    let waiting = tokio::spawn(async move {
        post(&router, "/v1/text/language", json!({ "text": "a" }))
            .await
            .status
    });
    entered.notified().await;
    waiting.abort();
    waiting.await.expect_err("aborted");
    assert!(dropped.load(Ordering::SeqCst));
    let text = app.metrics.text();
    assert!(
        text.contains(r#"operation="/v1/text/language",status="499"} 1"#),
        "{text}"
    );
    assert!(text.contains("escala_requests_in_flight 0\n"));
}

#[tokio::test]
async fn the_openapi_document_is_whole_and_true() {
    let router = router();
    let document = get(&router, "/openapi.json").await.json();
    assert!(
        document["openapi"]
            .as_str()
            .expect("version")
            .starts_with("3.1.")
    );

    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("inside the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }

    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("methods") {
            assert!(
                operations.iter().all(|id| id != &operation["operationId"]),
                "operation ids are unique"
            );
            operations.push(operation["operationId"].clone());
            let path = path.replace("{model}", "all-MiniLM-L6-v2");
            let answer = send(&router, &method.to_uppercase(), &path, "", Body::empty()).await;
            // 415 says that the route is there and wants a body.
            assert!(
                matches!(answer.status.as_u16(), 200 | 415 | 503),
                "{method} {path}: {}",
                answer.status
            );
        }
    }
    for path in [
        "/v1/text/language",
        "/v1/text/entities",
        "/v1/text/key-phrases",
        "/v1/text/syntax",
        "/v1/text/targeted-sentiment",
        "/v1/text/pii",
        "/v1/text/sentiment",
        "/v1/text/toxicity",
        "/v1/text/redact",
        "/v1/text/analyze",
        "/v1/text/embeddings",
        "/v1/images/labels",
        "/v1/images/faces",
        "/v1/images/compare",
        "/v1/images/text",
        "/v1/images/moderation",
        "/v1/images/bodies",
        "/v1/text/classify",
        "/v1/embeddings",
        "/v1/chat/completions",
        "/readyz",
        "/metrics",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
}

#[tokio::test]
async fn pages_need_nothing_from_elsewhere() {
    let router = router();
    for path in ["/", "/docs"] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").starts_with("text/html"));
        let html = String::from_utf8(answer.body.to_vec()).expect("text");
        for needle in ["src=\"http", "href=\"http", "@import", "//cdn"] {
            assert!(!html.contains(needle), "{path} has {needle}");
        }
    }
}
