//! Classes: the labels of classifiers, `LabelEncoder` and `ZipMap`.

use super::Meaning;
use super::operator::{Fact, Kind, Made, Operator, Read};
use super::value::{Call, Data, Value};
use crate::graph::Result;
use crate::graph::onnx::wire::{Constant, Node};
use std::collections::HashMap;
use std::sync::Arc;

/// The classes of a classifier, in the order of their scores.
#[derive(Clone, Debug, PartialEq)]
pub enum Classes {
    /// Numbers.
    Whole(Arc<[i64]>),
    /// Names.
    Texts(Arc<[Arc<str>]>),
}

impl Classes {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Whole(classes) => classes.len(),
            Self::Texts(classes) => classes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What people read: the names, or the numbers as text.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Whole(classes) => classes.iter().map(i64::to_string).collect(),
            Self::Texts(classes) => classes.iter().map(|class| class.to_string()).collect(),
        }
    }

    /// The classes that a node lists as numbers or as texts.
    pub(super) fn read(node: &Node<'_>, whole: &str, texts: &str) -> Result<Self> {
        let texts = node.texts(texts)?;
        if !texts.is_empty() {
            return Ok(Self::Texts(texts.into()));
        }
        match node.integers(whole) {
            Some(classes) if !classes.is_empty() => Ok(Self::Whole(classes.into())),
            _ => Err(node.unsupported("there are no classes")),
        }
    }

    /// The first two numbers: what classifiers of ONNX Runtime answer that were given no two classes.
    pub(super) fn no_and_yes(&self) -> Self {
        match self {
            Self::Whole(_) => Self::Whole([0, 1].into()),
            Self::Texts(_) => Self::Texts(["0", "1"].map(Arc::from).into()),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Whole(_) => Kind::Whole,
            Self::Texts(_) => Kind::Texts,
        }
    }

    /// The facts of a classifier's two results.
    pub(super) fn facts(&self) -> Vec<Fact> {
        vec![
            Fact {
                kind: self.kind(),
                meaning: Meaning::Labels(Some(self.clone())),
            },
            Fact {
                kind: Kind::Numbers,
                meaning: Meaning::Scores(self.clone()),
            },
        ]
    }

    /// The labels of classes by number.
    pub(super) fn labels(&self, call: &Call<'_>, chosen: &[u32]) -> Result<Value> {
        fn of<T: Clone>(call: &Call<'_>, classes: &[T], chosen: &[u32]) -> Result<Vec<T>> {
            let of = |&class: &u32| {
                let label = classes.get(class as usize).cloned();
                label.ok_or_else(|| call.invalid(format!("class {class} of {}", classes.len())))
            };
            chosen.iter().map(of).collect()
        }
        let data = match self {
            Self::Whole(classes) => Data::Whole(of(call, classes, chosen)?),
            Self::Texts(classes) => Data::Texts(of(call, classes, chosen)?),
        };
        Ok(Value::new(vec![chosen.len()], data))
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Whole(classes) => size_of_val::<[i64]>(classes) as u64,
            Self::Texts(classes) => classes.iter().map(|class| class.len() as u64 + 32).sum(),
        }
    }
}

/// A key of a `LabelEncoder`. Numbers are found by their value, whatever their type.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Whole(i64),
    Bits(u32),
    Text(Arc<str>),
}

impl Key {
    /// A number. What is not a number is found, too, in files of all versions, as the operator set's fourth version has it.
    fn number(number: f32) -> Self {
        let whole = number as i64;
        if number.is_nan() {
            Self::Bits(f32::NAN.to_bits())
        } else if whole as f32 == number {
            Self::Whole(whole)
        } else {
            Self::Bits(number.to_bits())
        }
    }
}

/// `LabelEncoder`: other values in the place of those that are known.
struct LabelEncoder {
    places: HashMap<Key, usize>,
    values: Data,
    /// One element of the values' type.
    default: Data,
}

/// Reads a `LabelEncoder` of any version.
pub(super) fn encoder(node: &Node<'_>, inputs: &[Read<'_>]) -> Result<Made> {
    let input = inputs.first();
    let of_texts = input.is_some_and(|input| input.fact.kind == Kind::Texts);
    let classes = node.texts("classes_strings")?;
    if !classes.is_empty() {
        // The first version: between texts and their places, in either direction.
        let places = Data::Whole((0..classes.len() as i64).collect());
        let classes = Data::Texts(classes);
        return if of_texts {
            let default = Data::Whole(vec![node.integer("default_int64", -1)]);
            made(node, classes, places, default)
        } else {
            let default = node.text("default_string").unwrap_or("_Unused").into();
            made(node, places, classes, Data::Texts(vec![default]))
        };
    }
    let tensor = |name: &str| {
        let attribute = node.attributes.get(name)?;
        Some(Value::of(attribute.tensor.as_ref()?).data)
    };
    let list = |kind: &str| -> Result<Option<Data>> {
        if let Some(data) = tensor(&format!("{kind}_tensor")) {
            return Ok(Some(data));
        }
        if let Some(whole) = node.integers(&format!("{kind}_int64s")) {
            return Ok(Some(Data::Whole(whole.to_vec())));
        }
        let floats = node.floats(&format!("{kind}_floats"));
        if !floats.is_empty() {
            return Ok(Some(Data::Numbers(floats.to_vec())));
        }
        let texts = node.texts(&format!("{kind}_strings"))?;
        Ok((!texts.is_empty()).then_some(Data::Texts(texts)))
    };
    let (Some(keys), Some(values)) = (list("keys")?, list("values")?) else {
        return Err(node.unsupported("there are no keys or no values"));
    };
    if of_texts != matches!(keys, Data::Texts(_)) {
        return Err(node.unsupported("keys of another type than the input"));
    }
    let default = match (&values, tensor("default_tensor")) {
        (_, Some(default)) => default,
        (Data::Numbers(_), None) => Data::Numbers(vec![node.float("default_float", -0.0)]),
        (Data::Whole(_), None) => Data::Whole(vec![node.integer("default_int64", -1)]),
        (Data::Texts(_), None) => Data::Texts(vec![
            node.text("default_string").unwrap_or("_Unused").into(),
        ]),
    };
    made(node, keys, values, default)
}

