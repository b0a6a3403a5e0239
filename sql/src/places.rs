//! Which files a query may name, and what they are read with.
//!
//! A name in quotes is a path (`'reviews/*.parquet'`). [`Places`] turns it into an address, which only [`Stores`] can
//! read. Where a caller of this machine may name any path, a caller from elsewhere names the folders that were registered
//! for him, by their names: `'reviews/2026/*.parquet'` is below the folder `reviews`, and nothing that lies outside of it
//! can be reached, through links or otherwise. Both may name objects (`'s3://bucket/reviews/*.parquet'`) where there are
//! [`Buckets`].

use crate::buckets::Buckets;
use async_trait::async_trait;
use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::execution::object_store::ObjectStoreRegistry;
use escala_objects::folder::within;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, future};
use glob::{MatchOptions, Pattern};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use url::Url;

/// The scheme of registered folders.
const FOLDER: &str = "folder";
/// The scheme of files.
const FILE: &str = "file";
/// The scheme of objects.
pub(crate) const S3: &str = "s3";

/// What a query may name.
#[derive(Debug, Default)]
pub struct Places {
    /// Any path of this machine.
    anywhere: bool,
    folders: BTreeMap<String, Arc<Fenced>>,
    buckets: Option<Buckets>,
    /// Buckets that are folders of this machine, whose files may be named as such.
    files: BTreeMap<String, PathBuf>,
}

impl Places {
    /// These, and the objects of buckets.
    pub fn and_buckets(mut self, buckets: Buckets) -> Self {
        self.buckets = Some(buckets);
        self
    }

    /// These, and the files of buckets that are folders, by their paths: `'file:///data/reviews/*.parquet'`.
    pub fn and_files(mut self, files: BTreeMap<String, PathBuf>) -> Self {
        self.files = files;
        self
    }

    /// Every path of this machine, from the current folder.
    pub fn anywhere() -> Self {
        Self {
            anywhere: true,
            ..Self::default()
        }
    }

    /// Only these folders, by their names.
    ///
    /// # Errors
    /// When one is not there, or its name is no name of a folder.
    pub fn folders<'f>(folders: impl IntoIterator<Item = (&'f str, &'f Path)>) -> Result<Self> {
        let mut places = Self::default();
        for (name, path) in folders {
            let simple = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(simple) {
                return plan_err!(
                    "`{name}` cannot be the name of a folder: letters, digits, - and _"
                );
            }
            let fenced = Fenced::new(path)
                .map_err(|error| DataFusionError::Plan(format!("{}: {error}", path.display())))?;
            // Hosts of addresses are in small letters.
            places
                .folders
                .insert(name.to_ascii_lowercase(), Arc::new(fenced));
        }
        Ok(places)
    }

    /// The address that a name means: a file, or a folder with a pattern; nothing when it cannot be a path.
    ///
    /// # Errors
    /// When it may not be named.
    pub(crate) fn address(&self, name: &str) -> Result<Option<Address>> {
        if let Some((scheme, rest)) = name.split_once("://") {
            if scheme == S3 && self.buckets.is_some() {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                // An address leaves these out, and so it would be another object's.
                let whole = key.strip_suffix('/').unwrap_or(key);
                let left_out = |part: &str| matches!(part, "" | ".");
                if !whole.is_empty() && whole.split('/').any(left_out) || key.starts_with('/') {
                    return plan_err!(
                        "{name}: a key whose parts between slashes are empty or `.` cannot be read here"
                    );
                }
                let mut url = url(&format!("{S3}://{bucket}/"))?;
                return Ok(Some(Address::of(&mut url, key)?));
            }
            if scheme == FILE {
                return self.file(name, rest);
            }
            return plan_err!("`{scheme}://` cannot be read here");
        }
        // A folder needs no slash; whatever else has none is a table that somebody made.
        let plain = !name.contains(['/', '.', '*', '\\']);
        let is_folder = || match self.anywhere {
            true => Path::new(name).is_dir(),
            false => self.folders.contains_key(&name.to_ascii_lowercase()),
        };
        if plain && !is_folder() {
            return Ok(None);
        }
        if self.anywhere {
            let (fixed, pattern) = split(name);
            let path = std::path::absolute(if fixed.is_empty() { "." } else { fixed })
                .map_err(|error| DataFusionError::Plan(format!("{name}: {error}")))?;
            // `..` and links are for the system to follow; what is not there is said later.
            let path = path.canonicalize().unwrap_or(path);
            let is_folder = pattern.is_some() || fixed.ends_with('/') || path.is_dir();
            let url = match is_folder {
                true => Url::from_directory_path(&path),
                false => Url::from_file_path(&path),
            };
            let Ok(url) = url else {
                return plan_err!("{name}: no path of a file");
            };
            return Ok(Some(Address {
                url,
                pattern: pattern.map(compiled).transpose()?,
            }));
        }
        let (folder, key) = name.split_once('/').unwrap_or((name, ""));
        let lower = folder.to_ascii_lowercase();
        if self.folders.contains_key(&lower) {
            let mut url = url(&format!("{FOLDER}://{lower}/"))?;
            return Ok(Some(Address::of(&mut url, key)?));
        }
        let known: Vec<&str> = self.folders.keys().map(String::as_str).collect();
        match known.is_empty() {
            true => plan_err!("{name}: no folder may be read here"),
            false => plan_err!(
                "{name}: begin with a folder that may be read: {}",
                known.join(", ")
            ),
        }
    }
}

