//! Scoring a file: its rows as they are, with a column of answers and one of errors.
//!
//! What is scored is a part of a file ([`Split`]), and its answers depend on nothing else: who runs many of them may run
//! them anywhere, in any order, and again. [`cut`] says where a file can be parted.

pub mod cut;
pub(crate) mod rows;

use crate::engine::{Query, Session};
use crate::files::{Format, Found, Keys, Typing, unread};
use cut::selection;
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::memory::DataSourceExec;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, Result, plan_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::logical_expr::Expr;
use datafusion::parquet::errors::ParquetError;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{coalesce, get_field, lit, when};
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The file, named as in a query.
    pub file: String,
    /// What of it.
    pub part: Part,
}

/// What of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    All,
    /// Of CSV and lines of JSON: the rows in these bytes, which begin and end where rows do, as [`cut`] says. (In other bytes
    /// of lines of JSON, the lines that begin in them; of Parquet, the groups of rows that do.)
    Bytes(Range<u64>),
    /// Of Parquet: these rows, counted from 0.
    Rows(Range<u64>),
}

/// What is asked about each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scoring {
    /// The function.
    pub function: String,
    /// The column that it is about; of an endpoint those of a row, in the order in which its model takes them.
    pub columns: Vec<String>,
    /// The endpoint that is asked, where the function is `predict`.
    pub endpoint: Option<String>,
    /// The texts' language, where the function takes one.
    pub language: Option<String>,
    /// The column of the answers. That of the errors ends in `_error`.
    pub answers: String,
    /// What is written. Into a format without types rows of such go as they were, and lines of JSON into such.
    pub format: Format,
}

impl Scoring {
    /// The column of the errors.
    pub fn errors(&self) -> String {
        format!("{}_error", self.answers)
    }
}

/// A query whose rows are those of a split, in their order, with the two columns more.
///
/// # Errors
/// What cannot be scored so.
pub async fn query(session: &Session, split: &Split, scoring: &Scoring) -> Result<Query> {
    let context = session.context();
    let state = context.state();
    let Some(address) = session.places().address(&split.file)? else {
        return plan_err!("{}: no path of a table", split.file);
    };
    let found = Found::at(&state, &split.file, address).await?;
    let text = matches!(found.format, Format::Csv | Format::Tsv | Format::JsonLines);
    let (table, counted) = match text {
        true => {
            let typing = match scoring.format {
                Format::Csv | Format::Tsv => Typing::Texts,
                _ => Typing::Inferred,
            };
            let files = found.files();
            let range = match &split.part {
                Part::Bytes(range) if files.len() == 1 => Some(range.clone()),
                Part::All => None,
                _ => return plan_err!("a part is one of the bytes of one file"),
            };
            let unread = |error| unread(&split.file, error);
            let known = rows::columns(&*found.store, &files, found.format, typing).await;
            let known = known.map_err(unread)?;
            let named = known.fields().iter().map(|field| field.name().as_str());
            check(&named.collect::<Vec<_>>(), scoring)?;
            // Lines stay as they were written.
            let (known, taken) = match (found.format, scoring.format) {
                (Format::JsonLines, Format::JsonLines) => {
                    let taken = vec![scoring.answers.clone(), scoring.errors()];
                    (rows::kept(&scoring.columns), taken)
                }
                _ => (known, Vec::new()),
            };
            let store = found.store.clone();
            let table = rows::table(store, files, found.format, known, taken, range);
            let (table, counted) = table.map_err(unread)?;
            (table, Some(counted))
        }
        false => {
            let table = found.table(&state, Keys::PassedOver).await;
            (table.map_err(|error| unread(&split.file, error))?, None)
        }
    };
    let frame = context.read_table(table)?;
    if !text {
        let named = frame.schema().fields().iter();
        let named = named.map(|field| field.name().as_str());
        check(&named.collect::<Vec<_>>(), scoring)?;
    }
    let Some(function) = state
        .scalar_functions()
        .get(&format!("try_{}", scoring.function))
    else {
        return plan_err!("there is no function {}()", scoring.function);
    };
    let columns = frame.schema().columns();
    let mut about = Vec::with_capacity(scoring.columns.len());
    for name in &scoring.columns {
        let Some(column) = columns.iter().find(|column| column.name == *name) else {
            return plan_err!("there is no column `{name}`");
        };
        about.push(Expr::Column(column.clone()));
    }
    let errors = scoring.errors();
    let mut wrong = None;
    let mut columns: Vec<Expr> = Vec::new();
    for (table, field) in frame.schema().iter() {
        if text && field.name() == rows::WRONG {
            wrong = Some(Expr::Column(Column::new(table.cloned(), field.name())));
            continue;
        }
        columns.push(Expr::Column(Column::new(table.cloned(), field.name())));
    }
    if let Some(wrong) = &wrong {
        // Nothing is asked about it.
        for column in &mut about {
            *column = when(wrong.clone().is_null(), std::mem::take(column)).end()?;
        }
    }
    let mut arguments: Vec<Expr> = scoring.endpoint.as_deref().map(lit).into_iter().collect();
    arguments.extend(about);
    arguments.extend(scoring.language.as_deref().map(lit));
    let call = function.call(arguments);
    columns.push(get_field(call.clone(), "value").alias(&scoring.answers));
    let mut error = get_field(call, "error");
    if let Some(wrong) = wrong {
        error = coalesce(vec![wrong, error]);
    }
    columns.push(error.alias(errors));
    let frame = frame.select(columns)?;
    let mut query = session.in_order(frame.logical_plan().clone()).await?;
    query.wrong = counted;
    match &split.part {
        Part::All => {}
        // The table has no other rows.
        Part::Bytes(_) if text => {}
        Part::Bytes(range) => {
            let outside = |_| DataFusionError::Plan("the range is no range of a file".to_owned());
            let begin = i64::try_from(range.start).map_err(outside)?;
            let end = i64::try_from(range.end).map_err(outside)?;
            query.plan = only(query.plan, &|file| Ok(file.with_range(begin, end)))?;
        }
        Part::Rows(rows) => {
            let plan = selection(session, &split.file, rows).await?;
            query.plan = only(query.plan, &|file| Ok(file.with_extension(plan.clone())))?;
        }
    }
    Ok(query)
}

