//! `escala topics …`: topics of the event log, asked of the server that has it.

use super::output::{self, bytes, table};
use super::remote::{Event, Remote, Sent, Server, part, with_query};
use super::{Output, Stop};
use crate::config::Config;
use crate::config::units::Span;
use crate::rest::topics::{
    GroupView, GroupsAnswer, PlacesAnswer, RecordsAnswer, TopicLine, TopicView, TopicsAnswer,
};
use crate::topics::produce::MOST_RECORDS;
use crate::topics::record::RecordView;
use clap::{Args, Subcommand};
use escala_stream_ingest::log::now;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of lines that are sent together, if so many are there at once.
const GROUP: usize = 1 << 20;
/// Most bytes of a line.
const LONGEST_LINE: u64 = 64 << 20;
/// Records that are asked for at once.
const PAGE: u64 = 10_000;

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  escala topics create reviews --partitions 3 --topic-config retention.ms=86400000
  escala topics produce reviews reviews.jsonl
  escala topics consume reviews --limit 10
  escala topics tail reviews
  escala topics lag

A server must be running (`escala serve`): its address is the setting `listen`, or --server.")]
pub enum Topics {
    /// Make topics.
    #[command(
        after_help = "Example:\n  escala topics create reviews --partitions 3 --topic-config retention.ms=86400000"
    )]
    Create(CreateArgs),
    /// List the topics there are.
    List(Plain),
    /// Show a topic: its partitions, where they begin and end, and its settings.
    Describe(One),
    /// Delete topics with all their records.
    Delete(Names),
    /// Write lines as records; they are on the disk when the command ends.
    #[command(after_help = "Examples:
  escala topics produce reviews reviews.jsonl
  printf 'ada:first\\nada:second\\n' | escala topics produce notes --key-separator :")]
    Produce(ProduceArgs),
    /// Print the records that are there.
    #[command(after_help = "Examples:
  escala topics consume reviews
  escala topics consume reviews --partition 0 --offset 100 --limit 10 --json")]
    Consume(ConsumeArgs),
    /// Print records as they come, until Ctrl-C.
    #[command(after_help = "Examples:
  escala topics tail reviews
  escala topics tail reviews --from-beginning --json | jq .value")]
    Tail(TailArgs),
    /// Show how far behind groups are.
    Lag(LagArgs),
}

