//! Endpoints that answer: what an invocation looks at. It is made anew for every change and never changed in place, so that whoever
//! began with one ends with it.

use super::plan::{Plan, VariantPlan};
use super::shift::Measure;
use crate::asynchronous::Asynchronous;
use crate::capture::Capture;
use crate::models::Definition;
use crate::served::Served;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Endpoints by name; of one that will answer as soon as its models are open there is the name alone.
#[derive(Default)]
pub struct Table(RwLock<Arc<HashMap<String, Option<Arc<Live>>>>>, Notify);

impl Table {
    /// The one of a name.
    pub fn get(&self, name: &str) -> Option<Option<Arc<Live>>> {
        let table = Arc::clone(&self.0.read());
        table.get(name).cloned()
    }

    /// The one of a name, as soon as its models are open; waits for them so long at most.
    pub async fn opened(&self, name: &str, patience: Duration) -> Option<Option<Arc<Live>>> {
        let until = Instant::now() + patience;
        loop {
            // Whoever waits hears of all changes from here on.
            let changed = self.1.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            match self.get(name) {
                Some(None) if timeout_at(until, changed).await.is_ok() => {}
                found => return found,
            }
        }
    }

    /// The one of a name, where it answers.
    pub fn live(&self, name: &str) -> Option<Arc<Live>> {
        self.get(name).flatten()
    }

    /// Puts one in the place of another.
    pub fn put(&self, name: &str, live: Option<Arc<Live>>) {
        let mut table = self.0.write();
        let mut new = HashMap::clone(&table);
        new.insert(name.to_owned(), live);
        *table = Arc::new(new);
        self.1.notify_waiters();
    }

    /// Takes one away.
    pub fn remove(&self, name: &str) {
        let mut table = self.0.write();
        let mut new = HashMap::clone(&table);
        new.remove(name);
        *table = Arc::new(new);
        self.1.notify_waiters();
    }

    /// All that answer.
    pub fn all(&self) -> Vec<Arc<Live>> {
        let table = Arc::clone(&self.0.read());
        table.values().flatten().cloned().collect()
    }
}

/// An endpoint that answers.
pub struct Live {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// What answers.
    pub current: Arc<Set>,
    /// What is to answer, and its share of the traffic.
    pub next: Option<(Arc<Set>, f64)>,
}

/// Models that answer together.
pub struct Set {
    /// Those that share the traffic.
    pub variants: Vec<Arc<Variant>>,
    /// Those that get copies.
    pub shadows: Vec<Arc<Variant>>,
    /// What is kept of questions and answers.
    pub capture: Option<Arc<Capture>>,
    /// How questions are answered later.
    pub asynchronous: Option<Arc<Asynchronous>>,
    /// What they did.
    pub measure: Measure,
    /// When the update that they came with was asked for, in milliseconds since 1970; none where they came with none.
    pub since: Option<i64>,
}

/// One of them.
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Its share.
    pub weight: f64,
    /// Its instances.
    pub instances: u64,
    /// Its model.
    pub model: Definition,
    /// The model where it stays open.
    pub served: Option<Arc<dyn Served>>,
    /// How many it may answer at a time, where it is serverless.
    pub free: Option<Arc<Semaphore>>,
    /// What it did, since the server began.
    pub counts: Arc<Counts>,
}

/// What a variant did.
#[derive(Debug, Default)]
pub struct Counts {
    /// Questions that it answered or refused.
    pub invocations: AtomicU64,
    /// Those that its model refused or failed on.
    pub errors: AtomicU64,
    /// Microseconds that all took together.
    pub micros: AtomicU64,
}

impl Counts {
    /// Counts an answer.
    pub fn count_one(&self, took: Duration, error: bool) {
        self.invocations.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        if error {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Set {
    /// The models of a plan, as `open` opens them. Counts go on from `before`, by name.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn open<E>(
        plan: &Plan,
        before: Option<&Set>,
        mut open: impl FnMut(&VariantPlan) -> Result<Option<Arc<dyn Served>>, E>,
    ) -> Result<Self, E> {
        let mut all = |plans: &[VariantPlan]| -> Result<Vec<Arc<Variant>>, E> {
            let variants = plans.iter().map(|plan| {
                Ok(Arc::new(Variant {
                    name: plan.name.clone(),
                    weight: plan.weight,
                    instances: plan.count,
                    served: open(plan)?,
                    model: plan.model.clone(),
                    free: plan
                        .concurrency()
                        .map(|most| Arc::new(Semaphore::new(most))),
                    counts: before
                        .and_then(|set| set.find(&plan.name))
                        .map(|variant| Arc::clone(&variant.counts))
                        .unwrap_or_default(),
                }))
            });
            variants.collect()
        };
        Ok(Self {
            variants: all(&plan.variants)?,
            shadows: all(&plan.shadows)?,
            capture: plan.capture.as_ref().and_then(Capture::of).map(Arc::new),
            asynchronous: plan
                .asynchronous
                .as_ref()
                .and_then(|config| Asynchronous::of(config, plan.instances()))
                .map(Arc::new),
            measure: Measure::default(),
            since: None,
        })
    }

    /// The one of a name.
    pub fn find(&self, name: &str) -> Option<&Arc<Variant>> {
        self.variants.iter().find(|variant| variant.name == name)
    }

    /// The one that a number in 0..1 falls to; none where no variant has weight.
    pub fn pick(&self, at: f64) -> Option<&Arc<Variant>> {
        let all: f64 = self.variants.iter().map(|variant| variant.weight).sum();
        let mut left = at * all;
        let weighted = || self.variants.iter().filter(|variant| variant.weight > 0.0);
        for variant in weighted() {
            if left < variant.weight {
                return Some(variant);
            }
            left -= variant.weight;
        }
        // Rounding may leave a little behind the last one.
        weighted().next_back()
    }
}

impl Live {
    /// The set that a number in 0..1 falls to.
    pub fn side(&self, at: f64) -> &Arc<Set> {
        match &self.next {
            Some((next, share)) if at < *share => next,
            _ => &self.current,
        }
    }

    /// The other set.
    pub fn other(&self, set: &Arc<Set>) -> Option<&Arc<Set>> {
        let (next, _) = self.next.as_ref()?;
        match Arc::ptr_eq(set, next) {
            true => Some(&self.current),
            false => Some(next),
        }
    }
}
