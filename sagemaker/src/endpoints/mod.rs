//! Endpoints and their configurations.
//!
//! ```text
//! configs.rs  what is said of endpoints beforehand
//! plan.rs     what an endpoint is, as it is kept
//! shift.rs    how traffic goes over from old models to new ones, and alarms
//! live.rs     endpoints that answer, as an invocation sees them
//! deploy.rs   the threads that make of them what they are to be
//! ```
//!
//! The states in the store are the only truth: an endpoint that is `Creating`, `Updating`, `RollingBack` or `Deleting` is taken
//! up by [`deploy`], after a crash again, and every step may be done twice.

mod configs;
pub mod deploy;
pub mod live;
pub mod plan;
pub mod shift;

use crate::models::{Models, name};
use crate::names::{Caller, Kind, now, seconds};
use crate::refusal::{Refusal, Result};
use crate::store::{Error as StoreError, Resource, Store};
use crate::{lists, tags};
use live::{Live, Table};
use plan::{Endpoint, Pending, Plan, VariantPlan};
use serde_json::{Map, Value, json};
use shift::Shift;
use std::sync::Arc;

/// Its models are being opened.
pub const CREATING: &str = "Creating";
/// It answers.
pub const IN_SERVICE: &str = "InService";
/// It answers, and will answer with something else.
pub const UPDATING: &str = "Updating";
/// It goes back to what it was.
pub const ROLLING_BACK: &str = "RollingBack";
/// It could not go back.
pub const ROLLBACK_FAILED: &str = "UpdateRollbackFailed";
/// It goes away.
pub const DELETING: &str = "Deleting";
/// It never answered.
pub const FAILED: &str = "Failed";

/// The operations on endpoints and their configurations.
pub struct Endpoints {
    store: Arc<Store>,
    models: Arc<Models>,
    table: Arc<Table>,
}

impl Endpoints {
    /// The endpoints of a store.
    pub fn new(store: Arc<Store>, models: Arc<Models>, table: Arc<Table>) -> Self {
        Self {
            store,
            models,
            table,
        }
    }

    /// The operations on endpoints and their configurations; none of the others. Whoever deploys is to look afterwards.
    pub fn call(&self, caller: &Caller, operation: &str, input: &Value) -> Option<Result<Value>> {
        let store = &self.store;
        Some(match operation {
            "CreateEndpointConfig" => configs::create(store, &self.models, caller, input),
            "DescribeEndpointConfig" => configs::describe(store, caller, input),
            "ListEndpointConfigs" => configs::listed(store, input),
            "DeleteEndpointConfig" => configs::delete(store, caller, input),
            "CreateEndpoint" => self.create(caller, input),
            "DescribeEndpoint" => self.describe(caller, input),
            "ListEndpoints" => self.list(input),
            "UpdateEndpoint" => self.update(caller, input),
            "UpdateEndpointWeightsAndCapacities" => self.weigh(caller, input),
            "DeleteEndpoint" => self.delete(caller, input),
            _ => return None,
        })
    }

    /// What a configuration says now.
    fn plan(&self, caller: &Caller, input: &Value) -> Result<Plan> {
        let config = configs::get(&self.store, caller, &name(input, "EndpointConfigName"))?;
        Plan::of(&config, |name| self.models.get(caller, name))
    }

