//! Where a row of CSV is that ended a query: DataFusion knows the line and not the file.

use crate::score::rows::first_bad;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::physical_plan::{CsvSource, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How queries go on without such rows.
pub(crate) const SKIPPING: &str = "`bad_rows` = `skip` leaves such rows out";

/// The rows of a plan; one of CSV that is none is told with its file and line.
pub(crate) fn placed(
    rows: SendableRecordBatchStream,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let rows = rows.or_else(move |error| {
        let (plan, context) = (plan.clone(), context.clone());
        async move {
            if !is_bad_row(&error) {
                return Err(error);
            }
            match found(&plan, &context).await {
                Ok(Some(place)) => Err(DataFusionError::Execution(place)),
                _ => Err(error),
            }
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows.boxed()))
}

fn is_bad_row(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => match &**error {
            ArrowError::CsvError(_) => true,
            // As arrow's reader of CSV says it; other texts are parsed elsewhere.
            ArrowError::ParseError(why) => why.starts_with("Error while parsing value"),
            _ => false,
        },
        _ => false,
    }
}

/// Files of CSV that are read in one form.
struct Scan {
    store: ObjectStoreUrl,
    files: BTreeSet<Key>,
    separator: u8,
    columns: SchemaRef,
}

/// The first row that is none of the files of a plan, in the order of their names.
async fn found(plan: &Arc<dyn ExecutionPlan>, context: &TaskContext) -> Result<Option<String>> {
    let mut scans = Vec::new();
    plan.apply(|node| {
        scans.extend(scan(node));
        Ok(TreeNodeRecursion::Continue)
    })?;
    for scan in scans {
        let store = context.runtime_env().object_store(&scan.store)?;
        for file in &scan.files {
            let bad = first_bad(&*store, file, scan.separator, &scan.columns).await?;
            if let Some((line, why)) = bad {
                return Ok(Some(format!(
                    "{file} cannot be read: line {line}: {why}; {SKIPPING}"
                )));
            }
        }
    }
    Ok(None)
}

/// What a node reads of CSV, in the form that all such files have here.
fn scan(node: &Arc<dyn ExecutionPlan>) -> Option<Scan> {
    let exec = (node.as_ref() as &dyn Any).downcast_ref::<DataSourceExec>()?;
    let config = (exec.data_source().as_ref() as &dyn Any).downcast_ref::<FileScanConfig>()?;
    let source = (config.file_source.as_ref() as &dyn Any).downcast_ref::<CsvSource>()?;
    let usual = source.has_header()
        && source.quote() == b'"'
        && (source.escape(), source.terminator(), source.comment()) == (None, None, None);
    if !usual {
        return None;
    }
    let files = config.file_groups.iter().flat_map(|group| group.files());
    Some(Scan {
        store: config.object_store_url.clone(),
        files: files
            .map(|file| file.object_meta.location.clone())
            .collect(),
        separator: source.delimiter(),
        columns: config.file_schema().clone(),
    })
}
