//! `DetectLabels`.
//!
//! * `MaxLabels` and the filters of `Settings.GeneralLabels` count only with the feature `GENERAL_LABELS`,
//!   `MaxDominantColors` only with `IMAGE_PROPERTIES`; where they do not count they are ignored.
//! * `OrientationCorrection` is always null at AWS, and so is left out.
//! * `Instances` are what the detector sees of eighty kinds, joined with the classifier's labels
//!   ([`crate::located`]).
//! * `ImageProperties` describes the whole image; its `Foreground` and `Background` need a segmentation
//!   that the model behind does not make, and are left out.

use super::faces::place;
use super::image::Image;
use crate::aws::dispatch::Call;
use crate::aws::errors::Failure;
use crate::aws::{Aws, number};
use crate::located::located;
use escala_pipelines::image::properties::{DominantColor, ImageProperties};
use escala_pipelines::labels::{Label, LabelFilters, LabelsInput, LabelsOptions};
use escala_pipelines::objects::join::Instance;
use escala_pipelines::{Error, Options};
use serde::Deserialize;
use serde_json::{Value, json};

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

/// Most labels of an answer, and how many there are when the request does not say.
const MOST_LABELS: usize = 1_000;
/// Dominant colours when the request does not say.
const DOMINANT_COLORS: usize = 10;

pub async fn run(aws: &Aws, call: Call, input: Input, options: Options) -> Result<Value, Failure> {
    let fail = |error| Failure::of(call.service.id, call.operation, error);
    let asked = LabelsInput {
        options: LabelsOptions::from(&input),
        image: input.image.encoded(aws, call, options).await?.into(),
    };
    let answer = located(&*aws.labels, aws.images.objects.as_deref(), asked, options).await;
    let answer = answer.map_err(fail)?;
    let (width, height) = answer.size.unwrap_or_default();
    let (width, height) = (width.max(1) as f32, height.max(1) as f32);
    let instance = |instance: &Instance| {
        let area = &instance.area;
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
    let labels = answer.labels.iter().map(|located| {
        let instances: Result<Vec<Value>, Error> = located.instances.iter().map(instance).collect();
        label(&located.label, instances?)
    });
    let labels: Result<Vec<Value>, Error> = labels.collect();
    let labels = labels.map_err(fail)?;
    let mut output = json!({"Labels": labels, "LabelModelVersion": answer.model_version});
    if let Some(found) = &answer.properties {
        output["ImageProperties"] = properties(found).map_err(fail)?;
    }
    Ok(output)
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
