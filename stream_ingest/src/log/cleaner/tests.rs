//! Compaction of one partition, step by step, by a clock that is set.

use crate::log::batch::{COMPRESSION, DELETE_HORIZON, HEAD, Head};
use crate::log::committer::Committer;
use crate::log::disk::simulated::Simulated;
use crate::log::handle::Log;
use crate::log::keeper::Keeper;
use crate::log::testing::{By, in_transaction, keyed, packed, sum};
use crate::log::{Acks, End, Error, Isolation, Options, Producer, check};
use crate::records::{self, Record};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// A log with one topic of one partition.
struct One {
    disk: Simulated,
    options: Options,
    clock: Arc<AtomicI64>,
    log: Log,
    committer: Committer,
    keeper: Keeper,
}

/// Every batch has a segment of its own.
const SINGLE: (&str, &str) = ("segment.bytes", "14");
const COMPACT: (&str, &str) = ("cleanup.policy", "compact");
/// Whatever is not compacted is enough.
const EAGER: (&str, &str) = ("min.cleanable.dirty.ratio", "0");

const START: i64 = 1_000_000;

impl One {
    fn new(settings: &[(&str, &str)]) -> Self {
        Self::with(settings, Options::default().compaction_keys)
    }

    fn with(settings: &[(&str, &str)], compaction_keys: usize) -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        let time = clock.clone();
        let options = Options {
            reserve_bytes: 0,
            compaction_keys,
            clock: Arc::new(move || time.load(Relaxed)),
            ..Options::default()
        };
        let disk = Simulated::new();
        let (log, committer, keeper) =
            Log::open_stepped(Arc::new(disk.clone()), options.clone()).unwrap();
        log.submit_topic("t", 1, settings).unwrap();
        let mut one = Self {
            disk,
            options,
            clock,
            log,
            committer,
            keeper,
        };
        one.settle();
        one
    }

    fn settle(&mut self) {
        while self.committer.round() {}
        while matches!(self.keeper.lay(), Ok(true)) {}
        self.log.check().unwrap();
    }

    /// Appends what would be refused.
    fn slip_in(&mut self, batch: &[u8]) {
        self.log.submit_unchecked("t", 0, batch).unwrap();
        self.settle();
    }

    fn append(&mut self, batch: &Bytes) -> i64 {
        let pending = self.log.submit("t", 0, batch.clone(), Acks::Durable);
        let offset = pending.unwrap().base_offset();
        self.settle();
        offset
    }

    /// Appends a record, or a tombstone.
    fn put(&mut self, key: &str, value: Option<&str>) -> i64 {
        self.append(&keyed(&[(key, value)], None, self.now()))
    }

    fn now(&self) -> i64 {
        self.clock.load(Relaxed)
    }

    fn pass(&self, milliseconds: i64) {
        self.clock.fetch_add(milliseconds, Relaxed);
    }

    /// Compacts whatever is due, and makes it durable.
    fn compact(&mut self) {
        self.keeper.compact();
        self.keeper.checkpoint();
        self.log.check().unwrap();
    }

    fn open_again(mut self) -> Self {
        self.keeper.close();
        let (log, committer, keeper) =
            Log::open_stepped(Arc::new(self.disk.clone()), self.options.clone()).unwrap();
        (self.log, self.committer, self.keeper) = (log, committer, keeper);
        self
    }

    fn alter(&mut self, key: &str, value: &str) {
        let mut sequencer = self.log.shared().sequencer.lock();
        let altered = sequencer.alter("t", &[(key, Some(value))], &self.options.defaults);
        drop(altered.unwrap());
        drop(sequencer);
        self.settle();
    }

    /// All batches, in order.
    fn batches(&self, isolation: Isolation) -> Vec<Bytes> {
        let mut offset = self.log.describe("t", 0).unwrap().log_start;
        let mut batches = Vec::new();
        loop {
            let read = self.log.read("t", 0, offset, 1, isolation).unwrap();
            let Some(last) = read.batches.last() else {
                return batches;
            };
            offset = Head::read(last).unwrap().last_offset() + 1;
            batches.extend(match isolation {
                Isolation::ReadCommitted => read.visible(),
                Isolation::ReadUncommitted => read.batches,
            });
        }
    }

    fn records(&self) -> Vec<Record> {
        let batches = self.batches(Isolation::ReadCommitted).concat();
        records::decode(&batches.into()).unwrap()
    }

    /// Offset, key and value of every record, `-` for a tombstone.
    fn shown(&self) -> Vec<String> {
        let text = |bytes: &Option<Bytes>| {
            let bytes = bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes));
            bytes.map_or("-".to_owned(), |text| text.into_owned())
        };
        let records = self.records().into_iter();
        records
            .map(|one| format!("{} {}={}", one.offset, text(&one.key), text(&one.value)))
            .collect()
    }

    fn heads(&self) -> Vec<Head> {
        let batches = self.batches(Isolation::ReadUncommitted).into_iter();
        batches.map(|batch| Head::read(&batch).unwrap()).collect()
    }

    fn metric(&self, name: &str) -> u64 {
        let mut text = String::new();
        self.log.write_metrics(&mut text);
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit_once(' '));
        value.unwrap().1.parse().unwrap()
    }

    fn begin(&mut self) -> Producer {
        let minute = Duration::from_secs(60);
        let (producer, _) = self.log.submit_begin("worker", minute, None).unwrap();
        self.settle();
        producer
    }

    fn within(&mut self, by: Producer, sequence: i32, key: &str, value: &str) -> i64 {
        let by_of = By(by.id, by.epoch, sequence);
        let batch = keyed(&[(key, Some(value))], Some(by_of), self.now());
        let batch = in_transaction(&batch, by.epoch);
        let pending = self
            .log
            .submit_in("worker", true, "t", 0, batch, Acks::Durable);
        let offset = pending.unwrap().base_offset();
        self.settle();
        offset
    }

    fn end(&mut self, by: Producer, end: End) {
        self.log.submit_end("worker", by, end, false).unwrap();
        self.settle();
    }
}

