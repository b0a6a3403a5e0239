//! Jobs in the real server: boto3's with the real models, one that is killed and goes on, and the doors that look after them.

mod common;

use common::{Server, Setup, escala, golden_image, python, wait_for};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use std::time::Duration;

/// For anything here.
const PATIENCE: Duration = Duration::from_secs(300);

fn serve(data: &Path) -> Server {
    let folder = data.to_str().expect("a plain path");
    let setup = Setup::default()
        .with("ESCALA_DATA_DIR", folder)
        .with("ESCALA_MODELS_PRELOAD", "language")
        .with("ESCALA_JOBS_TASK_DOCUMENTS", "100");
    Server::start(&setup)
}

#[test]
fn comprehend() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    python::script("comprehend_jobs.py", &server);
    server.assert_sound("all jobs");
}

#[test]
fn rekognition() {
    let data = tempfile::tempdir().expect("a folder");
    // A folder can be a bucket, to be read and not written.
    let shelf = data.path().join("objects/shelf");
    std::fs::create_dir_all(&shelf).expect("made");
    std::fs::write(shelf.join("coffee.png"), golden_image("coffee.png")).expect("written");
    let server = serve(data.path());
    python::script("rekognition_jobs.py", &server);
    server.assert_sound("all jobs");
}

/// Starts a job that takes a while: its id.
fn start(server: &Server) -> String {
    let request = json!({
        "InputDataConfig": {"S3Uri": "s3://texts/long.txt"},
        "OutputDataConfig": {"S3Uri": "s3://answers/out"},
        "DataAccessRoleArn": "arn:aws:iam::000000000000:role/jobs",
        "JobName": "long",
    });
    let target = "Comprehend_20171127.StartDominantLanguageDetectionJob";
    let answer = server.aws(target, request.to_string().as_bytes());
    let id = &answer.ok()["JobId"];
    id.as_str().expect("an id").to_owned()
}

/// Puts the input of such a job.
fn long(server: &Server, lines: usize) {
    let line =
        |number: usize| format!("Das ist der Satz mit der Nummer {number}, und er ist deutsch.\n");
    let text: String = (0..lines).map(line).collect();
    for bucket in ["/texts", "/answers"] {
        let made = server.s3("PUT", bucket, b"");
        // It may be there already.
        assert!(matches!(made.status, 200 | 409), "{made:?}");
    }
    let put = server.s3("PUT", "/texts/long.txt", text.as_bytes());
    assert_eq!(put.status, 200, "{put:?}");
}

fn described(server: &Server, id: &str) -> Value {
    server.get(&format!("/v1/jobs/{id}")).ok()
}

fn jobs(server: &Server, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    escala(folder.path())
        .arg("jobs")
        .args(arguments)
        .args(["--server", &server.address.to_string()])
        .output()
        .expect("runs")
}

#[track_caller]
fn said(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn a_job_of_a_killed_server_goes_on_and_of_one_that_is_stopped_too() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    long(&server, 30_000);
    let id = start(&server);
    let is_begun = |server: &Server| described(server, &id)["done"].as_u64() >= Some(500);
    wait_for("some of the job", PATIENCE, || is_begun(&server));
    let first = described(&server, &id)["done"].as_u64();
    drop(server);
    let server = serve(data.path());
    let again = described(&server, &id);
    assert!(again["done"].as_u64() > Some(0), "{again}");
    if again["state"] != "completed" {
        server.terminate();
        wait_for("the end of the server", PATIENCE, || {
            server.exited().is_some()
        });
        assert!(
            server.exited().is_some_and(|status| status.success()),
            "{}",
            server.log()
        );
    }
    drop(server);
    let server = serve(data.path());
    wait_for("the end of the job", PATIENCE, || {
        described(&server, &id)["state"] == "completed"
    });
    let job = described(&server, &id);
    assert_eq!((&job["done"], &job["errors"]), (&json!(30_000), &json!(0)));
    assert!(job["done"].as_u64() > first);
    assert_eq!(job["cost"]["units"], 90_000);
    assert!((job["cost"]["aws_dollars"].as_f64().expect("a price") - 9.0).abs() < 1e-9);
    let output = job["output"].as_str().expect("a place");
    let output = server.s3("GET", output.trim_start_matches("s3:/"), b"");
    assert_eq!(output.status, 200, "{output:?}");
    assert_eq!(output.body[..2], [0x1f, 0x8b], "it is packed");
}

