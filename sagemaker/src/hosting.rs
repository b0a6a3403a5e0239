//! Hosting, all together: models, endpoints, invocations.

use crate::asynchronous::{Accepted, Later, Queue};
use crate::capture::Captures;
use crate::endpoints::Endpoints;
use crate::endpoints::deploy::{Deployer, Reached};
use crate::endpoints::live::Table;
use crate::invoke::{self, Answered, Invocation, InvokeError, Invoker};
use crate::logs::Logs;
use crate::models::{self, Models};
use crate::refusal::Result;
use crate::served::{About, Asked, Opener};
use crate::store::Store;
use crate::{Caller, tags};
use escala_objects::WritableStore;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::Handle;

/// What hosting may take.
#[derive(Clone)]
pub struct Options {
    /// Models.
    pub models: models::Options,
    /// Invocations.
    pub limits: invoke::Limits,
    /// How long a serverless model stays open where nobody asks.
    pub idle: Duration,
    /// How long captured data wait at most until they are written.
    pub capture: Duration,
    /// Bytes of the largest question that is answered later.
    pub largest: u64,
    /// Where endpoints say what becomes of them; nowhere where there is none.
    pub logs: Option<Arc<Logs>>,
    /// Told what is reached, by tests that end the work there.
    pub reached: Option<Reached>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            models: models::Options::default(),
            limits: invoke::Limits::default(),
            idle: Duration::from_secs(300),
            capture: Duration::from_secs(5),
            largest: 256 << 20,
            logs: None,
            reached: None,
        }
    }
}

/// What there is to be counted; for metrics.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By endpoint and variant.
    pub variants: Vec<VariantCounts>,
    /// Models asked for and open already.
    pub model_hits: u64,
    /// Models opened.
    pub model_loads: u64,
    /// Models that could not be opened.
    pub model_failures: u64,
    /// Models closed to make room, or because nobody asked.
    pub model_evictions: u64,
    /// Models that are open.
    pub models_open: u64,
    /// Bytes of memory that they hold.
    pub model_bytes: u64,
    /// Records of data capture that were written.
    pub captured: u64,
    /// Records of data capture that were left out.
    pub uncaptured: u64,
    /// Copies for shadows that were left out.
    pub unshadowed: u64,
    /// Asynchronous questions that wait or are being answered.
    pub later_waiting: u64,
    /// Asynchronous questions that were answered.
    pub later_done: u64,
    /// Asynchronous questions that failed.
    pub later_failed: u64,
}

/// What a variant did since the server began.
#[derive(Clone, Debug)]
pub struct VariantCounts {
    /// The endpoint.
    pub endpoint: String,
    /// The variant.
    pub variant: String,
    /// Questions.
    pub invocations: u64,
    /// Those that its model refused or failed on.
    pub errors: u64,
    /// How long all took together.
    pub took: Duration,
}

/// Models and endpoints.
///
/// Dropping it ends its threads: what they were doing is put down where the next one takes it up. It waits for models that are
/// being opened and for captured data to be written, so it is dropped where that may be waited for.
pub struct Hosting {
    // In the order in which they end: who begins work before who does it.
    deployer: Deployer,
    queue: Arc<Queue>,
    invoker: Ended,
    endpoints: Endpoints,
    models: Arc<Models>,
    store: Arc<Store>,
    table: Arc<Table>,
}

