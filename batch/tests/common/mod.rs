//! What the tests of jobs share: a work that needs no model, and waiting for a job.
#![allow(dead_code, reason = "not every test needs all of it")]

pub mod folder;
pub mod refusing;

use escala_batch::job::{Form, Job, Source, Spec, Split, State, Target, Usage};
use escala_batch::runner::{Cut, Runner, plan};
use escala_batch::store::{New, Store, Submitted};
use escala_batch::work::{Answer, Bounds, Failed, Fault, Found, Place, Seen, Summary, Work};
use escala_objects::memory::Memory;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const KIND: &str = "test.words";

type Told = Box<dyn Fn(&[Vec<u8>]) + Send + Sync>;
type Instead = Box<dyn Fn(&str) -> Option<Failed> + Send + Sync>;

/// Answers with the number of words and a hash of the text. What a document says decides what happens to it.
#[derive(Default)]
pub struct Words {
    /// Told every document that is asked about.
    pub asked: Option<Told>,
    /// Told before an answer is given; what it answers stands in for an answer.
    pub instead: Option<Instead>,
    /// How long a batch and each of its documents take.
    pub takes: (Duration, Duration),
}

pub fn failed(fault: Fault, code: &str) -> Failed {
    Failed {
        fault,
        code: code.to_owned(),
        message: format!("this is {code}"),
        subject: None,
    }
}

impl Words {
    fn answer(&self, document: &[u8]) -> Answer {
        let Ok(text) = std::str::from_utf8(document) else {
            return Err(failed(Fault::Document, "UNSUPPORTED_ENCODING"));
        };
        if let Some(failed) = self.instead.as_ref().and_then(|instead| instead(text)) {
            return Err(failed);
        }
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let answer = json!({"Words": text.split_whitespace().count(), "Hash": hash});
        Ok(Found {
            answer: answer.to_string().into_bytes(),
            characters: text.chars().count() as u64,
            units: 3,
        })
    }
}

impl Work for Words {
    fn bounds(&self, _: &Spec) -> Bounds {
        Bounds {
            document: 200,
            documents: 100_000,
            bytes: 100 << 20,
        }
    }

    fn predict<'a>(
        &'a self,
        _: &'a Spec,
        documents: Vec<Vec<u8>>,
        seen: &'a Seen,
    ) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(async move {
            let count = documents.len() as u64;
            seen.add(2 * count, 100 * count);
            if let Some(asked) = &self.asked {
                asked(&documents);
            }
            let (batch, each) = self.takes;
            let takes = batch + each * documents.len() as u32;
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            documents
                .iter()
                .map(|document| self.answer(document))
                .collect()
        })
    }

    fn too_large(&self, _: &Spec, bytes: u64) -> Failed {
        let mut failed = failed(Fault::Document, "DOCUMENT_SIZE_EXCEEDED");
        failed.message = format!("{bytes} bytes");
        failed
    }

    fn render(&self, _: &Spec, place: Place<'_>, answer: Result<&[u8], &Failed>, to: &mut Vec<u8>) {
        let mut line = json!({"File": place.file});
        if let Some(number) = place.line {
            line["Line"] = number.into();
        }
        match answer {
            Ok(answer) => line["Answer"] = serde_json::from_slice(answer).unwrap_or_default(),
            Err(failed) => line["ErrorCode"] = failed.code.clone().into(),
        }
        to.extend_from_slice(line.to_string().as_bytes());
        to.push(b'\n');
    }

    fn summary(&self, _: &Spec, usage: &Usage) -> Summary {
        let (documents, errors) = (usage.documents, usage.errors);
        Summary {
            head: format!("{{\"counts\":[{documents},{errors}],\"errors\":[\n").into_bytes(),
            between: b",".to_vec(),
            tail: b"]}".to_vec(),
        }
    }
}

pub fn spec(split: Split, form: Form) -> Spec {
    Spec {
        kind: KIND.to_owned(),
        name: None,
        priority: 0,
        input: Source {
            bucket: "texts".to_owned(),
            prefix: "in/".to_owned(),
            split,
        },
        output: Target {
            bucket: "answers".to_owned(),
            folder: "out/job/".to_owned(),
            form,
        },
        question: Value::Null,
        details: Value::Null,
    }
}

/// Makes the job `1` of documents, planned and running without a runner.
pub fn running(objects: &Memory, jobs: &dyn Store, work: &dyn Work, spec: Spec, cut: Cut) {
    let new = New {
        id: "1".to_owned(),
        spec,
        token: None,
        most_live: 10,
        now: 1,
    };
    assert!(matches!(jobs.submit(new).unwrap(), Submitted::New(_)));
    let job = jobs.advance("1", State::Planning, None, 1).unwrap();
    let bounds = work.bounds(&job.spec);
    let plan = plan::plan(
        objects,
        &job.spec,
        bounds,
        cut,
        None,
        &|_, _| Ok(None),
        &|| true,
    );
    jobs.plan("1", &plan.unwrap(), 1).unwrap();
    jobs.advance("1", State::Running, None, 1).unwrap();
}

pub fn archive() -> Form {
    Form::Archive {
        name: "output.tar.gz".to_owned(),
        member: "output".to_owned(),
    }
}

pub fn summed() -> Form {
    Form::Summed {
        name: "answers.jsonl".to_owned(),
        summary: "summary.json".to_owned(),
    }
}

pub fn works(work: Words) -> escala_batch::runner::Works {
    let work: Arc<dyn Work> = Arc::new(work);
    Arc::new([(KIND.to_owned(), work)].into())
}

/// Waits until a job is as it should be.
pub fn wait(runner: &Runner, id: &str, is: impl Fn(&Job) -> bool) -> Job {
    let began = Instant::now();
    loop {
        let job = runner.job(id).expect("the job is there");
        if is(&job) {
            return job;
        }
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "the job is {} after two minutes",
            job.state
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn ended(runner: &Runner, id: &str) -> Job {
    wait(runner, id, |job| !job.state.is_live())
}

pub fn completed(runner: &Runner, id: &str) -> Job {
    let job = ended(runner, id);
    assert_eq!(job.state, State::Completed, "{:?}", job.why);
    job
}

/// The one file of a gzipped tar file.
pub fn unpacked(archive: &[u8]) -> String {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let mut texts = Vec::new();
    for entry in tar.entries().expect("a tar file") {
        let mut entry = entry.expect("an entry");
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("a text");
        let name = entry.path().expect("a name").display().to_string();
        texts.push((name, text));
    }
    assert_eq!(texts.len(), 1);
    let (name, text) = texts.pop().expect("one");
    assert_eq!(name, "output");
    text
}
