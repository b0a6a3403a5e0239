//! `predict('endpoint', …)`: hosted models, asked about rows of any columns.
//!
//! A query sees a function that takes the name of an endpoint and any columns. Its plan has two instead: [`Row`] makes of the
//! columns of a row what an endpoint is asked, and [`PREDICT`] is the model, so that rows with the same values are asked about
//! once.
//!
//! | columns | what the endpoint is asked |
//! | --- | --- |
//! | one text | the text in JSON; one that is an object or a list of JSON already, as it is |
//! | one image (`Binary`) | `{"image": "BASE64"}` |
//! | numbers, booleans (1 and 0), texts, lists of numbers | a line of CSV, lists one number after the other; nothing where a value is null or not a number |
//!
//! The answer is what the endpoint says of the row, in JSON: of an object with one member the member alone (`0.93` of
//! `{"score": 0.93}`), and of a text the text. So `CAST(predict('churn', a, b) AS DOUBLE)` is a number, and
//! `json_value(predict('iris', a, b), '$.predicted_label')` a member of many.

use crate::functions::{Form, Function, TEXT_AND_TEXT};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// The model: an endpoint's name, and what it is asked about a row.
pub static PREDICT: Function = Function {
    name: "predict",
    arguments: TEXT_AND_TEXT,
    needed: 2,
    answers: || DataType::Utf8,
    cost: 500,
    piece: 1000,
};

/// `predict(endpoint, …)` as a query sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Predict {
    form: Form,
    signature: Signature,
}

impl Predict {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }

    /// The call that an expression is, and whether faults are shown.
    pub(crate) fn of(expression: &Expr) -> Option<Form> {
        match expression {
            Expr::ScalarFunction(function) => {
                let called = function.func.inner().downcast_ref::<Self>()?;
                Some(called.form)
            }
            _ => None,
        }
    }

    /// The call in a plan, of the model.
    ///
    /// # Errors
    /// There is no column beside the endpoint.
    pub(crate) fn rewritten(model: Arc<ScalarUDF>, arguments: Vec<Expr>) -> Result<Expr> {
        let mut arguments = arguments.into_iter();
        let (Some(endpoint), true) = (arguments.next(), arguments.len() > 0) else {
            return plan_err!("{USAGE}");
        };
        let row = ScalarFunction::new_udf(Row::udf(), arguments.collect());
        let asked = vec![endpoint, Expr::ScalarFunction(row)];
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(model, asked)))
    }
}

const USAGE: &str =
    "predict() takes the name of an endpoint and columns: predict('churn', age, income)";

fn is_text(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

impl ScalarUDFImpl for Predict {
    fn name(&self) -> &str {
        match self.form {
            Form::Plain => "predict",
            Form::Try => "try_predict",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        match kinds {
            [endpoint, columns @ ..] if is_text(endpoint) && !columns.is_empty() => {
                shape(columns)?;
                Ok(self.form.kind((PREDICT.answers)()))
            }
            _ => plan_err!("{USAGE}"),
        }
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        plan_err!("{}() cannot be called in this place", self.name())
    }
}

/// How the columns of a row are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Text,
    Image,
    Csv,
}

/// That of columns of these types.
///
/// # Errors
/// One of them is nothing that a model can be asked about.
fn shape(kinds: &[DataType]) -> Result<Shape> {
    match kinds {
        [kind] if is_text(kind) => return Ok(Shape::Text),
        [DataType::Binary | DataType::LargeBinary | DataType::BinaryView] => {
            return Ok(Shape::Image);
        }
        _ => {}
    }
    let number = |kind: &DataType| kind.is_numeric() || *kind == DataType::Boolean;
    for (at, kind) in kinds.iter().enumerate() {
        let known = match kind {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                number(item.data_type())
            }
            kind => number(kind) || is_text(kind) || kind.is_null(),
        };
        if !known {
            return plan_err!(
                "predict(): column {} is {kind}; it takes numbers, booleans, texts and lists of numbers, or one image",
                at + 1
            );
        }
    }
    Ok(Shape::Csv)
}

/// What an endpoint is asked about a row of these columns; null where all of them are.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    signature: Signature,
}

impl Row {
    fn udf() -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(Self {
            signature: Signature::variadic_any(Volatility::Immutable),
        }))
    }
}

impl ScalarUDFImpl for Row {
    fn name(&self) -> &str {
        "row"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let columns = arguments.args.into_iter();
        let columns = columns.map(|column| column.into_array(rows));
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let kinds: Vec<DataType> = columns.iter().map(|one| one.data_type().clone()).collect();
        let made = match (shape(&kinds)?, &columns[..]) {
            (Shape::Text, [texts]) => of_texts(texts)?,
            (Shape::Image, [images]) => of_images(images)?,
            (Shape::Csv, columns) => of_numbers(columns, rows)?,
            (shape, columns) => return exec_err!("{} columns as {shape:?}", columns.len()),
        };
        Ok(ColumnarValue::Array(Arc::new(made)))
    }
}

fn of_texts(texts: &ArrayRef) -> Result<StringArray> {
    let texts = cast(texts, &DataType::Utf8)?;
    let asked = texts.as_string::<i32>().iter().map(|text| {
        let text = text?;
        let json = text.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        Some(match json {
            true => text.to_owned(),
            false => serde_json::Value::from(text).to_string(),
        })
    });
    Ok(asked.collect())
}

