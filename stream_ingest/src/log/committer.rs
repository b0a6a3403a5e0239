//! The thread that makes what was decided durable: take the queue, write it, sync once, show it, answer. While one sync
//! runs the next round gathers, so no timer is needed: alone an append waits for one sync, a thousand share one.
//!
//! A round in which every frame may wait ([`Flush::Later`]) is shown and answered without a sync, until as many records or
//! as much time as one of their topics allows have gathered. The order stays: when a frame is durable, all before it are.

use super::event::Event;
use super::shared::{Flush, Frame, Shared};
use super::store::Reserve;
use super::types::Acks;
use super::wal::Writer;
use parking_lot::MutexGuard;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// The end of the write-ahead log and the queue before it.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    writer: Writer,
    /// The last LSN that is durable for certain.
    synced: u64,
    owed: Owed,
}

/// What is written and not synced.
#[derive(Debug, Default)]
struct Owed {
    frames: usize,
    records: u64,
    /// Records with which the sync is due.
    most: u64,
    /// When it is due.
    until: Option<Instant>,
}

impl Owed {
    /// Takes a frame in; whether it has to be durable now.
    fn add(&mut self, flush: Flush, now: Instant) -> bool {
        self.frames += 1;
        let Flush::Later {
            records,
            most,
            within,
        } = flush
        else {
            return true;
        };
        self.most = match self.records {
            0 => most,
            _ => self.most.min(most),
        };
        self.records = self.records.saturating_add(records);
        let until = within.and_then(|within| now.checked_add(within));
        self.until = match (self.until, until) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.records >= self.most || self.is_late(now)
    }

    fn is_late(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Committer {
    pub fn new(shared: Arc<Shared>, writer: Writer) -> Self {
        Self {
            synced: writer.next - 1,
            shared,
            writer,
            owed: Owed::default(),
        }
    }

    /// Runs until the log is closed or fails.
    pub fn run(mut self) {
        while self.wait() {
            self.round();
        }
        if self.shared.check().is_ok()
            && let Err(error) = self.sync()
        {
            self.shared.fail("sync", &error);
        }
        // What is behind the last frame stays where this fails: nobody takes it for one.
        if let Err(error) = self.writer.end() {
            tracing::warn!(%error, "the write-ahead log could not be cut to its length");
        }
        let mut laying = self.shared.laying.lock();
        laying.closing = true;
        self.shared.to_lay.notify_all();
    }

    /// Waits for something to do; `false` when there will be nothing more.
    fn wait(&self) -> bool {
        let mut sequencer = self.shared.sequencer.lock();
        while sequencer.queue.is_empty() {
            if sequencer.is_closed() {
                return false;
            }
            match self.owed.until {
                Some(until) => {
                    let waited = self.shared.queued.wait_until(&mut sequencer, until);
                    if waited.timed_out() {
                        return true;
                    }
                }
                None => self.shared.queued.wait(&mut sequencer),
            }
        }
        true
    }

    /// One round; `false` if there was nothing to do.
    pub fn round(&mut self) -> bool {
        let mut frames = self.take();
        if self.shared.check().is_err() {
            frames.drain(..).for_each(|frame| self.shared.refuse(frame));
            self.owed = Owed::default();
            return false;
        }
        if frames.is_empty() {
            let late = self.owed.is_late(Instant::now());
            if late && let Err(error) = self.sync() {
                self.shared.fail("sync", &error);
            }
            return late;
        }
        if let Err((what, error)) = self.commit(&mut frames) {
            self.shared.fail(what, &error);
            for frame in frames {
                self.shared.refuse(frame);
            }
            return true;
        }
        self.publish(&frames);
        self.shared.settled.send_replace(self.writer.next - 1);
        for frame in &mut frames {
            answer(frame);
        }
        self.shared.look_at_space();
        let mut laying = self.shared.laying.lock();
        if laying.push(frames, &self.shared.options) {
            self.shared.to_lay.notify_one();
        }
        true
    }

    /// What is queued, as much as a round takes.
    fn take(&self) -> Vec<Frame> {
        let mut sequencer = self.shared.sequencer.lock();
        let mut bytes = 0;
        let limit = self.shared.options.round_bytes;
        let count = sequencer
            .queue
            .iter()
            .take_while(|frame| {
                let taken = bytes < limit;
                bytes += frame.bytes;
                taken
            })
            .count();
        let frames = sequencer.queue.drain(..count).collect();
        MutexGuard::unlock_fair(sequencer);
        frames
    }

    fn commit(&mut self, frames: &mut [Frame]) -> Result<(), (&'static str, io::Error)> {
        let (writer, durable) = (&mut self.writer, self.synced);
        for frame in frames.iter() {
            debug_assert_eq!(frame.lsn, writer.next);
            writer.add(frame.events.iter().map(|(event, _)| event), durable);
        }
        self.shared
            .with_reserve(&[Reserve::Begun], || writer.write())
            .map_err(|error| ("write", error))?;
        writer.written();
        for frame in &mut *frames {
            if matches!(frame.ack, Some((Acks::Written, _))) {
                answer(frame);
            }
        }
        let now = Instant::now();
        let mut due = self.writer.is_full();
        for frame in frames.iter() {
            due |= self.owed.add(frame.flush, now);
        }
        if due {
            self.sync().map_err(|error| ("sync", error))?;
        }
        let (writer, spare) = (&mut self.writer, &self.shared.spare);
        let mut begun = None;
        self.shared
            .with_reserve(&[Reserve::Begun], || {
                begun = writer.rotate(spare)?;
                Ok(())
            })
            .map_err(|error| ("begin a file", error))?;
        if let Some(first) = begun {
            self.shared.wal_files.lock().push_back(first);
        }
        Ok(())
    }

    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()> {
        if self.synced == self.writer.next - 1 {
            return Ok(());
        }
        let began = Instant::now();
        self.writer.sync()?;
        self.shared
            .metrics
            .synced(self.owed.frames, began.elapsed());
        self.owed = Owed::default();
        self.synced = self.writer.next - 1;
        #[cfg(test)]
        self.shared
            .synced
            .store(self.synced, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    }

    /// Shows readers what they may see now.
    fn publish(&self, frames: &[Frame]) {
        for (event, live) in frames.iter().flat_map(|frame| &frame.events) {
            match (event, live) {
                (Event::Append { batch, .. }, Some(live)) => live.publish(batch.clone()),
                (Event::Start { offset, .. }, Some(live)) => live.start_at(*offset),
                (
                    Event::Offsets { .. }
                    | Event::Forget { .. }
                    | Event::Expired { .. }
                    | Event::Members { .. }
                    | Event::Removed { .. },
                    _,
                ) => self.shared.groups.write().apply(event),
                _ => {}
            }
        }
    }
}

fn answer(frame: &mut Frame) {
    if let Some((_, reply)) = frame.ack.take() {
        // Who does not wait any more has nothing to be told.
        let _ = reply.send(Ok(()));
    }
}
