//! Jobs whose documents are rows of tables: a work that knows tables cuts them and writes their rows.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{KIND, completed, ended, failed, spec, wait};
use escala_batch::job::{Form, Input, Job, Piece, Spec, Split, State};
use escala_batch::runner::{Cut, Options, Runner, Trouble, Works};
use escala_batch::store::memory::Memory as Jobs;
use escala_batch::work::{
    Answer, Asked, Bounds, Collected, Failed, Fault, Place, Scored, Scoring, Seen, Tables, Work,
};
use escala_objects::memory::Memory;
use escala_objects::{ObjectName, ObjectStore};
use futures_util::future::BoxFuture;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Tables are lines; a row's answer is the row in capital letters.
struct Capitals {
    objects: Memory,
    scored: Arc<AtomicU32>,
    /// From the second piece on waits until this is set.
    held: Option<Arc<AtomicBool>>,
    /// Inputs have their output where all rows have answers; these are the inputs then.
    strict: Option<Vec<String>>,
    /// The jobs that it was told have ended.
    ended: Arc<Mutex<Vec<State>>>,
}

impl Capitals {
    fn rows(&self, key: &str) -> Result<Vec<Vec<u8>>, Trouble> {
        let name = ObjectName::new("texts", key, None).unwrap();
        let mut text = Vec::new();
        let object = self.objects.open(&name);
        let mut object = object.map_err(|error| Trouble::Now(error.to_string()))?;
        object.bytes.read_to_end(&mut text).unwrap();
        Ok(text
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect())
    }
}

impl Tables for Capitals {
    fn passes_over(&self, key: &str) -> bool {
        key.starts_with('_')
    }

    fn takes_empty(&self) -> bool {
        self.strict.is_some()
    }

    fn is_strict(&self) -> bool {
        self.strict.is_some()
    }

    fn keys(&self, _: &Spec) -> Result<Option<Vec<String>>, Trouble> {
        Ok(self.strict.clone())
    }

    fn root(&self, _: &Spec, _: &[Input]) -> Option<usize> {
        self.strict.is_some().then_some(0)
    }

    fn cut<'a>(
        &'a self,
        _: &'a Spec,
        input: u64,
        key: &'a str,
        cut: Cut,
    ) -> BoxFuture<'a, Result<Vec<Piece>, Trouble>> {
        Box::pin(async move {
            if key.ends_with("endless.csv") {
                std::future::pending::<()>().await;
            }
            let (mut at, mut first) = (0, 0);
            let rows = self.rows(key)?;
            let pieces = rows.chunks(cut.documents as usize).map(|rows| {
                let (from, before) = (at, first);
                at += rows.iter().map(Vec::len).sum::<usize>() as u64;
                first += rows.len() as u64;
                Piece {
                    input,
                    from,
                    to: at,
                    first: before,
                    documents: rows.len() as u64,
                }
            });
            Ok(pieces.collect())
        })
    }

    fn score<'a>(
        &'a self,
        _: &'a Spec,
        asked: Asked<'a>,
        write: &'a mut Scoring<'a>,
    ) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async move {
            let Asked { key, piece, .. } = asked;
            while piece.first > 0
                && let Some(held) = &self.held
                && !held.load(Ordering::SeqCst)
            {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let rows = self.rows(key)?.into_iter().enumerate();
            let wanted = piece.first..piece.first + piece.documents;
            for (number, row) in rows.filter(|(number, _)| wanted.contains(&(*number as u64))) {
                self.scored.fetch_add(1, Ordering::SeqCst);
                let bad = row.starts_with(b"bad");
                let why = failed(Fault::Document, "BAD");
                write(Scored {
                    bytes: row.to_ascii_uppercase(),
                    rows: 1,
                    failed: Vec::from_iter(bad.then_some((number as u64, why))),
                    counted: Collected {
                        characters: row.len() as u64,
                        units: 1,
                        tokens: 3,
                        pixels: 40,
                    },
                })?;
            }
            Ok(())
        })
    }
}

impl Work for Capitals {
    fn bounds(&self, _: &Spec) -> Bounds {
        Bounds {
            document: 1,
            documents: 1000,
            bytes: 1 << 20,
        }
    }

    fn predict<'a>(
        &'a self,
        _: &'a Spec,
        _: Vec<Vec<u8>>,
        _: &'a Seen,
    ) -> BoxFuture<'a, Vec<Answer>> {
        unreachable!("rows of tables are not predicted")
    }

    fn too_large(&self, _: &Spec, _: u64) -> Failed {
        unreachable!("rows of tables are not measured")
    }

    fn tables(&self) -> Option<&dyn Tables> {
        Some(self)
    }

    fn render(&self, _: &Spec, _: Place<'_>, _: Result<&[u8], &Failed>, _: &mut Vec<u8>) {
        unreachable!("rows of tables are not rendered")
    }

    fn ended(&self, job: &Job) {
        self.ended.lock().unwrap().push(job.state);
    }
}

struct Ground {
    jobs: Arc<Jobs>,
    objects: Memory,
    scored: Arc<AtomicU32>,
    strict: Option<Vec<String>>,
    ended: Arc<Mutex<Vec<State>>>,
}

