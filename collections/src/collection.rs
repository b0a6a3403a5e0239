//! One collection: its faces and users.
//!
//! A change is made in three steps: checked against the state, written to the journal, applied to the state. Only the
//! last can be seen, so nothing that is seen can be lost. Writers come one after the other (`journal` is their lock);
//! the state's lock is held for as long as it takes to change or copy a few things in memory.

use crate::event::{Event, Indexed};
use crate::journal::{Journal, VERSION, sync_folder};
use crate::library::Limits;
use crate::vectors::{Hit, Vectors};
use crate::{Descriptor, Error, FaceId, Result, io};
use escala_models::team::Team;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// The journal's name in a collection's folder.
pub(crate) const JOURNAL: &str = "faces.log";

/// The new journal's, while the old one is made smaller.
const SMALLER: &str = "faces.new";

/// Deleted faces that a collection may hold before its journal is written anew, if they are half of all.
const GARBAGE: usize = 4096;

/// A face to be indexed.
#[derive(Clone, Debug, PartialEq)]
pub struct NewFace {
    /// Left, top, width and height, as shares of the image.
    pub place: [f32; 4],
    /// How sure it is that this is a face, in percent.
    pub confidence: f32,
    /// Its descriptor: finite numbers.
    pub descriptor: Descriptor,
}

/// A face of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Face {
    /// Its id.
    pub id: FaceId,
    /// The image that it was found in.
    pub image: Uuid,
    /// What the caller called the image.
    pub external: Option<String>,
    /// Left, top, width and height, as shares of the image.
    pub place: [f32; 4],
    /// How sure it is that this is a face, in percent.
    pub confidence: f32,
    /// The user that it is of.
    pub user: Option<String>,
}

/// A user of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Its id.
    pub id: String,
    /// How many faces are its.
    pub faces: usize,
    /// What [`Collection::introduce`] said of it.
    pub about: Option<String>,
}

/// A part of a list, and where the next begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// To be given back for what follows; `None` at the end.
    pub next: Option<String>,
}

/// Which faces to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaceFilter {
    /// Only this user's.
    pub user: Option<String>,
    /// Only these, if any.
    pub ids: Vec<FaceId>,
}

/// What a collection says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Its id.
    pub id: String,
    /// Faces in it.
    pub faces: usize,
    /// Users in it.
    pub users: usize,
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
    /// The version of its descriptors, [`VERSION`] at most.
    pub version: u32,
}

/// Why a face was not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undeleted {
    /// It is a user's.
    Associated,
    /// There is none.
    NotFound,
}

/// What became of the faces that were to be deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Deletion {
    /// They are gone.
    pub done: Vec<FaceId>,
    /// They are as they were.
    pub left: Vec<(FaceId, Undeleted)>,
}

/// Why a face was not made a user's, or taken from it.
#[derive(Clone, Debug, PartialEq)]
pub enum Unassociated {
    /// There is none.
    NotFound,
    /// It is another user's, or, when taken away, not this one's.
    OtherUser(Option<String>),
    /// It does not look like the user's other faces; with its distance.
    TooFar(f32),
}

/// What became of the faces that were to be a user's.
#[derive(Clone, Debug, PartialEq)]
pub struct Association {
    /// They are (or are not) the user's now.
    pub done: Vec<FaceId>,
    /// They are as they were.
    pub left: Vec<(FaceId, Unassociated)>,
}

/// What is known of a face beside its id and descriptor: 44 bytes.
#[derive(Clone, Copy)]
struct Record {
    image: Uuid,
    place: [f32; 4],
    confidence: f32,
    /// Where its image's name is in [`Names`], plus one; zero for none.
    external: u32,
    /// Its user's number; zero for none.
    user: u32,
}

const _: () = assert!(size_of::<Record>() == 44);

/// Short texts, one after the other, each with its length before it.
#[derive(Default)]
struct Names {
    pieces: Vec<Vec<u8>>,
}

impl Names {
    const PIECE: usize = 1 << 16;

    fn push(&mut self, name: &str) -> Option<u32> {
        let length = u8::try_from(name.len()).ok()?;
        let full = |piece: &Vec<u8>| piece.len() + name.len() >= Self::PIECE;
        if self.pieces.last().is_none_or(full) {
            self.pieces.push(Vec::with_capacity(Self::PIECE));
        }
        let index = self.pieces.len() - 1;
        let piece = &mut self.pieces[index];
        let at = u32::try_from(index * Self::PIECE + piece.len()).ok()?;
        piece.push(length);
        piece.extend(name.as_bytes());
        Some(at)
    }

