//! Long texts and the real model: the answer about the whole is that about its windows, and memory stays bounded.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use escala_pipelines::windows::{READING, cut};
use escala_service::config::Config;
use escala_service::config::units::Span;
use escala_service::doors;
use escala_service::machine::Machine;
use escala_service::ready::Readiness;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use tower::ServiceExt;

fn router() -> Router {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    let mut config = Config::default();
    // The machine that runs the tests may be busy with others.
    config.limits.deadline = Span::seconds(600);
    let machine = MACHINE.get_or_init(|| Machine::start(&config).expect("starts"));
    let app = machine.app(config.clone(), Arc::new(Readiness::new([])));
    doors::router(Arc::new(app))
}

async fn post(router: &Router, path: &str, body: Value) -> Value {
    let request = Request::builder()
        .method("POST")
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .expect("request");
    let response = router.clone().oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 200, "{path}");
    let body = response
        .into_body()
        .collect()
        .await
        .expect("body")
        .to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}

/// The texts of spaCy's golden file, which are prose of several kinds, as paragraphs up to a size.
fn prose(bytes: usize) -> String {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/spacy_en.json");
    let golden = std::fs::read_to_string(golden).expect("golden");
    let golden: Value = serde_json::from_str(&golden).expect("JSON");
    let texts = golden["items"].as_array().expect("items").iter();
    let texts: Vec<&str> = texts
        .map(|item| item["text"].as_str().expect("text"))
        .collect();
    let mut text = String::with_capacity(bytes);
    for part in texts.iter().cycle() {
        if text.len() + part.len() + 2 > bytes {
            break;
        }
        text.push_str(part);
        text.push_str("\n\n");
    }
    text.extend(std::iter::repeat_n('.', bytes - text.len()));
    text
}

/// Moves what an answer about a part says to where the part stands in the whole.
fn moved(item: &Value, bytes: usize, characters: usize, tokens: usize) -> Value {
    let mut item = item.clone();
    for (member, by) in [
        ("begin", characters),
        ("end", characters),
        ("begin_byte", bytes),
        ("end_byte", bytes),
        ("head", tokens),
    ] {
        if let Some(number) = item.get(member).and_then(Value::as_u64) {
            item[member] = json!(number as usize + by);
        }
    }
    item
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_is_the_windows_one_after_the_other() {
    let router = router();
    let text = prose(60_000);
    let parts = cut(&text, READING);
    assert!(parts.len() >= 4);
    for (path, list) in [
        ("/v1/text/entities", "entities"),
        ("/v1/text/key-phrases", "key_phrases"),
        ("/v1/text/syntax", "tokens"),
        ("/v1/text/pii", "entities"),
    ] {
        let whole = post(&router, path, json!({ "text": text })).await;
        let mut joined = Vec::new();
        for part in &parts {
            let alone = &text[part.bytes.clone()];
            let alone = post(&router, path, json!({ "text": alone })).await;
            let tokens = joined.len();
            let items = alone[list].as_array().expect("a list").iter();
            joined.extend(items.map(|item| moved(item, part.bytes.start, part.before, tokens)));
        }
        assert!(joined.len() > 100, "{path}: {}", joined.len());
        assert_eq!(
            whole[list].as_array().expect("a list").len(),
            joined.len(),
            "{path}"
        );
        assert_eq!(whole[list], Value::Array(joined), "{path}");
    }
    let analyzed = post(
        &router,
        "/v1/text/analyze",
        json!({ "text": text, "features": ["pii"] }),
    )
    .await;
    let alone = post(&router, "/v1/text/pii", json!({ "text": text })).await;
    assert_eq!(analyzed["features"]["pii"], alone);
}

/// Most memory that this process has held so far, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.expect("VmHWM").trim().trim_end_matches(" kB");
    kilobytes.parse::<usize>().expect("a number") * 1024
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_megabyte_is_read_in_bounded_memory() {
    let router = router();
    // Loads the models and fills the memory of words first.
    post(&router, "/v1/text/pii", json!({ "text": prose(60_000) })).await;
    let before = peak();
    let text = prose(1_000_000);
    let found = post(&router, "/v1/text/entities", json!({ "text": text })).await;
    let entities = found["entities"].as_array().expect("entities");
    assert!(entities.len() > 5000, "{}", entities.len());
    for entity in entities {
        let bytes = |member: &str| entity[member].as_u64().expect("a number") as usize;
        assert_eq!(text[bytes("begin_byte")..bytes("end_byte")], entity["text"]);
    }
    // Read at once, a word takes three kilobytes: some 600 MB. In windows, the answer is what takes most.
    let grown = peak() - before;
    assert!(grown < 300 << 20, "{} MB more", grown >> 20);
}
