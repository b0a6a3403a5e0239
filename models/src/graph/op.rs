//! The operations of a graph.

use super::{Error, Result, Tensor};
use std::sync::Arc;

/// An operation. What it reads is said with each; `axis` may be negative and counts from the end then.
#[derive(Clone, Debug)]
pub enum Op {
    /// `[x]` or `[x, residual]`, channels last.
    Conv(Conv),
    /// Transposed convolution `[x]`, channels last.
    Deconv(Deconv),
    /// `[x]` or `[x, residual]`: a product over the last axis.
    Linear(Linear),
    /// `[x]`: a function of every element.
    Map(Function),
    /// `[left, right]`, broadcast against each other.
    Arithmetic(Arithmetic),
    /// `[x]`, channels last.
    Pool(Pool),
    /// `[x]` or `[x, axes]`.
    Reduce(Reduce),
    /// `[x]`
    Softmax {
        /// What sums to one.
        axis: isize,
    },
    /// `[left, right]`: products of the last two axes, the others broadcast.
    MatMul,
    /// `[x]`: where the largest element is (the first of equals).
    ArgMax {
        /// What is searched.
        axis: isize,
        /// Whether the axis stays, with size one.
        keep: bool,
    },
    /// `[x]`: axis `i` of the result is axis `order[i]`. Empty: all reversed.
    Transpose(Vec<usize>),
    /// `[x, shape]`; one size may be -1.
    Reshape {
        /// Whether a size of 0 means the size of `x` there.
        keep_zeros: bool,
    },
    /// `[x]`: drops axes of size one; all of them when empty.
    Squeeze(Vec<isize>),
    /// `[x]`: inserts axes of size one.
    Unsqueeze(Vec<isize>),
    /// `[x, ...]`
    Concat {
        /// What grows.
        axis: isize,
    },
    /// `[x]` or `[x, sizes]`; without sizes equal parts, as many as there are results.
    Split {
        /// What is cut.
        axis: isize,
    },
    /// `[x, starts, ends]` and optionally `axes`, `steps`.
    Slice,
    /// `[x, amounts]`: amounts before each axis, then after each.
    Pad {
        /// What is put there.
        value: f32,
    },
    /// `[x, target]`, channels last.
    Resize(Resize),
    /// `[x, indices]`
    Gather {
        /// What is indexed.
        axis: isize,
    },
    /// `[x, indices]`: the last axis of `indices` addresses the first axes of `x`.
    GatherNd,
    /// `[x]`: its dimensions.
    Shape,
    /// `[indices, shape, values, default]`; constants only.
    SparseToDense,
    /// `[x]`: the last axes with mean 0 and variance 1, then scaled and shifted.
    Normalise(Normalise),
    /// `[x, count]`: the largest elements in their order, and where they are. Of equals the first comes first.
    TopK {
        /// What is searched.
        axis: isize,
        /// The largest, or the smallest.
        largest: bool,
    },
    /// `[x, indices]`: for every index the element that is there along the axis, elsewhere at the index's own place.
    GatherElements {
        /// What is indexed.
        axis: isize,
    },
    /// `[x, indices, updates]`: `x` with other values where the last axis of `indices` says.
    ScatterNd,
    /// `[condition, x, y]`, broadcast: `x` where the condition is not zero, else `y`.
    Where,
    /// `[x, shape]`: repeated along axes of size one and new ones before.
    Expand,
    /// `[x, repeats]`: that many of it side by side along every axis.
    Tile,
    /// `[start, limit, step]`: numbers from the start on, before the limit. All must be known before the run.
    Range,
    /// `[x]`: every element is the sum of those up to it.
    CumulativeSum {
        /// Along what is summed.
        axis: isize,
    },
    /// `[x, grid]`, `x` channels last, the grid `[batch, height, width, 2]` in -1..1 (right, down).
    GridSample(GridSample),
    /// `[values, boxes, offsets, weights]`: see [`Deformable`].
    Deformable(Deformable),
}

