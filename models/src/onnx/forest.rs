//! Decision trees in one list of nodes, and the way of rows through them.
//!
//! ```text
//! nodes   [ root | left right | left right | ... | root of the next tree | ... ]
//! ```
//!
//! How rows find their way is said in `kernels/forest.rs`. Rows go in parts that stay in the first-level cache while all
//! trees pass over them.
//!
//! All comparisons of the operator set are put as "at most" or "equal" when a tree is read: "below a number" is "at most
//! the number before it", and the rest are these with their sides changed. A tree is walked once then: every child is
//! there, and ways end. A node that several lead to (exporters of categories write such) is written for each of them.

use crate::graph::onnx::wire::Node;
use crate::graph::{Error, Result};
use crate::kernels::forest::{Branch, Branches, COLUMN, EQUAL, LANES, MISSING_LEFT};
use std::collections::HashMap;

/// How much larger a forest may become by nodes that several others lead to.
const REPEATED: usize = 16;

/// The trees of an ensemble.
pub(super) struct Forest {
    branches: Branches,
    roots: Vec<u32>,
    /// Where the votes of a leaf begin; one more at the end.
    starts: Vec<u32>,
    votes: Vec<Vote>,
}

/// What a leaf says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    pub(super) target: u32,
    pub(super) weight: f32,
}

/// How a comparison is put: whether "equal" is asked, whether the side where it holds is the left one, and the
/// threshold.
fn comparison(mode: &[u8], threshold: f32) -> Option<(bool, bool, f32)> {
    // Nothing is below the least number: nothing is at most what is not a number.
    let below = if threshold == f32::NEG_INFINITY {
        f32::NAN
    } else {
        threshold.next_down()
    };
    Some(match mode {
        b"BRANCH_LEQ" => (false, true, threshold),
        b"BRANCH_LT" => (false, true, below),
        b"BRANCH_GT" => (false, false, threshold),
        b"BRANCH_GTE" => (false, false, below),
        b"BRANCH_EQ" => (true, true, threshold),
        b"BRANCH_NEQ" => (true, false, threshold),
        _ => return None,
    })
}

/// Numbers that a node lists as they are or as a tensor (of doubles, which become `f32`).
pub(super) fn numbers(node: &Node<'_>, name: &str) -> Result<Vec<f32>> {
    let tensor = node.attributes.get(&format!("{name}_as_tensor"));
    if let Some(tensor) = tensor.and_then(|attribute| attribute.tensor.as_ref()) {
        let tensor = tensor.tensor()?;
        let tensor = tensor.ok_or_else(|| node.unsupported(format!("{name} are texts")))?;
        return Ok(tensor.data().to_vec());
    }
    Ok(node.floats(name).to_vec())
}

impl Forest {
    /// Reads the trees of a node whose votes are named `of` (`class` or `target`), for `targets` sums.
    pub(super) fn read(node: &Node<'_>, of: &str, targets: usize) -> Result<Self> {
        let wrong = |what: String| node.unsupported(what);
        let list = |name: &str| node.integers(name).unwrap_or(&[]);
        let (trees, ids) = (list("nodes_treeids"), list("nodes_nodeids"));
        let columns = list("nodes_featureids");
        let (holds, fails) = (list("nodes_truenodeids"), list("nodes_falsenodeids"));
        let missing = list("nodes_missing_value_tracks_true");
        let modes = node.bytes("nodes_modes");
        let thresholds = numbers(node, "nodes_values")?;
        let count = trees.len();
        let lengths = [
            ids.len(),
            columns.len(),
            holds.len(),
            fails.len(),
            modes.len(),
            thresholds.len(),
        ];
        if count == 0 || lengths.iter().any(|&length| length != count) {
            return Err(wrong(format!("lists of {count} and {lengths:?} nodes")));
        }
        if u32::try_from(count).is_err() || (!missing.is_empty() && missing.len() != count) {
            return Err(wrong(format!(
                "{count} nodes, {} of them tracked",
                missing.len()
            )));
        }
        let mut places = HashMap::with_capacity(count);
        let mut roots = Vec::new();
        let mut known = HashMap::new();
        for place in 0..count {
            if places.insert((trees[place], ids[place]), place).is_some() {
                return Err(wrong(format!("node {} is there twice", ids[place])));
            }
            known
                .entry(trees[place])
                .or_insert_with(|| roots.push(place));
        }
        let votes = Votes::read(node, of, targets, &places, count)?;
        let mut branches = Vec::with_capacity(count);
        let (mut starts, mut said) = (Vec::with_capacity(count + 1), Vec::new());
        let mut firsts = Vec::with_capacity(roots.len());
        // The places of the nodes in the order of the branches; what follows `at` is still to be made.
        let mut order: Vec<usize> = Vec::with_capacity(count);
        let most = count.saturating_mul(REPEATED).min(u32::MAX as usize - 1);
        for root in roots {
            firsts.push(order.len() as u32);
            let mut at = order.len();
            order.push(root);
            while let Some(&place) = order.get(at) {
                starts.push(said.len() as u32);
                at += 1;
                if modes[place] == b"LEAF" {
                    branches.push(Branch::leaf(branches.len() as u32));
                    said.extend_from_slice(votes.of(place));
                    if said.len() > votes.list.len().saturating_mul(REPEATED) {
                        return Err(wrong("leaves that too many nodes lead to".to_owned()));
                    }
                    continue;
                }
                if order.len() > most {
                    return Err(wrong(
                        "nodes in a circle, or that too many lead to".to_owned(),
                    ));
                }
                let mode = comparison(modes[place], thresholds[place]);
                let (equal, holds_left, threshold) = mode.ok_or_else(|| {
                    let mode = String::from_utf8_lossy(modes[place]);
                    wrong(format!("a comparison {mode}"))
                })?;
                let column = u32::try_from(columns[place]).ok();
                let column = column.filter(|&column| column < COLUMN);
                let column = column.ok_or_else(|| wrong(format!("column {}", columns[place])))?;
                if thresholds[place].is_nan() {
                    return Err(wrong("a threshold that is not a number".to_owned()));
                }
                let child = |id: i64| {
                    let place = places.get(&(trees[place], id)).copied();
                    place.ok_or_else(|| wrong(format!("node {id} is not there")))
                };
                let (holds, fails) = (child(holds[place])?, child(fails[place])?);
                let (left, right) = if holds_left {
                    (holds, fails)
                } else {
                    (fails, holds)
                };
                // A missing number fails a comparison unless it is tracked, and differs from every number.
                let tracked = missing.get(place).is_some_and(|&tracked| tracked == 1)
                    || modes[place] == b"BRANCH_NEQ";
                let missing_left = tracked == holds_left;
                branches.push(Branch {
                    threshold,
                    column: column
                        | if equal { EQUAL } else { 0 }
                        | if missing_left { MISSING_LEFT } else { 0 },
                    left: order.len() as u32,
                });
                order.extend([left, right]);
            }
        }
        starts.push(said.len() as u32);
        let branches = Branches::new(branches);
        Ok(Self {
            branches: branches.ok_or_else(|| wrong("nodes without children".to_owned()))?,
            roots: firsts,
            starts,
            votes: said,
        })
    }

