//! The names that buckets and objects may have.

use crate::Error;

/// Most bytes of a key, as in S3.
pub const LONGEST_KEY: usize = 1024;

/// The version of every object in a store that keeps one of each, as S3 names it.
pub const ONLY_VERSION: &str = "null";

/// The name of an object: a bucket by S3's rules, and a key of 1 to 1024 bytes that is text and nothing else: `a//b`, `..`
/// and `z/` are keys like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    bucket: String,
    key: String,
    version: Option<String>,
}

impl ObjectName {
    /// A name.
    ///
    /// # Errors
    /// [`Error::Name`] with the rule that is broken.
    pub fn new(bucket: &str, key: &str, version: Option<&str>) -> Result<Self, Error> {
        bucket_rules(bucket).map_err(Error::Name)?;
        key_rules(key).map_err(Error::Name)?;
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version: version.map(str::to_owned),
        })
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The error that there is no such object.
    pub fn absent(&self) -> Error {
        Error::NoKey(self.bucket.clone(), self.key.clone())
    }

    /// The error that there is no such bucket.
    pub fn bucketless(&self) -> Error {
        Error::NoBucket(self.bucket.clone())
    }

    /// For stores that keep one version of each object: whether it is the one that is asked for.
    ///
    /// # Errors
    /// [`Error::NoVersion`].
    pub fn only_version(&self) -> Result<(), Error> {
        match &self.version {
            Some(version) if version != ONLY_VERSION => Err(Error::NoVersion),
            _ => Ok(()),
        }
    }
}

/// S3's rules for the names of general purpose buckets.
///
/// # Errors
/// The rule that is broken.
pub fn bucket_rules(bucket: &str) -> Result<(), &'static str> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = bucket.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return Err("a bucket's name has 3 to 63 characters");
    };
    let address = bucket.split('.').count() == 4
        && bucket
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let reserved = ["xn--", "sthree-", "amzn-s3-demo-"]
        .iter()
        .any(|prefix| bucket.starts_with(prefix))
        || ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"]
            .iter()
            .any(|suffix| bucket.ends_with(suffix));
    let rules = [
        (
            (3..=63).contains(&bytes.len()),
            "a bucket's name has 3 to 63 characters",
        ),
        (
            bytes.iter().all(|&b| plain(b) || matches!(b, b'.' | b'-')),
            "a bucket's name has lower-case letters, digits, dots and hyphens only",
        ),
        (
            plain(*first) && plain(*last),
            "a bucket's name begins and ends with a letter or digit",
        ),
        (
            !bucket.contains(".."),
            "a bucket's name has no two dots in a row",
        ),
        (!address, "a bucket's name is no IP address"),
        (!reserved, "a bucket's name has none of S3's reserved parts"),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(rule),
        None => Ok(()),
    }
}

fn key_rules(key: &str) -> Result<(), &'static str> {
    match (1..=LONGEST_KEY).contains(&key.len()) {
        true => Ok(()),
        false => Err("a key has 1 to 1024 bytes"),
    }
}

/// A text that comes after every key that begins with `prefix`, and before every later key that does not: what a list goes
/// on after when it has said of a folder that it is there.
pub fn after_all_with(prefix: &str) -> String {
    // Nothing is greater than the last code point, and no key is so long.
    let mut text = prefix.to_owned();
    while text.len() <= LONGEST_KEY {
        text.push(char::MAX);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_have_the_names_that_s3_gives_them() {
        for name in [
            "abc",
            "my-bucket.2026",
            "0.a",
            "1.2.3",
            &"x".repeat(63),
            "1.2.3.4.5",
        ] {
            assert_eq!(bucket_rules(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "ab",
            &"x".repeat(64),
            "Bucket",
            "my_bucket",
            "-abc",
            "abc-",
            ".abc",
            "a..b",
            "..",
            "a/b",
            "192.168.5.4",
            "xn--abc",
            "sthree-abc",
            "abc-s3alias",
            "abc--ol-s3",
            "büro",
            "a\0b",
        ] {
            assert!(bucket_rules(name).is_err(), "{name}");
        }
    }

    #[test]
    fn keys_are_any_text_of_1024_bytes() {
        let longest = "x".repeat(1024);
        for key in [
            "a",
            "/",
            "..",
            "a//b",
            "z/",
            "a\0",
            "größe/照片 🙂.jpg",
            &longest,
        ] {
            assert_eq!(key_rules(key), Ok(()), "{key:?}");
        }
        for key in ["", &"x".repeat(1025), &"é".repeat(513)] {
            assert!(key_rules(key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn what_comes_after_a_prefix_comes_before_the_rest() {
        let folder = after_all_with("a/");
        for inside in [
            "a/",
            "a/b",
            "a/\u{10ffff}",
            &format!("a/{}", "\u{10ffff}".repeat(255)),
        ] {
            assert!(*inside < *folder, "{inside:?}");
        }
        for beyond in ["a0", "a\u{10ffff}", "b"] {
            assert!(*beyond > *folder, "{beyond:?}");
        }
        assert!(after_all_with(&"x".repeat(1024)) > "x".repeat(1024));
    }
}
