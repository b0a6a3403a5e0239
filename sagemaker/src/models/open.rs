//! Models that are open: opened once for all that ask, and closed for those that need the memory.

use super::{BATCH, Definition, Models, Unopened};
use crate::names::{Kind, repository};
use crate::refusal::Refusal;
use crate::served::{Container, Served};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a model stays open that nobody holds any more.
const GRACE: Duration = Duration::from_secs(5);

/// An open model, or one that is being opened.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) open: Mutex<Option<Open>>,
    /// Bytes of memory that it holds, for whoever cannot wait until it is open.
    bytes: AtomicU64,
}

#[derive(Clone)]
pub(super) struct Open {
    served: Arc<dyn Served>,
    /// Its files stay while it is open.
    _folder: Option<Arc<()>>,
    used: Instant,
    keep: Keep,
}

/// When a model that nobody holds is closed, beside that others need its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Soon: whoever opened it holds it while it answers.
    Held,
    /// Where nobody asks for a while.
    Idle,
    /// Never.
    Room,
}

impl Models {
    /// The model of a name, open. May take long.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open(&self, name: &str) -> std::result::Result<Arc<dyn Served>, Unopened> {
        self.open_as(&self.definition(name)?, None, Keep::Held)
    }

    /// The model of a name, as transform jobs have it: what a job says of the environment goes before what the model says, and
    /// containers are told that they answer a batch. May take long.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open_for_batch(
        &self,
        name: &str,
        environment: &BTreeMap<String, String>,
    ) -> std::result::Result<Arc<dyn Served>, Unopened> {
        let mut definition = self.definition(name)?;
        let own = &mut definition.environment;
        own.extend(environment.clone());
        own.insert(BATCH.to_owned(), "true".to_owned());
        self.open_as(&definition, None, Keep::Held)
    }

    /// One of the models whose archives begin with the prefix of a multi-model's data. May take long.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open_target(
        &self,
        name: &str,
        target: &str,
    ) -> std::result::Result<Arc<dyn Served>, Unopened> {
        self.open_as(&self.definition(name)?, Some(target), Keep::Room)
    }

    /// What the model of a name is.
    ///
    /// # Errors
    /// [`Unopened::Absent`].
    pub fn definition(&self, name: &str) -> std::result::Result<Definition, Unopened> {
        let found = self.store.get(Kind::Model, name);
        let found = found.map_err(|error| Unopened::Failed(Refusal::from(error).message))?;
        let found = found.as_ref().and_then(Definition::of);
        found.ok_or_else(|| Unopened::Absent(format!("there is no model {name}")))
    }

    /// A model that is open already; never waits for one that is being opened.
    pub fn opened(&self, what: &Definition, target: Option<&str>) -> Option<Arc<dyn Served>> {
        let slot = self.slots.lock().get(&what.key(target)).map(Arc::clone)?;
        let mut open = slot.open.try_lock()?;
        let open = open.as_mut()?;
        open.used = Instant::now();
        self.counts.hits.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(&open.served))
    }

    /// A model, open. May take long.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open_as(
        &self,
        what: &Definition,
        target: Option<&str>,
        keep: Keep,
    ) -> std::result::Result<Arc<dyn Served>, Unopened> {
        let key = what.key(target);
        let slot = Arc::clone(self.slots.lock().entry(key).or_default());
        // One opens it, the others wait for it here.
        let mut open_slot = slot.open.lock();
        if let Some(open) = open_slot.as_mut() {
            open.used = Instant::now();
            open.keep = open.keep.max(keep);
            let served = Arc::clone(&open.served);
            let place = Arc::clone(self.slots.lock().entry(key).or_insert_with(|| slot.clone()));
            if Arc::ptr_eq(&place, &slot) {
                self.counts.hits.fetch_add(1, Ordering::Relaxed);
                return Ok(served);
            }
            // It was closed while this waited, and another opens it.
            drop(open_slot);
            return self.open_as(what, target, keep);
        }
        let opened = self.load(what, target).and_then(|(served, folder)| {
            // Whatever it says, it counts as one that is open.
            let bytes = served.memory().max(1);
            let settling = self.settling.lock();
            self.room(bytes)?;
            slot.bytes.store(bytes, Ordering::Relaxed);
            // One that failed before may have taken the place away.
            self.slots.lock().insert(key, Arc::clone(&slot));
            drop(settling);
            Ok(Open {
                served,
                _folder: folder,
                used: Instant::now(),
                keep,
            })
        });
        match opened {
            Ok(new) => {
                self.counts.loads.fetch_add(1, Ordering::Relaxed);
                let served = Arc::clone(&new.served);
                *open_slot = Some(new);
                Ok(served)
            }
            Err(why) => {
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
                let mut slots = self.slots.lock();
                if slots.get(&key).is_some_and(|one| Arc::ptr_eq(one, &slot)) {
                    slots.remove(&key);
                }
                Err(why)
            }
        }
    }

    /// Bytes of memory that open models hold, and how many there are.
    pub fn held(&self) -> (u64, usize) {
        let slots = self.slots.lock();
        let held = slots
            .values()
            .map(|slot| slot.bytes.load(Ordering::Relaxed));
        held.filter(|bytes| *bytes > 0)
            .fold((0, 0), |(bytes, count), one| (bytes + one, count + 1))
    }

    /// Closes models that nobody holds until so many bytes more fit.
    fn room(&self, bytes: u64) -> std::result::Result<(), Unopened> {
        let mut slots = self.slots.lock();
        let mut held = 0;
        let mut idle = Vec::new();
        for (key, slot) in slots.iter() {
            let bytes = slot.bytes.load(Ordering::Relaxed);
            held += bytes;
            // What is locked is being opened, or just being handed out.
            if let Some(open) = slot.open.try_lock()
                && let Some(open) = open.as_ref()
                && Arc::strong_count(&open.served) == 1
            {
                idle.push((open.used, bytes, *key));
            }
        }
        idle.sort();
        let free: u64 = idle.iter().map(|(_, bytes, _)| bytes).sum();
        if held - free + bytes > self.options.memory {
            return Err(Unopened::Full(format!(
                "the model takes {bytes} bytes of memory, and of {} for all open models {} are held by models that answer",
                self.options.memory,
                held - free
            )));
        }
        let mut closed = Vec::new();
        for (_, freed, key) in idle {
            if held + bytes <= self.options.memory {
                break;
            }
            closed.extend(slots.remove(&key));
            held -= freed;
            self.counts.evictions.fetch_add(1, Ordering::Relaxed);
        }
        // Closing may take long; others need not wait for it.
        drop(slots);
        Ok(())
    }

    /// Closes models that nobody holds: of those that are closed when idle, what nobody asked for since.
    pub fn sweep(&self, since: Duration) {
        let mut closed = Vec::new();
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| {
            let Some(open) = slot.open.try_lock() else {
                return true;
            };
            let stays = open.as_ref().is_none_or(|open| {
                let most = match open.keep {
                    Keep::Held => GRACE.min(since),
                    Keep::Idle => since,
                    Keep::Room => return true,
                };
                Arc::strong_count(&open.served) > 1 || open.used.elapsed() < most
            });
            drop(open);
            if !stays {
                self.counts.evictions.fetch_add(1, Ordering::Relaxed);
                closed.push(Arc::clone(slot));
            }
            stays
        });
        drop(slots);
    }

    #[allow(clippy::type_complexity)] // A model and what holds its files.
    fn load(
        &self,
        what: &Definition,
        target: Option<&str>,
    ) -> std::result::Result<(Arc<dyn Served>, Option<Arc<()>>), Unopened> {
        let place = self.place(what, target)?;
        let _turn = self.turn();
        let repository = repository(&what.image);
        let fetched = match place {
            None => None,
            Some(place) => Some(self.fetch(&place, what.pinned.as_deref())?),
        };
        let container = Container {
            repository,
            environment: &what.environment,
            folder: fetched.as_ref().map(|(folder, _)| folder.as_path()),
        };
        unscripted(&container).map_err(Unopened::Failed)?;
        for opener in &self.openers {
            let opened = std::panic::catch_unwind(AssertUnwindSafe(|| opener.open(&container)));
            let broke = || Some(Err("opening the model broke; the log says where".to_owned()));
            match opened.unwrap_or_else(|_| broke()) {
                None => {}
                Some(Ok(served)) => return Ok((served, fetched.map(|(_, held)| held))),
                Some(Err(why)) => return Err(Unopened::Failed(why)),
            }
        }
        Err(Unopened::Failed(format!(
            "nothing here runs the image {}; {}",
            what.image,
            self.accepted()
        )))
    }

    /// What images are run.
    pub(super) fn accepted(&self) -> String {
        let accepted: Vec<_> = self.openers.iter().map(|opener| opener.accepts()).collect();
        format!("what is run: {}", accepted.join("; "))
    }

    /// A turn to open models: so many at a time.
    fn turn(&self) -> Turn<'_> {
        let mut free = self.free.lock();
        while *free == 0 {
            self.freed.wait(&mut free);
        }
        *free -= 1;
        Turn(self)
    }
}

struct Turn<'a>(&'a Models);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

/// Whether a model is to be answered for by a script of its own: that is not run, and other answers would be none of its.
fn unscripted(container: &Container<'_>) -> std::result::Result<(), String> {
    let said = |name: &str| container.environment.get(name).map(String::as_str);
    let program = said("SAGEMAKER_PROGRAM").filter(|name| !name.is_empty());
    let elsewhere = said("SAGEMAKER_SUBMIT_DIRECTORY").is_some_and(|at| at.starts_with("s3://"));
    let script = program.unwrap_or("inference.py");
    let code = container.folder.map(|folder| folder.join("code"));
    let inside = code.is_some_and(|code| code.join(script).is_file());
    match inside || (elsewhere && program.is_some()) {
        false => Ok(()),
        true => Err(format!(
            "the model is answered for by a script, {script}, and scripts are not run here; without it (and without SAGEMAKER_PROGRAM) \
             the model's files are hosted by themselves"
        )),
    }
}
