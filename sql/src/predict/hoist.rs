//! Takes calls of models out of the nodes of a plan.
//!
//! A plan is walked from its leaves. What comes back of a part is *wide*: it may have columns of predictions beyond its
//! own. Filters, sorts, windows, limits and joins hand them on, so that the same call above asks nothing; projections and
//! aggregates name what they need; everything else gets exactly the columns that it had.

use super::{COLUMN, Call, Predict};
use crate::endpoint;
use crate::functions::{Callable, Cosine, Form, Similarity};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, internal_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Distinct, DistinctOn, EmptyRelation, Expr, Filter, Join, JoinType, LogicalPlan,
    LogicalPlanBuilder, Projection, ScalarUDF, SortExpr, TableScan, Union, Values,
};
use datafusion::optimizer::analyzer::AnalyzerRule;
use std::sync::Arc;

/// The rule of the analyzer. It stands after those that settle types.
#[derive(Debug)]
pub struct Hoist {
    /// What makes embeddings, for `similarity`.
    pub(crate) embed: Option<Arc<ScalarUDF>>,
    /// What asks endpoints, for `predict` and for `try_predict`.
    pub(crate) predict: Option<[Arc<ScalarUDF>; 2]>,
}

impl AnalyzerRule for Hoist {
    fn name(&self) -> &str {
        "hoist_predictions"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut asks = false;
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expression| {
                asks |= calls(expression) || has(expression, is_short);
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        match asks {
            true => Walk {
                rule: self,
                next: 0,
            }
            .exactly(plan),
            false => Ok(plan),
        }
    }
}

/// A part of a plan that may have more columns than it had.
struct Wide {
    plan: LogicalPlan,
    /// The predictions among its columns, as calls in its own terms.
    known: Vec<Call>,
}

impl Wide {
    fn known(&self, callable: &Callable, arguments: &[Expr]) -> Option<&Call> {
        let mut known = self.known.iter();
        known.find(|call| call.asks(callable, arguments))
    }

    /// With only these columns.
    fn narrow(self, columns: Vec<Column>) -> Result<LogicalPlan> {
        if self.known.is_empty() {
            return Ok(self.plan);
        }
        let columns = columns.into_iter().map(Expr::Column).collect();
        Projection::try_new(columns, Arc::new(self.plan)).map(LogicalPlan::Projection)
    }
}

struct Walk<'r> {
    rule: &'r Hoist,
    /// The number of the next column.
    next: usize,
}

