//! Traffic goes over to a new set under load, and back when an alarm says so.

use super::*;

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
