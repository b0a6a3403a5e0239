//! The operations.

use super::Door;
use super::conditions::{self, Conditions};
use super::places::{Place, Places};
use super::transfer::{Sums, waiting};
use super::words::{self, about, checksum_type, etag, failure, given, say_checksum};
use axum::http::StatusCode;
use escala_objects::listing::{self, Listing, Page};
use escala_objects::local::checksum::Algorithm;
use escala_objects::local::{
    self, About, Condition, Copy, Expected, Given, Info, Local, NewUpload, Part as ObjectsPart, Put,
};
use escala_objects::{Described, ObjectName, ObjectStore};
use s3s::dto::*;
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use std::io::{Read, Write};
use std::time::SystemTime;

/// Most entries of a page.
const PAGE: i32 = 1000;
/// Most objects that one request deletes.
const DELETED: usize = 1000;
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

/// Bytes that are open.
type Opened = Result<Box<dyn Read + Send>, local::Error>;

/// An object that was found, wherever it is.
struct Found {
    info: Info,
    parts: Vec<ObjectsPart>,
    /// Opens a range of its bytes.
    open: Box<dyn FnOnce(std::ops::Range<u64>) -> Opened + Send>,
}

fn find(places: &Places, name: ObjectName) -> Result<Found, local::Error> {
    match places.of(name.bucket())? {
        Place::Local(local) => {
            let found = local.find(&name)?;
            Ok(Found {
                info: found.info.clone(),
                parts: found.parts.clone(),
                open: Box::new(move |range| Ok(Box::new(found.read(range)))),
            })
        }
        Place::Elsewhere(store) => {
            let info = store.describe(&name)?;
            let etag = info.etag.clone();
            Ok(Found {
                info,
                parts: Vec::new(),
                open: Box::new(move |range| {
                    if range.is_empty() {
                        return Ok(Box::new(std::io::empty()));
                    }
                    let object = store.open_range(&name, range)?;
                    match object.etag == etag {
                        true => Ok(object.bytes),
                        false => {
                            let changed = "the object changed while it was read";
                            Err(local::Error::Disk(std::io::Error::other(changed)))
                        }
                    }
                }),
            })
        }
        Place::Folder(folder) => {
            let object = folder.open(&name)?;
            let mut bytes = object.bytes;
            Ok(Found {
                info: Info {
                    length: object.length,
                    etag: object.etag,
                    modified: object.modified,
                    about: About::default(),
                    checksum: None,
                    parts: 0,
                    tags: Vec::new(),
                },
                parts: Vec::new(),
                open: Box::new(move |range| {
                    if range.start > 0 {
                        bytes = folder.open_range(&name, range.clone())?.bytes;
                    }
                    let length = range.end.saturating_sub(range.start);
                    Ok(Box::new(bytes.take(length)))
                }),
            })
        }
    }
}

/// What is known of an object, wherever it is.
fn info(places: &Places, name: &ObjectName) -> Result<Info, local::Error> {
    match places.of(name.bucket())? {
        Place::Local(local) => local.info(name),
        Place::Elsewhere(store) => Ok(store.describe(name)?),
        Place::Folder(_) => find(places, name.clone()).map(|found| found.info),
    }
}

/// What is said with an object that is put elsewhere can be said there.
fn can_be_elsewhere(put: &Put) -> S3Result<()> {
    let unsaid = put.about.expires.is_none() && put.about.redirect.is_none();
    match unsaid && put.tags.is_empty() && put.condition == Condition::Always {
        true => Ok(()),
        false => Err(s3_error!(
            NotImplemented,
            "objects of a bucket that is elsewhere are put without tags, conditions, Expires and redirections"
        )),
    }
}

