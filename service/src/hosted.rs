//! What is hosted: models of SageMaker's endpoints that are not learned from tables (the tasks of the doors by their names, and
//! checkpoints in Hugging Face's layout), and endpoints as other doors ask them.
//!
//! | file | what |
//! | --- | --- |
//! | `tasks.rs` | `escala/sentiment`, `escala/labels`, …: an image's name names the task |
//! | `classifiers.rs` | `huggingface-…` images with a classifier of texts |
//! | `rows.rs` | endpoints asked about rows, for flows and others that have many |
//! | `questions.rs` | what both read of a request, and how they write answers |

mod classifiers;
mod questions;
pub mod rows;
mod tasks;

use escala_sagemaker::SageMaker;
use std::sync::{Arc, OnceLock};

/// What is trained and hosted, where a server has opened it: all apps of a server share the place.
pub type Hosted = Arc<OnceLock<Arc<SageMaker>>>;

pub use classifiers::{Classifiers, TRAINED};
pub use questions::refuse;
pub use tasks::Tasks;
