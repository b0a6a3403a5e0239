//! DataFusion's functions whose answers can be far larger than what they are given: `repeat('x', 1000000000)` is a gigabyte of a
//! query of thirty bytes. Each is told what it would make of a batch of rows before it makes it, and refused where that is more
//! than [`MOST`]. What is planned as one of them without being looked up by its name, as `a || b` and `[a, b]` are, is replaced in
//! the plan.

mod made;

use crate::engine::BATCH;
use datafusion::arrow::compute::kernels::concat_elements::concat_elements_dyn;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Documentation, Expr, LogicalPlan, Operator, Projection,
    ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::analyzer::AnalyzerRule;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use made::made;
use std::collections::BTreeMap;
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
    /// All arguments, one after the other.
    Together,
    /// All arguments but the first, with the first between them.
    Between,
    /// The elements of the first argument as text, with the others between them or in their place.
    Listed,
    /// What the second argument says of the first.
    Formatted,
    /// The third argument for what the second finds in the first, and what it names of that.
    Matches,
}

impl Growth {
    /// Whether a call may become another one, which is not looked at, when a query is simplified.
    fn may_be_simplified(self) -> bool {
        !matches!(self, Self::Together | Self::Between)
    }
}

/// The functions by their names.
const FUNCTIONS: [(&str, Growth); 17] = [
    ("repeat", Growth::Times),
    ("array_repeat", Growth::Times),
    ("lpad", Growth::Characters),
    ("rpad", Growth::Characters),
    ("replace", Growth::Places),
    ("array_resize", Growth::Elements),
    ("range", Growth::Steps),
    ("generate_series", Growth::Steps),
    ("concat", Growth::Together),
    ("array_concat", Growth::Together),
    ("array_append", Growth::Together),
    ("array_prepend", Growth::Together),
    ("make_array", Growth::Together),
    ("concat_ws", Growth::Between),
    ("array_to_string", Growth::Listed),
    ("to_char", Growth::Formatted),
    ("regexp_replace", Growth::Matches),
];

/// Puts bounded functions in the place of a session's own.
///
/// # Errors
/// When it has none of such a name.
pub(crate) fn bound(context: &SessionContext) -> Result<()> {
    let mut functions = BTreeMap::new();
    for (name, growth) in FUNCTIONS {
        let inner = context.udf(name)?;
        let inner = inner.as_ref().clone();
        let bounded = ScalarUDF::from(Bounded { inner, growth });
        functions.insert(name, Arc::new(bounded.clone()));
        context.register_udf(bounded);
    }
    let copied = ScalarUDF::from(Copied(Signature::any(1, Volatility::Volatile)));
    context.add_optimizer_rule(Arc::new(Constants {
        copied: Arc::new(copied),
    }));
    let inner = ScalarUDF::from(Concatenated(Signature::any(2, Volatility::Immutable)));
    let growth = Growth::Together;
    context.add_analyzer_rule(Arc::new(Replace {
        functions,
        concatenated: Arc::new(ScalarUDF::from(Bounded { inner, growth })),
    }));
    Ok(())
}

/// The rule of the optimizer that has large constants looked at where each row of a batch would have a copy: of
/// `repeat('x', 60000000)` those of a batch are gigabytes. How many rows there are is known when they are made.
#[derive(Debug)]
struct Constants {
    copied: Arc<ScalarUDF>,
}

impl OptimizerRule for Constants {
    fn name(&self) -> &str {
        "bound_constants"
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Projection(projection) = plan else {
            return Ok(Transformed::no(plan));
        };
        if !projection.expr.iter().any(has_large) {
            return Ok(Transformed::no(LogicalPlan::Projection(projection)));
        }
        let names = NamePreserver::new_for_projection();
        let looked_at = |expression: Expr| {
            let name = names.save(&expression);
            name.restore(self.looked_at(expression))
        };
        let expressions = projection.expr.into_iter().map(looked_at).collect();
        let projection = Projection::try_new(expressions, projection.input)?;
        Ok(Transformed::yes(LogicalPlan::Projection(projection)))
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }
}

