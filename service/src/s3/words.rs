//! Our values in S3's words, and back.

use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use escala_objects::Error as Missing;
use escala_objects::local::checksum::Checksum;
use escala_objects::local::{About, Error, Tags};
use hyper::body::Body as _;
use s3s::dto::{CommonPrefix, ETag, Object, ObjectStorageClass, Tag, Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use std::collections::HashMap;
use std::io::ErrorKind;

/// Most tags of an object, and of a bucket.
const OBJECT_TAGS: usize = 10;
const BUCKET_TAGS: usize = 50;

/// That there is no memory now.
pub fn slow_down() -> S3Error {
    s3_error!(SlowDown, "Please reduce your request rate.")
}

/// An error of S3's that `s3s` has no name for.
pub fn other(code: &'static str, status: StatusCode, message: impl Into<String>) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message.into());
    error.set_status_code(status);
    error
}

/// Most bytes of an answer that says what is wrong.
const REFUSAL: usize = 64 << 10;

/// An answer that says what is wrong in words, too, where it has only a code.
pub async fn explained(answer: Response) -> Response {
    let most = answer.body().size_hint().upper();
    if most.is_none_or(|most| most > REFUSAL as u64) {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let Ok(mut body) = axum::body::to_bytes(body, REFUSAL).await else {
        return other_answer(parts.status);
    };
    let text = std::str::from_utf8(&body).unwrap_or_default();
    if !text.contains("<Message>")
        && let Some((before, rest)) = text.split_once("<Code>")
        && let Some((code, after)) = rest.split_once("</Code>")
    {
        let message = message_of(code);
        body = format!("{before}<Code>{code}</Code><Message>{message}</Message>{after}").into();
        if parts.headers.contains_key(CONTENT_LENGTH) {
            parts.headers.insert(CONTENT_LENGTH, body.len().into());
        }
    }
    Response::from_parts(parts, body.into())
}

fn other_answer(status: StatusCode) -> Response {
    let mut answer = Response::default();
    *answer.status_mut() = status;
    answer
}

/// What a code means.
fn message_of(code: &str) -> &'static str {
    match code {
        "InvalidBucketName" => {
            "The specified bucket is not valid: names have 3 to 63 lower-case letters, digits, dots and dashes."
        }
        "KeyTooLongError" => "Your key is too long: keys have at most 1024 bytes.",
        "InvalidDigest" => "The Content-MD5 you specified is not valid.",
        "BadDigest" => {
            "The Content-MD5 or checksum you specified is not that of what was received."
        }
        "MalformedXML" => {
            "The XML you provided was not well-formed, or is not what this operation reads."
        }
        "InvalidURI" => "The specified URI could not be parsed.",
        "MethodNotAllowed" => "The specified method is not allowed against this resource.",
        "MissingContentLength" => "You must provide the Content-Length HTTP header.",
        "NotImplemented" => "This operation is not implemented.",
        "PreconditionFailed" => "At least one of the preconditions you specified did not hold.",
        "InvalidRange" => "The requested range cannot be satisfied.",
        _ => "The request cannot be answered; its code says why.",
    }
}

/// What a store says, as S3 says it.
pub fn failure(error: Error) -> S3Error {
    let code = match &error {
        Error::Store(missing) => match missing {
            Missing::Name(_) => S3ErrorCode::InvalidBucketName,
            Missing::NoBucket(_) => S3ErrorCode::NoSuchBucket,
            Missing::NoKey(..) => S3ErrorCode::NoSuchKey,
            Missing::NoVersion => S3ErrorCode::NoSuchVersion,
            Missing::Range { .. } => S3ErrorCode::InvalidRange,
            Missing::Denied => S3ErrorCode::AccessDenied,
            Missing::Unavailable(_) => S3ErrorCode::InternalError,
        },
        Error::BucketExists(_) => S3ErrorCode::BucketAlreadyOwnedByYou,
        Error::NotEmpty(_) => S3ErrorCode::BucketNotEmpty,
        Error::Precondition => S3ErrorCode::PreconditionFailed,
        Error::NoUpload(_) => S3ErrorCode::NoSuchUpload,
        Error::InvalidPart(_) => S3ErrorCode::InvalidPart,
        Error::PartOrder => S3ErrorCode::InvalidPartOrder,
        Error::SmallPart(_) => S3ErrorCode::EntityTooSmall,
        Error::Length { .. } => S3ErrorCode::IncompleteBody,
        Error::Digest("x-amz-content-sha256") => {
            let code = "XAmzContentSHA256Mismatch";
            return other(code, StatusCode::BAD_REQUEST, error.to_string());
        }
        Error::Digest(_) => S3ErrorCode::BadDigest,
        Error::Elsewhere(_) => S3ErrorCode::NotImplemented,
        // Clients try again after other errors of the server, and send all of it anew.
        Error::Disk(cause)
            if matches!(
                cause.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            ) =>
        {
            tracing::warn!(%error, "the disk of the store of objects is full");
            let full = "the disk of the store is full";
            return other("StorageFull", StatusCode::INSUFFICIENT_STORAGE, full);
        }
        Error::InUse(_)
        | Error::Version(_)
        | Error::Closed
        | Error::Index(_)
        | Error::Row(_)
        | Error::Disk(_) => S3ErrorCode::InternalError,
    };
    if code == S3ErrorCode::InternalError {
        tracing::warn!(%error, "the store of objects");
    }
    S3Error::with_message(code, error.to_string())
}

/// An ETag.
pub fn etag(text: &str) -> Option<ETag> {
    Some(ETag::Strong(text.to_owned()))
}

/// The checksums that an input has.
macro_rules! given {
    ($input:expr) => {
        [
            (Algorithm::Crc32, $input.checksum_crc32.as_deref()),
            (Algorithm::Crc32c, $input.checksum_crc32c.as_deref()),
            (Algorithm::Crc64Nvme, $input.checksum_crc64nvme.as_deref()),
            (Algorithm::Sha1, $input.checksum_sha1.as_deref()),
            (Algorithm::Sha256, $input.checksum_sha256.as_deref()),
        ]
    };
}
pub(super) use given;

/// Says a checksum in an output.
macro_rules! say_checksum {
    ($output:expr, $checksum:expr) => {
        if let Some(checksum) = $checksum {
            let value = Some(checksum.value.clone());
            match checksum.algorithm {
                Algorithm::Crc32 => $output.checksum_crc32 = value,
                Algorithm::Crc32c => $output.checksum_crc32c = value,
                Algorithm::Crc64Nvme => $output.checksum_crc64nvme = value,
                Algorithm::Sha1 => $output.checksum_sha1 = value,
                Algorithm::Sha256 => $output.checksum_sha256 = value,
            }
        }
    };
}
pub(super) use say_checksum;

/// What the checksum of an object is of.
pub fn checksum_type(checksum: Option<&Checksum>) -> Option<s3s::dto::ChecksumType> {
    Some(type_named(checksum?.composite))
}

/// What checksums are of.
pub fn type_named(composite: bool) -> s3s::dto::ChecksumType {
    s3s::dto::ChecksumType::from_static(match composite {
        true => s3s::dto::ChecksumType::COMPOSITE,
        false => s3s::dto::ChecksumType::FULL_OBJECT,
    })
}

/// What is said about an object in an input.
macro_rules! about {
    ($input:expr) => {
        escala_objects::local::About {
            content_type: $input.content_type.clone().filter(|one| !one.is_empty()),
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: $input
                .content_encoding
                .clone()
                .filter(|one| !one.is_empty()),
            content_language: $input.content_language.clone(),
            expires: $input
                .expires
                .as_ref()
                .and_then(crate::s3::words::http_date),
            redirect: $input.website_redirect_location.clone(),
            user: $input
                .metadata
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
        }
    };
}
pub(super) use about;

/// Most bytes of the names and values that an object's writer says with names of its own, together.
const USER: usize = 2 << 10;

/// What is said about an object, where it is not too much.
///
/// # Errors
/// `MetadataTooLarge`.
pub fn checked_about(about: About) -> S3Result<About> {
    let pairs = about.user.iter();
    let bytes: usize = pairs.map(|(name, value)| name.len() + value.len()).sum();
    match bytes <= USER {
        true => Ok(about),
        false => Err(s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size"
        )),
    }
}

