//! The people whom the operator made known: no network here knows anybody by itself.
//!
//! They are the users of one collection in a folder of its own, each with what is known of it and the faces of its
//! photographs. A face is a person's when it is like the nearest of all faces that are kept, by [`THRESHOLD`] at least.

use super::faces::{Bar, THRESHOLD, descriptor, kept, largest};
use super::{Error, Gallery, Result, Search};
use crate::app::{Images, Predict, one};
use bytes::Bytes;
use escala_collections::{Collection, Library, Limits, Page, User};
use escala_pipelines::faces::similarity::farthest;
use escala_pipelines::faces::{Faces, FacesInput, FacesOptions};
use escala_pipelines::{Kind, Options};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// The name of the one collection in the folder.
const COLLECTION: &str = "celebrities";

/// Faces of an image that are looked at, largest first, as at AWS.
pub const MOST_FACES: usize = 64;

/// Most photographs that are added in one request.
pub const MOST_PHOTOS: usize = 100;

/// Most URLs of a person, as at AWS.
const MOST_URLS: usize = 255;

/// People of a page, at most.
pub const PAGE: usize = 500;

/// What to do where nobody is known.
pub const HOW_TO_FILL: &str = "there is no celebrity gallery, so that nobody is recognised: fill one with `escala \
                               celebrities add NAME PHOTO…` or through POST /v1/images/celebrities/gallery";

/// What is known of a person's gender; AWS's words.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum KnownGender {
    /// Male.
    Male,
    /// Female.
    Female,
    /// Neither.
    Nonbinary,
    /// Nobody said.
    #[default]
    Unlisted,
}

impl KnownGender {
    /// AWS's word for it.
    pub fn aws(self) -> &'static str {
        match self {
            Self::Male => "Male",
            Self::Female => "Female",
            Self::Nonbinary => "Nonbinary",
            Self::Unlisted => "Unlisted",
        }
    }
}

/// What is known of a person, as it is kept with its user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    name: String,
    #[serde(default)]
    urls: Vec<String>,
    #[serde(default)]
    gender: KnownGender,
}

/// A person who is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Celebrity {
    /// Letters and digits; stays the same.
    #[schema(example = "3Ir0du6AB1x")]
    pub id: String,
    /// The person's name.
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// Where there is more to be known.
    pub urls: Vec<String>,
    /// What the operator said of the gender.
    pub gender: KnownGender,
    /// Faces by which the person is recognised.
    pub faces: usize,
}

impl Celebrity {
    fn of(user: User) -> escala_collections::Result<Self> {
        let User { id, faces, about } = user;
        let unread = |why: String| {
            let message = format!("what is kept of the celebrity {id} cannot be read: {why}");
            escala_collections::Error::Unavailable(message)
        };
        let about = about.ok_or_else(|| unread("it is not there".to_owned()))?;
        let about: About =
            serde_json::from_str(&about).map_err(|error| unread(error.to_string()))?;
        Ok(Self {
            name: about.name,
            urls: about.urls,
            gender: about.gender,
            id,
            faces,
        })
    }
}

/// Who is to be made known, or known better.
#[derive(Clone, Debug, Default)]
pub struct Introduction {
    /// The person's id, where it matters: two people may have one name.
    pub id: Option<String>,
    /// The person's name.
    pub name: String,
    /// Where there is more to be known; what is known already stays when it does not say.
    pub urls: Option<Vec<String>>,
    /// The gender; what is known already stays when it does not say.
    pub gender: Option<KnownGender>,
    /// Photographs with what to call them when something is wrong with one.
    pub photos: Vec<(String, Bytes)>,
}

/// Who an image shows.
#[derive(Debug)]
pub struct Recognised {
    /// All faces of the image that were looked at, with emotions.
    pub seen: Faces,
    /// Who was recognised, at which place in `seen`, and the distance to the nearest face that is kept.
    pub known: Vec<(Celebrity, usize, f32)>,
    /// Places in `seen` of faces of people who are not known.
    pub unknown: Vec<usize>,
}

/// The people who are known on this machine.
pub struct Celebrities {
    gallery: Arc<Gallery>,
    /// Whether the log was told that nobody is known.
    told: AtomicBool,
    /// Held by whoever makes somebody known, so that nobody is made twice.
    adding: Mutex<()>,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::Collections(escala_collections::Error::Invalid(message.into()))
}

