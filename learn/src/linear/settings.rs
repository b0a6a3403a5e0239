//! What may be set of linear-learner, and what that means together.

use super::loss::Loss;
use crate::check::{COUNT, FEATURE_DIM, SEED, auto, count, optional, required};
use crate::parameters::{Bound, Kind};
use crate::{Error, Parameter, Parameters, Result};

const POSITIVE: Kind = Kind::Real(Bound::Excluded(0.0), Bound::None);
const SHARE: Kind = Kind::Real(Bound::Excluded(0.0), Bound::Excluded(1.0));
const TRISTATE: Kind = Kind::Choice(&["auto", "true", "false", "True", "False", "1", "0"]);

/// Names, bounds and defaults of SageMaker's developer guide; `seed` is ours.
pub(super) const DECLARED: &[Parameter] = &[
    required(
        "predictor_type",
        Kind::Choice(&["binary_classifier", "multiclass_classifier", "regressor"]),
        "what is learned: one of two classes, one of more, or a number",
    ),
    FEATURE_DIM,
    optional(
        "num_classes",
        Kind::Integer(3, 1_000_000),
        None,
        "classes of a multiclass_classifier, labelled from 0",
    ),
    optional(
        "accuracy_top_k",
        Kind::Integer(1, 1_000_000),
        Some("3"),
        "of how many best classes one must be right for the top-k accuracy",
    ),
    optional(
        "balance_multiclass_weights",
        Kind::Flag,
        Some("false"),
        "whether every class counts as much as every other",
    ),
    optional(
        "beta_1",
        Kind::Text,
        Some("auto"),
        "how much of the mean slope adam keeps a step",
    ),
    optional(
        "beta_2",
        Kind::Text,
        Some("auto"),
        "how much of the mean squared slope adam keeps a step",
    ),
    optional(
        "bias_lr_mult",
        Kind::Text,
        Some("auto"),
        "how much faster than weights the bias moves, of sgd, adam and rmsprop",
    ),
    optional(
        "bias_wd_mult",
        Kind::Text,
        Some("auto"),
        "how much of wd the bias is drawn to zero by",
    ),
    optional(
        "binary_classifier_model_selection_criteria",
        Kind::Choice(&[
            "accuracy",
            "f1",
            "f_beta",
            "precision_at_target_recall",
            "recall_at_target_precision",
            "cross_entropy_loss",
            "loss_function",
        ]),
        Some("accuracy"),
        "what is best of models and thresholds",
    ),
    optional(
        "early_stopping_patience",
        COUNT,
        Some("3"),
        "epochs without improvement before training ends",
    ),
    optional(
        "early_stopping_tolerance",
        POSITIVE,
        Some("0.001"),
        "what share of the loss an improvement must be to count",
    ),
    optional(
        "epochs",
        COUNT,
        Some("15"),
        "most passes over the table; with optimizer auto, most tens of passes",
    ),
    optional(
        "f_beta",
        POSITIVE,
        Some("1.0"),
        "how much recall counts beside precision in F scores",
    ),
    optional(
        "huber_delta",
        Kind::Real(Bound::Included(0.0), Bound::None),
        Some("1.0"),
        "the error from which huber_loss is linear",
    ),
    optional(
        "init_bias",
        Kind::Real(Bound::None, Bound::None),
        Some("0"),
        "the bias before the first step",
    ),
    optional(
        "init_method",
        Kind::Choice(&["uniform", "normal"]),
        Some("uniform"),
        "how weights are drawn before the first step of sgd, adam and rmsprop",
    ),
    optional(
        "init_scale",
        POSITIVE,
        Some("0.07"),
        "the greatest weight that uniform draws",
    ),
    optional(
        "init_sigma",
        POSITIVE,
        Some("0.01"),
        "the deviation of the weights that normal draws",
    ),
    optional(
        "l1",
        Kind::Text,
        Some("auto"),
        "how strongly weights are drawn to exactly zero; auto is not at all",
    ),
    optional(
        "learning_rate",
        Kind::Text,
        Some("auto"),
        "the step of sgd, adam and rmsprop",
    ),
    optional(
        "loss",
        Kind::Choice(&[
            "auto",
            "logistic",
            "squared_loss",
            "absolute_loss",
            "hinge_loss",
            "eps_insensitive_squared_loss",
            "eps_insensitive_absolute_loss",
            "quantile_loss",
            "huber_loss",
            "softmax_loss",
        ]),
        Some("auto"),
        "what is made small",
    ),
    optional(
        "loss_insensitivity",
        POSITIVE,
        Some("0.01"),
        "errors that eps_insensitive losses do not count",
    ),
    optional(
        "lr_scheduler_factor",
        Kind::Text,
        Some("auto"),
        "what the step is multiplied by now and then",
    ),
    optional(
        "lr_scheduler_minimum_lr",
        Kind::Text,
        Some("auto"),
        "the least step",
    ),
    optional(
        "lr_scheduler_step",
        Kind::Text,
        Some("auto"),
        "batches after which the step becomes smaller",
    ),
    optional(
        "margin",
        Kind::Real(Bound::Included(0.0), Bound::None),
        Some("1.0"),
        "the margin of hinge_loss",
    ),
    optional(
        "mini_batch_size",
        COUNT,
        Some("1000"),
        "rows of a step of sgd, adam and rmsprop",
    ),
    optional(
        "momentum",
        Kind::Text,
        Some("auto"),
        "how much of its last step sgd repeats",
    ),
    optional(
        "normalize_data",
        TRISTATE,
        Some("true"),
        "whether columns are scaled to a deviation of one",
    ),
    optional(
        "normalize_label",
        TRISTATE,
        Some("auto"),
        "whether labels of a regressor are scaled to a deviation of one",
    ),
    optional(
        "num_calibration_samples",
        Kind::Text,
        Some("auto"),
        "rows that the threshold is chosen by",
    ),
    optional(
        "num_models",
        Kind::Text,
        Some("auto"),
        "models with different wd, of which the best is kept",
    ),
    optional(
        "num_point_for_scaler",
        COUNT,
        Some("10000"),
        "rows that means and deviations are taken of",
    ),
    optional(
        "optimizer",
        Kind::Choice(&["auto", "sgd", "adam", "rmsprop"]),
        Some("auto"),
        "how the loss is made small; auto goes to the very least",
    ),
    optional(
        "positive_example_weight_mult",
        Kind::Text,
        Some("1.0"),
        "how much rows of class 1 count; balanced, or auto",
    ),
    optional(
        "quantile",
        SHARE,
        Some("0.5"),
        "the share of labels that quantile_loss wants below the score",
    ),
    optional(
        "target_precision",
        SHARE,
        Some("0.8"),
        "of recall_at_target_precision",
    ),
    optional(
        "target_recall",
        SHARE,
        Some("0.8"),
        "of precision_at_target_recall",
    ),
    optional(
        "unbias_data",
        TRISTATE,
        Some("auto"),
        "whether columns are shifted to a mean of zero",
    ),
    optional(
        "unbias_label",
        TRISTATE,
        Some("auto"),
        "whether labels of a regressor are shifted to a mean of zero",
    ),
    optional(
        "use_bias",
        Kind::Flag,
        Some("true"),
        "whether the model has a bias",
    ),
    optional(
        "use_lr_scheduler",
        Kind::Flag,
        Some("true"),
        "whether the step becomes smaller",
    ),
    optional(
        "wd",
        Kind::Text,
        Some("auto"),
        "how strongly squares of weights are drawn to zero; auto is one by the number of rows",
    ),
    SEED,
];

