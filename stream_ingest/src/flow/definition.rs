//! What a flow is: where it reads, what it asks, where it writes.

use super::error::{Error, Result};
use super::{Question, external, input};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most bytes of a flow's name: its group has a few more.
const NAME: usize = 100;

/// How often a record's answer may be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Once: answers and offsets are one frame.
    #[default]
    ExactlyOnce,
    /// Again after a crash: answers first, offsets after.
    AtLeastOnce,
}

/// Where a flow begins that has never committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// With the first record that is there.
    #[default]
    Earliest,
    /// With the first record that comes after it was made.
    Latest,
}

/// What is wanted of a new flow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its name: letters, digits, dots, dashes and underscores.
    pub name: String,
    /// Where the Kafka is whose topics these are, `host:port` and more after commas; the built-in log when left out.
    pub brokers: Option<String>,
    /// The topic that it reads, which must be there.
    pub from: String,
    /// The topic that it writes; made when it is not there.
    pub to: String,
    /// The topic of what could not be predicted; `<to>.dead-letters` when left out.
    pub dead_letters: Option<String>,
    /// What it asks.
    pub task: String,
    /// The language of texts.
    pub language: Option<String>,
    /// Where in a record's JSON its text or base64 image is: a member's name, or a JSON pointer (RFC 6901). The whole
    /// value when left out.
    pub field: Option<String>,
    /// How often an answer may be written.
    pub guarantee: Guarantee,
    /// Where it begins.
    pub start: Start,
    /// Not to begin yet.
    pub paused: bool,
}

/// A flow as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Where the Kafka is whose topics these are; the built-in log when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brokers: Option<String>,
    /// The topic that it reads.
    pub from: String,
    /// The topic that it writes.
    pub to: String,
    /// The topic of what could not be predicted.
    pub dead_letters: String,
    /// What it asks.
    pub task: String,
    /// The language of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The JSON pointer to the text or image in a record's value; the whole value when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// How often an answer may be written.
    #[serde(default)]
    pub guarantee: Guarantee,
    /// Where it begins.
    #[serde(default)]
    pub start: Start,
    /// Whether it rests.
    #[serde(default)]
    pub paused: bool,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
}

impl Definition {
    /// Whether what the flow writes comes back to it, through others: it would never end.
    ///
    /// # Errors
    /// [`Error::Invalid`], which names the topics on the way.
    pub fn ends_among<'a>(&'a self, others: impl Iterator<Item = &'a Self>) -> Result<()> {
        let others: Vec<&Self> = others.filter(|flow| flow.brokers == self.brokers).collect();
        // Each topic that is written to, and the one whose records come to it.
        let mut before = BTreeMap::<&str, &str>::new();
        let mut next = vec![&*self.from];
        let written = |flow: &'a Self| [&*flow.to, &*flow.dead_letters];
        while let Some(topic) = next.pop() {
            let readers = others.iter().copied().chain([self]);
            for to in readers.filter(|flow| flow.from == topic).flat_map(written) {
                if to == self.from {
                    let mut way = vec![to, topic];
                    while let Some(topic) = before.get(way[way.len() - 1]) {
                        way.push(topic);
                    }
                    way.reverse();
                    return Err(Error::Invalid(format!(
                        "flows that write to what they read would never end: {}",
                        way.join(" → ")
                    )));
                }
                if !before.contains_key(to) {
                    before.insert(to, topic);
                    next.push(to);
                }
            }
        }
        Ok(())
    }

    /// A flow as it is wanted.
    ///
    /// # Errors
    /// [`Error::Invalid`] where names or topics cannot be.
    pub fn new(wanted: Wanted, created: i64) -> Result<Self> {
        let invalid = |why: String| Err(Error::Invalid(why));
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name = &wanted.name;
        if name.is_empty() || name.len() > NAME || !name.chars().all(legal) {
            return invalid(format!(
                "a flow's name has 1 to {NAME} letters, digits, dots, dashes and underscores"
            ));
        }
        let dead_letters = wanted
            .dead_letters
            .unwrap_or_else(|| format!("{}.dead-letters", wanted.to));
        if wanted.from == wanted.to || wanted.from == dead_letters {
            return invalid(format!(
                "a flow that writes to the topic it reads, {}, would never end",
                wanted.from
            ));
        }
        if wanted.to == dead_letters {
            return invalid("answers and dead letters need topics of their own".to_owned());
        }
        let field = wanted.field.as_deref().map(input::field_of);
        if let Some(field) = &field {
            input::check_pointer(field).map_err(Error::Invalid)?;
        }
        let brokers = wanted.brokers.as_deref().map(external::brokers);
        Ok(Self {
            brokers: brokers.transpose().map_err(Error::Invalid)?,
            field,
            name: wanted.name,
            from: wanted.from,
            to: wanted.to,
            dead_letters,
            task: wanted.task,
            language: wanted.language,
            guarantee: wanted.guarantee,
            start: wanted.start,
            paused: wanted.paused,
            created,
        })
    }

    /// Its consumer group.
    pub fn group(&self) -> String {
        format!("flow-{}", self.name)
    }

    /// What it asks.
    pub fn question(&self) -> Question {
        Question {
            task: self.task.clone(),
            language: self.language.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(from: &str, to: &str, brokers: Option<&str>) -> Definition {
        let wanted = Wanted {
            name: "f".to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            brokers: brokers.map(str::to_owned),
            ..Wanted::default()
        };
        Definition::new(wanted, 0).unwrap()
    }

    #[test]
    fn flows_in_a_circle_are_refused() {
        let others = [
            flow("a", "b", None),
            flow("b", "c", None),
            flow("b", "d", None),
            flow("c", "z", Some("other:9092")),
        ];
        let way = |from: &str, to: &str| {
            let new = flow(from, to, None);
            let ends = new.ends_among(others.iter());
            ends.err().map(|error| error.to_string())
        };
        for (from, to) in [("c", "e"), ("d", "b2"), ("x", "a"), ("e", "b"), ("z", "c")] {
            assert_eq!(way(from, to), None, "{from} {to}");
        }
        for (from, to, said) in [
            ("c", "a", "c → a → b → c"),
            ("d", "b", "d → b → d"),
            ("b.dead-letters", "a", "b.dead-letters → a → b.dead-letters"),
        ] {
            let why = way(from, to).unwrap();
            assert!(why.contains(said), "{why}");
        }
    }
}
