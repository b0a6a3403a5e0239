//! Images that are objects in a folder, and celebrities of a gallery that was filled on the command line: boto3 against the
//! real binary, and what is left of a gallery whose server or command is killed.

mod common;

use common::{Server, Setup, escala, golden, golden_image, python};
use image::{ImageBuffer, Rgb};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn setup(data: &Path) -> Setup {
    let set = format!("data.dir={}", data.display());
    Setup {
        arguments: ["--preload", "faces", "--set", &set]
            .map(str::to_owned)
            .to_vec(),
        ..Setup::default()
    }
}

/// `escala …` with its data in a folder.
fn command(data: &Path, group: &str, arguments: &[&str]) -> Command {
    let mut command = escala(data);
    let set = format!("data.dir={}", data.display());
    command.args(["--set", &set, group]).args(arguments);
    command
}

/// `escala celebrities …`.
fn celebrities(data: &Path, arguments: &[&str]) -> Command {
    command(data, "celebrities", arguments)
}

#[track_caller]
fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let status = output.status.code().expect("an exit status");
    (status, text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn lines(command: &mut Command) -> Vec<Value> {
    let (status, out, err) = said(&command.output().expect("runs"));
    assert_eq!(status, 0, "{out}\n{err}");
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    out.lines().map(line).collect()
}

fn photo(name: &str) -> String {
    golden("images").join(name).display().to_string()
}

fn recognised(server: &Server, name: &str) -> Vec<Value> {
    let answer = server.post("/v1/images/celebrities", "image/png", &golden_image(name));
    let known = answer.ok()["celebrities"]
        .as_array()
        .expect("people")
        .clone();
    known.iter().map(|known| known["name"].clone()).collect()
}

#[test]
fn boto3_with_objects_and_a_gallery() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let data = data.path();
    let photos = data.join("objects/photos");
    let put = |key: &str, bytes: &[u8]| {
        let path = photos.join(key);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    };
    put("space/eileen collins.png", &golden_image("astronaut.png"));
    put("größe/照片 🙂.jpg", &golden_image("grace_hopper.jpg"));
    put("notes.txt", b"no picture");
    put("empty.png", b"");
    put("noise.bmp", &noise());
    // A file without blocks: larger than what is taken, without taking room.
    let large = fs::File::create(photos.join("large.png")).expect("made");
    large.set_len((15 << 20) + 1).expect("grown");
    fs::write(data.join("secret.png"), golden_image("astronaut.png")).expect("written");
    symlink(data.join("secret.png"), photos.join("link.png")).expect("linked");
    symlink(data, photos.join("linked")).expect("linked");
    symlink(data, data.join("objects/linked")).expect("linked");
    let _socket = UnixListener::bind(photos.join("socket")).expect("bound");
    let pipe = Command::new("mkfifo").arg(photos.join("pipe")).status();
    assert!(pipe.expect("runs").success());
    let added = lines(&mut celebrities(
        data,
        &[
            "add",
            "Eileen Collins",
            &photo("astronaut.png"),
            "--url",
            "www.wikidata.org/wiki/Q40067",
            "--gender",
            "female",
            "--json",
        ],
    ));
    assert_eq!(added[0]["faces"], 1);
    let server = Server::start(&setup(data));
    python::script("rekognition_stored.py", &server);
    server.assert_sound("all of it");
}

