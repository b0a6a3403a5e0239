//! The synthetic task: its items say what the network does with them, its answers name their item, and
//! its log says what was computed and loaded.

use escala_models::Compute;
use escala_pipelines::engine::{Engine, EngineConfig, Handle, Prediction};
use escala_pipelines::task::{Limits, LoadContext, Pipeline, Task, Unit};
use escala_pipelines::{Error, Kind, Options, Priority, Result};
use escala_weights::{Store, StoreOptions};
use parking_lot::{Condvar, Mutex};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

pub const PATIENCE: Duration = Duration::from_secs(20);
/// The item of the warm-up run.
pub const SAMPLE: u64 = u64::MAX;

/// A store the tasks here never ask for anything.
pub fn store() -> Arc<Store> {
    let dir = std::env::temp_dir().join("escala-engine-tests");
    let options = StoreOptions {
        dir: Some(dir),
        offline: true,
        ..StoreOptions::default()
    };
    Arc::new(Store::open(options).expect("opening a store touches no file"))
}

/// Holds whoever passes until it is opened.
#[derive(Default)]
pub struct Gate {
    /// Open; arrived.
    pub state: Mutex<(bool, usize)>,
    pub changed: Condvar,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn pass(&self) {
        let mut state = self.state.lock();
        state.1 += 1;
        self.changed.notify_all();
        while !state.0 {
            assert!(
                !self.changed.wait_for(&mut state, PATIENCE).timed_out(),
                "nobody opened the gate"
            );
        }
    }

    pub fn open(&self) {
        self.state.lock().0 = true;
        self.changed.notify_all();
    }

    pub fn wait_for_arrivals(&self, count: usize) {
        let mut state = self.state.lock();
        while state.1 < count {
            assert!(
                !self.changed.wait_for(&mut state, PATIENCE).timed_out(),
                "nobody came to the gate"
            );
        }
    }
}

#[derive(Clone)]
pub enum Act {
    Answer,
    Fail,
    Panic,
    /// Makes the pipeline forget one answer of the batch.
    Forget,
    Hold(Arc<Gate>),
}

#[derive(Clone)]
pub struct Item {
    pub id: u64,
    pub cost: u64,
    pub act: Act,
}

pub fn item(id: u64, act: Act) -> Item {
    Item { id, cost: 1, act }
}

pub fn plain(id: u64) -> Item {
    item(id, Act::Answer)
}

/// The only right answer to an item.
pub fn answer_of(id: u64, cost: u64) -> u64 {
    id.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17) ^ cost
}

/// What a task does and saw; shared by test and task.
#[derive(Default)]
pub struct Log {
    /// The ids of every call of `run`, warm-up included.
    pub runs: Mutex<Vec<Vec<u64>>>,
    pub violations: Mutex<Vec<String>>,
    pub loads: AtomicUsize,
    /// Loads still to fail.
    pub failures: AtomicUsize,
    pub load_panics: AtomicUsize,
    /// Bytes of all loaded models of all tasks with this log, now and at most.
    pub live: AtomicU64,
    pub most_live: AtomicU64,
}

impl Log {
    pub fn ran(&self) -> Vec<u64> {
        self.runs
            .lock()
            .iter()
            .flatten()
            .copied()
            .filter(|id| *id != SAMPLE)
            .collect()
    }
}

#[derive(Clone)]
pub struct Probe {
    pub name: &'static str,
    pub version: String,
    pub limits: Limits,
    pub bytes: u64,
    pub estimate: Option<u64>,
    pub load_gate: Option<Arc<Gate>>,
    pub bad_sample: bool,
    pub log: Arc<Log>,
}

pub const LIMITS: Limits = Limits {
    batch_cost: 8,
    batch_items: 8,
    queue_items: 64,
    queue_cost: 64,
};

impl Probe {
    pub fn new(name: &'static str, log: &Arc<Log>) -> Self {
        Self {
            name,
            version: "1".to_owned(),
            limits: LIMITS,
            bytes: 1,
            estimate: Some(1),
            load_gate: None,
            bad_sample: false,
            log: log.clone(),
        }
    }

    pub fn bytes(self, bytes: u64) -> Self {
        Self {
            bytes,
            estimate: Some(bytes),
            ..self
        }
    }
}

impl Task for Probe {
    type Input = Item;
    type Output = u64;
    type Pipeline = Loaded;

