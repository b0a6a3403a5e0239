//! A broker over the event log: what Kafka's clients connect to.
//!
//! | file | what |
//! | --- | --- |
//! | `connection.rs` | one connection: requests in, answers out in the same order |
//! | `dispatch.rs` | which APIs are served in which versions, and by which function |
//! | `budget.rs` | bytes that all connections share |
//! | `produce.rs`, `fetch.rs`, `sessions.rs` | records in and out |
//! | `offsets.rs` | where a partition begins and ends, records by time, records that are deleted |
//! | `metadata.rs`, `versions.rs`, `cluster.rs` | what a client asks first |
//! | `producers.rs`, `transactions.rs` | producers that number their batches, and those that end them together |
//! | `topics.rs`, `configs.rs`, `acls.rs` | administration |
//! | `groups.rs`, `groups/` | consumer groups of the classic protocol |
//! | `codes.rs` | Kafka's error numbers |
//! | `metrics.rs` | what is counted |
//!
//! It translates: what is stored, in which order and how safely is the business of [`crate::log`]. It is one node with
//! the leadership of every partition. There is no authentication; whoever reaches the port may do everything.
//!
//! Promises: what is held for requests, for answers and for groups is bounded, each by a number of [`Limits`]; a client
//! that sends or takes too slowly is cut off; `acks=all` is answered when the records are on the disk.

mod acls;
mod budget;
mod cluster;
mod codes;
mod configs;
mod connection;
mod dispatch;
mod fetch;
mod groups;
mod metadata;
mod metrics;
mod offsets;
mod produce;
mod producers;
mod sessions;
mod topics;
mod transactions;
mod versions;

pub use codes::Code;
pub use metrics::Metrics;
pub use sessions::SessionLimits;

use crate::log::Log;
use budget::Budget;
use groups::Groups;
use sessions::Sessions;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How long to wait after the system refused to accept (no file handles left) before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a broker presents itself and what it allows.
#[derive(Debug, Clone)]
pub struct Options {
    /// The number of the only node.
    pub node: i32,
    /// What clients know the cluster by.
    pub cluster: String,
    /// The host and port that clients are told to connect to; `None` the address they connected to.
    pub advertised: Option<(String, u16)>,
    /// The folder of the log, as it is shown to administrators.
    pub folder: String,
    /// Whether a topic is made when a client that allows it asks for one that is not there.
    pub auto_create: bool,
    /// Partitions of a topic whose maker did not say.
    pub partitions: u32,
    /// Whether a topic may be made with a replication factor above 1, which means 1: many programs always say 3.
    pub accept_replication: bool,
    /// What groups are allowed.
    pub groups: GroupLimits,
    /// What fetch sessions are allowed.
    pub sessions: SessionLimits,
    /// What connections are allowed.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What connections are allowed.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// Bytes of a Produce request.
    pub produce_bytes: usize,
    /// Bytes of any other request.
    pub request_bytes: usize,
    /// Bytes of all requests that are being read or begun, and of Fetch requests that wait. One request may go beyond where
    /// all of these are parts of others that wait for more.
    pub requests_bytes: usize,
    /// Bytes of all answers without records that are not written yet, but for small ones.
    pub replies_bytes: usize,
    /// Bytes of records in one answer, if one batch alone is not more.
    pub fetch_bytes: usize,
    /// Bytes of records in all answers that are not written yet.
    pub answers_bytes: usize,
    /// Longest that a Fetch may wait for records.
    pub fetch_wait: Duration,
    /// Time without a request after which a connection is closed.
    pub idle: Duration,
    /// Time for a request to come whole.
    pub request_time: Duration,
    /// Time within which a client must take something of its answer, and all of it, with a second for each MiB beside.
    pub answer_time: Duration,
    /// Time for answers that are due when the broker stops.
    pub grace: Duration,
}

/// What groups are allowed.
#[derive(Debug, Clone)]
pub struct GroupLimits {
    /// Groups that have members.
    pub groups: usize,
    /// Members of a group.
    pub members: usize,
    /// Bytes of what the members of all groups say of themselves and are assigned.
    pub bytes: usize,
    /// Shortest session that a member may ask for.
    pub shortest_session: Duration,
    /// Longest session that a member may ask for.
    pub longest_session: Duration,
    /// How long an empty group waits for more members after the first.
    pub initial_delay: Duration,
    /// How long the offsets of a group are kept that nobody is in and nobody commits for: `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// How often expired offsets are looked for: `offsets.retention.check.interval.ms`.
    pub offsets_check: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            node: 1,
            cluster: "escala".to_owned(),
            advertised: None,
            folder: "data".to_owned(),
            auto_create: true,
            partitions: 1,
            accept_replication: false,
            groups: GroupLimits::default(),
            sessions: SessionLimits::default(),
            limits: Limits::default(),
            metrics: Arc::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            produce_bytes: 100 << 20,
            request_bytes: 8 << 20,
            requests_bytes: 256 << 20,
            replies_bytes: 64 << 20,
            fetch_bytes: 32 << 20,
            answers_bytes: 256 << 20,
            fetch_wait: Duration::from_secs(60),
            idle: Duration::from_secs(600),
            request_time: Duration::from_secs(60),
            answer_time: Duration::from_secs(30),
            grace: Duration::from_secs(5),
        }
    }
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self {
            groups: 10_000,
            members: 1000,
            bytes: 64 << 20,
            shortest_session: Duration::from_secs(6),
            longest_session: Duration::from_secs(1800),
            initial_delay: Duration::from_secs(3),
            offsets_retention: Duration::from_secs(7 * 24 * 3600),
            offsets_check: Duration::from_secs(600),
        }
    }
}

