//! `/v1/images/collections`: collections of faces and their users.
//!
//! An image is the body itself (`image/*` or `application/octet-stream`) with the settings in the query string, or base64
//! in a JSON body beside the settings. Places of faces in the image that was sent are in pixels; those of faces that are
//! kept are shares of their image, whose size a collection does not know.
//!
//! The answers are those of the AWS door: both ask [`crate::gallery::collections`].

use super::call::{Call, Media};
use super::error::{ErrorBody, ImageErrors, StoredBodyErrors, StoredErrors};
use super::images::faces::FaceView;
use super::images::{Answer, Render, answer, check_image, image_of};
use super::list::List;
use crate::app::App;
use crate::failure::Failure;
use crate::gallery::collections::{
    self as ops, ByImage, Collections, Index, Indexed, MOST_ASSOCIATED, PAGE, Terms, Who, check_ids,
};
use crate::gallery::faces::Bar;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use escala_collections::{Association, Description, Face, FaceId, Unassociated, Undeleted, User};
use escala_pipelines::faces::Faces;
use escala_pipelines::faces::similarity::percent;
use escala_pipelines::render::{RenderInput, answers};
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// A part of a path, as axum gives it.
type Part<T> = Result<Path<T>, PathRejection>;

/// What stands in a path.
///
/// # Errors
/// 400 when it is not UTF-8.
pub(super) fn part<T>(part: Part<T>) -> Result<T, Failure> {
    let Path(part) = part.map_err(|_| Failure::invalid("a name in the path is not valid UTF-8"))?;
    Ok(part)
}

/// A part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Most items; fewer are no sign of the end.
    #[param(minimum = 1)]
    pub(super) max_results: Option<usize>,
    /// What the page before gave as `next`.
    pub(super) next: Option<String>,
}

/// A new collection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// 1 to 255 letters, digits, `_`, `.` and `-`.
    #[schema(example = "people")]
    id: String,
    /// Tags.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, String>)]
    tags: Tags,
}

/// Most tags in a request.
const MOST_TAGS: usize = 1000;

/// Tags as JSON gives them, no more than [`MOST_TAGS`]: parsed, a tag of few bytes takes many.
#[derive(Debug, Default)]
struct Tags(BTreeMap<String, String>);

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
    id: String,
    /// Faces in it.
    faces: usize,
    /// Users in it.
    users: usize,
    /// When it was made, in seconds since 1970.
    created: f64,
    /// Tags.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    tags: BTreeMap<String, String>,
}

impl CollectionView {
    fn new(about: Description, tags: BTreeMap<String, String>) -> Self {
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
    id: String,
}

/// A part of the list of collections.
#[derive(Debug, Serialize, ToSchema)]
pub struct CollectionsPage {
    /// By id.
    collections: Vec<CollectionName>,
    /// To be given back for what follows; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Changes of tags.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TagsRequest {
    /// Tags to be set.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, String>)]
    set: Tags,
    /// Keys of tags to be removed.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    remove: List<String>,
}

/// All tags of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub struct TagsAnswer {
    #[schema(value_type = std::collections::HashMap<String, String>)]
    tags: BTreeMap<String, String>,
}

/// An image whose faces are to be kept, and how.
#[derive(Debug, Default, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct IndexRequest {
    /// The encoded image (JPEG, PNG, WebP, GIF, BMP or TIFF) in base64.
    #[schema(content_encoding = "base64", required = true)]
    #[param(ignore)]
    image: Option<String>,
    /// What you call the image: 1 to 255 letters, digits, `_`, `.`, `-` and `:`.
    external_id: Option<String>,
    /// Most faces, the largest ones.
    #[schema(default = 100, minimum = 1, maximum = 100)]
    #[param(default = 100, minimum = 1, maximum = 100)]
    max_faces: Option<usize>,
    /// What is asked of faces: `none`, `auto`, `low`, `medium` or `high`.
    #[schema(default = "auto")]
    #[param(default = "auto")]
    quality: Option<String>,
    /// Also answer age, gender, emotions, and whether eyes and mouth are open.
    #[schema(default = false)]
    looks: Option<bool>,
    /// `png`: answer the image, with its faces drawn on it. So does the header `Accept: image/png`.
    #[param(inline)]
    render: Option<Render>,
}

