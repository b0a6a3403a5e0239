//! `POST /v1/images/labels`: what an image shows, and on request its colours and quality.

use super::call::{Call, Media, away, predict_one};
use super::error::ErrorBody;
use super::list::List;
use crate::app::App;
use crate::config::Limits;
use crate::failure::Failure;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use escala_pipelines::Kind;
use escala_pipelines::image::properties::{
    DEFAULT_DOMINANT_COLORS, ImageProperties, MAX_DOMINANT_COLORS,
};
use escala_pipelines::labels::{Label, LabelFilters, Labels, LabelsInput, LabelsOptions};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Images above this are decoded from base64 away from the threads that serve connections.
const DECODE_INLINE: usize = 256 << 10;

/// Most dominant colours, as Rekognition takes.
const MOST_COLORS: usize = MAX_DOMINANT_COLORS;

/// Most names in one filter, as Rekognition takes.
const MOST_NAMES: usize = 100;

/// An image and what is asked about it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelsRequest {
    /// The encoded image (JPEG, PNG, WebP, GIF, BMP or TIFF) in base64.
    #[schema(content_encoding = "base64")]
    image: String,
    /// Most labels, best first.
    #[schema(default = 1000, minimum = 1)]
    max_labels: Option<usize>,
    /// Least confidence in percent.
    #[schema(default = 55.0, minimum = 0, maximum = 100)]
    min_confidence: Option<f32>,
    /// Also answer dominant colours, brightness, sharpness and contrast.
    #[serde(default)]
    properties: bool,
    /// Most dominant colours.
    #[schema(default = 10, minimum = 1, maximum = 20)]
    max_colors: Option<usize>,
    /// Keep only labels with these names.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 100)]
    include_labels: List<String>,
    /// Drop labels with these names.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 100)]
    exclude_labels: List<String>,
    /// Keep only labels of these categories.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 100)]
    include_categories: List<String>,
    /// Drop labels of these categories.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 100)]
    exclude_categories: List<String>,
}

/// What is asked about an image that is the body itself. Lists are separated by commas.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LabelsQuery {
    /// Most labels, best first.
    #[param(default = 1000, minimum = 1)]
    max_labels: Option<usize>,
    /// Least confidence in percent.
    #[param(default = 55.0, minimum = 0, maximum = 100)]
    min_confidence: Option<f32>,
    /// Also answer dominant colours, brightness, sharpness and contrast.
    properties: Option<bool>,
    /// Most dominant colours.
    #[param(default = 10, minimum = 1, maximum = 20)]
    max_colors: Option<usize>,
    /// Keep only labels with these names.
    include_labels: Option<String>,
    /// Drop labels with these names.
    exclude_labels: Option<String>,
    /// Keep only labels of these categories.
    include_categories: Option<String>,
    /// Drop labels of these categories.
    exclude_categories: Option<String>,
}

/// What an image shows.
#[derive(Debug, Serialize, ToSchema)]
pub struct LabelsResponse {
    /// Best first.
    pub labels: Vec<LabelView>,
    /// Present when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<PropertiesView>,
    /// Version of the model and the taxonomy that answered.
    pub model_version: String,
}

/// One label.
#[derive(Debug, Serialize, ToSchema)]
pub struct LabelView {
    /// Name in the taxonomy.
    #[schema(example = "Cat")]
    pub name: String,
    /// Percent, 0 to 100.
    pub confidence: f32,
    /// Ancestors in the taxonomy.
    pub parents: Vec<String>,
    /// Broad categories.
    pub categories: Vec<String>,
    /// Other names of the same thing.
    pub aliases: Vec<String>,
}

/// Properties computed from the pixels.
#[derive(Debug, Serialize, ToSchema)]
pub struct PropertiesView {
    /// Mean luminance, 0 to 100.
    pub brightness: f32,
    /// Strength of edges, 0 to 100.
    pub sharpness: f32,
    /// Spread of luminance, 0 to 100.
    pub contrast: f32,
    /// Most frequent first.
    pub dominant_colors: Vec<ColorView>,
}

/// One dominant colour.
#[derive(Debug, Serialize, ToSchema)]
pub struct ColorView {
    /// Red, green, blue.
    pub rgb: [u8; 3],
    /// `#rrggbb`.
    pub hex: String,
    /// Nearest named CSS colour.
    pub css_color: String,
    /// One of twelve simple colour names.
    pub simplified_color: String,
    /// Share of the pixels, 0 to 100.
    pub pixel_percent: f32,
}

