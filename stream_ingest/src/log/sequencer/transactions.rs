//! What is decided about transactions. A transaction ends with one frame: a marker in every partition that it wrote to,
//! the offsets that it commits, and where its producer stands then.

use super::{Sequencer, size};
use crate::log::batch::Fresh;
use crate::log::error::{Error, Result};
use crate::log::event::Event;
use crate::log::marker::marker;
use crate::log::shared::Placed;
use crate::log::transactions::{Begin, Ending, LAST_EPOCH, Named, Owner, listed};
use crate::log::types::{Acks, Committed, End, Place, Producer, Transaction, Writer};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// Most bytes of the offsets of one transaction: they are committed by one frame.
const OFFSETS: usize = 16 << 20;

/// The transaction that an append or commit says it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub id: &'a str,
    /// Whether the partition or group joins the transaction with this; otherwise it must have joined before.
    pub joins: bool,
}

fn unplaced(event: Event) -> Placed {
    (event, None)
}

impl Sequencer {
    /// Puts events into the queue that may have an effect on transactions, as one frame.
    fn decide(&mut self, events: Vec<Placed>) -> u64 {
        for (event, _) in &events {
            self.transactions.apply(event);
        }
        self.push(events, Acks::None).0
    }

    /// Begins to use a transactional id, for transactions of at most `timeout` milliseconds: fences who used it before
    /// and aborts what that left open. `expected` is who asks, if it used the id before. Gives the frame that must be
    /// durable before the producer may be told.
    pub fn begin(
        &mut self,
        id: &str,
        timeout: i64,
        expected: Option<Producer>,
        now: i64,
        most: usize,
    ) -> Result<(Producer, u64)> {
        self.open()?;
        let begin = self.transactions.begin(id, expected)?;
        let mut events = Vec::new();
        if self.transactions.get(id).is_none() && self.transactions.len() >= most {
            let idlest = self.transactions.idlest();
            let idlest = idlest.ok_or(Error::Transactions(most))?.to_owned();
            events.push(unplaced(Event::Owner {
                id: idlest,
                owner: None,
            }));
        }
        let (producer, previous) = match begin {
            Begin::Again(producer) => return Ok((producer, self.last_lsn())),
            Begin::Next { producer, previous } => (producer, previous),
            Begin::Fresh { previous } => {
                let id = self.producer_id()?.0;
                (Producer { id, epoch: 0 }, previous)
            }
        };
        events.extend(self.marks(id, End::Abort, true, now));
        events.push(unplaced(Event::Owner {
            id: id.to_owned(),
            owner: Some(Owner {
                producer,
                previous,
                timeout,
                ended: None,
                at: now,
            }),
        }));
        Ok((producer, self.decide(events)))
    }

    /// Makes partitions and a group part of a producer's transaction.
    pub fn join(
        &mut self,
        id: &str,
        producer: Producer,
        places: &[Place],
        group: Option<&str>,
        now: i64,
    ) -> Result<u64> {
        self.open()?;
        let named = self.transactions.own(id, producer)?;
        let open = named.open.as_ref();
        let mut joining = BTreeSet::new();
        for (topic, partition) in places {
            // What an earlier transaction left open in a partition that is out of use must not become part of this one.
            self.live(topic, *partition)?.usable()?;
            let place = (self.id(topic)?, *partition);
            if !open.is_some_and(|open| open.places.contains(&place)) {
                joining.insert(place);
            }
        }
        let group = group.filter(|group| !open.is_some_and(|open| open.groups.contains(*group)));
        if joining.is_empty() && group.is_none() {
            return Ok(self.last_lsn());
        }
        let event = Event::Joined {
            id: id.to_owned(),
            at: now,
            places: joining.into_iter().collect(),
            groups: group.map(str::to_owned).into_iter().collect(),
        };
        Ok(self.decide(vec![unplaced(event)]))
    }

    /// Whether batches may be appended to a partition as far as transactions go; what joins one with them.
    pub(super) fn admit(
        &mut self,
        place: (Uuid, u32),
        batches: &[Fresh],
        part: Option<Part<'_>>,
        now: i64,
    ) -> Result<Option<Event>> {
        let mut joined = None;
        for head in batches.iter().map(|batch| &batch.head) {
            if !head.is_transactional() {
                let found = self.partition(place.0, place.1)?;
                if found.open.first(head.producer).is_some() {
                    return Err(Error::TransactionState(
                        "a batch of no transaction came from a producer with an open one",
                    ));
                }
                continue;
            }
            let part = part.ok_or(Error::Unnamed)?;
            let producer = Producer {
                id: head.producer,
                epoch: head.producer_epoch,
            };
            let open = self.owned(part.id, producer)?.open.as_ref();
            if open.is_some_and(|open| open.places.contains(&place)) {
                continue;
            }
            if !part.joins {
                return Err(Error::TransactionState(
                    "the partition was not added to the transaction",
                ));
            }
            joined = Some(Event::Joined {
                id: part.id.to_owned(),
                at: now,
                places: vec![place],
                groups: Vec::new(),
            });
        }
        Ok(joined)
    }

