//! Models: what is kept of them, and how they are opened.
//!
//! `CreateModel` keeps what it is told. The data are looked at when something is to answer: they are fetched from the bucket,
//! unpacked into a folder that is named by what they are, and opened by whoever knows the image. Open models are kept while
//! there is memory for them; those that nobody holds go first, the one that was used longest ago before the others.

use crate::archive::{self, Limits};
use crate::lists;
use crate::names::{ADDRESSES, Caller, Kind, now, repository, s3, seconds};
use crate::refusal::{Refusal, Result};
use crate::served::{Container, Opener, Served};
use crate::store::{Error as StoreError, Resource, Store};
use escala_objects::{ObjectName, WritableStore};
use parking_lot::{Condvar, Mutex};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the environment of a container says in a transform job.
pub const BATCH: &str = "SAGEMAKER_BATCH";
/// How many keys are asked for at a time.
const PAGE: usize = 1000;
/// How long a model stays open that nobody holds any more.
const GRACE: Duration = Duration::from_secs(5);

/// What models may take.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of memory of all open models together.
    pub memory: u64,
    /// Bytes on the disk of all unpacked models together; those that are open may be more.
    pub disk: u64,
    /// How long an unpacked model stays on the disk after the last one that has it open.
    pub unpacked: Duration,
    /// Models that are opened at the same time.
    pub loads: usize,
    /// What may come out of one archive.
    pub archive: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory: 8 << 30,
            disk: 64 << 30,
            unpacked: Duration::from_secs(24 * 60 * 60),
            loads: 2,
            archive: Limits::default(),
        }
    }
}

/// How often models were found open, and so on; for metrics.
#[derive(Debug, Default)]
pub struct Counts {
    /// Asked for and open already.
    pub hits: AtomicU64,
    /// Opened.
    pub loads: AtomicU64,
    /// Asked for and not to be opened.
    pub failures: AtomicU64,
    /// Closed to make room, or because nobody asked.
    pub evictions: AtomicU64,
}

/// Why a model is not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// There are no such data. A sentence.
    #[error("{0}")]
    Absent(String),
    /// All memory is held by models that answer. A sentence.
    #[error("{0}")]
    Full(String),
    /// It cannot be opened. A sentence for whoever made it.
    #[error("{0}")]
    Failed(String),
}

/// What a model is, as it was when somebody took it up: it may be deleted meanwhile.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Definition {
    /// The model's name.
    pub name: String,
    /// Its image, as it was given.
    pub image: String,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// Where its data are; none where it has none.
    pub data: Option<Data>,
    /// Whether the data are a prefix of many archives, of which a request names one.
    pub many: bool,
    /// Which data they were when they were taken up, as [`Models::pin`] found them: others may be put in their place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
}

/// Where the data of a model are.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Data {
    /// `s3://…`.
    pub address: String,
    /// How they are to be read.
    pub form: Form,
}

/// What the data of a model are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Form {
    /// One gzipped tar.
    Archive,
    /// All objects whose keys begin so are its files.
    Files,
    /// One file.
    File,
}

impl Definition {
    /// What a model is that was kept.
    pub fn of(model: &Resource) -> Option<Self> {
        let container = container(&model.body)?;
        Self::read(&model.name, container).ok()
    }

