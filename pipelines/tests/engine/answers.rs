//! Every caller gets the answer to its own item, whatever shared the batch.

use crate::probe::*;
use escala_pipelines::engine::{Handle, Shutdown};
use escala_pipelines::task::Limits;
use escala_pipelines::{Error, Kind, Meter, Options, Priority, Result};
use parking_lot::Mutex;
use proptest::prelude::*;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Waker};
use std::time::Instant;

#[derive(Clone, Debug)]
struct Order {
    task: usize,
    cost: u64,
    /// 0 answer, 1 fail, 2 panic, 3 forget.
    act: u8,
    priority: Priority,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Kept,
    Cancelled,
    CameTooLate,
}

#[derive(Clone, Debug)]
struct Plan {
    lanes: usize,
    limits: Vec<Limits>,
    /// Loads end only when every single item has been handed in.
    held: bool,
    /// What each caller hands in one by one, and then at once.
    callers: Vec<(Vec<Order>, Vec<Order>)>,
}

fn plans() -> impl Strategy<Value = Plan> {
    let limits = (1u64..30, 1usize..10, 1usize..40, 1u64..80).prop_map(
        |(batch_cost, batch_items, queue_items, queue_cost)| Limits {
            batch_cost,
            batch_items,
            queue_items,
            queue_cost,
        },
    );
    let priority = prop::sample::select(vec![
        Priority::Interactive,
        Priority::Streaming,
        Priority::Batch,
    ]);
    let fate = prop_oneof![6 => Just(Fate::Kept), 2 => Just(Fate::Cancelled), 1 => Just(Fate::CameTooLate)];
    let act = prop_oneof![12 => Just(0u8), 2 => Just(1u8), 1 => Just(2u8), 1 => Just(3u8)];
    let order = (
        0usize..3,
        prop_oneof![9 => 1u64..8, 1 => 8u64..100],
        act,
        priority,
        fate,
    )
        .prop_map(|(task, cost, act, priority, fate)| Order {
            task,
            cost,
            act,
            priority,
            fate,
        });
    let orders = prop::collection::vec(order, 0..30);
    let callers = prop::collection::vec((orders.clone(), orders), 1..4);
    (
        1usize..4,
        prop::collection::vec(limits, 3),
        any::<bool>(),
        callers,
    )
        .prop_map(|(lanes, limits, held, callers)| Plan {
            lanes,
            limits,
            held,
            callers,
        })
}

fn right(
    order: &Order,
    id: u64,
    many: bool,
    answer: &Result<u64>,
) -> std::result::Result<(), String> {
    let seen = answer.as_ref().map_err(Error::kind);
    let fine = match (order.fate, order.act, seen) {
        (Fate::CameTooLate, _, seen) => seen == Err(Kind::Deadline),
        // Items handed in at once wait for room instead of being refused.
        (_, _, Err(Kind::Overloaded)) => !many,
        (_, 0, seen) => seen == Ok(&answer_of(id, order.cost)),
        (_, 1, seen) => {
            seen == Err(Kind::InvalidInput)
                && answer
                    .as_ref()
                    .is_err_and(|error| error.message() == format!("item {id} is bad"))
        }
        (_, _, seen) => seen == Err(Kind::Internal),
    };
    if fine {
        Ok(())
    } else {
        Err(format!("item {id} ({order:?}) was answered {answer:?}"))
    }
}

fn item_of(order: &Order, id: u64) -> Item {
    let act = match order.act {
        0 => Act::Answer,
        1 => Act::Fail,
        2 => Act::Panic,
        _ => Act::Forget,
    };
    Item {
        id,
        cost: order.cost,
        act,
    }
}

