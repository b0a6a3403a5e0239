//! Reads TensorFlow.js graph models: the topology in JSON, the weights by name.
//!
//! Operations and attributes are TensorFlow's; maps are channels last, filters `[height, width, in, out]`, and
//! of depthwise convolutions `[height, width, channels, multiplier]`.

use super::op::{
    Arithmetic, Conv, Coordinates, Function, Op, Padding, Pool, PoolKind, Reduce, Reduction,
    Resize, ResizeMode, ResizeTarget, Window,
};
use super::{Error, Graph, Limits, Result, Tensor, Value};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;

fn malformed(what: impl Into<String>) -> Error {
    Error::Malformed {
        format: "a TensorFlow.js graph model",
        what: what.into(),
    }
}

struct Node<'a> {
    name: &'a str,
    op: &'a str,
    inputs: Vec<&'a str>,
    attributes: Option<&'a Json>,
}

/// Reads a graph.
pub(super) fn read(
    topology: &[u8],
    tensor: &dyn Fn(&str) -> Option<Tensor>,
    limits: Limits,
) -> Result<Graph> {
    let model: Json =
        serde_json::from_slice(topology).map_err(|error| malformed(error.to_string()))?;
    let topology = model.get("modelTopology").unwrap_or(&model);
    let list = topology
        .get("node")
        .and_then(Json::as_array)
        .ok_or_else(|| malformed("there are no nodes"))?;
    if list.len() > limits.nodes {
        return Err(Error::TooLarge {
            what: "the number of nodes".to_owned(),
            limit: limits.nodes as u64,
        });
    }
    let nodes = list
        .iter()
        .map(|node| {
            let text = |key: &str| node.get(key).and_then(Json::as_str);
            let inputs = match node.get("input").and_then(Json::as_array) {
                // Names that begin with ^ only order.
                Some(inputs) => inputs
                    .iter()
                    .filter_map(Json::as_str)
                    .filter(|name| !name.starts_with('^'))
                    .collect(),
                None => Vec::new(),
            };
            Ok(Node {
                name: text("name").ok_or_else(|| malformed("a node without a name"))?,
                op: text("op").ok_or_else(|| malformed("a node without an operation"))?,
                inputs,
                attributes: node.get("attr"),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut importer = Importer {
        graph: Graph::new(),
        values: HashMap::new(),
        tensor,
        limits,
    };
    for index in order(&nodes)? {
        importer.node(&nodes[index])?;
    }
    importer.outputs(&model, topology, &nodes)?;
    Ok(importer.graph)
}

/// The nodes in an order in which they can run.
fn order(nodes: &[Node<'_>]) -> Result<Vec<usize>> {
    let by_name: HashMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| (node.name, index))
        .collect();
    let mut waiting = vec![0usize; nodes.len()];
    let mut readers = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for input in &node.inputs {
            let maker = *by_name
                .get(split(input).0)
                .ok_or_else(|| malformed(format!("nothing makes `{input}`")))?;
            waiting[index] += 1;
            readers[maker].push(index);
        }
    }
    let mut ready: std::collections::VecDeque<usize> = (0..nodes.len())
        .filter(|&index| waiting[index] == 0)
        .collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(index) = ready.pop_front() {
        order.push(index);
        for &reader in &readers[index] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push_back(reader);
            }
        }
    }
    if order.len() != nodes.len() {
        return Err(malformed("the nodes go in circles"));
    }
    Ok(order)
}

/// A node's name and which of its results.
fn split(input: &str) -> (&str, usize) {
    match input.rsplit_once(':') {
        Some((name, number)) => match number.parse() {
            Ok(number) => (name, number),
            Err(_) => (input, 0),
        },
        None => (input, 0),
    }
}

/// Standard base64, as attributes have it.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

impl Node<'_> {
    fn unsupported(&self, what: impl Into<String>) -> Error {
        Error::Unsupported {
            node: self.name.to_owned(),
            op: self.op.to_owned(),
            what: what.into(),
        }
    }

    fn attribute(&self, name: &str, kind: &str) -> Option<&Json> {
        self.attributes?.get(name)?.get(kind)
    }

    /// Numbers are written as numbers or as text.
    fn number(json: &Json) -> Option<i64> {
        json.as_i64().or_else(|| json.as_str()?.parse().ok())
    }

    fn integer(&self, name: &str) -> Option<i64> {
        Self::number(self.attribute(name, "i")?)
    }

    fn axis(&self, default: i64) -> isize {
        self.integer("axis").unwrap_or(default).clamp(-64, 64) as isize
    }

    fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name, "f")?
            .as_f64()
            .map(|value| value as f32)
    }

    fn flag(&self, name: &str) -> bool {
        self.attribute(name, "b")
            .and_then(Json::as_bool)
            .unwrap_or(false)
    }

    fn text(&self, name: &str) -> Option<String> {
        let text = self.attribute(name, "s")?.as_str()?;
        String::from_utf8(base64(text)?).ok()
    }

    fn list(&self, name: &str) -> Option<Vec<i64>> {
        let list = self.attribute(name, "list")?.get("i")?.as_array()?;
        list.iter().map(Self::number).collect()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let list = self.attribute(name, "list").and_then(|list| list.get("s"));
        let texts = list.and_then(Json::as_array).into_iter().flatten();
        texts
            .filter_map(|text| String::from_utf8(base64(text.as_str()?)?).ok())
            .collect()
    }

    /// The middle two of four, such as strides.
    fn two(&self, name: &str) -> Result<[usize; 2]> {
        match self.list(name).as_deref() {
            None | Some([]) => Ok([1, 1]),
            Some(&[1, down, right, 1]) => {
                let small = |value: i64| usize::try_from(value).ok().filter(|&v| v <= 1 << 16);
                small(down)
                    .zip(small(right))
                    .map(|(down, right)| [down, right])
                    .ok_or_else(|| self.unsupported(format!("{name} {down}, {right}")))
            }
            Some(other) => Err(self.unsupported(format!("{name} {other:?}"))),
        }
    }

    fn window(&self) -> Result<Window> {
        if self
            .text("data_format")
            .is_some_and(|format| format != "NHWC")
        {
            return Err(self.unsupported("maps that are not channels last"));
        }
        let padding = match self.text("padding").as_deref() {
            Some("SAME") => Padding::Same,
            Some("VALID") | None => Padding::VALID,
            Some("EXPLICIT") => match self.list("explicit_paddings").as_deref() {
                Some(&[0, 0, top, bottom, left, right, 0, 0]) => {
                    let amounts = [top, left, bottom, right]
                        .map(|v| usize::try_from(v).ok().filter(|&v| v <= 1 << 16));
                    match amounts {
                        [Some(top), Some(left), Some(bottom), Some(right)] => {
                            Padding::Explicit([top, left, bottom, right])
                        }
                        _ => return Err(self.unsupported("these pads")),
                    }
                }
                _ => return Err(self.unsupported("these pads")),
            },
            Some(other) => return Err(self.unsupported(format!("padding {other}"))),
        };
        Ok(Window {
            size: self.two("ksize")?,
            strides: self.two("strides")?,
            dilations: self.two("dilations")?,
            padding,
            ceil: false,
        })
    }
}

