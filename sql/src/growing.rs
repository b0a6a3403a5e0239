//! DataFusion's functions whose answers can be far larger than what they are given: `repeat('x', 1000000000)` is a gigabyte of a
//! query of thirty bytes. Each is told what it would make of a batch of rows before it makes it, and refused where that is more
//! than [`MOST`].

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray, StringArray,
};
use datafusion::arrow::compute::{cast, kernels::length::length};
use datafusion::arrow::datatypes::{DataType, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::{Result, exec_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};

/// Most bytes that one call may make for a batch of rows.
pub const MOST: u64 = 64 << 20;

/// How much a function makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument as often as the second says.
    Times,
    /// As many characters as the second argument says.
    Characters,
    /// The third argument for each place where the first has the second.
    Places,
    /// As many elements of a list as the second argument says, each like the third.
    Elements,
    /// Numbers or times from one to another by steps.
    Steps,
}

/// The functions by their names.
const FUNCTIONS: [(&str, Growth); 8] = [
    ("repeat", Growth::Times),
    ("array_repeat", Growth::Times),
    ("lpad", Growth::Characters),
    ("rpad", Growth::Characters),
    ("replace", Growth::Places),
    ("array_resize", Growth::Elements),
    ("range", Growth::Steps),
    ("generate_series", Growth::Steps),
];

/// Puts bounded functions in the place of a session's own.
///
/// # Errors
/// When it has none of such a name.
pub(crate) fn bound(context: &SessionContext) -> Result<()> {
    for (name, growth) in FUNCTIONS {
        let inner = context.udf(name)?;
        let inner = inner.as_ref().clone();
        context.register_udf(ScalarUDF::from(Bounded { inner, growth }));
    }
    Ok(())
}

/// A function that looks at what it would make.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: ScalarUDF,
    growth: Growth,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        self.inner.inner().schema_name(arguments)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn simplify(&self, arguments: Vec<Expr>, with: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(arguments, with)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = made(self.growth, &arguments)?;
        if bytes > MOST as f64 {
            return exec_err!(
                "{}() would make {:.0} MiB for a batch of rows; at most {} MiB are made",
                self.name(),
                bytes / f64::from(1 << 20),
                MOST >> 20
            );
        }
        self.inner.invoke_with_args(arguments)
    }
}

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
fn made(growth: Growth, call: &ScalarFunctionArgs) -> Result<f64> {
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
    }
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
    if values.data_type().is_string() {
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
        let one = kept.values.slice(kept.at(row), 1).to_data();
        let bytes = one.get_slice_memory_size();
        bytes.unwrap_or_else(|_| one.get_array_memory_size()).max(1) as f64
    }))
}
