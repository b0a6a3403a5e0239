//! Buckets that are somewhere else: in S3 or what speaks its protocol, in Google Cloud Storage, in Azure.
//!
//! | file | what |
//! | --- | --- |
//! | `settings.rs` | what is said of a bucket, and the client that is made of it |
//! | `keys.rs` | which keys there are, and answers to lists without the others |
//! | `list.rs` | pages of a bucket |
//! | `read.rs` | objects that are read |
//! | `write.rs` | objects that are written |
//! | `fault.rs` | what services say of failures, as the contract's errors |
//!
//! The requests are those of the crate `object_store`. They are made by two threads of their own, which a caller waits for: it
//! may be any thread that may wait, and one that serves a runtime is held up like by a disk and by nothing else. Every request
//! has an end ([`Settings::timeout`]), and those that may be repeated are, twice.
//!
//! How it differs from the other places:
//! * Keys are paths: there are no objects whose keys begin or end with a slash or have empty parts, `.`, `..` or control
//!   characters, in Azure none with backslashes either. What else is in the bucket, such as the folders that consoles make, is not listed and not read.
//! * An object that is replaced or deleted while it is read is read to its end if the service gives it; else reading fails.
//!   It never goes on with the bytes of another: whatever is asked for after the first request is asked for by ETag.
//! * Times are whole seconds. An ETag is the service's.
//! * An object of more than 8 MiB is an upload in parts, which is aborted when it is dropped. One whose process
//!   is killed stays where it is, unseen, until a rule of the bucket removes it (S3 and Google: abort incomplete uploads;
//!   Azure does after a week).
//! * That a bucket is not there is said by the first request that needs it.

mod fault;
mod keys;
mod list;
mod read;
mod settings;
mod write;

pub use settings::{Settings, Unusable};

use crate::local::{About, Info};
use crate::{Described, Error, Listed, NewObject, Object, ObjectName, ObjectStore, WritableStore};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Threads that make the requests of all buckets.
const THREADS: usize = 2;
/// Threads that ask for addresses of hosts and read files with credentials.
const WAITING_THREADS: usize = 4;
/// Times that a request is repeated.
const RETRIES: usize = 2;

/// What `object_store` has for a service.
trait Service: object_store::ObjectStore + PaginatedListStore {}

impl<T: object_store::ObjectStore + PaginatedListStore> Service for T {}

/// The threads that make requests.
struct Requests {
    handle: Handle,
    /// None while it is dropped.
    runtime: Option<Runtime>,
}

impl Requests {
    fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(WAITING_THREADS)
            .thread_name("remote")
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Lets them do something without waiting for it.
    fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(work)
    }

    /// Waits for what they do.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let (done, waiting) = mpsc::sync_channel(1);
        drop(self.begin(async move {
            // There is room for it, or nobody waits any more.
            let _ = done.try_send(work.await);
        }));
        let ended = || io::Error::other("the request ended without an answer");
        waiting
            .recv()
            .unwrap_or_else(|_| Err(Error::Unavailable(ended())))
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        // It may be dropped by a thread that may not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A bucket.
struct Bucket {
    /// As it is called here.
    name: String,
    /// What the keys of its objects begin with there: nothing, or something that ends with a slash.
    root: String,
    service: Box<dyn Service>,
    requests: Arc<Requests>,
    /// Longest time for a request with its repetitions.
    patience: Duration,
    read_only: bool,
    /// Whether it is Azure's, whose names have no backslashes, and whose client leaves a blob out of lists whose name is the
    /// whole prefix.
    azure: bool,
    /// Whether lists come in the order of keys and can begin anywhere.
    ordered: AtomicBool,
    /// Whether it was seen to be there.
    seen: AtomicBool,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bucket = f.debug_struct("Bucket");
        bucket.field("name", &self.name).field("root", &self.root);
        bucket.finish_non_exhaustive()
    }
}

impl Bucket {
    /// Where an object with a key is there, if it can be.
    fn location(&self, key: &str) -> Option<Path> {
        match self.azure && key.contains('\\') {
            true => None,
            false => keys::path(&format!("{}{key}", self.root)),
        }
    }

    fn path(&self, name: &ObjectName) -> Result<Path, Error> {
        self.location(name.key()).ok_or_else(|| name.absent())
    }

    /// A request, with an end.
    async fn ask<T>(
        &self,
        name: Option<&ObjectName>,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.patience, request).await {
            Ok(answer) => answer.map_err(|error| fault::of(self, name, &error)),
            Err(_) => Err(Error::Unavailable(fault::late())),
        }
    }

    /// What is known of an object.
    async fn head(&self, name: &ObjectName, path: &Path) -> Result<object_store::GetResult, Error> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let found = self.ask(Some(name), self.service.get_opts(path, options));
        match found.await {
            // An answer without a body does not say what is not there.
            Err(error @ Error::NoKey(..)) => match self.list("", "", 0).await {
                Err(none @ Error::NoBucket(_)) => Err(none),
                _ => Err(error),
            },
            found => found,
        }
    }
}

