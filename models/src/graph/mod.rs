//! Vision networks from graph files (ONNX, TensorFlow.js) or written in Rust, run by our own kernels.
//!
//! ```text
//! file ── onnx/ and tfjs.rs ──▶ Graph ── optimise.rs ──▶ Graph ── Network::compile ──▶ packed weights
//!                                                                        │ run(inputs)
//!                            shapes (shape.rs) and steps (plan/), once for each set of input shapes
//!                                                                        │
//!                                          execute/: one region of the team, kernels of crate::kernels
//! ```
//!
//! A [`Graph`] is a list of operations in an order in which they can run, over `f32` tensors; integers (shapes,
//! indices) are `f32` too and exact up to 2^24. Spatial operations are channels last; an importer of a
//! channels-first format puts [`Op::Transpose`] around them and the optimiser moves the transposes out of the
//! way. What is left of them costs nothing: a value is a strided view of a buffer, and transposing, slicing,
//! splitting and squeezing only make another view. Concatenation lets what it joins be written in place.
//!
//! A graph file is not trusted: nodes, tensors and the memory of a run are bounded ([`Limits`]), every size is
//! checked arithmetic, and an operation that is not known is an error that names it.

mod evaluate;
mod exact;
mod execute;
mod export;
pub(crate) mod network;
pub(crate) mod onnx;
mod op;
mod optimise;
mod plan;
mod shape;
pub(crate) mod tensor;
mod tfjs;

pub use network::{Input, Network, NodeTime, Output};
pub use op::{
    Arithmetic, Conv, Coordinates, Deconv, Deformable, Function, GridSample, Linear, Normalise, Op,
    Outside, Padding, Pool, PoolKind, Reduce, Reduction, Resize, ResizeMode, ResizeTarget, Window,
};
pub use tensor::Tensor;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Result of this module's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a graph cannot be read, compiled or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes are not a file of the format.
    #[error("not {format}: {what}")]
    Malformed {
        /// The format.
        format: &'static str,
        /// What does not hold.
        what: String,
    },
    /// The graph asks for something that is not built.
    #[error("node `{node}` ({op}): {what}")]
    Unsupported {
        /// The node.
        node: String,
        /// Its operation.
        op: String,
        /// What is not supported.
        what: String,
    },
    /// Shapes or values do not fit an operation.
    #[error("node `{node}`: {what}")]
    Invalid {
        /// The node.
        node: String,
        /// What does not fit.
        what: String,
    },
    /// More than the limits allow.
    #[error("{what} is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The stored weights cannot be read.
    #[error("the weights cannot be read")]
    Weights(#[from] escala_weights::tensors::Error),
    /// The inputs of a run are not the graph's.
    #[error("input: {0}")]
    Input(String),
    /// An output is not finite.
    #[error("output `{0}` is not finite")]
    NotFinite(String),
}

/// What a graph may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nodes of a graph.
    pub nodes: usize,
    /// Elements of one tensor.
    pub elements: usize,
    /// Elements of all buffers of a run together; each thread may need an eighth as much for itself.
    pub workspace: usize,
}

impl Default for Limits {
    /// 20,000 nodes, tensors of 1 GiB, 2 GiB for a run.
    fn default() -> Self {
        Self {
            nodes: 20_000,
            elements: 1 << 28,
            workspace: 1 << 29,
        }
    }
}

/// A value of a graph: an input, a constant or what a node makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(usize);

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) op: Op,
    pub(crate) inputs: Vec<Value>,
    pub(crate) outputs: Vec<Value>,
}

/// What a graph reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Its dimensions, absent where any size goes.
    pub shape: Vec<Option<usize>>,
}

