//! Bits that flip, files that end too early and pages of zeros, in a log that was closed or was not: what is served is
//! right, or it is refused with the file and the place named.

use super::model::Model;
use super::world::{Op, World};
use crate::log::disk::simulated::Simulated;
use crate::log::{Error, Log, check, repair};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

/// A log with several segments, groups and a deleted topic.
fn filled() -> World {
    let mut world = World::new();
    let ops = [
        Op::AppendLarge(0),
        Op::AppendLarge(1),
        Op::Within(0),
        Op::Within(1),
        Op::Abort,
        Op::CommitBatch,
        Op::Within(0),
        Op::OffsetsWithin,
        Op::Commit,
        Op::Round,
        Op::CreateTopic,
        Op::AppendInOrder,
        Op::AppendLarge(0),
        Op::Round,
        Op::Lay,
        Op::Lay,
        Op::CommitOffsets,
        Op::AppendLarge(1),
        Op::AppendLarge(0),
        Op::CreateTopic,
        Op::DeleteTopic,
        Op::Round,
        Op::Append(0),
        Op::AppendLarge(0),
        Op::Within(1),
        Op::Append(1),
        Op::Round,
    ];
    for op in ops {
        world.act(op).unwrap();
    }
    world
}

fn closed() -> (World, Model) {
    let mut world = filled();
    while matches!(world.keeper.lay(), Ok(true)) {}
    world.keeper.close();
    world.settle();
    assert_eq!(world.states.len(), 1);
    let model = world.states[0].clone();
    (world, model)
}

/// What damage came to.
#[derive(Debug)]
enum Outcome {
    Harmless,
    /// The log was opened and refuses something.
    Refused(Vec<Error>),
    NotOpened(Error),
}

/// Opens a damaged log: everything that it gives must be what the model has.
fn open(world: &World, disk: &Simulated, model: &Model) -> Outcome {
    let opened = Log::open_stepped(Arc::new(disk.clone()), world.options.clone());
    let log = match opened {
        Ok((log, _, _)) => log,
        Err(error @ Error::Damaged { .. }) => return Outcome::NotOpened(error),
        Err(error) => panic!("{error}"),
    };
    let mut refused = Vec::new();
    let found = Model::as_far_as(&log, model, true, &mut refused);
    match refused.is_empty() {
        true => {
            assert_eq!(&found, model);
            Outcome::Harmless
        }
        false => {
            for error in &refused {
                assert!(matches!(error, Error::Damaged { .. }), "{error}");
            }
            Outcome::Refused(refused)
        }
    }
}

/// After a repair the log opens, and has nothing but what the model has.
fn repaired(world: &World, disk: &Simulated, model: &Model) -> usize {
    let lost = repair(Arc::new(disk.clone()), world.options.clone()).unwrap();
    assert!(
        check(Arc::new(disk.clone()), &world.options)
            .unwrap()
            .is_empty()
    );
    let (log, mut committer, _) =
        Log::open_stepped(Arc::new(disk.clone()), world.options.clone()).unwrap();
    let mut refused = Vec::new();
    Model::as_far_as(&log, model, false, &mut refused);
    assert!(refused.is_empty(), "{refused:?}");
    for topic in log.topics() {
        let batch = crate::log::testing::batch(&[b"after"], None, 9);
        let _pending = log
            .submit(&topic.name, 0, batch, crate::log::Acks::Durable)
            .unwrap();
    }
    committer.round();
    log.check().unwrap();
    lost.len()
}

fn path_of(error: &Error) -> &str {
    match error {
        Error::Damaged { path, .. } => path,
        error => panic!("{error}"),
    }
}

/// Every fifth byte, unless all are asked for.
fn step() -> usize {
    match std::env::var_os("ESCALA_LOG_EVERY_BYTE") {
        Some(_) => 1,
        None => 5,
    }
}

/// Bytes of every file of a closed log, flipped.
#[test]
fn flipped_bytes_of_a_closed_log_are_harmless_or_told() {
    let (world, model) = closed();
    assert!(matches!(
        open(&world, &world.disk.copy(), &model),
        Outcome::Harmless
    ));
    assert!(
        check(Arc::new(world.disk.copy()), &world.options)
            .unwrap()
            .is_empty()
    );
    let (mut flips, mut told) = (0, 0);
    let step = step();
    for (path, length) in world.disk.files() {
        for at in (0..length).step_by(step) {
            let disk = world.disk.copy();
            disk.damage(&path, |content| content[at] ^= 1 << (at % 8));
            let listed = check(Arc::new(disk.copy()), &world.options).unwrap();
            let names_it = listed.iter().any(|error| path_of(error) == path);
            let outcome = open(&world, &disk.copy(), &model);
            flips += 1;
            let what = format!("{path} at {at}: {outcome:?}, {listed:?}");
            match path.as_str() {
                path if path.starts_with("topics/") && path.ends_with(".log") => {
                    assert!(names_it, "{what}");
                    let Outcome::Refused(errors) = &outcome else {
                        panic!("{what}");
                    };
                    assert!(errors.iter().any(|error| path_of(error) == path), "{what}");
                    told += 1;
                    if at % 25 == 0 {
                        assert!(repaired(&world, &disk, &model) > 0);
                    }
                }
                path if path.starts_with("checkpoint") => {
                    assert!(names_it, "{what}");
                    assert!(matches!(outcome, Outcome::Harmless), "{what}");
                }
                _ => assert!(matches!(outcome, Outcome::Harmless), "{what}"),
            }
        }
    }
    assert!(
        flips > 10_000 / step && told > 5000 / step,
        "{flips} {told}"
    );
}

