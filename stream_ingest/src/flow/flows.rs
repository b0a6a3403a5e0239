//! The flows there are: kept in a file, begun and ended here.

use super::definition::{Definition, Start, Wanted};
use super::error::{Error, Result};
use super::event_log::{EventLog, Extent};
use super::external::External;
use super::local::Local;
use super::progress::{ALL, Progress};
use super::worker::{Fence, Work, supervise};
use super::{Model, Predictor};
use crate::log::{self, Log};
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinHandle;

/// Most flows.
const MOST: usize = 1000;
/// Format of the file.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    flows: Vec<Definition>,
}

/// What a flow is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It works, or there is nothing to do.
    Running,
    /// It rests until it is resumed.
    Paused,
    /// It tries again: why.
    Waiting(String),
}

/// Where a flow stands in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// The partition.
    pub partition: u32,
    /// The offset that it goes on with.
    pub position: i64,
    /// The offset after the last record.
    pub end: i64,
}

impl Lag {
    /// Offsets that are still to be done.
    pub fn lag(&self) -> i64 {
        (self.end - self.position).max(0)
    }
}

/// A flow and what it does.
#[derive(Debug, Clone)]
pub struct Description {
    /// What it is.
    pub flow: Arc<Definition>,
    /// What it does.
    pub state: State,
    /// Who answers.
    pub model: Option<Model>,
    /// Where it stands.
    pub lag: Vec<Lag>,
    /// Records since the server started.
    pub records: u64,
    /// Answers since then.
    pub answers: u64,
    /// Dead letters since then.
    pub dead: u64,
    /// Records that were asked about again since then.
    pub retried: u64,
    /// Records that were deleted before they were read, since then.
    pub missed: u64,
    /// Records a second, of the last seconds.
    pub rate: f64,
    /// What is unusual about where answers go, if anything is.
    pub warning: Option<String>,
}

/// Where a flow is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To the first record that is there.
    Earliest,
    /// After the last.
    Latest,
    /// To an offset.
    Offset(i64),
    /// To the first record with this time or a later one, in milliseconds since 1970; after the last where there is none.
    Time(i64),
}

struct Entry {
    flow: Arc<Definition>,
    /// The log that it works on, or why there is none.
    log: std::result::Result<Arc<dyn EventLog>, Arc<Error>>,
    progress: Arc<Progress>,
    fence: Fence,
    work: Option<JoinHandle<()>>,
}

impl Entry {
    fn end(&mut self) {
        self.fence.fall();
        if let Some(work) = self.work.take() {
            work.abort();
            if let Ok(log) = &self.log {
                log.hold(&self.flow, false);
            }
        }
        self.progress.forget();
    }
}

/// The flows of a log. Lives as long as they are to work: dropped, they end.
pub struct Flows {
    log: Arc<dyn EventLog>,
    external: External,
    predictor: Arc<dyn Predictor>,
    path: PathBuf,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// Held by whoever changes what there is.
    changing: tokio::sync::Mutex<()>,
}

impl Drop for Flows {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Flows {
    /// The flows that are kept in a file (none where it is not there), at work: on this log, or on another Kafka, with the
    /// settings that there are for it.
    ///
    /// # Errors
    /// [`Error::Stored`] when the file cannot be read.
    pub fn open(
        log: Log,
        external: External,
        path: PathBuf,
        predictor: Arc<dyn Predictor>,
    ) -> Result<Self> {
        let kept = read(&path).map_err(|source| Error::Stored {
            what: "read",
            path: path.clone(),
            source,
        })?;
        let flows = Self {
            log: Arc::new(Local(log)),
            external,
            predictor,
            path,
            entries: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        };
        for flow in kept {
            let entry = flows.entry(flow);
            let mut entries = flows.entries.lock();
            entries.insert(entry.flow.name.clone(), entry);
        }
        Ok(flows)
    }

