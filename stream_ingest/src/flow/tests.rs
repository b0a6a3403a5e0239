//! Flows on a real log in a folder, asking a predictor whose answers tell what it was asked.

use super::*;
use crate::log::disk::Folder;
use crate::log::{Acks, Isolation, Log, Options};
use crate::records::{self, Draft, Record};
use bytes::Bytes;
use serde_json::Value;
use serde_json::value::to_raw_value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers with what it was asked; a text may ask for a failure.
#[derive(Default)]
struct Echo {
    /// Asked so often, it has no answer.
    down: AtomicUsize,
}

impl Predictor for Echo {
    fn takes(&self, question: &Question) -> std::result::Result<Takes, String> {
        match question.task.as_str() {
            "text" => Ok(Takes::Text),
            "image" => Ok(Takes::Image),
            task => Err(format!("there is no task {task}")),
        }
    }

    fn model(&self, _: &Question) -> Option<Model> {
        Some(Model {
            name: "echo".to_owned(),
            digest: Some("sha256:0".to_owned()),
        })
    }

    fn predict<'a>(&'a self, _: &'a Question, inputs: Vec<Input>) -> BoxFuture<'a, Vec<Answer>> {
        let down = self
            .down
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        let answer = move |input: Input| {
            let failed = |fault, code: &str| Failed {
                fault,
                code: code.to_owned(),
                message: "because".to_owned(),
            };
            if down.is_ok() {
                return Err(failed(Fault::Now, "unavailable"));
            }
            let said = match input {
                Input::Text(text) => text,
                Input::Image(bytes) => format!("{} bytes", bytes.len()),
            };
            match said.as_str() {
                "bad" => Err(failed(Fault::Record, "unsupported")),
                "defect" => Err(failed(Fault::Defect, "internal")),
                _ => Ok(to_raw_value(&said).unwrap()),
            }
        };
        Box::pin(async move {
            tokio::task::yield_now().await;
            inputs.into_iter().map(answer).collect()
        })
    }
}

fn log(folder: &Path) -> Log {
    let options = Options {
        reserve_bytes: 1 << 20,
        ..Options::default()
    };
    Log::open(Arc::new(Folder::open(folder.join("log")).unwrap()), options).unwrap()
}

fn flows(log: &Log, folder: &Path, echo: &Arc<Echo>) -> Flows {
    Flows::open(log.clone(), folder.join("flows.json"), echo.clone()).unwrap()
}

fn wanted() -> Wanted {
    Wanted {
        name: "f".to_owned(),
        from: "in".to_owned(),
        to: "out".to_owned(),
        task: "text".to_owned(),
        ..Wanted::default()
    }
}

fn draft(key: &str, value: &str) -> Draft {
    Draft {
        timestamp: 1_700_000_000_000,
        key: Some(Bytes::from(key.to_owned())),
        value: Some(Bytes::from(value.to_owned())),
        headers: vec![("trace".to_owned(), Some(Bytes::from(key.to_owned())))],
    }
}

async fn append(log: &Log, partition: u32, drafts: &[Draft]) {
    let batch = records::encode(drafts).unwrap();
    log.append("in", partition, batch, Acks::Durable)
        .await
        .unwrap();
}

fn read(log: &Log, topic: &str, partition: u32) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    loop {
        let next = all.last().map_or(0, |record| record.offset + 1);
        let isolation = Isolation::ReadUncommitted;
        let read = log.read(topic, partition, next, 1 << 20, isolation);
        let batches = read.unwrap().batches;
        if batches.is_empty() {
            return all;
        }
        for batches in batches {
            all.extend(records::decode(&batches).unwrap());
        }
    }
}

async fn until(what: &str, mut met: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !met().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{what} did not come");
}

/// Waits until everything is done.
async fn through(flows: &Flows, name: &str) -> Description {
    until("the end", async || {
        let about = flows.describe(name).await.unwrap();
        !about.lag.is_empty() && about.lag.iter().all(|lag| lag.lag() == 0)
    })
    .await;
    flows.describe(name).await.unwrap()
}

fn header(record: &Record, name: &str) -> String {
    let found = record.headers.iter().find(|(known, _)| known == name);
    let value = found.and_then(|(_, value)| value.as_ref());
    String::from_utf8_lossy(value.unwrap_or(&Bytes::new())).into_owned()
}

fn value(record: &Record) -> Value {
    serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_has_its_answer_in_its_place() {
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
        answers_are_in_their_places(guarantee).await;
    }
}

