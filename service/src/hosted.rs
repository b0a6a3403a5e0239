//! Models of SageMaker's endpoints that are not learned from tables: the tasks of the doors by their names, and checkpoints in
//! Hugging Face's layout.
//!
//! | file | what |
//! | --- | --- |
//! | `tasks.rs` | `escala/sentiment`, `escala/labels`, …: an image's name names the task |
//! | `classifiers.rs` | `huggingface-…` images with a classifier of texts |
//! | `questions.rs` | what both read of a request, and how they write answers |

mod classifiers;
mod questions;
mod tasks;

pub use classifiers::{Classifiers, TRAINED};
pub use tasks::Tasks;