impl Op {
    /// Name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conv(_) => "Conv",
            Self::Deconv(_) => "Deconv",
            Self::Linear(_) => "Linear",
            Self::Map(function) => function.name(),
            Self::Arithmetic(_) => "Arithmetic",
            Self::Pool(_) => "Pool",
            Self::Reduce(_) => "Reduce",
            Self::Softmax { .. } => "Softmax",
            Self::MatMul => "MatMul",
            Self::ArgMax { .. } => "ArgMax",
            Self::Transpose(_) => "Transpose",
            Self::Reshape { .. } => "Reshape",
            Self::Squeeze(_) => "Squeeze",
            Self::Unsqueeze(_) => "Unsqueeze",
            Self::Concat { .. } => "Concat",
            Self::Split { .. } => "Split",
            Self::Slice => "Slice",
            Self::Pad { .. } => "Pad",
            Self::Resize(_) => "Resize",
            Self::Gather { .. } => "Gather",
            Self::GatherNd => "GatherNd",
            Self::Shape => "Shape",
            Self::SparseToDense => "SparseToDense",
            Self::Normalise(_) => "Normalise",
            Self::TopK { .. } => "TopK",
            Self::GatherElements { .. } => "GatherElements",
            Self::ScatterNd => "ScatterNd",
            Self::Where => "Where",
            Self::Expand => "Expand",
            Self::Tile => "Tile",
            Self::Range => "Range",
            Self::CumulativeSum { .. } => "CumulativeSum",
            Self::GridSample(_) => "GridSample",
            Self::Deformable(_) => "Deformable",
        }
    }
}

/// A function of one number.
#[derive(Clone, Debug, PartialEq)]
pub enum Function {
    /// The number itself.
    Identity,
    /// The number, but not outside these bounds.
    Clip {
        /// Smallest result.
        low: f32,
        /// Largest result.
        high: f32,
    },
    /// Negative numbers times this.
    Leaky(f32),
    /// Negative numbers times the slope of their channel, which is the last axis.
    Prelu(Arc<[f32]>),
    /// `clip(slope x + offset, 0, 1)`
    HardSigmoid {
        /// Factor.
        slope: f32,
        /// What is added.
        offset: f32,
    },
    /// `x clip(x + 3, 0, 6) / 6`
    HardSwish,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `x / (1 + e^-x)`
    Silu,
    /// `x/2 (1 + erf(x/sqrt 2))`
    Gelu,
    /// Hyperbolic tangent.
    Tanh,
    /// The error function.
    Erf,
    /// `e^x`
    Exp,
    /// Square root.
    Sqrt,
    /// Largest whole number that is not larger.
    Floor,
    /// Towards zero, to a whole number.
    Truncate,
    /// `scale x + shift`
    Affine {
        /// Factor.
        scale: f32,
        /// What is added.
        shift: f32,
    },
    /// GELU by the hyperbolic tangent: `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`
    GeluTanh,
    /// Negative numbers as `slope (e^x - 1)`.
    Elu(f32),
    /// `log(1 + e^x)`
    Softplus,
    /// Natural logarithm.
    Log,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// Size without sign.
    Abs,
    /// -1, 0 or 1.
    Sign,
    /// `1 / x`
    Reciprocal,
    /// Smallest whole number that is not smaller.
    Ceil,
    /// The closest whole number, the even one when there are two.
    Round,
    /// 1 where the number is zero, else 0.
    Not,
    /// 0 where the number is zero, else 1.
    IsTrue,
    /// 1 for what is not a number, else 0.
    IsNan,
}

