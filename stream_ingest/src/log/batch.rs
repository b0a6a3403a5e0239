//! Kafka's record batches, format 2, as far as the log looks into them: the head, the sum, the times.
//!
//! ```text
//!  0 base offset i64 | 8 length i32 (of what follows) | 12 leader epoch i32 | 16 magic i8 = 2 | 17 CRC-32C u32 (of what
//! follows) | 21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64
//! 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 count i32 | 61 records      (all big-endian)
//! ```
//! The base offset and the leader epoch stand before the sum, so the log writes them into a batch without changing it
//! otherwise. What a producer sent is encoded again by compaction alone (`cleaner/`).

use super::sum::crc32c;
use crate::records::{LARGEST, compression};
use bytes::{BufMut, Bytes, BytesMut};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;

/// Bytes of a batch before its records.
pub const HEAD: usize = 61;
/// Bytes that `length` does not count.
pub(crate) const BEFORE_LENGTH: usize = 12;
const MAGIC: usize = 16;
const CRC: usize = 17;
const SUMMED: usize = 21;
const MAX_TIMESTAMP: usize = 35;

pub(crate) const COMPRESSION: i16 = 0b111;
pub(crate) const LOG_APPEND_TIME: i16 = 1 << 3;
pub(crate) const TRANSACTIONAL: i16 = 1 << 4;
pub(crate) const CONTROL: i16 = 1 << 5;
/// The base timestamp is the time from which on tombstones or the marker in the batch may go (KIP-534).
pub(crate) const DELETE_HORIZON: i16 = 1 << 6;

/// The head of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub base_offset: i64,
    /// Bytes of the whole batch.
    pub bytes: usize,
    pub leader_epoch: i32,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub count: i32,
}

fn array<const N: usize>(bytes: &[u8; HEAD], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

impl Head {
    /// Reads a head; `None` if fewer bytes are there, or if they cannot begin a batch of format 2.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEAD>()?;
        let length = usize::try_from(i32::from_be_bytes(array(bytes, 8))).ok()?;
        let head = Self {
            base_offset: i64::from_be_bytes(array(bytes, 0)),
            bytes: length + BEFORE_LENGTH,
            leader_epoch: i32::from_be_bytes(array(bytes, 12)),
            crc: u32::from_be_bytes(array(bytes, CRC)),
            attributes: i16::from_be_bytes(array(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)),
            base_timestamp: i64::from_be_bytes(array(bytes, 27)),
            max_timestamp: i64::from_be_bytes(array(bytes, MAX_TIMESTAMP)),
            producer: i64::from_be_bytes(array(bytes, 43)),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)),
            base_sequence: i32::from_be_bytes(array(bytes, 53)),
            count: i32::from_be_bytes(array(bytes, 57)),
        };
        let possible = bytes[MAGIC] == 2 && head.bytes >= HEAD && head.last_offset_delta >= 0;
        possible.then_some(head)
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it is the log's own: a marker.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// From when on its tombstones, or the marker that it is, may go; compaction writes it in.
    pub fn horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// The largest time of its records; -1 if compaction left none.
    pub fn newest(&self) -> i64 {
        match self.count {
            0 => -1,
            _ => self.max_timestamp,
        }
    }

    /// Offset of the last record, whether or not it is still there.
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// Sequence of the last record: after 2^31-1 comes 0.
    pub fn last_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }
}

/// Whether the sum of a whole batch is right.
pub(crate) fn intact(batch: &[u8], head: &Head) -> bool {
    batch.len() == head.bytes && crc32c(&batch[SUMMED..]) == head.crc
}

/// How many records whole batches have, as their heads say.
pub(crate) fn records(batches: &[u8]) -> u64 {
    let (mut left, mut records) = (batches, 0);
    while let Some(head) = Head::read(left) {
        records += u64::from(head.count.max(0) as u32);
        left = left.get(head.bytes..).unwrap_or_default();
    }
    records
}

