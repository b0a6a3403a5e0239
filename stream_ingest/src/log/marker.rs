//! What ends a transaction in a partition: a control batch of one record that says whether it was committed.
//!
//! ```text
//! key    version i16 = 0 | type i16: 0 aborted, 1 committed
//! value  version i16 = 0 | epoch of the coordinator i32 = 0                                       (all big-endian)
//! ```
//! The bytes are Kafka's (`EndTransactionMarker`), which every client reads. There is one coordinator for ever, so its
//! epoch is 0.

use super::batch::{self, Fresh, HEAD, Records};

/// The record: its length, no attributes, no deltas, key and value with their lengths, no headers.
const BEFORE_KEY: [u8; 5] = [32, 0, 0, 0, 8];
const VALUE: [u8; 8] = [12, 0, 0, 0, 0, 0, 0, 0];

/// A marker for a producer's transaction. It has the log's time, like every record of a topic with `stamped`.
pub(crate) fn marker(producer: i64, epoch: i16, commits: bool, now: i64, stamped: bool) -> Fresh {
    let mut record = BEFORE_KEY.to_vec();
    record.extend([0, 0, 0, u8::from(commits)]);
    record.extend(VALUE);
    batch::control(&record, producer, epoch, now, stamped)
}

/// Whether a control batch says that the transaction was committed. One that cannot be read says that it was not.
pub(crate) fn commits(batch: &[u8]) -> bool {
    // Compaction changes how long what stands before the key is.
    let record = batch
        .get(HEAD..)
        .and_then(|records| Records(records).next());
    let content = record.and_then(|record| record.content());
    content.is_some_and(|content| content.key == Some(&[0, 0, 0, 1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch::Head;

    /// What Kafka's own library writes: `tests/golden/Markers.java`.
    #[test]
    fn markers_are_kafkas_byte_for_byte() {
        let mut count = 0;
        for line in include_str!("../../tests/golden/markers.txt").lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |i: usize| words[i].parse::<i64>().unwrap();
            let expected: Vec<u8> = (0..words[6].len() / 2)
                .map(|i| u8::from_str_radix(&words[6][2 * i..2 * i + 2], 16).unwrap())
                .collect();
            let is_commit = words[0] == "COMMIT";
            let fresh = marker(number(1), number(2) as i16, is_commit, number(3), false);
            let (head, placed) = fresh.place(number(4), number(5) as i32);
            assert_eq!(placed, expected, "{line}");
            assert_eq!(Head::read(&placed), Some(head));
            assert!(batch::intact(&placed, &head));
            assert!(head.is_control() && head.is_transactional());
            assert_eq!(commits(&placed), is_commit);
            count += 1;
        }
        assert!(count >= 4, "{count}");
    }
}
