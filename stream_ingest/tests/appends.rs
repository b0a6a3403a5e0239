//! The log as its users see it, on a real folder with its own threads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/batch.rs"]
mod common;

use bytes::Bytes;
use common::{batch, batch_at, batch_of, in_transaction, keyed};
use escala_stream_ingest::log::disk::Folder;
use escala_stream_ingest::log::{
    Aborted, Acks, Committed, End, Error, Found, Isolation, Log, Membership, Offsets, Options,
    Output, Producer, Stage, check,
};
use escala_stream_ingest::records;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

struct Fixture {
    folder: tempfile::TempDir,
    clock: Arc<AtomicI64>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(AtomicI64::new(1_000_000)),
        }
    }

    fn options(&self) -> Options {
        let clock = self.clock.clone();
        Options {
            reserve_bytes: 1 << 20,
            checkpoint_every: Duration::from_millis(50),
            retention_every: Duration::from_millis(20),
            clock: Arc::new(move || clock.load(Ordering::Relaxed)),
            ..Options::default()
        }
    }

    fn disk(&self) -> Arc<Folder> {
        Arc::new(Folder::open(self.folder.path()).unwrap())
    }

    fn open(&self) -> Log {
        Log::open(self.disk(), self.options()).unwrap()
    }
}

async fn append(log: &Log, topic: &str, batch: Bytes) -> i64 {
    let done = log.append(topic, 0, batch, Acks::Durable).await.unwrap();
    done.base_offset
}

fn bases(log: &Log, topic: &str, offset: i64, max_bytes: usize) -> Vec<i64> {
    let read = log.read(topic, 0, offset, max_bytes, Isolation::ReadUncommitted);
    let base = |batch: &Bytes| i64::from_be_bytes(batch[..8].try_into().unwrap());
    read.unwrap().batches.iter().map(base).collect()
}

/// Waits for something that the log does by itself.
async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not happen in ten seconds");
}

#[tokio::test]
async fn topics_are_made_changed_and_deleted_for_good() {
    let fixture = Fixture::new();
    let log = fixture.open();
    let made = log
        .create_topic("t", 2, &[("retention.ms", "5000")])
        .await
        .unwrap();
    assert!(matches!(
        log.create_topic("t", 1, &[]).await,
        Err(Error::TopicExists(_))
    ));
    assert!(matches!(
        log.create_topic("a b", 1, &[]).await,
        Err(Error::TopicName { .. })
    ));
    assert!(matches!(
        log.create_topic("u", 0, &[]).await,
        Err(Error::Partitions(_))
    ));
    assert!(matches!(
        log.create_topic("u", 1, &[("x", "1")]).await,
        Err(Error::Config { .. })
    ));
    assert!(matches!(
        log.check_topic("u", 1_000_000, &[]),
        Err(Error::Partitions(_))
    ));
    log.check_topic("u", 1, &[]).unwrap();
    assert!(log.topic("u").is_err());
    log.add_partitions("t", 5).await.unwrap();
    assert!(matches!(
        log.add_partitions("t", 5).await,
        Err(Error::Partitions(_))
    ));
    log.alter_config(
        "t",
        &[("retention.ms", None), ("segment.bytes", Some("1000"))],
    )
    .await
    .unwrap();
    let refused = log
        .alter_config("t", &[("segment.bytes", None), ("retention.ms", Some("x"))])
        .await;
    assert!(matches!(refused, Err(Error::Config { .. })));
    log.create_topic("gone", 1, &[]).await.unwrap();
    append(&log, "gone", batch(&[b"a"])).await;
    let place = ("gone".to_owned(), 0);
    log.commit_offsets("g", [(place, Committed::at(1))].into(), || true)
        .await
        .unwrap();
    log.delete_topic("gone").await.unwrap();
    assert!(matches!(
        log.delete_topic("gone").await,
        Err(Error::NoTopic(_))
    ));
    assert!(matches!(
        log.append("gone", 0, batch(&[b"a"]), Acks::Durable).await,
        Err(Error::NoTopic(_))
    ));
    let again = log.create_topic("gone", 1, &[]).await.unwrap();
    assert_eq!(log.describe("gone", 0).unwrap().high_watermark, 0);
    log.close().await.unwrap();
    assert!(matches!(
        log.create_topic("v", 1, &[]).await,
        Err(Error::Closed)
    ));
    drop(log);
    let log = fixture.open();
    let topic = log.topic_by_id(made.id).unwrap();
    assert_eq!((topic.name.as_str(), topic.partitions), ("t", 5));
    assert_eq!(topic.config.segment_bytes, 1000);
    assert_eq!(topic.config.overrides.len(), 1);
    assert_eq!(log.topic("gone").unwrap().id, again.id);
    assert!(log.groups().is_empty(), "offsets go with their topic");
    // Folders of deleted topics go too.
    let folders = std::fs::read_dir(fixture.folder.path().join("topics")).unwrap();
    assert_eq!(folders.count(), 0);
}

