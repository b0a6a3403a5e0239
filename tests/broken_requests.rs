//! Every kind of broken or hostile request to the HTTP doors of the real binary is answered with the documented error, while
//! the server lives on and stays right.

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{Answer, Server, Setup, golden_image, images};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::OnceLock;

/// A pause in a body that the server under test takes for a stall; long beside a busy machine's hiccups.
const BODY_PAUSE: &str = "2s";

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        Server::start(&Setup::default().with("ESCALA_LIMITS_BODY_PAUSE", BODY_PAUSE))
    })
}

fn label_image(bytes: &[u8]) -> Answer {
    server().post(
        "/v1/images/labels?min_confidence=1",
        "application/octet-stream",
        bytes,
    )
}

/// What is broken, the path, the content type, the body, and the status and code to expect.
type BrokenRequest = (
    &'static str,
    &'static str,
    &'static str,
    Vec<u8>,
    u16,
    &'static str,
);

#[test]
fn broken_rest_requests_get_their_error_and_harm_nobody() {
    let long = "a".repeat(1_000_001);
    let many: Vec<&str> = vec!["a"; 2049];
    let language = "/v1/text/language";
    let labels = "/v1/images/labels";
    let cases: Vec<BrokenRequest> = vec![
        (
            "no JSON",
            language,
            "application/json",
            b"{\"text\": ".to_vec(),
            400,
            "invalid_input",
        ),
        (
            "bytes that are no UTF-8",
            language,
            "application/json",
            vec![b'"', 0xff, 0xfe, b'"'],
            400,
            "invalid_input",
        ),
        (
            "an empty body",
            language,
            "application/json",
            vec![],
            400,
            "invalid_input",
        ),
        (
            "a list instead of an object",
            language,
            "application/json",
            b"[1]".to_vec(),
            400,
            "invalid_input",
        ),
        (
            "a wrong type",
            language,
            "application/json",
            b"{\"text\": 5}".to_vec(),
            400,
            "invalid_input",
        ),
        (
            "an unknown member",
            language,
            "application/json",
            b"{\"txt\": \"hello\"}".to_vec(),
            400,
            "invalid_input",
        ),
        (
            "both members",
            language,
            "application/json",
            json!({ "text": "a", "texts": ["b"] }).to_string().into(),
            400,
            "invalid_input",
        ),
        (
            "no texts",
            language,
            "application/json",
            b"{\"texts\": []}".to_vec(),
            400,
            "invalid_input",
        ),
        (
            "too many texts",
            language,
            "application/json",
            json!({ "texts": many }).to_string().into(),
            400,
            "invalid_input",
        ),
        (
            "a text that is too long",
            language,
            "application/json",
            json!({ "text": long }).to_string().into(),
            413,
            "too_large",
        ),
        (
            "deep nesting",
            language,
            "application/json",
            "[".repeat(200_000).into(),
            400,
            "invalid_input",
        ),
        (
            "a wrong content type",
            language,
            "application/xml",
            b"<text/>".to_vec(),
            415,
            "unsupported_media_type",
        ),
        (
            "a text that is no UTF-8",
            language,
            "text/plain",
            vec![0xc3, 0x28],
            400,
            "invalid_input",
        ),
        (
            "no image",
            labels,
            "image/png",
            vec![],
            400,
            "invalid_image",
        ),
        (
            "wrong base64",
            labels,
            "application/json",
            b"{\"image\": \"*not base64*\"}".to_vec(),
            400,
            "invalid_input",
        ),
        (
            "text as image",
            labels,
            "application/json",
            json!({ "image": BASE64_STANDARD.encode("hello") })
                .to_string()
                .into(),
            400,
            "invalid_image",
        ),
        (
            "a wrong setting",
            labels,
            "application/json",
            json!({ "image": "aGk=", "min_confidence": 101 })
                .to_string()
                .into(),
            400,
            "invalid_input",
        ),
        (
            "an unknown query",
            "/v1/images/labels?colour=red",
            "image/png",
            golden_image("coffee.png"),
            400,
            "invalid_input",
        ),
    ];
    for (what, path, content_type, body, status, code) in cases {
        server()
            .post(path, content_type, &body)
            .assert_rest_error(status, code, what);
        server().assert_sound(what);
    }
}

