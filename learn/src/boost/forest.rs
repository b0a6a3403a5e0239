//! Trees that were learned, and what they say of rows.

use super::linear;
use super::metric::likeliest;
use super::objective::Objective;
use super::tree::Tree;
use crate::{Answers, Csr, Error, Features, Field, Result, Table, Values};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// A model.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    pub objective: Objective,
    /// Columns of rows.
    pub columns: usize,
    /// Numbers that trees add up for a row.
    pub groups: usize,
    /// Answers before the first tree, one for each group.
    pub base: Vec<f32>,
    /// The sums that `base` stands for.
    pub begin: Vec<f32>,
    /// Whether the base was estimated.
    pub estimated: bool,
    pub trees: Vec<Tree>,
    /// The group that each tree adds to.
    pub group_of: Vec<u32>,
    /// What each tree of booster `dart` counts; those of others count 1.
    pub weights: Option<Vec<f32>>,
    /// The weights of booster `gblinear`, `groups` for each column and the biases behind them, which has no trees.
    pub linear: Option<Vec<f32>>,
    /// Trees of a round and group.
    pub parallel: usize,
    /// Where the trees of each round begin, and the end.
    pub rounds: Vec<usize>,
    pub attributes: BTreeMap<String, String>,
}

/// Rows that go down all trees together.
const ROWS: usize = 64;

/// Values of rows that lie beside each other at most.
const SPREAD: usize = 1 << 18;

/// A node as prediction needs it, in 12 bytes.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// What values are compared with; in a leaf, what is added.
    value: f32,
    /// The column; the top bit is set where what is missing goes to the left.
    column: u32,
    /// The left child; the right one follows it. 0 in a leaf.
    left: u32,
}

const LEFT: u32 = 1 << 31;

/// A tree, the group that it adds to, and what it counts.
pub type Counted<'t> = (&'t Tree, u32, f32);

/// Trees laid out for prediction.
#[derive(Clone, Debug)]
pub struct Walk {
    steps: Vec<Step>,
    /// The root and group of each tree.
    roots: Vec<(u32, u32)>,
    /// Steps that ask for categories, with those that go to the right, ascending.
    categories: BTreeMap<u32, Vec<u32>>,
    /// The columns that trees ask for, ascending, where steps name places among them: for sparse rows, which are laid out for
    /// the trees some at a time.
    asked: Option<Vec<u32>>,
}

impl Walk {
    /// Lays out trees whose nodes were checked: none has two parents. They will be shown rows like these.
    pub fn new<'t>(trees: impl Iterator<Item = Counted<'t>> + Clone, rows: &Features) -> Self {
        let asked = matches!(rows, Features::Sparse(_)).then(|| {
            let nodes = trees.clone().flat_map(|(tree, ..)| &tree.nodes);
            let mut asked: Vec<u32> = nodes
                .filter(|node| !node.is_leaf())
                .map(|node| node.column)
                .collect();
            asked.sort_unstable();
            asked.dedup();
            asked
        });
        let mut walk = Self {
            steps: Vec::new(),
            roots: Vec::new(),
            categories: BTreeMap::new(),
            asked,
        };
        for tree in trees {
            walk.push(tree);
        }
        walk
    }

    fn push(&mut self, (tree, group, weight): Counted<'_>) {
        let root = self.steps.len();
        self.roots.push((root as u32, group));
        let mut order = vec![0u32];
        let mut at = 0;
        while let Some(index) = order.get(at).copied() {
            let node = &tree.nodes[index as usize];
            let (mut left, mut column) = (0, 0);
            let mut value = node.value;
            if node.is_leaf() {
                value *= weight;
            } else {
                column = match &self.asked {
                    Some(asked) => asked.partition_point(|one| *one < node.column) as u32,
                    None => node.column,
                };
                left = (root + order.len()) as u32;
                order.extend([node.left, node.right]);
                if let Some(set) = tree.categories.get(&index) {
                    self.categories.insert(self.steps.len() as u32, set.clone());
                }
            }
            self.steps.push(Step {
                value,
                column: column | if node.missing_left { LEFT } else { 0 },
                left,
            });
            at += 1;
        }
    }

    fn leaf(&self, root: u32, row: &[f32]) -> f32 {
        if self.categories.is_empty() {
            return self.walk(root, row, |_, step, value| value < step.value);
        }
        self.walk(root, row, |at, step, value| {
            match self.categories.get(&at) {
                Some(set) => {
                    // What is no category is not among those that go to the right.
                    !(0.0..16_777_216.0).contains(&value)
                        || set.binary_search(&(value as u32)).is_err()
                }
                None => value < step.value,
            }
        })
    }

    #[inline(always)]
    fn walk(&self, root: u32, row: &[f32], below: impl Fn(u32, &Step, f32) -> bool) -> f32 {
        let mut at = root;
        loop {
            let step = &self.steps[at as usize];
            if step.left == 0 {
                return step.value;
            }
            let value = row[(step.column & !LEFT) as usize];
            let goes_left = match value.is_nan() {
                true => step.column & LEFT != 0,
                false => below(at, step, value),
            };
            at = step.left + u32::from(!goes_left);
        }
    }

    /// Adds what trees say of rows to their sums, `groups` for each row.
    pub fn add(&self, features: &Features, groups: usize, sums: &mut [f32]) {
        let width = self
            .asked
            .as_ref()
            .map_or(features.columns(), Vec::len)
            .max(1);
        let rows = (SPREAD / width).clamp(1, ROWS);
        let block = |spread: &mut Vec<f32>, block: usize, sums: &mut [f32]| {
            let first = block * rows;
            let count = sums.len() / groups;
            match features {
                Features::Dense { values, .. } => {
                    let own = &values[first * width..(first + count) * width];
                    self.add_block(own, width, groups, sums);
                }
                Features::Sparse(csr) => {
                    spread.resize(rows * width, f32::NAN);
                    self.lay(csr, first..first + count, width, spread, |value| value);
                    self.add_block(&spread[..count * width], width, groups, sums);
                    self.lay(csr, first..first + count, width, spread, |_| f32::NAN);
                }
            }
        };
        // A few rows are answered sooner than other threads wake up.
        if sums.len() <= groups * rows {
            block(&mut Vec::new(), 0, sums);
            return;
        }
        sums.par_chunks_mut(groups * rows)
            .enumerate()
            .for_each_init(Vec::new, |spread, (at, sums)| block(spread, at, sums));
    }

    /// Puts something where sparse rows have values that trees ask for.
    fn lay(
        &self,
        csr: &Csr,
        rows: Range<usize>,
        width: usize,
        spread: &mut [f32],
        what: impl Fn(f32) -> f32,
    ) {
        let asked = self.asked.as_deref().unwrap_or_default();
        for (row, places) in rows.zip(spread.chunks_exact_mut(width)) {
            let (indices, values) = csr.row(row);
            for (column, value) in indices.iter().zip(values) {
                if let Ok(place) = asked.binary_search(column) {
                    places[place] = what(*value);
                }
            }
        }
    }

    fn add_block(&self, values: &[f32], width: usize, groups: usize, sums: &mut [f32]) {
        for (root, group) in &self.roots {
            for (row, sums) in values
                .chunks_exact(width)
                .zip(sums.chunks_exact_mut(groups))
            {
                sums[*group as usize] += self.leaf(*root, row);
            }
        }
    }
}

