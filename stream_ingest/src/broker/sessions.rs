//! Fetch sessions (KIP-227): a client says once which partitions it reads, later only what is different, and is answered
//! only where something is new.
//!
//! Sessions are in memory. A client whose session is gone (`FETCH_SESSION_ID_NOT_FOUND`), or that has lost count
//! (`INVALID_FETCH_SESSION_EPOCH`), begins another. Where there is no place for one more, it does without.

use super::Code;
use crate::wire::messages::fetch::{FetchPartition, FetchTopic, PartitionData, Request};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A session that was not used for so long makes place for another.
const IDLE: Duration = Duration::from_secs(120);

/// Says that a request begins a session.
const FIRST: i32 = 0;
/// Says that a request is without a session, and ends the one that it names.
const LAST: i32 = -1;

/// What sessions are allowed.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    /// Sessions.
    pub sessions: usize,
    /// Partitions of all sessions.
    pub partitions: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            sessions: 1000,
            partitions: 200_000,
        }
    }
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    limits: SessionLimits,
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    sessions: HashMap<i32, Session>,
    partitions: usize,
}

#[derive(Debug)]
struct Session {
    /// That of the next request.
    epoch: i32,
    used: Instant,
    /// A request is being answered.
    busy: bool,
    /// What is read, in the order in which it is looked at.
    follows: BTreeMap<u64, Follow>,
    /// Where each partition is among these.
    places: HashMap<(String, i32), u64>,
    next: u64,
}

#[derive(Debug)]
struct Follow {
    topic: String,
    wanted: FetchPartition,
    /// The high watermark and the first offset that the client was told of last.
    told: Option<(i64, i64)>,
}

/// A request that belongs to a session, until it is answered.
#[derive(Debug)]
pub(crate) struct Turn {
    sessions: Arc<Sessions>,
    pub id: i32,
    /// What is looked at, in order.
    order: Vec<u64>,
    /// Whether everything is told.
    full: bool,
}

impl Session {
    fn new(now: Instant) -> Self {
        Self {
            epoch: 1,
            used: now,
            busy: true,
            follows: BTreeMap::new(),
            places: HashMap::new(),
            next: 0,
        }
    }

    /// Follows what a request names, and no longer what it forgets.
    fn update(&mut self, request: &mut Request) {
        for topic in std::mem::take(&mut request.topics) {
            for wanted in topic.partitions {
                let place = (topic.topic.clone(), wanted.partition);
                let known = self.places.get(&place);
                if let Some(follow) = known.and_then(|at| self.follows.get_mut(at)) {
                    follow.wanted = wanted;
                    continue;
                }
                self.places.insert(place, self.next);
                let follow = Follow {
                    topic: topic.topic.clone(),
                    wanted,
                    told: None,
                };
                self.follows.insert(self.next, follow);
                self.next += 1;
            }
        }
        for forgotten in std::mem::take(&mut request.forgotten_topics_data) {
            for partition in forgotten.partitions {
                let place = (forgotten.topic.clone(), partition);
                if let Some(at) = self.places.remove(&place) {
                    self.follows.remove(&at);
                }
            }
        }
    }

    /// Makes the request one for everything that is followed.
    fn ask_all(&self, request: &mut Request) -> Vec<u64> {
        for follow in self.follows.values() {
            match request.topics.last_mut() {
                Some(last) if last.topic == follow.topic => {
                    last.partitions.push(follow.wanted.clone());
                }
                _ => request.topics.push(FetchTopic {
                    topic: follow.topic.clone(),
                    partitions: vec![follow.wanted.clone()],
                    ..FetchTopic::default()
                }),
            }
        }
        self.follows.keys().copied().collect()
    }
}

impl All {
    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.partitions -= session.follows.len();
        }
    }

    /// Makes place for a session of so many partitions; whether there is any.
    fn make_place(&mut self, partitions: usize, limits: &SessionLimits, now: Instant) -> bool {
        let fits = |all: &Self| {
            all.sessions.len() < limits.sessions
                && all.partitions.saturating_add(partitions) <= limits.partitions
        };
        while !fits(self) {
            let idle = self.sessions.iter().filter(|(_, session)| !session.busy);
            let oldest = idle.min_by_key(|(_, session)| session.used);
            let oldest = oldest.filter(|(_, session)| now - session.used >= IDLE);
            match oldest.map(|(id, _)| *id) {
                Some(id) => self.remove(id),
                None => return false,
            }
        }
        true
    }
}

