//! Collections of faces and their users: everything from `CreateCollection` to `SearchUsersByImage`, and their tags.
//!
//! Ids of faces and images are random. A user is `ACTIVE` from its first face on and `CREATED` before; its likeness is that
//! of the mean of its faces. `ClientRequestToken` is taken and not needed: the operations that have one are the same
//! however often they are called.

use super::faces::{Attributes, Bar, THRESHOLD, bounding_box, descriptor, detail, find, largest};
use super::faces::{place, shares};
use super::image::Image;
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::{Aws, number};
use crate::gallery::{Found, Gallery, Search, engine_error};
use escala_collections::{
    Collection, Face, FaceFilter, FaceId, Library, NewFace, Unassociated, Undeleted, User,
};
use escala_pipelines::faces::similarity::{farthest, percent};
use escala_pipelines::faces::{self, Faces, FacesOptions};
use escala_pipelines::{Error, Kind, Options};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// The version of the networks whose descriptors a collection holds.
const VERSION: &str = "1.0";

/// Items of a page and of a search when the request does not say, and the most there can be.
const PAGE: usize = 4096;
/// Faces or users of a search when the request does not say.
const FOUND: usize = 80;
/// Users of a page.
const USERS: usize = 500;
/// Faces that are indexed of one image.
const MOST_FACES: usize = 100;

/// What stands before a collection's id in its name as a resource.
const ARN: &str = "arn:aws:rekognition:us-east-1:000000000000:collection/";

/// The members of all these requests; each operation has some, which the service model has checked.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Input {
    #[serde(default)]
    collection_id: String,
    image: Option<Image>,
    external_image_id: Option<String>,
    detection_attributes: Option<Vec<String>>,
    quality_filter: Option<String>,
    face_id: Option<String>,
    face_ids: Option<Vec<String>>,
    user_id: Option<String>,
    max_faces: Option<f64>,
    max_users: Option<f64>,
    max_results: Option<f64>,
    next_token: Option<String>,
    face_match_threshold: Option<f32>,
    user_match_threshold: Option<f32>,
    tags: Option<BTreeMap<String, String>>,
    tag_keys: Option<Vec<String>>,
    #[serde(default)]
    resource_arn: String,
}

/// A call with what its answer needs.
struct Work<'a> {
    aws: &'a Aws,
    call: Call,
    options: Options,
}

/// Runs a request.
///
/// # Errors
/// What the operation answers instead of its output.
pub async fn run(aws: &Aws, call: Call, input: Input, options: Options) -> Result<Value, Failure> {
    let work = Work { aws, call, options };
    match call.operation.name.as_str() {
        "CreateCollection" => work.create(input).await,
        "DescribeCollection" => work.describe(input).await,
        "ListCollections" => work.list(input).await,
        "DeleteCollection" => {
            let id = input.collection_id;
            work.library(move |library| library.delete(&id)).await?;
            Ok(json!({"StatusCode": 200}))
        }
        "IndexFaces" => work.index(input).await,
        "ListFaces" => work.list_faces(input).await,
        "DeleteFaces" => work.delete_faces(input).await,
        "SearchFaces" => work.search_faces(input).await,
        "SearchFacesByImage" => work.search_faces_by_image(input).await,
        "CreateUser" => {
            let user = input.user_id.unwrap_or_default();
            work.collection(input.collection_id, move |collection| {
                collection.create_user(&user)
            })
            .await?;
            Ok(json!({}))
        }
        "DeleteUser" => {
            let user = input.user_id.unwrap_or_default();
            work.collection(input.collection_id, move |collection| {
                collection.delete_user(&user)
            })
            .await?;
            Ok(json!({}))
        }
        "ListUsers" => work.list_users(input).await,
        "AssociateFaces" => work.associate(input).await,
        "DisassociateFaces" => work.disassociate(input).await,
        "SearchUsers" => work.search_users(input).await,
        "SearchUsersByImage" => work.search_users_by_image(input).await,
        "TagResource" | "UntagResource" | "ListTagsForResource" => work.tags(input).await,
        other => Err(Failure::not_implemented(call.service.id, other)),
    }
}