/// A batch that may be appended, in memory that nobody else sees: it has no offset yet.
pub(crate) struct Fresh {
    pub head: Head,
    pub(super) bytes: BytesMut,
}

impl Fresh {
    /// One with this head and these records, which are compressed as it says; its size and sum are written into both.
    pub fn of(mut head: Head, records: &[u8]) -> Self {
        head.bytes = HEAD + records.len();
        let mut bytes = BytesMut::with_capacity(head.bytes);
        put_head(&mut bytes, &head);
        bytes.put_slice(records);
        head.crc = sum(&mut bytes);
        Self { head, bytes }
    }

    /// Writes in what the log decides.
    pub fn place(mut self, base_offset: i64, leader_epoch: i32) -> (Head, Bytes) {
        self.head.base_offset = base_offset;
        self.head.leader_epoch = leader_epoch;
        self.bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        self.bytes[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
        (self.head, self.bytes.freeze())
    }
}

/// A compressed record, as far as the log looks into it on the way through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passing {
    pub timestamp_delta: i64,
    pub offset_delta: i64,
    pub has_key: bool,
}

/// Shows the records of a compressed batch one after the other, without keeping them, until `see` breaks off. An error if
/// they cannot be read, or are not as many as the head says and nothing else.
pub(crate) fn pass<B>(
    batch: &[u8],
    head: &Head,
    mut see: impl FnMut(Passing) -> ControlFlow<B>,
) -> io::Result<Option<B>> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let packed = batch.get(HEAD..).ok_or_else(wrong)?;
    let unpacked = compression::reader(head.attributes & COMPRESSION, packed, LARGEST);
    let unpacked = unpacked.map_err(|(_, why)| io::Error::other(why))?;
    // What is larger ends early, within a record or before one.
    let mut records = BufReader::new(unpacked.take(LARGEST as u64));
    for _ in 0..head.count {
        let length = u64::try_from(read_varint(&mut records)?).map_err(|_| wrong())?;
        let mut record = records.by_ref().take(length);
        record.read_exact(&mut [0])?;
        let passing = Passing {
            timestamp_delta: read_varint(&mut record)?,
            offset_delta: read_varint(&mut record)?,
            has_key: read_varint(&mut record)? >= 0,
        };
        if let ControlFlow::Break(found) = see(passing) {
            return Ok(Some(found));
        }
        loop {
            match record.fill_buf()?.len() {
                0 => break,
                length => record.consume(length),
            }
        }
        if record.limit() > 0 {
            return Err(wrong());
        }
    }
    match records.read(&mut [0])? {
        0 => Ok(None),
        _ => Err(wrong()),
    }
}

