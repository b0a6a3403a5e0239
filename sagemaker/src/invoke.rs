//! Invocations: which model of an endpoint answers, and what is said where none does.
//!
//! An invocation looks once at the table of endpoints, and waits for nothing but its model. Copies for shadows and records for
//! data capture are handed over and never waited for. What is captured is so with the answers of all that were asked: the
//! variant's and its shadow's.

use crate::capture::{Capture, Captures, Record};
use crate::endpoints::live::{Live, Set, Table, Variant};
use crate::logs::Logs;
use crate::models::{Keep, Models, Unopened};
use crate::names::now;
use crate::served::{About, Asked, Said, Served, Unanswered};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Questions without an answer whose reasons are written at a time.
const TELLING: usize = 64;

/// What a caller says beside the question.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// `TargetVariant`.
    pub target_variant: Option<String>,
    /// `TargetModel`.
    pub target_model: Option<String>,
    /// `TargetContainerHostname`.
    pub target_container: Option<String>,
    /// `InferenceComponentName`.
    pub inference_component: Option<String>,
    /// `InferenceId`.
    pub inference_id: Option<String>,
    /// `CustomAttributes`.
    pub custom_attributes: Option<String>,
    /// Asks an asynchronous endpoint too and waits for its answer, which `InvokeEndpoint` does not.
    pub waits: bool,
}

impl Invocation {
    /// What doors other than AWS's ask by one name, and how: an endpoint's, or `ENDPOINT/MODEL` of one with many models.
    /// Names of endpoints have no `/`.
    pub fn named(name: &str) -> (&str, Self) {
        let (endpoint, model) = match name.split_once('/') {
            Some((endpoint, model)) => (endpoint, Some(model.to_owned())),
            None => (name, None),
        };
        let invocation = Self {
            target_model: model,
            waits: true,
            ..Self::default()
        };
        (endpoint, invocation)
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What the model said.
    pub said: Said,
    /// `InvokedProductionVariant`.
    pub variant: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct InvokeError {
    /// AWS's code.
    pub code: &'static str,
    /// The status of HTTP.
    pub status: u16,
    /// A sentence for the caller.
    pub message: String,
    /// What the model said, where it was the model.
    pub original: Option<Original>,
}

/// What a model said instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// The status; 0 where it said nothing in time.
    pub status: u16,
    /// The sentence.
    pub message: String,
    /// Where its log is.
    pub log: String,
}

impl InvokeError {
    fn new(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            status,
            message: message.into(),
            original: None,
        }
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", 400, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new("ServiceUnavailable", 503, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new("InternalFailure", 500, message)
    }

    fn not_ready(message: impl Into<String>) -> Self {
        Self::new("ModelNotReadyException", 429, message)
    }

    /// The endpoint is not there, as AWS says it.
    pub(crate) fn absent(endpoint: &str, account: &str) -> Self {
        Self::validation(format!(
            "Endpoint {endpoint} of account {account} not found."
        ))
    }

    fn model(live: &Live, status: u16, message: &str) -> Self {
        let mut parts = live.arn.split(':').skip(3);
        let region = parts.next().unwrap_or_default();
        let account = parts.next().unwrap_or_default();
        let group = format!("/aws/sagemaker/Endpoints/{}", live.name);
        let whose = match status {
            400..500 => "client",
            _ => "server",
        };
        Self {
            code: "ModelError",
            status: 424,
            // Clients take these words apart.
            message: format!(
                "Received {whose} error ({status}) from primary with message \"{message}\". See {group} in account {account} \
                 for more information."
            ),
            original: Some(Original {
                status,
                message: message.to_owned(),
                log: format!("arn:aws:logs:{region}:{account}:log-group:{group}"),
            }),
        }
    }

    /// Whether the same may be answered a little later.
    pub fn passes(&self) -> bool {
        matches!(self.status, 429 | 503)
    }

    /// The members of the body.
    pub fn members(&self) -> Value {
        match &self.original {
            None => json!({"Message": self.message}),
            Some(original) => json!({
                "Message": self.message,
                "OriginalStatusCode": original.status,
                "OriginalMessage": original.message,
                "LogStreamArn": original.log,
            }),
        }
    }
}

