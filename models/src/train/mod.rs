//! Training: fine-tuning of text encoders as classifiers, whole or by low-rank adapters, and of the network of images.
//!
//! | file | what |
//! | --- | --- |
//! | `ops.rs` | the operations of a transformer with backward passes for candle's autograd |
//! | `encoder.rs` | a BERT encoder that can learn |
//! | `rule.rs` | what a step makes of a gradient: Adam, gradient descent, RMSProp, AdaGrad, AdaDelta |
//! | `optimizer.rs` | such a rule for all that learns, gradient clipping, warm-up and decay |
//! | `classifier.rs` | a classifier on the encoder, settings, and who watches a run |
//! | `run.rs` | the loop that trainers share: evaluations, the best kept, early stopping |
//! | `image/` | the image network that learns as a whole |
//! | `checkpoint.rs` | what a run needs to go on after it was stopped |
//! | `head.rs` | a linear classifier on an encoder that stays as it is |
//! | `metrics.rs` | accuracy, F1, confusion, calibration |
//! | `calibrate.rs` | temperature scaling |
//! | `loss.rs` | what scores say, and how far they are from what holds: of classes that exclude each other, or do not |
//! | `dataset.rs` | labelled texts from files |
//! | `aside.rs` | examples that are set aside to look at |
//! | `ratings.rs` | the ratings that sentiment is learned from |
//! | `adapter.rs` | what was learned as files, low-rank adapters merged into their base |
//!
//! A run is a function of its data, its settings and its seed: order, dropout and initial values come from
//! counter-based random numbers, so that a run that was stopped and resumed ends with the same bits as one
//! that was not (with the same number of threads).

pub mod adapter;
mod aside;
pub mod calibrate;
pub mod checkpoint;
pub mod classifier;
pub mod dataset;
pub mod encoder;
pub mod head;
pub mod image;
pub mod loss;
pub mod metrics;
pub mod ops;
pub mod optimizer;
pub mod ratings;
mod rule;
mod run;

pub use aside::{set_aside, set_aside_share};
pub use rule::Rule;

/// A random number that is a function of `seed` and `index` alone (SplitMix64; Steele, Lea and Flood 2014).
pub(crate) fn random(seed: u64, index: u64) -> u64 {
    let mut z = seed
        .wrapping_mul(0xD129_0A15_87C3_7A6B)
        .wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
