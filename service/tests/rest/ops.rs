//! Health, metrics, request ids, pages, and the OpenAPI document.

use super::*;

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

    let text = document.to_string();
    assert!(
        !text.contains("# Errors") && !text.contains("[`"),
        "for readers of the source"
    );
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