/// Ids of faces; what is none stays out, because no face has it.
fn ids(texts: Option<Vec<String>>) -> Vec<FaceId> {
    let texts = texts.unwrap_or_default();
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn most(asked: Option<f64>, default: usize, bound: usize) -> usize {
    // The model's bounds hold; a page of none is the default's, as at AWS.
    match asked.map(|asked| asked as usize) {
        None | Some(0) => default,
        Some(asked) => asked.min(bound),
    }
}

/// `Face`.
fn face(face: &Face) -> Result<Value, Error> {
    let mut value = json!({
        "FaceId": face.id.to_string(),
        "BoundingBox": place(face.place)?,
        "ImageId": face.image.to_string(),
        "Confidence": number(face.confidence)?,
        "IndexFacesModelVersion": VERSION,
    });
    if let Some(external) = &face.external {
        value["ExternalImageId"] = json!(external);
    }
    if let Some(user) = &face.user {
        value["UserId"] = json!(user);
    }
    Ok(value)
}

fn matches(found: &Found) -> Result<Vec<Value>, Error> {
    let one = |(found, distance): &(Face, f32)| {
        Ok(json!({"Similarity": number(percent(*distance))?, "Face": face(found)?}))
    };
    found.iter().map(one).collect()
}

fn status(user: &User) -> &'static str {
    match user.faces {
        0 => "CREATED",
        _ => "ACTIVE",
    }
}

fn user_matches(found: &[(User, f32)]) -> Result<Vec<Value>, Error> {
    let one = |(user, distance): &(User, f32)| {
        Ok(json!({
            "Similarity": number(percent(*distance))?,
            "User": {"UserId": user.id, "UserStatus": status(user)},
        }))
    };
    found.iter().map(one).collect()
}

