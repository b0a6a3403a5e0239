//! SageMaker's resources while the server is killed at random instants, with requests of several clients on their way: whatever
//! was answered is so afterwards, whatever was not may be either, and everything comes to rest in a state that AWS has.
//!
//! `ESCALA_SAGEMAKER_KILLS` says how often it is killed, `ESCALA_SAGEMAKER_SEED` with what chance.

mod common;

use common::sagemaker::{self as resources, PATIENCE, call, config, host, status};
use common::{Server, Setup, wait_for};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CLIENTS: u64 = 3;
/// Rows that a transform scores.
const ROWS: u32 = 2000;
/// The endpoint that is there all the time.
const STAYS: &str = "stays";
/// Its other configuration, which new endpoints have too.
const OTHER: &str = "other";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Model,
    Config,
    Endpoint,
    Training,
    Transform,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Model => "Model",
            Self::Config => "EndpointConfig",
            Self::Endpoint => "Endpoint",
            Self::Training => "TrainingJob",
            Self::Transform => "TransformJob",
        }
    }
}

/// What a client knows of a resource.
#[derive(Debug, Default)]
struct Known {
    made: bool,
    gone: bool,
    /// Somebody asked to stop it, answered or not.
    stopped: bool,
    /// The last request has no answer: it may have been done or not.
    open: bool,
}

type Memory = BTreeMap<(Kind, String), Known>;

/// One who makes, changes and removes resources.
struct Client<'s> {
    server: &'s Server,
    random: StdRng,
    killed: &'s AtomicBool,
    known: Memory,
}

impl Client<'_> {
    /// Goes on until the server is killed.
    fn run(mut self, prefix: &str) -> Memory {
        let mut count = 0;
        while !self.killed.load(Ordering::SeqCst) {
            count += 1;
            // It ends where the server is gone.
            let _ = self.one(&format!("{prefix}-{count}"));
        }
        self.known
    }

    /// One resource from its beginning to what becomes of it; `None` where the server is gone.
    fn one(&mut self, name: &str) -> Option<()> {
        let often = |random: &mut StdRng, of_ten: u32| random.random_range(0..10) < of_ten;
        match self.random.random_range(0..7) {
            0 => {
                let artefact = "s3://lake/models/model/output/model.tar.gz";
                let container = json!({"Image": "xgboost", "ModelDataUrl": artefact});
                let made = self.make(Kind::Model, name, &resources::model(name, &container))?;
                if made && often(&mut self.random, 6) {
                    self.remove(Kind::Model, name)?;
                }
            }
            1 => {
                let made = self.make(Kind::Config, name, &config(name, "model"))?;
                if made && often(&mut self.random, 6) {
                    self.remove(Kind::Config, name)?;
                }
            }
            2 => {
                let endpoint = json!({"EndpointName": name, "EndpointConfigName": OTHER});
                let made = self.make(Kind::Endpoint, name, &endpoint)?;
                if made && often(&mut self.random, 7) {
                    // While it is being made it may not be deleted.
                    while !self.remove(Kind::Endpoint, name)? {}
                }
            }
            3 => {
                let rounds = [5, 50, 400][self.random.random_range(0..3)];
                let training = resources::training(name, rounds);
                let made = self.make(Kind::Training, name, &training)?;
                if made && often(&mut self.random, 4) {
                    self.stop(Kind::Training, name)?;
                }
            }
            4 => {
                let made = self.make(Kind::Transform, name, &transform(name))?;
                if made && often(&mut self.random, 4) {
                    self.stop(Kind::Transform, name)?;
                }
            }
            5 => {
                let next = [STAYS, OTHER][self.random.random_range(0..2)];
                let update = json!({"EndpointName": STAYS, "EndpointConfigName": next});
                // Refused while another update is on its way.
                self.ask("UpdateEndpoint", &update)?.ok();
            }
            _ => {
                let weight = self.random.random_range(1..5);
                let weights = json!({"EndpointName": STAYS, "DesiredWeightsAndCapacities": [
                    {"VariantName": "all", "DesiredWeight": weight}]});
                self.ask("UpdateEndpointWeightsAndCapacities", &weights)?
                    .ok();
            }
        }
        Some(())
    }

    fn of(&mut self, kind: Kind, name: &str) -> &mut Known {
        self.known.entry((kind, name.to_owned())).or_default()
    }

    /// Whether it is made. Only so many jobs may run at a time.
    fn make(&mut self, kind: Kind, name: &str, input: &Value) -> Option<bool> {
        self.of(kind, name).open = true;
        let made = self.ask(&format!("Create{}", kind.name()), input)?;
        if let Err(refusal) = &made {
            assert!(
                refusal.contains("ResourceLimitExceeded"),
                "{name}: {refusal}"
            );
        }
        let known = self.of(kind, name);
        (known.made, known.open) = (made.is_ok(), false);
        Some(known.made)
    }

    /// Whether it is removed.
    fn remove(&mut self, kind: Kind, name: &str) -> Option<bool> {
        self.of(kind, name).open = true;
        let input = json!({format!("{}Name", kind.name()): name});
        let gone = self.ask(&format!("Delete{}", kind.name()), &input)?.is_ok();
        let known = self.of(kind, name);
        (known.gone, known.open) = (gone, false);
        Some(gone)
    }

    fn stop(&mut self, kind: Kind, name: &str) -> Option<()> {
        self.of(kind, name).stopped = true;
        let input = json!({format!("{}Name", kind.name()): name});
        // One that has ended is not stopped.
        self.ask(&format!("Stop{}", kind.name()), &input)?.ok();
        Some(())
    }

    /// Whether it was done, or why not; `None` where the server is gone.
    fn ask(&self, operation: &str, input: &Value) -> Option<Result<(), String>> {
        let target = format!("SageMaker.{operation}");
        let answer = self.server.try_aws(&target, input.to_string().as_bytes());
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                // Nobody else takes an answer away.
                wait_for("the kill", PATIENCE, || self.killed.load(Ordering::SeqCst));
                drop(error);
                return None;
            }
        };
        match answer.status {
            200 => Some(Ok(())),
            400 => Some(Err(answer.text)),
            _ => panic!("{operation} {input}: {answer:?}"),
        }
    }
}

