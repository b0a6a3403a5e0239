//! Manifests: which objects are the inputs, as `[{"prefix": "s3://bucket/folder/"}, "one", "two"]`.

use escala_objects::{ObjectName, ObjectStore};
use serde_json::Value;
use std::io::Read;

/// Most bytes of a manifest.
const LARGEST: u64 = 64 << 20;

/// The objects that a manifest names.
pub(super) struct Manifest {
    /// Where they are.
    pub bucket: String,
    /// What their keys begin with.
    pub prefix: String,
    /// Their keys.
    pub keys: Vec<String>,
}

/// Reads a manifest; waits for the objects.
///
/// # Errors
/// It cannot be read, or is none.
pub(super) fn read(objects: &dyn ObjectStore, bucket: &str, key: &str) -> Result<Manifest, String> {
    let of = |why: &str| format!("the manifest s3://{bucket}/{key} cannot be read: {why}");
    let name = ObjectName::new(bucket, key, None).map_err(|error| of(&error.to_string()))?;
    let object = objects
        .open(&name)
        .map_err(|error| of(&error.to_string()))?;
    if object.length > LARGEST {
        return Err(of(&format!("it has more than {LARGEST} bytes")));
    }
    let mut bytes = Vec::new();
    let read = object.bytes.take(LARGEST).read_to_end(&mut bytes);
    read.map_err(|error| of(&error.to_string()))?;
    let entries: Vec<Value> = serde_json::from_slice(&bytes)
        .map_err(|_| of("it is no JSON array of a prefix and names"))?;
    let mut entries = entries.into_iter();
    let first = entries.next();
    let prefix = first.as_ref().and_then(|first| first.get("prefix"));
    let prefix = prefix.and_then(Value::as_str);
    let prefix = prefix.ok_or_else(|| of("it does not begin with {\"prefix\": …}"))?;
    let (bucket, prefix) = crate::names::s3(prefix)
        .ok_or_else(|| of(&format!("its prefix {prefix} is not s3://BUCKET/…")))?;
    let key = |entry: Value| match entry {
        Value::String(name) => Ok(format!("{prefix}{name}")),
        _ => Err(of("behind the prefix are names only")),
    };
    let keys: Vec<String> = entries.map(key).collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(of("it names nothing"));
    }
    Ok(Manifest {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        keys,
    })
}
