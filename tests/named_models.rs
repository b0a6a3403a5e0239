//! Models that the operator names in the place of the built-in ones, and classifiers that users train: through the
//! real binary, against what Hugging Face transformers answers with the same checkpoints.

mod common;
#[allow(dead_code, clippy::unwrap_used)] // a part is used; a test fails by panicking
#[path = "../weights/tests/common/hub.rs"]
mod hub;

use common::checkpoints::{Checkpoint, of_task};
use common::{Server, Setup, escala};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

fn of_family(task: &str, name: &str) -> &'static Checkpoint {
    of_task(task)
        .find(|checkpoint| checkpoint.name == name)
        .expect("a golden checkpoint")
}

/// Runs `escala` in a folder; gives its standard output, or its standard error.
fn run(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = escala(folder).args(arguments).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    if !output.status.success() {
        return Err(text(&output.stderr));
    }
    Ok(text(&output.stdout))
}

fn server(models: &[(&str, &Path)]) -> Server {
    let named = models
        .iter()
        .flat_map(|(task, folder)| ["--model".to_owned(), format!("{task}={}", folder.display())]);
    let mut arguments: Vec<String> = named.collect();
    arguments.extend(["--preload".to_owned(), "language".to_owned()]);
    Server::start(&Setup {
        arguments,
        ..Setup::default()
    })
}

fn near(got: &Value, want: f32, what: &str) {
    let got = got.as_f64().unwrap_or_else(|| panic!("{what}: {got}"));
    // The golden values have six decimals.
    assert!(
        (got - f64::from(want)).abs() < 2e-5,
        "{what}: {got}, not {want}"
    );
}

