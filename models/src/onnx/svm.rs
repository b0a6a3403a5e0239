//! `SVMClassifier` and `SVMRegressor`: sums over kernels of a row and the support vectors (libsvm's).

use super::Meaning;
use super::labels::Classes;
use super::linear::{classify, dot, each_row};
use super::operator::{Kind, Made, Operator};
use super::scores::{Transform, largest, logistic};
use super::value::{Call, Value};
use crate::graph::Result;
use crate::graph::onnx::wire::Node;

/// How alike two rows are.
#[derive(Clone, Copy)]
enum Kernel {
    Linear,
    /// `(gamma x·y + offset)^degree`
    Poly,
    /// `e^(-gamma |x - y|²)`
    Rbf,
    /// `tanh(gamma x·y + offset)`
    Sigmoid,
}

/// The support vectors.
struct Support {
    kernel: Kernel,
    gamma: f32,
    offset: f32,
    degree: f32,
    /// `[vectors, columns]`
    vectors: Vec<f32>,
    columns: usize,
}

impl Support {
    fn read(node: &Node<'_>, count: usize) -> Result<Self> {
        let kernel = match node.text("kernel_type") {
            None | Some("LINEAR") => Kernel::Linear,
            Some("POLY") => Kernel::Poly,
            Some("RBF") => Kernel::Rbf,
            Some("SIGMOID") => Kernel::Sigmoid,
            Some(other) => return Err(node.unsupported(format!("kernel_type {other}"))),
        };
        let [gamma, offset, degree] = match *node.floats("kernel_params") {
            [gamma, offset, degree, ..] => [gamma, offset, degree],
            [] => [0.0; 3],
            _ => return Err(node.unsupported("fewer than three kernel_params")),
        };
        let vectors = node.floats("support_vectors").to_vec();
        if count == 0 || vectors.is_empty() || !vectors.len().is_multiple_of(count) {
            let numbers = vectors.len();
            return Err(node.unsupported(format!("{numbers} numbers of {count} vectors")));
        }
        Ok(Self {
            kernel,
            gamma,
            offset,
            degree,
            columns: vectors.len() / count,
            vectors,
        })
    }

    /// The kernels of a row and all support vectors.
    fn kernels(&self, row: &[f32]) -> Vec<f32> {
        let vectors = self.vectors.chunks_exact(self.columns);
        let kernel = |vector: &[f32]| match self.kernel {
            Kernel::Linear => dot(row, vector),
            Kernel::Poly => (self.gamma * dot(row, vector) + self.offset).powf(self.degree),
            Kernel::Sigmoid => (self.gamma * dot(row, vector) + self.offset).tanh(),
            Kernel::Rbf => {
                let pairs = row.iter().zip(vector);
                let distance: f32 = pairs.map(|(x, y)| (x - y) * (x - y)).sum();
                (-self.gamma * distance).exp()
            }
        };
        vectors.map(kernel).collect()
    }

    fn bytes(&self) -> u64 {
        4 * self.vectors.len() as u64
    }
}

struct Regressor {
    /// Absent where the coefficients are those of the columns.
    support: Option<Support>,
    coefficients: Vec<f32>,
    rho: f32,
    /// Whether only the sign is asked: 1 or -1.
    one_class: bool,
}

/// Reads an `SVMRegressor`.
pub(super) fn regressor(node: &Node<'_>) -> Result<Made> {
    let coefficients = node.floats("coefficients").to_vec();
    let count = usize::try_from(node.integer("n_supports", 0)).unwrap_or(0);
    let support = match count {
        0 => None,
        count => Some(Support::read(node, count)?),
    };
    let &[rho, ..] = node.floats("rho") else {
        return Err(node.unsupported("there is no rho"));
    };
    if coefficients.is_empty() || (count > 0 && coefficients.len() != count) {
        let given = coefficients.len();
        return Err(node.unsupported(format!("{given} coefficients of {count} vectors")));
    }
    if Transform::read(node)? != Transform::None {
        return Err(node.unsupported("a post_transform"));
    }
    let regressor = Regressor {
        support,
        coefficients,
        rho,
        one_class: node.integer("one_class", 0) != 0,
    };
    Ok(Made::one(regressor, Kind::Numbers, Meaning::Numbers))
}

impl Operator for Regressor {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let columns = self.support.as_ref().map(|support| support.columns);
        let table = call.table_of(inputs, columns.unwrap_or(self.coefficients.len()))?;
        each_row(call, &table, 1, |row, result| {
            let sum = match &self.support {
                Some(support) => dot(&support.kernels(row), &self.coefficients),
                None => dot(row, &self.coefficients),
            };
            let sum = sum + self.rho;
            result[0] = match self.one_class {
                true if sum > 0.0 => 1.0,
                true => -1.0,
                false => sum,
            };
        })
    }

    fn bytes(&self) -> u64 {
        4 * self.coefficients.len() as u64 + self.support.as_ref().map_or(0, Support::bytes)
    }
}

