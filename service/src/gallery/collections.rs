//! Everything that can be asked of collections, for all doors: the same question has the same answer through each.
//!
//! Ids of faces and images are random. A user's likeness is that of the mean of its faces. What is named is checked here
//! by AWS's rules, so that what one door keeps the others can show.

use super::faces::{Bar, THRESHOLD, descriptor, kept, largest};
use super::{Error, Gallery, Result, Search};
use crate::app::{Images, Predict, one};
use bytes::Bytes;
use escala_collections::{
    Association, Collection, Description, Face, FaceFilter, FaceId, Library, Page, Unassociated,
    Undeleted, User,
};
use escala_pipelines::faces::similarity::farthest;
use escala_pipelines::faces::{self, Faces, FacesInput, FacesOptions};
use escala_pipelines::{Kind, Options};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Items of a page of collections or faces when nobody says how many, and the most there can be; also the most faces of a
/// search and of a deletion.
pub const PAGE: usize = 4096;
/// Faces or users of a search when nobody says how many.
pub const FOUND: usize = 80;
/// Users of a page or of a search, at most.
pub const USERS: usize = 500;
/// Faces that are indexed of one image, at most.
pub const MOST_FACES: usize = 100;
/// Faces that are made a user's, or taken from it, in one request.
pub const MOST_ASSOCIATED: usize = 100;
/// Likeness to a user's other faces that a new one must have when nobody says otherwise, in percent; AWS's default for
/// users is lower than for faces.
pub const USER_THRESHOLD: f32 = 75.0;

/// How an image is indexed.
#[derive(Clone, Debug)]
pub struct Index {
    /// What the caller calls the image.
    pub external: Option<String>,
    /// What is asked of faces.
    pub bar: Bar,
    /// Most faces, the largest ones; [`MOST_FACES`] when it does not say.
    pub most: Option<usize>,
    /// Whether it is asked what the faces look like.
    pub looks: bool,
    /// Whether it is asked where their eyes look.
    pub gaze: bool,
}

/// What became of an image's faces.
#[derive(Debug)]
pub struct Indexed {
    /// The image.
    pub image: Uuid,
    /// All faces of the image.
    pub seen: Faces,
    /// Faces that are kept now, each with its place in `seen`.
    pub kept: Vec<(Face, usize)>,
    /// Places in `seen` of faces that are not, and why.
    pub left: Vec<(usize, Vec<&'static str>)>,
}

/// How a search goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Most matches; [`FOUND`] when it does not say.
    pub most: Option<usize>,
    /// Least likeness in percent; [`THRESHOLD`] when it does not say.
    pub least: Option<f32>,
}

impl Terms {
    fn farthest(&self) -> f32 {
        farthest(self.least.unwrap_or(THRESHOLD))
    }
}

/// What was found for the largest face of an image.
#[derive(Debug)]
pub struct ByImage<T> {
    /// All faces of the image.
    pub seen: Faces,
    /// The place in `seen` of the one that was looked for.
    pub face: usize,
    /// What was found.
    pub found: Vec<(T, f32)>,
    /// Places in `seen` of the others, and why they were not looked for.
    pub others: Vec<(usize, Vec<&'static str>)>,
}

/// What became of faces that were to be deleted.
#[derive(Debug)]
pub struct Deleted {
    /// They are gone.
    pub done: Vec<FaceId>,
    /// They are not, with the reason and the user that they are of.
    pub left: Vec<(FaceId, Undeleted, Option<String>)>,
}

/// Of whom other users are looked for.
#[derive(Clone, Debug)]
pub enum Who {
    /// A user; it is left out of the answer.
    User(String),
    /// A face.
    Face(FaceId),
}

/// The collections as one request asks them.
pub struct Collections<'a> {
    gallery: &'a Arc<Gallery>,
    networks: &'a dyn Predict<FacesInput, Faces>,
    options: Options,
}

