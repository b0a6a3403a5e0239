//! ONNX files behind SageMaker's endpoints, in every form that is read and written: through the real binary, against what ONNX
//! Runtime answers.

mod common;

use common::sagemaker::{call, data, host, model};
use common::{Answer, Server, Setup, golden};
use escala_learn::formats::npy::Array;
use serde_json::{Map, Value, json};

/// scikit-learn's, XGBoost's and LightGBM's, with classes by number and by name, and networks.
const MODELS: [&str; 6] = [
    "logistic_two",
    "forest_names",
    "xgboost_three",
    "lightgbm_two",
    "forest_regression",
    "mlp_softmax",
];

fn answers() -> Value {
    let text = std::fs::read(golden("onnx_models").join("answers.json")).expect("golden");
    serde_json::from_slice(&text).expect("JSON")
}

fn sizes(value: &Value) -> Vec<usize> {
    let sizes = value["shape"].as_array().expect("a shape").iter();
    sizes
        .map(|one| one.as_u64().expect("a size") as usize)
        .collect()
}

/// Of an input, null where there is nothing.
fn numbers(value: &Value) -> Vec<f32> {
    let numbers = value["values"].as_array().expect("values").iter();
    numbers
        .map(|one| one.as_f64().map_or(f32::NAN, |one| one as f32))
        .collect()
}

fn same(got: &Value, want: &Value, what: &str) {
    match (got.as_f64(), want.as_f64()) {
        (Some(got), Some(want)) => {
            let near = (got - want).abs() < 1e-4 * want.abs().max(1.0);
            assert!(near, "{what}: {got}, not {want}");
        }
        _ => assert_eq!(got, want, "{what}"),
    }
}

/// What an answer must say of a row: the golden outputs, scores by the names of their classes.
fn wanted(case: &Value, row: usize) -> Value {
    let mut members = Map::new();
    let outputs = case["outputs"].as_array().expect("outputs");
    for output in outputs {
        let width: usize = sizes(output)[1..].iter().product();
        let cells = output["values"].as_array().expect("values");
        let cells = &cells[row * width..(row + 1) * width];
        let said = match output.get("classes").and_then(Value::as_array) {
            Some(classes) => {
                let name = |class: &Value| class.as_str().map_or(class.to_string(), str::to_owned);
                let named = classes.iter().map(name).zip(cells.iter().cloned());
                Value::Object(named.collect())
            }
            None if width == 1 => cells[0].clone(),
            None => json!(cells),
        };
        members.insert(output["name"].as_str().expect("a name").to_owned(), said);
    }
    match members.len() {
        1 => members.into_iter().next().expect("one").1,
        _ => Value::Object(members),
    }
}

fn equal(got: &Value, want: &Value, what: &str) {
    match want {
        Value::Object(members) => {
            for (name, want) in members {
                equal(&got[name], want, &format!("{what}: {name}"));
            }
        }
        Value::Array(items) => {
            // Scores of numbered classes have their numbers as names.
            let (length, numbered) = match got {
                Value::Object(members) => (members.len(), true),
                got => (got.as_array().map_or(0, Vec::len), false),
            };
            assert_eq!(length, items.len(), "{what}: {got}");
            for (at, want) in items.iter().enumerate() {
                let got = match numbered {
                    true => &got[at.to_string()],
                    false => &got[at],
                };
                equal(got, want, what);
            }
        }
        want => same(got, want, what),
    }
}

fn ask(server: &Server, name: &str, kind: &str, accept: &str, body: &[u8]) -> Answer {
    let path = format!("/endpoints/{name}/invocations");
    let answer = server.post_accepting(&path, kind, accept, body);
    assert_eq!(answer.status, 200, "{name}: {answer:?}");
    answer
}

