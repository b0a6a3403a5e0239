//! Leaves out predictions that nobody needs, and asks after limits and sorts that do without the answer.

use super::{COLUMN, Call, Predict};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, Projection, Sort, SortExpr};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The rule of the optimizer. It stands after those that push filters and limits and drop columns.
#[derive(Debug)]
pub struct Settle;

impl OptimizerRule for Settle {
    fn name(&self) -> &str {
        "settle_predictions"
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        if !plan.exists(|node| Ok(Predict::of(node).is_some()))? {
            return Ok(Transformed::no(plan));
        }
        let used = used(&plan)?;
        let idle = |call: &Call| !used.contains(&call.column);
        let needed = match plan.exists(|node| {
            Ok(Predict::of(node).is_some_and(|predict| predict.calls.iter().any(idle)))
        })? {
            true => plan.transform_up(|plan| without_idle(plan, &used))?,
            false => Transformed::no(plan),
        };
        // A sort that goes below uncovers the limit that was above it.
        let sorted = needed.transform_data(|plan| plan.transform_down(later))?;
        sorted.transform_data(|plan| plan.transform_down(later))
    }
}

/// The columns of predictions that some expression names, or the plan shows.
fn used(plan: &LogicalPlan) -> Result<HashSet<String>> {
    let is_own = |name: &&String| name.starts_with(COLUMN);
    let shown = plan.schema().fields().iter().map(|field| field.name());
    let mut used: HashSet<String> = shown.filter(is_own).cloned().collect();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            let columns = expression.column_refs().into_iter();
            used.extend(columns.map(|column| &column.name).filter(is_own).cloned());
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(used)
}

fn without_idle(plan: LogicalPlan, used: &HashSet<String>) -> Result<Transformed<LogicalPlan>> {
    let Some(predict) = Predict::of(&plan) else {
        // What is below may have fewer columns than before.
        return match plan.inputs().is_empty() {
            true => Ok(Transformed::no(plan)),
            false => plan.recompute_schema().map(Transformed::no),
        };
    };
    let calls = predict.calls.iter();
    let calls: Vec<_> = calls
        .filter(|call| used.contains(&call.column))
        .cloned()
        .collect();
    let input = predict.input.clone();
    Ok(match calls.len() {
        0 => Transformed::yes(Arc::unwrap_or_clone(input)),
        left if left == predict.calls.len() => {
            // The input's columns may have changed.
            Transformed::no(Predict::new(calls, input)?.plan())
        }
        _ => Transformed::yes(Predict::new(calls, input)?.plan()),
    })
}

/// Lets a limit, or a sort with one, go below a prediction.
fn later(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match &plan {
        LogicalPlan::Limit(limit) => {
            let (shown, input) = match &*limit.input {
                LogicalPlan::Projection(shown) => (Some(shown), &shown.input),
                _ => (None, &limit.input),
            };
            let Some(predict) = Predict::of(input) else {
                return Ok(Transformed::no(plan));
            };
            let below = LogicalPlan::Limit(Limit {
                skip: limit.skip.clone(),
                fetch: limit.fetch.clone(),
                input: predict.input.clone(),
            });
            let calls = predict.calls.clone();
            let predict = Predict::new(calls, Arc::new(below))?.plan();
            Ok(Transformed::yes(match shown {
                None => predict,
                Some(shown) => LogicalPlan::Projection(Projection::try_new_with_schema(
                    shown.expr.clone(),
                    Arc::new(predict),
                    shown.schema.clone(),
                )?),
            }))
        }
        LogicalPlan::Sort(sort) if sort.fetch.is_some() => {
            let sorted = match &*sort.input {
                LogicalPlan::Projection(projection) => through_projection(sort, projection)?,
                input => match Predict::of(input) {
                    Some(predict) => below(&sort.expr, sort.fetch, predict)?,
                    None => None,
                },
            };
            Ok(match sorted {
                Some(sorted) => Transformed::yes(sorted),
                None => Transformed::no(plan),
            })
        }
        _ => Ok(Transformed::no(plan)),
    }
}

/// A sort of what a prediction hands on, below it.
fn below(
    keys: &[SortExpr],
    fetch: Option<usize>,
    predict: &Predict,
) -> Result<Option<LogicalPlan>> {
    if !predict.is_unused_by(keys.iter().map(|key| &key.expr)) {
        return Ok(None);
    }
    let sort = LogicalPlan::Sort(Sort {
        expr: keys.to_vec(),
        input: predict.input.clone(),
        fetch,
    });
    let predict = Predict::new(predict.calls.clone(), Arc::new(sort))?;
    Ok(Some(predict.plan()))
}

fn through_projection(sort: &Sort, projection: &Projection) -> Result<Option<LogicalPlan>> {
    let Some(predict) = Predict::of(&projection.input) else {
        return Ok(None);
    };
    let shown = projection.schema.columns();
    let parts = projection.expr.iter().map(|part| part.clone().unalias());
    let meaning: HashMap<Column, Expr> = shown.into_iter().zip(parts).collect();
    if meaning.values().any(Expr::is_volatile) {
        return Ok(None);
    }
    let mut keys = Vec::with_capacity(sort.expr.len());
    for key in &sort.expr {
        let expression = key.expr.clone().transform_up(|part| {
            Ok(match &part {
                Expr::Column(column) => match meaning.get(column) {
                    Some(meaning) => Transformed::yes(meaning.clone()),
                    None => Transformed::no(part),
                },
                _ => Transformed::no(part),
            })
        })?;
        keys.push(SortExpr {
            expr: expression.data,
            ..key.clone()
        });
    }
    let Some(sorted) = below(&keys, sort.fetch, predict)? else {
        return Ok(None);
    };
    let parts = projection.expr.clone();
    let schema = projection.schema.clone();
    let projection = Projection::try_new_with_schema(parts, Arc::new(sorted), schema)?;
    Ok(Some(LogicalPlan::Projection(projection)))
}
