//! How much a function would make of a batch of rows, roughly and before it does.

use super::{Growth, MOST};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray, StringArray,
};
use datafusion::arrow::compute::{cast, kernels::length::length};
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type, IntervalUnit, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use regex::Regex;
use std::collections::HashMap;

/// Bytes of text that a letter of a time's format becomes at most, about: `%c` is `Mon Nov 30 15:03:41 2026`.
const OF_A_LETTER: f64 = 16.0;
/// Bytes of a text's place beside its own.
const VIEW: f64 = 16.0;
/// Bytes of text that a number takes beyond its own, about.
const DIGITS: f64 = 24.0;

/// An argument: a value for each row, or one for all, which is kept once.
struct Argument {
    values: ArrayRef,
    one: bool,
}

impl Argument {
    fn of(value: &ColumnarValue) -> Result<Self> {
        Ok(match value {
            ColumnarValue::Array(values) => Self {
                values: values.clone(),
                one: false,
            },
            ColumnarValue::Scalar(value) => Self {
                values: value.to_array()?,
                one: true,
            },
        })
    }

    fn cast(&self, to: &DataType) -> Result<Self> {
        Ok(Self {
            values: cast(&self.values, to)?,
            one: self.one,
        })
    }

    fn at(&self, row: usize) -> usize {
        if self.one { 0 } else { row }
    }

    /// A whole number; none where it is null.
    fn whole(&self, row: usize) -> Option<i64> {
        let numbers: &Int64Array = self.values.as_primitive();
        let at = self.at(row);
        numbers.is_valid(at).then(|| numbers.value(at))
    }

    /// How often something is made, which is not less than never.
    fn times(&self, row: usize) -> f64 {
        self.whole(row).unwrap_or(0).max(0) as f64
    }

    /// A text; one that is null reads as empty.
    fn text(&self, row: usize) -> &str {
        let texts: &StringArray = self.values.as_string();
        texts.value(self.at(row))
    }
}

/// The bytes that a call would make, roughly.
pub(super) fn made(growth: Growth, call: &ScalarFunctionArgs) -> Result<f64> {
    let scalars = call
        .args
        .iter()
        .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    // Constants are worked on once, whatever the number of rows.
    let rows = if scalars { 1 } else { call.number_rows };
    let arguments = call.args.iter().map(Argument::of);
    let arguments: Vec<Argument> = arguments.collect::<Result<_>>()?;
    let whole = |index: usize| {
        let argument = arguments.get(index);
        argument.map(|one| one.cast(&DataType::Int64)).transpose()
    };
    let Some(first) = arguments.first() else {
        return Ok(0.0);
    };
    match growth {
        Growth::Times => {
            let Some(times) = whole(1)? else {
                return Ok(0.0);
            };
            let sizes = sizes(first)?;
            Ok(sum(rows, |row| sizes(row) * times.times(row)))
        }
        Growth::Characters => {
            let Some(characters) = whole(1)? else {
                return Ok(0.0);
            };
            Ok(sum(rows, |row| characters.times(row)))
        }
        Growth::Elements => {
            let Some(elements) = whole(1)? else {
                return Ok(0.0);
            };
            match arguments.get(2) {
                Some(each) => {
                    let sizes = sizes(each)?;
                    Ok(sum(rows, |row| sizes(row).max(8.0) * elements.times(row)))
                }
                None => Ok(sum(rows, |row| 8.0 * elements.times(row))),
            }
        }
        Growth::Places => {
            let [first, from, to, ..] = &arguments[..] else {
                return Ok(0.0);
            };
            let texts = [first, from, to].map(|argument| argument.cast(&DataType::Utf8));
            let [first, from, to] = texts;
            let (first, from, to) = (first?, from?, to?);
            Ok(sum(rows, |row| {
                let [first, from, to] = [&first, &from, &to].map(|argument| argument.text(row));
                // Without what is looked for, there is a place before each character and one behind the last.
                let most = (first.len() / from.len().max(1) + 1) as f64 * to.len() as f64;
                if most <= MOST as f64 / rows as f64 {
                    return most;
                }
                first.matches(from).count() as f64 * to.len() as f64
            }))
        }
        Growth::Steps => steps(rows, &arguments),
        Growth::Together => together(rows, &arguments),
        Growth::Between => {
            let between = sizes(first)?;
            let gaps = arguments.len().saturating_sub(2) as f64;
            let all = together(rows, &arguments[1..])?;
            Ok(all + sum(rows, |row| gaps * between(row)))
        }
        Growth::Listed => {
            let rest: Vec<_> = arguments[1..].iter().map(sizes).collect::<Result<_>>()?;
            let list = sizes(first)?;
            Ok(sum(rows, |row| {
                let each: f64 = rest.iter().map(|sizes| sizes(row)).sum();
                let elements = leaves(&first.values.slice(first.at(row), 1));
                list(row) + elements as f64 * (each + DIGITS)
            }))
        }
        Growth::Formatted => match arguments.get(1) {
            Some(format) => {
                let letters = sizes(format)?;
                Ok(sum(rows, |row| OF_A_LETTER * letters(row)))
            }
            None => Ok(0.0),
        },
        Growth::Matches => matches(rows, &arguments),
    }
}

