//! The functions of models: what they take and what they answer.
//!
//! | function | takes | answers |
//! | --- | --- | --- |
//! | `sentiment` | text | `STRUCT<sentiment Utf8, scores STRUCT<positive, negative, neutral, mixed Float32>>` |
//! | `language` | text | `STRUCT<code Utf8, score Float32>`, the likeliest |
//! | `entities` | text | `LIST<STRUCT<type, text Utf8, score Float32, begin, end Int64>>` |
//! | `key_phrases` | text | `LIST<STRUCT<text Utf8, score Float32, begin, end Int64>>` |
//! | `pii` | text | `LIST<STRUCT<type, text Utf8, score Float32, evidence Utf8, begin, end Int64>>` |
//! | `redact` | text | `Utf8`, each character of personal data masked |
//! | `embed` | text | `LIST<Float32>`, of length one |
//! | `labels` | image | `LIST<STRUCT<name Utf8, confidence Float32, parents, categories LIST<Utf8>>>` |
//! | `faces` | image | `LIST<STRUCT<score Float32, box STRUCT<left, top, width, height Float32>, age Float32, age_low, age_high Int64, gender Utf8, gender_score Float32, emotions LIST<STRUCT<name Utf8, score Float32>>, eyes_open, mouth_open, smile Float32>>` |
//!
//! Texts are `Utf8`, images the bytes of a file (`Binary`). Functions on texts but `language` and `embed` take a second
//! argument, the text's language, which is `en` when left out. Scores are 0 to 1, confidences percent, positions code
//! points; names are those of the REST door. A null argument answers null and asks nobody. `similarity(a, b)` is the
//! cosine of the two embeddings, `Float32`. `predict('endpoint', …)` asks a hosted model ([`crate::endpoint`]), and
//! `json_value(text, path)` takes members of what it answers ([`crate::json`]).
//!
//! A row that a model cannot answer is null, or ends the query (`SET escala.on_error = 'error'`). Each function has a
//! second form, `try_…`, that answers `STRUCT<value, error Utf8>` and never ends it.

use crate::model::Model;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Builder};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Float32Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A function that a model is.
#[derive(Debug)]
pub struct Function {
    /// Its name in queries.
    pub name: &'static str,
    /// The types of its arguments.
    pub arguments: &'static [DataType],
    /// How many of them must be given.
    pub needed: usize,
    /// The type of its answers.
    pub answers: fn() -> DataType,
    /// Microseconds for a row, roughly: filters with cheaper functions go first.
    pub cost: u32,
    /// Rows that are asked about at once.
    pub piece: usize,
}

/// Rows of text that are asked about at once.
const TEXTS: usize = 256;
/// Images that are asked about at once.
const IMAGES: usize = 8;

const TEXT: &[DataType] = &[DataType::Utf8];
pub(crate) const TEXT_AND_TEXT: &[DataType] = &[DataType::Utf8, DataType::Utf8];
const TEXT_AND_LANGUAGE: &[DataType] = TEXT_AND_TEXT;
const IMAGE: &[DataType] = &[DataType::Binary];

const fn function(
    name: &'static str,
    arguments: &'static [DataType],
    cost: u32,
    answers: fn() -> DataType,
) -> Function {
    let piece = match arguments[0] {
        DataType::Binary => IMAGES,
        _ => TEXTS,
    };
    Function {
        name,
        arguments,
        needed: 1,
        answers,
        cost,
        piece,
    }
}

/// Everything that a model can be called as.
pub static FUNCTIONS: [Function; 9] = [
    function("language", TEXT, 20, || {
        record([text("code"), number("score")])
    }),
    function("entities", TEXT_AND_LANGUAGE, 800, || {
        list(record([
            text("type"),
            text("text"),
            number("score"),
            count("begin"),
            count("end"),
        ]))
    }),
    function("key_phrases", TEXT_AND_LANGUAGE, 800, || {
        list(record([
            text("text"),
            number("score"),
            count("begin"),
            count("end"),
        ]))
    }),
    function("pii", TEXT_AND_LANGUAGE, 900, || {
        list(record([
            text("type"),
            text("text"),
            number("score"),
            text("evidence"),
            count("begin"),
            count("end"),
        ]))
    }),
    function("redact", TEXT_AND_LANGUAGE, 900, || DataType::Utf8),
    function("embed", TEXT, 1500, || list(DataType::Float32)),
    function("sentiment", TEXT_AND_LANGUAGE, 3000, || {
        let scores = record(["positive", "negative", "neutral", "mixed"].map(number));
        record([text("sentiment"), field("scores", scores)])
    }),
    function("labels", IMAGE, 40_000, || {
        list(record([
            text("name"),
            number("confidence"),
            field("parents", list(DataType::Utf8)),
            field("categories", list(DataType::Utf8)),
        ]))
    }),
    function("faces", IMAGE, 90_000, || {
        let emotion = record([text("name"), number("score")]);
        list(record([
            number("score"),
            field(
                "box",
                record(["left", "top", "width", "height"].map(number)),
            ),
            number("age"),
            count("age_low"),
            count("age_high"),
            text("gender"),
            number("gender_score"),
            field("emotions", list(emotion)),
            number("eyes_open"),
            number("mouth_open"),
            number("smile"),
        ]))
    }),
];

