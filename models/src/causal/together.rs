//! Texts of many callers, continued by one thread: whoever comes joins those that are there at the next token.

use super::batch::Batch;
use super::{Chosen, Continuer, Continuing, Ended};
use crate::compute::Compute;
use crate::error::Error;
use crate::threads;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Texts that are continued side by side at most; others wait for one of them to end.
const SIDE_BY_SIDE: usize = 32;
/// Most bytes of keys and values of all of them, but for a text that is alone.
const KEPT: u64 = 2 << 30;

/// A network and the thread that continues texts with it. The thread ends when this is dropped.
pub struct Together {
    network: Arc<Continuer>,
    wishes: Mutex<Sender<Wish>>,
}

/// A text that somebody wants to have continued.
struct Wish {
    tokens: Arc<[u32]>,
    how: Continuing,
    gone: Gone,
    tell: Sender<Told>,
}

/// Says whether nobody waits for a text any more.
type Gone = Box<dyn Fn() -> bool + Send>;

/// What is told of a text.
#[derive(Debug)]
pub enum Told {
    /// The next token, and why none follows it where that is so.
    Next(Chosen, Option<Ended>),
    /// It is not continued any more.
    Failed(Arc<Error>),
}

/// What is told of a text, as it comes; the last says why it is the last. Nothing comes where the thread broke off, or where
/// nobody was said to wait.
pub type Coming = Receiver<Told>;

impl Together {
    /// Begins the thread.
    ///
    /// # Errors
    /// The machine gives no more threads.
    pub fn new(network: Continuer, compute: Compute) -> std::io::Result<Self> {
        let network = Arc::new(network);
        let (wish, wishes) = channel();
        let own = network.clone();
        threads::spawn("texts", move || Thread::new(own, compute, wishes).run())?;
        Ok(Self {
            network,
            wishes: Mutex::new(wish),
        })
    }

    /// The network.
    pub fn network(&self) -> &Continuer {
        &self.network
    }

    /// Begins to continue a text, as soon as there is room beside the others. `gone` says, between two tokens, whether nobody waits
    /// for it any more; so does the receiver when it is dropped.
    pub fn begin(
        &self,
        tokens: Arc<[u32]>,
        how: Continuing,
        gone: impl Fn() -> bool + Send + 'static,
    ) -> Coming {
        let (tell, told) = channel();
        let wish = Wish {
            tokens,
            how,
            gone: Box::new(gone),
            tell,
        };
        let wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        // Without the thread nothing comes, which the receiver tells.
        let _ = wishes.send(wish);
        told
    }
}

/// What the thread has.
struct Thread {
    network: Arc<Continuer>,
    compute: Compute,
    wishes: Receiver<Wish>,
    /// In the order in which they came.
    waiting: VecDeque<Wish>,
    batch: Batch,
    going: HashMap<u64, Going>,
}

/// A text in the batch.
struct Going {
    gone: Gone,
    tell: Sender<Told>,
    /// Bytes of its keys and values.
    kept: u64,
}

impl Thread {
    fn new(network: Arc<Continuer>, compute: Compute, wishes: Receiver<Wish>) -> Self {
        Self {
            network,
            compute,
            wishes,
            waiting: VecDeque::new(),
            batch: Batch::default(),
            going: HashMap::new(),
        }
    }

    fn run(mut self) {
        while self.hear() {
            self.leave();
            self.join();
            // What panics takes the texts of this step along, not those that come after it.
            if catch_unwind(AssertUnwindSafe(|| self.step())).is_err() {
                self.batch = Batch::default();
                self.going.clear();
            }
        }
    }

    /// Takes wishes in; waits for one where nothing else is to be done. Whether there is anybody left.
    fn hear(&mut self) -> bool {
        if self.waiting.is_empty() && self.going.is_empty() {
            match self.wishes.recv() {
                Ok(wish) => self.waiting.push_back(wish),
                Err(_) => return false,
            }
        }
        loop {
            match self.wishes.try_recv() {
                Ok(wish) => self.waiting.push_back(wish),
                Err(TryRecvError::Empty) => return true,
                // Those that are there are still waited for, or told gone.
                Err(TryRecvError::Disconnected) => {
                    return !(self.waiting.is_empty() && self.going.is_empty());
                }
            }
        }
    }

    /// Those whom nobody waits for leave.
    fn leave(&mut self) {
        self.waiting.retain(|wish| !(wish.gone)());
        let batch = &mut self.batch;
        self.going.retain(|number, text| {
            let gone = (text.gone)();
            if gone {
                batch.remove(*number);
            }
            !gone
        });
    }

    /// Those that wait join, as far as there is room.
    fn join(&mut self) {
        while let Some(wish) = self.waiting.front() {
            let tokens = wish.tokens.len().saturating_add(wish.how.most);
            let kept = self.network.memory_of(tokens);
            let all: u64 = self.going.values().map(|text| text.kept).sum();
            let full = self.going.len() >= SIDE_BY_SIDE || all.saturating_add(kept) > KEPT;
            if full && !self.going.is_empty() {
                return;
            }
            let Some(wish) = self.waiting.pop_front() else {
                return;
            };
            match self
                .batch
                .add(&self.network, wish.tokens.to_vec(), wish.how)
            {
                Ok(number) => {
                    let going = Going {
                        gone: wish.gone,
                        tell: wish.tell,
                        kept,
                    };
                    self.going.insert(number, going);
                }
                // Whoever does not hear it does not wait.
                Err(error) => drop(wish.tell.send(Told::Failed(Arc::new(error)))),
            }
        }
    }

    /// Goes on by a token with each, and tells it.
    fn step(&mut self) {
        let steps = match self.batch.step(&self.network, &self.compute) {
            Ok(steps) => steps,
            Err(error) => {
                self.batch = Batch::default();
                let error = Arc::new(error);
                for (_, text) in self.going.drain() {
                    drop(text.tell.send(Told::Failed(error.clone())));
                }
                return;
            }
        };
        for step in steps {
            let Some(text) = self.going.get(&step.text) else {
                continue;
            };
            let (told, last) = match step.next {
                Ok((next, ended)) => (Told::Next(next, ended), ended.is_some()),
                Err(error) => (Told::Failed(Arc::new(error)), true),
            };
            let waits = text.tell.send(told).is_ok();
            if last || !waits {
                self.batch.remove(step.text);
                self.going.remove(&step.text);
            }
        }
    }
}
