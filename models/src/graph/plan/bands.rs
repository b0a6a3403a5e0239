//! Chains of local operations, planned by bands of rows, so that the maps between them never exist as a whole.
//!
//! A *chain* is a node with all the nodes before it that only the chain reads, as far as a row of each result is made
//! of a few neighbouring rows of what it reads: windows, resized maps, functions, sums, concatenations of channels.
//! It runs where its last node is in the graph. Every row is computed once; the rows that the windows of the next
//! band see again are carried over:
//!
//! ```text
//!                          made before │ this band          ═ carried over   ─ computed
//! a map that is read      ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░
//! between, 3x3 follows               ══│───────────
//! between, 3x3 follows                ═│══─────────
//! the chain's result      ░░░░░░░░░░░░░│───────────
//! ```
//!
//! The sums are those of a run without bands, in the same order: answers are equal to the last bit. Nothing here
//! depends on the number of threads.

use super::reach::{ROWS, Reach, Stretch, Strip};
use super::{Planner, View};
use crate::graph::op::Op;
use crate::graph::{Result, Value};
use std::collections::{BTreeMap, HashMap};

/// Steps of all chains of a plan, about, at most: what bounds the number of bands.
const STEPS: usize = 1 << 15;

/// Which chains are planned by bands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bands {
    /// Elements of a chain's maps between from which on it is.
    pub(crate) large: usize,
    /// Elements of the maps between that one band makes, about.
    pub(crate) band: usize,
    /// Fewest rows of a band.
    pub(crate) rows: usize,
}

impl Default for Bands {
    /// Chains of 4 MB, in bands of about as much: less than the caches that processors share.
    fn default() -> Self {
        Self {
            large: 1 << 20,
            band: 1 << 20,
            rows: 4,
        }
    }
}

/// Nodes that run by bands, in their order; the last makes the result.
pub(super) struct Chain {
    links: Vec<Link>,
    /// Number of bands.
    bands: usize,
}

struct Link {
    node: usize,
    value: Value,
    /// Rows of the whole result.
    height: usize,
    /// Rows are made in multiples of this.
    step: usize,
    reads: Vec<Read>,
    /// The link that joins this one's result with others and is all that reads it, and at which of its channels.
    part: Option<(usize, usize)>,
}

/// An input that is read by rows.
struct Read {
    value: Value,
    /// The link that makes it, if one does.
    from: Option<usize>,
    /// Rows of the whole input.
    height: usize,
    reach: Reach,
}

/// Some rows of a map, and the number of the first.
#[derive(Clone)]
struct Kept {
    first: usize,
    rows: View,
}

impl Kept {
    fn rows(&self, first: usize, end: usize) -> View {
        rows(&self.rows, first - self.first, end - self.first)
    }
}

/// The rows `first..end` of a map.
fn rows(view: &View, first: usize, end: usize) -> View {
    let mut part = view.clone();
    part.offset += first * view.strides[1];
    part.shape[1] = end - first;
    part
}

impl Chain {
    /// Up to which row everything is made once the result is up to `row`.
    fn ends(&self, row: usize) -> Vec<usize> {
        let mut ends = vec![0; self.links.len()];
        if let Some(last) = ends.last_mut() {
            *last = row;
        }
        for (at, link) in self.links.iter().enumerate().rev() {
            ends[at] = ends[at].next_multiple_of(link.step).min(link.height);
            for read in &link.reads {
                if let Some(from) = read.from {
                    ends[from] = ends[from].max(read.reach.end(ends[at], read.height));
                }
            }
        }
        ends
    }

    /// From which row on everything is still read when so much of it is made.
    fn starts(&self, made: &[usize]) -> Vec<usize> {
        let mut starts = made.to_vec();
        for (link, &made) in self.links.iter().zip(made) {
            if made == link.height {
                continue;
            }
            for read in &link.reads {
                if let Some(from) = read.from {
                    starts[from] = starts[from].min(read.reach.start(made));
                }
            }
        }
        starts
    }
}

