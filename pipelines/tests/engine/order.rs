//! Deadlines, priorities and the forming of batches.

use crate::probe::*;
use escala_pipelines::engine::Handle;
use escala_pipelines::task::Limits;
use escala_pipelines::{Kind, Options, Priority};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn a_deadline_is_answered_while_the_lane_is_busy_and_the_item_is_never_computed() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let (handle, gate, holder) = held(&engine, Probe::new("a", &log));
    let patient = handle.predict(plain(1), Options::default());
    let past = Options {
        deadline: Some(Instant::now()),
        ..Options::default()
    };
    assert_eq!(kind(wait(handle.predict(plain(2), past))), Kind::Deadline);
    // The gate is still closed: the answer can only come from the clerk.
    assert_eq!(
        kind(wait(handle.predict(
            plain(3),
            Options::within(Duration::from_millis(20))
        ))),
        Kind::Deadline
    );
    assert_eq!(handle.metrics().queue_items, 1);
    gate.open();
    assert!(wait(patient).is_ok());
    assert!(wait(holder).is_ok());
    assert_eq!(log.ran(), [0, 1]);
    assert_eq!(handle.metrics().expired, 2);
}

#[test]
fn urgent_items_overtake_and_within_a_priority_the_task_goes_first_that_had_less() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let limits = Limits {
        batch_items: 1,
        ..LIMITS
    };
    let other = engine
        .register(Probe {
            limits,
            ..Probe::new("b", &log)
        })
        .expect("a new task");
    other.load_blocking().expect("it loads");
    let (handle, gate, _holder) = held(
        &engine,
        Probe {
            limits,
            ..Probe::new("a", &log)
        },
    );
    let (batch, streaming, urgent) = (Priority::Batch, Priority::Streaming, Priority::Interactive);
    hold_for_some_time(&handle);
    let again = Gate::new();
    let submitted: Vec<_> = [
        (&handle, plain(1), batch),
        (&other, plain(2), streaming),
        (&handle, plain(3), urgent),
        (&other, plain(4), urgent),
        (&handle, item(5, Act::Hold(again.clone())), streaming),
        (&other, plain(6), batch),
        (&handle, plain(7), urgent),
    ]
    .into_iter()
    .map(|(handle, item, priority)| handle.predict(item, with(priority)))
    .collect();
    gate.open();
    again.wait_for_arrivals(1);
    hold_for_some_time(&handle);
    again.open();
    for prediction in submitted {
        assert!(wait(prediction).is_ok());
    }
    // The first task had the lane while it was held, both times.
    assert_eq!(log.ran(), [0, 4, 3, 7, 2, 5, 6, 1]);
}

/// Waits until another item of a task that is held is late.
fn hold_for_some_time(handle: &Handle<Probe>) {
    let hurried = Options::within(Duration::from_millis(300));
    let late = handle.predict(plain(99), hurried);
    assert_eq!(kind(wait(late)), Kind::Deadline);
}

/// However much waits for one task, another's item is next, though it came last.
#[test]
fn a_task_does_not_wait_for_all_that_waits_for_another() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let limits = Limits {
        batch_items: 1,
        ..LIMITS
    };
    let other = engine.register(Probe::new("b", &log)).expect("a new task");
    other.load_blocking().expect("it loads");
    let busy = Probe {
        limits,
        ..Probe::new("a", &log)
    };
    let (handle, gate, _holder) = held(&engine, busy);
    hold_for_some_time(&handle);
    let mut waiting: Vec<_> = (1..=4)
        .map(|id| handle.predict(plain(id), Options::default()))
        .collect();
    waiting.push(other.predict(plain(5), Options::default()));
    gate.open();
    for prediction in waiting {
        assert!(wait(prediction).is_ok());
    }
    assert_eq!(log.ran(), [0, 5, 1, 2, 3, 4]);
}

#[test]
fn what_waits_together_is_computed_together() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let (handle, gate, _holder) = held(&engine, Probe::new("a", &log));
    let costs = [3, 3, 2, 1, 9, 8, 1, 1];
    let waiting: Vec<_> = (1..)
        .zip(costs)
        .map(|(id, cost)| handle.predict(Item { cost, ..plain(id) }, Options::default()))
        .collect();
    gate.open();
    for prediction in waiting {
        assert!(wait(prediction).is_ok());
    }
    assert_eq!(
        log.runs.lock()[2..],
        [vec![1, 2, 3], vec![4], vec![5], vec![6], vec![7, 8]]
    );
}

#[test]
fn lanes_compute_at_the_same_time() {
    let (engine, log) = (engine(3), Arc::new(Log::default()));
    let limits = Limits {
        batch_items: 1,
        ..LIMITS
    };
    let handle = engine
        .register(Probe {
            limits,
            ..Probe::new("a", &log)
        })
        .expect("a new task");
    let gate = Gate::new();
    let held: Vec<_> = (0..3)
        .map(|id| handle.predict(item(id, Act::Hold(gate.clone())), Options::default()))
        .collect();
    gate.wait_for_arrivals(3);
    gate.open();
    for prediction in held {
        assert!(wait(prediction).is_ok());
    }
}