/// A place as shares of an image, 0 to 1.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShareBox {
    left: f32,
    top: f32,
    width: f32,
    height: f32,
}

/// A face of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoredFaceView {
    #[schema(example = "11111111-2222-4333-8444-555555555555")]
    id: String,
    /// The image that it was found in.
    image_id: String,
    /// What the caller called the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    /// The user that it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Where it was in the image.
    share_box: ShareBox,
    /// How sure the detector was, in percent.
    confidence: f32,
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
    face: StoredFaceView,
    /// As it was seen.
    seen: FaceView,
}

/// A face that was seen and left out.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeftView {
    /// Why, in Rekognition's words.
    #[schema(example = json!(["SMALL_BOUNDING_BOX"]))]
    reasons: Vec<&'static str>,
    /// As it was seen.
    seen: FaceView,
}

fn seen(faces: &Faces, at: usize) -> FaceView {
    faces.faces[at].clone().into()
}

fn left(faces: &Faces, left: Vec<(usize, Vec<&'static str>)>) -> Vec<LeftView> {
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
    image_id: String,
    /// Columns of the image.
    width: u32,
    /// Rows of the image.
    height: u32,
    /// Largest first.
    faces: Vec<IndexedView>,
    /// Faces that are not kept.
    left: Vec<LeftView>,
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
    user: Option<String>,
    /// Only these, separated by commas.
    ids: Option<String>,
    /// Most items; fewer are no sign of the end.
    #[param(default = 4096, minimum = 1, maximum = 4096)]
    max_results: Option<usize>,
    /// What the page before gave as `next`.
    next: Option<String>,
}

/// A part of a list of faces.
#[derive(Debug, Serialize, ToSchema)]
pub struct FacesPage {
    /// In the order in which they came.
    faces: Vec<StoredFaceView>,
    /// To be given back for what follows; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Faces by id.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FaceIdsRequest {
    /// Ids of faces, at most 4,096.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 4096)]
    ids: List<String>,
}

/// Faces that are to be a user's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssociateRequest {
    /// Ids of faces, at most 100.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 100)]
    ids: List<String>,
    /// Least likeness to the faces that the user has, in percent.
    #[schema(default = 75.0, minimum = 0, maximum = 100)]
    threshold: Option<f32>,
}

/// A face that is as it was.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnchangedView {
    /// Its id.
    id: String,
    /// Why, in Rekognition's word.
    #[schema(example = "FACE_NOT_FOUND")]
    reason: &'static str,
    /// The user that it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Its likeness to the user's faces, in percent, where that is too little.
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f32>,
}

/// What became of faces that were to be deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedAnswer {
    /// Ids of those that are gone.
    deleted: Vec<String>,
    /// Those that are not.
    left: Vec<UnchangedView>,
}

/// Whom to look for: an image's largest face, or a face of the collection.
#[derive(Debug, Default, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchRequest {
    /// The encoded image in base64; either this or `face`.
    #[schema(content_encoding = "base64")]
    #[param(ignore)]
    image: Option<String>,
    /// The id of a face of the collection, which is left out of the answer.
    #[param(ignore)]
    face: Option<String>,
    /// Most matches.
    #[schema(default = 80, minimum = 1, maximum = 4096)]
    #[param(default = 80, minimum = 1, maximum = 4096)]
    max_results: Option<usize>,
    /// Least likeness in percent.
    #[schema(default = 80.0, minimum = 0, maximum = 100)]
    #[param(default = 80.0, minimum = 0, maximum = 100)]
    threshold: Option<f32>,
    /// What is asked of the image's face: `none`, `auto`, `low`, `medium` or `high`.
    #[schema(default = "none")]
    #[param(default = "none")]
    quality: Option<String>,
    /// `png`: answer the image, with its faces drawn on it. So does the header `Accept: image/png`.
    #[param(inline)]
    render: Option<Render>,
}

