//! How far behind groups are.

use super::Result;
use escala_stream_ingest::log::{Committed, Error, Log, Place};

/// Where a group stands in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The next offset that the group will read.
    pub committed: i64,
    /// The offset behind the last record that it could read.
    pub end: i64,
    /// Records between them that are still there.
    pub lag: i64,
    /// What the consumer wrote beside the offset.
    pub metadata: String,
}

/// Where a group stands, by topic and partition.
///
/// # Errors
/// [`Error::NoGroup`] when the group has committed nothing.
pub async fn standings(log: &Log, group: &str) -> Result<Vec<Standing>> {
    let offsets = log.offsets(group).await?;
    if offsets.is_empty() {
        return Err(Error::NoGroup(group.to_owned()).into());
    }
    let standing = |((topic, partition), committed): (Place, Committed)| {
        // A topic that was deleted takes the offsets with it, now or soon.
        let state = log.describe(&topic, partition).ok()?;
        Some(Standing {
            topic,
            partition,
            committed: committed.offset,
            end: state.last_stable,
            lag: state.behind(committed.offset),
            metadata: committed.metadata,
        })
    };
    Ok(offsets.into_iter().filter_map(standing).collect())
}