    fn name(&self) -> &'static str {
        self.name
    }

    fn model(&self) -> &str {
        "probe"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn unit(&self) -> Unit {
        Unit::Tokens
    }

    fn cost(&self, input: &Item) -> u64 {
        input.cost
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn memory_estimate(&self) -> Option<u64> {
        self.estimate
    }

    fn load(&self, _: &LoadContext<'_>) -> Result<Loaded> {
        self.log.loads.fetch_add(1, SeqCst);
        if let Some(gate) = &self.load_gate {
            gate.pass();
        }
        let take = |counter: &AtomicUsize| {
            counter
                .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
                .is_ok()
        };
        if take(&self.log.failures) {
            return Err(Error::new(Kind::Unavailable, "the weights are missing"));
        }
        if take(&self.log.load_panics) {
            panic!("loading goes wrong, as the test wants");
        }
        let live = self.log.live.fetch_add(self.bytes, SeqCst) + self.bytes;
        self.log.most_live.fetch_max(live, SeqCst);
        Ok(Loaded {
            probe: self.clone(),
        })
    }
}

pub struct Loaded {
    pub probe: Probe,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.probe.log.live.fetch_sub(self.probe.bytes, SeqCst);
    }
}

impl Pipeline for Loaded {
    type Input = Item;
    type Output = u64;

    fn memory(&self) -> u64 {
        self.probe.bytes
    }

    fn sample(&self) -> Item {
        item(
            SAMPLE,
            if self.probe.bad_sample {
                Act::Fail
            } else {
                Act::Answer
            },
        )
    }

    fn run(&self, compute: &Compute, batch: &[Item]) -> Vec<Result<u64>> {
        for (number, item) in batch.iter().enumerate() {
            compute.shown.add(number, item.cost);
        }
        let log = &self.probe.log;
        log.runs
            .lock()
            .push(batch.iter().map(|item| item.id).collect());
        let cost: u64 = batch.iter().map(|item| item.cost).sum();
        let limits = self.probe.limits;
        if batch.is_empty()
            || batch.len() > 1 && (cost > limits.batch_cost || batch.len() > limits.batch_items)
        {
            log.violations
                .lock()
                .push(format!("a batch of {} items with cost {cost}", batch.len()));
        }
        let mut answers: Vec<Result<u64>> = batch
            .iter()
            .map(|item| match &item.act {
                Act::Answer | Act::Forget => Ok(answer_of(item.id, item.cost)),
                Act::Fail => Err(Error::new(
                    Kind::InvalidInput,
                    format!("item {} is bad", item.id),
                )),
                Act::Panic => panic!("item {} breaks the network, as the test wants", item.id),
                Act::Hold(gate) => {
                    gate.pass();
                    Ok(answer_of(item.id, item.cost))
                }
            })
            .collect();
        if batch.iter().any(|item| matches!(item.act, Act::Forget)) {
            answers.pop();
        }
        answers
    }
}

pub fn config(lanes: usize) -> EngineConfig {
    EngineConfig {
        lanes,
        threads_per_lane: 1,
        memory_budget: 1 << 20,
        default_deadline: PATIENCE,
        load_retry: Duration::from_secs(3600),
        ..EngineConfig::default()
    }
}

pub fn engine(lanes: usize) -> Engine {
    Engine::start(config(lanes), store()).expect("threads")
}

pub fn wait<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    // Twice the patience of gates and default deadlines: those report more exactly what is wrong.
    let limited = async { tokio::time::timeout(2 * PATIENCE, future).await };
    runtime.block_on(limited).expect("an answer in time")
}

pub fn with(priority: Priority) -> Options {
    Options {
        priority,
        deadline: None,
    }
}

/// A loaded task whose only lane is held by item 0 until the gate opens.
pub fn held(engine: &Engine, probe: Probe) -> (Handle<Probe>, Arc<Gate>, Prediction<Probe>) {
    let handle = engine.register(probe).expect("a new task");
    wait(handle.load()).expect("it loads");
    let gate = Gate::new();
    let holder = handle.predict(item(0, Act::Hold(gate.clone())), Options::default());
    gate.wait_for_arrivals(1);
    (handle, gate, holder)
}

pub fn kind<O: std::fmt::Debug>(answer: Result<O>) -> Kind {
    answer.expect_err("an error").kind()
}

/// Keeps the panics that the tests ask for out of the output.
pub fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| info.payload().downcast_ref::<&str>().copied());
            if !text.is_some_and(|text| text.ends_with("as the test wants")) {
                usual(info);
            }
        }));
    });
}
