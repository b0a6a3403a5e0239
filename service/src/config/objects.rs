//! The settings of buckets: the store's own, folders of this machine, and those that are elsewhere.

use super::units::Span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The store of objects that S3's clients write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3 {
    /// Folder of the store; `s3` in the data folder when absent. One server at a time uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
}

/// Buckets that are neither in the store nor in the folder of objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objects {
    /// Folders of this machine that are buckets to be read, each as `NAME=PATH`. Jobs and queries may name what is in them as
    /// files, too: `file:///PATH/…`.
    pub folders: Vec<String>,
    /// The names of those folders that jobs and `COPY` may write, too.
    pub writable: Vec<String>,
    /// By their names here: buckets of S3, Google Cloud Storage and Azure.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub remote: BTreeMap<String, RemoteBucket>,
}

/// A bucket that is elsewhere. What lets in there is in variables of the environment, never here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteBucket {
    /// `s3://bucket`, `gs://bucket` or `az://container`, and behind a slash the folder that all keys are in.
    pub url: String,
    /// The address of a service that is like S3, or of a stand-in for Google's or Azure's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// S3's region; that of the environment or `us-east-1` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Azure's storage account; that of the environment when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What the variables with the credentials have before their names.
    pub env_prefix: String,
    /// Ask without credentials.
    pub anonymous: bool,
    /// Ask without TLS.
    pub allow_http: bool,
    /// Whether the bucket is in the path of addresses, not in their host; where an endpoint is named it is when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Refuse to write.
    pub read_only: bool,
    /// Longest time for one request, which is made up to three times.
    pub timeout: Span,
}

impl Default for RemoteBucket {
    fn default() -> Self {
        Self {
            url: String::new(),
            endpoint: None,
            region: None,
            account: None,
            env_prefix: String::new(),
            anonymous: false,
            allow_http: false,
            path_style: None,
            read_only: false,
            timeout: Span::seconds(30),
        }
    }
}

#[cfg(feature = "remote")]
impl From<&RemoteBucket> for escala_objects::remote::Settings {
    fn from(bucket: &RemoteBucket) -> Self {
        Self {
            url: bucket.url.clone(),
            endpoint: bucket.endpoint.clone(),
            region: bucket.region.clone(),
            account: bucket.account.clone(),
            env_prefix: bucket.env_prefix.clone(),
            anonymous: bucket.anonymous,
            allow_http: bucket.allow_http,
            path_style: bucket.path_style,
            read_only: bucket.read_only,
            timeout: bucket.timeout.get(),
        }
    }
}

impl Objects {
    /// The folders that are buckets, by their names, where they are written as they must be.
    pub fn named(&self) -> BTreeMap<String, PathBuf> {
        let pairs = self.folders.iter().filter_map(|one| one.split_once('='));
        pairs
            .map(|(name, path)| (name.trim().to_owned(), PathBuf::from(path.trim())))
            .collect()
    }

    /// What can be wrong with the folders without looking at the disk.
    ///
    /// # Errors
    /// What is wrong first.
    fn check_folders(&self) -> Result<(), String> {
        let refused = |one: &String, why: &str| Err(format!("`objects.folders`: `{one}`: {why}"));
        for one in &self.folders {
            let Some((name, path)) = one.split_once('=') else {
                return refused(one, "this is not NAME=PATH");
            };
            if let Err(rule) = escala_objects::bucket_rules(name.trim()) {
                return refused(one, rule);
            }
            if self.remote.contains_key(name.trim()) {
                return refused(one, "a bucket of `objects.remote` has this name");
            }
            if !Path::new(path.trim()).is_absolute() {
                return refused(one, "the path does not begin at the root");
            }
        }
        let named = self.named();
        if named.len() != self.folders.len() {
            return Err("`objects.folders`: two have one name".to_owned());
        }
        match self.writable.iter().find(|name| !named.contains_key(*name)) {
            Some(name) => Err(format!(
                "`objects.writable`: `{name}` is none of the names in `objects.folders`"
            )),
            None => Ok(()),
        }
    }

    /// What can be wrong with them without looking at the environment.
    ///
    /// # Errors
    /// What is wrong first.
    #[cfg(feature = "remote")]
    pub(super) fn check(&self) -> Result<(), String> {
        self.check_folders()?;
        for (name, bucket) in &self.remote {
            let settings = escala_objects::remote::Settings::from(bucket);
            settings.check(name).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    #[cfg(not(feature = "remote"))]
    pub(super) fn check(&self) -> Result<(), String> {
        self.check_folders()?;
        match self.remote.is_empty() {
            true => Ok(()),
            false => {
                Err("this build has no clients of other places (its feature `remote`)".to_owned())
            }
        }
    }
}
