//! Full disks, and disks that fail.

use super::model::Model;
use super::world::{Op, World, options};
use crate::log::disk::Disk;
use crate::log::disk::simulated::{Draw, Fault};
use crate::log::{Acks, Error, Options};

const OPS: [Op; 14] = [
    Op::Append(0),
    Op::AppendLarge(1),
    Op::Round,
    Op::CommitBatch,
    Op::CommitOffsets,
    Op::Round,
    Op::Lay,
    Op::AppendLarge(0),
    Op::AppendInOrder,
    Op::Round,
    Op::Lay,
    Op::Checkpoint,
    Op::AppendLarge(0),
    Op::Round,
];

/// A failed write or sync stops the log: nobody is told that something is durable that may not be, nothing more is
/// taken, and what was acknowledged before is there when the log is opened again.
#[test]
fn a_failed_write_or_sync_is_the_end() {
    let mut fired = 0;
    for fault in [Fault::Sync, Fault::Write] {
        for path in ["wal/", "topics/", "checkpoint"] {
            for pass in 0..6 {
                let mut world = World::new();
                world.disk.fail(fault, path, pass);
                let failed = OPS.iter().any(|op| world.act(*op).is_err());
                assert_eq!(failed, world.disk.fired() == 1, "{fault:?} {path} {pass}");
                if !failed {
                    continue;
                }
                fired += 1;
                // The next sync would succeed. It is not asked.
                let durable = world.log.durable_lsn();
                for op in OPS {
                    assert!(matches!(world.act(op), Err(Error::Failed(_))), "{op:?}");
                }
                world.committer.round();
                world.keeper.checkpoint();
                world.keeper.close();
                assert_eq!(world.log.durable_lsn(), durable);
                for seed in 0..50 {
                    let left = world.disk.crash(&mut Draw::new(seed));
                    if let Err(error) = world.recover(&left) {
                        panic!("{fault:?} {path} {pass} seed {seed}: {error}");
                    }
                }
            }
        }
    }
    assert!(fired >= 15, "{fired}");
}

/// Who waits for a round that fails is told so, and who waits for one that succeeds is told that.
#[test]
fn a_failed_sync_acknowledges_nothing() {
    let mut world = World::new();
    let batch = crate::log::testing::batch(&[b"a"], None, 5);
    let submit = |world: &World, acks| world.log.submit("t", 0, batch.clone(), acks).unwrap();
    let mut before = submit(&world, Acks::Durable);
    assert!(before.now().is_none(), "nothing is durable yet");
    world.committer.round();
    assert!(matches!(before.now(), Some(Ok(_))));
    world.disk.fail(Fault::Sync, "wal/", 0);
    let mut durable = submit(&world, Acks::Durable);
    let mut written = submit(&world, Acks::Written);
    let mut none = submit(&world, Acks::None);
    world.committer.round();
    assert_eq!(world.disk.fired(), 1);
    assert!(matches!(durable.now(), Some(Err(Error::Failed(_)))));
    assert!(matches!(written.now(), Some(Ok(_))), "it was written");
    assert!(matches!(none.now(), Some(Ok(_))));
    // What is not durable was never shown.
    assert_eq!(world.log.describe("t", 0).unwrap().high_watermark, 1);
}

/// The oracle sees a disk that does not keep what it says it kept.
#[test]
fn a_disk_that_lies_is_caught() {
    let mut world = World::new();
    world.disk.lie();
    for op in [Op::Append(0), Op::CommitOffsets, Op::Round] {
        world.act(op).unwrap();
    }
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let caught = (0..100)
        .filter(|seed| {
            let left = world.disk.crash(&mut Draw::new(*seed));
            let recovered = std::panic::AssertUnwindSafe(|| world.recover(&left).is_ok());
            !std::panic::catch_unwind(recovered).unwrap_or(false)
        })
        .count();
    std::panic::set_hook(hook);
    assert!(caught >= 30, "{caught}");
}

