//! One connection: requests in, answers out in the same order.
//!
//! ```text
//! read head ─ read body, taking bytes from the budget as they come ─ dispatch ─┬ answered at once ──┐
//!                                                                              └ answered later ────┤ queue, in order
//!                                                                    write ◄────── wait for each ◄──┘
//! ```
//!
//! Requests begin in their order, so what a client sends without waiting happens in that order: a batch has its offset
//! before the next request is looked at. Waiting (for the disk, for records, for other members of a group) holds up
//! nothing but the answers behind it.

use super::budget::Held;
use super::dispatch::{self, Frame, Reply};
use super::{Context, Limits, Shared};
use crate::wire::{Api, Reader};
use bytes::Buf;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// Requests of one connection that may wait for their answers: clients keep five.
const IN_FLIGHT: usize = 32;
/// Length of a frame, key, version and correlation id: what is read before anything is believed.
const HEAD: usize = 12;
/// Answers up to this size are not counted.
const SMALL: usize = 4 << 10;
/// Bytes of a request that are taken from the budget before any of them came; then as many again as came.
const PIECE: usize = 64 << 10;
/// Bytes of a request for which there is a place in memory at once, so that most are not moved while they come.
const AHEAD: usize = 1 << 20;
/// Bytes a second that a client takes of a large answer at least, beyond the time that it has for any.
const LEAST_RATE: usize = 1 << 20;
/// The shortest request.
const LEAST: usize = 8;