    fn read(name: &str, container: &Value) -> Result<Self> {
        let text = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
        for (member, why) in [
            (
                "ModelPackageName",
                "There are no model packages here: give Image and ModelDataUrl or ModelDataSource.",
            ),
            (
                "AdditionalModelDataSources",
                "A model has one data source here: leave AdditionalModelDataSources out.",
            ),
        ] {
            let given = container.get(member);
            if given.is_some_and(|given| given.as_array().is_none_or(|list| !list.is_empty())) {
                return Err(Refusal::validation(why));
            }
        }
        let image = text(container, "Image");
        let image = image.ok_or_else(|| Refusal::validation("A container needs an Image."))?;
        let environment = container.get("Environment").and_then(Value::as_object);
        let environment = environment
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let url = text(container, "ModelDataUrl").filter(|url| !url.is_empty());
        let source = container.pointer("/ModelDataSource/S3DataSource");
        let many = text(container, "Mode").as_deref() == Some("MultiModel");
        let data = match (url, source) {
            (Some(_), Some(_)) => {
                return Err(Refusal::validation(
                    "You can specify only one of ModelDataUrl and ModelDataSource.",
                ));
            }
            (Some(address), None) => Some(Data {
                address,
                form: Form::Archive,
            }),
            (None, Some(source)) => {
                for member in ["HubAccessConfig", "ManifestS3Uri"] {
                    if source.get(member).is_some() {
                        return Err(Refusal::validation(format!(
                            "ModelDataSource.S3DataSource.{member} is not known here: S3Uri says where the data are."
                        )));
                    }
                }
                let gzip = text(source, "CompressionType").as_deref() == Some("Gzip");
                let prefix = text(source, "S3DataType").as_deref() == Some("S3Prefix");
                let form = match (gzip, prefix) {
                    (true, true) if !many => {
                        return Err(Refusal::validation(
                            "A compressed model is one object: with CompressionType Gzip, S3DataType is S3Object.",
                        ));
                    }
                    (true, _) => Form::Archive,
                    (false, true) => Form::Files,
                    (false, false) => Form::File,
                };
                let address = text(source, "S3Uri").unwrap_or_default();
                Some(Data { address, form })
            }
            (None, None) => None,
        };
        if let Some(data) = &data {
            let named = s3(&data.address);
            let whole = |key: &str| many || data.form == Form::Files || !key.is_empty();
            if !named.is_some_and(|(_, key)| whole(key)) {
                return Err(Refusal::validation(format!(
                    "Invalid model data location \"{}\": it is an address like {ADDRESSES}.",
                    data.address
                )));
            }
        }
        if many && data.as_ref().is_none_or(|data| data.form != Form::Archive) {
            return Err(Refusal::validation(
                "A MultiModel container needs a ModelDataUrl: the prefix of the archives that requests name.",
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            image,
            environment,
            data,
            many,
            pinned: None,
        })
    }

    /// What is the same for all that is opened alike.
    fn key(&self, target: Option<&str>) -> Key {
        let target = target.map(|target| target.trim_start_matches('/'));
        let mut all = Sha256::new();
        all.update(json!([self, target]).to_string());
        all.finalize().into()
    }
}

/// The one container of a model that was kept.
fn container(body: &Value) -> Option<&Value> {
    let first = body.pointer("/Containers/0");
    body.get("PrimaryContainer").or(first)
}

type Key = [u8; 32];

/// An open model, or one that is being opened.
#[derive(Default)]
struct Slot {
    open: Mutex<Option<Open>>,
    /// Bytes of memory that it holds, for whoever cannot wait until it is open.
    bytes: AtomicU64,
}

#[derive(Clone)]
struct Open {
    served: Arc<dyn Served>,
    /// Its files stay while it is open.
    _folder: Option<Arc<()>>,
    used: Instant,
    keep: Keep,
}

/// When a model that nobody holds is closed, beside that others need its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Soon: whoever opened it holds it while it answers.
    Held,
    /// Where nobody asks for a while.
    Idle,
    /// Never.
    Room,
}

#[derive(Default)]
struct Folders {
    known: HashMap<String, Folder>,
}

impl Folders {
    /// Holds the one of a name.
    fn find(&mut self, name: &str) -> Option<Arc<()>> {
        let folder = self.known.get_mut(name)?;
        folder.used = Instant::now();
        Some(Arc::clone(&folder.held))
    }

    /// Bytes of all.
    fn bytes(&self) -> u64 {
        self.known.values().map(|folder| folder.bytes).sum()
    }
}

/// Where data are, and in which form.
struct Place {
    form: Form,
    bucket: String,
    key: String,
}

