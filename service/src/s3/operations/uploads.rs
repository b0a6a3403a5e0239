//! Operations on uploads in parts.

use super::found::find;
use super::{Answer, Door, answer, entries, is_url, name, no_encryption, part_number, source};
use crate::s3::conditions::{self, Conditions};
use crate::s3::places::Place;
use crate::s3::transfer::{Sums, waiting};
use crate::s3::words::{self, about, checksum_type, etag, given, say_checksum};
use escala_objects::local::checksum::Algorithm;
use escala_objects::local::{self, Expected, Given, NewUpload};
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Request, s3_error};
use std::io::Write;

pub(super) async fn create_multipart_upload(
    door: &Door,
    request: S3Request<CreateMultipartUploadInput>,
) -> Answer<CreateMultipartUploadOutput> {
    let input = request.input;
    no_encryption(input.sse_customer_key.as_deref())?;
    let name = name(&input.bucket, &input.key, None)?;
    let checksum = match &input.checksum_algorithm {
        None => None,
        Some(named) => {
            let algorithm = Algorithm::named(named.as_str());
            let algorithm = algorithm
                .ok_or_else(|| s3_error!(InvalidRequest, "the checksum algorithm is not known"))?;
            let asked = input.checksum_type.as_ref().map(ChecksumType::as_str);
            let composite = match asked {
                Some(ChecksumType::COMPOSITE) => true,
                Some(_) => false,
                None => algorithm != Algorithm::Crc64Nvme,
            };
            if composite && algorithm == Algorithm::Crc64Nvme || !composite && !algorithm.combines()
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
        about: words::checked_about(about!(input))?,
        tags: words::tags_of_header(input.tagging.as_deref())?,
        checksum,
    };
    let id = door.at(move |places| places.writable(name.bucket())?.begin_upload(&name, &new));
    answer(CreateMultipartUploadOutput {
        upload_id: Some(id.await?),
        bucket: Some(input.bucket),
        key: Some(input.key),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: checksum.map(|(_, composite)| words::type_named(composite)),
        ..CreateMultipartUploadOutput::default()
    })
}

pub(super) async fn upload_part(
    door: &Door,
    request: S3Request<UploadPartInput>,
) -> Answer<UploadPartOutput> {
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
    let local = door.writable(name.bucket()).await?;
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
    let part = door.receive(local, body, sums, move |local, written| {
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

pub(super) async fn upload_part_copy(
    door: &Door,
    request: S3Request<UploadPartCopyInput>,
) -> Answer<UploadPartCopyOutput> {
    let input = request.input;
    no_encryption(input.sse_customer_key.as_deref())?;
    let number = part_number(input.part_number)?;
    let (from, to) = (
        source(&input.copy_source)?,
        name(&input.bucket, &input.key, None)?,
    );
    let local = door.writable(to.bucket()).await?;
    let (asked, id) = (to.clone(), input.upload_id.clone());
    let found = door.at(move |places| {
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
            let range = range.map_err(|_| invalid())?;
            // A download ends where the object does; a part would lack what was asked for.
            if let Range::Int {
                last: Some(last), ..
            } = range
                && last >= found.info.length
            {
                return Err(invalid());
            }
            let range = range.check(found.info.length);
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

pub(super) async fn list_parts(
    door: &Door,
    request: S3Request<ListPartsInput>,
) -> Answer<ListPartsOutput> {
    let input = request.input;
    let most = entries(input.max_parts)?;
    let after = input.part_number_marker.unwrap_or(0);
    let name = name(&input.bucket, &input.key, None)?;
    let id = input.upload_id.clone();
    let parts = door.at(move |places| {
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

pub(super) async fn list_multipart_uploads(
    door: &Door,
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
    let uploads = door.at(move |places| match places.of(&bucket)? {
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

pub(super) async fn abort_multipart_upload(
    door: &Door,
    request: S3Request<AbortMultipartUploadInput>,
) -> Answer<AbortMultipartUploadOutput> {
    let input = request.input;
    let name = name(&input.bucket, &input.key, None)?;
    door.at(move |places| {
        places
            .writable(name.bucket())?
            .abort_upload(&name, &input.upload_id)
    })
    .await?;
    answer(AbortMultipartUploadOutput::default())
}

pub(super) async fn complete_multipart_upload(
    door: &Door,
    request: S3Request<CompleteMultipartUploadInput>,
) -> Answer<CompleteMultipartUploadOutput> {
    let input = &request.input;
    let name = name(&input.bucket, &input.key, None)?;
    let condition = conditions::of_write(input.if_match.as_ref(), input.if_none_match.as_ref())?;
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
        let mut sums = sums.filter_map(|(algorithm, value)| Some((algorithm, value?.to_owned())));
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
    let info = door.at(move |places| {
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
