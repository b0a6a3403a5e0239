//! What every door is given: the predictions, the limits, the counters, and what is ready.

use crate::config::Config;
use crate::gallery::Gallery;
use crate::gallery::celebrities::Celebrities;
use crate::hosted::Hosted;
use crate::metrics::Metrics;
use crate::object_store::{Objects as StoredObjects, memory::Memory};
use crate::ready::Readiness;
use crate::s3::S3;
use crate::server::body::Buffers;
use crate::topics::Topics;
use bytes::Bytes;
use escala_batch::runner::Runner;
use escala_pipelines::bodies::{Bodies, BodiesInput};
use escala_pipelines::classes::Classes;
use escala_pipelines::embeddings::{Embedding, EmbeddingInput};
use escala_pipelines::faces::{Faces, FacesInput};
use escala_pipelines::labels::{Labels, LabelsInput};
use escala_pipelines::language::Languages;
use escala_pipelines::moderation::{Moderated, ModerationInput};
use escala_pipelines::objects::{Objects, ObjectsInput};
use escala_pipelines::ocr::{OcrFound, OcrInput};
use escala_pipelines::pii::{Pii, PiiInput};
use escala_pipelines::render::RenderInput;
use escala_pipelines::sentiment::{Scores, SentimentInput};
use escala_pipelines::syntax::{Syntax, SyntaxInput};
use escala_pipelines::targeted::Targeted;
use escala_pipelines::toxicity::Toxicity;
use escala_pipelines::{Error, Kind, Options, Result};
use escala_stream_ingest::broker;
use escala_stream_ingest::flow::Flows;
use escala_stream_ingest::log::Log;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A future that answers a batch, one result per input, in order.
pub type Answers<'a, O> = Pin<Box<dyn Future<Output = Vec<Result<O>>> + Send + 'a>>;

/// One kind of prediction as a door sees it. The engine's handles are one; tests bring others.
///
/// The contract: as many results as inputs, in the same order; an input that fails does not fail its
/// neighbours; dropping the future gives up the places in the queue.
pub trait Predict<I, O>: Send + Sync {
    /// Predicts every input.
    fn predict_many(&self, inputs: Vec<I>, options: Options) -> Answers<'_, O>;

    /// Whether it takes texts of any length, because it cuts long ones into windows ([`crate::long_texts`]).
    /// Doors that have a limit for long texts then use it.
    fn reads_long_texts(&self) -> bool {
        false
    }
}

impl<I, O, P: Predict<I, O> + ?Sized> Predict<I, O> for Arc<P> {
    fn predict_many(&self, inputs: Vec<I>, options: Options) -> Answers<'_, O> {
        (**self).predict_many(inputs, options)
    }

    fn reads_long_texts(&self) -> bool {
        (**self).reads_long_texts()
    }
}

/// Predicts one input.
///
/// # Errors
/// Its own; `Internal` when there is no answer.
pub async fn one<I, O>(predict: &dyn Predict<I, O>, input: I, options: Options) -> Result<O> {
    let answer = predict.predict_many(vec![input], options).await.pop();
    answer.unwrap_or_else(|| {
        Err(Error::new(
            Kind::Internal,
            "the engine answered fewer items than it was given",
        ))
    })
}

/// What is asked about images beside their labels.
#[derive(Clone)]
pub struct Images {
    /// Things with a place, to be joined with labels; without it labels have no instances.
    pub objects: Option<Arc<dyn Predict<ObjectsInput, Objects>>>,
    /// Faces.
    pub faces: Arc<dyn Predict<FacesInput, Faces>>,
    /// Text.
    pub text: Arc<dyn Predict<OcrInput, OcrFound>>,
    /// What a moderator should see.
    pub moderation: Arc<dyn Predict<ModerationInput, Moderated>>,
    /// People, the parts of their bodies, and what covers them.
    pub bodies: Arc<dyn Predict<BodiesInput, Bodies>>,
    /// Pictures of answers, as PNG files.
    pub render: Arc<dyn Predict<RenderInput, Bytes>>,
    /// Classes, where the configuration names a classifier.
    pub classes: Option<Arc<dyn Predict<Bytes, Classes>>>,
    /// Collections of faces.
    pub gallery: Arc<Gallery>,
    /// People whom the operator made known.
    pub celebrities: Arc<Celebrities>,
    /// Images that are named instead of sent.
    pub stored: StoredObjects,
}

