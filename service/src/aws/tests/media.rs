//! Bulk analysis of images, on objects and jobs in memory.

use super::jobs::begin_jobs;
use super::*;
use crate::aws::rekognition::media::KIND;
use escala_objects::{ObjectName, ObjectStore, WritableStore};
use escala_pipelines::moderation::{Moderated, ModerationInput, Opinions};
use std::io::Read;

const LARGEST: u64 = 20;

/// Every image is suggestive, the more the longer it is.
impl Predict<ModerationInput, Moderated> for Double {
    fn predict_many(
        &self,
        inputs: Vec<ModerationInput>,
        options: Options,
    ) -> Answers<'_, Moderated> {
        assert_eq!(options.priority, Priority::Batch, "others come first");
        let answer = |input: ModerationInput| {
            let text = String::from_utf8_lossy(&input.image).into_owned();
            match failure_of(&text) {
                Some(error) => Err(error),
                None => Ok(Moderated {
                    opinions: Opinions {
                        sexy: if text == "nan" {
                            f32::NAN
                        } else {
                            text.len() as f32 / 16.0
                        },
                        ..Opinions::default()
                    },
                    seen: Vec::new(),
                }),
            }
        };
        Box::pin(async move { inputs.into_iter().map(answer).collect() })
    }
}

struct Ground {
    client: Client,
    objects: Memory,
}

fn ground(images: &[(&str, &str)]) -> Ground {
    let mut client = client();
    let objects = Memory::default();
    objects.bucket("answers");
    objects.bucket("lists");
    for (key, text) in images {
        objects.put("photos", key, text.as_bytes());
    }
    let buffers = Arc::new(Buffers::new(1 << 20));
    client.aws.images.stored = Objects::new(Arc::new(objects.clone()), LARGEST, buffers);
    client.aws.images.moderation = client.double.clone();
    begin_jobs(&mut client, &objects);
    Ground { client, objects }
}

/// A request with some other members.
fn request(key: &str, more: Value) -> Value {
    let mut request = json!({
        "OperationsConfig": {"DetectModerationLabels": {}},
        "Input": {"S3Object": {"Bucket": "lists", "Name": key}},
        "OutputConfig": {"S3Bucket": "answers", "S3KeyPrefix": "out/"},
    });
    for (name, value) in more.as_object().expect("members") {
        request[name] = value.clone();
    }
    request
}

fn line(key: &str) -> String {
    json!({"source-ref": format!("s3://photos/{key}")}).to_string()
}

impl Ground {
    async fn ask(&self, operation: &str, body: Value) -> Answer {
        self.client.rekognition(operation, body).await
    }

    fn list(&self, lines: &[&str]) {
        self.objects
            .put("lists", "list", lines.join("\n").as_bytes());
    }

