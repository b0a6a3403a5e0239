//! Jobs whose output is not an answer a document: a work on the whole reads all documents as often as it wants.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::refusing::{Asked, Refusing};
use common::{KIND, Words, completed, ended, failed, running, spec, wait};
use escala_batch::job::{Form, Job, Spec, Split, State};
use escala_batch::runner::{Cut, Options, Runner, Trouble, Works};
use escala_batch::store::Store;
use escala_batch::store::memory::Memory as Jobs;
use escala_batch::work::{
    Answer, Bounds, Collected, Documents, Failed, Fault, Made, Place, Seen, Telling, Whole, Work,
    Writing,
};
use escala_objects::memory::Memory;
use escala_objects::{ObjectName, ObjectStore};
use futures_util::future::BoxFuture;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Counts all words first, then writes each document's share of them.
#[derive(Default)]
struct Shares {
    /// Waits in the middle, until this is set or the job is to rest.
    held: Option<Arc<AtomicBool>>,
    begun: Arc<AtomicU32>,
}

fn count(text: &[u8]) -> usize {
    String::from_utf8_lossy(text).split_whitespace().count()
}

impl Whole for Shares {
    fn collect(
        &self,
        spec: &Spec,
        documents: &mut dyn Documents,
        progress: &Telling<'_>,
        write: &mut Writing<'_>,
    ) -> Result<Collected, Trouble> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        if let Some(answer) = spec.question["answer"].as_str() {
            let held = || {
                self.held
                    .as_ref()
                    .is_some_and(|held| !held.load(Ordering::SeqCst))
            };
            while held() {
                if progress(0.0).is_break() {
                    return Err(Trouble::Rest);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            write(0, answer.as_bytes())?;
            return Ok(Collected::default());
        }
        let (mut all, mut characters) = (0, 0);
        documents.read(&mut |_, document| {
            let text = document.unwrap_or_default();
            all += count(text);
            characters += text.len() as u64;
            ControlFlow::Continue(())
        })?;
        while progress(0.5).is_continue() {
            if self
                .held
                .as_ref()
                .is_none_or(|held| held.load(Ordering::SeqCst))
            {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if progress(0.5).is_break() {
            return Err(Trouble::Rest);
        }
        if all == 13 {
            return Err(Trouble::Fails("thirteen words bring bad luck".to_owned()));
        }
        write(0, format!("{all} words\n").as_bytes())?;
        let mut written = Ok(());
        documents.read(&mut |place, document| {
            let (file, line) = (place.file, place.line.unwrap_or_default());
            let words = document.map_or("none".to_owned(), |text| count(text).to_string());
            written = write(1, format!("{file}:{line} {words}\n").as_bytes());
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        written?;
        Ok(Collected {
            characters,
            units: 1,
            tokens: 6,
            pixels: 50,
        })
    }
}

impl Work for Shares {
    fn bounds(&self, spec: &Spec) -> Bounds {
        Words::default().bounds(spec)
    }

    fn predict<'a>(
        &'a self,
        _: &'a Spec,
        _: Vec<Vec<u8>>,
        _: &'a Seen,
    ) -> BoxFuture<'a, Vec<Answer>> {
        unreachable!("nothing is predicted")
    }

    fn too_large(&self, _: &Spec, _: u64) -> Failed {
        failed(Fault::Document, "DOCUMENT_SIZE_EXCEEDED")
    }

    fn render(&self, _: &Spec, _: Place<'_>, _: Result<&[u8], &Failed>, _: &mut Vec<u8>) {
        unreachable!("nothing is rendered")
    }

    fn whole(&self) -> Option<&dyn Whole> {
        Some(self)
    }
}

/// Goes through documents, and through inputs of its own, and writes nothing before the end.
struct Silent;

impl Whole for Silent {
    fn collect(
        &self,
        _: &Spec,
        documents: &mut dyn Documents,
        progress: &Telling<'_>,
        write: &mut Writing<'_>,
    ) -> Result<Collected, Trouble> {
        documents.read(&mut |_, _| ControlFlow::Continue(()))?;
        for eighth in [1.0, 2.0, 1.0] {
            let _ = progress(eighth / 8.0);
        }
        for inputs in [0, 10_000, 10_500, 100_000, 1_000_000] {
            documents.passed(inputs);
        }
        write(0, &[b'x'; 600 << 10])?;
        Ok(Collected::default())
    }
}

impl Work for Silent {
    fn bounds(&self, spec: &Spec) -> Bounds {
        Words::default().bounds(spec)
    }

    fn whole(&self) -> Option<&dyn Whole> {
        Some(self)
    }
}

struct Ground {
    jobs: Arc<Jobs>,
    objects: Memory,
}

impl Ground {
    fn new(files: &[(&str, &str)]) -> Self {
        let objects = Memory::default();
        objects.bucket("answers");
        objects.bucket("texts");
        for (key, text) in files {
            objects.put("texts", key, text.as_bytes());
        }
        Self {
            jobs: Arc::default(),
            objects,
        }
    }

    fn runner(&self, work: Shares) -> Runner {
        let work: Arc<dyn Work> = Arc::new(work);
        let works: Works = Arc::new([(KIND.to_owned(), work)].into());
        let objects = Arc::new(self.objects.clone());
        Runner::start(self.jobs.clone(), objects, works, Options::default()).unwrap()
    }

    /// The names and texts of the files of the output.
    fn output(&self) -> Vec<(String, String)> {
        let name = ObjectName::new("answers", "out/job/output.tar.gz", None).unwrap();
        let bytes = self.objects.open(&name).unwrap().bytes;
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
        let entries = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        });
        entries.collect()
    }
}

fn submit(runner: &Runner) -> String {
    let form = Form::Collected {
        name: "output.tar.gz".to_owned(),
        members: ["all.txt", "each.txt", "empty.txt"]
            .map(str::to_owned)
            .to_vec(),
    };
    let spec = spec(Split::Lines, form);
    let submitted = runner.submit(Runner::new_id(), spec, None).unwrap();
    submitted.job().id
}

const FILES: [(&str, &str); 3] = [
    ("in/a", "one two\nthree\n"),
    ("in/b", ""),
    ("in/c", "four five six"),
];

fn expected() -> Vec<(String, String)> {
    let files = [
        ("all.txt", "6 words\n"),
        ("each.txt", "a:0 2\na:1 1\nc:0 3\n"),
        ("empty.txt", ""),
    ];
    files
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .to_vec()
}

#[test]
fn the_output_has_the_files_that_are_written_of_all_documents() {
    let ground = Ground::new(&FILES);
    let runner = ground.runner(Shares::default());
    let id = submit(&runner);
    let job = completed(&runner, &id);
    assert_eq!((job.planned.tasks, job.planned.documents), (1, 3));
    assert_eq!(ground.output(), expected());
    let (usage, _) = runner.progress(&job).unwrap();
    assert_eq!((usage.documents, usage.errors, usage.read), (3, 0, 27));
    assert_eq!((usage.characters, usage.units, usage.written), (25, 1, 26));
    assert_eq!((usage.tokens, usage.pixels), (6, 50));
}

#[test]
fn documents_that_are_too_large_are_counted_and_left_to_the_work() {
    let long = format!("a b\n{}", "x".repeat(300));
    let ground = Ground::new(&[("in/a", &long)]);
    let runner = ground.runner(Shares::default());
    let job = completed(&runner, &submit(&runner));
    assert_eq!(job.samples[0].code, "DOCUMENT_SIZE_EXCEEDED");
    assert_eq!(ground.output()[1].1, "a:0 2\na:1 none\n");
}

#[test]
fn what_is_wrong_with_the_documents_fails_the_job_and_leaves_nothing() {
    let words = "w ".repeat(13);
    for (files, why) in [
        ([("in/a", words.as_str())], "bad luck"),
        ([("in/a", "")], "no documents"),
    ] {
        let ground = Ground::new(&files);
        let runner = ground.runner(Shares::default());
        let job = ended(&runner, &submit(&runner));
        assert_eq!(job.state, State::Failed);
        assert!(job.why.as_ref().unwrap().contains(why), "{:?}", job.why);
        let name = ObjectName::new("answers", "out/job/output.tar.gz", None).unwrap();
        assert!(ground.objects.open(&name).is_err());
    }
}

/// A question that no documents belong to.
#[test]
fn a_question_is_answered_into_one_object() {
    let ground = Ground::new(&[]);
    let held = Arc::new(AtomicBool::new(false));
    let begun = Arc::new(AtomicU32::new(0));
    let runner = ground.runner(Shares {
        held: Some(held.clone()),
        begun: begun.clone(),
    });
    let submit = |answer: &str| {
        let form = Form::Joined {
            name: "answer.txt".to_owned(),
        };
        let mut spec = spec(Split::Question, form);
        spec.input.bucket.clear();
        spec.input.prefix.clear();
        spec.question = serde_json::json!({"answer": answer});
        let submitted = runner.submit(Runner::new_id(), spec, None).unwrap();
        submitted.job().id
    };
    let written = || {
        let name = ObjectName::new("answers", "out/job/answer.txt", None).unwrap();
        let mut text = String::new();
        let object = ground.objects.open(&name);
        object.ok()?.bytes.read_to_string(&mut text).unwrap();
        Some(text)
    };
    // Stopped before there is an answer, it leaves nothing.
    let id = submit("never");
    wait(&runner, &id, |_| begun.load(Ordering::SeqCst) == 1);
    runner.stop(&id).unwrap();
    assert_eq!(ended(&runner, &id).state, State::Stopped);
    assert_eq!(written(), None);
    held.store(true, Ordering::SeqCst);
    let id = submit("forty-two");
    let job = completed(&runner, &id);
    assert_eq!(written().as_deref(), Some("forty-two"));
    assert_eq!((job.planned.inputs, job.planned.documents), (1, 1));
    let (usage, progress) = runner.progress(&job).unwrap();
    assert_eq!(
        (usage.documents, usage.written, progress.documents),
        (1, 9, 1)
    );
}

/// Answers with rows, and waits in the middle of them.
struct Rows(Arc<AtomicBool>);

impl Whole for Rows {
    fn collect(
        &self,
        _: &Spec,
        documents: &mut dyn Documents,
        progress: &Telling<'_>,
        write: &mut Writing<'_>,
    ) -> Result<Collected, Trouble> {
        let mut made = Made::default();
        for row in 0..5 {
            write(0, b"row\n")?;
            made.rows += 1;
            if row == 1 {
                made.errors += 1;
                made.examples.push("it is too long".to_owned());
            }
            documents.made(made.clone());
            while row == 2 && !self.0.load(Ordering::SeqCst) {
                if progress(0.0).is_break() {
                    return Err(Trouble::Rest);
                }
                std::thread::yield_now();
            }
        }
        Ok(Collected {
            characters: 40,
            units: 12,
            ..Collected::default()
        })
    }
}

impl Work for Rows {
    fn bounds(&self, _: &Spec) -> Bounds {
        Bounds {
            document: u64::MAX,
            documents: 0,
            bytes: u64::MAX,
        }
    }

