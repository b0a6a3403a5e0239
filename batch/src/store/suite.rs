//! The contract of [`Store`], for every implementation.

use super::{Error, Filter, Gone, New, Order, Place, Store, Submitted};
use crate::job::{
    Event, Fence, Form, Input, Job, Part, Piece, Plan, Planning, SAMPLES, Sample, Source, Spec,
    Split, State, Target, Task, TaskState, Usage,
};
use serde_json::json;
use tempfile::TempDir;

type Made = (Box<dyn Store>, Option<TempDir>);

/// Everything, each on a store of its own.
pub fn all(make: &dyn Fn() -> Made) {
    let tests: [fn(&dyn Store); 14] = [
        jobs_are_submitted_within_quotas,
        tokens_make_asking_again_harmless,
        jobs_change_only_as_they_may,
        lists_are_filtered_and_paged,
        tasks_are_leased_once_and_fenced,
        a_task_that_fails_fails_its_job,
        leases_that_are_lost_come_back_until_they_are_poison,
        plans_that_are_lost_are_counted,
        usage_counts_once,
        an_output_is_there_once_it_can_be,
        samples_of_errors_are_bounded,
        events_are_a_log,
        what_ended_long_ago_is_forgotten,
        what_is_not_there_is_not_found,
    ];
    for test in tests {
        let (store, _folder) = make();
        test(&*store);
    }
}

fn spec(kind: &str, name: Option<&str>) -> Spec {
    Spec {
        kind: kind.to_owned(),
        name: name.map(str::to_owned),
        priority: 0,
        input: Source {
            bucket: "in-bucket".to_owned(),
            prefix: "a/".to_owned(),
            split: Split::Lines,
        },
        output: Target {
            bucket: "out-bucket".to_owned(),
            folder: "b/".to_owned(),
            form: Form::Archive {
                name: "output.tar.gz".to_owned(),
                member: "output".to_owned(),
            },
        },
        question: json!({"language": "en"}),
        details: json!({"role": "ä"}),
    }
}

fn new(id: &str, now: i64) -> New {
    New {
        id: id.to_owned(),
        spec: spec("kind", None),
        token: None,
        most_live: 10,
        now,
    }
}

fn plan(tasks: u64) -> Plan {
    let input = |number: u64| Input {
        key: format!("a/{number}"),
        length: 100,
        etag: format!("e{number}"),
        documents: 7,
    };
    let piece = |input: u64| Piece {
        input,
        from: 0,
        to: 100,
        first: 0,
        documents: 7,
    };
    Plan {
        inputs: (0..tasks).map(input).collect(),
        tasks: (0..tasks).map(|task| vec![piece(task)]).collect(),
    }
}

fn part(documents: u64, samples: usize) -> Part {
    let sample = |line: usize| Sample {
        file: "0".to_owned(),
        line: Some(line as u64),
        code: "CODE".to_owned(),
        message: "why".to_owned(),
    };
    Part {
        pieces: vec![5 * documents],
        digest: "d".to_owned(),
        usage: Usage {
            documents,
            errors: samples as u64,
            read: 100,
            written: 50,
            characters: 90,
            units: 3,
            compute_ms: 11,
            wall_ms: 12,
            tokens: 70,
            pixels: 1000,
        },
        samples: (0..samples).map(sample).collect(),
        failed: Vec::new(),
    }
}

/// A job that runs, with so many tasks.
fn running(store: &dyn Store, id: &str, tasks: u64) {
    store.submit(new(id, 1)).expect("submitted");
    store
        .advance(id, State::Planning, None, 2)
        .expect("planning");
    let job = store.plan(id, &plan(tasks), 3).expect("planned");
    assert_eq!(job.state, State::Queued);
    store.advance(id, State::Running, None, 4).expect("running");
}

