//! The last offset of every key, within a bound.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Keys by 128 bits of two keyed hashes, so that nobody can look for keys that are taken for each other.
pub(super) struct Keys {
    hashers: [RandomState; 2],
    last: HashMap<[u64; 2], i64>,
    most: usize,
}

impl Keys {
    /// No keys; later at most so many, at least one. One takes 25 bytes in a table that is at least seven sixteenths full, and while the
    /// table grows the smaller one is there too.
    pub fn new(most: usize) -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            last: HashMap::new(),
            most: most.max(1),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// Whether so many more would be kept.
    pub fn has_room(&self, more: usize) -> bool {
        self.last.len().saturating_add(more) <= self.most
    }

    /// Takes note of a record if there is room; whether there is. Records come in the order of their offsets.
    pub fn note(&mut self, key: &[u8], offset: i64) -> bool {
        let hash = self.hash(key);
        let there = self.last.len() < self.most || self.last.contains_key(&hash);
        if there {
            self.last.insert(hash, offset);
        }
        there
    }

    /// The offset of the last record with this key, if one was noted.
    pub fn last(&self, key: &[u8]) -> Option<i64> {
        self.last.get(&self.hash(key)).copied()
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [0, 1].map(|i: usize| self.hashers[i].hash_one(key))
    }
}
