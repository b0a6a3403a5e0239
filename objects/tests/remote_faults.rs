//! Buckets elsewhere whose service fails: a server here answers as a bad one would.
#![cfg(feature = "remote")]

use escala_objects::remote::{Remote, Settings};
use escala_objects::{Described, Error, ObjectName, ObjectStore, WritableStore};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longest time for a request here.
const TIMEOUT: Duration = Duration::from_secs(1);
const SECRET: &str = "geheimnis";

/// Requests as they came, each a head in lower case.
type Seen = Arc<Mutex<Vec<String>>>;

/// A server that answers each request as `answer` does, told how many came before; then the connection ends.
fn server(
    answer: impl Fn(usize, &str, &mut TcpStream) + Send + Sync + 'static,
) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    let seen = Seen::default();
    let (requests, answer) = (seen.clone(), Arc::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (requests, answer) = (requests.clone(), answer.clone());
            std::thread::spawn(move || {
                // A client that goes away is not what is tested.
                let Ok(head) = head(&stream) else { return };
                let number = {
                    let mut requests = requests.lock().expect("no panic");
                    requests.push(head.clone());
                    requests.len() - 1
                };
                answer(number, &head, &mut stream);
            });
        }
    });
    (address, seen)
}

fn head(stream: &TcpStream) -> io::Result<String> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
    io::copy(&mut lines.take(length.unwrap_or(0)), &mut io::sink())?;
    Ok(head)
}

/// Sends an answer; that the client is gone is no failure of these tests.
fn say(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\nlast-modified: Wed, 21 Oct 2026 07:28:00 GMT\r\n{headers}\r\n"
    );
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
}

fn say_all(stream: &mut TcpStream, status: &str, body: &str) {
    let length = format!("content-length: {}\r\n", body.len());
    say(stream, status, &length, body.as_bytes());
}

fn list(keys: &[&str], token: Option<&str>) -> String {
    let entry = |key: &&str| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-10-21T07:28:00.123Z</LastModified><ETag>&quot;e&quot;</ETag><Size>1</Size></Contents>"
        )
    };
    let entries: String = keys.iter().map(entry).collect();
    let token =
        token.map(|token| format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    format!(
        "<ListBucketResult>{entries}{}</ListBucketResult>",
        token.unwrap_or_default()
    )
}

fn remote(address: SocketAddr) -> Remote {
    let settings = Settings {
        endpoint: Some(format!("http://{address}")),
        allow_http: true,
        timeout: TIMEOUT,
        ..Settings::of("s3://there")
    };
    let variables = |name: &str| match name {
        "AWS_ACCESS_KEY_ID" => Some("an-id".to_owned()),
        "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN" => Some(SECRET.to_owned()),
        _ => None,
    };
    Remote::new([("here", &settings)], &variables).expect("usable")
}

fn key() -> ObjectName {
    ObjectName::new("here", "key", None).expect("a name")
}

/// Bytes that say where they are.
fn object(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 1000) as u8).collect()
}

/// From where a request asks for bytes.
fn from(head: &str) -> usize {
    let range = head.split("range: bytes=").nth(1);
    let start = range.and_then(|range| range.split('-').next());
    start.map_or(0, |start| start.parse().expect("a number"))
}

/// Answers a request for the whole of an object, or for what is behind a number, with no more than `most` bytes.
fn give(stream: &mut TcpStream, head: &str, etag: &str, bytes: &[u8], most: usize) {
    let (start, all) = (from(head), bytes.len());
    let mut headers = format!("etag: \"{etag}\"\r\ncontent-length: {}\r\n", all - start);
    let status = match head.contains("range: bytes=") {
        true => {
            headers += &format!("content-range: bytes {start}-{}/{all}\r\n", all - 1);
            "206 Partial Content"
        }
        false => "200 OK",
    };
    say(
        stream,
        status,
        &headers,
        &bytes[start..all.min(start.saturating_add(most))],
    );
}

