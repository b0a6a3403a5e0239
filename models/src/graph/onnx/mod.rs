//! Reads ONNX files: what the file says (`wire.rs`), and the operations that networks use, from the operator set's
//! documentation (versions 7 to 20).
//!
//! Maps of ONNX are channels first; every spatial operation is put between two transposes, and the optimiser
//! takes them away again. Booleans are 0 and 1. Which values are whole numbers is kept in mind while reading,
//! because their division is another.

use super::op::{
    Arithmetic, Conv, Coordinates, Deconv, Function, GridSample, Normalise, Op, Outside, Padding,
    Pool, PoolKind, Reduce, Reduction, Resize, ResizeMode, ResizeTarget, Window,
};
use super::{Graph, Limits, Result, Tensor, Value};
use ranks::Ranks;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use wire::{Constant, File, Node, is_whole, malformed};

mod ranks;
pub(crate) mod wire;

/// Channels first to channels last, and back.
const LAST: [usize; 4] = [0, 2, 3, 1];
const FIRST: [usize; 4] = [0, 3, 1, 2];

/// Reads a graph.
pub(super) fn read(bytes: &[u8], limits: Limits) -> Result<Graph> {
    let file = File::read(bytes, limits)?;
    let mut importer = Importer::new(file.version);
    importer.graph.metadata = file.metadata;
    for (name, constant) in &file.body.constants {
        importer.constant(name, constant)?;
    }
    for input in &file.body.inputs {
        // Older files list their weights among the inputs.
        if !importer.values.contains_key(&input.name) {
            importer.input(&input.name, input.shape.as_deref(), input.is_whole());
        }
    }
    for node in &file.body.nodes {
        importer.node(node)?;
    }
    for output in &file.body.outputs {
        importer.output(&output.name)?;
    }
    Ok(importer.graph)
}

/// Makes a graph of a file's nodes.
pub(crate) struct Importer {
    graph: Graph,
    values: HashMap<String, Value>,
    /// Values that are whole numbers or booleans.
    whole: HashSet<Value>,
    ranks: Ranks,
    /// Of the operator set; 0 where the file does not say.
    version: u64,
}

impl Node<'_> {
    fn axis(&self, default: i64) -> isize {
        self.integer("axis", default).clamp(-64, 64) as isize
    }

    fn axes(&self) -> Option<Vec<isize>> {
        let axes = self.integers("axes")?;
        Some(
            axes.iter()
                .map(|&axis| axis.clamp(-64, 64) as isize)
                .collect(),
        )
    }

    /// Two small sizes, such as strides.
    fn two(&self, name: &str) -> Result<Option<[usize; 2]>> {
        match self.integers(name) {
            None => Ok(None),
            Some(&[down, right]) => match (small(down), small(right)) {
                (Some(down), Some(right)) => Ok(Some([down, right])),
                _ => Err(self.unsupported(format!("{name} {:?}", [down, right]))),
            },
            Some(other) => Err(self.unsupported(format!("{name} {other:?}"))),
        }
    }

    fn window(&self) -> Result<Window> {
        let padding = match self.text("auto_pad") {
            None | Some("NOTSET" | "") => match self.integers("pads") {
                None => Padding::VALID,
                Some(&[top, left, bottom, right]) => match [top, left, bottom, right].map(small) {
                    [Some(top), Some(left), Some(bottom), Some(right)] => {
                        Padding::Explicit([top, left, bottom, right])
                    }
                    _ => return Err(self.unsupported("these pads")),
                },
                Some(other) => return Err(self.unsupported(format!("pads {other:?}"))),
            },
            Some("VALID") => Padding::VALID,
            Some("SAME_UPPER") => Padding::Same,
            Some("SAME_LOWER") => Padding::SameLower,
            Some(other) => return Err(self.unsupported(format!("auto_pad {other}"))),
        };
        Ok(Window {
            size: self.two("kernel_shape")?.unwrap_or([1, 1]),
            strides: self.two("strides")?.unwrap_or([1, 1]),
            dilations: self.two("dilations")?.unwrap_or([1, 1]),
            padding,
            ceil: self.integer("ceil_mode", 0) != 0,
        })
    }
}

fn small(value: i64) -> Option<usize> {
    usize::try_from(value)
        .ok()
        .filter(|&value| value <= 1 << 16)
}

impl Importer {
    pub(crate) fn new(version: u64) -> Self {
        Self {
            graph: Graph::new(),
            values: HashMap::new(),
            whole: HashSet::new(),
            ranks: Ranks::default(),
            version,
        }
    }

    /// A tensor that the file carries. Texts are left out: a node that reads them is an error.
    pub(crate) fn constant(&mut self, name: &str, constant: &Constant) -> Result<()> {
        if let Some(tensor) = constant.tensor()? {
            let value = self.graph.shared_constant(tensor);
            if constant.is_whole() {
                self.whole.insert(value);
            }
            self.values.insert(name.to_owned(), value);
        }
        Ok(())
    }

    /// What the graph reads: its dimensions, where they are declared, and whether it is whole numbers or booleans.
    pub(crate) fn input(&mut self, name: &str, shape: Option<&[Option<usize>]>, is_whole: bool) {
        let value = self.graph.input(name, shape.unwrap_or(&[]));
        if let Some(shape) = shape {
            self.ranks.note(value, shape.len());
        }
        if is_whole {
            self.whole.insert(value);
        }
        self.values.insert(name.to_owned(), value);
    }

    /// Names a value as an output; whether it is whole numbers or booleans.
    pub(crate) fn output(&mut self, name: &str) -> Result<bool> {
        let value = self.values.get(name).copied();
        let value = value.ok_or_else(|| malformed(format!("nothing makes output `{name}`")))?;
        self.graph.output(name, value);
        Ok(self.whole.contains(&value))
    }

    pub(crate) fn finish(self) -> Graph {
        self.graph
    }

