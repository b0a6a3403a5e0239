//! Configuration: one typed value that everything else is given.
//!
//! Sources, later wins: the defaults here; a file (`--config`, else `ESCALA_CONFIG`, else `escala.toml`
//! in the current folder, else `escala/escala.toml` in the user's configuration folder); environment
//! variables `ESCALA_<SECTION>_<KEY>`; command line flags. Of the environment, nothing else
//! is read but what is no setting: where a user's folders are (`HOME`, `XDG_…`), what model hubs' own tools read (`HF_TOKEN`,
//! `HF_ENDPOINT`, `HF_HOME`), the credentials of buckets elsewhere (`objects.remote`), and `ESCALA_ISA`. Promises: an unknown key is refused by name, whichever source it comes from; settings
//! that contradict each other are refused with the names of the keys; `escala config` prints the value
//! in force and where each part of it came from.

pub mod keys;
pub mod load;
pub mod show;
pub mod units;

use escala_models::{DeviceChoice, Precision};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use units::{Listen, Secret, Size, Span};

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

/// Most of anything that a collection can be allowed to hold: its journal numbers things in 32 bits, those that were
/// deleted included.
const MOST_KEPT: usize = 1_000_000_000;

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

/// The store of objects that S3's clients write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3 {
    /// Folder of the store; `s3` in the data folder when absent. One server at a time uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
}

/// Buckets that are neither in the store nor in the folder of objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objects {
    /// Folders of this machine that are buckets to be read, each as `NAME=PATH`. Jobs and queries may name what is in them as
    /// files, too: `file:///PATH/…`.
    pub folders: Vec<String>,
    /// The names of those folders that jobs and `COPY` may write, too.
    pub writable: Vec<String>,
    /// By their names here: buckets of S3, Google Cloud Storage and Azure.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub remote: BTreeMap<String, RemoteBucket>,
}

/// A bucket that is elsewhere. What lets in there is in variables of the environment, never here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteBucket {
    /// `s3://bucket`, `gs://bucket` or `az://container`, and behind a slash the folder that all keys are in.
    pub url: String,
    /// The address of a service that is like S3, or of a stand-in for Google's or Azure's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// S3's region; that of the environment or `us-east-1` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Azure's storage account; that of the environment when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What the variables with the credentials have before their names.
    pub env_prefix: String,
    /// Ask without credentials.
    pub anonymous: bool,
    /// Ask without TLS.
    pub allow_http: bool,
    /// Whether the bucket is in the path of addresses, not in their host; where an endpoint is named it is when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Refuse to write.
    pub read_only: bool,
    /// Longest time for one request, which is made up to three times.
    pub timeout: Span,
}

impl Default for RemoteBucket {
    fn default() -> Self {
        Self {
            url: String::new(),
            endpoint: None,
            region: None,
            account: None,
            env_prefix: String::new(),
            anonymous: false,
            allow_http: false,
            path_style: None,
            read_only: false,
            timeout: Span::seconds(30),
        }
    }
}

#[cfg(feature = "remote")]
impl From<&RemoteBucket> for escala_objects::remote::Settings {
    fn from(bucket: &RemoteBucket) -> Self {
        Self {
            url: bucket.url.clone(),
            endpoint: bucket.endpoint.clone(),
            region: bucket.region.clone(),
            account: bucket.account.clone(),
            env_prefix: bucket.env_prefix.clone(),
            anonymous: bucket.anonymous,
            allow_http: bucket.allow_http,
            path_style: bucket.path_style,
            read_only: bucket.read_only,
            timeout: bucket.timeout.get(),
        }
    }
}

impl Objects {
    /// The folders that are buckets, by their names, where they are written as they must be.
    pub fn named(&self) -> BTreeMap<String, PathBuf> {
        let pairs = self.folders.iter().filter_map(|one| one.split_once('='));
        pairs
            .map(|(name, path)| (name.trim().to_owned(), PathBuf::from(path.trim())))
            .collect()
    }