fn most(asked: Option<usize>, default: usize, bound: usize) -> usize {
    match asked {
        // A page of none is the default's, as at AWS.
        None | Some(0) => default,
        Some(asked) => asked.min(bound),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::Collections(escala_collections::Error::Invalid(message.into()))
}

/// AWS's rule for the ids of users and what callers call images.
fn plain(what: &str, text: &str, longest: usize) -> Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b':');
    match (1..=longest).contains(&text.len()) && text.bytes().all(plain) {
        true => Ok(()),
        false => Err(invalid(format!(
            "{what} has 1 to {longest} letters, digits, `_`, `.`, `-` and `:`"
        ))),
    }
}

fn user_id(id: &str) -> Result<()> {
    plain("a user's id", id, 128)
}

/// AWS's rules for tags.
fn tag_rules(tags: &BTreeMap<String, String>) -> Result<()> {
    let plain = |text: &str| {
        let fits = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
        text.chars().all(fits)
    };
    let key = |key: &str| {
        (1..=128).contains(&key.chars().count()) && plain(key) && !key.starts_with("aws:")
    };
    let value = |value: &str| value.chars().count() <= 256 && plain(value);
    match tags.iter().all(|(k, v)| key(k) && value(v)) {
        true => Ok(()),
        false => Err(invalid(
            "a tag's key has 1 to 128 and its value at most 256 letters, digits, spaces and `_.:/=+-@`; no key begins with \
             `aws:`",
        )),
    }
}

impl<'a> Collections<'a> {
    /// The collections of these images.
    pub fn of(images: &'a Images, options: Options) -> Self {
        Self {
            gallery: &images.gallery,
            networks: &*images.faces,
            options,
        }
    }