    /// Ends the work of all. What was committed is what they go on from.
    pub fn stop(&self) {
        for entry in self.entries.lock().values_mut() {
            entry.end();
        }
    }

    fn entry(&self, flow: Definition) -> Entry {
        let mut entry = Entry {
            log: self.log_of(&flow).map_err(Arc::new),
            progress: Arc::new(Progress::of(&flow.name)),
            flow: Arc::new(flow),
            fence: Fence::default(),
            work: None,
        };
        if let Ok(log) = &entry.log {
            log.hold(&entry.flow, false);
        }
        self.begin(&mut entry);
        entry
    }

    /// The log that a flow works on.
    fn log_of(&self, flow: &Definition) -> Result<Arc<dyn EventLog>> {
        match &flow.brokers {
            None => Ok(self.log.clone()),
            Some(brokers) => self.external.open(brokers, flow),
        }
    }

    /// Begins the work of a flow that does not rest.
    fn begin(&self, entry: &mut Entry) {
        if entry.flow.paused {
            return;
        }
        let log = match &entry.log {
            Ok(log) => log.clone(),
            Err(error) => return entry.progress.trouble(ALL, error.to_string()),
        };
        let question = entry.flow.question();
        let takes = match self.predictor.takes(&question) {
            Ok(takes) => takes,
            // It could be asked when it was made: the server was started with other models.
            Err(why) => {
                entry.progress.trouble(ALL, why);
                return;
            }
        };
        let work = Arc::new(Work {
            flow: entry.flow.clone(),
            takes,
            question,
            predictor: self.predictor.clone(),
            progress: entry.progress.clone(),
            fence: entry.fence.now(),
        });
        log.hold(&entry.flow, true);
        entry.work = Some(tokio::spawn(supervise(work, log)));
    }

    /// Ends the work of a flow; when this comes back nothing more of it is written.
    async fn end(&self, name: &str) {
        let fence = self.entries.lock().get_mut(name).map(|entry| {
            entry.end();
            entry.fence.clone()
        });
        if let Some(fence) = fence {
            fence.settled().await;
        }
    }

    /// Makes a flow, and the topics that it writes where they are not there. It is durable when this comes back.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it cannot be, [`Error::Exists`]; those of the log and of the file.
    pub async fn create(&self, wanted: Wanted) -> Result<Description> {
        let flow = Definition::new(wanted, log::now())?;
        let _changing = self.changing.lock().await;
        {
            let entries = self.entries.lock();
            if entries.contains_key(&flow.name) {
                return Err(Error::Exists(flow.name));
            }
            if entries.len() >= MOST {
                return Err(Error::Invalid(format!("there are {MOST} flows, the most")));
            }
            flow.ends_among(entries.values().map(|entry| &*entry.flow))?;
        }
        let refused = self.predictor.takes(&flow.question());
        refused.map_err(Error::Invalid)?;
        let log = self.log_of(&flow)?;
        let Some(partitions) = log.partitions(&flow.from).await? else {
            let name = &flow.from;
            let why = format!("there is no topic {name}; make it first, or write to it");
            return Err(Error::Invalid(why));
        };
        for name in [&flow.to, &flow.dead_letters] {
            log.create_topic(name, partitions, &flow.from).await?;
        }
        if flow.start == Start::Latest {
            begin_at_the_end(&*log, &flow).await?;
        }
        if let Err(error) = self.keep(|flows| flows.push(flow.clone())).await {
            // Another of its name begins where it says.
            if flow.brokers.is_none()
                && let Err(error) = log.forget(&flow).await
            {
                tracing::warn!(flow = flow.name, %error, "where a flow was to begin is not forgotten");
            }
            return Err(error);
        }
        let name = flow.name.clone();
        let entry = self.entry(flow);
        self.entries.lock().insert(name.clone(), entry);
        let made = self.describe(&name).await?;
        if let Some(warning) = &made.warning {
            tracing::warn!(flow = name, "{warning}");
        }
        Ok(made)
    }

