//! The same network in fewer steps.
//!
//! In this order: what only constants decide is computed; transposes sink below the operations that do not mind
//! them until they meet their inverse; spelled-out functions (GELU by `Erf`, swish, hard swish) become one; pads
//! become the padding of the window that follows; convolutions and products take up the batch
//! normalisation, bias, functions and sums that follow them; and means go before the products whose they are. Nothing
//! here needs the sizes of maps. Sums may change in their last digit, quotients not where that is seen (`exact.rs`).

use super::evaluate::Budget;
use super::exact::{exact, has_exact_reciprocal};
use super::op::{Arithmetic, Conv, Function, Linear, Op, Padding, PoolKind, Reduction};
use super::shape::{Operands, infer, order_of};
use super::tensor::Tensor;
use super::{Graph, Limits, Node, Result, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The graph in fewer steps.
pub(crate) fn optimise(mut graph: Graph, limits: Limits) -> Result<Graph> {
    let mut budget = Budget::new(limits);
    remove_unused(&mut graph);
    fold_constants(&mut graph, &mut budget)?;
    sink_transposes(&mut graph);
    fold_constants(&mut graph, &mut budget)?;
    name_functions(&mut graph);
    remove_unused(&mut graph);
    absorb_pads(&mut graph);
    absorb_followers(&mut graph);
    mean_before_products(&mut graph);
    remove_unused(&mut graph);
    Ok(graph)
}

/// Drops nodes whose results nobody reads.
fn remove_unused(graph: &mut Graph) {
    let mut read: HashSet<Value> = graph.outputs.iter().map(|(_, value)| *value).collect();
    let mut kept: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes).into_iter().rev() {
        if node.outputs.iter().any(|value| read.contains(value)) {
            read.extend(&node.inputs);
            kept.push(node);
        }
    }
    kept.reverse();
    graph.nodes = kept;
    for (index, constant) in graph.constants.iter_mut().enumerate() {
        if !read.contains(&Value(index)) {
            *constant = None;
        }
    }
}

/// Computes what only constants decide, and drops identities.
fn fold_constants(graph: &mut Graph, budget: &mut Budget) -> Result<()> {
    let mut alias: HashMap<Value, Value> = HashMap::new();
    let mut kept = Vec::with_capacity(graph.nodes.len());
    for mut node in std::mem::take(&mut graph.nodes) {
        rename(&mut node.inputs, &alias);
        if matches!(node.op, Op::Map(Function::Identity)) && node.inputs.len() == 1 {
            alias.insert(node.outputs[0], node.inputs[0]);
            continue;
        }
        let constants: Option<Vec<Arc<Tensor>>> = node
            .inputs
            .iter()
            .map(|&value| graph.constant_of(value).cloned())
            .collect();
        if let Some(constants) = constants {
            let shapes: Vec<&[usize]> = constants.iter().map(|tensor| tensor.shape()).collect();
            let known: Vec<Option<&Tensor>> = constants
                .iter()
                .map(|tensor| Some(tensor.as_ref()))
                .collect();
            let operands = Operands {
                shapes: &shapes,
                known: &known,
            };
            let shapes = infer(&node, &operands)?;
            if let Some(results) = budget.evaluate(&node, &operands, &shapes)? {
                for (&value, tensor) in node.outputs.iter().zip(results) {
                    graph.constants[value.0] = Some(Arc::new(tensor));
                }
                continue;
            }
        }
        kept.push(node);
    }
    graph.nodes = kept;
    for (_, value) in &mut graph.outputs {
        *value = *alias.get(value).unwrap_or(value);
    }
    Ok(())
}

fn rename(values: &mut [Value], alias: &HashMap<Value, Value>) {
    for value in values {
        while let Some(&other) = alias.get(value) {
            *value = other;
        }
    }
}

/// Moves transposes behind the operations that do not mind them; one that meets its inverse is gone.
fn sink_transposes(graph: &mut Graph) {
    let mut sinking = Sinking {
        below: HashMap::new(),
        alias: HashMap::new(),
        pads: HashMap::new(),
    };
    for mut node in std::mem::take(&mut graph.nodes) {
        rename(&mut node.inputs, &sinking.alias);
        if !sinking.lift(graph, &node) {
            if let (Op::Pad { value }, [x, amounts]) = (&node.op, node.inputs.as_slice()) {
                let pad = (*x, *amounts, *value);
                sinking.pads.insert(node.outputs[0], pad);
            }
            graph.nodes.push(node);
        }
    }
    for (_, value) in &mut graph.outputs {
        let mut values = [*value];
        rename(&mut values, &sinking.alias);
        *value = values[0];
    }
}

