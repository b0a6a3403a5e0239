//! A hub: answers `GET /<repo>/resolve/<revision>/<path>` with ranges as the real one does, and can break off,
//! hang or lie.

use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The SHA-256 of some bytes, in hexadecimal.
pub fn sha(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// How one download goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The connection ends after this many bytes.
    BreakAfter(usize),
    /// Nothing more comes after this many bytes.
    HangAfter(usize),
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub path: String,
    pub range: String,
    pub token: String,
}

#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    /// Entity tags that are not the file's SHA-256.
    tags: HashMap<String, String>,
    faults: VecDeque<Fault>,
    requests: Vec<Request>,
    status: Option<u16>,
}

pub struct Hub {
    state: Arc<Mutex<State>>,
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    /// Serves nothing yet.
    pub fn empty() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (state, stop) = (state.clone(), stop.clone());
            move || {
                let mut hanging = Vec::new();
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    hanging.extend(answer(stream.unwrap(), &state));
                }
            }
        });
        Self {
            state,
            address,
            stop,
            thread: Some(thread),
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn serve(&self, path: &str, bytes: Vec<u8>) {
        self.state
            .lock()
            .unwrap()
            .files
            .insert(path.to_owned(), bytes);
    }

    /// Serves a file under another entity tag than its SHA-256.
    pub fn tag(&self, path: &str, tag: &str) {
        let mut state = self.state.lock().unwrap();
        state.tags.insert(path.to_owned(), tag.to_owned());
    }

    /// The next downloads go wrong like this, one after the other.
    pub fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().unwrap().faults = faults.into_iter().collect();
    }

    /// How many faults did not happen yet.
    pub fn faults_left(&self) -> usize {
        self.state.lock().unwrap().faults.len()
    }

    /// Answers everything with this status.
    pub fn refuse(&self, status: u16) {
        self.state.lock().unwrap().status = Some(status);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Where downloads of a path started, without the one-byte requests for metadata.
    pub fn starts(&self, ending: &str) -> Vec<usize> {
        let requests = self.requests();
        let downloads = requests
            .iter()
            .filter(|r| r.path.ends_with(ending) && r.range != "bytes=0-0");
        downloads
            .map(|r| r.range["bytes=".len()..r.range.len() - 1].parse().unwrap())
            .collect()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        drop(TcpStream::connect(&self.address));
        let ended = self.thread.take().unwrap().join();
        assert!(std::thread::panicking() || ended.is_ok(), "the hub failed");
    }
}

/// Answers one request. Gives the connection back if it is to hang.
fn answer(mut stream: TcpStream, state: &Mutex<State>) -> Option<TcpStream> {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    let path = first.split(' ').nth(1)?.to_owned();
    let (mut range, mut token) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "range" => range = value.to_owned(),
            "authorization" => token = value.to_owned(),
            _ => (),
        }
    }
    let mut state = state.lock().unwrap();
    state.requests.push(Request {
        path: path.clone(),
        range: range.clone(),
        token,
    });
    let status = state.status.or(if state.files.contains_key(&path) {
        None
    } else {
        Some(404)
    });
    if let Some(status) = status {
        write!(
            stream,
            "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        return None;
    }
    let file = state.files[&path].clone();
    let tag = state.tags.get(&path).cloned();
    let tag = tag.unwrap_or_else(|| sha(&file));
    let Some(range) = range.strip_prefix("bytes=") else {
        // A listing.
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
        write!(
            stream,
            "{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            file.len()
        )
        .unwrap();
        drop(stream.write_all(&file));
        return None;
    };
    let (from, to) = range.split_once('-').unwrap();
    let from: usize = from.parse().unwrap();
    let metadata = to == "0";
    let end = if metadata { 1 } else { file.len() };
    if from >= file.len() {
        write!(
            stream,
            "HTTP/1.1 416 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        return None;
    }
    let body = &file[from..end];
    write!(
        stream,
        "HTTP/1.1 206 Partial\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\nETag: \"{}\"\r\n\
         X-Repo-Commit: abc123\r\nConnection: close\r\n\r\n",
        body.len(),
        end - 1,
        file.len(),
        tag,
    )
    .unwrap();
    let fault = if metadata {
        None
    } else {
        state.faults.pop_front()
    };
    drop(state);
    match fault {
        // A client that had enough hangs up; what it then says is the test's to check.
        None => drop(stream.write_all(body)),
        Some(Fault::BreakAfter(count)) => stream.write_all(&body[..count]).unwrap(),
        Some(Fault::HangAfter(count)) => {
            stream.write_all(&body[..count]).unwrap();
            return Some(stream);
        }
    }
    // Fails when the client is gone already.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    // Until the client is done reading, so that the end is not a reset that loses bytes.
    let _ = lines.read_to_end(&mut Vec::new());
    None
}