    fn get(&self, at: u32) -> Option<&str> {
        let piece = self.pieces.get(at as usize / Self::PIECE)?;
        let at = at as usize % Self::PIECE;
        let length = usize::from(*piece.get(at)?);
        std::str::from_utf8(piece.get(at + 1..at + 1 + length)?).ok()
    }
}

struct Group {
    id: Arc<str>,
    faces: Vec<u32>,
    about: Option<Box<str>>,
}

impl Group {
    fn user(&self) -> User {
        User {
            id: (*self.id).to_owned(),
            faces: self.faces.len(),
            about: self.about.as_deref().map(str::to_owned),
        }
    }
}

/// The state that the journal's events add up to.
struct State {
    id: String,
    created: u64,
    tags: BTreeMap<String, String>,
    vectors: Vectors,
    /// By place, in pieces so that growing never holds two copies.
    records: Vec<Vec<Record>>,
    /// Places by id.
    places: HashTable<u32>,
    hasher: RandomState,
    live: usize,
    names: Names,
    /// By number, which is never given twice while the collection is open.
    groups: BTreeMap<u32, Group>,
    /// Numbers by id.
    users: BTreeMap<Arc<str>, u32>,
    next_user: u32,
    /// At random, anew whenever places are given anew, and whenever the collection is opened: places of another one may
    /// be those of other faces.
    generation: u64,
}

const PIECE: usize = 1024;

impl State {
    fn new(id: String, created: u64) -> Self {
        Self {
            id,
            created,
            tags: BTreeMap::new(),
            vectors: Vectors::default(),
            records: Vec::new(),
            places: HashTable::new(),
            hasher: RandomState::new(),
            live: 0,
            names: Names::default(),
            groups: BTreeMap::new(),
            users: BTreeMap::new(),
            next_user: 1,
            generation: Uuid::new_v4().as_u64_pair().0,
        }
    }

    fn place(&self, id: FaceId) -> Option<usize> {
        let found = self.places.find(self.hasher.hash_one(id), |&place| {
            self.vectors.id(place as usize) == Some(id)
        });
        found.map(|&place| place as usize)
    }

    fn record(&self, place: usize) -> Option<&Record> {
        self.records.get(place / PIECE)?.get(place % PIECE)
    }

    fn record_mut(&mut self, place: usize) -> Option<&mut Record> {
        self.records.get_mut(place / PIECE)?.get_mut(place % PIECE)
    }

    fn face(&self, place: usize) -> Option<Face> {
        let record = self.record(place)?;
        let external = record.external.checked_sub(1);
        let group = self.groups.get(&record.user);
        Some(Face {
            id: self.vectors.id(place)?,
            image: record.image,
            external: external
                .and_then(|at| self.names.get(at))
                .map(str::to_owned),
            place: record.place,
            confidence: record.confidence,
            user: group.map(|group| (*group.id).to_owned()),
        })
    }

    /// Places in an image and ids of its faces.
    fn of_image(&self, image: Uuid) -> Vec<([f32; 4], FaceId)> {
        let live = (0..self.vectors.len()).filter(|&at| self.vectors.is_live(at));
        live.filter_map(|at| {
            let record = self.record(at).filter(|record| record.image == image)?;
            Some((record.place, self.vectors.id(at)?))
        })
        .collect()
    }

