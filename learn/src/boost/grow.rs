//! Growing a tree: which leaf is split next, which rows go where, and what the children's histograms are.

use super::bins::{Bins, Codes, Column, Layout};
use super::draw::Draw;
use super::histogram::{self, Pair, Scale};
use super::split::{self, NOTHING, Rules, Split, Sums};
use super::tree::{NONE, Node, Tree};
use rayon::prelude::*;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of histograms that are kept for the sake of their nodes' children.
const KEPT: usize = 512 << 20;

/// Leaves that are split at once.
const BATCH: usize = 256;

/// Rows that are parted at once.
const CHUNK: usize = 1 << 13;

/// Grows trees on the same rows.
pub struct Grower<'a> {
    bins: &'a Bins,
    rules: &'a Rules,
    /// Numbers of rows; those of a leaf are together.
    rows: Vec<u32>,
    lefts: Vec<u32>,
    rights: Vec<u32>,
    /// Histograms that are free.
    free: Vec<Vec<Pair>>,
    /// How many may be in use.
    most: usize,
    used: usize,
}

/// The gradients that a tree is grown for.
pub struct Gradients<'a> {
    pub pairs: &'a [Pair],
    pub scale: Scale,
}

/// A tree with the rows of its leaves.
pub struct Grown {
    pub tree: Tree,
    /// A leaf and where its rows are in [`Grower::rows`].
    pub leaves: Vec<(u32, Range<usize>)>,
}

/// A leaf that may be split.
struct Candidate {
    node: u32,
    depth: u32,
    split: Split,
    /// Sums of its rows, where its children will need them.
    sums: Option<Vec<Pair>>,
    by_loss: bool,
}

