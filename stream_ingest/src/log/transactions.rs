//! Transactional ids: who may write under each, and what is in its transaction.
//!
//! ```text
//!            InitProducerId          something joins              EndTxn, or time is up
//! (unknown) ────────────────► Empty ─────────────────► Ongoing ────────────────────────► Committed or Aborted
//!                               ▲                         ▲                                  │      │
//!                               │                         └──────── something joins ─────────┘      │
//!                               └──────────────── InitProducerId: the next epoch ───────────────────┘
//! ```
//!
//! Everything is decided at one place and at once, so that there are no states between these, as Kafka needs them while
//! its brokers write markers: an end happens or it did not, and nobody is told to come back later
//! (`CONCURRENT_TRANSACTIONS`).
//!
//! The sequencer decides with what is here and lets the events it decided on have their effect; the checkpoint's image
//! lets the same events have it again.

use super::codec::{Put, Take};
use super::error::{Error, Result};
use super::event::{self, Event};
use super::types::{Committed, End, Offsets, Place, Producer, Stage};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// The last epoch that is given to a producer: one more is left to fence it.
pub(crate) const LAST_EPOCH: i16 = i16::MAX - 1;

/// Who has a transactional id, as events say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub producer: Producer,
    /// What the producer was called before its own request changed that: who repeats the request still uses it.
    pub previous: Option<Producer>,
    /// How long a transaction may be open, in milliseconds.
    pub timeout: i64,
    /// How the last transaction ended, if there was one.
    pub ended: Option<End>,
    /// When this became so.
    pub at: i64,
}

/// What is in an open transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub since: i64,
    pub places: BTreeSet<(Uuid, u32)>,
    pub groups: BTreeSet<String>,
    /// Offsets that count if it is committed, by group.
    pub offsets: BTreeMap<String, Offsets>,
}

/// A transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub owner: Owner,
    pub open: Option<Contents>,
}

/// All transactional ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Transactions {
    ids: BTreeMap<String, Named>,
    /// Which of them has a producer.
    producers: HashMap<i64, String>,
    /// When those that are open must have ended.
    deadlines: BTreeSet<(i64, String)>,
    /// Since when the others are idle.
    idle: BTreeSet<(i64, String)>,
}

/// What is to be done for somebody who begins to use a transactional id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// A producer of its own has to be made.
    Fresh {
        /// Whom it replaces, if whoever asks was that.
        previous: Option<Producer>,
    },
    /// The same producer with the next epoch.
    Next {
        producer: Producer,
        previous: Option<Producer>,
    },
    /// It was done before and is asked for again.
    Again(Producer),
}

/// What is to be done to end a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is to be ended.
    Now,
    /// It was ended before, the same way.
    Before(Producer),
}

impl Named {
    pub fn stage(&self) -> Stage {
        match (&self.open, self.owner.ended) {
            (Some(_), _) => Stage::Ongoing,
            (None, Some(End::Commit)) => Stage::Committed,
            (None, Some(End::Abort)) => Stage::Aborted,
            (None, None) => Stage::Empty,
        }
    }

    fn deadline(&self) -> Option<i64> {
        let open = self.open.as_ref()?;
        Some(open.since.saturating_add(self.owner.timeout))
    }

    pub fn fenced(&self, producer: Producer) -> Error {
        Error::ProducerFenced {
            producer: producer.id,
            current: self.owner.producer.epoch,
            got: producer.epoch,
        }
    }
}

