//! Scoring a file: its rows as they are, with a column of answers and one of errors.
//!
//! What is scored is a [`Split`] of a file, and its answers depend on nothing else: who runs many of them may run them
//! anywhere, in any order, and again.

use crate::engine::{Query, Session};
use datafusion::catalog::memory::DataSourceExec;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, Result, TableReference, plan_err};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{get_field, lit};
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The file, named as in a query.
    pub file: String,
    /// Its bytes: of a Parquet file the groups of rows that begin in them, of lines of JSON the lines. All of it when there
    /// are none. (A CSV file may have line ends in its values and is scored as a whole.)
    pub range: Option<Range<u64>>,
}

/// What is asked about each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scoring {
    /// The function.
    pub function: String,
    /// The column that it is about.
    pub column: String,
    /// The texts' language, where the function takes one.
    pub language: Option<String>,
    /// The column of the answers. That of the errors ends in `_error`.
    pub answers: String,
}

/// A query whose rows are those of a split, in their order, with the two columns more.
///
/// # Errors
/// What cannot be scored so.
pub async fn query(session: &Session, split: &Split, scoring: &Scoring) -> Result<Query> {
    let context = session.context();
    let frame = context
        .table(TableReference::bare(split.file.as_str()))
        .await?;
    let state = context.state();
    let Some(function) = state
        .scalar_functions()
        .get(&format!("try_{}", scoring.function))
    else {
        return plan_err!("there is no function {}()", scoring.function);
    };
    let about = column(frame.schema(), &scoring.column)?;
    let errors = format!("{}_error", scoring.answers);
    let mut columns: Vec<Expr> = Vec::new();
    for (table, field) in frame.schema().iter() {
        if [&scoring.answers, &errors].contains(&field.name()) {
            return plan_err!("there is a column `{}` already", field.name());
        }
        columns.push(Expr::Column(Column::new(table.cloned(), field.name())));
    }
    let mut arguments = vec![about];
    arguments.extend(scoring.language.as_deref().map(lit));
    let call = function.call(arguments);
    columns.push(get_field(call.clone(), "value").alias(&scoring.answers));
    columns.push(get_field(call, "error").alias(errors));
    let frame = frame.select(columns)?;
    let mut query = session.of(frame.logical_plan().clone()).await?;
    if let Some(range) = &split.range {
        query.plan = only(query.plan, range)?;
    }
    Ok(query)
}

fn column(schema: &DFSchema, name: &str) -> Result<Expr> {
    let mut columns = schema.columns().into_iter();
    match columns.find(|column| column.name == name) {
        Some(column) => Ok(Expr::Column(column)),
        None => {
            let names = schema.fields().iter().map(|field| field.name().as_str());
            let names: Vec<&str> = names.collect();
            plan_err!(
                "there is no column `{name}`; there are {}",
                names.join(", ")
            )
        }
    }
}

/// A scan of one file, of these bytes only.
fn only(plan: Arc<dyn ExecutionPlan>, range: &Range<u64>) -> Result<Arc<dyn ExecutionPlan>> {
    let outside = || DataFusionError::Plan("the range is no range of a file".to_owned());
    let begin = i64::try_from(range.start).map_err(|_| outside())?;
    let end = i64::try_from(range.end).map_err(|_| outside())?;
    let mut scans = 0;
    let cut = plan.transform_up(|node| {
        let Some(scan) = (node.as_ref() as &dyn Any).downcast_ref::<DataSourceExec>() else {
            return Ok(Transformed::no(node));
        };
        let source = scan.data_source().as_ref() as &dyn Any;
        let Some(files) = source.downcast_ref::<FileScanConfig>() else {
            return Ok(Transformed::no(node));
        };
        if files.file_source.file_type() == "csv" {
            return plan_err!(
                "a part of a CSV file cannot be scored: its values may have line ends"
            );
        }
        let groups = files.file_groups.iter();
        let Some(file) = groups.flat_map(|group| group.files()).next() else {
            return Ok(Transformed::no(node));
        };
        scans += 1;
        let part = FileGroup::new(vec![file.clone().with_range(begin, end)]);
        let config = FileScanConfigBuilder::from(files.clone())
            .with_file_groups(vec![part])
            .build();
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        Ok(Transformed::yes(scan))
    })?;
    match scans {
        1 => Ok(cut.data),
        _ => plan_err!("a range is of one file"),
    }
}
