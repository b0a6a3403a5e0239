//! Objects of buckets as files of queries: `FROM 's3://bucket/reviews/*.parquet'`. Keys that are no paths (`a//b`) are not
//! seen, and a query that names one is refused.
//!
//! [`escala_objects`] waits where DataFusion must not: every call goes to a thread that may.

use async_trait::async_trait;
use bytes::Bytes;
use escala_objects::{Error, Listed, NewObject, Object, ObjectName, WritableStore};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    UploadPart,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// Objects that are listed at once.
const PAGE: usize = 1000;

/// The buckets of a store.
#[derive(Clone)]
pub struct Buckets {
    store: Arc<dyn escala_objects::ObjectStore>,
    writable: Option<Arc<dyn WritableStore>>,
}

impl Buckets {
    /// Buckets that are read.
    pub fn new(store: Arc<dyn escala_objects::ObjectStore>) -> Self {
        Self {
            store,
            writable: None,
        }
    }

    /// Buckets that `COPY … TO 's3://…'` may write.
    pub fn writable(store: Arc<dyn WritableStore>) -> Self {
        Self {
            store: store.clone(),
            writable: Some(store),
        }
    }

    /// What DataFusion reads a bucket with. Whether there is one is seen when it is read.
    pub(crate) fn bucket(&self, name: &str) -> Arc<dyn ObjectStore> {
        Arc::new(Bucket {
            name: name.into(),
            store: self.store.clone(),
            writable: self.writable.clone(),
        })
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("buckets")
    }
}

/// A bucket.
#[derive(Clone)]
struct Bucket {
    name: Arc<str>,
    store: Arc<dyn escala_objects::ObjectStore>,
    writable: Option<Arc<dyn WritableStore>>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "s3://{}", self.name)
    }
}

fn translated(path: &str, error: Error) -> object_store::Error {
    let path = path.to_owned();
    match error {
        Error::NoBucket(_) | Error::NoKey(..) | Error::NoVersion | Error::Name(_) => {
            object_store::Error::NotFound {
                path,
                source: error.into(),
            }
        }
        Error::Denied => object_store::Error::PermissionDenied {
            path,
            source: error.into(),
        },
        Error::Range { .. } | Error::Unavailable(_) => object_store::Error::Generic {
            store: "objects",
            source: error.into(),
        },
    }
}

fn unsupported(what: &str) -> object_store::Error {
    object_store::Error::NotSupported {
        source: what.to_owned().into(),
    }
}

impl Bucket {
    fn object(&self, key: &Key) -> object_store::Result<ObjectName> {
        ObjectName::new(&self.name, key.as_ref(), None)
            .map_err(|error| translated(key.as_ref(), error))
    }

    async fn create(&self, key: &Key) -> object_store::Result<Box<dyn NewObject>> {
        let Some(store) = self.writable.clone() else {
            return Err(unsupported("these buckets are only read"));
        };
        let name = self.object(key)?;
        let created = spawn_blocking(move || store.create(&name)).await?;
        created.map_err(|error| translated(key.as_ref(), error))
    }

    /// All objects below a prefix, a page at a time.
    fn pages(&self, prefix: Option<&Key>) -> BoxStream<'static, object_store::Result<Listed>> {
        // A prefix is a folder, and the folder `a` does not have `ab` in it.
        let prefix = prefix.filter(|prefix| !prefix.as_ref().is_empty());
        let prefix = prefix.map_or_else(String::new, |prefix| format!("{prefix}/"));
        let state = (self.clone(), Arc::<str>::from(prefix), Some(String::new()));
        let pages = stream::try_unfold(state, |(bucket, prefix, after)| async move {
            let Some(after) = after else {
                return Ok(None);
            };
            let (store, name, below) = (bucket.store.clone(), bucket.name.clone(), prefix.clone());
            let listed = spawn_blocking(move || store.list(&name, &below, &after, PAGE)).await?;
            let listed = listed.map_err(|error| translated(&prefix, error))?;
            let more = listed.len() == PAGE;
            let next = listed.last().filter(|_| more).map(|last| last.key.clone());
            let page = stream::iter(listed.into_iter().map(Ok));
            Ok::<_, object_store::Error>(Some((page, (bucket, prefix, next))))
        });
        pages.try_flatten().boxed()
    }
}

/// What is known of an object whose key can be a path.
fn meta(listed: Listed) -> Option<ObjectMeta> {
    Some(ObjectMeta {
        location: Key::parse(&listed.key).ok()?,
        last_modified: listed.modified.into(),
        size: listed.length,
        e_tag: Some(listed.etag),
        version: None,
    })
}

