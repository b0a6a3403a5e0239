//! One load at a time, warm-up, failures and their back-off.

use crate::probe::*;
use escala_pipelines::engine::{Engine, EngineConfig, State};
use escala_pipelines::{Kind, Options};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

#[test]
fn many_first_requests_cause_one_load_and_a_warm_up_before_the_first_answer() {
    let (engine, log) = (engine(2), Arc::new(Log::default()));
    let gate = Gate::new();
    let handle = engine
        .register(Probe {
            load_gate: Some(gate.clone()),
            ..Probe::new("a", &log)
        })
        .expect("a new task");
    assert!(matches!(handle.state(), State::Unloaded));
    let requests: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|id| {
                let handle = &handle;
                scope.spawn(move || handle.predict(plain(id), Options::default()))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let loading = handle.load();
    assert!(matches!(handle.state(), State::Loading));
    assert_eq!(handle.metrics().queue_items, 16);
    gate.open();
    for (id, request) in requests.into_iter().enumerate() {
        assert!(wait(request).is_ok(), "{id}");
    }
    assert!(wait(loading).is_ok());
    assert!(wait(engine.preload(&handle)).is_ok());
    assert!(handle.state().is_ready());
    assert_eq!((log.loads.load(SeqCst), handle.metrics().loads), (1, 1));
    assert_eq!(log.runs.lock()[0], [SAMPLE]);
}

#[test]
fn a_slow_load_does_not_hold_up_another_task() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let gate = Gate::new();
    let slow = Probe {
        load_gate: Some(gate.clone()),
        ..Probe::new("slow", &log)
    };
    let slow = engine.register(slow).expect("a new task");
    let quick = engine
        .register(Probe::new("quick", &log))
        .expect("a new task");
    let waiting = slow.predict(plain(1), Options::default());
    gate.wait_for_arrivals(1);
    // Loads and answers while the other load stands at its gate.
    assert_eq!(
        quick
            .predict_blocking(plain(2), Options::default())
            .expect("quick"),
        answer_of(2, 1)
    );
    assert!(matches!(slow.state(), State::Loading));
    gate.open();
    assert_eq!(wait(waiting).expect("slow"), answer_of(1, 1));
}

#[test]
fn a_failed_load_answers_those_who_wait_and_is_not_repeated_for_every_request() {
    quiet();
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let gate = Gate::new();
    log.failures.store(1, SeqCst);
    let handle = engine
        .register(Probe {
            load_gate: Some(gate.clone()),
            ..Probe::new("a", &log)
        })
        .expect("a new task");
    let waiting: Vec<_> = (0..3)
        .map(|id| handle.predict(plain(id), Options::default()))
        .collect();
    gate.open();
    for prediction in waiting {
        let error = wait(prediction).expect_err("nothing is loaded");
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::Unavailable, "the weights are missing")
        );
    }
    for _ in 0..10 {
        let error = handle
            .predict_blocking(plain(9), Options::default())
            .expect_err("it is left alone");
        assert_eq!(error.message(), "the weights are missing");
        assert!(error.retry_after().is_some());
        assert_eq!(kind(handle.load_blocking()), Kind::Unavailable);
    }
    assert_eq!(log.loads.load(SeqCst), 1);
    assert!(matches!(handle.state(), State::Failed(_)));
    assert_eq!(handle.metrics().queue_items, 0);
    assert_eq!(engine.memory().0, 0, "a failed load holds no memory");
}

#[test]
fn after_the_back_off_the_next_request_loads_again() {
    quiet();
    let config = EngineConfig {
        load_retry: Duration::ZERO,
        ..config(1)
    };
    let (engine, log) = (
        Engine::start(config, store()).expect("threads"),
        Arc::new(Log::default()),
    );
    log.failures.store(2, SeqCst);
    log.load_panics.store(1, SeqCst);
    let handle = engine.register(Probe::new("a", &log)).expect("a new task");
    assert_eq!(
        kind(handle.predict_blocking(plain(1), Options::default())),
        Kind::Unavailable
    );
    assert_eq!(kind(handle.load_blocking()), Kind::Unavailable);
    assert_eq!(
        kind(handle.predict_blocking(plain(1), Options::default())),
        Kind::Internal
    );
    assert!(
        handle
            .predict_blocking(plain(1), Options::default())
            .is_ok()
    );
    let metrics = handle.metrics();
    assert_eq!(
        (metrics.load_failures, metrics.loads, metrics.panics),
        (3, 1, 1)
    );
}

#[test]
fn a_model_that_fails_on_its_own_sample_does_not_become_ready() {
    let (engine, log) = (engine(1), Arc::new(Log::default()));
    let handle = engine
        .register(Probe {
            bad_sample: true,
            ..Probe::new("a", &log)
        })
        .expect("a new task");
    assert_eq!(
        kind(handle.predict_blocking(plain(1), Options::default())),
        Kind::Unavailable
    );
    assert!(matches!(handle.state(), State::Failed(_)));
    assert_eq!((log.live.load(SeqCst), engine.memory().0), (0, 0));
    assert!(log.ran().is_empty());
}
