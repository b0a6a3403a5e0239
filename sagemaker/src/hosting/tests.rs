//! Models and endpoints from the outside: what clients see, through crashes, updates and failures.

mod asking;
mod crashes;
mod deploying;
mod shifting;

use super::*;

use crate::endpoints::deploy::Point;
use crate::served::{Container, Parts, Said, Served, Unanswered};
use crate::testing::{self, caller};
use escala_objects::memory::Memory;
use escala_objects::{ObjectName, ObjectStore, WritableStore};
use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::io::Read;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::error::TryRecvError;

/// How long a condition may take to come.
const DEADLINE: Duration = Duration::from_secs(60);

/// Says what its environment says: `SAYS`, or with `FAILS` a status. Where it has `WAITS`, a permit is taken for every answer, and
/// with `HELD` it is not opened while it is held.
struct Parrots {
    permits: Arc<Semaphore>,
    held: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

struct Parrot {
    says: String,
    fails: Option<u16>,
    waits: Option<Arc<Semaphore>>,
    asked: Arc<AtomicU64>,
}

impl Served for Parrot {
    fn invoke(&self, asked: Asked) -> BoxFuture<'_, std::result::Result<Said, Unanswered>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if let Some(waits) = &self.waits {
                waits.acquire().await.unwrap().forget();
            }
            if let Some(status) = self.fails {
                return Err(Unanswered {
                    status,
                    message: "no".to_owned(),
                });
            }
            let body = [self.says.as_bytes(), b" ", &asked.body].concat();
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

impl Opener for Parrots {
    fn open(
        &self,
        container: &Container<'_>,
    ) -> Option<std::result::Result<Arc<dyn Served>, String>> {
        if !self.knows(container.repository) {
            return None;
        }
        let of = |name: &str| container.environment.get(name).cloned();
        assert_ne!(of("BREAKS").as_deref(), Some("true"), "it breaks");
        while of("HELD").is_some() && self.held.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        Some(Ok(Arc::new(Parrot {
            says: of("SAYS").unwrap_or_default(),
            fails: of("FAILS").map(|status| status.parse().unwrap()),
            waits: of("WAITS").map(|_| Arc::clone(&self.permits)),
            asked: Arc::clone(&self.asked),
        })))
    }

    fn knows(&self, repository: &str) -> bool {
        repository == "parrot"
    }

    fn accepts(&self) -> String {
        "parrots".to_owned()
    }
}

/// A place that outlives a hosting.
struct Place {
    folder: tempfile::TempDir,
    objects: Memory,
    permits: Arc<Semaphore>,
    held: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

impl Place {
    fn new() -> Self {
        let objects = Memory::default();
        objects.bucket("box");
        Self {
            folder: tempfile::tempdir().unwrap(),
            objects,
            permits: Arc::new(Semaphore::new(0)),
            held: Arc::default(),
            asked: Arc::default(),
        }
    }

    fn open(&self) -> Hosting {
        self.open_with(Options::default())
    }

    fn open_with(&self, options: Options) -> Hosting {
        let store = Store::open(&self.folder.path().join("store")).unwrap();
        let openers: Vec<Arc<dyn Opener>> = vec![
            Arc::new(crate::learned::Learned::new(2)),
            Arc::new(Parrots {
                permits: Arc::clone(&self.permits),
                held: Arc::clone(&self.held),
                asked: Arc::clone(&self.asked),
            }),
        ];
        Hosting::open(
            Arc::new(store),
            Arc::new(self.objects.clone()),
            self.folder.path().join("hosting"),
            openers,
            options,
            Handle::current(),
        )
        .unwrap()
    }

