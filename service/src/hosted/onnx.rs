//! ONNX files as models: networks and what scikit-learn, XGBoost and LightGBM export ([`escala_models::onnx`]).
//!
//! The image is `onnx`, `onnxruntime`, or NVIDIA's server on SageMaker (`sagemaker-tritonserver`). The model's data are one file
//! that ends in `.onnx`, anywhere (of a repository of Triton's the latest version); where a `model.toml` is beside it, that says
//! what the network is shown of an image, and it classifies images.
//!
//! | content type | what is asked |
//! | --- | --- |
//! | `text/csv`, `application/jsonlines`, `application/x-recordio-protobuf` | a row each: for the only input, or a column for each input |
//! | `application/x-npy` | an array for the only input |
//! | `application/json` | `{"instances": [row, …]}`, a row being a list, or an object of lists by the inputs' names; `{"inputs": array}` or `{"inputs": {"name": array, …}}` |
//!
//! | accepted | what is answered |
//! | --- | --- |
//! | `application/json` | `{"predictions": [row, …]}`; of `inputs` `{"outputs": {"name": array, …}}` |
//! | `application/jsonlines` | a row a line |
//! | `text/csv` | all numbers and labels of a row |
//! | `application/x-npy` | the scores, where there are some, else the first output that is numbers |
//!
//! A row is an object of the outputs by their names, or the only output alone; scores are objects by the classes' names.

use super::alone::{Alone, Answers, broke};
use super::checkpoints::Pictures;
use super::questions::{essence, refuse};
use crate::failure::chain;
use escala_learn::formats::{self, Format, npy};
use escala_learn::{Csr, Features};
use escala_models::Compute;
use escala_models::compute::Device;
use escala_models::onnx::{Data, Error, Input, Meaning, Model, Output, Wanted};
use escala_pipelines::image::ImageLimits;
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{Asked, Container, Opener, Said, Served, Unanswered};
use escala_weights::Store;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The repositories of images that have them.
const REPOSITORIES: [&str; 3] = ["onnx", "onnxruntime", "sagemaker-tritonserver"];
/// How far below the model's folder a file is looked for: Triton's repositories have `NAME/VERSION/model.onnx`.
const DEPTH: usize = 4;
/// What says that a network is shown images.
const DECLARATION: &str = "model.toml";
/// Most dimensions of an array of JSON.
const DIMENSIONS: usize = 8;
/// Most numbers that rows with few values are filled up to.
const MOST: usize = 1 << 26;

/// Who opens them.
pub struct Onnx {
    /// Where weights come from.
    pub weights: Arc<Store>,
    /// What computes.
    pub device: Device,
    /// Threads of a model.
    pub threads: usize,
    /// What an image may have.
    pub limits: ImageLimits,
}

impl Onnx {
    fn load(&self, container: &Container<'_>) -> Result<Arc<dyn Served>, String> {
        let folder = container.folder;
        let folder = folder.ok_or("there is no model: give ModelDataUrl")?;
        let file = find(folder)?;
        let compute = Compute::new(self.device.clone(), self.threads);
        let beside = file.parent().unwrap_or(folder);
        if beside.join(DECLARATION).is_file() {
            let context = LoadContext {
                weights: &self.weights,
                device: &self.device,
            };
            let reference = beside.display().to_string();
            let pictures = Pictures::load(&reference, self.limits, &context);
            let pictures = pictures.map_err(|error| chain(&error))?;
            return Ok(Arc::new(Alone::new(pictures, compute)));
        }
        let model = Model::open(&file).map_err(|error| match error {
            Error::File { source, .. } => format!("the ONNX file cannot be read: {source}"),
            error => chain(&error),
        })?;
        Ok(Arc::new(Alone::new(Tensors(model), compute)))
    }
}

impl Opener for Onnx {
    fn open(&self, container: &Container<'_>) -> Option<Result<Arc<dyn Served>, String>> {
        self.knows(container.repository)
            .then(|| self.load(container))
    }

