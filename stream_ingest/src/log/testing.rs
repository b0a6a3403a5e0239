//! Batches for tests.

#[path = "../../tests/common/batch.rs"]
mod common;

use super::batch::{HEAD, Head, assemble};
use bytes::Bytes;

/// A producer's id, epoch and the sequence of its first record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By(pub i64, pub i16, pub i32);

/// A batch of uncompressed records as a producer sends it.
pub(crate) fn batch(values: &[&[u8]], by: Option<By>, timestamp: i64) -> Bytes {
    let By(producer, epoch, sequence) = by.unwrap_or(By(-1, -1, -1));
    let mut batch = common::batch_of(values, producer, sequence, timestamp).to_vec();
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    sum(&mut batch);
    batch.into()
}

/// A batch of records with keys, and values unless they are tombstones.
pub(crate) fn keyed(records: &[(&str, Option<&str>)], by: Option<By>, timestamp: i64) -> Bytes {
    let By(producer, epoch, sequence) = by.unwrap_or(By(-1, -1, -1));
    let bytes = |text: &str| text.as_bytes().to_vec();
    let records: Vec<_> = records
        .iter()
        .map(|(key, value)| (bytes(key), value.map(bytes)))
        .collect();
    let records: Vec<_> = records
        .iter()
        .map(|(key, value)| (Some(&key[..]), value.as_deref()))
        .collect();
    let mut batch = common::keyed_by(&records, producer, sequence, timestamp).to_vec();
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    sum(&mut batch);
    batch.into()
}

/// The same batch, compressed.
pub(crate) fn packed(batch: &[u8], codec: i16) -> Bytes {
    let mut head = Head::read(batch).unwrap();
    head.attributes |= codec;
    let records = crate::records::compression::pack(codec, None, &batch[HEAD..]).unwrap();
    assemble(head, &records).1
}

/// The same batch as part of a transaction.
pub(crate) fn in_transaction(batch: &[u8], epoch: i16) -> Bytes {
    common::in_transaction(batch, epoch)
}

/// A batch that belongs to a transaction.
pub(crate) fn transactional(values: &[&[u8]], by: By, timestamp: i64) -> Bytes {
    common::in_transaction(&batch(values, Some(by), timestamp), by.1)
}

/// Puts the right sum into a batch that was changed.
pub(crate) fn sum(batch: &mut [u8]) {
    super::batch::sum(batch);
}

/// A batch as kafka-python writes it, with what it reads of it.
pub(crate) struct Golden {
    pub name: &'static str,
    pub numbers: Vec<i64>,
    pub records: Vec<(i64, i64)>,
    pub bytes: Vec<u8>,
}

/// What kafka-python encodes and reads: `tests/golden/make_batches.py`.
pub(crate) fn golden() -> Vec<Golden> {
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