fn unavailable(error: &Error) -> &io::Error {
    match error {
        Error::Unavailable(error) => error,
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_service_that_stops_in_the_middle_is_given_up() {
    let whole = object(3 << 20);
    let (address, seen) = server(move |_, head, stream| {
        give(stream, head, "e", &whole, 1000);
        // For longer than anybody waits.
        std::thread::sleep(Duration::from_secs(60));
    });
    let begun = Instant::now();
    let mut opened = remote(address).open(&key()).expect("its head comes");
    let mut got = Vec::new();
    let error = opened
        .bytes
        .read_to_end(&mut got)
        .expect_err("no more comes");
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert!(error.to_string().contains("in time"), "{error}");
    assert_eq!(got, object(3000), "each request gave a thousand bytes");
    let starts: Vec<usize> = seen
        .lock()
        .expect("no panic")
        .iter()
        .map(|head| from(head))
        .collect();
    assert_eq!(starts, [0, 1000, 2000], "asked once and twice more");
}

#[test]
fn a_service_that_never_answers_is_given_up() {
    let (address, seen) = server(|_, _, _| std::thread::sleep(Duration::from_secs(60)));
    let remote = remote(address);
    let begun = Instant::now();
    let error = remote.open(&key()).err().expect("no answer");
    assert_eq!(unavailable(&error).kind(), io::ErrorKind::TimedOut);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(seen.lock().expect("no panic").len(), 3);
    let error = remote.list("here", "", "", 10).expect_err("no answer");
    assert_eq!(unavailable(&error).kind(), io::ErrorKind::TimedOut);
}

#[test]
fn an_object_that_changes_between_requests_fails_and_one_that_does_not_is_whole() {
    let whole = object(3 << 20);
    // (the ETag of later answers, whether they are read to the end)
    for (etag, same) in [("first", true), ("second", false)] {
        let bytes = whole.clone();
        let (address, seen) = server(move |number, head, stream| {
            let etag = if number == 0 { "first" } else { etag };
            give(stream, head, etag, &bytes, 3 << 19);
        });
        let mut opened = remote(address).open(&key()).expect("there");
        assert_eq!((opened.etag.as_str(), opened.length), ("first", 3 << 20));
        let mut got = Vec::new();
        let read = opened.bytes.read_to_end(&mut got);
        assert_eq!(read.is_ok(), same, "{read:?}");
        if let Err(error) = &read {
            assert!(error.to_string().contains("it changed"), "{error}");
        }
        let length = if same { whole.len() } else { 3 << 19 };
        assert!(got == whole[..length], "bytes of another");
        // One that finds another object there is followed by one that asks for this one.
        let requests = if same { 2 } else { 3 };
        assert_eq!(seen.lock().expect("no panic").len(), requests);
    }
    // Many breaks, each after something came: later requests say which object they want.
    let whole = object(9 << 20);
    let bytes = whole.clone();
    let (address, seen) = server(move |_, head, stream| {
        give(stream, head, "first", &bytes, 5 << 18);
    });
    let mut opened = remote(address).open(&key()).expect("there");
    let mut got = Vec::new();
    opened
        .bytes
        .read_to_end(&mut got)
        .expect("it never changed");
    assert!(got == whole, "bytes of another");
    let seen = seen.lock().expect("no panic");
    assert!(
        seen.iter().any(|head| head.contains("if-match: \"first\"")),
        "{seen:?}"
    );
}

#[test]
fn whoever_reads_slowly_reads_to_the_end() {
    let whole = object(24 << 20);
    let bytes = whole.clone();
    let (address, seen) = server(move |_, head, stream| {
        give(stream, head, "e", &bytes, usize::MAX);
    });
    let mut opened = remote(address).open(&key()).expect("there");
    let mut got = vec![0; 24 << 20];
    for piece in got.chunks_mut(4 << 20) {
        std::thread::sleep(TIMEOUT + TIMEOUT / 4);
        opened.bytes.read_exact(piece).expect("read");
    }
    assert!(got == whole, "other bytes");
    assert!(
        seen.lock().expect("no panic").len() > 1,
        "no request took too long"
    );
}

#[test]
fn refused_credentials_are_denied_and_nobody_is_told_them() {
    for (status, code) in [
        ("403 Forbidden", "InvalidAccessKeyId"),
        ("403 Forbidden", "SignatureDoesNotMatch"),
        ("401 Unauthorized", "Unauthorized"),
        ("400 Bad Request", "ExpiredToken"),
    ] {
        let (address, seen) = server(move |_, _, stream| {
            let told = format!("<Error><Code>{code}</Code><Message>{SECRET}</Message></Error>");
            say_all(stream, status, &told);
        });
        let remote = remote(address);
        let mut new = remote.create(&key()).expect("not asked for yet");
        new.write_all(b"bytes").expect("kept");
        let refused = [
            remote.open(&key()).err(),
            remote.open_range(&key(), 1..2).err(),
            remote.list("here", "", "", 10).err(),
            new.commit().err(),
            remote.delete(&key()).err(),
        ];
        for error in refused {
            let error = error.expect("refused");
            assert!(matches!(error, Error::Denied), "{code}: {error:?}");
        }
        let shown = format!("{remote:?} {:?}", remote.open(&key()).err());
        assert!(
            !shown.contains(SECRET) && !shown.contains("an-id"),
            "{shown}"
        );
        let seen = seen.lock().expect("no panic");
        assert!(seen[0].contains("an-id") && !seen[0].contains("aws_secret"));
    }
}

#[test]
fn what_a_service_says_is_told_without_what_it_was_asked() {
    for (status, body, part) in [
        (
            "503 Slow Down",
            "<Error><Code>SlowDown</Code></Error>",
            "503 SlowDown",
        ),
        ("500 No", "geheimnis", "the service answered 500"),
        (
            "301 Moved",
            "<Error><Code>PermanentRedirect</Code></Error>",
            "region",
        ),
        ("200 OK", "<what>geheimnis", "not understood"),
    ] {
        let (address, _) = server(move |_, _, stream| say_all(stream, status, body));
        let error = remote(address).list("here", "", "", 10).expect_err(status);
        let told = error.to_string();
        assert!(told.contains(part) && !told.contains(SECRET), "{told}");
        assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    }
    let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = unused.local_addr().expect("its address");
    drop(unused);
    let error = remote(address).open(&key()).err().expect("nobody is there");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

#[test]
fn lists_are_in_order_whatever_order_they_come_in() {
    let pages = [["b", "d"], ["a", "c"], ["z", "y"]];
    let (address, _) = server(move |_, head, stream| {
        let page = ["continuation-token=1", "continuation-token=2"];
        let page = page.iter().position(|token| head.contains(token));
        let page = page.map_or(0, |page| page + 1);
        let token = ["1", "2"].get(page).copied();
        say_all(stream, "200 OK", &list(&pages[page], token));
    });
    let remote = remote(address);
    let keys = |after: &str, most: usize| -> Vec<String> {
        let listed = remote.list("here", "", after, most).expect("listed");
        listed.into_iter().map(|one| one.key).collect()
    };
    assert_eq!(keys("", 10), ["a", "b", "c", "d", "y", "z"]);
    assert_eq!(keys("", 3), ["a", "b", "c"]);
    assert_eq!(keys("c", 2), ["d", "y"]);
    assert!(keys("z", 2).is_empty());
}

#[test]
fn a_list_without_an_end_ends() {
    let (address, _) = server(|_, _, stream| say_all(stream, "200 OK", &list(&[], Some("on"))));
    let error = remote(address)
        .list("here", "", "", 10)
        .expect_err("nothing ever comes");
    assert!(
        unavailable(&error).to_string().contains("again and again"),
        "{error}"
    );
}

/// An upload's parts are sent one beside the other, but no more than two, so that what is not sent yet is bounded.
#[test]
fn few_parts_are_under_way() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (now.clone(), most.clone());
    let (address, seen) = server(move |_, head, stream| {
        let tag = "etag: \"part\"\r\ncontent-length: 0\r\n";
        if head.starts_with("post") && head.contains("?uploads") {
            say_all(stream, "200 OK", "<R><UploadId>up</UploadId></R>");
        } else if head.starts_with("post") {
            say_all(stream, "200 OK", "<R><ETag>\"whole\"</ETag></R>");
        } else if head.starts_with("put") {
            highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Long enough for another to come meanwhile.
            std::thread::sleep(Duration::from_millis(100));
            counted.fetch_sub(1, Ordering::SeqCst);
            say(stream, "200 OK", tag, b"");
        } else {
            say_all(stream, "200 OK", &list(&[], None));
        }
    });
    let mut new = remote(address).create(&key()).expect("begun");
    new.write_all(&object(50 << 20)).expect("written");
    let kept = new.commit().expect("committed");
    assert_eq!((kept.length, kept.etag.as_str()), (50 << 20, "whole"));
    assert_eq!(most.load(Ordering::SeqCst), 2);
    let parts = seen.lock().expect("no panic");
    assert_eq!(
        parts.iter().filter(|head| head.starts_with("put")).count(),
        7
    );
}

/// A thread that serves a runtime is held up, like by a disk, and neither panics nor waits for itself.
#[test]
fn a_thread_of_a_runtime_may_ask() {
    let (address, _) = server(|_, _, stream| say_all(stream, "200 OK", &list(&["a"], None)));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let listed = runtime.expect("a runtime").block_on(async {
        let remote = remote(address);
        // And it may be dropped there.
        remote.list("here", "", "", 10)
    });
    assert_eq!(listed.expect("listed").len(), 1);
}

#[test]
fn what_is_known_of_an_object_is_asked_for_without_its_bytes() {
    let (address, seen) = server(|_, head, stream| {
        let headers = "etag: \"e\"\r\ncontent-length: 7\r\ncontent-type: a/b\r\n";
        match head.starts_with("head") {
            true => say(stream, "200 OK", headers, b""),
            false => say_all(stream, "500 No", ""),
        }
    });
    let info = remote(address).describe(&key()).expect("there");
    assert_eq!((info.length, info.etag.as_str()), (7, "e"));
    assert_eq!(info.about.content_type.as_deref(), Some("a/b"));
    assert_eq!(seen.lock().expect("no panic").len(), 1);
}
