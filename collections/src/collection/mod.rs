//! One collection: its journal and its faces; its users are in `users.rs`, what is in memory in `state.rs`.
//!
//! A change is made in three steps: checked against the state, written to the journal, applied to the state. Only the
//! last can be seen, so nothing that is seen can be lost. Writers come one after the other (`journal` is their lock);
//! the state's lock is held for as long as it takes to change or copy a few things in memory.

mod state;
mod types;
mod users;

pub use types::*;

use crate::event::{Event, Indexed};
use crate::journal::{Journal, VERSION, sync_folder};
use crate::library::Limits;
use crate::vectors::Hit;
use crate::{Descriptor, Error, FaceId, Result, io};
use escala_models::team::Team;
use parking_lot::{Mutex, RwLock};
use state::State;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use users::user_id;
use uuid::Uuid;

/// The journal's name in a collection's folder.
pub(crate) const JOURNAL: &str = "faces.log";

/// The file's beside it that has the collection's id.
const ID: &str = "id";

/// The new journal's, while the old one is made smaller.
const SMALLER: &str = "faces.new";

/// Deleted faces that a collection may hold before its journal is written anew, if they are half of all.
const GARBAGE: usize = 4096;

/// A collection that is open.
pub struct Collection {
    folder: PathBuf,
    limits: Limits,
    /// Of its descriptors; it stays while the collection is open.
    version: u32,
    /// The lock of writers, who hold it while they wait for the disk.
    journal: Mutex<Journal>,
    state: RwLock<State>,
}

/// Whether a text is a collection's id, by AWS's rule.
pub(crate) fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=255).contains(&text.len()) && text.bytes().all(plain)
}

/// Keeps a collection's id beside its journal.
fn keep_id(folder: &Path, id: &str) -> Result<()> {
    let path = folder.join(ID);
    let written = fs::File::create(&path).and_then(|mut file| {
        file.write_all(id.as_bytes())?;
        file.sync_all()
    });
    written.map_err(io("write", &path))
}

/// Checks that tags can be written: a text in the journal has at most 64 KB.
pub(crate) fn fits(tags: &BTreeMap<String, String>) -> Result<()> {
    let long = |text: &String| text.len() > usize::from(u16::MAX);
    if tags.iter().any(|(key, value)| long(key) || long(value)) {
        return Err(Error::Invalid(
            "a tag is longer than 65,535 bytes".to_owned(),
        ));
    }
    Ok(())
}

/// Checks that faces have numbers only: others would be found nowhere, or everywhere.
fn finite(faces: &[NewFace]) -> Result<()> {
    let finite = |face: &NewFace| {
        let numbers = face.descriptor.iter().chain(&face.place);
        numbers
            .chain([&face.confidence])
            .all(|number| number.is_finite())
    };
    if !faces.iter().all(finite) {
        return Err(Error::Invalid(
            "a face has something that is not a number".to_owned(),
        ));
    }
    Ok(())
}

/// Gives faces their ids.
fn named(faces: &[NewFace]) -> Vec<Indexed> {
    let faces = faces.iter().map(|face| Indexed {
        id: Uuid::new_v4(),
        place: face.place,
        confidence: face.confidence,
        descriptor: face.descriptor,
    });
    faces.collect()
}

impl Collection {
    /// Writes a new collection to a folder that is there and empty.
    pub(crate) fn create(
        folder: &Path,
        id: &str,
        created: u64,
        tags: BTreeMap<String, String>,
    ) -> Result<()> {
        let created = Event::Created {
            id: id.to_owned(),
            at: created,
        };
        let events = [created, Event::Tagged { tags }];
        let events = events.iter().map(Event::to_bytes);
        keep_id(folder, id)?;
        Journal::create(&folder.join(JOURNAL), VERSION, events)?;
        sync_folder(folder)
    }

