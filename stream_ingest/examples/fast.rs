//! A client that costs next to nothing, so that a broker is the limit and not its client. As a producer it makes one batch and
//! sends it again and again, several requests on the way at once, and looks at nothing but whether each was acknowledged; as a
//! consumer it looks at nothing but where batches end.
//!
//! `cargo run --release -p escala-stream-ingest --example fast -- write|read ADDRESS TOPIC MEGABYTES [BATCH_BYTES [CONNECTIONS]]`
//! sends records of 1 KB with acks=all, or reads them from the beginning, the first connection those of partition 0 and so on,
//! of a topic that is there; and prints megabytes a second and how long answers took.

#[path = "../tests/common/batch.rs"]
mod batch;

use escala_stream_ingest::wire::messages::{fetch, produce};
use escala_stream_ingest::wire::{Message, Reader, RequestHeader, Writer};
use std::collections::VecDeque;
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of a record's value.
const RECORD: usize = 1024;
/// Requests of a connection that wait for their answers, as with Kafka's clients.
const IN_FLIGHT: usize = 5;
/// The longest answer that is read.
const LONGEST: usize = 128 << 20;
/// Bytes that an answer may have, as Kafka's consumers ask.
const MOST: i32 = 1 << 20;
const PRODUCE: i16 = 9;
const FETCH: i16 = 11;
/// Where a batch says how long it is behind that, and how far its last offset is from its first.
const LENGTH: usize = 8;
const LAST: usize = 23;

type Failed = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("{what} is missing"));
    let way = next("write or read")?;
    let address = next("the broker's address")?;
    let topic = next("the topic")?;
    let megabytes: usize = next("how many megabytes")?.parse()?;
    let batch: usize = next("").map_or(Ok(1_000_000), |size| size.parse())?;
    let connections: usize = next("").map_or(Ok(1), |count| count.parse())?;
    let work = match way.as_str() {
        "write" => write,
        "read" => read,
        other => return Err(format!("{other} is neither write nor read").into()),
    };
    let bytes = megabytes * 1_000_000 / connections.max(1);
    let began = Instant::now();
    let done = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|partition| {
                let (address, topic) = (&address, &topic);
                scope.spawn(move || {
                    let stream = TcpStream::connect(address)?;
                    stream.set_nodelay(true)?;
                    work(stream, topic, partition as i32, bytes, batch)
                })
            })
            .collect();
        let ended = workers.into_iter().map(|worker| worker.join());
        let ended = ended.map(|ended| ended.map_err(|_| "a connection panicked")?);
        ended.collect::<Result<Vec<_>, Failed>>()
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let bytes: usize = done.iter().map(|(bytes, _)| bytes).sum();
    let mut waits: Vec<Duration> = done.into_iter().flat_map(|(_, waits)| waits).collect();
    waits.sort_unstable();
    let rank = |part: f64| {
        let at = (waits.len().saturating_sub(1) as f64 * part) as usize;
        waits.get(at).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    };
    println!(
        "{:.0} MB/s, answered after {:.1} ms (p99 {:.1} ms)",
        bytes as f64 / seconds / 1e6,
        rank(0.5),
        rank(0.99)
    );
    Ok(())
}

/// Bytes that were moved, and how long each request waited for its answer.
type Done = Result<(usize, Vec<Duration>), Failed>;

