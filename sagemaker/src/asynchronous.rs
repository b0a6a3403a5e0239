//! Questions that are answered later: `InvokeEndpointAsync`.
//!
//! What was accepted is in a SQLite file, and is done after a crash, then again where it was being done: an answer has one place,
//! and appears there whole. A thread hands questions to the models of endpoints, each endpoint as many at a time as its
//! configuration says; one that passes (a model is not open yet) is tried again while its time lasts.

use crate::capture::Time;
use crate::invoke::{Invocation, InvokeError, Invoker};
use crate::names::{ADDRESSES, now, s3};
use crate::served::Asked;
use bytes::Bytes;
use escala_objects::{Error as ObjectError, ObjectName, WritableStore};
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Questions of one endpoint that wait.
const MOST_WAITING: i64 = 10_000;
/// The largest question that comes with the request.
const LARGEST_INLINE: usize = 128_000;
/// How long after one that passed it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the thread looks around without being asked.
const LOOK: Duration = Duration::from_secs(1);
/// How many an instance does at a time where nothing is said.
const AT_A_TIME: u64 = 4;
/// How long a question may wait, and be thought about, where nothing is said; in seconds, as AWS has it.
const TTL: u64 = 21_600;
const TIMEOUT: u64 = 900;
/// The format of the file that is written.
const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE TABLE request (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint TEXT NOT NULL,
    body TEXT NOT NULL,
    inline BLOB
) STRICT;
CREATE INDEX request_by_endpoint ON request (endpoint, id);
";

/// What an `AsyncInferenceConfig` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asynchronous {
    output: String,
    failure: Option<String>,
    at_a_time: usize,
}

impl Asynchronous {
    /// What it says, for so many instances.
    pub fn of(config: &Value, instances: u64) -> Option<Self> {
        let path = |name: &str| {
            let path = config.pointer(&format!("/OutputConfig/{name}"))?.as_str()?;
            let (bucket, folder) = s3(path)?;
            let whole = format!("s3://{bucket}/{folder}");
            Some(whole.trim_end_matches('/').to_owned())
        };
        let each = config.pointer("/ClientConfig/MaxConcurrentInvocationsPerInstance");
        let each = each.and_then(Value::as_u64).unwrap_or(AT_A_TIME);
        let all = each.saturating_mul(instances.max(1));
        Some(Self {
            output: path("S3OutputPath")?,
            failure: path("S3FailurePath"),
            at_a_time: usize::try_from(all).unwrap_or(usize::MAX),
        })
    }
}

/// A question to be answered later.
#[derive(Clone, Debug, Default)]
pub struct Later {
    /// `InputLocation`.
    pub input: Option<String>,
    /// `Body`.
    pub body: Option<Bytes>,
    /// `ContentType`.
    pub content_type: Option<String>,
    /// `Accept`.
    pub accept: Option<String>,
    /// `CustomAttributes`.
    pub custom_attributes: Option<String>,
    /// `InferenceId`.
    pub inference_id: Option<String>,
    /// `S3OutputPathExtension`.
    pub extension: Option<String>,
    /// `Filename`.
    pub filename: Option<String>,
    /// `RequestTTLSeconds`.
    pub ttl: Option<u64>,
    /// `InvocationTimeoutSeconds`.
    pub timeout: Option<u64>,
}

/// Where the answer will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// `InferenceId`.
    pub inference_id: String,
    /// `OutputLocation`.
    pub output: String,
    /// `FailureLocation`.
    pub failure: Option<String>,
}

/// A question as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    account: String,
    inference_id: String,
    input: Option<String>,
    content_type: Option<String>,
    accept: Option<String>,
    custom_attributes: Option<String>,
    output: String,
    failure: Option<String>,
    /// Milliseconds since 1970.
    until: i64,
    timeout: u64,
}

/// Questions that wait, and the thread that has them answered.
pub struct Queue {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    connection: Mutex<Connection>,
    invoker: Arc<Invoker>,
    objects: Arc<dyn WritableStore>,
    runtime: Handle,
    /// Bytes of the largest question.
    largest: u64,
    state: Mutex<State>,
    changed: Condvar,
    done: AtomicU64,
    failed: AtomicU64,
}

