//! Runs predictions: rows in pieces, several at a time, in order.
//!
//! Pieces begin small and double, so that a query that is content with a few rows asks about few. Each is a task that
//! runs by itself and ends when the query does; as many are ahead of the reader as `escala.pieces` says, and no more.

use super::Predict;
use super::memory::Memory;
use crate::answered::Answered;
use crate::engine::{OnError, Settings};
use crate::functions::{Form, tried};
use crate::model::{Model, Seen};
use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder, StructArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, exec_err, internal_err};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Rows of a stream's first piece.
const FIRST: usize = 16;
/// Faults of a plan that are kept as examples.
const EXAMPLES: usize = 5;

/// Plans predictions. All of a plan share what is known.
#[derive(Debug)]
pub struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let settings = Settings::of(session.config_options());
        let shared = Arc::new(Shared {
            memory: Memory::new(settings.memory),
            examples: Mutex::default(),
            answered: Mutex::default(),
            seen: Seen::default(),
        });
        let planner = PredictPlanner { shared };
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(planner)])
            .create_physical_plan(plan, session)
            .await
    }
}

/// What the predictions of a plan share.
#[derive(Debug)]
struct Shared {
    memory: Arc<Memory>,
    /// A few faults of rows.
    examples: Mutex<Vec<String>>,
    /// What rows had answers, by the function.
    answered: Mutex<BTreeMap<&'static str, Answered>>,
    /// What networks were shown.
    seen: Seen,
}

struct PredictPlanner {
    shared: Arc<Shared>,
}

#[async_trait]
impl ExtensionPlanner for PredictPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<Predict>() else {
            return Ok(None);
        };
        let [input] = inputs else {
            return internal_err!("a Predict needs one input");
        };
        let mut calls = Vec::with_capacity(node.calls.len());
        for call in &node.calls {
            let arguments = call.arguments.iter().map(|argument| {
                planner.create_physical_expr(argument, node.input.schema(), session, context)
            });
            calls.push(Call {
                model: call.model.clone(),
                form: call.form,
                arguments: arguments.collect::<Result<_>>()?,
                shown: call.to_string(),
            });
        }
        let schema = Arc::new(node.schema.as_arrow().clone());
        let exec = PredictExec::new(calls, input.clone(), schema, self.shared.clone())?;
        Ok(Some(Arc::new(exec)))
    }
}

#[derive(Debug, Clone)]
struct Call {
    model: Arc<dyn Model>,
    form: Form,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    shown: String,
}

/// Rows as they come, with a column more for each call.
#[derive(Debug)]
pub(crate) struct PredictExec {
    calls: Vec<Call>,
    input: Arc<dyn ExecutionPlan>,
    shared: Arc<Shared>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl PredictExec {
    fn new(
        calls: Vec<Call>,
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        shared: Arc<Shared>,
    ) -> Result<Self> {
        // The columns of the input come first, so that its orders are the same expressions here.
        let orders = input.equivalence_properties().oeq_class().iter().cloned();
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(schema, orders),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Ok(Self {
            calls,
            input,
            shared,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The functions that it calls.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &'static str> {
        self.calls.iter().map(|call| call.model.function().name)
    }

    /// A few faults of rows of the whole plan.
    pub(crate) fn examples(&self) -> Vec<String> {
        self.shared.examples.lock().clone()
    }

    /// What rows of the whole plan had answers, by the function.
    pub(crate) fn answered(&self) -> BTreeMap<&'static str, Answered> {
        self.shared.answered.lock().clone()
    }

    /// Tokens and pixels that networks were shown for the whole plan.
    pub(crate) fn seen(&self) -> (u64, u64) {
        self.shared.seen.counted()
    }
}

impl DisplayAs for PredictExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter) -> fmt::Result {
        let calls: Vec<&str> = self.calls.iter().map(|call| call.shown.as_str()).collect();
        write!(out, "PredictExec: {}", calls.join(", "))
    }
}

impl ExecutionPlan for PredictExec {
    fn name(&self) -> &str {
        "PredictExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    /// Pieces are what runs at the same time; partitions would only tear batches apart.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for argument in self.calls.iter().flat_map(|call| &call.arguments) {
            if f(argument)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.into_iter().next() else {
            return internal_err!("a Predict needs an input");
        };
        let (calls, shared) = (self.calls.clone(), self.shared.clone());
        Ok(Arc::new(Self::new(calls, input, self.schema(), shared)?))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let settings = Settings::of(context.session_config().options());
        self.shared.memory.reserve_in(context.memory_pool());
        let counter =
            |name: &'static str| MetricBuilder::new(&self.metrics).counter(name, partition);
        let work = Arc::new(Work {
            calls: self.calls.clone(),
            shared: self.shared.clone(),
            schema: self.schema(),
            on_error: settings.on_error,
            asked: counter("inputs_asked"),
            failed: counter("rows_failed"),
            baseline: BaselineMetrics::new(&self.metrics, partition),
        });
        let sizes = self.calls.iter().map(|call| call.model.function().piece);
        let most = sizes.min().unwrap_or(FIRST).max(1);
        let input = self.input.execute(partition, context)?;
        let answered = pieces(input, most)
            .map(move |piece| {
                let work = work.clone();
                let task =
                    piece.map(|piece| SpawnedTask::spawn(async move { work.answer(piece).await }));
                async move {
                    match task?.join().await {
                        Ok(answered) => answered,
                        Err(error) => exec_err!("a prediction was lost: {error}"),
                    }
                }
            })
            .buffered(settings.pieces.max(1));
        let stream = RecordBatchStreamAdapter::new(self.schema(), stop_after_error(answered));
        Ok(Box::pin(stream))
    }
}