    fn value(&self, node: &Node, index: usize) -> Result<Value> {
        self.maybe(node, index)?
            .ok_or_else(|| node.unsupported(format!("input {index} is missing")))
    }

    /// An input that may be left out.
    fn maybe(&self, node: &Node, index: usize) -> Result<Option<Value>> {
        match node.inputs.get(index).map(String::as_str) {
            None | Some("") => Ok(None),
            Some(name) => self
                .values
                .get(name)
                .copied()
                .map(Some)
                .ok_or_else(|| malformed(format!("nothing makes `{name}` for `{}`", node.name))),
        }
    }

    fn known(&self, node: &Node, index: usize) -> Result<Arc<Tensor>> {
        self.graph
            .constant_of(self.value(node, index)?)
            .cloned()
            .ok_or_else(|| node.unsupported(format!("input {index} must be a constant")))
    }

    fn transposed(&mut self, node: &Node, value: Value, order: [usize; 4]) -> Value {
        self.graph
            .apply(&node.name, Op::Transpose(order.to_vec()), &[value])
    }

    /// A channels-last operation on a channels-first map.
    fn spatial(&mut self, node: &Node, op: Op, more: &[Value]) -> Result<Value> {
        let x = self.value(node, 0)?;
        let x = self.transposed(node, x, LAST);
        let inputs: Vec<Value> = std::iter::once(x).chain(more.iter().copied()).collect();
        let y = self.graph.apply(&node.name, op, &inputs);
        Ok(self.transposed(node, y, FIRST))
    }

    fn apply(&mut self, node: &Node, op: Op, inputs: usize) -> Result<Value> {
        let inputs = (0..inputs)
            .map(|index| self.value(node, index))
            .collect::<Result<Vec<_>>>()?;
        Ok(self.graph.apply(&node.name, op, &inputs))
    }