impl Place {
    fn address(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

/// What was found there.
enum Found {
    Object(escala_objects::Object),
    Listed(Vec<escala_objects::Listed>),
}

struct Folder {
    bytes: u64,
    used: Instant,
    held: Arc<()>,
}

/// The models of a store, and those of them that are open.
pub struct Models {
    store: Arc<Store>,
    objects: Arc<dyn WritableStore>,
    openers: Vec<Arc<dyn Opener>>,
    options: Options,
    folder: PathBuf,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    /// Whoever has it settles whether there is memory for one more.
    settling: Mutex<()>,
    folders: Mutex<Folders>,
    free: Mutex<usize>,
    freed: Condvar,
    /// For metrics.
    pub counts: Counts,
}

impl Models {
    /// The models of a store; `folder` is where they are unpacked, and no other process has it.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn new(
        store: Arc<Store>,
        objects: Arc<dyn WritableStore>,
        openers: Vec<Arc<dyn Opener>>,
        folder: PathBuf,
        options: Options,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let mut known = HashMap::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            if archive::unfinished(&name) {
                std::fs::remove_dir_all(&path)?;
                continue;
            }
            let bytes = size(&path)?;
            known.insert(
                name,
                Folder {
                    bytes,
                    used: Instant::now(),
                    held: Arc::new(()),
                },
            );
        }
        Ok(Self {
            store,
            objects,
            openers,
            folder,
            slots: Mutex::default(),
            settling: Mutex::new(()),
            folders: Mutex::new(Folders { known }),
            free: Mutex::new(options.loads.max(1)),
            freed: Condvar::new(),
            options,
            counts: Counts::default(),
        })
    }

    /// `CreateModel`, `DescribeModel`, `ListModels`, `DeleteModel`; none of the others.
    pub fn call(&self, caller: &Caller, operation: &str, input: &Value) -> Option<Result<Value>> {
        match operation {
            "CreateModel" => Some(self.create(caller, input)),
            "DescribeModel" => Some(self.describe(caller, input)),
            "ListModels" => Some(self.list(input)),
            "DeleteModel" => Some(self.delete(caller, input)),
            _ => None,
        }
    }

    fn create(&self, caller: &Caller, input: &Value) -> Result<Value> {
        let name = name(input, "ModelName");
        let several = input.get("Containers").and_then(Value::as_array);
        let container = match (input.get("PrimaryContainer"), several.map(Vec::as_slice)) {
            (Some(container), None | Some([])) | (None, Some([container])) => container,
            (None, Some([_, _, ..])) => {
                return Err(Refusal::validation(
                    "A model has one container here, as PrimaryContainer or as the only one of Containers; inference \
                     pipelines of several containers are not run.",
                ));
            }
            _ => {
                return Err(Refusal::validation(
                    "Exactly one of PrimaryContainer and Containers must be given.",
                ));
            }
        };
        let definition = Definition::read(&name, container)?;
        let repository = repository(&definition.image);
        if !self.openers.iter().any(|opener| opener.knows(repository)) {
            return Err(Refusal::validation(format!(
                "Requested image {} not found: {}",
                definition.image,
                self.accepted()
            )));
        }
        let arn = caller.arn(Kind::Model, &name);
        let mut body = input.clone();
        let tags = crate::tags::taken(&mut body)?;
        let model = Resource {
            kind: Kind::Model,
            created: now(),
            modified: now(),
            status: String::new(),
            arn: arn.clone(),
            name,
            body,
        };
        match self.store.create(&model, &tags) {
            Ok(()) => Ok(json!({"ModelArn": arn})),
            Err(StoreError::Exists(arn)) => Err(Refusal::exists(Kind::Model.words(), &arn)),
            Err(error) => Err(error.into()),
        }
    }

    /// The model of a name.
    ///
    /// # Errors
    /// "Could not find".
    pub fn get(&self, caller: &Caller, name: &str) -> Result<Resource> {
        let found = self.store.get(Kind::Model, name)?;
        let absent = || Refusal::absent(Kind::Model.words(), &caller.arn(Kind::Model, name));
        found.ok_or_else(absent)
    }

    fn describe(&self, caller: &Caller, input: &Value) -> Result<Value> {
        let model = self.get(caller, &name(input, "ModelName"))?;
        let mut answer = match model.body {
            Value::Object(body) => body,
            _ => Map::new(),
        };
        if let Some(Value::Object(container)) = answer.get_mut("PrimaryContainer") {
            container.entry("Mode").or_insert("SingleModel".into());
        }
        answer
            .entry("EnableNetworkIsolation")
            .or_insert(false.into());
        answer.insert("ModelArn".into(), model.arn.into());
        answer.insert("CreationTime".into(), seconds(model.created));
        Ok(Value::Object(answer))
    }