    fn knows(&self, repository: &str) -> bool {
        REPOSITORIES.contains(&repository)
    }

    fn accepts(&self) -> String {
        format!("{} with an ONNX file", REPOSITORIES.join(", "))
    }
}

/// The only ONNX file below a folder; of versions of one the latest.
fn find(folder: &Path) -> Result<PathBuf, String> {
    let files = escala_sagemaker::archive::files(folder).map_err(|error| error.to_string())?;
    let mut found: Vec<PathBuf> = files
        .into_iter()
        .map(|(_, path, _)| path)
        .filter(|path| path.extension().is_some_and(|ending| ending == "onnx"))
        .filter(|path| {
            let below = path.strip_prefix(folder);
            below.is_ok_and(|below| below.components().count() <= DEPTH)
        })
        .collect();
    let version = |path: &Path| -> Option<u64> {
        let folder = path.parent()?.file_name()?;
        folder.to_str()?.parse().ok()
    };
    let model = |path: &Path| path.parent().and_then(Path::parent).map(Path::to_owned);
    let of_one = found.iter().all(|path| version(path).is_some())
        && found.windows(2).all(|two| model(&two[0]) == model(&two[1]));
    if of_one {
        found.sort_by_key(|path| version(path));
        found.drain(..found.len().saturating_sub(1));
    }
    match (found.pop(), found.len()) {
        (Some(file), 0) => Ok(file),
        (None, _) => Err("the model data have no file that ends in .onnx".to_owned()),
        (Some(_), more) => Err(format!(
            "the model data have {} files that end in .onnx; one is hosted",
            more + 1
        )),
    }
}

/// A model on numbers.
struct Tensors(Model);

/// Numbers in a shape, for an input.
struct Array {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// How a request is answered where nothing else is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Predictions,
    Outputs,
    Lines,
    Csv,
    Npy,
}

impl Answers for Tensors {
    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let (arrays, form) = self.asked(asked)?;
        let form = accepted(asked.accept.as_deref(), form)?;
        let inputs: Vec<Input<'_>> = self
            .0
            .inputs()
            .iter()
            .zip(&arrays)
            .map(|(wanted, array)| Input {
                name: &wanted.name,
                shape: &array.shape,
                data: &array.data,
            })
            .collect();
        let outputs = self.0.run(compute, &inputs).map_err(|error| match error {
            Error::Input(_) | Error::TooLarge { .. } => refuse(400, error.to_string()),
            Error::NotFinite(_) => refuse(500, error.to_string()),
            error => broke(&error),
        })?;
        let rows = arrays
            .first()
            .and_then(|array| array.shape.first().copied());
        self.said(&outputs, rows.unwrap_or(1), form)
    }

    fn memory(&self) -> u64 {
        self.0.memory()
    }
}

impl Tensors {
    /// An array for each input, and how the request is answered.
    fn asked(&self, asked: &Asked) -> Result<(Vec<Array>, Form), Unanswered> {
        let kind = essence(asked.content_type.as_deref().unwrap_or("application/json"));
        match kind.as_str() {
            "application/json" | "application/octet-stream" => self.json(&asked.body),
            "application/x-npy" => {
                let array = npy::Array::parse(&asked.body);
                let npy::Array { shape, values } = array.map_err(|why| refuse(400, why))?;
                let array = Array {
                    shape,
                    data: values,
                };
                Ok((vec![self.only(array)?], Form::Npy))
            }
            "text/csv"
            | "application/jsonlines"
            | "application/x-jsonlines"
            | "application/x-recordio-protobuf" => {
                let form = match kind.as_str() {
                    "text/csv" => Form::Csv,
                    _ => Form::Lines,
                };
                let told = |error: escala_learn::Error| refuse(400, error.to_string());
                let format = Format::of(&kind, false).map_err(told)?;
                let table = formats::read(format, "the body", &asked.body[..]).map_err(told)?;
                let rows = table.rows();
                let (columns, values) = match table.features {
                    Features::Dense { columns, values } => (columns, values),
                    Features::Sparse(rows) => dense(&rows)?,
                };
                Ok((self.columns(rows, columns, values)?, form))
            }
            other => Err(refuse(
                415,
                format!(
                    "{other} is not read here; application/json, application/jsonlines, application/x-npy, application/x-recordio-protobuf and text/csv are"
                ),
            )),
        }
    }

