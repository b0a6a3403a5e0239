//! Where the buckets are: in a store of ours, which can be written; in folders that somebody put there, which cannot, unless the
//! settings say that jobs may (`objects.writable`); elsewhere, where the settings say (`objects.remote`).

use escala_objects::folder::Folder;
use escala_objects::local::{self, Local};
use escala_objects::{
    Described, Error, Listed, NewObject, Object, ObjectName, ObjectStore, WritableStore,
};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// All buckets. The store is opened when it is first needed, and made when it is first written.
pub struct Places {
    store: Result<PathBuf, String>,
    local: Mutex<Option<Local>>,
    /// Existing folders as buckets.
    pub folder: Folder,
    elsewhere: OnceLock<Elsewhere>,
}

/// The buckets that are elsewhere.
struct Elsewhere {
    store: Arc<dyn Described>,
    names: BTreeSet<String>,
    since: SystemTime,
}

/// Where a bucket is.
pub enum Place {
    /// In the store.
    Local(Local),
    /// In a folder: only to be read.
    Folder(Folder),
    /// In another place.
    Elsewhere(Arc<dyn Described>),
}

impl Place {
    /// What can be read there.
    pub fn store(&self) -> &dyn ObjectStore {
        match self {
            Self::Local(local) => local,
            Self::Folder(folder) => folder,
            Self::Elsewhere(store) => &**store,
        }
    }
}

impl Places {
    /// The buckets of the store in a folder, or the reason why there is none, and those that are folders.
    pub fn new(store: Result<PathBuf, String>, folder: Folder) -> Self {
        Self {
            store,
            local: Mutex::new(None),
            folder,
            elsewhere: OnceLock::new(),
        }
    }

    /// Says once which buckets are in another place. They hide those of their names in the store and in folders.
    pub fn connect(&self, store: Arc<dyn Described>, names: impl IntoIterator<Item = String>) {
        let elsewhere = Elsewhere {
            store,
            names: names.into_iter().collect(),
            since: SystemTime::now(),
        };
        if self.elsewhere.set(elsewhere).is_err() {
            tracing::error!("buckets elsewhere were named twice; the first names count");
        }
    }

    /// Where a bucket is that is elsewhere.
    pub fn elsewhere(&self, bucket: &str) -> Option<&Arc<dyn Described>> {
        let elsewhere = self.elsewhere.get()?;
        elsewhere.names.contains(bucket).then_some(&elsewhere.store)
    }

    /// All buckets and since when they are there, those elsewhere since they are known here.
    ///
    /// # Errors
    /// Those of the places. Nobody elsewhere is asked.
    pub fn buckets(&self) -> Result<Vec<(String, SystemTime)>, local::Error> {
        let mut buckets = self.folder.buckets()?;
        let mut put = |name: String, since: SystemTime| {
            buckets.retain(|(other, _)| *other != name);
            buckets.push((name, since));
        };
        for bucket in self.local()?.buckets()? {
            if !self.folder.is_named(&bucket.name) {
                put(bucket.name, bucket.created);
            }
        }
        if let Some(elsewhere) = self.elsewhere.get() {
            let names = elsewhere.names.iter();
            names.for_each(|name| put(name.clone(), elsewhere.since));
        }
        buckets.sort();
        Ok(buckets)
    }

    /// The store, which is made if there is none.
    ///
    /// # Errors
    /// Those of [`Local::open`].
    pub fn local(&self) -> Result<Local, local::Error> {
        let path = self.store.as_ref();
        let path = path.map_err(|why| local::Error::Disk(std::io::Error::other(why.clone())))?;
        let mut local = self.local.lock();
        if let Some(local) = &*local {
            return Ok(local.clone());
        }
        let opened = Local::open(path)?;
        *local = Some(opened.clone());
        Ok(opened)
    }

    /// The store, where there is one.
    fn existing(&self) -> Result<Option<Local>, local::Error> {
        match &self.store {
            Ok(path) if path.join("index.db").exists() => self.local().map(Some),
            _ => Ok(None),
        }
    }

    /// Where a bucket is. One of the store hides a folder of its name in the folder of objects, and is hidden by a folder elsewhere; of a store that another process has, nothing is known. Of
    /// one that is elsewhere it is not asked whether it is there.
    ///
    /// # Errors
    /// [`Error::NoBucket`]; those of the places.
    pub fn of(&self, bucket: &str) -> Result<Place, local::Error> {
        if let Some(store) = self.elsewhere(bucket) {
            return Ok(Place::Elsewhere(store.clone()));
        }
        if self.folder.is_named(bucket) {
            self.folder.list(bucket, "", "", 0)?;
            return Ok(Place::Folder(self.folder.clone()));
        }
        let existing = match self.existing() {
            Err(error @ local::Error::InUse(_)) => {
                return match self.folder.list(bucket, "", "", 0) {
                    Ok(_) => Ok(Place::Folder(self.folder.clone())),
                    Err(_) => Err(error),
                };
            }
            existing => existing?,
        };
        if let Some(local) = existing {
            match local.bucket(bucket) {
                Ok(_) => return Ok(Place::Local(local)),
                Err(local::Error::Store(Error::NoBucket(_))) => (),
                Err(error) => return Err(error),
            }
        }
        self.folder.list(bucket, "", "", 0)?;
        Ok(Place::Folder(self.folder.clone()))
    }

