//! A process that works on a job is killed in the middle of it, again and again: the output is that of a job which nobody
//! disturbed, byte for byte, and no document of a finished task is asked about again.
//!
//! The program that is killed is this test itself, started with `ESCALA_JOBS_FOLDER` set. It notes every document that it
//! asks about in a file. `ESCALA_JOBS_KILLS` sets the number of kills, `ESCALA_JOBS_SEED` where they begin.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::folder::Folder;
use common::{Words, archive, completed, spec, summed, unpacked, works};
use escala_batch::job::{Split, State, TaskState};
use escala_batch::runner::{Cut, Options, Point, Runner, Token};
use escala_batch::store::sqlite::Sqlite;
use escala_batch::store::{Error, Filter, Store};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const FOLDER: &str = "ESCALA_JOBS_FOLDER";
const POINT: &str = "ESCALA_JOBS_POINT";
/// A file that is there where one document kills whoever asks about it.
const DEADLY: &str = "deadly";
/// That document.
const DEADLY_LINE: (&str, u64) = ("b.txt", 3000);
/// A file that is there where the output is one of answers and one of errors, and not an archive.
const SUMMED: &str = "summed";
/// Lines of each input.
const FILES: [(&str, u64); 3] = [("a.txt", 12_000), ("b.txt", 7_985), ("c.txt", 15)];

const POINTS: [Point; 9] = [
    Point::Planned,
    Point::MidBatch,
    Point::PartWritten,
    Point::PartPublished,
    Point::MidAssembly,
    Point::OutputWritten,
    Point::Assembled,
    Point::MidClearing,
    Point::BeforeCompleted,
];

fn inputs(folder: &Path, summed: bool) {
    if summed {
        File::create(folder.join(SUMMED)).unwrap();
    }
    let texts = folder.join("objects/texts/in");
    std::fs::create_dir_all(&texts).unwrap();
    std::fs::create_dir_all(folder.join("objects/answers")).unwrap();
    for (name, lines) in FILES {
        let mut file = File::create(texts.join(name)).unwrap();
        for line in 0..lines {
            let ending = ["\n", "\r\n", "\r"][line as usize % 3];
            let filler = "word ".repeat(line as usize % 7);
            let bad = if line % 997 == 5 {
                b"\xff ".as_slice()
            } else {
                b""
            };
            file.write_all(bad).unwrap();
            write!(file, "{name} {line} {filler}{ending}").unwrap();
        }
    }
}

/// The jobs. A process that another test begins has a copy of whatever is open here until it is another program.
fn opened(folder: &Path) -> Sqlite {
    let began = Instant::now();
    loop {
        match Sqlite::open(&folder.join("state")) {
            Err(Error::Held(_)) if began.elapsed() < Duration::from_secs(60) => {
                std::thread::yield_now();
            }
            opened => return opened.unwrap(),
        }
    }
}

/// The process that is killed: does the job to its end.
fn work(folder: &Path) {
    let store = Arc::new(opened(folder));
    let objects = Arc::new(Folder(folder.join("objects")));
    let asked = File::options()
        .append(true)
        .create(true)
        .open(folder.join("asked"))
        .unwrap();
    let note = move |documents: &[Vec<u8>]| {
        let mut text = Vec::new();
        for document in documents {
            let document = document.strip_prefix(b"\xff ").unwrap_or(document);
            let mut words = document.split(|byte| *byte == b' ');
            text.extend_from_slice(words.next().unwrap());
            text.push(b' ');
            text.extend_from_slice(words.next().unwrap());
            text.push(b'\n');
        }
        // One write, so that a kill leaves whole lines.
        (&asked).write_all(&text).unwrap();
    };
    let die = || {
        let me = rustix::process::getpid();
        rustix::process::kill_process(me, rustix::process::Signal::KILL).unwrap();
    };
    let deadly = folder.join(DEADLY).exists().then(|| {
        let (file, line) = DEADLY_LINE;
        format!("{file} {line} ")
    });
    let words = Words {
        instead: Some(Box::new(move |text| {
            if deadly
                .as_ref()
                .is_some_and(|deadly| text.starts_with(deadly))
            {
                die();
            }
            None
        })),
        asked: Some(Box::new(note)),
        takes: (Duration::from_millis(1), Duration::from_micros(30)),
    };
    let point = std::env::var(POINT).unwrap_or_default();
    let options = Options {
        cut: Cut {
            bytes: 1 << 20,
            documents: 500,
        },
        reached: Some(Arc::new(move |reached| {
            if format!("{reached:?}") == point {
                die();
            }
        })),
        ..Options::default()
    };
    let runner = Runner::start(store, objects, works(words), options).unwrap();
    let token = Token {
        token: "once",
        request: "the same",
    };
    let form = match folder.join(SUMMED).exists() {
        true => summed(),
        false => archive(),
    };
    let spec = spec(Split::Lines, form);
    let job = runner.submit(Runner::new_id(), spec, Some(token)).unwrap();
    completed(&runner, &job.job().id);
}

