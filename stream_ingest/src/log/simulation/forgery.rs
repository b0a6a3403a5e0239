//! Records that look like frames of the write-ahead log.

use super::world::{Op, World, options};
use crate::log::codec::Put;
use crate::log::disk::Disk;
use crate::log::disk::simulated::{Draw, Simulated};
use crate::log::event::Event;
use crate::log::testing::batch;
use crate::log::types::Committed;
use crate::log::wal::{FOLDER, Scan, path};
use crate::log::{Acks, Options};
use bytes::Bytes;
use std::io::IoSlice;

/// One that no file has.
const SALT: u64 = 3;

/// A frame that commits offsets of a group which nobody has. With a salt it has the form that is written, without that of
/// version 1.
fn frame(lsn: u64, durable: u64, salt: Option<u64>) -> Vec<u8> {
    let event = Event::Offsets {
        group: "forged".to_owned(),
        offsets: vec![(("t".to_owned(), 0), Committed::at(1))],
    };
    let mut payload = Vec::new();
    event.encode(&mut payload);
    let mut head = Vec::new();
    if let Some(salt) = salt {
        head.u64(salt);
    }
    head.u32(crc32c::crc32c(&payload));
    head.u32(payload.len() as u32);
    head.u64(lsn);
    head.u64(durable);
    head.extend([0; 16]);
    head.u32(u32::MAX);
    let mut frame = b"\xe5FR".to_vec();
    frame.push(if salt.is_some() { 2 } else { 1 });
    frame.u32(crc32c::crc32c(&head));
    frame.extend(head);
    frame.extend(payload);
    frame
}

/// A batch of such frames in both forms: those that would come next, and one that is far ahead.
fn forged(next: u64) -> Bytes {
    let mut value = Vec::new();
    for lsn in (next..next + 12).chain([1 << 62]) {
        for salt in [Some(SALT), None] {
            value.extend(frame(lsn, lsn - 1, salt));
        }
    }
    batch(&[&value], None, 5)
}

fn append_forged(world: &mut World) {
    let batch = forged(world.first + world.states.len() as u64);
    let _pending = world
        .log
        .submit("t", 0, batch.clone(), Acks::Durable)
        .unwrap();
    world.frame(|model| model.append("t", 0, &batch));
}

/// After a crash the log is what it was after some frame, and no forged one is among them: neither where a frame is torn
/// whose records are there, nor in what a file had before it was used again.
#[test]
fn records_are_not_taken_for_frames() {
    let mut again = 0;
    for rounds in 0..16 {
        let mut world = World::with(Options {
            wal_bytes: 8000,
            ..options()
        });
        for _ in 0..rounds {
            append_forged(&mut world);
            for op in [Op::Round, Op::Lay, Op::Lay, Op::Checkpoint] {
                world.act(op).unwrap();
            }
        }
        world.settle();
        append_forged(&mut world);
        // It is written, and the power goes off while it is synced.
        world.disk.cut_at(world.disk.operations() + 1);
        assert!(world.act(Op::Round).is_err());
        let last = world.disk.files().into_iter().rfind(is_wal);
        let (path, _) = last.unwrap();
        world.disk.copy().damage(&path, |content| {
            let stale = content.windows(6).filter(|bytes| *bytes == b"forged");
            again += usize::from(stale.count() > 26);
        });
        for seed in 0..40 {
            let left = world.disk.crash(&mut Draw::new(seed));
            world.recover(&left).unwrap();
        }
    }
    assert!(again > 4, "{again}");
}

fn is_wal((path, _): &(String, usize)) -> bool {
    path.starts_with(FOLDER) && path.ends_with(".wal")
}

/// Files of version 1 have no salt: what looks like a frame may be one, but not further ahead than frames have room before
/// it.
#[test]
fn frames_are_not_further_ahead_than_there_is_room() {
    let disk = Simulated::new();
    disk.create_folder(FOLDER).unwrap();
    let mut content = b"ESCALWAL".to_vec();
    content.u32(1);
    content.u64(1);
    content.u32(crc32c::crc32c(&content));
    content.extend(frame(1, 0, None));
    let torn = content.len() as u64;
    let mut lost = frame(2, 1, None);
    lost[10] ^= 1;
    content.extend(lost);
    let fits = content.clone();
    for (lsn, known) in [(3, true), (4, true), (5, false), (1 << 62, false)] {
        let mut content = fits.clone();
        content.extend(frame(lsn, lsn - 1, None));
        let file = disk.create(&path(1)).unwrap();
        file.write_at(&[IoSlice::new(&content)], 0).unwrap();
        let scan = Scan::new(&disk, 0).unwrap();
        match known {
            true => {
                let [damage] = &scan.damages[..] else {
                    panic!("{:?}", scan.damages);
                };
                assert_eq!((damage.at, damage.lsns.clone()), (torn, 2..lsn));
                assert_eq!(scan.end, lsn + 1);
            }
            false => assert_eq!((scan.damages.len(), scan.end), (0, 2)),
        }
    }
}
