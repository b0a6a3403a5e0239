//! A load generator for one HTTP endpoint: keeps N keep-alive connections busy, each with one request
//! at a time, and prints throughput and latency percentiles as one line of JSON.
//!
//! It is bounded in time, connections and memory, and talks to this machine only. `benches/compare.py`
//! drives it; by hand:
//!
//! ```text
//! cargo bench --bench http_load -- --url http://127.0.0.1:4566/v1/embeddings \
//!     --body request.json --content-type application/json --connections 64 --seconds 5
//! ```
//!
//! One thread drives all connections, so that on two cores the server keeps most of the machine; the
//! requests are written and the answers parsed by hand for the same reason.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Most connections: beyond this the default limit of open files of a process is near.
const MAX_CONNECTIONS: usize = 900;
/// Longest run.
const MAX_SECONDS: f64 = 300.0;
/// Most latencies kept per run; the run stops measuring there (4 bytes each).
const MAX_SAMPLES: u64 = 8_000_000;
/// How much longer a run may get when too little was answered in its time.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer that takes longer than this ends the run with an error.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest head and largest body of an answer.
const MAX_HEAD: usize = 16 * 1024;
const MAX_BODY: usize = 64 * 1024 * 1024;

#[derive(Debug)]
struct Plan {
    address: SocketAddr,
    request: Vec<u8>,
    connections: usize,
    warm_up: Duration,
    measure: Duration,
}