#[test]
fn files_answer_as_onnx_runtime_does_in_every_form() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().to_str().expect("a plain path");
    let setup = Setup::default()
        .with("ESCALA_DATA_DIR", folder)
        .with("ESCALA_MODELS_PRELOAD", "language");
    let server = Server::start(&setup);
    assert_eq!(server.s3("PUT", "/models", b"").status, 200);
    let golden_answers = answers();
    for (number, name) in MODELS.into_iter().enumerate() {
        let file = golden("onnx_models").join(format!("{name}.onnx"));
        let bytes = std::fs::read(file).expect("a golden file");
        let name = name.replace('_', "-");
        // Triton's repositories are hosted, too.
        let (image, path) = match number % 2 {
            0 => ("onnx", "model.onnx".to_owned()),
            _ => (
                "sagemaker-tritonserver:24.09-py3",
                format!("{name}/1/model.onnx"),
            ),
        };
        let source = data(&server, "models", &name, &[(path, bytes)]);
        let container = json!({"Image": image, "ModelDataSource": source});
        call(&server, "CreateModel", &model(&name, &container)).ok();
        host(&server, &name, &name);
    }
    for key in MODELS {
        let case = &golden_answers["models"][key];
        let name = key.replace('_', "-");
        let inputs = case["inputs"].as_object().expect("inputs");
        assert_eq!(inputs.len(), 1, "{key}");
        let (input, given) = inputs.iter().next().expect("one");
        let (shape, values) = (sizes(given), numbers(given));
        let (rows, width) = (shape[0], shape[1]);
        let table: Vec<&[f32]> = values.chunks(width).collect();
        let as_json = |row: &&[f32]| {
            json!(
                row.iter()
                    .map(|one| (!one.is_nan()).then_some(*one))
                    .collect::<Vec<_>>()
            )
        };
        let listed: Vec<Value> = table.iter().map(as_json).collect();

        let body = json!({"instances": listed}).to_string();
        let told = ask(
            &server,
            &name,
            "application/json",
            "application/json",
            body.as_bytes(),
        );
        let told = told.json();
        assert_eq!(
            told["predictions"].as_array().map(Vec::len),
            Some(rows),
            "{key}"
        );
        for row in 0..rows {
            equal(&told["predictions"][row], &wanted(case, row), key);
        }
        let body = json!({"inputs": {input: listed}}).to_string();
        let whole = ask(&server, &name, "application/json", "*/*", body.as_bytes()).json();
        for output in case["outputs"].as_array().expect("outputs") {
            let said = &whole["outputs"][output["name"].as_str().expect("a name")];
            assert_eq!(said.as_array().map(Vec::len), Some(rows), "{key}: {whole}");
        }
        let lines: String = listed
            .iter()
            .map(|row| format!("{}\n", json!({"features": row})))
            .collect();
        // Features of JSON Lines are numbers, all of them there.
        if values.iter().all(|one| !one.is_nan()) {
            let told = ask(
                &server,
                &name,
                "application/jsonlines",
                "application/jsonlines",
                lines.as_bytes(),
            );
            assert_eq!(told.text.lines().count(), rows, "{key}");
            for (row, line) in told.text.lines().enumerate() {
                let line: Value = serde_json::from_str(line).expect("JSON");
                equal(&line, &wanted(case, row), key);
            }
        }
        let cell = |one: &f32| {
            if one.is_nan() {
                String::new()
            } else {
                one.to_string()
            }
        };
        let csv: String = table
            .iter()
            .map(|row| row.iter().map(cell).collect::<Vec<_>>().join(",") + "\n")
            .collect();
        let told = ask(&server, &name, "text/csv", "text/csv", csv.as_bytes());
        assert_eq!(told.text.lines().count(), rows, "{key}");
        // The first cell is the first output's.
        let first = &case["outputs"][0];
        for (row, line) in told.text.lines().enumerate() {
            let each: usize = sizes(first)[1..].iter().product();
            let got = line.split(',').next().expect("a cell");
            let got = serde_json::from_str(got).unwrap_or_else(|_| json!(got));
            same(&got, &first["values"][row * each], key);
        }

        let array = Array {
            shape: vec![rows, width],
            values: values.clone(),
        };
        let npy = "application/x-npy";
        let told = ask(&server, &name, npy, npy, &array.write());
        let told = Array::parse(&told.body).expect("an array");
        // Scores where there are some.
        let outputs = case["outputs"].as_array().expect("outputs");
        let is_scores = |output: &&Value| {
            let name = output["name"].as_str().unwrap_or_default();
            output.get("classes").is_some() || name == "probabilities"
        };
        let scores = outputs.iter().find(is_scores);
        let output = scores.unwrap_or(&outputs[0]);
        assert_eq!(told.shape, sizes(output), "{key}");
        for (got, want) in told.values.iter().zip(numbers(output)) {
            same(&json!(got), &json!(want), key);
        }
    }
    server.assert_sound("all of it");
}

