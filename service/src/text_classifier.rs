//! Classifiers of texts as they are learned: what the command line (`escala train text-classifier`) and training jobs (the
//! image `text-classification`) share.
//!
//! | file | what |
//! | --- | --- |
//! | `trainer.rs` | labelled texts in, a folder with an adapter out |
//! | `job.rs` | the same as a training job of SageMaker's |

mod job;
pub mod trainer;

pub use job::TextClassification;
