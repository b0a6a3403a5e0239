//! A team of compute threads that runs one piece of work together.
//!
//! A fork and a join for every small operation costs more than a second core gives (one 128x384x384
//! product takes longer with two threads than with one when they are woken for it). So a network runs
//! as one region: every member enters [`Team::run`] once, works on its own slice, and meets the others
//! at [`Member::barrier`] only where it needs their results. Members wait by spinning for a short while,
//! which costs nothing when the others arrive within microseconds, and then yield their core.
//!
//! Promises: `run` returns after every member has left the region; a panic of one member releases the
//! others and is raised again in the caller; a team of one thread runs in the caller without any
//! synchronisation.

use crate::threads;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Turns of the spin loop before a waiting member gives its core away (some tens of microseconds).
const SPINS: u32 = 4_000;

/// A fixed set of threads, the caller of [`Team::run`] being the first of them.
pub struct Team {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

/// One thread's view of the region it is in.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    index: usize,
    count: usize,
    /// What a barrier needs; absent for a member that is alone.
    shared: Option<&'a Shared>,
}

/// The region all members run, with its lifetime erased while they are inside it.
type Region = *const (dyn Fn(Member<'_>) + Sync);

struct Job {
    /// Grows by one for every region.
    generation: usize,
    region: Option<SendRegion>,
    /// Helpers that have not left the current region.
    busy: usize,
    panic: Option<Box<dyn Any + Send>>,
    stop: bool,
}

#[derive(Clone, Copy)]
struct SendRegion(Region);
// SAFETY: the pointee is `Sync` and outlives its use: `run` does not return before `busy` is zero.
unsafe impl Send for SendRegion {}

struct Shared {
    threads: usize,
    job: Mutex<Job>,
    wake: Condvar,
    done: Condvar,
    /// Copy of `job.generation` and `job.busy` that can be spun on without the lock.
    generation: AtomicUsize,
    busy: AtomicUsize,
    /// Held by the caller for the whole region: two callers take turns.
    region_lock: Mutex<()>,
    arrived: AtomicUsize,
    phase: AtomicUsize,
    poisoned: AtomicBool,
}

/// Payload with which the others leave a region after one member panicked.
struct Abandoned;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Team {
    /// A team of `threads` members (at least one), the caller of [`Team::run`] included. It is for everybody, whoever makes it
    /// ([`threads`]).
    pub fn new(threads: usize) -> Self {
        Self::begun(threads, threads::spawn)
    }

    /// A team of `threads` members (at least one) for the calling thread alone: they have its place among other threads.
    pub fn own(threads: usize) -> Self {
        Self::begun(threads, |name, work| {
            std::thread::Builder::new().name(name).spawn(work)
        })
    }

    fn begun(
        threads: usize,
        spawn: impl Fn(String, Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>>,
    ) -> Self {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            threads,
            job: Mutex::new(Job {
                generation: 0,
                region: None,
                busy: 0,
                panic: None,
                stop: false,
            }),
            wake: Condvar::new(),
            done: Condvar::new(),
            generation: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            region_lock: Mutex::new(()),
            arrived: AtomicUsize::new(0),
            phase: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
        });
        let helpers = (1..threads)
            .filter_map(|index| {
                let shared = shared.clone();
                let work = Box::new(move || help(index, &shared));
                spawn(format!("compute-{index}"), work).ok()
            })
            .collect::<Vec<_>>();
        // Too few threads on this machine: be a smaller team rather than wait for members that do not exist.
        if helpers.len() + 1 != threads {
            drop(Team { shared, helpers });
            return Team::new(1);
        }
        Team { shared, helpers }
    }

    /// Number of members.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// Runs `region` once on every member and returns when all have left it.
    ///
    /// # Panics
    /// Raises the panic of the first member that panicked.
    pub fn run<F: Fn(Member<'_>) + Sync>(&self, region: F) {
        let shared = &*self.shared;
        if shared.threads == 1 {
            return region(Member::SOLO);
        }
        let _turn = lock(&shared.region_lock);
        shared.poisoned.store(false, Ordering::Relaxed);
        shared.arrived.store(0, Ordering::Relaxed);
        let erased: &(dyn Fn(Member<'_>) + Sync) = &region;
        // SAFETY: only the lifetime changes; `region` lives until this function returns, and it does
        // not return (nor unwind: the call below is caught) before every helper has left the region.
        let erased: Region =
            unsafe { std::mem::transmute::<&(dyn Fn(Member<'_>) + Sync), Region>(erased) };
        {
            let mut job = lock(&shared.job);
            job.generation += 1;
            job.region = Some(SendRegion(erased));
            job.busy = shared.threads - 1;
            job.panic = None;
            shared.busy.store(job.busy, Ordering::Release);
            shared.generation.store(job.generation, Ordering::Release);
        }
        shared.wake.notify_all();
        let mine = catch_unwind(AssertUnwindSafe(|| region(shared.member(0))));
        if mine.is_err() {
            shared.poisoned.store(true, Ordering::Release);
        }
        let mut spins = 0;
        while shared.busy.load(Ordering::Acquire) != 0 && spins < SPINS {
            std::hint::spin_loop();
            spins += 1;
        }
        let mut job = lock(&shared.job);
        while job.busy != 0 {
            job = shared
                .done
                .wait(job)
                .unwrap_or_else(PoisonError::into_inner);
        }
        job.region = None;
        let theirs = job.panic.take();
        drop(job);
        match (mine, theirs) {
            (Ok(()), None) => {}
            (Err(panic), Some(other)) if panic.is::<Abandoned>() => resume_unwind(other),
            (Err(panic), _) | (Ok(()), Some(panic)) => resume_unwind(panic),
        }
    }

    /// Calls `work` for every index below `count`, each once, on whichever member is free.
    pub fn for_each<F: Fn(usize) + Sync>(&self, count: usize, work: F) {
        if count <= 1 || self.threads() == 1 {
            return (0..count).for_each(work);
        }
        let next = AtomicUsize::new(0);
        self.run(|_| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return;
                }
                work(index);
            }
        });
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        lock(&self.shared.job).stop = true;
        self.shared.wake.notify_all();
        for helper in self.helpers.drain(..) {
            // A helper's panics were caught and handed to the caller of `run`.
            let _ = helper.join();
        }
    }
}

fn help(index: usize, shared: &Shared) {
    let mut seen = 0;
    loop {
        let mut spins = 0;
        while shared.generation.load(Ordering::Acquire) == seen && spins < SPINS {
            std::hint::spin_loop();
            spins += 1;
        }
        let region = {
            let mut job = lock(&shared.job);
            loop {
                if job.stop {
                    return;
                }
                if job.generation != seen {
                    if let Some(region) = job.region {
                        seen = job.generation;
                        break region;
                    }
                    seen = job.generation;
                }
                job = shared
                    .wake
                    .wait(job)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        };
        // SAFETY: `run` keeps the region alive until this helper has counted itself out of `busy`.
        let region = unsafe { &*region.0 };
        let result = catch_unwind(AssertUnwindSafe(|| region(shared.member(index))));
        let mut job = lock(&shared.job);
        if let Err(panic) = result {
            shared.poisoned.store(true, Ordering::Release);
            if job.panic.is_none() && !panic.is::<Abandoned>() {
                job.panic = Some(panic);
            }
        }
        job.busy -= 1;
        shared.busy.store(job.busy, Ordering::Release);
        if job.busy == 0 {
            shared.done.notify_one();
        }
    }
}

impl Shared {
    fn member(&self, index: usize) -> Member<'_> {
        Member {
            index,
            count: self.threads,
            shared: Some(self),
        }
    }
}

impl Member<'_> {
    /// A member without others: all slices are whole and barriers are free. For work that is a slice
    /// already, such as one image of a batch.
    pub const SOLO: Member<'static> = Member {
        index: 0,
        count: 1,
        shared: None,
    };

    /// This member's number, below [`Member::count`].
    pub fn index(&self) -> usize {
        self.index
    }

    /// Number of members in the region.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Waits until every member has arrived; what the others wrote before is visible after.
    pub fn barrier(&self) {
        let Some(shared) = self.shared else { return };
        let phase = shared.phase.load(Ordering::Acquire);
        if shared.arrived.fetch_add(1, Ordering::AcqRel) + 1 == shared.threads {
            shared.arrived.store(0, Ordering::Relaxed);
            shared.phase.store(phase.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut spins = 0;
        while shared.phase.load(Ordering::Acquire) == phase {
            if shared.poisoned.load(Ordering::Acquire) {
                resume_unwind(Box::new(Abandoned));
            }
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// This member's part of `0..len`, in pieces of whole `granule`s.
    pub fn slice(&self, len: usize, granule: usize) -> std::ops::Range<usize> {
        let granule = granule.max(1);
        let granules = len.div_ceil(granule);
        let start = granules * self.index / self.count() * granule;
        let end = granules * (self.index + 1) / self.count() * granule;
        start.min(len)..end.min(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_runs_once_and_sees_the_others_after_a_barrier() {
        for threads in 1..=4 {
            let team = Team::new(threads);
            for _ in 0..200 {
                let cells: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
                team.run(|member| {
                    for round in 1..=5 {
                        cells[member.index()].store(round, Ordering::Relaxed);
                        member.barrier();
                        assert!(
                            cells
                                .iter()
                                .all(|cell| cell.load(Ordering::Relaxed) == round)
                        );
                        member.barrier();
                    }
                });
                assert!(cells.iter().all(|cell| cell.load(Ordering::Relaxed) == 5));
            }
        }
    }

    #[test]
    fn for_each_covers_every_index_once() {
        let team = Team::new(3);
        let hits: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
        team.for_each(hits.len(), |index| {
            hits[index].fetch_add(1, Ordering::Relaxed);
        });
        assert!(hits.iter().all(|hit| hit.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_lives_on() {
        let team = Team::new(3);
        for guilty in 0..3 {
            let result = catch_unwind(AssertUnwindSafe(|| {
                team.run(|member| {
                    if member.index() == guilty {
                        panic!("member {guilty}");
                    }
                    member.barrier();
                });
            }));
            let panic = result.expect_err("the panic must arrive");
            assert_eq!(
                panic.downcast_ref::<String>().map(String::as_str),
                Some(format!("member {guilty}").as_str())
            );
            let sum = AtomicUsize::new(0);
            team.run(|member| {
                sum.fetch_add(member.index(), Ordering::Relaxed);
            });
            assert_eq!(sum.load(Ordering::Relaxed), 3);
        }
    }

    #[test]
    fn slices_cover_the_range_without_overlap() {
        let team = Team::new(4);
        for len in [0, 1, 5, 64, 1000] {
            for granule in [1, 6, 14] {
                let hits: Vec<AtomicUsize> = (0..len).map(|_| AtomicUsize::new(0)).collect();
                team.run(|member| {
                    for index in member.slice(len, granule) {
                        hits[index].fetch_add(1, Ordering::Relaxed);
                    }
                });
                assert!(hits.iter().all(|hit| hit.load(Ordering::Relaxed) == 1));
            }
        }
    }
}
