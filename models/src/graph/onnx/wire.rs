//! What an ONNX file says, as it stands: a small reader of the wire format (protocol buffers).
//!
//! Nothing here is trusted: lengths are checked before anything is allocated, and what is kept is at most some times as
//! large as the file.

use super::super::tensor::count;
use super::super::{Error, Limits, Result, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The error for bytes that are not a file of the format.
pub(crate) fn malformed(what: impl Into<String>) -> Error {
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

/// A tensor that the file carries.
#[derive(Clone, Debug)]
pub(crate) enum Constant {
    /// Numbers of any type as `f32`; booleans and bytes are whole.
    Numbers { tensor: Arc<Tensor>, whole: bool },
    /// 32- or 64-bit whole numbers.
    Whole { shape: Vec<usize>, values: Vec<i64> },
    /// Texts.
    Texts {
        shape: Vec<usize>,
        values: Vec<Arc<str>>,
    },
}

impl Constant {
    /// Whether its elements are whole numbers or booleans.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Numbers { whole, .. } => *whole,
            Self::Whole { .. } => true,
            Self::Texts { .. } => false,
        }
    }

    /// As numbers; nothing for texts.
    pub(crate) fn tensor(&self) -> Result<Option<Arc<Tensor>>> {
        Ok(match self {
            Self::Numbers { tensor, .. } => Some(tensor.clone()),
            Self::Whole { shape, values } => {
                let values = values.iter().map(|&value| value as f32).collect();
                Some(Arc::new(Tensor::new(shape, values)?))
            }
            Self::Texts { .. } => None,
        })
    }
}

fn tensor(bytes: &[u8], limits: Limits) -> Result<(String, Constant)> {
    let (mut dims, mut kind, mut name, mut raw) = (Vec::new(), 0, String::new(), None);
    let (mut floats, mut integers, mut doubles) = (Vec::new(), Vec::new(), Vec::new());
    let mut texts = Vec::new();
    let mut external = false;
    Fields::each(bytes, |number, field| {
        match (number, &field) {
            (1, _) => numbers(&field, &mut dims)?,
            (2, Field::Number(value)) => kind = *value,
            (4, _) => singles(&field, &mut floats)?,
            (5 | 7 | 11, _) => numbers(&field, &mut integers)?,
            (6, Field::Bytes(bytes)) => texts.push(*bytes),
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
    let elements = count(&shape).filter(|&n| n <= limits.elements);
    let Some(elements) = elements else {
        return Err(Error::TooLarge {
            what: format!("tensor `{name}` of shape {shape:?}"),
            limit: limits.elements as u64,
        });
    };
    fn read<const SIZE: usize, T>(bytes: &[u8], value: impl Fn([u8; SIZE]) -> T) -> Vec<T> {
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
        (2 | 9, Some(raw)) => read(raw, |[b]: [u8; 1]| f32::from(b)),
        (3, Some(raw)) => read(raw, |[b]: [u8; 1]| f32::from(b as i8)),
        (2 | 3 | 9, None) => integers.into_iter().map(|value| value as f32).collect(),
        (6 | 7, raw) => {
            let values: Vec<i64> = match (kind, raw) {
                (7, Some(raw)) => read(raw, i64::from_le_bytes),
                (_, Some(raw)) => read(raw, |b| i64::from(i32::from_le_bytes(b))),
                (_, None) => integers,
            };
            return if values.len() == elements {
                Ok((name, Constant::Whole { shape, values }))
            } else {
                Err(other_data(&name, &shape))
            };
        }
        (8, None) => {
            if texts.len() != elements {
                return Err(other_data(&name, &shape));
            }
            let values = texts.into_iter().map(|bytes| Ok(text(bytes)?.into()));
            let values = values.collect::<Result<_>>()?;
            return Ok((name, Constant::Texts { shape, values }));
        }
        _ => return Err(malformed(format!("tensor `{name}` of element type {kind}"))),
    };
    match Tensor::new(&shape, data) {
        Ok(tensor) => {
            let (tensor, whole) = (Arc::new(tensor), is_whole(kind as i64));
            Ok((name, Constant::Numbers { tensor, whole }))
        }
        Err(_) => Err(other_data(&name, &shape)),
    }
}

fn other_data(name: &str, shape: &[usize]) -> Error {
    malformed(format!("tensor `{name}` of shape {shape:?} and other data"))
}

/// Whether elements of this type are whole numbers or booleans.
pub(crate) fn is_whole(kind: i64) -> bool {
    matches!(kind, 2..=7 | 9 | 12 | 13)
}

/// A value that a node carries; lists of texts and graphs stay in the file's bytes.
#[derive(Default)]
pub(crate) struct Attribute<'a> {
    pub(crate) float: Option<f32>,
    pub(crate) integer: Option<i64>,
    pub(crate) text: Option<String>,
    pub(crate) tensor: Option<Constant>,
    pub(crate) graph: Option<&'a [u8]>,
    pub(crate) floats: Vec<f32>,
    pub(crate) integers: Vec<i64>,
    pub(crate) texts: Vec<&'a [u8]>,
}

/// An operation of the file.
#[derive(Default)]
pub(crate) struct Node<'a> {
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) name: String,
    pub(crate) op: String,
    /// The operator set; empty for ONNX's own.
    pub(crate) domain: String,
    pub(crate) attributes: HashMap<String, Attribute<'a>>,
}

