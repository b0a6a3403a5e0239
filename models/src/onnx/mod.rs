//! Models in ONNX files that users bring: networks, and what scikit-learn (skl2onnx), XGBoost and LightGBM
//! (onnxmltools) export.
//!
//! ```text
//! file ── graph::onnx::wire ──▶ nodes ── program.rs ──▶ steps: networks (crate::graph) and operations (operator.rs)
//!                                                          │ Model::run(named numbers and texts)
//!                                                          ▼
//!                                          numbers, whole numbers or texts, by name
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `program.rs` | the order of steps; nodes of ONNX's own set are gathered to few networks |
//! | `operator.rs` | the operations of `ai.onnx.ml` by name, and what they promise |
//! | `value.rs` | what flows between steps |
//! | `forest.rs`, `trees.rs` | decision trees, and what ensembles make of them |
//! | `linear.rs`, `svm.rs`, `distance.rs` | linear models, support vectors, nearest neighbours |
//! | `columns.rs` | scaling, missing values, categories, picking columns |
//! | `scores.rs`, `labels.rs` | what becomes of a classifier's sums; classes and their names |
//! | `shapes.rs` | reshaping and casting labels and texts |
//! | `picks.rs` | columns of texts: picked, put side by side, compared, filled in |
//! | `words.rs`, `pattern.rs`, `grams.rs` | texts to lower case, to words, and to counts of words |
//!
//! Numbers are `f32` whatever a file says: doubles are rounded, and inputs of whole numbers are given as `f32`, too. Labels
//! are exact, whole numbers of 64 bits or texts.
//!
//! Files are not trusted: what is read is bounded by the file's length and [`Limits`], lists must fit each other, trees are
//! walked once when they are read, and an operation that is not known is an error that names it. Texts count towards the
//! limits by their bytes.

mod columns;
mod distance;
mod forest;
mod grams;
mod labels;
mod linear;
mod operator;
mod pattern;
mod picks;
mod program;
mod scores;
mod shapes;
mod svm;
mod trees;
mod value;
mod words;

pub use crate::graph::{Error, Limits, Result};
pub use labels::Classes;
pub use value::{Data, Elements, Input};

use crate::Compute;
use crate::graph::network::is_finite;
use crate::graph::onnx::wire::{File, Interface};
use crate::graph::tensor::count;
use program::Program;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use value::Value;

/// A model that is ready to run. Threads may share it.
pub struct Model {
    program: Program,
    inputs: Vec<Wanted>,
    outputs: Vec<Given>,
    metadata: BTreeMap<String, String>,
    limits: Limits,
}

/// The type of elements as a file declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Floating-point numbers of any size.
    Numbers,
    /// Whole numbers of any size.
    Whole,
    /// True or false, as 1 and 0.
    Truth,
    /// Texts.
    Texts,
}

impl Element {
    fn of(kind: u64) -> Option<Self> {
        Some(match kind {
            1 | 10 | 11 | 16 => Self::Numbers,
            8 => Self::Texts,
            9 => Self::Truth,
            2..=7 | 12 | 13 => Self::Whole,
            _ => return None,
        })
    }
}

/// An input of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What the elements must be: of [`Element::Whole`] and [`Element::Truth`] whole numbers.
    pub element: Element,
    /// Its dimensions, absent where any size goes (the rows of a table, mostly); nothing where the file does not even
    /// say how many there are.
    pub shape: Option<Vec<Option<usize>>>,
}

/// An output of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Its name.
    pub name: String,
    /// The type that the file declares; of scores with classes (a sequence of maps in the file) numbers.
    pub element: Element,
    /// Its dimensions as for an input; of scores with classes `[rows, classes]`.
    pub shape: Option<Vec<Option<usize>>>,
    /// What its elements say.
    pub meaning: Meaning,
}

/// What an output says.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// Plain numbers.
    Numbers,
    /// The class of each row; one of these, where the file says which there are.
    Labels(Option<Classes>),
    /// A row of numbers for each row, one for each of these classes: probabilities, except for classifiers that have none
    /// (a linear support vector machine, or one of more than two classes without probabilities, whose numbers are not
    /// even one for each class).
    Scores(Classes),
}

