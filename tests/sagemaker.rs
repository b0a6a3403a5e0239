//! SageMaker in the real server: its SDKs, boto3 and the AWS CLI, unmodified; a server that is killed at any time; and hosted
//! models behind the other doors. What the clients check is in `tests/clients/sagemaker*.py`.

mod common;

use common::sagemaker::{self as resources, PATIENCE, call, config, host, status};
use common::{Server, Setup, escala, free_port, kcat, python, wait_for};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

fn serve(data: &Path) -> Server {
    let folder = data.to_str().expect("a plain path");
    let kafka = format!("127.0.0.1:{}", free_port());
    let setup = Setup::default()
        .with("ESCALA_DATA_DIR", folder)
        .with("ESCALA_KAFKA_LISTEN", &kafka)
        .with("ESCALA_MODELS_PRELOAD", "language");
    Server::start(&setup)
}

#[test]
fn boto3() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    python::script("sagemaker_boto3.py", &server);
    server.assert_sound("all of it");
    let metrics = server.get("/metrics").text;
    let asked = "operation=\"sagemaker-runtime.InvokeEndpoint\"";
    assert!(metrics.contains(asked), "{metrics}");
    let counted = "escala_endpoint_invocations_total{endpoint=\"first\",variant=\"AllTraffic\"}";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.contains("escala_hosted_models_open"), "{metrics}");
}

#[test]
fn the_sdk_version_2() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    python::sagemaker_script(2, "sagemaker_v2.py", &server);
    server.assert_sound("all of it");
}

#[test]
fn the_sdk_version_3() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    python::sagemaker_script(3, "sagemaker_v3.py", &server);
    server.assert_sound("all of it");
}

#[test]
fn the_aws_cli() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    python::s3_script("sagemaker_cli.py", &server);
    server.assert_sound("all of it");
}

#[test]
fn the_shortest_story_of_the_readme() {
    if !kcat::is_there() {
        return;
    }
    let data = tempfile::tempdir().expect("a folder");
    let folder = data.path().to_str().expect("a plain path");
    let kafka = format!("127.0.0.1:{}", free_port());
    let setup = Setup::default()
        .with("ESCALA_DATA_DIR", folder)
        .with("ESCALA_KAFKA_LISTEN", &kafka)
        .with("ESCALA_MODELS_PRELOAD", "language");
    let server = Server::start(&setup);
    let places = [
        ("KAFKA", kafka.as_str()),
        ("ESCALA", env!("CARGO_BIN_EXE_escala")),
    ];
    python::sagemaker_script_with(2, "sagemaker_story.py", &server, &places);
    server.assert_sound("all of it");
}

