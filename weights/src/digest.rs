//! One digest for all files of a model: what tells a version from another, whatever the model is called.

use crate::builtin::Adapter;
use crate::hash::{self, Sha256Hex};
use crate::store::ModelFiles;
use std::path::Path;
use std::{fs, io};

impl ModelFiles {
    /// The digest of its files' names and digests.
    pub fn digest(&self) -> Sha256Hex {
        let files = self.manifest().files.iter();
        of(files.map(|file| (file.name.clone(), file.sha256)).collect())
    }
}

impl Adapter {
    /// The digest of its base, which has this one, together with it.
    pub fn digest(&self, base: Sha256Hex) -> Sha256Hex {
        of(vec![
            (self.base.to_owned(), base),
            ("config".to_owned(), hash::of_bytes(self.config.as_bytes())),
            ("tensors".to_owned(), hash::of_bytes(self.tensors)),
        ])
    }
}

/// The digest of a folder's files, as that of a model with these files. Reads them; folders in it are left out.
///
/// # Errors
/// Those of the file system.
pub(crate) fn of_folder(folder: &Path) -> io::Result<Sha256Hex> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if fs::metadata(entry.path())?.is_file() {
            let (digest, _) = hash::of_file(&entry.path(), &mut |_| ())?;
            files.push((entry.file_name().to_string_lossy().into_owned(), digest));
        }
    }
    Ok(of(files))
}

fn of(mut files: Vec<(String, Sha256Hex)>) -> Sha256Hex {
    files.sort();
    let lines: String = files
        .into_iter()
        .map(|(name, digest)| format!("{digest}  {name}\n"))
        .collect();
    hash::of_bytes(lines.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `sha256sum a b | sha256sum` prints.
    #[test]
    fn it_is_that_of_sha256sums_list() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b"), "two\n").unwrap();
        fs::write(folder.path().join("a"), "one\n").unwrap();
        fs::create_dir(folder.path().join("c")).unwrap();
        let digest = of_folder(folder.path()).unwrap();
        assert_eq!(
            digest.to_string(),
            "73d931e3531f13247bbc3a0108fcd0c0ef480260a5e75980db7fa6e0bc531ac4"
        );
        fs::write(folder.path().join("a"), "more\n").unwrap();
        assert_ne!(of_folder(folder.path()).unwrap(), digest);
    }

    #[test]
    fn an_adapter_changes_that_of_its_base() {
        let base = hash::of_bytes(b"base");
        let with = |tensors| Adapter {
            base: "base",
            config: "{}",
            tensors,
        };
        let digest = with(b"one").digest(base);
        assert_ne!(digest, base);
        assert_ne!(digest, with(b"two").digest(base));
        assert_ne!(digest, with(b"one").digest(hash::of_bytes(b"other")));
        assert_eq!(digest, with(b"one").digest(base));
    }
}