async fn answers_are_in_their_places(guarantee: Guarantee) {
    let folder = TempDir::new().unwrap();
    let (log, echo) = (log(folder.path()), Arc::default());
    log.create_topic("in", 3, &[]).await.unwrap();
    for partition in 0..3 {
        let drafts: Vec<Draft> = (0..700)
            .map(|at| draft(&format!("k{at}"), &format!("{partition} {at}")))
            .collect();
        for some in drafts.chunks(70) {
            append(&log, partition, some).await;
        }
    }
    let flows = flows(&log, folder.path(), &echo);
    let wanted = Wanted {
        guarantee,
        ..wanted()
    };
    flows.create(wanted).await.unwrap();
    let about = through(&flows, "f").await;
    assert_eq!((about.records, about.answers, about.dead), (2100, 2100, 0));
    assert_eq!(about.state, State::Running);
    // And what comes later.
    append(&log, 1, &[draft("late", "1 700")]).await;
    through(&flows, "f").await;
    for partition in 0..3 {
        let answers = read(&log, "out", partition);
        assert_eq!(answers.len(), if partition == 1 { 701 } else { 700 });
        for (at, answer) in answers.iter().enumerate() {
            let said = format!("{partition} {at}");
            let expected = serde_json::json!({
                "prediction": said, "model": "echo", "digest": "sha256:0",
            });
            assert_eq!(value(answer), expected);
            let key = if at == 700 {
                "late".to_owned()
            } else {
                format!("k{at}")
            };
            assert_eq!(answer.key.as_deref(), Some(key.as_bytes()));
            assert_eq!(answer.timestamp, 1_700_000_000_000);
            let headers: Vec<String> = ["trace", FLOW, TOPIC, PARTITION, OFFSET]
                .iter()
                .map(|name| header(answer, name))
                .collect();
            let expected = [&key, "f", "in", &partition.to_string(), &at.to_string()];
            assert_eq!(headers, expected);
        }
        assert!(read(&log, "out.dead-letters", partition).is_empty());
    }
    let offsets = log.offsets("flow-f").await.unwrap();
    assert_eq!(offsets[&("in".to_owned(), 1)].offset, 701);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_predicted_goes_to_the_dead_letters_and_stops_nobody() {
    let folder = TempDir::new().unwrap();
    let (log, echo) = (log(folder.path()), Arc::default());
    log.create_topic("in", 1, &[]).await.unwrap();
    let flows = flows(&log, folder.path(), &echo);
    let field = Some("a/b".to_owned());
    flows.create(Wanted { field, ..wanted() }).await.unwrap();
    let tombstone = Draft {
        value: None,
        ..draft("gone", "")
    };
    append(
        &log,
        0,
        &[
            draft("1", r#"{"a/b": "good"}"#),
            draft("2", "no JSON"),
            draft("3", r#"{"a": "x"}"#),
            draft("4", r#"{"a/b": 5}"#),
            draft("5", r#"{"a/b": "bad"}"#),
            tombstone,
            draft("7", r#"{"a/b": "defect"}"#),
            draft("8", r#"{"a/b": "good too"}"#),
        ],
    )
    .await;
    let about = through(&flows, "f").await;
    assert_eq!((about.records, about.answers, about.dead), (8, 3, 5));
    let answers = read(&log, "out", 0);
    assert_eq!(value(&answers[0])["prediction"], "good");
    assert_eq!(answers[1].key.as_deref(), Some(&b"gone"[..]));
    assert_eq!(answers[1].value, None);
    assert_eq!(value(&answers[2])["prediction"], "good too");
    let dead = read(&log, "out.dead-letters", 0);
    let why: Vec<(String, String)> = dead
        .iter()
        .map(|letter| (header(letter, OFFSET), header(letter, DEAD_CODE)))
        .collect();
    let expected = [
        ("1", "invalid_input"),
        ("2", "invalid_input"),
        ("3", "invalid_input"),
        ("4", "unsupported"),
        ("6", "internal"),
    ];
    assert_eq!(
        why,
        expected.map(|(at, code)| (at.to_owned(), code.to_owned()))
    );
    assert_eq!(dead[0].value.as_deref(), Some(&b"no JSON"[..]));
    assert!(header(&dead[1], DEAD_MESSAGE).contains("/a~1b"));
    assert!(header(&dead[2], DEAD_MESSAGE).contains("not a text"));
    // The defect was asked about again before it was given up.
    assert!(about.retried >= 3, "{}", about.retried);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_an_answer_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let (log, echo) = (log(folder.path()), Arc::new(Echo::default()));
    log.create_topic("in", 1, &[]).await.unwrap();
    echo.down.store(2, Ordering::SeqCst);
    append(&log, 0, &[draft("k", "v")]).await;
    let flows = flows(&log, folder.path(), &echo);
    flows.create(wanted()).await.unwrap();
    until("the reason", async || {
        let about = flows.describe("f").await.unwrap();
        about.state == State::Waiting("because".to_owned())
    })
    .await;
    let about = through(&flows, "f").await;
    assert_eq!((about.answers, about.dead, about.retried), (1, 0, 2));
    assert_eq!(about.state, State::Running);
    assert_eq!(read(&log, "out", 0).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_too_large_for_the_topic_and_letters_too_large_are_not_lost() {
    let folder = TempDir::new().unwrap();
    let (log, echo) = (log(folder.path()), Arc::default());
    log.create_topic("in", 1, &[]).await.unwrap();
    let small = [("max.message.bytes", "2000")];
    log.create_topic("out", 1, &small).await.unwrap();
    log.create_topic("out.dead-letters", 1, &[("max.message.bytes", "5000")])
        .await
        .unwrap();
    let long = |length: usize| draft("k", &"x".repeat(length));
    append(
        &log,
        0,
        &[long(1000), long(3000), long(6000), long(1000), long(10)],
    )
    .await;
    let flows = flows(&log, folder.path(), &echo);
    flows.create(wanted()).await.unwrap();
    through(&flows, "f").await;
    let lengths: Vec<usize> = read(&log, "out", 0)
        .iter()
        .map(|answer| value(answer)["prediction"].as_str().unwrap().len())
        .collect();
    assert_eq!(lengths, [1000, 1000, 10]);
    let dead = read(&log, "out.dead-letters", 0);
    assert_eq!(dead.len(), 2);
    assert!(
        dead.iter()
            .all(|letter| header(letter, DEAD_CODE) == "too_large")
    );
    assert_eq!(dead[0].value.as_ref().map(Bytes::len), Some(3000));
    assert_eq!(
        (dead[1].value.as_ref(), header(&dead[1], OFFSET)),
        (None, "2".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_and_compressed_records_are_read() {
    let folder = TempDir::new().unwrap();
    let (log, echo) = (log(folder.path()), Arc::default());
    log.create_topic("in", 1, &[]).await.unwrap();
    // Five records with values of 240, 270, no, 0 and 1800 bytes, as kafka-python packs them.
    let lines = include_str!("../../tests/golden/records.jsonl").lines();
    let mut batches = 0;
    for line in lines.take(5) {
        let line: Value = serde_json::from_str(line).unwrap();
        let hex = line["bytes"].as_str().unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        let batch: Bytes = (0..hex.len() / 2).map(byte).collect();
        log.append("in", 0, batch, Acks::Durable).await.unwrap();
        batches += 1;
    }
    let flows = flows(&log, folder.path(), &echo);
    let task = "image".to_owned();
    flows.create(Wanted { task, ..wanted() }).await.unwrap();
    through(&flows, "f").await;
    let answers = read(&log, "out", 0);
    assert_eq!(answers.len(), 5 * batches);
    for five in answers.chunks(5) {
        let said: Vec<Value> = five
            .iter()
            .map(|answer| {
                answer
                    .value
                    .as_ref()
                    .map_or(Value::Null, |_| value(answer)["prediction"].clone())
            })
            .collect();
        let expected = ["240 bytes", "300 bytes", "", "0 bytes", "1800 bytes"];
        for (said, expected) in said.iter().zip(expected) {
            match expected {
                "" => assert_eq!(said, &Value::Null),
                expected => assert_eq!(said, expected),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_rests_goes_on_is_put_elsewhere_and_goes() {
    let folder = TempDir::new().unwrap();
    let (log, echo) = (log(folder.path()), Arc::default());
    log.create_topic("in", 1, &[]).await.unwrap();
    append(&log, 0, &[draft("a", "1"), draft("b", "2")]).await;
    let flows = flows(&log, folder.path(), &echo);
    let start = Start::Latest;
    let made = flows.create(Wanted { start, ..wanted() }).await.unwrap();
    assert_eq!(made.flow.group(), "flow-f");
    // It begins at the end, and has kept where that is.
    until("its beginning", async || {
        log.offsets("flow-f").await.unwrap().len() == 1
    })
    .await;
    append(&log, 0, &[draft("c", "3")]).await;
    through(&flows, "f").await;
    let said = |log: &Log| -> Vec<String> {
        let answers = read(log, "out", 0);
        let said = answers
            .iter()
            .map(|answer| value(answer)["prediction"].clone());
        said.map(|said| said.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(said(&log), ["3"]);

    assert_eq!(flows.pause("f").await.unwrap().state, State::Paused);
    append(&log, 0, &[draft("d", "4")]).await;
    let resting = flows.describe("f").await.unwrap();
    assert_eq!((resting.lag[0].position, resting.lag[0].lag()), (3, 1));
    assert_eq!(said(&log), ["3"]);
    // It may be put elsewhere while it rests, and stays at rest.
    let put = flows.reset("f", Some(0), To::Offset(1)).await.unwrap();
    assert_eq!((put.state, put.lag[0].position), (State::Paused, 1));
    flows.resume("f").await.unwrap();
    through(&flows, "f").await;
    assert_eq!(said(&log), ["3", "2", "3", "4"]);

    flows.reset("f", None, To::Earliest).await.unwrap();
    through(&flows, "f").await;
    assert_eq!(said(&log)[4..], ["1", "2", "3", "4"]);
    flows.reset("f", None, To::Time(i64::MAX)).await.unwrap();
    assert_eq!(through(&flows, "f").await.lag[0].position, 4);
    for bad in [To::Offset(9), To::Offset(-1)] {
        let refused = flows.reset("f", None, bad).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    assert!(flows.reset("f", Some(1), To::Latest).await.is_err());

    flows.delete("f").await.unwrap();
    assert!(matches!(flows.describe("f").await, Err(Error::NotFound(_))));
    assert!(log.groups().is_empty());
    append(&log, 0, &[draft("e", "5")]).await;
    // One of the same name begins anew.
    flows.create(wanted()).await.unwrap();
    through(&flows, "f").await;
    assert_eq!(said(&log)[8..], ["1", "2", "3", "4", "5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_flow_is_refused() {
    let folder = TempDir::new().unwrap();
    let (log, echo) = (log(folder.path()), Arc::default());
    log.create_topic("in", 1, &[]).await.unwrap();
    let flows = flows(&log, folder.path(), &echo);
    let text = |text: &str| text.to_owned();
    for (wanted, why) in [
        (
            Wanted {
                name: text("a b"),
                ..wanted()
            },
            "name",
        ),
        (
            Wanted {
                name: text(""),
                ..wanted()
            },
            "name",
        ),
        (
            Wanted {
                from: text("none"),
                ..wanted()
            },
            "no topic none",
        ),
        (
            Wanted {
                to: text("in"),
                ..wanted()
            },
            "never end",
        ),
        (
            Wanted {
                dead_letters: Some(text("in")),
                ..wanted()
            },
            "never end",
        ),
        (
            Wanted {
                dead_letters: Some(text("out")),
                ..wanted()
            },
            "own",
        ),
        (
            Wanted {
                task: text("dance"),
                ..wanted()
            },
            "no task dance",
        ),
        (
            Wanted {
                to: text("a/b"),
                ..wanted()
            },
            "called",
        ),
    ] {
        let error = flows.create(wanted).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(flows.list().await.unwrap().is_empty());
    flows.create(wanted()).await.unwrap();
    let again = flows.create(wanted()).await;
    assert!(matches!(again, Err(Error::Exists(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_partitions_and_records_that_were_deleted_are_noticed() {
    let folder = TempDir::new().unwrap();
    let (log, echo) = (log(folder.path()), Arc::default());
    log.create_topic("in", 1, &[]).await.unwrap();
    append(&log, 0, &[draft("a", "1")]).await;
    append(&log, 0, &[draft("b", "2"), draft("c", "3")]).await;
    let flows = flows(&log, folder.path(), &echo);
    let paused = true;
    flows.create(Wanted { paused, ..wanted() }).await.unwrap();
    flows.reset("f", None, To::Earliest).await.unwrap();
    log.delete_records("in", 0, 2).await.unwrap();
    log.add_partitions("in", 3).await.unwrap();
    flows.resume("f").await.unwrap();
    append(&log, 2, &[draft("d", "4")]).await;
    let about = through(&flows, "f").await;
    assert_eq!((about.missed, about.answers), (2, 2));
    // The topic that it writes has one partition: what was 2 comes there too.
    let mut said: Vec<Value> = read(&log, "out", 0)
        .iter()
        .map(|answer| value(answer)["prediction"].clone())
        .collect();
    said.sort_by_key(Value::to_string);
    assert_eq!(said, ["3", "4"]);
}

/// A topic that compacted is read from gap to gap, and answers to one that compacts have keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_compact_are_read_and_written() {
    let folder = TempDir::new().unwrap();
    let echo = Arc::default();
    let options = Options {
        reserve_bytes: 1 << 20,
        retention_every: Duration::from_millis(10),
        ..Options::default()
    };
    let disk = Folder::open(folder.path()).unwrap();
    let log = Log::open(Arc::new(disk), options).unwrap();
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "500"),
        ("segment.ms", "50"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    log.create_topic("in", 1, &settings).await.unwrap();
    for at in 0..100 {
        append(&log, 0, &[draft(&format!("k{}", at % 4), &at.to_string())]).await;
    }
    let left = || read(&log, "in", 0).len();
    until("compaction", async || left() == 4).await;
    log.create_topic("out", 1, &settings[..1]).await.unwrap();
    let flows = flows(&log, folder.path(), &echo);
    flows.create(wanted()).await.unwrap();
    let about = through(&flows, "f").await;
    assert_eq!((about.answers, about.missed, about.dead), (4, 0, 0));
    let answers = read(&log, "out", 0);
    let said: Vec<Value> = answers
        .iter()
        .map(|answer| value(answer)["prediction"].clone())
        .collect();
    assert_eq!(said, ["96", "97", "98", "99"]);
    // A record without a key, from before the topic compacted.
    log.alter_config("in", &[("cleanup.policy", None)])
        .await
        .unwrap();
    let keyless = Draft {
        key: None,
        ..draft("", "100")
    };
    append(&log, 0, &[keyless, draft("k0", "101")]).await;
    let about = through(&flows, "f").await;
    assert_eq!((about.answers, about.dead), (5, 1));
    let dead = read(&log, "out.dead-letters", 0);
    assert_eq!(header(&dead[0], DEAD_CODE), "no_key");
}

/// Work that is ended at any moment, with the log closed and opened again, loses nothing and writes nothing twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_is_stopped_anywhere_answers_once() {
    let folder = TempDir::new().unwrap();
    let echo = Arc::new(Echo::default());
    let mut made = false;
    let mut sent = BTreeMap::from([(0u32, 0usize), (1, 0)]);
    for cycle in 0..12 {
        let log = log(folder.path());
        if !made {
            log.create_topic("in", 2, &[]).await.unwrap();
        }
        let flows = flows(&log, folder.path(), &echo);
        if !made {
            flows.create(wanted()).await.unwrap();
            made = true;
        }
        for (partition, sent) in &mut sent {
            let drafts: Vec<Draft> = (*sent..*sent + 300)
                .map(|at| draft("k", &format!("{partition} {at}")))
                .collect();
            append(&log, *partition, &drafts).await;
            *sent += 300;
        }
        // Another moment each time: when so many answers are there.
        let enough = cycle * 37;
        until("some answers", async || {
            let about = flows.describe("f").await.unwrap();
            about.records >= enough
        })
        .await;
        drop(flows);
        log.close().await.unwrap();
    }
    let log = log(folder.path());
    let flows = flows(&log, folder.path(), &echo);
    through(&flows, "f").await;
    for (partition, sent) in sent {
        let answers = read(&log, "out", partition);
        assert_eq!(answers.len(), sent);
        for (at, answer) in answers.iter().enumerate() {
            assert_eq!(value(answer)["prediction"], format!("{partition} {at}"));
        }
    }
}

#[test]
fn a_file_that_is_no_list_of_flows_is_not_overwritten() {
    let folder = TempDir::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _in = runtime.enter();
    let log = log(folder.path());
    for text in ["", "{}", r#"{"version": 2, "flows": []}"#] {
        std::fs::write(folder.path().join("flows.json"), text).unwrap();
        let path = folder.path().join("flows.json");
        let opened = Flows::open(log.clone(), path, Arc::new(Echo::default()));
        assert!(matches!(opened.err(), Some(Error::Stored { .. })), "{text}");
    }
}