#[test]
fn the_last_record_of_a_key_stays_at_its_offset() {
    let mut one = One::new(&[COMPACT, SINGLE, EAGER]);
    for (key, value) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("a", "5")] {
        one.put(key, Some(value));
    }
    assert_eq!(
        one.metric("escala_log_uncompacted_bytes"),
        0,
        "not looked yet"
    );
    one.compact();
    // What is written to is never compacted, so the last record takes the place of nothing yet.
    let left = ["1 b=2", "2 a=3", "3 c=4", "4 a=5"];
    assert_eq!(one.shown(), left);
    assert_eq!(one.metric("escala_log_compaction_passes_total"), 1);
    assert_eq!(one.metric("escala_log_compaction_records_removed_total"), 1);
    let before = one.metric("escala_log_compaction_bytes_in_total");
    let after = one.metric("escala_log_compaction_bytes_out_total");
    assert!(before > after, "{before} {after}");
    one.compact();
    assert_eq!(
        one.metric("escala_log_compaction_passes_total"),
        1,
        "nothing is due"
    );
    let unclean = one.metric("escala_log_uncompacted_bytes");
    assert_eq!(unclean, 70, "the last segment");
    // Also where records were: the next one is given.
    for (offset, first) in [(0, 1), (1, 1), (2, 2)] {
        let read = one.log.read("t", 0, offset, 1, Isolation::ReadUncommitted);
        let read = read.unwrap();
        assert_eq!(Head::read(&read.batches[0]).unwrap().base_offset, first);
    }
    let mut one = one.open_again();
    assert_eq!(one.shown(), left);
    one.put("b", Some("6"));
    one.put("b", Some("7"));
    one.compact();
    assert_eq!(one.shown(), ["3 c=4", "4 a=5", "5 b=6", "6 b=7"]);
    let known = one.log.describe("t", 0).unwrap();
    assert_eq!((known.log_start, known.high_watermark), (0, 7));
    assert!(
        check(Arc::new(one.disk.copy()), &one.options)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn small_segments_become_one() {
    let mut one = One::new(&[COMPACT, ("segment.bytes", "400"), EAGER]);
    for i in 0..40 {
        one.put(&format!("{}", i % 4), Some("value"));
    }
    let before = one.log.describe("t", 0).unwrap();
    one.compact();
    let after = one.log.describe("t", 0).unwrap();
    assert!(before.segments >= 8, "{before:?}");
    // Four batches of 79 bytes at the end of the segments, and the one that is written to.
    assert!(after.segments <= 5, "{after:?}");
    one.put("last", Some("value"));
    for _ in 0..3 {
        one.put("0", Some("value"));
        one.pass(1);
        one.compact();
    }
    let files = one.disk.files().into_iter();
    let files = files.filter(|(path, _)| path.starts_with("topics/") && path.ends_with(".log"));
    let known = one.log.describe("t", 0).unwrap();
    assert_eq!(files.count(), known.segments, "{:?}", one.disk.files());
}

#[test]
fn tombstones_stay_for_a_time_and_go() {
    let mut one = One::new(&[COMPACT, SINGLE, EAGER, ("delete.retention.ms", "1000")]);
    one.put("a", Some("1"));
    let value = one.put("b", Some("2"));
    let first = one.append(&keyed(&[("a", None), ("c", Some("3"))], None, 500));
    one.put("end", Some("x"));
    one.pass(5000);
    one.compact();
    assert_eq!(one.shown(), ["1 b=2", "2 a=-", "3 c=3", "4 end=x"]);
    let due = one.now() + 1000;
    let head = one.heads()[1];
    assert_eq!((head.base_offset, head.horizon()), (first, Some(due)));
    assert_eq!(head.attributes & DELETE_HORIZON, DELETE_HORIZON);
    // Times are what they were.
    let times: Vec<i64> = one
        .records()
        .iter()
        .map(|record| record.timestamp)
        .collect();
    assert_eq!(times[1..3], [500, 501]);
    assert_eq!(head.max_timestamp, 501);
    let found = one.log.offset_for_time("t", 0, 501).unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp), (value, START));
    one.pass(999);
    one.compact();
    assert_eq!(one.shown().len(), 4, "not yet");
    // Opened again in between, and without anything new to compact.
    let mut one = one.open_again();
    one.pass(1);
    one.compact();
    assert_eq!(one.shown(), ["1 b=2", "3 c=3", "4 end=x"]);
    let head = one.heads()[1];
    assert_eq!((head.horizon(), head.base_timestamp), (None, 501));
    assert_eq!((head.base_offset, head.last_offset_delta), (first, 1));
    let passes = one.metric("escala_log_compaction_passes_total");
    one.pass(1_000_000);
    one.compact();
    assert_eq!(one.metric("escala_log_compaction_passes_total"), passes);
}