/// The bytes of all arguments, one after the other.
fn together(rows: usize, arguments: &[Argument]) -> Result<f64> {
    let sizes: Vec<_> = arguments.iter().map(sizes).collect::<Result<_>>()?;
    Ok(sizes.iter().map(|sizes| sum(rows, sizes)).sum())
}

/// The values in lists, and in lists in them.
fn leaves(values: &ArrayRef) -> usize {
    match values.data_type() {
        DataType::List(_) => {
            let lists = values.as_list::<i32>();
            let each = lists.iter().flatten();
            each.map(|list| leaves(&list)).sum()
        }
        DataType::LargeList(_) => {
            let lists = values.as_list::<i64>();
            let each = lists.iter().flatten();
            each.map(|list| leaves(&list)).sum()
        }
        DataType::FixedSizeList(..) => {
            let lists = values.as_fixed_size_list();
            let each = lists.iter().flatten();
            each.map(|list| leaves(&list)).sum()
        }
        _ => values.len(),
    }
}

/// The bytes of texts in which what a pattern finds is replaced, once or (with the flag `g`) everywhere. A replacement may name
/// what was found, as often as it likes.
fn matches(rows: usize, arguments: &[Argument]) -> Result<f64> {
    let texts = arguments.iter().map(|one| one.cast(&DataType::Utf8));
    let texts: Vec<Argument> = texts.collect::<Result<_>>()?;
    let [first, pattern, to, ..] = &texts[..] else {
        return Ok(0.0);
    };
    let mut patterns: HashMap<(String, &str), Option<Regex>> = HashMap::new();
    let mut bytes = 0.0;
    for row in 0..rows {
        let [text, to] = [first, to].map(|argument| argument.text(row));
        let flags = texts.get(3).map_or("", |flags| flags.text(row));
        let everywhere = flags.contains('g');
        let named = to.matches(['$', '\\']).count() as f64;
        let most =
            |places: f64, found: f64| text.len() as f64 + places * to.len() as f64 + named * found;
        let length = text.len() as f64;
        let coarse = most(if everywhere { length + 1.0 } else { 1.0 }, length);
        if coarse <= MOST as f64 / rows as f64 {
            bytes += coarse;
            continue;
        }
        // Much could be found: it is looked for.
        let others = flags.replace('g', "");
        let known = patterns.entry((others, pattern.text(row)));
        let pattern = known.or_insert_with_key(|(others, pattern)| match others.is_empty() {
            true => Regex::new(pattern).ok(),
            false => Regex::new(&format!("(?{others}){pattern}")).ok(),
        });
        // What is none is the function's to refuse.
        let Some(pattern) = pattern else {
            continue;
        };
        let found = pattern.find_iter(text);
        let found = found.take(if everywhere { usize::MAX } else { 1 });
        let (mut places, mut lengths) = (0.0, 0.0);
        for one in found {
            places += 1.0;
            lengths += one.len() as f64;
        }
        bytes += most(places, lengths);
        if bytes > MOST as f64 {
            break;
        }
    }
    Ok(bytes)
}

