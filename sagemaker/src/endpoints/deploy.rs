//! The threads that make of endpoints what they are to be.
//!
//! One looks at the states in the store; each endpoint that is on its way has a thread of its own, which opens its models, moves
//! its traffic and keeps the state that it came to. What answers is put into the table before the store says so, and taken out
//! before the store forgets it, so that whoever reads a state can count on it. A thread that ends at any instant leaves a state
//! from which the next one does it again.

use super::live::{Live, Set, Table};
use super::plan::{Endpoint, Pending, Plan, VariantPlan};
use super::shift::Shift;
use super::{CREATING, DELETING, FAILED, IN_SERVICE, ROLLBACK_FAILED, ROLLING_BACK, UPDATING};
use crate::Refusal;
use crate::logs::Logs;
use crate::models::{Keep, Models, Unopened};
use crate::names::{Kind, now};
use crate::served::Served;
use crate::store::{Resource, Store};
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often states are looked at without being asked.
const LOOK: Duration = Duration::from_secs(1);
/// How often alarms are looked at.
const WATCH: Duration = Duration::from_millis(100);
/// After how long models of an endpoint in service that could not be opened are tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// Most endpoints that are on their way at the same time; the others wait.
const MOST: usize = 64;
/// The longest `FailureReason`.
const LONGEST: usize = 1024;

/// Instants that a crash may come at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// A thread took an endpoint up.
    Taken,
    /// All models are open, and none answers yet.
    Opened,
    /// A part of the traffic goes to new models.
    Shifted,
    /// All traffic goes where it is to go, and the store does not say so.
    Switched,
    /// An alarm fired, and the store says so.
    TurnedBack,
    /// Nothing answers any more, and the store does not say so.
    Withdrawn,
}

/// Told what is reached; false ends the work there as a crash would.
pub type Reached = Arc<dyn Fn(Point) -> bool + Send + Sync>;

/// Called with the name of an endpoint that is gone.
pub type Gone = Box<dyn Fn(&str) -> Result<(), Refusal> + Send + Sync>;

/// What deploys.
pub struct Deployer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    store: Arc<Store>,
    models: Arc<Models>,
    table: Arc<Table>,
    /// How long a model of a serverless variant stays open where nobody asks.
    idle: Duration,
    logs: Option<Arc<Logs>>,
    reached: Option<Reached>,
    gone: Gone,
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Default)]
struct Signal {
    stopping: bool,
    look: bool,
    busy: HashSet<String>,
    /// Endpoints that the store says answer, and do not; when they are tried again.
    owed: HashMap<String, Instant>,
}

/// Why a thread ends before its end.
enum Stop {
    /// Somebody asked for rest, or a test for a crash.
    Rest,
    /// The store, which logged it.
    Store,
}

impl From<crate::store::Error> for Stop {
    fn from(error: crate::store::Error) -> Self {
        Self::from(Refusal::from(error))
    }
}

impl From<Refusal> for Stop {
    fn from(_: Refusal) -> Self {
        Self::Store
    }
}

