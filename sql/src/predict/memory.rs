//! What a query has asked already, so that it asks once.
//!
//! Inputs are known by the SHA-256 of model and arguments. An input is *pending* while somebody asks about it, and whoever
//! else needs it waits for that answer; then it is *known*, as a row of a chunk of answers. Chunks of together more than
//! the bound are forgotten, the oldest first, but one that was used since it was last considered stays (the clock
//! algorithm): constants of a query stay, and a stream of new inputs passes.
//!
//! Whoever asks does so before it waits for others, in a task that runs by itself, so that nobody waits for somebody who
//! waits. A task that ends early takes its pending inputs back, and those who wait ask themselves.

use crate::model::{Error, Model, Scores, Seen};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array, new_null_array};
use datafusion::arrow::compute::{interleave, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// Model and arguments.
type Key = [u8; 32];

/// Bytes that a known input takes beside its answer, roughly: its key twice, and its places.
const OVERHEAD: usize = 128;

/// Answers that were made together.
#[derive(Debug)]
struct Chunk {
    scores: Scores,
    keys: Vec<Key>,
    bytes: usize,
    /// Somebody needed it again.
    used: AtomicBool,
}

impl Chunk {
    fn new(scores: Scores, keys: Vec<Key>) -> Self {
        let faults = scores.faults.iter().flatten().map(String::len);
        let bytes = scores.values.get_array_memory_size() + faults.sum::<usize>();
        Self {
            bytes: bytes + keys.len() * OVERHEAD,
            scores,
            keys,
            used: AtomicBool::new(false),
        }
    }

    fn fault(&self, row: usize) -> Option<&str> {
        self.scores.faults.get(row)?.as_deref()
    }
}

/// An answer.
#[derive(Debug, Clone)]
struct Place {
    chunk: Arc<Chunk>,
    row: usize,
}

/// What will be known of a chunk that is being made; its sender goes away when it will not be made.
type Coming = watch::Receiver<Option<Arc<Chunk>>>;

/// An input that somebody else asks about: the first row that has it, and where its answer will be.
struct Awaited {
    key: Key,
    first: usize,
    coming: Coming,
    row: usize,
}

#[derive(Debug)]
enum Slot {
    Known(Place),
    Pending(Coming, usize),
}

/// What is known, for all nodes of a plan.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Most bytes of answers that are kept.
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<Key, Slot>,
    /// The known chunks, oldest first.
    chunks: VecDeque<Arc<Chunk>>,
    bytes: usize,
    reservation: Option<MemoryReservation>,
}

/// Answers to rows.
pub(crate) struct Answers {
    pub(crate) values: ArrayRef,
    /// Why rows have none.
    pub(crate) faults: Vec<(usize, String)>,
    /// Inputs that a model was asked about for this.
    pub(crate) asked: usize,
}

