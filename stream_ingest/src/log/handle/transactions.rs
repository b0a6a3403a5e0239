//! Transactions, as those who use the log ask for them. What comes back is durable.

use super::{GROUP, Log, Pending, committed, reach, short};
use crate::log::error::{Error, Result};
use crate::log::event::Event;
use crate::log::sequencer::Part;
use crate::log::types::{Acks, End, Offsets, Place, Producer, Transaction, Writer};
use bytes::Bytes;
#[cfg(test)]
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

/// Most bytes of a transactional id.
const ID: usize = 32_767;

impl Log {
    /// Begins to use a transactional id: whoever used it before is fenced, and what that left open is aborted.
    /// `expected` is who asks, if it used the id before and wants to go on; it is refused with
    /// [`Error::ProducerFenced`] if somebody else has taken over.
    pub async fn begin(
        &self,
        id: &str,
        timeout: Duration,
        expected: Option<Producer>,
    ) -> Result<Producer> {
        self.room().await;
        let (producer, lsn) = self.submit_begin(id, timeout, expected)?;
        reach(self.shared(), lsn).await?;
        Ok(producer)
    }

    pub(crate) fn submit_begin(
        &self,
        id: &str,
        timeout: Duration,
        expected: Option<Producer>,
    ) -> Result<(Producer, u64)> {
        let options = &self.shared().options;
        let most = options.transaction_max_timeout;
        if timeout.is_zero() || timeout > most {
            return Err(Error::TransactionTimeout {
                asked: timeout,
                most,
            });
        }
        short("a transactional id", id.len(), ID)?;
        let timeout = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        let (now, most) = ((options.clock)(), options.transactional_ids);
        self.change(|sequencer| sequencer.begin(id, timeout, expected, now, most))
    }

    /// Makes partitions, and a group whose offsets it will commit, part of the transaction of a transactional id, which
    /// begins with the first. All of them or none.
    pub async fn join(
        &self,
        id: &str,
        producer: Producer,
        places: &[Place],
        group: Option<&str>,
    ) -> Result<()> {
        self.room().await;
        let lsn = self.submit_join(id, producer, places, group)?;
        reach(self.shared(), lsn).await
    }

    pub(crate) fn submit_join(
        &self,
        id: &str,
        producer: Producer,
        places: &[Place],
        group: Option<&str>,
    ) -> Result<u64> {
        short("the name of a group", group.map_or(0, str::len), GROUP)?;
        let now = (self.shared().options.clock)();
        self.change(|sequencer| sequencer.join(id, producer, places, group, now))
    }

    /// As [`Log::submit`], for batches of which some may belong to the transaction of a transactional id. With `joins` the
    /// partition joins it with them, otherwise it must have joined before ([`Error::TransactionState`]).
    pub fn submit_in(
        &self,
        id: &str,
        joins: bool,
        topic: &str,
        partition: u32,
        batches: Bytes,
        acks: Acks,
    ) -> Result<Pending> {
        self.submit_as(Some(Part { id, joins }), topic, partition, batches, acks)
    }

    /// Keeps offsets of a group that count when the transaction is committed. `joins` as in [`Log::submit_in`], `fence` as
    /// in [`Log::commit_offsets`].
    pub async fn commit_offsets_in(
        &self,
        id: &str,
        joins: bool,
        producer: Producer,
        group: &str,
        offsets: Offsets,
        fence: impl FnOnce() -> bool + Send,
    ) -> Result<()> {
        self.room().await;
        let part = Part { id, joins };
        let lsn = self.submit_pending(part, producer, group, offsets, fence)?;
        reach(self.shared(), lsn).await
    }

    pub(crate) fn submit_pending(
        &self,
        part: Part<'_>,
        producer: Producer,
        group: &str,
        offsets: Offsets,
        fence: impl FnOnce() -> bool,
    ) -> Result<u64> {
        let now = (self.shared().options.clock)();
        let Event::Offsets { group, offsets } = committed(group, offsets, now)? else {
            return Err(Error::Closed);
        };
        self.change(|sequencer| match fence() {
            true => sequencer.pend(part, producer, &group, offsets, now),
            false => Err(Error::Fenced),
        })
    }

    /// Ends the transaction of a transactional id: its records in all partitions and its offsets count, or none of them
    /// does. With `bumps` the producer goes on under the next epoch, so that nothing of what it sent before can become
    /// part of its next transaction. Gives the producer as it is to be called from then on.
    pub async fn end(
        &self,
        id: &str,
        producer: Producer,
        end: End,
        bumps: bool,
    ) -> Result<Producer> {
        self.room().await;
        let (producer, lsn) = self.submit_end(id, producer, end, bumps)?;
        reach(self.shared(), lsn).await?;
        Ok(producer)
    }

    pub(crate) fn submit_end(
        &self,
        id: &str,
        producer: Producer,
        end: End,
        bumps: bool,
    ) -> Result<(Producer, u64)> {
        let shared = self.shared();
        // Also on a full disk: what was begun can be ended, and little is written for it.
        shared.check()?;
        let now = (shared.options.clock)();
        self.sequence(|sequencer| sequencer.end(id, producer, end, bumps, now))
    }

    /// As [`Log::offsets`], with those partitions of which the group may have another offset soon, because it is in a
    /// transaction that is open.
    pub async fn stable_offsets(&self, group: &str) -> Result<(Offsets, BTreeSet<Place>)> {
        let shared = self.shared();
        let (unstable, last) = {
            let sequencer = shared.sequencer.lock();
            (sequencer.unstable(group), sequencer.last_lsn())
        };
        reach(shared, last).await?;
        let groups = shared.groups.read();
        let offsets = groups.offsets.get(group).cloned().unwrap_or_default();
        Ok((offsets, unstable))
    }

    /// Aborts what must have ended by this time; whether there was any.
    #[cfg(test)]
    pub(crate) fn submit_time_out(&self, now: i64) -> bool {
        self.shared().sequencer.lock().time_out(now)
    }

    /// The offsets of a group that a transaction is about to commit.
    #[cfg(test)]
    pub(crate) fn pending_now(&self, id: &str, group: &str) -> BTreeMap<Place, i64> {
        self.shared().sequencer.lock().pending(id, group)
    }

    /// A transactional id and its transaction.
    pub fn transaction(&self, id: &str) -> Result<Transaction> {
        self.shared().sequencer.lock().transaction(id)
    }

    /// All transactional ids, sorted.
    pub fn transactions(&self) -> Vec<(String, Transaction)> {
        self.shared().sequencer.lock().all_transactions()
    }

    /// The log's own settings about producers, under Kafka's names.
    pub fn producer_settings(&self) -> [(&'static str, Duration); 3] {
        let options = &self.shared().options;
        [
            ("producer.id.expiration.ms", options.producer_expiry),
            (
                "transaction.max.timeout.ms",
                options.transaction_max_timeout,
            ),
            (
                "transactional.id.expiration.ms",
                options.transactional_id_expiration,
            ),
        ]
    }

    /// The producers that a partition remembers, by their ids.
    pub fn writers(&self, topic: &str, partition: u32) -> Result<Vec<Writer>> {
        self.shared().sequencer.lock().writers(topic, partition)
    }
}

#[cfg(test)]
mod tests;