/// A face that is like the one that was looked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct MatchView {
    /// Percent; 80 counts as the same person at AWS's default.
    similarity: f32,
    /// Euclidean distance of the descriptors.
    distance: f32,
    /// The face.
    face: StoredFaceView,
}

/// Faces that are like the one that was looked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchAnswer {
    /// The face of the image that was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    searched: Option<FaceView>,
    /// Most alike first.
    matches: Vec<MatchView>,
}

impl SearchAnswer {
    fn new(searched: Option<FaceView>, found: Vec<(Face, f32)>) -> Self {
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

/// A new user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// 1 to 128 letters, digits, `_`, `.`, `-` and `:`.
    #[schema(example = "ada")]
    id: String,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    #[schema(example = "ada")]
    id: String,
    /// Faces that are its.
    faces: usize,
    /// `ACTIVE` with faces, `CREATED` without.
    status: &'static str,
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
    users: Vec<UserView>,
    /// To be given back for what follows; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What became of faces that were to be a user's, or not any more.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssociationAnswer {
    /// The user afterwards.
    user: UserView,
    /// Ids of faces that are (or are not) the user's now.
    done: Vec<String>,
    /// Those that are as they were.
    left: Vec<UnchangedView>,
}

impl AssociationAnswer {
    fn new((done, user): (Association, User)) -> Self {
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
    image: Option<String>,
    /// The id of a face of the collection.
    #[param(ignore)]
    face: Option<String>,
    /// The id of a user, who is left out of the answer.
    #[param(ignore)]
    user: Option<String>,
    /// Most matches.
    #[schema(default = 80, minimum = 1, maximum = 500)]
    #[param(default = 80, minimum = 1, maximum = 500)]
    max_results: Option<usize>,
    /// Least likeness in percent.
    #[schema(default = 80.0, minimum = 0, maximum = 100)]
    #[param(default = 80.0, minimum = 0, maximum = 100)]
    threshold: Option<f32>,
    /// What is asked of the image's face: `none`, `auto`, `low`, `medium` or `high`.
    #[schema(default = "none")]
    #[param(default = "none")]
    quality: Option<String>,
    /// `png`: answer the image, with its faces drawn on it. So does the header `Accept: image/png`.
    #[param(inline)]
    render: Option<Render>,
}

/// A user who is like the face that was looked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserMatchView {
    /// Percent; 80 counts as the same person at AWS's default.
    similarity: f32,
    /// Euclidean distance to the mean of the user's descriptors.
    distance: f32,
    /// The user.
    user: UserView,
}

/// Users who are like whom was looked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsersFoundAnswer {
    /// The face of the image that was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    searched: Option<FaceView>,
    /// The image's other faces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<LeftView>,
    /// Most alike first.
    matches: Vec<UserMatchView>,
}

impl UsersFoundAnswer {
    fn new(searched: Option<FaceView>, left: Vec<LeftView>, found: Vec<(User, f32)>) -> Self {
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

// --- reading requests ------------------------------------------------------------------------------------

impl Call {
    /// A body that can be JSON only.
    pub(super) async fn json_only<T: DeserializeOwned + Send + 'static>(
        &self,
    ) -> Result<T, Failure> {
        match self.media {
            Media::Json => self.json().await,
            _ => Err(self.unsupported("application/json")),
        }
    }
}

/// A request that has an image in it, wherever it stands.
trait WithImage: DeserializeOwned + Send + 'static {
    /// The image in base64, taken out.
    fn image(&mut self) -> Option<String>;

    /// Whether something stands there that belongs into a JSON body only.
    fn is_for_json(&self) -> bool;
}

impl WithImage for IndexRequest {
    fn image(&mut self) -> Option<String> {
        self.image.take()
    }

    fn is_for_json(&self) -> bool {
        self.image.is_some()
    }
}

impl WithImage for SearchRequest {
    fn image(&mut self) -> Option<String> {
        self.image.take()
    }

    fn is_for_json(&self) -> bool {
        self.image.is_some() || self.face.is_some()
    }
}

impl WithImage for UserSearchRequest {
    fn image(&mut self) -> Option<String> {
        self.image.take()
    }

