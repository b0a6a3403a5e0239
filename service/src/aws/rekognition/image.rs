//! The `Image` member that every image operation has: bytes, or an object in S3.

use crate::aws::Aws;
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::object_store::{self, ObjectName};
use bytes::Bytes;
use escala_pipelines::{Error, Kind, Options};
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

/// `S3Object`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct S3Object {
    bucket: Option<String>,
    name: Option<String>,
    version: Option<String>,
}

impl S3Object {
    /// Its name among objects.
    ///
    /// # Errors
    /// It is not named, or no object can have the name.
    pub fn named(&self, call: Call) -> Result<ObjectName, Failure> {
        let (Some(bucket), Some(key)) = (&self.bucket, &self.name) else {
            return Err(Failure::declared(
                "InvalidS3ObjectException",
                "Request has invalid S3 object: it must have Bucket and Name.",
            ));
        };
        let name = ObjectName::new(bucket, key, self.version.as_deref());
        name.map_err(|error| failure(call, error.into()))
    }
}

impl Image {
    /// The encoded image.
    ///
    /// # Errors
    /// Neither or both sources are given, or the object cannot be had.
    pub async fn encoded(self, aws: &Aws, call: Call, options: Options) -> Result<Bytes, Failure> {
        match (self.bytes, self.s3_object) {
            (Some(Blob(bytes)), None) => Ok(bytes),
            (None, Some(object)) => {
                let stored = &aws.images.stored;
                let read = stored.read(object.named(call)?, options).await;
                read.map_err(|error| failure(call, error))
            }
            (None, None) => Err(invalid("Image has neither Bytes nor S3Object.")),
            (Some(_), Some(_)) => Err(invalid("Image has both Bytes and S3Object.")),
        }
    }
}

/// What is answered instead of an object's image. AWS's sentences come first, then what is the matter here.
pub fn failure(call: Call, error: object_store::Error) -> Failure {
    use escala_objects::Error as S;
    use object_store::Error as E;
    let of_kind = |kind: Kind| {
        let error = Error::new(kind, error.to_string());
        Failure::of(call.service.id, call.operation, error)
    };
    match &error {
        E::Store(
            S::Name(_) | S::NoBucket(_) | S::NoKey(..) | S::NoVersion | S::Range { .. } | S::Denied,
        ) => Failure::declared(
            "InvalidS3ObjectException",
            format!(
                "Unable to get object metadata from S3. Check object key, region and/or access permissions. ({error})"
            ),
        ),
        E::TooLarge { .. } => of_kind(Kind::TooLarge),
        E::Busy => of_kind(Kind::Overloaded),
        E::Deadline => of_kind(Kind::Deadline),
        E::Store(S::Unavailable(_)) | E::Broken(_) => of_kind(Kind::Unavailable),
    }
}

/// `InvalidParameterException`: AWS's sentence, and what is wrong.
pub fn invalid(detail: &str) -> Failure {
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
                base64_simd::STANDARD
                    .decode_to_vec(text)
                    .map(|bytes| Blob(bytes.into()))
                    .map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Base64)
    }
}