#[derive(Default)]
struct State {
    stopping: bool,
    look: bool,
    /// Those that are being answered, by endpoint and number.
    running: HashMap<i64, (String, Option<AbortHandle>)>,
    /// Those that passed, and when they are tried again.
    later: HashMap<i64, Instant>,
}

fn broken(error: &rusqlite::Error) -> InvokeError {
    tracing::error!(%error, "questions that are to be answered later cannot be kept");
    InvokeError::internal("The server failed; its log says why.")
}

impl Queue {
    /// Opens what is kept in a folder, and goes on with it.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn start(
        folder: &Path,
        invoker: Arc<Invoker>,
        objects: Arc<dyn WritableStore>,
        runtime: Handle,
        largest: u64,
    ) -> std::io::Result<Self> {
        let connection = open(folder).map_err(std::io::Error::other)?;
        let shared = Arc::new(Shared {
            connection: Mutex::new(connection),
            invoker,
            objects,
            runtime,
            largest,
            state: Mutex::new(State {
                look: true,
                ..State::default()
            }),
            changed: Condvar::new(),
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let thread = std::thread::Builder::new().name("asynchronous".to_owned());
        let thread = thread.spawn({
            let shared = Arc::clone(&shared);
            move || shared.look()
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Accepts a question; it is on the disk when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`InvokeError`].
    pub fn put(
        &self,
        account: &str,
        endpoint: &str,
        later: Later,
    ) -> Result<Accepted, InvokeError> {
        let live = self.shared.invoker.live(account, endpoint)?;
        let config = live.current.asynchronous.as_ref().ok_or_else(|| {
            InvokeError::validation(format!(
                "Endpoint {endpoint} of account {account} is not asynchronous: InvokeEndpoint asks it."
            ))
        })?;
        match (&later.input, &later.body) {
            (Some(input), None) if s3(input).is_some_and(|(_, key)| !key.is_empty()) => {}
            (Some(input), None) => {
                return Err(InvokeError::validation(format!(
                    "InputLocation is \"{input}\"; it must be an address like {ADDRESSES}."
                )));
            }
            (None, Some(body)) if body.len() <= LARGEST_INLINE => {}
            (None, Some(body)) => {
                return Err(InvokeError::validation(format!(
                    "The body has {} bytes; at most {LARGEST_INLINE} come with a request, others by InputLocation.",
                    body.len()
                )));
            }
            _ => {
                return Err(InvokeError::validation(
                    "Exactly one of InputLocation and Body must be given.",
                ));
            }
        }
        let own = uuid::Uuid::new_v4().to_string();
        let folder = |path: &str| match &later.extension {
            Some(extension) => format!("{path}/{}", extension.trim_matches('/')),
            None => path.to_owned(),
        };
        let file = later.filename.unwrap_or_else(|| format!("{own}.out"));
        let output = format!("{}/{file}", folder(&config.output));
        let failure = config.failure.as_ref();
        let failure = failure.map(|path| format!("{path}/{own}-error.out"));
        let kept = Kept {
            account: account.to_owned(),
            inference_id: later.inference_id.unwrap_or(own),
            input: later.input,
            content_type: later.content_type,
            accept: later.accept,
            custom_attributes: later.custom_attributes,
            output,
            failure,
            until: now()
                + i64::try_from(later.ttl.unwrap_or(TTL)).unwrap_or(i64::MAX / 2000) * 1000,
            timeout: later.timeout.unwrap_or(TIMEOUT),
        };
        let id = self.shared.keep(endpoint, &kept, later.body.as_deref())?;
        // One that is gone by now has forgotten its questions already, perhaps without this one.
        if let Err(gone) = self.shared.invoker.live(account, endpoint) {
            self.shared.forget(id).map_err(|error| broken(&error))?;
            return Err(gone);
        }
        self.shared.state.lock().look = true;
        self.shared.changed.notify_all();
        Ok(Accepted {
            inference_id: kept.inference_id,
            output: kept.output,
            failure: kept.failure,
        })
    }

    /// Those that wait or are being answered.
    pub fn waiting(&self) -> u64 {
        let connection = self.shared.connection.lock();
        let count = connection.query_row("SELECT count(*) FROM request", [], |row| {
            row.get::<_, i64>(0)
        });
        count.map_or(0, i64::unsigned_abs)
    }

    /// Those that were answered and that failed, since the server began.
    pub fn counts(&self) -> (u64, u64) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.shared.done), count(&self.shared.failed))
    }

    /// What forgets the questions of an endpoint that is gone.
    pub fn forget(&self) -> impl Fn(&str) -> Result<(), crate::Refusal> + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move |endpoint| {
            let connection = shared.connection.lock();
            let gone = connection.execute("DELETE FROM request WHERE endpoint = ?1", [endpoint]);
            gone.map(|_| ())
                .map_err(|error| crate::Refusal::from(crate::store::Error::from(error)))
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let running: Vec<_> = {
            let mut state = self.shared.state.lock();
            state.stopping = true;
            let running = state.running.values();
            running.filter_map(|(_, task)| task.clone()).collect()
        };
        // What is put down here is done again by the next one.
        running.iter().for_each(AbortHandle::abort);
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of asynchronous invocations broke");
        }
    }
}