    fn whole(&self) -> Option<&dyn Whole> {
        Some(self)
    }
}

#[test]
fn rows_that_answer_a_question_are_counted_while_they_are_made() {
    let ground = Ground::new(&[]);
    let held = Arc::new(AtomicBool::new(false));
    let work: Arc<dyn Work> = Arc::new(Rows(held.clone()));
    let works: Works = Arc::new([(KIND.to_owned(), work)].into());
    let objects = Arc::new(ground.objects.clone());
    let runner = Runner::start(ground.jobs.clone(), objects, works, Options::default()).unwrap();
    let form = Form::Joined {
        name: "rows.csv".to_owned(),
    };
    let submitted = runner.submit(Runner::new_id(), spec(Split::Question, form), None);
    let id = submitted.unwrap().job().id;
    let progress = |job: &Job| runner.progress(job).unwrap().1;
    let job = wait(&runner, &id, |job| progress(job).documents == 3);
    let halfway = progress(&job);
    assert_eq!((halfway.errors, halfway.written), (1, 12));
    assert_eq!((job.planned.documents, halfway.left), (0, None));
    held.store(true, Ordering::SeqCst);
    let job = completed(&runner, &id);
    let (usage, end) = runner.progress(&job).unwrap();
    assert_eq!((usage.documents, usage.errors, usage.units), (5, 1, 12));
    assert_eq!((end.documents, end.errors, end.written), (5, 1, 20));
    let sample = &job.samples[0];
    assert_eq!(
        (&*sample.file, &*sample.message),
        ("rows.csv", "it is too long")
    );
    assert_eq!(runner.counted(), (5, 1));
}

#[test]
fn work_on_the_whole_rests_begins_again_and_can_be_stopped() {
    let ground = Ground::new(&FILES);
    let held = Arc::new(AtomicBool::new(false));
    let begun = Arc::new(AtomicU32::new(0));
    let work = || Shares {
        held: Some(held.clone()),
        begun: begun.clone(),
    };
    let runner = ground.runner(work());
    let id = submit(&runner);
    let at_work = |runner: &Runner, times: u32| {
        wait(runner, &id, |_| begun.load(Ordering::SeqCst) == times);
    };
    at_work(&runner, 1);
    drop(runner);
    let runner = ground.runner(work());
    at_work(&runner, 2);
    held.store(true, Ordering::SeqCst);
    completed(&runner, &id);
    assert_eq!(ground.output(), expected());

    held.store(false, Ordering::SeqCst);
    let id = submit(&runner);
    wait(&runner, &id, |_| begun.load(Ordering::SeqCst) == 3);
    runner.stop(&id).unwrap();
    assert_eq!(ended(&runner, &id).state, State::Stopped);
}

/// A work from which nobody came back says how far it is, whatever it goes by: kills at any places do not look like one at which
/// it dies.
#[test]
fn work_on_the_whole_that_was_lost_says_how_far_it_is() {
    let ground = Ground::new(&[("in/a", &"x\n".repeat(600))]);
    let jobs = ground.jobs.clone();
    let form = Form::Joined {
        name: "x.txt".to_owned(),
    };
    let all = Cut {
        bytes: u64::MAX,
        documents: u64::MAX,
    };
    let job = spec(Split::Lines, form);
    running(&ground.objects, &*jobs, &Silent, job, all);
    jobs.lease("1", "gone", 1, i64::MAX, 1).unwrap();
    let marks = Arc::new(Mutex::new(Vec::new()));
    let marked = marks.clone();
    let store = Refusing {
        jobs,
        refuses: Box::new(move |asked| {
            if let Asked::Mark(place) = asked {
                marked.lock().unwrap().push(place);
            }
            false
        }),
    };
    let work: Arc<dyn Work> = Arc::new(Silent);
    let works: Works = Arc::new([(KIND.to_owned(), work)].into());
    let objects = Arc::new(ground.objects.clone());
    let runner = Runner::start(Arc::new(store), objects, works, Options::default()).unwrap();
    completed(&runner, "1");
    // The beginning; 256 and 512 documents; two eighths; inputs, closer to each other where they are few; bytes.
    let expected = [0, 1, 2, 10, 18, 19, 28, 50, 52];
    assert_eq!(*marks.lock().unwrap(), expected);
}