    fn is_for_json(&self) -> bool {
        self.image.is_some() || self.face.is_some() || self.user.is_some()
    }
}

/// A request and its image, within the limits: both in a JSON body, or the image as the body and the rest in the query.
async fn with_image<T: WithImage>(app: &App, call: &Call) -> Result<(T, Option<Bytes>), Failure> {
    let (request, image) = match call.media {
        Media::Json if !call.query.is_empty() => {
            return Err(Failure::invalid(
                "with a JSON body, settings belong into the body, not into the query string",
            ));
        }
        Media::Json => {
            let mut request: T = call.json().await?;
            let image = match request.image() {
                Some(text) => Some(image_of(text, "image").await?),
                None => None,
            };
            (request, image)
        }
        Media::Image => {
            let request: T = call.query()?;
            if request.is_for_json() {
                return Err(Failure::invalid(
                    "the image is the body, so that nothing else can be looked for",
                ));
            }
            (request, Some(call.body.clone()))
        }
        _ => return Err(call.unsupported("application/json, image/* or application/octet-stream")),
    };
    if let Some(image) = &image {
        check_image(image, &app.config.limits)?;
    }
    Ok((request, image))
}

/// The image, where it is to be drawn on.
///
/// # Errors
/// 400 where a picture is asked for and there is no image.
fn drawn(
    call: &Call,
    render: Option<Render>,
    image: Option<&Bytes>,
) -> Result<Option<Bytes>, Failure> {
    match (image, render) {
        (None, Some(_)) => {
            let why = "there is a picture only where an image is looked for";
            Err(Failure::invalid(why).at("render"))
        }
        (image, render) => {
            let wanted = call.prefers_png || render.is_some();
            Ok(image.filter(|_| wanted).cloned())
        }
    }
}

fn bar(quality: Option<String>, default: Bar) -> Result<Bar, Failure> {
    let Some(quality) = quality else {
        return Ok(default);
    };
    Bar::named(&quality.to_ascii_uppercase()).ok_or_else(|| {
        let names = Bar::NAMES.map(str::to_ascii_lowercase).join(", ");
        Failure::invalid(format!("`quality` is one of {names}")).at("quality")
    })
}

fn check_threshold(threshold: Option<f32>) -> Result<(), Failure> {
    match threshold.is_none_or(|percent| (0.0..=100.0).contains(&percent)) {
        true => Ok(()),
        false => Err(Failure::invalid("`threshold` must be between 0 and 100").at("threshold")),
    }
}

/// Ids of faces, at most `most`.
fn ids<'t>(
    sent: usize,
    texts: impl Iterator<Item = &'t str>,
    most: usize,
) -> Result<Vec<FaceId>, Failure> {
    if sent > most {
        let message = format!("there are {sent} ids; at most {most} are taken");
        return Err(Failure::invalid(message).at("ids"));
    }
    let id = |text: &str| {
        let wrong = |_| {
            let text: String = text.chars().take(100).collect();
            Failure::invalid(format!("`{text}` is not the id of a face")).at("ids")
        };
        text.parse().map_err(wrong)
    };
    texts.map(id).collect()
}

fn listed(texts: &List<String>, most: usize) -> Result<Vec<FaceId>, Failure> {
    let ids = ids(texts.sent(), texts.items().iter().map(String::as_str), most)?;
    check_ids(&ids, most)?;
    Ok(ids)
}

fn no_image() -> Failure {
    Failure::invalid("there is no image").at("image")
}

// --- routes ----------------------------------------------------------------------------------------------

