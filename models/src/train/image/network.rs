//! The network forwards and backwards for one image.
//!
//! Parameters are numbered as [`parameters`] lists them: a weight and its bias for each convolution, in the order in which
//! an image meets them, the layer for the classes last.

use super::augment::Change;
use super::layers::{Depthwise, Frame, Linear, Stem};
use crate::efficientnet::{BlockShape, FEATURES, LAST, SIDE, STEM, blocks, folded, same_padding};
use crate::error::{Error, Result};
use crate::kernels::convolution::{SLACK, add_columns, relu6_backward};
use crate::kernels::{Activation, AlignedVec, Isa};
use crate::team::Team;
use crate::train::adapter::Head;
use crate::train::classifier::Learned;
use crate::train::loss::Loss;
use crate::train::ops::dropout_factors;
use escala_weights::Tensors;
use std::sync::{Mutex, PoisonError};

/// Side of the image with its frame.
pub(super) const FRAMED: usize = SIDE + 1;
/// Side and pixels of the last map.
pub(super) const FINAL: usize = 7 * 7;
/// Pixels that go through the layers of a block together, so that they are still in the cache.
const GROUP: usize = 112;
/// Names of the last layer.
pub(super) const LAYER: &str = "_fc";

/// A convolution: its name and its normalisation's, and its shape.
pub(super) struct Convolution {
    pub name: String,
    norm: String,
    pub shape: [usize; 4],
}

/// All convolutions, in the order in which an image meets them.
pub(super) fn convolutions() -> Vec<Convolution> {
    let convolution = |name: &str, norm: &str, shape| Convolution {
        name: name.to_owned(),
        norm: norm.to_owned(),
        shape,
    };
    let mut all = vec![convolution("_conv_stem", "_bn0", [STEM, 3, 3, 3])];
    for (index, block) in blocks().iter().enumerate() {
        let inner = block.inner();
        let at = |name: &str, norm: &str, shape| {
            let of = |name: &str| format!("_blocks.{index}.{name}");
            convolution(&of(name), &of(norm), shape)
        };
        if block.expand > 1 {
            all.push(at("_expand_conv", "_bn0", [inner, block.inputs, 1, 1]));
        }
        let filter = [inner, 1, block.side, block.side];
        all.push(at("_depthwise_conv", "_bn1", filter));
        all.push(at("_project_conv", "_bn2", [block.outputs, inner, 1, 1]));
    }
    all.push(convolution("_conv_head", "_bn1", [FEATURES, LAST, 1, 1]));
    all
}

/// The network's parameters, read as [`folded`] reads them, and the layer that was learned before.
pub(super) fn parameters(tensors: &Tensors, head: &Head) -> Result<Vec<Learned>> {
    let mut all = Vec::new();
    let mut add = |name: &str, shape: &[usize], weight, bias| {
        all.push((format!("{name}.weight"), shape.to_vec(), weight));
        all.push((format!("{name}.bias"), vec![shape[0]], bias));
    };
    for Convolution { name, norm, shape } in convolutions() {
        let found = folded(tensors, &name, &norm, shape)?;
        add(&name, &shape, found.weight, found.bias);
    }
    let classes = head.bias.len();
    if classes < 2 || head.weight.len() != classes * FEATURES {
        return Err(Error::unsupported(format!(
            "a layer of {} weights for {classes} classes and {FEATURES} features",
            head.weight.len()
        )));
    }
    let shape = [classes, FEATURES];
    add(LAYER, &shape, head.weight.clone(), head.bias.clone());
    Ok(all)
}

/// Numbers that learn.
pub(super) fn count(classes: usize) -> usize {
    let convolutions: usize = convolutions()
        .iter()
        .map(|c| c.shape.iter().product::<usize>() + c.shape[0])
        .sum();
    convolutions + classes * (FEATURES + 1)
}

/// The network with the parameters of a step.
pub(super) struct Network {
    stem: Stem,
    blocks: Vec<Block>,
    head: Linear,
    layer: Linear,
    isa: Isa,
    /// Elements of each parameter.
    lengths: Vec<usize>,
}