    /// The array is the only input's.
    fn only(&self, array: Array) -> Result<Array, Unanswered> {
        match self.0.inputs() {
            [_] => Ok(array),
            inputs => Err(refuse(
                400,
                format!("the model has the inputs {}: name them", names(inputs)),
            )),
        }
    }

    /// Rows of a table: those of the only input, or a column for each.
    fn columns(
        &self,
        rows: usize,
        columns: usize,
        values: Vec<f32>,
    ) -> Result<Vec<Array>, Unanswered> {
        let inputs = self.0.inputs();
        if let [only] = inputs {
            return Ok(vec![Array {
                shape: row_shape(only, rows, columns),
                data: values,
            }]);
        }
        if inputs.len() != columns {
            return Err(refuse(
                400,
                format!(
                    "rows have {columns} columns, and the model has the inputs {}: a column for each",
                    names(inputs)
                ),
            ));
        }
        let column = |(at, wanted): (usize, &Wanted)| Array {
            shape: row_shape(wanted, rows, 1),
            data: values.iter().skip(at).step_by(columns).copied().collect(),
        };
        Ok(inputs.iter().enumerate().map(column).collect())
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
                    array_of(array)
                };
                self.0.inputs().iter().map(of).collect::<Result<_, _>>()?
            }
            array => vec![self.only(array_of(array)?)?],
        };
        Ok((arrays, Form::Outputs))
    }

    /// Rows, each a list for the only input or an object of lists for all.
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
                let array = array_of(value)?;
                match &mut whole {
                    None => {
                        whole = Some(Array {
                            shape: std::iter::once(1).chain(array.shape).collect(),
                            data: array.data,
                        });
                    }
                    Some(whole) if whole.shape[1..] == array.shape => {
                        whole.shape[0] += 1;
                        whole.data.extend(array.data);
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
            // A number for an input of one column is a row of one.
            let rank = wanted.shape.as_ref().map(Vec::len);
            if whole.shape.len() == 1 && rank == Some(2) {
                whole.shape.push(1);
            }
            Ok(whole)
        };
        self.0.inputs().iter().map(of).collect()
    }

    fn said(&self, outputs: &[Output], rows: usize, form: Form) -> Result<Said, Unanswered> {
        let by_row = || {
            let whole = outputs
                .iter()
                .all(|output| output.shape.first() == Some(&rows));
            match whole {
                true => Ok(()),
                false => Err(refuse(
                    400,
                    "the model's outputs have no row for each row that was asked about: ask with inputs, and accept application/json",
                )),
            }
        };
        let said = |content_type: &str, body: Vec<u8>| Said {
            content_type: content_type.to_owned(),
            body: body.into(),
        };
        Ok(match form {
            Form::Outputs => {
                let named = outputs
                    .iter()
                    .map(|output| (output.name.clone(), nested(output)));
                let body = json!({"outputs": named.collect::<Map<_, _>>()});
                said("application/json", body.to_string().into_bytes())
            }
            Form::Predictions | Form::Lines => {
                by_row()?;
                let rows = (0..rows).map(|row| self.row(outputs, rows, row));
                match form {
                    Form::Lines => {
                        let lines: String = rows.map(|row| format!("{row}\n")).collect();
                        said("application/jsonlines", lines.into_bytes())
                    }
                    _ => {
                        let body = json!({"predictions": rows.collect::<Vec<_>>()});
                        said("application/json", body.to_string().into_bytes())
                    }
                }
            }
            Form::Csv => {
                by_row()?;
                let mut text = String::new();
                for row in 0..rows {
                    let cells = outputs.iter().flat_map(|output| {
                        let width = output.data.len() / rows.max(1);
                        (row * width..(row + 1) * width).map(|at| cell(&output.data, at))
                    });
                    text.push_str(&cells.collect::<Vec<_>>().join(","));
                    text.push('\n');
                }
                said("text/csv", text.into_bytes())
            }
            Form::Npy => {
                let numbers = |(output, given): (&Output, bool)| match &output.data {
                    Data::Texts(_) => None,
                    data => Some((given, output.shape.clone(), numbers(data))),
                };
                let scores = self.0.outputs().iter();
                let scores = scores.map(|given| matches!(given.meaning, Meaning::Scores(_)));
                let mut found: Vec<_> = outputs.iter().zip(scores).filter_map(numbers).collect();
                // Scores first, and among equals the file's order.
                found.sort_by_key(|(scores, ..)| !scores);
                let (_, shape, values) = found.into_iter().next().ok_or_else(|| {
                    refuse(406, "the model answers texts: accept application/json")
                })?;
                said("application/x-npy", npy::Array { shape, values }.write())
            }
        })
    }

    /// What is said of a row.
    fn row(&self, outputs: &[Output], rows: usize, row: usize) -> Value {
        let value = |output: &Output, meaning: &Meaning| {
            let width = output.data.len() / rows.max(1);
            let mut cells = (row * width..(row + 1) * width).map(|at| element(&output.data, at));
            match meaning {
                Meaning::Scores(classes) if classes.len() == width => {
                    let named = classes.names().into_iter().zip(cells);
                    Value::Object(named.collect())
                }
                _ if width == 1 => cells.next().unwrap_or(Value::Null),
                _ => Value::Array(cells.collect()),
            }
        };
        let mut given = outputs.iter().zip(self.0.outputs());
        if let ([only], Some((_, said))) = (outputs, given.clone().next()) {
            return value(only, &said.meaning);
        }
        let mut members = Map::new();
        for (output, said) in given.by_ref() {
            members.insert(output.name.clone(), value(output, &said.meaning));
        }
        Value::Object(members)
    }
}