fn read_varint(from: &mut impl Read) -> io::Result<i64> {
    let mut bytes = [0; 10];
    for byte in &mut bytes {
        from.read_exact(std::slice::from_mut(byte))?;
        if *byte < 0x80 {
            break;
        }
    }
    varint(&mut &bytes[..]).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The records of a batch, uncompressed.
pub(crate) fn body(batch: &Bytes, head: &Head) -> std::result::Result<Bytes, compression::Why> {
    let packed = batch.slice(HEAD..);
    match head.attributes & COMPRESSION {
        0 => Ok(packed),
        codec => compression::unpack(codec, &packed, LARGEST),
    }
}

/// A batch with this head and these records, which are compressed as it says. Its size and sum are written into both.
pub(crate) fn assemble(head: Head, records: &[u8]) -> (Head, Bytes) {
    let fresh = Fresh::of(head, records);
    (fresh.head, fresh.bytes.freeze())
}

fn put_head(bytes: &mut BytesMut, head: &Head) {
    bytes.put_i64(head.base_offset);
    bytes.put_i32((head.bytes - BEFORE_LENGTH) as i32);
    bytes.put_i32(head.leader_epoch);
    bytes.put_i8(2);
    bytes.put_u32(head.crc);
    bytes.put_i16(head.attributes);
    bytes.put_i32(head.last_offset_delta);
    bytes.put_i64(head.base_timestamp);
    bytes.put_i64(head.max_timestamp);
    bytes.put_i64(head.producer);
    bytes.put_i16(head.producer_epoch);
    bytes.put_i32(head.base_sequence);
    bytes.put_i32(head.count);
}

/// A control batch of one record.
pub(crate) fn control(record: &[u8], producer: i64, epoch: i16, now: i64, stamped: bool) -> Fresh {
    let mut bytes = BytesMut::with_capacity(HEAD + record.len());
    let head = Head {
        base_offset: 0,
        bytes: HEAD + record.len(),
        leader_epoch: -1,
        crc: 0,
        attributes: TRANSACTIONAL | CONTROL,
        last_offset_delta: 0,
        base_timestamp: now,
        max_timestamp: now,
        producer,
        producer_epoch: epoch,
        base_sequence: -1,
        count: 1,
    };
    put_head(&mut bytes, &head);
    bytes.put_slice(record);
    let mut batch = Fresh { head, bytes };
    match stamped {
        true => stamp(&mut batch, now),
        false => batch.head.crc = sum(&mut batch.bytes),
    }
    batch
}

/// Gives a batch the log's time.
pub(super) fn stamp(batch: &mut Fresh, now: i64) {
    batch.head.attributes |= LOG_APPEND_TIME;
    batch.head.max_timestamp = now;
    batch.bytes[21..23].copy_from_slice(&batch.head.attributes.to_be_bytes());
    batch.bytes[MAX_TIMESTAMP..MAX_TIMESTAMP + 8].copy_from_slice(&now.to_be_bytes());
    batch.head.crc = sum(&mut batch.bytes);
}

/// Writes the sum of a whole batch into it.
pub(crate) fn sum(batch: &mut [u8]) -> u32 {
    let sum = crc32c(&batch[SUMMED..]);
    batch[CRC..CRC + 4].copy_from_slice(&sum.to_be_bytes());
    sum
}

/// The first record of a batch whose timestamp satisfies `wanted`: its offset and time. What is compressed is read through and
/// not kept; where it cannot be read, the batch is found as a whole, by its first offset and its largest time.
pub(crate) fn find_time(
    batch: &[u8],
    head: &Head,
    wanted: impl Fn(i64) -> bool,
) -> Option<(i64, i64)> {
    if head.count == 0 || !wanted(head.max_timestamp) {
        return None;
    }
    let whole = Some((head.base_offset, head.max_timestamp));
    if head.attributes & LOG_APPEND_TIME != 0 {
        return whole;
    }
    let at = |delta: i64| head.base_timestamp.saturating_add(delta);
    if head.attributes & COMPRESSION == 0 {
        let mut records = Records(batch.get(HEAD..)?);
        let found = records.find(|record| wanted(at(record.timestamp_delta)))?;
        let offset = head.base_offset + found.offset_delta;
        return Some((offset, at(found.timestamp_delta)));
    }
    let offsets = 0..=i64::from(head.last_offset_delta);
    let found = pass(batch, head, |record| match at(record.timestamp_delta) {
        time if wanted(time) => ControlFlow::Break((record.offset_delta, time)),
        _ => ControlFlow::Continue(()),
    });
    match found {
        // What was stored by an earlier version was not looked into when it came.
        Err(_) => whole,
        Ok(Some((delta, _))) if !offsets.contains(&delta) => whole,
        Ok(found) => found.map(|(delta, time)| (head.base_offset + delta, time)),
    }
}

/// An uncompressed record, as far as the log looks into it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub attributes: u8,
    pub timestamp_delta: i64,
    pub offset_delta: i64,
    /// Key, value and headers.
    rest: &'a [u8],
    /// All of it, with its length in front.
    pub bytes: &'a [u8],
}

/// What compaction goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content<'a> {
    pub key: Option<&'a [u8]>,
    /// Whether it has no value: it says that the key is gone.
    pub tombstone: bool,
}

