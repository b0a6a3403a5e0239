//! The engine with its tasks, built from the configuration: the one place where they are put together.
//!
//! The server hands it to the doors as [`App`]; the command line uses it directly.

use crate::app::{Answers, App, Images, Predict};
use crate::config::units::Size;
use crate::config::{Config, TASKS};
use crate::dressed::Dressed;
use crate::gallery::celebrities::{self, Celebrities};
use crate::gallery::{Gallery, SearchTask};
use crate::hosted::Hosted;
use crate::long_texts::{InWindows, PersonalData};
use crate::metrics::Metrics;
use crate::moderator::Moderator;
use crate::object_store::{Objects, folder::Folder};
use crate::readings::{IfPresent, Readings};
use crate::ready::Readiness;
use crate::s3::{S3, places::Places};
use crate::sentiments::Sentiments;
use crate::server::body::Buffers;
use crate::topics::Topics;
use escala_models::Precision;
use escala_models::compute::DeviceError;
use escala_pipelines::Options;
use escala_pipelines::bodies::BodiesTask;
use escala_pipelines::classes::ClassesTask;
use escala_pipelines::embeddings::EmbeddingsTask;
use escala_pipelines::engine::{Engine, EngineConfig, Handle};
use escala_pipelines::faces::FacesTask;
use escala_pipelines::image::ImageLimits;
use escala_pipelines::image_classes::ImageClassesTask;
use escala_pipelines::labels::LabelsTask;
use escala_pipelines::language::LanguageTask;
use escala_pipelines::moderation::ModerationTask;
use escala_pipelines::objects::{ObjectsTask, SharedDetector};
use escala_pipelines::ocr::OcrTask;
use escala_pipelines::pii::PiiTask;
use escala_pipelines::render::RenderTask;
use escala_pipelines::sentiment::{SentimentTask, SharedClassifier};
use escala_pipelines::syntax::{SharedEnglish, SharedModel, Syntax, SyntaxInput, SyntaxTask};
use escala_pipelines::targeted::{Sentences, TargetedTask};
use escala_pipelines::task::Task;
use escala_pipelines::toxicity::ToxicityTask;
use escala_pipelines::windows;
use escala_weights::{Catalog, Progress, Store, StoreOptions, Terminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of celebrities beside that of collections.
const CELEBRITIES: &str = "celebrities";

/// Most bytes of an image in an object, as at AWS; `limits.image` may be less.
const MOST_OF_AN_OBJECT: Size = Size::mib(15);

/// The models on this machine, the engine, and a handle for each task.
pub struct Machine {
    /// Where weights come from.
    pub store: Arc<Store>,
    /// What loads, batches and computes.
    pub engine: Engine,
    /// Dominant language of a text.
    pub language: Handle<LanguageTask>,
    /// Embedding of a text.
    pub embeddings: Handle<EmbeddingsTask>,
    /// Where objects are.
    pub places: Arc<Places>,
    /// What is hosted, once a server has opened it.
    pub hosted: Hosted,
    /// Labels of an image.
    pub labels: Handle<LabelsTask>,
    /// Sentiment of an English text.
    pub sentiment: Handle<SentimentTask>,
    /// Sentiment towards each thing that an English text speaks of.
    pub targeted: Handle<TargetedTask<SentimentTask>>,
    /// Sentiment of a text in another language.
    pub sentiment_multilingual: Handle<SentimentTask>,
    /// Words, names and phrases of an English text.
    pub syntax: Handle<SyntaxTask>,
    /// The same of a Spanish text; its model may be absent.
    pub spanish: Handle<SyntaxTask>,
    /// Personal data in a text.
    pub pii: Handle<PiiTask>,
    /// Toxicity of a text.
    pub toxicity: Handle<ToxicityTask>,
    /// Things in an image and where they are.
    pub objects: Handle<ObjectsTask>,
    /// Faces in an image.
    pub faces: Handle<FacesTask>,
    /// Text in an image.
    pub image_text: Handle<OcrTask>,
    /// What a moderator should see of an image.
    pub moderation: Handle<ModerationTask>,
    /// People in an image and the parts of their bodies.
    pub bodies: Handle<BodiesTask>,
    /// Pictures of answers.
    pub render: Handle<RenderTask>,
    /// Faces of collections that are like another.
    pub face_search: Handle<SearchTask>,
    /// Classes of a text, where the configuration names a classifier.
    pub classify: Option<Handle<ClassesTask>>,
    /// Classes of an image, where the configuration names a classifier.
    pub image_classes: Option<Handle<ImageClassesTask>>,
    /// What people wear for protection, where the configuration names a detector of it.
    pub covers: Option<Handle<ObjectsTask>>,
}

/// Why the engine cannot be built or a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The models on this machine cannot be looked at, or one cannot be pulled.
    #[error(transparent)]
    Weights(#[from] escala_weights::Error),
    /// `engine.device` cannot be used.
    #[error("`engine.device`: {0}")]
    Device(#[from] DeviceError),
    /// `engine.precision` is for another device.
    #[error("`engine.precision`: int8 is for the CPU; give --device cpu")]
    Precision,
    /// The engine cannot start, or a model cannot be loaded.
    #[error(transparent)]
    Engine(#[from] escala_pipelines::Error),
}

/// A task whose model can be had before it is asked.
trait Warm {
    /// The name of the model.
    fn model(&self) -> &str;

    /// What its products are made in, where this is asked for.
    fn precision(&self, asked: Precision) -> Precision;

    /// Pulls the model if it is missing, and loads it.
    fn warm(&self, store: &Store, progress: &dyn Progress) -> Result<(), Error>;
}

impl<T: Task> Warm for Handle<T> {
    fn model(&self) -> &str {
        self.task().model()
    }

    fn precision(&self, asked: Precision) -> Precision {
        self.task().precision(asked)
    }

    fn warm(&self, store: &Store, progress: &dyn Progress) -> Result<(), Error> {
        self.task().fetch(store, progress)?;
        self.load_blocking()?;
        Ok(())
    }
}

impl<T: Task> Predict<T::Input, T::Output> for Handle<T> {
    fn predict_many(&self, mut inputs: Vec<T::Input>, options: Options) -> Answers<'_, T::Output> {
        match inputs.len() {
            // Alone, an item is refused when the queue is full; many wait for places until the deadline.
            1 => match inputs.pop() {
                Some(input) => {
                    let answer = self.predict(input, options);
                    Box::pin(async move { vec![answer.await] })
                }
                None => Box::pin(std::future::ready(Vec::new())),
            },
            _ => Box::pin(Handle::predict_many(self, inputs, options)),
        }
    }
}

/// The models on this machine.
///
/// # Errors
/// When nothing says where they are, or an entry of the operator's catalogue cannot be used.
pub fn store(config: &Config) -> Result<Store, escala_weights::Error> {
    let models = &config.models;
    let catalog = Catalog::builtin()?;
    let catalog = match &models.catalog_dir {
        Some(folder) => catalog.with_folder(folder)?,
        None => catalog,
    };
    Store::open(StoreOptions {
        dir: models.dir.clone(),
        offline: models.offline,
        local: models.local_dir.clone(),
        catalog: Some(catalog),
        hub_token: models
            .hub_token
            .as_ref()
            .map(|token| token.reveal().to_owned()),
        ..StoreOptions::default()
    })
}

/// Where what users store is kept: `data.dir`, else the user's data folder.
///
/// # Errors
/// When nothing says where.
pub(crate) fn data_folder(config: &Config) -> Result<PathBuf, String> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = config.data.dir.clone();
    let folder = folder.or_else(|| Some(PathBuf::from(of("XDG_DATA_HOME")?).join("escala")));
    let folder = folder.or_else(|| Some(Path::new(&of("HOME")?).join(".local/share/escala")));
    folder.ok_or_else(|| "nothing says where to keep data: set `data.dir`".to_owned())
}

/// Where objects are: `data.objects`, else a folder beside what users store.
///
/// # Errors
/// When nothing says where.
pub(crate) fn objects_folder(config: &Config) -> Result<PathBuf, String> {
    match &config.data.objects {
        Some(folder) => Ok(folder.clone()),
        None => Ok(data_folder(config)?.join("objects")),
    }
}

/// Where the objects of S3's clients are kept: `s3.dir`, else a folder beside what users store.
fn store_folder(config: &Config) -> Result<PathBuf, String> {
    match &config.s3.dir {
        Some(folder) => Ok(folder.clone()),
        None => Ok(data_folder(config)?.join("s3")),
    }
}

/// The folders that a server reads and writes, by what they are for: those that the configuration names, and where it names none, those
/// that are taken. Absent where nothing says where.
pub fn folders(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let models = config
        .models
        .dir
        .clone()
        .or_else(escala_weights::default_dir);
    let folders = [
        ("models", models),
        ("data", data_folder(config).ok()),
        ("objects", objects_folder(config).ok()),
        ("s3", store_folder(config).ok()),
    ];
    let folders = folders.into_iter();
    folders
        .filter_map(|(what, folder)| Some((what, folder?)))
        .collect()
}

/// How many people and faces the gallery of celebrities has; none where nobody was made known.
///
/// # Errors
/// When it cannot be read, or another process has it.
pub fn celebrities(config: &Config) -> escala_collections::Result<Option<(usize, usize)>> {
    let folder = data_folder(config).map_err(escala_collections::Error::Unavailable)?;
    celebrities::count(&folder.join(CELEBRITIES), (&config.collections).into())
}

/// Threads for one computation: what the configuration says, or every core.
pub fn threads(config: &Config) -> usize {
    match config.engine.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// What an image may have.
pub fn image_limits(config: &Config) -> ImageLimits {
    ImageLimits {
        max_bytes: config.limits.image.as_usize(),
        max_pixels: config.limits.image_pixels,
        max_side: config.limits.image_side,
        ..ImageLimits::default()
    }
}

/// How the engine uses this machine, with what the configuration leaves open decided by its cores.
fn engine_config(config: &Config) -> Result<EngineConfig, Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let lanes = if config.engine.lanes == 0 {
        (cores / 4).max(1)
    } else {
        config.engine.lanes
    };
    let threads = if config.engine.threads == 0 {
        (cores / lanes).max(1)
    } else {
        config.engine.threads
    };
    let (device, precision) = (config.engine.device.open()?, config.engine.precision);
    if precision == Precision::Int8 {
        if !device.is_cpu() {
            return Err(Error::Precision);
        }
        if !escala_models::kernels::quantized::has_dot_products() {
            tracing::warn!(
                "this processor multiplies no bytes (VNNI): precision int8 saves memory, and no time"
            );
        }
    }
    Ok(EngineConfig {
        lanes,
        threads_per_lane: threads,
        device,
        precision,
        memory_budget: config.engine.memory.get(),
        default_deadline: config.limits.deadline.get(),
        ..EngineConfig::default()
    })
}

impl Machine {
    /// Starts the engine and registers the tasks. No model is loaded yet.
    ///
    /// # Errors
    /// When the device cannot be used or the machine gives no more threads.
    pub fn start(config: &Config) -> Result<Self, Error> {
        let store = Arc::new(store(config)?);
        let engine = Engine::start(engine_config(config)?, store.clone())?;
        let images = image_limits(config);
        let language = engine.register(LanguageTask)?;
        let named = &config.checkpoints;
        let embeddings = engine.register(EmbeddingsTask::new(named.embeddings.as_deref()))?;
        let labels = LabelsTask::new(images).with_classifier(named.labels.as_deref());
        let labels = engine.register(labels)?;
        let english = SharedEnglish::default();
        let syntax = SyntaxTask::new(english.clone()).with_entities(named.entities.as_deref());
        let syntax = engine.register(syntax)?;
        let spanish = engine.register(SyntaxTask::new(SharedModel::spanish()))?;
        let pii = engine.register(PiiTask::new(english.clone()))?;
        let toxicity = engine.register(ToxicityTask::new(named.toxicity.as_deref()))?;
        let judge = SharedClassifier::new(named.sentiment.as_deref());
        // One copy of the built-in classifier, unless one of the two is another.
        let multilingual = match (&named.sentiment, &named.sentiment_multilingual) {
            (None, None) => judge.clone(),
            (_, other) => SharedClassifier::new(other.as_deref()),
        };
        let sentiment = engine.register(SentimentTask::english(judge.clone()))?;
        let sentences = Sentences {
            task: SentimentTask::english(judge),
            input: |sentence| sentence.into(),
            scores: |parts| parts.whole(),
        };
        let targeted = engine.register(TargetedTask::new(english, sentences))?;
        let sentiment_multilingual = engine.register(SentimentTask::multilingual(multilingual))?;
        let detector = SharedDetector::choose(named.objects.as_deref(), &store);
        tracing::info!(model = detector.name(), "what finds objects");
        let objects = engine.register(ObjectsTask::new(detector.clone(), images))?;
        let faces = engine.register(FacesTask::new(images))?;
        let image_text = engine.register(OcrTask::new(images))?;
        let moderation = engine.register(ModerationTask::new(images))?;
        // Rekognition takes smaller ones where it looks for equipment.
        let smaller = ImageLimits {
            min_side: 64,
            ..images
        };
        let bodies = engine.register(BodiesTask::new(detector, smaller))?;
        let render = engine.register(RenderTask::new(images))?;
        let face_search = engine.register(SearchTask)?;
        let classify = named.classify.as_deref().map(ClassesTask::new);
        let classify = classify.map(|task| engine.register(task)).transpose()?;
        let covers = named.covers.as_deref();
        let covers = covers.map(|named| ObjectsTask::covers(named, smaller));
        let covers = covers.map(|task| engine.register(task)).transpose()?;
        let image_classes = named.image_classes.as_deref();
        let image_classes = image_classes.map(|named| ImageClassesTask::new(named, images));
        let image_classes = image_classes
            .map(|task| engine.register(task))
            .transpose()?;
        Ok(Self {
            objects,
            faces,
            image_text,
            moderation,
            bodies,
            render,
            face_search,
            classify,
            image_classes,
            covers,
            store,
            engine,
            language,
            embeddings,
            hosted: Hosted::default(),
            places: Arc::new(Places::new(
                store_folder(config),
                Folder::new(objects_folder(config))
                    .with_named(config.objects.named())
                    .with_writable(config.objects.writable.iter().cloned()),
            )),
            labels,
            syntax,
            spanish,
            pii,
            toxicity,
            sentiment,
            sentiment_multilingual,
            targeted,
        })
    }

    /// Pulls a task's model if it is missing, and loads it.
    ///
    /// # Errors
    /// What cannot be pulled or loaded, and what to do.
    pub fn warm<T: Task>(&self, handle: &Handle<T>, progress: &dyn Progress) -> Result<(), Error> {
        handle.warm(&self.store, progress)
    }

    /// Pulls and loads the model of a task by its name in the configuration; of one that has none, nothing.
    ///
    /// # Errors
    /// As [`Machine::warm`].
    pub fn warm_named(&self, task: &str, progress: &dyn Progress) -> Result<(), Error> {
        match self.named(task) {
            Some(handle) => handle.warm(&self.store, progress),
            None => Ok(()),
        }
    }

    /// The name of the model behind a task of the configuration; none for a task that has none.
    pub fn model_of(&self, task: &str) -> Option<&str> {
        self.named(task).map(Warm::model)
    }

    /// What the products of a task of the configuration are made in.
    pub fn precision_of(&self, task: &str) -> Precision {
        let asked = self.engine.config().precision;
        let named = self.named(task);
        named.map_or(Precision::Full, |task| task.precision(asked))
    }

    /// A task by its name in the configuration, unless it is one that is there only where a checkpoint is named for it.
    fn named(&self, task: &str) -> Option<&dyn Warm> {
        fn some<T: Task>(handle: &Option<Handle<T>>) -> Option<&dyn Warm> {
            handle.as_ref().map(|handle| handle as _)
        }
        let tasks: [(&str, Option<&dyn Warm>); TASKS.len()] = [
            ("language", Some(&self.language)),
            ("embeddings", Some(&self.embeddings)),
            ("labels", Some(&self.labels)),
            ("syntax", Some(&self.syntax)),
            ("pii", Some(&self.pii)),
            ("toxicity", Some(&self.toxicity)),
            ("sentiment", Some(&self.sentiment)),
            ("sentiment-multilingual", Some(&self.sentiment_multilingual)),
            ("targeted-sentiment", Some(&self.targeted)),
            ("objects", Some(&self.objects)),
            ("faces", Some(&self.faces)),
            ("image-text", Some(&self.image_text)),
            ("moderation", Some(&self.moderation)),
            ("bodies", Some(&self.bodies)),
            ("classify", some(&self.classify)),
            ("image-classes", some(&self.image_classes)),
            ("covers", some(&self.covers)),
        ];
        let mut tasks = tasks.into_iter();
        tasks.find(|(name, _)| *name == task)?.1
    }

    /// For commands that end soon: [`Machine::start`] with the error as the command line prints it.
    pub(crate) fn for_commands(config: &Config) -> Result<Self, crate::cli::Stop> {
        Self::start(config).map_err(|error| crate::cli::Stop::failed(&error))
    }

    /// [`Machine::warm`] with progress on the terminal and the error as the command line prints it.
    pub(crate) fn prepare<T: Task>(&self, handle: &Handle<T>) -> Result<(), crate::cli::Stop> {
        self.warm(handle, &Terminal::new())
            .map_err(|error| crate::cli::Stop::failed(&error))
    }

    /// What the doors are given.
    pub fn app(&self, config: Config, ready: Arc<Readiness>) -> App {
        let engine = self.engine.clone();
        let in_parts =
            |task: &Handle<SentimentTask>| InWindows::new(task.clone(), windows::SENTIMENT);
        let (classify, image_classes) = (self.classify.clone(), self.image_classes.clone());
        let covers = self.covers.clone();
        let model = self.spanish.task().model();
        let spanish = IfPresent::new(self.spanish.clone(), self.store.clone(), model);
        let readings = Readings(vec![
            ("en", Arc::new(self.syntax.clone())),
            ("es", Arc::new(spanish)),
        ]);
        let syntax: Arc<dyn Predict<SyntaxInput, Syntax>> =
            Arc::new(InWindows::new(readings, windows::READING));
        let gallery = |name: &str| {
            Gallery::new(
                data_folder(&config).map(|folder| folder.join(name)),
                (&config.collections).into(),
                Arc::new(self.face_search.clone()),
            )
        };
        let buffers = Arc::new(Buffers::new(config.limits.buffered.get()));
        let most = config.limits.image.get().min(MOST_OF_AN_OBJECT.get());
        let places = self.places.clone();
        App {
            s3: S3::new(
                places.clone(),
                buffers.clone(),
                config.limits.body_pause.get(),
                &config.aws.account,
            ),
            images: Images {
                objects: Some(Arc::new(self.objects.clone())),
                faces: Arc::new(self.faces.clone()),
                text: Arc::new(self.image_text.clone()),
                moderation: Arc::new(Moderator {
                    opinions: Arc::new(self.moderation.clone()),
                    labels: Arc::new(self.labels.clone()),
                    objects: Arc::new(self.objects.clone()),
                }),
                bodies: Arc::new(Dressed {
                    bodies: Arc::new(self.bodies.clone()),
                    covers: covers.map(|handle| -> Arc<dyn Predict<_, _>> { Arc::new(handle) }),
                }),
                classes: image_classes.map(|handle| -> Arc<dyn Predict<_, _>> { Arc::new(handle) }),
                render: Arc::new(self.render.clone()),
                gallery: Arc::new(gallery("collections")),
                celebrities: Arc::new(Celebrities::new(gallery(CELEBRITIES))),
                stored: Objects::new(places, most, buffers.clone()),
            },
            log: None,
            kafka_metrics: None,
            topics: Topics::new(config.limits.streams),
            config,
            language: Arc::new(InWindows::new(self.language.clone(), windows::LANGUAGE)),
            embeddings: Arc::new(self.embeddings.clone()),
            classify: classify.map(|handle| -> Arc<dyn Predict<_, _>> { Arc::new(handle) }),
            labels: Arc::new(self.labels.clone()),
            pii: Arc::new(PersonalData::new(self.pii.clone(), syntax.clone())),
            syntax,
            targeted: Arc::new(self.targeted.clone()),
            toxicity: Arc::new(InWindows::new(self.toxicity.clone(), windows::TOXICITY)),
            sentiment: Arc::new(Sentiments {
                english: Arc::new(in_parts(&self.sentiment)),
                multilingual: Arc::new(in_parts(&self.sentiment_multilingual)),
            }),
            flows: None,
            jobs: None,
            sagemaker: self.hosted.clone(),
            #[cfg(feature = "sql")]
            sql: None,
            metrics: Arc::new(Metrics::default()),
            engine_metrics: Box::new(move || {
                let mut text = String::new();
                engine.write_metrics(&mut text);
                text
            }),
            ready,
            buffers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_of_the_configuration_has_a_model_of_the_catalogue() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut config = Config::default();
        config.models.dir = Some(folder.path().to_owned());
        let machine = Machine::start(&config).expect("starts");
        for task in TASKS
            .into_iter()
            .filter(|task| !["classify", "image-classes", "covers"].contains(task))
        {
            let model = machine.model_of(task).expect(task);
            assert!(
                machine.store.catalog().get(model).is_some(),
                "{task}: {model}"
            );
        }
    }

    #[test]
    fn eight_bits_are_for_text_encoders() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut config = Config::default();
        config.models.dir = Some(folder.path().to_owned());
        for asked in [Precision::Full, Precision::Int8] {
            config.engine.precision = asked;
            let machine = Machine::start(&config).expect("starts");
            for task in ["embeddings", "sentiment", "targeted-sentiment"] {
                assert_eq!(machine.precision_of(task), asked, "{task}");
            }
            for task in ["language", "syntax", "toxicity", "labels"] {
                assert_eq!(machine.precision_of(task), Precision::Full, "{task}");
            }
        }
    }

    #[test]
    fn missing_weights_are_unavailable_and_say_so() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut config = Config::default();
        config.models.dir = Some(folder.path().to_owned());
        config.models.offline = true;
        let machine = Machine::start(&config).expect("starts");
        let error = machine
            .warm_named("language", &escala_weights::Silent)
            .expect_err("no weights");
        assert!(error.to_string().contains("lid.176"), "{error}");
        let answer = machine
            .language
            .predict_blocking("hello".into(), Options::default());
        assert_eq!(
            answer.expect_err("no weights").kind(),
            escala_pipelines::Kind::Unavailable
        );
    }
}
