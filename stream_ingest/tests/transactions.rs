//! Transactions over the wire, request by request: what joins them, what ends them, who is refused and with which of
//! Kafka's numbers, for clients of both generations.

mod common;

use bytes::Bytes;
use common::wire::{Batch, Client, fetch, produce};
use common::{Broker, options, wait_for};
use escala_stream_ingest::broker::Code;
use escala_stream_ingest::wire::messages::{
    add_offsets_to_txn, add_partitions_to_txn, api_versions, describe_producers,
    describe_transactions, end_txn, fetch as fetching, find_coordinator, init_producer_id,
    list_offsets, list_transactions, offset_fetch, produce as producing, txn_offset_commit,
};

const TRANSACTIONAL: i16 = 1 << 4;
const ID: &str = "worker";

/// A producer's id and epoch.
type By = (i64, i16);

/// A broker with a topic of two partitions, and somebody who speaks to it.
struct Scene {
    broker: Broker,
    client: Client,
}

fn number(code: Code) -> i16 {
    code.number()
}

impl Scene {
    fn new() -> Self {
        let broker = Broker::start(options());
        let made = broker
            .runtime
            .block_on(broker.log.create_topic("t", 2, &[]));
        made.expect("a topic");
        let client = Client::connect(broker.address);
        Self { broker, client }
    }

    fn restart(self) -> Self {
        let broker = self.broker.restart(options());
        let client = Client::connect(broker.address);
        Self { broker, client }
    }

    fn init_with(&mut self, version: i16, timeout: i32, expected: By) -> (i16, By) {
        let request = init_producer_id::Request {
            transactional_id: Some(ID.to_owned()),
            transaction_timeout_ms: timeout,
            producer_id: expected.0,
            producer_epoch: expected.1,
            ..init_producer_id::Request::default()
        };
        let answer: init_producer_id::Response = self.client.ask(version, &request);
        let by = (answer.producer_id, answer.producer_epoch);
        (answer.error_code, by)
    }

    fn init(&mut self) -> By {
        let (error, by) = self.init_with(4, 60_000, (-1, -1));
        assert_eq!(error, 0);
        by
    }

    fn add(&mut self, version: i16, by: By, partitions: &[i32]) -> Vec<i16> {
        let request = add_partitions_to_txn::Request {
            v3_and_below_transactional_id: ID.to_owned(),
            v3_and_below_producer_id: by.0,
            v3_and_below_producer_epoch: by.1,
            v3_and_below_topics: vec![add_partitions_to_txn::AddPartitionsToTxnTopic {
                name: "t".to_owned(),
                partitions: partitions.to_vec(),
            }],
            ..add_partitions_to_txn::Request::default()
        };
        let answer: add_partitions_to_txn::Response = self.client.ask(version, &request);
        let results = &answer.results_by_topic_v3_and_below[0].results_by_partition;
        results.iter().map(|one| one.partition_error_code).collect()
    }

    fn send_as(
        &mut self,
        version: i16,
        id: Option<&str>,
        partition: i32,
        batch: Batch,
    ) -> (i16, i64) {
        let mut request = produce("t", -1, batch.of(&[b"value"]));
        request.transactional_id = id.map(str::to_owned);
        request.topic_data[0].partition_data[0].index = partition;
        let answer: producing::Response = self.client.ask(version, &request);
        let outcome = &answer.responses[0].partition_responses[0];
        (outcome.error_code, outcome.base_offset)
    }

    /// Sends a batch of one record within a transaction.
    fn send(&mut self, version: i16, by: By, sequence: i32, partition: i32) -> (i16, i64) {
        self.send_as(version, Some(ID), partition, within(by, sequence))
    }

    fn send_plainly(&mut self, partition: i32) -> i64 {
        let (error, offset) = self.send_as(9, None, partition, Batch::default());
        assert_eq!(error, 0);
        offset
    }

    fn end(&mut self, version: i16, by: By, committed: bool) -> (i16, By) {
        let request = end_txn::Request {
            transactional_id: ID.to_owned(),
            producer_id: by.0,
            producer_epoch: by.1,
            committed,
        };
        let answer: end_txn::Response = self.client.ask(version, &request);
        let next = (answer.producer_id, answer.producer_epoch);
        (answer.error_code, next)
    }