/// What one connection saw during the measured time.
#[derive(Default)]
struct Seen {
    micros: Vec<u32>,
    statuses: BTreeMap<u16, u64>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` without a name runs every bench target: without a URL there is nothing to do.
    if !arguments.iter().any(|argument| argument == "--url") {
        eprintln!(
            "http_load: no --url given, nothing to load (see the head of benches/http_load.rs)"
        );
        return ExitCode::SUCCESS;
    }
    match plan(&arguments).and_then(|plan| run(&plan)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("http_load: {message}");
            ExitCode::FAILURE
        }
    }
}

fn plan(arguments: &[String]) -> Result<Plan, String> {
    let (mut url, mut body, mut content_type) =
        (String::new(), Vec::new(), String::from("application/json"));
    let (mut headers, mut connections, mut seconds, mut warm_up) = (Vec::new(), 1, 5.0, 1.0);
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        if name == "--bench" {
            continue; // cargo adds it
        }
        let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--url" => url = value.clone(),
            "--body" => {
                let file = PathBuf::from(value);
                body = std::fs::read(&file)
                    .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            }
            "--content-type" => content_type = value.clone(),
            "--header" => headers.push(value.clone()),
            "--connections" => connections = number::<usize>(name, value, MAX_CONNECTIONS)?.max(1),
            "--seconds" => seconds = number(name, value, MAX_SECONDS)?,
            "--warm-up" => warm_up = number(name, value, MAX_SECONDS)?,
            other => return Err(format!("unknown option {other}")),
        }
    }
    let rest = url
        .strip_prefix("http://")
        .ok_or("the URL must start with http://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address: SocketAddr = authority
        .parse()
        .map_err(|_| format!("{authority} is not an IP address and port"))?;
    if !address.ip().is_loopback() {
        return Err(format!("{address} is not on this machine"));
    }
    let method = if body.is_empty() { "GET" } else { "POST" };
    let mut request = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {authority}\r\ncontent-length: {}\r\n",
        body.len()
    );
    if !body.is_empty() {
        request += &format!("content-type: {content_type}\r\n");
    }
    for header in headers {
        request += &format!("{header}\r\n");
    }
    request += "\r\n";
    let mut request = request.into_bytes();
    request.extend_from_slice(&body);
    let (warm_up, measure) = (
        Duration::from_secs_f64(warm_up),
        Duration::from_secs_f64(seconds),
    );
    Ok(Plan {
        address,
        request,
        connections,
        warm_up,
        measure,
    })
}

fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
    name: &str,
    value: &str,
    most: T,
) -> Result<T, String> {
    let parsed: T = value
        .parse()
        .map_err(|_| format!("{name} needs a number, not {value}"))?;
    // Also refuses not-a-number, which compares with nothing.
    if parsed <= most {
        Ok(parsed)
    } else {
        Err(format!("{name} may be at most {most}"))
    }
}

/// What all connections share while they measure.
struct Clock {
    /// Answers before this are not counted.
    start: Instant,
    /// The measurement ends here if enough was answered by then …
    end: Instant,
    /// … and here in any case.
    latest: Instant,
    /// Answers that are enough.
    enough: u64,
    answered: AtomicU64,
    /// From `start` to the real end, once it is known.
    stopped: OnceLock<Duration>,
}

impl Clock {
    /// Counts an answer at `now`; false when the measurement is over.
    fn count(&self, now: Instant) -> bool {
        if self.stopped.get().is_some() {
            return false;
        }
        if now < self.start {
            return true;
        }
        let answered = self.answered.fetch_add(1, Relaxed) + 1;
        if now >= self.latest
            || (now >= self.end && answered >= self.enough)
            || answered >= MAX_SAMPLES
        {
            self.stopped.get_or_init(|| now - self.start);
        }
        true
    }
}

fn run(plan: &Plan) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut streams = Vec::with_capacity(plan.connections);
        for _ in 0..plan.connections {
            streams.push(connect(plan.address).await?);
        }
        let start = Instant::now() + plan.warm_up;
        let end = start + plan.measure;
        // A slow server with many connections answers each only after seconds: a fair sample has
        // every connection's turn in it at least twice.
        let enough = 2 * plan.connections as u64;
        let clock = Clock {
            start,
            end,
            latest: end + PATIENCE,
            enough,
            answered: AtomicU64::new(0),
            stopped: OnceLock::new(),
        };
        let clock = Arc::new(clock);
        let request: Arc<[u8]> = plan.request.clone().into();
        let mut tasks = JoinSet::new();
        for stream in streams {
            tasks.spawn(drive(plan.address, stream, request.clone(), clock.clone()));
        }
        let mut all = Seen::default();
        while let Some(joined) = tasks.join_next().await {
            let seen = joined.map_err(|error| error.to_string())??;
            all.micros.extend(seen.micros);
            for (status, count) in seen.statuses {
                *all.statuses.entry(status).or_default() += count;
            }
        }
        let took = *clock.stopped.get().ok_or("the measurement did not end")?;
        report(plan, all, took)
    })
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("cannot connect to {address}: {error}"))?;
    stream
        .set_nodelay(true)
        .map_err(|error| error.to_string())?;
    Ok(stream)
}

/// Sends one request after another until the clock stops. The last one is waited for, so that nothing
/// is left in the server's queue for the next measurement.
async fn drive(
    address: SocketAddr,
    mut stream: TcpStream,
    request: Arc<[u8]>,
    clock: Arc<Clock>,
) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let mut buffer = Vec::with_capacity(16 * 1024);
    while clock.stopped.get().is_none() {
        let sent = Instant::now();
        let answer = async {
            stream
                .write_all(&request)
                .await
                .map_err(|error| format!("cannot send: {error}"))?;
            read_answer(&mut stream, &mut buffer).await
        };
        let (status, keep) = tokio::time::timeout(ANSWER_TIMEOUT, answer)
            .await
            .map_err(|_| format!("no answer within {ANSWER_TIMEOUT:?}"))??;
        let now = Instant::now();
        if !clock.count(now) {
            break;
        }
        if now >= clock.start {
            seen.micros
                .push(u32::try_from((now - sent).as_micros()).unwrap_or(u32::MAX));
            *seen.statuses.entry(status).or_default() += 1;
        }
        if !keep {
            stream = connect(address).await?;
        }
    }
    Ok(seen)
}

/// Reads one answer to its end; its status and whether the connection stays open.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(u16, bool), String> {
    buffer.clear();
    let head = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > MAX_HEAD {
            return Err("the head of an answer is too long".into());
        }
        more(stream, buffer).await?;
    };
    let text =
        std::str::from_utf8(&buffer[..head]).map_err(|_| "the head of an answer is not text")?;
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or("an answer without a status")?;
    let field = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let length: usize = field("content-length")
        .and_then(|value| value.parse().ok())
        .ok_or("an answer without a length")?;
    if length > MAX_BODY {
        return Err(format!("an answer of {length} bytes is too long"));
    }
    let keep = !field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    while buffer.len() < head + length {
        more(stream, buffer).await?;
    }
    Ok((status, keep))
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), String> {
    match stream.read_buf(buffer).await {
        Ok(0) => Err("the server closed the connection".into()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("cannot read: {error}")),
    }
}

fn report(plan: &Plan, mut seen: Seen, took: Duration) -> Result<String, String> {
    if seen.micros.is_empty() {
        return Err("no request was answered in the measured time".into());
    }
    seen.micros.sort_unstable();
    let at = |share: f64| {
        // The smallest value that is at least this share of all: the nearest-rank percentile.
        let rank = (share * seen.micros.len() as f64).ceil() as usize;
        f64::from(seen.micros[rank.clamp(1, seen.micros.len()) - 1]) / 1e3
    };
    let statuses: BTreeMap<String, u64> = seen
        .statuses
        .iter()
        .map(|(status, count)| (status.to_string(), *count))
        .collect();
    Ok(serde_json::json!({
        "connections": plan.connections,
        "seconds": took.as_secs_f64(),
        "answers": seen.micros.len(),
        "per_second": seen.micros.len() as f64 / took.as_secs_f64(),
        "p50_ms": at(0.50),
        "p99_ms": at(0.99),
        "max_ms": at(1.0),
        "statuses": statuses,
    })
    .to_string())
}
