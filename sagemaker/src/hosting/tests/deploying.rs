//! Endpoints come to be, change and go; what cannot be deployed says why.

use super::*;

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
            json!([{"VariantName": "a", "ModelName": "m", "ServerlessConfig":
                {"MemorySizeInMB": 1500, "MaxConcurrency": 1}}]),
            json!({}),
            "one of 1024, 2048",
        ),
        (
            json!([one, variant("b", "m", 1.0)]),
            json!({"ShadowProductionVariants": [variant("c", "m", 1.0)]}),
            "one production variant and one shadow",
        ),
        (
            json!([one]),
            json!({"DataCaptureConfig": {"DestinationS3Uri": "https://x/y", "InitialSamplingPercentage": 1, "CaptureOptions": []}}),
            "s3://BUCKET/KEY",
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
