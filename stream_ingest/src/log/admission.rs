//! What a producer sends, before it has an offset: whether a producer may write it and the topic takes it, and what the topic
//! makes of it: the log's time, or another compression.

use super::batch::{
    COMPRESSION, DELETE_HORIZON, Fresh, HEAD, Head, LOG_APPEND_TIME, Records, body, intact, pass,
    stamp,
};
use super::error::{Error, Result};
use super::topics::TopicConfig;
use crate::records::compression;
use bytes::{Bytes, BytesMut};
use std::ops::ControlFlow;

/// Whether [`check`] has to compress or decompress any of these batches, which takes its time.
pub(crate) fn packs(batches: &[u8], config: &TopicConfig) -> bool {
    let mut left = batches;
    let mut heads = std::iter::from_fn(|| {
        let head = Head::read(left)?;
        left = left.get(head.bytes..).unwrap_or_default();
        Some(head)
    });
    heads.any(|head| match head.attributes & COMPRESSION {
        0 => config.compression.is_some_and(|codec| codec != 0),
        _ => true,
    })
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
        if let Some(&magic) = left.get(16)
            && magic != 2
        {
            return Err(Error::BatchFormat(magic as i8));
        }
        let head = Head::read(&left).ok_or(Error::BatchDamaged("it has no whole head"))?;
        check_size(&head, config)?;
        if left.len() < head.bytes {
            return Err(Error::BatchDamaged("it ends before its length"));
        }
        let batch = left.split_to(head.bytes);
        if !intact(&batch, &head) {
            return Err(Error::BatchDamaged("its CRC-32C is another"));
        }
        check_head(&head)?;
        if head.attributes & LOG_APPEND_TIME != 0 && !config.log_append_time {
            return Err(Error::BatchInvalid("only the log may say LogAppendTime"));
        }
        check_records(&batch, &head, config, now)?;
        let mut one = match config.compression {
            Some(codec) if codec != head.attributes & COMPRESSION => {
                let packed = compress(batch.freeze(), head, codec, config)?;
                check_size(&packed.head, config)?;
                packed
            }
            _ => Fresh { head, bytes: batch },
        };
        if config.log_append_time {
            stamp(&mut one, now);
        }
        fresh.push(one);
    }
    Ok(fresh)
}

fn check_size(head: &Head, config: &TopicConfig) -> Result<()> {
    match head.bytes > config.max_message_bytes {
        true => Err(Error::TooLarge {
            bytes: head.bytes,
            most: config.max_message_bytes,
        }),
        false => Ok(()),
    }
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

/// Checks every record: that they are as many as the head says, with offsets 0, 1, 2 and so on, and nothing else; that each
/// has the key that the topic wants, and a time near the log's. What is compressed is read through and not kept.
fn check_records(batch: &[u8], head: &Head, config: &TopicConfig, now: i64) -> Result<()> {
    let mut seen = Seen {
        config,
        now,
        next: 0,
        keyless: Vec::new(),
        untimely: Vec::new(),
    };
    let at = |delta: i64| head.base_timestamp.saturating_add(delta);
    let counted = match head.attributes & COMPRESSION {
        0 => {
            let mut records = Records(&batch[HEAD..]);
            let whole = (0..head.count).all(|_| {
                records.next().is_some_and(|record| {
                    let has_key = !config.compact
                        || record.content().is_some_and(|known| known.key.is_some());
                    seen.see(record.offset_delta, at(record.timestamp_delta), has_key)
                })
            });
            whole && records.0.is_empty()
        }
        _ => {
            let wrong = pass(batch, head, |record| {
                let time = at(record.timestamp_delta);
                match seen.see(record.offset_delta, time, record.has_key) {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            });
            let wrong = wrong.map_err(|_| Error::BatchInvalid("its records cannot be read"))?;
            wrong.is_none()
        }
    };
    if !counted {
        let why = "its records are not as many as it says";
        return Err(Error::BatchInvalid(why));
    }
    if !seen.keyless.is_empty() {
        return Err(Error::Keyless {
            records: seen.keyless,
        });
    }
    if !seen.untimely.is_empty() {
        return Err(Error::Untimely {
            records: seen.untimely,
        });
    }
    Ok(())
}

/// What was seen of the records of a batch.
struct Seen<'a> {
    config: &'a TopicConfig,
    now: i64,
    /// The place of the next record.
    next: i32,
    /// Places of records without a key that must have one.
    keyless: Vec<i32>,
    /// Places of records whose time is too far from the log's.
    untimely: Vec<i32>,
}

impl Seen<'_> {
    /// Looks at the next record; whether its offset is the next.
    fn see(&mut self, offset_delta: i64, time: i64, has_key: bool) -> bool {
        let place = self.next;
        self.next += 1;
        if self.config.compact && !has_key && self.keyless.len() < Error::MOST_RECORDS {
            self.keyless.push(place);
        }
        if !self.config.is_timely(time, self.now) && self.untimely.len() < Error::MOST_RECORDS {
            self.untimely.push(place);
        }
        offset_delta == i64::from(place)
    }
}