struct Block {
    shape: BlockShape,
    expand: Option<Linear>,
    depthwise: Depthwise,
    project: Linear,
    /// Numbers of the weights.
    numbers: Numbers,
}

/// Which parameters a block's layers have: the weights'; a bias follows its weight.
#[derive(Clone, Copy)]
struct Numbers {
    expand: Option<usize>,
    depthwise: usize,
    project: usize,
}

/// Buffers of one image: what its way forwards leaves for its way back, and what that adds up.
pub(super) struct Workspace {
    /// The framed image.
    image: AlignedVec,
    blocks: Vec<Maps>,
    /// The last convolution, after ReLU6.
    head: AlignedVec,
    /// What the layer reads, after dropout.
    features: Vec<f32>,
    factors: Vec<f32>,
    /// Gradients of a block's result and of its input, of a group of pixels, and spread for a depthwise convolution.
    grads: [Vec<f32>; 2],
    group: Vec<f32>,
    spread: AlignedVec,
    /// The gradients of all parameters, added up over images. Those of filters are in the order in which layers read
    /// them until [`gathered`].
    gradients: Vec<Vec<f32>>,
}

/// What a block leaves.
struct Maps {
    /// What the depthwise convolution reads, framed.
    framed: AlignedVec,
    depthwise: AlignedVec,
    out: AlignedVec,
}

#[cfg(test)]
impl Workspace {
    /// The mean of the features of the last image.
    pub(super) fn features_mean(&self) -> f64 {
        let sum: f64 = self.features[..FEATURES]
            .iter()
            .map(|x| f64::from(*x))
            .sum();
        sum / FEATURES as f64
    }
}

/// What is left out of an image's features.
#[derive(Clone, Copy)]
pub(super) struct Dropout {
    pub rate: f32,
    pub seed: u64,
}

/// Elements of the buffers of one image, without the parameters' gradients.
fn activations() -> usize {
    let mut side = SIDE / 2;
    let (mut sum, mut most) = (FRAMED * FRAMED * 3 + 2 * FINAL * FEATURES, [0; 3]);
    for block in blocks() {
        let (frame, output) = framed(side, &block);
        let inner = block.inner();
        sum += frame.len(inner) + output * output * (inner + block.outputs);
        let sizes = [
            2 * output * output * block.outputs,
            group(side, inner).max(group(output, inner)),
            (side + block.side - 1) * (side + block.side - 1) * inner,
        ];
        most.iter_mut()
            .zip(sizes)
            .for_each(|(most, size)| *most = size.max(*most));
        side = output;
    }
    sum + most.iter().sum::<usize>()
}

/// Bytes of a member's buffers.
pub(super) fn workspace_bytes(classes: usize) -> u64 {
    ((activations() + count(classes)) * size_of::<f32>()) as u64
}

/// Rows of a map of this width that go together.
fn group_rows(width: usize) -> usize {
    (GROUP / width).max(1)
}

/// Values of a group.
fn group(width: usize, channels: usize) -> usize {
    group_rows(width).min(width) * width * channels
}

/// The framed map that a block's depthwise convolution reads where its input has `side`, and the side of its output.
pub(super) fn framed(side: usize, block: &BlockShape) -> (Frame, usize) {
    let (before, after, output) = same_padding(side, block.side, block.stride);
    let frame = Frame {
        inside: side,
        before,
        side: before + side + after,
    };
    (frame, output)
}

