//! One partition of a flow: reads ahead, asks, and commits in order.

use super::definition::{Definition, Guarantee, Start};
use super::input::{Input, Takes};
use super::output::{Fate, Writer, Written};
use super::progress::Progress;
use super::reader::{Item, Part, Reader};
use super::{Answer, Failed, Fault, MOST_BYTES, MOST_RECORDS, Model, Predictor, Question};
use crate::log::{Acks, Committed, Error, Log, Offsets, Output, Result, now};
use crate::records;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Parts that are asked about while the one before them is: the engine never waits for the log.
const AHEAD: usize = 3;
/// How long the engine should work on a part: what is done again after a crash, and how soon an answer is seen.
const PACE: Duration = Duration::from_millis(250);
/// Records of the first part.
const FIRST: usize = 32;
/// Bytes of answers after which a commit is made before the part is through.
const COMMIT: usize = 8 << 20;
/// How often a defect is asked about again.
const AGAIN: u32 = 3;
/// Waiting for the machine, before it is asked again: from, to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What the partitions of a flow share.
pub struct Work {
    pub log: Log,
    pub flow: Arc<Definition>,
    pub takes: Takes,
    pub question: Question,
    pub predictor: Arc<dyn Predictor>,
    pub progress: Arc<Progress>,
    /// The generation of this work, and the flow's: once they differ, nothing more of it is committed.
    pub generation: u64,
    pub current: Arc<AtomicU64>,
}

/// An answer that ends its work when nobody waits for it any more.
struct Asked {
    next: i64,
    since: Instant,
    records: usize,
    answering: JoinHandle<Vec<(Item, Fate)>>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

/// Why a session ends.
enum End {
    Log(Error),
    Panicked,
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Log(error)
    }
}

