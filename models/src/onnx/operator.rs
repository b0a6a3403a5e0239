//! The operations that are no part of a network: one by one, on whole tables.

use super::value::{Call, Value};
use super::{Meaning, columns, distance, grams, labels, linear, picks, shapes, svm, trees, words};
use crate::graph::Result;
use crate::graph::onnx::wire::{Constant, Node};

/// An operation that has been read and checked.
pub(super) trait Operator: Send + Sync {
    /// Its results.
    ///
    /// # Errors
    /// When the inputs do not fit or a result would be over the limits.
    fn run(&self, call: &Call<'_>, inputs: &[&Value]) -> Result<Vec<Value>>;

    /// Bytes of memory that it holds.
    fn bytes(&self) -> u64 {
        0
    }
}

/// The type of a value's elements, as far as a file says before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Numbers,
    Whole,
    Texts,
}

/// What is known about a value before the run.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) kind: Kind,
    pub(super) meaning: Meaning,
}

impl Fact {
    pub(super) const NUMBERS: Self = Self {
        kind: Kind::Numbers,
        meaning: Meaning::Numbers,
    };
    pub(super) const TEXTS: Self = Self {
        kind: Kind::Texts,
        meaning: Meaning::Numbers,
    };
}

/// What a node reads.
pub(super) struct Read<'a> {
    pub(super) fact: &'a Fact,
    pub(super) constant: Option<&'a Constant>,
    /// Whether an operation of this module makes it.
    pub(super) ours: bool,
}

/// An operation and what its results are.
pub(super) struct Made {
    pub(super) operator: Box<dyn Operator>,
    pub(super) facts: Vec<Fact>,
}

impl Made {
    /// An operation with one result.
    pub(super) fn one(operator: impl Operator + 'static, kind: Kind, meaning: Meaning) -> Self {
        Self::new(operator, vec![Fact { kind, meaning }])
    }

    pub(super) fn new(operator: impl Operator + 'static, facts: Vec<Fact>) -> Self {
        Self {
            operator: Box::new(operator),
            facts,
        }
    }
}

/// The operations outside of ONNX's own set that take texts.
const TAKE_TEXTS: [&str; 4] = [
    "ArrayFeatureExtractor",
    "LabelEncoder",
    "OneHotEncoder",
    "Tokenizer",
];

/// Reads a node; nothing when it is one for a network.
pub(super) fn read(node: &Node<'_>, inputs: &[Read<'_>]) -> Result<Option<Made>> {
    let is_text = |input: &Read<'_>| input.fact.kind == Kind::Texts;
    let takes_texts = node.domain.is_empty() || TAKE_TEXTS.contains(&node.op.as_str());
    if !takes_texts && inputs.iter().any(is_text) {
        return Err(node.unsupported("texts as an input"));
    }
    let made = match (node.domain.as_str(), node.op.as_str()) {
        ("ai.onnx.ml", op) => match op {
            "TreeEnsembleClassifier" => trees::classifier(node),
            "TreeEnsembleRegressor" => trees::regressor(node),
            "LinearClassifier" => linear::classifier(node),
            "LinearRegressor" => linear::regressor(node),
            "SVMClassifier" => svm::classifier(node),
            "SVMRegressor" => svm::regressor(node),
            "Scaler" => columns::scaler(node),
            "Normalizer" => columns::normalizer(node, inputs),
            "Imputer" => columns::imputer(node),
            "Binarizer" => columns::binarizer(node),
            "OneHotEncoder" => columns::one_hot(node, inputs),
            "FeatureVectorizer" => columns::vectorizer(node),
            "ArrayFeatureExtractor" => columns::extractor(inputs),
            "LabelEncoder" => labels::encoder(node, inputs),
            "ZipMap" => labels::zip_map(node),
            _ => Err(node.unsupported("the operation of ai.onnx.ml is not known")),
        },
        ("com.microsoft", "CDist") => distance::all_pairs(node),
        ("com.microsoft", "Tokenizer") => words::tokenizer(node, inputs),
        ("", "Scan") => distance::scan(node),
        ("", "StringNormalizer") => words::normalizer(node, inputs),
        ("", "TfIdfVectorizer") => grams::vectorizer(node, inputs),
        ("", _) => match shapes::read(node, inputs)? {
            Some(made) => Ok(made),
            None => return picks::read(node, inputs),
        },
        (domain, _) => Err(node.unsupported(format!("the operator set {domain} is not known"))),
    };
    made.map(Some)
}