/// A failed write or sync of a compacted segment is the end, too; a full disk leaves everything as it is.
#[test]
fn compaction_fails_as_a_whole() {
    let mut fired = 0;
    for fault in [Fault::Sync, Fault::Write] {
        for pass in 0..3 {
            let mut world = World::keyed();
            world.disk.fail(fault, ".1.log", pass);
            let failed = world.act(Op::Compact).is_err();
            assert_eq!(failed, world.disk.fired() == 1, "{fault:?} {pass}");
            fired += world.disk.fired();
            for seed in 0..20 {
                let left = world.disk.crash(&mut Draw::new(seed));
                world.recover(&left).unwrap();
            }
        }
    }
    assert!(fired >= 4, "{fired}");
    let (mut refused, mut done) = (0, 0);
    for more in 0..600 {
        let mut world = World::keyed();
        let before = world.disk.files();
        world.disk.set_capacity(Some(world.disk.used() + more));
        world.act(Op::Compact).unwrap();
        match world.disk.files() == before {
            true => refused += 1,
            false => done += 1,
        }
        let found = Model::of(&world.log).unwrap();
        world.states.last().unwrap().holds(&found, 0);
        if more % 50 == 0 {
            let left = world.disk.crash(&mut Draw::new(more));
            world.recover(&left).unwrap();
        }
        world.disk.set_capacity(None);
        world.act(Op::Compact).unwrap();
        world.act(Op::Checkpoint).unwrap();
        assert_ne!(world.disk.files(), before);
        let found = Model::of(&world.log).unwrap();
        world.states.last().unwrap().holds(&found, 0);
    }
    assert!(refused > 50 && done > 50, "{refused} {done}");
}

/// The oracle sees a compaction that loses something.
#[test]
fn a_lost_record_of_a_topic_that_compacts_is_caught() {
    let mut world = World::keyed();
    world.act(Op::Compact).unwrap();
    let found = Model::of(&world.log).unwrap();
    let state = world.states.last().unwrap();
    state.holds(&found, 0);
    let records = found.compacted.clone().unwrap().records;
    assert!(records.len() >= 4, "{records:?}");
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut caught = 0;
    for i in 0..records.len() {
        for change in 0..3 {
            let mut found = found.clone();
            let seen = found.compacted.as_mut().unwrap();
            match change {
                0 => drop(seen.records.remove(i)),
                1 => seen.records[i].offset += 100,
                _ => seen.records[i].value = Some(b"other".to_vec().into()),
            }
            let held = std::panic::AssertUnwindSafe(|| state.holds(&found, 0));
            caught += usize::from(std::panic::catch_unwind(held).is_err());
        }
    }
    std::panic::set_hook(hook);
    // A record whose key came again may be there or not.
    assert!(
        caught >= records.len() * 2 + 3,
        "{caught} of {}",
        records.len() * 3
    );
}

fn small() -> Options {
    Options {
        reserve_bytes: 15_000,
        ..options()
    }
}

/// Fills the disk until appends are refused.
fn fill(world: &mut World) -> Error {
    for _ in 0..100 {
        for op in [Op::AppendLarge(0), Op::Round, Op::Lay, Op::Checkpoint] {
            if let Err(error) = world.act(op) {
                return error;
            }
        }
    }
    panic!("the disk was never full");
}

/// A full disk refuses appends and nothing else, and takes them again when there is space, without being opened again.
#[test]
fn a_full_disk_refuses_and_recovers() {
    let mut world = World::with(small());
    world.disk.set_capacity(Some(world.disk.used() + 60_000));
    let error = fill(&mut world);
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(matches!(
        world.act(Op::CommitBatch),
        Err(Error::Full { .. })
    ));
    assert_eq!(Some(&Model::of(&world.log).unwrap()), world.states.last());
    // Deleting works, and makes space.
    for _ in 0..6 {
        for op in [Op::DeleteRecords, Op::Round, Op::Lay, Op::Checkpoint] {
            world.act(op).unwrap();
        }
    }
    for op in [Op::Append(0), Op::CommitBatch, Op::Round, Op::Lay] {
        world.act(op).unwrap();
    }
    assert_eq!(Some(&Model::of(&world.log).unwrap()), world.states.last());
    for seed in 0..50 {
        world
            .recover(&world.disk.crash(&mut Draw::new(seed)))
            .unwrap();
    }
}

