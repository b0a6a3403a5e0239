//! `escala train table …`, `escala train parameters …`, `escala predict rows …`: algorithms that learn from tables of numbers,
//! without a server.

use super::{Stop, output};
use crate::failure::chain;
use clap::Args;
use clap::builder::PossibleValuesParser;
use escala_learn::formats::{Accept, Format, Reader, render};
use escala_learn::registry::{self, ALGORITHMS};
use escala_learn::{Algorithm, Channels, Error, Parameters, Table, Watch};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The least time between two checkpoints.
const APART: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(
    after_help = "Rows are numbers: .csv (no header; of algorithms that learn labels, the label first), .libsvm, .jsonl,
.recordio (protobuf). What may be set: `escala train parameters ALGORITHM`. A run that was ended goes on where it was when the
same command is given again.

Examples:
  escala train table --algorithm xgboost --train train.csv --validation held-out.csv \\
      -p objective=binary:logistic -p num_round=100 --output model
  escala predict rows --from model new.csv"
)]
pub struct TableArgs {
    /// What learns.
    #[arg(long, value_parser = PossibleValuesParser::new(ALGORITHMS.map(|one| one.name())))]
    algorithm: String,
    /// Rows to learn from.
    #[arg(long, required = true, value_name = "FILE", num_args = 1..)]
    train: Vec<PathBuf>,
    /// Rows to look at while learning.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    validation: Vec<PathBuf>,
    /// Rows to look at once at the end.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    test: Vec<PathBuf>,
    /// What the files are, where their names do not tell: text/csv, text/csv;label_size=0, text/libsvm,
    /// application/jsonlines, application/x-recordio-protobuf.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// A hyperparameter, under SageMaker's name.
    #[arg(short = 'p', long = "hyperparameter", value_name = "NAME=VALUE")]
    hyperparameters: Vec<String>,
    /// The folder that the model is written to; it must not be there.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub struct ParametersArgs {
    /// The algorithm.
    #[arg(value_parser = PossibleValuesParser::new(ALGORITHMS.map(|one| one.name())))]
    algorithm: String,
    #[command(flatten)]
    output: super::Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  escala predict rows --from model new.csv --accept text/csv > answers.csv")]
pub struct RowsArgs {
    /// What `escala train table` wrote, or a folder with a model of XGBoost's (.json, .ubj).
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    /// Rows as those that were learned from, without labels; `-` is standard input.
    #[arg(value_name = "FILE")]
    rows: PathBuf,
    /// What the rows are, where the file's name does not tell.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// What is written: application/jsonlines, application/json, text/csv, application/x-recordio-protobuf; with
    /// `;verbose=true` all that can be said.
    #[arg(long, value_name = "TYPE", default_value = "application/jsonlines")]
    accept: String,
}

fn stop(error: Error) -> Stop {
    match error {
        Error::Input(why) => Stop::Usage(why),
        error => Stop::Failed(chain(&error)),
    }
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> Stop {
    let path = path.display().to_string();
    move |error| Stop::Failed(format!("{path}: {error}"))
}

fn algorithm(name: &str) -> Result<&'static dyn Algorithm, Stop> {
    // Whoever parsed the name knows only these.
    registry::of_name(name).ok_or_else(|| Stop::Usage(format!("there is no algorithm {name}")))
}

/// The content type that a file's name tells.
fn told(path: &Path) -> Result<&'static str, Stop> {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    match ending.to_ascii_lowercase().as_str() {
        "csv" => Ok("text/csv"),
        "libsvm" | "svm" => Ok("text/libsvm"),
        "json" => Ok("application/json"),
        "jsonl" | "ndjson" => Ok("application/jsonlines"),
        "recordio" | "rec" | "pbr" => Ok("application/x-recordio-protobuf"),
        _ => Err(Stop::Usage(format!(
            "{}: the name does not tell what the rows are; --content-type does",
            path.display()
        ))),
    }
}

fn table(files: &[PathBuf], content_type: Option<&str>, labelled: bool) -> Result<Table, Stop> {
    let mut reader: Option<Reader> = None;
    for file in files {
        let kind = match content_type {
            Some(kind) => kind,
            None => told(file)?,
        };
        let format = Format::of(kind, labelled).map_err(stop)?;
        let reader = reader.get_or_insert_with(|| Reader::new(format));
        let name = file.display().to_string();
        match name == "-" {
            true => reader.read("standard input", std::io::stdin().lock()),
            false => reader.read(&name, File::open(file).map_err(at(file))?),
        }
        .map_err(stop)?;
    }
    match reader {
        Some(reader) => reader.table().map_err(stop),
        None => Err(Stop::Usage("there are no rows".to_owned())),
    }
}

/// What a run is: its algorithm, settings and files.
fn identity(args: &TableArgs) -> Result<[u8; 32], Stop> {
    let mut all = Sha256::new();
    let mut set: Vec<&String> = args.hyperparameters.iter().collect();
    set.sort();
    all.update(format!(
        "{} {set:?} {:?}",
        args.algorithm, args.content_type
    ));
    for files in [&args.train, &args.validation, &args.test] {
        all.update([0]);
        for file in files {
            let about = file.metadata().map_err(at(file))?;
            let changed = about.modified().map_err(at(file))?;
            let path = std::path::absolute(file).map_err(at(file))?;
            all.update(format!("{path:?} {} {changed:?}", about.len()));
        }
    }
    Ok(all.finalize().into())
}

