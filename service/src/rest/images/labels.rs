//! `POST /v1/images/labels`: what an image shows, and on request its colours and quality.

use super::super::call::{Call, Media};
use super::super::error::ImageErrors;
use super::super::list::List;
use super::{Answer, BoxView, Render, RenderQuery, answer, check_image, image_of};
use crate::app::App;
use crate::failure::Failure;
use crate::located::{LocatedLabels, located};
use axum::body::Bytes;
use axum::extract::State;
use escala_pipelines::image::properties::{
    DEFAULT_DOMINANT_COLORS, ImageProperties, MAX_DOMINANT_COLORS,
};
use escala_pipelines::labels::{LabelFilters, LabelsInput, LabelsOptions};
use escala_pipelines::objects::join::{Instance, Located};
use escala_pipelines::render::{RenderInput, answers};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

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
    /// `png`: answer the image itself, at most 4096 pixels a side, with what was found drawn on it. So does the header
    /// `Accept: image/png`.
    #[param(inline)]
    render: Option<Render>,
}

/// What an image shows.
#[derive(Debug, Serialize, ToSchema)]
pub struct LabelsResponse {
    /// Columns of the image; left out where the detector of things did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Rows of the image; left out where the detector of things did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
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
    /// The things of this kind that have a place, surest first. The detector knows eighty kinds.
    pub instances: Vec<InstanceView>,
    /// Ancestors in the taxonomy.
    pub parents: Vec<String>,
    /// Broad categories.
    pub categories: Vec<String>,
    /// Other names of the same thing.
    pub aliases: Vec<String>,
}

/// One thing of a label.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstanceView {
    /// Where it is.
    #[serde(rename = "box")]
    pub area: BoxView,
    /// Percent, 0 to 100.
    pub confidence: f32,
}

impl From<Instance> for InstanceView {
    fn from(instance: Instance) -> Self {
        Self {
            area: instance.area.into(),
            confidence: instance.confidence,
        }
    }
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

impl From<LocatedLabels> for LabelsResponse {
    fn from(found: LocatedLabels) -> Self {
        let label = |Located { label, instances }: Located| LabelView {
            name: label.name,
            confidence: label.confidence,
            instances: instances.into_iter().map(InstanceView::from).collect(),
            parents: label.parents,
            categories: label.categories,
            aliases: label.aliases,
        };
        Self {
            width: found.size.map(|(width, _)| width),
            height: found.size.map(|(_, height)| height),
            labels: found.labels.into_iter().map(label).collect(),
            properties: found.properties.map(PropertiesView::from),
            model_version: found.model_version,
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
        ImageErrors,
        (status = 200, description = "Labels, best first.", content((LabelsResponse = "application/json"), (String = "image/png"))),
    )
)]
pub async fn labels(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Answer<LabelsResponse>, Failure> {
    let (image, asked, render) = match call.media {
        Media::Json => {
            let Ok(RenderQuery { render }) = call.query() else {
                return Err(Failure::invalid(
                    "with a JSON body, settings belong into the body, not into the query string; only `render=png` may be there",
                ));
            };
            let (image, asked) = from_json(&call).await?;
            (image, asked, render)
        }
        Media::Image => {
            let query: LabelsQuery = call.query()?;
            let render = query.render;
            (call.body.clone(), from_query(query)?, render)
        }
        _ => return Err(call.unsupported("application/json, image/* or application/octet-stream")),
    };
    let picture = call.prefers_png || render.is_some();
    let options = asked.options()?;
    check_image(&image, &app.config.limits)?;
    let input = LabelsInput {
        image: image.clone().into(),
        options,
    };
    let objects = app.images.objects.as_deref();
    let found = located(&*app.labels, objects, input, call.options).await?;
    let drawn = picture.then(|| RenderInput::one(image, answers::labels(&found.labels)));
    answer(&app, &call, found, drawn).await
}

async fn from_json(call: &Call) -> Result<(Bytes, Asked), Failure> {
    let request: LabelsRequest = call.json().await?;
    let image = image_of(request.image, "image").await?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