impl Network {
    /// The network with `values` of the parameters, packed by `team`.
    ///
    /// # Errors
    /// When there is no kernel for a filter, or the values are not those of [`parameters`].
    pub fn new(values: &[Vec<f32>], team: &Team) -> Result<Self> {
        let isa = Isa::best();
        let shapes = convolutions();
        if values.len() != 2 * shapes.len() + 2 {
            return Err(Error::unsupported("other parameters than the network's"));
        }
        let weight = |number: usize| (values[number].as_slice(), values[number + 1].as_slice());
        // The products are packed by all members, one layer each: most of a step's work that is not an image's.
        let linears: Vec<Mutex<Option<Linear>>> =
            (0..=shapes.len()).map(|_| Mutex::new(None)).collect();
        team.for_each(linears.len(), |index| {
            let pointwise = shapes
                .get(index)
                .is_none_or(|c| c.shape[2] == 1 && index > 0);
            if pointwise {
                let (weight, bias) = weight(2 * index);
                let linear = Linear::new(weight, bias, isa);
                *linears[index]
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(linear);
            }
        });
        let mut linears = linears
            .into_iter()
            .map(|linear| linear.into_inner().unwrap_or_else(PoisonError::into_inner));
        let mut next = || {
            linears
                .next()
                .flatten()
                .ok_or_else(|| Error::unsupported("a convolution is missing"))
        };
        let stem = Stem::new(weight(0).0, weight(0).1, FRAMED, isa);
        let _ = next();
        let (mut packed, mut side, mut number) = (Vec::new(), SIDE / 2, 2);
        for shape in blocks() {
            let expand = (shape.expand > 1).then_some(number);
            let depthwise = number + if shape.expand > 1 { 2 } else { 0 };
            let numbers = Numbers {
                expand,
                depthwise,
                project: depthwise + 2,
            };
            let (frame, output) = framed(side, &shape);
            let expand = expand.map(|_| next()).transpose()?;
            let _ = next();
            packed.push(Block {
                shape,
                expand,
                depthwise: Depthwise::new(
                    weight(depthwise),
                    (shape.side, shape.stride),
                    frame,
                    output,
                    isa,
                )
                .map_err(|error| Error::unsupported(error.to_string()))?,
                project: next()?,
                numbers,
            });
            (side, number) = (output, depthwise + 4);
        }
        Ok(Self {
            stem,
            blocks: packed,
            head: next()?,
            layer: next()?,
            isa,
            lengths: values.iter().map(Vec::len).collect(),
        })
    }

    /// Classes of the layer.
    pub fn classes(&self) -> usize {
        self.layer.outputs
    }

    /// Buffers for an image, with gradients of zero.
    pub fn workspace(&self) -> Workspace {
        let slack = |len: usize| AlignedVec::zeroed(len + SLACK);
        let map = |most: &dyn Fn(&Block) -> usize| {
            let all = self.blocks.iter().map(most).max();
            all.unwrap_or(0)
        };
        let out = |block: &Block| block.pixels() * block.shape.outputs;
        let widest = map(&|block| {
            let inner = block.shape.inner();
            let group = |side| group(side, inner);
            group(block.depthwise.input.inside).max(group(block.depthwise.output))
        });
        let spread = map(&|block| block.depthwise.spread().len(block.shape.inner()));
        Workspace {
            image: slack(FRAMED * FRAMED * 3),
            blocks: self
                .blocks
                .iter()
                .map(|block| {
                    let inner = block.shape.inner();
                    Maps {
                        framed: AlignedVec::zeroed(block.depthwise.input.len(inner)),
                        depthwise: slack(block.pixels() * inner),
                        out: slack(out(block)),
                    }
                })
                .collect(),
            head: AlignedVec::zeroed(FINAL * FEATURES),
            features: vec![0.0; FEATURES + SLACK],
            factors: vec![1.0; FEATURES],
            grads: [vec![0.0; map(&out)], vec![0.0; map(&out)]],
            group: vec![0.0; widest.max(FINAL * FEATURES)],
            spread: AlignedVec::zeroed(spread),
            gradients: self.lengths.iter().map(|&len| vec![0.0; len]).collect(),
        }
    }

