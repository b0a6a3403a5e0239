//! What trains: the contract, and what a training is given.

use super::channels::{Channel, File};
use crate::served::Container;
use escala_learn::Watch;
use escala_objects::{Error as ObjectError, ObjectName, WritableStore};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

/// How files begin that are packed with gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why nothing was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What the caller gave is wrong; the sentence is for them.
    Client(String),
    /// The algorithm broke.
    Algorithm(String),
    /// It was asked to stop before there was anything to keep.
    Stopped,
    /// The machine cannot, for now; it is tried again.
    Now(String),
}

/// What a training is given.
pub struct Lesson<'a> {
    /// Hyperparameters by name; those that are SageMaker's own are not among them.
    pub hyperparameters: &'a BTreeMap<String, String>,
    /// The channels, in the order of the request.
    pub channels: &'a [Channel],
    /// Where the model is written: a folder that is there and empty.
    pub folder: &'a Path,
    /// Where what is learned from may lie meanwhile: a folder that is there and empty.
    pub scratch: &'a Path,
    /// Where a trainer that keeps files while it learns may put them, so that it goes on from them in another process: a folder
    /// that is there and stays until the job has ended. [`Watch::checkpoint`] is for those that keep bytes.
    ///
    /// With `CheckpointConfig` its files are copied into the bucket, now and then and in the end, and are there when a job that
    /// trains the same is begun. Each is whole by itself: one is written under a name that ends in `.partial` and renamed.
    pub checkpoint: &'a Path,
    /// Most bytes that channels may have together, before they are unpacked.
    pub most_bytes: u64,
    pub(super) objects: &'a dyn WritableStore,
    /// Told that all was read and learning begins.
    pub(super) learning: &'a (dyn Fn() + Sync),
}

/// An algorithm, or a family of them, as training jobs know it.
pub trait Trainer: Send + Sync {
    /// The repositories of images that stand for it.
    fn repositories(&self) -> Vec<&'static str>;

    /// Whether it may learn from images: a channel of record files (`application/x-recordio`) is shown to it as folders of them.
    fn images(&self) -> bool {
        true
    }

    /// Learns, and writes the model.
    ///
    /// # Errors
    /// [`Failure`].
    fn train(
        &self,
        container: &Container<'_>,
        lesson: &Lesson<'_>,
        watch: &mut dyn Watch,
    ) -> Result<(), Failure>;
}

impl Lesson<'_> {
    /// All was read: the job trains from here on.
    pub fn learning(&self) {
        (self.learning)();
    }

    /// The hyperparameters as pairs of texts.
    pub fn given(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.hyperparameters.iter();
        pairs.map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// That the channels together are not too much for this server.
    ///
    /// # Errors
    /// [`Failure::Client`] where they are.
    pub fn check_size(&self) -> Result<(), Failure> {
        let bytes: u64 = self.channels.iter().map(Channel::bytes).sum();
        match bytes > self.most_bytes {
            false => Ok(()),
            true => Err(Failure::Client(format!(
                "the channels have {bytes} bytes; this server learns from at most {} at a time",
                self.most_bytes
            ))),
        }
    }

    /// The channel of a name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|one| one.name == name)
    }

    /// The channel to learn from, none but those of some names being there.
    ///
    /// # Errors
    /// [`Failure::Client`] where it is missing, or another is there.
    pub fn train_channel(&self, known: &[&str]) -> Result<&Channel, Failure> {
        let names = || known.join(", ");
        if let Some(other) = self
            .channels
            .iter()
            .find(|one| !known.contains(&&*one.name))
        {
            return Err(Failure::Client(format!(
                "there is no use for the channel {:?}: the algorithm knows {}",
                other.name,
                names()
            )));
        }
        // Some algorithms know it by another name.
        let (one, other) = (self.channel("train"), self.channel("training"));
        match (one, other) {
            (Some(channel), None) | (None, Some(channel)) => Ok(channel),
            (Some(_), Some(_)) => Err(Failure::Client(
                "the channels \"train\" and \"training\" are one: only one of them may be there"
                    .to_owned(),
            )),
            (None, None) => Err(Failure::Client(format!(
                "the channel \"train\" is missing; the algorithm knows {}",
                names()
            ))),
        }
    }

    /// An object that a file of a channel names.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn file(&self, bucket: &str, key: &str) -> Result<File, Failure> {
        super::channels::one(self.objects, bucket, key)
    }

    /// The bytes of a file, unpacked where the channel says that it is packed.
    ///
    /// # Errors
    /// It cannot be read, or is packed and the channel does not say so.
    pub fn open(&self, channel: &Channel, file: &File) -> Result<Box<dyn Read + Send>, Failure> {
        if channel.records {
            return super::records::open(self.objects, file);
        }
        let mut bytes = self.bytes(file)?;
        if channel.gzip {
            return Ok(Box::new(flate2::read::MultiGzDecoder::new(bytes)));
        }
        // No text, image or table begins so.
        let mut first = Vec::with_capacity(GZIP.len());
        let mut beginning = bytes.by_ref().take(GZIP.len() as u64);
        let read = beginning.read_to_end(&mut first);
        read.map_err(|error| Failure::Now(format!("{file} cannot be read: {error}")))?;
        if first == GZIP {
            return Err(Failure::Client(format!(
                "channel {:?}: {file} is packed with gzip, and the channel has no CompressionType: it is Gzip",
                channel.name
            )));
        }
        Ok(Box::new(Cursor::new(first).chain(bytes)))
    }

    /// The bytes of a file as they are stored, of an archive for instance.
    ///
    /// # Errors
    /// It cannot be read, or has changed.
    pub fn bytes(&self, file: &File) -> Result<Box<dyn Read + Send>, Failure> {
        let name = ObjectName::new(&file.bucket, &file.key, None);
        let object = name.and_then(|name| self.objects.open(&name));
        let object = object.map_err(|error| unread(&file.to_string(), &error))?;
        match object.length == file.length && object.etag == file.etag {
            true => Ok(object.bytes),
            false => Err(Failure::Client(format!(
                "{file} has changed while it was learned from"
            ))),
        }
    }
}

/// Why an object cannot be read, as a failure.
pub(super) fn unread(what: &str, error: &ObjectError) -> Failure {
    match error {
        ObjectError::Unavailable(_) => Failure::Now(format!("{what} cannot be read: {error}")),
        _ => Failure::Client(format!("Data download failed: {what}: {error}")),
    }
}
