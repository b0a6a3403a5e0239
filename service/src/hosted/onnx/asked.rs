//! What requests say, as an array for each input of the model.

use super::{Form, MOST, Tensors};
use crate::hosted::questions::{essence, refuse};
use escala_learn::formats::{self, Format, npy};
use escala_learn::{Csr, Features};
use escala_models::onnx::{Element, Elements, Input, Wanted};
use escala_sagemaker::served::{Asked, Unanswered};
use serde_json::Value;
use std::sync::Arc;

/// Most dimensions of an array of JSON.
const DIMENSIONS: usize = 8;

/// Elements in a shape, for an input.
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    cells: Cells,
}

/// The elements of an array.
enum Cells {
    Numbers(Vec<f32>),
    Texts(Vec<Arc<str>>),
}

impl Cells {
    /// None, of the type that an input wants.
    fn of(wanted: &Wanted) -> Self {
        match wanted.element {
            Element::Texts => Self::Texts(Vec::new()),
            _ => Self::Numbers(Vec::new()),
        }
    }

    /// Takes a value of JSON.
    fn push(&mut self, value: &Value, wanted: &Wanted) -> Result<(), Unanswered> {
        match (self, value) {
            (_, Value::Array(_) | Value::Object(_)) => return Err(ragged()),
            (Self::Numbers(numbers), value) => numbers.push(match value {
                Value::Number(number) => number.as_f64().unwrap_or(f64::NAN) as f32,
                Value::Bool(truth) => f32::from(u8::from(*truth)),
                Value::String(text) => return Err(no_number(wanted, text)),
                _ => f32::NAN,
            }),
            (Self::Texts(texts), value) => texts.push(match value {
                Value::String(text) => text.as_str().into(),
                Value::Null => "".into(),
                other => other.to_string().into(),
            }),
        }
        Ok(())
    }

    /// Takes a cell of CSV.
    fn push_cell(&mut self, cell: &str, wanted: &Wanted) -> Result<(), Unanswered> {
        match self {
            Self::Texts(texts) => texts.push(cell.into()),
            Self::Numbers(numbers) => numbers.push(match cell.trim() {
                missing if missing.is_empty() || missing.eq_ignore_ascii_case("nan") => f32::NAN,
                number => {
                    let number = number
                        .parse()
                        .ok()
                        .filter(|number: &f32| number.is_finite());
                    number.ok_or_else(|| no_number(wanted, cell))?
                }
            }),
        }
        Ok(())
    }

    fn extend(&mut self, other: Self) {
        match (self, other) {
            (Self::Numbers(all), Self::Numbers(more)) => all.extend(more),
            (Self::Texts(all), Self::Texts(more)) => all.extend(more),
            // Both are of the type that one input wants.
            (Self::Numbers(_), Self::Texts(_)) | (Self::Texts(_), Self::Numbers(_)) => {}
        }
    }
}

impl Array {
    fn numbers(shape: Vec<usize>, numbers: Vec<f32>) -> Self {
        Self {
            shape,
            cells: Cells::Numbers(numbers),
        }
    }

    /// As a model reads it.
    pub(super) fn whole<'a>(&'a self, wanted: &'a Wanted) -> Input<'a> {
        Input {
            name: &wanted.name,
            shape: &self.shape,
            data: match &self.cells {
                Cells::Numbers(numbers) => Elements::Numbers(numbers),
                Cells::Texts(texts) => Elements::Texts(texts),
            },
        }
    }

    /// A row of it alone, or nothing of one that is not there.
    pub(super) fn row(&self, at: usize) -> Self {
        fn part<T: Clone>(all: &[T], at: usize, each: usize) -> Vec<T> {
            let all = all.chunks(each.max(1));
            all.skip(at).take(1).flatten().cloned().collect()
        }
        let inside = self.shape.get(1..).unwrap_or_default();
        let each = inside.iter().product();
        Self {
            shape: std::iter::once(1).chain(inside.iter().copied()).collect(),
            cells: match &self.cells {
                Cells::Numbers(all) => Cells::Numbers(part(all, at, each)),
                Cells::Texts(all) => Cells::Texts(part(all, at, each)),
            },
        }
    }

