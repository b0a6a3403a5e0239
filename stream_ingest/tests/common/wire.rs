//! A client that sends what it is told to, byte by byte if need be, and batches as a producer makes them.
#![allow(dead_code)] // each test file uses a part

use bytes::Bytes;
use escala_stream_ingest::wire::messages::{Api, fetch, join_group, produce};
use escala_stream_ingest::wire::{Message, Reader, RequestHeader, Writer};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than a test takes, in milliseconds.
pub const LONG: i32 = 30_000;

pub struct Client {
    pub stream: TcpStream,
    correlation: i32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream
            .set_read_timeout(Some(super::PATIENCE))
            .expect("a timeout");
        Self {
            stream,
            correlation: 0,
        }
    }

    /// Sends a request and gives its correlation id.
    pub fn send<M: Message>(&mut self, version: i16, request: &M) -> i32 {
        self.correlation += 1;
        let mut writer = Writer::new();
        let header = RequestHeader {
            key: M::KEY,
            version,
            correlation: self.correlation,
            client: Some("test".to_owned()),
        };
        header.write(&mut writer).expect("a head");
        request.write(version, &mut writer).expect("a request");
        let body = writer.finish().concat();
        self.send_raw(&body);
        self.correlation
    }

    /// Sends a frame with this body.
    pub fn send_raw(&mut self, body: &[u8]) {
        let mut frame = (body.len() as i32).to_be_bytes().to_vec();
        frame.extend_from_slice(body);
        self.stream.write_all(&frame).expect("the broker reads");
    }

    /// The next frame.
    pub fn receive_raw(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; i32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame)?;
        Ok(Bytes::from(frame))
    }

    /// The next answer, with the correlation id that it repeats.
    pub fn receive<M: Message>(&mut self, version: i16) -> (i32, M) {
        let mut reader = Reader::new(self.receive_raw().expect("an answer"));
        let correlation = reader.int32().expect("a correlation id");
        let flexible = M::FLEXIBLE.is_some_and(|first| version >= first);
        if flexible && M::KEY != Api::ApiVersions as i16 {
            reader.tags(|_, _| Ok(false)).expect("tags");
        }
        let answer = M::read(version, &mut reader).expect("an answer");
        reader.end().expect("nothing behind it");
        (correlation, answer)
    }

    /// Sends a request and waits for its answer.
    pub fn ask<Q: Message, A: Message>(&mut self, version: i16, request: &Q) -> A {
        let sent = self.send(version, request);
        let (correlation, answer) = self.receive(version);
        assert_eq!(correlation, sent);
        answer
    }

    /// Waits until the broker closes the connection; nothing may come before.
    pub fn closed(&mut self) {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => {}
            Ok(_) => panic!("the broker answered"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// Whether nothing comes within this time.
    pub fn is_silent(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a timeout");
        let peeked = self.stream.peek(&mut [0]);
        self.stream
            .set_read_timeout(Some(super::PATIENCE))
            .expect("a timeout");
        peeked.is_err()
    }
}

/// What a batch says of itself; tests change parts of it.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    pub attributes: i16,
    pub timestamp: i64,
    pub producer: i64,
    pub epoch: i16,
    pub sequence: i32,
    pub magic: i8,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            attributes: 0,
            timestamp: 1_700_000_000_000,
            producer: -1,
            epoch: -1,
            sequence: -1,
            magic: 2,
        }
    }
}

impl Batch {
    /// The batch's bytes with one record for each value.
    pub fn of(self, values: &[&[u8]]) -> Vec<u8> {
        let mut records = Vec::new();
        for (delta, value) in values.iter().enumerate() {
            let mut record = vec![0, 0];
            varint(&mut record, delta as i64);
            varint(&mut record, -1);
            varint(&mut record, value.len() as i64);
            record.extend_from_slice(value);
            varint(&mut record, 0);
            varint(&mut records, record.len() as i64);
            records.extend(record);
        }
        let count = values.len() as i32;
        let mut summed = self.attributes.to_be_bytes().to_vec();
        summed.extend((count - 1).to_be_bytes());
        summed.extend(self.timestamp.to_be_bytes());
        summed.extend(self.timestamp.to_be_bytes());
        summed.extend(self.producer.to_be_bytes());
        summed.extend(self.epoch.to_be_bytes());
        summed.extend(self.sequence.to_be_bytes());
        summed.extend(count.to_be_bytes());
        summed.extend(records);
        let mut batch = 0i64.to_be_bytes().to_vec();
        batch.extend((summed.len() as i32 + 9).to_be_bytes());
        batch.extend((-1i32).to_be_bytes());
        batch.extend(self.magic.to_be_bytes());
        batch.extend(crc32c::crc32c(&summed).to_be_bytes());
        batch.extend(summed);
        batch
    }
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut value = (value << 1 ^ value >> 63) as u64;
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A request to append a batch to partition 0.
pub fn produce(topic: &str, acks: i16, batch: Vec<u8>) -> produce::Request {
    produce::Request {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![produce::TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![produce::PartitionProduceData {
                index: 0,
                records: Some(Bytes::from(batch)),
            }],
            ..produce::TopicProduceData::default()
        }],
        ..produce::Request::default()
    }
}

/// A request to read partition 0.
pub fn fetch(topic: &str, offset: i64, max_wait_ms: i32) -> fetch::Request {
    fetch::Request {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 50 << 20,
        topics: vec![fetch::FetchTopic {
            topic: topic.to_owned(),
            partitions: vec![fetch::FetchPartition {
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..fetch::FetchPartition::default()
            }],
            ..fetch::FetchTopic::default()
        }],
        ..fetch::Request::default()
    }
}

/// The outcome of an append to partition 0.
pub fn append(
    client: &mut Client,
    topic: &str,
    batch: Vec<u8>,
) -> produce::PartitionProduceResponse {
    let answer: produce::Response = client.ask(9, &produce(topic, -1, batch));
    answer.responses[0].partition_responses[0].clone()
}

/// What is read from partition 0.
pub fn read(client: &mut Client, request: &fetch::Request) -> fetch::PartitionData {
    let answer: fetch::Response = client.ask(12, request);
    assert_eq!(answer.error_code, 0);
    answer.responses[0].partitions[0].clone()
}

/// A request to join the group `g`, with its version.
pub fn join(version: i16, member: &str) -> (i16, join_group::Request) {
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
