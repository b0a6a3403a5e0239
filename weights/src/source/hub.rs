//! A repository on a hub that speaks the Hugging Face protocol, through the `hf-hub` crate.
//!
//! `hf-hub` keeps what arrived of a file and asks for the rest next time; its folder lies with the model's
//! inputs, so a pull goes on where a killed one stopped. It sets no time limits and trusts the server's sizes, so
//! a transfer runs on a thread of its own that is watched: no byte for a while, or more bytes than pinned, and
//! it is given up.

use super::{Failure, Inbox, Settings};
use crate::catalogue::InputFile;
use crate::hash::{self, Sha256Hex};
use crate::progress::Stage;
use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Attempts per file. Each goes on where the last one stopped.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How often progress is told and the stall limit looked at.
const TICK: Duration = Duration::from_millis(250);

const HINT: &str = "check the network, or set HF_ENDPOINT to a hub that can be reached";

/// Lays down the wanted files of a repository.
pub(super) fn fetch(
    repo: &str,
    revision: &str,
    wanted: &[(&InputFile, &str)],
    inbox: &Inbox<'_>,
    settings: &Settings,
) -> Result<(), Failure> {
    let folder = inbox.files.join("hub");
    for (file, path) in wanted {
        let expected = Expected {
            name: &file.name,
            path,
            most: file.bytes,
            pinned: true,
        };
        let got = download(repo, revision, &expected, &folder, inbox, settings)?;
        let mut from = File::open(&got).map_err(|error| Failure::disk("open", &got, &error))?;
        inbox.deposit(file, &mut from).map_err(|refused| {
            // Whatever is kept would only be served again.
            clear(&folder);
            refused.into_failure(HINT)
        })?;
    }
    Ok(())
}

/// Fetches a file that nothing pins, of at most `most` bytes; it lies in the inbox until that is emptied. Where
/// the hub names it by its SHA-256 (it does so for large files) it is held to that.
pub(crate) fn fetch_any(
    repo: &str,
    commit: &str,
    path: &str,
    most: u64,
    inbox: &Inbox<'_>,
    settings: &Settings,
) -> Result<PathBuf, Failure> {
    let folder = inbox.files.join("hub");
    let expected = Expected {
        name: path,
        path,
        most,
        pinned: false,
    };
    let got = download(repo, commit, &expected, &folder, inbox, settings)?;
    // The hub crate keeps a file under its entity tag and gives a link to it.
    let got = fs::canonicalize(&got).map_err(|error| Failure::disk("find", &got, &error))?;
    let tag = got.file_name().and_then(|name| name.to_str());
    let Some(stated) = tag.and_then(|tag| tag.parse::<Sha256Hex>().ok()) else {
        return Ok(got);
    };
    let mut say = |done| inbox.tell.say(Stage::Verify, path, done, None);
    let (found, _) =
        hash::of_file(&got, &mut say).map_err(|error| Failure::disk("read", &got, &error))?;
    if found != stated {
        clear(&folder);
        return Err(Failure::transient(
            format!("{path} has SHA-256 {found}, not {stated} as the hub says"),
            HINT,
        ));
    }
    Ok(got)
}

/// What a repository is at a revision.
pub(crate) struct Listing {
    /// The commit.
    pub(crate) commit: String,
    /// The paths of its files.
    pub(crate) files: Vec<String>,
}