/// A copy into a bucket that is elsewhere: the bytes are read and written.
fn copy_elsewhere(
    places: &Places,
    store: &dyn Described,
    from: ObjectName,
    to: &ObjectName,
    copy: Copy,
) -> Result<Info, local::Error> {
    let found = find(places, from)?;
    if copy.source.is_some_and(|source| source != found.info.etag) {
        return Err(local::Error::Precondition);
    }
    let about = copy.about.unwrap_or(found.info.about);
    let length = found.info.length;
    let mut new = store.create_described(to, &about)?;
    if std::io::copy(&mut (found.open)(0..length)?, &mut new)? != length {
        return Err(local::Error::Disk(std::io::ErrorKind::UnexpectedEof.into()));
    }
    let kept = new.commit()?;
    Ok(Info {
        length: kept.length,
        etag: kept.etag,
        modified: kept.modified,
        about,
        checksum: None,
        parts: 0,
        tags: Vec::new(),
    })
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

/// The numbers of the parts of an object and where the one of a number is.
fn part_of(found: &Found, number: i32) -> S3Result<std::ops::Range<u64>> {
    let number = part_number(number)?;
    if found.info.parts == 0 {
        return match number {
            1 => Ok(0..found.info.length),
            _ => Err(words::other(
                "InvalidPartNumber",
                StatusCode::RANGE_NOT_SATISFIABLE,
                "the object has one part",
            )),
        };
    }
    // Parts count from 1 here, whatever they were numbered when they came.
    let at = number as usize - 1;
    let start = found.parts.iter().take(at).map(|part| part.length).sum();
    let part = found.parts.get(at);
    let part = part.ok_or_else(|| {
        words::other(
            "InvalidPartNumber",
            StatusCode::RANGE_NOT_SATISFIABLE,
            "the object has fewer parts",
        )
    })?;
    Ok(start..start + part.length)
}

fn content_range(range: &std::ops::Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end - 1)
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

    async fn page(
        &self,
        bucket: String,
        prefix: Option<String>,
        delimiter: Option<String>,
        after: String,
        most: usize,
    ) -> S3Result<Listing> {
        self.at(move |places| {
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
}

#[async_trait::async_trait]
impl S3 for Door {
    async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> Answer<ListBucketsOutput> {
        let prefix = request.input.prefix.clone().unwrap_or_default();
        let after = request.input.continuation_token.as_deref();
        let after = after.map(words::of_token).transpose()?.unwrap_or_default();
        let most = request.input.max_buckets.unwrap_or(10_000).clamp(1, 10_000) as usize;
        let mut buckets = self.at(Places::buckets).await?;
        buckets.retain(|(name, _)| name.starts_with(&prefix) && *name > after);
        let more = buckets.len() > most;
        buckets.truncate(most);
        let next = buckets
            .last()
            .filter(|_| more)
            .map(|(name, _)| words::token(name));
        let bucket = |(name, created): (String, SystemTime)| Bucket {
            name: Some(name),
            creation_date: Some(created.into()),
            ..Bucket::default()
        };
        answer(ListBucketsOutput {
            buckets: Some(buckets.into_iter().map(bucket).collect()),
            continuation_token: next,
            prefix: request.input.prefix,
            ..ListBucketsOutput::default()
        })
    }

    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> Answer<CreateBucketOutput> {
        let bucket = request.input.bucket;
        let location = format!("/{bucket}");
        self.at(move |places| match places.of(&bucket) {
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

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        let bucket = request.input.bucket;
        self.at(move |places| match places.of(&bucket)? {
            Place::Elsewhere(store) => Ok(store.list(&bucket, "", "", 0).map(drop)?),
            Place::Local(_) | Place::Folder(_) => Ok(()),
        })
        .await?;
        answer(HeadBucketOutput::default())
    }

    async fn delete_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> Answer<DeleteBucketOutput> {
        let bucket = request.input.bucket;
        self.at(move |places| places.writable(&bucket)?.delete_bucket(&bucket))
            .await?;
        answer(DeleteBucketOutput::default())
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> Answer<GetBucketLocationOutput> {
        let bucket = request.input.bucket;
        self.at(move |places| places.of(&bucket).map(drop)).await?;
        answer(GetBucketLocationOutput::default())
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> Answer<GetBucketVersioningOutput> {
        let bucket = request.input.bucket;
        self.at(move |places| places.of(&bucket).map(drop)).await?;
        // Neither on nor suspended: as of a bucket whose versioning was never spoken of.
        answer(GetBucketVersioningOutput::default())
    }

    async fn get_bucket_tagging(
        &self,
        request: S3Request<GetBucketTaggingInput>,
    ) -> Answer<GetBucketTaggingOutput> {
        let bucket = request.input.bucket;
        let tags = self.at(move |places| match places.of(&bucket)? {
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

    async fn put_bucket_tagging(
        &self,
        request: S3Request<PutBucketTaggingInput>,
    ) -> Answer<PutBucketTaggingOutput> {
        let bucket = request.input.bucket;
        let tags = words::tags(request.input.tagging.tag_set, true)?;
        self.at(move |places| places.writable(&bucket)?.tag_bucket(&bucket, &tags))
            .await?;
        answer(PutBucketTaggingOutput::default())
    }

    async fn delete_bucket_tagging(
        &self,
        request: S3Request<DeleteBucketTaggingInput>,
    ) -> Answer<DeleteBucketTaggingOutput> {
        let bucket = request.input.bucket;
        self.at(move |places| places.writable(&bucket)?.tag_bucket(&bucket, &Vec::new()))
            .await?;
        answer(DeleteBucketTaggingOutput::default())
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> Answer<ListObjectsOutput> {
        let input = request.input;
        let most = entries(input.max_keys)?;
        let after = input.marker.clone().unwrap_or_default();
        let (prefix, delimiter) = (input.prefix.clone(), input.delimiter.clone());
        let page = self.page(input.bucket.clone(), prefix, delimiter, after, most);
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

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> Answer<ListObjectsV2Output> {
        let input = request.input;
        let most = entries(input.max_keys)?;
        let after = match &input.continuation_token {
            Some(token) => words::of_token(token)?,
            None => input.start_after.clone().unwrap_or_default(),
        };
        let (prefix, delimiter) = (input.prefix.clone(), input.delimiter.clone());
        let page = self.page(input.bucket.clone(), prefix, delimiter, after, most);
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

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let input = &request.input;
        no_encryption(input.sse_customer_key.as_deref())?;
        let sums = Sums::of(
            &request,
            input.content_length,
            input.content_md5.as_deref(),
            given!(input),
            input
                .checksum_algorithm
                .as_ref()
                .map(ChecksumAlgorithm::as_str),
        )?;
        let put = Put {
            about: about!(input),
            tags: words::tags_of_header(input.tagging.as_deref())?,
            condition: conditions::of_write(input.if_match.as_ref(), input.if_none_match.as_ref())?,
        };
        let name = name(&input.bucket, &input.key, None)?;
        let body = request.input.body;
        if let Some(store) = self.places.elsewhere(name.bucket()).cloned() {
            can_be_elsewhere(&put)?;
            let kept = self.receive_elsewhere(store, name, put.about, body, sums);
            return answer(PutObjectOutput {
                e_tag: etag(&kept.await?.etag),
                ..PutObjectOutput::default()
            });
        }
        let local = self.writable(name.bucket()).await?;
        let put = self.receive(local, body, sums, move |local, written| {
            local.put(&name, written, put)
        });
        let info = put.await?;
        let mut output = PutObjectOutput {
            e_tag: etag(&info.etag),
            checksum_type: checksum_type(info.checksum.as_ref()),
            ..PutObjectOutput::default()
        };
        say_checksum!(output, &info.checksum);
        answer(output)
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let input = request.input;
        no_encryption(input.sse_customer_key.as_deref())?;
        let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
        let found = self.at(move |places| find(places, name)).await?;
        let info = found.info.clone();
        let conditions = Conditions {
            matches: input.if_match.as_ref(),
            none_match: input.if_none_match.as_ref(),
            modified_since: input.if_modified_since.as_ref(),
            unmodified_since: input.if_unmodified_since.as_ref(),
        };
        conditions.hold(&info.etag, info.modified)?;
        let part = input
            .part_number
            .map(|number| part_of(&found, number))
            .transpose()?;
        let part = part.filter(|part| !part.is_empty());
        let range = match part {
            Some(part) => Some(part),
            None => conditions::wanted(input.range.as_ref(), info.length)?,
        };
        let bytes = range.clone().unwrap_or(0..info.length);
        let length = bytes.end - bytes.start;
        let open = found.open;
        let reader = waiting(move || open(bytes)).await?;
        let body = self.send(reader, length).await?;
        let about = &info.about;
        let unsaid = || Some(UNSAID.to_owned());
        let mut output = GetObjectOutput {
            body: Some(body),
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(length).ok(),
            content_range: range
                .as_ref()
                .map(|range| content_range(range, info.length)),
            content_type: about.content_type.clone().or_else(unsaid),
            cache_control: about.cache_control.clone(),
            content_disposition: about.content_disposition.clone(),
            content_encoding: about.content_encoding.clone(),
            content_language: about.content_language.clone(),
            expires: words::expires(about),
            website_redirect_location: about.redirect.clone(),
            metadata: words::user(about),
            e_tag: etag(&info.etag),
            last_modified: Some(info.modified.into()),
            parts_count: input
                .part_number
                .and(i32::try_from(info.parts).ok())
                .filter(|n| *n > 0),
            tag_count: i32::try_from(info.tags.len()).ok().filter(|tags| *tags > 0),
            ..GetObjectOutput::default()
        };
        // The checksum is the whole object's: it says nothing about a part.
        if range.is_none() && input.checksum_mode.is_some() {
            output.checksum_type = checksum_type(info.checksum.as_ref());
            say_checksum!(output, &info.checksum);
        }
        answer(output)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let input = request.input;
        no_encryption(input.sse_customer_key.as_deref())?;
        let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
        let found = match input.part_number {
            Some(number) => {
                let found = self.at(move |places| find(places, name)).await?;
                (found.info.clone(), Some(part_of(&found, number)?))
            }
            None => (self.at(move |places| info(places, &name)).await?, None),
        };
        let (info, part) = found;
        let conditions = Conditions {
            matches: input.if_match.as_ref(),
            none_match: input.if_none_match.as_ref(),
            modified_since: input.if_modified_since.as_ref(),
            unmodified_since: input.if_unmodified_since.as_ref(),
        };
        conditions.hold(&info.etag, info.modified)?;
        let range = match part.filter(|part| !part.is_empty()) {
            Some(part) => Some(part),
            None => conditions::wanted(input.range.as_ref(), info.length)?,
        };
        let bytes = range.clone().unwrap_or(0..info.length);
        let about = &info.about;
        let unsaid = || Some(UNSAID.to_owned());
        let mut output = HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(bytes.end - bytes.start).ok(),
            content_range: range
                .as_ref()
                .map(|range| content_range(range, info.length)),
            content_type: about.content_type.clone().or_else(unsaid),
            cache_control: about.cache_control.clone(),
            content_disposition: about.content_disposition.clone(),
            content_encoding: about.content_encoding.clone(),
            content_language: about.content_language.clone(),
            expires: words::expires(about),
            website_redirect_location: about.redirect.clone(),
            metadata: words::user(about),
            e_tag: etag(&info.etag),
            last_modified: Some(info.modified.into()),
            parts_count: input
                .part_number
                .and(i32::try_from(info.parts).ok())
                .filter(|n| *n > 0),
            ..HeadObjectOutput::default()
        };
        if range.is_none() && input.checksum_mode.is_some() {
            output.checksum_type = checksum_type(info.checksum.as_ref());
            say_checksum!(output, &info.checksum);
        }
        answer(output)
    }

    async fn get_object_attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> Answer<GetObjectAttributesOutput> {
        let input = request.input;
        let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
        let found = self.at(move |places| find(places, name)).await?;
        let info = &found.info;
        // They arrive as one text where they are in one header.
        let wants = |what: &str| {
            let mut asked = input.object_attributes.iter();
            asked.any(|one| one.as_str().split(',').any(|one| one.trim() == what))
        };
        let mut output = GetObjectAttributesOutput {
            last_modified: Some(info.modified.into()),
            ..GetObjectAttributesOutput::default()
        };
        if wants(ObjectAttributes::ETAG) {
            output.e_tag = etag(&info.etag);
        }
        if wants(ObjectAttributes::OBJECT_SIZE) {
            output.object_size = i64::try_from(info.length).ok();
        }
        if wants(ObjectAttributes::STORAGE_CLASS) {
            output.storage_class = Some(StorageClass::from_static(StorageClass::STANDARD));
        }
        if wants(ObjectAttributes::CHECKSUM) && info.checksum.is_some() {
            let mut checksum = Checksum {
                checksum_type: checksum_type(info.checksum.as_ref()),
                ..Checksum::default()
            };
            say_checksum!(checksum, &info.checksum);
            output.checksum = Some(checksum);
        }
        if wants(ObjectAttributes::OBJECT_PARTS) && info.parts > 0 {
            let most = entries(input.max_parts)?;
            let after = input.part_number_marker.unwrap_or(0);
            let later = |part: &&ObjectsPart| i64::from(part.number) > i64::from(after);
            let mut parts = Vec::new();
            for part in found.parts.iter().filter(later).take(most) {
                let mut said = ObjectPart {
                    part_number: i32::try_from(part.number).ok(),
                    size: i64::try_from(part.length).ok(),
                    ..ObjectPart::default()
                };
                say_checksum!(said, &part.checksum);
                parts.push(said);
            }
            let left = found.parts.iter().filter(later).count() > parts.len();
            output.object_parts = Some(GetObjectAttributesParts {
                is_truncated: Some(left),
                max_parts: i32::try_from(most).ok(),
                part_number_marker: Some(after),
                next_part_number_marker: parts.last().and_then(|part| part.part_number),
                total_parts_count: i32::try_from(info.parts).ok(),
                parts: Some(parts),
            });
        }
        answer(output)
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> Answer<DeleteObjectOutput> {
        let input = request.input;
        if input.if_match.is_some()
            || input.if_match_size.is_some()
            || input.if_match_last_modified_time.is_some()
        {
            return Err(s3_error!(NotImplemented, "deletions have no conditions"));
        }
        let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
        self.at(move |places| {
            if let Some(store) = places.elsewhere(name.bucket()) {
                return Ok(store.delete(&name)?);
            }
            let local = places.writable(name.bucket())?;
            name.only_version()?;
            local.delete_all(name.bucket(), vec![name.key().to_owned()])
        })
        .await?;
        answer(DeleteObjectOutput::default())
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> Answer<DeleteObjectsOutput> {
        let input = request.input;
        if input.delete.objects.len() > DELETED {
            return Err(s3_error!(
                MalformedXML,
                "a request deletes at most 1000 objects"
            ));
        }
        let quiet = input.delete.quiet.unwrap_or(false);
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            let refused = match name(&input.bucket, &object.key, object.version_id.as_deref()) {
                Err(error) => Some(error),
                Ok(name) => name.only_version().err().map(|error| failure(error.into())),
            };
            match refused {
                None if object.e_tag.is_none() => keys.push(object.key),
                refused => {
                    let refused = refused.unwrap_or_else(|| {
                        s3_error!(NotImplemented, "deletions have no conditions")
                    });
                    errors.push(Error {
                        code: Some(refused.code().as_str().to_owned()),
                        message: refused.message().map(str::to_owned),
                        key: Some(object.key),
                        version_id: object.version_id,
                    });
                }
            }
        }
        let (bucket, deleted) = (input.bucket, keys.clone());
        self.at(move |places| match places.elsewhere(&bucket) {
            Some(store) => Ok(store.delete_all(&bucket, &deleted)?),
            None => places.writable(&bucket)?.delete_all(&bucket, deleted),
        })
        .await?;
        let deleted = |key| DeletedObject {
            key: Some(key),
            ..DeletedObject::default()
        };
        answer(DeleteObjectsOutput {
            deleted: (!quiet).then(|| keys.into_iter().map(deleted).collect()),
            errors: (!errors.is_empty()).then_some(errors),
            ..DeleteObjectsOutput::default()
        })
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        let input = &request.input;
        no_encryption(input.sse_customer_key.as_deref())?;
        let (from, to) = (
            source(&input.copy_source)?,
            name(&input.bucket, &input.key, None)?,
        );
        let to_elsewhere = self.places.elsewhere(to.bucket()).cloned();
        let local = match &to_elsewhere {
            Some(_) => None,
            None => Some(self.writable(to.bucket()).await?),
        };
        let asked = from.clone();
        let there = self.at(move |places| info(places, &asked)).await?;
        let conditions = Conditions {
            matches: input.copy_source_if_match.as_ref(),
            none_match: input.copy_source_if_none_match.as_ref(),
            modified_since: input.copy_source_if_modified_since.as_ref(),
            unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        };
        conditions.hold_of_source(&there.etag, there.modified)?;
        let directive = input
            .metadata_directive
            .as_ref()
            .map(MetadataDirective::as_str);
        let replace = directive == Some(MetadataDirective::REPLACE);
        let tagging = input
            .tagging_directive
            .as_ref()
            .map(TaggingDirective::as_str);
        let retag = tagging == Some(TaggingDirective::REPLACE);
        if from.bucket() == to.bucket() && from.key() == to.key() && !replace && !retag {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing it."
            ));
        }
        let copy = Copy {
            about: replace.then(|| about!(input)),
            tags: match retag {
                true => Some(words::tags_of_header(input.tagging.as_deref())?),
                false => None,
            },
            source: Some(there.etag.clone()),
            ..Copy::default()
        };
        let algorithm = input.checksum_algorithm.as_ref();
        let algorithm = algorithm.and_then(|named| Algorithm::named(named.as_str()));
        let info = self.at(move |places| {
            let Some(local) = local else {
                let store =
                    to_elsewhere.ok_or_else(|| local::Error::Elsewhere(to.bucket().to_owned()))?;
                return copy_elsewhere(places, &*store, from, &to, copy);
            };
            let known = there.checksum.as_ref().map(|sum| sum.algorithm);
            let same = algorithm.is_none() || algorithm == known;
            if same && matches!(places.of(from.bucket())?, Place::Local(_)) {
                return local.copy(&from, &to, copy);
            }
            // From a folder, or with another checksum, the bytes are read.
            let found = find(places, from)?;
            if found.info.etag != there.etag {
                return Err(local::Error::Precondition);
            }
            let algorithms: Vec<Algorithm> = algorithm.into_iter().collect();
            let mut writing = local.write(&algorithms)?;
            let length = found.info.length;
            std::io::copy(&mut (found.open)(0..length)?, &mut writing)?;
            let expected = Expected {
                length: Some(length),
                ..Expected::default()
            };
            let put = Put {
                about: copy.about.unwrap_or(found.info.about),
                tags: copy.tags.unwrap_or(found.info.tags),
                condition: copy.condition,
            };
            local.put(&to, writing.finish(&expected, algorithm)?, put)
        });
        let info = info.await?;
        let mut result = CopyObjectResult {
            e_tag: etag(&info.etag),
            last_modified: Some(info.modified.into()),
            checksum_type: checksum_type(info.checksum.as_ref()),
            ..CopyObjectResult::default()
        };
        say_checksum!(result, &info.checksum);
        answer(CopyObjectOutput {
            copy_object_result: Some(result),
            ..CopyObjectOutput::default()
        })
    }

    async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> Answer<GetObjectTaggingOutput> {
        let input = request.input;
        let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
        let info = self.at(move |places| match places.of(name.bucket())? {
            Place::Elsewhere(_) => Err(local::Error::Elsewhere(name.bucket().to_owned())),
            Place::Local(_) | Place::Folder(_) => info(places, &name),
        });
        let info = info.await?;
        answer(GetObjectTaggingOutput {
            tag_set: words::tag_set(info.tags),
            version_id: None,
        })
    }

    async fn put_object_tagging(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> Answer<PutObjectTaggingOutput> {
        let input = request.input;
        let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
        let tags = words::tags(input.tagging.tag_set, false)?;
        self.at(move |places| places.writable(name.bucket())?.tag(&name, &tags))
            .await?;
        answer(PutObjectTaggingOutput::default())
    }

    async fn delete_object_tagging(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> Answer<DeleteObjectTaggingOutput> {
        let input = request.input;
        let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
        self.at(move |places| places.writable(name.bucket())?.tag(&name, &Vec::new()))
            .await?;
        answer(DeleteObjectTaggingOutput::default())
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let input = request.input;
        no_encryption(input.sse_customer_key.as_deref())?;
        let name = name(&input.bucket, &input.key, None)?;
        let checksum = match &input.checksum_algorithm {
            None => None,
            Some(named) => {
                let algorithm = Algorithm::named(named.as_str());
                let algorithm = algorithm.ok_or_else(|| {
                    s3_error!(InvalidRequest, "the checksum algorithm is not known")
                })?;
                let asked = input.checksum_type.as_ref().map(ChecksumType::as_str);
                let composite = match asked {
                    Some(ChecksumType::COMPOSITE) => true,
                    Some(_) => false,
                    None => algorithm != Algorithm::Crc64Nvme,
                };
                if composite && algorithm == Algorithm::Crc64Nvme
                    || !composite && !algorithm.combines()
                {
                    return Err(s3_error!(
                        InvalidRequest,
                        "The {} checksum type cannot be used with the {} checksum algorithm.",
                        asked.unwrap_or_default(),
                        algorithm.name()
                    ));
                }
                Some((algorithm, composite))
            }
        };
        let new = NewUpload {
            about: about!(input),
            tags: words::tags_of_header(input.tagging.as_deref())?,
            checksum,
        };
        let id = self.at(move |places| places.writable(name.bucket())?.begin_upload(&name, &new));
        answer(CreateMultipartUploadOutput {
            upload_id: Some(id.await?),
            bucket: Some(input.bucket),
            key: Some(input.key),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: checksum.map(|(_, composite)| words::type_named(composite)),
            ..CreateMultipartUploadOutput::default()
        })
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let input = &request.input;
        no_encryption(input.sse_customer_key.as_deref())?;
        let number = part_number(input.part_number)?;
        let name = name(&input.bucket, &input.key, None)?;
        let mut sums = Sums::of(
            &request,
            input.content_length,
            input.content_md5.as_deref(),
            given!(input),
            input
                .checksum_algorithm
                .as_ref()
                .map(ChecksumAlgorithm::as_str),
        )?;
        let local = self.writable(name.bucket()).await?;
        let (store, asked, id) = (local.clone(), name.clone(), input.upload_id.clone());
        let upload = waiting(move || store.upload(&asked, &id)).await?;
        if let Some((algorithm, _)) = upload.checksum {
            if sums.keep.is_some_and(|keep| keep != algorithm) {
                return Err(s3_error!(
                    InvalidRequest,
                    "Checksum Type mismatch occurred, the upload has {}",
                    algorithm.name()
                ));
            }
            sums.keep = Some(algorithm);
        }
        let id = upload.id;
        let body = request.input.body;
        let part = self.receive(local, body, sums, move |local, written| {
            local.put_part(&name, &id, number, written)
        });
        let part = part.await?;
        let mut output = UploadPartOutput {
            e_tag: etag(&part.etag),
            ..UploadPartOutput::default()
        };
        say_checksum!(output, &part.checksum);
        answer(output)
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> Answer<UploadPartCopyOutput> {
        let input = request.input;
        no_encryption(input.sse_customer_key.as_deref())?;
        let number = part_number(input.part_number)?;
        let (from, to) = (
            source(&input.copy_source)?,
            name(&input.bucket, &input.key, None)?,
        );
        let local = self.writable(to.bucket()).await?;
        let (asked, id) = (to.clone(), input.upload_id.clone());
        let found = self.at(move |places| {
            let upload = places.writable(asked.bucket())?.upload(&asked, &id)?;
            Ok((upload, find(places, from)?))
        });
        let (upload, found) = found.await?;
        let conditions = Conditions {
            matches: input.copy_source_if_match.as_ref(),
            none_match: input.copy_source_if_none_match.as_ref(),
            modified_since: input.copy_source_if_modified_since.as_ref(),
            unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        };
        conditions.hold_of_source(&found.info.etag, found.info.modified)?;
        let range = match input.copy_source_range.as_deref() {
            None => 0..found.info.length,
            Some(text) => {
                let range = Range::parse(text);
                let invalid = || {
                    s3_error!(
                        InvalidArgument,
                        "the range is not that of bytes of the source"
                    )
                };
                let range = range.map_err(|_| invalid())?.check(found.info.length);
                range.map_err(|_| invalid())?
            }
        };
        let part = waiting(move || {
            let keep = upload.checksum.map(|(algorithm, _)| algorithm);
            let algorithms: Vec<Algorithm> = keep.into_iter().collect();
            let mut writing = local.write(&algorithms)?;
            let expected = Expected {
                length: Some(range.end - range.start),
                ..Expected::default()
            };
            std::io::copy(&mut (found.open)(range)?, &mut writing)?;
            writing.flush()?;
            let written = writing.finish(&expected, keep)?;
            local.put_part(&to, &upload.id, number, written)
        });
        let part = part.await?;
        let mut result = CopyPartResult {
            e_tag: etag(&part.etag),
            last_modified: Some(part.modified.into()),
            ..CopyPartResult::default()
        };
        say_checksum!(result, &part.checksum);
        answer(UploadPartCopyOutput {
            copy_part_result: Some(result),
            ..UploadPartCopyOutput::default()
        })
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        let input = request.input;
        let most = entries(input.max_parts)?;
        let after = input.part_number_marker.unwrap_or(0);
        let name = name(&input.bucket, &input.key, None)?;
        let id = input.upload_id.clone();
        let parts = self.at(move |places| {
            let after = u32::try_from(after).unwrap_or(0);
            places
                .writable(name.bucket())?
                .parts(&name, &id, after, most + 1)
        });
        let (upload, mut parts) = parts.await?;
        let more = parts.len() > most;
        parts.truncate(most);
        let mut said = Vec::new();
        for part in parts {
            let mut one = Part {
                part_number: i32::try_from(part.number).ok(),
                e_tag: etag(&part.etag),
                last_modified: Some(part.modified.into()),
                size: i64::try_from(part.length).ok(),
                ..Part::default()
            };
            say_checksum!(one, &part.checksum);
            said.push(one);
        }
        answer(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            part_number_marker: Some(after),
            next_part_number_marker: said.last().and_then(|part| part.part_number),
            max_parts: i32::try_from(most).ok(),
            is_truncated: Some(more),
            parts: Some(said),
            checksum_algorithm: upload
                .checksum
                .map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: upload
                .checksum
                .map(|(_, composite)| words::type_named(composite)),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            ..ListPartsOutput::default()
        })
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        let input = request.input;
        if input
            .delimiter
            .as_ref()
            .is_some_and(|delimiter| !delimiter.is_empty())
        {
            return Err(s3_error!(
                NotImplemented,
                "uploads are not listed by a delimiter"
            ));
        }
        let most = entries(input.max_uploads)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = (
            input.key_marker.clone().unwrap_or_default(),
            input.upload_id_marker.clone().unwrap_or_default(),
        );
        let bucket = input.bucket.clone();
        let uploads = self.at(move |places| match places.of(&bucket)? {
            Place::Local(local) => local.uploads(&bucket, &prefix, (&after.0, &after.1), most + 1),
            Place::Folder(_) => Ok(Vec::new()),
            Place::Elsewhere(_) => Err(local::Error::Elsewhere(bucket)),
        });
        let mut uploads = uploads.await?;
        let more = uploads.len() > most;
        uploads.truncate(most);
        let url = is_url(input.encoding_type.as_ref());
        let last = uploads.last().filter(|_| more);
        let (next_key, next_id) = (
            last.map(|upload| words::encoded(&upload.key, url)),
            last.map(|upload| upload.id.clone()),
        );
        let said = |upload: local::Upload| MultipartUpload {
            key: Some(words::encoded(&upload.key, url)),
            upload_id: Some(upload.id),
            initiated: Some(upload.started.into()),
            checksum_algorithm: upload
                .checksum
                .map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: upload
                .checksum
                .map(|(_, composite)| words::type_named(composite)),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            ..MultipartUpload::default()
        };
        answer(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix.map(|prefix| words::encoded(&prefix, url)),
            key_marker: input.key_marker.map(|key| words::encoded(&key, url)),
            upload_id_marker: input.upload_id_marker,
            next_key_marker: next_key,
            next_upload_id_marker: next_id,
            max_uploads: i32::try_from(most).ok(),
            is_truncated: Some(more),
            uploads: Some(uploads.into_iter().map(said).collect()),
            encoding_type: input.encoding_type,
            ..ListMultipartUploadsOutput::default()
        })
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        let input = request.input;
        let name = name(&input.bucket, &input.key, None)?;
        self.at(move |places| {
            places
                .writable(name.bucket())?
                .abort_upload(&name, &input.upload_id)
        })
        .await?;
        answer(AbortMultipartUploadOutput::default())
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let input = &request.input;
        let name = name(&input.bucket, &input.key, None)?;
        let condition =
            conditions::of_write(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let parts = input
            .multipart_upload
            .as_ref()
            .and_then(|parts| parts.parts.clone());
        let parts = parts.filter(|parts| !parts.is_empty());
        let parts = parts.ok_or_else(|| s3_error!(MalformedXML, "an upload has a part"))?;
        let mut named = Vec::with_capacity(parts.len());
        for part in parts {
            let number = part_number(part.part_number.unwrap_or(0))?;
            let sums = given!(part).into_iter();
            let mut sums =
                sums.filter_map(|(algorithm, value)| Some((algorithm, value?.to_owned())));
            named.push(Given {
                number,
                checksum: sums.next(),
                etag: part.e_tag.map(ETag::into_value).unwrap_or_default(),
            });
        }
        let sums = given!(input).into_iter();
        let mut sums = sums.filter_map(|(algorithm, value)| Some((algorithm, value?.to_owned())));
        let expected = (
            input
                .mpu_object_size
                .and_then(|size| u64::try_from(size).ok()),
            sums.next(),
        );
        let id = input.upload_id.clone();
        let info = self.at(move |places| {
            let local = places.writable(name.bucket())?;
            local.complete_upload(&name, &id, &named, &condition, expected)
        });
        let info = info.await.map_err(|error| match error.code() {
            // Of an upload, what is not as long as was said is refused as invalid.
            S3ErrorCode::IncompleteBody => s3_error!(
                InvalidRequest,
                "the object is not as long as the request says"
            ),
            _ => error,
        })?;
        let mut output = CompleteMultipartUploadOutput {
            location: Some(format!(
                "/{}/{}",
                input.bucket,
                words::encoded(&input.key, true)
            )),
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            e_tag: etag(&info.etag),
            checksum_type: checksum_type(info.checksum.as_ref()),
            ..CompleteMultipartUploadOutput::default()
        };
        say_checksum!(output, &info.checksum);
        answer(output)
    }
}