impl Memory {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let state = Mutex::default();
        Arc::new(Self { most, state })
    }

    /// Counts what is kept in the memory of queries.
    pub(crate) fn reserve_in(&self, pool: &Arc<dyn MemoryPool>) {
        let mut state = self.state.lock();
        if state.reservation.is_none() {
            state.reservation = Some(MemoryConsumer::new("predictions").register(pool));
        }
    }

    /// Answers rows; those with a null argument are null.
    ///
    /// # Errors
    /// When the model cannot answer anything.
    pub(crate) async fn answers(
        self: &Arc<Self>,
        model: &Arc<dyn Model>,
        arguments: &[ArrayRef],
        rows: usize,
        seen: &Seen,
    ) -> Result<Answers> {
        let keys = keys(model, arguments, rows)?;
        let mut places: HashMap<Key, Option<Place>> = HashMap::new();
        // The inputs, each with the first row that has it.
        let mut open: Vec<(Key, usize)> = Vec::new();
        for (row, key) in keys.iter().enumerate() {
            if let Some(key) = key
                && let Entry::Vacant(place) = places.entry(*key)
            {
                place.insert(None);
                open.push((*key, row));
            }
        }
        let mut asked = 0;
        while !open.is_empty() {
            let (mine, others) = self.claim(&mut open, &mut places);
            if let Some(mine) = mine {
                let rows: Vec<u32> = mine.rows.iter().map(|row| *row as u32).collect();
                let inputs = part(arguments, rows)?;
                asked += mine.rows.len();
                let scores = score(model, inputs, seen).await?;
                let chunk = mine.publish(scores);
                for (row, key) in chunk.keys.iter().enumerate() {
                    let chunk = chunk.clone();
                    places.insert(*key, Some(Place { chunk, row }));
                }
            }
            for mut other in others {
                let chunk = other.coming.wait_for(Option::is_some).await;
                let chunk = chunk.ok().and_then(|chunk| chunk.clone());
                match chunk {
                    Some(chunk) => {
                        let row = other.row;
                        places.insert(other.key, Some(Place { chunk, row }));
                    }
                    None => open.push((other.key, other.first)),
                }
            }
        }
        gather(model, &keys, &places, asked)
    }

    /// Sorts open inputs: what is known is put in its place, what nobody asks about is the caller's to ask, and the rest
    /// is coming.
    fn claim(
        self: &Arc<Self>,
        open: &mut Vec<(Key, usize)>,
        places: &mut HashMap<Key, Option<Place>>,
    ) -> (Option<Claim>, Vec<Awaited>) {
        let (sender, receiver) = watch::channel(None);
        let mut claim = Claim {
            memory: self.clone(),
            sender,
            keys: Vec::new(),
            rows: Vec::new(),
        };
        let mut others = Vec::new();
        let mut state = self.state.lock();
        for (key, first) in open.drain(..) {
            match state.slots.entry(key) {
                Entry::Vacant(slot) => {
                    slot.insert(Slot::Pending(receiver.clone(), claim.keys.len()));
                    claim.keys.push(key);
                    claim.rows.push(first);
                }
                Entry::Occupied(slot) => match slot.get() {
                    Slot::Known(place) => {
                        place.chunk.used.store(true, Ordering::Relaxed);
                        places.insert(key, Some(place.clone()));
                    }
                    Slot::Pending(coming, row) => others.push(Awaited {
                        key,
                        first,
                        coming: coming.clone(),
                        row: *row,
                    }),
                },
            }
        }
        drop(state);
        let claim = (!claim.keys.is_empty()).then_some(claim);
        (claim, others)
    }
}

impl State {
    fn keep(&mut self, chunk: Arc<Chunk>, most: usize) {
        self.bytes += chunk.bytes;
        self.chunks.push_back(chunk);
        let fits = |state: &mut Self| {
            let bytes = state.bytes;
            bytes <= most
                && state
                    .reservation
                    .as_mut()
                    .is_none_or(|reservation| reservation.try_resize(bytes).is_ok())
        };
        while !fits(self) {
            let Some(oldest) = self.chunks.pop_front() else {
                break;
            };
            if oldest.used.swap(false, Ordering::Relaxed) && !self.chunks.is_empty() {
                self.chunks.push_back(oldest);
                continue;
            }
            self.bytes -= oldest.bytes;
            for key in &oldest.keys {
                self.slots.remove(key);
            }
        }
    }
}

/// Inputs that somebody asks about. Dropped before they are answered, they are open again.
struct Claim {
    memory: Arc<Memory>,
    sender: watch::Sender<Option<Arc<Chunk>>>,
    keys: Vec<Key>,
    /// For each, the first row that has it.
    rows: Vec<usize>,
}

impl Claim {
    fn publish(mut self, scores: Scores) -> Arc<Chunk> {
        let keys = std::mem::take(&mut self.keys);
        let chunk = Arc::new(Chunk::new(scores, keys));
        let mut state = self.memory.state.lock();
        for (row, key) in chunk.keys.iter().enumerate() {
            let chunk = chunk.clone();
            state.slots.insert(*key, Slot::Known(Place { chunk, row }));
        }
        state.keep(chunk.clone(), self.memory.most);
        drop(state);
        self.sender.send_replace(Some(chunk.clone()));
        chunk
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.memory.state.lock();
        for key in &self.keys {
            state.slots.remove(key);
        }
    }
}

