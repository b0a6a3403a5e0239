//! OpenAI's clients.

use super::*;

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