    fn add_offsets(&mut self, version: i16, by: By, group: &str) -> i16 {
        let request = add_offsets_to_txn::Request {
            transactional_id: ID.to_owned(),
            producer_id: by.0,
            producer_epoch: by.1,
            group_id: group.to_owned(),
        };
        let answer: add_offsets_to_txn::Response = self.client.ask(version, &request);
        answer.error_code
    }

    fn commit_offset(&mut self, version: i16, by: By, group: &str, offset: i64) -> i16 {
        let request = txn_offset_commit::Request {
            transactional_id: ID.to_owned(),
            group_id: group.to_owned(),
            producer_id: by.0,
            producer_epoch: by.1,
            generation_id: -1,
            topics: vec![txn_offset_commit::TxnOffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![txn_offset_commit::TxnOffsetCommitRequestPartition {
                    partition_index: 0,
                    committed_offset: offset,
                    committed_leader_epoch: -1,
                    committed_metadata: Some("beside".to_owned()),
                }],
            }],
            ..txn_offset_commit::Request::default()
        };
        let answer: txn_offset_commit::Response = self.client.ask(version, &request);
        answer.topics[0].partitions[0].error_code
    }

    /// The group's offset for partition 0, and its error.
    fn offset(&mut self, group: &str, require_stable: bool, all: bool) -> (i64, i16) {
        let topics = vec![offset_fetch::OffsetFetchRequestTopics {
            name: "t".to_owned(),
            partition_indexes: vec![0],
            ..offset_fetch::OffsetFetchRequestTopics::default()
        }];
        let request = offset_fetch::Request {
            groups: vec![offset_fetch::OffsetFetchRequestGroup {
                group_id: group.to_owned(),
                topics: (!all).then_some(topics),
                ..offset_fetch::OffsetFetchRequestGroup::default()
            }],
            require_stable,
            ..offset_fetch::Request::default()
        };
        let answer: offset_fetch::Response = self.client.ask(8, &request);
        match answer.groups[0].topics.first() {
            None => (-1, 0),
            Some(topic) => {
                let one = &topic.partitions[0];
                (one.committed_offset, one.error_code)
            }
        }
    }

    /// What a reader of committed records is answered from this offset on.
    fn read(&mut self, partition: i32, offset: i64, isolation: i8) -> fetching::PartitionData {
        let mut request = fetch("t", offset, 0);
        request.isolation_level = isolation;
        request.topics[0].partitions[0].partition = partition;
        let answer: fetching::Response = self.client.ask(12, &request);
        let one = answer.responses[0].partitions[0].clone();
        assert_eq!(one.error_code, 0);
        one
    }

    /// Base offsets of the batches that a reader of committed records gets, and what it is told of those aborted.
    fn committed(&mut self, partition: i32, offset: i64) -> (Vec<i64>, Vec<(i64, i64)>) {
        let (mut all, mut named) = (Vec::new(), Vec::new());
        let mut next = offset;
        loop {
            // One answer has what lies in one segment.
            let read = self.read(partition, next, 1);
            let aborted = read.aborted_transactions.expect("a list").into_iter();
            named.extend(aborted.map(|one| (one.producer_id, one.first_offset)));
            let bases = bases(&read.records);
            let Some(last) = bases.last() else {
                named.sort_unstable();
                named.dedup();
                return (all, named);
            };
            // Every batch has one record.
            next = last + 1;
            all.extend(bases);
        }
    }

    /// The last stable offset of a partition, as Fetch and ListOffsets say it, and the high watermark.
    fn ends(&mut self, partition: i32) -> (i64, i64) {
        let read = self.read(partition, 0, 1);
        let mut listed = [0, 0];
        for (isolation_level, listed) in (0..).zip(&mut listed) {
            let request = list_offsets::Request {
                replica_id: -1,
                isolation_level,
                topics: vec![list_offsets::ListOffsetsTopic {
                    name: "t".to_owned(),
                    partitions: vec![list_offsets::ListOffsetsPartition {
                        partition_index: partition,
                        current_leader_epoch: -1,
                        timestamp: -1,
                    }],
                }],
                ..list_offsets::Request::default()
            };
            let answer: list_offsets::Response = self.client.ask(7, &request);
            *listed = answer.topics[0].partitions[0].offset;
        }
        assert_eq!(listed, [read.high_watermark, read.last_stable_offset]);
        (read.last_stable_offset, read.high_watermark)
    }
}

