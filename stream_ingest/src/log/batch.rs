//! Kafka's record batches, format 2, as far as the log looks into them: the head, the sum, the times.
//!
//! ```text
//!  0 base offset i64 | 8 length i32 (of what follows) | 12 leader epoch i32 | 16 magic i8 = 2 | 17 CRC-32C u32 (of what
//! follows) | 21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64
//! 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 count i32 | 61 records      (all big-endian)
//! ```
//! The base offset and the leader epoch stand before the sum, so the log writes them into a batch without changing it
//! otherwise. What a producer sent is encoded again by compaction alone (`cleaner/`).

use super::error::{Error, Result};
use super::topics::TopicConfig;
use crate::records::{LARGEST, compression};
use bytes::{BufMut, Bytes, BytesMut};
use std::io::{self, BufReader, Read};

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
    batch.len() == head.bytes && crc32c::crc32c(&batch[SUMMED..]) == head.crc
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
    bytes: BytesMut,
}

impl Fresh {
    /// Writes in what the log decides.
    pub fn place(mut self, base_offset: i64, leader_epoch: i32) -> (Head, Bytes) {
        self.head.base_offset = base_offset;
        self.head.leader_epoch = leader_epoch;
        self.bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        self.bytes[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
        (self.head, self.bytes.freeze())
    }
}

/// Whether [`check`] has to decompress any of these batches: for a topic that compacts it looks for records without a key.
pub(crate) fn unpacks(batches: &[u8], config: &TopicConfig) -> bool {
    let mut left = batches;
    let mut heads = std::iter::from_fn(|| {
        let head = Head::read(left)?;
        left = left.get(head.bytes..).unwrap_or_default();
        Some(head)
    });
    config.compact && heads.any(|head| head.attributes & COMPRESSION != 0)
}

/// Checks what a producer sent: whole batches, each of which a producer may write and the topic takes. They are copied
/// where somebody else has the bytes too.
pub(crate) fn check(batches: Bytes, config: &TopicConfig, now: i64) -> Result<Vec<Fresh>> {
    let mut fresh = Vec::with_capacity(1);
    let mut left = match batches.try_into_mut() {
        Ok(own) => own,
        Err(shared) => BytesMut::from(&shared[..]),
    };
    if left.is_empty() {
        return Err(Error::BatchInvalid("there is none"));
    }
    while !left.is_empty() {
        if let Some(&magic) = left.get(MAGIC)
            && magic != 2
        {
            return Err(Error::BatchFormat(magic as i8));
        }
        let head = Head::read(&left).ok_or(Error::BatchDamaged("it has no whole head"))?;
        if head.bytes > config.max_message_bytes {
            return Err(Error::TooLarge {
                bytes: head.bytes,
                most: config.max_message_bytes,
            });
        }
        if left.len() < head.bytes {
            return Err(Error::BatchDamaged("it ends before its length"));
        }
        let batch = left.split_to(head.bytes);
        if !intact(&batch, &head) {
            return Err(Error::BatchDamaged("its CRC-32C is another"));
        }
        check_head(&head)?;
        if head.attributes & COMPRESSION == 0 && !counted(&batch[HEAD..], head.count) {
            return Err(Error::BatchInvalid(
                "its records are not as many as it says",
            ));
        }
        if config.compact {
            let records = keyless(&batch, &head)?;
            if !records.is_empty() {
                return Err(Error::Keyless { records });
            }
        }
        let mut one = Fresh { head, bytes: batch };
        if config.log_append_time {
            stamp(&mut one, now);
        } else if head.attributes & LOG_APPEND_TIME != 0 {
            return Err(Error::BatchInvalid("only the log may say LogAppendTime"));
        }
        fresh.push(one);
    }
    Ok(fresh)
}

fn check_head(head: &Head) -> Result<()> {
    let refuse = |why| Err(Error::BatchInvalid(why));
    if head.count <= 0 || i64::from(head.count) != i64::from(head.last_offset_delta) + 1 {
        return refuse("its count is not that of its offsets");
    }
    if head.is_control() {
        return refuse("a producer may not write control batches");
    }
    if head.is_transactional() && head.producer < 0 {
        return refuse("it belongs to a transaction and has no producer");
    }
    if head.attributes & DELETE_HORIZON != 0 {
        return refuse("only the log may say from when on tombstones go");
    }
    if head.attributes & COMPRESSION > 4 {
        return refuse("it has an unknown compression");
    }
    if head.producer >= 0 && (head.producer_epoch < 0 || head.base_sequence < 0) {
        return refuse("a producer's id comes without epoch or sequence");
    }
    Ok(())
}

/// Whether these are as many records, with offsets 0, 1, 2 and so on, and nothing else.
fn counted(records: &[u8], count: i32) -> bool {
    let mut records = Records(records);
    for expected in 0..count {
        match records.next() {
            Some(record) if record.offset_delta == i64::from(expected) => {}
            _ => return false,
        }
    }
    records.0.is_empty()
}

/// The first records without a key. What is compressed is read through and not kept.
fn keyless(batch: &[u8], head: &Head) -> Result<Vec<i32>> {
    let packed = &batch[HEAD..];
    let unreadable = |_| Error::BatchInvalid("its records cannot be read");
    match head.attributes & COMPRESSION {
        // That they are as many as they should be is known.
        0 => {
            let keyless = (0..).zip(Records(packed)).filter(|(_, record)| {
                let content = record.content();
                content.is_none_or(|content| content.key.is_none())
            });
            let numbers = keyless.map(|(number, _)| number);
            Ok(numbers.take(Error::MOST_KEYLESS).collect())
        }
        codec => {
            let keyless = unpacked(codec, packed).and_then(|all| read_keyless(all, head.count));
            keyless.map_err(unreadable)
        }
    }
}

/// Compressed records, to be read through and not kept.
fn unpacked(codec: i16, packed: &[u8]) -> io::Result<impl Read> {
    let unpacked = compression::reader(codec, packed, LARGEST);
    let unpacked = unpacked.map_err(|(_, why)| io::Error::other(why))?;
    // What is larger ends early, within a record or before one.
    Ok(BufReader::new(unpacked.take(LARGEST as u64)))
}

fn read_keyless(mut records: impl Read, count: i32) -> io::Result<Vec<i32>> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let mut keyless = Vec::new();
    for expected in 0..count {
        let length = u64::try_from(read_varint(&mut records)?).map_err(|_| wrong())?;
        let mut record = records.by_ref().take(length);
        record.read_exact(&mut [0])?;
        read_varint(&mut record)?;
        if read_varint(&mut record)? != i64::from(expected) {
            return Err(wrong());
        }
        if read_varint(&mut record)? < 0 && keyless.len() < Error::MOST_KEYLESS {
            keyless.push(expected);
        }
        io::copy(&mut record, &mut io::sink())?;
        if record.limit() > 0 {
            return Err(wrong());
        }
    }
    match records.read(&mut [0])? {
        0 => Ok(keyless),
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
pub(crate) fn assemble(mut head: Head, records: &[u8]) -> (Head, Bytes) {
    head.bytes = HEAD + records.len();
    let mut bytes = BytesMut::with_capacity(head.bytes);
    put_head(&mut bytes, &head);
    bytes.put_slice(records);
    head.crc = sum(&mut bytes);
    (head, bytes.freeze())
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
fn stamp(batch: &mut Fresh, now: i64) {
    batch.head.attributes |= LOG_APPEND_TIME;
    batch.head.max_timestamp = now;
    batch.bytes[21..23].copy_from_slice(&batch.head.attributes.to_be_bytes());
    batch.bytes[MAX_TIMESTAMP..MAX_TIMESTAMP + 8].copy_from_slice(&now.to_be_bytes());
    batch.head.crc = sum(&mut batch.bytes);
}

/// Writes the sum of a whole batch into it.
pub(crate) fn sum(batch: &mut [u8]) -> u32 {
    let sum = crc32c::crc32c(&batch[SUMMED..]);
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
    let records = batch.get(HEAD..)?;
    let codec = head.attributes & COMPRESSION;
    if codec != 0 {
        let found = unpacked(codec, records).and_then(|all| read_time(all, head, wanted));
        return found.unwrap_or(whole);
    }
    for record in Records(records) {
        let timestamp = head.base_timestamp.saturating_add(record.timestamp_delta);
        if wanted(timestamp) {
            return Some((head.base_offset + record.offset_delta, timestamp));
        }
    }
    None
}

fn read_time(
    mut records: impl Read,
    head: &Head,
    wanted: impl Fn(i64) -> bool,
) -> io::Result<Option<(i64, i64)>> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    for _ in 0..head.count {
        let length = u64::try_from(read_varint(&mut records)?).map_err(|_| wrong())?;
        let mut record = records.by_ref().take(length);
        record.read_exact(&mut [0])?;
        let timestamp = head
            .base_timestamp
            .saturating_add(read_varint(&mut record)?);
        let delta = read_varint(&mut record)?;
        // Nobody has looked into it before.
        if !(0..=i64::from(head.last_offset_delta)).contains(&delta) {
            return Err(wrong());
        }
        if wanted(timestamp) {
            return Ok(Some((head.base_offset + delta, timestamp)));
        }
        io::copy(&mut record, &mut io::sink())?;
        if record.limit() > 0 {
            return Err(wrong());
        }
    }
    Ok(None)
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
    use crate::log::testing::{By, batch, sum};

    const NOW: i64 = 1_800_000_000_000;

    struct Golden {
        name: &'static str,
        numbers: Vec<i64>,
        records: Vec<(i64, i64)>,
        bytes: Vec<u8>,
    }

    /// What kafka-python encodes and reads: `tests/golden/make_batches.py`.
    fn golden() -> Vec<Golden> {
        let lines = include_str!("../../tests/golden/batches.txt").lines();
        lines
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let number = |text: &str| text.parse().unwrap();
                let hex = words[8];
                Golden {
                    name: words[0],
                    numbers: words[1..7].iter().map(|text| number(text)).collect(),
                    records: words[7]
                        .split(',')
                        .map(|record| record.split_once(':').unwrap())
                        .map(|(offset, time)| (number(offset), number(time)))
                        .collect(),
                    bytes: (0..hex.len() / 2)
                        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
                        .collect(),
                }
            })
            .collect()
    }

