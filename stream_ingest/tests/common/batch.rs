//! Record batches of format 2, as producers send them.
#![allow(dead_code, reason = "each test takes what it needs")]

use bytes::Bytes;

/// A batch of these values.
pub fn batch(values: &[&[u8]]) -> Bytes {
    batch_of(values, -1, -1, 1000)
}

/// A batch whose records have times from this on, a millisecond apart.
pub fn batch_at(values: &[&[u8]], timestamp: i64) -> Bytes {
    batch_of(values, -1, -1, timestamp)
}

/// A batch of a producer with epoch 0, or of none (-1).
pub fn batch_of(values: &[&[u8]], producer: i64, sequence: i32, timestamp: i64) -> Bytes {
    let records: Vec<_> = values.iter().map(|value| (None, Some(*value))).collect();
    keyed_by(&records, producer, sequence, timestamp)
}

/// A key and a value.
pub type Pair<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// A batch of records with these keys and values.
pub fn keyed(records: &[Pair<'_>], timestamp: i64) -> Bytes {
    keyed_by(records, -1, -1, timestamp)
}

/// The same, of a producer.
pub fn keyed_by(records: &[Pair<'_>], producer: i64, sequence: i32, timestamp: i64) -> Bytes {
    let last = records.len() as i32 - 1;
    let mut summed = Vec::new();
    summed.extend(0i16.to_be_bytes());
    summed.extend(last.to_be_bytes());
    summed.extend(timestamp.to_be_bytes());
    summed.extend((timestamp + i64::from(last)).to_be_bytes());
    summed.extend(producer.to_be_bytes());
    summed.extend(if producer < 0 { -1i16 } else { 0 }.to_be_bytes());
    summed.extend(sequence.to_be_bytes());
    summed.extend((last + 1).to_be_bytes());
    for (i, (key, value)) in records.iter().enumerate() {
        let mut record = vec![0];
        varint(&mut record, i as i64);
        varint(&mut record, i as i64);
        for part in [key, value] {
            varint(&mut record, part.map_or(-1, |part| part.len() as i64));
            record.extend(part.unwrap_or_default());
        }
        varint(&mut record, 0);
        varint(&mut summed, record.len() as i64);
        summed.extend(record);
    }
    let mut batch = Vec::new();
    batch.extend(0i64.to_be_bytes());
    batch.extend((summed.len() as i32 + 9).to_be_bytes());
    batch.extend((-1i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c::crc32c(&summed).to_be_bytes());
    batch.extend(summed);
    batch.into()
}

/// The same batch as part of a transaction, of a producer with this epoch.
pub fn in_transaction(batch: &[u8], epoch: i16) -> Bytes {
    let mut batch = batch.to_vec();
    batch[22] |= 1 << 4;
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    let sum = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&sum.to_be_bytes());
    batch.into()
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