impl Planner<'_> {
    /// The chains of the graph, by the number of their last node, and for every node whether it is part of one.
    pub(super) fn chains(&self, bands: Bands) -> (HashMap<usize, Chain>, Vec<bool>) {
        let graph = self.graph;
        let mut total = vec![0usize; graph.constants.len()];
        let mut makers = vec![None; graph.constants.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            for value in &node.inputs {
                total[value.0] += 1;
            }
            for value in &node.outputs {
                makers[value.0] = Some(index);
            }
        }
        for (_, value) in &graph.outputs {
            total[value.0] += 1;
        }
        let mut chains = HashMap::new();
        let mut members = vec![false; graph.nodes.len()];
        // Also those of chains that are not worth it.
        let mut seen = vec![false; graph.nodes.len()];
        for last in (0..graph.nodes.len()).rev() {
            if seen[last] {
                continue;
            }
            let Some(reads) = self.local(&graph.nodes[last], ROWS) else {
                continue;
            };
            let mut found: BTreeMap<usize, Vec<(Value, Reach)>> = BTreeMap::new();
            let mut counts: HashMap<Value, usize> = HashMap::new();
            let mut waiting = vec![(last, reads)];
            while let Some((index, reads)) = waiting.pop() {
                seen[index] = true;
                for &(value, _) in &reads {
                    let count = counts.entry(value).or_default();
                    *count += 1;
                    if *count == total[value.0]
                        && let Some(maker) = makers[value.0]
                        && !seen[maker]
                        && let Some(reads) = self.local(&graph.nodes[maker], ROWS)
                    {
                        waiting.push((maker, reads));
                    }
                }
                found.insert(index, reads);
            }
            if let Some(chain) = self.chain(found, bands) {
                for link in &chain.links {
                    members[link.node] = true;
                }
                chains.insert(last, chain);
            }
        }
        (chains, members)
    }

    /// The nodes as a chain, if its maps between are large.
    fn chain(&self, found: BTreeMap<usize, Vec<(Value, Reach)>>, bands: Bands) -> Option<Chain> {
        let graph = self.graph;
        let places: HashMap<Value, usize> = found
            .keys()
            .enumerate()
            .map(|(at, &node)| (graph.nodes[node].outputs[0], at))
            .collect();
        let mut links: Vec<Link> = Vec::with_capacity(found.len());
        for (node, reads) in found {
            let value = graph.nodes[node].outputs[0];
            let reads = reads.into_iter().map(|(value, reach)| Read {
                value,
                from: places.get(&value).copied(),
                height: self.shape(value)[1],
                reach,
            });
            links.push(Link {
                node,
                value,
                height: self.shape(value)[1],
                step: Reach::step(&graph.nodes[node]),
                reads: reads.collect(),
                part: None,
            });
        }
        self.join(&mut links);
        let (last, others) = links.split_last()?;
        let between: usize = others
            .iter()
            .map(|link| self.shape(link.value).iter().product::<usize>())
            .fold(0, usize::saturating_add);
        if between < bands.large {
            return None;
        }
        let most = (STEPS / graph.nodes.len()).max(1);
        let rows = (bands.band / (between / last.height).max(1))
            .max(bands.rows)
            .max(last.height.div_ceil(most));
        let bands = last.height.div_ceil(rows);
        (bands > 1).then_some(Chain { links, bands })
    }

    /// Notes which results can be written where a concatenation in the chain wants them.
    fn join(&self, links: &mut [Link]) {
        let mut readers = vec![0; links.len()];
        for read in links.iter().flat_map(|link| &link.reads) {
            if let Some(from) = read.from {
                readers[from] += 1;
            }
        }
        for at in 0..links.len() {
            if !matches!(self.graph.nodes[links[at].node].op, Op::Concat { .. }) {
                continue;
            }
            let mut channel = 0;
            let parts: Vec<_> = links[at]
                .reads
                .iter()
                .map(|read| {
                    let start = channel;
                    channel += self.shape(read.value)[3];
                    (read.from, start)
                })
                .collect();
            for (from, start) in parts {
                // The kernel of a transposed convolution writes what is one run.
                if let Some(from) = from
                    && readers[from] == 1
                    && links[from].step == 1
                {
                    links[from].part = Some((at, start));
                }
            }
        }
    }

    /// Plans the nodes of a chain, band after band.
    pub(super) fn plan_chain(&mut self, chain: &Chain) -> Result<()> {
        let Some(last) = chain.links.last() else {
            return Ok(());
        };
        let graph = self.graph;
        self.node = last.node;
        let mut outside: HashMap<Value, Kept> = HashMap::new();
        for read in chain.links.iter().flat_map(|link| &link.reads) {
            if read.from.is_none() {
                let rows = self.view(read.value)?;
                outside.insert(read.value, Kept { first: 0, rows });
            }
        }
        let result = self.map_output(&graph.nodes[last.node])?;
        let shapes: Vec<Vec<usize>> = chain
            .links
            .iter()
            .map(|link| self.shape(link.value).to_vec())
            .collect();
        let mut made = vec![0; chain.links.len()];
        let mut kept: Vec<Option<Kept>> = vec![None; chain.links.len()];
        for band in 1..=chain.bands {
            let ends = chain.ends(last.height * band / chain.bands);
            let starts = chain.starts(&made);
            let mut places: Vec<Option<Kept>> = vec![None; chain.links.len()];
            // Those that join others come after them.
            for (at, link) in chain.links.iter().enumerate().rev() {
                if made[at] == ends[at] {
                    continue;
                }
                places[at] = Some(if at + 1 == chain.links.len() {
                    let rows = rows(&result, made[at], ends[at]);
                    let first = made[at];
                    Kept { first, rows }
                } else if let Some((whole, channel)) = link.part
                    && let Some(place) = &places[whole]
                {
                    let mut rows = place.rows(made[at], ends[at]);
                    rows.offset += channel;
                    rows.shape[3] = shapes[at][3];
                    let first = made[at];
                    Kept { first, rows }
                } else {
                    let first = starts[at];
                    let mut shape = shapes[at].clone();
                    shape[1] = ends[at] - first;
                    let rows = self.ordered(&shape, &[0, 1, 2, 3])?;
                    Kept { first, rows }
                });
            }
            for (at, link) in chain.links.iter().enumerate() {
                let Some(place) = places[at].take() else {
                    continue;
                };
                self.node = link.node;
                if place.first < made[at]
                    && let Some(before) = &kept[at]
                {
                    let (from, to) = (
                        before.rows(place.first, made[at]),
                        place.rows(place.first, made[at]),
                    );
                    self.copy(&from, &to);
                }
                let new = place.rows(made[at], ends[at]);
                kept[at] = Some(place);
                let mut strip = None;
                for read in &link.reads {
                    let from = match read.from {
                        Some(from) => kept[from].as_ref(),
                        None => outside.get(&read.value),
                    };
                    let (start, end) = (
                        read.reach.start(made[at]),
                        read.reach.end(ends[at], read.height),
                    );
                    // `ends` has made all that is read.
                    let from = from.map(|from| from.rows(start, end));
                    self.show(read.value, from);
                    strip.get_or_insert_with(|| Strip {
                        down: Stretch::new(&read.reach, made[at], ends[at], start),
                        right: None,
                    });
                }
                self.show(link.value, Some(new));
                self.strip = strip;
                let planned = self.plan_node(&graph.nodes[link.node]);
                self.strip = None;
                planned?;
            }
            made = ends;
        }
        for (value, whole) in outside {
            self.show(value, Some(whole.rows));
        }
        for (link, shape) in chain.links.iter().zip(shapes) {
            self.shapes[link.value.0] = Some(shape);
            self.views[link.value.0] = None;
        }
        self.views[last.value.0] = Some(result);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
