//! A topic's settings, under Kafka's names, and what a topic may be called.

use super::error::{Error, Result};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most bytes that `max.message.bytes` can be set to.
pub const LONGEST_BATCH: usize = 64 << 20;

/// Most bytes of a list of replicas.
const LONGEST_LIST: usize = 4096;

/// A topic's settings. [`TopicConfig::set`] is the only way in for a name and a value; [`TopicConfig::entries`] the way
/// out.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// `retention.ms`: how long segments are kept; `None` for ever (-1).
    pub retention: Option<Duration>,
    /// `retention.bytes`: how much of a partition is kept; `None` everything (-1).
    pub retention_bytes: Option<u64>,
    /// `segment.bytes`: when the next segment is begun.
    pub segment_bytes: u64,
    /// `segment.ms`: when the next segment is begun.
    pub segment_age: Duration,
    /// `cleanup.policy` has `delete`: old segments are deleted.
    pub delete: bool,
    /// `cleanup.policy` has `compact`: of each key the last record is kept, and every record must have a key.
    pub compact: bool,
    /// `min.cleanable.dirty.ratio`: the part of a partition that was not compacted yet above which it is.
    pub dirty_ratio: f64,
    /// `min.compaction.lag.ms`: how long every record is kept at least.
    pub min_compaction_lag: Duration,
    /// `max.compaction.lag.ms`: after what time a record is compacted whatever the ratio is.
    pub max_compaction_lag: Duration,
    /// `delete.retention.ms`: how long tombstones are kept after they were first compacted.
    pub delete_retention: Duration,
    /// `max.message.bytes`: the largest batch.
    pub max_message_bytes: usize,
    /// `message.timestamp.type` is `LogAppendTime`: records get the time of the log.
    pub log_append_time: bool,
    /// `flush.messages`: after how many records the log is synced. With 1, the default, what was acknowledged is durable.
    /// With more, records are acknowledged and shown as soon as the system has them: a crash of the machine takes those
    /// back that were not synced yet, a crash of the process none.
    pub flush_messages: u64,
    /// `flush.ms`: how long records that are not synced stay so; `None` until the next checkpoint.
    pub flush_within: Option<Duration>,
    /// The names that were set for this topic; all others have their defaults.
    pub overrides: BTreeMap<&'static str, String>,
}

/// The settings that there are, with their defaults. What is about replicas, indexes, files and older clients as Kafka has them
/// is taken and shown, so that tools which set it can, and has nothing to change here; nor are records refused for their
/// times.
pub const SETTINGS: [(&str, &str); 27] = [
    ("cleanup.policy", "delete"),
    ("compression.type", "producer"),
    ("delete.retention.ms", "86400000"),
    ("file.delete.delay.ms", "60000"),
    ("flush.messages", "1"),
    ("flush.ms", "9223372036854775807"),
    ("follower.replication.throttled.replicas", ""),
    ("index.interval.bytes", "4096"),
    ("leader.replication.throttled.replicas", ""),
    ("max.compaction.lag.ms", "9223372036854775807"),
    ("max.message.bytes", "1048588"),
    ("message.downconversion.enable", "true"),
    ("message.timestamp.after.max.ms", "9223372036854775807"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.difference.max.ms", "9223372036854775807"),
    ("message.timestamp.type", "CreateTime"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("min.compaction.lag.ms", "0"),
    ("min.insync.replicas", "1"),
    ("preallocate", "false"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "1073741824"),
    ("segment.index.bytes", "10485760"),
    ("segment.jitter.ms", "0"),
    ("segment.ms", "604800000"),
    ("unclean.leader.election.enable", "false"),
];

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            retention: Some(Duration::from_millis(604_800_000)),
            retention_bytes: None,
            segment_bytes: 1 << 30,
            segment_age: Duration::from_millis(604_800_000),
            delete: true,
            compact: false,
            dirty_ratio: 0.5,
            min_compaction_lag: Duration::ZERO,
            max_compaction_lag: Duration::from_millis(i64::MAX as u64),
            delete_retention: Duration::from_millis(86_400_000),
            max_message_bytes: 1_048_588,
            log_append_time: false,
            flush_messages: 1,
            flush_within: None,
            overrides: BTreeMap::new(),
        }
    }
}