impl Places {
    /// The address of a file of this machine: a host, which is this one, and a path.
    fn file(&self, name: &str, rest: &str) -> Result<Option<Address>> {
        let path = rest.strip_prefix("localhost").unwrap_or(rest);
        if !path.starts_with('/') {
            return plan_err!("{name}: the path of a file begins behind three slashes");
        }
        if self.anywhere {
            return self.address(path);
        }
        match within(&self.files, path) {
            Some((bucket, key)) => self.address(&format!("{S3}://{bucket}/{key}")),
            None => plan_err!("{name}: no folder that may be read (`objects.folders`) has it"),
        }
    }
}

/// A file, or a folder with a pattern for what is below it.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) url: Url,
    pub(crate) pattern: Option<Pattern>,
}

impl Address {
    /// A key below the root of an address.
    fn of(root: &mut Url, key: &str) -> Result<Self> {
        if Path::new(key)
            .components()
            .any(|part| matches!(part, Component::ParentDir))
        {
            return plan_err!("`..` leads nowhere: {key}");
        }
        // An address leaves these out, too.
        if key.contains(['\t', '\n', '\r']) {
            return plan_err!("{key:?}: a key with tabs or line ends cannot be read here");
        }
        let (fixed, pattern) = split(key);
        if let Ok(mut path) = root.path_segments_mut() {
            path.pop_if_empty();
            for part in fixed.split('/').filter(|part| !part.is_empty()) {
                path.push(part);
            }
            if fixed.is_empty() || fixed.ends_with('/') {
                path.push("");
            }
        }
        Ok(Self {
            url: root.clone(),
            pattern: pattern.map(compiled).transpose()?,
        })
    }

    /// It names a folder, or files in one.
    pub(crate) fn is_folder(&self) -> bool {
        self.url.path().ends_with('/')
    }

    /// The same as a folder.
    pub(crate) fn into_folder(mut self) -> Self {
        if !self.is_folder() {
            let path = format!("{}/", self.url.path());
            self.url.set_path(&path);
        }
        self
    }

    /// The parts of a key below it.
    fn below(&self, key: &Key) -> Vec<String> {
        let root = Key::from_url_path(self.url.path()).unwrap_or_default();
        let parts = key.prefix_match(&root).into_iter().flatten();
        parts.map(|part| part.as_ref().to_owned()).collect()
    }

    /// The names of the folders between it and a key.
    pub(crate) fn folders(&self, key: &Key) -> Vec<String> {
        let mut parts = self.below(key);
        parts.pop();
        parts
    }

