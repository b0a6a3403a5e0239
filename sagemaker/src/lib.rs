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
//! | `endpoints/` | endpoints: what is kept of them, and the threads that deploy them |
//! | `invoke.rs` | invocations: which model answers |
//! | `capture.rs` | questions and answers that are kept |
//! | `asynchronous.rs` | questions that are answered later |
//! | `hosting.rs` | models and endpoints, all together |
//! | `tags.rs` | tags of all of it |
//!
//! It knows the operations and no protocol: requests are JSON values that were checked against the service model, answers are
//! JSON values again.

pub mod archive;
pub mod asynchronous;
pub mod capture;
pub mod endpoints;
pub mod hosting;
pub mod invoke;
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

pub use hosting::Hosting;
pub use names::{Caller, Kind};
pub use refusal::Refusal;