    fn create(&self, caller: &Caller, input: &Value) -> Result<Value> {
        let name = name(input, "EndpointName");
        let plan = self.plan(caller, input)?;
        let deployment = input.get("DeploymentConfig").cloned();
        Shift::of(deployment.as_ref(), plan.instances())?;
        let arn = caller.arn(Kind::Endpoint, &name);
        let tags = tags::taken(&mut input.clone())?;
        let endpoint = Endpoint {
            current: plan,
            deployed: None,
            pending: None,
            deployment,
            failure: None,
        };
        let mut kept = Resource {
            kind: Kind::Endpoint,
            created: now(),
            modified: now(),
            status: CREATING.to_owned(),
            arn: arn.clone(),
            name,
            body: Value::Null,
        };
        endpoint.keep(&mut kept);
        match self.store.create(&kept, &tags) {
            Ok(()) => Ok(json!({"EndpointArn": arn})),
            Err(StoreError::Exists(arn)) => Err(Refusal::exists(Kind::Endpoint.words(), &arn)),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes an endpoint that is in service, in one step.
    fn change(
        &self,
        caller: &Caller,
        name: &str,
        change: impl FnOnce(&mut Endpoint) -> Result<()>,
    ) -> Result<Value> {
        let changed = self.store.update(Kind::Endpoint, name, |kept| {
            match kept.status.as_str() {
                IN_SERVICE | ROLLBACK_FAILED => {}
                FAILED => {
                    return Err(Refusal::validation(format!(
                        "Cannot update endpoint \"{}\": it is Failed, and can only be deleted.",
                        kept.arn
                    )));
                }
                _ => return Err(in_progress(&kept.arn)),
            }
            let mut endpoint = Endpoint::of(kept)?;
            change(&mut endpoint)?;
            endpoint.failure = None;
            endpoint.keep(kept);
            kept.status = UPDATING.to_owned();
            kept.modified = now();
            Ok(json!({"EndpointArn": kept.arn}))
        })?;
        changed.ok_or_else(|| absent(caller, name))
    }

    fn update(&self, caller: &Caller, input: &Value) -> Result<Value> {
        let flag = |name: &str| input.get(name).and_then(Value::as_bool) == Some(true);
        let name = name(input, "EndpointName");
        // What is not there is said first.
        self.get(caller, &name)?;
        let mut plan = self.plan(caller, input)?;
        let excluded = input.get("ExcludeRetainedVariantProperties");
        let excluded = excluded.and_then(Value::as_array).into_iter().flatten();
        let excluded: Vec<_> = excluded
            .filter_map(|one| one.get("VariantPropertyType")?.as_str())
            .collect();
        let retained = |name: &str| flag("RetainAllVariantProperties") && !excluded.contains(&name);
        self.change(caller, &name, |endpoint| {
            let deployment = match flag("RetainDeploymentConfig") {
                true => endpoint.deployment.clone(),
                false => input.get("DeploymentConfig").cloned(),
            };
            for variant in &mut plan.variants {
                let before = &endpoint.current.variants;
                let before = before.iter().find(|before| before.name == variant.name);
                if let Some(before) = before {
                    if retained("DesiredWeight") {
                        variant.weight = before.weight;
                    }
                    if retained("DesiredInstanceCount") {
                        variant.count = before.count;
                    }
                }
            }
            if retained("DataCaptureConfig") {
                plan.capture = endpoint.current.capture.clone();
            }
            Shift::of(deployment.as_ref(), plan.instances())?;
            endpoint.pending = Some(Pending {
                plan,
                since: now(),
                weights: false,
                deployment,
            });
            Ok(())
        })
    }

    fn weigh(&self, caller: &Caller, input: &Value) -> Result<Value> {
        let name = name(input, "EndpointName");
        let wanted = input.get("DesiredWeightsAndCapacities");
        let wanted = wanted.and_then(Value::as_array).cloned();
        self.change(caller, &name, |endpoint| {
            let mut plan = endpoint.current.clone();
            for wanted in wanted.iter().flatten() {
                let own = wanted.get("VariantName").and_then(Value::as_str);
                let own = own.unwrap_or_default();
                let found = plan.variants.iter_mut().find(|one| one.name == own);
                let Some(variant) = found else {
                    return Err(Refusal::validation(format!(
                        "The variant \"{own}\" is not one of the endpoint's."
                    )));
                };
                if let Some(weight) = wanted.get("DesiredWeight").and_then(Value::as_f64) {
                    variant.weight = weight;
                }
                if let Some(count) = wanted.get("DesiredInstanceCount").and_then(Value::as_u64) {
                    variant.count = count;
                }
                let update = wanted.get("ServerlessUpdateConfig");
                if let Some(update) = update.and_then(Value::as_object) {
                    let Some(config) = &mut variant.serverless else {
                        return Err(Refusal::validation(format!(
                            "The variant \"{own}\" is not serverless."
                        )));
                    };
                    if let Some(config) = config.as_object_mut() {
                        config.extend(update.clone());
                    }
                    configs::check_serverless(own, config)?;
                }
            }
            endpoint.pending = Some(Pending {
                plan,
                since: now(),
                weights: true,
                deployment: endpoint.deployment.clone(),
            });
            Ok(())
        })
    }

    fn delete(&self, caller: &Caller, input: &Value) -> Result<Value> {
        let name = name(input, "EndpointName");
        let changed = self.store.update(Kind::Endpoint, &name, |kept| {
            match kept.status.as_str() {
                IN_SERVICE | ROLLBACK_FAILED | FAILED => {}
                _ => return Err(in_progress(&kept.arn)),
            }
            kept.status = DELETING.to_owned();
            kept.modified = now();
            Ok(json!({}))
        })?;
        changed.ok_or_else(|| absent(caller, &name))
    }

    fn list(&self, input: &Value) -> Result<Value> {
        let page = lists::page(&self.store, Kind::Endpoint, input, "StatusEquals")?;
        Ok(lists::answer("Endpoints", &page, |endpoint| {
            json!({
                "EndpointName": endpoint.name,
                "EndpointArn": endpoint.arn,
                "CreationTime": seconds(endpoint.created),
                "LastModifiedTime": seconds(endpoint.modified),
                "EndpointStatus": endpoint.status,
            })
        }))
    }

    fn get(&self, caller: &Caller, name: &str) -> Result<Resource> {
        let found = self.store.get(Kind::Endpoint, name)?;
        found.ok_or_else(|| absent(caller, name))
    }

    fn describe(&self, caller: &Caller, input: &Value) -> Result<Value> {
        let kept = self.get(caller, &name(input, "EndpointName"))?;
        let endpoint = Endpoint::of(&kept)?;
        let live = self.table.live(&kept.name);
        let mut answer = Map::new();
        let mut put = |name: &str, value: Value| {
            answer.insert(name.to_owned(), value);
        };
        put("EndpointName", kept.name.as_str().into());
        put("EndpointArn", kept.arn.as_str().into());
        put(
            "EndpointConfigName",
            endpoint.current.config.as_str().into(),
        );
        put("EndpointStatus", kept.status.as_str().into());
        put("CreationTime", seconds(kept.created));
        put("LastModifiedTime", seconds(kept.modified));
        if let Some(why) = &endpoint.failure {
            put("FailureReason", why.as_str().into());
        }
        if let Some(deployment) = &endpoint.deployment {
            put("LastDeploymentConfig", deployment.clone());
        }
        if let Some(since) = endpoint.deployed {
            let desired = endpoint.pending.as_ref().filter(|pending| pending.weights);
            let desired = desired.map_or(&endpoint.current, |pending| &pending.plan);
            for (member, current, desired) in [
                (
                    "ProductionVariants",
                    &endpoint.current.variants,
                    &desired.variants,
                ),
                (
                    "ShadowProductionVariants",
                    &endpoint.current.shadows,
                    &desired.shadows,
                ),
            ] {
                let pairs = current.iter().zip(desired);
                let list: Vec<_> = pairs
                    .map(|(current, desired)| summary(current, desired, since))
                    .collect();
                if !list.is_empty() {
                    put(member, list.into());
                }
            }
        }
        if let Some(capture) = &endpoint.current.capture {
            put("DataCaptureConfig", captured(capture, kept.status.as_str()));
        }
        if let Some(config) = &endpoint.current.asynchronous {
            put("AsyncInferenceConfig", config.clone());
        }
        if let Some(pending) = endpoint.pending.filter(|pending| !pending.weights) {
            put(
                "PendingDeploymentSummary",
                coming(&pending, live.as_deref()),
            );
        }
        Ok(Value::Object(answer))
    }
}

fn absent(caller: &Caller, name: &str) -> Refusal {
    let kind = Kind::Endpoint;
    Refusal::absent(kind.words(), &caller.arn(kind, name))
}

fn in_progress(arn: &str) -> Refusal {
    Refusal::validation(format!("Cannot update in-progress endpoint \"{arn}\"."))
}

fn images(variant: &VariantPlan, since: i64) -> Value {
    json!([{
        "SpecifiedImage": variant.model.image,
        "ResolvedImage": variant.model.image,
        "ResolutionTime": seconds(since),
    }])
}

/// What is said of a variant that answers.
fn summary(current: &VariantPlan, desired: &VariantPlan, since: i64) -> Value {
    let mut said = json!({
        "VariantName": current.name,
        "DeployedImages": images(current, since),
        "CurrentWeight": current.weight,
        "DesiredWeight": desired.weight,
    });
    capacity(&mut said, Some(current), desired);
    said
}

fn capacity(said: &mut Value, current: Option<&VariantPlan>, desired: &VariantPlan) {
    match &desired.serverless {
        Some(config) => {
            said["DesiredServerlessConfig"] = config.clone();
            if let Some(current) = current.and_then(|current| current.serverless.as_ref()) {
                said["CurrentServerlessConfig"] = current.clone();
            }
        }
        None => {
            said["DesiredInstanceCount"] = desired.count.into();
            said["CurrentInstanceCount"] = current.map_or(0, |current| current.count).into();
        }
    }
}

/// What is said of what an endpoint is to become.
fn coming(pending: &Pending, live: Option<&Live>) -> Value {
    let share = live.and_then(|live| live.next.as_ref());
    // All traffic goes there before the store says so.
    let over = live.is_some_and(|live| live.current.since == Some(pending.since));
    let share = match over {
        true => Some(1.0),
        false => share.map(|(_, share)| *share),
    };
    let stage = match share {
        None => "Creating",
        Some(share) if share < 1.0 => "ActivatingTraffic",
        Some(_) => "Baking",
    };
    let summaries = |plans: &[VariantPlan]| -> Vec<Value> {
        let said = plans.iter().map(|plan| {
            let mut said = json!({
                "VariantName": plan.name,
                "DeployedImages": images(plan, pending.since),
                "CurrentWeight": plan.weight * share.unwrap_or(0.0),
                "DesiredWeight": plan.weight,
                "VariantStatus": [{"Status": stage, "StartTime": seconds(pending.since)}],
            });
            if let Some(instance) = &plan.instance {
                said["InstanceType"] = instance.as_str().into();
            }
            capacity(&mut said, share.map(|_| plan), plan);
            said
        });
        said.collect()
    };
    let mut said = json!({
        "EndpointConfigName": pending.plan.config,
        "StartTime": seconds(pending.since),
        "ProductionVariants": summaries(&pending.plan.variants),
    });
    if !pending.plan.shadows.is_empty() {
        said["ShadowProductionVariants"] = summaries(&pending.plan.shadows).into();
    }
    said
}

/// What is said of data capture. AWS declares that there is always a key.
fn captured(capture: &Value, status: &str) -> Value {
    // It is on where nothing is said.
    let enabled = capture.get("EnableCapture").and_then(Value::as_bool) != Some(false);
    let started = enabled && !matches!(status, CREATING | FAILED | DELETING);
    let member = |name: &str| capture.get(name).cloned();
    json!({
        "EnableCapture": enabled,
        "CaptureStatus": if started { "Started" } else { "Stopped" },
        "CurrentSamplingPercentage": member("InitialSamplingPercentage").unwrap_or(0.into()),
        "DestinationS3Uri": member("DestinationS3Uri").unwrap_or("".into()),
        "KmsKeyId": member("KmsKeyId").unwrap_or("".into()),
    })
}
