//! What a partition knows of idempotent producers: their epoch and their last five batches, so that a batch that is
//! sent again is answered and not appended.

use super::batch::Head;
use super::codec::{Put, Take};
use super::error::{Error, Result};
use std::collections::{BTreeMap, VecDeque};

/// Batches that are remembered of a producer: as many as Kafka remembers, and as many as its clients keep in flight.
const BATCHES: usize = 5;

/// Producers that a partition remembers; above, those that were silent longest are forgotten.
const MOST: usize = 50_000;

/// The producers of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Producers(BTreeMap<i64, Producer>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    /// When its last batch came.
    at: i64,
    batches: VecDeque<Seen>,
}

/// A batch that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    first_sequence: i32,
    last_sequence: i32,
    pub base_offset: i64,
    pub last_offset: i64,
    /// The largest time of its records.
    pub timestamp: i64,
}

impl Producer {
    fn check(&self, head: &Head) -> Result<()> {
        let id = head.producer;
        if head.producer_epoch < self.epoch {
            return Err(Error::ProducerEpoch {
                producer: id,
                current: self.epoch,
                got: head.producer_epoch,
            });
        }
        let expected = match self.batches.back() {
            Some(last) if head.producer_epoch == self.epoch => {
                last.last_sequence.wrapping_add(1) & i32::MAX
            }
            _ => 0,
        };
        if head.base_sequence != expected {
            return Err(Error::OutOfOrderSequence {
                producer: id,
                expected,
                got: head.base_sequence,
            });
        }
        Ok(())
    }

    fn seen(&self, head: &Head) -> Option<Seen> {
        if head.producer_epoch != self.epoch {
            return None;
        }
        self.batches
            .iter()
            .find(|seen| {
                seen.first_sequence == head.base_sequence
                    && seen.last_sequence == head.last_sequence()
            })
            .copied()
    }

    fn record(&mut self, head: &Head, base_offset: i64, at: i64) {
        if head.producer_epoch != self.epoch {
            self.epoch = head.producer_epoch;
            self.batches.clear();
        }
        if self.batches.len() == BATCHES {
            self.batches.pop_front();
        }
        self.batches.push_back(Seen {
            first_sequence: head.base_sequence,
            last_sequence: head.last_sequence(),
            base_offset,
            last_offset: base_offset + i64::from(head.last_offset_delta),
            timestamp: head.max_timestamp,
        });
        self.at = at;
    }
}

impl Producers {
    /// Whether these batches may be appended (`None`) or are there already, with where they are. A producer that is not
    /// known may begin with any sequence.
    pub fn check<'a>(&self, heads: impl Iterator<Item = &'a Head>) -> Result<Option<(Seen, Seen)>> {
        let mut known: BTreeMap<i64, Option<Producer>> = BTreeMap::new();
        let mut again: Option<(Seen, Seen)> = None;
        let mut fresh = false;
        for head in heads {
            let mixed = || Error::DuplicateSequence {
                producer: head.producer,
                sequence: head.base_sequence,
            };
            let producer = match head.producer {
                ..0 => None,
                id => Some(known.entry(id).or_insert_with(|| self.0.get(&id).cloned())),
            };
            match producer {
                Some(producer) => match producer {
                    Some(producer) => {
                        if let Some(seen) = producer.seen(head) {
                            again = Some((again.map_or(seen, |(first, _)| first), seen));
                            if fresh {
                                return Err(mixed());
                            }
                            continue;
                        }
                        producer.check(head)?;
                        producer.record(head, 0, 0);
                    }
                    None => *producer = Some(Producer::new(head, 0, 0)),
                },
                None => {}
            }
            fresh = true;
            if again.is_some() {
                return Err(mixed());
            }
        }
        Ok(again)
    }

    /// Remembers a batch that was appended.
    pub fn record(&mut self, head: &Head, base_offset: i64, at: i64) {
        if head.producer < 0 {
            return;
        }
        match self.0.get_mut(&head.producer) {
            Some(producer) => producer.record(head, base_offset, at),
            None => {
                self.0
                    .insert(head.producer, Producer::new(head, base_offset, at));
            }
        }
        if self.0.len() > MOST {
            let mut times: Vec<i64> = self.0.values().map(|producer| producer.at).collect();
            let (_, &mut oldest, _) = times.select_nth_unstable(MOST / 10);
            self.expire(oldest);
        }
    }

    /// Forgets those that were silent since before this time.
    pub fn expire(&mut self, before: i64) {
        self.0.retain(|_, producer| producer.at >= before);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.0.len() as u32);
        for (id, producer) in &self.0 {
            out.i64(*id);
            out.u32(producer.epoch as u32);
            out.i64(producer.at);
            out.u32(producer.batches.len() as u32);
            for seen in &producer.batches {
                out.u32(seen.first_sequence as u32);
                out.u32(seen.last_sequence as u32);
                out.i64(seen.base_offset);
                out.i64(seen.last_offset);
                out.i64(seen.timestamp);
            }
        }
    }

    pub fn decode(take: &mut Take<'_>) -> Option<Self> {
        let producers = take.list(|take| {
            let (id, epoch, at) = (take.i64()?, take.u32()? as i16, take.i64()?);
            let batches = take.list(|take| {
                Some(Seen {
                    first_sequence: take.u32()? as i32,
                    last_sequence: take.u32()? as i32,
                    base_offset: take.i64()?,
                    last_offset: take.i64()?,
                    timestamp: take.i64()?,
                })
            })?;
            let producer = Producer {
                epoch,
                at,
                batches: batches.into(),
            };
            Some((id, producer))
        })?;
        Some(Self(producers.into_iter().collect()))
    }
}

impl Producer {
    fn new(head: &Head, base_offset: i64, at: i64) -> Self {
        let mut producer = Self {
            epoch: head.producer_epoch,
            at,
            batches: VecDeque::new(),
        };
        producer.record(head, base_offset, at);
        producer
    }
}
