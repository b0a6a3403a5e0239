//! SQL in which models are functions: `SELECT text FROM 'reviews/*.parquet' WHERE sentiment(text)['sentiment'] = 'NEGATIVE'`.
//!
//! DataFusion parses, plans and runs; this crate adds what it lacks for models. Start reading at [`predict`]: calls of
//! models are taken out of every part of a query into nodes of their own, which ask about each distinct input once, in
//! pieces, behind the cheaper filters. [`functions`] is the table of what can be called and what it answers,
//! [`endpoint`] how hosted
//! models are asked about any columns, [`model::Model`] what a model is to this crate, [`Engine`] a query from text to
//! batches, [`places`] which files a query may name, [`sources`] tables that are no files, [`score`] the scoring of files
//! piece by piece.

pub mod answered;
pub mod answers;
mod bad;
pub mod buckets;
pub mod chains;
pub mod copy;
mod csv;
pub mod endpoint;
pub mod engine;
pub mod files;
pub mod functions;
mod growing;
mod images;
mod ipc;
mod json;
mod kinds;
mod listed;
pub mod model;
mod nested;
pub mod output;
mod pages;
pub mod places;
mod placing;
pub mod predict;
pub mod score;
pub mod sources;

pub use datafusion::arrow;
pub use engine::{Engine, Query, Settings};
pub use model::{Error, Model, Scores};
pub use object_store::Error as ObjectStoreError;