fn jobs_are_submitted_within_quotas(store: &dyn Store) {
    let mut first = new("1", 5);
    first.most_live = 2;
    let Submitted::New(job) = store.submit(first.clone()).expect("kept") else {
        panic!("it is new");
    };
    assert_eq!((job.state, job.submitted), (State::Submitted, 5));
    assert_eq!(job.spec, first.spec);
    assert_eq!(store.job("1").expect("there"), job);
    let with = |id: &str, kind: &str| New {
        id: id.to_owned(),
        spec: spec(kind, None),
        ..first.clone()
    };
    store.submit(with("2", "kind")).expect("within the quota");
    let refused = store.submit(with("3", "kind"));
    assert!(matches!(refused, Err(Error::Quota { live: 2 })));
    assert!(matches!(store.job("3"), Err(Error::NotFound(_))));
    store.submit(with("3", "other")).expect("of another kind");
    store
        .advance("1", State::Failed, Some("why"), 6)
        .expect("ends");
    store.submit(with("4", "kind")).expect("one has made room");
}

fn tokens_make_asking_again_harmless(store: &dyn Store) {
    let with = |id: &str, digest: &str| New {
        token: Some(("token".to_owned(), digest.to_owned())),
        ..new(id, 1)
    };
    assert_eq!(store.known("kind", "token", "d").expect("read"), None);
    let first = store.submit(with("1", "d")).expect("kept");
    assert!(matches!(first, Submitted::New(_)));
    let known = store.known("kind", "token", "d").expect("read");
    assert_eq!(known, Some(first.job()));
    let other = store.known("kind", "token", "e");
    assert!(matches!(other, Err(Error::Token)));
    assert_eq!(store.known("other", "token", "d").expect("read"), None);
    store
        .advance("1", State::Failed, Some("why"), 2)
        .expect("ends");
    let again = store.submit(with("2", "d")).expect("known");
    let Submitted::Known(job) = again else {
        panic!("it is known");
    };
    assert_eq!((job.id.as_str(), job.state), ("1", State::Failed));
    assert!(matches!(store.submit(with("2", "e")), Err(Error::Token)));
    let other = New {
        spec: spec("other", None),
        ..with("2", "e")
    };
    let other = store.submit(other).expect("of another kind");
    assert!(matches!(other, Submitted::New(_)));
}

fn what_ended_long_ago_is_forgotten(store: &dyn Store) {
    // Ended in this order; the last runs.
    for (id, at) in [("2", 20), ("1", 10), ("3", 30)] {
        running(store, id, 2);
        store.advance(id, State::Failed, None, at).expect("failed");
    }
    running(store, "4", 2);
    let token = |id: &str| New {
        token: Some(("token".to_owned(), "digest".to_owned())),
        ..new(id, 1)
    };
    let tokened = store.submit(token("5")).expect("kept").job().id;
    store
        .advance(&tokened, State::Failed, None, 5)
        .expect("failed");
    assert_eq!(store.forget(5, 10).expect("forgets"), 0, "not before then");
    assert_eq!(store.forget(30, 2).expect("forgets"), 2, "the oldest first");
    assert!(matches!(store.job("5"), Err(Error::NotFound(_))));
    assert!(matches!(store.job("1"), Err(Error::NotFound(_))));
    assert!(matches!(store.events("1", 0, 10), Err(Error::NotFound(_))));
    assert!(store.job("2").is_ok());
    assert_eq!(store.forget(i64::MAX, 10).expect("forgets"), 2);
    assert_eq!(store.states().expect("states"), [(State::Running, 1)]);
    assert_eq!(store.tasks("4").expect("tasks").len(), 2);
    // Its token is nobody's now.
    assert!(matches!(store.submit(token("6")), Ok(Submitted::New(_))));
}

