//! Looking for damage in a log that is not open, and going on without what is lost.

use super::batch::Head;
use super::checkpoint;
use super::disk::Disk;
use super::error::{Error, Result, io};
use super::files::Files;
use super::image::{PartitionImage, folder};
use super::marker::marker;
use super::partition::segment::{Extent, Segment, index_path};
use super::recovery::{begin, restore, set_aside};
use super::types::Options;
use super::wal::{FOLDER, Scan};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{ErrorKind, IoSlice};
use std::ops::Range;
use std::sync::Arc;

/// Damage to acknowledged data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The topic that it is in, if that is known: its name, or the id of one that the checkpoint does not have yet.
    pub topic: Option<String>,
    /// The partition of it.
    pub partition: Option<u32>,
    /// The file, relative to the log's folder.
    pub path: String,
    /// The byte in it.
    pub at: u64,
    /// What is wrong.
    pub why: String,
    /// The offsets that cannot be read, the last excluded, if they are known. In a segment that was compacted not all of
    /// them had records.
    pub offsets: Option<Range<i64>>,
}

impl Damage {
    /// What an error says; `None` for one that is of no damage.
    fn of(error: &Error, place: Option<(&str, u32)>, offsets: Option<Range<i64>>) -> Option<Self> {
        let Error::Damaged { path, at, why } = error else {
            return None;
        };
        Some(Self {
            topic: place.map(|(topic, _)| topic.to_owned()),
            partition: place.map(|(_, partition)| partition),
            path: path.clone(),
            at: *at,
            why: why.clone(),
            offsets,
        })
    }
}

/// Reads everything that a log has on its disk and gives all damage to acknowledged data, each with its file and place.
/// Changes nothing. The log must not be open.
pub fn check(disk: Arc<dyn Disk>, options: &Options) -> Result<Vec<Error>> {
    let damages = examine(disk, options)?.into_iter();
    let error = |damage: Damage| Error::Damaged {
        path: damage.path,
        at: damage.at,
        why: damage.why,
    };
    Ok(damages.map(error).collect())
}

/// As [`check`], and says which topics and offsets are meant.
///
/// # Errors
/// When the disk cannot be read.
pub fn examine(disk: Arc<dyn Disk>, options: &Options) -> Result<Vec<Damage>> {
    let whole = checkpoint::damages(&*disk, &options.defaults)?;
    let whole = whole
        .iter()
        .filter_map(|error| Damage::of(error, None, None));
    let mut damages: Vec<Damage> = whole.collect();
    let Some(image) = checkpoint::read(&*disk, &options.defaults).or_else(|error| match error {
        // It is among the damages.
        Error::Damaged { .. } => Ok(None),
        error => Err(error),
    })?
    else {
        return Ok(damages);
    };
    match disk.list(FOLDER) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        _ => {
            let scan = Scan::new(&*disk, image.lsn)?;
            damages.extend(scan.damages.iter().filter_map(|damage| {
                let place = damage.place.map(|(id, partition)| {
                    let known = image.topics.get(&id);
                    let name = known.map_or_else(|| id.to_string(), |topic| topic.name.clone());
                    (name, partition)
                });
                let place = place
                    .as_ref()
                    .map(|(name, partition)| (&**name, *partition));
                Damage::of(&damage.error(), place, None)
            }));
        }
    }
    let files = Files::new(disk);
    for topic in image.topics.values() {
        for (index, partition) in (0..).zip(&topic.partitions) {
            let place = Some((&*topic.name, index));
            let refused = partition.refused.as_ref();
            damages.extend(refused.and_then(|error| Damage::of(error, place, None)));
            for (segment, end) in with_ends(partition) {
                for (error, offsets) in segment_damages(&files, segment, end)? {
                    match Damage::of(&error, place, Some(offsets)) {
                        Some(damage) => damages.push(damage),
                        None => return Err(error),
                    }
                }
            }
        }
    }
    Ok(damages)
}

/// The segments of a partition, each with the offset where the next begins.
fn with_ends(partition: &PartitionImage) -> impl Iterator<Item = (&Arc<Segment>, i64)> {
    let bases = partition.segments.iter().skip(1);
    let ends = bases.map(|segment| segment.base);
    let ends = ends.chain(std::iter::once(partition.next));
    partition.segments.iter().zip(ends)
}

/// The damage in a segment, and the offsets between what can be read before and after it.
fn segment_damages(files: &Files, segment: &Segment, end: i64) -> Result<Vec<(Error, Range<i64>)>> {
    if let Some(damage) = segment_damage(files, segment)? {
        // What is there is read as far as it goes; the rest is missing.
        let mut from = segment.base;
        if files.disk.open(&segment.path).is_ok() {
            segment.scan(files, |_, head, _| from = head.last_offset() + 1);
        }
        return Ok(vec![(damage, from..end.max(from))]);
    }
    let mut whole: Vec<(u64, Range<i64>)> = Vec::new();
    let damages = segment.scan(files, |at, head, _| {
        whole.push((at, head.base_offset..head.last_offset() + 1));
    });
    let lost = |error: Error| {
        let at = match &error {
            Error::Damaged { at, .. } => *at,
            _ => 0,
        };
        let after = whole.partition_point(|(place, _)| *place < at);
        let before = after.checked_sub(1).and_then(|last| whole.get(last));
        let from = before.map_or(segment.base, |(_, offsets)| offsets.end);
        let to = whole.get(after).map_or(end, |(_, offsets)| offsets.start);
        (error, from..to.max(from))
    };
    Ok(damages.into_iter().map(lost).collect())
}