#[test]
fn datasets_are_scored() {
    let data = tempfile::tempdir().expect("a folder");
    let setup = Setup::default()
        .with(
            "ESCALA_DATA_DIR",
            data.path().to_str().expect("a plain path"),
        )
        .with("ESCALA_JOBS_TASK_DOCUMENTS", "10");
    let server = Server::start(&setup);
    python::s3_script("scoring_jobs.py", &server);
    server.assert_sound("datasets");
}

/// Scores the languages of a table and gives the job's id.
fn score(server: &Server, output: &str) -> String {
    let said = jobs(
        server,
        &[
            "score",
            "s3://texts/long.csv",
            "--task",
            "language",
            "--text-column",
            "text",
            "-o",
            output,
        ],
    );
    said_one(&said)
}

fn said_one(output: &Output) -> String {
    said(output).trim().to_owned()
}

#[test]
fn a_dataset_of_a_killed_server_is_scored_from_where_it_was() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    for bucket in ["/texts", "/answers"] {
        assert_eq!(server.s3("PUT", bucket, b"").status, 200);
    }
    let rows = 20_000;
    let row = |number: usize| {
        format!("{number},\"Das ist der Satz\nmit der Nummer {number}, und er ist deutsch.\"\r\n")
    };
    let table: String = (0..rows).map(row).collect();
    let table = format!("id,text\r\n{table}");
    let put = server.s3("PUT", "/texts/long.csv", table.as_bytes());
    assert_eq!(put.status, 200, "{put:?}");
    let id = score(&server, "s3://answers/killed");
    let mut server = Some(server);
    // Killed again and again, while it has something to do.
    let mut kills = 0;
    let mut before = 0;
    loop {
        let running = server.take().unwrap_or_else(|| serve(data.path()));
        let done = || {
            described(&running, &id)["done"]
                .as_u64()
                .unwrap_or_default()
        };
        let is_over = || described(&running, &id)["state"] == "completed";
        wait_for("some more of the job", PATIENCE, || {
            done() >= before + 300 || is_over()
        });
        if is_over() {
            server = Some(running);
            break;
        }
        before = done();
        kills += 1;
        drop(running);
    }
    assert!(kills >= 3, "it was over after {kills} kills");
    let server = server.expect("it runs");
    let job = described(&server, &id);
    assert_eq!((&job["done"], &job["errors"]), (&json!(rows), &json!(0)));
    let again = score(&server, "s3://answers/calm");
    said(&jobs(&server, &["watch", &again]));
    let read = |folder: &str| {
        let got = server.s3("GET", &format!("/answers/{folder}/long.csv"), b"");
        assert_eq!(got.status, 200, "{got:?}");
        got.body
    };
    let (killed, calm) = (read("killed"), read("calm"));
    assert!(killed == calm, "the output of a killed server is another");
    assert_eq!(
        String::from_utf8_lossy(&calm).matches("deutsch.").count(),
        rows
    );
}

/// All files below a folder, by their names there.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let name = path.strip_prefix(folder).expect("below it");
                    found.push(name.display().to_string());
                }
            }
        }
    }
    found.sort();
    found
}

