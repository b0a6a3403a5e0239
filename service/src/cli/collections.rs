//! `escala collections …`: the collections of this machine, without a server.
//!
//! One process at a time has them: while a server does, it is asked through its REST routes.
//!
//! | file | what |
//! | --- | --- |
//! | `collections/faces.rs` | faces of images are kept, listed, looked for and deleted |
//! | `collections/users.rs` | faces are made users', and users are looked for |

mod faces;
mod users;

use super::output::{self, table};
use super::predict::{Faults, app, patient};
use super::{Output, Stop};
use crate::app::App;
use crate::config::Config;
use crate::failure::chain;
use crate::gallery;
use crate::gallery::collections::Collections as Asked;
use crate::machine::Machine;
use crate::rest::collections::CollectionView;
use chrono::{DateTime, SecondsFormat};
use clap::{Args, Subcommand};
use escala_collections::Page;
use serde_json::json;
use std::collections::BTreeMap;
use tokio::runtime::Runtime;

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  escala collections create people
  escala collections index people holiday/ --external-id holiday
  escala collections search people photo.jpg
  escala collections faces list people
  escala collections users create people ada
  escala collections users associate people ada 0c3e…-face-id
  escala collections users search people photo.jpg")]
pub enum Collections {
    /// Make collections.
    Create(CreateArgs),
    /// List the collections there are.
    List(Output),
    /// Show collections: how much is in them, when they were made, and their tags.
    Describe(Names),
    /// Set and remove tags of a collection, and print those that it has then.
    #[command(
        after_help = "Example:\n  escala collections tag people team=research --remove draft"
    )]
    Tag(TagArgs),
    /// Delete collections with all their faces.
    Rm(Names),
    /// Keep the faces of images.
    #[command(
        after_help = "Example:\n  escala collections index people holiday/ --external-id holiday"
    )]
    Index(faces::IndexArgs),
    /// Look for faces that are like the largest one of each image, or like a face of the collection.
    #[command(after_help = "Examples:
  escala collections search people photo.jpg --threshold 90
  escala collections search people --face 11111111-2222-4333-8444-555555555555")]
    Search(faces::SearchArgs),
    /// List and delete faces of a collection.
    #[command(subcommand)]
    Faces(faces::Faces),
    /// Look after the users of a collection: people, each with faces that are theirs.
    #[command(subcommand)]
    Users(users::Users),
}

#[derive(Debug, Args)]
pub struct Names {
    /// Ids of collections.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    names: Names,
    /// A tag of each; may be given several times.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub struct TagArgs {
    /// The collection.
    #[arg(value_name = "ID")]
    id: String,
    /// Tags to be set.
    #[arg(value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// The key of a tag to be removed; may be given several times.
    #[arg(long, value_name = "KEY")]
    remove: Vec<String>,
    #[command(flatten)]
    output: Output,
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it wants KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The error as the command line prints it: while a server has the folder, with the route that asks it.
pub fn message(error: &gallery::Error, route: &str) -> String {
    let text = chain(error);
    match error.is_taken() {
        true => format!("{text}; stop the server that has them, or ask it: {route}"),
        false => text,
    }
}

const ROUTE: &str = "/v1/images/collections";

struct Work {
    app: App,
    runtime: Runtime,
}

impl Work {
    fn start(machine: &Machine, config: &Config) -> Result<Self, Stop> {
        let (app, runtime) = app(machine, config)?;
        Ok(Self { app, runtime })
    }

    /// [`Work::start`] of a command that looks at images.
    fn with_faces(machine: &Machine, config: &Config) -> Result<Self, Stop> {
        machine.prepare(&machine.faces)?;
        Self::start(machine, config)
    }

