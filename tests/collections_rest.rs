//! Collections and celebrities in REST, beside the same questions to the AWS door: the same input has the same answer
//! through each, and what is refused is refused with the documented error.

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{Answer, Server, Setup, golden_image};
use serde_json::{Value, json};
use std::sync::OnceLock;

fn server() -> &'static Server {
    static SERVER: OnceLock<(Server, tempfile::TempDir)> = OnceLock::new();
    let (server, _) = SERVER.get_or_init(|| {
        let data = tempfile::tempdir().expect("a temporary folder");
        let folder = format!("data.dir={}", data.path().display());
        let settings = [
            &folder,
            "collections.faces=4",
            "collections.users=3",
            "collections.tags=2",
        ];
        let mut arguments = ["--preload", "faces"].map(str::to_owned).to_vec();
        for setting in settings {
            arguments.extend(["--set".to_owned(), setting.to_owned()]);
        }
        let setup = Setup {
            arguments,
            ..Setup::default()
        };
        (Server::start(&setup), data)
    });
    server
}

fn base64(name: &str) -> String {
    BASE64_STANDARD.encode(golden_image(name))
}

fn aws(operation: &str, body: &Value) -> Value {
    let target = format!("RekognitionService.{operation}");
    server().aws(&target, body.to_string().as_bytes()).ok()
}

fn send(method: &str, path: &str, body: &Value) -> Answer {
    server().method_json(method, &format!("/v1/images/{path}"), body)
}

fn get(path: &str) -> Answer {
    server().get(&format!("/v1/images/{path}"))
}

fn delete(path: &str) -> Answer {
    server().method("DELETE", &format!("/v1/images/{path}"))
}

/// An image as the body itself.
fn image(path: &str, name: &str) -> Answer {
    let path = format!("/v1/images/{path}");
    server().post(&path, "image/png", &golden_image(name))
}

