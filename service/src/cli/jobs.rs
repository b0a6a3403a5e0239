//! `escala jobs …`: jobs of a running server.

use super::output::{self, table};
use super::remote::{Remote, Server, part, with_query};
use super::{Output, Stop};
use crate::config::Config;
use crate::flows::{ENDPOINT, endpoint_of};
use crate::rest::jobs::{EventView, EventsView, JobView, JobsView, SampleView, ScoreRequest};
use crate::scoring::{FORMATS, tasks};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::time::Duration;

const PATH: &str = "/v1/jobs";
/// How often a job that is watched is asked about.
const LOOK: Duration = Duration::from_secs(1);
/// Events that are asked for at a time.
const PAGE: usize = 1000;

#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// Score a dataset: tables with answers beside their rows, or images.
    Score(ScoreArgs),
    /// Write the rows of a query into an object.
    #[cfg(feature = "sql")]
    Copy(CopyArgs),
    /// List jobs, the youngest first.
    List(ListArgs),
    /// Say what a job is, how far it is and what it took.
    Show(JobArgs),
    /// Show how far a job is until it ends.
    Watch(JobArgs),
    /// Print the log of a job.
    Logs(JobArgs),
    /// Stop jobs; what is done of them is left in their output.
    Cancel(CancelArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala jobs list --state running
  escala jobs watch 7f0c5d2e9a1b4c3d8e6f5a4b3c2d1e0f

Jobs are started by `escala jobs score` and `escala jobs copy`, and by the operations of AWS: Comprehend's
Start…DetectionJob. The server must be running.")]
pub struct ListArgs {
    /// Of this kind, such as comprehend.sentiment.
    #[arg(long)]
    kind: Option<String>,
    /// In this state.
    #[arg(long)]
    state: Option<String>,
    /// With this name.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala jobs score s3://lake/reviews/ --task sentiment --text-column review -o s3://lake/scored/ --watch
  escala jobs score s3://lake/photos/ --task moderation -o s3://lake/moderated/

The rows are as they were and in their order, with the columns TASK and TASK_error; of images there is one TASK.jsonl. The job
goes on where it was when the server is started again. The server must be running; without one: `escala score`.")]
pub struct ScoreArgs {
    /// Every object that begins with this: tables (.parquet, .csv, .tsv, .jsonl, .arrow) or images; or every file in a folder that the
    /// server may read (file:///PATH/…).
    #[arg(value_name = "s3://BUCKET/PREFIX")]
    input: String,
    /// What is asked about each row: sentiment, language, entities, key_phrases, pii, redact, embed, labels, faces; or each image:
    /// labels, faces, image-text, moderation, bodies, classify-image; or either: endpoint:NAME, a hosted model (NAME/MODEL where
    /// an endpoint has many).
    #[arg(long, value_parser = task)]
    task: String,
    /// The column that it is about: texts, or the bytes of images. Without one the objects are images. Of endpoint:NAME: a column of
    /// a row, once for each, in the order in which the model takes them.
    #[arg(long, visible_alias = "column", value_name = "COLUMN")]
    text_column: Vec<String>,
    /// The folder that is written.
    #[arg(short, long, value_name = "s3://BUCKET/FOLDER")]
    output_folder: String,
    /// What is written; as the input when left out.
    #[arg(long, value_parser = FORMATS)]
    format: Option<String>,
    /// The texts' language; `auto` detects it for each.
    #[arg(long)]
    language: Option<String>,
    /// A name for the job.
    #[arg(long)]
    name: Option<String>,
    /// Jobs of higher priority go first.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// Show how far it is until it ends.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[cfg(feature = "sql")]
#[derive(Debug, Args)]
#[command(after_help = "Example:
  escala jobs copy \"COPY (SELECT id, sentiment(review) AS mood FROM 's3://lake/reviews/*.parquet')
      TO 's3://lake/moods.parquet'\" --watch

The object appears when all rows are in it. A job that the end of the server cut off runs its query again. The server must be
running; without one: `escala sql`.")]
pub struct CopyArgs {
    /// COPY (SELECT …) TO 's3://BUCKET/KEY' [STORED AS FORMAT].
    #[arg(value_name = "STATEMENT")]
    statement: String,
    /// Show how far it is until it ends.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct JobArgs {
    /// The job.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The jobs.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

fn path(id: &str) -> String {
    format!("{PATH}/{}", part(id))
}

pub fn run(config: &Config, command: Jobs) -> Result<(), Stop> {
    match command {
        Jobs::Score(args) => score(config, args),
        #[cfg(feature = "sql")]
        Jobs::Copy(args) => {
            let remote = args.server.remote(config)?;
            // Anything else would not answer with a job.
            let copies = escala_sql::copy::copying(&args.statement);
            let copies = copies.map_err(|error| Stop::Usage(error.strip_backtrace()))?;
            if copies.is_none() {
                let why = "this is not COPY (SELECT …) TO 's3://BUCKET/KEY'";
                return Err(Stop::Usage(why.to_owned()));
            }
            let job: JobView = remote.send("POST", "/v1/sql", &json!({"query": args.statement}))?;
            begun(&remote, &job, args.watch, args.output)
        }
        Jobs::List(args) => list(config, args),
        Jobs::Show(args) => {
            let job: JobView = args.server.remote(config)?.get(&path(&args.id))?;
            shown(&job, args.output)
        }
        Jobs::Watch(args) => watch(&args.server.remote(config)?, &args.id, args.output),
        Jobs::Logs(args) => {
            let remote = args.server.remote(config)?;
            let mut after = 0;
            loop {
                let events = events(&remote, &args.id, after)?;
                let Some(last) = events.last() else {
                    return Ok(());
                };
                after = last.number;
                for event in &events {
                    logged(event, args.output)?;
                }
            }
        }
        Jobs::Cancel(args) => cancel(config, args),
    }
}

fn events(remote: &Remote, id: &str, after: u64) -> Result<Vec<EventView>, Stop> {
    let parameters = [
        ("after", Some(after.to_string())),
        ("limit", Some(PAGE.to_string())),
    ];
    let path = with_query(&format!("{}/events", path(id)), &parameters);
    let events: EventsView = remote.get(&path)?;
    Ok(events.events)
}

fn logged(event: &EventView, output: Output) -> Result<(), Stop> {
    if output.json {
        return output::json(event);
    }
    let space = if event.text.is_empty() { "" } else { ": " };
    output::print(&format!(
        "{:.3} {}{space}{}\n",
        event.at, event.kind, event.text
    ))
}

/// One of the tasks of jobs, or a hosted model.
fn task(name: &str) -> Result<String, String> {
    match endpoint_of(name).is_some() || tasks().contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "there is no such task; there are {}, and {ENDPOINT}NAME for a hosted model",
            tasks().join(", ")
        )),
    }
}

fn score(config: &Config, args: ScoreArgs) -> Result<(), Stop> {
    let remote = args.server.remote(config)?;
    let (column, columns) = match args.text_column.len() {
        0 | 1 => (args.text_column.into_iter().next(), Vec::new()),
        _ => (None, args.text_column),
    };
    let request = ScoreRequest {
        task: args.task,
        column,
        columns,
        input: args.input,
        output: args.output_folder,
        format: args.format,
        language: args.language,
        name: args.name,
        priority: args.priority,
        token: None,
    };
    let job: JobView = remote.send("POST", PATH, &request)?;
    begun(&remote, &job, args.watch, args.output)
}

/// Names a new job, or watches it.
fn begun(remote: &Remote, job: &JobView, watched: bool, output: Output) -> Result<(), Stop> {
    match (watched, output.json) {
        (true, _) => watch(remote, &job.id, output),
        (false, true) => output::json(job),
        (false, false) => output::print(&format!("{}\n", job.id)),
    }
}

fn list(config: &Config, args: ListArgs) -> Result<(), Stop> {
    let remote = args.server.remote(config)?;
    let mut rows = vec![
        [
            "ID",
            "KIND",
            "NAME",
            "STATE",
            "DOCUMENTS",
            "DONE",
            "ERRORS",
            "DOCUMENTS/S",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    let mut after = None;
    loop {
        let parameters = [
            ("kind", args.kind.clone()),
            ("state", args.state.clone()),
            ("name", args.name.clone()),
            ("after", after),
        ];
        let page: JobsView = remote.get(&with_query(PATH, &parameters))?;
        if args.output.json {
            page.jobs.iter().try_for_each(output::json)?;
        } else {
            rows.extend(page.jobs.iter().map(row));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    match args.output.json {
        true => Ok(()),
        false => output::print(&table(&rows)),
    }
}

fn row(job: &JobView) -> Vec<String> {
    vec![
        job.id.clone(),
        job.kind.clone(),
        job.name.clone().unwrap_or_else(|| "-".to_owned()),
        job.state.clone(),
        // Nobody knows before how many rows a query has.
        match (job.documents, job.done) {
            (0, 1..) => "-".to_owned(),
            (documents, _) => documents.to_string(),
        },
        job.done.to_string(),
        job.errors.to_string(),
        format!("{:.1}", job.documents_per_second),
    ]
}

fn shown(job: &JobView, output: Output) -> Result<(), Stop> {
    if output.json {
        return output::json(job);
    }
    let line = |name: &str, value: String| vec![name.to_owned(), value];
    let state = match &job.reason {
        Some(reason) => format!("{}: {reason}", job.state),
        None => job.state.clone(),
    };
    let done = match (job.documents, job.done) {
        (0, 1..) => format!("{} so far, {} errors", job.done, job.errors),
        (documents, done) => format!("{done} of {documents}, {} errors", job.errors),
    };
    let mut lines = vec![
        line("id", job.id.clone()),
        line("kind", job.kind.clone()),
        line("state", state),
        line("input", job.input.clone()),
        line("output", job.output.clone()),
        line("documents", done),
        line("documents/s", format!("{:.1}", job.documents_per_second)),
        line("written", format!("{} bytes", job.cost.bytes_written)),
        line(
            "took",
            format!(
                "{:.1} s of answers, {} characters, {} units, {} tokens, {} pixels",
                job.cost.compute_seconds,
                job.cost.characters,
                job.cost.units,
                job.cost.tokens,
                job.cost.pixels
            ),
        ),
    ];
    if let Some(name) = &job.name {
        lines.insert(1, line("name", name.clone()));
    }
    if let (Some(dollars), Some(day)) = (job.cost.aws_dollars, &job.cost.aws_prices_of) {
        lines.push(line(
            "AWS's price",
            format!("{dollars:.4} USD by the list of {day}"),
        ));
    }
    for sample in &job.samples {
        let place = place(&job.kind, sample);
        lines.push(line("error", format!("{place}: {}", sample.message)));
    }
    output::print(&table(&lines))
}

/// Where a document without an answer is, for people, who count from 1. A row of a table may have many lines.
fn place(kind: &str, sample: &SampleView) -> String {
    let unit = match kind.starts_with("score.") {
        true => "row",
        false => "line",
    };
    match sample.line {
        Some(number) => format!("{}, {unit} {}", sample.file, number.saturating_add(1)),
        None => sample.file.clone(),
    }
}

/// How far a job is, in a line.
fn message(job: &JobView) -> String {
    let mut message = format!("{}, {:.1}/s", job.state, job.documents_per_second);
    if job.documents == 0 && job.done > 0 {
        let (rows, bytes) = (job.done, job.cost.bytes_written);
        message.push_str(&format!(", {rows} rows, {bytes} bytes"));
    }
    if job.errors > 0 {
        message.push_str(&format!(", {} errors", job.errors));
    }
    if let Some(left) = job.seconds_left {
        message.push_str(&format!(", {left:.0} s left"));
    }
    message
}

/// Shows a bar, or a line of JSON for each change, until the job ends; one that failed is an error.
fn watch(remote: &Remote, id: &str, output: Output) -> Result<(), Stop> {
    let bar = match output.json {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(0),
    };
    let template = "{msg} {wide_bar} {human_pos}/{human_len}";
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.map_err(|error| Stop::failed(&error))?);
    let mut last = json!(null);
    loop {
        let job: JobView = remote.get(&path(id))?;
        // Rows of a query are counted, and nobody knows how many come.
        bar.set_length(job.documents.max(job.done));
        bar.set_position(job.done);
        bar.set_message(message(&job));
        let line = json!({"state": job.state, "done": job.done, "documents": job.documents, "errors": job.errors});
        if output.json && line != last {
            output::json(&line)?;
            last = line;
        }
        match job.state.as_str() {
            "completed" | "stopped" => {
                bar.finish_and_clear();
                return match output.json {
                    true => Ok(()),
                    false => shown(&job, output),
                };
            }
            "failed" => {
                bar.finish_and_clear();
                let why = job.reason.unwrap_or_default();
                return Err(Stop::Failed(format!("the job failed: {why}")));
            }
            _ => std::thread::sleep(LOOK),
        }
    }
}

fn cancel(config: &Config, args: CancelArgs) -> Result<(), Stop> {
    let remote = args.server.remote(config)?;
    let mut faults = super::predict::Faults::default();
    for id in &args.ids {
        let path = format!("{}/cancel", path(id));
        match remote.send::<JobView>("POST", &path, &json!({})) {
            Err(Stop::Failed(message)) => faults.report(id, &message, args.output)?,
            Err(stop) => return Err(stop),
            Ok(job) if args.output.json => {
                output::json(&json!({"id": job.id, "state": job.state}))?;
            }
            Ok(job) => output::print(&format!("{}: {}\n", job.id, job.state))?,
        }
    }
    faults.end()
}
