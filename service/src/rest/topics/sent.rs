//! What requests about topics bring, read within bounds.

use super::Brought;
use crate::failure::Failure;
use crate::topics::Error;
use crate::topics::produce::{MOST_RECORDS, Wanted};
use crate::topics::record::{HeaderView, Parts};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use utoipa::{IntoParams, ToSchema};

/// Most settings in a request, and most headers of a record.
const MOST_PARTS: usize = 1000;

/// A list with a bound of its own: read whole, or refused before it takes memory.
#[derive(Debug)]
pub(super) struct Bounded<T, const MOST: usize>(pub(super) Vec<T>);

impl<T, const MOST: usize> Default for Bounded<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Bounded<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const MOST: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Items<T, MOST> {
            type Value = Bounded<T, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MOST}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() == MOST {
                        return Err(A::Error::custom(format!("there are more than {MOST}")));
                    }
                    items.push(item);
                }
                Ok(Bounded(items))
            }
        }
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// Settings by name; nothing gives one its default back.
#[derive(Debug, Default)]
pub(super) struct Settings(pub(super) BTreeMap<String, Option<String>>);

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A value as people write it.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Value {
            Text(String),
            Number(serde_json::Number),
        }

        struct Few;
        impl<'de> Visitor<'de> for Few {
            type Value = Settings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of settings: texts, numbers or null")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
                let mut settings = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Option<Value>>()? {
                    if settings.len() == MOST_PARTS {
                        return Err(A::Error::custom(format!("more than {MOST_PARTS} settings")));
                    }
                    let value = value.map(|value| match value {
                        Value::Text(text) => text,
                        Value::Number(number) => number.to_string(),
                    });
                    settings.insert(name, value);
                }
                Ok(Settings(settings))
            }
        }
        deserializer.deserialize_map(Few)
    }
}

/// A new topic.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicRequest {
    /// 1 to 249 letters, digits, `_`, `.` and `-`.
    #[schema(example = "reviews")]
    pub(super) name: String,
    /// Partitions; the setting `kafka.partitions` when it does not say.
    #[schema(minimum = 1)]
    pub(super) partitions: Option<u32>,
    /// Settings under Kafka's names.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, String>, example = json!({"retention.ms": "86400000"}))]
    pub(super) config: Settings,
}

/// Changes of a topic.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicChange {
    /// The partitions that it is to have, more than it has.
    pub(super) partitions: Option<u32>,
    /// Settings under Kafka's names; `null` gives one its default back.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, Option<String>>)]
    pub(super) config: Settings,
}

/// A record that is to be written.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordRequest {
    /// What it says: text as its letters, other JSON as it is written. Without it, and without `value_base64`, the record
    /// is a tombstone.
    #[schema(value_type = Option<serde_json::Value>)]
    pub(super) value: Option<Box<RawValue>>,
    /// What it says, in base64.
    #[schema(content_encoding = "base64")]
    value_base64: Option<String>,
    /// What decides its partition: text as its letters, other JSON as it is written. Records without one take turns.
    #[schema(value_type = Option<serde_json::Value>)]
    pub(super) key: Option<Box<RawValue>>,
    /// The key in base64.
    #[schema(content_encoding = "base64")]
    key_base64: Option<String>,
    /// What stands beside it.
    #[serde(default)]
    #[schema(value_type = Vec<HeaderView>)]
    pub(super) headers: Bounded<HeaderView, MOST_PARTS>,
    /// A partition, whatever the key says.
    pub(super) partition: Option<u32>,
    /// Milliseconds since 1970; now when it does not say.
    pub(super) timestamp: Option<i64>,
}

impl RecordRequest {
    fn wanted(self, now: i64) -> Result<Wanted, Error> {
        let parts = Parts {
            key: self.key,
            key_base64: self.key_base64,
            value: self.value,
            value_base64: self.value_base64,
            headers: self.headers.0,
            timestamp: self.timestamp,
        };
        Ok(Wanted {
            draft: parts.draft(now)?,
            partition: self.partition,
        })
    }
}

/// One record, or many as `records`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordsRequest {
    /// 1 to 10,000 records in their order; then nothing else stands here.
    #[schema(value_type = Option<Vec<RecordRequest>>, min_items = 1, max_items = 10_000)]
    pub(super) records: Option<Bounded<RecordRequest, MOST_RECORDS>>,
    /// What the one record says, as in `records`.
    #[schema(value_type = Option<serde_json::Value>)]
    pub(super) value: Option<Box<RawValue>>,
    /// What it says, in base64.
    #[schema(content_encoding = "base64")]
    value_base64: Option<String>,
    /// What decides its partition.
    #[schema(value_type = Option<serde_json::Value>)]
    pub(super) key: Option<Box<RawValue>>,
    /// The key in base64.
    #[schema(content_encoding = "base64")]
    key_base64: Option<String>,
    /// What stands beside it.
    #[schema(value_type = Option<Vec<HeaderView>>)]
    pub(super) headers: Option<Bounded<HeaderView, MOST_PARTS>>,
    /// A partition, whatever the key says.
    pub(super) partition: Option<u32>,
    /// Milliseconds since 1970; now when it does not say.
    pub(super) timestamp: Option<i64>,
}

impl RecordsRequest {
    pub(super) fn brought(self, now: i64) -> Result<Brought, Failure> {
        let alone = self.value.is_some()
            || self.value_base64.is_some()
            || self.key.is_some()
            || self.key_base64.is_some()
            || self.headers.is_some()
            || self.partition.is_some()
            || self.timestamp.is_some();
        let Some(records) = self.records else {
            let record = RecordRequest {
                value: self.value,
                value_base64: self.value_base64,
                key: self.key,
                key_base64: self.key_base64,
                headers: self.headers.unwrap_or_default(),
                partition: self.partition,
                timestamp: self.timestamp,
            };
            return Ok(Brought::One(record.wanted(now)?));
        };
        if alone {
            let message = "give either `records` or the parts of one record";
            return Err(Failure::invalid(message).at("records"));
        }
        let records = records.0.into_iter().enumerate();
        let wanted = records.map(|(number, record)| match record.wanted(now) {
            Err(Error::Invalid(why)) => {
                let message = format!("record {number}: {why}");
                Err(Failure::invalid(message).at("records"))
            }
            wanted => Ok(wanted?),
        });
        Ok(Brought::Many(wanted.collect::<Result<_, Failure>>()?))
    }
}

/// How lines become records.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LinesQuery {
    /// The key of all lines.
    pub(super) key: Option<String>,
    /// What stands between the key and the value of a line; a line without it has no key.
    pub(super) key_separator: Option<String>,
    /// The partition of all lines, whatever the keys say.
    pub(super) partition: Option<u32>,
}

/// Which records are read.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecordsQuery {
    /// One partition; without it all.
    pub(super) partition: Option<u32>,
    /// Where to begin: `earliest` (when nothing is said), `latest`, the offset of a record of the only partition, or a
    /// position that came as `next`.
    pub(super) offset: Option<String>,
    /// Begin with the first record that is not older, in milliseconds since 1970.
    pub(super) from_time: Option<i64>,
    /// Most records of an answer.
    #[param(default = 100, minimum = 1, maximum = 10_000)]
    pub(super) limit: Option<usize>,
    /// Most bytes of an answer's records, unless the first one is more.
    #[param(default = 1_048_576, minimum = 1, maximum = 16_777_216)]
    pub(super) max_bytes: Option<usize>,
    /// How long to wait for a record when there is none, such as `5s`; at most 30s.
    pub(super) wait: Option<String>,
}
