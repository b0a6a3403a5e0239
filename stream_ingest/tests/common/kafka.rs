//! Apache Kafka: its Java client and tools, and one node of it that the tests of a process share.

use crate::venv;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Small programs that run for seconds.
const FLAGS: [&str; 3] = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// The folder of Kafka's jars. `None`, with a warning, where Java or Maven is missing or cannot bring them.
pub fn jars() -> Option<&'static Path> {
    static JARS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let bring = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/peers/kafka/jars.sh");
        let brought = Command::new(script).output().expect("the script runs");
        if !brought.status.success() {
            let why = String::from_utf8_lossy(&brought.stderr);
            eprintln!(
                "WARNING: nothing is checked with Apache Kafka, whose jars cannot be had: {why}"
            );
            return None;
        }
        let printed = String::from_utf8(brought.stdout).expect("a path in UTF-8");
        Some(PathBuf::from(printed.trim_end()))
    };
    JARS.get_or_init(bring).as_deref()
}

/// A program of `tests/clients/java`, compiled once. `None` where there are no jars.
pub fn java(program: &str) -> Option<Command> {
    let jars = jars()?.join("*");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/java");
    let mut sources: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the programs")
        .map(|entry| entry.expect("a program").path())
        .collect();
    sources.sort();
    let text = sources
        .iter()
        .map(|path| fs::read_to_string(path).expect("a program"));
    let pom = fs::read_to_string(folder.join("../../../../benches/peers/kafka/pom.xml"));
    let text = text.collect::<String>() + &pom.expect("pom.xml");
    let classes = venv::cached("kafka-java", &text, |folder| {
        fs::create_dir_all(folder).expect("the folder can be made");
        let mut compiler = Command::new("javac");
        compiler.args(["-Xlint:all", "-Werror", "-cp"]).arg(&jars);
        venv::run(compiler.arg("-d").arg(folder).args(&sources));
    });
    let path = std::env::join_paths([classes, jars]).expect("folders without a colon");
    let mut java = Command::new("java");
    java.args(FLAGS).arg("-cp").arg(path).arg(program);
    Some(java)
}

/// The address of Apache Kafka, one node with the settings of the tests, started by the first who asks. `None` where it
/// cannot be had. It ends with this process, whose end it is told by the end of its input.
pub fn reference() -> Option<&'static str> {
    static REFERENCE: OnceLock<Option<(String, Child)>> = OnceLock::new();
    let start = || {
        let mut node = java("Reference")?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("java runs");
        let mut lines = BufReader::new(node.stdout.take().expect("its output"));
        let mut said = String::new();
        lines.read_line(&mut said).expect("its words");
        let address = said.trim_end().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("Apache Kafka did not start: {said}"));
        Some((address.to_owned(), node))
    };
    let node = REFERENCE.get_or_init(start).as_ref();
    node.map(|(address, _)| address.as_str())
}
