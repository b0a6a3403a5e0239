//! Who looks on in tests, and tables of `golden/tables`.

#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses what it needs"
)]

use escala_learn::formats::{self, Format};
use escala_learn::{Algorithm, Channels, Features, Parameters, Table, Values, Watch};

/// Keeps what it is told.
#[derive(Default)]
pub struct Looker {
    pub metrics: Vec<(String, f64)>,
    pub log: Vec<String>,
    pub checkpoints: Vec<Vec<u8>>,
    /// What to go on from.
    pub from: Option<Vec<u8>>,
    /// After how many questions to say stop.
    pub patience: Option<usize>,
}

impl Looker {
    /// The last value of a metric.
    pub fn last(&self, name: &str) -> f64 {
        let found = self.metrics.iter().rev().find(|one| one.0 == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.metrics))
            .1
    }
}

impl Watch for Looker {
    fn log(&mut self, line: &str) {
        self.log.push(line.to_owned());
    }

    fn metric(&mut self, name: &str, value: f64) {
        self.metrics.push((name.to_owned(), value));
    }

    fn progress(&mut self, done: u64, total: u64) {
        assert!(done <= total, "{done} of {total}");
    }

    fn stopped(&mut self) -> bool {
        match &mut self.patience {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    fn checkpoint(&mut self, bytes: &mut dyn FnMut() -> Vec<u8>) {
        self.checkpoints.push(bytes());
    }

    fn resume(&mut self) -> Option<Vec<u8>> {
        self.from.take()
    }
}

pub fn parameters(algorithm: &dyn Algorithm, given: &[(&str, &str)]) -> Parameters {
    Parameters::read(algorithm.parameters(), given.iter().copied()).unwrap()
}

/// A table of scikit-learn's.
pub fn whole(name: &str) -> Table {
    let path = format!(
        "{}/tests/golden/tables/{name}.csv",
        env!("CARGO_MANIFEST_DIR")
    );
    let file = std::fs::File::open(&path).unwrap();
    formats::read(Format::of("text/csv", true).unwrap(), &path, file).unwrap()
}

/// The same: the rows that are learned from, and every fourth, which is held out.
pub fn split(name: &str) -> (Table, Table) {
    let table = whole(name);
    (
        rows(&table, |row| row % 4 != 3),
        rows(&table, |row| row % 4 == 3),
    )
}

/// Some rows of a dense table.
pub fn rows(table: &Table, keep: impl Fn(usize) -> bool) -> Table {
    let Features::Dense { columns, values } = &table.features else {
        panic!("sparse")
    };
    let kept: Vec<usize> = (0..table.rows()).filter(|row| keep(*row)).collect();
    let own = kept
        .iter()
        .flat_map(|row| &values[row * columns..(row + 1) * columns])
        .copied();
    let labels = table.labels.as_ref().unwrap();
    Table::dense(*columns, own.collect())
        .unwrap()
        .labelled(kept.iter().map(|row| labels[*row]).collect())
        .unwrap()
}

/// The same table, its zeros left out.
pub fn sparse(table: &Table) -> Table {
    let Features::Dense { columns, values } = &table.features else {
        panic!("sparse")
    };
    let mut csr = escala_learn::Csr {
        columns: *columns,
        starts: vec![0],
        ..Default::default()
    };
    for row in values.chunks_exact(*columns) {
        for (column, value) in row.iter().enumerate().filter(|one| *one.1 != 0.0) {
            csr.indices.push(column as u32);
            csr.values.push(*value);
        }
        csr.starts.push(csr.values.len());
    }
    Table {
        features: Features::Sparse(csr),
        ..table.clone()
    }
}

pub fn channels(train: &Table) -> Channels {
    Channels {
        train: train.clone(),
        validation: None,
        test: None,
    }
}

/// Numbers of a field of answers.
pub fn field(answers: &escala_learn::Answers, name: &str) -> Vec<f32> {
    let field = answers
        .fields
        .iter()
        .find(|field| field.name == name)
        .unwrap();
    match &field.values {
        Values::Numbers(values) | Values::Vectors { values, .. } => values.clone(),
        Values::Whole(values) => values.iter().map(|one| *one as f32).collect(),
    }
}

pub fn golden(name: &str) -> serde_json::Value {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Numbers of a list, of lists too.
pub fn numbers(value: &serde_json::Value) -> Vec<f64> {
    match value {
        serde_json::Value::Array(list) => list.iter().flat_map(numbers).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}
