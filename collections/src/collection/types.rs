//! What is asked of a collection and what it answers.

use crate::{Descriptor, FaceId};
use uuid::Uuid;

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
