//! Objects that are written: one request where there is little of them, else an upload in parts, of which a few are under way
//! at a time.

use super::read::io_error;
use super::{Bucket, modified};
use crate::local::About;
use crate::{Error, Listed, NewObject, ObjectName};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, MultipartUpload, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;

/// Bytes of a part of an upload.
pub const PART: usize = 8 << 20;
/// Parts that are under way at a time, beside the one that is being filled.
const UNDER_WAY: usize = 2;
/// Most parts, S3's limit.
const PARTS: usize = 10_000;

/// What is said of an object, in the crate's words.
///
/// # Errors
/// There are no words for it.
fn attributes(about: &About) -> Result<Attributes, Error> {
    if about.expires.is_some() || about.redirect.is_some() {
        let unknown = "objects elsewhere have neither `Expires` nor a redirection";
        return Err(Error::Unavailable(io::Error::new(
            ErrorKind::Unsupported,
            unknown,
        )));
    }
    let mut attributes = Attributes::new();
    for (attribute, value) in [
        (Attribute::ContentType, &about.content_type),
        (Attribute::CacheControl, &about.cache_control),
        (Attribute::ContentDisposition, &about.content_disposition),
        (Attribute::ContentEncoding, &about.content_encoding),
        (Attribute::ContentLanguage, &about.content_language),
    ] {
        if let Some(value) = value {
            attributes.insert(attribute, value.clone().into());
        }
    }
    for (name, value) in &about.user {
        let name = Attribute::Metadata(name.clone().into());
        attributes.insert(name, value.clone().into());
    }
    Ok(attributes)
}

/// What the crate's words say of an object.
pub fn about(attributes: &Attributes) -> About {
    let mut about = About::default();
    for (attribute, value) in attributes {
        let value = value.to_string();
        match attribute {
            Attribute::ContentType => about.content_type = Some(value),
            Attribute::CacheControl => about.cache_control = Some(value),
            Attribute::ContentDisposition => about.content_disposition = Some(value),
            Attribute::ContentEncoding => about.content_encoding = Some(value),
            Attribute::ContentLanguage => about.content_language = Some(value),
            Attribute::Metadata(name) => {
                about.user.insert(name.to_string(), value);
            }
            _ => (),
        }
    }
    about
}

/// An object that is being written.
pub struct New {
    bucket: Arc<Bucket>,
    name: ObjectName,
    path: Path,
    attributes: Attributes,
    /// The part that is being filled.
    part: Vec<u8>,
    length: u64,
    upload: Option<Upload>,
}

/// An upload in parts.
struct Upload {
    bucket: Arc<Bucket>,
    name: ObjectName,
    /// None when it is over.
    upload: Option<Box<dyn MultipartUpload>>,
    under_way: VecDeque<JoinHandle<Result<(), Error>>>,
    parts: usize,
}

impl New {
    /// Begins one.
    pub fn begin(bucket: &Arc<Bucket>, name: &ObjectName, about: &About) -> Result<Self, Error> {
        let path = bucket.location(name.key()).ok_or(Error::Name(
            "keys of this bucket are paths of up to 1024 bytes without empty parts, `.`, `..` and control characters, in Azure \
             without backslashes",
        ))?;
        let attributes = attributes(about)?;
        let asking = bucket.clone();
        bucket
            .requests
            .wait(async move { asking.is_there().await })?;
        Ok(Self {
            bucket: bucket.clone(),
            name: name.clone(),
            path,
            attributes,
            part: Vec::new(),
            length: 0,
            upload: None,
        })
    }

    /// Sends the part that is full.
    fn send(&mut self) -> Result<(), Error> {
        let part = std::mem::take(&mut self.part);
        if let Some(upload) = &mut self.upload {
            return upload.send(part);
        }
        let (bucket, path, name) = (self.bucket.clone(), self.path.clone(), self.name.clone());
        let options = PutMultipartOptions {
            attributes: self.attributes.clone(),
            ..PutMultipartOptions::default()
        };
        let begun = self.bucket.requests.wait(async move {
            let begun = bucket.service.put_multipart_opts(&path, options);
            bucket.ask(Some(&name), begun).await
        });
        let upload = Upload {
            bucket: self.bucket.clone(),
            name: self.name.clone(),
            upload: Some(begun?),
            under_way: VecDeque::new(),
            parts: 0,
        };
        self.upload.insert(upload).send(part)
    }