fn jobs_change_only_as_they_may(store: &dyn Store) {
    running(store, "1", 2);
    let job = store.job("1").expect("there");
    assert_eq!((job.begun, job.ended), (Some(4), None));
    assert_eq!(job.planned, plan(2).total());
    assert_eq!(store.inputs("1").expect("inputs"), plan(2).inputs);
    let tasks = store.tasks("1").expect("tasks");
    assert_eq!(tasks.len(), 2);
    assert_eq!(tasks[1].pieces, plan(2).tasks[1]);
    for to in State::ALL {
        if State::Running.may(to) {
            continue;
        }
        let refused = store.advance("1", to, Some("no"), 5);
        assert!(
            matches!(refused, Err(Error::State { is: State::Running, wanted }) if wanted == to),
            "{to}"
        );
        assert_eq!(store.job("1").expect("there"), job, "nothing changed");
    }
    assert!(matches!(
        store.plan("1", &plan(3), 5),
        Err(Error::State { .. })
    ));
    assert_eq!(store.tasks("1").expect("tasks").len(), 2);
    store
        .advance("1", State::StopRequested, None, 5)
        .expect("stops");
    assert!(
        matches!(store.lease("1", "me", 1, 100, 5), Err(Error::State { .. })),
        "nothing begins any more"
    );
    let job = store
        .advance("1", State::Stopped, Some("half"), 6)
        .expect("stopped");
    assert_eq!((job.ended, job.why.as_deref()), (Some(6), Some("half")));
    assert_eq!(
        store.states().expect("states"),
        [(State::Stopped, 1)],
        "one job in all"
    );
}

fn lists_are_filtered_and_paged(store: &dyn Store) {
    // Two have one time: the id decides.
    for (id, kind, name, at) in [
        ("a", "x", Some("one"), 10),
        ("b", "x", Some("two"), 20),
        ("c", "y", Some("one"), 20),
        ("d", "x", None, 30),
        ("e", "x", Some("one"), 40),
    ] {
        let job = New {
            spec: spec(kind, name),
            ..new(id, at)
        };
        store.submit(job).expect("kept");
    }
    store
        .advance("b", State::Failed, Some("why"), 50)
        .expect("ends");
    let ids = |filter: Filter| {
        let jobs = store.jobs(&filter).expect("a list");
        jobs.into_iter().map(|job| job.id).collect::<String>()
    };
    let all = Filter {
        most: 100,
        ..Filter::default()
    };
    assert_eq!(ids(all.clone()), "edcba");
    let of = |kind: &str| Filter {
        kind: Some(kind.to_owned()),
        ..all.clone()
    };
    assert_eq!(ids(of("x")), "edba");
    let named = Filter {
        name: Some("one".to_owned()),
        ..of("x")
    };
    assert_eq!(ids(named), "ea");
    let states = Filter {
        states: vec![State::Failed, State::Stopped],
        ..all.clone()
    };
    assert_eq!(ids(states), "b");
    let live = Filter {
        states: vec![State::Submitted],
        ..of("x")
    };
    assert_eq!(ids(live), "eda");
    let times = Filter {
        before: Some(40),
        after: Some(10),
        ..all.clone()
    };
    assert_eq!(ids(times), "dcb", "neither bound is in it");
    for (order, expected) in [(Order::Youngest, "ed.cb.a."), (Order::Oldest, "ab.cd.e.")] {
        let mut behind = None;
        let mut seen = String::new();
        loop {
            let page = Filter {
                behind: behind.clone(),
                most: 2,
                order,
                ..all.clone()
            };
            let page = store.jobs(&page).expect("a page");
            let Some(last) = page.last() else { break };
            behind = Some(Place::from(last));
            seen.extend(page.iter().map(|job| job.id.as_str()));
            seen.push('.');
        }
        assert_eq!(seen, expected);
    }
}

fn tasks_are_leased_once_and_fenced(store: &dyn Store) {
    running(store, "1", 3);
    let mine = store.lease("1", "me", 2, 100, 5).expect("leased");
    let numbers: Vec<u64> = mine.iter().map(|(_, task)| task.number).collect();
    assert_eq!(numbers, [0, 1]);
    assert_eq!(mine[0].1.pieces, plan(3).tasks[0]);
    let others = store.lease("1", "other", 2, 100, 5).expect("leased");
    assert_eq!(others.len(), 1, "what is leased is nobody else's");
    assert!(
        store
            .lease("1", "me", 2, 100, 5)
            .expect("none left")
            .is_empty()
    );
    let fence = mine[0].0.clone();
    for wrong in [
        Fence {
            owner: "other".to_owned(),
            ..fence.clone()
        },
        Fence {
            attempt: 2,
            ..fence.clone()
        },
        Fence {
            task: 9,
            ..fence.clone()
        },
    ] {
        let refused = store.done(&wrong, &part(7, 0), 6);
        assert!(matches!(refused, Err(Error::Fenced { .. })), "{wrong:?}");
    }
    store.done(&fence, &part(7, 0), 6).expect("done");
    assert_eq!(
        store.tasks("1").expect("tasks")[0].part,
        Some(part(7, 0)),
        "its part is kept"
    );
    for again in [
        store.done(&fence, &part(7, 0), 7),
        store.put_down(&fence, 7),
        store.fail(&fence, "why", 7).map(drop),
    ] {
        assert!(matches!(again, Err(Error::Fenced { .. })));
    }
    store.put_down(&mine[1].0, 7).expect("put down");
    let again = store.lease("1", "me", 5, 100, 8).expect("leased");
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].0, mine[1].0, "that attempt did not count");
    store.fail(&again[0].0, "why", 9).expect("failed");
    assert_eq!(
        store.task_states("1").expect("states"),
        [
            (TaskState::Leased, 1),
            (TaskState::Done, 1),
            (TaskState::Failed, 1)
        ]
    );
}

