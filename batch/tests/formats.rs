//! Files of jobs of every format that was ever written are opened, and what is in them goes on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use escala_batch::job::{Losses, State, TaskState};
use escala_batch::store::sqlite::Sqlite;
use escala_batch::store::{Filter, Gone, Store};
use std::path::Path;

/// The youngest first.
fn kept(store: &dyn Store) -> Vec<(String, State, Option<String>)> {
    let filter = Filter {
        most: 100,
        ..Filter::default()
    };
    let jobs = store.jobs(&filter).unwrap().into_iter();
    jobs.map(|job| (job.id, job.state, job.spec.name)).collect()
}

#[test]
fn files_of_the_first_format_go_on() {
    goes_on("format-1.sql");
}

#[test]
fn files_of_the_second_format_go_on() {
    goes_on("format-2.sql");
}

#[test]
fn files_of_the_third_format_go_on() {
    goes_on("format-3.sql");
}

fn goes_on(sample: &str) {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let sql = std::fs::read_to_string(samples.join(sample)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.execute_batch(&sql).unwrap();
    drop(connection);
    let store = Sqlite::open(folder.path()).unwrap();
    let jobs = kept(&store);
    let states: Vec<(State, Option<&str>)> = jobs
        .iter()
        .map(|(_, state, name)| (*state, name.as_deref()))
        .collect();
    assert_eq!(
        states,
        [
            (State::Running, Some("killed")),
            (State::Failed, None),
            (State::Completed, Some("done")),
            (State::Completed, Some("languages")),
        ]
    );
    // What is done is known.
    let (done, languages) = (&jobs[2].0, &jobs[3].0);
    assert_eq!(store.usage(done).unwrap().documents, 10);
    assert_eq!(store.tasks(done).unwrap().len(), 3);
    let usage = store.usage(languages).unwrap();
    assert_eq!((usage.documents, usage.errors), (3, 1));
    // Nobody counted what networks were shown.
    assert_eq!((usage.tokens, usage.pixels), (0, 0));
    let job = store.job(languages).unwrap();
    assert_eq!(job.samples[0].line, Some(2));
    // Tasks that were worked on are begun again, and are counted as later formats count.
    let killed = &jobs[0].0;
    let gone = Gone::AllBut("me".to_owned());
    assert_eq!(store.reclaim(&gone, 3, 1).unwrap(), 2);
    let leased = store.lease(killed, "me", 9, 100, 2).unwrap();
    assert_eq!(leased.len(), 5);
    let lost = Losses {
        times: 1,
        place: None,
    };
    for (number, (fence, task)) in leased.iter().enumerate() {
        let before = number < 2;
        assert_eq!(task.state, TaskState::Leased);
        assert_eq!(task.losses, if before { lost } else { Losses::default() });
        assert_eq!(fence.attempt, if before { 2 } else { 1 });
        store.mark(fence, 2).unwrap();
    }
    drop(store);
    // It is of the last format from now on.
    let store = Sqlite::open(folder.path()).unwrap();
    assert_eq!(kept(&store), jobs);
    assert_eq!(store.reclaim(&Gone::Expired, 3, 100).unwrap(), 5);
    let lost = Losses {
        times: 1,
        place: Some(2),
    };
    let tasks = store.tasks(killed).unwrap();
    assert!(tasks.iter().all(|task| task.losses == lost), "{tasks:?}");
}
