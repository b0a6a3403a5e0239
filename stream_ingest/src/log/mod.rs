//! The event log: partitions of records that are there after any crash.
//!
//! ```text
//! <folder>/
//!   LOCK                                       held while the log is open
//!   wal/00000000000000000042.wal               every change, in order: the only truth. Named by its first frame
//!   wal/spare-3                                what the write-ahead log goes on in
//!   checkpoint, checkpoint.copy                the state after some frame, twice: topics, settings, groups, producers,
//!                                              where every partition stands and how long its segments are
//!   topics/<id>-<partition>/<offset>.log       Kafka v2 batches as they came; .index beside it can be built again
//!   topics/…/<offset>.<times>.log              the same, compacted so many times
//!   reserve, reserve.checkpoint                given up when the disk is full
//!   damaged/                                   files with damage, kept when the log went on without them
//! ```
//!
//! The way of an append:
//!
//! ```text
//! caller     admission.rs   length, format, sum, count, size, time; copied once
//!            sequencer.rs   one short lock: repetition? offset, epoch, a place in the queue
//! WAL thread committer.rs   queue -> one write -> one fdatasync -> shown to readers -> acknowledged
//! segments   keeper.rs      store.rs writes batches into segments, much at once; now and then syncs them, writes a checkpoint
//! thread                    (checkpoint.rs, image.rs) and removes the write-ahead log before it; retention
//! compaction cleaner/       writes segments of topics that compact anew, beside the old, which the thread above replaces
//! ```
//!
//! Readers ask `partition/`: what is recent is in memory, the rest is read from segments with its sums checked. Opening
//! is `recovery.rs`; the format of the write-ahead log and what it can tell are in `wal/`; [`check`], [`examine`]
//! and [`repair`] look after a log that is not open. All of the disk is behind [`disk::Disk`]; `simulation/` puts one in its place that
//! forgets whatever a crash may.
//!
//! # Promises
//!
//! * **Acknowledged is durable.** [`Acks::Durable`] is answered after `fdatasync`, [`Acks::Written`] after the write; either
//!   way the round ends in a sync.
//! * **Seen is durable.** Readers see a record when it is on the disk: nobody reads what a crash takes back, and an
//!   offset has one value for ever.
//! * **Who prefers speed may say so**, topic by topic: with `flush.messages` above 1 both promises hold against a crash of
//!   the process alone. A power cut takes back what was not synced: at most so many records, or `flush.ms`, or what came
//!   since the last checkpoint (5 seconds). What is left is the log as it was at some moment. Offsets of groups, ends of
//!   transactions and everything about topics are durable all the same, and all that came before them with them.
//! * **A frame is whole or not there.** [`Log::commit_batch`] is one frame: outputs and the offsets of their inputs.
//!   After a crash the log is what it was after some frame, and not before the last that was durable.
//! * **A transaction is one decision.** Its end is one frame: the markers in all its partitions, the offsets that it
//!   commits and where its producer stands. No crash can leave it ended in one partition and open in another, so nobody
//!   ever waits for an end to be carried out.
//! * **Damage is told.** What was acknowledged and cannot be read is an error with the file and the place, never cut off:
//!   a partition is out of use if the damage is known to be its own, otherwise the log is not opened. Only an end that
//!   was being written when the machine stopped is dropped. One thing cannot be told apart from that: damage to the very
//!   last round of a log that was not closed, within the seconds before the next checkpoint or frame says that it was
//!   durable; and a write-ahead log that was cut short by somebody else.
//! * **A failed write or sync is the end.** It is not retried, nothing more is taken ([`Error::Failed`], [`Log::failed`]),
//!   and what was acknowledged is there when the log is opened again. A full disk is not a failure: appends are refused
//!   with [`Error::Full`], reading and deleting go on, and appends too when there is space.
//! * **Bounded**: what waits for the disk, what is cached, open files, what a decoder sets aside, the keys that compaction
//!   has in memory. Memory grows with the number of partitions, of producers in the last day (at most 50,000 a partition),
//!   of committed offsets, of transactional ids and, by 32 bytes each, of aborted transactions whose markers are still
//!   there.
//!
//! # Limits
//!
//! Sequences, epochs and repetitions of idempotent producers are answered as Kafka does. One process has the log; there are
//! no replicas.

mod admission;
pub(crate) mod batch;
mod check;
mod checkpoint;
mod cleaner;
pub(crate) mod codec;
mod committer;
pub mod disk;
mod error;
mod event;
mod files;
mod groups;
mod handle;
mod image;
mod keeper;
mod marker;
mod metrics;
pub(crate) mod partition;
mod producers;
mod recovery;
mod sequencer;
mod shared;
#[cfg(test)]
mod simulation;
mod store;
mod sum;
#[cfg(test)]
pub(crate) mod testing;
mod topics;
mod transactions;
mod types;
mod wal;

pub use check::{Damage, check, examine, repair};
pub use error::{Error, Result};
pub use handle::{Log, Pending, Presence};
pub use topics::{LONGEST_BATCH, Origin, SETTINGS, TopicConfig};
pub use types::{
    Aborted, Acks, Appended, Clock, Committed, End, Found, Ids, Isolation, Membership, Offsets,
    Options, Output, Partition, Place, Producer, Read, Salts, Stage, Topic, Transaction, Writer,
    now,
};
