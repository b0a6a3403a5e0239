//! Comprehend's jobs, on objects and jobs in memory.

use super::*;
use escala_batch::runner::Options as RunnerOptions;
use escala_batch::store::memory::Memory as Kept;
use escala_objects::memory::Memory as Objects;
use escala_objects::{ObjectName, ObjectStore};
use std::io::Read;

const ROLE: &str = "arn:aws:iam::000000000000:role/jobs";

struct Ground {
    client: Client,
    objects: Objects,
}

/// Lets a client's jobs be worked on, with objects.
pub(super) fn begin_jobs(client: &mut Client, objects: &Objects) {
    let options = RunnerOptions {
        live: 3,
        patience: Duration::ZERO,
        ..RunnerOptions::default()
    };
    let runner = Runner::start(
        Arc::new(Kept::default()),
        Arc::new(objects.clone()),
        Arc::new(crate::aws::jobs::works(&client.aws).collect()),
        options,
    );
    client.aws.jobs = Some(Arc::new(runner.expect("starts")));
}

fn ground(files: &[(&str, &[u8])]) -> Ground {
    let mut client = client();
    let objects = Objects::default();
    objects.bucket("answers");
    for (key, bytes) in files {
        objects.put("texts", key, bytes);
    }
    begin_jobs(&mut client, &objects);
    Ground { client, objects }
}

fn request(input: &str, format: &str) -> Value {
    json!({
        "InputDataConfig": {"S3Uri": input, "InputFormat": format},
        "OutputDataConfig": {"S3Uri": "s3://answers/out"},
        "DataAccessRoleArn": ROLE,
    })
}

fn lines(input: &str, more: Value) -> Value {
    let mut request = request(input, "ONE_DOC_PER_LINE");
    for (name, value) in more.as_object().expect("members") {
        request[name] = value.clone();
    }
    request
}

impl Ground {
    async fn ask(&self, operation: &str, body: Value) -> Answer {
        self.client.comprehend(operation, body).await
    }

    /// Starts a job and waits for its end: its properties.
    async fn run(&self, middle: &str, body: Value) -> Value {
        let started = self.ask(&format!("Start{middle}DetectionJob"), body).await;
        assert_eq!(started.status, 200, "{}", started.body);
        let id = started.body["JobId"].as_str().expect("an id").to_owned();
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert_eq!(started.body["JobStatus"], "SUBMITTED");
        self.ended(middle, &id).await
    }

