//! Reads ONNX files: a small reader of the wire format (protocol buffers) and the operations that vision
//! networks use, from the operator set's documentation (versions 7 to 17).
//!
//! Maps of ONNX are channels first; every spatial operation is put between two transposes, and the optimiser
//! takes them away again.

use super::op::{
    Arithmetic, Conv, Coordinates, Deconv, Function, Op, Padding, Pool, PoolKind, Reduce,
    Reduction, Resize, ResizeMode, ResizeTarget, Window,
};
use super::{Error, Graph, Limits, Result, Tensor, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Channels first to channels last, and back.
const LAST: [usize; 4] = [0, 2, 3, 1];
const FIRST: [usize; 4] = [0, 3, 1, 2];

fn malformed(what: impl Into<String>) -> Error {
    Error::Malformed {
        format: "an ONNX file",
        what: what.into(),
    }
}

/// The fields of a message.
struct Fields<'a> {
    rest: &'a [u8],
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Single(u32),
    Double(u64),
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self
                .rest
                .split_first()
                .ok_or_else(|| malformed("a number is cut off"))?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed("a number is too long"))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let (taken, rest) = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length))
            .ok_or_else(|| malformed("a field is cut off"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let fixed = |bytes: &[u8]| {
            bytes
                .iter()
                .rev()
                .fold(0u64, |value, &byte| value << 8 | u64::from(byte))
        };
        let field = match key & 7 {
            0 => Field::Number(self.varint()?),
            1 => Field::Double(fixed(self.take(8)?)),
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Single(fixed(self.take(4)?) as u32),
            kind => return Err(malformed(format!("a field of kind {kind}"))),
        };
        Ok(Some((key >> 3, field)))
    }

    /// Calls `visit` for every field.
    fn each(bytes: &'a [u8], mut visit: impl FnMut(u64, Field<'a>) -> Result<()>) -> Result<()> {
        let mut fields = Fields { rest: bytes };
        while let Some((number, field)) = fields.next()? {
            visit(number, field)?;
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| malformed("text that is not UTF-8"))
}

/// A repeated number, which may come packed.
fn numbers(field: &Field<'_>, into: &mut Vec<i64>) -> Result<()> {
    match field {
        Field::Number(value) => into.push(*value as i64),
        Field::Bytes(bytes) => {
            let mut fields = Fields { rest: bytes };
            while !fields.rest.is_empty() {
                into.push(fields.varint()? as i64);
            }
        }
        _ => return Err(malformed("a list of numbers of another kind")),
    }
    Ok(())
}

fn singles(field: &Field<'_>, into: &mut Vec<f32>) -> Result<()> {
    match field {
        Field::Single(bits) => into.push(f32::from_bits(*bits)),
        Field::Bytes(bytes) if bytes.len().is_multiple_of(4) => {
            into.extend(
                bytes
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|&b| f32::from_le_bytes(b)),
            );
        }
        _ => return Err(malformed("a list of floats of another kind")),
    }
    Ok(())
}

