//! Compute kernels for the CPU: how the networks are fast.
//!
//! A network file says what the network is; the files here say how its parts run. Start with
//! [`matmul`], the packed matrix product that most of the time is spent in. All kernels are written once
//! over the vectors of `simd` and chosen at run time by [`Isa`].
//!
//! Kernels work on raw pointers because the members of a [`team`](crate::team) write disjoint parts of
//! shared buffers; each states what its caller promises.

pub mod aligned;
pub mod attention;
pub mod convolution;
pub mod depthwise;
pub mod distance;
pub mod elementwise;
pub(crate) mod forest;
pub mod gradients;
pub mod kept;
pub mod lstm;
pub(crate) mod math;
pub mod matmul;
pub mod norm;
pub mod quantized;
pub mod shared;
pub(crate) mod simd;
pub mod window;
pub mod winograd;

pub use aligned::AlignedVec;
pub use matmul::{Activation, PackedMatrix};
pub use quantized::QuantizedMatrix;
pub use simd::Isa;