/// What invocations may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a model may think.
    pub patience: Duration,
    /// How many may wait at a time until a model is open.
    pub waiting: usize,
    /// Copies for shadows at a time.
    pub shadows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // As AWS gives a container.
            patience: Duration::from_secs(60),
            waiting: 64,
            shadows: 32,
        }
    }
}

/// Asks the models of endpoints.
pub struct Invoker {
    table: Arc<Table>,
    models: Arc<Models>,
    captures: Arc<Captures>,
    limits: Limits,
    opening: Arc<Semaphore>,
    shadowing: Arc<Semaphore>,
    /// Where questions without an answer are told, and places of those that are being told.
    logs: Option<Arc<Logs>>,
    telling: Arc<Semaphore>,
    /// Copies for shadows that were left out.
    pub unshadowed: AtomicU64,
}

impl Invoker {
    /// Asks the endpoints of a table.
    pub fn new(
        table: Arc<Table>,
        models: Arc<Models>,
        captures: Captures,
        limits: Limits,
        logs: Option<Arc<Logs>>,
    ) -> Self {
        Self {
            logs,
            telling: Arc::new(Semaphore::new(TELLING)),
            table,
            models,
            captures: Arc::new(captures),
            opening: Arc::new(Semaphore::new(limits.waiting)),
            shadowing: Arc::new(Semaphore::new(limits.shadows)),
            limits,
            unshadowed: AtomicU64::new(0),
        }
    }

    /// Writes what was captured, and captures nothing more.
    pub fn end(&self) {
        self.captures.end();
    }

    /// Records of data capture that were written, and that were left out.
    pub fn captured(&self) -> (u64, u64) {
        self.captures.counts()
    }

    /// The endpoint of a name.
    ///
    /// # Errors
    /// There is none, or it does not answer yet.
    pub fn live(&self, account: &str, endpoint: &str) -> Result<Arc<Live>, InvokeError> {
        found(self.table.get(endpoint), account, endpoint)
    }

    /// Asks an endpoint.
    ///
    /// # Errors
    /// [`InvokeError`].
    pub async fn invoke(
        &self,
        account: &str,
        endpoint: &str,
        asked: Asked,
        invocation: &Invocation,
    ) -> Result<Answered, InvokeError> {
        // After a start it is in service before its models are open again.
        let opened = self.table.opened(endpoint, self.limits.patience).await;
        let live = found(opened, account, endpoint)?;
        if live.current.asynchronous.is_some() && !invocation.waits {
            return Err(InvokeError::validation(format!(
                "Endpoint {endpoint} of account {account} is asynchronous: InvokeEndpointAsync asks it."
            )));
        }
        // As AWS, which waits a minute for an answer and eight for one that comes in parts.
        let patience = match asked.parts {
            Some(_) => self.limits.patience.saturating_mul(8),
            None => self.limits.patience,
        };
        self.ask(&live, asked, invocation, patience).await
    }

    /// What the model of an endpoint is asked about, as [`Hosting::about`](crate::hosting::Hosting::about) says.
    ///
    /// # Errors
    /// [`InvokeError`].
    pub async fn about(
        &self,
        account: &str,
        endpoint: &str,
        invocation: &Invocation,
    ) -> Result<About, InvokeError> {
        let opened = self.table.opened(endpoint, self.limits.patience).await;
        let live = found(opened, account, endpoint)?;
        let (_, variant) = route(&live, invocation)?;
        match (variant.model.many, invocation.target_model.as_deref()) {
            (true, None) => Ok(About::default()),
            (_, target) => Ok(self.served(&live, variant, target).await?.about()),
        }
    }

