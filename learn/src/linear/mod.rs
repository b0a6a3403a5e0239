//! linear-learner: one of two classes, one of many, or a number, from a sum of weighted columns.
//!
//! Hyperparameters, bounds and defaults are those of SageMaker's developer guide. Some are kept in another way, never with a
//! worse result:
//!
//! * `optimizer=auto`, the default, goes to where the loss is least: normal equations for squared errors, else L-BFGS, and
//!   OWL-QN where `l1` is set. SageMaker's `auto` is adam, which stops somewhere near. An epoch is ten passes over the table then.
//!   Corners of losses are rounded, less and less, down to a thousandth of a (scaled) label.
//! * `num_models=auto` is eight with a `validation` channel and one without: models with `wd` as asked for, and ten, a hundred
//!   and a thousand times more and less. They share their passes over the table; the best by the validation channel is kept.
//! * `wd=auto` is one by the number of rows, which is scikit-learn's `C=1`; `l1=auto` is none.
//! * Without a `validation` channel, thresholds are chosen by all rows that were learned from, or the first
//!   `num_calibration_samples` of them.
//! * `seed` is an addition: of the order of rows and first weights of `sgd`, `adam` and `rmsprop`.
//!
//! The objective is the mean loss, rows counting by their weights, plus `wd / 2` times the squares and `l1` times the absolute
//! values of the weights of scaled columns. Losses of regressors are those of scaled labels.

mod descent;
mod design;
mod lbfgs;
mod loss;
pub(crate) mod measure;
mod model;
mod settings;
mod train;

pub use model::Linear;

use crate::{Algorithm, Channels, Model, Parameter, Parameters, Result, Watch};
use std::path::Path;

const NAME: &str = "linear-learner";

/// The algorithm.
pub struct LinearLearner;

impl LinearLearner {
    /// As [`Algorithm::train`], the model in its own type.
    ///
    /// # Errors
    ///
    /// As [`Algorithm::train`].
    pub fn fit(
        &self,
        parameters: &Parameters,
        channels: &Channels,
        watch: &mut dyn Watch,
    ) -> Result<Linear> {
        train::train(&settings::Settings::of(parameters)?, channels, watch)
    }
}

impl Algorithm for LinearLearner {
    fn name(&self) -> &'static str {
        NAME
    }

    fn labelled(&self) -> bool {
        true
    }

    fn parameters(&self) -> &'static [Parameter] {
        settings::DECLARED
    }

    fn train(
        &self,
        parameters: &Parameters,
        channels: &Channels,
        watch: &mut dyn Watch,
    ) -> Result<Box<dyn Model>> {
        Ok(Box::new(self.fit(parameters, channels, watch)?))
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Model>> {
        Ok(Box::new(Linear::read(folder)?))
    }
}
