//! The traps of the protocol, one after the other, byte for byte where it matters.

mod common;

use bytes::Bytes;
use common::wire::{Batch, Client, LONG, append, fetch, produce, read};
use common::{Broker, options, wait_for};
use escala_stream_ingest::broker::Code;
use escala_stream_ingest::wire::messages::{
    api_versions, describe_acls, fetch as fetching, incremental_alter_configs, init_producer_id,
    list_offsets, metadata, offset_for_leader_epoch, produce as producing,
};
use std::time::{Duration, Instant};

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
    broker.topic("t", &[]);
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
    broker.topic("t", &[]);
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
    broker.topic("t", &[]);
    let mut client = Client::connect(broker.address);
    client.send(9, &produce("t", 0, Batch::default().of(&[b"x"])));
    // The next answer is that to the next request.
    let _: metadata::Response = client.ask(1, &metadata::Request::default());
    wait_for("the record is there", || broker.end("t") == 1);
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
    broker.topic("t", &[]);
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
    broker.topic("t", &[("max.message.bytes", "1000")]);
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
    assert_eq!(broker.end("t"), 0);
    assert_eq!(
        append(&mut client, "missing", good()).error_code,
        Code::UnknownTopicOrPartition.number()
    );
}

#[test]
fn an_idempotent_producer_is_answered_as_kafka_answers() {
    let broker = Broker::start(options());
    broker.topic("t", &[]);
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
    assert_eq!(broker.end("t"), 8);
}

#[test]
fn the_times_of_a_topic_are_the_producers_or_the_logs() {
    let broker = Broker::start(options());
    broker.topic("theirs", &[]);
    broker.topic("ours", &[("message.timestamp.type", "LogAppendTime")]);
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
    broker.topic("t", &[]);
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
        broker.topic(name, &[]);
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
    broker.topic("t", &[]);
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
    broker.topic("t", &[]);
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
        broker.topic(name, &[]);
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
    broker.topic("t", &[]);
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
    broker.topic("t", &[]);
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

/// A setting that a request names twice could mean either; clients that look for themselves do not even send it.
#[test]
fn a_setting_is_changed_once_in_a_request() {
    let broker = Broker::start(options());
    broker.topic("t", &[]);
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

#[test]
fn access_rules_are_refused() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let answer: describe_acls::Response = client.ask(3, &describe_acls::Request::default());
    assert_eq!(answer.error_code, Code::SecurityDisabled.number());
}
