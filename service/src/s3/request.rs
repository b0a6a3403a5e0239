//! Which requests are S3's, and what is left of one when its signature is taken off.
//!
//! Access keys are accepted and not checked, like those of the other AWS doors, so a signature says nothing here but whom a
//! request is for. What it would protect is looked at where it can be without the key: when a presigned address ends, and
//! the digest of the body. Programs sign; pages of others that a browser is made to ask for cannot, or only in the address:
//! such requests may neither post nor, without any signature, change anything.

use super::chunked::{Chunked, Trailers};
use super::known;
use axum::body::Body;
use axum::http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, RANGE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode, S3Result};
use std::io;
use std::time::{Duration, SystemTime};

/// What a signature in an address is made of.
const SIGNED: [&str; 11] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
    "AWSAccessKeyId",
    "Signature",
    "Expires",
];

/// The SHA-256 that a body was signed with.
#[derive(Clone, Debug)]
pub struct Payload(pub Vec<u8>);

fn text(headers: &HeaderMap, name: impl axum::http::header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// A parameter of an address, as it is written there.
fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&');
    let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(one, _)| *one == name).map(|(_, value)| value)
}

/// The service that a signature is for: `key/date/region/service/aws4_request`.
fn is_scope(scope: &str) -> bool {
    let scope = scope.replace("%2F", "/").replace("%2f", "/");
    matches!(scope.rsplit('/').nth(1), Some("s3" | "s3express"))
}

/// A host without its port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a request is S3's: by the service that it was signed for, else by its host (`s3.…`, `bucket.s3.…`).
pub fn is_s3(headers: &HeaderMap, uri: &Uri) -> bool {
    if headers.contains_key("x-amz-target") {
        return false;
    }
    if let Some(signed) = text(headers, AUTHORIZATION) {
        // `AWS key:signature` is the signature before the fourth, which only S3 knows.
        let scope = signed.split_once("Credential=");
        let scope = scope.map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or(rest));
        return scope.map_or(signed.starts_with("AWS "), is_scope);
    }
    if let Some(scope) = parameter(uri, "X-Amz-Credential") {
        return is_scope(scope);
    }
    parameter(uri, "AWSAccessKeyId").is_some()
        || text(headers, HOST)
            .map(without_port)
            .is_some_and(|host| host.starts_with("s3.") || host.contains(".s3."))
}

/// The bucket that a host names: `bucket.s3.…`, `bucket.localhost`.
pub fn bucket_of(host: &str) -> Option<&str> {
    let host = without_port(host);
    if host.starts_with("s3.") {
        return None;
    }
    let bucket = host.strip_suffix(".localhost");
    let bucket = bucket.map(|bucket| bucket.strip_suffix(".s3").unwrap_or(bucket));
    bucket.or_else(|| host.split_once(".s3.").map(|(bucket, _)| bucket))
}

/// Whether an address was signed for a time that is over.
fn is_over(uri: &Uri) -> S3Result<bool> {
    let invalid = || {
        s3s::s3_error!(
            AuthorizationQueryParametersError,
            "the address is not signed for a time"
        )
    };
    let seconds = |text: &str| text.parse::<u32>().map_err(|_| invalid());
    let now = SystemTime::now();
    if parameter(uri, "X-Amz-Credential").is_some() {
        let lasts = seconds(parameter(uri, "X-Amz-Expires").ok_or_else(invalid)?)?;
        let from = parameter(uri, "X-Amz-Date").filter(|from| from.is_ascii() && from.len() == 16);
        let from = from.ok_or_else(invalid)?;
        // 20261128T144000Z
        let from = format!(
            "{}-{}-{}T{}:{}:{}Z",
            &from[..4],
            &from[4..6],
            &from[6..8],
            &from[9..11],
            &from[11..13],
            &from[13..15]
        );
        let from = Timestamp::parse(TimestampFormat::DateTime, &from).map_err(|_| invalid())?;
        return Ok(Timestamp::from(now - Duration::from_secs(lasts.into())) > from);
    }
    match parameter(uri, "Expires").filter(|_| parameter(uri, "AWSAccessKeyId").is_some()) {
        Some(until) => {
            Ok(now > SystemTime::UNIX_EPOCH + Duration::from_secs(seconds(until)?.into()))
        }
        None => Ok(false),
    }
}

/// An address without what a signature is made of.
fn unsigned(uri: &Uri) -> S3Result<Uri> {
    let Some(query) = uri.query() else {
        return Ok(uri.clone());
    };
    let rest: Vec<&str> = query
        .split('&')
        .filter(|pair| {
            let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
            !SIGNED.contains(&name)
        })
        .collect();
    let address = match rest.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), rest.join("&")),
    };
    address.parse().map_err(|_| S3ErrorCode::InvalidURI.into())
}

