//! Networks, the compute kernels that they run on, and how those for texts and images are trained further.
//!
//! Start reading at [`bert`]: `graph.rs` there is the plain network in candle operations, `cpu.rs` the same on the kernels.
//! [`compute`] is what a network runs on, [`team`] its threads, [`kernels`] how it is fast; [`graph`] has the networks that
//! come as files, [`train`] the training. Algorithms that learn from tables are a crate of their own, `learn`.

pub mod bert;
pub mod causal;
pub mod compute;
pub mod detr;
pub mod efficientnet;
pub mod error;
pub mod faces;
pub mod fasttext;
pub mod graph;
pub mod kernels;
pub mod lda;
pub mod onnx;
pub mod rtdetr;
pub mod spacy;
pub mod team;
pub mod threads;
pub mod toxicity;
pub mod train;
pub mod vision;

pub use compute::{Compute, DeviceChoice, Precision, Target};
pub use error::{Error, Result};
