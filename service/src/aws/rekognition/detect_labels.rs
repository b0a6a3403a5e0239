//! `DetectLabels`.
//!
//! * `MaxLabels` and the filters of `Settings.GeneralLabels` count only with the feature `GENERAL_LABELS`,
//!   `MaxDominantColors` only with `IMAGE_PROPERTIES`; where they do not count they are ignored.
//! * `OrientationCorrection` is always null at AWS, and so is left out.
//! * `Instances` are what the detector sees of eighty kinds, joined with the classifier's labels
//!   ([`escala_pipelines::objects::join`]). Where the detector's weights cannot be had, or not in half of the
//!   request's time, labels are answered without instances, and the log says so.
//! * `ImageProperties` describes the whole image; its `Foreground` and `Background` need a segmentation
//!   that the model behind does not make, and are left out.

use super::faces::place;
use super::image::Image;
use crate::app::one;
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::{Aws, number};
use escala_pipelines::image::File;
use escala_pipelines::image::properties::{DominantColor, ImageProperties};
use escala_pipelines::labels::{Label, LabelFilters, LabelsInput, LabelsOptions};
use escala_pipelines::objects::join::{Instance, join};
use escala_pipelines::objects::{Objects, ObjectsInput};
use escala_pipelines::{Error, Kind, Options};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Instant;

/// `DetectLabelsRequest`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Input {
    image: Image,
    max_labels: Option<f64>,
    min_confidence: Option<f32>,
    features: Option<Vec<String>>,
    settings: Option<Settings>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    general_labels: Option<GeneralLabels>,
    image_properties: Option<ImagePropertiesSettings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GeneralLabels {
    label_inclusion_filters: Option<Vec<String>>,
    label_exclusion_filters: Option<Vec<String>>,
    label_category_inclusion_filters: Option<Vec<String>>,
    label_category_exclusion_filters: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImagePropertiesSettings {
    max_dominant_colors: Option<f64>,
}

/// Least confidence of an object that is joined with labels, in percent; requests' own bounds come after.
const LEAST_OBJECT: f32 = 30.0;
/// Most objects that are joined with labels.
const MOST_OBJECTS: usize = 200;
/// Most labels of an answer, and how many there are when the request does not say.
const MOST_LABELS: usize = 1_000;
/// Dominant colours when the request does not say.
const DOMINANT_COLORS: usize = 10;

pub async fn run(aws: &Aws, call: Call, input: Input, options: Options) -> Result<Value, Failure> {
    let fail = |error| Failure::of(call.service.id, call.operation, error);
    let asked = LabelsOptions::from(&input);
    // Both tasks look at the same pixels.
    let image = File::new(input.image.encoded()?);
    let (labels, answer) = match &aws.images.objects {
        Some(objects) if asked.general_labels => {
            let all = LabelsOptions {
                max_labels: usize::MAX,
                min_confidence: 0.0,
                filters: LabelFilters::default(),
                ..asked.clone()
            };
            let sought = ObjectsInput {
                image: image.clone(),
                min_confidence: LEAST_OBJECT,
                most: MOST_OBJECTS,
            };
            let everything = LabelsInput {
                image,
                options: all,
            };
            let (answer, found) = tokio::join!(
                one(&*aws.labels, everything, options),
                one(&**objects, sought, sooner(options))
            );
            let answer = answer.map_err(fail)?;
            let found = match found {
                Ok(found) => found,
                Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Deadline) => {
                    tracing::warn!(%error, "labels without instances");
                    Objects {
                        width: 1,
                        height: 1,
                        objects: Vec::new(),
                    }
                }
                Err(error) => return Err(fail(error)),
            };
            let joined = join(&answer.labels, &found.objects, &asked);
            let labels = joined.iter().map(|located| {
                let instance = |instance: &Instance| {
                    let (width, height) = (found.width.max(1) as f32, found.height.max(1) as f32);
                    let area = instance.area.within(found.width, found.height);
                    let shares = [
                        area.left / width,
                        area.top / height,
                        area.width() / width,
                        area.height() / height,
                    ];
                    Ok(json!({
                        "BoundingBox": place(shares)?,
                        "Confidence": number(instance.confidence)?,
                    }))
                };
                let instances: Result<Vec<Value>, Error> =
                    located.instances.iter().map(instance).collect();
                label(&located.label, instances?)
            });
            (labels.collect::<Result<Vec<Value>, Error>>(), answer)
        }
        _ => {
            let input = LabelsInput {
                image,
                options: asked,
            };
            let answer = one(&*aws.labels, input, options).await.map_err(fail)?;
            let labels = answer.labels.iter().map(|found| label(found, Vec::new()));
            (labels.collect(), answer)
        }
    };
    let labels = labels.map_err(fail)?;
    let mut output = json!({"Labels": labels, "LabelModelVersion": answer.model_version});
    if let Some(found) = &answer.properties {
        output["ImageProperties"] = properties(found).map_err(fail)?;
    }
    Ok(output)
}

