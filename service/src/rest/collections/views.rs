//! What is asked about collections and answered, as JSON and query strings.

use crate::gallery::collections::{self as ops, ByImage, Indexed};
use crate::rest::images::Render;
use crate::rest::images::faces::FaceView;
use crate::rest::list::List;
use escala_collections::{Association, Description, Face, FaceId, Unassociated, User};
use escala_pipelines::faces::Faces;
use escala_pipelines::faces::similarity::percent;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use utoipa::{IntoParams, ToSchema};

/// A part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Most items; fewer are no sign of the end.
    #[param(minimum = 1)]
    pub(in crate::rest) max_results: Option<usize>,
    /// What the page before gave as `next`.
    pub(in crate::rest) next: Option<String>,
}

/// A new collection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// 1 to 255 letters, digits, `_`, `.` and `-`.
    #[schema(example = "people")]
    pub(super) id: String,
    /// Tags.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub(super) tags: Tags,
}

/// Most tags in a request.
pub(super) const MOST_TAGS: usize = 1000;

/// Tags as JSON gives them, no more than [`MOST_TAGS`]: parsed, a tag of few bytes takes many.
#[derive(Debug, Default)]
pub(super) struct Tags(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Few;
        impl<'de> Visitor<'de> for Few {
            type Value = Tags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tags, A::Error> {
                let mut tags = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    if tags.len() == MOST_TAGS {
                        return Err(A::Error::custom(format!("more than {MOST_TAGS} tags")));
                    }
                    tags.insert(key, value);
                }
                Ok(Tags(tags))
            }
        }
        deserializer.deserialize_map(Few)
    }
}

/// A collection.
#[derive(Debug, Serialize, ToSchema)]
pub struct CollectionView {
    #[schema(example = "people")]
    pub(crate) id: String,
    /// Faces in it.
    pub(crate) faces: usize,
    /// Users in it.
    pub(crate) users: usize,
    /// When it was made, in seconds since 1970.
    pub(crate) created: f64,
    /// Tags.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub(crate) tags: BTreeMap<String, String>,
}

impl CollectionView {
    pub(crate) fn new(about: Description, tags: BTreeMap<String, String>) -> Self {
        Self {
            id: about.id,
            faces: about.faces,
            users: about.users,
            created: about.created as f64 / 1000.0,
            tags,
        }
    }
}

/// The name of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub struct CollectionName {
    #[schema(example = "people")]
    pub(super) id: String,
}

/// A part of the list of collections.
#[derive(Debug, Serialize, ToSchema)]
pub struct CollectionsPage {
    /// By id.
    pub(super) collections: Vec<CollectionName>,
    /// To be given back for what follows; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// Changes of tags.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TagsRequest {
    /// Tags to be set.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub(super) set: Tags,
    /// Keys of tags to be removed.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub(super) remove: List<String>,
}

/// All tags of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub struct TagsAnswer {
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub(super) tags: BTreeMap<String, String>,
}

/// An image whose faces are to be kept, and how.
#[derive(Debug, Default, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct IndexRequest {
    /// The encoded image (JPEG, PNG, WebP, GIF, BMP or TIFF) in base64.
    #[schema(content_encoding = "base64", required = true)]
    #[param(ignore)]
    pub(super) image: Option<String>,
    /// What you call the image: 1 to 255 letters, digits, `_`, `.`, `-` and `:`.
    pub(super) external_id: Option<String>,
    /// Most faces, the largest ones.
    #[schema(default = 100, minimum = 1, maximum = 100)]
    #[param(default = 100, minimum = 1, maximum = 100)]
    pub(super) max_faces: Option<usize>,
    /// What is asked of faces: `none`, `auto`, `low`, `medium` or `high`.
    #[schema(default = "auto")]
    #[param(default = "auto")]
    pub(super) quality: Option<String>,
    /// Also answer age, gender, emotions, and whether eyes and mouth are open.
    #[schema(default = false)]
    pub(super) looks: Option<bool>,
    /// `png`: answer the image, with its faces drawn on it. So does the header `Accept: image/png`.
    #[param(inline)]
    pub(super) render: Option<Render>,
}

/// A place as shares of an image, 0 to 1.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShareBox {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) width: f32,
    pub(super) height: f32,
}

/// A face of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoredFaceView {
    #[schema(example = "11111111-2222-4333-8444-555555555555")]
    pub(super) id: String,
    /// The image that it was found in.
    pub(super) image_id: String,
    /// What the caller called the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) external_id: Option<String>,
    /// The user that it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    /// Where it was in the image.
    pub(super) share_box: ShareBox,
    /// How sure the detector was, in percent.
    pub(super) confidence: f32,
}

impl From<Face> for StoredFaceView {
    fn from(face: Face) -> Self {
        let [left, top, width, height] = face.place;
        Self {
            id: face.id.to_string(),
            image_id: face.image.to_string(),
            external_id: face.external,
            user: face.user,
            share_box: ShareBox {
                left,
                top,
                width,
                height,
            },
            confidence: face.confidence,
        }
    }
}

