//! The `preprocessor_config.json` of Hugging Face transformers as an [`Input`].
//!
//! What the image processors of ViT, ConvNeXT (which ResNet uses), EfficientNet, DETR and RT-DETR do is read; images are
//! resized as Pillow does it. What a file asks for and cannot be said with an [`Input`] is refused with the key's name.

use escala_weights::declaration::{Colours, Filter, Input, Layout, Resize};
use serde::Deserialize;

/// The file's name.
pub const FILE: &str = "preprocessor_config.json";

#[derive(Deserialize)]
struct File {
    #[serde(alias = "feature_extractor_type")]
    image_processor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<Size>,
    resample: Option<u8>,
    do_center_crop: Option<bool>,
    crop_size: Option<Size>,
    /// The longest edge in files that are older than sizes of several members.
    max_size: Option<u32>,
    crop_pct: Option<f64>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    rescale_offset: Option<bool>,
    do_normalize: Option<bool>,
    image_mean: Option<[f64; 3]>,
    image_std: Option<[f64; 3]>,
    include_top: Option<bool>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Size {
    Side(u32),
    Both {
        height: u32,
        width: u32,
    },
    Shortest {
        shortest_edge: u32,
        longest_edge: Option<u32>,
    },
}

/// Which library class the file is of; it decides what is left out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    ConvNext,
    EfficientNet,
    Detr,
    RtDetr,
    Other,
}

/// What a file says.
///
/// # Errors
/// What is missing or cannot be done, and the key.
pub fn read(json: &[u8]) -> Result<Input, String> {
    let file: File = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let family = match file.image_processor_type.as_deref().unwrap_or_default() {
        name if name.starts_with("ConvN") => Family::ConvNext,
        name if name.starts_with("EfficientNet") => Family::EfficientNet,
        name if name.starts_with("RTDetr") => Family::RtDetr,
        name if name.starts_with("Detr") => Family::Detr,
        _ => Family::Other,
    };
    let filter = match file.resample {
        Some(0) => Filter::PillowNearest,
        Some(2) => Filter::PillowBilinear,
        Some(3) => Filter::PillowBicubic,
        None if matches!(family, Family::ConvNext | Family::EfficientNet) => Filter::PillowBicubic,
        None => Filter::PillowBilinear,
        Some(other) => return Err(format!("`resample` {other} is not built: 0, 2 or 3")),
    };
    if file.do_resize == Some(false) {
        return Err("`do_resize` is false, but images come in all sizes".to_owned());
    }
    let (height, width, resize) = file.resize(family)?;
    let mut scale = 1.0;
    let (mut mean, mut std) = ([0.0; 3], [1.0; 3]);
    if file.do_rescale != Some(false) {
        scale = file.rescale_factor.unwrap_or(1.0 / 255.0);
        if file.rescale_offset == Some(true) {
            mean = [1.0; 3];
        }
    }
    if file.do_normalize.unwrap_or(family != Family::RtDetr) {
        let given = file.image_mean.ok_or("`image_mean` is missing")?;
        for (mean, given) in mean.iter_mut().zip(given) {
            *mean += given;
        }
        std = file.image_std.ok_or("`image_std` is missing")?;
        // Divided by once more.
        if family == Family::EfficientNet && file.include_top != Some(false) {
            std = std.map(|std| std * std);
        }
    }
    let input = Input {
        width,
        height,
        layout: Layout::Nhwc,
        colours: Colours::Rgb,
        resize,
        filter,
        scale: scale as f32,
        mean: mean.map(|value| value as f32),
        std: std.map(|value| value as f32),
    };
    input.check()?;
    Ok(input)
}

impl File {
    /// Height, width, and what of the image is shown.
    fn resize(&self, family: Family) -> Result<(u32, u32, Resize), String> {
        let size = self.size.ok_or("`size` is missing")?;
        let crop = self.do_center_crop == Some(true);
        let shorter = match size {
            Size::Both { height, width } => {
                let crop_size = self.crop_size.and_then(Size::both);
                if crop && crop_size != Some((height, width)) {
                    return Err(
                        "`crop_size` after a `size` that is stretched to is not built".to_owned(),
                    );
                }
                return Ok((height, width, Resize::Stretch {}));
            }
            Size::Side(side) => side,
            Size::Shortest { shortest_edge, .. } => shortest_edge,
        };
        if family == Family::ConvNext {
            if shorter >= 384 {
                return Ok((shorter, shorter, Resize::Stretch {}));
            }
            let part = self.crop_pct.unwrap_or(224.0 / 256.0);
            if !(part > 0.0 && part <= 1.0) {
                return Err(format!("`crop_pct` is {part}"));
            }
            let before = (f64::from(shorter) / part) as u32;
            return Ok((shorter, shorter, Resize::Crop { shorter: before }));
        }
        if crop {
            let crop_size = self.crop_size.and_then(Size::both);
            let (height, width) = crop_size.ok_or("`crop_size` has no height and width")?;
            return Ok((height, width, Resize::Crop { shorter }));
        }
        match size {
            Size::Shortest { longest_edge, .. } => {
                let longer = longest_edge.or(self.max_size);
                let longer = longer.ok_or("`size` has no longest_edge")?;
                Ok((longer, longer, Resize::Within { shorter }))
            }
            _ if family == Family::Detr => {
                let longer = self.max_size.ok_or("`max_size` is missing")?;
                Ok((longer, longer, Resize::Within { shorter }))
            }
            _ => Ok((shorter, shorter, Resize::Stretch {})),
        }
    }
}

