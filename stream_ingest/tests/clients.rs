//! Clients that people use, unchanged, against the broker, and the same against Apache Kafka: what a script expects holds
//! for both.

mod common;
#[path = "common/kafka.rs"]
mod kafka;
#[path = "../../tests/common/kcat.rs"]
mod kcat;
#[path = "../../tests/common/venv.rs"]
mod venv;

use common::{Broker, options};
use escala_stream_ingest::log::Isolation;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn here(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// How often checks are tried against Apache Kafka.
const TRIES: usize = 3;

/// The checks against the broker, then against Apache Kafka where it can be had. Gives the broker back.
///
/// The broker has one try. Apache Kafka has more: it is asked whether a script expects what holds there, and on a busy
/// machine it sometimes has partitions that take no records for minutes. A script that expects something else fails each time.
fn both(checks: impl Fn(&str)) -> Broker {
    let broker = Broker::start(options());
    checks(&broker.address.to_string());
    let Some(reference) = kafka::reference() else {
        return broker;
    };
    println!("the same against Apache Kafka at {reference}");
    for _ in 1..TRIES {
        let tried = catch_unwind(AssertUnwindSafe(|| checks(reference)));
        if tried.is_ok() {
            return broker;
        }
        eprintln!("WARNING: it did not hold there; once more");
    }
    checks(reference);
    broker
}

/// A Python script of `tests/clients`.
fn python(script: &str, address: &str) {
    let requirements = here("tests/clients/requirements.txt");
    let python = venv::interpreter("kafka-venv", &requirements);
    venv::checks(
        Command::new(python)
            .arg(here("tests/clients").join(script))
            .arg(address)
            .arg(here("tests/clients"))
            .env("PYTHONPATH", here("../tests/clients"))
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    );
}

/// The compression of each batch of a partition, from bits of its head.
fn codecs(broker: &Broker, topic: &str) -> Vec<u8> {
    let read = broker
        .log
        .read(topic, 0, 0, usize::MAX, Isolation::ReadUncommitted)
        .expect("the batches");
    let mut codecs = Vec::new();
    for bytes in read.batches {
        let mut left = &bytes[..];
        while !left.is_empty() {
            let length = i32::from_be_bytes([left[8], left[9], left[10], left[11]]);
            codecs.push(left[22] & 7);
            left = &left[12 + length as usize..];
        }
    }
    codecs
}

/// In the order of the numbers that batches say.
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

#[test]
fn librdkafka() {
    let broker = both(|address| python("confluent.py", address));
    // What a producer compressed is kept as it came.
    for (number, name) in CODECS.iter().enumerate() {
        let codecs = codecs(&broker, &format!("codec-{name}"));
        assert!(!codecs.is_empty());
        assert!(
            codecs.iter().all(|codec| usize::from(*codec) == number),
            "{name}: {codecs:?}"
        );
    }
}

#[test]
fn librdkafka_transactions() {
    both(|address| python("confluent_transactions.py", address));
}

/// Kafka has no segments as small as these, and does not clean the one that is written to: it would take hours.
#[test]
fn librdkafka_compaction() {
    let broker = Broker::tidying(options(), Duration::from_millis(50));
    python("confluent_compaction.py", &broker.address.to_string());
}

#[test]
fn aiokafka_transactions() {
    both(|address| python("aiokafka_transactions.py", address));
}

/// The client whose producers use the newer transactions.
#[test]
fn franz_go() {
    if Command::new("go").arg("version").output().is_err() {
        eprintln!("WARNING: go is missing: nothing was checked with franz-go");
        return;
    }
    let folder = here("tests/clients/franz");
    let brought = Command::new("go")
        .args(["mod", "download"])
        .current_dir(&folder)
        .output()
        .expect("go runs");
    if !brought.status.success() {
        let why = String::from_utf8_lossy(&brought.stderr);
        eprintln!("WARNING: go cannot bring franz-go, so nothing was checked with it: {why}");
        return;
    }
    both(|address| {
        venv::checks(
            Command::new("go")
                .args(["run", ".", address])
                .current_dir(&folder),
        );
    });
}

/// A program of `tests/clients/java`.
fn java(program: &str) {
    if kafka::jars().is_none() {
        eprintln!("WARNING: nothing was checked with {program}.java");
        return;
    }
    both(|address| {
        let mut java = kafka::java(program).expect("the jars");
        venv::checks(java.arg(address));
    });
}

#[test]
fn the_java_client() {
    java("Checks");
}

#[test]
fn the_command_line_tools_of_kafka() {
    java("Tools");
}

#[test]
fn kafka_python() {
    both(|address| python("kafka_python.py", address));
}

#[test]
fn kafkajs() {
    let package = fs::read_to_string(here("tests/clients/package.json")).expect("package.json");
    if Command::new("npm").arg("--version").output().is_err() {
        eprintln!("WARNING: npm is missing: nothing was checked with kafkajs");
        return;
    }
    let folder = venv::cached("kafkajs", &package, |folder| {
        fs::create_dir_all(folder).expect("the folder can be made");
        fs::write(folder.join("package.json"), &package).expect("package.json can be written");
        venv::run(
            Command::new("npm")
                .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
                .arg(folder),
        );
    });
    both(|address| {
        venv::checks(
            Command::new("node")
                .arg(here("tests/clients/kafkajs.mjs"))
                .arg(address)
                .env("CLIENT_FOLDER", &folder),
        );
    });
}

/// What kcat writes.
fn kcat(address: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("kcat")
        .args(["-b", address])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kcat runs");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("kcat reads");
    drop(stdin);
    let output = child.wait_with_output().expect("kcat ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kcat {arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn kcat_produces_and_consumes() {
    if !kcat::is_there() {
        return;
    }
    let broker = both(|address| {
        let metadata = kcat(address, &["-L", "-J"], "");
        let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("JSON");
        assert_eq!(metadata["controllerid"], 1);
        assert_eq!(metadata["brokers"][0]["name"], address);
        for name in CODECS {
            let topic = format!("kcat-{name}");
            let lines: String = (0..100)
                .map(|i| format!("k{i}:the same value {}\n", "x".repeat(100)))
                .collect();
            let produce = [
                "-P", "-t", &topic, "-K:", "-z", name, "-H", "h=1", "-H", "h=2",
            ];
            kcat(address, &produce, &lines);
            let consume = [
                "-C",
                "-t",
                &topic,
                "-o",
                "beginning",
                "-e",
                "-q",
                "-f",
                "%o %k %S %h\n",
            ];
            let wanted: String = (0..100)
                .map(|i| format!("{i} k{i} 115 h=1,h=2\n"))
                .collect();
            assert_eq!(kcat(address, &consume, ""), wanted, "{name}");
        }
        let end = kcat(address, &["-Q", "-t", "kcat-gzip:0:-1"], "");
        assert!(end.contains("offset 100"), "{end}");
        let group = [
            "-G",
            "readers",
            "kcat-none",
            "-o",
            "beginning",
            "-c",
            "100",
            "-q",
            "-f",
            "%o\n",
        ];
        let read = kcat(address, &group, "");
        assert_eq!(read.lines().count(), 100);
    });
    // A librdkafka of before 2.11.1, which compresses only if Produce is advertised from 0.
    for (number, name) in CODECS.iter().enumerate() {
        assert!(
            codecs(&broker, &format!("kcat-{name}"))
                .iter()
                .all(|codec| usize::from(*codec) == number),
            "{name}"
        );
    }
}

/// Groups go on after a restart: members are told that they are not known, and offsets are there.
#[test]
fn a_group_goes_on_after_a_restart() {
    if !kcat::is_there() {
        return;
    }
    let broker = Broker::start(options());
    let lines: String = (0..10).map(|i| format!("{i}\n")).collect();
    kcat(
        &broker.address.to_string(),
        &["-P", "-t", "t", "-X", "batch.num.messages=1"],
        &lines,
    );
    let read = |broker: &Broker, count: &str| {
        let group = [
            "-G",
            "readers",
            "t",
            "-X",
            "auto.offset.reset=earliest",
            "-c",
            count,
            "-q",
        ];
        kcat(&broker.address.to_string(), &group, "")
    };
    assert_eq!(read(&broker, "4"), "0\n1\n2\n3\n");
    let kept = broker.runtime.block_on(broker.log.offsets("readers"));
    assert_eq!(kept.expect("offsets")[&("t".to_owned(), 0)].offset, 4);
    let mut options = options();
    options.limits.grace = Duration::from_secs(1);
    let broker = broker.restart(options);
    assert_eq!(read(&broker, "3"), "4\n5\n6\n");
}
