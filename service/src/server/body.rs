//! Reads a request's body into memory, within limits: bytes of one body, bytes of all bodies together,
//! the longest pause, and the request's deadline.
//!
//! A body takes its part of the shared memory as it arrives: one that is only announced takes nothing, or
//! a few callers could shut everyone out by announcing bodies that they never send. Large answers take
//! theirs from the same memory until they are sent. An answer that is there is never refused, for what it tells of may have
//! been done; where answers take more than there is, no request is taken until they are sent.
//!
//! A body that announces itself as too large is never buffered. So that the caller, who is still
//! writing, sees the answer and not a broken connection, a bounded part of what it sends is read and
//! thrown away first; a caller that waits for `100 Continue` gets its answer at once.

use crate::config::Limits;
use crate::failure::Failure;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How much of a refused body is thrown away before the answer, as a multiple of the limit.
const DISCARD: u64 = 4;
/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// Most bytes that are set aside for a body because it announces so many; more as they arrive.
const TRUSTED: u64 = 1 << 20;
/// Answers up to this size are not counted: the number of connections bounds them.
const SMALL_ANSWER: u64 = 64 << 10;

/// The memory that all bodies share.
pub struct Buffers {
    limit: u64,
    used: AtomicU64,
}

/// A part of the shared memory, given back on drop.
pub struct Share {
    buffers: Arc<Buffers>,
    bytes: u64,
}

/// A whole body and its part of the shared memory.
pub struct Held {
    /// The body.
    pub bytes: Bytes,
    _share: Share,
}

impl Buffers {
    /// So many bytes.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            used: AtomicU64::new(0),
        }
    }

    /// Whether answers take more than there is.
    pub fn is_over(&self) -> bool {
        self.used.load(Relaxed) > self.limit
    }

    /// So many bytes of it, for what else requests hold; none when there is not so much left.
    pub fn share(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let mut share = Share::none(self);
        share.grow(bytes).then_some(share)
    }
}

impl Share {
    fn none(buffers: &Arc<Buffers>) -> Self {
        Self {
            buffers: buffers.clone(),
            bytes: 0,
        }
    }

    /// Whether [`Share::grow`] would succeed now.
    fn could_grow(&self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        self.buffers.used.load(Relaxed).saturating_add(more) <= self.buffers.limit
    }

    /// Makes the share at least `bytes`; false when there is not so much left.
    fn grow(&mut self, bytes: u64) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return true;
        };
        let fits = |used: u64| {
            used.checked_add(more)
                .filter(|sum| *sum <= self.buffers.limit)
        };
        let grown = self
            .buffers
            .used
            .fetch_update(Relaxed, Relaxed, fits)
            .is_ok();
        if grown {
            self.bytes = bytes;
        }
        grown
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.buffers.used.fetch_sub(self.bytes, Relaxed);
    }
}

/// Whether a body was read to its end. Where it was not, the next bytes of the connection may be the rest of it or, from a
/// caller that waited for `100 Continue`, the next request: nobody can tell, so the connection has to end.
#[derive(Clone, Debug)]
pub struct Whole(Arc<AtomicBool>);