    async fn library<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Library) -> escala_collections::Result<T> + Send + 'static,
    ) -> Result<T> {
        Ok(self.gallery.with(work).await?)
    }

    async fn with<T: Send + 'static>(
        &self,
        id: &str,
        work: impl FnOnce(&Collection) -> escala_collections::Result<T> + Send + 'static,
    ) -> Result<T> {
        let id = id.to_owned();
        self.library(move |library| work(&*library.get(&id)?)).await
    }

    /// A collection whose faces can be compared with those of an image.
    async fn get(&self, id: &str) -> Result<Arc<Collection>> {
        let id = id.to_owned();
        self.library(move |library| {
            let collection = library.get(&id)?;
            collection.comparable().map(|()| collection)
        })
        .await
    }

    /// Makes a collection.
    ///
    /// # Errors
    /// When it is there, its name or tags break a rule, there are too many, or the disk refuses.
    pub async fn create(&self, id: &str, tags: BTreeMap<String, String>) -> Result<Description> {
        tag_rules(&tags)?;
        let id = id.to_owned();
        let made = self.library(move |library| {
            let created = library.create(&id, tags)?;
            Ok(Description {
                id,
                faces: 0,
                users: 0,
                created,
                version: escala_collections::VERSION,
            })
        });
        made.await
    }

    /// What a collection says of itself, and its tags.
    ///
    /// # Errors
    /// When there is none, or its journal cannot be read.
    pub async fn describe(&self, id: &str) -> Result<(Description, BTreeMap<String, String>)> {
        self.with(id, |collection| {
            Ok((collection.describe(), collection.tags()))
        })
        .await
    }

    /// Ids of collections, each with the version of its descriptors, at most `asked` from where `token` says.
    ///
    /// # Errors
    /// When the library cannot be opened.
    pub async fn list(
        &self,
        token: Option<String>,
        asked: Option<usize>,
    ) -> Result<Page<(String, u32)>> {
        let most = most(asked, PAGE, PAGE);
        self.library(move |library| Ok(library.ids(token.as_deref(), most)))
            .await
    }

    /// Deletes a collection with all its faces.
    ///
    /// # Errors
    /// When there is none, or the disk refuses.
    pub async fn delete(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.library(move |library| library.delete(&id)).await
    }

    /// Sets some tags of a collection and removes others; gives all.
    ///
    /// # Errors
    /// When there is none, a tag breaks a rule, there would be too many, or the disk refuses.
    pub async fn tag(
        &self,
        id: &str,
        set: BTreeMap<String, String>,
        remove: Vec<String>,
    ) -> Result<BTreeMap<String, String>> {
        tag_rules(&set)?;
        self.with(id, move |collection| {
            if !set.is_empty() || !remove.is_empty() {
                collection.tag(set, &remove)?;
            }
            Ok(collection.tags())
        })
        .await
    }

    /// The faces of an image, with descriptors.
    async fn seen(&self, image: Bytes, looks: bool, gaze: bool) -> Result<Faces> {
        let options = FacesOptions {
            most: 2 * MOST_FACES,
            looks,
            gaze,
            descriptors: true,
            ..FacesOptions::default()
        };
        let input = FacesInput { image, options };
        Ok(one(self.networks, input, self.options).await?)
    }

    /// Adds the faces of an image to a collection.
    ///
    /// # Errors
    /// When there is no such collection, the image cannot be read, the collection is full, or the disk refuses.
    pub async fn index(&self, id: &str, image: Bytes, how: Index) -> Result<Indexed> {
        if let Some(external) = &how.external {
            plain("the name of an image", external, 255)?;
        }
        // Before the networks work for nothing.
        self.get(id).await?;
        // The same bytes under the same name are the same image, whose faces are not kept twice.
        let named = how.external.as_deref().map(|name| {
            let digest = Sha256::new()
                .chain_update(name)
                .chain_update([0])
                .chain_update(&image);
            let digest = digest.finalize();
            let (first, _) = digest.split_at(16);
            uuid::Builder::from_custom_bytes(first.try_into().unwrap_or_default()).into_uuid()
        });
        let seen = self.seen(image, how.looks, how.gaze).await?;
        let most = most(how.most, MOST_FACES, MOST_FACES);
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for (place, face) in seen.faces.iter().enumerate() {
            let mut reasons = how.bar.reasons(&seen, face);
            if reasons.is_empty() && taken.len() == most {
                reasons.push("EXCEEDS_MAX_FACES");
            }
            match reasons.is_empty() {
                true => taken.push(place),
                false => left.push((place, reasons)),
            }
        }
        let new = taken.iter().map(|&place| kept(&seen, &seen.faces[place]));
        let new = new.collect::<escala_pipelines::Result<Vec<_>>>()?;
        let image = named.unwrap_or_else(Uuid::new_v4);
        let indexed = self.with(id, move |collection| {
            let external = how.external.as_deref();
            let ids = match named {
                Some(_) => collection.index_once(image, external, &new)?,
                None => collection.index(image, external, &new)?,
            };
            let face = |id: FaceId| {
                let face = collection.face(id);
                face.ok_or(escala_collections::Error::NoFace(id))
            };
            ids.into_iter()
                .map(face)
                .collect::<escala_collections::Result<Vec<Face>>>()
        });
        let kept = indexed.await?.into_iter().zip(taken).collect();
        Ok(Indexed {
            image,
            seen,
            kept,
            left,
        })
    }

    /// Faces of a collection in the order in which they came: all, a user's, or those of `ids`.
    ///
    /// # Errors
    /// When there is no such collection or user, or the token is not one of this list.
    pub async fn faces(
        &self,
        id: &str,
        user: Option<String>,
        ids: Option<Vec<FaceId>>,
        token: Option<String>,
        asked: Option<usize>,
    ) -> Result<Page<Face>> {
        let most = most(asked, PAGE, PAGE);
        self.with(id, move |collection| {
            // Ids that are none are faces that are not there.
            if ids.as_ref().is_some_and(Vec::is_empty) {
                return Ok(Page {
                    items: Vec::new(),
                    next: None,
                });
            }
            let ids = ids.unwrap_or_default();
            collection.faces(&FaceFilter { user, ids }, token.as_deref(), most)
        })
        .await
    }

    /// Deletes those faces that are no user's.
    ///
    /// # Errors
    /// When there is no such collection, or the disk refuses.
    pub async fn delete_faces(&self, id: &str, ids: Vec<FaceId>) -> Result<Deleted> {
        self.with(id, move |collection| {
            let deletion = collection.delete(&ids)?;
            let user = |id: FaceId| collection.face(id).and_then(|face| face.user);
            let left = deletion.left.into_iter();
            Ok(Deleted {
                done: deletion.done,
                left: left.map(|(id, why)| (id, why, user(id))).collect(),
            })
        })
        .await
    }

    /// Faces that are like another of the collection, which is left out.
    ///
    /// # Errors
    /// When there is no such collection or face; those of the engine.
    pub async fn like(&self, id: &str, face: FaceId, terms: Terms) -> Result<Vec<(Face, f32)>> {
        let collection = self.get(id).await?;
        let search = Search {
            wanted: collection.descriptor(face)?,
            collection: Some(collection),
            most: most(terms.most, FOUND, PAGE),
            farthest: terms.farthest(),
            except: Some(face),
        };
        Ok(self.gallery.search(search, self.options).await?)
    }

    /// Faces that are like the largest one of an image.
    ///
    /// # Errors
    /// When there is no such collection, the image cannot be read or has no face that passes; those of the engine.
    pub async fn like_image(
        &self,
        id: &str,
        image: Bytes,
        bar: Bar,
        terms: Terms,
    ) -> Result<ByImage<Face>> {
        let collection = self.get(id).await?;
        let seen = self.seen(image, false, false).await?;
        let face = largest(&seen, bar)?;
        let search = Search {
            collection: Some(collection),
            wanted: descriptor(&seen.faces[face])?,
            most: most(terms.most, FOUND, PAGE),
            farthest: terms.farthest(),
            except: None,
        };
        let found = self.gallery.search(search, self.options).await?;
        Ok(ByImage::new(seen, face, bar, found))
    }

    /// Makes a user without faces.
    ///
    /// # Errors
    /// When there is no such collection, the user is there, its id breaks a rule, there are too many, or the disk refuses.
    pub async fn create_user(&self, id: &str, user: &str) -> Result<()> {
        user_id(user)?;
        let user = user.to_owned();
        self.with(id, move |collection| collection.create_user(&user))
            .await
    }

    /// Deletes a user; its faces stay in the collection.
    ///
    /// # Errors
    /// When there is no such collection or user, or the disk refuses.
    pub async fn delete_user(&self, id: &str, user: &str) -> Result<()> {
        let user = user.to_owned();
        self.with(id, move |collection| collection.delete_user(&user))
            .await
    }

    /// Users by id, at most `asked` from where `token` says.
    ///
    /// # Errors
    /// When there is no such collection.
    pub async fn users(
        &self,
        id: &str,
        token: Option<String>,
        asked: Option<usize>,
    ) -> Result<Page<User>> {
        let most = most(asked, USERS, USERS);
        self.with(id, move |collection| {
            Ok(collection.users(token.as_deref(), most))
        })
        .await
    }

    /// Makes faces a user's if they are like those that it has; also gives the user afterwards.
    ///
    /// # Errors
    /// When there is no such collection or user, the user would have too many faces, or the disk refuses.
    pub async fn associate(
        &self,
        id: &str,
        user: &str,
        ids: Vec<FaceId>,
        least: Option<f32>,
    ) -> Result<(Association, User)> {
        let (user, farthest) = (user.to_owned(), farthest(least.unwrap_or(USER_THRESHOLD)));
        self.with(id, move |collection| {
            let done = collection.associate(&user, &ids, farthest)?;
            Ok((done, collection.user(&user)?))
        })
        .await
    }

    /// Takes faces from a user; also gives the user afterwards.
    ///
    /// # Errors
    /// When there is no such collection or user, or the disk refuses.
    pub async fn disassociate(
        &self,
        id: &str,
        user: &str,
        ids: Vec<FaceId>,
    ) -> Result<(Association, User)> {
        let user = user.to_owned();
        self.with(id, move |collection| {
            let done = collection.disassociate(&user, &ids)?;
            Ok((done, collection.user(&user)?))
        })
        .await
    }

    /// Users who are like a user or a face. A user without faces is like nobody.
    ///
    /// # Errors
    /// When there is no such collection, user or face.
    pub async fn users_like(&self, id: &str, who: Who, terms: Terms) -> Result<Vec<(User, f32)>> {
        let (most, farthest) = (most(terms.most, FOUND, USERS), terms.farthest());
        self.with(id, move |collection| {
            collection.comparable()?;
            let (wanted, except) = match who {
                Who::User(user) => (collection.mean_of(&user)?, Some(user)),
                Who::Face(face) => (Some(collection.descriptor(face)?), None),
            };
            Ok(wanted.map_or_else(Vec::new, |wanted| {
                collection.search_users(&wanted, most, farthest, except.as_deref())
            }))
        })
        .await
    }

    /// Users who are like the largest face of an image.
    ///
    /// # Errors
    /// As [`Collections::like_image`].
    pub async fn users_like_image(
        &self,
        id: &str,
        image: Bytes,
        bar: Bar,
        terms: Terms,
    ) -> Result<ByImage<User>> {
        let (most, farthest) = (most(terms.most, FOUND, USERS), terms.farthest());
        self.get(id).await?;
        let seen = self.seen(image, false, false).await?;
        let face = largest(&seen, bar)?;
        let wanted = descriptor(&seen.faces[face])?;
        let found = self.with(id, move |collection| {
            Ok(collection.search_users(&wanted, most, farthest, None))
        });
        let found = found.await?;
        Ok(ByImage::new(seen, face, bar, found))
    }
}

