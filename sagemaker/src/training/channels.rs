//! The channels of a training job: which objects each has.
//!
//! File, FastFile and Pipe are one thing here: what is learned from is read from its objects as a stream, once, when it is
//! needed. Source: the API reference (`Channel`, `S3DataSource`).

use super::trainer::{Failure, unread};
use crate::names::{ADDRESSES, s3};
use escala_objects::{ObjectName, WritableStore};
use serde::Deserialize;
use std::fmt;
use std::io::Read;

/// Most objects of a channel.
const MOST: usize = 100_000;
/// Objects that are listed at a time.
const PAGE: usize = 1000;
/// Most bytes of a manifest.
const MANIFEST: u64 = 64 << 20;

/// A channel, as a request names it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Asked {
    pub channel_name: String,
    data_source: DataSource,
    content_type: Option<String>,
    compression_type: Option<String>,
    record_wrapper_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataSource {
    s3_data_source: Option<S3DataSource>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct S3DataSource {
    s3_data_type: String,
    s3_uri: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

impl Asked {
    /// Where its objects are.
    pub fn address(&self) -> Option<&str> {
        Some(&self.data_source.s3_data_source.as_ref()?.s3_uri)
    }
}

/// A channel with its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its name, such as `train`.
    pub name: String,
    /// What its files are, where that is said.
    pub content_type: Option<String>,
    /// Whether its files are packed with gzip.
    pub gzip: bool,
    /// Its files, in the order of their keys or of the manifest.
    pub files: Vec<File>,
    /// Of an augmented manifest, which is the one file then: the attributes of its lines that are learned from.
    pub attributes: Vec<String>,
    /// Whether its files are the images of record files, in folders of their classes.
    pub records: bool,
}

/// An object of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Its bytes, counted.
    pub length: u64,
    /// What changes when they do.
    pub etag: String,
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

impl Channel {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }
}

/// Finds the objects of a channel.
pub(super) fn find(objects: &dyn WritableStore, asked: &Asked) -> Result<Channel, Failure> {
    let name = &asked.channel_name;
    let client = |why: String| Failure::Client(format!("channel {name:?}: {why}"));
    let Some(source) = &asked.data_source.s3_data_source else {
        return Err(client(
            "only an S3DataSource is read; there are no file systems here".to_owned(),
        ));
    };
    // Lines of an augmented manifest are always wrapped where they come through a pipe; here they come as they are.
    let wrapped = asked.record_wrapper_type.as_deref();
    let wrapped = wrapped.filter(|_| source.s3_data_type != "AugmentedManifestFile");
    if let Some(wrapper) = wrapped.filter(|one| *one != "None") {
        return Err(client(format!(
            "RecordWrapperType {wrapper} is not known; records come as they are"
        )));
    }
    let Some((bucket, key)) = s3(&source.s3_uri) else {
        return Err(client(format!(
            "{} is no address of S3's: those are {ADDRESSES}",
            source.s3_uri
        )));
    };
    let mut files = Vec::new();
    let mut attributes = Vec::new();
    match source.s3_data_type.as_str() {
        "S3Prefix" => under(objects, bucket, key, &mut files)?,
        "ManifestFile" => {
            for (bucket, key) in manifest(objects, bucket, key)? {
                files.push(one(objects, &bucket, &key)?);
                if files.len() > MOST {
                    break;
                }
            }
        }
        "AugmentedManifestFile" => {
            if source.attribute_names.is_empty() {
                return Err(client(
                    "an augmented manifest takes AttributeNames".to_owned(),
                ));
            }
            attributes.clone_from(&source.attribute_names);
            files.push(one(objects, bucket, key)?);
        }
        other => return Err(client(format!("S3DataType {other} is not known"))),
    }
    if files.len() > MOST {
        return Err(client(format!("it has more than {MOST} objects")));
    }
    if files.is_empty() {
        return Err(Failure::Client(format!(
            "Data download failed: channel {name:?}: there is no object under s3://{bucket}/{key}"
        )));
    }
    Ok(Channel {
        name: name.clone(),
        content_type: asked.content_type.clone(),
        gzip: asked.compression_type.as_deref() == Some("Gzip"),
        files,
        attributes,
        records: false,
    })
}

/// Whether a key's last part is a note that tools leave beside their files (`_SUCCESS`, `.part-0.csv.crc`), which containers pass
/// over.
fn is_note(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    name.starts_with(['_', '.'])
}

/// Objects whose keys begin so; those that stand for folders are none, nor are notes of tools, unless the prefix names one.
fn under(
    objects: &dyn WritableStore,
    bucket: &str,
    prefix: &str,
    files: &mut Vec<File>,
) -> Result<(), Failure> {
    let mut after = String::new();
    loop {
        let page = objects.list(bucket, prefix, &after, PAGE);
        let page = page.map_err(|error| unread(&format!("s3://{bucket}/{prefix}"), &error))?;
        let last = page.len() < PAGE;
        if let Some(end) = page.last() {
            after.clone_from(&end.key);
        }
        let found = page
            .into_iter()
            .filter(|one| !one.key.ends_with('/') && (one.key == prefix || !is_note(&one.key)));
        files.extend(found.map(|one| File {
            bucket: bucket.to_owned(),
            key: one.key,
            length: one.length,
            etag: one.etag,
        }));
        if last || files.len() > MOST {
            return Ok(());
        }
    }
}

/// The object of a key.
pub(super) fn one(objects: &dyn WritableStore, bucket: &str, key: &str) -> Result<File, Failure> {
    let name = ObjectName::new(bucket, key, None);
    let object = name.and_then(|name| objects.open(&name));
    let object = object.map_err(|error| unread(&format!("s3://{bucket}/{key}"), &error))?;
    Ok(File {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        length: object.length,
        etag: object.etag,
    })
}

/// The objects that a manifest names: `[{"prefix": "s3://bucket/folder/"}, "a.csv", …]`.
fn manifest(
    objects: &dyn WritableStore,
    bucket: &str,
    key: &str,
) -> Result<Vec<(String, String)>, Failure> {
    let at = format!("s3://{bucket}/{key}");
    let wrong = |why: &str| Failure::Client(format!("the manifest {at} {why}"));
    let name = ObjectName::new(bucket, key, None);
    let object = name.and_then(|name| objects.open(&name));
    let object = object.map_err(|error| unread(&at, &error))?;
    if object.length > MANIFEST {
        return Err(wrong(&format!("has more than {MANIFEST} bytes")));
    }
    let mut text = Vec::new();
    let read = object.bytes.take(MANIFEST).read_to_end(&mut text);
    read.map_err(|error| Failure::Now(format!("{at} cannot be read: {error}")))?;
    let entries: Vec<serde_json::Value> =
        serde_json::from_slice(&text).map_err(|_| wrong("is no list in JSON"))?;
    let mut entries = entries.into_iter();
    let prefix = entries.next();
    let prefix = prefix
        .as_ref()
        .and_then(|first| first.get("prefix")?.as_str());
    let Some((bucket, folder)) = prefix.and_then(s3) else {
        return Err(wrong("does not begin with {\"prefix\": \"s3://…\"}"));
    };
    entries
        .map(|entry| {
            let rest = entry.as_str();
            let rest = rest.ok_or_else(|| wrong("has an entry that is no text"))?;
            Ok((bucket.to_owned(), format!("{folder}{rest}")))
        })
        .collect()
}