fn start(folder: &Path, point: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_job_is_done_once", "--nocapture"])
        .env(FOLDER, folder)
        .env(POINT, point)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What was asked about, behind a place in the notes.
fn asked(folder: &Path, from: usize) -> Vec<(String, u64)> {
    let notes = std::fs::read(folder.join("asked")).unwrap_or_default();
    let text = String::from_utf8(notes).unwrap();
    text[from..]
        .lines()
        .map(|line| {
            let (file, line) = line.split_once(' ').unwrap();
            (file.to_owned(), line.parse().unwrap())
        })
        .collect()
}

/// The documents of finished tasks, and where the notes end.
fn finished(folder: &Path) -> (BTreeSet<(String, u64)>, usize) {
    let notes = std::fs::read(folder.join("asked"))
        .unwrap_or_default()
        .len();
    let store = opened(folder);
    let all = Filter {
        most: 10,
        ..Filter::default()
    };
    let jobs = store.jobs(&all).unwrap();
    assert!(jobs.len() <= 1, "asking again makes no other job");
    let mut finished = BTreeSet::new();
    for job in jobs {
        for task in store.tasks(&job.id).unwrap() {
            if task.state != TaskState::Done {
                continue;
            }
            for piece in task.pieces {
                let file = FILES[piece.input as usize].0;
                let lines = piece.first..piece.first + piece.documents;
                finished.extend(lines.map(|line| (file.to_owned(), line)));
            }
        }
    }
    (finished, notes)
}

/// One run, killed after a while or at a point; whether it came to its end.
fn run(folder: &Path, kill: Option<Duration>, point: &str) -> ExitStatus {
    let (before, notes) = finished(folder);
    let mut child = start(folder, point);
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if kill.is_some_and(|kill| began.elapsed() >= kill) {
            child.kill().unwrap();
            break child.wait().unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(300), "it hangs");
        // The instant of the kill is what is waited for.
        std::thread::sleep(Duration::from_millis(1));
    };
    for document in asked(folder, notes) {
        assert!(
            !before.contains(&document),
            "{document:?} is of a finished task and was asked about again"
        );
    }
    status
}

/// The bytes of the output, of all its files one after the other.
fn output(folder: &Path) -> Option<Vec<u8>> {
    let files: &[&str] = match folder.join(SUMMED).exists() {
        true => &["answers.jsonl", "summary.json"],
        false => &["output.tar.gz"],
    };
    let read = |file: &&str| std::fs::read(folder.join("objects/answers/out/job").join(file)).ok();
    let files: Option<Vec<Vec<u8>>> = files.iter().map(read).collect();
    files.map(|files| files.concat())
}

/// What a job that nobody disturbs comes to.
fn undisturbed(summed: bool) -> (Vec<u8>, Duration) {
    let folder = tempfile::tempdir().unwrap();
    inputs(folder.path(), summed);
    let began = Instant::now();
    assert!(run(folder.path(), None, "").success());
    let took = began.elapsed();
    let bytes = output(folder.path()).unwrap();
    let text = match summed {
        true => String::from_utf8(bytes.clone()).unwrap(),
        false => unpacked(&bytes),
    };
    let all: u64 = FILES.iter().map(|(_, lines)| lines).sum();
    assert_eq!(text.matches("\"File\"").count() as u64, all);
    let bad: u64 = FILES
        .iter()
        .map(|(_, lines)| (lines - 5).div_ceil(997))
        .sum();
    assert_eq!(text.matches("UNSUPPORTED_ENCODING").count() as u64, bad);
    assert_eq!(asked(folder.path(), 0).len() as u64, all, "each once");
    (bytes, took)
}