struct Importer<'a> {
    graph: Graph,
    values: HashMap<String, Vec<Value>>,
    tensor: &'a dyn Fn(&str) -> Option<Tensor>,
    limits: Limits,
}

impl Importer<'_> {
    fn find(&self, input: &str) -> Result<Value> {
        let (name, number) = split(input);
        self.values
            .get(name)
            .and_then(|values| values.get(number))
            .copied()
            .ok_or_else(|| malformed(format!("nothing makes `{input}`")))
    }

    fn value(&self, node: &Node<'_>, index: usize) -> Result<Value> {
        let input = node
            .inputs
            .get(index)
            .ok_or_else(|| node.unsupported(format!("input {index} is missing")))?;
        self.find(input)
    }

    fn constant(&self, node: &Node<'_>, index: usize) -> Result<Arc<Tensor>> {
        self.graph
            .constant_of(self.value(node, index)?)
            .cloned()
            .ok_or_else(|| node.unsupported(format!("input {index} must be a constant")))
    }

    fn scalar(&self, node: &Node<'_>, index: usize) -> Result<f32> {
        self.constant(node, index)?
            .only()
            .ok_or_else(|| node.unsupported(format!("input {index} must be a scalar")))
    }

    fn axis(&self, node: &Node<'_>, index: usize) -> Result<isize> {
        Ok(self.scalar(node, index)?.clamp(-64.0, 64.0) as isize)
    }

    fn apply(&mut self, node: &Node<'_>, op: Op, inputs: usize) -> Result<Value> {
        let inputs = (0..inputs)
            .map(|index| self.value(node, index))
            .collect::<Result<Vec<_>>>()?;
        Ok(self.graph.apply(node.name, op, &inputs))
    }

    /// A function by the name that fused operations use; `extra` is the input with its parameters.
    fn named(&self, node: &Node<'_>, name: &str, extra: usize) -> Result<Function> {
        Ok(match name {
            "Relu" => Function::RELU,
            "Relu6" => Function::RELU6,
            "Sigmoid" => Function::Sigmoid,
            "Elu" => return Err(node.unsupported("Elu")),
            "LeakyRelu" => Function::Leaky(node.float("leakyrelu_alpha").unwrap_or(0.2)),
            "Prelu" => self.prelu(node, extra)?,
            other => return Err(node.unsupported(format!("fused {other}"))),
        })
    }

    fn prelu(&self, node: &Node<'_>, index: usize) -> Result<Function> {
        let slopes = self.constant(node, index)?;
        let channels = slopes.shape().last().copied().unwrap_or(1);
        if slopes.data().len() != channels {
            return Err(node.unsupported("slopes that are not one a channel"));
        }
        Ok(Function::Prelu(slopes.data().into()))
    }

    fn conv(&mut self, node: &Node<'_>, depthwise: bool) -> Result<Value> {
        let x = self.value(node, 0)?;
        let filter = self.constant(node, 1)?;
        let shape = filter.shape().to_vec();
        let &[height, width, inputs, outputs] = shape.as_slice() else {
            return Err(node.unsupported(format!("a filter of shape {shape:?}")));
        };
        let (weights, groups) = if depthwise {
            // Output `c * multiplier + m` reads channel `c`.
            let moved = filter.transposed(&[2, 3, 0, 1]);
            let moved = inputs
                .checked_mul(outputs)
                .and_then(|all| moved.reshaped(&[all, 1, height, width]));
            let moved = moved.ok_or_else(|| node.unsupported("this filter"))?;
            (moved, inputs)
        } else {
            (filter.transposed(&[3, 2, 0, 1]), 1)
        };
        let mut conv = Conv::new(node.name, weights, None, node.window()?, groups)?;
        let mut function = Function::Identity;
        for (place, name) in node.texts("fused_ops").iter().enumerate() {
            match name.as_str() {
                "BiasAdd" => {
                    let bias = self.constant(node, 2)?;
                    if bias.data().len() != conv.outputs() {
                        return Err(node.unsupported("a bias of another length"));
                    }
                    conv.bias = bias.data().to_vec();
                }
                name => function = self.named(node, name, 2 + place)?,
            }
        }
        let sum = self.graph.apply(node.name, Op::Conv(conv), &[x]);
        Ok(self.graph.map(node.name, function, sum))
    }

    #[allow(clippy::too_many_lines)]
    fn node(&mut self, node: &Node<'_>) -> Result<()> {
        let arithmetic = Op::Arithmetic;
        let function = Op::Map;
        let result = match node.op {
            "Const" => {
                let tensor = (self.tensor)(node.name)
                    .ok_or_else(|| malformed(format!("there is no tensor `{}`", node.name)))?;
                if tensor.data().len() > self.limits.elements {
                    return Err(Error::TooLarge {
                        what: format!("tensor `{}`", node.name),
                        limit: self.limits.elements as u64,
                    });
                }
                self.graph.constant(tensor)
            }
            "Placeholder" => {
                let shape = node
                    .attribute("shape", "shape")
                    .and_then(|shape| shape.get("dim"));
                let sizes: Vec<Option<usize>> = shape
                    .and_then(Json::as_array)
                    .into_iter()
                    .flatten()
                    .map(|dim| {
                        let size = Node::number(dim.get("size")?)?;
                        usize::try_from(size).ok()
                    })
                    .collect();
                self.graph.input(node.name, &sizes)
            }
            "Identity" => self.value(node, 0)?,
            "Cast" => match node.attributes.and_then(|a| a.get("DstT")?.get("type")) {
                Some(Json::String(kind)) if kind.contains("INT") => {
                    self.apply(node, function(Function::Truncate), 1)?
                }
                _ => self.value(node, 0)?,
            },
            "Conv2D" | "_FusedConv2D" => self.conv(node, false)?,
            "DepthwiseConv2dNative" | "FusedDepthwiseConv2dNative" => self.conv(node, true)?,
            "_FusedMatMul" | "MatMul" => {
                let flipped = |name: &str| node.flag(name);
                if flipped("transpose_a") {
                    return Err(node.unsupported("a transposed left side"));
                }
                let mut weights = self.value(node, 1)?;
                if flipped("transpose_b") {
                    let op = Op::Transpose(vec![1, 0]);
                    weights = self.graph.apply(node.name, op, &[weights]);
                }
                let x = self.value(node, 0)?;
                let mut result = self.graph.apply(node.name, Op::MatMul, &[x, weights]);
                for (place, name) in node.texts("fused_ops").iter().enumerate() {
                    if name == "BiasAdd" {
                        let bias = self.value(node, 2)?;
                        result = self.graph.add(node.name, result, bias);
                    } else {
                        let named = self.named(node, name, 2 + place)?;
                        result = self.graph.map(node.name, named, result);
                    }
                }
                result
            }
            "BiasAdd" | "Add" | "AddV2" => self.apply(node, arithmetic(Arithmetic::Add), 2)?,
            "Sub" => self.apply(node, arithmetic(Arithmetic::Sub), 2)?,
            "Mul" => self.apply(node, arithmetic(Arithmetic::Mul), 2)?,
            "RealDiv" | "Div" => self.apply(node, arithmetic(Arithmetic::Div), 2)?,
            "FloorDiv" => self.apply(node, arithmetic(Arithmetic::FloorDiv), 2)?,
            "Maximum" => self.apply(node, arithmetic(Arithmetic::Max), 2)?,
            "Minimum" => self.apply(node, arithmetic(Arithmetic::Min), 2)?,
            "Pow" => self.apply(node, arithmetic(Arithmetic::Pow), 2)?,
            "SquaredDifference" => {
                self.apply(node, arithmetic(Arithmetic::SquaredDifference), 2)?
            }
            "Relu" => self.apply(node, function(Function::RELU), 1)?,
            "Relu6" => self.apply(node, function(Function::RELU6), 1)?,
            "LeakyRelu" => {
                let slope = node.float("alpha").unwrap_or(0.2);
                self.apply(node, function(Function::Leaky(slope)), 1)?
            }
            "Prelu" => {
                let prelu = self.prelu(node, 1)?;
                self.apply(node, function(prelu), 1)?
            }
            "Sigmoid" => self.apply(node, function(Function::Sigmoid), 1)?,
            "Tanh" => self.apply(node, function(Function::Tanh), 1)?,
            "Exp" => self.apply(node, function(Function::Exp), 1)?,
            "Sqrt" => self.apply(node, function(Function::Sqrt), 1)?,
            "Floor" => self.apply(node, function(Function::Floor), 1)?,
            "MaxPool" | "AvgPool" => {
                let kind = if node.op == "MaxPool" {
                    PoolKind::Max
                } else {
                    PoolKind::Average
                };
                let window = node.window()?;
                self.apply(node, Op::Pool(Pool { kind, window }), 1)?
            }
            "Mean" | "Sum" | "Max" => {
                let reduce = Reduce {
                    kind: match node.op {
                        "Mean" => Reduction::Mean,
                        "Sum" => Reduction::Sum,
                        _ => Reduction::Max,
                    },
                    axes: Vec::new(),
                    keep: node.flag("keep_dims"),
                };
                self.apply(node, Op::Reduce(reduce), 2)?
            }
            "Softmax" => self.apply(node, Op::Softmax { axis: -1 }, 1)?,
            "ArgMax" => {
                let axis = self.axis(node, 1)?;
                self.apply(node, Op::ArgMax { axis, keep: false }, 1)?
            }
            "Transpose" => {
                let order = self.constant(node, 1)?.to_integers();
                let order = order
                    .into_iter()
                    .map(|axis| usize::try_from(axis).unwrap_or(usize::MAX));
                self.apply(node, Op::Transpose(order.collect()), 1)?
            }
            "Reshape" => self.apply(node, Op::Reshape { keep_zeros: false }, 2)?,
            "Squeeze" => {
                let axes = node.list("squeeze_dims").unwrap_or_default();
                let axes = axes.into_iter().map(|axis| axis.clamp(-64, 64) as isize);
                self.apply(node, Op::Squeeze(axes.collect()), 1)?
            }
            "ExpandDims" => {
                let axis = self.axis(node, 1)?;
                self.apply(node, Op::Unsqueeze(vec![axis]), 1)?
            }
            "ConcatV2" => {
                let count = node.inputs.len().saturating_sub(1);
                let axis = self.axis(node, count)?;
                self.apply(node, Op::Concat { axis }, count)?
            }
            "Pack" => {
                let axis = node.axis(0);
                let parts = (0..node.inputs.len())
                    .map(|index| {
                        let value = self.value(node, index)?;
                        let op = Op::Unsqueeze(vec![axis]);
                        Ok(self.graph.apply(node.name, op, &[value]))
                    })
                    .collect::<Result<Vec<_>>>()?;
                self.graph.apply(node.name, Op::Concat { axis }, &parts)
            }
            "Unpack" | "SplitV" | "Split" => {
                let (x, axis, sizes, count) = match node.op {
                    "Unpack" => (self.value(node, 0)?, node.axis(0), None, "num"),
                    "SplitV" => (
                        self.value(node, 0)?,
                        self.axis(node, 2)?,
                        Some(self.value(node, 1)?),
                        "num_split",
                    ),
                    _ => (self.value(node, 1)?, self.axis(node, 0)?, None, "num_split"),
                };
                let count = node
                    .integer(count)
                    .and_then(|count| usize::try_from(count).ok());
                let count = count
                    .filter(|&count| count <= 1024)
                    .ok_or_else(|| node.unsupported("this number of parts"))?;
                let inputs: Vec<Value> = std::iter::once(x).chain(sizes).collect();
                let mut parts =
                    self.graph
                        .apply_many(node.name, Op::Split { axis }, &inputs, count);
                if node.op == "Unpack" {
                    for part in &mut parts {
                        *part = self
                            .graph
                            .apply(node.name, Op::Squeeze(vec![axis]), &[*part]);
                    }
                }
                self.values.insert(node.name.to_owned(), parts);
                return Ok(());
            }
            "Slice" => {
                let starts = self.constant(node, 1)?.to_integers();
                let sizes = self.constant(node, 2)?.to_integers();
                let ends: Vec<i64> = starts
                    .iter()
                    .zip(&sizes)
                    .map(|(&start, &size)| {
                        if size < 0 {
                            i64::from(i32::MAX)
                        } else {
                            start.saturating_add(size)
                        }
                    })
                    .collect();
                let x = self.value(node, 0)?;
                let bounds = [self.graph.integers(&starts), self.graph.integers(&ends)];
                self.graph
                    .apply(node.name, Op::Slice, &[x, bounds[0], bounds[1]])
            }
            "Pad" | "PadV2" => {
                let value = if node.op == "PadV2" {
                    self.scalar(node, 2)?
                } else {
                    0.0
                };
                let pairs = self.constant(node, 1)?.to_integers();
                let before = pairs.iter().step_by(2);
                let after = pairs.iter().skip(1).step_by(2);
                let amounts: Vec<i64> = before.chain(after).copied().collect();
                let x = self.value(node, 0)?;
                let amounts = self.graph.integers(&amounts);
                self.graph
                    .apply(node.name, Op::Pad { value }, &[x, amounts])
            }
            "ResizeBilinear" | "ResizeNearestNeighbor" => {
                let coordinates =
                    match (node.flag("align_corners"), node.flag("half_pixel_centers")) {
                        (true, false) => Coordinates::AlignCorners,
                        (false, true) => Coordinates::HalfPixel,
                        (false, false) => Coordinates::Asymmetric,
                        (true, true) => return Err(node.unsupported("both kinds of corners")),
                    };
                let mode = match (node.op, coordinates) {
                    ("ResizeBilinear", _) => ResizeMode::Linear,
                    (_, Coordinates::Asymmetric) => ResizeMode::NearestFloor,
                    _ => return Err(node.unsupported("these corners")),
                };
                let resize = Resize {
                    mode,
                    coordinates,
                    target: ResizeTarget::Sizes,
                };
                self.apply(node, Op::Resize(resize), 2)?
            }
            "Gather" | "GatherV2" => {
                let axis = if node.inputs.len() > 2 {
                    self.axis(node, 2)?
                } else {
                    0
                };
                self.apply(node, Op::Gather { axis }, 2)?
            }
            "GatherNd" => self.apply(node, Op::GatherNd, 2)?,
            "Shape" => self.apply(node, Op::Shape, 1)?,
            "SparseToDense" => self.apply(node, Op::SparseToDense, 4)?,
            _ => return Err(node.unsupported("the operation is not known")),
        };
        self.values.insert(node.name.to_owned(), vec![result]);
        Ok(())
    }

    /// Names the outputs: those of the signature, or else the nodes that nobody reads.
    fn outputs(&mut self, model: &Json, topology: &Json, nodes: &[Node<'_>]) -> Result<()> {
        let signature = model
            .get("signature")
            .or_else(|| topology.get("signature"))
            .and_then(|signature| signature.get("outputs"))
            .and_then(Json::as_object);
        if let Some(outputs) = signature {
            for (key, output) in outputs {
                let from = output.get("name").and_then(Json::as_str).unwrap_or(key);
                let value = self.find(from)?;
                self.graph.output(split(key).0, value);
            }
            return Ok(());
        }
        let read: std::collections::HashSet<&str> = nodes
            .iter()
            .flat_map(|node| node.inputs.iter().map(|input| split(input).0))
            .collect();
        for node in nodes {
            if !read.contains(node.name) && !matches!(node.op, "Const" | "Placeholder") {
                for (number, value) in self.values[node.name].clone().into_iter().enumerate() {
                    let name = match number {
                        0 => node.name.to_owned(),
                        number => format!("{}:{number}", node.name),
                    };
                    self.graph.output(&name, value);
                }
            }
        }
        Ok(())
    }
}
