//! `/v1/images/celebrities`: who an image shows, and the gallery of people who are known.

use super::call::{Call, Media};
use super::collections::{PageQuery, part};
use super::error::{ErrorBody, ImageErrors, StoredErrors};
use super::images::faces::FaceView;
use super::images::{
    Answer, ImageRequest, RenderQuery, answer, check_image, image_of, wants_picture,
};
use super::list::List;
use crate::app::App;
use crate::failure::Failure;
use crate::gallery::celebrities::{Celebrity, Introduction, KnownGender, MOST_PHOTOS, Recognised};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use escala_pipelines::faces::similarity::percent;
use escala_pipelines::render::{RenderInput, answers};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Somebody who was recognised.
#[derive(Debug, Serialize, ToSchema)]
pub struct KnownView {
    /// Who.
    #[serde(flatten)]
    celebrity: Celebrity,
    /// Likeness to the nearest of the person's faces in percent, 80 at least.
    similarity: f32,
    /// The face in the image.
    face: FaceView,
}

/// Who an image shows.
#[derive(Debug, Serialize, ToSchema)]
pub struct CelebritiesAnswer {
    /// Columns of the image.
    width: u32,
    /// Rows of the image.
    height: u32,
    /// The people who were recognised, largest face first.
    celebrities: Vec<KnownView>,
    /// Faces of others, largest first; 64 faces are looked at.
    others: Vec<FaceView>,
}

impl From<Recognised> for CelebritiesAnswer {
    fn from(found: Recognised) -> Self {
        let face = |at: usize| FaceView::from(found.seen.faces[at].clone());
        let known = found.known.into_iter();
        let known = known.map(|(celebrity, at, distance)| KnownView {
            celebrity,
            similarity: percent(distance),
            face: face(at),
        });
        Self {
            width: found.seen.width,
            height: found.seen.height,
            celebrities: known.collect(),
            others: found.unknown.into_iter().map(face).collect(),
        }
    }
}

/// Somebody who is to be known, or known better.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CelebrityRequest {
    /// The person's id, where two have one name; 1 to 64 letters and digits. Without it, the name says who it is.
    id: Option<String>,
    /// The person's name.
    #[schema(example = "Ada Lovelace")]
    name: String,
    /// Where there is more to be known; what is known already stays when this is left out.
    #[schema(value_type = Option<Vec<String>>, max_items = 255)]
    urls: Option<List<String>>,
    /// What is known already stays when this is left out.
    gender: Option<KnownGender>,
    /// Photographs in base64, of which the largest face is taken. Somebody new needs one.
    #[serde(default)]
    #[schema(value_type = Vec<String>, content_encoding = "base64", max_items = 100)]
    images: List<String>,
}

/// A part of the gallery.
#[derive(Debug, Serialize, ToSchema)]
pub struct CelebritiesPage {
    /// By id.
    celebrities: Vec<Celebrity>,
    /// To be given back for what follows; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Recognise the people of an image who are in the gallery.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/celebrities",
    operation_id = "recognise_celebrities",
    tag = "celebrities",
    params(RenderQuery),
    request_body(content(
        (ImageRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        ImageErrors,
        (status = 200, description = "Who was recognised, and the other faces; without a gallery all are others.", content((CelebritiesAnswer = "application/json"), (String = "image/png"))),
        (status = 503, description = "The model cannot be loaded now, or the gallery cannot be read.", body = ErrorBody),
    )
)]
pub async fn recognise(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Answer<CelebritiesAnswer>, Failure> {
    let picture = wants_picture(&call)?;
    let image = super::images::image(&app, &call).await?;
    let found = app.images.recognise(image.clone(), call.options).await?;
    let drawn = picture.then(|| {
        let known = found.known.iter();
        let names = known.map(|(who, place, far)| (*place, who.name.clone(), percent(*far)));
        let names: Vec<_> = names.collect();
        RenderInput::one(image, answers::named(&found.seen, &names))
    });
    answer(&app, &call, found, drawn).await
}

/// List the people who are known.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/images/celebrities/gallery",
    operation_id = "list_celebrities",
    tag = "celebrities",
    params(PageQuery),
    responses(
        StoredErrors,
        (status = 200, description = "People by id.", body = CelebritiesPage),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<CelebritiesPage>, Failure> {
    let PageQuery { max_results, next } = call.query()?;
    let page = app.images.celebrities.list(next, max_results).await?;
    Ok(Json(CelebritiesPage {
        celebrities: page.items,
        next: page.next,
    }))
}

/// Make somebody known, or known better: with more photographs, URLs or another name.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/celebrities/gallery",
    operation_id = "add_celebrity",
    tag = "celebrities",
    request_body(content((CelebrityRequest = "application/json"))),
    responses(
        ImageErrors,
        (status = 200, description = "Somebody who was known already.", body = Celebrity),
        (status = 201, description = "Somebody new.", body = Celebrity),
        (status = 400, description = "The request breaks a rule, or a photograph has no face that is good enough.", body = ErrorBody),
        (status = 409, description = "There would be too many people or faces.", body = ErrorBody),
        (status = 413, description = "The body or an image is too large.", body = ErrorBody),
        (status = 503, description = "The model cannot be loaded now, or the gallery cannot be changed.", body = ErrorBody),
    )
)]
pub async fn add(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<(StatusCode, Json<Celebrity>), Failure> {
    if call.media != Media::Json {
        return Err(call.unsupported("application/json"));
    }
    let request: CelebrityRequest = call.json().await?;
    if request.images.sent() > MOST_PHOTOS {
        let message = format!("there are more than {MOST_PHOTOS} images");
        return Err(Failure::invalid(message).at("images"));
    }
    let mut photos = Vec::with_capacity(request.images.sent());
    for (place, text) in request.images.into_items().into_iter().enumerate() {
        let image = image_of(text, "image").await?;
        check_image(&image, &app.config.limits)?;
        photos.push((format!("image {place}"), image));
    }
    let who = Introduction {
        id: request.id,
        name: request.name,
        urls: request.urls.map(List::into_items),
        gender: request.gender,
        photos,
    };
    let (celebrity, is_new) = app.images.make_known(who, call.options).await?;
    let status = match is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok((status, Json(celebrity)))
}

/// Say what is known of a person.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    get,
    path = "/v1/images/celebrities/gallery/{id}",
    operation_id = "describe_celebrity",
    tag = "celebrities",
    params(("id" = String, Path, description = "The person's id.")),
    responses(
        StoredErrors,
        (status = 200, description = "The person.", body = Celebrity),
        (status = 404, description = "Nobody has this id.", body = ErrorBody),
    )
)]
pub async fn describe(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Celebrity>, Failure> {
    Ok(Json(app.images.celebrities.get(&part(id)?).await?))
}

/// Forget a person.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    delete,
    path = "/v1/images/celebrities/gallery/{id}",
    operation_id = "remove_celebrity",
    tag = "celebrities",
    params(("id" = String, Path, description = "The person's id, or the name where only one has it.")),
    responses(
        StoredErrors,
        (status = 204, description = "The person is forgotten."),
        (status = 400, description = "Several people have this name.", body = ErrorBody),
        (status = 404, description = "Nobody has this id or name.", body = ErrorBody),
    )
)]
pub async fn remove(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Failure> {
    app.images.celebrities.remove(&part(id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