#[test]
fn the_last_batch_is_kept_without_records() {
    let mut one = One::new(&[
        COMPACT,
        ("segment.ms", "10"),
        EAGER,
        ("delete.retention.ms", "0"),
    ]);
    one.put("a", Some("1"));
    one.put("a", None);
    // What is written to is over when it is old, although nothing new comes.
    one.compact();
    assert_eq!(one.shown().len(), 2);
    one.pass(11);
    one.compact();
    assert_eq!(one.shown(), ["1 a=-"]);
    one.compact();
    assert!(one.shown().is_empty());
    let heads = one.heads();
    assert_eq!(heads.len(), 1);
    // Readers come to the end.
    assert_eq!((heads[0].last_offset(), heads[0].count), (1, 0));
    assert_eq!(one.log.offset_for_time("t", 0, 0).unwrap(), None);
    assert_eq!(one.put("b", Some("2")), 2);
    assert_eq!(one.shown(), ["2 b=2"]);
    let newest = one.log.offset_of_max_time("t", 0).unwrap().unwrap();
    assert_eq!(newest.offset, 2);
    // It goes when another is the last.
    one.pass(11);
    one.compact();
    assert_eq!(one.heads().len(), 1);
}

#[test]
fn a_producer_goes_on_from_its_last_batch() {
    let mut one = One::new(&[COMPACT, SINGLE, EAGER]);
    let by = |sequence| Some(By(7, 3, sequence));
    let records = [("a", Some("1")), ("b", Some("1"))];
    one.append(&keyed(&records, by(0), START));
    let last = keyed(&records, by(2), START);
    let offset = one.append(&last);
    one.append(&keyed(&[("a", Some("2")), ("b", Some("2"))], None, START));
    one.put("end", None);
    one.compact();
    assert_eq!(one.shown(), ["4 a=2", "5 b=2", "6 end=-"]);
    let head = one.heads()[0];
    assert_eq!(
        (head.base_offset, head.last_offset(), head.count),
        (offset, 3, 0)
    );
    assert_eq!((head.producer, head.producer_epoch), (7, 3));
    assert_eq!((head.base_sequence, head.last_sequence()), (2, 3));
    let mut one = one.open_again();
    assert_eq!(one.append(&last), offset, "it was sent before");
    let gap = one
        .log
        .submit("t", 0, keyed(&records, by(5), START), Acks::Durable);
    assert!(matches!(
        gap,
        Err(Error::OutOfOrderSequence { expected: 4, .. })
    ));
    assert_eq!(one.append(&keyed(&records, by(4), START)), 7);
    // Now another is its last.
    one.put("end", None);
    one.compact();
    assert!(one.heads()[0].base_offset > offset);
}

