//! Checkpoints from the hub and from folders, whole and broken.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::hub::{Fault, Hub};
use common::{Bench, HUB, Recorder, catalog, files_below};
use escala_weights::format::safetensors::{Contents, Tensor, write};
use escala_weights::{Error, ModelFiles, Silent, Stage, Store, StoreOptions, Tensors};
use std::fs;
use std::path::Path;

const COMMIT: &str = "1234567890abcdef1234567890abcdef12345678";

fn tensors() -> Vec<u8> {
    let mut contents = Contents::default();
    let values: Vec<f32> = (0..50_000).map(|i| i as f32).collect();
    let tensor = Tensor::f32(&[50_000], &values);
    contents.tensors.insert("w".to_owned(), tensor);
    let mut file = Vec::new();
    write(&contents, &mut file).unwrap();
    file
}

const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// The same in two files, and what lists them.
const IN_PARTS: [&str; 5] = [
    "config.json",
    "tokenizer.json",
    "model.safetensors.index.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
];

fn part(name: &str, from: usize) -> Vec<u8> {
    let mut contents = Contents::default();
    let values: Vec<f32> = (from..from + 1000).map(|i| i as f32).collect();
    let tensor = Tensor::f32(&[10, 100], &values);
    contents.tensors.insert(name.to_owned(), tensor);
    let mut file = Vec::new();
    write(&contents, &mut file).unwrap();
    file
}

fn list(first: &str, second: &str) -> String {
    format!(
        "{{\"metadata\": {{\"total_size\": 8000}}, \"weight_map\": {{\"a\": {first:?}, \"b\": {second:?}}}}}"
    )
}

fn content(name: &str) -> Vec<u8> {
    match name {
        "model.safetensors" => tensors(),
        "model.safetensors.index.json" => list(IN_PARTS[3], IN_PARTS[4]).into_bytes(),
        "model-00001-of-00002.safetensors" => part("a", 0),
        "model-00002-of-00002.safetensors" => part("b", 1000),
        other => format!("{{\"name\": \"{other}\"}}").into_bytes(),
    }
}

/// Serves a repository at a revision.
fn serve(hub: &Hub, revision: &str, commit: &str, files: &[&str]) {
    let listed = files
        .iter()
        .map(|name| format!("{{\"rfilename\": \"{name}\"}}"));
    let listed = listed.collect::<Vec<_>>().join(", ");
    let listing = format!("{{\"sha\": \"{commit}\", \"siblings\": [{listed}]}}");
    hub.serve(
        &format!("/api/models/org/name/revision/{revision}"),
        listing.into_bytes(),
    );
    for name in files {
        let path = format!("/org/name/resolve/{commit}/{name}");
        hub.serve(&path, content(name));
    }
}

fn options(bench: &Bench, hub: &Hub) -> StoreOptions {
    StoreOptions {
        hub_endpoint: Some(hub.endpoint()),
        ..bench.options(catalog(&[HUB]))
    }
}

fn store(bench: &Bench, hub: &Hub) -> Store {
    Store::open(options(bench, hub)).unwrap()
}

fn check(files: &ModelFiles, names: &[&str]) {
    let listed: Vec<_> = files
        .manifest()
        .files
        .iter()
        .map(|f| f.name.as_str())
        .collect();
    assert_eq!(listed, names);
    for name in names {
        assert_eq!(
            fs::read(files.path(name).unwrap()).unwrap(),
            content(name),
            "{name}"
        );
    }
    let weights = names
        .iter()
        .find(|name| name.starts_with("model.safetensors"));
    Tensors::open(files.path(weights.unwrap()).unwrap()).unwrap();
}

fn why(result: Result<ModelFiles, Error>) -> (String, String, bool) {
    match result {
        Err(Error::Pull { mut attempts, .. }) if attempts.len() == 1 => {
            let attempt = attempts.remove(0);
            (attempt.why, attempt.hint, attempt.transient)
        }
        other => panic!("{other:?}"),
    }
}

