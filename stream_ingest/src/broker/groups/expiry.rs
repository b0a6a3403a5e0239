//! Offsets that nobody comes back for.
//!
//! An offset goes when its group has had no members, and has not committed it, for the retention (KIP-211). When its members
//! left is in memory alone, so a group that was not seen since the start counts as left at the start. Of a group with members,
//! those go that are of topics which none of them reads, and as old. What flows have committed stays as long as they are there.

use super::Groups;
use super::group::{Group, State};
use crate::log::{Error, Log, Place};
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
        let before = now.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
        let names = log.groups();
        self.seen
            .groups
            .lock()
            .retain(|name, _| names.binary_search(name).is_ok());
        for name in names {
            // One without members is not here for long.
            if self.find(&name).is_some() {
                if let Err(error) = self.expire_unread(log, &name, before).await {
                    return tracing::warn!(%error, "offsets could not be forgotten");
                }
                self.seen.groups.lock().insert(name, now);
                continue;
            }
            let seen = self.seen.groups.lock().get(&name).copied();
            let left = seen.unwrap_or(self.seen.start);
            if log.keeps_group(&name) || is_young(left, now, retention) {
                continue;
            }
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

    /// Lets go of old offsets of topics that no member of a settled group reads.
    async fn expire_unread(&self, log: &Log, name: &str, before: i64) -> Result<(), Error> {
        let read = || {
            let settled = |group: &mut Group| match group.state {
                State::Stable => group.subscribed().ok(),
                _ => None,
            };
            self.with(name, settled).flatten()
        };
        let Some(topics) = read() else {
            return Ok(());
        };
        let mut places: Vec<Place> = Vec::new();
        for (place, committed) in log.offsets(name).await? {
            if committed.at < before && !topics.contains(&place.0) {
                places.push(place);
            }
        }
        // Who is in the group commits for what it reads, and nobody else can.
        let same = || read().is_some_and(|now| now == topics);
        match log.delete_offsets(name, &places, same).await {
            Ok(()) if places.is_empty() => Ok(()),
            Ok(()) => {
                let count = places.len();
                tracing::info!(
                    group = name,
                    count,
                    "offsets of topics that nobody reads have expired"
                );
                Ok(())
            }
            Err(Error::Fenced) => Ok(()),
            Err(error) => Err(error),
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
