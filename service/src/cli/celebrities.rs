//! `escala celebrities …`: the people whom this machine knows, without a server.

use super::collections::message;
use super::output::{self, table};
use super::predict::{Faults, app, images_in, patient, read_image, rows};
use super::{Output, Stop};
use crate::config::Config;
use crate::gallery::celebrities::{HOW_TO_FILL, Introduction, KnownGender};
use crate::machine::Machine;
use crate::rest::celebrities::CelebritiesAnswer;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Celebrities {
    /// Make somebody known, or known better.
    #[command(
        after_help = "Of each photograph the largest face is taken. Added again, a person gets more photographs, and URLs \
                      and a gender where they are given.\n\nExample:\n  escala celebrities add \"Ada Lovelace\" ada1.jpg \
                      ada2.jpg --url www.wikidata.org/wiki/Q7259 --gender female"
    )]
    Add(AddArgs),
    /// List the people who are known.
    List(Output),
    /// Forget people.
    Rm(RmArgs),
    /// Say who is in images.
    Recognise(RecogniseArgs),
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// The person's name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Photographs (JPEG, PNG, WebP, GIF, BMP, TIFF), or `-` for standard input.
    #[arg(value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// Where there is more to be known; may be given several times.
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<String>,
    /// The person's gender.
    #[arg(long)]
    gender: Option<KnownGender>,
    /// The person's id, where two have one name; letters and digits.
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct RmArgs {
    /// Ids, or names that one person only has.
    #[arg(required = true, value_name = "WHO")]
    who: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct RecogniseArgs {
    /// Image files (JPEG, PNG, WebP, GIF, BMP, TIFF), folders of them, or `-` for standard input.
    #[arg(required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Also take the images of folders inside folders.
    #[arg(long)]
    recursive: bool,
    #[command(flatten)]
    output: Output,
}

const ROUTE: &str = "/v1/images/celebrities/gallery";

pub fn run(config: &Config, command: Celebrities) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    match command {
        Celebrities::Add(args) => add(&machine, config, args),
        Celebrities::List(output) => list(&machine, config, output),
        Celebrities::Rm(args) => remove(&machine, config, args),
        Celebrities::Recognise(args) => recognise(&machine, config, args),
    }
}

fn add(machine: &Machine, config: &Config, args: AddArgs) -> Result<(), Stop> {
    let mut photos = Vec::with_capacity(args.photos.len());
    for file in &args.photos {
        let name = file.display().to_string();
        let image = read_image(file, &config.limits);
        photos.push((
            name.clone(),
            image.map_err(|why| Stop::Failed(format!("{name}: {why}")))?,
        ));
    }
    if !photos.is_empty() {
        machine.prepare(&machine.faces)?;
    }
    let (app, runtime) = app(machine, config)?;
    let who = Introduction {
        id: args.id,
        name: args.name,
        urls: (!args.urls.is_empty()).then_some(args.urls),
        gender: args.gender,
        photos,
    };
    let known = runtime.block_on(app.images.make_known(who, patient()));
    let (known, is_new) = known.map_err(|error| Stop::Failed(message(&error, ROUTE)))?;
    if args.output.json {
        return output::json(&known);
    }
    let what = if is_new { "new" } else { "known already" };
    output::print(&format!(
        "{} ({}): {what}, {} faces\n",
        known.name, known.id, known.faces
    ))
}

fn list(machine: &Machine, config: &Config, output: Output) -> Result<(), Stop> {
    let (app, runtime) = app(machine, config)?;
    let mut people = Vec::new();
    let mut token = None;
    loop {
        let page = runtime.block_on(app.images.celebrities.list(token, None));
        let page = page.map_err(|error| Stop::Failed(message(&error, ROUTE)))?;
        people.extend(page.items);
        match page.next {
            Some(next) => token = Some(next),
            None => break,
        }
    }
    people.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    if people.is_empty() {
        note!("{HOW_TO_FILL}");
    }
    if output.json {
        return people.iter().try_for_each(output::json);
    }
    let mut lines = vec![
        ["NAME", "ID", "FACES", "GENDER", "URLS"]
            .map(str::to_owned)
            .to_vec(),
    ];
    lines.extend(people.into_iter().map(|known| {
        vec![
            known.name,
            known.id,
            known.faces.to_string(),
            known.gender.aws().to_lowercase(),
            known.urls.join(" "),
        ]
    }));
    output::print(&table(&lines))
}

fn remove(machine: &Machine, config: &Config, args: RmArgs) -> Result<(), Stop> {
    let (app, runtime) = app(machine, config)?;
    let mut faults = Faults::default();
    for who in &args.who {
        match runtime.block_on(app.images.celebrities.remove(who)) {
            Err(error) => faults.report(who, &message(&error, ROUTE), args.output)?,
            Ok(known) if args.output.json => {
                output::json(&json!({"id": known.id, "name": known.name, "status": "removed"}))?;
            }
            Ok(known) => output::print(&format!("{} ({}): removed\n", known.name, known.id))?,
        }
    }
    faults.end()
}

fn recognise(machine: &Machine, config: &Config, args: RecogniseArgs) -> Result<(), Stop> {
    machine.prepare(&machine.faces)?;
    let (app, runtime) = app(machine, config)?;
    let columns = ["similarity", "name", "id"];
    images_in(
        &args.files,
        args.recursive,
        args.output,
        |answer: &Value| rows(&answer["celebrities"], &columns),
        |file| {
            let image = read_image(file, &config.limits)?;
            let found = runtime.block_on(app.images.recognise(image, patient()));
            let found = found.map_err(|error| message(&error, ROUTE))?;
            Ok(CelebritiesAnswer::from(found))
        },
    )
}
