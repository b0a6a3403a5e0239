//! What the end-to-end tests share: the real binary on a free port, requests to it, a Python with the
//! SDKs, and the golden files.
//!
//! A server that a test started ends with the test; the one that a test file shares ends with its
//! process, however that ends.
#![allow(dead_code)] // each test file uses a part

pub mod checkpoints;
pub mod cloud;
pub mod hostile;
pub mod image_models;
pub mod images;
pub mod kcat;
pub mod port;
pub mod python;
pub mod sagemaker;
pub mod venv;

pub use port::free_port;

use serde_json::Value;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// The first start on a machine pulls the weights (110 MB).
const READY_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two looks at a condition.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The folder with the golden files.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join("golden")
        .join(name)
}

/// A golden file.
pub fn golden_json(name: &str) -> Value {
    let path = golden(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Entities of which rules make something else than the reference: an address, a card's number, a sign that belongs to its
/// amount, a company with its form. By language (`en`: `spacy_en.json`) and side, `reference` or `rules`.
static MENDED: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../data/reading/mended.json")).expect("a table of texts")
});

/// The entities of a list, without those of the side that rules mend.
pub fn without<'v>(
    entities: &'v Value,
    language: &str,
    side: &str,
    member: &str,
) -> Vec<&'v Value> {
    let mended = MENDED[language][side].as_array().expect("a list");
    let entities = entities.as_array().expect("a list").iter();
    entities
        .filter(|entity| !mended.contains(&entity[member]))
        .collect()
}