    /// Whether a file is one of those that it names: in a pattern `*` is a part of a name and `**` are folders; without one
    /// they are all files below it but those that others hide (`_delta_log/…`, `.part.crc`).
    pub(crate) fn takes(&self, key: &Key) -> bool {
        let parts = self.below(key);
        match &self.pattern {
            Some(pattern) => {
                let options = MatchOptions {
                    case_sensitive: true,
                    require_literal_separator: true,
                    require_literal_leading_dot: true,
                };
                pattern.matches_with(&parts.join("/"), options)
            }
            None => {
                let hides = |part: &String| part.starts_with(['_', '.']) && !part.contains('=');
                !parts.is_empty() && !parts.iter().any(hides)
            }
        }
    }

    pub(crate) fn listing(&self) -> Result<ListingTableUrl> {
        ListingTableUrl::try_new(self.url.clone(), self.pattern.clone())
    }
}

fn url(text: &str) -> Result<Url> {
    Url::parse(text).map_err(|error| DataFusionError::Plan(format!("{text}: {error}")))
}

fn compiled(pattern: &str) -> Result<Pattern> {
    Pattern::new(pattern).map_err(|error| DataFusionError::Plan(format!("{pattern}: {error}")))
}

/// A path up to its first part with a wildcard, and the rest.
fn split(path: &str) -> (&str, Option<&str>) {
    let Some(wildcard) = path.find(['*', '?', '[']) else {
        return (path, None);
    };
    let begin = path[..wildcard].rfind('/').map_or(0, |slash| slash + 1);
    (&path[..begin], Some(&path[begin..]))
}

/// What addresses are read with.
#[derive(Debug)]
pub(crate) struct Stores {
    places: Arc<Places>,
    local: Arc<LocalFileSystem>,
}

impl Stores {
    pub(crate) fn new(places: Arc<Places>) -> Self {
        let local = Arc::new(LocalFileSystem::new());
        Self { places, local }
    }
}

impl ObjectStoreRegistry for Stores {
    /// Places are said beforehand.
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let host = url.host_str().unwrap_or_default();
        match url.scheme() {
            FILE if self.places.anywhere => Ok(self.local.clone()),
            FOLDER => match self.places.folders.get(host) {
                Some(folder) => Ok(folder.clone()),
                None => exec_err!("there is no folder `{host}`"),
            },
            S3 => match &self.places.buckets {
                Some(buckets) => Ok(buckets.bucket(host)),
                None => exec_err!("there are no buckets here"),
            },
            _ => exec_err!("`{}` cannot be read here", url.scheme()),
        }
    }
}

/// A folder that is only read, and that nothing leads out of.
#[derive(Clone, Debug)]
struct Fenced {
    root: PathBuf,
    files: Arc<LocalFileSystem>,
}

impl fmt::Display for Fenced {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("a folder")
    }
}

impl Fenced {
    fn new(path: &Path) -> std::io::Result<Self> {
        let root = path.canonicalize()?;
        let files = LocalFileSystem::new_with_prefix(&root)?;
        let files = Arc::new(files);
        Ok(Self { root, files })
    }

    /// Whether a file is where it seems to be: no link on its way leads out.
    fn holds(&self, key: &Key) -> bool {
        let path = self.files.path_to_filesystem(key);
        let real = path.ok().and_then(|path| path.canonicalize().ok());
        real.is_some_and(|real| real.starts_with(&self.root))
    }
}

fn only_read() -> object_store::Error {
    object_store::Error::NotSupported {
        source: "a folder that is only read".into(),
    }
}

#[async_trait]
impl ObjectStore for Fenced {
    async fn put_opts(
        &self,
        _: &Key,
        _: PutPayload,
        _: PutOptions,
    ) -> object_store::Result<PutResult> {
        Err(only_read())
    }