fn of_images(images: &ArrayRef) -> Result<StringArray> {
    let images = cast(images, &DataType::Binary)?;
    let asked = images.as_binary::<i32>().iter();
    let asked = asked.map(|image| Some(format!("{{\"image\":\"{}\"}}", STANDARD.encode(image?))));
    Ok(asked.collect())
}

/// A column as texts.
enum Cells {
    One(StringArray),
    Many(ListArray),
}

fn cells(column: &ArrayRef) -> Result<Cells> {
    let number = |kind: &DataType| match kind {
        // In arithmetic, true is 1.
        DataType::Boolean => DataType::Int8,
        kind => kind.clone(),
    };
    Ok(match column.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let numbers = DataType::new_list(number(item.data_type()), true);
            let texts = DataType::new_list(DataType::Utf8, true);
            Cells::Many(cast(&cast(column, &numbers)?, &texts)?.as_list().clone())
        }
        kind => {
            let numbers = cast(column, &number(kind))?;
            Cells::One(cast(&numbers, &DataType::Utf8)?.as_string().clone())
        }
    })
}

fn of_numbers(columns: &[ArrayRef], rows: usize) -> Result<StringArray> {
    let kinds = columns.iter().map(|column| is_text(column.data_type()));
    let cells = columns.iter().map(cells).collect::<Result<Vec<_>>>()?;
    let columns: Vec<(Cells, bool)> = cells.into_iter().zip(kinds).collect();
    let mut made = StringBuilder::with_capacity(rows, rows * columns.len() * 8);
    let mut line = String::new();
    for row in 0..rows {
        line.clear();
        let (mut first, mut known) = (true, false);
        let mut cell = |text: Option<&str>, quoted: bool| {
            if !std::mem::take(&mut first) {
                line.push(',');
            }
            match text {
                None | Some("NaN") if !quoted => {}
                None => {}
                Some(text) if quoted && text.contains([',', '"', '\n', '\r']) => {
                    line.push('"');
                    line.push_str(&text.replace('"', "\"\""));
                    line.push('"');
                }
                Some(text) => line.push_str(text),
            }
        };
        // How many numbers a list that is not there would have, nobody knows.
        let mut whole = true;
        for (column, text) in &columns {
            match column {
                Cells::One(values) => {
                    let value = values.is_valid(row).then(|| values.value(row));
                    known |= value.is_some();
                    cell(value, *text);
                }
                Cells::Many(lists) if lists.is_valid(row) => {
                    known = true;
                    for value in lists.value(row).as_string::<i32>() {
                        cell(value, false);
                    }
                }
                Cells::Many(_) => whole = false,
            }
        }
        match whole && known {
            true => made.append_value(&line),
            false => made.append_null(),
        }
    }
    Ok(made.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{
        BinaryArray, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array,
        TimestampSecondArray,
    };
    use datafusion::arrow::datatypes::Float32Type;

    fn array(array: impl Array + 'static) -> ArrayRef {
        Arc::new(array)
    }

    fn texts(made: &StringArray) -> Vec<Option<&str>> {
        made.iter().collect()
    }

    #[test]
    fn numbers_are_lines_of_csv() {
        let lists = [
            Some(vec![Some(0.5), None]),
            Some(vec![Some(2.0), Some(3.0)]),
        ];
        let lists = lists.into_iter().chain([None, Some(vec![None, None])]);
        let columns = [
            array(Int64Array::from(vec![Some(1), Some(-2), Some(3), None])),
            array(Float64Array::from(vec![Some(0.1), None, None, None])),
            array(Float32Array::from(vec![f32::NAN, 0.1, 1e-9, f32::NAN])),
            array(BooleanArray::from(vec![true, false, true, false])),
            array(StringArray::from(vec!["a,\"b\"", "NaN", "c", ""])),
            array(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(lists, 2)),
        ];
        let made = of_numbers(&columns, 4).expect("made");
        assert_eq!(
            texts(&made),
            [
                Some("1,0.1,,1,\"a,\"\"b\"\"\",0.5,"),
                Some("-2,,0.1,0,NaN,2.0,3.0"),
                None,
                Some(",,,0,,,")
            ]
        );
        let nothing = [
            array(Int64Array::from(vec![None, Some(1)])),
            array(Int64Array::from(vec![None, None])),
        ];
        let made = of_numbers(&nothing, 2).expect("made");
        assert_eq!(texts(&made), [None, Some("1,")]);
    }

    #[test]
    fn texts_and_images_are_json() {
        let given = array(StringArray::from(vec![
            Some("say \"hi\""),
            Some("{\"a\": 1}"),
            Some("[not json"),
            None,
        ]));
        let made = of_texts(&given).expect("made");
        assert_eq!(
            texts(&made),
            [
                Some("\"say \\\"hi\\\"\""),
                Some("{\"a\": 1}"),
                Some("\"[not json\""),
                None
            ]
        );
        let images = array(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None]));
        let made = of_images(&images).expect("made");
        assert_eq!(texts(&made), [Some("{\"image\":\"AP8=\"}"), None]);
    }

    #[test]
    fn what_no_model_takes_is_refused_by_its_place() {
        let stamp = array(TimestampSecondArray::from(vec![1]))
            .data_type()
            .clone();
        let refused = shape(&[DataType::Int64, stamp]).expect_err("refused");
        assert!(refused.to_string().contains("column 2"), "{refused}");
        assert_eq!(shape(&[DataType::Binary]).ok(), Some(Shape::Image));
        assert!(shape(&[DataType::Binary, DataType::Int8]).is_err());
    }
}