    /// Makes what an event says true. Events were checked before they were written, so one that does not fit is
    /// damage, and says so.
    fn apply(&mut self, event: Event) -> std::result::Result<(), String> {
        match event {
            Event::Created { .. } => return Err("a second beginning".to_owned()),
            Event::Indexed {
                image,
                external,
                faces,
            } => {
                let external = match external {
                    Some(name) => {
                        let at = self.names.push(&name).ok_or("a name that is too long")?;
                        at.checked_add(1).ok_or("too many names")?
                    }
                    None => 0,
                };
                self.add(image, external, 0, faces)?;
            }
            Event::Deleted { faces } => {
                for id in faces {
                    self.forget(id)?;
                }
            }
            Event::UserCreated { user } => {
                if self.users.contains_key(&*user) {
                    return Err(format!("the user {user} a second time"));
                }
                self.number(user)?;
            }
            Event::UserDeleted { user } => {
                let number = self.users.remove(&*user);
                let group = number.and_then(|number| self.groups.remove(&number));
                for place in group.ok_or_else(|| format!("no user {user}"))?.faces {
                    if let Some(record) = self.record_mut(place as usize) {
                        record.user = 0;
                    }
                }
            }
            Event::Associated { user, faces } => {
                let number = *self.users.get(&*user).ok_or("no such user")?;
                for id in faces {
                    let place = self.place(id).ok_or_else(|| format!("no face {id}"))?;
                    if let Some(record) = self.record_mut(place) {
                        record.user = number;
                    }
                    if let Some(group) = self.groups.get_mut(&number) {
                        group.faces.push(place as u32);
                    }
                }
            }
            Event::Disassociated { user, faces } => {
                let number = *self.users.get(&*user).ok_or("no such user")?;
                for id in faces {
                    let place = self.place(id).ok_or_else(|| format!("no face {id}"))?;
                    if let Some(record) = self.record_mut(place) {
                        record.user = 0;
                    }
                    if let Some(group) = self.groups.get_mut(&number) {
                        group.faces.retain(|&other| other as usize != place);
                    }
                }
            }
            Event::Tagged { tags } => self.tags = tags,
            Event::Introduced {
                user,
                about,
                image,
                faces,
            } => {
                let number = self.number(user)?;
                let places = self.add(image, 0, number, faces)?;
                let group = self.groups.get_mut(&number).ok_or("no such user")?;
                group.faces.extend(places);
                group.about = Some(about.into());
            }
            Event::Removed { user } => {
                let number = self.users.remove(&*user);
                let group = number.and_then(|number| self.groups.remove(&number));
                for place in group.ok_or_else(|| format!("no user {user}"))?.faces {
                    let id = self.vectors.id(place as usize);
                    self.forget(id.ok_or("a face that is nowhere")?)?;
                }
            }
        }
        Ok(())
    }

    /// The number of a user, who is made where there is none.
    fn number(&mut self, user: String) -> std::result::Result<u32, String> {
        if let Some(number) = self.users.get(&*user) {
            return Ok(*number);
        }
        let number = self.next_user;
        self.next_user = number.checked_add(1).ok_or("too many users")?;
        let id: Arc<str> = user.into();
        self.users.insert(id.clone(), number);
        let group = Group {
            id,
            faces: Vec::new(),
            about: None,
        };
        self.groups.insert(number, group);
        Ok(number)
    }

    /// Adds faces of one image; gives their places.
    fn add(
        &mut self,
        image: Uuid,
        external: u32,
        user: u32,
        faces: Vec<Indexed>,
    ) -> std::result::Result<Vec<u32>, String> {
        let mut places = Vec::with_capacity(faces.len());
        for face in faces {
            if self.place(face.id).is_some() {
                return Err(format!("the face {} a second time", face.id));
            }
            let place = self.vectors.push(face.id, &face.descriptor);
            if place.is_multiple_of(PIECE) {
                self.records.push(Vec::with_capacity(PIECE));
            }
            let piece = self.records.last_mut().ok_or("no place for a face")?;
            piece.push(Record {
                image,
                place: face.place,
                confidence: face.confidence,
                external,
                user,
            });
            let number = u32::try_from(place).map_err(|_| "too many faces")?;
            let (vectors, hasher) = (&self.vectors, &self.hasher);
            self.places
                .insert_unique(hasher.hash_one(face.id), number, |&place| {
                    hasher.hash_one(vectors.id(place as usize).unwrap_or_default())
                });
            self.live += 1;
            places.push(number);
        }
        Ok(places)
    }

    /// Takes a face away.
    fn forget(&mut self, id: FaceId) -> std::result::Result<(), String> {
        let place = self.place(id).ok_or_else(|| format!("no face {id}"))?;
        let hash = self.hasher.hash_one(id);
        let same = |other: &u32| *other as usize == place;
        if let Ok(entry) = self.places.find_entry(hash, same) {
            entry.remove();
        }
        self.vectors.remove(place);
        self.live -= 1;
        Ok(())
    }

    fn group(&self, user: &str) -> Option<&Group> {
        self.groups.get(self.users.get(user)?)
    }

    /// The mean of a user's descriptors; none without faces.
    fn mean(&self, group: &Group) -> Option<Descriptor> {
        let mut mean = [0f32; crate::WIDTH];
        let descriptors = group
            .faces
            .iter()
            .filter_map(|&place| self.vectors.descriptor(place as usize));
        let mut count = 0f32;
        for descriptor in descriptors {
            mean.iter_mut()
                .zip(descriptor)
                .for_each(|(sum, x)| *sum += x);
            count += 1.0;
        }
        mean.iter_mut().for_each(|sum| *sum /= count);
        (count > 0.0).then_some(mean)
    }