    /// The scores of `image` `[SIDE, SIDE, 3]` before the softmax.
    pub fn forward(
        &self,
        image: &[f32],
        change: Change,
        dropout: Option<Dropout>,
        w: &mut Workspace,
    ) -> Vec<f32> {
        let row = FRAMED * 3;
        for y in 0..SIDE {
            change.row(image, y, &mut w.image[y * row..][..SIDE * 3]);
        }
        for (index, block) in self.blocks.iter().enumerate() {
            let (before, rest) = w.blocks.split_at_mut(index);
            match before.last() {
                Some(before) => block.expand(&before.out, &mut rest[0].framed),
                None => block.framed_rows(&mut rest[0].framed, |y, out| {
                    self.stem.forward(&w.image, y, out, Activation::Relu6);
                }),
            }
            block.contract(before.last().map(|before| &*before.out), &mut rest[0]);
        }
        if let Some(last) = w.blocks.last() {
            self.head
                .forward(&last.out, &mut w.head, Activation::Relu6, None);
        }
        let features = &mut w.features[..FEATURES];
        features.fill(0.0);
        // SAFETY: the instruction set was detected.
        unsafe { add_columns(self.isa, &w.head, features) };
        match dropout {
            Some(Dropout { rate, seed }) if rate > 0.0 => {
                dropout_factors(rate, seed, 0, &mut w.factors);
            }
            _ => w.factors.fill(1.0),
        }
        for (feature, factor) in features.iter_mut().zip(&w.factors) {
            *feature *= factor / FINAL as f32;
        }
        let mut scores = vec![0.0; self.classes()];
        self.layer
            .forward(features, &mut scores, Activation::None, None);
        scores
    }

    /// Learns from an image with `targets`: adds `share` of its gradients to the workspace's, and returns its loss and the
    /// probabilities.
    pub fn learn(
        &self,
        (image, targets, loss): (&[f32], &[f32], &Loss),
        share: f32,
        change: Change,
        dropout: Option<Dropout>,
        w: &mut Workspace,
    ) -> (f64, Vec<f32>) {
        let probabilities = loss.probabilities(&self.forward(image, change, dropout, w));
        let mut grad = loss.gradient(&probabilities, targets);
        grad.iter_mut().for_each(|grad| *grad *= share);
        self.backward(&grad, w);
        match grad.iter().all(|grad| grad.is_finite()) {
            true => (loss.of(&probabilities, targets), probabilities),
            false => (f64::NAN, probabilities),
        }
    }

    fn backward(&self, grad: &[f32], w: &mut Workspace) {
        let layer = w.gradients.len() - 2;
        self.layer
            .add_gradient(grad, &w.features, &mut w.gradients[layer]);
        w.gradients[layer + 1]
            .iter_mut()
            .zip(grad)
            .for_each(|(sum, grad)| *sum += grad);
        let pixels = &mut w.group[..FINAL * FEATURES];
        let (first, rest) = pixels.split_at_mut(FEATURES);
        self.layer.backward(grad, first, None);
        for (grad, factor) in first.iter_mut().zip(&w.factors) {
            *grad *= factor / FINAL as f32;
        }
        rest.chunks_exact_mut(FEATURES)
            .for_each(|pixel| pixel.copy_from_slice(first));
        let head = layer - 2;
        // SAFETY: the instruction set was detected.
        unsafe { relu6_backward(self.isa, &w.head, pixels, &mut w.gradients[head + 1]) };
        let [mut to, mut from] = w.grads.each_mut();
        if let Some(last) = w.blocks.last() {
            self.head
                .add_gradient(pixels, &last.out, &mut w.gradients[head]);
            self.head.backward(pixels, &mut to[..FINAL * LAST], None);
        }
        for (index, block) in self.blocks.iter().enumerate().rev() {
            std::mem::swap(&mut to, &mut from);
            let (before, maps) = w.blocks.split_at(index);
            let back = Back {
                isa: self.isa,
                maps: &maps[0],
                grad: &from[..block.pixels() * block.shape.outputs],
                group: &mut w.group,
                spread: &mut w.spread,
                gradients: &mut w.gradients,
            };
            match (before.last(), &block.expand) {
                (Some(before), Some(expand)) => block.backward(back, |back, rows, y| {
                    let (x, side) = (&before.out[..], block.depthwise.input.inside);
                    let from = y * side * expand.inputs;
                    let values = rows.len() / expand.outputs * expand.inputs;
                    let number = block.numbers.expand.unwrap_or(0);
                    expand.add_gradient(rows, &x[from..], &mut back.gradients[number]);
                    let residual = block.shape.residual().then(|| &back.grad[from..]);
                    expand.backward(rows, &mut to[from..][..values], residual);
                }),
                _ => block.backward(back, |back, rows, y| {
                    let width = block.depthwise.input.inside * block.shape.inner();
                    for (line, rows) in rows.chunks_exact(width).enumerate() {
                        let sums = &mut back.gradients[0];
                        self.stem.add_gradient(&w.image, y + line, rows, sums);
                    }
                }),
            }
        }
    }
}

