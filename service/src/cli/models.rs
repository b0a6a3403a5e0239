//! `escala models list`, `pull`, `verify` and `rm`.

use super::output::{self, bytes, table};
use super::{Output, Stop};
use crate::config::Config;
use crate::failure::chain;
use crate::machine;
use clap::{Args, Subcommand};
use escala_weights::{Entry, Status, Store, Terminal};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub enum Models {
    /// List the models there are and which of them are on this machine.
    List(Output),
    /// Fetch, check and convert models.
    #[command(
        after_help = "Without names, pulls the models that `serve` loads at start.\n\nExample:\n  escala models pull lid.176"
    )]
    Pull(PullArgs),
    /// Compare the checksums of models on this machine.
    #[command(after_help = "Without names, verifies every model on this machine.")]
    Verify(NameArgs),
    /// Remove models from this machine.
    Rm(RmArgs),
}

#[derive(Debug, Args)]
pub struct PullArgs {
    /// Names of models.
    #[arg(value_name = "NAME", conflicts_with = "all")]
    names: Vec<String>,
    /// Every model there is.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct NameArgs {
    /// Names of models.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct RmArgs {
    /// Names of models.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    output: Output,
}

pub fn run(config: &Config, models: Models) -> Result<(), Stop> {
    let store = machine::store(config).map_err(|error| Stop::failed(&error))?;
    match models {
        Models::List(output) => list(&store, output),
        Models::Pull(args) => pull(&store, args),
        Models::Verify(args) => verify(&store, args),
        Models::Rm(args) => remove(&store, args),
    }
}

fn list(store: &Store, output: Output) -> Result<(), Stop> {
    let mut rows = vec![
        ["NAME", "TASK", "STATUS", "SIZE", "LICENCE", "TITLE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for entry in store.catalog().iter() {
        let status = store
            .status(&entry.name)
            .map_err(|error| Stop::failed(&error))?;
        let (word, size, why) = match status {
            Status::Ready { bytes } => ("ready", Some(bytes), None),
            Status::Missing => ("missing", None, None),
            Status::Damaged { why } => ("damaged", None, Some(why)),
        };
        if output.json {
            output::json(&json!({
                "name": entry.name, "version": entry.version, "task": entry.task, "status": word, "bytes": size,
                "why": why, "licence": entry.licence, "title": entry.title, "default": entry.default,
            }))?;
        } else {
            let size = size.map(bytes).unwrap_or_default();
            rows.push(vec![
                entry.name.clone(),
                entry.task.clone(),
                word.to_owned(),
                size,
                entry.licence.clone(),
                entry.title.clone(),
            ]);
            if let Some(why) = why {
                eprintln!(
                    "{}: {why}; `escala models pull {}` pulls it again",
                    entry.name, entry.name
                );
            }
        }
    }
    match output.json {
        true => Ok(()),
        false => output::print(&format!("{}\nin {}\n", table(&rows), store.dir().display())),
    }
}

/// Does `work` for each model, goes on when one fails, and reports each.
fn each(
    names: &[String],
    output: Output,
    work: impl Fn(&str) -> Result<(String, serde_json::Value), escala_weights::Error>,
) -> Result<(), Stop> {
    let mut failed = false;
    for name in names {
        match work(name) {
            Ok((_, mut facts)) if output.json => {
                facts["name"] = json!(name);
                output::json(&facts)?;
            }
            Ok((text, _)) => output::print(&format!("{name}: {text}\n"))?,
            Err(error) => {
                failed = true;
                let message = chain(&error);
                eprintln!("error: {message}");
                if output.json {
                    output::json(&json!({ "name": name, "status": "failed", "error": message }))?;
                }
            }
        }
    }
    if failed { Err(Stop::Silent) } else { Ok(()) }
}

/// All names are checked before anything is done, so that a slip of the pen does no half work.
fn known(store: &Store, names: &[String]) -> Result<(), Stop> {
    for name in names {
        store
            .catalog()
            .require(name)
            .map_err(|error| Stop::Usage(error.to_string()))?;
    }
    Ok(())
}

fn names_of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<String> {
    entries.map(|entry| entry.name.clone()).collect()
}

fn pull(store: &Store, args: PullArgs) -> Result<(), Stop> {
    known(store, &args.names)?;
    let catalog = store.catalog();
    let names = match (args.all, args.names.is_empty()) {
        (true, _) => names_of(catalog.iter()),
        (false, true) => names_of(catalog.iter().filter(|entry| entry.default)),
        (false, false) => args.names,
    };
    let progress = Terminal::new();
    each(&names, args.output, |name| {
        let files = store.ensure(name, &progress)?;
        let size = files.bytes();
        Ok((
            format!("ready, {}", bytes(size)),
            json!({ "status": "ready", "bytes": size }),
        ))
    })
}

fn verify(store: &Store, args: NameArgs) -> Result<(), Stop> {
    known(store, &args.names)?;
    let names = match args.names.is_empty() {
        true => {
            let here = |entry: &&Entry| !matches!(store.status(&entry.name), Ok(Status::Missing));
            names_of(store.catalog().iter().filter(here))
        }
        false => args.names,
    };
    if names.is_empty() {
        eprintln!("there are no models in {}", store.dir().display());
    }
    each(&names, args.output, |name| {
        let verified = store.verify(name)?;
        let text = format!(
            "every checksum holds ({} files, {})",
            verified.files.len(),
            bytes(verified.bytes)
        );
        Ok((
            text,
            json!({ "status": "verified", "files": verified.files.len(), "bytes": verified.bytes }),
        ))
    })
}

fn remove(store: &Store, args: RmArgs) -> Result<(), Stop> {
    known(store, &args.names)?;
    each(&args.names, args.output, |name| {
        Ok(match store.remove(name)? {
            true => ("removed".to_owned(), json!({ "status": "removed" })),
            false => ("was not there".to_owned(), json!({ "status": "missing" })),
        })
    })
}
