//! How fast are durable appends, and how close to what the disk gives?
//!
//! `cargo bench -p escala-stream-ingest --bench append -- FOLDER` (a folder on the disk to be measured; the default is
//! where temporary files go). Every case is measured in rounds that alternate with the disk's own: the same bytes written to one
//! file in sequence, with `fdatasync` after as many bytes as one of the log's rounds had on average. What is printed
//! are the medians of the rounds. A producer keeps five appends in flight, as Kafka's clients do; an append is a batch
//! of 16 KB of records, or one record if that is larger. `SECONDS` is the length of a round, one by default.

#[path = "../tests/common/batch.rs"]
mod common;

use bytes::Bytes;
use escala_stream_ingest::log::disk::{Disk, File, Folder};
use escala_stream_ingest::log::{Acks, Log, Options};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const BATCH: usize = 16 << 10;
const IN_FLIGHT: usize = 5;

/// A disk that counts the syncs of the write-ahead log.
struct Counted(Folder, Arc<AtomicU64>);

struct CountedFile(Arc<dyn File>, Arc<AtomicU64>);

impl Disk for Counted {
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let file = self.0.create(path)?;
        match path.starts_with("wal/") {
            true => Ok(Arc::new(CountedFile(file, self.1.clone()))),
            false => Ok(file),
        }
    }
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        self.0.open(path)
    }
    fn create_folder(&self, path: &str) -> io::Result<()> {
        self.0.create_folder(path)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.remove(path)
    }
    fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.0.remove_folder(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.0.list(path)
    }
    fn sync_folder(&self, path: &str) -> io::Result<()> {
        self.0.sync_folder(path)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn free(&self) -> io::Result<u64> {
        self.0.free()
    }
    fn total(&self) -> io::Result<u64> {
        self.0.total()
    }
    fn when_short(&self, close: Box<dyn Fn() + Send + Sync>) {
        self.0.when_short(close);
    }
}

impl File for CountedFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buffer, at)
    }
    fn read(&self, count: usize, at: u64) -> io::Result<Bytes> {
        self.0.read(count, at)
    }
    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.0.write_at(slices, at)
    }
    fn write_past(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.0.write_past(slices, at)
    }
    fn sync(&self) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.sync()
    }
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.0.allocate(bytes)
    }
}

/// A batch of so many records with values of so many bytes.
fn batch(count: usize, bytes: usize) -> Bytes {
    let value = vec![7; bytes];
    common::batch(&vec![value.as_slice(); count])
}

/// Appends for a while; gives records and bytes a second, and bytes a sync.
async fn appends(
    log: &Log,
    syncs: &AtomicU64,
    partitions: u32,
    batch: &Bytes,
    count: usize,
    time: Duration,
) -> (f64, f64, f64) {
    let before = syncs.load(Ordering::Relaxed);
    let start = Instant::now();
    let mut tasks = Vec::new();
    for partition in 0..partitions {
        let (log, batch) = (log.clone(), batch.clone());
        tasks.push(tokio::spawn(async move {
            let mut waiting = VecDeque::new();
            let mut done = 0u64;
            while start.elapsed() < time {
                log.room().await;
                match log.submit("bench", partition, batch.clone(), Acks::Durable) {
                    Ok(pending) => waiting.push_back(pending),
                    Err(escala_stream_ingest::log::Error::Busy) => {}
                    Err(error) => panic!("{error}"),
                }
                if waiting.len() >= IN_FLIGHT
                    && let Some(pending) = waiting.pop_front()
                {
                    pending
                        .done()
                        .await
                        .unwrap_or_else(|error| panic!("{error}"));
                    done += 1;
                }
            }
            for pending in waiting {
                pending
                    .done()
                    .await
                    .unwrap_or_else(|error| panic!("{error}"));
                done += 1;
            }
            done
        }));
    }
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap_or_else(|error| panic!("{error}"));
    }
    let seconds = start.elapsed().as_secs_f64();
    let bytes = done as f64 * batch.len() as f64;
    let syncs = syncs.load(Ordering::Relaxed) - before;
    (
        done as f64 * count as f64 / seconds,
        bytes / seconds,
        bytes / syncs.max(1) as f64,
    )
}

/// Writes in sequence with a sync after so many bytes; gives bytes a second.
fn raw(disk: &Folder, each: usize, time: Duration) -> io::Result<f64> {
    let bytes = vec![7; each];
    let file = disk.create("sequence")?;
    let start = Instant::now();
    let mut at = 0;
    while start.elapsed() < time {
        file.write_at(&[IoSlice::new(&bytes)], at)?;
        file.sync()?;
        at += each as u64;
    }
    let rate = at as f64 / start.elapsed().as_secs_f64();
    disk.remove("sequence")?;
    Ok(rate)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args()
        .nth(1)
        .filter(|folder| !folder.starts_with("--"));
    let folder = match folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let seconds = std::env::var("SECONDS")
        .ok()
        .and_then(|set| set.parse().ok())
        .unwrap_or(1.0);
    let time = Duration::from_secs_f64(seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    println!("record  partitions  records/s      MB/s  KB/sync  disk alone MB/s  ratio");
    for record in [100, 1 << 10, 10 << 10] {
        for partitions in [1, 12] {
            let count = (BATCH / record).max(1);
            let batch = batch(count, record);
            let (mut records, mut bytes, mut alone, mut sizes) =
                (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                let syncs = Arc::new(AtomicU64::new(0));
                let path = |name: &str| -> std::path::PathBuf {
                    Path::new(folder.path()).join(format!("{name}-{record}-{partitions}-{round}"))
                };
                let disk = Counted(Folder::open(path("log"))?, syncs.clone());
                let (rate, throughput, size) = runtime.block_on(async {
                    let log = Log::open(Arc::new(disk), Options::default())?;
                    log.create_topic("bench", partitions, &[]).await?;
                    let measured = appends(&log, &syncs, partitions, &batch, count, time).await;
                    log.close().await?;
                    Ok::<_, escala_stream_ingest::log::Error>(measured)
                })?;
                records.push(rate);
                bytes.push(throughput);
                sizes.push(size);
                alone.push(raw(&Folder::open(path("raw"))?, size as usize, time)?);
                std::fs::remove_dir_all(path("log"))?;
            }
            let (rate, throughput, disk) =
                (median(&mut records), median(&mut bytes), median(&mut alone));
            println!(
                "{record:6}  {partitions:10}  {rate:9.0}  {:8.1}  {:7.0}  {:15.1}  {:5.2}",
                throughput / 1e6,
                median(&mut sizes) / 1e3,
                disk / 1e6,
                throughput / disk
            );
        }
    }
    Ok(())
}