fn open(folder: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(folder.join("asynchronous.db"))?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let begun = connection.transaction()?;
    let found: i64 = begun.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        0 => {
            begun.execute_batch(TABLES)?;
            begun.pragma_update(None, "user_version", FORMAT)?;
        }
        FORMAT => {}
        _ => return Err(rusqlite::Error::InvalidQuery),
    }
    begun.commit()?;
    Ok(connection)
}

impl Shared {
    fn keep(&self, endpoint: &str, kept: &Kept, inline: Option<&[u8]>) -> Result<i64, InvokeError> {
        // A structure of texts and numbers is always JSON.
        let body = serde_json::to_string(kept).unwrap_or_default();
        let connection = self.connection.lock();
        let count = connection.query_row(
            "SELECT count(*) FROM request WHERE endpoint = ?1",
            [endpoint],
            |row| row.get::<_, i64>(0),
        );
        if count.map_err(|error| broken(&error))? >= MOST_WAITING {
            return Err(InvokeError::unavailable(format!(
                "{MOST_WAITING} questions wait for the endpoint {endpoint} already."
            )));
        }
        let put = connection.execute(
            "INSERT INTO request (endpoint, body, inline) VALUES (?1, ?2, ?3)",
            params![endpoint, body, inline],
        );
        put.map_err(|error| broken(&error))?;
        Ok(connection.last_insert_rowid())
    }

    fn forget(&self, id: i64) -> rusqlite::Result<()> {
        let connection = self.connection.lock();
        let gone = connection.execute("DELETE FROM request WHERE id = ?1", [id]);
        gone.map(|_| ())
    }

    /// Hands questions out until somebody asks for rest.
    fn look(self: Arc<Self>) {
        loop {
            let mut state = self.state.lock();
            if !state.stopping && !state.look {
                self.changed.wait_for(&mut state, LOOK);
            }
            if state.stopping {
                return;
            }
            state.look = false;
            drop(state);
            if let Err(error) = self.hand_out() {
                tracing::error!(%error, "questions that are to be answered later cannot be read");
            }
        }
    }