/// A network as operations in an order in which they can run.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub(crate) inputs: Vec<(Declared, Value)>,
    pub(crate) outputs: Vec<(String, Value)>,
    pub(crate) nodes: Vec<Node>,
    /// The constant of a value, if it is one.
    pub(crate) constants: Vec<Option<Arc<Tensor>>>,
    /// The outputs that something outside reads which tells them from their neighbours.
    pub(crate) exact: HashSet<String>,
    metadata: BTreeMap<String, String>,
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads an ONNX file.
    ///
    /// # Errors
    /// When the file cannot be read, is malformed, or uses what is not supported.
    pub fn open_onnx(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        Self::read_onnx(&bytes, Limits::default())
    }

    /// Reads an ONNX file from memory.
    ///
    /// # Errors
    /// As [`Graph::open_onnx`].
    pub fn read_onnx(bytes: &[u8], limits: Limits) -> Result<Self> {
        onnx::read(bytes, limits)
    }

    /// Reads the topology of a TensorFlow.js graph model (`model.json`, or only its `modelTopology` and
    /// `signature`); `tensor` gives the weights by name.
    ///
    /// # Errors
    /// When the text is malformed, a tensor is missing, or an operation is not supported.
    pub fn open_tfjs(topology: &[u8], tensor: impl Fn(&str) -> Option<Tensor>) -> Result<Self> {
        tfjs::read(topology, &tensor, Limits::default())
    }

    /// Reads a TensorFlow.js graph model from two files as the model store has them: the topology and the
    /// weights by name in safetensors.
    ///
    /// # Errors
    /// As [`Graph::open_tfjs`], and when a file cannot be read.
    pub fn open_tfjs_files(
        topology: impl AsRef<std::path::Path>,
        weights: impl AsRef<std::path::Path>,
    ) -> Result<Self> {
        let path = topology.as_ref();
        let topology = std::fs::read(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        let tensors = escala_weights::Tensors::open(weights)?;
        Self::open_tfjs(&topology, |name| {
            let (shape, data) = match tensors.f32(name) {
                Ok((shape, data)) => (shape, data.into_owned()),
                Err(_) => {
                    let (shape, data) = tensors.i32(name).ok()?;
                    (shape, data.iter().map(|&value| value as f32).collect())
                }
            };
            Tensor::new(&shape, data).ok()
        })
    }

    /// As [`Graph::open_tfjs`] with limits.
    ///
    /// # Errors
    /// As [`Graph::open_tfjs`].
    pub fn read_tfjs(
        topology: &[u8],
        tensor: impl Fn(&str) -> Option<Tensor>,
        limits: Limits,
    ) -> Result<Self> {
        tfjs::read(topology, &tensor, limits)
    }

    /// What the graph reads.
    pub fn inputs(&self) -> impl Iterator<Item = &Declared> {
        self.inputs.iter().map(|(declared, _)| declared)
    }

    /// The names of what the graph gives, in its order.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().map(|(name, _)| name.as_str())
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Text that the file carries beside the network, such as a dictionary.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Declares an input; `None` is a dimension of any size.
    pub fn input(&mut self, name: &str, shape: &[Option<usize>]) -> Value {
        let value = self.value();
        let declared = Declared {
            name: name.to_owned(),
            shape: shape.to_vec(),
        };
        self.inputs.push((declared, value));
        value
    }

    /// A constant.
    pub fn constant(&mut self, tensor: Tensor) -> Value {
        self.shared_constant(Arc::new(tensor))
    }

    pub(crate) fn shared_constant(&mut self, tensor: Arc<Tensor>) -> Value {
        self.constants.push(Some(tensor));
        Value(self.constants.len() - 1)
    }

    /// A constant list of whole numbers: a shape, axes, sizes.
    pub fn integers(&mut self, values: &[i64]) -> Value {
        self.constant(Tensor::integers(values))
    }

    /// Names a value as an output.
    pub fn output(&mut self, name: &str, value: Value) {
        self.outputs.push((name.to_owned(), value));
    }

    /// Applies an operation with one result.
    pub fn apply(&mut self, name: &str, op: Op, inputs: &[Value]) -> Value {
        let output = self.value();
        self.push(name, op, inputs, vec![output]);
        output
    }

    /// Applies an operation with several results, such as [`Op::Split`].
    pub fn apply_many(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[Value],
        results: usize,
    ) -> Vec<Value> {
        let outputs: Vec<Value> = (0..results).map(|_| self.value()).collect();
        self.push(name, op, inputs, outputs.clone());
        outputs
    }

    /// A convolution over channels-last maps. `weights` are `[outputs, inputs / groups, height, width]`.
    ///
    /// # Errors
    /// When the weights are not four-dimensional or the bias is not one value an output.
    pub fn conv(
        &mut self,
        name: &str,
        input: Value,
        weights: Tensor,
        bias: Option<&[f32]>,
        window: Window,
        groups: usize,
    ) -> Result<Value> {
        let conv = Conv::new(name, weights, bias, window, groups)?;
        Ok(self.apply(name, Op::Conv(conv), &[input]))
    }

    /// Applies a function to every element.
    pub fn map(&mut self, name: &str, function: Function, input: Value) -> Value {
        self.apply(name, Op::Map(function), &[input])
    }

    /// Adds two tensors of one shape (or that broadcast).
    pub fn add(&mut self, name: &str, left: Value, right: Value) -> Value {
        self.apply(name, Op::Arithmetic(Arithmetic::Add), &[left, right])
    }

    pub(crate) fn value(&mut self) -> Value {
        self.constants.push(None);
        Value(self.constants.len() - 1)
    }

    pub(crate) fn push(&mut self, name: &str, op: Op, inputs: &[Value], outputs: Vec<Value>) {
        self.nodes.push(Node {
            name: name.to_owned(),
            op,
            inputs: inputs.to_vec(),
            outputs,
        });
    }

    pub(crate) fn constant_of(&self, value: Value) -> Option<&Arc<Tensor>> {
        self.constants.get(value.0).and_then(Option::as_ref)
    }
}

impl Node {
    pub(crate) fn invalid(&self, what: impl Into<String>) -> Error {
        Error::Invalid {
            node: self.name.clone(),
            what: what.into(),
        }
    }

    pub(crate) fn unsupported(&self, what: impl Into<String>) -> Error {
        Error::Unsupported {
            node: self.name.clone(),
            op: self.op.name().to_owned(),
            what: what.into(),
        }
    }
}
