//! What two models say of the same records: which answers are others, and how far their numbers are apart.
//!
//! Works on the shapes of the REST door, whatever the task: an answer that has a class (a sentiment, the likeliest language,
//! class or label) differs when the class does, any other when something but its numbers does.

use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Members that name an item of a list; items of two lists with the same name belong together.
const NAMES: [&str; 3] = ["name", "code", "label"];

/// One answer and another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The record's partition.
    pub partition: u32,
    /// The record's offset.
    pub offset: i64,
    /// What was said.
    pub before: String,
    /// What is said now.
    pub after: String,
}

/// How many records went from one class to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// The class that was said.
    pub before: String,
    /// The class that is said now.
    pub after: String,
    /// How many records.
    pub records: u64,
}

/// The largest step of a number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Farthest {
    /// The record's partition.
    pub partition: u32,
    /// The record's offset.
    pub offset: i64,
    /// Where in the answer.
    pub member: String,
    /// The number that was said.
    pub before: f64,
    /// The number that is said now.
    pub after: f64,
}

/// All differences of two runs. Depends on nothing but the answers: the same twice.
#[derive(Debug, Default)]
pub struct Differences {
    /// Records that both runs answered.
    pub compared: u64,
    /// Those of them whose answers differ.
    pub changed: u64,
    /// Records that only the first run answered.
    pub lost: u64,
    /// Records that only the second run answered.
    pub gained: u64,
    /// The first of the changes.
    pub examples: Vec<Change>,
    flips: BTreeMap<(String, String), u64>,
    numbers: u64,
    shift: f64,
    farthest: Option<Farthest>,
    keep: usize,
}

impl Differences {
    /// None yet; keeps so many examples.
    pub fn new(keep: usize) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// Adds what was said of a record and what is said now; nothing where there is no answer.
    pub fn add(&mut self, place: (u32, i64), before: Option<&Value>, after: Option<&Value>) {
        let (before, after) = match (before, after) {
            (None, None) => return,
            (Some(_), None) => return self.lost += 1,
            (None, Some(_)) => return self.gained += 1,
            (Some(before), Some(after)) => (before, after),
        };
        self.compared += 1;
        self.walk(place, "", before, after);
        let (was, is) = match (class(before), class(after)) {
            (Some(was), Some(is)) if was == is => return,
            (Some(was), Some(is)) => {
                *self.flips.entry((was.clone(), is.clone())).or_default() += 1;
                (was, is)
            }
            _ => {
                let (was, is) = (without_numbers(before), without_numbers(after));
                if was == is {
                    return;
                }
                (was.to_string(), is.to_string())
            }
        };
        self.changed += 1;
        if self.examples.len() < self.keep {
            self.examples.push(Change {
                partition: place.0,
                offset: place.1,
                before: was,
                after: is,
            });
        }
    }

    /// Classes that went into others, the most frequent first.
    pub fn flips(&self) -> Vec<Flip> {
        let flip = |((before, after), records): (&(String, String), &u64)| Flip {
            before: before.clone(),
            after: after.clone(),
            records: *records,
        };
        let mut flips: Vec<Flip> = self.flips.iter().map(flip).collect();
        flips.sort_by_key(|flip| std::cmp::Reverse(flip.records));
        flips
    }

    /// Mean distance of the numbers that both answers have; none where there are none.
    pub fn mean_shift(&self) -> Option<f64> {
        (self.numbers > 0).then(|| self.shift / self.numbers as f64)
    }

    /// The numbers that are farthest apart, where any are.
    pub fn farthest(&self) -> Option<&Farthest> {
        self.farthest.as_ref()
    }

    fn walk(&mut self, place: (u32, i64), member: &str, before: &Value, after: &Value) {
        match (before, after) {
            (Value::Number(before), Value::Number(after)) => {
                let (Some(before), Some(after)) = (before.as_f64(), after.as_f64()) else {
                    return;
                };
                let shift = (before - after).abs();
                self.numbers += 1;
                self.shift += shift;
                let known = self.farthest.as_ref();
                let largest = known.map_or(0.0, |known| (known.before - known.after).abs());
                if shift > largest {
                    self.farthest = Some(Farthest {
                        partition: place.0,
                        offset: place.1,
                        member: member.to_owned(),
                        before,
                        after,
                    });
                }
            }
            (Value::Object(before), Value::Object(after)) => {
                for (name, before) in before {
                    if let Some(after) = after.get(name) {
                        self.walk(place, &format!("{member}/{name}"), before, after);
                    }
                }
            }
            (Value::Array(before), Value::Array(after)) => {
                for (at, before) in before.iter().enumerate() {
                    let (step, after) = match name(before) {
                        Some(wanted) => {
                            let found = after.iter().find(|item| name(item) == Some(wanted));
                            (wanted.to_owned(), found)
                        }
                        None => (at.to_string(), after.get(at)),
                    };
                    if let Some(after) = after {
                        self.walk(place, &format!("{member}/{step}"), before, after);
                    }
                }
            }
            _ => {}
        }
    }
}