/// A batch within a transaction.
fn within(by: By, sequence: i32) -> Batch {
    Batch {
        attributes: TRANSACTIONAL,
        producer: by.0,
        epoch: by.1,
        sequence,
        ..Batch::default()
    }
}

fn bases(records: &Option<Bytes>) -> Vec<i64> {
    let mut left = &records.as_ref().expect("records")[..];
    let mut bases = Vec::new();
    while !left.is_empty() {
        bases.push(i64::from_be_bytes(left[..8].try_into().expect("a base")));
        let length = i32::from_be_bytes(left[8..12].try_into().expect("a length"));
        left = &left[12 + length as usize..];
    }
    bases
}

#[test]
fn committed_records_are_seen_when_their_transaction_ends_and_aborted_ones_are_named() {
    let mut scene = Scene::new();
    let by = scene.init();
    assert_eq!(scene.add(0, by, &[0, 1]), [0, 0]);
    assert_eq!(scene.send(7, by, 0, 0), (0, 0));
    assert_eq!(scene.send(7, by, 0, 1), (0, 0));
    assert_eq!(scene.send_plainly(0), 1);
    // Nothing of it is seen, nor what came later; who reads everything sees both.
    assert_eq!(scene.ends(0), (0, 2));
    assert_eq!(scene.committed(0, 0), (vec![], vec![]));
    assert_eq!(bases(&scene.read(0, 0, 0).records), [0, 1]);
    assert_eq!(scene.end(1, by, true).0, 0);
    assert_eq!(scene.ends(0), (3, 3));
    assert_eq!(scene.ends(1), (2, 2));
    // The marker is a batch like any other.
    assert_eq!(scene.committed(0, 0), (vec![0, 1, 2], vec![]));
    // The next one, which is aborted. Sequences go on.
    assert_eq!(scene.add(3, by, &[0]), [0]);
    assert_eq!(scene.send(7, by, 1, 0), (0, 3));
    assert_eq!(scene.send(7, by, 2, 0), (0, 4));
    assert_eq!(scene.committed(0, 0), (vec![0, 1, 2], vec![]));
    assert_eq!(scene.end(1, by, false).0, 0);
    assert_eq!(
        scene.committed(0, 0),
        (vec![0, 1, 2, 3, 4, 5], vec![(by.0, 3)])
    );
    assert_eq!(scene.committed(0, 4), (vec![4, 5], vec![(by.0, 3)]));
    assert_eq!(scene.committed(0, 6), (vec![], vec![]));
    assert_eq!(
        scene.committed(1, 0),
        (vec![0, 1], vec![]),
        "it was not in there"
    );
    // Who reads everything is told nothing.
    assert_eq!(scene.read(0, 0, 0).aborted_transactions, None);
    let mut scene = scene.restart();
    assert_eq!(
        scene.committed(0, 0),
        (vec![0, 1, 2, 3, 4, 5], vec![(by.0, 3)])
    );
    // Records that are deleted take with them what is known of them.
    let log = &scene.broker.log;
    let deleted = scene.broker.runtime.block_on(log.delete_records("t", 0, 6));
    assert_eq!(deleted.expect("deleted"), 6);
    assert_eq!(scene.committed(0, 6), (vec![], vec![]));
}

#[test]
fn a_reader_waits_for_the_end_of_a_transaction() {
    let mut scene = Scene::new();
    let by = scene.init();
    scene.add(0, by, &[0]);
    scene.send(7, by, 0, 0);
    let mut reader = Client::connect(scene.broker.address);
    let mut request = fetch("t", 0, 30_000);
    request.isolation_level = 1;
    let sent = reader.send(12, &request);
    // More that cannot be seen yet does not end the wait; the end of the transaction does.
    scene.send(7, by, 1, 0);
    assert_eq!(scene.end(1, by, true).0, 0);
    let (correlation, answer) = reader.receive::<fetching::Response>(12);
    assert_eq!(correlation, sent);
    assert_eq!(bases(&answer.responses[0].partitions[0].records), [0, 1, 2]);
}

