//! What can happen to the log, as bytes: the payload of a frame is one event or several that happen together.

use super::codec::{Put, Take};
use super::transactions::{Owner, put_owner, take_owner};
use super::types::{Committed, Place};
use bytes::Bytes;
use uuid::Uuid;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A batch with its offset in it, and when it came.
    Append {
        topic: Uuid,
        partition: u32,
        at: i64,
        batch: Bytes,
    },
    /// A topic was made.
    Topic {
        id: Uuid,
        name: String,
        partitions: u32,
        overrides: Vec<(String, String)>,
    },
    /// A topic was deleted.
    Removed { id: Uuid, name: String },
    /// A topic has more partitions.
    Partitions { id: Uuid, total: u32 },
    /// A topic has these overrides now.
    Config {
        id: Uuid,
        overrides: Vec<(String, String)>,
    },
    /// A partition begins at this offset.
    Start {
        topic: Uuid,
        partition: u32,
        offset: i64,
    },
    /// A group committed.
    Offsets {
        group: String,
        offsets: Vec<(Place, Committed)>,
    },
    /// Offsets of a group are forgotten; all of them if none is named.
    Forget { group: String, places: Vec<Place> },
    /// Offsets of a group that were committed before this time are forgotten.
    Expired { group: String, before: i64 },
    /// A group has these members now, as whoever serves it writes them; without, none.
    Members {
        group: String,
        members: Option<Bytes>,
    },
    /// Producer ids below this may have been given.
    Producers { next: i64 },
    /// A transactional id has this owner now, and nothing is in its transaction any more; without one it is forgotten.
    Owner { id: String, owner: Option<Owner> },
    /// These are part of a transaction, which begins with the first.
    Joined {
        id: String,
        at: i64,
        places: Vec<(Uuid, u32)>,
        groups: Vec<String>,
    },
    /// A group's offsets that count if the transaction is committed.
    Pending {
        id: String,
        group: String,
        offsets: Vec<(Place, Committed)>,
    },
}

const APPEND: u8 = 1;
const TOPIC: u8 = 2;
const REMOVED: u8 = 3;
const PARTITIONS: u8 = 4;
const CONFIG: u8 = 5;
const START: u8 = 6;
const OFFSETS: u8 = 7;
const FORGET: u8 = 8;
const PRODUCERS: u8 = 9;
const OWNER: u8 = 10;
const JOINED: u8 = 11;
const PENDING: u8 = 12;
const EXPIRED: u8 = 13;
const MEMBERS: u8 = 14;

impl Event {
    /// Writes everything but a batch's bytes, which follow what this wrote: they are not copied.
    pub fn encode(&self, out: &mut Vec<u8>) -> Option<&Bytes> {
        match self {
            Self::Append {
                topic,
                partition,
                at,
                batch,
            } => {
                out.u8(APPEND);
                out.id(*topic);
                out.u32(*partition);
                out.i64(*at);
                out.u32(batch.len() as u32);
                return Some(batch);
            }
            Self::Topic {
                id,
                name,
                partitions,
                overrides,
            } => {
                out.u8(TOPIC);
                out.id(*id);
                out.text(name);
                out.u32(*partitions);
                pairs(out, overrides);
            }
            Self::Removed { id, name } => {
                out.u8(REMOVED);
                out.id(*id);
                out.text(name);
            }
            Self::Partitions { id, total } => {
                out.u8(PARTITIONS);
                out.id(*id);
                out.u32(*total);
            }
            Self::Config { id, overrides } => {
                out.u8(CONFIG);
                out.id(*id);
                pairs(out, overrides);
            }
            Self::Start {
                topic,
                partition,
                offset,
            } => {
                out.u8(START);
                out.id(*topic);
                out.u32(*partition);
                out.i64(*offset);
            }
            Self::Offsets { group, offsets } => {
                out.u8(OFFSETS);
                out.text(group);
                put_offsets(out, offsets.iter().map(|(place, known)| (place, known)));
            }
            Self::Forget { group, places } => {
                out.u8(FORGET);
                out.text(group);
                out.u32(places.len() as u32);
                for place in places {
                    put_place(out, place);
                }
            }
            Self::Expired { group, before } => {
                out.u8(EXPIRED);
                out.text(group);
                out.i64(*before);
            }
            Self::Members { group, members } => {
                out.u8(MEMBERS);
                out.text(group);
                out.u8(members.is_some().into());
                if let Some(members) = members {
                    out.block(members);
                }
            }
            Self::Producers { next } => {
                out.u8(PRODUCERS);
                out.i64(*next);
            }
            Self::Owner { id, owner } => {
                out.u8(OWNER);
                out.text(id);
                out.u8(owner.is_some().into());
                if let Some(owner) = owner {
                    put_owner(out, owner);
                }
            }
            Self::Joined {
                id,
                at,
                places,
                groups,
            } => {
                out.u8(JOINED);
                out.text(id);
                out.i64(*at);
                put_partitions(out, places.iter());
                out.u32(groups.len() as u32);
                groups.iter().for_each(|group| out.text(group));
            }
            Self::Pending { id, group, offsets } => {
                out.u8(PENDING);
                out.text(id);
                out.text(group);
                put_offsets(out, offsets.iter().map(|(place, known)| (place, known)));
            }
        }
        None
    }

