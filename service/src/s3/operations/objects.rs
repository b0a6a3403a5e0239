//! Operations on objects.

use super::found::{find, info, part_of};
use super::{Answer, Door, UNSAID, answer, entries, name, no_encryption, source};
use crate::s3::conditions::{self, Conditions};
use crate::s3::places::{Place, Places};
use crate::s3::transfer::{Sums, waiting};
use crate::s3::words::{self, about, checksum_type, etag, failure, given, say_checksum};
use escala_objects::local::checksum::Algorithm;
use escala_objects::local::{self, Condition, Copy, Expected, Info, Part as ObjectsPart, Put};
use escala_objects::{Described, ObjectName};
use s3s::dto::*;
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

/// Most objects that one request deletes.
const DELETED: usize = 1000;
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

/// The bytes of an object that are asked for, by a part of it or a range; and where they are told to be, which those of nothing
/// and those of the whole are not.
fn asked_for(
    part: Option<std::ops::Range<u64>>,
    range: Option<&Range>,
    length: u64,
) -> S3Result<(std::ops::Range<u64>, Option<std::ops::Range<u64>>)> {
    let asked = match part {
        Some(part) => Some(part),
        None => conditions::wanted(range, length)?,
    };
    let bytes = asked.clone().unwrap_or(0..length);
    Ok((bytes, asked.filter(|asked| !asked.is_empty())))
}

fn content_range(range: &std::ops::Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end - 1)
}