#[test]
fn hostile_images_get_their_error_and_harm_nobody() {
    let (png, jpeg) = (
        golden_image("chelsea.png"),
        golden_image("grace_hopper.jpg"),
    );
    let noise_in_the_middle = {
        let mut bytes = png.clone();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4096].copy_from_slice(&images::noise(4096));
        bytes
    };
    let header_then_noise = [&png[..64], &images::noise(100_000)[..]].concat();
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("random bytes", images::noise(100_000), 400, "invalid_image"),
        (
            "a PNG cut in half",
            png[..png.len() / 2].to_vec(),
            400,
            "invalid_image",
        ),
        (
            "a JPEG cut in half",
            jpeg[..jpeg.len() / 2].to_vec(),
            400,
            "invalid_image",
        ),
        ("only a signature", png[..8].to_vec(), 400, "invalid_image"),
        (
            "a PNG with noise inside",
            noise_in_the_middle,
            400,
            "invalid_image",
        ),
        (
            "a PNG header before noise",
            header_then_noise,
            400,
            "invalid_image",
        ),
        (
            "a PNG that announces 3.6 gigapixels",
            images::png_bomb(60_000, 60_000),
            413,
            "too_large",
        ),
        (
            "a PNG that announces all it can",
            images::png_bomb(0x7fff_ffff, 0x7fff_ffff),
            413,
            "too_large",
        ),
        (
            "a PNG of one row",
            images::png_bomb(1_000_000, 100),
            413,
            "too_large",
        ),
        (
            "a PNG without its pixels",
            images::png_bomb(4000, 4000),
            400,
            "invalid_image",
        ),
        (
            "a PNG of nothing",
            images::png_bomb(0, 0),
            400,
            "invalid_image",
        ),
        (
            "a JPEG that announces 4.3 gigapixels",
            images::jpeg_bomb(65_500, 65_500),
            413,
            "too_large",
        ),
        (
            "a GIF that announces 4.3 gigapixels",
            images::gif_bomb(),
            413,
            "too_large",
        ),
        (
            "an SVG",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(),
            400,
            "invalid_image",
        ),
    ];
    for (what, bytes, status, code) in cases {
        label_image(&bytes).assert_rest_error(status, code, what);
        let encoded = json!({ "Image": { "Bytes": BASE64_STANDARD.encode(&bytes) } }).to_string();
        let name = if code == "too_large" {
            "ImageTooLargeException"
        } else {
            "InvalidImageFormatException"
        };
        server()
            .aws("RekognitionService.DetectLabels", encoded.as_bytes())
            .assert_aws_error(400, name, what);
        server().assert_sound(what);
    }
    let answer = label_image(&png).ok();
    let mut labels = answer["labels"].as_array().expect("labels").iter();
    assert!(labels.any(|label| label["name"] == "Cat"), "{answer}");
}

#[test]
fn broken_aws_requests_get_their_error_and_harm_nobody() {
    let (language, labels) = (
        "Comprehend_20171127.DetectDominantLanguage",
        "RekognitionService.DetectLabels",
    );
    let long = json!({ "Text": "a".repeat(100_001) }).to_string();
    let cases: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        (
            "no JSON",
            language,
            b"{\"Text\": ".to_vec(),
            400,
            "SerializationException",
        ),
        (
            "an empty body",
            language,
            vec![],
            400,
            "SerializationException",
        ),
        (
            "a list instead of an object",
            language,
            b"[]".to_vec(),
            400,
            "SerializationException",
        ),
        (
            "a wrong type",
            language,
            b"{\"Text\": 5}".to_vec(),
            400,
            "SerializationException",
        ),
        (
            "deep nesting",
            language,
            format!("{{\"Text\": {}", "[".repeat(200_000)).into(),
            400,
            "SerializationException",
        ),
        (
            "a missing member",
            language,
            b"{}".to_vec(),
            400,
            "ValidationException",
        ),
        (
            "an empty text",
            language,
            b"{\"Text\": \"\"}".to_vec(),
            400,
            "ValidationException",
        ),
        (
            "a text that is too long",
            language,
            long.into(),
            400,
            "TextSizeLimitExceededException",
        ),
        (
            "an unknown operation",
            "Comprehend_20171127.DetectMood",
            b"{}".to_vec(),
            400,
            "UnknownOperationException",
        ),
        (
            "an unknown service",
            "Mars_20990101.DetectWater",
            b"{}".to_vec(),
            400,
            "UnknownOperationException",
        ),
        (
            "a target without a dot",
            "DetectDominantLanguage",
            b"{}".to_vec(),
            400,
            "UnknownOperationException",
        ),
        (
            "an operation to come",
            "Comprehend_20171127.ListEndpoints",
            b"{}".to_vec(),
            501,
            "NotImplementedException",
        ),
        (
            "wrong base64",
            labels,
            b"{\"Image\": {\"Bytes\": \"*no*\"}}".to_vec(),
            400,
            "SerializationException",
        ),
        (
            "no image",
            labels,
            b"{\"Image\": {}}".to_vec(),
            400,
            "InvalidParameterException",
        ),
        (
            "a bound of the model",
            labels,
            b"{\"Image\": {\"Bytes\": \"aGk=\"}, \"MinConfidence\": 101}".to_vec(),
            400,
            "ValidationException",
        ),
    ];
    for (what, target, body, status, code) in cases {
        server()
            .aws(target, &body)
            .assert_aws_error(status, code, what);
        server().assert_sound(what);
    }
    let answer = server().post("/", "application/x-amz-json-1.1", b"{}");
    answer.assert_aws_error(400, "UnknownOperationException", "no target");
}