/// A stream that ends with its first error.
fn stop_after_error<S>(stream: S) -> impl Stream<Item = Result<RecordBatch>> + Send
where
    S: Stream<Item = Result<RecordBatch>> + Send,
{
    let mut failed = false;
    stream.take_while(move |item| {
        let go_on = !failed;
        failed |= item.is_err();
        std::future::ready(go_on)
    })
}

/// The rows of a stream in pieces of at most so many, small ones first.
fn pieces(
    input: SendableRecordBatchStream,
    most: usize,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    struct Cut {
        input: SendableRecordBatchStream,
        rest: Option<RecordBatch>,
        size: usize,
        most: usize,
    }
    let cut = Cut {
        input,
        rest: None,
        size: FIRST.min(most),
        most,
    };
    stream::try_unfold(cut, |mut cut| async move {
        let batch = loop {
            match cut.rest.take() {
                Some(batch) => break batch,
                None => match cut.input.try_next().await? {
                    Some(batch) if batch.num_rows() == 0 => {}
                    Some(batch) => cut.rest = Some(batch),
                    None => return Ok(None),
                },
            }
        };
        let rows = batch.num_rows();
        // What is left over is not worth a piece of its own.
        let piece = match rows <= cut.size + cut.size / 2 && rows <= cut.most {
            true => batch,
            false => {
                cut.rest = Some(batch.slice(cut.size, rows - cut.size));
                batch.slice(0, cut.size)
            }
        };
        cut.size = (cut.size * 2).min(cut.most);
        Ok(Some((piece, cut)))
    })
}

/// What it takes to answer a piece.
struct Work {
    calls: Vec<Call>,
    shared: Arc<Shared>,
    schema: SchemaRef,
    on_error: OnError,
    /// Inputs that models were asked about.
    asked: Count,
    /// Answers that rows lack.
    failed: Count,
    baseline: BaselineMetrics,
}

impl Work {
    async fn answer(&self, piece: RecordBatch) -> Result<RecordBatch> {
        let rows = piece.num_rows();
        let mut columns = piece.columns().to_vec();
        for call in &self.calls {
            let kinds = call.model.function().arguments;
            let mut arguments: Vec<ArrayRef> = Vec::with_capacity(call.arguments.len());
            for (argument, kind) in call.arguments.iter().zip(kinds) {
                let argument = argument.evaluate(&piece)?.into_array(rows)?;
                arguments.push(cast(&argument, kind)?);
            }
            let memory = &self.shared.memory;
            let seen = &self.shared.seen;
            let answers = memory.answers(&call.model, &arguments, rows, seen).await?;
            self.asked.add(answers.asked);
            let answered = Answered::of(&arguments, &answers.faults);
            let name = call.model.function().name;
            *self.shared.answered.lock().entry(name).or_default() += answered;
            if let Some((_, fault)) = answers.faults.first() {
                self.failed.add(answers.faults.len());
                if call.form == Form::Plain && self.on_error == OnError::Error {
                    return exec_err!(
                        "{name}() has no answer for a row: {fault} (with `SET escala.on_error = 'null'` such rows are null)"
                    );
                }
                let mut examples = self.shared.examples.lock();
                if examples.len() < EXAMPLES {
                    examples.push(format!("{name}(): {fault}"));
                }
            }
            columns.push(match call.form {
                Form::Plain => answers.values,
                Form::Try => with_faults(answers.values, &answers.faults, &arguments, rows)?,
            });
        }
        self.baseline.record_output(rows);
        RecordBatch::try_new(self.schema.clone(), columns).map_err(DataFusionError::from)
    }
}

/// Answers beside the faults; null where an argument was.
fn with_faults(
    values: ArrayRef,
    faults: &[(usize, String)],
    arguments: &[ArrayRef],
    rows: usize,
) -> Result<ArrayRef> {
    let mut errors = StringBuilder::new();
    let mut faults = faults.iter().peekable();
    for row in 0..rows {
        match faults.next_if(|(at, _)| *at == row) {
            Some((_, fault)) => errors.append_value(fault),
            None => errors.append_null(),
        }
    }
    let asked = |row: usize| arguments.iter().all(|argument| argument.is_valid(row));
    let nulls = (0..rows).map(asked).collect();
    let members = tried(values.data_type().clone());
    let columns: Vec<ArrayRef> = vec![values, Arc::new(errors.finish())];
    Ok(Arc::new(StructArray::try_new(
        members,
        columns,
        Some(nulls),
    )?))
}
