//! Checkpoints in Hugging Face's layout behind SageMaker's endpoints: through the real binary, against what transformers
//! answers with the same checkpoints.

mod common;
#[allow(dead_code, clippy::unwrap_used)] // a part is used; a test fails by panicking
#[path = "../weights/tests/common/hub.rs"]
mod hub;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::checkpoints::{Checkpoint, answers, continued, of_task, pairs};
use common::sagemaker::{self, PATIENCE, call, config, data, model};
use common::{Server, Setup, image_models, python, wait_for};
use serde_json::{Value, json};

const IMAGE: &str = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference:2.6.0-transformers4.49.0-cpu-py312-ubuntu22.04";

const GENERATING: &str = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-tgi-inference:2.7.0-tgi3.3.6-gpu-py311-cu124-ubuntu22.04";

fn serve(place: &tempfile::TempDir) -> Server {
    let folder = place.path().to_str().expect("a plain path");
    let setup = Setup::default()
        .with("ESCALA_DATA_DIR", folder)
        .with("ESCALA_MODELS_PRELOAD", "language");
    Server::start(&setup)
}

/// Puts files into a bucket and gives the container that has them as its model's data.
fn container(server: &Server, name: &str, files: &[(String, Vec<u8>)], task: &str) -> Value {
    let data = data(server, "models", name, files);
    json!({"Image": IMAGE, "Environment": {"HF_TASK": task}, "ModelDataSource": data})
}

fn host(server: &Server, name: &str, container: &Value) {
    call(server, "CreateModel", &model(name, container)).ok();
    sagemaker::host(server, name, name);
}

fn files(checkpoint: &Checkpoint) -> Vec<(String, Vec<u8>)> {
    let folder = checkpoint.folder();
    let names = ["config.json", "tokenizer.json", "model.safetensors"];
    names
        .map(|name| {
            let bytes = std::fs::read(folder.path().join(name)).expect("a file");
            (name.to_owned(), bytes)
        })
        .to_vec()
}