impl Whole {
    /// Whether it was.
    pub fn is_read(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A body that takes note of its end.
struct Watched {
    body: Body,
    whole: Whole,
}

/// Watches a body that nobody has read from.
pub fn watch(body: Body) -> (Body, Whole) {
    let whole = Whole(Arc::new(AtomicBool::new(body.is_end_stream())));
    let watched = Watched {
        body,
        whole: whole.clone(),
    };
    (Body::new(watched), whole)
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.whole.0.store(true, Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads the body.
///
/// # Errors
/// 413 when it is too large, 429 when all bodies together are, 408 when it stalls, 400 when it breaks off.
pub async fn collect(
    headers: &HeaderMap,
    mut body: Body,
    limits: &Limits,
    deadline: Instant,
    buffers: &Arc<Buffers>,
) -> Result<Held, Failure> {
    let mut share = Share::none(buffers);
    if body.is_end_stream() {
        return Ok(Held {
            bytes: Bytes::new(),
            _share: share,
        });
    }
    let limit = limits.body.get();
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    let refusal = match announced {
        Some(announced) if announced > limit => Some(too_large(limit)),
        Some(announced) if !share.could_grow(announced) => Some(full()),
        _ => None,
    };
    if let Some(refusal) = refusal {
        return Err(refused(headers, body, limit, refusal).await);
    }

    // Most bodies arrive as one piece, which is used as it is.
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    let mut length = 0_u64;
    loop {
        let patience = limits
            .body_pause
            .get()
            .min(deadline.saturating_duration_since(Instant::now()));
        let frame = match tokio::time::timeout(patience, body.frame()).await {
            Err(_) => {
                let message = "the request's body did not arrive in time";
                return Err(Failure::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "timeout",
                    message,
                ));
            }
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Failure::invalid("the request's body broke off")),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers carry nothing for us.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len() as u64;
        let refusal = match () {
            () if length > limit => Some(too_large(limit)),
            () if !share.grow(length) => Some(full()),
            () => None,
        };
        if let Some(refusal) = refusal {
            drop((first, rest, share));
            discard(body, limit).await;
            return Err(refusal);
        }
        match &mut rest {
            None if first.is_empty() => first = data,
            None => {
                let whole = announced.unwrap_or(0).min(TRUSTED).max(length);
                let mut both = BytesMut::with_capacity(usize::try_from(whole).unwrap_or(0));
                both.extend_from_slice(&first);
                both.extend_from_slice(&data);
                rest = Some(both);
            }
            Some(rest) => rest.extend_from_slice(&data),
        }
    }
    Ok(Held {
        bytes: rest.map_or(first, BytesMut::freeze),
        _share: share,
    })
}

/// Counts an answer of a known size in the shared memory until it is sent, whether there is room for it or not.
pub fn hold(answer: Response, buffers: &Arc<Buffers>) -> Response {
    let bytes = answer.body().size_hint().lower();
    if bytes <= SMALL_ANSWER {
        return answer;
    }
    buffers.used.fetch_add(bytes, Relaxed);
    let share = Share {
        buffers: buffers.clone(),
        bytes,
    };
    answer.map(|body| {
        Body::new(HeldAnswer {
            body,
            _share: share,
        })
    })
}

/// An answer's body and its part of the shared memory.
struct HeldAnswer {
    body: Body,
    _share: Share,
}

impl HttpBody for HeldAnswer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn too_large(limit: u64) -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!("the request's body is larger than {limit} bytes"),
    )
}

/// What is told where too much is held.
fn full() -> Failure {
    Failure::new(
        StatusCode::TOO_MANY_REQUESTS,
        "overloaded",
        "too many large requests and answers at the same time",
    )
    .retry_after(Duration::from_secs(1))
}

/// The refusal of a request, when its caller can see it.
async fn refused(headers: &HeaderMap, body: Body, limit: u64, refusal: Failure) -> Failure {
    if !headers.contains_key(EXPECT) {
        discard(body, limit).await;
    }
    refusal
}

/// Refuses a request because too much is held.
pub async fn turn_away(headers: &HeaderMap, body: Body, limits: &Limits) -> Failure {
    refused(headers, body, limits.body.get(), full()).await
}

/// Reads and throws away, up to a bound in bytes and time.
async fn discard(mut body: Body, limit: u64) {
    let read = async {
        let mut left = limit.saturating_mul(DISCARD);
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            let Some(less) = left.checked_sub(bytes) else {
                break;
            };
            left = less;
        }
    };
    // When the time is over, the connection is closed after the answer.
    let _ = tokio::time::timeout(DISCARD_TIME, read).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::units::{Size, Span};
    use axum::http::HeaderValue;
    use futures_util::stream;

    fn limits(bytes: u64) -> Limits {
        Limits {
            body: Size::bytes(bytes),
            ..Limits::default()
        }
    }