    /// Lists in lists of elements. Numbers that are missing are null.
    fn of(value: &Value, wanted: &Wanted) -> Result<Self, Unanswered> {
        fn fill(
            value: &Value,
            shape: &[usize],
            cells: &mut Cells,
            wanted: &Wanted,
        ) -> Result<(), Unanswered> {
            match (value, shape) {
                (Value::Array(items), [length, inside @ ..]) if items.len() == *length => items
                    .iter()
                    .try_for_each(|item| fill(item, inside, cells, wanted)),
                (value, []) => cells.push(value, wanted),
                _ => Err(ragged()),
            }
        }
        let mut shape = Vec::new();
        let mut inside = value;
        while let Value::Array(items) = inside {
            if shape.len() == DIMENSIONS {
                return Err(refuse(
                    400,
                    format!("an array has at most {DIMENSIONS} dimensions"),
                ));
            }
            shape.push(items.len());
            match items.first() {
                Some(first) => inside = first,
                None => break,
            }
        }
        let mut cells = Cells::of(wanted);
        fill(value, &shape, &mut cells, wanted)?;
        Ok(Self { shape, cells })
    }
}

impl Tensors {
    /// An array for each input, and how the request is answered.
    pub(super) fn asked(&self, asked: &Asked) -> Result<(Vec<Array>, Form), Unanswered> {
        let kind = essence(asked.content_type.as_deref().unwrap_or("application/json"));
        match kind.as_str() {
            "application/json" | "application/octet-stream" => self.json(&asked.body),
            "application/x-npy" => {
                let array = npy::Array::parse(&asked.body);
                let npy::Array { shape, values } = array.map_err(|why| refuse(400, why))?;
                let array = Array::numbers(shape, values);
                Ok((vec![self.only(array)?], Form::Npy))
            }
            "text/csv" if self.takes_texts() => Ok((self.csv(&asked.body)?, Form::Csv)),
            "application/jsonlines" | "application/x-jsonlines" => {
                let arrays = match self.lines(&asked.body)? {
                    Some(arrays) => arrays,
                    None => self.table(&kind, &asked.body)?,
                };
                Ok((arrays, Form::Lines))
            }
            "text/csv" => Ok((self.table(&kind, &asked.body)?, Form::Csv)),
            "application/x-recordio-protobuf" => Ok((self.table(&kind, &asked.body)?, Form::Lines)),
            other => Err(refuse(
                415,
                format!(
                    "{other} is not read here; application/json, application/jsonlines, application/x-npy, application/x-recordio-protobuf and text/csv are"
                ),
            )),
        }
    }

    fn takes_texts(&self) -> bool {
        let mut inputs = self.0.inputs().iter();
        inputs.any(|input| input.element == Element::Texts)
    }

    /// The array is the only input's.
    fn only(&self, array: Array) -> Result<Array, Unanswered> {
        self.only_input().map(|_| array)
    }

    fn only_input(&self) -> Result<&Wanted, Unanswered> {
        match self.0.inputs() {
            [only] => Ok(only),
            inputs => Err(refuse(
                400,
                format!("the model has the inputs {}: name them", names(inputs)),
            )),
        }
    }

    /// Rows of numbers.
    fn table(&self, kind: &str, body: &[u8]) -> Result<Vec<Array>, Unanswered> {
        let told = |error: escala_learn::Error| refuse(400, error.to_string());
        let format = Format::of(kind, false).map_err(told)?;
        let table = formats::read(format, "the body", body).map_err(told)?;
        let rows = table.rows();
        let (columns, values) = match table.features {
            Features::Dense { columns, values } => (columns, values),
            Features::Sparse(rows) => dense(&rows)?,
        };
        let inputs = self.0.inputs();
        if let [only] = inputs {
            let shape = row_shape(only, rows, columns);
            return Ok(vec![Array::numbers(shape, values)]);
        }
        let widths = self.widths(columns)?;
        let mut from = 0;
        let column = |(wanted, width): (&Wanted, &usize)| {
            let part = from..from + width;
            from += width;
            let rows_of = values.chunks(columns.max(1));
            let part = rows_of.flat_map(|row| row.get(part.clone()).unwrap_or_default());
            Array::numbers(row_shape(wanted, rows, *width), part.copied().collect())
        };
        Ok(inputs.iter().zip(&widths).map(column).collect())
    }

