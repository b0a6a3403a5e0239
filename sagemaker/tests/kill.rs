//! A process that deploys, updates and answers is killed, again and again: its endpoint comes to be in service, and every question
//! that was accepted has its answer.
//!
//! The process is this program, told by its environment to be it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use escala_objects::local::Local;
use escala_objects::{ObjectName, ObjectStore};
use escala_sagemaker::asynchronous::Later;
use escala_sagemaker::hosting::{Hosting, Options};
use escala_sagemaker::invoke::Invocation;
use escala_sagemaker::served::{Asked, Container, Opener, Said, Served, Unanswered};
use escala_sagemaker::store::Store;
use escala_sagemaker::{Caller, Refusal};
use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const FOLDER: &str = "ESCALA_TEST_HOSTING";
const NAME: &str = "a_killed_process_loses_no_endpoint_and_no_question";
const DEADLINE: Duration = Duration::from_secs(60);
const ROUNDS: usize = 12;

/// Says what its environment says, and the question.
struct Parrot(String);

impl Served for Parrot {
    fn invoke(&self, asked: Asked) -> BoxFuture<'_, Result<Said, Unanswered>> {
        let body = [self.0.as_bytes(), b" ", &asked.body].concat();
        Box::pin(async move {
            Ok(Said {
                content_type: "text/plain".to_owned(),
                body: body.into(),
            })
        })
    }

    fn memory(&self) -> u64 {
        1
    }
}

struct Parrots;

impl Opener for Parrots {
    fn open(&self, container: &Container<'_>) -> Option<Result<Arc<dyn Served>, String>> {
        let says = container.environment.get("SAYS").cloned();
        Some(Ok(Arc::new(Parrot(says.unwrap_or_default()))))
    }

    fn knows(&self, _: &str) -> bool {
        true
    }

    fn accepts(&self) -> String {
        "parrots".to_owned()
    }
}

fn open(folder: &Path, runtime: &Runtime) -> (Hosting, Local) {
    let objects = Local::open(&folder.join("objects")).unwrap();
    let hosting = Hosting::open(
        Arc::new(Store::open(&folder.join("store")).unwrap()),
        Arc::new(objects.clone()),
        folder.join("hosting"),
        vec![Arc::new(Parrots)],
        Options::default(),
        runtime.handle().clone(),
    );
    (hosting.unwrap(), objects)
}

fn caller() -> Caller {
    Caller {
        account: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
    }
}

fn call(hosting: &Hosting, operation: &str, input: Value) -> Result<Value, Refusal> {
    hosting.call(&caller(), operation, &input).unwrap()
}

/// Waits for a condition.
fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The process that is killed: it updates an endpoint without an end, and says which questions were accepted.
fn worker(folder: &Path) {
    let runtime = Runtime::new().unwrap();
    let (hosting, _objects) = open(folder, &runtime);
    for name in ["a", "b"] {
        let container = json!({"Image": "parrot", "Environment": {"SAYS": name}});
        let variant = json!({
            "VariantName": "All", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"
        });
        let later = json!({"OutputConfig": {"S3OutputPath": "s3://box/out"}});
        for (operation, input) in [
            (
                "CreateModel",
                json!({"ModelName": name, "PrimaryContainer": container}),
            ),
            (
                "CreateEndpointConfig",
                json!({"EndpointConfigName": name, "ProductionVariants": [variant], "AsyncInferenceConfig": later}),
            ),
            (
                "CreateEndpoint",
                json!({"EndpointName": "e", "EndpointConfigName": name}),
            ),
        ] {
            if let Err(refused) = call(&hosting, operation, input) {
                // A run before this one did it.
                let said = &refused.message;
                assert!(said.contains("Cannot create already existing"), "{said}");
            }
        }
    }
    let mut out = std::io::stdout().lock();
    for at in 0.. {
        let config = ["a", "b"][at % 2];
        let input = json!({"EndpointName": "e", "EndpointConfigName": config});
        if let Err(refused) = call(&hosting, "UpdateEndpoint", input) {
            assert!(refused.message.contains("in-progress"), "{refused}");
        }
        let later = Later {
            body: Some(Bytes::from(format!("{at}"))),
            ..Later::default()
        };
        match runtime.block_on(hosting.invoke_async(&caller(), "e", later)) {
            Ok(accepted) => {
                writeln!(out, "accepted {at} {}", accepted.output).unwrap();
                out.flush().unwrap();
            }
            // It is not there yet, or so many wait already.
            Err(error) => assert!(matches!(error.status, 400 | 503), "{error}"),
        }
    }
}

#[test]
fn a_killed_process_loses_no_endpoint_and_no_question() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return worker(Path::new(&folder));
    }
    let place = tempfile::tempdir().unwrap();
    let objects = Local::open(&place.path().join("objects")).unwrap();
    objects.create_bucket("box").unwrap();
    drop(objects);
    let seed = 7;
    let mut random = StdRng::seed_from_u64(seed);
    let mut accepted = Vec::new();
    for _ in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(FOLDER, place.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left: i32 = random.random_range(1..60);
        for line in lines {
            // What was said before it was dead counts, however much more than was waited for it is.
            let line = line.unwrap();
            if let Some((_, rest)) = line.split_once("accepted ") {
                let (at, output) = rest.split_once(' ').unwrap();
                accepted.push((at.to_owned(), output.to_owned()));
                left -= 1;
                if left == 0 {
                    child.kill().unwrap();
                }
            }
        }
        let status = child.wait().unwrap();
        assert!(
            left <= 0 && !status.success(),
            "it ended by itself: {status}"
        );
    }

    let runtime = Runtime::new().unwrap();
    let (hosting, objects) = open(place.path(), &runtime);
    let said = until("the endpoint is in service", || {
        let said = call(&hosting, "DescribeEndpoint", json!({"EndpointName": "e"})).unwrap();
        (said["EndpointStatus"] == "InService").then_some(said)
    });
    assert!(said.get("FailureReason").is_none(), "{said}");
    for (at, output) in &accepted {
        let key = output.strip_prefix("s3://box/").unwrap();
        let name = ObjectName::new("box", key, None).unwrap();
        let what = format!("seed {seed}: the answer {output}");
        let mut object = until(&what, || objects.open(&name).ok());
        let mut body = String::new();
        object.bytes.read_to_string(&mut body).unwrap();
        let (says, question) = body.split_once(' ').unwrap();
        assert!(["a", "b"].contains(&says) && question == at, "{body}");
    }
    until("nothing waits", || {
        (hosting.counts().later_waiting == 0).then_some(())
    });
    // That it answers so says that it is there.
    let (caller, nothing) = (caller(), Invocation::default());
    let asked = hosting.invoke(&caller, "e", Asked::default(), &nothing);
    let refused = runtime.block_on(asked).unwrap_err();
    assert!(refused.message.contains("InvokeEndpointAsync"), "{refused}");
}
