//! Configuration: one typed value that everything else is given.
//!
//! Sources, later wins: the defaults here; a file (`--config`, else `ESCALA_CONFIG`, else `escala.toml`
//! in the current folder, else `escala/escala.toml` in the user's configuration folder); environment
//! variables `ESCALA_<SECTION>_<KEY>`; command line flags. Of the environment, nothing else
//! is read but what is no setting: where a user's folders are (`HOME`, `XDG_…`), what model hubs' own tools read (`HF_TOKEN`,
//! `HF_ENDPOINT`, `HF_HOME`), the credentials of buckets elsewhere (`objects.remote`), and `ESCALA_ISA`. Promises: an unknown key is refused by name, whichever source it comes from; settings
//! that contradict each other are refused with the names of the keys; `escala config` prints the value
//! in force and where each part of it came from.
//!
//! | file | what |
//! | --- | --- |
//! | `config/objects.rs`, `config/kafka.rs` | the sections of buckets and of the event log |
//! | `config/check.rs` | what no value can show alone |
//! | `config/load.rs`, `config/keys.rs` | where values come from, and their names |
//! | `config/show.rs` | `escala config` |
//! | `config/units.rs` | sizes, spans, addresses |

mod check;
mod kafka;
pub mod keys;
pub mod load;
mod objects;
pub mod show;
pub mod units;

pub use kafka::Kafka;
pub use objects::{Objects, RemoteBucket, S3};

use escala_models::{DeviceChoice, Precision};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use units::{Secret, Size, Span};

pub use load::{Flag, Loaded, load};

/// Names of the tasks that can be preloaded.
pub const TASKS: [&str; 17] = [
    "language",
    "embeddings",
    "labels",
    "syntax",
    "pii",
    "toxicity",
    "sentiment",
    "sentiment-multilingual",
    "targeted-sentiment",
    "classify",
    "objects",
    "faces",
    "image-text",
    "moderation",
    "bodies",
    "image-classes",
    "covers",
];

/// Those that are preloaded when nothing else is said; the others load on first use.
pub const PRELOAD: [&str; 3] = ["language", "embeddings", "labels"];

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address that the HTTP doors listen on.
    #[serde(with = "units::address")]
    pub listen: SocketAddr,
    /// Who may ask through a browser, and by which names.
    pub server: Server,
    /// Where weights are kept and come from.
    pub models: Models,
    /// Where what users store is kept.
    pub data: Data,
    /// The objects of S3's clients.
    pub s3: S3,
    /// Buckets that are elsewhere.
    pub objects: Objects,
    /// The event log and its port.
    pub kafka: Kafka,
    /// What jobs may have.
    pub jobs: Jobs,
    /// What is trained and hosted.
    pub sagemaker: SageMaker,
    /// How much collections of faces may hold.
    pub collections: Collections,
    /// Checkpoints that take the place of tasks' own models.
    pub checkpoints: Checkpoints,
    /// Queries in SQL.
    pub sql: Sql,
    /// What computes, and how much memory models may hold.
    pub engine: Engine,
    /// What a request may cost.
    pub limits: Limits,
    /// Who the AWS doors say their caller is, and where they go beyond AWS.
    pub aws: Aws,
    /// What is logged.
    pub log: Log,
    /// How the server stops.
    pub shutdown: Shutdown,
}

/// Where weights are kept and come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// Folder of the converted weights; the user's cache folder when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Folder with downloaded originals, tried before the network; for machines without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_dir: Option<PathBuf>,
    /// Folder with catalogue entries of the operator's own, added to those that are built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog_dir: Option<PathBuf>,
    /// Never use the network.
    pub offline: bool,
    /// Access token for model hubs; only needed for gated models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub_token: Option<Secret>,
    /// Tasks whose models are pulled, loaded and warmed at start. Others load on first use.
    pub preload: Vec<String>,
}

/// Who may ask through a browser, and by which names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Origins whose pages may ask and read the answers, such as `http://localhost:3000`; `*` for all.
    pub origins: Vec<String>,
    /// Names that a server that listens on this machine alone is asked for by, beside `localhost`, addresses, names without
    /// a dot, and those under `.localhost`, `.local` and `.internal`.
    pub hosts: Vec<String>,
}

/// Where what users store is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Folder of the collections of faces and of the celebrities; the user's data folder when absent. One server at a
    /// time uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Folder whose folders are buckets that can be read and not written, `<bucket>/<key>` in it; `objects` in `dir` when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<PathBuf>,
}

