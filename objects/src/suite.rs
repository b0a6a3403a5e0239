//! What every [`ObjectStore`] and every [`WritableStore`] must do, as tests: they panic where one does not.

use crate::{Error, Listed, ObjectName, ObjectStore, WritableStore, after_all_with};
use std::io::{Read, Write};
use std::ops::Range;

fn name(bucket: &str, key: &str) -> ObjectName {
    ObjectName::new(bucket, key, None).expect("a name")
}

fn bytes_of(store: &dyn ObjectStore, name: &ObjectName) -> Result<Vec<u8>, Error> {
    let mut object = store.open(name)?;
    let mut bytes = Vec::new();
    object.bytes.read_to_end(&mut bytes)?;
    assert_eq!(bytes.len() as u64, object.length, "{}", name.key());
    Ok(bytes)
}

fn keys(listed: &[Listed]) -> Vec<&str> {
    listed.iter().map(|object| object.key.as_str()).collect()
}

/// Checks the contract of reading for the store that `make` makes of buckets and of objects (bucket, key, bytes) in them.
/// The keys are such as files can have.
pub fn reads<S: ObjectStore>(make: impl FnOnce(&[&str], &[(&str, &str, &[u8])]) -> S) {
    let long = "k".repeat(255);
    let deep = vec!["d"; 500].join("/");
    let kept: Vec<(&str, &str, &[u8])> = vec![
        ("photos", "a.png", b"first"),
        ("photos", "2026/summer/a b.png", b"second"),
        ("photos", "2026.png", b"before the folder"),
        ("photos", "2026/summer!", b"between"),
        ("photos", "20261", b"after the folder"),
        ("photos", "größe/照片 🙂.jpg", b"third"),
        ("photos", "empty", b""),
        ("photos", ".hidden", b"fourth"),
        ("photos", "...", b"dots"),
        ("photos", &long, b"long"),
        ("photos", &deep, b"deep"),
        ("photos.other-1", "a.png", b"fifth"),
    ];
    let store = make(&["photos", "photos.other-1", "bare"], &kept);
    opens(&store, &kept);
    opens_ranges(&store);
    lists(&store, &kept);
}

