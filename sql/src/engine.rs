//! A query from its text to its rows.

use crate::answered::Answered;
use crate::bad;
use crate::chains;
use crate::endpoint::{PREDICT, Predict};
use crate::files::{Files, endings};
use crate::functions::{Callable, Cosine, Form, Similarity};
use crate::growing;
use crate::images::Images;
use crate::json::JsonValue;
use crate::model::Model;
use crate::places::{Places, Stores};
use crate::placing::Placing;
use crate::predict::exec::{Planner, PredictExec};
use crate::predict::hoist::Hoist;
use crate::predict::settle::Settle;
use crate::score::rows::Wrong;
use crate::sources::{Opener, Sources};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::DynamicFileCatalog;
pub use datafusion::common::DataFusionError;
use datafusion::common::config::{
    ConfigEntry, ConfigExtension, ConfigField, ConfigOptions, ExtensionOptions,
};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, config_field, plan_err};
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::DFParser;
pub use datafusion::sql::parser::Statement;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Rows that operators hand on at once: few, so that a query that is content with some stops early.
pub(crate) const BATCH: usize = 256;

/// What becomes of a row that a model cannot answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// Its answer is null.
    #[default]
    Null,
    /// The query ends.
    Error,
}

/// The value of a setting that there is not.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not `null` or `error`")]
pub struct Unknown(String);

impl FromStr for OnError {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        match text {
            "null" => Ok(Self::Null),
            "error" => Ok(Self::Error),
            _ => Err(Unknown(text.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for OnError {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Self::Null => "null",
            Self::Error => "error",
        })
    }
}

config_field!(OnError);

/// What becomes of a row of CSV or a line of JSON that is none: too few or too many values, or one that its column cannot have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BadRows {
    /// The query ends.
    #[default]
    Error,
    /// It is left out and counted.
    Skip,
}

/// The value of that setting that there is not.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not `error` or `skip`")]
pub struct UnknownBadRows(String);

impl FromStr for BadRows {
    type Err = UnknownBadRows;

    fn from_str(text: &str) -> Result<Self, UnknownBadRows> {
        match text {
            "error" => Ok(Self::Error),
            "skip" => Ok(Self::Skip),
            _ => Err(UnknownBadRows(text.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for BadRows {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Self::Error => "error",
            Self::Skip => "skip",
        })
    }
}

config_field!(BadRows);

/// The settings of a session that are ours: `SET escala.… = …`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What becomes of a row that a model cannot answer: `null` or `error`.
    pub on_error: OnError,
    /// What becomes of rows of text files that are none: `error` or `skip`.
    pub bad_rows: BadRows,
    /// Most bytes of answers that a query keeps, so that it asks once about each distinct input.
    pub memory: usize,
    /// Pieces of rows that are asked about at the same time, for each partition.
    pub pieces: usize,
    /// Counts the rows that a statement leaves out.
    pub(crate) left_out: Arc<Wrong>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on_error: OnError::Null,
            bad_rows: BadRows::Error,
            memory: 64 << 20,
            pieces: pieces(),
            left_out: Arc::default(),
        }
    }
}

impl ExtensionOptions for Settings {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "on_error" => self.on_error.set(key, value),
            "bad_rows" => self.bad_rows.set(key, value),
            "memory" => self.memory.set(key, value),
            "pieces" => self.pieces.set(key, value),
            _ => plan_err!("there is no setting `{}.{key}`", Self::PREFIX),
        }
    }

    /// With their whole names, by which `SHOW` finds them.
    fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |name: &str, value: String, description| ConfigEntry {
            key: format!("{}.{name}", Self::PREFIX),
            value: Some(value),
            description,
        };
        vec![
            entry(
                "on_error",
                self.on_error.to_string(),
                "what becomes of a row that a model cannot answer: null or error",
            ),
            entry(
                "bad_rows",
                self.bad_rows.to_string(),
                "what becomes of a row of CSV or JSON that is none: error or skip",
            ),
            entry(
                "memory",
                self.memory.to_string(),
                "most bytes of answers that a query keeps",
            ),
            entry(
                "pieces",
                self.pieces.to_string(),
                "pieces of rows that are asked about at the same time, for each partition",
            ),
        ]
    }
}

