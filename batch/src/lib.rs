//! Jobs: work on more documents than somebody waits for, done once whatever happens in between.
//!
//! | file | what |
//! | --- | --- |
//! | [`job`] | what a job is, and the states that it and its tasks go through |
//! | [`store`] | where jobs are kept: in a SQLite file, or in memory for tests |
//! | [`work`] | what a kind of job asks and writes, brought by whoever opens a runner |
//! | [`cluster`] | where tasks are worked on: this machine, others later |
//! | [`runner`] | moves jobs from state to state: plan, tasks, output |
//! | [`behind`] | threads that go behind those that answer requests |
//! | [`prices`] | what AWS would have billed |
//! | [`lines`] | lines of files |
//! | [`transform`] | what Batch Transform of SageMaker does to records: cut, filter, join, assemble |
//!
//! Inputs and outputs are objects ([`escala_objects`]). The crate knows no model and no service: it asks a [`work::Work`].
//! Start reading at [`job`], then [`runner`].

/// Bytes of the stack of a thread that works on jobs, which reads tables.
pub use escala_objects::parquet::STACK;

pub mod behind;
pub mod cluster;
pub mod job;
pub mod lines;
pub mod prices;
pub mod runner;
pub mod store;
pub mod transform;
pub mod work;
