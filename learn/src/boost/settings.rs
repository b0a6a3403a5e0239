//! Hyperparameters: SageMaker's names, ranges and defaults.

use super::drops::Drops;
use super::linear::Descent;
use super::metric::Metric;
use super::objective::{Logistic, Objective};
use super::split::Rules;
use crate::check::optional;
use crate::parameters::{Bound, Kind};
use crate::{Error, Parameter, Parameters, Result};

const SHARE: Kind = Kind::Real(Bound::Excluded(0.0), Bound::Included(1.0));
const PART: Kind = Kind::Real(Bound::Included(0.0), Bound::Included(1.0));
const NOT_NEGATIVE: Kind = Kind::Real(Bound::Included(0.0), Bound::None);
const ANY: Kind = Kind::Real(Bound::None, Bound::None);
const BIT: Kind = Kind::Integer(0, 1);

/// All that may be set. What XGBoost has and is not learned with here is declared too, and refused with a sentence.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "num_round",
        kind: Kind::Integer(1, i64::MAX),
        default: None,
        required: true,
        help: "rounds of boosting",
    },
    optional(
        "num_class",
        Kind::Integer(2, 1 << 20),
        None,
        "classes of multi:softmax and multi:softprob",
    ),
    optional(
        "objective",
        Kind::Choice(&[
            "reg:squarederror",
            "reg:linear",
            "reg:squaredlogerror",
            "reg:logistic",
            "reg:absoluteerror",
            "reg:pseudohubererror",
            "reg:gamma",
            "reg:tweedie",
            "binary:logistic",
            "binary:logitraw",
            "binary:hinge",
            "count:poisson",
            "multi:softmax",
            "multi:softprob",
            "rank:pairwise",
            "rank:ndcg",
            "rank:map",
            "survival:aft",
            "survival:cox",
        ]),
        Some("reg:squarederror"),
        "what is made small; rank: and survival:aft, which need groups of rows or two labels, are not learned here",
    ),
    optional(
        "eval_metric",
        Kind::Text,
        None,
        "what is measured, separated by commas; the objective's own if nothing is said",
    ),
    optional(
        "early_stopping_rounds",
        Kind::Integer(1, i64::MAX),
        None,
        "stop after so many rounds without a better last metric of the validation channel",
    ),
    optional(
        "eta",
        PART,
        Some("0.3"),
        "how much of each tree is taken; of booster gblinear, of each step, and 0.5",
    ),
    optional("learning_rate", PART, None, "another name of eta"),
    optional("gamma", NOT_NEGATIVE, Some("0"), "least gain of a split"),
    optional(
        "min_split_loss",
        NOT_NEGATIVE,
        None,
        "another name of gamma",
    ),
    optional(
        "max_depth",
        Kind::Integer(0, 1 << 20),
        Some("6"),
        "depth of trees; 0 for no limit",
    ),
    optional(
        "min_child_weight",
        NOT_NEGATIVE,
        Some("1"),
        "least sum of hessians of a child",
    ),
    optional(
        "max_delta_step",
        NOT_NEGATIVE,
        None,
        "most that a leaf may answer; 0 for no limit, and 0.7 for count:poisson if nothing is said",
    ),
    optional(
        "subsample",
        SHARE,
        Some("1"),
        "share of rows that each tree learns from",
    ),
    optional(
        "colsample_bytree",
        SHARE,
        Some("1"),
        "share of columns for each tree",
    ),
    optional(
        "colsample_bylevel",
        SHARE,
        Some("1"),
        "share of those for each depth",
    ),
    optional(
        "colsample_bynode",
        SHARE,
        Some("1"),
        "share of those for each node",
    ),
    optional(
        "lambda",
        NOT_NEGATIVE,
        Some("1"),
        "squared weight of leaves that counts as loss; of booster gblinear, of columns, and 0",
    ),
    optional("reg_lambda", NOT_NEGATIVE, None, "another name of lambda"),
    optional(
        "alpha",
        NOT_NEGATIVE,
        Some("0"),
        "weight of leaves that counts as loss",
    ),
    optional("reg_alpha", NOT_NEGATIVE, None, "another name of alpha"),
    optional(
        "scale_pos_weight",
        Kind::Real(Bound::Excluded(0.0), Bound::None),
        Some("1"),
        "how much more rows with label 1 count",
    ),
    optional(
        "base_score",
        ANY,
        None,
        "the answer before the first tree; estimated of the labels if nothing is said",
    ),
    optional(
        "tree_method",
        Kind::Choice(&["auto", "hist", "approx", "exact", "gpu_hist"]),
        Some("auto"),
        "histograms, on processors, are what all come to",
    ),
    optional(
        "max_bin",
        Kind::Integer(2, 65535),
        Some("256"),
        "most bins of a column",
    ),
    optional(
        "grow_policy",
        Kind::Choice(&["depthwise", "lossguide"]),
        Some("depthwise"),
        "which leaf is split next",
    ),
    optional(
        "max_leaves",
        Kind::Integer(0, 1 << 30),
        Some("0"),
        "most leaves of a tree; 0 for no limit",
    ),
    optional(
        "num_parallel_tree",
        Kind::Integer(1, 1 << 20),
        Some("1"),
        "trees of a round",
    ),
    optional(
        "monotone_constraints",
        Kind::Text,
        None,
        "(1,0,-1): how answers may depend on columns",
    ),
    optional(
        "interaction_constraints",
        Kind::Text,
        None,
        "[[0,1],[2,3]]: columns that may decide together",
    ),
    optional(
        "tweedie_variance_power",
        Kind::Real(Bound::Excluded(1.0), Bound::Excluded(2.0)),
        Some("1.5"),
        "of reg:tweedie",
    ),
    optional(
        "huber_slope",
        Kind::Real(Bound::Excluded(0.0), Bound::None),
        Some("1"),
        "of reg:pseudohubererror",
    ),
    optional(
        "seed",
        Kind::Integer(-(1 << 31), (1 << 31) - 1),
        Some("0"),
        "of what is drawn",
    ),
    optional(
        "nthread",
        Kind::Integer(1, 1 << 16),
        None,
        "threads; all if nothing is said",
    ),
    optional(
        "verbosity",
        Kind::Integer(0, 3),
        Some("1"),
        "taken and without effect",
    ),
    optional(
        "csv_weights",
        BIT,
        Some("0"),
        "whether the second column of CSV is what rows count",
    ),
    optional(
        "booster",
        Kind::Choice(&["gbtree", "gblinear", "dart"]),
        Some("gbtree"),
        "trees; gblinear: weights of columns; dart: trees, of which some are left out while others are learned",
    ),
    optional(
        "sampling_method",
        Kind::Choice(&["uniform", "gradient_based"]),
        Some("uniform"),
        "only uniform is learned with here",
    ),
    optional(
        "process_type",
        Kind::Choice(&["default", "update"]),
        Some("default"),
        "only default is done here",
    ),
    optional(
        "predictor",
        Kind::Choice(&["auto", "cpu_predictor", "gpu_predictor"]),
        Some("auto"),
        "taken and without effect",
    ),
    optional(
        "dsplit",
        Kind::Choice(&["row", "col"]),
        None,
        "taken and without effect on one machine",
    ),
    optional(
        "deterministic_histogram",
        Kind::Flag,
        Some("true"),
        "they always are",
    ),
    optional(
        "save_model_on_termination",
        Kind::Flag,
        Some("false"),
        "a stopped training always leaves its model",
    ),
    optional(
        "sketch_eps",
        Kind::Real(Bound::Excluded(0.0), Bound::Excluded(1.0)),
        None,
        "not in XGBoost any more: changes nothing, max_bin is what it was for",
    ),
    optional(
        "updater",
        Kind::Text,
        None,
        "only grow_quantile_histmaker, which is what is done; of booster gblinear, shotgun or coord_descent, which are one",
    ),
    optional(
        "single_precision_histogram",
        Kind::Flag,
        None,
        "not in XGBoost any more: changes nothing",
    ),
    optional(
        "use_dask_gpu_training",
        Kind::Flag,
        None,
        "only false: there are no GPUs to share",
    ),
    optional("refresh_leaf", BIT, None, "of process_type update: only 1"),
    optional(
        "sample_type",
        Kind::Choice(&["uniform", "weighted"]),
        None,
        "of booster dart: whether trees that count more are left out sooner",
    ),
    optional(
        "normalize_type",
        Kind::Choice(&["tree", "forest"]),
        None,
        "of booster dart: what new trees count, as each that was left out or as all",
    ),
    optional(
        "rate_drop",
        PART,
        None,
        "of booster dart: the share of trees that is left out; 0 if nothing is said",
    ),
    optional(
        "one_drop",
        BIT,
        None,
        "of booster dart: whether one is left out at least; 0 if nothing is said",
    ),
    optional(
        "skip_drop",
        PART,
        None,
        "of booster dart: the share of rounds that leave none out; 0 if nothing is said",
    ),
    optional(
        "lambda_bias",
        PART,
        None,
        "not in XGBoost any more: changes nothing",
    ),
    optional(
        "aft_loss_distribution",
        Kind::Choice(&["normal", "logistic", "extreme"]),
        None,
        "of survival:aft: refused",
    ),
    optional(
        "aft_loss_distribution_scale",
        NOT_NEGATIVE,
        None,
        "of survival:aft: refused",
    ),
];

