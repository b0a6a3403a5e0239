//! The bounded queue of one task: a pure data structure, without threads or clocks.
//!
//! Promises: never more than `queue_items` items and never more than `queue_cost` cost wait, save that
//! one item is always admitted to an empty queue; within a priority the oldest leaves first; a ticket
//! removes its item in constant time and never removes another's; an empty queue holds cost zero.
//!
//! Items live in one vector of nodes that is reused, linked into one list per priority: an item that
//! waits costs no allocation, and one that is cancelled leaves no hole to step over.
//!
//! Streaming items may fill three quarters of the queue and batch items half of it, so that a job at
//! full speed cannot get interactive items refused.

use crate::task::{Limits, Priority};
use std::time::Instant;

/// One waiting item.
#[derive(Debug)]
pub(super) struct Entry<P> {
    pub payload: P,
    pub cost: u64,
    pub enqueued: Instant,
    pub deadline: Instant,
}

/// Names one waiting item for as long as it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    index: usize,
    generation: u64,
}

/// End of a list.
const NONE: usize = usize::MAX;

/// Priorities from the most urgent.
const CLASSES: [Priority; 3] = [Priority::Interactive, Priority::Streaming, Priority::Batch];

struct Node<P> {
    /// Grows whenever the node is emptied: tickets of former items no longer match.
    generation: u64,
    class: Priority,
    previous: usize,
    /// The next in the list of its class, or the next free node.
    next: usize,
    entry: Option<Entry<P>>,
}

#[derive(Clone, Copy)]
struct List {
    first: usize,
    last: usize,
}

pub(super) struct Queue<P> {
    limits: Limits,
    nodes: Vec<Node<P>>,
    free: usize,
    lists: [List; CLASSES.len()],
    items: usize,
    cost: u64,
    /// Of each priority.
    costs: [u64; CLASSES.len()],
    counts: [u64; CLASSES.len()],
}

/// The part of `bound` that items of this priority may fill.
fn share(bound: u64, class: Priority) -> u64 {
    match class {
        Priority::Interactive => bound,
        Priority::Streaming => bound - bound / 4,
        Priority::Batch => bound - bound / 2,
    }
}

