//! `escala collections index|search|faces …`: faces of images are kept, looked for, listed and deleted.

use super::{Work, done};
use crate::cli::output::{self, table};
use crate::cli::predict::{Faults, QUALITIES, bar, images_in, percent, read_image, rows};
use crate::cli::{Output, Stop};
use crate::config::Config;
use crate::gallery;
use crate::gallery::collections::{Index, PAGE, Terms, undeleted};
use crate::gallery::faces::Bar;
use crate::machine::Machine;
use crate::rest::collections::{IndexAnswer, SearchAnswer, StoredFaceView};
use clap::{ArgGroup, Args, Subcommand};
use escala_collections::FaceId;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct IndexArgs {
    /// The collection.
    #[arg(value_name = "ID")]
    id: String,
    /// Image files (JPEG, PNG, WebP, GIF, BMP, TIFF), folders of them, or `-` for standard input.
    #[arg(required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Also take the images of folders inside folders.
    #[arg(long)]
    recursive: bool,
    /// What to call the images.
    #[arg(long, value_name = "NAME")]
    external_id: Option<String>,
    /// Most faces of an image, the largest ones.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    max_faces: Option<u32>,
    /// What is asked of faces.
    #[arg(long, default_value = "auto", value_parser = QUALITIES)]
    quality: String,
    /// Also say what the faces look like: age, gender, emotions (in the lines of --json).
    #[arg(long, requires = "json")]
    looks: bool,
    #[command(flatten)]
    output: Output,
}

/// How a search among faces or users goes.
#[derive(Debug, Args)]
pub struct SearchTerms {
    /// Least likeness in percent.
    #[arg(long, default_value_t = gallery::faces::THRESHOLD, value_parser = percent)]
    threshold: f32,
    /// What is asked of the image's face; nothing if it is not said.
    #[arg(long, requires = "files", value_parser = QUALITIES)]
    quality: Option<String>,
}

impl SearchTerms {
    pub fn bar(&self) -> Bar {
        self.quality.as_deref().map_or(Bar::NONE, bar)
    }

    pub fn at_most(&self, most: u32) -> Terms {
        Terms {
            most: Some(most as usize),
            least: Some(self.threshold),
        }
    }
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whom").required(true).args(["files", "face"]))]
pub struct SearchArgs {
    /// The collection.
    #[arg(value_name = "ID")]
    id: String,
    /// Image files (JPEG, PNG, WebP, GIF, BMP, TIFF), folders of them, or `-` for standard input.
    #[arg(value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Also take the images of folders inside folders.
    #[arg(long, requires = "files")]
    recursive: bool,
    /// Look for faces that are like this one of the collection.
    #[arg(long, value_name = "FACE")]
    face: Option<FaceId>,
    /// Most matches.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=4096))]
    max_results: u32,
    #[command(flatten)]
    terms: SearchTerms,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Subcommand)]
