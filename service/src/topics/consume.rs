//! Records out of a topic: a reader stands somewhere in some partitions, reads what comes next and waits for more.

use super::record::RecordView;
use super::{Error, Result, log_of};
use crate::app::App;
use escala_stream_ingest::log::{Isolation, Log};
use escala_stream_ingest::records::{self, extent};
use futures_util::future::select_all;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use tokio::sync::watch;

/// Most partitions that are read together.
pub const MOST_PARTITIONS: u32 = 256;
/// What is read of a partition before the next one has its turn; a batch is read whole.
const TURN: usize = 256 << 10;

/// The next offset of each of some partitions, as text `0:15,1:20`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position(pub BTreeMap<u32, i64>);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (partition, offset)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{partition}:{offset}")?;
        }
        Ok(())
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let text: String = text.chars().take(100).collect();
            Error::Invalid(format!(
                "`{text}` is not a position such as 0:15,1:20, a partition and its next offset each"
            ))
        };
        let mut next = BTreeMap::new();
        for one in text.split(',') {
            let (partition, offset) = one.split_once(':').ok_or_else(wrong)?;
            let partition = partition.trim().parse::<u32>().map_err(|_| wrong())?;
            let offset = offset.trim().parse::<i64>().map_err(|_| wrong())?;
            if offset < 0 || next.insert(partition, offset).is_some() {
                return Err(wrong());
            }
            if next.len() > MOST_PARTITIONS as usize {
                let message = format!("a position has at most {MOST_PARTITIONS} partitions");
                return Err(Error::Invalid(message));
            }
        }
        Ok(Self(next))
    }
}

/// Where a reader begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// With the first record that is there.
    #[default]
    Earliest,
    /// With the next record that comes.
    Latest,
    /// With an offset of the only partition that is read.
    Offset(i64),
    /// Where another reader stopped; partitions that it did not know, with their first record.
    Position(Position),
    /// With the first record that is not older, in milliseconds since 1970.
    Time(i64),
}

impl FromStr for Start {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ if text.contains(':') => text.parse().map(Self::Position),
            _ => match text.parse::<i64>() {
                Ok(offset) if offset >= 0 => Ok(Self::Offset(offset)),
                _ => {
                    let text: String = text.chars().take(100).collect();
                    Err(Error::Invalid(format!(
                        "`{text}` is not an offset: give a number, `earliest`, `latest` or a position such as 0:15,1:20"
                    )))
                }
            },
        }
    }
}

/// How much is read at once.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Records.
    pub records: usize,
    /// Bytes of them as JSON, unless the first one is more.
    pub bytes: usize,
}

/// A record that was read.
#[derive(Debug)]
pub struct Shown {
    /// Its partition.
    pub partition: u32,
    /// The offset behind it.
    pub next: i64,
    /// The record as JSON.
    pub json: String,
}

/// A reader of a topic.
pub struct Reader {
    log: Log,
    topic: String,
    /// Whether partitions that are added are read too.
    grows: bool,
    position: Position,
    /// The partition that is read first next time.
    turn: u32,
    /// One for each partition of `position`.
    moves: Vec<watch::Receiver<i64>>,
}

impl Reader {
    /// A reader of a partition, or of all.
    ///
    /// # Errors
    /// When there is no such topic or partition, there are too many partitions, or the start does not fit.
    pub async fn open(
        app: &App,
        topic: &str,
        partition: Option<u32>,
        start: Start,
    ) -> Result<Self> {
        let log = log_of(app)?.clone();
        let partitions = log.topic(topic)?.partitions;
        let read: Vec<u32> = match partition {
            Some(partition) => vec![partition],
            None if partitions <= MOST_PARTITIONS => (0..partitions).collect(),
            None => return Err(too_many(partitions)),
        };
        let name = topic.to_owned();
        let found = {
            let log = log.clone();
            // Times are looked up on the disk.
            tokio::task::spawn_blocking(move || begin(&log, &name, &read, start)).await
        };
        let position = found.map_err(|error| Error::Internal(error.to_string()))??;
        let mut reader = Self {
            log,
            topic: topic.to_owned(),
            grows: partition.is_none(),
            position,
            turn: 0,
            moves: Vec::new(),
        };
        reader.watch()?;
        Ok(reader)
    }