impl Deployer {
    /// Begins with whatever the store says is on its way; names of endpoints in service are in the table when it returns.
    ///
    /// # Errors
    /// The store cannot be read, or there are no threads.
    pub fn start(
        store: Arc<Store>,
        models: Arc<Models>,
        table: Arc<Table>,
        idle: Duration,
        logs: Option<Arc<Logs>>,
        reached: Option<Reached>,
        gone: Gone,
    ) -> std::io::Result<Self> {
        let serving = [IN_SERVICE, UPDATING, ROLLING_BACK, ROLLBACK_FAILED];
        let found = store.in_states(Kind::Endpoint, &serving);
        let mut owed = HashMap::new();
        for endpoint in found.map_err(std::io::Error::other)? {
            table.put(&endpoint.name, None);
            if matches!(endpoint.status.as_str(), IN_SERVICE | ROLLBACK_FAILED) {
                owed.insert(endpoint.name, Instant::now());
            }
        }
        let shared = Arc::new(Shared {
            store,
            models,
            table,
            idle,
            logs,
            reached,
            gone,
            signal: Mutex::new(Signal {
                look: true,
                owed,
                ..Signal::default()
            }),
            changed: Condvar::new(),
        });
        let thread = std::thread::Builder::new().name("endpoints".to_owned());
        let thread = thread.spawn({
            let shared = Arc::clone(&shared);
            move || shared.look()
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Somebody changed a state.
    pub fn wake(&self) {
        self.shared.signal.lock().look = true;
        self.shared.changed.notify_all();
    }
}

impl Drop for Deployer {
    fn drop(&mut self) {
        self.shared.signal.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of endpoints broke");
        }
    }
}

impl Shared {
    /// The data that models of endpoints were deployed with; none where that cannot be read.
    fn pinned(&self) -> Option<HashSet<String>> {
        let states = [
            CREATING,
            UPDATING,
            IN_SERVICE,
            ROLLING_BACK,
            ROLLBACK_FAILED,
        ];
        let endpoints = self.store.in_states(Kind::Endpoint, &states).ok()?;
        let mut pinned = HashSet::new();
        for kept in &endpoints {
            let endpoint = Endpoint::of(kept).ok()?;
            pinned.extend(endpoint.models().filter_map(|model| model.pinned.clone()));
        }
        Some(pinned)
    }

    /// Looks for endpoints that are on their way until somebody asks for rest, and then until all threads ended.
    fn look(self: Arc<Self>) {
        loop {
            let mut signal = self.signal.lock();
            let until = Instant::now() + LOOK;
            while !signal.stopping && !signal.look {
                if self.changed.wait_until(&mut signal, until).timed_out() {
                    break;
                }
            }
            if signal.stopping {
                while !signal.busy.is_empty() {
                    self.changed.wait(&mut signal);
                }
                return;
            }
            signal.look = false;
            drop(signal);
            self.models.sweep(self.idle);
            self.models.clear(|| self.pinned());
            let states = [DELETING, ROLLING_BACK, CREATING, UPDATING];
            let mut names: Vec<String> = match self.store.in_states(Kind::Endpoint, &states) {
                Ok(found) => found.into_iter().map(|endpoint| endpoint.name).collect(),
                Err(error) => {
                    tracing::error!(%error, "endpoints cannot be looked for");
                    continue;
                }
            };
            let mut signal = self.signal.lock();
            let now = Instant::now();
            let owed = signal.owed.iter().filter(|(_, when)| **when <= now);
            names.extend(owed.map(|(name, _)| name.clone()));
            for name in names {
                if signal.busy.len() >= MOST || signal.busy.contains(&name) {
                    continue;
                }
                signal.busy.insert(name.clone());
                let shared = Arc::clone(&self);
                let own = name.clone();
                let thread = std::thread::Builder::new().name("endpoint".to_owned());
                if let Err(error) = thread.spawn(move || shared.take(&own)) {
                    tracing::error!(%error, "there is no thread for an endpoint");
                    signal.busy.remove(&name);
                }
            }
        }
    }

    fn take(&self, name: &str) {
        struct Busy<'a>(&'a Shared, &'a str);
        impl Drop for Busy<'_> {
            fn drop(&mut self) {
                let mut signal = self.0.signal.lock();
                signal.busy.remove(self.1);
                self.0.changed.notify_all();
            }
        }
        let busy = Busy(self, name);
        if self.work(name).is_ok() {
            // Perhaps somebody changed the state meanwhile.
            self.signal.lock().look = true;
        }
        drop(busy);
    }

    fn reach(&self, point: Point) -> Result<(), Stop> {
        let on = self.reached.as_ref().is_none_or(|reached| reached(point));
        match on {
            true => Ok(()),
            false => Err(Stop::Rest),
        }
    }

    fn work(&self, name: &str) -> Result<(), Stop> {
        self.reach(Point::Taken)?;
        let Some(kept) = self.store.get(Kind::Endpoint, name)? else {
            self.signal.lock().owed.remove(name);
            self.table.remove(name);
            return Ok(());
        };
        let endpoint = Endpoint::of(&kept)?;
        match kept.status.as_str() {
            CREATING => self.create(&kept, &endpoint),
            IN_SERVICE | ROLLBACK_FAILED => {
                // Why it does not answer is in the log, and it is tried again.
                self.serve(&kept, &endpoint).map(|_| ())
            }
            UPDATING => match &endpoint.pending {
                Some(pending) if pending.weights => self.weigh(&kept, &endpoint, pending),
                Some(pending) => self.update(&kept, &endpoint, pending),
                None => self.settle(name, IN_SERVICE, |_| {}),
            },
            ROLLING_BACK => self.turn_back(&kept, &endpoint),
            DELETING => self.withdraw(&kept),
            _ => Ok(()),
        }
    }

    /// Keeps the state that an endpoint came to.
    fn settle(
        &self,
        name: &str,
        status: &str,
        change: impl FnOnce(&mut Endpoint),
    ) -> Result<(), Stop> {
        let mut said = None;
        self.store.update(Kind::Endpoint, name, |kept| {
            let mut endpoint = Endpoint::of(kept)?;
            change(&mut endpoint);
            let line = match &endpoint.failure {
                Some(why) => format!("the endpoint is {status}: {why}"),
                None => format!("the endpoint is {status}"),
            };
            said = Some((endpoint.current.variants.clone(), line));
            endpoint.keep(kept);
            kept.status = status.to_owned();
            kept.modified = now();
            tracing::info!(
                endpoint = name,
                status,
                failure = endpoint.failure,
                "an endpoint"
            );
            Ok::<_, Refusal>(())
        })?;
        if let (Some(logs), Some((variants, line))) = (&self.logs, said) {
            for variant in variants {
                logs.say_of_variant(name, &variant.name, &line);
            }
        }
        Ok(())
    }

    /// Takes up a plan's models as their data are now, and opens them.
    fn open_new(&self, plan: &mut Plan, before: Option<&Set>) -> Result<Set, Unopened> {
        for variant in plan.variants.iter_mut().chain(&mut plan.shadows) {
            self.models.pin(&mut variant.model)?;
        }
        self.open(plan, before)
    }

    fn open(&self, plan: &Plan, before: Option<&Set>) -> Result<Set, Unopened> {
        Set::open(plan, before, |variant| self.open_one(variant))
    }

    fn open_one(&self, variant: &VariantPlan) -> Result<Option<Arc<dyn Served>>, Unopened> {
        if variant.model.many {
            return self.models.prefix(&variant.model).map(|()| None);
        }
        // One that does not stay is opened once, so that what is wrong with it is said now.
        let stays = variant.stays();
        let keep = match stays {
            true => Keep::Held,
            false => Keep::Idle,
        };
        let served = self.models.open_as(&variant.model, None, keep)?;
        Ok(stays.then_some(served))
    }

    fn answer(&self, kept: &Resource, current: Arc<Set>, next: Option<(Arc<Set>, f64)>) {
        let live = Live {
            name: kept.name.clone(),
            arn: kept.arn.clone(),
            current,
            next,
        };
        self.table.put(&kept.name, Some(Arc::new(live)));
    }

    fn create(&self, kept: &Resource, endpoint: &Endpoint) -> Result<(), Stop> {
        let mut plan = endpoint.current.clone();
        match self.open_new(&mut plan, None) {
            Ok(set) => {
                self.reach(Point::Opened)?;
                self.answer(kept, Arc::new(set), None);
                self.reach(Point::Switched)?;
                self.settle(&kept.name, IN_SERVICE, |endpoint| {
                    endpoint.current = plan;
                    endpoint.deployed = Some(now());
                })
            }
            Err(why) => self.settle(&kept.name, FAILED, |endpoint| {
                endpoint.failure = Some(reason(&why.to_string()));
            }),
        }
    }

    /// What an endpoint answers with now, which is opened where it does not; none where it cannot be.
    fn serve(&self, kept: &Resource, endpoint: &Endpoint) -> Result<Option<Arc<Set>>, Stop> {
        if let Some(live) = self.table.live(&kept.name) {
            self.signal.lock().owed.remove(&kept.name);
            return Ok(Some(Arc::clone(&live.current)));
        }
        match self.open(&endpoint.current, None) {
            Ok(set) => {
                let set = Arc::new(set);
                self.reach(Point::Opened)?;
                self.answer(kept, Arc::clone(&set), None);
                self.signal.lock().owed.remove(&kept.name);
                Ok(Some(set))
            }
            Err(why) => {
                tracing::warn!(endpoint = kept.name, %why, "an endpoint in service does not answer yet");
                let again = Instant::now() + AGAIN;
                self.signal.lock().owed.insert(kept.name.clone(), again);
                Ok(None)
            }
        }
    }

    fn weigh(&self, kept: &Resource, endpoint: &Endpoint, pending: &Pending) -> Result<(), Stop> {
        if let Some(current) = self.serve(kept, endpoint)? {
            let opened = Set::open(&pending.plan, Some(&current), |plan| {
                // The models are the same: only one that is to stay open from now on, and was not, is opened.
                let mut known = current.variants.iter().chain(&current.shadows);
                let known = known.find(|one| one.name == plan.name);
                match known.and_then(|one| one.served.clone()) {
                    None if plan.stays() => self.open_one(plan),
                    served => Ok(served),
                }
            });
            match opened {
                // The shadows are the same, too.
                Ok(mut set) => {
                    set.shadows = current.shadows.clone();
                    self.answer(kept, Arc::new(set), None);
                }
                Err(why) => {
                    return self.settle(&kept.name, IN_SERVICE, |endpoint| {
                        endpoint.pending = None;
                        endpoint.failure = Some(reason(&why.to_string()));
                    });
                }
            }
        }
        self.reach(Point::Switched)?;
        self.settle(&kept.name, IN_SERVICE, |endpoint| {
            if let Some(pending) = endpoint.pending.take() {
                endpoint.current = pending.plan;
            }
        })
    }

    fn update(&self, kept: &Resource, endpoint: &Endpoint, pending: &Pending) -> Result<(), Stop> {
        let current = self.serve(kept, endpoint)?;
        // What it was given was looked at when it was given.
        let shift = Shift::of(pending.deployment.as_ref(), pending.plan.instances())?;
        let mut plan = pending.plan.clone();
        let next = match self.open_new(&mut plan, current.as_deref()) {
            Ok(mut set) => {
                set.since = Some(pending.since);
                Arc::new(set)
            }
            Err(why) => {
                return self.settle(&kept.name, IN_SERVICE, |endpoint| {
                    endpoint.pending = None;
                    endpoint.failure = Some(reason(&why.to_string()));
                });
            }
        };
        self.reach(Point::Opened)?;
        if let Some(current) = current {
            let began = Instant::now();
            let waits = shift.steps.iter().map(|share| (*share, shift.wait));
            for (share, wait) in waits.chain([(1.0, shift.termination)]) {
                self.answer(kept, Arc::clone(&current), Some((Arc::clone(&next), share)));
                self.reach(Point::Shifted)?;
                if let Err(why) = self.watch(wait, began, &shift, &next)? {
                    self.settle(&kept.name, ROLLING_BACK, |endpoint| {
                        endpoint.failure = Some(reason(&why));
                    })?;
                    self.reach(Point::TurnedBack)?;
                    return self.turn_back(kept, endpoint);
                }
            }
        }
        self.answer(kept, next, None);
        self.reach(Point::Switched)?;
        self.signal.lock().owed.remove(&kept.name);
        self.settle(&kept.name, IN_SERVICE, |endpoint| {
            if let Some(pending) = endpoint.pending.take() {
                endpoint.current = plan;
                endpoint.deployment = pending.deployment;
                endpoint.deployed = Some(now());
            }
        })
    }

    /// Waits, and watches meanwhile; a sentence where traffic is to be turned back.
    fn watch(
        &self,
        wait: Duration,
        began: Instant,
        shift: &Shift,
        next: &Set,
    ) -> Result<Result<(), String>, Stop> {
        let until = Instant::now() + wait;
        loop {
            let fired = shift.alarms.iter();
            let mut fired = fired.filter_map(|alarm| alarm.fires(&next.measure));
            if let Some(why) = fired.next() {
                return Ok(Err(why));
            }
            if began.elapsed() > shift.most {
                return Ok(Err(format!(
                    "the deployment took longer than {} seconds",
                    shift.most.as_secs()
                )));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Ok(()));
            }
            let mut signal = self.signal.lock();
            if signal.stopping {
                return Err(Stop::Rest);
            }
            self.changed.wait_for(&mut signal, left.min(WATCH));
        }
    }