/// The same records, compressed as the topic wants them.
fn compress(batch: Bytes, mut head: Head, codec: i16, config: &TopicConfig) -> Result<Fresh> {
    let unreadable = |_| Error::BatchInvalid("its records cannot be read");
    let records = body(&batch, &head).map_err(unreadable)?;
    head.attributes = head.attributes & !COMPRESSION | codec;
    if codec == 0 {
        return Ok(Fresh::of(head, &records));
    }
    let packed = compression::pack(codec, config.level(codec), &records);
    let packed = packed.ok_or(Error::BatchInvalid("its records cannot be compressed"))?;
    Ok(Fresh::of(head, &packed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch::TRANSACTIONAL;
    use crate::log::testing::{By, batch, golden, packed, sum};

    const NOW: i64 = 1_800_000_000_000;

    fn checked(bytes: &[u8], config: &TopicConfig, now: i64) -> Result<Vec<Fresh>> {
        check(Bytes::copy_from_slice(bytes), config, now)
    }

    fn with(settings: &[(&str, &str)]) -> TopicConfig {
        let mut config = TopicConfig::default();
        for (key, value) in settings {
            config.set(key, value).unwrap();
        }
        config
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
    fn compressed_records_are_looked_into() {
        let plain = batch(&[b"a", b"b", b"c"], None, NOW);
        let config = TopicConfig::default();
        for codec in 1..=4 {
            let whole = packed(&plain, codec);
            assert!(packs(&whole, &config) && !packs(&plain, &config));
            let (_, placed) = checked(&whole, &config, NOW).unwrap().remove(0).place(0, 0);
            assert_eq!(placed[16..], whole[16..], "{codec}");
            let refused = |bytes: &mut Vec<u8>| {
                sum(bytes);
                let error = checked(bytes, &config, NOW).err();
                assert!(
                    matches!(error, Some(Error::BatchInvalid(_))),
                    "{codec} {error:?}"
                );
            };
            // Fewer records, or more, than the head says; another offset; what is no compression.
            for count in [2_i32, 4] {
                let mut other = whole.to_vec();
                other[57..61].copy_from_slice(&count.to_be_bytes());
                other[23..27].copy_from_slice(&(count - 1).to_be_bytes());
                refused(&mut other);
            }
            let mut moved = plain.to_vec();
            let length = (moved.len() - HEAD) / 3;
            // The offset delta of the second record, zigzag.
            assert_eq!(moved[HEAD + length + 3], 2);
            moved[HEAD + length + 3] = 4;
            refused(&mut packed(&moved, codec).to_vec());
            let mut broken = whole.to_vec();
            broken[HEAD..].fill(0xff);
            refused(&mut broken);
        }
    }

    #[test]
    fn a_topic_may_compress_anew() {
        let values: Vec<Vec<u8>> = (0..50).map(|i| format!("value {i}").into()).collect();
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let plain = batch(&values, Some(By(7, 2, 30)), NOW);
        for (name, codec) in [
            ("uncompressed", 0),
            ("gzip", 1),
            ("snappy", 2),
            ("lz4", 3),
            ("zstd", 4),
        ] {
            let config = with(&[("compression.type", name)]);
            for came in 0..=4 {
                let sent = match came {
                    0 => plain.clone(),
                    _ => packed(&plain, came),
                };
                let fresh = checked(&sent, &config, NOW).unwrap().remove(0);
                let (head, placed) = fresh.place(5, 1);
                assert_eq!(Head::read(&placed), Some(head));
                assert!(intact(&placed, &head));
                assert_eq!(head.attributes & COMPRESSION, codec);
                assert_eq!(
                    (head.producer, head.producer_epoch, head.base_sequence),
                    (7, 2, 30)
                );
                assert_eq!(body(&placed, &head).unwrap(), plain.slice(HEAD..), "{came}");
                if came == codec {
                    assert_eq!(placed[16..], sent[16..], "it is kept as it came");
                }
            }
        }
        // What is too large without its compression is not taken.
        let same = [b'a'; 5000];
        let small = packed(&batch(&[&same], None, NOW), 4);
        let config = with(&[
            ("compression.type", "uncompressed"),
            ("max.message.bytes", "3000"),
        ]);
        let error = checked(&small, &config, NOW).err();
        assert!(
            matches!(error, Some(Error::TooLarge { most: 3000, .. })),
            "{error:?}"
        );
    }

    #[test]
    fn records_far_from_the_logs_time_are_refused() {
        let hour = 3_600_000;
        let untimely = |settings: &[(&str, &str)], time| {
            let config = with(settings);
            let plain = batch(&[b"a"], None, time);
            [plain.clone(), packed(&plain, 3)].map(|sent| match checked(&sent, &config, NOW) {
                Ok(_) => Vec::new(),
                Err(Error::Untimely { records }) => records,
                Err(error) => panic!("{error}"),
            })
        };
        let none: [Vec<i32>; 2] = Default::default();
        let both = [vec![0], vec![0]];
        // Of several, those are named that are.
        let two = batch(&[b"a", b"b"], None, NOW + hour);
        let error = checked(&two, &TopicConfig::default(), NOW).err();
        assert!(matches!(error, Some(Error::Untimely { records }) if records == [1]));
        // Kafka's defaults: an hour ahead, and however old.
        assert_eq!(untimely(&[], NOW + hour), none);
        assert_eq!(untimely(&[], NOW + hour + 1), both);
        assert_eq!(untimely(&[], 0), none);
        let old = [("message.timestamp.before.max.ms", "1000")];
        assert_eq!(untimely(&old, NOW - 1000), none);
        assert_eq!(untimely(&old, NOW - 1001), both);
        // Who gives no time has none that could be wrong.
        assert_eq!(untimely(&old, -1), none);
        // The older setting is for both sides, unless the newer says otherwise.
        let either = [("message.timestamp.difference.max.ms", "1000")];
        assert_eq!(untimely(&either, NOW + 1001), both);
        assert_eq!(untimely(&either, NOW - 1001), both);
        let newer = [either[0], ("message.timestamp.after.max.ms", "5000")];
        assert_eq!(untimely(&newer, NOW + 5000), none);
        let stamped = [old[0], ("message.timestamp.type", "LogAppendTime")];
        assert_eq!(untimely(&stamped, 0), none);
    }
}
