//! Questions: to whom they go, what is captured of them, and those that are answered later.

use super::*;

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
    let weights =
        json!([{"VariantName": "All", "ServerlessUpdateConfig": {"ProvisionedConcurrency": 2}}]);
    let input = json!({"EndpointName": "slow", "DesiredWeightsAndCapacities": weights});
    let refused = call(&hosting, "UpdateEndpointWeightsAndCapacities", input).unwrap_err();
    let why = &refused.message;
    assert!(why.contains("above its MaxConcurrency"), "{why}");
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

/// Whoever asks a model that takes long to open is told to ask again, and it is opened for them meanwhile.
#[tokio::test]
async fn a_model_that_is_being_opened_is_not_ready() {
    let place = Place::new();
    let mut options = Options {
        idle: Duration::ZERO,
        ..Options::default()
    };
    options.limits.patience = Duration::from_millis(50);
    let hosting = place.open_with(options);
    parrot(&hosting, "large", json!({"SAYS": "large", "HELD": "1"}));
    let mut serverless = json!({"VariantName": "All", "ModelName": "large"});
    serverless["ServerlessConfig"] = json!({"MemorySizeInMB": 1024, "MaxConcurrency": 4});
    config(&hosting, "large", json!([serverless]), json!({}));
    create(&hosting, "large", "large");
    status(&hosting, "large", "InService").await;
    until("it is closed", || {
        (hosting.counts().models_open == 0).then_some(())
    })
    .await;
    place.held.store(true, Ordering::SeqCst);
    let refused = say(&hosting, "large").await.unwrap_err();
    let code = (refused.code, refused.status);
    assert_eq!(code, ("ModelNotReadyException", 429), "{refused:?}");
    assert_eq!(
        refused.message,
        "The model is being opened. Wait and ask again."
    );
    place.held.store(false, Ordering::SeqCst);
    let began = Instant::now();
    let said = loop {
        match say(&hosting, "large").await {
            Ok(said) => break said,
            Err(error) => assert_eq!(error.code, "ModelNotReadyException", "{error:?}"),
        }
        assert!(began.elapsed() < DEADLINE, "it is never opened");
    };
    assert_eq!(said, "large ?");
}

/// A serverless variant that is given provisioned concurrency is open when the update has ended, and stays so; where there is no
/// room for that it remains what it was.
#[tokio::test]
async fn provisioned_concurrency_opens_a_model_at_once() {
    let place = Place::new();
    let mut options = Options {
        idle: Duration::ZERO,
        ..Options::default()
    };
    options.models.memory = 1;
    let hosting = place.open_with(options);
    for name in ["warm", "cold"] {
        parrot(&hosting, name, json!({"SAYS": name}));
        let mut serverless = json!({"VariantName": "All", "ModelName": name});
        serverless["ServerlessConfig"] = json!({"MemorySizeInMB": 1024, "MaxConcurrency": 4});
        config(&hosting, name, json!([serverless]), json!({}));
        create(&hosting, name, name);
        status(&hosting, name, "InService").await;
    }
    until("both are closed", || {
        (hosting.counts().models_open == 0).then_some(())
    })
    .await;
    let provision = |name: &str| {
        let update = json!({"ProvisionedConcurrency": 2});
        let weights = json!([{"VariantName": "All", "ServerlessUpdateConfig": update}]);
        let input = json!({"EndpointName": name, "DesiredWeightsAndCapacities": weights});
        call(&hosting, "UpdateEndpointWeightsAndCapacities", input).unwrap();
    };
    let loads = hosting.counts().model_loads;
    provision("warm");
    let said = status(&hosting, "warm", "InService").await;
    assert_eq!(hosting.counts().models_open, 1);
    assert_eq!(hosting.counts().model_loads, loads + 1);
    let config = &said["ProductionVariants"][0]["CurrentServerlessConfig"];
    assert_eq!(config["ProvisionedConcurrency"], 2);
    // All memory is the other's, which is not closed for it.
    provision("cold");
    let said = status(&hosting, "cold", "InService").await;
    let why = said["FailureReason"].as_str().unwrap();
    assert!(why.contains("bytes of memory"), "{why}");
    let config = &said["ProductionVariants"][0]["CurrentServerlessConfig"];
    assert!(config.get("ProvisionedConcurrency").is_none(), "{config}");
    assert_eq!(say(&hosting, "warm").await.unwrap(), "warm ?");
    assert_eq!(hosting.counts().model_loads, loads + 1);
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
    for _ in 0..2 {
        ask(&hosting, "e", &invocation).await.unwrap();
    }
    let (parts, mut heard, _) = Parts::new();
    let asked = Asked {
        content_type: Some("text/plain".to_owned()),
        body: "?".into(),
        parts: Some(parts),
        ..Asked::default()
    };
    let said = hosting.invoke(&caller(), "e", asked, &invocation).await;
    said.unwrap();
    // Whoever listens has not to wait until it is written down.
    assert_eq!(heard.try_recv(), Err(TryRecvError::Disconnected));
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

#[tokio::test]
async fn what_a_shadow_says_is_captured_beside() {
    let place = Place::new();
    let hosting = place.open();
    parrot(&hosting, "a", json!({"SAYS": "a"}));
    parrot(&hosting, "s", json!({"FAILS": "400"}));
    config(
        &hosting,
        "c",
        json!([variant("A", "a", 1.0)]),
        json!({
            "ShadowProductionVariants": [variant("S", "s", 1.0)],
            "DataCaptureConfig": {
                "InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://box/captured",
                "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
                "CaptureContentTypeHeader": {"CsvContentTypes": ["text/plain"]},
            },
        }),
    );
    create(&hosting, "e", "c");
    status(&hosting, "e", "InService").await;
    let invocation = Invocation {
        inference_id: Some("i".to_owned()),
        ..Invocation::default()
    };
    assert_eq!(ask(&hosting, "e", &invocation).await.unwrap(), "a ?");
    // The shadow is counted just before its answer is handed over, on this one thread.
    until("the shadow has answered", || {
        let counts = hosting.counts();
        let shadow = counts.variants.iter().find(|one| one.variant == "S");
        (shadow.unwrap().invocations == 1).then_some(())
    })
    .await;
    drop(hosting);
    for (variant, says) in [("A", "a ?"), ("S", "no")] {
        let folder = format!("captured/e/{variant}/");
        let listed = place.objects.list("box", &folder, "", 100).unwrap();
        assert_eq!(listed.len(), 1, "{variant}");
        let bytes = place
            .object(&format!("s3://box/{}", listed[0].key))
            .unwrap();
        let record: Value = serde_json::from_slice(&bytes).unwrap();
        let data = &record["captureData"];
        assert_eq!(data["endpointInput"]["data"], "?");
        assert_eq!(data["endpointOutput"]["data"], says);
        assert_eq!(record["eventMetadata"]["inferenceId"], "i");
    }
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
