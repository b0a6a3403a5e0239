//! What a request may ask for beside its method and address.
//!
//! S3 tells many operations from one another by a parameter of the address alone, or by a header: `PUT /bucket/key?tagging` is not
//! `PUT /bucket/key`. What reads requests here takes parameters that it does not know for none, and so an operation that is
//! younger than it for the plain one, which overwrites or deletes. So only what is known passes; all else is not implemented.

use super::request::bucket_of;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, Uri};
use s3s::{S3Error, S3Result, s3_error};

/// What an address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Root,
    Bucket,
    Object,
}

/// Parameters of lists of buckets.
const ROOT: &[&str] = &[
    "prefix",
    "max-buckets",
    "continuation-token",
    "bucket-region",
];

/// Those that tell the operations that read a bucket from one another, and those of lists.
const READ_BUCKET: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "encryption",
    "id",
    "intelligent-tiering",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "session",
    "tagging",
    "uploads",
    "versioning",
    "versions",
    "website",
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "marker",
    "max-keys",
    "max-uploads",
    "prefix",
    "start-after",
    "upload-id-marker",
    "version-id-marker",
];

/// Those of what is written to a bucket.
const WRITE_BUCKET: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "encryption",
    "id",
    "intelligent-tiering",
    "inventory",
    "lifecycle",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "tagging",
    "versioning",
    "website",
];

/// Those of what is deleted of a bucket.
const DELETE_BUCKET: &[&str] = &[
    "analytics",
    "cors",
    "encryption",
    "id",
    "intelligent-tiering",
    "inventory",
    "lifecycle",
    "metadataTable",
    "metrics",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "replication",
    "tagging",
    "website",
];

/// Those of what is read of an object.
const READ_OBJECT: &[&str] = &[
    "acl",
    "attributes",
    "legal-hold",
    "max-parts",
    "part-number-marker",
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "retention",
    "tagging",
    "torrent",
    "uploadId",
    "versionId",
];

/// Those of what is written to an object, deleted of it, and done with it.
const WRITE_OBJECT: &[&str] = &[
    "acl",
    "legal-hold",
    "partNumber",
    "retention",
    "tagging",
    "uploadId",
    "versionId",
];
const DELETE_OBJECT: &[&str] = &["tagging", "uploadId", "versionId"];
const WITH_OBJECT: &[&str] = &[
    "restore",
    "select",
    "select-type",
    "uploadId",
    "uploads",
    "versionId",
];

/// Headers whose request would be taken for another one, or would promise what is not kept, and the value that promises nothing.
const UNKEPT: [(&str, &str); 6] = [
    ("x-amz-write-offset-bytes", ""),
    ("x-amz-rename-source", ""),
    ("x-amz-bucket-object-lock-enabled", "false"),
    ("x-amz-object-lock-mode", ""),
    ("x-amz-object-lock-retain-until-date", ""),
    ("x-amz-object-lock-legal-hold", "OFF"),
];

/// What the names of checksums' headers begin with, and the header that says which come behind the body.
const CHECKSUM: &str = "x-amz-checksum-";
const TRAILER: &str = "x-amz-trailer";

/// The checksums that are compared, and what else begins so.
const SUMS: [&str; 8] = [
    "crc32",
    "crc32c",
    "crc64nvme",
    "sha1",
    "sha256",
    "algorithm",
    "type",
    "mode",
];

fn level(headers: &HeaderMap, uri: &Uri) -> Level {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let path = uri.path().trim_start_matches('/');
    let object = match host.and_then(bucket_of) {
        Some(_) => Some(path),
        None if path.is_empty() => return Level::Root,
        None => path.split_once('/').map(|(_, object)| object),
    };
    match object.is_some_and(|object| !object.is_empty()) {
        true => Level::Object,
        false => Level::Bucket,
    }
}

fn parameters(method: &Method, level: Level) -> &'static [&'static str] {
    match (level, method) {
        (Level::Root, _) => ROOT,
        (Level::Bucket, &Method::PUT) => WRITE_BUCKET,
        (Level::Bucket, &Method::DELETE) => DELETE_BUCKET,
        (Level::Bucket, &Method::POST) => &["delete", "metadataTable"],
        (Level::Bucket, _) => READ_BUCKET,
        (Level::Object, &Method::PUT) => WRITE_OBJECT,
        (Level::Object, &Method::DELETE) => DELETE_OBJECT,
        (Level::Object, &Method::POST) => WITH_OBJECT,
        (Level::Object, _) => READ_OBJECT,
    }
}