    fn turn_back(&self, kept: &Resource, endpoint: &Endpoint) -> Result<(), Stop> {
        let current = match self.table.live(&kept.name) {
            Some(live) => Ok(Arc::clone(&live.current)),
            None => self.open(&endpoint.current, None).map(Arc::new),
        };
        let (status, failure) = match current {
            Ok(current) => {
                self.answer(kept, current, None);
                (IN_SERVICE, None)
            }
            Err(why) => {
                let again = Instant::now() + AGAIN;
                self.signal.lock().owed.insert(kept.name.clone(), again);
                (ROLLBACK_FAILED, Some(reason(&why.to_string())))
            }
        };
        self.reach(Point::Switched)?;
        self.settle(&kept.name, status, |endpoint| {
            endpoint.pending = None;
            if failure.is_some() {
                endpoint.failure = failure;
            }
        })
    }

    fn withdraw(&self, kept: &Resource) -> Result<(), Stop> {
        self.signal.lock().owed.remove(&kept.name);
        self.table.remove(&kept.name);
        self.reach(Point::Withdrawn)?;
        (self.gone)(&kept.name)?;
        self.store.delete(Kind::Endpoint, &kept.name)?;
        Ok(())
    }
}

/// A sentence as a `FailureReason` may be long.
fn reason(why: &str) -> String {
    why.chars().take(LONGEST).collect()
}
