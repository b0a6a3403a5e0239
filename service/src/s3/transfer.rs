//! Bytes between bodies and the disk, a piece at a time, on threads that may wait for it.

use super::Door;
use super::chunked::Trailers;
use super::request::Payload;
use super::words::{self, failure};
use axum::body::Body;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use escala_objects::local::checksum::{Algorithm, Digests};
use escala_objects::local::{self, About, Expected, Local, Written};
use escala_objects::{Described, Listed, NewObject, ObjectName};
use futures_util::{StreamExt, stream};
use s3s::dto::StreamingBlob;
use s3s::{S3ErrorCode, S3Request, S3Result, s3_error};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Bytes that are written or read at once.
pub const PIECE: u64 = 1 << 20;
/// Most bytes of an object or part that comes with one request.
const LARGEST: u64 = 5 << 30;
/// Bytes of an object that are held while it leaves for a bucket elsewhere: three parts, each copied once while it grows.
const LEAVING: u64 = 32 << 20;

/// Runs something on a thread that may wait.
pub async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, local::Error> + Send + 'static,
) -> S3Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(failure),
        Err(error) => Err(s3s::S3Error::internal_error(error)),
    }
}

/// What a request says about the bytes that come with it.
#[derive(Debug, Default)]
pub struct Sums {
    expected: Expected,
    /// Of a trailer: how it is computed.
    trailing: Option<Algorithm>,
    trailers: Option<Trailers>,
    /// The checksum that is kept.
    pub keep: Option<Algorithm>,
}

impl Sums {
    /// Those of a request with these headers: `Content-MD5`, the checksums it has, and the algorithm that it names.
    ///
    /// # Errors
    /// `InvalidDigest`, `InvalidRequest`.
    pub fn of<T>(
        request: &S3Request<T>,
        length: Option<i64>,
        md5: Option<&str>,
        given: [(Algorithm, Option<&str>); 5],
        named: Option<&str>,
    ) -> S3Result<Self> {
        let mut sums = Self::default();
        sums.expected.length = length.and_then(|length| u64::try_from(length).ok());
        if sums.expected.length.is_some_and(|length| length > LARGEST) {
            return Err(S3ErrorCode::EntityTooLarge.into());
        }
        let decoded = |text: &str| STANDARD.decode(text).ok();
        if let Some(md5) = md5 {
            let md5 = decoded(md5).filter(|md5| md5.len() == 16);
            let md5 = md5.ok_or(S3ErrorCode::InvalidDigest)?;
            sums.expected.md5 = Some(md5);
        }
        for (algorithm, value) in given {
            let Some(value) = value else { continue };
            let value = decoded(value).filter(|bytes| bytes.len() == algorithm.of(&[]).len());
            let value = value.ok_or_else(|| {
                s3_error!(
                    InvalidRequest,
                    "the value of the {} checksum is invalid",
                    algorithm.name()
                )
            })?;
            sums.expected.checksums.push((algorithm, value));
        }
        let payload = request.extensions.get::<Payload>();
        sums.expected.payload = payload.map(|payload| payload.0.clone());
        sums.trailers = request.extensions.get::<Trailers>().cloned();
        let trailer = request.headers.get("x-amz-trailer");
        let trailer = trailer.and_then(|name| name.to_str().ok()?.strip_prefix("x-amz-checksum-"));
        sums.trailing = trailer.and_then(|name| Algorithm::named(&name.to_ascii_uppercase()));
        if trailer.is_some() && sums.trailing.is_none() {
            return Err(s3_error!(InvalidRequest, "the trailer is not known"));
        }
        let given = sums.expected.checksums.first().map(|(one, _)| *one);
        let named = named.map(|name| {
            Algorithm::named(name)
                .ok_or_else(|| s3_error!(InvalidRequest, "the checksum algorithm is not known"))
        });
        sums.keep = given.or(sums.trailing).or(named.transpose()?);
        Ok(sums)
    }