impl Size {
    /// Height and width.
    fn both(self) -> Option<(u32, u32)> {
        match self {
            Self::Side(side) => Some((side, side)),
            Self::Both { height, width } => Some((height, width)),
            Self::Shortest { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_files_are_read() {
        let vit = br#"{"do_normalize": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
            "resample": 2, "size": 224, "feature_extractor_type": "ViTFeatureExtractor"}"#;
        let read_vit = read(vit).unwrap();
        assert_eq!((read_vit.width, read_vit.height), (224, 224));
        assert_eq!(read_vit.resize, Resize::Stretch {});
        assert_eq!(read_vit.filter, Filter::PillowBilinear);
        assert_eq!((read_vit.scale, read_vit.mean), (1.0 / 255.0, [0.5; 3]));

        let resnet = br#"{"crop_pct": 0.875, "do_normalize": true, "do_resize": true, "resample": 3, "size": 224,
            "feature_extractor_type": "ConvNextFeatureExtractor", "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225]}"#;
        let resnet = read(resnet).unwrap();
        assert_eq!(resnet.resize, Resize::Crop { shorter: 256 });
        assert_eq!((resnet.width, resnet.filter), (224, Filter::PillowBicubic));

        let efficient = br#"{"image_processor_type": "EfficientNetImageProcessor", "crop_size": {"height": 289, "width": 289},
            "do_center_crop": false, "do_normalize": true, "do_rescale": true, "do_resize": true,
            "image_mean": [0.485, 0.456, 0.406], "image_std": [0.5, 0.25, 2], "include_top": true, "resample": 0,
            "rescale_factor": 0.5, "rescale_offset": true, "size": {"height": 224, "width": 240}}"#;
        let efficient = read(efficient).unwrap();
        assert_eq!((efficient.width, efficient.height), (240, 224));
        assert_eq!(efficient.filter, Filter::PillowNearest);
        assert_eq!(efficient.std, [0.25, 0.0625, 4.0]);
        assert_eq!((efficient.scale, efficient.mean[0]), (0.5, 1.485));

        let detector =
            br#"{"image_processor_type": "RTDetrImageProcessor", "do_resize": true, "resample": 2,
            "do_normalize": false, "do_rescale": true, "image_mean": [0.485, 0.456, 0.406],
            "size": {"height": 640, "width": 640}, "image_std": [0.229, 0.224, 0.225]}"#;
        let detector = read(detector).unwrap();
        assert_eq!((detector.mean, detector.std), ([0.0; 3], [1.0; 3]));

        for size in [
            r#""size": {"longest_edge": 1333, "shortest_edge": 800}"#,
            r#""size": 800, "max_size": 1333"#,
        ] {
            let detr = format!(
                r#"{{"feature_extractor_type": "DetrFeatureExtractor", "do_normalize": false, {size}}}"#
            );
            let detr = read(detr.as_bytes()).unwrap();
            assert_eq!(detr.resize, Resize::Within { shorter: 800 });
            assert_eq!((detr.width, detr.height), (1333, 1333));
        }

        let clip = br#"{"size": {"shortest_edge": 256}, "do_center_crop": true, "crop_size": 224, "do_normalize": false}"#;
        assert_eq!(read(clip).unwrap().resize, Resize::Crop { shorter: 256 });
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_its_key() {
        for (json, says) in [
            (r#"{"size": 224, "resample": 1}"#, "`resample` 1"),
            (r#"{"resample": 2}"#, "`size` is missing"),
            (r#"{"size": 224}"#, "`image_mean` is missing"),
            (
                r#"{"size": 224, "image_mean": [0, 0, 0]}"#,
                "`image_std` is missing",
            ),
            (r#"{"size": 0, "do_normalize": false}"#, "`input.width`"),
            (r#"{"size": 99999, "do_normalize": false}"#, "`input.width`"),
            (r#"{"size": 224, "do_resize": false}"#, "`do_resize`"),
            (
                r#"{"size": {"shortest_edge": 800}, "do_normalize": false}"#,
                "longest_edge",
            ),
            (
                r#"{"size": {"height": 256, "width": 256}, "do_center_crop": true, "crop_size": 224}"#,
                "`crop_size`",
            ),
            (
                r#"{"size": 224, "crop_pct": 0, "image_processor_type": "ConvNextImageProcessor"}"#,
                "`crop_pct`",
            ),
            (r#"{"size": "large"}"#, "did not match"),
            ("{", "EOF"),
        ] {
            let why = read(json.as_bytes()).unwrap_err();
            assert!(why.contains(says), "{json}: {why}");
        }
    }
}
