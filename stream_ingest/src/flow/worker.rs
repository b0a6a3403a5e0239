//! A flow at work: a task for each partition that is its own, which reads ahead, asks, and commits in order.

use super::definition::Definition;
use super::event_log::{EventLog, Halt, Halted, Member, Partition};
use super::input::{Input, Takes};
use super::output::{Fate, Writer, Written};
use super::progress::{ALL, Progress};
use super::reader::{Item, Part};
use super::{Answer, Failed, Fault, MOST_BYTES, MOST_RECORDS, Predictor, Question};
use crate::log::now;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::RwLock;
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
pub(super) const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What the partitions of a flow share.
pub struct Work {
    pub flow: Arc<Definition>,
    pub takes: Takes,
    pub question: Question,
    pub predictor: Arc<dyn Predictor>,
    pub progress: Arc<Progress>,
    pub fence: Fence,
}

/// Tells the work of a flow from the work that it did before it rested or was put elsewhere.
#[derive(Clone, Default)]
pub struct Fence {
    generation: u64,
    current: Arc<AtomicU64>,
    /// Held for reading by whoever commits where a commit takes a while.
    committing: Arc<RwLock<()>>,
}

impl Fence {
    /// The fence of the work that begins now.
    pub fn now(&self) -> Self {
        Self {
            generation: self.current.load(Ordering::SeqCst),
            ..self.clone()
        }
    }

    /// Whether this work is still the flow's: once it is not, nothing more of it is committed.
    pub fn holds(&self) -> bool {
        self.current.load(Ordering::SeqCst) == self.generation
    }

    /// Ends the work there is. What it is committing may still come; see [`Fence::settled`].
    pub fn fall(&self) {
        self.current.fetch_add(1, Ordering::SeqCst);
    }

    /// Comes back when nothing of the work that ended can come any more.
    pub async fn settled(&self) {
        drop(self.committing.write().await);
    }

    /// Does what may commit, on a thread that may wait; `None` where the work has ended. Once it has begun it ends,
    /// whoever stops waiting for it.
    #[cfg(feature = "kafka")]
    pub async fn pass<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let fence = self.clone();
        let done = super::kafka::aside("kafka-commit", move || {
            let _committing = fence.committing.blocking_read();
            fence.holds().then(work)
        });
        done.await.flatten()
    }
}

/// A task that ends when nobody needs it any more.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
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

/// Works on the partitions that are a flow's own, and on those that come, until it is aborted.
pub async fn supervise(work: Arc<Work>, log: Arc<dyn EventLog>) {
    let mut pause = PAUSE.0;
    let member = loop {
        match log.join(work.clone()).await {
            Ok(member) => break member,
            Err(Halt::Over) => return,
            Err(Halt::Moved) => {}
            Err(Halt::Trouble(why)) => work.progress.trouble(ALL, why),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    };
    let mut assigned = BTreeMap::new();
    let mut tasks: BTreeMap<u32, Task> = BTreeMap::new();
    loop {
        let now = member.assigned(&assigned).await;
        for (partition, number) in &assigned {
            if now.get(partition) != Some(number)
                && let Some(mut task) = tasks.remove(partition)
            {
                task.0.abort();
                // It is through with the partition before another begins: that it was aborted is no news.
                let _ = (&mut task.0).await;
                work.progress.leave(*partition);
            }
        }
        for partition in now.keys() {
            tasks.entry(*partition).or_insert_with(|| {
                let run = work.clone().run(member.clone(), *partition);
                Task(tokio::spawn(run))
            });
        }
        assigned = now;
    }
}

impl Work {
    /// Works on a partition until it is aborted or the log stops.
    async fn run(self: Arc<Self>, member: Arc<dyn Member>, partition: u32) {
        let mut pause = PAUSE.0;
        loop {
            let begun = Instant::now();
            let Err(halt) = self.session(&*member, partition).await;
            match halt {
                Halt::Over => return,
                Halt::Moved => {}
                Halt::Trouble(why) => self.progress.trouble(partition, why),
            }
            // What lasted was no failure to begin.
            if begun.elapsed() > PAUSE.1 {
                pause = PAUSE.0;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Goes on from the committed offset until something is wrong.
    async fn session(self: &Arc<Self>, member: &dyn Member, number: u32) -> Halted<Infallible> {
        let mut partition = member.open(number).await?;
        self.progress.at(number, partition.begun());
        let mut asked: VecDeque<Asked> = VecDeque::new();
        let mut most = FIRST;
        let mut before = Instant::now();
        loop {
            let mut more = true;
            while more && asked.len() < AHEAD {
                match partition.take(most, MOST_BYTES).await? {
                    Some(part) => asked.push_back(self.ask(number, part)),
                    None => more = false,
                }
                let missed = partition.missed();
                self.progress.missed.fetch_add(missed, Ordering::Relaxed);
                if missed > 0 {
                    tracing::warn!(flow = %self.flow.name, partition = number, missed, "records were deleted before they were read");
                }
            }
            let Some(first) = asked.front_mut() else {
                partition.more().await?;
                continue;
            };
            let fates = tokio::select! {
                fates = &mut first.answering => fates,
                more = partition.more(), if !more => {
                    more?;
                    continue;
                }
            };
            let panicked = "asking ended in a panic; the log of the server says where";
            let fates = fates.map_err(|_| Halt::Trouble(panicked.to_owned()))?;
            let (next, records) = (first.next, first.records);
            let took = first.since.max(before).elapsed();
            self.commit(&mut *partition, number, next, fates).await?;
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
    async fn commit(
        &self,
        partition: &mut dyn Partition,
        number: u32,
        next: i64,
        fates: Vec<(Item, Fate)>,
    ) -> Halted<()> {
        let model = self.predictor.model(&self.question);
        let (most, most_dead) = partition.most()?;
        let writer = Writer {
            flow: &self.flow,
            partition: number,
            now: now(),
            model: model.as_ref(),
            most,
            most_dead,
            keyed: partition.keyed()?,
        };
        let mut written = Written::default();
        let mut left = fates.into_iter().peekable();
        while let Some((item, fate)) = left.next() {
            writer.add(&mut written, item, fate);
            if written.bytes > COMMIT
                && let Some((Item::Record(after), _)) = left.peek()
            {
                let until = after.offset;
                self.put(partition, number, std::mem::take(&mut written), until)
                    .await?;
            }
        }
        self.put(partition, number, written, next).await
    }

    async fn put(
        &self,
        partition: &mut dyn Partition,
        number: u32,
        written: Written,
        next: i64,
    ) -> Halted<()> {
        let (answers, dead) = (written.answers.len() as u64, written.dead.len() as u64);
        let records = written.records;
        partition.put(written, next).await?;
        self.progress.done(number, next, records, answers, dead);
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
