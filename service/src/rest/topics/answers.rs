//! What requests about topics are answered with.

use crate::failure::Failure;
use crate::topics::lag::Standing;
use crate::topics::produce::Placed;
use crate::topics::record::RecordView;
use escala_stream_ingest::log::{Log, Origin, Topic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A topic among others.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TopicLine {
    #[schema(example = "reviews")]
    pub(crate) name: String,
    /// Number of partitions.
    pub(crate) partitions: u32,
    /// Bytes in its segments.
    pub(crate) bytes: u64,
}

/// All topics.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TopicsAnswer {
    /// By name.
    pub(crate) topics: Vec<TopicLine>,
}

/// A partition of a topic.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PartitionView {
    /// Its number.
    pub(crate) partition: u32,
    /// The first offset that is there.
    pub(crate) first_offset: i64,
    /// The offset of the next record.
    pub(crate) next_offset: i64,
    /// Bytes in its segments.
    pub(crate) bytes: u64,
    /// Why it can neither be read nor written, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) damage: Option<String>,
}

/// A topic.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TopicView {
    #[schema(example = "reviews")]
    pub(crate) name: String,
    /// Its id, which no other topic ever has.
    pub(crate) id: String,
    /// Bytes in its segments.
    pub(crate) bytes: u64,
    /// Its partitions.
    pub(crate) partitions: Vec<PartitionView>,
    /// Every setting, under Kafka's names.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub(crate) config: BTreeMap<String, String>,
    /// The settings that were set for this topic; the others have their defaults.
    pub(crate) set: Vec<String>,
}

impl TopicView {
    pub(super) fn new(log: &Log, topic: &Topic) -> Result<Self, Failure> {
        let partition = |partition: u32| -> Result<PartitionView, Failure> {
            let state = log.describe(&topic.name, partition)?;
            Ok(PartitionView {
                partition,
                first_offset: state.log_start,
                next_offset: state.high_watermark,
                bytes: state.bytes,
                damage: state.refused.map(|why| why.to_string()),
            })
        };
        let partitions = (0..topic.partitions)
            .map(partition)
            .collect::<Result<Vec<_>, _>>()?;
        let (mut config, mut set) = (BTreeMap::new(), Vec::new());
        for (name, value, origin) in topic.config.entries() {
            config.insert(name.to_owned(), value);
            if origin == Origin::Topic {
                set.push(name.to_owned());
            }
        }
        Ok(Self {
            name: topic.name.clone(),
            id: topic.id.to_string(),
            bytes: partitions.iter().map(|partition| partition.bytes).sum(),
            partitions,
            config,
            set,
        })
    }
}

/// Where a record is now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PlaceView {
    /// Its partition.
    pub(crate) partition: u32,
    /// Its place in the partition.
    pub(crate) offset: i64,
    /// Its time, in milliseconds since 1970.
    pub(crate) timestamp: i64,
}

impl From<Placed> for PlaceView {
    fn from(placed: Placed) -> Self {
        Self {
            partition: placed.partition,
            offset: placed.offset,
            timestamp: placed.timestamp,
        }
    }
}

/// Where records are now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PlacesAnswer {
    /// One for each record, in order.
    pub(crate) records: Vec<PlaceView>,
}

/// A partition that was read.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ReadView {
    /// Its number.
    pub(crate) partition: u32,
    /// The first offset that is there.
    pub(crate) first_offset: i64,
    /// The offset behind what was read.
    pub(crate) next_offset: i64,
    /// The offset behind the last record that can be read.
    pub(crate) end_offset: i64,
}

/// Records, and where they end.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RecordsAnswer {
    /// In the order of each partition.
    pub(crate) records: Vec<RecordView>,
    /// To be given back as `offset` for what follows.
    #[schema(example = "0:15,1:20")]
    pub(crate) next: String,
    /// The partitions that were read.
    pub(crate) partitions: Vec<ReadView>,
}

/// A group among others.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GroupLine {
    #[schema(example = "readers")]
    pub(crate) group: String,
}

/// The groups that have committed offsets or have members.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GroupsAnswer {
    /// By name.
    pub(crate) groups: Vec<GroupLine>,
}

/// Where a group stands in a partition.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StandingView {
    /// The topic.
    pub(crate) topic: String,
    /// The partition.
    pub(crate) partition: u32,
    /// The next offset that the group will read.
    pub(crate) committed_offset: i64,
    /// The offset behind the last record that can be read.
    pub(crate) end_offset: i64,
    /// Records between them that are still there.
    pub(crate) lag: i64,
    /// What the consumer wrote beside the offset.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) metadata: String,
}

impl From<Standing> for StandingView {
    fn from(standing: Standing) -> Self {
        Self {
            topic: standing.topic,
            partition: standing.partition,
            committed_offset: standing.committed,
            end_offset: standing.end,
            lag: standing.lag,
            metadata: standing.metadata,
        }
    }
}

/// Where a group stands.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GroupView {
    #[schema(example = "readers")]
    pub(crate) group: String,
    /// Of all partitions together.
    pub(crate) lag: i64,
    /// By topic and partition.
    pub(crate) partitions: Vec<StandingView>,
}