/// What rounds add to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Booster {
    /// `gbtree`.
    Trees,
    /// `dart`.
    Dropping(Drops),
    /// `gblinear`.
    Linear(Descent),
}

/// What training does.
#[derive(Clone, Debug)]
pub struct Settings {
    pub booster: Booster,
    pub rounds: u64,
    pub objective: Objective,
    pub metrics: Vec<Metric>,
    /// Rounds without a better last metric of the validation channel.
    pub patience: Option<u64>,
    pub rules: Rules,
    pub subsample: f32,
    /// What rows with label 1 count more.
    pub positive: f32,
    pub base: Option<f32>,
    pub most_bins: usize,
    /// Trees of a round and class.
    pub parallel: usize,
    pub seed: u64,
    pub threads: Option<usize>,
    /// What was set and is of trees, where there are none.
    pub unused: Vec<&'static str>,
}

/// What is of trees alone.
const OF_TREES: [&str; 15] = [
    "gamma",
    "min_split_loss",
    "max_depth",
    "max_leaves",
    "max_bin",
    "min_child_weight",
    "max_delta_step",
    "subsample",
    "colsample_bytree",
    "colsample_bylevel",
    "colsample_bynode",
    "grow_policy",
    "monotone_constraints",
    "interaction_constraints",
    "num_parallel_tree",
];