    fn checked(bytes: &[u8], config: &TopicConfig, now: i64) -> Result<Vec<Fresh>> {
        check(Bytes::copy_from_slice(bytes), config, now)
    }

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
    fn what_kafka_python_sends_is_taken_and_only_offset_and_epoch_change() {
        for golden in golden() {
            let checked = checked(&golden.bytes, &TopicConfig::default(), NOW);
            let (head, placed) = checked.unwrap().remove(0).place(77, 5);
            assert_eq!(head.is_transactional(), golden.name == "transactional");
            assert_eq!(placed[..8], 77i64.to_be_bytes());
            assert_eq!(placed[8..12], golden.bytes[8..12]);
            assert_eq!(placed[12..16], 5i32.to_be_bytes());
            assert_eq!(placed[16..], golden.bytes[16..], "{}", golden.name);
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
    fn the_logs_time_changes_the_sum_with_it() {
        let mut config = TopicConfig::default();
        config
            .set("message.timestamp.type", "LogAppendTime")
            .unwrap();
        for golden in golden() {
            let (head, placed) = checked(&golden.bytes, &config, NOW)
                .unwrap()
                .remove(0)
                .place(0, 0);
            assert_eq!(Head::read(&placed), Some(head));
            assert!(intact(&placed, &head));
            assert_eq!(
                (head.attributes & LOG_APPEND_TIME, head.max_timestamp),
                (8, NOW)
            );
        }
    }

    #[test]
    fn no_byte_can_change_unseen() {
        let config = TopicConfig::default();
        for golden in golden().iter().filter(|golden| golden.bytes.len() < 2000) {
            for at in (8..12).chain(16..golden.bytes.len()) {
                for bit in 0..8 {
                    let mut bytes = golden.bytes.clone();
                    bytes[at] ^= 1 << bit;
                    assert!(
                        checked(&bytes, &config, NOW).is_err(),
                        "{} {at}",
                        golden.name
                    );
                }
            }
            for end in 0..golden.bytes.len() {
                assert!(
                    checked(&golden.bytes[..end], &config, NOW).is_err(),
                    "{end}"
                );
            }
        }
    }

    #[test]
    fn what_a_producer_may_not_write_is_refused() {
        let refused = |at: usize, bytes: &[u8]| {
            let mut changed = batch(&[b"a", b"b"], Some(By(1, 0, 0)), 5).to_vec();
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            sum(&mut changed);
            let Err(error) = checked(&changed, &TopicConfig::default(), NOW) else {
                panic!("{at} {bytes:?}");
            };
            error
        };
        let invalid = |at, bytes: &[u8]| {
            let error = refused(at, bytes);
            assert!(matches!(error, Error::BatchInvalid(_)), "{at}: {error}");
        };
        assert!(matches!(refused(16, &[1]), Error::BatchFormat(1)));
        // Control, LogAppendTime, a compression that is not known.
        for attributes in [1 << 5, 1 << 3, 5i16] {
            invalid(21, &attributes.to_be_bytes());
        }
        // Part of a transaction without a producer.
        let mut nobody = batch(&[b"a"], None, 5).to_vec();
        nobody[21..23].copy_from_slice(&TRANSACTIONAL.to_be_bytes());
        sum(&mut nobody);
        assert!(matches!(
            checked(&nobody, &TopicConfig::default(), NOW),
            Err(Error::BatchInvalid(_))
        ));
        // A count or last offset that is not that of the records.
        for count in [0, -1, 1, 3, i32::MAX] {
            invalid(57, &count.to_be_bytes());
        }
        invalid(23, &0i32.to_be_bytes());
        invalid(51, &(-1i16).to_be_bytes());
        invalid(53, &(-1i32).to_be_bytes());
        // The length of the first record.
        invalid(61, &[0x7e]);
        let mut config = TopicConfig::default();
        config.set("max.message.bytes", "100").unwrap();
        let large = batch(&[&[0; 100]], None, 5);
        let error = checked(&large, &config, NOW).err();
        assert!(matches!(error, Some(Error::TooLarge { most: 100, .. })));
        assert!(matches!(
            checked(&[], &config, NOW),
            Err(Error::BatchInvalid(_))
        ));
    }

    #[test]
    fn sequences_go_on_at_zero() {
        let mut bytes = batch(&[b"a", b"b", b"c"], Some(By(1, 0, i32::MAX - 1)), 5).to_vec();
        sum(&mut bytes);
        assert_eq!(Head::read(&bytes).unwrap().last_sequence(), 0);
    }
}