    /// What can be wrong with the folders without looking at the disk.
    ///
    /// # Errors
    /// What is wrong first.
    fn check_folders(&self) -> Result<(), String> {
        let refused = |one: &String, why: &str| Err(format!("`objects.folders`: `{one}`: {why}"));
        for one in &self.folders {
            let Some((name, path)) = one.split_once('=') else {
                return refused(one, "this is not NAME=PATH");
            };
            if let Err(rule) = escala_objects::bucket_rules(name.trim()) {
                return refused(one, rule);
            }
            if self.remote.contains_key(name.trim()) {
                return refused(one, "a bucket of `objects.remote` has this name");
            }
            if !Path::new(path.trim()).is_absolute() {
                return refused(one, "the path does not begin at the root");
            }
        }
        let named = self.named();
        if named.len() != self.folders.len() {
            return Err("`objects.folders`: two have one name".to_owned());
        }
        match self.writable.iter().find(|name| !named.contains_key(*name)) {
            Some(name) => Err(format!(
                "`objects.writable`: `{name}` is none of the names in `objects.folders`"
            )),
            None => Ok(()),
        }
    }

    /// What can be wrong with them without looking at the environment.
    ///
    /// # Errors
    /// What is wrong first.
    #[cfg(feature = "remote")]
    fn check(&self) -> Result<(), String> {
        self.check_folders()?;
        for (name, bucket) in &self.remote {
            let settings = escala_objects::remote::Settings::from(bucket);
            settings.check(name).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    #[cfg(not(feature = "remote"))]
    fn check(&self) -> Result<(), String> {
        self.check_folders()?;
        match self.remote.is_empty() {
            true => Ok(()),
            false => {
                Err("this build has no clients of other places (its feature `remote`)".to_owned())
            }
        }
    }
}

/// The event log, in `log` of the data folder, and the port for Kafka's clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// Address that Kafka's clients connect to, or `off`: then the log is not opened either.
    #[serde(with = "units::text")]
    pub listen: Listen,
    /// `host:port` that clients are told to connect to, where that is not the address they came to: behind a mapped port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertised: Option<String>,
    /// Whether a topic is made when a client that allows it asks for one that is not there.
    pub auto_create: bool,
    /// Partitions of a topic whose maker did not say.
    pub partitions: u32,
    /// Whether a topic whose maker asks for more replicas than the one that there is is made all the same, with one.
    pub accept_replication: bool,
    /// Settings that topics have whose makers do not say otherwise, each `name=value` with Kafka's name.
    pub topic_defaults: Vec<String>,
    /// Most open connections, as far as the process may open files: Kafka's `max.connections`.
    pub connections: usize,
    /// Most members of a group: Kafka's `group.max.size`.
    pub group_members: usize,
    /// How long an empty group waits for more members after the first: Kafka's `group.initial.rebalance.delay.ms`.
    pub group_initial_delay: Span,
    /// Shortest session that a member may ask for: Kafka's `group.min.session.timeout.ms`.
    pub group_shortest_session: Span,
    /// Longest session that a member may ask for: Kafka's `group.max.session.timeout.ms`.
    pub group_longest_session: Span,
    /// Bytes kept in a file that is given up when the disk is full; as many must be free for records to be taken.
    pub reserve: Size,
    /// Bytes of the newest records that are kept in memory for readers; older ones are read from the disk.
    pub cache: Size,
    /// Time without a transaction after which a transactional id is forgotten: Kafka's
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration: Span,
    /// Time after which the offsets of a group that nobody is in and nobody commits for are forgotten: Kafka's
    /// `offsets.retention.minutes`.
    pub offsets_retention: Span,
    /// Files with librdkafka's properties, each for flows on the other Kafka whose `bootstrap.servers` it names.
    pub external: Vec<PathBuf>,
}

impl Kafka {
    /// Host and port of `advertised`.
    pub fn advertised(&self) -> Option<(String, u16)> {
        let (host, port) = self.advertised.as_deref()?.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (!host.is_empty()).then(|| (host.to_owned(), port))
    }