    /// How many columns of a table are each input's.
    fn widths(&self, columns: usize) -> Result<Vec<usize>, Unanswered> {
        let inputs = self.0.inputs();
        if inputs.len() == 1 {
            return Ok(vec![columns]);
        }
        let widths: Vec<usize> = inputs.iter().map(width).collect();
        let all = widths
            .iter()
            .try_fold(0_usize, |all, width| all.checked_add(*width));
        if all == Some(columns) {
            return Ok(widths);
        }
        let wanted = inputs
            .iter()
            .zip(&widths)
            .map(|(wanted, width)| match width {
                1 => wanted.name.clone(),
                width => format!("{} ({width} columns)", wanted.name),
            });
        Err(refuse(
            400,
            format!(
                "rows have {columns} columns, and the model has the inputs {}",
                wanted.collect::<Vec<_>>().join(", ")
            ),
        ))
    }

    /// Rows of CSV with texts among them: the columns of the inputs in their order.
    fn csv(&self, body: &[u8]) -> Result<Vec<Array>, Unanswered> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(body);
        let inputs = self.0.inputs();
        let mut widths = Vec::new();
        let mut cells: Vec<Cells> = inputs.iter().map(Cells::of).collect();
        let mut rows = 0;
        for record in reader.records() {
            let record =
                record.map_err(|error| refuse(400, format!("the body is no CSV: {error}")))?;
            if rows == 0 {
                widths = self.widths(record.len())?;
            }
            rows += 1;
            let mut row = record.iter();
            for ((wanted, cells), width) in inputs.iter().zip(&mut cells).zip(&widths) {
                for cell in row.by_ref().take(*width) {
                    let pushed = cells.push_cell(cell, wanted);
                    pushed.map_err(|why| of_row(rows, why))?;
                }
            }
        }
        if rows == 0 {
            return Err(refuse(400, "there are no rows"));
        }
        let arrays = inputs.iter().zip(cells).zip(widths);
        let arrays = arrays.map(|((wanted, cells), width)| Array {
            shape: row_shape(wanted, rows, width),
            cells,
        });
        Ok(arrays.collect())
    }

    /// Rows of JSON; none where the lines are features, which are a table of numbers.
    fn lines(&self, body: &[u8]) -> Result<Option<Vec<Array>>, Unanswered> {
        let lines = body.split(|byte| *byte == b'\n').enumerate();
        let mut lines = lines
            .filter(|(_, line)| !line.trim_ascii().is_empty())
            .peekable();
        let read = |(number, line): (usize, &[u8])| {
            serde_json::from_slice::<Value>(line).map_err(|error| {
                let row = number + 1;
                refuse(400, format!("row {row} is not valid JSON: {error}"))
            })
        };
        let Some(first) = lines.peek() else {
            return Err(refuse(400, "there are no rows"));
        };
        let first = read(*first)?;
        let has = |name: &str| first.get(name).is_some();
        let named = self.0.inputs().iter().any(|input| has(&input.name));
        if !named && !self.takes_texts() && (has("features") || has("data")) {
            return Ok(None);
        }
        let rows = lines.map(read).collect::<Result<Vec<_>, _>>()?;
        self.instances(&rows).map(Some)
    }

    fn json(&self, body: &[u8]) -> Result<(Vec<Array>, Form), Unanswered> {
        let read = serde_json::from_slice::<Value>(body);
        let read =
            read.map_err(|error| refuse(400, format!("the request is not valid JSON: {error}")))?;
        if let Some(instances) = read.get("instances") {
            let rows = instances.as_array().filter(|rows| !rows.is_empty());
            let rows = rows.ok_or_else(|| refuse(400, "instances is a list of rows"))?;
            return Ok((self.instances(rows)?, Form::Predictions));
        }
        let inputs = match &read {
            Value::Object(members) => members.get("inputs"),
            whole => Some(whole),
        };
        let inputs = inputs.ok_or_else(|| {
            refuse(
                400,
                "the request is {\"instances\": [row, …]} or {\"inputs\": {\"name\": array, …}}",
            )
        })?;
        let arrays = match inputs {
            Value::Object(named) => {
                let unknown = named.keys().find(|name| {
                    let mut inputs = self.0.inputs().iter();
                    inputs.all(|input| input.name != **name)
                });
                if let Some(unknown) = unknown {
                    return Err(refuse(
                        400,
                        format!(
                            "there is no input {unknown:?}; the model has {}",
                            names(self.0.inputs())
                        ),
                    ));
                }
                let of = |wanted: &Wanted| {
                    let array = named.get(&wanted.name);
                    let array = array.ok_or_else(|| missing(wanted))?;
                    Array::of(array, wanted)
                };
                self.0.inputs().iter().map(of).collect::<Result<_, _>>()?
            }
            array => vec![Array::of(array, self.only_input()?)?],
        };
        Ok((arrays, Form::Outputs))
    }

    /// Rows, each a list for the only input or an object of values or lists for all.
    fn instances(&self, rows: &[Value]) -> Result<Vec<Array>, Unanswered> {
        let of = |wanted: &Wanted| {
            let mut whole: Option<Array> = None;
            for (number, row) in rows.iter().enumerate() {
                let value = match (row, self.0.inputs()) {
                    (Value::Object(members), [_]) => members
                        .get(&wanted.name)
                        .or_else(|| members.get("features"))
                        .ok_or_else(|| missing(wanted))?,
                    (Value::Object(members), _) => {
                        members.get(&wanted.name).ok_or_else(|| missing(wanted))?
                    }
                    (row, [_]) => row,
                    (_, inputs) => {
                        return Err(refuse(
                            400,
                            format!("a row is an object of {}", names(inputs)),
                        ));
                    }
                };
                let array = Array::of(value, wanted).map_err(|why| of_row(number + 1, why))?;
                match &mut whole {
                    None => {
                        whole = Some(Array {
                            shape: std::iter::once(1).chain(array.shape).collect(),
                            cells: array.cells,
                        });
                    }
                    Some(whole) if whole.shape[1..] == array.shape => {
                        whole.shape[0] += 1;
                        whole.cells.extend(array.cells);
                    }
                    Some(whole) => {
                        return Err(refuse(
                            400,
                            format!(
                                "row {} has the shape {:?}, and the rows before it have {:?}",
                                number + 1,
                                array.shape,
                                &whole.shape[1..]
                            ),
                        ));
                    }
                }
            }
            let mut whole = whole.ok_or_else(|| missing(wanted))?;
            // A value for an input of one column is a row of one; a row of one for a list is its value.
            match (&whole.shape[..], wanted.shape.as_ref().map(Vec::len)) {
                ([_], Some(2)) => whole.shape.push(1),
                ([_, 1], Some(1)) => whole.shape.truncate(1),
                _ => {}
            }
            Ok(whole)
        };
        self.0.inputs().iter().map(of).collect()
    }
}