impl Candidate {
    fn rank(&self) -> (f32, std::cmp::Reverse<u32>) {
        let gain = if self.by_loss { self.split.gain } else { 0.0 };
        (gain, std::cmp::Reverse(self.node))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let (one, two) = (self.rank(), other.rank());
        one.0.total_cmp(&two.0).then(one.1.cmp(&two.1))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

/// What is known of a node while the tree grows.
#[derive(Clone)]
struct Place {
    rows: Range<usize>,
    sums: Sums,
    depth: u32,
    /// Columns that decided above, and those that may decide here, where that is restricted.
    path: Option<Arc<Path>>,
}

struct Path {
    above: Vec<u32>,
    allowed: Vec<bool>,
}

/// Columns that may decide, by depth and node.
struct Columns {
    tree: Vec<u32>,
    levels: BTreeMap<u32, Vec<u32>>,
    key: u64,
}

/// Two children that are looked at together.
struct Pairing {
    children: [u32; 2],
    /// Which of the two has fewer rows.
    smaller: usize,
    parent: Option<Vec<Pair>>,
}

impl<'a> Grower<'a> {
    pub fn new(bins: &'a Bins, rules: &'a Rules) -> Self {
        let bytes = bins.total().max(1) * size_of::<Pair>();
        Self {
            bins,
            rules,
            rows: (0..bins.rows as u32).collect(),
            lefts: vec![0; bins.rows],
            rights: vec![0; bins.rows],
            free: Vec::new(),
            most: (KEPT / bytes).max(4),
            used: 0,
        }
    }

    /// Numbers of rows, as the last tree parted them.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// A tree for some gradients. `eta` is what leaves are multiplied by.
    pub fn grow(&mut self, gradients: &Gradients<'_>, eta: f32, mut draw: Draw) -> Grown {
        for (place, row) in self.rows.iter_mut().enumerate() {
            *row = place as u32;
        }
        let all: Vec<u32> = (0..self.bins.columns() as u32).collect();
        let mut columns = Columns {
            tree: draw.columns(&all, self.rules.by_tree),
            levels: BTreeMap::new(),
            key: draw.next(),
        };
        let bounds = [f32::MIN, f32::MAX];
        let parts = gradients.pairs.par_chunks(CHUNK);
        let total = parts
            .map(|pairs| {
                pairs
                    .iter()
                    .fold([0; 2], |sum, pair| split::plus(sum, *pair))
            })
            .reduce(|| [0; 2], split::plus);
        let sums = gradients.scale.sum(total);
        let weight = self.rules.weight(sums, bounds);
        let mut tree = Tree {
            nodes: vec![Node {
                weight,
                ..Node::leaf(NONE, eta * weight, sums[1] as f32)
            }],
            ..Tree::default()
        };
        let mut places = vec![Place {
            rows: 0..self.rows.len(),
            sums: Sums {
                total,
                gain: self.rules.gain(sums, bounds),
                bounds,
            },
            depth: 0,
            path: None,
        }];
        let mut leaves = 1u32;
        let mut waiting = BinaryHeap::new();
        waiting.extend(self.root(gradients, &places[0], &mut columns));
        loop {
            let batch = self.next(&mut waiting, &mut leaves, gradients.scale);
            if batch.is_empty() {
                break;
            }
            let split: Vec<(u32, Split)> = batch.iter().map(|one| (one.node, one.split)).collect();
            for (node, split) in &split {
                self.apply(*node, split, gradients.scale, eta, &mut tree, &mut places);
            }
            self.part(&split, &tree, &mut places);
            let mut pairings = Vec::new();
            for candidate in batch {
                let node = tree.nodes[candidate.node as usize];
                if !self.may_grow(candidate.depth + 1, leaves) {
                    self.give_back(candidate.sums);
                    continue;
                }
                let children = [node.left, node.right];
                let [left, right] = children.map(|child| places[child as usize].rows.len());
                pairings.push(Pairing {
                    children,
                    smaller: usize::from(right < left),
                    parent: candidate.sums,
                });
            }
            let groups = (self.most / 2).max(1);
            while !pairings.is_empty() {
                let rest = pairings.split_off(groups.min(pairings.len()));
                let group = std::mem::replace(&mut pairings, rest);
                for candidate in self.look(gradients, group, &places, &mut columns, leaves) {
                    match candidate.split.gain > NOTHING {
                        true => waiting.push(candidate),
                        false => self.give_back(candidate.sums),
                    }
                }
            }
        }
        for candidate in waiting {
            self.give_back(candidate.sums);
        }
        let leaves = (0..tree.nodes.len() as u32)
            .filter(|node| tree.nodes[*node as usize].is_leaf())
            .map(|node| (node, places[node as usize].rows.clone()))
            .collect();
        Grown { tree, leaves }
    }

    /// Whether nodes of a depth may be split.
    fn may_grow(&self, depth: u32, leaves: u32) -> bool {
        (self.rules.max_depth == 0 || depth < self.rules.max_depth)
            && (self.rules.max_leaves == 0 || leaves < self.rules.max_leaves)
    }

    /// Takes the leaves that are split next.
    fn next(
        &mut self,
        waiting: &mut BinaryHeap<Candidate>,
        leaves: &mut u32,
        scale: Scale,
    ) -> Vec<Candidate> {
        let mut batch: Vec<Candidate> = Vec::new();
        let depth = waiting.peek().map(|one| one.depth);
        let most = if self.rules.by_loss { 1 } else { BATCH };
        while batch.len() < most
            && waiting
                .peek()
                .is_some_and(|next| self.rules.by_loss || Some(next.depth) == depth)
            && let Some(candidate) = waiting.pop()
        {
            let split = &candidate.split;
            let fits = self.may_grow(candidate.depth, *leaves)
                && split.gain > NOTHING
                && split.gain >= self.rules.gamma
                && scale.sum(split.left)[1] != 0.0
                && scale.sum(split.right)[1] != 0.0;
            if fits {
                *leaves += 1;
                batch.push(candidate);
            } else {
                self.give_back(candidate.sums);
                if self.rules.by_loss {
                    break;
                }
            }
        }
        batch
    }

    /// Makes two leaves of one.
    fn apply(
        &self,
        node: u32,
        split: &Split,
        scale: Scale,
        eta: f32,
        tree: &mut Tree,
        places: &mut Vec<Place>,
    ) {
        let place = places[node as usize].clone();
        let bounds = place.sums.bounds;
        let (left, right) = (scale.sum(split.left), scale.sum(split.right));
        let weights = [left, right].map(|sums| self.rules.weight(sums, bounds));
        let first = tree.nodes.len() as u32;
        let own = &mut tree.nodes[node as usize];
        own.left = first;
        own.right = first + 1;
        own.column = split.column;
        own.value = split.value;
        own.missing_left = split.missing_left;
        own.gain = split.gain;
        own.weight = self
            .rules
            .weight([left[0] + right[0], left[1] + right[1]], bounds);
        own.hessian = (left[1] + right[1]) as f32;
        let path = self.path(&place, split.column);
        let middle = (weights[0] + weights[1]) / 2.0;
        let [lower, upper] = bounds;
        let of_children = match self.rules.monotone.get(split.column as usize) {
            Some(-1) => [[middle, upper], [lower, middle]],
            Some(1) => [[lower, middle], [middle, upper]],
            _ => [bounds; 2],
        };
        for (side, (sums, total)) in [(left, split.left), (right, split.right)]
            .into_iter()
            .enumerate()
        {
            tree.nodes
                .push(Node::leaf(node, weights[side] * eta, sums[1] as f32));
            places.push(Place {
                rows: place.rows.clone(),
                sums: Sums {
                    total,
                    gain: self.rules.gain(sums, bounds),
                    bounds: of_children[side],
                },
                depth: place.depth + 1,
                path: path.clone(),
            });
        }
    }

    /// Columns that may decide below a split.
    fn path(&self, place: &Place, column: u32) -> Option<Arc<Path>> {
        if self.rules.together.is_empty() {
            return None;
        }
        let mut above = place
            .path
            .as_ref()
            .map_or_else(Vec::new, |path| path.above.clone());
        if !above.contains(&column) {
            above.push(column);
        }
        let mut allowed = vec![false; self.bins.columns()];
        let fitting = self.rules.together.iter();
        let fitting = fitting.filter(|group| above.iter().all(|column| group.contains(column)));
        for column in fitting.flatten().chain(&above) {
            allowed[*column as usize] = true;
        }
        Some(Arc::new(Path { above, allowed }))
    }

    /// Moves the rows of nodes that were split to where those of their children are.
    fn part(&mut self, split: &[(u32, Split)], tree: &Tree, places: &mut [Place]) {
        struct Piece<'r, 'a> {
            split: &'r Split,
            node: u32,
            rows: &'r [u32],
            lefts: &'a mut [u32],
            rights: &'a mut [u32],
        }
        let mut sorted: Vec<&(u32, Split)> = split.iter().collect();
        sorted.sort_unstable_by_key(|(node, _)| places[*node as usize].rows.start);
        let mut pieces = Vec::new();
        let (mut lefts, mut rights) = (self.lefts.as_mut_slice(), self.rights.as_mut_slice());
        for (node, split) in &sorted {
            for rows in self.rows[places[*node as usize].rows.clone()].chunks(CHUNK) {
                let (own_lefts, rest) = lefts.split_at_mut(rows.len());
                lefts = rest;
                let (own_rights, rest) = rights.split_at_mut(rows.len());
                rights = rest;
                pieces.push(Piece {
                    split,
                    node: *node,
                    rows,
                    lefts: own_lefts,
                    rights: own_rights,
                });
            }
        }
        let bins = self.bins;
        let parted: Vec<(u32, &[u32], &[u32])> = pieces
            .into_par_iter()
            .map(|piece| {
                let Piece {
                    split,
                    rows,
                    lefts,
                    rights,
                    ..
                } = piece;
                let column = split.column as usize;
                let full = |codes: &Codes, lefts: &mut [u32], rights: &mut [u32]| match codes {
                    Codes::Narrow(codes) => {
                        let goes = decisions(bins, split);
                        divide(rows, lefts, rights, |row| goes(usize::from(codes[row])))
                    }
                    Codes::Wide(codes) => {
                        let goes = decisions(bins, split);
                        divide(rows, lefts, rights, |row| goes(usize::from(codes[row])))
                    }
                };
                let count = match &bins.layout {
                    Layout::Dense { columns, .. } => full(&columns[column], lefts, rights),
                    Layout::Sparse { columns, .. } => match &columns[column] {
                        Column::Full(codes) => full(codes, lefts, rights),
                        Column::Sparse { rows: there, bins } => {
                            // Both are ascending.
                            let mut at = 0;
                            divide(rows, lefts, rights, |row| {
                                at = seek(there, at, row as u32);
                                match there.get(at) == Some(&(row as u32)) {
                                    true => i32::from(bins[at]) <= split.bin,
                                    false => split.missing_left,
                                }
                            })
                        }
                    },
                };
                let others = rows.len() - count;
                (piece.node, &lefts[..count], &rights[..others])
            })
            .collect();
        let mut moves: Vec<(&[u32], &mut [u32])> = Vec::with_capacity(parted.len() * 2);
        let mut rest = self.rows.as_mut_slice();
        let mut passed = 0;
        for of_node in parted.chunk_by(|one, other| one.0 == other.0) {
            let node = of_node[0].0;
            let range = places[node as usize].rows.clone();
            rest = rest.split_at_mut(range.start - passed).1;
            for (_, part, _) in of_node {
                let (to, others) = rest.split_at_mut(part.len());
                moves.push((part, to));
                rest = others;
            }
            for (_, _, part) in of_node {
                let (to, others) = rest.split_at_mut(part.len());
                moves.push((part, to));
                rest = others;
            }
            passed = range.end;
            let middle = range.start + of_node.iter().map(|(_, part, _)| part.len()).sum::<usize>();
            let Node { left, right, .. } = tree.nodes[node as usize];
            places[left as usize].rows = range.start..middle;
            places[right as usize].rows = middle..range.end;
        }
        // Nodes without rows have no pieces, and their children none either.
        for (node, _) in split {
            if places[*node as usize].rows.is_empty() {
                let Node { left, right, .. } = tree.nodes[*node as usize];
                let none = places[*node as usize].rows.clone();
                places[left as usize].rows = none.clone();
                places[right as usize].rows = none;
            }
        }
        moves
            .into_par_iter()
            .with_min_len(4)
            .for_each(|(from, to)| to.copy_from_slice(from));
    }

    /// The root's best split.
    fn root(
        &mut self,
        gradients: &Gradients<'_>,
        place: &Place,
        columns: &mut Columns,
    ) -> Option<Candidate> {
        if !self.may_grow(0, 1) {
            return None;
        }
        let mut sums = self.take();
        let allowed = self.allowed(place, 0, columns);
        let rows = &self.rows[place.rows.clone()];
        if matches!(self.bins.layout, Layout::Sparse { .. }) {
            self.add_sparse(&mut [(rows, &mut sums)], gradients);
        }
        let (bins, rules) = (self.bins, self.rules);
        let dense = matches!(bins.layout, Layout::Dense { .. });
        let best: Vec<Split> = cut(bins, &mut sums)
            .into_par_iter()
            .enumerate()
            .map(|(span, own)| {
                if dense {
                    own.fill([0; 2]);
                    histogram::add(bins, span, rows, gradients.pairs, own);
                }
                best_of(
                    bins,
                    rules,
                    gradients.scale,
                    span,
                    &place.sums,
                    &allowed,
                    own,
                )
            })
            .collect();
        let sums = self.keep(sums, 0, 1);
        Some(Candidate {
            node: 0,
            depth: 0,
            split: improved(best),
            sums,
            by_loss: self.rules.by_loss,
        })
    }

    /// The best splits of children.
    fn look(
        &mut self,
        gradients: &Gradients<'_>,
        pairings: Vec<Pairing>,
        places: &[Place],
        columns: &mut Columns,
        leaves: u32,
    ) -> Vec<Candidate> {
        /// What one thread does at once: the children of a node, by some columns.
        struct Task<'a> {
            span: usize,
            smaller: &'a Place,
            larger: &'a Place,
            allowed: [&'a Option<Vec<bool>>; 2],
            sums: [&'a mut [Pair]; 2],
            /// Whether the sums of the larger are those of its parent yet.
            whole: bool,
        }
        let mut allowed = Vec::with_capacity(pairings.len());
        let mut sums = Vec::with_capacity(pairings.len());
        let mut nodes = Vec::with_capacity(pairings.len());
        for pairing in pairings {
            let smaller = pairing.children[pairing.smaller];
            let larger = pairing.children[1 - pairing.smaller];
            let of =
                [smaller, larger].map(|node| self.allowed(&places[node as usize], node, columns));
            allowed.push(of);
            let whole = pairing.parent.is_some();
            let larger_sums = pairing.parent.unwrap_or_else(|| self.take());
            sums.push((self.take(), larger_sums, whole));
            nodes.push([smaller, larger]);
        }
        let (bins, rules, rows) = (self.bins, self.rules, &self.rows);
        let dense = matches!(bins.layout, Layout::Dense { .. });
        if !dense {
            let mut parts: Vec<(&[u32], &mut Vec<Pair>)> = Vec::new();
            for ((smaller, larger, whole), [small, large]) in sums.iter_mut().zip(&nodes) {
                parts.push((&rows[places[*small as usize].rows.clone()], smaller));
                if !*whole {
                    parts.push((&rows[places[*large as usize].rows.clone()], larger));
                }
            }
            self.add_sparse(&mut parts, gradients);
        }
        let mut tasks = Vec::with_capacity(sums.len() * bins.spans.len());
        for (((smaller, larger, whole), [small, large]), allowed) in
            sums.iter_mut().zip(&nodes).zip(&allowed)
        {
            let parts = cut(bins, smaller).into_iter().zip(cut(bins, larger));
            for (span, (smaller, larger)) in parts.enumerate() {
                tasks.push(Task {
                    span,
                    smaller: &places[*small as usize],
                    larger: &places[*large as usize],
                    allowed: [&allowed[0], &allowed[1]],
                    sums: [smaller, larger],
                    whole: *whole,
                });
            }
        }
        let best: Vec<[Split; 2]> = tasks
            .into_par_iter()
            .map(|task| {
                let [smaller, larger] = task.sums;
                let (small, large) = (task.smaller, task.larger);
                if dense {
                    smaller.fill([0; 2]);
                    histogram::add(
                        bins,
                        task.span,
                        &rows[small.rows.clone()],
                        gradients.pairs,
                        smaller,
                    );
                    if !task.whole {
                        larger.fill([0; 2]);
                        histogram::add(
                            bins,
                            task.span,
                            &rows[large.rows.clone()],
                            gradients.pairs,
                            larger,
                        );
                    }
                }
                if task.whole {
                    for (rest, part) in larger.iter_mut().zip(smaller.iter()) {
                        *rest = split::minus(*rest, *part);
                    }
                }
                let scale = gradients.scale;
                [
                    best_of(
                        bins,
                        rules,
                        scale,
                        task.span,
                        &small.sums,
                        task.allowed[0],
                        smaller,
                    ),
                    best_of(
                        bins,
                        rules,
                        scale,
                        task.span,
                        &large.sums,
                        task.allowed[1],
                        larger,
                    ),
                ]
            })
            .collect();
        let spans = bins.spans.len();
        let mut candidates = Vec::with_capacity(nodes.len() * 2);
        for (at, ((smaller, larger, _), nodes)) in sums.into_iter().zip(nodes).enumerate() {
            let own = &best[at * spans..(at + 1) * spans];
            for (which, (node, sums)) in nodes.into_iter().zip([smaller, larger]).enumerate() {
                let depth = places[node as usize].depth;
                candidates.push(Candidate {
                    node,
                    depth,
                    split: improved(own.iter().map(|both| both[which])),
                    sums: self.keep(sums, depth, leaves),
                    by_loss: self.rules.by_loss,
                });
            }
        }
        candidates
    }

    /// Fills histograms of sparse rows, each from its rows.
    fn add_sparse(&self, parts: &mut [(&[u32], &mut Vec<Pair>)], gradients: &Gradients<'_>) {
        let Layout::Sparse { starts, slots, .. } = &self.bins.layout else {
            return;
        };
        let threads = rayon::current_num_threads();
        let total = self.bins.total();
        parts.par_iter_mut().for_each(|(rows, sums)| {
            sums.fill([0; 2]);
            // More threads pay where rows have more values than there are sums to put together.
            if rows.len() < threads * (total / 8).max(4096) {
                histogram::add_sparse(starts, slots, rows, gradients.pairs, sums);
                return;
            }
            let others: Vec<Vec<Pair>> = rows
                .par_chunks(rows.len().div_ceil(threads))
                .map(|rows| {
                    let mut sums = vec![[0; 2]; total];
                    histogram::add_sparse(starts, slots, rows, gradients.pairs, &mut sums);
                    sums
                })
                .collect();
            for other in others {
                for (sum, part) in sums.iter_mut().zip(other) {
                    *sum = split::plus(*sum, part);
                }
            }
        });
    }

    /// Columns that may decide at a node; all where it is none.
    fn allowed(&self, place: &Place, node: u32, columns: &mut Columns) -> Option<Vec<bool>> {
        let rules = self.rules;
        let all = rules.by_tree >= 1.0 && rules.by_level >= 1.0 && rules.by_node >= 1.0;
        let path = place.path.as_ref();
        if all {
            return path.map(|path| path.allowed.clone());
        }
        let level = columns.levels.entry(place.depth).or_insert_with(|| {
            Draw::at(columns.key, &[0, u64::from(place.depth)])
                .columns(&columns.tree, rules.by_level)
        });
        let mut allowed = vec![false; self.bins.columns()];
        for column in Draw::at(columns.key, &[1, u64::from(node)]).columns(level, rules.by_node) {
            allowed[column as usize] = path.is_none_or(|path| path.allowed[column as usize]);
        }
        Some(allowed)
    }

    fn take(&mut self) -> Vec<Pair> {
        self.used += 1;
        self.free
            .pop()
            .unwrap_or_else(|| vec![[0; 2]; self.bins.total()])
    }

    fn give_back(&mut self, sums: Option<Vec<Pair>>) {
        if let Some(sums) = sums {
            self.used -= 1;
            self.free.push(sums);
        }
    }

    /// Keeps a node's sums if its children will be looked at, and there is room.
    fn keep(&mut self, sums: Vec<Pair>, depth: u32, leaves: u32) -> Option<Vec<Pair>> {
        if self.may_grow(depth + 1, leaves) && self.used <= self.most {
            return Some(sums);
        }
        self.give_back(Some(sums));
        None
    }
}

/// Whether a bin goes to the left; missing values have the bin after the last.
fn decisions(bins: &Bins, split: &Split) -> impl Fn(usize) -> bool + Copy {
    let missing = bins.cuts.bins(split.column as usize);
    let (last, missing_left) = (split.bin, split.missing_left);
    move |code| {
        let below = code as i32 <= last;
        match code == missing {
            true => missing_left,
            false => below,
        }
    }
}

/// Puts rows in order to one side or the other; how many went to the left.
fn divide(
    rows: &[u32],
    lefts: &mut [u32],
    rights: &mut [u32],
    mut goes: impl FnMut(usize) -> bool,
) -> usize {
    let (mut left, mut right) = (0, 0);
    for row in rows {
        let to_left = goes(*row as usize);
        lefts[left] = *row;
        rights[right] = *row;
        left += usize::from(to_left);
        right += usize::from(!to_left);
    }
    left
}

/// The first place from `at` on that is not below `row`, in steps that grow.
fn seek(rows: &[u32], mut at: usize, row: u32) -> usize {
    let mut step = 1;
    while rows.get(at + step - 1).is_some_and(|one| *one < row) {
        at += step;
        step *= 2;
    }
    let end = (at + step - 1).min(rows.len());
    at + rows[at..end].partition_point(|one| *one < row)
}

/// A histogram by spans of columns.
fn cut<'s>(bins: &Bins, mut sums: &'s mut [Pair]) -> Vec<&'s mut [Pair]> {
    let mut parts = Vec::with_capacity(bins.spans.len());
    for span in &bins.spans {
        let (part, rest) = sums.split_at_mut(bins.slots_of(span).len());
        parts.push(part);
        sums = rest;
    }
    parts
}

fn best_of(
    bins: &Bins,
    rules: &Rules,
    scale: Scale,
    span: usize,
    node: &Sums,
    allowed: &Option<Vec<bool>>,
    sums: &[Pair],
) -> Split {
    let span = &bins.spans[span];
    let mut best = Split::NONE;
    for column in span.clone() {
        if allowed.as_ref().is_some_and(|allowed| !allowed[column]) {
            continue;
        }
        let first = bins.slots[column] - bins.slots[span.start];
        let own = &sums[first..first + bins.cuts.bins(column)];
        split::by_column(rules, scale, node, column, &bins.cuts, own, &mut best);
    }
    best
}

fn improved(splits: impl IntoIterator<Item = Split>) -> Split {
    splits.into_iter().fold(Split::NONE, |mut best, split| {
        best.improve(&split);
        best
    })
}
