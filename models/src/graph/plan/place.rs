//! Where buffers lie in the workspace.

use super::Base;
use crate::graph::{Error, Limits, Result};

/// Elements to which buffers are aligned: a cache line.
pub(super) const LINE: usize = 16;

pub(super) struct Buffer {
    pub(super) base: Option<Base>,
    pub(super) size: usize,
    /// The first and the last step that touch it.
    pub(super) first: usize,
    pub(super) last: usize,
}

/// Places buffers so that those that live at the same time do not overlap: the largest first, each at the
/// lowest place that is free while it lives.
pub(super) fn place(buffers: &[Buffer], limits: Limits) -> Result<(Vec<usize>, usize)> {
    let mut places = vec![0; buffers.len()];
    let mut waiting: Vec<usize> = (0..buffers.len())
        .filter(|&index| buffers[index].base.is_none() && buffers[index].size > 0)
        .collect();
    waiting.sort_by_key(|&index| (std::cmp::Reverse(buffers[index].size), index));
    let mut placed: Vec<usize> = Vec::with_capacity(waiting.len());
    let mut arena = 0;
    for index in waiting {
        let buffer = &buffers[index];
        let size = buffer.size.next_multiple_of(LINE);
        let mut at = 0usize;
        // `placed` is sorted by place.
        for &other in &placed {
            let neighbour = &buffers[other];
            if neighbour.last < buffer.first || buffer.last < neighbour.first {
                continue;
            }
            let start = places[other];
            if at + size <= start {
                break;
            }
            at = at.max(start + neighbour.size.next_multiple_of(LINE));
        }
        if at + size > limits.workspace {
            return Err(Error::TooLarge {
                what: "the workspace of a run".to_owned(),
                limit: limits.workspace as u64,
            });
        }
        places[index] = at;
        arena = arena.max(at + size);
        let position = placed.partition_point(|&other| places[other] <= at);
        placed.insert(position, index);
    }
    Ok((places, arena))
}