impl Settings {
    /// Reads what was set, for rows with so many columns.
    ///
    /// # Errors
    ///
    /// If two contradict each other, or ask for what is not done here.
    pub fn read(parameters: &Parameters, columns: usize) -> Result<Self> {
        refuse(parameters)?;
        let real = |name: &str| parameters.real(name).unwrap_or_default() as f32;
        let whole = |name: &str| parameters.integer(name).unwrap_or_default();
        let named =
            |name: &str, other: &str| match (parameters.is_set(name), parameters.is_set(other)) {
                (true, true) => Err(Error::input(format!(
                    "hyperparameters {name} and {other} are one, and both are set"
                ))),
                (false, true) => Ok(real(other)),
                _ => Ok(real(name)),
            };
        let power = real("tweedie_variance_power");
        let slope = real("huber_slope");
        let objective = objective(parameters, power, slope)?;
        let above = match objective {
            Objective::Logistic(Logistic::Raw) => 0.0,
            _ => 0.5,
        };
        let metrics = match parameters.text("eval_metric") {
            None => vec![objective.metric()],
            Some(names) => {
                let names = names.trim_matches(['[', ']']).split(',');
                let names = names.map(|name| name.trim().trim_matches(['"', '\'']));
                let metrics: std::result::Result<Vec<Metric>, String> = names
                    .map(|name| Metric::read(name, power, slope, above))
                    .collect();
                metrics.map_err(|why| Error::input(format!("hyperparameter eval_metric: {why}")))?
            }
        };
        if let Some(why) = metrics
            .iter()
            .find_map(|metric| metric.unfit(objective.groups()))
        {
            return Err(Error::input(format!("hyperparameter eval_metric: {why}")));
        }
        let by_loss = parameters.text("grow_policy") == Some("lossguide");
        let (max_depth, max_leaves) = (whole("max_depth") as u32, whole("max_leaves") as u32);
        let booster = booster(parameters, &named)?;
        let has_trees = !matches!(booster, Booster::Linear(_));
        if has_trees && max_depth == 0 && max_leaves == 0 {
            return Err(Error::input(
                "hyperparameters max_depth and max_leaves are both 0: trees need a limit",
            ));
        }
        let poisson = matches!(objective, Objective::Poisson { .. });
        Ok(Self {
            booster,
            rounds: whole("num_round") as u64,
            metrics,
            patience: parameters
                .integer("early_stopping_rounds")
                .map(|rounds| rounds as u64),
            rules: Rules {
                eta: named("eta", "learning_rate")?,
                gamma: named("gamma", "min_split_loss")?,
                lambda: named("lambda", "reg_lambda")?,
                alpha: named("alpha", "reg_alpha")?,
                min_child_weight: real("min_child_weight"),
                max_delta_step: match parameters.is_set("max_delta_step") {
                    false if poisson => 0.7,
                    _ => real("max_delta_step"),
                },
                max_depth,
                max_leaves,
                by_loss,
                by_tree: real("colsample_bytree"),
                by_level: real("colsample_bylevel"),
                by_node: real("colsample_bynode"),
                monotone: monotone(parameters.text("monotone_constraints"), columns)?,
                together: together(parameters.text("interaction_constraints"), columns)?,
            },
            subsample: real("subsample"),
            positive: real("scale_pos_weight"),
            base: parameters.real("base_score").map(|base| base as f32),
            most_bins: whole("max_bin") as usize,
            parallel: whole("num_parallel_tree") as usize,
            seed: whole("seed") as u64,
            threads: parameters
                .integer("nthread")
                .map(|threads| threads as usize),
            objective,
            unused: match has_trees {
                true => Vec::new(),
                false => OF_TREES
                    .into_iter()
                    .filter(|name| parameters.is_set(name))
                    .collect(),
            },
        })
    }
}

