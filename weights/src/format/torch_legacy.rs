//! PyTorch files written before version 1.6 (`torch.save` without the zip container).
//!
//! Five pickles lie one after the other: a magic number, the format's protocol (1001), facts about the writing
//! machine, the object (a dictionary of tensors, whose data are references to storages) and the list of storage
//! keys. Then, in the order of that list, each storage: a 64-bit count of elements and the elements,
//! little-endian. Reference: `torch/serialization.py` (`_legacy_load`) and `torch/_utils.py`
//! (`_rebuild_tensor_v2`) of PyTorch 1.5.
//!
//! A tensor is a window into its storage with strides of its own. Strides need not be those of a contiguous
//! tensor (weights that came from TensorFlow often keep its memory order), so [`convert`] gathers every tensor
//! into row-major order.

use super::pickle::{Id, Node, Pickle};
use super::safetensors::{Contents, Tensor};
use super::{Bytes, Error, invalid};
use safetensors::tensor::Dtype;
use std::collections::{BTreeMap, HashMap};

/// Raised when the conversion of the same file changes.
pub const REVISION: u32 = 1;

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;
/// Most dimensions of a tensor.
const RANK: usize = 8;
/// Most tensors of a file.
const TENSORS: usize = 1 << 16;

/// A tensor as the file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The key in the dictionary.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Elements from one index to the next, for each dimension.
    pub stride: Vec<usize>,
    /// Byte of the file where the first element is.
    pub offset: usize,
}

/// Reads where each tensor of a file is, in the file's order. Every element of every tensor lies inside the
/// file.
///
/// # Errors
/// Anything that is not a whole file holding one dictionary of dense tensors.
pub fn layouts(file: &[u8]) -> Result<Vec<Layout>, Error> {
    let mut from = Bytes::new(file);
    let magic = Pickle::read(&mut from)?;
    if !matches!(magic.root(), Node::Long(bytes) if *bytes == MAGIC) {
        return Err(invalid(
            "the magic number is not that of a PyTorch file before 1.6",
        ));
    }
    let protocol = Pickle::read(&mut from)?;
    if !matches!(protocol.root(), Node::Int(PROTOCOL)) {
        return Err(Error::Unsupported {
            what: format!("PyTorch protocol {:?}", protocol.root()),
        });
    }
    check_system(&Pickle::read(&mut from)?)?;
    let object = Pickle::read(&mut from)?;
    let keys = Pickle::read(&mut from)?;

    let mut windows = Vec::new();
    let mut storages = HashMap::new();
    let Node::Dict(pairs) = object.root() else {
        return Err(invalid("the file's object is not a dictionary of tensors"));
    };
    if pairs.len() > TENSORS {
        return Err(Error::TooLarge {
            what: "the list of tensors",
            bytes: pairs.len() as u128,
            limit: TENSORS as u64,
        });
    }
    for &(key, value) in pairs {
        let Node::Text(name) = object.get(key) else {
            return Err(invalid("a tensor's name is not text"));
        };
        let window = Window::read(&object, name, value)?;
        let storage = window.storage;
        let known = storages.entry(storage.key).or_insert(storage);
        if *known != storage {
            return Err(invalid(format!(
                "storage {} is described in two ways",
                storage.key
            )));
        }
        windows.push((*name, window));
    }

    let offsets = storage_offsets(&mut from, &keys, &storages)?;
    windows
        .into_iter()
        .map(|(name, window)| window.place(name, &offsets))
        .collect()
}

/// Reads a file and gives its tensors contiguous, without those whose name ends in one of `drop_suffixes`.
///
/// # Errors
/// As [`layouts`]; also a file whose tensors share so much data that they would be larger than the file.
pub fn convert(file: &[u8], drop_suffixes: &[String]) -> Result<Contents, Error> {
    let mut layouts = layouts(file)?;
    layouts.retain(|layout| {
        !drop_suffixes
            .iter()
            .any(|suffix| layout.name.ends_with(suffix))
    });
    let total: u128 = layouts.iter().map(|layout| layout.bytes() as u128).sum();
    if total > file.len() as u128 {
        return Err(Error::TooLarge {
            what: "the tensors",
            bytes: total,
            limit: file.len() as u64,
        });
    }
    let mut tensors = BTreeMap::new();
    for layout in layouts {
        let data = layout.gather(file);
        let Layout {
            name, dtype, shape, ..
        } = layout;
        if tensors
            .insert(name.clone(), Tensor { dtype, shape, data })
            .is_some()
        {
            return Err(invalid(format!("a second tensor named \"{name}\"")));
        }
    }
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(Contents { tensors, metadata })
}