/// Killed at instants that differ, in the middle of making, changing and removing each kind of resource.
#[test]
fn a_killed_server_takes_everything_up_again() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    resources::bucket(&server);
    resources::trained(&server, "model");
    host(&server, "stays", "model");
    call(&server, "CreateEndpointConfig", &config("other", "model")).ok();
    drop(server);
    let ended = ["Completed", "Failed", "Stopped"];
    for round in 0..12_u64 {
        let server = serve(data.path());
        let name = format!("round-{round}");
        // What the server was told; any of it may be the last before it dies.
        let transform = json!({
            "TransformJobName": name, "ModelName": "model",
            "TransformInput": {"ContentType": "text/csv", "SplitType": "Line", "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": "s3://lake/bare/"}}},
            "TransformOutput": {"S3OutputPath": format!("s3://lake/scored/{name}"), "AssembleWith": "Line", "Accept": "text/csv"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        });
        let bare = resources::bare_rows(2000);
        assert_eq!(
            server
                .s3("PUT", "/lake/bare/rows.csv", bare.as_bytes())
                .status,
            200
        );
        let next = if round % 2 == 0 { "other" } else { "stays" };
        let endpoint = json!({"EndpointName": name, "EndpointConfigName": "other"});
        let artefact = "s3://lake/models/model/output/model.tar.gz";
        let copy = json!({"Image": "xgboost", "ModelDataUrl": artefact});
        let copy = resources::model(&name, &copy);
        let update = json!({"EndpointName": "stays", "EndpointConfigName": next});
        for (operation, input) in [
            ("CreateTrainingJob", &resources::training(&name, 400)),
            ("CreateTransformJob", &transform),
            ("CreateEndpoint", &endpoint),
            ("UpdateEndpoint", &update),
            ("CreateModel", &copy),
            ("CreateEndpointConfig", &config(&name, &name)),
        ] {
            call(&server, operation, input).ok();
        }
        if round % 2 == 0 {
            for (operation, member) in [
                ("DeleteEndpointConfig", "EndpointConfigName"),
                ("DeleteModel", "ModelName"),
            ] {
                call(&server, operation, &json!({member: name})).ok();
            }
        }
        if round % 3 == 0 {
            // It may be made still, and then it may not be deleted.
            let deleted = call(&server, "DeleteEndpoint", &json!({"EndpointName": name}));
            assert!(matches!(deleted.status, 200 | 400), "{deleted:?}");
        }
        std::thread::sleep(Duration::from_millis(round * 17));
        drop(server);

        let server = serve(data.path());
        // What was answered is so.
        for (operation, member) in [
            ("DescribeModel", "ModelName"),
            ("DescribeEndpointConfig", "EndpointConfigName"),
        ] {
            let kept = call(&server, operation, &json!({member: name}));
            let wanted = if round % 2 == 0 { 400 } else { 200 };
            assert_eq!(kept.status, wanted, "{operation}: {kept:?}");
        }
        wait_for("the training", PATIENCE, || {
            let status = status(&server, "TrainingJob", &name).expect("it is kept");
            ended.contains(&&*status)
        });
        assert_eq!(
            status(&server, "TrainingJob", &name).as_deref(),
            Some("Completed")
        );
        let artefact = server.s3(
            "GET",
            &format!("/lake/models/{name}/output/model.tar.gz"),
            b"",
        );
        assert_eq!(artefact.status, 200, "{artefact:?}");
        wait_for("the transform", PATIENCE, || {
            let status = status(&server, "TransformJob", &name).expect("it is kept");
            ended.contains(&&*status)
        });
        assert_eq!(
            status(&server, "TransformJob", &name).as_deref(),
            Some("Completed")
        );
        let scored = server.s3("GET", &format!("/lake/scored/{name}/rows.csv.out"), b"");
        assert_eq!(String::from_utf8_lossy(&scored.body).lines().count(), 2000);
        wait_for("the endpoints", PATIENCE, || {
            let made = status(&server, "Endpoint", &name);
            let updated = status(&server, "Endpoint", "stays");
            updated.as_deref() == Some("InService")
                && made.is_none_or(|status| status == "InService")
        });
        let described = call(
            &server,
            "DescribeEndpoint",
            &json!({"EndpointName": "stays"}),
        )
        .ok();
        assert_eq!(described["EndpointConfigName"], next, "{described}");
        let answer = server.post("/endpoints/stays/invocations", "text/csv", b"90,10");
        assert_eq!(answer.status, 200, "{answer:?}");
        // Nothing of it is in the way of the next.
        if status(&server, "Endpoint", &name).is_some() {
            call(&server, "DeleteEndpoint", &json!({"EndpointName": name})).ok();
        }
        drop(server);
    }
}