    /// Asks an endpoint that was found.
    ///
    /// # Errors
    /// [`InvokeError`].
    pub async fn ask(
        &self,
        live: &Live,
        asked: Asked,
        invocation: &Invocation,
        patience: Duration,
    ) -> Result<Answered, InvokeError> {
        for (given, what) in [
            (&invocation.target_container, "TargetContainerHostname"),
            (&invocation.inference_component, "InferenceComponentName"),
        ] {
            if given.is_some() {
                return Err(InvokeError::validation(format!(
                    "{what} is not accepted: the models of endpoints here have one container and no inference components."
                )));
            }
        }
        let (set, variant) = route(live, invocation)?;
        if let Some(parts) = &asked.parts {
            parts.head().variant.get_or_init(|| variant.name.clone());
        }
        let began = Instant::now();
        let _turn = turn(variant)?;
        let served = self
            .served(live, variant, invocation.target_model.as_deref())
            .await?;
        let capture = set.capture.as_ref();
        let capture = capture.filter(|capture| capture.samples(rand::random()));
        let sampled = capture.map(|capture| Sampled {
            captures: Arc::clone(&self.captures),
            capture: Arc::clone(capture),
            endpoint: live.name.clone(),
            asked: unheard(&asked),
            inference_id: invocation.inference_id.clone(),
            custom_attributes: invocation.custom_attributes.clone(),
        });
        self.shadow(set, variant, &asked, sampled.as_ref());
        let answer = answer(&*served, asked, patience).await;
        let took = began.elapsed();
        let error = answer.is_err();
        set.measure.count_one(took, error);
        variant.counts.count_one(took, error);
        if let Some(sampled) = sampled {
            sampled.put(&variant.name, &answer);
        }
        match answer {
            Ok(said) => Ok(Answered {
                said,
                variant: variant.name.clone(),
            }),
            // What has too much to do is not wrong, and may be asked again.
            Err(why) if why.status == 503 => Err(InvokeError::unavailable(why.message)),
            Err(why) => {
                self.tell(live, variant, &why);
                Err(InvokeError::model(live, why.status, &why.message))
            }
        }
    }

    /// Tells the endpoint's log why a question has no answer; nobody waits for it, and of very many some are left out.
    fn tell(&self, live: &Live, variant: &Variant, why: &Unanswered) {
        let Some(logs) = self.logs.clone() else {
            return;
        };
        let Ok(place) = Arc::clone(&self.telling).try_acquire_owned() else {
            return;
        };
        let (endpoint, variant) = (live.name.clone(), variant.name.clone());
        let line = match why.status {
            0 => why.message.clone(),
            status => format!("{status}: {}", why.message),
        };
        tokio::task::spawn_blocking(move || {
            let _place = place;
            logs.say_of_variant(&endpoint, &variant, &line);
        });
    }

    /// The model that answers.
    async fn served(
        &self,
        live: &Live,
        variant: &Variant,
        target: Option<&str>,
    ) -> Result<Arc<dyn Served>, InvokeError> {
        let model = &variant.model;
        match (model.many, target) {
            (true, None) => {
                return Err(InvokeError::validation(format!(
                    "The endpoint {} is a multi-model endpoint: TargetModel says which of its models answers.",
                    live.name
                )));
            }
            (false, Some(_)) => {
                return Err(InvokeError::validation(format!(
                    "The endpoint {} has one model: leave TargetModel out.",
                    live.name
                )));
            }
            _ => {}
        }
        if let Some(served) = &variant.served {
            return Ok(Arc::clone(served));
        }
        if let Some(served) = self.models.opened(model, target) {
            return Ok(served);
        }
        let not_ready = |why: &str| InvokeError::not_ready(format!("{why} Wait and ask again."));
        let place = Arc::clone(&self.opening).try_acquire_owned();
        let place = place.map_err(|_| not_ready("Many models are being opened."))?;
        let models = Arc::clone(&self.models);
        let model = model.clone();
        let target = target.map(str::to_owned);
        let opening = tokio::task::spawn_blocking(move || {
            let _place = place;
            let keep = match model.many {
                true => Keep::Room,
                false => Keep::Idle,
            };
            models.open_as(&model, target.as_deref(), keep)
        });
        // Whoever gives up leaves it being opened for the next one.
        match tokio::time::timeout(self.limits.patience, opening).await {
            Err(_) => Err(not_ready("The model is being opened.")),
            Ok(Err(error)) => Err(InvokeError::internal(error.to_string())),
            Ok(Ok(Ok(served))) => Ok(served),
            Ok(Ok(Err(Unopened::Absent(why)))) => Err(InvokeError::validation(why)),
            Ok(Ok(Err(Unopened::Full(why)))) => Err(InvokeError::unavailable(why)),
            Ok(Ok(Err(Unopened::Failed(why)))) => Err(InvokeError::model(live, 500, &why)),
        }
    }

