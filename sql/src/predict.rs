//! Calls of models in a plan: taken out of expressions into nodes that ask once.
//!
//! [`hoist`] is a rule of the analyzer: it takes the calls of models out of every node of a plan and puts a [`Predict`]
//! below it, whose columns the node uses instead. Nodes that only pass columns on share what was asked below them, and
//! filters on anything else stay below. [`settle`] is a rule of the optimizer: it drops what nobody needs, and lets limits
//! and sorts go first. [`exec`] asks in pieces, and [`memory`] keeps what was asked: a query asks about each distinct
//! input once, wherever in its plan, as long as the answers fit the memory (`escala.memory`).

pub mod exec;
pub mod hoist;
mod memory;
pub mod settle;

use crate::functions::{Callable, Form};
use crate::model::Model;
use datafusion::arrow::datatypes::Field;
use datafusion::common::{DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What the columns of predictions begin with. Each has a number that is its own in the whole plan.
const COLUMN: &str = "__predict_";

/// A call of a model and the column that holds its answers.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) model: Arc<dyn Model>,
    pub(crate) form: Form,
    pub(crate) arguments: Vec<Expr>,
    pub(crate) column: String,
}

impl Call {
    /// The call that an expression is.
    fn of(expression: &Expr) -> Option<(&Callable, &[Expr])> {
        let Expr::ScalarFunction(function) = expression else {
            return None;
        };
        let callable = function.func.inner().downcast_ref::<Callable>()?;
        Some((callable, &function.args))
    }

    /// It asks the same.
    fn asks(&self, callable: &Callable, arguments: &[Expr]) -> bool {
        self.model.function().name == callable.model.function().name
            && self.form == callable.form
            && self.arguments == arguments
    }

    fn facts(&self) -> (&str, Form, &[Expr], &str) {
        let name = self.model.function().name;
        (name, self.form, &self.arguments, &self.column)
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.facts() == other.facts()
    }
}

impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.facts().hash(state);
    }
}

impl fmt::Display for Call {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let form = match self.form {
            Form::Plain => "",
            Form::Try => "try_",
        };
        write!(out, "{form}{}(", self.model.function().name)?;
        for (index, argument) in self.arguments.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{argument}")?;
        }
        write!(out, ") AS {}", self.column)
    }
}

/// Rows as they come, with a column more for each call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Predict {
    pub(crate) calls: Vec<Call>,
    pub(crate) input: Arc<LogicalPlan>,
    pub(crate) schema: DFSchemaRef,
}

impl Predict {
    pub(crate) fn new(calls: Vec<Call>, input: Arc<LogicalPlan>) -> Result<Self> {
        let below = input.schema();
        let mut fields: Vec<_> = below
            .iter()
            .map(|(table, field)| (table.cloned(), field.clone()))
            .collect();
        for call in &calls {
            let kind = call.form.kind((call.model.function().answers)());
            fields.push((None, Arc::new(Field::new(&call.column, kind, true))));
        }
        let schema = DFSchema::new_with_metadata(fields, below.metadata().clone())?;
        Ok(Self {
            calls,
            input,
            schema: Arc::new(schema),
        })
    }

    pub(crate) fn plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(self),
        })
    }

    /// The node that a plan is.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Self> {
        let LogicalPlan::Extension(extension) = plan else {
            return None;
        };
        extension.node.as_any().downcast_ref()
    }

    /// The expressions use none of its own columns.
    fn is_unused_by<'a>(&self, mut expressions: impl Iterator<Item = &'a Expr>) -> bool {
        expressions.all(|expression| {
            let columns = expression.column_refs();
            let own = |call: &Call| columns.iter().any(|column| column.name == call.column);
            !self.calls.iter().any(own)
        })
    }
}

impl PartialOrd for Predict {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let columns = |node: &Self| -> Vec<String> {
            node.calls.iter().map(|call| call.column.clone()).collect()
        };
        match self == other {
            true => Some(Ordering::Equal),
            // Equal is only what is the same.
            false => Some(columns(self).cmp(&columns(other))).filter(|order| order.is_ne()),
        }
    }
}

impl UserDefinedLogicalNodeCore for Predict {
    fn name(&self) -> &str {
        "Predict"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// The arguments of the calls: what the optimizer may improve. The calls themselves are not its business.
    fn expressions(&self) -> Vec<Expr> {
        let arguments = self.calls.iter().flat_map(|call| &call.arguments);
        arguments.cloned().collect()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.calls.iter().map(|call| call.column.clone()).collect()
    }

    fn fmt_for_explain(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let calls: Vec<String> = self.calls.iter().map(Call::to_string).collect();
        write!(out, "Predict: {}", calls.join(", "))
    }

    fn with_exprs_and_inputs(
        &self,
        expressions: Vec<Expr>,
        inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let mut expressions = expressions.into_iter();
        let calls = self.calls.iter().map(|call| Call {
            arguments: expressions.by_ref().take(call.arguments.len()).collect(),
            ..call.clone()
        });
        let calls = calls.collect();
        match inputs.into_iter().next() {
            Some(input) => Self::new(calls, Arc::new(input)),
            None => internal_err!("a Predict needs an input"),
        }
    }

    fn necessary_children_exprs(&self, wanted: &[usize]) -> Option<Vec<Vec<usize>>> {
        let below = self.input.schema();
        let own = below.fields().len();
        let mut needed: Vec<usize> = wanted
            .iter()
            .copied()
            .filter(|index| *index < own)
            .collect();
        for argument in self.calls.iter().flat_map(|call| &call.arguments) {
            for column in argument.column_refs() {
                needed.push(below.index_of_column(column).ok()?);
            }
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}