    /// The id of the collection in a folder, and its version, also of one that [`Collection::open`] would refuse. Where the
    /// journal's beginning is damaged, the id that was kept beside it, and no version.
    pub(crate) fn peek(folder: &Path) -> Result<(String, u32)> {
        let path = folder.join(JOURNAL);
        let beside = folder.join(ID);
        let damaged = match Journal::first(&path) {
            Ok((version, first)) => match first.as_deref().and_then(Event::of_bytes) {
                Some(Event::Created { id, .. }) => {
                    // Of a collection that was made before ids were kept there, or copied without it.
                    if !beside.exists()
                        && let Err(error) = keep_id(folder, &id)
                    {
                        tracing::warn!(%error, "a collection's id cannot be kept beside it");
                    }
                    return Ok((id, version));
                }
                _ => Error::Format {
                    path,
                    why: "it does not begin with a collection".to_owned(),
                },
            },
            Err(error @ Error::Format { .. }) => error,
            Err(error) => return Err(error),
        };
        match fs::read_to_string(&beside) {
            Ok(id) if is_id(&id) => {
                tracing::error!(id, error = %damaged, "a collection is damaged");
                Ok((id, 0))
            }
            _ => Err(damaged),
        }
    }

    /// Reads the collection in a folder.
    pub(crate) fn open(folder: &Path, limits: Limits) -> Result<Self> {
        let path = folder.join(JOURNAL);
        let wrong = |why: String| Error::Format {
            path: path.clone(),
            why,
        };
        let mut state: Option<State> = None;
        let journal = Journal::open(&path, |payload| {
            let event = Event::of_bytes(payload).ok_or_else(|| {
                wrong("it holds something that this program does not know".to_owned())
            })?;
            match (&mut state, event) {
                (None, Event::Created { id, at }) => state = Some(State::new(id, at)),
                (Some(state), event) => state.apply(event).map_err(wrong)?,
                (None, _) => return Err(wrong("it does not begin with a collection".to_owned())),
            }
            Ok(())
        })?;
        let state = state.ok_or_else(|| wrong("it is empty".to_owned()))?;
        let collection = Self {
            folder: folder.to_owned(),
            limits,
            version: journal.version(),
            journal: Mutex::new(journal),
            state: RwLock::new(state),
        };
        collection.tidy(&mut collection.journal.lock());
        Ok(collection)
    }

    /// Writes an event and makes it true.
    fn commit(&self, journal: &mut Journal, event: Event) -> Result<()> {
        journal.append(&event.to_bytes())?;
        let applied = self.state.write().apply(event);
        applied.map_err(|why| Error::Format {
            path: self.folder.join(JOURNAL),
            why,
        })
    }

    /// Makes the journal smaller where that is due. What was asked is done already, so a disk that refuses is a matter
    /// for the log; it is tried again with the next deletion.
    fn tidy(&self, journal: &mut Journal) {
        if let Err(error) = self.shrink(journal) {
            tracing::warn!(%error, "the journal cannot be made smaller");
        }
    }

