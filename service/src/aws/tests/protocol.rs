//! The protocol: targets, bodies, ids, and failures from before the door.

use super::*;

#[tokio::test]
async fn operations_that_are_not_built_say_so() {
    let client = client();
    let (mut built, mut missing) = (0, 0);
    let services = Models::get().expect("models are well-formed").services();
    // Of the others the models have the shapes of those that are built, and the names of the rest.
    for service in &services[..2] {
        for operation in service.operations() {
            let answer = client
                .post(
                    &format!("{}.{}", service.target_prefix, operation.name),
                    "{}",
                )
                .await;
            assert_eq!(
                answer.name,
                OperationName {
                    service: service.id.name(),
                    operation: &operation.name
                }
            );
            if answer.code() == "NotImplementedException" {
                assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
                assert!(
                    answer.message().contains(&operation.name),
                    "{}",
                    answer.message()
                );
                missing += 1;
            } else {
                // What DetectEntities needs depends on its form, which the service model cannot say.
                // ListCollections needs nothing, but a folder that these doors do not have.
                let (status, code) = match operation.name.as_str() {
                    "DetectEntities" => (400, "InvalidRequestException"),
                    "ListCollections" => (503, "ServiceUnavailableException"),
                    // Nor do lists of jobs, but something that keeps these.
                    name if name.starts_with("List") && name.ends_with("Jobs") => {
                        (503, "ServiceUnavailableException")
                    }
                    _ => (400, "ValidationException"),
                };
                assert_eq!(
                    (answer.status, answer.code()),
                    (status, code),
                    "{}",
                    operation.name
                );
                built += 1;
            }
        }
    }
    assert_eq!((built, built + missing), (72, 160));
    for (target, status, code) in [
        ("SageMaker.CreatePipeline", 501, "NotImplementedException"),
        ("SageMaker.CreatePipe", 400, "UnknownOperationException"),
        ("Logs_20140328.PutLogEvents", 501, "NotImplementedException"),
        ("SageMaker.DescribeModel", 400, "ValidationException"),
        // Nothing keeps them behind these doors.
        ("SageMaker.ListModels", 503, "ServiceUnavailableException"),
        (
            "Logs_20140328.DescribeLogGroups",
            503,
            "ServiceUnavailableException",
        ),
    ] {
        let answer = client.post(target, "{}").await;
        let said = (answer.status, answer.code());
        assert_eq!(said, (status, code), "{target}");
    }
    // Every operation that is announced can be read.
    for (id, names) in [
        (Id::Comprehend, super::super::comprehend::OPERATIONS),
        (Id::Rekognition, super::super::rekognition::OPERATIONS),
    ] {
        assert!(
            names
                .iter()
                .all(|name| service(id).operation(name).is_some())
        );
    }
}

#[tokio::test]
async fn unknown_targets_make_no_labels() {
    let client = client();
    for (target, service) in [
        ("Comprehend_20171127.DetectMood", "comprehend"),
        ("Comprehend_20171127.detectsentiment", "comprehend"),
        ("Comprehend_20171127.", "comprehend"),
        ("DynamoDB_20120810.ListTables", "aws"),
        ("DetectLabels", "aws"),
        (".", "aws"),
    ] {
        let answer = client.post(target, "{}").await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "UnknownOperationException"),
            "{target}"
        );
        assert_eq!(
            answer.name,
            OperationName {
                service,
                operation: "unknown"
            }
        );
    }
    let bare = client
        .send(HttpRequest::post("/").body(Bytes::new()).expect("request"))
        .await;
    assert_eq!(
        (bare.status, bare.code()),
        (400, "UnknownOperationException")
    );
}

#[tokio::test]
async fn bodies_that_are_no_requests_are_serialization_errors() {
    let client = client();
    let deep = "{\"Text\":".repeat(10_000) + "1" + &"}".repeat(10_000);
    for body in [
        "",
        "{",
        "null",
        "[]",
        "\"x\"",
        "{\"Text\":1}",
        "{\"Text\":\"a\"",
        "{\"Text\":\"\\ud800\"}",
        deep.as_str(),
    ] {
        let answer = client
            .post(
                "Comprehend_20171127.DetectDominantLanguage",
                body.to_owned(),
            )
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "SerializationException"),
            "{body:.40}"
        );
        assert!(answer.body["Message"].is_string());
    }
}

#[tokio::test]
async fn the_servers_id_deadline_and_place_for_the_name_are_used() {
    let client = client();
    let (operation, deadline) = (
        Operation::default(),
        Instant::now() + Duration::from_secs(7),
    );
    let mut request = HttpRequest::post("/")
        .header("x-amz-target", "RekognitionService.DetectLabels")
        .body(Bytes::from_static(br#"{"Image":{"Bytes":"AAAA"}}"#))
        .expect("request");
    request
        .extensions_mut()
        .insert(RequestId("caller-1".into()));
    request.extensions_mut().insert(operation.clone());
    request.extensions_mut().insert(Deadline(deadline));
    let answer = client.send(request).await;
    assert_eq!(
        (answer.status, &answer.headers["x-amzn-requestid"]),
        (200, &"caller-1".parse().expect("header"))
    );
    assert_eq!(client.double.images.lock()[0].1.deadline, Some(deadline));
    assert!(
        format!("{operation:?}").contains("rekognition.DetectLabels"),
        "{operation:?}"
    );
}

#[tokio::test]
async fn failures_from_before_the_door_have_its_form() {
    for (status, code) in [
        (400, "SerializationException"),
        (403, "AccessDeniedException"),
        (413, "RequestEntityTooLargeException"),
        (408, "RequestTimeoutException"),
        (429, "ThrottlingException"),
        (500, "InternalFailure"),
        (503, "ServiceUnavailableException"),
    ] {
        let status = StatusCode::from_u16(status).expect("status");
        let response = refused(status, "why", "id-1");
        assert_eq!(
            (response.status(), &response.headers()["x-amzn-requestid"]),
            (status, &"id-1".parse().expect("header"))
        );
        let body = response
            .into_body()
            .collect()
            .await
            .expect("body")
            .to_bytes();
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let member = match code {
            "SerializationException" => "Message",
            _ => "message",
        };
        assert_eq!(body, json!({"__type": code, member: "why"}));
    }
}