/// The keys of rows; none where an argument is null.
fn keys(model: &Arc<dyn Model>, arguments: &[ArrayRef], rows: usize) -> Result<Vec<Option<Key>>> {
    let mut keys = Vec::with_capacity(rows);
    for row in 0..rows {
        if arguments.iter().any(|argument| argument.is_null(row)) {
            keys.push(None);
            continue;
        }
        let mut hash = Sha256::new();
        hash.update(model.function().name);
        for argument in arguments {
            let bytes = match argument.data_type() {
                DataType::Utf8 => argument.as_string::<i32>().value(row).as_bytes(),
                DataType::Binary => argument.as_binary::<i32>().value(row),
                other => return exec_err!("a model is asked about {other}"),
            };
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        keys.push(Some(hash.finalize().into()));
    }
    Ok(keys)
}

fn part(arguments: &[ArrayRef], rows: Vec<u32>) -> Result<Vec<ArrayRef>> {
    let rows = UInt32Array::from(rows);
    let taken = arguments.iter().map(|argument| take(argument, &rows, None));
    Ok(taken.collect::<std::result::Result<_, _>>()?)
}

/// The answers in the order of the rows.
fn gather(
    model: &Arc<dyn Model>,
    keys: &[Option<Key>],
    places: &HashMap<Key, Option<Place>>,
    asked: usize,
) -> Result<Answers> {
    let null = new_null_array(&(model.function().answers)(), 1);
    let mut chunks: Vec<&Arc<Chunk>> = Vec::new();
    let mut numbers: HashMap<*const Chunk, usize> = HashMap::new();
    let mut faults = Vec::new();
    let mut indices = Vec::with_capacity(keys.len());
    for (row, key) in keys.iter().enumerate() {
        let Some(key) = key else {
            indices.push((0, 0));
            continue;
        };
        let Some(Some(place)) = places.get(key) else {
            return exec_err!("a row was not answered");
        };
        let number = *numbers.entry(Arc::as_ptr(&place.chunk)).or_insert_with(|| {
            chunks.push(&place.chunk);
            chunks.len()
        });
        indices.push((number, place.row));
        if let Some(fault) = place.chunk.fault(place.row) {
            faults.push((row, fault.to_owned()));
        }
    }
    let arrays = chunks.iter().map(|chunk| chunk.scores.values.as_ref());
    let arrays: Vec<&dyn Array> = std::iter::once(null.as_ref()).chain(arrays).collect();
    Ok(Answers {
        values: interleave(&arrays, &indices)?,
        faults,
        asked,
    })
}

/// Asks a model; rows that it cannot answer together are asked in halves.
async fn score(model: &Arc<dyn Model>, inputs: Vec<ArrayRef>, seen: &Seen) -> Result<Scores> {
    let function = model.function();
    let (name, kind) = (function.name, (function.answers)());
    let mut open = vec![inputs];
    let mut done: Vec<Scores> = Vec::new();
    while let Some(inputs) = open.pop() {
        let rows = inputs.first().map_or(0, |input| input.len());
        match model.score(&inputs, seen).await {
            Ok(scores) => {
                let (values, faults) = (scores.values.len(), scores.faults.len());
                if values != rows || (faults != rows && faults != 0) {
                    return exec_err!("{name}() answered {values} of {rows} rows");
                }
                if *scores.values.data_type() != kind {
                    let other = scores.values.data_type();
                    return exec_err!("{name}() answered {other} instead of {kind}");
                }
                done.push(scores);
            }
            Err(Error::Unavailable(why)) => {
                let why = exec_datafusion_err!("{name}(): {why}");
                return Err(why);
            }
            Err(Error::Batch(why)) if rows == 1 => done.push(Scores {
                values: new_null_array(&kind, 1),
                faults: vec![Some(why)],
            }),
            Err(Error::Batch(why)) => {
                tracing::debug!(
                    function = name,
                    rows,
                    why,
                    "a model is asked again in halves"
                );
                let half = rows / 2;
                let slice = |from: usize, count: usize| -> Vec<ArrayRef> {
                    inputs
                        .iter()
                        .map(|input| input.slice(from, count))
                        .collect()
                };
                // The first half comes off first.
                open.push(slice(half, rows - half));
                open.push(slice(0, half));
            }
        }
    }
    if let [_] = &done[..] {
        return done.pop().ok_or_else(|| internal("no answers"));
    }
    let arrays: Vec<&dyn Array> = done.iter().map(|part| part.values.as_ref()).collect();
    let values = datafusion::arrow::compute::concat(&arrays)?;
    let mut faults = Vec::with_capacity(values.len());
    for part in done {
        let rows = part.values.len();
        match part.faults.is_empty() {
            true => faults.extend(std::iter::repeat_n(None, rows)),
            false => faults.extend(part.faults),
        }
    }
    Ok(Scores { values, faults })
}

fn internal(what: &str) -> DataFusionError {
    DataFusionError::Internal(what.to_owned())
}