#[test]
fn only_what_joined_a_transaction_may_be_written_in_it() {
    let mut scene = Scene::new();
    let by = scene.init();
    let state = (number(Code::InvalidTxnState), -1);
    assert_eq!(scene.send(7, by, 0, 0), state);
    // Newer clients know that the transaction can only be aborted.
    let abortable = (number(Code::TransactionAbortable), -1);
    assert_eq!(scene.send(11, by, 0, 0), abortable);
    assert_eq!(scene.add(0, by, &[0]), [0]);
    assert_eq!(scene.send(7, by, 0, 0), (0, 0));
    assert_eq!(scene.send(7, by, 0, 1), state);
    // A batch that does not say that it belongs to the transaction.
    let plain = Batch {
        attributes: 0,
        ..within(by, 1)
    };
    assert_eq!(scene.send_as(7, Some(ID), 0, plain), state);
    // A request that does not name the transaction.
    let unnamed = (number(Code::TransactionalIdAuthorizationFailed), -1);
    assert_eq!(scene.send_as(7, None, 0, within(by, 1)), unnamed);
    let mapping = (number(Code::InvalidProducerIdMapping), -1);
    assert_eq!(scene.send_as(7, Some("other"), 0, within(by, 1)), mapping);
    assert_eq!(scene.send(7, (by.0 + 1, 0), 0, 0), mapping);
    let epoch = (number(Code::InvalidProducerEpoch), -1);
    assert_eq!(scene.send(7, (by.0, by.1 + 1), 0, 0), epoch);
    assert_eq!(scene.send(7, by, 1, 0), (0, 1));
    assert_eq!(scene.send(7, by, 1, 0), (0, 1), "it was sent again");
    assert_eq!(scene.end(1, by, true).0, 0);
    // What was sent before the end and is sent again has its place; anything new has none.
    assert_eq!(scene.send(7, by, 1, 0), (0, 1));
    assert_eq!(scene.send(7, by, 2, 0), state);
    assert_eq!(scene.ends(0), (3, 3));
}

#[test]
fn partitions_join_together_or_not_at_all() {
    let mut scene = Scene::new();
    let by = scene.init();
    let unknown = number(Code::UnknownTopicOrPartition);
    let others = number(Code::OperationNotAttempted);
    assert_eq!(
        scene.add(0, by, &[0, 7, 1, -1]),
        [others, unknown, others, unknown]
    );
    assert_eq!(scene.send(7, by, 0, 0).0, number(Code::InvalidTxnState));
    let mapping = number(Code::InvalidProducerIdMapping);
    assert_eq!(scene.add(0, (by.0 + 5, 0), &[0]), [mapping]);
    let old = (by.0, by.1 + 1);
    assert_eq!(
        scene.add(1, old, &[0]),
        [number(Code::InvalidProducerEpoch)]
    );
    assert_eq!(
        scene.add(2, old, &[0, 1]),
        [number(Code::ProducerFenced); 2]
    );
    assert_eq!(scene.add(3, by, &[0]), [0]);
    assert_eq!(scene.add(3, by, &[0]), [0]);
}

#[test]
fn a_new_instance_fences_the_old_and_ends_what_it_left() {
    let mut scene = Scene::new();
    let old = scene.init();
    scene.add(0, old, &[0]);
    assert_eq!(scene.send(7, old, 0, 0), (0, 0));
    let new = scene.init();
    assert_eq!(new, (old.0, old.1 + 1));
    assert_eq!(scene.committed(0, 0), (vec![0, 1], vec![(old.0, 0)]));
    // Whatever the old one tries.
    let fenced = number(Code::ProducerFenced);
    let epoch = number(Code::InvalidProducerEpoch);
    assert_eq!(scene.send(7, old, 1, 0), (epoch, -1));
    assert_eq!(scene.add(0, old, &[0]), [epoch]);
    assert_eq!(scene.add(3, old, &[0]), [fenced]);
    assert_eq!(scene.end(1, old, true).0, epoch);
    assert_eq!(scene.end(2, old, true).0, fenced);
    assert_eq!(scene.end(5, old, true).0, fenced);
    assert_eq!(scene.add_offsets(1, old, "g"), epoch);
    assert_eq!(scene.add_offsets(3, old, "g"), fenced);
    assert_eq!(scene.commit_offset(3, old, "g", 1), epoch);
    assert_eq!(scene.init_with(3, 60_000, old).0, epoch);
    assert_eq!(scene.init_with(4, 60_000, old).0, fenced);
    // The new one begins with sequence 0.
    scene.add(0, new, &[0]);
    let out_of_order = number(Code::OutOfOrderSequenceNumber);
    assert_eq!(scene.send(7, new, 1, 0).0, out_of_order);
    assert_eq!(scene.send(7, new, 0, 0), (0, 2));
    let mut scene = scene.restart();
    // All of that is remembered.
    assert_eq!(scene.send(7, new, 1, 0), (0, 3));
    assert_eq!(scene.end(2, old, true).0, fenced);
    assert_eq!(scene.end(2, new, true).0, 0);
    assert_eq!(scene.ends(0), (5, 5));
}

