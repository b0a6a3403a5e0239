//! Rekognition's operations on faces, text, moderation and collections through the real binary: the answers' meaning
//! (the networks' numbers are held to the references' in `pipelines/tests/vision.rs`), the errors, and that what was
//! indexed survives a killed server.

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{Answer, Server, Setup, escala, golden_image};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::OnceLock;

fn setup(data: &Path) -> Setup {
    let set = format!("data.dir={}", data.display());
    Setup {
        arguments: ["--preload", "faces", "--set", &set]
            .map(str::to_owned)
            .to_vec(),
        ..Setup::default()
    }
}

fn server() -> &'static Server {
    static SERVER: OnceLock<(Server, tempfile::TempDir)> = OnceLock::new();
    let (server, _) = SERVER.get_or_init(|| {
        let data = tempfile::tempdir().expect("a temporary folder");
        (Server::start(&setup(data.path())), data)
    });
    server
}

fn image(name: &str) -> Value {
    json!({"Bytes": BASE64_STANDARD.encode(golden_image(name))})
}

fn ask(server: &Server, operation: &str, body: Value) -> Answer {
    let target = format!("RekognitionService.{operation}");
    server.aws(&target, body.to_string().as_bytes())
}

/// The code of an error.
fn code(answer: &Answer) -> String {
    assert!(answer.status >= 400, "{}", answer.status);
    answer.json()["__type"].as_str().expect("a code").to_owned()
}

fn list<'v>(value: &'v Value, member: &str) -> &'v Vec<Value> {
    value[member]
        .as_array()
        .unwrap_or_else(|| panic!("{member} in {value}"))
}

fn percent(value: &Value) -> f64 {
    let number = value.as_f64().expect("a number");
    assert!((0.0..=100.0).contains(&number), "{number}");
    number
}

#[test]
fn faces_have_boxes_points_and_the_attributes_that_are_asked_for() {
    let default = ask(
        server(),
        "DetectFaces",
        json!({"Image": image("astronaut.png")}),
    );
    let default = default.ok();
    let [face] = &list(&default, "FaceDetails")[..] else {
        panic!("one astronaut: {default}");
    };
    // By eye: the face lies between these shares of the picture.
    let bounds = &face["BoundingBox"];
    let (left, top) = (bounds["Left"].as_f64(), bounds["Top"].as_f64());
    let (left, top) = (left.expect("left"), top.expect("top"));
    assert!(
        (0.3..0.42).contains(&left) && (0.08..0.2).contains(&top),
        "{bounds}"
    );
    assert!(percent(&face["Confidence"]) > 90.0);
    let names: Vec<&Value> = list(face, "Landmarks")
        .iter()
        .map(|point| &point["Type"])
        .collect();
    assert_eq!(
        names,
        ["eyeLeft", "eyeRight", "mouthLeft", "mouthRight", "nose"]
    );
    for absent in ["AgeRange", "Gender", "Emotions", "Smile", "Eyeglasses"] {
        assert!(face.get(absent).is_none(), "{absent}");
    }
    let all = json!({"Image": image("astronaut.png"), "Attributes": ["ALL"]});
    let all = ask(server(), "DetectFaces", all).ok()["FaceDetails"][0].clone();
    assert!(list(&all, "Landmarks").len() >= 25);
    assert_eq!(all["Gender"]["Value"], "Female");
    assert_eq!(all["Smile"]["Value"], true);
    assert_eq!(all["Emotions"][0]["Type"], "HAPPY");
    let (low, high) = (
        all["AgeRange"]["Low"].as_u64(),
        all["AgeRange"]["High"].as_u64(),
    );
    // Eileen Collins was 37 or 38.
    assert!(
        low.expect("low") <= 38 && high.expect("high") >= 37,
        "{}",
        all["AgeRange"]
    );
    // No network here knows these.
    for absent in ["Beard", "Eyeglasses", "FaceOccluded"] {
        assert!(all.get(absent).is_none(), "{absent}");
    }
    let some = json!({"Image": image("astronaut.png"), "Attributes": ["GENDER"]});
    let some = ask(server(), "DetectFaces", some).ok()["FaceDetails"][0].clone();
    assert!(some.get("Gender").is_some() && some.get("Emotions").is_none());
    let cat = ask(
        server(),
        "DetectFaces",
        json!({"Image": image("chelsea.png")}),
    );
    assert!(list(&cat.ok(), "FaceDetails").is_empty(), "a cat");
}

