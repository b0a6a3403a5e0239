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
use std::sync::Arc;

/// Reads everything that a log has on its disk and gives all damage to acknowledged data, each with its file and place.
/// Changes nothing. The log must not be open.
pub fn check(disk: Arc<dyn Disk>, options: &Options) -> Result<Vec<Error>> {
    let mut damages = checkpoint::damages(&*disk, &options.defaults)?;
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
            damages.extend(scan.damages.iter().map(|damage| damage.error()));
        }
    }
    let files = Files::new(disk);
    for topic in image.topics.values() {
        for partition in &topic.partitions {
            damages.extend(partition.refused.clone());
            for segment in &partition.segments {
                let found = match segment_damage(&files, segment)? {
                    Some(damage) => vec![damage],
                    None => segment.scan(&files, |_, _| {}),
                };
                damages.extend(found);
            }
        }
    }
    Ok(damages)
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
            let bases = partition.segments.iter().skip(1);
            let mut ends = bases.map(|segment| segment.base);
            for segment in &partition.segments {
                let end = ends.next().unwrap_or(partition.next);
                let markers = partition.decisions.markers(segment.base, end).collect();
                kept.extend(rescue(&files, &folder, segment, markers, &mut lost)?);
            }
            partition.segments = kept;
            if lost.len() > before {
                begin_epoch(partition);
            }
        }
    }
    store.sync().map_err(io("sync", "segments"))?;
    store.keep_image().map_err(io("write", "checkpoint"))?;
    begin(&mut store)?;
    Ok(lost)
}

fn begin_epoch(partition: &mut PartitionImage) {
    partition
        .epochs
        .push((partition.epoch() + 1, partition.next));
    partition.producers.clear();
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
    let damages = segment.scan(files, |head, batch| {
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
        files.remove(path)?;
        files.disk.rename(&aside, path)?;
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
