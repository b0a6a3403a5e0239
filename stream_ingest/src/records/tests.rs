//! Records beside what kafka-python reads and writes, and batches that are damaged or unpack to too much.

use super::*;
use crate::log::testing;
use serde_json::Value;

/// What kafka-python encodes and reads: `tests/golden/make_records.py`.
fn golden() -> Vec<Value> {
    let lines = include_str!("../../tests/golden/records.jsonl").lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn hex(text: &Value) -> Option<Bytes> {
    let text = text.as_str()?;
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
    Some((0..text.len() / 2).map(byte).collect())
}

fn records(golden: &Value) -> Vec<Record> {
    let records = golden["records"].as_array().unwrap().iter();
    let header = |header: &Value| (header[0].as_str().unwrap().to_owned(), hex(&header[1]));
    let record = |record: &Value| Record {
        offset: record["offset"].as_i64().unwrap(),
        timestamp: record["timestamp"].as_i64().unwrap(),
        key: hex(&record["key"]),
        value: hex(&record["value"]),
        headers: record["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(header)
            .collect(),
    };
    records.map(record).collect()
}

fn batches() -> Vec<(String, Bytes, Vec<Record>)> {
    let batches = golden()
        .into_iter()
        .filter(|line| line["bytes"].is_string());
    batches
        .map(|line| {
            let name = line["name"].as_str().unwrap().to_owned();
            (name, hex(&line["bytes"]).unwrap(), records(&line))
        })
        .collect()
}

#[test]
fn every_compression_holds_what_kafka_python_reads() {
    let batches = batches();
    assert_eq!(batches.len(), 7);
    for (name, batch, records) in &batches {
        assert_eq!(decode_one(batch).as_ref(), Ok(records), "{name}");
    }
    let all: Vec<u8> = batches
        .iter()
        .flat_map(|(_, batch, _)| batch.to_vec())
        .collect();
    let expected: Vec<Record> = batches.into_iter().flat_map(|batch| batch.2).collect();
    assert_eq!(decode(&all.into()).unwrap(), expected);
}

#[test]
fn what_is_written_is_what_kafka_python_writes() {
    let (_, batch, records) = batches().swap_remove(0);
    let drafts: Vec<Draft> = records
        .iter()
        .map(|record| Draft {
            timestamp: record.timestamp,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        })
        .collect();
    let encoded = encode(&drafts).unwrap();
    // The epoch is not the producer's, and stands before the sum.
    assert_eq!(encoded[..12], batch[..12]);
    assert_eq!(encoded[16..], batch[16..]);
    assert!(drafts.iter().map(weight).sum::<usize>() + HEAD >= encoded.len());
    assert_eq!(encode(&[]), None);
}

#[test]
fn keys_go_where_kafka_pythons_go() {
    let golden = golden().pop().unwrap();
    let keys = golden["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 9);
    for pair in keys {
        let key = pair[0].as_str().unwrap();
        assert_eq!(
            i64::from(partition_of(key.as_bytes(), 12)),
            pair[1].as_i64().unwrap(),
            "{key}"
        );
    }
}

#[test]
fn damaged_batches_are_refused_or_read_and_never_end_the_process() {
    let mut refused = 0;
    for (name, batch, _) in batches() {
        for at in (0..batch.len()).step_by(if batch.len() > 1000 { 7 } else { 1 }) {
            for flip in [1, 0x80, 0xff] {
                let mut changed = batch.to_vec();
                changed[at] ^= flip;
                // With a right sum too, so that what follows it is reached.
                let unsummed = decode_one(&changed.clone().into());
                if (12..16).contains(&at) || at < 8 {
                    assert!(unsummed.is_ok(), "{name} {at}");
                } else {
                    assert!(unsummed.is_err(), "{name} {at}");
                }
                testing::sum(&mut changed);
                refused += usize::from(decode(&changed.into()).is_err());
            }
        }
        for end in 0..batch.len() {
            assert!(decode_one(&batch.slice(..end)).is_err(), "{name} {end}");
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn bombs_are_not_unpacked() {
    let (_, mut batch, _) = batches().swap_remove(0);
    let zeros = vec![0; LARGEST + 1];
    let mut gzip = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(&zeros[..], flate2::Compression::fast());
    std::io::Read::read_to_end(&mut encoder, &mut gzip).unwrap();
    let snappy = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut lz4, &zeros).unwrap();
    let lz4 = lz4.finish().unwrap();
    let zstd = zstd::bulk::compress(&zeros, 1).unwrap();
    for (codec, packed) in [(1u8, gzip), (2, snappy), (3, lz4), (4, zstd)] {
        let mut bomb = batch[..HEAD].to_vec();
        bomb.extend(packed);
        bomb[22] = codec;
        let length = (bomb.len() - 12) as i32;
        bomb[8..12].copy_from_slice(&length.to_be_bytes());
        testing::sum(&mut bomb);
        let error = decode_one(&bomb.into()).unwrap_err();
        assert!(
            error.to_string().contains("more than 134217728 bytes"),
            "{error}"
        );
    }
    // A block that claims more than its bytes can be.
    let mut claim = batch.split_to(HEAD).to_vec();
    claim.extend([0xff, 0xff, 0xff, 0x3f, 0]);
    claim[22] = 2;
    let length = (claim.len() - 12) as i32;
    claim[8..12].copy_from_slice(&length.to_be_bytes());
    testing::sum(&mut claim);
    assert!(matches!(
        decode_one(&claim.into()),
        Err(Error::Compressed {
            codec: "snappy",
            ..
        })
    ));
}

#[test]
fn markers_of_transactions_hold_no_records() {
    let mut marker = batches().swap_remove(0).1.to_vec();
    marker[22] = 0x30;
    testing::sum(&mut marker);
    let marker = Bytes::from(marker);
    assert_eq!(extent(&marker), Some((0, 4, true)));
    assert_eq!(decode(&marker), Ok(Vec::new()));
}

/// Levels change what they are to change, and what is read back is what was there.
#[test]
fn levels_trade_time_for_size() {
    let text: Vec<u8> = (0..20_000u32)
        .flat_map(|i| format!("{} ", i.wrapping_mul(2_654_435_761) % 997).into_bytes())
        .collect();
    for (codec, least, most) in [(1, 1, 9), (4, -50, 19)] {
        let size = |level| compression::pack(codec, Some(level), &text).unwrap().len();
        assert!(size(most) < size(least), "{codec}");
    }
}

/// Zstandard's frames that end too early, that ask for more memory than is given, and several in a row.
#[test]
fn frames_of_zstandard_are_whole_and_modest() {
    let text =
        b"a text that is there, and again a text that is there, a text that is there".repeat(9);
    let packed = compression::pack(4, None, &text).unwrap();
    for end in 1..packed.len() {
        assert!(
            compression::unpack(4, &packed.slice(..end), 1 << 20).is_err(),
            "{end}"
        );
    }
    let twice = Bytes::from([&packed[..], &packed[..]].concat());
    let read = compression::unpack(4, &twice, 1 << 20).unwrap();
    assert_eq!(read, text.repeat(2));
    // A head without a size of its content and a window of 2 GiB; and a block that is the last, of no bytes.
    let greedy = Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0]);
    let (codec, why) = compression::unpack(4, &greedy, 1 << 20).unwrap_err();
    assert!(codec == "zstd" && why.contains("memory"), "{why}");
}