impl Ground {
    fn new(files: &[(&str, &str)]) -> Self {
        let objects = Memory::default();
        objects.bucket("answers");
        for (key, text) in files {
            objects.put("texts", key, text.as_bytes());
        }
        Self {
            jobs: Arc::default(),
            objects,
            scored: Arc::default(),
            strict: None,
            ended: Arc::default(),
        }
    }

    fn runner(&self, held: Option<Arc<AtomicBool>>) -> Runner {
        let work: Arc<dyn Work> = Arc::new(Capitals {
            objects: self.objects.clone(),
            scored: self.scored.clone(),
            held,
            strict: self.strict.clone(),
            ended: self.ended.clone(),
        });
        let works: Works = Arc::new([(KIND.to_owned(), work)].into());
        let options = Options {
            cut: Cut {
                bytes: 1 << 20,
                documents: 2,
            },
            tasks: 1,
            ..Options::default()
        };
        let objects = Arc::new(self.objects.clone());
        Runner::start(self.jobs.clone(), objects, works, options).unwrap()
    }

    /// What is in the output, but for parts, which go after the end.
    fn output(&self) -> Vec<(String, String)> {
        let listed = self.objects.list("answers", "out/job/", "", 1000).unwrap();
        let keys = listed.into_iter().map(|listed| listed.key);
        let keys = keys.filter(|key| !key.contains("/.parts/"));
        keys.map(|key| {
            let name = ObjectName::new("answers", &key, None).unwrap();
            let mut text = String::new();
            let mut object = self.objects.open(&name).unwrap();
            object.bytes.read_to_string(&mut text).unwrap();
            (key["out/job/".len()..].to_owned(), text)
        })
        .collect()
    }
}

fn submit(runner: &Runner, form: Form) -> String {
    let spec = spec(Split::Rows, form);
    let submitted = runner.submit(Runner::new_id(), spec, None).unwrap();
    submitted.job().id
}

/// Waits for the first piece.
fn first_piece(runner: &Runner, id: &str) {
    wait(runner, id, |job| {
        runner.progress(job).unwrap().1.documents >= 2
    });
}

const FILES: [(&str, &str); 4] = [
    ("in/_SUCCESS", "x\n"),
    ("in/a.csv", "a\nbad\nc\nd\ne\n"),
    ("in/b.parquet", "1\n2\n3\n"),
    ("in/sub/c.jsonl", "only\n"),
];

fn named(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    files.iter().map(owned).collect()
}

#[test]
fn tables_of_lines_are_joined_and_others_are_files_for_each_piece() {
    let ground = Ground::new(&FILES);
    let runner = ground.runner(None);
    let job = completed(&runner, &submit(&runner, Form::Tables { ending: None }));
    assert_eq!(
        ground.output(),
        named(&[
            ("a.csv", "A\nBAD\nC\nD\nE\n"),
            ("b-0000000000.parquet", "1\n2\n"),
            ("b-0000000002.parquet", "3\n"),
            ("sub/c.jsonl", "ONLY\n"),
        ])
    );
    assert_eq!((job.planned.inputs, job.planned.documents), (3, 9));
    assert_eq!(job.samples.len(), 1);
    assert_eq!(
        (job.samples[0].file.as_str(), job.samples[0].line),
        ("a.csv", Some(1))
    );
    let (usage, progress) = runner.progress(&job).unwrap();
    assert_eq!((usage.documents, usage.errors, usage.units), (9, 1, 9));
    assert_eq!((usage.tokens, usage.pixels), (27, 360));
    assert_eq!((usage.read, usage.written), (23, 23));
    assert_eq!((progress.documents, progress.errors), (9, 1));
}

#[test]
fn one_ending_for_all_makes_the_form_of_all() {
    let ground = Ground::new(&FILES);
    let runner = ground.runner(None);
    let ending = Some("arrow".to_owned());
    completed(&runner, &submit(&runner, Form::Tables { ending }));
    let names: Vec<String> = ground.output().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "a-0000000000.arrow",
            "a-0000000002.arrow",
            "a-0000000004.arrow",
            "b-0000000000.arrow",
            "b-0000000002.arrow",
            "sub/c.arrow",
        ]
    );
}

/// Jobs that cannot have the output of each input fail while they are planned, and touch nothing.
#[test]
fn two_tables_of_one_name_and_tables_in_the_place_of_others_are_refused() {
    let ground = Ground::new(&[("in/a.csv", "a\n"), ("in/a.jsonl", "b\n")]);
    let runner = ground.runner(None);
    let ending = Some("parquet".to_owned());
    let job = ended(&runner, &submit(&runner, Form::Tables { ending }));
    assert_eq!(job.state, State::Failed);
    let why = job.why.unwrap();
    assert!(why.contains("`in/a.csv` and `in/a.jsonl`"), "{why}");
    let mut over = spec(Split::Rows, Form::Tables { ending: None });
    (over.output.bucket, over.output.folder) = ("texts".to_owned(), "in/".to_owned());
    let submitted = runner.submit(Runner::new_id(), over, None).unwrap();
    let job = ended(&runner, &submitted.job().id);
    assert_eq!(job.state, State::Failed);
    let why = job.why.unwrap();
    assert!(why.contains("s3://texts/in/a.csv would replace"), "{why}");
    assert_eq!(ground.scored.load(Ordering::SeqCst), 0, "nothing is asked");
    assert_eq!(ground.output(), []);
    assert_eq!(ground.objects.list("texts", "", "", 10).unwrap().len(), 2);
    // With names of their own they are both there.
    completed(&runner, &submit(&runner, Form::Tables { ending: None }));
    let both = [("a.csv", "A\n"), ("a.jsonl", "B\n")];
    assert_eq!(ground.output(), named(&both));
}