fn attribute(bytes: &[u8], limits: Limits) -> Result<(String, Attribute<'_>)> {
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
            (6, Field::Bytes(bytes)) => attribute.graph = Some(bytes),
            (7, _) => singles(&field, &mut attribute.floats)?,
            (8, _) => numbers(&field, &mut attribute.integers)?,
            (9, Field::Bytes(bytes)) => attribute.texts.push(bytes),
            _ => {}
        }
        Ok(())
    })?;
    Ok((name, attribute))
}

fn node(bytes: &[u8], limits: Limits) -> Result<Node<'_>> {
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
            7 => node.domain = text(bytes)?,
            _ => {}
        }
        Ok(())
    })?;
    if node.domain == "ai.onnx" {
        node.domain.clear();
    }
    if node.name.is_empty() {
        node.name = node.outputs.first().cloned().unwrap_or_default();
    }
    Ok(node)
}

impl Node<'_> {
    pub(crate) fn unsupported(&self, what: impl Into<String>) -> Error {
        Error::Unsupported {
            node: self.name.clone(),
            op: self.op.clone(),
            what: what.into(),
        }
    }

    pub(crate) fn integer(&self, name: &str, default: i64) -> i64 {
        self.attributes
            .get(name)
            .and_then(|attribute| attribute.integer)
            .unwrap_or(default)
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        self.attributes
            .get(name)
            .and_then(|attribute| attribute.float)
            .unwrap_or(default)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.text.as_deref()
    }

    pub(crate) fn integers(&self, name: &str) -> Option<&[i64]> {
        self.attributes
            .get(name)
            .map(|attribute| attribute.integers.as_slice())
    }

    /// Numbers; none where the node has no such list.
    pub(crate) fn floats(&self, name: &str) -> &[f32] {
        self.attributes
            .get(name)
            .map_or(&[], |attribute| attribute.floats.as_slice())
    }

    /// Texts as their bytes; none where the node has no such list.
    pub(crate) fn bytes(&self, name: &str) -> &[&[u8]] {
        self.attributes
            .get(name)
            .map_or(&[], |attribute| attribute.texts.as_slice())
    }

    /// Texts; none where the node has no such list.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<Arc<str>>> {
        let texts = self.bytes(name).iter();
        texts.map(|bytes| Ok(text(bytes)?.into())).collect()
    }

    /// What a `Constant` node holds.
    pub(crate) fn constant(&self) -> Result<Constant> {
        let attribute = |name| self.attributes.get(name);
        let numbers = |tensor| Constant::Numbers {
            tensor: Arc::new(tensor),
            whole: false,
        };
        let whole = |shape: Vec<usize>, values: Vec<i64>| Constant::Whole { shape, values };
        if let Some(constant) = attribute("value").and_then(|a| a.tensor.clone()) {
            return Ok(constant);
        }
        if let Some(value) = attribute("value_float").and_then(|a| a.float) {
            return Ok(numbers(Tensor::scalar(value)));
        }
        if let Some(value) = attribute("value_int").and_then(|a| a.integer) {
            return Ok(whole(Vec::new(), vec![value]));
        }
        if let Some(a) = attribute("value_ints") {
            return Ok(whole(vec![a.integers.len()], a.integers.clone()));
        }
        if let Some(a) = attribute("value_floats") {
            return Ok(numbers(Tensor::list(a.floats.clone())));
        }
        if let Some(value) = self.text("value_string") {
            return Ok(Constant::Texts {
                shape: Vec::new(),
                values: vec![value.into()],
            });
        }
        if attribute("value_strings").is_some() {
            let values = self.texts("value_strings")?;
            return Ok(Constant::Texts {
                shape: vec![values.len()],
                values,
            });
        }
        Err(self.unsupported("this constant"))
    }
}

