//! What is rare: the last epoch, more ids than there may be, disks that are full or damaged.

use super::*;
use crate::log::batch::Head;
use crate::log::committer::Committer;
use crate::log::disk::simulated::Simulated;
use crate::log::keeper::Keeper;
use crate::log::testing::{By, transactional};
use crate::log::transactions::LAST_EPOCH;
use crate::log::types::{Isolation, Options, Stage};
use std::sync::Arc;

const MINUTE: Duration = Duration::from_secs(60);

/// A log with the topic `t` of two partitions, driven step by step.
struct Scene {
    disk: Simulated,
    options: Options,
    log: Log,
    committer: Committer,
    keeper: Keeper,
}

impl Scene {
    fn new(options: Options) -> Self {
        let disk = Simulated::new();
        let mut scene = Self::open(disk, options);
        scene.log.submit_topic("t", 2, &[]).unwrap();
        scene.committer.round();
        scene
    }

    fn open(disk: Simulated, options: Options) -> Self {
        let opened = Log::open_stepped(Arc::new(disk.clone()), options.clone());
        let (log, committer, keeper) = opened.unwrap();
        Self {
            disk,
            options,
            log,
            committer,
            keeper,
        }
    }

    fn begin(&self, id: &str) -> Result<Producer> {
        let (producer, _) = self.log.submit_begin(id, MINUTE, None)?;
        Ok(producer)
    }

    fn send(&self, id: &str, by: Producer, sequence: i32, partition: u32) -> Result<()> {
        let batch = transactional(&[b"value"], By(by.id, by.epoch, sequence), 5);
        let pending = self
            .log
            .submit_in(id, true, "t", partition, batch, Acks::Durable)?;
        drop(pending);
        Ok(())
    }

    fn end(&self, id: &str, by: Producer, end: End) -> Result<Producer> {
        Ok(self.log.submit_end(id, by, end, true)?.0)
    }

    fn settle(&mut self) {
        while self.committer.round() {}
        while matches!(self.keeper.lay(), Ok(true)) {}
        self.log.check().unwrap();
    }

    /// How many batches readers of committed records are shown, and where what is decided ends.
    fn visible(&self, partition: u32) -> (usize, i64) {
        let read = self
            .log
            .read("t", partition, 0, 1 << 20, Isolation::ReadCommitted);
        let read = read.unwrap();
        (read.visible().len(), read.last_stable)
    }
}

fn options() -> Options {
    Options {
        reserve_bytes: 0,
        ..Options::default()
    }
}

#[test]
fn after_the_last_epoch_comes_another_producer() {
    let mut scene = Scene::new(options());
    let first = scene.begin("a").unwrap();
    let mut by = first;
    while by.epoch < LAST_EPOCH {
        by = scene.end("a", by, End::Abort).unwrap();
        if by.epoch % 1000 == 0 {
            scene.settle();
        }
    }
    assert_eq!(by.id, first.id);
    scene.send("a", by, 0, 0).unwrap();
    let next = scene.end("a", by, End::Commit).unwrap();
    assert!(next.id > by.id && next.epoch == 0);
    // It was ended before; who asks again is told the same.
    assert_eq!(scene.end("a", by, End::Commit).unwrap(), next);
    assert!(scene.end("a", by, End::Abort).is_err());
    scene.send("a", next, 0, 0).unwrap();
    scene.end("a", next, End::Commit).unwrap();
    scene.settle();
    assert_eq!(scene.visible(0), (2, 4));
}

/// A new instance whose predecessor had the last epoch and left a transaction open.
#[test]
fn the_last_epoch_is_fenced_like_any_other() {
    let mut scene = Scene::new(options());
    let mut by = scene.begin("a").unwrap();
    while by.epoch < LAST_EPOCH {
        by = scene.begin("a").unwrap();
        if by.epoch % 1000 == 0 {
            scene.settle();
        }
    }
    scene.send("a", by, 0, 0).unwrap();
    let next = scene.begin("a").unwrap();
    assert!(next.id > by.id && next.epoch == 0);
    let late = scene.send("a", by, 1, 0);
    assert!(matches!(late, Err(Error::ProducerEpoch { .. })));
    scene.settle();
    assert_eq!(scene.visible(0), (0, 2));
    // The same by time.
    let mut by = next;
    while by.epoch < LAST_EPOCH {
        by = scene.begin("a").unwrap();
    }
    scene.send("a", by, 0, 0).unwrap();
    assert!(scene.log.submit_time_out(i64::MAX));
    assert_eq!(scene.log.transaction("a").unwrap().stage, Stage::Aborted);
    assert!(scene.begin("a").unwrap().id > by.id);
}