    async fn ended(&self, middle: &str, id: &str) -> Value {
        let began = Instant::now();
        loop {
            let operation = format!("Describe{middle}DetectionJob");
            let answer = self.ask(&operation, json!({ "JobId": id })).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let job = answer.body[format!("{middle}DetectionJobProperties")].clone();
            let status = job["JobStatus"].as_str().expect("a status");
            if !["SUBMITTED", "IN_PROGRESS", "STOP_REQUESTED"].contains(&status) {
                return job;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{job}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn read(&self, uri: &str) -> Vec<u8> {
        let key = uri.strip_prefix("s3://answers/").expect("the bucket");
        let name = ObjectName::new("answers", key, None).expect("a name");
        let mut object = self.objects.open(&name).expect("there");
        let mut bytes = Vec::new();
        object.bytes.read_to_end(&mut bytes).expect("readable");
        bytes
    }

    /// The lines of a job's archive.
    fn output(&self, job: &Value) -> Vec<Value> {
        assert_eq!(job["JobStatus"], "COMPLETED", "{job}");
        let uri = job["OutputDataConfig"]["S3Uri"].as_str().expect("a place");
        assert!(uri.ends_with("/output/output.tar.gz"), "{uri}");
        let bytes = self.read(uri);
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
        let mut entries = tar.entries().expect("a tar file");
        let mut entry = entries.next().expect("one").expect("a file");
        assert_eq!(entry.path().expect("a name").to_str(), Some("output"));
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("a text");
        drop(entry);
        assert!(entries.next().is_none(), "one file");
        let line = |line: &str| serde_json::from_str(line).expect("JSON");
        text.lines().map(line).collect()
    }
}

const KINDS: [(&str, &str, &str); 5] = [
    ("DominantLanguage", "DetectDominantLanguage", "LANGUAGE"),
    ("Entities", "DetectEntities", "NER"),
    ("KeyPhrases", "DetectKeyPhrases", "KP"),
    ("Sentiment", "DetectSentiment", "SENTIMENT"),
    ("TargetedSentiment", "DetectTargetedSentiment", "TS"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_job_answers_each_line_as_the_operation_on_one_text_does() {
    let texts = ["+", "a bc", "größe 🙂", "-"];
    let file = format!("{}\r\n{}\r{}\n{}", texts[0], texts[1], texts[2], texts[3]);
    let ground = ground(&[("in/a.txt", file.as_bytes()), ("in/b.txt", b"0\n")]);
    for (middle, operation, code) in KINDS {
        let language = |mut body: Value| {
            if middle != "DominantLanguage" {
                body["LanguageCode"] = "en".into();
            }
            body
        };
        let body = language(lines("s3://texts/in/", json!({"JobName": middle})));
        let job = ground.run(middle, body.clone()).await;
        assert_eq!(job["JobName"], middle);
        assert_eq!(job["InputDataConfig"], body["InputDataConfig"]);
        assert_eq!(job["DataAccessRoleArn"], ROLE);
        assert_eq!(job.get("LanguageCode"), body.get("LanguageCode"));
        assert!(job["EndTime"].as_f64() >= job["SubmitTime"].as_f64());
        let id = job["JobId"].as_str().expect("an id");
        let uri = job["OutputDataConfig"]["S3Uri"].as_str().expect("a place");
        let folder = format!("s3://answers/out/123456789012-{code}-{id}/output/");
        assert_eq!(uri, format!("{folder}output.tar.gz"));
        let arn = job["JobArn"].as_str().expect("a name");
        assert!(arn.ends_with(&format!("-detection-job/{id}")), "{arn}");
        let output = ground.output(&job);
        let places = (0..4).map(|line| ("a.txt", line)).chain([("b.txt", 0)]);
        assert_eq!(output.len(), 5);
        for ((line, text), (file, number)) in output
            .into_iter()
            .zip(texts.into_iter().chain(["0"]))
            .zip(places)
        {
            let alone = ground
                .ask(operation, language(json!({ "Text": text })))
                .await;
            assert_eq!(alone.status, 200, "{}", alone.body);
            let mut expected = alone.body.clone();
            expected["File"] = file.into();
            expected["Line"] = number.into();
            assert_eq!(line, expected, "{operation}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_without_an_answer_are_errors_in_their_place() {
    let long = "x".repeat(5121);
    let fits = "x".repeat(5120);
    let file = [
        b"+\n\xff\xfe\n".as_slice(),
        long.as_bytes(),
        b"\n\nfail InvalidInput\n",
        fits.as_bytes(),
        b"\nnan\n-",
    ]
    .concat();
    let ground = ground(&[("a.txt", &file)]);
    let body = lines("s3://texts/a.txt", json!({"LanguageCode": "en"}));
    let job = ground.run("Sentiment", body).await;
    let output = ground.output(&job);
    let codes: Vec<&str> = output
        .iter()
        .map(|line| line["ErrorCode"].as_str().unwrap_or("ok"))
        .collect();
    assert_eq!(
        codes,
        [
            "ok",
            "UNSUPPORTED_ENCODING",
            "DOCUMENT_SIZE_EXCEEDED",
            "INVALID_REQUEST",
            "INVALID_REQUEST",
            "ok",
            "INTERNAL_SERVER_ERROR",
            "ok"
        ]
    );
    assert_eq!(
        output[2],
        json!({
            "File": "a.txt",
            "Line": 2,
            "ErrorCode": "DOCUMENT_SIZE_EXCEEDED",
            "ErrorMessage": "Document size is exceeded maximum size limit 5120 bytes.",
        })
    );
    assert!(!output[6]["ErrorMessage"].to_string().contains("NaN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_answers_fails_the_job_and_leaves_nothing() {
    let ground = ground(&[("a.txt", b"+\nfail Unavailable")]);
    let body = lines("s3://texts/a.txt", json!({"LanguageCode": "en"}));
    let job = ground.run("Sentiment", body).await;
    assert_eq!(job["JobStatus"], "FAILED");
    assert!(job["Message"].to_string().contains("told to fail"), "{job}");
    let left = ground.objects.list("answers", "", "", 10).expect("a list");
    let outputs = left
        .iter()
        .filter(|listed| !listed.key.contains("/.parts/"));
    assert_eq!(outputs.count(), 0, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_documents_and_have_no_lines() {
    let ground = ground(&[("in/a.txt", b"a\nb"), ("in/sub/b.txt", b"+")]);
    let mut body = request("s3://texts/in/", "ONE_DOC_PER_FILE");
    body["LanguageCode"] = "en".into();
    let output = ground.output(&ground.run("Sentiment", body).await);
    assert_eq!(output.len(), 2);
    assert_eq!(output[0]["File"], "a.txt");
    assert_eq!(output[1]["File"], "sub/b.txt");
    assert_eq!(output[1]["Sentiment"], "POSITIVE");
    assert!(output.iter().all(|line| line.get("Line").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_is_reported_or_taken_out_in_a_file_for_each_input() {
    let ground = ground(&[("in/a.txt", b"abc\n\nx yz\n"), ("in/b.txt", b"q")]);
    let pii = |mode: &str, more: Value| {
        let mut body = lines(
            "s3://texts/in/",
            json!({"LanguageCode": "en", "Mode": mode}),
        );
        if !more.is_null() {
            body["RedactionConfig"] = more;
        }
        body
    };
    let outputs = async |body: Value| {
        let job = ground.run("PiiEntities", body.clone()).await;
        assert_eq!(job["JobStatus"], "COMPLETED", "{job}");
        assert_eq!(job["Mode"], body["Mode"]);
        assert_eq!(job.get("RedactionConfig"), body.get("RedactionConfig"));
        let uri = job["OutputDataConfig"]["S3Uri"].as_str().expect("a place");
        assert!(uri.ends_with("/output/"), "{uri}");
        let text = |name: &str| {
            let bytes = ground.read(&format!("{uri}{name}.out"));
            String::from_utf8(bytes).expect("a text")
        };
        (text("a.txt"), text("b.txt"))
    };
    let (a, b) = outputs(pii("ONLY_OFFSETS", Value::Null)).await;
    let first: Value = serde_json::from_str(a.lines().next().expect("a line")).expect("JSON");
    let request = json!({"Text": "abc", "LanguageCode": "en"});
    let mut alone = ground.ask("DetectPiiEntities", request).await.body.clone();
    alone["File"] = "a.txt".into();
    alone["Line"] = 0.into();
    assert_eq!(first, alone);
    assert_eq!((a.lines().count(), b.lines().count()), (3, 1));
    // The double finds a name in the first character and an e-mail in the others.
    let masked = pii(
        "ONLY_REDACTION",
        json!({"MaskMode": "MASK", "MaskCharacter": "#"}),
    );
    let (a, b) = outputs(masked).await;
    assert_eq!((a.as_str(), b.as_str()), ("###\n\n####\n", "#\n"));
    let replaced = json!({"MaskMode": "REPLACE_WITH_PII_ENTITY_TYPE", "PiiEntityTypes": ["NAME"]});
    let (a, b) = outputs(pii("ONLY_REDACTION", replaced)).await;
    assert!(a.starts_with("[NAME]bc"), "{a}");
    assert!(b.starts_with("[NAME]"), "{b}");
    let refused = ground
        .ask(
            "StartPiiEntitiesDetectionJob",
            pii("ONLY_REDACTION", Value::Null),
        )
        .await;
    assert_eq!(refused.code(), "InvalidRequestException");
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_again_with_a_token_finds_the_job_and_too_many_are_refused() {
    let ground = ground(&[("a.txt", b"fail Overloaded")]);
    let body = |token: &str, language: &str| {
        let more = json!({"LanguageCode": language, "ClientRequestToken": token});
        lines("s3://texts/a.txt", more)
    };
    let start = async |body: Value| ground.ask("StartSentimentDetectionJob", body).await;
    let first = start(body("t-1", "en")).await;
    let again = start(body("t-1", "en")).await;
    assert_eq!(first.body["JobId"], again.body["JobId"]);
    let other = start(body("t-1", "es")).await;
    assert_eq!(other.code(), "InvalidRequestException");
    let id = first.body["JobId"].as_str().expect("an id");
    ground.ended("Sentiment", id).await;
    let stop = json!({ "JobId": id });
    let late = ground.ask("StopSentimentDetectionJob", stop).await;
    assert_eq!(late.code(), "InvalidRequestException");
    assert!(late.message().contains("FAILED"), "{}", late.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_by_pages_and_filters_and_found_by_their_kind() {
    let ground = ground(&[("a.txt", b"+")]);
    let mut ids = Vec::new();
    for name in ["one", "two", "one"] {
        let body = lines(
            "s3://texts/a.txt",
            json!({"LanguageCode": "en", "JobName": name}),
        );
        let job = ground.run("Sentiment", body).await;
        ids.push(job["JobId"].as_str().expect("an id").to_owned());
    }
    let list = async |body: Value| {
        let answer = ground.ask("ListSentimentDetectionJobs", body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let jobs = answer.body["SentimentDetectionJobPropertiesList"].clone();
        let jobs = jobs.as_array().expect("a list").clone();
        let id = |job: &Value| job["JobId"].as_str().expect("an id").to_owned();
        let next = answer.body.get("NextToken").cloned();
        (jobs.iter().map(id).collect::<Vec<_>>(), next)
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    let (all, none) = list(json!({})).await;
    assert_eq!((sorted(all.clone()), none), (sorted(ids.clone()), None));
    let (first, next) = list(json!({"MaxResults": 2})).await;
    let (rest, end) = list(json!({"MaxResults": 2, "NextToken": next})).await;
    assert_eq!([&first[..], &rest].concat(), all);
    assert_eq!(end, None);
    let (of_a_fraction, _) = list(json!({"MaxResults": 2.9})).await;
    assert_eq!(of_a_fraction, first);
    let (named, _) = list(json!({"Filter": {"JobName": "one"}})).await;
    assert_eq!(sorted(named), sorted(vec![ids[0].clone(), ids[2].clone()]));
    let (completed, _) = list(json!({"Filter": {"JobStatus": "COMPLETED"}})).await;
    assert_eq!(completed, all);
    let (failed, _) = list(json!({"Filter": {"JobStatus": "FAILED"}})).await;
    assert!(failed.is_empty());
    let (before, _) = list(json!({"Filter": {"SubmitTimeBefore": 1.0}})).await;
    assert!(before.is_empty());
    let (after, _) = list(json!({"Filter": {"SubmitTimeAfter": 1.0}})).await;
    assert_eq!(after, all);
    // By the reference, those before a time come from the oldest on.
    let turned: Vec<String> = all.iter().rev().cloned().collect();
    let before = json!({"SubmitTimeBefore": 1e11});
    let (old, next) = list(json!({"Filter": before, "MaxResults": 2})).await;
    let (young, _) = list(json!({"Filter": before, "NextToken": next})).await;
    assert_eq!([&old[..], &young].concat(), turned);
    let ask = async |operation: &str, body: Value| ground.ask(operation, body).await;
    let two = json!({"Filter": {"JobName": "one", "JobStatus": "FAILED"}});
    let refused = ask("ListSentimentDetectionJobs", two).await;
    assert_eq!(refused.code(), "InvalidFilterException");
    let token = json!({"NextToken": "not one"});
    let refused = ask("ListSentimentDetectionJobs", token).await;
    assert_eq!(refused.code(), "InvalidRequestException");
    for operation in ["DescribeEntitiesDetectionJob", "StopEntitiesDetectionJob"] {
        let other = ask(operation, json!({ "JobId": ids[0] })).await;
        assert_eq!(other.code(), "JobNotFoundException", "{operation}");
    }
    let unknown = json!({"JobId": "0".repeat(32)});
    let unknown = ask("DescribeSentimentDetectionJob", unknown).await;
    assert_eq!(unknown.code(), "JobNotFoundException");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_number_may_be_written_as_a_fraction() {
    let ground = ground(&[("a.txt", b"red\ngreen\nred green\n")]);
    let body = lines("s3://texts/a.txt", json!({"NumberOfTopics": 2.0}));
    let job = ground.run("Topics", body).await;
    assert_eq!(job["NumberOfTopics"], json!(2), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_part_of_this_is_refused_in_words() {
    let ground = ground(&[("a.txt", b"+")]);
    let start = async |middle: &str, more: Value| {
        let body = lines("s3://texts/a.txt", more);
        let answer = ground
            .ask(&format!("Start{middle}DetectionJob"), body)
            .await;
        assert_eq!(answer.status, 400, "{}", answer.body);
        (answer.code().to_owned(), answer.message().to_owned())
    };
    let recognizer = "arn:aws:comprehend:us-east-1:000000000000:entity-recognizer/mine";
    let custom = json!({"LanguageCode": "en", "EntityRecognizerArn": recognizer});
    let (code, _) = start("Entities", custom).await;
    assert_eq!(code, "ResourceUnavailableException");
    let key = json!({"LanguageCode": "en", "VolumeKmsKeyId": "key"});
    let (code, _) = start("Sentiment", key).await;
    assert_eq!(code, "KmsKeyValidationException");
    let (code, message) = start("TargetedSentiment", json!({"LanguageCode": "de"})).await;
    assert_eq!(code, "InvalidRequestException");
    assert!(message.contains("'de'"), "{message}");
    let (code, _) = start("Sentiment", json!({"LanguageCode": "xx"})).await;
    assert_eq!(code, "ValidationException");
    let address = json!({"LanguageCode": "en", "InputDataConfig": {"S3Uri": "s3://1.2.3.4/a"}});
    let (code, message) = start("Sentiment", address).await;
    assert_eq!(code, "InvalidRequestException");
    assert!(message.contains("IP address"), "{message}");
    let nothing = ground
        .run(
            "Sentiment",
            lines("s3://texts/none", json!({"LanguageCode": "en"})),
        )
        .await;
    assert_eq!(nothing["JobStatus"], "FAILED");
    assert!(nothing["Message"].to_string().contains("none"), "{nothing}");
}