    fn watch(&mut self) -> Result<()> {
        let partitions = self.position.0.keys();
        let moves = partitions.map(|partition| self.log.watch(&self.topic, *partition));
        self.moves = moves.collect::<std::result::Result<_, _>>()?;
        Ok(())
    }

    /// Where it stands.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// For each partition: its first offset and the one behind its last committed record.
    ///
    /// # Errors
    /// When the topic is gone.
    pub fn extents(&self) -> Result<Vec<(u32, i64, i64)>> {
        let partitions = self.position.0.keys();
        let extents = partitions.map(|partition| {
            let state = self.log.describe(&self.topic, *partition)?;
            Ok((*partition, state.log_start, state.last_stable))
        });
        extents.collect()
    }

    /// The records that come next; none when there are none yet.
    ///
    /// # Errors
    /// When the topic is gone, what comes next was deleted meanwhile, or the disk has damage there.
    pub async fn read(&mut self, app: &App, most: Most) -> Result<Vec<Shown>> {
        if self.grows {
            self.grow()?;
        }
        // What comes from here on is noticed, and what came before is read.
        for moved in &mut self.moves {
            moved.borrow_and_update();
        }
        let place = app.topics.reads.clone().acquire_owned().await;
        let place = place.map_err(|error| Error::Internal(error.to_string()))?;
        let (log, topic) = (self.log.clone(), self.topic.clone());
        let (mut position, turn) = (self.position.clone(), self.turn);
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            let shown = read(&log, &topic, &mut position, turn, most)?;
            Ok::<_, Error>((shown, position))
        });
        let (shown, position) = done
            .await
            .map_err(|error| Error::Internal(error.to_string()))??;
        self.position = position;
        self.turn = self.turn.wrapping_add(1);
        let mut given: BTreeMap<u32, (usize, u64)> = BTreeMap::new();
        for one in &shown {
            let (bytes, records) = given.entry(one.partition).or_default();
            *bytes += one.json.len();
            *records += 1;
        }
        for (partition, (bytes, records)) in given {
            self.log.given(&self.topic, partition, bytes, records);
        }
        Ok(shown)
    }

    /// Reads partitions that were added, from their beginning.
    fn grow(&mut self) -> Result<()> {
        let partitions = self.log.topic(&self.topic)?.partitions;
        if partitions > MOST_PARTITIONS {
            return Err(too_many(partitions));
        }
        let known = self.position.0.len() as u32;
        if partitions > known {
            self.position
                .0
                .extend((known..partitions).map(|new| (new, 0)));
            self.watch()?;
        }
        Ok(())
    }

    /// Comes back when there may be more to read.
    pub async fn more(&mut self) {
        let moves = self.moves.iter_mut().map(|moved| Box::pin(moved.changed()));
        // An error says that the topic is gone, which reading tells.
        let _ = select_all(moves).await;
    }
}

fn too_many(partitions: u32) -> Error {
    Error::Invalid(format!(
        "the topic has {partitions} partitions, and at most {MOST_PARTITIONS} are read together: name one (`partition`)"
    ))
}

/// Where a reader of these partitions begins. May read from the disk.
fn begin(log: &Log, topic: &str, partitions: &[u32], start: Start) -> Result<Position> {
    let only = partitions.len() == 1;
    if let Start::Position(position) = &start
        && let Some(other) = position.0.keys().find(|known| !partitions.contains(known))
    {
        return Err(Error::Invalid(format!(
            "the position names partition {other}, which is not read"
        )));
    }
    let mut next = BTreeMap::new();
    for &partition in partitions {
        let state = log.describe(topic, partition)?;
        let offset = match &start {
            Start::Earliest => state.log_start,
            Start::Latest => state.last_stable,
            Start::Offset(offset) if only => *offset,
            Start::Offset(_) => {
                return Err(Error::Invalid(
                    "an offset belongs to one partition: name it (`partition`)".to_owned(),
                ));
            }
            Start::Position(position) => match position.0.get(&partition) {
                Some(offset) => *offset,
                None => state.log_start,
            },
            Start::Time(time) => {
                let found = log.offset_for_time(topic, partition, *time)?;
                found.map_or(state.last_stable, |found| found.offset)
            }
        };
        next.insert(partition, offset);
    }
    Ok(Position(next))
}