#[test]
fn the_id_that_was_idle_longest_makes_place_for_another() {
    let scene = Scene::new(Options {
        transactional_ids: 2,
        ..options()
    });
    let a = scene.begin("a").unwrap();
    scene.send("a", a, 0, 0).unwrap();
    scene.begin("b").unwrap();
    let c = scene.begin("c").unwrap();
    let known = |scene: &Scene| {
        let all = scene.log.transactions().into_iter();
        all.map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(known(&scene), ["a", "c"], "what is in a transaction stays");
    scene.send("c", c, 0, 0).unwrap();
    assert!(matches!(scene.begin("d"), Err(Error::Transactions(2))));
    scene.end("a", a, End::Commit).unwrap();
    scene.begin("d").unwrap();
    assert_eq!(known(&scene), ["c", "d"]);
}

/// What was begun can be ended, also where nothing can be begun.
#[test]
fn transactions_end_on_a_full_disk() {
    let mut scene = Scene::new(Options {
        reserve_bytes: 20_000,
        ..options()
    });
    let by = scene.begin("a").unwrap();
    scene.send("a", by, 0, 0).unwrap();
    scene.settle();
    scene.disk.set_capacity(Some(scene.disk.used() + 10_000));
    // A round finds out.
    let by = scene.end("a", by, End::Commit).unwrap();
    scene.settle();
    assert!(matches!(scene.begin("b"), Err(Error::Full { .. })));
    assert!(matches!(scene.send("a", by, 0, 0), Err(Error::Full { .. })));
    assert_eq!(scene.visible(0), (1, 2));
    scene.disk.set_capacity(None);
    scene.send("a", by, 0, 0).unwrap();
    scene.disk.set_capacity(Some(scene.disk.used() + 10_000));
    scene.settle();
    assert!(scene.log.submit_time_out(i64::MAX));
    scene.settle();
    assert_eq!(scene.visible(0), (1, 4));
}

/// A partition that is out of use has no markers: its transaction cannot be committed, only aborted, and its part of it is
/// when it can be used again.
#[test]
fn a_damaged_partition_keeps_its_transaction_from_being_committed() {
    let mut scene = Scene::new(options());
    let by = scene.begin("a").unwrap();
    for partition in 0..2 {
        scene.send("a", by, 0, partition).unwrap();
    }
    scene.settle();
    scene.keeper.close();
    let files = scene.disk.files();
    let damaged = files
        .iter()
        .find(|(path, _)| path.contains("-1/") && path.ends_with(".log"));
    let (path, _) = damaged.unwrap();
    scene.disk.damage(path, |content| content.truncate(10));
    drop(scene.log);
    let mut scene = Scene::open(scene.disk, scene.options);
    let commit = scene.end("a", by, End::Commit);
    assert!(matches!(commit, Err(Error::Damaged { .. })), "{commit:?}");
    let next = scene.end("a", by, End::Abort).unwrap();
    scene.settle();
    assert_eq!(scene.visible(0), (0, 2));
    // Nothing new joins what is left open there.
    let place = ("t".to_owned(), 1);
    let joined = scene.log.submit_join("a", next, &[place], None);
    assert!(matches!(joined, Err(Error::Damaged { .. })));
    scene.keeper.close();
    drop(scene.log);
    crate::log::repair(Arc::new(scene.disk.clone()), scene.options.clone()).unwrap();
    let mut scene = Scene::open(scene.disk, scene.options);
    scene.settle();
    let (visible, stable) = scene.visible(1);
    let end = scene.log.describe("t", 1).unwrap().high_watermark;
    assert_eq!((visible, stable), (0, end), "its part was aborted");
    scene.send("a", next, 0, 1).unwrap();
    scene.end("a", next, End::Commit).unwrap();
    scene.settle();
    let read = scene.log.read("t", 1, 0, 1 << 20, Isolation::ReadCommitted);
    let visible = read.unwrap().visible();
    let heads = visible.iter().filter_map(|batch| Head::read(batch));
    let epochs: Vec<i16> = heads.map(|head| head.producer_epoch).collect();
    assert_eq!(epochs, [next.epoch]);
}

/// A topic whose records have the log's time has it in its markers, too.
#[test]
fn markers_have_the_time_of_their_topic() {
    let mut scene = Scene::new(options());
    let stamped = [("message.timestamp.type", "LogAppendTime")];
    scene.log.submit_topic("stamped", 1, &stamped).unwrap();
    let by = scene.begin("a").unwrap();
    for topic in ["t", "stamped"] {
        let batch = transactional(&[b"value"], By(by.id, by.epoch, 0), 5);
        let pending = scene.log.submit_in("a", true, topic, 0, batch, Acks::None);
        drop(pending.unwrap());
    }
    scene.end("a", by, End::Commit).unwrap();
    scene.settle();
    for (topic, attributes) in [("t", 0b11_0000), ("stamped", 0b11_1000)] {
        let read = scene
            .log
            .read(topic, 0, 1, 1 << 20, Isolation::ReadCommitted);
        let marker = Head::read(&read.unwrap().batches[0]).unwrap();
        assert_eq!(marker.attributes, attributes, "{topic}");
        assert!(marker.is_control());
    }
}
