//! SageMaker: training jobs, models, endpoints and transform jobs, as they are kept and what they do.
//!
//! | file | what |
//! | --- | --- |
//! | `names.rs` | who asks, ARNs, images' names |
//! | `refusal.rs` | what is answered instead, in SageMaker's words |
//! | `store.rs` | what is kept, in a SQLite file |
//! | `lists.rs` | filters, order and pages of lists |
//! | `logs.rs` | what jobs say, as CloudWatch Logs shows it |
//! | `served.rs` | the contract of models that answer, and of who opens them |
//!
//! It knows the operations and no protocol: requests are JSON values that were checked against the service model, answers are
//! JSON values again.

pub mod archive;
pub mod lists;
pub mod logs;
pub mod names;
pub mod refusal;
pub mod served;
pub mod store;
pub mod tags;
pub mod training;

pub use names::{Caller, Kind};
pub use refusal::Refusal;
