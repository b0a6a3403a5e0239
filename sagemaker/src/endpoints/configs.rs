//! Endpoint configurations: kept as they were given.

use crate::models::{Definition, Models, name};
use crate::names::{ADDRESSES, Caller, Kind, now, s3, seconds};
use crate::refusal::{Refusal, Result};
use crate::store::{Error as StoreError, Resource, Store};
use crate::{lists, tags};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// `CreateEndpointConfig`.
pub(super) fn create(
    store: &Store,
    models: &Models,
    caller: &Caller,
    input: &Value,
) -> Result<Value> {
    let name = name(input, "EndpointConfigName");
    check(models, caller, input)?;
    let arn = caller.arn(Kind::EndpointConfig, &name);
    let mut body = input.clone();
    let tags = tags::taken(&mut body)?;
    let config = Resource {
        kind: Kind::EndpointConfig,
        created: now(),
        modified: now(),
        status: String::new(),
        arn: arn.clone(),
        name,
        body,
    };
    match store.create(&config, &tags) {
        Ok(()) => Ok(json!({"EndpointConfigArn": arn})),
        Err(StoreError::Exists(arn)) => Err(Refusal::exists(Kind::EndpointConfig.words(), &arn)),
        Err(error) => Err(error.into()),
    }
}

fn list<'a>(of: &'a Value, member: &str) -> &'a [Value] {
    let list = of.get(member).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

fn check(models: &Models, caller: &Caller, input: &Value) -> Result<()> {
    let refuse = |why: String| Err(Refusal::validation(why));
    for (member, why) in [
        (
            "ExplainerConfig",
            "there are no explanations here: leave ExplainerConfig out",
        ),
        (
            "CrossRegionTrafficConfig",
            "there is one region here: leave CrossRegionTrafficConfig out",
        ),
    ] {
        if input.get(member).is_some() {
            return refuse(format!("{member} is not accepted; {why}."));
        }
    }
    let variants = list(input, "ProductionVariants");
    let shadows = list(input, "ShadowProductionVariants");
    if !shadows.is_empty() && (variants.len() > 1 || shadows.len() > 1) {
        return refuse(
            "With ShadowProductionVariants there is one production variant and one shadow variant."
                .to_owned(),
        );
    }
    let asynchronous = input.get("AsyncInferenceConfig");
    let mut names = HashSet::new();
    for variant in variants.iter().chain(shadows) {
        let text = |name: &str| variant.get(name).and_then(Value::as_str);
        let own = text("VariantName").unwrap_or_default();
        if !names.insert(own) {
            return refuse(format!(
                "Variant names must be unique; \"{own}\" is there twice."
            ));
        }
        let Some(model) = text("ModelName") else {
            return refuse(format!(
                "The variant \"{own}\" needs a ModelName; inference components are not known here."
            ));
        };
        if variant.get("InstancePools").is_some() {
            return refuse(format!(
                "The variant \"{own}\" has InstancePools, which are not known here: InstanceType and InitialInstanceCount are."
            ));
        }
        let many = Definition::of(&models.get(caller, model)?).is_some_and(|model| model.many);
        let serverless = variant.get("ServerlessConfig").is_some();
        if !serverless && text("InstanceType").is_none() {
            return refuse(format!(
                "The variant \"{own}\" needs an InstanceType, or a ServerlessConfig."
            ));
        }
        if let Some(config) = variant.get("ServerlessConfig") {
            check_serverless(own, config)?;
        }
        if serverless && variant.get("InitialInstanceCount").is_some() {
            return refuse(format!(
                "The variant \"{own}\" has a ServerlessConfig; it can have no InitialInstanceCount."
            ));
        }
        if many && asynchronous.is_some() {
            return refuse(format!(
                "The variant \"{own}\" has a multi-model; InvokeEndpointAsync cannot say which of its models is asked."
            ));
        }
        if serverless && (many || asynchronous.is_some() || !shadows.is_empty()) {
            return refuse(format!(
                "The variant \"{own}\" is serverless; it can be neither a multi-model, nor asynchronous, nor have a shadow."
            ));
        }
    }
    if let Some(capture) = input.get("DataCaptureConfig") {
        address(
            capture,
            "DestinationS3Uri",
            "DataCaptureConfig.DestinationS3Uri",
        )?;
    }
    if let Some(output) = asynchronous.and_then(|config| config.get("OutputConfig")) {
        if output.get("NotificationConfig").is_some_and(|config| {
            config.get("SuccessTopic").is_some() || config.get("ErrorTopic").is_some()
        }) {
            return refuse(
                "There are no topics of SNS here: leave NotificationConfig out, and look for the output's object.".to_owned(),
            );
        }
        address(output, "S3OutputPath", "OutputConfig.S3OutputPath")?;
        if output.get("S3FailurePath").is_some() {
            address(output, "S3FailurePath", "OutputConfig.S3FailurePath")?;
        }
    }
    Ok(())
}