fn names(inputs: &[Wanted]) -> String {
    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    names.join(", ")
}

fn missing(wanted: &Wanted) -> Unanswered {
    refuse(400, format!("the input {:?} is missing", wanted.name))
}

/// The shape of rows of so many numbers for an input: as the file declares it, where that fits.
fn row_shape(wanted: &Wanted, rows: usize, columns: usize) -> Vec<usize> {
    let declared = wanted.shape.as_deref().unwrap_or_default();
    let inside: Option<Vec<usize>> = declared.iter().skip(1).copied().collect();
    match inside {
        Some(inside)
            if !declared.is_empty()
                && inside
                    .iter()
                    .try_fold(1_usize, |all, one| all.checked_mul(*one))
                    == Some(columns) =>
        {
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

/// Lists in lists of numbers; nothing is a number that is missing.
fn array_of(value: &Value) -> Result<Array, Unanswered> {
    fn fill(value: &Value, shape: &[usize], data: &mut Vec<f32>) -> Result<(), Unanswered> {
        match (value, shape) {
            (Value::Array(items), [length, inside @ ..]) if items.len() == *length => {
                items.iter().try_for_each(|item| fill(item, inside, data))
            }
            (Value::Number(number), []) => {
                data.push(number.as_f64().unwrap_or(f64::NAN) as f32);
                Ok(())
            }
            (Value::Bool(truth), []) => {
                data.push(f32::from(u8::from(*truth)));
                Ok(())
            }
            (Value::Null, []) => {
                data.push(f32::NAN);
                Ok(())
            }
            _ => Err(refuse(
                400,
                "an array is lists of numbers, all of one level equally long",
            )),
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
    let mut data = Vec::new();
    fill(value, &shape, &mut data)?;
    Ok(Array { shape, data })
}

/// An element as JSON.
fn element(data: &Data, at: usize) -> Value {
    // The shortest text that reads back as this number: what it is widened to has digits that it does not know.
    let short = |number: &f32| json!(number.to_string().parse::<f64>().ok());
    match data {
        Data::Numbers(numbers) => numbers.get(at).map_or(Value::Null, short),
        Data::Whole(numbers) => numbers.get(at).map_or(Value::Null, |number| json!(number)),
        Data::Texts(texts) => texts.get(at).map_or(Value::Null, |text| json!(&**text)),
    }
}

/// An element as a cell of CSV.
fn cell(data: &Data, at: usize) -> String {
    match element(data, at) {
        Value::String(text) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::String(text) => text,
        value => value.to_string(),
    }
}

/// All of them as numbers.
fn numbers(data: &Data) -> Vec<f32> {
    match data {
        Data::Numbers(numbers) => numbers.clone(),
        Data::Whole(numbers) => numbers.iter().map(|number| *number as f32).collect(),
        Data::Texts(_) => Vec::new(),
    }
}

/// An output as lists in lists.
fn nested(output: &Output) -> Value {
    fn inside(shape: &[usize], data: &Data, from: usize, length: usize) -> Value {
        match shape {
            [] => element(data, from),
            [count, rest @ ..] => {
                let each = length.checked_div(*count).unwrap_or(0);
                let items = (0..*count).map(|at| inside(rest, data, from + at * each, each));
                Value::Array(items.collect())
            }
        }
    }
    inside(&output.shape, &output.data, 0, output.data.len())
}

/// The form that is accepted first of those that there are.
fn accepted(accept: Option<&str>, own: Form) -> Result<Form, Unanswered> {
    let accept = accept.unwrap_or("*/*");
    let of = |one: String| {
        Some(match one.as_str() {
            "" | "*/*" | "application/*" => own,
            "application/json" if own == Form::Outputs => own,
            "application/json" => Form::Predictions,
            "application/jsonlines" | "application/x-jsonlines" => Form::Lines,
            "text/csv" | "text/*" => Form::Csv,
            "application/x-npy" => Form::Npy,
            _ => return None,
        })
    };
    let mut known = accept.split(',').map(essence).filter_map(of);
    known.next().ok_or_else(|| {
        refuse(
            406,
            format!(
                "{accept} is not written here; application/json, application/jsonlines, text/csv and application/x-npy are"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_lists_of_one_length() {
        let array = array_of(&json!([[1, 2.5, null], [true, -3, 4e-2]])).expect("an array");
        assert_eq!(array.shape, [2, 3]);
        assert_eq!(
            (array.data[1], array.data[3], array.data[5]),
            (2.5, 1.0, 0.04)
        );
        assert!(array.data[2].is_nan());
        assert_eq!(array_of(&json!(7)).expect("a number").shape, [0_usize; 0]);
        for wrong in [
            json!([[1], [1, 2]]),
            json!([1, [2]]),
            json!(["x"]),
            json!([[[[[[[[[1]]]]]]]]]),
            json!([[], [1]]),
        ] {
            assert!(array_of(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_file_is_found_wherever_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, b"").expect("written");
        };
        assert!(find(folder.path()).is_err());
        place("models/mine/1/model.onnx");
        place("models/mine/2/model.onnx");
        place("models/mine/10/model.onnx");
        let found = find(folder.path()).expect("found");
        assert!(found.ends_with("mine/10/model.onnx"), "{found:?}");
        place("models/other/1/model.onnx");
        assert!(
            find(folder.path())
                .expect_err("two")
                .contains("one is hosted")
        );
    }

    #[test]
    fn outputs_are_lists_in_lists() {
        let output = Output {
            name: "x".to_owned(),
            shape: vec![2, 1, 2],
            data: Data::Whole(vec![1, 2, 3, 4]),
        };
        assert_eq!(nested(&output), json!([[[1, 2]], [[3, 4]]]));
        let texts = Data::Texts(vec!["a,\"b\"".into()]);
        assert_eq!(cell(&texts, 0), "\"a,\"\"b\"\"\"");
        assert_eq!(cell(&Data::Numbers(vec![0.1]), 0), "0.1");
    }
}