impl Function {
    /// Not below zero.
    pub const RELU: Self = Self::Clip {
        low: 0.0,
        high: f32::INFINITY,
    };
    /// The other sign.
    pub const NEGATIVE: Self = Self::Affine {
        scale: -1.0,
        shift: 0.0,
    };
    /// Between 0 and 6.
    pub const RELU6: Self = Self::Clip {
        low: 0.0,
        high: 6.0,
    };

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Identity => "Identity",
            Self::Clip { .. } => "Clip",
            Self::Leaky(_) => "LeakyRelu",
            Self::Prelu(_) => "Prelu",
            Self::HardSigmoid { .. } => "HardSigmoid",
            Self::HardSwish => "HardSwish",
            Self::Sigmoid => "Sigmoid",
            Self::Silu => "Silu",
            Self::Gelu => "Gelu",
            Self::Tanh => "Tanh",
            Self::Erf => "Erf",
            Self::Exp => "Exp",
            Self::Sqrt => "Sqrt",
            Self::Floor => "Floor",
            Self::Truncate => "Truncate",
            Self::Affine { .. } => "Affine",
            Self::GeluTanh => "GeluTanh",
            Self::Elu(_) => "Elu",
            Self::Softplus => "Softplus",
            Self::Log => "Log",
            Self::Sin => "Sin",
            Self::Cos => "Cos",
            Self::Abs => "Abs",
            Self::Sign => "Sign",
            Self::Reciprocal => "Reciprocal",
            Self::Ceil => "Ceil",
            Self::Round => "Round",
            Self::Not => "Not",
            Self::IsTrue => "IsTrue",
            Self::IsNan => "IsNan",
        }
    }

    /// The function of one number (of channel `channel`).
    pub(crate) fn of(&self, x: f32, channel: usize) -> f32 {
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        match self {
            Self::Identity => x,
            // What is not a number stays so.
            Self::Clip { low, high } => {
                let x = if x < *low { *low } else { x };
                if x > *high { *high } else { x }
            }
            Self::Leaky(slope) => x.max(0.0) + slope * x.min(0.0),
            Self::Prelu(slopes) => {
                let slope = slopes.get(channel).copied().unwrap_or(0.0);
                x.max(0.0) + slope * x.min(0.0)
            }
            Self::HardSigmoid { slope, offset } => (slope * x + offset).clamp(0.0, 1.0),
            Self::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::Sigmoid => sigmoid(x),
            Self::Silu => x * sigmoid(x),
            Self::Gelu => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
            Self::Tanh => x.tanh(),
            Self::Erf => erf(x),
            Self::Exp => x.exp(),
            Self::Sqrt => x.sqrt(),
            Self::Floor => x.floor(),
            Self::Truncate => x.trunc(),
            Self::Affine { scale, shift } => scale * x + shift,
            Self::GeluTanh => {
                let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
            Self::Elu(slope) if x < 0.0 => slope * x.exp_m1(),
            Self::Elu(_) => x,
            // Without overflow: log(1 + e^x) = max(x, 0) + log(1 + e^-|x|).
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Log => x.ln(),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Abs => x.abs(),
            Self::Sign if x == 0.0 => 0.0,
            Self::Sign => x.signum(),
            Self::Reciprocal => 1.0 / x,
            Self::Ceil => x.ceil(),
            Self::Round => x.round_ties_even(),
            Self::Not => truth(x == 0.0),
            Self::IsTrue => truth(x != 0.0),
            Self::IsNan => truth(x.is_nan()),
        }
    }
}

/// What holds is 1.
fn truth(holds: bool) -> f32 {
    if holds { 1.0 } else { 0.0 }
}

/// The error function, absolute error below 2e-7 (Abramowitz and Stegun 7.1.26 in double precision).
pub(crate) fn erf(x: f32) -> f32 {
    let z = f64::from(x.abs());
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 1.061_405_429;
    for c in [-1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592] {
        p = p * t + c;
    }
    let y = 1.0 - p * t * (-z * z).exp();
    (y as f32).copysign(x)
}

/// A function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Quotient.
    Div,
    /// Power.
    Pow,
    /// The larger.
    Max,
    /// The smaller.
    Min,
    /// Quotient, rounded down.
    FloorDiv,
    /// Square of the difference.
    SquaredDifference,
    /// What a division rounded down leaves: the sign is the divisor's.
    Modulo,
    /// What a division rounded towards zero leaves: the sign is the number's.
    Remainder,
    /// 1 where both are the same, else 0.
    Equal,
    /// 1 where the left one is smaller, else 0.
    Less,
    /// 1 where the left one is not larger, else 0.
    LessOrEqual,
    /// 1 where the left one is larger, else 0.
    Greater,
    /// 1 where the left one is not smaller, else 0.
    GreaterOrEqual,
    /// 1 where neither is zero, else 0.
    And,
    /// 0 where both are zero, else 1.
    Or,
    /// 1 where exactly one is zero, else 0.
    Xor,
}

