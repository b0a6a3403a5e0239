//! Objects that are read: one request that is taken as fast as the reader reads, and another for the rest, by ETag, where it
//! breaks off.

use super::{Bucket, etag, fault, modified};
use crate::{Error, Object, ObjectName, inside};
use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::sync::Arc;

/// No object has so many bytes. What is asked for from there on is asked for after the object's length is known, so that no
/// service sees a number it cannot read.
const FARTHEST: u64 = 1 << 53;
/// Bytes after which a request that breaks off is worth another.
const WORTHWHILE: u64 = 1 << 20;

type Bytestream = BoxStream<'static, object_store::Result<Bytes>>;

/// Opens an object, or a part of it.
pub fn open(
    bucket: &Arc<Bucket>,
    name: &ObjectName,
    range: Option<Range<u64>>,
) -> Result<Object, Error> {
    let path = bucket.path(name)?;
    let (asking, name) = (bucket.clone(), name.clone());
    let target = path.clone();
    let opened = bucket.requests.wait(async move {
        match range {
            None => asking.get(&name, &target, None).await,
            Some(range) => asking.get_range(&name, &target, range).await,
        }
    });
    let opened = opened?;
    let (about, range) = (opened.meta.clone(), opened.range.clone());
    Ok(Object {
        length: about.size,
        etag: etag(&about),
        modified: modified(&about),
        bytes: Box::new(Reader {
            bucket: bucket.clone(),
            path,
            about,
            left: range,
            piece: Bytes::new(),
            stream: Some(opened.into_stream()),
            since: 0,
        }),
    })
}

impl Bucket {
    async fn get(
        &self,
        name: &ObjectName,
        path: &Path,
        range: Option<GetRange>,
    ) -> Result<GetResult, Error> {
        let options = GetOptions {
            range,
            ..GetOptions::default()
        };
        self.ask(Some(name), self.service.get_opts(path, options))
            .await
    }

    async fn get_range(
        &self,
        name: &ObjectName,
        path: &Path,
        range: Range<u64>,
    ) -> Result<GetResult, Error> {
        if !range.is_empty() && range.start < FARTHEST {
            let asked = match range.end < FARTHEST {
                true => GetRange::Bounded(range.clone()),
                false => GetRange::Offset(range.start),
            };
            let options = GetOptions {
                range: Some(asked),
                ..GetOptions::default()
            };
            let found = async {
                match self.service.get_opts(path, options).await {
                    Err(error) if fault::is_range(&error) => Ok(None),
                    found => found.map(Some),
                }
            };
            if let Some(found) = self.ask(Some(name), found).await? {
                return Ok(found);
            }
        }
        let length = self.head(name, path).await?.meta.size;
        let range = inside(range, length)?;
        self.get(name, path, Some(GetRange::Bounded(range))).await
    }

    /// The rest of an object that is still what it was.
    async fn rest(
        &self,
        path: &Path,
        about: &ObjectMeta,
        left: Range<u64>,
    ) -> Result<Bytestream, Error> {
        let options = GetOptions {
            if_match: about.e_tag.clone(),
            if_unmodified_since: match about.e_tag {
                Some(_) => None,
                None => Some(about.last_modified),
            },
            range: Some(GetRange::Bounded(left.clone())),
            ..GetOptions::default()
        };
        let found = self.ask(None, self.service.get_opts(path, options)).await;
        let found = found.map_err(|error| match error {
            // It was there.
            Error::NoBucket(_) => Error::Unavailable(fault::changed()),
            error => error,
        })?;
        // Not every service that is like S3 knows conditions.
        match etag(&found.meta) == etag(about) && found.range == left {
            true => Ok(found.into_stream()),
            false => Err(Error::Unavailable(fault::changed())),
        }
    }
}

struct Reader {
    bucket: Arc<Bucket>,
    path: Path,
    about: ObjectMeta,
    /// What has not come yet.
    left: Range<u64>,
    /// What came and was not taken.
    piece: Bytes,
    stream: Option<Bytestream>,
    /// Bytes that came of the stream.
    since: u64,
}

/// An error of the contract as reading has them.
pub fn io_error(error: Error) -> io::Error {
    match error {
        Error::Unavailable(error) => error,
        Error::Denied => io::Error::new(ErrorKind::PermissionDenied, Error::Denied),
        error => io::Error::other(error),
    }
}

impl Reader {
    /// The next bytes; none where the stream has no more.
    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let bucket = self.bucket.clone();
        let stream = self.stream.take();
        let (path, about, left) = (self.path.clone(), self.about.clone(), self.left.clone());
        let next = self.bucket.requests.wait(async move {
            let mut stream = match stream {
                Some(stream) => stream,
                None => bucket.rest(&path, &about, left).await?,
            };
            let piece = bucket.ask(None, async { stream.next().await.transpose() });
            let piece = piece.await?;
            Ok((piece, stream))
        });
        let (piece, stream) = next?;
        self.stream = Some(stream);
        Ok(piece)
    }

    fn more(&mut self) -> io::Result<()> {
        loop {
            let next = self.next();
            let wanted = self.left.end - self.left.start;
            match next {
                Ok(Some(piece)) if piece.len() as u64 <= wanted => {
                    self.left.start += piece.len() as u64;
                    self.since += piece.len() as u64;
                    if !piece.is_empty() {
                        self.piece = piece;
                        return Ok(());
                    }
                }
                Ok(Some(_)) => return Err(fault::changed()),
                // It broke off, or whoever reads took longer than a request may.
                Ok(None) | Err(Error::Unavailable(_)) if self.since >= WORTHWHILE => {
                    (self.stream, self.since) = (None, 0);
                }
                Ok(None) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) => return Err(io_error(error)),
            }
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.piece.is_empty() && !self.left.is_empty() {
            self.more()?;
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
