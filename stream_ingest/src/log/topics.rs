//! A topic's settings, under Kafka's names, and what a topic may be called.

use super::error::{Error, Result};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most bytes that `max.message.bytes` can be set to.
pub const LONGEST_BATCH: usize = 64 << 20;

/// What `compression.type` may be, and what that is in the attributes of a batch.
const COMPRESSIONS: [(&str, Option<i16>); 6] = [
    ("producer", None),
    ("uncompressed", Some(0)),
    ("gzip", Some(1)),
    ("snappy", Some(2)),
    ("lz4", Some(3)),
    ("zstd", Some(4)),
];

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
    /// `compression.type`: how batches are compressed that came otherwise, as their attributes say it (0 not at all);
    /// `None` if they are kept as they came (`producer`).
    pub compression: Option<i16>,
    /// `compression.gzip.level`; `None` is gzip's own choice (-1).
    pub gzip_level: Option<i32>,
    /// `compression.zstd.level`.
    pub zstd_level: i32,
    /// `message.timestamp.before.max.ms`: how much older than the log's time a record's may be.
    pub before_max: i64,
    /// `message.timestamp.after.max.ms`: how much newer.
    pub after_max: i64,
    /// `min.insync.replicas`: how many replicas whoever wants a record to be safe asks for. There is one.
    pub min_insync_replicas: u32,
    /// The names that were set for this topic; all others have their defaults.
    pub overrides: BTreeMap<&'static str, String>,
    /// Those whose defaults the server has other than Kafka.
    pub given: BTreeMap<&'static str, String>,
}

/// Where the value of a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was set for the topic.
    Topic,
    /// It is the server's for all topics that have none of their own.
    Server,
    /// It is Kafka's.
    Default,
}

/// The settings that there are, with their defaults. What is about replicas, indexes, files, tiers and older clients as Kafka
/// has them is taken and shown, so that tools which set it can, and has nothing to change here; nor has the level of LZ4, which
/// compresses in one way.
pub const SETTINGS: [(&str, &str); 35] = [
    ("cleanup.policy", "delete"),
    ("compression.gzip.level", "-1"),
    ("compression.lz4.level", "9"),
    ("compression.type", "producer"),
    ("compression.zstd.level", "3"),
    ("delete.retention.ms", "86400000"),
    ("file.delete.delay.ms", "60000"),
    ("flush.messages", "1"),
    ("flush.ms", "9223372036854775807"),
    ("follower.replication.throttled.replicas", ""),
    ("index.interval.bytes", "4096"),
    ("leader.replication.throttled.replicas", ""),
    ("local.retention.bytes", "-2"),
    ("local.retention.ms", "-2"),
    ("max.compaction.lag.ms", "9223372036854775807"),
    ("max.message.bytes", "1048588"),
    ("message.downconversion.enable", "true"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.difference.max.ms", "9223372036854775807"),
    ("message.timestamp.type", "CreateTime"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("min.compaction.lag.ms", "0"),
    ("min.insync.replicas", "1"),
    ("preallocate", "false"),
    ("remote.log.copy.disable", "false"),
    ("remote.log.delete.on.disable", "false"),
    ("remote.storage.enable", "false"),
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
            compression: None,
            gzip_level: None,
            zstd_level: 3,
            before_max: i64::MAX,
            after_max: 3_600_000,
            min_insync_replicas: 1,
            overrides: BTreeMap::new(),
            given: BTreeMap::new(),
        }
    }
}