impl Arithmetic {
    /// The function.
    pub(crate) fn of(self, x: f32, y: f32) -> f32 {
        match self {
            Self::Add => x + y,
            Self::Sub => x - y,
            Self::Mul => x * y,
            Self::Div => x / y,
            Self::Pow if y == 2.0 => x * x,
            Self::Pow => x.powf(y),
            Self::Max => x.max(y),
            Self::Min => x.min(y),
            Self::FloorDiv => (x / y).floor(),
            Self::SquaredDifference => (x - y) * (x - y),
            Self::Modulo => x - (x / y).floor() * y,
            Self::Remainder => x % y,
            Self::Equal => truth(x == y),
            Self::Less => truth(x < y),
            Self::LessOrEqual => truth(x <= y),
            Self::Greater => truth(x > y),
            Self::GreaterOrEqual => truth(x >= y),
            Self::And => truth(x != 0.0 && y != 0.0),
            Self::Or => truth(x != 0.0 || y != 0.0),
            Self::Xor => truth((x != 0.0) != (y != 0.0)),
        }
    }
}

/// What surrounds a map while a window moves over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// So many before and after: `[top, left, bottom, right]`.
    Explicit([usize; 4]),
    /// As much as makes `output = ceil(input / stride)`, the odd one after.
    Same,
    /// The same, the odd one before.
    SameLower,
}

impl Padding {
    /// Nothing.
    pub const VALID: Self = Self::Explicit([0; 4]);
}

/// How a window moves over a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub size: [usize; 2],
    /// Steps down and to the right.
    pub strides: [usize; 2],
    /// Distances between what the window reads.
    pub dilations: [usize; 2],
    /// What surrounds the map.
    pub padding: Padding,
    /// Whether a last window that begins inside the map may stick out of it.
    pub ceil: bool,
}

impl Window {
    /// A square window.
    pub fn square(side: usize, stride: usize, padding: Padding) -> Self {
        Self {
            size: [side; 2],
            strides: [stride; 2],
            dilations: [1; 2],
            padding,
            ceil: false,
        }
    }

    /// `(before, after, outputs)` along an axis (0 down, 1 to the right) of `length`.
    pub(crate) fn fit(&self, axis: usize, length: usize) -> Option<(usize, usize, usize)> {
        let (size, stride, dilation) = (self.size[axis], self.strides[axis], self.dilations[axis]);
        if size == 0 || stride == 0 || dilation == 0 {
            return None;
        }
        let extent = (size - 1).checked_mul(dilation)?.checked_add(1)?;
        let (before, after) = match self.padding {
            Padding::Explicit(amounts) => (amounts[axis], amounts[axis + 2]),
            Padding::Same | Padding::SameLower => {
                let outputs = length.div_ceil(stride);
                let total = (outputs.saturating_sub(1))
                    .checked_mul(stride)?
                    .checked_add(extent)?
                    .saturating_sub(length);
                match self.padding {
                    Padding::SameLower => (total - total / 2, total / 2),
                    _ => (total / 2, total - total / 2),
                }
            }
        };
        let padded = length.checked_add(before)?.checked_add(after)?;
        let Some(room) = padded.checked_sub(extent) else {
            // A last window may stick out, and be the only one.
            let only = self.ceil && length > 0 && extent - padded < stride;
            return only.then_some((before, after, 1));
        };
        let mut outputs = if self.ceil {
            room.div_ceil(stride)
        } else {
            room / stride
        } + 1;
        // A window must begin inside the map or the padding before it.
        if self.ceil && (outputs - 1).checked_mul(stride)? >= length.checked_add(before)? {
            outputs -= 1;
        }
        Some((before, after, outputs))
    }
}

/// What happens to a sum before it is stored: `second(first(sum) + residual)`.
#[derive(Clone, Debug, PartialEq)]
pub struct After {
    pub(crate) first: Function,
    /// Whether there is a second input to add.
    pub(crate) residual: bool,
    pub(crate) second: Function,
}

impl Default for After {
    fn default() -> Self {
        Self {
            first: Function::Identity,
            residual: false,
            second: Function::Identity,
        }
    }
}