impl<'a> Record<'a> {
    /// Key and value; `None` if they cannot be read.
    pub fn content(&self) -> Option<Content<'a>> {
        let mut left = self.rest;
        let key = match varint(&mut left)? {
            -1 => None,
            length => {
                let (key, rest) = left.split_at_checked(usize::try_from(length).ok()?)?;
                left = rest;
                Some(key)
            }
        };
        let tombstone = match varint(&mut left)? {
            -1 => true,
            length => {
                left.get(usize::try_from(length).ok()?..)?;
                false
            }
        };
        Some(Content { key, tombstone })
    }

    /// Writes it with another time before the base of the batch.
    pub fn put(&self, timestamp_delta: i64, out: &mut Vec<u8>) {
        let mut front = vec![self.attributes];
        put_varint(&mut front, timestamp_delta);
        put_varint(&mut front, self.offset_delta);
        put_varint(out, (front.len() + self.rest.len()) as i64);
        out.extend(front);
        out.extend_from_slice(self.rest);
    }
}

/// Uncompressed records, one after the other, until one that is not whole.
pub(crate) struct Records<'a>(pub &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let all = self.0;
        let length = usize::try_from(varint(&mut self.0)?).ok()?;
        let (record, left) = self.0.split_at_checked(length)?;
        self.0 = left;
        let (&attributes, mut rest) = record.split_first()?;
        Some(Record {
            attributes,
            timestamp_delta: varint(&mut rest)?,
            offset_delta: varint(&mut rest)?,
            rest,
            bytes: &all[..all.len() - left.len()],
        })
    }
}

/// Writes a zigzag number.
pub(crate) fn put_varint(to: &mut impl BufMut, value: i64) {
    let mut left = (value << 1 ^ value >> 63) as u64;
    while left >= 0x80 {
        to.put_u8(left as u8 | 0x80);
        left >>= 7;
    }
    to.put_u8(left as u8);
}

/// A zigzag number of at most ten bytes.
pub(crate) fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{By, batch, golden, sum};

    #[test]
    fn heads_say_what_kafka_python_reads() {
        for golden in golden() {
            let head = Head::read(&golden.bytes).unwrap();
            let read = [
                head.base_timestamp,
                head.max_timestamp,
                head.producer,
                head.producer_epoch.into(),
                head.base_sequence.into(),
                head.last_offset_delta.into(),
            ];
            assert_eq!(read[..], golden.numbers, "{}", golden.name);
            assert_eq!(head.count as usize, golden.records.len());
            assert!(intact(&golden.bytes, &head), "{}", golden.name);
        }
    }

    #[test]
    fn times_are_found_where_kafka_python_sees_them() {
        for golden in golden() {
            let head = Head::read(&golden.bytes).unwrap();
            for (_, wanted) in &golden.records {
                let first = golden.records.iter().find(|(_, time)| time >= wanted);
                let found = find_time(&golden.bytes, &head, |time| time >= *wanted);
                assert_eq!(found, first.copied(), "{} {wanted}", golden.name);
            }
            let later = find_time(&golden.bytes, &head, |time| time > head.max_timestamp);
            assert_eq!(later, None);
        }
        // What cannot be decompressed is found as a whole.
        let all = golden();
        let mut packed = all.into_iter().find(|one| one.name == "gzip").unwrap();
        let head = Head::read(&packed.bytes).unwrap();
        packed.bytes[HEAD..].fill(0);
        let found = find_time(&packed.bytes, &head, |time| time >= head.max_timestamp);
        assert_eq!(found, Some((head.base_offset, head.max_timestamp)));
    }

    #[test]
    fn sequences_go_on_at_zero() {
        let mut bytes = batch(&[b"a", b"b", b"c"], Some(By(1, 0, i32::MAX - 1)), 5).to_vec();
        sum(&mut bytes);
        assert_eq!(Head::read(&bytes).unwrap().last_sequence(), 0);
    }
}