/// What an input or output is said to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interface {
    pub(crate) name: String,
    /// The number of the element type; 0 where it is no tensor.
    pub(crate) element: u64,
    /// The dimensions, absent where any size goes; nothing where the file does not say how many there are.
    pub(crate) shape: Option<Vec<Option<usize>>>,
}

impl Interface {
    /// Whether its elements are whole numbers or booleans.
    pub(crate) fn is_whole(&self) -> bool {
        is_whole(self.element as i64)
    }
}

fn interface(bytes: &[u8]) -> Result<Interface> {
    let mut interface = Interface::default();
    Fields::each(bytes, |number, field| {
        match (number, field) {
            (1, Field::Bytes(bytes)) => interface.name = text(bytes)?,
            (2, Field::Bytes(kind)) => Fields::each(kind, |number, field| {
                let (1, Field::Bytes(tensor)) = (number, field) else {
                    return Ok(());
                };
                Fields::each(tensor, |number, field| {
                    match (number, field) {
                        (1, Field::Number(element)) => interface.element = element,
                        (2, Field::Bytes(dims)) => interface.shape = Some(dimensions(dims)?),
                        _ => {}
                    }
                    Ok(())
                })
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(interface)
}

fn dimensions(bytes: &[u8]) -> Result<Vec<Option<usize>>> {
    let mut shape = Vec::new();
    Fields::each(bytes, |number, field| {
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
    })?;
    Ok(shape)
}

/// A graph as the file has it.
#[derive(Default)]
pub(crate) struct Body<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    pub(crate) constants: Vec<(String, Constant)>,
    pub(crate) inputs: Vec<Interface>,
    pub(crate) outputs: Vec<Interface>,
}

impl<'a> Body<'a> {
    /// Reads a graph, which may be one inside a node.
    pub(crate) fn read(bytes: &'a [u8], limits: Limits) -> Result<Self> {
        let mut body = Self::default();
        Fields::each(bytes, |number, field| {
            let Field::Bytes(bytes) = field else {
                return Ok(());
            };
            let many = [body.nodes.len(), body.inputs.len(), body.outputs.len()];
            if many.iter().any(|&count| count > limits.nodes) {
                return Err(Error::TooLarge {
                    what: "the number of nodes, inputs or outputs".to_owned(),
                    limit: limits.nodes as u64,
                });
            }
            match number {
                1 => body.nodes.push(node(bytes, limits)?),
                5 => body.constants.push(tensor(bytes, limits)?),
                11 => body.inputs.push(interface(bytes)?),
                12 => body.outputs.push(interface(bytes)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(body)
    }
}

/// A whole file.
pub(crate) struct File<'a> {
    pub(crate) body: Body<'a>,
    /// Of ONNX's own operator set; 0 where the file does not say.
    pub(crate) version: u64,
    /// Text beside the network.
    pub(crate) metadata: BTreeMap<String, String>,
}

impl<'a> File<'a> {
    pub(crate) fn read(bytes: &'a [u8], limits: Limits) -> Result<Self> {
        let (mut body, mut version, mut metadata) = (None, 0, BTreeMap::new());
        Fields::each(bytes, |number, field| {
            match (number, field) {
                (7, Field::Bytes(bytes)) => body = Some(bytes),
                (8, Field::Bytes(bytes)) => {
                    let (mut domain, mut of_domain) = (String::new(), 0);
                    Fields::each(bytes, |number, field| {
                        match (number, field) {
                            (1, Field::Bytes(bytes)) => domain = text(bytes)?,
                            (2, Field::Number(number)) => of_domain = number,
                            _ => {}
                        }
                        Ok(())
                    })?;
                    if domain.is_empty() || domain == "ai.onnx" {
                        version = of_domain;
                    }
                }
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
                    metadata.insert(key, value);
                }
                _ => {}
            }
            Ok(())
        })?;
        let body = body.ok_or_else(|| malformed("there is no graph"))?;
        Ok(Self {
            body: Body::read(body, limits)?,
            version,
            metadata,
        })
    }
}