/// List the collections.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/images/collections",
    operation_id = "list_collections",
    tag = "collections",
    params(PageQuery),
    responses(
        StoredErrors,
        (status = 200, description = "Collections by id.", body = CollectionsPage),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<CollectionsPage>, Failure> {
    let PageQuery { max_results, next } = call.query()?;
    let collections = Collections::of(&app.images, call.options);
    let page = collections.list(next, max_results).await?;
    let names = page.items.into_iter().map(|(id, _)| CollectionName { id });
    Ok(Json(CollectionsPage {
        collections: names.collect(),
        next: page.next,
    }))
}

/// Make a collection.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/collections",
    operation_id = "create_collection",
    tag = "collections",
    request_body(content((CreateRequest = "application/json"))),
    responses(
        StoredBodyErrors,
        (status = 201, description = "The collection, empty.", body = CollectionView),
        (status = 409, description = "The collection exists, or there are too many.", body = ErrorBody),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<(StatusCode, Json<CollectionView>), Failure> {
    let CreateRequest { id, tags } = call.json_only().await?;
    let collections = Collections::of(&app.images, call.options);
    let made = collections.create(&id, tags.0.clone()).await?;
    Ok((StatusCode::CREATED, Json(CollectionView::new(made, tags.0))))
}

/// Describe a collection.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/images/collections/{id}",
    operation_id = "describe_collection",
    tag = "collections",
    params(("id" = String, Path, description = "The collection.")),
    responses(
        StoredErrors,
        (status = 200, description = "The collection.", body = CollectionView),
        (status = 404, description = "There is no such collection.", body = ErrorBody),
    )
)]
pub async fn describe(
    State(app): State<Arc<App>>,
    id: Part<String>,
    call: Call,
) -> Result<Json<CollectionView>, Failure> {
    let collections = Collections::of(&app.images, call.options);
    let (about, tags) = collections.describe(&part(id)?).await?;
    Ok(Json(CollectionView::new(about, tags)))
}

/// Delete a collection with all its faces.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    delete,
    path = "/v1/images/collections/{id}",
    operation_id = "delete_collection",
    tag = "collections",
    params(("id" = String, Path, description = "The collection.")),
    responses(
        StoredErrors,
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is no such collection.", body = ErrorBody),
    )
)]
pub async fn delete(
    State(app): State<Arc<App>>,
    id: Part<String>,
    call: Call,
) -> Result<StatusCode, Failure> {
    let collections = Collections::of(&app.images, call.options);
    collections.delete(&part(id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Set and remove tags of a collection.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    patch,
    path = "/v1/images/collections/{id}/tags",
    operation_id = "tag_collection",
    tag = "collections",
    params(("id" = String, Path, description = "The collection.")),
    request_body(content((TagsRequest = "application/json"))),
    responses(
        StoredBodyErrors,
        (status = 200, description = "All tags.", body = TagsAnswer),
        (status = 404, description = "There is no such collection.", body = ErrorBody),
        (status = 409, description = "There would be too many tags.", body = ErrorBody),
    )
)]
pub async fn tags(
    State(app): State<Arc<App>>,
    id: Part<String>,
    call: Call,
) -> Result<Json<TagsAnswer>, Failure> {
    let TagsRequest { set, remove } = call.json_only().await?;
    if remove.sent() > MOST_TAGS {
        let message = format!("there are more than {MOST_TAGS} keys to be removed");
        return Err(Failure::invalid(message).at("remove"));
    }
    let collections = Collections::of(&app.images, call.options);
    let (id, remove) = (part(id)?, remove.into_items());
    let tags = collections.tag(&id, set.0, remove).await?;
    Ok(Json(TagsAnswer { tags }))
}

/// Keep the faces of an image.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/collections/{id}/faces",
    operation_id = "index_faces",
    tag = "collections",
    params(("id" = String, Path, description = "The collection."), IndexRequest),
    request_body(content(
        (IndexRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        ImageErrors,
        (status = 200, description = "What became of the image's faces.", content((IndexAnswer = "application/json"), (String = "image/png"))),
        (status = 404, description = "There is no such collection.", body = ErrorBody),
        (status = 409, description = "The collection would have too many faces.", body = ErrorBody),
        (status = 503, description = "The model cannot be loaded now, or the collection cannot be changed.", body = ErrorBody),
    )
)]
pub async fn index(
    State(app): State<Arc<App>>,
    id: Part<String>,
    call: Call,
) -> Result<Answer<IndexAnswer>, Failure> {
    let (request, image): (IndexRequest, _) = with_image(&app, &call).await?;
    let picture = call.prefers_png || request.render.is_some();
    let how = Index {
        external: request.external_id,
        bar: bar(request.quality, Bar::AUTO)?,
        most: request.max_faces,
        looks: request.looks.unwrap_or(false),
        gaze: request.looks.unwrap_or(false),
    };
    let collections = Collections::of(&app.images, call.options);
    let image = image.ok_or_else(no_image)?;
    let indexed = collections.index(&part(id)?, image.clone(), how).await?;
    let drawn = picture.then(|| RenderInput::one(image, answers::faces(&indexed.seen)));
    answer(&app, &call, indexed, drawn).await
}

/// List faces of a collection.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/images/collections/{id}/faces",
    operation_id = "list_faces",
    tag = "collections",
    params(("id" = String, Path, description = "The collection."), FacesQuery),
    responses(
        StoredErrors,
        (status = 200, description = "Faces in the order in which they came.", body = FacesPage),
        (status = 400, description = "The request breaks a rule, or `next` is not of this list.", body = ErrorBody),
        (status = 404, description = "There is no such collection or user.", body = ErrorBody),
    )
)]
pub async fn faces(
    State(app): State<Arc<App>>,
    id: Part<String>,
    call: Call,
) -> Result<Json<FacesPage>, Failure> {
    let query: FacesQuery = call.query()?;
    let wanted = match &query.ids {
        Some(texts) => Some(ids(texts.split(',').count(), texts.split(','), PAGE)?),
        None => None,
    };
    let collections = Collections::of(&app.images, call.options);
    let (id, next, most) = (part(id)?, query.next, query.max_results);
    let page = collections.faces(&id, query.user, wanted, next, most);
    let page = page.await?;
    Ok(Json(FacesPage {
        faces: page.items.into_iter().map(StoredFaceView::from).collect(),
        next: page.next,
    }))
}

