//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`: what becomes of the votes of a [`Forest`].
//!
//! The operator set says little about two classes. What is done here is what ONNX Runtime does, for which files are
//! written: see [`Ending::two`].

use super::Meaning;
use super::forest::{Forest, Vote, numbers};
use super::labels::Classes;
use super::operator::{Kind, Made, Operator};
use super::scores::Transform;
use super::value::{Call, Data, Value};
use crate::graph::Result;
use crate::graph::onnx::wire::Node;

/// How the votes for a target go together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

impl Aggregate {
    /// Adds a vote to what is there (zero at first); `seen` says whether anything is.
    fn add(self, score: &mut f32, seen: &mut bool, weight: f32) {
        let first = !std::mem::replace(seen, true);
        *score = match self {
            Self::Sum | Self::Average => *score + weight,
            _ if first => weight,
            Self::Min => score.min(weight),
            Self::Max => score.max(weight),
        };
    }
}

/// The most targets of a regression.
const TARGETS: usize = 1 << 20;

struct Regressor {
    forest: Forest,
    targets: usize,
    aggregate: Aggregate,
    /// One for each target.
    base: Vec<f32>,
    transform: Transform,
}

/// Reads a `TreeEnsembleRegressor`.
pub(super) fn regressor(node: &Node<'_>) -> Result<Made> {
    let targets = usize::try_from(node.integer("n_targets", 1)).unwrap_or(0);
    if targets > TARGETS {
        return Err(node.unsupported(format!("{targets} targets")));
    }
    let aggregate = match node.text("aggregate_function") {
        None | Some("SUM") => Aggregate::Sum,
        Some("AVERAGE") => Aggregate::Average,
        Some("MIN") => Aggregate::Min,
        Some("MAX") => Aggregate::Max,
        Some(other) => return Err(node.unsupported(format!("aggregate_function {other}"))),
    };
    let forest = Forest::read(node, "target", targets)?;
    let base = numbers(node, "base_values")?;
    if !base.is_empty() && base.len() != targets {
        let base = base.len();
        return Err(node.unsupported(format!("{base} base values of {targets} targets")));
    }
    let regressor = Regressor {
        forest,
        targets,
        aggregate,
        base,
        transform: Transform::read(node)?,
    };
    Ok(Made::one(regressor, Kind::Numbers, Meaning::Numbers))
}

impl Regressor {
    /// A target without votes has no base value either, where there are several.
    fn finish(&self, scores: &mut [f32], seen: &[bool]) {
        if self.aggregate == Aggregate::Average {
            let trees = self.forest.trees() as f32;
            scores.iter_mut().for_each(|score| *score /= trees);
        }
        let several = scores.len() > 1;
        for ((score, seen), base) in scores.iter_mut().zip(seen).zip(&self.base) {
            if *seen || !several {
                *score += base;
            }
        }
        match scores {
            [score] => *score = self.transform.apply_alone(*score),
            scores => self.transform.apply(scores),
        }
    }
}

impl Operator for Regressor {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let votes = |scores: &mut [f32], seen: &mut [bool], votes: &[Vote]| {
            for vote in votes {
                let target = vote.target as usize;
                self.aggregate
                    .add(&mut scores[target], &mut seen[target], vote.weight);
            }
        };
        let done = |scores: &mut [f32], seen: &mut [bool]| {
            self.finish(scores, seen);
            0
        };
        let (_, scores) = vote(call, inputs, &self.forest, self.targets, votes, done)?;
        Ok(vec![scores])
    }

    fn bytes(&self) -> u64 {
        self.forest.bytes() + 4 * self.base.len() as u64
    }
}

/// Lets every row through the forest. `votes` takes a leaf's votes to the scores of a row, of which it is said which have
/// been set; `done` makes the answer of them and says which class it is.
fn vote(
    call: &Call<'_>,
    inputs: &[&Value],
    forest: &Forest,
    targets: usize,
    votes: impl Fn(&mut [f32], &mut [bool], &[Vote]) + Sync,
    done: impl Fn(&mut [f32], &mut [bool]) -> u32 + Sync,
) -> Result<(Vec<u32>, Value)> {
    let table = call.table(inputs, 0)?;
    if table.width < forest.columns() {
        let (has, wants) = (table.width, forest.columns());
        return Err(call.invalid(format!("rows of {has} columns where {wants} are read")));
    }
    let shape = vec![table.rows, targets];
    let mut scores = vec![0f32; call.room(&shape)?];
    let mut chosen = vec![0u32; table.rows];
    let part = Forest::part(table.width);
    let parts = table.data.chunks(part * table.width.max(1));
    let parts = parts
        .zip(scores.chunks_mut(part * targets))
        .zip(chosen.chunks_mut(part));
    call.share(parts.collect(), |((rows, scores), chosen)| {
        let mut seen = vec![false; scores.len()];
        forest.walk(rows, table.width, |row, leaf| {
            let row = row * targets..(row + 1) * targets;
            votes(&mut scores[row.clone()], &mut seen[row], leaf);
        });
        let rows = scores.chunks_mut(targets).zip(seen.chunks_mut(targets));
        for ((scores, seen), chosen) in rows.zip(chosen) {
            *chosen = done(scores, seen);
        }
    });
    Ok((chosen, Value::new(shape, Data::Numbers(scores))))
}