#[tokio::test]
async fn reads_give_whole_batches_from_anywhere() {
    let fixture = Fixture::new();
    let log = fixture.open();
    log.create_topic("t", 1, &[("segment.bytes", "2000")])
        .await
        .unwrap();
    for i in 0..50u8 {
        let at = append(&log, "t", batch(&[&[i; 100], &[i; 100]])).await;
        assert_eq!(at, i64::from(i) * 2);
    }
    let length = batch(&[&[0; 100], &[0; 100]]).len();
    let hold = |log: &Log| {
        for offset in 0..100 {
            let base = offset / 2 * 2;
            assert_eq!(bases(log, "t", offset, 0), [base], "at least one");
            let some = bases(log, "t", offset, 3 * length);
            assert!(
                (1..=3).contains(&some.len()) && some[0] == base,
                "{offset}: {some:?}"
            );
        }
        assert!(bases(log, "t", 100, 1000).is_empty());
        for offset in [-1, 101] {
            let read = log.read("t", 0, offset, 1000, Isolation::ReadCommitted);
            assert!(matches!(
                read,
                Err(Error::OffsetOutOfRange {
                    high_watermark: 100,
                    ..
                })
            ));
        }
        assert!(matches!(
            log.read("t", 1, 0, 1, Isolation::ReadCommitted),
            Err(Error::NoPartition { partition: 1, .. })
        ));
    };
    assert!(
        log.read_recent("t", 0, 0, 1, Isolation::ReadCommitted)
            .unwrap()
            .is_some()
    );
    hold(&log);
    log.close().await.unwrap();
    drop(log);
    // From segments alone.
    let log = fixture.open();
    assert!(
        log.read_recent("t", 0, 0, 1, Isolation::ReadCommitted)
            .unwrap()
            .is_none()
    );
    hold(&log);
    assert!(log.describe("t", 0).unwrap().segments > 5);
    // Without the index files.
    drop(log);
    for entry in std::fs::read_dir(fixture.folder.path().join("topics")).unwrap() {
        for file in std::fs::read_dir(entry.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "index") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    let mut log = Log::open(Arc::new(wait_for(&fixture)), fixture.options()).unwrap();
    hold(&log);
    log.close().await.unwrap();
    drop(log);
    let disk = Arc::new(wait_for(&fixture));
    assert!(check(disk.clone(), &fixture.options()).unwrap().is_empty());
    log = Log::open(disk, fixture.options()).unwrap();
    hold(&log);
}

/// The folder, when the log that had it has let go.
fn wait_for(fixture: &Fixture) -> Folder {
    loop {
        if let Ok(folder) = Folder::open(fixture.folder.path()) {
            return folder;
        }
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_folder_has_one_log() {
    let fixture = Fixture::new();
    let log = fixture.open();
    assert!(Folder::open(fixture.folder.path()).is_err());
    log.close().await.unwrap();
    drop(log);
    fixture.disk();
}

#[tokio::test]
async fn records_are_found_by_their_time() {
    let fixture = Fixture::new();
    let log = fixture.open();
    log.create_topic("t", 1, &[("segment.bytes", "500"), ("retention.ms", "-1")])
        .await
        .unwrap();
    assert_eq!(log.offset_of_max_time("t", 0).unwrap(), None);
    // Batches of three records, with times from 100, 200 and so on; one comes late.
    let mut times = Vec::new();
    for first in [100, 200, 900, 300, 400, 500, 600, 1000, 1100] {
        append(&log, "t", batch_at(&[b"a", b"b", b"c"], first)).await;
        times.extend([first, first + 1, first + 2]);
    }
    let hold = |log: &Log| {
        for wanted in 90..1110 {
            let first = times.iter().position(|time| *time >= wanted);
            let first = first.map(|at| Found {
                offset: at as i64,
                timestamp: times[at],
            });
            assert_eq!(
                log.offset_for_time("t", 0, wanted).unwrap(),
                first,
                "{wanted}"
            );
        }
        let last = Found {
            offset: 26,
            timestamp: 1102,
        };
        assert_eq!(log.offset_of_max_time("t", 0).unwrap(), Some(last));
    };
    hold(&log);
    log.close().await.unwrap();
    drop(log);
    let log = fixture.open();
    hold(&log);
    // What was deleted is not found.
    log.delete_records("t", 0, 7).await.unwrap();
    let found = log.offset_for_time("t", 0, 0).unwrap().unwrap();
    assert_eq!(found.offset, 7);
    log.delete_records("t", 0, -1).await.unwrap();
    assert_eq!(log.offset_for_time("t", 0, 0).unwrap(), None);
    assert_eq!(log.offset_of_max_time("t", 0).unwrap(), None);
}

#[tokio::test]
async fn the_log_gives_its_time_where_it_should() {
    let fixture = Fixture::new();
    let log = fixture.open();
    log.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")])
        .await
        .unwrap();
    let done = log
        .append("t", 0, batch_at(&[b"a", b"b"], 5), Acks::Durable)
        .await
        .unwrap();
    assert_eq!(done.log_append_time, Some(1_000_000));
    fixture.clock.store(1_000_100, Ordering::Relaxed);
    append(&log, "t", batch_at(&[b"c"], 5)).await;
    let found = log.offset_for_time("t", 0, 1_000_001).unwrap();
    assert_eq!(
        found,
        Some(Found {
            offset: 2,
            timestamp: 1_000_100
        })
    );
}

#[tokio::test]
async fn old_and_surplus_segments_go() {
    let fixture = Fixture::new();
    let log = fixture.open();
    let settings = [("segment.bytes", "400"), ("retention.ms", "5000")];
    log.create_topic("old", 1, &settings).await.unwrap();
    let settings = [
        ("segment.bytes", "400"),
        ("retention.ms", "-1"),
        ("retention.bytes", "1000"),
    ];
    log.create_topic("much", 1, &settings).await.unwrap();
    log.create_topic(
        "compact",
        1,
        &[
            ("segment.bytes", "400"),
            ("cleanup.policy", "compact"),
            ("retention.ms", "1"),
        ],
    )
    .await
    .unwrap();
    for i in 0..20 {
        append(&log, "old", batch_at(&[&[0; 100]], 1_000_000 + i * 1000)).await;
        append(&log, "much", batch(&[&[0; 100]])).await;
        let key = [i as u8];
        append(&log, "compact", keyed(&[(Some(&key), Some(&[0; 100]))], 5)).await;
    }
    until(|| log.describe("much", 0).unwrap().bytes < 1500).await;
    let much = log.describe("much", 0).unwrap();
    assert!(much.bytes >= 1000 && much.log_start > 0, "{much:?}");
    assert_eq!(bases(&log, "much", much.log_start, 1), [much.log_start]);
    let before = log.read("much", 0, much.log_start - 1, 1, Isolation::ReadCommitted);
    assert!(matches!(before, Err(Error::OffsetOutOfRange { .. })));
    // The newest of "old" is 1_019_000.
    assert_eq!(log.describe("old", 0).unwrap().log_start, 0);
    fixture.clock.store(1_015_000, Ordering::Relaxed);
    until(|| log.describe("old", 0).unwrap().log_start > 0).await;
    fixture.clock.store(1_030_000, Ordering::Relaxed);
    until(|| log.describe("old", 0).unwrap().segments == 0).await;
    let old = log.describe("old", 0).unwrap();
    assert_eq!((old.log_start, old.high_watermark), (20, 20));
    assert_eq!(append(&log, "old", batch(&[b"a"])).await, 20);
    assert_eq!(log.describe("compact", 0).unwrap().log_start, 0);
    log.close().await.unwrap();
    drop(log);
    let log = fixture.open();
    // More may have gone since, and nothing comes back.
    let again = log.describe("much", 0).unwrap();
    assert!(again.log_start >= much.log_start, "{again:?} {much:?}");
    assert!((1000..1500).contains(&again.bytes), "{again:?}");
    assert_eq!(bases(&log, "much", again.log_start, 1), [again.log_start]);
    assert_eq!(log.describe("old", 0).unwrap().log_start, 20);
}

/// Compaction by the log's own thread, while batches come and somebody reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_compacts_while_it_is_written_and_read() {
    const KEYS: usize = 7;
    let fixture = Fixture::new();
    let log = fixture.open();
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "2000"),
        ("min.cleanable.dirty.ratio", "0.3"),
    ];
    log.create_topic("t", 1, &settings).await.unwrap();
    log.create_topic("u", 1, &settings).await.unwrap();
    let value = |i: usize| format!("value {i}").into_bytes();
    let reader = log.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let mut passes = 0;
        loop {
            let mut last = [0; KEYS];
            let mut offset = 0;
            // A later record is there for every one that is missing, if the reader goes on until the end of now.
            while offset < reader.describe("t", 0).unwrap().high_watermark {
                let read = reader.read("t", 0, offset, 5000, Isolation::ReadCommitted);
                for batch in read.unwrap().batches {
                    for record in records::decode_one(&batch).unwrap() {
                        let said = record.value.unwrap();
                        assert_eq!(said, value(record.offset as usize), "at its offset");
                        last[record.offset as usize % KEYS] = record.offset;
                    }
                    let delta = i32::from_be_bytes(batch[23..27].try_into().unwrap());
                    let base = i64::from_be_bytes(batch[..8].try_into().unwrap());
                    offset = base + i64::from(delta) + 1;
                }
            }
            // Of every key the newest.
            let end = offset;
            let newest = |offset: &i64| end < KEYS as i64 || *offset >= end - KEYS as i64;
            assert!(last.iter().all(newest), "{last:?} of {end}");
            passes += 1;
            if end == 4000 {
                return passes;
            }
        }
    });
    for i in 0..4000 {
        let batch = keyed(&[(Some(&[(i % KEYS) as u8]), Some(&value(i)))], 5);
        let pending = log.submit("t", 0, batch.clone(), Acks::Written).unwrap();
        if i % 10 == 0 {
            pending.done().await.unwrap();
            log.submit("u", 0, batch, Acks::None)
                .unwrap()
                .done()
                .await
                .unwrap();
        }
    }
    assert!(reading.await.unwrap() > 0);
    let removed = || {
        let mut metrics = String::new();
        log.write_metrics(&mut metrics);
        let mut values = metrics
            .lines()
            .filter_map(|line| line.strip_prefix("escala_log_compaction_records_removed_total "));
        values.next().unwrap().parse::<u64>().unwrap()
    };
    until(|| removed() > 3000).await;
    log.close().await.unwrap();
    drop(log);
    assert!(
        check(Arc::new(wait_for(&fixture)), &fixture.options())
            .unwrap()
            .is_empty()
    );
    let log = Log::open(Arc::new(wait_for(&fixture)), fixture.options()).unwrap();
    assert_eq!(log.describe("t", 0).unwrap().high_watermark, 4000);
    until(|| log.describe("t", 0).unwrap().bytes < 5000).await;
}