impl Sessions {
    pub fn new(limits: SessionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            all: Mutex::default(),
        })
    }

    /// Takes the session that a request belongs to or begins, if any, and makes the request one for all that the session
    /// follows.
    pub fn take(
        self: &Arc<Self>,
        request: &mut Request,
        now: Instant,
    ) -> Result<Option<Turn>, Code> {
        let mut all = self.all.lock();
        let id = request.session_id;
        match request.session_epoch {
            LAST => {
                all.remove(id);
                return Ok(None);
            }
            FIRST => {
                all.remove(id);
                return Ok(self.begin(&mut all, request, now));
            }
            _ => {}
        }
        let before = {
            let session = all.sessions.get_mut(&id);
            let session = session.ok_or(Code::FetchSessionIdNotFound)?;
            if session.epoch != request.session_epoch || session.busy {
                return Err(Code::InvalidFetchSessionEpoch);
            }
            session.follows.len()
        };
        let named = request.topics.iter().map(|topic| topic.partitions.len());
        let most = all.partitions + named.sum::<usize>();
        if most > self.limits.partitions {
            // The next request begins anew, with as much as there is place for.
            all.remove(id);
            return Err(Code::FetchSessionIdNotFound);
        }
        let Some(session) = all.sessions.get_mut(&id) else {
            return Err(Code::FetchSessionIdNotFound);
        };
        session.epoch = session.epoch.checked_add(1).unwrap_or(1);
        session.used = now;
        session.update(request);
        let after = session.follows.len();
        session.busy = after > 0;
        let order = session.ask_all(request);
        all.partitions = all.partitions - before + after;
        if after == 0 {
            all.remove(id);
            return Ok(None);
        }
        Ok(Some(Turn {
            sessions: self.clone(),
            id,
            order,
            full: false,
        }))
    }

    fn begin(self: &Arc<Self>, all: &mut All, request: &mut Request, now: Instant) -> Option<Turn> {
        let named = request.topics.iter().map(|topic| topic.partitions.len());
        let named = named.sum::<usize>();
        if named == 0 || !all.make_place(named, &self.limits, now) {
            return None;
        }
        let mut session = Session::new(now);
        session.update(request);
        let order = session.ask_all(request);
        // Not one after the other: after a restart nobody may take another's session for its own.
        let id = loop {
            let id = (Uuid::new_v4().as_u128() as i32) & i32::MAX;
            if id != 0 && !all.sessions.contains_key(&id) {
                break id;
            }
        };
        all.partitions += session.follows.len();
        all.sessions.insert(id, session);
        Some(Turn {
            sessions: self.clone(),
            id,
            order,
            full: true,
        })
    }
}

impl Turn {
    /// Keeps of an answer what the client does not know yet. What had records is looked at last the next time.
    pub fn tell(&self, answer: &mut Vec<(String, PartitionData)>) {
        let mut all = self.sessions.all.lock();
        let Some(session) = all.sessions.get_mut(&self.id) else {
            return;
        };
        let mut order = self.order.iter();
        answer.retain(|(_, data)| {
            let Some(at) = order.next() else {
                return true;
            };
            let Some(mut follow) = session.follows.remove(at) else {
                return true;
            };
            let records = data
                .records
                .as_ref()
                .is_some_and(|records| !records.is_empty());
            let now = (data.high_watermark, data.log_start_offset);
            let failed = data.error_code != Code::None.number();
            let is_new = self.full || records || failed || follow.told != Some(now);
            // After an error, the first that is well again is told.
            follow.told = (!failed).then_some(now);
            let mut at = *at;
            if records {
                at = session.next;
                session.next += 1;
                let place = (follow.topic.clone(), follow.wanted.partition);
                session.places.insert(place, at);
            }
            session.follows.insert(at, follow);
            is_new
        });
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(session) = self.sessions.all.lock().sessions.get_mut(&self.id) {
            session.busy = false;
        }
    }
}

#[cfg(test)]
mod tests;