fn transform(name: &str) -> Value {
    json!({
        "TransformJobName": name, "ModelName": "model",
        "TransformInput": {"ContentType": "text/csv", "SplitType": "Line", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": "s3://lake/bare/"}}},
        "TransformOutput": {"S3OutputPath": format!("s3://lake/scored/{name}"), "AssembleWith": "Line", "Accept": "text/csv"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    })
}

fn serve(data: &Path) -> Server {
    let folder = data.to_str().expect("a plain path");
    Server::start(
        &Setup::default()
            .with("ESCALA_DATA_DIR", folder)
            .with("ESCALA_MODELS_PRELOAD", "language"),
    )
}

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

#[test]
fn what_was_answered_is_so_whenever_the_server_is_killed() {
    let data = tempfile::tempdir().expect("a folder");
    let server = serve(data.path());
    resources::bucket(&server);
    let bare = resources::bare_rows(ROWS);
    let put = server.s3("PUT", "/lake/bare/rows.csv", bare.as_bytes());
    assert_eq!(put.status, 200, "{put:?}");
    resources::trained(&server, "model");
    host(&server, STAYS, "model");
    call(&server, "CreateEndpointConfig", &config(OTHER, "model")).ok();
    let seed = number("ESCALA_SAGEMAKER_SEED", 1);
    println!("ESCALA_SAGEMAKER_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = server;
    for round in 0..number("ESCALA_SAGEMAKER_KILLS", 6) {
        let known = killed(&server, round, &mut random);
        drop(server);
        server = serve(data.path());
        println!("round {round}: {} resources", known.len());
        check(&server, &known);
        rest(&server, &known);
        for (kind, name) in known.keys() {
            if *kind == Kind::Endpoint && status(&server, "Endpoint", name).is_some() {
                call(&server, "DeleteEndpoint", &json!({"EndpointName": name})).ok();
            }
        }
    }
    server.assert_sound("all kills");
}

/// Lets clients work on a server, and kills it at some instant; what they know then.
fn killed(server: &Server, round: u64, random: &mut StdRng) -> Memory {
    let killed = AtomicBool::new(false);
    let instant = Duration::from_millis(random.random_range(50..950));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let client_random = StdRng::seed_from_u64(random.random());
                let client_of = Client {
                    server,
                    random: client_random,
                    killed: &killed,
                    known: Memory::new(),
                };
                scope.spawn(move || client_of.run(&format!("r{round}-c{client}")))
            })
            .collect();
        // The instant is what is drawn: nothing is waited for.
        std::thread::sleep(instant);
        server.kill();
        killed.store(true, Ordering::SeqCst);
        let ended = clients.into_iter();
        ended
            .flat_map(|client| client.join().expect("a client goes on"))
            .collect()
    })
}

