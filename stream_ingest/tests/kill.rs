//! A process that writes with `acks=all` is killed in the middle of it, again and again: everything that it was told is
//! durable is there, at the offset that it was told, in order, and no offset ever has another value.
//!
//! The program that is killed is this test itself, started with `ESCALA_LOG_WRITER` set to the folder. It prints every
//! acknowledgement; this side keeps them, outside of the folder. `ESCALA_LOG_KILLS` sets the number of cycles. Where root
//! allows, the power of the file system below is cut, too.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/batch.rs"]
mod common;
#[path = "common/powered.rs"]
mod powered;

use common::{batch_of, in_transaction};
use escala_stream_ingest::log::disk::Folder;
use escala_stream_ingest::log::{
    Acks, Committed, End, Isolation, Log, Options, Output, TopicConfig,
};
use powered::Powered;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: u32 = 3;

fn options() -> Options {
    let mut defaults = TopicConfig::default();
    defaults.set("segment.bytes", "200000").unwrap();
    Options {
        defaults,
        wal_bytes: 1 << 20,
        cache_bytes: 1 << 20,
        checkpoint_bytes: 500_000,
        checkpoint_every: Duration::from_millis(20),
        reserve_bytes: 1 << 20,
        ..Options::default()
    }
}

/// The value in a batch of one record.
fn value(batch: &[u8]) -> String {
    let text = String::from_utf8_lossy(&batch[61..]);
    let from = text.rfind('<').unwrap();
    text[from..=text.rfind('>').unwrap()].to_owned()
}

