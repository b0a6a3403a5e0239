//! Models and endpoints from the outside: what clients see, through crashes, updates and failures.

use super::*;
use crate::endpoints::deploy::Point;
use crate::served::{Container, Said, Served, Unanswered};
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

/// How long a condition may take to come.
const DEADLINE: Duration = Duration::from_secs(60);

/// Says what its environment says: `SAYS`, or with `FAILS` a status. Where it has `WAITS`, a permit is taken for every answer.
struct Parrots {
    permits: Arc<Semaphore>,
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

#[tokio::test]
async fn a_model_that_was_learned_is_deployed_asked_and_deleted() {
    let place = Place::new();
    let logs = Arc::new(Logs::open(place.folder.path()).unwrap());
    let hosting = place.open_with(Options {
        logs: Some(Arc::clone(&logs)),
        ..Options::default()
    });
    place
        .objects
        .put("box", "m/model.tar.gz", &testing::archive("xgboost"));
    let image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1";
    let container = json!({"Image": image, "ModelDataUrl": "s3://box/m/model.tar.gz"});
    call(
        &hosting,
        "CreateModel",
        json!({"ModelName": "m", "PrimaryContainer": container}),
    )
    .unwrap();
    config(
        &hosting,
        "c",
        json!([variant("AllTraffic", "m", 1.0)]),
        json!({}),
    );
    create(&hosting, "e", "c");
    let said = status(&hosting, "e", "InService").await;
    let one = &said["ProductionVariants"][0];
    assert_eq!(one["DeployedImages"][0]["SpecifiedImage"], image);
    assert_eq!(one["CurrentInstanceCount"], 1);
    assert!(said.get("FailureReason").is_none() && said.get("PendingDeploymentSummary").is_none());
    let asked = Asked {
        content_type: Some("text/csv".to_owned()),
        accept: None,
        body: "90,1\n2,3".into(),
        ..Asked::default()
    };
    let said = hosting
        .invoke(&caller(), "e", asked, &Invocation::default())
        .await
        .unwrap();
    assert_eq!(said.variant, "AllTraffic");
    let body = String::from_utf8(said.said.body.to_vec()).unwrap();
    assert_eq!(body.split(',').count(), 2, "{body}");
    let refused = say(&hosting, "e").await.unwrap_err();
    assert_eq!((refused.code, refused.status), ("ModelError", 424));
    let members = refused.members();
    assert_eq!(members["OriginalStatusCode"], 415);
    assert_eq!(
        members["LogStreamArn"],
        "arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/e"
    );
    let message = members["Message"].as_str().unwrap();
    assert!(
        message.starts_with("Received client error (415) from primary with message \""),
        "{message}"
    );
    // The group that it names says the same; what is told there is waited for by nobody.
    let told = async {
        loop {
            let group = json!({"logGroupName": "/aws/sagemaker/Endpoints/e"});
            let told = logs.call(&caller(), "FilterLogEvents", &group).unwrap();
            if told["events"].as_array().unwrap().len() > 1 {
                return told;
            }
            tokio::task::yield_now().await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(60), told).await;
    let told = told.expect("told");
    assert_eq!(told["events"][0]["message"], "the endpoint is InService");
    assert_eq!(told["events"][0]["logStreamName"], "AllTraffic/i-0");
    let refusal = told["events"][1]["message"].as_str().unwrap();
    assert!(refusal.starts_with("415: "), "{refusal}");
    let listed = call(
        &hosting,
        "ListEndpoints",
        json!({"StatusEquals": "InService"}),
    )
    .unwrap();
    assert_eq!(listed["Endpoints"][0]["EndpointName"], "e");
    // What it was made of may go away.
    call(&hosting, "DeleteModel", json!({"ModelName": "m"})).unwrap();
    call(
        &hosting,
        "DeleteEndpointConfig",
        json!({"EndpointConfigName": "c"}),
    )
    .unwrap();
    drop(hosting);
    // So may its data: what was deployed is what answers.
    place
        .objects
        .delete(&ObjectName::new("box", "m/model.tar.gz", None).unwrap())
        .unwrap();
    let hosting = place.open_with(Options {
        idle: Duration::ZERO,
        ..Options::default()
    });
    // It is in service, so whoever asks before its model is open again waits for it.
    assert_eq!(say(&hosting, "e").await.unwrap_err().code, "ModelError");
    let counts = hosting.counts();
    assert_eq!((counts.models_open, counts.model_loads), (1, 1));
    assert_eq!(say(&hosting, "e").await.unwrap_err().code, "ModelError");
    call(&hosting, "DeleteEndpoint", json!({"EndpointName": "e"})).unwrap();
    gone(&hosting, "e").await;
    let absent = say(&hosting, "e").await.unwrap_err();
    assert_eq!(
        (absent.code, absent.message.as_str()),
        (
            "ValidationError",
            "Endpoint e of account 000000000000 not found."
        )
    );
    until("its memory is free", || {
        (hosting.counts().models_open == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn data_that_were_replaced_answer_after_an_update() {
    let place = Place::new();
    let hosting = place.open();
    place.objects.put("box", "m", &testing::archive("kmeans"));
    let container = json!({"Image": "kmeans", "ModelDataUrl": "s3://box/m"});
    let model = json!({"ModelName": "m", "PrimaryContainer": container});
    call(&hosting, "CreateModel", model).unwrap();
    config(&hosting, "c", json!([variant("A", "m", 1.0)]), json!({}));
    create(&hosting, "e", "c");
    status(&hosting, "e", "InService").await;
    place.objects.put("box", "m", &testing::archive("pca"));
    let update = json!({"EndpointName": "e", "EndpointConfigName": "c"});
    call(&hosting, "UpdateEndpoint", update).unwrap();
    let said = until("it failed", || {
        let said = describe(&hosting, "e").unwrap();
        said.get("FailureReason").is_some().then_some(said)
    })
    .await;
    assert_eq!(
        said["FailureReason"],
        "the image is of kmeans, and the model data are of pca"
    );
    assert_eq!(said["EndpointStatus"], "InService");
}

#[tokio::test]
async fn what_cannot_be_deployed_says_why_and_can_only_be_deleted() {
    let place = Place::new();
    let hosting = place.open();
    for (name, container) in [
        (
            "absent",
            json!({"Image": "kmeans:1", "ModelDataUrl": "s3://box/none.tar.gz"}),
        ),
        (
            "breaks",
            json!({"Image": "parrot", "Environment": {"BREAKS": "true"}}),
        ),
    ] {
        call(
            &hosting,
            "CreateModel",
            json!({"ModelName": name, "PrimaryContainer": container}),
        )
        .unwrap();
        config(
            &hosting,
            name,
            json!([variant("AllTraffic", name, 1.0)]),
            json!({}),
        );
        create(&hosting, name, name);
        let failed = status(&hosting, name, "Failed").await;
        let why = failed["FailureReason"].as_str().unwrap();
        let wanted = match name {
            "absent" => "Could not find model data at s3://box/none.tar.gz.",
            _ => "opening the model broke",
        };
        assert!(why.starts_with(wanted), "{why}");
        let update = json!({"EndpointName": name, "EndpointConfigName": name});
        let refused = call(&hosting, "UpdateEndpoint", update).unwrap_err();
        assert!(
            refused.message.contains("can only be deleted"),
            "{}",
            refused.message
        );
        call(&hosting, "DeleteEndpoint", json!({"EndpointName": name})).unwrap();
        gone(&hosting, name).await;
    }
    let none = json!({"EndpointName": "none", "EndpointConfigName": "absent"});
    let refused = call(&hosting, "UpdateEndpoint", none).unwrap_err();
    assert!(
        refused
            .message
            .starts_with("Could not find endpoint \"arn:")
    );
    let none = json!({"EndpointName": "e", "EndpointConfigName": "none"});
    let refused = call(&hosting, "CreateEndpoint", none).unwrap_err();
    assert!(
        refused
            .message
            .starts_with("Could not find endpoint configuration \"arn:")
    );
}

#[tokio::test]
async fn configurations_that_cannot_be_are_refused() {
    let place = Place::new();
    let hosting = place.open();
    parrot(&hosting, "m", json!({}));
    let one = variant("a", "m", 1.0);
    let mut serverless = one.clone();
    serverless["ServerlessConfig"] = json!({"MemorySizeInMB": 1024, "MaxConcurrency": 1});
    for (variants, more, why) in [
        (json!([one, one]), json!({}), "\"a\" is there twice"),
        (
            json!([variant("a", "none", 1.0)]),
            json!({}),
            "Could not find model \"arn:",
        ),
        (
            json!([{"VariantName": "a"}]),
            json!({}),
            "needs a ModelName",
        ),
        (json!([serverless]), json!({}), "no InitialInstanceCount"),
        (
            json!([{"VariantName": "a", "ModelName": "m"}]),
            json!({}),
            "needs an InstanceType",
        ),
        (
            json!([{"VariantName": "a", "ModelName": "m", "ServerlessConfig":
                {"MemorySizeInMB": 1024, "MaxConcurrency": 1, "ProvisionedConcurrency": 2}}]),
            json!({}),
            "above its MaxConcurrency",
        ),
        (
            json!([one, variant("b", "m", 1.0)]),
            json!({"ShadowProductionVariants": [variant("c", "m", 1.0)]}),
            "one production variant and one shadow",
        ),
        (
            json!([one]),
            json!({"DataCaptureConfig": {"DestinationS3Uri": "https://x/y", "InitialSamplingPercentage": 1, "CaptureOptions": []}}),
            "s3://bucket/prefix",
        ),
        (
            json!([one]),
            json!({"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://box/o", "NotificationConfig": {"ErrorTopic": "arn:aws:sns:us-east-1:000000000000:t"}}}}),
            "SNS",
        ),
        (
            json!([one]),
            json!({"AsyncInferenceConfig": {"OutputConfig": {}}}),
            "S3OutputPath",
        ),
    ] {
        let mut input = json!({"EndpointConfigName": "c", "ProductionVariants": variants});
        let more = more.as_object().cloned().unwrap();
        input.as_object_mut().unwrap().extend(more);
        let refused = call(&hosting, "CreateEndpointConfig", input).unwrap_err();
        assert!(refused.message.contains(why), "{}", refused.message);
    }
    config(
        &hosting,
        "c",
        json!([one]),
        json!({"Tags": [{"Key": "k", "Value": "v"}]}),
    );
    let described = call(
        &hosting,
        "DescribeEndpointConfig",
        json!({"EndpointConfigName": "c"}),
    )
    .unwrap();
    assert!(described.get("Tags").is_none());
    assert_eq!(described["ProductionVariants"], json!([one]));
    let arn = &described["EndpointConfigArn"];
    let tags = call(&hosting, "ListTags", json!({"ResourceArn": arn})).unwrap();
    assert_eq!(tags["Tags"][0]["Key"], "k");
    assert!(
        hosting
            .call(&caller(), "CreateTrainingJob", &json!({}))
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn updates_under_load_lose_no_question() {
    let place = Place::new();
    let hosting = Arc::new(place.open());
    sayer(&hosting, "old");
    sayer(&hosting, "new");
    create(&hosting, "e", "old");
    status(&hosting, "e", "InService").await;
    let ends = Arc::new(AtomicBool::new(false));
    let mut askers = Vec::new();
    for _ in 0..4 {
        let (hosting, ends) = (Arc::clone(&hosting), Arc::clone(&ends));
        askers.push(tokio::spawn(async move {
            let mut counts = [0_u64; 2];
            while !ends.load(Ordering::Relaxed) {
                match say(&hosting, "e").await.unwrap().as_str() {
                    "old ?" => counts[0] += 1,
                    "new ?" => counts[1] += 1,
                    other => panic!("{other}"),
                }
                tokio::task::yield_now().await;
            }
            counts
        }));
    }
    for at in 0..10 {
        let config = ["new", "old"][at % 2];
        let routing = json!({"Type": "LINEAR", "WaitIntervalInSeconds": 0, "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 25}});
        let input = json!({
            "EndpointName": "e", "EndpointConfigName": config,
            "DeploymentConfig": {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}},
        });
        call(&hosting, "UpdateEndpoint", input).unwrap();
        let said = status(&hosting, "e", "InService").await;
        assert_eq!(said["EndpointConfigName"], config);
        assert!(said.get("FailureReason").is_none());
        assert_eq!(
            said["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"],
            "LINEAR"
        );
        // Whoever reads that it is in service is answered by what is.
        assert_eq!(say(&hosting, "e").await.unwrap(), format!("{config} ?"));
    }
    ends.store(true, Ordering::Relaxed);
    let mut all = [0; 2];
    for asker in askers {
        let counts = asker.await.unwrap();
        all = [all[0] + counts[0], all[1] + counts[1]];
    }
    assert!(all[0] > 0 && all[1] > 0, "{all:?}");
    let counted = hosting.counts().variants[0].invocations;
    assert_eq!(counted, all[0] + all[1] + 10);
}

#[tokio::test]
async fn an_update_that_cannot_be_opened_leaves_what_was_there() {
    let place = Place::new();
    let hosting = place.open();
    sayer(&hosting, "old");
    parrot(&hosting, "breaks", json!({"BREAKS": "true"}));
    config(
        &hosting,
        "breaks",
        json!([variant("AllTraffic", "breaks", 1.0)]),
        json!({}),
    );
    create(&hosting, "e", "old");
    status(&hosting, "e", "InService").await;
    let input = json!({"EndpointName": "e", "EndpointConfigName": "breaks"});
    call(&hosting, "UpdateEndpoint", input).unwrap();
    let said = until("it failed", || {
        let said = describe(&hosting, "e").unwrap();
        said.get("FailureReason").is_some().then_some(said)
    })
    .await;
    assert_eq!(said["EndpointStatus"], "InService");
    assert_eq!(said["EndpointConfigName"], "old");
    assert_eq!(say(&hosting, "e").await.unwrap(), "old ?");
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

#[tokio::test]
async fn an_alarm_turns_traffic_back() {
    let place = Place::new();
    let hosting = place.open();
    sayer(&hosting, "old");
    create(&hosting, "e", "old");
    status(&hosting, "e", "InService").await;
    update_to_failing(&hosting, "escala:error-rate>0.05");
    let pending = until("traffic is shifted", || {
        let said = describe(&hosting, "e").unwrap();
        let pending = said["PendingDeploymentSummary"].clone();
        let status = &pending["ProductionVariants"][0]["VariantStatus"][0]["Status"];
        (*status == "ActivatingTraffic").then_some(pending)
    })
    .await;
    assert_eq!(pending["EndpointConfigName"], "bad");
    assert_eq!(pending["ProductionVariants"][0]["CurrentWeight"], 0.5);
    for operation in ["UpdateEndpoint", "DeleteEndpoint"] {
        let input = json!({"EndpointName": "e", "EndpointConfigName": "old"});
        let refused = call(&hosting, operation, input).unwrap_err();
        assert!(
            refused
                .message
                .starts_with("Cannot update in-progress endpoint \"arn:"),
            "{}",
            refused.message
        );
    }
    let mut failed = 0;
    let began = Instant::now();
    let said = loop {
        failed += u64::from(say(&hosting, "e").await.is_err());
        let said = describe(&hosting, "e").unwrap();
        if said["EndpointStatus"] == "InService" {
            break said;
        }
        assert!(began.elapsed() < DEADLINE, "it was never turned back");
    };
    assert!(failed >= 5, "{failed}");
    let why = said["FailureReason"].as_str().unwrap();
    assert!(
        why.starts_with("the alarm escala:error-rate>0.05 fired: it measured 1.0"),
        "{why}"
    );
    assert_eq!(said["EndpointConfigName"], "old");
    assert!(said.get("PendingDeploymentSummary").is_none());
    for _ in 0..50 {
        assert_eq!(say(&hosting, "e").await.unwrap(), "old ?");
    }
}

#[tokio::test]
async fn a_canary_is_watched_for_its_time_and_then_all_goes_over() {
    let place = Place::new();
    let hosting = place.open();
    sayer(&hosting, "old");
    sayer(&hosting, "new");
    create(&hosting, "e", "old");
    status(&hosting, "e", "InService").await;
    let update = |most: u64| {
        let routing = json!({"Type": "CANARY", "WaitIntervalInSeconds": 1, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 20}});
        let policy = json!({"TrafficRoutingConfiguration": routing, "MaximumExecutionTimeoutInSeconds": most});
        let input = json!({
            "EndpointName": "e", "EndpointConfigName": "new",
            "DeploymentConfig": {
                "BlueGreenUpdatePolicy": policy,
                "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "escala:p99-ms>60000"}]},
            },
        });
        call(&hosting, "UpdateEndpoint", input).unwrap();
    };
    // One that may take no time is turned back.
    update(0);
    let said = status(&hosting, "e", "InService").await;
    let why = said["FailureReason"].as_str().unwrap();
    assert_eq!(why, "the deployment took longer than 0 seconds");
    assert_eq!(say(&hosting, "e").await.unwrap(), "old ?");

    update(3600);
    let began = Instant::now();
    let mut stages: Vec<String> = Vec::new();
    let mut new = [0_u64; 2];
    let said = loop {
        let said = describe(&hosting, "e").unwrap();
        if said["EndpointStatus"] == "InService" {
            break said;
        }
        let pending = &said["PendingDeploymentSummary"]["ProductionVariants"][0];
        let stage = pending["VariantStatus"][0]["Status"].as_str().unwrap();
        if stages.last().is_none_or(|last| last != stage) {
            stages.push(stage.to_owned());
        }
        let answer = say(&hosting, "e").await.unwrap();
        if stage == "ActivatingTraffic" {
            new[usize::from(answer == "new ?")] += 1;
        }
        assert!(began.elapsed() < DEADLINE, "it never came to its end");
    };
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "two steps of a second"
    );
    assert!(
        stages.ends_with(&["ActivatingTraffic".to_owned(), "Baking".to_owned()]),
        "{stages:?}"
    );
    assert!(said.get("FailureReason").is_none(), "{said}");
    assert_eq!(said["EndpointConfigName"], "new");
    // A fifth, within five standard deviations of as many as were asked.
    let all = (new[0] + new[1]) as f64;
    let off = (new[1] as f64 / all - 0.2).abs();
    assert!(off < 5.0 * (0.16 / all).sqrt(), "{new:?}");
    assert_eq!(say(&hosting, "e").await.unwrap(), "new ?");
}

/// What an endpoint is on its way to when a crash comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Create,
    Update,
    Weigh,
    TurnBack,
    Delete,
}

/// Ends the work at a point, once, and everything after that until the hosting is opened again.
fn ends_at(point: Point) -> (Reached, Arc<AtomicBool>) {
    let dead = Arc::new(AtomicBool::new(false));
    let reached = {
        let dead = Arc::clone(&dead);
        move |at| {
            if at == point {
                dead.store(true, Ordering::SeqCst);
            }
            !dead.load(Ordering::SeqCst)
        }
    };
    (Arc::new(reached), dead)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_instant_leaves_an_endpoint_that_comes_to_its_end() {
    use Point::*;
    for (way, points) in [
        (Way::Create, &[Taken, Opened, Switched][..]),
        (Way::Update, &[Taken, Opened, Shifted, Switched]),
        (Way::Weigh, &[Taken, Switched]),
        (Way::TurnBack, &[Shifted, TurnedBack, Switched]),
        (Way::Delete, &[Taken, Withdrawn]),
    ] {
        for point in points {
            crash(way, *point).await;
        }
    }
}

async fn crash(way: Way, point: Point) {
    let what = format!("{way:?} at {point:?}");
    let place = Place::new();
    {
        let hosting = place.open();
        sayer(&hosting, "old");
        sayer(&hosting, "new");
        if way != Way::Create {
            create(&hosting, "e", "old");
            status(&hosting, "e", "InService").await;
        }
    }
    {
        let (hosting, dead) = open_to_end_at(&place, point, way != Way::Create).await;
        let update = json!({"EndpointName": "e", "EndpointConfigName": "new"});
        match way {
            Way::Create => create(&hosting, "e", "old"),
            Way::Update => {
                call(&hosting, "UpdateEndpoint", update).unwrap();
            }
            Way::Weigh => {
                let weights = json!([{"VariantName": "AllTraffic", "DesiredWeight": 3.0, "DesiredInstanceCount": 2}]);
                let input = json!({"EndpointName": "e", "DesiredWeightsAndCapacities": weights});
                call(&hosting, "UpdateEndpointWeightsAndCapacities", input).unwrap();
            }
            Way::TurnBack => update_to_failing(&hosting, "escala:error-rate>0.05"),
            Way::Delete => {
                call(&hosting, "DeleteEndpoint", json!({"EndpointName": "e"})).unwrap();
            }
        }
        let began = Instant::now();
        while !dead.load(Ordering::SeqCst) {
            assert!(began.elapsed() < DEADLINE, "{what} was not reached");
            match way {
                // Those that are answered and those that are not: both are counted.
                Way::TurnBack => drop(say(&hosting, "e").await),
                _ => tokio::task::yield_now().await,
            }
        }
    }
    let hosting = place.open();
    match way {
        Way::Delete => gone(&hosting, "e").await,
        Way::TurnBack if point == Point::Shifted => {
            // The update begins again, and is turned back by what it does then.
            let began = Instant::now();
            loop {
                drop(say(&hosting, "e").await);
                let said = describe(&hosting, "e").unwrap();
                if said["EndpointStatus"] == "InService" {
                    assert!(said["FailureReason"].as_str().unwrap().contains("fired"));
                    break;
                }
                assert!(began.elapsed() < DEADLINE, "{what}");
                tokio::task::yield_now().await;
            }
            assert_eq!(say(&hosting, "e").await.unwrap(), "old ?", "{what}");
        }
        _ => {
            let said = status(&hosting, "e", "InService").await;
            let says = match way {
                Way::Update => "new",
                _ => "old",
            };
            assert_eq!(said["EndpointConfigName"], says, "{what}");
            assert_eq!(
                said.get("FailureReason").is_some(),
                way == Way::TurnBack,
                "{what}"
            );
            assert_eq!(
                say(&hosting, "e").await.unwrap(),
                format!("{says} ?"),
                "{what}"
            );
            if way == Way::Weigh {
                let one = &said["ProductionVariants"][0];
                assert_eq!(
                    (&one["CurrentWeight"], &one["DesiredInstanceCount"]),
                    (&json!(3.0), &json!(2))
                );
            }
        }
    }
}

/// Opens a hosting that ends its work at a point, of what is begun after it came to rest.
async fn open_to_end_at(place: &Place, point: Point, there: bool) -> (Hosting, Arc<AtomicBool>) {
    let (reached, dead) = ends_at(point);
    let begun = Arc::new(AtomicBool::new(false));
    let reached: Reached = {
        let begun = Arc::clone(&begun);
        Arc::new(move |at| !begun.load(Ordering::SeqCst) || reached(at))
    };
    let hosting = place.open_with(Options {
        reached: Some(reached),
        ..Options::default()
    });
    if there {
        // What the start of the server reaches is not what is to be ended.
        until("it answers", || hosting.table.live("e")).await;
        status(&hosting, "e", "InService").await;
    }
    begun.store(true, Ordering::SeqCst);
    (hosting, dead)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_for_and_wherever_it_ends_it_comes_to_be() {
    use Point::*;
    let seed = 20_261_129;
    let mut random = StdRng::seed_from_u64(seed);
    let place = Place::new();
    {
        let hosting = place.open();
        for says in ["a", "b", "c"] {
            sayer(&hosting, says);
        }
        parrot(&hosting, "breaks", json!({"BREAKS": "true"}));
        let variants = json!([variant("AllTraffic", "breaks", 1.0)]);
        config(&hosting, "breaks", variants, json!({}));
    }
    // What answers, and its weight; none where there is no endpoint.
    let mut expected: Option<(&str, f64)> = None;
    let mut ended = 0;
    for step in 0..60 {
        let points = [Taken, Opened, Shifted, Switched, Withdrawn];
        let point = points[random.random_range(0..points.len())];
        let what = format!("seed {seed}, step {step}, {expected:?}, ended at {point:?}");
        let (hosting, dead) = open_to_end_at(&place, point, expected.is_some()).await;
        let says = ["a", "b", "c"][random.random_range(0..3)];
        let named = |config: &str| json!({"EndpointName": "e", "EndpointConfigName": config});
        match (expected, random.random_range(0..6)) {
            (None, _) => {
                create(&hosting, "e", says);
                expected = Some((says, 1.0));
            }
            (Some(_), 0) => {
                call(&hosting, "DeleteEndpoint", json!({"EndpointName": "e"})).unwrap();
                expected = None;
            }
            (Some(_), 1) => {
                call(&hosting, "UpdateEndpoint", named("breaks")).unwrap();
            }
            (Some((before, _)), 2) => {
                let weight = f64::from(random.random_range(1..9));
                let weights = json!([{"VariantName": "AllTraffic", "DesiredWeight": weight}]);
                let input = json!({"EndpointName": "e", "DesiredWeightsAndCapacities": weights});
                call(&hosting, "UpdateEndpointWeightsAndCapacities", input).unwrap();
                expected = Some((before, weight));
            }
            _ => {
                call(&hosting, "UpdateEndpoint", named(says)).unwrap();
                expected = Some((says, 1.0));
            }
        }
        // It came to an end, or to what was asked for.
        until(&what, || {
            let rest = match describe(&hosting, "e") {
                Ok(said) => said["EndpointStatus"] == "InService",
                Err(_) => expected.is_none(),
            };
            (rest || dead.load(Ordering::SeqCst)).then_some(())
        })
        .await;
        ended += u64::from(dead.load(Ordering::SeqCst));
        drop(hosting);
        let hosting = place.open();
        match expected {
            None => gone(&hosting, "e").await,
            Some((says, weight)) => {
                let said = status(&hosting, "e", "InService").await;
                assert_eq!(said["EndpointConfigName"], says, "{what}");
                let found = &said["ProductionVariants"][0]["CurrentWeight"];
                assert_eq!(found.as_f64(), Some(weight), "{what}");
                until(&what, || hosting.table.live("e")).await;
                let answer = say(&hosting, "e").await.unwrap();
                assert_eq!(answer, format!("{says} ?"), "{what}");
            }
        }
    }
    assert!(ended > 20, "{ended} of 60 were ended");
}

#[tokio::test]
async fn traffic_goes_by_weights_and_to_whom_it_is_sent() {
    let place = Place::new();
    let hosting = place.open();
    parrot(&hosting, "a", json!({"SAYS": "a"}));
    parrot(&hosting, "b", json!({"SAYS": "b"}));
    parrot(&hosting, "shadow", json!({"SAYS": "s"}));
    let variants = json!([
        variant("A", "a", 3.0),
        variant("B", "b", 1.0),
        variant("Z", "b", 0.0)
    ]);
    config(&hosting, "c", variants, json!({}));
    create(&hosting, "e", "c");
    status(&hosting, "e", "InService").await;
    let mut a = 0;
    for _ in 0..2000 {
        a += u64::from(say(&hosting, "e").await.unwrap() == "a ?");
    }
    // 1500 of 2000, within five standard deviations.
    assert!((1403..=1597).contains(&a), "{a}");
    let to = |name: &str| Invocation {
        target_variant: Some(name.to_owned()),
        ..Invocation::default()
    };
    assert_eq!(ask(&hosting, "e", &to("Z")).await.unwrap(), "b ?");
    let refused = ask(&hosting, "e", &to("none")).await.unwrap_err();
    assert_eq!(refused.code, "ValidationError");
    let weights = json!([{"VariantName": "A", "DesiredWeight": 0.0}]);
    let input = json!({"EndpointName": "e", "DesiredWeightsAndCapacities": weights});
    call(&hosting, "UpdateEndpointWeightsAndCapacities", input).unwrap();
    status(&hosting, "e", "InService").await;
    for _ in 0..50 {
        assert_eq!(say(&hosting, "e").await.unwrap(), "b ?");
    }
    let input = json!({
        "EndpointName": "e", "EndpointConfigName": "c", "RetainAllVariantProperties": true,
    });
    call(&hosting, "UpdateEndpoint", input).unwrap();
    let said = status(&hosting, "e", "InService").await;
    assert_eq!(said["ProductionVariants"][0]["CurrentWeight"], 0.0);

    config(
        &hosting,
        "shadowed",
        json!([variant("A", "a", 1.0)]),
        json!({"ShadowProductionVariants": [variant("S", "shadow", 1.0)]}),
    );
    create(&hosting, "s", "shadowed");
    let said = status(&hosting, "s", "InService").await;
    assert_eq!(said["ShadowProductionVariants"][0]["VariantName"], "S");
    for _ in 0..10 {
        assert_eq!(say(&hosting, "s").await.unwrap(), "a ?");
        tokio::task::yield_now().await;
    }
    until("the shadow was asked", || {
        let counts = hosting.counts();
        let shadow = counts.variants.iter().find(|one| one.variant == "S");
        (shadow.unwrap().invocations + counts.unshadowed == 10).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_endpoint_has_many_models_and_another_is_closed_when_idle() {
    let place = Place::new();
    let hosting = place.open_with(Options {
        idle: Duration::ZERO,
        ..Options::default()
    });
    let archive = testing::archive("kmeans");
    place.objects.put("box", "many/x/1.tar.gz", &archive);
    place.objects.put("box", "many/broken.tar.gz", b"no");
    let container =
        json!({"Image": "kmeans", "Mode": "MultiModel", "ModelDataUrl": "s3://box/many"});
    call(
        &hosting,
        "CreateModel",
        json!({"ModelName": "many", "PrimaryContainer": container}),
    )
    .unwrap();
    config(
        &hosting,
        "many",
        json!([variant("All", "many", 1.0)]),
        json!({}),
    );
    create(&hosting, "many", "many");
    status(&hosting, "many", "InService").await;
    for (target, code) in [
        (None, Some("ValidationError")),
        (Some("none.tar.gz"), Some("ValidationError")),
        (Some("broken.tar.gz"), Some("ModelError")),
        (Some("/x/1.tar.gz"), None),
        (Some("x/1.tar.gz"), None),
    ] {
        let asked = Asked {
            content_type: Some("text/csv".to_owned()),
            accept: None,
            body: "1,2".into(),
            ..Asked::default()
        };
        let invocation = Invocation {
            target_model: target.map(str::to_owned),
            ..Invocation::default()
        };
        let said = hosting.invoke(&caller(), "many", asked, &invocation).await;
        assert_eq!(said.err().map(|error| error.code), code, "{target:?}");
    }

    parrot(&hosting, "slow", json!({"SAYS": "slow", "WAITS": "1"}));
    let mut serverless = json!({"VariantName": "All", "ModelName": "slow"});
    serverless["ServerlessConfig"] = json!({"MemorySizeInMB": 1024, "MaxConcurrency": 1});
    config(&hosting, "slow", json!([serverless]), json!({}));
    create(&hosting, "slow", "slow");
    let said = status(&hosting, "slow", "InService").await;
    let one = &said["ProductionVariants"][0];
    assert_eq!(one["CurrentServerlessConfig"]["MaxConcurrency"], 1);
    assert!(one.get("CurrentInstanceCount").is_none());
    let hosting = Arc::new(hosting);
    let first = tokio::spawn({
        let hosting = Arc::clone(&hosting);
        async move { say(&hosting, "slow").await }
    });
    let asked = Arc::clone(&place.asked);
    until("the first is being answered", || {
        (asked.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let refused = say(&hosting, "slow").await.unwrap_err();
    assert_eq!((refused.code, refused.status), ("ThrottlingException", 429));
    place.permits.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap(), "slow ?");
    // Only the one of many models stays open.
    until("it is closed", || {
        (hosting.counts().models_open == 1).then_some(())
    })
    .await;
    place.permits.add_permits(1);
    assert_eq!(say(&hosting, "slow").await.unwrap(), "slow ?");
}

#[tokio::test]
async fn questions_and_answers_are_captured() {
    let place = Place::new();
    let hosting = place.open();
    parrot(&hosting, "m", json!({"SAYS": "m"}));
    config(
        &hosting,
        "c",
        json!([variant("All", "m", 1.0)]),
        json!({"DataCaptureConfig": {
            "EnableCapture": true, "InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://box/captured/",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/plain"]},
        }}),
    );
    create(&hosting, "e", "c");
    let said = status(&hosting, "e", "InService").await;
    let summary = json!({
        "EnableCapture": true, "CaptureStatus": "Started", "CurrentSamplingPercentage": 100,
        "DestinationS3Uri": "s3://box/captured/", "KmsKeyId": "",
    });
    assert_eq!(said["DataCaptureConfig"], summary);
    let invocation = Invocation {
        inference_id: Some("i".to_owned()),
        custom_attributes: Some("trace".to_owned()),
        ..Invocation::default()
    };
    for _ in 0..3 {
        ask(&hosting, "e", &invocation).await.unwrap();
    }
    drop(hosting);
    let mut lines = Vec::new();
    for one in place
        .objects
        .list("box", "captured/e/All/2", "", 100)
        .unwrap()
    {
        let parts: Vec<_> = one.key.split('/').collect();
        assert_eq!(parts.len(), 8, "{}", one.key);
        assert!(one.key.ends_with(".jsonl"));
        let bytes = place.object(&format!("s3://box/{}", one.key)).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        lines.extend(text.lines().map(str::to_owned));
    }
    assert_eq!(lines.len(), 3);
    let record: Value = serde_json::from_str(&lines[0]).unwrap();
    let part = |mode: &str, data: &str| json!({"observedContentType": "text/plain", "mode": mode, "data": data, "encoding": "CSV"});
    assert_eq!(
        record["captureData"],
        json!({"endpointInput": part("INPUT", "?"), "endpointOutput": part("OUTPUT", "m ?")})
    );
    let about = &record["eventMetadata"];
    assert_eq!(about["inferenceId"], "i");
    assert_eq!(about["customAttributes"], json!(["trace"]));
    assert!(about["inferenceTime"].as_str().unwrap().ends_with('Z'));
    assert_eq!(record["eventVersion"], "0");
}

fn asynchronous(hosting: &Hosting, name: &str, environment: Value) {
    parrot(hosting, name, environment);
    config(
        hosting,
        name,
        json!([variant("All", name, 1.0)]),
        json!({"AsyncInferenceConfig": {
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
            "OutputConfig": {"S3OutputPath": "s3://box/out/", "S3FailurePath": "s3://box/failed"},
        }}),
    );
    create(hosting, name, name);
}

#[tokio::test]
async fn questions_that_were_accepted_are_answered_after_a_crash() {
    let place = Place::new();
    place.objects.put("box", "in/1", b"one");
    let hosting = place.open();
    asynchronous(&hosting, "slow", json!({"SAYS": "slow", "WAITS": "1"}));
    status(&hosting, "slow", "InService").await;
    let refused = say(&hosting, "slow").await.unwrap_err();
    assert!(refused.message.contains("InvokeEndpointAsync"));
    let mut accepted = Vec::new();
    for at in 0..5 {
        let later = Later {
            input: (at > 0).then(|| "s3://box/in/1".to_owned()),
            body: (at == 0).then(|| "inline".into()),
            inference_id: Some(format!("id-{at}")),
            ..Later::default()
        };
        let one = hosting
            .invoke_async(&caller(), "slow", later)
            .await
            .unwrap();
        assert_eq!(one.inference_id, format!("id-{at}"));
        assert!(one.output.starts_with("s3://box/out/") && one.output.ends_with(".out"));
        assert!(
            one.failure
                .as_deref()
                .unwrap()
                .starts_with("s3://box/failed/")
        );
        accepted.push(one);
    }
    // No more than may be at a time.
    let asked = Arc::clone(&place.asked);
    until("two are being answered", || {
        (asked.load(Ordering::SeqCst) == 2).then_some(())
    })
    .await;
    assert_eq!(hosting.counts().later_waiting, 5);
    drop(hosting);
    place.permits.add_permits(100);
    let hosting = place.open();
    for (at, one) in accepted.iter().enumerate() {
        let body = until("the answer is there", || place.object(&one.output)).await;
        let wanted = if at == 0 { "slow inline" } else { "slow one" };
        assert_eq!(String::from_utf8(body).unwrap(), wanted);
    }
    until("all are forgotten", || {
        (hosting.counts().later_waiting == 0).then_some(())
    })
    .await;
    assert_eq!(hosting.counts().later_done, 5);
}

#[tokio::test]
async fn questions_that_fail_say_why_in_their_place() {
    let place = Place::new();
    let hosting = place.open();
    asynchronous(&hosting, "bad", json!({"FAILS": "400"}));
    status(&hosting, "bad", "InService").await;
    let put = async |later: Later| hosting.invoke_async(&caller(), "bad", later).await;
    let inline = Later {
        body: Some("x".into()),
        ..Later::default()
    };
    for (later, why) in [
        (inline.clone(), "Received client error (400) from primary"),
        (
            Later {
                input: Some("s3://box/none".to_owned()),
                ..Later::default()
            },
            "s3://box/none cannot be read: there is no object none",
        ),
        (
            Later {
                ttl: Some(0),
                ..inline.clone()
            },
            "The request expired at 2",
        ),
        (
            Later {
                extension: Some("/a/b".to_owned()),
                filename: Some("named".to_owned()),
                ..inline.clone()
            },
            "Received client error (400) from primary",
        ),
    ] {
        let later_named = later.filename.is_some();
        let one = put(later).await.unwrap();
        let failure = one.failure.unwrap();
        let said = until("it failed", || place.object(&failure)).await;
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with(why), "{said}");
        assert_eq!(place.object(&one.output), None);
        if later_named {
            assert_eq!(one.output, "s3://box/out/a/b/named");
        }
    }
    for later in [
        Later::default(),
        Later {
            input: Some("https://x".to_owned()),
            ..Later::default()
        },
        Later {
            input: Some("s3://box/x".to_owned()),
            ..inline.clone()
        },
    ] {
        assert_eq!(put(later).await.unwrap_err().code, "ValidationError");
    }
    sayer(&hosting, "direct");
    create(&hosting, "direct", "direct");
    status(&hosting, "direct", "InService").await;
    let refused = hosting.invoke_async(&caller(), "direct", inline).await;
    assert!(refused.unwrap_err().message.contains("not asynchronous"));
}
