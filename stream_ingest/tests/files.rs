//! A process that may open no more files: the log waits for some, and goes on. A test of its own, since the limit is the process's.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::wire::Batch;
use common::{PATIENCE, wait_for};
use escala_stream_ingest::log::disk::Folder;
use escala_stream_ingest::log::{Acks, Isolation, Log, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TOPICS: u64 = 20;
const APPENDS: u64 = 400;

#[test]
fn a_log_that_may_open_no_more_files_waits_for_some() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options {
        // A file of the write-ahead log for every few appends, and a segment for each topic.
        wal_bytes: 64 << 10,
        checkpoint_every: Duration::from_millis(20),
        reserve_bytes: 1 << 20,
        ..Options::default()
    };
    let open = || Log::open(Arc::new(Folder::open(folder.path()).unwrap()), options()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let log = open();
    let name = |topic: u64| format!("t{topic}");
    for topic in 0..TOPICS {
        let topic = name(topic);
        let made = log.create_topic(&topic, 1, &[("segment.bytes", "40000")]);
        runtime.block_on(made).unwrap();
    }
    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(100),
        ..limit
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!taken.is_empty());
    let done = Arc::new(AtomicU64::new(0));
    let writing = {
        let (log, done) = (log.clone(), done.clone());
        runtime.spawn(async move {
            for number in 0..APPENDS {
                let value = vec![b'x'; 10_000];
                let batch = Batch::default().of(&[&value, number.to_string().as_bytes()]);
                let topic = name(number % TOPICS);
                log.append(&topic, 0, batch.into(), Acks::Durable).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, escala_stream_ingest::log::Error>(())
        })
    };
    // What it has open it may close and open again, so it comes some way; then it stands still, or is through.
    let (mut before, mut since) = (0, Instant::now());
    wait_for("it waits", || {
        let now = done.load(Ordering::Relaxed);
        if now != before {
            (before, since) = (now, Instant::now());
        }
        writing.is_finished() || since.elapsed() > PATIENCE / 30
    });
    drop(taken);
    runtime.block_on(writing).unwrap().unwrap();
    setrlimit(Resource::Nofile, limit).unwrap();
    runtime.block_on(log.close()).unwrap();
    drop(log);
    let log = open();
    for topic in 0..TOPICS {
        // An answer has batches of one segment.
        let mut read = Vec::new();
        loop {
            let next = 2 * read.len() as i64;
            let some = log.read(&name(topic), 0, next, 1 << 30, Isolation::ReadCommitted);
            match some.unwrap().batches {
                none if none.is_empty() => break,
                some => read.extend(some),
            }
        }
        assert_eq!(read.len() as u64, APPENDS / TOPICS, "{topic}");
    }
}
