//! The operations: the table at the end says where each is.
//!
//! | file | what |
//! | --- | --- |
//! | `buckets.rs` | operations on buckets, and lists of what is in them |
//! | `objects.rs` | operations on objects |
//! | `uploads.rs` | operations on uploads in parts |
//! | `found.rs` | objects that were found, wherever they are |

mod buckets;
mod found;
mod objects;
mod uploads;

use super::Door;
use super::places::Places;
use super::transfer::waiting;
use super::words::failure;
use crate::server::observe::Operation;
use escala_objects::ObjectName;
use escala_objects::local::{self, Local};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

/// Most entries of a page.
const PAGE: i32 = 1000;
/// The highest number of a part.
const PARTS: u32 = 10_000;
/// What an object is whose writer did not say.
const UNSAID: &str = "binary/octet-stream";

type Answer<T> = S3Result<S3Response<T>>;

fn answer<T>(output: T) -> Answer<T> {
    Ok(S3Response::new(output))
}

fn name(bucket: &str, key: &str, version: Option<&str>) -> S3Result<ObjectName> {
    let name = ObjectName::new(bucket, key, version);
    name.map_err(|error| failure(error.into()))
}

fn entries(most: Option<i32>) -> S3Result<usize> {
    let most = most.unwrap_or(PAGE).min(PAGE);
    usize::try_from(most)
        .map_err(|_| s3_error!(InvalidArgument, "a page has no fewer than 0 entries"))
}

fn part_number(number: i32) -> S3Result<u32> {
    let number = u32::try_from(number).ok();
    let number = number.filter(|number| (1..=PARTS).contains(number));
    number.ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "Part number must be an integer between 1 and 10000"
        )
    })
}

fn is_url(encoding: Option<&EncodingType>) -> bool {
    encoding.is_some_and(|encoding| encoding.as_str() == EncodingType::URL)
}

/// A copy's source.
fn source(source: &CopySource) -> S3Result<ObjectName> {
    match source {
        CopySource::Bucket {
            bucket,
            key,
            version_id,
        } => name(bucket, key, version_id.as_deref()),
        _ => Err(s3_error!(NotImplemented, "there are no access points")),
    }
}

fn no_encryption(key: Option<&str>) -> S3Result<()> {
    match key {
        None => Ok(()),
        Some(_) => Err(s3_error!(
            NotImplemented,
            "objects are not encrypted with keys of requests"
        )),
    }
}

impl Door {
    async fn at<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Places) -> Result<T, local::Error> + Send + 'static,
    ) -> S3Result<T> {
        let places = self.places.clone();
        waiting(move || work(&places)).await
    }

    /// The store, where the bucket is one of its.
    async fn writable(&self, bucket: &str) -> S3Result<Local> {
        let bucket = bucket.to_owned();
        self.at(move |places| places.writable(&bucket)).await
    }
}

/// The trait of the crate `s3s` from a table: which module answers which operation.
macro_rules! operations {
    ($($module:ident: $($operation:ident($input:ident) -> $output:ident,)+;)+) => {
        #[async_trait::async_trait]
        impl S3 for Door {
            $($(
                async fn $operation(&self, request: S3Request<$input>) -> Answer<$output> {
                    if let Some(operation) = request.extensions.get::<Operation>() {
                        operation.set(stringify!($input).trim_end_matches("Input"));
                    }
                    $module::$operation(self, request).await
                }
            )+)+
        }
    };
}

operations! {
    buckets:
        list_buckets(ListBucketsInput) -> ListBucketsOutput,
        create_bucket(CreateBucketInput) -> CreateBucketOutput,
        head_bucket(HeadBucketInput) -> HeadBucketOutput,
        delete_bucket(DeleteBucketInput) -> DeleteBucketOutput,
        get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput,
        get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput,
        get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput,
        put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput,
        delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput,
        list_objects(ListObjectsInput) -> ListObjectsOutput,
        list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output,
        ;
    objects:
        put_object(PutObjectInput) -> PutObjectOutput,
        get_object(GetObjectInput) -> GetObjectOutput,
        head_object(HeadObjectInput) -> HeadObjectOutput,
        get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput,
        delete_object(DeleteObjectInput) -> DeleteObjectOutput,
        delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput,
        copy_object(CopyObjectInput) -> CopyObjectOutput,
        get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput,
        put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput,
        delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput,
        ;
    uploads:
        create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput,
        upload_part(UploadPartInput) -> UploadPartOutput,
        upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput,
        list_parts(ListPartsInput) -> ListPartsOutput,
        list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput,
        abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput,
        complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput,
        ;
}