pub enum Faces {
    /// List the faces of a collection, in the order in which they came.
    List(ListArgs),
    /// Delete faces that are no user's.
    Rm(RmArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// The collection.
    #[arg(value_name = "ID")]
    id: String,
    /// Only these.
    #[arg(value_name = "FACE")]
    faces: Vec<FaceId>,
    /// Only this user's.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct RmArgs {
    /// The collection.
    #[arg(value_name = "ID")]
    id: String,
    /// Ids of faces.
    #[arg(required = true, value_name = "FACE")]
    faces: Vec<FaceId>,
    #[command(flatten)]
    output: Output,
}

pub fn run(work: &Work, command: Faces) -> Result<(), Stop> {
    match command {
        Faces::List(args) => list(work, args),
        Faces::Rm(args) => remove(work, args),
    }
}

pub fn index(machine: &Machine, config: &Config, args: IndexArgs) -> Result<(), Stop> {
    let work = Work::with_faces(machine, config)?;
    let how = Index {
        external: args.external_id,
        bar: bar(&args.quality),
        most: args.max_faces.map(|most| most as usize),
        looks: args.looks,
        gaze: args.looks,
    };
    let shown = |answer: &Value| {
        let faces = answer["faces"].as_array().into_iter().flatten();
        let faces: Vec<Value> = faces.map(|face| face["face"].clone()).collect();
        rows(&json!(faces), &["confidence", "id"])
    };
    images_in(&args.files, args.recursive, args.output, shown, |file| {
        let image = read_image(file, &config.limits)?;
        let indexed = work.ask(async |asked| asked.index(&args.id, image, how.clone()).await);
        Ok(IndexAnswer::from(indexed?))
    })
}

/// The matches of a search, a row each.
fn matches(answer: &Value) -> Vec<Vec<String>> {
    let found = answer["matches"].as_array().into_iter().flatten();
    let line = |found: &Value| {
        let mut line = found["face"].clone();
        line["similarity"] = found["similarity"].clone();
        // What a face has not is shown as nothing.
        for name in ["external_id", "user"] {
            line[name] = json!(line[name].as_str().unwrap_or_default());
        }
        line
    };
    let lines: Vec<Value> = found.map(line).collect();
    rows(&json!(lines), &["similarity", "id", "external_id", "user"])
}

/// Prints what was found for something that is no image.
pub fn print_found(
    answer: &impl Serialize,
    output: Output,
    matches: impl Fn(&Value) -> Vec<Vec<String>>,
) -> Result<(), Stop> {
    let answer = serde_json::to_value(answer).map_err(|error| Stop::failed(&error))?;
    match output.json {
        true => output::json(&answer),
        false => output::print(&table(&matches(&answer))),
    }
}

pub fn search(machine: &Machine, config: &Config, args: SearchArgs) -> Result<(), Stop> {
    let terms = args.terms.at_most(args.max_results);
    if let Some(face) = args.face {
        let work = Work::start(machine, config)?;
        let found = work.ask(async |asked| asked.like(&args.id, face, terms).await);
        let found = SearchAnswer::new(None, found.map_err(Stop::Failed)?);
        return print_found(&found, args.output, matches);
    }
    let (work, bar) = (Work::with_faces(machine, config)?, args.terms.bar());
    images_in(&args.files, args.recursive, args.output, matches, |file| {
        let image = read_image(file, &config.limits)?;
        let found = work.ask(async |asked| asked.like_image(&args.id, image, bar, terms).await);
        Ok(SearchAnswer::from(found?))
    })
}

fn list(work: &Work, args: ListArgs) -> Result<(), Stop> {
    let ListArgs {
        id,
        faces,
        user,
        output,
    } = args;
    let ids = (!faces.is_empty()).then_some(faces);
    let mut head = Some(["FACE", "CONFIDENCE", "USER", "EXTERNAL ID"].map(str::to_owned));
    work.pages(
        async |asked, after| {
            asked
                .faces(&id, user.clone(), ids.clone(), after, None)
                .await
        },
        |page| {
            let faces = page.into_iter();
            if output.json {
                let mut faces = faces.map(StoredFaceView::from);
                return faces.try_for_each(|face| output::json(&face));
            }
            let mut lines: Vec<Vec<String>> = head.take().into_iter().map(Vec::from).collect();
            lines.extend(faces.map(|face| {
                vec![
                    face.id.to_string(),
                    format!("{:.1}", face.confidence),
                    face.user.unwrap_or_default(),
                    face.external.unwrap_or_default(),
                ]
            }));
            output::print(&table(&lines))
        },
    )
}

fn remove(work: &Work, args: RmArgs) -> Result<(), Stop> {
    let mut faults = Faults::default();
    for faces in args.faces.chunks(PAGE) {
        let deleted = work.ask(async |asked| asked.delete_faces(&args.id, faces.to_vec()).await);
        let deleted = deleted.map_err(Stop::Failed)?;
        for face in deleted.done {
            done(&face.to_string(), "removed", args.output)?;
        }
        for (face, why, user) in deleted.left {
            let of = user.map(|user| format!(" ({user})"));
            let why = format!("{}{}", undeleted(why), of.unwrap_or_default());
            faults.report(&face.to_string(), &why, args.output)?;
        }
    }
    faults.end()
}