fn made(node: &Node<'_>, keys: Data, values: Data, default: Data) -> Result<Made> {
    let same = match (&values, &default) {
        (Data::Numbers(_), Data::Numbers(default)) => default.len() == 1,
        (Data::Whole(_), Data::Whole(default)) => default.len() == 1,
        (Data::Texts(_), Data::Texts(default)) => default.len() == 1,
        _ => false,
    };
    if keys.len() != values.len() || !same {
        return Err(node.unsupported("keys, values and default do not go together"));
    }
    let mut places = HashMap::new();
    let keys: Box<dyn Iterator<Item = Key>> = match keys {
        Data::Numbers(numbers) => Box::new(numbers.into_iter().map(Key::number)),
        Data::Whole(numbers) => Box::new(numbers.into_iter().map(Key::Whole)),
        Data::Texts(texts) => Box::new(texts.into_iter().map(Key::Text)),
    };
    for (place, key) in keys.enumerate() {
        places.entry(key).or_insert(place);
    }
    let (kind, meaning) = match &values {
        Data::Numbers(_) => (Kind::Numbers, Meaning::Numbers),
        Data::Whole(classes) => {
            let classes = Classes::Whole(classes.as_slice().into());
            (Kind::Whole, Meaning::Labels(Some(classes)))
        }
        Data::Texts(classes) => {
            let classes = Classes::Texts(classes.as_slice().into());
            (Kind::Texts, Meaning::Labels(Some(classes)))
        }
    };
    let encoder = LabelEncoder {
        places,
        values,
        default,
    };
    Ok(Made::one(encoder, kind, meaning))
}

impl Operator for LabelEncoder {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let input = call.input(inputs, 0)?;
        let place = |key: Key| self.places.get(&key).copied();
        let places: Vec<Option<usize>> = match &input.data {
            Data::Numbers(numbers) => numbers.iter().map(|&x| place(Key::number(x))).collect(),
            Data::Whole(numbers) => numbers.iter().map(|&x| place(Key::Whole(x))).collect(),
            Data::Texts(texts) => texts.iter().map(|x| place(Key::Text(x.clone()))).collect(),
        };
        fn of<T: Clone>(values: &[T], default: &[T], places: &[Option<usize>]) -> Vec<T> {
            let value = |place: &Option<usize>| match place {
                Some(place) => values.get(*place).or(default.first()),
                None => default.first(),
            };
            places.iter().filter_map(value).cloned().collect()
        }
        let data = match (&self.values, &self.default) {
            (Data::Numbers(values), Data::Numbers(default)) => {
                Data::Numbers(of(values, default, &places))
            }
            (Data::Whole(values), Data::Whole(default)) => {
                Data::Whole(of(values, default, &places))
            }
            (Data::Texts(values), Data::Texts(default)) => {
                Data::Texts(of(values, default, &places))
            }
            _ => return Err(call.invalid("the default is of another type")),
        };
        Ok(vec![Value::new(input.shape.clone(), data)])
    }

    fn bytes(&self) -> u64 {
        self.values.bytes() + 40 * self.places.len() as u64
    }
}

/// `ZipMap`: scores with the names of their classes. Its maps stay rows of numbers; the names are the output's
/// [`Meaning`].
struct ZipMap {
    classes: usize,
}

/// Reads a `ZipMap`.
pub(super) fn zip_map(node: &Node<'_>) -> Result<Made> {
    let classes = Classes::read(node, "classlabels_int64s", "classlabels_strings")?;
    let zip = ZipMap {
        classes: classes.len(),
    };
    Ok(Made::one(zip, Kind::Numbers, Meaning::Scores(classes)))
}

impl Operator for ZipMap {
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>> {
        let table = call.table_of(inputs, self.classes)?;
        let shape = vec![table.rows, table.width];
        Ok(vec![Value::new(
            shape,
            Data::Numbers(table.data.into_owned()),
        )])
    }
}

/// The classes that a constant list is, where something picks from it.
pub(super) fn listed(constant: &Constant) -> Option<Classes> {
    match constant {
        Constant::Whole { values, .. } => Some(Classes::Whole(values.as_slice().into())),
        Constant::Texts { values, .. } => Some(Classes::Texts(values.as_slice().into())),
        Constant::Numbers { .. } => None,
    }
}
