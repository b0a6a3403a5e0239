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
        let lives = lives(run, draw);
        match std::panic::catch_unwind(|| live(begin, &lives)) {
            Ok(count) => recoveries += count,
            Err(panic) => {
                println!("ESCALA_LOG_SEED={run} ESCALA_LOG_RUNS=1 fails, and so do these alone:");
                println!("{:#?}", shrunk(lives, |lives| fails(begin, lives)));
                std::panic::resume_unwind(panic);
            }
        }
    }
    let rate = f64::from(recoveries) / started.elapsed().as_secs_f64();
    println!("{recoveries} recoveries, {rate:.0} a second");
    assert!(u64::from(recoveries) >= runs * 5);
}

/// What happens between two openings of the log that succeed.
#[derive(Debug, Clone)]
struct Life {
    /// Operations of the disk until the power goes off.
    cut: u64,
    ops: Vec<Op>,
    /// Says what is left.
    crash: u64,
    /// While the log is opened the power goes off again: after so many operations, and what is left then.
    again: Vec<(u64, u64)>,
}

fn lives(seed: u64, draw: fn(&mut StdRng) -> Op) -> Vec<Life> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut life = |_| Life {
        cut: random.random_range(0..200),
        ops: (0..400).map(|_| draw(&mut random)).collect(),
        crash: random.random(),
        again: std::iter::from_fn(|| {
            let again = random.random_bool(0.5);
            again.then(|| (random.random_range(0..30), random.random()))
        })
        .collect(),
    };
    (0..6).map(&mut life).collect()
}

/// Lives one after the other; gives how often the log was recovered.
fn live(begin: fn() -> World, lives: &[Life]) -> u32 {
    let mut world = begin();
    let mut recoveries = 0;
    for (count, life) in lives.iter().enumerate() {
        world.disk.cut_at(world.disk.operations() + life.cut);
        for op in &life.ops {
            if world.act(*op).is_err() {
                break;
            }
            world.settle();
        }
        let mut left = world.disk.crash(&mut Draw::new(life.crash));
        for (cut, crash) in &life.again {
            left.cut_at(left.operations() + cut);
            let opened = world.recover(&left);
            recoveries += 1;
            if opened.is_ok() {
                left = left.copy();
                break;
            }
            left = left.crash(&mut Draw::new(*crash));
        }
        recoveries += 2;
        if let Err(error) = world.go_on(left) {
            panic!("life {count}: {error}");
        }
    }
    recoveries
}

fn fails(begin: fn() -> World, lives: &[Life]) -> bool {
    std::panic::catch_unwind(|| live(begin, lives)).is_err()
}

/// The least of these lives that still fails: no life, no crash while the log is opened and no operation can be left out, nor
/// the power go off sooner by half.
fn shrunk(mut lives: Vec<Life>, fails: impl Fn(&[Life]) -> bool) -> Vec<Life> {
    loop {
        let before = size(&lives);
        lives = without(lives, |lives| fails(lives));
        for at in 0..lives.len() {
            let with = |lives: &[Life], life: Life| {
                let mut lives = lives.to_vec();
                lives[at] = life;
                lives
            };
            let life = lives[at].clone();
            let ops = without(life.ops.clone(), |ops| {
                let ops = ops.to_vec();
                fails(&with(
                    &lives,
                    Life {
                        ops,
                        ..life.clone()
                    },
                ))
            });
            let life = Life { ops, ..life };
            let again = without(life.again.clone(), |again| {
                let again = again.to_vec();
                fails(&with(
                    &lives,
                    Life {
                        again,
                        ..life.clone()
                    },
                ))
            });
            let mut life = Life { again, ..life };
            while life.cut > 0 {
                let sooner = Life {
                    cut: life.cut / 2,
                    ..life.clone()
                };
                if !fails(&with(&lives, sooner.clone())) {
                    break;
                }
                life = sooner;
            }
            lives[at] = life;
        }
        if size(&lives) == before {
            return lives;
        }
    }
}

fn size(lives: &[Life]) -> (usize, usize, u64) {
    let parts = lives
        .iter()
        .map(|life| 1 + life.ops.len() + life.again.len());
    let cuts = lives.iter().map(|life| life.cut);
    (lives.len(), parts.sum(), cuts.sum())
}

/// What is left of a list when whatever is not needed to fail is left out: halves, quarters and so on, in the end one by one.
fn without<T: Clone>(mut list: Vec<T>, fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut piece = list.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at < list.len() {
            let mut fewer = list.clone();
            fewer.drain(at..list.len().min(at + piece));
            match fails(&fewer) {
                true => list = fewer,
                false => at += piece,
            }
        }
        piece /= 2;
    }
    list
}

/// On a disk that lies every long run fails; what it comes down to is an append or two and a crash.
#[test]
fn a_run_that_fails_is_shrunk() {
    fn liar() -> World {
        let world = World::new();
        world.disk.lie();
        world
    }
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let least = (1..).find_map(|seed| {
        let lives = lives(seed, Op::draw);
        fails(liar, &lives).then(|| shrunk(lives, |lives| fails(liar, lives)))
    });
    let still = least.as_ref().map(|least| fails(liar, least));
    std::panic::set_hook(hook);
    let (least, still) = (least.unwrap(), still.unwrap());
    assert!(still);
    assert_eq!(least.len(), 1, "{least:#?}");
    assert!(
        least[0].ops.len() <= 4 && least[0].again.is_empty(),
        "{least:#?}"
    );
}
