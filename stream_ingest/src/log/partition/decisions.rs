//! The transactions of a partition: which are open, and which were aborted. It follows from its batches, and is kept
//! beside them so that nobody has to read them all.
//!
//! ```text
//!           a's first     b's first   b's marker
//! offsets ──┼─────────────┼───────────┼──────────────┼─
//!           │ last stable │           │ aborted      │ high watermark
//! ```

use crate::log::batch::Head;
use crate::log::codec::{Put, Take};
use crate::log::marker;
use crate::log::types::Aborted;
use std::collections::{BTreeMap, VecDeque};

/// Producers with an open transaction, and the offset of its first batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Open(BTreeMap<i64, i64>);

impl Open {
    /// Takes note of a batch; gives the first offset of the transaction that it ends, if it ends one.
    pub fn note(&mut self, head: &Head) -> Option<i64> {
        if head.is_control() {
            return self.0.remove(&head.producer);
        }
        if head.is_transactional() {
            self.0.entry(head.producer).or_insert(head.base_offset);
        }
        None
    }

    /// Where a producer's open transaction begins.
    pub fn first(&self, producer: i64) -> Option<i64> {
        self.0.get(&producer).copied()
    }

    /// Who has one.
    pub fn producers(&self) -> impl Iterator<Item = i64> {
        self.0.keys().copied()
    }

    /// The first offset of all that are open.
    fn start(&self) -> Option<i64> {
        self.0.values().min().copied()
    }
}

/// A transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    producer: i64,
    first: i64,
    /// The marker's offset.
    last: i64,
    /// The last stable offset behind the marker: no transaction that ended later begins before it.
    stable: i64,
}

/// What is open, and what was aborted, in the order of the markers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Decisions {
    pub open: Open,
    aborted: VecDeque<Span>,
}

impl Decisions {
    /// Takes note of the partition's next batch.
    pub fn note(&mut self, head: &Head, batch: &[u8]) {
        if let Some(first) = self.open.note(head)
            && !marker::commits(batch)
        {
            let last = head.base_offset;
            self.aborted.push_back(Span {
                producer: head.producer,
                first,
                last,
                stable: self.open.start().unwrap_or(last + 1),
            });
        }
    }

    /// Takes it that these were aborted, with markers that are lost, the last of them at this offset.
    pub fn lose(&mut self, producers: &[i64], last: i64) {
        for producer in producers {
            if let Some(first) = self.open.0.remove(producer) {
                self.aborted.push_back(Span {
                    producer: *producer,
                    first,
                    last,
                    stable: self.open.start().unwrap_or(last + 1),
                });
            }
        }
    }

    /// The offset before which everything is decided.
    pub fn stable(&self, log_start: i64, high_watermark: i64) -> i64 {
        match self.open.start() {
            Some(first) => first.max(log_start).min(high_watermark),
            None => high_watermark,
        }
    }

    /// What was aborted and has records from `from` on and before `to`: a reader leaves out what the producer wrote
    /// from the first offset on, until it comes to a marker of this producer.
    pub fn aborted(&self, from: i64, to: i64) -> Vec<Aborted> {
        let at = self.aborted.partition_point(|span| span.last < from);
        let mut found = Vec::new();
        for span in self.aborted.range(at..) {
            if span.first < to {
                found.push(Aborted {
                    producer: span.producer,
                    first_offset: span.first,
                });
            }
            if span.stable >= to {
                break;
            }
        }
        found
    }

    /// What was aborted and has records before `to`: its producer, its first offset and that of its marker.
    pub fn spans(&self, to: i64) -> impl Iterator<Item = (i64, i64, i64)> {
        let spans = self.aborted.iter().filter(move |span| span.first < to);
        spans.map(|span| (span.producer, span.first, span.last))
    }

    /// Forgets what was aborted with these markers, of which nothing is left.
    pub fn forget(&mut self, markers: &[i64]) {
        if !markers.is_empty() {
            self.aborted
                .retain(|span| markers.binary_search(&span.last).is_err());
        }
    }

    /// The markers of what was aborted within these offsets: where they are, and whose.
    pub fn markers(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, i64)> {
        let at = self.aborted.partition_point(|span| span.last < from);
        let spans = self.aborted.range(at..);
        spans
            .take_while(move |span| span.last < to)
            .map(|span| (span.last, span.producer))
    }

