//! Topics whose records need not be durable before they are acknowledged.

use super::world::{Op, World, relaxed};
use crate::log::disk::simulated::{Draw, Fault};
use crate::log::testing::batch;
use crate::log::{Acks, Error, Log, Pending};
use std::sync::Arc;

fn submit(log: &Log) -> Pending {
    let one = batch(&[b"a"], None, 5);
    log.submit("t", 0, one, Acks::Durable).unwrap()
}

/// So many records, then a sync; and with anything that has to be durable.
#[test]
fn records_are_synced_when_enough_have_gathered() {
    let mut world = World::with(relaxed("4"));
    let durable = world.log.durable_lsn();
    for count in 1..=3 {
        let mut pending = submit(&world.log);
        assert!(pending.now().is_none());
        world.committer.round();
        assert!(matches!(pending.now(), Some(Ok(_))), "it is written");
        let seen = world.log.describe("t", 0).unwrap().high_watermark;
        assert_eq!((seen, world.log.durable_lsn()), (count, durable));
    }
    let _ = submit(&world.log);
    world.committer.round();
    assert_eq!(world.log.durable_lsn(), durable + 4);
    let _ = submit(&world.log);
    world.committer.round();
    assert_eq!(world.log.durable_lsn(), durable + 4);
    world.act(Op::CommitOffsets).unwrap();
    world.committer.round();
    assert_eq!(world.log.durable_lsn(), durable + 6);
}

/// A repetition of what was acknowledged without a sync is acknowledged too.
#[test]
fn a_repetition_does_not_wait_for_a_sync() {
    let mut world = World::with(relaxed("4"));
    world.act(Op::AppendInOrder).unwrap();
    world.committer.round();
    let durable = world.log.durable_lsn();
    world.act(Op::AppendAgain).unwrap();
    world.committer.round();
    assert_eq!(world.log.durable_lsn(), durable);
}

/// A sync that fails ends the log, also where nobody waited for it.
#[test]
fn a_failed_sync_is_the_end() {
    let mut world = World::with(relaxed("4"));
    let _ = submit(&world.log);
    world.committer.round();
    world.disk.fail(Fault::Sync, "wal/", 0);
    world.act(Op::CommitOffsets).unwrap();
    world.committer.round();
    assert_eq!(world.disk.fired(), 1);
    assert!(matches!(world.log.check(), Err(Error::Failed(_))));
}

/// A checkpoint may be ahead of what is durable in the write-ahead log.
#[test]
fn a_checkpoint_overtakes_the_log() {
    let mut world = World::with(relaxed("100"));
    world.act(Op::Append(0)).unwrap();
    for op in [Op::Round, Op::Lay, Op::Lay, Op::Checkpoint] {
        world.act(op).unwrap();
    }
    let durable = world.log.durable_lsn();
    let kept = world.log.describe("t", 0).unwrap().high_watermark;
    world.act(Op::Append(0)).unwrap();
    world.act(Op::Round).unwrap();
    assert_eq!(world.log.durable_lsn(), durable);
    let seen = world.log.describe("t", 0).unwrap().high_watermark;
    assert!(seen > kept);
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let left = world.disk.crash(&mut Draw::new(seed));
        world.recover(&left).unwrap();
        let (log, ..) = Log::open_stepped(Arc::new(left), world.options.clone()).unwrap();
        ends.insert(log.describe("t", 0).unwrap().high_watermark);
    }
    // What the checkpoint has is there; what came after it may be.
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [kept, seen]);
}

/// With `flush.ms` a sync comes by itself.
#[tokio::test]
async fn time_brings_a_sync() {
    let disk = crate::log::disk::simulated::Simulated::new();
    let mut options = relaxed("1000");
    options.defaults.set("flush.ms", "5").unwrap();
    let log = Log::open(Arc::new(disk), options).unwrap();
    log.create_topic("t", 1, &[]).await.unwrap();
    let before = log.durable_lsn();
    submit(&log).done().await.unwrap();
    while log.durable_lsn() == before {
        tokio::task::yield_now().await;
    }
    log.close().await.unwrap();
}
