//! What comes before a model: operations on the columns of a table.

use super::Meaning;
use super::labels::{Classes, listed};
use super::linear::each_row;
use super::operator::{Kind, Made, Operator, Read};
use super::value::{Call, Data, Value};
use crate::graph::Result;
use crate::graph::onnx::wire::Node;
use std::collections::HashMap;
use std::sync::Arc;

/// `Scaler`: `(x - offset) scale`, for each column or one for all.
struct Scaler {
    offsets: Vec<f32>,
    scales: Vec<f32>,
}

pub(super) fn scaler(node: &Node<'_>) -> Result<Made> {
    let [offsets, scales] = ["offset", "scale"].map(|name| node.floats(name).to_vec());
    if offsets.is_empty() || offsets.len() != scales.len() {
        return Err(node.unsupported("offsets and scales differ in number"));
    }
    let scaler = Scaler { offsets, scales };
    Ok(Made::one(scaler, Kind::Numbers, Meaning::Numbers))
}

/// The factor of a column, of which there is one for each or one for all.
fn of_column(factors: &[f32], column: usize) -> f32 {
    let factor = factors.get(column).or(factors.first());
    factor.copied().unwrap_or(0.0)
}

fn one_for_each(call: &Call<'_>, factors: usize, width: usize) -> Result<()> {
    if factors == 1 || factors == width {
        return Ok(());
    }
    Err(call.invalid(format!("rows of {width} columns, not {factors}")))
}

impl Operator for Scaler {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let table = call.table(inputs, 0)?;
        one_for_each(call, self.offsets.len(), table.width)?;
        each_row(call, &table, table.width, |row, scaled| {
            for (column, (x, scaled)) in row.iter().zip(scaled).enumerate() {
                let offset = of_column(&self.offsets, column);
                *scaled = (x - offset) * of_column(&self.scales, column);
            }
        })
    }

    fn bytes(&self) -> u64 {
        8 * self.offsets.len() as u64
    }
}

/// `Normalizer`: rows divided by their size; a row of size zero stays.
#[derive(Clone, Copy)]
enum Normalizer {
    Max,
    L1,
    L2,
}

pub(super) fn normalizer(node: &Node<'_>, inputs: &[Read<'_>]) -> Result<Made> {
    let normalizer = match node.text("norm") {
        None | Some("MAX") => Normalizer::Max,
        Some("L1") => Normalizer::L1,
        Some("L2") => Normalizer::L2,
        Some(other) => return Err(node.unsupported(format!("norm {other}"))),
    };
    // Scores stay scores.
    let meaning = inputs.first().map(|read| read.fact.meaning.clone());
    let meaning = meaning.unwrap_or(Meaning::Numbers);
    Ok(Made::one(normalizer, Kind::Numbers, meaning))
}

impl Operator for Normalizer {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let table = call.table(inputs, 0)?;
        each_row(call, &table, table.width, |row, shares| {
            let size = match self {
                Self::Max => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                Self::L1 => row.iter().map(|x| x.abs()).sum(),
                Self::L2 => row.iter().map(|x| x * x).sum::<f32>().sqrt(),
            };
            let size = if size == 0.0 { 1.0 } else { size };
            for (x, share) in row.iter().zip(shares) {
                *share = x / size;
            }
        })
    }
}

/// `Imputer`: other numbers in the place of those that stand for missing ones.
struct Imputer {
    missing: f32,
    replacements: Vec<f32>,
}

pub(super) fn imputer(node: &Node<'_>) -> Result<Made> {
    let floats = node.floats("imputed_value_floats");
    let imputer = match node.integers("imputed_value_int64s") {
        Some(whole) if floats.is_empty() => Imputer {
            missing: node.integer("replaced_value_int64", 0) as f32,
            replacements: whole.iter().map(|&value| value as f32).collect(),
        },
        _ => Imputer {
            missing: node.float("replaced_value_float", 0.0),
            replacements: floats.to_vec(),
        },
    };
    if imputer.replacements.is_empty() {
        return Err(node.unsupported("there are no values to put in"));
    }
    Ok(Made::one(imputer, Kind::Numbers, Meaning::Numbers))
}

impl Operator for Imputer {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let table = call.table(inputs, 0)?;
        one_for_each(call, self.replacements.len(), table.width)?;
        each_row(call, &table, table.width, |row, filled| {
            for (column, (&x, filled)) in row.iter().zip(filled).enumerate() {
                let missing = x == self.missing || (x.is_nan() && self.missing.is_nan());
                *filled = if missing {
                    of_column(&self.replacements, column)
                } else {
                    x
                };
            }
        })
    }

    fn bytes(&self) -> u64 {
        4 * self.replacements.len() as u64
    }
}

/// `Binarizer`: 1 above a threshold, else 0.
struct Binarizer(f32);

pub(super) fn binarizer(node: &Node<'_>) -> Result<Made> {
    let binarizer = Binarizer(node.float("threshold", 0.0));
    Ok(Made::one(binarizer, Kind::Numbers, Meaning::Numbers))
}

impl Operator for Binarizer {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let input = call.input(inputs, 0)?;
        let numbers = call.numbers(input)?;
        let above = numbers.iter().map(|&x| f32::from(u8::from(x > self.0)));
        let above = Data::Numbers(above.collect());
        Ok(vec![Value::new(input.shape.clone(), above)])
    }
}

/// `OneHotEncoder`: a row of zeros with a one in the place of the category.
struct OneHot {
    whole: HashMap<i64, usize>,
    texts: HashMap<Arc<str>, usize>,
    width: usize,
    /// Whether what is no category is a row of zeros; else it is an error.
    zeros: bool,
}