/// Asks the hub which commit a revision is and what is in it.
pub(crate) fn list(
    repo: &str,
    revision: &str,
    inbox: &Inbox<'_>,
    settings: &Settings,
) -> Result<Listing, Failure> {
    let folder = inbox.files.join("hub");
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let api = open(repo, revision, &folder, settings)?;
        let (send, done) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("hub listing".to_owned())
            // The receiver is gone only after the listing was given up.
            .spawn(move || drop(send.send(api.info())))
            .map_err(|error| Failure::transient(format!("cannot start a thread: {error}"), ""))?;
        let why = match done.recv_timeout(settings.stall) {
            Ok(Ok(info)) => {
                return Ok(Listing {
                    commit: info.sha,
                    files: info.siblings.into_iter().map(|s| s.rfilename).collect(),
                });
            }
            Ok(Err(error)) => match explain(repo, &error) {
                Broken::Final(failure) => return Err(failure),
                Broken::Stale(why) | Broken::Interrupted(why) => why,
            },
            Err(RecvTimeoutError::Timeout) => {
                format!("nothing came for {} seconds", settings.stall.as_secs_f32())
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::permanent(
                    format!("{repo}: the hub's answer could not be understood"),
                    "check that HF_ENDPOINT is a hub",
                ));
            }
        };
        if attempt == ATTEMPTS {
            return Err(Failure::transient(
                format!("{repo}: {why} ({ATTEMPTS} attempts)"),
                HINT,
            ));
        }
        tracing::debug!(repo, attempt, why, "listing interrupted");
        std::thread::sleep(pause);
        pause *= 2;
        attempt += 1;
    }
}

/// A file as it is asked for.
struct Expected<'a> {
    name: &'a str,
    path: &'a str,
    /// The most bytes it may have.
    most: u64,
    /// Those are exactly its bytes.
    pinned: bool,
}

fn download(
    repo: &str,
    revision: &str,
    file: &Expected<'_>,
    folder: &Path,
    inbox: &Inbox<'_>,
    settings: &Settings,
) -> Result<PathBuf, Failure> {
    let path = file.path;
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        fs::create_dir_all(folder).map_err(|error| Failure::disk("create", folder, &error))?;
        let api = open(repo, revision, folder, settings)?;
        match transfer(api, file, inbox, settings.stall) {
            Ok(got) => return Ok(got),
            Err(Broken::Final(failure)) => return Err(failure),
            Err(Broken::Stale(_)) if attempt < ATTEMPTS => clear(folder),
            Err(Broken::Interrupted(why)) if attempt < ATTEMPTS => {
                tracing::debug!(repo, path, attempt, why, "transfer interrupted");
                std::thread::sleep(pause);
                pause *= 2;
            }
            Err(Broken::Stale(why) | Broken::Interrupted(why)) => {
                return Err(Failure::transient(
                    format!("{path}: {why} ({ATTEMPTS} attempts)"),
                    HINT,
                ));
            }
        }
        attempt += 1;
    }
}

fn open(
    repo: &str,
    revision: &str,
    folder: &Path,
    settings: &Settings,
) -> Result<ApiRepo, Failure> {
    let mut builder = ApiBuilder::from_cache(Cache::new(folder.to_owned()))
        .with_progress(false)
        .with_token(settings.hub_token.0.clone())
        .with_user_agent("escala", env!("CARGO_PKG_VERSION"));
    if let Some(endpoint) = &settings.hub_endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    let api = builder
        .build()
        .map_err(|error| Failure::permanent(error.to_string(), HINT))?;
    Ok(api.repo(Repo::with_revision(
        repo.to_owned(),
        RepoType::Model,
        revision.to_owned(),
    )))
}

impl Expected<'_> {
    fn bound(&self) -> &'static str {
        if self.pinned { "pinned" } else { "allowed" }
    }
}

/// How a transfer ended without the file.
enum Broken {
    /// Trying again changes nothing.
    Final(Failure),
    /// What is kept of the file does not fit what the hub has now.
    Stale(String),
    /// The connection broke; the rest can be asked for.
    Interrupted(String),
}

/// What the transfer's thread and its watcher share.
#[derive(Default)]
struct Shared {
    /// Bytes of the file that are here.
    here: AtomicU64,
    /// Bytes that the hub says it has; 0 until it has.
    size: AtomicU64,
    /// Set when nobody waits any more.
    given_up: AtomicBool,
}

/// Counts bytes for the watcher, and ends the transfer's thread when nobody waits any more.
struct Counter(Arc<Shared>);

