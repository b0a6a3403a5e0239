//! The thread that makes what was decided durable: take the queue, write it, sync once, show it, answer. While one sync
//! runs the next round gathers, so no timer is needed: alone an append waits for one sync, a thousand share one.

use super::event::Event;
use super::shared::{Frame, Shared};
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
}

impl Committer {
    pub fn new(shared: Arc<Shared>, writer: Writer) -> Self {
        Self { shared, writer }
    }

    /// Runs until the log is closed or fails.
    pub fn run(mut self) {
        while self.wait() {
            self.round();
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
            self.shared.queued.wait(&mut sequencer);
        }
        true
    }

    /// One round; `false` if there was nothing to do.
    pub fn round(&mut self) -> bool {
        let mut frames = self.take();
        if frames.is_empty() || self.shared.check().is_err() {
            frames.drain(..).for_each(|frame| self.shared.refuse(frame));
            return false;
        }
        if let Err((what, error)) = self.commit(&mut frames) {
            self.shared.fail(what, &error);
            for frame in frames {
                self.shared.refuse(frame);
            }
            return true;
        }
        self.publish(&frames);
        self.shared.durable.send_replace(self.writer.next - 1);
        for frame in &mut frames {
            answer(frame);
        }
        self.shared.look_at_space();
        let mut laying = self.shared.laying.lock();
        laying.rounds.push_back(frames);
        self.shared.to_lay.notify_one();
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
        let writer = &mut self.writer;
        let durable = writer.next - 1;
        for frame in frames.iter() {
            debug_assert_eq!(frame.lsn, writer.next);
            writer.add(frame.events.iter().map(|(event, _)| event), durable);
        }
        self.shared
            .with_reserve(|| writer.write())
            .map_err(|error| ("write", error))?;
        for frame in &mut *frames {
            if matches!(frame.ack, Some((Acks::Written, _))) {
                answer(frame);
            }
        }
        let began = Instant::now();
        writer.sync().map_err(|error| ("sync", error))?;
        self.shared.metrics.synced(frames.len(), began.elapsed());
        let mut begun = None;
        self.shared
            .with_reserve(|| {
                begun = writer.rotate()?;
                Ok(())
            })
            .map_err(|error| ("begin a file", error))?;
        if let Some(first) = begun {
            self.shared.wal_files.lock().push_back(first);
        }
        Ok(())
    }

    /// Shows readers what is durable now.
    fn publish(&self, frames: &[Frame]) {
        for (event, live) in frames.iter().flat_map(|frame| &frame.events) {
            match (event, live) {
                (Event::Append { batch, .. }, Some(live)) => live.publish(batch.clone()),
                (Event::Start { offset, .. }, Some(live)) => live.start_at(*offset),
                (Event::Offsets { .. } | Event::Forget { .. } | Event::Removed { .. }, _) => {
                    self.shared.groups.write().apply(event);
                }
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
