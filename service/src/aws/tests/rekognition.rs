//! Rekognition: what its operations answer, and what they refuse.

use super::*;
use crate::app::Unavailable;
use crate::gallery::Gallery;
use std::collections::BTreeSet;

/// How long a condition may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of a door that keeps collections in a folder, which goes with it.
fn collector() -> (tempfile::TempDir, Client) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut client = client();
    let limits = escala_collections::Limits::default();
    let path = Ok(folder.path().to_owned());
    client.aws.images.gallery = Arc::new(Gallery::new(path, limits, Arc::new(Unavailable)));
    (folder, client)
}

/// Whose caller leaves before it is answered has still made the user, and who comes again with the token is told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_known_though_its_caller_has_left() {
    let (_folder, client) = collector();
    let people = json!({"CollectionId": "people"});
    let made = client.rekognition("CreateCollection", people.clone()).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let ada = json!({"CollectionId": "people", "UserId": "ada", "ClientRequestToken": "once"});
    tokio::select! {
        biased;
        answer = client.rekognition("CreateUser", ada.clone()) => panic!("{}", answer.body),
        () = async {} => (),
    }
    let began = Instant::now();
    loop {
        let users = client.rekognition("ListUsers", people.clone()).await.body;
        if users["Users"][0]["UserId"] == "ada" {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{users}");
        tokio::task::yield_now().await;
    }
    let again = client.rekognition("CreateUser", ada).await;
    assert_eq!((again.status, again.body), (200, json!({})));
    let eve = json!({"CollectionId": "people", "UserId": "eve", "ClientRequestToken": "once"});
    let refused = client.rekognition("CreateUser", eve).await;
    assert_eq!(refused.code(), "IdempotentParameterMismatchException");
}

/// Tokens of pages are such as the model takes, however long ids are.
#[tokio::test]
async fn collections_with_long_ids_are_listed_in_pages() {
    let (_folder, client) = collector();
    let ids: Vec<String> = (0..5)
        .map(|number| format!("{}{number}", "x".repeat(254)))
        .collect();
    for id in &ids {
        let made = client
            .rekognition("CreateCollection", json!({"CollectionId": id}))
            .await;
        assert_eq!(made.status, 200, "{}", made.body);
    }
    let (mut listed, mut token) = (BTreeSet::new(), Value::Null);
    for page in 0..3 {
        let body = json!({"MaxResults": 2, "NextToken": token});
        let answer = client.rekognition("ListCollections", body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let some = answer.body["CollectionIds"]
            .as_array()
            .expect("a list")
            .clone();
        assert_eq!(some.len(), if page == 2 { 1 } else { 2 });
        listed.extend(
            some.into_iter()
                .map(|id| id.as_str().expect("an id").to_owned()),
        );
        token = answer.body["NextToken"].clone();
        assert_eq!(token.is_null(), page == 2);
    }
    assert_eq!(listed, BTreeSet::from_iter(ids));
}

#[tokio::test]
async fn labels_of_an_image() {
    let client = client();
    let image = STANDARD.encode(b"encoded image");
    let answer = client
        .rekognition("DetectLabels", json!({"Image": {"Bytes": image}}))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        json!({
            "Labels": [{
                "Name": "Cat",
                "Confidence": 98.5,
                "Instances": [],
                "Parents": [{"Name": "Animal"}, {"Name": "Mammal"}],
                "Aliases": [{"Name": "Kitty"}],
                "Categories": [{"Name": "Animals and Pets"}],
            }],
            "LabelModelVersion": "1.0",
        })
    );
    let images = client.double.images.lock();
    let (input, _) = images.first().expect("one image");
    assert_eq!(&input.image[..], b"encoded image");
    assert_eq!(input.options, LabelsOptions::default());
}

