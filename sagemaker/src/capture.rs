//! Data capture: questions and answers of endpoints, as objects of lines of JSON in SageMaker's layout.
//!
//! ```text
//! s3://<destination>/<endpoint>/<variant>/yyyy/mm/dd/hh/<minute>-<second>-<millisecond>-<uuid>.jsonl
//! ```
//!
//! Whoever answers hands a record over and goes on; a thread writes them in batches, some seconds later at the latest and at the
//! end. What is more than it can hold is left out and counted.

use crate::names::s3;
use crate::served::Asked;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use escala_objects::{ObjectName, WritableStore};
use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes of bodies that wait to be written.
const MOST_WAITING: usize = 64 << 20;
/// Bytes of an object, about.
const OBJECT: usize = 1 << 20;
/// How often an object is tried to be written.
const TRIES: usize = 3;

/// What is captured of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    percent: f64,
    bucket: String,
    prefix: String,
    input: bool,
    output: bool,
    csv: Vec<String>,
    json: Vec<String>,
}

impl Capture {
    /// What a `DataCaptureConfig` says; none where it is off.
    pub fn of(config: &Value) -> Option<Self> {
        if config.get("EnableCapture").and_then(Value::as_bool) == Some(false) {
            return None;
        }
        let address = config.get("DestinationS3Uri")?.as_str()?;
        let (bucket, prefix) = s3(address)?;
        let modes = config.get("CaptureOptions").and_then(Value::as_array);
        let modes: Vec<_> = modes
            .into_iter()
            .flatten()
            .filter_map(|option| option.get("CaptureMode")?.as_str())
            .collect();
        let types = |name: &str| {
            let types = config.pointer(&format!("/CaptureContentTypeHeader/{name}"));
            let types = types.and_then(Value::as_array).into_iter().flatten();
            let types = types.filter_map(Value::as_str).map(str::to_ascii_lowercase);
            types.collect()
        };
        let has = |mode| modes.contains(&mode) || modes.contains(&"InputAndOutput");
        Some(Self {
            percent: config.get("InitialSamplingPercentage")?.as_f64()?,
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            input: has("Input"),
            output: has("Output"),
            csv: types("CsvContentTypes"),
            json: types("JsonContentTypes"),
        })
    }

    /// Whether a question is captured to which this number in 0..1 falls.
    pub fn samples(&self, at: f64) -> bool {
        at * 100.0 < self.percent
    }

    fn written(&self, mode: &str, content_type: &str, body: &[u8]) -> Value {
        let kind = content_type.split(';').next().unwrap_or_default();
        let kind = kind.trim().to_ascii_lowercase();
        let text = std::str::from_utf8(body).ok();
        let (encoding, data) = match text {
            Some(text) if self.csv.contains(&kind) => ("CSV", text.to_owned()),
            Some(text) if self.json.contains(&kind) => ("JSON", text.to_owned()),
            _ => ("BASE64", STANDARD.encode(body)),
        };
        json!({
            "observedContentType": content_type,
            "mode": mode,
            "data": data,
            "encoding": encoding,
        })
    }
}

/// A question with its answer.
pub struct Record {
    /// How it is written.
    pub capture: Arc<Capture>,
    /// The endpoint.
    pub endpoint: String,
    /// The variant that answered.
    pub variant: String,
    /// The question.
    pub asked: Asked,
    /// What the answer is, and it.
    pub said: (String, Bytes),
    /// `InferenceId` of the request.
    pub inference_id: Option<String>,
    /// `CustomAttributes` of the request.
    pub custom_attributes: Option<String>,
    /// When it was answered, in milliseconds since 1970.
    pub when: i64,
}

impl Record {
    fn bytes(&self) -> usize {
        self.asked.body.len() + self.said.1.len() + 1024
    }

    /// The folder that it is written to.
    fn place(&self) -> (String, String) {
        let time = Time::of(self.when);
        let mut parts = vec![
            self.endpoint.clone(),
            self.variant.clone(),
            format!(
                "{:04}/{:02}/{:02}/{:02}",
                time.year, time.month, time.day, time.hour
            ),
        ];
        if !self.capture.prefix.is_empty() {
            parts.insert(0, self.capture.prefix.clone());
        }
        (self.capture.bucket.clone(), parts.join("/"))
    }

