//! What every [`ObjectStore`] must do, as one test.

use super::{Error, ObjectName, ObjectStore, Objects};
use crate::server::body::Buffers;
use escala_pipelines::Options;
use std::sync::Arc;

/// Checks the contract for the store that `make` makes of buckets and of objects (bucket, key, bytes) in them.
pub fn holds<S: ObjectStore + 'static>(make: impl FnOnce(&[&str], &[(&str, &str, &[u8])]) -> S) {
    let long = "k".repeat(255);
    let deep = vec!["d"; 500].join("/");
    let kept: Vec<(&str, &str, &[u8])> = vec![
        ("photos", "a.png", b"first"),
        ("photos", "2026/summer/a b.png", b"second"),
        ("photos", "größe/照片 🙂.jpg", b"third"),
        ("photos", "empty", b""),
        ("photos", ".hidden", b"fourth"),
        ("photos", "...", b"dots"),
        ("photos", &long, b"long"),
        ("photos", &deep, b"deep"),
        ("photos.other-1", "a.png", b"fifth"),
    ];
    let store = Arc::new(make(&["photos", "photos.other-1", "bare"], &kept));
    let objects = Objects::new(store, 6, Arc::new(Buffers::new(1 << 20)));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    let read = |bucket: &str, key: &str, version: Option<&str>| {
        let name = ObjectName::new(bucket, key, version)?;
        runtime.block_on(objects.read(name, Options::default()))
    };
    for (bucket, key, bytes) in kept {
        for version in [None, Some("null")] {
            let got = read(bucket, key, version);
            let got = got.unwrap_or_else(|error| panic!("{bucket}/{key}: {error}"));
            assert_eq!(got, bytes, "{bucket}/{key}");
        }
    }
    for version in ["", "1", "NULL", "3HL4kqtJvjVBH40Nrjfkd"] {
        let other = read("photos", "a.png", Some(version));
        assert!(matches!(other, Err(Error::NoVersion)), "{version}");
    }
    for bucket in ["nothing", "a.png", "photos.other"] {
        let none = read(bucket, "a.png", None);
        assert!(
            matches!(&none, Err(Error::NoBucket(name)) if name == bucket),
            "{bucket}"
        );
    }
    let absent = "x".repeat(1024);
    for key in [
        "b.png",
        "A.PNG",
        "2026",
        "2026/summer",
        "a.png/x",
        "bare",
        "a.png ",
        "\\..\\a.png",
        "~",
        "%2e%2e/a.png",
        absent.as_str(),
    ] {
        let none = read("photos", key, None);
        assert!(
            matches!(&none, Err(Error::NoKey(_, name)) if name == key),
            "{key}"
        );
    }
    assert!(matches!(read("bare", "a.png", None), Err(Error::NoKey(..))));
    for (bucket, key) in [
        ("..", "a.png"),
        ("photos/2026", "a.png"),
        ("photos", ""),
        ("photos", "/a.png"),
        ("photos", "../photos/a.png"),
        ("photos", "2026/../a.png"),
        ("photos", "./a.png"),
        ("photos", "2026//a.png"),
        ("photos", "2026/"),
        ("photos", "a.png\0"),
    ] {
        let refused = read(bucket, key, None);
        assert!(matches!(refused, Err(Error::Name(_))), "{bucket} {key:?}");
    }
}