/// A picture of 1,600 by 1,200 pixels, uncompressed: 5.8 MB.
fn noise() -> Vec<u8> {
    let mut state = 1_u32;
    let image = ImageBuffer::from_fn(1600, 1200, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [a, b, c, _] = state.to_be_bytes();
        Rgb([a, b, c])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    let written = image.write_to(&mut bytes, image::ImageFormat::Bmp);
    written.expect("a picture");
    let bytes = bytes.into_inner();
    assert!(bytes.len() > 5_242_880);
    bytes
}

#[test]
fn a_gallery_is_filled_listed_and_emptied_without_a_server() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let data = data.path();
    let models = |arguments: &[&str]| {
        let mut command = escala(data);
        let set = format!("data.dir={}", data.display());
        command
            .args(["--set", &set, "models", "list"])
            .args(arguments);
        said(&command.output().expect("runs"))
    };
    let (status, _, err) = models(&[]);
    assert_eq!(status, 0);
    assert!(
        err.contains("there is no celebrity gallery") && err.contains("escala celebrities add"),
        "{err}"
    );
    assert!(!data.join("celebrities").exists(), "looking makes nothing");
    assert!(lines(&mut celebrities(data, &["list", "--json"])).is_empty());

    let (eileen, grace) = (photo("astronaut.png"), photo("grace_hopper.jpg"));
    let add = ["add", "Eileen Collins", &eileen, "--json"];
    let new = lines(&mut celebrities(data, &add));
    let again = lines(&mut celebrities(data, &add));
    assert_eq!(
        (&again[0]["id"], &again[0]["faces"]),
        (&new[0]["id"], &json!(2))
    );
    lines(&mut celebrities(
        data,
        &["add", "Grace Hopper", &grace, "--id", "Amazing", "--json"],
    ));
    let listed = lines(&mut celebrities(data, &["list", "--json"]));
    let names: Vec<&Value> = listed.iter().map(|known| &known["name"]).collect();
    assert_eq!(names, ["Eileen Collins", "Grace Hopper"]);
    assert_eq!(listed[1]["id"], "Amazing");
    let (_, out, err) = models(&[]);
    assert!(
        out.contains("2 people, 3 faces") && !err.contains("gallery"),
        "{out} {err}"
    );
    let found = lines(&mut celebrities(
        data,
        &["recognise", &eileen, &grace, "--json"],
    ));
    assert_eq!(found[0]["celebrities"][0]["name"], "Eileen Collins");
    assert_eq!(found[1]["celebrities"][0]["id"], "Amazing");

    let cat = photo("chelsea.png");
    let (status, _, err) = said(
        &celebrities(data, &["add", "A Cat", &cat])
            .output()
            .expect("runs"),
    );
    assert!(
        status == 1 && err.contains("chelsea.png") && err.contains("no face"),
        "{err}"
    );
    let (status, _, err) = said(&celebrities(data, &["rm", "Nobody"]).output().expect("runs"));
    assert!(status == 1 && err.contains("Nobody"), "{err}");
    lines(&mut celebrities(
        data,
        &["rm", "Eileen Collins", "Amazing", "--json"],
    ));
    assert!(lines(&mut celebrities(data, &["list", "--json"])).is_empty());
}

#[test]
fn collections_are_filled_and_searched_without_a_server() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let collections = |arguments: &[&str]| command(data.path(), "collections", arguments);
    let (eileen, cat) = (photo("astronaut.png"), photo("chelsea.png"));
    lines(&mut collections(&["create", "people", "others", "--json"]));
    let again = said(&collections(&["create", "people"]).output().expect("runs"));
    assert!(again.0 == 1 && again.2.contains("people"), "{}", again.2);
    let index = [
        "index",
        "people",
        &eileen,
        &cat,
        "--external-id",
        "eileen",
        "--json",
    ];
    let indexed = lines(&mut collections(&index));
    let face = &indexed[0]["faces"][0]["face"];
    assert_eq!(
        (&face["external_id"], &indexed[1]["faces"]),
        (&json!("eileen"), &json!([]))
    );
    let found = lines(&mut collections(&["search", "people", &eileen, "--json"]));
    assert_eq!(found[0]["matches"][0]["face"]["id"], face["id"]);
    let none = said(
        &collections(&["search", "people", &cat])
            .output()
            .expect("runs"),
    );
    assert!(none.0 == 1 && none.2.contains("chelsea.png"), "{}", none.2);
    let listed = lines(&mut collections(&["list", "--json"]));
    let counts: Vec<_> = listed.iter().map(|c| (&c["id"], &c["faces"])).collect();
    assert_eq!(
        counts,
        [(&json!("others"), &json!(0)), (&json!("people"), &json!(1))]
    );
    lines(&mut collections(&["rm", "people", "--json"]));
    assert_eq!(lines(&mut collections(&["list", "--json"])).len(), 1);
}