impl Images {
    /// Those of a server that has none of the tasks: every question is answered as unavailable. For doors that are put
    /// together without an engine.
    pub fn unavailable() -> Self {
        let gallery = || {
            let none = Err("there is no folder for collections".to_owned());
            let limits = escala_collections::Limits::default();
            Gallery::new(none, limits, Arc::new(Unavailable))
        };
        let buffers = Arc::new(Buffers::new(0));
        Self {
            objects: None,
            faces: Arc::new(Unavailable),
            text: Arc::new(Unavailable),
            moderation: Arc::new(Unavailable),
            bodies: Arc::new(Unavailable),
            render: Arc::new(Unavailable),
            classes: None,
            gallery: Arc::new(gallery()),
            celebrities: Arc::new(Celebrities::new(gallery())),
            stored: StoredObjects::new(Arc::new(Memory::default()), 0, buffers),
        }
    }
}

/// Answers that there is no such task.
pub(crate) struct Unavailable;

impl<I: Send + 'static, O: Send + 'static> Predict<I, O> for Unavailable {
    fn predict_many(&self, inputs: Vec<I>, _: Options) -> Answers<'_, O> {
        let none = |_| Err(Error::new(Kind::Unavailable, "there is no such task here"));
        Box::pin(async move { inputs.into_iter().map(none).collect() })
    }
}

/// The text of what the engine counts, in the format of Prometheus.
pub type EngineMetrics = Box<dyn Fn() -> String + Send + Sync>;

/// Everything behind the doors.
pub struct App {
    /// The configuration in force.
    pub config: Config,
    /// Dominant language of a text.
    pub language: Arc<dyn Predict<String, Languages>>,
    /// Sentiment of a text.
    pub sentiment: Arc<dyn Predict<SentimentInput, Scores>>,
    /// Words, names and phrases of a text.
    pub syntax: Arc<dyn Predict<SyntaxInput, Syntax>>,
    /// What a text speaks of, and the sentiment towards each.
    pub targeted: Arc<dyn Predict<Arc<str>, Targeted>>,
    /// Personal data in a text.
    pub pii: Arc<dyn Predict<PiiInput, Pii>>,
    /// Toxicity of a text.
    pub toxicity: Arc<dyn Predict<Arc<str>, Toxicity>>,
    /// Embedding of a text.
    pub embeddings: Arc<dyn Predict<EmbeddingInput, Embedding>>,
    /// Classes of a text, where the configuration names a classifier.
    pub classify: Option<Arc<dyn Predict<Arc<str>, Classes>>>,
    /// Labels of an image.
    pub labels: Arc<dyn Predict<LabelsInput, Labels>>,
    /// Everything else about images.
    pub images: Images,
    /// Objects for S3's clients.
    pub s3: S3,
    /// The event log, where the configuration does not turn it off. A server sets it when it has opened the log.
    pub log: Option<Log>,
    /// What the door for Kafka's clients counts, where there is one.
    pub kafka_metrics: Option<Arc<broker::Metrics>>,
    /// What requests about topics share.
    pub topics: Topics,
    /// The flows on it.
    pub flows: Option<Arc<Flows>>,
    /// Jobs at work. A server sets it when it has opened them.
    pub jobs: Option<Arc<Runner>>,
    /// What is trained and hosted. A server sets it with the jobs.
    pub sagemaker: Hosted,
    /// Queries in SQL, in a server.
    #[cfg(feature = "sql")]
    pub sql: Option<Arc<crate::sql::Queries>>,
    /// What the doors count.
    pub metrics: Arc<Metrics>,
    /// What the engine counts.
    pub engine_metrics: EngineMetrics,
    /// Which of the preloaded models are warm.
    pub ready: Arc<Readiness>,
    /// The memory that requests' bodies, large answers and objects share.
    pub buffers: Arc<Buffers>,
}