fn a_task_that_fails_fails_its_job(store: &dyn Store) {
    running(store, "1", 3);
    let leased = store.lease("1", "me", 3, 100, 5).expect("leased");
    store.put_down(&leased[0].0, 6).expect("put down");
    let before = all_of(store);
    let stale = store.fail(&leased[0].0, "why", 6);
    assert!(matches!(stale, Err(Error::Fenced { .. })));
    assert_eq!(all_of(store), before, "nothing changed");
    let job = store.fail(&leased[1].0, "why", 7).expect("failed");
    let job = job.expect("it ends with it");
    assert_eq!((job.state, job.ended), (State::Failed, Some(7)));
    assert_eq!(job.why.as_deref(), Some("why"));
    assert_eq!(store.job("1").expect("there"), job);
    let events = store.events("1", 0, 100).expect("events");
    let last: Vec<(&str, &str)> = events[events.len() - 2..]
        .iter()
        .map(|event| (event.kind.as_str(), event.text.as_str()))
        .collect();
    assert_eq!(last, [("task", "task 1 failed: why"), ("failed", "why")]);
    // What comes back later is kept, and ends nothing again.
    let late = store.fail(&leased[2].0, "later", 8).expect("failed");
    assert_eq!(late, None);
    assert_eq!(store.job("1").expect("there"), job);
    assert_eq!(
        store.task_states("1").expect("states"),
        [(TaskState::Pending, 1), (TaskState::Failed, 2)]
    );
}

fn leases_that_are_lost_come_back_until_they_are_poison(store: &dyn Store) {
    running(store, "1", 1);
    let lease = |owner: &str, until: i64| {
        let mut leased = store.lease("1", owner, 1, until, 5).expect("leased");
        leased.pop().map(|(fence, _)| fence)
    };
    let first = lease("me", 100).expect("a task");
    assert_eq!(store.reclaim(&Gone::Expired, 3, 99).expect("none"), 0);
    assert_eq!(store.renew("other", 300).expect("none"), 0);
    assert_eq!(store.renew("me", 200).expect("one"), 1);
    assert_eq!(store.reclaim(&Gone::Expired, 3, 150).expect("none"), 0);
    assert_eq!(store.reclaim(&Gone::Expired, 3, 200).expect("one"), 1);
    let late = store.done(&first, &part(7, 0), 201);
    assert!(matches!(late, Err(Error::Fenced { .. })));
    let losses = || store.tasks("1").expect("tasks")[0].losses;
    assert_eq!(
        (losses().times, losses().place),
        (1, None),
        "of the first nothing is known"
    );
    let second = lease("me", 300).expect("again");
    assert_eq!(second.attempt, 2);
    let stale = store.mark(&first, 5);
    assert!(matches!(stale, Err(Error::Fenced { .. })));
    let still = store.done(&first, &part(7, 0), 201);
    assert!(matches!(still, Err(Error::Fenced { .. })));
    let all_but = |owner: &str| Gone::AllBut(owner.to_owned());
    assert_eq!(store.reclaim(&all_but("me"), 3, 210).expect("none"), 0);
    assert_eq!(store.reclaim(&all_but("new"), 3, 210).expect("one"), 1);
    assert_eq!(losses().times, 1, "it had not begun");
    let third = lease("new", 300).expect("again");
    assert_eq!(third.attempt, 3);
    // Lost at other places, it is not the task that does it.
    let mut held = third;
    for (place, times) in [(0, 1), (40, 1), (20, 1), (20, 2)] {
        store.mark(&held, 0).expect("marked");
        store.mark(&held, place).expect("marked");
        assert_eq!(store.reclaim(&all_but("x"), 3, 215).expect("one"), 1);
        assert_eq!((losses().times, losses().place), (times, Some(place)));
        held = lease("new", 300).expect("again");
    }
    assert_eq!(held.attempt, 7);
    let early = store.bury("1", 0, &part(7, 7), 211);
    assert!(
        matches!(early, Err(Error::Fenced { .. })),
        "it is not poisoned"
    );
    store.mark(&held, 20).expect("marked");
    assert_eq!(store.reclaim(&all_but("x"), 3, 220).expect("one"), 1);
    let states = store.task_states("1").expect("states");
    assert_eq!(states, [(TaskState::Poisoned, 1)]);
    assert_eq!(lease("me", 400), None, "nobody begins it again");
    for _ in 0..2 {
        store.bury("1", 0, &part(7, 7), 230).expect("buried");
    }
    assert_eq!(store.usage("1").expect("usage").errors, 7, "once");
    let task = &store.tasks("1").expect("tasks")[0];
    assert_eq!(task.part, Some(part(7, 7)));
    assert_eq!(task.state, TaskState::Poisoned);
}

