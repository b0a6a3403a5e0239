//! The data of models: where they are, and the folders that they are unpacked into.

use super::{Definition, Form, Models, Unopened};
use crate::archive;
use crate::names::s3;
use escala_objects::ObjectName;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// How many keys are asked for at a time.
const PAGE: usize = 1000;

#[derive(Default)]
pub(super) struct Folders {
    known: HashMap<String, Folder>,
}

impl Folders {
    /// Those that are below a folder; what was not finished is removed.
    pub(super) fn read(folder: &Path) -> std::io::Result<Self> {
        let mut known = HashMap::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            if archive::unfinished(&name) {
                std::fs::remove_dir_all(&path)?;
                continue;
            }
            let bytes = size(&path)?;
            known.insert(
                name,
                Folder {
                    bytes,
                    used: Instant::now(),
                    held: Arc::new(()),
                },
            );
        }
        Ok(Self { known })
    }

    /// Holds the one of a name.
    fn find(&mut self, name: &str) -> Option<Arc<()>> {
        let folder = self.known.get_mut(name)?;
        folder.used = Instant::now();
        Some(Arc::clone(&folder.held))
    }

    /// Bytes of all.
    fn bytes(&self) -> u64 {
        self.known.values().map(|folder| folder.bytes).sum()
    }
}

/// Where data are, and in which form.
pub(super) struct Place {
    form: Form,
    bucket: String,
    key: String,
}

impl Place {
    fn address(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

/// What was found there.
enum Found {
    Object(escala_objects::Object),
    Listed(Vec<escala_objects::Listed>),
}

struct Folder {
    bytes: u64,
    used: Instant,
    held: Arc<()>,
}

impl Models {
    /// Removes unpacked models that no open model has: those that nobody used for long, and while they are more bytes than they may
    /// be together, those that were used longest ago. Those that are `pinned` stay: their data may be others now, and they must be
    /// the same models when they are opened again. Nothing is removed where these cannot be told.
    pub fn clear(&self, pinned: impl FnOnce() -> Option<HashSet<String>>) {
        let free = |folder: &Folder| Arc::strong_count(&folder.held) == 1;
        let old = |folder: &Folder| free(folder) && folder.used.elapsed() >= self.options.unpacked;
        {
            let folders = self.folders.lock();
            let none_old = !folders.known.values().any(old);
            if none_old && folders.bytes() <= self.options.disk {
                return;
            }
        }
        let Some(pinned) = pinned() else {
            return;
        };
        let mut folders = self.folders.lock();
        let mut removable = Vec::new();
        for (name, folder) in folders.known.iter_mut().filter(|(_, folder)| free(folder)) {
            match pinned.contains(name) {
                // It is looked at again as late as any other.
                true if old(folder) => folder.used = Instant::now(),
                true => (),
                false => removable.push((folder.used, old(folder), name.clone())),
            }
        }
        removable.sort();
        for (_, old, name) in removable {
            if old || folders.bytes() > self.options.disk {
                self.remove(&mut folders, &name);
            }
        }
    }

    /// Where the data of a model are, or of one of many.
    pub(super) fn place(
        &self,
        what: &Definition,
        target: Option<&str>,
    ) -> std::result::Result<Option<Place>, Unopened> {
        let Some(data) = &what.data else {
            return Ok(None);
        };
        let Some((bucket, key)) = s3(&data.address) else {
            return Err(Unopened::Failed(format!(
                "{} is no address of an object",
                data.address
            )));
        };
        let key = match (what.many, target) {
            (false, None) => key.to_owned(),
            (true, Some(target)) => match key.is_empty() || key.ends_with('/') {
                true => format!("{key}{}", target.trim_start_matches('/')),
                false => format!("{key}/{}", target.trim_start_matches('/')),
            },
            (false, Some(_)) => {
                return Err(Unopened::Absent(format!(
                    "the model {} is one model and not many; leave the target model out",
                    what.name
                )));
            }
            (true, None) => {
                return Err(Unopened::Absent(format!(
                    "the model {} is many models; the target model says which",
                    what.name
                )));
            }
        };
        Ok(Some(Place {
            form: data.form,
            bucket: bucket.to_owned(),
            key,
        }))
    }

    /// Whether the data of many models can be looked for.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn prefix(&self, what: &Definition) -> std::result::Result<(), Unopened> {
        let address = what.data.as_ref().map_or("", |data| data.address.as_str());
        let (bucket, key) = s3(address).unwrap_or_default();
        match self.objects.list(bucket, key, "", 1) {
            Ok(_) => Ok(()),
            Err(error) => Err(unfetched(address, &error)),
        }
    }

    /// Takes up the data of a model as they are now, so that it is the same model whenever it is opened again.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn pin(&self, what: &mut Definition) -> std::result::Result<(), Unopened> {
        if what.many {
            return Ok(());
        }
        if let Some(place) = self.place(what, None)? {
            what.pinned = Some(self.survey(&place)?.0);
        }
        Ok(())
    }