/// A classifier with one sum for every pair of classes.
struct Pairs {
    support: Support,
    /// Support vectors of each class, one class after the other: where each begins, and the end.
    starts: Vec<usize>,
    /// `[classes - 1, vectors]`
    coefficients: Vec<f32>,
    /// One for each pair.
    rho: Vec<f32>,
    /// Slope and offset that make a probability of each pair's sum.
    probabilities: Option<Vec<[f32; 2]>>,
    classes: usize,
}

/// Probabilities of pairs stay this far from none and all.
const LEAST: f32 = 1e-7;
/// Rounds in which probabilities of classes are found at most, and how exact they are.
const ROUNDS: usize = 100;
const EXACT: f32 = 0.005;

impl Pairs {
    fn read(node: &Node<'_>, classes: usize) -> Result<Self> {
        let counts = node.integers("vectors_per_class").unwrap_or(&[]);
        let mut starts = vec![0usize];
        for &count in counts {
            let before = starts.last().copied().unwrap_or(0);
            let after = usize::try_from(count).ok();
            let after = after.and_then(|count| before.checked_add(count));
            starts.push(after.ok_or_else(|| node.unsupported(format!("{count} vectors")))?);
        }
        let vectors = starts.last().copied().unwrap_or(0);
        let support = Support::read(node, vectors)?;
        let coefficients = node.floats("coefficients").to_vec();
        let rho = node.floats("rho").to_vec();
        let [slopes, offsets] = ["prob_a", "prob_b"].map(|name| node.floats(name));
        let pairs = classes * (classes.max(1) - 1) / 2;
        let fits = classes >= 2
            && counts.len() == classes
            && (classes - 1).checked_mul(vectors) == Some(coefficients.len())
            && rho.len() == pairs
            && slopes.len() == offsets.len()
            && (slopes.is_empty() || slopes.len() == pairs);
        if !fits {
            return Err(node.unsupported(format!("other numbers of vectors for {classes} classes")));
        }
        let probabilities = slopes.iter().zip(offsets).map(|(&a, &b)| [a, b]);
        let probabilities: Vec<[f32; 2]> = probabilities.collect();
        Ok(Self {
            support,
            starts,
            coefficients,
            rho,
            probabilities: (!probabilities.is_empty()).then_some(probabilities),
            classes,
        })
    }

    fn count(&self) -> usize {
        self.rho.len()
    }

    /// The sums of all pairs, and how many pairs each class wins.
    fn sums(&self, row: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let kernels = self.support.kernels(row);
        let vectors = kernels.len();
        let part = |line: usize, class: usize| {
            let of_class = self.starts[class]..self.starts[class + 1];
            let line = &self.coefficients[line * vectors..][..vectors];
            let pairs = line[of_class.clone()].iter().zip(&kernels[of_class]);
            pairs
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum::<f64>()
        };
        let mut sums = Vec::with_capacity(self.count());
        let mut won = vec![0f32; self.classes];
        for first in 0..self.classes {
            for second in first + 1..self.classes {
                let rho = f64::from(self.rho[sums.len()]);
                let sum = part(second - 1, first) + part(first, second) + rho;
                won[if sum > 0.0 { first } else { second }] += 1.0;
                sums.push(sum as f32);
            }
        }
        (sums, won)
    }

