//! ONNX files as models: networks and what scikit-learn, XGBoost and LightGBM export ([`escala_models::onnx`]).
//!
//! The image is `onnx`, `onnxruntime`, or NVIDIA's server on SageMaker (`sagemaker-tritonserver`). The model's data are one file
//! that ends in `.onnx`, anywhere (of a repository of Triton's the latest version); where a `model.toml` is beside it, that says
//! what the network is shown of an image, and it classifies images.
//!
//! | content type | what is asked |
//! | --- | --- |
//! | `text/csv`, `application/x-recordio-protobuf` | a row each: for the only input, or the columns of the inputs in their order |
//! | `application/jsonlines` | a row each, as instances below are, or `{"features": [1.5, …]}` as CSV would have it |
//! | `application/x-npy` | an array for the only input |
//! | `application/json` | `{"instances": [row, …]}`, a row being a list, or an object of values or lists by the inputs' names; `{"inputs": array}` or `{"inputs": {"name": array, …}}` |
//!
//! Inputs of texts take texts, and numbers and truths as they are written; what is missing is an empty text. A model that takes
//! one row at a time is asked row by row. `asked.rs` reads requests.
//!
//! | accepted | what is answered |
//! | --- | --- |
//! | `application/json` | `{"predictions": [row, …]}`; of `inputs` `{"outputs": {"name": array, …}}` |
//! | `application/jsonlines` | a row a line |
//! | `text/csv` | all numbers and labels of a row |
//! | `application/x-npy` | the scores, where there are some, else the first output that is numbers |
//!
//! A row is an object of the outputs by their names, or the only output alone; scores are objects by the classes' names.

mod asked;

use self::asked::Array;
use super::alone::{Alone, Answers, broke, wanted};
use super::checkpoints::Pictures;
use super::questions::{essence, refuse};
use crate::failure::chain;
use escala_learn::formats::npy;
use escala_models::Compute;
use escala_models::compute::Device;
use escala_models::onnx::{Data, Error, Input, Meaning, Model, Output, Wanted};
use escala_pipelines::image::ImageLimits;
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{About, Asked, Container, Opener, Said, Served, Unanswered};
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
/// Most numbers that rows with few values are filled up to, and that answers to rows asked one by one may have together.
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
                target: (&self.device).into(),
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

/// A model on numbers and texts.
struct Tensors(Model);

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
    fn about(&self) -> About {
        About::Numbers
    }

    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let (arrays, form) = self.asked(asked)?;
        let form = accepted(asked.accept.as_deref(), form)?;
        let outputs = match self.rows_apart(&arrays) {
            Some(rows) => self.one_by_one(compute, &arrays, rows, asked)?,
            None => {
                let inputs = self.0.inputs().iter().zip(&arrays);
                self.run(compute, inputs.map(|(wanted, array)| array.whole(wanted)))?
            }
        };
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
    fn run<'a>(
        &self,
        compute: &Compute,
        inputs: impl Iterator<Item = Input<'a>>,
    ) -> Result<Vec<Output>, Unanswered> {
        let inputs: Vec<Input<'_>> = inputs.collect();
        self.0.run(compute, &inputs).map_err(|error| match error {
            Error::Input(_) | Error::TooLarge { .. } => refuse(400, error.to_string()),
            Error::NotFinite(_) => refuse(500, error.to_string()),
            error => broke(&error),
        })
    }

    /// How many rows are asked about, where the model takes one at a time and there are more.
    fn rows_apart(&self, arrays: &[Array]) -> Option<usize> {
        let one = |wanted: &Wanted| {
            let shape = wanted.shape.as_deref();
            shape.and_then(<[_]>::first) == Some(&Some(1))
        };
        let rows = *arrays.first()?.shape.first()?;
        let same = |array: &Array| array.shape.first() == Some(&rows);
        (rows > 1 && self.0.inputs().iter().all(one) && arrays.iter().all(same)).then_some(rows)
    }

    /// The answers to rows that are asked about one by one, below each other.
    fn one_by_one(
        &self,
        compute: &Compute,
        arrays: &[Array],
        rows: usize,
        asked: &Asked,
    ) -> Result<Vec<Output>, Unanswered> {
        let mut all: Vec<Output> = Vec::new();
        for row in 0..rows {
            wanted(asked)?;
            let parts: Vec<Array> = arrays.iter().map(|array| array.row(row)).collect();
            let inputs = self.0.inputs().iter().zip(&parts);
            let outputs = self.run(compute, inputs.map(|(wanted, array)| array.whole(wanted)))?;
            if row == 0 {
                all = outputs;
                continue;
            }
            for (whole, output) in all.iter_mut().zip(outputs) {
                let fits = output.shape.first() == Some(&1)
                    && whole.shape.get(1..) == output.shape.get(1..)
                    && whole.data.len().saturating_add(output.data.len()) <= MOST;
                match (&mut whole.data, output.data) {
                    (Data::Numbers(all), Data::Numbers(more)) if fits => all.extend(more),
                    (Data::Whole(all), Data::Whole(more)) if fits => all.extend(more),
                    (Data::Texts(all), Data::Texts(more)) if fits => all.extend(more),
                    _ => {
                        return Err(refuse(
                            400,
                            "the model takes one row at a time, and its outputs do not go below each other",
                        ));
                    }
                }
                whole.shape[0] += 1;
            }
        }
        Ok(all)
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
    fn rows_are_asked_one_by_one_where_the_model_takes_one() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/onnx_models/");
        let model = Model::open(format!("{golden}one_row.onnx")).expect("a model");
        let compute = Compute::cpu(1);
        let mut model = Tensors(model);
        let mut ask = |body: &str| {
            let asked = Asked {
                content_type: Some("text/csv".to_owned()),
                body: body.to_owned().into(),
                ..Asked::default()
            };
            let said = model.answer(&compute, &asked).expect("an answer");
            String::from_utf8(said.body.to_vec()).expect("text")
        };
        let rows = ["1,2,3,4\n", "0,0,0,0\n", "-1,0.5,2,1\n"];
        let alone: String = rows.iter().map(|row| ask(row)).collect();
        assert_eq!(ask(&rows.concat()), alone);
        assert_eq!(alone.lines().count(), 3);
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