fn tensor(bytes: &[u8], limits: Limits) -> Result<(String, Tensor)> {
    let (mut dims, mut kind, mut name, mut raw) = (Vec::new(), 0, String::new(), None);
    let (mut floats, mut integers, mut doubles) = (Vec::new(), Vec::new(), Vec::new());
    let mut external = false;
    Fields::each(bytes, |number, field| {
        match (number, &field) {
            (1, _) => numbers(&field, &mut dims)?,
            (2, Field::Number(value)) => kind = *value,
            (4, _) => singles(&field, &mut floats)?,
            (5 | 7 | 11, _) => numbers(&field, &mut integers)?,
            (8, Field::Bytes(bytes)) => name = text(bytes)?,
            (9, Field::Bytes(bytes)) => raw = Some(*bytes),
            (10, Field::Double(bits)) => doubles.push(f64::from_bits(*bits)),
            (10, Field::Bytes(bytes)) => doubles.extend(
                bytes
                    .as_chunks::<8>()
                    .0
                    .iter()
                    .map(|&b| f64::from_le_bytes(b)),
            ),
            (13, _) => external = true,
            _ => {}
        }
        Ok(())
    })?;
    if external {
        return Err(malformed(format!("tensor `{name}` lies in another file")));
    }
    let shape = dims
        .iter()
        .map(|&size| usize::try_from(size).map_err(|_| malformed("a negative size")))
        .collect::<Result<Vec<_>>>()?;
    let elements = super::tensor::count(&shape).filter(|&n| n <= limits.elements);
    if elements.is_none() {
        return Err(Error::TooLarge {
            what: format!("tensor `{name}` of shape {shape:?}"),
            limit: limits.elements as u64,
        });
    }
    fn read<const SIZE: usize>(bytes: &[u8], value: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
        bytes
            .as_chunks::<SIZE>()
            .0
            .iter()
            .map(|&b| value(b))
            .collect()
    }
    let data = match (kind, raw) {
        (1, Some(raw)) => read(raw, f32::from_le_bytes),
        (1, None) => floats,
        (11, Some(raw)) => read(raw, |b| f64::from_le_bytes(b) as f32),
        (11, None) => doubles.into_iter().map(|value| value as f32).collect(),
        (10, Some(raw)) => read(raw, |b| half::f16::from_le_bytes(b).to_f32()),
        (10, None) => integers
            .into_iter()
            .map(|bits| half::f16::from_bits(bits as u16).to_f32())
            .collect(),
        (7, Some(raw)) => read(raw, |b| i64::from_le_bytes(b) as f32),
        (6, Some(raw)) => read(raw, |b| i32::from_le_bytes(b) as f32),
        (2 | 9, Some(raw)) => read(raw, |[b]: [u8; 1]| f32::from(b)),
        (3, Some(raw)) => read(raw, |[b]: [u8; 1]| f32::from(b as i8)),
        (2 | 3 | 6 | 7 | 9, None) => integers.into_iter().map(|value| value as f32).collect(),
        _ => return Err(malformed(format!("tensor `{name}` of element type {kind}"))),
    };
    Tensor::new(&shape, data)
        .map(|tensor| (name.clone(), tensor))
        .map_err(|_| malformed(format!("tensor `{name}` of shape {shape:?} and other data")))
}

#[derive(Default)]
struct Attribute {
    float: Option<f32>,
    integer: Option<i64>,
    text: Option<String>,
    tensor: Option<Tensor>,
    floats: Vec<f32>,
    integers: Vec<i64>,
}

#[derive(Default)]
struct Node {
    inputs: Vec<String>,
    outputs: Vec<String>,
    name: String,
    op: String,
    attributes: HashMap<String, Attribute>,
}