    fn ask<T>(
        &self,
        question: impl AsyncFnOnce(Asked<'_>) -> gallery::Result<T>,
    ) -> Result<T, String> {
        let asked = Asked::of(&self.app.images, patient());
        let answer = self.runtime.block_on(question(asked));
        answer.map_err(|error| message(&error, ROUTE))
    }

    /// Every page of a list, one after the other, so that a list of any length takes little memory.
    fn pages<T>(
        &self,
        page: impl AsyncFn(Asked<'_>, Option<String>) -> gallery::Result<Page<T>>,
        mut each: impl FnMut(Vec<T>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut token: Option<String> = None;
        loop {
            let after = token.take();
            let found = self.ask(async |asked| page(asked, after).await);
            let found = found.map_err(Stop::Failed)?;
            each(found.items)?;
            match found.next {
                Some(next) => token = Some(next),
                None => return Ok(()),
            }
        }
    }
}

pub fn run(config: &Config, command: Collections) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    let start = || Work::start(&machine, config);
    match command {
        Collections::Create(args) => {
            let (work, tags) = (start()?, BTreeMap::from_iter(args.tags));
            each(&args.names.ids, args.names.output, "created", |id| {
                work.ask(async |asked| asked.create(id, tags.clone()).await.map(drop))
            })
        }
        Collections::Rm(names) => {
            let work = start()?;
            each(&names.ids, names.output, "removed", |id| {
                work.ask(async |asked| asked.delete(id).await)
            })
        }
        Collections::List(output) => list(&start()?, output),
        Collections::Describe(names) => describe(&start()?, names),
        Collections::Tag(args) => retag(&start()?, args),
        Collections::Index(args) => faces::index(&machine, config, args),
        Collections::Search(args) => faces::search(&machine, config, args),
        Collections::Faces(command) => faces::run(&start()?, command),
        Collections::Users(command) => users::run(&machine, config, command),
    }
}

/// Says what became of one thing.
fn done(id: &str, what: &str, output: Output) -> Result<(), Stop> {
    match output.json {
        true => output::json(&json!({ "id": id, "status": what })),
        false => output::print(&format!("{id}: {what}\n")),
    }
}

/// Does `work` for each, goes on when one fails, and reports each.
fn each(
    ids: &[String],
    output: Output,
    what: &str,
    work: impl Fn(&str) -> Result<(), String>,
) -> Result<(), Stop> {
    let mut faults = Faults::default();
    for id in ids {
        match work(id) {
            Err(message) => faults.report(id, &message, output)?,
            Ok(()) => done(id, what, output)?,
        }
    }
    faults.end()
}

impl Work {
    fn describe(&self, id: &str) -> Result<CollectionView, String> {
        let about = self.ask(async |asked| asked.describe(id).await);
        about.map(|(about, tags)| CollectionView::new(about, tags))
    }
}

fn list(work: &Work, output: Output) -> Result<(), Stop> {
    let mut faults = Faults::default();
    let mut lines = vec![["ID", "FACES", "USERS"].map(str::to_owned).to_vec()];
    work.pages(
        async |asked, after| asked.list(after, None).await,
        |page| {
            for (id, _) in page {
                match work.describe(&id) {
                    // The others are there all the same.
                    Err(message) => faults.report(&id, &message, output)?,
                    Ok(about) if output.json => output::json(&about)?,
                    Ok(about) => lines.push(vec![
                        about.id,
                        about.faces.to_string(),
                        about.users.to_string(),
                    ]),
                }
            }
            Ok(())
        },
    )?;
    if !output.json {
        output::print(&table(&lines))?;
    }
    faults.end()
}

fn describe(work: &Work, names: Names) -> Result<(), Stop> {
    let mut faults = Faults::default();
    for id in &names.ids {
        match work.describe(id) {
            Err(message) => faults.report(id, &message, names.output)?,
            Ok(about) if names.output.json => output::json(&about)?,
            Ok(about) => {
                let made = DateTime::from_timestamp_millis((about.created * 1000.0) as i64);
                let made = made.map(|made| made.to_rfc3339_opts(SecondsFormat::Secs, true));
                let mut lines = vec![
                    vec!["  faces".to_owned(), about.faces.to_string()],
                    vec!["  users".to_owned(), about.users.to_string()],
                    vec!["  made".to_owned(), made.unwrap_or_default()],
                ];
                let tags = about.tags.into_iter();
                lines.extend(tags.map(|(key, value)| vec![format!("  tag {key}"), value]));
                output::print(&format!("{id}\n{}", table(&lines)))?;
            }
        }
    }
    faults.end()
}

fn retag(work: &Work, args: TagArgs) -> Result<(), Stop> {
    let (set, remove) = (BTreeMap::from_iter(args.tags), args.remove);
    let tags = work.ask(async |asked| asked.tag(&args.id, set, remove).await);
    let tags = tags.map_err(Stop::Failed)?;
    if args.output.json {
        return output::json(&json!({ "id": args.id, "tags": tags }));
    }
    let lines: Vec<_> = tags
        .into_iter()
        .map(|(key, value)| vec![key, value])
        .collect();
    output::print(&table(&lines))
}