impl Transactions {
    pub fn get(&self, id: &str) -> Option<&Named> {
        self.ids.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Named)> {
        self.ids.iter()
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether a producer has an open transaction that this partition is in.
    pub fn is_open(&self, producer: i64, place: (Uuid, u32)) -> bool {
        let named = self
            .producers
            .get(&producer)
            .and_then(|id| self.ids.get(id));
        let open = named.and_then(|named| named.open.as_ref());
        open.is_some_and(|open| open.places.contains(&place))
    }

    /// The transactional id, if this producer may write under it.
    pub fn own(&self, id: &str, producer: Producer) -> Result<&Named> {
        let named = self.ids.get(id);
        let named = named.filter(|named| named.owner.producer.id == producer.id);
        let named = named.ok_or_else(|| Error::ProducerMapping {
            id: id.to_owned(),
            producer: producer.id,
        })?;
        match named.owner.producer.epoch == producer.epoch {
            true => Ok(named),
            false => Err(named.fenced(producer)),
        }
    }

    /// What is to be done for somebody who begins to use a transactional id, and who says that it is `expected` if it
    /// used the id before.
    pub fn begin(&self, id: &str, expected: Option<Producer>) -> Result<Begin> {
        let Some(named) = self.ids.get(id) else {
            return Ok(Begin::Fresh { previous: None });
        };
        let current = named.owner.producer;
        if let Some(expected) = expected
            && expected != current
        {
            return match named.owner.previous == Some(expected) && named.open.is_none() {
                true => Ok(Begin::Again(current)),
                false => Err(named.fenced(expected)),
            };
        }
        let previous = expected;
        Ok(match current.epoch >= LAST_EPOCH {
            true => Begin::Fresh { previous },
            false => Begin::Next {
                producer: Producer {
                    epoch: current.epoch + 1,
                    ..current
                },
                previous,
            },
        })
    }

    /// What is to be done for a producer that ends its transaction. With `bumps` every end changes the producer's epoch, so
    /// that a request which arrives late cannot be taken for one of the next transaction; and an abort is taken also when
    /// nothing is in the transaction.
    pub fn ending(&self, id: &str, producer: Producer, end: End, bumps: bool) -> Result<Ending> {
        let state = |why| Err(Error::TransactionState(why));
        let repeated =
            |named: &Named| bumps && named.open.is_none() && named.owner.previous == Some(producer);
        if let Some(named) = self.ids.get(id).filter(|named| repeated(named))
            && let Some(ended) = named.owner.ended
        {
            return match ended == end {
                true => Ok(Ending::Before(named.owner.producer)),
                false => state("the transaction was ended the other way"),
            };
        }
        let named = self.own(id, producer)?;
        match (named.stage(), end) {
            (Stage::Ongoing, _) => Ok(Ending::Now),
            (_, End::Abort) if bumps => Ok(Ending::Now),
            (_, End::Commit) if bumps => state("there is no transaction to commit"),
            (Stage::Committed, End::Commit) | (Stage::Aborted, End::Abort) => {
                Ok(Ending::Before(producer))
            }
            (Stage::Empty, _) => state("there is no transaction to end"),
            _ => state("the transaction was ended the other way"),
        }
    }

    /// The transactional id that was idle longest.
    pub fn idlest(&self) -> Option<&str> {
        self.idle.first().map(|(_, id)| id.as_str())
    }

    /// Those that are idle since before this time.
    pub fn idle_before(&self, time: i64) -> Vec<String> {
        let idle = self.idle.iter().take_while(|(since, _)| *since < time);
        idle.map(|(_, id)| id.clone()).collect()
    }

    /// Those whose transaction must have ended by now.
    pub fn overdue(&self, now: i64) -> Vec<String> {
        let due = self.deadlines.iter().take_while(|(at, _)| *at <= now);
        due.map(|(_, id)| id.clone()).collect()
    }

    /// Partitions of which a group may have another offset soon: it is in a transaction that is open.
    pub fn unstable(&self, group: &str) -> BTreeSet<Place> {
        let open = self.deadlines.iter();
        let open = open.filter_map(|(_, id)| self.ids.get(id)?.open.as_ref());
        open.filter_map(|open| open.offsets.get(group))
            .flat_map(|offsets| offsets.keys().cloned())
            .collect()
    }

    /// Lets an event have its effect; most have none here.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Owner { id, owner } => {
                self.take(id);
                if let Some(owner) = owner {
                    let named = Named {
                        owner: *owner,
                        open: None,
                    };
                    self.put(id, named);
                }
            }
            Event::Joined {
                id,
                at,
                places,
                groups,
            } => self.change(id, |named| {
                let open = named.open.get_or_insert_with(|| Contents {
                    since: *at,
                    ..Contents::default()
                });
                open.places.extend(places);
                open.groups.extend(groups.iter().cloned());
            }),
            Event::Pending { id, group, offsets } => self.change(id, |named| {
                if let Some(open) = &mut named.open {
                    let kept = open.offsets.entry(group.clone()).or_default();
                    kept.extend(offsets.iter().cloned());
                }
            }),
            Event::Removed { name, .. } => {
                for named in self.ids.values_mut() {
                    if let Some(open) = &mut named.open {
                        open.offsets.retain(|_, kept| {
                            kept.retain(|(topic, _), _| topic != name);
                            !kept.is_empty()
                        });
                    }
                }
            }
            _ => {}
        }
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Named)) {
        if let Some(mut named) = self.take(id) {
            change(&mut named);
            self.put(id, named);
        }
    }

    fn take(&mut self, id: &str) -> Option<Named> {
        let named = self.ids.remove(id)?;
        self.producers.remove(&named.owner.producer.id);
        match named.deadline() {
            Some(deadline) => self.deadlines.remove(&(deadline, id.to_owned())),
            None => self.idle.remove(&(named.owner.at, id.to_owned())),
        };
        Some(named)
    }

    fn put(&mut self, id: &str, named: Named) {
        self.producers
            .insert(named.owner.producer.id, id.to_owned());
        match named.deadline() {
            Some(deadline) => self.deadlines.insert((deadline, id.to_owned())),
            None => self.idle.insert((named.owner.at, id.to_owned())),
        };
        self.ids.insert(id.to_owned(), named);
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.ids.len() as u32);
        for (id, named) in &self.ids {
            out.text(id);
            put_owner(out, &named.owner);
            let Some(open) = &named.open else {
                out.u8(0);
                continue;
            };
            out.u8(1);
            out.i64(open.since);
            event::put_partitions(out, open.places.iter());
            out.u32(open.groups.len() as u32);
            open.groups.iter().for_each(|group| out.text(group));
            out.u32(open.offsets.len() as u32);
            for (group, offsets) in &open.offsets {
                out.text(group);
                event::put_offsets(out, offsets.iter());
            }
        }
    }

    pub fn decode(take: &mut Take<'_>) -> Option<Self> {
        let ids = take.list(|take| {
            let (id, owner) = (take.text()?, take_owner(take)?);
            let open = match take.u8()? {
                0 => None,
                _ => Some(Contents {
                    since: take.i64()?,
                    places: event::take_partitions(take)?.into_iter().collect(),
                    groups: take.list(Take::text)?.into_iter().collect(),
                    offsets: take
                        .list(|take| Some((take.text()?, event::take_offsets(take)?)))?
                        .into_iter()
                        .map(|(group, offsets)| (group, offsets.into_iter().collect()))
                        .collect(),
                }),
            };
            Some((id, Named { owner, open }))
        })?;
        let mut transactions = Self::default();
        for (id, named) in ids {
            transactions.put(&id, named);
        }
        Some(transactions)
    }
}

