//! Boosting beside XGBoost 3.2.0: models that it trained are read and predict what it predicted, training comes to the same
//! trees and metrics, and it reads the models that are written here. `golden/boost.py` made what is compared with.
//!
//! | file | what |
//! | --- | --- |
//! | `training.rs` | what is learned, round by round, and what is refused |
//! | `files.rs` | models that are read and written, by XGBoost and by us |

#[allow(dead_code)] // other tests use the rest
#[path = "../../../tests/common/venv.rs"]
mod venv;

mod files;
mod training;

use escala_learn::boost::{Boosted, Xgboost};
use escala_learn::{Algorithm, Channels, Csr, Features, Model, Parameters, Table, Values, Watch};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What XGBoost and Escala compute in 32 bits is in other orders here and there.
const CLOSE: f32 = 1e-6;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/boost")
}

struct Case {
    told: Value,
    train: Table,
    held: Table,
}

impl Case {
    fn name(&self) -> &str {
        self.told["name"].as_str().expect("as the script wrote it")
    }

    fn is(&self, how: &str) -> bool {
        self.told["how"]
            .as_array()
            .expect("as the script wrote it")
            .iter()
            .any(|one| one == how)
    }

    fn model(&self, ending: &str) -> Boosted {
        let path = golden().join(format!("{}.{ending}", self.name()));
        Boosted::read(&std::fs::read(path).expect("as the script wrote it"))
            .expect("as the script wrote it")
    }

    fn parameters(&self, more: &[(&str, &str)]) -> Parameters {
        let told = self.told["parameters"]
            .as_object()
            .expect("as the script wrote it");
        let told = told.iter().map(|(name, text)| {
            (
                name.as_str(),
                text.as_str().expect("as the script wrote it"),
            )
        });
        Parameters::read(Xgboost.parameters(), told.chain(more.iter().copied()))
            .expect("as the script wrote it")
    }

    fn channels(&self) -> Channels {
        Channels {
            train: self.train.clone(),
            validation: Some(self.held.clone()),
            test: None,
        }
    }

    fn trained(&self, more: &[(&str, &str)], watch: &mut Seen) -> Boosted {
        Boosted::train(&self.parameters(more), &self.channels(), watch)
            .expect("as the script wrote it")
    }
}

fn numbers(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("as the script wrote it");
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

fn cases() -> Vec<Case> {
    let told = std::fs::read(golden().join("cases.json")).expect("as the script wrote it");
    let told: Value = serde_json::from_slice(&told).expect("as the script wrote it");
    let tables = &told["tables"];
    told["cases"]
        .as_array()
        .expect("as the script wrote it")
        .iter()
        .map(|case| read(case, tables))
        .collect()
}

fn case(name: &str) -> Case {
    cases()
        .into_iter()
        .find(|case| case.name() == name)
        .expect("as the script wrote it")
}

fn read(told: &Value, tables: &Value) -> Case {
    let table = told["table"].as_str().expect("as the script wrote it");
    let of = |name: &str| {
        tables[table][name]
            .as_u64()
            .expect("as the script wrote it") as usize
    };
    let (rows, columns) = (of("rows"), of("columns"));
    let file = numbers(&golden().join(format!("{table}.f32")));
    let (mut values, labels) = match table {
        "formula" => {
            let value = |at: u64| ((at * 2_654_435_761 % (1 << 32)) >> 8) as f32;
            ((0..(rows * columns) as u64).map(value).collect(), file)
        }
        _ => {
            let labels = told["labels"]
                .as_array()
                .expect("as the script wrote it")
                .iter();
            (
                file,
                labels
                    .map(|label| label.as_f64().expect("as the script wrote it") as f32)
                    .collect(),
            )
        }
    };
    assert_eq!((values.len(), labels.len()), (rows * columns, rows));
    let how = |name: &str| {
        told["how"]
            .as_array()
            .expect("as the script wrote it")
            .iter()
            .any(|one| one == name)
    };
    if how("missing") {
        for (at, value) in values.iter_mut().enumerate() {
            if (7 * (at / columns) + 3 * (at % columns)) % 11 == 0 {
                *value = f32::NAN;
            }
        }
    }
    let part = |held: bool| {
        let chosen: Vec<usize> = (0..rows).filter(|row| (row % 4 == 0) == held).collect();
        let own = chosen
            .iter()
            .flat_map(|row| &values[row * columns..(row + 1) * columns]);
        let features = match how("sparse") {
            false => Features::Dense {
                columns,
                values: own.copied().collect(),
            },
            true => Features::Sparse(sparse(columns, &own.copied().collect::<Vec<f32>>())),
        };
        let mut table = Table::new(features)
            .labelled(chosen.iter().map(|row| labels[*row]).collect())
            .expect("as the script wrote it");
        if how("weighted") {
            table.weights = Some(chosen.iter().map(|row| 0.5 + (row % 5) as f32).collect());
        }
        table
    };
    Case {
        train: part(false),
        held: part(true),
        told: told.clone(),
    }
}

fn sparse(columns: usize, values: &[f32]) -> Csr {
    let mut csr = Csr {
        columns,
        starts: vec![0],
        ..Csr::default()
    };
    for row in values.chunks(columns) {
        for (column, value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            csr.indices.push(column as u32);
            csr.values.push(*value);
        }
        csr.starts.push(csr.values.len());
    }
    csr
}

/// Remembers what was told, stops after some rounds, and keeps checkpoints.
#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    metrics: BTreeMap<String, Vec<f64>>,
    done: u64,
    stop: Option<u64>,
    kept: Option<Vec<u8>>,
    resume: Option<Vec<u8>>,
}

impl Watch for Seen {
    fn log(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    fn metric(&mut self, name: &str, value: f64) {
        self.metrics.entry(name.to_owned()).or_default().push(value);
    }

    fn progress(&mut self, done: u64, total: u64) {
        assert!(
            done == self.done + 1 || self.done == 0,
            "{done} after {}",
            self.done
        );
        assert!(done <= total);
        self.done = done;
    }

    fn stopped(&mut self) -> bool {
        self.stop == Some(self.done)
    }

    fn checkpoint(&mut self, bytes: &mut dyn FnMut() -> Vec<u8>) {
        self.kept = Some(bytes());
    }

    fn resume(&mut self) -> Option<Vec<u8>> {
        self.resume.take()
    }
}

fn predicted(model: &dyn Model, table: &Table) -> Vec<f32> {
    let answers = model.predict(table).expect("rows of the same columns");
    assert_eq!(answers.list, "predictions");
    let [field] = answers.fields.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(field.name, "score");
    match &field.values {
        Values::Numbers(values) => {
            assert_eq!(values.len(), table.rows());
            values.clone()
        }
        Values::Vectors { width, values } => {
            assert_eq!(values.len(), table.rows() * width);
            values.clone()
        }
        Values::Whole(_) => panic!("{answers:?}"),
    }
}

/// Within a part of what is expected; what is near 0 is the rest of sums that cancel each other, as exact as those.
fn close(found: f32, expected: f32, within: f32) -> bool {
    found == expected || (found - expected).abs() <= within * expected.abs().max(0.02)
}