/// What jobs may have; their state is in `jobs` of the data folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jobs {
    /// Jobs that are worked on at the same time; the others wait.
    pub running: usize,
    /// Parts of jobs that are worked on at the same time.
    pub tasks: usize,
    /// Most jobs of each kind that have not ended; AWS's limit is 10.
    pub live: u64,
    /// Bytes of input of a part, about: what is done again after a crash.
    pub task_bytes: Size,
    /// Most documents of a part.
    pub task_documents: u64,
    /// How long a model may give no answers, or a bucket take no output, before the job fails.
    pub patience: Span,
    /// How long jobs that have ended are kept and shown; their output stays.
    pub retention: Span,
    /// Whether jobs, trainings among them, run only while nothing else wants the processors (Linux). Where other programs keep
    /// these busy all day, say `false`: jobs then have their share, and requests beside them wait longer.
    pub behind: bool,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            running: 4,
            tasks: 2,
            live: 10,
            task_bytes: Size::mib(1),
            task_documents: 1000,
            patience: Span::seconds(600),
            retention: Span::seconds(90 * 24 * 3600),
            behind: true,
        }
    }
}

/// What SageMaker's training jobs and models may take; what is kept of them is in `sagemaker` of the data folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SageMaker {
    /// Most bytes that the channels of a training job may have together; tables are in memory while they are learned from.
    pub training_bytes: Size,
    /// Threads that train, all jobs together; 0 is as many as there are processors.
    pub training_threads: usize,
    /// Most memory of hosted models; those that were not asked for longest are put away.
    pub memory: Size,
}

impl Default for SageMaker {
    fn default() -> Self {
        Self {
            training_bytes: Size::mib(2048),
            training_threads: 0,
            memory: Size::mib(2048),
        }
    }
}

/// How much collections of faces may hold; the celebrities are one of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Collections {
    /// Most collections.
    pub collections: usize,
    /// Most faces of a collection, 600 bytes of memory each.
    pub faces: usize,
    /// Most users of a collection.
    pub users: usize,
    /// Most faces of a user; AWS's limit is 100.
    pub faces_of_user: usize,
    /// Most tags of a collection; AWS's limit is 200.
    pub tags: usize,
}

impl From<&Collections> for escala_collections::Limits {
    fn from(limits: &Collections) -> Self {
        Self {
            collections: limits.collections,
            faces: limits.faces,
            users: limits.users,
            faces_of_user: limits.faces_of_user,
            tags: limits.tags,
        }
    }
}

impl Default for Collections {
    fn default() -> Self {
        let escala_collections::Limits {
            collections,
            faces,
            users,
            faces_of_user,
            tags,
        } = escala_collections::Limits::default();
        Self {
            collections,
            faces,
            users,
            faces_of_user,
            tags,
        }
    }
}

/// Checkpoints that take the place of tasks' own models: `org/name` or `org/name@revision` of a hub, or the path of a
/// folder. Each is loaded at start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoints {
    /// A sentence encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embeddings: Option<String>,
    /// A classifier of words: the entities of English texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entities: Option<String>,
    /// A classifier of texts: the sentiment of English ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentiment: Option<String>,
    /// A classifier of texts: the sentiment of those in other languages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentiment_multilingual: Option<String>,
    /// A classifier of texts: how toxic they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toxicity: Option<String>,
    /// A classifier of texts into classes of your own; this task has no model but the one named here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classify: Option<String>,
    /// What finds objects in images; also a name of the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<String>,
    /// A classifier of images: what they show; also a name of the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// A classifier of images into classes of your own; this task has no model but the one named here. Also a name of
    /// the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_classes: Option<String>,
    /// A detector of what people wear for protection; this task has no model but the one named here. Also a name of the
    /// catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub covers: Option<String>,
}

impl Checkpoints {
    /// The tasks (of [`TASKS`]) whose model is named here.
    pub fn tasks(&self) -> impl Iterator<Item = &'static str> {
        let named = [
            (&self.embeddings, "embeddings"),
            (&self.entities, "syntax"),
            (&self.sentiment, "sentiment"),
            (&self.sentiment_multilingual, "sentiment-multilingual"),
            (&self.toxicity, "toxicity"),
            (&self.classify, "classify"),
            (&self.objects, "objects"),
            (&self.labels, "labels"),
            (&self.image_classes, "image-classes"),
            (&self.covers, "covers"),
        ];
        let named = named.map(|(checkpoint, task)| checkpoint.is_some().then_some(task));
        named.into_iter().flatten()
    }
}

/// Queries in SQL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sql {
    /// Folders whose files queries by HTTP may read, each as `NAME=PATH`: `FROM 'NAME/part-*.parquet'`. Nothing else of
    /// the disk can be read.
    pub folders: Vec<String>,
    /// Memory of the operators of all queries together; sorts and groups that need more go on on the disk.
    pub memory: Size,
    /// Most that they have on the disk for that, in the system's folder for temporary files; a query that needs more ends.
    /// Queries by HTTP, those that are copied and those of scoring have as much each.
    pub spill: Size,
    /// Most queries by HTTP at a time.
    pub queries: usize,
}

impl Default for Sql {
    fn default() -> Self {
        Self {
            folders: Vec::new(),
            memory: Size::mib(512),
            spill: Size::mib(100 << 10),
            queries: 8,
        }
    }
}

