//! A request as the JSON handlers see it: what kind of body it has, the body, and its deadline.

use super::list::List;
use crate::app::Predict;
use crate::config::units::Size;
use crate::failure::{Failure, concerns_the_item};
use crate::server::observe::Deadline;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use escala_pipelines::{Kind, Options, Priority};
use serde::de::DeserializeOwned;

/// Bodies above this are parsed away from the threads that serve connections.
const PARSE_INLINE: usize = 256 << 10;

/// What the `Content-Type` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json` or `…+json`.
    Json,
    /// `text/plain`.
    Text,
    /// `image/…` or `application/octet-stream`.
    Image,
    /// Something else, or nothing.
    Other(String),
}

impl Media {
    fn of(value: &str) -> Self {
        let essence = value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "text/json" => Self::Json,
            "text/plain" => Self::Text,
            "application/octet-stream" => Self::Image,
            _ if essence.ends_with("+json") => Self::Json,
            _ if essence.starts_with("image/") => Self::Image,
            _ => Self::Other(essence),
        }
    }
}

/// Whether `Accept` asks for PNG rather than for JSON: the most exact range that names each says how much it is wanted
/// (RFC 9110, 12.5.1). Where both are wanted as much, JSON is answered unless only PNG is named.
fn prefers_png(headers: &HeaderMap) -> bool {
    let mut png = Wanted::default();
    let mut json = Wanted::default();
    for value in headers.get_all(ACCEPT) {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        for range in value.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let mut weights = parts.filter_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            let weight = weights.next().unwrap_or(1.0);
            png.hear(name, ["image/png", "image/*", "*/*"], weight);
            json.hear(name, ["application/json", "application/*", "*/*"], weight);
        }
    }
    png.weight > json.weight
        || (png.weight > 0.0
            && png.weight == json.weight
            && (png.exactness, json.exactness) == (3, 1))
}

/// How much a media type is wanted.
#[derive(Default)]
struct Wanted {
    weight: f32,
    /// 3 where the type itself is named, 2 for its family, 1 for anything, 0 for not at all.
    exactness: usize,
}

impl Wanted {
    /// `ranges` are those that it lies in, the most exact first.
    fn hear(&mut self, name: &str, ranges: [&str; 3], weight: f32) {
        let place = ranges.iter().position(|range| *range == name);
        let Some(exactness) = place.map(|place| ranges.len() - place) else {
            return;
        };
        if exactness > self.exactness {
            *self = Self { weight, exactness };
        }
    }
}

/// A request, read.
pub struct Call {
    /// What the body is.
    pub media: Media,
    /// The query string.
    pub query: String,
    /// Whether `Accept` prefers a picture to JSON.
    pub prefers_png: bool,
    /// The body.
    pub body: Bytes,
    /// How to predict for it.
    pub options: Options,
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let media = request
            .headers()
            .get(CONTENT_TYPE)
            .map(|value| Media::of(&String::from_utf8_lossy(value.as_bytes())))
            .unwrap_or(Media::Other(String::new()));
        let prefers_png = prefers_png(request.headers());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let deadline = request
            .extensions()
            .get::<Deadline>()
            .map(|deadline| deadline.0);
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| Failure::invalid("the request's body broke off"))?;
        Ok(Self {
            media,
            query,
            prefers_png,
            body,
            options: Options {
                priority: Priority::Interactive,
                deadline,
            },
        })
    }
}

