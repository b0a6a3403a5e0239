//! Where appends are checked.

use super::*;
use crate::log::disk::simulated::Simulated;
use crate::log::testing::{keyed, packed};
use futures_util::FutureExt;
use std::sync::mpsc;

/// A batch may become 128 MiB when it is decompressed: meanwhile other tasks go on.
#[test]
fn batches_are_packed_and_unpacked_on_threads_that_may_block() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let disk = Arc::new(Simulated::new());
        let options = Options {
            reserve_bytes: 0,
            ..Options::default()
        };
        let (log, ..) = Log::open_stepped(disk, options).unwrap();
        for (name, compression) in [("plain", "producer"), ("packed", "lz4")] {
            log.submit_topic(name, 1, &[("compression.type", compression)])
                .unwrap();
        }
        let batch = keyed(&[("key", Some("value"))], None, 5);
        let submit = |topic, batch| {
            let submitted = log.submit_with_room(None, topic, 0, batch, Acks::Durable);
            Box::pin(submitted)
        };
        // The only such thread is taken.
        let (release, taken) = mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || taken.recv());
        for codec in 1..=4 {
            let packed = packed(&batch, codec);
            let mut waiting = submit("plain", packed.clone());
            assert!((&mut waiting).now_or_never().is_none(), "{codec}");
        }
        let mut waiting = submit("packed", batch.clone());
        assert!((&mut waiting).now_or_never().is_none());
        let at_once = submit("plain", batch.clone()).now_or_never();
        assert_eq!(at_once.unwrap().unwrap().base_offset(), 0);
        let waiting = submit("plain", packed(&batch, 4));
        let free = async { drop(release) };
        let (pending, ()) = futures_util::join!(waiting, free);
        assert_eq!(pending.unwrap().base_offset(), 1);
        assert!(busy.await.unwrap().is_err());
    });
}