/// The function with a name.
pub fn named(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

fn field(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, true)
}

fn text(name: &str) -> Field {
    field(name, DataType::Utf8)
}

fn number(name: &str) -> Field {
    field(name, DataType::Float32)
}

fn count(name: &str) -> Field {
    field(name, DataType::Int64)
}

fn record<const N: usize>(fields: [Field; N]) -> DataType {
    DataType::Struct(Fields::from(fields.to_vec()))
}

fn list(item: DataType) -> DataType {
    DataType::new_list(item, true)
}

/// What becomes of a row without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Form {
    /// The session's choice.
    Plain,
    /// The answer and the fault are both shown.
    Try,
}

impl Form {
    /// The type of a call's answers.
    pub(crate) fn kind(self, answers: DataType) -> DataType {
        match self {
            Self::Plain => answers,
            Self::Try => DataType::Struct(tried(answers)),
        }
    }
}

/// The members of what `try_…` answers.
pub(crate) fn tried(answers: DataType) -> Fields {
    Fields::from(vec![field("value", answers), text("error")])
}

/// A model as DataFusion's planner knows it. It is never invoked: [`crate::predict`] takes every call of it out.
#[derive(Debug)]
pub(crate) struct Callable {
    pub(crate) model: Arc<dyn Model>,
    pub(crate) form: Form,
    name: String,
    signature: Signature,
}

impl Callable {
    pub(crate) fn new(model: Arc<dyn Model>, form: Form) -> Self {
        let function = model.function();
        let name = match form {
            Form::Plain => function.name.to_owned(),
            Form::Try => format!("try_{}", function.name),
        };
        let mut forms = Vec::new();
        for count in function.needed..=function.arguments.len() {
            let arguments = function.arguments[..count].to_vec();
            // Bytes come in three layouts, of which no one becomes another by itself.
            if arguments == [DataType::Binary] {
                let others = [DataType::LargeBinary, DataType::BinaryView];
                forms.extend(others.map(|other| TypeSignature::Exact(vec![other])));
            }
            forms.push(TypeSignature::Exact(arguments));
        }
        let signature = Signature::one_of(forms, Volatility::Immutable);
        Self {
            model,
            form,
            name,
            signature,
        }
    }
}

impl PartialEq for Callable {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Callable {}

impl Hash for Callable {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Callable {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.form.kind((self.model.function().answers)()))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        plan_err!("{}() cannot be called in this place", self.name)
    }
}

/// `similarity(a, b)`; a query sees it, its plan has [`Cosine`] of two embeddings instead.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Similarity {
    signature: Signature,
}

impl Similarity {
    pub(crate) fn new() -> Self {
        let texts = vec![DataType::Utf8, DataType::Utf8];
        Self {
            signature: Signature::exact(texts, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Similarity {
    fn name(&self) -> &str {
        "similarity"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float32)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        plan_err!("similarity() cannot be called in this place")
    }
}

/// `cosine(a, b)` of two lists of numbers: null where one is null, empty or has no direction.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cosine {
    signature: Signature,
}

impl Cosine {
    pub(crate) fn new() -> Self {
        let vector = list(DataType::Float32);
        Self {
            signature: Signature::exact(vec![vector.clone(), vector], Volatility::Immutable),
        }
    }

    pub(crate) fn udf() -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(Self::new()))
    }
}

impl ScalarUDFImpl for Cosine {
    fn name(&self) -> &str {
        "cosine"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float32)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let arrays = arguments.args.into_iter();
        let arrays = arrays.map(|argument| argument.into_array(rows));
        let arrays = arrays.collect::<Result<Vec<ArrayRef>>>()?;
        let [left, right] = &arrays[..] else {
            return exec_err!("cosine() takes two vectors");
        };
        let (left, right) = (left.as_list::<i32>(), right.as_list::<i32>());
        let mut cosines = Float32Builder::with_capacity(rows);
        for row in 0..rows {
            if left.is_null(row) || right.is_null(row) {
                cosines.append_null();
                continue;
            }
            let (left, right) = (left.value(row), right.value(row));
            let left = left.as_primitive::<Float32Type>().values();
            let right = right.as_primitive::<Float32Type>().values();
            if left.len() != right.len() {
                let (left, right) = (left.len(), right.len());
                return exec_err!("cosine() of vectors with {left} and {right} numbers");
            }
            cosines.append_option(cosine(left, right));
        }
        Ok(ColumnarValue::Array(Arc::new(cosines.finish())))
    }
}

fn cosine(left: &[f32], right: &[f32]) -> Option<f32> {
    let dot = |left: &[f32], right: &[f32]| -> f64 {
        let products = left.iter().zip(right);
        products.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let lengths = (dot(left, left) * dot(right, right)).sqrt();
    (lengths > 0.0).then(|| (dot(left, right) / lengths) as f32)
}
