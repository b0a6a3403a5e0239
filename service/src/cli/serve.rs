//! `escala serve`: the life of a server from its first line to its last.
//!
//! The port is bound before any model is touched, so `/healthz` answers at once and a second server on
//! the same port fails at once; `/readyz` answers 503 until the models to preload are warm. A model that
//! cannot be loaded does not stop the others: the reason is printed and told by `/readyz`, and it is tried
//! again. SIGINT or SIGTERM stops accepting and drains, after the time that balancers were given to see it coming
//! (`shutdown.delay`); a second one ends the process at once. A disk that fails under
//! the event log ends it too, with an error: what was acknowledged is there at the next start.

use super::Stop;
use super::settings::flag;
use crate::config::{Config, Flag, Loaded, LogFormat, TASKS};
use crate::doors;
use crate::failure::chain;
use crate::flows;
use crate::hosted::Hosted;
use crate::jobs;
use crate::kafka::Kafka;
use crate::machine::{Machine, data_folder};
use crate::ready::Readiness;
use crate::server;
use clap::Args;
use escala_models::Precision;
use escala_weights::Terminal;
use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Waiting before a model that could not be loaded is tried again; doubles up to the longest.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(300);

/// Threads that serve connections; the work is done by the engine's own threads.
const MOST_IO_THREADS: usize = 4;

/// Threads that read large bodies (JSON, base64) and old records of the event log, and look after jobs, beside one for each model that is being
/// pulled and one for the end. Without a bound, as many large bodies would be read at once as there are connections.
const BLOCKING_THREADS: usize = 16 + TASKS.len() + 1;
/// More of them where there are buckets elsewhere, whose answers may take long.
const REMOTE_THREADS: usize = 32;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala serve
  escala serve --listen 0.0.0.0:4566 --preload language,embeddings
  escala serve --offline --models-dir /var/lib/escala/models --log-format json")]
pub struct ServeArgs {
    /// Address of the HTTP doors; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address for Kafka's clients, or `off`.
    #[arg(long, value_name = "ADDRESS|off")]
    kafka: Option<String>,
    /// Tasks whose models are loaded at start, separated by commas.
    #[arg(long, value_name = "TASKS")]
    preload: Option<String>,
}

impl ServeArgs {
    pub fn flags(&self) -> Vec<Flag> {
        let flags = [
            flag("listen", "--listen", self.listen.as_ref()),
            flag("kafka.listen", "--kafka", self.kafka.as_ref()),
            flag("models.preload", "--preload", self.preload.as_ref()),
        ];
        flags.into_iter().flatten().collect()
    }
}