    #[allow(clippy::too_many_lines)]
    pub(crate) fn node(&mut self, node: &Node) -> Result<()> {
        let arithmetic = |arithmetic| Op::Arithmetic(arithmetic);
        let function = Op::Map;
        let result = match node.op.as_str() {
            "Identity" | "Dropout" => self.value(node, 0)?,
            "Constant" => {
                let constant = node.constant()?.tensor()?;
                let constant = constant.ok_or_else(|| node.unsupported("texts"))?;
                self.graph.shared_constant(constant)
            }
            "Conv" => {
                let weights = self.known(node, 1)?;
                let bias = match self.maybe(node, 2)? {
                    Some(_) => Some(self.known(node, 2)?),
                    None => None,
                };
                let groups = small(node.integer("group", 1)).unwrap_or(0);
                let conv = Conv::new(
                    &node.name,
                    weights.as_ref().clone(),
                    bias.as_ref().map(|bias| bias.data()),
                    node.window()?,
                    groups,
                )?;
                self.spatial(node, Op::Conv(conv), &[])?
            }
            "ConvTranspose" => {
                let weights = self.known(node, 1)?;
                let bias = match self.maybe(node, 2)? {
                    Some(_) => Some(self.known(node, 2)?),
                    None => None,
                };
                let window = node.window()?;
                let size = weights.shape().get(2..).unwrap_or(&[]);
                let apart = window.strides.as_slice() == size
                    && window.dilations == [1, 1]
                    && window.padding == Padding::VALID
                    && node.integer("group", 1) == 1
                    && node
                        .integers("output_padding")
                        .is_none_or(|pads| pads.iter().all(|&pad| pad == 0));
                if !apart || node.attributes.contains_key("output_shape") {
                    return Err(node.unsupported("windows that overlap or are cut"));
                }
                let deconv = Deconv::new(
                    &node.name,
                    weights.as_ref().clone(),
                    bias.as_ref().map(|bias| bias.data()),
                )?;
                self.spatial(node, Op::Deconv(deconv), &[])?
            }
            "BatchNormalization" => {
                let parts = (1..5)
                    .map(|index| self.known(node, index))
                    .collect::<Result<Vec<_>>>()?;
                let epsilon = node.float("epsilon", 1e-5);
                let channels = parts[0].data().len();
                if parts.iter().any(|part| part.data().len() != channels) {
                    return Err(node.unsupported("statistics of different lengths"));
                }
                let [gamma, beta, mean, variance] = [0, 1, 2, 3].map(|index| parts[index].data());
                let scale: Vec<f32> = gamma
                    .iter()
                    .zip(variance)
                    .map(|(gamma, variance)| gamma / (variance + epsilon).sqrt())
                    .collect();
                let shift = beta
                    .iter()
                    .zip(mean)
                    .zip(&scale)
                    .map(|((beta, mean), scale)| beta - mean * scale)
                    .collect();
                let x = self.value(node, 0)?;
                self.per_channel(node, x, scale, shift)?
            }
            "Relu" => self.apply(node, function(Function::RELU), 1)?,
            "LeakyRelu" => {
                let slope = node.float("alpha", 0.01);
                self.apply(node, function(Function::Leaky(slope)), 1)?
            }
            "PRelu" => {
                let slopes = self.known(node, 1)?;
                let slopes: Arc<[f32]> = slopes.data().into();
                self.spatial(node, function(Function::Prelu(slopes)), &[])?
            }
            "Clip" => self.clip(node)?,
            "HardSigmoid" => {
                let (slope, offset) = (node.float("alpha", 0.2), node.float("beta", 0.5));
                self.apply(node, function(Function::HardSigmoid { slope, offset }), 1)?
            }
            "HardSwish" => self.apply(node, function(Function::HardSwish), 1)?,
            "Sigmoid" => self.apply(node, function(Function::Sigmoid), 1)?,
            "Tanh" => self.apply(node, function(Function::Tanh), 1)?,
            "Erf" => self.apply(node, function(Function::Erf), 1)?,
            "Exp" => self.apply(node, function(Function::Exp), 1)?,
            "Sqrt" => self.apply(node, function(Function::Sqrt), 1)?,
            "Floor" => self.apply(node, function(Function::Floor), 1)?,
            "Cast" => {
                let x = self.value(node, 0)?;
                match node.integer("to", 1) {
                    // Another value: this one is not whole any more.
                    1 | 10 | 11 | 16 if self.whole.contains(&x) => {
                        self.apply(node, function(Function::Identity), 1)?
                    }
                    1 | 10 | 11 | 16 => x,
                    9 => self.apply(node, function(Function::IsTrue), 1)?,
                    to if is_whole(to) && self.whole.contains(&x) => x,
                    to if is_whole(to) => self.apply(node, function(Function::Truncate), 1)?,
                    other => return Err(node.unsupported(format!("a cast to type {other}"))),
                }
            }
            "Neg" => self.apply(node, function(Function::NEGATIVE), 1)?,
            "Abs" => self.apply(node, function(Function::Abs), 1)?,
            "Sign" => self.apply(node, function(Function::Sign), 1)?,
            "Reciprocal" => self.apply(node, function(Function::Reciprocal), 1)?,
            "Ceil" => self.apply(node, function(Function::Ceil), 1)?,
            "Round" => self.apply(node, function(Function::Round), 1)?,
            "Log" => self.apply(node, function(Function::Log), 1)?,
            "Sin" => self.apply(node, function(Function::Sin), 1)?,
            "Cos" => self.apply(node, function(Function::Cos), 1)?,
            "Not" => self.apply(node, function(Function::Not), 1)?,
            "IsNaN" => self.apply(node, function(Function::IsNan), 1)?,
            "Softplus" => self.apply(node, function(Function::Softplus), 1)?,
            "Elu" => {
                let slope = node.float("alpha", 1.0);
                self.apply(node, function(Function::Elu(slope)), 1)?
            }
            "Mish" => {
                let soft = self.apply(node, function(Function::Softplus), 1)?;
                let gate = self.graph.map(&node.name, Function::Tanh, soft);
                let x = self.value(node, 0)?;
                self.graph
                    .apply(&node.name, arithmetic(Arithmetic::Mul), &[x, gate])
            }
            "Gelu" => match node.text("approximate") {
                None | Some("none") => self.apply(node, function(Function::Gelu), 1)?,
                Some("tanh") => self.apply(node, function(Function::GeluTanh), 1)?,
                Some(other) => return Err(node.unsupported(format!("approximate {other}"))),
            },
            "Equal" => self.apply(node, arithmetic(Arithmetic::Equal), 2)?,
            "Less" => self.apply(node, arithmetic(Arithmetic::Less), 2)?,
            "LessOrEqual" => self.apply(node, arithmetic(Arithmetic::LessOrEqual), 2)?,
            "Greater" => self.apply(node, arithmetic(Arithmetic::Greater), 2)?,
            "GreaterOrEqual" => self.apply(node, arithmetic(Arithmetic::GreaterOrEqual), 2)?,
            "And" => self.apply(node, arithmetic(Arithmetic::And), 2)?,
            "Or" => self.apply(node, arithmetic(Arithmetic::Or), 2)?,
            "Xor" => self.apply(node, arithmetic(Arithmetic::Xor), 2)?,
            "Mod" if node.integer("fmod", 0) != 0 => {
                self.apply(node, arithmetic(Arithmetic::Remainder), 2)?
            }
            "Mod" => self.apply(node, arithmetic(Arithmetic::Modulo), 2)?,
            "Where" => self.apply(node, Op::Where, 3)?,
            "Expand" => self.apply(node, Op::Expand, 2)?,
            "Tile" => self.apply(node, Op::Tile, 2)?,
            "Range" => self.apply(node, Op::Range, 3)?,
            "ConstantOfShape" => {
                let value = node.attributes.get("value");
                let value = match value.and_then(|value| value.tensor.as_ref()) {
                    Some(constant) => constant
                        .tensor()?
                        .and_then(|tensor| tensor.only())
                        .ok_or_else(|| node.unsupported("other than one number"))?,
                    None => 0.0,
                };
                let value = self.graph.constant(Tensor::scalar(value));
                let shape = self.value(node, 0)?;
                self.graph.apply(&node.name, Op::Expand, &[value, shape])
            }
            "CumSum" => {
                let axis = self.known(node, 1)?.only();
                let axis = axis.ok_or_else(|| node.unsupported("an axis that is no number"))?;
                if node.integer("exclusive", 0) != 0 || node.integer("reverse", 0) != 0 {
                    return Err(node.unsupported("sums without the element or from the end"));
                }
                let axis = (axis as i64).clamp(-64, 64) as isize;
                self.apply(node, Op::CumulativeSum { axis }, 1)?
            }
            "GatherElements" => {
                let axis = node.axis(0);
                self.apply(node, Op::GatherElements { axis }, 2)?
            }
            "GatherND" => {
                if node.integer("batch_dims", 0) != 0 {
                    return Err(node.unsupported("batch_dims"));
                }
                self.apply(node, Op::GatherNd, 2)?
            }
            "ScatterND" => {
                if node.text("reduction").is_some_and(|kind| kind != "none") {
                    return Err(node.unsupported("a reduction"));
                }
                self.apply(node, Op::ScatterNd, 3)?
            }
            "TopK" => return self.top_k(node),
            "GridSample" => self.grid_sample(node)?,
            "LayerNormalization" => self.layer_norm(node)?,
            "InstanceNormalization" | "GroupNormalization" => self.group_norm(node)?,
            "Einsum" => self.einsum(node)?,
            "Add" => self.apply(node, arithmetic(Arithmetic::Add), 2)?,
            "Sub" => self.apply(node, arithmetic(Arithmetic::Sub), 2)?,
            "Mul" => self.apply(node, arithmetic(Arithmetic::Mul), 2)?,
            "Div" => {
                let quotient = self.apply(node, arithmetic(Arithmetic::Div), 2)?;
                if self.gives_whole(node) {
                    self.graph.map(&node.name, Function::Truncate, quotient)
                } else {
                    quotient
                }
            }
            "Pow" => self.apply(node, arithmetic(Arithmetic::Pow), 2)?,
            "Max" | "Min" | "Sum" => {
                let arithmetic = match node.op.as_str() {
                    "Max" => Arithmetic::Max,
                    "Min" => Arithmetic::Min,
                    _ => Arithmetic::Add,
                };
                let mut result = self.value(node, 0)?;
                for index in 1..node.inputs.len() {
                    let other = self.value(node, index)?;
                    let op = Op::Arithmetic(arithmetic);
                    result = self.graph.apply(&node.name, op, &[result, other]);
                }
                result
            }
            "MaxPool" | "AveragePool" => {
                let kind = match (node.op.as_str(), node.integer("count_include_pad", 0)) {
                    ("MaxPool", _) => PoolKind::Max,
                    (_, 0) => PoolKind::Average,
                    _ => PoolKind::AverageWithPadding,
                };
                let window = node.window()?;
                self.spatial(node, Op::Pool(Pool { kind, window }), &[])?
            }
            "GlobalAveragePool" | "GlobalMaxPool" => {
                let kind = match node.op.as_str() {
                    "GlobalMaxPool" => Reduction::Max,
                    _ => Reduction::Mean,
                };
                // All axes after the channels, of lines as of maps; there are no others.
                let reduce = Reduce {
                    kind,
                    axes: vec![2, -1],
                    keep: true,
                };
                self.apply(node, Op::Reduce(reduce), 1)?
            }
            "ReduceMean" => self.reduce(node, Reduction::Mean)?,
            "ReduceSum" => self.reduce(node, Reduction::Sum)?,
            "ReduceMax" => self.reduce(node, Reduction::Max)?,
            "ReduceMin" => self.reduce(node, Reduction::Min)?,
            "ReduceProd" => self.reduce(node, Reduction::Product)?,
            "ReduceL1" => {
                let sizes = self.apply(node, function(Function::Abs), 1)?;
                self.reduced(node, Reduction::Sum, sizes)?
            }
            "ReduceL2" | "ReduceSumSquare" => {
                let x = self.value(node, 0)?;
                let square = self
                    .graph
                    .apply(&node.name, arithmetic(Arithmetic::Mul), &[x, x]);
                let sum = self.reduced(node, Reduction::Sum, square)?;
                if node.op == "ReduceL2" {
                    self.graph.map(&node.name, Function::Sqrt, sum)
                } else {
                    sum
                }
            }
            "ReduceLogSum" => {
                let sum = self.reduce(node, Reduction::Sum)?;
                self.graph.map(&node.name, Function::Log, sum)
            }
            "ReduceLogSumExp" => self.log_sum_exp(node)?,
            "Softmax" => self.softmax(node)?,
            "LogSoftmax" => {
                let shares = self.softmax(node)?;
                self.graph.map(&node.name, Function::Log, shares)
            }
            "MatMul" => self.mat_mul(node)?,
            "Gemm" => self.gemm(node)?,
            "ArgMax" | "ArgMin" => {
                if node.integer("select_last_index", 0) != 0 {
                    return Err(node.unsupported("the last of equals"));
                }
                let op = Op::ArgMax {
                    axis: node.axis(0),
                    keep: node.integer("keepdims", 1) != 0,
                };
                let x = match node.op.as_str() {
                    "ArgMin" => self.apply(node, function(Function::NEGATIVE), 1)?,
                    _ => self.value(node, 0)?,
                };
                self.graph.apply(&node.name, op, &[x])
            }
            "Transpose" => {
                let order = node.integers("perm").unwrap_or(&[]);
                let order = order.iter().map(|&axis| small(axis).unwrap_or(usize::MAX));
                self.apply(node, Op::Transpose(order.collect()), 1)?
            }
            "Reshape" => {
                let keep_zeros = node.integer("allowzero", 0) == 0;
                self.apply(node, Op::Reshape { keep_zeros }, 2)?
            }
            "Flatten" => {
                let x = self.value(node, 0)?;
                let sizes = self.flat(node, x, node.axis(1));
                self.reshaped(node, x, sizes, true)
            }
            "Squeeze" | "Unsqueeze" => {
                let axes = match self.maybe(node, 1)? {
                    Some(_) => self
                        .known(node, 1)?
                        .to_integers()
                        .into_iter()
                        .map(|axis| axis.clamp(-64, 64) as isize)
                        .collect(),
                    None => node.axes().unwrap_or_default(),
                };
                let op = if node.op == "Squeeze" {
                    Op::Squeeze(axes)
                } else {
                    Op::Unsqueeze(axes)
                };
                self.apply(node, op, 1)?
            }
            "Concat" => {
                let axis = node.axis(0);
                self.apply(node, Op::Concat { axis }, node.inputs.len())?
            }
            "Split" => {
                let mut inputs = vec![self.value(node, 0)?];
                match (self.maybe(node, 1)?, node.integers("split")) {
                    (Some(sizes), _) => inputs.push(sizes),
                    (None, Some(sizes)) => {
                        let sizes = sizes.to_vec();
                        inputs.push(self.graph.integers(&sizes));
                    }
                    (None, None) => {}
                }
                let op = Op::Split { axis: node.axis(0) };
                let results = self
                    .graph
                    .apply_many(&node.name, op, &inputs, node.outputs.len());
                let whole = self.gives_whole(node);
                for (name, value) in node.outputs.iter().zip(results) {
                    if whole {
                        self.whole.insert(value);
                    }
                    self.values.insert(name.clone(), value);
                }
                return Ok(());
            }
            "Slice" => {
                if let (Some(starts), Some(ends)) = (node.integers("starts"), node.integers("ends"))
                {
                    let (starts, ends) = (starts.to_vec(), ends.to_vec());
                    let axes = node
                        .integers("axes")
                        .map_or_else(|| (0..starts.len() as i64).collect(), <[i64]>::to_vec);
                    let mut inputs = vec![self.value(node, 0)?];
                    inputs.extend([starts, ends, axes].map(|list| self.graph.integers(&list)));
                    self.graph.apply(&node.name, Op::Slice, &inputs)
                } else {
                    self.apply(node, Op::Slice, node.inputs.len())?
                }
            }
            "Pad" => {
                if node.text("mode").is_some_and(|mode| mode != "constant") {
                    return Err(node.unsupported("a mode other than constant"));
                }
                let value = match self.maybe(node, 2)? {
                    Some(_) => self.known(node, 2)?.only().unwrap_or(0.0),
                    None => node.float("value", 0.0),
                };
                let amounts = match (self.maybe(node, 1)?, node.integers("pads")) {
                    (Some(amounts), _) => amounts,
                    (None, Some(amounts)) => {
                        let amounts = amounts.to_vec();
                        self.graph.integers(&amounts)
                    }
                    (None, None) => return Err(node.unsupported("no amounts")),
                };
                let x = self.value(node, 0)?;
                self.graph
                    .apply(&node.name, Op::Pad { value }, &[x, amounts])
            }
            "Resize" | "Upsample" => self.resize(node)?,
            "Gather" => {
                let axis = node.axis(0);
                self.apply(node, Op::Gather { axis }, 2)?
            }
            "Shape" => {
                let sizes = self.apply(node, Op::Shape, 1)?;
                let (start, end) = (node.integer("start", 0), node.integer("end", i64::MAX));
                if (start, end) == (0, i64::MAX) {
                    sizes
                } else {
                    let bounds = [start, end].map(|bound| self.graph.integers(&[bound]));
                    let inputs = [sizes, bounds[0], bounds[1]];
                    self.graph.apply(&node.name, Op::Slice, &inputs)
                }
            }
            "Size" => {
                let sizes = self.apply(node, Op::Shape, 1)?;
                let product = Reduce {
                    kind: Reduction::Product,
                    axes: vec![0],
                    keep: false,
                };
                self.graph.apply(&node.name, Op::Reduce(product), &[sizes])
            }
            _ => return Err(node.unsupported("the operation is not known")),
        };
        if self.gives_whole(node) {
            self.whole.insert(result);
        }
        if let Some(name) = node.outputs.first() {
            self.values.insert(name.clone(), result);
        }
        Ok(())
    }