    /// All flows, sorted by name.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn list(&self) -> Result<Vec<Description>> {
        let names: Vec<String> = self.entries.lock().keys().cloned().collect();
        // Together: one that is far away does not hold up the others.
        let all = names.iter().map(|name| self.describe(name));
        let all = join_all(all).await.into_iter();
        // One that is not found was deleted since.
        all.filter(|flow| !matches!(flow, Err(Error::NotFound(_))))
            .collect()
    }

    /// What the flows are, by name; nobody is asked how they are.
    pub fn definitions(&self) -> Vec<Arc<Definition>> {
        let entries = self.entries.lock();
        entries.values().map(|entry| entry.flow.clone()).collect()
    }

    fn known(&self, name: &str) -> Result<Known> {
        let entries = self.entries.lock();
        let entry = entries.get(name);
        let entry = entry.ok_or_else(|| Error::NotFound(name.to_owned()))?;
        Ok(Known {
            flow: entry.flow.clone(),
            log: entry.log.clone(),
            progress: entry.progress.clone(),
        })
    }

    /// A flow and what it does.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn describe(&self, name: &str) -> Result<Description> {
        let known = self.known(name)?;
        let (flow, progress) = (&known.flow, &known.progress);
        let (lag, unknown) = match known.lag().await {
            Ok(lag) => (lag, None),
            // It is there all the same.
            Err(error @ (Error::Kafka { .. } | Error::NoKafka)) => {
                (Vec::new(), Some(error.to_string()))
            }
            Err(error) => return Err(error),
        };
        let warning = known.warning(lag.len()).await;
        let state = match (flow.paused, progress.why().or(unknown)) {
            (true, _) => State::Paused,
            (false, Some(why)) => State::Waiting(why),
            (false, None) => State::Running,
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(Description {
            model: self.predictor.model(&flow.question()),
            state,
            lag,
            warning,
            records: count(&progress.records),
            answers: count(&progress.answers),
            dead: count(&progress.dead),
            retried: count(&progress.retried),
            missed: count(&progress.missed),
            // What rests has none, though what it did lately fades slowly.
            rate: if known.flow.paused {
                0.0
            } else {
                progress.rate()
            },
            flow: known.flow.clone(),
        })
    }

    /// Lets a flow rest: when this comes back, nothing more of it is written.
    ///
    /// # Errors
    /// [`Error::NotFound`]; those of the file.
    pub async fn pause(&self, name: &str) -> Result<Description> {
        self.rest(name, true).await
    }

    /// Lets a flow go on.
    ///
    /// # Errors
    /// [`Error::NotFound`]; those of the file.
    pub async fn resume(&self, name: &str) -> Result<Description> {
        self.rest(name, false).await
    }

    async fn rest(&self, name: &str, paused: bool) -> Result<Description> {
        let _changing = self.changing.lock().await;
        if self.known(name)?.flow.paused != paused {
            self.keep(|flows| {
                for flow in flows.iter_mut().filter(|flow| flow.name == name) {
                    flow.paused = paused;
                }
            })
            .await?;
            self.end(name).await;
            let mut entries = self.entries.lock();
            if let Some(entry) = entries.get_mut(name) {
                entry.flow = Arc::new(Definition {
                    paused,
                    ..(*entry.flow).clone()
                });
                self.begin(entry);
            }
        }
        self.describe(name).await
    }

