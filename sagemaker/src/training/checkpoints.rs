//! Checkpoints: the last state of a training, on the disk or in a bucket, so that it is gone on from.
//!
//! Bytes that an algorithm hands over ([`escala_learn::Watch::checkpoint`]) are one file, or the object `escala.checkpoint` below
//! `CheckpointConfig.S3Uri`. Files that a trainer keeps in a folder of its own (`Lesson::checkpoint`) are objects below
//! `escala-DIGITS/`, whose digits say which training it is: those of another are left alone.

use super::Inner;
use crate::names::{repository, s3};
use crate::store::Resource;
use escala_objects::{Error as ObjectError, ObjectName};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// The least time between two checkpoints.
const APART: Duration = Duration::from_secs(10);
/// Most bytes of a checkpoint that is read.
const MOST: u64 = 8 << 30;
/// Most files of a checkpoint that are read.
const FILES: usize = 1000;
/// How the name of a file ends that is being written.
const PARTIAL: &str = ".partial";

/// What a training is: that of another is nothing to go on from.
pub(super) fn identity(
    resource: &Resource,
    image: &str,
    given: &BTreeMap<String, String>,
    channels: &[super::channels::Channel],
) -> [u8; 32] {
    let mut all = Sha256::new();
    let remote = resource.body["request"].get("CheckpointConfig").is_some();
    // Checkpoints in a bucket are for later jobs, too.
    if !remote {
        all.update(&resource.arn);
        all.update(resource.created.to_be_bytes());
    }
    // More rounds of boosting begin where fewer ended.
    let given = given
        .iter()
        .filter(|(name, _)| !remote || *name != "num_round");
    let given: BTreeMap<_, _> = given.collect();
    all.update(format!("{} {given:?} {channels:?}", repository(image)));
    all.finalize().into()
}

/// The last state of a training.
pub(super) struct Checkpoints<'a> {
    inner: &'a Inner,
    /// The folder on the disk.
    folder: PathBuf,
    /// `CheckpointConfig.S3Uri`.
    remote: Option<String>,
    identity: [u8; 32],
    kept: Instant,
    files_kept: Instant,
    /// Files that are in the bucket as they are in the folder: when they were written, and their bytes, counted.
    copied: HashMap<String, (SystemTime, u64)>,
}

impl<'a> Checkpoints<'a> {
    pub fn new(
        inner: &'a Inner,
        folder: PathBuf,
        remote: Option<String>,
        identity: [u8; 32],
    ) -> Self {
        Self {
            inner,
            folder,
            remote,
            identity,
            kept: Instant::now(),
            files_kept: Instant::now(),
            copied: HashMap::new(),
        }
    }

    /// Whether it is long enough since bytes were kept.
    pub fn due(&self) -> bool {
        self.kept.elapsed() >= APART
    }

    /// Whether it is long enough since files were.
    pub fn files_due(&self) -> bool {
        self.files_kept.elapsed() >= APART
    }

    /// The bytes of an algorithm's state, kept in the place of the last ones.
    ///
    /// # Errors
    /// Why they were not kept, in words.
    pub fn keep(&mut self, bytes: &[u8]) -> Result<(), String> {
        let kept = self.write(bytes);
        self.kept = Instant::now();
        kept
    }

    fn write(&self, bytes: &[u8]) -> Result<(), String> {
        if let Some((bucket, folder)) = self.place() {
            let key = format!("{folder}escala.checkpoint");
            return self
                .put(&bucket, &key, &mut (&self.identity[..]).chain(bytes))
                .map_err(|error| error.to_string());
        }
        let path = self.state();
        let new = path.with_extension("new");
        let kept = File::create(&new).and_then(|mut file| {
            file.write_all(&self.identity)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        });
        kept.map_err(|error| error.to_string())
    }

