//! The traps of the protocol, one after the other, byte for byte where it matters.

mod common;

use bytes::Bytes;
use common::wire::{Batch, Client, fetch, produce};
use common::{Broker, options, wait_for};
use escala_stream_ingest::broker::Code;
use escala_stream_ingest::log::{Committed, Log};
use escala_stream_ingest::wire::messages::{
    api_versions, describe_acls, describe_groups, fetch as fetching, incremental_alter_configs,
    init_producer_id, join_group, leave_group, list_offsets, metadata, offset_commit, offset_fetch,
    offset_for_leader_epoch, produce as producing, sync_group,
};
use proptest::prelude::*;
use std::io::Write;
use std::time::{Duration, Instant};

const LONG: i32 = 30_000;

fn topic(broker: &Broker, name: &str, config: &[(&str, &str)]) {
    let made = broker
        .runtime
        .block_on(broker.log.create_topic(name, 1, config));
    made.expect("a topic");
}

fn end(log: &Log, topic: &str) -> i64 {
    log.describe(topic, 0).expect("a partition").high_watermark
}

/// The outcome of an append to partition 0.
fn append(client: &mut Client, topic: &str, batch: Vec<u8>) -> producing::PartitionProduceResponse {
    let answer: producing::Response = client.ask(9, &produce(topic, -1, batch));
    answer.responses[0].partition_responses[0].clone()
}

fn read(client: &mut Client, request: &fetching::Request) -> fetching::PartitionData {
    let answer: fetching::Response = client.ask(12, request);
    assert_eq!(answer.error_code, 0);
    answer.responses[0].partitions[0].clone()
}

#[test]
fn a_client_from_the_future_learns_which_versions_there_are() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    // ApiVersions 99, correlation id 5, and a body that nobody here understands.
    client.send_raw(&[0, 18, 0, 99, 0, 0, 0, 5, 0, 1, b'x', 7, 7, 7]);
    let (correlation, answer) = client.receive::<api_versions::Response>(0);
    assert_eq!(correlation, 5);
    assert_eq!(answer.error_code, Code::UnsupportedVersion.number());
    let keys = |answer: &api_versions::Response| {
        let keys = answer.api_keys.iter();
        keys.map(|one| (one.api_key, one.min_version, one.max_version))
            .collect::<Vec<_>>()
    };
    // It asks again on the same connection, in a version that is there.
    let request = api_versions::Request {
        client_software_name: "a-client".to_owned(),
        client_software_version: "1.0".to_owned(),
    };
    let known: api_versions::Response = client.ask(3, &request);
    assert_eq!(keys(&known), keys(&answer));
    // Produce is advertised from 0 (librdkafka does not compress otherwise), telemetry not at all.
    assert!(keys(&known).contains(&(0, 0, 12)));
    assert!(
        !keys(&known)
            .iter()
            .any(|(key, _, _)| [17, 36, 71, 72].contains(key))
    );
}

/// librdkafka before 2.2.0 reads tagged fields wrongly: the answer must end with their number, which is none.
#[test]
fn the_answer_to_api_versions_has_no_tagged_fields() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let request = api_versions::Request {
        client_software_name: "a".to_owned(),
        client_software_version: "1".to_owned(),
    };
    client.send(3, &request);
    let bytes = client.receive_raw().expect("an answer");
    // Correlation id, error, and then directly the compact array: no tags in the head.
    let count = usize::from(bytes[6]) - 1;
    assert_eq!(bytes.len(), 4 + 2 + 1 + count * 7 + 4 + 1);
    assert_eq!(bytes.last(), Some(&0));
}

#[test]
fn a_client_without_a_proper_name_is_refused() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let request = api_versions::Request {
        client_software_name: "-".to_owned(),
        client_software_version: "1".to_owned(),
    };
    let answer: api_versions::Response = client.ask(3, &request);
    assert_eq!(answer.error_code, Code::InvalidRequest.number());
}

#[test]
fn what_is_not_served_closes_the_connection() {
    let broker = Broker::start(options());
    for head in [
        [0, 0, 0, 2, 0, 0, 0, 1], // Produce 2: advertised, and of a format that nobody writes any more
        [0, 1, 0, 99, 0, 0, 0, 1], // Fetch of the future
        [0, 17, 0, 1, 0, 0, 0, 1], // SaslHandshake
        [3, 231, 0, 0, 0, 0, 0, 1],
    ] {
        let mut client = Client::connect(broker.address);
        let mut body = head.to_vec();
        body.extend([0xff; 2]);
        client.send_raw(&body);
        client.closed();
    }
}

#[test]
fn metadata_names_a_controller_and_makes_topics_where_it_may() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let mut request = metadata::Request {
        topics: Some(vec![metadata::MetadataRequestTopic {
            name: Some("new".to_owned()),
            ..metadata::MetadataRequestTopic::default()
        }]),
        allow_auto_topic_creation: false,
        ..metadata::Request::default()
    };
    let answer: metadata::Response = client.ask(12, &request);
    assert_eq!(answer.controller_id, 1);
    assert_eq!(answer.brokers[0].port, i32::from(broker.address.port()));
    assert_eq!(
        answer.topics[0].error_code,
        Code::UnknownTopicOrPartition.number()
    );
    request.allow_auto_topic_creation = true;
    let answer: metadata::Response = client.ask(12, &request);
    assert_eq!(answer.topics[0].error_code, 0);
    assert_eq!(answer.topics[0].partitions[0].leader_id, 1);
    // By its id, as newer clients ask.
    let id = answer.topics[0].topic_id;
    request.topics = Some(vec![metadata::MetadataRequestTopic {
        topic_id: id,
        name: None,
    }]);
    let answer: metadata::Response = client.ask(12, &request);
    assert_eq!(answer.topics[0].name.as_deref(), Some("new"));
    // The Java client sends an empty name beside the id.
    for name in [None, Some(String::new())] {
        for (topic_id, code, found) in [
            (id, Code::None, Some("new")),
            (uuid::Uuid::from_u128(7), Code::UnknownTopicId, None),
        ] {
            let name = name.clone();
            request.topics = Some(vec![metadata::MetadataRequestTopic { topic_id, name }]);
            let answer: metadata::Response = client.ask(12, &request);
            assert_eq!(answer.topics[0].error_code, code.number());
            assert_eq!(answer.topics[0].topic_id, topic_id);
            assert_eq!(answer.topics[0].name.as_deref(), found);
        }
    }
    // An empty list is all topics in version 0 and none after.
    request.topics = Some(Vec::new());
    assert_eq!(
        client
            .ask::<_, metadata::Response>(0, &request)
            .topics
            .len(),
        1
    );
    assert_eq!(
        client
            .ask::<_, metadata::Response>(1, &request)
            .topics
            .len(),
        0
    );
}