    /// Whether a node's (first) result is whole numbers or booleans.
    fn gives_whole(&self, node: &Node) -> bool {
        let input = |index: usize| {
            let name = node.inputs.get(index);
            name.and_then(|name| self.values.get(name))
                .is_some_and(|value| self.whole.contains(value))
        };
        match node.op.as_str() {
            "Shape" | "Size" | "ArgMax" | "ArgMin" | "And" | "Or" | "Xor" | "Not" | "Equal"
            | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "IsNaN" => true,
            "Cast" => is_whole(node.integer("to", 1)),
            "Constant" => node.constant().is_ok_and(|constant| constant.is_whole()),
            "ConstantOfShape" => {
                let value = node.attributes.get("value");
                let value = value.and_then(|value| value.tensor.as_ref());
                value.is_some_and(Constant::is_whole)
            }
            "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" | "Max" | "Min" | "Sum" | "Concat"
            | "MatMul" => !node.inputs.is_empty() && (0..node.inputs.len()).all(input),
            "Where" => input(1) && input(2),
            "Identity" | "Gather" | "GatherElements" | "GatherND" | "ScatterND" | "Slice"
            | "Split" | "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" | "Transpose"
            | "Expand" | "Tile" | "Range" | "CumSum" | "Neg" | "Abs" | "Sign" | "Relu" | "Pad"
            | "Clip" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1"
            | "ReduceSumSquare" | "TopK" => input(0),
            _ => false,
        }
    }