fn name(item: &Value) -> Option<&str> {
    NAMES.iter().find_map(|name| item.get(name)?.as_str())
}

/// The class that an answer decides for, where it does.
fn class(answer: &Value) -> Option<String> {
    if let Some(sentiment) = answer.get("sentiment") {
        return sentiment.as_str().map(str::to_owned);
    }
    ["languages", "classes", "labels"].iter().find_map(|list| {
        let first = answer.get(list)?.as_array()?.first();
        Some(first.and_then(name).unwrap_or("none").to_owned())
    })
}

fn without_numbers(answer: &Value) -> Value {
    match answer {
        Value::Number(_) => Value::Null,
        Value::Array(items) => Value::Array(items.iter().map(without_numbers).collect()),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| (name.clone(), without_numbers(value));
            Value::Object(members.iter().map(member).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes_flip_and_numbers_shift() {
        let mut found = Differences::new(1);
        let said = |sentiment: &str, positive: f64| json!({ "sentiment": sentiment, "scores": { "positive": positive, "negative": 1.0 - positive } });
        let (good, less, bad) = (
            said("POSITIVE", 0.9),
            said("POSITIVE", 0.7),
            said("NEGATIVE", 0.4),
        );
        found.add((0, 1), Some(&good), Some(&less));
        found.add((0, 2), Some(&good), Some(&bad));
        found.add((1, 3), Some(&less), Some(&bad));
        found.add((1, 4), Some(&bad), None);
        found.add((1, 5), None, Some(&bad));
        found.add((1, 6), None, None);
        assert_eq!((found.compared, found.changed), (3, 2));
        assert_eq!((found.lost, found.gained), (1, 1));
        let flip = Flip {
            before: "POSITIVE".to_owned(),
            after: "NEGATIVE".to_owned(),
            records: 2,
        };
        assert_eq!(found.flips(), [flip]);
        let mean = found.mean_shift().expect("numbers");
        assert!((mean - (0.2 + 0.5 + 0.3) / 3.0).abs() < 1e-9, "{mean}");
        let farthest = found.farthest().expect("a step");
        assert_eq!(
            (farthest.offset, farthest.member.as_str()),
            (2, "/scores/negative")
        );
        assert_eq!(found.examples.len(), 1);
        assert_eq!(found.examples[0].offset, 2);
    }

    #[test]
    fn items_belong_together_by_name_and_findings_differ_by_what_they_are() {
        let mut found = Differences::new(9);
        let one =
            json!({ "languages": [{"code": "en", "score": 0.6}, {"code": "es", "score": 0.4}] });
        let other =
            json!({ "languages": [{"code": "es", "score": 0.5}, {"code": "en", "score": 0.5}] });
        found.add((0, 0), Some(&one), Some(&other));
        assert_eq!(found.flips()[0].before, "en");
        assert!((found.mean_shift().expect("numbers") - 0.1).abs() < 1e-9);
        let entity = |kind: &str, score: f64| json!({ "entities": [{"type": kind, "score": score, "begin": 3}] });
        found.add(
            (0, 1),
            Some(&entity("PERSON", 0.9)),
            Some(&entity("PERSON", 0.8)),
        );
        assert_eq!(found.changed, 1);
        found.add(
            (0, 2),
            Some(&entity("PERSON", 0.9)),
            Some(&entity("LOCATION", 0.9)),
        );
        assert_eq!(found.changed, 2);
        assert!(found.examples[1].after.contains("LOCATION"));
        let none = json!({ "labels": [] });
        found.add(
            (0, 3),
            Some(&json!({ "labels": [{"name": "Cat"}] })),
            Some(&none),
        );
        assert_eq!(found.examples[2].after, "none");
    }
}