/// What a `ServerlessConfig` may say of a variant.
pub(super) fn check_serverless(variant: &str, config: &Value) -> Result<()> {
    let number = |name: &str| config.get(name).and_then(Value::as_u64);
    if number("ProvisionedConcurrency") > number("MaxConcurrency") {
        return Err(Refusal::validation(format!(
            "The variant \"{variant}\" has a ProvisionedConcurrency above its MaxConcurrency."
        )));
    }
    // From 1 to 6 GB.
    let memory = number("MemorySizeInMB");
    if let Some(memory) = memory.filter(|memory| !(1..=6).any(|times| *memory == times * 1024)) {
        return Err(Refusal::validation(format!(
            "The variant \"{variant}\" has a MemorySizeInMB of {memory}; it is one of 1024, 2048, 3072, 4096, 5120 and 6144."
        )));
    }
    Ok(())
}

fn address(of: &Value, member: &str, called: &str) -> Result<()> {
    let said = of.get(member).and_then(Value::as_str).unwrap_or_default();
    match s3(said) {
        Some(_) => Ok(()),
        None => Err(Refusal::validation(format!(
            "{called} is \"{said}\"; it must be an address like {ADDRESSES}."
        ))),
    }
}

/// The configuration of a name.
pub(super) fn get(store: &Store, caller: &Caller, name: &str) -> Result<Resource> {
    let found = store.get(Kind::EndpointConfig, name)?;
    found.ok_or_else(|| absent(caller, name))
}

fn absent(caller: &Caller, name: &str) -> Refusal {
    let kind = Kind::EndpointConfig;
    Refusal::absent(kind.words(), &caller.arn(kind, name))
}

/// `DescribeEndpointConfig`.
pub(super) fn describe(store: &Store, caller: &Caller, input: &Value) -> Result<Value> {
    let config = get(store, caller, &name(input, "EndpointConfigName"))?;
    let mut answer = match config.body {
        Value::Object(body) => body,
        _ => Map::new(),
    };
    answer
        .entry("EnableNetworkIsolation")
        .or_insert(false.into());
    answer.insert("EndpointConfigArn".into(), config.arn.into());
    answer.insert("CreationTime".into(), seconds(config.created));
    Ok(Value::Object(answer))
}

/// `ListEndpointConfigs`.
pub(super) fn listed(store: &Store, input: &Value) -> Result<Value> {
    let page = lists::page(store, Kind::EndpointConfig, input, "")?;
    Ok(lists::answer("EndpointConfigs", &page, |config| {
        json!({
            "EndpointConfigName": config.name,
            "EndpointConfigArn": config.arn,
            "CreationTime": seconds(config.created),
        })
    }))
}

/// `DeleteEndpointConfig`. Endpoints that were made with it have taken up what it says.
pub(super) fn delete(store: &Store, caller: &Caller, input: &Value) -> Result<Value> {
    let name = name(input, "EndpointConfigName");
    match store.delete(Kind::EndpointConfig, &name)? {
        true => Ok(json!({})),
        false => Err(absent(caller, &name)),
    }
}