#[tokio::test]
async fn groups_keep_what_they_commit() {
    let fixture = Fixture::new();
    let log = fixture.open();
    log.create_topic("t", 2, &[]).await.unwrap();
    let offsets = |a, b| -> Offsets {
        let committed = Committed {
            leader_epoch: 3,
            metadata: "beside".to_owned(),
            ..Committed::at(a)
        };
        [
            (("t".to_owned(), 0), committed),
            (("t".to_owned(), 1), Committed::at(b)),
        ]
        .into()
    };
    assert!(log.offsets("g").await.unwrap().is_empty());
    log.commit_offsets("g", offsets(1, 2), || true)
        .await
        .unwrap();
    let fenced = log.commit_offsets("g", offsets(9, 9), || false).await;
    assert!(matches!(fenced, Err(Error::Fenced)));
    log.commit_offsets(
        "g",
        [(("t".to_owned(), 1), Committed::at(5))].into(),
        || true,
    )
    .await
    .unwrap();
    let long = Committed {
        metadata: "x".repeat(5000),
        ..Committed::at(1)
    };
    let long = log
        .commit_offsets("g", [(("t".to_owned(), 0), long)].into(), || true)
        .await;
    assert!(matches!(long, Err(Error::TooLong { .. })));
    let outputs = |text: &'static [u8]| {
        let output = |partition| Output {
            topic: "t".to_owned(),
            partition,
            batches: batch(&[text]),
        };
        vec![output(0), output(1), output(0)]
    };
    let done = log
        .commit_batch(outputs(b"x"), "flow", offsets(7, 8), || true)
        .await
        .unwrap();
    assert_eq!(
        done.iter().map(|done| done.base_offset).collect::<Vec<_>>(),
        [0, 0, 1]
    );
    let fenced = log
        .commit_batch(outputs(b"y"), "flow", offsets(9, 9), || false)
        .await;
    assert!(matches!(fenced, Err(Error::Fenced)));
    assert_eq!(log.describe("t", 0).unwrap().high_watermark, 2);
    log.commit_offsets("other", offsets(1, 1), || true)
        .await
        .unwrap();
    log.delete_offsets("other", &[("t".to_owned(), 0)], || true)
        .await
        .unwrap();
    log.commit_offsets("left", offsets(1, 1), || true)
        .await
        .unwrap();
    assert!(matches!(
        log.delete_group("left", || false).await,
        Err(Error::Fenced)
    ));
    log.delete_group("left", || true).await.unwrap();
    assert!(matches!(
        log.delete_group("left", || true).await,
        Err(Error::NoGroup(_))
    ));
    log.close().await.unwrap();
    drop(log);
    let log = fixture.open();
    assert_eq!(log.groups(), ["flow", "g", "other"]);
    let kept = log.offsets("g").await.unwrap();
    let first = &kept[&("t".to_owned(), 0)];
    assert_eq!(
        (
            first.offset,
            first.leader_epoch,
            first.metadata.as_str(),
            first.at
        ),
        (1, 3, "beside", 1_000_000)
    );
    assert_eq!(kept[&("t".to_owned(), 1)].offset, 5);
    assert_eq!(
        log.offsets("flow").await.unwrap()[&("t".to_owned(), 0)].offset,
        7
    );
    assert_eq!(log.offsets("other").await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_seen_is_durable_and_watchers_are_told() {
    let fixture = Fixture::new();
    let log = fixture.open();
    log.create_topic("t", 1, &[]).await.unwrap();
    let mut watch = log.watch("t", 0).unwrap();
    assert_eq!(*watch.borrow_and_update(), 0);
    let pending = log
        .submit("t", 0, batch(&[b"a", b"b"]), Acks::Durable)
        .unwrap();
    assert_eq!(pending.base_offset(), 0);
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow_and_update(), 2);
    assert_eq!(pending.done().await.unwrap().last_offset, 1);
    for acks in [Acks::None, Acks::Written] {
        log.append("t", 0, batch(&[b"c"]), acks).await.unwrap();
    }
    watch.wait_for(|mark| *mark == 4).await.unwrap();
    assert_eq!(log.epoch_end("t", 0, 0).unwrap(), (0, 4));
    assert_eq!(log.epoch_end("t", 0, 7).unwrap(), (0, 4));
    assert_eq!(log.epoch_end("t", 0, -1).unwrap(), (-1, -1));
    log.delete_topic("t").await.unwrap();
    until(|| watch.has_changed().is_err()).await;
}

