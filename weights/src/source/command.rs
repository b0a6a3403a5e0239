//! Running somebody else's program under a time limit and a disk limit.
//!
//! Output goes to a file in the watched folder and not through a pipe, so that a grandchild that outlives the
//! program cannot hold us up, and so that it counts against the disk limit. The program is ended when it takes
//! too long, writes too much, or when we stop waiting for any reason.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often the folder's size is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How much of the output an error quotes.
const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 8;

/// Bounds of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    /// Most bytes that the watched folder may hold.
    pub(crate) disk: u64,
}

/// Why a run did not succeed.
#[derive(Debug)]
pub(crate) enum Error {
    /// There is no such program.
    Missing { program: String },
    /// It could not be started or waited for.
    Io(io::Error),
    /// It ended with a failure.
    Failed { status: ExitStatus, tail: String },
    /// It was ended because it took too long.
    TooLong { limit: Duration, tail: String },
    /// It was ended because it wrote too much.
    TooMuch { limit: u64 },
}

/// Runs a program to its end. `tell` hears the bytes in the watched folder now and then.
pub(crate) fn run(
    command: &mut Command,
    folder: &Path,
    limits: Limits,
    tell: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    let log = folder.join("output.log");
    let output = File::create(&log).map_err(Error::Io)?;
    let errors = output.try_clone().map_err(Error::Io)?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let started = Instant::now();
    let child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::Missing {
            program: command.get_program().to_string_lossy().into_owned(),
        },
        _ => Error::Io(error),
    })?;
    let mut child = Running(child);
    loop {
        if let Some(status) = child.0.try_wait().map_err(Error::Io)? {
            return if status.success() {
                Ok(())
            } else {
                Err(Error::Failed {
                    status,
                    tail: tail(&log),
                })
            };
        }
        let written = size_of(folder);
        tell(written);
        if written > limits.disk {
            return Err(Error::TooMuch { limit: limits.disk });
        }
        if started.elapsed() > limits.time {
            return Err(Error::TooLong {
                limit: limits.time,
                tail: tail(&log),
            });
        }
        // The standard library cannot wait for a child with a time limit, and the folder has to be looked at
        // anyway.
        std::thread::sleep(TICK);
    }
}

/// A child that does not outlive its guard.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        let ended = self.0.kill().and_then(|()| self.0.wait());
        if let Err(error) = ended {
            tracing::warn!(pid = self.0.id(), %error, "cannot end a program");
        }
    }
}

/// Bytes of all files below a folder. Files come and go while it looks; those are not counted.
fn size_of(folder: &Path) -> u64 {
    let mut folders = vec![folder.to_owned()];
    let mut total = 0u64;
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => total = total.saturating_add(found.len()),
                Err(_) => (),
            }
        }
    }
    total
}

/// The last lines of a program's output.
fn tail(log: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text
                .lines()
                .map(str::trim_end)
                .filter(|l| !l.is_empty())
                .collect();
            lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
        }
        Err(error) => format!("(its output cannot be read: {error})"),
    }
}
