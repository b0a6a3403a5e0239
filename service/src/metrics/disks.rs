//! How full the disks are under the folders that the server writes.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Appends the bytes that are free for this process, and all bytes, of the file systems of folders, by what the folders are
/// for. Of a folder that is not made yet it is that of the nearest one above it; what cannot be looked at is left out. May
/// wait for a disk.
pub fn write(folders: &[(&'static str, PathBuf)], out: &mut String) {
    let found: Vec<_> = folders
        .iter()
        .filter_map(|(what, folder)| Some((*what, space(folder)?)))
        .collect();
    let mut gauge = |name: &str, help: &str, value: fn(&Space) -> u64| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (what, space) in &found {
            let _ = writeln!(out, "{name}{{folder=\"{what}\"}} {}", value(space));
        }
    };
    gauge(
        "escala_disk_free_bytes",
        "Bytes free for the server in the file system of a folder.",
        |space| space.free,
    );
    gauge(
        "escala_disk_size_bytes",
        "Bytes of the file system of a folder.",
        |space| space.size,
    );
}

struct Space {
    free: u64,
    size: u64,
}

fn space(folder: &Path) -> Option<Space> {
    let there = folder.ancestors().find(|folder| folder.is_dir())?;
    let found = rustix::fs::statvfs(there).ok()?;
    Some(Space {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        size: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_made_yet_is_on_the_disk_of_the_one_above() {
        let folder = tempfile::tempdir().expect("folder");
        let below = folder.path().join("not/made");
        let mut text = String::new();
        write(&[("data", below), ("models", "relative".into())], &mut text);
        let value = |name: &str| -> Option<f64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok())
        };
        let free = value("escala_disk_free_bytes{folder=\"data\"}").expect(&text);
        let size = value("escala_disk_size_bytes{folder=\"data\"}").expect(&text);
        assert!(0.0 < free && free <= size, "{text}");
        assert!(!text.contains("models"), "{text}");
    }
}
