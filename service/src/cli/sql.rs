//! `escala sql`: queries over files, with models as functions.

mod server;
mod shell;

use super::remote::Server;
use super::{Stop, output};
use crate::config::Config;
use crate::machine::Machine;
use crate::ready::Readiness;
use crate::sql::{models, room, task_of};
use clap::{Args, ValueEnum};
use escala_sql::buckets::Buckets;
use escala_sql::chains::STACK;
use escala_sql::engine::{Query, Rights, Session, statements};
use escala_sql::files::Format;
use escala_sql::output::{Buffer, Writer, shown, write};
use escala_sql::places::Places;
use escala_weights::Terminal;
use futures_util::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashSet;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Rows of a table that are shown when nothing else is said.
const ROWS: usize = 1000;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala sql \"SELECT text, sentiment(text)['sentiment'] AS mood FROM 'reviews/*.parquet' LIMIT 10\"
  escala sql \"SELECT id, redact(text) AS text FROM 'letters.csv'\" -o clean.parquet
  escala sql \"SELECT path, faces(bytes) AS faces FROM images('photos')\" --format jsonl
  escala sql --server localhost:4566 \"SELECT predict('churn', age, income) AS p FROM 'data/*.csv'\"
  escala sql          # a shell

Functions: sentiment, language, entities, key_phrases, pii, redact, embed, similarity, labels, faces; each with
a form try_… that answers {value, error}. predict('endpoint', …) asks a hosted model of a server, and
json_value(text, '$.member') takes its answer apart.")]
pub struct SqlArgs {
    /// Statements, separated by `;`. Without any: a shell, or what standard input says.
    query: Option<String>,
    /// How rows are printed; `table` on a terminal and lines of JSON elsewhere when left out.
    #[arg(long, value_enum)]
    format: Option<Shape>,
    /// Print one JSON object a line.
    #[arg(long, conflicts_with_all = ["format", "output"])]
    json: bool,
    /// Write the rows into this file: .parquet, .csv, .tsv, .jsonl or .arrow.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Most rows of a table.
    #[arg(long, default_value_t = ROWS)]
    rows: usize,
    /// Print the plan instead of running it.
    #[arg(long)]
    explain: bool,
    /// What becomes of a row that a model cannot answer.
    #[arg(long, value_parser = ["null", "error"], default_value = "null")]
    on_error: String,
    /// What becomes of a row of CSV or a line of JSON that is none.
    #[arg(long, value_parser = ["error", "skip"], default_value = "error")]
    bad_rows: String,
    #[command(flatten)]
    server: Server,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    Table,
    Jsonl,
    Csv,
    Tsv,
    Arrow,
}

impl Shape {
    fn format(self) -> Option<Format> {
        match self {
            Self::Table => None,
            Self::Jsonl => Some(Format::JsonLines),
            Self::Csv => Some(Format::Csv),
            Self::Tsv => Some(Format::Tsv),
            Self::Arrow => Some(Format::Arrow),
        }
    }
}

pub fn run(config: &Config, args: SqlArgs) -> Result<(), Stop> {
    let shape = match (args.format, args.json) {
        (Some(shape), _) => shape,
        (None, true) => Shape::Jsonl,
        (None, false) if std::io::stdout().is_terminal() => Shape::Table,
        (None, false) => Shape::Jsonl,
    };
    if args.server.is_named() {
        return at_server(config, args, shape);
    }
    let mut desk = Desk::open(config)?;
    desk.shape = shape;
    desk.most_rows = args.rows;
    desk.session
        .set("escala.on_error", &args.on_error)
        .and_then(|()| desk.session.set("escala.bad_rows", &args.bad_rows))
        .map_err(failed)?;
    let text = match args.query {
        Some(text) => text,
        None if std::io::stdin().is_terminal() => return shell::run(config, &mut desk),
        None => read_input()?,
    };
    desk.answer(&text, args.output.as_deref(), args.explain)
}

fn read_input() -> Result<String, Stop> {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|error| Stop::Failed(format!("standard input: {error}")))?;
    Ok(text)
}

/// Statements for a running server.
fn at_server(config: &Config, args: SqlArgs, shape: Shape) -> Result<(), Stop> {
    let usage = |why: &str| Err(Stop::Usage(why.to_owned()));
    if args.output.is_some() {
        return usage(
            "a server writes no file here: redirect what is printed, or COPY (SELECT …) TO 's3://BUCKET/KEY'",
        );
    }
    let text = match args.query {
        Some(text) => text,
        None if std::io::stdin().is_terminal() => {
            return usage("the shell asks no server: give the statement");
        }
        None => read_input()?,
    };
    let how = server::Shown {
        shape,
        rows: args.rows,
        explain: args.explain,
        on_error: args.on_error,
        bad_rows: args.bad_rows,
    };
    server::answer(&args.server.remote(config)?, &text, &how)
}

/// A session with the models of this process.
pub(super) struct Desk {
    machine: Machine,
    runtime: tokio::runtime::Runtime,
    pub(super) session: Session,
    shape: Shape,
    most_rows: usize,
    /// Functions whose models are there.
    warm: HashSet<&'static str>,
}

pub(super) fn failed(error: impl std::fmt::Display) -> Stop {
    Stop::Failed(error.to_string())
}