    /// Names and values of `topic_defaults`; `None` where one is not `name=value`. A list of the environment is cut at every
    /// comma, so what has no `=` goes on with the value before.
    pub fn topic_settings(&self) -> Option<Vec<(String, String)>> {
        let mut settings: Vec<(String, String)> = Vec::new();
        for setting in &self.topic_defaults {
            match (setting.split_once('='), settings.last_mut()) {
                (Some((name, value)), _) => {
                    settings.push((name.trim().to_owned(), value.trim().to_owned()));
                }
                (None, Some((_, value))) => {
                    value.push(',');
                    value.push_str(setting.trim());
                }
                (None, None) => return None,
            }
        }
        Some(settings)
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            listen: Listen::on(SocketAddr::from(([127, 0, 0, 1], 9092))),
            advertised: None,
            auto_create: true,
            partitions: 1,
            accept_replication: false,
            topic_defaults: Vec::new(),
            connections: 1000,
            group_members: 1000,
            group_initial_delay: Span::seconds(3),
            group_shortest_session: Span::seconds(6),
            group_longest_session: Span::seconds(1800),
            reserve: Size::bytes(32 << 20),
            cache: Size::bytes(256 << 20),
            transactional_id_expiration: Span::seconds(7 * 24 * 3600),
            offsets_retention: Span::seconds(7 * 24 * 3600),
            external: Vec::new(),
        }
    }
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

impl Config {
    /// Checks what no single value can show.
    ///
    /// # Errors
    /// The first contradiction, with the names of the keys.
    pub fn check(&self) -> Result<(), Error> {
        let (limits, kept) = (&self.limits, &self.collections);
        // Base64 in JSON takes four bytes for three.
        let encoded = limits.image.get().div_ceil(3) * 4;
        let rules: [(bool, String); 21] = [
            (
                self.engine.threads <= 1024,
                "`engine.threads` must be at most 1024".to_owned(),
            ),
            (
                self.engine.lanes <= 64,
                "`engine.lanes` must be at most 64".to_owned(),
            ),
            (
                limits.body.get() >= encoded.max(limits.text.get()).max(limits.rest_text.get()),
                format!(
                    "`limits.body` ({}) is smaller than what `limits.image` ({}, {} in base64), `limits.text` ({}) and `limits.rest_text` ({}) allow",
                    limits.body,
                    limits.image,
                    Size::bytes(encoded),
                    limits.text,
                    limits.rest_text
                ),
            ),
            (
                limits.buffered.get() >= limits.body.get(),
                format!(
                    "`limits.buffered` ({}) is smaller than `limits.body` ({})",
                    limits.buffered, limits.body
                ),
            ),
            (
                limits.text.get() >= 1 && limits.rest_text.get() >= 1,
                "`limits.text` and `limits.rest_text` must be at least 1 byte".to_owned(),
            ),
            (
                (1..=crate::rest::list::MOST).contains(&limits.texts),
                format!(
                    "`limits.texts` must be between 1 and {}",
                    crate::rest::list::MOST
                ),
            ),
            (
                limits.image_pixels >= 1 && limits.image_side >= 1,
                "`limits.image_pixels` and `limits.image_side` must be at least 1".to_owned(),
            ),
            (
                limits.connections >= 1,
                "`limits.connections` must be at least 1".to_owned(),
            ),
            (
                [limits.deadline, limits.body_pause, limits.idle]
                    .iter()
                    .all(|span| !span.get().is_zero()),
                "`limits.deadline`, `limits.body_pause` and `limits.idle` must be longer than 0s"
                    .to_owned(),
            ),
            (
                limits.body_pause.get() <= limits.deadline.get(),
                format!(
                    "`limits.body_pause` ({}) is longer than `limits.deadline` ({})",
                    limits.body_pause, limits.deadline
                ),
            ),
            (
                [kept.collections, kept.faces, kept.users, kept.faces_of_user]
                    .iter()
                    .all(|most| (1..=MOST_KEPT).contains(most)),
                format!(
                    "`collections.collections`, `collections.faces`, `collections.users` and `collections.faces_of_user` must be between 1 and {MOST_KEPT}"
                ),
            ),
            (
                (1..=1000).contains(&self.jobs.running)
                    && (1..=1000).contains(&self.jobs.tasks)
                    && self.jobs.live > 0
                    && self.jobs.task_bytes.get() > 0
                    && self.jobs.task_documents > 0
                    && !self.jobs.retention.get().is_zero(),
                "`jobs.running` and `jobs.tasks` must be between 1 and 1000, `jobs.live`, `jobs.task_bytes`, `jobs.task_documents` and `jobs.retention` more than 0"
                    .to_owned(),
            ),
            (
                self.aws.account.len() == 12 && self.aws.account.bytes().all(|one| one.is_ascii_digit()),
                format!("`aws.account` is not twelve digits: `{}`", self.aws.account),
            ),
            (
                self.sagemaker.training_threads <= 1000 && self.sagemaker.memory.get() > 0,
                "`sagemaker.training_threads` must be at most 1000, `sagemaker.memory` more than 0".to_owned(),
            ),
            (
                (1..=10_000).contains(&self.kafka.partitions),
                "`kafka.partitions` must be between 1 and 10000".to_owned(),
            ),
            (
                self.kafka.advertised.is_none() || self.kafka.advertised().is_some(),
                "`kafka.advertised` must be `host:port`".to_owned(),
            ),
            (
                self.kafka.topic_settings().is_some(),
                "`kafka.topic_defaults` must have settings of topics, as `retention.ms=86400000`"
                    .to_owned(),
            ),
            (
                self.kafka.connections >= 1 && self.kafka.group_members >= 1,
                "`kafka.connections` and `kafka.group_members` must be at least 1".to_owned(),
            ),
            (
                self.kafka.group_shortest_session.get() <= self.kafka.group_longest_session.get(),
                "`kafka.group_shortest_session` must not be longer than `kafka.group_longest_session`"
                    .to_owned(),
            ),
            (
                !self.kafka.offsets_retention.get().is_zero(),
                "`kafka.offsets_retention` must be longer than 0s".to_owned(),
            ),
            (
                !self.kafka.transactional_id_expiration.get().is_zero(),
                "`kafka.transactional_id_expiration` must be longer than 0s".to_owned(),
            ),
        ];
        if let Some((_, message)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(Error::Conflict(message));
        }
        if let Err(why) = crate::logs::directives(&self.log.level) {
            return Err(Error::Conflict(format!(
                "`log.level` is not a level or a list of directives: {why}"
            )));
        }
        if let Some(task) = self
            .models
            .preload
            .iter()
            .find(|task| !TASKS.contains(&task.as_str()))
        {
            return Err(Error::Conflict(format!(
                "`models.preload` names `{task}`, which is not a task: use {}",
                TASKS.join(", ")
            )));
        }
        if let Err(why) = self.objects.check() {
            return Err(Error::Conflict(format!("`objects.remote`: {why}")));
        }
        let preloads = |task: &str| self.models.preload.iter().any(|name| name == task);
        if preloads("classify") && self.checkpoints.classify.is_none() {
            return Err(Error::Conflict(
                "`models.preload` names `classify`, but `checkpoints.classify` names no classifier"
                    .to_owned(),
            ));
        }
        if preloads("image-classes") && self.checkpoints.image_classes.is_none() {
            return Err(Error::Conflict(
                "`models.preload` names `image-classes`, but `checkpoints.image_classes` names no classifier".to_owned(),
            ));
        }
        if preloads("covers") && self.checkpoints.covers.is_none() {
            return Err(Error::Conflict(
                "`models.preload` names `covers`, but `checkpoints.covers` names no detector"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_together() {
        Config::default().check().expect("defaults");
    }

    #[test]
    fn contradictions_name_their_keys() {
        let mut config = Config::default();
        config.limits.body = Size::mib(1);
        let message = config.check().expect_err("body too small").to_string();
        assert!(
            message.contains("`limits.body`") && message.contains("`limits.image`"),
            "{message}"
        );

        let mut config = Config::default();
        config.models.preload = vec!["moods".to_owned()];
        let message = config.check().expect_err("no such task").to_string();
        assert!(
            message.contains("`models.preload`") && message.contains("moods"),
            "{message}"
        );

        let mut config = Config::default();
        let bucket = RemoteBucket::default();
        config.objects.remote.insert("photos".to_owned(), bucket);
        let message = config.check().expect_err("no address").to_string();
        assert!(message.contains("`objects.remote`"), "{message}");

        let mut config = Config::default();
        config.collections.faces_of_user = 0;
        let message = config.check().expect_err("no faces").to_string();
        assert!(message.contains("`collections.faces_of_user`"), "{message}");

        let mut config = Config::default();
        config.log.level = "loud=very".to_owned();
        assert!(
            config
                .check()
                .expect_err("level")
                .to_string()
                .contains("log.level")
        );
    }
}