/// Delete faces that are no user's.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    delete,
    path = "/v1/images/collections/{id}/faces",
    operation_id = "delete_faces",
    tag = "collections",
    params(("id" = String, Path, description = "The collection.")),
    request_body(content((FaceIdsRequest = "application/json"))),
    responses(
        StoredBodyErrors,
        (status = 200, description = "What became of the faces.", body = DeletedAnswer),
        (status = 404, description = "There is no such collection.", body = ErrorBody),
    )
)]
pub async fn delete_faces(
    State(app): State<Arc<App>>,
    id: Part<String>,
    call: Call,
) -> Result<Json<DeletedAnswer>, Failure> {
    let FaceIdsRequest { ids } = call.json_only().await?;
    let ids = listed(&ids, PAGE)?;
    let collections = Collections::of(&app.images, call.options);
    let deleted = collections.delete_faces(&part(id)?, ids).await?;
    let view = |(id, why, user): (FaceId, Undeleted, Option<String>)| UnchangedView {
        id: id.to_string(),
        reason: ops::undeleted(why),
        user,
        similarity: None,
    };
    Ok(Json(DeletedAnswer {
        deleted: deleted.done.iter().map(FaceId::to_string).collect(),
        left: deleted.left.into_iter().map(view).collect(),
    }))
}

/// Look for faces that are like an image's largest face, or like a face of the collection.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/collections/{id}/search",
    operation_id = "search_faces",
    tag = "collections",
    params(("id" = String, Path, description = "The collection."), SearchRequest),
    request_body(content(
        (SearchRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        ImageErrors,
        (status = 200, description = "Faces, most alike first.", content((SearchAnswer = "application/json"), (String = "image/png"))),
        (status = 400, description = "The request breaks a rule, the bytes are not an image, or it has no face.", body = ErrorBody),
        (status = 404, description = "There is no such collection or face.", body = ErrorBody),
        (status = 503, description = "The model cannot be loaded now, or the collection cannot be read.", body = ErrorBody),
    )
)]
pub async fn search(
    State(app): State<Arc<App>>,
    id: Part<String>,
    call: Call,
) -> Result<Answer<SearchAnswer>, Failure> {
    let (request, image): (SearchRequest, _) = with_image(&app, &call).await?;
    let picture = drawn(&call, request.render, image.as_ref())?;
    check_threshold(request.threshold)?;
    let terms = Terms {
        most: request.max_results,
        least: request.threshold,
    };
    let (id, bar) = (part(id)?, bar(request.quality, Bar::NONE)?);
    let collections = Collections::of(&app.images, call.options);
    match (image, request.face) {
        (Some(image), None) => {
            let found = collections.like_image(&id, image, bar, terms).await?;
            let drawn = picture.map(|image| RenderInput::one(image, answers::faces(&found.seen)));
            answer(&app, &call, found, drawn).await
        }
        (None, Some(face)) => {
            let found = collections.like(&id, ops::face_id(&face)?, terms).await?;
            Ok(Answer::Json(SearchAnswer::new(None, found)))
        }
        _ => Err(Failure::invalid("give either `image` or `face`")),
    }
}