/// What a block's way back works on.
struct Back<'a> {
    isa: Isa,
    maps: &'a Maps,
    /// The gradient of the block's result.
    grad: &'a [f32],
    group: &'a mut [f32],
    spread: &'a mut [f32],
    gradients: &'a mut [Vec<f32>],
}

impl Block {
    /// Pixels of the result.
    fn pixels(&self) -> usize {
        self.depthwise.output * self.depthwise.output
    }

    /// Calls `fill(y, row)` for the rows of the map inside the frame, which stays zero.
    fn framed_rows(&self, framed: &mut [f32], mut fill: impl FnMut(usize, &mut [f32])) {
        let (frame, inner) = (self.depthwise.input, self.shape.inner());
        for y in 0..frame.inside {
            fill(y, &mut framed[frame.at(y, inner)..][..frame.inside * inner]);
        }
    }

    fn expand(&self, x: &[f32], framed: &mut [f32]) {
        let Some(expand) = &self.expand else { return };
        let row = self.depthwise.input.inside * expand.inputs;
        self.framed_rows(framed, |y, out| {
            expand.forward(&x[y * row..], out, Activation::Relu6, None);
        });
    }

    /// From the framed map to the block's result, a group of rows at a time; `x` is the block's input.
    fn contract(&self, x: Option<&[f32]>, maps: &mut Maps) {
        let (side, inner, outputs) = (
            self.depthwise.output,
            self.shape.inner(),
            self.shape.outputs,
        );
        for first in (0..side).step_by(group_rows(side)) {
            let rows = group_rows(side).min(side - first);
            let group = &mut maps.depthwise[first * side * inner..][..rows * side * inner];
            for (line, row) in group.chunks_exact_mut(side * inner).enumerate() {
                self.depthwise
                    .forward(&maps.framed, first + line, row, Activation::Relu6);
            }
            let at = first * side * outputs;
            let out = &mut maps.out[at..][..rows * side * outputs];
            let residual = x.filter(|_| self.shape.residual()).map(|x| &x[at..]);
            self.project.forward(group, out, Activation::None, residual);
        }
    }

    /// From the gradient of the block's result to that of the framed map's inside, whose rows `further(back, rows, y)`
    /// gets from row `y`.
    fn backward(&self, back: Back<'_>, mut further: impl FnMut(&mut Back<'_>, &[f32], usize)) {
        let mut back = back;
        let (inner, outputs) = (self.shape.inner(), self.shape.outputs);
        let Numbers {
            expand,
            depthwise,
            project,
        } = self.numbers;
        let side = self.depthwise.output;
        for first in (0..side).step_by(group_rows(side)) {
            let rows = group_rows(side).min(side - first);
            let grad = &back.grad[first * side * outputs..][..rows * side * outputs];
            let at = first * side * inner;
            let group = &mut back.group[..rows * side * inner];
            self.project.backward(grad, group, None);
            let seen = &back.maps.depthwise[at..];
            self.project
                .add_gradient(grad, seen, &mut back.gradients[project]);
            // SAFETY: the instruction set was detected.
            unsafe {
                add_columns(back.isa, grad, &mut back.gradients[project + 1]);
                let sums = &mut back.gradients[depthwise + 1];
                relu6_backward(back.isa, &seen[..group.len()], group, sums);
            }
            for (line, row) in group.chunks_exact(side * inner).enumerate() {
                let y = first + line;
                let sums = &mut back.gradients[depthwise];
                self.depthwise.add_gradient(&back.maps.framed, y, row, sums);
                self.depthwise.spread_row(y, Some(row), back.spread);
            }
        }
        self.depthwise.spread_row(side, None, back.spread);
        let frame = self.depthwise.input;
        // Where nothing expands, what was framed is the first convolution's.
        let bias = expand.unwrap_or(0) + 1;
        let taken = std::mem::take(&mut back.group);
        for first in (0..frame.inside).step_by(group_rows(frame.inside)) {
            let rows = group_rows(frame.inside).min(frame.inside - first);
            let width = frame.inside * inner;
            let group = &mut taken[..rows * width];
            for (line, row) in group.chunks_exact_mut(width).enumerate() {
                let y = first + line;
                self.depthwise.backward(back.spread, y, row);
                let seen = &back.maps.framed[frame.at(y, inner)..][..width];
                // SAFETY: the instruction set was detected.
                unsafe { relu6_backward(back.isa, seen, row, &mut back.gradients[bias]) };
            }
            further(&mut back, group, first);
        }
    }
}