#[test]
fn transactions_end_before_their_records_are_compacted() {
    let mut one = One::new(&[COMPACT, SINGLE, EAGER, ("delete.retention.ms", "100")]);
    let by = one.begin();
    one.put("a", Some("old"));
    one.within(by, 0, "a", "aborted"); // 1
    one.put("b", Some("old"));
    one.end(by, End::Abort); // 3
    one.within(by, 1, "b", "committed"); // 4
    one.put("c", Some("old"));
    one.end(by, End::Commit); // 6
    one.within(by, 2, "c", "open"); // 7
    one.put("a", Some("new"));
    one.put("end", None); // 9
    one.compact();
    // Records before the open transaction were compacted, and the aborted one is gone.
    let all = |one: &One| -> Vec<i64> { one.heads().iter().map(|head| head.base_offset).collect() };
    assert_eq!(all(&one), [0, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(one.shown(), ["0 a=old", "4 b=committed", "5 c=old"]);
    one.end(by, End::Commit); // 10
    one.put("end", None); // 11
    one.compact();
    let left = [
        "4 b=committed",
        "7 c=open",
        "8 a=new",
        "9 end=-",
        "11 end=-",
    ];
    assert_eq!(one.shown(), left);
    // The marker of the aborted one has nothing before it any more: it stays for a time.
    assert_eq!(all(&one), [3, 4, 6, 7, 8, 9, 10, 11]);
    let due = one.now() + 100;
    assert_eq!(one.heads()[0].horizon(), Some(due));
    let read = one
        .log
        .read("t", 0, 0, 1, Isolation::ReadCommitted)
        .unwrap();
    assert_eq!(read.aborted.len(), 1);
    let mut one = one.open_again();
    assert_eq!(one.shown(), left);
    one.pass(100);
    one.compact();
    assert_eq!(all(&one)[0], 4);
    let read = one
        .log
        .read("t", 0, 0, 1, Isolation::ReadCommitted)
        .unwrap();
    assert_eq!(read.aborted, [], "it is forgotten");
    let one = one.open_again();
    let read = one
        .log
        .read("t", 0, 0, 1, Isolation::ReadCommitted)
        .unwrap();
    assert_eq!(read.aborted, []);
    // A marker stays as long as a record before it.
    assert!(all(&one).starts_with(&[4, 6, 7]), "{:?}", all(&one));
}

#[test]
fn lags_and_the_ratio_decide_when() {
    let passes = |one: &One| one.metric("escala_log_compaction_passes_total");
    // Nothing younger than the least lag.
    let mut one = One::new(&[COMPACT, SINGLE, EAGER, ("min.compaction.lag.ms", "100")]);
    one.put("a", Some("1"));
    one.put("a", Some("2"));
    one.pass(60);
    one.put("a", Some("3"));
    one.put("a", Some("4"));
    one.compact();
    assert_eq!(passes(&one), 0);
    one.pass(60);
    one.compact();
    assert_eq!(one.shown(), ["1 a=2", "2 a=3", "3 a=4"]);
    // More than half, unless something waits for too long.
    let mut one = One::new(&[COMPACT, SINGLE, ("max.compaction.lag.ms", "1000")]);
    for i in 0..8 {
        one.put(&format!("{i}"), Some("1"));
    }
    one.compact();
    assert_eq!(passes(&one), 1);
    for _ in 0..4 {
        one.put("0", Some("2"));
    }
    // Four of eleven are new.
    one.compact();
    assert_eq!(passes(&one), 1);
    one.pass(1001);
    one.compact();
    assert_eq!(passes(&one), 2);
    // The last segment too: it is as old.
    assert_eq!(one.shown().len(), 8);
}

#[test]
fn what_is_compressed_is_compressed_again_and_what_is_whole_is_not_touched() {
    for codec in 0..=4 {
        let mut one = One::new(&[COMPACT, SINGLE, EAGER]);
        let names: Vec<String> = (0..50).map(|i| format!("key {i}")).collect();
        let records = |value| -> Vec<(&str, Option<&str>)> {
            names
                .iter()
                .map(|name| (name.as_str(), Some(value)))
                .collect()
        };
        let pack = |batch: Bytes| match codec {
            0 => batch,
            codec => packed(&batch, codec),
        };
        let value = "the same again and again ".repeat(10);
        one.append(&pack(keyed(&records(&value), None, START)));
        let whole = pack(keyed(
            &[("other", Some(&value)), ("more", None)],
            None,
            START,
        ));
        one.append(&whole);
        one.append(&pack(keyed(&records(&value)[10..], None, START)));
        one.put("end", None);
        one.alter("delete.retention.ms", "0");
        one.compact();
        let heads = one.heads();
        assert_eq!(heads[0].count, 10, "{codec}");
        for head in &heads[..3] {
            assert_eq!(head.attributes & COMPRESSION, codec);
        }
        let left = one.records();
        assert_eq!(left.len(), 10 + 2 + 40 + 1);
        for (i, record) in left[..10].iter().enumerate() {
            assert_eq!(record.offset, i as i64);
            assert_eq!(record.key.as_deref(), Some(names[i].as_bytes()));
            assert_eq!(record.value.as_deref(), Some(value.as_bytes()));
            assert_eq!(record.timestamp, START + i as i64);
        }
        assert_eq!(heads[0].max_timestamp, START + 9);
        let there = one.batches(Isolation::ReadUncommitted);
        // The sum is that of the batch that was sent.
        assert_eq!(
            there[2][16..],
            pack(keyed(&records(&value)[10..], None, START))[16..]
        );
        // One with a tombstone is written anew to say until when.
        assert!(heads[1].horizon().is_some());
    }
}

#[test]
fn what_cannot_be_read_or_has_no_key_is_kept() {
    let mut one = One::new(&[SINGLE, EAGER]);
    one.put("a", Some("1"));
    let mut broken = keyed(&[("a", Some("2"))], None, START).to_vec();
    // Gzip, it says; and records that are more than there are. An earlier version may have taken them.
    broken[22] = 1;
    sum(&mut broken);
    one.slip_in(&broken);
    let many = packed(&keyed(&[("a", Some("2"))], None, START), 2);
    let mut many = many.to_vec();
    many[26] = 4;
    many[60] = 5;
    sum(&mut many);
    one.slip_in(&many);
    let keyless = crate::log::testing::batch(&[b"no key", b"none"], None, START);
    one.append(&keyless);
    one.put("a", Some("3"));
    one.put("end", None);
    one.alter("cleanup.policy", "compact");
    one.compact();
    let left = one.batches(Isolation::ReadUncommitted);
    assert_eq!(left[0][16..], broken[16..]);
    assert_eq!(left[1][16..], many[16..]);
    assert_eq!(left[2][16..], keyless[16..]);
    let bases: Vec<i64> = one.heads().iter().map(|head| head.base_offset).collect();
    assert_eq!(bases, [1, 2, 7, 9, 10], "the first record is gone");
    // From now on it is refused.
    let refused = one.log.submit("t", 0, keyless, Acks::Durable);
    assert!(matches!(refused, Err(Error::Keyless { records }) if records == [0, 1]));
    for broken in [broken, many] {
        let refused = one.log.submit("t", 0, broken.into(), Acks::Durable);
        assert!(matches!(refused, Err(Error::BatchInvalid(why)) if why.contains("read")));
    }
}

#[test]
fn records_without_a_key_are_refused_however_compressed() {
    let one = One::new(&[COMPACT]);
    let keyless = crate::log::testing::batch(&[&b"no key"[..]; 3], None, START);
    let mixed = {
        let mut batch = keyed(&[("a", Some("1"))], None, START).to_vec();
        batch.extend(&keyless[HEAD..]);
        let length = batch.len() as i32 - 12;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        (batch[26], batch[60]) = (3, 4);
        // The offsets of the records that were added.
        let each = (keyless.len() - HEAD) / 3;
        let first = batch.len() - 3 * each;
        for i in 0..3 {
            batch[first + i * each + 3] = 2 * (i as u8 + 1);
        }
        sum(&mut batch);
        Bytes::from(batch)
    };
    for codec in 0..=4 {
        let pack = |batch: &Bytes| match codec {
            0 => batch.clone(),
            codec => packed(batch, codec),
        };
        for (batch, first) in [(&keyless, 0), (&mixed, 1)] {
            let refused = one.log.submit("t", 0, pack(batch), Acks::Durable);
            let Err(Error::Keyless { records }) = refused else {
                panic!("{codec}: they are taken");
            };
            assert_eq!(records, [first, first + 1, first + 2], "{codec}");
        }
        let taken = keyed(&[("a", Some("1")), ("", None)], None, START);
        let taken = one.log.submit("t", 0, pack(&taken), Acks::Durable);
        taken.map(drop).unwrap();
    }
}

/// However few keys there is room for, the same is left in the end.
#[test]
fn passes_come_to_the_same() {
    use rand::{Rng, SeedableRng};
    let mut left: Option<Vec<String>> = None;
    for keys in [1, 2, 3, 7, 1000] {
        let mut random = rand::rngs::StdRng::seed_from_u64(11);
        let mut one = One::with(&[COMPACT, ("segment.bytes", "500"), EAGER], keys);
        for i in 0..60 {
            let records: Vec<(String, Option<String>)> = (0..random.random_range(1..6))
                .map(|_| {
                    let key = format!("{}", random.random_range(0..12));
                    (key, random.random_bool(0.8).then(|| format!("v{i}")))
                })
                .collect();
            let records: Vec<(&str, Option<&str>)> = records
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_deref()))
                .collect();
            one.append(&keyed(&records, None, START));
        }
        one.alter("segment.ms", "1");
        one.pass(2);
        one.compact();
        let shown = one.shown();
        assert_eq!(shown.len(), 12, "{shown:?}");
        let before = left.get_or_insert_with(|| shown.clone());
        assert_eq!(*before, shown, "with room for {keys} keys");
        let passes = one.metric("escala_log_compaction_passes_total");
        match keys {
            1000 => assert_eq!(passes, 1),
            keys => assert!(passes > 60 / keys as u64 / 5, "{passes}"),
        }
    }
}

