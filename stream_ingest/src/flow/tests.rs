//! Flows that ask a predictor whose answers tell what it was asked. The suite holds on the built-in log and on another Kafka
//! alike: Escala's own broker, and Apache Kafka where Java and Maven are there.

#[cfg(feature = "kafka")]
mod external;
mod ground;
#[cfg(feature = "kafka")]
mod other;
#[cfg(feature = "kafka")]
#[path = "../../../tests/common/port.rs"]
mod port;

use super::*;
use crate::log::Acks;
use crate::records::{Draft, Record};
use bytes::Bytes;
use ground::{Ground, log, until};
use serde_json::Value;
use serde_json::value::to_raw_value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers with what it was asked; a text may ask for a failure.
#[derive(Default)]
struct Echo {
    /// Asked so often, it has no answer.
    down: AtomicUsize,
    /// How long it takes for a record.
    pace: Duration,
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
            if !self.pace.is_zero() {
                tokio::time::sleep(self.pace * inputs.len() as u32).await;
            }
            inputs.into_iter().map(answer).collect()
        })
    }
}

/// The time of all records here. Answers have the times of what they answer, and what is older than a topic's
/// `retention.ms` goes: with a time of long ago, another Kafka would delete answers while a test runs.
static THEN: LazyLock<i64> = LazyLock::new(crate::log::now);

fn draft(key: &str, value: &str) -> Draft {
    Draft {
        timestamp: *THEN,
        key: Some(Bytes::from(key.to_owned())),
        value: Some(Bytes::from(value.to_owned())),
        headers: vec![("trace".to_owned(), Some(Bytes::from(key.to_owned())))],
    }
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

/// The suite, for each log that flows work on.
macro_rules! suite {
    ($($check:ident),* $(,)?) => {
        mod on_the_built_in_log {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    super::$check(&super::Ground::local()).await;
                }
            )*
        }

        #[cfg(feature = "kafka")]
        mod on_escalas_broker {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    let mut broker = super::other::Broker::start().await;
                    super::$check(&broker.ground()).await;
                    broker.stop().await;
                }
            )*
        }

        /// The suite on a Kafka that serves others, too: every check has names of its own.
        #[cfg(feature = "kafka")]
        async fn suite_on(ground: impl Fn(&str) -> Ground) {
            $(
                let begun = std::time::Instant::now();
                $check(&ground(stringify!($check))).await;
                println!("{} ({:.1?})", stringify!($check), begun.elapsed());
            )*
        }
    };
}

suite!(
    every_record_has_its_answer_in_its_place,
    so_it_has_where_it_may_have_several,
    what_cannot_be_predicted_goes_to_the_dead_letters_and_stops_nobody,
    a_machine_without_an_answer_is_waited_for,
    answers_too_large_for_the_topic_and_letters_too_large_are_not_lost,
    what_a_topic_takes_its_dead_letters_take,
    a_flow_rests_goes_on_is_put_elsewhere_and_goes,
    what_cannot_be_a_flow_is_refused,
    new_partitions_and_records_that_were_deleted_are_noticed,
    a_flow_that_begins_at_the_end_has_all_that_came_since_it_was_made,
    new_partitions_are_new_to_a_flow_that_begins_at_the_end,
    answers_are_kept_as_long_as_their_records,
    a_flow_that_is_stopped_anywhere_answers_once,
);

async fn every_record_has_its_answer_in_its_place(ground: &Ground) {
    answers_are_in_their_places(ground, Guarantee::ExactlyOnce).await;
}

async fn so_it_has_where_it_may_have_several(ground: &Ground) {
    answers_are_in_their_places(ground, Guarantee::AtLeastOnce).await;
}