struct Sinking {
    /// What a value is a transpose of, and in which order.
    below: HashMap<Value, (Value, Vec<usize>)>,
    alias: HashMap<Value, Value>,
    /// What a pad reads, its amounts and what it puts there.
    pads: HashMap<Value, (Value, Value, f32)>,
}

/// The amounts of a pad whose axes move: `to` gives pairs of an axis's number and what it becomes.
fn moved_amounts(
    amounts: &Tensor,
    rank: usize,
    to: impl Fn(usize) -> (usize, usize),
) -> Option<Tensor> {
    (amounts.data().len() == 2 * rank).then(|| {
        let mut moved = vec![0.0; 2 * rank];
        for at in 0..rank {
            let (from, to) = to(at);
            moved[to] = amounts.data()[from];
            moved[rank + to] = amounts.data()[rank + from];
        }
        Tensor::list(moved)
    })
}

impl Sinking {
    /// Adds the node in another form to the graph, if there is a better one.
    fn lift(&mut self, graph: &mut Graph, node: &Node) -> bool {
        let Some(&x) = node.inputs.first() else {
            return false;
        };
        if let Op::Transpose(order) = &node.op {
            return self.transpose(graph, node, x, order);
        }
        let of = |value: &Value| self.below.get(value).cloned();
        let Some((_, order)) = node.inputs.iter().find_map(of) else {
            return false;
        };
        let rank = order.len();
        let axis_below = |axis: isize| {
            let axis = if axis < 0 { axis + rank as isize } else { axis };
            usize::try_from(axis)
                .ok()
                .and_then(|axis| order.get(axis))
                .map(|&axis| axis as isize)
        };
        let inner = |value: &Value| {
            self.below
                .get(value)
                .filter(|(_, other)| *other == order)
                .map(|(inner, _)| *inner)
        };
        let (op, inputs) = match &node.op {
            Op::Map(Function::Prelu(_)) if order.last() != Some(&(rank - 1)) => return false,
            Op::Map(_) => (node.op.clone(), inner(&x).map(|x| vec![x])),
            Op::Arithmetic(_) => {
                let inputs = node
                    .inputs
                    .iter()
                    .map(|value| {
                        inner(value).or_else(|| {
                            let tensor = graph.constant_of(*value)?;
                            if tensor.shape().is_empty() {
                                return Some(*value);
                            }
                            let below = constant_below(tensor, &order)?;
                            Some(graph.constant(below))
                        })
                    })
                    .collect();
                (node.op.clone(), inputs)
            }
            Op::Concat { axis } => match axis_below(*axis) {
                Some(axis) => (Op::Concat { axis }, node.inputs.iter().map(inner).collect()),
                None => return false,
            },
            Op::Softmax { axis } => match axis_below(*axis) {
                Some(axis) => (Op::Softmax { axis }, inner(&x).map(|x| vec![x])),
                None => return false,
            },
            Op::Pad { value } => {
                let amounts = node.inputs.get(1).and_then(|&v| graph.constant_of(v));
                let Some(moved) =
                    amounts.and_then(|amounts| moved_amounts(amounts, rank, |at| (at, order[at])))
                else {
                    return false;
                };
                let inputs = inner(&x).map(|x| vec![x, graph.constant(moved)]);
                (Op::Pad { value: *value }, inputs)
            }
            Op::Split { axis } => {
                let Some(axis) = axis_below(*axis) else {
                    return false;
                };
                let Some(x) = inner(&x) else { return false };
                let inputs: Vec<Value> = std::iter::once(x)
                    .chain(node.inputs[1..].iter().copied())
                    .collect();
                let results =
                    graph.apply_many(&node.name, Op::Split { axis }, &inputs, node.outputs.len());
                for (&result, &output) in results.iter().zip(&node.outputs) {
                    self.put(graph, &node.name, result, &order, output);
                }
                return true;
            }
            Op::Reduce(reduce) => {
                let axes: Option<Vec<isize>> = match node.inputs.get(1) {
                    Some(&axes) => graph.constant_of(axes).map(|axes| {
                        axes.to_integers()
                            .into_iter()
                            .map(|axis| axis.clamp(-64, 64) as isize)
                            .collect()
                    }),
                    None => Some(reduce.axes.clone()),
                };
                let axes: Option<Vec<isize>> = axes
                    .filter(|axes| !axes.is_empty())
                    .and_then(|axes| axes.into_iter().map(axis_below).collect());
                let (Some(axes), Some(x)) = (axes, inner(&x)) else {
                    return false;
                };
                let left: Vec<usize> = order
                    .iter()
                    .copied()
                    .filter(|&axis| !axes.contains(&(axis as isize)))
                    .collect();
                let mut reduce = reduce.clone();
                reduce.axes = axes;
                if reduce.keep {
                    (Op::Reduce(reduce), Some(vec![x]))
                } else if left.is_sorted() {
                    let outputs = node.outputs.clone();
                    graph.push(&node.name, Op::Reduce(reduce), &[x], outputs);
                    return true;
                } else {
                    return false;
                }
            }
            _ => return false,
        };
        let Some(inputs) = inputs else { return false };
        let result = graph.apply(&node.name, op, &inputs);
        self.put(graph, &node.name, result, &order, node.outputs[0]);
        true
    }

