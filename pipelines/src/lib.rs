//! Task = preprocess, network, postprocess; and the engine that loads, batches and admits.
//!
//! Start reading at [`task`], the contract between a task and the engine, then [`engine`], the way of an item through it;
//! [`classes`] is the smallest task. The others are a module each, and so is what several share: [`classifier`] for texts,
//! [`windows`] and [`offsets`] for long ones, [`image`] and [`vision`] for images.

pub mod bodies;
pub mod chinese;
pub mod classes;
pub mod classifier;
pub mod embeddings;
pub mod engine;
pub mod error;
pub mod faces;
pub mod image;
pub mod image_classes;
pub mod labels;
pub mod language;
pub mod meter;
pub mod moderation;
pub mod objects;
pub mod ocr;
pub mod offsets;
pub mod pii;
pub mod render;
pub mod sentiment;
pub mod syntax;
pub mod targeted;
pub mod task;
pub mod topics;
pub mod toxicity;
pub mod vision;
pub mod windows;

pub use error::{Error, Kind, Result};
pub use meter::Meter;
pub use task::{Options, Priority};