/// The answer to a held Fetch comes before that of the Produce behind it, whose record ends the wait.
#[test]
fn answers_come_in_the_order_of_requests_and_work_does_not_wait_for_them() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    let first = client.send(11, &fetch("t", 0, LONG));
    let second = client.send(9, &produce("t", -1, Batch::default().of(&[b"x"])));
    let third = client.send(1, &metadata::Request::default());
    let (correlation, answer) = client.receive::<fetching::Response>(11);
    assert_eq!(correlation, first);
    assert!(
        !answer.responses[0].partitions[0]
            .records
            .as_ref()
            .expect("records")
            .is_empty()
    );
    let (correlation, _) = client.receive::<producing::Response>(9);
    assert_eq!(correlation, second);
    assert_eq!(client.receive::<metadata::Response>(1).0, third);
}

#[test]
fn five_batches_in_flight_keep_their_order() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    for round in 0..20 {
        for i in 0..5 {
            let value = format!("{round}.{i}");
            client.send(
                9,
                &produce("t", -1, Batch::default().of(&[value.as_bytes()])),
            );
        }
        for i in 0..5 {
            let (_, answer) = client.receive::<producing::Response>(9);
            assert_eq!(
                answer.responses[0].partition_responses[0].base_offset,
                round * 5 + i
            );
        }
    }
}

#[test]
fn acks_zero_has_no_answer_and_its_errors_close_the_connection() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    client.send(9, &produce("t", 0, Batch::default().of(&[b"x"])));
    // The next answer is that to the next request.
    let _: metadata::Response = client.ask(1, &metadata::Request::default());
    wait_for("the record is there", || end(&broker.log, "t") == 1);
    client.send(9, &produce("missing", 0, Batch::default().of(&[b"x"])));
    client.closed();
    let mut client = Client::connect(broker.address);
    let answer: producing::Response = client.ask(9, &produce("t", 2, Batch::default().of(&[b"x"])));
    let outcome = &answer.responses[0].partition_responses[0];
    assert_eq!(outcome.error_code, Code::InvalidRequiredAcks.number());
}

#[test]
fn batches_are_kept_as_they_came() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    let mut batches = vec![Batch::default().of(&[b"a", b"b"])];
    // What kafka-python writes, one of them compressed (`golden/make_batches.py`).
    for line in include_str!("golden/batches.txt").lines() {
        let (name, _) = line.split_once(' ').expect("words");
        let (_, hex) = line.rsplit_once(' ').expect("words");
        if ["several", "nulls", "gzip"].contains(&name) {
            let bytes = (0..hex.len() / 2).map(|i| &hex[2 * i..2 * i + 2]);
            let bytes = bytes.map(|byte| u8::from_str_radix(byte, 16).expect("a byte"));
            batches.push(bytes.collect());
        }
    }
    assert_eq!(batches.len(), 4);
    let mut offset = 0_i64;
    let mut offsets = Vec::new();
    for batch in &batches {
        let appended = append(&mut client, "t", batch.clone());
        assert_eq!((appended.error_code, appended.base_offset), (0, offset));
        offsets.push(offset);
        let count = batch[57..61].try_into().expect("four bytes");
        offset += i64::from(i32::from_be_bytes(count));
    }
    let mut records = read(&mut client, &fetch("t", 0, 0))
        .records
        .expect("records");
    for (batch, offset) in batches.iter().zip(offsets) {
        let kept = records.split_to(batch.len());
        assert_eq!(kept[..8], offset.to_be_bytes());
        assert_eq!(kept[8..12], batch[8..12]);
        // The leader epoch is the log's; the sum and what it sums are the producer's.
        assert_eq!(kept[16..], batch[16..]);
    }
    assert!(records.is_empty());
}