    fn pieces(pieces: Vec<&'static [u8]>) -> Body {
        Body::from_stream(stream::iter(
            pieces.into_iter().map(Ok::<_, std::io::Error>),
        ))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn pieces_are_put_together_up_to_the_limit() {
        let buffers = Arc::new(Buffers::new(100));
        for (parts, whole) in [
            (vec![], &b""[..]),
            (vec![&b"abc"[..]], b"abc"),
            (vec![&b"ab"[..], b"", b"cde", b"f"], b"abcdef"),
        ] {
            let held = collect(
                &HeaderMap::new(),
                pieces(parts),
                &limits(6),
                soon(),
                &buffers,
            )
            .await
            .map_err(|_| "refused")
            .expect("fits");
            assert_eq!(held.bytes, whole);
            assert_eq!(buffers.used.load(Relaxed), whole.len() as u64);
            drop(held);
            assert_eq!(buffers.used.load(Relaxed), 0);
        }
        let refused = collect(
            &HeaderMap::new(),
            pieces(vec![b"abcd", b"efg"]),
            &limits(6),
            soon(),
            &buffers,
        )
        .await;
        assert_eq!(
            refused.err().map(|failure| failure.status.as_u16()),
            Some(413)
        );
        assert_eq!(buffers.used.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn an_announced_size_is_refused_before_it_is_read() {
        let buffers = Arc::new(Buffers::new(100));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
        let refused = collect(
            &headers,
            pieces(vec![b"abcdefg"]),
            &limits(6),
            soon(),
            &buffers,
        )
        .await;
        assert_eq!(
            refused.err().map(|failure| failure.status.as_u16()),
            Some(413)
        );
    }

    #[tokio::test]
    async fn all_bodies_together_are_bounded() {
        let buffers = Arc::new(Buffers::new(5));
        let held = collect(
            &HeaderMap::new(),
            pieces(vec![b"abc"]),
            &limits(6),
            soon(),
            &buffers,
        )
        .await
        .map_err(|_| "refused")
        .expect("fits");
        let refused = collect(
            &HeaderMap::new(),
            pieces(vec![b"abc"]),
            &limits(6),
            soon(),
            &buffers,
        )
        .await;
        let failure = refused.err().expect("no room");
        assert_eq!(
            (failure.status.as_u16(), failure.retry_after.is_some()),
            (429, true)
        );
        drop(held);
        assert!(
            collect(
                &HeaderMap::new(),
                pieces(vec![b"abc"]),
                &limits(6),
                soon(),
                &buffers
            )
            .await
            .is_ok()
        );
    }

    #[tokio::test]
    async fn a_body_that_is_only_announced_takes_nothing() {
        let buffers = Arc::new(Buffers::new(100));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("100"));
        let silent = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let limits = limits(100);
        let mut waiting = Box::pin(collect(&headers, silent, &limits, soon(), &buffers));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert_eq!(buffers.used.load(Relaxed), 0);
        let other = collect(&headers, pieces(vec![b"abc"]), &limits, soon(), &buffers).await;
        assert!(other.is_ok());
    }

    #[tokio::test]
    async fn large_answers_take_their_part_until_they_are_sent() {
        let size = SMALL_ANSWER as usize + 1;
        let buffers = Arc::new(Buffers::new(size as u64 + 10));
        let answer = |size: usize| hold(Response::new(Body::from(vec![0; size])), &buffers);
        let _small = answer(size - 1);
        assert_eq!(buffers.used.load(Relaxed), 0, "small ones are not counted");
        let first = answer(size);
        assert!(!buffers.is_over());
        // What it tells of may have been done, so it is sent all the same.
        let second = answer(size);
        assert!(buffers.is_over());
        for answer in [first, second] {
            let sent = answer.into_body().collect().await.expect("body");
            assert_eq!(sent.to_bytes().len(), size);
        }
        assert_eq!(buffers.used.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn a_stalled_body_times_out() {
        let buffers = Arc::new(Buffers::new(100));
        let stalled = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let limits = Limits {
            body_pause: "20ms".parse::<Span>().expect("a time"),
            ..Limits::default()
        };
        let refused = collect(&HeaderMap::new(), stalled, &limits, soon(), &buffers).await;
        assert_eq!(
            refused.err().map(|failure| failure.status.as_u16()),
            Some(408)
        );
    }
}