/// What was answered is so, at once.
fn check(server: &Server, known: &Memory) {
    for ((kind, name), known) in known.iter().filter(|(_, known)| !known.open) {
        let operation = format!("Describe{}", kind.name());
        let input = json!({format!("{}Name", kind.name()): name});
        let described = call(server, &operation, &input);
        let wanted = match (known.made, known.gone) {
            (true, false) => 200,
            // What an endpoint has is put away before it is gone.
            (true, true) if *kind == Kind::Endpoint => continue,
            (true, true) => 400,
            (false, _) => continue,
        };
        assert_eq!(
            described.status, wanted,
            "{kind:?} {name} {known:?}: {described:?}"
        );
    }
}

/// Everything comes to rest, and is what it says then.
fn rest(server: &Server, known: &Memory) {
    for ((kind, name), known) in known {
        let mut last = None;
        match kind {
            Kind::Model | Kind::Config => {}
            Kind::Endpoint => {
                wait_for(&format!("endpoint {name}"), PATIENCE, || {
                    last = status(server, "Endpoint", name);
                    matches!(last.as_deref(), None | Some("InService" | "Failed"))
                });
                let wanted = match known.open || !known.made {
                    true => last.as_deref().filter(|_| !known.gone),
                    false => (!known.gone).then_some("InService"),
                };
                assert_eq!(last.as_deref(), wanted, "{name} {known:?}");
                assert_ne!(last.as_deref(), Some("Failed"), "{name} {known:?}");
            }
            Kind::Training | Kind::Transform => {
                wait_for(&format!("{kind:?} {name}"), PATIENCE, || {
                    last = status(server, kind.name(), name);
                    !matches!(last.as_deref(), Some("InProgress" | "Stopping"))
                });
                let result = match kind {
                    Kind::Training => format!("/lake/models/{name}/output/model.tar.gz"),
                    _ => format!("/lake/scored/{name}/rows.csv.out"),
                };
                match last.as_deref() {
                    Some("Completed") => {
                        let answer = server.s3("GET", &result, b"");
                        assert_eq!(answer.status, 200, "{answer:?}");
                        if *kind == Kind::Transform {
                            assert_eq!(answer.text.lines().count(), ROWS as usize, "{name}");
                        }
                    }
                    Some("Stopped") => assert!(known.stopped, "{name} {known:?}"),
                    None => assert!(!known.made, "{name} {known:?}"),
                    other => panic!("{kind:?} {name} {known:?} is {other:?}"),
                }
            }
        }
    }
    wait_for("the endpoint that stays", PATIENCE, || {
        status(server, "Endpoint", STAYS).as_deref() == Some("InService")
    });
    let answer = server.post("/endpoints/stays/invocations", "text/csv", b"90,10");
    assert_eq!(answer.status, 200, "{answer:?}");
}