/// Writes what was captured when it goes, whoever else still holds the invoker.
struct Ended(Arc<Invoker>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Hosting {
    /// The models and endpoints of a store. `folder` is this hosting's own, for unpacked models and for questions that wait;
    /// `runtime` is where questions are answered.
    ///
    /// # Errors
    /// The folder or the store cannot be used, or there are no threads.
    pub fn open(
        store: Arc<Store>,
        objects: Arc<dyn WritableStore>,
        folder: PathBuf,
        openers: Vec<Arc<dyn Opener>>,
        options: Options,
        runtime: Handle,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let table = Arc::new(Table::default());
        let models = Arc::new(Models::new(
            Arc::clone(&store),
            Arc::clone(&objects),
            openers,
            folder.join("models"),
            options.models,
        )?);
        let captures = Captures::start(Arc::clone(&objects), options.capture)?;
        let invoker = Arc::new(Invoker::new(
            Arc::clone(&table),
            Arc::clone(&models),
            captures,
            options.limits,
            options.logs.clone(),
        ));
        let queue = Arc::new(Queue::start(
            &folder,
            Arc::clone(&invoker),
            objects,
            runtime,
            options.largest,
        )?);
        let deployer = Deployer::start(
            Arc::clone(&store),
            Arc::clone(&models),
            Arc::clone(&table),
            options.idle,
            options.logs,
            options.reached,
            Box::new(queue.forget()),
        )?;
        Ok(Self {
            deployer,
            queue,
            invoker: Ended(invoker),
            endpoints: Endpoints::new(Arc::clone(&store), Arc::clone(&models), Arc::clone(&table)),
            models,
            store,
            table,
        })
    }

    /// The operations on models, endpoint configurations, endpoints and tags; none of the others. Waits for the disk.
    pub fn call(&self, caller: &Caller, operation: &str, input: &Value) -> Option<Result<Value>> {
        if let Some(said) = self.models.call(caller, operation, input) {
            return Some(said);
        }
        if let Some(said) = self.endpoints.call(caller, operation, input) {
            if !operation.starts_with("Describe") && !operation.starts_with("List") {
                self.deployer.wake();
            }
            return Some(said);
        }
        tags::call(&self.store, operation, input)
    }

    /// The models, for whoever else opens them.
    pub fn models(&self) -> &Arc<Models> {
        &self.models
    }

    /// `InvokeEndpoint`.
    ///
    /// # Errors
    /// [`InvokeError`].
    pub async fn invoke(
        &self,
        caller: &Caller,
        endpoint: &str,
        asked: Asked,
        invocation: &Invocation,
    ) -> std::result::Result<Answered, InvokeError> {
        let account = &caller.account;
        self.invoker
            .0
            .invoke(account, endpoint, asked, invocation)
            .await
    }

    /// What the model of an endpoint is asked about; it is opened for that. Of one with many models of which none is named,
    /// rows of numbers.
    ///
    /// # Errors
    /// There is no such endpoint, it does not answer, or its model cannot be opened.
    pub async fn about(
        &self,
        caller: &Caller,
        endpoint: &str,
        invocation: &Invocation,
    ) -> std::result::Result<About, InvokeError> {
        let account = &caller.account;
        self.invoker.0.about(account, endpoint, invocation).await
    }

    /// `InvokeEndpointAsync`.
    ///
    /// # Errors
    /// [`InvokeError`].
    pub async fn invoke_async(
        &self,
        caller: &Caller,
        endpoint: &str,
        later: Later,
    ) -> std::result::Result<Accepted, InvokeError> {
        let queue = Arc::clone(&self.queue);
        let (account, endpoint) = (caller.account.clone(), endpoint.to_owned());
        let put = tokio::task::spawn_blocking(move || queue.put(&account, &endpoint, later));
        match put.await {
            Ok(said) => said,
            Err(error) => Err(InvokeError::internal(error.to_string())),
        }
    }

    /// What was done so far. Waits for the disk.
    pub fn counts(&self) -> Counts {
        let mut variants = Vec::new();
        for live in self.table.all() {
            let next = live.next.iter().map(|(set, _)| set);
            let sets = std::iter::once(&live.current).chain(next);
            for variant in sets.flat_map(|set| set.variants.iter().chain(&set.shadows)) {
                let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
                variants.push(VariantCounts {
                    endpoint: live.name.clone(),
                    variant: variant.name.clone(),
                    invocations: count(&variant.counts.invocations),
                    errors: count(&variant.counts.errors),
                    took: Duration::from_micros(count(&variant.counts.micros)),
                });
            }
        }
        variants.sort_by(|a, b| (&a.endpoint, &a.variant).cmp(&(&b.endpoint, &b.variant)));
        // While an endpoint is updated, a variant is in both sets with the same counts.
        variants.dedup_by(|a, b| a.endpoint == b.endpoint && a.variant == b.variant);
        let (model_bytes, models_open) = self.models.held();
        let (captured, uncaptured) = self.invoker.0.captured();
        let (later_done, later_failed) = self.queue.counts();
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            variants,
            model_hits: count(&self.models.counts.hits),
            model_loads: count(&self.models.counts.loads),
            model_failures: count(&self.models.counts.failures),
            model_evictions: count(&self.models.counts.evictions),
            models_open: models_open as u64,
            model_bytes,
            captured,
            uncaptured,
            unshadowed: count(&self.invoker.0.unshadowed),
            later_waiting: self.queue.waiting(),
            later_done,
            later_failed,
        }
    }
}

#[cfg(test)]
mod tests;
