//! Algorithms that learn from tables of numbers, under the names, hyperparameters, inputs and answers of SageMaker's built-in
//! algorithms; and one that learns from lines of text.
//!
//! Begin with [`algorithm`]: what an algorithm is, what it is given and what it leaves. [`parameters`] says what may be set,
//! [`table`] what is learned from, [`answers`] what is said of rows, [`formats`] as which bytes both come and go. Each
//! algorithm is a module of its own that knows nothing of files in buckets, jobs or doors: [`boost`], [`linear`],
//! [`kmeans`], [`pca`], [`knn`], [`forest`]; [`text`] has those for texts, and what these are; [`registry`] has them all.

pub mod algorithm;
pub mod answers;
pub mod boost;
mod check;
pub mod error;
pub mod forest;
pub mod formats;
mod kernel;
pub mod kmeans;
pub mod knn;
pub mod linear;
pub mod parameters;
pub mod pca;
pub mod registry;
mod store;
pub mod table;
pub mod text;

pub use algorithm::{Algorithm, Channels, Model, Unwatched, Watch};
pub use answers::{Answers, Field, Values};
pub use error::{Error, Result};
pub use parameters::{Parameter, Parameters};
pub use table::{Csr, Features, Table};
pub use text::{TextAlgorithm, TextModel, Texts};
