//! The `Image` member that every image operation has: bytes, or an object in S3.

use crate::aws::errors::Failure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, de};
use std::fmt;

/// `Image`.
#[derive(Deserialize)]
pub struct Image {
    #[serde(rename = "Bytes")]
    bytes: Option<Blob>,
    #[serde(rename = "S3Object")]
    s3_object: Option<S3Object>,
}

/// `S3Object`, as far as it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct S3Object {
    bucket: Option<de::IgnoredAny>,
    name: Option<de::IgnoredAny>,
}

impl Image {
    /// The encoded image.
    ///
    /// # Errors
    /// Neither or both sources are given, or the object cannot be had: no object store is part of this
    /// version, so that no object exists. AWS's sentences come first, then what is the matter here.
    pub fn encoded(self) -> Result<Bytes, Failure> {
        match (self.bytes, self.s3_object) {
            (Some(Blob(bytes)), None) => Ok(bytes),
            (None, Some(S3Object { bucket, name })) if bucket.is_none() || name.is_none() => {
                Err(Failure::declared(
                    "InvalidS3ObjectException",
                    "Request has invalid S3 object: it must have Bucket and Name.",
                ))
            }
            (None, Some(_)) => Err(Failure::declared(
                "InvalidS3ObjectException",
                "Unable to get object metadata from S3. Check object key, region and/or access permissions. \
                 (This version of Escala has no object store; send the image as Bytes.)",
            )),
            (None, None) => Err(invalid("Image has neither Bytes nor S3Object.")),
            (Some(_), Some(_)) => Err(invalid("Image has both Bytes and S3Object.")),
        }
    }
}

/// `InvalidParameterException`: AWS's sentence, and what is wrong.
fn invalid(detail: &str) -> Failure {
    Failure::declared(
        "InvalidParameterException",
        format!("Request has invalid parameters. {detail}"),
    )
}

/// Bytes that are base64 on the wire.
struct Blob(Bytes);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;
        impl de::Visitor<'_> for Base64 {
            type Value = Blob;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64 text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Blob, E> {
                STANDARD
                    .decode(text)
                    .map(|bytes| Blob(bytes.into()))
                    .map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Base64)
    }
}