#[test]
fn hosted_models_are_behind_the_other_doors() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    resources::bucket(&server);
    resources::trained(&server, "first");
    host(&server, "first", "first");
    let listed = server.get("/v1/endpoints").ok();
    assert_eq!(
        listed["endpoints"],
        json!([{"name": "first", "status": "InService"}])
    );
    let path = "/v1/endpoints/first/predict";
    let answer = server.post(path, "text/csv", b"90,10\n10,90\n");
    let scores: Vec<f64> = answer
        .text
        .split([',', '\n'])
        .filter_map(|score| score.trim().parse().ok())
        .collect();
    assert!(
        scores.len() == 2 && scores[0] > 0.5 && scores[1] < 0.5,
        "{answer:?}"
    );
    server
        .post(path, "text/csv", b"a,b\n")
        .assert_rest_error(400, "invalid_input", "words");
    server
        .post("/v1/endpoints/none/predict", "text/csv", b"1,2\n")
        .assert_rest_error(404, "not_found", "no endpoint");

    // Rows of a topic become predictions of another, and what is none goes where it does not disturb.
    let topic = json!({"name": "rows"});
    assert!(server.post_json("/v1/topics", &topic).status < 300);
    let flow =
        json!({"name": "scores", "from": "rows", "to": "rows.scores", "task": "endpoint:first"});
    let made = server.post_json("/v1/streams", &flow);
    assert!(made.status < 300, "{made:?}");
    let records = json!({"records": [
        {"key": "a", "value": "90,10"}, {"key": "b", "value": "not,numbers"}, {"key": "c", "value": "10,90"}]});
    let sent = server.post_json("/v1/topics/rows/records", &records);
    assert!(sent.status < 300, "{sent:?}");
    let read = |topic: &str| {
        let got = server.get(&format!("/v1/topics/{topic}/records?partition=0&offset=0"));
        match got.status {
            200 => got.json()["records"]
                .as_array()
                .cloned()
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    };
    wait_for("the predictions", PATIENCE, || {
        read("rows.scores").len() == 2 && read("rows.scores.dead-letters").len() == 1
    });
    let text = json!(read("rows.scores")).to_string();
    assert!(text.contains("score"), "{text}");
    let query = "SELECT a, CAST(predict('first', a, b) AS DOUBLE) > 0.5 AS above, try_predict('first', a, b, 1)['error'] IS NOT NULL AS wide
        FROM (VALUES (90, 10), (10, 90)) AS t (a, b) ORDER BY a";
    let said = server.post("/v1/sql", "application/sql", query.as_bytes());
    assert_eq!(
        said.text,
        "{\"a\":10,\"above\":false,\"wide\":true}\n{\"a\":90,\"above\":true,\"wide\":true}\n",
        "{said:?}"
    );
    let absent = server.post("/v1/sql", "application/sql", b"SELECT predict('none', 1)");
    absent.assert_rest_error(422, "query_failed", "not found");
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("http://{}", server.address);
    let query = "SELECT predict('first', 90, 10) IS NULL AS none; SELECT 1 AS one";
    let output = escala(folder.path())
        .args(["sql", "--server", &url, "--format", "csv", query])
        .output();
    let output = output.expect("it runs");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "none\nfalse\none\n1\n",
        "{output:?}"
    );
    let alone = escala(folder.path())
        .args(["sql", "SELECT predict('first', 1)"])
        .output();
    let alone = alone.expect("it runs");
    let why = String::from_utf8_lossy(&alone.stderr);
    assert!(!alone.status.success() && why.contains("--server"), "{why}");

    let refused = json!({"name": "none", "from": "rows", "to": "x", "task": "endpoint:first", "language": "en"});
    server.post_json("/v1/streams", &refused).assert_rest_error(
        400,
        "invalid_input",
        "no language",
    );
}