    /// Hands copies over to shadows. Nobody waits for their answers, which are captured where the variant's is.
    fn shadow(&self, set: &Arc<Set>, variant: &Variant, asked: &Asked, sampled: Option<&Sampled>) {
        for shadow in &set.shadows {
            // A shadow's weight is its share of the traffic of the variant that it is beside.
            if rand::random::<f64>() * variant.weight >= shadow.weight {
                continue;
            }
            let Some(served) = shadow.served.clone() else {
                continue;
            };
            let Ok(place) = Arc::clone(&self.shadowing).try_acquire_owned() else {
                self.unshadowed.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let (asked, sampled) = (unheard(asked), sampled.cloned());
            let shadow = Arc::clone(shadow);
            let patience = self.limits.patience;
            tokio::spawn(async move {
                let _place = place;
                let began = Instant::now();
                let answer = answer(&*served, asked, patience).await;
                shadow.counts.count_one(began.elapsed(), answer.is_err());
                if let Some(sampled) = sampled {
                    sampled.put(&shadow.name, &answer);
                }
            });
        }
    }
}

/// A question that is captured, with every answer to it.
#[derive(Clone)]
struct Sampled {
    captures: Arc<Captures>,
    capture: Arc<Capture>,
    endpoint: String,
    asked: Asked,
    inference_id: Option<String>,
    custom_attributes: Option<String>,
}

impl Sampled {
    /// Hands over what a variant said.
    fn put(self, variant: &str, answer: &Result<Said, Unanswered>) {
        let said = match answer {
            Ok(said) => (said.content_type.clone(), said.body.clone()),
            Err(why) => ("text/plain".to_owned(), why.message.clone().into()),
        };
        self.captures.put(Record {
            capture: self.capture,
            endpoint: self.endpoint,
            variant: variant.to_owned(),
            asked: self.asked,
            said,
            inference_id: self.inference_id,
            custom_attributes: self.custom_attributes,
            when: now(),
        });
    }
}

/// A question to whose parts nobody listens: whoever does has heard all when the model ends, not when a shadow has answered or
/// it is written down.
fn unheard(asked: &Asked) -> Asked {
    Asked {
        parts: None,
        ..asked.clone()
    }
}

/// What a model says within a time.
async fn answer(served: &dyn Served, asked: Asked, patience: Duration) -> Result<Said, Unanswered> {
    let answer = tokio::time::timeout(patience, served.invoke(asked)).await;
    answer.unwrap_or_else(|_| {
        Err(Unanswered {
            status: 0,
            message:
                "Your invocation timed out while waiting for a response from container primary."
                    .to_owned(),
        })
    })
}

/// The models that answer, and the one of them.
fn route<'a>(
    live: &'a Live,
    invocation: &Invocation,
) -> Result<(&'a Arc<Set>, &'a Arc<Variant>), InvokeError> {
    let set = live.side(rand::random());
    match &invocation.target_variant {
        None => match set.pick(rand::random()) {
            Some(variant) => Ok((set, variant)),
            None => Err(InvokeError::validation(format!(
                "No variant of the endpoint {} has a weight above zero.",
                live.name
            ))),
        },
        Some(name) => {
            let sides = std::iter::once(set).chain(live.other(set));
            let mut found = sides.filter_map(|set| Some((set, set.find(name)?)));
            found.next().ok_or_else(|| {
                InvokeError::validation(format!(
                    "Variant {name} not found for Request Target Variant of the endpoint {}.",
                    live.name
                ))
            })
        }
    }
}

/// A turn of a serverless variant, which does so much at a time.
fn turn(variant: &Variant) -> Result<Option<OwnedSemaphorePermit>, InvokeError> {
    let Some(free) = &variant.free else {
        return Ok(None);
    };
    match Arc::clone(free).try_acquire_owned() {
        Ok(turn) => Ok(Some(turn)),
        Err(_) => Err(InvokeError::new(
            "ThrottlingException",
            429,
            "Rate exceeded: the variant answers as many questions as its MaxConcurrency allows.",
        )),
    }
}

/// An endpoint of the table.
fn found(
    of_table: Option<Option<Arc<Live>>>,
    account: &str,
    endpoint: &str,
) -> Result<Arc<Live>, InvokeError> {
    match of_table {
        None => Err(InvokeError::absent(endpoint, account)),
        Some(None) => Err(InvokeError::unavailable(format!(
            "The models of the endpoint {endpoint} are being opened; ask again in a moment."
        ))),
        Some(Some(live)) => Ok(live),
    }
}