/// Refuses what is not done here, instead of doing something else.
fn refuse(parameters: &Parameters) -> Result<()> {
    let booster = parameters.text("booster").unwrap_or_default();
    let updaters: &[&str] = match booster {
        "gblinear" => &["shotgun", "coord_descent"],
        _ => &["grow_quantile_histmaker"],
    };
    let only = [
        ("sampling_method", ["uniform"].as_slice()),
        ("process_type", &["default"]),
        ("updater", updaters),
    ];
    for (name, values) in only {
        match parameters.text(name) {
            Some(set) if !values.contains(&set) => {
                let values = values.join(" or ");
                return Err(Error::input(format!(
                    "hyperparameter {name} is {set:?}, and only {values} is learned with here"
                )));
            }
            _ => {}
        }
    }
    for name in [
        "sample_type",
        "normalize_type",
        "rate_drop",
        "one_drop",
        "skip_drop",
    ] {
        if booster != "dart" && changes(parameters, name, default_of_drops(name)) {
            return Err(Error::input(format!(
                "hyperparameter {name} is of booster dart, and booster is {booster}"
            )));
        }
    }
    // With the values that they have anyway these change nothing; what the others change is not done here.
    let anyway = [
        ("refresh_leaf", Some("1")),
        ("use_dask_gpu_training", Some("false")),
        ("aft_loss_distribution", None),
        ("aft_loss_distribution_scale", None),
    ];
    match anyway
        .iter()
        .find(|(name, default)| changes(parameters, name, *default))
    {
        Some((name, _)) => Err(Error::input(format!(
            "hyperparameter {name} is of what is not learned here"
        ))),
        None => Ok(()),
    }
}

/// Whether something is set to what it is not anyway.
fn changes(parameters: &Parameters, name: &str, default: Option<&str>) -> bool {
    let Some(set) = parameters.text(name).filter(|_| parameters.is_set(name)) else {
        return false;
    };
    let number = |text: &str| text.parse::<f64>().ok();
    let same = |default: &str| match (number(set), number(default)) {
        (Some(set), Some(default)) => set == default,
        _ => set.eq_ignore_ascii_case(default),
    };
    !default.is_some_and(same)
}

fn default_of_drops(name: &str) -> Option<&'static str> {
    match name {
        "sample_type" => Some("uniform"),
        "normalize_type" => Some("tree"),
        _ => Some("0"),
    }
}