impl Call {
    /// The body read as JSON.
    ///
    /// # Errors
    /// 400 with the place of the fault.
    pub async fn json<T: DeserializeOwned + Send + 'static>(&self) -> Result<T, Failure> {
        if self.body.len() <= PARSE_INLINE {
            return parse(&self.body);
        }
        let body = self.body.clone();
        away(move || parse(&body)).await
    }

    /// The body as text.
    ///
    /// # Errors
    /// 400 when it is not UTF-8.
    pub fn text(&self) -> Result<String, Failure> {
        std::str::from_utf8(&self.body)
            .map(str::to_owned)
            .map_err(|_| Failure::invalid("the text is not valid UTF-8"))
    }

    /// The query string read into a struct.
    ///
    /// # Errors
    /// 400 with the parameter at fault.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let uri = axum::http::Uri::builder()
            .path_and_query(format!("/?{}", self.query))
            .build()
            .map_err(|_| Failure::invalid("the query string is not valid"))?;
        axum::extract::Query::<T>::try_from_uri(&uri)
            .map(|query| query.0)
            .map_err(|error| {
                // The rejection's own text only says that it is one; its cause names the parameter.
                let cause = std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), ToString::to_string);
                Failure::invalid(format!("the query string does not fit: {cause}"))
            })
    }

    /// The refusal of a body of another kind.
    pub fn unsupported(&self, wanted: &str) -> Failure {
        let got = match &self.media {
            Media::Other(name) if name.is_empty() => "there is none".to_owned(),
            Media::Other(name) => format!("it is `{}`", name.chars().take(100).collect::<String>()),
            Media::Json => "it is JSON".to_owned(),
            Media::Text => "it is text".to_owned(),
            Media::Image => "it is an image or bytes".to_owned(),
        };
        let message = format!("set the header Content-Type to {wanted}; {got}");
        Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            message,
        )
    }
}

/// Runs `work` away from the threads that serve connections.
///
/// # Errors
/// What `work` answers; 500 when it panicked.
pub async fn away<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "reading a request failed");
            Err(Failure::of_kind(
                Kind::Internal,
                "the request could not be read",
            ))
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // Serde would take a list as the members of a struct in order, which nobody was promised.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Failure::invalid(
            "the JSON does not fit: the body must be an object, not a list",
        ));
    }
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "the JSON does not fit",
            _ => "the body is not valid JSON",
        };
        Failure::invalid(format!("{what}: {error}"))
    })
}

/// Predicts one item.
///
/// # Errors
/// The failure of the item.
pub async fn predict_one<I: Send, O>(
    predictor: &dyn Predict<I, O>,
    input: I,
    options: Options,
) -> Result<O, Failure> {
    let mut answers = predictor.predict_many(vec![input], options).await;
    match answers.pop() {
        Some(answer) => answer.map_err(Failure::from),
        None => Err(Failure::of_kind(
            Kind::Internal,
            "the prediction has no answer",
        )),
    }
}

/// Predicts a list. What is wrong with an item stays with the item; what is wrong with the server
/// (overload, deadline, missing weights, a defect) fails the request, so that the caller sees the status.
///
/// # Errors
/// The first failure that is not about an item.
pub async fn predict_list<I: Send, O>(
    predictor: &dyn Predict<I, O>,
    inputs: Vec<I>,
    options: Options,
) -> Result<Vec<Result<O, Failure>>, Failure> {
    let answers = predictor.predict_many(inputs, options).await;
    answers
        .into_iter()
        .map(|answer| match answer {
            Ok(output) => Ok(Ok(output)),
            Err(error) if concerns_the_item(error.kind()) => Ok(Err(Failure::from(error))),
            Err(error) => Err(Failure::from(error)),
        })
        .collect()
}

/// Checks texts against the limits and hands them on. One text that is too long fails the request.
///
/// # Errors
/// 400 when there are none or too many, 413 when one is too long.
pub fn check_texts(
    texts: List<String>,
    limits: &crate::config::Limits,
) -> Result<Vec<String>, Failure> {
    check_texts_within(texts, limits, limits.text)
}