/// Whether an error says that what was read of a Parquet file cannot be understood, whoever reads it: not that it could not be read.
pub fn is_undecodable(error: &DataFusionError) -> bool {
    let mut causes =
        std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| {
            error.source()
        });
    let mut parquet = false;
    let unread = causes.any(|cause| {
        parquet |= cause.is::<ParquetError>()
            || matches!(cause.downcast_ref(), Some(ArrowError::ParquetError(_)));
        cause.is::<object_store::Error>()
    });
    parquet && !unread
}

/// Checks that there is the column that is asked about, and none that is named like the answers.
fn check(names: &[&str], scoring: &Scoring) -> Result<()> {
    let absent = |column: &&String| !names.contains(&column.as_str());
    if let Some(name) = scoring.columns.iter().find(absent) {
        let names = names.join(", ");
        return plan_err!("there is no column `{name}`; there are {names}");
    }
    let own = [scoring.answers.clone(), scoring.errors()];
    match own.iter().find(|name| names.contains(&name.as_str())) {
        Some(name) => plan_err!("there is a column `{name}` already"),
        None => Ok(()),
    }
}

/// A scan of one file, with what `change` makes of it.
fn only(
    plan: Arc<dyn ExecutionPlan>,
    change: &dyn Fn(PartitionedFile) -> Result<PartitionedFile>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut scans = 0;
    let cut = plan.transform_up(|node| {
        let Some(scan) = (node.as_ref() as &dyn Any).downcast_ref::<DataSourceExec>() else {
            return Ok(Transformed::no(node));
        };
        let source = scan.data_source().as_ref() as &dyn Any;
        let Some(files) = source.downcast_ref::<FileScanConfig>() else {
            return Ok(Transformed::no(node));
        };
        let groups = files.file_groups.iter();
        let Some(file) = groups.flat_map(|group| group.files()).next() else {
            return Ok(Transformed::no(node));
        };
        scans += 1;
        // A large file may be cut among several already.
        let mut whole = file.clone();
        whole.range = None;
        let part = FileGroup::new(vec![change(whole)?]);
        let config = FileScanConfigBuilder::from(files.clone())
            .with_file_groups(vec![part])
            .build();
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        Ok(Transformed::yes(scan))
    })?;
    match scans {
        1 => Ok(cut.data),
        _ => plan_err!("a part is one of one file"),
    }
}