impl ConfigExtension for Settings {
    const PREFIX: &'static str = "escala";
}

impl Settings {
    /// Those of a session.
    pub(crate) fn of(options: &ConfigOptions) -> Self {
        options
            .extensions
            .get::<Self>()
            .cloned()
            .unwrap_or_default()
    }
}

/// One is worked on while the next ones wait; large machines work on several.
fn pieces() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    2 + cores / 4
}

/// What queries may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Anything, as a user of the machine.
    All,
    /// Read.
    Read,
}

/// How much the operators of all queries of an engine may take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes of memory, before they sort and group on the disk.
    pub memory: usize,
    /// Bytes of the disk, in the system's folder for temporary files. A query that needs more ends.
    pub spill: u64,
}

/// What queries are made with.
pub struct Engine {
    models: Vec<Arc<dyn Model>>,
    rights: Rights,
    places: Arc<Places>,
    sources: Vec<Arc<dyn Sources>>,
    runtime: Arc<RuntimeEnv>,
}

impl Engine {
    /// An engine whose queries may call these models and name what is in these places, and whose operators have so much room.
    ///
    /// # Errors
    /// When the disk cannot be used.
    pub fn new(
        models: Vec<Arc<dyn Model>>,
        places: Places,
        rights: Rights,
        room: Room,
    ) -> Result<Self> {
        let places = Arc::new(places);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(room.memory)))
            .with_max_temp_directory_size(room.spill)
            .with_object_store_registry(Arc::new(Stores::new(places.clone())))
            .build_arc()?;
        Ok(Self {
            models,
            rights,
            places,
            sources: Vec::new(),
            runtime,
        })
    }

    /// Adds tables that are no files.
    pub fn with_sources(mut self, sources: impl IntoIterator<Item = Arc<dyn Sources>>) -> Self {
        self.sources.extend(sources);
        self
    }

    /// A session of its own: settings, and tables that it creates.
    ///
    /// # Errors
    /// When a model cannot be a function.
    pub fn session(&self) -> Result<Session> {
        let config = SessionConfig::new()
            .with_batch_size(BATCH)
            .with_information_schema(true)
            .with_option_extension(Settings::default())
            .set_str("datafusion.explain.format", "indent");
        let function = |form: Form| {
            move |model: &Arc<dyn Model>| {
                Arc::new(ScalarUDF::from(Callable::new(model.clone(), form)))
            }
        };
        // What asks endpoints is called by what stands for it.
        let hosted = |model: &&Arc<dyn Model>| model.function().name == PREDICT.name;
        let predict = self.models.iter().find(hosted);
        let models = self.models.iter().filter(|model| !hosted(model));
        let mut functions: Vec<Arc<ScalarUDF>> =
            models.clone().map(function(Form::Plain)).collect();
        let embed = functions.iter().find(|function| function.name() == "embed");
        let hoist = Hoist {
            embed: embed.cloned(),
            predict: predict
                .map(|model| [Form::Plain, Form::Try].map(|form| function(form)(model))),
        };
        functions.extend(models.map(function(Form::Try)));
        functions.push(Arc::new(ScalarUDF::from(Similarity::new())));
        functions.push(Cosine::udf());
        functions.push(Arc::new(ScalarUDF::from(JsonValue::new())));
        for form in [Form::Plain, Form::Try] {
            functions.push(Arc::new(ScalarUDF::from(Predict::new(form))));
        }
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(self.runtime.clone())
            .with_default_features()
            .with_query_planner(Arc::new(Planner))
            .with_analyzer_rule(Arc::new(hoist))
            .with_optimizer_rule(Arc::new(Settle))
            .build();
        let files = Arc::new(Files::new(self.places.clone()));
        let catalogs = state.catalog_list().clone();
        let catalogs = DynamicFileCatalog::new(catalogs, files.clone());
        let state = SessionStateBuilder::new_from_existing(state)
            .with_catalog_list(Arc::new(catalogs))
            .build();
        let mut state = state;
        for factory in endings() {
            state.register_file_format(factory, true)?;
        }
        let context = SessionContext::new_with_state(state);
        files.of(context.state_weak_ref());
        growing::bound(&context)?;
        for function in functions {
            context.register_udf(function.as_ref().clone());
        }
        context.register_udtf("images", Arc::new(Images::new(self.places.clone())));
        for sources in &self.sources {
            context.register_udtf(sources.name(), Arc::new(Opener(sources.clone())));
        }
        Ok(Session {
            context,
            rights: self.rights,
            places: self.places.clone(),
        })
    }
}