/// The bytes of the lists from one number or time to another.
fn steps(rows: usize, arguments: &[Argument]) -> Result<f64> {
    let whole = |argument: &Argument| argument.cast(&DataType::Int64);
    let number = |argument: &Argument, row| match argument.whole(row) {
        Some(number) => number as f64,
        None => f64::NAN,
    };
    let kind = arguments[0].values.data_type();
    if kind.is_integer() {
        let all: Vec<Argument> = arguments.iter().map(whole).collect::<Result<_>>()?;
        return Ok(sum(rows, |row| {
            let number = |index: usize| all.get(index).map(|one| number(one, row));
            let (from, to) = match number(1) {
                Some(to) => (number(0).unwrap_or(0.0), to),
                None => (0.0, number(0).unwrap_or(0.0)),
            };
            8.0 * ((to - from) / number(2).unwrap_or(1.0)).max(0.0)
        }));
    }
    let [first, second, third, ..] = arguments else {
        return Ok(0.0);
    };
    if kind.is_null() {
        return Ok(0.0);
    }
    let seconds = |argument: &Argument| {
        let times = argument.cast(&DataType::Timestamp(TimeUnit::Second, None))?;
        whole(&times)
    };
    let (first, second) = (seconds(first)?, seconds(second)?);
    let third = third.cast(&DataType::Interval(IntervalUnit::MonthDayNano))?;
    let lengths: &IntervalMonthDayNanoArray = third.values.as_primitive();
    Ok(sum(rows, |row| {
        let step = lengths.value(third.at(row));
        let days = f64::from(step.months) * 28.0 + f64::from(step.days);
        let step = days * 86_400.0 + step.nanoseconds as f64 / 1e9;
        8.0 * ((number(&second, row) - number(&first, row)) / step).max(0.0)
    }))
}

/// What rows make together; what is not a number, such as no step at all, is left to the function itself.
fn sum(rows: usize, of: impl Fn(usize) -> f64) -> f64 {
    (0..rows).map(of).filter(|made| !made.is_nan()).sum()
}

/// The bytes of an argument in each row.
fn sizes(argument: &Argument) -> Result<Box<dyn Fn(usize) -> f64>> {
    let Argument { values, one } = argument;
    if values.data_type().is_string() || values.data_type().is_binary() {
        let lengths = Argument {
            values: cast(&length(values)?, &DataType::Int64)?,
            one: *one,
        };
        return Ok(Box::new(move |row| lengths.times(row)));
    }
    let kept = Argument {
        values: values.clone(),
        one: *one,
    };
    Ok(Box::new(move |row| {
        bytes(&kept.values.slice(kept.at(row), 1)).max(1.0)
    }))
}

/// The bytes of some values, of lists only of what is in them: a slice of lists keeps all elements.
fn bytes(values: &ArrayRef) -> f64 {
    let in_lists = |lists: &mut dyn Iterator<Item = Option<ArrayRef>>| {
        let each = lists.flatten();
        each.map(|list| bytes(&list) + 8.0).sum()
    };
    match values.data_type() {
        DataType::List(_) => in_lists(&mut values.as_list::<i32>().iter()),
        DataType::LargeList(_) => in_lists(&mut values.as_list::<i64>().iter()),
        DataType::FixedSizeList(..) => in_lists(&mut values.as_fixed_size_list().iter()),
        DataType::Struct(_) => values.as_struct().columns().iter().map(bytes).sum(),
        kind if kind.is_string() || kind.is_binary() => match length(values) {
            Ok(lengths) => (0..values.len())
                .map(|row| number(&lengths, row) + VIEW)
                .sum(),
            Err(_) => 0.0,
        },
        _ => {
            let data = values.to_data();
            let known = data.get_slice_memory_size();
            known.unwrap_or_else(|_| data.get_array_memory_size()) as f64
        }
    }
}

/// A length; that of a null is none.
fn number(lengths: &ArrayRef, row: usize) -> f64 {
    match lengths.data_type() {
        _ if lengths.is_null(row) => 0.0,
        DataType::Int64 => lengths.as_primitive::<Int64Type>().value(row) as f64,
        DataType::Int32 => f64::from(lengths.as_primitive::<Int32Type>().value(row)),
        _ => 0.0,
    }
}
