//! A disk of the system that runs full, where root may mount one: what was acknowledged stays, reading goes on, and appends are
//! taken again when there is space, without anybody opening the log again.

#![cfg(target_os = "linux")]

#[path = "common/batch.rs"]
mod batch;

use bytes::Bytes;
use escala_stream_ingest::log::disk::Folder;
use escala_stream_ingest::log::{Acks, Error, Isolation, Log, Options};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of the disk.
const DISK: usize = 64 << 20;
/// Bytes that must be free for appends.
const RESERVE: u64 = 4 << 20;
/// Bytes of a record.
const RECORD: usize = 200_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A disk in memory, for as long as this is there.
struct Mounted(PathBuf);

impl Mounted {
    fn new(place: &Path) -> Result<Self, String> {
        let size = format!("size={DISK}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place);
        let output = mount.output().map_err(|error| format!("mount: {error}"))?;
        match output.status.success() {
            true => Ok(Self(place.to_owned())),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn options() -> Options {
    Options {
        wal_bytes: 4 << 20,
        cache_bytes: 1 << 20,
        checkpoint_bytes: 4 << 20,
        checkpoint_every: Duration::from_millis(100),
        retention_every: Duration::from_millis(100),
        reserve_bytes: RESERVE,
        ..Options::default()
    }
}

/// A record that says which it is.
fn record(number: usize) -> Vec<u8> {
    let mut value = format!("{number} ").into_bytes();
    value.resize(RECORD, number as u8);
    value
}

async fn append(log: &Log, number: usize) -> Result<i64, Error> {
    let one: Bytes = batch::batch(&[&record(number)]);
    let appended = log.append("t", 0, one, Acks::Durable).await?;
    Ok(appended.base_offset)
}

/// Appends until that is refused; gives how many there are then.
async fn fill(log: &Log, mut number: usize) -> usize {
    loop {
        match append(log, number).await {
            Ok(offset) => assert_eq!(offset, number as i64),
            Err(Error::Full { free, needed }) => {
                assert!(free < needed, "{free} {needed}");
                return number;
            }
            Err(error) => panic!("{error}"),
        }
        number += 1;
        assert!(number < 10 * DISK / RECORD, "the disk was never full");
    }
}

/// Takes every byte that is free, behind those that were taken before.
fn take_all(filler: &Path) {
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).append(true).open(filler);
    let mut file = file.expect("it can be written");
    let some = vec![1; 1 << 20];
    let error = loop {
        if let Err(error) = file.write_all(&some) {
            break error;
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

/// Appends one when that is possible again.
async fn append_again(log: &Log, number: usize) {
    let began = Instant::now();
    while let Err(error) = append(log, number).await {
        assert!(matches!(error, Error::Full { .. }), "{error}");
        assert!(began.elapsed() < PATIENCE, "still refused: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Reads every record from an offset on and holds it against what was appended.
fn hold(log: &Log, from: usize, until: usize) {
    for number in from..until {
        let read = log.read("t", 0, number as i64, 1, Isolation::ReadUncommitted);
        let read = read.expect("it can be read");
        let wanted = record(number);
        let found = read.batches.first().is_some_and(|batch| {
            batch[..8] == (number as i64).to_be_bytes()
                && batch.windows(32).any(|some| *some == wanted[..32])
        });
        assert!(found, "record {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = match Mounted::new(folder.path()) {
        Ok(mounted) => mounted,
        Err(why) => {
            eprintln!("warning: no full disk is tried here: {why}");
            return;
        }
    };
    let path = folder.path().join("log");
    let open = || Log::open(Arc::new(Folder::open(&path).unwrap()), options());
    let log = open().unwrap();
    let settings = [("segment.bytes", "2000000"), ("retention.ms", "-1")];
    log.create_topic("t", 1, &settings).await.unwrap();
    let mut count = fill(&log, 0).await;
    assert!(count > 50, "{count}");
    hold(&log, 0, count);
    // Somebody else takes the rest, to the last byte, also of what the log gives back meanwhile.
    let filler = folder.path().join("filler");
    let began = Instant::now();
    loop {
        take_all(&filler);
        match append(&log, count).await {
            Ok(_) => count += 1,
            Err(Error::Full { free: 0, .. }) => break,
            Err(Error::Full { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(began.elapsed() < PATIENCE, "there was no end to it");
    }
    hold(&log, 0, count);
    // The oldest half is given up, with no byte free: that makes space.
    let half = count / 2;
    log.delete_records("t", 0, half as i64).await.unwrap();
    append_again(&log, count).await;
    hold(&log, half, count + 1);
    count = fill(&log, count + 1).await;
    std::fs::remove_file(&filler).unwrap();
    append_again(&log, count).await;
    count = fill(&log, count + 1).await;
    hold(&log, half, count);
    // It is closed, and opened again, on a full disk.
    log.close().await.unwrap();
    drop(log);
    let began = Instant::now();
    while Folder::open(&path).is_err() {
        assert!(began.elapsed() < PATIENCE, "the folder is not given back");
    }
    let log = open().unwrap();
    hold(&log, half, count);
    log.close().await.unwrap();
    drop(log);
    drop(mounted);
}
