//! Fetch: batches as they lie in the log, and waiting for more.
//!
//! What is wrong with a partition is said at once, except that it is damaged: that does not pass, and clients ask again and
//! again. Such an answer comes when there are records of others, or when the client has waited as long as it would.
//!
//! Which partitions are meant may follow from a session (`sessions.rs`); everything else is the same with one.

use super::budget::Held;
use super::dispatch::{Asked, Reply};
use super::sessions::Turn;
use super::{Code, Context, partition};
use crate::log::{Isolation, Log, Read, batch};
use crate::wire::Api;
use crate::wire::messages::fetch::{
    AbortedTransaction, FetchPartition, FetchableTopicResponse, PartitionData, Request, Response,
};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::select_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// What more must come before it is looked for again, when there is something but not enough.
const GATHER: Duration = Duration::from_millis(5);

/// The answer comes when there is enough, when something is wrong, or when the client has waited long enough.
pub(crate) fn begin(context: &Context, asked: Asked, mut request: Request, asking: Held) -> Reply {
    let context = context.clone();
    let wait = Duration::from_millis(request.max_wait_ms.max(0) as u64);
    let deadline = Instant::now() + wait.min(context.options().limits.fetch_wait);
    let later = async move {
        // The request is needed while it waits.
        let _asking = asking;
        let turn = match context.shared.sessions.take(&mut request, Instant::now()) {
            Ok(turn) => turn,
            Err(code) => {
                let error_code = code.number();
                return asked.frame(&Response {
                    error_code,
                    ..Response::default()
                });
            }
        };
        let request = Arc::new(request);
        let look = fetch(&context, &request, deadline).await;
        let answer = answer(&request, look.partitions, turn.as_ref());
        asked.frame_holding(&answer, look.held)
    };
    Reply::Later(later.boxed())
}

/// What one look at all partitions gave.
#[derive(Default)]
struct Look {
    partitions: Vec<PartitionData>,
    bytes: usize,
    failed: bool,
    damaged: bool,
    held: Vec<Held>,
}

