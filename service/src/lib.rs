//! The doors of the binary `escala`: AWS wire, S3, REST (topics, flows, jobs and SQL included), OpenAI's embeddings and
//! conversations, the Open Inference Protocol, Kafka's port, health and metrics; and its command line. What hosted models are
//! made of is here, too ([`hosted`], [`text_classifier`], [`image_classifier`]).
//!
//! A door translates; it never predicts. The way of a request: [`server`] accepts the connection,
//! [`server::observe`] gives it an id, a deadline and a body within the limits, [`doors`] finds the
//! handler, the handler asks [`app::App`] and renders the answer in its door's shape.
//! Start reading at [`app`], then [`doors`].

pub mod app;
pub mod asked;
pub mod aws;
pub mod cli;
pub mod compared;
pub mod config;
pub mod doors;
pub mod dressed;
pub mod failure;
pub mod files;
pub mod flows;
pub mod gallery;
pub mod hosted;
pub mod image_classifier;
pub mod jobs;
pub mod kafka;
pub mod located;
pub mod logs;
pub mod long_texts;
pub mod machine;
pub mod metrics;
pub mod moderator;
pub mod object_store;
pub mod open_inference;
pub mod openai;
pub mod ops;
pub mod readings;
pub mod ready;
pub mod rest;
pub mod s3;
mod scoring;
pub mod sentiments;
pub mod server;
#[cfg(feature = "sql")]
pub mod sql;
mod streamed;
pub mod text_classifier;
pub mod topics;