pub(super) async fn put_object(
    door: &Door,
    request: S3Request<PutObjectInput>,
) -> Answer<PutObjectOutput> {
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
        about: words::checked_about(about!(input))?,
        tags: words::tags_of_header(input.tagging.as_deref())?,
        condition: conditions::of_write(input.if_match.as_ref(), input.if_none_match.as_ref())?,
    };
    let name = name(&input.bucket, &input.key, None)?;
    let body = request.input.body;
    if let Some(store) = door.places.elsewhere(name.bucket()).cloned() {
        can_be_elsewhere(&put)?;
        let kept = door.receive_elsewhere(store, name, put.about, body, sums);
        return answer(PutObjectOutput {
            e_tag: etag(&kept.await?.etag),
            ..PutObjectOutput::default()
        });
    }
    let local = door.writable(name.bucket()).await?;
    let put = door.receive(local, body, sums, move |local, written| {
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

pub(super) async fn get_object(
    door: &Door,
    request: S3Request<GetObjectInput>,
) -> Answer<GetObjectOutput> {
    let input = request.input;
    no_encryption(input.sse_customer_key.as_deref())?;
    let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
    let found = door.at(move |places| find(places, name)).await?;
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
    let (bytes, range) = asked_for(part, input.range.as_ref(), info.length)?;
    let length = bytes.end - bytes.start;
    let open = found.open;
    let reader = waiting(move || open(bytes)).await?;
    let body = door.send(reader, length).await?;
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

pub(super) async fn head_object(
    door: &Door,
    request: S3Request<HeadObjectInput>,
) -> Answer<HeadObjectOutput> {
    let input = request.input;
    no_encryption(input.sse_customer_key.as_deref())?;
    let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
    let found = match input.part_number {
        Some(number) => {
            let found = door.at(move |places| find(places, name)).await?;
            (found.info.clone(), Some(part_of(&found, number)?))
        }
        None => (door.at(move |places| info(places, &name)).await?, None),
    };
    let (info, part) = found;
    let conditions = Conditions {
        matches: input.if_match.as_ref(),
        none_match: input.if_none_match.as_ref(),
        modified_since: input.if_modified_since.as_ref(),
        unmodified_since: input.if_unmodified_since.as_ref(),
    };
    conditions.hold(&info.etag, info.modified)?;
    let (bytes, range) = asked_for(part, input.range.as_ref(), info.length)?;
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
    let mut answer = S3Response::new(output);
    // `s3s` has no member for it here.
    if !info.tags.is_empty() {
        answer
            .headers
            .insert("x-amz-tagging-count", info.tags.len().into());
    }
    Ok(answer)
}

pub(super) async fn get_object_attributes(
    door: &Door,
    request: S3Request<GetObjectAttributesInput>,
) -> Answer<GetObjectAttributesOutput> {
    let input = request.input;
    let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
    let found = door.at(move |places| find(places, name)).await?;
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

pub(super) async fn delete_object(
    door: &Door,
    request: S3Request<DeleteObjectInput>,
) -> Answer<DeleteObjectOutput> {
    let input = request.input;
    if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "only of directory buckets are objects deleted by size or time"
        ));
    }
    let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
    let expected = input.if_match;
    if expected.is_some() && door.places.elsewhere(name.bucket()).is_some() {
        return Err(no_conditions_elsewhere());
    }
    door.at(move |places| {
        if let Some(store) = places.elsewhere(name.bucket()) {
            return Ok(store.delete(&name)?);
        }
        let local = places.writable(name.bucket())?;
        name.only_version()?;
        match expected {
            None => local.delete_all(name.bucket(), vec![name.key().to_owned()]),
            Some(expected) => {
                local.delete_expected(&name, expected.as_etag().map(|etag| etag.value()))
            }
        }
    })
    .await?;
    answer(DeleteObjectOutput::default())
}

fn no_conditions_elsewhere() -> S3Error {
    s3_error!(
        NotImplemented,
        "objects of a bucket that is elsewhere are deleted without conditions"
    )
}

/// An object of a request that deletes many, where it has the ETag that is expected.
async fn delete_one(door: &Door, bucket: &str, object: &ObjectIdentifier) -> S3Result<()> {
    if door.places.elsewhere(bucket).is_some() {
        return Err(no_conditions_elsewhere());
    }
    let name = name(bucket, &object.key, None)?;
    let etag = object.e_tag.as_ref().map(|etag| etag.value().to_owned());
    door.at(move |places| {
        let local = places.writable(name.bucket())?;
        local.delete_expected(&name, etag.as_deref().filter(|etag| *etag != "*"))
    })
    .await
}

/// Why an object was not deleted.
fn undeleted(object: ObjectIdentifier, refused: &S3Error) -> Error {
    Error {
        code: Some(refused.code().as_str().to_owned()),
        message: refused.message().map(str::to_owned),
        key: Some(object.key),
        version_id: object.version_id,
    }
}

pub(super) async fn delete_objects(
    door: &Door,
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
    let (mut keys, mut one_by_one, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for object in input.delete.objects {
        let refused = match name(&input.bucket, &object.key, object.version_id.as_deref()) {
            Err(error) => Some(error),
            Ok(name) => name.only_version().err().map(|error| failure(error.into())),
        };
        match refused {
            None if object.size.is_some() || object.last_modified_time.is_some() => {
                let why = "only of directory buckets are objects deleted by size or time";
                errors.push(undeleted(object, &s3_error!(NotImplemented, "{why}")));
            }
            None if object.e_tag.is_some() => {
                match delete_one(door, &input.bucket, &object).await {
                    Ok(()) => one_by_one.push(object.key),
                    Err(error) => errors.push(undeleted(object, &error)),
                }
            }
            None => keys.push(object.key),
            Some(refused) => errors.push(undeleted(object, &refused)),
        }
    }
    let (bucket, deleted) = (input.bucket, keys.clone());
    door.at(move |places| match places.elsewhere(&bucket) {
        Some(store) => Ok(store.delete_all(&bucket, &deleted)?),
        None => places.writable(&bucket)?.delete_all(&bucket, deleted),
    })
    .await?;
    let deleted = |key| DeletedObject {
        key: Some(key),
        ..DeletedObject::default()
    };
    answer(DeleteObjectsOutput {
        deleted: (!quiet).then(|| keys.into_iter().chain(one_by_one).map(deleted).collect()),
        errors: (!errors.is_empty()).then_some(errors),
        ..DeleteObjectsOutput::default()
    })
}

pub(super) async fn copy_object(
    door: &Door,
    request: S3Request<CopyObjectInput>,
) -> Answer<CopyObjectOutput> {
    let input = &request.input;
    no_encryption(input.sse_customer_key.as_deref())?;
    let (from, to) = (
        source(&input.copy_source)?,
        name(&input.bucket, &input.key, None)?,
    );
    let to_elsewhere = door.places.elsewhere(to.bucket()).cloned();
    let local = match &to_elsewhere {
        Some(_) => None,
        None => Some(door.writable(to.bucket()).await?),
    };
    let asked = from.clone();
    let there = door.at(move |places| info(places, &asked)).await?;
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
        about: match replace {
            true => Some(words::checked_about(about!(input))?),
            false => None,
        },
        tags: match retag {
            true => Some(words::tags_of_header(input.tagging.as_deref())?),
            false => None,
        },
        source: Some(there.etag.clone()),
        condition: conditions::of_copy(&request.headers)?,
    };
    if to_elsewhere.is_some() && copy.condition != Condition::Always {
        return Err(s3_error!(
            NotImplemented,
            "objects are copied into a bucket that is elsewhere without conditions on what they replace"
        ));
    }
    let algorithm = input.checksum_algorithm.as_ref();
    let algorithm = algorithm.and_then(|named| Algorithm::named(named.as_str()));
    let info = door.at(move |places| {
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

pub(super) async fn get_object_tagging(
    door: &Door,
    request: S3Request<GetObjectTaggingInput>,
) -> Answer<GetObjectTaggingOutput> {
    let input = request.input;
    let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
    let info = door.at(move |places| match places.of(name.bucket())? {
        Place::Elsewhere(_) => Err(local::Error::Elsewhere(name.bucket().to_owned())),
        Place::Local(_) | Place::Folder(_) => info(places, &name),
    });
    let info = info.await?;
    answer(GetObjectTaggingOutput {
        tag_set: words::tag_set(info.tags),
        version_id: None,
    })
}

pub(super) async fn put_object_tagging(
    door: &Door,
    request: S3Request<PutObjectTaggingInput>,
) -> Answer<PutObjectTaggingOutput> {
    let input = request.input;
    let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
    let tags = words::tags(input.tagging.tag_set, false)?;
    door.at(move |places| places.writable(name.bucket())?.tag(&name, &tags))
        .await?;
    answer(PutObjectTaggingOutput::default())
}

pub(super) async fn delete_object_tagging(
    door: &Door,
    request: S3Request<DeleteObjectTaggingInput>,
) -> Answer<DeleteObjectTaggingOutput> {
    let input = request.input;
    let name = name(&input.bucket, &input.key, input.version_id.as_deref())?;
    door.at(move |places| places.writable(name.bucket())?.tag(&name, &Vec::new()))
        .await?;
    answer(DeleteObjectTaggingOutput::default())
}