#[tokio::test]
async fn what_is_asked_about_an_image_reaches_the_engine() {
    let client = client();
    let body = json!({
        "Image": {"Bytes": "AAAA"},
        "MaxLabels": 5.9,
        "MinConfidence": 10.5,
        "Features": ["GENERAL_LABELS", "IMAGE_PROPERTIES"],
        "Settings": {
            "GeneralLabels": {
                "LabelInclusionFilters": ["Cat", "Dog"],
                "LabelExclusionFilters": ["Car"],
                "LabelCategoryInclusionFilters": ["Animals and Pets"],
                "LabelCategoryExclusionFilters": ["Vehicles and Automotive"],
            },
            "ImageProperties": {"MaxDominantColors": 3},
        },
    });
    let answer = client.rekognition("DetectLabels", body).await;
    assert_eq!(answer.status, 200);
    let color = &answer.body["ImageProperties"]["DominantColors"][0];
    // The spelling of a real answer.
    assert_eq!(
        (&color["HexCode"], &color["CSSColor"], &color["Green"]),
        (&json!("#2f4f4f"), &json!("darkslategrey"), &json!(79))
    );
    assert_eq!(
        answer.body["ImageProperties"]["Quality"]["Brightness"],
        50.5
    );
    let list = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let wanted = LabelsOptions {
        general_labels: true,
        max_labels: 5,
        min_confidence: 10.5,
        filters: LabelFilters {
            include_labels: list(&["Cat", "Dog"]),
            exclude_labels: list(&["Car"]),
            include_categories: list(&["Animals and Pets"]),
            exclude_categories: list(&["Vehicles and Automotive"]),
        },
        properties: Some(3),
    };
    assert_eq!(client.double.images.lock()[0].0.options, wanted);
}

#[tokio::test]
async fn features_have_the_defaults_of_aws() {
    let client = client();
    for (features, general, properties) in [
        (json!([]), true, None),
        (json!(["GENERAL_LABELS"]), true, None),
        (json!(["IMAGE_PROPERTIES"]), false, Some(10)),
        (json!(null), true, None),
    ] {
        let body = json!({"Image": {"Bytes": "AAAA"}, "Features": features, "MaxLabels": 4_000_000_000_u32});
        let answer = client.rekognition("DetectLabels", body).await;
        assert_eq!(
            (answer.status, answer.body.get("ImageProperties").is_some()),
            (200, properties.is_some())
        );
        let asked = client.double.images.lock().pop().expect("asked").0.options;
        assert_eq!(
            (asked.general_labels, asked.properties, asked.max_labels),
            (general, properties, 1_000)
        );
    }
}

#[tokio::test]
async fn an_image_comes_from_exactly_one_place() {
    let client = client();
    let detect = async |image: Value| {
        client
            .rekognition("DetectLabels", json!({ "Image": image }))
            .await
    };
    let object = json!({"Bucket": "bucket", "Name": "photo.jpg"});
    for image in [
        json!({}),
        json!({"Bytes": "AAAA", "S3Object": object}),
        json!({"Bytes": null}),
    ] {
        let answer = detect(image).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "InvalidParameterException")
        );
    }
    for part in [json!({}), json!({"Bucket": "bucket"})] {
        let answer = detect(json!({ "S3Object": part })).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "InvalidS3ObjectException")
        );
    }
    let answer = detect(json!({ "S3Object": object })).await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "InvalidS3ObjectException")
    );
    // The body of the example in Rekognition's developer guide.
    assert_eq!(
        answer.body,
        json!({
            "__type": "InvalidS3ObjectException",
            "Code": "InvalidS3ObjectException",
            "Logref": answer.headers["x-amzn-requestid"].to_str().expect("id"),
            "Message": "Unable to get object metadata from S3. Check object key, region and/or access permissions. \
             (there is no bucket bucket)",
        })
    );
    let answer = detect(json!({"Bytes": "no base64!"})).await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "SerializationException")
    );
    assert!(client.double.images.lock().is_empty());
}