    /// What there is at the place of some data: a name that no others have, and what they are fetched by.
    fn survey(&self, place: &Place) -> std::result::Result<(String, Found), Unopened> {
        let Place { form, bucket, key } = place;
        let address = place.address();
        let wrong = |error: escala_objects::Error| unfetched(&address, &error);
        let mut identity = Sha256::new();
        identity.update(json!([form, bucket, key]).to_string());
        let found = match form {
            Form::Archive | Form::File => {
                let name = ObjectName::new(bucket, key, None).map_err(wrong)?;
                let object = self.objects.open(&name).map_err(wrong)?;
                identity.update(&object.etag);
                Found::Object(object)
            }
            Form::Files => {
                let mut listed = Vec::new();
                let mut after = String::new();
                loop {
                    let page = self.objects.list(bucket, key, &after, PAGE);
                    let page = page.map_err(wrong)?;
                    let last = page.len() < PAGE;
                    if let Some(one) = page.last() {
                        after.clone_from(&one.key);
                    }
                    listed.extend(page);
                    let bytes: u64 = listed.iter().map(|one| one.length).sum();
                    let limits = self.options.archive;
                    if listed.len() as u64 > limits.entries || bytes > limits.bytes {
                        return Err(Unopened::Failed(format!(
                            "{address}: there are more than {} bytes or {} objects",
                            limits.bytes, limits.entries
                        )));
                    }
                    if last {
                        break;
                    }
                }
                // What consoles make for a folder is no file.
                listed.retain(|one| !one.key.ends_with('/'));
                if listed.is_empty() {
                    return Err(Unopened::Absent(format!(
                        "Could not find model data at {address}."
                    )));
                }
                for one in &listed {
                    identity.update(json!([one.key, one.etag]).to_string());
                }
                Found::Listed(listed)
            }
        };
        let identity = identity.finalize();
        let name = identity.iter().map(|byte| format!("{byte:02x}"));
        Ok((name.collect(), found))
    }

    /// The folder with a model's files.
    pub(super) fn fetch(
        &self,
        place: &Place,
        pinned: Option<&str>,
    ) -> std::result::Result<(PathBuf, Arc<()>), Unopened> {
        if let Some(pinned) = pinned
            && let Some(held) = self.folders.lock().find(pinned)
        {
            return Ok((self.folder.join(pinned), held));
        }
        let (name, found) = self.survey(place)?;
        if pinned.is_some_and(|pinned| pinned != name) {
            tracing::warn!(
                address = place.address(),
                "the data of a model are not those any more that an endpoint was deployed with"
            );
        }
        let address = place.address();
        let (form, key) = (place.form, place.key.as_str());
        self.folder_of(name, |folder| match found {
            Found::Object(object) if form == Form::Archive => {
                archive::unpack(object.bytes, folder, self.options.archive)
                    .map(|_| ())
                    .map_err(|why| {
                        let why = match why {
                            // Where it is unpacked says nothing to whoever made it.
                            archive::Error::File { path, source } => {
                                tracing::warn!(%source, path = %path.display(), "a model cannot be unpacked");
                                format!("it cannot be unpacked here: {source}")
                            }
                            why => why.to_string(),
                        };
                        Unopened::Failed(format!("{address}: {why}"))
                    })
            }
            Found::Object(object) => archive::whole(folder, |folder| {
                let last = key.rsplit('/').next().unwrap_or(key);
                let path = file_in(folder, last, &address)?;
                self.copy(object, &path, &address)
            })
            .map_err(Unopened::from),
            Found::Listed(listed) => archive::whole(folder, |folder| {
                for one in &listed {
                    let rest = one.key.strip_prefix(key).unwrap_or(&one.key);
                    let rest = rest.trim_start_matches('/');
                    // A prefix that is a whole key is one file.
                    let rest = match rest.is_empty() {
                        true => one.key.rsplit('/').next().unwrap_or(&one.key),
                        false => rest,
                    };
                    let path = file_in(folder, rest, &address)?;
                    let object = ObjectName::new(&place.bucket, &one.key, None)
                        .and_then(|name| self.objects.open(&name))
                        .map_err(|error| unfetched(&address, &error))?;
                    self.copy(object, &path, &address)?;
                }
                Ok::<(), Stopped>(())
            })
            .map_err(Unopened::from),
        })
    }

