//! A tree of decisions.

use std::collections::BTreeMap;

/// No node.
pub const NONE: u32 = u32::MAX;

/// A node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// The child for what is below the condition, or [`NONE`] in a leaf.
    pub left: u32,
    pub right: u32,
    pub parent: u32,
    /// The column that decides.
    pub column: u32,
    /// What values are compared with; the answer of a leaf.
    pub value: f32,
    /// Whether what is missing goes to the left.
    pub missing_left: bool,
    /// How much less is lost by the split.
    pub gain: f32,
    /// Sum of the hessians of the rows that came here.
    pub hessian: f32,
    /// What the answer would be, were it a leaf.
    pub weight: f32,
}

impl Node {
    /// A leaf.
    pub fn leaf(parent: u32, value: f32, hessian: f32) -> Self {
        Self {
            left: NONE,
            right: NONE,
            parent,
            column: 0,
            value,
            missing_left: false,
            gain: 0.0,
            hessian,
            weight: value,
        }
    }

    /// Whether it has no children.
    pub fn is_leaf(&self) -> bool {
        self.left == NONE
    }
}

/// A tree; the first node is its root.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    pub nodes: Vec<Node>,
    /// Nodes that ask whether a category is one of these, which go to the right; bits.
    pub categories: BTreeMap<u32, Vec<u32>>,
}