    fn computed(&self) -> Vec<Algorithm> {
        let payload = self.expected.payload.as_ref().map(|_| Algorithm::Sha256);
        let given = self.expected.checksums.iter().map(|(one, _)| *one);
        let mut all: Vec<Algorithm> = given
            .chain(self.trailing)
            .chain(self.keep)
            .chain(payload)
            .collect();
        all.sort_unstable_by_key(|one| one.name());
        all.dedup();
        all
    }

    /// What is expected now that the trailers are there.
    fn expected(self) -> S3Result<Expected> {
        let mut expected = self.expected;
        if let Some(algorithm) = self.trailing {
            let name = format!("x-amz-checksum-{}", algorithm.name().to_ascii_lowercase());
            let value = self.trailers.and_then(|trailers| trailers.get(&name));
            let value = value.and_then(|value| STANDARD.decode(value).ok());
            let value = value.ok_or_else(|| {
                words::other(
                    "MalformedTrailerError",
                    StatusCode::BAD_REQUEST,
                    "the trailer is missing",
                )
            })?;
            expected.checksums.push((algorithm, value));
        }
        Ok(expected)
    }
}

fn broken(error: &(dyn std::error::Error + 'static)) -> s3s::S3Error {
    let mut at = Some(error);
    while let Some(one) = at {
        if let Some(io) = one.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::TimedOut => return S3ErrorCode::RequestTimeout.into(),
                io::ErrorKind::InvalidData => return s3_error!(InvalidRequest, "the body: {io}"),
                _ => (),
            }
        }
        at = one.source();
    }
    s3_error!(IncompleteBody, "the body broke off")
}

/// Bytes that leave for a bucket elsewhere, and their checksums. Dropped, there is nothing of them.
struct Leaving {
    new: Box<dyn NewObject>,
    digests: Digests,
    length: u64,
}

impl Write for Leaving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.new.write(bytes)?;
        self.digests.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.new.flush()
    }
}

impl Leaving {
    /// Makes them the object if they are what was expected.
    fn finish(self, expected: &Expected) -> Result<Listed, local::Error> {
        expected.check(self.length, &self.digests.finish())?;
        Ok(self.new.commit()?)
    }
}

fn write<W: Write>(
    begin: &impl Fn(&[Algorithm]) -> Result<W, local::Error>,
    writing: Option<W>,
    computed: &[Algorithm],
    pieces: &[Bytes],
) -> Result<W, local::Error> {
    let mut writing = match writing {
        Some(writing) => writing,
        None => begin(computed)?,
    };
    for piece in pieces {
        writing.write_all(piece)?;
    }
    Ok(writing)
}