/// What all connections share.
pub(crate) struct Shared {
    log: Log,
    options: Options,
    requests: Budget,
    replies: Budget,
    answers: Budget,
    groups: Groups,
    sessions: Arc<Sessions>,
    stopping: watch::Receiver<bool>,
}

/// One connection, as the handlers of its requests see it.
#[derive(Clone)]
pub(crate) struct Context {
    shared: Arc<Shared>,
    peer: SocketAddr,
    local: SocketAddr,
    /// How the client calls itself.
    client: String,
}

impl Context {
    fn log(&self) -> &Log {
        &self.shared.log
    }

    fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Where this client finds the broker.
    fn address(&self) -> (String, i32) {
        match &self.options().advertised {
            Some((host, port)) => (host.clone(), i32::from(*port)),
            None => (
                self.local.ip().to_canonical().to_string(),
                i32::from(self.local.port()),
            ),
        }
    }

    /// Runs what may wait for the disk where waiting disturbs nobody.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Log) -> T + Send + 'static,
    ) -> Result<T, Code> {
        let log = self.log().clone();
        tokio::task::spawn_blocking(move || work(&log))
            .await
            .map_err(|error| {
                tracing::error!(%error, "a request ended early");
                Code::UnknownServerError
            })
    }
}

/// A partition's number, which the log counts without a sign.
fn partition(index: i32) -> Result<u32, Code> {
    u32::try_from(index).map_err(|_| Code::UnknownTopicOrPartition)
}

/// What a client is told of an error beside its number, unless there is none.
fn message(result: &Result<(), (Code, String)>) -> (i16, Option<String>) {
    match result {
        Ok(()) => (Code::None.number(), None),
        Err((code, message)) => (code.number(), Some(message.clone())),
    }
}

/// A log's error as number and words.
fn worded(error: crate::log::Error) -> (Code, String) {
    (Code::from(&error), error.to_string())
}

/// Accepts connections and serves them until `stop` completes; then answers what is due, within the grace period.
///
/// Waits for records and for groups end at once. The log stays open.
pub async fn serve(
    listener: TcpListener,
    log: Log,
    mut options: Options,
    stop: impl Future<Output = ()>,
) {
    let (stopper, stopping) = watch::channel(false);
    // No answer is more than there is for all.
    options.limits.fetch_bytes = options.limits.fetch_bytes.min(options.limits.answers_bytes);
    let limits = options.limits.clone();
    let places = Arc::new(Semaphore::new(
        limits.connections.min(Semaphore::MAX_PERMITS),
    ));
    let groups = {
        let directory = options.metrics.directory().clone();
        Groups::new(options.groups.clone(), log.now(), directory)
    };
    let shared = Arc::new(Shared {
        log,
        requests: Budget::new(limits.requests_bytes.max(limits.produce_bytes)),
        replies: Budget::new(limits.replies_bytes),
        answers: Budget::new(limits.answers_bytes),
        groups,
        sessions: Sessions::new(options.sessions.clone()),
        stopping,
        options,
    });
    shared.groups.restore(&shared.log);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    let mut sessions = std::pin::pin!(shared.groups.watch_sessions(&shared.log));
    let mut offsets = std::pin::pin!(shared.groups.watch_offsets(&shared.log));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut sessions => continue,
            () = &mut offsets => continue,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // There is no way to say so in the protocol; clients try again.
        let Ok(place) = places.clone().try_acquire_owned() else {
            shared.options.metrics.refused();
            tracing::debug!(%peer, "too many connections");
            continue;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            let _place = place;
            let metrics = shared.options.metrics.clone();
            let _open = metrics.opens();
            if let Err(closed) = attend(stream, shared).await {
                tracing::debug!(%peer, %closed, "connection closed");
            }
        });
    }
    drop(listener);
    shared.groups.close();
    // No receiver is left when no connection is.
    let _ = stopper.send(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.grace, drained).await.is_err() {
        connections.shutdown().await;
    }
}

async fn attend(stream: TcpStream, shared: Arc<Shared>) -> Result<(), connection::Closed> {
    let nodelay: io::Result<()> = stream.set_nodelay(true);
    nodelay?;
    connection::serve(stream, shared).await
}
