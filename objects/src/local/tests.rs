//! The store on the disk: the contract of all places, and what is its own: what is there when it is opened again, and files that
//! nothing names.

use super::*;
use crate::{ObjectName, ObjectStore, WritableStore, suite};
use std::io::{Read, Write};

fn store() -> (tempfile::TempDir, Local) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Local::open(folder.path()).expect("opens");
    store.create_bucket("bucket").expect("made");
    (folder, store)
}

fn name(key: &str) -> ObjectName {
    ObjectName::new("bucket", key, None).expect("a name")
}

fn written(store: &Local, bytes: &[u8], algorithms: &[Algorithm]) -> Written {
    let mut writing = store.write(algorithms).expect("begun");
    writing.write_all(bytes).expect("written");
    let keep = algorithms.first().copied();
    writing
        .finish(&Expected::default(), keep)
        .expect("finished")
}

fn put(store: &Local, key: &str, bytes: &[u8], put: Put) -> Result<Info, Error> {
    store.put(&name(key), written(store, bytes, &[]), put)
}

fn read(store: &Local, key: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut object = store.open(&name(key)).expect("there");
    object.bytes.read_to_end(&mut bytes).expect("read");
    bytes
}

/// The files that hold bytes.
fn files(folder: &Path) -> usize {
    let mut count = 0;
    let mut folders = vec![folder.join("bytes")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => count += 1,
            }
        }
    }
    count
}

#[test]
fn it_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = |name: &str, buckets: &[&str]| {
        let store = Local::open(&folder.path().join(name)).expect("opens");
        for bucket in buckets {
            store.create_bucket(bucket).expect("made");
        }
        store
    };
    suite::reads(|buckets, objects| {
        let store = open("reads", buckets);
        for (bucket, key, bytes) in objects {
            let name = ObjectName::new(bucket, key, None).expect("a name");
            let mut new = store.create(&name).expect("begun");
            new.write_all(bytes).expect("written");
            new.commit().expect("committed");
        }
        store
    });
    suite::writes(|buckets| open("writes", buckets));
}

#[test]
fn it_is_there_when_it_is_opened_again() {
    let (folder, store) = store();
    let about = About {
        content_type: Some("text/plain".to_owned()),
        user: [("colour".to_owned(), "größe".to_owned())].into(),
        ..About::default()
    };
    let with = Put {
        about: about.clone(),
        tags: vec![("a".to_owned(), "b".to_owned())],
        ..Put::default()
    };
    let info = put(&store, "key", b"bytes", with).expect("put");
    assert_eq!(info.etag, "4b3a6218bb3e3a7303e8a171a60fcf92", "md5sum's");
    let busy = Local::open(folder.path());
    assert!(matches!(busy.err(), Some(Error::InUse(_))));
    drop(store);
    let store = Local::open(folder.path()).expect("opens again");
    assert_eq!(store.info(&name("key")).expect("there"), info);
    assert_eq!(info.about, about);
    assert_eq!(read(&store, "key"), b"bytes");
    drop(store);
    // Another version's is left alone.
    let index = rusqlite::Connection::open(folder.path().join("index.db")).expect("opens");
    index.pragma_update(None, "user_version", 2).expect("set");
    drop(index);
    let newer = Local::open(folder.path());
    assert!(matches!(newer.err(), Some(Error::Version(2))));
}