    /// Forgets what is before the first offset of the partition.
    pub fn start_at(&mut self, offset: i64) {
        while self
            .aborted
            .front()
            .is_some_and(|oldest| oldest.last < offset)
        {
            self.aborted.pop_front();
        }
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.open.0.len() as u32);
        for (producer, first) in &self.open.0 {
            out.i64(*producer);
            out.i64(*first);
        }
        out.u32(self.aborted.len() as u32);
        for span in &self.aborted {
            out.i64(span.producer);
            out.i64(span.first);
            out.i64(span.last);
            out.i64(span.stable);
        }
    }

    pub fn decode(take: &mut Take<'_>) -> Option<Self> {
        let open = take.list(|take| Some((take.i64()?, take.i64()?)))?;
        let aborted = take.list(|take| {
            Some(Span {
                producer: take.i64()?,
                first: take.i64()?,
                last: take.i64()?,
                stable: take.i64()?,
            })
        })?;
        Some(Self {
            open: Open(open.into_iter().collect()),
            aborted: aborted.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch;
    use crate::log::testing::{By, transactional};
    use crate::log::topics::TopicConfig;

    /// A partition that is written batch by batch.
    #[derive(Default)]
    struct Written {
        decisions: Decisions,
        next: i64,
    }

    impl Written {
        fn data(&mut self, producer: i64, count: usize) {
            let values = vec![&b"v"[..]; count];
            let bytes = transactional(&values, By(producer, 0, 0), 5);
            let fresh =
                crate::log::admission::check(bytes.clone(), &TopicConfig::default(), 5).unwrap();
            self.place(fresh.into_iter().next().unwrap());
        }

        fn end(&mut self, producer: i64, commits: bool) {
            self.place(marker::marker(producer, 0, commits, 5, false));
        }

        fn place(&mut self, fresh: batch::Fresh) {
            let (head, bytes) = fresh.place(self.next, 0);
            self.decisions.note(&head, &bytes);
            self.next = head.last_offset() + 1;
        }

        fn stable(&self) -> i64 {
            self.decisions.stable(0, self.next)
        }

        fn aborted(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
            let aborted = self.decisions.aborted(from, to).into_iter();
            aborted
                .map(|one| (one.producer, one.first_offset))
                .collect()
        }
    }

    #[test]
    fn what_is_stable_ends_where_the_oldest_open_transaction_begins() {
        let mut written = Written::default();
        assert_eq!(written.stable(), 0);
        written.data(1, 3); // 0..3
        assert_eq!(written.stable(), 0);
        written.data(2, 2); // 3..5
        written.data(1, 1); // 5
        written.end(2, true); // 6
        assert_eq!(written.stable(), 0, "the first is still open");
        written.data(2, 1); // 7
        written.end(1, true); // 8
        assert_eq!(written.stable(), 7);
        written.end(2, false); // 9
        assert_eq!(written.stable(), 10);
        // Records that were deleted do not hold it up.
        written.data(3, 4); // 10..14
        assert_eq!(written.decisions.stable(12, 14), 12);
        assert_eq!(written.decisions.stable(14, 14), 14);
        // A marker of somebody who wrote nothing changes nothing.
        let before = written.decisions.clone();
        written.end(9, false);
        assert_eq!(written.decisions, before);
    }

    #[test]
    fn a_reader_learns_what_was_aborted_in_its_part() {
        let mut written = Written::default();
        written.data(1, 2); // 0..2
        written.data(2, 2); // 2..4
        written.end(2, false); // 4
        written.end(1, false); // 5
        written.data(1, 1); // 6
        written.end(1, true); // 7
        written.data(2, 1); // 8
        written.end(2, false); // 9
        assert_eq!(written.aborted(0, 10), [(2, 2), (1, 0), (2, 8)]);
        assert_eq!(written.aborted(0, 2), [(1, 0)]);
        assert_eq!(written.aborted(0, 3), [(2, 2), (1, 0)]);
        assert_eq!(written.aborted(5, 8), [(1, 0)]);
        assert_eq!(written.aborted(6, 8), []);
        assert_eq!(written.aborted(6, 9), [(2, 8)]);
        assert_eq!(written.aborted(9, 10), [(2, 8)]);
        let markers: Vec<_> = written.decisions.markers(5, 10).collect();
        assert_eq!(markers, [(5, 1), (9, 2)]);
        // What is before the beginning of the partition is forgotten, what reaches over it is not.
        written.decisions.start_at(5);
        assert_eq!(written.aborted(0, 10), [(1, 0), (2, 8)]);
        written.decisions.start_at(10);
        assert_eq!(written.aborted(0, 10), []);
    }

    /// The early end of the search gives what looking at every transaction gives.
    #[test]
    fn no_aborted_transaction_is_missed() {
        use rand::{Rng, SeedableRng};
        let mut random = rand::rngs::StdRng::seed_from_u64(5);
        for _ in 0..200 {
            let mut written = Written::default();
            let mut first = BTreeMap::new();
            let mut spans = Vec::new();
            for _ in 0..40 {
                let producer = random.random_range(0..4);
                let next = written.next;
                match random.random_range(0..5) {
                    0..3 => {
                        first.entry(producer).or_insert(next);
                        written.data(producer, random.random_range(1..4));
                    }
                    commits => {
                        written.end(producer, commits == 3);
                        if let Some(first) = first.remove(&producer)
                            && commits != 3
                        {
                            spans.push((producer, first, next));
                        }
                    }
                }
            }
            let end = written.stable();
            for from in 0..end {
                for to in from + 1..=end {
                    let wanted: Vec<(i64, i64)> = spans
                        .iter()
                        .filter(|(_, first, last)| *first < to && *last >= from)
                        .map(|(producer, first, _)| (*producer, *first))
                        .collect();
                    assert_eq!(written.aborted(from, to), wanted, "{from}..{to}");
                }
            }
        }
    }

    #[test]
    fn it_is_kept_as_bytes() {
        let mut written = Written::default();
        written.data(1, 2);
        written.end(1, false);
        written.data(2, 1);
        let mut bytes = Vec::new();
        written.decisions.encode(&mut bytes);
        let read = Decisions::decode(&mut Take(&bytes));
        assert_eq!(read.as_ref(), Some(&written.decisions));
        for end in 0..bytes.len() {
            assert_eq!(Decisions::decode(&mut Take(&bytes[..end])), None);
        }
    }
}
