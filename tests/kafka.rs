//! The event log in the real server: clients go on while it is killed, nothing is lost when its disk fails, and it stops in
//! order.

mod common;
#[path = "../stream_ingest/tests/common/powered.rs"]
mod powered;

use common::{Server, Setup, free_port, venv, wait_for};
use powered::Powered;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// For a server to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a log in this folder, and the address of its door for Kafka.
fn server(data: &Path) -> (Server, SocketAddr) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    (server_at(data, address), address)
}

fn server_at(data: &Path, address: SocketAddr) -> Server {
    let folder = data.to_str().expect("a plain path");
    let setup = Setup::default()
        .with("ESCALA_KAFKA_LISTEN", &address.to_string())
        .with("ESCALA_DATA_DIR", folder)
        .with("ESCALA_KAFKA_ACCEPT_REPLICATION", "true")
        .with("ESCALA_MODELS_PRELOAD", ",");
    Server::start(&setup)
}

/// A script with Kafka's clients.
fn script(name: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let requirements = root.join("stream_ingest/tests/clients/requirements.txt");
    let mut command = Command::new(venv::interpreter("kafka-venv", &requirements));
    command.arg(root.join("tests/clients").join(name));
    command
}

fn client(address: SocketAddr, part: &str) {
    let arguments = [&address.to_string(), "restart", part, "500"];
    venv::checks(script("kafka_restart.py").args(arguments));
}

/// Clients that go on whatever happens to the server, until they are told to end and look what became of their records.
struct Clients {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    acknowledged: u64,
}

impl Clients {
    fn start(address: SocketAddr) -> Self {
        let mut process = script("kafka_kills.py")
            .arg(address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let output = process.stdout.take().expect("its output");
        Self {
            process,
            lines: BufReader::new(output).lines(),
            acknowledged: 0,
        }
    }

    /// Waits until so many more records are acknowledged.
    fn go_on(&mut self, more: u64) {
        let enough = self.acknowledged + more;
        while self.acknowledged < enough {
            let line = self.lines.next().expect("they go on").expect("a line");
            let Some(count) = line.strip_prefix("at ") else {
                panic!("{line}");
            };
            self.acknowledged = count.parse().expect("a number");
        }
    }

    /// Has them end; what they found.
    fn end(mut self) -> String {
        let mut input = self.process.stdin.take().expect("its input");
        input.write_all(b"end\n").expect("they listen");
        let mut last = String::new();
        for line in self.lines.by_ref() {
            last = line.expect("a line");
        }
        let status = self.process.wait().expect("they end");
        assert!(status.success(), "{status}: {last}");
        last
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // They may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `ESCALA_KAFKA_KILLS` sets how often.
#[test]
fn clients_lose_nothing_while_the_server_is_killed() {
    let kills = std::env::var("ESCALA_KAFKA_KILLS");
    let kills: u64 = kills.map_or(20, |kills| kills.parse().expect("a number"));
    let data = TempDir::new().expect("a folder");
    let (mut running, address) = server(data.path());
    let mut clients = Clients::start(address);
    for kill in 0..kills {
        // At another moment each time.
        clients.go_on(100 + kill * 397 % 3000);
        drop(running);
        running = server_at(data.path(), address);
    }
    clients.go_on(1000);
    println!("{kills} kills: {}", clients.end());
}

/// What the disk no longer takes is not acknowledged: the server says why and ends, and the next one has all that was.
/// `ESCALA_KAFKA_CUTS` sets how often.
#[test]
#[cfg(target_os = "linux")]
fn clients_lose_nothing_when_the_power_is_cut_and_the_server_ends() {
    let folder = TempDir::new().expect("a folder");
    let disk = match Powered::new(folder.path()) {
        Ok(disk) => disk,
        Err(why) => {
            eprintln!("warning: power cuts are not tried here: {why}");
            return;
        }
    };
    let cuts = std::env::var("ESCALA_KAFKA_CUTS");
    let cuts: u64 = cuts.map_or(3, |cuts| cuts.parse().expect("a number"));
    let data = disk.place().join("data");
    let (mut running, address) = server(&data);
    let mut clients = Clients::start(address);
    for cut in 0..cuts {
        clients.go_on(200 + cut * 397 % 2000);
        disk.cut();
        wait_for("the server has ended", PATIENCE, || {
            running.exited().is_some()
        });
        let status = running.exited().expect("it has ended");
        let said = running.log();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("the log has stopped"), "{said}");
        drop(running);
        disk.restore();
        running = server_at(&data, address);
    }
    clients.go_on(1000);
    println!("{cuts} cuts: {}", clients.end());
    drop(running);
}

#[test]
fn records_survive_a_killed_server_and_a_server_that_stops() {
    let data = TempDir::new().expect("a folder");
    let (first, address) = server(data.path());
    client(address, "write");
    // Dropped, a server of the tests is killed, not asked to stop.
    drop(first);
    let (second, address) = server(data.path());
    client(address, "read");
    second.terminate();
    wait_for("the server has ended", PATIENCE, || {
        second.exited().is_some()
    });
    let status = second.exited().expect("it has ended");
    assert!(status.success(), "{status}; its log:\n{}", second.log());
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
    // The log was closed, and opens again.
    let (third, address) = server(data.path());
    assert!(TcpStream::connect(address).is_ok());
    drop(third);
}

#[test]
fn a_second_server_on_the_same_data_says_what_is_in_its_way() {
    let data = TempDir::new().expect("a folder");
    let (_first, _) = server(data.path());
    let folder = TempDir::new().expect("a folder");
    let output = common::escala(folder.path())
        .args(["serve", "--listen", "127.0.0.1:0", "--kafka", "127.0.0.1:0"])
        .env("ESCALA_DATA_DIR", data.path())
        .env("ESCALA_MODELS_PRELOAD", ",")
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("another server") && said.contains("data.dir"),
        "{said}"
    );
}