/// [`check_texts`] with texts of at most these bytes.
///
/// # Errors
/// As [`check_texts`].
pub fn check_texts_within(
    texts: List<String>,
    limits: &crate::config::Limits,
    most: Size,
) -> Result<Vec<String>, Failure> {
    let sent = texts.sent();
    if sent == 0 {
        return Err(Failure::invalid("there is no text").at("texts"));
    }
    if sent > limits.texts {
        let most = limits.texts;
        let message = format!("there are {sent} texts; at most {most} are taken");
        return Err(Failure::invalid(message).at("texts"));
    }
    let texts = texts.into_items();
    let limit = most.get();
    match texts.iter().position(|text| text.len() as u64 > limit) {
        Some(index) => {
            let message = format!(
                "text {index} has {} bytes; at most {limit} are taken",
                texts[index].len()
            );
            Err(Failure::of_kind(Kind::TooLarge, message).at("texts"))
        }
        None => Ok(texts),
    }
}

/// Checks one text against the limits and hands it on.
///
/// # Errors
/// 413 when it is too long.
pub fn check_text(text: String, limits: &crate::config::Limits) -> Result<String, Failure> {
    check_text_within(text, limits.text)
}

/// [`check_text`] with at most these bytes.
///
/// # Errors
/// As [`check_text`].
pub fn check_text_within(text: String, most: Size) -> Result<String, Failure> {
    let (bytes, limit) = (text.len() as u64, most.get());
    if bytes <= limit {
        return Ok(text);
    }
    let message = format!("the text has {bytes} bytes; at most {limit} are taken");
    Err(Failure::of_kind(Kind::TooLarge, message).at("text"))
}

/// Exactly one of `text` and `texts`.
#[derive(Debug, PartialEq, Eq)]
pub enum Texts {
    /// One, answered alone.
    One(String),
    /// A list, answered as a list.
    Many(List<String>),
}

impl Texts {
    /// Reads the two members.
    ///
    /// # Errors
    /// 400 when both or neither are there.
    pub fn of(text: Option<String>, texts: Option<List<String>>) -> Result<Self, Failure> {
        match (text, texts) {
            (Some(text), None) => Ok(Self::One(text)),
            (None, Some(texts)) => Ok(Self::Many(texts)),
            _ => Err(Failure::invalid("give either `text` or `texts`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_read() {
        for (value, media) in [
            ("application/json", Media::Json),
            ("Application/JSON; charset=utf-8", Media::Json),
            ("application/problem+json", Media::Json),
            ("text/plain;charset=utf-8", Media::Text),
            ("image/webp", Media::Image),
            ("application/octet-stream", Media::Image),
            (
                "application/x-www-form-urlencoded",
                Media::Other("application/x-www-form-urlencoded".into()),
            ),
            ("", Media::Other(String::new())),
        ] {
            assert_eq!(Media::of(value), media, "{value}");
        }
    }

    #[test]
    fn pictures_are_for_those_who_prefer_them() {
        let prefers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(ACCEPT, value.parse().expect("a value"));
            }
            prefers_png(&headers)
        };
        for accept in [
            &["image/png"][..],
            &["IMAGE/PNG; q=0.2"],
            &["image/*"],
            &["image/png, */*"],
            &["application/json;q=0.5, image/png"],
            &["application/json;q=0.5", "image/png;q=0.6"],
            &["*/*;q=0.1, image/png"],
        ] {
            assert!(prefers(accept), "{accept:?}");
        }
        for accept in [
            &[][..],
            &["*/*"],
            &["application/json"],
            &["image/png, application/json"],
            &["image/png;q=0.5, application/json"],
            &["image/png;q=0"],
            &["image/png;q=0, */*"],
            &["image/jpeg"],
            &["text/html, image/avif, image/apng, */*;q=0.8"],
            &["image/png;q=nonsense, application/json"],
            &["image/png;q=nan"],
        ] {
            assert!(!prefers(accept), "{accept:?}");
        }
    }

    #[test]
    fn one_or_many_but_not_both() {
        assert_eq!(
            Texts::of(Some("a".into()), None),
            Ok(Texts::One("a".into()))
        );
        assert_eq!(
            Texts::of(None, Some(List::default())),
            Ok(Texts::Many(List::default()))
        );
        assert!(Texts::of(None, None).is_err());
        assert!(Texts::of(Some("a".into()), Some(List::default())).is_err());
    }
}