    /// Writes the journal anew when half of what it holds is deleted.
    fn shrink(&self, journal: &mut Journal) -> Result<()> {
        let (all, live) = {
            let state = self.state.read();
            (state.vectors.len(), state.live)
        };
        if all - live < GARBAGE.max(live) {
            return Ok(());
        }
        let (path, smaller) = (self.folder.join(JOURNAL), self.folder.join(SMALLER));
        // Left behind by a crash, or by a disk that was full.
        match fs::remove_file(&smaller) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("remove", &smaller)(error));
            }
            _ => (),
        }
        let mut anew = {
            let state = self.state.read();
            let mut anew = State::new(state.id.clone(), state.created);
            let events = state.events().map(|event| event.to_bytes());
            let written = Journal::create(&smaller, self.version, events)?;
            for event in state.events().skip(1) {
                anew.apply(event).map_err(|why| Error::Format {
                    path: smaller.clone(),
                    why,
                })?;
            }
            fs::rename(&smaller, &path).map_err(io("rename", &smaller))?;
            *journal = written;
            anew
        };
        sync_folder(&self.folder)?;
        std::mem::swap(&mut anew, &mut self.state.write());
        tracing::info!(
            collection = anew.id,
            faces = live,
            "journal written anew without deleted faces"
        );
        Ok(())
    }

    /// Whether its faces can be compared with those that this version describes.
    ///
    /// # Errors
    /// [`Error::Earlier`].
    pub fn comparable(&self) -> Result<()> {
        match self.version {
            VERSION => Ok(()),
            _ => Err(Error::Earlier(self.state.read().id.clone())),
        }
    }

    /// The version of its descriptors, [`VERSION`] at most.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What the collection says of itself.
    pub fn describe(&self) -> Description {
        let state = self.state.read();
        Description {
            version: self.version,
            id: state.id.clone(),
            faces: state.live,
            users: state.users.len(),
            created: state.created,
        }
    }

    /// Its tags.
    pub fn tags(&self) -> BTreeMap<String, String> {
        self.state.read().tags.clone()
    }

    /// Sets some tags and removes others.
    ///
    /// # Errors
    /// When there would be too many, or the disk refuses.
    pub fn tag(&self, set: BTreeMap<String, String>, remove: &[String]) -> Result<()> {
        fits(&set)?;
        let mut journal = self.journal.lock();
        let mut tags = self.tags();
        tags.retain(|key, _| !remove.contains(key));
        tags.extend(set);
        if tags.len() > self.limits.tags {
            return Err(Error::Limit {
                what: "the tags of a collection",
                most: self.limits.tags,
            });
        }
        self.commit(&mut journal, Event::Tagged { tags })
    }

    /// Adds the faces of one image, all or none; gives their ids in order.
    ///
    /// # Errors
    /// When a face or name cannot be stored, the collection is full, or the disk refuses.
    pub fn index(
        &self,
        image: Uuid,
        external: Option<&str>,
        faces: &[NewFace],
    ) -> Result<Vec<FaceId>> {
        self.add(image, external, faces, false)
    }

    /// As [`Collection::index`]; a face that is there already, of the same image in the same place, is not stored again:
    /// its id is given. Looks at every face.
    ///
    /// # Errors
    /// Those of [`Collection::index`].
    pub fn index_once(
        &self,
        image: Uuid,
        external: Option<&str>,
        faces: &[NewFace],
    ) -> Result<Vec<FaceId>> {
        self.add(image, external, faces, true)
    }

    fn add(
        &self,
        image: Uuid,
        external: Option<&str>,
        faces: &[NewFace],
        once: bool,
    ) -> Result<Vec<FaceId>> {
        if external.is_some_and(|name| name.len() > usize::from(u8::MAX)) {
            return Err(Error::Invalid(
                "a name of an image is longer than 255 bytes".to_owned(),
            ));
        }
        finite(faces)?;
        if faces.is_empty() {
            return Ok(Vec::new());
        }
        self.comparable()?;
        let mut journal = self.journal.lock();
        let there = match once {
            true => self.state.read().of_image(image),
            false => Vec::new(),
        };
        let known = |face: &NewFace| {
            let mut there = there.iter();
            there
                .find(|(place, _)| *place == face.place)
                .map(|(_, id)| *id)
        };
        let known: Vec<Option<FaceId>> = faces.iter().map(known).collect();
        let new: Vec<NewFace> = faces
            .iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none())
            .map(|(face, _)| face.clone())
            .collect();
        if new.is_empty() {
            return Ok(known.into_iter().flatten().collect());
        }
        self.room(new.len())?;
        let new = named(&new);
        let mut ids = new
            .iter()
            .map(|face| face.id)
            .collect::<Vec<_>>()
            .into_iter();
        let ids = known
            .into_iter()
            .filter_map(|known| known.or_else(|| ids.next()));
        let ids = ids.collect();
        let event = Event::Indexed {
            image,
            external: external.map(str::to_owned),
            faces: new,
        };
        self.commit(&mut journal, event)?;
        Ok(ids)
    }

    /// Says what is known of a user, who is made where there is none, and adds faces of one image that are its: all or
    /// nothing. Gives the faces' ids in order.
    ///
    /// # Errors
    /// When a face or text cannot be stored, something would be too many, or the disk refuses.
    pub fn introduce(
        &self,
        user: &str,
        about: &str,
        image: Uuid,
        faces: &[NewFace],
    ) -> Result<Vec<FaceId>> {
        user_id(user)?;
        if about.len() > usize::from(u16::MAX) {
            return Err(Error::Invalid(
                "what is said of a user is longer than 65,535 bytes".to_owned(),
            ));
        }
        finite(faces)?;
        self.comparable()?;
        let mut journal = self.journal.lock();
        self.room(faces.len())?;
        {
            let state = self.state.read();
            let known = state.group(user).map(|group| group.faces.len());
            if known.is_none() {
                self.room_for_a_user(&state)?;
            }
            if known.unwrap_or(0) + faces.len() > self.limits.faces_of_user {
                return Err(Error::Limit {
                    what: "the faces of a user",
                    most: self.limits.faces_of_user,
                });
            }
        }
        let faces = named(faces);
        let ids = faces.iter().map(|face| face.id).collect();
        let event = Event::Introduced {
            user: user.to_owned(),
            about: about.to_owned(),
            image,
            faces,
        };
        self.commit(&mut journal, event)?;
        Ok(ids)
    }

    /// Takes a user away with its faces.
    ///
    /// # Errors
    /// [`Error::NoUser`]; when the disk refuses.
    pub fn remove(&self, user: &str) -> Result<()> {
        let mut journal = self.journal.lock();
        self.user(user)?;
        let user = user.to_owned();
        self.commit(&mut journal, Event::Removed { user })?;
        self.tidy(&mut journal);
        Ok(())
    }

    /// Checks that so many faces more can be kept.
    fn room(&self, faces: usize) -> Result<()> {
        if self.state.read().live + faces > self.limits.faces {
            return Err(Error::Limit {
                what: "the faces of a collection",
                most: self.limits.faces,
            });
        }
        Ok(())
    }

    fn room_for_a_user(&self, state: &State) -> Result<()> {
        if state.users.len() >= self.limits.users {
            return Err(Error::Limit {
                what: "the users of a collection",
                most: self.limits.users,
            });
        }
        Ok(())
    }

    /// A face by its id.
    pub fn face(&self, id: FaceId) -> Option<Face> {
        let state = self.state.read();
        state.face(state.place(id)?)
    }

    /// Faces in the order in which they came, at most `most` of them from where `token` says.
    ///
    /// # Errors
    /// [`Error::Token`]; [`Error::NoUser`].
    pub fn faces(
        &self,
        filter: &FaceFilter,
        token: Option<&str>,
        most: usize,
    ) -> Result<Page<Face>> {
        let state = self.state.read();
        let start = match token {
            None => 0,
            Some(token) => {
                let (generation, place) = token.split_once('-').ok_or(Error::Token)?;
                if generation.parse() != Ok(state.generation) {
                    return Err(Error::Token);
                }
                place.parse().map_err(|_| Error::Token)?
            }
        };
        let user = match &filter.user {
            Some(user) => {
                let number = state.users.get(user.as_str());
                Some(*number.ok_or_else(|| Error::NoUser(user.clone()))?)
            }
            None => None,
        };
        // Places to look at: those of a few faces, or all.
        let mut wanted: Option<Vec<usize>> = match (filter.ids.is_empty(), user) {
            (false, _) => Some(
                filter
                    .ids
                    .iter()
                    .filter_map(|&id| state.place(id))
                    .collect(),
            ),
            (true, Some(user)) => {
                let group = state.groups.get(&user);
                let places = group.iter().flat_map(|group| &group.faces);
                Some(places.map(|&place| place as usize).collect())
            }
            (true, None) => None,
        };
        if let Some(wanted) = &mut wanted {
            wanted.sort_unstable();
            wanted.dedup();
        }
        let places: Box<dyn Iterator<Item = usize>> = match wanted {
            Some(wanted) => Box::new(wanted.into_iter().filter(move |&place| place >= start)),
            None => Box::new(start..state.vectors.len()),
        };
        let of_user = |place: &usize| {
            let own = state.record(*place).map(|record| record.user);
            user.is_none() || own == user
        };
        let mut places = places
            .filter(|&place| state.vectors.is_live(place))
            .filter(of_user);
        let items = places
            .by_ref()
            .take(most)
            .filter_map(|place| state.face(place))
            .collect();
        let next = places.next();
        Ok(Page {
            items,
            next: next.map(|place| format!("{}-{place}", state.generation)),
        })
    }

    /// Deletes those faces that are no user's.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn delete(&self, ids: &[FaceId]) -> Result<Deletion> {
        let mut journal = self.journal.lock();
        let (mut gone, mut left) = (Vec::new(), Vec::new());
        {
            let state = self.state.read();
            let mut seen = HashSet::new();
            for &id in ids.iter().filter(|&&id| seen.insert(id)) {
                match state.place(id).and_then(|place| state.record(place)) {
                    Some(record) if record.user == 0 => gone.push(id),
                    Some(_) => left.push((id, Undeleted::Associated)),
                    None => left.push((id, Undeleted::NotFound)),
                }
            }
        }
        if !gone.is_empty() {
            let faces = gone.clone();
            self.commit(&mut journal, Event::Deleted { faces })?;
            self.tidy(&mut journal);
        }
        Ok(Deletion { done: gone, left })
    }

    /// The `most` faces nearest to a descriptor within `farthest`, nearest first, without `except`.
    pub fn search(
        &self,
        team: &Team,
        wanted: &Descriptor,
        most: usize,
        farthest: f32,
        except: Option<FaceId>,
    ) -> Vec<(Face, f32)> {
        let snapshot = self.state.read().vectors.snapshot();
        self.known(snapshot.search(team, wanted, most, farthest, except))
    }

    /// The records of what a search found; what was deleted since is left out.
    fn known(&self, hits: Vec<Hit>) -> Vec<(Face, f32)> {
        let state = self.state.read();
        let known = |hit: Hit| Some((state.face(state.place(hit.id)?)?, hit.distance));
        hits.into_iter().filter_map(known).collect()
    }

    /// The descriptor of a face.
    ///
    /// # Errors
    /// [`Error::NoFace`].
    pub fn descriptor(&self, id: FaceId) -> Result<Descriptor> {
        let state = self.state.read();
        let place = state.place(id);
        place
            .and_then(|place| state.vectors.descriptor(place))
            .ok_or(Error::NoFace(id))
    }

    /// Bytes of the journal.
    pub fn bytes(&self) -> u64 {
        self.journal.lock().length()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::time::Duration;

    /// How long an answer may take that waits for nobody.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A writer who waits for the disk holds the journal, and nobody who asks waits for the writer.
    #[test]
    fn questions_do_not_wait_for_writers() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Collection::create(folder.path(), "people", 0, BTreeMap::new()).expect("made");
        let people = Collection::open(folder.path(), Limits::default()).expect("opens");
        let face = NewFace {
            place: [0.1; 4],
            confidence: 99.0,
            descriptor: [0.5; crate::WIDTH],
        };
        let ids = people.index(Uuid::nil(), None, &[face]).expect("indexed");
        let people = Arc::new(people);
        let writer = people.journal.lock();
        let (answered, answers) = mpsc::channel();
        let asked = people.clone();
        let asking = std::thread::spawn(move || {
            let about = asked.describe();
            let comparable = asked.comparable().is_ok();
            let found = asked.search(&Team::new(1), &[0.5; crate::WIDTH], 1, 1.0, None);
            let found: Vec<FaceId> = found.into_iter().map(|(face, _)| face.id).collect();
            let _ = answered.send((about.version, about.faces, comparable, found));
        });
        let answer = answers.recv_timeout(PATIENCE);
        drop(writer);
        asking.join().expect("asks");
        assert_eq!(answer, Ok((VERSION, 1, true, ids)));
    }
}