#[tokio::test]
async fn an_image_may_be_an_object() {
    let mut client = client();
    let store = Memory::default();
    store.put("photos", "a/b c.jpg", b"encoded");
    store.put("photos", "large", b"too large");
    store.put("photos", "broken", b"fail InvalidImage");
    let objects = |most, shared| {
        let buffers = Arc::new(Buffers::new(shared));
        Objects::new(Arc::new(store.clone()), most, buffers)
    };
    client.aws.images.stored = objects(8, 100);
    let object = |name: &str| json!({"S3Object": {"Bucket": "photos", "Name": name}});
    let detect = async |client: &Client, image: Value| {
        let answer = client.rekognition("DetectLabels", json!({ "Image": image }));
        let answer = answer.await;
        (
            answer.status,
            answer.code().to_owned(),
            answer.message().to_owned(),
        )
    };
    let (status, ..) = detect(&client, object("a/b c.jpg")).await;
    assert_eq!(status, 200);
    assert_eq!(&client.double.images.lock()[0].0.image[..], b"encoded");
    let mut version = object("a/b c.jpg");
    version["S3Object"]["Version"] = json!("null");
    assert_eq!(detect(&client, version.clone()).await.0, 200);
    version["S3Object"]["Version"] = json!("3HL4kqtJvjVBH40Nrjfkd");
    let mut bucket = object("a/b c.jpg");
    bucket["S3Object"]["Bucket"] = json!("Photos");
    for (image, why) in [
        (version, "no such version"),
        (bucket, "lower-case"),
        (object("a"), "no object a in the bucket photos"),
        (object("a/../large"), "no object a/../large"),
    ] {
        let (status, code, message) = detect(&client, image).await;
        assert_eq!((status, &*code), (400, "InvalidS3ObjectException"));
        let sentence = "Unable to get object metadata from S3. Check object key, region and/or access permissions. (";
        assert!(
            message.starts_with(sentence) && message.contains(why),
            "{message}"
        );
    }
    let (status, code, message) = detect(&client, object("large")).await;
    assert_eq!((status, &*code), (400, "ImageTooLargeException"));
    assert!(message.starts_with("Image size is too large"), "{message}");
    client.aws.images.stored = objects(100, 8);
    let (status, code, _) = detect(&client, object("large")).await;
    assert_eq!(
        (status, &*code),
        (400, "ThrottlingException"),
        "no memory left"
    );
    client.aws.images.stored = objects(100, 100);
    let (status, code, _) = detect(&client, object("broken")).await;
    assert_eq!((status, &*code), (400, "InvalidImageFormatException"));
}

#[tokio::test]
async fn failures_about_images_have_the_codes_of_the_service() {
    let client = client();
    for (kind, status, code, message) in [
        (
            "InvalidImage",
            400,
            "InvalidImageFormatException",
            "Request has invalid image format",
        ),
        (
            "TooLarge",
            400,
            "ImageTooLargeException",
            "Image size is too large: the double was told to fail with TooLarge",
        ),
        (
            "InvalidInput",
            400,
            "InvalidParameterException",
            "Request has invalid parameters: the double was told to fail with InvalidInput",
        ),
        (
            "Overloaded",
            400,
            "ThrottlingException",
            "Slow down; sudden increase in rate of requests.",
        ),
    ] {
        let image = STANDARD.encode(format!("fail {kind}"));
        let answer = client
            .rekognition("DetectLabels", json!({"Image": {"Bytes": image}}))
            .await;
        assert_eq!(
            (answer.status, answer.code(), answer.message()),
            (status, code, message)
        );
    }
    let image = STANDARD.encode("fail Internal");
    let answer = client
        .rekognition("DetectLabels", json!({"Image": {"Bytes": image}}))
        .await;
    assert_eq!((answer.status, answer.code()), (500, "InternalServerError"));
    assert!(!answer.message().contains("double"), "{}", answer.message());
}

#[tokio::test]
async fn a_large_image_is_refused_by_the_model_and_a_full_one_passes() {
    let client = client();
    let detect = async |bytes: usize| {
        client
            .rekognition(
                "DetectLabels",
                json!({"Image": {"Bytes": STANDARD.encode(vec![0; bytes])}}),
            )
            .await
    };
    assert_eq!(detect(5_242_880).await.status, 200);
    let answer = detect(5_242_881).await;
    assert_eq!((answer.status, answer.code()), (400, "ValidationException"));
    assert!(
        answer.message().contains("less than or equal to 5242880"),
        "{}",
        answer.message()
    );
}
