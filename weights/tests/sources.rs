//! Every kind of source, whole and broken.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::hub::{Fault, Hub};
use common::{
    Bench, CONFIG, COPY_WHEEL, HUB, Recorder, catalog, files_below, package, tarball, visible,
    weights, wheel,
};
use escala_weights::{Attempt, Catalog, Error, Silent, Stage, Status, Store, StoreOptions};
use std::fs;
use std::time::{Duration, Instant};

fn hub_store(bench: &Bench, hub: &Hub) -> Store {
    let options = bench.options(catalog(&[HUB]));
    Store::open(StoreOptions {
        hub_endpoint: Some(hub.endpoint()),
        local: None,
        ..options
    })
    .unwrap()
}

fn attempts(result: Result<escala_weights::ModelFiles, Error>) -> Vec<Attempt> {
    match result {
        Err(Error::Pull { model, attempts }) if model == "toy" => attempts,
        other => panic!("{other:?}"),
    }
}

/// The toy is published, right, and nothing else is left.
fn check_published(store: &Store) {
    let model = store.find("toy").unwrap().expect("published");
    assert_eq!(
        fs::read(model.path("model.bin").unwrap()).unwrap(),
        weights()
    );
    assert_eq!(
        fs::read(model.path("config.json").unwrap()).unwrap(),
        CONFIG
    );
    let notice = fs::read_to_string(model.path("NOTICE").unwrap()).unwrap();
    assert!(
        notice.contains("CC0-1.0") && notice.contains("Made for tests."),
        "{notice}"
    );
    assert_eq!(visible(store), ["toy"]);
    let left = files_below(&store.dir().join(".pull"));
    assert!(
        left.iter()
            .all(|path| path.extension().is_some_and(|e| e == "lock")),
        "{left:?}"
    );
    store.verify("toy").unwrap();
}

#[test]
fn a_hub_gives_the_files_and_gets_the_token() {
    let (bench, hub) = (Bench::new(), Hub::start());
    let store = hub_store(&bench, &hub);
    let seen = Recorder::default();
    store.ensure("toy", &seen).unwrap();
    check_published(&store);
    let requests = hub.requests();
    assert!(
        requests.iter().all(|r| r.token == "Bearer secret"),
        "{requests:?}"
    );
    assert!(
        requests
            .iter()
            .any(|r| r.path == "/someone/toy/resolve/abc123/sub/weights.bin"),
        "{requests:?}"
    );
    for stage in [
        Stage::Fetch,
        Stage::Verify,
        Stage::Convert,
        Stage::Publish,
        Stage::Ready,
    ] {
        assert!(seen.stages().contains(&stage), "{:?}", seen.stages());
    }
    let origin = &store.find("toy").unwrap().unwrap().manifest().inputs[0]
        .source
        .clone();
    assert_eq!(origin, "hub repository someone/toy");
}

#[test]
fn a_broken_connection_goes_on_where_it_stopped() {
    let (bench, hub) = (Bench::new(), Hub::start());
    hub.faults([Fault::BreakAfter(100_000), Fault::BreakAfter(50_000)]);
    let store = hub_store(&bench, &hub);
    store.ensure("toy", &Silent).unwrap();
    assert_eq!(hub.faults_left(), 0);
    assert_eq!(hub.starts("weights.bin"), [0, 100_000, 150_000]);
    check_published(&store);
}

#[test]
fn a_failed_pull_leaves_what_came_for_the_next_one() {
    let (bench, hub) = (Bench::new(), Hub::start());
    let store = hub_store(&bench, &hub);
    hub.faults([Fault::BreakAfter(60_000); 4]);
    let attempts = attempts(store.ensure("toy", &Silent));
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert!(
        attempts[0].transient && attempts[0].why.contains("4 attempts"),
        "{attempts:?}"
    );
    assert!(
        attempts[0].hint.contains("HF_ENDPOINT") && attempts[0].hint.contains("ESCALA_WEIGHTS_DIR"),
        "{attempts:?}"
    );
    assert_eq!(visible(&store), [""; 0]);
    store.ensure("toy", &Silent).unwrap();
    assert_eq!(hub.starts("weights.bin").last(), Some(&240_000));
    check_published(&store);
}

