//! Training jobs from the request to the model in its bucket, on jobs and objects in memory: stopped, out of time, refused, and
//! gone on with in the next process.

mod interrupted;

use super::*;
use crate::served::Container;
use escala_batch::runner::{Options as RunnerOptions, Works};
use escala_batch::store::memory::Memory as Jobs;
use escala_learn::Watch;
use escala_learn::formats::{Format, read};
use escala_objects::memory::Memory;
use escala_objects::{Listed, ObjectName, ObjectStore};
use std::io::{Read, Write};
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that trains: dropped, it rests.
struct Process {
    runner: Arc<Runner>,
    trainings: Trainings,
}

/// What stays when a process ends.
struct Machine {
    folder: TempDir,
    objects: Memory,
    jobs: Arc<Jobs>,
    patient: Arc<AtomicUsize>,
}

/// Trains until it is asked to stop; counts its steps, and goes on from where it was.
struct Patient(Arc<AtomicUsize>);

impl Trainer for Patient {
    fn repositories(&self) -> Vec<&'static str> {
        vec!["patient"]
    }

    fn train(
        &self,
        _: &Container<'_>,
        lesson: &Lesson<'_>,
        watch: &mut dyn Watch,
    ) -> std::result::Result<(), Failure> {
        lesson.train_channel(&["train"])?;
        lesson.learning();
        let read = |bytes: Vec<u8>| String::from_utf8(bytes).ok()?.parse().ok();
        let mut steps: usize = watch.resume().and_then(read).unwrap_or(0);
        let most = lesson.hyperparameters.get("steps");
        let most = most
            .and_then(|most| most.parse().ok())
            .unwrap_or(usize::MAX);
        while steps < most {
            steps += 1;
            self.0.store(steps, Ordering::SeqCst);
            watch.log(&format!("step {steps} loss={}", 1.0 / steps as f64));
            watch.checkpoint(&mut || steps.to_string().into_bytes());
            if watch.stopped() {
                // As those that have learned nothing by then.
                if lesson.hyperparameters.contains_key("nothing") {
                    return Err(Failure::Stopped);
                }
                watch.checkpoint(&mut || steps.to_string().into_bytes());
                break;
            }
            std::thread::yield_now();
        }
        std::fs::write(lesson.folder.join("steps"), steps.to_string())
            .map_err(|error| Failure::Algorithm(error.to_string()))
    }
}

/// Learns what lies in which folder.
struct Looking;

impl Trainer for Looking {
    fn repositories(&self) -> Vec<&'static str> {
        vec!["looking"]
    }

    fn train(
        &self,
        _: &Container<'_>,
        lesson: &Lesson<'_>,
        _: &mut dyn Watch,
    ) -> std::result::Result<(), Failure> {
        let mut all = String::new();
        for channel in lesson.channels {
            for file in &channel.files {
                let folder = file.key.rsplit('/').nth(1).unwrap();
                let mut bytes = Vec::new();
                lesson.open(channel, file)?.read_to_end(&mut bytes).unwrap();
                let bytes = bytes.escape_ascii();
                all += &format!("{} {folder} {bytes}\n", channel.name);
            }
        }
        std::fs::write(lesson.folder.join("seen"), all)
            .map_err(|error| Failure::Algorithm(error.to_string()))
    }
}

/// As [`Patient`], and keeps its steps in a file.
struct Filing(Arc<AtomicUsize>);

impl Trainer for Filing {
    fn repositories(&self) -> Vec<&'static str> {
        vec!["filing"]
    }

    fn train(
        &self,
        _: &Container<'_>,
        lesson: &Lesson<'_>,
        watch: &mut dyn Watch,
    ) -> std::result::Result<(), Failure> {
        lesson.learning();
        let broken = |error: std::io::Error| Failure::Algorithm(error.to_string());
        let kept = lesson.checkpoint.join("steps");
        let partial = lesson.checkpoint.join("steps.partial");
        let read = std::fs::read_to_string(&kept).ok();
        let mut steps = read.map_or(0, |steps| steps.parse::<usize>().unwrap());
        watch.log(&format!("begins after {steps} steps"));
        loop {
            steps += 1;
            std::fs::write(&partial, steps.to_string()).map_err(broken)?;
            std::fs::rename(&partial, &kept).map_err(broken)?;
            self.0.store(steps, Ordering::SeqCst);
            if watch.stopped() {
                break;
            }
            std::thread::yield_now();
        }
        // As one that was killed while it wrote leaves it.
        std::fs::write(&partial, "half").map_err(broken)?;
        std::fs::write(lesson.folder.join("steps"), steps.to_string()).map_err(broken)
    }
}