async fn fetch(context: &Context, request: &Arc<Request>, deadline: Instant) -> Look {
    let mut stopping = context.shared.stopping.clone();
    let mut moved: Option<Vec<watch::Receiver<i64>>> = None;
    loop {
        let look = look(context, request, deadline).await;
        let least = request.min_bytes.max(i32::from(look.damaged));
        let enough = look.bytes >= least.max(0) as usize;
        if enough || look.failed || Instant::now() >= deadline || *stopping.borrow() {
            count(context, request, &look.partitions);
            return look;
        }
        let gathering = look.bytes > 0;
        drop(look);
        let Some(moved) = &mut moved else {
            // What comes from here on is noticed; what came until here is seen by the next look.
            moved = Some(watches(context.log(), request));
            continue;
        };
        let more = async {
            let any = moved.iter_mut().map(|one| Box::pin(one.changed()));
            match any.collect::<Vec<_>>() {
                // Nothing to wait for: the time passes.
                none if none.is_empty() => std::future::pending().await,
                any => drop(select_all(any).await),
            }
            if gathering {
                sleep(GATHER).await;
            }
        };
        tokio::select! {
            () = more => {}
            () = sleep_until(deadline) => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    }
}

/// Counts what is answered.
fn count(context: &Context, request: &Request, partitions: &[PartitionData]) {
    for ((topic, one), data) in wanted(request).zip(partitions) {
        let records = data.records.as_ref().filter(|records| !records.is_empty());
        if let (Some(records), Ok(index)) = (records, partition(one.partition)) {
            let count = batch::records(records);
            context.log().given(topic, index, records.len(), count);
        }
    }
}

fn wanted(request: &Request) -> impl Iterator<Item = (&str, &FetchPartition)> {
    request.topics.iter().flat_map(|topic| {
        let name = topic.topic.as_str();
        topic
            .partitions
            .iter()
            .map(move |partition| (name, partition))
    })
}

fn watches(log: &Log, request: &Request) -> Vec<watch::Receiver<i64>> {
    wanted(request)
        .filter_map(|(topic, one)| log.watch(topic, partition(one.partition).ok()?).ok())
        .collect()
}

fn isolation(request: &Request) -> Isolation {
    match request.isolation_level {
        1 => Isolation::ReadCommitted,
        _ => Isolation::ReadUncommitted,
    }
}

/// Looks at every partition once, in the order of the request: clients put first what they had least of.
async fn look(context: &Context, request: &Arc<Request>, deadline: Instant) -> Look {
    let mut look = Look::default();
    let limits = &context.options().limits;
    let mut left = (request.max_bytes.max(0) as usize).min(limits.fetch_bytes);
    for (topic, one) in wanted(request) {
        let most = (one.partition_max_bytes.max(0) as usize).min(left);
        let mut data = PartitionData {
            partition_index: one.partition,
            high_watermark: -1,
            aborted_transactions: match isolation(request) {
                Isolation::ReadCommitted => Some(Vec::new()),
                Isolation::ReadUncommitted => None,
            },
            records: Some(Bytes::new()),
            ..PartitionData::default()
        };
        let first = (look.bytes == 0).then_some(deadline);
        match read(context, request, topic, one, most, first).await {
            Ok((read, held)) => {
                data.high_watermark = read.high_watermark;
                data.last_stable_offset = read.last_stable;
                data.log_start_offset = read.log_start;
                if let Some(listed) = &mut data.aborted_transactions {
                    listed.extend(read.aborted.iter().map(|one| AbortedTransaction {
                        producer_id: one.producer,
                        first_offset: one.first_offset,
                    }));
                }
                if let Some(held) = held {
                    let records = joined(read.batches);
                    left = left.saturating_sub(records.len());
                    look.bytes += records.len();
                    look.held.push(held);
                    data.records = Some(records);
                }
            }
            Err(code) => {
                data.error_code = code.number();
                match code {
                    Code::CorruptMessage => look.damaged = true,
                    _ => look.failed = true,
                }
                context.options().metrics.failed(Api::Fetch, code);
            }
        }
        look.partitions.push(data);
    }
    look
}

/// Reads one partition. Records come with what they occupy of the budget, and only if they fit into it and into `most`. For
/// the `first` of an answer, which may exceed `most`, the budget is waited for, but not after this time.
async fn read(
    context: &Context,
    request: &Arc<Request>,
    topic: &str,
    one: &FetchPartition,
    most: usize,
    first: Option<Instant>,
) -> Result<(Read, Option<Held>), Code> {
    let more = first.is_none();
    let log = context.log();
    let index = partition(one.partition)?;
    check_epoch(log, topic, index, one.current_leader_epoch)?;
    let state = log.describe(topic, index)?;
    let budget = &context.shared.answers;
    let end = match isolation(request) {
        Isolation::ReadCommitted => state.last_stable,
        Isolation::ReadUncommitted => state.high_watermark,
    };
    let empty = Read {
        batches: Vec::new(),
        high_watermark: state.high_watermark,
        last_stable: state.last_stable,
        log_start: state.log_start,
        aborted: Vec::new(),
    };
    let offset = one.fetch_offset;
    let somewhere = state.log_start..=state.high_watermark;
    if somewhere.contains(&offset) && (offset >= end || (more && most == 0)) {
        return Ok((empty, None));
    }
    // The bytes are taken before they are there, and those too many given back.
    let reserved = most.max(state_of_one_batch(context, topic));
    let held = match first {
        Some(deadline) => timeout_at(deadline, budget.take(reserved)).await.ok(),
        None => budget.try_take(reserved),
    };
    let Some(mut held) = held else {
        return Ok((empty, None));
    };
    let isolation = isolation(request);
    let recent = log.read_recent(topic, index, offset, most, isolation);
    let read = match recent? {
        Some(read) => read,
        None => {
            let topic = topic.to_owned();
            context
                .blocking(move |log| log.read(&topic, index, offset, most, isolation))
                .await??
        }
    };
    let bytes = read.batches.iter().map(Bytes::len).sum();
    if bytes == 0 || (more && bytes > most) {
        let none = Read {
            batches: Vec::new(),
            aborted: Vec::new(),
            ..read
        };
        return Ok((none, None));
    }
    held.shrink(bytes);
    Ok((read, Some(held)))
}

/// What the smallest read can be: one batch, as large as the topic allows.
fn state_of_one_batch(context: &Context, topic: &str) -> usize {
    let topic = context.log().topic(topic);
    topic.map_or(0, |topic| topic.config.max_message_bytes)
}

/// A client that knows another epoch than ours has an old view, or a newer one than there is.
pub(crate) fn check_epoch(log: &Log, topic: &str, index: u32, epoch: i32) -> Result<(), Code> {
    if epoch < 0 {
        return Ok(());
    }
    match log.describe(topic, index)?.leader_epoch {
        ours if epoch < ours => Err(Code::FencedLeaderEpoch),
        ours if epoch > ours => Err(Code::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

fn joined(mut batches: Vec<Bytes>) -> Bytes {
    if batches.len() == 1 {
        return batches.pop().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(batches.iter().map(Bytes::len).sum());
    for batch in batches {
        all.extend_from_slice(&batch);
    }
    all.freeze()
}

fn answer(request: &Request, partitions: Vec<PartitionData>, turn: Option<&Turn>) -> Response {
    let names = wanted(request).map(|(topic, _)| topic.to_owned());
    let mut found: Vec<(String, PartitionData)> = names.zip(partitions).collect();
    if let Some(turn) = turn {
        turn.tell(&mut found);
    }
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    for (topic, data) in found {
        match responses.last_mut() {
            Some(last) if last.topic == topic => last.partitions.push(data),
            _ => responses.push(FetchableTopicResponse {
                topic,
                partitions: vec![data],
                ..FetchableTopicResponse::default()
            }),
        }
    }
    Response {
        session_id: turn.map_or(0, |turn| turn.id),
        responses,
        ..Response::default()
    }
}