#[test]
fn batches_that_are_none_are_refused_with_kafkas_numbers() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[("max.message.bytes", "1000")]);
    let mut client = Client::connect(broker.address);
    let good = || Batch::default().of(&[b"x"]);
    let with = |change: fn(&mut Vec<u8>)| {
        let mut batch = good();
        change(&mut batch);
        batch
    };
    let summed = |change: fn(&mut Vec<u8>)| {
        let mut batch = with(change);
        let sum = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&sum.to_be_bytes());
        batch
    };
    let unpacked = Batch {
        attributes: 1,
        ..Batch::default()
    };
    let refused = append(&mut client, "t", unpacked.of(&[b"not really gzip"]));
    assert_eq!(refused.error_code, Code::InvalidRecord.number());
    let future = Batch {
        timestamp: broker.log.now() + 2 * 3_600_000,
        ..Batch::default()
    };
    let refused = append(&mut client, "t", future.of(&[b"x", b"y"]));
    assert_eq!(refused.error_code, Code::InvalidTimestamp.number());
    let records = refused.record_errors.iter().map(|one| one.batch_index);
    assert_eq!(records.collect::<Vec<_>>(), [0, 1]);
    let compact = [("cleanup.policy", "compact")];
    let made = broker.log.create_topic("compact", 1, &compact);
    broker.runtime.block_on(made).expect("a topic");
    let keyless = append(&mut client, "compact", good());
    assert_eq!(keyless.error_code, Code::InvalidRecord.number());
    let words = keyless.error_message.expect("words");
    assert!(words.contains("must have a key"), "{words}");
    let records = keyless.record_errors.iter().map(|one| one.batch_index);
    assert_eq!(records.collect::<Vec<_>>(), [0]);
    let cases: [(&str, Vec<u8>, Code); 10] = [
        ("sum", with(|batch| batch[40] ^= 1), Code::CorruptMessage),
        (
            "short",
            with(|batch| batch.truncate(30)),
            Code::CorruptMessage,
        ),
        (
            "cut",
            with(|batch| batch.truncate(batch.len() - 1)),
            Code::CorruptMessage,
        ),
        ("none", Vec::new(), Code::InvalidRecord),
        ("two", [good(), good()].concat(), Code::InvalidRecord),
        (
            "format",
            Batch {
                magic: 1,
                ..Batch::default()
            }
            .of(&[b"x"]),
            Code::UnsupportedForMessageFormat,
        ),
        ("count", summed(|batch| batch[60] = 9), Code::InvalidRecord),
        (
            "control",
            Batch {
                attributes: 32,
                ..Batch::default()
            }
            .of(&[b"x"]),
            Code::InvalidRecord,
        ),
        (
            "transaction",
            Batch {
                attributes: 16,
                ..Batch::default()
            }
            .of(&[b"x"]),
            Code::InvalidRecord,
        ),
        (
            "large",
            Batch::default().of(&[&[b'x'; 2000]]),
            Code::MessageTooLarge,
        ),
    ];
    for (what, batch, code) in cases {
        let outcome = append(&mut client, "t", batch);
        assert_eq!(outcome.error_code, code.number(), "{what}: {outcome:?}");
        assert_eq!(outcome.base_offset, -1);
    }
    assert_eq!(end(&broker.log, "t"), 0);
    assert_eq!(
        append(&mut client, "missing", good()).error_code,
        Code::UnknownTopicOrPartition.number()
    );
}

#[test]
fn an_idempotent_producer_is_answered_as_kafka_answers() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    let nameless = init_producer_id::Request {
        transactional_id: None,
        ..init_producer_id::Request::default()
    };
    let given: init_producer_id::Response = client.ask(4, &nameless);
    assert_eq!((given.error_code, given.producer_epoch), (0, 0));
    let batch = |epoch, sequence| {
        let producer = given.producer_id;
        Batch {
            producer,
            epoch,
            sequence,
            ..Batch::default()
        }
        .of(&[b"x"])
    };
    let mut outcome = |epoch, sequence| {
        let outcome = append(&mut client, "t", batch(epoch, sequence));
        (outcome.error_code, outcome.base_offset)
    };
    for sequence in 0..7 {
        assert_eq!(outcome(0, sequence), (0, i64::from(sequence)));
    }
    // Sent again: the offset of the first time, for the last five.
    for sequence in 2..7 {
        assert_eq!(outcome(0, sequence), (0, i64::from(sequence)));
    }
    let gap = (Code::OutOfOrderSequenceNumber.number(), -1);
    assert_eq!(outcome(0, 1), gap, "older than the five");
    assert_eq!(outcome(0, 8), gap);
    // A new epoch begins at 0, and then the old one is over.
    assert_eq!(outcome(1, 3), gap);
    assert_eq!(outcome(1, 0), (0, 7));
    assert_eq!(outcome(0, 7), (Code::InvalidProducerEpoch.number(), -1));
    assert_eq!(end(&broker.log, "t"), 8);
}

#[test]
fn the_times_of_a_topic_are_the_producers_or_the_logs() {
    let broker = Broker::start(options());
    topic(&broker, "theirs", &[]);
    topic(
        &broker,
        "ours",
        &[("message.timestamp.type", "LogAppendTime")],
    );
    let mut client = Client::connect(broker.address);
    let sent = Batch::default().of(&[b"x"]);
    assert_eq!(
        append(&mut client, "theirs", sent.clone()).log_append_time_ms,
        -1
    );
    let when = append(&mut client, "ours", sent.clone()).log_append_time_ms;
    assert!(when > Batch::default().timestamp);
    let kept = read(&mut client, &fetch("ours", 0, 0))
        .records
        .expect("records");
    assert_eq!(kept[22] & 8, 8);
    assert_eq!(kept[35..43], when.to_be_bytes());
    assert_eq!(kept[17..21], crc32c::crc32c(&kept[21..]).to_be_bytes());
}

#[test]
fn a_fetch_gives_one_batch_whatever_its_limits() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    let large = Batch::default().of(&[&[b'x'; 100_000]]);
    for _ in 0..3 {
        append(&mut client, "t", large.clone());
    }
    let mut request = fetch("t", 0, 0);
    request.max_bytes = 1;
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let one = read(&mut client, &request);
    assert_eq!(one.records.expect("records").len(), large.len());
    request.max_bytes = 250_000;
    request.topics[0].partitions[0].partition_max_bytes = 250_000;
    let two = read(&mut client, &request);
    assert_eq!(two.records.expect("records").len(), 2 * large.len());
}

/// Only the first partition with records may exceed the limit.
#[test]
fn further_partitions_keep_to_the_limit() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let batch = Batch::default().of(&[&[b'x'; 10_000]]);
    let mut request = fetch("a", 0, 0);
    request.topics.push(fetch("b", 0, 0).topics.remove(0));
    for name in ["a", "b"] {
        topic(&broker, name, &[]);
        append(&mut client, name, batch.clone());
    }
    request.max_bytes = 1000;
    let answer: fetching::Response = client.ask(12, &request);
    let bytes = |at: usize| {
        answer.responses[at].partitions[0]
            .records
            .as_ref()
            .map(Bytes::len)
    };
    assert_eq!((bytes(0), bytes(1)), (Some(batch.len()), Some(0)));
    assert_eq!(answer.responses[1].partitions[0].high_watermark, 1);
}