/// What is there of repositories, without what a pull keeps for the next.
fn there(store: &Store) -> Vec<std::path::PathBuf> {
    files_below(&store.dir().join("hub"))
}

#[test]
fn a_repository_is_pulled_once_and_stays_what_it_was() {
    let (bench, hub) = (Bench::new(), Hub::start());
    serve(
        &hub,
        "main",
        COMMIT,
        &[&FILES[..], &["README.md", "pytorch_model.bin"]].concat(),
    );
    let seen = Recorder::default();
    let files = store(&bench, &hub).checkpoint("org/name", &seen).unwrap();
    check(&files, &FILES);
    assert_eq!(files.manifest().version, COMMIT);
    for stage in [Stage::Fetch, Stage::Verify, Stage::Publish, Stage::Ready] {
        assert!(seen.stages().contains(&stage), "{:?}", seen.stages());
    }
    let requests = hub.requests();
    assert!(
        requests.iter().all(|r| r.token == "Bearer secret"),
        "{requests:?}"
    );
    // Every file comes from the commit, and nothing else comes.
    let fetched = requests.iter().filter(|r| !r.path.starts_with("/api/"));
    assert!(
        fetched
            .clone()
            .all(|r| r.path.contains(COMMIT) && FILES.iter().any(|f| r.path.ends_with(f))),
        "{requests:?}"
    );
    // The branch goes on; the reference does not, and asks nobody.
    serve(&hub, "main", "ffff", &FILES);
    let offline = Store::open(StoreOptions {
        offline: true,
        ..options(&bench, &hub)
    });
    let again = offline
        .unwrap()
        .checkpoint("org/name@main", &Silent)
        .unwrap();
    assert_eq!(
        (again.dir(), again.manifest()),
        (files.dir(), files.manifest())
    );
    assert_eq!(hub.requests().len(), requests.len());
    // Another revision is another reference.
    serve(&hub, "refs%2Fpr%2F7", "7777", &FILES);
    let other = store(&bench, &hub)
        .checkpoint("org/name@refs/pr/7", &Silent)
        .unwrap();
    assert_eq!(other.manifest().version, "7777");
    assert_ne!(other.dir(), files.dir());
    // Nothing is kept of the pulls but locks.
    let left = files_below(&bench.path("store/.pull"));
    assert!(
        left.iter()
            .all(|p| p.extension().is_some_and(|e| e == "lock")),
        "{left:?}"
    );
}