/// Sends so many bytes to a partition, in batches of about `batch`.
fn write(mut stream: TcpStream, topic: &str, partition: i32, bytes: usize, batch: usize) -> Done {
    let value: Vec<u8> = (0..RECORD).map(|i| b'a' + (i * 7 % 26) as u8).collect();
    let values = vec![value.as_slice(); (batch / RECORD).max(1)];
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let records = batch::batch_at(&values, now);
    let count = bytes.div_ceil(records.len()).max(1);
    let sent = count * records.len();
    let request = request(
        PRODUCE,
        &produce::Request {
            acks: -1,
            timeout_ms: 60_000,
            topic_data: vec![produce::TopicProduceData {
                name: topic.to_owned(),
                partition_data: vec![produce::PartitionProduceData {
                    index: partition,
                    records: Some(records),
                }],
                ..produce::TopicProduceData::default()
            }],
            ..produce::Request::default()
        },
    )?;
    let mut waiting = VecDeque::new();
    let mut waits = Vec::with_capacity(count);
    for sent in 0..count + IN_FLIGHT {
        if sent >= IN_FLIGHT
            && let Some(since) = waiting.pop_front()
        {
            let answer: produce::Response = answer(PRODUCE, &mut stream)?;
            let partitions = answer.responses.into_iter();
            let mut partitions = partitions.flat_map(|topic| topic.partition_responses);
            if let Some(failed) = partitions.find(|partition| partition.error_code != 0) {
                let words = failed.error_message.unwrap_or_default();
                return Err(format!("error {} {words}", failed.error_code).into());
            }
            waits.push(Instant::now().duration_since(since));
        }
        if sent < count {
            waiting.push_back(Instant::now());
            stream.write_all(&request)?;
        }
    }
    Ok((sent, waits))
}

/// Reads at least so many bytes of a partition, from its beginning.
fn read(mut stream: TcpStream, topic: &str, partition: i32, bytes: usize, _: usize) -> Done {
    let (mut offset, mut read, mut waits) = (0, 0, Vec::new());
    while read < bytes {
        let asked = Instant::now();
        let request = request(
            FETCH,
            &fetch::Request {
                replica_id: -1,
                max_wait_ms: 1000,
                min_bytes: 1,
                max_bytes: 50 << 20,
                session_epoch: -1,
                topics: vec![fetch::FetchTopic {
                    topic: topic.to_owned(),
                    partitions: vec![fetch::FetchPartition {
                        partition,
                        fetch_offset: offset,
                        partition_max_bytes: MOST,
                        ..fetch::FetchPartition::default()
                    }],
                    ..fetch::FetchTopic::default()
                }],
                ..fetch::Request::default()
            },
        )?;
        stream.write_all(&request)?;
        let answer: fetch::Response = answer(FETCH, &mut stream)?;
        let mut partitions = answer.responses.into_iter();
        let found = partitions.find_map(|topic| topic.partitions.into_iter().next());
        let found = found.ok_or("an answer without the partition")?;
        if found.error_code != 0 {
            return Err(format!("error {}", found.error_code).into());
        }
        let records = found.records.unwrap_or_default();
        if records.is_empty() {
            return Err(format!("there are only {read} bytes").into());
        }
        let mut rest = &records[..];
        while let (Some(length), Some(last)) = (number(rest, LENGTH), number(rest, LAST)) {
            let first = (i64::from(number(rest, 0).unwrap_or_default()) << 32)
                | i64::from(number(rest, 4).unwrap_or_default() as u32);
            let Some(behind) = rest.get(LENGTH + 4 + length as usize..) else {
                break;
            };
            offset = first + i64::from(last) + 1;
            read += rest.len() - behind.len();
            rest = behind;
        }
        waits.push(asked.elapsed());
    }
    Ok((read, waits))
}

/// Four bytes as a number.
fn number(bytes: &[u8], at: usize) -> Option<i32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(i32::from_be_bytes(*bytes))
}

/// A request with its length in front.
fn request<M: Message>(version: i16, request: &M) -> Result<Vec<u8>, Failed> {
    let mut writer = Writer::new();
    let header = RequestHeader {
        key: M::KEY,
        version,
        correlation: 1,
        client: Some("fast".to_owned()),
    };
    header.write(&mut writer)?;
    request.write(version, &mut writer)?;
    let body = writer.finish().concat();
    Ok([&(body.len() as i32).to_be_bytes()[..], &body].concat())
}

/// The next answer.
fn answer<M: Message>(version: i16, stream: &mut TcpStream) -> Result<M, Failed> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(format!("an answer of {length} bytes").into());
    }
    let mut bytes = Vec::with_capacity(length);
    stream.take(length as u64).read_to_end(&mut bytes)?;
    let mut reader = Reader::new(bytes.into());
    reader.int32()?;
    if M::FLEXIBLE.is_some_and(|first| version >= first) {
        reader.tags(|_, _| Ok(false))?;
    }
    Ok(M::read(version, &mut reader)?)
}