/// Endpoints that SageMaker's own door asks in another way than [`hosted_models_are_behind_the_other_doors`] are there like
/// any other: those with many models, of which one is named, and those that are asked for later.
#[test]
fn models_of_many_and_those_asked_later_are_behind_the_other_doors() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    resources::bucket(&server);
    resources::trained(&server, "first");
    let archive = server.s3("GET", "/lake/models/first/output/model.tar.gz", b"");
    assert_eq!(archive.status, 200);
    let put = server.s3("PUT", "/lake/many/nested/one.tar.gz", &archive.body);
    assert_eq!(put.status, 200, "{put:?}");
    let many = json!({"Image": "xgboost", "Mode": "MultiModel", "ModelDataUrl": "s3://lake/many/"});
    call(&server, "CreateModel", &resources::model("many", &many)).ok();
    host(&server, "many", "many");
    let mut later = config("later", "first");
    later["AsyncInferenceConfig"] = json!({"OutputConfig": {"S3OutputPath": "s3://lake/later"}});
    call(&server, "CreateEndpointConfig", &later).ok();
    let endpoint = json!({"EndpointName": "later", "EndpointConfigName": "later"});
    call(&server, "CreateEndpoint", &endpoint).ok();
    wait_for("the endpoint", PATIENCE, || {
        status(&server, "Endpoint", "later").as_deref() == Some("InService")
    });
    let refused = server.post("/endpoints/later/invocations", "text/csv", b"90,10");
    assert_eq!(refused.status, 400, "{refused:?}");

    let above = |path: &str| {
        let answer = server.post(path, "text/csv", b"90,10\n");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.text.trim().parse::<f64>().expect("a score") > 0.5
    };
    assert!(above("/v1/endpoints/many/predict?model=nested/one.tar.gz"));
    assert!(above("/v1/endpoints/many%2Fnested%2Fone.tar.gz/predict"));
    assert!(above("/v1/endpoints/later/predict?variant=all"));
    for (path, says) in [
        ("/v1/endpoints/many/predict", "multi-model"),
        ("/v1/endpoints/many/predict?model=two.tar.gz", "two.tar.gz"),
        ("/v1/endpoints/later/predict?variant=none", "none"),
        ("/v1/endpoints/later/predict?version=1", "version"),
    ] {
        let refused = server.post(path, "text/csv", b"90,10\n");
        assert!(
            (400..500).contains(&refused.status) && refused.text.contains(says),
            "{path}: {refused:?}"
        );
    }

    let tensor = json!({"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [90, 10]});
    for (name, version) in [("many", Some("nested/one.tar.gz")), ("later", None)] {
        let model = match version {
            Some(version) => format!("/v2/models/{name}/versions/{}", version.replace('/', "%2F")),
            None => format!("/v2/models/{name}"),
        };
        let metadata = server.get(&model).ok();
        assert_eq!(metadata["inputs"][0]["datatype"], "FP32", "{metadata}");
        assert_eq!(server.get(&format!("{model}/ready")).ok()["ready"], true);
        let said = server
            .post_json(&format!("{model}/infer"), &json!({"inputs": [tensor]}))
            .ok();
        assert_eq!(said["model_version"], json!(version), "{said}");
        let score = said["outputs"][0]["data"][0].as_f64().expect("a score");
        assert!(score > 0.5, "{said}");
    }
    let absent = server.get("/v2/models/many/versions/two.tar.gz/ready");
    assert!((400..500).contains(&absent.status), "{absent:?}");

    let query = "SELECT CAST(predict('many/nested/one.tar.gz', 90, 10) AS DOUBLE) > 0.5 AS one,
        CAST(predict('later', 90, 10) AS DOUBLE) > 0.5 AS two";
    let said = server.post("/v1/sql", "application/sql", query.as_bytes());
    assert_eq!(said.text, "{\"one\":true,\"two\":true}\n", "{said:?}");

    assert!(
        server
            .post_json("/v1/topics", &json!({"name": "rows"}))
            .status
            < 300
    );
    for (flow, task) in [
        ("one", "endpoint:many/nested/one.tar.gz"),
        ("two", "endpoint:later"),
    ] {
        let flow =
            json!({"name": flow, "from": "rows", "to": format!("rows.{flow}"), "task": task});
        let made = server.post_json("/v1/streams", &flow);
        assert!(made.status < 300, "{made:?}");
    }
    let records = json!({"records": [{"key": "a", "value": "90,10"}]});
    assert!(server.post_json("/v1/topics/rows/records", &records).status < 300);
    for topic in ["rows.one", "rows.two"] {
        let path = format!("/v1/topics/{topic}/records?partition=0&offset=0");
        wait_for("the prediction", PATIENCE, || {
            let got = server.get(&path);
            got.status == 200 && got.text.contains("score")
        });
    }

    let asked = json!({"task": "endpoint:many/nested/one.tar.gz", "columns": ["a", "b"],
        "input": "s3://lake/asked/", "output": "s3://lake/answered/"});
    let put = server.s3("PUT", "/lake/asked/rows.csv", b"a,b\n90,10\n10,90\n");
    assert_eq!(put.status, 200, "{put:?}");
    let job = ended(&server, &server.post_json("/v1/jobs", &asked));
    assert_eq!(job["state"], "completed", "{job}");
    let table = server.s3("GET", "/lake/answered/rows.csv", b"").text;
    let scores = table.lines().skip(1).map(|line| line.split(',').nth(2));
    let scores: Vec<f64> = scores
        .map(|score| score.and_then(|one| one.parse().ok()).expect("a score"))
        .collect();
    assert!(scores[0] > 0.5 && scores[1] < 0.5, "{table}");
}

/// A job that was asked for, once it has ended.
fn ended(server: &Server, made: &common::Answer) -> Value {
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let mut job = Value::Null;
    wait_for("the job", PATIENCE, || {
        job = server.get(&format!("/v1/jobs/{id}")).ok();
        ["completed", "failed"].contains(&job["state"].as_str().unwrap_or_default())
    });
    job
}

#[test]
fn hosted_models_score_datasets() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    resources::bucket(&server);
    resources::trained(&server, "first");
    host(&server, "first", "first");
    let put = |key: &str, bytes: &[u8]| {
        let put = server.s3("PUT", &format!("/lake/{key}"), bytes);
        assert_eq!(put.status, 200, "{put:?}");
    };
    // The columns in another order than the model takes them, among others.
    put("ask/rows.csv", b"id,b,a\n1,10,90\n2,80,10\n3,x,10\n");
    put(
        "ask/more.jsonl",
        b"{\"a\":90,\"b\":10,\"note\":[1]}\n{\"b\":80,\"a\":10}\nno row\n",
    );
    let asked = json!({"task": "endpoint:first", "columns": ["a", "b"], "input": "s3://lake/ask/",
        "output": "s3://lake/scored/"});
    let job = ended(&server, &server.post_json("/v1/jobs", &asked));
    assert_eq!(
        (&job["state"], &job["kind"]),
        (&json!("completed"), &json!("score.endpoint")),
        "{job}"
    );
    let read = |key: &str| server.s3("GET", &format!("/lake/{key}"), b"").text;
    let table = read("scored/rows.csv");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "id,b,a,prediction,prediction_error", "{table}");
    let score = |line: &str| {
        line.split(',')
            .nth(3)
            .and_then(|one| one.parse::<f64>().ok())
    };
    assert!(
        lines[1].starts_with("1,10,90,") && score(lines[1]) > Some(0.5),
        "{table}"
    );
    assert!(
        lines[2].starts_with("2,80,10,") && score(lines[2]) < Some(0.5),
        "{table}"
    );
    assert!(
        lines[3].starts_with("3,x,10,,") && lines[3].len() > 10,
        "{table}"
    );
    let table = read("scored/more.jsonl");
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines.len() == 3 && lines[0].starts_with("{\"a\":90,\"b\":10,\"note\":[1]"),
        "{table}"
    );
    assert!(lines[2].contains("prediction_error"), "{table}");

    // Images, by a model of images; and the command line.
    let container = json!({"Image": "escala/labels"});
    call(
        &server,
        "CreateModel",
        &resources::model("seen", &container),
    )
    .ok();
    host(&server, "seen", "seen");
    put("photos/cat.png", &common::golden_image("chelsea.png"));
    put("photos/none.png", b"no image");
    let folder = tempfile::tempdir().expect("a folder");
    let output = escala(folder.path())
        .args([
            "jobs",
            "score",
            "s3://lake/photos/",
            "--task",
            "endpoint:seen",
            "-o",
            "s3://lake/seen/",
        ])
        .args(["--watch", "--server", &server.address.to_string()])
        .output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let lines = read("seen/prediction.jsonl");
    let seen: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(seen.len(), 2, "{lines}");
    assert!(
        seen[0]["answer"].to_string().contains("Cat") && seen[0]["error"].is_null(),
        "{lines}"
    );
    assert!(
        seen[1]["answer"].is_null() && seen[1]["error"].is_string(),
        "{lines}"
    );

    // What cannot be is said at once.
    for (change, status, code) in [
        (json!({"task": "endpoint:nobody"}), 404, "not_found"),
        (json!({"task": "sentiment"}), 400, "invalid_input"),
        (json!({"column": "a"}), 400, "invalid_input"),
    ] {
        let mut asked = asked.clone();
        for (name, value) in change.as_object().expect("members") {
            asked[name] = value.clone();
        }
        server
            .post_json("/v1/jobs", &asked)
            .assert_rest_error(status, code, &change.to_string());
    }
    let alone = escala(folder.path())
        .args([
            "score",
            "rows.csv",
            "--task",
            "endpoint:first",
            "--column",
            "a",
            "-o",
            "x.csv",
        ])
        .output();
    let alone = alone.expect("it runs");
    let why = String::from_utf8_lossy(&alone.stderr);
    assert!(
        !alone.status.success() && why.contains("escala jobs score"),
        "{why}"
    );
}