pub fn run(loaded: &Loaded) -> Result<(), Stop> {
    crate::files::open_more();
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .clamp(1, MOST_IO_THREADS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(match loaded.config.objects.remote.is_empty() {
            true => BLOCKING_THREADS,
            false => BLOCKING_THREADS + REMOTE_THREADS,
        })
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(|error| Stop::failed(&error))?;
    let outcome = runtime.block_on(serve(loaded.config.clone()));
    // Loads and pulls that are still running are abandoned; what they publish, they publish whole.
    runtime.shutdown_background();
    outcome
}

/// Holds the data folder, so that no second server begins to work on it: several of its stores open only when they are
/// asked for. A folder that cannot be made or written is for those that need it to complain of.
fn alone(config: &Config) -> Result<Option<File>, String> {
    let Ok(folder) = data_folder(config) else {
        return Ok(None);
    };
    let path = folder.join("server.lock");
    let made = std::fs::create_dir_all(&folder).and_then(|()| File::create(&path));
    let Ok(file) = made else {
        return Ok(None);
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(format!(
            "another server works on the data folder {}; `data.dir` sets another",
            folder.display()
        )),
        // A file system without locks has none to offer.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
    }
}

/// Says something to the person at the terminal, or to the log when it is for machines.
struct Voice(LogFormat);

impl Voice {
    fn say(&self, text: &str) {
        match self.0 {
            LogFormat::Text => note!("{text}"),
            LogFormat::Json => tracing::info!("{text}"),
        }
    }

    fn complain(&self, text: &str) {
        match self.0 {
            LogFormat::Text => note!("warning: {text}"),
            LogFormat::Json => tracing::warn!("{text}"),
        }
    }
}

async fn serve(config: Config) -> Result<(), Stop> {
    let voice = Arc::new(Voice(config.log.format));
    let mut signals = Signals::new().map_err(|error| Stop::failed(&error))?;
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        Stop::Failed(format!(
            "cannot listen on {}: {error}; choose another address with --listen",
            config.listen
        ))
    })?;
    let address = listener
        .local_addr()
        .map_err(|error| Stop::failed(&error))?;
    let open = [Some(address), config.kafka.listen.address()];
    for address in open
        .into_iter()
        .flatten()
        .filter(|one| !one.ip().is_loopback())
    {
        voice.complain(&format!(
            "whoever reaches {address} may read, change and delete everything: keys and signatures are not checked; keep it in a network of yours"
        ));
    }

    let _alone = alone(&config).map_err(Stop::Failed)?;
    let kafka = Kafka::open(&config).await.map_err(Stop::Failed)?;

    let preload: Vec<&'static str> = TASKS
        .into_iter()
        .filter(|task| {
            let asked = config.models.preload.iter().any(|name| name == task);
            asked || config.checkpoints.tasks().any(|name| name == *task)
        })
        .collect();
    let ready = Arc::new(Readiness::new(preload.iter().copied()));
    let machine = Arc::new(Machine::start(&config).map_err(|error| Stop::failed(&error))?);
    #[cfg(feature = "remote")]
    for (name, url) in connect(&config, &machine).map_err(Stop::Usage)? {
        voice.say(&format!("the bucket {name} is {url}"));
    }
    let mut app = machine.app(config.clone(), ready.clone());
    if let Some(kafka) = &kafka {
        let asking = machine.app(config.clone(), ready.clone());
        let flows = flows::open(kafka.log(), asking, &machine);
        let flows = flows.map_err(|why| Stop::Failed(format!("cannot open the flows: {why}")))?;
        app.log = Some(kafka.log().clone());
        app.flows = Some(Arc::new(flows));
        app.kafka_metrics = Some(kafka.metrics().clone());
    }
    let (settings, asking) = (config.clone(), machine.app(config.clone(), ready.clone()));
    let asking = Arc::new(asking);
    let places = machine.places.clone();
    let mut hosted = machine.app(config.clone(), ready.clone());
    // Who is hosted asks nobody who is.
    hosted.sagemaker = Hosted::default();
    let hosts = jobs::Hosts::of(&machine, Arc::new(hosted));
    #[cfg(feature = "sql")]
    let sources = crate::sql::tables::of(&app);
    let jobs = tokio::task::spawn_blocking(move || {
        jobs::open(
            &settings,
            &asking,
            places,
            hosts,
            #[cfg(feature = "sql")]
            sources,
        )
    });
    let jobs = jobs.await.unwrap_or_else(|error| Err(error.to_string()));
    let jobs = jobs.map_err(|why| Stop::Failed(format!("cannot open the jobs: {why}")))?;
    if let Some(jobs) = jobs {
        app.jobs = Some(jobs.runner);
        if app.sagemaker.set(jobs.sagemaker).is_err() {
            return Err(Stop::Failed("models were hosted twice".to_owned()));
        }
    }
    #[cfg(feature = "sql")]
    {
        let asking = machine.app(config.clone(), ready.clone());
        let queries =
            crate::sql::Queries::open(asking, machine.places.clone(), &app).map_err(Stop::Usage)?;
        app.sql = Some(Arc::new(queries));
    }
    let app = Arc::new(app);
    let engine = machine.engine.config();
    voice.say(&format!(
        "escala {} listens on http://{address} (AWS endpoint, REST: /docs, OpenAI: /v1), {} x {} threads on {}",
        env!("CARGO_PKG_VERSION"),
        engine.lanes,
        engine.threads_per_lane,
        match (engine.device.is_cpu(), engine.precision) {
            (true, Precision::Full) => "the CPU",
            (true, Precision::Int8) => "the CPU, text encoders in 8 bits",
            (false, _) => "CUDA",
        },
    ));

    let (stop, stopping) = watch::channel(false);
    let (broken, mut breaking) = watch::channel(false);
    let kafka = kafka.map(|kafka| {
        voice.say(&format!("Kafka's protocol on {}", kafka.address()));
        let (config, mut stopping) = (config.clone(), stopping.clone());
        tokio::spawn(async move {
            let ended = kafka.serve(&config, async move {
                // An error is the end of whoever would say so.
                let _ = stopping.wait_for(|stop| *stop).await;
            });
            let ended = ended.await;
            // Nobody needs to know when everything stops already.
            let _ = broken.send(ended.is_err());
            ended
        })
    });
    let progress = Arc::new(Terminal::new());
    for task in preload {
        tokio::spawn(keep_warm(
            task,
            machine.clone(),
            ready.clone(),
            voice.clone(),
            progress.clone(),
            stopping.clone(),
        ));
    }
    // Only the tasks hold it now, so that its bars do not outlive them.
    drop(progress);

    let asked = {
        let (ready, voice, flows) = (ready.clone(), voice.clone(), app.flows.clone());
        let jobs = app.jobs.clone();
        let (delay, grace) = (config.shutdown.delay, config.shutdown.grace);
        async move {
            let broken = tokio::select! {
                () = signals.next() => false,
                Ok(_) = breaking.wait_for(|broken| *broken) => true,
            };
            if !broken && !delay.get().is_zero() {
                ready.leave();
                voice.say(&format!(
                    "stopping in {delay}: /readyz says so now; a second signal ends it at once"
                ));
                tokio::select! {
                    () = tokio::time::sleep(delay.get()) => (),
                    Ok(_) = breaking.wait_for(|broken| *broken) => (),
                    () = signals.next() => std::process::exit(130),
                }
            }
            ready.stop();
            if let Some(flows) = flows {
                flows.stop();
            }
            if let Some(jobs) = jobs {
                // Waited for below, before the engine ends.
                tokio::task::spawn_blocking(move || jobs.rest());
            }
            // Tasks that ended already have no need to know.
            let _ = stop.send(true);
            voice.say(&format!("stopping: finishing what has started, at most {grace}; a second signal ends it at once"));
            // The second signal leaves no time for anything.
            tokio::spawn(async move {
                signals.next().await;
                std::process::exit(130);
            });
        }
    };
    let router = doors::router(app.clone());
    let drained = server::run(listener, router, &config, app.metrics.clone(), asked).await;

    let kafka = match kafka {
        Some(serving) => match serving.await {
            Ok(ended) => ended.map_err(|error| chain(&error)),
            Err(error) => Err(error.to_string()),
        },
        None => Ok(()),
    };

    if let Some(jobs) = app.jobs.clone()
        && let Err(error) = tokio::task::spawn_blocking(move || jobs.rest()).await
    {
        tracing::error!(%error, "jobs were not put down");
    }

    // All that had a request has been answered or given up; the engine only has to put down its work.
    let deadline = Instant::now()
        + if drained {
            config.shutdown.grace.get()
        } else {
            Duration::ZERO
        };
    let engine = machine.engine.clone();
    let ended = tokio::task::spawn_blocking(move || engine.shutdown(deadline)).await;
    let quiet = ended.as_ref().is_ok_and(|ended| ended.abandoned == 0);
    if let Err(why) = kafka {
        return Err(Stop::Failed(format!("the event log stopped: {why}")));
    }
    if drained && quiet {
        voice.say("stopped");
        Ok(())
    } else {
        Err(Stop::Failed(
            "stopped with requests unfinished: the grace period (`shutdown.grace`) was over"
                .to_owned(),
        ))
    }
}

