//! Hyperparameters: text with names, as SageMaker sends them, read by what an algorithm declares.

use crate::{Error, Result};
use std::collections::BTreeMap;

/// What values a hyperparameter may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number between two, both included.
    Integer(i64, i64),
    /// A number between two; each says whether it is included.
    Real(Bound, Bound),
    /// One of some words.
    Choice(&'static [&'static str]),
    /// `true` or `false`; `1` and `0` and any case are understood.
    Flag,
    /// Any text, which the algorithm reads itself.
    Text,
}

/// The end of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// There is none.
    None,
    /// It may be reached.
    Included(f64),
    /// It may not be reached.
    Excluded(f64),
}

/// What may be set.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What it is where nothing is said; none where the algorithm decides, or where it must be said.
    pub default: Option<&'static str>,
    /// Whether it must be said.
    pub required: bool,
    /// What it does, in a line.
    pub help: &'static str,
}

/// Values that were checked against what an algorithm declares.
#[derive(Clone, Debug)]
pub struct Parameters {
    declared: &'static [Parameter],
    values: BTreeMap<&'static str, String>,
}

impl Parameters {
    /// Checks names and values.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] with all that is wrong, a sentence each: unknown names, values
    /// that are none of the kind or out of bounds, what must be said and was not. The first words are those of SageMaker's
    /// containers (`hyperparameter_validation.py` of its algorithm toolkit); what a value has to be follows.
    pub fn read<'a>(
        declared: &'static [Parameter],
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self> {
        let mut values = BTreeMap::new();
        let (mut wrong, mut named) = (Vec::new(), Vec::new());
        for (name, text) in given {
            let text = text.trim();
            match declared.iter().find(|parameter| parameter.name == name) {
                None => wrong.push(format!("Extraneous hyperparameter found: {name}")),
                Some(parameter) => match parameter.check(text) {
                    Ok(()) => {
                        values.insert(parameter.name, text.to_owned());
                    }
                    Err(why) => {
                        named.push(parameter.name);
                        wrong.push(format!("Hyperparameter {name}: {why}"));
                    }
                },
            }
        }
        for parameter in declared {
            let said = values.contains_key(parameter.name) || named.contains(&parameter.name);
            if parameter.required && !said {
                wrong.push(format!(
                    "Missing required hyperparameter: {}",
                    parameter.name
                ));
            }
        }
        if !wrong.is_empty() {
            return Err(Error::Input(wrong.join("; ")));
        }
        Ok(Self { declared, values })
    }

    /// What was set, or the default; none where neither is.
    pub fn text(&self, name: &str) -> Option<&str> {
        let declared = self.declared.iter().find(|one| one.name == name);
        debug_assert!(declared.is_some(), "{name} is not declared");
        self.values
            .get(name)
            .map(String::as_str)
            .or_else(|| declared.and_then(|one| one.default))
    }

    /// Whether it was set.
    pub fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.text(name).and_then(integer)
    }

    /// A number.
    pub fn real(&self, name: &str) -> Option<f64> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.text(name).and_then(flag)
    }
}