impl Work<'_> {
    fn gallery(&self) -> &Arc<Gallery> {
        &self.aws.images.gallery
    }

    fn engine(&self, error: Error) -> Failure {
        Failure::of(self.call.service.id, self.call.operation, error)
    }

    /// AWS's code for what a collection cannot do.
    fn failure(&self, error: escala_collections::Error) -> Failure {
        use escala_collections::Error as E;
        let declared = match &error {
            E::Exists(id) => Some((
                "ResourceAlreadyExistsException",
                format!("The collection id: {id} already exists."),
            )),
            E::NoCollection(id) => Some((
                "ResourceNotFoundException",
                format!("The collection id: {id} does not exist"),
            )),
            E::UserExists(_) => Some(("ConflictException", error.to_string())),
            E::Token => Some((
                "InvalidPaginationTokenException",
                "Invalid Token".to_owned(),
            )),
            E::Limit { .. } => Some(("ServiceQuotaExceededException", error.to_string())),
            _ => None,
        };
        let declared = declared.filter(|(code, _)| self.call.operation.declares(code));
        match declared {
            Some((code, message)) => Failure::declared(code, message),
            None => self.engine(engine_error(&error)),
        }
    }

    async fn library<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Library) -> escala_collections::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let done = self.gallery().with(work).await;
        done.map_err(|error| self.failure(error))
    }

    async fn collection<T: Send + 'static>(
        &self,
        id: String,
        work: impl FnOnce(&Collection) -> escala_collections::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        self.library(move |library| work(&*library.get(&id)?)).await
    }

    async fn create(&self, input: Input) -> Result<Value, Failure> {
        let (id, tags) = (input.collection_id, input.tags.unwrap_or_default());
        let arn = format!("{ARN}{id}");
        self.library(move |library| library.create(&id, tags))
            .await?;
        Ok(json!({"StatusCode": 200, "CollectionArn": arn, "FaceModelVersion": VERSION}))
    }

    async fn describe(&self, input: Input) -> Result<Value, Failure> {
        let about = self
            .collection(input.collection_id, |c| Ok(c.describe()))
            .await?;
        Ok(json!({
            "FaceCount": about.faces,
            "UserCount": about.users,
            "FaceModelVersion": VERSION,
            "CollectionARN": format!("{ARN}{}", about.id),
            "CreationTimestamp": about.created as f64 / 1000.0,
        }))
    }

    async fn list(&self, input: Input) -> Result<Value, Failure> {
        let (token, most) = (input.next_token, most(input.max_results, PAGE, PAGE));
        let page = self
            .library(move |library| Ok(library.ids(token.as_deref(), most)))
            .await?;
        let versions = vec![VERSION; page.items.len()];
        let mut output = json!({"CollectionIds": page.items, "FaceModelVersions": versions});
        if let Some(next) = page.next {
            output["NextToken"] = json!(next);
        }
        Ok(output)
    }

    /// The faces of the request's image.
    async fn faces(&self, image: Option<Image>, attributes: &Attributes) -> Result<Faces, Failure> {
        let missing = || Error::new(Kind::InvalidInput, "there is no image");
        let image = image.ok_or_else(|| self.engine(missing()))?;
        let asked = FacesOptions {
            most: 2 * MOST_FACES,
            looks: attributes.looks(),
            gaze: attributes.gaze(),
            descriptors: true,
            ..FacesOptions::default()
        };
        find(self.aws, self.call, image, asked, self.options).await
    }

    async fn index(&self, input: Input) -> Result<Value, Failure> {
        // Before the networks work for nothing.
        self.collection(input.collection_id.clone(), |_| Ok(()))
            .await?;
        let attributes = Attributes::of(input.detection_attributes);
        let found = self.faces(input.image, &attributes).await?;
        let bar = Bar::of(input.quality_filter.as_deref(), "AUTO");
        let most = most(input.max_faces, MOST_FACES, MOST_FACES);
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for face in &found.faces {
            let mut reasons = bar.reasons(&found, face);
            if reasons.is_empty() && taken.len() == most {
                reasons.push("EXCEEDS_MAX_FACES");
            }
            match reasons.is_empty() {
                true => taken.push(face),
                false => left.push((face, reasons)),
            }
        }
        let new = |face: &&faces::Face| {
            Ok(NewFace {
                place: shares(&found, &face.area),
                confidence: face.score * 100.0,
                descriptor: descriptor(face)?,
            })
        };
        let new: Result<Vec<NewFace>, Error> = taken.iter().map(new).collect();
        let new = new.map_err(|error| self.engine(error))?;
        let (image, external) = (Uuid::new_v4(), input.external_image_id);
        let indexed = self.collection(input.collection_id, move |collection| {
            let ids = collection.index(image, external.as_deref(), &new)?;
            let face = |id: FaceId| {
                collection
                    .face(id)
                    .ok_or(escala_collections::Error::NoFace(id))
            };
            ids.into_iter().map(face).collect::<Result<Vec<Face>, _>>()
        });
        let indexed = indexed.await?;
        let record = |(indexed, seen): (&Face, &&faces::Face)| {
            Ok(json!({"Face": face(indexed)?, "FaceDetail": detail(&found, seen, &attributes)?}))
        };
        let records: Result<Vec<Value>, Error> = indexed.iter().zip(&taken).map(record).collect();
        let unindexed = |(face, reasons): &(&faces::Face, Vec<&str>)| {
            Ok(json!({"Reasons": reasons, "FaceDetail": detail(&found, face, &attributes)?}))
        };
        let unindexed: Result<Vec<Value>, Error> = left.iter().map(unindexed).collect();
        Ok(json!({
            "FaceRecords": records.map_err(|error| self.engine(error))?,
            "FaceModelVersion": VERSION,
            "UnindexedFaces": unindexed.map_err(|error| self.engine(error))?,
        }))
    }

    async fn list_faces(&self, input: Input) -> Result<Value, Failure> {
        let nobody = input.face_ids.is_some();
        let filter = FaceFilter {
            user: input.user_id,
            ids: ids(input.face_ids),
        };
        let (token, most) = (input.next_token, most(input.max_results, PAGE, PAGE));
        let page = self.collection(input.collection_id, move |collection| {
            // Ids that are none are faces that are not there.
            if nobody && filter.ids.is_empty() {
                return Ok(escala_collections::Page {
                    items: Vec::new(),
                    next: None,
                });
            }
            collection.faces(&filter, token.as_deref(), most)
        });
        let page = page.await?;
        let faces: Result<Vec<Value>, Error> = page.items.iter().map(face).collect();
        let faces = faces.map_err(|error| self.engine(error))?;
        let mut output = json!({"Faces": faces, "FaceModelVersion": VERSION});
        if let Some(next) = page.next {
            output["NextToken"] = json!(next);
        }
        Ok(output)
    }

    async fn delete_faces(&self, input: Input) -> Result<Value, Failure> {
        let wanted = ids(input.face_ids);
        let done = self.collection(input.collection_id, move |c| {
            let deletion = c.delete(&wanted)?;
            let user = |id: FaceId| c.face(id).and_then(|face| face.user);
            let left: Vec<_> = deletion
                .left
                .into_iter()
                .map(|(id, why)| (id, why, user(id)))
                .collect();
            Ok((deletion.done, left))
        });
        let (gone, left) = done.await?;
        let gone: Vec<String> = gone.iter().map(Uuid::to_string).collect();
        let failed = |(id, why, user): &(FaceId, Undeleted, Option<String>)| {
            let reason = match why {
                Undeleted::Associated => "ASSOCIATED_TO_AN_EXISTING_USER",
                Undeleted::NotFound => "FACE_NOT_FOUND",
            };
            let mut value = json!({"FaceId": id.to_string(), "Reasons": [reason]});
            if let Some(user) = user {
                value["UserId"] = json!(user);
            }
            value
        };
        let left: Vec<Value> = left.iter().map(failed).collect();
        Ok(json!({"DeletedFaces": gone, "UnsuccessfulFaceDeletions": left}))
    }

    async fn get(&self, id: String) -> Result<Arc<Collection>, Failure> {
        self.library(move |library| library.get(&id)).await
    }

    fn face_id(&self, text: Option<&str>) -> Result<FaceId, Failure> {
        let text = text.unwrap_or_default();
        let missing = || Error::new(Kind::NotFound, format!("there is no face {text}"));
        text.parse().map_err(|_| self.engine(missing()))
    }

    async fn search_faces(&self, input: Input) -> Result<Value, Failure> {
        let collection = self.get(input.collection_id).await?;
        let id = self.face_id(input.face_id.as_deref())?;
        let wanted = collection
            .descriptor(id)
            .map_err(|error| self.failure(error))?;
        let search = Search {
            collection: Some(collection),
            wanted,
            most: most(input.max_faces, FOUND, PAGE),
            farthest: farthest(input.face_match_threshold.unwrap_or(THRESHOLD)),
            except: Some(id),
        };
        let found = self.gallery().search(search, self.options).await;
        let found = found.map_err(|error| self.engine(error))?;
        Ok(json!({
            "SearchedFaceId": id.to_string(),
            "FaceMatches": matches(&found).map_err(|error| self.engine(error))?,
            "FaceModelVersion": VERSION,
        }))
    }

    async fn search_faces_by_image(&self, input: Input) -> Result<Value, Failure> {
        let fail = |error| self.engine(error);
        let collection = self.get(input.collection_id).await?;
        let seen = self.faces(input.image, &Attributes::of(None)).await?;
        let bar = Bar::of(input.quality_filter.as_deref(), "NONE");
        let face = largest(&seen, bar).map_err(fail)?;
        let search = Search {
            collection: Some(collection),
            wanted: descriptor(face).map_err(fail)?,
            most: most(input.max_faces, FOUND, PAGE),
            farthest: farthest(input.face_match_threshold.unwrap_or(THRESHOLD)),
            except: None,
        };
        let found = self
            .gallery()
            .search(search, self.options)
            .await
            .map_err(fail)?;
        Ok(json!({
            "SearchedFaceBoundingBox": bounding_box(&seen, &face.area).map_err(fail)?,
            "SearchedFaceConfidence": number(face.score * 100.0).map_err(fail)?,
            "FaceMatches": matches(&found).map_err(fail)?,
            "FaceModelVersion": VERSION,
        }))
    }

    async fn list_users(&self, input: Input) -> Result<Value, Failure> {
        let (token, most) = (input.next_token, most(input.max_results, USERS, USERS));
        let page = self.collection(input.collection_id, move |collection| {
            Ok(collection.users(token.as_deref(), most))
        });
        let page = page.await?;
        let user = |user: &User| json!({"UserId": user.id, "UserStatus": status(user)});
        let users: Vec<Value> = page.items.iter().map(user).collect();
        let mut output = json!({"Users": users});
        if let Some(next) = page.next {
            output["NextToken"] = json!(next);
        }
        Ok(output)
    }

    async fn associate(&self, input: Input) -> Result<Value, Failure> {
        let (user, wanted) = (input.user_id.unwrap_or_default(), ids(input.face_ids));
        // AWS's default for users is lower than for faces.
        let farthest = farthest(input.user_match_threshold.unwrap_or(75.0));
        let done = self.collection(input.collection_id, move |collection| {
            let done = collection.associate(&user, &wanted, farthest)?;
            Ok((done, collection.user(&user)?))
        });
        let (done, user) = done.await?;
        let left = done
            .left
            .iter()
            .map(|(id, why)| self.unassociated(*id, why));
        let left: Result<Vec<Value>, Failure> = left.collect();
        let faces = done.done.iter().map(|id| json!({"FaceId": id.to_string()}));
        Ok(json!({
            "AssociatedFaces": faces.collect::<Vec<Value>>(),
            "UnsuccessfulFaceAssociations": left?,
            "UserStatus": status(&user),
        }))
    }

    async fn disassociate(&self, input: Input) -> Result<Value, Failure> {
        let (user, wanted) = (input.user_id.unwrap_or_default(), ids(input.face_ids));
        let done = self.collection(input.collection_id, move |collection| {
            let done = collection.disassociate(&user, &wanted)?;
            Ok((done, collection.user(&user)?))
        });
        let (done, user) = done.await?;
        let left = done
            .left
            .iter()
            .map(|(id, why)| self.unassociated(*id, why));
        let left: Result<Vec<Value>, Failure> = left.collect();
        let faces = done.done.iter().map(|id| json!({"FaceId": id.to_string()}));
        Ok(json!({
            "DisassociatedFaces": faces.collect::<Vec<Value>>(),
            "UnsuccessfulFaceDisassociations": left?,
            "UserStatus": status(&user),
        }))
    }

    fn unassociated(&self, id: FaceId, why: &Unassociated) -> Result<Value, Failure> {
        let (reason, member) = match why {
            Unassociated::NotFound => ("FACE_NOT_FOUND", None),
            Unassociated::OtherUser(other) => (
                "ASSOCIATED_TO_A_DIFFERENT_USER",
                other.as_ref().map(|user| ("UserId", json!(user))),
            ),
            Unassociated::TooFar(distance) => {
                let alike = number(percent(*distance)).map_err(|error| self.engine(error))?;
                ("LOW_MATCH_CONFIDENCE", Some(("Confidence", json!(alike))))
            }
        };
        let mut value = json!({"FaceId": id.to_string(), "Reasons": [reason]});
        if let Some((name, member)) = member {
            value[name] = member;
        }
        Ok(value)
    }

    async fn search_users(&self, input: Input) -> Result<Value, Failure> {
        let least = input.user_match_threshold.unwrap_or(THRESHOLD);
        let (most, farthest) = (most(input.max_users, FOUND, USERS), farthest(least));
        let collection = self.get(input.collection_id).await?;
        let (wanted, except, searched) = match (&input.user_id, &input.face_id) {
            (Some(user), None) => {
                let mean = collection
                    .mean_of(user)
                    .map_err(|error| self.failure(error))?;
                (
                    mean,
                    Some(user.clone()),
                    json!({"SearchedUser": {"UserId": user}}),
                )
            }
            (None, Some(id)) => {
                let id = self.face_id(Some(id))?;
                let own = collection
                    .descriptor(id)
                    .map_err(|error| self.failure(error))?;
                (
                    Some(own),
                    None,
                    json!({"SearchedFace": {"FaceId": id.to_string()}}),
                )
            }
            _ => {
                return Err(self.engine(Error::new(
                    Kind::InvalidInput,
                    "either UserId or FaceId must be given",
                )));
            }
        };
        let found = self.collection(collection.describe().id, move |collection| {
            Ok(wanted.map_or_else(Vec::new, |wanted| {
                collection.search_users(&wanted, most, farthest, except.as_deref())
            }))
        });
        let found = found.await?;
        let mut output = searched;
        output["UserMatches"] = json!(user_matches(&found).map_err(|error| self.engine(error))?);
        output["FaceModelVersion"] = json!(VERSION);
        Ok(output)
    }

    async fn search_users_by_image(&self, input: Input) -> Result<Value, Failure> {
        let fail = |error| self.engine(error);
        let least = input.user_match_threshold.unwrap_or(THRESHOLD);
        let (most, farthest) = (most(input.max_users, FOUND, USERS), farthest(least));
        self.get(input.collection_id.clone()).await?;
        let seen = self.faces(input.image, &Attributes::of(None)).await?;
        let bar = Bar::of(input.quality_filter.as_deref(), "NONE");
        let face = largest(&seen, bar).map_err(fail)?;
        let wanted = descriptor(face).map_err(fail)?;
        let found = self.collection(input.collection_id, move |collection| {
            Ok(collection.search_users(&wanted, most, farthest, None))
        });
        let found = found.await?;
        let attributes = Attributes::of(None);
        let others = seen
            .faces
            .iter()
            .filter(|other| !std::ptr::eq(*other, face))
            .map(|other| {
                let mut reasons = bar.reasons(&seen, other);
                if reasons.is_empty() {
                    reasons.push("FACE_NOT_LARGEST");
                }
                Ok(json!({"FaceDetails": detail(&seen, other, &attributes)?, "Reasons": reasons}))
            });
        let others: Result<Vec<Value>, Error> = others.collect();
        Ok(json!({
            "UserMatches": user_matches(&found).map_err(fail)?,
            "FaceModelVersion": VERSION,
            "SearchedFace": {"FaceDetail": detail(&seen, face, &attributes).map_err(fail)?},
            "UnsearchedFaces": others.map_err(fail)?,
        }))
    }

    async fn tags(&self, input: Input) -> Result<Value, Failure> {
        let unknown = || {
            let message = format!("there is no resource {}", input.resource_arn);
            self.engine(Error::new(Kind::NotFound, message))
        };
        let id = input
            .resource_arn
            .rsplit_once(":collection/")
            .map(|(_, id)| id.to_owned());
        let id = id.ok_or_else(unknown)?;
        match self.call.operation.name.as_str() {
            "ListTagsForResource" => {
                let tags = self
                    .collection(id, |collection| Ok(collection.tags()))
                    .await?;
                Ok(json!({"Tags": tags}))
            }
            _ => {
                let (set, remove) = (
                    input.tags.unwrap_or_default(),
                    input.tag_keys.unwrap_or_default(),
                );
                self.collection(id, move |collection| collection.tag(set, &remove))
                    .await?;
                Ok(json!({}))
            }
        }
    }
}
