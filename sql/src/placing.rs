//! What `COPY` writes on this machine: beside its place first, and in its place when all of it is there.
//!
//! A file takes the place of the one that was there at once, or not at all. A folder has files more afterwards, which are moved
//! into it one after the other; where the query fails it has none.

use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::sql::parser::{CopyToStatement, Statement};
use std::fs;
use std::io::Error;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use url::Url;

/// Something that is written and not in its place yet.
#[derive(Debug)]
pub(crate) struct Placing {
    /// The place.
    place: PathBuf,
    /// Where it is until then.
    beside: PathBuf,
    /// The folder of that, which goes with this.
    _folder: TempDir,
}

impl Placing {
    /// Turns a statement that copies into files of this machine aside; none where it does something else.
    ///
    /// # Errors
    /// There is no such place.
    pub(crate) fn aside(statement: &mut Statement) -> Result<Option<Self>> {
        match statement {
            Statement::CopyTo(copy) => Self::of(copy),
            // Analyzed, it is carried out.
            Statement::Explain(explained) if explained.options.analyze => {
                Self::aside(&mut explained.statement)
            }
            _ => Ok(None),
        }
    }

    fn of(copy: &mut CopyToStatement) -> Result<Option<Self>> {
        let target = &copy.target;
        let path = match target.split_once("://") {
            None => std::path::absolute(target).ok(),
            Some(("file", _)) => Url::parse(target)
                .ok()
                .and_then(|url| url.to_file_path().ok()),
            // An object.
            Some(_) => return Ok(None),
        };
        let name = path.as_deref().and_then(Path::file_name);
        let (Some(place), Some(name)) = (&path, name) else {
            return plan_err!("{target}: no path of a file");
        };
        let is_folder = target.ends_with('/') || place.is_dir();
        let failed = |error| unplaced(place, &error);
        // Folders on the way are made when there is something to put into them.
        let there = place.ancestors().skip(1).find(|folder| folder.is_dir());
        let folder = tempfile::Builder::new()
            .prefix(".escala-")
            .tempdir_in(there.unwrap_or(Path::new("/")))
            .map_err(failed)?;
        let beside = folder.path().join(name);
        let url = match is_folder {
            true => Url::from_directory_path(&beside),
            false => Url::from_file_path(&beside),
        };
        let Ok(url) = url else {
            return plan_err!("{target}: no path of a file");
        };
        let place = place.clone();
        copy.target = url.to_string();
        Ok(Some(Self {
            place,
            beside,
            _folder: folder,
        }))
    }

    /// Puts it on the disk and in its place.
    ///
    /// # Errors
    /// That cannot be done.
    pub(crate) fn end(&self) -> Result<()> {
        let placed = moved(&self.beside, &self.place);
        placed.map_err(|error| unplaced(&self.place, &error))
    }
}

fn unplaced(place: &Path, error: &Error) -> DataFusionError {
    DataFusionError::Execution(format!("{} cannot be written: {error}", place.display()))
}

/// Moves a file, or all files of a folder; what is not there is nothing.
fn moved(from: &Path, to: &Path) -> Result<(), Error> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            moved(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if from.exists() {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::File::open(from)?.sync_all()?;
        fs::rename(from, to)?;
    }
    Ok(())
}