#[test]
fn a_fetch_waits_for_records_and_no_longer_than_it_may() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    let start = Instant::now();
    let nothing = read(&mut client, &fetch("t", 0, 200));
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(nothing.records.as_deref(), Some(&[][..]));
    // Wakes up for as many bytes as it wants, not for fewer.
    let batch = Batch::default().of(&[b"x"]);
    let mut request = fetch("t", 0, LONG);
    request.min_bytes = 2 * batch.len() as i32;
    client.send(12, &request);
    let mut other = Client::connect(broker.address);
    append(&mut other, "t", batch.clone());
    assert!(client.is_silent(Duration::from_millis(200)));
    append(&mut other, "t", batch.clone());
    let (_, answer) = client.receive::<fetching::Response>(12);
    let records = answer.responses[0].partitions[0]
        .records
        .as_ref()
        .map(Bytes::len);
    assert_eq!(records, Some(2 * batch.len()));
}

#[test]
fn what_cannot_be_fetched_is_said_at_once() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    let code = |client: &mut Client, request: &fetching::Request| read(client, request).error_code;
    assert_eq!(
        code(&mut client, &fetch("t", 1, LONG)),
        Code::OffsetOutOfRange.number()
    );
    assert_eq!(
        code(&mut client, &fetch("t", -1, LONG)),
        Code::OffsetOutOfRange.number()
    );
    let missing = Code::UnknownTopicOrPartition.number();
    assert_eq!(code(&mut client, &fetch("missing", 0, LONG)), missing);
    let mut request = fetch("t", 0, LONG);
    request.topics[0].partitions[0].partition = 7;
    assert_eq!(code(&mut client, &request), missing);
    request.topics[0].partitions[0].partition = -1;
    assert_eq!(code(&mut client, &request), missing);
    let mut request = fetch("t", 0, LONG);
    request.topics[0].partitions[0].current_leader_epoch = 1000;
    assert_eq!(
        code(&mut client, &request),
        Code::UnknownLeaderEpoch.number()
    );
}

#[test]
fn in_a_session_only_what_is_new_is_said_and_answered() {
    let broker = Broker::start(options());
    for name in ["a", "b"] {
        topic(&broker, name, &[]);
    }
    let mut client = Client::connect(broker.address);
    append(&mut client, "a", Batch::default().of(&[b"x"]));
    let mut request = fetch("a", 0, 0);
    request.topics.push(fetch("b", 0, 0).topics[0].clone());
    request.session_epoch = 0;
    let ask = |client: &mut Client, request: &fetching::Request| {
        let answer: fetching::Response = client.ask(12, request);
        let topics = answer.responses.iter();
        let topics: Vec<String> = topics.map(|one| one.topic.clone()).collect();
        (answer.error_code, answer.session_id, topics)
    };
    let (error, session, topics) = ask(&mut client, &request);
    assert_eq!((error, topics), (0, vec!["a".to_owned(), "b".to_owned()]));
    assert!(session > 0);
    // Only where it goes on is said, and nothing is new.
    request = fetch("a", 1, 0);
    (request.session_id, request.session_epoch) = (session, 1);
    assert_eq!(ask(&mut client, &request), (0, session, vec![]));
    append(&mut client, "b", Batch::default().of(&[b"x"]));
    request.topics.clear();
    request.session_epoch = 2;
    let news = (0, session, vec!["b".to_owned()]);
    assert_eq!(ask(&mut client, &request), news);
    // What lost count or was never begun.
    let epoch = Code::InvalidFetchSessionEpoch.number();
    assert_eq!(ask(&mut client, &request), (epoch, 0, vec![]));
    let gone = Code::FetchSessionIdNotFound.number();
    request.session_id = session.wrapping_add(1).max(1);
    request.session_epoch = 3;
    assert_eq!(ask(&mut client, &request), (gone, 0, vec![]));
    // A request that waits is answered when something comes.
    request = fetch("a", 1, LONG);
    (request.session_id, request.session_epoch) = (session, 3);
    request.topics.clear();
    request.topics.push(fetch("b", 1, 0).topics[0].clone());
    client.send(12, &request);
    let mut other = Client::connect(broker.address);
    append(&mut other, "b", Batch::default().of(&[b"y"]));
    let (_, answer) = client.receive::<fetching::Response>(12);
    assert_eq!(answer.responses[0].topic, "b");
    assert_eq!(answer.responses.len(), 1);
    // It ends, and older versions know nothing of it.
    (request.session_id, request.session_epoch) = (session, -1);
    request.max_wait_ms = 0;
    assert_eq!(ask(&mut client, &request).1, 0);
    let answer: fetching::Response = client.ask(4, &fetch("a", 0, 0));
    assert_eq!((answer.error_code, answer.responses.len()), (0, 1));
}

/// librdkafka reads committed records unless told otherwise.
#[test]
fn committed_reads_have_a_list_of_aborted_transactions() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    append(&mut client, "t", Batch::default().of(&[b"x"]));
    let mut request = fetch("t", 0, 0);
    assert_eq!(read(&mut client, &request).aborted_transactions, None);
    request.isolation_level = 1;
    let committed = read(&mut client, &request);
    assert_eq!(committed.aborted_transactions, Some(Vec::new()));
    assert_eq!(
        (committed.last_stable_offset, committed.high_watermark),
        (1, 1)
    );
}

