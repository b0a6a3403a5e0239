//! The way of rows through decision trees.
//!
//! The two children of a node lie beside each other, so that a step is `left + (0 or 1)` without a branch that a
//! processor could guess wrong. A leaf leads to itself: several rows go through a tree side by side, each step of one
//! hiding the waiting of the others, until none of them moves.

/// Rows that go through a tree side by side.
pub(crate) const LANES: usize = 16;

/// The bits of [`Branch::column`] that are no part of the number.
pub(crate) const EQUAL: u32 = 1 << 31;
pub(crate) const MISSING_LEFT: u32 = 1 << 30;
pub(crate) const COLUMN: u32 = MISSING_LEFT - 1;

/// A node: a row goes left when its column is at most the threshold (or equal to it), else right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch {
    /// Not a number in a leaf: nothing is at most that.
    pub(crate) threshold: f32,
    /// The column, and whether "equal" is asked, and whether a missing number goes left.
    pub(crate) column: u32,
    /// The left child; the right one is next to it. In a leaf the node before it.
    pub(crate) left: u32,
}

impl Branch {
    /// A leaf, which is node `itself`.
    pub(crate) fn leaf(itself: u32) -> Self {
        Self {
            threshold: f32::NAN,
            column: 0,
            left: itself.wrapping_sub(1),
        }
    }

    fn is_leaf(&self, itself: usize) -> bool {
        self.threshold.is_nan() && self.column == 0 && self.left.wrapping_add(1) as usize == itself
    }
}

/// Nodes of which every child is there.
pub(crate) struct Branches {
    list: Vec<Branch>,
    /// Columns that are read; at least one.
    columns: usize,
    /// Whether no node asks for more than "at most" of numbers that are there.
    plain: bool,
}

impl Branches {
    /// Nodes, when all their children are among them.
    pub(crate) fn new(list: Vec<Branch>) -> Option<Self> {
        let length = list.len();
        let is_there = |(at, branch): (usize, &Branch)| {
            branch.is_leaf(at) || (branch.left as usize) < length.saturating_sub(1)
        };
        if !list.iter().enumerate().all(is_there) {
            return None;
        }
        let columns = list
            .iter()
            .map(|branch| (branch.column & COLUMN) as usize + 1);
        Some(Self {
            columns: columns.max().unwrap_or(1),
            plain: list.iter().all(|branch| branch.column & !COLUMN == 0),
            list,
        })
    }

    /// Columns that a row must have.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn bytes(&self) -> u64 {
        size_of_val(self.list.as_slice()) as u64
    }

    /// The leaves that up to [`LANES`] whole rows reach from a root; what is left of them repeats the last row's.
    ///
    /// # Panics
    /// When there is no such root, or a row is narrower than [`Branches::columns`].
    pub(crate) fn leaves(&self, root: u32, rows: &[f32], width: usize) -> [u32; LANES] {
        if self.plain {
            self.leaves_of::<true>(root, rows, width)
        } else {
            self.leaves_of::<false>(root, rows, width)
        }
    }

    #[inline]
    fn leaves_of<const PLAIN: bool>(&self, root: u32, rows: &[f32], width: usize) -> [u32; LANES] {
        assert!((root as usize) < self.list.len() && width >= self.columns && rows.len() >= width);
        let mut at = [root; LANES];
        let last = rows.len() / width - 1;
        let starts: [usize; LANES] = std::array::from_fn(|lane| lane.min(last) * width);
        loop {
            let mut moved = 0;
            for lane in 0..LANES {
                // SAFETY: `at` holds the root, which is in the list, or a child, which is by `Branches::new` (a leaf is
                // its own child: nothing compares with a threshold that is not a number).
                let branch = unsafe { *self.list.get_unchecked(at[lane] as usize) };
                let column = if PLAIN {
                    branch.column
                } else {
                    branch.column & COLUMN
                };
                // SAFETY: `column < columns <= width`, and a lane starts where a whole row does.
                let x = unsafe { *rows.get_unchecked(starts[lane] + column as usize) };
                let left = if PLAIN {
                    x <= branch.threshold
                } else {
                    let equal = branch.column & EQUAL != 0;
                    let holds =
                        (!equal & (x <= branch.threshold)) | (equal & (x == branch.threshold));
                    holds | (x.is_nan() & (branch.column & MISSING_LEFT != 0))
                };
                let next = branch.left.wrapping_add(u32::from(!left));
                moved |= next ^ at[lane];
                at[lane] = next;
            }
            if moved == 0 {
                return at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_whose_children_are_missing_are_refused() {
        let branch = |left| Branch {
            threshold: 0.0,
            column: 0,
            left,
        };
        let leaf = Branch::leaf;
        assert!(Branches::new(vec![branch(1), leaf(1), leaf(2)]).is_some());
        assert!(Branches::new(vec![branch(2), leaf(1), leaf(2)]).is_none());
        assert!(Branches::new(vec![branch(u32::MAX), leaf(1), leaf(2)]).is_none());
        assert!(Branches::new(vec![branch(1), leaf(7), leaf(2)]).is_none());
        assert!(Branches::new(vec![branch(0)]).is_none());
    }
}
