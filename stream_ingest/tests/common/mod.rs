//! A broker on a free port, over a log in a folder of its own.
#![allow(dead_code)] // each test file uses a part

pub mod wire;

use escala_stream_ingest::broker::{self, Options};
use escala_stream_ingest::log::{self, Log, disk};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Pause between two looks at a condition.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Longest wait for a condition.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes that a log keeps free: the usual reserve would be most of what a test writes.
const RESERVE: u64 = 1 << 20;

/// A running broker; it stops when it is dropped.
pub struct Broker {
    pub address: SocketAddr,
    pub log: Log,
    /// Milliseconds that its clock is ahead.
    ahead: Arc<AtomicI64>,
    every: Duration,
    pub runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    folder: Option<TempDir>,
}

/// What tests change: groups do not wait for more members, sessions may be short.
pub fn options() -> Options {
    let mut options = Options::default();
    options.groups.initial_delay = Duration::ZERO;
    options.groups.shortest_session = Duration::from_millis(100);
    options
}

impl Broker {
    pub fn start(options: Options) -> Self {
        Self::over(options, tempfile::tempdir().expect("a folder"))
    }

    /// One whose log looks so often for what is old or to be compacted.
    pub fn tidying(options: Options, every: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::on(options, folder, Arc::default(), every, RESERVE)
    }

    /// One over the log in a folder.
    pub fn over(options: Options, folder: TempDir) -> Self {
        let usual = log::Options::default().retention_every;
        Self::on(options, folder, Arc::default(), usual, RESERVE)
    }

    fn on(
        options: Options,
        folder: TempDir,
        ahead: Arc<AtomicI64>,
        retention_every: Duration,
        reserve_bytes: u64,
    ) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        // A log that was closed gives its folder back when its threads have ended.
        let mut disk = None;
        wait_for("the folder is free", || {
            disk = disk::Folder::open(folder.path()).ok();
            disk.is_some()
        });
        let disk = disk.expect("a disk");
        let usual = log::Options::default();
        let (clock, skew) = (usual.clock.clone(), ahead.clone());
        let small = log::Options {
            reserve_bytes,
            transactions_every: Duration::from_millis(20),
            retention_every,
            clock: Arc::new(move || clock() + skew.load(Ordering::Relaxed)),
            ..usual
        };
        let log = Log::open(Arc::new(disk), small).expect("a log");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = broker::serve(listener, log.clone(), options, async {
            let _ = stopped.await;
        });
        Self {
            address,
            log,
            ahead,
            every: retention_every,
            stop: Some(stop),
            serving: Some(runtime.spawn(serving)),
            runtime,
            folder: Some(folder),
        }
    }

    /// Makes a topic of one partition.
    pub fn topic(&self, name: &str, config: &[(&str, &str)]) {
        let made = self.log.create_topic(name, 1, config);
        self.runtime.block_on(made).expect("a topic");
    }

    /// The offset after the last record of a topic's only partition.
    pub fn end(&self, topic: &str) -> i64 {
        let found = self.log.describe(topic, 0);
        found.expect("a partition").high_watermark
    }

    /// Lets time pass for its log.
    pub fn pass(&self, milliseconds: i64) {
        self.ahead.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Tells it to stop, without waiting.
    pub fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has stopped.
    pub fn stopped(&mut self) {
        self.begin_stop();
        if let Some(serving) = self.serving.take() {
            self.runtime.block_on(serving).expect("the broker ends");
        }
    }

    /// Stops it and starts another one over the same folder.
    pub fn restart(self, options: Options) -> Self {
        self.again(options, RESERVE)
    }

    /// The same, with a disk that has less space than the log keeps free.
    pub fn restart_full(self, options: Options) -> Self {
        self.again(options, 1 << 62)
    }

    fn again(mut self, options: Options, reserve_bytes: u64) -> Self {
        self.stopped();
        self.runtime
            .block_on(self.log.close())
            .expect("the log closes");
        let folder = self.folder.take().expect("a folder");
        let (ahead, every) = (self.ahead.clone(), self.every);
        drop(self);
        Self::on(options, folder, ahead, every, reserve_bytes)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stopped();
    }
}

/// Waits until `condition` holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        std::thread::sleep(LOOK_AGAIN);
    }
}
