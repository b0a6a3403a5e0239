//! Transform jobs from the request to the objects that they write, however inputs are cut, and also where the model breaks or
//! the process is killed (`tests/processes.rs`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod processes;

use super::*;
use crate::served::{Asked, Said, Served, Unanswered};
use bytes::Bytes;
use escala_batch::runner::{Cut, Options, Point};
use escala_batch::store::sqlite::Sqlite;
use escala_objects::memory::Memory;
use escala_objects::{ObjectName, local};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Sums the numbers of each line. JSON is an array of numbers, or an object that has one.
#[derive(Default)]
struct Sums {
    /// Bodies that were asked about.
    asked: Mutex<Vec<Vec<u8>>>,
    /// How often it breaks before it answers.
    breaks: AtomicU32,
    /// Requests with 13 wait until this is set.
    held: AtomicBool,
    /// Requests at work, and the most of them.
    working: (AtomicUsize, AtomicUsize),
    /// Where bodies are noted, too.
    notes: Option<std::fs::File>,
    /// Whether bodies are not kept.
    forgets: bool,
    /// The environments that it was opened with.
    environments: Mutex<Vec<Value>>,
}

fn no(status: u16, message: &str) -> Unanswered {
    Unanswered {
        status,
        message: message.to_owned(),
    }
}

impl Sums {
    fn sum(kind: &str, line: &str) -> Result<String, Unanswered> {
        let numbers: Option<Vec<f64>> = match kind {
            "application/jsonlines" | "application/json" => {
                let value: Value = serde_json::from_str(line).map_err(|_| no(400, "no JSON"))?;
                let array = value.as_array().or_else(|| value["features"].as_array());
                array.and_then(|all| all.iter().map(Value::as_f64).collect())
            }
            _ => line.split(',').map(|cell| cell.parse().ok()).collect(),
        };
        let numbers = numbers.ok_or_else(|| no(400, &format!("no numbers: {line}")))?;
        Ok(numbers.iter().sum::<f64>().to_string())
    }

    async fn answer(&self, asked: Asked) -> Result<Said, Unanswered> {
        let working = self.working.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.working.1.fetch_max(working, Ordering::SeqCst);
        if !self.forgets {
            self.asked.lock().push(asked.body.to_vec());
        }
        if let Some(mut notes) = self.notes.as_ref() {
            let note = [&asked.body[..], b"\n"].concat();
            notes.write_all(&note).unwrap();
        }
        let kind = asked.content_type.unwrap_or_default();
        let text = String::from_utf8_lossy(&asked.body).into_owned();
        while text.contains("13") && !self.held.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Others have a turn.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.working.0.fetch_sub(1, Ordering::SeqCst);
        let left = |left: u32| left.checked_sub(1);
        let (set, get) = (Ordering::SeqCst, Ordering::SeqCst);
        if self.breaks.fetch_update(set, get, left).is_ok() {
            return Err(no(500, "it broke"));
        }
        if kind == "application/x-recordio" {
            return Ok(Said {
                content_type: kind,
                body: Bytes::from(asked.body.len().to_string()),
            });
        }
        let sums: Result<Vec<_>, _> = text.lines().map(|line| Self::sum(&kind, line)).collect();
        Ok(Said {
            content_type: asked.accept.unwrap_or_default(),
            body: Bytes::from(sums?.join("\n")),
        })
    }
}

impl Served for Sums {
    fn invoke(&self, asked: Asked) -> BoxFuture<'_, Result<Said, Unanswered>> {
        self.answer(asked).boxed()
    }

    fn memory(&self) -> u64 {
        0
    }
}

fn caller() -> Caller {
    Caller {
        account: "123456789012".to_owned(),
        region: "us-east-1".to_owned(),
    }
}

struct Ground {
    transforms: Arc<Transforms>,
    runner: Option<Arc<Runner>>,
    objects: Memory,
    model: Arc<Sums>,
    folder: tempfile::TempDir,
}

const CUT: Cut = Cut {
    // Three records of a digit and a line's end.
    bytes: 6,
    documents: 3,
};