/// Every operation on collections, their faces, users and tags is there without a server too.
#[test]
fn users_of_collections_have_faces_without_a_server() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let collections = |arguments: &[&str]| command(data.path(), "collections", arguments);
    let all = |arguments: &[&str]| lines(collections(arguments).arg("--json"));
    let some = |arguments: &[&str]| {
        let (status, out, err) = said(&collections(arguments).output().expect("runs"));
        assert_eq!(status, 1, "{out}\n{err}");
        (out, err)
    };
    let (eileen, grace) = (photo("astronaut.png"), photo("grace_hopper.jpg"));
    all(&["create", "people", "--tag", "team=a", "--tag", "draft=yes"]);
    let tags = all(&["tag", "people", "team=b", "--remove", "draft"]);
    assert_eq!(tags[0]["tags"], json!({"team": "b"}));
    let index = |photo: &str, name: &str| {
        let indexed = all(&["index", "people", photo, "--external-id", name, "--looks"]);
        let face = &indexed[0]["faces"][0];
        assert!(face["seen"]["smile"].is_f64(), "{face}");
        face["face"]["id"].as_str().expect("an id").to_owned()
    };
    let [one, two] = ["one", "two"].map(|name| index(&eileen, name));
    let other = index(&grace, "three");

    let listed = |arguments: &[&str]| {
        let faces = all(&[&["faces", "list", "people"], arguments].concat());
        let mut ids: Vec<_> = faces.iter().map(|face| face["id"].clone()).collect();
        ids.sort_by_key(Value::to_string);
        ids
    };
    assert_eq!(listed(&[]).len(), 3);
    assert_eq!(listed(&[&two]), [json!(two)]);
    let alike = all(&["search", "people", "--face", &one]);
    let found = |answer: &Value| answer["matches"].as_array().expect("matches").clone();
    assert_eq!(found(&alike[0]).len(), 1, "{alike:?}");
    assert_eq!(found(&alike[0])[0]["face"]["id"], json!(two));

    all(&["users", "create", "people", "eileen", "grace"]);
    let (_, err) = some(&["users", "create", "people", "grace"]);
    assert!(err.contains("grace exists already"), "{err}");
    let done = all(&["users", "associate", "people", "eileen", &one, &two]);
    assert_eq!(done.len(), 2);
    // Of those that cannot be done, each is named with why; the others are done.
    let (out, err) = some(&["users", "associate", "people", "grace", &one, &other]);
    assert!(
        err.contains(&format!("{one}: ASSOCIATED_TO_A_DIFFERENT_USER (eileen)")),
        "{err}"
    );
    assert!(out.contains(&format!("{other}: associated")), "{out}");
    // What it has already is not told.
    assert!(all(&["users", "associate", "people", "grace", &other]).is_empty());
    assert_eq!(listed(&["--user", "grace"]), [json!(other)]);
    let users = all(&["users", "list", "people"]);
    let users: Vec<_> = users
        .iter()
        .map(|user| (&user["id"], &user["faces"]))
        .collect();
    assert_eq!(
        users,
        [(&json!("eileen"), &json!(2)), (&json!("grace"), &json!(1))]
    );

    for (who, nearest) in [
        (vec![grace.as_str()], "grace"),
        (vec!["--face", &two], "eileen"),
        (vec!["--user", "eileen", "--threshold", "0"], "grace"),
    ] {
        let answer = all(&[&["users", "search", "people"], &who[..]].concat());
        assert_eq!(found(&answer[0])[0]["user"]["id"], nearest, "{answer:?}");
    }

    let (_, err) = some(&["faces", "rm", "people", &one]);
    assert!(
        err.contains("ASSOCIATED_TO_AN_EXISTING_USER (eileen)"),
        "{err}"
    );
    all(&["users", "disassociate", "people", "eileen", &one]);
    all(&["faces", "rm", "people", &one]);
    assert_eq!(listed(&[]).len(), 2);
    all(&["users", "rm", "people", "grace"]);
    let about = all(&["describe", "people"]);
    assert_eq!(
        (
            &about[0]["faces"],
            &about[0]["users"],
            &about[0]["tags"]["team"]
        ),
        (&json!(2), &json!(1), &json!("b"))
    );
    let (status, out, _) = said(&collections(&["describe", "people"]).output().expect("runs"));
    assert!(status == 0 && out.contains("tag team  b"), "{out}");
}

