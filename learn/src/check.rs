//! What every algorithm looks at before it begins: columns, values that are there, hyperparameters that may be `auto`.

use crate::parameters::Kind;
use crate::{Csr, Error, Features, Parameter, Parameters, Result};

/// Whole numbers from one.
pub(crate) const COUNT: Kind = Kind::Integer(1, i64::MAX);

/// A hyperparameter that need not be set.
pub(crate) const fn optional(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    help: &'static str,
) -> Parameter {
    Parameter {
        name,
        kind,
        default,
        required: false,
        help,
    }
}

/// A hyperparameter that must be set.
pub(crate) const fn required(name: &'static str, kind: Kind, help: &'static str) -> Parameter {
    Parameter {
        name,
        kind,
        default: None,
        required: true,
        help,
    }
}

/// The number of columns, which SageMaker requires to be said of all but linear-learner, and tables have: it may be left out here.
pub(crate) const FEATURE_DIM: Parameter = optional(
    "feature_dim",
    Kind::Text,
    Some("auto"),
    "columns without the label; SageMaker asks for it, here it may be left out: it finds tables that are not as expected",
);

/// What is drawn at random begins with it. It is an addition to SageMaker's hyperparameters.
pub(crate) const SEED: Parameter = optional(
    "seed",
    Kind::Integer(0, i64::MAX),
    Some("0"),
    "of what is drawn at random",
);

/// A number that is good, or none for `auto`; `what` says which numbers are.
pub(crate) fn auto(
    parameters: &Parameters,
    name: &str,
    what: &str,
    good: impl Fn(f64) -> bool,
) -> Result<Option<f64>> {
    match parameters.text(name).unwrap_or("auto") {
        "auto" => Ok(None),
        text => match text.parse::<f64>() {
            Ok(number) if number.is_finite() && good(number) => Ok(Some(number)),
            _ => Err(Error::input(format!(
                "hyperparameter {name} is {text:?}: it is auto or {what}"
            ))),
        },
    }
}

/// A whole number from one, or none for `auto`.
pub(crate) fn count(parameters: &Parameters, name: &str) -> Result<Option<usize>> {
    let whole = |number: f64| number >= 1.0 && number.fract() == 0.0 && number < 1e15;
    Ok(
        auto(parameters, name, "a whole number of at least 1", whole)?
            .map(|number| number as usize),
    )
}

/// Words of a list, as JSON (`["msd"]`) or with commas between them, each one of those that there are.
pub(crate) fn words<'a>(
    parameters: &'a Parameters,
    name: &str,
    all: &[&str],
) -> Result<Vec<&'a str>> {
    let text = parameters.text(name).unwrap_or_default();
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let mut words = Vec::new();
    for word in inner.split(',') {
        let word = word.trim().trim_matches(['"', '\'']);
        if !all.contains(&word) {
            return Err(Error::input(format!(
                "hyperparameter {name} is {text:?}: it is a list of some of {}",
                all.join(", ")
            )));
        }
        words.push(word);
    }
    Ok(words)
}

/// Refuses rows with other columns than a model has; sparse ones may have fewer.
pub(crate) fn fits(features: &Features, columns: usize) -> Result<()> {
    let there = features.columns();
    let good = match features {
        Features::Dense { .. } => there == columns,
        Features::Sparse(_) => there <= columns,
    };
    if good {
        return Ok(());
    }
    Err(Error::input(format!(
        "rows have {there} columns, and the model was trained with {columns}"
    )))
}

/// Refuses values that are missing: nothing can be said of a sum without one of its parts.
pub(crate) fn complete(features: &Features, what: &str) -> Result<()> {
    let (Features::Dense { values, .. } | Features::Sparse(Csr { values, .. })) = features;
    let Some(at) = values.iter().position(|value| !value.is_finite()) else {
        return Ok(());
    };
    let (row, column) = match features {
        Features::Dense { columns, .. } => (at / columns, at % columns),
        Features::Sparse(csr) => (
            csr.starts.partition_point(|start| *start <= at) - 1,
            csr.indices[at] as usize,
        ),
    };
    Err(Error::input(format!(
        "column {} of row {} of {what} has no value (counted from 1, without labels), and every value is needed",
        column + 1,
        row + 1,
    )))
}

/// Refuses a channel that has no rows or columns, other columns than were said or than the train channel has, or misses
/// values.
pub(crate) fn channel(
    features: &Features,
    name: &str,
    said: Option<usize>,
    train: Option<usize>,
) -> Result<()> {
    let columns = features.columns();
    if features.rows() == 0 || columns == 0 {
        return Err(Error::input(format!(
            "channel {name} has no rows, or no columns"
        )));
    }
    if let Some(train) = train {
        fits(features, train).map_err(|why| Error::input(format!("channel {name}: {why}")))?;
    }
    if let Some(said) = said
        && said != columns
    {
        return Err(Error::input(format!(
            "channel {name} has {columns} columns without the label, and feature_dim is {said}"
        )));
    }
    complete(features, &format!("channel {name}"))
}
