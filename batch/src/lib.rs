//! Jobs, SQL over datasets, transform and training: nothing is built here yet.
//!
//! The crate holds the place in the house: it may use `escala-pipelines` and nothing above it, and
//! `service` will join it to the doors. The README's table of what is real says when it does something.
pub mod transform;
