//! Operations on buckets, and lists of what is in them.

use super::{Answer, Door, answer, entries, is_url};
use crate::s3::places::{Place, Places};
use crate::s3::words;
use escala_objects::listing::{self, Listing, Page};
use escala_objects::local;
use s3s::dto::*;
use s3s::{S3Request, S3Result, s3_error};
use std::time::SystemTime;

/// Where all buckets are: the region whose buckets have no location.
const REGION: &str = "us-east-1";

pub(super) async fn list_buckets(
    door: &Door,
    request: S3Request<ListBucketsInput>,
) -> Answer<ListBucketsOutput> {
    let prefix = request.input.prefix.clone().unwrap_or_default();
    let after = request.input.continuation_token.as_deref();
    let after = after.map(words::of_token).transpose()?.unwrap_or_default();
    let most = request.input.max_buckets.unwrap_or(10_000).clamp(1, 10_000) as usize;
    let mut buckets = door.at(Places::buckets).await?;
    let here = request.input.bucket_region.as_ref();
    let here = here.is_none_or(|region| region == REGION);
    buckets.retain(|(name, _)| here && name.starts_with(&prefix) && *name > after);
    let more = buckets.len() > most;
    buckets.truncate(most);
    let next = buckets
        .last()
        .filter(|_| more)
        .map(|(name, _)| words::token(name));
    let input = &request.input;
    // As AWS does, only where something is asked for.
    let asked = input.prefix.is_some()
        || input.max_buckets.is_some()
        || input.continuation_token.is_some()
        || input.bucket_region.is_some();
    let bucket = |(name, created): (String, SystemTime)| Bucket {
        name: Some(name),
        creation_date: Some(created.into()),
        bucket_region: asked.then(|| REGION.to_owned()),
    };
    answer(ListBucketsOutput {
        buckets: Some(buckets.into_iter().map(bucket).collect()),
        continuation_token: next,
        prefix: request.input.prefix,
        ..ListBucketsOutput::default()
    })
}

pub(super) async fn create_bucket(
    door: &Door,
    request: S3Request<CreateBucketInput>,
) -> Answer<CreateBucketOutput> {
    let bucket = request.input.bucket;
    let location = format!("/{bucket}");
    door.at(move |places| match places.of(&bucket) {
        Ok(_) => Err(local::Error::BucketExists(bucket)),
        Err(local::Error::Store(escala_objects::Error::NoBucket(_))) => {
            places.local()?.create_bucket(&bucket)
        }
        Err(error) => Err(error),
    })
    .await?;
    answer(CreateBucketOutput {
        location: Some(location),
    })
}

pub(super) async fn head_bucket(
    door: &Door,
    request: S3Request<HeadBucketInput>,
) -> Answer<HeadBucketOutput> {
    let bucket = request.input.bucket;
    door.at(move |places| match places.of(&bucket)? {
        Place::Elsewhere(store) => Ok(store.list(&bucket, "", "", 0).map(drop)?),
        Place::Local(_) | Place::Folder(_) => Ok(()),
    })
    .await?;
    answer(HeadBucketOutput {
        bucket_region: Some(REGION.to_owned()),
        ..HeadBucketOutput::default()
    })
}

pub(super) async fn delete_bucket(
    door: &Door,
    request: S3Request<DeleteBucketInput>,
) -> Answer<DeleteBucketOutput> {
    let bucket = request.input.bucket;
    door.at(move |places| places.writable(&bucket)?.delete_bucket(&bucket))
        .await?;
    answer(DeleteBucketOutput::default())
}

pub(super) async fn get_bucket_location(
    door: &Door,
    request: S3Request<GetBucketLocationInput>,
) -> Answer<GetBucketLocationOutput> {
    let bucket = request.input.bucket;
    door.at(move |places| places.of(&bucket).map(drop)).await?;
    answer(GetBucketLocationOutput::default())
}

pub(super) async fn get_bucket_versioning(
    door: &Door,
    request: S3Request<GetBucketVersioningInput>,
) -> Answer<GetBucketVersioningOutput> {
    let bucket = request.input.bucket;
    door.at(move |places| places.of(&bucket).map(drop)).await?;
    // Neither on nor suspended: as of a bucket whose versioning was never spoken of.
    answer(GetBucketVersioningOutput::default())
}