#[test]
fn wrong_content_is_refused_and_not_kept() {
    let (bench, hub) = (Bench::new(), Hub::start());
    let store = hub_store(&bench, &hub);
    let path = "/someone/toy/resolve/abc123/sub/weights.bin";
    let mut wrong = weights();
    wrong[1234] ^= 1;
    for (bytes, says) in [
        (wrong, "SHA-256"),
        (weights()[..1000].to_vec(), "1000 bytes"),
        ([weights(), vec![0]].concat(), "more than"),
    ] {
        hub.serve(path, bytes);
        let attempts = attempts(store.ensure("toy", &Silent));
        assert!(
            !attempts[0].transient || says == "more than",
            "{attempts:?}"
        );
        assert!(attempts[0].why.contains(says), "{says}: {attempts:?}");
        assert_eq!(store.status("toy").unwrap(), Status::Missing);
        assert_eq!(visible(&store), [""; 0]);
    }
    hub.serve(path, weights());
    store.ensure("toy", &Silent).unwrap();
    check_published(&store);
}

#[test]
fn a_hub_that_hangs_is_given_up() {
    let (bench, hub) = (Bench::new(), Hub::start());
    hub.faults([Fault::HangAfter(1000)]);
    let options = bench.options(catalog(&[HUB]));
    let stall = Duration::from_millis(300);
    let store = Store::open(StoreOptions {
        hub_endpoint: Some(hub.endpoint()),
        stall,
        local: None,
        ..options
    })
    .unwrap();
    let attempts = attempts(store.ensure("toy", &Silent));
    assert!(
        attempts[0].why.contains("nothing came for 0.3 seconds"),
        "{attempts:?}"
    );
    // The same process can try again at once.
    store.ensure("toy", &Silent).unwrap();
    check_published(&store);
}

#[test]
fn a_hub_that_refuses_is_not_asked_again_and_the_hint_says_why() {
    for (status, hint) in [(401, "HF_TOKEN"), (403, "HF_TOKEN"), (404, "revision")] {
        let (bench, hub) = (Bench::new(), Hub::start());
        hub.refuse(status);
        let attempts = attempts(hub_store(&bench, &hub).ensure("toy", &Silent));
        assert!(
            attempts[0].hint.contains(hint) && attempts[0].why.contains(&status.to_string()),
            "{attempts:?}"
        );
        assert_eq!(hub.requests().len(), 1);
    }
}

#[test]
fn pip_downloads_a_wheel_and_installs_nothing() {
    let bench = Bench::new();
    let store = bench.pip_store(COPY_WHEEL);
    store.ensure("toy", &Silent).unwrap();
    check_published(&store);
    let calls = bench.calls();
    assert_eq!(calls.len(), 1);
    assert!(
        calls[0].starts_with("download --no-deps --only-binary=:all:"),
        "{calls:?}"
    );
    assert!(calls[0].ends_with(" toy-model==1.2.3"), "{calls:?}");
}

#[test]
fn npm_packs_a_tarball_without_scripts() {
    let bench = Bench::new();
    bench.put("toy.tgz", &tarball());
    let npm = bench.tool("cp \"$root/toy.tgz\" \"$dest/toy-model-1.2.3.tgz\"");
    let catalog = catalog(&[&package("npm", "toy-model-1.2.3.tgz", &tarball())]);
    let store = Store::open(StoreOptions {
        npm,
        local: None,
        ..bench.options(catalog)
    })
    .unwrap();
    store.ensure("toy", &Silent).unwrap();
    check_published(&store);
    let calls = bench.calls();
    assert!(
        calls[0].starts_with("pack --ignore-scripts") && calls[0].ends_with(" toy-model@1.2.3"),
        "{calls:?}"
    );
}

#[test]
fn a_tool_that_fails_is_quoted() {
    let bench = Bench::new();
    let store =
        bench.pip_store("echo first line; echo 'ERROR: no matching distribution' >&2; exit 3");
    let attempts = attempts(store.ensure("toy", &Silent));
    assert_eq!(attempts[0].source, "Python package toy-model 1.2.3 (pip)");
    assert!(attempts[0].why.contains("exit status: 3"), "{attempts:?}");
    assert!(
        attempts[0]
            .why
            .contains("first line\nERROR: no matching distribution"),
        "{attempts:?}"
    );
    assert!(attempts[0].transient);
    assert_eq!(visible(&store), [""; 0]);
}

