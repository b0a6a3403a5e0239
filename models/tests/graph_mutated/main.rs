//! Damaged graph files: never a panic, never more memory than the limits state. The targets `onnx` and `tfjs` in
//! `models/fuzz` search further.

mod files;

use escala_models::graph::Graph;
use files::{LIMITS, TFJS, onnx, run, tfjs_tensor, transformer};
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what this thread holds and the most it held.
struct Counting;

thread_local! {
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    // A thread that is going away is not counted.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + bytes, most.max(now + bytes)));
    });
}

// SAFETY: everything is the system's; only numbers are kept.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What a run within the limits may hold: the workspace, the tensors that are no part of it (inputs, outputs,
/// constants and their packed copies) and the plan.
const HELD_AT_MOST: isize = 4 * (LIMITS.workspace as isize + 8 * LIMITS.elements as isize);

fn within_limits(read: impl FnOnce() -> u8) -> u8 {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    let reached = read();
    let most = HELD.with(|held| held.get().1);
    assert!(
        most - before <= HELD_AT_MOST,
        "{} bytes held, {HELD_AT_MOST} allowed",
        most - before
    );
    reached
}

#[test]
fn the_undamaged_files_run() {
    for file in [onnx(), transformer()] {
        assert_eq!(within_limits(|| run(Graph::read_onnx(&file, LIMITS))), 4);
    }
    let tfjs = Graph::read_tfjs(TFJS.as_bytes(), tfjs_tensor, LIMITS);
    assert_eq!(within_limits(|| run(tfjs)), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn damaged_onnx_files_are_errors_or_run(
        file in prop_oneof![Just(onnx()), Just(transformer())],
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let mut bytes = file;
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        within_limits(|| run(Graph::read_onnx(&bytes, LIMITS)));
    }

    #[test]
    fn damaged_topologies_are_errors_or_run(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), prop_oneof![b'0'..=b'9', b'a'..=b'p', any::<u8>()]), 1..5),
        swapped in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        // Single letters and digits are names, axes and sizes: most changes keep the text readable.
        let mut bytes = TFJS.as_bytes().to_vec();
        let places: Vec<usize> = (1..bytes.len() - 1)
            .filter(|&at| bytes[at].is_ascii_alphanumeric() && bytes[at - 1] == b'"' && bytes[at + 1] == b'"')
            .collect();
        for (at, value) in changes {
            bytes[places[at.index(places.len())]] = value;
        }
        if let Some((a, b)) = swapped {
            bytes.swap(places[a.index(places.len())], places[b.index(places.len())]);
        }
        within_limits(|| run(Graph::read_tfjs(&bytes, tfjs_tensor, LIMITS)));
    }
}