impl Walk<'_> {
    /// The plan without calls, with the columns that it had.
    fn exactly(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let columns = plan.schema().columns();
        self.wide(plan)?.narrow(columns)
    }

    fn wide(&mut self, plan: LogicalPlan) -> Result<Wide> {
        let subqueries = plan.map_subqueries(|plan| self.exactly(plan).map(Transformed::yes))?;
        let plan = self.long(subqueries.data)?;
        match plan {
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) => {
                self.with_input(plan, false, true)
            }
            LogicalPlan::Distinct(Distinct::On(distinct)) => self.distinct_on(distinct),
            LogicalPlan::Window(_) => self.with_input(plan, true, true),
            LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Repartition(_) => {
                self.with_input(plan, true, false)
            }
            LogicalPlan::TableScan(scan) if scan.filters.iter().any(calls) => self.scan(scan),
            LogicalPlan::Values(values) if values.values.iter().flatten().any(calls) => {
                self.values(values)
            }
            other => self.other(other),
        }
    }

    /// What stands for other calls is written out: `similarity(a, b)` is the cosine of two embeddings, each of them a call of
    /// its own, asked once for whatever else wants it; `predict('endpoint', …)` asks about one column that is made of many.
    fn long(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let mut expressions = plan.expressions().into_iter();
        if !expressions.any(|expression| has(&expression, is_short)) {
            return Ok(plan);
        }
        let names = preserver(&plan);
        let rewritten = plan.map_expressions(|expression| {
            let name = names.as_ref().map(|names| names.save(&expression));
            let rewritten = expression.transform_up(|expression| self.written_out(expression))?;
            Ok(rewritten.update_data(|expression| match name {
                Some(name) => name.restore(expression),
                None => expression,
            }))
        })?;
        rewritten.data.recompute_schema()
    }

    fn written_out(&self, expression: Expr) -> Result<Transformed<Expr>> {
        let (form, similar) = (
            endpoint::Predict::of(&expression),
            is_similarity(&expression),
        );
        let function = match expression {
            Expr::ScalarFunction(function) if similar || form.is_some() => function,
            other => return Ok(Transformed::no(other)),
        };
        let Some(form) = form else {
            let Some(embed) = &self.rule.embed else {
                return plan_err!("similarity() needs embed(), which is not there");
            };
            let embedding = |text: Expr| {
                Expr::ScalarFunction(ScalarFunction::new_udf(embed.clone(), vec![text]))
            };
            let vectors = function.args.into_iter().map(embedding).collect();
            let cosine = ScalarFunction::new_udf(Cosine::udf(), vectors);
            return Ok(Transformed::yes(Expr::ScalarFunction(cosine)));
        };
        let Some([plain, tried]) = &self.rule.predict else {
            return plan_err!("predict() needs hosted models, which are not there");
        };
        let model = match form {
            Form::Plain => plain,
            Form::Try => tried,
        };
        endpoint::Predict::rewritten(model.clone(), function.args).map(Transformed::yes)
    }

    /// A node with one input, whose calls go below it. It hands on the columns of its input, or names its own.
    fn with_input(&mut self, plan: LogicalPlan, hands_on: bool, named: bool) -> Result<Wide> {
        let inputs = plan.inputs();
        let [input] = inputs[..] else {
            return internal_err!("a node with one input has {}", inputs.len());
        };
        let input = self.wide(input.clone())?;
        let names = named.then(|| NamePreserver::new(&plan));
        let (expressions, input) = self.asked(plan.expressions(), input, names.as_ref())?;
        let Wide { plan: input, known } = input;
        let plan = plan.with_new_exprs(expressions, vec![input])?;
        let known = if hands_on { known } else { Vec::new() };
        Ok(Wide {
            // Only then has it other columns than before.
            plan: match known.is_empty() {
                true => plan,
                false => plan.recompute_schema()?,
            },
            known,
        })
    }

    /// `DISTINCT ON`, whose rows are what it selects.
    fn distinct_on(&mut self, distinct: DistinctOn) -> Result<Wide> {
        let input = self.wide(Arc::unwrap_or_clone(distinct.input))?;
        let names = NamePreserver::new_for_projection();
        let (on, input) = self.asked(distinct.on_expr, input, None)?;
        let (select, input) = self.asked(distinct.select_expr, input, Some(&names))?;
        let keys = distinct.sort_expr.unwrap_or_default();
        let parts = keys.iter().map(|key| key.expr.clone()).collect();
        let (parts, input) = self.asked(parts, input, None)?;
        let keys = keys.into_iter().zip(parts);
        let keys: Vec<SortExpr> = keys.map(|(key, expr)| SortExpr { expr, ..key }).collect();
        let keys = (!keys.is_empty()).then_some(keys);
        let plan = DistinctOn::try_new(on, select, keys, Arc::new(input.plan))?;
        Ok(Wide {
            plan: LogicalPlan::Distinct(Distinct::On(plan)),
            known: Vec::new(),
        })
    }

    /// A filter in steps: first what needs no model, then the cheaper models.
    fn filter(&mut self, filter: Filter) -> Result<Wide> {
        let mut wide = self.wide(Arc::unwrap_or_clone(filter.input))?;
        let parts = split_conjunction_owned(filter.predicate);
        let (mut costly, cheap): (Vec<Expr>, Vec<Expr>) = parts.into_iter().partition(calls);
        // Conditions about the outer query stay above: the optimizer makes a join of them, and takes them from nowhere else.
        let (outer, cheap): (Vec<Expr>, Vec<Expr>) =
            cheap.into_iter().partition(Expr::contains_outer);
        let step = |part: Expr, plan: LogicalPlan| {
            Filter::try_new(part, Arc::new(plan)).map(LogicalPlan::Filter)
        };
        if let Some(cheap) = conjunction(cheap) {
            wide.plan = step(cheap, wide.plan)?;
        }
        costly.sort_by_key(cost);
        for part in costly {
            let (parts, below) = self.asked(vec![part], wide, None)?;
            wide = below;
            for part in parts {
                wide.plan = step(part, wide.plan)?;
            }
        }
        if let Some(outer) = conjunction(outer) {
            wide.plan = step(outer, wide.plan)?;
        }
        Ok(wide)
    }

    /// A join: a call about one side goes below it, one about both sides above.
    fn join(&mut self, join: Join) -> Result<Wide> {
        let (left_schema, right_schema) = (join.left.schema().clone(), join.right.schema().clone());
        let mut left = self.wide(Arc::unwrap_or_clone(join.left))?;
        let mut right = self.wide(Arc::unwrap_or_clone(join.right))?;
        let (mut lefts, mut rights): (Vec<Expr>, Vec<Expr>) = join.on.into_iter().unzip();
        (lefts, left) = self.asked(lefts, left, None)?;
        (rights, right) = self.asked(rights, right, None)?;
        let on: Vec<(Expr, Expr)> = lefts.into_iter().zip(rights).collect();
        let (mut below, mut above) = (Vec::new(), Vec::new());
        for part in join.filter.into_iter().flat_map(split_conjunction_owned) {
            let one_sided = |call: &Expr| within(call, &left_schema) || within(call, &right_schema);
            if !calls(&part) || outermost(&part)?.iter().all(one_sided) {
                below.push(part);
            } else if join.join_type == JoinType::Inner {
                above.push(part);
            } else {
                return plan_err!(
                    "a model about both sides of an outer join cannot be asked in its condition"
                );
            }
        }
        // Innermost first, so that a call about an answer finds it.
        loop {
            let (mut of_left, mut of_right) = (Vec::new(), Vec::new());
            for call in innermost(&below)? {
                let side = if within(&call, left.plan.schema()) {
                    &mut of_left
                } else {
                    &mut of_right
                };
                side.push(call);
            }
            if of_left.is_empty() && of_right.is_empty() {
                break;
            }
            left = self.ask(&of_left, left)?;
            right = self.ask(&of_right, right)?;
            let replaced = below.into_iter().map(|part| {
                let part = replaced(part, &left, None)?;
                replaced(part, &right, None)
            });
            below = replaced.collect::<Result<_>>()?;
        }
        let shows = |side: &Wide, shown: bool| {
            if shown {
                side.known.clone()
            } else {
                Vec::new()
            }
        };
        use JoinType::{LeftAnti, LeftMark, LeftSemi, RightAnti, RightMark, RightSemi};
        let only_left = matches!(join.join_type, LeftSemi | LeftAnti | LeftMark);
        let only_right = matches!(join.join_type, RightSemi | RightAnti | RightMark);
        let mut known = shows(&left, !only_right);
        known.extend(shows(&right, !only_left));
        let plan = LogicalPlan::Join(Join::try_new(
            Arc::new(left.plan),
            Arc::new(right.plan),
            on,
            conjunction(below),
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?);
        let mut wide = Wide { plan, known };
        for part in above {
            let (parts, below) = self.asked(vec![part], wide, None)?;
            wide = below;
            for part in parts {
                let filter = Filter::try_new(part, Arc::new(wide.plan))?;
                wide.plan = LogicalPlan::Filter(filter);
            }
        }
        Ok(wide)
    }

    /// A scan that was told to filter by a model: the filter goes above it.
    fn scan(&mut self, scan: TableScan) -> Result<Wide> {
        let columns = scan.projected_schema.columns();
        let (costly, cheap): (Vec<Expr>, Vec<Expr>) = scan.filters.into_iter().partition(calls);
        let builder =
            LogicalPlanBuilder::scan_with_filters(scan.table_name, scan.source, None, cheap)?;
        let builder = match conjunction(costly) {
            Some(predicate) => builder.filter(predicate)?,
            None => builder,
        };
        let builder = builder.project(columns.into_iter().map(Expr::Column))?;
        let builder = builder.limit(0, scan.fetch)?;
        self.wide(builder.build()?)
    }

    /// Rows that are written out: each is a selection of its own.
    fn values(&mut self, values: Values) -> Result<Wide> {
        let nothing = Arc::new(LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: true,
            schema: Arc::new(DFSchema::empty()),
        }));
        let names = values.schema.columns();
        let mut rows = Vec::with_capacity(values.values.len());
        for row in values.values {
            let named = row.into_iter().zip(&names);
            let named = named.map(|(value, column)| value.alias(column.name.clone()));
            let row = Projection::try_new(named.collect(), nothing.clone())?;
            rows.push(Arc::new(LogicalPlan::Projection(row)));
        }
        let plan = match rows.len() {
            1 => Arc::unwrap_or_clone(rows.remove(0)),
            _ => LogicalPlan::Union(Union::try_new_with_loose_types(rows)?),
        };
        self.wide(plan)
    }

    fn other(&mut self, plan: LogicalPlan) -> Result<Wide> {
        let expressions = plan.expressions();
        if let Some(call) = expressions.iter().find(|expression| calls(expression)) {
            return plan_err!("a model cannot be called here: {call}");
        }
        let plan = plan.map_children(|child| self.exactly(child).map(Transformed::yes))?;
        Ok(Wide {
            plan: plan.data,
            known: Vec::new(),
        })
    }

    /// These expressions without calls, and what they are about with the columns that they need.
    fn asked(
        &mut self,
        mut expressions: Vec<Expr>,
        mut input: Wide,
        names: Option<&NamePreserver>,
    ) -> Result<(Vec<Expr>, Wide)> {
        loop {
            let found = innermost(&expressions)?;
            if found.is_empty() {
                return Ok((expressions, input));
            }
            input = self.ask(&found, input)?;
            let without = expressions.into_iter();
            let without = without.map(|expression| replaced(expression, &input, names));
            expressions = without.collect::<Result<_>>()?;
        }
    }

    /// Adds the columns of calls that are not known yet.
    fn ask(&mut self, calls: &[Expr], mut input: Wide) -> Result<Wide> {
        let mut new: Vec<Call> = Vec::new();
        for (callable, arguments) in calls.iter().filter_map(Call::of) {
            let known = input.known(callable, arguments).is_some();
            if known || new.iter().any(|call| call.asks(callable, arguments)) {
                continue;
            }
            new.push(Call {
                model: callable.model.clone(),
                form: callable.form,
                arguments: arguments.to_vec(),
                column: format!("{COLUMN}{}", self.next),
            });
            self.next += 1;
        }
        if !new.is_empty() {
            input.known.extend(new.iter().cloned());
            input.plan = Predict::new(new, Arc::new(input.plan))?.plan();
        }
        Ok(input)
    }
}