/// Looks at a request whose signature was taken off.
///
/// # Errors
/// `NotImplemented`, which names what is not known.
pub fn check(parts: &Parts) -> S3Result<()> {
    let known = parameters(&parts.method, level(&parts.headers, &parts.uri));
    let pairs = parts.uri.query().unwrap_or_default().split('&');
    let names = pairs.filter_map(|pair| pair.split('=').next());
    for name in names.filter(|name| !name.is_empty()) {
        // Those are of whoever asks: the name of the operation, headers that were signed in the address, notes for logs.
        let own = name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("x-"));
        if !own && !known.contains(&name) {
            return Err(unknown(&format!("the parameter {name}")));
        }
    }
    for (name, harmless) in UNKEPT {
        let asked = parts.headers.get(name);
        if asked.is_some_and(|asked| !asked.as_bytes().eq_ignore_ascii_case(harmless.as_bytes())) {
            return Err(unknown(&format!("the header {name}")));
        }
    }
    // A sum that nobody compares promises what is not kept.
    let headers = parts.headers.keys().map(HeaderName::as_str);
    let trailers = parts.headers.get_all(TRAILER).iter();
    let trailers = trailers.filter_map(|value| value.to_str().ok());
    let trailers = trailers.flat_map(|value| value.split(',').map(str::trim));
    for name in headers.chain(trailers) {
        if let Some(sum) = name.to_ascii_lowercase().strip_prefix(CHECKSUM)
            && !SUMS.contains(&sum)
        {
            return Err(unknown(&format!("the checksum {sum}")));
        }
    }
    Ok(())
}

fn unknown(what: &str) -> S3Error {
    s3_error!(
        NotImplemented,
        "{what} asks for something that is not implemented"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, address: &str, headers: &[(&'static str, &str)]) -> S3Result<()> {
        let mut request = axum::http::Request::builder().method(method).uri(address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).expect("a request").into_parts().0)
    }

    #[test]
    fn what_is_not_known_is_not_taken_for_something_else() {
        let virtual_host = [("host", "photos.s3.localhost:4566")];
        for (method, address, headers) in [
            (Method::DELETE, "/b?metadataConfiguration", &[][..]),
            (Method::DELETE, "/b/k?annotation&annotationName=a", &[]),
            (Method::PUT, "/b/k?annotation&annotationName=a", &[]),
            (Method::GET, "/b/k?annotation", &[]),
            (Method::GET, "/b?abac", &[]),
            (Method::PUT, "/b/k?renameObject", &[]),
            // One of a bucket's and of reading.
            (Method::PUT, "/b/k?encryption", &[]),
            (Method::DELETE, "/b/k?acl", &[]),
            (Method::DELETE, "/b?versioning", &[]),
            (Method::DELETE, "/k?website", &virtual_host),
            (Method::PUT, "/b/k?%61nnotation", &[]),
            (Method::PUT, "/b/k", &[("x-amz-write-offset-bytes", "10")]),
            (Method::PUT, "/b/k", &[("x-amz-checksum-sha512", "AAAA")]),
            (
                Method::PUT,
                "/b/k",
                &[("x-amz-trailer", "x-amz-checksum-xxhash64")],
            ),
            (
                Method::PUT,
                "/b/k",
                &[("x-amz-object-lock-mode", "COMPLIANCE")],
            ),
            (
                Method::PUT,
                "/b",
                &[("x-amz-bucket-object-lock-enabled", "true")],
            ),
        ] {
            let refused = asked(&method, address, headers).expect_err(address);
            assert_eq!(
                *refused.code(),
                s3s::S3ErrorCode::NotImplemented,
                "{address}"
            );
        }
        for (method, address, headers) in [
            (Method::GET, "/?prefix=a&x-id=ListBuckets", &[][..]),
            (
                Method::GET,
                "/b?list-type=2&prefix=a%2Fb&delimiter=%2F&max-keys=3",
                &[],
            ),
            (Method::GET, "/b/?location", &[]),
            (
                Method::GET,
                "/b/k?versionId=null&response-content-type=text%2Fplain",
                &[],
            ),
            (Method::HEAD, "/b/k?partNumber=1", &[]),
            (
                Method::PUT,
                "/b/k/l?partNumber=1&uploadId=7&x-id=UploadPart",
                &[],
            ),
            (Method::PUT, "/b/k?X-Amz-Checksum-Crc32=AAAAAA%3D%3D", &[]),
            (Method::POST, "/b?delete", &[]),
            (Method::POST, "/?delete", &virtual_host),
            (Method::DELETE, "/k?tagging", &virtual_host),
            (Method::PUT, "/b?tagging=", &[]),
            (
                Method::PUT,
                "/b/k",
                &[("x-amz-object-lock-legal-hold", "OFF")],
            ),
            (
                Method::PUT,
                "/b",
                &[("x-amz-bucket-object-lock-enabled", "False")],
            ),
        ] {
            asked(&method, address, headers).expect(address);
        }
    }
}