fn plans_that_are_lost_are_counted(store: &dyn Store) {
    store.submit(new("1", 1)).expect("submitted");
    let early = store.begin_plan("1", 1);
    assert!(matches!(
        early,
        Err(Error::State {
            is: State::Submitted,
            ..
        })
    ));
    store
        .advance("1", State::Planning, None, 2)
        .expect("planning");
    let losses = |job: Job| (job.planning.losses.times, job.planning.losses.place);
    let begin = || losses(store.begin_plan("1", 3).expect("begun"));
    assert_eq!(begin(), (0, None));
    store.put_down_plan("1").expect("put down");
    assert_eq!(begin(), (0, None), "somebody came back");
    // Of the first nothing is known; then they count where they are at the same place.
    for (place, lost) in [(7, (1, None)), (7, (1, Some(7))), (3, (2, Some(7)))] {
        assert_eq!(begin(), lost);
        store.mark_plan("1", 0).expect("marked");
        store.mark_plan("1", place).expect("marked");
    }
    assert_eq!(begin(), (1, Some(3)));
    store.put_down_plan("1").expect("put down");
    assert_eq!(begin(), (1, Some(3)), "what is known stays known");
    let events = store.events("1", 0, 100).expect("events");
    let lost = |event: &&Event| event.text.contains("did not come back");
    assert_eq!(events.iter().filter(lost).count(), 4);
    store.plan("1", &plan(1), 9).expect("planned");
    assert_eq!(store.job("1").expect("there").planning, Planning::default());
}

fn usage_counts_once(store: &dyn Store) {
    running(store, "1", 3);
    assert_eq!(store.usage("1").expect("none"), Usage::default());
    let leased = store.lease("1", "me", 3, 100, 5).expect("leased");
    store.done(&leased[0].0, &part(7, 1), 6).expect("done");
    store.done(&leased[0].0, &part(7, 1), 6).expect_err("twice");
    store.put_down(&leased[1].0, 6).expect("put down");
    let again = store.lease("1", "me", 1, 100, 7).expect("leased");
    store.done(&again[0].0, &part(3, 0), 8).expect("done");
    let usage = store.usage("1").expect("usage");
    let mut sum = part(7, 1).usage;
    sum += part(3, 0).usage;
    assert_eq!(usage, sum);
}