    fn list(&self, input: &Value) -> Result<Value> {
        let page = lists::page(&self.store, Kind::Model, input, "")?;
        Ok(lists::answer("Models", &page, |model| {
            json!({
                "ModelName": model.name,
                "ModelArn": model.arn,
                "CreationTime": seconds(model.created),
            })
        }))
    }

    fn delete(&self, caller: &Caller, input: &Value) -> Result<Value> {
        let name = name(input, "ModelName");
        match self.store.delete(Kind::Model, &name)? {
            true => Ok(json!({})),
            false => Err(Refusal::absent(
                Kind::Model.words(),
                &caller.arn(Kind::Model, &name),
            )),
        }
    }

    /// The model of a name, open. May take long.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open(&self, name: &str) -> std::result::Result<Arc<dyn Served>, Unopened> {
        self.open_as(&self.definition(name)?, None, Keep::Held)
    }

    /// The model of a name, as transform jobs have it: what a job says of the environment goes before what the model says, and
    /// containers are told that they answer a batch. May take long.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open_for_batch(
        &self,
        name: &str,
        environment: &BTreeMap<String, String>,
    ) -> std::result::Result<Arc<dyn Served>, Unopened> {
        let mut definition = self.definition(name)?;
        let own = &mut definition.environment;
        own.extend(environment.clone());
        own.insert(BATCH.to_owned(), "true".to_owned());
        self.open_as(&definition, None, Keep::Held)
    }

    /// One of the models whose archives begin with the prefix of a multi-model's data. May take long.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open_target(
        &self,
        name: &str,
        target: &str,
    ) -> std::result::Result<Arc<dyn Served>, Unopened> {
        self.open_as(&self.definition(name)?, Some(target), Keep::Room)
    }

    /// What the model of a name is.
    ///
    /// # Errors
    /// [`Unopened::Absent`].
    pub fn definition(&self, name: &str) -> std::result::Result<Definition, Unopened> {
        let found = self.store.get(Kind::Model, name);
        let found = found.map_err(|error| Unopened::Failed(Refusal::from(error).message))?;
        let found = found.as_ref().and_then(Definition::of);
        found.ok_or_else(|| Unopened::Absent(format!("there is no model {name}")))
    }

    /// A model that is open already; never waits for one that is being opened.
    pub fn opened(&self, what: &Definition, target: Option<&str>) -> Option<Arc<dyn Served>> {
        let slot = self.slots.lock().get(&what.key(target)).map(Arc::clone)?;
        let mut open = slot.open.try_lock()?;
        let open = open.as_mut()?;
        open.used = Instant::now();
        self.counts.hits.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(&open.served))
    }

    /// A model, open. May take long.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open_as(
        &self,
        what: &Definition,
        target: Option<&str>,
        keep: Keep,
    ) -> std::result::Result<Arc<dyn Served>, Unopened> {
        let key = what.key(target);
        let slot = Arc::clone(self.slots.lock().entry(key).or_default());
        // One opens it, the others wait for it here.
        let mut open_slot = slot.open.lock();
        if let Some(open) = open_slot.as_mut() {
            open.used = Instant::now();
            open.keep = open.keep.max(keep);
            let served = Arc::clone(&open.served);
            let place = Arc::clone(self.slots.lock().entry(key).or_insert_with(|| slot.clone()));
            if Arc::ptr_eq(&place, &slot) {
                self.counts.hits.fetch_add(1, Ordering::Relaxed);
                return Ok(served);
            }
            // It was closed while this waited, and another opens it.
            drop(open_slot);
            return self.open_as(what, target, keep);
        }
        let opened = self.load(what, target).and_then(|(served, folder)| {
            // Whatever it says, it counts as one that is open.
            let bytes = served.memory().max(1);
            let settling = self.settling.lock();
            self.room(bytes)?;
            slot.bytes.store(bytes, Ordering::Relaxed);
            // One that failed before may have taken the place away.
            self.slots.lock().insert(key, Arc::clone(&slot));
            drop(settling);
            Ok(Open {
                served,
                _folder: folder,
                used: Instant::now(),
                keep,
            })
        });
        match opened {
            Ok(new) => {
                self.counts.loads.fetch_add(1, Ordering::Relaxed);
                let served = Arc::clone(&new.served);
                *open_slot = Some(new);
                Ok(served)
            }
            Err(why) => {
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
                let mut slots = self.slots.lock();
                if slots.get(&key).is_some_and(|one| Arc::ptr_eq(one, &slot)) {
                    slots.remove(&key);
                }
                Err(why)
            }
        }
    }

    /// Bytes of memory that open models hold, and how many there are.
    pub fn held(&self) -> (u64, usize) {
        let slots = self.slots.lock();
        let held = slots
            .values()
            .map(|slot| slot.bytes.load(Ordering::Relaxed));
        held.filter(|bytes| *bytes > 0)
            .fold((0, 0), |(bytes, count), one| (bytes + one, count + 1))
    }

    /// Closes models that nobody holds until so many bytes more fit.
    fn room(&self, bytes: u64) -> std::result::Result<(), Unopened> {
        let mut slots = self.slots.lock();
        let mut held = 0;
        let mut idle = Vec::new();
        for (key, slot) in slots.iter() {
            let bytes = slot.bytes.load(Ordering::Relaxed);
            held += bytes;
            // What is locked is being opened, or just being handed out.
            if let Some(open) = slot.open.try_lock()
                && let Some(open) = open.as_ref()
                && Arc::strong_count(&open.served) == 1
            {
                idle.push((open.used, bytes, *key));
            }
        }
        idle.sort();
        let free: u64 = idle.iter().map(|(_, bytes, _)| bytes).sum();
        if held - free + bytes > self.options.memory {
            return Err(Unopened::Full(format!(
                "the model takes {bytes} bytes of memory, and of {} for all open models {} are held by models that answer",
                self.options.memory,
                held - free
            )));
        }
        let mut closed = Vec::new();
        for (_, freed, key) in idle {
            if held + bytes <= self.options.memory {
                break;
            }
            closed.extend(slots.remove(&key));
            held -= freed;
            self.counts.evictions.fetch_add(1, Ordering::Relaxed);
        }
        // Closing may take long; others need not wait for it.
        drop(slots);
        Ok(())
    }

    /// Closes models that nobody holds: of those that are closed when idle, what nobody asked for since.
    pub fn sweep(&self, since: Duration) {
        let mut closed = Vec::new();
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| {
            let Some(open) = slot.open.try_lock() else {
                return true;
            };
            let stays = open.as_ref().is_none_or(|open| {
                let most = match open.keep {
                    Keep::Held => GRACE.min(since),
                    Keep::Idle => since,
                    Keep::Room => return true,
                };
                Arc::strong_count(&open.served) > 1 || open.used.elapsed() < most
            });
            drop(open);
            if !stays {
                self.counts.evictions.fetch_add(1, Ordering::Relaxed);
                closed.push(Arc::clone(slot));
            }
            stays
        });
        drop(slots);
    }

    /// Removes unpacked models that no open model has: those that nobody used for long, and while they are more bytes than they may
    /// be together, those that were used longest ago. Those that are `pinned` stay: their data may be others now, and they must be
    /// the same models when they are opened again. Nothing is removed where these cannot be told.
    pub fn clear(&self, pinned: impl FnOnce() -> Option<HashSet<String>>) {
        let free = |folder: &Folder| Arc::strong_count(&folder.held) == 1;
        let old = |folder: &Folder| free(folder) && folder.used.elapsed() >= self.options.unpacked;
        {
            let folders = self.folders.lock();
            let none_old = !folders.known.values().any(old);
            if none_old && folders.bytes() <= self.options.disk {
                return;
            }
        }
        let Some(pinned) = pinned() else {
            return;
        };
        let mut folders = self.folders.lock();
        let mut removable = Vec::new();
        for (name, folder) in folders.known.iter_mut().filter(|(_, folder)| free(folder)) {
            match pinned.contains(name) {
                // It is looked at again as late as any other.
                true if old(folder) => folder.used = Instant::now(),
                true => (),
                false => removable.push((folder.used, old(folder), name.clone())),
            }
        }
        removable.sort();
        for (_, old, name) in removable {
            if old || folders.bytes() > self.options.disk {
                self.remove(&mut folders, &name);
            }
        }
    }

    /// Where the data of a model are, or of one of many.
    fn place(
        &self,
        what: &Definition,
        target: Option<&str>,
    ) -> std::result::Result<Option<Place>, Unopened> {
        let Some(data) = &what.data else {
            return Ok(None);
        };
        let Some((bucket, key)) = s3(&data.address) else {
            return Err(Unopened::Failed(format!(
                "{} is no address of an object",
                data.address
            )));
        };
        let key = match (what.many, target) {
            (false, None) => key.to_owned(),
            (true, Some(target)) => match key.is_empty() || key.ends_with('/') {
                true => format!("{key}{}", target.trim_start_matches('/')),
                false => format!("{key}/{}", target.trim_start_matches('/')),
            },
            (false, Some(_)) => {
                return Err(Unopened::Absent(format!(
                    "the model {} is one model and not many; leave the target model out",
                    what.name
                )));
            }
            (true, None) => {
                return Err(Unopened::Absent(format!(
                    "the model {} is many models; the target model says which",
                    what.name
                )));
            }
        };
        Ok(Some(Place {
            form: data.form,
            bucket: bucket.to_owned(),
            key,
        }))
    }

    /// Whether the data of many models can be looked for.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn prefix(&self, what: &Definition) -> std::result::Result<(), Unopened> {
        let address = what.data.as_ref().map_or("", |data| data.address.as_str());
        let (bucket, key) = s3(address).unwrap_or_default();
        match self.objects.list(bucket, key, "", 1) {
            Ok(_) => Ok(()),
            Err(error) => Err(unfetched(address, &error)),
        }
    }

    #[allow(clippy::type_complexity)] // A model and what holds its files.
    fn load(
        &self,
        what: &Definition,
        target: Option<&str>,
    ) -> std::result::Result<(Arc<dyn Served>, Option<Arc<()>>), Unopened> {
        let place = self.place(what, target)?;
        let _turn = self.turn();
        let repository = repository(&what.image);
        let fetched = match place {
            None => None,
            Some(place) => Some(self.fetch(&place, what.pinned.as_deref())?),
        };
        let container = Container {
            repository,
            environment: &what.environment,
            folder: fetched.as_ref().map(|(folder, _)| folder.as_path()),
        };
        unscripted(&container).map_err(Unopened::Failed)?;
        for opener in &self.openers {
            let opened = std::panic::catch_unwind(AssertUnwindSafe(|| opener.open(&container)));
            let broke = || Some(Err("opening the model broke; the log says where".to_owned()));
            match opened.unwrap_or_else(|_| broke()) {
                None => {}
                Some(Ok(served)) => return Ok((served, fetched.map(|(_, held)| held))),
                Some(Err(why)) => return Err(Unopened::Failed(why)),
            }
        }
        Err(Unopened::Failed(format!(
            "nothing here runs the image {}; {}",
            what.image,
            self.accepted()
        )))
    }

    /// What images are run.
    fn accepted(&self) -> String {
        let accepted: Vec<_> = self.openers.iter().map(|opener| opener.accepts()).collect();
        format!("what is run: {}", accepted.join("; "))
    }

    /// A turn to open models: so many at a time.
    fn turn(&self) -> Turn<'_> {
        let mut free = self.free.lock();
        while *free == 0 {
            self.freed.wait(&mut free);
        }
        *free -= 1;
        Turn(self)
    }

    /// Takes up the data of a model as they are now, so that it is the same model whenever it is opened again.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn pin(&self, what: &mut Definition) -> std::result::Result<(), Unopened> {
        if what.many {
            return Ok(());
        }
        if let Some(place) = self.place(what, None)? {
            what.pinned = Some(self.survey(&place)?.0);
        }
        Ok(())
    }

    /// What there is at the place of some data: a name that no others have, and what they are fetched by.
    fn survey(&self, place: &Place) -> std::result::Result<(String, Found), Unopened> {
        let Place { form, bucket, key } = place;
        let address = place.address();
        let wrong = |error: escala_objects::Error| unfetched(&address, &error);
        let mut identity = Sha256::new();
        identity.update(json!([form, bucket, key]).to_string());
        let found = match form {
            Form::Archive | Form::File => {
                let name = ObjectName::new(bucket, key, None).map_err(wrong)?;
                let object = self.objects.open(&name).map_err(wrong)?;
                identity.update(&object.etag);
                Found::Object(object)
            }
            Form::Files => {
                let mut listed = Vec::new();
                let mut after = String::new();
                loop {
                    let page = self.objects.list(bucket, key, &after, PAGE);
                    let page = page.map_err(wrong)?;
                    let last = page.len() < PAGE;
                    if let Some(one) = page.last() {
                        after.clone_from(&one.key);
                    }
                    listed.extend(page);
                    let bytes: u64 = listed.iter().map(|one| one.length).sum();
                    let limits = self.options.archive;
                    if listed.len() as u64 > limits.entries || bytes > limits.bytes {
                        return Err(Unopened::Failed(format!(
                            "{address}: there are more than {} bytes or {} objects",
                            limits.bytes, limits.entries
                        )));
                    }
                    if last {
                        break;
                    }
                }
                // What consoles make for a folder is no file.
                listed.retain(|one| !one.key.ends_with('/'));
                if listed.is_empty() {
                    return Err(Unopened::Absent(format!(
                        "Could not find model data at {address}."
                    )));
                }
                for one in &listed {
                    identity.update(json!([one.key, one.etag]).to_string());
                }
                Found::Listed(listed)
            }
        };
        let identity = identity.finalize();
        let name = identity.iter().map(|byte| format!("{byte:02x}"));
        Ok((name.collect(), found))
    }

    /// The folder with a model's files.
    fn fetch(
        &self,
        place: &Place,
        pinned: Option<&str>,
    ) -> std::result::Result<(PathBuf, Arc<()>), Unopened> {
        if let Some(pinned) = pinned
            && let Some(held) = self.folders.lock().find(pinned)
        {
            return Ok((self.folder.join(pinned), held));
        }
        let (name, found) = self.survey(place)?;
        if pinned.is_some_and(|pinned| pinned != name) {
            tracing::warn!(
                address = place.address(),
                "the data of a model are not those any more that an endpoint was deployed with"
            );
        }
        let address = place.address();
        let (form, key) = (place.form, place.key.as_str());
        self.folder_of(name, |folder| match found {
            Found::Object(object) if form == Form::Archive => {
                archive::unpack(object.bytes, folder, self.options.archive)
                    .map(|_| ())
                    .map_err(|why| {
                        let why = match why {
                            // Where it is unpacked says nothing to whoever made it.
                            archive::Error::File { path, source } => {
                                tracing::warn!(%source, path = %path.display(), "a model cannot be unpacked");
                                format!("it cannot be unpacked here: {source}")
                            }
                            why => why.to_string(),
                        };
                        Unopened::Failed(format!("{address}: {why}"))
                    })
            }
            Found::Object(object) => archive::whole(folder, |folder| {
                let last = key.rsplit('/').next().unwrap_or(key);
                let path = file_in(folder, last, &address)?;
                self.copy(object, &path, &address)
            })
            .map_err(Unopened::from),
            Found::Listed(listed) => archive::whole(folder, |folder| {
                for one in &listed {
                    let rest = one.key.strip_prefix(key).unwrap_or(&one.key);
                    let rest = rest.trim_start_matches('/');
                    // A prefix that is a whole key is one file.
                    let rest = match rest.is_empty() {
                        true => one.key.rsplit('/').next().unwrap_or(&one.key),
                        false => rest,
                    };
                    let path = file_in(folder, rest, &address)?;
                    let object = ObjectName::new(&place.bucket, &one.key, None)
                        .and_then(|name| self.objects.open(&name))
                        .map_err(|error| unfetched(&address, &error))?;
                    self.copy(object, &path, &address)?;
                }
                Ok::<(), Stopped>(())
            })
            .map_err(Unopened::from),
        })
    }

    fn copy(
        &self,
        mut object: escala_objects::Object,
        path: &Path,
        address: &str,
    ) -> std::result::Result<(), Stopped> {
        let failed = |error: std::io::Error| Unopened::Failed(format!("{address}: {error}"));
        if object.length > self.options.archive.bytes {
            let why = format!("{address}: it has {} bytes", object.length);
            return Err(Unopened::Failed(why).into());
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut file = std::fs::File::create(path).map_err(failed)?;
        let copied = std::io::copy(&mut object.bytes, &mut file).map_err(failed)?;
        if copied != object.length {
            let why = format!("{address}: {copied} of {} bytes came", object.length);
            return Err(Unopened::Failed(why).into());
        }
        file.flush()
            .and_then(|()| file.sync_data())
            .map_err(failed)?;
        Ok(())
    }

    /// The folder of some data, which `make` makes where it is not there.
    fn folder_of(
        &self,
        name: String,
        make: impl FnOnce(&Path) -> std::result::Result<(), Unopened>,
    ) -> std::result::Result<(PathBuf, Arc<()>), Unopened> {
        let path = self.folder.join(&name);
        if let Some(held) = self.folders.lock().find(&name) {
            return Ok((path, held));
        }
        let made = make(&path);
        let mut folders = self.folders.lock();
        if let Some(held) = folders.find(&name) {
            // Another model has the same data, and was first.
            return Ok((path, held));
        }
        made?;
        let bytes = size(&path).map_err(|error| Unopened::Failed(error.to_string()))?;
        let held = Arc::new(());
        let folder = Folder {
            bytes,
            used: Instant::now(),
            held: Arc::clone(&held),
        };
        folders.known.insert(name, folder);
        Ok((path, held))
    }

    /// Removes a folder, where that can be.
    fn remove(&self, folders: &mut Folders, name: &str) {
        let path = self.folder.join(name);
        match std::fs::remove_dir_all(&path) {
            Ok(()) => {
                folders.known.remove(name);
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "an unpacked model stays");
                // It is tried again as late as any other.
                if let Some(folder) = folders.known.get_mut(name) {
                    folder.used = Instant::now();
                }
            }
        }
    }
}