/// A face that is kept now.
#[derive(Debug, Serialize, ToSchema)]
pub struct IndexedView {
    /// As the collection keeps it.
    pub(super) face: StoredFaceView,
    /// As it was seen.
    pub(super) seen: FaceView,
}

/// A face that was seen and left out.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeftView {
    /// Why, in Rekognition's words.
    #[schema(example = json!(["SMALL_BOUNDING_BOX"]))]
    pub(super) reasons: Vec<&'static str>,
    /// As it was seen.
    pub(super) seen: FaceView,
}

pub(super) fn seen(faces: &Faces, at: usize) -> FaceView {
    faces.faces[at].clone().into()
}

pub(super) fn left(faces: &Faces, left: Vec<(usize, Vec<&'static str>)>) -> Vec<LeftView> {
    let view = |(at, reasons)| LeftView {
        reasons,
        seen: seen(faces, at),
    };
    left.into_iter().map(view).collect()
}

/// What became of an image's faces.
#[derive(Debug, Serialize, ToSchema)]
pub struct IndexAnswer {
    /// The image, as its faces name it.
    pub(super) image_id: String,
    /// Columns of the image.
    pub(super) width: u32,
    /// Rows of the image.
    pub(super) height: u32,
    /// Largest first.
    pub(super) faces: Vec<IndexedView>,
    /// Faces that are not kept.
    pub(super) left: Vec<LeftView>,
}

impl From<Indexed> for IndexAnswer {
    fn from(indexed: Indexed) -> Self {
        let view = |(face, at): (Face, usize)| IndexedView {
            face: face.into(),
            seen: seen(&indexed.seen, at),
        };
        Self {
            image_id: indexed.image.to_string(),
            width: indexed.seen.width,
            height: indexed.seen.height,
            faces: indexed.kept.into_iter().map(view).collect(),
            left: left(&indexed.seen, indexed.left),
        }
    }
}

/// Which faces to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FacesQuery {
    /// Only this user's.
    pub(super) user: Option<String>,
    /// Only these, separated by commas.
    pub(super) ids: Option<String>,
    /// Most items; fewer are no sign of the end.
    #[param(default = 4096, minimum = 1, maximum = 4096)]
    pub(super) max_results: Option<usize>,
    /// What the page before gave as `next`.
    pub(super) next: Option<String>,
}

/// A part of a list of faces.
#[derive(Debug, Serialize, ToSchema)]
pub struct FacesPage {
    /// In the order in which they came.
    pub(super) faces: Vec<StoredFaceView>,
    /// To be given back for what follows; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// Faces by id.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FaceIdsRequest {
    /// Ids of faces, at most 4,096.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 4096)]
    pub(super) ids: List<String>,
}

/// Faces that are to be a user's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssociateRequest {
    /// Ids of faces, at most 100.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 100)]
    pub(super) ids: List<String>,
    /// Least likeness to the faces that the user has, in percent.
    #[schema(default = 75.0, minimum = 0, maximum = 100)]
    pub(super) threshold: Option<f32>,
}

/// A face that is as it was.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnchangedView {
    /// Its id.
    pub(super) id: String,
    /// Why, in Rekognition's word.
    #[schema(example = "FACE_NOT_FOUND")]
    pub(super) reason: &'static str,
    /// The user that it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    /// Its likeness to the user's faces, in percent, where that is too little.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) similarity: Option<f32>,
}

/// What became of faces that were to be deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedAnswer {
    /// Ids of those that are gone.
    pub(super) deleted: Vec<String>,
    /// Those that are not.
    pub(super) left: Vec<UnchangedView>,
}

/// Whom to look for: an image's largest face, or a face of the collection.
#[derive(Debug, Default, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchRequest {
    /// The encoded image in base64; either this or `face`.
    #[schema(content_encoding = "base64")]
    #[param(ignore)]
    pub(super) image: Option<String>,
    /// The id of a face of the collection, which is left out of the answer.
    #[param(ignore)]
    pub(super) face: Option<String>,
    /// Most matches.
    #[schema(default = 80, minimum = 1, maximum = 4096)]
    #[param(default = 80, minimum = 1, maximum = 4096)]
    pub(super) max_results: Option<usize>,
    /// Least likeness in percent.
    #[schema(default = 80.0, minimum = 0, maximum = 100)]
    #[param(default = 80.0, minimum = 0, maximum = 100)]
    pub(super) threshold: Option<f32>,
    /// What is asked of the image's face: `none`, `auto`, `low`, `medium` or `high`.
    #[schema(default = "none")]
    #[param(default = "none")]
    pub(super) quality: Option<String>,
    /// `png`: answer the image, with its faces drawn on it. So does the header `Accept: image/png`.
    #[param(inline)]
    pub(super) render: Option<Render>,
}

/// A face that is like the one that was looked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct MatchView {
    /// Percent; 80 counts as the same person at AWS's default.
    pub(super) similarity: f32,
    /// Euclidean distance of the descriptors.
    pub(super) distance: f32,
    /// The face.
    pub(super) face: StoredFaceView,
}