impl Forest {
    /// Trees laid out for rows like these.
    pub fn walk(&self, rows: &Features) -> Walk {
        Walk::new((0..self.trees.len()).map(|tree| self.tree(tree)), rows)
    }

    /// A tree, with what belongs to it.
    pub fn tree(&self, tree: usize) -> Counted<'_> {
        let weight = self.weights.as_ref().map_or(1.0, |weights| weights[tree]);
        (&self.trees[tree], self.group_of[tree], weight)
    }

    /// Adds what the whole model says of rows to their sums; `walk` is [`Forest::walk`] for rows like these.
    pub fn add(&self, walk: &Walk, features: &Features, sums: &mut [f32]) {
        match &self.linear {
            Some(weights) => linear::add(weights, features, self.groups, sums),
            None => walk.add(features, self.groups, sums),
        }
    }

    /// Sums of rows before the first tree.
    pub fn begin(&self, rows: usize) -> Vec<f32> {
        self.begin.repeat(rows)
    }

    /// Keeps the first rounds.
    pub fn truncate(&mut self, rounds: usize) {
        if let Some(end) = self.rounds.get(rounds).copied() {
            self.trees.truncate(end);
            self.group_of.truncate(end);
            if let Some(weights) = &mut self.weights {
                weights.truncate(end);
            }
            self.rounds.truncate(rounds + 1);
        }
    }

    /// Keeps the rounds up to the best one, where the model says which it is.
    pub fn keep_best(&mut self) {
        let best = self.attributes.get("best_iteration");
        let best = best.and_then(|best| best.parse::<usize>().ok());
        if let Some(rounds) = best.and_then(|best| best.checked_add(1)) {
            self.truncate(rounds);
        }
    }

    /// What trees say of rows.
    ///
    /// # Errors
    ///
    /// If the rows have other columns.
    pub fn predict(&self, walk: &Walk, table: &Table) -> Result<Answers> {
        fit(&table.features, self.columns)?;
        let mut sums = self.begin(table.rows());
        self.add(walk, &table.features, &mut sums);
        let values = match self.objective {
            Objective::Softmax {
                probabilities: false,
                ..
            } => {
                let classes = sums
                    .chunks_exact(self.groups)
                    .map(|own| likeliest(own) as f32);
                Values::Numbers(classes.collect())
            }
            _ => {
                let groups = self.groups;
                let transform = |some: &mut [f32]| {
                    some.chunks_exact_mut(groups)
                        .for_each(|own| self.objective.transform(own));
                };
                match sums.len() <= groups * ROWS {
                    true => transform(&mut sums),
                    false => sums.par_chunks_mut(groups * ROWS).for_each(transform),
                }
                match self.groups {
                    1 => Values::Numbers(sums),
                    width => Values::Vectors {
                        width,
                        values: sums,
                    },
                }
            }
        };
        Ok(Answers {
            list: "predictions",
            fields: vec![Field {
                name: "score",
                values,
            }],
        })
    }
}

/// # Errors
///
/// If dense rows have another number of columns, or sparse ones values in columns beyond.
pub fn fit(features: &Features, columns: usize) -> Result<()> {
    match features {
        Features::Dense { columns: found, .. } if *found != columns => Err(Error::input(format!(
            "rows have {found} columns, and the model was learned from {columns}"
        ))),
        Features::Sparse(csr) => match csr
            .indices
            .iter()
            .find(|column| **column as usize >= columns)
        {
            Some(column) => Err(Error::input(format!(
                "a row has a value in column {column}, and the model was learned from {columns} columns"
            ))),
            None => Ok(()),
        },
        Features::Dense { .. } => Ok(()),
    }
}
