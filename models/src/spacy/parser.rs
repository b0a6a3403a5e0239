//! Dependencies and sentences: a greedy arc-eager parser that may also break sentences and take back a
//! shift (Honnibal & Johnson 2015, "An improved non-monotonic transition system for dependency parsing").
//!
//! Reference: `spacy/pipeline/_parser_internals/{arc_eager.pyx,_state.pxd,nonproj.pyx}` of spaCy 3.8. Arcs
//! that cross others were lifted for training and are put back afterwards by their labels: `x||y` is an `x`
//! whose head is a `y` below the head that was found.

use super::transitions::{Scorer, read_moves};
use crate::error::{Error, Result};
use crate::kernels::simd::Isa;
use escala_weights::Tensors;
use std::ops::Range;
use std::path::Path;

/// Words a state is described by.
const SLOTS: usize = 8;
/// Separates the two labels of a lifted arc.
const LIFTED: &str = "||";
/// Most passes over a document whose arcs cross, to find how far subtrees reach.
const EDGE_PASSES: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Shift,
    Reduce,
    Left,
    Right,
    Break,
}

pub(crate) struct Parser {
    scorer: Scorer,
    moves: Vec<(Kind, String)>,
}

/// The tree over a document's words; one for each sentence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// Head of each word; its own index for a root.
    pub(crate) heads: Vec<usize>,
    pub(crate) labels: Vec<String>,
    /// Probability of the move that attached each word, or that left it a root.
    pub(crate) scores: Vec<f32>,
    /// First word of each word's subtree.
    pub(crate) left_edges: Vec<usize>,
    /// Last word of each word's subtree.
    pub(crate) right_edges: Vec<usize>,
    /// Whether each word begins a sentence.
    pub(crate) starts: Vec<bool>,
}

/// What the moves work on.
struct State {
    words: usize,
    stack: Vec<usize>,
    /// Words taken back from the stack, the next one last.
    returned: Vec<usize>,
    /// First word that was never on the stack.
    next: usize,
    heads: Vec<Option<usize>>,
    /// Move that made the arc to the head.
    moves: Vec<usize>,
    scores: Vec<f32>,
    /// Whether a word was taken back and may not be shifted again.
    unshiftable: Vec<bool>,
    /// The child that was last attached on each side, and before it.
    left: Children,
    right: Children,
    starts: Vec<bool>,
}

/// Children of every word in the order of attachment, as linked lists from the last.
struct Children {
    last: Vec<Option<usize>>,
    before: Vec<Option<usize>>,
}

impl Children {
    fn new(words: usize) -> Self {
        Self {
            last: vec![None; words],
            before: vec![None; words],
        }
    }

    fn add(&mut self, head: usize, child: usize) {
        self.before[child] = self.last[head];
        self.last[head] = Some(child);
    }

    /// Only the last child is ever attached elsewhere: a head below on the stack has no later children.
    fn remove_last(&mut self, head: usize, child: usize) {
        if self.last[head] == Some(child) {
            self.last[head] = self.before[child];
        }
    }
}

impl State {
    fn new(words: usize) -> Self {
        Self {
            words,
            stack: Vec::new(),
            returned: Vec::new(),
            next: 0,
            heads: vec![None; words],
            moves: vec![0; words],
            scores: vec![0.0; words],
            unshiftable: vec![false; words],
            left: Children::new(words),
            right: Children::new(words),
            starts: vec![false; words],
        }
    }

    fn stacked(&self, depth: usize) -> Option<usize> {
        self.stack.iter().rev().nth(depth).copied()
    }

    fn buffered(&self, ahead: usize) -> Option<usize> {
        match self.returned.iter().rev().nth(ahead) {
            Some(&word) => Some(word),
            None => Some(self.next + ahead - self.returned.len()).filter(|&w| w < self.words),
        }
    }

    fn slots(&self) -> [Option<usize>; SLOTS] {
        let (b0, s0) = (self.buffered(0), self.stacked(0));
        [
            b0,
            self.buffered(1),
            s0,
            self.stacked(1),
            self.stacked(2),
            b0.and_then(|w| self.left.last[w]),
            s0.and_then(|w| self.left.last[w]),
            s0.and_then(|w| self.right.last[w]),
        ]
    }

