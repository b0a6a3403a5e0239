//! `escala collections …`: the collections of this machine, without a server.
//!
//! One process at a time has them: while a server does, it is asked through its REST routes.

use super::output::{self, table};
use super::predict::{Faults, app, images_in, patient, percent, read_image, rows};
use super::{Output, Stop};
use crate::app::App;
use crate::config::Config;
use crate::failure::chain;
use crate::gallery;
use crate::gallery::collections::{Collections as Asked, Index, Terms};
use crate::gallery::faces::Bar;
use crate::machine::Machine;
use crate::rest::collections::{IndexAnswer, SearchAnswer};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio::runtime::Runtime;

#[derive(Debug, Subcommand)]
pub enum Collections {
    /// Make collections.
    Create(Names),
    /// List the collections there are.
    List(Output),
    /// Delete collections with all their faces.
    Rm(Names),
    /// Keep the faces of images.
    #[command(
        after_help = "Example:\n  escala collections index people holiday/ --external-id holiday"
    )]
    Index(IndexArgs),
    /// Look for faces that are like the largest one of each image.
    Search(SearchArgs),
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
pub struct IndexArgs {
    /// The collection.
    #[arg(value_name = "ID")]
    id: String,
    /// Image files (JPEG, PNG, WebP, GIF, BMP, TIFF), folders of them, or `-` for standard input.
    #[arg(required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// What to call the images.
    #[arg(long, value_name = "NAME")]
    external_id: Option<String>,
    /// Most faces of an image, the largest ones.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    max_faces: Option<u32>,
    /// What is asked of faces.
    #[arg(long, default_value = "auto", value_parser = ["none", "auto", "low", "medium", "high"])]
    quality: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    /// The collection.
    #[arg(value_name = "ID")]
    id: String,
    /// Image files (JPEG, PNG, WebP, GIF, BMP, TIFF), folders of them, or `-` for standard input.
    #[arg(required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Least likeness in percent.
    #[arg(long, default_value_t = gallery::faces::THRESHOLD, value_parser = percent)]
    threshold: f32,
    /// Most matches.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=4096))]
    max_results: u32,
    #[command(flatten)]
    output: Output,
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

    fn ask<T>(
        &self,
        question: impl AsyncFnOnce(Asked<'_>) -> gallery::Result<T>,
    ) -> Result<T, String> {
        let asked = Asked::of(&self.app.images, patient());
        let answer = self.runtime.block_on(question(asked));
        answer.map_err(|error| message(&error, ROUTE))
    }
}

pub fn run(config: &Config, command: Collections) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    match command {
        Collections::Create(names) => {
            let work = Work::start(&machine, config)?;
            each(names, "created", |id| {
                work.ask(async |asked| asked.create(id, BTreeMap::new()).await.map(drop))
            })
        }
        Collections::Rm(names) => {
            let work = Work::start(&machine, config)?;
            each(names, "removed", |id| {
                work.ask(async |asked| asked.delete(id).await)
            })
        }
        Collections::List(output) => list(&Work::start(&machine, config)?, output),
        Collections::Index(args) => index(&machine, config, args),
        Collections::Search(args) => search(&machine, config, args),
    }
}

/// Does `work` for each, goes on when one fails, and reports each.
fn each(names: Names, done: &str, work: impl Fn(&str) -> Result<(), String>) -> Result<(), Stop> {
    let mut faults = Faults::default();
    for id in &names.ids {
        match work(id) {
            Err(message) => faults.report(id, &message, names.output)?,
            Ok(()) if names.output.json => output::json(&json!({ "id": id, "status": done }))?,
            Ok(()) => output::print(&format!("{id}: {done}\n"))?,
        }
    }
    faults.end()
}

fn list(work: &Work, output: Output) -> Result<(), Stop> {
    let mut lines = vec![["ID", "FACES", "USERS"].map(str::to_owned).to_vec()];
    let mut token: Option<String> = None;
    loop {
        let after = token.take();
        let page = work.ask(async |asked| asked.list(after, None).await);
        let page = page.map_err(Stop::Failed)?;
        for (id, _) in page.items {
            let about = work.ask(async |asked| asked.describe(&id).await);
            let (about, tags) = about.map_err(Stop::Failed)?;
            match output.json {
                true => output::json(&json!({
                    "id": about.id, "faces": about.faces, "users": about.users,
                    "created": about.created as f64 / 1000.0, "tags": tags,
                }))?,
                false => lines.push(vec![
                    about.id,
                    about.faces.to_string(),
                    about.users.to_string(),
                ]),
            }
        }
        match page.next {
            Some(next) => token = Some(next),
            None => break,
        }
    }
    match output.json {
        true => Ok(()),
        false => output::print(&table(&lines)),
    }
}

fn index(machine: &Machine, config: &Config, args: IndexArgs) -> Result<(), Stop> {
    machine.prepare(&machine.faces)?;
    let work = Work::start(machine, config)?;
    let how = Index {
        external: args.external_id,
        bar: Bar::named(&args.quality.to_ascii_uppercase()).unwrap_or(Bar::AUTO),
        most: args.max_faces.map(|most| most as usize),
        looks: false,
        gaze: false,
    };
    let shown = |answer: &Value| {
        let faces = answer["faces"].as_array().into_iter().flatten();
        let faces: Vec<Value> = faces.map(|face| face["face"].clone()).collect();
        rows(&json!(faces), &["confidence", "id"])
    };
    images_in(&args.files, args.output, shown, |file| {
        let image = read_image(file, &config.limits)?;
        let indexed = work.ask(async |asked| asked.index(&args.id, image, how.clone()).await);
        Ok(IndexAnswer::from(indexed?))
    })
}

fn search(machine: &Machine, config: &Config, args: SearchArgs) -> Result<(), Stop> {
    machine.prepare(&machine.faces)?;
    let work = Work::start(machine, config)?;
    let terms = Terms {
        most: Some(args.max_results as usize),
        least: Some(args.threshold),
    };
    let shown = |answer: &Value| {
        let matches = answer["matches"].as_array().into_iter().flatten();
        let line = |found: &Value| {
            let mut line = found["face"].clone();
            line["similarity"] = found["similarity"].clone();
            // What a face has not is shown as nothing.
            for name in ["external_id", "user"] {
                line[name] = json!(line[name].as_str().unwrap_or_default());
            }
            line
        };
        let lines: Vec<Value> = matches.map(line).collect();
        rows(&json!(lines), &["similarity", "id", "external_id", "user"])
    };
    images_in(&args.files, args.output, shown, |file| {
        let image = read_image(file, &config.limits)?;
        let found =
            work.ask(async |asked| asked.like_image(&args.id, image, Bar::NONE, terms).await);
        Ok(SearchAnswer::from(found?))
    })
}
