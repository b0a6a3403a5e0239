//! Flows in the real server, with librdkafka at both ends: answers are those of the REST door, each record has one
//! whenever the server is killed, and what cannot be predicted is found with its reason.

mod common;

use common::{Server, Setup, free_port, images, venv, wait_for};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

/// For anything here.
const PATIENCE: Duration = Duration::from_secs(120);

struct Served {
    server: Server,
    address: SocketAddr,
}

fn serve(data: &TempDir, preload: &str) -> Served {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let folder = data.path().to_str().expect("a plain path");
    let setup = Setup::default()
        .with("ESCALA_KAFKA_LISTEN", &address.to_string())
        .with("ESCALA_DATA_DIR", folder)
        .with("ESCALA_MODELS_PRELOAD", preload);
    let server = Server::start(&setup);
    Served { server, address }
}

impl Served {
    /// What the client prints.
    fn client(&self, arguments: &[&str]) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let requirements = root.join("stream_ingest/tests/clients/requirements.txt");
        let python = venv::interpreter("kafka-venv", &requirements);
        let output = Command::new(python)
            .arg(root.join("tests/clients/streams.py"))
            .arg(self.address.to_string())
            .args(arguments)
            .output()
            .expect("Python runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn dump(&self, topic: &str) -> Vec<Value> {
        let lines = self.client(&["dump", topic]);
        let parse = |line: &str| serde_json::from_str(line).expect("JSON");
        lines.lines().map(parse).collect()
    }

    /// `escala streams …`, asking this server.
    fn streams(&self, arguments: &[&str]) -> Output {
        let folder = TempDir::new().expect("a folder");
        common::escala(folder.path())
            .arg("streams")
            .args(arguments)
            .args(["--server", &self.server.url("")])
            .output()
            .expect("the binary runs")
    }

    fn describe(&self, name: &str) -> Value {
        self.server.get(&format!("/v1/streams/{name}")).ok()
    }