impl<T> ByImage<T> {
    fn new(seen: Faces, face: usize, bar: Bar, found: Vec<(T, f32)>) -> Self {
        let others = seen.faces.iter().enumerate();
        let others = others.filter(|(place, _)| *place != face);
        let others = others.map(|(place, other)| {
            let mut reasons = bar.reasons(&seen, other);
            if reasons.is_empty() {
                reasons.push("FACE_NOT_LARGEST");
            }
            (place, reasons)
        });
        let others = others.collect();
        Self {
            seen,
            face,
            found,
            others,
        }
    }

    /// The face that was looked for.
    pub fn looked_for(&self) -> &faces::Face {
        &self.seen.faces[self.face]
    }
}

/// Checks a list of faces that a request names, as AWS's model does.
///
/// # Errors
/// When there are none or too many.
pub fn check_ids(ids: &[FaceId], longest: usize) -> Result<()> {
    match (1..=longest).contains(&ids.len()) {
        true => Ok(()),
        false => Err(invalid(format!(
            "there must be 1 to {longest} ids of faces"
        ))),
    }
}

/// Why a face was not deleted, in AWS's word.
pub fn undeleted(why: Undeleted) -> &'static str {
    match why {
        Undeleted::Associated => "ASSOCIATED_TO_AN_EXISTING_USER",
        Undeleted::NotFound => "FACE_NOT_FOUND",
    }
}

/// Why a face was not made a user's or taken from it, in AWS's word.
pub fn unassociated(why: &Unassociated) -> &'static str {
    match why {
        Unassociated::NotFound => "FACE_NOT_FOUND",
        Unassociated::OtherUser(_) => "ASSOCIATED_TO_A_DIFFERENT_USER",
        Unassociated::TooFar(_) => "LOW_MATCH_CONFIDENCE",
    }
}

/// Whether a user has faces, in AWS's word.
pub fn status(user: &User) -> &'static str {
    match user.faces {
        0 => "CREATED",
        _ => "ACTIVE",
    }
}

/// The id of a face.
///
/// # Errors
/// `NotFound`: no face has an id of another form.
pub fn face_id(text: &str) -> Result<FaceId> {
    text.parse()
        .map_err(|_| Error::of_kind(Kind::NotFound, format!("there is no face {text}")))
}
