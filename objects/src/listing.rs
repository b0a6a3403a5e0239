//! A page of a bucket as S3 lists it: objects, and what they have in common up to a delimiter.

use crate::{Error, Listed, ObjectStore, after_all_with};

/// Most objects that are asked for at once.
const BATCH: usize = 1000;

/// What a page is of.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What its keys begin with.
    pub prefix: &'a str,
    /// Where keys that have it behind the prefix are put together.
    pub delimiter: Option<&'a str>,
    /// The last entry of the page before: a key, or a common prefix.
    pub after: &'a str,
    /// Most entries.
    pub most: usize,
}

/// A page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Its objects.
    pub objects: Vec<Listed>,
    /// Its common prefixes.
    pub prefixes: Vec<String>,
    /// The last entry, where there are more.
    pub next: Option<String>,
}

/// The common prefix that a key falls under.
fn common<'a>(key: &'a str, page: &Page<'_>) -> Option<&'a str> {
    let delimiter = page.delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let rest = key.strip_prefix(page.prefix)?;
    let at = rest.find(delimiter)?;
    Some(&key[..page.prefix.len() + at + delimiter.len()])
}

/// A page of a bucket. What lies under a common prefix is not looked at: the cost is that of the entries.
///
/// # Errors
/// Those of [`ObjectStore::list`].
pub fn page(store: &dyn ObjectStore, bucket: &str, page: &Page<'_>) -> Result<Listing, Error> {
    let mut listing = Listing::default();
    let mut after = match common(page.after, page) {
        Some(common) if common == page.after => after_all_with(common),
        _ => page.after.to_owned(),
    };
    if page.most == 0 {
        store.list(bucket, page.prefix, &after, 0)?;
        return Ok(listing);
    }
    let mut last = String::new();
    let (mut entries, mut batch) = (0, BATCH);
    loop {
        // One more than has room says whether the page is the last.
        let asked = batch.min(page.most - entries + 1);
        let found = store.list(bucket, page.prefix, &after, asked)?;
        let all = found.len() < asked;
        batch = (batch * 2).min(BATCH);
        let mut skipped = false;
        for object in found {
            if entries == page.most {
                listing.next = Some(last);
                return Ok(listing);
            }
            entries += 1;
            if let Some(common) = common(&object.key, page) {
                common.clone_into(&mut last);
                after = after_all_with(common);
                listing.prefixes.push(common.to_owned());
                // Few objects are of use where many entries are prefixes.
                (skipped, batch) = (true, 2);
                break;
            }
            last.clone_from(&object.key);
            after.clone_from(&object.key);
            listing.objects.push(object);
        }
        if all && !skipped {
            return Ok(listing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn entries(listing: &Listing) -> (Vec<&str>, Vec<&str>) {
        let keys = listing.objects.iter().map(|object| &*object.key);
        (
            keys.collect(),
            listing.prefixes.iter().map(|p| &**p).collect(),
        )
    }

    /// Every page of every length is what it would be if all keys were looked at.
    #[test]
    fn pages_are_those_of_the_whole() {
        let store = Memory::default();
        let keys = [
            "a",
            "a/",
            "a/1",
            "a/2",
            "a/b/1",
            "a/b/2",
            "a//",
            "a//x",
            "b",
            "b0",
            "c/d/e",
            "größe/1",
            "größe/2",
            "z/",
            "zz",
        ];
        for key in keys {
            store.put("bucket", key, b"");
        }
        for prefix in ["", "a", "a/", "a/b/", "g", "none", "z/"] {
            for delimiter in [None, Some("/"), Some("b"), Some("ö"), Some("")] {
                let whole = |after: &str, most| {
                    let of = Page {
                        prefix,
                        delimiter,
                        after,
                        most,
                    };
                    page(&store, "bucket", &of).expect("listed")
                };
                let all = whole("", 1000);
                assert_eq!(all.next, None);
                let mut wanted: (Vec<&str>, Vec<&str>) = Default::default();
                let mut sorted = keys;
                sorted.sort_unstable();
                for key in sorted.into_iter().filter(|key| key.starts_with(prefix)) {
                    let rest = &key[prefix.len()..];
                    let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty());
                    match delimiter.and_then(|d| Some(prefix.len() + rest.find(d)? + d.len())) {
                        None => wanted.0.push(key),
                        Some(end) if wanted.1.last() == Some(&&key[..end]) => (),
                        Some(end) => wanted.1.push(&key[..end]),
                    }
                }
                assert_eq!(entries(&all), wanted, "{prefix:?} {delimiter:?}");
                for most in 1..5 {
                    let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
                    let mut after = String::new();
                    loop {
                        let part = whole(&after, most);
                        let count = part.objects.len() + part.prefixes.len();
                        objects.extend(part.objects);
                        prefixes.extend(part.prefixes);
                        let Some(next) = part.next else { break };
                        assert_eq!(count, most);
                        after = next;
                    }
                    assert_eq!(
                        (objects, prefixes),
                        (all.objects.clone(), all.prefixes.clone())
                    );
                }
                assert_eq!(whole("", 0), Listing::default());
            }
        }
        let none = Page {
            prefix: "",
            delimiter: None,
            after: "",
            most: 0,
        };
        assert!(matches!(
            page(&store, "none", &none),
            Err(Error::NoBucket(_))
        ));
    }
}