/// The statements of a text, separated by `;`.
///
/// # Errors
/// Where it is no SQL, or [too deep](chains::MOST).
pub fn statements(text: &str) -> Result<VecDeque<Statement>> {
    chains::check(text)?;
    DFParser::parse_sql(text)
}

/// Queries that share settings and tables.
pub struct Session {
    context: SessionContext,
    rights: Rights,
    places: Arc<Places>,
}

impl Session {
    /// Changes a setting, as `SET` does.
    ///
    /// # Errors
    /// When there is no such setting or value.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        let state = self.context.state_ref();
        let mut state = state.write();
        state.config_mut().options_mut().set(name, value)
    }

    /// Plans the only statement of a text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn query(&self, text: &str) -> Result<Query> {
        let mut statements = statements(text)?;
        match (statements.pop_front(), statements.is_empty()) {
            (Some(statement), true) => self.plan(statement).await,
            (None, _) => plan_err!("there is no statement"),
            _ => plan_err!("there is more than one statement"),
        }
    }

    /// Plans a statement. Those that have no rows (`CREATE`, `SET`) are carried out by this.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn plan(&self, mut statement: Statement) -> Result<Query> {
        let placing = match self.rights {
            Rights::All => Placing::aside(&mut statement)?,
            Rights::Read => None,
        };
        self.count_apart();
        let plan = self.context.state().statement_to_plan(statement).await?;
        if self.rights == Rights::Read {
            let only_read = SQLOptions::new()
                .with_allow_ddl(false)
                .with_allow_dml(false)
                .with_allow_statements(false);
            only_read.verify_plan(&plan)?;
        }
        let frame = self.context.execute_logical_plan(plan).await?;
        let mut query = self.of(frame.logical_plan().clone()).await?;
        query.placing = placing.map(Arc::new);
        Ok(query)
    }

    /// What is left out from here on is counted by itself.
    fn count_apart(&self) {
        let state = self.context.state_ref();
        let mut state = state.write();
        let options = state.config_mut().options_mut();
        if let Some(settings) = options.extensions.get_mut::<Settings>() {
            settings.left_out = Arc::default();
        }
    }

    /// Plans what was put together without SQL.
    pub(crate) async fn of(&self, plan: LogicalPlan) -> Result<Query> {
        let state = self.context.state();
        let settings = Settings::of(state.config_options());
        Ok(Query {
            plan: state.create_physical_plan(&plan).await?,
            context: self.context.task_ctx(),
            wrong: None,
            left_out: settings.left_out,
            placing: None,
        })
    }

    /// Plans it so that rows stay in the order in which they are read: one after the other, with as many asked about at the
    /// same time as several partitions would.
    pub(crate) async fn in_order(&self, plan: LogicalPlan) -> Result<Query> {
        let mut state = self.context.state();
        let options = state.config_mut().options_mut();
        let partitions = std::mem::replace(&mut options.execution.target_partitions, 1);
        // Somebody may want one after the other.
        if let Some(settings) = options.extensions.get_mut::<Settings>()
            && settings.pieces > 1
        {
            settings.pieces = settings.pieces.max(partitions + 1);
        }
        Ok(Query {
            plan: state.create_physical_plan(&plan).await?,
            context: state.task_ctx(),
            wrong: None,
            left_out: Arc::default(),
            placing: None,
        })
    }

    pub(crate) fn context(&self) -> &SessionContext {
        &self.context
    }

    pub(crate) fn places(&self) -> &Places {
        &self.places
    }
}