    /// The store, where the bucket is one of its.
    ///
    /// # Errors
    /// [`Error::NoBucket`]; [`Error::Denied`] where the bucket is a folder; [`local::Error::Elsewhere`]; those of the places.
    pub fn writable(&self, bucket: &str) -> Result<Local, local::Error> {
        match self.of(bucket)? {
            Place::Local(local) => Ok(local),
            Place::Folder(_) => Err(Error::Denied.into()),
            Place::Elsewhere(_) => Err(local::Error::Elsewhere(bucket.to_owned())),
        }
    }
}

impl ObjectStore for Places {
    fn open(&self, name: &ObjectName) -> Result<Object, Error> {
        self.of(name.bucket())?.store().open(name)
    }

    fn open_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Object, Error> {
        self.of(name.bucket())?.store().open_range(name, range)
    }

    fn content_type(&self, name: &ObjectName) -> Result<Option<String>, Error> {
        Ok(match self.of(name.bucket())? {
            Place::Local(local) => local.content_type(name)?,
            Place::Folder(_) => None,
            Place::Elsewhere(store) => store.describe(name)?.about.content_type,
        })
    }

    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Listed>, Error> {
        self.of(bucket)?.store().list(bucket, prefix, after, most)
    }
}

impl WritableStore for Places {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn NewObject>, Error> {
        match self.elsewhere(name.bucket()) {
            Some(store) => store.create(name),
            None if self.folder.is_writable(name.bucket()) => self.folder.create(name),
            None => self.writable(name.bucket())?.create(name),
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        match self.elsewhere(name.bucket()) {
            Some(store) => store.delete(name),
            None if self.folder.is_writable(name.bucket()) => self.folder.delete(name),
            None => self.writable(name.bucket())?.delete(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use escala_objects::memory::Memory;
    use escala_objects::suite;
    use std::io::Write;

    #[test]
    fn they_keep_the_contract_together() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let (store, folder) = (data.path().join("s3"), data.path().join("objects"));
        suite::reads(|buckets, objects| {
            let places = Places::new(Ok(store.clone()), Folder::new(Ok(folder.clone())));
            for bucket in buckets {
                match *bucket {
                    "photos" => places
                        .local()
                        .expect("opens")
                        .create_bucket(bucket)
                        .expect("made"),
                    other => std::fs::create_dir_all(folder.join(other)).expect("made"),
                }
            }
            for (bucket, key, bytes) in objects {
                if *bucket == "photos" {
                    let name = ObjectName::new(bucket, key, None).expect("a name");
                    let local = places.writable(bucket).expect("the store's");
                    let mut new = local.create(&name).expect("begun");
                    new.write_all(bytes).expect("written");
                    new.commit().expect("committed");
                } else {
                    std::fs::write(folder.join(bucket).join(key), bytes).expect("written");
                }
            }
            let denied = places.writable("bare");
            assert!(matches!(
                denied.err(),
                Some(local::Error::Store(Error::Denied))
            ));
            places
        });
    }

    #[test]
    fn a_folder_that_is_named_hides_a_bucket_of_the_store() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let reviews = data.path().join("reviews");
        std::fs::create_dir(&reviews).expect("made");
        std::fs::write(reviews.join("a"), b"file").expect("written");
        let folder = || Folder::new(Ok(data.path().join("objects")));
        let places = Places::new(Ok(data.path().join("s3")), folder());
        let local = places.local().expect("opens");
        local.create_bucket("reviews").expect("made");
        drop((local, places));
        let named = [("reviews".to_owned(), reviews)];
        let folder = folder().with_named(named.into());
        let places = Places::new(Ok(data.path().join("s3")), folder);
        assert_eq!(places.list("reviews", "", "", 9).expect("a list").len(), 1);
        assert_eq!(places.buckets().expect("a list").len(), 1);
        let name = ObjectName::new("reviews", "b", None).expect("a name");
        assert!(matches!(places.create(&name).err(), Some(Error::Denied)));
    }

    /// A cloud that is memory.
    struct Cloud(Memory);

    impl ObjectStore for Cloud {
        fn open(&self, name: &ObjectName) -> Result<Object, Error> {
            self.0.open(name)
        }

        fn open_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Object, Error> {
            self.0.open_range(name, range)
        }

        fn list(
            &self,
            bucket: &str,
            prefix: &str,
            after: &str,
            most: usize,
        ) -> Result<Vec<Listed>, Error> {
            self.0.list(bucket, prefix, after, most)
        }
    }

    impl WritableStore for Cloud {
        fn create(&self, name: &ObjectName) -> Result<Box<dyn NewObject>, Error> {
            self.0.create(name)
        }

        fn delete(&self, name: &ObjectName) -> Result<(), Error> {
            self.0.delete(name)
        }
    }

    impl Described for Cloud {
        fn describe(&self, name: &ObjectName) -> Result<local::Info, Error> {
            self.0.open(name).map(|object| local::Info {
                length: object.length,
                etag: object.etag,
                modified: object.modified,
                about: local::About::default(),
                checksum: None,
                parts: 0,
                tags: Vec::new(),
            })
        }

        fn create_described(
            &self,
            name: &ObjectName,
            _: &local::About,
        ) -> Result<Box<dyn NewObject>, Error> {
            self.0.create(name)
        }

        fn delete_all(&self, bucket: &str, keys: &[String]) -> Result<(), Error> {
            keys.iter().try_for_each(|key| {
                let name = ObjectName::new(bucket, key, None)?;
                self.0.delete(&name)
            })
        }
    }

    #[test]
    fn buckets_elsewhere_hide_those_of_their_names() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let folder = data.path().join("objects");
        std::fs::create_dir_all(folder.join("photos")).expect("made");
        let places = Places::new(Ok(data.path().join("s3")), Folder::new(Ok(folder)));
        let local = places.local().expect("opens");
        for bucket in ["photos", "own"] {
            local.create_bucket(bucket).expect("made");
        }
        let cloud = Memory::default();
        cloud.put("photos", "there", b"bytes");
        let names = ["photos".to_owned(), "texts".to_owned()];
        places.connect(Arc::new(Cloud(cloud.clone())), names);

        let keys = |store: &dyn ObjectStore, bucket: &str| -> Vec<String> {
            let listed = store.list(bucket, "", "", 10).expect("listed");
            listed.into_iter().map(|one| one.key).collect()
        };
        assert_eq!(keys(&places, "photos"), ["there"]);
        let buckets = places.buckets().expect("known");
        let buckets: Vec<&str> = buckets.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(buckets, ["own", "photos", "texts"]);
        assert!(matches!(
            places.writable("photos").err(),
            Some(local::Error::Elsewhere(_))
        ));
        let name = |bucket, key| ObjectName::new(bucket, key, None).expect("a name");
        for bucket in ["photos", "own"] {
            let mut new = places.create(&name(bucket, "new")).expect("begun");
            new.write_all(b"more bytes").expect("written");
            new.commit().expect("committed");
        }
        assert_eq!(keys(&cloud, "photos"), ["new", "there"]);
        assert_eq!(keys(&local, "own"), ["new"]);
        places.delete(&name("photos", "there")).expect("deleted");
        assert_eq!(keys(&places, "photos"), ["new"]);
        assert!(keys(&local, "photos").is_empty());
        // Known by its name, whether it is there or not.
        assert!(matches!(places.of("texts"), Ok(Place::Elsewhere(_))));
        let none = places.list("texts", "", "", 1);
        assert!(matches!(none, Err(Error::NoBucket(_))));
    }

    #[test]
    fn folders_are_read_while_another_process_has_the_store() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let (store, folder) = (data.path().join("s3"), data.path().join("objects"));
        std::fs::create_dir_all(folder.join("photos")).expect("made");
        std::fs::write(folder.join("photos/cat"), b"bytes").expect("written");
        let held = Local::open(&store).expect("opens");
        let places = Places::new(Ok(store), Folder::new(Ok(folder)));
        let cat = ObjectName::new("photos", "cat", None).expect("a name");
        assert_eq!(places.open(&cat).expect("a folder's").length, 5);
        let unknown = places.of("other");
        assert!(matches!(unknown.err(), Some(local::Error::InUse(_))));
        drop(held);
        let none = places.of("other");
        assert!(matches!(
            none.err(),
            Some(local::Error::Store(Error::NoBucket(_)))
        ));
    }

    #[test]
    fn reading_makes_no_store() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let store = data.path().join("s3");
        let folder = Folder::new(Ok(data.path().join("objects")));
        let places = Places::new(Ok(store.clone()), folder);
        let none = places.list("bucket", "", "", 1);
        assert!(matches!(none, Err(Error::NoBucket(_))));
        assert!(!store.exists());
    }
}
