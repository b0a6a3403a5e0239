//! `text/csv`: numbers with commas between them, no header. Values that are empty are missing. Where the first row has no comma
//! but semicolons, tabs or bars, these are what is between.

use super::rows::{Beside, Rows};
use crate::{Answers, Error, Result, Values};
use std::io::BufRead;

pub(super) fn read(
    rows: &mut Rows,
    name: &str,
    input: impl BufRead,
    labelled: bool,
    weighted: bool,
) -> Result<()> {
    let mut values = Vec::new();
    let mut between = None;
    super::lines(name, input, |number, line| {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        values.clear();
        let between = *between.get_or_insert_with(|| separator(line));
        for (column, text) in line.split(|byte| *byte == between).enumerate() {
            values.push(value(text).ok_or_else(|| {
                let hint = if number == 1 {
                    "; the first row is one of numbers, there is no header"
                } else {
                    ""
                };
                Error::input(format!(
                    "{name}: row {number}: column {} is {:?}, which is no number{hint}",
                    column + 1,
                    String::from_utf8_lossy(&text[..text.len().min(100)])
                ))
            })?);
        }
        let mut features = values.as_slice();
        let mut next = |there: bool| {
            let (first, rest) = features.split_first().filter(|_| there)?;
            features = rest;
            Some(*first)
        };
        let beside = Beside {
            label: next(labelled),
            weight: next(weighted),
        };
        rows.dense(features, beside)
            .map_err(|why| Error::input(format!("{name}: row {number}: {why}")))
    })
}

/// What is between the values of a row.
fn separator(line: &[u8]) -> u8 {
    let there = |byte: &u8| line.contains(byte);
    let between = [b',', b';', b'\t', b'|'].into_iter().find(there);
    between.unwrap_or(b',')
}

/// A number, or `NaN` where there is nothing.
fn value(text: &[u8]) -> Option<f32> {
    let mut text = text.trim_ascii();
    if let [b'"', inner @ .., b'"'] = text {
        text = inner.trim_ascii();
    }
    if text.is_empty() || text.eq_ignore_ascii_case(b"nan") {
        return Some(f32::NAN);
    }
    let number: f32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

pub(super) fn render(answers: &Answers) -> Vec<u8> {
    let mut out = Vec::new();
    for row in 0..answers.rows() {
        for (at, field) in answers.fields.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            match &field.values {
                Values::Numbers(values) => super::number(&mut out, values[row]),
                Values::Whole(values) => out.extend_from_slice(values[row].to_string().as_bytes()),
                Values::Vectors { width, values } => {
                    for (at, value) in values[row * width..][..*width].iter().enumerate() {
                        if at > 0 {
                            out.push(b',');
                        }
                        super::number(&mut out, *value);
                    }
                }
            }
        }
        out.push(b'\n');
    }
    out
}