impl From<Labels> for LabelsResponse {
    fn from(labels: Labels) -> Self {
        let label = |label: Label| LabelView {
            name: label.name,
            confidence: label.confidence,
            parents: label.parents,
            categories: label.categories,
            aliases: label.aliases,
        };
        Self {
            labels: labels.labels.into_iter().map(label).collect(),
            properties: labels.properties.map(PropertiesView::from),
            model_version: labels.model_version,
        }
    }
}

impl From<ImageProperties> for PropertiesView {
    fn from(properties: ImageProperties) -> Self {
        let colors = properties.dominant_colors.into_iter().map(|color| {
            let [red, green, blue] = color.rgb;
            ColorView {
                rgb: color.rgb,
                hex: format!("#{red:02x}{green:02x}{blue:02x}"),
                css_color: color.css_color,
                simplified_color: color.simplified_color,
                pixel_percent: color.pixel_percent,
            }
        });
        Self {
            brightness: properties.quality.brightness,
            sharpness: properties.quality.sharpness,
            contrast: properties.quality.contrast,
            dominant_colors: colors.collect(),
        }
    }
}

/// The settings that both ways of asking share.
struct Asked {
    max_labels: Option<usize>,
    min_confidence: Option<f32>,
    properties: bool,
    max_colors: Option<usize>,
    filters: LabelFilters,
}

impl Asked {
    fn options(self) -> Result<LabelsOptions, Failure> {
        let defaults = LabelsOptions::default();
        let max_labels = self.max_labels.unwrap_or(defaults.max_labels);
        let min_confidence = self.min_confidence.unwrap_or(defaults.min_confidence);
        let max_colors = self.max_colors.unwrap_or(DEFAULT_DOMINANT_COLORS);
        if max_labels == 0 {
            return Err(Failure::invalid("`max_labels` must be at least 1").at("max_labels"));
        }
        if !(0.0..=100.0).contains(&min_confidence) {
            return Err(
                Failure::invalid("`min_confidence` must be between 0 and 100").at("min_confidence"),
            );
        }
        if !(1..=MOST_COLORS).contains(&max_colors) {
            return Err(Failure::invalid(format!(
                "`max_colors` must be between 1 and {MOST_COLORS}"
            ))
            .at("max_colors"));
        }
        let properties = self.properties.then_some(max_colors);
        Ok(LabelsOptions {
            max_labels,
            min_confidence,
            filters: self.filters,
            properties,
            ..defaults
        })
    }
}

/// The names in a query parameter.
fn split(text: Option<String>) -> List<String> {
    let text = text.unwrap_or_default();
    let names = text.split(',').map(str::trim);
    let names: Vec<String> = names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    names.into()
}

/// The names of a filter: each is compared with every label, so there cannot be any number of them.
fn names(list: List<String>, member: &'static str) -> Result<Vec<String>, Failure> {
    if list.sent() > MOST_NAMES {
        let sent = list.sent();
        let message = format!("`{member}` has {sent} names; at most {MOST_NAMES} are taken");
        return Err(Failure::invalid(message).at(member));
    }
    Ok(list.into_items())
}

