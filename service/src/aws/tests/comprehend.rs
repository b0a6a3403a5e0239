//! Comprehend: what its operations answer, and what they refuse.

use super::*;

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