async fn answers_are_in_their_places(ground: &Ground, guarantee: Guarantee) {
    let echo = Arc::default();
    ground.create_topic("in", 3, &[]).await;
    for partition in 0..3 {
        let drafts: Vec<Draft> = (0..700)
            .map(|at| draft(&format!("k{at}"), &format!("{partition} {at}")))
            .collect();
        for some in drafts.chunks(70) {
            ground.append(partition, some).await;
        }
    }
    let flows = ground.flows(&echo);
    let wanted = Wanted {
        guarantee,
        ..ground.wanted()
    };
    flows.create(wanted).await.unwrap();
    let about = through(&flows, &ground.name("f")).await;
    assert_eq!((about.records, about.answers, about.dead), (2100, 2100, 0));
    assert_eq!(about.state, State::Running);
    // And what comes later.
    ground.append(1, &[draft("late", "1 700")]).await;
    through(&flows, &ground.name("f")).await;
    for partition in 0..3 {
        let answers = ground.read("out", partition);
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
            assert_eq!(answer.timestamp, *THEN);
            let headers: Vec<String> = ["trace", FLOW, TOPIC, PARTITION, OFFSET]
                .iter()
                .map(|name| header(answer, name))
                .collect();
            let (flow, from) = (ground.name("f"), ground.name("in"));
            let (partition, at) = (partition.to_string(), at.to_string());
            let expected = [&key, &flow, &from, &partition, &at];
            assert_eq!(headers.iter().collect::<Vec<_>>(), expected);
        }
        assert!(ground.read("out.dead-letters", partition).is_empty());
    }
    assert_eq!(ground.committed(1).await, Some(701));
}