#[test]
fn what_a_sentence_encoder_says_of_itself_comes_along() {
    let (bench, hub) = (Bench::new(), Hub::start());
    let more = [
        "modules.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    ];
    let all = [&FILES[..], &more].concat();
    serve(&hub, "main", COMMIT, &all);
    check(
        &store(&bench, &hub).checkpoint("org/name", &Silent).unwrap(),
        &all,
    );
    // Found again with every one of them.
    check(
        &store(&bench, &hub).checkpoint("org/name", &Silent).unwrap(),
        &all,
    );
}

#[test]
fn a_broken_connection_goes_on_where_it_stopped() {
    let (bench, hub) = (Bench::new(), Hub::start());
    serve(&hub, "main", COMMIT, &FILES);
    hub.faults([Fault::BreakAfter(5), Fault::BreakAfter(7)]);
    let pulled = store(&bench, &hub).checkpoint("org/name", &Silent);
    check(&pulled.unwrap(), &FILES);
    assert_eq!(hub.faults_left(), 0);
    assert_eq!(hub.starts("/config.json"), [0, 5, 12]);
    assert_eq!(hub.starts("/model.safetensors"), [0]);
}

#[test]
fn a_failed_pull_says_why_and_leaves_nothing_visible() {
    let (bench, hub) = (Bench::new(), Hub::start());
    let pull = || store(&bench, &hub).checkpoint("org/name", &Silent);
    let (said, hint, transient) = why(pull());
    assert!(
        said.contains("404") && hint.contains("revision") && !transient,
        "{said} {hint}"
    );
    assert!(hint.contains("give its path"), "{hint}");
    serve(
        &hub,
        "main",
        COMMIT,
        &["config.json", "tokenizer.json", "pytorch_model.bin"],
    );
    let (said, ..) = why(pull());
    assert!(said.contains("only safetensors are read"), "{said}");
    serve(
        &hub,
        "main",
        COMMIT,
        &[
            "config.json",
            "tokenizer.json",
            "model.safetensors.index.json",
        ],
    );
    assert!(
        why(pull())
            .0
            .contains("has no model-00001-of-00002.safetensors")
    );
    serve(&hub, "main", COMMIT, &["config.json", "model.safetensors"]);
    assert!(why(pull()).0.contains("no tokenizer.json"));
    serve(&hub, "main", "../../escape", &FILES);
    assert!(why(pull()).0.contains("calls the commit"));
    hub.serve("/api/models/org/name/revision/main", b"<html>".to_vec());
    assert!(why(pull()).2);
    // Another content than the hub's own checksum says.
    serve(&hub, "main", COMMIT, &FILES);
    let path = format!("/org/name/resolve/{COMMIT}/model.safetensors");
    hub.tag(&path, &"0".repeat(64));
    let (said, _, transient) = why(pull());
    assert!(said.contains("as the hub says") && transient, "{said}");
    // Whole, but no safetensors file.
    hub.tag(&path, "plain");
    hub.serve(&path, tensors()[..1000].to_vec());
    assert!(matches!(pull(), Err(Error::Tensors(_))));
    assert_eq!(
        there(&store(&bench, &hub)),
        [""; 0].map(std::path::PathBuf::from)
    );
    hub.serve(&path, tensors());
    check(&pull().unwrap(), &FILES);
}

#[test]
fn offline_asks_nobody_and_a_hub_that_hangs_is_given_up() {
    let (bench, hub) = (Bench::new(), Hub::start());
    let offline = Store::open(StoreOptions {
        offline: true,
        ..options(&bench, &hub)
    });
    let (said, hint, _) = why(offline.unwrap().checkpoint("org/name", &Silent));
    assert!(
        said.contains("offline") && hint.contains("online"),
        "{said} {hint}"
    );
    assert_eq!(hub.requests().len(), 0);
    serve(&hub, "main", COMMIT, &FILES);
    hub.faults([Fault::HangAfter(3)]);
    let hasty = Store::open(StoreOptions {
        stall: std::time::Duration::from_millis(300),
        ..options(&bench, &hub)
    });
    let (said, _, transient) = why(hasty.unwrap().checkpoint("org/name", &Silent));
    assert!(
        said.contains("nothing came for 0.3 seconds") && transient,
        "{said}"
    );
}

#[test]
fn weights_in_several_files_are_pulled_and_read() {
    let (bench, hub) = (Bench::new(), Hub::start());
    let mut files = IN_PARTS.to_vec();
    files.push("README.md");
    for revision in ["main", COMMIT] {
        serve(&hub, revision, COMMIT, &files);
    }
    let store = store(&bench, &hub);
    let pulled = store.checkpoint("org/name", &Silent).unwrap();
    check(&pulled, &IN_PARTS);
    let tensors = Tensors::open(pulled.path(IN_PARTS[2]).unwrap()).unwrap();
    assert_eq!(tensors.names(), ["a", "b"]);
    for (name, first) in [("a", 0.0), ("b", 1000.0)] {
        let values = tensors.f32_of(name, &[10, 100]).unwrap();
        let expected: Vec<f32> = (0..1000).map(|i| first + i as f32).collect();
        assert_eq!(*values, expected);
    }
    assert!(tensors.f32("c").is_err());
    let both: usize = IN_PARTS[3..].iter().map(|name| content(name).len()).sum();
    assert_eq!(tensors.bytes(), both as u64);
    // What was damaged, the list too, is pulled again.
    for (number, name) in IN_PARTS.iter().enumerate().skip(2) {
        let path = pulled.path(name).unwrap();
        drop(fs::remove_file(&path));
        if number == 2 {
            fs::write(&path, "{").unwrap();
        }
        check(&store.checkpoint("org/name", &Silent).unwrap(), &IN_PARTS);
    }
}

#[test]
fn a_list_of_files_names_files_beside_it() {
    let (bench, hub) = (Bench::new(), Hub::start());
    let folder = bench.path("mine");
    fs::create_dir_all(&folder).unwrap();
    for name in IN_PARTS {
        fs::write(folder.join(name), content(name)).unwrap();
    }
    let open = || store(&bench, &hub).checkpoint(folder.to_str().unwrap(), &Silent);
    check(&open().unwrap(), &IN_PARTS);
    let [_, _, index, first, second] = IN_PARTS;
    for (text, why) in [
        (list("../secret.safetensors", second), "secret"),
        (list("/etc/passwd", second), "passwd"),
        (list(".safetensors", second), "safetensors"),
        (list(first, "model.bin"), "model.bin"),
        (list(first, "model-00003-of-00002.safetensors"), "00003"),
        // The tensor is in the other one.
        (list(second, first), "no tensor \"a\""),
        ("{\"weight_map\": {}}".to_owned(), "0 files"),
        ("{}".to_owned(), "weight_map"),
        ("[".to_owned(), "does not list"),
    ] {
        fs::write(folder.join(index), &text).unwrap();
        let error = open().unwrap_err();
        let mut said = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            said.push_str(&inner.to_string());
            source = inner.source();
        }
        assert!(said.contains(why), "{text}: {said}");
    }
}