struct Classifier {
    forest: Forest,
    labels: Classes,
    ending: Ending,
}

/// How sums become classes and scores.
struct Ending {
    classes: usize,
    base: Vec<f32>,
    transform: Transform,
    /// Whether all votes are for one of two classes.
    one_sided: bool,
    /// Whether no vote is below zero: sums are shares of one then.
    shares: bool,
}

/// Reads a `TreeEnsembleClassifier`.
pub(super) fn classifier(node: &Node<'_>) -> Result<Made> {
    let classes = Classes::read(node, "classlabels_int64s", "classlabels_strings")?;
    let forest = Forest::read(node, "class", classes.len())?;
    let ids = node.integers("class_ids").unwrap_or(&[]);
    let ending = Ending {
        classes: classes.len(),
        base: numbers(node, "base_values")?,
        transform: Transform::read(node)?,
        one_sided: classes.len() == 2 && ids.windows(2).all(|two| two[0] == two[1]),
        shares: numbers(node, "class_weights")?
            .iter()
            .all(|&weight| weight >= 0.0),
    };
    let base = ending.base.len();
    if base != 0 && base != classes.len() && (base, classes.len()) != (1, 2) {
        let classes = classes.len();
        return Err(node.unsupported(format!("{base} base values of {classes} classes")));
    }
    let alone = ending.one_sided && ids.first() == Some(&0);
    if alone && ending.transform == Transform::Probit {
        return Err(node.unsupported("the probit of one sum for two classes"));
    }
    // Of numbers, ONNX Runtime answers 0 and 1 here, whatever the two classes are.
    let labels = match &classes {
        Classes::Whole(_) if classes.len() <= 2 && !ending.one_sided => classes.no_and_yes(),
        Classes::Texts(names) if names.len() == 1 => classes.no_and_yes(),
        _ => classes.clone(),
    };
    let facts = classes.facts();
    let classifier = Classifier {
        forest,
        labels,
        ending,
    };
    Ok(Made::new(classifier, facts))
}

impl Ending {
    /// The scores of a row, and which class it is.
    fn finish(&self, scores: &mut [f32], seen: &mut [bool]) -> u32 {
        match scores {
            [score] => {
                *score += self.base.first().copied().unwrap_or(0.0);
                let yes = *score > 0.0;
                *score = self.transform.apply_alone(*score);
                u32::from(yes)
            }
            [no, yes] => self.two(no, yes, [seen[0], seen[1]]),
            scores => {
                for ((score, seen), base) in scores.iter_mut().zip(&mut *seen).zip(&self.base) {
                    *score += base;
                    *seen = true;
                }
                let mut best: Option<usize> = None;
                for class in 0..scores.len() {
                    if seen[class] && best.is_none_or(|best| scores[class] > scores[best]) {
                        best = Some(class);
                    }
                }
                self.transform.apply(scores);
                best.unwrap_or(0) as u32
            }
        }
    }

    /// Two classes. With votes for the first class only, the sum is the second one's: its share of one when no vote is
    /// below zero, else its sign decides. With votes for the second (too), that sum decides. Two base values are added
    /// to the first sum only, when there are votes for the second.
    fn two(&self, no: &mut f32, yes: &mut f32, seen: [bool; 2]) -> u32 {
        let mut alone = false;
        match (self.base.as_slice(), seen[1]) {
            (&[_, base], true) => {
                *yes = base + *no;
                *no = if seen[0] { -*yes } else { 0.0 };
            }
            (&[base, _], false) => {
                if seen[0] {
                    *no += base;
                }
            }
            (base, second) => {
                if let (Some(base), true) = (base.first(), seen[0]) {
                    *no += base;
                }
                alone = !second;
            }
        }
        let sum = if seen[1] { *yes } else { *no };
        let line = if self.one_sided && self.shares {
            0.5
        } else {
            0.0
        };
        if alone && self.one_sided {
            [*no, *yes] = self.transform.pair(sum, self.shares);
        } else {
            let mut scores = [*no, *yes];
            self.transform.apply(&mut scores);
            [*no, *yes] = scores;
        }
        u32::from(sum > line)
    }
}

impl Operator for Classifier {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let votes = |scores: &mut [f32], seen: &mut [bool], votes: &[Vote]| {
            for vote in votes {
                let class = vote.target as usize;
                scores[class] += vote.weight;
                seen[class] = true;
            }
        };
        let done = |scores: &mut [f32], seen: &mut [bool]| self.ending.finish(scores, seen);
        let (chosen, scores) = vote(call, inputs, &self.forest, self.ending.classes, votes, done)?;
        Ok(vec![self.labels.labels(call, &chosen)?, scores])
    }

    fn bytes(&self) -> u64 {
        self.forest.bytes() + self.labels.bytes()
    }
}
