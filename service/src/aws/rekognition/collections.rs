//! Collections of faces and their users: everything from `CreateCollection` to `SearchUsersByImage`, and their tags.
//!
//! Only the translation is here; [`crate::gallery::collections`] says what is done. A user is `ACTIVE` from its first face
//! on and `CREATED` before. A request with a `ClientRequestToken` that comes again is answered as it was, without being done
//! again, also where its caller had left before it was answered. Tokens of pages are those of one list, and say so.

use super::faces::{Attributes, bar, bounding_box, detail, place};
use super::image::Image;
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::{Aws, number};
use crate::gallery;
use crate::gallery::collections::{
    ByImage, Collections, Index, Terms, Who, face_id, status, unassociated, undeleted,
};
use crate::gallery::faces::Bar;
use crate::gallery::repeated::Refusal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use escala_collections::{Face, FaceId, Unassociated, Undeleted, User};
use escala_pipelines::faces::similarity::percent;
use escala_pipelines::{Error, Kind, Options};
use escala_sagemaker::Caller;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The version of the networks whose descriptors a collection holds.
const VERSION: &str = "2.0";

/// The same of descriptors of another version.
fn version(of: u32) -> String {
    format!("{of}.0")
}

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
    client_request_token: Option<String>,
    #[serde(default)]
    resource_arn: String,
}

/// A call with what its answer needs.
struct Work<'a> {
    aws: &'a Aws,
    caller: &'a Caller,
    collections: Collections<'a>,
    call: Call,
    options: Options,
}

/// Runs a request.
///
/// # Errors
/// What the operation answers instead of its output.
pub async fn run(
    aws: &Aws,
    caller: &Caller,
    call: Call,
    input: Input,
    options: Options,
) -> Result<Value, Failure> {
    let work = Work::of(aws, caller, call, options);
    match call.operation.name.as_str() {
        "CreateCollection" => work.create(input).await,
        "DescribeCollection" => work.describe(input).await,
        "ListCollections" => work.list(input).await,
        "DeleteCollection" => work.delete(input).await,
        "IndexFaces" => work.index(input).await,
        "ListFaces" => work.list_faces(input).await,
        "DeleteFaces" => work.delete_faces(input).await,
        "SearchFaces" => work.search_faces(input).await,
        "SearchFacesByImage" => work.search_faces_by_image(input).await,
        "CreateUser" | "DeleteUser" | "AssociateFaces" | "DisassociateFaces" => {
            work.once(input).await
        }
        "ListUsers" => work.list_users(input).await,
        "SearchUsers" => work.search_users(input).await,
        "SearchUsersByImage" => work.search_users_by_image(input).await,
        "TagResource" | "UntagResource" | "ListTagsForResource" => work.tags(input).await,
        other => Err(Failure::not_implemented(call.service.id, other)),
    }
}

/// AWS's code for what a gallery cannot do.
pub fn failure(call: Call, error: gallery::Error) -> Failure {
    use escala_collections::Error as E;
    let declared = match &error {
        gallery::Error::Engine(_) => None,
        gallery::Error::Collections(error) => match error {
            E::Exists(id) => Some((
                "ResourceAlreadyExistsException",
                format!("The collection id: {id} already exists."),
            )),
            E::NoCollection(id) => Some((
                "ResourceNotFoundException",
                format!("The collection id: {id} does not exist"),
            )),
            E::NoFace(_) if call.operation.name == "SearchFaces" => Some((
                "InvalidParameterException",
                "faceId was not found in the collection.".to_owned(),
            )),
            E::UserExists(_) => Some(("ConflictException", error.to_string())),
            E::Token => Some((
                "InvalidPaginationTokenException",
                "Invalid Token".to_owned(),
            )),
            E::Limit { .. } => Some(("ServiceQuotaExceededException", error.to_string())),
            _ => None,
        },
    };
    match declared.filter(|(code, _)| call.operation.declares(code)) {
        Some((code, message)) => Failure::declared(code, message),
        None => Failure::of(call.service.id, call.operation, error.into_engine()),
    }
}