impl<P> Queue<P> {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            nodes: Vec::new(),
            free: NONE,
            lists: [List {
                first: NONE,
                last: NONE,
            }; CLASSES.len()],
            items: 0,
            cost: 0,
            costs: [0; CLASSES.len()],
            counts: [0; CLASSES.len()],
        }
    }

    /// Items waiting.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Cost waiting.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// What is computed before a new item of this priority: its cost, and items.
    pub fn ahead(&self, class: Priority) -> (u64, u64) {
        let sum = |of: &[u64; CLASSES.len()]| of[..=class as usize].iter().sum();
        (sum(&self.costs), sum(&self.counts))
    }

    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Whether an item of this priority and cost has a place now.
    pub fn admits(&self, class: Priority, cost: u64) -> bool {
        self.is_empty()
            || ((self.items as u64) < share(self.limits.queue_items as u64, class)
                && self.cost.saturating_add(cost) <= share(self.limits.queue_cost, class))
    }

    /// Adds the youngest item of its priority, or hands it back when it has no place.
    pub fn push(&mut self, class: Priority, entry: Entry<P>) -> Result<Ticket, Entry<P>> {
        if !self.admits(class, entry.cost) {
            return Err(entry);
        }
        self.items += 1;
        self.cost += entry.cost;
        self.costs[class as usize] += entry.cost;
        self.counts[class as usize] += 1;
        let list = &mut self.lists[class as usize];
        let (previous, next) = (list.last, NONE);
        let index = if self.free == NONE {
            self.nodes.push(Node {
                generation: 0,
                class,
                previous,
                next,
                entry: Some(entry),
            });
            self.nodes.len() - 1
        } else {
            let index = self.free;
            let node = &mut self.nodes[index];
            self.free = node.next;
            *node = Node {
                generation: node.generation,
                class,
                previous,
                next,
                entry: Some(entry),
            };
            index
        };
        if previous == NONE {
            list.first = index;
        } else {
            self.nodes[previous].next = index;
        }
        list.last = index;
        Ok(Ticket {
            index,
            generation: self.nodes[index].generation,
        })
    }

    /// Takes out the item of this ticket, if it still waits.
    pub fn remove(&mut self, ticket: Ticket) -> Option<Entry<P>> {
        let node = self.nodes.get(ticket.index)?;
        if node.generation != ticket.generation || node.entry.is_none() {
            return None;
        }
        self.unlink(ticket.index)
    }

    /// The priority that runs next and when its oldest item arrived.
    pub fn head(&self) -> Option<(Priority, Instant)> {
        CLASSES.into_iter().find_map(|class| {
            let entry = self
                .nodes
                .get(self.lists[class as usize].first)?
                .entry
                .as_ref()?;
            Some((class, entry.enqueued))
        })
    }

    /// Moves the next batch to `batch`: the oldest items of the most urgent priority that has any, up to
    /// the limits of a batch; an item that alone exceeds them runs alone. Items that came too late
    /// (`deadline <= now`) are moved to `expired` on the way.
    ///
    /// A batch holds one priority only: topping it up with less urgent items would make the urgent ones
    /// wait for them.
    pub fn take(&mut self, now: Instant, batch: &mut Vec<Entry<P>>, expired: &mut Vec<Entry<P>>) {
        for class in CLASSES {
            let mut cost = 0u64;
            loop {
                let index = self.lists[class as usize].first;
                let Some(entry) = self.nodes.get(index).and_then(|node| node.entry.as_ref()) else {
                    break;
                };
                let late = entry.deadline <= now;
                if !late && !batch.is_empty() {
                    let full = batch.len() >= self.limits.batch_items;
                    if full || cost.saturating_add(entry.cost) > self.limits.batch_cost {
                        return;
                    }
                }
                let Some(entry) = self.unlink(index) else {
                    break;
                };
                if late {
                    expired.push(entry);
                } else {
                    cost = cost.saturating_add(entry.cost);
                    batch.push(entry);
                }
            }
            if !batch.is_empty() {
                return;
            }
        }
    }

    /// Moves every item whose deadline has come to `expired`; the earliest deadline of those that stay.
    pub fn expire(&mut self, now: Instant, expired: &mut Vec<Entry<P>>) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for class in CLASSES {
            let mut index = self.lists[class as usize].first;
            while let Some(node) = self.nodes.get(index) {
                let next = node.next;
                let deadline = node.entry.as_ref().map(|entry| entry.deadline);
                if deadline.is_some_and(|deadline| deadline <= now) {
                    expired.extend(self.unlink(index));
                } else {
                    earliest = earliest.into_iter().chain(deadline).min();
                }
                index = next;
            }
        }
        earliest
    }

    /// Takes out everything.
    pub fn drain(&mut self) -> Vec<Entry<P>> {
        let mut all = Vec::with_capacity(self.items);
        for class in CLASSES {
            while let Some(entry) = self.unlink(self.lists[class as usize].first) {
                all.push(entry);
            }
        }
        all
    }

    fn unlink(&mut self, index: usize) -> Option<Entry<P>> {
        let free = self.free;
        let node = self.nodes.get_mut(index)?;
        let entry = node.entry.take()?;
        let (class, previous, next) = (node.class, node.previous, node.next);
        node.generation += 1;
        node.next = free;
        self.free = index;
        let list = &mut self.lists[class as usize];
        if previous == NONE {
            list.first = next;
        } else {
            self.nodes[previous].next = next;
        }
        if next == NONE {
            list.last = previous;
        } else {
            self.nodes[next].previous = previous;
        }
        self.items -= 1;
        self.cost -= entry.cost;
        self.costs[class as usize] -= entry.cost;
        self.counts[class as usize] -= 1;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const LIMITS: Limits = Limits {
        batch_cost: 20,
        batch_items: 4,
        queue_items: 12,
        queue_cost: 60,
    };

    fn entry(payload: u32, cost: u64, now: Instant, deadline: Instant) -> Entry<u32> {
        Entry {
            payload,
            cost,
            enqueued: now,
            deadline,
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push {
            class: Priority,
            cost: u64,
            lasts: u64,
        },
        /// Cancels the n-th ticket ever given, waiting or not.
        Cancel(usize),
        Take,
        Expire,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let class = prop::sample::select(CLASSES.to_vec());
        // Costs up to 80: some exceed a batch, some the whole queue.
        let cost = prop_oneof![8 => 1u64..12, 1 => 12u64..80];
        let step = prop_oneof![
            6 => (class, cost, 1u64..60).prop_map(|(class, cost, lasts)| Step::Push { class, cost, lasts }),
            2 => (0usize..200).prop_map(Step::Cancel),
            2 => Just(Step::Take),
            1 => Just(Step::Expire),
        ];
        prop::collection::vec(step, 1..200)
    }

    /// What the queue must do, said with plain vectors.
    #[derive(Default)]
    struct Model {
        /// Payload, class, cost, deadline, in order of arrival.
        waiting: Vec<(u32, Priority, u64, Instant)>,
    }

    impl Model {
        fn cost(&self) -> u64 {
            self.waiting.iter().map(|item| item.2).sum()
        }

        fn take(&mut self, now: Instant) -> (Vec<u32>, Vec<u32>) {
            let (mut batch, mut late, mut cost) = (Vec::new(), Vec::new(), 0);
            for class in CLASSES {
                let mine: Vec<_> = self
                    .waiting
                    .iter()
                    .filter(|item| item.1 == class)
                    .copied()
                    .collect();
                for (payload, _, item, deadline) in mine {
                    if deadline <= now {
                        late.push(payload);
                    } else if batch.is_empty() || (batch.len() < 4 && cost + item <= 20) {
                        cost += item;
                        batch.push(payload);
                    } else {
                        break;
                    }
                }
                if !batch.is_empty() {
                    break;
                }
            }
            self.waiting
                .retain(|item| !batch.contains(&item.0) && !late.contains(&item.0));
            (batch, late)
        }
    }

    proptest! {
        #[test]
        fn agrees_with_plain_vectors_and_keeps_its_bounds(steps in steps()) {
            let start = Instant::now();
            let mut queue = Queue::new(LIMITS);
            let mut model = Model::default();
            let mut tickets: Vec<(u32, Ticket)> = Vec::new();
            for (round, step) in steps.into_iter().enumerate() {
                let now = start + Duration::from_secs(round as u64);
                match step {
                    Step::Push { class, cost, lasts } => {
                        let payload = round as u32;
                        let deadline = now + Duration::from_secs(lasts);
                        let (items, total) = match class {
                            Priority::Interactive => (12, 60),
                            Priority::Streaming => (9, 45),
                            Priority::Batch => (6, 30),
                        };
                        let fits = model.waiting.is_empty()
                            || (model.waiting.len() < items && model.cost() + cost <= total);
                        prop_assert_eq!(queue.admits(class, cost), fits);
                        match queue.push(class, entry(payload, cost, now, deadline)) {
                            Ok(ticket) => {
                                prop_assert!(fits);
                                model.waiting.push((payload, class, cost, deadline));
                                tickets.push((payload, ticket));
                            }
                            Err(back) => {
                                prop_assert!(!fits);
                                prop_assert_eq!(back.payload, payload);
                            }
                        }
                    }
                    Step::Cancel(nth) if !tickets.is_empty() => {
                        let (payload, ticket) = tickets[nth % tickets.len()];
                        let waits = model.waiting.iter().any(|item| item.0 == payload);
                        prop_assert_eq!(queue.remove(ticket).map(|entry| entry.payload), waits.then_some(payload));
                        model.waiting.retain(|item| item.0 != payload);
                    }
                    Step::Cancel(_) => {}
                    Step::Take => {
                        let (mut batch, mut late) = (Vec::new(), Vec::new());
                        queue.take(now, &mut batch, &mut late);
                        let spent: u64 = batch.iter().map(|entry| entry.cost).sum();
                        prop_assert!(batch.len() <= 1 || (spent <= 20 && batch.len() <= 4));
                        let ids = |entries: &[Entry<u32>]| entries.iter().map(|e| e.payload).collect::<Vec<_>>();
                        prop_assert_eq!((ids(&batch), ids(&late)), model.take(now));
                    }
                    Step::Expire => {
                        let mut late = Vec::new();
                        let earliest = queue.expire(now, &mut late);
                        let mut late: Vec<u32> = late.iter().map(|entry| entry.payload).collect();
                        late.sort_unstable();
                        let (gone, stay): (Vec<_>, Vec<_>) = model.waiting.drain(..).partition(|item| item.3 <= now);
                        model.waiting = stay;
                        prop_assert_eq!(late, gone.iter().map(|item| item.0).collect::<Vec<_>>());
                        prop_assert_eq!(earliest, model.waiting.iter().map(|item| item.3).min());
                    }
                }
                prop_assert_eq!(queue.items(), model.waiting.len());
                prop_assert_eq!(queue.cost(), model.cost());
                for class in CLASSES {
                    let before = model.waiting.iter().filter(|item| item.1 <= class);
                    let costs: Vec<u64> = before.map(|item| item.2).collect();
                    prop_assert_eq!(queue.ahead(class), (costs.iter().sum(), costs.len() as u64));
                }
                prop_assert!(queue.items() <= 12);
                prop_assert!(queue.cost() <= 60 || queue.items() == 1);
                // Memory is bounded too: nodes are reused.
                prop_assert!(queue.nodes.len() <= 12);
                prop_assert_eq!(queue.head().is_none(), model.waiting.is_empty());
            }
            let left = queue.drain().len();
            prop_assert_eq!(left, model.waiting.len());
            prop_assert_eq!((queue.items(), queue.cost()), (0, 0));
        }
    }

    #[test]
    fn a_ticket_of_a_former_item_does_not_remove_its_successor() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut queue = Queue::new(LIMITS);
        let first = queue
            .push(Priority::Interactive, entry(1, 1, now, later))
            .expect("empty queue");
        assert_eq!(queue.remove(first).map(|entry| entry.payload), Some(1));
        let second = queue
            .push(Priority::Interactive, entry(2, 1, now, later))
            .expect("empty queue");
        assert_eq!(first.index, second.index);
        assert!(queue.remove(first).is_none());
        assert_eq!(queue.items(), 1);
    }
}