/// The bytes of a golden image.
pub fn golden_image(name: &str) -> Vec<u8> {
    let path = golden("images").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Waits until `condition` holds.
pub fn wait_for(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < timeout, "{what}: not within {timeout:?}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The binary as a user's shell would start it, but blind to the configuration of whoever runs the
/// tests. `folder` is its working folder. The cache of models is the user's, so that weights are pulled
/// once per machine.
pub fn escala(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_escala"));
    for (name, _) in std::env::vars() {
        if name.starts_with("ESCALA_") && name != "ESCALA_MODELS_DIR" {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        .env("XDG_CONFIG_HOME", folder.join("no-config"))
        .env("XDG_DATA_HOME", folder.join("data"))
        // Servers of several tests run at a time.
        .env("ESCALA_KAFKA_LISTEN", "off")
        .stdin(Stdio::null());
    command
}

/// How a server is started.
#[derive(Clone, Default)]
pub struct Setup {
    /// Environment variables, such as `ESCALA_LIMITS_BODY_PAUSE`.
    pub variables: Vec<(&'static str, String)>,
    /// Arguments after `serve --listen ADDRESS`.
    pub arguments: Vec<String>,
}

impl Setup {
    /// With one more environment variable.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }
}

/// A running server.
pub struct Server {
    child: Mutex<Child>,
    watcher: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its working folder, with the log.
    folder: tempfile::TempDir,
    agent: ureq::Agent,
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub fn start(setup: &Setup) -> Self {
        let server = Self::begin(setup);
        server.wait_ready();
        server
    }

    /// Starts a server.
    pub fn begin(setup: &Setup) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let log = File::create(folder.path().join("log")).expect("a log file");
        let child = escala(folder.path())
            .args(["serve", "--listen", &address.to_string()])
            .args(&setup.arguments)
            .envs(setup.variables.iter().map(|(name, value)| (name, value)))
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        // Statics are never dropped: this process notices the end of ours by its closed input.
        let watcher = Command::new("sh")
            .args([
                "-c",
                "cat >/dev/null; kill -9 \"$0\" 2>/dev/null",
                &child.id().to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build()
            .new_agent();
        Self {
            child: Mutex::new(child),
            watcher,
            address,
            folder,
            agent,
        }
    }

    /// Waits until `/readyz` says so.
    pub fn wait_ready(&self) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exited() {
                panic!(
                    "the server ended with {status} before it was ready; its log:\n{}",
                    self.log()
                );
            }
            if TcpStream::connect(self.address).is_ok() && self.get("/readyz").status == 200 {
                return;
            }
            assert!(
                start.elapsed() < READY_TIMEOUT,
                "not ready within {READY_TIMEOUT:?}; the log:\n{}",
                self.log()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Its status if it has ended.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.child
            .lock()
            .expect("no panic while waiting")
            .try_wait()
            .expect("the child can be waited for")
    }

    /// Kills it at once, whatever it is doing.
    pub fn kill(&self) {
        let mut child = self.child.lock().expect("no panic while waiting");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.lock().expect("no panic while waiting").id()
    }

    /// Kilobytes from a line of the system's figures on the process, such as `VmHWM`.
    pub fn kilobytes(&self, line: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let text = std::fs::read_to_string(path).expect("the system's figures");
        let found = text.lines().find_map(|found| found.strip_prefix(line));
        let number = found.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }

    /// Lets `VmHWM` begin anew.
    pub fn forget_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.pid());
        std::fs::write(path, "5").expect("the figure can be reset");
    }

    /// Asks it to stop, as a service manager does.
    pub fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status()
            .expect("kill runs");
        assert!(
            status.success(),
            "the server was gone before it was told to stop"
        );
    }

    /// Everything it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A bare connection, for what no client library would send.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server accepts");
        stream
            .set_read_timeout(Some(ANSWER_TIMEOUT))
            .expect("a timeout");
        stream
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> Answer {
        self.answer(self.agent.get(self.url(path)).call())
    }

    /// `POST path` with a body.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.answer(
            self.agent
                .post(self.url(path))
                .header("content-type", content_type)
                .send(body),
        )
    }

    /// `POST path` with a body, asking for an answer of a type.
    pub fn post_accepting(
        &self,
        path: &str,
        content_type: &str,
        accept: &str,
        body: &[u8],
    ) -> Answer {
        let request = self.agent.post(self.url(path)).header("accept", accept);
        self.answer(request.header("content-type", content_type).send(body))
    }

    /// `POST path` with a JSON body.
    pub fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, "application/json", body.to_string().as_bytes())
    }

    /// An AWS JSON request: `target` is such as `Comprehend_20171127.DetectDominantLanguage`.
    pub fn aws(&self, target: &str, body: &[u8]) -> Answer {
        self.told(self.try_aws(target, body))
    }

    /// The same of a server that may go away meanwhile.
    pub fn try_aws(&self, target: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        let request = self
            .agent
            .post(self.url("/"))
            .header("x-amz-target", target)
            .header("content-type", "application/x-amz-json-1.1");
        Answer::read(request.send(body)?)
    }

    /// Any method on any path of the door for objects, with a body.
    pub fn s3(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let signed = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(self.url(path))
            .header("authorization", signed)
            .body(body)
            .expect("a request");
        self.answer(self.agent.run(request))
    }

    /// Any method on any path, with a JSON body.
    pub fn method_json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(self.url(path))
            .header("content-type", "application/json")
            .body(body.to_string())
            .expect("a request");
        self.answer(self.agent.run(request))
    }

    /// Any method on any path, without a body.
    pub fn method(&self, method: &str, path: &str) -> Answer {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(self.url(path))
            .body(())
            .expect("a request");
        self.answer(self.agent.run(request))
    }

    fn answer(&self, result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
        self.told(result.and_then(Answer::read))
    }

    fn told(&self, answer: Result<Answer, ureq::Error>) -> Answer {
        answer.unwrap_or_else(|error| panic!("no answer: {error}; the log:\n{}", self.log()))
    }

    /// The server lives and still predicts right: what every attack must leave behind.
    pub fn assert_sound(&self, after: &str) {
        assert_eq!(
            self.get("/healthz").status,
            200,
            "after {after}; the log:\n{}",
            self.log()
        );
        let answer = self.post_json(
            "/v1/text/language",
            &serde_json::json!({ "text": "¿Dónde está la biblioteca?" }),
        );
        assert_eq!(
            answer.json()["languages"][0]["code"],
            "es",
            "after {after}: {answer:?}"
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let child = self
            .child
            .get_mut()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        // Both may have ended already; there is nothing else to do about a failure.
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The type of the body.
    pub content_type: String,
    /// The request's id, in either of its headers.
    pub request_id: Option<String>,
    /// When to come back.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The body as text; empty when it is none.
    pub text: String,
}

impl Answer {
    fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Self, ureq::Error> {
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let (status, content_type) = (response.status().as_u16(), header("content-type"));
        let request_id = header("x-request-id").or_else(|| header("x-amzn-requestid"));
        let retry_after = header("retry-after");
        let body = response.body_mut().read_to_vec()?;
        Ok(Self {
            status,
            content_type: content_type.unwrap_or_default(),
            request_id,
            retry_after,
            text: String::from_utf8(body.clone()).unwrap_or_default(),
            body,
        })
    }

    /// The picture of an answer that must be one.
    #[track_caller]
    pub fn picture(&self) -> image::RgbImage {
        assert_eq!(
            (self.status, self.content_type.as_str()),
            (200, "image/png"),
            "{}",
            self.text
        );
        let decoded = image::load_from_memory_with_format(&self.body, image::ImageFormat::Png);
        decoded
            .unwrap_or_else(|error| panic!("no PNG: {error}"))
            .into_rgb8()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// The body as JSON of an answer that must be 200.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// The answer is this REST error, with a sentence and an id.
    #[track_caller]
    pub fn assert_rest_error(&self, status: u16, code: &str, what: &str) {
        assert_eq!(self.status, status, "{what}: {self:?}");
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{what}: {self:?}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| message.len() > 5),
            "{what}: {self:?}"
        );
        assert!(
            error["request_id"].is_string() && self.request_id.is_some(),
            "{what}: {self:?}"
        );
    }

    /// The answer is this AWS error, as botocore reads it.
    #[track_caller]
    pub fn assert_aws_error(&self, status: u16, code: &str, what: &str) {
        assert_eq!(self.status, status, "{what}: {self:?}");
        let body = self.json();
        let name = body["__type"].as_str().unwrap_or_default();
        assert_eq!(name.rsplit('#').next(), Some(code), "{what}: {self:?}");
        let message = body
            .get("message")
            .or_else(|| body.get("Message"))
            .and_then(Value::as_str);
        assert!(
            message.is_some_and(|message| message.len() > 5),
            "{what}: {self:?}"
        );
        assert_eq!(self.content_type, "application/x-amz-json-1.1", "{what}");
        assert!(self.request_id.is_some(), "{what}: {self:?}");
    }
}
