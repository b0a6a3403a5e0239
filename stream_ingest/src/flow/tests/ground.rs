//! What the flows of the suite work on: the built-in log, or another Kafka, which is asked by librdkafka.

use super::{Echo, PATIENCE};
use crate::flow::{External, Flows, Wanted};
use crate::log::disk::Folder;
use crate::log::{Acks, Isolation, Log, Options};
use crate::records::{self, Draft, Record};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A log, with topics and flows whose names are this ground's own.
pub struct Ground {
    /// Where its flows are kept, and whatever it needs.
    pub folder: TempDir,
    prefix: String,
    log: OnceLog,
    #[cfg(feature = "kafka")]
    other: Option<super::other::Other>,
}

/// The built-in log, while it is open.
type OnceLog = parking_lot::Mutex<Option<Log>>;

pub fn log(folder: &Path) -> Log {
    open(folder, Options::default().retention_every)
}

fn open(folder: &Path, retention_every: Duration) -> Log {
    let options = Options {
        reserve_bytes: 1 << 20,
        retention_every,
        ..Options::default()
    };
    Log::open(Arc::new(Folder::open(folder.join("log")).unwrap()), options).unwrap()
}

impl Ground {
    /// The built-in log.
    pub fn local() -> Self {
        Self::built_in(Options::default().retention_every)
    }

    /// The built-in log, which looks often for what can be compacted.
    pub fn compacting() -> Self {
        Self::built_in(Duration::from_millis(10))
    }

    fn built_in(retention_every: Duration) -> Self {
        let folder = TempDir::new().unwrap();
        let log = open(folder.path(), retention_every);
        Self {
            folder,
            prefix: String::new(),
            log: Some(log).into(),
            #[cfg(feature = "kafka")]
            other: None,
        }
    }

    /// Another Kafka.
    #[cfg(feature = "kafka")]
    pub fn other(other: super::other::Other, prefix: &str) -> Self {
        Self {
            other: Some(other),
            prefix: prefix.to_owned(),
            ..Self::local()
        }
    }

    pub fn is_local(&self) -> bool {
        #[cfg(feature = "kafka")]
        return self.other.is_none();
        #[cfg(not(feature = "kafka"))]
        true
    }

    /// The built-in log.
    pub fn log(&self) -> Log {
        self.log.lock().clone().expect("an open log")
    }

    /// Closes the built-in log and opens it again.
    pub async fn reopen(&self) {
        let log = self.log.lock().take().expect("an open log");
        log.close().await.unwrap();
        drop(log);
        *self.log.lock() = Some(self::log(self.folder.path()));
    }

    /// The name of a topic or a flow here.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A flow from `in` to `out`.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            name: self.name("f"),
            #[cfg(feature = "kafka")]
            brokers: self.other.as_ref().map(|other| other.brokers.clone()),
            from: self.name("in"),
            to: self.name("out"),
            task: "text".to_owned(),
            ..Wanted::default()
        }
    }

    /// Its flows, at work.
    pub fn flows(&self, echo: &Arc<Echo>) -> Flows {
        self.flows_in("flows.json", echo)
    }

    /// The flows of another server, kept in another file.
    pub fn flows_in(&self, file: &str, echo: &Arc<Echo>) -> Flows {
        let path = self.folder.path().join(file);
        Flows::open(self.log(), self.external(), path, echo.clone()).unwrap()
    }

    fn external(&self) -> External {
        #[cfg(feature = "kafka")]
        if let Some(other) = &self.other {
            return other.external(self.folder.path());
        }
        External::default()
    }

    pub async fn create_topic(&self, name: &str, partitions: u32, settings: &[(&str, &str)]) {
        let name = self.name(name);
        #[cfg(feature = "kafka")]
        if let Some(other) = &self.other {
            return other.create_topic(&name, partitions, settings).await;
        }
        let made = self.log().create_topic(&name, partitions, settings).await;
        made.unwrap();
    }

    pub async fn add_partitions(&self, name: &str, partitions: u32) {
        let name = self.name(name);
        #[cfg(feature = "kafka")]
        if let Some(other) = &self.other {
            return other.add_partitions(&name, partitions).await;
        }
        self.log().add_partitions(&name, partitions).await.unwrap();
    }

    pub async fn delete_records(&self, name: &str, partition: u32, before: i64) {
        let name = self.name(name);
        #[cfg(feature = "kafka")]
        if let Some(other) = &self.other {
            return other.delete_records(&name, partition, before).await;
        }
        let deleted = self.log().delete_records(&name, partition, before).await;
        deleted.unwrap();
    }

    /// Appends to `in`.
    pub async fn append(&self, partition: u32, drafts: &[Draft]) {
        self.append_to("in", partition, drafts).await;
    }

    pub async fn append_to(&self, name: &str, partition: u32, drafts: &[Draft]) {
        let name = self.name(name);
        #[cfg(feature = "kafka")]
        if let Some(other) = &self.other {
            return other.append(&name, partition, drafts);
        }
        let batch = records::encode(drafts).unwrap();
        let log = self.log();
        let appended = log.append(&name, partition, batch, Acks::Durable);
        appended.await.unwrap();
    }

    /// Everything in a partition: in another Kafka, what readers of committed records are shown.
    pub fn read(&self, name: &str, partition: u32) -> Vec<Record> {
        let name = self.name(name);
        #[cfg(feature = "kafka")]
        if let Some(other) = &self.other {
            return other.read(&name, partition);
        }
        let (log, mut all): (_, Vec<Record>) = (self.log(), Vec::new());
        loop {
            let next = all.last().map_or(0, |record| record.offset + 1);
            let isolation = Isolation::ReadUncommitted;
            let read = log.read(&name, partition, next, 1 << 20, isolation);
            let batches = read.unwrap().batches;
            if batches.is_empty() {
                return all;
            }
            for batches in batches {
                all.extend(records::decode(&batches).unwrap());
            }
        }
    }

    /// What readers of committed records are shown now of a partition of another Kafka.
    #[cfg(feature = "kafka")]
    pub fn read_now(&self, name: &str, partition: u32) -> Vec<Record> {
        let other = self.other.as_ref().expect("another Kafka");
        other.read_now(&self.name(name), partition)
    }

    /// The `retention.ms` of a topic.
    pub async fn retention(&self, name: &str) -> String {
        let name = self.name(name);
        #[cfg(feature = "kafka")]
        if let Some(other) = &self.other {
            return other.setting(&name, "retention.ms").await;
        }
        let config = self.log().topic(&name).unwrap().config;
        let milliseconds = |kept: Duration| kept.as_millis().to_string();
        config.retention.map_or("-1".to_owned(), milliseconds)
    }

    /// Where the group of `f` stands in a partition of `in`.
    pub async fn committed(&self, partition: u32) -> Option<i64> {
        let (group, topic) = (format!("flow-{}", self.name("f")), self.name("in"));
        #[cfg(feature = "kafka")]
        if let Some(other) = &self.other {
            return other.committed(&group, &topic, partition);
        }
        let offsets = self.log().offsets(&group).await.unwrap();
        let committed = offsets.get(&(topic, partition))?;
        Some(committed.offset)
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut met: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !met().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{what} did not come");
}