fn an_output_is_there_once_it_can_be(store: &dyn Store) {
    running(store, "1", 1);
    let job = store.job("1").expect("there");
    let early = store.assembled("1", 5);
    assert!(matches!(
        early,
        Err(Error::State {
            is: State::Running,
            ..
        })
    ));
    assert_eq!(store.job("1").expect("there"), job, "nothing changed");
    store
        .advance("1", State::Committing, None, 5)
        .expect("commits");
    store.assembled("1", 6).expect("kept");
    let job = store.job("1").expect("there");
    assert_eq!((job.state, job.assembled), (State::Committing, true));
    let last = store.events("1", 0, 100).expect("events").pop();
    assert_eq!(last.expect("an event").text, "the output is there");
    store
        .advance("1", State::StopRequested, None, 7)
        .expect("stops");
    assert!(store.job("1").expect("there").assembled);
    store.assembled("1", 8).expect("said again");
}

fn samples_of_errors_are_bounded(store: &dyn Store) {
    running(store, "1", 3);
    for (fence, _) in store.lease("1", "me", 3, 100, 5).expect("leased") {
        store.done(&fence, &part(15, 15), 6).expect("done");
    }
    let job = store.job("1").expect("there");
    assert_eq!(job.samples.len(), SAMPLES);
    assert_eq!(job.samples[..15], part(15, 15).samples);
    assert_eq!(store.usage("1").expect("usage").errors, 45);
}

fn events_are_a_log(store: &dyn Store) {
    running(store, "1", 1);
    store.note("1", "a note\nof two lines", 5).expect("noted");
    let events = store.events("1", 0, 100).expect("events");
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["submitted", "planning", "queued", "note", "running", "note"]
    );
    let numbers: Vec<u64> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(events[5].text, "a note\nof two lines");
    assert_eq!(events[5].at, 5);
    assert_eq!(store.events("1", 4, 1).expect("events"), events[4..5]);
    assert!(store.events("1", 6, 100).expect("none").is_empty());
    running(store, "2", 1);
    assert_eq!(store.events("2", 0, 1).expect("its own")[0].number, 1);
    store
        .advance("1", State::Failed, Some("because"), 7)
        .expect("fails");
    let last = store.events("1", 6, 100).expect("events").pop();
    let last = last.expect("an event");
    assert_eq!(
        (last.kind.as_str(), last.text.as_str()),
        ("failed", "because")
    );
}

fn what_is_not_there_is_not_found(store: &dyn Store) {
    let fence = Fence {
        job: "1".to_owned(),
        task: 0,
        attempt: 1,
        owner: "me".to_owned(),
    };
    let missing = [
        store.job("1").err(),
        store.advance("1", State::Failed, None, 1).err(),
        store.begin_plan("1", 1).err(),
        store.mark_plan("1", 1).err(),
        store.put_down_plan("1").err(),
        store.plan("1", &plan(1), 1).err(),
        store.inputs("1").err(),
        store.tasks("1").err(),
        store.task_states("1").err(),
        store.lease("1", "me", 1, 1, 1).err(),
        store.done(&fence, &part(1, 0), 1).err(),
        store.put_down(&fence, 1).err(),
        store.fail(&fence, "why", 1).err(),
        store.bury("1", 0, &part(1, 0), 1).err(),
        store.assembled("1", 1).err(),
        store.usage("1").err(),
        store.note("1", "text", 1).err(),
        store.events("1", 0, 1).err(),
    ];
    for (at, error) in missing.into_iter().enumerate() {
        assert!(
            matches!(error, Some(Error::NotFound(_))),
            "call {at}: {error:?}"
        );
    }
}

/// All that a store says of job 1.
pub type Everything = (Job, Vec<Input>, Vec<Task>, Usage, Vec<Event>);

/// Everything of job 1.
pub fn all_of(store: &dyn Store) -> Everything {
    (
        store.job("1").expect("there"),
        store.inputs("1").expect("inputs"),
        store.tasks("1").expect("tasks"),
        store.usage("1").expect("usage"),
        store.events("1", 0, 1000).expect("events"),
    )
}

/// A job in the middle of its work.
pub fn half_done(store: &dyn Store) -> Everything {
    running(store, "1", 3);
    let leased = store.lease("1", "me", 2, 100, 5).expect("leased");
    store.done(&leased[1].0, &part(7, 2), 6).expect("done");
    all_of(store)
}

#[test]
fn memory_keeps_the_contract() {
    all(&|| (Box::new(super::memory::Memory::default()), None));
}
