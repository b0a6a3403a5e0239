//! `escala log …`: looks for damage in the event log of a server that is stopped, and goes on without what is lost.

use super::{Output, Stop, output};
use crate::config::Config;
use crate::kafka;
use clap::{Args, Subcommand};
use escala_stream_ingest::log::disk::Folder;
use escala_stream_ingest::log::{Damage, examine, repair};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  escala log check
  escala log repair              # says what would be lost
  escala log repair --yes        # goes on without it

The server must be stopped: one process has the log.")]
pub enum Log {
    /// Read all of the event log and list what is damaged; the exit status is 1 when something is.
    Check(Place),
    /// Make a damaged log usable without the records that cannot be read, after saying which these are.
    ///
    /// All other records stay at their offsets, and offsets that are lost are not given again. Files with damage are kept
    /// in the folder `damaged` of the log.
    Repair(RepairArgs),
}

#[derive(Debug, Args)]
pub struct Place {
    /// The data folder, in which the log is the folder `log`; that of the setting `data.dir` when left out.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct RepairArgs {
    #[command(flatten)]
    place: Place,
    /// Go on without what is lost; without this nothing is changed.
    #[arg(long)]
    yes: bool,
}

/// A damaged place as programs read it.
#[derive(Debug, Serialize)]
struct DamageLine<'a> {
    topic: Option<&'a str>,
    partition: Option<u32>,
    file: &'a str,
    position: u64,
    why: &'a str,
    first_offset: Option<i64>,
    last_offset: Option<i64>,
}

impl<'a> From<&'a Damage> for DamageLine<'a> {
    fn from(damage: &'a Damage) -> Self {
        let offsets = damage.offsets.as_ref();
        let offsets = offsets.filter(|offsets| !offsets.is_empty());
        Self {
            topic: damage.topic.as_deref(),
            partition: damage.partition,
            file: &damage.path,
            position: damage.at,
            why: &damage.why,
            first_offset: offsets.map(|offsets| offsets.start),
            last_offset: offsets.map(|offsets| offsets.end - 1),
        }
    }
}

/// A damaged place as people read it.
fn line(damage: &DamageLine<'_>) -> String {
    let place = match (damage.topic, damage.partition) {
        (Some(topic), Some(partition)) => format!("{topic} partition {partition}: "),
        _ => String::new(),
    };
    let lost = match (damage.first_offset, damage.last_offset) {
        (Some(first), Some(last)) if first == last => format!("; offset {first} is lost"),
        (Some(first), Some(last)) => format!("; offsets {first} to {last} are lost"),
        _ => String::new(),
    };
    format!(
        "{place}{} at byte {}: {}{lost}\n",
        damage.file, damage.position, damage.why
    )
}

/// # Errors
/// What is in the way; damage that was found, which was printed then.
pub fn run(config: &Config, command: Log) -> Result<(), Stop> {
    let (place, repairs) = match &command {
        Log::Check(place) => (place, None),
        Log::Repair(args) => (&args.place, Some(args.yes)),
    };
    let folder = match &place.data {
        Some(data) => data.join(kafka::FOLDER),
        None => kafka::folder(config).map_err(Stop::Failed)?,
    };
    let options = kafka::log_options(config).map_err(Stop::Failed)?;
    let disk = open(&folder)?;
    let damages = examine(disk.clone(), &options).map_err(|error| Stop::failed(&error))?;
    for damage in &damages {
        let damage = DamageLine::from(damage);
        match place.output.json {
            true => output::json(&damage)?,
            false => output::print(&line(&damage))?,
        }
    }
    if damages.is_empty() {
        note!("no damage in {}", folder.display());
        return Ok(());
    }
    match repairs {
        None => Err(Stop::Silent),
        Some(false) => Err(Stop::Failed(
            "nothing was changed; `--yes` goes on without what is listed".to_owned(),
        )),
        Some(true) => {
            repair(disk, options).map_err(|error| Stop::failed(&error))?;
            note!(
                "repaired; the files with damage are kept in {}",
                folder.join("damaged").display()
            );
            Ok(())
        }
    }
}

/// The disk of a log that is there and that nobody has.
fn open(folder: &Path) -> Result<Arc<Folder>, Stop> {
    if !folder.is_dir() {
        let why = format!("there is no event log in {}", folder.display());
        return Err(Stop::Failed(why));
    }
    let disk = Folder::open(folder.to_owned());
    let disk = disk.map_err(|error| {
        let folder = folder.display();
        Stop::Failed(format!("cannot open the event log in {folder}: {error}"))
    });
    disk.map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_said_with_its_place_and_what_is_lost() {
        let mut damage = Damage {
            topic: Some("reviews".to_owned()),
            partition: Some(2),
            path: "topics/a-2/0.log".to_owned(),
            at: 300,
            why: "the sum is another".to_owned(),
            offsets: Some(7..9),
        };
        let said = |damage: &Damage| line(&DamageLine::from(damage));
        let place = "reviews partition 2: topics/a-2/0.log at byte 300: the sum is another";
        assert_eq!(said(&damage), format!("{place}; offsets 7 to 8 are lost\n"));
        damage.offsets = Some(7..8);
        assert_eq!(said(&damage), format!("{place}; offset 7 is lost\n"));
        (damage.topic, damage.partition, damage.offsets) = (None, None, None);
        let place = "topics/a-2/0.log at byte 300: the sum is another\n";
        assert_eq!(said(&damage), place);
    }

    #[test]
    fn a_folder_without_a_log_is_said_and_not_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        assert!(matches!(open(&log), Err(Stop::Failed(why)) if why.contains("no event log")));
        assert!(!log.exists());
    }
}