impl After {
    pub(crate) fn is_nothing(&self) -> bool {
        self.first == Function::Identity && !self.residual && self.second == Function::Identity
    }
}

/// A convolution.
#[derive(Clone, Debug)]
pub struct Conv {
    /// `[outputs, inputs / groups, height, width]`
    pub(crate) weights: Arc<Tensor>,
    /// One value an output.
    pub(crate) bias: Vec<f32>,
    pub(crate) window: Window,
    pub(crate) groups: usize,
    pub(crate) after: After,
}

impl Conv {
    /// A convolution with `[outputs, inputs / groups, height, width]` weights; the window's size is theirs.
    ///
    /// # Errors
    /// When the weights are not four-dimensional, the bias is not one value an output or the groups do not
    /// divide the outputs.
    pub fn new(
        name: &str,
        weights: Tensor,
        bias: Option<&[f32]>,
        mut window: Window,
        groups: usize,
    ) -> Result<Self> {
        let invalid = |what: String| Error::Invalid {
            node: name.to_owned(),
            what,
        };
        let &[outputs, inputs, height, width] = weights.shape() else {
            return Err(invalid(format!("weights of shape {:?}", weights.shape())));
        };
        if outputs == 0 || inputs == 0 || height == 0 || width == 0 {
            return Err(invalid(format!("weights of shape {:?}", weights.shape())));
        }
        if groups == 0 || !outputs.is_multiple_of(groups) {
            return Err(invalid(format!("{outputs} outputs in {groups} groups")));
        }
        let bias = bias.map_or_else(|| vec![0.0; outputs], <[f32]>::to_vec);
        if bias.len() != outputs {
            return Err(invalid(format!(
                "a bias of {} for {outputs} outputs",
                bias.len()
            )));
        }
        window.size = [height, width];
        for axis in 0..2 {
            // Nothing lies between the taps of a window with one.
            if window.size[axis] == 1 && window.dilations[axis] > 0 {
                window.dilations[axis] = 1;
            }
        }
        Ok(Self {
            weights: Arc::new(weights),
            bias,
            window,
            groups,
            after: After::default(),
        })
    }

    pub(crate) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Channels of the input.
    pub(crate) fn inputs(&self) -> usize {
        self.weights.shape()[1] * self.groups
    }
}

/// A transposed convolution whose windows do not overlap: the stride is the size, nothing is cut.
#[derive(Clone, Debug)]
pub struct Deconv {
    /// `[inputs, outputs, height, width]`
    pub(crate) weights: Arc<Tensor>,
    pub(crate) bias: Vec<f32>,
    pub(crate) size: [usize; 2],
    pub(crate) after: After,
}

impl Deconv {
    /// A transposed convolution with `[inputs, outputs, height, width]` weights and as large a step.
    ///
    /// # Errors
    /// When the weights are not four-dimensional or the bias is not one value an output.
    pub fn new(name: &str, weights: Tensor, bias: Option<&[f32]>) -> Result<Self> {
        let invalid = |what: String| Error::Invalid {
            node: name.to_owned(),
            what,
        };
        let shape = weights.shape().to_vec();
        let &[_, outputs, height, width] = shape.as_slice() else {
            return Err(invalid(format!("weights of shape {shape:?}")));
        };
        if shape.contains(&0) {
            return Err(invalid(format!("weights of shape {shape:?}")));
        }
        let bias = bias.map_or_else(|| vec![0.0; outputs], <[f32]>::to_vec);
        if bias.len() != outputs {
            return Err(invalid(format!(
                "a bias of {} for {outputs} outputs",
                bias.len()
            )));
        }
        Ok(Self {
            weights: Arc::new(weights),
            bias,
            size: [height, width],
            after: After::default(),
        })
    }
}

/// A product over the last axis with a bias.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[inputs, outputs]`
    pub(crate) weights: Arc<Tensor>,
    pub(crate) bias: Vec<f32>,
    pub(crate) after: After,
}