/// What a run gives for an output.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The output's name.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its elements in row-major order.
    pub data: Data,
}

impl Model {
    /// Opens a file.
    ///
    /// # Errors
    /// When the file cannot be read, is malformed or over the limits, or uses what is not supported.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        Self::read(&bytes, Limits::default())
    }

    /// Reads a file from memory.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn read(bytes: &[u8], limits: Limits) -> Result<Self> {
        let file = File::read(bytes, limits)?;
        let program = Program::build(&file, limits)?;
        let constants = file.body.constants.iter();
        let constants: HashSet<&str> = constants.map(|(name, _)| name.as_str()).collect();
        let inputs = file.body.inputs.iter();
        let inputs = inputs.filter(|input| !constants.contains(input.name.as_str()));
        let inputs = inputs.map(wanted).collect::<Result<Vec<_>>>()?;
        let outputs = file.body.outputs.iter().zip(&program.outputs);
        let mut outputs: Vec<Given> = outputs
            .map(|(output, (_, fact))| given(output, &fact.meaning))
            .collect();
        name_scores(&mut outputs);
        Ok(Self {
            program,
            inputs,
            outputs,
            metadata: file.metadata,
            limits,
        })
    }

    /// What the model wants, in the file's order.
    pub fn inputs(&self) -> &[Wanted] {
        &self.inputs
    }

    /// What the model gives, in the file's order.
    pub fn outputs(&self) -> &[Given] {
        &self.outputs
    }

    /// Text that the file carries beside the model.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Bytes of memory that the model holds between runs.
    pub fn memory(&self) -> u64 {
        self.program.memory()
    }

    /// Runs the model. Inputs go by name in any order; outputs come in the order of [`Model::outputs`]. Numbers that are
    /// not there may be given as NaN, to models that know what to do without them.
    ///
    /// # Errors
    /// When inputs are missing, do not fit or are not whole where the model wants whole numbers; when something is over
    /// the limits; when an output is not finite.
    pub fn run(&self, compute: &Compute, inputs: &[Input<'_>]) -> Result<Vec<Output>> {
        if let Some(other) = inputs
            .iter()
            .find(|input| self.wanted(input.name).is_none())
        {
            return Err(Error::Input(format!("there is no input `{}`", other.name)));
        }
        let values = self.inputs.iter().map(|wanted| {
            let input = inputs.iter().find(|input| input.name == wanted.name);
            let input =
                input.ok_or_else(|| Error::Input(format!("`{}` is missing", wanted.name)))?;
            wanted.check(input, self.limits)?;
            Ok(Value::new(input.shape.to_vec(), input.data.to_data()))
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        let outputs = self.program.run(compute, values)?.into_iter();
        let outputs = outputs.zip(&self.outputs).map(|(value, given)| {
            let Value { shape, data } =
                Arc::try_unwrap(value).unwrap_or_else(|shared| shared.as_ref().clone());
            if let Data::Numbers(numbers) = &data
                && !is_finite(numbers)
            {
                return Err(Error::NotFinite(given.name.clone()));
            }
            Ok(Output {
                name: given.name.clone(),
                shape,
                data: given.element.of_declared(data),
            })
        });
        outputs.collect()
    }

    fn wanted(&self, name: &str) -> Option<&Wanted> {
        self.inputs.iter().find(|wanted| wanted.name == name)
    }
}

impl Element {
    /// Numbers as whole ones where the file says so.
    fn of_declared(self, data: Data) -> Data {
        match (self, data) {
            (Self::Whole | Self::Truth, Data::Numbers(numbers)) => {
                Data::Whole(numbers.into_iter().map(|number| number as i64).collect())
            }
            (Self::Numbers, Data::Whole(numbers)) => {
                Data::Numbers(numbers.into_iter().map(|number| number as f32).collect())
            }
            (_, data) => data,
        }
    }
}

impl Wanted {
    /// Whether an input may be this.
    fn check(&self, input: &Input<'_>, limits: Limits) -> Result<()> {
        let name = &self.name;
        let fits = |wanted: &Vec<Option<usize>>| {
            let pairs = || input.shape.iter().zip(wanted);
            input.shape.len() == wanted.len()
                && pairs().all(|(&size, wanted)| wanted.is_none_or(|wanted| wanted == size))
        };
        if let Some(wanted) = self.shape.as_ref().filter(|wanted| !fits(wanted)) {
            let wanted = wanted.iter().map(|size| match size {
                Some(size) => size.to_string(),
                None => "any".to_owned(),
            });
            let wanted = wanted.collect::<Vec<_>>().join(", ");
            let shape = input.shape;
            return Err(Error::Input(format!(
                "`{name}` has shape {shape:?}, not [{wanted}]"
            )));
        }
        if count(input.shape) != Some(input.data.len()) {
            let (elements, shape) = (input.data.len(), input.shape);
            return Err(Error::Input(format!(
                "`{name}` has {elements} elements in shape {shape:?}"
            )));
        }
        if input.data.weight() > limits.elements {
            return Err(Error::TooLarge {
                what: format!("input `{name}`"),
                limit: limits.elements as u64,
            });
        }
        let fraction = match (self.element, input.data) {
            (Element::Texts, Elements::Texts(_)) | (Element::Numbers, Elements::Numbers(_)) => None,
            (Element::Whole | Element::Truth, Elements::Numbers(numbers)) => numbers
                .iter()
                .find(|number| number.fract() != 0.0 || !number.is_finite()),
            (Element::Texts, Elements::Numbers(_)) => {
                return Err(Error::Input(format!("`{name}` takes texts, not numbers")));
            }
            (_, Elements::Texts(_)) => {
                return Err(Error::Input(format!("`{name}` takes numbers, not texts")));
            }
        };
        match fraction {
            Some(fraction) => Err(Error::Input(format!(
                "`{name}` takes whole numbers, and {fraction} is none"
            ))),
            None => Ok(()),
        }
    }
}

fn wanted(input: &Interface) -> Result<Wanted> {
    let name = input.name.clone();
    match Element::of(input.element) {
        Some(element) => Ok(Wanted {
            name,
            element,
            shape: input.shape.clone(),
        }),
        None => Err(Error::Input(format!(
            "`{name}` is no tensor of numbers or texts (element type {})",
            input.element
        ))),
    }
}

fn given(output: &Interface, meaning: &Meaning) -> Given {
    let mut shape = output.shape.clone();
    let element = match (Element::of(output.element), meaning) {
        (Some(element), _) => element,
        (None, Meaning::Labels(Some(Classes::Texts(_)))) => Element::Texts,
        (None, Meaning::Labels(_)) => Element::Whole,
        (None, Meaning::Numbers) => Element::Numbers,
        (None, Meaning::Scores(classes)) => {
            shape = Some(vec![None, Some(classes.len())]);
            Element::Numbers
        }
    };
    let meaning = match (element, meaning) {
        // The file says that these are names.
        (Element::Texts, Meaning::Numbers | Meaning::Scores(_)) => Meaning::Labels(None),
        (_, meaning) => meaning.clone(),
    };
    Given {
        name: output.name.clone(),
        element,
        shape,
        meaning,
    }
}

/// Scores that a network makes are known by standing beside labels of as many classes.
fn name_scores(outputs: &mut [Given]) {
    let labels = outputs.iter().filter_map(|output| match &output.meaning {
        Meaning::Labels(Some(classes)) => Some(classes.clone()),
        _ => None,
    });
    let labels: Vec<Classes> = labels.collect();
    let [classes] = labels.as_slice() else {
        return;
    };
    let scores = |output: &Given| {
        let columns = output
            .shape
            .as_deref()
            .and_then(<[_]>::last)
            .copied()
            .flatten();
        output.meaning == Meaning::Numbers
            && output.element == Element::Numbers
            && output.shape.as_ref().is_some_and(|shape| shape.len() == 2)
            && columns == Some(classes.len())
    };
    let mut candidates = outputs.iter_mut().filter(|output| scores(output));
    if let (Some(output), None) = (candidates.next(), candidates.next()) {
        output.meaning = Meaning::Scores(classes.clone());
    }
}
