//! What flows between the operations of a file: numbers, whole numbers or texts in a shape.

use crate::graph::onnx::wire::Constant;
use crate::graph::tensor::count;
use crate::graph::{Error, Limits, Result};
use crate::team::Team;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// Elements in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Numbers.
    Numbers(Vec<f32>),
    /// Whole numbers, such as classes; of booleans 0 and 1.
    Whole(Vec<i64>),
    /// Texts, such as the names of classes.
    Texts(Vec<Arc<str>>),
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Whole(numbers) => numbers.len(),
            Self::Texts(texts) => texts.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Numbers(numbers) => size_of_val(numbers.as_slice()),
            Self::Whole(numbers) => size_of_val(numbers.as_slice()),
            Self::Texts(texts) => texts_bytes(texts),
        };
        bytes as u64
    }

    /// How much of a run's limits this takes: its elements, and of texts the numbers that would take as much memory.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Texts(texts) => weight_of(texts),
            data => data.len(),
        }
    }
}

fn texts_bytes(texts: &[Arc<str>]) -> usize {
    size_of_val(texts) + texts.iter().map(|text| text.len()).sum::<usize>()
}

/// The numbers that would take as much memory as these texts.
pub(super) fn weight_of(texts: &[Arc<str>]) -> usize {
    texts_bytes(texts) / size_of::<f32>()
}

/// What a run reads: elements in row-major order.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The input's name.
    pub name: &'a str,
    /// Its dimensions.
    pub shape: &'a [usize],
    /// Its elements.
    pub data: Elements<'a>,
}

/// The elements of an input.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// Numbers, whole ones and truths, too.
    Numbers(&'a [f32]),
    /// Texts.
    Texts(&'a [Arc<str>]),
}

impl<'a> From<&'a [f32]> for Elements<'a> {
    fn from(numbers: &'a [f32]) -> Self {
        Self::Numbers(numbers)
    }
}

impl<'a> From<&'a [Arc<str>]> for Elements<'a> {
    fn from(texts: &'a [Arc<str>]) -> Self {
        Self::Texts(texts)
    }
}

impl Elements<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts(texts) => texts.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Data::weight`].
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts(texts) => weight_of(texts),
        }
    }

    pub(super) fn to_data(self) -> Data {
        match self {
            Self::Numbers(numbers) => Data::Numbers(numbers.to_vec()),
            Self::Texts(texts) => Data::Texts(texts.to_vec()),
        }
    }
}

/// Elements and their shape.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) shape: Vec<usize>,
    pub(super) data: Data,
}

impl Value {
    pub(super) fn new(shape: Vec<usize>, data: Data) -> Self {
        Self { shape, data }
    }

    pub(super) fn of(constant: &Constant) -> Self {
        match constant {
            Constant::Numbers { tensor, .. } => Self::new(
                tensor.shape().to_vec(),
                Data::Numbers(tensor.data().to_vec()),
            ),
            Constant::Whole { shape, values } => {
                Self::new(shape.clone(), Data::Whole(values.clone()))
            }
            Constant::Texts { shape, values } => {
                Self::new(shape.clone(), Data::Texts(values.clone()))
            }
        }
    }
}

/// Numbers as rows of one width.
pub(super) struct Table<'a> {
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) data: Cow<'a, [f32]>,
}

/// What an operation runs with.
pub(super) struct Call<'a> {
    /// The threads.
    pub(super) team: &'a Team,
    pub(super) limits: Limits,
    /// The node's name.
    pub(super) node: &'a str,
}

impl Call<'_> {
    pub(super) fn invalid(&self, what: impl Into<String>) -> Error {
        Error::Invalid {
            node: self.node.to_owned(),
            what: what.into(),
        }
    }

    /// Number of elements of a result, when it may have as many.
    pub(super) fn room(&self, shape: &[usize]) -> Result<usize> {
        let elements = count(shape).filter(|&elements| elements <= self.limits.elements);
        elements.ok_or_else(|| Error::TooLarge {
            what: format!("the result of `{}`, of shape {shape:?},", self.node),
            limit: self.limits.elements as u64,
        })
    }

    /// As [`Call::room`], of a result of texts.
    pub(super) fn room_for_texts(&self, shape: &[usize]) -> Result<usize> {
        let each = size_of::<Arc<str>>() / size_of::<f32>();
        self.room(&[shape, &[each]].concat())?;
        self.room(shape)
    }

    pub(super) fn input<'v>(&self, inputs: &[&'v Value], index: usize) -> Result<&'v Value> {
        let input = inputs.get(index).copied();
        input.ok_or_else(|| self.invalid(format!("input {index} is missing")))
    }

    /// An input's elements as numbers.
    pub(super) fn numbers<'v>(&self, value: &'v Value) -> Result<Cow<'v, [f32]>> {
        match &value.data {
            Data::Numbers(numbers) => Ok(Cow::Borrowed(numbers)),
            Data::Whole(numbers) => Ok(Cow::Owned(
                numbers.iter().map(|&number| number as f32).collect(),
            )),
            Data::Texts(_) => Err(self.invalid("texts where numbers are wanted")),
        }
    }

    /// An input's elements as texts.
    pub(super) fn texts<'v>(&self, value: &'v Value) -> Result<&'v [Arc<str>]> {
        match &value.data {
            Data::Texts(texts) => Ok(texts),
            _ => Err(self.invalid("numbers where texts are wanted")),
        }
    }

    /// An input's elements as whole numbers, such as places or a shape.
    pub(super) fn whole<'v>(&self, value: &'v Value) -> Result<Cow<'v, [i64]>> {
        match &value.data {
            Data::Whole(numbers) => Ok(Cow::Borrowed(numbers)),
            Data::Numbers(numbers) => Ok(Cow::Owned(
                numbers.iter().map(|&number| number as i64).collect(),
            )),
            Data::Texts(_) => Err(self.invalid("texts where numbers are wanted")),
        }
    }

    /// An input as rows: a list is one row.
    pub(super) fn table<'v>(&self, inputs: &[&'v Value], index: usize) -> Result<Table<'v>> {
        let value = self.input(inputs, index)?;
        let (rows, width) = match *value.shape.as_slice() {
            [width] => (1, width),
            [rows, width] => (rows, width),
            ref shape => return Err(self.invalid(format!("rows are wanted, not {shape:?}"))),
        };
        // Rows without columns cost nothing, but what is made of them does.
        self.room(&[rows])?;
        Ok(Table {
            rows,
            width,
            data: self.numbers(value)?,
        })
    }

    /// As [`Call::table`], of rows that must have this width.
    pub(super) fn table_of<'v>(&self, inputs: &[&'v Value], width: usize) -> Result<Table<'v>> {
        let table = self.table(inputs, 0)?;
        if table.width != width {
            return Err(self.invalid(format!("rows of {} columns, not {width}", table.width)));
        }
        Ok(table)
    }

    /// Does every part once, on whichever member of the team is free.
    pub(super) fn share<P: Send>(&self, parts: Vec<P>, work: impl Fn(P) + Sync) {
        let parts: Vec<Mutex<Option<P>>> = parts
            .into_iter()
            .map(|part| Mutex::new(Some(part)))
            .collect();
        self.team.for_each(parts.len(), |index| {
            let part = parts[index]
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(part) = part {
                work(part);
            }
        });
    }
}