    /// Which kinds of move the state allows, by their number.
    fn allowed(&self) -> [bool; 5] {
        let stacked = !self.stack.is_empty();
        let (b0, b1) = (self.buffered(0), self.buffered(1));
        let starts = b0.is_some_and(|w| self.starts[w]);
        let arc = stacked && b0.is_some() && !starts;
        let shift =
            b0.is_some_and(|b0| !stacked || (b1.is_some() && !starts && !self.unshiftable[b0]));
        let breaks = matches!((b0, b1), (Some(b0), Some(b1)) if b1 == b0 + 1 && !self.starts[b1]);
        [shift, stacked, arc, arc, breaks]
    }

    fn push(&mut self) {
        let word = match self.returned.pop() {
            Some(word) => word,
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        self.stack.push(word);
    }

    fn attach(&mut self, head: usize, child: usize, index: usize, probability: f32) {
        if let Some(old) = self.heads[child] {
            let side = if old > child {
                &mut self.left
            } else {
                &mut self.right
            };
            side.remove_last(old, child);
        }
        let side = if head > child {
            &mut self.left
        } else {
            &mut self.right
        };
        side.add(head, child);
        self.heads[child] = Some(head);
        self.moves[child] = index;
        self.scores[child] = probability;
    }

    fn apply(&mut self, kind: Kind, index: usize, probability: f32) {
        match (kind, self.stacked(0), self.buffered(0)) {
            (Kind::Shift, _, Some(_)) => self.push(),
            (Kind::Reduce, Some(s0), _) => {
                self.stack.pop();
                if self.heads[s0].is_none() {
                    if self.stack.is_empty() {
                        self.scores[s0] = probability;
                    } else {
                        self.unshiftable[s0] = true;
                        self.returned.push(s0);
                    }
                }
            }
            (Kind::Left, Some(s0), Some(b0)) => {
                self.attach(b0, s0, index, probability);
                self.unshiftable[b0] = false;
                self.stack.pop();
            }
            (Kind::Right, Some(s0), Some(b0)) => {
                self.attach(s0, b0, index, probability);
                self.push();
            }
            (Kind::Break, _, _) => {
                if let Some(b1) = self.buffered(1) {
                    self.starts[b1] = true;
                }
            }
            // `allowed` lets no such move through.
            _ => {}
        }
    }
}

impl Parser {
    pub(crate) fn load(folder: &Path, isa: Isa) -> Result<Self> {
        let moves = read_moves(&folder.join("parser.json"))?
            .into_iter()
            .map(|(kind, label)| {
                let kind = match kind {
                    0 => Kind::Shift,
                    1 => Kind::Reduce,
                    2 => Kind::Left,
                    3 => Kind::Right,
                    4 => Kind::Break,
                    _ => return Err(Error::unsupported(format!("parser move of kind {kind}"))),
                };
                Ok((kind, label))
            })
            .collect::<Result<Vec<_>>>()?;
        let tensors = Tensors::open(folder.join("parser.safetensors"))?;
        Ok(Self {
            scorer: Scorer::load(&tensors, SLOTS, moves.len(), isa)?,
            moves,
        })
    }

    /// Parses the words with these vectors; `is_space` tells which are white space.
    pub(crate) fn parse(&self, vectors: &[f32], is_space: &[bool]) -> Tree {
        let words = is_space.len();
        let mut features = self.scorer.features(vectors);
        let mut state = State::new(words);
        // A word is pushed twice at most between two arcs and starts one sentence, so this is never
        // reached; it keeps a document finite whatever the weights say.
        let limit = 16 * words + 16;
        for _ in 0..limit {
            if state.stack.is_empty() && state.buffered(0).is_none() {
                break;
            }
            let allowed = state.allowed();
            let choice = features.choose(&state.slots(), |i| allowed[self.moves[i].0 as usize]);
            let Some(choice) = choice else { break };
            state.apply(self.moves[choice.index].0, choice.index, choice.probability);
        }
        let mut tree = Tree {
            heads: (0..words).map(|i| state.heads[i].unwrap_or(i)).collect(),
            labels: (0..words)
                .map(|i| match state.heads[i] {
                    Some(_) => self.moves[state.moves[i]].1.clone(),
                    None => "ROOT".to_owned(),
                })
                .collect(),
            scores: state.scores,
            ..Tree::default()
        };
        tree.find_edges();
        tree.put_back(is_space);
        tree.find_edges();
        tree.starts = vec![false; words];
        for i in 0..words {
            if tree.heads[i] == i {
                tree.starts[tree.left_edges[i]] = true;
            }
        }
        tree
    }