#[test]
fn a_face_is_like_itself_and_not_like_another() {
    let pair = |source: &str, target: &str, least: f64| {
        let body = json!({
            "SourceImage": image(source),
            "TargetImage": image(target),
            "SimilarityThreshold": least,
        });
        ask(server(), "CompareFaces", body)
    };
    let same = pair("astronaut.png", "astronaut.png", 80.0).ok();
    assert!(percent(&same["FaceMatches"][0]["Similarity"]) > 99.0);
    assert!(list(&same, "UnmatchedFaces").is_empty());
    let other = pair("astronaut.png", "grace_hopper.jpg", 80.0).ok();
    assert!(list(&other, "FaceMatches").is_empty());
    assert_eq!(list(&other, "UnmatchedFaces").len(), 1);
    let any = pair("astronaut.png", "grace_hopper.jpg", 0.0).ok();
    assert!(percent(&any["FaceMatches"][0]["Similarity"]) < 50.0);
    let none = pair("chelsea.png", "astronaut.png", 80.0);
    assert_eq!(code(&none), "InvalidParameterException");
}

#[test]
fn text_is_read_in_lines_and_words() {
    let body = json!({"Image": image("ocr_synthetic.png")});
    let answer = ask(server(), "DetectText", body.clone()).ok();
    let found = list(&answer, "TextDetections");
    let of =
        |kind: &str| -> Vec<&Value> { found.iter().filter(|text| text["Type"] == *kind).collect() };
    let (lines, words) = (of("LINE"), of("WORD"));
    assert_eq!(lines.len(), 5, "{answer}");
    assert_eq!(lines[0]["DetectedText"], "INVOICE 2024-0917");
    let first: Vec<&Value> = words
        .iter()
        .filter(|word| word["ParentId"] == 0)
        .copied()
        .collect();
    let first: Vec<&Value> = first.iter().map(|word| &word["DetectedText"]).collect();
    assert_eq!(first, ["INVOICE", "2024-0917"]);
    for text in found {
        assert!(percent(&text["Confidence"]) > 50.0);
        assert_eq!(list(&text["Geometry"], "Polygon").len(), 4);
    }
    let ids: Vec<u64> = found
        .iter()
        .filter_map(|text| text["Id"].as_u64())
        .collect();
    assert_eq!(ids, (0..found.len() as u64).collect::<Vec<_>>());
    // The upper quarter holds the first line only.
    let mut region = body;
    for wrong in [
        json!({}),
        json!({"Polygon": [{"X": 0.1, "Y": 0.1}, {"X": 0.2, "Y": 0.2}]}),
        json!({"BoundingBox": {"Left": 2.0, "Top": 0.0, "Width": 0.5, "Height": 0.5}}),
    ] {
        let mut body = region.clone();
        body["Filters"] = json!({"RegionsOfInterest": [wrong]});
        let refused = ask(server(), "DetectText", body);
        assert_eq!(code(&refused), "InvalidParameterException");
    }
    region["Filters"] = json!({"RegionsOfInterest": [
        {"BoundingBox": {"Left": 0.0, "Top": 0.0, "Width": 1.0, "Height": 0.25}}
    ]});
    let answer = ask(server(), "DetectText", region).ok();
    let texts = list(&answer, "TextDetections")
        .iter()
        .map(|text| &text["DetectedText"]);
    assert_eq!(
        texts.collect::<Vec<_>>(),
        ["INVOICE 2024-0917", "INVOICE", "2024-0917"]
    );
    // The network takes a hair of the cat for a digit, without being sure.
    let sure = json!({
        "Image": image("chelsea.png"),
        "Filters": {"WordFilter": {"MinConfidence": 90.0}},
    });
    let nothing = ask(server(), "DetectText", sure);
    assert!(list(&nothing.ok(), "TextDetections").is_empty());
}