fn attribute(bytes: &[u8], limits: Limits) -> Result<(String, Attribute)> {
    let (mut name, mut attribute) = (String::new(), Attribute::default());
    Fields::each(bytes, |number, field| {
        match (number, &field) {
            (1, Field::Bytes(bytes)) => name = text(bytes)?,
            (2, Field::Single(bits)) => attribute.float = Some(f32::from_bits(*bits)),
            (3, Field::Number(value)) => attribute.integer = Some(*value as i64),
            (4, Field::Bytes(bytes)) => {
                attribute.text = Some(String::from_utf8_lossy(bytes).into_owned());
            }
            (5, Field::Bytes(bytes)) => attribute.tensor = Some(tensor(bytes, limits)?.1),
            (7, _) => singles(&field, &mut attribute.floats)?,
            (8, _) => numbers(&field, &mut attribute.integers)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((name, attribute))
}

fn node(bytes: &[u8], limits: Limits) -> Result<Node> {
    let mut node = Node::default();
    Fields::each(bytes, |number, field| {
        let Field::Bytes(bytes) = field else {
            return Ok(());
        };
        match number {
            1 => node.inputs.push(text(bytes)?),
            2 => node.outputs.push(text(bytes)?),
            3 => node.name = text(bytes)?,
            4 => node.op = text(bytes)?,
            5 => {
                let (name, attribute) = attribute(bytes, limits)?;
                node.attributes.insert(name, attribute);
            }
            _ => {}
        }
        Ok(())
    })?;
    if node.name.is_empty() {
        node.name = node.outputs.first().cloned().unwrap_or_default();
    }
    Ok(node)
}

/// An input or output: its name and dimensions.
fn declared(bytes: &[u8]) -> Result<(String, Vec<Option<usize>>)> {
    let (mut name, mut shape) = (String::new(), Vec::new());
    Fields::each(bytes, |number, field| {
        match (number, field) {
            (1, Field::Bytes(bytes)) => name = text(bytes)?,
            (2, Field::Bytes(kind)) => Fields::each(kind, |number, field| {
                let (1, Field::Bytes(tensor)) = (number, field) else {
                    return Ok(());
                };
                Fields::each(tensor, |number, field| {
                    let (2, Field::Bytes(dims)) = (number, field) else {
                        return Ok(());
                    };
                    Fields::each(dims, |number, field| {
                        let (1, Field::Bytes(dim)) = (number, field) else {
                            return Ok(());
                        };
                        let mut size = None;
                        Fields::each(dim, |number, field| {
                            if let (1, Field::Number(value)) = (number, field) {
                                size = usize::try_from(value as i64).ok().filter(|&n| n > 0);
                            }
                            Ok(())
                        })?;
                        shape.push(size);
                        Ok(())
                    })
                })
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((name, shape))
}

/// Reads a graph.
pub(super) fn read(bytes: &[u8], limits: Limits) -> Result<Graph> {
    let mut body = None;
    let mut graph = Graph::new();
    Fields::each(bytes, |number, field| {
        match (number, field) {
            (7, Field::Bytes(bytes)) => body = Some(bytes),
            (14, Field::Bytes(bytes)) => {
                let (mut key, mut value) = (String::new(), String::new());
                Fields::each(bytes, |number, field| {
                    match (number, field) {
                        (1, Field::Bytes(bytes)) => key = text(bytes)?,
                        (2, Field::Bytes(bytes)) => value = text(bytes)?,
                        _ => {}
                    }
                    Ok(())
                })?;
                graph.metadata.insert(key, value);
            }
            _ => {}
        }
        Ok(())
    })?;
    let body = body.ok_or_else(|| malformed("there is no graph"))?;
    let (mut nodes, mut inputs, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
    let mut importer = Importer {
        graph,
        values: HashMap::new(),
    };
    Fields::each(body, |number, field| {
        let Field::Bytes(bytes) = field else {
            return Ok(());
        };
        match number {
            1 => {
                if nodes.len() >= limits.nodes {
                    return Err(Error::TooLarge {
                        what: "the number of nodes".to_owned(),
                        limit: limits.nodes as u64,
                    });
                }
                nodes.push(node(bytes, limits)?);
            }
            5 => {
                let (name, tensor) = tensor(bytes, limits)?;
                let value = importer.graph.constant(tensor);
                importer.values.insert(name, value);
            }
            11 => inputs.push(declared(bytes)?),
            12 => outputs.push(declared(bytes)?.0),
            _ => {}
        }
        Ok(())
    })?;
    for (name, shape) in inputs {
        // Older files list their weights among the inputs.
        if !importer.values.contains_key(&name) {
            let value = importer.graph.input(&name, &shape);
            importer.values.insert(name, value);
        }
    }
    for node in &nodes {
        importer.node(node)?;
    }
    for name in outputs {
        let value = importer
            .values
            .get(&name)
            .copied()
            .ok_or_else(|| malformed(format!("nothing makes output `{name}`")))?;
        importer.graph.output(&name, value);
    }
    Ok(importer.graph)
}

struct Importer {
    graph: Graph,
    values: HashMap<String, Value>,
}

impl Node {
    fn unsupported(&self, what: impl Into<String>) -> Error {
        Error::Unsupported {
            node: self.name.clone(),
            op: self.op.clone(),
            what: what.into(),
        }
    }

    fn integer(&self, name: &str, default: i64) -> i64 {
        self.attributes
            .get(name)
            .and_then(|attribute| attribute.integer)
            .unwrap_or(default)
    }

    fn float(&self, name: &str, default: f32) -> f32 {
        self.attributes
            .get(name)
            .and_then(|attribute| attribute.float)
            .unwrap_or(default)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.text.as_deref()
    }

    fn integers(&self, name: &str) -> Option<&[i64]> {
        self.attributes
            .get(name)
            .map(|attribute| attribute.integers.as_slice())
    }

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

    fn constant(&self, node: &Node, index: usize) -> Result<Arc<Tensor>> {
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
    fn node(&mut self, node: &Node) -> Result<()> {
        let arithmetic = |arithmetic| Op::Arithmetic(arithmetic);
        let function = Op::Map;
        let result = match node.op.as_str() {
            "Identity" | "Dropout" => self.value(node, 0)?,
            "Constant" => {
                let constant = node
                    .attributes
                    .get("value")
                    .and_then(|attribute| attribute.tensor.clone())
                    .or_else(|| {
                        let attribute = |name| node.attributes.get(name);
                        attribute("value_float")
                            .and_then(|a| a.float)
                            .map(Tensor::scalar)
                            .or_else(|| {
                                attribute("value_int")
                                    .and_then(|a| a.integer)
                                    .map(|value| Tensor::scalar(value as f32))
                            })
                            .or_else(|| {
                                attribute("value_ints").map(|a| Tensor::integers(&a.integers))
                            })
                            .or_else(|| {
                                attribute("value_floats").map(|a| Tensor::list(a.floats.clone()))
                            })
                    });
                let constant = constant.ok_or_else(|| node.unsupported("this constant"))?;
                self.graph.constant(constant)
            }
            "Conv" => {
                let weights = self.constant(node, 1)?;
                let bias = match self.maybe(node, 2)? {
                    Some(_) => Some(self.constant(node, 2)?),
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
                let weights = self.constant(node, 1)?;
                let bias = match self.maybe(node, 2)? {
                    Some(_) => Some(self.constant(node, 2)?),
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
                    .map(|index| self.constant(node, index))
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
                let shape = [channels, 1, 1];
                let scale = self.graph.constant(Tensor::new(&shape, scale)?);
                let shift = self.graph.constant(Tensor::new(&shape, shift)?);
                let x = self.value(node, 0)?;
                let scaled = self
                    .graph
                    .apply(&node.name, arithmetic(Arithmetic::Mul), &[x, scale]);
                self.graph
                    .apply(&node.name, arithmetic(Arithmetic::Add), &[scaled, shift])
            }
            "Relu" => self.apply(node, function(Function::RELU), 1)?,
            "LeakyRelu" => {
                let slope = node.float("alpha", 0.01);
                self.apply(node, function(Function::Leaky(slope)), 1)?
            }
            "PRelu" => {
                let slopes = self.constant(node, 1)?;
                let slopes: Arc<[f32]> = slopes.data().into();
                self.spatial(node, function(Function::Prelu(slopes)), &[])?
            }
            "Clip" => {
                let bound = |importer: &Self, index, name, default| -> Result<f32> {
                    match importer.maybe(node, index)? {
                        Some(_) => importer
                            .constant(node, index)?
                            .only()
                            .ok_or_else(|| node.unsupported("bounds that are not scalars")),
                        None => Ok(node.float(name, default)),
                    }
                };
                let low = bound(self, 1, "min", f32::NEG_INFINITY)?;
                let high = bound(self, 2, "max", f32::INFINITY)?;
                self.apply(node, function(Function::Clip { low, high }), 1)?
            }
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
            "Cast" => match node.integer("to", 1) {
                1 | 10 | 11 => self.value(node, 0)?,
                2..=7 | 12 | 13 => self.apply(node, function(Function::Truncate), 1)?,
                other => return Err(node.unsupported(format!("a cast to type {other}"))),
            },
            "Add" => self.apply(node, arithmetic(Arithmetic::Add), 2)?,
            "Sub" => self.apply(node, arithmetic(Arithmetic::Sub), 2)?,
            "Mul" => self.apply(node, arithmetic(Arithmetic::Mul), 2)?,
            "Div" => self.apply(node, arithmetic(Arithmetic::Div), 2)?,
            "Pow" => self.apply(node, arithmetic(Arithmetic::Pow), 2)?,
            "Max" if node.inputs.len() == 2 => self.apply(node, arithmetic(Arithmetic::Max), 2)?,
            "Min" if node.inputs.len() == 2 => self.apply(node, arithmetic(Arithmetic::Min), 2)?,
            "MaxPool" | "AveragePool" => {
                let kind = match (node.op.as_str(), node.integer("count_include_pad", 0)) {
                    ("MaxPool", _) => PoolKind::Max,
                    (_, 0) => PoolKind::Average,
                    _ => PoolKind::AverageWithPadding,
                };
                let window = node.window()?;
                self.spatial(node, Op::Pool(Pool { kind, window }), &[])?
            }
            "GlobalAveragePool" => {
                let reduce = Reduce {
                    kind: Reduction::Mean,
                    axes: vec![2, 3],
                    keep: true,
                };
                self.apply(node, Op::Reduce(reduce), 1)?
            }
            "ReduceMean" | "ReduceSum" | "ReduceMax" => {
                let kind = match node.op.as_str() {
                    "ReduceMean" => Reduction::Mean,
                    "ReduceSum" => Reduction::Sum,
                    _ => Reduction::Max,
                };
                let reduce = Reduce {
                    kind,
                    axes: node.axes().unwrap_or_default(),
                    keep: node.integer("keepdims", 1) != 0,
                };
                let inputs = 1 + usize::from(self.maybe(node, 1)?.is_some());
                self.apply(node, Op::Reduce(reduce), inputs)?
            }
            "Softmax" => {
                let axis = node.axis(-1);
                self.apply(node, Op::Softmax { axis }, 1)?
            }
            "MatMul" => self.apply(node, Op::MatMul, 2)?,
            "Gemm" => self.gemm(node)?,
            "ArgMax" => {
                let op = Op::ArgMax {
                    axis: node.axis(0),
                    keep: node.integer("keepdims", 1) != 0,
                };
                self.apply(node, op, 1)?
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
                if node.axis(1) != 1 {
                    return Err(node.unsupported("an axis other than 1"));
                }
                let shape = self.graph.integers(&[0, -1]);
                let x = self.value(node, 0)?;
                self.graph
                    .apply(&node.name, Op::Reshape { keep_zeros: true }, &[x, shape])
            }
            "Squeeze" | "Unsqueeze" => {
                let axes = match self.maybe(node, 1)? {
                    Some(_) => self
                        .constant(node, 1)?
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
                for (name, value) in node.outputs.iter().zip(results) {
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
                    Some(_) => self.constant(node, 2)?.only().unwrap_or(0.0),
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
            "Shape" => self.apply(node, Op::Shape, 1)?,
            _ => return Err(node.unsupported("the operation is not known")),
        };
        if let Some(name) = node.outputs.first() {
            self.values.insert(name.clone(), result);
        }
        Ok(())
    }

    fn gemm(&mut self, node: &Node) -> Result<Value> {
        let plain = node.float("alpha", 1.0) == 1.0
            && node.float("beta", 1.0) == 1.0
            && node.integer("transA", 0) == 0;
        if !plain {
            return Err(node.unsupported("factors or a transposed left side"));
        }
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
        let x = self.value(node, 0)?;
        let product = self.graph.apply(&node.name, Op::MatMul, &[x, weights]);
        Ok(match self.maybe(node, 2)? {
            Some(bias) => self.graph.add(&node.name, product, bias),
            None => product,
        })
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
            other => return Err(node.unsupported(format!("mode {other:?}"))),
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
        let bounds = [2, 4].map(|bound| self.graph.integers(&[bound]));
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
