//! Texts and conversations are continued as by transformers, whole and in parts.

use super::*;

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