    /// Bounds that are not constants (yet) are another two inputs.
    fn clip(&mut self, node: &Node) -> Result<Value> {
        let mut x = self.value(node, 0)?;
        let mut bounds = [
            node.float("min", f32::NEG_INFINITY),
            node.float("max", f32::INFINITY),
        ];
        for (index, bound) in bounds.iter_mut().enumerate() {
            let Some(value) = self.maybe(node, index + 1)? else {
                continue;
            };
            if let Some(tensor) = self.graph.constant_of(value) {
                let only = tensor.only();
                *bound = only.ok_or_else(|| node.unsupported("bounds that are not scalars"))?;
            } else {
                let arithmetic = [Arithmetic::Max, Arithmetic::Min][index];
                let op = Op::Arithmetic(arithmetic);
                x = self.graph.apply(&node.name, op, &[x, value]);
            }
        }
        let [low, high] = bounds;
        let op = Op::Map(Function::Clip { low, high });
        Ok(self.graph.apply(&node.name, op, &[x]))
    }

    fn reduce(&mut self, node: &Node, kind: Reduction) -> Result<Value> {
        let x = self.value(node, 0)?;
        self.reduced(node, kind, x)
    }

    /// A reduction of a value along the node's axes.
    fn reduced(&mut self, node: &Node, kind: Reduction, x: Value) -> Result<Value> {
        let keep = node.integer("keepdims", 1) != 0;
        self.reduced_and(node, kind, x, keep)
    }

    /// A reduction along the node's axes, which stay with size one or not.
    fn reduced_and(&mut self, node: &Node, kind: Reduction, x: Value, keep: bool) -> Result<Value> {
        let axes = self.maybe(node, 1)?;
        if axes.is_none() && node.axes().is_none() && node.integer("noop_with_empty_axes", 0) != 0 {
            return Ok(x);
        }
        let reduce = Reduce {
            kind,
            axes: node.axes().unwrap_or_default(),
            keep,
        };
        let inputs: Vec<Value> = std::iter::once(x).chain(axes).collect();
        Ok(self.graph.apply(&node.name, Op::Reduce(reduce), &inputs))
    }

