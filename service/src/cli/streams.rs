//! `escala streams …`: flows of a running server, which predict from topic to topic.

mod replay;

use super::output::{self, table};
use super::remote::{Remote, Server, part};
use super::{Output, Stop};
use crate::config::Config;
use crate::flows;
use crate::rest::streams::{
    GuaranteeView, ResetRequest, StartView, StreamRequest, StreamView, StreamsView,
};
use clap::{Args, Subcommand};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub enum Streams {
    /// Make a flow: it reads a topic, predicts, and writes to another.
    Create(CreateArgs),
    /// List the flows.
    List(AllArgs),
    /// Say what a flow is, what it does and where it stands.
    Describe(NamedArgs),
    /// Let flows rest.
    Pause(NamesArgs),
    /// Let flows go on.
    Resume(NamesArgs),
    /// Put a flow somewhere else.
    Reset(ResetArgs),
    /// Predict past records again, with the models of these settings, and compare. Nothing is written.
    Replay(replay::ReplayArgs),
    /// Delete flows; their topics stay.
    Delete(NamesArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala streams create sentiment-of-reviews --from reviews --to reviews.sentiment --task sentiment --field text
  escala streams create photos --from photos --to photos.labels --task labels
  escala streams create mail --from mail --to mail.pii --task pii --language auto --start latest

The server must be running. The topic that is read must be there; those that are written are made.
What cannot be predicted goes to the dead letters (<to>.dead-letters), with its reason in the headers.
They keep what they have as long as the topic that is read does.
A flow with --brokers works on another Kafka (in builds with the feature `kafka`).
What it takes to be let in there (TLS, a name, a password) is in the server's setting `kafka.external`.")]
pub struct CreateArgs {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Where the Kafka is whose topics these are, `host:port` and more after commas; the server's own log when left out.
    #[arg(long, value_name = "BROKERS")]
    brokers: Option<String>,
    /// The topic that it reads.
    #[arg(long, value_name = "TOPIC")]
    from: String,
    /// The topic that it writes.
    #[arg(long, value_name = "TOPIC")]
    to: String,
    /// What it asks: language, entities, key-phrases, syntax, pii, sentiment, targeted-sentiment, toxicity, classify, embeddings,
    /// labels, faces, image-text, moderation, bodies, classify-image; or endpoint:NAME, a hosted model, of which records are rows
    /// (a line of CSV or a JSON value).
    #[arg(long, value_parser = flows::task)]
    task: String,
    /// Where in a record's JSON the text or the base64 image is: a member's name or a JSON pointer. The whole value is
    /// the text or the image when left out.
    #[arg(long, visible_alias = "text-field", value_name = "FIELD")]
    field: Option<String>,
    /// The language of texts, `en` when left out; `auto` detects it for each text.
    #[arg(long)]
    language: Option<String>,
    /// The topic of what cannot be predicted.
    #[arg(long, value_name = "TOPIC")]
    dead_letters: Option<String>,
    /// How often an answer may be written.
    #[arg(long, value_enum, default_value_t)]
    guarantee: GuaranteeView,
    /// Where it begins.
    #[arg(long, value_enum, default_value_t)]
    start: StartView,
    /// Do not begin yet.
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct AllArgs {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct NamedArgs {
    /// The flow.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct NamesArgs {
    /// The flows.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala streams reset sentiment-of-reviews --to earliest
  escala streams reset sentiment-of-reviews --offset 1000 --partition 0

Answers of records that it meets again are written again.")]
pub struct ResetArgs {
    /// The flow.
    #[arg(value_name = "NAME")]
    name: String,
    /// To the first record that is there, or after the last.
    #[arg(long, value_enum, required_unless_present_any = ["offset", "time"], conflicts_with_all = ["offset", "time"])]
    to: Option<StartView>,
    /// To an offset.
    #[arg(long, conflicts_with = "time")]
    offset: Option<i64>,
    /// To the first record with this time or a later one, in milliseconds since 1970.
    #[arg(long, value_name = "MILLISECONDS")]
    time: Option<i64>,
    /// One partition; all when left out.
    #[arg(long)]
    partition: Option<u32>,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

const PATH: &str = "/v1/streams";

fn path(name: &str) -> String {
    format!("{PATH}/{}", part(name))
}

pub fn run(config: &Config, command: Streams) -> Result<(), Stop> {
    match command {
        Streams::Create(args) => create(config, args),
        Streams::List(args) => {
            let all: StreamsView = args.server.remote(config)?.get(PATH)?;
            match args.output.json {
                true => all.streams.iter().try_for_each(output::json),
                false => output::print(&table(&rows(&all.streams))),
            }
        }
        Streams::Describe(args) => {
            let flow: StreamView = args.server.remote(config)?.get(&path(&args.name))?;
            described(&flow, args.output)
        }
        Streams::Pause(args) => each(config, args, |remote, name| change(remote, name, "pause")),
        Streams::Resume(args) => each(config, args, |remote, name| change(remote, name, "resume")),
        Streams::Reset(args) => {
            let wanted = ResetRequest {
                partition: args.partition,
                to: args.to,
                offset: args.offset,
                time: args.time,
            };
            let remote = args.server.remote(config)?;
            let path = format!("{}/reset", path(&args.name));
            let flow: StreamView = remote.send("POST", &path, &wanted)?;
            described(&flow, args.output)
        }
        Streams::Replay(args) => replay::run(config, args),
        Streams::Delete(args) => each(config, args, |remote, name| {
            remote.delete(&path(name))?;
            Ok("deleted".to_owned())
        }),
    }
}

fn create(config: &Config, args: CreateArgs) -> Result<(), Stop> {
    let wanted = StreamRequest {
        name: args.name,
        brokers: args.brokers,
        from: args.from,
        to: args.to,
        dead_letters: args.dead_letters,
        task: args.task,
        language: args.language,
        field: args.field,
        guarantee: args.guarantee,
        start: args.start,
        paused: args.paused,
    };
    let flow: StreamView = args.server.remote(config)?.send("POST", PATH, &wanted)?;
    described(&flow, args.output)
}

fn change(remote: &Remote, name: &str, verb: &str) -> Result<String, Stop> {
    let path = format!("{}/{verb}", path(name));
    let flow: StreamView = remote.send("POST", &path, &json!({}))?;
    Ok(flow.state)
}

/// Does `work` for each, goes on when one fails, and reports each.
fn each(
    config: &Config,
    args: NamesArgs,
    work: impl Fn(&Remote, &str) -> Result<String, Stop>,
) -> Result<(), Stop> {
    let remote = args.server.remote(config)?;
    let mut faults = super::predict::Faults::default();
    for name in &args.names {
        match work(&remote, name) {
            Err(Stop::Failed(message)) => faults.report(name, &message, args.output)?,
            Err(stop) => return Err(stop),
            Ok(status) if args.output.json => {
                output::json(&json!({ "name": name, "status": status }))?;
            }
            Ok(status) => output::print(&format!("{name}: {status}\n"))?,
        }
    }
    faults.end()
}

fn rows(flows: &[StreamView]) -> Vec<Vec<String>> {
    let elsewhere = flows.iter().any(|flow| flow.brokers.is_some());
    let mut head = vec![
        "NAME",
        "STATE",
        "TASK",
        "FROM",
        "TO",
        "LAG",
        "RECORDS/S",
        "ANSWERS",
        "DEAD",
    ];
    if elsewhere {
        head.push("BROKERS");
    }
    let row = |flow: &StreamView| {
        let mut row = vec![
            flow.name.clone(),
            flow.state.clone(),
            flow.task.clone(),
            flow.from.clone(),
            flow.to.clone(),
            flow.lag.to_string(),
            format!("{:.1}", flow.records_per_second),
            flow.answers.to_string(),
            flow.dead.to_string(),
        ];
        if elsewhere {
            row.push(flow.brokers.clone().unwrap_or_else(|| "-".to_owned()));
        }
        row
    };
    let head = head.into_iter().map(str::to_owned).collect();
    std::iter::once(head).chain(flows.iter().map(row)).collect()
}

fn described(flow: &StreamView, output: Output) -> Result<(), Stop> {
    if output.json {
        return output::json(flow);
    }
    let state = match &flow.reason {
        Some(reason) => format!("{}: {reason}", flow.state),
        None => flow.state.clone(),
    };
    let mut asks = flow.task.clone();
    if let Some(language) = &flow.language {
        asks.push_str(&format!(", language {language}"));
    }
    if let Some(field) = &flow.field {
        asks.push_str(&format!(", of {field}"));
    }
    let model = match (&flow.model, &flow.digest) {
        (Some(model), Some(digest)) => format!("{model} {digest}"),
        (Some(model), None) => model.clone(),
        (None, _) => "none".to_owned(),
    };
    let line = |name: &str, value: String| vec![name.to_owned(), value];
    let mut lines = vec![
        line("name", flow.name.clone()),
        line("state", state),
        line("asks", asks),
        line("model", model),
        line(
            "brokers",
            flow.brokers
                .clone()
                .unwrap_or_else(|| "its own log".to_owned()),
        ),
        line("from", flow.from.clone()),
        line("to", flow.to.clone()),
        line("dead letters", flow.dead_letters.clone()),
        line("lag", flow.lag.to_string()),
        line("records/s", format!("{:.1}", flow.records_per_second)),
        line(
            "since the start",
            format!(
                "{} records, {} answers, {} dead letters, {} asked again, {} missed",
                flow.records, flow.answers, flow.dead, flow.retried, flow.missed
            ),
        ),
    ];
    if let Some(warning) = &flow.warning {
        lines.push(line("warning", warning.clone()));
    }
    let mut partitions = vec![
        ["PARTITION", "POSITION", "END", "LAG"]
            .map(str::to_owned)
            .to_vec(),
    ];
    partitions.extend(flow.partitions.iter().map(|lag| {
        vec![
            lag.partition.to_string(),
            lag.position.to_string(),
            lag.end.to_string(),
            lag.lag.to_string(),
        ]
    }));
    output::print(&format!("{}\n{}", table(&lines), table(&partitions)))
}