/// What computes, and how much memory models may hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    #[serde(with = "units::text")]
    pub device: DeviceChoice,
    /// `full` or `int8`: what text encoders multiply in.
    #[serde(with = "units::text")]
    pub precision: Precision,
    /// Batches that are computed at the same time; 0 means one for every four cores.
    pub lanes: usize,
    /// Threads that compute together on one batch; 0 means the cores divided among the lanes.
    pub threads: usize,
    /// Most memory that loaded models may hold together.
    pub memory: Size,
}

/// What a request may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most bytes of a request's body.
    pub body: Size,
    /// Most bytes of request bodies and large answers held in memory at one time, all requests together.
    pub buffered: Size,
    /// Most bytes of one encoded image.
    pub image: Size,
    /// Most pixels of one image.
    pub image_pixels: u64,
    /// Most pixels along one side of an image.
    pub image_side: u32,
    /// Most bytes of one text.
    pub text: Size,
    /// Most bytes of one text of those REST operations that read long texts in windows: all on texts but targeted
    /// sentiment, classes and embeddings.
    pub rest_text: Size,
    /// Most texts in one request.
    pub texts: usize,
    /// Longest time from a request's head to its answer.
    pub deadline: Span,
    /// Longest pause inside a request's body.
    pub body_pause: Span,
    /// Longest wait for a request's head; also the longest that an idle connection is kept, and that a caller
    /// may take nothing of its answer.
    pub idle: Span,
    /// Most open connections.
    pub connections: usize,
    /// Most requests that wait for records of topics, or whose answers go on as records come.
    pub streams: usize,
}

/// Who the AWS doors say their caller is, and where they go beyond AWS. Nothing of the latter is on unless it is asked for:
/// programs written against AWS may rely on what AWS refuses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aws {
    /// The account that every caller is in, twelve digits: it is in the ARNs of all that is made.
    pub account: String,
    /// Take texts of up to `limits.rest_text` instead of refusing those that AWS refuses as too long.
    pub long_texts: bool,
    /// Report personal data of kinds that AWS does not know (`ES_DNI`, `ES_NIE`, `ES_CIF`).
    pub pii_extensions: bool,
}

impl Default for Aws {
    fn default() -> Self {
        Self {
            // That of AWS's own examples.
            account: "123456789012".to_owned(),
            long_texts: false,
            pii_extensions: false,
        }
    }
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, or directives such as `info,escala_pipelines=debug`.
    pub level: String,
    /// One line of text or one JSON object for each event.
    pub format: LogFormat,
}

/// How log events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// How the server stops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// How long the server goes on as before after it was told to stop, but for `/readyz`, which answers 503: the time that
    /// balancers need to see it and send their requests elsewhere.
    pub delay: Span,
    /// How long requests that already started may take to finish.
    pub grace: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4566)),
            server: Server::default(),
            models: Models::default(),
            data: Data::default(),
            s3: S3::default(),
            objects: Objects::default(),
            kafka: Kafka::default(),
            jobs: Jobs::default(),
            sagemaker: SageMaker::default(),
            collections: Collections::default(),
            checkpoints: Checkpoints::default(),
            sql: Sql::default(),
            engine: Engine::default(),
            limits: Limits::default(),
            aws: Aws::default(),
            log: Log::default(),
            shutdown: Shutdown::default(),
        }
    }
}

impl Default for Models {
    fn default() -> Self {
        Self {
            dir: None,
            local_dir: None,
            catalog_dir: None,
            offline: false,
            hub_token: None,
            preload: PRELOAD.map(str::to_owned).to_vec(),
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            device: DeviceChoice::Auto,
            precision: Precision::Full,
            lanes: 0,
            threads: 0,
            memory: Size::mib(2048),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: Size::mib(24),
            buffered: Size::mib(256),
            image: Size::mib(15),
            image_pixels: 100_000_000,
            image_side: 10_000,
            text: Size::bytes(100_000),
            rest_text: Size::bytes(1_000_000),
            texts: 2048,
            deadline: Span::seconds(60),
            body_pause: Span::seconds(10),
            idle: Span::seconds(60),
            connections: 1024,
            streams: 256,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            delay: Span::seconds(0),
            grace: Span::seconds(20),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file that was asked for cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        message: String,
    },
    /// No setting has this name.
    #[error("unknown key `{key}` in {origin}{}", hint(near))]
    UnknownKey {
        /// The key as written.
        key: String,
        /// Where it stands.
        origin: String,
        /// A setting with a similar name.
        near: Option<String>,
    },
    /// A value does not fit its key.
    #[error("`{key}` in {origin}: {message}")]
    Value {
        /// The key.
        key: String,
        /// Where it stands.
        origin: String,
        /// What is expected.
        message: String,
    },
    /// Values that are fine alone but not together.
    #[error("{0}")]
    Conflict(String),
}

fn hint(near: &Option<String>) -> String {
    near.as_ref()
        .map(|near| format!(", did you mean `{near}`?"))
        .unwrap_or_default()
}
