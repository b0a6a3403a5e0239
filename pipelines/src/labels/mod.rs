//! Labels of an image: EfficientNet-Lite0 classes mapped to a taxonomy of labels.
//!
//! The way of an item: [decoding](crate::image::File::decoded), centre crop and bicubic to 224 x 224, the network,
//! [`postprocess`] (softmax, sums over the [`taxonomy`], filters). [`task`] ties it to the engine.

pub mod features;
mod network;
pub mod postprocess;
pub mod task;
pub mod taxonomy;

use crate::image::File;
use crate::image::properties::ImageProperties;

pub use task::{LabelsPipeline, LabelsTask};

/// One image and what is asked about it.
#[derive(Clone, Debug)]
pub struct LabelsInput {
    /// The encoded image.
    pub image: File,
    /// What is asked.
    pub options: LabelsOptions,
}

/// What is asked about an image; the defaults are Rekognition's.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelsOptions {
    /// Answer labels at all.
    pub general_labels: bool,
    /// Most labels, best first.
    pub max_labels: usize,
    /// Least confidence in percent.
    pub min_confidence: f32,
    /// Label filters.
    pub filters: LabelFilters,
    /// Answer image properties, with at most this many dominant colours.
    pub properties: Option<usize>,
}

impl Default for LabelsOptions {
    fn default() -> Self {
        Self {
            general_labels: true,
            max_labels: 1000,
            min_confidence: 55.0,
            filters: LabelFilters::default(),
            properties: None,
        }
    }
}

/// Rekognition's `GeneralLabelsSettings`: inclusion filters keep, exclusion filters drop. Names are compared
/// without regard to case. With both kinds of inclusion filter, a label that either names is kept; then
/// whatever an exclusion filter names is dropped. Empty lists do nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelFilters {
    /// Keep only labels with these names.
    pub include_labels: Vec<String>,
    /// Drop labels with these names.
    pub exclude_labels: Vec<String>,
    /// Keep only labels of these categories.
    pub include_categories: Vec<String>,
    /// Drop labels of these categories.
    pub exclude_categories: Vec<String>,
}

/// The answer for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// Best first; empty when labels were not asked for.
    pub labels: Vec<Label>,
    /// Present when asked for.
    pub properties: Option<ImageProperties>,
    /// Version of the model and taxonomy that answered, `major.minor`.
    pub model_version: String,
}

/// One label.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Name in the taxonomy, such as `Cat`.
    pub name: String,
    /// Percent, 0 to 100.
    pub confidence: f32,
    /// All ancestors in the taxonomy, by name, as Rekognition's label model 3.0 lists them.
    pub parents: Vec<String>,
    /// Broad categories, such as `Animals and Pets`.
    pub categories: Vec<String>,
    /// Other names of the same thing.
    pub aliases: Vec<String>,
}
