//! Flows on the built-in log: answers and offset are one frame of it.

use super::definition::{Definition, Guarantee};
use super::error::Result;
use super::event_log::{EventLog, Extent, Halt, Halted, Member, Partition, largest, retention};
use super::output::Written;
use super::reader::{Part, Reader};
use super::worker::{PAUSE, Work};
use crate::log::{self, Acks, Committed, Log, Offsets, Output};
use crate::records::{self, Draft};
use futures_util::future::BoxFuture;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a flow looks for new partitions of its topic, and whether it was made anew.
const LOOK: Duration = Duration::from_secs(1);

/// Milliseconds within which answers are appended after they were written: what a topic would refuse by then is not left to it.
const SLACK: i64 = 60_000;

/// The built-in log.
pub struct Local(pub Log);

fn offsets(topic: &str, offsets: impl IntoIterator<Item = (u32, i64)>) -> Offsets {
    let place = |(partition, offset)| ((topic.to_owned(), partition), Committed::at(offset));
    offsets.into_iter().map(place).collect()
}

impl EventLog for Local {
    fn partitions<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Option<u32>>> {
        Box::pin(async move {
            match self.0.topic(topic) {
                Ok(topic) => Ok(Some(topic.partitions)),
                Err(log::Error::NoTopic(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn create_topic<'a>(
        &'a self,
        topic: &'a str,
        partitions: u32,
        from: &'a str,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let config = self.0.topic(from)?.config;
            let own = config.overrides.get("retention.ms").map(String::as_str);
            let policy = if config.delete { "delete" } else { "compact" };
            let kept = retention(policy, own);
            let most = largest(config.max_message_bytes).to_string();
            let mut settings = vec![("max.message.bytes", &*most)];
            settings.extend(kept.as_deref().map(|kept| ("retention.ms", kept)));
            match self.0.create_topic(topic, partitions, &settings).await {
                Ok(_) | Err(log::Error::TopicExists(_)) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn extents<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<Extent>>> {
        Box::pin(async move {
            let partitions = self.partitions(topic).await?.unwrap_or(0);
            let extent = |partition| {
                let known = self.0.describe(topic, partition)?;
                Ok(Extent {
                    start: known.log_start,
                    end: known.last_stable,
                    high: known.high_watermark,
                })
            };
            (0..partitions).map(extent).collect()
        })
    }

    fn offset_for_time<'a>(
        &'a self,
        topic: &'a str,
        partition: u32,
        time: i64,
    ) -> BoxFuture<'a, Result<Option<i64>>> {
        let (log, topic) = (self.0.clone(), topic.to_owned());
        Box::pin(async move {
            let found =
                tokio::task::spawn_blocking(move || log.offset_for_time(&topic, partition, time));
            let found = found.await.unwrap_or(Err(log::Error::Closed))?;
            Ok(found.map(|found| found.offset))
        })
    }

    fn offsets<'a>(&'a self, flow: &'a Definition) -> BoxFuture<'a, Result<BTreeMap<u32, i64>>> {
        Box::pin(async move {
            let all = self.0.offsets(&flow.group()).await?;
            let ours = all.iter().filter(|((topic, _), _)| *topic == flow.from);
            Ok(ours
                .map(|((_, partition), committed)| (*partition, committed.offset))
                .collect())
        })
    }

    fn put<'a>(
        &'a self,
        flow: &'a Definition,
        wanted: BTreeMap<u32, i64>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let offsets = offsets(&flow.from, wanted);
            let group = flow.group();
            Ok(self.0.commit_offsets(&group, offsets, || true).await?)
        })
    }

    fn hold(&self, flow: &Definition, at_work: bool) {
        let topic = at_work.then_some(&*flow.from);
        self.0.occupy_group(&flow.group(), topic);
    }

    fn forget<'a>(&'a self, flow: &'a Definition) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.0.release_group(&flow.group());
            match self.0.delete_group(&flow.group(), || true).await {
                Ok(()) | Err(log::Error::NoGroup(_)) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn known_end(&self, topic: &str, partition: u32) -> Option<i64> {
        let known = self.0.describe(topic, partition).ok()?;
        Some(known.last_stable)
    }

    fn join(&self, work: Arc<Work>) -> BoxFuture<'_, Halted<Arc<dyn Member>>> {
        let log = self.0.clone();
        let member: Arc<dyn Member> = Arc::new(Alone { log, work });
        Box::pin(async move { Ok(member) })
    }
}

/// A flow of this log: all partitions are its own.
struct Alone {
    log: Log,
    work: Arc<Work>,
}

impl Member for Alone {
    fn assigned<'a>(&'a self, before: &'a BTreeMap<u32, u64>) -> BoxFuture<'a, BTreeMap<u32, u64>> {
        Box::pin(async move {
            loop {
                // A topic that is gone for now has the partitions that it had.
                if let Ok(topic) = self.log.topic(&self.work.flow.from) {
                    // One that is made anew has another id: its partitions are others.
                    let number = topic.id.as_u64_pair().1;
                    let now = (0..topic.partitions).map(|partition| (partition, number));
                    let now = now.collect::<BTreeMap<_, _>>();
                    if now != *before {
                        return now;
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        })
    }

    fn open(&self, partition: u32) -> BoxFuture<'_, Halted<Box<dyn Partition>>> {
        Box::pin(async move {
            let begun = self.begin(partition).await?;
            let reader = Reader::new(self.log.clone(), &self.work.flow.from, partition, begun)?;
            let place = Ours {
                log: self.log.clone(),
                work: self.work.clone(),
                partition,
                begun,
                reader,
            };
            // So that its group is seen from now on.
            place.keep(begun).await?;
            let place: Box<dyn Partition> = Box::new(place);
            Ok(place)
        })
    }
}

impl Alone {
    /// Where the partition goes on. Where nothing was committed it is at its first record: a flow that begins at the end
    /// has committed where that was when it was made, so the partition came later.
    async fn begin(&self, partition: u32) -> log::Result<i64> {
        let flow = &self.work.flow;
        let offsets = self.log.offsets(&flow.group()).await?;
        if let Some(committed) = offsets.get(&(flow.from.clone(), partition)) {
            return Ok(committed.offset);
        }
        Ok(self.log.describe(&flow.from, partition)?.log_start)
    }
}

/// A partition of this log.
struct Ours {
    log: Log,
    work: Arc<Work>,
    partition: u32,
    begun: i64,
    reader: Reader,
}

impl Partition for Ours {
    fn begun(&self) -> i64 {
        self.begun
    }

    fn take(&mut self, most: usize, bytes: usize) -> BoxFuture<'_, Halted<Option<Part>>> {
        Box::pin(async move { Ok(self.reader.take(most, bytes).await?) })
    }

    fn more(&mut self) -> BoxFuture<'_, Halted<()>> {
        Box::pin(async move { Ok(self.reader.more().await?) })
    }

    fn missed(&mut self) -> u64 {
        self.reader.missed()
    }

    fn most(&mut self) -> Halted<(usize, usize)> {
        let most = |topic: &str| -> log::Result<usize> {
            Ok(self.log.topic(topic)?.config.max_message_bytes)
        };
        let flow = &self.work.flow;
        Ok((most(&flow.to)?, most(&flow.dead_letters)?))
    }

    fn keyed(&mut self) -> Halted<bool> {
        Ok(self.log.topic(&self.work.flow.to)?.config.compact)
    }

    fn put(&mut self, written: Written, next: i64) -> BoxFuture<'_, Halted<()>> {
        Box::pin(async move {
            let outputs = self.outputs(&written)?;
            let (flow, mut pause) = (&self.work.flow, PAUSE.0);
            match flow.guarantee {
                Guarantee::ExactlyOnce => loop {
                    let (group, outputs) = (flow.group(), outputs.clone());
                    let offsets = offsets(&flow.from, [(self.partition, next)]);
                    let done = self
                        .log
                        .commit_batch(outputs, &group, offsets, self.fence());
                    match done.await {
                        Ok(_) => return Ok(()),
                        Err(error) => self.wait(error, &mut pause).await?,
                    }
                },
                Guarantee::AtLeastOnce => {
                    for output in outputs {
                        loop {
                            let (topic, batches) = (&output.topic, output.batches.clone());
                            let done =
                                self.log
                                    .append(topic, output.partition, batches, Acks::Durable);
                            match done.await {
                                Ok(_) => break,
                                Err(error) => self.wait(error, &mut pause).await?,
                            }
                        }
                    }
                    self.keep(next).await
                }
            }
        })
    }
}

impl Ours {
    fn outputs(&mut self, written: &Written) -> Halted<Vec<Output>> {
        let (most, most_dead) = self.most()?;
        let flow = &self.work.flow;
        let mut outputs = Vec::new();
        for (topic, drafts, most) in [
            (&flow.to, &written.answers, most),
            (&flow.dead_letters, &written.dead, most_dead),
        ] {
            if !drafts.is_empty() {
                let drafts = self.timely(topic, drafts)?;
                // The writer has held every record to the limit.
                let batches = records::batches(&drafts, most);
                let batches = batches.map_err(|over| log::Error::TooLarge {
                    bytes: over.bytes,
                    most,
                })?;
                outputs.push(Output {
                    topic: topic.clone(),
                    partition: self.partition % self.log.topic(topic)?.partitions,
                    batches,
                });
            }
        }
        Ok(outputs)
    }