impl TopicConfig {
    /// Sets one setting, or refuses it with [`Error::Config`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let refuse = |why: &str| Error::Config {
            key: key.to_owned(),
            value: value.to_owned(),
            why: why.to_owned(),
        };
        let number = |least: i64, most: i64| {
            let number = value
                .trim()
                .parse::<i64>()
                .map_err(|_| refuse("it is not a whole number"))?;
            if (least..=most).contains(&number) {
                Ok(number)
            } else {
                Err(refuse(&format!("it must be within {least}..={most}")))
            }
        };
        let Some(&(key, _)) = SETTINGS.iter().find(|(name, _)| *name == key) else {
            return Err(refuse("there is no such setting"));
        };
        match key {
            "retention.ms" => {
                self.retention = u64::try_from(number(-1, i64::MAX)?)
                    .ok()
                    .map(Duration::from_millis);
            }
            "retention.bytes" => self.retention_bytes = u64::try_from(number(-1, i64::MAX)?).ok(),
            "segment.bytes" => self.segment_bytes = number(14, i64::from(i32::MAX))? as u64,
            "segment.ms" => {
                self.segment_age = Duration::from_millis(number(1, i64::MAX)? as u64);
            }
            "max.message.bytes" => {
                self.max_message_bytes = number(0, LONGEST_BATCH as i64)? as usize;
            }
            "flush.messages" => self.flush_messages = number(1, i64::MAX)? as u64,
            "flush.ms" => {
                let within = number(0, i64::MAX)?;
                let most = within == i64::MAX;
                self.flush_within = (!most).then(|| Duration::from_millis(within as u64));
            }
            "cleanup.policy" => {
                let (mut delete, mut compact) = (false, false);
                for policy in value.split(',') {
                    match policy.trim() {
                        "delete" => delete = true,
                        "compact" => compact = true,
                        _ => return Err(refuse("it must be delete, compact or both")),
                    }
                }
                (self.delete, self.compact) = (delete, compact);
            }
            "message.timestamp.type" => {
                self.log_append_time = match value {
                    "CreateTime" => false,
                    "LogAppendTime" => true,
                    _ => return Err(refuse("it must be CreateTime or LogAppendTime")),
                };
            }
            "compression.type" => {
                if value != "producer" {
                    return Err(refuse(
                        "batches are kept as the producer compressed them, so it must be producer",
                    ));
                }
            }
            "min.insync.replicas" => {
                number(1, i64::from(i32::MAX))?;
            }
            "min.cleanable.dirty.ratio" => {
                let ratio = value
                    .trim()
                    .parse::<f64>()
                    .map_err(|_| refuse("it is not a number"))?;
                if !(0.0..=1.0).contains(&ratio) {
                    return Err(refuse("it must be within 0..=1"));
                }
                self.dirty_ratio = ratio;
            }
            "min.compaction.lag.ms" => {
                self.min_compaction_lag = Duration::from_millis(number(0, i64::MAX)? as u64);
            }
            "max.compaction.lag.ms" => {
                self.max_compaction_lag = Duration::from_millis(number(1, i64::MAX)? as u64);
            }
            "delete.retention.ms" => {
                self.delete_retention = Duration::from_millis(number(0, i64::MAX)? as u64);
            }
            "message.downconversion.enable" | "preallocate" | "unclean.leader.election.enable" => {
                let value = value.trim();
                if !["true", "false"]
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(value))
                {
                    return Err(refuse("it must be true or false"));
                }
            }
            "follower.replication.throttled.replicas" | "leader.replication.throttled.replicas" => {
                if value.len() > LONGEST_LIST {
                    return Err(refuse("it is too long"));
                }
            }
            _ => {
                number(0, i64::MAX)?;
            }
        }
        self.overrides.insert(key, value.trim().to_owned());
        Ok(())
    }

    /// These settings with other overrides: every override of `self` is dropped for those given.
    pub fn with<'a>(
        &self,
        defaults: &Self,
        changes: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<Self> {
        let mut overrides: BTreeMap<String, String> = self
            .overrides
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        for (key, value) in changes {
            match value {
                Some(value) => {
                    overrides.insert(key.to_owned(), value.to_owned());
                }
                None if SETTINGS.iter().any(|(name, _)| *name == key) => {
                    overrides.remove(key);
                }
                None => {
                    return Err(Error::Config {
                        key: key.to_owned(),
                        value: String::new(),
                        why: "there is no such setting".to_owned(),
                    });
                }
            }
        }
        let mut config = Self {
            overrides: BTreeMap::new(),
            ..defaults.clone()
        };
        for (key, value) in &overrides {
            config.set(key, value)?;
        }
        if config.min_compaction_lag > config.max_compaction_lag {
            return Err(Error::Config {
                key: "min.compaction.lag.ms".to_owned(),
                value: config.min_compaction_lag.as_millis().to_string(),
                why: "it is more than max.compaction.lag.ms".to_owned(),
            });
        }
        Ok(config)
    }

    /// After what time the next segment is begun. What is written to is not compacted, so a topic that compacts within
    /// some time begins the next segment within it.
    pub(crate) fn roll_after(&self) -> Duration {
        match self.compact {
            true => self.segment_age.min(self.max_compaction_lag),
            false => self.segment_age,
        }
    }

    /// Every setting with its value and whether it was set for this topic, sorted by name.
    pub fn entries(&self) -> Vec<(&'static str, String, bool)> {
        let duration = |value: Option<Duration>| {
            value.map_or("-1".to_owned(), |value| value.as_millis().to_string())
        };
        SETTINGS
            .iter()
            .map(|&(key, default)| {
                let value = match key {
                    "retention.ms" => duration(self.retention),
                    "retention.bytes" => self
                        .retention_bytes
                        .map_or("-1".to_owned(), |bytes| bytes.to_string()),
                    "segment.bytes" => self.segment_bytes.to_string(),
                    "segment.ms" => duration(Some(self.segment_age)),
                    "max.message.bytes" => self.max_message_bytes.to_string(),
                    "flush.messages" => self.flush_messages.to_string(),
                    "flush.ms" => self
                        .flush_within
                        .map_or(default.to_owned(), |within| within.as_millis().to_string()),
                    "delete.retention.ms" => duration(Some(self.delete_retention)),
                    "max.compaction.lag.ms" => duration(Some(self.max_compaction_lag)),
                    "min.compaction.lag.ms" => duration(Some(self.min_compaction_lag)),
                    "min.cleanable.dirty.ratio" => self.dirty_ratio.to_string(),
                    "cleanup.policy" => match (self.delete, self.compact) {
                        (true, true) => "compact,delete",
                        (false, true) => "compact",
                        _ => "delete",
                    }
                    .to_owned(),
                    "message.timestamp.type" => match self.log_append_time {
                        true => "LogAppendTime",
                        false => "CreateTime",
                    }
                    .to_owned(),
                    _ => {
                        let set = self.overrides.get(key);
                        set.map_or(default, String::as_str).to_owned()
                    }
                };
                (key, value, self.overrides.contains_key(key))
            })
            .collect()
    }
}

