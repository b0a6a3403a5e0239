//! Writes a network as an ONNX file, so that other runtimes can be measured and checked beside this one.
//!
//! The file holds what the optimiser left, with what convolutions took up written as nodes of its own: pads and
//! batch normalisation are part of the convolutions, functions have names. Maps are channels first, as other
//! exporters write them: a value stays as it was made and is turned only for an operation that must see it
//! otherwise. Sizes are fixed, and what only sizes decide is constant.

use super::op::{
    After, Arithmetic, Conv, Coordinates, Function, Op, Pool, PoolKind, Reduction, Resize,
    ResizeMode, ResizeTarget, Window,
};
use super::optimise::optimise;
use super::plan::Planner;
use super::shape::{axis_of, order_of, pads, parts, reduced, resize_target, slices};
use super::{Graph, Limits, Node, Result, Value};

/// The operator set.
const OPSET: i64 = 17;
/// The version of the file format that goes with it.
const FORMAT: i64 = 8;
/// Axes of a map whose channels are first, as those of one whose channels are last, and the other way round.
const FIRST: [usize; 4] = [0, 3, 1, 2];
const LAST: [usize; 4] = [0, 2, 3, 1];

impl Graph {
    /// The network as an ONNX file for inputs of these shapes, given in the order of [`Graph::inputs`].
    ///
    /// Outputs keep their layout. An input of four dimensions that only operations on maps read is declared channels
    /// first: its shape in the file says so.
    ///
    /// # Errors
    /// When the shapes do not fit, or an operation has no form in ONNX here.
    pub fn to_onnx(self, shapes: &[&[usize]]) -> Result<Vec<u8>> {
        let graph = optimise(self, Limits::default())?;
        let planner = Planner::measured(&graph, Limits::default(), shapes)?;
        let mut writer = Writer {
            graph: &graph,
            planner: &planner,
            last: vec![None; graph.constants.len()],
            first: vec![None; graph.constants.len()],
            body: Message::default(),
            names: 0,
        };
        writer.write()?;
        let mut model = Message::default();
        model.number(1, FORMAT);
        model.text(2, "escala");
        model.message(7, &writer.body);
        let mut opset = Message::default();
        opset.text(1, "");
        opset.number(2, OPSET);
        model.message(8, &opset);
        Ok(model.0)
    }
}

/// A message of the wire format (protocol buffers), field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: i64) {
        self.varint(field << 3);
        self.varint(value as u64);
    }

    fn single(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }
}

/// An attribute of a node.
enum Is<'a> {
    Number(i64),
    Numbers(&'a [usize]),
    Single(f32),
    Text(&'a str),
}

/// `TensorProto.DataType`
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// A name and a declared shape.
fn declared(name: &str, shape: &[usize]) -> Message {
    let mut dimensions = Message::default();
    for &size in shape {
        let mut dimension = Message::default();
        dimension.number(1, size as i64);
        dimensions.message(1, &dimension);
    }
    let mut tensor = Message::default();
    tensor.number(1, FLOAT);
    tensor.message(2, &dimensions);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut declared = Message::default();
    declared.text(1, name);
    declared.message(2, &kind);
    declared
}

/// In which layout a value of four dimensions is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// As the graph has it: channels last where there are channels.
    Last,
    First,
}

impl Layout {
    /// Where an axis lies.
    fn axis(self, axis: usize) -> usize {
        match self {
            Self::Last => axis,
            Self::First => LAST[axis],
        }
    }

    /// One number an axis, in the layout's order.
    fn turn<T: Copy>(self, of: &[T]) -> Vec<T> {
        match self {
            Self::Last => of.to_vec(),
            Self::First => FIRST.iter().map(|&axis| of[axis]).collect(),
        }
    }
}

struct Writer<'a> {
    graph: &'a Graph,
    planner: &'a Planner<'a>,
    /// The names of values in each layout, as far as they were made.
    last: Vec<Option<String>>,
    first: Vec<Option<String>>,
    /// The file's graph.
    body: Message,
    names: usize,
}

