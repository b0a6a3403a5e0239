//! Jobs of a server: where they are kept, who answers for them, and what is counted; and what is kept of SageMaker, whose
//! trainings and transforms are jobs.
//!
//! [`escala_batch`] plans, resumes and assembles; each kind of job is a work that asks the same engine as every door, after
//! whoever waits for an answer. Their state is in `jobs` of the data folder, which one server at a time has.

use crate::app::App;
use crate::aws::{self, Aws};
use crate::config::Config;
use crate::failure::{Failure, chain};
use crate::hosted::{Checkpoints, Onnx, Tasks};
use crate::image_classifier::{ImageClassification, ImageClassifiers};
use crate::machine::{Machine, data_folder};
use crate::s3::places::Places;
use crate::scoring::Score;
#[cfg(feature = "sql")]
use crate::sql::copying;
use crate::text_classifier::TextClassification;
use axum::http::StatusCode;
use escala_batch::behind;
use escala_batch::runner::{Cut, Error, Options, Runner};
use escala_batch::store::{self, sqlite::Sqlite};
#[cfg(feature = "sql")]
use escala_batch::work::Work;
use escala_pipelines::Kind;
use escala_sagemaker::served::Opener;
use escala_sagemaker::training::{self, Trainer};
use escala_sagemaker::{SageMaker, Settings, hosting, models};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How often what SageMaker's jobs came to is put down without being asked for.
const LOOK: Duration = Duration::from_secs(1);

/// Jobs at work, and what is trained and hosted.
pub struct Opened {
    /// The jobs.
    pub runner: Arc<Runner>,
    /// The others.
    pub sagemaker: Arc<SageMaker>,
}

/// Who trains and opens models, beside those that know tables.
pub struct Hosts {
    /// Who trains.
    pub trainers: Vec<Box<dyn Trainer>>,
    /// Who opens.
    pub openers: Vec<Arc<dyn Opener>>,
}

impl Hosts {
    /// The app is the one that hosted tasks ask.
    pub fn of(machine: &Machine, asking: Arc<App>) -> Self {
        let engine = machine.engine.config();
        let (weights, device) = (machine.store.clone(), engine.device.clone());
        let threads = engine.threads_per_lane;
        let limits = crate::machine::image_limits(&asking.config).of_any_size();
        Self {
            trainers: vec![
                Box::new(TextClassification {
                    weights: weights.clone(),
                    device: device.clone(),
                    threads,
                }),
                Box::new(ImageClassification {
                    weights: weights.clone(),
                    device: device.clone(),
                    threads,
                    limits,
                }),
            ],
            openers: vec![
                Arc::new(Tasks(asking)),
                Arc::new(Checkpoints {
                    weights: weights.clone(),
                    device: device.clone(),
                    precision: engine.precision,
                    threads,
                    limits,
                }),
                Arc::new(Onnx {
                    weights: weights.clone(),
                    device: device.clone(),
                    threads,
                    limits,
                }),
                Arc::new(ImageClassifiers {
                    weights,
                    device,
                    threads,
                    limits,
                }),
            ],
        }
    }
}

