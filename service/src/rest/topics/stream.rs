//! Records as server-sent events: an answer that goes on as records come.
//!
//! The stream is read only when the caller has taken what came before, so that a slow one costs a piece of memory and no
//! more; one that takes nothing is given up by [`crate::server::stall`].

use super::{RecordsQuery, start};
use crate::app::App;
use crate::failure::Failure;
use crate::server::body::Share;
use crate::topics::Error;
use crate::topics::consume::{Most, Position, Reader, Shown, Start};
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// What is read at once: records, and bytes of them unless the first one is more.
const PIECE: Most = Most {
    records: 1000,
    bytes: 64 << 10,
};
/// How often something is said while nothing comes, so that nobody takes the connection for dead.
const SILENCE: Duration = Duration::from_secs(15);
/// The header with the id of the last event that came.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Proxies are asked not to gather what they pass on.
const NO_BUFFERING: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// A stream and what it holds.
struct Stream {
    app: Arc<App>,
    reader: Reader,
    /// The part of the shared memory that the last piece takes.
    held: Option<Share>,
    state: State,
    _place: OwnedSemaphorePermit,
}

enum State {
    /// Nothing was said yet.
    New,
    Going,
    Over,
}

/// The answer to a request that wants events.
pub(super) async fn answer(
    app: Arc<App>,
    topic: &str,
    query: RecordsQuery,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    if query.wait.is_some() || query.limit.is_some() || query.max_bytes.is_some() {
        return Err(Failure::invalid(
            "a stream of events waits and goes on by itself: `wait`, `limit` and `max_bytes` are not for it",
        ));
    }
    let start = match headers.get(LAST_EVENT_ID) {
        // Where it was goes before where it began.
        Some(id) => Start::Position(last_event(id)?),
        None => start(&query)?,
    };
    let place = app.topics.wait()?;
    let stream = Stream {
        reader: Reader::open(&app, topic, query.partition, start).await?,
        app,
        held: None,
        state: State::New,
        _place: place,
    };
    let pieces = futures_util::stream::unfold(stream, |mut stream| async move {
        let piece = stream.next().await?;
        Some((Ok::<_, Infallible>(piece), stream))
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        NO_BUFFERING,
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

fn last_event(id: &HeaderValue) -> Result<Position, Failure> {
    let text = String::from_utf8_lossy(id.as_bytes());
    let position = text.parse::<Position>();
    position.map_err(|error| Failure::invalid(format!("`Last-Event-ID`: {error}")))
}

impl Stream {
    /// The next piece: events, or a comment when nothing came for a while. Nothing is the end.
    async fn next(&mut self) -> Option<Bytes> {
        // What came before was taken.
        self.held = None;
        match self.state {
            // An event that says nothing is not one, but its id is kept: who is cut off now comes back to here.
            State::New => {
                self.state = State::Going;
                return Some(format!("id: {}\n\n", self.reader.position()).into());
            }
            State::Going => {}
            State::Over => return None,
        }
        let silence = tokio::time::Instant::now() + SILENCE;
        loop {
            let before = self.reader.position().clone();
            match self.reader.read(&self.app, PIECE).await {
                Ok(shown) if shown.is_empty() => {}
                Ok(shown) => return Some(self.events(before, &shown)),
                Err(error) => return Some(self.end(error.into())),
            }
            tokio::select! {
                () = self.reader.more() => {}
                () = self.app.ready.stopped() => return None,
                () = tokio::time::sleep_until(silence) => return Some(Bytes::from_static(b":\n\n")),
            }
        }
    }

    /// Records as events, each with the position behind it.
    fn events(&mut self, mut position: Position, shown: &[Shown]) -> Bytes {
        let mut piece = String::new();
        for one in shown {
            position.0.insert(one.partition, one.next);
            // Writing to a string cannot fail, and JSON has no line ends.
            let _ = write!(piece, "id: {position}\ndata: {}\n\n", one.json);
        }
        // Small pieces are bounded by the number of streams.
        if piece.len() > 4 * PIECE.bytes {
            self.held = self.app.buffers.share(piece.len() as u64);
            if self.held.is_none() {
                let why = Error::Overloaded(
                    "there is no memory left for a record as large as the next one",
                );
                return self.end(why.into());
            }
        }
        piece.into()
    }

    /// The last event: what went wrong.
    fn end(&mut self, failure: Failure) -> Bytes {
        self.state = State::Over;
        let error = serde_json::json!({
            "error": { "code": failure.code, "message": failure.message },
        });
        format!("event: error\ndata: {error}\n\n").into()
    }
}