/// SDKs write whole numbers as `10` or `10.0`.
fn integer(text: &str) -> Option<i64> {
    let whole = |number: f64| {
        (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
    };
    text.parse()
        .ok()
        .or_else(|| text.parse::<f64>().ok().and_then(whole))
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

impl Parameter {
    /// What it may be, for people: `0 to 1`, `above 0`, `gbtree, dart`.
    pub fn values(&self) -> String {
        match self.kind {
            Kind::Integer(i64::MIN, i64::MAX) => "a whole number".to_owned(),
            Kind::Integer(least, i64::MAX) => format!("{least} or more"),
            Kind::Integer(least, most) => format!("{least} to {most}"),
            Kind::Real(Bound::None, Bound::None) => "a number".to_owned(),
            Kind::Real(Bound::Included(least), Bound::Included(most)) => {
                format!("{least} to {most}")
            }
            Kind::Real(least, most) => {
                let least = match least {
                    Bound::None => None,
                    Bound::Included(bound) => Some(format!("{bound} or more")),
                    Bound::Excluded(bound) => Some(format!("above {bound}")),
                };
                let most = match most {
                    Bound::None => None,
                    Bound::Included(bound) => Some(format!("{bound} at most")),
                    Bound::Excluded(bound) => Some(format!("below {bound}")),
                };
                let both: Vec<String> = least.into_iter().chain(most).collect();
                both.join(", ")
            }
            Kind::Choice(words) => words.join(", "),
            Kind::Flag => "true, false".to_owned(),
            Kind::Text => "text".to_owned(),
        }
    }

    /// Why a text is no value of it.
    fn check(&self, text: &str) -> std::result::Result<(), String> {
        let unread = |wanted: &str| Err(format!("could not parse value {text:?}, {wanted}"));
        match self.kind {
            Kind::Integer(least, most) => match integer(text) {
                Some(number) if (least..=most).contains(&number) => Ok(()),
                Some(number) => Err(format!(
                    "{number} is not in {}",
                    range(
                        (least > i64::MIN).then_some((least as f64, true)),
                        (most < i64::MAX).then_some((most as f64, true)),
                    )
                )),
                None => unread("it is a whole number"),
            },
            Kind::Real(least, most) => {
                let number = text.parse::<f64>().ok().filter(|one| one.is_finite());
                let Some(number) = number else {
                    return unread("it is a number");
                };
                let above = match least {
                    Bound::None => true,
                    Bound::Included(bound) => number >= bound,
                    Bound::Excluded(bound) => number > bound,
                };
                let below = match most {
                    Bound::None => true,
                    Bound::Included(bound) => number <= bound,
                    Bound::Excluded(bound) => number < bound,
                };
                match above && below {
                    true => Ok(()),
                    false => Err(format!(
                        "{number} is not in {}",
                        range(least.end(), most.end())
                    )),
                }
            }
            Kind::Choice(words) if words.contains(&text) => Ok(()),
            Kind::Choice(words) => Err(format!("{text} is not in [{}]", words.join(", "))),
            Kind::Flag if flag(text).is_some() => Ok(()),
            Kind::Flag => unread("it is true or false"),
            Kind::Text => Ok(()),
        }
    }
}

impl Bound {
    /// Where it is, and whether that is within.
    fn end(self) -> Option<(f64, bool)> {
        match self {
            Self::None => None,
            Self::Included(bound) => Some((bound, true)),
            Self::Excluded(bound) => Some((bound, false)),
        }
    }
}

/// Numbers between two ends, as the containers write them: `[0, +inf)`.
fn range(least: Option<(f64, bool)>, most: Option<(f64, bool)>) -> String {
    let least = match least {
        None => "(-inf".to_owned(),
        Some((bound, true)) => format!("[{bound}"),
        Some((bound, false)) => format!("({bound}"),
    };
    let most = match most {
        None => "+inf)".to_owned(),
        Some((bound, true)) => format!("{bound}]"),
        Some((bound, false)) => format!("{bound})"),
    };
    format!("{least}, {most}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &[Parameter] = &[
        Parameter {
            name: "k",
            kind: Kind::Integer(2, i64::MAX),
            default: None,
            required: true,
            help: "clusters",
        },
        Parameter {
            name: "eta",
            kind: Kind::Real(Bound::Excluded(0.0), Bound::Included(1.0)),
            default: Some("0.3"),
            required: false,
            help: "step",
        },
        Parameter {
            name: "mode",
            kind: Kind::Choice(&["a", "b"]),
            default: Some("a"),
            required: false,
            help: "mode",
        },
        Parameter {
            name: "normalize",
            kind: Kind::Flag,
            default: None,
            required: false,
            help: "flag",
        },
    ];

    #[test]
    fn text_becomes_values_and_defaults_fill_in() {
        let given = [("k", "10.0"), ("normalize", "True")];
        let parameters = Parameters::read(DECLARED, given).unwrap();
        assert_eq!(parameters.integer("k"), Some(10));
        assert_eq!(parameters.real("eta"), Some(0.3));
        assert!(!parameters.is_set("eta"));
        assert_eq!(parameters.text("mode"), Some("a"));
        assert_eq!(parameters.flag("normalize"), Some(true));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let given = [
            ("eta", "0"),
            ("mode", "c"),
            ("normalize", "maybe"),
            ("depth", "3"),
        ];
        let error = Parameters::read(DECLARED, given).unwrap_err().to_string();
        for part in [
            "Hyperparameter eta: 0 is not in (0, 1]",
            "Hyperparameter mode: c is not in [a, b]",
            "Hyperparameter normalize: could not parse value \"maybe\", it is true or false",
            "Extraneous hyperparameter found: depth",
            "Missing required hyperparameter: k",
        ] {
            assert!(error.contains(part), "{error}");
        }
        for (bad, why) in [
            ("1", "1 is not in [2, +inf)"),
            ("2.5", "could not parse value \"2.5\", it is a whole number"),
            ("NaN", "could not parse value \"NaN\", it is a whole number"),
            (
                "1e300",
                "could not parse value \"1e300\", it is a whole number",
            ),
            ("", "could not parse value \"\", it is a whole number"),
        ] {
            let error = Parameters::read(DECLARED, [("k", bad)]).unwrap_err();
            // What is there and wrong is not missing.
            assert_eq!(error.to_string(), format!("Hyperparameter k: {why}"));
        }
    }
}
