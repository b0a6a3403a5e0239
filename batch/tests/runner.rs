//! Jobs from their submission to their end, with a work that needs no model.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::refusing::{Asked, Refusing};
use common::{
    KIND, Words, archive, completed, ended, failed, running, spec, summed, unpacked, wait, works,
};
use escala_batch::job::{Form, Spec, Split, State, TaskState};
use escala_batch::runner::{
    Cut, Error, OF_INPUT, OF_INPUTS, OF_OUTPUT, Options, Point, Runner, Token,
};
use escala_batch::store::memory::Memory as Jobs;
use escala_batch::store::sqlite::Sqlite;
use escala_batch::store::{self, Store};
use escala_batch::work::Fault;
use escala_objects::memory::Memory;
use escala_objects::{
    Error as ObjectError, Listed, NewObject, Object, ObjectName, ObjectStore, WritableStore,
};
use parking_lot::Mutex;
use serde_json::Value;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

struct Ground {
    jobs: Arc<Jobs>,
    objects: Memory,
}

fn options() -> Options {
    Options {
        cut: Cut {
            bytes: 1 << 20,
            documents: 4,
        },
        ..Options::default()
    }
}

impl Ground {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let objects = Memory::default();
        objects.bucket("answers");
        objects.bucket("texts");
        for (key, bytes) in files {
            objects.put("texts", key, bytes);
        }
        Self {
            jobs: Arc::default(),
            objects,
        }
    }

    fn runner(&self, words: Words, options: Options) -> Runner {
        let objects = Arc::new(self.objects.clone());
        Runner::start(self.jobs.clone(), objects, works(words), options).unwrap()
    }

    /// A runner whose store refuses what is said.
    fn refused(
        &self,
        words: Words,
        options: Options,
        refuses: impl Fn(Asked) -> bool + Send + Sync + 'static,
    ) -> Runner {
        let jobs = Refusing {
            jobs: self.jobs.clone(),
            refuses: Box::new(refuses),
        };
        let objects = Arc::new(self.objects.clone());
        Runner::start(Arc::new(jobs), objects, works(words), options).unwrap()
    }

    fn keys(&self) -> Vec<String> {
        let listed = self.objects.list("answers", "", "", 1000).unwrap();
        listed.into_iter().map(|listed| listed.key).collect()
    }

    fn read(&self, key: &str) -> Vec<u8> {
        let name = ObjectName::new("answers", key, None).unwrap();
        let mut bytes = Vec::new();
        let mut object = self.objects.open(&name).unwrap();
        object.bytes.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// The lines of the archive.
    fn lines(&self) -> Vec<Value> {
        let text = unpacked(&self.read("out/job/output.tar.gz"));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits until nothing but these is in the bucket of answers: parts are deleted after the end.
    fn left(&self, expected: &[&str]) {
        let began = Instant::now();
        while self.keys() != expected {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "{:?}",
                self.keys()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn submit(runner: &Runner, spec: Spec) -> String {
    runner
        .submit(Runner::new_id(), spec, None)
        .unwrap()
        .job()
        .id
}

fn codes(lines: &[Value]) -> Vec<(String, u64, String)> {
    let of = |line: &Value| {
        let file = line["File"].as_str().unwrap().to_owned();
        let code = line["ErrorCode"].as_str().unwrap_or_default().to_owned();
        (file, line["Line"].as_u64().unwrap(), code)
    };
    lines.iter().map(of).collect()
}

#[test]
fn every_document_has_its_line_whatever_is_wrong_with_others() {
    let long = format!("ok\n{}\nok again", "x".repeat(201));
    let ground = Ground::new(&[
        ("in/a.txt", b"one\r\ntwo\rbad \xff\nfour\n\nsix"),
        ("in/empty.txt", b""),
        ("in/long.txt", long.as_bytes()),
        ("in/poison.txt", b"fine\npoison\nfine"),
        ("in/sub/b.txt", b"just this\n"),
    ]);
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let words = Words {
        instead: Some(Box::new(move |text| {
            (text == "poison").then(|| {
                counted.fetch_add(1, Ordering::SeqCst);
                failed(Fault::Defect, "DEFECT")
            })
        })),
        ..Words::default()
    };
    let runner = ground.runner(words, options());
    let id = submit(&runner, spec(Split::Lines, archive()));
    let job = completed(&runner, &id);
    let at = |file: &str, line: u64, code: &str| (file.to_owned(), line, code.to_owned());
    assert_eq!(
        codes(&ground.lines()),
        [
            at("a.txt", 0, ""),
            at("a.txt", 1, ""),
            at("a.txt", 2, "UNSUPPORTED_ENCODING"),
            at("a.txt", 3, ""),
            at("a.txt", 4, ""),
            at("a.txt", 5, ""),
            at("long.txt", 0, ""),
            at("long.txt", 1, "DOCUMENT_SIZE_EXCEEDED"),
            at("long.txt", 2, ""),
            at("poison.txt", 0, ""),
            at("poison.txt", 1, "DEFECT"),
            at("poison.txt", 2, ""),
            at("sub/b.txt", 0, ""),
        ]
    );
    assert_eq!(asked.load(Ordering::SeqCst), 3, "a defect is asked again");
    let (usage, progress) = runner.progress(&job).unwrap();
    assert_eq!((usage.documents, usage.errors), (13, 3));
    assert_eq!(usage.units, 30, "answers are billed, errors are not");
    // Of the 13 all but one that is too large were asked about, and the defect twice again.
    assert_eq!((usage.tokens, usage.pixels), (28, 1400));
    assert_eq!((progress.documents, progress.errors), (13, 3));
    assert_eq!(progress.bytes, job.planned.bytes);
    let samples: Vec<&str> = job
        .samples
        .iter()
        .map(|sample| sample.code.as_str())
        .collect();
    assert_eq!(samples.len(), 3, "{samples:?}");
    ground.left(&["out/job/output.tar.gz"]);
    assert_eq!(runner.counted(), (13, 3));
    let events = runner.events(&id, 0, 1000).unwrap();
    assert_eq!(events[0].kind, "submitted");
    assert_eq!(events.last().unwrap().kind, "completed");
}

#[test]
fn jobs_that_ended_long_ago_are_forgotten_and_their_output_stays() {
    let ground = Ground::new(&[("in/a.txt", b"one\ntwo")]);
    let runner = ground.runner(Words::default(), options());
    let id = submit(&runner, spec(Split::Lines, archive()));
    completed(&runner, &id);
    ground.left(&["out/job/output.tar.gz"]);
    drop(runner);
    let runner = ground.runner(Words::default(), options());
    assert!(runner.job(&id).is_ok(), "it is kept for a while");
    drop(runner);
    let short = Options {
        retention: Duration::ZERO,
        ..options()
    };
    let runner = ground.runner(Words::default(), short);
    let began = Instant::now();
    while runner.job(&id).is_ok() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "it is not forgotten"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(matches!(
        runner.job(&id),
        Err(Error::Store(store::Error::NotFound(_)))
    ));
    ground.left(&["out/job/output.tar.gz"]);
}

#[test]
fn files_have_answers_of_their_own() {
    let ground = Ground::new(&[
        ("in/a.txt", b"1\n2\n3\n4\n5\n6\n7"),
        ("in/b.txt", b"8"),
        ("in/empty.txt", b""),
        ("in/z/c.txt", b"9\n10"),
    ]);
    let runner = ground.runner(Words::default(), options());
    let form = Form::Files {
        suffix: ".out".to_owned(),
    };
    completed(&runner, &submit(&runner, spec(Split::Lines, form)));
    let names = ["a.txt.out", "b.txt.out", "empty.txt.out", "z/c.txt.out"];
    let keys = names.map(|name| format!("out/job/{name}"));
    ground.left(&keys.each_ref().map(String::as_str));
    let lines = |key: &str| String::from_utf8(ground.read(key)).unwrap().lines().count();
    assert_eq!(keys.each_ref().map(|key| lines(key)), [7, 1, 0, 2]);
}

/// A job on the lines of one object.
fn manifest(key: &str) -> Spec {
    let mut spec = spec(Split::Manifest, summed());
    spec.input.prefix = key.to_owned();
    spec
}

#[test]
fn a_manifest_has_a_file_of_answers_and_one_that_sums_it_up() {
    let text = |line: u64| match line {
        2 | 5 | 6 | 10 => b"\xff".to_vec(),
        _ => line.to_string().into_bytes(),
    };
    let ground = Ground::new(&[
        (
            "in/list",
            &(0..11).map(text).collect::<Vec<_>>().join(&b'\n'),
        ),
        ("in/list.old", b"not this"),
        ("in/lis", b"nor this"),
        ("in/none", b"\xff"),
        ("in/all", b"1\n2\n3\n4\n5"),
    ]);
    let runner = ground.runner(Words::default(), options());
    let mut outputs = Vec::new();
    for key in ["in/list", "in/none", "in/all"] {
        let job = completed(&runner, &submit(&runner, manifest(key)));
        assert_eq!(job.planned.inputs, 1, "one object and no other");
        ground.left(&["out/job/answers.jsonl", "out/job/summary.json"]);
        let lines = String::from_utf8(ground.read("out/job/answers.jsonl")).unwrap();
        let lines: Vec<u64> = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .inspect(|line| assert!(line["Answer"].is_object(), "{line}"))
            .map(|line| line["Line"].as_u64().unwrap())
            .collect();
        let summary: Value = serde_json::from_slice(&ground.read("out/job/summary.json")).unwrap();
        let errors = codes(summary["errors"].as_array().unwrap());
        assert!(
            errors
                .iter()
                .all(|(.., code)| code == "UNSUPPORTED_ENCODING")
        );
        let errors: Vec<u64> = errors.into_iter().map(|(_, line, _)| line).collect();
        let (usage, _) = runner.progress(&job).unwrap();
        let written = ground.read("out/job/answers.jsonl").len() as u64;
        assert!(usage.written >= written, "errors are written, too");
        outputs.push((lines, errors, summary["counts"].clone()));
    }
    let counts = |documents: u64, errors: u64| serde_json::json!([documents, errors]);
    let answered = vec![0, 1, 3, 4, 7, 8, 9];
    assert_eq!(outputs[0], (answered, vec![2, 5, 6, 10], counts(11, 4)));
    assert_eq!(outputs[1], (vec![], vec![0], counts(1, 1)));
    assert_eq!(outputs[2], ((0..5).collect(), vec![], counts(5, 0)));
}

#[test]
fn reasons_say_who_is_to_blame() {
    let many = "\n".repeat(100_001);
    let ground = Ground::new(&[("in/list", b"1"), ("in/many", many.as_bytes())]);
    let runner = ground.runner(Words::default(), options());
    let mut elsewhere = manifest("in/list");
    elsewhere.output.bucket = "nowhere".to_owned();
    for (spec, of) in [
        (manifest("in/lis"), OF_INPUT),
        (manifest("in/many"), OF_INPUTS),
        (elsewhere, OF_OUTPUT),
    ] {
        let job = ended(&runner, &submit(&runner, spec));
        let why = job.why.unwrap();
        assert!(job.state == State::Failed && why.starts_with(of), "{why}");
    }
    ground.left(&[]);
}

#[test]
fn whole_files_are_documents_too() {
    let ground = Ground::new(&[
        ("in/a.txt", b"1\n2"),
        ("in/b.txt", "x".repeat(201).as_bytes()),
        ("in/empty.txt", b""),
    ]);
    let runner = ground.runner(Words::default(), options());
    let job = completed(&runner, &submit(&runner, spec(Split::Files, archive())));
    let lines = ground.lines();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.get("Line").is_none()));
    assert_eq!(lines[1]["ErrorCode"], "DOCUMENT_SIZE_EXCEEDED");
    assert_eq!(job.samples[0].line, None);
}

/// A work that gives no answer before it is let go.
fn held(go: &Arc<AtomicBool>) -> Words {
    let go = go.clone();
    Words {
        instead: Some(Box::new(move |_| {
            (!go.load(Ordering::SeqCst)).then(|| failed(Fault::Now, "BUSY"))
        })),
        ..Words::default()
    }
}

#[test]
fn what_changes_or_goes_after_the_plan_fails_the_job() {
    for change in ["changed", "gone", "longer"] {
        let ground = Ground::new(&[("in/a.txt", b"1\n2\n3\n4\n5"), ("in/b.txt", b"6")]);
        let go = Arc::new(AtomicBool::new(false));
        let mut options = options();
        options.tasks = 1;
        let runner = ground.runner(held(&go), options);
        let id = submit(&runner, spec(Split::Lines, archive()));
        wait(&runner, &id, |job| job.state == State::Running);
        let name = ObjectName::new("texts", "in/b.txt", None).unwrap();
        match change {
            "changed" => ground.objects.put("texts", "in/b.txt", b"7"),
            "longer" => ground.objects.put("texts", "in/b.txt", b"6\n7"),
            _ => ground.objects.delete(&name).unwrap(),
        }
        go.store(true, Ordering::SeqCst);
        let job = ended(&runner, &id);
        assert_eq!(job.state, State::Failed, "{change}");
        let why = job.why.unwrap();
        assert!(why.contains("in/b.txt"), "{why}");
        ground.left(&[]);
    }
}

/// A job with a task that failed and none that is left has not all of its output.
#[test]
fn a_task_that_fails_is_the_end_of_its_job_whatever_the_store_refuses() {
    let ground = Ground::new(&[("in/a.txt", b"1\n2\n3\n4\n5"), ("in/b.txt", b"6")]);
    let go = Arc::new(AtomicBool::new(false));
    let refused = AtomicBool::new(false);
    let mut options = options();
    options.tasks = 1;
    let runner = ground.refused(held(&go), options, move |asked| {
        asked == Asked::Advance(State::Failed) && !refused.swap(true, Ordering::SeqCst)
    });
    let id = submit(&runner, spec(Split::Lines, archive()));
    wait(&runner, &id, |job| job.state == State::Running);
    ground.objects.put("texts", "in/b.txt", b"7");
    go.store(true, Ordering::SeqCst);
    let job = ended(&runner, &id);
    assert_eq!(job.state, State::Failed);
    assert!(job.why.unwrap().contains("in/b.txt"));
    ground.left(&[]);
}

/// What panics beside the tasks ends its job and nothing else: it can be asked about and stopped, as can the others.
#[test]
fn a_panic_while_a_job_is_planned_or_put_together_fails_it() {
    for at in [Point::Planned, Point::MidAssembly] {
        let ground = Ground::new(&[("in/a.txt", b"1\n2\n3\n4\n5")]);
        let times = AtomicU32::new(0);
        let mut options = options();
        options.reached = Some(Arc::new(move |reached| {
            if reached == at && times.fetch_add(1, Ordering::SeqCst) == 0 {
                panic!("a defect");
            }
        }));
        let runner = ground.runner(Words::default(), options);
        let job = ended(&runner, &submit(&runner, spec(Split::Lines, archive())));
        assert_eq!(job.state, State::Failed, "{at:?}");
        let why = job.why.unwrap();
        assert!(why.contains("a defect ended the work"), "{why}");
        ground.left(&[]);
        completed(&runner, &submit(&runner, spec(Split::Lines, archive())));
    }
}

/// Who sees that a job has ended sees its output, and no parts of it.
#[test]
fn parts_are_gone_before_a_job_has_ended() {
    let ground = Ground::new(&[("in/a.txt", b"1\n2\n3\n4\n5")]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (objects, note) = (ground.objects.clone(), seen.clone());
    let runner = ground.refused(Words::default(), options(), move |asked| {
        if let Asked::Advance(to) = asked
            && !to.is_live()
        {
            let listed = objects.list("answers", "", "", 1000).unwrap();
            let keys = listed.into_iter().map(|listed| listed.key);
            note.lock().push((to, keys.collect()));
        }
        false
    });
    completed(&runner, &submit(&runner, spec(Split::Lines, archive())));
    let output = "out/job/output.tar.gz".to_owned();
    assert_eq!(*seen.lock(), [(State::Completed, vec![output])]);
}

/// A store that keeps nothing for a while, as on a full disk, loses nothing of what was done.
#[test]
fn what_became_of_tasks_is_kept_as_soon_as_the_store_keeps_anything() {
    let asked = Arc::new(AtomicU32::new(0));
    for refused in [Asked::Done, Asked::Inputs, Asked::Fail] {
        let ground = Ground::new(&[("in/a.txt", b"1\n2\n3\n4\n5\n6\n7\n8\n9")]);
        let (counted, times) = (asked.clone(), Arc::new(AtomicU32::new(0)));
        counted.store(0, Ordering::SeqCst);
        let words = Words {
            asked: Some(Box::new(move |documents| {
                counted.fetch_add(documents.len() as u32, Ordering::SeqCst);
            })),
            instead: Some(Box::new(move |_| {
                (refused == Asked::Fail).then(|| failed(Fault::Now, "BUSY"))
            })),
            ..Words::default()
        };
        let mut options = options();
        options.patience = Duration::ZERO;
        let refusals = times.clone();
        let runner = ground.refused(words, options, move |asked| {
            asked == refused && refusals.fetch_add(1, Ordering::SeqCst) < 3
        });
        let id = submit(&runner, spec(Split::Lines, archive()));
        if refused == Asked::Fail {
            let job = ended(&runner, &id);
            assert_eq!(job.state, State::Failed);
            assert!(job.why.unwrap().contains("this is BUSY"));
        } else {
            completed(&runner, &id);
            assert_eq!(asked.load(Ordering::SeqCst), 9, "nothing is asked again");
            assert_eq!(ground.lines().len(), 9);
        }
        assert!(times.load(Ordering::SeqCst) > 3, "it was refused");
    }
}

/// What is not kept does not hold up the end of the process, and is done again after it.
#[test]
fn a_runner_rests_whatever_its_store_refuses() {
    let ground = Ground::new(&[("in/a.txt", b"1\n2")]);
    let times = Arc::new(AtomicU32::new(0));
    let refusals = times.clone();
    let runner = ground.refused(Words::default(), options(), move |asked| {
        let is_refused = asked == Asked::Done;
        refusals.fetch_add(u32::from(is_refused), Ordering::SeqCst);
        is_refused
    });
    let id = submit(&runner, spec(Split::Lines, archive()));
    wait(&runner, &id, |_| times.load(Ordering::SeqCst) > 0);
    drop(runner);
    let runner = ground.runner(Words::default(), options());
    completed(&runner, &id);
    assert_eq!(ground.lines().len(), 2);
}

/// What versions left that failed a task and its job one after the other, and were killed in between.
#[test]
fn a_job_that_outlived_a_task_that_failed_fails() {
    let ground = Ground::new(&[("in/a.txt", b"1\n2\n3\n4\n5"), ("in/b.txt", b"6")]);
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(Sqlite::open(folder.path()).unwrap());
    let store = open();
    let job = spec(Split::Lines, archive());
    let cut = options().cut;
    running(&ground.objects, &*store, &Words::default(), job, cut);
    let leased = store.lease("1", "gone", 1, i64::MAX, 1).unwrap();
    store.fail(&leased[0].0, "why", 1).unwrap();
    drop(store);
    let file = rusqlite::Connection::open(folder.path().join("jobs.db")).unwrap();
    file.execute("UPDATE job SET state = 'running', ended = NULL", [])
        .unwrap();
    drop(file);
    let objects = Arc::new(ground.objects.clone());
    let runner = Runner::start(open(), objects, works(Words::default()), options()).unwrap();
    let job = ended(&runner, "1");
    assert_eq!(job.state, State::Failed);
    let why = job.why.unwrap();
    assert!(why.contains("a task of it failed"), "{why}");
    ground.left(&[]);
}

#[test]
fn what_cannot_be_read_or_written_is_said_before_anything_is_asked() {
    let ground = Ground::new(&[("other", b"1")]);
    let words = Words {
        asked: Some(Box::new(|_| panic!("nothing is asked"))),
        ..Words::default()
    };
    let runner = ground.runner(words, options());
    let nothing = ended(&runner, &submit(&runner, spec(Split::Lines, archive())));
    assert_eq!(nothing.state, State::Failed);
    assert!(nothing.why.unwrap().contains("no object"));
    let mut elsewhere = spec(Split::Lines, archive());
    elsewhere.output.bucket = "nowhere".to_owned();
    let unwritable = ended(&runner, &submit(&runner, elsewhere));
    let why = unwritable.why.unwrap();
    assert!(why.contains("there is no bucket nowhere"), "{why}");
    let mut elsewhere = spec(Split::Lines, archive());
    elsewhere.input.bucket = "nowhere".to_owned();
    let why = ended(&runner, &submit(&runner, elsewhere)).why.unwrap();
    assert!(why.contains("there is no bucket nowhere"), "{why}");
    let mut other = spec(Split::Lines, archive());
    other.kind = "unknown".to_owned();
    assert!(matches!(
        runner.submit(Runner::new_id(), other, None),
        Err(Error::Kind(_))
    ));
    ground.left(&[]);
}

#[test]
fn the_machine_is_waited_for_until_patience_ends() {
    let ground = Ground::new(&[("in/a.txt", b"1\n2")]);
    let tries = AtomicU32::new(0);
    let words = Words {
        instead: Some(Box::new(move |_| {
            let tries = tries.fetch_add(1, Ordering::SeqCst);
            (tries < 3).then(|| failed(Fault::Now, "BUSY"))
        })),
        ..Words::default()
    };
    let runner = ground.runner(words, options());
    completed(&runner, &submit(&runner, spec(Split::Lines, archive())));
    assert!(ground.lines().iter().all(|line| line["Answer"].is_object()));
    drop(runner);
    let mut options = options();
    options.patience = Duration::from_millis(150);
    let runner = ground.runner(held(&Arc::default()), options);
    let job = ended(&runner, &submit(&runner, spec(Split::Lines, archive())));
    assert_eq!(job.state, State::Failed);
    assert!(job.why.unwrap().contains("this is BUSY"));
}

/// Whether an object with a key cannot be written, and why.
type Refusal = Box<dyn Fn(&str) -> Option<ObjectError> + Send + Sync>;

/// Objects some of which cannot be written.
struct Flaky(Memory, Refusal);

impl ObjectStore for Flaky {
    fn open(&self, name: &ObjectName) -> Result<Object, ObjectError> {
        self.0.open(name)
    }
    fn open_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Object, ObjectError> {
        self.0.open_range(name, range)
    }
    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Listed>, ObjectError> {
        self.0.list(bucket, prefix, after, most)
    }
}

impl WritableStore for Flaky {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn NewObject>, ObjectError> {
        match (self.1)(name.key()) {
            Some(error) => Err(error),
            None => self.0.create(name),
        }
    }
    fn delete(&self, name: &ObjectName) -> Result<(), ObjectError> {
        self.0.delete(name)
    }
}

/// What a job does, and what it begins in the runtime that it runs in, is behind everybody who waits.
#[cfg(target_os = "linux")]
#[test]
fn jobs_are_behind_others() {
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadSchedulePolicy, thread_schedule_policy,
    };
    let ground = Ground::new(&[("in/a.txt", b"1\n2\n3\n4\n5")]);
    let places = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let told = places.clone();
    let words = Words {
        asked: Some(Box::new(move |_| {
            let (tell, of_begun) = std::sync::mpsc::channel();
            tokio::task::spawn_blocking(move || tell.send(thread_schedule_policy()));
            let both = [thread_schedule_policy(), of_begun.recv().unwrap()];
            told.lock().extend(both);
        })),
        ..Words::default()
    };
    let runner = ground.runner(words, options());
    let id = submit(&runner, spec(Split::Lines, archive()));
    completed(&runner, &id);
    let places = places.lock();
    assert!(!places.is_empty());
    for place in &*places {
        let place = place.as_ref().unwrap();
        let behind = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        assert_eq!(*place, behind);
    }
}

fn full() -> ObjectError {
    std::io::Error::other("the disk is full").into()
}

/// The end of a job that has put some of its output where it belongs, and cannot write the rest of it: for good, or until
/// patience ends.
#[test]
fn a_job_that_fails_while_it_is_put_together_leaves_nothing() {
    let denied = || ObjectError::Denied;
    for refused in [full, denied] {
        let ground = Ground::new(&[("in/a.txt", b"1\n2"), ("in/b.txt", b"3")]);
        ground.objects.put("answers", "out/job/of-others", b"stays");
        let refusal: Refusal = Box::new(move |key| key.ends_with("b.txt.out").then(refused));
        let objects = Arc::new(Flaky(ground.objects.clone(), refusal));
        let mut options = options();
        options.patience = Duration::ZERO;
        let words = works(Words::default());
        let runner = Runner::start(ground.jobs.clone(), objects, words, options).unwrap();
        let form = Form::Files {
            suffix: ".out".to_owned(),
        };
        let job = ended(&runner, &submit(&runner, spec(Split::Lines, form)));
        assert_eq!(job.state, State::Failed);
        let (why, error) = (job.why.unwrap(), refused().to_string());
        assert!(why.starts_with(OF_OUTPUT) && why.contains(&error), "{why}");
        // What it had written is gone when it is seen to have failed; its parts go after that.
        let name = ObjectName::new("answers", "out/job/a.txt.out", None).unwrap();
        assert!(ground.objects.open(&name).is_err());
        let events = runner.events(&job.id, 0, 1000).unwrap();
        let again = events
            .iter()
            .filter(|event| event.text.contains("tried again"));
        let is_full = error.contains("full");
        assert_eq!(
            again.count(),
            usize::from(is_full),
            "as long as patience lasts"
        );
        ground.left(&["out/job/of-others"]);
    }
}

#[test]
fn what_cannot_be_put_together_now_is_later_and_nothing_is_asked_again() {
    let ground = Ground::new(&[("in/a.txt", b"1\n2\n3\n4\n5")]);
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let words = Words {
        asked: Some(Box::new(move |documents| {
            counted.fetch_add(documents.len() as u32, Ordering::SeqCst);
        })),
        ..Words::default()
    };
    let times = AtomicU32::new(0);
    let refusal: Refusal = Box::new(move |key| {
        let is_refused = key.ends_with(".gz") && times.fetch_add(1, Ordering::SeqCst) < 2;
        is_refused.then(full)
    });
    let objects = Arc::new(Flaky(ground.objects.clone(), refusal));
    let runner = Runner::start(ground.jobs.clone(), objects, works(words), options());
    let runner = runner.unwrap();
    let id = submit(&runner, spec(Split::Lines, archive()));
    completed(&runner, &id);
    assert_eq!(asked.load(Ordering::SeqCst), 5);
    assert_eq!(ground.lines().len(), 5);
    let events = runner.events(&id, 0, 1000).unwrap();
    let said = events
        .iter()
        .filter(|event| event.text.contains("the disk is full"));
    assert_eq!(said.count(), 2);
}

#[test]
fn a_stopped_job_frees_the_machine_at_once_and_leaves_what_was_done() {
    let ground = Ground::new(&[("in/a.txt", b"1\n2\n3\n4\nhold\n6")]);
    let (held, freed) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    /// Says when it is dropped.
    struct Freed(Arc<AtomicBool>);
    impl Drop for Freed {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    struct Holding(Words, Arc<AtomicBool>, Arc<AtomicBool>);
    impl escala_batch::work::Work for Holding {
        fn bounds(&self, spec: &Spec) -> escala_batch::work::Bounds {
            self.0.bounds(spec)
        }
        fn predict<'a>(
            &'a self,
            spec: &'a Spec,
            documents: Vec<Vec<u8>>,
            seen: &'a escala_batch::work::Seen,
        ) -> futures_util::future::BoxFuture<'a, Vec<escala_batch::work::Answer>> {
            Box::pin(async move {
                if documents.iter().any(|document| document == b"hold") {
                    let _freed = Freed(self.2.clone());
                    self.1.store(true, Ordering::SeqCst);
                    std::future::pending::<()>().await;
                }
                self.0.predict(spec, documents, seen).await
            })
        }
        fn too_large(&self, spec: &Spec, bytes: u64) -> escala_batch::work::Failed {
            self.0.too_large(spec, bytes)
        }
        fn render(
            &self,
            spec: &Spec,
            place: escala_batch::work::Place<'_>,
            answer: Result<&[u8], &escala_batch::work::Failed>,
            to: &mut Vec<u8>,
        ) {
            self.0.render(spec, place, answer, to);
        }
    }
    let work: Arc<dyn escala_batch::work::Work> =
        Arc::new(Holding(Words::default(), held.clone(), freed.clone()));
    let mut options = options();
    options.tasks = 1;
    let runner = Runner::start(
        ground.jobs.clone(),
        Arc::new(ground.objects.clone()),
        Arc::new([(KIND.to_owned(), work)].into()),
        options,
    )
    .unwrap();
    let id = submit(&runner, spec(Split::Lines, archive()));
    wait(&runner, &id, |_| held.load(Ordering::SeqCst));
    let job = runner.stop(&id).unwrap();
    assert_eq!(job.state, State::StopRequested);
    assert_eq!(runner.stop(&id).unwrap().state, State::StopRequested);
    let job = ended(&runner, &id);
    assert_eq!(job.state, State::Stopped);
    assert!(
        freed.load(Ordering::SeqCst),
        "its place in the queue is free"
    );
    assert_eq!(ground.lines().len(), 4, "the first task");
    let again = runner.stop(&id);
    assert!(matches!(
        again,
        Err(Error::Store(store::Error::State { .. }))
    ));
    ground.left(&["out/job/output.tar.gz"]);
}

#[test]
fn what_rests_goes_on_where_it_was() {
    let ground = Ground::new(&[("in/a.txt", b"1\n2\n3\n4\n5\n6\n7\n8\n9")]);
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let words = |stuck: bool| {
        let asked = asked.clone();
        Words {
            asked: Some(Box::new(move |documents| {
                let texts = documents
                    .iter()
                    .map(|d| String::from_utf8_lossy(d).into_owned());
                asked.lock().extend(texts);
            })),
            instead: Some(Box::new(move |text| {
                (stuck && text == "5").then(|| failed(Fault::Now, "BUSY"))
            })),
            ..Words::default()
        }
    };
    let mut options = options();
    options.tasks = 1;
    let runner = ground.runner(words(true), options.clone());
    let id = submit(&runner, spec(Split::Lines, archive()));
    wait(&runner, &id, |_| {
        asked.lock().iter().any(|text| text == "5")
    });
    runner.rest();
    let job = runner.job(&id).unwrap();
    assert_eq!(job.state, State::Running, "it goes on at the next start");
    let states = ground.jobs.task_states(&id).unwrap();
    assert_eq!(states, [(TaskState::Pending, 2), (TaskState::Done, 1)]);
    let tasks = ground.jobs.tasks(&id).unwrap();
    assert!(
        tasks[1..].iter().all(|task| task.attempt == 0),
        "rest is no attempt"
    );
    drop(runner);
    asked.lock().clear();
    let runner = ground.runner(words(false), options);
    completed(&runner, &id);
    assert_eq!(*asked.lock(), ["5", "6", "7", "8", "9"]);
    assert_eq!(ground.lines().len(), 9);
}

#[test]
fn a_task_that_nobody_comes_back_from_becomes_errors() {
    let (ground, usage) = lost(archive());
    let lines = ground.lines();
    let errors = lines.iter().map(|line| line.get("ErrorCode").is_some());
    assert_eq!(errors.collect::<Vec<_>>(), [true, true, true, true, false]);
    assert_eq!(usage, (5, 4));
    let (ground, usage) = lost(summed());
    let summary: Value = serde_json::from_slice(&ground.read("out/job/summary.json")).unwrap();
    let errors = codes(summary["errors"].as_array().unwrap());
    let lines: Vec<u64> = errors.iter().map(|(_, line, _)| *line).collect();
    assert_eq!(lines, [0, 1, 2, 3]);
    assert_eq!(usage, (5, 4));
}

/// What is left of a job of five documents, four of them of a task that somebody else began and is gone; documents and errors.
fn lost(form: Form) -> (Ground, (u64, u64)) {
    let ground = Ground::new(&[("in/a.txt", b"1\n2\n3\n4\n5")]);
    let jobs = &*ground.jobs;
    let job = spec(Split::Lines, form);
    running(&ground.objects, jobs, &Words::default(), job, options().cut);
    jobs.lease("1", "gone", 1, i64::MAX, 1).unwrap();
    let mut options = options();
    options.attempts = 1;
    let runner = ground.runner(Words::default(), options);
    let job = completed(&runner, "1");
    let (usage, _) = runner.progress(&job).unwrap();
    (ground, (usage.documents, usage.errors))
}

#[test]
fn urgent_jobs_go_first_and_equal_ones_in_turn() {
    let lines: String = (0..24).map(|line| format!("{line}\n")).collect();
    let ground = Ground::new(&[("in/a.txt", lines.as_bytes())]);
    let go = Arc::new(AtomicBool::new(false));
    let mut options = options();
    options.tasks = 1;
    let runner = ground.runner(held(&go), options);
    let with = |priority: i32, folder: &str| {
        let mut spec = spec(Split::Lines, archive());
        spec.priority = priority;
        spec.output.folder = format!("{folder}/");
        submit(&runner, spec)
    };
    let ids = [with(0, "a"), with(0, "b"), with(5, "c")];
    for id in &ids {
        wait(&runner, id, |job| job.state == State::Running);
    }
    go.store(true, Ordering::SeqCst);
    for id in &ids {
        completed(&runner, id);
    }
    // Tasks of the two others took turns: the first of one came before the last of the other.
    let at = |id: &str, word: &str| {
        let events = runner.events(id, 0, 1000).unwrap();
        let mut found = events.iter().filter(|event| event.text.contains(word));
        (found.next().unwrap().at, found.next_back().unwrap().at)
    };
    let [a, b, c] = ids.each_ref().map(|id| at(id, "is leased"));
    assert!(a.0 <= b.1 && b.0 <= a.1, "{a:?} {b:?}");
    // Two tasks could be begun before the urgent job was there; the last of each came after all of its own.
    assert!(c.1 <= a.1 && c.1 <= b.1, "{a:?} {b:?} {c:?}");
}

#[test]
fn so_many_jobs_of_a_kind_and_a_token_for_each() {
    let ground = Ground::new(&[("in/a.txt", b"1")]);
    let mut options = options();
    options.live = 2;
    let runner = ground.runner(held(&Arc::default()), options);
    let again = || {
        let token = Token {
            token: "t",
            request: "r",
        };
        let spec = spec(Split::Lines, archive());
        runner.submit(Runner::new_id(), spec, Some(token)).unwrap()
    };
    let (first, again) = (again(), again());
    assert_eq!(first.job().id, again.job().id);
    submit(&runner, spec(Split::Lines, archive()));
    let refused = runner.submit(Runner::new_id(), spec(Split::Lines, archive()), None);
    assert!(matches!(
        refused,
        Err(Error::Store(store::Error::Quota { live: 2 }))
    ));
}