#[test]
fn rest_answers_as_rekognition_does() {
    let picture = golden_image("astronaut.png");
    let post = |path: &str, bytes: &[u8]| server().post(path, "image/png", bytes).ok();
    let faces = post("/v1/images/faces", &picture);
    let all = json!({"Image": image("astronaut.png"), "Attributes": ["ALL"]});
    let aws = ask(server(), "DetectFaces", all).ok()["FaceDetails"][0].clone();
    let face = &list(&faces, "faces")[0];
    let share =
        |value: &Value, of: &Value| value.as_f64().expect("pixels") / of.as_f64().expect("pixels");
    let left = share(&face["box"]["left"], &faces["width"]);
    let want = aws["BoundingBox"]["Left"].as_f64().expect("a share");
    assert!((left - want).abs() < 1e-5, "{left}, not {want}");
    assert_eq!(face["emotions"][0]["name"], aws["Emotions"][0]["Type"]);
    assert_eq!(list(face, "landmarks").len(), list(&aws, "Landmarks").len());
    for (name, member) in [
        ("smile", "Smile"),
        ("eyes_open", "EyesOpen"),
        ("mouth_open", "MouthOpen"),
    ] {
        let (sure, judged) = (face[name].as_f64().expect("a share"), &aws[member]);
        assert_eq!(judged["Value"], sure >= 0.5, "{name}");
        let want = percent(&judged["Confidence"]);
        assert!((100.0 * sure.max(1.0 - sure) - want).abs() < 1e-3, "{name}");
    }
    assert_eq!(face["smile"], face["emotions"][0]["score"], "she smiles");
    let ages = [&aws["AgeRange"]["Low"], &aws["AgeRange"]["High"]];
    assert_eq!([&face["age_low"], &face["age_high"]], ages);
    let text = post("/v1/images/text", &golden_image("ocr_synthetic.png"));
    assert_eq!(text["lines"][0]["text"], "INVOICE 2024-0917");
    assert_eq!(text["lines"][0]["words"][1]["text"], "2024-0917");
    // Which words are told, by the query or beside the image in JSON.
    let base64 = |name: &str| BASE64_STANDARD.encode(golden_image(name));
    let all = list(&text, "lines").len();
    let page = golden_image("ocr_synthetic.png");
    let upper = post("/v1/images/text?region=0,0,1,0.3", &page);
    assert!(!list(&upper, "lines").is_empty() && list(&upper, "lines").len() < all);
    let body = json!({"image": base64("ocr_synthetic.png"), "region": "0,0,1,0.3"});
    let same = server().post_json("/v1/images/text", &body).ok();
    assert_eq!(same, upper);
    let sure = post("/v1/images/text?min_confidence=100", &page);
    assert!(list(&sure, "lines").len() < all, "{sure}");
    let tall = post("/v1/images/text?min_height=0.9", &page);
    assert!(list(&tall, "lines").is_empty(), "{tall}");
    for (query, member) in [
        ("min_confidence=101", "min_confidence"),
        ("min_width=2", "min_width"),
        ("region=1,2", "region"),
    ] {
        let refused = server().post(&format!("/v1/images/text?{query}"), "image/png", &page);
        refused.assert_rest_error(400, "invalid_input", member);
    }
    let faint = post("/v1/images/moderation?min_confidence=0", &picture);
    assert!(!list(&faint, "labels").is_empty(), "{faint}");
    let calm = post("/v1/images/moderation", &picture);
    assert!(list(&calm, "labels").is_empty());
    let shares = ["drawing", "hentai", "neutral", "porn", "sexy"];
    let sum: f64 = shares.iter().filter_map(|name| calm[*name].as_f64()).sum();
    assert!((sum - 1.0).abs() < 1e-4, "{calm}");
    let mut body = json!({"source": base64("astronaut.png"), "target": base64("grace_hopper.jpg")});
    let compared = server().post_json("/v1/images/compare", &body).ok();
    let alike = &compared["faces"][0];
    assert!(percent(&alike["similarity"]) < 50.0);
    assert!(alike["distance"].as_f64().expect("a distance") > 0.6);
    body["threshold"] = json!(80);
    let compared = server().post_json("/v1/images/compare", &body).ok();
    assert!(list(&compared, "faces").is_empty(), "{compared}");
    body["quality"] = json!("best");
    let refused = server().post_json("/v1/images/compare", &body);
    refused.assert_rest_error(400, "invalid_input", "quality");
    let body = json!({"source": base64("chelsea.png"), "target": base64("astronaut.png")});
    let none = server().post_json("/v1/images/compare", &body);
    none.assert_rest_error(400, "invalid_input", "a cat");
    let broken = server().post("/v1/images/faces", "image/png", b"no picture");
    broken.assert_rest_error(400, "invalid_image", "no picture");
}