/// A time as headers write it.
pub fn http_date(time: &Timestamp) -> Option<String> {
    let mut text = Vec::new();
    time.format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}

/// `Expires` of an object.
pub fn expires(about: &About) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, about.expires.as_deref()?).ok()
}

/// What an object's writer said of it with names of its own.
pub fn user(about: &About) -> Option<HashMap<String, String>> {
    (!about.user.is_empty()).then(|| about.user.clone().into_iter().collect())
}

/// The tags of the header `x-amz-tagging`.
///
/// # Errors
/// `InvalidTag`, `InvalidArgument`.
pub fn tags_of_header(header: Option<&str>) -> S3Result<Tags> {
    let Some(header) = header else {
        return Ok(Vec::new());
    };
    let address = format!("/?{header}").parse();
    let address = address.map_err(|_| s3_error!(InvalidArgument, "the tags are not encoded"))?;
    let pairs = axum::extract::Query::<Tags>::try_from_uri(&address);
    let pairs = pairs.map_err(|_| s3_error!(InvalidArgument, "the tags are not encoded"))?;
    checked(pairs.0, OBJECT_TAGS)
}

fn checked(tags: Tags, most: usize) -> S3Result<Tags> {
    let long = |(name, value): &(String, String)| {
        !(1..=128).contains(&name.chars().count()) || value.chars().count() > 256
    };
    let twice = |at: usize| tags[..at].iter().any(|(name, _)| *name == tags[at].0);
    if tags.len() > most {
        return Err(other(
            "BadRequest",
            StatusCode::BAD_REQUEST,
            format!("Object tags cannot be greater than {most}"),
        ));
    }
    if tags.iter().any(long) || (0..tags.len()).any(twice) {
        return Err(s3_error!(
            InvalidTag,
            "names have 1 to 128 characters and are there once, values have up to 256"
        ));
    }
    Ok(tags)
}