#[test]
fn a_producer_goes_on_after_an_error_under_the_next_epoch() {
    let mut scene = Scene::new();
    let by = scene.init();
    let (error, next) = scene.init_with(4, 60_000, by);
    assert_eq!((error, next), (0, (by.0, by.1 + 1)));
    // The answer was lost, and it asks again.
    assert_eq!(scene.init_with(4, 60_000, by), (0, next));
    let fenced = number(Code::ProducerFenced);
    assert_eq!(scene.init_with(4, 60_000, (by.0 + 1, 0)).0, fenced);
    assert_eq!(
        scene.init_with(4, 60_000, (by.0, -1)).0,
        number(Code::InvalidRequest)
    );
}

#[test]
fn there_are_limits_to_the_time_of_a_transaction() {
    let mut scene = Scene::new();
    let refused = number(Code::InvalidTransactionTimeout);
    for timeout in [-1, 0, 15 * 60_000 + 1] {
        assert_eq!(
            scene.init_with(4, timeout, (-1, -1)).0,
            refused,
            "{timeout}"
        );
    }
    let (error, by) = scene.init_with(4, 15 * 60_000, (-1, -1));
    assert_eq!(error, 0);
    scene.add(0, by, &[0]);
    scene.send(7, by, 0, 0);
    scene.broker.pass(15 * 60_000 - 10_000);
    let mut scene = scene.restart();
    assert_eq!(scene.ends(0), (0, 1), "it still has some seconds");
    assert_eq!(scene.send(7, by, 1, 0), (0, 1));
    scene.broker.pass(10_001);
    let log = scene.broker.log.clone();
    wait_for("the transaction is aborted", || {
        log.describe("t", 0).expect("a partition").last_stable == 3
    });
    assert_eq!(scene.committed(0, 0), (vec![0, 1, 2], vec![(by.0, 0)]));
    // Its producer is fenced.
    assert_eq!(scene.end(2, by, true).0, number(Code::ProducerFenced));
    assert_eq!(
        scene.send(7, by, 2, 0).0,
        number(Code::InvalidProducerEpoch)
    );
    let next = scene.init();
    assert_eq!(next, (by.0, by.1 + 2));
}

#[test]
fn a_transactional_id_that_nobody_uses_is_forgotten() {
    let mut scene = Scene::new();
    let by = scene.init();
    let week = 7 * 24 * 3600 * 1000;
    scene.broker.pass(week - 60_000);
    let mut scene = scene.restart();
    assert_eq!(scene.add(0, by, &[0]), [0]);
    assert_eq!(scene.end(1, by, true).0, 0);
    scene.broker.pass(week + 60_000);
    let log = scene.broker.log.clone();
    wait_for("the id is forgotten", || log.transactions().is_empty());
    assert_eq!(
        scene.end(1, by, true).0,
        number(Code::InvalidProducerIdMapping)
    );
    let next = scene.init();
    assert!(next.0 > by.0 && next.1 == 0, "{next:?}");
}

#[test]
fn offsets_count_when_their_transaction_is_committed() {
    let mut scene = Scene::new();
    let by = scene.init();
    assert_eq!(
        scene.commit_offset(3, by, "g", 5),
        number(Code::InvalidTxnState)
    );
    let abortable = number(Code::TransactionAbortable);
    assert_eq!(scene.commit_offset(4, by, "g", 5), abortable);
    assert_eq!(scene.add_offsets(0, by, "g"), 0);
    assert_eq!(scene.commit_offset(3, by, "g", 5), 0);
    // Whoever wants to know for sure is told to come back.
    let unstable = (-1, number(Code::UnstableOffsetCommit));
    for all in [false, true] {
        assert_eq!(scene.offset("g", false, all), (-1, 0));
        assert_eq!(scene.offset("g", true, all), unstable);
    }
    let mut scene = scene.restart();
    assert_eq!(scene.offset("g", true, false), unstable);
    assert_eq!(scene.end(1, by, true).0, 0);
    assert_eq!(scene.offset("g", true, false), (5, 0));
    scene.add_offsets(3, by, "g");
    assert_eq!(scene.commit_offset(3, by, "g", 9), 0);
    assert_eq!(scene.offset("g", false, false), (5, 0));
    assert_eq!(scene.end(1, by, false).0, 0);
    assert_eq!(scene.offset("g", true, false), (5, 0));
    assert_eq!(
        scene.commit_offset(3, by, "", 9),
        number(Code::InvalidGroupId)
    );
}