/// A runner of transforms in a folder.
fn started(
    folder: &Path,
    objects: Arc<dyn WritableStore>,
    model: Arc<Sums>,
    options: Options,
) -> (Arc<Transforms>, Arc<Runner>) {
    let store = Arc::new(Store::open(folder).unwrap());
    let arn = caller().arn(Kind::Model, "sums");
    let sums = Resource {
        kind: Kind::Model,
        name: "sums".to_owned(),
        arn,
        created: 1,
        modified: 1,
        status: String::new(),
        body: Value::Null,
    };
    match store.create(&sums, &[]) {
        Ok(()) | Err(Error::Exists(_)) => {}
        Err(error) => panic!("{error}"),
    }
    let open: Open = Arc::new(move |name, environment| match name {
        "sums" => {
            model.environments.lock().push(json!(environment));
            Ok(model.clone() as Arc<dyn Served>)
        }
        name => Err(format!("there is no {name}")),
    });
    let logs = Arc::new(Logs::open(folder).unwrap());
    let transforms = Transforms::new(store, logs, objects.clone(), open);
    let jobs = Arc::new(Sqlite::open(&folder.join("jobs")).unwrap());
    let works = Arc::new([(KIND.to_owned(), transforms.work())].into());
    let runner = Runner::start(jobs, objects, works, options).unwrap();
    let runner = Arc::new(runner);
    transforms.attach(&runner).unwrap();
    (transforms, runner)
}

impl Ground {
    fn new(files: &[(&str, &[u8])]) -> Self {
        Self::with(files, Sums::default(), 10)
    }

    fn with(files: &[(&str, &[u8])], model: Sums, live: u64) -> Self {
        let objects = Memory::default();
        objects.bucket("inputs");
        objects.bucket("out");
        for (key, bytes) in files {
            objects.put("inputs", key, bytes);
        }
        let (model, folder) = (Arc::new(model), tempfile::tempdir().unwrap());
        let options = Options {
            cut: CUT,
            live,
            ..Options::default()
        };
        let place = Arc::new(objects.clone());
        let (transforms, runner) = started(folder.path(), place, model.clone(), options);
        Self {
            transforms,
            runner: Some(runner),
            objects,
            model,
            folder,
        }
    }

    fn call(&self, operation: &str, input: Value) -> refusal::Result<Value> {
        self.transforms.call(&caller(), operation, &input).unwrap()
    }

    fn describe(&self, name: &str) -> Value {
        let input = json!({"TransformJobName": name});
        self.call("DescribeTransformJob", input).unwrap()
    }