#[test]
fn calm_pictures_have_no_moderation_labels() {
    for name in ["astronaut.png", "chelsea.png", "coffee.png"] {
        let answer = ask(
            server(),
            "DetectModerationLabels",
            json!({"Image": image(name)}),
        )
        .ok();
        assert!(
            list(&answer, "ModerationLabels").is_empty(),
            "{name}: {answer}"
        );
        assert_eq!(answer["ModerationModelVersion"], "7.0");
        // The network alone takes the cat for a drawing.
        assert_eq!(list(&answer, "ContentTypes"), &[] as &[Value], "{name}");
    }
    let every = json!({"Image": image("astronaut.png"), "MinConfidence": 0.0});
    let every = ask(server(), "DetectModerationLabels", every).ok();
    for label in list(&every, "ModerationLabels") {
        percent(&label["Confidence"]);
        let level = label["TaxonomyLevel"].as_u64().expect("a level");
        assert_eq!(level == 1, label["ParentName"] == "", "{label}");
    }
    let project = json!({"Image": image("astronaut.png"), "ProjectVersion": format!("arn:aws:rekognition:us-east-1:{}:project/x/version/y/1", "0".repeat(12))});
    let refused = ask(server(), "DetectModerationLabels", project);
    assert_eq!(code(&refused), "ResourceNotFoundException");
}

#[test]
fn persons_have_parts_and_covers_are_not_made_up() {
    let body = json!({
        "Image": image("astronaut.png"),
        "SummarizationAttributes": {"MinConfidence": 80, "RequiredEquipmentTypes": ["HEAD_COVER"]},
    });
    let answer = ask(server(), "DetectProtectiveEquipment", body).ok();
    let [person] = &list(&answer, "Persons")[..] else {
        panic!("one astronaut: {answer}");
    };
    let parts = list(person, "BodyParts");
    assert!(parts.iter().any(|part| part["Name"] == "FACE"), "{person}");
    assert!(
        parts
            .iter()
            .all(|part| list(part, "EquipmentDetections").is_empty())
    );
    assert_eq!(answer["Summary"]["PersonsIndeterminate"], json!([0]));
}

