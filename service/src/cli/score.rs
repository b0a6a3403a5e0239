//! `escala score`: a table with the answers of a model beside its rows.

use super::Stop;
use super::sql::{Desk, complain, failed};
use crate::config::Config;
use crate::flows::endpoint_of;
use clap::Args;
use escala_sql::files::NoFormat;
use escala_sql::functions::FUNCTIONS;
use escala_sql::score::{Part, Scoring, Split, query};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala score reviews.parquet --task sentiment --text-column review -o scored.parquet
  escala score 'mails/*.csv' --task redact --text-column body -o clean.csv --language es

The rows are as they were and in their order, with the columns TASK and TASK_error.")]
pub struct ScoreArgs {
    /// A table: a file or files (.parquet, .csv, .tsv, .jsonl, .arrow).
    #[arg(value_name = "TABLE")]
    table: String,
    /// What is asked about each row: sentiment, language, entities, key_phrases, pii, redact, embed, labels, faces.
    #[arg(long, value_parser = task)]
    task: String,
    /// The column that it is about: texts, or the bytes of images.
    #[arg(long, visible_alias = "column", value_name = "COLUMN")]
    text_column: String,
    /// The file that is written; its ending tells the format.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The texts' language; `auto` detects it for each.
    #[arg(long)]
    language: Option<String>,
}

/// One of the functions about rows. Hosted models are a server's.
fn task(name: &str) -> Result<String, String> {
    if endpoint_of(name).is_some() {
        return Err(format!(
            "hosted models are those of a running server: escala jobs score s3://… --task {name} --column …, or escala sql --server"
        ));
    }
    let mut names = FUNCTIONS.iter().map(|function| function.name);
    match names.any(|known| known == name) {
        true => Ok(name.to_owned()),
        false => {
            let names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
            Err(format!(
                "there is no such task; there are {}",
                names.join(", ")
            ))
        }
    }
}

pub fn run(config: &Config, args: ScoreArgs) -> Result<(), Stop> {
    let mut desk = Desk::open(config)?;
    let split = Split {
        file: args.table,
        part: Part::All,
    };
    let name = args.output.to_string_lossy();
    let format = name
        .parse()
        .map_err(|error: NoFormat| Stop::Usage(error.to_string()))?;
    let scoring = Scoring {
        columns: vec![args.text_column],
        endpoint: None,
        language: args.language,
        answers: args.task.clone(),
        function: args.task,
        format,
    };
    let query = desk.block_on(query(&desk.session, &split, &scoring));
    let query = query.map_err(failed)?;
    desk.warm_for(&query)?;
    let began = std::time::Instant::now();
    let rows = desk.write(&query, &args.output)?;
    let took = began.elapsed().as_secs_f64();
    let counts = query.counts();
    note!(
        "{rows} rows in {took:.1} s ({:.0} a second), {} inputs asked about, {} without an answer",
        rows as f64 / took.max(1e-9),
        counts.asked,
        counts.failed
    );
    complain(&query);
    Ok(())
}
