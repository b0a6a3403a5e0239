//! The life of a server: it starts, becomes ready, counts what it does, drains and ends.

mod common;

use common::{Server, Setup, escala, golden_image, wait_for};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Long beside anything that happens here on a busy machine.
const SOON: Duration = Duration::from_secs(30);

fn language_only() -> Setup {
    Setup {
        arguments: vec!["--preload".to_owned(), "language".to_owned()],
        ..Setup::default()
    }
}

#[test]
fn it_is_alive_before_it_is_ready() {
    // Nothing to load from: alive, and not ready, however long one waits.
    let setup = Setup {
        arguments: ["--offline", "--models-dir", "empty"]
            .map(str::to_owned)
            .to_vec(),
        ..Setup::default()
    };
    let server = Server::begin(&setup);
    wait_for("the listener", SOON, || {
        assert!(
            server.exited().is_none(),
            "the server ended:\n{}",
            server.log()
        );
        TcpStream::connect(server.address).is_ok()
    });
    assert_eq!(server.get("/healthz").status, 200);
    let mut last = server.get("/readyz");
    wait_for("the reason why it is not ready", SOON, || {
        last = server.get("/readyz");
        last.json()["tasks"]["language"]["state"] == "failed"
    });
    assert_eq!((last.status, &last.json()["ready"]), (503, &json!(false)));
    assert!(last.text.contains("lid.176"), "{}", last.text);
    // Asking for what cannot be loaded is answered with the reason.
    let answer = server.post_json("/v1/text/language", &json!({ "text": "hello" }));
    answer.assert_rest_error(503, "unavailable", "without weights");
    let answer = server.aws(
        "Comprehend_20171127.DetectDominantLanguage",
        b"{\"Text\": \"hello\"}",
    );
    answer.assert_aws_error(503, "ServiceUnavailableException", "without weights");
}

#[test]
fn it_becomes_ready_and_says_where_it_listens() {
    let server = Server::start(&Setup::default());
    let ready = server.get("/readyz").ok();
    for task in ["language", "embeddings", "labels"] {
        assert_eq!(ready["tasks"][task]["state"], "ready", "{ready}");
    }
    assert!(server.log().contains(&server.url("")), "{}", server.log());
    server.assert_sound("the start");
}

#[test]
fn a_task_that_is_not_preloaded_loads_on_first_use() {
    let server = Server::start(&language_only());
    let metrics = server.get("/metrics").text;
    assert_eq!(
        value(&metrics, "escala_model_ready", &["task=\"embeddings\""]),
        Some(0.0),
        "{metrics}"
    );
    let answer = server
        .post_json("/v1/text/embeddings", &json!({ "text": "hello" }))
        .ok();
    assert_eq!(answer["embedding"].as_array().map(Vec::len), Some(384));
    let metrics = server.get("/metrics").text;
    assert_eq!(
        value(&metrics, "escala_model_ready", &["task=\"embeddings\""]),
        Some(1.0),
        "{metrics}"
    );
}

/// The value of the first series of this name with all these labels.
fn value(metrics: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let line = metrics.lines().find(|line| {
        let bare = line.split(['{', ' ']).next().unwrap_or_default();
        bare == name && labels.iter().all(|label| line.contains(label))
    })?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn metrics_count_what_was_done() {
    let server = Server::start(&Setup::default());
    for _ in 0..3 {
        server
            .post_json("/v1/text/language", &json!({ "text": "Ciao, come stai?" }))
            .ok();
    }
    server
        .post_json("/v1/text/embeddings", &json!({ "text": "hello" }))
        .ok();
    server
        .post(
            "/v1/images/labels",
            "image/png",
            &golden_image("chelsea.png"),
        )
        .ok();
    server
        .aws(
            "Comprehend_20171127.DetectDominantLanguage",
            b"{\"Text\": \"Ciao, come stai?\"}",
        )
        .ok();
    server
        .post("/v1/text/language", "application/json", b"{")
        .assert_rest_error(400, "invalid_input", "no JSON");
    assert_eq!(server.s3("PUT", "/counted", b"").status, 200);
    let answer = server.get("/metrics");
    assert!(
        answer.content_type.starts_with("text/plain"),
        "{}",
        answer.content_type
    );
    let metrics = answer.text;
    let requests = |labels: &[&str]| value(&metrics, "escala_requests_total", labels);
    assert_eq!(
        requests(&[
            "door=\"rest\"",
            "operation=\"/v1/text/language\"",
            "status=\"200\""
        ]),
        Some(3.0),
        "{metrics}"
    );
    assert_eq!(
        requests(&[
            "door=\"rest\"",
            "operation=\"/v1/text/language\"",
            "status=\"400\""
        ]),
        Some(1.0),
        "{metrics}"
    );
    assert_eq!(
        requests(&["door=\"aws\"", "DetectDominantLanguage", "status=\"200\""]),
        Some(1.0),
        "{metrics}"
    );
    let count = value(
        &metrics,
        "escala_request_seconds_count",
        &["operation=\"/v1/text/language\""],
    );
    assert_eq!(count, Some(4.0), "{metrics}");
    assert!(
        value(
            &metrics,
            "escala_request_seconds_bucket",
            &["operation=\"/v1/text/language\"", "le=\"+Inf\""]
        ) == Some(4.0)
    );
    for task in ["language", "embeddings", "labels"] {
        let task = format!("task=\"{task}\"");
        assert_eq!(
            value(&metrics, "escala_model_loads_total", &[&task]),
            Some(1.0),
            "{task}: {metrics}"
        );
        assert_eq!(
            value(&metrics, "escala_model_evictions_total", &[&task]),
            Some(0.0),
            "{task}"
        );
        assert_eq!(
            value(&metrics, "escala_queue_items", &[&task]),
            Some(0.0),
            "{task}"
        );
        assert!(
            value(&metrics, "escala_batch_items_count", &[&task])
                .is_some_and(|batches| batches >= 1.0),
            "{task}"
        );
        assert!(
            value(&metrics, "escala_units_done_total", &[&task]).is_some_and(|units| units >= 1.0),
            "{task}"
        );
        assert!(
            value(&metrics, "escala_model_memory_bytes", &[&task])
                .is_some_and(|bytes| bytes > 100_000.0),
            "{task}"
        );
    }
    let made = requests(&[
        "door=\"s3\"",
        "operation=\"CreateBucket\"",
        "status=\"200\"",
    ]);
    assert_eq!(made, Some(1.0), "{metrics}");
    for folder in ["models", "data", "s3"] {
        let label = format!("folder=\"{folder}\"");
        let free = value(&metrics, "escala_disk_free_bytes", &[&label]);
        assert!(free.is_some_and(|free| free > 0.0), "{folder}: {metrics}");
    }
    // Every line is a comment or a series with a number.
    for line in metrics
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        assert!(
            line.rsplit_once(' ')
                .is_some_and(|(_, number)| number.parse::<f64>().is_ok()),
            "{line}"
        );
    }
}