    fn transpose(&mut self, graph: &mut Graph, node: &Node, x: Value, order: &[usize]) -> bool {
        if order.is_empty() || order_of(node, order, order.len()).is_err() {
            return false;
        }
        // A pad is better after the transpose, where a window may take it up.
        if let Some(&(inner, amounts, value)) = self.pads.get(&x)
            && let Some(amounts) = graph.constant_of(amounts)
            && let Some(moved) = moved_amounts(amounts, order.len(), |at| (order[at], at))
        {
            let inputs = [
                graph.apply(&node.name, Op::Transpose(order.to_vec()), &[inner]),
                graph.constant(moved),
            ];
            let outputs = node.outputs.clone();
            graph.push(&node.name, Op::Pad { value }, &inputs, outputs);
            return true;
        }
        let (inner, order) = match self.below.get(&x) {
            Some((inner, first)) if first.len() == order.len() => (
                *inner,
                order.iter().map(|&axis| first[axis]).collect::<Vec<_>>(),
            ),
            _ => (x, order.to_vec()),
        };
        if order.is_sorted() {
            self.alias.insert(node.outputs[0], inner);
        } else {
            self.put(graph, &node.name, inner, &order, node.outputs[0]);
        }
        true
    }

    fn put(&mut self, graph: &mut Graph, name: &str, inner: Value, order: &[usize], output: Value) {
        graph.push(name, Op::Transpose(order.to_vec()), &[inner], vec![output]);
        self.below.insert(output, (inner, order.to_vec()));
    }
}

/// A constant as it must be for the untransposed operand.
fn constant_below(tensor: &Tensor, order: &[usize]) -> Option<Tensor> {
    let missing = order.len().checked_sub(tensor.shape().len())?;
    let mut shape = vec![1; missing];
    shape.extend(tensor.shape());
    let mut inverse = vec![0; order.len()];
    for (at, &axis) in order.iter().enumerate() {
        inverse[axis] = at;
    }
    Some(tensor.reshaped(&shape)?.transposed(&inverse))
}

/// Which node makes a value.
struct Makers<'a> {
    graph: &'a Graph,
    maker: &'a HashMap<Value, usize>,
    exact: &'a HashSet<Value>,
}

fn makers(graph: &Graph) -> HashMap<Value, usize> {
    let results = |(index, node): (usize, &Node)| {
        let outputs = node.outputs.clone();
        outputs.into_iter().map(move |value| (value, index))
    };
    graph.nodes.iter().enumerate().flat_map(results).collect()
}