    async fn put_multipart_opts(
        &self,
        _: &Key,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Err(only_read())
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> object_store::Result<GetResult> {
        if !self.holds(key) {
            return Err(object_store::Error::NotFound {
                path: key.to_string(),
                source: "there is no such file".into(),
            });
        }
        self.files.get_opts(key, options).await
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, object_store::Result<Key>>,
    ) -> BoxStream<'static, object_store::Result<Key>> {
        futures_util::stream::once(future::ready(Err(only_read()))).boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        // The store itself follows links wherever they lead.
        let fence = self.clone();
        let is_held = move |found: &object_store::Result<ObjectMeta>| {
            let held = found
                .as_ref()
                .map_or(true, |meta| fence.holds(&meta.location));
            future::ready(held)
        };
        self.files.list(prefix).filter(is_held).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> object_store::Result<ListResult> {
        let mut found = self.files.list_with_delimiter(prefix).await?;
        found.objects.retain(|meta| self.holds(&meta.location));
        found.common_prefixes.retain(|folder| self.holds(folder));
        Ok(found)
    }

    async fn copy_opts(&self, _: &Key, _: &Key, _: CopyOptions) -> object_store::Result<()> {
        Err(only_read())
    }

    async fn rename_opts(&self, _: &Key, _: &Key, _: RenameOptions) -> object_store::Result<()> {
        Err(only_read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_addresses() {
        let data = tempfile::tempdir().expect("folder");
        let places = Places::folders([("Reviews", data.path())]).expect("places");
        let address = |name: &str| places.address(name);
        let shown = |name: &str| {
            let address = address(name).expect(name).expect(name);
            let pattern = address.pattern.map(|pattern| pattern.as_str().to_owned());
            (address.url.to_string(), pattern)
        };
        assert_eq!(shown("Reviews/a b/c.csv").0, "folder://reviews/a%20b/c.csv");
        assert_eq!(
            shown("reviews/2026/*/p?.parquet"),
            ("folder://reviews/2026/".into(), Some("*/p?.parquet".into()))
        );
        assert_eq!(shown("reviews/").0, "folder://reviews/");
        for outside in [
            "/etc/passwd",
            "reviews/../x.csv",
            "other/x.csv",
            "./x.csv",
            "file:///etc/x.csv",
            "s3://bucket/key.csv",
            "https://example.org/x.csv",
        ] {
            assert!(address(outside).is_err(), "{outside}");
        }
        assert!(address("table").expect("no path").is_none());
    }

    #[test]
    fn keys_become_addresses_of_their_own_objects_or_of_none() {
        let objects = Arc::new(escala_objects::memory::Memory::default());
        let places = Places::default().and_buckets(Buckets::new(objects));
        let shown = |key: &str| {
            let address = places.address(&format!("s3://lake/{key}"));
            address.map(|address| address.expect("a path").url.to_string())
        };
        for key in ["", "a.csv", "a/", "2026/b.csv", "a/.b..c/d.csv"] {
            assert_eq!(shown(key).expect(key), format!("s3://lake/{key}"));
        }
        for key in [
            "/",
            "/a.csv",
            "a//b.csv",
            "a//",
            "./a.csv",
            "a/./b.csv",
            "a/../b.csv",
            "a\tb.csv",
            "a/b\n.csv",
            "a\r/b.csv",
        ] {
            assert!(shown(key).is_err(), "{key}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_do_not_lead_out() {
        use object_store::ObjectStoreExt;
        let outside = tempfile::tempdir().expect("folder");
        std::fs::write(outside.path().join("secret.csv"), "a\n1\n").expect("file");
        let inside = tempfile::tempdir().expect("folder");
        std::fs::write(inside.path().join("open.csv"), "a\n1\n").expect("file");
        let link = |name: &str, to: PathBuf| {
            std::os::unix::fs::symlink(to, inside.path().join(name)).expect("link");
        };
        link("secret.csv", outside.path().join("secret.csv"));
        link("folder", outside.path().to_owned());
        link("fine.csv", inside.path().join("open.csv"));
        let fenced = Fenced::new(inside.path()).expect("folder");
        let reads = async |key: &str| fenced.get(&Key::from(key)).await.is_ok();
        assert!(reads("open.csv").await);
        assert!(reads("fine.csv").await);
        assert!(!reads("secret.csv").await);
        assert!(!reads("folder/secret.csv").await);
        let listed: Vec<_> = fenced.list(None).collect().await;
        let listed = listed
            .into_iter()
            .map(|meta| meta.expect("meta").location.to_string());
        let mut listed: Vec<String> = listed.collect();
        listed.sort();
        assert_eq!(listed, ["fine.csv", "open.csv"]);
    }
}