struct Turn<'a>(&'a Models);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

/// Why a folder is not written.
struct Stopped(Unopened);

impl From<Unopened> for Stopped {
    fn from(why: Unopened) -> Self {
        Self(why)
    }
}

impl From<archive::Error> for Stopped {
    fn from(error: archive::Error) -> Self {
        Self(Unopened::Failed(error.to_string()))
    }
}

impl From<Stopped> for Unopened {
    fn from(Stopped(why): Stopped) -> Self {
        why
    }
}

fn file_in(folder: &Path, name: &str, address: &str) -> std::result::Result<PathBuf, Stopped> {
    match archive::inside(name.as_bytes()) {
        Ok(Some(path)) => Ok(folder.join(path)),
        Ok(None) => {
            Err(Unopened::Failed(format!("{address}: {name:?} is no name of a file")).into())
        }
        Err(why) => Err(Unopened::Failed(format!("{address}: {why}")).into()),
    }
}

/// Bytes of all files below a folder, whatever a model may have put beside its own.
fn size(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next)? {
            let entry = entry?;
            let about = entry.metadata()?;
            match about.is_dir() {
                true => folders.push(entry.path()),
                false => bytes += about.len(),
            }
        }
    }
    Ok(bytes)
}

/// Whether a model is to be answered for by a script of its own: that is not run, and other answers would be none of its.
fn unscripted(container: &Container<'_>) -> std::result::Result<(), String> {
    let said = |name: &str| container.environment.get(name).map(String::as_str);
    let program = said("SAGEMAKER_PROGRAM").filter(|name| !name.is_empty());
    let elsewhere = said("SAGEMAKER_SUBMIT_DIRECTORY").is_some_and(|at| at.starts_with("s3://"));
    let script = program.unwrap_or("inference.py");
    let code = container.folder.map(|folder| folder.join("code"));
    let inside = code.is_some_and(|code| code.join(script).is_file());
    match inside || (elsewhere && program.is_some()) {
        false => Ok(()),
        true => Err(format!(
            "the model is answered for by a script, {script}, and scripts are not run here; without it (and without SAGEMAKER_PROGRAM) \
             the model's files are hosted by themselves"
        )),
    }
}

/// Why data cannot be had, in words that AWS begins so.
fn unfetched(address: &str, error: &escala_objects::Error) -> Unopened {
    use escala_objects::Error as Objects;
    match error {
        Objects::Unavailable(_) | Objects::Denied => {
            Unopened::Failed(format!("Could not access model data at {address}. {error}"))
        }
        _ => Unopened::Absent(format!("Could not find model data at {address}. {error}")),
    }
}

/// A member that the service model requires.
pub(crate) fn name(input: &Value, member: &str) -> String {
    let name = input.get(member).and_then(Value::as_str);
    name.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
