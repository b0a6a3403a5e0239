//! Classifiers of images as they are learned and hosted: the image `image-classification` of SageMaker's training jobs and models.
//!
//! | file | what |
//! | --- | --- |
//! | `model.rs` | what is learned: a layer on the network of labels, or on one that learned too; as files, and answering |
//! | `labelled.rs` | the images of a job's channels, and their classes |
//! | `parameters.rs` | the hyperparameters of a job |
//! | `job.rs` | labelled images in, such a model out |

mod job;
mod labelled;
mod model;
mod parameters;

pub use job::ImageClassification;
pub use model::Opened as ImageClassifiers;

/// The repository that stands for both.
pub const REPOSITORY: &str = "image-classification";