/// Ids of faces; what is none stays out, because no face has it.
fn ids(texts: Option<Vec<String>>) -> Vec<FaceId> {
    let texts = texts.unwrap_or_default();
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The model's bounds hold; a fraction is cut off as AWS does.
fn whole(number: Option<f64>) -> Option<usize> {
    number.map(|number| number as usize)
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

fn matches(found: &[(Face, f32)]) -> Result<Vec<Value>, Error> {
    let one = |(found, distance): &(Face, f32)| {
        Ok(json!({"Similarity": number(percent(*distance))?, "Face": face(found)?}))
    };
    found.iter().map(one).collect()
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

/// `UnsuccessfulFaceAssociation` and `UnsuccessfulFaceDisassociation`.
fn left((id, why): &(FaceId, Unassociated)) -> Result<Value, Error> {
    let mut value = json!({"FaceId": id.to_string(), "Reasons": [unassociated(why)]});
    match why {
        Unassociated::OtherUser(Some(user)) => value["UserId"] = json!(user),
        Unassociated::TooFar(distance) => value["Confidence"] = json!(number(percent(*distance))?),
        _ => (),
    }
    Ok(value)
}

fn face_ids(ids: &[FaceId]) -> Vec<Value> {
    let face = |id: &FaceId| json!({"FaceId": id.to_string()});
    ids.iter().map(face).collect()
}

impl<'a> Work<'a> {
    fn of(aws: &'a Aws, caller: &'a Caller, call: Call, options: Options) -> Self {
        Self {
            aws,
            caller,
            collections: Collections::of(&aws.images, options),
            call,
            options,
        }
    }

    /// The name of a collection in all of AWS.
    fn arn(&self, id: &str) -> String {
        let Caller { account, region } = self.caller;
        format!("arn:aws:rekognition:{region}:{account}:collection/{id}")
    }

    fn engine(&self, error: Error) -> Failure {
        Failure::of(self.call.service.id, self.call.operation, error)
    }

    /// What was asked, or the failure in AWS's terms.
    fn done<T>(&self, result: gallery::Result<T>) -> Result<T, Failure> {
        result.map_err(|error| failure(self.call, error))
    }

    /// A rendered answer; a number that is none is a defect.
    fn shown<T>(&self, result: Result<T, Error>) -> Result<T, Failure> {
        result.map_err(|error| self.engine(error))
    }

    async fn create(&self, input: Input) -> Result<Value, Failure> {
        let (id, tags) = (input.collection_id, input.tags.unwrap_or_default());
        let made = self.done(self.collections.create(&id, tags).await)?;
        let arn = self.arn(&made.id);
        Ok(json!({"StatusCode": 200, "CollectionArn": arn, "FaceModelVersion": VERSION}))
    }

    async fn describe(&self, input: Input) -> Result<Value, Failure> {
        let (about, _) = self.done(self.collections.describe(&input.collection_id).await)?;
        Ok(json!({
            "FaceCount": about.faces,
            "UserCount": about.users,
            "FaceModelVersion": version(about.version),
            "CollectionARN": self.arn(&about.id),
            "CreationTimestamp": about.created as f64 / 1000.0,
        }))
    }

    async fn list(&self, input: Input) -> Result<Value, Failure> {
        let token = self.opened("", input.next_token)?;
        let page = self.collections.list(token, whole(input.max_results));
        let page = self.done(page.await)?;
        let versions: Vec<String> = page.items.iter().map(|(_, of)| version(*of)).collect();
        let ids: Vec<&String> = page.items.iter().map(|(id, _)| id).collect();
        let output = json!({"CollectionIds": ids, "FaceModelVersions": versions});
        Ok(self.with_token("", output, page.next))
    }

    async fn delete(&self, input: Input) -> Result<Value, Failure> {
        self.done(self.collections.delete(&input.collection_id).await)?;
        Ok(json!({"StatusCode": 200}))
    }

    /// The request's image.
    async fn image(&self, image: Option<Image>) -> Result<Bytes, Failure> {
        let missing = || Error::new(Kind::InvalidInput, "there is no image");
        let image = image.ok_or_else(|| self.engine(missing()))?;
        image.encoded(self.aws, self.call, self.options).await
    }

    async fn index(&self, input: Input) -> Result<Value, Failure> {
        let attributes = Attributes::of(input.detection_attributes);
        let how = Index {
            external: input.external_image_id,
            bar: bar(input.quality_filter.as_deref(), Bar::AUTO),
            most: whole(input.max_faces),
            looks: attributes.looks(),
            gaze: attributes.gaze(),
        };
        let image = self.image(input.image).await?;
        let indexed = self.collections.index(&input.collection_id, image, how);
        let indexed = self.done(indexed.await)?;
        let detail = |at: usize| detail(&indexed.seen, &indexed.seen.faces[at], &attributes);
        let record = |(kept, at): &(Face, usize)| {
            Ok(json!({"Face": face(kept)?, "FaceDetail": detail(*at)?}))
        };
        let records: Result<Vec<Value>, Error> = indexed.kept.iter().map(record).collect();
        let unindexed = |(at, reasons): &(usize, Vec<&str>)| {
            Ok(json!({"Reasons": reasons, "FaceDetail": detail(*at)?}))
        };
        let unindexed: Result<Vec<Value>, Error> = indexed.left.iter().map(unindexed).collect();
        Ok(json!({
            "FaceRecords": self.shown(records)?,
            "FaceModelVersion": VERSION,
            "UnindexedFaces": self.shown(unindexed)?,
        }))
    }

    async fn list_faces(&self, input: Input) -> Result<Value, Failure> {
        let wanted = input.face_ids.is_some().then(|| ids(input.face_ids));
        let token = self.opened(&input.collection_id, input.next_token)?;
        let most = whole(input.max_results);
        let page = self
            .collections
            .faces(&input.collection_id, input.user_id, wanted, token, most);
        let page = self.done(page.await)?;
        let faces: Result<Vec<Value>, Error> = page.items.iter().map(face).collect();
        let output = json!({"Faces": self.shown(faces)?, "FaceModelVersion": VERSION});
        Ok(self.with_token(&input.collection_id, output, page.next))
    }

    async fn delete_faces(&self, input: Input) -> Result<Value, Failure> {
        let wanted = ids(input.face_ids);
        let deleted = self.collections.delete_faces(&input.collection_id, wanted);
        let deleted = self.done(deleted.await)?;
        let gone: Vec<String> = deleted.done.iter().map(Uuid::to_string).collect();
        let failed = |(id, why, user): &(FaceId, Undeleted, Option<String>)| {
            let mut value = json!({"FaceId": id.to_string(), "Reasons": [undeleted(*why)]});
            if let Some(user) = user {
                value["UserId"] = json!(user);
            }
            value
        };
        let left: Vec<Value> = deleted.left.iter().map(failed).collect();
        Ok(json!({"DeletedFaces": gone, "UnsuccessfulFaceDeletions": left}))
    }

    async fn search_faces(&self, input: Input) -> Result<Value, Failure> {
        let terms = Terms {
            most: whole(input.max_faces),
            least: input.face_match_threshold,
        };
        let id = self.done(face_id(input.face_id.as_deref().unwrap_or_default()))?;
        let found = self.collections.like(&input.collection_id, id, terms).await;
        let found = self.done(found)?;
        Ok(json!({
            "SearchedFaceId": id.to_string(),
            "FaceMatches": self.shown(matches(&found))?,
            "FaceModelVersion": VERSION,
        }))
    }

    async fn search_faces_by_image(&self, input: Input) -> Result<Value, Failure> {
        let terms = Terms {
            most: whole(input.max_faces),
            least: input.face_match_threshold,
        };
        let bar = bar(input.quality_filter.as_deref(), Bar::NONE);
        let image = self.image(input.image).await?;
        let found = self
            .collections
            .like_image(&input.collection_id, image, bar, terms);
        let found = self.done(found.await)?;
        let face = found.looked_for();
        Ok(json!({
            "SearchedFaceBoundingBox": self.shown(bounding_box(&found.seen, &face.area))?,
            "SearchedFaceConfidence": self.shown(number(face.confidence * 100.0))?,
            "FaceMatches": self.shown(matches(&found.found))?,
            "FaceModelVersion": VERSION,
        }))
    }

    /// What changes users, done once for each token.
    async fn once(&self, mut input: Input) -> Result<Value, Failure> {
        let Some(token) = input.client_request_token.take() else {
            return self.change(input).await;
        };
        let request = json!([
            self.call.operation.name,
            input.collection_id,
            input.user_id,
            input.face_ids,
            input.user_match_threshold,
        ])
        .to_string();
        let (aws, caller) = (self.aws.clone(), self.caller.clone());
        let (call, options) = (self.call, self.options);
        let change = async move { Work::of(&aws, &caller, call, options).change(input).await };
        let repeated = &self.aws.images.gallery.repeated;
        match repeated.once(&token, request, change).await {
            Ok(answer) => answer,
            Err(Refusal::Another) => Err(Failure::declared(
                "IdempotentParameterMismatchException",
                "The ClientRequestToken was used with another request.",
            )),
            Err(Refusal::TooMany) => {
                let why = "too many requests with tokens are being done";
                Err(self.engine(Error::new(Kind::Overloaded, why)))
            }
            Err(Refusal::Lost(why)) => Err(Failure::internal(why)),
        }
    }

    async fn change(&self, input: Input) -> Result<Value, Failure> {
        match self.call.operation.name.as_str() {
            "CreateUser" => self.create_user(input).await,
            "DeleteUser" => self.delete_user(input).await,
            "AssociateFaces" => self.associate(input).await,
            _ => self.disassociate(input).await,
        }
    }

    async fn create_user(&self, input: Input) -> Result<Value, Failure> {
        let user = input.user_id.unwrap_or_default();
        self.done(
            self.collections
                .create_user(&input.collection_id, &user)
                .await,
        )?;
        Ok(json!({}))
    }

    async fn delete_user(&self, input: Input) -> Result<Value, Failure> {
        let user = input.user_id.unwrap_or_default();
        self.done(
            self.collections
                .delete_user(&input.collection_id, &user)
                .await,
        )?;
        Ok(json!({}))
    }

    async fn list_users(&self, input: Input) -> Result<Value, Failure> {
        let token = self.opened(&input.collection_id, input.next_token)?;
        let most = whole(input.max_results);
        let page = self.collections.users(&input.collection_id, token, most);
        let page = self.done(page.await)?;
        let user = |user: &User| json!({"UserId": user.id, "UserStatus": status(user)});
        let users: Vec<Value> = page.items.iter().map(user).collect();
        let output = json!({ "Users": users });
        Ok(self.with_token(&input.collection_id, output, page.next))
    }

    async fn associate(&self, input: Input) -> Result<Value, Failure> {
        let (user, wanted) = (input.user_id.unwrap_or_default(), ids(input.face_ids));
        let least = input.user_match_threshold;
        let done = self
            .collections
            .associate(&input.collection_id, &user, wanted, least);
        let (done, user) = self.done(done.await)?;
        let others: Result<Vec<Value>, Error> = done.left.iter().map(left).collect();
        Ok(json!({
            "AssociatedFaces": face_ids(&done.done),
            "UnsuccessfulFaceAssociations": self.shown(others)?,
            "UserStatus": status(&user),
        }))
    }

    async fn disassociate(&self, input: Input) -> Result<Value, Failure> {
        let (user, wanted) = (input.user_id.unwrap_or_default(), ids(input.face_ids));
        let done = self
            .collections
            .disassociate(&input.collection_id, &user, wanted);
        let (done, user) = self.done(done.await)?;
        let others: Result<Vec<Value>, Error> = done.left.iter().map(left).collect();
        Ok(json!({
            "DisassociatedFaces": face_ids(&done.done),
            "UnsuccessfulFaceDisassociations": self.shown(others)?,
            "UserStatus": status(&user),
        }))
    }

    async fn search_users(&self, input: Input) -> Result<Value, Failure> {
        let terms = Terms {
            most: whole(input.max_users),
            least: input.user_match_threshold,
        };
        let (who, mut output) = match (input.user_id, input.face_id) {
            (Some(user), None) => {
                let searched = json!({"SearchedUser": {"UserId": user}});
                (Who::User(user), searched)
            }
            (None, Some(id)) => {
                let id = self.done(face_id(&id))?;
                let searched = json!({"SearchedFace": {"FaceId": id.to_string()}});
                (Who::Face(id), searched)
            }
            _ => {
                return Err(self.engine(Error::new(
                    Kind::InvalidInput,
                    "either UserId or FaceId must be given",
                )));
            }
        };
        let found = self
            .collections
            .users_like(&input.collection_id, who, terms)
            .await;
        let found = self.done(found)?;
        output["UserMatches"] = json!(self.shown(user_matches(&found))?);
        output["FaceModelVersion"] = json!(VERSION);
        Ok(output)
    }

    async fn search_users_by_image(&self, input: Input) -> Result<Value, Failure> {
        let terms = Terms {
            most: whole(input.max_users),
            least: input.user_match_threshold,
        };
        let bar = bar(input.quality_filter.as_deref(), Bar::NONE);
        let image = self.image(input.image).await?;
        let found: ByImage<User> = self.done(
            self.collections
                .users_like_image(&input.collection_id, image, bar, terms)
                .await,
        )?;
        let attributes = Attributes::of(None);
        let detail = |face| detail(&found.seen, face, &attributes);
        let other = |(at, reasons): &(usize, Vec<&str>)| {
            let detail = detail(&found.seen.faces[*at])?;
            Ok(json!({"FaceDetails": detail, "Reasons": reasons}))
        };
        let others: Result<Vec<Value>, Error> = found.others.iter().map(other).collect();
        Ok(json!({
            "UserMatches": self.shown(user_matches(&found.found))?,
            "FaceModelVersion": VERSION,
            "SearchedFace": {"FaceDetail": self.shown(detail(found.looked_for()))?},
            "UnsearchedFaces": self.shown(others)?,
        }))
    }

    async fn tags(&self, input: Input) -> Result<Value, Failure> {
        let unknown = || {
            let message = format!("there is no resource {}", input.resource_arn);
            self.engine(Error::new(Kind::NotFound, message))
        };
        // Its region may be any: what is made in one is there in all.
        let arn = input.resource_arn.strip_prefix("arn:aws:rekognition:");
        let place = arn.and_then(|arn| arn.split_once(":collection/"));
        let place = place.and_then(|(place, id)| Some((place.split_once(':')?.1, id)));
        let ours = place.filter(|(account, _)| *account == self.caller.account);
        let (_, id) = ours.ok_or_else(unknown)?;
        let set = input.tags.unwrap_or_default();
        let remove = input.tag_keys.unwrap_or_default();
        let tags = self.done(self.collections.tag(id, set, remove).await)?;
        Ok(match self.call.operation.name.as_str() {
            "ListTagsForResource" => json!({ "Tags": tags }),
            _ => json!({}),
        })
    }

    /// The sum by which a token is known as one of the list of this operation and collection.
    fn sum(&self, collection: &str, place: &[u8]) -> [u8; 4] {
        let mut sum = crc32fast::Hasher::new();
        for part in [
            self.call.operation.name.as_bytes(),
            collection.as_bytes(),
            place,
        ] {
            sum.update(&(part.len() as u64).to_be_bytes());
            sum.update(part);
        }
        sum.finalize().to_be_bytes()
    }

    /// The place in a list that a token stands for.
    fn opened(&self, collection: &str, token: Option<String>) -> Result<Option<String>, Failure> {
        let Some(token) = token else {
            return Ok(None);
        };
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(&token).ok()?;
            let (sum, place) = bytes.split_first_chunk::<4>()?;
            let ours = *sum == self.sum(collection, place);
            String::from_utf8(place.to_vec()).ok().filter(|_| ours)
        };
        let place = read().ok_or_else(|| {
            let error = escala_collections::Error::Token;
            failure(self.call, gallery::Error::Collections(error))
        })?;
        Ok(Some(place))
    }

    /// An answer with the token of its next page, if there is one.
    fn with_token(&self, collection: &str, mut output: Value, next: Option<String>) -> Value {
        if let Some(next) = next {
            let mut token = self.sum(collection, next.as_bytes()).to_vec();
            token.extend_from_slice(next.as_bytes());
            output["NextToken"] = json!(URL_SAFE_NO_PAD.encode(token));
        }
        output
    }
}
