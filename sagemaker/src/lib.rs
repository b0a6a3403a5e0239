//! SageMaker: training jobs, models, endpoints and transform jobs, as they are kept and what they do.
//!
//! | file | what |
//! | --- | --- |
//! | `names.rs` | who asks, ARNs, images' names |
//! | `refusal.rs` | what is answered instead, in SageMaker's words |
//! | `store.rs` | what is kept, in a SQLite file |
//! | `lists.rs` | filters, order and pages of lists |
//! | `served.rs` | the contract of models that answer, and of who opens them |
//! | `transform/` | transform jobs: whole objects are asked about, by the job runner |
//!
//! It knows the operations and no protocol: requests are JSON values that were checked against the service model, answers are
//! JSON values again.

pub mod lists;
pub mod names;
pub mod refusal;
pub mod served;
pub mod store;
pub mod transform;

pub use names::{Caller, Kind};
pub use refusal::Refusal;