/// Faces that are like the one that was looked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchAnswer {
    /// The face of the image that was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) searched: Option<FaceView>,
    /// Most alike first.
    pub(super) matches: Vec<MatchView>,
}

impl SearchAnswer {
    pub(crate) fn new(searched: Option<FaceView>, found: Vec<(Face, f32)>) -> Self {
        let view = |(face, distance): (Face, f32)| MatchView {
            similarity: percent(distance),
            distance,
            face: face.into(),
        };
        Self {
            searched,
            matches: found.into_iter().map(view).collect(),
        }
    }
}

impl From<ByImage<Face>> for SearchAnswer {
    fn from(found: ByImage<Face>) -> Self {
        Self::new(Some(seen(&found.seen, found.face)), found.found)
    }
}

impl From<ByImage<User>> for UsersFoundAnswer {
    fn from(found: ByImage<User>) -> Self {
        let searched = Some(seen(&found.seen, found.face));
        let others = left(&found.seen, found.others);
        Self::new(searched, others, found.found)
    }
}

/// A new user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// 1 to 128 letters, digits, `_`, `.`, `-` and `:`.
    #[schema(example = "ada")]
    pub(super) id: String,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    #[schema(example = "ada")]
    pub(crate) id: String,
    /// Faces that are its.
    pub(crate) faces: usize,
    /// `ACTIVE` with faces, `CREATED` without.
    pub(crate) status: &'static str,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            status: ops::status(&user),
            id: user.id,
            faces: user.faces,
        }
    }
}

/// A part of the list of users.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsersPage {
    /// By id.
    pub(super) users: Vec<UserView>,
    /// To be given back for what follows; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// What became of faces that were to be a user's, or not any more.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssociationAnswer {
    /// The user afterwards.
    pub(super) user: UserView,
    /// Ids of faces that are (or are not) the user's now.
    pub(super) done: Vec<String>,
    /// Those that are as they were.
    pub(super) left: Vec<UnchangedView>,
}

impl AssociationAnswer {
    pub(super) fn new((done, user): (Association, User)) -> Self {
        let view = |(id, why): (FaceId, Unassociated)| UnchangedView {
            id: id.to_string(),
            reason: ops::unassociated(&why),
            similarity: match why {
                Unassociated::TooFar(distance) => Some(percent(distance)),
                _ => None,
            },
            user: match why {
                Unassociated::OtherUser(user) => user,
                _ => None,
            },
        };
        Self {
            user: user.into(),
            done: done.done.iter().map(FaceId::to_string).collect(),
            left: done.left.into_iter().map(view).collect(),
        }
    }
}

/// Whom to look for among users: an image's largest face, a face of the collection, or a user.
#[derive(Debug, Default, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UserSearchRequest {
    /// The encoded image in base64; one of this, `face` and `user`.
    #[schema(content_encoding = "base64")]
    #[param(ignore)]
    pub(super) image: Option<String>,
    /// The id of a face of the collection.
    #[param(ignore)]
    pub(super) face: Option<String>,
    /// The id of a user, who is left out of the answer.
    #[param(ignore)]
    pub(super) user: Option<String>,
    /// Most matches.
    #[schema(default = 80, minimum = 1, maximum = 500)]
    #[param(default = 80, minimum = 1, maximum = 500)]
    pub(super) max_results: Option<usize>,
    /// Least likeness in percent.
    #[schema(default = 80.0, minimum = 0, maximum = 100)]
    #[param(default = 80.0, minimum = 0, maximum = 100)]
    pub(super) threshold: Option<f32>,
    /// What is asked of the image's face: `none`, `auto`, `low`, `medium` or `high`.
    #[schema(default = "none")]
    #[param(default = "none")]
    pub(super) quality: Option<String>,
    /// `png`: answer the image, with its faces drawn on it. So does the header `Accept: image/png`.
    #[param(inline)]
    pub(super) render: Option<Render>,
}

/// A user who is like the face that was looked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserMatchView {
    /// Percent; 80 counts as the same person at AWS's default.
    pub(super) similarity: f32,
    /// Euclidean distance to the mean of the user's descriptors.
    pub(super) distance: f32,
    /// The user.
    pub(super) user: UserView,
}

/// Users who are like whom was looked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsersFoundAnswer {
    /// The face of the image that was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) searched: Option<FaceView>,
    /// The image's other faces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left: Vec<LeftView>,
    /// Most alike first.
    pub(super) matches: Vec<UserMatchView>,
}

impl UsersFoundAnswer {
    pub(crate) fn new(
        searched: Option<FaceView>,
        left: Vec<LeftView>,
        found: Vec<(User, f32)>,
    ) -> Self {
        let view = |(user, distance): (User, f32)| UserMatchView {
            similarity: percent(distance),
            distance,
            user: user.into(),
        };
        Self {
            searched,
            left,
            matches: found.into_iter().map(view).collect(),
        }
    }
}