/// List the users of a collection.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/images/collections/{id}/users",
    operation_id = "list_users",
    tag = "collections",
    params(("id" = String, Path, description = "The collection."), PageQuery),
    responses(
        StoredErrors,
        (status = 200, description = "Users by id.", body = UsersPage),
        (status = 404, description = "There is no such collection.", body = ErrorBody),
    )
)]
pub async fn users(
    State(app): State<Arc<App>>,
    id: Part<String>,
    call: Call,
) -> Result<Json<UsersPage>, Failure> {
    let PageQuery { max_results, next } = call.query()?;
    let collections = Collections::of(&app.images, call.options);
    let page = collections.users(&part(id)?, next, max_results).await?;
    Ok(Json(UsersPage {
        users: page.items.into_iter().map(UserView::from).collect(),
        next: page.next,
    }))
}

/// Make a user without faces.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/collections/{id}/users",
    operation_id = "create_user",
    tag = "collections",
    params(("id" = String, Path, description = "The collection.")),
    request_body(content((UserRequest = "application/json"))),
    responses(
        StoredBodyErrors,
        (status = 201, description = "The user.", body = UserView),
        (status = 404, description = "There is no such collection.", body = ErrorBody),
        (status = 409, description = "The user exists, or there are too many.", body = ErrorBody),
    )
)]
pub async fn create_user(
    State(app): State<Arc<App>>,
    id: Part<String>,
    call: Call,
) -> Result<(StatusCode, Json<UserView>), Failure> {
    let UserRequest { id: user } = call.json_only().await?;
    let collections = Collections::of(&app.images, call.options);
    collections.create_user(&part(id)?, &user).await?;
    let user = User {
        id: user,
        faces: 0,
        about: None,
    };
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// Delete a user; its faces stay in the collection.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    delete,
    path = "/v1/images/collections/{id}/users/{user}",
    operation_id = "delete_user",
    tag = "collections",
    params(
        ("id" = String, Path, description = "The collection."),
        ("user" = String, Path, description = "The user."),
    ),
    responses(
        StoredErrors,
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is no such collection or user.", body = ErrorBody),
    )
)]
pub async fn delete_user(
    State(app): State<Arc<App>>,
    ids: Part<(String, String)>,
    call: Call,
) -> Result<StatusCode, Failure> {
    let (id, user) = part(ids)?;
    let collections = Collections::of(&app.images, call.options);
    collections.delete_user(&id, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes the user whose name is that of the route for searches.
///
/// # Errors
/// Those of [`crate::failure`].
pub async fn delete_user_named_search(
    State(app): State<Arc<App>>,
    id: Part<String>,
    call: Call,
) -> Result<StatusCode, Failure> {
    let collections = Collections::of(&app.images, call.options);
    collections.delete_user(&part(id)?, "search").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make faces a user's, if they are like those that it has.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/collections/{id}/users/{user}/faces",
    operation_id = "associate_faces",
    tag = "collections",
    params(
        ("id" = String, Path, description = "The collection."),
        ("user" = String, Path, description = "The user."),
    ),
    request_body(content((AssociateRequest = "application/json"))),
    responses(
        StoredBodyErrors,
        (status = 200, description = "What became of the faces.", body = AssociationAnswer),
        (status = 404, description = "There is no such collection or user.", body = ErrorBody),
        (status = 409, description = "The user would have too many faces.", body = ErrorBody),
    )
)]
pub async fn associate(
    State(app): State<Arc<App>>,
    ids: Part<(String, String)>,
    call: Call,
) -> Result<Json<AssociationAnswer>, Failure> {
    let AssociateRequest {
        ids: faces,
        threshold,
    } = call.json_only().await?;
    check_threshold(threshold)?;
    let (id, user) = part(ids)?;
    let faces = listed(&faces, MOST_ASSOCIATED)?;
    let collections = Collections::of(&app.images, call.options);
    let done = collections.associate(&id, &user, faces, threshold).await?;
    Ok(Json(AssociationAnswer::new(done)))
}

/// Take faces from a user; they stay in the collection.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    delete,
    path = "/v1/images/collections/{id}/users/{user}/faces",
    operation_id = "disassociate_faces",
    tag = "collections",
    params(
        ("id" = String, Path, description = "The collection."),
        ("user" = String, Path, description = "The user."),
    ),
    request_body(content((FaceIdsRequest = "application/json"))),
    responses(
        StoredBodyErrors,
        (status = 200, description = "What became of the faces.", body = AssociationAnswer),
        (status = 404, description = "There is no such collection or user.", body = ErrorBody),
    )
)]
pub async fn disassociate(
    State(app): State<Arc<App>>,
    ids: Part<(String, String)>,
    call: Call,
) -> Result<Json<AssociationAnswer>, Failure> {
    let FaceIdsRequest { ids: faces } = call.json_only().await?;
    let (id, user) = part(ids)?;
    let faces = listed(&faces, MOST_ASSOCIATED)?;
    let collections = Collections::of(&app.images, call.options);
    let done = collections.disassociate(&id, &user, faces).await?;
    Ok(Json(AssociationAnswer::new(done)))
}