#[test]
fn files_are_scored_and_copied_into_folders_that_may_be_written() {
    let data = tempfile::tempdir().expect("a folder");
    let (lake, out) = (data.path().join("lake"), data.path().join("out"));
    for folder in [&lake, &out] {
        std::fs::create_dir(folder).expect("made");
    }
    let table = "id,text\n1,The weather is fine today.\n2,Das Wetter ist heute schön.\n";
    std::fs::write(lake.join("a.csv"), table).expect("written");
    let folders = format!("lake={},scored={}", lake.display(), out.display());
    let setup = Setup::default()
        .with("ESCALA_DATA_DIR", data.path().to_str().expect("a path"))
        .with("ESCALA_OBJECTS_FOLDERS", &folders)
        .with("ESCALA_OBJECTS_WRITABLE", "scored")
        .with("ESCALA_MODELS_PRELOAD", "language");
    let server = Server::start(&setup);
    let (lake_url, out_url) = (
        format!("file://{}", lake.display()),
        format!("file://{}", out.display()),
    );
    let scoring = |output: &str| json!({ "task": "language", "column": "text", "input": format!("{lake_url}/"), "output": output });
    let ended = |job: &Value| {
        let id = job["id"].as_str().expect("an id").to_owned();
        wait_for("the end of the job", PATIENCE, || {
            let state = described(&server, &id)["state"].clone();
            ["completed", "failed"].iter().any(|end| state == *end)
        });
        described(&server, &id)
    };
    let job = server.post_json("/v1/jobs", &scoring(&format!("{out_url}/2026")));
    assert_eq!(job.status, 201, "{job:?}");
    let job = ended(&job.json());
    assert_eq!(job["state"], "completed", "{job}");
    let copy = format!("COPY (SELECT id FROM '{lake_url}/a.csv') TO '{out_url}/2026/ids.jsonl'");
    let copied = server.post_json("/v1/sql", &json!({ "query": copy }));
    assert_eq!(copied.status, 202, "{copied:?}");
    let copied = ended(&copied.json());
    assert_eq!(copied["state"], "completed", "{copied}");
    // Whole files and nothing that was written aside.
    assert_eq!(files(&out), ["2026/a.csv", "2026/ids.jsonl"]);
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect("written");
    assert_eq!(read("2026/ids.jsonl"), "{\"id\":1}\n{\"id\":2}\n");
    let scored = read("2026/a.csv");
    for part in ["1,The weather", "2,Das Wetter", "en", "de"] {
        assert!(scored.contains(part), "{scored}");
    }
    // Elsewhere nothing is written, by whatever name.
    for output in [
        format!("{lake_url}/scored"),
        "file:///tmp/scored".to_owned(),
        format!("{out_url}/../lake/scored"),
    ] {
        let refused = server.post_json("/v1/jobs", &scoring(&output));
        refused.assert_rest_error(400, "invalid_input", &output);
        let copy = json!({ "query": format!("COPY (SELECT 1) TO '{output}/x.csv'") });
        let refused = server.post_json("/v1/sql", &copy);
        refused.assert_rest_error(400, "invalid_input", &output);
    }
    let job = server.post_json("/v1/jobs", &scoring("s3://lake/scored"));
    assert_eq!(job.status, 400, "the output lies in the input: {job:?}");
    let put = server.s3("PUT", "/scored/x", b"bytes");
    assert_eq!(put.status, 403, "S3's clients write no folder: {put:?}");
    assert_eq!(files(&lake), ["a.csv"]);
}

#[test]
fn jobs_are_looked_after_by_rest_and_by_command_line() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    long(&server, 300);
    let id = start(&server);
    let watched = said(&jobs(&server, &["watch", &id, "--json"]));
    let last = watched.lines().last().expect("a line");
    let last: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(
        last,
        json!({"state": "completed", "done": 300, "documents": 300, "errors": 0})
    );
    let shown = said(&jobs(&server, &["show", &id]));
    assert!(
        shown.contains("completed") && shown.contains("300 of 300"),
        "{shown}"
    );
    let ended = described(&server, &id);
    let time = |name: &str| ended[name].as_f64().expect("a time");
    let rate = ended["documents_per_second"].as_f64().expect("a rate");
    let took = (time("ended") - time("begun")).max(0.001);
    assert!(
        (rate - 300.0 / took).abs() <= 0.01 + rate * 0.001,
        "{ended}"
    );
    assert!(shown.contains(&format!("{rate:.1}")), "{shown}");
    let listed = said(&jobs(&server, &["list", "--state", "completed"]));
    assert!(
        listed.contains(&id) && listed.contains("comprehend.language"),
        "{listed}"
    );
    let log = said(&jobs(&server, &["logs", &id]));
    assert!(
        log.contains("submitted") && log.contains("completed"),
        "{log}"
    );
    let late = jobs(&server, &["cancel", &id]);
    assert!(!late.status.success());
    let late = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(late.contains("completed"), "{late}");
    let events = server.get(&format!("/v1/jobs/{id}/events?limit=2")).ok();
    assert_eq!(events["events"].as_array().map(Vec::len), Some(2));
    server
        .get("/v1/jobs/none")
        .assert_rest_error(404, "not_found", "no job");
    server
        .get("/v1/jobs?state=none")
        .assert_rest_error(400, "invalid_input", "no state");
    let cancelled = server.method("POST", &format!("/v1/jobs/{id}/cancel"));
    cancelled.assert_rest_error(409, "conflict", "an ended job");
    let text = server.get("/metrics").text;
    assert!(
        text.contains("escala_jobs{state=\"completed\"} 1"),
        "{text}"
    );
    assert!(text.contains("escala_job_documents_total 300"), "{text}");
    // One that is cancelled while it is worked on.
    long(&server, 100_000);
    let id = start(&server);
    wait_for("some of the job", PATIENCE, || {
        described(&server, &id)["done"].as_u64() > Some(0)
    });
    said(&jobs(&server, &["cancel", &id]));
    wait_for("its end", PATIENCE, || {
        described(&server, &id)["state"] == "stopped"
    });
}