    fn wait_through(&self, name: &str, records: u64) {
        wait_for("the flow is through", PATIENCE, || {
            let flow = self.describe(name);
            let ends = flow["partitions"].as_array().into_iter().flatten();
            let end: i64 = ends.filter_map(|lag| lag["end"].as_i64()).sum();
            flow["lag"] == 0 && end as u64 >= records
        });
    }
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
fn answers_are_those_of_the_rest_door_and_the_command_line_looks_after_flows() {
    let data = TempDir::new().expect("a folder");
    let served = serve(&data, ",");
    let reviews = [
        "The room was clean and the staff were wonderful.",
        "The worst meal I have ever had.",
        "The meeting is on Tuesday at ten.",
    ];
    let file = data.path().join("reviews.jsonl");
    let mut lines: Vec<String> = reviews
        .iter()
        .map(|review| json!({ "text": review }).to_string())
        .collect();
    lines.insert(1, "{\"txt\": \"no text here\"}".to_owned());
    std::fs::write(&file, lines.join("\n")).expect("written");
    served.client(&["lines", "reviews", file.to_str().expect("a plain path")]);

    let made = served.streams(&[
        "create",
        "sentiment-of-reviews",
        "--from",
        "reviews",
        "--to",
        "reviews.sentiment",
        "--task",
        "sentiment",
        "--text-field",
        "text",
        "--json",
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    served.wait_through("sentiment-of-reviews", 4);

    let asked = served
        .server
        .post_json("/v1/text/sentiment", &json!({ "texts": reviews }));
    let asked = asked.ok();
    let answers = served.dump("reviews.sentiment");
    assert_eq!(answers.len(), 3);
    for ((answer, expected), offset) in answers
        .iter()
        .zip(asked["results"].as_array().expect("results"))
        .zip([0, 2, 3])
    {
        let value: Value =
            serde_json::from_str(answer["value"].as_str().expect("a value")).expect("JSON");
        assert_eq!(&value["prediction"], expected);
        assert_eq!(value["model"], "multilingual-e5-small");
        assert_eq!(answer["headers"]["escala.offset"], offset.to_string());
        assert_eq!(answer["headers"]["escala.flow"], "sentiment-of-reviews");
    }
    let dead = served.dump("reviews.sentiment.dead-letters");
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0]["value"], lines[1]);
    assert_eq!(dead[0]["headers"]["escala.error.code"], "invalid_input");
    assert_eq!(dead[0]["headers"]["escala.offset"], "1");

    let listed = served.streams(&["list"]);
    let listed = text(&listed.stdout);
    let row: Vec<&str> = listed
        .lines()
        .nth(1)
        .expect("a row")
        .split_whitespace()
        .collect();
    assert_eq!(
        row[..6],
        [
            "sentiment-of-reviews",
            "running",
            "sentiment",
            "reviews",
            "reviews.sentiment",
            "0"
        ]
    );
    assert_eq!(row[7..], ["3", "1"]);
    let paused = served.streams(&["pause", "sentiment-of-reviews", "nobody"]);
    assert_eq!(paused.status.code(), Some(1));
    assert!(text(&paused.stdout).contains("sentiment-of-reviews: paused"));
    assert!(text(&paused.stderr).contains("nobody: there is no flow nobody"));
    let reset = served.streams(&["reset", "sentiment-of-reviews", "--to", "earliest"]);
    assert!(
        text(&reset.stdout).contains("paused"),
        "{}",
        text(&reset.stdout)
    );
    assert_eq!(served.describe("sentiment-of-reviews")["lag"], 4);
    let resumed = served.streams(&["resume", "sentiment-of-reviews"]);
    assert!(resumed.status.success());
    served.wait_through("sentiment-of-reviews", 4);
    assert_eq!(served.dump("reviews.sentiment").len(), 6);

    let metrics = served.server.get("/metrics");
    let metrics = text(&metrics.body);
    for line in [
        "escala_flow_answers_total{flow=\"sentiment-of-reviews\"} 6",
        "escala_flow_dead_letters_total{flow=\"sentiment-of-reviews\"} 2",
        "escala_flow_lag{flow=\"sentiment-of-reviews\",partition=\"0\"} 0",
        "escala_flow_running{flow=\"sentiment-of-reviews\"} 1",
    ] {
        assert!(
            metrics.lines().any(|known| known == line),
            "{line} in\n{metrics}"
        );
    }
    assert!(
        served
            .streams(&["delete", "sentiment-of-reviews"])
            .status
            .success()
    );
    assert_eq!(
        served.server.get("/v1/streams").ok(),
        json!({ "streams": [] })
    );
    let refused = served.streams(&[
        "create", "a", "--from", "none", "--to", "b", "--task", "pii",
    ]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("no topic none"),
        "{}",
        text(&refused.stderr)
    );
}

/// Predicted again with the same model nothing is another; with one that was taught otherwise the report says which, and
/// says the same twice.
#[test]
fn a_past_range_is_predicted_again_and_compared() {
    let data = TempDir::new().expect("a folder");
    let served = serve(&data, "language");
    served.client(&["produce", "texts", "2", "500"]);
    let made = served.streams(&[
        "create",
        "of",
        "--from",
        "texts",
        "--to",
        "languages",
        "--task",
        "language",
        "--field",
        "text",
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    served.wait_through("of", 500);
    let same = served.streams(&["replay", "of", "--json"]);
    assert!(same.status.success(), "{}", text(&same.stderr));
    let report: Value = serde_json::from_slice(&same.stdout).expect("JSON");
    assert_eq!(
        (&report["compared"], &report["changed"]),
        (&json!(500), &json!(0))
    );
    assert_eq!(
        (&report["lost"], &report["gained"], &report["mean_shift"]),
        (&json!(0), &json!(0), &json!(0.0))
    );
    assert_eq!(report["before"][0]["digest"], report["after"]["digest"]);
    assert_eq!(report["flips"], json!([]));
    let again = served.streams(&["replay", "of", "--json"]);
    assert_eq!(same.stdout, again.stdout);
    let part = served.streams(&[
        "replay",
        "of",
        "--partition",
        "1",
        "--offset",
        "10",
        "--limit",
        "7",
        "--json",
    ]);
    let report: Value = serde_json::from_slice(&part.stdout).expect("JSON");
    assert_eq!(report["compared"], 7);

    // From a time on, which is within a batch that the client compressed.
    let record = served.dump("texts").remove(7);
    let (partition, time) = (&record["partition"], &record["timestamp"]);
    let earlier =
        |one: &Value| one["partition"] == *partition && one["timestamp"].as_i64() < time.as_i64();
    let first = served
        .dump("texts")
        .iter()
        .filter(|one| earlier(one))
        .count();
    let time = time.to_string();
    assert!(served.streams(&["pause", "of"]).status.success());
    let reset = served.streams(&["reset", "of", "--time", &time]);
    assert!(reset.status.success(), "{}", text(&reset.stderr));
    let stands = served.describe("of");
    let partitions = stands["partitions"].as_array().expect("partitions");
    let there = partitions.iter().find(|one| one["partition"] == *partition);
    assert_eq!(there.expect("the partition")["position"], first, "{stands}");

    // Another model: the sentiment of the same texts by a classifier that is a small random network.
    let other = common::checkpoints::of_task("sequence")
        .next()
        .expect("a checkpoint");
    let folder = other.folder();
    let mut config = other.config.clone();
    config["id2label"] = json!({"0": "negative", "1": "neutral", "2": "positive"});
    std::fs::write(folder.path().join("config.json"), config.to_string()).expect("written");
    let model = format!("sentiment={}", folder.path().display());
    let made = served.streams(&[
        "create",
        "mood",
        "--from",
        "texts",
        "--to",
        "moods",
        "--task",
        "sentiment",
        "--field",
        "text",
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    served.wait_through("mood", 500);
    let replay = [
        "replay", "mood", "--limit", "50", "--model", &model, "--json",
    ];
    let first = served.streams(&replay);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let report: Value = serde_json::from_slice(&first.stdout).expect("JSON");
    assert_eq!(report["compared"], 100);
    assert_ne!(report["before"][0]["digest"], report["after"]["digest"]);
    let flips = report["flips"].as_array().expect("flips").iter();
    let flipped: u64 = flips.filter_map(|flip| flip["records"].as_u64()).sum();
    assert_eq!(report["changed"], flipped);
    assert!(report["mean_shift"].as_f64() > Some(0.01), "{report}");
    assert_eq!(served.streams(&replay).stdout, first.stdout);
    let table = text(&served.streams(&replay[..6]).stdout);
    assert!(
        table.contains("compared") && table.contains("mean shift of numbers"),
        "{table}"
    );
}

#[test]
fn every_task_answers_as_its_route_does() {
    let data = TempDir::new().expect("a folder");
    let served = serve(&data, ",");
    let said = "Ada Lovelace was born in London; write to ada@example.com.";
    let words = data.path().join("words");
    std::fs::write(&words, said).expect("written");
    served.client(&["lines", "words", words.to_str().expect("a plain path")]);
    // An image is a record of its own, or base64 in JSON.
    let image = images::jpeg(&images::decoded("astronaut.png"));
    let packed = {
        use base64::Engine as _;
        base64::prelude::BASE64_STANDARD.encode(&image)
    };
    let pictures = data.path().join("pictures");
    std::fs::write(&pictures, json!({ "image": packed }).to_string()).expect("written");
    served.client(&[
        "lines",
        "pictures",
        pictures.to_str().expect("a plain path"),
    ]);
    let raw = data.path().join("photo.jpg");
    std::fs::write(&raw, &image).expect("written");
    served.client(&["file", "photos", raw.to_str().expect("a plain path")]);
    let tasks = [
        ("language", "words", "/v1/text/language"),
        ("entities", "words", "/v1/text/entities"),
        ("key-phrases", "words", "/v1/text/key-phrases"),
        ("syntax", "words", "/v1/text/syntax"),
        ("pii", "words", "/v1/text/pii"),
        ("toxicity", "words", "/v1/text/toxicity"),
        ("targeted-sentiment", "words", "/v1/text/targeted-sentiment"),
        ("embeddings", "words", "/v1/text/embeddings"),
        ("labels", "photos", "/v1/images/labels"),
        ("faces", "pictures", "/v1/images/faces"),
        ("image-text", "pictures", "/v1/images/text"),
        ("moderation", "pictures", "/v1/images/moderation"),
        ("bodies", "pictures", "/v1/images/bodies"),
    ];
    for (task, from, route) in tasks {
        let mut wanted =
            json!({ "name": task, "from": from, "to": format!("to.{task}"), "task": task });
        if from == "pictures" {
            wanted["field"] = json!("image");
        }
        assert_eq!(
            served.server.post_json("/v1/streams", &wanted).status,
            201,
            "{task}"
        );
        served.wait_through(task, 1);
        let answer = served.dump(&format!("to.{task}")).pop();
        let dead = || served.dump(&format!("to.{task}.dead-letters"));
        let answer = answer.unwrap_or_else(|| panic!("{task} has no answer: {:?}", dead()));
        let value: Value =
            serde_json::from_str(answer["value"].as_str().expect("a value")).expect("JSON");
        let mut asked = match from {
            "words" => served
                .server
                .post(route, "text/plain", said.as_bytes())
                .ok(),
            _ => served.server.post(route, "image/jpeg", &image).ok(),
        };
        if task == "embeddings" {
            asked.as_object_mut().expect("an object").remove("model");
        }
        assert_eq!(value["prediction"], asked, "{task}");
        assert!(
            value["digest"]
                .as_str()
                .is_some_and(|digest| digest.len() == 71),
            "{task}"
        );
    }
}

/// Killed at any moment of its work, again and again: every record has one answer. `ESCALA_STREAM_KILLS` sets how often.
#[test]
fn a_flow_answers_once_however_often_the_server_is_killed() {
    let kills =
        std::env::var("ESCALA_STREAM_KILLS").map_or(10, |kills| kills.parse().expect("a number"));
    let data = TempDir::new().expect("a folder");
    let records = 10_000 * kills;
    let mut served = serve(&data, "language");
    served.client(&["produce", "texts", "3", &records.to_string()]);
    let made = served.server.post_json(
        "/v1/streams",
        &json!({ "name": "of", "from": "texts", "to": "languages", "task": "language", "field": "text" }),
    );
    assert_eq!(made.status, 201);
    let mut cut = 0;
    for kill in 0..kills {
        // Another moment each time, but in the middle of the work.
        let enough = 1 + kill * 97 % 2000;
        wait_for("some answers", PATIENCE, || {
            let flow = served.describe("of");
            flow["records"].as_u64() >= Some(enough) || flow["lag"] == 0
        });
        cut += u64::from(served.describe("of")["lag"] != 0);
        // Dropped, a server of the tests is killed, not asked to stop.
        drop(served);
        served = serve(&data, "language");
    }
    assert!(
        cut >= kills / 2,
        "killed at work only {cut} times of {kills}"
    );
    served.wait_through("of", records);
    served.client(&["verify", "texts", "languages"]);
}