#[test]
fn a_damaged_checkpoint_is_pulled_again() {
    let (bench, hub) = (Bench::new(), Hub::start());
    serve(&hub, "main", COMMIT, &FILES);
    let files = store(&bench, &hub).checkpoint("org/name", &Silent).unwrap();
    fs::remove_file(files.path("tokenizer.json").unwrap()).unwrap();
    // The branch has moved on meanwhile; what was pulled is made whole.
    serve(&hub, "main", "ffff", &FILES);
    serve(&hub, COMMIT, COMMIT, &FILES);
    let again = store(&bench, &hub).checkpoint("org/name", &Silent).unwrap();
    check(&again, &FILES);
    assert_eq!(
        (again.dir(), again.manifest()),
        (files.dir(), files.manifest())
    );
}

fn fill(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for name in FILES {
        fs::write(folder.join(name), content(name)).unwrap();
    }
}

#[test]
fn a_folder_is_used_where_it_is() {
    let (bench, hub) = (Bench::new(), Hub::start());
    let folder = bench.path("mine");
    fill(&folder);
    let reference = folder.to_str().unwrap();
    let open = || store(&bench, &hub).checkpoint(reference, &Silent);
    let files = open().unwrap();
    check(&files, &FILES);
    assert_eq!(files.dir(), folder);
    let model = folder.join("model.safetensors");
    fs::write(&model, &tensors()[..1000]).unwrap();
    assert!(matches!(open(), Err(Error::Tensors(_))));
    fs::remove_file(&model).unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
    fs::write(folder.join("pytorch_model.bin"), b"x").unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("only safetensors are read"), "{error}");
    let nowhere = bench.path("nowhere");
    let error = store(&bench, &hub)
        .checkpoint(nowhere.to_str().unwrap(), &Silent)
        .unwrap_err();
    assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
    let error = store(&bench, &hub)
        .checkpoint("no such thing", &Silent)
        .unwrap_err();
    assert!(matches!(error, Error::Reference { .. }), "{error}");
    assert_eq!(hub.requests().len(), 0);
}