    /// The logarithm of a sum of exponentials, without overflow: the largest is taken out of the sum.
    fn log_sum_exp(&mut self, node: &Node) -> Result<Value> {
        let x = self.value(node, 0)?;
        let largest = self.reduced_and(node, Reduction::Max, x, true)?;
        let difference = Op::Arithmetic(Arithmetic::Sub);
        let x = self.graph.apply(&node.name, difference, &[x, largest]);
        let x = self.graph.map(&node.name, Function::Exp, x);
        let sum = self.reduced(node, Reduction::Sum, x)?;
        let sum = self.graph.map(&node.name, Function::Log, sum);
        let largest = self.reduce(node, Reduction::Max)?;
        Ok(self.graph.add(&node.name, sum, largest))
    }

    /// `scale x + shift`, one of each for a channel: those are the second axis.
    fn per_channel(
        &mut self,
        node: &Node,
        x: Value,
        scale: Vec<f32>,
        shift: Vec<f32>,
    ) -> Result<Value> {
        let channels = scale.len();
        let Some(rank) = self.ranks.of(&self.graph, x) else {
            // Only the run tells how many axes follow the channels: they become one, and again what they were.
            let lines = self.graph.integers(&[0, channels as i64, -1]);
            let sizes = self.graph.apply(&node.name, Op::Shape, &[x]);
            let x = self.reshaped(node, x, lines, true);
            let x = self.per_channel(node, x, scale, shift)?;
            return Ok(self.reshaped(node, x, sizes, false));
        };
        let mut shape = vec![1; rank.max(2) - 1];
        shape[0] = channels;
        let scale = self.graph.constant(Tensor::new(&shape, scale)?);
        let shift = self.graph.constant(Tensor::new(&shape, shift)?);
        let product = Op::Arithmetic(Arithmetic::Mul);
        let x = self.graph.apply(&node.name, product, &[x, scale]);
        Ok(self.graph.add(&node.name, x, shift))
    }

    fn reshaped(&mut self, node: &Node, x: Value, sizes: Value, keep_zeros: bool) -> Value {
        let reshape = Op::Reshape { keep_zeros };
        self.graph.apply(&node.name, reshape, &[x, sizes])
    }

    /// The sizes of a matrix whose rows are the axes from `axis` on.
    fn flat(&mut self, node: &Node, x: Value, axis: isize) -> Value {
        match self.counted_from_front(x, axis) as i64 {
            0 => self.graph.integers(&[1, -1]),
            1 => self.graph.integers(&[0, -1]),
            axis => {
                let sizes = self.graph.apply(&node.name, Op::Shape, &[x]);
                let rows = self.product(node, sizes, 0, axis);
                let rest = self.graph.integers(&[-1]);
                let join = Op::Concat { axis: 0 };
                self.graph.apply(&node.name, join, &[rows, rest])
            }
        }
    }

    /// An axis that counts from the front, where it is known how many there are.
    fn counted_from_front(&mut self, x: Value, axis: isize) -> isize {
        match self.ranks.of(&self.graph, x) {
            Some(rank) if axis < 0 => axis + rank as isize,
            _ => axis,
        }
    }

    /// Shares that sum to one: along an axis, and in versions before 13 over it and all that follow.
    fn softmax(&mut self, node: &Node) -> Result<Value> {
        let x = self.value(node, 0)?;
        if !(1..13).contains(&self.version) {
            let axis = node.axis(-1);
            return Ok(self.graph.apply(&node.name, Op::Softmax { axis }, &[x]));
        }
        let axis = node.axis(1);
        let last = Op::Softmax { axis: -1 };
        let rank = self.ranks.of(&self.graph, x);
        if axis == -1 || rank.is_some_and(|rank| axis == rank as isize - 1) {
            return Ok(self.graph.apply(&node.name, last, &[x]));
        }
        let flat = self.flat(node, x, axis);
        let sizes = self.graph.apply(&node.name, Op::Shape, &[x]);
        let x = self.reshaped(node, x, flat, true);
        let x = self.graph.apply(&node.name, last, &[x]);
        Ok(self.reshaped(node, x, sizes, false))
    }

    fn top_k(&mut self, node: &Node) -> Result<()> {
        let count = match (self.maybe(node, 1)?, node.attributes.get("k")) {
            (Some(count), _) => count,
            (None, Some(_)) => self.graph.integers(&[node.integer("k", 0)]),
            (None, None) => return Err(node.unsupported("no count")),
        };
        let op = Op::TopK {
            axis: node.axis(-1),
            largest: node.integer("largest", 1) != 0,
        };
        let x = self.value(node, 0)?;
        let results = self.graph.apply_many(&node.name, op, &[x, count], 2);
        if self.gives_whole(node) {
            self.whole.insert(results[0]);
        }
        self.whole.insert(results[1]);
        for (name, value) in node.outputs.iter().zip(results) {
            self.values.insert(name.clone(), value);
        }
        Ok(())
    }

    fn grid_sample(&mut self, node: &Node) -> Result<Value> {
        let nearest = match node.text("mode") {
            None | Some("bilinear" | "linear") => false,
            Some("nearest") => true,
            Some(other) => return Err(node.unsupported(format!("mode {other}"))),
        };
        let outside = match node.text("padding_mode") {
            None | Some("zeros") => Outside::Zero,
            Some("border") => Outside::Border,
            Some(other) => return Err(node.unsupported(format!("padding {other}"))),
        };
        let sample = GridSample {
            nearest,
            outside,
            align_corners: node.integer("align_corners", 0) != 0,
        };
        let grid = self.value(node, 1)?;
        self.spatial(node, Op::GridSample(sample), &[grid])
    }

    fn layer_norm(&mut self, node: &Node) -> Result<Value> {
        let gamma = self.known(node, 1)?;
        let beta = match self.maybe(node, 2)? {
            Some(_) => Some(self.known(node, 2)?),
            None => None,
        };
        let axis = node.axis(-1);
        let normalise = Normalise {
            // An axis from the front says nothing about how many follow; the factors have as many.
            axes: if axis < 0 {
                axis.unsigned_abs()
            } else {
                gamma.shape().len()
            },
            epsilon: node.float("epsilon", 1e-5),
            gamma: Some(gamma.data().into()),
            beta: beta.map(|beta| beta.data().into()),
        };
        self.apply(node, Op::Normalise(normalise), 1)
    }

