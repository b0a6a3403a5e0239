//! AWS JSON 1.1 on the wire: where a request names its operation, how its body is read, and the form of
//! answers and errors. Nothing here knows what an operation does.
//!
//! The field of an error's sentence follows what the services send: `message` for the framework's errors
//! such as `ValidationException`, `Message` for `SerializationException` and for the errors of the service
//! models; Rekognition adds `Code` and `Logref` to the latter, as its developer guide shows. The real
//! services leave out the sentence for bodies that are no JSON and for unknown operations; here it says
//! what is wrong. The header `x-amzn-ErrorType` repeats the code, because some SDKs look there first.

use super::errors::{Failure, SERIALIZATION};
use super::model::Id;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value};

const MEDIA_TYPE: &str = "application/x-amz-json-1.1";
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// Where SDKs look for an error's name.
pub const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// Most values in one body. A parsed value takes many times its bytes, so that the limit on the body's
/// size alone would not bound memory. The largest list in the service models has 4,096 elements.
const MOST_VALUES: usize = 100_000;
/// Bodies below this cannot do harm by their number of values.
const FEW_BYTES: usize = 1 << 20;

/// What a request's headers say.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Before the dot: the service, such as `RekognitionService`.
    pub prefix: &'a str,
    /// After it: the operation.
    pub operation: &'a str,
}

/// The operation that a request names.
///
/// # Errors
/// There is no `X-Amz-Target`, it is not `service.operation`, or the body is declared as something else.
pub fn target(headers: &HeaderMap) -> Result<Target<'_>, Failure> {
    let Some(value) = headers.get(TARGET) else {
        let service = signing_name(headers)
            .map(|name| format!(" (it is signed for `{name}`)"))
            .unwrap_or_default();
        let message =
            format!("The request names no operation: the header X-Amz-Target is missing{service}.");
        return Err(Failure::unknown_operation(message));
    };
    let wrong = || {
        Failure::unknown_operation("The header X-Amz-Target is not of the form Service.Operation.")
    };
    let (prefix, operation) = value
        .to_str()
        .ok()
        .and_then(|value| value.rsplit_once('.'))
        .ok_or_else(wrong)?;
    let media = headers
        .get(CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let essence = media
        .as_deref()
        .map(|media| media.split(';').next().unwrap_or_default().trim());
    // Media types are compared without regard to case (RFC 9110, section 8.3.1).
    let json = |essence: &str| {
        [MEDIA_TYPE, "application/x-amz-json-1.0", "application/json"]
            .iter()
            .any(|known| essence.eq_ignore_ascii_case(known))
    };
    match essence {
        None => Ok(Target { prefix, operation }),
        Some(essence) if json(essence) => Ok(Target { prefix, operation }),
        Some(_) => Err(Failure::unknown_operation(format!(
            "The Content-Type must be {MEDIA_TYPE}."
        ))),
    }
}

/// The service that a request is signed for: the fourth part of its credential scope. Signatures
/// themselves are not verified; any key is accepted.
pub fn signing_name(headers: &HeaderMap) -> Option<String> {
    scope(headers, 1)
}

/// The region that a request is signed for: the third part of its credential scope.
pub fn region(headers: &HeaderMap) -> Option<String> {
    scope(headers, 2)
}

/// A part of a request's credential scope, counted from its end.
fn scope(headers: &HeaderMap, part: usize) -> Option<String> {
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (_, after) = authorization.split_once("Credential=")?;
    let scope = after.split([',', ' ']).next()?;
    // key/date/region/service/aws4_request, where the key may hold slashes.
    let name = scope.rsplit('/').nth(part)?;
    let harmless = (1..=40).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    harmless.then(|| name.to_owned())
}

/// Reads a body.
///
/// # Errors
/// It is no JSON, nested deeper than 128, no object, or holds too many values.
pub fn decode(body: &[u8]) -> Result<Value, Failure> {
    if body.len() > FEW_BYTES && values(body) > MOST_VALUES {
        return Err(Failure::serialization(format!(
            "The request holds more than {MOST_VALUES} values."
        )));
    }
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(Value::Array(_)) => Err(Failure::serialization(
            "Start of list found where not expected",
        )),
        Ok(_) => Err(Failure::serialization("The body must be a JSON object.")),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            Err(Failure::serialization(format!(
                "The body is not valid JSON (line {line}, column {column})."
            )))
        }
    }
}

/// An upper bound of the values in a JSON text, without parsing it. An image is one string of millions of characters, so
/// what strings hold is passed over at once.
fn values(body: &[u8]) -> usize {
    let (mut count, mut at) = (1, 0);
    while let Some(&byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => at += string(&body[at..]),
            b',' | b'[' | b'{' => count += 1,
            _ => {}
        }
    }
    count
}

/// The bytes of a string after its first quote, the last quote among them.
fn string(body: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &body[at..]) {
        at += found + 1;
        if body[at - 1] == b'"' {
            return at;
        }
        // What is escaped, if there is something.
        at = (at + 1).min(body.len());
    }
    body.len()
}

