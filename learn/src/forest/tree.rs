//! A tree of random cuts through some rows, and how deep a row would come to lie in it.

use rand::Rng;
use rand::rngs::StdRng;

/// What the dimension of a leaf is.
const LEAF: u32 = u32::MAX;

/// A place in the tree. Those below it come after it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// The column that is cut; of a leaf none.
    pub column: u32,
    /// Rows up to here are on the left.
    pub cut: f32,
    /// The left place, or of a leaf its row.
    pub left: u32,
    /// The right place, or of a leaf how many rows are alike.
    pub right: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub nodes: Vec<Node>,
    pub rows: Vec<f32>,
    columns: usize,
    /// Rows below each place.
    masses: Vec<f64>,
    /// The least and the greatest values below each place, of leaves the row.
    boxes: Vec<f32>,
}

/// Rows that are still to be cut.
struct Open {
    members: Vec<u32>,
    /// The place above, and whether they are right of it.
    above: Option<(usize, bool)>,
}

impl Tree {
    /// Cuts rows until each lies alone, or among its like.
    pub fn grow(rows: Vec<f32>, columns: usize, random: &mut StdRng) -> Self {
        let count = rows.len() / columns;
        let row = |at: u32| &rows[at as usize * columns..][..columns];
        let mut nodes: Vec<Node> = Vec::with_capacity(2 * count);
        let mut open = vec![Open {
            members: (0..count as u32).collect(),
            above: None,
        }];
        let (mut low, mut high) = (vec![0.0_f32; columns], vec![0.0_f32; columns]);
        while let Some(Open { members, above }) = open.pop() {
            let at = nodes.len();
            if let Some((above, right)) = above {
                let slot: &mut Node = &mut nodes[above];
                *(if right {
                    &mut slot.right
                } else {
                    &mut slot.left
                }) = at as u32;
            }
            low.copy_from_slice(row(members[0]));
            high.copy_from_slice(row(members[0]));
            for member in &members[1..] {
                for ((low, high), value) in low.iter_mut().zip(&mut high).zip(row(*member)) {
                    *low = low.min(*value);
                    *high = high.max(*value);
                }
            }
            let range = |column: usize| f64::from(high[column]) - f64::from(low[column]);
            let total: f64 = (0..columns).map(range).sum();
            if total <= 0.0 {
                nodes.push(Node {
                    column: LEAF,
                    cut: 0.0,
                    left: members[0],
                    right: members.len() as u32,
                });
                continue;
            }
            // A column by how far its values are apart, and a place between them.
            let mut left = random.random::<f64>() * total;
            let wide: Vec<usize> = (0..columns).filter(|column| range(*column) > 0.0).collect();
            let found = wide.iter().find(|column| {
                left -= range(**column);
                left < 0.0
            });
            let column = *found.or(wide.last()).unwrap_or(&0);
            let cut = (f64::from(low[column]) + random.random::<f64>() * range(column)) as f32;
            // Rounding may bring it to the greatest value, of which no row would be right.
            let cut = if cut < high[column] { cut } else { low[column] };
            let (lefts, rights): (Vec<u32>, Vec<u32>) = members
                .iter()
                .partition(|member| row(**member)[column] <= cut);
            nodes.push(Node {
                column: column as u32,
                cut,
                left: 0,
                right: 0,
            });
            open.push(Open {
                members: rights,
                above: Some((at, true)),
            });
            open.push(Open {
                members: lefts,
                above: Some((at, false)),
            });
        }
        Self::measured(nodes, rows, columns)
    }

    /// A tree that was kept.
    ///
    /// The error says what of it is none.
    pub fn kept(nodes: Vec<Node>, rows: Vec<f32>, columns: usize) -> Result<Self, String> {
        let count = rows.len() / columns;
        let mut below = vec![false; nodes.len()];
        for (at, node) in nodes.iter().enumerate() {
            if node.column == LEAF {
                if node.left as usize >= count || node.right == 0 {
                    return Err(format!("leaf {at} has no row"));
                }
                continue;
            }
            if node.column as usize >= columns {
                return Err(format!(
                    "place {at} cuts column {} of {columns}",
                    node.column
                ));
            }
            for next in [node.left, node.right] {
                let next = next as usize;
                if next <= at || next >= nodes.len() || below[next] {
                    return Err(format!(
                        "place {at} is above {next}, which is no place below it"
                    ));
                }
                below[next] = true;
            }
        }
        if nodes.is_empty() || below[1..].contains(&false) {
            return Err("places are missing".to_owned());
        }
        Ok(Self::measured(nodes, rows, columns))
    }