fn put_producer(out: &mut Vec<u8>, producer: Producer) {
    out.i64(producer.id);
    out.u32(producer.epoch as u32);
}

fn take_producer(take: &mut Take<'_>) -> Option<Producer> {
    Some(Producer {
        id: take.i64()?,
        epoch: take.u32()? as i16,
    })
}

pub(crate) fn put_owner(out: &mut Vec<u8>, owner: &Owner) {
    put_producer(out, owner.producer);
    out.u8(owner.previous.is_some().into());
    if let Some(previous) = owner.previous {
        put_producer(out, previous);
    }
    out.i64(owner.timeout);
    out.u8(match owner.ended {
        None => 0,
        Some(End::Commit) => 1,
        Some(End::Abort) => 2,
    });
    out.i64(owner.at);
}

pub(crate) fn take_owner(take: &mut Take<'_>) -> Option<Owner> {
    Some(Owner {
        producer: take_producer(take)?,
        previous: match take.u8()? {
            0 => None,
            _ => Some(take_producer(take)?),
        },
        timeout: take.i64()?,
        ended: match take.u8()? {
            0 => None,
            1 => Some(End::Commit),
            2 => Some(End::Abort),
            _ => return None,
        },
        at: take.i64()?,
    })
}

/// Offsets as events have them.
pub(crate) fn listed(offsets: &Offsets) -> Vec<(Place, Committed)> {
    let offsets = offsets.iter();
    offsets
        .map(|(place, committed)| (place.clone(), committed.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