    /// Puts a flow somewhere else, in one partition or in all. Answers of records that it meets again are written again.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`] for an offset that is not there; those of the log.
    pub async fn reset(&self, name: &str, partition: Option<u32>, to: To) -> Result<Description> {
        let _changing = self.changing.lock().await;
        let known = self.known(name)?;
        let (flow, log) = (&known.flow, known.log()?);
        let extents = log.extents(&flow.from).await?;
        if extents.is_empty() {
            return Err(Error::Invalid(format!("there is no topic {}", flow.from)));
        }
        let partitions = match partition {
            None => 0..extents.len(),
            Some(partition) if (partition as usize) < extents.len() => {
                partition as usize..partition as usize + 1
            }
            Some(partition) => {
                let why = format!("{} has no partition {partition}", flow.from);
                return Err(Error::Invalid(why));
            }
        };
        let mut offsets = BTreeMap::new();
        for at in partitions {
            let partition = at as u32;
            let offset = offset(&**log, &flow.from, partition, extents[at], to).await?;
            offsets.insert(partition, offset);
        }
        self.end(name).await;
        // Whatever its work was about to commit came before this, or never comes.
        let kept = log.put(flow, offsets).await;
        if let Some(entry) = self.entries.lock().get_mut(name) {
            self.begin(entry);
        }
        kept?;
        self.describe(name).await
    }

    /// Ends a flow and forgets it and where it stood. The topics stay.
    ///
    /// # Errors
    /// [`Error::NotFound`]; those of the file and of the log.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let _changing = self.changing.lock().await;
        let known = self.known(name)?;
        self.keep(|flows| flows.retain(|flow| flow.name != name))
            .await?;
        self.end(name).await;
        self.entries.lock().remove(name);
        match &known.log {
            Ok(log) => log.forget(&known.flow).await,
            // It never worked here.
            Err(_) => Ok(()),
        }
    }

    /// Keeps the flows with a change: the file is the new one or the old one, whole.
    async fn keep(&self, change: impl FnOnce(&mut Vec<Definition>)) -> Result<()> {
        let mut flows: Vec<Definition> = {
            let entries = self.entries.lock();
            entries
                .values()
                .map(|entry| (*entry.flow).clone())
                .collect()
        };
        change(&mut flows);
        let path = self.path.clone();
        let kept = tokio::task::spawn_blocking(move || write(&path, flows));
        let kept = kept
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        kept.map_err(|source| Error::Stored {
            what: "kept",
            path: self.path.clone(),
            source,
        })
    }

    /// Adds what the flows count, in Prometheus's format.
    pub fn write_metrics(&self, text: &mut String) {
        let entries = self.entries.lock();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        type Read = fn(&Progress) -> &AtomicU64;
        let counters: [(&str, &str, Read); 5] = [
            ("records", "Records that flows are done with.", |p| {
                &p.records
            }),
            ("answers", "Answers that flows wrote.", |p| &p.answers),
            (
                "dead_letters",
                "Records that flows could not predict.",
                |p| &p.dead,
            ),
            ("retries", "Records that flows asked about again.", |p| {
                &p.retried
            }),
            (
                "missed",
                "Records that were deleted before flows read them.",
                |p| &p.missed,
            ),
        ];
        for (name, help, of) in counters {
            let name = format!("escala_flow_{name}_total");
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} counter\n"));
            for (flow, entry) in &*entries {
                let value = count(of(&entry.progress));
                text.push_str(&format!("{name}{{flow=\"{flow}\"}} {value}\n"));
            }
        }
        let gauge = |text: &mut String, name: &str, help: &str| {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        };
        gauge(
            text,
            "escala_flow_lag",
            "Offsets that flows have still to do.",
        );
        for (name, entry) in &*entries {
            let Ok(log) = &entry.log else {
                continue;
            };
            for partition in entry.progress.partitions() {
                let (Some(position), Some(end)) = (
                    entry.progress.position(partition),
                    log.known_end(&entry.flow.from, partition),
                ) else {
                    continue;
                };
                let lag = (end - position).max(0);
                text.push_str(&format!(
                    "escala_flow_lag{{flow=\"{name}\",partition=\"{partition}\"}} {lag}\n"
                ));
            }
        }
        gauge(
            text,
            "escala_flow_running",
            "1 for a flow that works, 0 for one that rests or waits.",
        );
        for (name, entry) in &*entries {
            let running = !entry.flow.paused && entry.progress.why().is_none();
            let running = u8::from(running);
            text.push_str(&format!(
                "escala_flow_running{{flow=\"{name}\"}} {running}\n"
            ));
        }
    }
}