/// Why a connection is closed by us.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("nothing came for {0:?}")]
    Idle(Duration),
    #[error("a request did not come whole within {0:?}")]
    SlowRequest(Duration),
    #[error("an answer was not taken within {0:?}")]
    SlowAnswer(Duration),
    #[error("a request of {0} bytes")]
    Size(i32),
    #[error("API {key} is not served in version {version}")]
    Unserved { key: i16, version: i16 },
    #[error("a request is not one: {0}")]
    Malformed(#[source] crate::wire::Error),
    #[error("an answer cannot be written: {0}")]
    Unwritable(#[source] crate::wire::Error),
    #[error("an append that is not acknowledged failed: {0}")]
    Unacknowledged(crate::log::Error),
}

/// Serves until the client goes, breaks the protocol, or the broker stops.
pub(crate) async fn serve(stream: TcpStream, shared: Arc<Shared>) -> Result<(), Closed> {
    let mut context = Context {
        peer: stream.peer_addr()?,
        local: stream.local_addr()?,
        client: String::new(),
        shared,
    };
    let limits = context.shared.options.limits.clone();
    let mut stop = context.shared.stopping.clone();
    let (mut incoming, outgoing) = stream.into_split();
    let (replies, queue) = mpsc::channel(IN_FLIGHT);
    let due = AtomicUsize::new(0);
    let mut writing = std::pin::pin!(write(outgoing, queue, &due, limits.answer_time));
    let reading = async {
        while let Some((frame, held)) = next(&mut incoming, &context, &due, &mut stop).await? {
            let Some(mut reply) = dispatch::dispatch(&mut context, frame, held).await? else {
                continue;
            };
            if let Reply::Now(frame) = &mut reply
                && frame.remaining() > SMALL
            {
                // A client that asks and does not take its answers is not asked what else it wants.
                frame.hold(context.shared.replies.take(frame.remaining()).await);
            }
            due.fetch_add(1, Ordering::Relaxed);
            if replies.send(reply).await.is_err() {
                break;
            }
        }
        // Told to stop: the answers that are due are still written. A client that left takes none.
        let stopped = *stop.borrow();
        drop(replies);
        Ok::<_, Closed>(stopped)
    };
    let stopped = tokio::select! {
        read = reading => read?,
        written = &mut writing => return written,
    };
    if stopped { writing.await } else { Ok(()) }
}

/// The next request and its bytes of the budget, or `None` when there is none.
async fn next(
    stream: &mut OwnedReadHalf,
    context: &Context,
    due: &AtomicUsize,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<(Reader, Held)>, Closed> {
    let limits = &context.shared.options.limits;
    let mut head = [0; HEAD];
    loop {
        let first = tokio::select! {
            first = timeout(limits.idle, stream.read(&mut head[..1])) => first,
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        };
        match first {
            Ok(read) => match read? {
                0 => return Ok(None),
                _ => break,
            },
            // Whoever waits for an answer is not idle.
            Err(_) if due.load(Ordering::Relaxed) > 0 => {}
            Err(_) => return Err(Closed::Idle(limits.idle)),
        }
    }
    timeout(limits.request_time, rest(stream, head, context, limits))
        .await
        .map_err(|_| Closed::SlowRequest(limits.request_time))?
        .map(Some)
}

/// What follows the first byte of a request.
async fn rest(
    stream: &mut OwnedReadHalf,
    mut head: [u8; HEAD],
    context: &Context,
    limits: &Limits,
) -> Result<(Reader, Held), Closed> {
    stream.read_exact(&mut head[1..]).await?;
    let announced = (&head[..]).get_i32();
    let key = (&head[4..]).get_i16();
    let most = match Api::of(key) {
        Some(Api::Produce) => limits.produce_bytes,
        _ => limits.request_bytes,
    };
    let size = usize::try_from(announced)
        .ok()
        .filter(|size| (LEAST..=most).contains(size));
    let size = size.ok_or(Closed::Size(announced))?;
    let memory = match Api::of(key) {
        // Nearly all of it are records, which stay where they are.
        Some(Api::Produce) => size + SMALL,
        _ => Reader::usual_memory(size),
    };
    let requests = &context.shared.requests;
    // Whoever announces much and sends little has little of what all share.
    let mut room = size.min(PIECE);
    let mut held = requests.take(room).await;
    // The system gives what lies ahead when it is written to.
    let mut bytes = Vec::with_capacity(size.min(AHEAD));
    bytes.extend_from_slice(&head[4..]);
    while bytes.len() < size {
        if bytes.len() == room {
            let more = room.min(size - room);
            requests.take_more(&mut held, more).await;
            bytes.reserve_exact(more);
            room += more;
        }
        let mut limited = (&mut *stream).take((room - bytes.len()) as u64);
        if limited.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    requests.take_more(&mut held, memory).await;
    Ok((Reader::with_memory(bytes.into(), memory), held))
}

/// Writes answers in the order of their requests, waiting for each.
async fn write(
    mut stream: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Reply>,
    due: &AtomicUsize,
    patience: Duration,
) -> Result<(), Closed> {
    while let Some(reply) = queue.recv().await {
        let frame = match reply {
            Reply::Now(frame) => frame,
            Reply::Later(frame) => frame.await?,
        };
        send(&mut stream, frame, patience).await?;
        due.fetch_sub(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Writes one answer. The client has to take something of it again and again, and all of it in a time that goes by its size.
async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    mut frame: Frame,
    patience: Duration,
) -> Result<(), Closed> {
    let whole = patience + Duration::from_secs((frame.remaining() / LEAST_RATE) as u64);
    let sending = async {
        while frame.has_remaining() {
            let written = timeout(patience, stream.write_buf(&mut frame))
                .await
                .map_err(|_| Closed::SlowAnswer(patience))??;
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
        }
        Ok(())
    };
    let sent = timeout(whole, sending).await;
    sent.unwrap_or(Err(Closed::SlowAnswer(whole)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::fetch::{FetchableTopicResponse, PartitionData, Response};
    use bytes::Bytes;

    /// An answer with so many bytes of records.
    fn answer(bytes: usize) -> Frame {
        let asked = dispatch::Asked {
            api: Api::Fetch,
            version: 12,
            correlation: 1,
        };
        let answer = Response {
            responses: vec![FetchableTopicResponse {
                partitions: vec![PartitionData {
                    records: Some(Bytes::from(vec![1; bytes])),
                    ..PartitionData::default()
                }],
                ..FetchableTopicResponse::default()
            }],
            ..Response::default()
        };
        asked.frame(&answer).expect("a frame")
    }

    /// Who takes a byte now and then is cut off as who takes none, and what its answer holds is free.
    #[tokio::test]
    async fn an_answer_is_taken_whole_in_its_time() {
        let patience = Duration::from_millis(400);
        let (mut ours, mut theirs) = tokio::io::duplex(16);
        let trickle = async {
            while theirs.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let cut = tokio::select! {
            sent = send(&mut ours, answer(3_000), patience) => sent,
            () = trickle => panic!("it was closed"),
        };
        assert!(matches!(cut, Err(Closed::SlowAnswer(whole)) if whole == patience));
        // A large one has more time, also where it takes all of that of a small one.
        let (mut ours, mut theirs) = tokio::io::duplex(64 << 10);
        let bytes = 3 << 20;
        let all = async {
            let sent = send(&mut ours, answer(bytes), patience).await;
            drop(ours);
            sent
        };
        let slowly = async {
            let (mut taken, mut part) = (0, vec![0; 64 << 10]);
            loop {
                match theirs.read(&mut part).await? {
                    0 => return Ok::<_, io::Error>(taken),
                    read => taken += read,
                }
                tokio::time::sleep(patience / 40).await;
            }
        };
        let (sent, read) = tokio::join!(all, slowly);
        assert!(sent.is_ok() && read.is_ok_and(|read| read > bytes));
    }
}
