//! SageMaker: training jobs, models, endpoints and transform jobs, as they are kept and what they do.
//!
//! | file | what |
//! | --- | --- |
//! | `names.rs` | who asks, ARNs, images' names |
//! | `refusal.rs` | what is answered instead, in SageMaker's words |
//! | `store.rs` | what is kept, in a SQLite file |
//! | `lists.rs` | filters, order and pages of lists |
//! | `served.rs` | the contract of models that answer, and of who opens them |
//! | `archive.rs` | models as they are kept: gzipped tars |
//! | `learned.rs` | models of algorithms on tables, behind their images |
//! | `models.rs` | models: what is kept of them, and those that are open |
//! | `tags.rs` | tags of all of it |
//!
//! It knows the operations and no protocol: requests are JSON values that were checked against the service model, answers are
//! JSON values again.

pub mod archive;
pub mod learned;
pub mod lists;
pub mod models;
pub mod names;
pub mod refusal;
pub mod served;
pub mod store;
pub mod tags;
#[cfg(test)]
mod testing;

pub use names::{Caller, Kind};
pub use refusal::Refusal;
