//! Queues are bounded, and a caller that goes makes room.

use crate::probe::*;
use escala_pipelines::task::Limits;
use escala_pipelines::{Kind, Options, Priority, Result};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

/// Also where no item is a large part of what a batch may cost, because a batch has one only.
#[test]
fn what_cannot_be_computed_in_its_time_is_refused_at_once() {
    refuses_what_is_late(4);
    refuses_what_is_late(32);
}

fn refuses_what_is_late(batch_cost: u64) {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let limits = Limits {
        batch_cost,
        batch_items: 1,
        ..LIMITS
    };
    let probe = Probe {
        limits,
        ..Probe::new("a", &log)
    };
    let (handle, gate, holder) = held(&engine, probe);
    // The first item takes half a second: as long as it takes until the other is late.
    let late = handle.predict(plain(1), Options::within(Duration::from_millis(500)));
    assert_eq!(kind(wait(late)), Kind::Deadline);
    gate.open();
    assert!(wait(holder).is_ok());
    let gate = Gate::new();
    let mut waiting = vec![handle.predict(item(2, Act::Hold(gate.clone())), Options::default())];
    gate.wait_for_arrivals(1);
    waiting.extend((3..=5).map(|id| handle.predict(plain(id), Options::default())));
    let hurried = Options::within(Duration::from_millis(1_000));
    let refused = wait(handle.predict(plain(6), hurried)).expect_err("three items are before it");
    assert_eq!(refused.kind(), Kind::Overloaded, "{refused}");
    assert!(refused.retry_after().is_some_and(|after| !after.is_zero()));
    let many = handle.predict_many(vec![plain(7), plain(8)], hurried);
    for answer in wait(many) {
        assert_eq!(kind(answer), Kind::Overloaded);
    }
    // Who has time has a place.
    waiting.push(handle.predict(plain(9), Options::default()));
    gate.open();
    for prediction in waiting {
        assert!(wait(prediction).is_ok());
    }
    assert_eq!(log.ran(), [0, 2, 3, 4, 5, 9]);
}

/// A large picture may be as quick as a small one: where few wait, what they cost alone is no reason to refuse.
#[test]
fn few_items_are_waited_for_whatever_they_cost() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let limits = Limits {
        batch_items: 1,
        ..LIMITS
    };
    let probe = Probe {
        limits,
        ..Probe::new("a", &log)
    };
    let (handle, gate, holder) = held(&engine, probe);
    let late = handle.predict(plain(1), Options::within(Duration::from_millis(500)));
    assert_eq!(kind(wait(late)), Kind::Deadline);
    gate.open();
    assert!(wait(holder).is_ok());
    let gate = Gate::new();
    let held = handle.predict(item(2, Act::Hold(gate.clone())), Options::default());
    gate.wait_for_arrivals(1);
    let dear = Item {
        cost: 50,
        ..plain(3)
    };
    let dear = handle.predict(dear, Options::default());
    let hurried = handle.predict(plain(4), Options::within(Duration::from_secs(10)));
    gate.open();
    for prediction in [held, dear, hurried] {
        assert!(wait(prediction).is_ok());
    }
    assert_eq!(log.ran(), [0, 2, 3, 4]);
}

#[test]
fn a_full_queue_refuses_and_a_caller_that_goes_makes_room_at_once() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let limits = Limits {
        queue_items: 4,
        ..LIMITS
    };
    let (handle, gate, holder) = held(
        &engine,
        Probe {
            limits,
            ..Probe::new("a", &log)
        },
    );
    let mut waiting: Vec<_> = (1..=4)
        .map(|id| handle.predict(plain(id), Options::default()))
        .collect();
    let refused =
        wait(handle.predict(plain(5), Options::default())).expect_err("the queue is full");
    assert_eq!(refused.kind(), Kind::Overloaded);
    assert!(
        refused
            .retry_after()
            .is_some_and(|after| after > Duration::ZERO)
    );
    drop(waiting.remove(1));
    assert_eq!(
        (handle.metrics().queue_items, handle.metrics().queue_cost),
        (3, 3)
    );
    waiting.push(handle.predict(plain(6), Options::default()));
    assert_eq!(handle.metrics().queue_items, 4);
    gate.open();
    for prediction in waiting {
        assert!(wait(prediction).is_ok());
    }
    assert!(wait(holder).is_ok());
    assert_eq!(
        log.ran(),
        [0, 1, 3, 4, 6],
        "the cancelled item was not computed"
    );
    let metrics = handle.metrics();
    assert_eq!(
        (metrics.cancelled, metrics.refused, metrics.done),
        (1, 1, 5)
    );
    assert_eq!(
        (
            metrics.queue_items,
            metrics.queue_cost,
            metrics.queue_items_peak
        ),
        (0, 0, 4)
    );
}