#[test]
fn files_that_nothing_names_are_removed() {
    let (folder, store) = store();
    put(&store, "key", b"old", Put::default()).expect("put");
    put(&store, "key", b"new", Put::default()).expect("put");
    assert_eq!(files(folder.path()), 1);
    let mut writing = store.write(&[]).expect("begun");
    writing.write_all(b"half").expect("written");
    assert_eq!(files(folder.path()), 2);
    drop(writing);
    assert_eq!(files(folder.path()), 1);

    // Whoever reads keeps the bytes until it is done.
    let mut object = store.open(&name("key")).expect("there");
    store.delete(&name("key")).expect("deleted");
    assert_eq!(files(folder.path()), 1);
    let mut bytes = Vec::new();
    object.bytes.read_to_end(&mut bytes).expect("read");
    assert_eq!(bytes, b"new");
    drop(object);
    assert_eq!(files(folder.path()), 0);

    // As a process that is killed leaves them: a file that no row names, and one of a part.
    let upload = store.begin_upload(&name("big"), &NewUpload::default());
    let upload = upload.expect("begun");
    let part = written(&store, b"part", &[]);
    store.put_part(&name("big"), &upload, 1, part).expect("put");
    written(&store, b"never put", &[]).keep();
    assert_eq!(files(folder.path()), 2);
    drop(store);
    let store = Local::open(folder.path()).expect("opens again");
    assert_eq!(files(folder.path()), 1);
    store.abort_upload(&name("big"), &upload).expect("aborted");
    assert_eq!(files(folder.path()), 0);
    let gone = store.upload(&name("big"), &upload);
    assert!(matches!(gone, Err(Error::NoUpload(_))));
}

#[test]
fn what_is_not_as_it_was_announced_replaces_nothing() {
    let (folder, store) = store();
    put(&store, "key", b"good", Put::default()).expect("put");
    let expected = [
        Expected {
            length: Some(5),
            ..Expected::default()
        },
        Expected {
            md5: Some(vec![0; 16]),
            ..Expected::default()
        },
        Expected {
            payload: Some(vec![0; 32]),
            ..Expected::default()
        },
        Expected {
            checksums: vec![(Algorithm::Crc32, vec![0; 4])],
            ..Expected::default()
        },
    ];
    for expected in expected {
        let mut writing = store.write(&checksum::ALGORITHMS).expect("begun");
        writing.write_all(b"evil").expect("written");
        let refused = writing.finish(&expected, None);
        assert!(
            matches!(refused.err(), Some(Error::Length { .. } | Error::Digest(_))),
            "{expected:?}"
        );
    }
    assert_eq!(read(&store, "key"), b"good");
    assert_eq!(files(folder.path()), 1);
}