#[test]
fn a_request_that_has_started_is_finished_before_it_ends() {
    let server = Server::start(&language_only());
    let mut stream = server.connect();
    let body = "{\"text\": \"¿Dónde está la biblioteca?\"}";
    let (first, second) = body.split_at(9);
    let head = format!(
        "POST /v1/text/language HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(first.as_bytes()).expect("sent");
    // The server has begun to read the request once it counts it as in flight (with the one that asks).
    wait_for("the request to start", SOON, || {
        value(
            &server.get("/metrics").text,
            "escala_requests_in_flight",
            &[],
        ) == Some(2.0)
    });
    server.terminate();
    wait_for("the listener to close", SOON, || {
        TcpStream::connect(server.address).is_err()
    });
    assert!(
        server.exited().is_none(),
        "it did not wait for the request:\n{}",
        server.log()
    );
    stream.write_all(second.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("an answer, then the end");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"es\""),
        "{answer}"
    );
    wait_for("the end", SOON, || server.exited().is_some());
    assert!(
        server.exited().expect("ended").success(),
        "{}",
        server.log()
    );
}

#[test]
fn balancers_are_told_before_it_stops() {
    let with = |delay: &str| {
        let mut setup = language_only();
        setup.arguments.push("--set".to_owned());
        setup.arguments.push(format!("shutdown.delay={delay}"));
        Server::start(&setup)
    };
    let server = with("1h");
    server.terminate();
    wait_for("the word to balancers", SOON, || {
        server.get("/readyz").status == 503
    });
    // Who comes all the same is answered as ever.
    let asked = json!({ "text": "Ciao, come stai?" });
    server.post_json("/v1/text/language", &asked).ok();
    server.terminate();
    wait_for("the end", SOON, || server.exited().is_some());
    assert_eq!(server.exited().and_then(|ended| ended.code()), Some(130));

    let server = with("1ms");
    server.terminate();
    wait_for("the end", SOON, || server.exited().is_some());
    assert!(
        server.exited().expect("ended").success(),
        "{}",
        server.log()
    );
}

#[test]
fn an_idle_connection_does_not_keep_it_alive() {
    let server = Server::start(&language_only());
    let mut stream = server.connect();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .expect("sent");
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("an answer begins");
    let asked = Instant::now();
    server.terminate();
    wait_for("the end", SOON, || server.exited().is_some());
    assert!(
        server.exited().expect("ended").success(),
        "{}",
        server.log()
    );
    // The grace period is 20 s; idle connections are not worth waiting for.
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn a_second_server_on_the_same_port_says_so() {
    let server = Server::start(&language_only());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = escala(folder.path())
        .args(["serve", "--listen", &server.address.to_string()])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains(&server.address.to_string()) && said.contains("in use"),
        "{said}"
    );
    server.assert_sound("a second server");
}

#[test]
fn one_connection_too_many_is_told_so() {
    let server = Server::start(&language_only().with("ESCALA_LIMITS_CONNECTIONS", "4"));
    let held: Vec<TcpStream> = (0..8).map(|_| server.connect()).collect();
    let mut refused = 0;
    for mut stream in held {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        // A refused connection may be reset when it is written to after its answer.
        let _ = stream.read_to_string(&mut answer);
        refused += usize::from(answer.starts_with("HTTP/1.1 503"));
    }
    assert!(refused >= 1, "all of eight connections were taken");
    wait_for("room again", SOON, || {
        TcpStream::connect(server.address).is_ok_and(|mut stream| {
            let sent =
                stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            let mut answer = String::new();
            sent.is_ok()
                && stream.read_to_string(&mut answer).is_ok()
                && answer.starts_with("HTTP/1.1 200")
        })
    });
}
