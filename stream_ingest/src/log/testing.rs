//! Batches for tests.

use bytes::Bytes;

/// A producer's id, epoch and the sequence of its first record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By(pub i64, pub i16, pub i32);

/// A batch of uncompressed records as a producer sends it.
pub(crate) fn batch(values: &[&[u8]], by: Option<By>, timestamp: i64) -> Bytes {
    let By(producer, epoch, sequence) = by.unwrap_or(By(-1, -1, -1));
    let mut records = Vec::new();
    for (i, value) in values.iter().enumerate() {
        let mut record = vec![0];
        varint(&mut record, i as i64);
        varint(&mut record, i as i64);
        varint(&mut record, -1);
        varint(&mut record, value.len() as i64);
        record.extend(*value);
        varint(&mut record, 0);
        varint(&mut records, record.len() as i64);
        records.extend(record);
    }
    let last = values.len() as i32 - 1;
    let mut summed = Vec::new();
    summed.extend(0i16.to_be_bytes());
    summed.extend(last.to_be_bytes());
    summed.extend(timestamp.to_be_bytes());
    summed.extend((timestamp + i64::from(last)).to_be_bytes());
    summed.extend(producer.to_be_bytes());
    summed.extend(epoch.to_be_bytes());
    summed.extend(sequence.to_be_bytes());
    summed.extend((values.len() as i32).to_be_bytes());
    summed.extend(records);
    let mut batch = Vec::new();
    batch.extend(0i64.to_be_bytes());
    batch.extend((summed.len() as i32 + 9).to_be_bytes());
    batch.extend((-1i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c::crc32c(&summed).to_be_bytes());
    batch.extend(summed);
    batch.into()
}

/// Puts the right sum into a batch that was changed.
pub(crate) fn sum(batch: &mut [u8]) {
    let sum = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&sum.to_be_bytes());
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