pub(super) fn one_hot(node: &Node<'_>, inputs: &[Read<'_>]) -> Result<Made> {
    let categories = Classes::read(node, "cats_int64s", "cats_strings")?;
    if let Some(input) = inputs.first()
        && (input.fact.kind == Kind::Texts) != (categories.kind() == Kind::Texts)
    {
        return Err(node.unsupported("categories of another type than the input"));
    }
    let (mut whole, mut texts) = (HashMap::new(), HashMap::new());
    match &categories {
        Classes::Whole(list) => list.iter().enumerate().for_each(|(place, category)| {
            whole.insert(*category, place);
        }),
        Classes::Texts(list) => list.iter().enumerate().for_each(|(place, category)| {
            texts.insert(category.clone(), place);
        }),
    }
    let encoder = OneHot {
        whole,
        texts,
        width: categories.len(),
        zeros: node.integer("zeros", 1) != 0,
    };
    Ok(Made::one(encoder, Kind::Numbers, Meaning::Numbers))
}

impl Operator for OneHot {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let input = call.input(inputs, 0)?;
        let mut shape = input.shape.clone();
        shape.push(self.width);
        let mut ones = vec![0f32; call.room(&shape)?];
        let places: Vec<Option<usize>> = match &input.data {
            Data::Numbers(numbers) => {
                let place = |x: &f32| self.whole.get(&(*x as i64)).copied();
                numbers.iter().map(place).collect()
            }
            Data::Whole(numbers) => {
                let place = |x: &i64| self.whole.get(x).copied();
                numbers.iter().map(place).collect()
            }
            Data::Texts(texts) => texts.iter().map(|x| self.texts.get(x).copied()).collect(),
        };
        for (row, place) in ones.chunks_mut(self.width.max(1)).zip(places) {
            match place.and_then(|place| row.get_mut(place)) {
                Some(one) => *one = 1.0,
                None if self.zeros => {}
                None => return Err(call.invalid("a category that is not known")),
            }
        }
        Ok(vec![Value::new(shape, Data::Numbers(ones))])
    }

    fn bytes(&self) -> u64 {
        48 * self.width as u64
    }
}

/// `FeatureVectorizer`: columns of several tables side by side.
struct Vectorizer {
    widths: Vec<usize>,
}

pub(super) fn vectorizer(node: &Node<'_>) -> Result<Made> {
    let widths = node.integers("inputdimensions").unwrap_or(&[]);
    let widths = widths.iter().map(|&width| usize::try_from(width).ok());
    let widths: Option<Vec<usize>> = widths.collect();
    match widths {
        Some(widths) if widths.len() == node.inputs.len() && !widths.is_empty() => {
            let vectorizer = Vectorizer { widths };
            Ok(Made::one(vectorizer, Kind::Numbers, Meaning::Numbers))
        }
        _ => Err(node.unsupported("the widths are not those of the inputs")),
    }
}

impl Operator for Vectorizer {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let tables = (0..self.widths.len()).map(|index| call.table(inputs, index));
        let tables = tables.collect::<Result<Vec<_>>>()?;
        let rows = tables.first().map_or(0, |table| table.rows);
        let fits = |(table, width): (&super::value::Table<'_>, &usize)| {
            table.rows == rows && table.width == *width
        };
        if !tables.iter().zip(&self.widths).all(fits) {
            return Err(call.invalid("tables of other sizes"));
        }
        let width = tables.iter().map(|table| table.width).sum();
        let shape = vec![rows, width];
        let mut data = Vec::with_capacity(call.room(&shape)?);
        for row in 0..rows {
            for table in &tables {
                data.extend_from_slice(&table.data[row * table.width..][..table.width]);
            }
        }
        Ok(vec![Value::new(shape, Data::Numbers(data))])
    }
}

/// `ArrayFeatureExtractor`: elements of the last axis by number.
struct Extractor;

pub(super) fn extractor(inputs: &[Read<'_>]) -> Result<Made> {
    let from = inputs.first();
    let classes = from.and_then(|read| listed(read.constant?));
    let kind = from.map_or(Kind::Numbers, |read| read.fact.kind);
    let meaning = match classes {
        Some(classes) => Meaning::Labels(Some(classes)),
        None => Meaning::Numbers,
    };
    Ok(Made::one(Extractor, kind, meaning))
}

impl Operator for Extractor {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let (x, indices) = (call.input(inputs, 0)?, call.input(inputs, 1)?);
        let Some((&width, lead)) = x.shape.split_last() else {
            return Err(call.invalid("a scalar has no columns"));
        };
        let place = |index: i64| {
            let place = usize::try_from(index).ok().filter(|&place| place < width);
            place.ok_or_else(|| call.invalid(format!("column {index} of {width}")))
        };
        let places = call.whole(indices)?;
        let places = places.iter().map(|&index| place(index));
        let places = places.collect::<Result<Vec<usize>>>()?;
        let mut shape = if lead.is_empty() {
            vec![1]
        } else {
            lead.to_vec()
        };
        shape.push(places.len());
        match &x.data {
            Data::Texts(_) => call.room_for_texts(&shape)?,
            _ => call.room(&shape)?,
        };
        fn pick<T: Clone>(data: &[T], width: usize, places: &[usize]) -> Vec<T> {
            let rows = data.chunks(width.max(1));
            rows.flat_map(|row| places.iter().map(|&place| row[place].clone()))
                .collect()
        }
        let data = match &x.data {
            Data::Numbers(data) => Data::Numbers(pick(data, width, &places)),
            Data::Whole(data) => Data::Whole(pick(data, width, &places)),
            Data::Texts(data) => Data::Texts(pick(data, width, &places)),
        };
        Ok(vec![Value::new(shape, data)])
    }
}