/// The tags of a document, for an object or a bucket.
///
/// # Errors
/// `InvalidTag`.
pub fn tags(set: Vec<Tag>, bucket: bool) -> S3Result<Tags> {
    let pairs = set.into_iter().map(|tag| {
        let (name, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        (name, value)
    });
    checked(
        pairs.collect(),
        if bucket { BUCKET_TAGS } else { OBJECT_TAGS },
    )
}

/// Tags as a document has them.
pub fn tag_set(tags: Tags) -> Vec<Tag> {
    let tag = |(name, value)| Tag {
        key: Some(name),
        value: Some(value),
    };
    tags.into_iter().map(tag).collect()
}

/// A key in a list, encoded if the request wants it.
pub fn encoded(text: &str, encode: bool) -> String {
    use std::fmt::Write;
    if !encode {
        return text.to_owned();
    }
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            // Writing to a string does not fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// Objects of a list.
pub fn objects(listed: Vec<escala_objects::Listed>, encode: bool) -> Option<Vec<Object>> {
    let object = |listed: escala_objects::Listed| Object {
        key: Some(encoded(&listed.key, encode)),
        e_tag: etag(&listed.etag),
        last_modified: Some(listed.modified.into()),
        size: i64::try_from(listed.length).ok(),
        storage_class: Some(ObjectStorageClass::from_static(
            ObjectStorageClass::STANDARD,
        )),
        ..Object::default()
    };
    Some(listed.into_iter().map(object).collect())
}

/// Common prefixes of a list.
pub fn prefixes(prefixes: &[String], encode: bool) -> Option<Vec<CommonPrefix>> {
    let prefix = |prefix: &String| CommonPrefix {
        prefix: Some(encoded(prefix, encode)),
    };
    Some(prefixes.iter().map(prefix).collect())
}

/// A token that a list goes on with.
pub fn token(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

/// Where a token goes on.
///
/// # Errors
/// `InvalidArgument`.
pub fn of_token(token: &str) -> S3Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "The continuation token provided is incorrect"
        )
    })
}
