//! Single records: what a batch holds, and batches made of records.
//!
//! The log keeps batches as they came and never looks into them further than it must. Who needs the records themselves
//! (flows, the REST door, the command line) reads them here, whatever compressed them, and writes new ones.
//! Format: [Kafka's record batch, version 2](https://kafka.apache.org/documentation/#recordbatch).

pub(crate) mod compression;

pub use crate::log::batch::HEAD;
use crate::log::batch::{self, CONTROL, Head, LOG_APPEND_TIME, put_varint};
use bytes::{BufMut, Bytes, BytesMut};

/// Most bytes that the records of one batch may have when they are decompressed. A batch may be a thousand times
/// smaller than what it says it is.
pub const LARGEST: usize = 128 << 20;

/// Bytes of records in a batch that is written here, about.
const BATCH: usize = 1 << 20;

/// Most headers of a record.
const HEADERS: usize = 10_000;

/// Why a batch cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not what its head says.
    #[error("the batch at offset {offset} is damaged: {why}")]
    Damaged {
        /// Its first offset.
        offset: i64,
        /// What is wrong.
        why: &'static str,
    },
    /// What it holds cannot be decompressed, or is more than is read.
    #[error("the batch at offset {offset} cannot be decompressed ({codec}): {why}")]
    Compressed {
        /// Its first offset.
        offset: i64,
        /// The compression.
        codec: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// A header: a name, and perhaps a value. A name may come more than once; the order is kept.
pub type Header = (String, Option<Bytes>);

/// A record that has its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970: the producer's time, or the log's where the topic says so.
    pub timestamp: i64,
    /// What decides its partition, and what compaction goes by.
    pub key: Option<Bytes>,
    /// What it says; nothing is a tombstone.
    pub value: Option<Bytes>,
    /// What stands beside it.
    pub headers: Vec<Header>,
}

/// A record that is to be appended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// What decides its partition.
    pub key: Option<Bytes>,
    /// What it says.
    pub value: Option<Bytes>,
    /// What stands beside it.
    pub headers: Vec<Header>,
}

/// The records of whole batches, one after the other, as a reader of the log gets them; markers of transactions are left
/// out. Headers' names that are not UTF-8 are read with replacement characters.
///
/// # Errors
/// [`Error`] of the first batch that cannot be read; those before it are lost with it, so callers who need them ask batch
/// by batch ([`split`]).
pub fn decode(batches: &Bytes) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    for batch in split(batches) {
        records.extend(decode_one(&batch?)?);
    }
    Ok(records)
}

/// The batches of a buffer, one by one.
pub fn split(batches: &Bytes) -> impl Iterator<Item = Result<Bytes, Error>> {
    let mut left = batches.clone();
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        let bytes = Head::read(&left).map(|head| head.bytes);
        match bytes.filter(|bytes| *bytes <= left.len()) {
            Some(bytes) => Some(Ok(left.split_to(bytes))),
            None => {
                left.clear();
                Some(Err(Error::Damaged {
                    offset: -1,
                    why: "it ends before its length",
                }))
            }
        }
    })
}

/// The first and the last offset of a batch, and whether it is a marker of a transaction.
pub fn extent(batch: &[u8]) -> Option<(i64, i64, bool)> {
    let head = Head::read(batch)?;
    let control = head.attributes & CONTROL != 0;
    Some((head.base_offset, head.last_offset(), control))
}

/// The records of one batch; none of a marker.
///
/// # Errors
/// [`Error`] when it is not what its head says.
pub fn decode_one(batch: &Bytes) -> Result<Vec<Record>, Error> {
    open(batch)?.collect()
}

/// The records of one batch, one by one: a few bytes can be millions of records, which take more memory than what they
/// are made of.
///
/// # Errors
/// [`Error`] when the batch is not what its head says; the iterator's are those of records.
pub fn open(batch: &Bytes) -> Result<Records, Error> {
    let Some(head) = Head::read(batch) else {
        return Err(Error::Damaged {
            offset: -1,
            why: "it has no whole head",
        });
    };
    let offset = head.base_offset;
    let damaged = |why| Error::Damaged { offset, why };
    if !batch::intact(batch, &head) {
        return Err(damaged("its CRC-32C is another"));
    }
    if head.attributes & CONTROL != 0 {
        return Ok(Records {
            head,
            left: Bytes::new(),
            due: 0,
        });
    }
    let due = u32::try_from(head.count).map_err(|_| damaged("its count is negative"))?;
    let left = batch::body(batch, &head).map_err(|(codec, why)| Error::Compressed {
        offset,
        codec,
        why,
    })?;
    Ok(Records { head, left, due })
}

/// The records of a batch that was opened.
#[derive(Debug)]
pub struct Records {
    head: Head,
    left: Bytes,
    /// Records that have not been read.
    due: u32,
}

impl Iterator for Records {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let damaged = |why| {
            let offset = self.head.base_offset;
            Some(Err(Error::Damaged { offset, why }))
        };
        if self.due == 0 {
            if self.left.is_empty() {
                return None;
            }
            self.left.clear();
            return damaged("bytes follow its last record");
        }
        self.due -= 1;
        match record(&mut self.left, &self.head) {
            Some(record) => Some(Ok(record)),
            None => {
                self.due = 0;
                self.left.clear();
                damaged("a record is not whole")
            }
        }
    }
}