    /// Probabilities of classes that fit those of the pairs best (Wu, Lin and Weng 2004, the second method).
    fn coupled(&self, sums: &[f32], fits: &[[f32; 2]], shares: &mut [f32]) {
        let classes = self.classes;
        let mut pairs = vec![0f32; classes * classes];
        let mut of = sums.iter().zip(fits);
        for first in 0..classes {
            for second in first + 1..classes {
                let Some((sum, [slope, offset])) = of.next() else {
                    return;
                };
                let share = 1.0 - logistic(sum * slope + offset);
                let share = share.clamp(LEAST, 1.0 - LEAST);
                pairs[first * classes + second] = share;
                pairs[second * classes + first] = 1.0 - share;
            }
        }
        let pair = |first: usize, second: usize| pairs[first * classes + second];
        let mut weights = vec![0f32; classes * classes];
        for i in 0..classes {
            for j in (0..classes).filter(|&j| j != i) {
                weights[i * classes + i] += pair(j, i) * pair(j, i);
                weights[i * classes + j] = -pair(j, i) * pair(i, j);
            }
        }
        shares.fill(1.0 / classes as f32);
        for _ in 0..ROUNDS {
            let mut products: Vec<f32> = weights
                .chunks(classes)
                .map(|line| line.iter().zip(&*shares).map(|(w, p)| w * p).sum())
                .collect();
            let mut whole: f32 = products.iter().zip(&*shares).map(|(w, p)| w * p).sum();
            let errors = products.iter().map(|product| (product - whole).abs());
            if errors.fold(0.0, f32::max) < EXACT / classes as f32 {
                break;
            }
            for class in 0..classes {
                let own = weights[class * classes + class];
                let step = (whole - products[class]) / own;
                shares[class] += step;
                let grown = 1.0 + step;
                whole = (whole + step * (step * own + 2.0 * products[class])) / grown / grown;
                for other in 0..classes {
                    let weight = weights[class * classes + other];
                    products[other] = (products[other] + step * weight) / grown;
                    shares[other] /= grown;
                }
            }
        }
    }
}

struct Classifier {
    machine: Machine,
    labels: Classes,
    transform: Transform,
}

enum Machine {
    Pairs(Pairs),
    /// One sum of the columns for each class, `[classes, columns]`, and what is added to all.
    Linear(Vec<f32>, usize, f32),
}

/// Reads an `SVMClassifier`.
pub(super) fn classifier(node: &Node<'_>) -> Result<Made> {
    let classes = Classes::read(node, "classlabels_ints", "classlabels_strings")?;
    let transform = Transform::read(node)?;
    let with_vectors = node
        .integers("vectors_per_class")
        .is_some_and(|counts| counts.iter().any(|&count| count != 0));
    let machine = if with_vectors {
        Machine::Pairs(Pairs::read(node, classes.len())?)
    } else {
        let coefficients = node.floats("coefficients").to_vec();
        let (Some(&rho), true) = (
            node.floats("rho").first(),
            classes.len() > 2
                && !coefficients.is_empty()
                && coefficients.len().is_multiple_of(classes.len()),
        ) else {
            return Err(node.unsupported("these coefficients without support vectors"));
        };
        Machine::Linear(coefficients, classes.len(), rho)
    };
    if let (Machine::Pairs(pairs), Transform::Probit) = (&machine, transform)
        && pairs.count() == 1
        && pairs.probabilities.is_none()
    {
        return Err(node.unsupported("the probit of one sum for two classes"));
    }
    let facts = classes.facts();
    let classifier = Classifier {
        machine,
        labels: classes,
        transform,
    };
    Ok(Made::new(classifier, facts))
}

impl Classifier {
    /// Columns of a row, and scores.
    fn sizes(&self) -> (usize, usize) {
        match &self.machine {
            Machine::Linear(coefficients, classes, _) => (coefficients.len() / classes, *classes),
            Machine::Pairs(pairs) => {
                let scores = match (&pairs.probabilities, pairs.count()) {
                    (Some(_), _) => pairs.classes,
                    (None, 1) => 2,
                    (None, count) => count,
                };
                (pairs.support.columns, scores)
            }
        }
    }
}

impl Operator for Classifier {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let (columns, width) = self.sizes();
        let table = call.table_of(inputs, columns)?;
        classify(call, &self.labels, &table, width, |row, scores| {
            let pairs = match &self.machine {
                Machine::Pairs(pairs) => pairs,
                Machine::Linear(coefficients, _, rho) => {
                    let lines = coefficients.chunks_exact(columns);
                    for (score, line) in scores.iter_mut().zip(lines) {
                        *score = dot(row, line) + rho;
                    }
                    let chosen = largest(scores);
                    self.transform.apply(scores);
                    return chosen as u32;
                }
            };
            let (sums, won) = pairs.sums(row);
            match (&pairs.probabilities, sums.as_slice()) {
                (Some(fits), sums) => {
                    pairs.coupled(sums, fits, scores);
                    self.transform.apply(scores);
                }
                (None, &[sum]) => {
                    let share = self.transform != Transform::None;
                    scores.copy_from_slice(&self.transform.pair(sum, share));
                }
                (None, sums) => {
                    scores.copy_from_slice(sums);
                    self.transform.apply(scores);
                }
            }
            largest(&won) as u32
        })
    }

    fn bytes(&self) -> u64 {
        let machine = match &self.machine {
            Machine::Linear(coefficients, ..) => 4 * coefficients.len() as u64,
            Machine::Pairs(pairs) => pairs.support.bytes() + 4 * pairs.coefficients.len() as u64,
        };
        machine + self.labels.bytes()
    }
}