    fn copy(
        &self,
        mut object: escala_objects::Object,
        path: &Path,
        address: &str,
    ) -> std::result::Result<(), Stopped> {
        let failed = |error: std::io::Error| Unopened::Failed(format!("{address}: {error}"));
        if object.length > self.options.archive.bytes {
            let why = format!("{address}: it has {} bytes", object.length);
            return Err(Unopened::Failed(why).into());
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut file = std::fs::File::create(path).map_err(failed)?;
        let copied = std::io::copy(&mut object.bytes, &mut file).map_err(failed)?;
        if copied != object.length {
            let why = format!("{address}: {copied} of {} bytes came", object.length);
            return Err(Unopened::Failed(why).into());
        }
        file.flush()
            .and_then(|()| file.sync_data())
            .map_err(failed)?;
        Ok(())
    }

    /// The folder of some data, which `make` makes where it is not there.
    fn folder_of(
        &self,
        name: String,
        make: impl FnOnce(&Path) -> std::result::Result<(), Unopened>,
    ) -> std::result::Result<(PathBuf, Arc<()>), Unopened> {
        let path = self.folder.join(&name);
        if let Some(held) = self.folders.lock().find(&name) {
            return Ok((path, held));
        }
        let made = make(&path);
        let mut folders = self.folders.lock();
        if let Some(held) = folders.find(&name) {
            // Another model has the same data, and was first.
            return Ok((path, held));
        }
        made?;
        let bytes = size(&path).map_err(|error| Unopened::Failed(error.to_string()))?;
        let held = Arc::new(());
        let folder = Folder {
            bytes,
            used: Instant::now(),
            held: Arc::clone(&held),
        };
        folders.known.insert(name, folder);
        Ok((path, held))
    }

    /// Removes a folder, where that can be.
    fn remove(&self, folders: &mut Folders, name: &str) {
        let path = self.folder.join(name);
        match std::fs::remove_dir_all(&path) {
            Ok(()) => {
                folders.known.remove(name);
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "an unpacked model stays");
                // It is tried again as late as any other.
                if let Some(folder) = folders.known.get_mut(name) {
                    folder.used = Instant::now();
                }
            }
        }
    }
}

/// Why a folder is not written.
struct Stopped(Unopened);

impl From<Unopened> for Stopped {
    fn from(why: Unopened) -> Self {
        Self(why)
    }
}

impl From<archive::Error> for Stopped {
    fn from(error: archive::Error) -> Self {
        Self(Unopened::Failed(error.to_string()))
    }
}

impl From<Stopped> for Unopened {
    fn from(Stopped(why): Stopped) -> Self {
        why
    }
}

fn file_in(folder: &Path, name: &str, address: &str) -> std::result::Result<PathBuf, Stopped> {
    match archive::inside(name.as_bytes()) {
        Ok(Some(path)) => Ok(folder.join(path)),
        Ok(None) => {
            Err(Unopened::Failed(format!("{address}: {name:?} is no name of a file")).into())
        }
        Err(why) => Err(Unopened::Failed(format!("{address}: {why}")).into()),
    }
}

/// Bytes of all files below a folder, whatever a model may have put beside its own.
fn size(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next)? {
            let entry = entry?;
            let about = entry.metadata()?;
            match about.is_dir() {
                true => folders.push(entry.path()),
                false => bytes += about.len(),
            }
        }
    }
    Ok(bytes)
}

/// Why data cannot be had, in words that AWS begins so.
fn unfetched(address: &str, error: &escala_objects::Error) -> Unopened {
    use escala_objects::Error as Objects;
    match error {
        Objects::Unavailable(_) | Objects::Denied => {
            Unopened::Failed(format!("Could not access model data at {address}. {error}"))
        }
        _ => Unopened::Absent(format!("Could not find model data at {address}. {error}")),
    }
}