    /// Groups of channels, each with mean 0 and variance 1; every channel its own for instances.
    fn group_norm(&mut self, node: &Node) -> Result<Value> {
        let (gamma, beta) = (self.known(node, 1)?, self.known(node, 2)?);
        let channels = gamma.data().len() as i64;
        let groups = match node.op.as_str() {
            "InstanceNormalization" => channels,
            _ => node.integer("num_groups", 0),
        };
        if groups <= 0 || beta.data().len() as i64 != channels {
            return Err(node.unsupported("these groups"));
        }
        let factors =
            |tensor: &Tensor| Tensor::new(&[tensor.data().len(), 1], tensor.data().to_vec());
        let (gamma, beta) = (factors(&gamma)?, factors(&beta)?);
        let x = self.value(node, 0)?;
        let graph = &mut self.graph;
        let sizes = graph.apply(&node.name, Op::Shape, &[x]);
        let (rows, lines) = (
            graph.integers(&[0, groups, -1]),
            graph.integers(&[0, channels, -1]),
        );
        let reshape = |keep_zeros| Op::Reshape { keep_zeros };
        let normalise = Op::Normalise(Normalise {
            axes: 1,
            epsilon: node.float("epsilon", 1e-5),
            gamma: None,
            beta: None,
        });
        let x = graph.apply(&node.name, reshape(true), &[x, rows]);
        let x = graph.apply(&node.name, normalise, &[x]);
        let x = graph.apply(&node.name, reshape(true), &[x, lines]);
        let (gamma, beta) = (graph.constant(gamma), graph.constant(beta));
        let x = graph.apply(&node.name, Op::Arithmetic(Arithmetic::Mul), &[x, gamma]);
        let x = graph.add(&node.name, x, beta);
        Ok(graph.apply(&node.name, reshape(false), &[x, sizes]))
    }

    /// The product of all sizes in a part of a list of sizes, as a list of one.
    fn product(&mut self, node: &Node, sizes: Value, from: i64, to: i64) -> Value {
        if from == to {
            return self.graph.integers(&[1]);
        }
        let part = self.part(node, sizes, from, to);
        let product = Reduce {
            kind: Reduction::Product,
            axes: vec![0],
            keep: true,
        };
        self.graph.apply(&node.name, Op::Reduce(product), &[part])
    }

    fn part(&mut self, node: &Node, list: Value, from: i64, to: i64) -> Value {
        let bounds = [from, to].map(|bound| self.graph.integers(&[bound]));
        let inputs = [list, bounds[0], bounds[1]];
        self.graph.apply(&node.name, Op::Slice, &inputs)
    }

    /// Sums of products of two operands, as one product of matrices: the axes are put into the groups of both
    /// with result (the outer ones), of one with result, and of both without result (which are summed).
    fn einsum(&mut self, node: &Node) -> Result<Value> {
        let equation: String = node.text("equation").unwrap_or_default().replace(' ', "");
        let unsupported = || node.unsupported(format!("the equation {equation:?}"));
        let (operands, result) = equation.split_once("->").ok_or_else(unsupported)?;
        let (left, right) = operands.split_once(',').ok_or_else(unsupported)?;
        let letters = |text: &str| -> Option<Vec<char>> {
            let letters: Vec<char> = text.chars().collect();
            let once = (1..letters.len()).all(|at| !letters[..at].contains(&letters[at]));
            (once && letters.len() <= 8 && letters.iter().all(char::is_ascii_alphabetic))
                .then_some(letters)
        };
        let (Some(left), Some(right), Some(result)) =
            (letters(left), letters(right), letters(result))
        else {
            return Err(unsupported());
        };
        let of = |letters: &[char], keep: &dyn Fn(&char) -> bool| -> Vec<char> {
            letters
                .iter()
                .copied()
                .filter(|letter| keep(letter))
                .collect()
        };
        let both = of(&result, &|l| left.contains(l) && right.contains(l));
        let rows = of(&result, &|l| left.contains(l) && !right.contains(l));
        let columns = of(&result, &|l| right.contains(l) && !left.contains(l));
        let summed = of(&left, &|l| right.contains(l) && !result.contains(l));
        let fits = both.len() + rows.len() + columns.len() == result.len()
            && both.len() + rows.len() + summed.len() == left.len()
            && both.len() + columns.len() + summed.len() == right.len();
        if !fits || node.inputs.len() != 2 {
            return Err(unsupported());
        }
        let place = |letters: &[char], letter: &char| {
            letters
                .iter()
                .position(|other| other == letter)
                .unwrap_or(0)
        };
        // The operands with their axes in groups, and their sizes then.
        let mut grouped =
            |index: usize, from: &[char], groups: [&[char]; 3]| -> Result<[Value; 2]> {
                let order = groups.concat().iter().map(|l| place(from, l)).collect();
                let x = self.value(node, index)?;
                let x = self.graph.apply(&node.name, Op::Transpose(order), &[x]);
                Ok([x, self.graph.apply(&node.name, Op::Shape, &[x])])
            };
        let [b, r, c, s] = [&both, &rows, &columns, &summed].map(|group| group.len() as i64);
        let [left, left_sizes] = grouped(0, &left, [&both, &rows, &summed])?;
        let [right, right_sizes] = grouped(1, &right, [&both, &summed, &columns])?;
        let outer = self.part(node, left_sizes, 0, b);
        let inner = self.product(node, left_sizes, b + r, b + r + s);
        let (height, width) = (
            self.product(node, left_sizes, b, b + r),
            self.product(node, right_sizes, b + s, b + s + c),
        );
        let mut shaped = |x: Value, shape: &[Value]| {
            let shape = self.graph.apply(&node.name, Op::Concat { axis: 0 }, shape);
            let op = Op::Reshape { keep_zeros: false };
            self.graph.apply(&node.name, op, &[x, shape])
        };
        let left = shaped(left, &[outer, height, inner]);
        let right = shaped(right, &[outer, inner, width]);
        let product = self.graph.apply(&node.name, Op::MatMul, &[left, right]);
        let (high, wide) = (
            self.part(node, left_sizes, b, b + r),
            self.part(node, right_sizes, b + s, b + s + c),
        );
        let shape = self
            .graph
            .apply(&node.name, Op::Concat { axis: 0 }, &[outer, high, wide]);
        let op = Op::Reshape { keep_zeros: false };
        let product = self.graph.apply(&node.name, op, &[product, shape]);
        let made = [both, rows, columns].concat();
        let order = result.iter().map(|letter| place(&made, letter)).collect();
        Ok(self
            .graph
            .apply(&node.name, Op::Transpose(order), &[product]))
    }

