//! The question: does a flow keep the engine busy, and what does it cost beside asking the engine in a loop?
//!
//! ```text
//! cargo bench --bench flow                                      # sentiment, a topic of a million records
//! cargo bench --bench flow -- --task language --seconds 10 --records 2000000
//! ```
//!
//! Both sides predict the same texts with the same engine for the same time, in turns: the loop hands it 512 texts after
//! the other, the flow reads them from a topic, writes the answers to another and commits, exactly once. Printed are
//! records a second, the share of time in which the engine's lanes computed, and the ratio of the two.

use bytes::Bytes;
use escala_service::config::Config;
use escala_service::flows::Asker;
use escala_service::machine::Machine;
use escala_service::ready::Readiness;
use escala_stream_ingest::flow::{External, Flows, Input, Predictor, Question, State, Wanted};
use escala_stream_ingest::log::disk::Folder;
use escala_stream_ingest::log::{Acks, Log, Options};
use escala_stream_ingest::records::{self, Draft};
use escala_weights::Terminal;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Texts that the loop hands over at once.
const AT_ONCE: usize = 512;
/// Records of a batch that is appended.
const BATCH: usize = 1000;

struct Wish {
    task: String,
    records: usize,
    seconds: f64,
    rounds: usize,
    partitions: u32,
}

fn wish() -> Result<Wish> {
    let mut wish = Wish {
        task: "sentiment".to_owned(),
        records: 1_000_000,
        seconds: 30.0,
        rounds: 3,
        partitions: 1,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            // What cargo hands to every benchmark.
            "--bench" => {}
            "--task" => wish.task = value()?,
            "--records" => wish.records = value()?.parse()?,
            "--seconds" => wish.seconds = value()?.parse()?,
            "--rounds" => wish.rounds = value()?.parse()?,
            "--partitions" => wish.partitions = value()?.parse()?,
            _ => return Err(format!("there is no argument {name}").into()),
        }
    }
    Ok(wish)
}

/// Hand-written reviews and remarks, over and over.
fn texts() -> Vec<String> {
    let lines = include_str!("../tests/data/sentiment/mixed.tsv").lines();
    let texts = lines.filter_map(|line| line.split('\t').next_back());
    texts.map(str::to_owned).collect()
}

/// Seconds that the lanes have computed.
fn computed(machine: &Machine) -> f64 {
    let mut text = String::new();
    machine.engine.write_metrics(&mut text);
    text.lines()
        .filter(|line| line.starts_with("escala_compute_seconds_sum"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

struct Measured {
    records: u64,
    seconds: f64,
    busy: f64,
}

impl Measured {
    fn rate(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    fn print(&self, name: &str) {
        println!(
            "{name}  {:>9.1} records/s  lanes busy {:>5.1} %",
            self.rate(),
            100.0 * self.busy
        );
    }
}

async fn looped(machine: &Machine, asker: &Asker, question: &Question, wish: &Wish) -> Measured {
    let texts = texts();
    let mut all = texts.iter().cycle();
    let (begun, before, mut records) = (Instant::now(), computed(machine), 0);
    while begun.elapsed().as_secs_f64() < wish.seconds {
        let inputs = all.by_ref().take(AT_ONCE).cloned().map(Input::Text);
        let answers = asker.predict(question, inputs.collect()).await;
        records += answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    }
    measured(machine, begun, before, records)
}

fn measured(machine: &Machine, begun: Instant, before: f64, records: u64) -> Measured {
    let seconds = begun.elapsed().as_secs_f64();
    let lanes = machine.engine.config().lanes as f64;
    Measured {
        records,
        seconds,
        busy: (computed(machine) - before) / seconds / lanes,
    }
}

async fn flowed(machine: &Machine, flows: &Flows, wish: &Wish) -> Result<Measured> {
    let first = flows.describe("bench").await?.records;
    flows.resume("bench").await?;
    let (begun, before) = (Instant::now(), computed(machine));
    tokio::time::sleep(Duration::from_secs_f64(wish.seconds)).await;
    let about = flows.describe("bench").await?;
    let measured = measured(machine, begun, before, about.records - first);
    if about.state != State::Running {
        return Err(format!("the flow is {:?}", about.state).into());
    }
    if about.lag.iter().all(|lag| lag.lag() == 0) {
        return Err("the topic ended before the time; give more --records".into());
    }
    flows.pause("bench").await?;
    Ok(measured)
}

async fn fill(log: &Log, wish: &Wish) -> Result<()> {
    log.create_topic("in", wish.partitions, &[]).await?;
    let texts = texts();
    let mut all = texts.iter().cycle().enumerate();
    let begun = Instant::now();
    // Records of long ago would be taken by retention.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    for batch in 0..wish.records.div_ceil(BATCH) {
        let drafts: Vec<Draft> = all
            .by_ref()
            .take(BATCH)
            .map(|(number, text)| Draft {
                timestamp: now,
                key: Some(Bytes::from(number.to_string())),
                value: Some(Bytes::from(text.clone())),
                headers: Vec::new(),
            })
            .collect();
        let batch_bytes = records::encode(&drafts).ok_or("no records")?;
        let partition = batch as u32 % wish.partitions;
        log.append("in", partition, batch_bytes, Acks::Written)
            .await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} records appended in {seconds:.1} s", wish.records);
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() -> Result<()> {
    let wish = wish()?;
    let folder = tempfile::tempdir()?;
    let log = Log::open(
        Arc::new(Folder::open(folder.path().join("log"))?),
        Options::default(),
    )?;
    let config = Config::default();
    let machine = Arc::new(Machine::start(&config)?);
    let warm = machine.clone();
    let task = wish.task.clone();
    tokio::task::spawn_blocking(move || {
        warm.warm_named(&task, &Terminal::new())
            .map_err(|error| error.to_string())
    })
    .await??;
    let app = || machine.app(config.clone(), Arc::new(Readiness::new([])));
    let asker = Asker::new(app(), machine.clone());
    let question = Question {
        task: wish.task.clone(),
        language: None,
    };
    fill(&log, &wish).await?;
    let flows = Flows::open(
        log.clone(),
        External::default(),
        folder.path().join("flows.json"),
        Arc::new(Asker::new(app(), machine.clone())),
    )?;
    flows
        .create(Wanted {
            name: "bench".to_owned(),
            from: "in".to_owned(),
            to: "out".to_owned(),
            task: wish.task.clone(),
            paused: true,
            ..Wanted::default()
        })
        .await?;
    let mut ratios = Vec::new();
    for _ in 0..wish.rounds {
        let looped = looped(&machine, &asker, &question, &wish).await;
        let flowed = flowed(&machine, &flows, &wish).await?;
        looped.print("loop");
        flowed.print("flow");
        ratios.push(flowed.rate() / looped.rate());
    }
    println!(
        "flow/loop, median of {}: {:.3}",
        wish.rounds,
        median(ratios)
    );
    Ok(())
}