/// Writes until it is killed: `PARTITIONS` idempotent producers, and a flow that commits outputs with offsets.
fn write(folder: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let log = Log::open(Arc::new(Folder::open(folder).unwrap()), options()).unwrap();
        for topic in ["in", "out", "tx"] {
            if log.topic(topic).is_err() {
                log.create_topic(topic, PARTITIONS, &[]).await.unwrap();
            }
        }
        let mut tasks = Vec::new();
        for partition in 0..PARTITIONS {
            let log = log.clone();
            let producer = log.init_producer_id().await.unwrap();
            tasks.push(tokio::spawn(async move {
                for sequence in 0.. {
                    let text = format!(
                        "<{producer} {sequence}>{}",
                        "x".repeat(sequence as usize % 700)
                    );
                    let batch = batch_of(&[text.as_bytes()], producer, sequence, 1000);
                    let done = log
                        .append("in", partition, batch, Acks::Durable)
                        .await
                        .unwrap();
                    say(format!(
                        "in {partition} {} <{producer} {sequence}>",
                        done.base_offset
                    ));
                }
            }));
        }
        let worker = log.clone();
        tasks.push(tokio::spawn(async move { transact(&worker).await }));
        let flow = log.clone();
        tasks.push(tokio::spawn(async move {
            let place = ("in".to_owned(), 0);
            loop {
                let before = flow.offsets("flow").await.unwrap();
                let next = before.get(&place).map_or(0, |known| known.offset) + 1;
                let outputs = (0..PARTITIONS)
                    .map(|partition| Output {
                        topic: "out".to_owned(),
                        partition,
                        batches: batch_of(&[format!("<{next}>").as_bytes()], -1, -1, 1000),
                    })
                    .collect();
                let offsets = [(place.clone(), Committed::at(next))].into();
                flow.commit_batch(outputs, "flow", offsets, || true)
                    .await
                    .unwrap();
                say(format!("flow {next}"));
            }
        }));
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// One transaction after the other: what is aborted is followed by the same number, committed with the offset that says
/// so. Every other pair as older clients make them and as newer ones do.
async fn transact(log: &Log) {
    let place = ("in".to_owned(), 0);
    let places: Vec<_> = (0..PARTITIONS)
        .map(|partition| ("tx".to_owned(), partition))
        .collect();
    let minute = Duration::from_secs(60);
    let mut producer = log.begin("worker", minute, None).await.unwrap();
    let mut sequence = 0;
    let before = log.offsets("worker").await.unwrap();
    let first = before.get(&place).map_or(0, |known| known.offset) + 1;
    for next in first.. {
        let newer = next % 2 == 0;
        for end in [End::Abort, End::Commit] {
            if !newer {
                let joined = log.join("worker", producer, &places, Some("worker"));
                joined.await.unwrap();
            }
            let mut appended = Vec::new();
            for (topic, partition) in &places {
                let value = match end {
                    End::Abort => format!("<never {next}>"),
                    End::Commit => format!("<{next}>"),
                };
                let batch = batch_of(&[value.as_bytes()], producer.id, sequence, 1000);
                let batch = in_transaction(&batch, producer.epoch);
                log.room().await;
                let one = log.submit_in("worker", newer, topic, *partition, batch, Acks::Durable);
                appended.push(one.unwrap());
            }
            let offsets = [(place.clone(), Committed::at(next))].into();
            let committed =
                log.commit_offsets_in("worker", newer, producer, "worker", offsets, || true);
            committed.await.unwrap();
            for one in appended {
                one.done().await.unwrap();
            }
            let then = log.end("worker", producer, end, newer).await.unwrap();
            sequence = if then == producer { sequence + 1 } else { 0 };
            producer = then;
        }
        say(format!("tx {next}"));
    }
}

fn say(line: String) {
    let mut out = std::io::stdout().lock();
    // The other side may be gone; then this process is about to be, too.
    let _ = writeln!(out, "ack {line}").and_then(|()| out.flush());
}

/// Everything that was ever seen or acknowledged.
#[derive(Default)]
struct Seen {
    /// By topic, partition and offset.
    values: BTreeMap<(String, u32, i64), String>,
    /// The last acknowledged commit of the flow, and of the transactions.
    flow: i64,
    transactions: i64,
    acknowledged: u64,
}

impl Seen {
    /// Lets a process write to the folder, and ends it by `end` after so many acknowledgements.
    fn write(&mut self, path: &Path, enough: u64, end: impl Fn(&mut Child)) {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", WRITER, "--nocapture"])
            .env("ESCALA_LOG_WRITER", path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ended = false;
        let mut lines = 0;
        for line in BufReader::new(writer.stdout.take().unwrap()).lines() {
            // The last line may have been cut.
            let Ok(line) = line else { break };
            let Some(ack) = line.strip_prefix("ack ") else {
                continue;
            };
            let words: Vec<&str> = ack.splitn(4, ' ').collect();
            match words[..] {
                ["in", partition, offset, value] if value.ends_with('>') => {
                    let place = (
                        "in".to_owned(),
                        partition.parse().unwrap(),
                        offset.parse().unwrap(),
                    );
                    let before = self.values.insert(place.clone(), value.to_owned());
                    assert!(before.is_none_or(|before| before == value), "{place:?}");
                    self.acknowledged += 1;
                }
                ["flow", next] => self.flow = self.flow.max(next.parse().unwrap_or(0)),
                ["tx", next] => {
                    self.transactions = self.transactions.max(next.parse().unwrap_or(0));
                }
                _ => continue,
            }
            lines += 1;
            if lines == enough && !ended {
                end(&mut writer);
                ended = true;
            }
        }
        let status = writer.wait().unwrap();
        assert!(ended, "the writer ended by itself: {status}");
    }
}

/// The test that is the writing process when `ESCALA_LOG_WRITER` is set.
const WRITER: &str = "nothing_acknowledged_is_lost_when_the_process_is_killed";

fn cycles(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |set| set.parse().unwrap())
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    if let Ok(folder) = std::env::var("ESCALA_LOG_WRITER") {
        write(&folder);
        return;
    }
    let cycles = cycles("ESCALA_LOG_KILLS", 20);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut seen = Seen::default();
    for cycle in 0..cycles {
        // Killed after another number of acknowledgements each time.
        let enough = 50 + cycle * 397 % 1500;
        seen.write(&path, enough, |writer| writer.kill().unwrap());
        hold(&path, &mut seen.values, seen.flow, seen.transactions);
    }
    println!(
        "{cycles} kills, {} acknowledged appends, {} commits, {} transactions",
        seen.acknowledged, seen.flow, seen.transactions
    );
    assert!(seen.acknowledged > cycles * 20 && seen.flow > 0 && seen.transactions > 0);
}

/// `ESCALA_LOG_CUTS` sets how often.
#[test]
#[cfg(target_os = "linux")]
fn nothing_acknowledged_is_lost_when_the_power_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let powered = match Powered::new(folder.path()) {
        Ok(powered) => powered,
        Err(why) => {
            eprintln!("warning: power cuts are not tried here: {why}");
            return;
        }
    };
    let path = powered.place().join("log");
    let cycles = cycles("ESCALA_LOG_CUTS", 5);
    let mut seen = Seen::default();
    for cycle in 0..cycles {
        let enough = 50 + cycle * 397 % 1500;
        seen.write(&path, enough, |writer| {
            powered.cut();
            // It has failed by now, or is about to.
            writer.kill().unwrap();
        });
        powered.restore();
        hold(&path, &mut seen.values, seen.flow, seen.transactions);
    }
    println!(
        "{cycles} cuts, {} acknowledged appends, {} commits, {} transactions",
        seen.acknowledged, seen.flow, seen.transactions
    );
    assert!(seen.acknowledged > cycles * 20 && seen.flow > 0 && seen.transactions > 0);
}