async fn what_cannot_be_predicted_goes_to_the_dead_letters_and_stops_nobody(ground: &Ground) {
    let echo = Arc::default();
    ground.create_topic("in", 1, &[]).await;
    let flows = ground.flows(&echo);
    let field = Some("a/b".to_owned());
    flows
        .create(Wanted {
            field,
            ..ground.wanted()
        })
        .await
        .unwrap();
    let tombstone = Draft {
        value: None,
        ..draft("gone", "")
    };
    ground
        .append(
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
    let about = through(&flows, &ground.name("f")).await;
    assert_eq!((about.records, about.answers, about.dead), (8, 3, 5));
    let answers = ground.read("out", 0);
    assert_eq!(value(&answers[0])["prediction"], "good");
    assert_eq!(answers[1].key.as_deref(), Some(&b"gone"[..]));
    assert_eq!(answers[1].value, None);
    assert_eq!(value(&answers[2])["prediction"], "good too");
    let dead = ground.read("out.dead-letters", 0);
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

async fn a_machine_without_an_answer_is_waited_for(ground: &Ground) {
    let echo = Arc::new(Echo::default());
    ground.create_topic("in", 1, &[]).await;
    echo.down.store(2, Ordering::SeqCst);
    ground.append(0, &[draft("k", "v")]).await;
    let flows = ground.flows(&echo);
    flows.create(ground.wanted()).await.unwrap();
    until("the reason", async || {
        let about = flows.describe(&ground.name("f")).await.unwrap();
        about.state == State::Waiting("because".to_owned())
    })
    .await;
    let about = through(&flows, &ground.name("f")).await;
    assert_eq!((about.answers, about.dead, about.retried), (1, 0, 2));
    assert_eq!(about.state, State::Running);
    assert_eq!(ground.read("out", 0).len(), 1);
}

async fn answers_too_large_for_the_topic_and_letters_too_large_are_not_lost(ground: &Ground) {
    let echo = Arc::default();
    ground.create_topic("in", 1, &[]).await;
    let small = [("max.message.bytes", "2000")];
    ground.create_topic("out", 1, &small).await;
    ground
        .create_topic("out.dead-letters", 1, &[("max.message.bytes", "5000")])
        .await;
    let long = |length: usize| draft("k", &"x".repeat(length));
    ground
        .append(
            0,
            &[long(1000), long(3000), long(6000), long(1000), long(10)],
        )
        .await;
    let flows = ground.flows(&echo);
    flows.create(ground.wanted()).await.unwrap();
    through(&flows, &ground.name("f")).await;
    let lengths: Vec<usize> = ground
        .read("out", 0)
        .iter()
        .map(|answer| value(answer)["prediction"].as_str().unwrap().len())
        .collect();
    assert_eq!(lengths, [1000, 1000, 10]);
    let dead = ground.read("out.dead-letters", 0);
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
    // What is missing is said, and what fits is there.
    assert_eq!(header(&dead[1], DEAD_VALUE), "left out, 6000 bytes");
    assert_eq!(dead[1].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(header(&dead[1], "trace"), "k");
    assert_eq!(header(&dead[0], DEAD_VALUE), "");
}

/// Answers have the times of their records, but where the topic that they go to would refuse them for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_the_answers_topic_refuses_holds_nothing_up() {
    let ground = Ground::local();
    let lenient = [("message.timestamp.after.max.ms", "9223372036854775807")];
    ground.create_topic("in", 1, &lenient).await;
    let ahead = |value: &str| Draft {
        timestamp: *THEN + 1_000_000_000,
        ..draft("k", value)
    };
    let records = [
        draft("k", "one"),
        ahead("two"),
        ahead("bad"),
        draft("k", "three"),
    ];
    ground.append(0, &records).await;
    let echo = Arc::default();
    let flows = ground.flows(&echo);
    flows.create(ground.wanted()).await.unwrap();
    through(&flows, &ground.name("f")).await;
    let answers = ground.read("out", 0);
    let said: Vec<Value> = answers
        .iter()
        .map(|one| value(one)["prediction"].clone())
        .collect();
    assert_eq!(said, ["one", "two", "three"]);
    assert_eq!([answers[0].timestamp, answers[2].timestamp], [*THEN; 2]);
    let now = crate::log::now();
    let dead = ground.read("out.dead-letters", 0);
    for moved in [&answers[1], &dead[0]] {
        assert!((*THEN..=now).contains(&moved.timestamp), "{moved:?}");
    }
}

/// Dead letters have the value of their record and more headers: topics that a flow makes have room for both.
async fn what_a_topic_takes_its_dead_letters_take(ground: &Ground) {
    // The largest value of a topic as they are made, and one of a topic that takes more.
    for (at, settings, length) in [
        (0, vec![], 1_048_480),
        (1, vec![("max.message.bytes", "4000000")], 3_000_000),
    ] {
        let name = |name: &str| format!("{name}-{at}");
        ground.create_topic(&name("in"), 1, &settings).await;
        let large = Draft {
            headers: Vec::new(),
            ..draft("k", &"x".repeat(length))
        };
        ground.append_to(&name("in"), 0, &[large]).await;
        let flows = ground.flows_in(&name("flows.json"), &Arc::default());
        let wanted = Wanted {
            name: ground.name(&name("f")),
            from: ground.name(&name("in")),
            to: ground.name(&name("out")),
            field: Some("text".to_owned()),
            ..ground.wanted()
        };
        flows.create(wanted).await.unwrap();
        through(&flows, &ground.name(&name("f"))).await;
        let dead = ground.read(&format!("{}.dead-letters", name("out")), 0);
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].value.as_ref().map(Bytes::len), Some(length));
        assert_eq!(header(&dead[0], DEAD_VALUE), "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_and_compressed_records_are_read() {
    let ground = Ground::local();
    let echo = Arc::default();
    ground.create_topic("in", 1, &[]).await;
    // Five records with values of 240, 270, no, 0 and 1800 bytes, as kafka-python packs them.
    let lines = include_str!("../../tests/golden/records.jsonl").lines();
    let mut batches = 0;
    for line in lines.take(5) {
        let line: Value = serde_json::from_str(line).unwrap();
        let hex = line["bytes"].as_str().unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        let batch: Bytes = (0..hex.len() / 2).map(byte).collect();
        let log = ground.log();
        let appended = log.append("in", 0, batch, Acks::Durable);
        appended.await.unwrap();
        batches += 1;
    }
    let flows = ground.flows(&echo);
    let task = "image".to_owned();
    flows
        .create(Wanted {
            task,
            ..ground.wanted()
        })
        .await
        .unwrap();
    through(&flows, &ground.name("f")).await;
    let answers = ground.read("out", 0);
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

async fn a_flow_rests_goes_on_is_put_elsewhere_and_goes(ground: &Ground) {
    let echo = Arc::default();
    ground.create_topic("in", 1, &[]).await;
    ground.append(0, &[draft("a", "1"), draft("b", "2")]).await;
    let flows = ground.flows(&echo);
    let start = Start::Latest;
    let made = flows
        .create(Wanted {
            start,
            ..ground.wanted()
        })
        .await
        .unwrap();
    assert_eq!(made.flow.group(), format!("flow-{}", ground.name("f")));
    // It begins at the end, and has kept where that is.
    until("its beginning", async || {
        ground.committed(0).await.is_some()
    })
    .await;
    ground.append(0, &[draft("c", "3")]).await;
    through(&flows, &ground.name("f")).await;
    let said = |ground: &Ground| -> Vec<String> {
        let answers = ground.read("out", 0);
        let said = answers
            .iter()
            .map(|answer| value(answer)["prediction"].clone());
        said.map(|said| said.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(said(ground), ["3"]);

    assert_eq!(
        flows.pause(&ground.name("f")).await.unwrap().state,
        State::Paused
    );
    ground.append(0, &[draft("d", "4")]).await;
    let resting = flows.describe(&ground.name("f")).await.unwrap();
    assert_eq!((resting.lag[0].position, resting.lag[0].lag()), (3, 1));
    assert_eq!(said(ground), ["3"]);
    // It may be put elsewhere while it rests, and stays at rest.
    let put = flows
        .reset(&ground.name("f"), Some(0), To::Offset(1))
        .await
        .unwrap();
    assert_eq!((put.state, put.lag[0].position), (State::Paused, 1));
    flows.resume(&ground.name("f")).await.unwrap();
    through(&flows, &ground.name("f")).await;
    assert_eq!(said(ground), ["3", "2", "3", "4"]);

    flows
        .reset(&ground.name("f"), None, To::Earliest)
        .await
        .unwrap();
    through(&flows, &ground.name("f")).await;
    assert_eq!(said(ground)[4..], ["1", "2", "3", "4"]);
    flows
        .reset(&ground.name("f"), None, To::Time(i64::MAX))
        .await
        .unwrap();
    assert_eq!(through(&flows, &ground.name("f")).await.lag[0].position, 4);
    for bad in [To::Offset(9), To::Offset(-1)] {
        let refused = flows.reset(&ground.name("f"), None, bad).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    assert!(
        flows
            .reset(&ground.name("f"), Some(1), To::Latest)
            .await
            .is_err()
    );

    flows.delete(&ground.name("f")).await.unwrap();
    assert!(matches!(
        flows.describe(&ground.name("f")).await,
        Err(Error::NotFound(_))
    ));
    assert_eq!(ground.committed(0).await, None);
    ground.append(0, &[draft("e", "5")]).await;
    // One of the same name begins anew.
    flows.create(ground.wanted()).await.unwrap();
    through(&flows, &ground.name("f")).await;
    assert_eq!(said(ground)[8..], ["1", "2", "3", "4", "5"]);
}

async fn what_cannot_be_a_flow_is_refused(ground: &Ground) {
    let echo = Arc::default();
    ground.create_topic("in", 1, &[]).await;
    let flows = ground.flows(&echo);
    let text = |text: &str| text.to_owned();
    let wanted = |change: fn(&mut Wanted)| {
        let mut wanted = ground.wanted();
        change(&mut wanted);
        wanted
    };
    let (from, to) = (ground.name("in"), ground.name("out"));
    let into = |to: String| Wanted {
        to,
        ..ground.wanted()
    };
    let dead = |dead: String| Wanted {
        dead_letters: Some(dead),
        ..ground.wanted()
    };
    let illegal = match ground.is_local() {
        true => "called",
        false => "Invalid topic",
    };
    for (wanted, why) in [
        (wanted(|wanted| wanted.name = "a b".to_owned()), "name"),
        (wanted(|wanted| wanted.name.clear()), "name"),
        (
            wanted(|wanted| wanted.from = "none".to_owned()),
            "no topic none",
        ),
        (into(from.clone()), "never end"),
        (dead(from), "never end"),
        (dead(to), "own"),
        (
            wanted(|wanted| wanted.task = "dance".to_owned()),
            "no task dance",
        ),
        (
            wanted(|wanted| wanted.brokers = Some("a".to_owned())),
            "no broker",
        ),
        (into(text("a/b")), illegal),
        (
            wanted(|wanted| wanted.field = Some("/a~2".to_owned())),
            "~2",
        ),
        (wanted(|wanted| wanted.field = Some("/a~".to_owned())), "~"),
    ] {
        let error = flows.create(wanted).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(flows.list().await.unwrap().is_empty());
    flows.create(ground.wanted()).await.unwrap();
    let again = flows.create(ground.wanted()).await;
    assert!(matches!(again, Err(Error::Exists(_))));
}

async fn new_partitions_and_records_that_were_deleted_are_noticed(ground: &Ground) {
    let echo = Arc::default();
    ground.create_topic("in", 1, &[]).await;
    ground.append(0, &[draft("a", "1")]).await;
    ground.append(0, &[draft("b", "2"), draft("c", "3")]).await;
    let flows = ground.flows(&echo);
    let paused = true;
    flows
        .create(Wanted {
            paused,
            ..ground.wanted()
        })
        .await
        .unwrap();
    flows
        .reset(&ground.name("f"), None, To::Earliest)
        .await
        .unwrap();
    ground.delete_records("in", 0, 2).await;
    ground.add_partitions("in", 3).await;
    flows.resume(&ground.name("f")).await.unwrap();
    ground.append(2, &[draft("d", "4")]).await;
    let about = through(&flows, &ground.name("f")).await;
    assert_eq!((about.missed, about.answers), (2, 2));
    // What is unusual is said.
    let (from, to) = (ground.name("in"), ground.name("out"));
    let said = format!("{from} has 3 partitions and {to} has 1 and {to}.dead-letters has 1: ");
    let warning = about.warning.unwrap_or_default();
    assert!(warning.starts_with(&said), "{warning}");
    // The topic that it writes has one partition: what was 2 comes there too.
    let mut said: Vec<Value> = ground
        .read("out", 0)
        .iter()
        .map(|answer| value(answer)["prediction"].clone())
        .collect();
    said.sort_by_key(Value::to_string);
    assert_eq!(said, ["3", "4"]);
}

/// What the answers in a partition of `out` say, sorted.
fn said(ground: &Ground, partition: u32) -> Vec<String> {
    let answers = ground.read("out", partition);
    let said = answers.iter().map(|answer| {
        let said = &value(answer)["prediction"];
        said.as_str().unwrap().to_owned()
    });
    let mut said: Vec<String> = said.collect();
    said.sort();
    said
}

/// A flow that begins at the end begins where that was when it was made, also where it rested at first.
async fn a_flow_that_begins_at_the_end_has_all_that_came_since_it_was_made(ground: &Ground) {
    ground.create_topic("in", 1, &[]).await;
    ground.append(0, &[draft("a", "before")]).await;
    let flows = ground.flows(&Arc::default());
    let wanted = Wanted {
        start: Start::Latest,
        paused: true,
        ..ground.wanted()
    };
    let made = flows.create(wanted).await.unwrap();
    assert_eq!((made.lag.len(), made.warning), (1, None));
    assert_eq!((made.lag[0].position, made.lag[0].lag()), (1, 0));
    assert_eq!(ground.committed(0).await, Some(1));
    ground.append(0, &[draft("b", "1"), draft("c", "2")]).await;
    flows.resume(&ground.name("f")).await.unwrap();
    through(&flows, &ground.name("f")).await;
    assert_eq!(said(ground, 0), ["1", "2"]);
}

/// All of a partition came after a flow was made that was there before it.
async fn new_partitions_are_new_to_a_flow_that_begins_at_the_end(ground: &Ground) {
    ground.create_topic("in", 1, &[]).await;
    let flows = ground.flows(&Arc::default());
    let wanted = Wanted {
        start: Start::Latest,
        ..ground.wanted()
    };
    flows.create(wanted).await.unwrap();
    // It is at work.
    ground.append(0, &[draft("a", "0")]).await;
    until("an answer", async || !said(ground, 0).is_empty()).await;
    ground.add_partitions("in", 3).await;
    ground.append(1, &[draft("b", "1"), draft("c", "2")]).await;
    ground.append(2, &[draft("d", "3")]).await;
    // Answers to new partitions come to the one that there is.
    until("the answers", async || said(ground, 0).len() == 4).await;
    assert_eq!(said(ground, 0), ["0", "1", "2", "3"]);
}

/// A topic that is made anew has other records, however many partitions it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_made_anew_is_read_from_its_beginning() {
    let ground = Ground::local();
    ground.create_topic("in", 3, &[]).await;
    let flows = ground.flows(&Arc::default());
    let wanted = Wanted {
        start: Start::Latest,
        ..ground.wanted()
    };
    flows.create(wanted).await.unwrap();
    ground.append(0, &[draft("a", "1")]).await;
    through(&flows, "f").await;
    for (partitions, new) in [(1, ["2", "3"]), (3, ["4", "5"])] {
        ground.log().delete_topic("in").await.unwrap();
        ground.create_topic("in", partitions, &[]).await;
        // More than there were, so that none could be taken for one that was read.
        ground.append(0, &new.map(|text| draft("k", text))).await;
        until("the answers", async || {
            said(&ground, 0).last().map(String::as_str) == Some(new[1])
        })
        .await;
        until("a flow that runs", async || {
            let about = flows.describe("f").await.unwrap();
            about.state == State::Running && about.lag.len() == partitions as usize
        })
        .await;
    }
    assert_eq!(said(&ground, 0), ["1", "2", "3", "4", "5"]);
}

/// Answers have the times of their records: with the log's own retention those to old ones would go at once.
async fn answers_are_kept_as_long_as_their_records(ground: &Ground) {
    let week = "604800000";
    for (at, settings, kept) in [
        (0, vec![], week),
        (1, vec![("retention.ms", "3153600000000")], "3153600000000"),
        (2, vec![("retention.ms", "-1")], "-1"),
        (3, vec![("cleanup.policy", "compact")], "-1"),
        (4, vec![("cleanup.policy", "compact,delete")], week),
    ] {
        let name = |name: &str| format!("{name}-{at}");
        ground.create_topic(&name("in"), 1, &settings).await;
        let flows = ground.flows(&Arc::default());
        let wanted = Wanted {
            name: ground.name(&name("f")),
            from: ground.name(&name("in")),
            to: ground.name(&name("out")),
            paused: true,
            ..ground.wanted()
        };
        flows.create(wanted).await.unwrap();
        for topic in [name("out"), format!("{}.dead-letters", name("out"))] {
            assert_eq!(ground.retention(&topic).await, kept, "{topic}");
        }
    }
}

/// A topic that compacted is read from gap to gap, and answers to one that compacts have keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_compact_are_read_and_written() {
    let ground = Ground::compacting();
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "500"),
        ("segment.ms", "50"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    ground.create_topic("in", 1, &settings).await;
    for at in 0..100 {
        let one = draft(&format!("k{}", at % 4), &at.to_string());
        ground.append(0, &[one]).await;
    }
    let left = || ground.read("in", 0).len();
    until("compaction", async || left() == 4).await;
    ground.create_topic("out", 1, &settings[..1]).await;
    let flows = ground.flows(&Arc::default());
    flows.create(ground.wanted()).await.unwrap();
    let about = through(&flows, "f").await;
    assert_eq!((about.answers, about.missed, about.dead), (4, 0, 0));
    let answers = ground.read("out", 0);
    let said: Vec<Value> = answers
        .iter()
        .map(|answer| value(answer)["prediction"].clone())
        .collect();
    assert_eq!(said, ["96", "97", "98", "99"]);
    // A record without a key, from before the topic compacted.
    let log = ground.log();
    log.alter_config("in", &[("cleanup.policy", None)])
        .await
        .unwrap();
    let keyless = Draft {
        key: None,
        ..draft("", "100")
    };
    ground.append(0, &[keyless, draft("k0", "101")]).await;
    let about = through(&flows, "f").await;
    assert_eq!((about.answers, about.dead), (5, 1));
    let dead = ground.read("out.dead-letters", 0);
    assert_eq!(header(&dead[0], DEAD_CODE), "no_key");
}

/// Work that is ended at any moment, with the log closed and opened again, loses nothing and writes nothing twice.
async fn a_flow_that_is_stopped_anywhere_answers_once(ground: &Ground) {
    let echo = Arc::new(Echo::default());
    let mut made = false;
    let mut sent = BTreeMap::from([(0u32, 0usize), (1, 0)]);
    for cycle in 0..12 {
        if !made {
            ground.create_topic("in", 2, &[]).await;
        }
        let flows = ground.flows(&echo);
        if !made {
            flows.create(ground.wanted()).await.unwrap();
            made = true;
        }
        for (partition, sent) in &mut sent {
            let drafts: Vec<Draft> = (*sent..*sent + 300)
                .map(|at| draft("k", &format!("{partition} {at}")))
                .collect();
            ground.append(*partition, &drafts).await;
            *sent += 300;
        }
        // Another moment each time: when so many answers are there.
        let enough = cycle * 37;
        until("some answers", async || {
            let about = flows.describe(&ground.name("f")).await.unwrap();
            about.records >= enough
        })
        .await;
        drop(flows);
        ground.reopen().await;
    }
    let flows = ground.flows(&echo);
    through(&flows, &ground.name("f")).await;
    for (partition, sent) in sent {
        let answers = ground.read("out", partition);
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
        let external = External::default();
        let opened = Flows::open(log.clone(), external, path, Arc::new(Echo::default()));
        assert!(matches!(opened.err(), Some(Error::Stored { .. })), "{text}");
    }
}