    fn hand_out(self: &Arc<Self>) -> rusqlite::Result<()> {
        let endpoints: Vec<String> = {
            let connection = self.connection.lock();
            let mut statement =
                connection.prepare_cached("SELECT DISTINCT endpoint FROM request")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for endpoint in endpoints {
            let most = match self.invoker.live("", &endpoint) {
                Ok(live) => live
                    .current
                    .asynchronous
                    .as_ref()
                    .map_or(1, |one| one.at_a_time),
                Err(_) => continue,
            };
            let (busy, not_now) = {
                let mut state = self.state.lock();
                let now = Instant::now();
                state.later.retain(|_, when| *when > now);
                let running = state.running.values();
                let busy = running.filter(|(whose, _)| *whose == endpoint).count();
                let not_now = state.running.keys().chain(state.later.keys()).copied();
                (busy, not_now.collect::<HashSet<i64>>())
            };
            let free = most.saturating_sub(busy);
            if free == 0 {
                continue;
            }
            let found: Vec<(i64, String, Option<Vec<u8>>)> = {
                let connection = self.connection.lock();
                let mut statement = connection
                    .prepare_cached("SELECT id FROM request WHERE endpoint = ?1 ORDER BY id")?;
                let ids = statement.query_map([&endpoint], |row| row.get::<_, i64>(0))?;
                let mut chosen = Vec::new();
                for id in ids {
                    let id = id?;
                    if !not_now.contains(&id) {
                        chosen.push(id);
                        if chosen.len() == free {
                            break;
                        }
                    }
                }
                let mut statement = connection
                    .prepare_cached("SELECT id, body, inline FROM request WHERE id = ?1")?;
                let found = chosen.iter().map(|id| {
                    statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                });
                found.collect::<rusqlite::Result<_>>()?
            };
            for (id, body, inline) in found {
                let mut state = self.state.lock();
                if state.stopping {
                    return Ok(());
                }
                state.running.insert(id, (endpoint.clone(), None));
                let shared = Arc::clone(self);
                let own = endpoint.clone();
                let task = self.runtime.spawn(async move {
                    shared.do_one(id, &own, &body, inline).await;
                });
                if let Some((_, running)) = state.running.get_mut(&id) {
                    *running = Some(task.abort_handle());
                }
            }
        }
        Ok(())
    }

    async fn do_one(self: Arc<Self>, id: i64, endpoint: &str, body: &str, inline: Option<Vec<u8>>) {
        // However it ends, others may take its place.
        let mut running = Running {
            shared: &self,
            id,
            forgotten: false,
        };
        let ended = match serde_json::from_str::<Kept>(body) {
            Ok(kept) => Arc::clone(&self).answer(endpoint, kept, inline).await,
            Err(error) => {
                tracing::error!(%error, id, "a question that was kept is damaged");
                Ended::Failed
            }
        };
        let shared = Arc::clone(&self);
        let forgotten = tokio::task::spawn_blocking(move || {
            let count = match ended {
                Ended::Passed => return Ok(false),
                Ended::Done => &shared.done,
                Ended::Failed => &shared.failed,
            };
            shared.forget(id)?;
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, rusqlite::Error>(true)
        });
        match forgotten.await {
            Ok(Ok(forgotten)) => running.forgotten = forgotten,
            Ok(Err(error)) => {
                tracing::error!(%error, id, "a question that was answered stays");
            }
            Err(error) => {
                tracing::error!(%error, id, "a question that was answered stays");
            }
        }
    }

    async fn answer(self: Arc<Self>, endpoint: &str, kept: Kept, inline: Option<Vec<u8>>) -> Ended {
        let why = match self.try_answer(endpoint, &kept, inline).await {
            Ok(ended) => return ended,
            Err(why) => why,
        };
        let Some(failure) = kept.failure.clone() else {
            tracing::warn!(
                endpoint,
                id = kept.inference_id,
                why,
                "a question was not answered"
            );
            return Ended::Failed;
        };
        let shared = Arc::clone(&self);
        let written =
            tokio::task::spawn_blocking(move || shared.write(&failure, why.as_bytes())).await;
        match written {
            Ok(Ok(())) => Ended::Failed,
            Ok(Err(ObjectError::Unavailable(_))) if now() < kept.until => Ended::Passed,
            Ok(Err(error)) => {
                tracing::warn!(%error, endpoint, id = kept.inference_id, "why a question failed cannot be written");
                Ended::Failed
            }
            Err(_) => Ended::Passed,
        }
    }

    /// Answers a question; a sentence where it fails for good.
    async fn try_answer(
        self: &Arc<Self>,
        endpoint: &str,
        kept: &Kept,
        inline: Option<Vec<u8>>,
    ) -> Result<Ended, String> {
        if now() >= kept.until {
            return Err(format!(
                "The request expired at {} before it was answered.",
                Time::of(kept.until)
            ));
        }
        let mut content_type = kept.content_type.clone();
        let body = match (&kept.input, inline) {
            (_, Some(inline)) => Bytes::from(inline),
            (None, None) => Bytes::new(),
            (Some(input), None) => {
                let shared = Arc::clone(self);
                let input = input.clone();
                let read = tokio::task::spawn_blocking(move || shared.read(&input)).await;
                match read {
                    // What the object says it is counts where the question says nothing.
                    Ok(Ok((body, said))) => {
                        content_type = content_type.or(said);
                        body
                    }
                    Ok(Err(Unread::Passes)) => return Ok(Ended::Passed),
                    Ok(Err(Unread::Never(why))) => return Err(why),
                    Err(_) => return Ok(Ended::Passed),
                }
            }
        };
        let asked = Asked {
            content_type,
            accept: kept.accept.clone(),
            body,
            ..Asked::default()
        };
        let invocation = Invocation {
            inference_id: Some(kept.inference_id.clone()),
            custom_attributes: kept.custom_attributes.clone(),
            ..Invocation::default()
        };
        let Ok(live) = self.invoker.live(&kept.account, endpoint) else {
            return Ok(Ended::Passed);
        };
        let patience = Duration::from_secs(kept.timeout);
        let answered = match self.invoker.ask(&live, asked, &invocation, patience).await {
            Ok(answered) => answered,
            Err(why) if why.passes() => return Ok(Ended::Passed),
            Err(why) => return Err(why.message),
        };
        let shared = Arc::clone(self);
        let output = kept.output.clone();
        let written =
            tokio::task::spawn_blocking(move || shared.write(&output, &answered.said.body));
        match written.await {
            Ok(Ok(())) => Ok(Ended::Done),
            Ok(Err(ObjectError::Unavailable(_))) | Err(_) => Ok(Ended::Passed),
            Ok(Err(error)) => Err(format!("{} cannot be written: {error}", kept.output)),
        }
    }

    /// An object, and what its writer said that it is.
    fn read(&self, address: &str) -> Result<(Bytes, Option<String>), Unread> {
        let never = |why: String| Unread::Never(format!("{address} cannot be read: {why}"));
        let (bucket, key) = s3(address).unwrap_or_default();
        let name = ObjectName::new(bucket, key, None).map_err(|error| never(error.to_string()))?;
        let unread = |error: ObjectError| match error {
            ObjectError::Unavailable(_) => Unread::Passes,
            error => never(error.to_string()),
        };
        let object = self.objects.open(&name).map_err(unread)?;
        let said = self.objects.content_type(&name).map_err(unread)?;
        if object.length > self.largest {
            return Err(never(format!(
                "it has {} bytes, and at most {} are read",
                object.length, self.largest
            )));
        }
        let mut body = Vec::new();
        let mut bytes = object.bytes.take(self.largest);
        match bytes.read_to_end(&mut body) {
            Ok(_) => Ok((body.into(), said)),
            Err(_) => Err(Unread::Passes),
        }
    }

    fn write(&self, address: &str, body: &[u8]) -> Result<(), ObjectError> {
        let (bucket, key) = s3(address).unwrap_or_default();
        let mut object = self.objects.create(&ObjectName::new(bucket, key, None)?)?;
        object.write_all(body)?;
        object.commit().map(|_| ())
    }
}

/// One that is being answered.
struct Running<'a> {
    shared: &'a Shared,
    id: i64,
    /// Whether it is answered, and not to be tried again.
    forgotten: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.running.remove(&self.id);
        if !self.forgotten {
            state.later.insert(self.id, Instant::now() + AGAIN);
        }
        state.look = true;
        drop(state);
        self.shared.changed.notify_all();
    }
}

enum Ended {
    /// The answer is there.
    Done,
    /// It is said why there is none, where that can be said.
    Failed,
    /// It is tried again.
    Passed,
}

enum Unread {
    Passes,
    Never(String),
}
