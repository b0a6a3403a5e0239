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
use std::sync::Arc;

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

/// The bytes that a call would make, roughly.
fn made(growth: Growth, arguments: &ScalarFunctionArgs) -> Result<f64> {
    let scalars = arguments
        .args
        .iter()
        .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    // Constants are worked on once, whatever the number of rows.
    let rows = if scalars { 1 } else { arguments.number_rows };
    let column = |index: usize| -> Result<Option<ArrayRef>> {
        let argument = arguments.args.get(index);
        argument.map(|value| value.to_array(rows)).transpose()
    };
    let whole = |index: usize| -> Result<Option<Int64Array>> {
        let Some(column) = column(index)? else {
            return Ok(None);
        };
        Ok(Some(
            cast(&column, &DataType::Int64)?.as_primitive().clone(),
        ))
    };
    let Some(first) = column(0)? else {
        return Ok(0.0);
    };
    match growth {
        Growth::Times => {
            let Some(times) = whole(1)? else {
                return Ok(0.0);
            };
            let sizes = sizes(&first)?;
            Ok(sum(rows, |row| sizes(row) * number(&times, row)))
        }
        Growth::Characters => {
            let Some(characters) = whole(1)? else {
                return Ok(0.0);
            };
            Ok(sum(rows, |row| number(&characters, row)))
        }
        Growth::Elements => {
            let Some(elements) = whole(1)? else {
                return Ok(0.0);
            };
            match column(2)? {
                Some(each) => {
                    let sizes = sizes(&each)?;
                    Ok(sum(rows, |row| {
                        sizes(row).max(8.0) * number(&elements, row)
                    }))
                }
                None => Ok(sum(rows, |row| 8.0 * number(&elements, row))),
            }
        }
        Growth::Places => {
            let (Some(from), Some(to)) = (column(1)?, column(2)?) else {
                return Ok(0.0);
            };
            let texts = [&first, &from, &to].map(|column| cast(column, &DataType::Utf8));
            let [first, from, to] = texts;
            let (first, from, to) = (first?, from?, to?);
            let (first, from, to) = (text(&first), text(&from), text(&to));
            Ok(sum(rows, |row| {
                let [first, from, to] = [first, from, to].map(|column| column.value(row));
                // Without what is looked for, there is a place before each character and one behind the last.
                let most = (first.len() / from.len().max(1) + 1) as f64 * to.len() as f64;
                if most <= MOST as f64 / rows as f64 {
                    return most;
                }
                first.matches(from).count() as f64 * to.len() as f64
            }))
        }
        Growth::Steps => steps(rows, first, column(1)?, column(2)?),
    }
}

/// The bytes of the lists from one number or time to another.
fn steps(
    rows: usize,
    first: ArrayRef,
    second: Option<ArrayRef>,
    third: Option<ArrayRef>,
) -> Result<f64> {
    let whole = |column: &ArrayRef| -> Result<Int64Array> {
        Ok(cast(column, &DataType::Int64)?.as_primitive().clone())
    };
    if first.data_type().is_null() {
        return Ok(0.0);
    }
    if first.data_type().is_integer() {
        let first = whole(&first)?;
        let second = second.as_ref().map(whole).transpose()?;
        let third = third.as_ref().map(whole).transpose()?;
        return Ok(sum(rows, |row| {
            let (from, to) = match &second {
                Some(second) => (first.value(row) as f64, second.value(row) as f64),
                None => (0.0, first.value(row) as f64),
            };
            let step = third.as_ref().map_or(1.0, |step| step.value(row) as f64);
            8.0 * ((to - from) / step).max(0.0)
        }));
    }
    let (Some(second), Some(third)) = (second, third) else {
        return Ok(0.0);
    };
    let seconds = |column: &ArrayRef| -> Result<Int64Array> {
        whole(&cast(column, &DataType::Timestamp(TimeUnit::Second, None))?)
    };
    let (first, second) = (seconds(&first)?, seconds(&second)?);
    let third = cast(&third, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    let third: &IntervalMonthDayNanoArray = third.as_primitive();
    Ok(sum(rows, |row| {
        let step = third.value(row);
        let days = f64::from(step.months) * 28.0 + f64::from(step.days);
        let step = days * 86_400.0 + step.nanoseconds as f64 / 1e9;
        8.0 * ((second.value(row) as f64 - first.value(row) as f64) / step).max(0.0)
    }))
}

/// What rows make together; what is not a number, such as no step at all, is left to the function itself.
fn sum(rows: usize, of: impl Fn(usize) -> f64) -> f64 {
    (0..rows).map(of).filter(|made| !made.is_nan()).sum()
}

/// A number of a row that something is made so often, which it is not for less than nothing.
fn number(column: &Int64Array, row: usize) -> f64 {
    if column.is_null(row) {
        return 0.0;
    }
    column.value(row).max(0) as f64
}

/// Texts; a missing one reads as empty.
fn text(column: &ArrayRef) -> &StringArray {
    column.as_string()
}

/// The bytes of each row of a column.
fn sizes(column: &ArrayRef) -> Result<Box<dyn Fn(usize) -> f64>> {
    let is_text = column.data_type().is_string();
    if is_text {
        let lengths = cast(&length(column)?, &DataType::Int64)?;
        let lengths: Int64Array = lengths.as_primitive().clone();
        return Ok(Box::new(move |row| number(&lengths, row)));
    }
    let column = Arc::clone(column);
    Ok(Box::new(move |row| {
        let one = column.slice(row, 1).to_data();
        let bytes = one.get_slice_memory_size();
        bytes.unwrap_or_else(|_| one.get_array_memory_size()).max(1) as f64
    }))
}