/// When an object became what it is, in whole seconds: lists and headers know it to different parts of one.
fn modified(about: &ObjectMeta) -> SystemTime {
    let seconds = about.last_modified.timestamp();
    let since = Duration::from_secs(seconds.unsigned_abs());
    let time = match seconds >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(since),
        false => SystemTime::UNIX_EPOCH.checked_sub(since),
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// An object's ETag without quotes, or what changes when it does.
fn etag(about: &ObjectMeta) -> String {
    match &about.e_tag {
        Some(etag) => etag.trim_matches('"').to_owned(),
        None => format!("{:x}-{:x}", about.last_modified.timestamp(), about.size),
    }
}

/// Buckets that are somewhere else. Clones are the same ones.
#[derive(Clone, Debug)]
pub struct Remote(Arc<BTreeMap<String, Arc<Bucket>>>);

impl Remote {
    /// The buckets of these names. `variables` gives variables of the environment, which credentials come from. Nothing is asked
    /// of a service.
    ///
    /// # Errors
    /// The first bucket that cannot be, and why.
    pub fn new<'a>(
        buckets: impl IntoIterator<Item = (&'a str, &'a Settings)>,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Unusable> {
        let mut made = BTreeMap::new();
        let mut requests: Option<Arc<Requests>> = None;
        for (name, settings) in buckets {
            let unusable = |why: String| Unusable {
                bucket: name.to_owned(),
                why,
            };
            let client = settings.client(name, variables)?;
            let requests = match &requests {
                Some(requests) => requests.clone(),
                None => {
                    let made = Requests::new().map_err(|error| unusable(error.to_string()))?;
                    requests.insert(Arc::new(made)).clone()
                }
            };
            let bucket = Bucket {
                name: name.to_owned(),
                root: client.root,
                service: client.service,
                requests,
                patience: settings.timeout.saturating_mul(2 * (RETRIES as u32 + 1)),
                read_only: settings.read_only,
                azure: client.azure,
                ordered: AtomicBool::new(client.ordered),
                seen: AtomicBool::new(false),
            };
            made.insert(name.to_owned(), Arc::new(bucket));
        }
        Ok(Self(Arc::new(made)))
    }

    /// The buckets' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn bucket(&self, name: &str) -> Result<&Arc<Bucket>, Error> {
        let bucket = self.0.get(name);
        bucket.ok_or_else(|| Error::NoBucket(name.to_owned()))
    }

    fn writable(&self, name: &str) -> Result<&Arc<Bucket>, Error> {
        match self.bucket(name)? {
            bucket if bucket.read_only => Err(Error::Denied),
            bucket => Ok(bucket),
        }
    }
}

impl ObjectStore for Remote {
    fn open(&self, name: &ObjectName) -> Result<Object, Error> {
        let bucket = self.bucket(name.bucket())?;
        name.only_version()?;
        read::open(bucket, name, None)
    }

    fn open_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Object, Error> {
        let bucket = self.bucket(name.bucket())?;
        name.only_version()?;
        read::open(bucket, name, Some(range))
    }

    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Listed>, Error> {
        let bucket = self.bucket(bucket)?.clone();
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        let requests = bucket.requests.clone();
        requests.wait(async move { bucket.list(&prefix, &after, most).await })
    }
}

impl WritableStore for Remote {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn NewObject>, Error> {
        self.create_described(name, &About::default())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.writable(name.bucket())?;
        name.only_version()?;
        self.delete_all(name.bucket(), &[name.key().to_owned()])
    }
}

impl Described for Remote {
    fn describe(&self, name: &ObjectName) -> Result<Info, Error> {
        let bucket = self.bucket(name.bucket())?.clone();
        name.only_version()?;
        let (path, name) = (bucket.path(name)?, name.clone());
        let requests = bucket.requests.clone();
        requests.wait(async move {
            let found = bucket.head(&name, &path).await?;
            Ok(Info {
                length: found.meta.size,
                etag: etag(&found.meta),
                modified: modified(&found.meta),
                about: write::about(&found.attributes),
                checksum: None,
                parts: 0,
                tags: Vec::new(),
            })
        })
    }

    fn create_described(
        &self,
        name: &ObjectName,
        about: &About,
    ) -> Result<Box<dyn NewObject>, Error> {
        let bucket = self.writable(name.bucket())?;
        name.only_version()?;
        Ok(Box::new(write::New::begin(bucket, name, about)?))
    }

    fn delete_all(&self, bucket: &str, keys: &[String]) -> Result<(), Error> {
        let bucket = self.writable(bucket)?.clone();
        let paths: Vec<object_store::Result<Path>> = keys
            .iter()
            .filter_map(|key| bucket.location(key))
            .map(Ok)
            .collect();
        let requests = bucket.requests.clone();
        requests.wait(async move {
            let all = async {
                let mut deleted = bucket.service.delete_stream(stream::iter(paths).boxed());
                let mut absent = false;
                loop {
                    match deleted.try_next().await {
                        Ok(None) => return Ok(absent),
                        Ok(Some(_)) => (),
                        Err(error) if fault::is_absent(&error) => absent = true,
                        Err(error) => return Err(error),
                    }
                }
            };
            match bucket.ask(None, all).await? {
                // What is absent may be the bucket.
                true => bucket.list("", "", 0).await.map(drop),
                false => Ok(()),
            }
        })
    }
}