fn record(left: &mut Bytes, head: &Head) -> Option<Record> {
    let length = usize::try_from(varint(left)?).ok()?;
    if length > left.len() {
        return None;
    }
    let mut record = left.split_to(length);
    // Attributes: none are in use.
    take(&mut record, 1)?;
    let timestamp = varint(&mut record)?;
    let offset = varint(&mut record)?;
    let key = bytes(&mut record)?;
    let value = bytes(&mut record)?;
    let count = usize::try_from(varint(&mut record)?).ok()?;
    // A header has two bytes at least.
    if count > HEADERS.min(record.len() / 2) {
        return None;
    }
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        let name = bytes(&mut record)??;
        headers.push((
            String::from_utf8_lossy(&name).into_owned(),
            bytes(&mut record)?,
        ));
    }
    let timestamp = match head.attributes & LOG_APPEND_TIME {
        0 => head.base_timestamp.wrapping_add(timestamp),
        _ => head.max_timestamp,
    };
    record.is_empty().then_some(Record {
        offset: head.base_offset.saturating_add(offset),
        timestamp,
        key,
        value,
        headers,
    })
}

fn take(from: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= from.len()).then(|| from.split_to(length))
}

/// Bytes after their length; `Some(None)` where the length is -1.
#[allow(clippy::option_option)]
fn bytes(from: &mut Bytes) -> Option<Option<Bytes>> {
    match varint(from)? {
        -1 => Some(None),
        length => take(from, usize::try_from(length).ok()?).map(Some),
    }
}

fn varint(from: &mut Bytes) -> Option<i64> {
    let mut left = &from[..];
    let value = batch::varint(&mut left)?;
    let used = from.len() - left.len();
    take(from, used)?;
    Some(value)
}

/// An uncompressed batch of these records, in order. Give it to [`Log::append`](crate::log::Log::append), which writes
/// the offsets in. `None` when there are none, or more than a batch can number.
pub fn encode(drafts: &[Draft]) -> Option<Bytes> {
    let first = drafts.first()?;
    let last = i32::try_from(drafts.len() - 1).ok()?;
    let base = first.timestamp;
    let largest = drafts.iter().map(|draft| draft.timestamp).max()?;
    let bytes: usize = drafts.iter().map(weight).sum();
    let mut batch = BytesMut::with_capacity(HEAD + bytes);
    batch.put_bytes(0, 8);
    batch.put_i32(0); // length, below
    batch.put_i32(-1); // the log's epoch
    batch.put_i8(2);
    batch.put_u32(0); // sum, below
    batch.put_i16(0);
    batch.put_i32(last);
    batch.put_i64(base);
    batch.put_i64(largest);
    batch.put_i64(-1);
    batch.put_i16(-1);
    batch.put_i32(-1);
    batch.put_i32(last + 1);
    let mut body = BytesMut::new();
    for (delta, draft) in drafts.iter().enumerate() {
        body.clear();
        body.put_u8(0);
        put_varint(&mut body, draft.timestamp.wrapping_sub(base));
        put_varint(&mut body, delta as i64);
        put_bytes(&mut body, draft.key.as_deref());
        put_bytes(&mut body, draft.value.as_deref());
        put_varint(&mut body, draft.headers.len() as i64);
        for (name, value) in &draft.headers {
            put_bytes(&mut body, Some(name.as_bytes()));
            put_bytes(&mut body, value.as_deref());
        }
        put_varint(&mut batch, body.len() as i64);
        batch.extend_from_slice(&body);
    }
    let length = i32::try_from(batch.len() - batch::BEFORE_LENGTH).ok()?;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch::sum(&mut batch);
    Some(batch.freeze())
}

/// A record that is larger than a batch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversized {
    /// Its number among those that were given.
    pub record: usize,
    /// Bytes of a batch with it alone.
    pub bytes: usize,
}

/// Batches of at most `most` bytes with these records, one after the other in one buffer; nothing for none. Where more is
/// allowed, a batch has about a mebibyte all the same: readers get whole batches.
///
/// # Errors
/// [`Oversized`] where a record alone is more.
pub fn batches(drafts: &[Draft], most: usize) -> Result<Bytes, Oversized> {
    let room = most.min(BATCH).saturating_sub(HEAD);
    let mut all = BytesMut::new();
    let mut from = 0;
    while from < drafts.len() {
        let mut bytes = 0;
        let fitting = drafts[from..].iter().take_while(|draft| {
            bytes += weight(draft);
            bytes <= room
        });
        // One that is larger than its weight allows for is tried alone.
        let to = from + fitting.count().max(1);
        let batch = encode(&drafts[from..to]);
        let bytes = batch.as_ref().map_or(usize::MAX, Bytes::len);
        match batch.filter(|_| bytes <= most) {
            // The only one is not copied.
            Some(batch) if from == 0 && to == drafts.len() => return Ok(batch),
            Some(batch) => all.extend_from_slice(&batch),
            None => {
                let record = from;
                return Err(Oversized { record, bytes });
            }
        }
        from = to;
    }
    Ok(all.freeze())
}

/// At least the bytes that a record takes in a batch.
pub fn weight(draft: &Draft) -> usize {
    let headers: usize = draft
        .headers
        .iter()
        .map(|(name, value)| 10 + name.len() + value.as_ref().map_or(0, Bytes::len))
        .sum();
    let length = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
    40 + length(&draft.key) + length(&draft.value) + headers
}

fn put_bytes(to: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_varint(to, bytes.len() as i64);
            to.extend_from_slice(bytes);
        }
        None => put_varint(to, -1),
    }
}

/// The partition that Kafka's own clients send a key to: murmur2 of its bytes. A topic has at least one partition.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// MurmurHash2 with the seed and the order of bytes of Kafka's `Utils.murmur2`.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> 24;
        hash = hash.wrapping_mul(M) ^ word.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests;