#[test]
fn of_many_that_want_to_be_first_one_is() {
    let (_folder, store) = store();
    for round in 0..5 {
        let key = format!("race {round}");
        let won = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8_u8)
                .map(|racer| {
                    let (store, key) = (&store, &key);
                    scope.spawn(move || {
                        let absent = Put {
                            condition: Condition::Absent,
                            ..Put::default()
                        };
                        match put(store, key, &[racer; 1000], absent) {
                            Ok(_) => Some(racer),
                            Err(Error::Precondition) => None,
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            let won = racers
                .into_iter()
                .filter_map(|racer| racer.join().expect("no panic"));
            won.collect::<Vec<u8>>()
        });
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(read(&store, &key), [won[0]; 1000]);
    }
    let matching = |etag: &str| Put {
        condition: Condition::Match(etag.to_owned()),
        ..Put::default()
    };
    let first = put(&store, "key", b"1", Put::default()).expect("put");
    put(&store, "key", b"2", matching(&first.etag)).expect("put");
    let late = put(&store, "key", b"3", matching(&first.etag));
    assert!(matches!(late, Err(Error::Precondition)));
    let none = put(&store, "none", b"3", matching(&first.etag));
    assert!(matches!(none, Err(Error::Store(crate::Error::NoKey(..)))));
    assert_eq!(read(&store, "key"), b"2");
}

#[test]
fn a_copy_lives_longer_than_its_source() {
    let (folder, store) = store();
    put(&store, "from", b"bytes", Put::default()).expect("put");
    store.create_bucket("other").expect("made");
    let to = ObjectName::new("other", "to", None).expect("a name");
    let info = store
        .copy(&name("from"), &to, Copy::default())
        .expect("copied");
    assert_eq!(files(folder.path()), 1, "nothing is copied");
    store.delete(&name("from")).expect("deleted");
    let mut bytes = Vec::new();
    let mut object = store.open(&to).expect("there");
    object.bytes.read_to_end(&mut bytes).expect("read");
    assert_eq!((bytes, object.etag), (b"bytes".to_vec(), info.etag));
    drop(object.bytes);
    // Onto itself, to say other things about it.
    let about = About {
        content_type: Some("text/css".to_owned()),
        ..About::default()
    };
    let copy = Copy {
        about: Some(about.clone()),
        ..Copy::default()
    };
    store.copy(&to, &to, copy).expect("copied");
    assert_eq!(store.info(&to).expect("there").about, about);
    assert_eq!(files(folder.path()), 1);
    assert!(matches!(
        store.delete_bucket("other"),
        Err(Error::NotEmpty(_))
    ));
    store.delete(&to).expect("deleted");
    store.delete_bucket("other").expect("deleted");
    assert_eq!(files(folder.path()), 0);
}

#[test]
fn parts_become_one_object() {
    let (folder, store) = store();
    let five = SMALLEST_PART as usize;
    let key = name("big");
    let new = NewUpload {
        checksum: Some((Algorithm::Crc32, false)),
        ..NewUpload::default()
    };
    let id = store.begin_upload(&key, &new).expect("begun");
    let put_part = |number: u32, bytes: &[u8]| {
        let written = written(&store, bytes, &[Algorithm::Crc32]);
        let part = store.put_part(&key, &id, number, written).expect("put");
        Given {
            number,
            etag: part.etag,
            checksum: None,
        }
    };
    let complete =
        |given: &[Given]| store.complete_upload(&key, &id, given, &Condition::Always, (None, None));
    let last = put_part(7, b"last");
    let replaced = put_part(2, b"replaced");
    let first = put_part(2, &vec![1; five]);
    let dropped = put_part(5, &[2; 10]);
    assert!(matches!(store.open(&key), Err(crate::Error::NoKey(..))));
    assert_eq!(files(folder.path()), 3);

    let backwards = [last.clone(), first.clone()];
    assert!(matches!(complete(&backwards), Err(Error::PartOrder)));
    let wrong = [replaced, last.clone()];
    assert!(matches!(complete(&wrong), Err(Error::InvalidPart(2))));
    let small = [first.clone(), dropped, last.clone()];
    assert!(matches!(complete(&small), Err(Error::SmallPart(5))));
    let missing = Given {
        number: 3,
        ..last.clone()
    };
    assert!(matches!(complete(&[missing]), Err(Error::InvalidPart(3))));
    assert!(matches!(complete(&[]), Err(Error::InvalidPart(0))));

    let info = complete(&[first, last]).expect("completed");
    let mut whole = vec![1; five];
    whole.extend_from_slice(b"last");
    assert_eq!(info.length, whole.len() as u64);
    assert!(info.etag.ends_with("-2"), "{}", info.etag);
    let sum = info
        .checksum
        .and_then(|sum| sum.bytes())
        .expect("a checksum");
    assert_eq!(sum, Algorithm::Crc32.of(&whole), "that of the whole");
    assert!(read(&store, "big") == whole);
    assert_eq!(files(folder.path()), 2);
    let mut part = Vec::new();
    let range = five as u64 - 2..five as u64 + 2;
    let mut object = store.open_range(&key, range).expect("there");
    object.bytes.read_to_end(&mut part).expect("read");
    assert_eq!(part, [1, 1, b'l', b'a']);
    assert!(matches!(
        store.abort_upload(&key, &id),
        Err(Error::NoUpload(_))
    ));
}

#[test]
fn what_is_not_as_it_is_expected_is_not_deleted() {
    let (_folder, store) = store();
    let info = put(&store, "a", b"bytes", Put::default()).expect("put");
    let refused = store.delete_expected(&name("a"), Some("other"));
    assert!(matches!(refused, Err(Error::Precondition)), "{refused:?}");
    assert_eq!(read(&store, "a"), b"bytes");
    store
        .delete_expected(&name("a"), Some(&info.etag))
        .expect("deleted");
    for etag in [None, Some("other")] {
        let absent = store.delete_expected(&name("a"), etag);
        let absent = matches!(absent, Err(Error::Store(crate::Error::NoKey(..))));
        assert!(absent, "{etag:?}");
    }
    put(&store, "a", b"again", Put::default()).expect("put");
    store.delete_expected(&name("a"), None).expect("deleted");
}