    /// The transactional id of a batch or an offset: whoever is fenced has an old epoch there.
    fn owned(&self, id: &str, producer: Producer) -> Result<&Named> {
        self.transactions.own(id, producer).map_err(|error| {
            let Error::ProducerFenced {
                producer,
                current,
                got,
            } = error
            else {
                return error;
            };
            Error::ProducerEpoch {
                producer,
                current,
                got,
            }
        })
    }

    /// Keeps offsets of a group that count when the transaction is committed.
    pub fn pend(
        &mut self,
        part: Part<'_>,
        producer: Producer,
        group: &str,
        offsets: Vec<(Place, Committed)>,
        now: i64,
    ) -> Result<u64> {
        self.open()?;
        let named = self.owned(part.id, producer)?;
        let open = named.open.as_ref();
        let mut events = Vec::new();
        if !open.is_some_and(|open| open.groups.contains(group)) {
            if !part.joins {
                return Err(Error::TransactionState(
                    "the group was not added to the transaction",
                ));
            }
            events.push(unplaced(Event::Joined {
                id: part.id.to_owned(),
                at: now,
                places: Vec::new(),
                groups: vec![group.to_owned()],
            }));
        }
        let event = Event::Pending {
            id: part.id.to_owned(),
            group: group.to_owned(),
            offsets,
        };
        let kept = open.into_iter().flat_map(|open| &open.offsets);
        let bytes = kept.map(|(group, offsets)| {
            let offsets = offsets.iter();
            group.len() + offsets.map(super::offset_size).sum::<usize>()
        });
        let bytes = bytes.sum::<usize>() + size(&event);
        if bytes > OFFSETS {
            return Err(Error::TooLong {
                what: "what a transaction commits",
                bytes,
                most: OFFSETS,
            });
        }
        events.push(unplaced(event));
        Ok(self.decide(events))
    }

    /// Ends a producer's transaction. With `bumps` the producer goes on under the next epoch.
    pub fn end(
        &mut self,
        id: &str,
        producer: Producer,
        end: End,
        bumps: bool,
        now: i64,
    ) -> Result<(Producer, u64)> {
        self.open()?;
        if let Ending::Before(producer) = self.transactions.ending(id, producer, end, bumps)? {
            return Ok((producer, self.last_lsn()));
        }
        let Some(named) = self.transactions.get(id) else {
            return Err(Error::NoTransactionalId(id.to_owned()));
        };
        let owner = named.owner;
        let places = named.open.iter().flat_map(|open| &open.places);
        for place in places.filter(|_| end == End::Commit) {
            // What is out of use cannot have its marker. The transaction can still be aborted.
            let found = self.topics.get(&place.0);
            let found = found.and_then(|topic| topic.partitions.get(place.1 as usize));
            found.map_or(Ok(()), |found| found.live.usable())?;
        }
        let (next, previous) = match bumps {
            false => (producer, owner.previous),
            true if producer.epoch >= LAST_EPOCH => {
                let id = self.producer_id()?.0;
                (Producer { id, epoch: 0 }, Some(producer))
            }
            true => {
                let epoch = producer.epoch + 1;
                (Producer { epoch, ..producer }, Some(producer))
            }
        };
        let mut events = self.marks(id, end, bumps, now);
        events.push(unplaced(Event::Owner {
            id: id.to_owned(),
            owner: Some(Owner {
                producer: next,
                previous,
                ended: Some(end),
                at: now,
                ..owner
            }),
        }));
        Ok((next, self.decide(events)))
    }

    /// What ends a transaction but for its owner: markers where it wrote, of the next epoch if the producer is fenced
    /// with them, and offsets if it is committed. Topics that were deleted have none, and partitions that are out of use
    /// get theirs when they are repaired.
    fn marks(&mut self, id: &str, end: End, fences: bool, now: i64) -> Vec<Placed> {
        let Some(named) = self.transactions.get(id) else {
            return Vec::new();
        };
        let Some(open) = named.open.clone() else {
            return Vec::new();
        };
        let mut producer = named.owner.producer;
        if fences {
            producer.epoch = producer.epoch.saturating_add(1);
        }
        let mut events = Vec::new();
        for place in open.places {
            events.extend(self.mark(place, producer, end, now));
        }
        if end == End::Commit {
            events.extend(open.offsets.iter().map(|(group, offsets)| {
                unplaced(Event::Offsets {
                    group: group.clone(),
                    offsets: listed(offsets),
                })
            }));
        }
        events
    }

    /// A marker in a partition, if the producer wrote to it.
    fn mark(&mut self, place: (Uuid, u32), producer: Producer, end: End, now: i64) -> Vec<Placed> {
        let Some(topic) = self.topics.get_mut(&place.0) else {
            return Vec::new();
        };
        let stamped = topic.config.log_append_time;
        let Some(found) = topic.partitions.get_mut(place.1 as usize) else {
            return Vec::new();
        };
        if found.open.first(producer.id).is_none() || found.live.usable().is_err() {
            return Vec::new();
        }
        let commits = end == End::Commit;
        let marker = marker(producer.id, producer.epoch, commits, now, stamped);
        found.place(place, vec![marker], now, stamped).0
    }

