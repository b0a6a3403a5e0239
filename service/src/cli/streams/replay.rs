//! `escala streams replay`: a past range of a flow's records, predicted again here and compared with what the flow wrote.
//!
//! The server gives the records and the answers; the predictions are made in this process, with whatever model its settings
//! name. Nothing is written.

use super::super::output::{self, short, table};
use super::super::remote::{Remote, Server, part, with_query};
use super::super::{Output, Stop};
use super::path;
use crate::config::Config;
use crate::failure::chain;
use crate::flows::differences::Differences;
use crate::flows::{Asker, task_of};
use crate::machine::Machine;
use crate::ready::Readiness;
use crate::rest::streams::StreamView;
use crate::rest::topics::{RecordsAnswer, TopicView};
use clap::Args;
use escala_stream_ingest::flow::{self, Input, Model, Predictor, Question};
use escala_weights::Terminal;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Records that are asked for, and predicted, at once.
const PAGE: usize = 500;
/// Most examples of changes that are kept.
const EXAMPLES: usize = 100;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala streams replay sentiment-of-reviews --model sentiment=my-folder
  escala streams replay sentiment-of-reviews --partition 0 --offset 1000 --limit 500 --json

The server must be running; this process predicts the records again, with the models of its own settings.")]
pub struct ReplayArgs {
    /// The flow.
    #[arg(value_name = "NAME")]
    name: String,
    /// One partition; all when left out.
    #[arg(long)]
    partition: Option<u32>,
    /// Begin with this offset, in each partition; the first that is there when left out.
    #[arg(long, conflicts_with = "since")]
    offset: Option<i64>,
    /// Begin with the first record of this time or a later one, in milliseconds since 1970.
    #[arg(long, value_name = "MILLISECONDS")]
    since: Option<i64>,
    /// Most records of each partition.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    limit: u64,
    /// Examples of changes that are printed.
    #[arg(long, default_value_t = 10)]
    examples: usize,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

/// What a flow wrote about a record.
struct Said {
    prediction: Value,
    model: Option<Model>,
}

pub fn run(config: &Config, args: ReplayArgs) -> Result<(), Stop> {
    let remote = args.server.remote(config)?;
    let flow: StreamView = remote.get(&path(&args.name))?;
    if let Some(brokers) = &flow.brokers {
        return Err(Stop::Failed(format!(
            "{} works on Kafka at {brokers}; past records are predicted again from the server's own log alone",
            flow.name
        )));
    }
    let question = Question {
        task: flow.task.clone(),
        language: flow.language.clone(),
    };
    let machine = Arc::new(Machine::for_commands(config)?);
    let task = task_of(&question).map_err(Stop::Failed)?;
    machine
        .warm_named(task, &Terminal::new())
        .map_err(|error| Stop::failed(&error))?;
    let app = machine.app(config.clone(), Arc::new(Readiness::new([])));
    let asker = Asker::new(app, machine.clone());
    let takes = asker.takes(&question).map_err(Stop::Failed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Stop::failed(&error))?;
    let mut found = Differences::new(args.examples.min(EXAMPLES));
    let mut before: BTreeMap<(String, String), u64> = BTreeMap::new();
    for lag in &flow.partitions {
        if args.partition.is_some_and(|wanted| wanted != lag.partition) {
            continue;
        }
        let mut records = Pages::new(&remote, &flow.from, lag.partition, args.begin());
        let mut left = args.limit as usize;
        let bar = bar(lag.partition, args.limit.min(lag.end.max(0) as u64));
        let mut page = records.next(left.min(PAGE))?;
        let first = page.as_ref().and_then(|page| Some(page.first()?.0));
        let Some(first) = first else {
            continue;
        };
        let range = first..first.saturating_add(args.limit as i64);
        let mut said = answers(&remote, &flow, lag.partition, range)?;
        while let Some(now) = page {
            left -= now.len();
            let mut asked = Vec::new();
            let mut inputs = Vec::new();
            for (offset, value) in now {
                let input =
                    value.and_then(|value| Input::of(&value, takes, flow.field.as_deref()).ok());
                asked.push((offset, input.is_some()));
                inputs.extend(input);
            }
            let answers = runtime.block_on(asker.predict(&question, inputs));
            let mut answers = answers.into_iter();
            for (offset, has) in asked {
                let answer = answers_of(has, &mut answers)?;
                let was = said.remove(&offset);
                if let Some(model) = was.as_ref().and_then(|said| said.model.clone()) {
                    let digest = model.digest.unwrap_or_default();
                    *before.entry((model.name, digest)).or_default() += 1;
                }
                let place = (lag.partition, offset);
                found.add(
                    place,
                    was.as_ref().map(|said| &said.prediction),
                    answer.as_ref(),
                );
                bar.inc(1);
            }
            page = match left {
                0 => None,
                left => records.next(left.min(PAGE))?,
            };
        }
        bar.finish_and_clear();
    }
    report(&args, &flow, &found, before, asker.model(&question))
}

/// The answer to a record that could be asked about; none where the model has none.
fn answers_of(
    has: bool,
    answers: &mut impl Iterator<Item = flow::Answer>,
) -> Result<Option<Value>, Stop> {
    if !has {
        return Ok(None);
    }
    match answers.next() {
        Some(Ok(answer)) => {
            let parsed = serde_json::from_str(answer.get());
            parsed.map(Some).map_err(|error| Stop::failed(&error))
        }
        Some(Err(failed)) if failed.fault == flow::Fault::Record => Ok(None),
        Some(Err(failed)) => Err(Stop::Failed(failed.message)),
        None => Err(Stop::Failed("the prediction has no answer".to_owned())),
    }
}

impl ReplayArgs {
    fn begin(&self) -> [(&'static str, Option<String>); 2] {
        [
            ("offset", self.offset.map(|offset| offset.to_string())),
            ("from_time", self.since.map(|since| since.to_string())),
        ]
    }
}

fn bar(partition: u32, records: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} records, {per_sec}");
    let bar = ProgressBar::new(records).with_prefix(format!("partition {partition}"));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Records of a partition, page by page.
struct Pages<'a> {
    remote: &'a Remote,
    target: String,
    partition: u32,
    start: [(&'static str, Option<String>); 2],
    ended: bool,
}

type Page = Vec<(i64, Option<bytes::Bytes>)>;

impl<'a> Pages<'a> {
    fn new(
        remote: &'a Remote,
        topic: &str,
        partition: u32,
        start: [(&'static str, Option<String>); 2],
    ) -> Self {
        Self {
            remote,
            target: format!("/v1/topics/{}/records", part(topic)),
            partition,
            start,
            ended: false,
        }
    }

    fn answer(&mut self, most: usize) -> Result<Option<RecordsAnswer>, Stop> {
        if self.ended {
            return Ok(None);
        }
        let [offset, from] = self.start.clone();
        let partition = ("partition", Some(self.partition.to_string()));
        let limit = ("limit", Some(most.to_string()));
        let asked = with_query(&self.target, &[partition, offset, from, limit]);
        let answer: RecordsAnswer = self.remote.get(&asked)?;
        self.start = [("offset", Some(answer.next.clone())), ("from_time", None)];
        let mut partitions = answer.partitions.iter();
        self.ended = partitions.all(|read| read.next_offset >= read.end_offset);
        Ok((!answer.records.is_empty()).then_some(answer))
    }

    fn next(&mut self, most: usize) -> Result<Option<Page>, Stop> {
        let Some(answer) = self.answer(most)? else {
            return Ok(None);
        };
        let mut page = Vec::with_capacity(answer.records.len());
        for record in answer.records {
            let offset = record.offset;
            let (_, value) = record
                .bytes()
                .map_err(|error| Stop::Failed(chain(&error)))?;
            page.push((offset, value));
        }
        Ok(Some(page))
    }
}

/// What a flow wrote about the records of one partition with these offsets: the last it said of each.
fn answers(
    remote: &Remote,
    flow: &StreamView,
    partition: u32,
    range: Range<i64>,
) -> Result<BTreeMap<i64, Said>, Stop> {
    let topic: TopicView = remote.get(&format!("/v1/topics/{}", part(&flow.to)))?;
    let written = partition % (topic.partitions.len() as u32).max(1);
    let begin = [("offset", None), ("from_time", None)];
    let mut pages = Pages::new(remote, &flow.to, written, begin);
    let mut said = BTreeMap::new();
    while let Some(answer) = pages.answer(PAGE)? {
        for record in answer.records {
            let header = |name: &str| {
                let found = record.headers.iter().find(|header| header.name == name);
                found.and_then(|header| header.value.as_deref())
            };
            let ours = header(flow::FLOW) == Some(&flow.name)
                && header(flow::TOPIC) == Some(&flow.from)
                && header(flow::PARTITION) == Some(&partition.to_string());
            let offset = header(flow::OFFSET).and_then(|offset| offset.parse().ok());
            let offset = offset.filter(|offset| ours && range.contains(offset));
            let value = record.value.as_deref().map(serde_json::from_str::<Value>);
            if let (Some(offset), Some(Ok(mut value))) = (offset, value) {
                let text = |value: &Value| value.as_str().map(str::to_owned);
                let model = text(&value["model"]).map(|name| Model {
                    name,
                    digest: text(&value["digest"]),
                });
                let prediction = value["prediction"].take();
                said.insert(offset, Said { prediction, model });
            }
        }
    }
    Ok(said)
}

fn report(
    args: &ReplayArgs,
    flow: &StreamView,
    found: &Differences,
    before: BTreeMap<(String, String), u64>,
    after: Option<Model>,
) -> Result<(), Stop> {
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    let mean = found.mean_shift().map(rounded);
    let before: Vec<Value> = before
        .into_iter()
        .map(|((name, digest), records)| json!({ "model": name, "digest": digest, "records": records }))
        .collect();
    let after = after.map(|model| json!({ "model": model.name, "digest": model.digest }));
    if args.output.json {
        return output::json(&json!({
            "name": flow.name, "task": flow.task, "before": before, "after": after,
            "compared": found.compared, "changed": found.changed,
            "lost": found.lost, "gained": found.gained,
            "flips": found.flips(), "mean_shift": mean, "farthest": found.farthest(),
            "examples": found.examples,
        }));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let model = |value: &Value| format!("{} {}", text(&value["model"]), text(&value["digest"]));
    let line = |name: &str, value: String| vec![name.to_owned(), value];
    let mut lines: Vec<Vec<String>> = Vec::new();
    for value in &before {
        lines.push(line(
            "before",
            format!("{}, {} records", model(value), value["records"]),
        ));
    }
    lines.extend(after.iter().map(|value| line("after", model(value))));
    lines.push(line("compared", found.compared.to_string()));
    let share = 100.0 * found.changed as f64 / (found.compared.max(1)) as f64;
    lines.push(line("changed", format!("{} ({share:.2} %)", found.changed)));
    lines.push(line("answered only before", found.lost.to_string()));
    lines.push(line("answered only now", found.gained.to_string()));
    if let Some(mean) = mean {
        lines.push(line("mean shift of numbers", mean.to_string()));
    }
    if let Some(far) = found.farthest() {
        let (before, after) = (rounded(far.before), rounded(far.after));
        let place = format!(
            "partition {}, offset {}, {}",
            far.partition, far.offset, far.member
        );
        lines.push(line(
            "largest shift",
            format!("{before} to {after} ({place})"),
        ));
    }
    output::print(&table(&lines))?;
    let flips = found.flips();
    if !flips.is_empty() {
        let mut rows = vec![["BEFORE", "AFTER", "RECORDS"].map(str::to_owned).to_vec()];
        rows.extend(
            flips
                .into_iter()
                .map(|flip| vec![flip.before, flip.after, flip.records.to_string()]),
        );
        output::print(&format!("\n{}", table(&rows)))?;
    }
    if !found.examples.is_empty() {
        let head = ["PARTITION", "OFFSET", "BEFORE", "AFTER"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(found.examples.iter().map(|change| {
            vec![
                change.partition.to_string(),
                change.offset.to_string(),
                short(&change.before, 50),
                short(&change.after, 50),
            ]
        }));
        output::print(&format!("\n{}", table(&rows)))?;
    }
    Ok(())
}