    /// Events that make this state from nothing, without what is deleted.
    fn events(&self) -> impl Iterator<Item = Event> + '_ {
        let created = Event::Created {
            id: self.id.clone(),
            at: self.created,
        };
        let tagged = Event::Tagged {
            tags: self.tags.clone(),
        };
        let faces = (0..self.vectors.len()).filter(|&place| self.vectors.is_live(place));
        let faces = faces.filter_map(|place| {
            let face = self.face(place)?;
            Some(Event::Indexed {
                image: face.image,
                external: face.external,
                faces: vec![Indexed {
                    id: face.id,
                    place: face.place,
                    confidence: face.confidence,
                    descriptor: self.vectors.descriptor(place)?,
                }],
            })
        });
        let users = self.groups.values().flat_map(|group| {
            let user = (*group.id).to_owned();
            let ids = group.faces.iter();
            let ids = ids.filter_map(|&place| self.vectors.id(place as usize));
            let created = match &group.about {
                None => Event::UserCreated { user: user.clone() },
                Some(about) => Event::Introduced {
                    user: user.clone(),
                    about: (**about).to_owned(),
                    image: Uuid::nil(),
                    faces: Vec::new(),
                },
            };
            let faces = ids.collect();
            [created, Event::Associated { user, faces }]
        });
        [created, tagged].into_iter().chain(faces).chain(users)
    }
}

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