#[test]
fn every_task_answers_with_the_checkpoint_that_is_named_for_it() {
    let sequence = of_family("sequence", "bert");
    let words = of_family("words", "distilbert words");
    let judge = sequence.folder();
    // The same weights with labels that say what they mean.
    let mut config = sequence.config.clone();
    config["id2label"] = json!({"0": "Very Negative", "1": "neutral", "2": "5 stars"});
    std::fs::write(judge.path().join("config.json"), config.to_string()).expect("written");
    let several = of_family("sequence", "distilbert");
    let critic = several.folder();
    let mut config = several.config.clone();
    config["id2label"] = json!({"0": "toxicity", "1": "sexual_explicit", "2": "insult"});
    std::fs::write(critic.path().join("config.json"), config.to_string()).expect("written");
    let (classes, namer) = (sequence.folder(), words.folder());
    let server = server(&[
        ("sentiment", judge.path()),
        ("classify", classes.path()),
        ("toxicity", critic.path()),
        ("entities", namer.path()),
        ("embeddings", classes.path()),
    ]);

    for case in &sequence.cases {
        // Longer texts are read in parts: the network reads 48 tokens.
        if case.text.len() < 90 {
            let body = json!({"text": case.text, "language": "en"});
            let answer = server.post_json("/v1/text/sentiment", &body);
            let scores = answer.ok()["scores"].clone();
            for (name, want) in [
                ("negative", case.scores[0]),
                ("neutral", case.scores[1]),
                ("positive", case.scores[2]),
                ("mixed", 0.0),
            ] {
                near(&scores[name], want, &case.text);
            }
            let body = json!({"Text": case.text, "LanguageCode": "en"});
            // AWS refuses what has no characters but spaces.
            if !case.text.trim().is_empty() {
                let answer = server.aws(
                    "Comprehend_20171127.DetectSentiment",
                    body.to_string().as_bytes(),
                );
                near(
                    &answer.ok()["SentimentScore"]["Positive"],
                    case.scores[2],
                    &case.text,
                );
            }
        }
        let answer = server.post_json("/v1/text/classify", &json!({"text": case.text}));
        let answer = answer.ok();
        let classes = answer["classes"].as_array().expect("classes");
        assert_eq!(classes.len(), 3);
        for class in classes {
            let labels = ["bad", "so-so", "good"];
            let place = labels.iter().position(|label| class["name"] == *label);
            near(
                &class["score"],
                case.scores[place.expect("a label")],
                &case.text,
            );
        }

        let answer = server.post_json("/v1/text/embeddings", &json!({"text": case.text}));
        let answer = answer.ok();
        let length: f32 = case.mean.iter().map(|x| x * x).sum::<f32>().sqrt();
        let vector = answer["embedding"].as_array().expect("an embedding");
        assert_eq!(vector.len(), case.mean.len());
        for (got, want) in vector.iter().zip(&case.mean) {
            near(got, want / length, &case.text);
        }
        assert_eq!(answer["tokens"], case.ids.len());
        assert_eq!(answer["model"], classes_name(&server));
    }

    for case in several.cases.iter().filter(|case| case.text.len() < 90) {
        let answer = server.post_json("/v1/text/toxicity", &json!({"text": case.text}));
        let answer = answer.ok();
        near(&answer["toxicity"], case.scores[0], &case.text);
        for (name, want) in [
            ("SEXUAL", case.scores[1]),
            ("INSULT", case.scores[2]),
            ("HARASSMENT_OR_ABUSE", case.scores[2]),
        ] {
            let labels = answer["labels"].as_array().expect("labels");
            assert_eq!(labels.len(), 3);
            let label = labels.iter().find(|label| label["label"] == name);
            near(&label.expect("a label")["score"], want, &case.text);
        }
    }

    let mut seen = 0;
    for case in &words.cases {
        let answer = server.post_json("/v1/text/entities", &json!({"text": case.text}));
        let answer = answer.ok();
        let entities = answer["entities"].as_array().expect("entities");
        let wanted = case.spans.iter().filter(|(.., start, end)| start < end);
        let wanted: Vec<_> = wanted.collect();
        assert_eq!(entities.len(), wanted.len(), "{}: {answer}", case.text);
        for (entity, (label, score, start, end)) in entities.iter().zip(wanted) {
            near(&entity["score"], *score, &case.text);
            assert_eq!(entity["begin"], *start, "{}", case.text);
            assert_eq!(entity["end"], *end, "{}", case.text);
            let kind = if label == "PERSON" {
                "PERSON"
            } else {
                "LOCATION"
            };
            assert_eq!(entity["type"], kind, "{}", case.text);
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} entities are too few to mean much");
}

/// What the doors call the encoder.
fn classes_name(server: &Server) -> Value {
    let models = server.get("/v1/models");
    models.ok()["data"][0]["id"].clone()
}

#[test]
fn a_checkpoint_comes_from_a_hub_once() {
    let checkpoint = of_family("sequence", "roberta");
    let files = checkpoint.folder();
    let hub = hub::Hub::empty();
    let names = ["config.json", "tokenizer.json", "model.safetensors"];
    let listed = names.map(|name| json!({"rfilename": name}));
    let listing = json!({"sha": "0123abcd", "siblings": listed}).to_string();
    hub.serve("/api/models/org/judge/revision/main", listing.into_bytes());
    for name in names {
        let bytes = std::fs::read(files.path().join(name)).expect("a file");
        hub.serve(&format!("/org/judge/resolve/0123abcd/{name}"), bytes);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let case = &checkpoint.cases[0];
    let mut command = escala(folder.path());
    command
        .env("HF_ENDPOINT", hub.endpoint())
        .env("ESCALA_MODELS_DIR", folder.path().join("models"))
        .args(["predict", "classify", &case.text, "--json"])
        .args(["--model", "classify=org/judge"]);
    let mut asked = 0;
    for round in 0..2 {
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let likeliest = answer["classes"][0]["score"].clone();
        let most = case.scores.iter().copied().fold(0.0, f32::max);
        near(&likeliest, most, "the likeliest class");
        // The second time nothing is asked of the hub.
        let requests = hub.requests().len();
        assert_eq!(requests > asked, round == 0, "{requests} requests");
        asked = requests;
    }
}

#[test]
fn what_cannot_take_a_models_place_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sequence = of_family("sequence", "bert").folder();
    let named = |task: &str, checkpoint: &Path| {
        let named = format!("{task}={}", checkpoint.display());
        run(
            folder.path(),
            &["predict", "sentiment", "fine", "--model", &named],
        )
    };
    let said = named("sentiment", sequence.path()).expect_err("labels of another kind");
    for part in ["cannot judge sentiment", "bad, so-so, good", "id2label"] {
        assert!(said.contains(part), "{said}");
    }
    let said = named("sentiment", &folder.path().join("nothing")).expect_err("no folder");
    assert!(said.contains("is no checkpoint"), "{said}");
    let said = named("faces", sequence.path()).expect_err("no such key");
    assert!(said.contains("unknown key"), "{said}");
    let said = run(folder.path(), &["predict", "classify", "fine"]).expect_err("none is named");
    assert!(said.contains("--model classify="), "{said}");
}

#[test]
fn a_classifier_that_a_user_trains_answers_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (fruits, tools) = (
        [
            "apple", "pear", "plum", "cherry", "banana", "grape", "melon", "peach",
        ],
        [
            "hammer",
            "saw",
            "drill",
            "pliers",
            "wrench",
            "chisel",
            "screwdriver",
            "file",
        ],
    );
    let mut examples = String::new();
    for (fruit, tool) in fruits.iter().zip(tools) {
        for sentence in ["I ate a ripe {}", "the {} tastes sweet"] {
            writeln!(examples, "fruit,{}", sentence.replace("{}", fruit)).expect("a string");
        }
        for sentence in ["hand me the {}", "I fixed the shelf with a {}"] {
            writeln!(examples, "tool,{}", sentence.replace("{}", tool)).expect("a string");
        }
    }
    std::fs::write(folder.path().join("examples.csv"), examples).expect("written");
    let train = [
        "train",
        "text-classifier",
        "--train",
        "examples.csv",
        "--output",
        "classes",
        "--method",
        "head",
        "--epochs",
        "30",
        "--batch",
        "8",
    ];
    run(folder.path(), &train).expect("trained");
    let texts = ["a basket of strawberries", "the axe is blunt"];
    let ask = [
        "predict",
        "classify",
        texts[0],
        texts[1],
        "--model",
        "classify=classes",
        "--json",
    ];
    let answers = run(folder.path(), &ask).expect("answers");
    let line = |line: &str| serde_json::from_str(line).expect("JSON");
    let answers: Vec<Value> = answers.lines().map(line).collect();
    let likeliest: Vec<&Value> = answers.iter().map(|a| &a["classes"][0]["name"]).collect();
    assert_eq!(likeliest, ["fruit", "tool"]);
    for answer in &answers {
        let classes = answer["classes"].as_array().expect("classes");
        let sum: f64 = classes
            .iter()
            .filter_map(|class| class["score"].as_f64())
            .sum();
        assert!((sum - 1.0).abs() < 1e-5, "{answer}");
    }
    let server = server(&[("classify", &folder.path().join("classes"))]);
    let answer = server.post_json("/v1/text/classify", &json!({"texts": texts}));
    let over_http = answer.ok()["results"].clone();
    for (one, other) in over_http.as_array().expect("results").iter().zip(answers) {
        for (one, other) in [0, 1].map(|at| (&one["classes"][at], &other["classes"][at])) {
            assert_eq!(one["name"], other["name"]);
            near(
                &one["score"],
                other["score"].as_f64().expect("a score") as f32,
                "score",
            );
        }
    }
}