    /// Number of trees.
    pub(super) fn trees(&self) -> usize {
        self.roots.len()
    }

    /// Columns that a row must have.
    pub(super) fn columns(&self) -> usize {
        self.branches.columns()
    }

    pub(super) fn bytes(&self) -> u64 {
        let lists = size_of_val(self.roots.as_slice())
            + size_of_val(self.starts.as_slice())
            + size_of_val(self.votes.as_slice());
        lists as u64 + self.branches.bytes()
    }

    /// Rows of a part that stay in the first-level cache.
    pub(super) fn part(width: usize) -> usize {
        /// Numbers.
        const CACHE: usize = 6_000;
        (CACHE / width.max(1) / LANES).clamp(1, 32) * LANES
    }

    /// Shows what every tree says about every row, tree by tree: `vote` gets the number of the row and the leaf's votes.
    /// `rows` are whole rows of `width` columns, at least [`Forest::columns`].
    pub(super) fn walk(&self, rows: &[f32], width: usize, mut vote: impl FnMut(usize, &[Vote])) {
        let width = width.max(1);
        for &root in &self.roots {
            let mut first = 0;
            for group in rows.chunks(width * LANES) {
                let leaves = self.branches.leaves(root, group, width);
                let count = group.len() / width;
                for &leaf in &leaves[..count] {
                    let votes = self.starts[leaf as usize]..self.starts[leaf as usize + 1];
                    vote(first, &self.votes[votes.start as usize..votes.end as usize]);
                    first += 1;
                }
            }
        }
    }
}

/// The votes of all leaves, in the order of their nodes.
struct Votes {
    starts: Vec<usize>,
    list: Vec<Vote>,
}

impl Votes {
    fn read(
        node: &Node<'_>,
        of: &str,
        targets: usize,
        places: &HashMap<(i64, i64), usize>,
        nodes: usize,
    ) -> Result<Self> {
        let wrong = |what: String| -> Error { node.unsupported(what) };
        let list = |name: &str| node.integers(&format!("{of}_{name}")).unwrap_or(&[]);
        let (ids, trees, leaves) = (list("ids"), list("treeids"), list("nodeids"));
        let weights = numbers(node, &format!("{of}_weights"))?;
        let count = ids.len();
        let lengths = [trees.len(), leaves.len(), weights.len()];
        if count == 0
            || u32::try_from(count).is_err()
            || lengths.iter().any(|&length| length != count)
        {
            return Err(wrong(format!("lists of {count} and {lengths:?} votes")));
        }
        let mut of_nodes = Vec::with_capacity(count);
        let mut starts = vec![0; nodes + 1];
        for vote in 0..count {
            let place = places.get(&(trees[vote], leaves[vote])).copied();
            let place =
                place.ok_or_else(|| wrong(format!("node {} is not there", leaves[vote])))?;
            let target = usize::try_from(ids[vote]).ok();
            let target = target.filter(|&target| target < targets);
            let target = target.ok_or_else(|| wrong(format!("{of} {} of {targets}", ids[vote])))?;
            let vote = Vote {
                target: target as u32,
                weight: weights[vote],
            };
            starts[place + 1] += 1;
            of_nodes.push((place, vote));
        }
        for place in 0..nodes {
            starts[place + 1] += starts[place];
        }
        // Votes of one leaf stay in the file's order.
        of_nodes.sort_by_key(|(place, _)| *place);
        Ok(Self {
            starts,
            list: of_nodes.into_iter().map(|(_, vote)| vote).collect(),
        })
    }

    fn of(&self, place: usize) -> &[Vote] {
        &self.list[self.starts[place]..self.starts[place + 1]]
    }
}
