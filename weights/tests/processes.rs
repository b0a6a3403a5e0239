//! Two processes at once, and processes killed at every stage of a pull.
//!
//! The test binary starts itself as the other process: `child_pulls`, told by environment variables what to do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Bench, COPY_WHEEL, files_below, visible, wait_for_file};
use escala_weights::{Progress, Silent, Stage, Status, Update};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

const ROOT: &str = "ESCALA_TEST_ROOT";
const STOP_AT: &str = "ESCALA_TEST_STOP_AT";

/// Says each stage on standard output, and stops for ever at one of them.
struct Telling {
    stop_at: Option<String>,
}

impl Progress for Telling {
    fn update(&self, update: &Update<'_>) {
        println!("stage {}", update.stage.name());
        if self.stop_at.as_deref() == Some(update.stage.name()) {
            println!("stopped");
            // Standard input stays open and empty: this ends only with the process.
            let _ = std::io::stdin().read(&mut [0]);
        }
    }
}

#[test]
#[ignore = "the other process of the tests below"]
fn child_pulls() {
    let root = std::env::var(ROOT).unwrap();
    let store = escala_weights::Store::open(escala_weights::StoreOptions {
        dir: Some(format!("{root}/store").into()),
        pip: vec!["sh".to_owned(), format!("{root}/tool.sh")],
        local: Some(format!("{root}/local").into()),
        catalog: Some(common::catalog(&[&common::package(
            "pip",
            "toy_model-1.2.3-py3-none-any.whl",
            &common::wheel(),
        )])),
        ..Default::default()
    });
    store
        .unwrap()
        .ensure(
            "toy",
            &Telling {
                stop_at: std::env::var(STOP_AT).ok(),
            },
        )
        .unwrap();
    println!("done");
}

struct Other {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Other {
    fn start(bench: &Bench, stop_at: Option<Stage>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["child_pulls", "--exact", "--ignored", "--nocapture"])
            .env(ROOT, bench.root.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(stage) = stop_at {
            command.env(STOP_AT, stage.name());
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Reads its output up to a line.
    fn wait_for(&mut self, wanted: &str) {
        let mut heard = String::new();
        loop {
            let mut line = String::new();
            assert!(
                self.lines.read_line(&mut line).unwrap() > 0,
                "\"{wanted}\" never came:\n{heard}"
            );
            if line.trim_end().ends_with(wanted) {
                return;
            }
            heard.push_str(&line);
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn finish(mut self) {
        self.wait_for("done");
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
    }
}

#[test]
fn two_processes_do_the_work_once() {
    let bench = Bench::new();
    let script = format!(
        ": > \"$root/started\"; until [ -e \"$root/release\" ]; do sleep 0.02; done; {COPY_WHEEL}"
    );
    let store = bench.pip_store(&script);
    let first = Other::start(&bench, None);
    wait_for_file(&bench.path("started"));
    let mut second = Other::start(&bench, None);
    second.wait_for("stage wait");
    assert_eq!(store.status("toy").unwrap(), Status::Missing);
    bench.put("release", b"");
    first.finish();
    second.finish();
    store.verify("toy").unwrap();
    assert_eq!(bench.calls().len(), 1);
}

#[test]
fn a_process_killed_while_the_tool_runs_leaves_nothing_visible() {
    let bench = Bench::new();
    let script = format!(
        "if [ ! -e \"$root/release\" ]; then\n\
         echo half > \"$dest/half\"; : > \"$root/started\"\n\
         until [ -e \"$root/release\" ]; do sleep 0.02; done; exit 1\nfi\n{COPY_WHEEL}"
    );
    let store = bench.pip_store(&script);
    let other = Other::start(&bench, None);
    wait_for_file(&bench.path("started"));
    other.kill();
    // Its tool still runs; the lock is free all the same.
    assert_eq!(store.status("toy").unwrap(), Status::Missing);
    assert_eq!(visible(&store), [""; 0]);
    bench.put("release", b"");
    store.ensure("toy", &Silent).unwrap();
    store.verify("toy").unwrap();
    assert_eq!(bench.calls().len(), 2);
}

#[test]
fn a_process_killed_after_the_download_is_resumed_without_another() {
    for stage in [Stage::Verify, Stage::Convert, Stage::Publish] {
        let bench = Bench::new();
        let store = bench.pip_store(COPY_WHEEL);
        let mut other = Other::start(&bench, Some(stage));
        other.wait_for("stopped");
        other.kill();
        assert_eq!(store.status("toy").unwrap(), Status::Missing, "{stage:?}");
        assert_eq!(visible(&store), [""; 0], "{stage:?}");
        store.ensure("toy", &Silent).unwrap();
        store.verify("toy").unwrap();
        // At the first Verify the archive is not yet kept, so that one is downloaded again.
        let expected = if stage == Stage::Verify { 2 } else { 1 };
        assert_eq!(bench.calls().len(), expected, "{stage:?}");
        let left = files_below(&store.dir().join(".pull"));
        assert!(
            left.iter()
                .all(|path| path.extension().is_some_and(|e| e == "lock")),
            "{stage:?}: {left:?}"
        );
    }
    // Killed after the rename: the model is there.
    let bench = Bench::new();
    let store = bench.pip_store(COPY_WHEEL);
    let mut other = Other::start(&bench, Some(Stage::Ready));
    other.wait_for("stopped");
    other.kill();
    store.verify("toy").unwrap();
}