    fn put(&mut self) -> Result<PutResult, Error> {
        let (bucket, path, name) = (self.bucket.clone(), self.path.clone(), self.name.clone());
        let all = PutPayload::from(std::mem::take(&mut self.part));
        let options = PutOptions {
            attributes: self.attributes.clone(),
            ..PutOptions::default()
        };
        self.bucket.requests.wait(async move {
            let put = bucket.service.put_opts(&path, all, options);
            bucket.ask(Some(&name), put).await
        })
    }
}

impl Upload {
    /// Waits until so few parts are under way.
    fn settle(&mut self, few: usize) -> Result<(), Error> {
        while self.under_way.len() > few {
            let Some(part) = self.under_way.pop_front() else {
                break;
            };
            self.bucket.requests.wait(async move {
                part.await
                    .unwrap_or_else(|error| Err(Error::Unavailable(io::Error::other(error))))
            })?;
        }
        Ok(())
    }

    fn send(&mut self, part: Vec<u8>) -> Result<(), Error> {
        self.settle(UNDER_WAY - 1)?;
        let upload = self.upload.as_mut().filter(|_| self.parts < PARTS);
        let upload = upload.ok_or_else(|| {
            let long = format!("an object elsewhere has at most {PARTS} parts of {PART} bytes");
            Error::Unavailable(io::Error::new(ErrorKind::FileTooLarge, long))
        })?;
        self.parts += 1;
        let sent = upload.put_part(PutPayload::from(part));
        let (bucket, name) = (self.bucket.clone(), self.name.clone());
        let sent = async move { bucket.ask(Some(&name), sent).await };
        self.under_way.push_back(self.bucket.requests.begin(sent));
        Ok(())
    }

    fn complete(mut self) -> Result<PutResult, Error> {
        self.settle(0)?;
        let over = || Error::Unavailable(io::Error::other("the upload is over"));
        let mut upload = self.upload.take().ok_or_else(over)?;
        let (bucket, name) = (self.bucket.clone(), self.name.clone());
        let completed = self.bucket.requests.wait(async move {
            let completed = bucket.ask(Some(&name), upload.complete()).await;
            Ok((completed, upload))
        });
        let (completed, upload) = completed?;
        if completed.is_err() {
            // It is aborted.
            self.upload = Some(upload);
        }
        completed
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut upload) = self.upload.take() else {
            return;
        };
        let (bucket, name) = (self.bucket.clone(), self.name.clone());
        let under_way = std::mem::take(&mut self.under_way);
        let aborted = async move {
            // A part that came after the end of its upload would stay. What became of it does not matter now.
            for part in under_way {
                drop(part.await);
            }
            if let Err(error) = bucket.ask(Some(&name), upload.abort()).await {
                let (bucket, key) = (&bucket.name, name.key());
                tracing::warn!(bucket, key, %error, "an upload elsewhere was not aborted");
            }
        };
        drop(self.bucket.requests.begin(aborted));
    }
}

impl Write for New {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.len() == PART && !bytes.is_empty() {
            self.send().map_err(io_error)?;
        }
        let taken = bytes.len().min(PART - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        self.length += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewObject for New {
    fn commit(mut self: Box<Self>) -> Result<Listed, Error> {
        let put = match self.upload.is_some() {
            false => self.put()?,
            true => {
                if !self.part.is_empty() {
                    self.send()?;
                }
                match self.upload.take() {
                    Some(upload) => upload.complete()?,
                    None => self.put()?,
                }
            }
        };
        // It is there. When it became so only the service knows, if it is not another's by now.
        let (bucket, path, name) = (self.bucket.clone(), self.path.clone(), self.name.clone());
        let seen = self
            .bucket
            .requests
            .wait(async move { bucket.head(&name, &path).await.map(|found| found.meta) });
        let quoted = put.e_tag.unwrap_or_default();
        let etag = quoted.trim_matches('"');
        let listed = |etag: String, modified| Listed {
            key: self.name.key().to_owned(),
            length: self.length,
            etag,
            modified,
        };
        Ok(match seen {
            Ok(about) if super::etag(&about) == etag || etag.is_empty() => {
                listed(super::etag(&about), modified(&about))
            }
            _ => listed(etag.to_owned(), now()),
        })
    }
}

/// Now, in whole seconds.
fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
