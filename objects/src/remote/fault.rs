//! What services say of failures, as the contract's errors. Nothing of a request is in them: addresses may have signatures.

use super::Bucket;
use crate::{Error, ObjectName};
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error as Source;
use std::io::{self, ErrorKind};

/// What services call a bucket that is not there.
const NO_BUCKET: [&str; 3] = ["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"];
/// What they call credentials that are not or no longer good, where the status does not say so.
const DENIED: [&str; 8] = [
    "AccessDenied",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AuthenticationFailed",
    "AuthorizationFailure",
];

/// What is found in an error.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    status: Option<u16>,
    code: Option<String>,
    /// Whether it was not the bucket that was asked but what knows this machine's credentials.
    credentials: bool,
}

fn between<'a>(text: &'a str, before: &str, behind: char) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(behind)?.0)
}

fn chain<'a>(
    error: &'a (dyn Source + 'static),
) -> impl Iterator<Item = &'a (dyn Source + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Source + 'static)| {
        (*error).source()
    })
}

fn said(error: &(dyn Source + 'static)) -> Said {
    let mut said = Said::default();
    for one in chain(error) {
        let text = one.to_string();
        let status = text.strip_prefix("Server returned non-2xx status code: ");
        if let Some(status) = status {
            said.status = status.get(..3).and_then(|digits| digits.parse().ok());
        }
        let code = between(&text, "<Code>", '<').or_else(|| between(&text, "(code: ", ')'));
        let plain = |code: &&str| {
            (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        said.code = said.code.or_else(|| code.filter(plain).map(str::to_owned));
        said.credentials |= [
            "http://169.254.",
            "metadata.google.internal",
            "/oauth2/",
            "//sts.",
        ]
        .iter()
        .any(|asked| text.contains(asked));
    }
    said
}

/// Whether it is an object that is not there.
pub fn is_absent(error: &object_store::Error) -> bool {
    let said = said(error);
    let bucket = said.code.as_deref();
    matches!(error, object_store::Error::NotFound { .. })
        && !bucket.is_some_and(|code| NO_BUCKET.contains(&code))
}

/// Whether no byte of the object may be in the range: the service says so, or its answer makes no sense, as Azurite's does then.
pub fn is_range(error: &object_store::Error) -> bool {
    let said = said(error);
    said.status == Some(416)
        || said.code.as_deref() == Some("InvalidRange")
        || said.status.is_none() && said.code.is_none() && http(error).is_none()
}

/// That no answer came.
pub fn late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the service did not answer in time")
}

/// That an object is not what it was.
pub fn changed() -> io::Error {
    io::Error::other("it changed while it was read")
}

/// What the contract calls a failure; `name` is the object that was asked for.
pub fn of(bucket: &Bucket, name: Option<&ObjectName>, error: &object_store::Error) -> Error {
    let said = said(error);
    let code = said.code.as_deref().unwrap_or_default();
    let missing = matches!(error, object_store::Error::NotFound { .. });
    match said.status {
        _ if NO_BUCKET.contains(&code) => Error::NoBucket(bucket.name.clone()),
        _ if said.credentials => Error::Unavailable(io::Error::other(format!(
            "there are no credentials: {}",
            sentence(error, &said)
        ))),
        Some(401 | 403) => denied(bucket, code),
        _ if DENIED.contains(&code) => denied(bucket, code),
        Some(304 | 412) => Error::Unavailable(changed()),
        _ if missing => match name {
            Some(name) => name.absent(),
            None => Error::NoBucket(bucket.name.clone()),
        },
        _ => Error::Unavailable(io::Error::new(kind(error), sentence(error, &said))),
    }
}

fn denied(bucket: &Bucket, code: &str) -> Error {
    tracing::warn!(
        bucket = bucket.name,
        code,
        "a bucket elsewhere refuses what was asked"
    );
    Error::Denied
}

fn http(error: &object_store::Error) -> Option<&HttpError> {
    chain(error).find_map(|one| one.downcast_ref::<HttpError>())
}

fn kind(error: &object_store::Error) -> ErrorKind {
    match http(error).map(HttpError::kind) {
        Some(HttpErrorKind::Timeout) => ErrorKind::TimedOut,
        Some(HttpErrorKind::Interrupted) => ErrorKind::ConnectionAborted,
        _ => ErrorKind::Other,
    }
}

fn sentence(error: &object_store::Error, said: &Said) -> String {
    if let Some(status) = said.status {
        let code = said.code.as_deref().unwrap_or_default();
        return match status {
            301 | 307 | 308 => {
                "the service says that it is elsewhere: is the region right?".to_owned()
            }
            _ => format!("the service answered {status} {code}")
                .trim_end()
                .to_owned(),
        };
    }
    if chain(error).any(|one| {
        one.to_string()
            .starts_with("Received redirect without LOCATION")
    }) {
        return "the service says that it is elsewhere: is the region right?".to_owned();
    }
    let Some(http) = http(error) else {
        return match &said.code {
            Some(code) => format!("the service answered {code}"),
            None => "the answer of the service was not understood".to_owned(),
        };
    };
    // The innermost one is the system's or that of the connection, and knows of no request.
    let last = chain(http).last().map(ToString::to_string);
    let last = last.unwrap_or_default();
    match http.kind() {
        HttpErrorKind::Timeout => "the service did not answer in time".to_owned(),
        HttpErrorKind::Connect => format!("the service cannot be reached: {last}"),
        _ => format!("the request broke off: {last}"),
    }
}
