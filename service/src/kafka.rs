//! The event log behind a server, and its door: Kafka's protocol on a port of its own.
//!
//! The log is opened before the port answers, so that nobody meets one that is still recovering. When its disk fails, what
//! it has acknowledged is on the disk and nothing more can be promised: the server ends, and the next start recovers.

use crate::config::Config;
use crate::failure::chain;
use crate::files::within_files;
use crate::machine::data_folder;
use escala_stream_ingest::broker;
use escala_stream_ingest::log::disk::Folder;
use escala_stream_ingest::log::{Error, Log, Options, TopicConfig};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The log's folder in the data folder.
pub const FOLDER: &str = "log";

/// Where the log is.
///
/// # Errors
/// When nothing says where.
pub fn folder(config: &Config) -> Result<PathBuf, String> {
    Ok(data_folder(config)?.join(FOLDER))
}

/// How the log is opened.
///
/// # Errors
/// When topics cannot have the settings that `kafka.topic_defaults` gives them.
pub fn log_options(config: &Config) -> Result<Options, String> {
    let settings = config.kafka.topic_settings().unwrap_or_default();
    let settings = settings.iter().map(|(name, value)| (&**name, &**value));
    let defaults = TopicConfig::given(settings)
        .map_err(|error| format!("`kafka.topic_defaults`: {}", chain(&error)))?;
    Ok(Options {
        defaults,
        reserve_bytes: config.kafka.reserve.get(),
        cache_bytes: config.kafka.cache.as_usize(),
        transactional_id_expiration: config.kafka.transactional_id_expiration.get(),
        ..Options::default()
    })
}

/// An open log and the port that leads to it.
pub struct Kafka {
    log: Log,
    listener: TcpListener,
    address: SocketAddr,
    folder: PathBuf,
    metrics: Arc<broker::Metrics>,
}

impl Kafka {
    /// Opens both; nothing where the configuration turns them off.
    ///
    /// # Errors
    /// A sentence with what is in the way and which setting helps.
    pub async fn open(config: &Config) -> Result<Option<Self>, String> {
        let Some(wanted) = config.kafka.listen.address() else {
            return Ok(None);
        };
        let failed = |what: &str, why: String| {
            format!(
                "{what}: {why}; set `kafka.listen` to another address, or to `off` for a server without it"
            )
        };
        let homeless =
            |what: &str, why: String| format!("{what}: {why}; `data.dir` sets the folder");
        let listener = TcpListener::bind(wanted).await.map_err(|error| {
            let what = format!("cannot listen for Kafka's clients on {wanted}");
            failed(&what, error.to_string())
        })?;
        let unknown = |error: io::Error| error.to_string();
        let address = listener.local_addr().map_err(unknown)?;
        let folder = folder(config);
        let folder = folder.map_err(|why| homeless("the event log has no place", why))?;
        let options = log_options(config)?;
        let place = folder.clone();
        let opened = tokio::task::spawn_blocking(move || -> Result<Log, String> {
            let disk = Folder::open(place).map_err(unknown)?;
            Log::open(Arc::new(disk), options).map_err(|error| match error {
                Error::Damaged { .. } => format!(
                    "{}; `escala log check` lists all damage, and `escala log repair` goes on without what is lost",
                    chain(&error)
                ),
                error => chain(&error),
            })
        });
        let opened = opened.await.map_err(|error| error.to_string())?;
        let what = || format!("cannot open the event log in {}", folder.display());
        let log = opened.map_err(|why| homeless(&what(), why))?;
        Ok(Some(Self {
            log,
            listener,
            address,
            folder,
            metrics: Arc::default(),
        }))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What the door for Kafka's clients counts.
    pub fn metrics(&self) -> &Arc<broker::Metrics> {
        &self.metrics
    }

    /// Serves clients until `stop` completes or the disk fails, then closes the log.
    ///
    /// # Errors
    /// That of the disk.
    pub async fn serve(self, config: &Config, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let groups = broker::GroupLimits {
            members: config.kafka.group_members,
            initial_delay: config.kafka.group_initial_delay.get(),
            shortest_session: config.kafka.group_shortest_session.get(),
            longest_session: config.kafka.group_longest_session.get(),
            offsets_retention: config.kafka.offsets_retention.get(),
            ..broker::GroupLimits::default()
        };
        let limits = broker::Limits {
            connections: within_files(config.kafka.connections, "kafka.connections"),
            ..broker::Limits::default()
        };
        let options = broker::Options {
            groups,
            limits,
            cluster: self.log.cluster_id().to_string(),
            folder: self.folder.display().to_string(),
            advertised: config.kafka.advertised(),
            auto_create: config.kafka.auto_create,
            partitions: config.kafka.partitions,
            accept_replication: config.kafka.accept_replication,
            metrics: self.metrics.clone(),
            ..broker::Options::default()
        };
        let failing = self.log.clone();
        let mut failure = None;
        let ended = async {
            tokio::select! {
                error = failing.failed() => failure = Some(error),
                () = stop => (),
            }
        };
        broker::serve(self.listener, self.log.clone(), options, ended).await;
        match failure {
            Some(error) => Err(error),
            None => self.log.close().await,
        }
    }
}
