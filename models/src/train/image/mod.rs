//! The image network that learns as a whole: EfficientNet-Lite0 with a layer for classes of its own.
//!
//! | file | what |
//! | --- | --- |
//! | `tuner.rs` | the run: batches, augmentation, evaluation, what was learned as a file |
//! | `network.rs` | the network forwards and backwards for one image, and its parameters by name |
//! | `layers.rs` | its layers: products, the depthwise convolution, the first convolution |
//! | `initial.rs` | values to begin with where nothing was learned before |
//! | `augment.rs` | mirrored, shifted, recoloured and bent images |
//!
//! Batch normalisation stays folded into the convolutions: its statistics are frozen, its factors learn as part of the
//! weights. Then no image of a batch depends on another, and that is what the files here are built on: a member of the team
//! takes an image all the way forwards and backwards, with the activations in buffers of its own that the next image
//! reuses, and adds what it learned to gradients of its own. A step takes memory for as many images as there are members,
//! however large its batch is; nothing is waited for between layers; and no gradient is ever zeroed, copied and added as a
//! graph of operations would have to. So this is one function with its derivative written down, layer by layer, and not
//! operations for candle's autograd: parameters are candle's variables, and the optimiser and the run are those of the
//! text encoders.
//!
//! It learns on the CPU, whatever device there is.

mod augment;
mod initial;
mod layers;
mod network;
mod tuner;

pub use augment::Augmentation;
pub use tuner::{Images, Tuner, memory, memory_to_begin};