#[test]
fn openai_errors_have_their_shape() {
    let ask = |body: Value| server().post_json("/v1/embeddings", &body);
    let cases = [
        (
            "another model",
            json!({ "model": "gpt-4", "input": "a" }),
            404,
            "model",
        ),
        (
            "token numbers",
            json!({ "model": "all-MiniLM-L6-v2", "input": [1, 2] }),
            400,
            "input",
        ),
        (
            "another size",
            json!({ "model": "all-MiniLM-L6-v2", "input": "a", "dimensions": 3 }),
            400,
            "dimensions",
        ),
    ];
    for (what, body, status, param) in cases {
        let answer = ask(body);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        let error = &answer.json()["error"];
        assert_eq!(
            (&error["type"], &error["param"]),
            (&json!("invalid_request_error"), &json!(param)),
            "{what}"
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{what}"
        );
        server().assert_sound(what);
    }
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    server()
        .get("/v1/nothing/here")
        .assert_rest_error(404, "not_found", "an unknown path");
    server().get("/v1/text/language").assert_rest_error(
        405,
        "method_not_allowed",
        "a wrong method",
    );
    server().method("DELETE", "/healthz").assert_rest_error(
        405,
        "method_not_allowed",
        "a wrong method",
    );
    server().method("PUT", "/").assert_rest_error(
        405,
        "method_not_allowed",
        "a wrong method on the root",
    );
    server().assert_sound("unknown paths");
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let body = vec![b' '; (24 << 20) + 1];
    server()
        .post("/v1/text/language", "application/json", &body)
        .assert_rest_error(413, "too_large", "25 MB");
    server()
        .aws("Comprehend_20171127.DetectDominantLanguage", &body)
        .assert_aws_error(413, "RequestEntityTooLargeException", "25 MB");
    server().assert_sound("a large body");
}

/// Reads until the server closes the connection, which it does by itself: what the caller sends next may be the rest of a
/// body that was refused.
fn rest_of(mut stream: std::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_body_that_announces_more_than_it_may_is_refused_without_being_sent() {
    let mut stream = server().connect();
    let head = "POST /v1/text/language HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 999999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    let answer = rest_of(stream);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server().assert_sound("an announced terabyte");
}

#[test]
fn a_slow_body_times_out() {
    let mut stream = server().connect();
    let head = "POST /v1/text/language HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"text\":";
    stream.write_all(head.as_bytes()).expect("sent");
    let answer = rest_of(stream);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server().assert_sound("a slow body");
}

#[test]
fn callers_that_hang_up_harm_nobody() {
    for after in [10, 120, 100_000] {
        let body =
            json!({ "image": BASE64_STANDARD.encode(golden_image("coffee.png")) }).to_string();
        let request = format!(
            "POST /v1/images/labels HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = server().connect();
        stream
            .write_all(&request.as_bytes()[..after.min(request.len())])
            .expect("sent");
        stream.shutdown(Shutdown::Both).expect("hung up");
    }
    // A whole request whose answer nobody waits for.
    let mut stream = server().connect();
    stream.write_all(b"POST /v1/text/embeddings HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello").expect("sent");
    drop(stream);
    server().assert_sound("hanging up");
}

#[test]
fn what_is_no_http_is_refused() {
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"HELO example.org\r\n\r\n",
        &images::noise(4096),
    ] {
        let mut stream = server().connect();
        // The server may close while this is still being written.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        server().assert_sound("garbage");
    }
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let mut stream = server().connect();
    let head = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n",
        "y".repeat(200_000)
    );
    // The server may answer and close before it has read all.
    let _ = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    server().assert_sound("a long head");
}
