//! Damage in a segment, from the reader's side: it is told, and not asked about all the time, and a repair goes on without it.

mod common;

use common::wire::{Batch, Client, fetch, produce};
use common::{Broker, options};
use escala_stream_ingest::broker::Code;
use escala_stream_ingest::log::{self, Acks, Damage, Log, disk::Folder, examine, repair};
use escala_stream_ingest::wire::messages::{fetch as fetching, produce as producing};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a reader waits for records, in milliseconds.
const WAIT: i32 = 300;

/// A closed log with the topic `t`, of three batches with two records each, and the topic `u` with one.
fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let log = Log::open(disk(folder.path()), log_options()).expect("a log");
        for name in ["t", "u"] {
            log.create_topic(name, 1, &[]).await.expect("a topic");
        }
        let (two, one): ([&[u8]; 2], [&[u8]; 1]) = ([b"a", b"b"], [b"c"]);
        for (name, values) in [("t", &two[..]), ("t", &two), ("t", &two), ("u", &one)] {
            let batch = Batch::default().of(values).into();
            let appended = log.append(name, 0, batch, Acks::Durable).await;
            appended.expect("a batch");
        }
        log.close().await.expect("a closed log");
    });
    folder
}

fn disk(folder: &Path) -> Arc<Folder> {
    let mut disk = None;
    common::wait_for("the folder is free", || {
        disk = Folder::open(folder).ok();
        disk.is_some()
    });
    Arc::new(disk.expect("a disk"))
}

fn log_options() -> log::Options {
    log::Options {
        reserve_bytes: 1 << 20,
        ..log::Options::default()
    }
}

/// The segment of `t`: the larger one.
fn segment(folder: &Path) -> PathBuf {
    let topics = fs::read_dir(folder.join("topics")).expect("topics");
    let segments = topics.map(|topic| {
        let topic = topic.expect("a topic").path();
        topic.join("00000000000000000000.log")
    });
    let length = |path: &PathBuf| fs::metadata(path).map_or(0, |about| about.len());
    segments.max_by_key(length).expect("a segment")
}

/// Damages the second batch of `t`, and gives the byte where it begins.
fn flip(folder: &Path) -> u64 {
    let path = segment(folder);
    let mut bytes = fs::read(&path).expect("a segment");
    let second = bytes.len() / 3;
    bytes[second + 70] ^= 1;
    fs::write(&path, bytes).expect("written");
    second as u64
}

#[test]
fn damage_is_told_with_its_offsets_and_cut_out_at_will() {
    let folder = filled();
    let whole = examine(disk(folder.path()), &log_options()).expect("looked at");
    assert_eq!(whole, []);
    let at = flip(folder.path());
    let before = fs::read(segment(folder.path())).expect("a segment");
    let found = examine(disk(folder.path()), &log_options()).expect("looked at");
    let [
        Damage {
            topic,
            partition,
            path,
            at: place,
            offsets,
            ..
        },
    ] = &found[..]
    else {
        panic!("{found:?}");
    };
    assert_eq!((topic.as_deref(), *partition), (Some("t"), Some(0)));
    assert_eq!((*place, offsets.clone()), (at, Some(2..4)));
    assert!(segment(folder.path()).ends_with(path), "{path}");
    // Looking changes nothing.
    assert_eq!(fs::read(segment(folder.path())).expect("a segment"), before);

    let lost = repair(disk(folder.path()), log_options()).expect("repaired");
    assert_eq!(lost.len(), 1);
    let kept = fs::read_dir(folder.path().join("damaged")).expect("what was damaged");
    let kept: Vec<_> = kept.map(|file| file.expect("a file").path()).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read(&kept[0]).expect("a copy"), before);
    let whole = examine(disk(folder.path()), &log_options()).expect("looked at");
    assert_eq!(whole, []);

    let broker = Broker::over(options(), folder);
    let about = broker.log.describe("t", 0).expect("a partition");
    assert_eq!((about.log_start, about.high_watermark), (0, 6));
    let client = &mut Client::connect(broker.address);
    let mut offsets = Vec::new();
    let mut next = 0;
    while next < 6 {
        let answer: fetching::Response = client.ask(12, &fetch("t", next, WAIT));
        let data = &answer.responses[0].partitions[0];
        assert_eq!(data.error_code, 0);
        let records = data.records.clone().expect("records");
        for record in escala_stream_ingest::records::decode(&records).expect("records") {
            offsets.push(record.offset);
        }
        next = offsets.last().expect("a record") + 1;
    }
    assert_eq!(offsets, [0, 1, 4, 5]);
    // Offsets that were lost are not given again.
    let batch = Batch::default().of(&[b"new"]);
    let answer: producing::Response = client.ask(9, &produce("t", -1, batch));
    assert_eq!(answer.responses[0].partition_responses[0].base_offset, 6);
}

#[test]
fn readers_are_told_of_damage_and_do_not_ask_without_a_pause() {
    let folder = filled();
    flip(folder.path());
    let broker = Broker::over(options(), folder);
    let gauge = |topic: &str| {
        let mut text = String::new();
        broker.log.write_metrics(&mut text);
        let name = format!("escala_log_damaged_partitions{{topic=\"{topic}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&*name));
        line.map(str::to_owned)
    };
    assert_eq!(gauge("t").as_deref(), Some("0"));
    let client = &mut Client::connect(broker.address);
    let begun = Instant::now();
    let answer: fetching::Response = client.ask(12, &fetch("t", 2, WAIT));
    let data = &answer.responses[0].partitions[0];
    assert_eq!(data.error_code, Code::CorruptMessage.number());
    assert!(begun.elapsed() >= Duration::from_millis(WAIT as u64));
    assert_eq!(gauge("t").as_deref(), Some("1"));
    assert_eq!(gauge("u").as_deref(), Some("0"));
    // Records of others do not wait for it.
    let mut both = fetch("t", 2, 30_000);
    both.topics.extend(fetch("u", 0, 0).topics);
    let begun = Instant::now();
    let answer: fetching::Response = client.ask(12, &both);
    assert!(begun.elapsed() < Duration::from_secs(20));
    let codes = answer
        .responses
        .iter()
        .map(|topic| topic.partitions[0].error_code);
    assert_eq!(
        codes.collect::<Vec<_>>(),
        [Code::CorruptMessage.number(), 0]
    );
}