/// What keeps the names of a node's columns, where they come from its expressions.
fn preserver(plan: &LogicalPlan) -> Option<NamePreserver> {
    (!matches!(plan, LogicalPlan::Sort(_))).then(|| NamePreserver::new(plan))
}

/// Some part of the expression is so.
fn has(expression: &Expr, is: impl Fn(&Expr) -> bool) -> bool {
    expression.exists(|part| Ok(is(part))).unwrap_or(false)
}

fn is_similarity(expression: &Expr) -> bool {
    match expression {
        Expr::ScalarFunction(function) => {
            function.func.inner().downcast_ref::<Similarity>().is_some()
        }
        _ => false,
    }
}

/// It stands for other calls.
fn is_short(expression: &Expr) -> bool {
    is_similarity(expression) || endpoint::Predict::of(expression).is_some()
}

/// There is a call of a model in it.
fn calls(expression: &Expr) -> bool {
    has(expression, |part| Call::of(part).is_some())
}

/// Microseconds of its models for a row.
fn cost(expression: &Expr) -> u64 {
    let mut sum = 0;
    // Adding up cannot fail.
    let _ = expression.apply(|part| {
        if let Some((callable, _)) = Call::of(part) {
            sum += u64::from(callable.model.function().cost);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    sum
}

/// All columns of it are among these.
fn within(expression: &Expr, schema: &DFSchema) -> bool {
    let columns = expression.column_refs();
    columns.into_iter().all(|column| schema.has_column(column))
}

/// The calls that are in no other call.
fn outermost(expression: &Expr) -> Result<Vec<Expr>> {
    let mut found = Vec::new();
    expression.apply(|part| {
        if Call::of(part).is_some() {
            found.push(part.clone());
            return Ok(TreeNodeRecursion::Jump);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The calls that have no other call in them.
///
/// # Errors
/// When one is where no column can stand for it.
fn innermost(expressions: &[Expr]) -> Result<Vec<Expr>> {
    let mut found: Vec<Expr> = Vec::new();
    for expression in expressions {
        expression.apply(|part| {
            if let Expr::Lambda(lambda) = part
                && calls(&lambda.body)
            {
                return plan_err!("a model cannot be called in a lambda function: {part}");
            }
            let Some((_, arguments)) = Call::of(part) else {
                return Ok(TreeNodeRecursion::Continue);
            };
            if arguments.iter().any(calls) {
                return Ok(TreeNodeRecursion::Continue);
            }
            if part.contains_outer() {
                return plan_err!(
                    "{part} asks about a row of the outer query inside a subquery: ask in the outer query"
                );
            }
            if !found.contains(part) {
                found.push(part.clone());
            }
            Ok(TreeNodeRecursion::Jump)
        })?;
    }
    Ok(found)
}

/// The expression with columns in the place of known calls.
fn replaced(expression: Expr, input: &Wide, names: Option<&NamePreserver>) -> Result<Expr> {
    let name = names.map(|names| names.save(&expression));
    let without = expression.transform_up(|part| {
        let known = Call::of(&part)
            .and_then(|(callable, arguments)| input.known(callable, arguments))
            .map(|call| Column::new_unqualified(&call.column));
        Ok(match known {
            Some(column) => Transformed::yes(Expr::Column(column)),
            None => Transformed::no(part),
        })
    })?;
    Ok(match name {
        Some(name) => name.restore(without.data),
        None => without.data,
    })
}