impl Door {
    /// Writes a body to the disk and, when all of it is there and is what was expected, does `then` with it.
    pub async fn receive<T: Send + 'static>(
        &self,
        local: Local,
        body: Option<StreamingBlob>,
        sums: Sums,
        then: impl FnOnce(Local, Written) -> Result<T, local::Error> + Send + 'static,
    ) -> S3Result<T> {
        let begun = local.clone();
        let begin = move |computed: &[Algorithm]| begun.write(computed);
        self.take(begin, 0, body, sums, move |writing, expected, keep| {
            let written = writing.finish(expected, keep)?;
            then(local, written)
        })
        .await
    }

    /// Hands a body on to a bucket elsewhere; when all of it is there and is what was expected, it is the object.
    pub async fn receive_elsewhere(
        &self,
        store: Arc<dyn Described>,
        name: ObjectName,
        about: About,
        body: Option<StreamingBlob>,
        sums: Sums,
    ) -> S3Result<Listed> {
        let held = sums.expected.length.unwrap_or(LEAVING).min(LEAVING);
        let begin = move |computed: &[Algorithm]| match store.create_described(&name, &about) {
            Ok(new) => Ok(Leaving {
                new,
                digests: Digests::new(computed),
                length: 0,
            }),
            Err(escala_objects::Error::Name(_)) => {
                Err(local::Error::Elsewhere(name.bucket().to_owned()))
            }
            Err(error) => Err(error.into()),
        };
        let finish = |leaving: Leaving, expected: &Expected, _| leaving.finish(expected);
        self.take(begin, held, body, sums, finish).await
    }

    /// Writes a body to what `begin` gives, and `held` bytes are in memory meanwhile.
    async fn take<W: Write + Send + 'static, T: Send + 'static>(
        &self,
        begin: impl Fn(&[Algorithm]) -> Result<W, local::Error> + Clone + Send + 'static,
        held: u64,
        body: Option<StreamingBlob>,
        sums: Sums,
        then: impl FnOnce(W, &Expected, Option<Algorithm>) -> Result<T, local::Error> + Send + 'static,
    ) -> S3Result<T> {
        let Some(_share) = self.buffers.share(held + 2 * PIECE) else {
            return Err(words::slow_down());
        };
        let (computed, keep) = (sums.computed(), sums.keep);
        let mut body = body;
        let mut writing = None;
        let (mut pieces, mut held, mut all) = (Vec::new(), 0, 0);
        while let Some(body) = &mut body {
            let Some(bytes) = body.next().await else {
                break;
            };
            let bytes: Bytes = bytes.map_err(|error| broken(&*error))?;
            held += bytes.len() as u64;
            all += bytes.len() as u64;
            pieces.push(bytes);
            if all > LARGEST {
                return Err(S3ErrorCode::EntityTooLarge.into());
            }
            if held >= PIECE {
                let (begin, computed) = (begin.clone(), computed.clone());
                let pieces = std::mem::take(&mut pieces);
                held = 0;
                let begun = writing.take();
                let written = waiting(move || write(&begin, begun, &computed, &pieces));
                writing = Some(written.await?);
            }
        }
        let expected = sums.expected()?;
        waiting(move || {
            let writing = write(&begin, writing, &computed, &pieces)?;
            then(writing, &expected, keep)
        })
        .await
    }

    /// A body of `length` bytes that are read as they are taken.
    pub async fn send(&self, bytes: Box<dyn Read + Send>, length: u64) -> S3Result<StreamingBlob> {
        let piece = length.min(PIECE);
        let Some(share) = self.buffers.share(piece) else {
            return Err(words::slow_down());
        };
        if length <= PIECE {
            let all = waiting(move || {
                // It is at most a piece.
                let mut all = Vec::with_capacity(length as usize);
                bytes.take(length).read_to_end(&mut all)?;
                match all.len() as u64 == length {
                    true => Ok(Bytes::from_owner(Shared {
                        bytes: all,
                        _share: share,
                    })),
                    false => Err(local::Error::Disk(io::ErrorKind::UnexpectedEof.into())),
                }
            });
            let body = Body::from(all.await?);
            return Ok(StreamingBlob::from(s3s::Body::http_body_unsync(body)));
        }
        let state = (bytes, length, share);
        let pieces = stream::try_unfold(state, |(mut bytes, left, share)| async move {
            if left == 0 {
                return Ok::<_, io::Error>(None);
            }
            let read = tokio::task::spawn_blocking(move || {
                // It is at most a piece.
                let mut piece = vec![0; left.min(PIECE) as usize];
                bytes.read_exact(&mut piece)?;
                Ok::<_, io::Error>((piece, bytes))
            });
            let (piece, bytes) = read.await.map_err(io::Error::other)??;
            let left = left - piece.len() as u64;
            Ok(Some((Bytes::from(piece), (bytes, left, share))))
        });
        let body = Body::from_stream(pieces);
        Ok(StreamingBlob::from(s3s::Body::http_body_unsync(body)))
    }
}

/// Bytes and their part of the shared memory.
struct Shared {
    bytes: Vec<u8>,
    _share: crate::server::body::Share,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
