//! Reads ONNX files: the operations that networks use, from the operator set's documentation (versions 7 to 20).
//!
//! | file | what |
//! | --- | --- |
//! | `wire.rs` | what the file says |
//! | `ranks.rs` | how many dimensions values have |
//! | `functions.rs` | functions of every element: of one number, of two, between types |
//! | `windows.rs` | convolutions, pools, resized and sampled maps |
//! | `norms.rs` | normalisations, softmax |
//! | `products.rs` | products of matrices, Einstein's sums |
//! | `reductions.rs` | sums, means and extremes along axes, and where those are |
//! | `shapes.rs` | other shapes and orders, parts, what is put side by side, shapes as values |
//! | `picks.rs` | elements picked and put by indices and conditions |
//!
//! Maps of ONNX are channels first; every spatial operation is put between two transposes, and the optimiser
//! takes them away again. Booleans are 0 and 1. Which values are whole numbers is kept in mind while reading,
//! because their division is another.

use super::op::Op;
use super::{Graph, Limits, Result, Tensor, Value};
use ranks::Ranks;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use wire::{Constant, File, Node, is_whole, malformed};

mod functions;
mod norms;
mod picks;
mod products;
mod ranks;
mod reductions;
mod shapes;
mod windows;
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
        importer.output(&output.name, false)?;
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

    /// Names a value as an output, `exact` where something outside tells it from its neighbours; whether it is whole numbers or booleans.
    pub(crate) fn output(&mut self, name: &str, exact: bool) -> Result<bool> {
        if exact {
            self.graph.exact.insert(name.to_owned());
        }
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

    /// Adds a node, all of whose inputs have been made.
    pub(crate) fn node(&mut self, node: &Node) -> Result<()> {
        let results = match node.op.as_str() {
            "Split" => self.split(node)?,
            "TopK" => self.top_k(node)?,
            _ => vec![self.result(node)?],
        };
        let is_whole = self.gives_whole(node);
        for (name, result) in node.outputs.iter().zip(results) {
            if is_whole {
                self.whole.insert(result);
            }
            self.values.insert(name.clone(), result);
        }
        Ok(())
    }

    /// What a node makes that has one result, or whose others nothing may read.
    fn result(&mut self, node: &Node) -> Result<Value> {
        let kinds = [
            Self::plain,
            Self::functions,
            Self::arithmetic,
            Self::windows,
            Self::norms,
            Self::products,
            Self::reductions,
            Self::shapes,
            Self::picks,
        ];
        for kind in kinds {
            if let Some(result) = kind(self, node)? {
                return Ok(result);
            }
        }
        Err(node.unsupported("the operation is not known"))
    }

    /// What the file has already.
    fn plain(&mut self, node: &Node) -> Result<Option<Value>> {
        match node.op.as_str() {
            "Identity" | "Dropout" => self.value(node, 0).map(Some),
            "Constant" => {
                let constant = node.constant()?.tensor()?;
                let constant = constant.ok_or_else(|| node.unsupported("texts"))?;
                Ok(Some(self.graph.shared_constant(constant)))
            }
            _ => Ok(None),
        }
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
}
