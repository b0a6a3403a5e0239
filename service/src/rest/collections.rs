//! `/v1/images/collections`: collections of faces and their users.
//!
//! An image is the body itself (`image/*` or `application/octet-stream`) with the settings in the query string, or base64
//! in a JSON body beside the settings. Places of faces in the image that was sent are in pixels; those of faces that are
//! kept are shares of their image, whose size a collection does not know.
//!
//! The answers are those of the AWS door: both ask [`crate::gallery::collections`]. What is asked and answered is in
//! `views.rs`.

mod views;

pub use views::*;

use super::call::{Call, Media};
use super::error::{ErrorBody, ImageErrors, StoredBodyErrors, StoredErrors};
use super::images::{Answer, Render, answer, bar, check_image, image_of};
use super::list::List;
use crate::app::App;
use crate::failure::Failure;
use crate::gallery::collections::{
    self as ops, ByImage, Collections, Index, MOST_ASSOCIATED, PAGE, Terms, Who, check_ids,
};
use crate::gallery::faces::Bar;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use escala_collections::{Face, FaceId, Undeleted, User};
use escala_pipelines::faces::similarity::percent;
use escala_pipelines::render::{Mark, RenderInput, answers};
use serde::de::DeserializeOwned;
use std::sync::Arc;

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

/// What is drawn of a search by image: its faces, the one that was looked for with whom it is most like.
fn marks<T>(found: &ByImage<T>, called: impl Fn(&T) -> String) -> Vec<Mark> {
    let nearest = found.found.first();
    let name = nearest.map(|(one, distance)| (found.face, called(one), percent(*distance)));
    answers::named(&found.seen, name.as_slice())
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
            let drawn = picture.map(|image| {
                let called =
                    |face: &Face| face.external.clone().unwrap_or_else(|| face.id.to_string());
                RenderInput::one(image, marks(&found, called))
            });
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
            let drawn =
                picture.map(|image| RenderInput::one(image, marks(&found, |user| user.id.clone())));
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