/// One collection that cannot be read hides none of the others.
#[test]
fn collections_beside_one_that_cannot_be_read_are_listed() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let collections = |arguments: &[&str]| command(data.path(), "collections", arguments);
    lines(&mut collections(&["create", "early", "--json"]));
    let folder = fs::read_dir(data.path().join("collections")).expect("a folder");
    let mut journals = folder.map(|found| found.expect("an entry").path().join("faces.log"));
    let journal = journals.find(|path| path.is_file()).expect("a journal");
    let mut bytes = fs::read(&journal).expect("bytes");
    // Its version, of a program that is yet to be.
    bytes[8] = 200;
    fs::write(&journal, &bytes).expect("written");
    lines(&mut collections(&["create", "other", "--json"]));
    let (status, out, err) = said(&collections(&["list"]).output().expect("runs"));
    assert!(status == 1 && out.contains("other"), "{out}");
    assert!(
        err.contains("early") && err.contains("it has version 200"),
        "{err}"
    );
    let (status, _, err) = said(&collections(&["create", "early"]).output().expect("runs"));
    assert!(status == 1 && err.contains("early exists already"), "{err}");
}

#[test]
fn who_was_made_known_survives_a_killed_server_which_says_that_it_has_the_gallery() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let data = data.path();
    let first = Server::start(&setup(data));
    assert!(recognised(&first, "astronaut.png").is_empty());
    // A server that nobody told of anybody has no gallery open, so that one can be filled beside it.
    let eileen = photo("astronaut.png");
    lines(&mut celebrities(
        data,
        &["add", "Eileen Collins", &eileen, "--json"],
    ));
    assert_eq!(recognised(&first, "astronaut.png"), ["Eileen Collins"]);
    // Now it has.
    let grace = photo("grace_hopper.jpg");
    let (status, _, err) = said(
        &celebrities(data, &["add", "Grace Hopper", &grace])
            .output()
            .expect("runs"),
    );
    assert_eq!(status, 1);
    assert!(
        err.contains("another process") && err.contains("/v1/images/celebrities/gallery"),
        "{err}"
    );
    let bytes = base64::Engine::encode(
        &base64::prelude::BASE64_STANDARD,
        golden_image("grace_hopper.jpg"),
    );
    let body = json!({"name": "Grace Hopper", "images": [bytes]});
    let added = first.post_json("/v1/images/celebrities/gallery", &body);
    assert_eq!(added.status, 201, "{added:?}");
    // Dropped, a server of the tests is killed, not asked to stop.
    drop(first);
    let second = Server::start(&setup(data));
    assert_eq!(recognised(&second, "astronaut.png"), ["Eileen Collins"]);
    assert_eq!(recognised(&second, "grace_hopper.jpg"), ["Grace Hopper"]);
}

#[test]
fn a_killed_command_adds_somebody_whole_or_not_at_all() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let data = data.path();
    let (eileen, grace) = (photo("astronaut.png"), photo("grace_hopper.jpg"));
    let first = lines(&mut celebrities(data, &["add", "Known", &grace, "--json"]));
    let mut seen = [0, 0];
    // Longer and longer, until the command has ended by itself.
    for round in 0_u64.. {
        let mut child = celebrities(data, &["add", "Eileen Collins", &eileen, &eileen, "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(std::time::Duration::from_millis(400 * round));
        let ended = child.try_wait().expect("a status").is_some();
        child.kill().expect("killed");
        let output = child.wait_with_output().expect("its words");
        let acknowledged = !output.stdout.is_empty();
        let listed = lines(&mut celebrities(data, &["list", "--json"]));
        let eileen = listed
            .iter()
            .find(|known| known["name"] == "Eileen Collins");
        let faces = eileen.map_or(0, |known| known["faces"].as_u64().expect("a number"));
        assert_eq!(faces % 2, 0, "both photographs or none");
        if acknowledged {
            assert!(faces >= 2, "acknowledged and lost");
        }
        assert!(listed.contains(&first[0]), "{listed:?}");
        seen[usize::from(faces > 0)] += 1;
        if ended {
            break;
        }
        assert!(round < 200, "the command never ended");
    }
    assert!(
        seen[0] > 0 && seen[1] > 0,
        "killed before and after: {seen:?}"
    );
}