fn names(inputs: &[Wanted]) -> String {
    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    names.join(", ")
}

fn missing(wanted: &Wanted) -> Unanswered {
    refuse(400, format!("the input {:?} is missing", wanted.name))
}

fn no_number(wanted: &Wanted, text: &str) -> Unanswered {
    let start: String = text.chars().take(100).collect();
    let name = &wanted.name;
    refuse(
        400,
        format!("the input {name:?} takes numbers, and {start:?} is none"),
    )
}

fn ragged() -> Unanswered {
    refuse(
        400,
        "an array is lists of elements, all of one level equally long",
    )
}

/// The same, of a row by its number from 1.
fn of_row(row: usize, why: Unanswered) -> Unanswered {
    let message = format!("row {row}: {}", why.message);
    Unanswered { message, ..why }
}

/// Columns of a table that are an input's: as many as its rows have elements, or one where the file does not say.
fn width(wanted: &Wanted) -> usize {
    let inside = wanted.shape.as_deref().and_then(|shape| shape.get(1..));
    let mut sizes = inside.unwrap_or_default().iter();
    let all = sizes.try_fold(1_usize, |all, size| all.checked_mul((*size)?));
    all.unwrap_or(1)
}

/// The shape of rows of so many elements for an input: as the file declares it, where that fits.
fn row_shape(wanted: &Wanted, rows: usize, columns: usize) -> Vec<usize> {
    let declared = wanted.shape.as_deref().unwrap_or_default();
    let inside: Option<Vec<usize>> = declared.iter().skip(1).copied().collect();
    match inside {
        Some(inside) if !declared.is_empty() && width(wanted) == columns => {
            std::iter::once(rows).chain(inside).collect()
        }
        // The model says what does not fit.
        _ => vec![rows, columns],
    }
}