#[test]
fn both_policies_are_followed_and_records_can_be_deleted() {
    let both = ("cleanup.policy", "compact,delete");
    let mut one = One::new(&[both, SINGLE, EAGER, ("retention.ms", "1000")]);
    one.put("a", Some("1"));
    one.put("b", Some("1"));
    one.put("a", Some("2"));
    one.put("end", None);
    one.compact();
    assert_eq!(one.shown(), ["1 b=1", "2 a=2", "3 end=-"]);
    one.pass(600);
    one.put("c", Some("1"));
    one.pass(600);
    one.keeper.retain();
    one.settle();
    assert_eq!(one.shown(), ["4 c=1"]);
    // Within a gap.
    let mut one = One::new(&[COMPACT, SINGLE, EAGER]);
    for i in 0..6 {
        one.put(&format!("{}", i / 4), Some("1"));
    }
    one.compact();
    assert_eq!(one.shown(), ["3 0=1", "4 1=1", "5 1=1"]);
    one.log.submit_start("t", 0, 2).unwrap();
    one.settle();
    assert_eq!(one.shown(), ["3 0=1", "4 1=1", "5 1=1"]);
    one.log.submit_start("t", 0, 4).unwrap();
    one.settle();
    assert_eq!(one.shown(), ["4 1=1", "5 1=1"]);
    let one = one.open_again();
    assert_eq!(one.log.describe("t", 0).unwrap().log_start, 4);
    assert_eq!(one.shown(), ["4 1=1", "5 1=1"]);
}