    /// Reads the events of a payload; batches are slices of it. `None` if it is not made of events.
    pub fn decode_all(payload: &Bytes) -> Option<Vec<Self>> {
        let mut take = Take(payload);
        let mut events = Vec::new();
        while !take.0.is_empty() {
            events.push(Self::decode(&mut take, payload)?);
        }
        Some(events)
    }

    fn decode(take: &mut Take<'_>, payload: &Bytes) -> Option<Self> {
        Some(match take.u8()? {
            APPEND => {
                let (topic, partition, at) = (take.id()?, take.u32()?, take.i64()?);
                let length = take.u32()? as usize;
                let batch = take.bytes(length)?;
                Self::Append {
                    topic,
                    partition,
                    at,
                    batch: payload.slice_ref(batch),
                }
            }
            TOPIC => Self::Topic {
                id: take.id()?,
                name: take.text()?,
                partitions: take.u32()?,
                overrides: take_pairs(take)?,
            },
            REMOVED => Self::Removed {
                id: take.id()?,
                name: take.text()?,
            },
            PARTITIONS => Self::Partitions {
                id: take.id()?,
                total: take.u32()?,
            },
            CONFIG => Self::Config {
                id: take.id()?,
                overrides: take_pairs(take)?,
            },
            START => Self::Start {
                topic: take.id()?,
                partition: take.u32()?,
                offset: take.i64()?,
            },
            OFFSETS => Self::Offsets {
                group: take.text()?,
                offsets: take_offsets(take)?,
            },
            FORGET => Self::Forget {
                group: take.text()?,
                places: take.list(take_place)?,
            },
            EXPIRED => Self::Expired {
                group: take.text()?,
                before: take.i64()?,
            },
            MEMBERS => Self::Members {
                group: take.text()?,
                members: match take.u8()? {
                    0 => None,
                    // Copied: it stays, and the rest of the payload shall not.
                    _ => Some(Bytes::copy_from_slice(take.block()?)),
                },
            },
            PRODUCERS => Self::Producers { next: take.i64()? },
            OWNER => Self::Owner {
                id: take.text()?,
                owner: match take.u8()? {
                    0 => None,
                    _ => Some(take_owner(take)?),
                },
            },
            JOINED => Self::Joined {
                id: take.text()?,
                at: take.i64()?,
                places: take_partitions(take)?,
                groups: take.list(Take::text)?,
            },
            PENDING => Self::Pending {
                id: take.text()?,
                group: take.text()?,
                offsets: take_offsets(take)?,
            },
            _ => return None,
        })
    }
}

pub(crate) fn pairs(out: &mut Vec<u8>, pairs: &[(String, String)]) {
    out.u32(pairs.len() as u32);
    for (key, value) in pairs {
        out.text(key);
        out.text(value);
    }
}

pub(crate) fn take_pairs(take: &mut Take<'_>) -> Option<Vec<(String, String)>> {
    take.list(|take| Some((take.text()?, take.text()?)))
}

fn put_place(out: &mut Vec<u8>, (topic, partition): &Place) {
    out.text(topic);
    out.u32(*partition);
}

fn take_place(take: &mut Take<'_>) -> Option<Place> {
    Some((take.text()?, take.u32()?))
}

/// Partitions by their topics' ids.
pub(crate) fn put_partitions<'a>(
    out: &mut Vec<u8>,
    places: impl ExactSizeIterator<Item = &'a (Uuid, u32)>,
) {
    out.u32(places.len() as u32);
    for (topic, partition) in places {
        out.id(*topic);
        out.u32(*partition);
    }
}

pub(crate) fn take_partitions(take: &mut Take<'_>) -> Option<Vec<(Uuid, u32)>> {
    take.list(|take| Some((take.id()?, take.u32()?)))
}

pub(crate) fn put_offsets<'a>(
    out: &mut Vec<u8>,
    offsets: impl ExactSizeIterator<Item = (&'a Place, &'a Committed)>,
) {
    out.u32(offsets.len() as u32);
    for (place, committed) in offsets {
        put_place(out, place);
        put_committed(out, committed);
    }
}

pub(crate) fn take_offsets(take: &mut Take<'_>) -> Option<Vec<(Place, Committed)>> {
    take.list(|take| Some((take_place(take)?, take_committed(take)?)))
}

fn put_committed(out: &mut Vec<u8>, committed: &Committed) {
    out.i64(committed.offset);
    out.u32(committed.leader_epoch as u32);
    out.text(&committed.metadata);
    out.i64(committed.at);
}

fn take_committed(take: &mut Take<'_>) -> Option<Committed> {
    Some(Committed {
        offset: take.i64()?,
        leader_epoch: take.u32()? as i32,
        metadata: take.text()?,
        at: take.i64()?,
    })
}