impl Constants {
    /// An expression in which large constants that may be its value are looked at.
    fn looked_at(&self, expression: Expr) -> Expr {
        match expression {
            Expr::Literal(..) if has_large(&expression) => self.copied.call(vec![expression]),
            Expr::Alias(mut alias) => {
                alias.expr = Box::new(self.looked_at(*alias.expr));
                Expr::Alias(alias)
            }
            Expr::Case(mut case) => {
                for branch in branches(&mut case) {
                    let then = std::mem::take(branch);
                    *branch = self.looked_at(then);
                }
                Expr::Case(case)
            }
            other => other,
        }
    }
}

fn branches(case: &mut Case) -> impl Iterator<Item = &mut Expr> {
    let branches = case.when_then_expr.iter_mut().map(|(_, then)| then);
    let branches = branches.chain(&mut case.else_expr);
    branches.map(|branch| &mut **branch)
}

/// Whether the value of an expression may be a constant that a full batch of rows would have too much of.
fn has_large(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(value, _) => copies(value, BATCH) > MOST,
        Expr::Alias(alias) => has_large(&alias.expr),
        Expr::Case(case) => {
            let branches = case.when_then_expr.iter().map(|(_, then)| then);
            branches
                .chain(&case.else_expr)
                .any(|branch| has_large(branch))
        }
        _ => false,
    }
}

/// The bytes of so many copies of a value.
fn copies(value: &ScalarValue, rows: usize) -> u64 {
    (value.size() as u64).saturating_mul(rows as u64)
}

/// A constant of which a batch of rows has copies. It is volatile, so that it is not replaced by its value.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Copied(Signature);

impl ScalarUDFImpl for Copied {
    fn name(&self) -> &str {
        "copied"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [kind] => Ok(kind.clone()),
            _ => plan_err!("a constant is one"),
        }
    }

    fn invoke_with_args(&self, mut arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let Some(value) = arguments.args.pop() else {
            return exec_err!("a constant is one");
        };
        if let ColumnarValue::Scalar(constant) = &value
            && copies(constant, rows) > MOST
        {
            return exec_err!(
                "a constant would make {} MiB for a batch of rows; at most {} MiB are made",
                copies(constant, rows) >> 20,
                MOST >> 20
            );
        }
        Ok(value)
    }
}

/// The rule of the analyzer that puts bounded functions in the place of others. It stands after those that settle types.
#[derive(Debug)]
struct Replace {
    functions: BTreeMap<&'static str, Arc<ScalarUDF>>,
    /// What `a || b` is, of texts and bytes.
    concatenated: Arc<ScalarUDF>,
}

impl AnalyzerRule for Replace {
    fn name(&self) -> &str {
        "bound_growth"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let replaced = plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            let node = node.map_expressions(|expression| {
                let name = names.save(&expression);
                let replaced = expression.transform_up(|one| self.replaced(one))?;
                Ok(replaced.update_data(|expression| name.restore(expression)))
            })?;
            match node.transformed {
                true => node.map_data(LogicalPlan::recompute_schema),
                false => Ok(node),
            }
        });
        Ok(replaced?.data)
    }
}

impl Replace {
    fn replaced(&self, expression: Expr) -> Result<Transformed<Expr>> {
        match expression {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::StringConcat,
                right,
            }) => {
                let arguments = vec![*left, *right];
                let call = self.concatenated.call(arguments);
                Ok(Transformed::yes(call))
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                match self.functions.get(func.name()) {
                    Some(bounded) if *bounded != func => Ok(Transformed::yes(bounded.call(args))),
                    _ => {
                        let call = ScalarFunction { func, args };
                        Ok(Transformed::no(Expr::ScalarFunction(call)))
                    }
                }
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// What the operator `||` does with texts and bytes.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenated(Signature);

impl ScalarUDFImpl for Concatenated {
    fn name(&self) -> &str {
        "||"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [left, right] = types else {
            return plan_err!("|| has two sides");
        };
        BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = |one: &ColumnarValue| matches!(one, ColumnarValue::Scalar(_));
        let once = arguments.args.iter().all(constant);
        let sides = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [left, right] = &sides[..] else {
            return exec_err!("|| has two sides");
        };
        let values = concat_elements_dyn(left, right)?;
        match once {
            true => ScalarValue::try_from_array(&values, 0).map(ColumnarValue::Scalar),
            false => Ok(ColumnarValue::Array(values)),
        }
    }
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
        match self.growth.may_be_simplified() {
            true => self.inner.simplify(arguments, with),
            false => Ok(ExprSimplifyResult::Original(arguments)),
        }
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