/// The gradients that all members added up, in the order of members, as the parameters lie in files; the members' are zero
/// afterwards.
pub(super) fn gathered(workspaces: &mut [&mut Workspace], team: &Team) -> Vec<Vec<f32>> {
    let shapes = convolutions();
    let count = workspaces.first().map_or(0, |w| w.gradients.len());
    let mut parts: Vec<Vec<Vec<f32>>> = (0..count).map(|_| Vec::new()).collect();
    for workspace in workspaces.iter_mut() {
        for (part, gradient) in parts.iter_mut().zip(workspace.gradients.drain(..)) {
            part.push(gradient);
        }
    }
    let slots: Vec<_> = parts
        .into_iter()
        .map(|part| Mutex::new((part, Vec::new())))
        .collect();
    team.for_each(count, |number| {
        let mut slot = slots[number].lock().unwrap_or_else(PoisonError::into_inner);
        let (parts, sum) = &mut *slot;
        let Some((first, others)) = parts.split_first_mut() else {
            return;
        };
        for other in others {
            for (sum, more) in first.iter_mut().zip(other.iter_mut()) {
                *sum += std::mem::take(more);
            }
        }
        let shape = shapes.get(number / 2).map(|c| c.shape);
        *sum = match shape {
            _ if number == 0 => {
                let mut sum = vec![0.0; first.len()];
                let under = first.len() / STEM;
                for (sum, read) in sum.chunks_exact_mut(under).zip(first.chunks_exact(under)) {
                    for (at, value) in read.iter().enumerate() {
                        sum[Stem::in_file(at)] = *value;
                    }
                }
                sum
            }
            // [taps, channels] -> [channels, taps]
            Some([channels, 1, side, _]) if side > 1 && number % 2 == 0 => (0..first.len())
                .map(|at| first[at % (side * side) * channels + at / (side * side)])
                .collect(),
            _ => first.clone(),
        };
        first.fill(0.0);
    });
    let mut sums = Vec::with_capacity(count);
    for slot in slots {
        let (parts, sum) = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (workspace, part) in workspaces.iter_mut().zip(parts) {
            workspace.gradients.push(part);
        }
        sums.push(sum);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::efficientnet::INPUT;
    use escala_weights::{Silent, Store, StoreOptions};
    use serde_json::Value;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/");

    /// The loss, the scores and the gradients of the two images of `image_tuning.json` together, on two members.
    #[test]
    fn gradients_are_pytorchs() {
        let text = std::fs::read_to_string(format!("{GOLDEN}image_tuning.json")).expect("golden");
        let golden: Value = serde_json::from_str(&text).expect("json");
        let store = Store::open(StoreOptions::default()).expect("store");
        let files = store
            .ensure("efficientnet-lite0", &Silent)
            .expect("weights");
        let tensors = Tensors::open(files.path("model.safetensors").expect("path"));
        let head = Head {
            weight: (0..3 * FEATURES)
                .map(|at| ((0.37 * at as f64).sin() * 0.05) as f32)
                .collect(),
            bias: vec![0.1, 0.0, -0.1],
        };
        let parameters = parameters(&tensors.expect("tensors"), &head).expect("parameters");
        let values: Vec<Vec<f32>> = parameters.iter().map(|(_, _, v)| v.clone()).collect();
        assert_eq!(values.iter().map(Vec::len).sum::<usize>(), count(3));
        let team = Team::new(2);
        let network = Network::new(&values, &team).expect("a network");
        let (mut loss, mut workspaces) = (0.0, Vec::new());
        for (index, item) in golden["images"]
            .as_array()
            .expect("images")
            .iter()
            .enumerate()
        {
            let file = item["file"].as_str().expect("a name");
            let image = image::open(format!("{GOLDEN}{file}")).expect("an image");
            let pixels: Vec<f32> = image
                .into_rgb8()
                .into_raw()
                .into_iter()
                .map(|x| (f32::from(x) - 127.0) / 128.0)
                .collect();
            assert_eq!(pixels.len(), INPUT);
            let mut workspace = network.workspace();
            let scores = network.forward(&pixels, Change::NONE, None, &mut workspace);
            let want: Vec<f32> =
                serde_json::from_value(golden["logits"][index].clone()).expect("scores");
            for (got, want) in scores.iter().zip(&want) {
                assert!((got - want).abs() < 1e-3, "{got} instead of {want}");
            }
            let class = item["class"].as_u64().expect("a class") as usize;
            // Twice: the second adds to the first, and buffers that were used are as good as new ones.
            for _ in 0..2 {
                let mut targets = [0.0; 3];
                targets[class] = 1.0;
                let image = (&pixels[..], &targets[..], &Loss::Softmax);
                let (one, _) = network.learn(image, 0.25, Change::NONE, None, &mut workspace);
                loss += one / 4.0;
            }
            workspaces.push(workspace);
        }
        assert!((loss - golden["loss"].as_f64().expect("loss")).abs() < 1e-4);
        let mut each: Vec<&mut Workspace> = workspaces.iter_mut().collect();
        let gradients = gathered(&mut each, &team);
        let wanted = golden["parameters"].as_array().expect("parameters");
        assert_eq!(gradients.len(), wanted.len());
        for ((gradient, (name, _, _)), want) in gradients.iter().zip(&parameters).zip(wanted) {
            assert_eq!(name, want["name"].as_str().expect("a name"));
            let number = |key: &str| want[key].as_f64().expect("a number");
            let squares = gradient.iter().map(|&g| f64::from(g) * f64::from(g));
            let length = squares.sum::<f64>().sqrt();
            // PyTorch's own single precision is `error` away from its double precision, up to 2e-3: where a value lies
            // next to a bound of ReLU6, it passes or not.
            let within = number("length") * 5e-3;
            assert!(
                (length - number("length")).abs() < within,
                "{name}: a length of {length} instead of {}",
                number("length")
            );
            // Sums weighted by waves over the index: of other values, or of the same in another order, they would be
            // about as far off as the gradient is long.
            let wave = |of: &dyn Fn(f64) -> f64| -> f64 {
                let weighted = gradient.iter().enumerate();
                weighted.map(|(at, &g)| f64::from(g) * of(at as f64)).sum()
            };
            let waves = [wave(&|at| (0.61 * at).cos()), wave(&|at| (0.37 * at).sin())];
            for (index, got) in waves.iter().enumerate() {
                let want = want["waves"][index].as_f64().expect("a number");
                assert!(
                    (got - want).abs() < within,
                    "{name}: {got} instead of {want}"
                );
            }
        }
        // What was gathered is gone.
        let rest = gathered(&mut each, &team);
        assert!(rest.iter().flatten().all(|&g| g == 0.0));
    }

    #[test]
    fn buffers_take_what_is_said_of_them() {
        let held = workspace_bytes(10) as f64;
        // 26 MB of activations, 13.6 MB of gradients, a depthwise gradient that is spread over a large map.
        assert!((40e6..60e6).contains(&held), "{held}");
    }
}