fn check(who: &Introduction) -> Result<()> {
    let alphanumeric = |id: &str| id.bytes().all(|b| b.is_ascii_alphanumeric());
    if who
        .id
        .as_deref()
        .is_some_and(|id| !(1..=64).contains(&id.len()) || !alphanumeric(id))
    {
        return Err(invalid("an id has 1 to 64 letters and digits"));
    }
    let name = &who.name;
    if name.trim() != name || name.is_empty() || name.len() > 1000 {
        return Err(invalid(
            "a name has 1 to 1000 bytes and neither begins nor ends with a space",
        ));
    }
    let urls = who.urls.as_deref().unwrap_or_default();
    if urls.len() > MOST_URLS || urls.iter().any(|url| url.is_empty() || url.len() > 2000) {
        return Err(invalid(format!(
            "there are at most {MOST_URLS} URLs, each of 1 to 2000 bytes"
        )));
    }
    let mut texts = urls.iter().chain([name]);
    if texts.any(|text| text.chars().any(char::is_control)) {
        return Err(invalid("names and URLs have no control characters"));
    }
    if who.photos.len() > MOST_PHOTOS {
        return Err(invalid(format!(
            "there are at most {MOST_PHOTOS} photographs"
        )));
    }
    Ok(())
}

/// An id that nobody has: 64 random bits in letters and digits.
fn new_id(collection: &Collection) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    loop {
        let (_, mut bits) = Uuid::new_v4().as_u64_pair();
        let mut id = String::new();
        while bits > 0 {
            id.push(char::from(DIGITS[(bits % 62) as usize]));
            bits /= 62;
        }
        if !id.is_empty() && collection.user(&id).is_err() {
            return id;
        }
    }
}

