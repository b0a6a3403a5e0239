//! Versions, metrics and the end.

use crate::probe::*;
use escala_pipelines::engine::Shutdown;
use escala_pipelines::{Kind, Options};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

#[test]
fn versions_live_side_by_side_and_a_pair_is_registered_once() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let version = |version: &str| Probe {
        version: version.to_owned(),
        ..Probe::new("a", &log)
    };
    let first = engine.register(version("1")).expect("new");
    let second = engine.register(version("2")).expect("new");
    assert_eq!(
        engine
            .register(version("2"))
            .map(|_| ())
            .map_err(|error| error.kind()),
        Err(Kind::InvalidInput)
    );
    assert!(first.predict_blocking(plain(1), Options::default()).is_ok());
    let seen: Vec<_> = engine
        .tasks()
        .into_iter()
        .map(|task| (task.name, task.version, task.state.name(), task.memory))
        .collect();
    assert_eq!(
        seen,
        [
            ("a", "1".to_owned(), "ready", 1),
            ("a", "2".to_owned(), "unloaded", 0)
        ]
    );
    assert!(
        second
            .predict_blocking(plain(1), Options::default())
            .is_ok()
    );
    let mut text = String::new();
    engine.write_metrics(&mut text);
    assert!(
        text.contains("escala_items_total{task=\"a\",version=\"2\",outcome=\"done\"} 1\n"),
        "{text}"
    );
    assert!(text.contains("escala_memory_bytes 2\n"), "{text}");
}

#[test]
fn a_shutdown_drains_what_waits() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let (handle, gate, holder) = held(&engine, Probe::new("a", &log));
    let waiting: Vec<_> = (1..=5)
        .map(|id| handle.predict(plain(id), Options::default()))
        .collect();
    let ended = std::thread::scope(|scope| {
        let shutdown = scope.spawn(|| engine.shutdown(Instant::now() + PATIENCE));
        // From the moment it has begun, nothing is admitted. (A probe that is admitted before is dropped.)
        let begun = Instant::now();
        loop {
            let mut probe = pin!(handle.predict(plain(99), Options::default()));
            match probe.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answer) => {
                    assert_eq!(kind(answer), Kind::Unavailable);
                    break;
                }
                Poll::Pending => assert!(begun.elapsed() < PATIENCE),
            }
            std::thread::yield_now();
        }
        assert!(engine.register(Probe::new("b", &log)).is_err());
        gate.open();
        shutdown.join().expect("no panic")
    });
    assert_eq!(
        ended,
        Shutdown {
            abandoned: 0,
            busy_threads: 0
        }
    );
    for (id, prediction) in (1..=5).zip(waiting) {
        assert_eq!(
            wait(prediction).expect("it waited before"),
            answer_of(id, 1)
        );
    }
    assert!(wait(holder).is_ok());
}

#[test]
fn a_shutdown_does_not_wait_beyond_its_deadline() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let (handle, gate, holder) = held(&engine, Probe::new("a", &log));
    let waiting: Vec<_> = (1..=5)
        .map(|id| handle.predict(plain(id), Options::default()))
        .collect();
    assert_eq!(
        engine.shutdown(Instant::now()),
        Shutdown {
            abandoned: 5,
            busy_threads: 1
        }
    );
    for prediction in waiting {
        assert_eq!(kind(wait(prediction)), Kind::Unavailable);
    }
    gate.open();
    assert!(wait(holder).is_ok(), "what was being computed is answered");
    assert_eq!(log.ran(), [0]);
}

#[test]
fn the_engine_stops_when_nobody_holds_it() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let (handle, gate, holder) = held(&engine, Probe::new("a", &log));
    let waiting = handle.predict(plain(1), Options::default());
    drop(engine);
    drop(handle);
    assert_eq!(kind(wait(waiting)), Kind::Unavailable);
    gate.open();
    assert!(wait(holder).is_ok());
}
