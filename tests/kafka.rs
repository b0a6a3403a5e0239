//! The event log in the real server: a client's records are there after the server was killed, and it stops in order.

mod common;

use common::{Server, Setup, free_port, venv, wait_for};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// For a server to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a log in this folder, and the address of its door for Kafka.
fn server(data: &TempDir) -> (Server, SocketAddr) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let folder = data.path().to_str().expect("a plain path");
    let setup = Setup::default()
        .with("ESCALA_KAFKA_LISTEN", &address.to_string())
        .with("ESCALA_DATA_DIR", folder)
        .with("ESCALA_KAFKA_ACCEPT_REPLICATION", "true")
        .with("ESCALA_MODELS_PRELOAD", ",");
    (Server::start(&setup), address)
}

fn client(address: SocketAddr, part: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let requirements = root.join("stream_ingest/tests/clients/requirements.txt");
    let python = venv::interpreter("kafka-venv", &requirements);
    venv::checks(
        Command::new(python)
            .arg(root.join("tests/clients/kafka_restart.py"))
            .args([&address.to_string(), "restart", part, "500"]),
    );
}

#[test]
fn records_survive_a_killed_server_and_a_server_that_stops() {
    let data = TempDir::new().expect("a folder");
    let (first, address) = server(&data);
    client(address, "write");
    // Dropped, a server of the tests is killed, not asked to stop.
    drop(first);
    let (second, address) = server(&data);
    client(address, "read");
    second.terminate();
    wait_for("the server has ended", PATIENCE, || {
        second.exited().is_some()
    });
    let status = second.exited().expect("it has ended");
    assert!(status.success(), "{status}; its log:\n{}", second.log());
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
    // The log was closed, and opens again.
    let (third, address) = server(&data);
    assert!(TcpStream::connect(address).is_ok());
    drop(third);
}

#[test]
fn a_second_server_on_the_same_data_says_what_is_in_its_way() {
    let data = TempDir::new().expect("a folder");
    let (_first, _) = server(&data);
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