/// What an answer still has room for.
struct Room {
    records: usize,
    bytes: usize,
}

/// The records behind a position, which moves along. Partitions have turns, so that none keeps the others away.
fn read(
    log: &Log,
    topic: &str,
    position: &mut Position,
    turn: u32,
    most: Most,
) -> Result<Vec<Shown>> {
    let mut shown = Vec::new();
    let mut room = Room {
        records: most.records.max(1),
        bytes: most.bytes,
    };
    let count = position.0.len();
    let first = (turn as usize).checked_rem(count).unwrap_or(0);
    let partitions: Vec<u32> = position.0.keys().copied().collect();
    let partitions = || partitions[first..].iter().chain(&partitions[..first]);
    loop {
        let mut moved = false;
        for partition in partitions() {
            if let Some(next) = position.0.get_mut(partition) {
                moved |= read_one(log, topic, *partition, next, &mut room, &mut shown)?;
            }
            if room.records == 0 {
                return Ok(shown);
            }
        }
        if !moved {
            return Ok(shown);
        }
    }
}

/// One turn of a partition; whether anything was there. Without room nothing more is read.
fn read_one(
    log: &Log,
    topic: &str,
    partition: u32,
    next: &mut i64,
    room: &mut Room,
    shown: &mut Vec<Shown>,
) -> Result<bool> {
    let most = TURN.min(room.bytes);
    let read = log.read(topic, partition, *next, most, Isolation::ReadCommitted)?;
    let all = read.batches.iter().flat_map(records::split);
    let Some(end) = all.filter_map(|batch| Some(extent(&batch.ok()?)?.1)).max() else {
        return Ok(false);
    };
    for batch in &read.visible() {
        if room.records == 0 {
            return Ok(true);
        }
        for record in records::open(batch)? {
            let record = record?;
            if record.offset < *next {
                continue;
            }
            let json = serde_json::to_string(&RecordView::new(partition, &record));
            let json = json.map_err(|error| Error::Internal(error.to_string()))?;
            if room.records == 0 || (!shown.is_empty() && json.len() > room.bytes) {
                room.records = 0;
                return Ok(true);
            }
            *next = record.offset + 1;
            room.records -= 1;
            room.bytes = room.bytes.saturating_sub(json.len());
            shown.push(Shown {
                partition,
                next: *next,
                json,
            });
        }
    }
    // Also behind what is not shown.
    *next = end + 1;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_written_as_they_are_read() {
        let position: Position = "1:20,0:15".parse().expect("a position");
        assert_eq!(position.to_string(), "0:15,1:20");
        assert_eq!(
            position.to_string().parse::<Position>().expect("the same"),
            position
        );
        for wrong in [
            "",
            ":",
            "0",
            "0:1,",
            "0:-1",
            "a:1",
            "0:1,0:2",
            "0:1;1:2",
            "4294967296:0",
        ] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
        let many: Vec<String> = (0..=MOST_PARTITIONS)
            .map(|one| format!("{one}:0"))
            .collect();
        assert!(many.join(",").parse::<Position>().is_err());
    }

    #[test]
    fn starts_are_read() {
        for (text, start) in [
            ("earliest", Start::Earliest),
            ("latest", Start::Latest),
            ("17", Start::Offset(17)),
            ("3:4", Start::Position(Position(BTreeMap::from([(3, 4)])))),
        ] {
            assert_eq!(text.parse::<Start>().expect("a start"), start, "{text}");
        }
        for wrong in ["", "-1", "newest", "1.5", "9223372036854775808"] {
            assert!(wrong.parse::<Start>().is_err(), "{wrong}");
        }
    }
}