impl Desk {
    pub(super) fn open(config: &Config) -> Result<Self, Stop> {
        let machine = Machine::for_commands(config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_stack_size(STACK)
            .enable_all()
            .build()
            .map_err(|error| Stop::failed(&error))?;
        let app = machine.app(config.clone(), Arc::new(Readiness::new([])));
        let models = models(&Arc::new(app));
        let places = Places::anywhere().and_buckets(Buckets::writable(machine.places.clone()));
        let engine = escala_sql::Engine::new(models, places, Rights::All, room(config));
        let session = engine.and_then(|engine| engine.session()).map_err(failed)?;
        Ok(Self {
            machine,
            runtime,
            session,
            shape: Shape::Table,
            most_rows: ROWS,
            warm: HashSet::new(),
        })
    }

    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Carries statements out, one after the other.
    fn answer(
        &mut self,
        text: &str,
        into: Option<&std::path::Path>,
        explain: bool,
    ) -> Result<(), Stop> {
        let statements = statements(text).map_err(failed)?;
        if into.is_some() && statements.len() != 1 {
            return Err(Stop::Usage(
                "a file takes the rows of one statement".to_owned(),
            ));
        }
        for statement in statements {
            let planned = self.runtime.block_on(self.session.plan(statement));
            let query = planned.map_err(failed)?;
            if explain {
                output::print(&query.explained())?;
                continue;
            }
            self.warm_for(&query)?;
            match into {
                Some(path) => drop(self.write(&query, path)?),
                None => self.print(&query)?,
            }
            complain(&query);
        }
        Ok(())
    }

    /// Pulls and loads the models of a query.
    pub(super) fn warm_for(&mut self, query: &Query) -> Result<(), Stop> {
        for function in query.functions() {
            if self.warm.insert(function)
                && let Some(task) = task_of(function)
            {
                let warmed = self.machine.warm_named(task, &Terminal::new());
                warmed.map_err(|error| Stop::failed(&error))?;
            }
        }
        Ok(())
    }

    /// Runs a query into a file and tells the rows.
    pub(super) fn write(&self, query: &Query, path: &std::path::Path) -> Result<usize, Stop> {
        let bar = progress(query.functions().is_empty());
        let written = self.until_interrupted(async {
            let shown = |rows: usize| bar.set_message(format!("{rows} rows"));
            write(query, path, shown).await.map_err(failed)
        });
        bar.finish_and_clear();
        written
    }

    /// Says that a table has more rows than are shown.
    fn say_more(rows: usize) {
        note!("the first {rows} rows; `--rows`, `--format` or `-o` give more");
    }

    fn print(&self, query: &Query) -> Result<(), Stop> {
        let bar = progress(query.functions().is_empty());
        let printed = self.until_interrupted(async {
            let mut stream = query.rows().map_err(failed)?;
            let Some(format) = self.shape.format() else {
                let mut batches = Vec::new();
                let mut rows = 0;
                while let Some(batch) = stream.try_next().await.map_err(failed)? {
                    let left = self.most_rows - rows;
                    rows += batch.num_rows().min(left);
                    let more = batch.num_rows() > left;
                    batches.push(batch.slice(0, batch.num_rows().min(left)));
                    bar.set_message(format!("{rows} rows"));
                    if more {
                        bar.finish_and_clear();
                        Self::say_more(rows);
                        break;
                    }
                }
                bar.finish_and_clear();
                if query.schema().fields().is_empty() {
                    return Ok(());
                }
                if batches.is_empty() {
                    batches.push(escala_sql::arrow::array::RecordBatch::new_empty(
                        query.schema(),
                    ));
                }
                return output::print(&format!("{}\n", shown(&batches).map_err(failed)?));
            };
            let written = Buffer::default();
            let mut writer =
                Writer::new(format, query.schema(), written.clone()).map_err(failed)?;
            let mut rows = 0;
            while let Some(batch) = stream.try_next().await.map_err(failed)? {
                writer.write(&batch).map_err(failed)?;
                output::print_bytes(&written.take())?;
                rows += batch.num_rows();
                bar.set_message(format!("{rows} rows"));
            }
            output::print_bytes(&writer.end().map_err(failed)?.take())
        });
        bar.finish_and_clear();
        printed
    }

    /// Ctrl-C ends a query, and what it has written of a file goes.
    fn until_interrupted<T>(&self, work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
        self.runtime.block_on(async {
            tokio::select! {
                done = work => done,
                _ = tokio::signal::ctrl_c() => Err(Stop::Failed("interrupted".to_owned())),
            }
        })
    }
}

/// Says what rows lack, and which are left out.
pub(super) fn complain(query: &Query) {
    let counts = query.counts();
    let examples: HashSet<String> = counts.examples.into_iter().collect();
    let examples = examples.into_iter().collect::<Vec<_>>().join("; ");
    let missing = counts.failed - counts.left_out;
    match (missing, counts.left_out) {
        (0, 0) => {}
        (missing, 0) => note!("warning: {missing} answers are missing: {examples}"),
        (0, left_out) => note!("warning: {left_out} rows are left out: {examples}"),
        (missing, left_out) => {
            note!(
                "warning: {missing} answers are missing and {left_out} rows are left out: {examples}"
            );
        }
    }
}

/// A line that tells how far a query is, on a terminal.
fn progress(quick: bool) -> ProgressBar {
    if quick || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    // The template is fixed and valid; the default would do as well.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
