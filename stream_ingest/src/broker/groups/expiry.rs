//! Offsets that nobody comes back for.
//!
//! An offset goes when its group has had no members, and has not committed it, for the retention (KIP-211). When its members
//! left is in memory alone, so a group that was not seen since the start counts as left at the start. A group with members keeps all its
//! offsets, also those of topics that it no longer reads. What flows have committed stays as long as they are there.

use super::Groups;
use crate::log::{Error, Log};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// When groups had members last, of those that have offsets.
#[derive(Debug)]
pub(super) struct Seen {
    /// Of those that are not here.
    start: i64,
    groups: Mutex<HashMap<String, i64>>,
}

impl Seen {
    pub fn new(start: i64) -> Self {
        Self {
            start,
            groups: Mutex::default(),
        }
    }

    /// The last member of a group has gone.
    pub fn left(&self, log: &Log, name: &str) {
        // Offsets of any other are younger than this, should it have some later.
        if log.has_group(name) {
            self.groups.lock().insert(name.to_owned(), log.now());
        }
    }
}

impl Groups {
    /// Looks for such offsets now and then, for ever.
    pub async fn watch_offsets(&self, log: &Log) {
        loop {
            tokio::time::sleep(self.limits.offsets_check).await;
            self.expire(log, log.now()).await;
        }
    }

    /// Lets go of offsets that have expired at this time, in milliseconds since 1970.
    pub(super) async fn expire(&self, log: &Log, now: i64) {
        let retention = self.limits.offsets_retention;
        let names = log.groups();
        self.seen
            .groups
            .lock()
            .retain(|name, _| names.binary_search(name).is_ok());
        for name in names {
            // One without members is not here for long.
            if self.find(&name).is_some() {
                self.seen.groups.lock().insert(name, now);
                continue;
            }
            let seen = self.seen.groups.lock().get(&name).copied();
            let left = seen.unwrap_or(self.seen.start);
            if log.keeps_group(&name) || is_young(left, now, retention) {
                continue;
            }
            let before =
                now.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
            let old = match log.offsets(&name).await {
                Ok(offsets) => offsets.values().filter(|one| one.at < before).count(),
                Err(error) => return tracing::warn!(%error, "offsets could not be looked at"),
            };
            if old == 0 {
                continue;
            }
            let empty = || !self.is_peopled(&name);
            match log.expire_offsets(&name, before, empty).await {
                Ok(()) => tracing::info!(group = name, count = old, "offsets have expired"),
                // Somebody joined.
                Err(Error::Fenced) => {}
                Err(error) => return tracing::warn!(%error, "offsets could not be forgotten"),
            }
        }
    }

    fn is_peopled(&self, name: &str) -> bool {
        let group = self.find(name);
        group.is_some_and(|group| !group.lock().is_idle())
    }
}

fn is_young(at: i64, now: i64, retention: Duration) -> bool {
    i128::from(now) - i128::from(at) <= retention.as_millis() as i128
}
