//! A flow at work on another Kafka: a member of its consumer group.
//!
//! The member reads nothing itself. It is told which partitions are its own, and each of them is read and written by
//! clients of its own ([`Theirs`]); so it takes part in the group whatever they wait for.

use super::super::event_log::{Halt, Halted, Member, Partition};
use super::super::progress::ALL;
use super::super::worker::Work;
use super::client::Consumer;
use super::partition::Theirs;
use super::{Shared, partitions};
use futures_util::future::BoxFuture;
use rdkafka::consumer::Consumer as _;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often the member looks whether its Kafka answers.
const LOOK: Duration = Duration::from_secs(2);
/// Longest wait for something to hear: how soon it notices that it is to leave.
const LISTEN: Duration = Duration::from_millis(100);

/// The member of a flow's group in this process. It leaves when it is dropped.
pub struct Group {
    shared: Arc<Shared>,
    work: Arc<Work>,
    member: Weak<Consumer>,
    assigned: watch::Receiver<BTreeMap<u32, u64>>,
    leave: Arc<AtomicBool>,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::SeqCst);
    }
}

impl Group {
    /// Joins.
    pub fn join(shared: Arc<Shared>, work: Arc<Work>) -> Halted<Self> {
        let cluster = &shared.cluster;
        let ears = cluster.ears(work.progress.clone(), -1);
        let assigned = ears.assigned();
        let member = cluster.consumer(&shared.group, Some(ears), Vec::new());
        let member = member.map_err(|error| cluster.halt(&error))?;
        let subscribed = member.subscribe(&[&work.flow.from]);
        subscribed.map_err(|error| cluster.halt(&error))?;
        let member = Arc::new(member);
        let weak = Arc::downgrade(&member);
        *shared.member.lock() = weak.clone();
        let leave = Arc::new(AtomicBool::new(false));
        let group = Self {
            shared: shared.clone(),
            work: work.clone(),
            member: weak,
            assigned,
            leave: leave.clone(),
        };
        let thread = std::thread::Builder::new().name("kafka-group".to_owned());
        let begun = thread.spawn(move || stay(&shared, &work, &member, &leave));
        begun.map_err(|error| Halt::Trouble(error.to_string()))?;
        Ok(group)
    }
}

/// Takes part in the group until it is to leave; whoever lets go of the client last leaves.
fn stay(shared: &Shared, work: &Work, member: &Consumer, leave: &AtomicBool) {
    let mut looked: Option<Instant> = None;
    while !leave.load(Ordering::SeqCst) {
        // What is wrong was heard already, and it is given no records.
        let _ = member.poll(LISTEN);
        if looked.is_none_or(|looked| looked.elapsed() > LOOK) {
            match partitions(member, &work.flow.from) {
                Ok(Some(_)) => work.progress.well(ALL),
                Ok(None) => {
                    let why = format!("there is no topic {}", work.flow.from);
                    let why = shared.cluster.error(why).to_string();
                    work.progress.trouble(ALL, why);
                }
                Err(error) => {
                    if let Halt::Trouble(why) = shared.cluster.halt(&error) {
                        work.progress.trouble(ALL, why);
                    }
                }
            }
            looked = Some(Instant::now());
        }
    }
}

impl Member for Group {
    fn assigned<'a>(&'a self, before: &'a BTreeMap<u32, u64>) -> BoxFuture<'a, BTreeMap<u32, u64>> {
        Box::pin(async move {
            let mut assigned = self.assigned.clone();
            let others = assigned.wait_for(|assigned| assigned != before).await;
            let others = others.map(|others| others.clone());
            match others {
                Ok(others) => others,
                // The member ended, and with it what it had; there is nothing more to hear.
                Err(_) if !before.is_empty() => BTreeMap::new(),
                Err(_) => std::future::pending().await,
            }
        })
    }

    fn open(&self, partition: u32) -> BoxFuture<'_, Halted<Box<dyn Partition>>> {
        Box::pin(async move {
            let (shared, work, member) = (&self.shared, &self.work, &self.member);
            let takes = shared.takes(&work.flow).await;
            let takes = takes.map_err(|error| Halt::Trouble(error.to_string()))?;
            let (shared, member) = (shared.clone(), member.clone());
            let (work, fence) = (work.clone(), &work.fence);
            let opened = fence.pass(move || Theirs::open(shared, work, member, partition, takes));
            let opened: Box<dyn Partition> = Box::new(opened.await.ok_or(Halt::Over)??);
            Ok(opened)
        })
    }
}