/// Whether a topic may have this name: Kafka's rules.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let refuse = |why| {
        Err(Error::TopicName {
            name: name.chars().take(300).collect(),
            why,
        })
    };
    if name.is_empty() {
        return refuse("it is empty");
    }
    if name == "." || name == ".." {
        return refuse("it is . or ..");
    }
    if name.len() > 249 {
        return refuse("it has more than 249 bytes");
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !name.bytes().all(legal) {
        return refuse(
            "it has something else than a letter, a digit, a dot, a dash or an underscore",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_out_as_they_went_in() {
        let defaults = TopicConfig::default();
        for (key, value, set) in defaults.entries() {
            let listed = SETTINGS.iter().find(|(name, _)| *name == key);
            assert_eq!(
                listed.map(|(_, value)| *value),
                Some(value.as_str()),
                "{key}"
            );
            assert!(!set);
        }
        let changes = [
            ("retention.ms", "-1"),
            ("retention.bytes", "1000"),
            ("segment.bytes", "4096"),
            ("segment.ms", "60000"),
            ("cleanup.policy", "compact,delete"),
            ("max.message.bytes", "2048"),
            ("message.timestamp.type", "LogAppendTime"),
            ("file.delete.delay.ms", "1000"),
            ("leader.replication.throttled.replicas", "*"),
            ("unclean.leader.election.enable", "true"),
            ("min.insync.replicas", "2"),
            ("message.timestamp.before.max.ms", "86400000"),
            ("message.timestamp.after.max.ms", "0"),
            ("message.timestamp.difference.max.ms", "3600000"),
            ("message.downconversion.enable", "false"),
            ("flush.messages", "10000"),
            ("flush.ms", "1000"),
            ("delete.retention.ms", "3000"),
            ("min.compaction.lag.ms", "10"),
            ("max.compaction.lag.ms", "5000"),
            ("min.cleanable.dirty.ratio", "0.25"),
        ];
        let config = defaults
            .with(&defaults, changes.map(|(key, value)| (key, Some(value))))
            .unwrap();
        for (key, value) in changes {
            assert!(
                config.entries().contains(&(key, value.to_owned(), true)),
                "{key}"
            );
        }
        let back = config
            .with(&defaults, changes.map(|(key, _)| (key, None)))
            .unwrap();
        assert_eq!(back, defaults);
    }

    #[test]
    fn what_cannot_be_set_is_refused() {
        for (key, value) in [
            ("retention.ms", "-2"),
            ("retention.ms", "soon"),
            ("segment.bytes", "0"),
            ("flush.messages", "0"),
            ("flush.ms", "-1"),
            ("preallocate", "maybe"),
            ("index.interval.bytes", "-1"),
            ("cleanup.policy", "keep"),
            ("compression.type", "gzip"),
            ("min.insync.replicas", "0"),
            ("min.insync.replicas", "2147483648"),
            ("message.timestamp.before.max.ms", "-1"),
            ("message.timestamp.after.max.ms", "soon"),
            ("message.downconversion.enable", "yes"),
            ("max.message.bytes", "1000000000000"),
            ("no.such.setting", "1"),
            ("min.cleanable.dirty.ratio", "1.5"),
            ("max.compaction.lag.ms", "0"),
            ("min.compaction.lag.ms", "-1"),
            ("delete.retention.ms", "soon"),
        ] {
            let mut config = TopicConfig::default();
            assert!(
                matches!(config.set(key, value), Err(Error::Config { .. })),
                "{key}={value}"
            );
            assert_eq!(config, TopicConfig::default());
        }
        // Each alone is possible.
        let defaults = TopicConfig::default();
        let lags = [
            ("min.compaction.lag.ms", Some("20")),
            ("max.compaction.lag.ms", Some("10")),
        ];
        assert!(matches!(
            defaults.with(&defaults, lags),
            Err(Error::Config { .. })
        ));
        for lag in lags {
            defaults.with(&defaults, [lag]).unwrap();
        }
    }

    #[test]
    fn names_are_kafkas() {
        for name in ["a", "A.b_c-9", &"x".repeat(249), "..."] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