#[test]
fn offsets_are_listed_and_epochs_end() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    for i in 0..3 {
        let timestamp = 1000 * (i + 1);
        append(
            &mut client,
            "t",
            Batch {
                timestamp,
                ..Batch::default()
            }
            .of(&[b"x", b"y"]),
        );
    }
    let mut list = |timestamp: i64| {
        let request = list_offsets::Request {
            topics: vec![list_offsets::ListOffsetsTopic {
                name: "t".to_owned(),
                partitions: vec![list_offsets::ListOffsetsPartition {
                    timestamp,
                    ..list_offsets::ListOffsetsPartition::default()
                }],
            }],
            ..list_offsets::Request::default()
        };
        let answer: list_offsets::Response = client.ask(7, &request);
        let one = answer.topics[0].partitions[0].clone();
        (one.error_code, one.offset, one.timestamp)
    };
    assert_eq!(list(-1), (0, 6, -1));
    assert_eq!(list(-2), (0, 0, -1));
    assert_eq!(list(-3), (0, 4, 3000));
    assert_eq!(list(1500), (0, 2, 2000));
    assert_eq!(list(9000), (0, -1, -1));
    assert_eq!(list(-9).0, Code::InvalidRequest.number());
    let epoch = broker
        .log
        .describe("t", 0)
        .expect("a partition")
        .leader_epoch;
    let request = offset_for_leader_epoch::Request {
        topics: vec![offset_for_leader_epoch::OffsetForLeaderTopic {
            topic: "t".to_owned(),
            partitions: vec![offset_for_leader_epoch::OffsetForLeaderPartition {
                leader_epoch: epoch,
                ..offset_for_leader_epoch::OffsetForLeaderPartition::default()
            }],
        }],
        ..offset_for_leader_epoch::Request::default()
    };
    let answer: offset_for_leader_epoch::Response = client.ask(4, &request);
    let ended = &answer.topics[0].partitions[0];
    assert_eq!(
        (ended.error_code, ended.leader_epoch, ended.end_offset),
        (0, epoch, 6)
    );
}

fn join(version: i16, member: &str) -> (i16, join_group::Request) {
    let request = join_group::Request {
        group_id: "g".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![join_group::JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: Bytes::from_static(b"metadata"),
        }],
        ..join_group::Request::default()
    };
    (version, request)
}

/// From version 4 on a member comes twice: the id that it is given survives a lost answer.
#[test]
fn a_member_is_given_an_id_before_it_joins() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let (version, request) = join(5, "");
    let refused: join_group::Response = client.ask(version, &request);
    assert_eq!(refused.error_code, Code::MemberIdRequired.number());
    assert!(
        refused.member_id.starts_with("test-"),
        "{}",
        refused.member_id
    );
    let (version, request) = join(5, &refused.member_id);
    let joined: join_group::Response = client.ask(version, &request);
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!(
        (&joined.leader, &joined.member_id),
        (&refused.member_id, &refused.member_id)
    );
    assert_eq!(joined.members.len(), 1);
    // Offsets are kept for the generation that is, and not for one that was.
    topic(&broker, "t", &[]);
    let assign = sync_group::Request {
        group_id: "g".to_owned(),
        generation_id: 1,
        member_id: joined.member_id.clone(),
        ..sync_group::Request::default()
    };
    let synced: sync_group::Response = client.ask(3, &assign);
    assert_eq!(synced.error_code, 0);
    let mut commit = |generation, member: &str, offset| {
        let request = offset_commit::Request {
            group_id: "g".to_owned(),
            generation_id_or_member_epoch: generation,
            member_id: member.to_owned(),
            topics: vec![offset_commit::OffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![offset_commit::OffsetCommitRequestPartition {
                    committed_offset: offset,
                    ..offset_commit::OffsetCommitRequestPartition::default()
                }],
                ..offset_commit::OffsetCommitRequestTopic::default()
            }],
            ..offset_commit::Request::default()
        };
        let answer: offset_commit::Response = client.ask(8, &request);
        answer.topics[0].partitions[0].error_code
    };
    assert_eq!(commit(1, &joined.member_id, 5), 0);
    assert_eq!(
        commit(0, &joined.member_id, 6),
        Code::IllegalGeneration.number()
    );
    assert_eq!(commit(1, "somebody", 6), Code::UnknownMemberId.number());
    assert_eq!(commit(-1, "", 6), Code::UnknownMemberId.number());
    let wanted = offset_fetch::Request {
        groups: vec![offset_fetch::OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            topics: None,
            ..offset_fetch::OffsetFetchRequestGroup::default()
        }],
        require_stable: true,
        ..offset_fetch::Request::default()
    };
    let kept: offset_fetch::Response = client.ask(8, &wanted);
    assert_eq!(kept.groups[0].topics[0].partitions[0].committed_offset, 5);
}

/// On a full disk a commit is refused with what consumers try again; the number of a failed disk would end them.
#[test]
fn commits_on_a_full_disk_may_be_tried_again() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let commit = |broker: &Broker| {
        let request = offset_commit::Request {
            group_id: "g".to_owned(),
            generation_id_or_member_epoch: -1,
            topics: vec![offset_commit::OffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![offset_commit::OffsetCommitRequestPartition {
                    committed_offset: 5,
                    ..offset_commit::OffsetCommitRequestPartition::default()
                }],
                ..offset_commit::OffsetCommitRequestTopic::default()
            }],
            ..offset_commit::Request::default()
        };
        let answer: offset_commit::Response = Client::connect(broker.address).ask(8, &request);
        answer.topics[0].partitions[0].error_code
    };
    assert_eq!(commit(&broker), 0);
    let full = broker.restart_full(options());
    let mut client = Client::connect(full.address);
    let refused = append(&mut client, "t", Batch::default().of(&[b"x"]));
    assert_eq!(refused.error_code, Code::KafkaStorageError.number());
    assert_eq!(commit(&full), Code::CoordinatorNotAvailable.number());
}

