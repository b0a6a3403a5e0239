//! Weights as kernels want them.

use crate::graph::Node;
use crate::graph::op::{Conv, Op};
use crate::kernels::window::MapFilter;
use crate::kernels::winograd::WinogradFilter;
use crate::kernels::{Isa, PackedMatrix};

/// A node's weights as its kernel wants them.
pub(crate) enum Packed {
    None,
    Dense(PackedMatrix),
    /// One a group of channels, or one a row of a transposed convolution's window.
    Several(Vec<PackedMatrix>),
    Depthwise(MapFilter),
    Winograd(WinogradFilter),
}

/// Whether a convolution is made by tiles ([`winograd`](crate::kernels::winograd)): its weights say so, whatever the maps.
pub(crate) fn by_tiles(conv: &Conv) -> bool {
    let window = &conv.window;
    let shape = conv.weights.shape();
    window.size == [3, 3]
        && window.strides == [1, 1]
        && window.dilations == [1, 1]
        && conv.groups == 1
        && WinogradFilter::suits(shape[1], shape[0])
}

/// Weights below this count as zero. Trained-away filters have weights near or below the smallest normal number;
/// arithmetic with subnormal numbers takes a hundred times as long, and no sum of others notices them.
const DEAD: f32 = 1e-30;

fn alive(weight: f32) -> f32 {
    if weight.abs() < DEAD { 0.0 } else { weight }
}

impl Packed {
    /// Packs the weights of a node.
    pub(crate) fn new(node: &Node, isa: Isa) -> Self {
        let living = |values: &[f32]| -> Vec<f32> { values.iter().map(|&v| alive(v)).collect() };
        match &node.op {
            Op::Linear(linear) => {
                let (k, n) = (linear.weights.shape()[0], linear.weights.shape()[1]);
                let weights = linear.weights.data();
                let bias = living(&linear.bias);
                Self::Dense(PackedMatrix::pack(n, k, &bias, isa, |row, column| {
                    alive(weights[row * n + column])
                }))
            }
            Op::Conv(conv) => {
                let shape = conv.weights.shape();
                let (outputs, depth, down, right) = (shape[0], shape[1], shape[2], shape[3]);
                let (weights, bias) = (&living(conv.weights.data()), living(&conv.bias));
                if conv.groups > 1 && depth == 1 && outputs == conv.groups {
                    return Self::Depthwise(MapFilter::new(weights, &bias, [down, right], isa));
                }
                if by_tiles(conv) {
                    let filter = WinogradFilter::new(weights, &bias, outputs, depth, isa);
                    return Self::Winograd(filter);
                }
                let own = outputs / conv.groups;
                // The order in which a channels-last window is read: row, column, channel.
                let group = |group: usize| {
                    let bias = &bias[group * own..(group + 1) * own];
                    PackedMatrix::pack(own, depth * down * right, bias, isa, |k, output| {
                        let (y, x, channel) = (k / depth / right, k / depth % right, k % depth);
                        let filter = group * own + output;
                        weights[((filter * depth + channel) * down + y) * right + x]
                    })
                };
                if conv.groups == 1 && conv.window.dilations == [1, 1] {
                    Self::Dense(group(0))
                } else {
                    Self::Several((0..conv.groups).map(group).collect())
                }
            }
            Op::Deconv(deconv) => {
                let shape = deconv.weights.shape();
                let (inputs, outputs, down, right) = (shape[0], shape[1], shape[2], shape[3]);
                let weights = living(deconv.weights.data());
                let bias = living(&deconv.bias).repeat(right);
                let row = |y: usize| {
                    PackedMatrix::pack(right * outputs, inputs, &bias, isa, |channel, column| {
                        let (x, output) = (column / outputs, column % outputs);
                        weights[((channel * outputs + output) * down + y) * right + x]
                    })
                };
                Self::Several((0..down).map(row).collect())
            }
            _ => Self::None,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Dense(matrix) => matrix.bytes(),
            Self::Several(matrices) => matrices.iter().map(PackedMatrix::bytes).sum(),
            Self::Depthwise(filter) => filter.bytes(),
            Self::Winograd(filter) => filter.bytes(),
        }
    }
}
