//! Records into a topic.

use super::{Error, Result, log_of};
use crate::app::App;
use escala_stream_ingest::log::{self, Acks, Appended, Log, Offsets, Output, Topic};
use escala_stream_ingest::records::{self, Draft};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Most records of one request.
pub const MOST_RECORDS: usize = 10_000;
/// Requests with more bytes than this are put together away from the threads that serve connections.
const INLINE: u64 = 256 << 10;

/// A record that is to be written.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The record.
    pub draft: Draft,
    /// Its partition; without one the key decides, and without a key they take turns.
    pub partition: Option<u32>,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
    /// Its time, in milliseconds since 1970.
    pub timestamp: i64,
}

/// Writes records and answers where each is, when they are on the disk. All are there or none, whatever happens.
///
/// A topic that is not there is made where the setting `kafka.auto_create` says so.
///
/// # Errors
/// Those of [`Error`]; nothing is written then, but for [`Error::Late`].
pub async fn produce(
    app: &App,
    topic: &str,
    wanted: Vec<Wanted>,
    deadline: Option<Instant>,
) -> Result<Vec<Placed>> {
    let log = log_of(app)?;
    if wanted.is_empty() {
        return Err(Error::Invalid("there is no record".to_owned()));
    }
    let topic = found(app, log, topic).await?;
    // What the batches will take, beside the request itself.
    let weight = wanted
        .iter()
        .map(|one| records::weight(&one.draft) as u64)
        .sum();
    let share = app.buffers.share(weight);
    let _share = share.ok_or(Error::Overloaded(
        "too many large requests at the same time",
    ))?;
    let first = app
        .topics
        .turn
        .fetch_add(wanted.len() as u32, Ordering::Relaxed);
    let packed = match weight > INLINE {
        false => pack(&topic, first, wanted)?,
        true => {
            let topic = topic.clone();
            let packed = tokio::task::spawn_blocking(move || pack(&topic, first, wanted));
            packed
                .await
                .map_err(|error| Error::Internal(error.to_string()))??
        }
    };
    let written = commit(log, packed.outputs);
    let written = match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), written).await,
        None => Ok(written.await),
    };
    let written = written.map_err(|_| Error::Late)??;
    let placed = packed.places.into_iter().map(|place| {
        let appended = written.get(place.output);
        let appended =
            appended.ok_or_else(|| Error::Internal("an append has no answer".to_owned()))?;
        Ok(Placed {
            partition: place.partition,
            offset: appended.base_offset + place.at as i64,
            timestamp: appended.log_append_time.unwrap_or(place.timestamp),
        })
    });
    placed.collect()
}

/// Appends to one partition or to several, as one frame of the log.
async fn commit(log: &Log, mut outputs: Vec<Output>) -> log::Result<Vec<Appended>> {
    match (outputs.pop(), outputs.is_empty()) {
        // Damage to a frame of one partition is known to be that partition's alone.
        (Some(only), true) => {
            let appended = log.append(&only.topic, only.partition, only.batches, Acks::Durable);
            Ok(vec![appended.await?])
        }
        (last, _) => {
            outputs.extend(last);
            // There are no offsets of a group to keep.
            log.commit_batch(outputs, "", Offsets::new(), || true).await
        }
    }
}

async fn found(app: &App, log: &Log, name: &str) -> Result<Topic> {
    let kafka = &app.config.kafka;
    match log.topic(name) {
        Err(log::Error::NoTopic(_)) if kafka.auto_create => {
            match log.create_topic(name, kafka.partitions, &[]).await {
                // Somebody else was quicker.
                Err(log::Error::TopicExists(_)) => Ok(log.topic(name)?),
                made => Ok(made?),
            }
        }
        found => Ok(found?),
    }
}

/// Records as batches.
struct Packed {
    /// One for each partition.
    outputs: Vec<Output>,
    /// One for each record.
    places: Vec<Place>,
}

/// Where a record went.
struct Place {
    partition: u32,
    /// The output that it is in.
    output: usize,
    /// Its place in it.
    at: usize,
    timestamp: i64,
}

