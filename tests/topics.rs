//! Topics by HTTP and by command line on the real server, beside Kafka's clients.

mod common;

use common::{Answer, Server, Setup, escala, free_port, venv, wait_for};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// For whatever must happen soon.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a log in this folder and no models, and the address of its door for Kafka.
fn server_with(data: &TempDir, variables: &[(&'static str, &str)]) -> (Server, SocketAddr) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let mut setup = Setup::default()
        .with("ESCALA_KAFKA_LISTEN", &address.to_string())
        .with(
            "ESCALA_DATA_DIR",
            data.path().to_str().expect("a plain path"),
        )
        .with("ESCALA_MODELS_PRELOAD", ",");
    for (name, value) in variables {
        setup = setup.with(name, value);
    }
    (Server::start(&setup), address)
}

fn server(data: &TempDir) -> Server {
    server_with(data, &[]).0
}

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

/// The code of a failure.
fn refused(answer: &Answer) -> (u16, String) {
    let code = answer.json()["error"]["code"].as_str().map(str::to_owned);
    (answer.status, code.unwrap_or_default())
}

fn values(answer: &Value) -> Vec<&str> {
    let records = answer["records"].as_array().expect("records");
    records
        .iter()
        .map(|record| record["value"].as_str().expect("text"))
        .collect()
}

#[test]
fn kafkas_clients_and_rest_read_what_the_other_wrote() {
    let data = folder();
    let (server, address) = server_with(&data, &[]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let requirements = root.join("stream_ingest/tests/clients/requirements.txt");
    let python = venv::interpreter("kafka-venv", &requirements);
    venv::checks(
        Command::new(python)
            .arg(root.join("tests/clients/kafka_topics.py"))
            .args([&address.to_string(), &server.url("")]),
    );
}

#[test]
fn topics_are_made_described_changed_and_deleted() {
    let data = folder();
    let server = server(&data);
    assert_eq!(server.get("/v1/topics").ok(), json!({ "topics": [] }));
    let asked = json!({ "name": "a", "partitions": 2, "config": { "retention.ms": 1000, "cleanup.policy": "compact" } });
    let made = server.post_json("/v1/topics", &asked);
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!(made["set"], json!(["cleanup.policy", "retention.ms"]));
    assert_eq!(
        (
            &made["config"]["retention.ms"],
            &made["config"]["segment.bytes"]
        ),
        (&json!("1000"), &json!("1073741824"))
    );
    assert_eq!(server.get("/v1/topics/a").ok(), made);
    let change =
        json!({ "partitions": 3, "config": { "retention.ms": null, "segment.bytes": "4096" } });
    let changed = server.method_json("PATCH", "/v1/topics/a", &change).ok();
    assert_eq!(changed["set"], json!(["cleanup.policy", "segment.bytes"]));
    assert_eq!(changed["partitions"].as_array().map(Vec::len), Some(3));
    assert_eq!(changed["config"]["retention.ms"], "604800000");
    for (method, path, body, code) in [
        (
            "POST",
            "/v1/topics",
            json!({ "name": "a" }),
            (409, "conflict"),
        ),
        (
            "POST",
            "/v1/topics",
            json!({ "name": "a b" }),
            (400, "invalid_input"),
        ),
        (
            "POST",
            "/v1/topics",
            json!({ "name": "b", "partitions": 0 }),
            (400, "invalid_input"),
        ),
        (
            "POST",
            "/v1/topics",
            json!({ "name": "b", "config": { "no.such": "1" } }),
            (400, "invalid_input"),
        ),
        (
            "POST",
            "/v1/topics",
            json!({ "name": "b", "config": { "retention.ms": null } }),
            (400, "invalid_input"),
        ),
        (
            "POST",
            "/v1/topics",
            json!({ "topic": "b" }),
            (400, "invalid_input"),
        ),
        (
            "PATCH",
            "/v1/topics/a",
            json!({ "partitions": 3, "config": { "retention.ms": 5 } }),
            (400, "invalid_input"),
        ),
        (
            "PATCH",
            "/v1/topics/none",
            json!({ "partitions": 3 }),
            (404, "not_found"),
        ),
        ("DELETE", "/v1/topics/none", json!({}), (404, "not_found")),
    ] {
        let answer = server.method_json(method, path, &body);
        assert_eq!(
            refused(&answer),
            (code.0, code.1.to_owned()),
            "{method} {path} {body}"
        );
    }
    // What was refused changed nothing.
    assert_eq!(server.get("/v1/topics/a").ok(), changed);
    assert_eq!(server.method("DELETE", "/v1/topics/a").status, 204);
    assert_eq!(
        refused(&server.get("/v1/topics/a")),
        (404, "not_found".to_owned())
    );
    assert_eq!(
        refused(&server.get("/v1/groups/none")),
        (404, "not_found".to_owned())
    );
}

/// The rows of a query.
fn rows(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.post_json("/v1/sql", &json!({ "query": query }));
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    let lines = answer.text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

#[test]
fn topics_are_tables() {
    let data = folder();
    let server = server(&data);
    // Its records are of a time that is far away.
    let config = json!({ "message.timestamp.after.max.ms": i64::MAX });
    let wanted = json!({ "name": "a", "partitions": 2, "config": config });
    let made = server.post_json("/v1/topics", &wanted);
    assert_eq!(made.status, 201, "{made:?}");
    let empty = rows(&server, "SELECT count(*) AS n FROM topic('a')");
    assert_eq!(empty, [json!({ "n": 0 })]);
    // Of January 2100, a day apart.
    let day = |number: i64| 4_102_444_800_000 + 86_400_000 * number;
    let record = |number: i64| {
        json!({ "partition": number % 2, "key": format!("k{number}"), "value": format!("{{\"n\": {number}}}"),
            "timestamp": day(number), "headers": [{ "name": "h", "value": "x" }] })
    };
    let mut records: Vec<Value> = (0..20).map(record).collect();
    records.push(json!({ "partition": 0, "value_base64": "/w==", "timestamp": day(20) }));
    let put = server.post_json("/v1/topics/a/records", &json!({ "records": records }));
    put.ok();
    let all = "SELECT partition, \"offset\", key, value, headers[1]['value'] AS h, value_bytes = X'ff' AS ff
        FROM topic('a') ORDER BY partition, \"offset\"";
    let all = rows(&server, all);
    assert_eq!(all.len(), 21);
    assert_eq!(
        all[11],
        json!({ "partition": 1, "offset": 0, "key": "k1", "value": "{\"n\": 1}", "h": "x", "ff": false })
    );
    // What is no text is bytes.
    assert_eq!(
        all[10],
        json!({ "partition": 0, "offset": 10, "key": null, "value": null, "h": null, "ff": true })
    );
    for (condition, count) in [
        ("partition = 1", 10),
        ("\"offset\" BETWEEN 2 AND 4", 6),
        ("\"offset\" >= 9 AND partition = 0", 2),
        ("timestamp >= '2100-01-11'", 11),
        ("timestamp >= '2100-01-03' AND timestamp < '2100-01-05'", 2),
        ("timestamp > '2101-01-01'", 0),
        ("partition = 7", 0),
        ("\"offset\" > 3 OR key = 'k0'", 14),
    ] {
        let found = rows(
            &server,
            &format!("SELECT count(*) AS n FROM topic('a') WHERE {condition}"),
        );
        assert_eq!(found, [json!({ "n": count })], "{condition}");
    }
    for (query, why) in [
        ("SELECT * FROM topic('none')", "none"),
        ("SELECT * FROM topic()", "takes the name of a topic"),
        ("SELECT * FROM topic(1)", "names in quotes"),
        ("SELECT * FROM jobs('x')", "takes nothing"),
    ] {
        let answer = server.post_json("/v1/sql", &json!({ "query": query }));
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert!(answer.text.contains(why), "{query}: {answer:?}");
    }
    // More than is read at once, in one batch and in several.
    let many: Vec<Value> = (0..10_000)
        .map(|number| json!({ "partition": 0, "value": format!("{number:0400}") }))
        .collect();
    server.post_json("/v1/topics", &json!({ "name": "b" }));
    for some in many.chunks(5000) {
        let put = server.post_json("/v1/topics/b/records", &json!({ "records": some }));
        put.ok();
    }
    let sums = "SELECT count(*) AS n, sum(CAST(value AS BIGINT)) AS s, min(\"offset\") AS a, max(\"offset\") AS b FROM topic('b')";
    let sums = rows(&server, sums);
    assert_eq!(
        sums,
        [json!({ "n": 10_000, "s": 49_995_000, "a": 0, "b": 9999 })]
    );
    let some = rows(&server, "SELECT \"offset\" AS o FROM topic('b') LIMIT 3");
    assert_eq!(some.len(), 3);
}

#[test]
fn jobs_and_streams_are_tables() {
    let data = folder();
    let server = server(&data);
    server.post_json("/v1/topics", &json!({ "name": "in" }));
    let made = json!({ "name": "languages", "from": "in", "to": "out", "task": "language", "paused": true });
    let made = server.post_json("/v1/streams", &made);
    assert_eq!(made.status, 201, "{made:?}");
    let streams = "SELECT name, \"from\", \"to\", task, state, lag, created > '2020-01-01' AS made FROM streams()";
    assert_eq!(
        rows(&server, streams),
        [
            json!({ "name": "languages", "from": "in", "to": "out", "task": "language", "state": "paused", "lag": 0, "made": true })
        ]
    );
    assert_eq!(rows(&server, "SELECT * FROM jobs()"), [] as [Value; 0]);
    let job = json!({ "task": "language", "column": "t", "input": "s3://none/", "output": "s3://other/", "name": "n" });
    let job = server.post_json("/v1/jobs", &job);
    assert_eq!(job.status, 201, "{job:?}");
    let jobs = "SELECT id, kind, name, state, reason, submitted <= now() AS before FROM jobs() WHERE state = 'failed'";
    wait_for("the end of the job", PATIENCE, || {
        !rows(&server, jobs).is_empty()
    });
    let found = rows(&server, jobs);
    assert_eq!(found[0]["id"], job.json()["id"]);
    assert_eq!(
        (&found[0]["kind"], &found[0]["name"], &found[0]["before"]),
        (&json!("score.language"), &json!("n"), &json!(true))
    );
    let why = found[0]["reason"].as_str().expect("a reason");
    assert!(why.contains("there is no bucket"), "{why}");
}

#[test]
fn what_flows_have_answered_is_a_table() {
    let data = folder();
    let server = server(&data);
    let flow = |name: &str, from: &str, to: &str, field: Value| {
        server.post_json("/v1/topics", &json!({ "name": from, "partitions": 2 }));
        let flow =
            json!({ "name": name, "from": from, "to": to, "task": "language", "field": field });
        let made = server.post_json("/v1/streams", &flow);
        assert_eq!(made.status, 201, "{made:?}");
    };
    assert_eq!(
        rows(&server, "SELECT * FROM predictions()"),
        [] as [Value; 0]
    );
    flow("first", "in", "out", json!("text"));
    // Asks about what the first has answered, with its headers.
    flow(
        "second",
        "out",
        "again",
        json!("/prediction/languages/0/code"),
    );
    flow("other", "elsewhere", "others", Value::Null);
    let record = |number: i64| {
        let text = ["The weather is fine today.", "Das Wetter ist heute schön."];
        let text = text[number as usize % 2];
        json!({ "partition": number % 2, "key": format!("k{number}"), "value": json!({ "text": text }).to_string() })
    };
    let records: Vec<Value> = (0..6).map(record).collect();
    let put = server.post_json("/v1/topics/in/records", &json!({ "records": records }));
    put.ok();
    // A tombstone has no prediction, and neither has what no flow wrote.
    let rest =
        json!({ "records": [{ "partition": 0, "key": "k0" }, { "partition": 1, "value": "{}" }] });
    server.post_json("/v1/topics/in/records", &rest).ok();
    let strange = json!({ "records": [{ "partition": 0, "value": "{\"prediction\": 1}" }] });
    server.post_json("/v1/topics/out/records", &strange).ok();
    let count = |condition: &str| {
        let query = format!("SELECT count(*) AS n FROM predictions() WHERE {condition}");
        rows(&server, &query)[0]["n"].clone()
    };
    wait_for("the answers of the first flow", PATIENCE, || {
        count("flow = 'first'") == json!(6)
    });
    let all = "SELECT topic, partition, \"offset\" AS o, key, json_value(prediction, '$.languages[0].code') AS code, model, digest LIKE 'sha256:%' AS known
        FROM predictions() WHERE flow = 'first' ORDER BY key";
    let all = rows(&server, all);
    for (number, row) in all.iter().enumerate() {
        let code = ["en", "de"][number % 2];
        let want = json!({ "topic": "in", "partition": number % 2, "o": number / 2, "key": format!("k{number}"),
            "code": code, "model": "lid.176", "known": true });
        assert_eq!(*row, want);
    }
    let others = json!({ "records": [{ "partition": 0, "value": "The weather is fine today." }] });
    server
        .post_json("/v1/topics/elsewhere/records", &others)
        .ok();
    wait_for("the answers of the others", PATIENCE, || {
        count("flow = 'other'") == json!(1) && count("flow = 'second'") == json!(6)
    });
    // Topics that the flows of a condition do not write to are not read.
    let read = |topic: &str| {
        let name = format!("escala_log_records_out_total{{topic=\"{topic}\"}}");
        metric(&server, &name)
    };
    let before = (read("out"), read("others"));
    for (condition, number) in [
        ("flow = 'other'", 1),
        ("flow = 'none'", 0),
        ("flow = 'other' AND flow = 'first'", 0),
        ("flow IN ('other', 'none') AND topic = 'elsewhere'", 1),
    ] {
        assert_eq!(count(condition), json!(number), "{condition}");
    }
    assert_eq!(read("out"), before.0);
    assert_eq!(read("others"), before.1 + 2.0);
    for (condition, number) in [
        ("true", 13),
        ("flow <> 'second'", 7),
        ("flow IN ('first', 'other') AND partition = 1", 3),
        ("flow = 'first' AND timestamp > now() + INTERVAL '1 day'", 0),
        ("key = 'k3'", 2),
    ] {
        assert_eq!(count(condition), json!(number), "{condition}");
    }
    let refused = json!({ "query": "SELECT * FROM predictions('first')" });
    let refused = server.post_json("/v1/sql", &refused);
    assert!(refused.text.contains("takes nothing"), "{refused:?}");
}

#[test]
fn records_are_there_after_the_server_was_killed_and_are_read_in_pieces() {
    let data = folder();
    let first = server(&data);
    first.post_json("/v1/topics", &json!({ "name": "a", "partitions": 3 }));
    let records: Vec<Value> = (0..300)
        .map(|n| json!({ "value": format!("{n}") }))
        .collect();
    let places = first
        .post_json("/v1/topics/a/records", &json!({ "records": records }))
        .ok();
    let places = places["records"].as_array().expect("a list").clone();
    // Dropped, a server of the tests is killed, not asked to stop.
    drop(first);
    let second = server(&data);
    let mut position = "earliest".to_owned();
    let mut read = Vec::new();
    loop {
        let answer = second
            .get(&format!("/v1/topics/a/records?limit=7&offset={position}"))
            .ok();
        let some = answer["records"].as_array().expect("records");
        assert!(some.len() <= 7);
        if some.is_empty() {
            break;
        }
        read.extend(some.iter().map(|record| {
            (
                record["partition"].clone(),
                record["offset"].clone(),
                record["value"].clone(),
            )
        }));
        position = answer["next"].as_str().expect("a position").to_owned();
    }
    assert_eq!(
        position, "0:100,1:100,2:100",
        "records without keys are spread"
    );
    let mut wanted: Vec<_> = places
        .iter()
        .enumerate()
        .map(|(n, place)| {
            (
                place["partition"].clone(),
                place["offset"].clone(),
                json!(n.to_string()),
            )
        })
        .collect();
    let order = |one: &(Value, Value, Value)| (one.0.as_i64(), one.1.as_i64());
    wanted.sort_by_key(order);
    // Within a partition they come in order.
    read.sort_by_key(|one| one.0.as_i64());
    assert_eq!(read, wanted);
    let one = second
        .get("/v1/topics/a/records?partition=1&offset=98")
        .ok();
    assert_eq!(one["next"], "1:100");
    assert_eq!(values(&one).len(), 2);
}

#[test]
fn records_are_found_by_their_time() {
    let data = folder();
    let server = server(&data);
    let records = json!({ "records": [
        { "value": "old", "timestamp": 1000 }, { "value": "new", "timestamp": 3000 }, { "value": "newest", "timestamp": 4000 },
    ] });
    server.post_json("/v1/topics/a/records", &records).ok();
    for (time, found) in [
        (0, vec!["old", "new", "newest"]),
        (1001, vec!["new", "newest"]),
        (4000, vec!["newest"]),
        (4001, vec![]),
    ] {
        let answer = server
            .get(&format!("/v1/topics/a/records?from_time={time}"))
            .ok();
        assert_eq!(values(&answer), found, "{time}");
    }
}

#[test]
fn a_record_from_too_far_ahead_and_a_name_like_another_are_refused() {
    let data = folder();
    let server = server(&data);
    let made = server.post_json("/v1/topics", &json!({ "name": "a.b" }));
    assert_eq!(made.status, 201);
    let like = server.post_json("/v1/topics", &json!({ "name": "a_b" }));
    assert_eq!(refused(&like), (409, "conflict".to_owned()));
    let record = json!({ "value": "x", "timestamp": 4_102_444_800_000_i64 });
    let put = server.post_json("/v1/topics/a.b/records", &record);
    assert_eq!(refused(&put), (400, "invalid_input".to_owned()));
    assert!(
        put.text.contains("further from the broker's"),
        "{}",
        put.text
    );
}

#[test]
fn what_cannot_be_written_or_read_is_refused_and_nothing_of_it_is_there() {
    let data = folder();
    let (server, _) = server_with(
        &data,
        &[
            ("ESCALA_KAFKA_AUTO_CREATE", "false"),
            ("ESCALA_LIMITS_STREAMS", "0"),
        ],
    );
    let missing = server.post_json("/v1/topics/none/records", &json!({ "value": 1 }));
    assert_eq!(refused(&missing), (404, "not_found".to_owned()));
    let small = json!({ "name": "a", "partitions": 2, "config": { "max.message.bytes": 1000 } });
    assert_eq!(server.post_json("/v1/topics", &small).status, 201);
    let large = json!({ "records": [{ "value": "fits" }, { "value": "x".repeat(2000) }] });
    let path = "/v1/topics/a/records";
    for (answer, code) in [
        (server.post_json(path, &large), (413, "too_large")),
        (
            server.post_json(path, &json!({ "records": [] })),
            (400, "invalid_input"),
        ),
        (
            server.post_json(
                path,
                &json!({ "records": [{ "partition": 0 }, { "partition": 2 }] }),
            ),
            (404, "not_found"),
        ),
        (
            server.post_json(path, &json!({ "value": 1, "value_base64": "AA==" })),
            (400, "invalid_input"),
        ),
        (
            server.post(path, "application/x-ndjson", b"{\"a\": 1}\n{\n"),
            (400, "invalid_input"),
        ),
        (
            server.post(path, "image/png", b"a"),
            (415, "unsupported_media_type"),
        ),
        (
            server.post(&format!("{path}?key=a&key_separator=b"), "text/plain", b"a"),
            (400, "invalid_input"),
        ),
        (
            server.get(&format!("{path}?partition=2")),
            (404, "not_found"),
        ),
        (
            server.get(&format!("{path}?offset=1")),
            (400, "invalid_input"),
        ),
        (
            server.get(&format!("{path}?partition=0&offset=1")),
            (416, "offset_out_of_range"),
        ),
        (
            server.get(&format!("{path}?offset=2:0")),
            (400, "invalid_input"),
        ),
        (
            server.get(&format!("{path}?offset=soon")),
            (400, "invalid_input"),
        ),
        (
            server.get(&format!("{path}?wait=soon")),
            (400, "invalid_input"),
        ),
        (
            server.get(&format!("{path}?offset=earliest&from_time=0")),
            (400, "invalid_input"),
        ),
        // No request may wait here.
        (server.get(&format!("{path}?wait=1s")), (429, "overloaded")),
    ] {
        assert_eq!(
            refused(&answer),
            (code.0, code.1.to_owned()),
            "{}",
            answer.text
        );
    }
    assert_eq!(server.get(path).ok()["next"], "0:0,1:0");
}

#[test]
fn without_a_log_the_routes_say_so() {
    let server = Server::start(&Setup::default().with("ESCALA_MODELS_PRELOAD", ","));
    for answer in [
        server.get("/v1/topics"),
        server.post_json("/v1/topics/a/records", &json!({ "value": 1 })),
        server.get("/v1/groups/a"),
    ] {
        assert_eq!(refused(&answer), (503, "unavailable".to_owned()));
        assert!(answer.text.contains("kafka.listen"), "{answer:?}");
    }
}

/// A number of `/metrics`.
fn metric(server: &Server, name: &str) -> f64 {
    let text = server.get("/metrics").text;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

#[test]
fn a_read_that_waits_wakes_on_a_record_or_ends() {
    let data = folder();
    let server = server(&data);
    server.post_json("/v1/topics", &json!({ "name": "a", "partitions": 3 }));
    let path = "/v1/topics/a/records";
    let began = Instant::now();
    assert!(values(&server.get(&format!("{path}?wait=50ms")).ok()).is_empty());
    assert!(began.elapsed() >= Duration::from_millis(50));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let began = Instant::now();
            let answer = server.get(&format!("{path}?wait=30s")).ok();
            (values(&answer).join(","), began.elapsed())
        });
        // That request, and the one that asks for this.
        wait_for("a request waits", PATIENCE, || {
            metric(&server, "escala_requests_in_flight") == 2.0
        });
        server
            .post_json(path, &json!({ "value": "here", "partition": 2 }))
            .ok();
        let (read, took) = reader.join().expect("no panic");
        assert_eq!(read, "here");
        assert!(took < Duration::from_secs(25), "{took:?}");
    });
}

#[test]
fn what_goes_in_and_comes_out_is_counted() {
    let data = folder();
    let server = server(&data);
    let records = json!({ "records": [{ "value": 1 }, { "value": 2 }, { "value": 3 }] });
    server.post_json("/v1/topics/a/records", &records).ok();
    assert_eq!(
        values(&server.get("/v1/topics/a/records?limit=2").ok()).len(),
        2
    );
    for (name, value) in [
        ("escala_log_topics", 1.0),
        ("escala_log_partitions{topic=\"a\"}", 1.0),
        ("escala_log_records_in_total{topic=\"a\"}", 3.0),
        ("escala_log_records_out_total{topic=\"a\"}", 2.0),
        // The topic and the append.
        ("escala_log_frames_total", 2.0),
        ("escala_log_rounds_total", 2.0),
        ("escala_log_sync_seconds_count", 2.0),
        ("escala_log_refused_full_total", 0.0),
        ("escala_kafka_connections_open", 0.0),
    ] {
        assert_eq!(metric(&server, name), value, "{name}");
    }
    assert!(metric(&server, "escala_log_bytes_in_total{topic=\"a\"}") > 61.0);
}

/// A stream of events of this server: its lines, and how to know that it has ended.
fn events(
    server: &Server,
    query: &str,
    last: Option<&str>,
) -> impl Iterator<Item = String> + use<> {
    let mut request = ureq::get(server.url(&format!("/v1/topics/a/records{query}")))
        .header("accept", "text/event-stream");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let answer = request.call().expect("a stream");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let lines = BufReader::new(answer.into_body().into_reader()).lines();
    lines.map_while(Result::ok)
}

/// The next event that says something: its id and its value.
fn next(lines: &mut impl Iterator<Item = String>) -> (String, String) {
    let mut id = String::new();
    for line in lines {
        if let Some(text) = line.strip_prefix("id: ") {
            id = text.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            let record: Value = serde_json::from_str(data).expect("JSON");
            return (id, record["value"].as_str().unwrap_or_default().to_owned());
        }
    }
    panic!("the stream ended");
}

#[test]
fn events_go_on_from_where_they_were_and_end_with_the_server() {
    let data = folder();
    let (first, _) = server_with(&data, &[]);
    first.post_json("/v1/topics", &json!({ "name": "a", "partitions": 2 }));
    let write = |server: &Server, value: &str, partition: u32| {
        server
            .post_json(
                "/v1/topics/a/records",
                &json!({ "value": value, "partition": partition }),
            )
            .ok();
    };
    write(&first, "one", 0);
    write(&first, "two", 1);
    let mut stream = events(&first, "", None);
    assert_eq!(next(&mut stream), ("0:1,1:0".to_owned(), "one".to_owned()));
    let (resume, value) = next(&mut stream);
    assert_eq!((resume.as_str(), value.as_str()), ("0:1,1:1", "two"));
    // What comes later arrives at a stream that is open.
    write(&first, "three", 0);
    assert_eq!(next(&mut stream).1, "three");
    // Only what comes from now on.
    let mut latest = events(&first, "?offset=latest", None);
    assert_eq!(latest.next().as_deref(), Some("id: 0:2,1:1"));
    write(&first, "four", 1);
    assert_eq!(next(&mut latest).1, "four");
    first.terminate();
    // Both end, and so does the server, well before its grace period.
    assert_eq!(next(&mut stream).1, "four");
    assert_eq!(stream.filter(|line| line.starts_with("data")).count(), 0);
    assert_eq!(latest.filter(|line| line.starts_with("data")).count(), 0);
    wait_for("the server has ended", Duration::from_secs(10), || {
        first.exited().is_some()
    });
    let status = first.exited().expect("it has ended");
    assert!(status.success(), "{status}; its log:\n{}", first.log());
    let second = server(&data);
    let mut again = events(&second, "", Some(&resume));
    assert_eq!(next(&mut again).1, "three");
    assert_eq!(next(&mut again).1, "four");
    // A topic that goes away ends its streams with the reason.
    second.method("DELETE", "/v1/topics/a");
    let end: Vec<String> = again.filter(|line| !line.is_empty()).collect();
    assert_eq!(
        end.first().map(String::as_str),
        Some("event: error"),
        "{end:?}"
    );
    assert!(end[1].contains("not_found"), "{end:?}");
}

#[test]
fn readers_that_take_nothing_cost_little() {
    const MIB: usize = 48;
    const READERS: usize = 24;
    let data = folder();
    let server = server(&data);
    let line = "x".repeat(1023);
    let lines = format!("{line}\n").repeat(1024);
    for _ in 0..MIB {
        assert_eq!(
            server
                .post("/v1/topics/a/records", "text/plain", lines.as_bytes())
                .status,
            200
        );
    }
    server.forget_peak();
    let before = server.kilobytes("VmRSS");
    let mut streams: Vec<_> = (0..READERS).map(|_| events(&server, "", None)).collect();
    for stream in &mut streams {
        assert_eq!(next(stream).1, line);
    }
    // While these wait, another one reads everything, which takes longer than filling any buffers.
    let mut all = events(&server, "", None);
    for _ in 0..MIB * 1024 {
        assert_eq!(next(&mut all).1.len(), line.len());
    }
    let grown = server.kilobytes("VmHWM").saturating_sub(before);
    // If each held what it has not taken, that would be a gigabyte.
    assert!(grown < 96 << 10, "{grown} kB");
    for stream in &mut streams {
        assert_eq!(next(stream).1, line, "they go on where they were");
    }
}

/// The command line, asking this server.
fn command(server: &Server, arguments: &[&str], input: &[u8]) -> Output {
    let folder = folder();
    let mut child = escala(folder.path())
        .args(["topics", arguments[0], "--server", &server.url("")])
        .args(&arguments[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

#[track_caller]
fn prints(server: &Server, arguments: &[&str], input: &[u8]) -> (Vec<u8>, String) {
    let output = command(server, arguments, input);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    (output.stdout, said)
}

#[test]
fn the_command_line_writes_and_reads() {
    let data = folder();
    let server = server(&data);
    prints(
        &server,
        &[
            "create",
            "notes",
            "--partitions",
            "2",
            "--topic-config",
            "retention.ms=-1",
        ],
        b"",
    );
    let (_, said) = prints(
        &server,
        &["produce", "notes", "--key-separator", ":"],
        b"ada:first\nada:second\nalone",
    );
    assert!(said.starts_with("3 records in notes; partition "), "{said}");
    let file = data.path().join("more");
    std::fs::write(&file, b"ada:\xff third\n").expect("a file");
    let file = file.to_str().expect("a plain path");
    let (told, _) = prints(
        &server,
        &["produce", "notes", file, "--key-separator", ":", "--json"],
        b"",
    );
    let told: Value = serde_json::from_slice(&told).expect("JSON");
    assert_eq!(
        (&told["records"], &told["topic"]),
        (&json!(1), &json!("notes"))
    );
    let (out, said) = prints(&server, &["consume", "notes"], b"");
    let lines: Vec<&[u8]> = out.split(|byte| *byte == b'\n').collect();
    let place = |line: &[u8]| {
        lines
            .iter()
            .position(|there| *there == line)
            .expect("a line")
    };
    assert!(place(b"first") < place(b"second") && place(b"second") < place(b"\xff third"));
    assert!(
        lines.contains(&&b"alone"[..]) && said == "4 records of notes\n",
        "{said}"
    );
    let partition = told["partitions"][0]["partition"].to_string();
    let one = [
        "consume",
        "notes",
        "--partition",
        &partition,
        "--offset",
        "earliest",
        "--limit",
        "1",
        "--key-separator",
        " = ",
    ];
    let (out, _) = prints(&server, &one, b"");
    assert!(out == b"ada = first\n" || out == b" = alone\n", "{out:?}");
    let (out, _) = prints(
        &server,
        &["consume", "notes", "--json", "--since", "1h"],
        b"",
    );
    assert_eq!(String::from_utf8(out).expect("text").lines().count(), 4);
    let (out, _) = prints(&server, &["list"], b"");
    assert!(String::from_utf8(out).expect("text").contains("notes  2"));
    let (out, _) = prints(&server, &["describe", "notes"], b"");
    let out = String::from_utf8(out).expect("text");
    assert!(
        out.lines()
            .any(|line| line.split_whitespace().eq(["retention.ms", "-1", "set"])),
        "{out}"
    );
    let (out, _) = prints(&server, &["lag"], b"");
    assert!(out.starts_with(b"GROUP"));
    let failed = command(&server, &["delete", "notes", "none"], b"");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(failed.stdout, b"notes: deleted\n");
    assert_eq!(
        String::from_utf8_lossy(&failed.stderr),
        "none: there is no topic none\n"
    );
    let failed = command(&server, &["consume", "notes"], b"");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&failed.stderr),
        "error: there is no topic notes\n"
    );
}

#[test]
fn the_command_line_follows_until_it_is_interrupted() {
    let data = folder();
    let server = server(&data);
    server
        .post_json("/v1/topics/a/records", &json!({ "value": "before" }))
        .ok();
    let folder = folder();
    let mut child = escala(folder.path())
        .args(["topics", "tail", "a", "--server", &server.url("")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut said = BufReader::new(child.stderr.take().expect("its errors"));
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    assert!(line.starts_with("following a"), "{line}");
    server
        .post_json("/v1/topics/a/records", &json!({ "value": "after" }))
        .ok();
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    let mut printed = String::new();
    out.read_line(&mut printed).expect("a line");
    assert_eq!(printed, "after\n");
    let interrupted = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.expect("kill runs").success());
    assert!(child.wait().expect("it ends").success());
    line.clear();
    said.read_line(&mut line).expect("a line");
    assert_eq!(line, "1 record of a\n");
    // A command that is told how many ends by itself.
    let (out, _) = prints(
        &server,
        &["tail", "a", "--from-beginning", "--limit", "2"],
        b"",
    );
    assert_eq!(out, b"before\nafter\n");
}

#[test]
fn without_a_server_the_command_line_says_how_to_start_one() {
    let folder = folder();
    let server = format!("127.0.0.1:{}", free_port());
    let output = escala(folder.path())
        .args(["topics", "list", "--server", &server])
        .output();
    let output = output.expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("no server answers at http://127.0.0.1:") && said.contains("`escala serve`"),
        "{said}"
    );
    let output = escala(folder.path())
        .args(["topics", "list", "--server", "ftp://a"])
        .output();
    assert_eq!(output.expect("the binary runs").status.code(), Some(2));
}