/// Whether a `Range` is one that S3 reads: a single one of bytes, whose end is not before its beginning.
fn is_range(range: &HeaderValue) -> bool {
    let range = range
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("bytes="));
    let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
        return false;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // What has more digits lies behind the end of any object.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (from, to) {
        ("", to) => number(to).is_some(),
        (from, "") => number(from).is_some(),
        (from, to) => number(from)
            .zip(number(to))
            .is_some_and(|(from, to)| from <= to),
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

/// The bytes of a body, none of which lets itself be waited for longer than `pause`.
fn arriving(body: Body, pause: Duration) -> impl Stream<Item = io::Result<Bytes>> + Unpin {
    Box::pin(stream::unfold(
        Some(body.into_data_stream()),
        move |body| async move {
            let mut body = body?;
            match tokio::time::timeout(pause, body.next()).await {
                Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(body))),
                Ok(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
                Ok(None) => None,
                Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
            }
        },
    ))
}

/// Takes the signature off a request and the encoding off its body.
///
/// # Errors
/// S3's, for what cannot be taken as it is.
pub fn unsign(
    mut parts: Parts,
    body: Body,
    pause: Duration,
) -> S3Result<axum::http::Request<s3s::Body>> {
    let signed = parts.headers.remove(AUTHORIZATION).is_some();
    let changes = !matches!(parts.method, Method::GET | Method::HEAD);
    let in_address = parameter(&parts.uri, "X-Amz-Signature")
        .or_else(|| parameter(&parts.uri, "Signature"))
        .is_some();
    if changes && !signed && (!in_address || parts.method == Method::POST) {
        return Err(s3s::s3_error!(AccessDenied, "the request is not signed"));
    }
    let form =
        text(&parts.headers, CONTENT_TYPE).is_some_and(|of| of.starts_with("multipart/form-data"));
    if form && parts.method == Method::POST {
        return Err(s3s::s3_error!(
            NotImplemented,
            "objects are not taken from forms"
        ));
    }
    if is_over(&parts.uri)? {
        return Err(s3s::s3_error!(AccessDenied, "Request has expired"));
    }
    parts.uri = unsigned(&parts.uri)?;
    known::check(&parts)?;
    if let Some(range) = parts.headers.get(RANGE)
        && !is_range(range)
    {
        // The whole is the answer (RFC 9110, section 14.2).
        parts.headers.remove(RANGE);
    }
    let digest = parts.headers.remove("x-amz-content-sha256");
    let digest = digest.as_ref().and_then(|digest| digest.to_str().ok());
    let chunked = digest.is_some_and(|digest| digest.starts_with("STREAMING-"));
    if let Some(payload) = digest
        .filter(|digest| digest.len() == 64)
        .and_then(decode_hex)
    {
        parts.extensions.insert(Payload(payload));
    }
    let body = arriving(body, pause);
    if !chunked {
        let body = s3s::Body::http_body_unsync(Body::from_stream(body));
        return Ok(axum::http::Request::from_parts(parts, body));
    }
    let length = parts.headers.remove("x-amz-decoded-content-length");
    let length = length.ok_or(S3ErrorCode::MissingContentLength)?;
    parts.headers.insert(CONTENT_LENGTH, length);
    if let Some(encodings) = text(&parts.headers, CONTENT_ENCODING) {
        let rest = encodings.split(',').map(str::trim);
        let rest: Vec<&str> = rest.filter(|one| *one != "aws-chunked").collect();
        let rest = HeaderValue::from_str(&rest.join(","));
        parts.headers.remove(CONTENT_ENCODING);
        if let Ok(rest) = rest.map(|rest| (!rest.is_empty()).then_some(rest))
            && let Some(rest) = rest
        {
            parts.headers.insert(CONTENT_ENCODING, rest);
        }
    }
    let trailers = Trailers::default();
    parts.extensions.insert(trailers.clone());
    let decoder = Chunked::new(body, trailers);
    let body = stream::try_unfold(decoder, |mut decoder| async move {
        let bytes = decoder.next().await?;
        Ok::<_, io::Error>(bytes.map(|bytes| (bytes, decoder)))
    });
    let body = s3s::Body::http_body_unsync(Body::from_stream(body));
    Ok(axum::http::Request::from_parts(parts, body))
}