/// Offsets go when nobody is in their group and nobody commits them for the retention; what a group with members has and
/// what a flow has stays.
#[test]
fn offsets_expire_where_nobody_comes_back() {
    const HOUR: i64 = 3_600_000;
    let mut options = options();
    options.groups.offsets_retention = Duration::from_secs(3600);
    options.groups.offsets_check = Duration::from_millis(10);
    let broker = Broker::start(options);
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    let (version, request) = join(3, "");
    let joined: join_group::Response = client.ask(version, &request);
    assert_eq!(joined.error_code, 0);
    let log = &broker.log;
    let commit = |group: &str, partition: u32| {
        let offset = Committed::at(1);
        let offsets = [(("t".to_owned(), partition), offset)].into();
        let kept = log.commit_offsets(group, offsets, || true);
        broker.runtime.block_on(kept).expect("offsets are kept");
    };
    for group in ["g", "flow-f", "left", "lagging"] {
        commit(group, 0);
    }
    log.keep_group("flow-f");
    broker.pass(HOUR / 2);
    // Of its offsets one is younger.
    commit("lagging", 1);
    broker.pass(HOUR / 2 + 1000);
    wait_for("an offset has expired", || {
        !log.groups().contains(&"left".to_owned())
    });
    wait_for("and another", || {
        let left = broker.runtime.block_on(log.offsets("lagging"));
        left.expect("offsets").into_keys().eq([("t".to_owned(), 1)])
    });
    assert_eq!(log.groups(), ["flow-f", "g", "lagging"]);
    // The member leaves: its group's time begins.
    let leave = leave_group::Request {
        group_id: "g".to_owned(),
        member_id: joined.member_id,
        ..leave_group::Request::default()
    };
    let gone: leave_group::Response = client.ask(1, &leave);
    assert_eq!(gone.error_code, 0);
    log.release_group("flow-f");
    wait_for("what a flow had has expired", || {
        log.groups() == ["g", "lagging"]
    });
    broker.pass(HOUR + 1000);
    wait_for("what the group had has expired", || log.groups().is_empty());
}

/// A group with members keeps what they read, and what else was committed for it for the retention (KIP-211).
#[test]
fn offsets_of_topics_that_no_member_reads_expire() {
    let mut options = options();
    options.groups.offsets_retention = Duration::from_secs(3600);
    options.groups.offsets_check = Duration::from_millis(10);
    let broker = Broker::start(options);
    let mut client = Client::connect(broker.address);
    for name in ["read", "unread"] {
        topic(&broker, name, &[]);
        let offsets = [((name.to_owned(), 0), Committed::at(1))].into();
        let kept = broker.log.commit_offsets("g", offsets, || true);
        broker.runtime.block_on(kept).expect("offsets are kept");
    }
    let (version, mut request) = join(3, "");
    // A subscription of version 0: its version, topics, nothing else said.
    let mut subscription = vec![0, 0, 0, 0, 0, 1, 0, 4];
    subscription.extend(b"read");
    subscription.extend((-1_i32).to_be_bytes());
    request.protocols[0].metadata = Bytes::from(subscription);
    let joined: join_group::Response = client.ask(version, &request);
    let settle = sync_group::Request {
        group_id: "g".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        ..sync_group::Request::default()
    };
    let synced: sync_group::Response = client.ask(3, &settle);
    assert_eq!((joined.error_code, synced.error_code), (0, 0));
    broker.pass(3_600_000 + 1000);
    wait_for("what nobody reads has expired", || {
        let left = broker.runtime.block_on(broker.log.offsets("g"));
        left.expect("offsets")
            .into_keys()
            .eq([("read".to_owned(), 0)])
    });
}

/// A group's time begins when its last member goes, whether or not anybody looked while it had one.
#[test]
fn offsets_of_a_group_that_was_there_between_two_looks_stay() {
    const HOUR: i64 = 3_600_000;
    let mut options = options();
    options.groups.offsets_retention = Duration::from_secs(3600);
    options.groups.offsets_check = Duration::from_secs(2);
    let broker = Broker::start(options);
    topic(&broker, "t", &[]);
    let log = &broker.log;
    for group in ["g", "left"] {
        let offsets = [(("t".to_owned(), 0), Committed::at(1))].into();
        let kept = log.commit_offsets(group, offsets, || true);
        broker.runtime.block_on(kept).expect("offsets are kept");
    }
    let mut client = Client::connect(broker.address);
    let (version, request) = join(3, "");
    let joined: join_group::Response = client.ask(version, &request);
    broker.pass(HOUR + 1000);
    let leave = leave_group::Request {
        group_id: "g".to_owned(),
        member_id: joined.member_id,
        ..leave_group::Request::default()
    };
    let gone: leave_group::Response = client.ask(1, &leave);
    assert_eq!((joined.error_code, gone.error_code), (0, 0));
    wait_for("what nobody came back for has expired", || {
        !log.has_group("left")
    });
    assert!(log.has_group("g"));
    broker.pass(HOUR + 1000);
    wait_for("the group's time is over", || !log.has_group("g"));
}

/// A setting that a request names twice could mean either; clients that look for themselves do not even send it.
#[test]
fn a_setting_is_changed_once_in_a_request() {
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    let one = |value: &str| incremental_alter_configs::AlterableConfig {
        name: "retention.ms".to_owned(),
        value: Some(value.to_owned()),
        ..incremental_alter_configs::AlterableConfig::default()
    };
    let mut alter = |configs: Vec<_>| {
        let request = incremental_alter_configs::Request {
            resources: vec![incremental_alter_configs::AlterConfigsResource {
                resource_type: 2,
                resource_name: "t".to_owned(),
                configs,
            }],
            ..incremental_alter_configs::Request::default()
        };
        let answer: incremental_alter_configs::Response = client.ask(1, &request);
        answer.responses[0].error_code
    };
    assert_eq!(
        alter(vec![one("1000"), one("2000")]),
        Code::InvalidRequest.number()
    );
    let set = || broker.log.topic("t").expect("a topic").config.retention;
    assert_eq!(set(), Some(Duration::from_secs(7 * 24 * 3600)));
    assert_eq!(alter(vec![one("2000")]), 0);
    assert_eq!(set(), Some(Duration::from_secs(2)));
}

