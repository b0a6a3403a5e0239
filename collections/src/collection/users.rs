//! The users of a collection: each has faces, and is found by their mean.

use super::Collection;
use super::state::Group;
use super::types::{Association, Page, Unassociated, User};
use crate::event::Event;
use crate::{Descriptor, Error, FaceId, Result};
use std::collections::HashSet;
use std::sync::Arc;

/// Checks that a user's id can be written.
pub(super) fn user_id(id: &str) -> Result<()> {
    if id.is_empty() || id.len() > usize::from(u16::MAX) {
        return Err(Error::Invalid(
            "a user's id has no or too many bytes".to_owned(),
        ));
    }
    Ok(())
}

pub(super) fn distance(a: &Descriptor, b: &Descriptor) -> f32 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f32>().sqrt()
}

impl Collection {
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
                    // What it is already is not told, as at AWS.
                    if other.as_deref() != Some(user) {
                        outcome.left.push((id, Unassociated::OtherUser(other)));
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
            let new = outcome.done.clone();
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
}