#[test]
fn columns_of_texts_are_asked_about_by_name_and_in_their_order() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().to_str().expect("a plain path");
    let setup = Setup::default()
        .with("ESCALA_DATA_DIR", folder)
        .with("ESCALA_MODELS_PRELOAD", "language");
    let server = Server::start(&setup);
    assert_eq!(server.s3("PUT", "/models", b"").status, 200);
    let golden_answers = answers();
    for key in ["texts_one_hot", "texts_filled"] {
        let file = golden("onnx_models").join(format!("{key}.onnx"));
        let bytes = std::fs::read(file).expect("a golden file");
        let name = key.replace('_', "-");
        let source = data(
            &server,
            "models",
            &name,
            &[("model.onnx".to_owned(), bytes)],
        );
        let container = json!({"Image": "onnx", "ModelDataSource": source});
        call(&server, "CreateModel", &model(&name, &container)).ok();
        host(&server, &name, &name);

        let case = &golden_answers["models"][key];
        let inputs = case["inputs"].as_object().expect("inputs");
        let rows = sizes(&inputs["city"])[0];
        let row = |row: usize| {
            let cell =
                |(name, given): (&String, &Value)| (name.clone(), given["values"][row].clone());
            Value::Object(inputs.iter().map(cell).collect())
        };
        let listed: Vec<Value> = (0..rows).map(row).collect();

        let body = json!({"instances": listed}).to_string();
        let json = "application/json";
        let told = ask(&server, &name, json, json, body.as_bytes()).json();
        for row in 0..rows {
            equal(&told["predictions"][row], &wanted(case, row), key);
        }
        let lines: String = listed.iter().map(|row| format!("{row}\n")).collect();
        let kind = "application/jsonlines";
        let told = ask(&server, &name, kind, kind, lines.as_bytes());
        assert_eq!(told.text.lines().count(), rows, "{key}");
        for (row, line) in told.text.lines().enumerate() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            equal(&line, &wanted(case, row), key);
        }
        let cell = |value: &Value| match value {
            Value::String(text) => format!("\"{text}\""),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let line = |row: &Value| {
            let cells = ["city", "kind", "age", "income"].map(|name| cell(&row[name]));
            cells.join(",") + "\n"
        };
        let csv: String = listed.iter().map(line).collect();
        let told = ask(&server, &name, "text/csv", kind, csv.as_bytes());
        for (row, line) in told.text.lines().enumerate() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            equal(&line, &wanted(case, row), key);
        }
        // KServe's clients give a tensor for each input.
        let tensors = inputs.iter().map(|(name, given)| {
            let datatype = match &given["values"][0] {
                Value::String(_) => "BYTES",
                _ => "FP32",
            };
            json!({"name": name, "shape": given["shape"], "datatype": datatype, "data": given["values"]})
        });
        let body = json!({"inputs": tensors.collect::<Vec<_>>()}).to_string();
        let path = format!("/v2/models/{name}/infer");
        let told = server.post_accepting(&path, json, json, body.as_bytes());
        assert_eq!(told.status, 200, "{key}: {told:?}");
        let told = told.json();
        let outputs = told["outputs"].as_array().expect("outputs");
        let labels = outputs
            .iter()
            .find(|one| one["name"] == case["outputs"][0]["name"]);
        let labels = labels.expect("labels");
        assert_eq!(labels["data"], case["outputs"][0]["values"], "{key}");
    }
    server.assert_sound("all of it");
}