#[test]
fn a_job_cannot_get_interactive_items_refused() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let limits = Limits {
        queue_items: 8,
        ..LIMITS
    };
    let (handle, gate, _holder) = held(
        &engine,
        Probe {
            limits,
            ..Probe::new("a", &log)
        },
    );
    let submit = |priority, count: u64| -> Vec<_> {
        (0..count)
            .map(|id| handle.predict(plain(id + 1), with(priority)))
            .collect()
    };
    let all = [
        submit(Priority::Batch, 8),
        submit(Priority::Streaming, 8),
        submit(Priority::Interactive, 8),
    ];
    gate.open();
    let admitted = all.map(|predictions| {
        predictions
            .into_iter()
            .map(wait)
            .filter(Result::is_ok)
            .count()
    });
    assert_eq!(admitted, [4, 2, 2]);
}

#[test]
fn an_item_dearer_than_the_queue_is_admitted_only_when_it_is_empty_and_runs_alone() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let (handle, gate, _holder) = held(&engine, Probe::new("a", &log));
    let dear = |id| Item {
        cost: 1000,
        ..plain(id)
    };
    let first = handle.predict(dear(1), Options::default());
    assert_eq!(
        kind(wait(handle.predict(dear(2), Options::default()))),
        Kind::Overloaded
    );
    assert_eq!(
        kind(wait(handle.predict(plain(3), Options::default()))),
        Kind::Overloaded
    );
    gate.open();
    assert_eq!(wait(first).expect("it was admitted"), answer_of(1, 1000));
    assert_eq!(log.ran(), [0, 1]);
}

#[test]
fn many_items_wait_for_room_and_are_answered_in_order() {
    let (engine, log) = (engine(2), Arc::new(Log::default()));
    let limits = Limits {
        queue_items: 4,
        ..LIMITS
    };
    let handle = engine
        .register(Probe {
            limits,
            ..Probe::new("a", &log)
        })
        .expect("a new task");
    let answers = wait(handle.predict_many((0..1000).map(plain).collect(), with(Priority::Batch)));
    let answers: Vec<u64> = answers
        .into_iter()
        .map(|answer| answer.expect("room comes free"))
        .collect();
    assert_eq!(
        answers,
        (0..1000).map(|id| answer_of(id, 1)).collect::<Vec<_>>()
    );
    let metrics = handle.metrics();
    assert_eq!((metrics.done, metrics.refused), (1000, 0));
    assert!(
        metrics.queue_items_peak <= 2,
        "batch items fill half the queue: {}",
        metrics.queue_items_peak
    );
}

#[test]
fn many_items_end_at_their_deadline_and_free_their_places_when_dropped() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let limits = Limits {
        queue_items: 4,
        ..LIMITS
    };
    let (handle, gate, holder) = held(
        &engine,
        Probe {
            limits,
            ..Probe::new("a", &log)
        },
    );
    {
        let mut future =
            pin!(handle.predict_many((1..=10).map(plain).collect(), Options::default()));
        assert!(
            future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        assert_eq!(handle.metrics().queue_items, 4);
    }
    assert_eq!(
        (handle.metrics().queue_items, handle.metrics().queue_cost),
        (0, 0)
    );
    // Others hold the whole queue: only the deadline ends the wait for room.
    let others: Vec<_> = (11..=14)
        .map(|id| handle.predict(plain(id), Options::default()))
        .collect();
    let answers = handle.predict_many_blocking(
        (21..=30).map(plain).collect(),
        Options::within(Duration::from_millis(20)),
    );
    assert_eq!(
        answers.into_iter().map(kind).collect::<Vec<_>>(),
        [Kind::Deadline; 10]
    );
    gate.open();
    for prediction in others.into_iter().chain([holder]) {
        assert!(wait(prediction).is_ok());
    }
    assert_eq!(log.ran(), [0, 11, 12, 13, 14]);
}
