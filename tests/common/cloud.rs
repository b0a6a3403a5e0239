//! Clouds on this machine, which others wrote: moto plays S3, Azurite (Microsoft's) plays Azure. Their own clients, in Python, put
//! things there and look at what is there.

use super::port::free_port;
use super::venv;
use serde_json::{Value, json};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// For a cloud to begin.
const PATIENCE: Duration = Duration::from_secs(120);
/// The account that Azurite has, published with it.
pub const AZURITE: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);

/// A file of the crate of objects, whichever crate's tests ask.
fn here(name: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inside = manifest.join("objects");
    let objects = if inside.is_dir() { &inside } else { manifest };
    objects.join("tests/clients").join(name)
}

/// A cloud.
pub struct Cloud {
    child: Child,
    /// `s3` or `azure`.
    pub kind: &'static str,
    /// Where it is.
    pub url: String,
    python: PathBuf,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn python() -> PathBuf {
    venv::interpreter("clouds-venv", &here("requirements.txt"))
}

impl Cloud {
    fn start(kind: &'static str, port: u16, path: &str, command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the cloud starts");
        let mut cloud = Self {
            child,
            kind,
            url: format!("http://127.0.0.1:{port}{path}"),
            python: python(),
        };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = cloud.child.try_wait().expect("can be waited for");
            assert!(ended.is_none(), "the cloud ended: {ended:?}");
            assert!(start.elapsed() < PATIENCE, "no cloud within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        cloud
    }

    /// moto.
    pub fn s3() -> Self {
        let port = free_port();
        let mut moto = Command::new(python());
        // What it decides by its settings must not be the caller's.
        moto.args(["-m", "moto.server", "-H", "127.0.0.1", "-p"])
            .arg(port.to_string())
            .env_remove("INITIAL_NO_AUTH_ACTION_COUNT");
        Self::start("s3", port, "", &mut moto)
    }

    /// Azurite; none where npm is missing.
    pub fn azure() -> Option<Self> {
        if Command::new("npm").arg("--version").output().is_err() {
            eprintln!("WARNING: npm is missing: nothing was checked with Azurite");
            return None;
        }
        let package = std::fs::read_to_string(here("package.json")).expect("package.json");
        let folder = venv::cached("azurite", &package, |folder| {
            std::fs::create_dir_all(folder).expect("the folder can be made");
            std::fs::write(folder.join("package.json"), &package).expect("it can be written");
            venv::run(
                Command::new("npm")
                    .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
                    .arg(folder),
            );
        });
        let port = free_port();
        let mut azurite = Command::new("node");
        azurite
            .arg(folder.join("node_modules/azurite/dist/src/blob/main.js"))
            .args(["--inMemoryPersistence", "--silent", "--skipApiVersionCheck"])
            .args([
                "--disableTelemetry",
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
            ])
            .arg(port.to_string());
        let path = format!("/{}", AZURITE.0);
        Some(Self::start("azure", port, &path, &mut azurite))
    }

    /// What the cloud's own client does.
    pub fn does(&self, commands: &[Value]) -> Vec<Value> {
        let mut child = Command::new(&self.python)
            .arg(here("cloud.py"))
            .args([self.kind, &self.url])
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let mut input = child.stdin.take().expect("it is piped");
        input
            .write_all(json!(commands).to_string().as_bytes())
            .expect("written");
        drop(input);
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "{commands:?}: {}", output.status);
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Makes buckets.
    pub fn buckets(&self, names: &[String]) {
        let commands: Vec<Value> = names.iter().map(|name| json!(["bucket", name])).collect();
        self.does(&commands);
    }
}
