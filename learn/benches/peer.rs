//! Trains once on tables that `benches/peers/learn_peer.py` wrote, and says how long it took:
//!
//!     cargo bench -p escala-learn --bench peer -- xgboost FOLDER '{"num_round": "100"}'
//!
//! FOLDER has `about.json` (`columns`) and, of `train` and `test`, the values and labels as 32-bit numbers: `.x`, `.y`; where rows
//! are sparse, `.starts` and `.indices` are whole numbers of 32 bits, too.
//! What is timed begins with a table in memory and ends with a model. What the model says of `test` is left in `predicted`.

use escala_learn::boost::Xgboost;
use escala_learn::{Algorithm, Channels, Csr, Features, Parameters, Table, Unwatched, Values};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

fn words(path: &Path) -> Vec<[u8; 4]> {
    let bytes = std::fs::read(path).expect("a file of the peer");
    bytes.as_chunks().0.to_vec()
}

fn table(folder: &Path, name: &str, columns: usize) -> Table {
    let file = |ending: &str| folder.join(format!("{name}.{ending}"));
    let reals = |ending: &str| -> Vec<f32> {
        words(&file(ending))
            .into_iter()
            .map(f32::from_le_bytes)
            .collect()
    };
    let table = match file("indices").exists() {
        false => Table::dense(columns, reals("x")),
        true => {
            let whole = |ending: &str| words(&file(ending)).into_iter().map(u32::from_le_bytes);
            Ok(Table::new(Features::Sparse(Csr {
                columns,
                starts: whole("starts").map(|start| start as usize).collect(),
                indices: whole("indices").collect(),
                values: reals("x"),
            })))
        }
    };
    table
        .and_then(|table| table.labelled(reals("y")))
        .expect("as many labels as rows")
}

fn algorithm(name: &str) -> &'static dyn Algorithm {
    match name {
        "xgboost" => &Xgboost,
        other => panic!("there is no bench of {other}"),
    }
}

fn main() {
    // Cargo adds --bench.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|one| one != "--bench")
        .collect();
    let [name, folder, set] = arguments.as_slice() else {
        println!("benches/learn.sh runs this beside its peer");
        return;
    };
    let folder = Path::new(folder);
    let about = std::fs::read(folder.join("about.json")).expect("about.json");
    let about: Value = serde_json::from_slice(&about).expect("JSON");
    let columns = about["columns"].as_u64().expect("columns") as usize;
    let algorithm = algorithm(name);
    let set: BTreeMap<String, String> = serde_json::from_str(set).expect("an object of texts");
    let given = set
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    let parameters = Parameters::read(algorithm.parameters(), given).expect("hyperparameters");
    let channels = Channels {
        train: table(folder, "train", columns),
        validation: None,
        test: None,
    };
    let start = Instant::now();
    let model = algorithm
        .train(&parameters, &channels, &mut Unwatched)
        .expect("a model");
    let seconds = start.elapsed().as_secs_f64();
    let test = table(folder, "test", columns);
    let start = Instant::now();
    let answers = model.predict(&test).expect("answers");
    let predicting = start.elapsed().as_secs_f64();
    let numbers = answers.fields.iter().find_map(|field| match &field.values {
        Values::Numbers(numbers) => Some(numbers),
        Values::Whole(_) | Values::Vectors { .. } => None,
    });
    let numbers = numbers.expect("a number for each row");
    let bytes: Vec<u8> = numbers.iter().flat_map(|one| one.to_le_bytes()).collect();
    std::fs::write(folder.join("predicted"), bytes).expect("a folder to write to");
    println!("{}", json!({"seconds": seconds, "predicting": predicting}));
}