fn whole(folder: &Path, expected: &[u8]) {
    let bytes = output(folder).expect("there is an output");
    assert!(
        bytes == expected,
        "the output differs from an undisturbed one"
    );
    let (finished, _) = finished(folder);
    let all: u64 = FILES.iter().map(|(_, lines)| lines).sum();
    assert_eq!(finished.len() as u64, all);
    // What nobody saw the end of is deleted at the next start.
    let _ = run(folder, None, "");
}

#[test]
fn a_killed_job_is_done_once() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        work(Path::new(&folder));
        return;
    }
    let number = |name: &str, default: u64| {
        let value = std::env::var(name).ok();
        value.map_or(default, |value| value.parse().unwrap())
    };
    let mut seed = number("ESCALA_JOBS_SEED", 7);
    let kills = number("ESCALA_JOBS_KILLS", 100);
    println!("seed {seed}, {kills} kills");
    let mut random = move || {
        // https://prng.di.unimi.it/splitmix64.c
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let (expected, took) = undisturbed(false);
    let (mut killed, mut jobs, mut unfinished) = (0, 0, 0);
    while killed < kills {
        jobs += 1;
        let folder = tempfile::tempdir().unwrap();
        inputs(folder.path(), false);
        loop {
            let kill = (killed < kills).then(|| took.mul_f64((random() % 1000) as f64 / 1000.0));
            let status = run(folder.path(), kill, "");
            if status.success() {
                break;
            }
            assert_eq!(status.signal(), Some(9), "it ended by itself: {status}");
            killed += 1;
            unfinished += u64::from(output(folder.path()).is_none());
        }
        whole(folder.path(), &expected);
    }
    println!("{killed} kills of {jobs} jobs, {unfinished} before there was an output");
    assert!(unfinished > 0, "the kills came in the middle of the work");
}

/// A document that kills the process is told from kills by others: its task ends as errors, and nothing else does.
#[test]
fn a_document_that_kills_is_given_up() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    inputs(folder.path(), false);
    File::create(folder.path().join(DEADLY)).unwrap();
    let mut deaths = 0;
    while !run(folder.path(), None, "").success() {
        deaths += 1;
        assert!(deaths <= 10, "it kills for ever");
    }
    // Of the first nothing is known.
    assert_eq!(deaths, Options::default().attempts + 1);
    let text = unpacked(&output(folder.path()).unwrap());
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let all: u64 = FILES.iter().map(|(_, lines)| lines).sum();
    assert_eq!(lines.len() as u64, all);
    let given_up = |line: &&serde_json::Value| line["ErrorCode"] == "INTERNAL_SERVER_ERROR";
    let given_up: Vec<_> = lines.iter().filter(given_up).collect();
    assert_eq!(given_up.len(), 500, "its task");
    assert!(
        given_up
            .iter()
            .any(|line| { line["File"] == DEADLY_LINE.0 && line["Line"] == DEADLY_LINE.1 })
    );
}

/// So is a job whose planning kills, and it says why.
#[test]
fn a_plan_that_kills_is_given_up() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    inputs(folder.path(), false);
    let mut deaths = 0;
    while run(folder.path(), None, "Planned").signal() == Some(9) {
        deaths += 1;
        assert!(deaths <= 20, "it kills for ever");
    }
    // Of the first nothing is known.
    assert_eq!(deaths, Options::default().plan_attempts + 1);
    let store = opened(folder.path());
    let all = Filter {
        most: 10,
        ..Filter::default()
    };
    let job = store.jobs(&all).unwrap().remove(0);
    assert_eq!(job.state, State::Failed);
    let why = job.why.unwrap();
    assert!(why.contains("did not come back, too often"), "{why}");
}

#[test]
fn a_job_killed_at_any_step_is_done_once() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    for summed in [false, true] {
        let (expected, _) = undisturbed(summed);
        for point in POINTS {
            let folder = tempfile::tempdir().unwrap();
            inputs(folder.path(), summed);
            let status = run(folder.path(), None, &format!("{point:?}"));
            assert_eq!(status.signal(), Some(9), "{point:?} was reached");
            let late = [Point::Assembled, Point::MidClearing, Point::BeforeCompleted];
            let is_late = late.contains(&point);
            assert_eq!(output(folder.path()).is_some(), is_late, "{point:?}");
            assert!(run(folder.path(), None, "").success(), "{point:?}");
            whole(folder.path(), &expected);
        }
    }
}
