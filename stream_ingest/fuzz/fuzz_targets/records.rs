//! The records of a batch, in any compression: the bytes are what follows a batch's sum, so that the sum is never in the way.
//! Whatever is read is written, and reads as the same.

#![no_main]

use bytes::Bytes;
use escala_stream_ingest::records::{Draft, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut batch = vec![0; 16];
    batch.push(2);
    batch.extend(crc32c::crc32c(data).to_be_bytes());
    batch.extend_from_slice(data);
    let length = batch.len() as i32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let Ok(records) = decode(&Bytes::from(batch)) else {
        return;
    };
    let drafts: Vec<Draft> = records
        .iter()
        .map(|record| Draft {
            timestamp: record.timestamp,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        })
        .collect();
    let Some(encoded) = encode(&drafts) else {
        assert!(records.is_empty());
        return;
    };
    let again = decode(&encoded).expect("what was written is read");
    assert_eq!(again.len(), records.len());
    for (again, record) in again.iter().zip(&records) {
        assert_eq!((&again.key, &again.value), (&record.key, &record.value));
        assert_eq!((&again.headers, again.timestamp), (&record.headers, record.timestamp));
    }
});