    fn wait(&self, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let job = self.describe(name);
            if is(&job) {
                return job;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{job}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn ended(&self, name: &str) -> Value {
        self.wait(name, |job| !LIVE.contains(&text(job, "TransformJobStatus")))
    }

    /// Does a job to its end.
    fn done(&self, request: Value) -> Value {
        let name = text(&request, "TransformJobName").to_owned();
        self.call("CreateTransformJob", request).unwrap();
        self.ended(&name)
    }

    fn completed(&self, request: Value) {
        let job = self.done(request);
        assert_eq!(job["TransformJobStatus"], "Completed", "{job}");
    }

    /// The keys of the output.
    fn keys(&self) -> Vec<String> {
        let all = escala_objects::ObjectStore::list(&self.objects, "out", "", "", 100).unwrap();
        let seen = all.into_iter().map(|listed| listed.key);
        seen.filter(|key| !key.contains(".parts/")).collect()
    }

    fn output(&self, key: &str) -> String {
        read(&self.objects, key)
    }
}

fn read(objects: &dyn escala_objects::ObjectStore, key: &str) -> String {
    let name = ObjectName::new("out", key, None).unwrap();
    let mut text = String::new();
    let object = objects.open(&name);
    let mut object = object.unwrap_or_else(|error| panic!("{key}: {error}"));
    object.bytes.read_to_string(&mut text).unwrap();
    text
}

/// A request for lines of CSV.
fn request(name: &str) -> Value {
    json!({
        "TransformJobName": name,
        "ModelName": "sums",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://inputs/data/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": "s3://out/answers",
            "Accept": "text/csv",
            "AssembleWith": "Line",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    })
}

/// A request with changes: paths of members, with slashes, and what they become.
fn changed(name: &str, changes: &[(&str, Value)]) -> Value {
    let mut request = request(name);
    for (path, value) in changes {
        let mut at = &mut request;
        for member in path.split('/') {
            at = &mut at[member];
        }
        *at = value.clone();
    }
    request
}

#[test]
fn each_object_has_an_output_in_its_order() {
    let lines: String = (0..50).map(|row| format!("{row},1\n")).collect();
    let sums: String = (0..50).map(|row| format!("{}\n", row + 1)).collect();
    let lines = lines.replace("13,1", "9,5");
    let files: &[(&str, &[u8])] = &[
        ("data/a.csv", lines.as_bytes()),
        ("data/deep/b.csv", b"1,2\r\n3,4.5"),
        ("data/empty.csv", b""),
        ("elsewhere.csv", b"no"),
    ];
    let ground = Ground::new(files);
    ground.completed(request("one"));
    let keys = ["a.csv", "deep/b.csv", "empty.csv"].map(|key| format!("answers/{key}.out"));
    assert_eq!(ground.keys(), keys);
    assert_eq!(ground.output(&keys[0]), sums);
    assert_eq!(ground.output(&keys[1]), "3\n7.5\n");
    assert_eq!(ground.output(&keys[2]), "");
    assert_eq!(ground.model.asked.lock().len(), 52, "one request a record");
    // One of each of the runner's two tasks.
    assert!(ground.model.working.1.load(Ordering::SeqCst) <= 2);

    // A folder whose slash is left out; several requests at a time are answered in their order.
    ground.model.asked.lock().clear();
    let many = changed(
        "two",
        &[
            (
                "TransformInput/DataSource/S3DataSource/S3Uri",
                "https://inputs.s3.amazonaws.com/data".into(),
            ),
            (
                "TransformOutput/S3OutputPath",
                "https://s3.us-east-1.amazonaws.com/out".into(),
            ),
            ("MaxConcurrentTransforms", 3.into()),
        ],
    );
    ground.completed(many);
    assert_eq!(ground.output("a.csv.out"), sums);
    assert!(ground.model.working.1.load(Ordering::SeqCst) > 2);
}

/// A task has few records here, and a request has as many as fit all the same.
#[test]
fn requests_are_the_same_however_objects_are_cut() {
    let line = format!("{}1\n", "1,".repeat(50_000));
    let ground = Ground::new(&[("data/a", line.repeat(25).as_bytes())]);
    let sizes = || {
        let asked = std::mem::take(&mut *ground.model.asked.lock());
        let lines = |body: &Vec<u8>| body.iter().filter(|byte| **byte == b'\n').count() + 1;
        let mut sizes: Vec<usize> = asked.iter().map(lines).collect();
        sizes.sort_unstable();
        sizes
    };
    let many = ("BatchStrategy", "MultiRecord".into());
    let small = ("MaxPayloadInMB", 1.into());
    ground.completed(changed("many", &[many.clone(), small]));
    // Ten lines of 100,001 bytes are less than 1,048,576.
    assert_eq!(sizes(), [5, 10, 10]);
    assert_eq!(ground.output("answers/a.out"), "50001\n".repeat(25));
    ground.completed(changed("more", &[many]));
    assert_eq!(sizes(), [25]);
    // The whole object is one record, and nothing is put behind its answer.
    let whole = changed(
        "whole",
        &[
            ("TransformInput/SplitType", "None".into()),
            ("TransformOutput/AssembleWith", "None".into()),
        ],
    );
    ground.completed(whole);
    let written = ground.output("answers/a.out");
    assert_eq!(written, vec!["50001"; 25].join("\n"));
}

/// The guide's "Associate Prediction Results with Input Records": an id is left out of what is asked, and stands beside what
/// is answered.
#[test]
fn answers_are_joined_with_their_records() {
    let csv = b"7,1,2\n8,3,4\n";
    let json = b"{\"id\": 7, \"features\": [1, 2]}\n{\"features\": [3, 4], \"id\": 8}\n";
    let ground = Ground::new(&[("data/a.csv", csv), ("json/a.jsonl", json)]);
    let processing = json!({
        "InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]",
    });
    let many = ("BatchStrategy", "MultiRecord".into());
    ground.completed(changed(
        "csv",
        &[("DataProcessing", processing), many.clone()],
    ));
    assert_eq!(ground.output("answers/a.csv.out"), "7,3\n8,7\n");
    assert_eq!(ground.model.asked.lock()[0], b"1,2\n3,4");
    let processing = json!({
        "InputFilter": "$.features", "JoinSource": "Input",
        "OutputFilter": "$['id','SageMakerOutput']",
    });
    let lines = changed(
        "jsonlines",
        &[
            (
                "TransformInput/DataSource/S3DataSource/S3Uri",
                "s3://inputs/json/a".into(),
            ),
            ("TransformInput/ContentType", "application/jsonlines".into()),
            ("TransformOutput/Accept", "application/jsonlines".into()),
            ("DataProcessing", processing),
            many,
        ],
    );
    ground.completed(lines);
    let wanted = "{\"SageMakerOutput\":3,\"id\":7}\n{\"SageMakerOutput\":7,\"id\":8}\n";
    assert_eq!(ground.output("answers/a.jsonl.out"), wanted);
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn packed_objects_are_unpacked() {
    let two = [gzipped("1,2\n3,"), gzipped("4\n5,6")].concat();
    let ground = Ground::new(&[("data/a.csv.gz", &two)]);
    let gzip = ("TransformInput/CompressionType", Value::from("Gzip"));
    ground.completed(changed("gzip", std::slice::from_ref(&gzip)));
    assert_eq!(ground.output("answers/a.csv.gz.out"), "3\n7\n11\n");
    let torn = &two[..two.len() - 9];
    ground.objects.put("inputs", "data/b.gz", torn);
    let job = ground.done(changed("torn", &[gzip]));
    assert_eq!(job["TransformJobStatus"], "Failed");
    let why = text(&job, "FailureReason");
    assert!(
        why.starts_with("ClientError: s3://inputs/data/b.gz: it is not gzipped"),
        "{why}"
    );
    // What became of a job is in its log, too.
    let said = |name: &str| {
        let group = json!({"logGroupName": TRANSFORM, "logStreamNamePrefix": format!("{name}/")});
        let found = ground
            .transforms
            .logs
            .call(&caller(), "FilterLogEvents", &group);
        let found = found.unwrap();
        let events = found["events"].as_array().unwrap();
        let lines = events.iter().map(|event| text(event, "message").to_owned());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(
        said("gzip"),
        [
            "input s3://inputs/data/, output s3://out/answers, model sums",
            &format!("completed: 3 records of 1 objects, {} bytes", two.len())
        ]
    );
    let lines = said("torn");
    assert!(
        lines
            .iter()
            .filter(|line| line.contains("it is not gzipped"))
            .count()
            == 2,
        "{lines:?}"
    );
}

/// Framed records are asked about with their frames, one after the other or several together.
#[test]
fn framed_records_are_cut_at_their_frames() {
    let frame = |data: &[u8]| {
        let length = (data.len() as u32).to_le_bytes();
        let mut frame = [&0xced7_230a_u32.to_le_bytes(), &length, data].concat();
        frame.resize(frame.len().next_multiple_of(4), 0);
        frame
    };
    let lengths: Vec<usize> = (0..30).map(|at| at * 7 % 11).collect();
    let frames: Vec<Vec<u8>> = lengths
        .iter()
        .map(|length| frame(&vec![b'x'; *length]))
        .collect();
    let ground = Ground::new(&[("data/a.rec", &frames.concat())]);
    let framed = |name: &str, strategy: &str| {
        let changes = [
            (
                "TransformInput/ContentType",
                "application/x-recordio".into(),
            ),
            ("TransformInput/SplitType", "RecordIO".into()),
            ("BatchStrategy", strategy.into()),
        ];
        changed(name, &changes)
    };
    ground.completed(framed("one", "SingleRecord"));
    let said: Vec<String> = frames.iter().map(|frame| frame.len().to_string()).collect();
    assert_eq!(ground.output("answers/a.rec.out"), said.join("\n") + "\n");
    ground.completed(framed("many", "MultiRecord"));
    let all = frames.concat().len();
    assert_eq!(ground.output("answers/a.rec.out"), format!("{all}\n"));
    // The frame of number 17 begins with other bytes.
    let mut torn = frames.concat();
    torn[frames[..17].concat().len()] ^= 1;
    ground.objects.put("inputs", "data/a.rec", &torn);
    let job = ground.done(framed("torn", "SingleRecord"));
    let why =
        "ClientError: s3://inputs/data/a.rec: record 17 is no RecordIO: its first bytes are others";
    assert_eq!(job["FailureReason"], why);
}

/// A bad record costs its object the output, and the job its success; what is processed of the others is useful.
#[test]
fn an_object_with_a_bad_record_has_no_output() {
    let many: String = (0..20).map(|row| format!("{row}\n")).collect();
    let many = many.replace("13\n", "x\n");
    let ground = Ground::new(&[
        ("data/a", b"1,2\n"),
        ("data/b", many.as_bytes()),
        ("data/c", b"3\n"),
    ]);
    let job = ground.done(request("bad"));
    assert_eq!(job["TransformJobStatus"], "Failed");
    let why = "ClientError: s3://inputs/data/b: record 13: no numbers: x (status 400)";
    assert_eq!(job["FailureReason"], why);
    assert_eq!(ground.keys(), ["answers/a.out", "answers/c.out"]);

    // A record that is larger than a request may be, and one that a filter finds nothing in.
    let long = format!("1,2\n{}\n", "1".repeat(1 << 20 | 1));
    ground.objects.put("inputs", "data/b", long.as_bytes());
    let job = ground.done(changed("large", &[("MaxPayloadInMB", 1.into())]));
    let why = text(&job, "FailureReason");
    assert_eq!(
        why,
        "ClientError: s3://inputs/data/b: record 1 has more than 1048576 bytes"
    );
    ground
        .objects
        .put("inputs", "data/b", b"1,2\n2,3\n4,5\n6,7\n8\n");
    ground.objects.put("inputs", "data/c", b"3,3\n");
    let second = json!({"InputFilter": "$[1]"});
    let short = changed(
        "short",
        &[
            ("DataProcessing", second),
            ("BatchStrategy", "MultiRecord".into()),
        ],
    );
    let job = ground.done(short);
    let why = text(&job, "FailureReason");
    assert!(
        why.starts_with("ClientError: s3://inputs/data/b: record 4: there is no"),
        "{why}"
    );
}

#[test]
fn a_model_that_breaks_is_asked_again() {
    let ground = Ground::new(&[("data/a", b"1\n")]);
    ground.model.breaks.store(3, Ordering::SeqCst);
    ground.completed(request("again"));
    assert_eq!(ground.model.asked.lock().len(), 4);
    ground.model.breaks.store(2, Ordering::SeqCst);
    let retries = json!({"InvocationsMaxRetries": 1, "InvocationsTimeoutInSeconds": 60});
    let job = ground.done(changed("enough", &[("ModelClientConfig", retries)]));
    let why = "AlgorithmError: s3://inputs/data/a: record 0: it broke (status 500)";
    assert_eq!(job["FailureReason"], why);
    ground.objects.put("inputs", "data/a", b"13\n");
    let patience = json!({"InvocationsMaxRetries": 0, "InvocationsTimeoutInSeconds": 1});
    let job = ground.done(changed("slow", &[("ModelClientConfig", patience)]));
    let why = "AlgorithmError: s3://inputs/data/a: record 0: the model has no answer after 1 s";
    assert_eq!(job["FailureReason"], why);
}

#[test]
fn a_manifest_names_the_inputs() {
    let ground = Ground::new(&[
        ("data/a", b"1"),
        ("data/b", b"2"),
        ("data/c/d", b"3"),
        (
            "list.json",
            b"[{\"prefix\": \"s3://inputs/data/\"}, \"c/d\", \"a\", \"a\"]",
        ),
        ("gone.json", b"[{\"prefix\": \"s3://inputs/data/\"}, \"e\"]"),
        ("wrong.json", b"{}"),
    ]);
    let of = |name: &str, manifest: &str| {
        let source =
            json!({"S3DataType": "ManifestFile", "S3Uri": format!("s3://inputs/{manifest}")});
        changed(name, &[("TransformInput/DataSource/S3DataSource", source)])
    };
    ground.completed(of("named", "list.json"));
    assert_eq!(ground.keys(), ["answers/a.out", "answers/c/d.out"]);
    let job = ground.done(of("gone", "gone.json"));
    let why = text(&job, "FailureReason");
    assert!(
        why.starts_with("ClientError: the input s3://inputs/data/e cannot be read"),
        "{why}"
    );
    let wrong = ground
        .call("CreateTransformJob", of("wrong", "wrong.json"))
        .unwrap_err();
    assert!(wrong.message.contains("s3://inputs/wrong.json"), "{wrong}");
}

#[test]
fn a_job_is_described_as_it_was_asked_for() {
    let ground = Ground::new(&[("data/a", b"1\n")]);
    let tags = json!([{"Key": "team", "Value": "x"}]);
    let mut asked = changed(
        "shown",
        &[
            ("Tags", tags),
            ("MaxPayloadInMB", 2.into()),
            ("Environment", json!({"A": "b"})),
            ("ExperimentConfig", json!({"TrialName": "x"})),
            ("TransformOutput/KmsKeyId", "key".into()),
            ("TransformResources/VolumeKmsKeyId", "key".into()),
        ],
    );
    asked["TransformInput"]
        .as_object_mut()
        .unwrap()
        .remove("SplitType");
    asked["TransformOutput"]
        .as_object_mut()
        .unwrap()
        .remove("AssembleWith");
    let made = ground.call("CreateTransformJob", asked.clone()).unwrap();
    let arn = "arn:aws:sagemaker:us-east-1:123456789012:transform-job/shown";
    assert_eq!(made, json!({"TransformJobArn": arn}));
    let mut job = ground.ended("shown");
    let times = ["CreationTime", "TransformStartTime", "TransformEndTime"];
    let times = times.map(|time| job.as_object_mut().unwrap().remove(time).unwrap());
    let times = times.map(|time| time.as_f64().unwrap());
    assert!(times.is_sorted(), "{times:?}");
    asked.as_object_mut().unwrap().remove("Tags");
    let mut wanted = asked.clone();
    wanted["TransformJobArn"] = arn.into();
    wanted["TransformJobStatus"] = "Completed".into();
    wanted["TransformInput"]["SplitType"] = "None".into();
    wanted["TransformInput"]["CompressionType"] = "None".into();
    wanted["TransformOutput"]["AssembleWith"] = "None".into();
    wanted["DataProcessing"] =
        json!({"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"});
    assert_eq!(job, wanted);
    assert_eq!(*ground.model.environments.lock(), [json!({"A": "b"})]);
    let tag = ("team".to_owned(), "x".to_owned());
    assert_eq!(ground.transforms.store.tags(arn).unwrap(), [tag]);

    let twice = ground.call("CreateTransformJob", asked).unwrap_err();
    assert_eq!(twice.code, refusal::IN_USE);
    assert!(twice.message.contains(arn), "{twice}");
    let failed = ground.done(changed(
        "failed",
        &[(
            "TransformInput/DataSource/S3DataSource/S3Uri",
            "s3://inputs/none/".into(),
        )],
    ));
    let why = text(&failed, "FailureReason");
    assert!(why.starts_with("ClientError: no object"), "{why}");
    assert_eq!(failed["TransformOutput"]["KmsKeyId"], "");
    let list = |input: Value| {
        let page = ground.call("ListTransformJobs", input).unwrap();
        let jobs = page["TransformJobSummaries"].as_array().unwrap().clone();
        let name = |job: &Value| text(job, "TransformJobName").to_owned();
        jobs.iter().map(name).collect::<Vec<_>>()
    };
    // The last come first where nothing is said.
    assert_eq!(list(json!({"SortBy": "Name"})), ["shown", "failed"]);
    let ascending = json!({"SortBy": "Name", "SortOrder": "Ascending"});
    assert_eq!(list(ascending), ["failed", "shown"]);
    assert_eq!(list(json!({"StatusEquals": "Failed"})), ["failed"]);
    let absent = json!({"TransformJobName": "none"});
    for operation in ["DescribeTransformJob", "StopTransformJob"] {
        let absent = ground.call(operation, absent.clone()).unwrap_err();
        assert!(absent.message.contains("Could not find"), "{absent}");
    }
    assert!(
        ground
            .transforms
            .call(&caller(), "CreateModel", &json!({}))
            .is_none()
    );
}

#[test]
fn what_is_not_done_is_refused() {
    let ground = Ground::new(&[]);
    for (member, value, why) in [
        (
            "ModelName",
            json!("none"),
            "Could not find model \"arn:aws:sagemaker:us-east-1:123456789012:model/none\".",
        ),
        (
            "DataCaptureConfig",
            json!({"DestinationS3Uri": "s3://out/x"}),
            "DataCaptureConfig",
        ),
        (
            "Tags",
            json!([{"Key": "a", "Value": "b"}, {"Key": "a", "Value": "c"}]),
            "Duplicate tag keys",
        ),
        ("Tags", json!([{"Key": "aws:a", "Value": "b"}]), "aws:"),
        (
            "TransformOutput/S3OutputPath",
            json!("out/x"),
            "s3://BUCKET/KEY",
        ),
        (
            "TransformInput/DataSource/S3DataSource/S3Uri",
            json!("s3://"),
            "s3://BUCKET/KEY",
        ),
        (
            "TransformInput/DataSource/S3DataSource/S3Uri",
            json!("https://example.com/inputs/data"),
            "s3://BUCKET/KEY",
        ),
        ("MaxPayloadInMB", json!(101), "at most 100"),
        ("DataProcessing", json!({"InputFilter": "$..a"}), "`..`"),
    ] {
        let refused = ground.call("CreateTransformJob", changed("x", &[(member, value)]));
        let refused = refused.expect_err(member);
        assert_eq!(refused.code, refusal::VALIDATION);
        assert!(refused.message.contains(why), "{refused}");
    }
    assert_eq!(
        ground
            .transforms
            .store
            .count(Kind::TransformJob, &[])
            .unwrap(),
        0
    );
}

/// The runner forgets jobs one day: what became of one is kept when it ends, whether somebody asks or not.
#[test]
fn an_end_is_kept_when_it_comes() {
    let ground = Ground::new(&[("data/a", b"1\n")]);
    ground.call("CreateTransformJob", request("quiet")).unwrap();
    let began = Instant::now();
    loop {
        let kept = ground.transforms.store.get(Kind::TransformJob, "quiet");
        let kept = kept.unwrap().unwrap();
        if !is_live(&kept) {
            assert_eq!(kept.status, "Completed");
            assert_eq!(kept.body[ENDED], kept.modified);
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{kept:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_stopped_job_leaves_nothing() {
    let ground = Ground::with(
        &[("data/a", b"1\n2\n3\n13\n"), ("data/b", b"1\n")],
        Sums::default(),
        1,
    );
    ground.call("CreateTransformJob", request("stop")).unwrap();
    ground.wait("stop", |_| {
        ground.model.asked.lock().contains(&b"13".to_vec())
    });
    let job = ground.describe("stop");
    assert_eq!(job["TransformJobStatus"], "InProgress");
    assert!(job["TransformStartTime"].is_number() && job.get("TransformEndTime").is_none());
    let full = ground
        .call("CreateTransformJob", request("more"))
        .unwrap_err();
    assert_eq!(full.code, refusal::LIMIT);
    assert!(
        ground
            .transforms
            .store
            .get(Kind::TransformJob, "more")
            .unwrap()
            .is_none()
    );
    let stop = || ground.call("StopTransformJob", json!({"TransformJobName": "stop"}));
    assert_eq!(stop().unwrap(), json!({}));
    assert_eq!(ground.ended("stop")["TransformJobStatus"], "Stopped");
    assert_eq!(ground.keys(), Vec::<String>::new());
    let late = stop().unwrap_err();
    assert!(late.message.contains("status Stopped"), "{late}");
}