#[test]
fn ends_are_answered_as_kafka_answers() {
    let mut scene = Scene::new();
    let by = scene.init();
    let state = number(Code::InvalidTxnState);
    assert_eq!(scene.end(1, by, true).0, state);
    assert_eq!(scene.end(1, by, false).0, state);
    for committed in [true, false] {
        scene.add(0, by, &[0]);
        assert_eq!(scene.end(1, by, committed).0, 0);
        // Again, and the other way.
        assert_eq!(scene.end(1, by, committed).0, 0);
        assert_eq!(scene.end(1, by, !committed).0, state);
    }
    // Partitions that nothing was written to get no markers.
    assert_eq!(scene.ends(0), (0, 0));
    let mapping = number(Code::InvalidProducerIdMapping);
    assert_eq!(scene.end(1, (by.0 + 1, 0), true).0, mapping);
}

#[test]
fn newer_producers_add_nothing_and_get_an_epoch_with_every_end() {
    let mut scene = Scene::new();
    let first = scene.init();
    assert_eq!(scene.send(12, first, 0, 0), (0, 0));
    assert_eq!(scene.send(12, first, 1, 0), (0, 1));
    assert_eq!(scene.commit_offset(5, first, "g", 3), 0);
    let (error, second) = scene.end(5, first, true);
    assert_eq!((error, second), (0, (first.0, first.1 + 1)));
    assert_eq!(scene.ends(0), (3, 3));
    assert_eq!(scene.offset("g", true, false), (3, 0));
    // The answer was lost, and it asks again.
    assert_eq!(scene.end(5, first, true), (0, second));
    assert_eq!(scene.end(5, first, false).0, number(Code::InvalidTxnState));
    // A batch of the first transaction that arrives late does not get into the second.
    assert_eq!(scene.send(12, second, 0, 1), (0, 0));
    let late = scene.send(12, first, 2, 0);
    assert_eq!(late, (number(Code::InvalidProducerEpoch), -1));
    // Nor does a late end.
    assert_eq!(scene.end(5, first, true).0, number(Code::ProducerFenced));
    let mut scene = scene.restart();
    let (error, third) = scene.end(5, second, false);
    assert_eq!((error, third), (0, (first.0, first.1 + 2)));
    assert_eq!(scene.committed(1, 0), (vec![0, 1], vec![(first.0, 0)]));
    // An abort of nothing is an epoch, too.
    assert_eq!(scene.end(5, third, false), (0, (first.0, first.1 + 3)));
    assert_eq!(scene.end(5, third, true).0, number(Code::InvalidTxnState));
}

/// librdkafka before 2.2.0, which asks in version 3, cannot read tagged fields.
#[test]
fn newer_clients_alone_are_told_of_newer_transactions() {
    let broker = Broker::start(options());
    let mut client = Client::connect(broker.address);
    let request = api_versions::Request {
        client_software_name: "a".to_owned(),
        client_software_version: "1".to_owned(),
    };
    let old: api_versions::Response = client.ask(3, &request);
    assert!(old.supported_features.is_empty() && old.finalized_features.is_empty());
    let new: api_versions::Response = client.ask(4, &request);
    assert_eq!(new.finalized_features_epoch, 0);
    let feature = &new.finalized_features[0];
    assert_eq!(feature.name, "transaction.version");
    assert_eq!(
        (feature.min_version_level, feature.max_version_level),
        (2, 2)
    );
    assert_eq!(new.supported_features[0].max_version, 2);
}