/// Reads `booster` and what belongs to it alone; `named` reads a number that has two names.
fn booster(parameters: &Parameters, named: &impl Fn(&str, &str) -> Result<f32>) -> Result<Booster> {
    let real = |name: &str| parameters.real(name).unwrap_or_default();
    Ok(match parameters.text("booster") {
        Some("dart") => Booster::Dropping(Drops {
            rate: real("rate_drop"),
            skip: real("skip_drop"),
            one: parameters.integer("one_drop") == Some(1),
            weighted: parameters.text("sample_type") == Some("weighted"),
            forest: parameters.text("normalize_type") == Some("forest"),
        }),
        Some("gblinear") => {
            // Defaults are others than those of trees.
            let own = |name: &str, other: &str, default: f32| match parameters.is_set(name)
                || parameters.is_set(other)
            {
                true => named(name, other),
                false => Ok(default),
            };
            Booster::Linear(Descent {
                eta: own("eta", "learning_rate", 0.5)?,
                alpha: own("alpha", "reg_alpha", 0.0)?,
                lambda: own("lambda", "reg_lambda", 0.0)?,
            })
        }
        _ => Booster::Trees,
    })
}

fn objective(parameters: &Parameters, power: f32, slope: f32) -> Result<Objective> {
    let name = parameters.text("objective").unwrap_or_default();
    let classes = parameters.integer("num_class");
    if classes.is_some() && !name.starts_with("multi:") {
        return Err(Error::input(format!(
            "hyperparameter num_class is of multi:softmax and multi:softprob, and objective is {name}"
        )));
    }
    Ok(match name {
        "reg:squarederror" | "reg:linear" => Objective::SquaredError,
        "reg:squaredlogerror" => Objective::SquaredLogError,
        "reg:logistic" => Objective::Logistic(Logistic::Regression),
        "binary:logistic" => Objective::Logistic(Logistic::Binary),
        "binary:logitraw" => Objective::Logistic(Logistic::Raw),
        "reg:absoluteerror" => Objective::AbsoluteError,
        "reg:pseudohubererror" => Objective::PseudoHuber { slope },
        "binary:hinge" => Objective::Hinge,
        "reg:gamma" => Objective::Gamma,
        "reg:tweedie" => Objective::Tweedie { power },
        "count:poisson" => Objective::Poisson {
            max_delta_step: match parameters.is_set("max_delta_step") {
                true => parameters.real("max_delta_step").unwrap_or_default() as f32,
                false => 0.7,
            },
        },
        "survival:cox" => Objective::Cox,
        "multi:softmax" | "multi:softprob" => Objective::Softmax {
            classes: classes.ok_or_else(|| {
                Error::input(format!("objective {name} needs hyperparameter num_class"))
            })? as usize,
            probabilities: name == "multi:softprob",
        },
        other => {
            return Err(Error::input(format!(
                "objective {other} is not learned here"
            )));
        }
    })
}

/// Reads `(1,0,-1)`.
fn monotone(text: Option<&str>, columns: usize) -> Result<Vec<i8>> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    let bare = text.trim_matches(['(', ')', '[', ']', ' ']);
    let parts = bare
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let read: Option<Vec<i8>> = parts
        .map(|part| part.parse().ok().filter(|number| (-1..=1).contains(number)))
        .collect();
    match read {
        Some(read) if read.len() > columns => Err(Error::input(format!(
            "monotone_constraints has {} numbers for {columns} columns",
            read.len()
        ))),
        Some(read) if read.iter().all(|one| *one == 0) => Ok(Vec::new()),
        Some(read) => Ok(read),
        None => Err(Error::input(format!(
            "monotone_constraints is {text:?}, and should be like (1,0,-1)"
        ))),
    }
}

/// Reads `[[0,1],[2,3]]`.
fn together(text: Option<&str>, columns: usize) -> Result<Vec<Vec<u32>>> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    let groups: Vec<Vec<u32>> = serde_json::from_str(text).map_err(|_| {
        Error::input(format!(
            "interaction_constraints is {text:?}, and should be like [[0,1],[2,3]]"
        ))
    })?;
    match groups
        .iter()
        .flatten()
        .find(|column| **column as usize >= columns)
    {
        Some(column) => Err(Error::input(format!(
            "interaction_constraints names column {column} of {columns}"
        ))),
        None => Ok(groups),
    }
}
