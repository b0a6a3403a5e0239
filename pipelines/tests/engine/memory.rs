//! The budget holds, and the least recently used model goes.

use crate::probe::*;
use escala_pipelines::engine::{Engine, EngineConfig, Handle, Shutdown};
use escala_pipelines::{Kind, Options};
use proptest::prelude::*;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Waker};
use std::time::Instant;

fn engine_with_memory(budget: u64) -> Engine {
    Engine::start(
        EngineConfig {
            memory_budget: budget,
            ..config(2)
        },
        store(),
    )
    .expect("threads")
}

#[test]
fn the_least_recently_used_model_goes() {
    let (engine, log) = (engine_with_memory(100), Arc::new(Log::default()));
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        engine
            .register(Probe::new(name, &log).bytes(50))
            .expect("a new task")
    });
    let use_it = |handle: &Handle<Probe>| {
        handle
            .predict_blocking(plain(1), Options::default())
            .expect("it fits")
    };
    use_it(&a);
    use_it(&b);
    use_it(&a);
    use_it(&c);
    let ready = |handle: &Handle<Probe>| handle.state().is_ready();
    assert_eq!([ready(&a), ready(&b), ready(&c)], [true, false, true]);
    assert_eq!((b.metrics().evictions, b.metrics().memory), (1, 0));
    use_it(&b);
    assert_eq!([ready(&a), ready(&b), ready(&c)], [false, true, true]);
    assert_eq!(
        (log.live.load(SeqCst), log.most_live.load(SeqCst)),
        (100, 100)
    );
    assert_eq!(engine.memory(), (100, 100));
}

#[test]
fn a_model_that_never_fits_is_refused_with_numbers_and_evicts_nobody() {
    let mib = 1 << 20;
    let (engine, log) = (engine_with_memory(100 * mib), Arc::new(Log::default()));
    let small = engine
        .register(Probe::new("small", &log).bytes(mib))
        .expect("a new task");
    small.load_blocking().expect("it fits");
    for estimate in [Some(150 * mib), None, Some(mib)] {
        let probe = Probe {
            estimate,
            version: format!("{estimate:?}"),
            ..Probe::new("large", &log).bytes(150 * mib)
        };
        let large = engine.register(probe).expect("a new task");
        let error = large
            .predict_blocking(plain(1), Options::default())
            .expect_err("too large");
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(
            error.message().contains("150.0 MiB") && error.message().contains("100.0 MiB"),
            "{error}"
        );
    }
    assert!(small.state().is_ready());
    assert_eq!(engine.memory().0, mib);
}

#[test]
fn a_model_in_use_is_not_evicted_and_whoever_needs_its_memory_waits() {
    for estimate in [Some(60), None] {
        let (engine, log) = (engine_with_memory(100), Arc::new(Log::default()));
        let (used, gate, holder) = held(&engine, Probe::new("used", &log).bytes(60));
        let probe = Probe {
            estimate,
            ..Probe::new("next", &log).bytes(60)
        };
        let next = engine.register(probe).expect("a new task");
        let mut waiting = pin!(next.predict(plain(1), Options::default()));
        let tiny = engine
            .register(Probe::new("tiny", &log).bytes(40))
            .expect("a new task");
        // Others that fit are served meanwhile.
        assert!(tiny.predict_blocking(plain(2), Options::default()).is_ok());
        assert!(
            waiting
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        assert!(used.state().is_ready());
        gate.open();
        assert!(wait(waiting).is_ok());
        assert!(wait(holder).is_ok());
        assert!(!used.state().is_ready());
        assert!(engine.memory().1 <= 100);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn models_never_hold_more_than_the_budget(
        sizes in prop::collection::vec(20u64..=100, 5),
        uses in prop::collection::vec(prop::collection::vec((0usize..5, any::<bool>()), 1..25), 1..4),
    ) {
        let (engine, log) = (engine_with_memory(100), Arc::new(Log::default()));
        let handles: Vec<_> = ["a", "b", "c", "d", "e"]
            .into_iter()
            .zip(&sizes)
            .map(|(name, bytes)| engine.register(Probe::new(name, &log).bytes(*bytes)).expect("a new task"))
            .collect();
        let wrong = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for uses in &uses {
                let (handles, wrong) = (&handles, &wrong);
                scope.spawn(move || {
                    for (id, (task, kept)) in uses.iter().enumerate() {
                        let prediction = handles[*task].predict(plain(id as u64), Options::default());
                        if *kept && wait(prediction).ok() != Some(answer_of(id as u64, 1)) {
                            wrong.fetch_add(1, SeqCst);
                        }
                    }
                });
            }
        });
        prop_assert_eq!(wrong.load(SeqCst), 0);
        prop_assert!(log.most_live.load(SeqCst) <= 100, "{} bytes were live", log.most_live.load(SeqCst));
        prop_assert!(engine.memory().1 <= 100);
        let ended = engine.shutdown(Instant::now() + PATIENCE);
        prop_assert_eq!(ended, Shutdown { abandoned: 0, busy_threads: 0 });
        // The books agree with what is really loaded.
        prop_assert_eq!(engine.memory().0, log.live.load(SeqCst));
        let listed: u64 = engine.tasks().iter().map(|task| task.memory).sum();
        prop_assert_eq!(listed, log.live.load(SeqCst));
    }
}
