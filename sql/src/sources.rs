//! Tables that are no files: whoever opens an engine brings them as functions, `FROM topic('reviews')`.
//!
//! A [`Source`] is told what a query says of its numbers, times and texts, so that it reads no more than it has to; the query
//! itself looks at every row again.

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Why a table cannot be read: a sentence.
pub type Refused = String;

/// Rows as they come, with all columns.
pub type Rows = BoxStream<'static, Result<RecordBatch, Refused>>;

/// Tables of one function.
pub trait Sources: fmt::Debug + Send + Sync {
    /// The name of the function, in small letters.
    fn name(&self) -> &'static str;

    /// The table that the texts between the parentheses name.
    ///
    /// # Errors
    /// There is none.
    fn open(&self, arguments: &[&str]) -> Result<Arc<dyn Source>, Refused>;
}

/// A table.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// What its rows have.
    fn columns(&self) -> SchemaRef;

    /// Its parts, which are read at the same time. Rows that are out of bounds may be among them or not.
    ///
    /// # Errors
    /// It cannot be read.
    async fn parts(&self, bounds: &Bounds) -> Result<Vec<Arc<dyn Part>>, Refused>;
}

/// A part of a table.
pub trait Part: fmt::Debug + Send + Sync {
    /// Its rows, from the first. May be asked again.
    fn rows(&self) -> Rows;
}

/// What a query says of columns: with whole numbers or with times (in their own unit) from, to, both included; with texts
/// which they may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    numbers: BTreeMap<String, (i64, i64)>,
    texts: BTreeMap<String, BTreeSet<String>>,
}

impl Bounds {
    /// Those of a column; all numbers where nothing is said.
    pub fn of(&self, column: &str) -> (i64, i64) {
        let numbers = self.numbers.get(column).copied();
        numbers.unwrap_or((i64::MIN, i64::MAX))
    }

    /// The texts that a column may have; none where nothing is said.
    pub fn texts(&self, column: &str) -> Option<&BTreeSet<String>> {
        self.texts.get(column)
    }

    /// What is said of one column alone.
    pub fn only(&self, column: &str) -> Self {
        let mut only = Self::default();
        let (from, to) = self.of(column);
        only.meet(column, from, to);
        only
    }

    fn meet(&mut self, column: &str, from: i64, to: i64) {
        let bounds = self.numbers.entry(column.to_owned());
        let bounds = bounds.or_insert((i64::MIN, i64::MAX));
        *bounds = (bounds.0.max(from), bounds.1.min(to));
    }

    fn narrow(&mut self, column: &str, texts: BTreeSet<String>) {
        match self.texts.entry(column.to_owned()) {
            Entry::Vacant(known) => drop(known.insert(texts)),
            Entry::Occupied(mut known) => known.get_mut().retain(|text| texts.contains(text)),
        }
    }

    /// Takes in what a condition says, as far as it is understood.
    fn add(&mut self, condition: &Expr) {
        if let Some((column, texts)) = one_of(condition) {
            return self.narrow(column, texts);
        }
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, op, &**right) {
                (left, Operator::And, right) => {
                    self.add(left);
                    self.add(right);
                }
                (Expr::Column(column), op, Expr::Literal(value, _)) => {
                    self.compare(&column.name, *op, value);
                }
                (Expr::Literal(value, _), op, Expr::Column(column)) => {
                    if let Some(op) = op.swap() {
                        self.compare(&column.name, op, value);
                    }
                }
                _ => {}
            },
            Expr::Between(between) if !between.negated => {
                if let (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) =
                    (&*between.expr, &*between.low, &*between.high)
                {
                    self.compare(&column.name, Operator::GtEq, low);
                    self.compare(&column.name, Operator::LtEq, high);
                }
            }
            _ => {}
        }
    }

    fn compare(&mut self, column: &str, op: Operator, value: &ScalarValue) {
        let Some(value) = whole(value) else {
            return;
        };
        match op {
            Operator::Eq => self.meet(column, value, value),
            Operator::Gt => self.meet(column, value.saturating_add(1), i64::MAX),
            Operator::GtEq => self.meet(column, value, i64::MAX),
            Operator::Lt => self.meet(column, i64::MIN, value.saturating_sub(1)),
            Operator::LtEq => self.meet(column, i64::MIN, value),
            _ => {}
        }
    }
}