#[test]
fn what_is_done_is_not_done_again_and_a_stopped_job_has_the_first_rows() {
    let ground = Ground::new(&FILES[1..2]);
    let held = Arc::new(AtomicBool::new(false));
    let runner = ground.runner(Some(held.clone()));
    let id = submit(&runner, Form::Tables { ending: None });
    first_piece(&runner, &id);
    // The runner rests, and another goes on.
    drop(runner);
    held.store(true, Ordering::SeqCst);
    let runner = ground.runner(None);
    completed(&runner, &id);
    assert_eq!(ground.output(), named(&[("a.csv", "A\nBAD\nC\nD\nE\n")]));
    assert_eq!(ground.scored.load(Ordering::SeqCst), 5, "each row once");

    held.store(false, Ordering::SeqCst);
    drop(runner);
    let runner = ground.runner(Some(held));
    let id = submit(&runner, Form::Tables { ending: None });
    first_piece(&runner, &id);
    runner.stop(&id).unwrap();
    let job = ended(&runner, &id);
    assert_eq!(job.state, State::Stopped);
    assert_eq!(ground.output(), named(&[("a.csv", "A\nBAD\n")]));
}

#[test]
fn a_strict_work_leaves_inputs_with_errors_out() {
    let files = [
        FILES[1],
        FILES[3],
        ("in/empty.csv", ""),
        ("in/z.csv", "z\n"),
    ];
    let mut ground = Ground::new(&files);
    let keys = [
        "in/z.csv",
        "in/sub/c.jsonl",
        "in/empty.csv",
        "in/a.csv",
        "in/z.csv",
    ];
    ground.strict = Some(keys.map(str::to_owned).to_vec());
    let runner = ground.runner(None);
    let suffix = ".out".to_owned();
    let files = || Form::Files {
        suffix: suffix.clone(),
    };
    let job = ended(&runner, &submit(&runner, files()));
    assert_eq!(job.state, State::Failed);
    assert_eq!(
        job.why.as_deref(),
        Some(failed(Fault::Document, "BAD").message.as_str())
    );
    assert_eq!(ground.scored.load(Ordering::SeqCst), 7, "all are asked");
    let sound = [
        ("in/empty.csv.out", ""),
        ("in/sub/c.jsonl.out", "ONLY\n"),
        ("in/z.csv.out", "Z\n"),
    ];
    assert_eq!(ground.output(), named(&sound));
    // It is told on the runner's thread, after everybody can see it.
    drop(runner);
    assert_eq!(*ground.ended.lock().unwrap(), [State::Failed]);

    let held = Arc::new(AtomicBool::new(false));
    let stopped = Ground {
        strict: ground.strict.clone(),
        ..Ground::new(&FILES)
    };
    stopped.objects.put("texts", "in/empty.csv", b"");
    stopped.objects.put("texts", "in/z.csv", b"z\n");
    let runner = stopped.runner(Some(held));
    let id = submit(&runner, files());
    first_piece(&runner, &id);
    runner.stop(&id).unwrap();
    assert_eq!(ended(&runner, &id).state, State::Stopped);
    assert_eq!(stopped.output(), [], "nothing is left of it");
}

#[test]
fn a_job_is_stopped_while_its_tables_are_cut() {
    let ground = Ground::new(&[("in/endless.csv", "1\n")]);
    let runner = ground.runner(None);
    let id = submit(&runner, Form::Tables { ending: None });
    wait(&runner, &id, |job| job.state == State::Planning);
    runner.stop(&id).unwrap();
    assert_eq!(ended(&runner, &id).state, State::Stopped);
    // And a runner that is to rest does.
    submit(&runner, Form::Tables { ending: None });
    drop(runner);
}

#[test]
fn a_table_that_changes_fails_the_job() {
    let ground = Ground::new(&FILES[1..2]);
    let held = Arc::new(AtomicBool::new(false));
    let runner = ground.runner(Some(held.clone()));
    let id = submit(&runner, Form::Tables { ending: None });
    first_piece(&runner, &id);
    ground
        .objects
        .put("texts", "in/a.csv", b"a\nbad\nc\nD\ne\n");
    held.store(true, Ordering::SeqCst);
    let job = ended(&runner, &id);
    assert_eq!(job.state, State::Failed);
    assert!(job.why.unwrap().contains("has changed"));
    assert_eq!(ground.output(), []);
}