impl Layout {
    fn elements(&self) -> usize {
        // Checked against the storage's size in `place`.
        self.shape.iter().product()
    }

    fn bytes(&self) -> usize {
        self.elements() * self.dtype.bitsize() / 8
    }

    /// The elements in row-major order.
    fn gather(&self, file: &[u8]) -> Vec<u8> {
        let size = self.dtype.bitsize() / 8;
        let mut data = Vec::with_capacity(self.bytes());
        let mut index = vec![0; self.shape.len()];
        for _ in 0..self.elements() {
            let element: usize = index.iter().zip(&self.stride).map(|(i, s)| i * s).sum();
            let start = self.offset + element * size;
            data.extend_from_slice(&file[start..start + size]);
            for (place, &length) in index.iter_mut().zip(&self.shape).rev() {
                *place += 1;
                if *place < length {
                    break;
                }
                *place = 0;
            }
        }
        data
    }
}

/// A storage as a tensor refers to it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Storage<'a> {
    key: &'a str,
    dtype: Dtype,
    elements: usize,
}

/// A tensor before the place of its storage is known.
struct Window<'a> {
    storage: Storage<'a>,
    start: usize,
    shape: Vec<usize>,
    stride: Vec<usize>,
}

impl<'a> Window<'a> {
    fn read(pickle: &Pickle<'a>, name: &str, value: Id) -> Result<Self, Error> {
        let bad = |what: &str| invalid(format!("tensor \"{name}\" {what}"));
        let mut call = pickle.get(value);
        // A parameter wraps a tensor: (tensor, requires_grad, hooks).
        if let Node::Call(function, arguments) = call
            && matches!(pickle.get(*function), Node::Global(_, "_rebuild_parameter"))
        {
            match pickle.get(*arguments) {
                Node::Tuple(items) if !items.is_empty() => call = pickle.get(items[0]),
                _ => return Err(bad("is a parameter of nothing")),
            }
        }
        let Node::Call(function, arguments) = call else {
            return Err(bad("is not a tensor"));
        };
        let (Node::Global(_, "_rebuild_tensor_v2"), Node::Tuple(items)) =
            (pickle.get(*function), pickle.get(*arguments))
        else {
            return Err(bad("is built in an unknown way"));
        };
        // (storage, offset, size, stride, requires_grad, hooks)
        let &[storage, start, shape, stride, ..] = items.as_slice() else {
            return Err(bad("lacks its storage, offset, size or stride"));
        };
        let count = |id: Id| match pickle.get(id) {
            Node::Int(value) => usize::try_from(*value)
                .map_err(|_| bad("has a negative dimension, stride or offset")),
            _ => Err(bad(
                "has a dimension, stride or offset that is not a number",
            )),
        };
        let counts = |id: Id| match pickle.get(id) {
            Node::Tuple(items) if items.len() <= RANK => {
                items.iter().map(|&item| count(item)).collect()
            }
            _ => Err(bad("has no list of at most 8 dimensions")),
        };
        let (shape, stride): (Vec<_>, Vec<_>) = (counts(shape)?, counts(stride)?);
        if shape.len() != stride.len() {
            return Err(bad(
                "has more dimensions than strides or the other way round",
            ));
        }
        Ok(Self {
            storage: Storage::read(pickle, name, storage)?,
            start: count(start)?,
            shape,
            stride,
        })
    }

    /// Checks that every element is inside the storage.
    fn place(self, name: &str, offsets: &HashMap<&str, usize>) -> Result<Layout, Error> {
        let Self {
            storage,
            start,
            shape,
            stride,
        } = self;
        let outside = || invalid(format!("tensor \"{name}\" reaches outside its storage"));
        let elements = shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d))
            .ok_or_else(outside)?;
        if elements > storage.elements {
            return Err(invalid(format!(
                "tensor \"{name}\" repeats elements of its storage"
            )));
        }
        if elements > 0 {
            let last = shape
                .iter()
                .zip(&stride)
                .try_fold(start, |n, (&d, &s)| n.checked_add((d - 1).checked_mul(s)?))
                .ok_or_else(outside)?;
            if last >= storage.elements {
                return Err(outside());
            }
        } else if start > storage.elements {
            return Err(outside());
        }
        let base = *offsets.get(storage.key).ok_or_else(|| {
            invalid(format!(
                "tensor \"{name}\" refers to storage {}, which is missing",
                storage.key
            ))
        })?;
        Ok(Layout {
            name: name.to_owned(),
            dtype: storage.dtype,
            shape,
            stride,
            offset: base + start * storage.dtype.bitsize() / 8,
        })
    }
}