/// What is known of a flow without holding the lock.
struct Known {
    flow: Arc<Definition>,
    log: std::result::Result<Arc<dyn EventLog>, Arc<Error>>,
    progress: Arc<Progress>,
}

impl Known {
    fn log(&self) -> Result<&Arc<dyn EventLog>> {
        self.log.as_ref().map_err(|error| match &**error {
            Error::NoKafka => Error::NoKafka,
            error => Error::Invalid(error.to_string()),
        })
    }

    /// That answers come to partitions of other numbers than their records, which `partitions` have, where they do.
    async fn warning(&self, partitions: usize) -> Option<String> {
        if partitions == 0 {
            return None;
        }
        let (log, mut others) = (self.log().ok()?, Vec::new());
        for topic in [&self.flow.to, &self.flow.dead_letters] {
            match log.partitions(topic).await {
                Ok(Some(count)) if count as usize != partitions => {
                    others.push(format!("{topic} has {count}"));
                }
                // What cannot be asked now is no news.
                _ => {}
            }
        }
        let from = &self.flow.from;
        let rule =
            "what comes from partition p goes to partition p modulo their number, whatever its key";
        (!others.is_empty()).then(|| {
            let others = others.join(" and ");
            format!("{from} has {partitions} partitions and {others}: {rule}")
        })
    }

    /// Where it stands in each partition.
    async fn lag(&self) -> Result<Vec<Lag>> {
        let log = self.log()?;
        let extents = log.extents(&self.flow.from);
        let (extents, offsets) = tokio::try_join!(extents, log.offsets(&self.flow))?;
        let lag = |(partition, extent): (u32, Extent)| {
            let position = self.progress.position(partition);
            let position = position.or_else(|| offsets.get(&partition).copied());
            Lag {
                partition,
                position: position.unwrap_or(extent.start),
                end: extent.end,
            }
        };
        Ok((0..).zip(extents).map(lag).collect())
    }
}

/// Commits where the partitions end now, so that a new flow begins there whenever it begins to work; partitions that come
/// later are read from their first record. On another Kafka the group may be at work already, on other servers: then it
/// stands where it stands.
async fn begin_at_the_end(log: &dyn EventLog, flow: &Definition) -> Result<()> {
    let shared = flow.brokers.is_some();
    if shared && !log.offsets(flow).await?.is_empty() {
        return Ok(());
    }
    let extents = log.extents(&flow.from).await?;
    let ends = (0..).zip(extents.iter().map(|extent| extent.high));
    log.put(flow, ends.collect()).await
}

async fn offset(
    log: &dyn EventLog,
    topic: &str,
    partition: u32,
    extent: Extent,
    to: To,
) -> Result<i64> {
    let Extent { start, end, high } = extent;
    match to {
        To::Earliest => Ok(start),
        To::Latest => Ok(end),
        To::Offset(offset) if (start..=high).contains(&offset) => Ok(offset),
        To::Offset(offset) => Err(Error::Invalid(format!(
            "partition {partition} of {topic} has offsets {start} to {high}, and not {offset}"
        ))),
        To::Time(time) => {
            let found = log.offset_for_time(topic, partition, time).await?;
            Ok(found.unwrap_or(end))
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<Definition>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes?,
    };
    let kept: Kept = serde_json::from_slice(&bytes)?;
    match kept.version {
        VERSION => Ok(kept.flows),
        version => Err(io::Error::other(format!(
            "it has format {version}, and this program reads {VERSION}"
        ))),
    }
}

fn write(path: &Path, flows: Vec<Definition>) -> io::Result<()> {
    let kept = Kept {
        version: VERSION,
        flows,
    };
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(&serde_json::to_vec_pretty(&kept)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