/// What is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Predictor {
    #[serde(rename = "binary_classifier")]
    Binary,
    #[serde(rename = "multiclass_classifier")]
    Multiclass,
    #[serde(rename = "regressor")]
    Regressor,
}

/// What is best of models and thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Criterion {
    Accuracy,
    FBeta,
    PrecisionAtRecall(f64),
    RecallAtPrecision(f64),
    Loss,
}

/// How much rows of class 1 count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Positive {
    Times(f64),
    Balanced,
    /// Both once and balanced are tried.
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Optimizer {
    Auto,
    Sgd { momentum: f64 },
    Adam { mean: f64, square: f64 },
    RmsProp,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub predictor: Predictor,
    pub columns: Option<usize>,
    pub classes: usize,
    pub top_k: usize,
    pub balance: bool,
    pub loss: Loss,
    pub criterion: Criterion,
    /// Whether the criterion was asked for, and so decides when to end.
    pub criterion_set: bool,
    pub patience: u64,
    pub tolerance: f64,
    pub epochs: u64,
    pub beta: f64,
    pub init_bias: f64,
    pub init_normal: bool,
    pub init_width: f64,
    pub l1: Option<f64>,
    pub wd: Option<f64>,
    pub bias_wd: f64,
    pub bias_rate: f64,
    pub rate: f64,
    pub scheduler: Option<Scheduler>,
    pub batch: usize,
    pub scale: bool,
    pub shift: bool,
    pub scale_label: bool,
    pub shift_label: bool,
    pub calibration: usize,
    pub models: Option<usize>,
    pub scaler_rows: usize,
    pub optimizer: Optimizer,
    pub positive: Positive,
    pub bias: bool,
    pub seed: u64,
}