/// An answer.
pub fn answer(value: &Value, request_id: &str) -> Response {
    respond(StatusCode::OK, value.to_string(), request_id)
}

/// An error. `service` is known once the request has named one.
pub fn error(service: Option<Id>, failure: &Failure, request_id: &str) -> Response {
    let mut body = Map::new();
    body.insert("__type".to_owned(), failure.code.into());
    let field = if failure.modeled || failure.code == SERIALIZATION {
        "Message"
    } else {
        "message"
    };
    if failure.modeled && service == Some(Id::Rekognition) {
        body.insert("Code".to_owned(), failure.code.into());
        body.insert("Logref".to_owned(), request_id.into());
    }
    body.insert(field.to_owned(), failure.message.as_str().into());
    let mut response = respond(failure.status, Value::Object(body).to_string(), request_id);
    response
        .headers_mut()
        .insert(ERROR_TYPE, HeaderValue::from_static(failure.code));
    if let Some(after) = failure.retry_after {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

fn respond(status: StatusCode, body: String, request_id: &str) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    identify(&mut response, request_id);
    response
}

/// Puts the request's id into an answer's headers.
pub fn identify(response: &mut Response, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(ID, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).expect("header"),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_target_names_service_and_operation() {
        let json = ("content-type", MEDIA_TYPE);
        let good = headers(&[
            ("x-amz-target", "Comprehend_20171127.DetectSentiment"),
            json,
        ]);
        assert_eq!(
            target(&good).ok(),
            Some(Target {
                prefix: "Comprehend_20171127",
                operation: "DetectSentiment"
            })
        );
        let charset = headers(&[
            ("x-amz-target", "A.B"),
            ("content-type", "application/x-amz-json-1.1; charset=utf-8"),
        ]);
        assert!(target(&charset).is_ok());
        let upper = headers(&[
            ("x-amz-target", "A.B"),
            ("content-type", "Application/X-Amz-JSON-1.1"),
        ]);
        assert!(target(&upper).is_ok());
        for bad in [
            headers(&[json]),
            headers(&[("x-amz-target", ""), json]),
            headers(&[("x-amz-target", "DetectSentiment"), json]),
            headers(&[("x-amz-target", "Ä.B"), json]),
            headers(&[
                ("x-amz-target", "A.B"),
                ("content-type", "application/x-www-form-urlencoded"),
            ]),
        ] {
            let failure = target(&bad).expect_err("refused");
            assert_eq!(
                (failure.code, failure.status.as_u16()),
                ("UnknownOperationException", 400)
            );
        }
    }

    #[test]
    fn the_credential_scope_names_the_service() {
        let scope = |value: &str| signing_name(&headers(&[("authorization", value)]));
        let real = "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/rekognition/aws4_request, SignedHeaders=host, Signature=00";
        assert_eq!(scope(real).as_deref(), Some("rekognition"));
        let signed = headers(&[("authorization", real)]);
        assert_eq!(region(&signed).as_deref(), Some("us-east-1"));
        assert_eq!(
            scope("AWS4-HMAC-SHA256 Credential=a/b/c/d/s3/aws4_request").as_deref(),
            Some("s3")
        );
        for odd in [
            "",
            "Basic eDp5",
            "AWS4-HMAC-SHA256 Credential=",
            "Credential=x",
            "Credential=//",
            "Credential=/é/x",
        ] {
            assert_eq!(scope(odd), None, "{odd}");
        }
    }

    #[test]
    fn bodies_that_are_no_object_are_refused() {
        assert!(decode(b"{}").is_ok());
        let deep = [
            b"{\"a\":".repeat(100_000),
            b"1".to_vec(),
            b"}".repeat(100_000),
        ]
        .concat();
        let bodies: [&[u8]; 10] = [
            b"",
            b"{",
            b"null",
            b"\"x\"",
            b"1",
            b"[]",
            b"{\"a\":1,}",
            b"{\"a\":1e999}",
            b"\xff\xfe",
            deep.as_slice(),
        ];
        for body in bodies {
            let failure = decode(body).expect_err("refused");
            assert_eq!(
                (failure.code, failure.status.as_u16()),
                (SERIALIZATION, 400)
            );
        }
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let many = format!("{{\"a\":[{}0]}}", "0,".repeat(1_000_000));
        assert!(
            decode(many.as_bytes())
                .expect_err("refused")
                .message
                .contains("100000 values")
        );
        // Commas inside text are no values.
        let text = format!("{{\"a\":\"{}\\\",\"}}", ",[{".repeat(1_000_000));
        assert!(decode(text.as_bytes()).is_ok());
        assert_eq!(values(br#"{"a":"x\\","b":[1,2]}"#), 5);
        for (text, count) in [
            (r#""a,[{,""#, 1),
            (r#"["\"",","]"#, 3),
            (r#"["\\",1]"#, 3),
            (r#"["never ends, or does it"#, 2),
            (r#"["ends in a backslash,\"#, 2),
            ("", 1),
        ] {
            assert_eq!(values(text.as_bytes()), count, "{text}");
        }
    }
}