/// What somebody reads while it is compacted is right, whatever memory had of it.
#[test]
fn aborted_records_are_not_shown_when_it_is_forgotten_that_they_were() {
    let settings = [COMPACT, SINGLE, EAGER, ("delete.retention.ms", "0")];
    let mut one = One::new(&settings);
    let by = one.begin();
    one.within(by, 0, "a", "aborted");
    one.end(by, End::Abort);
    // Another is the last that the producer wrote.
    one.within(by, 1, "b", "committed");
    one.end(by, End::Commit);
    one.put("end", None);
    for _ in 0..3 {
        one.compact();
        one.pass(1);
        assert_eq!(one.shown(), ["2 b=committed", "4 end=-"]);
    }
    let read = one
        .log
        .read("t", 0, 0, 1, Isolation::ReadCommitted)
        .unwrap();
    assert_eq!(read.aborted, []);
    assert_eq!(one.heads()[0].base_offset, 2);
}

/// Records are deleted while their partition is compacted: what could then not be replaced has an old value, which must
/// not come back when the tombstone goes.
#[test]
fn what_could_not_be_replaced_is_compacted_again() {
    let mut one = One::new(&[COMPACT, SINGLE, EAGER, ("delete.retention.ms", "100")]);
    for (key, value) in [
        ("z", Some("1")),
        ("a", Some("old")),
        ("a", None),
        ("y", Some("1")),
    ] {
        one.put(key, value);
    }
    one.put("end", None);
    // Two segments become one.
    one.alter("segment.bytes", "150");
    let (given, jobs) = sync_channel(1);
    one.keeper.hand_over(given);
    let work = |one: &One| {
        let Ok(job) = jobs.try_recv() else {
            return false;
        };
        let shared = one.log.shared();
        job.run(&shared.files, &|| false, &mut |outcome| {
            shared.laying.lock().compacted.push_back(outcome);
        });
        true
    };
    one.keeper.compact();
    assert!(work(&one));
    one.log.submit_start("t", 0, 1).unwrap();
    one.settle();
    one.keeper.take_compacted();
    let left = ["2 a=-", "3 y=1", "4 end=-"];
    assert_ne!(one.shown(), left, "the first of two segments was gone");
    for _ in 0..3 {
        one.keeper.compact();
        while work(&one) {
            one.keeper.take_compacted();
        }
        one.pass(100);
    }
    assert_eq!(one.shown(), left[1..]);
    one.keeper.checkpoint();
    let known = one.log.describe("t", 0).unwrap().segments;
    let files = one.disk.files().into_iter();
    let there = files.filter(|(path, _)| path.starts_with("topics/") && path.ends_with(".log"));
    assert_eq!(there.count(), known);
}