    pub(crate) fn memory(&self) -> u64 {
        self.scorer.memory() + self.moves.len() as u64 * 64
    }
}

impl Tree {
    /// Ranges of words, one a sentence.
    pub(crate) fn sentences(&self) -> Vec<Range<usize>> {
        let words = self.starts.len();
        let firsts = (1..words).filter(|&i| self.starts[i]);
        let mut sentences = Vec::new();
        let mut start = 0;
        for end in firsts.chain([words]) {
            if start < end {
                sentences.push(start..end);
            }
            start = end;
        }
        sentences
    }

    /// How far each subtree reaches. Where arcs cross, a pass in each direction may not be enough, and the
    /// passes go on until every head is inside of its child's sentence.
    fn find_edges(&mut self) {
        let words = self.heads.len();
        self.left_edges = (0..words).collect();
        self.right_edges = (0..words).collect();
        for _ in 0..EDGE_PASSES {
            for i in 0..words {
                self.widen(i);
            }
            for i in (0..words).rev() {
                self.widen(i);
            }
            if self.heads_are_inside() {
                return;
            }
        }
    }

    /// Makes a head's subtree reach as far as its child's.
    fn widen(&mut self, child: usize) {
        let head = self.heads[child];
        self.left_edges[head] = self.left_edges[head].min(self.left_edges[child]);
        self.right_edges[head] = self.right_edges[head].max(self.right_edges[child]);
    }

    /// The reference's test, with its treatment of the last word.
    fn heads_are_inside(&self) -> bool {
        let words = self.heads.len();
        let mut starts = vec![false; words];
        for i in 0..words {
            if self.heads[i] == i {
                starts[self.left_edges[i]] = true;
            }
        }
        let mut start = 0;
        for (end, &first) in starts.iter().enumerate() {
            if (end > 0 && first) || end + 1 == words {
                if (start..end).any(|i| self.heads[i] < start || self.heads[i] > end) {
                    return false;
                }
                start = end;
            }
        }
        true
    }

    /// Puts lifted arcs back.
    fn put_back(&mut self, is_space: &[bool]) {
        if !self.labels.iter().any(|label| label.contains(LIFTED)) {
            return;
        }
        let words = self.heads.len();
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); words];
        for (child, &head) in self.heads.iter().enumerate() {
            if head != child {
                children[head].push(child);
            }
        }
        for i in 0..words {
            let Some((label, wanted)) = self.labels[i].split_once(LIFTED) else {
                continue;
            };
            let found = self.find_below(&children, i, wanted, is_space);
            let label = label.to_owned();
            let (old, new) = (self.heads[i], found.unwrap_or(self.heads[i]));
            if old != new {
                children[old].retain(|&child| child != i);
                let at = children[new].partition_point(|&child| child < i);
                children[new].insert(at, i);
                self.heads[i] = new;
            }
            self.labels[i] = label;
        }
    }

    /// The first word labelled `wanted` below `word`'s head, level by level and from left to right.
    fn find_below(
        &self,
        children: &[Vec<usize>],
        word: usize,
        wanted: &str,
        is_space: &[bool],
    ) -> Option<usize> {
        let mut level = vec![self.heads[word]];
        while !level.is_empty() {
            let mut next = Vec::new();
            for &parent in &level {
                let reach = self.left_edges[parent]..=self.right_edges[parent];
                for &child in &children[parent] {
                    if is_space[child] || child == word || !reach.contains(&child) {
                        continue;
                    }
                    if self.labels[child] == wanted {
                        return Some(child);
                    }
                    next.push(child);
                }
            }
            level = next;
        }
        None
    }
}