    fn line(&self) -> String {
        let mut data = json!({});
        if self.capture.input {
            let kind = self.asked.content_type.as_deref();
            let kind = kind.unwrap_or("application/octet-stream");
            data["endpointInput"] = self.capture.written("INPUT", kind, &self.asked.body);
        }
        if self.capture.output {
            data["endpointOutput"] = self.capture.written("OUTPUT", &self.said.0, &self.said.1);
        }
        let time = Time::of(self.when);
        let mut about = json!({
            "eventId": uuid::Uuid::new_v4().to_string(),
            "inferenceTime": time.to_string(),
        });
        if let Some(id) = &self.inference_id {
            about["inferenceId"] = id.as_str().into();
        }
        if let Some(attributes) = &self.custom_attributes {
            about["customAttributes"] = json!([attributes]);
        }
        json!({"captureData": data, "eventMetadata": about, "eventVersion": "0"}).to_string()
    }
}

/// Writes records.
pub struct Captures {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    objects: Arc<dyn WritableStore>,
    every: Duration,
    waiting: Mutex<Waiting>,
    changed: Condvar,
    written: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    records: Vec<Record>,
    bytes: usize,
    stopping: bool,
}

impl Captures {
    /// A thread that writes records at latest after such a time.
    ///
    /// # Errors
    /// There are no threads.
    pub fn start(objects: Arc<dyn WritableStore>, every: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            objects,
            every,
            waiting: Mutex::default(),
            changed: Condvar::new(),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let thread = std::thread::Builder::new().name("capture".to_owned());
        let thread = thread.spawn({
            let shared = Arc::clone(&shared);
            move || shared.work()
        })?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Hands a record over.
    pub fn put(&self, record: Record) {
        let bytes = record.bytes();
        let mut waiting = self.shared.waiting.lock();
        if waiting.stopping || waiting.bytes + bytes > MOST_WAITING {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes += bytes;
        waiting.records.push(record);
        if waiting.bytes >= OBJECT {
            self.shared.changed.notify_all();
        }
    }

    /// Writes what waits, and nothing after that.
    pub fn end(&self) {
        self.shared.waiting.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of data capture broke");
        }
    }

    /// Records that were written, and that were left out.
    pub fn counts(&self) -> (u64, u64) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.shared.written), count(&self.shared.dropped))
    }
}

impl Drop for Captures {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn work(&self) {
        loop {
            let until = Instant::now() + self.every;
            let mut waiting = self.waiting.lock();
            while !waiting.stopping && waiting.bytes < OBJECT {
                if self.changed.wait_until(&mut waiting, until).timed_out() {
                    break;
                }
            }
            let stopping = waiting.stopping;
            let records = std::mem::take(&mut waiting.records);
            drop(waiting);
            let mut places: BTreeMap<(String, String), Vec<&Record>> = BTreeMap::new();
            for record in &records {
                places.entry(record.place()).or_default().push(record);
            }
            for ((bucket, folder), records) in &places {
                self.write(bucket, folder, records);
            }
            // Those that are being written count as waiting, so that a slow bucket fills no memory.
            let bytes: usize = records.iter().map(Record::bytes).sum();
            self.waiting.lock().bytes -= bytes;
            if stopping {
                return;
            }
        }
    }

    fn write(&self, bucket: &str, folder: &str, records: &[&Record]) {
        let count = records.len() as u64;
        let first = records.first().map_or(0, |record| record.when);
        let time = Time::of(first);
        let name = format!(
            "{folder}/{:02}-{:02}-{:03}-{}.jsonl",
            time.minute,
            time.second,
            time.millisecond,
            uuid::Uuid::new_v4()
        );
        let put = || -> Result<(), escala_objects::Error> {
            let mut object = self
                .objects
                .create(&ObjectName::new(bucket, &name, None)?)?;
            for record in records {
                object.write_all(record.line().as_bytes())?;
                object.write_all(b"\n")?;
            }
            object.commit().map(|_| ())
        };
        let mut tried = put();
        for _ in 1..TRIES {
            if !matches!(tried, Err(escala_objects::Error::Unavailable(_))) {
                break;
            }
            tried = put();
        }
        match tried {
            Ok(()) => self.written.fetch_add(count, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(%error, bucket, name, count, "captured data cannot be written");
                self.dropped.fetch_add(count, Ordering::Relaxed)
            }
        };
    }
}

/// A time of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    millisecond: i64,
}

impl Time {
    /// Of milliseconds since 1970.
    pub(crate) fn of(milliseconds: i64) -> Self {
        let days = milliseconds.div_euclid(86_400_000);
        let rest = milliseconds.rem_euclid(86_400_000);
        // Years begin in March here, and eras of 400 years have 146097 days: Howard Hinnant's `civil_from_days`.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self {
            year: year + era * 400 + i64::from(month <= 2),
            month,
            day,
            hour: rest / 3_600_000,
            minute: rest / 60_000 % 60,
            second: rest / 1000 % 60,
            millisecond: rest % 1000,
        }
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        )
    }
}