pub(super) async fn get_bucket_tagging(
    door: &Door,
    request: S3Request<GetBucketTaggingInput>,
) -> Answer<GetBucketTaggingOutput> {
    let bucket = request.input.bucket;
    let tags = door.at(move |places| match places.of(&bucket)? {
        Place::Local(local) => local.bucket_tags(&bucket),
        Place::Folder(_) => Ok(Vec::new()),
        Place::Elsewhere(_) => Err(local::Error::Elsewhere(bucket)),
    });
    let tags = tags.await?;
    if tags.is_empty() {
        return Err(s3_error!(NoSuchTagSet, "The TagSet does not exist"));
    }
    answer(GetBucketTaggingOutput {
        tag_set: words::tag_set(tags),
    })
}

pub(super) async fn put_bucket_tagging(
    door: &Door,
    request: S3Request<PutBucketTaggingInput>,
) -> Answer<PutBucketTaggingOutput> {
    let bucket = request.input.bucket;
    let tags = words::tags(request.input.tagging.tag_set, true)?;
    door.at(move |places| places.writable(&bucket)?.tag_bucket(&bucket, &tags))
        .await?;
    answer(PutBucketTaggingOutput::default())
}

pub(super) async fn delete_bucket_tagging(
    door: &Door,
    request: S3Request<DeleteBucketTaggingInput>,
) -> Answer<DeleteBucketTaggingOutput> {
    let bucket = request.input.bucket;
    door.at(move |places| places.writable(&bucket)?.tag_bucket(&bucket, &Vec::new()))
        .await?;
    answer(DeleteBucketTaggingOutput::default())
}

pub(super) async fn list_objects(
    door: &Door,
    request: S3Request<ListObjectsInput>,
) -> Answer<ListObjectsOutput> {
    let input = request.input;
    let most = entries(input.max_keys)?;
    let after = input.marker.clone().unwrap_or_default();
    let (prefix, delimiter) = (input.prefix.clone(), input.delimiter.clone());
    let page = page(door, input.bucket.clone(), prefix, delimiter, after, most);
    let page = page.await?;
    let url = is_url(input.encoding_type.as_ref());
    let encoded = |text: String| words::encoded(&text, url);
    answer(ListObjectsOutput {
        name: Some(input.bucket),
        is_truncated: Some(page.next.is_some()),
        next_marker: page.next.filter(|_| input.delimiter.is_some()).map(encoded),
        contents: words::objects(page.objects, url),
        common_prefixes: words::prefixes(&page.prefixes, url),
        prefix: input.prefix.map(encoded),
        marker: input.marker.map(encoded),
        delimiter: input.delimiter.map(encoded),
        max_keys: Some(most as i32),
        encoding_type: input.encoding_type,
        ..ListObjectsOutput::default()
    })
}

pub(super) async fn list_objects_v2(
    door: &Door,
    request: S3Request<ListObjectsV2Input>,
) -> Answer<ListObjectsV2Output> {
    let input = request.input;
    let most = entries(input.max_keys)?;
    let after = match &input.continuation_token {
        Some(token) => words::of_token(token)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let (prefix, delimiter) = (input.prefix.clone(), input.delimiter.clone());
    let page = page(door, input.bucket.clone(), prefix, delimiter, after, most);
    let page = page.await?;
    let url = is_url(input.encoding_type.as_ref());
    let encoded = |text: String| words::encoded(&text, url);
    answer(ListObjectsV2Output {
        name: Some(input.bucket),
        key_count: i32::try_from(page.objects.len() + page.prefixes.len()).ok(),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_deref().map(words::token),
        contents: words::objects(page.objects, url),
        common_prefixes: words::prefixes(&page.prefixes, url),
        prefix: input.prefix.map(encoded),
        delimiter: input.delimiter.map(encoded),
        start_after: input.start_after.map(encoded),
        continuation_token: input.continuation_token,
        max_keys: Some(most as i32),
        encoding_type: input.encoding_type,
        ..ListObjectsV2Output::default()
    })
}

async fn page(
    door: &Door,
    bucket: String,
    prefix: Option<String>,
    delimiter: Option<String>,
    after: String,
    most: usize,
) -> S3Result<Listing> {
    door.at(move |places| {
        let place = places.of(&bucket)?;
        let page = Page {
            prefix: prefix.as_deref().unwrap_or_default(),
            delimiter: delimiter.as_deref(),
            after: &after,
            most,
        };
        Ok(listing::page(place.store(), &bucket, &page)?)
    })
    .await
}
