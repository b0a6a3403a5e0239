//! Networks on candle, compute kernels and learning algorithms.

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

pub use compute::{Compute, DeviceChoice};
pub use error::{Error, Result};