impl Writer<'_> {
    fn write(&mut self) -> Result<()> {
        self.body.text(2, "network");
        for (declares, value) in &self.graph.inputs {
            let shape = self.planner.shape(*value).to_vec();
            let mut readers = (self.graph.nodes.iter()).filter(|n| n.inputs.contains(value));
            let first = shape.len() == 4 && readers.all(|node| sees_maps(&node.op));
            let layout = if first { Layout::First } else { Layout::Last };
            let shape = layout.turn(&shape);
            self.body.message(11, &declared(&declares.name, &shape));
            self.put(*value, layout, declares.name.clone());
        }
        for node in &self.graph.nodes {
            let known = |value: &Value| self.planner.known(*value).is_some();
            if !node.outputs.iter().all(known) {
                self.node(node)?;
            }
        }
        for (name, value) in &self.graph.outputs {
            let made = self.name(*value, Layout::Last)?;
            self.emit_as("Identity", &[&made], &[name], &[]);
            let shape = self.planner.shape(*value).to_vec();
            self.body.message(12, &declared(name, &shape));
        }
        Ok(())
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        format!("escala/{}", self.names)
    }

    fn put(&mut self, value: Value, layout: Layout, name: String) {
        match layout {
            Layout::Last => self.last[value.0] = Some(name),
            Layout::First => self.first[value.0] = Some(name),
        }
    }

    fn emit_as(
        &mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Is<'_>)],
    ) {
        let mut node = Message::default();
        for input in inputs {
            node.text(1, input);
        }
        for output in outputs {
            node.text(2, output);
        }
        node.text(
            3,
            &format!("{op} {}", outputs.first().copied().unwrap_or_default()),
        );
        node.text(4, op);
        for (name, value) in attributes {
            let mut attribute = Message::default();
            attribute.text(1, name);
            // The last field is `AttributeProto.AttributeType`.
            match value {
                Is::Single(value) => {
                    attribute.single(2, *value);
                    attribute.number(20, 1);
                }
                Is::Number(value) => {
                    attribute.number(3, *value);
                    attribute.number(20, 2);
                }
                Is::Text(value) => {
                    attribute.text(4, value);
                    attribute.number(20, 3);
                }
                Is::Numbers(values) => {
                    for &value in *values {
                        attribute.number(8, value as i64);
                    }
                    attribute.number(20, 7);
                }
            }
            node.message(5, &attribute);
        }
        self.body.message(1, &node);
    }

    /// A node with one result, whose name this gives.
    fn emit(&mut self, op: &str, inputs: &[&str], attributes: &[(&str, Is<'_>)]) -> String {
        let name = self.fresh();
        self.emit_as(op, inputs, &[&name], attributes);
        name
    }

    fn initialiser(&mut self, kind: i64, shape: &[usize], data: &[u8]) -> String {
        let name = self.fresh();
        let mut tensor = Message::default();
        for &size in shape {
            tensor.number(1, size as i64);
        }
        tensor.number(2, kind);
        tensor.text(8, &name);
        tensor.bytes(9, data);
        self.body.message(5, &tensor);
        name
    }

    fn floats(&mut self, shape: &[usize], data: &[f32]) -> String {
        let bytes: Vec<u8> = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initialiser(FLOAT, shape, &bytes)
    }

    fn scalar(&mut self, value: f32) -> String {
        self.floats(&[], &[value])
    }

    fn integers(&mut self, values: &[i64]) -> String {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.initialiser(INT64, &[values.len()], &bytes)
    }

    fn sizes(&mut self, shape: &[usize]) -> String {
        let sizes: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        self.integers(&sizes)
    }

    /// The layout in which a value was made, which is the one to stay in.
    fn layout(&self, value: Value) -> Layout {
        match (&self.last[value.0], &self.first[value.0]) {
            (None, Some(_)) => Layout::First,
            _ => Layout::Last,
        }
    }

    /// The layout for several values together.
    fn common(&self, values: &[Value]) -> Layout {
        let first = |value: &Value| self.layout(*value) == Layout::First;
        let maps = |value: &Value| self.planner.shape(*value).len() == 4;
        if values.iter().any(first) && values.iter().all(maps) {
            Layout::First
        } else {
            Layout::Last
        }
    }

    /// The name of a value in a layout, which it is brought into if need be.
    fn name(&mut self, value: Value, layout: Layout) -> Result<String> {
        let made = match layout {
            Layout::Last => &self.last[value.0],
            Layout::First => &self.first[value.0],
        };
        if let Some(name) = made {
            return Ok(name.clone());
        }
        let shape = self.planner.shape(value).to_vec();
        let name = if let Some(tensor) = self.planner.known(value) {
            match layout {
                Layout::Last => self.floats(&shape, tensor.data()),
                Layout::First => {
                    let turned = tensor.transposed(&FIRST);
                    self.floats(turned.shape(), turned.data())
                }
            }
        } else {
            let (other, order) = match layout {
                Layout::Last => (self.first[value.0].clone(), LAST),
                Layout::First => (self.last[value.0].clone(), FIRST),
            };
            let other = other.ok_or_else(|| super::Error::Invalid {
                node: "export".to_owned(),
                what: "an input that nothing has made".to_owned(),
            })?;
            // Of one pixel, or one channel, nothing moves.
            if shape[1] * shape[2] == 1 || shape[3] == 1 {
                let sizes = self.sizes(&layout.turn(&shape));
                self.emit("Reshape", &[&other, &sizes], &[])
            } else {
                self.emit("Transpose", &[&other], &[("perm", Is::Numbers(&order))])
            }
        };
        self.put(value, layout, name.clone());
        Ok(name)
    }

    /// Indices of a gather.
    fn indices(&mut self, value: Value) -> Result<String> {
        if let Some(tensor) = self.planner.known(value) {
            let bytes: Vec<u8> = (tensor.to_integers().iter())
                .flat_map(|value| value.to_le_bytes())
                .collect();
            return Ok(self.initialiser(INT64, tensor.shape(), &bytes));
        }
        let name = self.name(value, Layout::Last)?;
        Ok(self.emit("Cast", &[&name], &[("to", Is::Number(INT64))]))
    }

    #[allow(clippy::too_many_lines)]
    fn node(&mut self, node: &Node) -> Result<()> {
        let x = node.inputs.first().copied();
        let x = x.ok_or_else(|| node.invalid("no input"))?;
        let output = node.outputs[0];
        let shape = self.planner.shape(x).to_vec();
        let made = self.planner.shape(output).to_vec();
        let (layout, name) = match &node.op {
            Op::Conv(conv) => {
                let name = self.conv(node, conv, x)?;
                (
                    Layout::First,
                    self.after(node, &conv.after, name, Layout::First)?,
                )
            }
            Op::Deconv(deconv) => {
                let from = self.name(x, Layout::First)?;
                let weights = self.floats(deconv.weights.shape(), deconv.weights.data());
                let bias = self.floats(&[deconv.bias.len()], &deconv.bias);
                let strides = ("strides", Is::Numbers(&deconv.size));
                let name = self.emit("ConvTranspose", &[&from, &weights, &bias], &[strides]);
                (
                    Layout::First,
                    self.after(node, &deconv.after, name, Layout::First)?,
                )
            }
            Op::Linear(linear) => {
                let from = self.name(x, Layout::Last)?;
                let weights = self.floats(linear.weights.shape(), linear.weights.data());
                let bias = self.floats(&[linear.bias.len()], &linear.bias);
                let name = if shape.len() == 2 {
                    self.emit("Gemm", &[&from, &weights, &bias], &[])
                } else {
                    let product = self.emit("MatMul", &[&from, &weights], &[]);
                    self.emit("Add", &[&product, &bias], &[])
                };
                (
                    Layout::Last,
                    self.after(node, &linear.after, name, Layout::Last)?,
                )
            }
            Op::Map(function) => {
                let layout = self.layout(x);
                let from = self.name(x, layout)?;
                (layout, self.function(function, from, layout))
            }
            Op::Arithmetic(arithmetic) => self.arithmetic(node, *arithmetic, &made)?,
            Op::Pool(pool) => {
                let from = self.name(x, Layout::First)?;
                (Layout::First, self.pool(node, pool, &from, &shape)?)
            }
            Op::Reduce(reduce) => {
                let axes = self
                    .planner
                    .with_operands(node, |operands| reduced(node, &reduce.axes, operands))?;
                // What remains of a map must keep its order.
                let whole = axes.contains(&3) || (axes.contains(&1) && axes.contains(&2));
                let layout = match self.layout(x) {
                    Layout::First if reduce.keep || whole => Layout::First,
                    _ => Layout::Last,
                };
                let from = self.name(x, layout)?;
                let mut places: Vec<usize> = axes.iter().map(|&axis| layout.axis(axis)).collect();
                places.sort_unstable();
                let keep = ("keepdims", Is::Number(i64::from(reduce.keep)));
                let name = match reduce.kind {
                    Reduction::Mean if layout == Layout::First && places == [2, 3] => {
                        let mean = self.emit("GlobalAveragePool", &[&from], &[]);
                        if reduce.keep {
                            mean
                        } else {
                            let sizes = self.sizes(&made);
                            self.emit("Reshape", &[&mean, &sizes], &[])
                        }
                    }
                    Reduction::Sum => {
                        let axes = self.sizes(&places);
                        self.emit("ReduceSum", &[&from, &axes], &[keep])
                    }
                    kind => {
                        let op = if kind == Reduction::Mean {
                            "ReduceMean"
                        } else {
                            "ReduceMax"
                        };
                        self.emit(op, &[&from], &[("axes", Is::Numbers(&places)), keep])
                    }
                };
                (if reduce.keep { layout } else { Layout::Last }, name)
            }
            Op::Softmax { axis } => {
                let layout = self.layout(x);
                let from = self.name(x, layout)?;
                let axis = layout.axis(axis_of(node, *axis, shape.len())?);
                (
                    layout,
                    self.emit("Softmax", &[&from], &[("axis", Is::Number(axis as i64))]),
                )
            }
            Op::MatMul => {
                let from = self.name(x, Layout::Last)?;
                let right = self.name(node.inputs[1], Layout::Last)?;
                (Layout::Last, self.emit("MatMul", &[&from, &right], &[]))
            }
            Op::ArgMax { axis, keep } => {
                let from = self.name(x, Layout::Last)?;
                let axis = axis_of(node, *axis, shape.len())? as i64;
                let attributes = [
                    ("axis", Is::Number(axis)),
                    ("keepdims", Is::Number(i64::from(*keep))),
                ];
                let place = self.emit("ArgMax", &[&from], &attributes);
                (
                    Layout::Last,
                    self.emit("Cast", &[&place], &[("to", Is::Number(FLOAT))]),
                )
            }
            Op::Transpose(order) => {
                let order = order_of(node, order, shape.len())?;
                match (order.as_slice(), self.layout(x)) {
                    // Only another layout.
                    ([0, 3, 1, 2], _) => (Layout::Last, self.name(x, Layout::First)?),
                    ([0, 2, 3, 1], Layout::Last) => (Layout::First, self.name(x, Layout::Last)?),
                    (order, layout) => {
                        let from = self.name(x, layout)?;
                        let order: Vec<usize> = order.iter().map(|&a| layout.axis(a)).collect();
                        let order = ("perm", Is::Numbers(&order));
                        (Layout::Last, self.emit("Transpose", &[&from], &[order]))
                    }
                }
            }
            Op::Reshape { .. } | Op::Squeeze(_) | Op::Unsqueeze(_) => {
                let from = self.name(x, Layout::Last)?;
                let sizes = self.sizes(&made);
                (Layout::Last, self.emit("Reshape", &[&from, &sizes], &[]))
            }
            Op::Concat { axis } => {
                let layout = self.common(&node.inputs);
                let names = self.names(&node.inputs, layout)?;
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let axis = layout.axis(axis_of(node, *axis, shape.len())?);
                (
                    layout,
                    self.emit("Concat", &names, &[("axis", Is::Number(axis as i64))]),
                )
            }
            Op::Split { axis } => {
                let layout = self.layout(x);
                let from = self.name(x, layout)?;
                let axis = axis_of(node, *axis, shape.len())?;
                let parts = self
                    .planner
                    .with_operands(node, |operands| parts(node, axis, operands))?;
                let sizes = self.sizes(&parts);
                let results: Vec<String> = parts.iter().map(|_| self.fresh()).collect();
                let names: Vec<&str> = results.iter().map(String::as_str).collect();
                let axis = ("axis", Is::Number(layout.axis(axis) as i64));
                self.emit_as("Split", &[&from, &sizes], &names, &[axis]);
                for (&value, name) in node.outputs.iter().zip(results) {
                    self.put(value, layout, name);
                }
                return Ok(());
            }
            Op::Slice => {
                let layout = self.layout(x);
                let from = self.name(x, layout)?;
                let slices = self
                    .planner
                    .with_operands(node, |operands| slices(node, operands))?;
                let (mut starts, mut ends, mut axes, mut steps) = (vec![], vec![], vec![], vec![]);
                for (axis, &(start, step, length)) in slices.iter().enumerate() {
                    if (start, step, length) == (0, 1, shape[axis]) {
                        continue;
                    }
                    let end = start as i64 + step * length as i64;
                    starts.push(start as i64);
                    // Before the first element is far before it: -1 would be the last.
                    ends.push(if end < 0 { i64::MIN } else { end });
                    axes.push(layout.axis(axis) as i64);
                    steps.push(step);
                }
                let lists = [starts, ends, axes, steps].map(|list| self.integers(&list));
                let [starts, ends, axes, steps] = lists.each_ref().map(String::as_str);
                (
                    layout,
                    self.emit("Slice", &[&from, starts, ends, axes, steps], &[]),
                )
            }
            Op::Pad { value } => {
                let layout = self.layout(x);
                let from = self.name(x, layout)?;
                let amounts = self
                    .planner
                    .with_operands(node, |operands| pads(node, operands))?;
                let amounts = match layout {
                    Layout::First => layout.turn(&amounts),
                    Layout::Last => amounts,
                };
                let before = amounts.iter().map(|amounts| amounts.0);
                let amounts: Vec<usize> = before.chain(amounts.iter().map(|a| a.1)).collect();
                let (amounts, value) = (self.sizes(&amounts), self.scalar(*value));
                (layout, self.emit("Pad", &[&from, &amounts, &value], &[]))
            }
            Op::Resize(resize) => {
                let from = self.name(x, Layout::First)?;
                (Layout::First, self.resize(node, resize, &from, &made)?)
            }
            Op::Gather { axis } => {
                let from = self.name(x, Layout::Last)?;
                let indices = self.indices(node.inputs[1])?;
                let axis = axis_of(node, *axis, shape.len())? as i64;
                let axis = ("axis", Is::Number(axis));
                (
                    Layout::Last,
                    self.emit("Gather", &[&from, &indices], &[axis]),
                )
            }
            Op::GatherNd => {
                let from = self.name(x, Layout::Last)?;
                let indices = self.indices(node.inputs[1])?;
                (Layout::Last, self.emit("GatherND", &[&from, &indices], &[]))
            }
            _ => return Err(node.unsupported("it cannot be written")),
        };
        self.put(output, layout, name);
        Ok(())
    }

    fn names(&mut self, values: &[Value], layout: Layout) -> Result<Vec<String>> {
        values
            .iter()
            .map(|&value| self.name(value, layout))
            .collect()
    }

    fn conv(&mut self, node: &Node, conv: &Conv, x: Value) -> Result<String> {
        let from = self.name(x, Layout::First)?;
        let weights = self.floats(conv.weights.shape(), conv.weights.data());
        let bias = self.floats(&[conv.bias.len()], &conv.bias);
        let pads = padding(node, &conv.window, self.planner.shape(x))?;
        let attributes = [
            ("strides", Is::Numbers(&conv.window.strides)),
            ("dilations", Is::Numbers(&conv.window.dilations)),
            ("kernel_shape", Is::Numbers(&conv.window.size)),
            ("pads", Is::Numbers(&pads)),
            ("group", Is::Number(conv.groups as i64)),
        ];
        Ok(self.emit("Conv", &[&from, &weights, &bias], &attributes))
    }

    /// What follows a sum: `second(first(sum) + residual)`.
    fn after(&mut self, node: &Node, after: &After, sum: String, layout: Layout) -> Result<String> {
        let mut name = self.function(&after.first, sum, layout);
        if let (true, Some(&residual)) = (after.residual, node.inputs.last()) {
            let residual = match self.operand(residual, layout)? {
                Some(residual) => residual,
                None => return Err(node.unsupported("a sum with this cannot be written")),
            };
            name = self.emit("Add", &[&name, &residual], &[]);
        }
        Ok(self.function(&after.second, name, layout))
    }

    fn function(&mut self, function: &Function, x: String, layout: Layout) -> String {
        match function {
            Function::Identity => x,
            function if *function == Function::RELU => self.emit("Relu", &[&x], &[]),
            Function::Clip { low, high } => {
                let (low, high) = (self.scalar(*low), self.scalar(*high));
                self.emit("Clip", &[&x, &low, &high], &[])
            }
            Function::Leaky(slope) => {
                self.emit("LeakyRelu", &[&x], &[("alpha", Is::Single(*slope))])
            }
            Function::Prelu(slopes) => {
                let count = slopes.len();
                let slopes = match layout {
                    Layout::First => self.floats(&[count, 1, 1], slopes),
                    Layout::Last => self.floats(&[count], slopes),
                };
                self.emit("PRelu", &[&x, &slopes], &[])
            }
            Function::HardSigmoid { slope, offset } => {
                let attributes = [("alpha", Is::Single(*slope)), ("beta", Is::Single(*offset))];
                self.emit("HardSigmoid", &[&x], &attributes)
            }
            Function::Silu => {
                let gate = self.emit("Sigmoid", &[&x], &[]);
                self.emit("Mul", &[&x, &gate], &[])
            }
            Function::Gelu => {
                let root = self.scalar(std::f32::consts::SQRT_2);
                let (one, half) = (self.scalar(1.0), self.scalar(0.5));
                let inner = self.emit("Div", &[&x, &root], &[]);
                let erf = self.emit("Erf", &[&inner], &[]);
                let sum = self.emit("Add", &[&erf, &one], &[]);
                let product = self.emit("Mul", &[&x, &sum], &[]);
                self.emit("Mul", &[&product, &half], &[])
            }
            Function::Truncate => {
                let whole = self.emit("Cast", &[&x], &[("to", Is::Number(INT64))]);
                self.emit("Cast", &[&whole], &[("to", Is::Number(FLOAT))])
            }
            Function::Affine { scale, shift } => {
                let (scale, shift) = (self.scalar(*scale), self.scalar(*shift));
                let product = self.emit("Mul", &[&x, &scale], &[]);
                self.emit("Add", &[&product, &shift], &[])
            }
            // The others have ONNX's names.
            function => self.emit(function.name(), &[&x], &[]),
        }
    }

    /// A value beside another in a layout; `None` where it cannot be brought into it.
    fn operand(&mut self, value: Value, layout: Layout) -> Result<Option<String>> {
        let shape = self.planner.shape(value).to_vec();
        if layout == Layout::Last || shape.len() == 4 {
            return self.name(value, layout).map(Some);
        }
        if shape.is_empty() {
            return self.name(value, Layout::Last).map(Some);
        }
        let Some(tensor) = self.planner.known(value).filter(|_| shape.len() < 4) else {
            return Ok(None);
        };
        let mut wide = vec![1; 4 - shape.len()];
        wide.extend(shape);
        let turned = tensor
            .reshaped(&wide)
            .map(|tensor| tensor.transposed(&FIRST));
        Ok(turned.map(|tensor| self.floats(tensor.shape(), tensor.data())))
    }

    fn arithmetic(
        &mut self,
        node: &Node,
        arithmetic: Arithmetic,
        made: &[usize],
    ) -> Result<(Layout, String)> {
        let &[x, y] = node.inputs.as_slice() else {
            return Err(node.invalid("two inputs are needed"));
        };
        let is_first = |value| self.layout(value) == Layout::First;
        let mut layout = Layout::Last;
        let mut sides = None;
        if made.len() == 4 && (is_first(x) || is_first(y)) {
            sides = self
                .operand(x, Layout::First)?
                .zip(self.operand(y, Layout::First)?);
            layout = Layout::First;
        }
        let (left, right) = match sides {
            Some(sides) => sides,
            None => {
                layout = Layout::Last;
                (self.name(x, layout)?, self.name(y, layout)?)
            }
        };
        let op = match arithmetic {
            Arithmetic::Add => "Add",
            Arithmetic::Sub | Arithmetic::SquaredDifference => "Sub",
            Arithmetic::Mul => "Mul",
            Arithmetic::Div | Arithmetic::FloorDiv => "Div",
            Arithmetic::Pow => "Pow",
            Arithmetic::Max => "Max",
            Arithmetic::Min => "Min",
            other => return Err(node.unsupported(format!("{other:?} cannot be written"))),
        };
        let result = self.emit(op, &[&left, &right], &[]);
        let result = match arithmetic {
            Arithmetic::SquaredDifference => self.emit("Mul", &[&result, &result], &[]),
            Arithmetic::FloorDiv => self.emit("Floor", &[&result], &[]),
            _ => result,
        };
        Ok((layout, result))
    }

    fn pool(&mut self, node: &Node, pool: &Pool, from: &str, shape: &[usize]) -> Result<String> {
        let pads = padding(node, &pool.window, shape)?;
        let mut attributes = vec![
            ("kernel_shape", Is::Numbers(&pool.window.size)),
            ("strides", Is::Numbers(&pool.window.strides)),
            ("pads", Is::Numbers(&pads)),
            ("ceil_mode", Is::Number(i64::from(pool.window.ceil))),
        ];
        let op = match pool.kind {
            PoolKind::Max => "MaxPool",
            PoolKind::Average | PoolKind::AverageWithPadding => {
                let with = i64::from(pool.kind == PoolKind::AverageWithPadding);
                attributes.push(("count_include_pad", Is::Number(with)));
                "AveragePool"
            }
        };
        if pool.window.dilations != [1, 1] {
            return Err(node.unsupported("a pool with gaps cannot be written"));
        }
        Ok(self.emit(op, &[from], &attributes))
    }

    fn resize(
        &mut self,
        node: &Node,
        resize: &Resize,
        from: &str,
        made: &[usize],
    ) -> Result<String> {
        let (factors, _) = self
            .planner
            .with_operands(node, |operands| resize_target(node, resize, operands))?;
        let coordinates = match resize.coordinates {
            Coordinates::Asymmetric => "asymmetric",
            Coordinates::HalfPixel => "half_pixel",
            Coordinates::AlignCorners => "align_corners",
        };
        let (mode, nearest) = match resize.mode {
            ResizeMode::NearestFloor => ("nearest", "floor"),
            ResizeMode::NearestCeil => ("nearest", "ceil"),
            ResizeMode::NearestPreferFloor => ("nearest", "round_prefer_floor"),
            ResizeMode::NearestPreferCeil => ("nearest", "round_prefer_ceil"),
            ResizeMode::Linear => ("linear", "round_prefer_floor"),
        };
        let attributes = [
            ("coordinate_transformation_mode", Is::Text(coordinates)),
            ("mode", Is::Text(mode)),
            ("nearest_mode", Is::Text(nearest)),
        ];
        Ok(match resize.target {
            ResizeTarget::Scales => {
                let factors = [1.0, 1.0, factors[0] as f32, factors[1] as f32];
                let factors = self.floats(&[4], &factors);
                self.emit("Resize", &[from, "", &factors], &attributes)
            }
            ResizeTarget::Sizes => {
                let sizes = self.sizes(&Layout::First.turn(made));
                self.emit("Resize", &[from, "", "", &sizes], &attributes)
            }
        })
    }
}

/// Whether an operation reads maps, or whatever layout there is.
fn sees_maps(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv(_) | Op::Deconv(_) | Op::Pool(_) | Op::Resize(_) | Op::Map(_) | Op::Pad { .. }
    ) || matches!(op, Op::Arithmetic(_))
}

/// `[top, left, bottom, right]` around a map of this shape.
fn padding(node: &Node, window: &Window, shape: &[usize]) -> Result<[usize; 4]> {
    let fit = |axis: usize| {
        window
            .fit(axis, shape.get(axis + 1).copied().unwrap_or(0))
            .ok_or_else(|| node.invalid("no room for a window"))
    };
    let ((top, bottom, _), (left, right, _)) = (fit(0)?, fit(1)?);
    Ok([top, left, bottom, right])
}
