//! What a request expects of an object, and which part of it is wanted.

use axum::http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use escala_objects::local::Condition;
use s3s::dto::{ETagCondition, Range, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use std::ops;
use std::time::{Duration, SystemTime};

/// The conditions of a request that reads.
#[derive(Debug, Default)]
pub struct Conditions<'a> {
    /// `If-Match`.
    pub matches: Option<&'a ETagCondition>,
    /// `If-None-Match`.
    pub none_match: Option<&'a ETagCondition>,
    /// `If-Modified-Since`.
    pub modified_since: Option<&'a Timestamp>,
    /// `If-Unmodified-Since`.
    pub unmodified_since: Option<&'a Timestamp>,
}

/// Whether one of the ETags of a header is the object's.
fn is(condition: &ETagCondition, etag: &str) -> bool {
    match condition.as_etag() {
        None => true,
        // A list arrives as one text, without the first quote and the last.
        Some(named) => named
            .value()
            .split(',')
            .any(|one| one.trim().trim_start_matches("W/").trim_matches('"') == etag),
    }
}

impl Conditions<'_> {
    /// Whether an object is what the request expects: by RFC 9110, where ETags come before times.
    ///
    /// # Errors
    /// `PreconditionFailed`; `NotModified`, which of a copy's source is `PreconditionFailed` too.
    pub fn hold(&self, etag: &str, modified: SystemTime) -> S3Result<()> {
        let seconds = |time: SystemTime| {
            let since = time
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()))
        };
        let modified = seconds(modified);
        let expected = match (self.matches, self.unmodified_since) {
            (Some(condition), _) => is(condition, etag),
            (None, Some(time)) => modified <= *time,
            (None, None) => true,
        };
        if !expected {
            return Err(s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            ));
        }
        let new = match (self.none_match, self.modified_since) {
            (Some(condition), _) => !is(condition, etag),
            (None, Some(time)) => modified > *time,
            (None, None) => true,
        };
        match new {
            true => Ok(()),
            false => Err(not_modified(etag)),
        }
    }

    /// The same for the source of a copy.
    ///
    /// # Errors
    /// `PreconditionFailed`.
    pub fn hold_of_source(&self, etag: &str, modified: SystemTime) -> S3Result<()> {
        let held = self.hold(etag, modified);
        held.map_err(|_| {
            s3_error!(
                PreconditionFailed,
                "the source is not what the request expects"
            )
        })
    }
}

fn not_modified(etag: &str) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    if let Ok(etag) = axum::http::HeaderValue::from_str(&format!("\"{etag}\"")) {
        let etag = [(axum::http::header::ETAG, etag)];
        error.set_headers(etag.into_iter().collect());
    }
    error
}

/// The condition of a request that writes.
///
/// # Errors
/// `NotImplemented` for what S3 does not know either.
pub fn of_write(
    matches: Option<&ETagCondition>,
    none_match: Option<&ETagCondition>,
) -> S3Result<Condition> {
    match (matches, none_match) {
        (None, None) => Ok(Condition::Always),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Condition::Match(etag.value().to_owned())),
        _ => Err(s3_error!(
            NotImplemented,
            "a write has one condition: If-None-Match: * or If-Match with an ETag"
        )),
    }
}

/// The condition on what a copy would take the place of: `s3s` knows only those on its source.
///
/// # Errors
/// As [`of_write`]; `InvalidArgument` for what is no ETag.
pub fn of_copy(headers: &HeaderMap) -> S3Result<Condition> {
    let condition = |name: HeaderName| {
        let value = headers.get(name)?;
        let value = value.as_bytes();
        Some(ETagCondition::parse_http_header(value).map_err(|_| {
            s3_error!(
                InvalidArgument,
                "a condition is * or an ETag between quotes"
            )
        }))
    };
    let matches = condition(IF_MATCH).transpose()?;
    let none_match = condition(IF_NONE_MATCH).transpose()?;
    of_write(matches.as_ref(), none_match.as_ref())
}

/// The bytes that are wanted of an object of so many; never none.
///
/// # Errors
/// `InvalidRange`.
pub fn wanted(range: Option<&Range>, length: u64) -> S3Result<Option<ops::Range<u64>>> {
    let Some(range) = range else {
        return Ok(None);
    };
    let range = range.check(length).ok().filter(|range| !range.is_empty());
    range
        .map(Some)
        .ok_or_else(|| s3_error!(InvalidRange, "The requested range is not satisfiable"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3s::dto::ETag;

    #[test]
    fn conditions_hold_by_the_rfc() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let etag = |text: &str| Some(ETagCondition::ETag(ETag::Strong(text.to_owned())));
        let time = |seconds| Some(Timestamp::from(at(seconds)));
        let (same, other, any) = (etag("a"), etag("b"), Some(ETagCondition::Any));
        let list = etag("b\", \"a");
        let (before, equal, after) = (time(99), time(100), time(101));
        // What is modified at 100.5 has the second 100.
        let modified = at(100) + Duration::from_millis(500);
        let (good, failed, not_modified) = (
            None,
            Some(S3ErrorCode::PreconditionFailed),
            Some(S3ErrorCode::NotModified),
        );
        for (matches, none_match, since, unmodified, wanted) in [
            (&None, &None, &None, &None, &good),
            (&same, &None, &None, &None, &good),
            (&any, &None, &None, &None, &good),
            (&list, &None, &None, &None, &good),
            (&other, &None, &None, &None, &failed),
            (&same, &None, &None, &before, &good),
            (&None, &same, &None, &None, &not_modified),
            (&None, &any, &None, &None, &not_modified),
            (&None, &list, &None, &None, &not_modified),
            (&None, &other, &None, &None, &good),
            (&None, &other, &after, &None, &good),
            (&None, &None, &before, &None, &good),
            (&None, &None, &equal, &None, &not_modified),
            (&None, &None, &after, &None, &not_modified),
            (&None, &None, &None, &before, &failed),
            (&None, &None, &None, &equal, &good),
            (&other, &same, &None, &None, &failed),
        ] {
            let conditions = Conditions {
                matches: matches.as_ref(),
                none_match: none_match.as_ref(),
                modified_since: since.as_ref(),
                unmodified_since: unmodified.as_ref(),
            };
            let held = conditions.hold("a", modified);
            let code = held.err().map(|error| error.code().clone());
            assert_eq!(code, *wanted, "{conditions:?}");
            let of_source = conditions.hold_of_source("a", modified).is_ok();
            assert_eq!(of_source, wanted.is_none(), "{conditions:?}");
        }
    }
}