fn play(plan: &Plan) -> std::result::Result<(), String> {
    let engine = engine(plan.lanes);
    let gate = Gate::new();
    let logs: Vec<Arc<Log>> = (0..3).map(|_| Arc::default()).collect();
    let handles: Vec<Handle<Probe>> = ["a", "b", "c"]
        .into_iter()
        .zip(&logs)
        .zip(&plan.limits)
        .map(|((name, log), limits)| {
            let load_gate = plan.held.then(|| gate.clone());
            engine
                .register(Probe {
                    limits: *limits,
                    load_gate,
                    ..Probe::new(name, log)
                })
                .expect("a new task")
        })
        .collect();
    let handed_in = std::sync::Barrier::new(plan.callers.len() + 1);
    let gone_by = Instant::now();
    let ids = AtomicU64::new(1);
    let errors: Mutex<Vec<String>> = Mutex::default();
    let too_late: Mutex<Vec<u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for (single, many) in &plan.callers {
            let (handles, handed_in, ids, errors, too_late) =
                (&handles, &handed_in, &ids, &errors, &too_late);
            scope.spawn(move || {
                let mut kept = Vec::new();
                for order in single {
                    let id = ids.fetch_add(1, SeqCst);
                    let deadline = (order.fate == Fate::CameTooLate).then_some(gone_by);
                    let options = Options {
                        priority: order.priority,
                        deadline,
                    };
                    let prediction = handles[order.task].predict(item_of(order, id), options);
                    match order.fate {
                        Fate::Cancelled => drop(prediction),
                        Fate::Kept => kept.push((order, id, prediction)),
                        Fate::CameTooLate => {
                            too_late.lock().push(id);
                            kept.push((order, id, prediction));
                        }
                    }
                }
                handed_in.wait();
                for (order, id, prediction) in kept {
                    errors
                        .lock()
                        .extend(right(order, id, false, &wait(prediction)).err());
                }
                for (task, handle) in handles.iter().enumerate() {
                    let mine: Vec<(&Order, u64)> = many
                        .iter()
                        .filter(|order| order.task == task)
                        .map(|order| (order, ids.fetch_add(1, SeqCst)))
                        .collect();
                    let items = mine.iter().map(|(order, id)| item_of(order, *id)).collect();
                    // The whole call has one fate: that of its first item.
                    let fate = mine.first().map_or(Fate::Kept, |(order, _)| order.fate);
                    let deadline = (fate == Fate::CameTooLate).then_some(gone_by);
                    let options = Options {
                        priority: mine.first().map_or(Priority::Batch, |o| o.0.priority),
                        deadline,
                    };
                    if fate == Fate::Cancelled {
                        let future = handle.predict_many(items, options);
                        // One look puts the items into the queue; what is not answered then is dropped.
                        let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
                        continue;
                    }
                    let answers = wait(handle.predict_many(items, options));
                    if answers.len() != mine.len() {
                        errors.lock().push(format!(
                            "{} answers to {} items",
                            answers.len(),
                            mine.len()
                        ));
                    }
                    for ((order, id), answer) in mine.into_iter().zip(&answers) {
                        let order = Order {
                            fate,
                            ..order.clone()
                        };
                        errors.lock().extend(right(&order, id, true, answer).err());
                    }
                }
            });
        }
        handed_in.wait();
        gate.open();
    });
    gate.open();
    let ended = engine.shutdown(Instant::now() + PATIENCE);
    let mut errors = errors.into_inner();
    if ended
        != (Shutdown {
            abandoned: 0,
            busy_threads: 0,
        })
    {
        errors.push(format!("{ended:?}"));
    }
    let costs = |task| {
        let orders = plan
            .callers
            .iter()
            .flat_map(|(single, many)| single.iter().chain(many));
        orders
            .filter(move |order| order.task == task)
            .map(|order| order.cost)
    };
    for (task, (handle, log)) in handles.iter().zip(&logs).enumerate() {
        let (metrics, limits) = (handle.metrics(), plan.limits[task]);
        errors.append(&mut log.violations.lock());
        // One dear item may stand alone in the queue.
        let most_cost = limits.queue_cost.max(costs(task).max().unwrap_or(0));
        if metrics.queue_items_peak > limits.queue_items as u64
            || metrics.queue_cost_peak > most_cost
        {
            errors.push(format!("the queue grew beyond its bounds: {metrics:?}"));
        }
        if (
            metrics.queue_items,
            metrics.queue_cost,
            metrics.running_batches,
        ) != (0, 0, 0)
        {
            errors.push(format!("something is left: {metrics:?}"));
        }
        let ran = log.ran();
        if too_late.lock().iter().any(|id| ran.contains(id)) {
            errors.push("an item that came too late was computed".to_owned());
        }
    }
    // Every item that was handed in has exactly one outcome. (Of a cancelled call with many items, only
    // those that had found room were handed in.)
    let all_kept = plan
        .callers
        .iter()
        .all(|(_, many)| many.iter().all(|order| order.fate != Fate::Cancelled));
    if all_kept {
        let outcomes: u64 = handles
            .iter()
            .map(|handle| {
                let metrics = handle.metrics();
                metrics.done
                    + metrics.failed
                    + metrics.cancelled
                    + metrics.expired
                    + metrics.refused
            })
            .sum();
        if outcomes != ids.load(SeqCst) - 1 {
            errors.push(format!(
                "{outcomes} outcomes of {} items",
                ids.load(SeqCst) - 1
            ));
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors.join("\n"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_caller_gets_the_answer_to_its_own_item_and_bounds_hold(plan in plans()) {
        quiet();
        prop_assert_eq!(play(&plan), Ok(()));
    }
}

#[test]
fn neighbours_of_an_item_that_breaks_the_network_get_their_answers() {
    quiet();
    for poison in [Act::Panic, Act::Forget] {
        let (engine, log) = (engine(1), Arc::new(Log::default()));
        let (handle, gate, holder) = held(&engine, Probe::new("a", &log));
        let predictions: Vec<_> = (1..=8)
            .map(|id| {
                let act = match id {
                    3 => poison.clone(),
                    5 => Act::Fail,
                    _ => Act::Answer,
                };
                handle.predict(item(id, act), Options::default())
            })
            .collect();
        gate.open();
        for (id, prediction) in (1..=8).zip(predictions) {
            let answer = wait(prediction);
            match id {
                3 => assert_eq!(kind(answer), Kind::Internal),
                5 => assert_eq!(kind(answer), Kind::InvalidInput),
                _ => assert_eq!(answer.expect("a neighbour"), answer_of(id, 1)),
            }
        }
        assert!(wait(holder).is_ok());
        let runs = log.runs.lock().clone();
        assert_eq!(runs[2], [1, 2, 3, 4, 5, 6, 7, 8], "all were in one batch");
        assert_eq!(
            runs[3..],
            (1..=8).map(|id| vec![id]).collect::<Vec<_>>(),
            "and then each alone, once"
        );
        // The lane lives on.
        assert!(
            handle
                .predict_blocking(plain(9), Options::default())
                .is_ok()
        );
        assert_eq!(
            handle.metrics().panics,
            if matches!(poison, Act::Panic) { 2 } else { 0 }
        );
    }
}

#[test]
fn tokens_are_counted_for_those_who_asked_whatever_shared_the_batch() {
    quiet();
    let engine = engine(1);
    let mut probe = Probe::new("counted", &Log::default().into());
    probe.limits.batch_cost = 100;
    let (handle, gate, holder) = held(&engine, probe);
    let costing = |id, cost, act| Item {
        cost,
        ..item(id, act)
    };
    let (mine, others) = (Meter::default(), Meter::default());
    wait(async {
        let asked = |meter: &Meter, items| {
            let (meter, handle) = (meter.clone(), handle.clone());
            async move {
                let asking = handle.predict_many(items, Options::default());
                meter.count(asking).await
            }
        };
        // One of them breaks the batch, and each is computed again alone.
        let first = asked(
            &mine,
            vec![costing(1, 5, Act::Answer), costing(2, 3, Act::Panic)],
        );
        let second = asked(&others, vec![costing(3, 7, Act::Answer)]);
        let nobodys = handle.predict(costing(4, 11, Act::Answer), Options::default());
        // All of them wait before anything is computed.
        let opened = async { gate.open() };
        let (first, second, nobodys, ()) = tokio::join!(first, second, nobodys, opened);
        assert!(first[0].is_ok() && first[1].is_err());
        assert!(second[0].is_ok() && nobodys.is_ok());
    });
    wait(holder).expect("an answer");
    assert_eq!((mine.tokens(), others.tokens()), (5, 7));
}