/// A query that is ready to run.
pub struct Query {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    /// Rows that are none.
    pub(crate) wrong: Option<Arc<Wrong>>,
    /// Rows that are none, and that it leaves out.
    left_out: Arc<Wrong>,
    /// What it writes, which comes into its place with the end of its rows.
    placing: Option<Arc<Placing>>,
}

/// How far a query is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inputs that models were asked about.
    pub asked: usize,
    /// Answers that rows lack because a model could not give them, or because the row is none.
    pub failed: usize,
    /// Of these, rows that are left out because they are none.
    pub left_out: usize,
    /// A few reasons.
    pub examples: Vec<String>,
}

impl Query {
    /// The columns of its rows.
    pub fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    /// Runs it. Nothing is asked before the rows are, and dropping them ends it.
    ///
    /// # Errors
    /// When it cannot begin.
    pub fn rows(&self) -> Result<SendableRecordBatchStream> {
        let rows = execute_stream(self.plan.clone(), self.context.clone())?;
        let rows = bad::placed(rows, self.plan.clone(), self.context.clone());
        let Some(placing) = self.placing.clone() else {
            return Ok(rows);
        };
        let schema = rows.schema();
        let rows = stream::try_unfold((rows, placing), |(mut rows, placing)| async move {
            match rows.try_next().await? {
                Some(batch) => Ok(Some((batch, (rows, placing)))),
                None => placing.end().map(|()| None),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            schema,
            rows.boxed(),
        )))
    }

    /// All of its rows.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn collect(&self) -> Result<Vec<RecordBatch>> {
        datafusion::physical_plan::common::collect(self.rows()?).await
    }

    /// The functions of models that it calls.
    pub fn functions(&self) -> Vec<&'static str> {
        let mut functions = Vec::new();
        self.each(|predict| functions.extend(predict.functions()));
        functions.sort_unstable();
        functions.dedup();
        functions
    }

    fn each(&self, mut see: impl FnMut(&PredictExec)) {
        // Looking on cannot fail.
        let _ = self.plan.apply(|node| {
            let node = node.as_ref() as &dyn std::any::Any;
            if let Some(predict) = node.downcast_ref() {
                see(predict);
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }

    /// How far it is; may be asked while it runs.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.each(|predict| {
            let metrics = predict.metrics().unwrap_or_default();
            let sum = |name: &str| metrics.sum_by_name(name).map_or(0, |sum| sum.as_usize());
            counts.asked += sum("inputs_asked");
            counts.failed += sum("rows_failed");
            if counts.examples.is_empty() {
                counts.examples = predict.examples();
            }
        });
        if let Some(wrong) = &self.wrong {
            let (failed, examples) = wrong.counted();
            counts.failed += failed;
            counts.examples.extend(examples);
        }
        let (left_out, examples) = self.left_out.counted();
        counts.failed += left_out;
        counts.left_out = left_out;
        counts.examples.extend(examples);
        counts
    }

    /// What rows had answers so far, by the function.
    pub fn answered(&self) -> BTreeMap<&'static str, Answered> {
        let mut answered = BTreeMap::new();
        // The predictions of a plan count together.
        self.each(|predict| answered = predict.answered());
        answered
    }

    /// Tokens that encoders of texts were shown so far, and pixels of images that were decoded.
    pub fn seen(&self) -> (u64, u64) {
        let mut seen = (0, 0);
        // The predictions of a plan count together.
        self.each(|predict| seen = predict.seen());
        seen
    }

    /// Rows that were read of its tables, and inputs that models were asked about; may be asked while it runs.
    pub fn passed(&self) -> usize {
        let mut read = 0;
        // Looking on cannot fail.
        let _ = self.plan.apply(|node| {
            let metrics = node.metrics().filter(|_| node.children().is_empty());
            read += metrics
                .and_then(|metrics| metrics.output_rows())
                .unwrap_or(0);
            Ok(TreeNodeRecursion::Continue)
        });
        read + self.counts().asked
    }

    /// Its plan, a line for each operator.
    pub fn explained(&self) -> String {
        datafusion::physical_plan::displayable(self.plan.as_ref())
            .indent(false)
            .to_string()
    }
}
