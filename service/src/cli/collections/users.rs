//! `escala collections users …`: faces of a collection are made users', and users are looked for.

use super::faces::{SearchTerms, print_found};
use super::{Work, done, each};
use crate::cli::output::{self, table};
use crate::cli::predict::{Faults, images_in, percent, read_image, rows};
use crate::cli::{Output, Stop};
use crate::config::Config;
use crate::gallery::collections::{MOST_ASSOCIATED, USER_THRESHOLD, Who, unassociated};
use crate::machine::Machine;
use crate::rest::collections::{UserView, UsersFoundAnswer};
use clap::{ArgGroup, Args, Subcommand};
use escala_collections::{Association, FaceId, Unassociated};
use escala_pipelines::faces::similarity;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Users {
    /// Make users, without faces.
    Create(Names),
    /// List the users of a collection.
    List(ListArgs),
    /// Delete users; their faces stay in the collection.
    Rm(Names),
    /// Make faces a user's, if they are like those that it has.
    Associate(AssociateArgs),
    /// Take faces from a user; they stay in the collection.
    Disassociate(DisassociateArgs),
    /// Look for users who are like the largest face of each image, like a face of the collection, or like another user.
    #[command(after_help = "Examples:
  escala collections users search people photo.jpg
  escala collections users search people --user ada --threshold 60")]
    Search(SearchArgs),
}

#[derive(Debug, Args)]
pub struct Names {
    /// The collection.
    #[arg(value_name = "ID")]
    id: String,
    /// Ids of users.
    #[arg(required = true, value_name = "USER")]
    users: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// The collection.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct DisassociateArgs {
    /// The collection.
    #[arg(value_name = "ID")]
    id: String,
    /// The user.
    #[arg(value_name = "USER")]
    user: String,
    /// Ids of faces.
    #[arg(required = true, value_name = "FACE")]
    faces: Vec<FaceId>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct AssociateArgs {
    #[command(flatten)]
    whom: DisassociateArgs,
    /// Least likeness to the faces that the user has, in percent.
    #[arg(long, default_value_t = USER_THRESHOLD, value_parser = percent)]
    threshold: f32,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whom").required(true).args(["files", "face", "user"]))]
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
    /// Look for users who are like this face of the collection.
    #[arg(long, value_name = "FACE")]
    face: Option<FaceId>,
    /// Look for users who are like this one.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Most matches.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=500))]
    max_results: u32,
    #[command(flatten)]
    terms: SearchTerms,
    #[command(flatten)]
    output: Output,
}

pub fn run(machine: &Machine, config: &Config, command: Users) -> Result<(), Stop> {
    let start = || Work::start(machine, config);
    match command {
        Users::Create(args) => {
            let work = start()?;
            each(&args.users, args.output, "created", |user| {
                work.ask(async |asked| asked.create_user(&args.id, user).await)
            })
        }
        Users::Rm(args) => {
            let work = start()?;
            each(&args.users, args.output, "removed", |user| {
                work.ask(async |asked| asked.delete_user(&args.id, user).await)
            })
        }
        Users::List(args) => list(&start()?, args),
        Users::Associate(args) => associate(&start()?, args),
        Users::Disassociate(args) => disassociate(&start()?, args),
        Users::Search(args) => search(machine, config, args),
    }
}

fn list(work: &Work, args: ListArgs) -> Result<(), Stop> {
    let mut head = Some(["USER", "FACES", "STATUS"].map(str::to_owned));
    work.pages(
        async |asked, after| asked.users(&args.id, after, None).await,
        |page| {
            let mut users = page.into_iter().map(UserView::from);
            if args.output.json {
                return users.try_for_each(|user| output::json(&user));
            }
            let mut lines: Vec<Vec<String>> = head.take().into_iter().map(Vec::from).collect();
            lines.extend(users.map(|user| {
                let (faces, status) = (user.faces.to_string(), user.status.to_owned());
                vec![user.id, faces, status]
            }));
            output::print(&table(&lines))
        },
    )
}

/// Says what became of faces that were to be a user's, or not any more.
fn report(
    (faces, what): (Association, &str),
    output: Output,
    faults: &mut Faults,
) -> Result<(), Stop> {
    for face in faces.done {
        done(&face.to_string(), what, output)?;
    }
    for (face, why) in faces.left {
        let more = match &why {
            Unassociated::OtherUser(Some(user)) => format!(" ({user})"),
            Unassociated::TooFar(distance) => {
                format!(" ({:.1} %)", similarity::percent(*distance))
            }
            _ => String::new(),
        };
        let why = format!("{}{more}", unassociated(&why));
        faults.report(&face.to_string(), &why, output)?;
    }
    Ok(())
}

fn associate(work: &Work, args: AssociateArgs) -> Result<(), Stop> {
    let AssociateArgs { whom, threshold } = args;
    let (id, user, mut faults) = (&whom.id, &whom.user, Faults::default());
    for faces in whom.faces.chunks(MOST_ASSOCIATED) {
        let changed = work.ask(async |asked| {
            let faces = faces.to_vec();
            asked.associate(id, user, faces, Some(threshold)).await
        });
        let (changed, _) = changed.map_err(Stop::Failed)?;
        report((changed, "associated"), whom.output, &mut faults)?;
    }
    faults.end()
}

fn disassociate(work: &Work, args: DisassociateArgs) -> Result<(), Stop> {
    let mut faults = Faults::default();
    for faces in args.faces.chunks(MOST_ASSOCIATED) {
        let changed = work.ask(async |asked| {
            let faces = faces.to_vec();
            asked.disassociate(&args.id, &args.user, faces).await
        });
        let (changed, _) = changed.map_err(Stop::Failed)?;
        report((changed, "disassociated"), args.output, &mut faults)?;
    }
    faults.end()
}

/// The matches of a search, a row each.
fn matches(answer: &Value) -> Vec<Vec<String>> {
    let found = answer["matches"].as_array().into_iter().flatten();
    let line = |found: &Value| {
        let mut line = found["user"].clone();
        line["similarity"] = found["similarity"].clone();
        line
    };
    let lines: Vec<Value> = found.map(line).collect();
    rows(&json!(lines), &["similarity", "id", "faces"])
}

fn search(machine: &Machine, config: &Config, args: SearchArgs) -> Result<(), Stop> {
    let terms = args.terms.at_most(args.max_results);
    let who = match (args.face, args.user) {
        (Some(face), _) => Some(Who::Face(face)),
        (None, user) => user.map(Who::User),
    };
    if let Some(who) = who {
        let work = Work::start(machine, config)?;
        let found = work.ask(async |asked| asked.users_like(&args.id, who, terms).await);
        let found = UsersFoundAnswer::new(None, Vec::new(), found.map_err(Stop::Failed)?);
        return print_found(&found, args.output, matches);
    }
    let (work, bar) = (Work::with_faces(machine, config)?, args.terms.bar());
    images_in(&args.files, args.recursive, args.output, matches, |file| {
        let image = read_image(file, &config.limits)?;
        let found = work.ask(async |asked| {
            let found = asked.users_like_image(&args.id, image, bar, terms);
            found.await
        });
        Ok(UsersFoundAnswer::from(found?))
    })
}