/// All of them are served at the same time, and one more is told nothing and closed.
#[test]
#[cfg(unix)]
fn a_thousand_connections_are_served() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    const MOST: usize = 1000;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("more files");
    // Both ends are in this process.
    if limit
        .maximum
        .is_some_and(|most| most < 2 * MOST as u64 + 500)
    {
        eprintln!("warning: too few files may be open here to try a thousand connections");
        return;
    }
    let broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut clients: Vec<Client> = (0..MOST).map(|_| Client::connect(broker.address)).collect();
    // All are served: each has had an answer.
    for client in &mut clients {
        let _: metadata::Response = client.ask(1, &metadata::Request::default());
    }
    let batch = Batch::default().of(&[b"x"]);
    for client in &mut clients {
        client.send(9, &produce("t", -1, batch.clone()));
    }
    let mut offsets: Vec<i64> = clients
        .iter_mut()
        .map(|client| {
            let (_, answer) = client.receive::<producing::Response>(9);
            let one = &answer.responses[0].partition_responses[0];
            assert_eq!(one.error_code, 0);
            one.base_offset
        })
        .collect();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..MOST as i64).collect::<Vec<_>>());
    Client::connect(broker.address).closed();
    // All wait for the next record, and have it.
    for client in &mut clients {
        client.send(12, &fetch("t", MOST as i64, LONG));
    }
    let leaving = clients.pop().expect("a client");
    leaving
        .stream
        .shutdown(std::net::Shutdown::Both)
        .expect("it is closed");
    let mut writer = None;
    wait_for("there is a place", || {
        let mut client = Client::connect(broker.address);
        let open = client.is_silent(Duration::from_millis(100));
        writer = open.then_some(client);
        open
    });
    let mut writer = writer.expect("a client");
    assert_eq!(
        append(&mut writer, "t", Batch::default().of(&[b"y"])).error_code,
        0
    );
    for client in &mut clients {
        let (_, answer) = client.receive::<fetching::Response>(12);
        let records = answer.responses[0].partitions[0].records.clone();
        assert!(records.is_some_and(|records| records.ends_with(b"y\0")));
    }
}

/// Version 0 has no rebalance timeout, no ids that are given first, and no names in its errors.
#[test]
fn the_oldest_members_join_at_once() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let (version, request) = join(0, "");
    let joined: join_group::Response = client.ask(version, &request);
    assert_eq!(joined.error_code, 0);
    let (version, mut request) = join(0, "");
    request.protocol_type = "connect".to_owned();
    let refused: join_group::Response = client.ask(version, &request);
    assert_eq!(refused.error_code, Code::InconsistentGroupProtocol.number());
    let (version, mut request) = join(0, "");
    request.session_timeout_ms = 1;
    let refused: join_group::Response = client.ask(version, &request);
    assert_eq!(refused.error_code, Code::InvalidSessionTimeout.number());
}

/// Newer clients are told of a group that nobody knows by an error, older ones by its state.
#[test]
fn a_group_that_is_not_known_is_described_as_kafka_does() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let request = describe_groups::Request {
        groups: vec!["nobody's".to_owned()],
        ..describe_groups::Request::default()
    };
    for (version, code) in [(5, Code::None), (6, Code::GroupIdNotFound)] {
        let answer: describe_groups::Response = client.ask(version, &request);
        assert_eq!(answer.groups[0].error_code, code.number(), "{version}");
        assert_eq!(answer.groups[0].group_state, "Dead");
    }
}

#[test]
fn access_rules_are_refused() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let answer: describe_acls::Response = client.ask(3, &describe_acls::Request::default());
    assert_eq!(answer.error_code, Code::SecurityDisabled.number());
}

#[test]
fn frames_have_limits() {
    let mut options = options();
    options.limits.request_bytes = 1000;
    options.limits.produce_bytes = 10_000;
    let broker = Broker::start(options);
    topic(&broker, "t", &[]);
    // What only announces much is cut off at once.
    for (announced, key) in [(1001, 3), (i32::MAX, 3), (-1, 3), (7, 3), (10_001, 0)] {
        let mut client = Client::connect(broker.address);
        let mut head = i32::to_be_bytes(announced).to_vec();
        head.extend([0, key, 0, 9, 0, 0, 0, 1]);
        client.stream.write_all(&head).expect("the broker reads");
        client.closed();
    }
    let mut client = Client::connect(broker.address);
    let batch = Batch::default().of(&[&[b'x'; 5000]]);
    assert_eq!(append(&mut client, "t", batch).error_code, 0);
}

#[test]
fn whoever_is_idle_or_slow_is_cut_off() {
    let mut options = options();
    options.limits.idle = Duration::from_millis(200);
    options.limits.request_time = Duration::from_millis(200);
    let broker = Broker::start(options);
    topic(&broker, "t", &[]);
    Client::connect(broker.address).closed();
    let mut slow = Client::connect(broker.address);
    slow.stream
        .write_all(&[0, 0, 0, 50, 0, 3])
        .expect("the broker reads");
    slow.closed();
    // Whoever waits for an answer is not idle.
    let mut waiting = Client::connect(broker.address);
    let nothing = read(&mut waiting, &fetch("t", 0, 700));
    assert_eq!(nothing.error_code, 0);
}

/// A client that takes nothing is cut off, and what it did not take is free for others.
#[test]
fn answers_that_nobody_takes_are_given_up() {
    let mut options = options();
    options.limits.answer_time = Duration::from_millis(300);
    options.limits.answers_bytes = 3 << 20;
    let broker = Broker::start(options);
    topic(&broker, "t", &[]);
    let mut client = Client::connect(broker.address);
    for _ in 0..20 {
        append(&mut client, "t", Batch::default().of(&[&[b'x'; 1_000_000]]));
    }
    let mut request = fetch("t", 0, LONG);
    request.topics[0].partitions[0].partition_max_bytes = 50 << 20;
    let mut greedy: Vec<Client> = (0..8).map(|_| Client::connect(broker.address)).collect();
    for client in &mut greedy {
        for _ in 0..10 {
            client.send(12, &request);
        }
    }
    // It gets its answer when they are cut off.
    let answered = read(&mut client, &request).records.expect("records").len();
    assert!((1_000_000..=3 << 20).contains(&answered), "{answered}");
}