/// Shows how far a run is, and keeps its checkpoints.
struct Run {
    bar: ProgressBar,
    path: PathBuf,
    identity: [u8; 32],
    kept: Instant,
    /// Why the last checkpoint could not be kept.
    unkept: Option<String>,
}

impl Watch for Run {
    fn log(&mut self, line: &str) {
        self.bar.suspend(|| note!("{line}"));
    }

    fn metric(&mut self, name: &str, value: f64) {
        self.bar.set_message(format!("{name} {value:.6}"));
    }

    fn progress(&mut self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    fn stopped(&mut self) -> bool {
        false
    }

    fn checkpoint(&mut self, bytes: &mut dyn FnMut() -> Vec<u8>) {
        if self.kept.elapsed() < APART {
            return;
        }
        let new = self.path.with_extension("checkpoint.new");
        let kept = File::create(&new).and_then(|mut file| {
            file.write_all(&self.identity)?;
            file.write_all(&bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)
        });
        self.unkept = kept.err().map(|error| error.to_string());
        self.kept = Instant::now();
    }

    fn resume(&mut self) -> Option<Vec<u8>> {
        let kept = match std::fs::read(&self.path) {
            Ok(kept) => kept,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    let path = self.path.display();
                    note!("warning: begins anew: {path}: {error}");
                }
                return None;
            }
        };
        // That of another run is nothing to go on from.
        let kept = kept.strip_prefix(&self.identity)?.to_vec();
        note!("goes on from {}", self.path.display());
        Some(kept)
    }
}

/// Learns and writes a model.
pub fn train(args: &TableArgs) -> Result<(), Stop> {
    let algorithm = algorithm(&args.algorithm)?;
    let mut given = Vec::new();
    for setting in &args.hyperparameters {
        match setting.split_once('=') {
            Some(pair) => given.push(pair),
            None => {
                return Err(Stop::Usage(format!(
                    "--hyperparameter {setting} is not NAME=VALUE"
                )));
            }
        }
    }
    let parameters = Parameters::read(algorithm.parameters(), given).map_err(stop)?;
    if args.output.exists() {
        let folder = args.output.display();
        return Err(Stop::Usage(format!("{folder} is there already")));
    }
    let identity = identity(args)?;
    let content_type = args.content_type.as_deref();
    let read = |files: &[PathBuf]| table(files, content_type, algorithm.labelled());
    let some = |files: &Vec<PathBuf>| match files.is_empty() {
        true => Ok(None),
        false => read(files).map(Some),
    };
    let channels = Channels {
        train: read(&args.train)?,
        validation: some(&args.validation)?,
        test: some(&args.test)?,
    };
    let (rows, columns) = (channels.train.rows(), channels.train.columns());
    note!("{rows} rows of {columns} columns");
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new(0),
        false => ProgressBar::hidden(),
    };
    let style = ProgressStyle::with_template("{elapsed} {wide_bar} {pos}/{len} {msg}");
    bar.set_style(style.map_err(|error| Stop::failed(&error))?);
    let mut path = args.output.clone().into_os_string();
    path.push(".checkpoint");
    let mut run = Run {
        bar,
        path: path.into(),
        identity,
        kept: Instant::now(),
        unkept: None,
    };
    let began = Instant::now();
    let model = algorithm.train(&parameters, &channels, &mut run);
    run.bar.finish_and_clear();
    let model = model.map_err(stop)?;
    if let Some(why) = &run.unkept {
        note!("warning: the last checkpoint was not kept: {why}");
    }
    // There whole or not at all.
    let mut new = args.output.clone().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    if new.exists() {
        std::fs::remove_dir_all(&new).map_err(at(&new))?;
    }
    std::fs::create_dir_all(&new).map_err(at(&new))?;
    model.write(&new).map_err(stop)?;
    std::fs::rename(&new, &args.output).map_err(at(&args.output))?;
    if let Err(error) = std::fs::remove_file(&run.path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(at(&run.path)(error));
    }
    let took = began.elapsed().as_secs_f64();
    output::print(&format!(
        "{}: learned in {took:.1} s\n",
        args.output.display()
    ))
}

/// Lists what may be set.
pub fn parameters(args: &ParametersArgs) -> Result<(), Stop> {
    let declared = algorithm(&args.algorithm)?.parameters();
    if args.output.json {
        return declared.iter().try_for_each(|one| {
            output::json(&serde_json::json!({
                "name": one.name, "values": one.values(), "default": one.default, "required": one.required, "help": one.help,
            }))
        });
    }
    let mut rows = vec![
        ["NAME", "VALUES", "DEFAULT", "WHAT IT DOES"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(declared.iter().map(|one| {
        let default = match (one.default, one.required) {
            (Some(default), _) => default,
            (None, true) => "must be set",
            (None, false) => "-",
        };
        vec![
            one.name.to_owned(),
            one.values(),
            default.to_owned(),
            one.help.to_owned(),
        ]
    }));
    output::print(&output::table(&rows))
}

/// Predicts rows of a file.
pub fn predict(args: &RowsArgs) -> Result<(), Stop> {
    let (accept, verbose) = Accept::of(&args.accept).map_err(stop)?;
    let (_, model) = registry::open(&args.from).map_err(stop)?;
    let rows = table(
        std::slice::from_ref(&args.rows),
        args.content_type.as_deref(),
        false,
    )?;
    let answers = match verbose {
        true => model.predict_verbose(&rows),
        false => model.predict(&rows),
    };
    let bytes = render(&answers.map_err(stop)?, accept).map_err(stop)?;
    output::print_bytes(&bytes)
}
