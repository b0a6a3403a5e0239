//! The records that a flow writes.

use super::definition::Definition;
use super::reader::Item;
use super::{Failed, Fault, Model};
use crate::records::{self, Draft, HEAD, Header, Record};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// Header: the topic of the record that was asked about.
pub const TOPIC: &str = "escala.topic";
/// Header: its partition.
pub const PARTITION: &str = "escala.partition";
/// Header: its offset.
pub const OFFSET: &str = "escala.offset";
/// Header: the flow.
pub const FLOW: &str = "escala.flow";
/// Header of dead letters: a word that says why there is no answer.
pub const DEAD_CODE: &str = "escala.error.code";
/// Header of dead letters: a sentence that says why.
pub const DEAD_MESSAGE: &str = "escala.error.message";
/// Header of dead letters without the value of their record: that it is too large, and how large.
pub const DEAD_VALUE: &str = "escala.error.value";

/// Most characters of why there is no answer.
const LONGEST_MESSAGE: usize = 4096;

/// The value of an answer.
#[derive(Serialize)]
struct Value<'a> {
    prediction: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
}

/// What becomes of a record.
#[derive(Debug)]
pub enum Fate {
    /// It has an answer.
    Answer(Box<RawValue>),
    /// It has no value, and neither has its answer.
    Tombstone,
    /// It has none, and why.
    Dead(Failed),
}

/// What is written for some records, before it is cut into batches.
#[derive(Debug, Default)]
pub struct Written {
    /// Answers.
    pub answers: Vec<Draft>,
    /// Dead letters.
    pub dead: Vec<Draft>,
    /// How many records it came from.
    pub records: u64,
    /// About how many bytes it has.
    pub bytes: usize,
}

/// Makes a flow's records.
pub struct Writer<'a> {
    /// The flow.
    pub flow: &'a Definition,
    /// The partition that is read.
    pub partition: u32,
    /// Milliseconds since 1970.
    pub now: i64,
    /// Who answered.
    pub model: Option<&'a Model>,
    /// The largest batch of answers.
    pub most: usize,
    /// The largest batch of dead letters.
    pub most_dead: usize,
    /// Whether the topic of answers compacts, so that every one must have a key.
    pub keyed: bool,
}

impl Writer<'_> {
    /// Adds what becomes of an item.
    pub fn add(&self, written: &mut Written, item: Item, fate: Fate) {
        written.records += 1;
        let record = match item {
            Item::Record(record) => record,
            Item::Damaged { first, why } => {
                let record = Record {
                    offset: first,
                    // It has none; one of long ago would be taken by retention at once.
                    timestamp: self.now,
                    key: None,
                    value: None,
                    headers: Vec::new(),
                };
                let failed = Failed {
                    fault: Fault::Record,
                    code: "damaged".to_owned(),
                    message: why,
                };
                return self.bury(written, record, &failed);
            }
        };
        let value = match &fate {
            Fate::Tombstone => None,
            Fate::Dead(failed) => return self.bury(written, record, failed),
            Fate::Answer(prediction) => match self.value(prediction) {
                Ok(value) => Some(value),
                Err(failed) => return self.bury(written, record, &failed),
            },
        };
        if self.keyed && record.key.is_none() {
            let failed = Failed {
                fault: Fault::Record,
                code: "no_key".to_owned(),
                message: format!("{} compacts, and the record has no key", self.flow.to),
            };
            return self.bury(written, record, &failed);
        }
        let mut draft = self.draft(&record);
        draft.value = value;
        let bytes = records::weight(&draft);
        if HEAD + bytes > self.most {
            let failed = Failed {
                fault: Fault::Record,
                code: "too_large".to_owned(),
                message: format!(
                    "the answer has {bytes} bytes, and `max.message.bytes` of {} is {}",
                    self.flow.to, self.most
                ),
            };
            return self.bury(written, record, &failed);
        }
        written.bytes += bytes;
        written.answers.push(draft);
    }

    fn value(&self, prediction: &RawValue) -> Result<Bytes, Failed> {
        let value = Value {
            prediction,
            model: self.model.map(|model| model.name.as_str()),
            digest: self.model.and_then(|model| model.digest.as_deref()),
        };
        let bytes = serde_json::to_vec(&value).map_err(|error| Failed {
            fault: Fault::Record,
            code: "internal".to_owned(),
            message: format!("the answer cannot be written: {error}"),
        });
        bytes.map(Bytes::from)
    }

    /// A record with the same key, time and headers, and where it comes from.
    fn draft(&self, record: &Record) -> Draft {
        let mut headers = record.headers.clone();
        headers.extend(self.whence(record.offset));
        Draft {
            timestamp: record.timestamp,
            key: record.key.clone(),
            value: None,
            headers,
        }
    }

    fn whence(&self, offset: i64) -> [Header; 4] {
        let header = |name: &str, value: String| (name.to_owned(), Some(Bytes::from(value)));
        [
            header(FLOW, self.flow.name.clone()),
            header(TOPIC, self.flow.from.clone()),
            header(PARTITION, self.partition.to_string()),
            header(OFFSET, offset.to_string()),
        ]
    }

    fn bury(&self, written: &mut Written, record: Record, failed: &Failed) {
        let why = |draft: &mut Draft| {
            let code = Bytes::from(failed.code.clone());
            let message: String = failed.message.chars().take(LONGEST_MESSAGE).collect();
            let message = Bytes::from(message);
            draft.headers.push((DEAD_CODE.to_owned(), Some(code)));
            draft.headers.push((DEAD_MESSAGE.to_owned(), Some(message)));
        };
        let mut draft = self.draft(&record);
        draft.value = record.value;
        why(&mut draft);
        let fits = |draft: &Draft| HEAD + records::weight(draft) <= self.most_dead;
        let mut left_out = None;
        if !fits(&draft) {
            left_out = draft.value.take().map(|value| {
                let said = format!("left out, {} bytes", value.len());
                (DEAD_VALUE.to_owned(), Some(Bytes::from(said)))
            });
            draft.headers.extend(left_out.clone());
        }
        if !fits(&draft) {
            // It was as large as may be without its value, too; where it is says the rest.
            draft = Draft {
                timestamp: record.timestamp,
                headers: self.whence(record.offset).into(),
                ..Draft::default()
            };
            why(&mut draft);
            draft.headers.extend(left_out);
        }
        written.bytes += records::weight(&draft);
        written.dead.push(draft);
    }
}