    /// The bytes that were kept, if they are this training's.
    pub fn read(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = match self.place() {
            Some((bucket, folder)) => {
                let name = ObjectName::new(&bucket, &format!("{folder}escala.checkpoint"), None);
                match name.and_then(|name| self.inner.objects.open(&name)) {
                    Ok(object) => object.bytes.take(MOST).read_to_end(&mut bytes),
                    Err(ObjectError::NoKey(..)) => return None,
                    Err(error) => Err(std::io::Error::other(error.to_string())),
                }
            }
            None => match File::open(self.state()) {
                Ok(file) => file.take(MOST).read_to_end(&mut bytes),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = read {
            tracing::warn!(%error, "a checkpoint cannot be read; the training begins anew");
            return None;
        }
        bytes.strip_prefix(&self.identity).map(<[u8]>::to_vec)
    }

    /// Copies the files that the trainer has written since the last time into the bucket, where one was named.
    ///
    /// # Errors
    /// Why they were not kept, in words.
    pub fn keep_files(&mut self) -> Result<(), String> {
        let kept = self.copy();
        self.files_kept = Instant::now();
        kept
    }

    fn copy(&mut self) -> Result<(), String> {
        let Some((bucket, folder)) = self.files() else {
            return Ok(());
        };
        let said = |error: &dyn std::fmt::Display| error.to_string();
        for entry in fs::read_dir(&self.folder).map_err(|error| said(&error))? {
            let entry = entry.map_err(|error| said(&error))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // Opened before it is looked at: it may be replaced meanwhile.
            let mut file = match File::open(entry.path()) {
                Ok(file) => file,
                // It was renamed meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(said(&error)),
            };
            let about = file.metadata().map_err(|error| said(&error))?;
            let modified = about.modified().map_err(|error| said(&error))?;
            let written = (modified, about.len());
            let known = self.copied.get(&name) == Some(&written);
            if !about.is_file() || name.ends_with(PARTIAL) || known {
                continue;
            }
            self.put(&bucket, &format!("{folder}{name}"), &mut file)
                .map_err(|error| said(&error))?;
            self.copied.insert(name, written);
        }
        Ok(())
    }

    /// Brings the files that are in the bucket into the folder, but for those that are there: they are no older. Whether there
    /// were any.
    pub fn fetch_files(&mut self) -> bool {
        let Some((bucket, folder)) = self.files() else {
            return false;
        };
        match self.fetch(&bucket, &folder) {
            Ok(fetched) => fetched,
            Err(why) => {
                tracing::warn!(why, "a checkpoint cannot be read; the training begins anew");
                false
            }
        }
    }

    fn fetch(&self, bucket: &str, folder: &str) -> Result<bool, String> {
        let objects = &self.inner.objects;
        let listed = objects.list(bucket, folder, "", FILES);
        let listed = listed.map_err(|error| error.to_string())?;
        let bytes: u64 = listed.iter().map(|one| one.length).sum();
        if bytes > MOST {
            return Err(format!("it has {bytes} bytes, and at most {MOST} are read"));
        }
        let mut fetched = false;
        for one in listed {
            let name = one.key.strip_prefix(folder).unwrap_or_default();
            let mut parts = Path::new(name).components();
            let (Some(Component::Normal(plain)), None) = (parts.next(), parts.next()) else {
                continue;
            };
            let path = self.folder.join(plain);
            if plain != name || path.exists() {
                continue;
            }
            let name = ObjectName::new(bucket, &one.key, None);
            let object = name.and_then(|name| objects.open(&name));
            let mut object = object.map_err(|error| error.to_string())?;
            let mut partial = path.clone().into_os_string();
            partial.push(PARTIAL);
            let written = File::create(&partial).and_then(|mut file| {
                let copied = std::io::copy(&mut object.bytes.by_ref().take(MOST), &mut file)?;
                if copied != object.length {
                    return Err(std::io::Error::other("it is not there as a whole"));
                }
                file.sync_all()?;
                fs::rename(&partial, &path)
            });
            written.map_err(|error| format!("s3://{bucket}/{}: {error}", one.key))?;
            fetched = true;
        }
        Ok(fetched)
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The bucket, and what keys begin with there.
    fn place(&self) -> Option<(String, String)> {
        let (bucket, folder) = s3(self.remote.as_deref()?)?;
        let slash = match folder.is_empty() || folder.ends_with('/') {
            true => "",
            false => "/",
        };
        Some((bucket.to_owned(), format!("{folder}{slash}")))
    }

    /// The bucket, and what the keys of this training's files begin with.
    fn files(&self) -> Option<(String, String)> {
        let (bucket, folder) = self.place()?;
        let digits: String = self.identity[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Some((bucket, format!("{folder}escala-{digits}/")))
    }

    fn put(&self, bucket: &str, key: &str, bytes: &mut dyn Read) -> Result<(), ObjectError> {
        let mut new = self
            .inner
            .objects
            .create(&ObjectName::new(bucket, key, None)?)?;
        std::io::copy(bytes, &mut new)?;
        new.commit().map(|_| ())
    }
}