/// The column that a condition says to be one of some texts: `a = 'x'`, `a IN ('x', 'y')`, `a = 'x' OR a = 'y'`.
fn one_of(condition: &Expr) -> Option<(&str, BTreeSet<String>)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, op, &**right) {
            (Expr::Column(column), Operator::Eq, Expr::Literal(value, _))
            | (Expr::Literal(value, _), Operator::Eq, Expr::Column(column)) => {
                Some((&column.name, BTreeSet::from([text(value)?])))
            }
            (left, Operator::Or, right) => {
                let ((column, mut texts), (other, more)) = (one_of(left)?, one_of(right)?);
                texts.extend(more);
                (column == other).then_some((column, texts))
            }
            _ => None,
        },
        Expr::InList(list) if !list.negated => {
            let Expr::Column(column) = &*list.expr else {
                return None;
            };
            let texts = list.list.iter().map(|one| match one {
                Expr::Literal(value, _) => text(value),
                _ => None,
            });
            Some((&column.name, texts.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

fn text(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            text.clone()
        }
        _ => None,
    }
}

/// A whole number, or a time in the unit of its column: the planner brings both to the column's type.
fn whole(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int64(value) | ScalarValue::TimestampMillisecond(value, _) => *value,
        ScalarValue::Int32(value) => value.map(i64::from),
        _ => None,
    }
}

/// A function of the planner.
#[derive(Debug)]
pub(crate) struct Opener(pub(crate) Arc<dyn Sources>);

impl TableFunctionImpl for Opener {
    fn call_with_args(&self, arguments: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let name = self.0.name();
        let mut texts = Vec::new();
        for argument in arguments.exprs() {
            match argument {
                Expr::Literal(ScalarValue::Utf8(Some(text)), _) => texts.push(text.as_str()),
                _ => return plan_err!("{name}() takes names in quotes"),
            }
        }
        match self.0.open(&texts) {
            Ok(source) => Ok(Arc::new(Table { source })),
            Err(why) => plan_err!("{name}(): {why}"),
        }
    }
}

#[derive(Debug)]
struct Table {
    source: Arc<dyn Source>,
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        self.source.columns()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut bounds = Bounds::default();
        filters.iter().for_each(|filter| bounds.add(filter));
        let all = self.source.columns();
        let columns = match projection {
            Some(columns) => columns.clone(),
            None => (0..all.fields().len()).collect(),
        };
        let schema = Arc::new(all.project(&columns)?);
        let parts = self.source.parts(&bounds).await;
        let parts = parts.map_err(DataFusionError::Execution)?.into_iter();
        let reader = |part| -> Arc<dyn PartitionStream> {
            Arc::new(Reader {
                part,
                columns: columns.clone(),
                schema: schema.clone(),
            })
        };
        let readers = parts.map(reader).collect();
        // Rows that the filters would drop may be among the first.
        let limit = limit.filter(|_| filters.is_empty());
        let exec = StreamingTableExec::try_new(schema.clone(), readers, None, [], false, limit)?;
        Ok(Arc::new(exec))
    }
}

#[derive(Debug)]
struct Reader {
    part: Arc<dyn Part>,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl PartitionStream for Reader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let columns = self.columns.clone();
        let rows = self.part.rows().map_err(DataFusionError::Execution);
        let rows = rows.and_then(move |batch| {
            let some = batch.project(&columns).map_err(DataFusionError::from);
            futures_util::future::ready(some)
        });
        Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            rows.boxed(),
        ))
    }
}