#[test]
fn every_source_that_failed_is_listed_with_what_to_do() {
    let bench = Bench::new();
    let sources = [
        package("pip", "toy.whl", &wheel()),
        package("npm", "toy.tgz", &tarball()),
        HUB.to_owned(),
    ];
    let options = bench.options(catalog(&sources.each_ref().map(String::as_str)));
    let store = Store::open(options).unwrap();
    let result = store.ensure("toy", &Silent);
    let text = result.as_ref().unwrap_err().to_string();
    let attempts = attempts(result);
    let named: Vec<_> = attempts
        .iter()
        .map(|a| a.source.split(' ').next().unwrap())
        .collect();
    assert_eq!(named, ["folder", "Python", "npm", "hub"]);
    for says in [
        "no program \"no-such-pip\"",
        "python3-pip",
        "no-such-npm",
        "HF_ENDPOINT",
        "is not a folder",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    assert!(
        text.contains("put config.json, weights.bin into <folder>/toy/ and set ESCALA_WEIGHTS_DIR"),
        "{text}"
    );
}

#[test]
fn another_archive_than_the_pinned_one_is_not_opened() {
    let bench = Bench::new();
    let store = bench.pip_store(COPY_WHEEL);
    let mut other = wheel();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    bench.put("toy.whl", &other);
    let attempts = attempts(store.ensure("toy", &Silent));
    assert!(
        attempts[0].why.contains("SHA-256") && !attempts[0].transient,
        "{attempts:?}"
    );
    assert_eq!(visible(&store), [""; 0]);
    assert_eq!(
        files_below(&store.dir().join(".pull/archives")),
        [""; 0].map(std::path::PathBuf::from)
    );
}

#[test]
fn an_archive_without_the_member_is_an_error() {
    let bench = Bench::new();
    bench.put("toy.whl", &wheel());
    let pip = bench.tool(COPY_WHEEL);
    let source = package("pip", "toy.whl", &wheel()).replace("toy_model/config", "toy_model/other");
    let store = Store::open(StoreOptions {
        pip,
        local: None,
        ..bench.options(catalog(&[&source]))
    })
    .unwrap();
    let attempts = attempts(store.ensure("toy", &Silent));
    assert!(
        attempts[0].why.contains("has no toy_model/other.json"),
        "{attempts:?}"
    );
}

#[test]
fn a_tool_that_takes_too_long_is_ended() {
    let bench = Bench::new();
    bench.put("toy.whl", &wheel());
    let pip = bench.tool("echo $$ > \"$root/pid\"; echo waiting; exec sleep 1000");
    let catalog = catalog(&[&package("pip", "toy.whl", &wheel())]);
    let command_limit = Duration::from_millis(300);
    let store = Store::open(StoreOptions {
        pip,
        command_limit,
        local: None,
        ..bench.options(catalog)
    })
    .unwrap();
    let started = Instant::now();
    let attempts = attempts(store.ensure("toy", &Silent));
    assert!(started.elapsed() < common::PATIENCE);
    assert!(
        attempts[0].why.contains("ended after 0.3 seconds: waiting"),
        "{attempts:?}"
    );
    let pid = fs::read_to_string(bench.path("pid")).unwrap();
    assert!(
        !std::path::Path::new("/proc").join(pid.trim()).exists(),
        "still running"
    );
}

#[test]
fn a_tool_that_writes_too_much_is_ended() {
    let bench = Bench::new();
    let store = bench.pip_store("head -c 80000000 /dev/zero > \"$dest/huge\"; exec sleep 1000");
    let attempts = attempts(store.ensure("toy", &Silent));
    assert!(attempts[0].why.contains("wrote more than"), "{attempts:?}");
}

#[test]
fn the_next_source_is_tried_when_one_fails() {
    let (bench, hub) = (Bench::new(), Hub::start());
    let catalog = catalog(&[&package("pip", "toy.whl", &wheel()), HUB]);
    let options = bench.options(catalog);
    let store = Store::open(StoreOptions {
        hub_endpoint: Some(hub.endpoint()),
        local: None,
        ..options
    })
    .unwrap();
    let seen = Recorder::default();
    store.ensure("toy", &seen).unwrap();
    check_published(&store);
    let failed = seen.details(Stage::Failed);
    assert_eq!(
        failed,
        ["Python package toy-model 1.2.3 (pip): no program \"no-such-pip\""]
    );
}

#[test]
fn a_local_folder_is_enough_offline_in_each_layout() {
    for (weights_at, config_at) in [
        ("local/toy/weights.bin", "local/toy/config.json"),
        ("local/weights.bin", "local/toy/config.json"),
    ] {
        let bench = Bench::new();
        bench.put(weights_at, &weights());
        bench.put(config_at, CONFIG);
        let store = Store::open(StoreOptions {
            offline: true,
            ..bench.options(catalog(&[HUB]))
        })
        .unwrap();
        store.ensure("toy", &Silent).unwrap();
        check_published(&store);
    }
    let bench = Bench::new();
    bench.put("local/toy.whl", &wheel());
    let options = bench.options(catalog(&[&package("pip", "toy.whl", &wheel())]));
    let store = Store::open(StoreOptions {
        offline: true,
        ..options
    })
    .unwrap();
    store.ensure("toy", &Silent).unwrap();
    check_published(&store);
}

#[test]
fn a_local_folder_is_held_to_the_checksum_and_filled_up_from_the_next_source() {
    let (bench, hub) = (Bench::new(), Hub::start());
    let mut wrong = weights();
    wrong[0] ^= 1;
    bench.put("local/toy/weights.bin", &wrong);
    let options = bench.options(catalog(&[HUB]));
    let offline = Store::open(StoreOptions {
        offline: true,
        ..options.clone()
    })
    .unwrap();
    let attempts = attempts(offline.ensure("toy", &Silent));
    assert!(attempts[0].why.contains("SHA-256"), "{attempts:?}");
    bench.put("local/toy/weights.bin", &weights());
    let store = Store::open(StoreOptions {
        hub_endpoint: Some(hub.endpoint()),
        ..options
    })
    .unwrap();
    store.ensure("toy", &Silent).unwrap();
    check_published(&store);
    assert!(
        hub.requests()
            .iter()
            .all(|r| r.path.ends_with("config.json")),
        "{:?}",
        hub.requests()
    );
}

#[test]
fn offline_starts_no_source() {
    let (bench, hub) = (Bench::new(), Hub::start());
    bench.put("toy.whl", &wheel());
    let pip = bench.tool(COPY_WHEEL);
    let options = bench.options(catalog(&[&package("pip", "toy.whl", &wheel()), HUB]));
    let options = StoreOptions {
        pip,
        hub_endpoint: Some(hub.endpoint()),
        local: None,
        offline: true,
        ..options
    };
    let store = Store::open(options.clone()).unwrap();
    let attempts = attempts(store.ensure("toy", &Silent));
    assert!(
        attempts
            .iter()
            .all(|a| a.why == "not tried: offline" && a.hint.contains("while online")),
        "{attempts:?}"
    );
    assert_eq!(
        (bench.calls().len(), hub.requests().len(), attempts.len()),
        (0, 0, 2)
    );
    // Pulled once, it works offline.
    Store::open(StoreOptions {
        offline: false,
        ..options
    })
    .unwrap()
    .ensure("toy", &Silent)
    .unwrap();
    store.ensure("toy", &Silent).unwrap();
}

/// A second model of the same archive, that is pulled on demand as the first.
fn two_of_one_archive(archive: &str) -> Catalog {
    let toy = |name: &str, file: &str, bytes: &[u8]| {
        format!(
            r#"
            name = "{name}"
            version = "1"
            task = "test"
            title = "A toy"
            licence = "CC0-1.0"
            notice = "Made for tests."
            files = [{{ name = "{file}", bytes = {}, sha256 = "{}" }}]
            outputs = [{{ name = "model.bin", from = "{file}", convert = {{ kind = "copy" }} }}]
            [[sources]]
            kind = "npm"
            package = "toys"
            version = "1.2.3"
            archive = {archive}
            paths = {{ "{file}" = "package/{file}" }}
            "#,
            bytes.len(),
            common::sha(bytes)
        )
    };
    let (large, small) = (
        toy("large", "weights.bin", &weights()),
        toy("small", "config.json", CONFIG),
    );
    Catalog::parse([("a.toml", large.as_str()), ("b.toml", small.as_str())]).unwrap()
}

#[test]
fn an_archive_of_several_models_is_downloaded_once() {
    let bench = Bench::new();
    let tarball = common::tarball();
    bench.put("toys.tgz", &tarball);
    let archive = format!(
        r#"{{ name = "toys.tgz", bytes = {}, sha256 = "{}" }}"#,
        tarball.len(),
        common::sha(&tarball)
    );
    let store = Store::open(StoreOptions {
        npm: bench.tool("cp \"$root/toys.tgz\" \"$dest/\""),
        local: None,
        ..bench.options(two_of_one_archive(&archive))
    })
    .unwrap();
    store.ensure("large", &Silent).unwrap();
    // Of the archive only what the other model needs is kept.
    assert!(files_below(&store.dir().join(".pull/archives")).is_empty());
    let kept = files_below(&store.dir().join(".pull/files"));
    assert_eq!(kept.len(), 1, "{kept:?}");
    let small = store.ensure("small", &Silent).unwrap();
    assert_eq!(fs::read(small.path("model.bin").unwrap()).unwrap(), CONFIG);
    assert_eq!(bench.calls().len(), 1);
    assert!(files_below(&store.dir().join(".pull/files")).is_empty());
}