/// How the step becomes smaller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scheduler {
    pub every: u64,
    pub factor: f64,
    pub least: f64,
}

fn tristate(parameters: &Parameters, name: &str) -> Option<bool> {
    match parameters.text(name)?.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

impl Settings {
    pub fn of(parameters: &Parameters) -> Result<Self> {
        let text = |name| parameters.text(name).unwrap_or_default();
        // Those that have a default and were checked are there.
        let real = |name| parameters.real(name).unwrap_or_default();
        let whole = |name| parameters.integer(name).unwrap_or_default() as u64;
        let flag = |name| parameters.flag(name).unwrap_or_default();
        let predictor = match text("predictor_type") {
            "binary_classifier" => Predictor::Binary,
            "multiclass_classifier" => Predictor::Multiclass,
            _ => Predictor::Regressor,
        };
        let classes = match (predictor, parameters.integer("num_classes")) {
            (Predictor::Multiclass, Some(classes)) => classes as usize,
            (Predictor::Multiclass, None) => {
                return Err(Error::input(
                    "hyperparameter num_classes must be set where predictor_type is multiclass_classifier",
                ));
            }
            _ => 1,
        };
        let loss = match (text("loss"), predictor) {
            ("auto" | "logistic", Predictor::Binary) => Loss::Logistic,
            ("hinge_loss", Predictor::Binary) => Loss::Hinge(real("margin") as f32),
            ("auto" | "softmax_loss", Predictor::Multiclass) => Loss::Softmax,
            ("auto" | "squared_loss", Predictor::Regressor) => Loss::Squared,
            ("absolute_loss", Predictor::Regressor) => Loss::Absolute,
            ("eps_insensitive_squared_loss", Predictor::Regressor) => {
                Loss::InsensitiveSquared(real("loss_insensitivity") as f32)
            }
            ("eps_insensitive_absolute_loss", Predictor::Regressor) => {
                Loss::InsensitiveAbsolute(real("loss_insensitivity") as f32)
            }
            ("quantile_loss", Predictor::Regressor) => Loss::Quantile(real("quantile") as f32),
            ("huber_loss", Predictor::Regressor) => Loss::Huber(real("huber_delta") as f32),
            (other, _) => {
                let those = match predictor {
                    Predictor::Binary => "auto, logistic, hinge_loss",
                    Predictor::Multiclass => "auto, softmax_loss",
                    Predictor::Regressor => {
                        "auto, squared_loss, absolute_loss, eps_insensitive_squared_loss, eps_insensitive_absolute_loss, \
                         quantile_loss, huber_loss"
                    }
                };
                return Err(Error::input(format!(
                    "hyperparameter loss is {other:?}: with predictor_type {} it is one of {those}",
                    text("predictor_type")
                )));
            }
        };
        let criterion_name = "binary_classifier_model_selection_criteria";
        let mut beta = real("f_beta");
        let criterion = match text(criterion_name) {
            "f1" => {
                beta = 1.0;
                Criterion::FBeta
            }
            "f_beta" => Criterion::FBeta,
            "precision_at_target_recall" => Criterion::PrecisionAtRecall(real("target_recall")),
            "recall_at_target_precision" => Criterion::RecallAtPrecision(real("target_precision")),
            "cross_entropy_loss" | "loss_function" => Criterion::Loss,
            _ => Criterion::Accuracy,
        };
        let positive = match text("positive_example_weight_mult") {
            "balanced" => Positive::Balanced,
            "auto" => Positive::Auto,
            _ => {
                let name = "positive_example_weight_mult";
                Positive::Times(
                    auto(parameters, name, "balanced, or a number above 0", |one| {
                        one > 0.0
                    })?
                    .unwrap_or(1.0),
                )
            }
        };
        let below_one = "a number of at least 0 and below 1";
        let decays = |one: f64| (0.0..1.0).contains(&one);
        let [momentum, mean, square] =
            [("momentum", 0.9), ("beta_1", 0.9), ("beta_2", 0.999)].map(|(name, default)| {
                Ok(auto(parameters, name, below_one, decays)?.unwrap_or(default))
            });
        let (momentum, mean, square): (f64, f64, f64) = (momentum?, mean?, square?);
        let (optimizer, rate) = match text("optimizer") {
            "sgd" => (Optimizer::Sgd { momentum }, 0.01),
            "adam" => (Optimizer::Adam { mean, square }, 0.05),
            "rmsprop" => (Optimizer::RmsProp, 0.02),
            _ => (Optimizer::Auto, 0.0),
        };
        let above = "a number above 0";
        let positive_number = |one: f64| one > 0.0;
        let zero = "a number of at least 0";
        let not_negative = |one: f64| one >= 0.0;
        let factor = auto(
            parameters,
            "lr_scheduler_factor",
            "a number above 0 and below 1",
            |one| one > 0.0 && one < 1.0,
        )?;
        let scheduler = Scheduler {
            every: count(parameters, "lr_scheduler_step")?.unwrap_or(100) as u64,
            factor: factor.unwrap_or(0.9),
            least: auto(
                parameters,
                "lr_scheduler_minimum_lr",
                above,
                positive_number,
            )?
            .unwrap_or(1e-5),
        };
        let bias = flag("use_bias");
        let regressor = predictor == Predictor::Regressor;
        let scale_label = regressor && tristate(parameters, "normalize_label").unwrap_or(true);
        Ok(Self {
            predictor,
            columns: count(parameters, "feature_dim")?,
            classes,
            top_k: whole("accuracy_top_k") as usize,
            balance: flag("balance_multiclass_weights"),
            loss,
            criterion,
            criterion_set: predictor == Predictor::Binary && parameters.is_set(criterion_name),
            patience: whole("early_stopping_patience"),
            tolerance: real("early_stopping_tolerance"),
            epochs: whole("epochs"),
            beta,
            init_bias: real("init_bias"),
            init_normal: text("init_method") == "normal",
            init_width: match text("init_method") {
                "normal" => real("init_sigma"),
                _ => real("init_scale"),
            },
            l1: auto(parameters, "l1", zero, not_negative)?,
            wd: auto(parameters, "wd", zero, not_negative)?,
            bias_wd: auto(parameters, "bias_wd_mult", zero, not_negative)?.unwrap_or(0.0),
            bias_rate: auto(parameters, "bias_lr_mult", above, positive_number)?.unwrap_or(1.0),
            rate: auto(parameters, "learning_rate", above, positive_number)?.unwrap_or(rate),
            scheduler: flag("use_lr_scheduler").then_some(scheduler),
            batch: whole("mini_batch_size") as usize,
            scale: tristate(parameters, "normalize_data").unwrap_or(true),
            shift: bias && tristate(parameters, "unbias_data").unwrap_or(true),
            scale_label,
            shift_label: regressor && bias && tristate(parameters, "unbias_label").unwrap_or(true),
            calibration: count(parameters, "num_calibration_samples")?.unwrap_or(usize::MAX),
            models: count(parameters, "num_models")?,
            scaler_rows: whole("num_point_for_scaler") as usize,
            optimizer,
            positive,
            bias,
            seed: whole("seed"),
        })
    }
}
