//! `text/libsvm`: `label[:weight] index:value …` a line. Indices are taken as they are: the first column is 0.

use super::rows::{Beside, Rows};
use crate::{Error, Result};
use std::io::BufRead;

pub(super) fn read(rows: &mut Rows, name: &str, input: impl BufRead) -> Result<()> {
    let mut entries = Vec::new();
    super::lines(name, input, |number, line| {
        let wrong = |why: String| Error::input(format!("{name}: row {number}: {why}"));
        let text = std::str::from_utf8(line).map_err(|_| wrong("it is no text".to_owned()))?;
        let text = text.split('#').next().unwrap_or_default();
        let mut words = text.split_ascii_whitespace();
        let Some(first) = words.next() else {
            return Ok(());
        };
        let (label, weight) = match first.split_once(':') {
            Some((label, weight)) => (finite(label), Some(finite(weight))),
            None => (finite(first), None),
        };
        let no_label = || wrong(format!("{first:?} is no label, and no label with a weight"));
        let beside = Beside {
            label: Some(label.ok_or_else(no_label)?),
            weight: weight.map(|one| one.ok_or_else(no_label)).transpose()?,
        };
        entries.clear();
        for word in words {
            let entry = word.split_once(':').and_then(|(index, value)| {
                let index: u32 = index.parse().ok().filter(|one| *one < u32::MAX)?;
                let value = match value {
                    "nan" | "NaN" => f32::NAN,
                    value => finite(value)?,
                };
                Some((index, value))
            });
            entries.push(
                entry.ok_or_else(|| {
                    wrong(format!("{word:?} is no index and value, such as 3:0.5"))
                })?,
            );
        }
        rows.sparse(&mut entries, None, beside).map_err(wrong)
    })
}

fn finite(text: &str) -> Option<f32> {
    text.parse().ok().filter(|number: &f32| number.is_finite())
}