/// The rows that lines of JSON are, for tables of a few rows.
///
/// # Errors
/// A line is not what the columns say.
pub fn from_json(columns: &SchemaRef, lines: &[u8]) -> Result<RecordBatch, Refused> {
    let reader = datafusion::arrow::json::ReaderBuilder::new(columns.clone())
        .with_batch_size(lines.iter().filter(|byte| **byte == b'\n').count() + 1)
        .build(lines);
    let refused = |error: datafusion::arrow::error::ArrowError| error.to_string();
    let mut reader = reader.map_err(refused)?;
    match reader.next() {
        Some(batch) => batch.map_err(refused),
        None => Ok(RecordBatch::new_empty(columns.clone())),
    }
}

/// A time of a table: milliseconds since 1970.
pub fn time() -> DataType {
    DataType::Timestamp(
        datafusion::arrow::datatypes::TimeUnit::Millisecond,
        Some("+00:00".into()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{col, lit};

    fn of(condition: Expr) -> Bounds {
        let mut bounds = Bounds::default();
        bounds.add(&condition);
        bounds
    }

    #[test]
    fn conditions_are_bounds() {
        let a = || col("a");
        for (condition, from, to) in [
            (a().gt(lit(5_i64)), 6, i64::MAX),
            (a().gt_eq(lit(5_i64)), 5, i64::MAX),
            (a().lt(lit(5_i32)), i64::MIN, 4),
            (lit(5_i64).lt_eq(a()), 5, i64::MAX),
            (a().eq(lit(7_i64)), 7, 7),
            (a().between(lit(2_i64), lit(9_i64)), 2, 9),
            (a().gt(lit(5_i64)).and(a().lt(lit(9_i64))), 6, 8),
            // What is not understood says nothing.
            (
                a().gt(lit(5_i64)).or(a().lt(lit(2_i64))),
                i64::MIN,
                i64::MAX,
            ),
            (a().not_eq(lit(5_i64)), i64::MIN, i64::MAX),
            (a().not_between(lit(2_i64), lit(9_i64)), i64::MIN, i64::MAX),
            (a().gt(col("b")), i64::MIN, i64::MAX),
            (a().gt(lit("x")), i64::MIN, i64::MAX),
        ] {
            assert_eq!(of(condition.clone()).of("a"), (from, to), "{condition}");
        }
        let time = ScalarValue::TimestampMillisecond(Some(1000), Some("+00:00".into()));
        let later = a().gt_eq(Expr::Literal(time, None));
        assert_eq!(of(later).of("a"), (1000, i64::MAX));
        assert_eq!(of(a().gt(lit(5_i64))).of("b"), (i64::MIN, i64::MAX));
    }

    #[test]
    fn conditions_are_texts() {
        let a = || col("a");
        let list = |texts: &[&str]| texts.iter().map(|text| lit(*text)).collect::<Vec<_>>();
        let x = || a().eq(lit("x"));
        for (condition, texts) in [
            (x(), Some(vec!["x"])),
            (lit("x").eq(a()), Some(vec!["x"])),
            (a().in_list(list(&["x", "y"]), false), Some(vec!["x", "y"])),
            (x().or(a().eq(lit("y"))), Some(vec!["x", "y"])),
            (
                x().and(a().in_list(list(&["x", "y"]), false)),
                Some(vec!["x"]),
            ),
            (x().and(a().eq(lit("y"))), Some(vec![])),
            (x().and(col("b").gt(lit(1_i64))), Some(vec!["x"])),
            // What is not understood says nothing.
            (a().in_list(list(&["x"]), true), None),
            (x().or(col("b").eq(lit("y"))), None),
            (x().or(a().gt(lit("y"))), None),
            (a().not_eq(lit("x")), None),
            (a().in_list(vec![lit("x"), col("b")], false), None),
        ] {
            let bounds = of(condition.clone());
            let found = bounds.texts("a");
            let found: Option<Vec<&str>> =
                found.map(|texts| texts.iter().map(String::as_str).collect());
            assert_eq!(found, texts, "{condition}");
        }
    }
}