#[tokio::test]
async fn producer_ids_are_never_given_twice() {
    let fixture = Fixture::new();
    let mut given = std::collections::BTreeSet::new();
    for round in 0..3 {
        let log = Log::open(Arc::new(wait_for(&fixture)), fixture.options()).unwrap();
        for _ in 0..1500 {
            assert!(given.insert(log.init_producer_id().await.unwrap()));
        }
        if round == 0 {
            log.close().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_appends_at_once_are_bounded_and_all_there() {
    let fixture = Fixture::new();
    let options = Options {
        waiting_bytes: 20_000,
        ..fixture.options()
    };
    let log = Log::open(fixture.disk(), options).unwrap();
    log.create_topic("t", 1, &[]).await.unwrap();
    let mut busy = false;
    let mut waiting = Vec::new();
    for _ in 0..1000 {
        match log.submit("t", 0, batch(&[&[1; 1000]]), Acks::Durable) {
            Ok(pending) => waiting.push(pending),
            Err(Error::Busy) => {
                busy = true;
                log.room().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(busy);
    let count = waiting.len() as i64;
    for (i, pending) in waiting.into_iter().enumerate() {
        assert_eq!(pending.done().await.unwrap().base_offset, i as i64);
    }
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { append(&log, "t", batch(&[&[1; 1000]])).await })
        })
        .collect();
    let mut offsets = Vec::new();
    for task in tasks {
        offsets.push(task.await.unwrap());
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (count..count + 50).collect::<Vec<_>>());
}

/// A log as version 1 of the format writes it, with a checkpoint, segments and a write-ahead log that was not laid down:
/// every later program reads it.
#[tokio::test]
async fn a_log_of_version_1_is_read() {
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/log-1");
    let fixture = Fixture::new();
    copy(&sample, fixture.folder.path());
    let disk = fixture.disk();
    assert!(check(disk.clone(), &fixture.options()).unwrap().is_empty());
    let log = Log::open(disk, fixture.options()).unwrap();
    assert_eq!(
        log.cluster_id().to_string(),
        "00000000-0000-0000-0000-000000000001"
    );
    let topic = log.topic("t").unwrap();
    assert_eq!((topic.partitions, topic.config.segment_bytes), (2, 300));
    assert_eq!(topic.id.to_string(), "00000000-0000-0000-0000-000000000002");
    let known = log.describe("t", 0).unwrap();
    assert_eq!((known.log_start, known.high_watermark), (3, 12));
    let mut offset = 3;
    while offset < 12 {
        let read = log
            .read("t", 0, offset, 1, Isolation::ReadCommitted)
            .unwrap();
        let expected = batch_of(&[&[offset as u8; 60]], 5, offset as i32, offset * 100);
        assert_eq!(read.batches[0][16..], expected[16..]);
        offset += 1;
    }
    let last = batch_of(&[&[11; 60]], 5, 11, 1100);
    let again = log.append("t", 0, last, Acks::Durable).await.unwrap();
    assert_eq!((again.base_offset, again.duplicate), (11, true));
    assert_eq!(log.describe("t", 1).unwrap().high_watermark, 1);
    let kept = log.offsets("flow").await.unwrap();
    assert_eq!(kept[&("t".to_owned(), 0)].offset, 12);
    assert_eq!(kept[&("t".to_owned(), 0)].metadata, "beside");
    assert_eq!(log.groups(), ["flow"]);
    assert!(log.init_producer_id().await.unwrap() >= 1000);
    log.close().await.unwrap();
}

/// Version 2 has transactions.
#[tokio::test]
async fn a_log_of_version_2_is_read() {
    let fixture = Fixture::new();
    let log = sample(&fixture, "log-2");
    hold_transactions(&log).await;
    log.close().await.unwrap();
}

/// Version 3 has a topic that compacts.
#[tokio::test]
async fn a_log_of_version_3_is_read() {
    let fixture = Fixture::new();
    let log = sample(&fixture, "log-3");
    hold_transactions(&log).await;
    hold_compacted(&fixture, &log).await;
    log.close().await.unwrap();
}

/// With version 2 of the write-ahead log, whose frames have a salt.
#[tokio::test]
async fn a_log_with_salts_is_read() {
    let fixture = Fixture::new();
    let log = sample(&fixture, "log-4");
    hold_transactions(&log).await;
    hold_compacted(&fixture, &log).await;
    log.close().await.unwrap();
}

/// Version 4 has members of groups, in the checkpoint and in the write-ahead log, and says whether it was closed. The sample
/// was written by this test, when `ESCALA_LOG_SAMPLE` was set to its folder.
#[tokio::test]
async fn a_log_of_version_4_is_read() {
    let fixture = Fixture::new();
    if let Ok(to) = std::env::var("ESCALA_LOG_SAMPLE") {
        write_sample(&fixture, to.as_ref()).await;
        return;
    }
    let log = sample(&fixture, "log-5");
    let members = [("flow", "one"), ("later", "two and three")];
    let members = members.map(|(group, who)| (group.to_owned(), Bytes::from(who)));
    assert_eq!(log.members(), members);
    // It was not closed.
    assert_eq!(log.describe("t", 0).unwrap().leader_epoch, 1);
    hold_transactions(&log).await;
    hold_compacted(&fixture, &log).await;
    log.close().await.unwrap();
    drop(log);
    let log = Log::open(fixture.disk(), fixture.options()).unwrap();
    assert_eq!(log.describe("t", 0).unwrap().leader_epoch, 1);
    assert_eq!(log.members(), members);
    log.close().await.unwrap();
}

async fn hold_compacted(fixture: &Fixture, log: &Log) {
    let left = |log: &Log| -> Vec<(i64, bool)> {
        let (_, bases) = committed(log, "compact", 0);
        let batches = bases.iter().map(|base| {
            let read = log.read("compact", 0, *base, 1, Isolation::ReadCommitted);
            records::decode_one(&read.unwrap().batches[0]).unwrap()
        });
        let records = batches.flatten();
        records
            .map(|record| (record.offset, record.value.is_some()))
            .collect()
    };
    // Of the first batch one record, and a tombstone that goes a second after it was compacted.
    assert_eq!(left(log), [(1, true), (2, true), (3, false), (4, true)]);
    let bytes = log.describe("compact", 0).unwrap().bytes;
    fixture.clock.store(1_001_020, Ordering::Relaxed);
    until(|| log.describe("compact", 0).unwrap().bytes < bytes).await;
    assert_eq!(left(log), [(1, true), (2, true), (4, true)]);
}

/// A log of `tests/golden`, which has no damage.
fn sample(fixture: &Fixture, name: &str) -> Log {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    copy(&golden.join(name), fixture.folder.path());
    let disk = fixture.disk();
    assert!(check(disk.clone(), &fixture.options()).unwrap().is_empty());
    Log::open(disk, fixture.options()).unwrap()
}

async fn hold_transactions(log: &Log) {
    // Behind one that is not in any: one committed, one aborted, and one that is open.
    let (aborted, visible) = committed(log, "t", 1);
    let span = Aborted {
        producer: 1000,
        first_offset: 3,
    };
    assert_eq!((aborted, visible), (vec![span], vec![0, 1]));
    let known = log.describe("t", 1).unwrap();
    assert_eq!((known.last_stable, known.high_watermark), (5, 6));
    let transaction = log.transaction("worker").unwrap();
    let producer = Producer { id: 1000, epoch: 2 };
    assert_eq!(transaction.producer, producer);
    assert_eq!(transaction.stage, Stage::Ongoing);
    assert_eq!(transaction.places, [("t".to_owned(), 1)]);
    let place = ("t".to_owned(), 0);
    let (offsets, unstable) = log.stable_offsets("flow").await.unwrap();
    assert_eq!((offsets[&place].offset, unstable.len()), (12, 1));
    let ended = log
        .end("worker", producer, End::Commit, true)
        .await
        .unwrap();
    assert_eq!(ended, Producer { id: 1000, epoch: 3 });
    assert_eq!(committed(log, "t", 1), (vec![span], vec![0, 1, 5]));
    let offsets = log.offsets("flow").await.unwrap();
    assert_eq!(offsets[&place].offset, 99);
}

/// What a reader of committed records is told was aborted, and the base offsets of the batches that it shows.
fn committed(log: &Log, topic: &str, partition: u32) -> (Vec<Aborted>, Vec<i64>) {
    let base = |batch: &Bytes| i64::from_be_bytes(batch[..8].try_into().unwrap());
    let (mut aborted, mut visible) = (Vec::new(), Vec::new());
    let mut offset = 0;
    loop {
        let read = log.read(topic, partition, offset, 1 << 20, Isolation::ReadCommitted);
        let read = read.unwrap();
        let Some(last) = read.batches.last() else {
            return (aborted, visible);
        };
        offset = base(last) + i64::from(i32::from_be_bytes(last[23..27].try_into().unwrap())) + 1;
        visible.extend(read.visible().iter().map(base));
        aborted.extend(read.aborted);
        aborted.dedup();
    }
}

async fn write_sample(fixture: &Fixture, to: &std::path::Path) {
    let ids = AtomicI64::new(1);
    let options = Options {
        reserve_bytes: 0,
        checkpoint_every: Duration::from_secs(3600),
        ids: Arc::new(move || uuid::Uuid::from_u128(ids.fetch_add(1, Ordering::Relaxed) as u128)),
        ..fixture.options()
    };
    let log = Log::open(fixture.disk(), options.clone()).unwrap();
    let settings = [("segment.bytes", "300"), ("retention.ms", "-1")];
    log.create_topic("t", 2, &settings).await.unwrap();
    log.init_producer_id().await.unwrap();
    let numbered = |i: i64| batch_of(&[&[i as u8; 60]], 5, i as i32, i * 100);
    for i in 0..9 {
        append(&log, "t", numbered(i)).await;
    }
    log.delete_records("t", 0, 3).await.unwrap();
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "14"),
        ("min.compaction.lag.ms", "10"),
        ("delete.retention.ms", "1000"),
    ];
    log.create_topic("compact", 1, &settings).await.unwrap();
    let [a, b, c, value] = [b"a", b"b", b"c", b"v"].map(|text| Some(&text[..]));
    for records in [
        &[(a, value), (c, value)][..],
        &[(a, value)],
        &[(b, None)],
        &[(a, value)],
    ] {
        append(&log, "compact", keyed(records, 1000)).await;
    }
    fixture.clock.store(1_000_020, Ordering::Relaxed);
    let first = |log: &Log| {
        let read = log.read("compact", 0, 0, 1, Isolation::ReadCommitted);
        records::decode_one(&read.unwrap().batches[0])
            .unwrap()
            .len()
    };
    until(|| first(&log) == 1).await;
    log.close().await.unwrap();
    drop(log);
    let log = Log::open(fixture.disk(), options.clone()).unwrap();
    for i in 9..12 {
        append(&log, "t", numbered(i)).await;
    }
    let committed = Committed {
        metadata: "beside".to_owned(),
        ..Committed::at(12)
    };
    let output = Output {
        topic: "t".to_owned(),
        partition: 1,
        batches: batch(&[b"out"]),
    };
    let offsets = [(("t".to_owned(), 0), committed)].into();
    log.commit_batch(vec![output], "flow", offsets, || true)
        .await
        .unwrap();
    let minute = Duration::from_secs(60);
    let mut by = log.begin("worker", minute, None).await.unwrap();
    let within = async |log: &Log, by: Producer, value| {
        let one = batch_of(&[&[value; 60]], by.id, 0, 1000);
        let one = in_transaction(&one, by.epoch);
        let pending = log.submit_in("worker", true, "t", 1, one, Acks::Durable);
        pending.unwrap().done().await.unwrap();
    };
    for end in [End::Commit, End::Abort] {
        within(&log, by, 1).await;
        by = log.end("worker", by, end, true).await.unwrap();
    }
    within(&log, by, 2).await;
    log.keep_members("flow", || Membership::These("one".into()))
        .await
        .unwrap();
    // The checkpoint has one that is aborted and one that is open.
    log.close().await.unwrap();
    drop(log);
    let log = Log::open(fixture.disk(), options).unwrap();
    let offsets = [(("t".to_owned(), 0), Committed::at(99))].into();
    let kept = log.commit_offsets_in("worker", true, by, "flow", offsets, || true);
    kept.await.unwrap();
    for (group, members) in [
        ("gone", Membership::These("four".into())),
        ("later", Membership::These("two and three".into())),
        ("gone", Membership::Nobody),
    ] {
        log.keep_members(group, || members).await.unwrap();
    }
    // As a crash would leave it: without a last checkpoint.
    copy(fixture.folder.path(), to);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false if entry.file_name() == "LOCK" => {}
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// More partitions than files may be open.
#[tokio::test]
async fn thousands_of_partitions_need_few_files() {
    const COUNT: u32 = 1500;
    let fixture = Fixture::new();
    let options = Options {
        checkpoint_every: Duration::from_secs(3600),
        ..fixture.options()
    };
    let log = Log::open(fixture.disk(), options.clone()).unwrap();
    log.create_topic("t", COUNT, &[]).await.unwrap();
    for partition in 0..COUNT {
        log.room().await;
        let pending = log
            .submit("t", partition, batch(&[b"a"]), Acks::Durable)
            .unwrap();
        if partition == COUNT - 1 {
            pending.done().await.unwrap();
        }
    }
    log.close().await.unwrap();
    drop(log);
    let start = std::time::Instant::now();
    let log = Log::open(fixture.disk(), options).unwrap();
    println!("opened in {:?}", start.elapsed());
    for partition in [0, COUNT / 2, COUNT - 1] {
        assert_eq!(log.describe("t", partition).unwrap().high_watermark, 1);
    }
    assert!(start.elapsed() < Duration::from_secs(20));
}