/// Where others hold all that there is for answers, a fetch is answered in its time all the same, with nothing.
#[test]
fn a_fetch_waits_for_others_no_longer_than_it_may() {
    let mut options = options();
    options.limits.answers_bytes = 3 << 20;
    let broker = Broker::start(options);
    topic(&broker, "t", &[("retention.ms", "-1")]);
    let mut client = Client::connect(broker.address);
    for _ in 0..20 {
        append(&mut client, "t", Batch::default().of(&[&[b'x'; 1_000_000]]));
    }
    let mut request = fetch("t", 0, LONG);
    request.topics[0].partitions[0].partition_max_bytes = 50 << 20;
    let mut greedy = Client::connect(broker.address);
    for _ in 0..30 {
        greedy.send(12, &request);
    }
    wait_for("an answer is empty", || {
        let waiting = Instant::now();
        let data = read(&mut client, &fetch("t", 0, 100));
        assert_eq!((data.error_code, data.high_watermark), (0, 20));
        assert!(waiting.elapsed() < Duration::from_secs(20));
        data.records.expect("records").is_empty()
    });
}

/// Requests that are announced, and come in part or not at all, leave room for others.
#[test]
fn what_does_not_come_takes_no_room() {
    let mut options = options();
    options.limits.request_bytes = 1 << 20;
    options.limits.produce_bytes = 4 << 20;
    options.limits.requests_bytes = 4 << 20;
    let broker = Broker::start(options);
    topic(&broker, "t", &[]);
    let mut stalled: Vec<Client> = (0..20).map(|_| Client::connect(broker.address)).collect();
    for (at, client) in stalled.iter_mut().enumerate() {
        let (announced, key) = if at % 2 == 0 {
            (4 << 20, 0)
        } else {
            (1 << 20, 3)
        };
        let mut head = i32::to_be_bytes(announced).to_vec();
        head.extend([0, key, 0, 9, 0, 0, 0, 1]);
        client.stream.write_all(&head).expect("the broker reads");
    }
    // They are attended to before those that come later.
    let mut last = Client::connect(broker.address);
    for _ in 0..3 {
        let batch = Batch::default().of(&[&[b'x'; 1_000_000]]);
        assert_eq!(append(&mut last, "t", batch).error_code, 0);
    }
}

/// Large requests that come a piece at a time, all at once, are more than there is room for: each is taken in its turn.
#[test]
fn requests_that_have_a_part_of_the_room_do_not_wait_for_each_other() {
    const EACH: usize = 1_000_000;
    let mut options = options();
    options.limits.produce_bytes = 2 << 20;
    options.limits.requests_bytes = 2 << 20;
    let broker = Broker::start(options);
    topic(&broker, "t", &[]);
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let mut client = Client::connect(broker.address);
            std::thread::spawn(move || {
                let batch = Batch::default().of(&[&[b'x'; EACH]]);
                (0..4).all(|_| append(&mut client, "t", batch.clone()).error_code == 0)
            })
        })
        .collect();
    assert!(
        senders
            .into_iter()
            .all(|sender| sender.join().expect("an end"))
    );
    assert_eq!(end(&broker.log, "t"), 32);
}

#[test]
fn there_is_a_limit_to_connections() {
    let mut options = options();
    options.limits.connections = 2;
    let broker = Broker::start(options);
    let mut first = Client::connect(broker.address);
    let mut second = Client::connect(broker.address);
    for client in [&mut first, &mut second] {
        let _: metadata::Response = client.ask(1, &metadata::Request::default());
    }
    Client::connect(broker.address).closed();
    drop(first);
    wait_for("a place is free", || {
        let mut client = Client::connect(broker.address);
        client.send(1, &metadata::Request::default());
        client.receive_raw().is_ok()
    });
}

#[test]
fn what_is_due_is_answered_before_the_broker_stops() {
    let mut broker = Broker::start(options());
    topic(&broker, "t", &[]);
    let mut waiting = Client::connect(broker.address);
    let sent = waiting.send(12, &fetch("t", 0, LONG));
    // Once this is answered, the fetch before it has been read too.
    let mut member = Client::connect(broker.address);
    let (version, request) = join(5, "");
    let _: join_group::Response = member.ask(version, &request);
    let start = Instant::now();
    broker.begin_stop();
    let (correlation, answer) = waiting.receive::<fetching::Response>(12);
    assert_eq!((correlation, answer.error_code), (sent, 0));
    broker.stopped();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    waiting.closed();
}

/// Whatever comes, the broker goes on.
#[test]
fn hostile_frames_only_cost_their_connection() {
    let broker = Broker::start(options());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    let frame = (
        proptest::sample::select((0i16..75).collect::<Vec<_>>()),
        0i16..14,
        proptest::collection::vec(any::<u8>(), 0..200),
    );
    runner
        .run(&frame, |(key, version, body)| {
            let mut client = Client::connect(broker.address);
            let mut frame = key.to_be_bytes().to_vec();
            frame.extend(version.to_be_bytes());
            frame.extend([0, 0, 0, 1, 0xff, 0xff]);
            frame.extend(body);
            client.send_raw(&frame);
            // Seven bytes of a Metadata request in version 1 once asked a codec for 154 GB.
            let mut other = Client::connect(broker.address);
            other.send_raw(&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
            other.closed();
            Ok(())
        })
        .expect("no case fails");
    let mut client = Client::connect(broker.address);
    let _: metadata::Response = client.ask(1, &metadata::Request::default());
}