#[test]
fn administrators_see_transactions_and_producers() {
    let mut scene = Scene::new();
    let request = find_coordinator::Request {
        key_type: 1,
        coordinator_keys: vec![ID.to_owned()],
        ..find_coordinator::Request::default()
    };
    let answer: find_coordinator::Response = scene.client.ask(4, &request);
    let one = &answer.coordinators[0];
    assert_eq!((one.error_code, one.node_id), (0, 1));
    assert_eq!(one.port, i32::from(scene.broker.address.port()));
    let by = scene.init();
    let describe = |scene: &mut Scene, id: &str| {
        let request = describe_transactions::Request {
            transactional_ids: vec![id.to_owned()],
        };
        let answer: describe_transactions::Response = scene.client.ask(0, &request);
        answer.transaction_states[0].clone()
    };
    let list = |scene: &mut Scene, states: &[&str], duration_filter: i64| {
        let request = list_transactions::Request {
            state_filters: states.iter().map(|one| (*one).to_owned()).collect(),
            duration_filter,
            ..list_transactions::Request::default()
        };
        let answer: list_transactions::Response = scene.client.ask(1, &request);
        let states = answer.transaction_states.into_iter();
        let states: Vec<String> = states.map(|one| one.transaction_state).collect();
        (states, answer.unknown_state_filters)
    };
    assert_eq!(describe(&mut scene, ID).transaction_state, "Empty");
    let nobody = describe(&mut scene, "nobody");
    assert_eq!(nobody.error_code, number(Code::TransactionalIdNotFound));
    scene.add(0, by, &[1, 0]);
    scene.send(7, by, 0, 1);
    let described = describe(&mut scene, ID);
    assert_eq!(described.transaction_state, "Ongoing");
    assert_eq!((described.producer_id, described.producer_epoch), by);
    assert_eq!(described.transaction_timeout_ms, 60_000);
    assert!(described.transaction_start_time_ms > 0);
    assert_eq!(described.topics[0].topic, "t");
    assert_eq!(described.topics[0].partitions, [0, 1]);
    let ongoing = (vec!["Ongoing".to_owned()], vec![]);
    assert_eq!(list(&mut scene, &[], -1), ongoing);
    assert_eq!(list(&mut scene, &["Ongoing", "PrepareAbort"], -1), ongoing);
    assert_eq!(list(&mut scene, &["Empty"], -1).0, [""; 0]);
    let (none, unknown) = list(&mut scene, &["Lost"], -1);
    assert_eq!((none.len(), &unknown[..]), (0, &["Lost".to_owned()][..]));
    assert_eq!(
        list(&mut scene, &[], 60_000).0,
        [""; 0],
        "it is not that old"
    );
    let request = describe_producers::Request {
        topics: vec![describe_producers::TopicRequest {
            name: "t".to_owned(),
            partition_indexes: vec![0, 1, 9],
        }],
    };
    let answer: describe_producers::Response = scene.client.ask(0, &request);
    let partitions = &answer.topics[0].partitions;
    assert!(partitions[0].active_producers.is_empty());
    let producer = &partitions[1].active_producers[0];
    assert_eq!(producer.producer_id, by.0);
    assert_eq!(
        (producer.last_sequence, producer.current_txn_start_offset),
        (0, 0)
    );
    let unknown = number(Code::UnknownTopicOrPartition);
    assert_eq!(partitions[2].error_code, unknown);
    scene.end(1, by, false);
    assert_eq!(describe(&mut scene, ID).transaction_state, "CompleteAbort");
    assert_eq!(list(&mut scene, &["CompleteAbort"], -1).0.len(), 1);
}

#[test]
fn a_topic_that_is_deleted_takes_its_part_of_a_transaction_with_it() {
    let mut scene = Scene::new();
    let by = scene.init();
    scene.add(0, by, &[0]);
    scene.add_offsets(0, by, "g");
    scene.send(7, by, 0, 0);
    assert_eq!(scene.commit_offset(3, by, "g", 5), 0);
    let log = scene.broker.log.clone();
    let runtime = &scene.broker.runtime;
    runtime.block_on(log.delete_topic("t")).expect("deleted");
    let again = runtime.block_on(log.create_topic("t", 1, &[]));
    again.expect("a topic");
    assert_eq!(scene.end(1, by, true).0, 0);
    assert_eq!(scene.ends(0), (0, 0));
    assert_eq!(scene.offset("g", true, false), (-1, 0));
}
