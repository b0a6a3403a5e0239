//! Opening a log: what the last run left becomes a checkpoint, empty write-ahead log and segments that agree.
//!
//! The checkpoint says how long every segment was when it was made, and the write-ahead log has all that came after.
//! So segments are cut to what the checkpoint says and the rest is laid down again; nothing has to be searched. The
//! write-ahead log is only read: a torn end is left where it is, until the checkpoint that this ends with makes the
//! whole file unneeded. A crash during any of it is the same as the crash before.

use super::check::segment_damage;
use super::checkpoint;
use super::disk::Disk;
use super::error::{Error, Result, io};
use super::files::Files;
use super::image::{Image, PartitionImage, folder};
use super::partition::segment::{index_path, named};
use super::sequencer::Sequencer;
use super::shared::Shared;
use super::store::{Reserve, Store, relieve};
use super::types::Options;
use super::wal::{self, Scan, Writer};
use std::collections::{BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Where files go that have damage.
pub(crate) const DAMAGED: &str = "damaged";

/// Bytes that are read from the write-ahead log before they are laid down.
const AT_ONCE: usize = 16 << 20;

/// Opens a log.
pub(crate) fn recover(
    disk: Arc<dyn Disk>,
    options: Options,
) -> Result<(Arc<Shared>, Writer, Store)> {
    let mut store = restore(disk, options, false, &mut Vec::new())?;
    for topic in store.image.topics.values() {
        for (partition, found) in (0_u32..).zip(&topic.partitions) {
            if let Some(error) = &found.refused {
                let topic = &*topic.name;
                tracing::error!(topic, partition, %error, "a partition is out of use");
            }
        }
    }
    if let Err(error) = store.reserve() {
        tracing::warn!(%error, "no reserve could be kept");
    }
    let (writer, wal_files) = match begin(&mut store) {
        Err(error) if is_full(&error) && relieve(&store.files, Reserve::Begun) => {
            begin(&mut store)?
        }
        begun => begun?,
    };
    let waiting = Arc::new(AtomicUsize::new(0));
    let sequencer = Sequencer::new(&store.image, waiting.clone());
    let shared = Shared::new(
        store.options.clone(),
        store.files.clone(),
        store.image.cluster,
        sequencer,
        waiting,
        store.image.groups.clone(),
        wal_files,
    );
    shared.look_at_space();
    let now = (shared.options.clock)();
    shared.sequencer.lock().abort_stray(now);
    Ok((Arc::new(shared), writer, store))
}

/// Brings segments and image up to date, begins a leader epoch unless the log was closed, and makes a checkpoint of it all. With `lenient`, goes on without what is lost
/// in the write-ahead log, and says what that is; segments are the caller's to look after.
pub(crate) fn restore(
    disk: Arc<dyn Disk>,
    options: Options,
    lenient: bool,
    lost: &mut Vec<Error>,
) -> Result<Store> {
    for path in [wal::FOLDER, "topics"] {
        disk.create_folder(path).map_err(io("make", path))?;
    }
    disk.sync_folder("").map_err(io("sync", "the folder"))?;
    let image = first_image(&*disk, &options)?;
    let files = Arc::new(Files::new(disk.clone()));
    let mut store = Store::new(files, options, image);
    store.lenient = lenient;
    remove_doomed(&mut store)?;
    agree(&mut store)?;
    replay(&mut store, lost)?;
    if !std::mem::take(&mut store.image.closed) && !lenient {
        // As with a new leader of Kafka: a reader learns that it has to look whether what it read is still there, which it is
        // unless its topic prefers speed.
        let topics = store.image.topics.values_mut();
        let partitions = topics.flat_map(|topic| &mut topic.partitions);
        partitions.for_each(PartitionImage::begin_epoch);
    }
    match keep(&mut store) {
        Err(error) if is_full(&error) && relieve(&store.files, Reserve::Checkpoint) => {
            keep(&mut store)?
        }
        kept => kept?,
    }
    Ok(store)
}

fn is_full(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } => super::disk::is_full(source),
        _ => false,
    }
}

/// Begins the write-ahead log anew, and removes what was there before.
pub(crate) fn begin(store: &mut Store) -> Result<(Writer, VecDeque<u64>)> {
    let disk = &store.files.disk;
    let next = store.image.lsn + 1;
    let options = &store.options;
    let writer = Writer::begin(disk.clone(), next, options.wal_bytes, options.salts.clone())
        .map_err(io("begin", &wal::path(next)))?;
    let names = disk.list(wal::FOLDER).map_err(io("list", wal::FOLDER))?;
    let mut files: VecDeque<u64> = names
        .iter()
        .filter_map(|name| wal::first_of(name))
        .collect();
    store.clean(&mut files, None);
    Ok((writer, files))
}

fn first_image(disk: &dyn Disk, options: &Options) -> Result<Image> {
    if let Some(image) = checkpoint::read(disk, &options.defaults)? {
        return Ok(image);
    }
    for path in [wal::FOLDER, "topics"] {
        if !disk.list(path).map_err(io("list", path))?.is_empty() {
            return Err(Error::Damaged {
                path: "checkpoint".to_owned(),
                at: 0,
                why: "it is missing, and there is data".to_owned(),
            });
        }
    }
    let image = Image::new((options.ids)());
    checkpoint::write(disk, &image).map_err(io("write", "checkpoint"))?;
    Ok(image)
}

fn remove_doomed(store: &mut Store) -> Result<()> {
    for doomed in std::mem::take(&mut store.image.doomed) {
        store.remove(&doomed).map_err(io("remove", &doomed))?;
    }
    Ok(())
}

