//! A process that writes is killed again and again, at random instants: what it had acknowledged is there, whole, and nothing
//! else is left.
//!
//! The writer is this program once more. It says of every change what it will be before it begins, and that it is done
//! after; what is found later must be the last state that was acknowledged, or the one that was begun after it.

use escala_objects::local::{Condition, Expected, Given, Local, NewUpload, Put, SMALLEST_PART};
use escala_objects::{Error, ObjectName, ObjectStore, WritableStore};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "ESCALA_OBJECTS_FOLDER";
const SEED: &str = "ESCALA_OBJECTS_SEED";
const KILLS: &str = "ESCALA_OBJECTS_KILLS";

/// What an object is made of: how long, and from which seed.
type State = Option<(u64, usize)>;

fn bytes((seed, length): (u64, usize)) -> Vec<u8> {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill(&mut *bytes);
    bytes
}

fn name(key: &str) -> ObjectName {
    ObjectName::new("bucket", key, None).expect("a name")
}

/// Writes until it is killed. Not a test: what the test runs.
#[test]
#[ignore = "the process that is killed"]
fn writer() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("a folder"));
    let seed: u64 = std::env::var(SEED).expect("a seed").parse().expect("one");
    let mut random = StdRng::seed_from_u64(seed);
    let store = Local::open(&folder).expect("opens");
    let say = |word: &str, key: &str, state: State| {
        let (seed, length) = state.unwrap_or((0, usize::MAX));
        let mut out = std::io::stdout().lock();
        // One write, so that a line is there whole or not.
        let line = format!("\n{word} {key} {seed} {length}\n");
        out.write_all(line.as_bytes()).expect("a reader");
        out.flush().expect("a reader");
    };
    loop {
        let key = format!("key {}", random.random_range(0..6)).replace(' ', "-");
        let made = (random.random(), random.random_range(0..300_000));
        match random.random_range(0..10) {
            0 => {
                say("begins", &key, None);
                store.delete(&name(&key)).expect("deleted");
                say("ends", &key, None);
            }
            1 | 2 => {
                // All of it in one text of bytes, so that it can be made anew from its seed.
                let made = (made.0, SMALLEST_PART as usize + made.1);
                let whole = bytes(made);
                let name = name(&key);
                let id = store.begin_upload(&name, &NewUpload::default());
                let id = id.expect("begun");
                let parts = whole.split_at(SMALLEST_PART as usize);
                let given: Vec<Given> = [(1, parts.0), (2, parts.1)]
                    .into_iter()
                    .map(|(number, bytes)| {
                        let mut writing = store.write(&[]).expect("begun");
                        writing.write_all(bytes).expect("written");
                        let written = writing.finish(&Expected::default(), None);
                        let written = written.expect("on the disk");
                        let part = store.put_part(&name, &id, number, written);
                        Given {
                            number,
                            etag: part.expect("put").etag,
                            checksum: None,
                        }
                    })
                    .collect();
                say("begins", &key, Some(made));
                store
                    .complete_upload(&name, &id, &given, &Condition::Always, (None, None))
                    .expect("completed");
                say("ends", &key, Some(made));
            }
            _ => {
                say("begins", &key, Some(made));
                let mut writing = store.write(&[]).expect("begun");
                for piece in bytes(made).chunks(64 << 10) {
                    writing.write_all(piece).expect("written");
                }
                let written = writing.finish(&Expected::default(), None);
                let written = written.expect("on the disk");
                store
                    .put(&name(&key), written, Put::default())
                    .expect("put");
                say("ends", &key, Some(made));
            }
        }
    }
}

/// The files that hold bytes.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

fn found(store: &Local, key: &str) -> Option<Vec<u8>> {
    match store.open(&name(key)) {
        Ok(mut object) => {
            let mut bytes = Vec::new();
            object.bytes.read_to_end(&mut bytes).expect("read");
            assert_eq!(bytes.len() as u64, object.length, "{key}");
            Some(bytes)
        }
        Err(Error::NoKey(..)) => None,
        Err(error) => panic!("{key}: {error}"),
    }
}

#[test]
fn what_was_acknowledged_survives() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>());
    let seed = number(SEED).map_or(7, |seed| seed.expect("a number"));
    let kills = number(KILLS).map_or(30, |kills| kills.expect("a number"));
    println!("{SEED}={seed} {KILLS}={kills}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let store = Local::open(folder).expect("opens");
    store.create_bucket("bucket").expect("made");
    drop(store);
    let mut random = StdRng::seed_from_u64(seed);
    let mut kept: BTreeMap<String, State> = BTreeMap::new();
    let (mut acknowledged, mut unfinished, mut swept) = (0, 0, 0);
    for kill in 0..kills {
        let mut writer = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "writer", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .env(SEED, random.random::<u64>().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let out = writer.stdout.take().expect("piped");
        let (began, begins) = std::sync::mpsc::channel();
        let reading = std::thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            let heard = lines.inspect(|line| {
                if line.starts_with("ends") {
                    // Only the first is waited for.
                    let _ = began.send(());
                }
            });
            heard.collect::<Vec<String>>()
        });
        let first = begins.recv_timeout(Duration::from_secs(60));
        first.expect("the writer does something");
        // The instant is the point here: it falls wherever it falls.
        std::thread::sleep(Duration::from_millis(random.random_range(0..500)));
        writer.kill().expect("killed");
        writer.wait().expect("ended");
        let mut begun: BTreeMap<String, State> = BTreeMap::new();
        for line in reading.join().expect("read") {
            let words: Vec<&str> = line.split(' ').collect();
            let [word @ ("begins" | "ends"), key, seed, length] = words[..] else {
                continue;
            };
            let (Ok(seed), Ok(length)) = (seed.parse(), length.parse()) else {
                continue;
            };
            let state = (length != usize::MAX).then_some((seed, length));
            if word == "begins" {
                begun.insert(key.to_owned(), state);
            } else {
                begun.remove(key);
                kept.insert(key.to_owned(), state);
                acknowledged += 1;
            }
        }

        let before = files(&folder.join("bytes"));
        let store = Local::open(folder).expect("opens after a kill");
        let mut segments = 0;
        let listed = store.list("bucket", "", "", 100).expect("listed");
        for index in 0..6 {
            let key = format!("key-{index}");
            let there = found(&store, &key);
            assert_eq!(
                there.is_some(),
                listed.iter().any(|object| object.key == key),
                "{key}"
            );
            segments += match &there {
                None => 0,
                Some(bytes) if bytes.len() >= SMALLEST_PART as usize => 2,
                Some(_) => 1,
            };
            let state = kept.get(&key).copied().flatten();
            if there == state.map(bytes) {
                continue;
            }
            let new = begun.get(&key).copied();
            assert!(
                new.is_some_and(|new| there == new.map(bytes)),
                "kill {kill}: {key} is neither {state:?} nor {new:?}"
            );
            kept.insert(key, new.flatten());
            unfinished += 1;
        }
        // Uploads that were never completed are kept with their parts, for whoever began them; here they are given up.
        let uploads = store.uploads("bucket", "", ("", ""), 1000).expect("listed");
        for upload in uploads {
            let name = name(&upload.key);
            store.abort_upload(&name, &upload.id).expect("aborted");
        }
        let after = files(&folder.join("bytes"));
        assert_eq!(after, segments, "kill {kill}: files that nothing names");
        swept += before - after;
    }
    println!(
        "{acknowledged} acknowledged, {unfinished} done and not acknowledged, {swept} files swept"
    );
    assert!(acknowledged >= kills, "too little was done for a proof");
    assert!(swept > 0, "no kill came in the middle of a change");
}