impl Work {
    /// Works on a partition until it is aborted or the log stops.
    pub async fn run(self: Arc<Self>, partition: u32) {
        let mut pause = PAUSE.0;
        loop {
            let begun = Instant::now();
            let Err(end) = self.session(partition).await;
            match end {
                End::Log(Error::Closed | Error::Failed(_) | Error::Fenced) => return,
                End::Log(error) => self.progress.trouble(partition, error.to_string()),
                End::Panicked => {
                    let why = "asking ended in a panic; the log of the server says where";
                    self.progress.trouble(partition, why.to_owned());
                }
            }
            // What lasted was no failure to begin.
            if begun.elapsed() > PAUSE.1 {
                pause = PAUSE.0;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    fn place(&self, partition: u32) -> (String, u32) {
        (self.flow.from.clone(), partition)
    }

    /// Where the partition goes on.
    async fn begin(&self, partition: u32) -> Result<i64> {
        let offsets = self.log.offsets(&self.flow.group()).await?;
        if let Some(committed) = offsets.get(&self.place(partition)) {
            return Ok(committed.offset);
        }
        let known = self.log.describe(&self.flow.from, partition)?;
        Ok(match self.flow.start {
            Start::Earliest => known.log_start,
            Start::Latest => known.high_watermark,
        })
    }

    /// Goes on from the committed offset until something is wrong.
    async fn session(self: &Arc<Self>, partition: u32) -> std::result::Result<Infallible, End> {
        let from = self.begin(partition).await?;
        let mut reader = Reader::new(self.log.clone(), &self.flow.from, partition, from)?;
        // A flow that begins at the end must not begin later after a restart.
        self.keep(partition, from).await?;
        self.progress.at(partition, from);
        let mut asked: VecDeque<Asked> = VecDeque::new();
        let mut most = FIRST;
        let mut before = Instant::now();
        loop {
            let mut more = true;
            while more && asked.len() < AHEAD {
                match reader.take(most, MOST_BYTES).await? {
                    Some(part) => asked.push_back(self.ask(partition, part)),
                    None => more = false,
                }
                let missed = reader.missed();
                self.progress.missed.fetch_add(missed, Ordering::Relaxed);
                if missed > 0 {
                    tracing::warn!(flow = %self.flow.name, partition, missed, "records were deleted before they were read");
                }
            }
            let Some(first) = asked.front_mut() else {
                reader.more().await?;
                continue;
            };
            let fates = tokio::select! {
                fates = &mut first.answering => fates,
                more = reader.more(), if !more => {
                    more?;
                    continue;
                }
            };
            let fates = fates.map_err(|_| End::Panicked)?;
            let (next, records) = (first.next, first.records);
            let took = first.since.max(before).elapsed();
            self.commit(partition, next, fates).await?;
            asked.pop_front();
            before = Instant::now();
            if records == most || took > PACE {
                let wanted = PACE.as_secs_f64() / took.as_secs_f64().max(1e-6);
                let wanted = most as f64 * wanted.clamp(0.5, 2.0);
                most = (wanted as usize).clamp(1, MOST_RECORDS);
            }
        }
    }

    /// Asks about a part, beside everything else.
    fn ask(self: &Arc<Self>, partition: u32, part: Part) -> Asked {
        let (work, next, records) = (self.clone(), part.next, part.items.len());
        Asked {
            next,
            since: Instant::now(),
            records,
            answering: tokio::spawn(async move { work.fates(partition, part.items).await }),
        }
    }

    /// What becomes of each item. Asks as often as it takes.
    async fn fates(&self, partition: u32, items: Vec<Item>) -> Vec<(Item, Fate)> {
        let mut fates: Vec<Option<Fate>> = Vec::with_capacity(items.len());
        let mut open: Vec<(usize, Input)> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            fates.push(match item {
                Item::Damaged { .. } => Some(Fate::Tombstone),
                Item::Record(record) => match &record.value {
                    None => Some(Fate::Tombstone),
                    Some(value) => match Input::of(value, self.takes, self.flow.field.as_deref()) {
                        Ok(input) => {
                            open.push((at, input));
                            None
                        }
                        Err(failed) => Some(Fate::Dead(failed)),
                    },
                },
            });
        }
        let (mut pause, mut defects) = (PAUSE.0, 0);
        while !open.is_empty() {
            let inputs = open.iter().map(|(_, input)| input.clone()).collect();
            let answers = self.predictor.predict(&self.question, inputs).await;
            let mut why = None;
            let mut again = Vec::new();
            let mut answers: VecDeque<Answer> = answers.into();
            for (at, input) in open {
                match answers.pop_front().unwrap_or_else(|| Err(unanswered())) {
                    Ok(answer) => fates[at] = Some(Fate::Answer(answer)),
                    Err(failed) if failed.fault == Fault::Record => {
                        fates[at] = Some(Fate::Dead(failed));
                    }
                    Err(failed) if failed.fault == Fault::Defect && defects >= AGAIN => {
                        fates[at] = Some(Fate::Dead(failed));
                    }
                    Err(failed) => {
                        why = Some(failed);
                        again.push((at, input));
                    }
                }
            }
            open = again;
            if let Some(failed) = why {
                defects += u32::from(failed.fault == Fault::Defect);
                let records = open.len() as u64;
                self.progress.retried.fetch_add(records, Ordering::Relaxed);
                self.progress.trouble(partition, failed.message);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
        let fate = |fate: Option<Fate>| fate.unwrap_or_else(|| Fate::Dead(unanswered()));
        items.into_iter().zip(fates.into_iter().map(fate)).collect()
    }

    /// Writes what became of a part and the offset after it.
    async fn commit(&self, partition: u32, next: i64, fates: Vec<(Item, Fate)>) -> Result<()> {
        let model = self.predictor.model(&self.question);
        let writer = self.writer(partition, model.as_ref())?;
        let mut written = Written::default();
        let mut left = fates.into_iter().peekable();
        while let Some((item, fate)) = left.next() {
            writer.add(&mut written, item, fate);
            if written.bytes > COMMIT
                && let Some((Item::Record(after), _)) = left.peek()
            {
                let until = after.offset;
                self.put(&writer, std::mem::take(&mut written), until)
                    .await?;
            }
        }
        self.put(&writer, written, next).await
    }

    fn writer<'a>(&'a self, partition: u32, model: Option<&'a Model>) -> Result<Writer<'a>> {
        let most = |topic: &str| Ok(self.log.topic(topic)?.config.max_message_bytes);
        Ok(Writer {
            flow: &self.flow,
            partition,
            now: now(),
            model,
            most: most(&self.flow.to)?,
            most_dead: most(&self.flow.dead_letters)?,
            keyed: self.log.topic(&self.flow.to)?.config.compact,
        })
    }

    async fn put(&self, writer: &Writer<'_>, written: Written, next: i64) -> Result<()> {
        let partition = writer.partition;
        let mut outputs = Vec::new();
        for (topic, drafts, most) in [
            (&self.flow.to, &written.answers, writer.most),
            (&self.flow.dead_letters, &written.dead, writer.most_dead),
        ] {
            if !drafts.is_empty() {
                // The writer has held every record to the limit.
                let batches = records::batches(drafts, most);
                let batches = batches.map_err(|over| Error::TooLarge {
                    bytes: over.bytes,
                    most,
                })?;
                outputs.push(Output {
                    topic: topic.clone(),
                    partition: partition % self.log.topic(topic)?.partitions,
                    batches,
                });
            }
        }
        let mut pause = PAUSE.0;
        match self.flow.guarantee {
            Guarantee::ExactlyOnce => loop {
                let (group, offsets) = (self.flow.group(), self.offsets(partition, next));
                let done = self
                    .log
                    .commit_batch(outputs.clone(), &group, offsets, self.fence());
                match done.await {
                    Ok(_) => break,
                    Err(error) => self.wait(partition, error, &mut pause).await?,
                }
            },
            Guarantee::AtLeastOnce => {
                for output in outputs {
                    loop {
                        let (topic, batches) = (&output.topic, output.batches.clone());
                        let done = self
                            .log
                            .append(topic, output.partition, batches, Acks::Durable);
                        match done.await {
                            Ok(_) => break,
                            Err(error) => self.wait(partition, error, &mut pause).await?,
                        }
                    }
                }
                self.keep(partition, next).await?;
            }
        }
        let (answers, dead) = (written.answers.len() as u64, written.dead.len() as u64);
        self.progress
            .done(partition, next, written.records, answers, dead);
        Ok(())
    }

    fn offsets(&self, partition: u32, next: i64) -> Offsets {
        Offsets::from([(self.place(partition), Committed::at(next))])
    }

    /// Keeps the offset that the partition goes on with.
    async fn keep(&self, partition: u32, next: i64) -> Result<()> {
        let (group, mut pause) = (self.flow.group(), PAUSE.0);
        loop {
            let offsets = self.offsets(partition, next);
            let done = self.log.commit_offsets(&group, offsets, self.fence());
            match done.await {
                Ok(()) => return Ok(()),
                Err(error) => self.wait(partition, error, &mut pause).await?,
            }
        }
    }

    fn fence(&self) -> impl FnOnce() -> bool + Send + 'static {
        let (current, generation) = (self.current.clone(), self.generation);
        move || current.load(Ordering::SeqCst) == generation
    }

    /// Waits where the disk is full or the log busy, longer each time; anything else is handed back.
    async fn wait(&self, partition: u32, error: Error, pause: &mut Duration) -> Result<()> {
        if !matches!(error, Error::Full { .. } | Error::Busy) {
            return Err(error);
        }
        self.progress.trouble(partition, error.to_string());
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(PAUSE.1);
        Ok(())
    }
}

fn unanswered() -> Failed {
    Failed {
        fault: Fault::Defect,
        code: "internal".to_owned(),
        message: "the prediction has no answer".to_owned(),
    }
}