fn ask(server: &Server, name: &str, body: &Value) -> Value {
    let path = format!("/endpoints/{name}/invocations");
    let answer = server.post(&path, "application/json", body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn near(got: &Value, want: f32, what: &str) {
    let got = got.as_f64().unwrap_or_else(|| panic!("{what}: {got}"));
    // The golden values have six decimals.
    assert!(
        (got - f64::from(want)).abs() < 2e-5,
        "{what}: {got}, not {want}"
    );
}

fn vector(value: &Value) -> Vec<f32> {
    let numbers = value.as_array().expect("a list").iter();
    numbers
        .map(|one| one.as_f64().expect("a number") as f32)
        .collect()
}

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
        serde_json::from_str(include_str!("golden/word_strategies.json")).expect("golden");
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

/// What a streamed answer's events carry, one behind the other.
fn payloads(mut body: &[u8]) -> Vec<u8> {
    let number =
        |from: &[u8]| u32::from_be_bytes(from[..4].try_into().expect("four bytes")) as usize;
    let mut all = Vec::new();
    while !body.is_empty() {
        let (length, headers) = (number(body), number(&body[4..]));
        let (message, rest) = body.split_at(length);
        let names = String::from_utf8_lossy(&message[12..12 + headers]).into_owned();
        assert!(names.contains("PayloadPart"), "{names}");
        all.extend_from_slice(&message[12 + headers..length - 4]);
        body = rest;
    }
    all
}

#[test]
fn texts_are_continued_as_by_transformers() {
    let place = tempfile::tempdir().expect("a folder");
    let server = serve(&place);
    assert_eq!(server.s3("PUT", "/models", b"").status, 200);
    for of in &continued().checkpoints {
        let name = &of.checkpoint.name;
        // What it is asked is told by its architecture.
        let mut told = container(&server, name, &files(&of.checkpoint), "");
        told["Environment"] = json!({});
        host(&server, name, &told);
        for case in &of.continued {
            let mut parameters = case.parameters.clone();
            parameters.insert("do_sample".to_owned(), json!(false));
            let asked = json!({"inputs": case.prompt, "parameters": parameters});
            let text = json!([{"generated_text": case.text}]);
            assert_eq!(ask(&server, name, &asked), text, "{name}");
            let twice = json!({"inputs": [case.prompt, case.prompt], "parameters": parameters});
            assert_eq!(ask(&server, name, &twice), json!([text, text]), "{name}");
        }
    }
    // Where nobody says otherwise tokens are drawn, and a seed decides how.
    let drawn = |parameters: Value| {
        let asked = json!({"inputs": "Ada", "parameters": parameters});
        ask(&server, "llama", &asked)
    };
    let parameters = json!({"max_new_tokens": 12, "seed": 5, "num_return_sequences": 3});
    let three = drawn(parameters.clone());
    assert_eq!(three, drawn(parameters));
    let three = three.as_array().expect("a list");
    assert!(
        three.len() == 3 && three[0] != three[1] && three[1] != three[2],
        "{three:?}"
    );
    let other = drawn(json!({"max_new_tokens": 12, "seed": 6}));
    assert_ne!(three[0], other[0]);
    // A text that ends by what is said.
    let of = &continued().checkpoints[0];
    let case = &of.continued[0];
    let all: String = case.text[case.prompt.len()..].to_owned();
    let stop: String = all.chars().skip(3).take(2).collect();
    let parameters = json!({"do_sample": false, "max_new_tokens": 12, "stop": [stop], "return_full_text": false, "details": true});
    let asked = json!({"inputs": case.prompt, "parameters": parameters});
    let stopped = ask(&server, "gpt2", &asked);
    let text = stopped[0]["generated_text"].as_str().expect("a text");
    assert!(
        all.starts_with(text) && text.contains(&stop) && text != all,
        "{text:?} of {all:?}"
    );
    assert_eq!(stopped[0]["details"]["finish_reason"], "stop_sequence");

    // The other container: the likeliest, without the text; and token by token.
    let mut told = container(&server, "gpt2", &files(&of.checkpoint), "text-generation");
    told["Image"] = json!(GENERATING);
    host(&server, "tgi", &told);
    let asked = json!({"inputs": case.prompt, "parameters": {"max_new_tokens": 12}});
    let whole = ask(&server, "tgi", &asked);
    assert_eq!(whole, json!([{"generated_text": all}]));
    let asked =
        json!({"inputs": case.prompt, "parameters": {"max_new_tokens": 12}, "stream": true});
    let path = "/endpoints/tgi/invocations-response-stream";
    let answer = server.post(path, "application/json", asked.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = String::from_utf8(payloads(&answer.body)).expect("a text");
    let events: Vec<Value> = said
        .split("\n\n")
        .filter(|event| !event.is_empty())
        .map(|event| {
            let event = event.strip_prefix("data:").expect("an event");
            serde_json::from_str(event).expect("json")
        })
        .collect();
    assert_eq!(events.len(), 12);
    let written: String = events
        .iter()
        .map(|event| event["token"]["text"].as_str().expect("a text"))
        .collect();
    // Bytes that are no character yet are held back.
    let rest = all.strip_prefix(&written).expect("the same text");
    assert!(
        rest.chars().all(|c| c == '\u{fffd}'),
        "{written:?} of {all:?}"
    );
    let (last, others) = events.split_last().expect("events");
    assert_eq!(last["generated_text"], json!(all));
    assert_eq!(last["details"]["finish_reason"], "length");
    assert!(others.iter().all(|event| event["generated_text"].is_null()));

    // What cannot be answered is told.
    for (asked, why) in [
        (json!({"inputs": ""}), "no tokens"),
        (
            json!({"inputs": "a", "parameters": {"max_new_tokens": 96}}),
            "positions",
        ),
        (json!({"inputs": "a ".repeat(200)}), "no room"),
        (
            json!({"inputs": "a", "parameters": {"num_beams": 4}}),
            "num_beams",
        ),
        (
            json!({"inputs": "a", "parameters": {"temperature": -1}}),
            "temperature",
        ),
        (json!({"inputs": "a", "parameters": {"top_p": 0}}), "top_p"),
        (
            json!({"inputs": "a", "parameters": {"do_sample": false, "num_return_sequences": 2}}),
            "do_sample",
        ),
        (json!({"inputs": ["a", "b"], "stream": true}), "stream"),
    ] {
        let answer = server.post(
            "/endpoints/gpt2/invocations",
            "application/json",
            asked.to_string().as_bytes(),
        );
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            answer.status == 424 && told.contains(why),
            "{asked}: {answer:?}"
        );
    }
    server.assert_sound("all of it");
}

/// A template that writes what is said and nothing else, so that what follows is what follows the text.
const TEMPLATE: &str = r#"{"chat_template": "{% for message in messages %}{% if message.role == 'robot' %}{{ raise_exception('no robots here') }}{% endif %}{{ message.content }}{% endfor %}"}"#;

#[test]
fn conversations_are_answered_by_the_checkpoints_template() {
    let place = tempfile::tempdir().expect("a folder");
    let server = serve(&place);
    assert_eq!(server.s3("PUT", "/models", b"").status, 200);
    let of = &continued().checkpoints[0];
    let case = &of.continued[0];
    let all: String = case.text[case.prompt.len()..].to_owned();
    let mut with_template = files(&of.checkpoint);
    with_template.push((
        "tokenizer_config.json".to_owned(),
        TEMPLATE.as_bytes().to_vec(),
    ));
    for (name, image) in [("toolkit", IMAGE), ("tgi", GENERATING)] {
        let mut told = container(&server, name, &with_template, "text-generation");
        told["Image"] = json!(image);
        host(&server, name, &told);
    }
    let (first, second) = case.prompt.split_at(1);
    let messages =
        json!([{"role": "system", "content": first}, {"role": "user", "content": second}]);
    let asked = json!({"model": "gpt", "messages": messages, "max_tokens": 12, "temperature": 0});
    let mut tokens = 0;
    for name in ["toolkit", "tgi"] {
        let whole = ask(&server, name, &asked);
        assert_eq!(whole["object"], "chat.completion");
        assert_eq!(whole["model"], "gpt");
        let choice = &whole["choices"][0];
        assert_eq!(
            choice["message"],
            json!({"role": "assistant", "content": all})
        );
        assert_eq!(choice["finish_reason"], "length");
        let usage = &whole["usage"];
        assert_eq!(usage["completion_tokens"], 12);
        tokens = usage["prompt_tokens"].as_u64().expect("a number");
        assert_eq!(usage["total_tokens"], tokens + 12);
    }
    // Parts that are texts are their text; what else a part may be is not read.
    let mut parts = asked.clone();
    parts["messages"][1]["content"] = json!([{"type": "text", "text": second}]);
    let said = ask(&server, "tgi", &parts);
    assert_eq!(said["choices"][0]["message"]["content"], all);
    assert_eq!(said["usage"]["prompt_tokens"], tokens);
    let image = json!([{"type": "image_url", "image_url": {"url": "data:,"}}]);
    for (content, why) in [
        (image, "image_url"),
        (json!(null), "a text"),
        (json!(7), "a text"),
    ] {
        parts["messages"][1]["content"] = content;
        let path = "/endpoints/tgi/invocations";
        let refused = server.post(path, "application/json", parts.to_string().as_bytes());
        let said = String::from_utf8_lossy(&refused.body);
        assert!(refused.status == 424 && said.contains(why), "{said}");
    }
    // Several answers, each with draws of its own; the same seed draws the same.
    let mut several = asked.clone();
    several["n"] = json!(3);
    let path = "/endpoints/tgi/invocations";
    let refused = server.post(path, "application/json", several.to_string().as_bytes());
    assert_eq!(refused.status, 424, "{refused:?}");
    several["temperature"] = json!(1.5);
    several["seed"] = json!(7);
    let said = ask(&server, "tgi", &several);
    let choices = said["choices"].as_array().expect("choices");
    assert_eq!((choices.len(), &choices[2]["index"]), (3, &json!(2)));
    let content = |at: usize| &choices[at]["message"]["content"];
    assert!(
        content(0) != content(1) && content(1) != content(2),
        "{said}"
    );
    assert_eq!(said["usage"]["completion_tokens"], 36);
    let again = ask(&server, "tgi", &several);
    assert_eq!(again["choices"], said["choices"]);
    // Many at once, each with its own end, are answered as each alone.
    std::thread::scope(|scope| {
        let asking = (1..=12).map(|most| {
            let (server, mut asked) = (&server, asked.clone());
            asked["max_tokens"] = json!(most);
            scope.spawn(move || ask(server, "tgi", &asked))
        });
        for (most, answer) in (1..).zip(asking.collect::<Vec<_>>()) {
            let answer = answer.join().expect("an answer");
            assert_eq!(answer["usage"]["completion_tokens"], most);
            let said = answer["choices"][0]["message"]["content"].as_str();
            let said = said.expect("a text").trim_end_matches('\u{fffd}');
            assert!(all.starts_with(said), "{said:?} of {all:?}");
        }
    });
    // As transformers' pipeline is asked and answers.
    let parameters = json!({"do_sample": false, "max_new_tokens": 12});
    let talked = ask(
        &server,
        "toolkit",
        &json!({"inputs": messages, "parameters": parameters}),
    );
    let mut longer = messages.clone();
    let list = longer.as_array_mut().expect("a list");
    list.push(json!({"role": "assistant", "content": all}));
    assert_eq!(talked, json!([{ "generated_text": longer }]));

    // Token by token; a stop ends it.
    let stream = |asked: &Value| -> Vec<Value> {
        let path = "/endpoints/tgi/invocations-response-stream";
        let answer = server.post(path, "application/json", asked.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        let said = String::from_utf8(payloads(&answer.body)).expect("a text");
        let said = said.strip_suffix("data: [DONE]\n\n").expect("an end");
        let events = said.split("\n\n").filter(|event| !event.is_empty());
        events
            .map(|event| {
                let event = event.strip_prefix("data: ").expect("an event");
                serde_json::from_str(event).expect("json")
            })
            .collect()
    };
    let mut streamed = asked.clone();
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({"include_usage": true});
    let events = stream(&streamed);
    let (usage, events) = events.split_last().expect("events");
    assert_eq!(
        usage["usage"],
        json!({"prompt_tokens": tokens, "completion_tokens": 12, "total_tokens": tokens + 12})
    );
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let (last, others) = events.split_last().expect("events");
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert!(
        others
            .iter()
            .all(|event| event["choices"][0]["finish_reason"].is_null())
    );
    let delta = |event: &Value| {
        event["choices"][0]["delta"]["content"]
            .as_str()
            .map(str::to_owned)
    };
    let written: String = events
        .iter()
        .map(|event| delta(event).expect("a text"))
        .collect();
    let rest = all.strip_prefix(&written).expect("the same text");
    assert!(
        rest.chars().all(|c| c == '\u{fffd}'),
        "{written:?} of {all:?}"
    );
    let stop: String = all.chars().skip(3).take(2).collect();
    let mut stopped = asked.clone();
    stopped["stop"] = json!([stop]);
    let choice = &ask(&server, "tgi", &stopped)["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    let text = choice["message"]["content"].as_str().expect("a text");
    assert!(
        all.starts_with(text) && !text.contains(&stop),
        "{text:?} of {all:?}"
    );

    let mut streamed = stopped.clone();
    streamed["stream"] = json!(true);
    let events_stopped = stream(&streamed);
    let deltas = events_stopped
        .iter()
        .map(|event| delta(event).expect("a text"));
    assert_eq!(deltas.collect::<String>(), text);

    // The same by OpenAI's door, where an endpoint is a model.
    let mut by_name = asked.clone();
    by_name["model"] = json!("tgi");
    let post = |asked: &Value| {
        let path = "/v1/chat/completions";
        server.post(path, "application/json", asked.to_string().as_bytes())
    };
    let answer = post(&by_name);
    assert_eq!(answer.status, 200, "{answer:?}");
    let choice = answer.json()["choices"][0]["message"]["content"].take();
    assert_eq!(choice, json!(all));
    by_name["stream"] = json!(true);
    let answer = post(&by_name);
    assert_eq!(answer.content_type, "text/event-stream");
    let said = String::from_utf8_lossy(&answer.body);
    assert_eq!(said.matches("chat.completion.chunk").count(), events.len());
    assert!(said.ends_with("data: [DONE]\n\n"), "{said}");
    by_name["model"] = json!("nobody");
    let answer = post(&by_name);
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"]["code"], "model_not_found");
    let models = server.get("/v1/models").json();
    let models = models["data"].as_array().expect("models");
    assert!(
        models
            .iter()
            .any(|model| model["id"] == "tgi" && model["object"] == "model")
    );
    assert_eq!(server.get("/v1/models/tgi").json()["owned_by"], "endpoint");
    python::script("openai_chat.py", &server);

    // What cannot be answered is told.
    host(
        &server,
        "silent",
        &container(&server, "silent", &files(&of.checkpoint), "text-generation"),
    );
    for (name, asked, why) in [
        ("silent", asked.clone(), "no chat template"),
        ("tgi", json!({"messages": []}), "each with a role"),
        (
            "tgi",
            json!({"messages": [{"content": "a"}]}),
            "each with a role",
        ),
        (
            "tgi",
            json!({"messages": [{"role": "robot", "content": "a"}]}),
            "no robots here",
        ),
        (
            "tgi",
            json!({"messages": messages, "n": 2, "stream": true}),
            "n is 1",
        ),
        (
            "tgi",
            json!({"messages": messages, "tools": [{"type": "function"}]}),
            "tools is not part",
        ),
        (
            "tgi",
            json!({"messages": messages, "max_token": 5}),
            "max_token is not known",
        ),
        (
            "tgi",
            json!({"messages": messages, "temperature": -1}),
            "temperature",
        ),
    ] {
        let path = format!("/endpoints/{name}/invocations");
        let answer = server.post(&path, "application/json", asked.to_string().as_bytes());
        let said = String::from_utf8_lossy(&answer.body);
        assert!(
            answer.status == 424 && said.contains(why),
            "{why}: {answer:?}"
        );
    }
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

#[test]
fn detectors_answer_as_transformers_does() {
    let place = tempfile::tempdir().expect("a folder");
    let server = serve(&place);
    assert_eq!(server.s3("PUT", "/models", b"").status, 200);
    let mut seen = 0;
    for name in ["rt_detr", "detr"] {
        let checkpoint = image_models::checkpoint(name);
        let detector = container(&server, name, &checkpoint.contents(), "object-detection");
        let hosted = name.replace('_', "-");
        host(&server, &hosted, &detector);
        let labels = &checkpoint.files["config.json"]["id2label"];
        for case in &checkpoint.cases {
            let image = BASE64.encode(image_models::image(&case.image));
            // What the golden file has.
            for least in [0.3, 0.5] {
                let asked = json!({"inputs": image, "parameters": {"threshold": least}});
                let answer = ask(&server, &hosted, &asked);
                let mut told = answer.as_array().expect("things").clone();
                let wanted = case.detections.iter().filter(|one| one.score > least);
                let wanted: Vec<_> = wanted.collect();
                assert_eq!(told.len(), wanted.len(), "{name}: {answer}");
                for one in wanted {
                    let label = &labels[one.label.to_string()];
                    let edges = ["xmin", "ymin", "xmax", "ymax"];
                    let same = told.iter().position(|told| {
                        // An edge that is nearly whole may be cut off to either side.
                        let close = |(name, edge): (&&str, &f32)| {
                            told["box"][*name]
                                .as_i64()
                                .is_some_and(|at| (at as f32 - edge.trunc()).abs() <= 1.0)
                        };
                        let score = told["score"].as_f64().unwrap_or_default();
                        told["label"] == *label
                            && (score - f64::from(one.score)).abs() < 5e-5
                            && edges.iter().zip(&one.edges).all(close)
                    });
                    told.remove(same.unwrap_or_else(|| panic!("{name}: no {one:?} in {told:?}")));
                    seen += 1;
                }
            }
            // An image by itself, and the least score of the pipeline.
            let path = format!("/endpoints/{hosted}/invocations");
            let bare = server.post(&path, "image/png", &image_models::image(&case.image));
            let sure = case.detections.iter().filter(|one| one.score > 0.5);
            assert_eq!(bare.json().as_array().map(Vec::len), Some(sure.count()));
        }
    }
    assert!(seen > 60, "{seen} things are too few to mean much");
    let refused = json!({"inputs": "", "parameters": {"threshold": "high"}}).to_string();
    let refused = server.post(
        "/endpoints/detr/invocations",
        "application/json",
        refused.as_bytes(),
    );
    assert_eq!(refused.status, 424, "{refused:?}");
    server.assert_sound("all of it");
}

#[test]
fn classifiers_of_images_come_from_a_bucket_or_a_hub() {
    let vit = image_models::checkpoint("vit");
    let hub = hub::Hub::empty();
    let contents = vit.contents();
    let listed: Vec<Value> = contents
        .iter()
        .map(|(name, _)| json!({"rfilename": name}))
        .collect();
    let listing = json!({"sha": "0123abcd", "siblings": listed}).to_string();
    hub.serve(
        "/api/models/org/tiny-vit/revision/main",
        listing.into_bytes(),
    );
    for (name, bytes) in &contents {
        hub.serve(
            &format!("/org/tiny-vit/resolve/0123abcd/{name}"),
            bytes.clone(),
        );
    }
    let place = tempfile::tempdir().expect("a folder");
    // Nothing is there, and the hub has nothing else.
    let folder = vit.folder();
    let named = format!("image-classes={}", folder.path().display());
    let arguments = ["--preload", "image-classes", "--model", &named];
    let setup = Setup {
        arguments: arguments.map(str::to_owned).to_vec(),
        ..Setup::default()
    };
    let within = |name: &str| place.path().join(name).display().to_string();
    let setup = setup
        .with("ESCALA_DATA_DIR", &within("data"))
        .with("ESCALA_MODELS_DIR", &within("models"))
        .with("HF_ENDPOINT", &hub.endpoint());
    let server = Server::start(&setup);
    assert_eq!(server.s3("PUT", "/models", b"").status, 200);
    host(
        &server,
        "stored",
        &container(&server, "stored", &contents, "image-classification"),
    );
    let pulled = json!({"Image": IMAGE, "Environment": {"HF_MODEL_ID": "org/tiny-vit"}});
    host(&server, "pulled", &pulled);
    // Small ones are images, too.
    let small = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 20, y as u8 * 30, 99]));
    let mut png = std::io::Cursor::new(Vec::new());
    small
        .write_to(&mut png, image::ImageFormat::Png)
        .expect("a picture");
    let answer = server.post("/endpoints/stored/invocations", "image/png", png.get_ref());
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    let sum: f64 = told
        .as_array()
        .expect("classes")
        .iter()
        .map(|one| one["score"].as_f64().expect("a number"))
        .sum();
    assert!(sum > 0.0 && sum < 1.001, "{told}");
    let labels = &vit.files["config.json"]["id2label"];
    for case in &vit.cases {
        let image = image_models::image(&case.image);
        for name in ["stored", "pulled"] {
            let path = format!("/endpoints/{name}/invocations");
            let answer = server.post(&path, "image/jpeg", &image);
            assert_eq!(answer.status, 200, "{answer:?}");
            let told = answer.json();
            let told = told.as_array().expect("classes");
            assert_eq!(told.len(), case.shares.len().min(5));
            for (place, share) in case.shares.iter().enumerate() {
                let label = &labels[place.to_string()];
                if let Some(one) = told.iter().find(|one| one["label"] == *label) {
                    near(&one["score"], *share, &case.image);
                }
            }
        }
    }
    server.assert_sound("all of it");
}