/// Puts records into batches by partition, in their order.
fn pack(topic: &Topic, first: u32, wanted: Vec<Wanted>) -> Result<Packed> {
    let mut drafts: BTreeMap<u32, (Vec<Draft>, Vec<usize>)> = BTreeMap::new();
    let mut places = Vec::with_capacity(wanted.len());
    for (number, Wanted { draft, partition }) in wanted.into_iter().enumerate() {
        let partition = match (partition, &draft.key) {
            (Some(partition), _) if partition < topic.partitions => partition,
            (Some(partition), _) => {
                let topic = topic.name.clone();
                return Err(log::Error::NoPartition { topic, partition }.into());
            }
            (None, Some(key)) => records::partition_of(key, topic.partitions),
            (None, None) => first.wrapping_add(number as u32) % topic.partitions.max(1),
        };
        let (drafts, numbers) = drafts.entry(partition).or_default();
        places.push(Place {
            partition,
            output: 0,
            at: drafts.len(),
            timestamp: draft.timestamp,
        });
        drafts.push(draft);
        numbers.push(number);
    }
    let mut outputs = Vec::with_capacity(drafts.len());
    for (partition, (drafts, numbers)) in drafts {
        for number in &numbers {
            places[*number].output = outputs.len();
        }
        let most = topic.config.max_message_bytes;
        let batches = records::batches(&drafts, most).map_err(|over| Error::TooLarge {
            record: numbers[over.record],
            bytes: over.bytes,
            most,
        })?;
        outputs.push(Output {
            topic: topic.name.clone(),
            partition,
            batches,
        });
    }
    Ok(Packed { outputs, places })
}

#[cfg(test)]
mod tests {
    use super::*;
    use escala_stream_ingest::log::TopicConfig;
    use std::sync::Arc;

    fn topic(partitions: u32, most: &str) -> Topic {
        let mut config = TopicConfig::default();
        config.set("max.message.bytes", most).expect("a setting");
        Topic {
            name: "t".to_owned(),
            id: uuid::Uuid::nil(),
            partitions,
            config: Arc::new(config),
        }
    }

    fn wanted(key: Option<&'static str>, value: &str, partition: Option<u32>) -> Wanted {
        Wanted {
            draft: Draft {
                timestamp: 3,
                key: key.map(|key| bytes::Bytes::from_static(key.as_bytes())),
                value: Some(bytes::Bytes::copy_from_slice(value.as_bytes())),
                headers: Vec::new(),
            },
            partition,
        }
    }

    #[test]
    fn keys_decide_and_records_without_one_take_turns() {
        let records = vec![
            wanted(None, "0", None),
            wanted(Some("same"), "1", None),
            wanted(None, "2", None),
            wanted(Some("same"), "3", None),
            wanted(None, "4", Some(1)),
            wanted(None, "5", None),
        ];
        let packed = pack(&topic(3, "1000000"), 1, records).expect("fits");
        let partitions: Vec<u32> = packed.places.iter().map(|place| place.partition).collect();
        let of_key = records::partition_of(b"same", 3);
        assert_eq!(partitions, [1, of_key, 0, of_key, 1, 0]);
        // What a place says is where the record lies.
        for (number, place) in packed.places.iter().enumerate() {
            let output = &packed.outputs[place.output];
            assert_eq!(output.partition, place.partition);
            let there = records::decode(&output.batches).expect("batches");
            assert_eq!(
                there[place.at].value.as_deref(),
                Some(number.to_string().as_bytes())
            );
        }
    }

    #[test]
    fn batches_are_no_larger_than_the_topic_takes() {
        let value = "x".repeat(400);
        let records: Vec<Wanted> = (0..10).map(|_| wanted(None, &value, None)).collect();
        let packed = pack(&topic(1, "1000"), 0, records).expect("fits");
        let batches: Vec<_> = records::split(&packed.outputs[0].batches)
            .collect::<std::result::Result<_, _>>()
            .expect("whole");
        assert!(batches.len() > 1 && batches.iter().all(|batch| batch.len() <= 1000));
        let whole = records::decode(&packed.outputs[0].batches).expect("batches");
        assert_eq!(whole.len(), 10);
        // A record that its weight says may not fit, and does.
        let close = wanted(None, &"x".repeat(910), None);
        assert!(pack(&topic(1, "1000"), 0, vec![close]).is_ok());
    }

    #[test]
    fn a_record_that_is_too_large_is_named_and_a_partition_that_is_not_there_too() {
        let large = "x".repeat(2000);
        let records = vec![wanted(None, "a", None), wanted(None, &large, None)];
        let error = pack(&topic(1, "1000"), 0, records)
            .err()
            .expect("too large");
        assert!(
            matches!(
                error,
                Error::TooLarge {
                    record: 1,
                    most: 1000,
                    ..
                }
            ),
            "{error}"
        );
        let error = pack(&topic(2, "1000"), 0, vec![wanted(None, "a", Some(2))]).err();
        let missing = log::Error::NoPartition {
            topic: "t".to_owned(),
            partition: 2,
        };
        assert_eq!(
            error.expect("no such partition").to_string(),
            missing.to_string()
        );
    }
}
