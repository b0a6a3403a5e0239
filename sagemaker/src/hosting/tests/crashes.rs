//! Whatever is asked for and wherever the process ends, it comes to be.

use super::*;

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