/// Pages of zeros and files that end too early.
#[test]
fn zeros_and_short_files_of_a_closed_log_are_harmless_or_told() {
    let (world, model) = closed();
    let mut random = StdRng::seed_from_u64(7);
    let mut told = 0;
    for round in 0..100 {
        for (path, length) in world.disk.files() {
            let disk = world.disk.copy();
            let at = random.random_range(0..length.max(1));
            disk.damage(&path, |content| match round % 2 {
                0 => content.truncate(at),
                _ => {
                    let end = content.len().min(at + 512);
                    content[at..end].fill(0);
                }
            });
            if disk_is_same(&disk, &world.disk, &path) {
                continue;
            }
            let outcome = open(&world, &disk.copy(), &model);
            let segment = path.starts_with("topics/") && path.ends_with(".log");
            match (segment, &outcome) {
                (true, Outcome::Refused(errors)) => {
                    assert!(errors.iter().any(|error| path_of(error) == path));
                    assert!(repaired(&world, &disk, &model) > 0);
                    told += 1;
                }
                (false, Outcome::Harmless) => {}
                _ => panic!("{path} {at}: {outcome:?}"),
            }
        }
    }
    assert!(told > 150, "{told}");
}

fn disk_is_same(a: &Simulated, b: &Simulated, path: &str) -> bool {
    let mut contents = [Vec::new(), Vec::new()];
    for (disk, content) in [a, b].into_iter().zip(&mut contents) {
        disk.copy().damage(path, |all| content.clone_from(all));
    }
    contents[0] == contents[1]
}

/// Both checkpoints: nothing is guessed.
#[test]
fn a_log_without_a_checkpoint_is_not_taken_for_a_new_one() {
    let (world, model) = closed();
    for damage in [true, false] {
        let disk = world.disk.copy();
        for path in ["checkpoint", "checkpoint.copy"] {
            match damage {
                true => disk.damage(path, |content| content[30] ^= 1),
                false => crate::log::disk::Disk::remove(&disk, path).unwrap(),
            }
        }
        let outcome = open(&world, &disk, &model);
        let Outcome::NotOpened(error) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(path_of(&error).starts_with("checkpoint"));
    }
}

/// Bytes of the write-ahead log of a log that was not closed, flipped: what was acknowledged before the last round
/// is there or is told to be missing, by partition if its frame's head says which.
#[test]
fn flipped_bytes_of_the_write_ahead_log_are_told() {
    let mut world = filled();
    // The last round alone may be taken for a torn end: nothing was written after it.
    let last = world.states.len() - 1;
    let whole = world.states[last].clone();
    world.settle();
    let step = step();
    let (mut partitions, mut logs, mut torn) = (0, 0, 0);
    for (path, length) in world.disk.files() {
        if !path.starts_with("wal/") {
            continue;
        }
        for at in (0..length).step_by(step) {
            let disk = world.disk.copy();
            disk.damage(&path, |content| content[at] ^= 1 << (at % 8));
            let opened = Log::open_stepped(Arc::new(disk.copy()), world.options.clone());
            let log = match opened {
                Err(error) => {
                    assert_eq!(path_of(&error), path);
                    assert!(repaired(&world, &disk, &whole) > 0);
                    logs += 1;
                    continue;
                }
                Ok((log, _, _)) => log,
            };
            let mut refused = Vec::new();
            let found = Model::as_far_as(&log, &whole, true, &mut refused);
            if refused.is_empty() && found != whole {
                // A frame of the last round: it and those behind it were dropped.
                assert!(log.durable_lsn() >= world.before_last_round, "{path} {at}");
                torn += 1;
            }
            if !refused.is_empty() {
                assert!(
                    refused.iter().all(|error| path_of(error) == path),
                    "{refused:?}"
                );
                assert_eq!(refused.len(), 1, "one partition: {refused:?}");
                // It is remembered, and the file is kept.
                let again = Log::open_stepped(Arc::new(disk.copy()), world.options.clone());
                assert!(again.is_ok());
                assert!(repaired(&world, &disk, &whole) > 0);
                partitions += 1;
            }
        }
    }
    println!(
        "{partitions} took a partition out of use, {logs} the log, {torn} were taken for a torn end"
    );
    assert!(partitions > 1000 / step && logs > 200 / step && torn > 100 / step);
}
