//! SageMaker's resources, made and waited for.
#![allow(dead_code)] // each test file uses a part

use super::{Answer, Server, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

/// For anything that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(120);
const ROLE: &str = "arn:aws:iam::123456789012:role/r";

/// An operation.
pub fn call(server: &Server, operation: &str, input: &Value) -> Answer {
    let target = format!("SageMaker.{operation}");
    server.aws(&target, input.to_string().as_bytes())
}

/// The status of a resource; none where there is none.
pub fn status(server: &Server, kind: &str, name: &str) -> Option<String> {
    let member = format!("{kind}Name");
    let described = call(server, &format!("Describe{kind}"), &json!({member: name}));
    match described.status {
        200 => described.json()[format!("{kind}Status")]
            .as_str()
            .map(str::to_owned),
        _ => None,
    }
}

/// A request for a model of a container.
pub fn model(name: &str, container: &Value) -> Value {
    json!({"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": ROLE})
}

/// A request for a configuration with one variant.
pub fn config(name: &str, model: &str) -> Value {
    json!({"EndpointConfigName": name, "ProductionVariants": [{
        "VariantName": "all", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}]})
}

/// An endpoint of a model, once it answers.
pub fn host(server: &Server, name: &str, model: &str) {
    call(server, "CreateEndpointConfig", &config(name, model)).ok();
    let endpoint = json!({"EndpointName": name, "EndpointConfigName": name});
    call(server, "CreateEndpoint", &endpoint).ok();
    wait_for("the endpoint", PATIENCE, || {
        let described = call(server, "DescribeEndpoint", &json!({"EndpointName": name})).ok();
        assert_ne!(described["EndpointStatus"], "Failed", "{described}");
        described["EndpointStatus"] == "InService"
    });
}

/// A container's model data: files below a prefix of a bucket, which is there.
pub fn data(server: &Server, bucket: &str, prefix: &str, files: &[(String, Vec<u8>)]) -> Value {
    for (file, bytes) in files {
        let put = server.s3("PUT", &format!("/{bucket}/{prefix}/{file}"), bytes);
        assert_eq!(put.status, 200, "{put:?}");
    }
    let place = format!("s3://{bucket}/{prefix}/");
    json!({"S3DataSource": {"S3Uri": place, "S3DataType": "S3Prefix", "CompressionType": "None"}})
}

/// Rows whose label is whether the first number is above the second.
pub fn rows(count: u32) -> String {
    let row = |number: u32| {
        let (one, other) = (number * 37 % 101, number * 53 % 103);
        format!("{},{one},{other}\n", u8::from(one > other))
    };
    (0..count).map(row).collect()
}

/// The same without their labels.
pub fn bare_rows(count: u32) -> String {
    let rows = rows(count);
    let bare = rows.lines().filter_map(|row| row.split_once(','));
    bare.map(|(_, row)| format!("{row}\n")).collect()
}

/// The bucket `lake` with rows to learn from.
pub fn bucket(server: &Server) {
    assert_eq!(server.s3("PUT", "/lake", b"").status, 200);
    let put = server.s3("PUT", "/lake/train/rows.csv", rows(500).as_bytes());
    assert_eq!(put.status, 200, "{put:?}");
}

/// A request for trees of these rows.
pub fn training(name: &str, rounds: u32) -> Value {
    json!({
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": "xgboost", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "InputDataConfig": [{"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": "s3://lake/train/"}}}],
        "OutputDataConfig": {"S3OutputPath": "s3://lake/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "HyperParameters": {"num_round": rounds.to_string(), "objective": "binary:logistic"},
    })
}

/// Trains a model and makes it a resource.
pub fn trained(server: &Server, name: &str) {
    call(server, "CreateTrainingJob", &training(name, 10)).ok();
    wait_for("the training", PATIENCE, || {
        status(server, "TrainingJob", name).as_deref() == Some("Completed")
    });
    let data = format!("s3://lake/models/{name}/output/model.tar.gz");
    let container = json!({"Image": "xgboost", "ModelDataUrl": data});
    call(server, "CreateModel", &model(name, &container)).ok();
}