    fn object(&self, address: &str) -> Option<Vec<u8>> {
        let (bucket, key) = crate::names::s3(address).unwrap();
        let name = ObjectName::new(bucket, key, None).unwrap();
        let mut object = self.objects.open(&name).ok()?;
        let mut bytes = Vec::new();
        object.bytes.read_to_end(&mut bytes).unwrap();
        Some(bytes)
    }
}

/// Calls, and holds the answer to what AWS declares of it.
fn call(hosting: &Hosting, operation: &str, input: Value) -> Result<Value> {
    let said = hosting.call(&caller(), operation, &input).unwrap()?;
    match &MODEL["operations"][operation]["output"] {
        Value::String(shape) => declared(&said, shape, operation),
        _ => assert_eq!(said, Value::Null, "{operation} answers nothing"),
    }
    Ok(said)
}

/// The service model of AWS that requests are checked against, too.
static MODEL: LazyLock<Value> = LazyLock::new(|| {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../service/aws-models/sagemaker.json"
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
});

/// Whether a value is of a shape: all that is required, and nothing that is not there.
fn declared(value: &Value, name: &str, at: &str) {
    let shape = &MODEL["shapes"][name];
    match shape["type"].as_str().unwrap() {
        "structure" => {
            let given = value.as_object().unwrap_or_else(|| panic!("{at}: {value}"));
            for required in shape["required"].as_array().into_iter().flatten() {
                let required = required.as_str().unwrap();
                assert!(
                    given.contains_key(required),
                    "{at} needs {required}: {value}"
                );
            }
            for (member, value) in given {
                let of = shape["members"][member].as_str();
                let of = of.unwrap_or_else(|| panic!("{at} has no {member}"));
                assert_ne!(*value, json!({}), "{at}.{member}");
                declared(value, of, &format!("{at}.{member}"));
            }
        }
        "list" => {
            let of = shape["member"].as_str().unwrap();
            for one in value.as_array().unwrap() {
                declared(one, of, at);
            }
        }
        "map" => assert!(value.is_object(), "{at}"),
        "string" => assert!(value.is_string(), "{at}: {value}"),
        "boolean" => assert!(value.is_boolean(), "{at}: {value}"),
        "integer" => assert!(value.is_u64(), "{at}: {value}"),
        "float" | "timestamp" => assert!(value.is_number(), "{at}: {value}"),
        other => panic!("{at}: {other}"),
    }
}

fn parrot(hosting: &Hosting, name: &str, environment: Value) {
    let container = json!({"Image": "parrot:1", "Environment": environment});
    call(
        hosting,
        "CreateModel",
        json!({"ModelName": name, "PrimaryContainer": container}),
    )
    .unwrap();
}

fn variant(name: &str, model: &str, weight: f64) -> Value {
    json!({
        "VariantName": name, "ModelName": model, "InitialVariantWeight": weight,
        "InitialInstanceCount": 1, "InstanceType": "ml.m5.large",
    })
}

fn config(hosting: &Hosting, name: &str, variants: Value, more: Value) {
    let mut input = json!({"EndpointConfigName": name, "ProductionVariants": variants});
    let more = more.as_object().cloned().unwrap_or_default();
    input.as_object_mut().unwrap().extend(more);
    call(hosting, "CreateEndpointConfig", input).unwrap();
}

fn create(hosting: &Hosting, endpoint: &str, config: &str) {
    let input = json!({"EndpointName": endpoint, "EndpointConfigName": config});
    call(hosting, "CreateEndpoint", input).unwrap();
}

/// A parrot that says `says`, in a configuration of the same name.
fn sayer(hosting: &Hosting, says: &str) {
    parrot(hosting, says, json!({"SAYS": says}));
    config(
        hosting,
        says,
        json!([variant("AllTraffic", says, 1.0)]),
        json!({}),
    );
}

fn describe(hosting: &Hosting, endpoint: &str) -> Result<Value> {
    call(
        hosting,
        "DescribeEndpoint",
        json!({"EndpointName": endpoint}),
    )
}

async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "never: {what}");
        tick.tick().await;
    }
}

async fn status(hosting: &Hosting, endpoint: &str, wanted: &str) -> Value {
    until(&format!("{endpoint} is {wanted}"), || {
        let said = describe(hosting, endpoint).unwrap();
        (said["EndpointStatus"] == wanted).then_some(said)
    })
    .await
}

async fn gone(hosting: &Hosting, endpoint: &str) {
    until("it is gone", || describe(hosting, endpoint).err()).await;
}

async fn ask(
    hosting: &Hosting,
    endpoint: &str,
    invocation: &Invocation,
) -> std::result::Result<String, InvokeError> {
    let asked = Asked {
        content_type: Some("text/plain".to_owned()),
        accept: None,
        body: "?".into(),
        ..Asked::default()
    };
    let said = hosting
        .invoke(&caller(), endpoint, asked, invocation)
        .await?;
    Ok(String::from_utf8(said.said.body.to_vec()).unwrap())
}

async fn say(hosting: &Hosting, endpoint: &str) -> std::result::Result<String, InvokeError> {
    ask(hosting, endpoint, &Invocation::default()).await
}

/// Begins an update whose new model fails half of the traffic, which is watched for an hour.
fn update_to_failing(hosting: &Hosting, alarm: &str) {
    parrot(hosting, "bad", json!({"FAILS": "500"}));
    config(
        hosting,
        "bad",
        json!([variant("AllTraffic", "bad", 1.0)]),
        json!({}),
    );
    let routing = json!({"Type": "CANARY", "WaitIntervalInSeconds": 3600, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50}});
    let input = json!({
        "EndpointName": "e", "EndpointConfigName": "bad",
        "DeploymentConfig": {
            "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing},
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
        },
    });
    call(hosting, "UpdateEndpoint", input).unwrap();
}