/// Somebody else takes the last byte between the look at the space and the write: what was decided is written with the
/// help of the reserve.
#[test]
fn the_reserve_ends_what_was_begun() {
    let mut world = World::with(small());
    world.keeper.retain();
    assert!(world.disk.files().iter().any(|(path, _)| path == "reserve"));
    for op in [Op::AppendLarge(0), Op::CommitBatch] {
        world.act(op).unwrap();
    }
    world.disk.set_capacity(Some(world.disk.used()));
    for op in [Op::Round, Op::Lay, Op::Checkpoint] {
        world.act(op).unwrap();
    }
    assert!(!world.disk.files().iter().any(|(path, _)| path == "reserve"));
    assert!(matches!(world.act(Op::Append(0)), Err(Error::Full { .. })));
    assert_eq!(Some(&Model::of(&world.log).unwrap()), world.states.last());
    // With space, the reserve comes again and appends are taken.
    world.disk.set_capacity(None);
    world.keeper.retain();
    assert!(world.disk.files().iter().any(|(path, _)| path == "reserve"));
    world.act(Op::Append(0)).unwrap();
}

/// Segments cannot be written: what is durable is served from memory and laid down when there is space.
#[test]
fn laying_down_waits_for_space() {
    let mut world = World::new();
    for op in [Op::Lay, Op::AppendLarge(0), Op::AppendLarge(1), Op::Round] {
        world.act(op).unwrap();
    }
    world.disk.set_capacity(Some(world.disk.used() + 100));
    assert!(world.keeper.lay().is_err());
    assert!(world.keeper.lay().is_err(), "it is still to be done");
    assert_eq!(Some(&Model::of(&world.log).unwrap()), world.states.last());
    for seed in 0..50 {
        world
            .recover(&world.disk.crash(&mut Draw::new(seed)))
            .unwrap();
    }
    world.disk.set_capacity(None);
    assert!(matches!(world.keeper.lay(), Ok(true)));
    world.act(Op::Checkpoint).unwrap();
    assert_eq!(Some(&Model::of(&world.log).unwrap()), world.states.last());
}

/// What is durable has no space in segments, somebody else took the last byte, and the reserve is used up: records that are
/// deleted, or a topic that is removed, make space all the same, although the log has that behind what waits.
#[test]
fn deleting_makes_space_before_its_turn() {
    for remove in [false, true] {
        let mut world = World::with(small());
        world.keeper.retain();
        let given = [Op::AppendLarge(0), Op::Round, Op::Lay, Op::Checkpoint];
        for op in [given; 6].as_flattened() {
            world.act(*op).unwrap();
        }
        for op in [Op::AppendLarge(0), Op::AppendLarge(0), Op::Round] {
            world.act(op).unwrap();
        }
        // Without the reserve, which a write may have taken, and without a byte.
        world.disk.remove("reserve").unwrap();
        world.log.shared().spare.give_up();
        world.disk.set_capacity(Some(world.disk.used()));
        assert!(world.keeper.lay().is_err());
        let used = world.disk.used();
        // Events have a little room in the file of the write-ahead log; here it is given.
        world.disk.set_capacity(Some(used + 400));
        match remove {
            true => {
                world.log.submit_delete("t").unwrap();
                world.frame(|model| model.remove("t"));
            }
            false => {
                for _ in 0..3 {
                    world.act(Op::DeleteRecords).unwrap();
                }
            }
        }
        world.act(Op::Round).unwrap();
        world.disk.set_capacity(Some(world.disk.used()));
        assert!(world.keeper.lay().is_err());
        for seed in 0..50 {
            let left = world.disk.crash(&mut Draw::new(seed));
            left.set_capacity(None);
            world.recover(&left).unwrap();
        }
        world.keeper.checkpoint();
        assert!(world.disk.used() < used, "{} {used}", world.disk.used());
        for seed in 0..50 {
            let left = world.disk.crash(&mut Draw::new(seed));
            left.set_capacity(None);
            world.recover(&left).unwrap();
        }
        assert!(matches!(world.keeper.lay(), Ok(true)), "{remove}");
        world.act(Op::Checkpoint).unwrap();
        assert_eq!(Some(&Model::of(&world.log).unwrap()), world.states.last());
    }
}