#[track_caller]
fn made(answer: &Answer) -> Value {
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

#[track_caller]
fn gone(answer: &Answer) {
    assert_eq!((answer.status, &*answer.text), (204, ""), "{answer:?}");
}

#[track_caller]
fn near(got: &Value, want: &Value, tolerance: f64) {
    let number = |value: &Value| {
        value
            .as_f64()
            .unwrap_or_else(|| panic!("no number: {value}"))
    };
    let (a, b) = (number(got), number(want));
    assert!((a - b).abs() <= tolerance, "{got} is not {want}");
}

/// A face of a collection as both doors show it.
#[track_caller]
fn same_face(rest: &Value, aws: &Value) {
    for (ours, theirs) in [
        ("id", "FaceId"),
        ("image_id", "ImageId"),
        ("external_id", "ExternalImageId"),
        ("user", "UserId"),
    ] {
        assert_eq!(rest[ours], aws[theirs], "{rest} {aws}");
    }
    near(&rest["confidence"], &aws["Confidence"], 1e-4);
    let (ours, theirs) = (&rest["share_box"], &aws["BoundingBox"]);
    for (name, other) in [
        ("left", "Left"),
        ("top", "Top"),
        ("width", "Width"),
        ("height", "Height"),
    ] {
        near(&ours[name], &theirs[other], 1e-6);
    }
}

#[test]
fn collections_are_made_described_tagged_and_deleted() {
    let tags = json!({"team": "blue"});
    let body = json!({"id": "made.1", "tags": tags});
    let new = made(&send("POST", "collections", &body));
    assert_eq!((&new["id"], &new["faces"]), (&json!("made.1"), &json!(0)));
    let again = send("POST", "collections", &body);
    again.assert_rest_error(409, "conflict", "it exists");
    let about = get("collections/made.1").ok();
    assert_eq!(about, new);
    let aws = aws("DescribeCollection", &json!({"CollectionId": "made.1"}));
    near(&about["created"], &aws["CreationTimestamp"], 1e-3);

    let change = json!({"set": {"room": "1"}, "remove": ["team", "nothing"]});
    let tags = send("PATCH", "collections/made.1/tags", &change).ok();
    assert_eq!(tags, json!({"tags": {"room": "1"}}));
    for (set, status, code) in [
        (json!({"aws:x": ""}), 400, "invalid_input"),
        (json!({"a": "x".repeat(257)}), 400, "invalid_input"),
        (json!({"": ""}), 400, "invalid_input"),
        (json!({"a": "1", "b": "2"}), 409, "limit_exceeded"),
    ] {
        let refused = send("PATCH", "collections/made.1/tags", &json!({ "set": set }));
        refused.assert_rest_error(status, code, &set.to_string());
    }

    for id in ["made.2", "made.3"] {
        made(&send("POST", "collections", &json!({ "id": id })));
    }
    let (mut ids, mut next) = (Vec::new(), String::new());
    loop {
        let page = get(&format!("collections?max_results=1{next}")).ok();
        let names = page["collections"].as_array().expect("a list");
        assert_eq!(names.len(), 1);
        ids.push(names[0]["id"].as_str().expect("an id").to_owned());
        match page["next"].as_str() {
            Some(token) => next = format!("&next={token}"),
            None => break,
        }
    }
    let made: Vec<&String> = ids.iter().filter(|id| id.starts_with("made.")).collect();
    assert_eq!(made, ["made.1", "made.2", "made.3"]);
    assert!(ids.is_sorted());
    gone(&delete("collections/made.1"));
    delete("collections/made.1").assert_rest_error(404, "not_found", "it is gone");
    get("collections/made.1").assert_rest_error(404, "not_found", "it is gone");
}

#[test]
fn faces_and_users_are_the_same_through_both_doors() {
    made(&send("POST", "collections", &json!({"id": "both"})));
    let id = json!({"CollectionId": "both"});
    let with = |more: Value| {
        let mut body = id.clone();
        let members = more.as_object().expect("members").clone();
        body.as_object_mut().expect("an object").extend(members);
        body
    };
    // One face by each door, and through each way of sending an image.
    let indexed = image(
        "collections/both/faces?external_id=eileen&looks=true",
        "astronaut.png",
    )
    .ok();
    let [first] = &indexed["faces"].as_array().expect("faces")[..] else {
        panic!("one face: {indexed}");
    };
    assert_eq!(first["face"]["image_id"], indexed["image_id"]);
    assert_eq!(first["face"]["external_id"], "eileen");
    assert_eq!(first["seen"]["gender"], "female");
    assert_eq!(indexed["left"], json!([]));
    near(
        &json!(
            first["seen"]["box"]["left"].as_f64().expect("pixels")
                / indexed["width"].as_f64().expect("pixels")
        ),
        &first["face"]["share_box"]["left"],
        1e-6,
    );
    // The picture itself, with its faces drawn on it.
    for path in [
        "collections/both/search?render=png",
        "collections/both/users/search?render=png",
        "celebrities?render=png",
    ] {
        let drawn = image(path, "astronaut.png");
        assert_eq!(drawn.status, 200, "{path}: {drawn:?}");
        assert!(drawn.body.starts_with(b"\x89PNG"), "{path}");
    }
    // With the name of whom it is like.
    let searched = image("collections/both/search?render=png", "astronaut.png").picture();
    assert!(searched != image("faces?render=png", "astronaut.png").picture());
    let body = json!({"face": first["face"]["id"], "render": "png"});
    let refused = send("POST", "collections/both/search", &body);
    assert_eq!(refused.status, 400, "{refused:?}");
    let grace = with(json!({"Image": {"Bytes": base64("grace_hopper.jpg")}}));
    let grace = aws("IndexFaces", &grace)["FaceRecords"][0]["Face"]["FaceId"].clone();
    let eileen = first["face"]["id"].clone();
    let cat = send(
        "POST",
        "collections/both/faces",
        &json!({"image": base64("chelsea.png")}),
    );
    assert_eq!(cat.ok()["faces"], json!([]));
    // The bar is the same, and says the same.
    let high = json!({"image": base64("grace_hopper.jpg"), "quality": "high", "max_faces": 1});
    let high = send("POST", "collections/both/faces", &high).ok();
    let want =
        with(json!({"Image": {"Bytes": base64("grace_hopper.jpg")}, "QualityFilter": "HIGH"}));
    let want = aws("IndexFaces", &want);
    assert_eq!(
        high["faces"].as_array().map(Vec::len),
        want["FaceRecords"].as_array().map(Vec::len)
    );
    assert_eq!(
        high["left"][0]["reasons"],
        want["UnindexedFaces"][0]["Reasons"]
    );
    let extra: Vec<Value> = [
        high["faces"][0]["face"]["id"].clone(),
        want["FaceRecords"][0]["Face"]["FaceId"].clone(),
    ]
    .into_iter()
    .filter(|id| !id.is_null())
    .collect();
    if !extra.is_empty() {
        let full = image("collections/both/faces", "astronaut.png");
        full.assert_rest_error(409, "limit_exceeded", "four faces are the most here");
        let deleted = send("DELETE", "collections/both/faces", &json!({ "ids": extra })).ok();
        assert_eq!(deleted["deleted"], json!(extra));
    }

    let (rest, listed) = (get("collections/both/faces").ok(), aws("ListFaces", &id));
    let (ours, theirs) = (rest["faces"].as_array(), listed["Faces"].as_array());
    let (ours, theirs) = (ours.expect("faces"), theirs.expect("faces"));
    assert_eq!((ours.len(), theirs.len()), (2, 2));
    ours.iter()
        .zip(theirs)
        .for_each(|(ours, theirs)| same_face(ours, theirs));
    let page = get("collections/both/faces?max_results=1").ok();
    let next = page["next"].as_str().expect("a second page").to_owned();
    let rest = get(&format!("collections/both/faces?next={next}")).ok();
    assert_eq!(rest["faces"], json!([ours[1]]));
    let nobody = get("collections/both/faces?next=never");
    nobody.assert_rest_error(400, "invalid_input", "no token of this list");
    let only = format!(
        "collections/both/faces?ids={}",
        eileen.as_str().expect("an id")
    );
    assert_eq!(get(&only).ok()["faces"], json!([ours[0]]));

    // Searches, by image and by face.
    for (least, count) in [(0.0, 2), (80.0, 1)] {
        let found = image(
            &format!("collections/both/search?threshold={least}"),
            "astronaut.png",
        );
        let found = found.ok();
        let want =
            with(json!({"Image": {"Bytes": base64("astronaut.png")}, "FaceMatchThreshold": least}));
        let want = aws("SearchFacesByImage", &want);
        let (ours, theirs) = (&found["matches"], &want["FaceMatches"]);
        assert_eq!(ours.as_array().map(Vec::len), Some(count), "{found}");
        for place in 0..count {
            near(
                &ours[place]["similarity"],
                &theirs[place]["Similarity"],
                1e-4,
            );
            same_face(&ours[place]["face"], &theirs[place]["Face"]);
        }
        assert_eq!(ours[0]["face"]["id"], eileen);
        near(
            &json!(found["searched"]["score"].as_f64().expect("a score") * 100.0),
            &want["SearchedFaceConfidence"],
            1e-3,
        );
    }
    let body = json!({"face": eileen, "threshold": 0, "max_results": 1});
    let found = send("POST", "collections/both/search", &body).ok();
    assert_eq!(found["matches"][0]["face"]["id"], grace);
    assert!(found.get("searched").is_none());

    // Users.
    for user in ["ada", "search", "eve"] {
        let new = made(&send(
            "POST",
            "collections/both/users",
            &json!({ "id": user }),
        ));
        assert_eq!(new, json!({"id": user, "faces": 0, "status": "CREATED"}));
    }
    let one_more = send("POST", "collections/both/users", &json!({"id": "bob"}));
    one_more.assert_rest_error(409, "limit_exceeded", "three users are the most here");
    let again = send("POST", "collections/both/users", &json!({"id": "ada"}));
    again.assert_rest_error(409, "conflict", "ada exists");
    // A user may have the name of a route.
    gone(&delete("collections/both/users/search"));
    gone(&delete("collections/both/users/eve"));
    delete("collections/both/users/eve").assert_rest_error(404, "not_found", "eve is gone");
    let listed = get("collections/both/users").ok();
    assert_eq!(listed["users"][0]["id"], "ada");
    assert_eq!(listed["users"].as_array().map(Vec::len), Some(1));

    let unknown = "11111111-2222-4333-8444-555555555555";
    let body = json!({"ids": [eileen, unknown]});
    let associated = send("POST", "collections/both/users/ada/faces", &body).ok();
    assert_eq!(associated["done"], json!([eileen]));
    assert_eq!(
        associated["left"],
        json!([{"id": unknown, "reason": "FACE_NOT_FOUND"}])
    );
    assert_eq!(
        associated["user"],
        json!({"id": "ada", "faces": 1, "status": "ACTIVE"})
    );
    let unlike = send(
        "POST",
        "collections/both/users/ada/faces",
        &json!({"ids": [grace]}),
    )
    .ok();
    let want = aws(
        "AssociateFaces",
        &with(json!({"UserId": "ada", "FaceIds": [grace]})),
    );
    let (ours, theirs) = (&unlike["left"][0], &want["UnsuccessfulFaceAssociations"][0]);
    assert_eq!(json!([ours["reason"]]), theirs["Reasons"]);
    near(&ours["similarity"], &theirs["Confidence"], 1e-4);
    let of_ada = get("collections/both/faces?user=ada").ok();
    assert_eq!(of_ada["faces"][0]["user"], "ada");
    let kept = send(
        "DELETE",
        "collections/both/faces",
        &json!({"ids": [eileen]}),
    )
    .ok();
    assert_eq!(
        kept["left"],
        json!([{"id": eileen, "reason": "ASSOCIATED_TO_AN_EXISTING_USER", "user": "ada"}])
    );

    let by_image = image(
        "collections/both/users/search?threshold=50",
        "astronaut.png",
    )
    .ok();
    let want = with(json!({"Image": {"Bytes": base64("astronaut.png")}, "UserMatchThreshold": 50}));
    let want = aws("SearchUsersByImage", &want);
    assert_eq!(by_image["matches"][0]["user"]["id"], "ada");
    near(
        &by_image["matches"][0]["similarity"],
        &want["UserMatches"][0]["Similarity"],
        1e-4,
    );
    let by_face = json!({"face": grace, "threshold": 0});
    let by_face = send("POST", "collections/both/users/search", &by_face).ok();
    let want = aws(
        "SearchUsers",
        &with(json!({"FaceId": grace, "UserMatchThreshold": 0})),
    );
    near(
        &by_face["matches"][0]["similarity"],
        &want["UserMatches"][0]["Similarity"],
        1e-4,
    );
    let by_user = send(
        "POST",
        "collections/both/users/search",
        &json!({"user": "ada"}),
    )
    .ok();
    assert_eq!(by_user["matches"], json!([]), "nobody else is there");
    let taken = send(
        "DELETE",
        "collections/both/users/ada/faces",
        &json!({"ids": [eileen]}),
    )
    .ok();
    assert_eq!(taken["done"], json!([eileen]));
    assert_eq!(taken["user"]["status"], "CREATED");
}

#[test]
fn what_is_wrong_is_refused_with_its_error() {
    made(&send("POST", "collections", &json!({"id": "wrong"})));
    let broken: Vec<(&str, &str, Value, u16, &str)> = vec![
        (
            "POST",
            "collections",
            json!({"id": "a b"}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections",
            json!({"id": "x".repeat(256)}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections",
            json!({"name": "a"}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections/none/faces",
            json!({"image": base64("astronaut.png")}),
            404,
            "not_found",
        ),
        (
            "POST",
            "collections/wrong/faces",
            json!({}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections/wrong/faces",
            json!({"image": "AAAA"}),
            400,
            "invalid_image",
        ),
        (
            "POST",
            "collections/wrong/faces",
            json!({"image": base64("astronaut.png"), "external_id": "a b"}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections/wrong/faces",
            json!({"image": base64("astronaut.png"), "quality": "best"}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections/wrong/search",
            json!({"image": base64("chelsea.png")}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections/wrong/search",
            json!({}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections/wrong/search",
            json!({"face": "x"}),
            404,
            "not_found",
        ),
        (
            "POST",
            "collections/wrong/search",
            json!({"face": "x", "threshold": 101}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections/wrong/users",
            json!({"id": "a b"}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections/wrong/users",
            json!({"id": ""}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections/wrong/users/ada/faces",
            json!({"ids": ["x"]}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections/wrong/users/ada/faces",
            json!({"ids": []}),
            400,
            "invalid_input",
        ),
        (
            "POST",
            "collections/wrong/users/search",
            json!({"user": "ada"}),
            404,
            "not_found",
        ),
        (
            "POST",
            "collections/wrong/users/search",
            json!({"user": "ada", "face": "x"}),
            400,
            "invalid_input",
        ),
        (
            "DELETE",
            "collections/wrong/faces",
            json!({"ids": vec!["x"; 4097]}),
            400,
            "invalid_input",
        ),
        ("GET", "collections/none/users", json!({}), 404, "not_found"),
        (
            "PUT",
            "collections/wrong",
            json!({}),
            405,
            "method_not_allowed",
        ),
    ];
    for (method, path, body, status, code) in broken {
        let answer = send(method, path, &body);
        answer.assert_rest_error(status, code, &format!("{method} {path} {body:.80}"));
    }
    let text = server().post(
        "/v1/images/collections/wrong/search",
        "text/plain",
        b"hello",
    );
    text.assert_rest_error(415, "unsupported_media_type", "text");
    let both = image("collections/wrong/search?face=x", "astronaut.png");
    both.assert_rest_error(400, "invalid_input", "an image and a face");
    let bytes = server().method("GET", "/v1/images/collections/%ff");
    bytes.assert_rest_error(400, "invalid_input", "a name that is no text");
    let large = vec![0; 15 * 1024 * 1024 + 1];
    let large = server().post("/v1/images/collections/wrong/faces", "image/png", &large);
    large.assert_rest_error(413, "too_large", "an image above `limits.image`");
    server().assert_sound("all of these");
}

#[test]
fn celebrities_are_made_known_recognised_and_forgotten() {
    let unknown = image("celebrities", "astronaut.png").ok();
    assert_eq!(unknown["celebrities"], json!([]));
    assert_eq!(unknown["others"].as_array().map(Vec::len), Some(1));
    let log = server().log();
    assert_eq!(
        log.matches("there is no celebrity gallery").count(),
        1,
        "{log}"
    );
    get("celebrities/gallery/nobody").assert_rest_error(404, "not_found", "nobody");
    assert_eq!(get("celebrities/gallery").ok()["celebrities"], json!([]));

    let eileen = json!({
        "name": "Eileen Collins",
        "gender": "female",
        "urls": ["www.wikidata.org/wiki/Q40067"],
        "images": [base64("astronaut.png")],
    });
    let known = made(&send("POST", "celebrities/gallery", &eileen));
    let id = known["id"].as_str().expect("an id").to_owned();
    assert!(id.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
    assert_eq!(
        (&known["faces"], &known["gender"]),
        (&json!(1), &json!("female"))
    );
    let found = image("celebrities", "astronaut.png").ok();
    let [only] = &found["celebrities"].as_array().expect("people")[..] else {
        panic!("one person: {found}");
    };
    assert_eq!((&only["id"], &only["name"]), (&known["id"], &known["name"]));
    assert!(only["similarity"].as_f64().expect("a number") > 99.0);
    assert_eq!(only["face"]["emotions"][0]["name"], "HAPPY");
    assert_eq!(found["others"], json!([]));
    // The same through the other door.
    let answer = aws(
        "RecognizeCelebrities",
        &json!({"Image": {"Bytes": base64("astronaut.png")}}),
    );
    let theirs = &answer["CelebrityFaces"][0];
    assert_eq!(
        (&theirs["Id"], &theirs["Urls"]),
        (&known["id"], &known["urls"])
    );
    near(&only["similarity"], &theirs["MatchConfidence"], 1e-4);
    // Somebody else is not taken for her.
    let other = server().post(
        "/v1/images/celebrities",
        "image/jpeg",
        &golden_image("grace_hopper.jpg"),
    );
    assert_eq!(other.ok()["celebrities"], json!([]));

    // Again: the same person, known better.
    let again = json!({"name": "Eileen Collins", "images": [base64("astronaut.png")]});
    let again = send("POST", "celebrities/gallery", &again).ok();
    assert_eq!((&again["id"], &again["faces"]), (&known["id"], &json!(2)));
    assert_eq!(
        (&again["urls"], &again["gender"]),
        (&known["urls"], &known["gender"])
    );
    let renamed = json!({"id": id, "name": "Eileen M. Collins"});
    assert_eq!(
        send("POST", "celebrities/gallery", &renamed).ok()["faces"],
        2
    );
    let about = get(&format!("celebrities/gallery/{id}")).ok();
    assert_eq!(about["name"], "Eileen M. Collins");
    let namesake = json!({"id": "Namesake7", "name": "Eileen M. Collins", "images": [base64("grace_hopper.jpg")]});
    assert_eq!(
        made(&send("POST", "celebrities/gallery", &namesake))["id"],
        "Namesake7"
    );
    let which = json!({"name": "Eileen M. Collins", "urls": []});
    let which = send("POST", "celebrities/gallery", &which);
    which.assert_rest_error(400, "invalid_input", "two have the name");
    assert!(which.text.contains("Namesake7"), "{}", which.text);
    let page = get("celebrities/gallery?max_results=1").ok();
    assert_eq!(page["celebrities"].as_array().map(Vec::len), Some(1));
    assert!(page["next"].is_string());

    for (body, code) in [
        (json!({"name": "No Photograph"}), "invalid_input"),
        (
            json!({"name": "A Cat", "images": [base64("chelsea.png")]}),
            "invalid_input",
        ),
        (json!({"name": "x", "images": ["AAAA"]}), "invalid_image"),
        (
            json!({"name": "", "images": [base64("astronaut.png")]}),
            "invalid_input",
        ),
        (
            json!({"name": "a\nb", "images": [base64("astronaut.png")]}),
            "invalid_input",
        ),
        (
            json!({"id": "a-b", "name": "x", "images": [base64("astronaut.png")]}),
            "invalid_input",
        ),
        (
            json!({"name": "x", "gender": "both", "images": []}),
            "invalid_input",
        ),
        (
            json!({"name": "x", "images": vec![""; 101]}),
            "invalid_input",
        ),
    ] {
        let refused = send("POST", "celebrities/gallery", &body);
        refused.assert_rest_error(400, code, &format!("{body:.100}"));
    }
    // All photographs or none.
    let half = json!({"name": "Half", "images": [base64("astronaut.png"), base64("chelsea.png")]});
    let half = send("POST", "celebrities/gallery", &half);
    half.assert_rest_error(400, "invalid_input", "a cat among the photographs");
    assert!(half.text.contains("image 1"), "{}", half.text);
    assert_eq!(
        get("celebrities/gallery").ok()["celebrities"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );

    gone(&delete(&format!("celebrities/gallery/{id}")));
    let found = image("celebrities", "astronaut.png").ok();
    assert_eq!(found["celebrities"], json!([]), "forgotten");
    gone(&delete("celebrities/gallery/Namesake7"));
    delete("celebrities/gallery/Namesake7").assert_rest_error(404, "not_found", "forgotten");
    // Celebrities are no collection of anybody's.
    let ids = get("collections").ok().to_string();
    assert!(!ids.contains("celebrities"), "{ids}");
}

#[test]
fn the_routes_are_described() {
    let document = server().get("/openapi.json").ok();
    for (path, methods) in [
        ("collections", &["get", "post"][..]),
        ("collections/{id}", &["get", "delete"]),
        ("collections/{id}/tags", &["patch"]),
        ("collections/{id}/faces", &["get", "post", "delete"]),
        ("collections/{id}/search", &["post"]),
        ("collections/{id}/users", &["get", "post"]),
        ("collections/{id}/users/{user}", &["delete"]),
        ("collections/{id}/users/{user}/faces", &["post", "delete"]),
        ("collections/{id}/users/search", &["post"]),
        ("celebrities", &["post"]),
        ("celebrities/gallery", &["get", "post"]),
        ("celebrities/gallery/{id}", &["get", "delete"]),
    ] {
        for method in methods {
            let described = &document["paths"][format!("/v1/images/{path}")][method];
            assert!(described["responses"].is_object(), "{method} {path}");
        }
    }
}
