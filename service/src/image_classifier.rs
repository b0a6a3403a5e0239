//! Classifiers of images as they are learned and hosted: the image `image-classification` of SageMaker's training jobs and models.
//!
//! | file | what |
//! | --- | --- |
//! | `model.rs` | what is learned: a layer on the network of labels; as files, and answering |
//! | `job.rs` | labelled images in, such a model out |

mod job;
mod model;

pub use job::ImageClassification;
pub use model::Opened as ImageClassifiers;

/// The repository that stands for both.
pub const REPOSITORY: &str = "image-classification";
