//! What is refused, and what of the server fails a request.

use super::*;

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

/// A page of a stranger's in a browser on this machine, behind every door, and one that the configuration names.
#[tokio::test]
async fn pages_of_strangers_are_refused_in_every_doors_shape() {
    let mut config = Config::default();
    config.server.origins = vec!["http://localhost:3000".to_owned()];
    let router = doors::router(app(config));
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Body::from(r#"{"text":"a"}"#))
            .expect("a request");
        let response = router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        (
            parts.status,
            parts.headers,
            String::from_utf8_lossy(&body).into_owned(),
        )
    };
    let stranger = ("origin", "http://evil.example");
    for (path, said) in [
        ("/v1/text/language", r#""code":"forbidden""#),
        ("/v1/sql", r#""code":"forbidden""#),
        ("/v1/embeddings", "server.origins"),
        ("/v2/models/m/infer", "server.origins"),
        ("/", "AccessDeniedException"),
    ] {
        let (status, headers, body) = ask("POST", path, &[stranger]).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        assert!(body.contains(said), "{path}: {body}");
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{path}"
        );
    }
    let rebound = [("host", "evil.example:4566")];
    assert_eq!(
        ask("GET", "/healthz", &rebound).await.0,
        StatusCode::FORBIDDEN
    );

    let page = ("origin", "http://localhost:3000");
    let preflight = [page, ("access-control-request-method", "POST")];
    let (status, headers, _) = ask("OPTIONS", "/v1/text/language", &preflight).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(headers["access-control-allow-methods"], "POST");
    let json = ("content-type", "application/json");
    let (status, headers, body) = ask("POST", "/v1/text/language", &[page, json]).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        headers["access-control-allow-origin"],
        "http://localhost:3000"
    );
}

/// An answer that is there is sent. While it is more than all may hold, only who asks how the server does is answered.
#[tokio::test]
async fn nothing_is_begun_while_answers_take_more_than_there_is() {
    let mut config = Config::default();
    config.limits.buffered = "1KB".parse().expect("a size");
    let router = doors::router(app(config));
    let ask = |path: &str| Request::builder().uri(path).body(Body::empty());
    let ask = |path: &str| router.clone().oneshot(ask(path).expect("request"));
    let large = ask("/openapi.json").await.expect("infallible");
    assert_eq!(large.status(), 200);
    assert_eq!(get(&router, "/healthz").await.status, 200);
    let refused = get(&router, "/v1/models").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), "1");
    let sent = large.into_body().collect().await.expect("body").to_bytes();
    assert!(sent.len() > 64 << 10);
    assert_eq!(get(&router, "/v1/models").await.status, 200);
}
