//! Texts: one, many, plain, redacted, several questions at once.

use super::*;

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