/// Makes the clients of buckets elsewhere; their names and addresses. Nothing is asked of them.
#[cfg(feature = "remote")]
fn connect<'a>(
    config: &'a Config,
    machine: &Machine,
) -> Result<impl Iterator<Item = (&'a str, &'a str)> + use<'a>, String> {
    use escala_objects::remote::{Remote, Settings};
    let buckets = config.objects.remote.iter();
    let settings: Vec<(&str, Settings)> = buckets
        .clone()
        .map(|(name, bucket)| (name.as_str(), bucket.into()))
        .collect();
    if !settings.is_empty() {
        let settings = settings.iter().map(|(name, settings)| (*name, settings));
        let remote = Remote::new(settings, &|variable| std::env::var(variable).ok());
        let remote = remote.map_err(|error| format!("`objects.remote`: {error}"))?;
        let names: Vec<String> = remote.names().map(str::to_owned).collect();
        machine.places.connect(Arc::new(remote), names);
    }
    Ok(buckets.map(|(name, bucket)| (name.as_str(), bucket.url.as_str())))
}

/// Pulls and loads one model, again and again until it is warm or the server stops.
async fn keep_warm(
    task: &'static str,
    machine: Arc<Machine>,
    ready: Arc<Readiness>,
    voice: Arc<Voice>,
    progress: Arc<Terminal>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut pause = RETRY_FIRST;
    loop {
        let (worker, bars) = (machine.clone(), progress.clone());
        let outcome = tokio::task::spawn_blocking(move || {
            worker
                .warm_named(task, &*bars)
                .map_err(|error| chain(&error))
        })
        .await;
        if *stopping.borrow() {
            return;
        }
        let message = match outcome {
            Ok(Ok(())) => {
                ready.ready(task);
                let model = machine.model_of(task).unwrap_or_default();
                voice.say(&format!(
                    "{task} is ready ({model}) after {:.2} s",
                    ready.age().as_secs_f64()
                ));
                if ready.is_ready() {
                    voice.say("ready");
                }
                return;
            }
            Ok(Err(message)) => message,
            Err(error) => format!("loading failed: {error}"),
        };
        voice.complain(&format!(
            "{task} is not ready: {message}\ntrying again in {} s",
            pause.as_secs()
        ));
        ready.failed(task, message);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopping.changed() => return,
        }
        pause = (pause * 2).min(RETRY_LONGEST);
    }
}

/// The signals that ask a server to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