impl TopicConfig {
    /// What topics have that do not say otherwise: Kafka's defaults but for these.
    pub fn given<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let kafkas = Self::default();
        let settings = settings.into_iter().map(|(key, value)| (key, Some(value)));
        let mut config = kafkas.with(&kafkas, settings)?;
        config.given = std::mem::take(&mut config.overrides);
        Ok(config)
    }

    /// How hard batches are compressed with this codec, where that is set.
    pub fn level(&self, codec: i16) -> Option<i32> {
        match codec {
            1 => self.gzip_level,
            4 => Some(self.zstd_level),
            _ => None,
        }
    }

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
                let codec = COMPRESSIONS.iter().find(|(name, _)| *name == value);
                let (_, codec) = codec.ok_or_else(|| {
                    refuse("it must be uncompressed, zstd, lz4, snappy, gzip or producer")
                })?;
                self.compression = *codec;
            }
            "compression.gzip.level" => {
                let level = number(-1, 9)?;
                if level == 0 {
                    return Err(refuse("it must be -1 or within 1..=9"));
                }
                self.gzip_level = i32::try_from(level).ok().filter(|level| *level > 0);
            }
            "compression.lz4.level" => drop(number(1, 17)?),
            "compression.zstd.level" => self.zstd_level = number(-131_072, 22)? as i32,
            "message.timestamp.before.max.ms" => self.before_max = number(0, i64::MAX)?,
            "message.timestamp.after.max.ms" => self.after_max = number(0, i64::MAX)?,
            "message.timestamp.difference.max.ms" => {
                let most = number(0, i64::MAX)?;
                // For both sides, unless the newer settings say otherwise.
                if !self
                    .overrides
                    .contains_key("message.timestamp.before.max.ms")
                {
                    self.before_max = most;
                }
                if !self
                    .overrides
                    .contains_key("message.timestamp.after.max.ms")
                {
                    self.after_max = most;
                }
            }
            "local.retention.bytes" | "local.retention.ms" => drop(number(-2, i64::MAX)?),
            "remote.log.copy.disable"
            | "remote.log.delete.on.disable"
            | "remote.storage.enable" => {
                if !value.trim().eq_ignore_ascii_case("false") {
                    return Err(refuse("there is no remote storage, so it must be false"));
                }
            }
            "min.insync.replicas" => {
                self.min_insync_replicas = number(1, i64::from(i32::MAX))? as u32;
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

    /// Whether the topic takes a record of this time when it is `now`, in milliseconds since 1970; -1 is none.
    pub(crate) fn is_timely(&self, time: i64, now: i64) -> bool {
        self.log_append_time
            || time == -1
            || now.saturating_sub(time) <= self.before_max
                && time.saturating_sub(now) <= self.after_max
    }

    /// After what time the next segment is begun. What is written to is not compacted, so a topic that compacts within
    /// some time begins the next segment within it.
    pub(crate) fn roll_after(&self) -> Duration {
        match self.compact {
            true => self.segment_age.min(self.max_compaction_lag),
            false => self.segment_age,
        }
    }

    /// Every setting with its value and where that comes from, sorted by name.
    pub fn entries(&self) -> Vec<(&'static str, String, Origin)> {
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
                        let set = self.overrides.get(key).or(self.given.get(key));
                        set.map_or(default, String::as_str).to_owned()
                    }
                };
                let origin = match () {
                    () if self.overrides.contains_key(key) => Origin::Topic,
                    () if self.given.contains_key(key) => Origin::Server,
                    () => Origin::Default,
                };
                (key, value, origin)
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
    if name == "__consumer_offsets" || name == "__transaction_state" {
        return refuse("Kafka keeps it for itself");
    }
    Ok(())
}

/// Whether two names cannot be told apart where a dot becomes an underscore, as in the names of many metrics.
pub(crate) fn collide(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'.' { b'_' } else { byte };
    one.len() == other.len() && one.bytes().map(plain).eq(other.bytes().map(plain))
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
            assert_eq!(set, Origin::Default);
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
            ("compression.type", "zstd"),
            ("compression.gzip.level", "9"),
            ("compression.lz4.level", "12"),
            ("compression.zstd.level", "-5"),
            ("remote.storage.enable", "false"),
            ("local.retention.ms", "-2"),
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
                config
                    .entries()
                    .contains(&(key, value.to_owned(), Origin::Topic)),
                "{key}"
            );
        }
        let back = config
            .with(&defaults, changes.map(|(key, _)| (key, None)))
            .unwrap();
        assert_eq!(back, defaults);
    }

    #[test]
    fn a_server_may_have_defaults_of_its_own() {
        let settings = [("retention.ms", "1000"), ("compression.type", "lz4")];
        let defaults = TopicConfig::given(settings).unwrap();
        let changes = [("retention.ms", Some("5000"))];
        let topic = defaults.with(&defaults, changes).unwrap();
        assert_eq!(topic.retention, Some(Duration::from_secs(5)));
        assert_eq!(topic.compression, Some(3));
        let entries = topic.entries();
        for (key, value, origin) in [
            ("retention.ms", "5000", Origin::Topic),
            ("compression.type", "lz4", Origin::Server),
            ("segment.bytes", "1073741824", Origin::Default),
        ] {
            assert!(entries.contains(&(key, value.to_owned(), origin)), "{key}");
        }
        // Without its own, the topic has the server's again.
        let back = topic.with(&defaults, [("retention.ms", None)]).unwrap();
        assert_eq!(back, defaults);
        for wrong in [("no.such.setting", "1"), ("retention.ms", "soon")] {
            assert!(TopicConfig::given([wrong]).is_err());
        }
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
            ("compression.type", "brotli"),
            ("compression.gzip.level", "0"),
            ("compression.gzip.level", "10"),
            ("compression.lz4.level", "18"),
            ("remote.storage.enable", "true"),
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
        for name in [
            "",
            ".",
            "..",
            "a b",
            "ä",
            "a/b",
            &"x".repeat(250),
            "__consumer_offsets",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(collide("a.b_c", "a_b.c") && !collide("a.b", "a-b") && !collide("a", "a."));
    }
}