    /// The job of a request, when it has ended.
    async fn run(&self, body: Value) -> Value {
        let started = self.ask("StartMediaAnalysisJob", body).await;
        assert_eq!(started.status, 200, "{}", started.body);
        let id = json!({ "JobId": started.body["JobId"] });
        let began = Instant::now();
        loop {
            let job = self.ask("GetMediaAnalysisJob", id.clone()).await;
            assert_eq!(job.status, 200, "{}", job.body);
            let status = job.body["Status"].as_str().expect("a status");
            if !["CREATED", "QUEUED", "IN_PROGRESS"].contains(&status) {
                return job.body;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{}", job.body);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn read(&self, object: &Value) -> String {
        let object = &object["S3Object"];
        let part = |name: &str| object[name].as_str().expect("a name");
        let name = ObjectName::new(part("Bucket"), part("Name"), None).expect("a name");
        let mut text = String::new();
        let mut object = self.objects.open(&name).expect("there");
        object.bytes.read_to_string(&mut text).expect("a text");
        text
    }

    /// The lines of a job's results, and its summary.
    fn output(&self, job: &Value) -> (Vec<Value>, Value) {
        assert_eq!(job["Status"], "SUCCEEDED", "{job}");
        let text = self.read(&job["Results"]);
        let parsed = |line: &str| serde_json::from_str(line).expect("JSON");
        let results = text.lines().map(parsed).collect();
        (results, parsed(&self.read(&job["ManifestSummary"])))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_a_manifest_is_answered_as_the_operation_answers_it() {
    let ground = ground(&[
        ("a.jpg", "123456789"),
        ("größe/b 🙂.png", "1234567890123456"),
    ]);
    let lines = [line("a.jpg"), line("größe/b 🙂.png"), line("a.jpg")];
    ground.list(&[
        &lines[0],
        r#"{"source-ref": "s3://photos/a.jpg", "label": [1]}"#,
        &lines[1],
        &lines[2],
    ]);
    for (least, expected) in [(None, [1, 1, 1, 1]), (Some(60.0), [0, 0, 1, 0])] {
        let body = request(
            "list",
            json!({
                "JobName": "bulk",
                "OperationsConfig": {"DetectModerationLabels": {"MinConfidence": least}},
            }),
        );
        let job = ground.run(body.clone()).await;
        let id = job["JobId"].as_str().expect("an id");
        assert_eq!(job["JobName"], "bulk");
        let mut given = body.clone();
        if least.is_none() {
            // A null is nothing that was given.
            given["OperationsConfig"] = json!({"DetectModerationLabels": {}});
        }
        for member in ["OperationsConfig", "Input", "OutputConfig"] {
            assert_eq!(job[member], given[member], "as it was given");
        }
        assert!(job["CompletionTimestamp"].as_f64() >= job["CreationTimestamp"].as_f64());
        let object = |file: &str| json!({"Bucket": "answers", "Name": format!("out/{id}/{file}")});
        assert_eq!(
            job["Results"],
            json!({"S3Object": object("results.jsonl"), "ModelVersions": {"Moderation": "7.0"}})
        );
        assert_eq!(
            job["ManifestSummary"],
            json!({"S3Object": object("manifest-summary.json")})
        );
        let (results, summary) = ground.output(&job);
        assert_eq!(results.len(), 4);
        for (result, (key, labels)) in results.iter().zip(
            ["a.jpg", "a.jpg", "größe/b 🙂.png", "a.jpg"]
                .into_iter()
                .zip(expected),
        ) {
            assert_eq!(result["source-ref"], format!("s3://photos/{key}"));
            let found = result["detect-moderation-labels"]["ModerationLabels"].as_array();
            assert_eq!(found.map(Vec::len), Some(labels), "{result}");
        }
        // What one image is answered alone is checked with the real models.
        assert_eq!(
            results[0]["detect-moderation-labels"]["ModerationModelVersion"],
            "7.0"
        );
        assert_eq!(
            summary,
            json!({
                "version": "1.0",
                "statistics": {"total-json-lines": 4, "valid-json-lines": 4, "invalid-json-lines": 0},
                "errors": [],
            })
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_an_answer_is_an_error_of_the_summary() {
    let ground = ground(&[
        ("a.jpg", "12345678"),
        ("broken.jpg", "fail InvalidImage"),
        ("defect.jpg", "fail Internal"),
        ("nan.jpg", "nan"),
        ("large.jpg", "123456789012345678901"),
        ("wide.jpg", "fail TooLarge"),
    ]);
    let long = format!(
        r#"{{"source-ref":"s3://photos/a.jpg","x":"{}"}}"#,
        "x".repeat(100_000)
    );
    let json_line = "ERROR_INVALID_JSON_LINE";
    let format = "ERROR_INVALID_SOURCE_REF_FORMAT";
    let absent = "InvalidS3ObjectException";
    let cases: &[(&str, &str, Option<&str>)] = &[
        (&line("a.jpg"), "", None),
        ("", json_line, None),
        ("no JSON", json_line, None),
        (r#"["source-ref", "s3://photos/a.jpg"]"#, json_line, None),
        (r#"{"source-ref": "s3://photos/a.jpg""#, json_line, None),
        (&long, json_line, None),
        (
            r#"{"source": "s3://photos/a.jpg"}"#,
            "ERROR_MISSING_SOURCE_REF",
            None,
        ),
        (r#"{"source-ref": 1}"#, format, None),
        (
            r#"{"source-ref": "https://photos/a.jpg"}"#,
            format,
            Some("https://photos/a.jpg"),
        ),
        (
            r#"{"source-ref": "s3://photos"}"#,
            format,
            Some("s3://photos"),
        ),
        (
            r#"{"source-ref": "s3://photos/"}"#,
            format,
            Some("s3://photos/"),
        ),
        (&line("none.jpg"), absent, Some("s3://photos/none.jpg")),
        (
            r#"{"source-ref": "s3://nowhere/a.jpg"}"#,
            absent,
            Some("s3://nowhere/a.jpg"),
        ),
        (
            r#"{"source-ref": "s3://1.2.3.4/a.jpg"}"#,
            absent,
            Some("s3://1.2.3.4/a.jpg"),
        ),
        (
            &line("large.jpg"),
            "ImageTooLargeException",
            Some("s3://photos/large.jpg"),
        ),
        (
            &line("wide.jpg"),
            "ImageTooLargeException",
            Some("s3://photos/wide.jpg"),
        ),
        (
            &line("broken.jpg"),
            "InvalidImageFormatException",
            Some("s3://photos/broken.jpg"),
        ),
        (
            &line("defect.jpg"),
            "InternalServerError",
            Some("s3://photos/defect.jpg"),
        ),
        (
            &line("nan.jpg"),
            "InternalServerError",
            Some("s3://photos/nan.jpg"),
        ),
        (r#"{"source-ref": "S3://photos/a.jpg"}"#, "", None),
    ];
    let lines: Vec<&str> = cases.iter().map(|(line, ..)| *line).collect();
    ground.list(&lines);
    let job = ground.run(request("list", json!({}))).await;
    let (results, summary) = ground.output(&job);
    let named: Vec<&Value> = results.iter().map(|result| &result["source-ref"]).collect();
    assert_eq!(named, ["s3://photos/a.jpg", "S3://photos/a.jpg"]);
    let (all, errors) = (cases.len(), cases.len() - 2);
    assert_eq!(
        summary["statistics"],
        json!({"total-json-lines": all, "valid-json-lines": 2, "invalid-json-lines": errors})
    );
    let errors = summary["errors"].as_array().expect("errors");
    let expected = cases
        .iter()
        .enumerate()
        .filter(|(_, (_, code, _))| !code.is_empty());
    assert_eq!(errors.len(), expected.clone().count());
    for (error, (number, (line, code, source))) in errors.iter().zip(expected) {
        let line: String = line.chars().take(50).collect();
        assert_eq!(error["line-number"], number + 1, "{line}");
        assert_eq!(error["code"], *code, "{line}");
        assert_eq!(
            error.get("source-ref").and_then(Value::as_str),
            *source,
            "{line}"
        );
        let message = error["message"].as_str().expect("a message");
        assert!(!message.is_empty() && !message.contains("NaN"), "{message}");
    }
    // The message is the operation's.
    let image = json!({"Image": {"S3Object": {"Bucket": "photos", "Name": "none.jpg"}}});
    let alone = ground.ask("DetectModerationLabels", image).await;
    assert_eq!(alone.code(), absent);
    assert_eq!(errors[10]["message"], alone.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_says_who_is_to_blame_and_leaves_nothing() {
    let ground = ground(&[("busy.jpg", "fail Overloaded"), ("a.jpg", "1")]);
    let nowhere = json!({"OutputConfig": {"S3Bucket": "nowhere"}});
    ground.objects.put("lists", "many", &[b'\n'; 1_000_001]);
    for (lines, body, code) in [
        ("busy.jpg", request("list", json!({})), "INTERNAL_ERROR"),
        ("a.jpg", request("list", nowhere), "INVALID_OUTPUT_CONFIG"),
        ("a.jpg", request("many", json!({})), "INVALID_MANIFEST"),
    ] {
        ground.list(&[&line(lines)]);
        let job = ground.run(body).await;
        assert_eq!(job["Status"], "FAILED");
        assert_eq!(job["FailureDetails"]["Code"], code, "{job}");
        assert!(job["FailureDetails"]["Message"].is_string());
        assert!(job.get("Results").is_none() && job.get("ManifestSummary").is_none());
    }
    let left = ground.objects.list("answers", "", "", 10).expect("a list");
    let outputs = left
        .iter()
        .filter(|listed| !listed.key.contains("/.parts/"));
    assert_eq!(outputs.count(), 0, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_again_with_a_token_finds_the_job_and_pages_have_all() {
    let ground = ground(&[("a.jpg", "1")]);
    ground.list(&[&line("a.jpg")]);
    let token = |name: &str| {
        let more = json!({"ClientRequestToken": "t-1", "JobName": name});
        request("list", more)
    };
    let mut ids = Vec::new();
    for body in [
        token("one"),
        token("one"),
        request("list", json!({})),
        request("list", json!({})),
    ] {
        ids.push(
            ground.run(body).await["JobId"]
                .as_str()
                .expect("an id")
                .to_owned(),
        );
    }
    assert_eq!(ids[0], ids[1]);
    // Whether the manifest is still there or not.
    let name = ObjectName::new("lists", "list", None).expect("a name");
    ground.objects.delete(&name).expect("deleted");
    let gone = ground.run(token("one")).await;
    assert_eq!(gone["JobId"], ids[0].as_str());
    let other = ground.ask("StartMediaAnalysisJob", token("two")).await;
    assert_eq!(other.code(), "IdempotentParameterMismatchException");
    let unknown = ground
        .ask("StartMediaAnalysisJob", request("list", json!({})))
        .await;
    assert_eq!(unknown.code(), "InvalidS3ObjectException");
    ground.list(&[&line("a.jpg")]);
    let other = ground.ask("StartMediaAnalysisJob", token("two")).await;
    assert_eq!(
        (other.status, other.code()),
        (400, "IdempotentParameterMismatchException")
    );
    let list = async |body: Value| {
        let answer = ground.ask("ListMediaAnalysisJobs", body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let jobs = answer.body["MediaAnalysisJobs"]
            .as_array()
            .expect("a list")
            .clone();
        assert!(jobs.iter().all(|job| job["Status"] == "SUCCEEDED"));
        let id = |job: &Value| job["JobId"].as_str().expect("an id").to_owned();
        let next = answer.body.get("NextToken").cloned();
        (jobs.iter().map(id).collect::<Vec<_>>(), next)
    };
    let (all, none) = list(json!({})).await;
    let (first, next) = list(json!({"MaxResults": 2})).await;
    let (rest, end) = list(json!({"MaxResults": 2, "NextToken": next})).await;
    assert_eq!((none, end, first.len()), (None, None, 2));
    assert_eq!([first, rest].concat(), all);
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(all), sorted(ids[1..].to_vec()));
    let wrong = ground
        .ask("ListMediaAnalysisJobs", json!({"NextToken": "x"}))
        .await;
    assert_eq!(
        (wrong.code(), wrong.message()),
        ("InvalidPaginationTokenException", "Invalid Token")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_or_found_is_refused_in_aws_words() {
    let ground = ground(&[("a.jpg", "1")]);
    ground.list(&[&line("a.jpg")]);
    ground.objects.put("lists", "empty", b"");
    let input = |bucket: &str, name: &str, version: Option<&str>| json!({"Input": {"S3Object": {"Bucket": bucket, "Name": name, "Version": version}}});
    let project = format!(
        "arn:aws:rekognition:us-east-1:{}:project/x/version/y/1",
        "0".repeat(12)
    );
    let project = json!({"DetectModerationLabels": {"ProjectVersion": project}});
    let (parameter, object) = ("InvalidParameterException", "InvalidS3ObjectException");
    for (more, code, why) in [
        (input("lists", "none", None), object, "none"),
        (input("nowhere", "list", None), object, "nowhere"),
        (input("lists", "list", Some("1")), object, "version"),
        (
            json!({"Input": {"S3Object": {"Bucket": "lists"}}}),
            object,
            "Name",
        ),
        (
            input("lists", "empty", None),
            "InvalidManifestException",
            "empty",
        ),
        (json!({"OperationsConfig": {}}), parameter, "no operation"),
        (
            json!({"OperationsConfig": project}),
            parameter,
            "ProjectVersion",
        ),
        (json!({"KmsKeyId": "key"}), parameter, "KmsKeyId"),
        (
            json!({"OutputConfig": {"S3Bucket": "No.Bucket"}}),
            parameter,
            "OutputConfig",
        ),
        (
            json!({"JobName": "no name"}),
            "ValidationException",
            "jobName",
        ),
    ] {
        let refused = ground
            .ask("StartMediaAnalysisJob", request("list", more))
            .await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, code),
            "{}",
            refused.body
        );
        assert!(refused.message().contains(why), "{}", refused.message());
    }
    let first = ground.ask("ListMediaAnalysisJobs", json!({})).await;
    assert_eq!(first.body, json!({"MediaAnalysisJobs": []}), "none began");
    for version in [json!(null), json!("null")] {
        let mut body = request("list", json!({}));
        body["Input"]["S3Object"]["Version"] = version;
        assert_eq!(ground.run(body).await["Status"], "SUCCEEDED");
    }
    let unknown = json!({"JobId": "0".repeat(32)});
    let unknown = ground.ask("GetMediaAnalysisJob", unknown).await;
    assert_eq!(
        (unknown.status, unknown.code()),
        (400, "ResourceNotFoundException")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_another_operation_are_not_found_and_too_many_are_refused() {
    let ground = ground(&[("a.jpg", "1")]);
    ground.list(&[&line("a.jpg")]);
    let started = ground.client.comprehend(
        "StartDominantLanguageDetectionJob",
        json!({
            "InputDataConfig": {"S3Uri": "s3://lists/list"},
            "OutputDataConfig": {"S3Uri": "s3://answers/out"},
            "DataAccessRoleArn": "arn:aws:iam::000000000000:role/jobs",
        }),
    );
    let started = started.await;
    let other = json!({ "JobId": started.body["JobId"] });
    let other = ground.ask("GetMediaAnalysisJob", other).await;
    assert_eq!(other.code(), "ResourceNotFoundException");
    let jobs = ground.client.aws.jobs.clone().expect("jobs");
    // Nobody works on them any more.
    jobs.rest();
    for _ in 0..3 {
        let started = ground.ask("StartMediaAnalysisJob", request("list", json!({})));
        assert_eq!(started.await.status, 200);
    }
    let refused = ground.ask("StartMediaAnalysisJob", request("list", json!({})));
    let refused = refused.await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "LimitExceededException")
    );
    let listed = ground.ask("ListMediaAnalysisJobs", json!({})).await;
    assert_eq!(listed.body["MediaAnalysisJobs"][0]["Status"], "CREATED");
    let id = listed.body["MediaAnalysisJobs"][0]["JobId"].as_str();
    let job = jobs.stop(id.expect("an id")).expect("stops");
    assert_eq!(job.spec.kind, KIND);
    let job = json!({ "JobId": job.id });
    let job = ground.ask("GetMediaAnalysisJob", job).await;
    assert_eq!(job.body["Status"], "IN_PROGRESS");
}