    /// The same records with the log's time where a topic would refuse theirs, which was right where they come from.
    fn timely<'d>(&self, topic: &str, drafts: &'d [Draft]) -> Halted<Cow<'d, [Draft]>> {
        let (config, now) = (self.log.topic(topic)?.config, self.log.now());
        // Also a little later, when they are appended.
        let timely = |draft: &Draft| {
            let time = draft.timestamp;
            config.is_timely(time, now) && config.is_timely(time, now + SLACK)
        };
        if drafts.iter().all(timely) {
            return Ok(Cow::Borrowed(drafts));
        }
        let mut drafts = drafts.to_vec();
        for draft in drafts.iter_mut().filter(|draft| !timely(draft)) {
            draft.timestamp = now;
        }
        Ok(Cow::Owned(drafts))
    }

    /// Whether this work is still the flow's, and the partition the one that was read.
    fn fence(&self) -> impl FnOnce() -> bool + Send + use<> {
        let (fence, presence) = (self.work.fence.clone(), self.reader.presence().clone());
        move || fence.holds() && presence.holds()
    }

    /// Keeps the offset that the partition goes on with.
    async fn keep(&self, next: i64) -> Halted<()> {
        let (flow, mut pause) = (&self.work.flow, PAUSE.0);
        let group = flow.group();
        loop {
            let offsets = offsets(&flow.from, [(self.partition, next)]);
            let done = self.log.commit_offsets(&group, offsets, self.fence());
            match done.await {
                Ok(()) => return Ok(()),
                Err(error) => self.wait(error, &mut pause).await?,
            }
        }
    }

    /// Waits where the disk is full or the log busy, longer each time; anything else is handed back.
    async fn wait(&self, error: log::Error, pause: &mut Duration) -> Halted<()> {
        if matches!(error, log::Error::Fenced) && self.work.fence.holds() {
            // The work goes on; it is the topic that is gone, or another of its name.
            return Err(log::Error::NoTopic(self.work.flow.from.clone()).into());
        }
        if !matches!(error, log::Error::Full { .. } | log::Error::Busy) {
            return Err(Halt::from(error));
        }
        let progress = &self.work.progress;
        progress.trouble(self.partition, error.to_string());
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(PAUSE.1);
        Ok(())
    }
}