    fn mat_mul(&mut self, node: &Node) -> Result<Value> {
        let (x, weights) = (self.value(node, 0)?, self.value(node, 1)?);
        let vector = self.graph.constant_of(weights).cloned();
        let column = vector.and_then(|vector| match *vector.shape() {
            [length] => vector.reshaped(&[length, 1]),
            _ => None,
        });
        let Some(column) = column else {
            return self.apply(node, Op::MatMul, 2);
        };
        // A list on the right is a column, which the result does not have.
        let column = self.graph.constant(column);
        let product = self.graph.apply(&node.name, Op::MatMul, &[x, column]);
        Ok(self
            .graph
            .apply(&node.name, Op::Squeeze(vec![-1]), &[product]))
    }

    fn gemm(&mut self, node: &Node) -> Result<Value> {
        let mut weights = self.value(node, 1)?;
        if node.integer("transB", 0) != 0 {
            weights = match self.graph.constant_of(weights).cloned() {
                Some(tensor) if tensor.shape().len() == 2 => {
                    self.graph.constant(tensor.transposed(&[1, 0]))
                }
                _ => self
                    .graph
                    .apply(&node.name, Op::Transpose(vec![1, 0]), &[weights]),
            };
        }
        let mut x = self.value(node, 0)?;
        if node.integer("transA", 0) != 0 {
            x = self
                .graph
                .apply(&node.name, Op::Transpose(vec![1, 0]), &[x]);
        }
        let product = self.graph.apply(&node.name, Op::MatMul, &[x, weights]);
        self.ranks.note(product, 2);
        let product = self.scaled(node, "alpha", product);
        Ok(match self.maybe(node, 2)? {
            Some(bias) => {
                let bias = self.scaled(node, "beta", bias);
                self.graph.add(&node.name, product, bias)
            }
            None => product,
        })
    }

    /// A value times a factor of the node.
    fn scaled(&mut self, node: &Node, factor: &str, value: Value) -> Value {
        let (scale, shift) = (node.float(factor, 1.0), 0.0);
        if scale == 1.0 {
            return value;
        }
        self.graph
            .map(&node.name, Function::Affine { scale, shift }, value)
    }

    fn resize(&mut self, node: &Node) -> Result<Value> {
        let coordinates = match node.text("coordinate_transformation_mode") {
            Some("asymmetric") => Coordinates::Asymmetric,
            Some("half_pixel" | "pytorch_half_pixel") => Coordinates::HalfPixel,
            Some("align_corners") => Coordinates::AlignCorners,
            None if node.op == "Upsample" => Coordinates::Asymmetric,
            None => Coordinates::HalfPixel,
            Some(other) => return Err(node.unsupported(format!("coordinates {other}"))),
        };
        let mode = match (node.text("mode"), node.text("nearest_mode")) {
            (Some("linear"), _) => ResizeMode::Linear,
            (Some("nearest") | None, Some("floor")) => ResizeMode::NearestFloor,
            (Some("nearest") | None, None | Some("round_prefer_floor")) => {
                if node.op == "Upsample" {
                    ResizeMode::NearestFloor
                } else {
                    ResizeMode::NearestPreferFloor
                }
            }
            (Some("nearest") | None, Some("round_prefer_ceil")) => ResizeMode::NearestPreferCeil,
            (Some("nearest") | None, Some("ceil")) => ResizeMode::NearestCeil,
            other => return Err(node.unsupported(format!("mode {other:?}"))),
        };
        let plain = node.integer("antialias", 0) == 0
            && node.integers("axes").is_none_or(|axes| axes == [2, 3])
            && node
                .text("keep_aspect_ratio_policy")
                .is_none_or(|policy| policy == "stretch");
        if !plain {
            return Err(node.unsupported("other axes, a smoothed or a fitted target"));
        }
        // Sizes of all four axes, or only of the two.
        let skipped = if node.integers("axes").is_none() {
            2
        } else {
            0
        };
        let scales = if node.op == "Upsample" { 1 } else { 2 };
        let is_there = |importer: &Self, index| -> Result<Option<Value>> {
            let value = importer.maybe(node, index)?;
            Ok(value.filter(|&value| {
                importer
                    .graph
                    .constant_of(value)
                    .is_none_or(|tensor| !tensor.data().is_empty())
            }))
        };
        let (all, target) = match (is_there(self, scales)?, is_there(self, scales + 1)?) {
            (Some(scales), None) => (scales, ResizeTarget::Scales),
            (_, Some(sizes)) => (sizes, ResizeTarget::Sizes),
            (None, None) => return Err(node.unsupported("neither scales nor sizes")),
        };
        // The two of height and width.
        let bounds = [skipped, skipped + 2].map(|bound| self.graph.integers(&[bound]));
        let two = self
            .graph
            .apply(&node.name, Op::Slice, &[all, bounds[0], bounds[1]]);
        let resize = Resize {
            mode,
            coordinates,
            target,
        };
        self.spatial(node, Op::Resize(resize), &[two])
    }
}