/// Reads everything and holds it against what was acknowledged or seen before.
fn hold(
    path: &Path,
    values: &mut BTreeMap<(String, u32, i64), String>,
    flow: i64,
    transactions: i64,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let log = Log::open(Arc::new(Folder::open(path).unwrap()), options()).unwrap();
    let mut ends = Vec::new();
    for topic in ["in", "out"] {
        for partition in 0..PARTITIONS {
            let mut offset = 0;
            let mut last: BTreeMap<String, i64> = BTreeMap::new();
            loop {
                let read = log
                    .read(topic, partition, offset, 1 << 20, Isolation::ReadCommitted)
                    .unwrap();
                for batch in &read.batches {
                    assert_eq!(
                        batch[..8],
                        offset.to_be_bytes(),
                        "offsets follow each other"
                    );
                    let value = value(batch);
                    let place = (topic.to_owned(), partition, offset);
                    let before = values.insert(place.clone(), value.clone());
                    assert!(
                        before.is_none_or(|before| before == value),
                        "{place:?} is {value}"
                    );
                    if topic == "in" {
                        let (producer, sequence) =
                            value[1..value.len() - 1].split_once(' ').unwrap();
                        let sequence: i64 = sequence.parse().unwrap();
                        let before = last.insert(producer.to_owned(), sequence);
                        assert_eq!(before.unwrap_or(-1) + 1, sequence, "{place:?}");
                    }
                    offset += 1;
                }
                if read.batches.is_empty() {
                    assert_eq!(offset, read.high_watermark);
                    break;
                }
            }
            let known = values.range((topic.to_owned(), partition, offset)..);
            let mut lost =
                known.take_while(|((name, index, _), _)| name == topic && *index == partition);
            assert_eq!(lost.next(), None, "{topic} {partition} ends at {offset}");
            if topic == "out" {
                ends.push(offset);
            }
        }
    }
    let committed = runtime.block_on(log.offsets("flow")).unwrap();
    let committed = committed
        .get(&("in".to_owned(), 0))
        .map_or(0, |known| known.offset);
    assert!(committed >= flow, "{committed} {flow}");
    assert_eq!(
        ends, [committed; PARTITIONS as usize],
        "outputs and offsets go together"
    );
    let kept = runtime.block_on(log.offsets("worker")).unwrap();
    let kept = kept
        .get(&("in".to_owned(), 0))
        .map_or(0, |known| known.offset);
    assert!(kept >= transactions, "{kept} {transactions}");
    for partition in 0..PARTITIONS {
        let wanted: Vec<String> = (1..=kept).map(|next| format!("<{next}>")).collect();
        let found = committed_values(&log, partition);
        assert_eq!(found, wanted, "transactions in partition {partition}");
    }
    // Every other time in order.
    if committed % 2 == 0 {
        runtime.block_on(log.close()).unwrap();
    }
    drop(log);
    while Folder::open(path).is_err() {
        std::thread::yield_now();
    }
}

/// What readers of committed records see of a partition that transactions write to.
fn committed_values(log: &Log, partition: u32) -> Vec<String> {
    let mut values = Vec::new();
    let mut offset = 0;
    loop {
        let read = log
            .read("tx", partition, offset, 1 << 20, Isolation::ReadCommitted)
            .unwrap();
        let Some(last) = read.batches.last() else {
            assert_eq!(offset, read.last_stable);
            return values;
        };
        offset = i64::from_be_bytes(last[..8].try_into().unwrap()) + 1;
        values.extend(read.visible().iter().map(|batch| value(batch)));
    }
}