impl Linear {
    /// A product with `[inputs, outputs]` weights.
    ///
    /// # Errors
    /// When the weights are not two-dimensional or the bias is not one value an output.
    pub fn new(name: &str, weights: Arc<Tensor>, bias: Option<&[f32]>) -> Result<Self> {
        let invalid = |what: String| Error::Invalid {
            node: name.to_owned(),
            what,
        };
        let &[inputs, outputs] = weights.shape() else {
            return Err(invalid(format!("weights of shape {:?}", weights.shape())));
        };
        if inputs == 0 || outputs == 0 {
            return Err(invalid(format!("weights of shape {:?}", weights.shape())));
        }
        let bias = bias.map_or_else(|| vec![0.0; outputs], <[f32]>::to_vec);
        if bias.len() != outputs {
            return Err(invalid(format!(
                "a bias of {} for {outputs} outputs",
                bias.len()
            )));
        }
        Ok(Self {
            weights,
            bias,
            after: After::default(),
        })
    }
}

/// What a pool makes of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The largest.
    Max,
    /// The mean of what is inside the map.
    Average,
    /// The mean, what surrounds the map counting as zeros.
    AverageWithPadding,
}

/// A pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What is made of the window.
    pub kind: PoolKind,
    /// The window.
    pub window: Window,
}

/// What a reduction makes of its axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Mean.
    Mean,
    /// Sum.
    Sum,
    /// Largest.
    Max,
    /// Smallest.
    Min,
    /// Product.
    Product,
}

/// A reduction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// What is made of the axes.
    pub kind: Reduction,
    /// The axes; all when empty. Ignored where they are an input.
    pub axes: Vec<isize>,
    /// Whether they stay, with size one.
    pub keep: bool,
}

/// A normalisation of every row of the last axes to mean 0 and variance 1, then `gamma x + beta`.
#[derive(Clone, Debug)]
pub struct Normalise {
    /// How many of the last axes are one row.
    pub axes: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// One value for each of a row, or absent for 1.
    pub gamma: Option<Arc<[f32]>>,
    /// One value for each of a row, or absent for 0.
    pub beta: Option<Arc<[f32]>>,
}

/// What a grid sample takes for what lies outside the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Zero.
    Zero,
    /// The closest pixel of the map.
    Border,
}

/// Values of a map at the places of a grid: -1 and 1 are the map's edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridSample {
    /// Whether the closest pixel is taken (of two the even one), or a mix of four by distance.
    pub nearest: bool,
    /// What lies outside.
    pub outside: Outside,
    /// Whether the edges are the middles of the outermost pixels, or their outer edges.
    pub align_corners: bool,
}

/// Multi-scale deformable attention (Zhu et al., 2021), with boxes as references.
///
/// `values` is `[batch, places, heads * width]`, the places those of all maps in turn; `boxes`
/// `[batch, queries, 4]` (middle and size, as parts of the map); `offsets`
/// `[batch, queries, heads * maps * points * 2]` and `weights` `[batch, queries, heads * maps * points]`. A head
/// reads every map at `middle + offset size / (2 points)` for each of its points, between four pixels, zero
/// outside; the result is the weighted sum, `[batch, queries, heads * width]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deformable {
    /// Heads.
    pub heads: usize,
    /// Places that a head reads of each map.
    pub points: usize,
    /// Height and width of every map.
    pub maps: Vec<[usize; 2]>,
}

/// How a map is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// What is made of the neighbours.
    pub mode: ResizeMode,
    /// Where an output pixel lies in the input.
    pub coordinates: Coordinates,
    /// What the second input says.
    pub target: ResizeTarget,
}

/// What a resize makes of the neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeMode {
    /// The one at or before.
    NearestFloor,
    /// The one at or after.
    NearestCeil,
    /// The closest, the one before when there are two.
    NearestPreferFloor,
    /// The closest, the one after when there are two.
    NearestPreferCeil,
    /// A mix of four by distance.
    Linear,
}

/// Where an output pixel lies in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// `x / scale`
    Asymmetric,
    /// `(x + 1/2) / scale - 1/2`
    HalfPixel,
    /// `x (input - 1) / (output - 1)`
    AlignCorners,
}

/// What the second input of a resize says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeTarget {
    /// A factor for height and width each.
    Scales,
    /// Height and width.
    Sizes,
}