/// Rows with all their zeroes.
fn dense(rows: &Csr) -> Result<(usize, Vec<f32>), Unanswered> {
    let count = rows.starts.len().saturating_sub(1);
    let all = count.checked_mul(rows.columns);
    let all = all.filter(|all| *all <= MOST).ok_or_else(|| {
        refuse(
            400,
            format!("{count} rows of {} numbers are too many", rows.columns),
        )
    })?;
    let mut values = vec![0.0; all];
    for (at, row) in values.chunks_exact_mut(rows.columns.max(1)).enumerate() {
        let (columns, numbers) = rows.row(at);
        for (column, number) in columns.iter().zip(numbers) {
            row[*column as usize] = *number;
        }
    }
    Ok((rows.columns, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use escala_models::onnx::Model;
    use serde_json::json;

    fn wanted(element: Element) -> Wanted {
        Wanted {
            name: "x".to_owned(),
            element,
            shape: None,
        }
    }

    #[test]
    fn arrays_are_lists_of_one_length() {
        let of = |value: &Value| Array::of(value, &wanted(Element::Numbers));
        let array = of(&json!([[1, 2.5, null], [true, -3, 4e-2]])).expect("an array");
        assert_eq!(array.shape, [2, 3]);
        let Cells::Numbers(numbers) = array.cells else {
            panic!("texts");
        };
        assert_eq!((numbers[1], numbers[3], numbers[5]), (2.5, 1.0, 0.04));
        assert!(numbers[2].is_nan());
        assert_eq!(of(&json!(7)).expect("a number").shape, [0_usize; 0]);
        for wrong in [
            json!([[1], [1, 2]]),
            json!([1, [2]]),
            json!(["x"]),
            json!([[[[[[[[[1]]]]]]]]]),
            json!([[], [1]]),
            json!([{"a": 1}]),
        ] {
            assert!(of(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn texts_are_as_they_are_written() {
        let of = |value: &Value| Array::of(value, &wanted(Element::Texts)).expect("texts");
        let array = of(&json!([["a", 3, 2.5], ["", null, true]]));
        let input = wanted(Element::Texts);
        let input = array.whole(&input);
        assert_eq!(input.shape, [2, 3]);
        let Elements::Texts(texts) = input.data else {
            panic!("numbers");
        };
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        assert_eq!(texts, ["a", "3", "2.5", "", "", "true"]);
        let row = array.row(1);
        assert_eq!(row.shape, [1, 3]);
        let Cells::Texts(texts) = row.cells else {
            panic!("numbers");
        };
        assert_eq!(texts.len(), 3);
        assert_eq!(&*texts[2], "true");
    }

    fn model(name: &str) -> Tensors {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/onnx_models/");
        Tensors(Model::open(format!("{golden}{name}.onnx")).expect("a model"))
    }

    fn ask(model: &Tensors, kind: &str, body: &str) -> Result<Vec<Array>, String> {
        let asked = Asked {
            content_type: Some(kind.to_owned()),
            body: body.to_owned().into(),
            ..Asked::default()
        };
        let asked = model.asked(&asked);
        asked.map(|(arrays, _)| arrays).map_err(|why| why.message)
    }

    /// The shapes of arrays, and their elements as text.
    fn said(arrays: &[Array]) -> Vec<(Vec<usize>, Vec<String>)> {
        let said = arrays.iter().map(|array| {
            let cells = match &array.cells {
                Cells::Numbers(numbers) => numbers.iter().map(f32::to_string).collect(),
                Cells::Texts(texts) => texts.iter().map(ToString::to_string).collect(),
            };
            (array.shape.clone(), cells)
        });
        said.collect()
    }

    #[test]
    fn rows_of_texts_and_numbers_are_one_question_in_every_form() {
        let model = model("texts_one_hot");
        let csv = "\"São Paulo\",a,0.5,-1\n7,\"b, \"\"c\"\"\",,2\n";
        let csv = said(&ask(&model, "text/csv", csv).expect("CSV"));
        let texts = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(
            csv,
            [
                (vec![2, 1], texts("São Paulo", "7")),
                (vec![2, 1], texts("a", "b, \"c\"")),
                (vec![2, 1], texts("0.5", "NaN")),
                (vec![2, 1], texts("-1", "2")),
            ]
        );
        let rows = [
            json!({"city": "São Paulo", "kind": "a", "age": 0.5, "income": -1}),
            json!({"city": 7, "kind": ["b, \"c\""], "age": null, "income": 2.0}),
        ];
        let instances = json!({"instances": [rows[0], {"city": 7, "kind": "b, \"c\"", "age": null, "income": 2.0}]});
        let json = said(&ask(&model, "application/json", &instances.to_string()).expect("JSON"));
        assert_eq!(json, csv);
        let lines = format!("{}\n\n{}\n", rows[0], instances["instances"][1]);
        let lines = said(&ask(&model, "application/jsonlines", &lines).expect("lines"));
        assert_eq!(lines, csv);
        let ragged = format!("{}\n{}\n", rows[0], rows[1]);
        for (kind, body, part) in [
            ("application/jsonlines", &*ragged, "row 2 has the shape [1]"),
            ("application/jsonlines", "\n", "no rows"),
            (
                "application/jsonlines",
                "{\"city\": \"a\"}",
                "\"kind\" is missing",
            ),
            (
                "application/jsonlines",
                "{\"features\": [1, 2]}",
                "\"city\" is missing",
            ),
            (
                "text/csv",
                "a,b,c,1\n",
                "row 1: the input \"age\" takes numbers, and \"c\"",
            ),
            ("text/csv", "a,b,1\n", "rows have 3 columns"),
            ("text/csv", "a,b,1,1\na,b,1\n", "no CSV"),
            ("text/csv", "", "no rows"),
        ] {
            let why = ask(&model, kind, body).err().unwrap_or_default();
            assert!(why.contains(part), "{body:?}: {why}");
        }
    }

    #[test]
    fn a_list_of_texts_is_a_text_a_row() {
        let model = model("words_counted");
        let wanted = [(vec![2], vec!["one, two".to_owned(), "three".to_owned()])];
        for (kind, body) in [
            ("text/csv", "\"one, two\"\nthree\n"),
            (
                "application/json",
                r#"{"instances": ["one, two", "three"]}"#,
            ),
            (
                "application/json",
                r#"{"instances": [["one, two"], ["three"]]}"#,
            ),
            ("application/json", r#"{"inputs": ["one, two", "three"]}"#),
            ("application/jsonlines", "\"one, two\"\n\"three\"\n"),
            (
                "application/jsonlines",
                "{\"text\": \"one, two\"}\n{\"text\": \"three\"}\n",
            ),
        ] {
            let arrays = ask(&model, kind, body).unwrap_or_else(|why| panic!("{body}: {why}"));
            assert_eq!(said(&arrays), wanted, "{body}");
        }
    }
}