    fn measured(nodes: Vec<Node>, rows: Vec<f32>, columns: usize) -> Self {
        let mut masses = vec![0.0; nodes.len()];
        let mut boxes = vec![0.0; nodes.len() * 2 * columns];
        for (at, node) in nodes.iter().enumerate().rev() {
            let (own, below) = boxes[at * 2 * columns..].split_at_mut(2 * columns);
            let (low, high) = own.split_at_mut(columns);
            if node.column == LEAF {
                masses[at] = f64::from(node.right);
                let row = &rows[node.left as usize * columns..][..columns];
                low.copy_from_slice(row);
                high.copy_from_slice(row);
                continue;
            }
            masses[at] = masses[node.left as usize] + masses[node.right as usize];
            let of = |next: u32| &below[(next as usize - at - 1) * 2 * columns..][..2 * columns];
            let (left, right) = (of(node.left), of(node.right));
            for column in 0..columns {
                low[column] = left[column].min(right[column]);
                high[column] = left[columns + column].max(right[columns + column]);
            }
        }
        Self {
            nodes,
            rows,
            columns,
            masses,
            boxes,
        }
    }

    /// How likely a cut through what is below a place and the row would put the row on one side alone.
    fn apart(&self, at: usize, row: &[f32]) -> f64 {
        let (low, high) =
            self.boxes[at * 2 * self.columns..][..2 * self.columns].split_at(self.columns);
        let (mut beyond, mut total) = (0.0_f64, 0.0_f64);
        for ((value, low), high) in row.iter().zip(low).zip(high) {
            let (value, low, high) = (f64::from(*value), f64::from(*low), f64::from(*high));
            let outside = (low - value).max(0.0) + (value - high).max(0.0);
            beyond += outside;
            total += high - low + outside;
        }
        if total > 0.0 { beyond / total } else { 0.0 }
    }

    /// The score of a row: what is expected of the inverse of its depth, were it put into the tree.
    ///
    /// From its leaf upwards, a place cuts the row off by its probability, at that depth; otherwise it lies where the places
    /// below have put it. A row that is in the tree already lies as deep as its like, and the more there are of them, the less
    /// it stands out. Scores are scaled by the depth of a balanced tree.
    pub fn score(&self, row: &[f32], path: &mut Vec<usize>) -> f64 {
        path.clear();
        let mut at = 0;
        while self.nodes[at].column != LEAF {
            path.push(at);
            let node = &self.nodes[at];
            at = if row[node.column as usize] <= node.cut {
                node.left
            } else {
                node.right
            } as usize;
        }
        let total = self.masses[0];
        let mass = self.masses[at];
        let mut score = if self.apart(at, row) > 0.0 {
            1.0 / (path.len() as f64 + 1.0)
        } else {
            (1.0 - mass / (2.0 * total)) / (path.len() as f64 + (mass + 1.0).log2())
        };
        for (depth, at) in path.iter().enumerate().rev() {
            let apart = self.apart(*at, row);
            if apart <= 0.0 {
                // Within the box of a place it is within all above.
                break;
            }
            score = apart / (depth as f64 + 1.0) + (1.0 - apart) * score;
        }
        score * (total + 1.0).log2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn depth(nodes: &[Node], rows: &[f32], columns: usize, row: &[f32]) -> usize {
        let (mut at, mut depth) = (0, 0);
        while nodes[at].column != LEAF {
            at = if row[nodes[at].column as usize] <= nodes[at].cut {
                nodes[at].left
            } else {
                nodes[at].right
            } as usize;
            depth += 1;
        }
        let leaf = &rows[nodes[at].left as usize * columns..][..columns];
        assert_eq!(leaf, row);
        depth
    }

    /// Without putting rows in, the score is the mean over trees that were grown with them.
    #[test]
    fn scores_are_what_growing_anew_would_give() {
        let mut random = StdRng::seed_from_u64(3);
        let columns = 2;
        let rows: Vec<f32> = (0..32).map(|_| random.random_range(-1.0..1.0)).collect();
        for row in [[0.1_f32, 0.2], [3.0, -2.0], [1.1, 0.0]] {
            let (mut expected, mut got) = (0.0, 0.0);
            // The mean of so many has an error of about half a hundredth.
            let rounds = 30_000;
            for _ in 0..rounds {
                let tree = Tree::grow(rows.clone(), columns, &mut random);
                got += tree.score(&row, &mut Vec::new());
                let with = [&rows[..], &row[..]].concat();
                let grown = Tree::grow(with.clone(), columns, &mut random);
                expected += 17.0_f64.log2() / depth(&grown.nodes, &with, columns, &row) as f64;
            }
            let (expected, got) = (expected / f64::from(rounds), got / f64::from(rounds));
            assert!(
                (got / expected - 1.0).abs() < 0.03,
                "{row:?}: {got} {expected}"
            );
        }
    }

    #[test]
    fn rows_lie_in_their_leaves_and_boxes() {
        let mut random = StdRng::seed_from_u64(4);
        let rows: Vec<f32> = (0..150).map(|at| ((at * 7) % 40) as f32).collect();
        let tree = Tree::grow(rows.clone(), 3, &mut random);
        assert_eq!(tree.masses[0], 50.0);
        for row in rows.chunks_exact(3) {
            depth(&tree.nodes, &rows, 3, row);
            assert_eq!(tree.apart(0, row), 0.0);
        }
        let alike = Tree::grow(vec![1.0; 12], 2, &mut random);
        assert_eq!(alike.nodes.len(), 1);
        assert!(
            alike.score(&[1.0, 1.0], &mut Vec::new()) < alike.score(&[2.0, 1.0], &mut Vec::new())
        );
    }
}