/// The error as an answer of S3's.
pub fn refused(error: S3Error) -> axum::response::Response {
    use axum::response::IntoResponse;
    match error.to_http_response() {
        Ok(answer) => answer.map(Body::new),
        Err(error) => {
            tracing::error!(%error, "an answer of S3's cannot be written");
            axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = axum::http::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        pairs.collect()
    }

    #[test]
    fn requests_are_whose_they_were_signed_for() {
        let v4 = |service: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
            )
        };
        let (s3, sagemaker) = (v4("s3").leak(), v4("sagemaker").leak());
        for (pairs, address, is) in [
            (vec![("authorization", &*s3)], "/bucket/key", true),
            (vec![("authorization", &*s3)], "/v1/text/language", true),
            (vec![("authorization", &*sagemaker)], "/", false),
            (
                vec![
                    ("authorization", &*s3),
                    ("x-amz-target", "Comprehend_20171127.DetectSyntax"),
                ],
                "/",
                false,
            ),
            (vec![("authorization", "AWS AK:sig=")], "/bucket", true),
            (
                vec![("authorization", "Bearer x"), ("host", "s3.localhost")],
                "/v1/models",
                false,
            ),
            (
                vec![],
                "/b/k?X-Amz-Algorithm=A&X-Amz-Credential=AK%2F20260101%2Fus-east-1%2Fs3%2Faws4_request",
                true,
            ),
            (
                vec![],
                "/b/k?X-Amz-Credential=AK%2F20260101%2Fus-east-1%2Fsts%2Faws4_request",
                false,
            ),
            (vec![], "/b/k?AWSAccessKeyId=AK&Signature=x&Expires=1", true),
            (vec![("host", "s3.localhost:4566")], "/b", true),
            (
                vec![("host", "photos.s3.eu-west-1.amazonaws.com")],
                "/",
                true,
            ),
            (vec![("host", "localhost:4566")], "/healthz", false),
            (vec![], "/docs", false),
        ] {
            let uri: Uri = address.parse().expect("an address");
            assert_eq!(is_s3(&headers(&pairs), &uri), is, "{pairs:?} {address}");
        }
    }

    #[test]
    fn hosts_name_buckets() {
        for (host, bucket) in [
            ("s3.localhost:4566", None),
            ("localhost:4566", None),
            ("photos.localhost:4566", Some("photos")),
            ("photos.s3.localhost", Some("photos")),
            ("my.photos.s3.eu-west-1.amazonaws.com", Some("my.photos")),
            ("s3.eu-west-1.amazonaws.com", None),
            ("example.org", None),
        ] {
            assert_eq!(bucket_of(host), bucket, "{host}");
        }
    }

    fn asked(
        method: Method,
        address: &str,
        pairs: &[(&'static str, &'static str)],
    ) -> S3Result<Uri> {
        let mut request = axum::http::Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = address.parse().expect("an address");
        *request.headers_mut() = headers(pairs);
        let (parts, ()) = request.into_parts();
        let request = unsign(parts, Body::empty(), Duration::from_secs(1))?;
        assert!(!request.headers().contains_key(AUTHORIZATION));
        Ok(request.uri().clone())
    }

    #[tokio::test]
    async fn signatures_are_taken_off() {
        let address = "/b/k%20?uploadId=7&X-Amz-Credential=a%2Fs3%2Fb&X-Amz-Date=29991231T235959Z&X-Amz-Expires=60\
            &X-Amz-Signature=0&partNumber=1";
        let rest = asked(Method::PUT, address, &[]).expect("taken");
        assert_eq!(rest, "/b/k%20?uploadId=7&partNumber=1");
        let rest = asked(
            Method::GET,
            "/b?AWSAccessKeyId=A&Signature=x&Expires=4102444800",
            &[],
        );
        assert_eq!(rest.expect("taken"), "/b");
        for (method, address, pairs, code) in [
            (
                Method::GET,
                "/b/k?X-Amz-Credential=a%2Fs3%2Fb&X-Amz-Date=20200101T000000Z&X-Amz-Expires=60&X-Amz-Signature=0",
                &[][..],
                S3ErrorCode::AccessDenied,
            ),
            (
                Method::GET,
                "/b/k?AWSAccessKeyId=A&Signature=x&Expires=1600000000",
                &[],
                S3ErrorCode::AccessDenied,
            ),
            (
                Method::GET,
                "/b/k?X-Amz-Credential=a%2Fs3%2Fb&X-Amz-Date=0000&X-Amz-Expires=60",
                &[],
                S3ErrorCode::AuthorizationQueryParametersError,
            ),
            (
                Method::POST,
                "/b?delete&X-Amz-Credential=a&X-Amz-Signature=0",
                &[],
                S3ErrorCode::AccessDenied,
            ),
            (Method::PUT, "/b/k", &[], S3ErrorCode::AccessDenied),
            (
                Method::POST,
                "/b",
                &[
                    ("authorization", "AWS a:b"),
                    ("content-type", "multipart/form-data; boundary=x"),
                ],
                S3ErrorCode::NotImplemented,
            ),
        ] {
            let refused = asked(method, address, pairs).expect_err(address);
            assert_eq!(*refused.code(), code, "{address}");
        }
    }
}