#[test]
fn damage_stops_compaction_of_its_partition_and_is_told() {
    let mut one = One::new(&[COMPACT, SINGLE, EAGER]);
    for i in 0..4 {
        one.put("a", Some(&format!("{i}")));
    }
    let path = |disk: &Simulated, end: &str| {
        let files = disk.files().into_iter();
        let mut paths = files.map(|(path, _)| path);
        paths.find(|path| path.ends_with(end)).unwrap()
    };
    let second = path(&one.disk, "00001.log");
    one.disk.damage(&second, |content| content[HEAD + 3] ^= 1);
    let before = one.disk.files();
    one.compact();
    let topics = |files: Vec<(String, usize)>| -> Vec<(String, usize)> {
        files
            .into_iter()
            .filter(|(path, _)| path.starts_with("topics/") && path.ends_with(".log"))
            .collect()
    };
    assert_eq!(topics(one.disk.files()), topics(before));
    assert_eq!(one.metric("escala_log_compaction_refused_total"), 1);
    one.compact();
    assert_eq!(
        one.metric("escala_log_compaction_refused_total"),
        1,
        "told once"
    );
    // Damage to what compaction left is found too.
    let mut one = One::new(&[COMPACT, SINGLE, EAGER]);
    one.append(&keyed(&[("a", Some("1")), ("b", Some("1"))], None, START));
    one.put("a", Some("2"));
    one.put("end", None);
    one.compact();
    let one = one.open_again();
    assert!(
        check(Arc::new(one.disk.copy()), &one.options)
            .unwrap()
            .is_empty()
    );
    let left = path(&one.disk, "00000.1.log");
    one.disk.damage(&left, |content| content[HEAD + 3] ^= 1);
    let damages = check(Arc::new(one.disk.copy()), &one.options).unwrap();
    assert!(
        matches!(&damages[..], [Error::Damaged { path, .. }] if *path == left),
        "{damages:?}"
    );
}