    /// Aborts what is open for longer than it may be; its producers are fenced. Whether there was any.
    pub fn time_out(&mut self, now: i64) -> bool {
        let overdue = match self.closed {
            true => Vec::new(),
            false => self.transactions.overdue(now),
        };
        for id in &overdue {
            let Some(owner) = self.transactions.get(id).map(|named| named.owner) else {
                continue;
            };
            tracing::info!(id, "a transaction was open for too long and is aborted");
            let mut events = self.marks(id, End::Abort, true, now);
            let epoch = owner.producer.epoch.saturating_add(1);
            events.push(unplaced(Event::Owner {
                id: id.clone(),
                owner: Some(Owner {
                    producer: Producer {
                        epoch,
                        ..owner.producer
                    },
                    previous: None,
                    ended: Some(End::Abort),
                    at: now,
                    ..owner
                }),
            }));
            self.decide(events);
        }
        !overdue.is_empty()
    }

    /// Forgets transactional ids that are idle since before this time. Whether there were any.
    pub fn forget_idle(&mut self, before: i64) -> bool {
        let idle = match self.closed {
            true => Vec::new(),
            false => self.transactions.idle_before(before),
        };
        let forgotten = !idle.is_empty();
        if forgotten {
            let forget = |id| unplaced(Event::Owner { id, owner: None });
            self.decide(idle.into_iter().map(forget).collect());
        }
        forgotten
    }

    /// Aborts in every partition what is open and belongs to no transaction any more: a partition that was out of use
    /// when its transaction ended, or whose transaction a repair could not save.
    pub fn abort_stray(&mut self, now: i64) {
        let mut stray = Vec::new();
        for (id, topic) in &self.topics {
            for (partition, found) in topic.partitions.iter().enumerate() {
                let place = (*id, partition as u32);
                let open = found.open.producers();
                stray.extend(
                    open.filter(|producer| !self.transactions.is_open(*producer, place))
                        .map(|producer| (place, producer, found.producers.epoch(producer))),
                );
            }
        }
        stray.sort_unstable();
        let mut events = Vec::new();
        for (place, id, epoch) in stray {
            let epoch = epoch.unwrap_or(0);
            let marks = self.mark(place, Producer { id, epoch }, End::Abort, now);
            if !marks.is_empty() {
                tracing::warn!(topic = %place.0, partition = place.1, producer = id, "a transaction that nobody will end is aborted");
            }
            events.extend(marks);
        }
        if !events.is_empty() {
            self.decide(events);
        }
    }

    /// Partitions of which a group may have another offset soon.
    pub fn unstable(&self, group: &str) -> BTreeSet<Place> {
        self.transactions.unstable(group)
    }

    /// The offsets of a group that a transaction is about to commit.
    #[cfg(test)]
    pub fn pending(&self, id: &str, group: &str) -> std::collections::BTreeMap<Place, i64> {
        let named = self.transactions.get(id);
        let open = named.and_then(|named| named.open.as_ref());
        let offsets = open.and_then(|open| open.offsets.get(group));
        offsets
            .into_iter()
            .flatten()
            .map(|(place, committed)| (place.clone(), committed.offset))
            .collect()
    }

    /// A transactional id.
    pub fn transaction(&self, id: &str) -> Result<Transaction> {
        let named = self.transactions.get(id);
        let named = named.ok_or_else(|| Error::NoTransactionalId(id.to_owned()))?;
        Ok(self.describe_transaction(named))
    }

    /// All transactional ids.
    pub fn all_transactions(&self) -> Vec<(String, Transaction)> {
        let all = self.transactions.iter();
        all.map(|(id, named)| (id.clone(), self.describe_transaction(named)))
            .collect()
    }

    fn describe_transaction(&self, named: &Named) -> Transaction {
        let places = named.open.iter().flat_map(|open| &open.places);
        let mut places: Vec<Place> = places
            .filter_map(|(id, partition)| Some((self.topics.get(id)?.name.clone(), *partition)))
            .collect();
        places.sort_unstable();
        Transaction {
            producer: named.owner.producer,
            stage: named.stage(),
            timeout: Duration::from_millis(u64::try_from(named.owner.timeout).unwrap_or(0)),
            since: named.open.as_ref().map(|open| open.since),
            places,
        }
    }

    /// What a partition knows of producers.
    pub fn writers(&self, topic: &str, partition: u32) -> Result<Vec<Writer>> {
        self.live(topic, partition)?;
        let found = self.topic(topic)?.partitions.get(partition as usize);
        let known = found.into_iter().flat_map(|found| {
            found
                .producers
                .list()
                .map(|(id, epoch, last_sequence, at)| Writer {
                    producer: Producer { id, epoch },
                    last_sequence,
                    at,
                    open_from: found.open.first(id),
                })
        });
        Ok(known.collect())
    }
}