/// Half of the time that is left, so that labels are still answered when the detector's weights take long to come.
fn sooner(options: Options) -> Options {
    let now = Instant::now();
    let half = |deadline: Instant| now + deadline.saturating_duration_since(now) / 2;
    Options {
        deadline: options.deadline.map(half),
        ..options
    }
}

impl From<&Input> for LabelsOptions {
    fn from(input: &Input) -> Self {
        // No features, or an empty list of them, means the default.
        let features = input.features.as_deref().unwrap_or_default();
        let asks = |feature: &str| features.iter().any(|asked| asked == feature);
        let settings = input.settings.as_ref();
        let filters = settings
            .and_then(|settings| settings.general_labels.as_ref())
            .map(|general| {
                let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
                LabelFilters {
                    include_labels: list(&general.label_inclusion_filters),
                    exclude_labels: list(&general.label_exclusion_filters),
                    include_categories: list(&general.label_category_inclusion_filters),
                    exclude_categories: list(&general.label_category_exclusion_filters),
                }
            });
        let colors =
            settings.and_then(|settings| settings.image_properties.as_ref()?.max_dominant_colors);
        let defaults = Self::default();
        Self {
            general_labels: features.is_empty() || asks("GENERAL_LABELS"),
            // The model's bounds hold (0 and more, at most 20 colours); a fraction is cut off as AWS does.
            max_labels: input
                .max_labels
                .map_or(MOST_LABELS, |most| most as usize)
                .min(MOST_LABELS),
            min_confidence: input.min_confidence.unwrap_or(defaults.min_confidence),
            filters: filters.unwrap_or_default(),
            properties: asks("IMAGE_PROPERTIES")
                .then(|| colors.map_or(DOMINANT_COLORS, |most| most as usize)),
        }
    }
}

fn label(label: &Label, instances: Vec<Value>) -> Result<Value, Error> {
    let names = |names: &[String]| {
        names
            .iter()
            .map(|name| json!({ "Name": name }))
            .collect::<Vec<_>>()
    };
    Ok(json!({
        "Name": label.name,
        "Confidence": number(label.confidence)?,
        "Instances": instances,
        "Parents": names(&label.parents),
        "Aliases": names(&label.aliases),
        "Categories": names(&label.categories),
    }))
}

fn properties(found: &ImageProperties) -> Result<Value, Error> {
    let colors: Vec<Value> = found
        .dominant_colors
        .iter()
        .map(color)
        .collect::<Result<_, Error>>()?;
    let quality = &found.quality;
    Ok(json!({
        "Quality": {
            "Brightness": number(quality.brightness)?,
            "Sharpness": number(quality.sharpness)?,
            "Contrast": number(quality.contrast)?,
        },
        "DominantColors": colors,
    }))
}

/// The values are those of the named colour and not of the pixels, as in real answers (every
/// `darkslategrey` there is `#2f4f4f`).
fn color(color: &DominantColor) -> Result<Value, Error> {
    let [red, green, blue] = color.css_rgb;
    Ok(json!({
        "Red": red,
        "Green": green,
        "Blue": blue,
        "HexCode": format!("#{red:02x}{green:02x}{blue:02x}"),
        "CSSColor": color.css_color,
        "SimplifiedColor": color.simplified_color,
        "PixelPercent": number(color.pixel_percent)?,
    }))
}