/// Whether a segment's file is not as long as it should be.
pub(crate) fn segment_damage(files: &Files, segment: &Segment) -> Result<Option<Error>> {
    let bytes = segment.bytes();
    let damaged = |at, why: String| {
        Ok(Some(Error::Damaged {
            path: segment.path.clone(),
            at,
            why,
        }))
    };
    let file = match files.disk.open(&segment.path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return damaged(0, "the file is missing".to_owned());
        }
        file => file.map_err(io("open", &segment.path))?,
    };
    let length = file.length().map_err(io("look at", &segment.path))?;
    match length < bytes {
        true => damaged(
            length,
            format!("the file has {length} bytes, its segment {bytes}"),
        ),
        false => Ok(None),
    }
}

/// Makes a log usable again without the acknowledged data that is damaged, and gives what that is. Whole batches that
/// can still be read are kept, at their offsets; where others were, offsets are missing. Partitions that lost something
/// get another leader epoch. Damaged files are kept in the folder `damaged`. The log must not be open.
pub fn repair(disk: Arc<dyn Disk>, options: Options) -> Result<Vec<Error>> {
    let mut lost = checkpoint::damages(&*disk, &options.defaults)?;
    let mut store = restore(disk, options, true, &mut lost)?;
    let files = store.files.clone();
    for (id, topic) in &mut store.image.topics {
        for (index, partition) in topic.partitions.iter_mut().enumerate() {
            let folder = folder(*id, index as u32);
            let before = lost.len();
            lost.extend(partition.refused.take());
            let mut kept: Vec<Arc<Segment>> = Vec::new();
            for (segment, end) in with_ends(partition) {
                let markers = partition.decisions.markers(segment.base, end).collect();
                kept.extend(rescue(&files, &folder, segment, markers, &mut lost)?);
            }
            partition.segments = kept;
            if lost.len() > before {
                partition.begin_epoch();
                partition.producers.clear();
            }
        }
    }
    store.sync().map_err(io("sync", "segments"))?;
    store.keep_image().map_err(io("write", "checkpoint"))?;
    begin(&mut store)?;
    Ok(lost)
}

/// A segment with what can be read of it; none if nothing can. `markers` are those of transactions that were aborted, as
/// offset and producer. One that is lost is written again: readers leave out everything of a producer until they come to it.
fn rescue(
    files: &Files,
    folder: &str,
    segment: &Arc<Segment>,
    mut markers: BTreeMap<i64, i64>,
    lost: &mut Vec<Error>,
) -> Result<Option<Arc<Segment>>> {
    let before = lost.len();
    let missing = segment_damage(files, segment)?;
    let mut batches: Vec<Bytes> = Vec::new();
    let mut max_timestamp = -1;
    let damages = segment.scan(files, |_, head, batch| {
        max_timestamp = max_timestamp.max(head.max_timestamp);
        markers.remove(&head.base_offset);
        batches.push(batch);
    });
    match missing {
        Some(missing) => lost.push(missing),
        None => lost.extend(damages),
    }
    if lost.len() == before {
        return Ok(Some(segment.clone()));
    }
    let epoch = segment.extent().epoch;
    batches.extend(markers.into_iter().map(|(offset, producer)| {
        let fresh = marker(producer, 0, false, max_timestamp.max(0), false);
        fresh.place(offset, epoch).1
    }));
    batches.sort_by_key(|batch| Head::read(batch).map(|head| head.base_offset));
    set_aside(&*files.disk, &segment.path)?;
    let index = index_path(&segment.path);
    files.remove(&index).map_err(io("remove", &index))?;
    if batches.is_empty() {
        files
            .remove(&segment.path)
            .map_err(io("remove", &segment.path))?;
        return Ok(None);
    }
    let path = &segment.path;
    let aside = format!("{path}.new");
    let write = || {
        let file = files.disk.create(&aside)?;
        let slices: Vec<IoSlice<'_>> = batches.iter().map(|batch| IoSlice::new(batch)).collect();
        file.write_at(&slices, 0)?;
        file.sync()?;
        files.replace(&aside, path)?;
        files.disk.sync_folder(folder)
    };
    write().map_err(io("rewrite", path))?;
    let extent = Extent {
        bytes: batches.iter().map(|batch| batch.len() as u64).sum(),
        max_timestamp,
        gaps: true,
        ..segment.extent()
    };
    Ok(Some(Arc::new(Segment::known(folder, segment.base, extent))))
}