/// A log is opened on a disk that has no space left but what the reserve has.
#[test]
fn a_full_disk_can_be_opened() {
    let mut world = World::with(small());
    world.keeper.retain();
    for op in [Op::AppendLarge(0), Op::CommitBatch, Op::Round] {
        world.act(op).unwrap();
    }
    let left = world.disk.copy();
    left.set_capacity(Some(left.used()));
    world.recover_full(&left);
}

/// A round is laid down in part: a topic is removed, and what comes behind has no space. Batches of the topic that come before
/// its removal are met again, and have no place any more.
#[test]
fn a_topic_that_is_removed_before_the_disk_is_full_stays_removed() {
    let mut world = World::new();
    let settle = [Op::CreateTopic, Op::Round, Op::Lay, Op::Lay, Op::Checkpoint];
    for op in settle {
        world.act(op).unwrap();
    }
    let batch = crate::log::testing::batch(&[b"a"], None, 5);
    let pending = world.log.submit("more-1", 0, batch.clone(), Acks::Durable);
    drop(pending.unwrap());
    world.frame(|model| model.append("more-1", 0, &batch));
    for op in [Op::DeleteTopic, Op::AppendLarge(0), Op::Round] {
        world.act(op).unwrap();
    }
    world.disk.set_capacity(Some(world.disk.used() + 200));
    assert!(world.keeper.lay().is_err());
    let hold = |world: &World| {
        assert_eq!(Some(&Model::of(&world.log).unwrap()), world.states.last());
        for seed in 0..50 {
            let left = world.disk.crash(&mut Draw::new(seed));
            left.set_capacity(None);
            world.recover(&left).unwrap();
        }
    };
    hold(&world);
    world.disk.set_capacity(None);
    world.keeper.checkpoint();
    hold(&world);
    world.keeper.close();
    hold(&world);
}

/// A segment is begun and the disk is full before it has anything; records before it are deleted, and it goes with them. When
/// there is space it is made again, and stays.
#[test]
fn a_segment_that_is_made_again_stays() {
    let mut world = World::new();
    let first = [
        Op::AppendLarge(0),
        Op::Round,
        Op::Lay,
        Op::Lay,
        Op::Checkpoint,
    ];
    for op in first {
        world.act(op).unwrap();
    }
    let before = world.log.describe("t", 0).unwrap().high_watermark;
    for op in [Op::AppendLarge(0), Op::Round] {
        world.act(op).unwrap();
    }
    world.log.shared().spare.give_up();
    world.disk.set_capacity(Some(world.disk.used()));
    assert!(world.keeper.lay().is_err());
    let (start, reply) = world.log.submit_start("t", 0, before).unwrap();
    assert!(reply.is_some() && start == before);
    world.frame(|model| {
        let records = &mut model.topics.get_mut("t").unwrap()[0];
        records.start = start;
        records.batches.retain(|(_, next, _)| *next > start);
    });
    // The file of the write-ahead log has a little room; here it is given.
    world.disk.set_capacity(Some(world.disk.used() + 400));
    world.act(Op::Round).unwrap();
    world.disk.set_capacity(Some(world.disk.used()));
    assert!(
        world.keeper.lay().is_err(),
        "the first segment's place is given up"
    );
    world.disk.set_capacity(None);
    assert!(matches!(world.keeper.lay(), Ok(true)));
    assert!(matches!(world.keeper.lay(), Ok(true)));
    world.act(Op::Checkpoint).unwrap();
    assert_eq!(Some(&Model::of(&world.log).unwrap()), world.states.last());
    for seed in 0..50 {
        let left = world.disk.crash(&mut Draw::new(seed));
        world.recover(&left).unwrap();
    }
    world.keeper.close();
    world.recover(&world.disk.copy()).unwrap();
}