/// The jobs of a server, at work; none where there is no folder for them or another server has it: the log says why. The app is
/// the one that is asked; inputs and outputs are in the places, and queries may read the sources, too.
///
/// # Errors
/// A sentence when what is in the folder cannot be used.
pub fn open(
    config: &Config,
    asking: &Arc<App>,
    places: Arc<Places>,
    hosts: Hosts,
    #[cfg(feature = "sql")] sources: Vec<Arc<dyn escala_sql::sources::Sources>>,
) -> Result<Option<Opened>, String> {
    let none = |why: String| {
        tracing::warn!(why, "this server keeps no jobs");
        Ok(None)
    };
    behind::allow(config.jobs.behind);
    let data = match data_folder(config) {
        Ok(data) => data,
        Err(why) => return none(why),
    };
    let store = match Sqlite::open(&data.join("jobs")) {
        Ok(store) => store,
        Err(error @ (store::Error::Held(_) | store::Error::Open { .. })) => {
            return none(chain(&error));
        }
        Err(error) => return Err(chain(&error)),
    };
    let scoring = Score::all(
        asking,
        #[cfg(feature = "sql")]
        &places,
    )?;
    let aws = Aws::of(asking);
    let works = aws::jobs::works(&aws).chain(scoring);
    #[cfg(feature = "sql")]
    let works = works.chain([{
        let copies = copying::Copies::open(asking, places.clone(), sources)?;
        let work: Arc<dyn Work> = Arc::new(copies);
        (copying::KIND.to_owned(), work)
    }]);
    let sagemaker = SageMaker::open(
        &data.join("sagemaker"),
        places.clone(),
        hosts.trainers,
        hosts.openers,
        Handle::current(),
        settings(config),
    )?;
    let works = works.chain(sagemaker.works()).collect();
    let jobs = &config.jobs;
    let options = Options {
        jobs: jobs.running,
        tasks: jobs.tasks,
        live: jobs.live,
        cut: Cut {
            bytes: jobs.task_bytes.get(),
            documents: jobs.task_documents,
        },
        patience: jobs.patience.get(),
        retention: jobs.retention.get(),
        ..Options::default()
    };
    let runner = Runner::start(Arc::new(store), places, Arc::new(works), options);
    let runner = Arc::new(runner.map_err(|error| chain(&error))?);
    let refused = |refusal: escala_sagemaker::Refusal| refusal.message;
    sagemaker.attach(&runner).map_err(refused)?;
    let sagemaker = Arc::new(sagemaker);
    let looking = Arc::downgrade(&sagemaker);
    Handle::current().spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(sagemaker) = looking.upgrade() else {
                return;
            };
            let looked = tokio::task::spawn_blocking(move || sagemaker.settle()).await;
            if let Ok(Err(error)) = looked {
                tracing::warn!(%error, "what SageMaker's jobs came to is not known");
            }
        }
    });
    Ok(Some(Opened { runner, sagemaker }))
}

/// What SageMaker's jobs and models may take.
fn settings(config: &Config) -> Settings {
    let settings = &config.sagemaker;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Settings {
        training: training::Options {
            most_bytes: settings.training_bytes.get(),
            threads: match settings.training_threads {
                0 => processors,
                threads => threads,
            },
        },
        hosting: hosting::Options {
            models: models::Options {
                memory: settings.memory.get(),
                ..models::Options::default()
            },
            ..hosting::Options::default()
        },
        threads: processors,
    }
}

/// What is counted of jobs, in the text format of Prometheus.
///
/// # Errors
/// The jobs cannot be read.
pub fn write_metrics(jobs: &Runner, text: &mut String) -> Result<(), Error> {
    text.push_str("# HELP escala_jobs Jobs that are kept, by state.\n# TYPE escala_jobs gauge\n");
    for (state, count) in jobs.states()? {
        text.push_str(&format!("escala_jobs{{state=\"{state}\"}} {count}\n"));
    }
    let (documents, errors) = jobs.counted();
    for (name, help, value) in [
        (
            "documents",
            "Documents of finished tasks of jobs.",
            documents,
        ),
        (
            "errors",
            "Documents of finished tasks of jobs that have no answer.",
            errors,
        ),
    ] {
        let name = format!("escala_job_{name}_total");
        text.push_str(&format!(
            "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}\n"
        ));
    }
    Ok(())
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        use store::Error as S;
        let message = chain(&error);
        match error {
            Error::Store(S::NotFound(_)) => Self::of_kind(Kind::NotFound, message),
            Error::Store(S::State { .. } | S::Token | S::Fenced { .. }) => {
                Self::new(StatusCode::CONFLICT, "conflict", message)
            }
            Error::Store(S::Quota { .. }) => {
                Self::new(StatusCode::CONFLICT, "limit_exceeded", message)
            }
            Error::Kind(_) => Self::invalid(message),
            _ => Self::of_kind(Kind::Unavailable, message),
        }
    }
}