#[derive(Debug, Args)]
pub struct Plain {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct One {
    /// The topic.
    #[arg(value_name = "TOPIC")]
    topic: String,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct Names {
    /// Topics.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    names: Names,
    /// Partitions; the server's setting `kafka.partitions` when it is not said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    partitions: Option<u32>,
    /// A setting under Kafka's name; may be given several times.
    #[arg(long = "topic-config", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it wants NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[derive(Debug, Args)]
pub struct ProduceArgs {
    /// The topic.
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// Files, or `-` for standard input, which is read when there are none.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What stands between the key and the value of a line; a line without it has no key.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// The key of all records.
    #[arg(long, value_name = "TEXT", conflicts_with = "key_separator")]
    key: Option<String>,
    /// The partition of all records, whatever their keys say.
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct Shape {
    /// Print the key and this before each value.
    #[arg(long, value_name = "TEXT", conflicts_with = "json")]
    key_separator: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct ConsumeArgs {
    /// The topic.
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// One partition; without it all.
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Begin with the first record that is there, as when nothing is said.
    #[arg(long, conflicts_with_all = ["offset", "since"])]
    from_beginning: bool,
    /// Begin there: the offset of a record of the partition, or `earliest`.
    #[arg(long, value_name = "OFFSET", conflicts_with = "since")]
    offset: Option<String>,
    /// Begin with the first record that is not older than this, such as `15m`.
    #[arg(long, value_name = "TIME")]
    since: Option<Span>,
    /// Most records.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub struct TailArgs {
    /// The topic.
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// One partition; without it all.
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Print what is there before what comes.
    #[arg(long, conflicts_with_all = ["offset", "since"])]
    from_beginning: bool,
    /// Begin there: the offset of a record of the partition, or `earliest`.
    #[arg(long, value_name = "OFFSET", conflicts_with = "since")]
    offset: Option<String>,
    /// Begin with the first record that is not older than this, such as `15m`.
    #[arg(long, value_name = "TIME")]
    since: Option<Span>,
    /// End after so many records.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub struct LagArgs {
    /// Groups; all when none is named.
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

pub fn run(config: &Config, command: Topics) -> Result<(), Stop> {
    match command {
        Topics::Create(args) => create(config, args),
        Topics::List(args) => list(config, args),
        Topics::Describe(args) => describe(config, args),
        Topics::Delete(names) => each(config, &names, "deleted", |remote, topic| {
            remote.delete(&path(topic))
        }),
        Topics::Produce(args) => produce(config, args),
        Topics::Consume(args) => consume(config, args),
        Topics::Tail(args) => tail(config, args),
        Topics::Lag(args) => lag(config, args),
    }
}

fn path(topic: &str) -> String {
    format!("/v1/topics/{}", part(topic))
}

/// Does `work` for each topic, goes on when one fails, and reports each.
fn each(
    config: &Config,
    names: &Names,
    done: &str,
    work: impl Fn(&Remote, &str) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let remote = names.server.remote(config)?;
    let mut failed = false;
    for topic in &names.topics {
        match work(&remote, topic) {
            Ok(()) if names.output.json => {
                output::json(&json!({ "topic": topic, "status": done }))?;
            }
            Ok(()) => output::print(&format!("{topic}: {done}\n"))?,
            Err(Stop::Failed(message)) => {
                failed = true;
                match names.output.json {
                    true => output::json(&json!({ "topic": topic, "error": message }))?,
                    false => note!("{topic}: {message}"),
                }
            }
            Err(stop) => return Err(stop),
        }
    }
    match failed {
        true => Err(Stop::Silent),
        false => Ok(()),
    }
}

fn create(config: &Config, args: CreateArgs) -> Result<(), Stop> {
    let settings: BTreeMap<&str, &str> = args
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    each(config, &args.names, "created", |remote, topic| {
        let mut body = json!({ "name": topic, "config": settings });
        if let Some(partitions) = args.partitions {
            body["partitions"] = partitions.into();
        }
        remote.send::<Value>("POST", "/v1/topics", &body).map(drop)
    })
}

fn list(config: &Config, args: Plain) -> Result<(), Stop> {
    let answer: TopicsAnswer = args.server.remote(config)?.get("/v1/topics")?;
    if args.output.json {
        return answer.topics.iter().try_for_each(output::json);
    }
    let head = ["TOPIC", "PARTITIONS", "SIZE"].map(str::to_owned).to_vec();
    let row = |topic: TopicLine| vec![topic.name, topic.partitions.to_string(), bytes(topic.bytes)];
    let rows: Vec<_> = std::iter::once(head)
        .chain(answer.topics.into_iter().map(row))
        .collect();
    output::print(&table(&rows))
}

fn describe(config: &Config, args: One) -> Result<(), Stop> {
    let topic: TopicView = args.server.remote(config)?.get(&path(&args.topic))?;
    if args.output.json {
        return output::json(&topic);
    }
    let head = ["PARTITION", "FIRST", "NEXT", "SIZE", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(topic.partitions.iter().map(|partition| {
        vec![
            partition.partition.to_string(),
            partition.first_offset.to_string(),
            partition.next_offset.to_string(),
            bytes(partition.bytes),
            partition.damage.clone().unwrap_or_default(),
        ]
    }));
    let set: Vec<Vec<String>> = topic
        .config
        .iter()
        .map(|(name, value)| {
            let origin = if topic.set.contains(name) { "set" } else { "" };
            vec![name.clone(), value.clone(), origin.to_owned()]
        })
        .collect();
    output::print(&format!(
        "{} ({})\n\n{}\n{}",
        topic.name,
        topic.id,
        table(&rows),
        table(&set)
    ))
}

/// What was written.
#[derive(Default)]
struct Written {
    records: u64,
    /// The first and the last offset of each partition.
    partitions: BTreeMap<u32, (i64, i64)>,
}

fn produce(config: &Config, args: ProduceArgs) -> Result<(), Stop> {
    let remote = args.server.remote(config)?;
    let target = with_query(
        &format!("{}/records", path(&args.topic)),
        &[
            ("key", args.key.clone()),
            ("key_separator", args.key_separator.clone()),
            (
                "partition",
                args.partition.map(|partition| partition.to_string()),
            ),
        ],
    );
    let mut written = Written::default();
    let files = match args.files.is_empty() {
        true => vec![PathBuf::from("-")],
        false => args.files.clone(),
    };
    let ended = files.iter().try_for_each(|file| {
        let input: Box<dyn Read> = match file.as_os_str() == "-" {
            true => Box::new(std::io::stdin()),
            false => Box::new(File::open(file).map_err(|error| unread(file, &error))?),
        };
        lines(BufReader::with_capacity(GROUP, input), file, |lines| {
            let sent = Sent::Bytes("text/plain", lines);
            let answer: PlacesAnswer = remote.ask("POST", &target, sent)?;
            written.add(&answer);
            Ok(())
        })
    });
    // Also what was written before something failed.
    written.tell(&args)?;
    ended
}

fn unread(file: &Path, error: &std::io::Error) -> Stop {
    Stop::Failed(format!("cannot read {}: {error}", file.display()))
}

/// The lines of a file, as many at a time as are there without waiting.
fn lines(
    mut input: BufReader<impl Read>,
    file: &Path,
    mut send: impl FnMut(&[u8]) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let (mut group, mut count) = (Vec::new(), 0);
    loop {
        let before = group.len();
        let mut limited = Read::take(&mut input, LONGEST_LINE);
        let read = limited.read_until(b'\n', &mut group);
        let read = read.map_err(|error| unread(file, &error))?;
        let ended = read == 0;
        if !ended {
            count += 1;
            if group.last() != Some(&b'\n') {
                if (group.len() - before) as u64 == LONGEST_LINE {
                    let why = "a line is longer than 64 MiB";
                    return Err(Stop::Failed(format!("{}: {why}", file.display())));
                }
                // The last line of a file needs no end, and the next file's first one begins anew.
                group.push(b'\n');
            }
        }
        let full = group.len() >= GROUP || count == MOST_RECORDS;
        // The next line may be long in coming.
        let more = input.buffer().contains(&b'\n');
        if !group.is_empty() && (ended || full || !more) {
            send(&group)?;
            group.clear();
            count = 0;
        }
        if ended {
            return Ok(());
        }
    }
}

impl Written {
    fn add(&mut self, answer: &PlacesAnswer) {
        for place in &answer.records {
            self.records += 1;
            let extent = self.partitions.entry(place.partition);
            let (first, last) = extent.or_insert((place.offset, place.offset));
            *first = (*first).min(place.offset);
            *last = (*last).max(place.offset);
        }
    }

    fn tell(&self, args: &ProduceArgs) -> Result<(), Stop> {
        #[derive(Serialize)]
        struct Extent {
            partition: u32,
            first_offset: i64,
            last_offset: i64,
        }
        if args.output.json {
            let partitions = self.partitions.iter();
            let partitions = partitions.map(|(partition, (first, last))| Extent {
                partition: *partition,
                first_offset: *first,
                last_offset: *last,
            });
            let partitions: Vec<Extent> = partitions.collect();
            return output::json(&json!({
                "topic": args.topic, "records": self.records, "partitions": partitions,
            }));
        }
        let partitions = self.partitions.iter();
        let partitions = partitions.map(|(partition, (first, last))| {
            format!("; partition {partition}: {first} to {last}")
        });
        note!(
            "{} in {}{}",
            counted(self.records),
            args.topic,
            partitions.collect::<String>()
        );
        Ok(())
    }
}

fn counted(records: u64) -> String {
    match records {
        1 => "1 record".to_owned(),
        records => format!("{records} records"),
    }
}

/// Where a command begins to read, as parameters.
fn begin(
    from_beginning: bool,
    offset: Option<String>,
    since: Option<Span>,
    otherwise: &str,
) -> [(&'static str, Option<String>); 2] {
    let from = since.map(|span| {
        let span = i64::try_from(span.get().as_millis()).unwrap_or(i64::MAX);
        now().saturating_sub(span).to_string()
    });
    let offset = match (&from, offset) {
        (Some(_), _) => None,
        (None, Some(offset)) => Some(offset),
        (None, None) if from_beginning => Some("earliest".to_owned()),
        (None, None) => Some(otherwise.to_owned()),
    };
    [("offset", offset), ("from_time", from)]
}

impl Shape {
    /// Prints a record: whole as JSON, or its value on a line.
    fn print(&self, record: RecordView) -> Result<(), Stop> {
        if self.output.json {
            return output::json(&record);
        }
        let (key, value) = record.bytes().map_err(|error| Stop::failed(&error))?;
        let mut line = Vec::new();
        if let Some(separator) = &self.key_separator {
            line.extend_from_slice(&key.unwrap_or_default());
            line.extend_from_slice(separator.as_bytes());
        }
        line.extend_from_slice(&value.unwrap_or_default());
        line.push(b'\n');
        output::print_bytes(&line)
    }
}

fn consume(config: &Config, args: ConsumeArgs) -> Result<(), Stop> {
    let remote = args.server.remote(config)?;
    let target = format!("{}/records", path(&args.topic));
    let partition = args.partition.map(|partition| partition.to_string());
    let mut start = begin(args.from_beginning, args.offset, args.since, "earliest");
    let (mut printed, mut ends) = (0, None);
    loop {
        let left = args
            .limit
            .map_or(PAGE, |limit| limit.saturating_sub(printed).min(PAGE));
        if left == 0 {
            break;
        }
        let [offset, from] = start;
        let limit = ("limit", Some(left.to_string()));
        let asked = with_query(
            &target,
            &[("partition", partition.clone()), offset, from, limit],
        );
        let answer: RecordsAnswer = remote.get(&asked)?;
        // What comes while this prints is for the next time.
        let ends = ends.get_or_insert_with(|| {
            let ends = answer.partitions.iter();
            ends.map(|one| (one.partition, one.end_offset))
                .collect::<BTreeMap<_, _>>()
        });
        let over =
            |partition: u32, offset: i64| ends.get(&partition).is_none_or(|end| offset >= *end);
        let none = answer.records.is_empty();
        for record in answer.records {
            if !over(record.partition, record.offset) {
                args.shape.print(record)?;
                printed += 1;
            }
        }
        let mut partitions = answer.partitions.iter();
        if none || partitions.all(|one| over(one.partition, one.next_offset)) {
            break;
        }
        start = [("offset", Some(answer.next)), ("from_time", None)];
    }
    note!("{} of {}", counted(printed), args.topic);
    Ok(())
}

fn tail(config: &Config, args: TailArgs) -> Result<(), Stop> {
    let remote = args.server.remote(config)?;
    let [offset, from] = begin(args.from_beginning, args.offset, args.since, "latest");
    let partition = (
        "partition",
        args.partition.map(|partition| partition.to_string()),
    );
    let target = format!("{}/records", path(&args.topic));
    let asked = with_query(&target, &[partition, offset, from]);
    let printed = Arc::new(AtomicU64::new(0));
    // Ctrl-C is how this ends, and no failure.
    let (counter, topic) = (printed.clone(), args.topic.clone());
    on_interrupt(move || {
        // No line is cut in two.
        let _whole = std::io::stdout().lock();
        note!("{} of {topic}", counted(counter.load(Ordering::Relaxed)));
        std::process::exit(0);
    })?;
    let events = remote.events(&asked, None)?;
    note!("following {}; Ctrl-C ends it", args.topic);
    if args.limit == Some(0) {
        return Ok(());
    }
    for event in events {
        let event = event.map_err(|error| cut_off(&remote, &error.to_string()))?;
        args.shape.print(record(&event)?)?;
        let printed = printed.fetch_add(1, Ordering::Relaxed) + 1;
        if args.limit.is_some_and(|limit| printed >= limit) {
            note!("{} of {}", counted(printed), args.topic);
            return Ok(());
        }
    }
    Err(cut_off(&remote, "the server ended the stream"))
}

fn cut_off(remote: &Remote, why: &str) -> Stop {
    Stop::Failed(format!(
        "no more records come from {}: {why}",
        remote.name()
    ))
}

/// The record of an event, or why there are no more.
fn record(event: &Event) -> Result<RecordView, Stop> {
    if event.name == "error" {
        let error: Value = serde_json::from_str(&event.data).unwrap_or_default();
        let message = error["error"]["message"].as_str();
        return Err(Stop::Failed(
            message.unwrap_or("the stream failed").to_owned(),
        ));
    }
    serde_json::from_str(&event.data)
        .map_err(|error| Stop::Failed(format!("an event cannot be read: {error}")))
}

/// Does something at Ctrl-C instead of ending at once.
fn on_interrupt(done: impl FnOnce() + Send + 'static) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Stop::failed(&error))?;
    let signals = {
        let _inside = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
    };
    let mut signals = signals.map_err(|error| Stop::failed(&error))?;
    std::thread::spawn(move || {
        runtime.block_on(signals.recv());
        done();
    });
    Ok(())
}

fn lag(config: &Config, args: LagArgs) -> Result<(), Stop> {
    let remote = args.server.remote(config)?;
    let groups = match args.groups.is_empty() {
        false => args.groups,
        true => {
            let answer: GroupsAnswer = remote.get("/v1/groups")?;
            answer.groups.into_iter().map(|line| line.group).collect()
        }
    };
    let head = ["GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for group in groups {
        let group: GroupView = remote.get(&format!("/v1/groups/{}", part(&group)))?;
        if args.output.json {
            output::json(&group)?;
            continue;
        }
        if group.partitions.is_empty() {
            // Its members have committed nothing yet.
            let mut row = vec!["-".to_owned(); head.len()];
            row[0] = output::short(&group.group, 60);
            rows.push(row);
        }
        rows.extend(group.partitions.iter().map(|standing| {
            vec![
                output::short(&group.group, 60),
                standing.topic.clone(),
                standing.partition.to_string(),
                standing.committed_offset.to_string(),
                standing.end_offset.to_string(),
                standing.lag.to_string(),
            ]
        }));
    }
    match args.output.json {
        true => Ok(()),
        false => output::print(&table(&rows)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it has in these pieces, as a pipe does.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn sent(pieces: Vec<&'static [u8]>) -> Vec<String> {
        let mut sent = Vec::new();
        let input = BufReader::with_capacity(GROUP, Pieces(pieces));
        let ended = lines(input, Path::new("a"), |lines| {
            sent.push(String::from_utf8(lines.to_vec()).expect("text"));
            Ok(())
        });
        assert!(ended.is_ok());
        sent
    }

    #[test]
    fn lines_are_sent_when_no_more_are_there_and_never_in_part() {
        assert_eq!(sent(vec![b"a\nb\n", b"c\n"]), ["a\nb\n", "c\n"]);
        assert_eq!(sent(vec![b"a\nb", b"b\nc"]), ["a\n", "bb\n", "c\n"]);
        assert!(sent(vec![]).is_empty());
        let many: &'static str = "x\n".repeat(MOST_RECORDS + 1).leak();
        let groups = sent(vec![many.as_bytes()]);
        let counts: Vec<usize> = groups.iter().map(|group| group.lines().count()).collect();
        assert_eq!(counts, [MOST_RECORDS, 1]);
    }

    #[test]
    fn an_event_is_a_record_or_the_reason_why_there_are_no_more() {
        let event = |name: &str, data: &str| Event {
            name: name.to_owned(),
            id: String::new(),
            data: data.to_owned(),
        };
        let read = record(&event(
            "",
            r#"{"partition": 1, "offset": 2, "timestamp": 3}"#,
        ));
        assert!(read.is_ok_and(|record| (record.partition, record.offset) == (1, 2)));
        let failed = record(&event(
            "error",
            r#"{"error": {"code": "a", "message": "gone"}}"#,
        ));
        assert!(matches!(failed, Err(Stop::Failed(message)) if message == "gone"));
    }
}