impl<'a> Storage<'a> {
    fn read(pickle: &Pickle<'a>, name: &str, id: Id) -> Result<Self, Error> {
        let bad = |what: &str| invalid(format!("the storage of tensor \"{name}\" {what}"));
        let Node::Persistent(id) = pickle.get(id) else {
            return Err(bad("is not a reference"));
        };
        // ("storage", class, key, device, elements, view)
        let Node::Tuple(items) = pickle.get(*id) else {
            return Err(bad("is not described by a tuple"));
        };
        let items: Vec<_> = items.iter().take(7).map(|&item| pickle.get(item)).collect();
        let [
            Node::Text("storage"),
            Node::Global("torch", class),
            Node::Text(key),
            _,
            Node::Int(elements),
            view,
        ] = items.as_slice()
        else {
            return Err(bad("is described in an unknown way"));
        };
        if !matches!(view, Node::None) {
            return Err(Error::Unsupported {
                what: "a storage that is a view of another".to_owned(),
            });
        }
        let dtype = match *class {
            "DoubleStorage" => Dtype::F64,
            "FloatStorage" => Dtype::F32,
            "HalfStorage" => Dtype::F16,
            "LongStorage" => Dtype::I64,
            "IntStorage" => Dtype::I32,
            "ShortStorage" => Dtype::I16,
            "CharStorage" => Dtype::I8,
            "ByteStorage" => Dtype::U8,
            "BoolStorage" => Dtype::BOOL,
            other => {
                return Err(Error::Unsupported {
                    what: format!("storage class {other}"),
                });
            }
        };
        let elements = usize::try_from(*elements).map_err(|_| bad("has a negative size"))?;
        Ok(Self {
            key,
            dtype,
            elements,
        })
    }
}

/// The writer's machine must have been little-endian, as the storages are in its byte order.
fn check_system(pickle: &Pickle<'_>) -> Result<(), Error> {
    let Node::Dict(pairs) = pickle.root() else {
        return Err(invalid(
            "the facts about the writing machine are not a dictionary",
        ));
    };
    let little =
        pairs
            .iter()
            .find_map(|&(key, value)| match (pickle.get(key), pickle.get(value)) {
                (Node::Text("little_endian"), Node::Bool(little)) => Some(*little),
                _ => None,
            });
    match little {
        Some(true) => Ok(()),
        Some(false) => Err(Error::Unsupported {
            what: "a big-endian PyTorch file".to_owned(),
        }),
        None => Err(invalid("the file does not say its byte order")),
    }
}

/// Where each storage's elements start; reads to the end of the file.
fn storage_offsets<'a>(
    from: &mut Bytes<'_>,
    keys: &Pickle<'a>,
    storages: &HashMap<&str, Storage<'_>>,
) -> Result<HashMap<&'a str, usize>, Error> {
    let Node::List(items) = keys.root() else {
        return Err(invalid("the storage keys are not a list"));
    };
    let mut offsets = HashMap::new();
    for &item in items {
        let Node::Text(key) = keys.get(item) else {
            return Err(invalid("a storage key is not text"));
        };
        let storage = storages.get(key).ok_or_else(|| Error::Unsupported {
            what: format!("storage {key}, which no tensor uses,"),
        })?;
        let elements = from.i64("a storage")?;
        if usize::try_from(elements) != Ok(storage.elements) {
            return Err(invalid(format!(
                "storage {key} has {elements} elements, not {}",
                storage.elements
            )));
        }
        let start = from.position();
        let bytes = storage.elements.saturating_mul(storage.dtype.bitsize() / 8);
        from.take(bytes, "a storage")?;
        if offsets.insert(*key, start).is_some() {
            return Err(invalid(format!("storage {key} is listed twice")));
        }
    }
    if from.remaining() > 0 {
        return Err(invalid(format!(
            "{} bytes after the last storage",
            from.remaining()
        )));
    }
    Ok(offsets)
}
