//! Pages of a bucket in the order of the keys' bytes.
//!
//! S3 and Google list in that order and begin where they are told. What does neither (Azure with folders, and what it was
//! made like) is read as a whole for each page, of which the smallest keys are kept: that is right in any order, and costs as
//! many requests as the prefix has thousands of objects. A service of the first kind whose keys turn out to come in another
//! order is treated as one of the second from then on.

use super::{Bucket, etag, modified};
use crate::{Error, Listed};
use object_store::ObjectMeta;
use object_store::list::PaginatedListOptions;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;

/// Most keys that a service is asked for at once.
const BATCH: usize = 1000;
/// Most answers in a row that list nothing and say that there is more.
const BARREN: usize = 1000;

/// What a service lists at once.
struct Page {
    listed: Vec<Listed>,
    /// Whether it has anything, listed or not.
    any: bool,
    /// What the next is asked for with.
    token: Option<String>,
}

impl Bucket {
    fn listed(&self, about: &ObjectMeta) -> Option<Listed> {
        let key = about.location.as_ref().strip_prefix(&self.root)?;
        let key = Some(key).filter(|key| !key.is_empty())?;
        Some(Listed {
            key: key.to_owned(),
            length: about.size,
            etag: etag(about),
            modified: modified(about),
        })
    }

    async fn some(&self, prefix: &str, options: PaginatedListOptions) -> Result<Page, Error> {
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        let page = self.ask(None, self.service.list_paginated(prefix, options));
        let page = page.await?;
        self.seen.store(true, Ordering::Relaxed);
        let objects = &page.result.objects;
        Ok(Page {
            listed: objects.iter().filter_map(|one| self.listed(one)).collect(),
            any: !objects.is_empty(),
            token: page.page_token,
        })
    }

    /// See [`crate::ObjectStore::list`].
    pub async fn list(&self, prefix: &str, after: &str, most: usize) -> Result<Vec<Listed>, Error> {
        let mut asked = format!("{}{prefix}", self.root);
        if self.azure && !prefix.is_empty() {
            // What has the shorter prefix only is left out below.
            asked.pop();
        }
        if self.ordered.load(Ordering::Relaxed) {
            match self.in_order(&asked, prefix, after, most).await? {
                Some(page) => return Ok(page),
                None => {
                    let bucket = &self.name;
                    tracing::warn!(bucket, "it is not listed in the order of keys");
                    self.ordered.store(false, Ordering::Relaxed);
                }
            }
        }
        self.in_any_order(&asked, prefix, after, most).await
    }

    /// A page of a service that lists in order; none where it does not.
    async fn in_order(
        &self,
        asked: &str,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Option<Vec<Listed>>, Error> {
        // What comes after every key with a prefix is longer than services take. Less of it lets come what is left out below.
        let shorter = after.trim_end_matches(char::MAX);
        let offset = match shorter.len() == after.len() {
            true => after.to_owned(),
            false => format!("{shorter}{}", char::MAX),
        };
        let offset = (after > prefix).then(|| format!("{}{offset}", self.root));
        let (mut found, mut last): (Vec<Listed>, String) = Default::default();
        let (mut token, mut barren) = (None, 0);
        loop {
            let options = PaginatedListOptions {
                offset: offset.clone(),
                max_keys: Some((most - found.len()).clamp(1, BATCH)),
                page_token: token,
                ..PaginatedListOptions::default()
            };
            let page = self.some(asked, options).await?;
            for listed in page.listed {
                if !last.is_empty() && listed.key <= last {
                    return Ok(None);
                }
                last.clone_from(&listed.key);
                if listed.key.starts_with(prefix) && *listed.key > *after && found.len() < most {
                    found.push(listed);
                }
            }
            token = page.token;
            if token.is_none() || found.len() == most {
                return Ok(Some(found));
            }
            barren = self.barren(barren, page.any)?;
        }
    }

    /// A page of a service that lists in any order.
    async fn in_any_order(
        &self,
        asked: &str,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Listed>, Error> {
        let mut smallest: BTreeMap<String, Listed> = BTreeMap::new();
        let (mut token, mut barren) = (None, 0);
        loop {
            let options = PaginatedListOptions {
                page_token: token,
                ..PaginatedListOptions::default()
            };
            let page = self.some(asked, options).await?;
            for listed in page.listed {
                if listed.key.starts_with(prefix) && *listed.key > *after {
                    smallest.insert(listed.key.clone(), listed);
                    if smallest.len() > most {
                        smallest.pop_last();
                    }
                }
            }
            token = page.token;
            if token.is_none() || most == 0 {
                return Ok(smallest.into_values().collect());
            }
            barren = self.barren(barren, page.any)?;
        }
    }

    /// Answers in a row without anything. A service that goes on like that for ever is not gone along with.
    fn barren(&self, before: usize, any: bool) -> Result<usize, Error> {
        match if any { 0 } else { before + 1 } {
            now if now < BARREN => Ok(now),
            _ => Err(Error::Unavailable(io::Error::other(
                "the service lists nothing again and again",
            ))),
        }
    }

    /// Whether the bucket is there, as far as it may be asked; asked once.
    pub async fn is_there(&self) -> Result<(), Error> {
        if self.seen.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.list("", "", 0).await {
            // Some may write and not list.
            Ok(_) | Err(Error::Denied) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