fn opens(store: &dyn ObjectStore, kept: &[(&str, &str, &[u8])]) {
    let read = |bucket: &str, key: &str, version: Option<&str>| {
        bytes_of(store, &ObjectName::new(bucket, key, version)?)
    };
    for (bucket, key, bytes) in kept {
        for version in [None, Some("null")] {
            let got = read(bucket, key, version);
            let got = got.unwrap_or_else(|error| panic!("{bucket}/{key}: {error}"));
            assert_eq!(got, *bytes, "{bucket}/{key}");
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
        "2026/",
        "2026/summer",
        "2026//summer/a b.png",
        "2026/../a.png",
        "./a.png",
        "/a.png",
        "../photos/a.png",
        "../photos.other-1/a.png",
        "..",
        "/",
        "a.png/x",
        "a.png/",
        "bare",
        "a.png ",
        "a.png\0",
        "\\..\\a.png",
        "~",
        "%2e%2e/a.png",
        absent.as_str(),
    ] {
        let none = read("photos", key, None);
        assert!(
            matches!(&none, Err(Error::NoKey(_, name)) if name == key),
            "{key:?}"
        );
    }
    assert!(matches!(read("bare", "a.png", None), Err(Error::NoKey(..))));
}

fn opens_ranges(store: &dyn ObjectStore) {
    let part = |key: &str, range: Range<u64>| {
        let mut object = store.open_range(&name("photos", key), range)?;
        let mut bytes = Vec::new();
        object.bytes.read_to_end(&mut bytes)?;
        Ok::<_, Error>((bytes, object.length))
    };
    for (range, bytes) in [
        (0..5, &b"first"[..]),
        (0..1, b"f"),
        (4..5, b"t"),
        (2..4, b"rs"),
        (3..u64::MAX, b"st"),
    ] {
        let got = part("a.png", range.clone()).expect("in the range");
        assert_eq!(got, (bytes.to_vec(), 5), "{range:?}");
    }
    for range in [5..6, 2..2, u64::MAX - 1..u64::MAX] {
        let none = part("a.png", range.clone());
        assert!(
            matches!(none, Err(Error::Range { length: 5 })),
            "{range:?}: {none:?}"
        );
    }
    assert!(matches!(
        part("empty", 0..1),
        Err(Error::Range { length: 0 })
    ));
    assert!(matches!(part("nothing", 0..1), Err(Error::NoKey(..))));
}

fn lists(store: &dyn ObjectStore, kept: &[(&str, &str, &[u8])]) {
    let mut all: Vec<(&str, u64)> = kept
        .iter()
        .filter(|(bucket, ..)| *bucket == "photos")
        .map(|(_, key, bytes)| (*key, bytes.len() as u64))
        .collect();
    all.sort_unstable();
    let wanted = |prefix: &str, after: &str| -> Vec<&str> {
        let keys = all.iter().map(|(key, _)| *key);
        keys.filter(|key| key.starts_with(prefix) && *key > after)
            .collect()
    };
    let list = |prefix: &str, after: &str, most: usize| {
        let listed = store.list("photos", prefix, after, most);
        listed.unwrap_or_else(|error| panic!("{prefix:?} {after:?}: {error}"))
    };
    let folder = after_all_with("2026/");
    for prefix in [
        "",
        "2",
        "2026",
        "2026/",
        "2026/s",
        "2026/summer/",
        "a.png",
        "a.png/",
        "d/d/d",
        "gr",
        "größe/",
        "no",
        "/",
        "..",
        "2026//",
    ] {
        for after in [
            "",
            "2026",
            "2026.png",
            "2026/",
            "2026/summer!",
            &folder,
            "a.png",
            "z",
            prefix,
        ] {
            let listed = list(prefix, after, 1000);
            assert_eq!(keys(&listed), wanted(prefix, after), "{prefix:?} {after:?}");
            // The same by pages of any size.
            for most in 1..4 {
                let (mut pages, mut last) = (Vec::new(), after.to_owned());
                loop {
                    let page = list(prefix, &last, most);
                    assert!(page.len() <= most);
                    let Some(end) = page.last().filter(|_| page.len() == most) else {
                        pages.extend(page);
                        break;
                    };
                    last = end.key.clone();
                    pages.extend(page);
                }
                assert_eq!(pages, listed, "{prefix:?} {after:?} by {most}");
            }
        }
    }
    for (listed, (key, length)) in list("", "", 1000).iter().zip(&all) {
        let object = store.open(&name("photos", key)).expect("there");
        assert_eq!(listed.length, *length, "{key}");
        assert_eq!(
            (&listed.etag, listed.modified),
            (&object.etag, object.modified),
            "{key}"
        );
        assert!(!listed.etag.is_empty() && !listed.etag.contains('"'));
    }
    assert!(list("", "", 0).is_empty());
    let bare = store.list("bare", "", "", 10).expect("a bucket");
    assert!(bare.is_empty());
    for bucket in ["nothing", "photos.other", "..", "", "photos/2026"] {
        let none = store.list(bucket, "", "", 10);
        assert!(
            matches!(&none, Err(Error::NoBucket(name)) if name == bucket),
            "{bucket:?}"
        );
    }
}

/// Checks the contract of writing for the store that `make` makes with buckets in it.
pub fn writes<S: WritableStore>(make: impl FnOnce(&[&str]) -> S) {
    writes_keys(make, |_| true);
}

/// [`writes`] for a store that has no objects of some keys: those must be refused, and not be there.
pub fn writes_keys<S: WritableStore>(make: impl FnOnce(&[&str]) -> S, has: impl Fn(&str) -> bool) {
    let store = make(&["photos", "bare"]);
    let put = |key: &str, pieces: &[&[u8]]| {
        let mut new = store.create(&name("photos", key)).expect("begun");
        for piece in pieces {
            new.write_all(piece).expect("written");
        }
        new.commit().expect("committed")
    };
    let read = |key: &str| bytes_of(&store, &name("photos", key));
    let listed = || {
        let listed = store.list("photos", "", "", 1000).expect("listed");
        keys(&listed)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };

    // Every key is itself and no other's, whatever it would be as a path.
    let longest = "x".repeat(1024);
    let mut all = vec![
        "p",
        "p/q",
        "p//q",
        "p/",
        "p/./q",
        "p/../q",
        "/p",
        "/",
        "//",
        ".",
        "..",
        "../../etc/passwd",
        "z/",
        "a+b c%20d",
        "a\\b",
        "größe/照片 🙂.jpg",
        "\u{7f}\t",
        "\u{10ffff}",
        &longest,
    ];
    let none: Vec<&str> = all.iter().copied().filter(|key| !has(key)).collect();
    all.retain(|key| has(key));
    for key in &all {
        let kept = put(key, &[b"the bytes of ", key.as_bytes()]);
        assert_eq!(
            (kept.key.as_str(), kept.length),
            (*key, 13 + key.len() as u64)
        );
    }
    for key in none {
        let refused = store.create(&name("photos", key)).err();
        assert!(matches!(refused, Some(Error::Name(_))), "{key:?}");
        assert!(matches!(read(key), Err(Error::NoKey(..))), "{key:?}");
    }
    all.sort_unstable();
    assert_eq!(listed(), all);
    for key in &all {
        let bytes = read(key).unwrap_or_else(|error| panic!("{key:?}: {error}"));
        assert_eq!(
            bytes,
            [b"the bytes of ", key.as_bytes()].concat(),
            "{key:?}"
        );
    }

    // What is not committed never was, and is not seen while it is made.
    let mut new = store.create(&name("photos", "new")).expect("begun");
    new.write_all(b"bytes").expect("written");
    assert!(matches!(read("new"), Err(Error::NoKey(..))));
    assert_eq!(listed(), all);
    drop(new);
    assert!(matches!(read("new"), Err(Error::NoKey(..))));

    // An object is replaced whole, and whoever reads the old one reads it to its end.
    let old = vec![7_u8; 3 << 20];
    let first = put("large", &[&old[..1], &old[1..]]);
    let mut open = store.open(&name("photos", "large")).expect("there");
    let mut got = vec![0; 1000];
    open.bytes.read_exact(&mut got).expect("read");
    let second = put("large", &[b"small"]);
    assert_ne!(first.etag, second.etag);
    assert!(second.modified >= first.modified);
    assert_eq!(read("large").expect("there"), b"small");
    open.bytes.read_to_end(&mut got).expect("read to its end");
    assert!(got == old, "another's bytes");
    let found = store.list("photos", "large", "", 10).expect("listed");
    assert_eq!(found, [second]);

    // Deleted is gone, for whoever comes later.
    let mut open = store.open(&name("photos", "large")).expect("there");
    store.delete(&name("photos", "large")).expect("deleted");
    store.delete(&name("photos", "large")).expect("is no error");
    assert!(matches!(read("large"), Err(Error::NoKey(..))));
    let mut got = Vec::new();
    open.bytes.read_to_end(&mut got).expect("read to its end");
    assert_eq!(got, b"small");
    assert_eq!(listed(), all);

    // The last to be committed stays.
    let (mut one, mut other) = (
        store.create(&name("photos", "both")).expect("begun"),
        store.create(&name("photos", "both")).expect("begun"),
    );
    one.write_all(b"one").expect("written");
    other.write_all(b"other").expect("written");
    other.commit().expect("committed");
    one.commit().expect("committed");
    assert_eq!(read("both").expect("there"), b"one");
    put("empty", &[]);
    assert_eq!(read("empty").expect("there"), b"");

    let none = store.create(&name("nothing", "key"));
    assert!(matches!(none.err(), Some(Error::NoBucket(_))));
    let none = store.delete(&name("nothing", "key"));
    assert!(matches!(none, Err(Error::NoBucket(_))));
    let other = ObjectName::new("photos", "p", Some("1")).expect("a name");
    assert!(matches!(store.create(&other).err(), Some(Error::NoVersion)));
    assert!(matches!(store.delete(&other), Err(Error::NoVersion)));
    assert_eq!(read("p").expect("still there"), b"the bytes of p");

    // At the same time, of one name: what is read is always one of them whole.
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..10 {
                    let mut new = store.create(&name("photos", "race")).expect("begun");
                    new.write_all(&vec![writer; 100_000]).expect("written");
                    new.commit().expect("committed");
                    let bytes = bytes_of(store, &name("photos", "race")).expect("there");
                    assert!(bytes.len() == 100_000 && bytes.iter().all(|byte| *byte == bytes[0]));
                }
            });
        }
    });
}