/// Checks that a user's id can be written.
fn user_id(id: &str) -> Result<()> {
    if id.is_empty() || id.len() > usize::from(u16::MAX) {
        return Err(Error::Invalid(
            "a user's id has no or too many bytes".to_owned(),
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

fn distance(a: &Descriptor, b: &Descriptor) -> f32 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f32>().sqrt()
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
        Journal::create(&folder.join(JOURNAL), VERSION, events)?;
        sync_folder(folder)
    }

    /// The id of the collection in a folder, and its version.
    pub(crate) fn peek(folder: &Path) -> Result<(String, u32)> {
        let path = folder.join(JOURNAL);
        let (version, first) = Journal::first(&path)?;
        match first.as_deref().and_then(Event::of_bytes) {
            Some(Event::Created { id, .. }) => Ok((id, version)),
            _ => Err(Error::Format {
                path,
                why: "it does not begin with a collection".to_owned(),
            }),
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

    /// Makes a user without faces.
    ///
    /// # Errors
    /// [`Error::UserExists`]; when there are too many, the id is too long, or the disk refuses.
    pub fn create_user(&self, id: &str) -> Result<()> {
        user_id(id)?;
        let mut journal = self.journal.lock();
        {
            let state = self.state.read();
            if state.users.contains_key(id) {
                return Err(Error::UserExists(id.to_owned()));
            }
            self.room_for_a_user(&state)?;
        }
        let user = id.to_owned();
        self.commit(&mut journal, Event::UserCreated { user })
    }

    /// Deletes a user; its faces stay in the collection.
    ///
    /// # Errors
    /// [`Error::NoUser`]; when the disk refuses.
    pub fn delete_user(&self, id: &str) -> Result<()> {
        let mut journal = self.journal.lock();
        self.user(id)?;
        let user = id.to_owned();
        self.commit(&mut journal, Event::UserDeleted { user })
    }

    /// A user.
    ///
    /// # Errors
    /// [`Error::NoUser`].
    pub fn user(&self, id: &str) -> Result<User> {
        let state = self.state.read();
        let group = state.group(id);
        let group = group.ok_or_else(|| Error::NoUser(id.to_owned()))?;
        Ok(group.user())
    }

    /// Users by id, at most `most` of them behind the one that `token` names.
    pub fn users(&self, token: Option<&str>, most: usize) -> Page<User> {
        let state = self.state.read();
        let after = token.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut users = state
            .users
            .range::<str, _>((after, std::ops::Bound::Unbounded));
        let user = |(_, number): (&Arc<str>, &u32)| state.groups.get(number).map(Group::user);
        let items: Vec<User> = users.by_ref().take(most).filter_map(user).collect();
        let more = users.next().is_some();
        let next = items.last().filter(|_| more).map(|user| user.id.clone());
        Page { items, next }
    }

    /// Makes faces a user's: those that are nobody's, and that are within `farthest` of the mean of the user's faces
    /// (if it has any).
    ///
    /// # Errors
    /// [`Error::NoUser`]; [`Error::Limit`] when the user would have too many; when the disk refuses.
    pub fn associate(&self, user: &str, ids: &[FaceId], farthest: f32) -> Result<Association> {
        self.comparable()?;
        let mut journal = self.journal.lock();
        let mut outcome = Association {
            done: Vec::new(),
            left: Vec::new(),
        };
        {
            let state = self.state.read();
            let number = state.users.get(user);
            let group = number.and_then(|number| state.groups.get(number));
            let group = group.ok_or_else(|| Error::NoUser(user.to_owned()))?;
            let mean = state.mean(group);
            let mut seen = HashSet::new();
            for &id in ids.iter().filter(|&&id| seen.insert(id)) {
                let found = state.place(id);
                let found =
                    found.and_then(|at| Some((state.record(at)?, state.vectors.descriptor(at)?)));
                let Some((record, descriptor)) = found else {
                    outcome.left.push((id, Unassociated::NotFound));
                    continue;
                };
                if record.user != 0 {
                    let other = state.groups.get(&record.user);
                    let other = other.map(|group| (*group.id).to_owned());
                    // Again the same is done already.
                    match other.as_deref() == Some(user) {
                        true => outcome.done.push(id),
                        false => outcome.left.push((id, Unassociated::OtherUser(other))),
                    }
                    continue;
                }
                match mean.map(|mean| distance(&mean, &descriptor)) {
                    Some(far) if far > farthest => {
                        outcome.left.push((id, Unassociated::TooFar(far)))
                    }
                    _ => outcome.done.push(id),
                }
            }
            let new = outcome.done.iter().filter(|&&id| {
                let record = state.place(id).and_then(|place| state.record(place));
                record.is_some_and(|record| record.user == 0)
            });
            let new: Vec<FaceId> = new.copied().collect();
            if group.faces.len() + new.len() > self.limits.faces_of_user {
                return Err(Error::Limit {
                    what: "the faces of a user",
                    most: self.limits.faces_of_user,
                });
            }
            drop(state);
            if !new.is_empty() {
                let event = Event::Associated {
                    user: user.to_owned(),
                    faces: new,
                };
                self.commit(&mut journal, event)?;
            }
        }
        Ok(outcome)
    }

    /// Takes faces from a user; they stay in the collection.
    ///
    /// # Errors
    /// [`Error::NoUser`]; when the disk refuses.
    pub fn disassociate(&self, user: &str, ids: &[FaceId]) -> Result<Association> {
        let mut journal = self.journal.lock();
        let mut outcome = Association {
            done: Vec::new(),
            left: Vec::new(),
        };
        {
            let state = self.state.read();
            let number = *state
                .users
                .get(user)
                .ok_or_else(|| Error::NoUser(user.to_owned()))?;
            let mut seen = HashSet::new();
            for &id in ids.iter().filter(|&&id| seen.insert(id)) {
                match state.place(id).and_then(|place| state.record(place)) {
                    None => outcome.left.push((id, Unassociated::NotFound)),
                    Some(record) if record.user == number => outcome.done.push(id),
                    Some(record) => {
                        let other = state.groups.get(&record.user);
                        let other = other.map(|group| (*group.id).to_owned());
                        outcome.left.push((id, Unassociated::OtherUser(other)));
                    }
                }
            }
        }
        if !outcome.done.is_empty() {
            let event = Event::Disassociated {
                user: user.to_owned(),
                faces: outcome.done.clone(),
            };
            self.commit(&mut journal, event)?;
        }
        Ok(outcome)
    }

    /// The `most` users whose mean descriptor is within `farthest`, nearest first, without `except`.
    pub fn search_users(
        &self,
        wanted: &Descriptor,
        most: usize,
        farthest: f32,
        except: Option<&str>,
    ) -> Vec<(User, f32)> {
        let state = self.state.read();
        let mut near: Vec<(User, f32)> = state
            .groups
            .values()
            .filter(|group| Some(&*group.id) != except)
            .filter_map(|group| {
                let far = distance(&state.mean(group)?, wanted);
                (far <= farthest).then(|| (group.user(), far))
            })
            .collect();
        near.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.id.cmp(&b.0.id)));
        near.truncate(most);
        near
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

    /// The mean descriptor of a user's faces; none when it has no faces.
    ///
    /// # Errors
    /// [`Error::NoUser`].
    pub fn mean_of(&self, user: &str) -> Result<Option<Descriptor>> {
        let state = self.state.read();
        let group = state.group(user);
        let group = group.ok_or_else(|| Error::NoUser(user.to_owned()))?;
        Ok(state.mean(group))
    }

    /// Bytes of the journal.
    pub fn bytes(&self) -> u64 {
        self.journal.lock().length()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