/// What the Open Inference Protocol says of a model's input is what it takes.
#[test]
fn metadata_of_a_model_say_what_it_takes() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    resources::bucket(&server);
    resources::trained(&server, "rows");
    host(&server, "rows", "rows");
    for (name, image) in [("seen", "escala/labels"), ("said", "escala/language")] {
        let container = json!({"Image": image});
        call(&server, "CreateModel", &resources::model(name, &container)).ok();
        host(&server, name, name);
    }
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(common::golden_image("chelsea.png"))
    };
    for (name, input, data, wanted) in [
        (
            "rows",
            json!({"name": "input", "datatype": "FP32", "shape": [-1, -1]}),
            json!([[90, 10]]),
            "score",
        ),
        (
            "seen",
            json!({"name": "image", "datatype": "BYTES", "shape": [-1]}),
            json!([encoded]),
            "Cat",
        ),
        (
            "said",
            json!({"name": "text", "datatype": "BYTES", "shape": [-1]}),
            json!(["Guten Tag, wie geht es?"]),
            "de",
        ),
    ] {
        let metadata = server.get(&format!("/v2/models/{name}")).ok();
        assert_eq!(metadata["inputs"], json!([input]), "{metadata}");
        let mut tensor = metadata["inputs"][0].clone();
        let shape = tensor["shape"].as_array().expect("a shape").len();
        tensor["shape"] = json!(&[1, 2][..shape]);
        tensor["data"] = data;
        let path = format!("/v2/models/{name}/infer");
        let said = server.post_json(&path, &json!({"inputs": [tensor]})).ok();
        assert!(
            said["outputs"].to_string().contains(wanted),
            "{name}: {said}"
        );
    }
    let absent = server.get("/v2/models/nobody");
    assert_eq!(absent.status, 404, "{absent:?}");
}