impl Machine {
    fn new() -> Self {
        let objects = Memory::default();
        objects.bucket("bucket");
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
            objects,
            jobs: Arc::new(Jobs::default()),
            patient: Arc::new(AtomicUsize::new(0)),
        };
        let rows: String = (0..200)
            .map(|row| format!("{},{},{}\n", u8::from(row % 7 > 3), row % 7, row % 3))
            .collect();
        machine.put("data/train/part-1.csv", &rows[..rows.len() / 2]);
        machine.put("data/train/part-2.csv", &rows[rows.len() / 2..]);
        // Notes that tools leave beside their files.
        machine.put("data/train/_SUCCESS", "no rows");
        machine.put("data/train/.part-1.csv.crc", "no rows");
        machine.put("data/held/held.csv", &rows);
        machine.put("data/words.csv", "yes,1,2\nno,2,3\n");
        machine
    }

    fn put(&self, key: &str, text: &str) {
        let name = ObjectName::new("bucket", key, None).unwrap();
        let mut new = self.objects.create(&name).unwrap();
        new.write_all(text.as_bytes()).unwrap();
        new.commit().unwrap();
    }

    /// What a job leaves: its parts go just after its end is known.
    fn left(&self, prefix: &str) -> Vec<Listed> {
        let began = Instant::now();
        loop {
            let listed = self.objects.list("bucket", prefix, "", 100).unwrap();
            if !listed.iter().any(|one| one.key.contains("/.parts/")) {
                return listed;
            }
            assert!(began.elapsed() < PATIENCE, "{listed:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn start(&self) -> Process {
        let options = Options {
            most_bytes: 1 << 20,
            threads: 2,
        };
        let trainings = Trainings::new(
            Arc::new(Store::open(self.folder.path()).unwrap()),
            Arc::new(Logs::open(self.folder.path()).unwrap()),
            Arc::new(self.objects.clone()),
            self.folder.path(),
            vec![
                Box::new(Tables),
                Box::new(Patient(self.patient.clone())),
                Box::new(Filing(self.patient.clone())),
                Box::new(Looking),
            ],
            options,
        );
        let trainings = trainings.unwrap();
        let works: Works = Arc::new(BTreeMap::from([trainings.work()]));
        let options = RunnerOptions {
            live: 3,
            ..RunnerOptions::default()
        };
        let runner = Runner::start(
            self.jobs.clone(),
            Arc::new(self.objects.clone()),
            works,
            options,
        );
        let runner = Arc::new(runner.unwrap());
        trainings.attach(&runner).unwrap();
        Process { runner, trainings }
    }
}

fn caller() -> Caller {
    Caller {
        account: "123456789012".to_owned(),
        region: "us-east-1".to_owned(),
    }
}

fn request(name: &str, image: &str, channels: &[(&str, &str)], given: Value) -> Value {
    let channels: Vec<Value> = channels
        .iter()
        .map(|(name, key)| {
            json!({"ChannelName": name, "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": format!("s3://bucket/{key}")}}})
        })
        .collect();
    json!({
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "HyperParameters": given,
    })
}

impl Process {
    fn call(&self, operation: &str, input: Value) -> Result<Value> {
        assert!(OPERATIONS.contains(&operation));
        self.trainings.call(&caller(), operation, input)
    }

    fn create(&self, request: Value) {
        let name = request["TrainingJobName"].clone();
        let made = self.call("CreateTrainingJob", request).unwrap();
        let arn = made["TrainingJobArn"].as_str().unwrap();
        assert!(arn.ends_with(&format!("training-job/{}", name.as_str().unwrap())));
    }

    fn describe(&self, name: &str) -> Value {
        self.call("DescribeTrainingJob", json!({"TrainingJobName": name}))
            .unwrap()
    }