#[test]
fn collections_keep_find_and_lose_faces() {
    let server = server();
    let id = json!({"CollectionId": "keep-find-lose"});
    let with = |more: Value| {
        let mut body = id.clone();
        let members = more.as_object().expect("members").clone();
        body.as_object_mut().expect("an object").extend(members);
        body
    };
    let missing = ask(server, "DescribeCollection", id.clone());
    assert_eq!(code(&missing), "ResourceNotFoundException");
    ask(
        server,
        "CreateCollection",
        with(json!({"Tags": {"team": "blue"}})),
    )
    .ok();
    let again = ask(server, "CreateCollection", id.clone());
    assert_eq!(code(&again), "ResourceAlreadyExistsException");

    let index = |name: &str, external: &str| {
        let body = with(json!({"Image": image(name), "ExternalImageId": external}));
        let answer = ask(server, "IndexFaces", body).ok();
        let records = list(&answer, "FaceRecords").clone();
        assert_eq!(records.len(), 1, "{answer}");
        assert_eq!(records[0]["Face"]["ExternalImageId"], external);
        records[0]["Face"]["FaceId"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    let astronaut = index("astronaut.png", "astronaut");
    let admiral = index("grace_hopper.jpg", "admiral");
    let cat = with(json!({"Image": image("chelsea.png")}));
    assert!(list(&ask(server, "IndexFaces", cat).ok(), "FaceRecords").is_empty());
    let about = ask(server, "DescribeCollection", id.clone()).ok();
    assert_eq!(
        (&about["FaceCount"], &about["UserCount"]),
        (&json!(2), &json!(0))
    );

    let by_image = with(json!({"Image": image("astronaut.png")}));
    let found = ask(server, "SearchFacesByImage", by_image).ok();
    let [only] = &list(&found, "FaceMatches")[..] else {
        panic!("one match: {found}");
    };
    assert_eq!(only["Face"]["FaceId"], *astronaut);
    assert!(percent(&only["Similarity"]) > 99.0);
    let by_face = with(json!({"FaceId": astronaut, "FaceMatchThreshold": 0.0}));
    let found = ask(server, "SearchFaces", by_face).ok();
    assert_eq!(found["FaceMatches"][0]["Face"]["FaceId"], *admiral);
    assert_eq!(list(&found, "FaceMatches").len(), 1, "itself is left out");
    let nobody = with(json!({"Image": image("chelsea.png")}));
    let refused = ask(server, "SearchFacesByImage", nobody);
    assert_eq!(code(&refused), "InvalidParameterException");

    ask(server, "CreateUser", with(json!({"UserId": "eileen"}))).ok();
    let twice = ask(server, "CreateUser", with(json!({"UserId": "eileen"})));
    assert_eq!(code(&twice), "ConflictException");
    // What comes again with its token is answered as it was; with another's it is refused.
    let grace = with(json!({"UserId": "grace", "ClientRequestToken": "once"}));
    let create = |body: &Value| ask(server, "CreateUser", body.clone());
    assert_eq!(create(&grace).ok(), create(&grace).ok());
    let other = with(json!({"UserId": "other", "ClientRequestToken": "once"}));
    let refused = code(&create(&other)).to_owned();
    assert_eq!(refused, "IdempotentParameterMismatchException");
    // A page's token is one of the list that gave it.
    let one = ask(server, "ListUsers", with(json!({"MaxResults": 1}))).ok();
    let token = one["NextToken"].as_str().expect("a token").to_owned();
    let next = ask(server, "ListUsers", with(json!({"NextToken": token}))).ok();
    assert_eq!(
        (&one["Users"][0]["UserId"], &next["Users"][0]["UserId"]),
        (&json!("eileen"), &json!("grace"))
    );
    for (operation, token) in [
        ("ListUsers", "eileen"),
        ("ListFaces", &*token),
        ("ListCollections", "zzz"),
    ] {
        let mut body = with(json!({"NextToken": token}));
        if operation == "ListCollections" {
            body = json!({"NextToken": token});
        }
        let refused = ask(server, operation, body);
        assert_eq!(
            code(&refused),
            "InvalidPaginationTokenException",
            "{operation}"
        );
    }
    let gone = with(json!({"UserId": "grace", "ClientRequestToken": "gone"}));
    assert_eq!(ask(server, "DeleteUser", gone.clone()).ok(), json!({}));
    assert_eq!(ask(server, "DeleteUser", gone).ok(), json!({}));
    let elsewhere = "arn:aws:sagemaker:us-east-1:000000000000:collection/keep-find-lose";
    let refused = ask(
        server,
        "ListTagsForResource",
        json!({"ResourceArn": elsewhere}),
    );
    assert_eq!(code(&refused), "ResourceNotFoundException");
    let faces = with(json!({"UserId": "eileen", "FaceIds": [astronaut]}));
    let associated = ask(server, "AssociateFaces", faces.clone()).ok();
    assert_eq!(
        associated["AssociatedFaces"],
        json!([{"FaceId": astronaut}])
    );
    let unlike = with(json!({"UserId": "eileen", "FaceIds": [admiral]}));
    let unlike = ask(server, "AssociateFaces", unlike).ok();
    let reasons = &unlike["UnsuccessfulFaceAssociations"][0]["Reasons"];
    assert_eq!(*reasons, json!(["LOW_MATCH_CONFIDENCE"]));
    let users = with(json!({"Image": image("astronaut.png")}));
    let users = ask(server, "SearchUsersByImage", users).ok();
    assert_eq!(users["UserMatches"][0]["User"]["UserId"], "eileen");
    let kept = ask(
        server,
        "DeleteFaces",
        with(json!({"FaceIds": [astronaut, admiral]})),
    )
    .ok();
    assert_eq!(kept["DeletedFaces"], json!([admiral]));
    let reasons = &kept["UnsuccessfulFaceDeletions"][0]["Reasons"];
    assert_eq!(*reasons, json!(["ASSOCIATED_TO_AN_EXISTING_USER"]));
    ask(server, "DisassociateFaces", faces).ok();
    ask(server, "DeleteUser", with(json!({"UserId": "eileen"}))).ok();
    let listed = ask(server, "ListFaces", id.clone()).ok();
    assert_eq!(list(&listed, "Faces").len(), 1);

    let arn = about["CollectionARN"].as_str().expect("a name");
    let tags = json!({"ResourceArn": arn, "Tags": {"room": "1"}});
    ask(server, "TagResource", tags).ok();
    ask(
        server,
        "UntagResource",
        json!({"ResourceArn": arn, "TagKeys": ["team"]}),
    )
    .ok();
    let tags = ask(server, "ListTagsForResource", json!({"ResourceArn": arn})).ok();
    assert_eq!(tags["Tags"], json!({"room": "1"}));
    ask(server, "DeleteCollection", id.clone()).ok();
    assert_eq!(
        code(&ask(server, "ListFaces", id)),
        "ResourceNotFoundException"
    );
}

#[test]
fn what_was_indexed_survives_a_killed_server() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let first = Server::start(&setup(data.path()));
    let id = json!({"CollectionId": "people"});
    ask(&first, "CreateCollection", id.clone()).ok();
    let body = json!({"CollectionId": "people", "Image": image("astronaut.png")});
    let indexed = ask(&first, "IndexFaces", body.clone()).ok();
    let face = indexed["FaceRecords"][0]["Face"]["FaceId"].clone();
    // Dropped, a server of the tests is killed, not asked to stop.
    drop(first);
    let second = Server::start(&setup(data.path()));
    let found = ask(&second, "SearchFacesByImage", body).ok();
    assert_eq!(found["FaceMatches"][0]["Face"]["FaceId"], face);
    // Another server cannot use the same folder at the same time, and says so.
    let output = escala(data.path())
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--kafka",
            "off",
            "--set",
        ])
        .arg(format!("data.dir={}", data.path().display()))
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("another server"), "{said}");
    ask(&second, "ListFaces", id).ok();
}
