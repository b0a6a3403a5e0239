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
            if head.producer >= 0 {
                let producer = known
                    .entry(head.producer)
                    .or_insert_with_key(|id| self.0.get(id).cloned());
                if let Some(seen) = producer.as_ref().and_then(|producer| producer.seen(head)) {
                    again = Some((again.map_or(seen, |(first, _)| first), seen));
                    if fresh {
                        return Err(mixed());
                    }
                    continue;
                }
                match producer {
                    Some(producer) => {
                        producer.check(head)?;
                        producer.record(head, 0, 0);
                    }
                    None => *producer = Some(Producer::new(head, 0, 0)),
                }
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
        if head.is_control() {
            self.end(head, at);
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
            let heard = self.0.iter().map(|(id, producer)| (producer.at, *id));
            let mut heard: Vec<(i64, i64)> = heard.collect();
            let (silent, _, _) = heard.select_nth_unstable(MOST / 10);
            for (_, id) in silent {
                self.0.remove(id);
            }
        }
    }

    /// Takes note of a marker: with a newer epoch it ends the producer's old one, and sequences begin again.
    fn end(&mut self, marker: &Head, at: i64) {
        if let Some(producer) = self.0.get_mut(&marker.producer) {
            if marker.producer_epoch > producer.epoch {
                producer.epoch = marker.producer_epoch;
                producer.batches.clear();
            }
            producer.at = at;
        }
    }

    /// The epoch that a producer wrote with last.
    pub fn epoch(&self, producer: i64) -> Option<i16> {
        self.0.get(&producer).map(|known| known.epoch)
    }

    /// Everybody who is remembered: id, epoch, the last sequence (-1 before the first) and when it was heard of.
    pub fn list(&self) -> impl Iterator<Item = (i64, i16, i32, i64)> {
        self.0.iter().map(|(id, producer)| {
            let last = producer.batches.back();
            let sequence = last.map_or(-1, |seen| seen.last_sequence);
            (*id, producer.epoch, sequence, producer.at)
        })
    }

    /// Everybody's last batch: id, the offset of its last record, `None` where only the epoch is known, and the epoch.
    pub fn lasts(&self) -> impl Iterator<Item = (i64, Option<i64>, i16)> {
        self.0.iter().map(|(id, producer)| {
            let last = producer.batches.back();
            (*id, last.map(|seen| seen.last_offset), producer.epoch)
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{By, batch};

    fn head(epoch: i16, sequence: i32, count: usize) -> Head {
        let values = vec![&b"v"[..]; count];
        Head::read(&batch(&values, Some(By(9, epoch, sequence)), 5)).unwrap()
    }

    /// Appends at an offset; gives the offset at which it is, as Kafka would answer.
    fn append(producers: &mut Producers, head: Head, offset: i64) -> Result<i64> {
        match producers.check([head].iter())? {
            Some((seen, _)) => Ok(seen.base_offset),
            None => {
                producers.record(&head, offset, offset);
                Ok(offset)
            }
        }
    }

    #[test]
    fn a_batch_that_is_sent_again_has_its_first_offset() {
        let mut known = Producers::default();
        for i in 0..7 {
            assert_eq!(
                append(&mut known, head(0, i * 2, 2), 100 + i64::from(i)).unwrap(),
                100 + i64::from(i)
            );
        }
        // The last five are known, in any order; what is older is out of order.
        for i in [2, 6, 4, 3, 5] {
            let again = append(&mut known, head(0, i * 2, 2), 500).unwrap();
            assert_eq!(again, 100 + i64::from(i));
        }
        for i in [0, 1] {
            let old = append(&mut known, head(0, i * 2, 2), 500);
            assert!(matches!(
                old,
                Err(Error::OutOfOrderSequence { expected: 14, .. })
            ));
        }
        // The same first sequence with another number of records is no repetition.
        let other = append(&mut known, head(0, 12, 1), 500);
        assert!(matches!(other, Err(Error::OutOfOrderSequence { .. })));
    }

    #[test]
    fn sequences_follow_each_other() {
        let mut known = Producers::default();
        // Nothing is known: any sequence may be the first.
        append(&mut known, head(0, 40, 1), 0).unwrap();
        for sequence in [42, 0, 39] {
            let gap = append(&mut known, head(0, sequence, 1), 1);
            assert!(matches!(
                gap,
                Err(Error::OutOfOrderSequence { expected: 41, .. })
            ));
        }
        append(&mut known, head(0, 41, 1), 1).unwrap();
    }

    #[test]
    fn after_the_largest_sequence_comes_zero() {
        let mut known = Producers::default();
        append(&mut known, head(0, i32::MAX - 1, 2), 0).unwrap();
        append(&mut known, head(0, 0, 1), 2).unwrap();
        let mut known = Producers::default();
        append(&mut known, head(0, i32::MAX, 3), 0).unwrap();
        append(&mut known, head(0, 2, 1), 3).unwrap();
    }

    #[test]
    fn a_new_epoch_begins_at_zero_and_ends_the_old() {
        let mut known = Producers::default();
        append(&mut known, head(3, 0, 1), 0).unwrap();
        let skipped = append(&mut known, head(4, 1, 1), 1);
        assert!(matches!(
            skipped,
            Err(Error::OutOfOrderSequence { expected: 0, .. })
        ));
        append(&mut known, head(4, 0, 1), 1).unwrap();
        let fenced = append(&mut known, head(3, 1, 1), 2);
        assert!(matches!(
            fenced,
            Err(Error::ProducerEpoch {
                current: 4,
                got: 3,
                ..
            })
        ));
        // Also what would be a repetition in the old epoch.
        let fenced = append(&mut known, head(3, 0, 1), 2);
        assert!(matches!(fenced, Err(Error::ProducerEpoch { .. })));
    }

    #[test]
    fn a_marker_takes_no_sequence_and_may_end_an_epoch() {
        let marker = |epoch| {
            let fresh = crate::log::marker::marker(9, epoch, true, 5, false);
            fresh.place(50, 0).0
        };
        let mut known = Producers::default();
        // Of somebody who never wrote here nothing is remembered: its first batch may have any sequence.
        known.record(&marker(0), 50, 5);
        assert_eq!(known, Producers::default());
        append(&mut known, head(0, 4, 1), 0).unwrap();
        known.record(&marker(0), 50, 5);
        append(&mut known, head(0, 5, 1), 51).unwrap();
        // A repetition is known across the marker.
        assert_eq!(append(&mut known, head(0, 4, 1), 99).unwrap(), 0);
        known.record(&marker(1), 52, 5);
        assert!(matches!(
            append(&mut known, head(0, 6, 1), 53),
            Err(Error::ProducerEpoch { current: 1, .. })
        ));
        assert!(matches!(
            append(&mut known, head(1, 1, 1), 53),
            Err(Error::OutOfOrderSequence { expected: 0, .. })
        ));
        append(&mut known, head(1, 0, 1), 53).unwrap();
    }

    /// A tenth goes, also where all were heard of in the same moment.
    #[test]
    fn the_number_of_producers_is_bounded() {
        let head = head(0, 0, 1);
        let record = |known: &mut Producers, producer: i64, at| {
            let head = Head { producer, ..head };
            known.record(&head, 0, at);
        };
        let mut known = Producers::default();
        for producer in 0..=MOST as i64 {
            record(&mut known, producer, 5);
        }
        let gone = MOST as i64 / 10;
        let left = |known: &Producers| known.list().map(|(id, ..)| id).collect::<Vec<_>>();
        assert_eq!(left(&known), (gone..=MOST as i64).collect::<Vec<_>>());
        // The first of those that are left is heard of again, and stays.
        record(&mut known, gone, 6);
        for producer in 0..gone {
            record(&mut known, producer, 7);
        }
        assert_eq!(known.list().count(), MOST - gone as usize + 1);
        assert_eq!(known.epoch(gone), Some(0));
        assert_eq!(known.epoch(2 * gone), None);
        assert_eq!(known.epoch(2 * gone + 1), Some(0));
    }

    #[test]
    fn several_batches_are_new_or_repeated_together() {
        let mut known = Producers::default();
        let (a, b, c) = (head(0, 0, 2), head(0, 2, 1), head(0, 3, 1));
        assert!(known.check([a, b].iter()).unwrap().is_none());
        assert!(matches!(
            known.check([a, c].iter()),
            Err(Error::OutOfOrderSequence { .. })
        ));
        known.record(&a, 10, 0);
        known.record(&b, 12, 0);
        let (first, last) = known.check([a, b].iter()).unwrap().unwrap();
        assert_eq!((first.base_offset, last.last_offset), (10, 12));
        assert!(matches!(
            known.check([b, c].iter()),
            Err(Error::DuplicateSequence { .. })
        ));
    }

    #[test]
    fn those_that_were_silent_are_forgotten_and_the_rest_is_kept_as_bytes() {
        let mut known = Producers::default();
        append(&mut known, head(0, 5, 1), 7).unwrap();
        let mut bytes = Vec::new();
        known.encode(&mut bytes);
        assert_eq!(Producers::decode(&mut Take(&bytes)), Some(known.clone()));
        for end in 0..bytes.len() {
            assert_eq!(Producers::decode(&mut Take(&bytes[..end])), None);
        }
        known.expire(7);
        assert!(append(&mut known, head(0, 9, 1), 8).is_err());
        known.expire(8);
        append(&mut known, head(0, 9, 1), 8).unwrap();
    }
}