    fn until(&self, name: &str, what: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let described = self.describe(name);
            if what(&described) {
                return described;
            }
            assert!(began.elapsed() < PATIENCE, "{described}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn ended(&self, name: &str) -> Value {
        self.until(name, |job| {
            ![IN_PROGRESS, STOPPING].contains(&text(job, "TrainingJobStatus"))
        })
    }

    fn log(&self, name: &str) -> Vec<String> {
        let logs = &self.trainings.0.logs;
        let group = json!({"logGroupName": TRAINING, "logStreamNamePrefix": format!("{name}/")});
        let found = logs.call(&caller(), "FilterLogEvents", &group).unwrap();
        let events = found["events"].as_array().unwrap();
        events
            .iter()
            .map(|event| text(event, "message").to_owned())
            .collect()
    }
}

fn statuses(job: &Value) -> Vec<&str> {
    let all = job["SecondaryStatusTransitions"].as_array().unwrap();
    all.iter().map(|one| text(one, "Status")).collect()
}

fn artefact_of(machine: &Machine, job: &Value) -> Vec<u8> {
    let address = text(&job["ModelArtifacts"], "S3ModelArtifacts");
    let (bucket, key) = s3(address).unwrap();
    let name = ObjectName::new(bucket, key, None).unwrap();
    let mut bytes = Vec::new();
    let mut object = machine.objects.open(&name).unwrap();
    object.bytes.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Without compression the files of the model lie in a folder, and are those of the archive.
#[test]
fn a_model_may_be_left_unpacked() {
    let machine = Machine::new();
    let process = machine.start();
    let channels = [("train", "data/train/")];
    let given = json!({"num_round": "5", "objective": "binary:logistic"});
    process.create(request("packed", "xgboost", &channels, given.clone()));
    let mut asked = request("plain", "xgboost", &channels, given);
    asked["OutputDataConfig"]["CompressionType"] = json!("NONE");
    // Addresses are also those of S3 by HTTP.
    asked["OutputDataConfig"]["S3OutputPath"] = json!("https://s3.amazonaws.com/bucket/models");
    asked["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] =
        json!("https://bucket.s3.us-east-1.amazonaws.com/data/train/");
    process.create(asked);
    let [packed, plain] = ["packed", "plain"].map(|name| process.ended(name));
    let address = text(&plain["ModelArtifacts"], "S3ModelArtifacts");
    assert_eq!(address, "s3://bucket/models/plain/output/model/");
    let packed = unpacked(&artefact_of(&machine, &packed));
    let listed = machine.left("models/plain/output/");
    let mut files = std::fs::read_dir(packed.path()).unwrap().count();
    for one in listed {
        let name = ObjectName::new("bucket", &one.key, None).unwrap();
        let mut bytes = Vec::new();
        let mut object = machine.objects.open(&name).unwrap();
        object.bytes.read_to_end(&mut bytes).unwrap();
        let file = one.key.strip_prefix("models/plain/output/model/").unwrap();
        assert_eq!(bytes, std::fs::read(packed.path().join(file)).unwrap());
        files -= 1;
    }
    assert_eq!(files, 0, "each file is there");
}

fn unpacked(bytes: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    archive.unpack(folder.path()).unwrap();
    folder
}

#[test]
fn a_job_trains_and_leaves_a_model_where_sagemaker_puts_it() {
    let machine = Machine::new();
    let process = machine.start();
    let image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1";
    let given =
        json!({"num_round": "5", "objective": "binary:logistic", "_tuning_objective_metric": "x"});
    let channels = [("train", "data/train/"), ("validation", "data/held/")];
    let mut asked = request("first", image, &channels, given.clone());
    asked["Tags"] = json!([{"Key": "team", "Value": "a"}]);
    process.create(asked);
    let job = process.ended("first");
    assert_eq!(text(&job, "TrainingJobStatus"), COMPLETED, "{job}");
    assert_eq!(
        statuses(&job),
        [
            "Starting",
            "Downloading",
            "Training",
            "Uploading",
            "Completed"
        ]
    );
    assert_eq!(
        job["ModelArtifacts"]["S3ModelArtifacts"],
        "s3://bucket/models/first/output/model.tar.gz"
    );
    assert_eq!(job["HyperParameters"], given);
    assert!(job["TrainingTimeInSeconds"].as_u64().unwrap() >= 1);
    let metrics = job["FinalMetricDataList"].as_array().unwrap();
    let named: Vec<&str> = metrics.iter().map(|one| text(one, "MetricName")).collect();
    assert!(named.contains(&"validation:logloss"), "{named:?}");
    let folder = unpacked(&artefact_of(&machine, &job));
    let (algorithm, model) = escala_learn::registry::open(folder.path()).unwrap();
    assert_eq!(algorithm.name(), "xgboost");
    let format = Format::of("text/csv", false).unwrap();
    let rows = read(format, "rows", &b"6,1\n0,1\n"[..]).unwrap();
    let said = format!("{:?}", model.predict(&rows).unwrap());
    assert_eq!(model.predict(&rows).unwrap().rows(), 2, "{said}");
    assert!(
        process
            .log("first")
            .iter()
            .any(|line| line.contains("200 rows of 2 columns"))
    );
    let store = &process.trainings.0.store;
    assert_eq!(store.tags(text(&job, "TrainingJobArn")).unwrap().len(), 1);
    // What was there beside is gone.
    let folder = machine.folder.path().join("trainings");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);

    let again = request("first", image, &channels, json!({}));
    let refused = process.call("CreateTrainingJob", again).unwrap_err();
    assert_eq!(refused.code, IN_USE);
    assert!(refused.message.contains("already exists"), "{refused}");
    let list = process
        .call("ListTrainingJobs", json!({"StatusEquals": "Completed"}))
        .unwrap();
    assert_eq!(list["TrainingJobSummaries"][0]["TrainingJobName"], "first");
    for none in ["WarmPoolStatusEquals", "TrainingPlanArnEquals"] {
        let asked = json!({none: "Available", "StatusEquals": "Completed"});
        let list = process.call("ListTrainingJobs", asked).unwrap();
        assert_eq!(list, json!({"TrainingJobSummaries": []}), "{none}");
    }
    let stopped = process.call("StopTrainingJob", json!({"TrainingJobName": "first"}));
    assert!(
        stopped
            .unwrap_err()
            .message
            .contains("is in status Completed")
    );
    process
        .call("DeleteTrainingJob", json!({"TrainingJobName": "first"}))
        .unwrap();
    let gone = process.call("DescribeTrainingJob", json!({"TrainingJobName": "first"}));
    assert_eq!(gone.unwrap_err().message, "Requested resource not found.");
}

#[test]
fn what_cannot_be_trained_fails_with_a_reason() {
    let machine = Machine::new();
    machine.put(
        "data/list.manifest",
        r#"[{"prefix": "s3://bucket/data/"}, "train/part-1.csv", "none.csv"]"#,
    );
    let packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00";
    for ending in ["csv", "svm", "jsonl"] {
        let key = format!("packed/{ending}/a.{ending}");
        machine.objects.put("bucket", &key, packed);
    }
    let process = machine.start();
    let train = [("train", "data/train/")];
    let xgboost = json!({"num_round": "3", "objective": "binary:logistic"});
    let typed = |content_type: &str| {
        let mut asked = request("x", "xgboost", &train, xgboost.clone());
        asked["InputDataConfig"][0]["ContentType"] = json!(content_type);
        asked
    };
    let mut manifest = request(
        "x",
        "xgboost",
        &[("train", "data/list.manifest")],
        xgboost.clone(),
    );
    manifest["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataType"] =
        json!("ManifestFile");
    let mut nowhere = request("x", "xgboost", &train, xgboost.clone());
    nowhere["OutputDataConfig"]["S3OutputPath"] = json!("s3://nowhere/x");
    let mut none = request("x", "xgboost", &train, xgboost.clone());
    none["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] = json!("s3://nowhere/x");
    let packed = |ending: &str| {
        let key = format!("packed/{ending}/");
        request("x", "xgboost", &[("train", &key)], xgboost.clone())
    };
    let wrapped = |kind: &str| {
        let mut asked = request("x", "xgboost", &train, xgboost.clone());
        let channel = &mut asked["InputDataConfig"][0];
        channel["RecordWrapperType"] = json!("RecordIO");
        let source = &mut channel["DataSource"]["S3DataSource"];
        source["S3DataType"] = json!(kind);
        if kind == "AugmentedManifestFile" {
            source["S3Uri"] = json!("s3://bucket/data/words.csv");
            source["AttributeNames"] = json!(["a"]);
        }
        asked
    };
    let scripted = json!({"sagemaker_program": "\"train.py\""});
    let cases = [
        (
            request("x", "my-image:1", &train, json!({})),
            "ClientError",
            "nothing here trains the image",
        ),
        (
            request("x", "xgboost", &[], xgboost.clone()),
            "ClientError",
            "channel \"train\" is missing",
        ),
        (
            request("x", "xgboost", &[("training", "data/")], xgboost.clone()),
            "ClientError",
            "no use for the channel",
        ),
        (
            request("x", "xgboost", &[("train", "data/none/")], xgboost.clone()),
            "ClientError",
            "no object under s3://bucket/data/none/",
        ),
        (none, "ClientError", "no bucket nowhere"),
        (nowhere, "ClientError", "nowhere"),
        (manifest, "ClientError", "s3://bucket/data/none.csv"),
        (packed("csv"), "ClientError", "CompressionType: it is Gzip"),
        (packed("svm"), "ClientError", "CompressionType: it is Gzip"),
        (
            packed("jsonl"),
            "ClientError",
            "CompressionType: it is Gzip",
        ),
        (
            wrapped("S3Prefix"),
            "ClientError",
            "RecordWrapperType RecordIO is not known",
        ),
        // Its wrapper is none of its faults.
        (
            wrapped("AugmentedManifestFile"),
            "ClientError",
            "rows of numbers are not read from an augmented manifest",
        ),
        (typed("image/png"), "ClientError", "image/png"),
        (typed("application/jsonlines"), "ClientError", "part-1.csv"),
        (
            request("x", "xgboost", &[("train", "data/words.csv")], xgboost),
            "ClientError",
            "yes",
        ),
        (
            request("x", "xgboost", &train, json!({"num_round": "-1"})),
            "ClientError",
            "num_round",
        ),
        (
            request("x", "xgboost", &train, scripted),
            "ClientError",
            "script",
        ),
        (
            request(
                "x",
                "xgboost",
                &train,
                json!({"_kfold": "3", "num_round": "3"}),
            ),
            "ClientError",
            "_kfold",
        ),
    ];
    for (number, (mut asked, whose, why)) in cases.into_iter().enumerate() {
        let name = format!("bad-{number}");
        asked["TrainingJobName"] = json!(name);
        process.create(asked);
        let job = process.ended(&name);
        assert_eq!(text(&job, "TrainingJobStatus"), FAILED, "{job}");
        let reason = text(&job, "FailureReason");
        assert!(
            reason.starts_with(whose) && reason.contains(why),
            "{name}: {reason}"
        );
        assert_eq!(statuses(&job).last(), Some(&"Failed"));
    }
}

/// Who reads such a file calls itself for each level; without looking first, it ends the process.
#[cfg(feature = "parquet")]
#[test]
fn tables_whose_columns_lie_deep_in_others_are_refused() {
    let machine = Machine::new();
    let levels = 16_000_u32;
    // In the words of Thrift's compact protocol: a version, and a list of columns of which each has the next in it.
    let mut said = vec![0x15, 2, 0x19, 0xfc];
    let count = levels + 1;
    said.extend([
        count as u8 | 0x80,
        (count >> 7) as u8 | 0x80,
        (count >> 14) as u8,
    ]);
    for _ in 0..levels {
        said.extend([0x48, 1, b'a', 0x15, 2, 0]);
    }
    said.extend([0x48, 1, b'b', 0, 0]);
    let mut file = b"PAR1".to_vec();
    file.extend(&said);
    file.extend((said.len() as u32).to_le_bytes());
    file.extend(b"PAR1");
    machine.objects.put("bucket", "deep/a.parquet", &file);
    let process = machine.start();
    let given = json!({"num_round": "3"});
    process.create(request("deep", "xgboost", &[("train", "deep/")], given));
    let job = process.ended("deep");
    assert_eq!(text(&job, "TrainingJobStatus"), FAILED, "{job}");
    let reason = text(&job, "FailureReason");
    let why = "s3://bucket/deep/a.parquet: it has columns that lie 16000 levels deep in others; 100 are read";
    assert!(
        reason.starts_with("ClientError") && reason.contains(why),
        "{reason}"
    );
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let machine = Machine::new();
    let process = machine.start();
    let asked = || request("x", "xgboost", &[("train", "data/train/")], json!({}));
    let mut both = asked();
    both["AlgorithmSpecification"]["AlgorithmName"] = json!("xgboost");
    let mut regex = asked();
    regex["AlgorithmSpecification"]["MetricDefinitions"] = json!([{"Name": "m", "Regex": "("}]);
    let mut twice = asked();
    let channel = twice["InputDataConfig"][0].clone();
    twice["InputDataConfig"]
        .as_array_mut()
        .unwrap()
        .push(channel);
    let mut plain = asked();
    plain["OutputDataConfig"]["CompressionType"] = json!("ZIP");
    let mut spot = asked();
    spot["EnableManagedSpotTraining"] = json!(true);
    let mut short = spot.clone();
    short["StoppingCondition"]["MaxWaitTimeInSeconds"] = json!(3599);
    let mut elsewhere = asked();
    elsewhere["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] =
        json!("https://example.com/bucket/data/train/");
    let mut kept = asked();
    kept["CheckpointConfig"] = json!({"S3Uri": "https://example.com/bucket/kept"});
    for (asked, why) in [
        (elsewhere, "https://BUCKET.s3.REGION.amazonaws.com/KEY"),
        (kept, "CheckpointConfig.S3Uri"),
        (spot, "MaxWaitTimeInSeconds"),
        (short, "MaxWaitTimeInSeconds"),
        (both, "either"),
        (regex, "metric definition"),
        (twice, "only once"),
        (plain, "GZIP"),
    ] {
        let refused = process.call("CreateTrainingJob", asked).unwrap_err();
        assert_eq!(refused.code, crate::refusal::VALIDATION);
        assert!(refused.message.contains(why), "{refused}");
    }
    // Three may be live.
    for number in 0..3 {
        process.create(request(
            &format!("long-{number}"),
            "patient",
            &[("train", "data/train/")],
            json!({}),
        ));
    }
    let fourth = request("long-4", "patient", &[("train", "data/train/")], json!({}));
    let refused = process.call("CreateTrainingJob", fourth).unwrap_err();
    assert_eq!(refused.code, LIMIT);
    let list = process
        .call("ListTrainingJobs", json!({"NameContains": "long"}))
        .unwrap();
    assert_eq!(list["TrainingJobSummaries"].as_array().unwrap().len(), 3);
}

/// Record files are to a trainer what folders of images are; what learns from rows has nothing to do with them.
#[test]
fn images_in_record_files_lie_in_folders_of_their_classes() {
    const IMAGES: &[u8] = include_bytes!("../../tests/golden/records/images.rec");
    let machine = Machine::new();
    machine.objects.put("bucket", "records/images.rec", IMAGES);
    machine.put("records/images.lst", "0\t3.0\tplain.jpg\n");
    machine.put("plain/4/a.jpg", "as it is");
    let process = machine.start();
    let asked = |name: &str, image: &str| {
        let channels = [("train", "records/"), ("validation", "plain/")];
        let mut asked = request(name, image, &channels, json!({"num_round": "1"}));
        asked["InputDataConfig"][0]["ContentType"] = "application/x-recordio".into();
        process.create(asked);
        process.ended(name)
    };
    let job = asked("images", "looking");
    assert_eq!(text(&job, "TrainingJobStatus"), "Completed", "{job}");
    let folder = unpacked(&artefact_of(&machine, &job));
    let seen = std::fs::read_to_string(folder.path().join("seen")).unwrap();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines.len(), 6, "{seen}");
    assert_eq!(lines[0], "train 3 plain");
    assert_eq!(lines[4..], ["train 2 z", "validation 4 as it is"]);
    let log = process.log("images");
    assert!(
        log.iter()
            .any(|line| line == "channel train: 5 images in record files")
    );
    let refused = asked("rows", "xgboost");
    assert_eq!(text(&refused, "TrainingJobStatus"), "Failed");
    let why = text(&refused, "FailureReason");
    assert!(why.contains("application/x-recordio"), "{why}");
    machine.put("records/images.rec", "no records");
    let refused = asked("broken", "looking");
    let why = text(&refused, "FailureReason");
    assert!(
        why.starts_with("ClientError: s3://bucket/records/images.rec: record 1: it begins with"),
        "{why}"
    );
}