/// Name what an image shows.
///
/// The image is either in the JSON body as base64, or it is the body itself (`image/*` or
/// `application/octet-stream`) with the settings as query parameters.
///
/// # Errors
/// Those of [`crate::failure`].
#[utoipa::path(
    post,
    path = "/v1/images/labels",
    tag = "images",
    params(LabelsQuery),
    request_body(content(
        (LabelsRequest = "application/json"),
        (String = "image/*"),
        (String = "application/octet-stream"),
    )),
    responses(
        (status = 200, description = "Labels, best first.", body = LabelsResponse),
        (status = 400, description = "The request breaks a rule, or the bytes are not an image.", body = ErrorBody),
        (status = 413, description = "The body or the image is too large.", body = ErrorBody),
        (status = 415, description = "The content type is not taken here.", body = ErrorBody),
        (status = 429, description = "The queue is full; `Retry-After` says when to come back.", body = ErrorBody),
        (status = 503, description = "The model cannot be loaded now.", body = ErrorBody),
        (status = 504, description = "The deadline passed.", body = ErrorBody),
    )
)]
pub async fn labels(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Json<LabelsResponse>, Failure> {
    let (image, asked) = match call.media {
        Media::Json if !call.query.is_empty() => {
            return Err(Failure::invalid(
                "with a JSON body, settings belong into the body, not into the query string",
            ));
        }
        Media::Json => from_json(&call).await?,
        Media::Image => (call.body.clone(), from_query(call.query()?)?),
        _ => return Err(call.unsupported("application/json, image/* or application/octet-stream")),
    };
    let options = asked.options()?;
    check_image(&image, &app.config.limits)?;
    let labels = predict_one(
        &*app.labels,
        LabelsInput {
            image: image.into(),
            options,
        },
        call.options,
    )
    .await?;
    Ok(Json(labels.into()))
}

/// Checks an encoded image against the limits.
///
/// # Errors
/// 400 when it is empty, 413 when it is too large.
pub fn check_image(image: &[u8], limits: &Limits) -> Result<(), Failure> {
    if image.is_empty() {
        return Err(Failure::of_kind(Kind::InvalidImage, "there is no image").at("image"));
    }
    let limit = limits.image.get();
    if image.len() as u64 > limit {
        let message = format!(
            "the image has {} bytes; at most {limit} are taken",
            image.len()
        );
        return Err(Failure::of_kind(Kind::TooLarge, message).at("image"));
    }
    Ok(())
}

async fn from_json(call: &Call) -> Result<(Bytes, Asked), Failure> {
    let request: LabelsRequest = call.json().await?;
    let image = image_of(request.image).await?;
    let filters = LabelFilters {
        include_labels: names(request.include_labels, "include_labels")?,
        exclude_labels: names(request.exclude_labels, "exclude_labels")?,
        include_categories: names(request.include_categories, "include_categories")?,
        exclude_categories: names(request.exclude_categories, "exclude_categories")?,
    };
    let asked = Asked {
        max_labels: request.max_labels,
        min_confidence: request.min_confidence,
        properties: request.properties,
        max_colors: request.max_colors,
        filters,
    };
    Ok((image, asked))
}

fn from_query(query: LabelsQuery) -> Result<Asked, Failure> {
    Ok(Asked {
        max_labels: query.max_labels,
        min_confidence: query.min_confidence,
        properties: query.properties.unwrap_or(false),
        max_colors: query.max_colors,
        filters: LabelFilters {
            include_labels: names(split(query.include_labels), "include_labels")?,
            exclude_labels: names(split(query.exclude_labels), "exclude_labels")?,
            include_categories: names(split(query.include_categories), "include_categories")?,
            exclude_categories: names(split(query.exclude_categories), "exclude_categories")?,
        },
    })
}

/// The bytes of an image in base64; large ones are read away from the threads that serve connections.
///
/// # Errors
/// 400 when it is not base64.
pub async fn image_of(text: String) -> Result<Bytes, Failure> {
    match text.len() <= DECODE_INLINE {
        true => decode(&text),
        false => away(move || decode(&text)).await,
    }
}

fn decode(text: &str) -> Result<Bytes, Failure> {
    BASE64.decode(text).map(Bytes::from).map_err(|error| {
        let hint = match text.starts_with("data:") {
            true => "; send what follows `base64,` in the data URL",
            false => "",
        };
        let error = error.to_string().to_lowercase();
        let error = error.trim_end_matches('.');
        Failure::invalid(format!("`image` is not base64: {error}{hint}")).at("image")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_and_without_padding() {
        for text in ["aGk=", "aGk"] {
            assert_eq!(decode(text).expect(text), "hi");
        }
        for text in ["aGk*", "a", "aG k=", "data:image/png;base64,aGk="] {
            assert_eq!(decode(text).expect_err(text).status.as_u16(), 400, "{text}");
        }
        let failure = decode("data:image/png;base64,aGk=").expect_err("a URL");
        assert!(failure.message.contains("data URL"), "{}", failure.message);
    }

    #[test]
    fn settings_are_checked() {
        let asked = |query: LabelsQuery| from_query(query)?.options();
        let options = asked(LabelsQuery::default()).expect("defaults");
        assert_eq!(options, LabelsOptions::default());
        for query in [
            LabelsQuery {
                max_labels: Some(0),
                ..Default::default()
            },
            LabelsQuery {
                min_confidence: Some(-1.0),
                ..Default::default()
            },
            LabelsQuery {
                min_confidence: Some(f32::NAN),
                ..Default::default()
            },
            LabelsQuery {
                max_colors: Some(21),
                ..Default::default()
            },
            LabelsQuery {
                exclude_categories: Some("x,".repeat(MOST_NAMES + 1)),
                ..Default::default()
            },
        ] {
            assert!(asked(query).is_err());
        }
        let query = LabelsQuery {
            include_labels: Some("Cat, Dog,".into()),
            properties: Some(true),
            ..Default::default()
        };
        let options = asked(query).expect("fine");
        assert_eq!(options.filters.include_labels, ["Cat", "Dog"]);
        assert_eq!(options.properties, Some(DEFAULT_DOMINANT_COLORS));
    }
}