/// Look for users who are like an image's largest face, a face of the collection, or another user.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/collections/{id}/users/search",
    operation_id = "search_users",
    tag = "collections",
    params(("id" = String, Path, description = "The collection."), UserSearchRequest),
    request_body(content(
        (UserSearchRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        ImageErrors,
        (status = 200, description = "Users, most alike first.", content((UsersFoundAnswer = "application/json"), (String = "image/png"))),
        (status = 400, description = "The request breaks a rule, the bytes are not an image, or it has no face.", body = ErrorBody),
        (status = 404, description = "There is no such collection, face or user.", body = ErrorBody),
        (status = 503, description = "The model cannot be loaded now, or the collection cannot be read.", body = ErrorBody),
    )
)]
pub async fn search_users(
    State(app): State<Arc<App>>,
    id: Part<String>,
    call: Call,
) -> Result<Answer<UsersFoundAnswer>, Failure> {
    let (request, image): (UserSearchRequest, _) = with_image(&app, &call).await?;
    let picture = drawn(&call, request.render, image.as_ref())?;
    check_threshold(request.threshold)?;
    let terms = Terms {
        most: request.max_results,
        least: request.threshold,
    };
    let (id, bar) = (part(id)?, bar(request.quality, Bar::NONE)?);
    let collections = Collections::of(&app.images, call.options);
    let who = match (image, request.face, request.user) {
        (Some(image), None, None) => {
            let found = collections.users_like_image(&id, image, bar, terms).await?;
            let searched = Some(seen(&found.seen, found.face));
            let drawn = picture.map(|image| RenderInput::one(image, answers::faces(&found.seen)));
            let others = left(&found.seen, found.others);
            let found = UsersFoundAnswer::new(searched, others, found.found);
            return answer(&app, &call, found, drawn).await;
        }
        (None, Some(face), None) => Who::Face(ops::face_id(&face)?),
        (None, None, Some(user)) => Who::User(user),
        _ => {
            return Err(Failure::invalid(
                "give exactly one of `image`, `face` and `user`",
            ));
        }
    };
    let found = collections.users_like(&id, who, terms).await?;
    let found = UsersFoundAnswer::new(None, Vec::new(), found);
    Ok(Answer::Json(found))
}