/// The bytes of an object, read when they are wanted.
fn bytes_of(object: Object) -> BoxStream<'static, object_store::Result<Bytes>> {
    stream::try_unfold(object.bytes, |mut reader| async move {
        let read = spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE);
            let read = reader.by_ref().take(PIECE as u64).read_to_end(&mut piece);
            read.map(|_| (piece, reader))
        });
        let (piece, reader) = read.await?.map_err(|error| object_store::Error::Generic {
            store: "objects",
            source: error.into(),
        })?;
        Ok((!piece.is_empty()).then(|| (Bytes::from(piece), reader)))
    })
    .boxed()
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(
        &self,
        key: &Key,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        if options.mode != PutMode::Overwrite {
            return Err(unsupported("objects are written over"));
        }
        let mut upload = Upload::new(key, self.create(key).await?);
        upload.put_part(payload).await?;
        upload.complete().await
    }

    async fn put_multipart_opts(
        &self,
        key: &Key,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload::new(key, self.create(key).await?)))
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> object_store::Result<GetResult> {
        let (store, name) = (self.store.clone(), self.object(key)?);
        let (range, head) = (options.range.clone(), options.head);
        let opened = spawn_blocking(move || -> Result<(Object, Range<u64>), Error> {
            let bounded = match range {
                Some(GetRange::Bounded(range)) if !head => range,
                Some(range) if !head => {
                    let length = store.open(&name)?.length;
                    range
                        .as_range(length)
                        .map_err(|_| Error::Range { length })?
                }
                _ => {
                    let object = store.open(&name)?;
                    let all = 0..object.length;
                    return Ok((object, all));
                }
            };
            let object = store.open_range(&name, bounded.clone())?;
            let range = bounded.start..bounded.end.min(object.length);
            Ok((object, range))
        });
        let (object, range) = opened
            .await?
            .map_err(|error| translated(key.as_ref(), error))?;
        let meta = ObjectMeta {
            location: key.clone(),
            last_modified: object.modified.into(),
            size: object.length,
            e_tag: Some(object.etag.clone()),
            version: None,
        };
        options.check_preconditions(&meta)?;
        let payload = match head {
            true => stream::empty().boxed(),
            false => bytes_of(object),
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta,
            range,
            attributes: Default::default(),
        })
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, object_store::Result<Key>>,
    ) -> BoxStream<'static, object_store::Result<Key>> {
        let bucket = self.clone();
        keys.and_then(move |key| {
            let bucket = bucket.clone();
            async move {
                let Some(store) = bucket.writable.clone() else {
                    return Err(unsupported("these buckets are only read"));
                };
                let name = bucket.object(&key)?;
                let deleted = spawn_blocking(move || store.delete(&name)).await?;
                deleted.map_err(|error| translated(key.as_ref(), error))?;
                Ok(key)
            }
        })
        .boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let listed = self.pages(prefix);
        listed
            .try_filter_map(|listed| async { Ok(meta(listed)) })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> object_store::Result<ListResult> {
        let depth = prefix.map_or(0, |prefix| prefix.parts().count());
        let mut folders = BTreeSet::new();
        let mut objects = Vec::new();
        let mut listed = self.list(prefix);
        while let Some(object) = listed.try_next().await? {
            let parts = object.location.parts();
            match parts.count() > depth + 1 {
                true => {
                    let parts = object.location.parts().take(depth + 1);
                    folders.insert(Key::from_iter(parts));
                }
                false => objects.push(object),
            }
        }
        Ok(ListResult {
            common_prefixes: folders.into_iter().collect(),
            objects,
        })
    }

    async fn copy_opts(&self, _: &Key, _: &Key, _: CopyOptions) -> object_store::Result<()> {
        Err(unsupported("objects are not copied"))
    }
}

/// An object that is being written, in parts that are numbered as they come.
struct Upload {
    key: Key,
    parts: usize,
    state: Arc<Mutex<Growing>>,
}

struct Growing {
    object: Option<Box<dyn NewObject>>,
    /// The number of the next part, and later ones that came first.
    next: usize,
    early: BTreeMap<usize, PutPayload>,
}

impl fmt::Debug for Upload {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{} being written", self.key)
    }
}

impl Upload {
    fn new(key: &Key, object: Box<dyn NewObject>) -> Self {
        Self {
            key: key.clone(),
            parts: 0,
            state: Arc::new(Mutex::new(Growing {
                object: Some(object),
                next: 0,
                early: BTreeMap::new(),
            })),
        }
    }
}

fn over() -> object_store::Error {
    unsupported("the object is no longer written")
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let (number, state) = (self.parts, self.state.clone());
        self.parts += 1;
        Box::pin(async move {
            let mut state = state.lock().await;
            state.early.insert(number, part);
            let mut ready = Vec::new();
            while let Some(part) = {
                let next = state.next;
                state.early.remove(&next)
            } {
                ready.push(part);
                state.next += 1;
            }
            let mut object = state.object.take().ok_or_else(over)?;
            let written = spawn_blocking(move || {
                for bytes in ready.iter().flatten() {
                    object.write_all(bytes)?;
                }
                Ok::<_, std::io::Error>(object)
            });
            // Of one that cannot be written nothing stays.
            let object = written
                .await?
                .map_err(|error| object_store::Error::Generic {
                    store: "objects",
                    source: error.into(),
                })?;
            state.object = Some(object);
            Ok(())
        })
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let mut state = self.state.lock().await;
        if state.next != self.parts {
            return Err(unsupported("a part is missing"));
        }
        let object = state.object.take().ok_or_else(over)?;
        let kept = spawn_blocking(move || object.commit()).await?;
        let kept = kept.map_err(|error| translated(self.key.as_ref(), error))?;
        Ok(PutResult {
            e_tag: Some(kept.etag),
            version: None,
        })
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.state.lock().await.object = None;
        Ok(())
    }
}
