//! The flows there are: kept in a file, begun and ended here.

use super::definition::{Definition, Wanted};
use super::error::{Error, Result};
use super::progress::Progress;
use super::worker::Work;
use super::{Model, Predictor};
use crate::log::{self, Committed, Log, Offsets};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};

/// How often a flow looks for new partitions of its topic.
const LOOK: Duration = Duration::from_secs(1);
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
    progress: Arc<Progress>,
    /// Grows with every end of its work, so that nothing of the old one is committed any more.
    generation: Arc<AtomicU64>,
    work: Option<JoinHandle<()>>,
}

impl Entry {
    fn end(&mut self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        if let Some(work) = self.work.take() {
            work.abort();
        }
        self.progress.forget();
    }
}

/// The flows of a log. Lives as long as they are to work: dropped, they end.
pub struct Flows {
    log: Log,
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
    /// The flows that are kept in a file (none where it is not there), at work.
    ///
    /// # Errors
    /// [`Error::Stored`] when the file cannot be read.
    pub fn open(log: Log, path: PathBuf, predictor: Arc<dyn Predictor>) -> Result<Self> {
        let kept = read(&path).map_err(|source| Error::Stored {
            what: "read",
            path: path.clone(),
            source,
        })?;
        let flows = Self {
            log,
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
        self.log.keep_group(&flow.group());
        let mut entry = Entry {
            flow: Arc::new(flow),
            progress: Arc::default(),
            generation: Arc::default(),
            work: None,
        };
        self.begin(&mut entry);
        entry
    }

    /// Begins the work of a flow that does not rest.
    fn begin(&self, entry: &mut Entry) {
        if entry.flow.paused {
            return;
        }
        let question = entry.flow.question();
        let takes = match self.predictor.takes(&question) {
            Ok(takes) => takes,
            // It could be asked when it was made: the server was started with other models.
            Err(why) => {
                entry.progress.trouble(0, why);
                return;
            }
        };
        let work = Arc::new(Work {
            log: self.log.clone(),
            flow: entry.flow.clone(),
            takes,
            question,
            predictor: self.predictor.clone(),
            progress: entry.progress.clone(),
            generation: entry.generation.load(Ordering::SeqCst),
            current: entry.generation.clone(),
        });
        entry.work = Some(tokio::spawn(supervise(work)));
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
        }
        let refused = self.predictor.takes(&flow.question());
        refused.map_err(Error::Invalid)?;
        let from = match self.log.topic(&flow.from) {
            Err(log::Error::NoTopic(name)) => {
                let why = format!("there is no topic {name}; make it first, or write to it");
                return Err(Error::Invalid(why));
            }
            topic => topic?,
        };
        for name in [&flow.to, &flow.dead_letters] {
            match self.log.create_topic(name, from.partitions, &[]).await {
                Ok(_) | Err(log::Error::TopicExists(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.keep(|flows| flows.push(flow.clone())).await?;
        let name = flow.name.clone();
        let entry = self.entry(flow);
        self.entries.lock().insert(name.clone(), entry);
        self.describe(&name).await
    }

    /// All flows, sorted by name.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn list(&self) -> Result<Vec<Description>> {
        let names: Vec<String> = self.entries.lock().keys().cloned().collect();
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            match self.describe(&name).await {
                Ok(flow) => all.push(flow),
                // Deleted since.
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    fn known(&self, name: &str) -> Result<(Arc<Definition>, Arc<Progress>)> {
        let entries = self.entries.lock();
        let entry = entries.get(name);
        let entry = entry.ok_or_else(|| Error::NotFound(name.to_owned()))?;
        Ok((entry.flow.clone(), entry.progress.clone()))
    }

    /// A flow and what it does.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn describe(&self, name: &str) -> Result<Description> {
        let (flow, progress) = self.known(name)?;
        let offsets = self.log.offsets(&flow.group()).await?;
        let lag = match self.log.topic(&flow.from) {
            Ok(topic) => (0..topic.partitions)
                .filter_map(|partition| self.lag(&flow, &progress, &offsets, partition))
                .collect(),
            Err(_) => Vec::new(),
        };
        let state = match (flow.paused, progress.why()) {
            (true, _) => State::Paused,
            (false, Some(why)) => State::Waiting(why),
            (false, None) => State::Running,
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(Description {
            model: self.predictor.model(&flow.question()),
            state,
            lag,
            records: count(&progress.records),
            answers: count(&progress.answers),
            dead: count(&progress.dead),
            retried: count(&progress.retried),
            missed: count(&progress.missed),
            rate: progress.rate(),
            flow,
        })
    }

    fn lag(
        &self,
        flow: &Definition,
        progress: &Progress,
        offsets: &Offsets,
        partition: u32,
    ) -> Option<Lag> {
        let known = self.log.describe(&flow.from, partition).ok()?;
        let committed = offsets.get(&(flow.from.clone(), partition));
        let position = progress.position(partition);
        let position = position.or_else(|| committed.map(|committed| committed.offset));
        Some(Lag {
            partition,
            position: position.unwrap_or(known.log_start),
            end: known.last_stable,
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
        let (flow, _) = self.known(name)?;
        if flow.paused != paused {
            self.keep(|flows| {
                for flow in flows.iter_mut().filter(|flow| flow.name == name) {
                    flow.paused = paused;
                }
            })
            .await?;
            let mut entries = self.entries.lock();
            if let Some(entry) = entries.get_mut(name) {
                entry.end();
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
        let (flow, _) = self.known(name)?;
        let topic = self.log.topic(&flow.from)?;
        let partitions = match partition {
            None => 0..topic.partitions,
            Some(partition) if partition < topic.partitions => partition..partition + 1,
            Some(partition) => {
                let why = format!("{} has no partition {partition}", flow.from);
                return Err(Error::Invalid(why));
            }
        };
        let mut offsets = Offsets::new();
        for partition in partitions {
            let offset = self.offset(&flow.from, partition, to).await?;
            offsets.insert((flow.from.clone(), partition), Committed::at(offset));
        }
        if let Some(entry) = self.entries.lock().get_mut(name) {
            entry.end();
        }
        // Whatever its work was about to commit came before this, or never comes.
        let group = flow.group();
        let kept = self.log.commit_offsets(&group, offsets, || true).await;
        if let Some(entry) = self.entries.lock().get_mut(name) {
            self.begin(entry);
        }
        kept?;
        self.describe(name).await
    }

    async fn offset(&self, topic: &str, partition: u32, to: To) -> Result<i64> {
        let known = self.log.describe(topic, partition)?;
        match to {
            To::Earliest => Ok(known.log_start),
            To::Latest => Ok(known.last_stable),
            To::Offset(offset) if (known.log_start..=known.high_watermark).contains(&offset) => {
                Ok(offset)
            }
            To::Offset(offset) => Err(Error::Invalid(format!(
                "partition {partition} of {topic} has offsets {} to {}, and not {offset}",
                known.log_start, known.high_watermark
            ))),
            To::Time(time) => {
                let (log, topic) = (self.log.clone(), topic.to_owned());
                let found = tokio::task::spawn_blocking(move || {
                    log.offset_for_time(&topic, partition, time)
                });
                let found = found.await.unwrap_or(Err(log::Error::Closed))?;
                Ok(found.map_or(known.last_stable, |found| found.offset))
            }
        }
    }

    /// Ends a flow and forgets it and where it stood. The topics stay.
    ///
    /// # Errors
    /// [`Error::NotFound`]; those of the file and of the log.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let _changing = self.changing.lock().await;
        let (flow, _) = self.known(name)?;
        self.keep(|flows| flows.retain(|flow| flow.name != name))
            .await?;
        if let Some(mut entry) = self.entries.lock().remove(name) {
            entry.end();
        }
        self.log.release_group(&flow.group());
        match self.log.delete_group(&flow.group(), || true).await {
            Ok(()) | Err(log::Error::NoGroup(_)) => Ok(()),
            Err(error) => Err(error.into()),
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
            let Ok(topic) = self.log.topic(&entry.flow.from) else {
                continue;
            };
            for partition in 0..topic.partitions {
                let (Some(position), Ok(known)) = (
                    entry.progress.position(partition),
                    self.log.describe(&topic.name, partition),
                ) else {
                    continue;
                };
                let lag = (known.last_stable - position).max(0);
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

/// Works on every partition there is, and on those that come.
async fn supervise(work: Arc<Work>) {
    let mut partitions = JoinSet::new();
    loop {
        if let Ok(topic) = work.log.topic(&work.flow.from) {
            for partition in partitions.len() as u32..topic.partitions {
                partitions.spawn(work.clone().run(partition));
            }
        }
        tokio::time::sleep(LOOK).await;
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
