//! The power goes off.

use super::world::{Op, World};
use crate::log::disk::simulated::{Draw, Every};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Instant;

/// Images of one crash that are gone through one after the other; of crashes that have more, some are drawn.
const MOST: usize = 60;
const DRAWN: u64 = 20;

fn number(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.and_then(|set| set.parse().ok()).unwrap_or(otherwise)
}

/// Every sequence of a few operations, the power going off at every operation of the disk that the last of them makes,
/// with what it may leave.
#[test]
fn every_short_sequence_survives_every_crash() {
    let depth = number("ESCALA_LOG_DEPTH", 2) as usize;
    let started = Instant::now();
    let (mut recoveries, mut crashes) = (0u64, 0u64);
    for length in 1..=depth {
        let count = Op::ALL.len().pow(length as u32);
        for sequence in 0..count {
            let ops: Vec<Op> = (0..length)
                .map(|i| Op::ALL[sequence / Op::ALL.len().pow(i as u32) % Op::ALL.len()])
                .chain([Op::Round, Op::Lay, Op::Checkpoint])
                .collect();
            for last in length - 1..ops.len() {
                recoveries += crash_in(World::new, &ops[..=last], &mut crashes);
                if length < depth {
                    recoveries += crash_in(World::relaxed, &ops[..=last], &mut crashes);
                }
            }
        }
    }
    let rate = recoveries as f64 / started.elapsed().as_secs_f64();
    println!("{crashes} crashes, {recoveries} recoveries, {rate:.0} a second");
    assert!(
        crashes > 1000 && recoveries > 10_000,
        "{crashes} {recoveries}"
    );
}

/// The same for a topic that compacts: sequences of a few operations, then a compaction and a checkpoint, the power going
/// off at every operation of the disk that any of the last makes.
#[test]
fn every_compaction_survives_every_crash() {
    let depth = number("ESCALA_LOG_DEPTH", 2) as usize;
    let started = Instant::now();
    let (mut recoveries, mut crashes) = (0u64, 0u64);
    for length in 0..=depth {
        let count = Op::KEYED.len().pow(length as u32);
        for sequence in 0..count {
            let ops: Vec<Op> = (0..length)
                .map(|i| Op::KEYED[sequence / Op::KEYED.len().pow(i as u32) % Op::KEYED.len()])
                .chain([Op::Compact, Op::Checkpoint])
                .collect();
            for last in length..ops.len() {
                recoveries += crash_in(World::keyed, &ops[..=last], &mut crashes);
            }
        }
    }
    let rate = recoveries as f64 / started.elapsed().as_secs_f64();
    println!("{crashes} crashes, {recoveries} recoveries, {rate:.0} a second");
    assert!(crashes > 500 && recoveries > 5000, "{crashes} {recoveries}");
}

/// Crashes at every operation of the disk that the last of these makes.
fn crash_in(begin: fn() -> World, ops: &[Op], crashes: &mut u64) -> u64 {
    let (before, last) = ops.split_at(ops.len() - 1);
    let mut recoveries = 0;
    for cut in 0.. {
        let mut world = begin();
        for op in before {
            world.act(*op).unwrap();
        }
        world.disk.cut_at(world.disk.operations() + cut);
        if world.act(last[0]).is_ok() && cut > 0 {
            break;
        }
        *crashes += 1;
        recoveries += recover_all(&world, || format!("{ops:?} cut at {cut}"));
        if world.log.check().is_ok() {
            break;
        }
    }
    recoveries
}

/// Recovers from everything that a crash may leave.
fn recover_all(world: &World, what: impl Fn() -> String) -> u64 {
    let recover = |left, how: String| {
        let checked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.recover(&left)));
        match checked {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => panic!("{}, {how}: {error}", what()),
            Err(_) => panic!("{}, {how}", what()),
        }
    };
    let mut every = Every::default();
    for count in 1..=MOST {
        recover(world.disk.crash(&mut every), format!("image {count}"));
        if !every.next() {
            return count as u64;
        }
    }
    for seed in 0..DRAWN {
        let left = world.disk.crash(&mut Draw::new(seed));
        recover(left, format!("seed {seed}"));
    }
    MOST as u64 + DRAWN
}

/// Long runs with crashes, also while the log is opened after a crash.
#[test]
fn long_runs_survive_crashes() {
    long_runs(World::new, Op::draw);
}

/// Long runs with topics that need not be synced at once.
#[test]
fn long_runs_without_syncs_survive_crashes() {
    long_runs(World::relaxed, Op::draw);
}

/// Long runs with a topic that compacts.
#[test]
fn long_runs_of_compaction_survive_crashes() {
    long_runs(World::keyed, Op::draw_keyed);
}

fn long_runs(begin: fn() -> World, draw: fn(&mut StdRng) -> Op) {
    let seed = number("ESCALA_LOG_SEED", 1);
    let runs = number("ESCALA_LOG_RUNS", 300);
    let started = Instant::now();
    let mut recoveries = 0;
    for run in seed..seed + runs {
        let result = std::panic::catch_unwind(|| long_run(run, begin, draw));
        match result {
            Ok(count) => recoveries += count,
            Err(panic) => {
                println!("ESCALA_LOG_SEED={run} ESCALA_LOG_RUNS=1 fails");
                std::panic::resume_unwind(panic);
            }
        }
    }
    let rate = f64::from(recoveries) / started.elapsed().as_secs_f64();
    println!("{recoveries} recoveries, {rate:.0} a second");
    assert!(u64::from(recoveries) >= runs * 5);
}

fn long_run(seed: u64, begin: fn() -> World, draw: fn(&mut StdRng) -> Op) -> u32 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = begin();
    let mut recoveries = 0;
    for life in 0..6 {
        let cut = world.disk.operations() + random.random_range(0..200);
        world.disk.cut_at(cut);
        let mut acted = 0;
        while acted < 400 && world.act(draw(&mut random)).is_ok() {
            acted += 1;
            world.settle();
        }
        let mut left = world.disk.crash(&mut Draw::new(random.random()));
        // The power goes off again while the log is opened.
        while random.random_bool(0.5) {
            left.cut_at(left.operations() + random.random_range(0..30));
            let opened = world.recover(&left);
            recoveries += 1;
            if opened.is_ok() {
                left = left.copy();
                break;
            }
            left = left.crash(&mut Draw::new(random.random()));
        }
        recoveries += 2;
        if let Err(error) = world.go_on(left) {
            panic!("life {life}: {error}");
        }
    }
    recoveries
}
