//! The state of a collection: what the events of its journal add up to, in as little memory as faces allow.

use super::types::{Face, User};
use crate::event::{Event, Indexed};
use crate::vectors::Vectors;
use crate::{Descriptor, FaceId};
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use uuid::Uuid;

/// What is known of a face beside its id and descriptor: 44 bytes.
#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) image: Uuid,
    pub(super) place: [f32; 4],
    pub(super) confidence: f32,
    /// Where its image's name is in [`Names`], plus one; zero for none.
    pub(super) external: u32,
    /// Its user's number; zero for none.
    pub(super) user: u32,
}

const _: () = assert!(size_of::<Record>() == 44);

/// Short texts, one after the other, each with its length before it.
#[derive(Default)]
pub(super) struct Names {
    pub(super) pieces: Vec<Vec<u8>>,
}

impl Names {
    const PIECE: usize = 1 << 16;

    pub(super) fn push(&mut self, name: &str) -> Option<u32> {
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

    pub(super) fn get(&self, at: u32) -> Option<&str> {
        let piece = self.pieces.get(at as usize / Self::PIECE)?;
        let at = at as usize % Self::PIECE;
        let length = usize::from(*piece.get(at)?);
        std::str::from_utf8(piece.get(at + 1..at + 1 + length)?).ok()
    }
}

pub(super) struct Group {
    pub(super) id: Arc<str>,
    pub(super) faces: Vec<u32>,
    pub(super) about: Option<Box<str>>,
}

impl Group {
    pub(super) fn user(&self) -> User {
        User {
            id: (*self.id).to_owned(),
            faces: self.faces.len(),
            about: self.about.as_deref().map(str::to_owned),
        }
    }
}

/// The state that the journal's events add up to.
pub(super) struct State {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) vectors: Vectors,
    /// By place, in pieces so that growing never holds two copies.
    pub(super) records: Vec<Vec<Record>>,
    /// Places by id.
    pub(super) places: HashTable<u32>,
    pub(super) hasher: RandomState,
    pub(super) live: usize,
    pub(super) names: Names,
    /// By number, which is never given twice while the collection is open.
    pub(super) groups: BTreeMap<u32, Group>,
    /// Numbers by id.
    pub(super) users: BTreeMap<Arc<str>, u32>,
    pub(super) next_user: u32,
    /// At random, anew whenever places are given anew, and whenever the collection is opened: places of another one may
    /// be those of other faces.
    pub(super) generation: u64,
}

const PIECE: usize = 1024;

impl State {
    pub(super) fn new(id: String, created: u64) -> Self {
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

    pub(super) fn place(&self, id: FaceId) -> Option<usize> {
        let found = self.places.find(self.hasher.hash_one(id), |&place| {
            self.vectors.id(place as usize) == Some(id)
        });
        found.map(|&place| place as usize)
    }

    pub(super) fn record(&self, place: usize) -> Option<&Record> {
        self.records.get(place / PIECE)?.get(place % PIECE)
    }

    pub(super) fn record_mut(&mut self, place: usize) -> Option<&mut Record> {
        self.records.get_mut(place / PIECE)?.get_mut(place % PIECE)
    }

    pub(super) fn face(&self, place: usize) -> Option<Face> {
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
    pub(super) fn of_image(&self, image: Uuid) -> Vec<([f32; 4], FaceId)> {
        let live = (0..self.vectors.len()).filter(|&at| self.vectors.is_live(at));
        live.filter_map(|at| {
            let record = self.record(at).filter(|record| record.image == image)?;
            Some((record.place, self.vectors.id(at)?))
        })
        .collect()
    }

    /// Makes what an event says true. Events were checked before they were written, so one that does not fit is
    /// damage, and says so.
    pub(super) fn apply(&mut self, event: Event) -> std::result::Result<(), String> {
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
    pub(super) fn number(&mut self, user: String) -> std::result::Result<u32, String> {
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
    pub(super) fn add(
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
    pub(super) fn forget(&mut self, id: FaceId) -> std::result::Result<(), String> {
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

    pub(super) fn group(&self, user: &str) -> Option<&Group> {
        self.groups.get(self.users.get(user)?)
    }

    /// The mean of a user's descriptors; none without faces.
    pub(super) fn mean(&self, group: &Group) -> Option<Descriptor> {
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
    pub(super) fn events(&self) -> impl Iterator<Item = Event> + '_ {
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