/// Cuts every partition's segments to what the checkpoint knows. What is behind that was laid down later, and is laid
/// down again.
fn agree(store: &mut Store) -> Result<()> {
    let disk = &store.files.disk;
    let mut swept = Vec::new();
    let folders = disk.list("topics").map_err(io("list", "topics"))?;
    let mut folders: BTreeSet<String> = folders
        .into_iter()
        .map(|name| format!("topics/{name}"))
        .collect();
    for (id, topic) in &mut store.image.topics {
        for (index, partition) in topic.partitions.iter_mut().enumerate() {
            let folder = folder(*id, index as u32);
            folders.remove(&folder);
            let known: BTreeSet<String> = partition
                .segments
                .iter()
                .map(|segment| segment.path.clone())
                .collect();
            if sweep(&store.files, &folder, &known, partition.next)? {
                swept.push(folder);
            }
            if let Some(last) = partition.segments.last() {
                // It may have been sealed with more than it has now.
                let index = index_path(&last.path);
                store.files.remove(&index).map_err(io("remove", &index))?;
            }
            for segment in &partition.segments {
                if let Some(damage) = segment_damage(&store.files, segment)? {
                    partition.refused.get_or_insert(damage);
                    continue;
                }
                let cut = disk.open(&segment.path).and_then(|file| {
                    match file.length()? > segment.bytes() {
                        true => file.set_length(segment.bytes()),
                        false => Ok(()),
                    }
                });
                cut.map_err(io("cut", &segment.path))?;
            }
        }
    }
    for folder in folders {
        // Of a topic that was made later: all of it is laid down again.
        if sweep(&store.files, &folder, &BTreeSet::new(), 0)? {
            swept.push(folder);
        }
    }
    for folder in swept {
        store.changed(folder);
    }
    Ok(())
}

/// Removes files of segments that no checkpoint came to know: those that were laid down later, from the offset `next` on,
/// and those that compaction wrote; whether there were any. What else is there is none of ours.
fn sweep(files: &Files, folder: &str, known: &BTreeSet<String>, next: i64) -> Result<bool> {
    let names = match files.disk.list(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(false);
        }
        names => names.map_err(io("list", folder))?,
    };
    let mut swept = false;
    for name in names {
        let Some((base, generation)) = named(&name) else {
            continue;
        };
        let file = format!("{folder}/{name}");
        let log = file.rsplit_once('.').map(|(stem, _)| format!("{stem}.log"));
        let is_known = log.is_some_and(|log| known.contains(&log));
        if !is_known && (base >= next || generation > 0) {
            files.remove(&file).map_err(io("remove", &file))?;
            swept = true;
        }
    }
    Ok(swept)
}

/// Lays down what the write-ahead log has after the checkpoint.
fn replay(store: &mut Store, lost: &mut Vec<Error>) -> Result<()> {
    let disk = store.files.disk.clone();
    let scan = Scan::new(&*disk, store.image.lsn)?;
    let unplaced = scan.damages.iter().find(|damage| damage.place.is_none());
    if let Some(damage) = unplaced
        && !store.lenient
    {
        return Err(damage.error());
    }
    store.lost_ends = unplaced.is_some();
    store.replays = true;
    let mut bytes = 0;
    scan.replay(&*disk, |lsn, events| {
        for event in events {
            if let super::event::Event::Append { batch, .. } = &event {
                bytes += batch.len();
            }
            store.plan(event, None);
        }
        store.reached(lsn);
        if bytes >= AT_ONCE {
            bytes = 0;
            execute(store)?;
        }
        Ok(())
    })?;
    store.reached(scan.end - 1);
    execute(store)?;
    store.replays = false;
    if let Some(topic) = store.unexplained.first() {
        let why = format!("batches belong to {topic}, which is not there");
        return Err(io("lay down", "segments")(std::io::Error::other(why)));
    }
    let mut damaged = BTreeSet::new();
    for damage in &scan.damages {
        damaged.insert(damage.path.clone());
        if damage.place.is_none() {
            lost.push(damage.error());
        }
        if let Some((topic, partition)) = damage.place
            && let Some(found) = store.image.partition(topic, partition)
        {
            found.refused.get_or_insert_with(|| damage.error());
        }
    }
    for path in damaged {
        set_aside(&*disk, &path)?;
    }
    Ok(())
}

fn execute(store: &mut Store) -> Result<()> {
    match store.execute() {
        Err(error) if super::disk::is_full(&error) && relieve(&store.files, Reserve::Begun) => {
            store.execute()
        }
        done => done,
    }
    .map_err(io("lay down", "segments"))
}

/// Copies a file to where damaged files are kept. The file itself goes when nothing needs it.
pub(crate) fn set_aside(disk: &dyn Disk, from: &str) -> Result<()> {
    let source = match disk.open(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        source => source.map_err(io("open", from))?,
    };
    disk.create_folder(DAMAGED).map_err(io("make", DAMAGED))?;
    let to = format!("{DAMAGED}/{}", from.replace('/', "_"));
    let copy = disk.create(&to).map_err(io("make", &to))?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let read = source.read_at(&mut buffer, at).map_err(io("read", from))?;
        if read == 0 {
            break;
        }
        copy.write_at(&[std::io::IoSlice::new(&buffer[..read])], at)
            .map_err(io("write", &to))?;
        at += read as u64;
    }
    copy.sync().map_err(io("sync", &to))?;
    disk.sync_folder(DAMAGED).map_err(io("sync", DAMAGED))?;
    disk.sync_folder("").map_err(io("sync", "the folder"))
}

fn keep(store: &mut Store) -> Result<()> {
    store.sync().map_err(io("sync", "segments"))?;
    store.keep_image().map_err(io("write", "checkpoint"))
}
