//! Texts are judged, encoded, filled in and asked about as in transformers.

use super::*;

#[test]
fn checkpoints_of_texts_answer_as_transformers_does() {
    let place = tempfile::tempdir().expect("a folder");
    let server = serve(&place);
    assert_eq!(server.s3("PUT", "/models", b"").status, 200);
    let sequence = of_task("sequence")
        .find(|one| one.name == "bert")
        .expect("golden");
    let words = of_task("words")
        .find(|one| one.name == "distilbert words")
        .expect("golden");
    let (judge, namer) = (files(sequence), files(words));
    for (name, files, task) in [
        ("classes", &judge, "text-classification"),
        ("states", &judge, "feature-extraction"),
        ("vectors", &judge, "sentence-embeddings"),
        ("alike", &judge, "sentence-similarity"),
        ("words", &namer, "token-classification"),
    ] {
        host(&server, name, &container(&server, name, files, task));
    }
    // Where nobody says it, the architecture does.
    let mut untold = container(&server, "untold", &namer, "");
    untold["Environment"] = json!({});
    host(&server, "untold", &untold);
    let mut bare = container(&server, "bare", &judge, "");
    bare["Image"] = json!(
        "683313688378.dkr.ecr.us-east-1.amazonaws.com/tei-cpu:2.0.1-tei1.8.2-cpu-py310-ubuntu22.04"
    );
    host(&server, "bare", &bare);

    let labels = ["bad", "so-so", "good"];
    // Those that are read whole.
    let short = |text: &str| text.len() < 90;
    for case in sequence.cases.iter().filter(|case| short(&case.text)) {
        let all = json!({"inputs": case.text, "parameters": {"top_k": 3}});
        let answer = ask(&server, "classes", &all);
        for (label, want) in labels.iter().zip(&case.scores) {
            let mut told = answer[0].as_array().expect("labels").iter();
            let told = told.find(|one| one["label"] == *label);
            near(&told.expect("a label")["score"], *want, &case.text);
        }

        let by = |parameters: Value| {
            let asked = json!({"inputs": case.text, "parameters": parameters});
            let answer = ask(&server, "classes", &asked);
            let told = answer[0].as_array().expect("labels").clone();
            assert_eq!(told.len(), 3, "{answer}");
            labels.map(|label| {
                let one = told.iter().find(|one| one["label"] == label);
                one.expect("a label")["score"].as_f64().expect("a number") as f32
            })
        };
        let numbers = by(json!({"function_to_apply": "none", "top_k": null}));
        let parts = numbers.map(f32::exp);
        let sigmoids = by(json!({"function_to_apply": "sigmoid", "return_all_scores": true}));
        for (label, want) in case.scores.iter().enumerate() {
            let share = parts[label] / parts.iter().sum::<f32>();
            near(&json!(share), *want, &case.text);
            let sigmoid = 1.0 / (1.0 + (-numbers[label]).exp());
            near(&json!(sigmoids[label]), sigmoid, &case.text);
        }

        let states = ask(&server, "states", &json!({"inputs": case.text}));
        let tokens = states[0].as_array().expect("tokens");
        assert_eq!(
            (states.as_array().map(Vec::len), tokens.len()),
            (Some(1), case.ids.len())
        );
        let mut mean = vec![0.0; case.mean.len()];
        for token in tokens {
            let state = vector(token);
            assert_eq!(state.len(), mean.len());
            mean.iter_mut()
                .zip(state)
                .for_each(|(sum, one)| *sum += one);
        }
        for (sum, want) in mean.iter().zip(&case.mean) {
            near(&json!(sum / tokens.len() as f32), *want, &case.text);
        }

        let length = case.mean.iter().map(|x| x * x).sum::<f32>().sqrt();
        let named = ask(&server, "vectors", &json!({"inputs": [case.text, "x"]}));
        let alone = ask(&server, "vectors", &json!({"inputs": case.text}));
        let bare = ask(&server, "bare", &json!({"inputs": case.text}));
        for said in [&named["embeddings"][0], &alone["embeddings"], &bare[0]] {
            for (got, want) in vector(said).iter().zip(&case.mean) {
                near(&json!(got), want / length, &case.text);
            }
        }
        let raw = json!({"inputs": case.text, "normalize": false, "truncate": false});
        for (got, want) in vector(&ask(&server, "bare", &raw)[0])
            .iter()
            .zip(&case.mean)
        {
            near(&json!(got), *want, &case.text);
        }
    }
    // What has no effect is refused, and a header is none of the texts.
    let refused = |name: &str, body: Value, why: &str| {
        let path = format!("/endpoints/{name}/invocations");
        let refused = server.post(&path, "application/json", body.to_string().as_bytes());
        let said = String::from_utf8_lossy(&refused.body);
        assert!(refused.status == 424 && said.contains(why), "{said}");
    };
    let with = |parameters: Value| json!({"inputs": "a", "parameters": parameters});
    refused(
        "classes",
        with(json!({"max_length": 5})),
        "parameters.max_length",
    );
    refused(
        "classes",
        with(json!({"function_to_apply": "exp"})),
        "function_to_apply",
    );
    refused("words", with(json!({"ignore_labels": ["B-LOC"]})), "has O");
    refused("words", with(json!({"top_k": 1})), "parameters.top_k");
    let long = "word ".repeat(2000);
    refused(
        "bare",
        json!({"inputs": long, "truncate": false}),
        "truncate is false",
    );
    let wrong = json!({"inputs": "a", "normalize": "no"});
    refused("bare", wrong, "normalize is true or false");
    let csv = |body: &str| {
        let answer = server.post(
            "/endpoints/classes/invocations",
            "text/csv",
            body.as_bytes(),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    };
    assert_eq!(csv("inputs\ngood\nbad\n"), csv("good\nbad\n"));
    assert_ne!(csv("inputs\ngood\nbad\n"), csv("good\n"));
    // Several at a time, in the shapes that clients send.
    let two: Vec<&str> = sequence.cases[..2].iter().map(|case| &*case.text).collect();
    let listed = ask(&server, "states", &json!({"inputs": two}));
    let alone = ask(&server, "states", &json!({"inputs": two[1]}));
    assert_eq!(listed[1], alone);
    let [one, other] = [&sequence.cases[0].mean, &sequence.cases[1].mean];
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cosine = dot(one, other) / (dot(one, one) * dot(other, other)).sqrt();
    let sides = json!({"inputs": {"source_sentence": two[0], "sentences": [two[1], two[0]]}});
    let alike = ask(&server, "alike", &sides);
    near(&alike["similarities"][0], cosine, "two texts");
    near(&alike["similarities"][1], 1.0, "the same text");

    let mut seen = 0;
    for case in words.cases.iter().filter(|case| !case.text.is_empty()) {
        for name in ["words", "untold"] {
            let grouped = json!({"aggregation_strategy": "first"});
            let asked = json!({"inputs": case.text, "parameters": grouped});
            let answer = ask(&server, name, &asked);
            let groups = answer.as_array().expect("groups");
            let wanted: Vec<_> = case
                .spans
                .iter()
                .filter(|(.., start, end)| start < end)
                .collect();
            assert_eq!(groups.len(), wanted.len(), "{}: {answer}", case.text);
            for (group, (label, score, start, end)) in groups.iter().zip(wanted) {
                assert_eq!(group["entity_group"], **label, "{}", case.text);
                near(&group["score"], *score, &case.text);
                assert_eq!(
                    (&group["start"], &group["end"]),
                    (&json!(start), &json!(end))
                );
                let word: String = case.text.chars().skip(*start).take(end - start).collect();
                assert_eq!(group["word"], word);
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen} groups are too few to mean much");
    // Nobody says how they are grouped: tokens, as the pipeline has it (`tests/golden/word_strategies.json`).
    let strategies: Value =
        serde_json::from_str(include_str!("../golden/word_strategies.json")).expect("golden");
    let mut all = strategies["checkpoints"].as_array().expect("a list").iter();
    let of = all.find(|one| one["name"] == "distilbert words");
    let case = &of.expect("golden")["cases"][0];
    let answer = ask(&server, "words", &json!({"inputs": case["text"]}));
    let (told, wanted) = (answer.as_array(), case["none"].as_array());
    let (told, wanted) = (told.expect("tokens"), wanted.expect("tokens"));
    assert_eq!(told.len(), wanted.len(), "{answer}");
    for (told, wanted) in told.iter().zip(wanted) {
        near(
            &told["score"],
            wanted[1].as_f64().expect("a score") as f32,
            "a token",
        );
        for (name, place) in [
            ("entity", 0),
            ("start", 2),
            ("end", 3),
            ("index", 4),
            ("word", 5),
        ] {
            assert_eq!(told[name], wanted[place], "{answer}");
        }
    }
    let refused = server.post(
        "/endpoints/words/invocations",
        "application/json",
        json!({"inputs": 1}).to_string().as_bytes(),
    );
    assert_eq!(refused.status, 424, "{refused:?}");

    // A task that is not there is told when the endpoint is made, with those that are.
    let wrong = container(&server, "wrong", &judge, "summarization");
    call(&server, "CreateModel", &model("wrong", &wrong)).ok();
    call(&server, "CreateEndpointConfig", &config("wrong", "wrong")).ok();
    let endpoint = json!({"EndpointName": "wrong", "EndpointConfigName": "wrong"});
    call(&server, "CreateEndpoint", &endpoint).ok();
    wait_for("its failure", PATIENCE, || {
        let described = call(
            &server,
            "DescribeEndpoint",
            &json!({"EndpointName": "wrong"}),
        )
        .ok();
        let why = described["FailureReason"].as_str().unwrap_or_default();
        described["EndpointStatus"] == "Failed"
            && why.contains("summarization")
            && why.contains("feature-extraction")
    });
    server.assert_sound("all of it");
}

/// The same but for scores, which are near.
fn alike(got: &Value, want: &Value) {
    match (got, want) {
        (Value::Array(got), Value::Array(want)) => {
            assert_eq!(got.len(), want.len(), "{got:?}, not {want:?}");
            got.iter()
                .zip(want)
                .for_each(|(got, want)| alike(got, want));
        }
        (Value::Object(all), Value::Object(want)) => {
            assert_eq!(all.len(), want.len(), "{got}");
            for (name, want) in want {
                match name.as_str() {
                    "score" => near(&all[name], want.as_f64().expect("a score") as f32, name),
                    _ => assert_eq!(&all[name], want, "{got}"),
                }
            }
        }
        _ => panic!("{got}, not {want}"),
    }
}

#[test]
fn masks_are_filled_and_questions_answered_as_by_transformers() {
    let place = tempfile::tempdir().expect("a folder");
    let server = serve(&place);
    assert_eq!(server.s3("PUT", "/models", b"").status, 200);
    for of in &answers().checkpoints {
        let name = &of.masks.checkpoint.name;
        let [fill, find] = ["fill", "find"].map(|kind| format!("{name}-{kind}"));
        for (hosted, checkpoint) in [
            (&fill, &of.masks.checkpoint),
            (&find, &of.answers.checkpoint),
        ] {
            // What it is asked is told by its architecture.
            let mut told = container(&server, hosted, &files(checkpoint), "");
            told["Environment"] = json!({});
            host(&server, hosted, &told);
        }
        for case in &of.masks.masked {
            let asked = json!({"inputs": case.text, "parameters": case.parameters});
            alike(&ask(&server, &fill, &asked), &case.filled);
        }
        for case in &of.answers.questions {
            let both = json!({"question": case.question, "context": case.context});
            let asked = json!({"inputs": both, "parameters": case.parameters});
            alike(&ask(&server, &find, &asked), &case.answers);
        }
        // Several at a time are a list of the same answers; a list of one is that one.
        let texts: Vec<&str> = of.masks.masked[..2]
            .iter()
            .map(|case| &*case.text)
            .collect();
        let one = ask(&server, &fill, &json!({"inputs": texts[..1]}));
        assert_eq!(one, ask(&server, &fill, &json!({"inputs": texts[0]})));
        let two = ask(&server, &fill, &json!({"inputs": texts}));
        assert_eq!((two.as_array().map(Vec::len), &two[0]), (Some(2), &one));
        let first = &of.answers.questions[0];
        let twice = json!({"question": [first.question, first.question], "context": first.context});
        let two = ask(&server, &find, &json!({"inputs": twice}));
        alike(&two, &json!([first.answers, first.answers]));
    }
    // What cannot be answered is told.
    let fill = |asked: Value| ("bert-fill", asked);
    let find = |asked: Value| ("bert-find", asked);
    let long = "word ".repeat(60);
    for ((name, asked), why) in [
        (fill(json!({"inputs": "nothing is left out"})), "[MASK]"),
        (fill(json!({"inputs": format!("[MASK] {long}")})), "tokens"),
        (
            fill(json!({"inputs": "[MASK]", "parameters": {"top_k": 0}})),
            "top_k",
        ),
        (
            fill(json!({"inputs": "[MASK]", "parameters": {"targets": [""]}})),
            "targets",
        ),
        (
            fill(json!({"inputs": vec!["[MASK]"; 2000], "parameters": {"top_k": 1000}})),
            "at most",
        ),
        (find(json!({"inputs": "Who?"})), "question"),
        (
            find(json!({"inputs": {"question": "", "context": "x"}})),
            "empty",
        ),
        (
            find(json!({"inputs": {"question": long, "context": "x"}})),
            "room",
        ),
        (
            find(
                json!({"inputs": {"question": "Who?", "context": long}, "parameters": {"doc_stride": 300}}),
            ),
            "doc_stride",
        ),
        (
            find(
                json!({"inputs": {"question": "Who?", "context": "x"}, "parameters": {"top_k": 1000}}),
            ),
            "top_k",
        ),
    ] {
        let path = format!("/endpoints/{name}/invocations");
        let answer = server.post(&path, "application/json", asked.to_string().as_bytes());
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            answer.status == 424 && told.contains(why),
            "{asked}: {answer:?}"
        );
    }
    let cut = json!({"tokenizer_kwargs": {"truncation": true}});
    let asked = json!({"inputs": format!("[MASK] {long}"), "parameters": cut});
    assert_eq!(
        ask(&server, "bert-fill", &asked).as_array().map(Vec::len),
        Some(5)
    );
    // The states of a network with such a head are still there to be asked for.
    let masks = &answers().checkpoints[0].masks.checkpoint;
    let states = container(&server, "states", &files(masks), "feature-extraction");
    host(&server, "states", &states);
    assert!(ask(&server, "states", &json!({"inputs": "a"})).is_array());
    server.assert_sound("all of it");
}

#[test]
fn pairs_and_classes_that_nobody_taught_are_answered_as_by_transformers() {
    let place = tempfile::tempdir().expect("a folder");
    let server = serve(&place);
    assert_eq!(server.s3("PUT", "/models", b"").status, 200);
    let golden = pairs();
    for paired in &golden.checkpoints {
        let (name, files) = (&paired.checkpoint.name, files(&paired.checkpoint));
        let [judge, guess] = ["judge", "guess"].map(|kind| format!("{name}-{kind}"));
        for (hosted, task) in [
            (&judge, "text-classification"),
            (&guess, "zero-shot-classification"),
        ] {
            host(&server, hosted, &container(&server, hosted, &files, task));
        }
        for pair in &paired.pairs {
            let texts = json!({"text": pair.text, "text_pair": pair.text_pair});
            let asked = json!({"inputs": texts, "parameters": {"top_k": null}});
            let answer = ask(&server, &judge, &asked);
            let labels = ["contradiction", "neutral", "entailment"];
            for (label, want) in labels.iter().zip(&pair.probabilities) {
                let mut told = answer[0].as_array().expect("labels").iter();
                let told = told.find(|one| one["label"] == *label);
                near(&told.expect("a label")["score"], *want, &pair.text);
            }
        }
        for case in &paired.classes {
            let mut parameters = case.parameters.clone();
            parameters.insert("candidate_labels".to_owned(), json!(golden.candidates));
            let asked = json!({"inputs": case.text, "parameters": parameters});
            let answer = ask(&server, &guess, &asked);
            assert_eq!(answer["sequence"], case.text);
            let told = answer["labels"].as_array().expect("labels");
            assert_eq!(told.len(), case.labels.len());
            for (label, want) in case.labels.iter().zip(&case.scores) {
                let place = told.iter().position(|one| one == label).expect("a label");
                near(&answer["scores"][place], *want, &case.text);
            }
        }
        // A list of texts, and the classes as a text.
        let text = &paired.classes[0].text;
        let parameters = json!({"candidate_labels": golden.candidates[0]});
        let listed = ask(
            &server,
            &guess,
            &json!({"inputs": [text], "parameters": parameters}),
        );
        near(&listed[0]["scores"][0], paired.alone, text);
    }
    let mut mixed = vec![json!("c"); 32];
    mixed.resize(64, json!({"text": "a", "text_pair": "b"}));
    let refused = [
        ("bert-guess", json!({"inputs": "a"})),
        (
            "bert-guess",
            json!({"inputs": "a", "parameters": {"candidate_labels": ["b"], "hypothesis_template": "none"}}),
        ),
        (
            "bert-judge",
            json!({"inputs": [{"text": "a", "text_pair": "b"}, "c"]}),
        ),
        // Also where they would be read apart.
        ("bert-judge", json!({"inputs": mixed})),
    ];
    for (name, asked) in refused {
        let path = format!("/endpoints/{name}/invocations");
        let refused = server.post(&path, "application/json", asked.to_string().as_bytes());
        assert_eq!(refused.status, 424, "{asked}: {refused:?}");
    }
    server.assert_sound("all of it");
}
