//! What an endpoint is, as it is kept: which models answer with which shares, and what it is to become.

use crate::models::Definition;
use crate::refusal::{Refusal, Result};
use crate::store::Resource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An endpoint, as the store keeps it beside its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// What answers.
    pub current: Plan,
    /// Since when it answers, in milliseconds since 1970; none where it never did.
    pub deployed: Option<i64>,
    /// What it is to become.
    pub pending: Option<Pending>,
    /// `LastDeploymentConfig`.
    pub deployment: Option<Value>,
    /// `FailureReason`.
    pub failure: Option<String>,
}

/// What an endpoint is to become.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// What will answer.
    pub plan: Plan,
    /// When it was asked for, in milliseconds since 1970.
    pub since: i64,
    /// Whether only weights and counts change, and no model.
    pub weights: bool,
    /// How traffic goes over.
    pub deployment: Option<Value>,
}

/// Which models answer: an endpoint configuration as it was when it was taken up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The configuration's name.
    pub config: String,
    /// Those that share the traffic.
    pub variants: Vec<VariantPlan>,
    /// Those that get copies.
    pub shadows: Vec<VariantPlan>,
    /// `DataCaptureConfig`.
    pub capture: Option<Value>,
    /// `AsyncInferenceConfig`.
    pub asynchronous: Option<Value>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantPlan {
    /// Its name.
    pub name: String,
    /// Its model.
    pub model: Definition,
    /// Its share, in proportion to the others'.
    pub weight: f64,
    /// Instances, as they were asked for: they count in shares of a deployment and in how much is done at a time.
    pub count: u64,
    /// `ServerlessConfig`.
    pub serverless: Option<Value>,
    /// `InstanceType`.
    pub instance: Option<String>,
}

impl Endpoint {
    /// The models of all its variants, those that it is to have included.
    pub fn models(&self) -> impl Iterator<Item = &Definition> {
        let coming = self.pending.iter().map(|pending| &pending.plan);
        let plans = std::iter::once(&self.current).chain(coming);
        let variants = plans.flat_map(|plan| plan.variants.iter().chain(&plan.shadows));
        variants.map(|variant| &variant.model)
    }

    /// An endpoint that was kept.
    ///
    /// # Errors
    /// It is not as this version writes it.
    pub fn of(kept: &Resource) -> Result<Self> {
        serde_json::from_value(kept.body.clone()).map_err(|error| {
            tracing::error!(%error, endpoint = kept.name, "an endpoint that was kept is damaged");
            Refusal::new(
                crate::refusal::INTERNAL,
                "The server failed; its log says why.",
            )
        })
    }

    /// Puts it into the resource that is kept.
    pub fn keep(&self, kept: &mut Resource) {
        // A structure of texts and numbers is always JSON.
        kept.body = serde_json::to_value(self).unwrap_or_default();
    }
}

impl Plan {
    /// What a configuration says, with the models as they are now.
    ///
    /// # Errors
    /// A model is not there.
    pub fn of(config: &Resource, find: impl Fn(&str) -> Result<Resource>) -> Result<Self> {
        let variants = |member: &str| -> Result<Vec<VariantPlan>> {
            let list = config.body.get(member).and_then(Value::as_array);
            let list = list.into_iter().flatten();
            list.map(|said| VariantPlan::of(said, &find)).collect()
        };
        let member = |name: &str| config.body.get(name).cloned();
        Ok(Self {
            config: config.name.clone(),
            variants: variants("ProductionVariants")?,
            shadows: variants("ShadowProductionVariants")?,
            capture: member("DataCaptureConfig"),
            asynchronous: member("AsyncInferenceConfig"),
        })
    }

    /// Instances of all variants.
    pub fn instances(&self) -> u64 {
        self.variants.iter().map(|variant| variant.count).sum()
    }
}

impl VariantPlan {
    fn of(said: &Value, find: &impl Fn(&str) -> Result<Resource>) -> Result<Self> {
        let text = |name: &str| said.get(name)?.as_str().map(str::to_owned);
        let model = find(&text("ModelName").unwrap_or_default())?;
        let broken = || Refusal::validation(format!("The model {} has no container.", model.name));
        let count = said.get("InitialInstanceCount").and_then(Value::as_u64);
        Ok(Self {
            name: text("VariantName").unwrap_or_default(),
            weight: said
                .get("InitialVariantWeight")
                .and_then(Value::as_f64)
                .unwrap_or(1.0),
            count: count.unwrap_or(1),
            serverless: said.get("ServerlessConfig").cloned(),
            instance: text("InstanceType"),
            model: Definition::of(&model).ok_or_else(broken)?,
        })
    }

    /// How many questions a serverless variant answers at a time; none where it is not one.
    pub fn concurrency(&self) -> Option<usize> {
        let most = self.serverless.as_ref()?.get("MaxConcurrency")?.as_u64();
        Some(usize::try_from(most.unwrap_or(1)).unwrap_or(usize::MAX))
    }

    /// Whether its model stays open: that of a serverless variant without provisioned concurrency is closed where nobody asks,
    /// and of many models each is opened when it is asked for.
    pub fn stays(&self) -> bool {
        let provisioned = |config: &Value| config.get("ProvisionedConcurrency").is_some();
        !self.model.many && self.serverless.as_ref().is_none_or(provisioned)
    }
}