/// The collection, or none where nobody was made known yet.
fn collection(library: &Library) -> escala_collections::Result<Option<Arc<Collection>>> {
    match library.get(COLLECTION) {
        Ok(collection) => Ok(Some(collection)),
        Err(escala_collections::Error::NoCollection(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn collection_or_new(library: &Library) -> escala_collections::Result<Arc<Collection>> {
    match library.create(COLLECTION, BTreeMap::new()) {
        Ok(_) => library.get(COLLECTION),
        Err(escala_collections::Error::Exists(_)) => {
            let people = library.get(COLLECTION)?;
            // Emptied because an earlier version filled it: nothing is left that has to stay as it is.
            if people.comparable().is_err() && people.describe().users == 0 {
                library.delete(COLLECTION)?;
                library.create(COLLECTION, BTreeMap::new())?;
                return library.get(COLLECTION);
            }
            Ok(people)
        }
        Err(error) => Err(error),
    }
}

fn everybody(collection: &Collection) -> escala_collections::Result<Vec<Celebrity>> {
    let users = collection.users(None, usize::MAX).items;
    users.into_iter().map(Celebrity::of).collect()
}

/// The person with this id; else the one with this name, where there is one only.
fn find(
    collection: &Collection,
    id: Option<&str>,
    name: &str,
) -> escala_collections::Result<Option<Celebrity>> {
    if let Some(id) = id {
        return match collection.user(id) {
            Ok(user) => Celebrity::of(user).map(Some),
            Err(escala_collections::Error::NoUser(_)) => Ok(None),
            Err(error) => Err(error),
        };
    }
    let mut named = everybody(collection)?;
    named.retain(|celebrity| celebrity.name == name);
    match named.len() {
        0 | 1 => Ok(named.pop()),
        many => {
            let ids: Vec<String> = named.into_iter().map(|celebrity| celebrity.id).collect();
            let message = format!(
                "{many} people are called {name}; say which by id: {}",
                ids.join(", ")
            );
            Err(escala_collections::Error::Invalid(message))
        }
    }
}

fn nobody(who: &str) -> Error {
    Error::of_kind(Kind::NotFound, format!("there is no celebrity {who}"))
}

impl Celebrities {
    /// The people who are known in a gallery of their own.
    pub fn new(gallery: Gallery) -> Self {
        Self {
            gallery: Arc::new(gallery),
            told: AtomicBool::new(false),
            adding: Mutex::default(),
        }
    }

    /// The collection, or none where there is none.
    async fn known(&self) -> Result<Option<Arc<Collection>>> {
        Ok(self.gallery.with_if_there(collection).await?.flatten())
    }

    /// Who an image shows.
    ///
    /// # Errors
    /// When the image or the gallery cannot be read; those of the engine.
    pub async fn recognise(
        &self,
        networks: &dyn Predict<FacesInput, Faces>,
        image: Bytes,
        options: Options,
    ) -> Result<Recognised> {
        let people = self.known().await?;
        let people = people.filter(|collection| collection.describe().faces > 0);
        if let Some(people) = &people {
            people.comparable()?;
        }
        // Once each time that it becomes so.
        let told = self.told.swap(people.is_none(), Ordering::Relaxed);
        if people.is_none() && !told {
            tracing::warn!("{HOW_TO_FILL}");
        }
        let asked = FacesOptions {
            most: MOST_FACES,
            looks: true,
            // What nobody is compared with need not be known.
            descriptors: people.is_some(),
            ..FacesOptions::default()
        };
        let input = FacesInput {
            image,
            options: asked,
        };
        let seen = one(networks, input, options).await?;
        let Some(people) = people else {
            let unknown = (0..seen.faces.len()).collect();
            return Ok(Recognised {
                seen,
                known: Vec::new(),
                unknown,
            });
        };
        let search = |face| {
            Ok(Search {
                collection: Some(people.clone()),
                wanted: descriptor(face)?,
                most: 1,
                farthest: farthest(THRESHOLD),
                except: None,
            })
        };
        let searches = seen.faces.iter().map(search);
        let searches = searches.collect::<escala_pipelines::Result<Vec<_>>>()?;
        let found = self.gallery.search_all(searches, options).await?;
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for (place, found) in found.into_iter().enumerate() {
            let near = found.into_iter().next();
            let near = near.and_then(|(face, distance)| Some((face.user?, distance)));
            // Somebody may have been removed since.
            let user = near.and_then(|(id, distance)| Some((people.user(&id).ok()?, distance)));
            match user {
                Some((user, distance)) => known.push((Celebrity::of(user)?, place, distance)),
                None => unknown.push(place),
            }
        }
        Ok(Recognised {
            seen,
            known,
            unknown,
        })
    }

    /// Makes a person known, or known better; all photographs or none. Gives the person, and whether it is new.
    ///
    /// # Errors
    /// When something breaks a rule, a photograph has no face that is good enough, a new person has no photograph,
    /// there are too many, or the disk refuses.
    pub async fn add(
        self: &Arc<Self>,
        networks: &dyn Predict<FacesInput, Faces>,
        who: Introduction,
        options: Options,
    ) -> Result<(Celebrity, bool)> {
        check(&who)?;
        let mut faces = Vec::with_capacity(who.photos.len());
        for (called, photo) in who.photos {
            let asked = FacesOptions {
                descriptors: true,
                ..FacesOptions::default()
            };
            let input = FacesInput {
                image: photo,
                options: asked,
            };
            let at = |error: escala_pipelines::Error| {
                let message = format!("{called}: {}", error.message());
                let again = escala_pipelines::Error::new(error.kind(), message);
                match error.retry_after() {
                    Some(after) => again.with_retry_after(after),
                    None => again,
                }
            };
            let seen = one(networks, input, options).await.map_err(at)?;
            let Ok(face) = largest(&seen, Bar::AUTO) else {
                let why = match seen.faces.first() {
                    None => "there is no face in it".to_owned(),
                    Some(face) => {
                        let reasons = Bar::AUTO.reasons(&seen, face).join(", ");
                        format!("its face is not good enough: {reasons}")
                    }
                };
                return Err(invalid(format!("{called}: {why}")));
            };
            faces.push(kept(&seen, &seen.faces[face])?);
        }
        let (id, name, urls, gender) = (who.id, who.name, who.urls, who.gender);
        let celebrities = self.clone();
        let added = self.gallery.with(move |library| {
            let _alone = celebrities.adding.lock();
            let people = match faces.is_empty() {
                false => collection_or_new(library)?,
                true => match collection(library)? {
                    Some(people) => people,
                    None => return Ok(None),
                },
            };
            let before = find(&people, id.as_deref(), &name)?;
            if before.is_none() && faces.is_empty() {
                return Ok(None);
            }
            let is_new = before.is_none();
            let (id, about) = match before {
                Some(before) => (
                    before.id,
                    About {
                        name,
                        urls: urls.unwrap_or(before.urls),
                        gender: gender.unwrap_or(before.gender),
                    },
                ),
                None => (
                    id.unwrap_or_else(|| new_id(&people)),
                    About {
                        name,
                        urls: urls.unwrap_or_default(),
                        gender: gender.unwrap_or_default(),
                    },
                ),
            };
            let unwritten = |error: serde_json::Error| {
                escala_collections::Error::Invalid(format!("it cannot be written: {error}"))
            };
            let about = serde_json::to_string(&about).map_err(unwritten)?;
            people.introduce(&id, &about, Uuid::new_v4(), &faces)?;
            Ok(Some((Celebrity::of(people.user(&id)?)?, is_new)))
        });
        let added = added.await?;
        added.ok_or_else(|| invalid("somebody who is not known yet needs a photograph"))
    }

    /// A person by id.
    ///
    /// # Errors
    /// `NotFound`; when the gallery cannot be read.
    pub async fn get(&self, id: &str) -> Result<Celebrity> {
        let known = self.known().await?;
        let user = known.and_then(|people| people.user(id).ok());
        Ok(Celebrity::of(user.ok_or_else(|| nobody(id))?)?)
    }

    /// People by id, at most `asked` from where `token` says.
    ///
    /// # Errors
    /// When the gallery cannot be read.
    pub async fn list(
        &self,
        token: Option<String>,
        asked: Option<usize>,
    ) -> Result<Page<Celebrity>> {
        let most = asked
            .filter(|&most| most > 0)
            .map_or(PAGE, |most| most.min(PAGE));
        let Some(people) = self.known().await? else {
            return Ok(Page {
                items: Vec::new(),
                next: None,
            });
        };
        let page = people.users(token.as_deref(), most);
        let items = page.items.into_iter().map(Celebrity::of);
        Ok(Page {
            items: items.collect::<escala_collections::Result<_>>()?,
            next: page.next,
        })
    }

    /// Forgets a person, named by id or, where one only has it, by name. Gives who it was.
    ///
    /// # Errors
    /// `NotFound`; when the name is that of several, or the disk refuses.
    pub async fn remove(self: &Arc<Self>, who: &str) -> Result<Celebrity> {
        let wanted = who.to_owned();
        let celebrities = self.clone();
        let removed = self.gallery.with_if_there(move |library| {
            let _alone = celebrities.adding.lock();
            let Some(people) = collection(library)? else {
                return Ok(None);
            };
            let by_id = find(&people, Some(&wanted), "")?;
            let found = match by_id {
                Some(found) => Some(found),
                None => find(&people, None, &wanted)?,
            };
            if let Some(found) = &found {
                people.remove(&found.id)?;
            }
            Ok(found)
        });
        removed.await?.flatten().ok_or_else(|| nobody(who))
    }
}

/// How many people and faces there are in a folder; none where nobody was made known. Makes nothing.
///
/// # Errors
/// When it cannot be read, or another process has it.
pub fn count(folder: &Path, limits: Limits) -> escala_collections::Result<Option<(usize, usize)>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let known = collection(&Library::open(folder, limits)?)?;
    let about = known.map(|people| people.describe());
    let counts = about.map(|about| (about.users, about.faces));
    Ok(counts.filter(|(people, _)| *people > 0))
}

impl Images {
    /// Who an image shows.
    ///
    /// # Errors
    /// As [`Celebrities::recognise`].
    pub async fn recognise(&self, image: Bytes, options: Options) -> Result<Recognised> {
        let networks = &*self.faces;
        self.celebrities.recognise(networks, image, options).await
    }

    /// Makes a person known, or known better.
    ///
    /// # Errors
    /// As [`Celebrities::add`].
    pub async fn make_known(
        &self,
        who: Introduction,
        options: Options,
    ) -> Result<(Celebrity, bool)> {
        self.celebrities.add(&*self.faces, who, options).await
    }
}