impl<'a> Makers<'a> {
    fn node(&self, value: Value) -> Option<&'a Node> {
        self.maker
            .get(&value)
            .map(|&index| &self.graph.nodes[index])
    }

    fn scalar(&self, value: Value) -> Option<f32> {
        let tensor = self.graph.constant_of(value)?;
        (tensor.shape().len() <= 1).then(|| tensor.only())?
    }

    /// `value = scale x + shift`
    fn affine(&self, value: Value) -> Option<(Value, f32, f32)> {
        self.affine_node(self.node(value)?)
    }

    fn affine_node(&self, node: &Node) -> Option<(Value, f32, f32)> {
        match (&node.op, node.inputs.as_slice()) {
            (Op::Map(Function::Affine { scale, shift }), &[x]) => Some((x, *scale, *shift)),
            (Op::Arithmetic(arithmetic), &[x, y]) => {
                match (arithmetic, self.scalar(x), self.scalar(y)) {
                    (Arithmetic::Add, None, Some(c)) => Some((x, 1.0, c)),
                    (Arithmetic::Add, Some(c), None) => Some((y, 1.0, c)),
                    (Arithmetic::Sub, None, Some(c)) => Some((x, 1.0, -c)),
                    (Arithmetic::Sub, Some(c), None) => Some((y, -1.0, c)),
                    (Arithmetic::Mul, None, Some(c)) => Some((x, c, 0.0)),
                    (Arithmetic::Mul, Some(c), None) => Some((y, c, 0.0)),
                    (Arithmetic::Div, None, Some(c)) if c != 0.0 => Some((x, 1.0 / c, 0.0)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn scaled(&self, value: Value, factor: f32) -> Option<Value> {
        self.affine(value)
            .filter(|&(_, scale, shift)| close(scale, factor) && shift == 0.0)
            .map(|(x, _, _)| x)
    }

    fn function(&self, value: Value) -> Option<(&'a Function, Value)> {
        match self.node(value) {
            Some(Node {
                op: Op::Map(function),
                inputs,
                ..
            }) => Some((function, *inputs.first()?)),
            _ => None,
        }
    }

    /// Both orders of a product's factors.
    fn factors(&self, node: &Node) -> Option<[(Value, Value); 2]> {
        match (&node.op, node.inputs.as_slice()) {
            (Op::Arithmetic(Arithmetic::Mul), &[x, y]) => Some([(x, y), (y, x)]),
            _ => None,
        }
    }

    /// `x` of `1 + erf(x / sqrt 2)`.
    fn erf_plus_one(&self, value: Value) -> Option<Value> {
        let (erf, scale, shift) = self.affine(value)?;
        if scale != 1.0 || shift != 1.0 {
            return None;
        }
        match self.function(erf)? {
            (Function::Erf, inner) => self.scaled(inner, std::f32::consts::FRAC_1_SQRT_2),
            _ => None,
        }
    }

    /// The function that a node spells out.
    fn spelled(&self, node: &Node) -> Option<(Function, Value)> {
        if let Some((inner, scale, shift)) = self.affine_node(node) {
            if shift == 0.0 {
                // x (1 + erf) * 0.5
                let product = self.node(inner).and_then(|node| self.factors(node));
                for (x, erf) in product.into_iter().flatten() {
                    if close(scale, 0.5) && self.erf_plus_one(erf) == Some(x) {
                        return Some((Function::Gelu, x));
                    }
                    if close(scale, 1.0 / 6.0) && self.clipped_plus_three(erf) == Some(x) {
                        return Some((Function::HardSwish, x));
                    }
                }
            }
            if self.exact.contains(&node.outputs[0]) {
                return self
                    .keeps_every_digit(node)
                    .then_some((Function::Affine { scale, shift }, inner));
            }
            let function = match self.affine(inner) {
                Some((x, first, offset)) => {
                    return Some((
                        Function::Affine {
                            scale: scale * first,
                            shift: scale * offset + shift,
                        },
                        x,
                    ));
                }
                None => Function::Affine { scale, shift },
            };
            return Some((function, inner));
        }
        for (x, factor) in self.factors(node)? {
            if let Some(half) = self.scaled(x, 0.5)
                && self.erf_plus_one(factor) == Some(half)
            {
                return Some((Function::Gelu, half));
            }
            if let Some(sixth) = self.scaled(factor, 1.0 / 6.0)
                && self.clipped_plus_three(sixth) == Some(x)
            {
                return Some((Function::HardSwish, x));
            }
            match self.function(factor) {
                Some((Function::Sigmoid, inner)) if inner == x => {
                    return Some((Function::Silu, x));
                }
                Some((Function::HardSigmoid { slope, offset }, inner))
                    if inner == x && close(*slope, 1.0 / 6.0) && *offset == 0.5 =>
                {
                    return Some((Function::HardSwish, x));
                }
                _ => {}
            }
        }
        None
    }

    /// Whether an affine node makes the same of a number as its product and its sum do.
    fn keeps_every_digit(&self, node: &Node) -> bool {
        match (&node.op, node.inputs.as_slice()) {
            (Op::Arithmetic(Arithmetic::Div), &[_, divisor]) => {
                self.scalar(divisor).is_some_and(has_exact_reciprocal)
            }
            _ => true,
        }
    }

    /// `x` of `clip(x + 3, 0, 6)`.
    fn clipped_plus_three(&self, value: Value) -> Option<Value> {
        match self.function(value)? {
            (Function::Clip { low, high }, inner) if *low == 0.0 && *high == 6.0 => self
                .affine(inner)
                .filter(|&(_, scale, shift)| scale == 1.0 && shift == 3.0)
                .map(|(x, _, _)| x),
            _ => None,
        }
    }
}

fn close(x: f32, y: f32) -> bool {
    (x - y).abs() <= 1e-6 * y.abs()
}

/// What a node becomes.
enum Better {
    Function(Function, Value),
    /// `x (1 + gate)`
    Gated(Value, Value),
    Linear(Linear),
}

/// Gives functions that are spelled out their name, and products with constants theirs.
fn name_functions(graph: &mut Graph) {
    let (maker, exact) = (makers(graph), exact(graph));
    let mut gates = Vec::new();
    for index in 0..graph.nodes.len() {
        let makers = Makers {
            graph,
            maker: &maker,
            exact: &exact,
        };
        let better = better(&makers, &graph.nodes[index]);
        match better {
            Some(Better::Function(function, x)) => {
                graph.nodes[index].op = Op::Map(function);
                graph.nodes[index].inputs = vec![x];
            }
            Some(Better::Gated(x, gate)) => {
                let shifted = graph.value();
                let name = graph.nodes[index].name.clone();
                gates.push((index, name, gate, shifted));
                graph.nodes[index].op = Op::Arithmetic(Arithmetic::Mul);
                graph.nodes[index].inputs = vec![x, shifted];
            }
            Some(Better::Linear(linear)) => {
                graph.nodes[index].op = Op::Linear(linear);
                graph.nodes[index].inputs.truncate(1);
            }
            None => {}
        }
    }
    for (index, name, gate, shifted) in gates.into_iter().rev() {
        let op = Op::Map(Function::Affine {
            scale: 1.0,
            shift: 1.0,
        });
        let node = Node {
            name,
            op,
            inputs: vec![gate],
            outputs: vec![shifted],
        };
        graph.nodes.insert(index, node);
    }
}

fn better(makers: &Makers<'_>, node: &Node) -> Option<Better> {
    if let Some((function, x)) = makers.spelled(node) {
        return Some(Better::Function(function, x));
    }
    match (&node.op, node.inputs.as_slice()) {
        (Op::Arithmetic(Arithmetic::Add), &[a, b]) => {
            [(a, b), (b, a)].into_iter().find_map(|(x, product)| {
                let factors = makers.factors(makers.node(product)?)?;
                let (_, gate) = factors.into_iter().find(|&(factor, _)| factor == x)?;
                matches!(
                    makers.function(gate)?.0,
                    Function::Sigmoid | Function::HardSigmoid { .. }
                )
                .then_some(Better::Gated(x, gate))
            })
        }
        (Op::MatMul, &[_, weights]) => {
            let weights = makers.graph.constant_of(weights)?;
            Linear::new(&node.name, weights.clone(), None)
                .ok()
                .map(Better::Linear)
        }
        _ => None,
    }
}

/// Who reads a value, once for each time.
fn readers(graph: &Graph) -> HashMap<Value, Vec<usize>> {
    let mut readers: HashMap<Value, Vec<usize>> = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for &value in &node.inputs {
            readers.entry(value).or_default().push(index);
        }
    }
    readers
}

/// Lets windows pad for themselves.
fn absorb_pads(graph: &mut Graph) {
    let maker = makers(graph);
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let Some(&x) = node.inputs.first() else {
            continue;
        };
        let Some(&before) = maker.get(&x) else {
            continue;
        };
        let pad = &graph.nodes[before];
        let (Op::Pad { value }, &[inner, amounts]) = (&pad.op, pad.inputs.as_slice()) else {
            continue;
        };
        let Some(amounts) = graph
            .constant_of(amounts)
            .map(|tensor| tensor.to_integers())
        else {
            continue;
        };
        let &[0, top, left, 0, 0, bottom, right, 0] = amounts.as_slice() else {
            continue;
        };
        let Some([top, left, bottom, right]) = amounts_of([top, left, bottom, right]) else {
            continue;
        };
        let window = match &node.op {
            Op::Conv(conv) if *value == 0.0 => conv.window,
            Op::Pool(pool) if pool.kind == PoolKind::Max && *value <= f32::MIN => pool.window,
            _ => continue,
        };
        let Padding::Explicit([t, l, b, r]) = window.padding else {
            continue;
        };
        // A pool must see something of the map in every window.
        if matches!(node.op, Op::Pool(_))
            && (t + top >= window.size[0] || l + left >= window.size[1])
        {
            continue;
        }
        let padding = Padding::Explicit([t + top, l + left, b + bottom, r + right]);
        let node = &mut graph.nodes[index];
        node.inputs[0] = inner;
        match &mut node.op {
            Op::Conv(conv) => conv.window.padding = padding,
            Op::Pool(pool) => pool.window.padding = padding,
            _ => {}
        }
    }
}

/// The mean over a map of a product of every pixel's channels is the product of the map's mean. That is less to
/// compute, and the map of products need not wait for its mean.
fn mean_before_products(graph: &mut Graph) {
    let maker = makers(graph);
    let product = |value: &Value| -> Option<(Conv, Value)> {
        let node = &graph.nodes[*maker.get(value)?];
        let (Op::Conv(conv), &[x]) = (&node.op, node.inputs.as_slice()) else {
            return None;
        };
        let is_product = conv.window.size == [1, 1]
            && conv.window.strides == [1, 1]
            && match conv.window.padding {
                Padding::Explicit(amounts) => amounts == [0; 4],
                Padding::Same | Padding::SameLower => true,
            }
            && conv.groups == 1
            && conv.after.is_nothing();
        (is_product && conv.inputs() <= conv.outputs()).then(|| (conv.clone(), x))
    };
    let mut found = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let (Op::Reduce(reduce), [value]) = (&node.op, node.inputs.as_slice()) else {
            continue;
        };
        let over = |axis: isize| reduce.axes.iter().any(|&a| a == axis || a == axis - 4);
        let is_mean = reduce.kind == Reduction::Mean
            && reduce.keep
            && reduce.axes.len() == 2
            && over(1)
            && over(2);
        if is_mean && let Some((conv, x)) = product(value) {
            found.push((index, conv, x));
        }
    }
    for (index, conv, x) in found.into_iter().rev() {
        let mean = graph.value();
        let node = &mut graph.nodes[index];
        node.inputs = vec![x];
        let outputs = std::mem::replace(&mut node.outputs, vec![mean]);
        let product = Node {
            name: node.name.clone(),
            op: Op::Conv(conv),
            inputs: vec![mean],
            outputs,
        };
        graph.nodes.insert(index + 1, product);
    }
}

/// Small amounts of padding, if they are.
fn amounts_of(amounts: [i64; 4]) -> Option<[usize; 4]> {
    let mut small = [0; 4];
    for (small, amount) in small.iter_mut().zip(amounts) {
        *small = usize::try_from(amount).ok().filter(|&n| n <= 1 << 16)?;
    }
    Some(small)
}

/// Lets convolutions and products take up what follows them.
fn absorb_followers(graph: &mut Graph) {
    let (readers, exact) = (readers(graph), exact(graph));
    let outputs: HashSet<Value> = graph.outputs.iter().map(|(_, value)| *value).collect();
    let mut nodes: Vec<Option<Node>> = std::mem::take(&mut graph.nodes)
        .into_iter()
        .map(Some)
        .collect();
    for index in 0..nodes.len() {
        let takes = |node: &Node| matches!(node.op, Op::Conv(_) | Op::Deconv(_) | Op::Linear(_));
        if !nodes[index].as_ref().is_some_and(takes) {
            continue;
        }
        let mut at = index;
        let Some(mut node) = nodes[at].take() else {
            continue;
        };
        loop {
            let result = node.outputs[0];
            let follower = match readers.get(&result).map(Vec::as_slice) {
                Some(&[follower]) if !outputs.contains(&result) => follower,
                _ => break,
            };
            let Some(next) = nodes[follower].as_ref() else {
                break;
            };
            let is_exact = exact.contains(&next.outputs[0]);
            if !absorb(graph, &mut node, next, is_exact) {
                break;
            }
            node.outputs = next.outputs.clone();
            nodes[follower] = None;
            at = follower;
        }
        nodes[at] = Some(node);
    }
    graph.nodes = nodes.into_iter().flatten().collect();
}

/// Takes `next`, the only reader of `node`, into `node`, if it goes. A quotient that must be exact does not.
fn absorb(graph: &Graph, node: &mut Node, next: &Node, is_exact: bool) -> bool {
    let result = node.outputs[0];
    let is_linear = matches!(node.op, Op::Linear(_));
    let is_deconv = matches!(node.op, Op::Deconv(_));
    // The parts that change.
    let (weights, bias, after) = match &mut node.op {
        Op::Conv(conv) => (&mut conv.weights, &mut conv.bias, &mut conv.after),
        Op::Deconv(deconv) => (&mut deconv.weights, &mut deconv.bias, &mut deconv.after),
        Op::Linear(linear) => (&mut linear.weights, &mut linear.bias, &mut linear.after),
        _ => return false,
    };
    let outputs = bias.len();
    // Which output a weight belongs to: `[o, i, h, w]`, `[i, o, h, w]` and `[i, o]`.
    let inner: usize = if is_linear {
        1
    } else if is_deconv {
        weights.shape()[2..].iter().product()
    } else {
        weights.shape()[1..].iter().product()
    };
    let mut scale_and_shift = |scale: &dyn Fn(usize) -> f32, shift: &dyn Fn(usize) -> f32| {
        let shape = weights.shape().to_vec();
        let mut data = weights.data().to_vec();
        for (at, weight) in data.iter_mut().enumerate() {
            *weight *= scale(at / inner % outputs);
        }
        for (output, bias) in bias.iter_mut().enumerate() {
            *bias = *bias * scale(output) + shift(output);
        }
        if let Ok(tensor) = Tensor::new(&shape, data) {
            *weights = Arc::new(tensor);
        }
    };
    match &next.op {
        Op::Map(Function::Affine { scale, shift }) if after.is_nothing() => {
            scale_and_shift(&|_| *scale, &|_| *shift);
            true
        }
        Op::Map(Function::Prelu(slopes)) if slopes.len() != outputs => false,
        Op::Map(function) => {
            let place = if after.residual {
                &mut after.second
            } else {
                &mut after.first
            };
            let free = *place == Function::Identity;
            if free {
                *place = function.clone();
            }
            free
        }
        Op::Arithmetic(arithmetic) => {
            let &[x, y] = next.inputs.as_slice() else {
                return false;
            };
            let other = if x == result { y } else { x };
            let Some(constant) = graph.constant_of(other) else {
                if *arithmetic == Arithmetic::Add && !after.residual && !is_deconv {
                    after.residual = true;
                    node.inputs.push(other);
                    return true;
                }
                return false;
            };
            // One value an output, and no more dimensions than the result has.
            let shape = constant.shape();
            let fits = match shape.split_last() {
                Some((&last, before)) => {
                    last == outputs
                        && before.iter().all(|&size| size == 1)
                        && shape.len() <= if is_linear { 1 } else { 4 }
                }
                None => false,
            };
            if !fits || !after.is_nothing() {
                return false;
            }
            let values = constant.data();
            match arithmetic {
                Arithmetic::Add => scale_and_shift(&|_| 1.0, &|o| values[o]),
                Arithmetic::Sub if x == result => scale_and_shift(&|_| 1.0, &|o| -values[o]),
                Arithmetic::Mul => scale_and_shift(&|o| values[o], &|_| 0.0),
                Arithmetic::Div if x == result && !is_exact => {
                    scale_and_shift(&|o| 1.0 / values[o], &|_| 0.0)
                }
                _ => return false,
            }
            true
        }
        _ => false,
    }
}