impl Progress for Counter {
    fn init(&mut self, size: usize, _name: &str) {
        self.0.here.store(0, Ordering::Relaxed);
        self.0.size.store(size as u64, Ordering::Relaxed);
    }

    fn update(&mut self, bytes: usize) {
        self.0.here.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.0.given_up.load(Ordering::Relaxed) {
            // `hf-hub` offers no other way to stop. Unwinding this way prints nothing.
            std::panic::resume_unwind(Box::new("transfer given up"));
        }
    }

    fn finish(&mut self) {}
}

fn transfer(
    api: ApiRepo,
    file: &Expected<'_>,
    inbox: &Inbox<'_>,
    stall: Duration,
) -> Result<PathBuf, Broken> {
    let path = file.path;
    let shared = Arc::new(Shared::default());
    let (send, done) = mpsc::sync_channel(1);
    let spawned = std::thread::Builder::new()
        .name("hub transfer".to_owned())
        .spawn({
            let (counter, path) = (Counter(shared.clone()), path.to_owned());
            // The receiver is gone only after the transfer was given up.
            move || drop(send.send(api.download_with_progress(&path, counter)))
        });
    if let Err(error) = spawned {
        return Err(Broken::Final(Failure::transient(
            format!("cannot start a thread: {error}"),
            "",
        )));
    }
    let give_up = |why: String, hint: &str| {
        shared.given_up.store(true, Ordering::Relaxed);
        // The thread may hold a lock in the folder until its socket dies; the next pull starts a new one.
        clear(&inbox.files.join("hub"));
        Err(Broken::Final(Failure::transient(why, hint)))
    };
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        match done.recv_timeout(TICK.min(stall)) {
            Ok(result) => return result.map_err(|error| explain(path, &error)),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Broken::Final(Failure::permanent(
                    format!("{path}: the hub's answer could not be understood"),
                    "check that HF_ENDPOINT is a hub",
                )));
            }
            Err(RecvTimeoutError::Timeout) => (),
        }
        let here = shared.here.load(Ordering::Relaxed);
        let size = shared.size.load(Ordering::Relaxed);
        let total = if file.pinned { file.most } else { size };
        let total = Some(total).filter(|total| *total > 0);
        let told = here.min(total.unwrap_or(here));
        inbox.tell.say(Stage::Fetch, file.name, told, total);
        if here > file.most {
            return give_up(
                format!(
                    "{path}: the hub sends more than the {} bytes {}",
                    file.most,
                    file.bound()
                ),
                HINT,
            );
        }
        if !file.pinned && size > file.most {
            return give_up(
                format!(
                    "{path}: the hub has {size} bytes, more than the {} allowed",
                    file.most
                ),
                HINT,
            );
        }
        if here != seen {
            (seen, since) = (here, Instant::now());
        } else if since.elapsed() > stall {
            return give_up(
                format!("{path}: nothing came for {} seconds", stall.as_secs_f32()),
                HINT,
            );
        }
    }
}

fn explain(path: &str, error: &ApiError) -> Broken {
    let permanent =
        |hint: &str| Broken::Final(Failure::permanent(format!("{path}: {error}"), hint));
    match error {
        ApiError::InvalidResume => Broken::Stale(error.to_string()),
        ApiError::RequestError(request) => match **request {
            ureq::Error::StatusCode(416) => Broken::Stale(error.to_string()),
            ureq::Error::StatusCode(401 | 403) => permanent(
                "check the repository's name, or set HF_TOKEN to a token that may read it",
            ),
            ureq::Error::StatusCode(404) => permanent("check the repository, revision and path"),
            _ => Broken::Interrupted(error.to_string()),
        },
        ApiError::MissingHeader(_) | ApiError::InvalidHeader(_) | ApiError::ParseIntError(_) => {
            permanent("check that HF_ENDPOINT is a hub")
        }
        _ => Broken::Interrupted(error.to_string()),
    }
}

fn clear(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %folder.display(), %error, "cannot remove what was kept of a transfer");
    }
}
