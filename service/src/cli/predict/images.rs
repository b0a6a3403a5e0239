//! The commands about images. Several images are read and asked about at a time; answers are printed in the order of the
//! images.

use super::super::output::{self, table};
use super::super::{Output, Stop};
use super::files::{Image, Inputs, below, single};
use super::{Faults, app, patient, read_within, rows};
use crate::app::{App, one};
use crate::compared::{self, Terms};
use crate::config::{Config, Limits};
use crate::failure::{Failure, chain};
use crate::gallery::faces::Bar;
use crate::located::{LocatedLabels, located};
use crate::machine::Machine;
use crate::rest::classify::ClassesAnswer;
use crate::rest::images::bodies::BodiesAnswer;
use crate::rest::images::check_image;
use crate::rest::images::classify::{DEFAULT_CLASSES, NO_CLASSIFIER};
use crate::rest::images::compare::CompareAnswer;
use crate::rest::images::faces::FacesAnswer;
use crate::rest::images::labels::{LabelView, LabelsResponse, PropertiesView};
use crate::rest::images::moderation::{self, Judged, ModerationAnswer};
use crate::rest::images::text::{ImageTextAnswer, region};
use bytes::Bytes;
use clap::Args;
use escala_pipelines::Result as Prediction;
use escala_pipelines::bodies::{BodiesInput, MOST};
use escala_pipelines::classes::Classes;
use escala_pipelines::faces::{FacesInput, FacesOptions};
use escala_pipelines::image::properties::DEFAULT_DOMINANT_COLORS;
use escala_pipelines::labels::{LabelFilters, LabelsInput, LabelsOptions};
use escala_pipelines::moderation::ModerationInput;
use escala_pipelines::ocr::OcrInput;
use escala_pipelines::ocr::filter::{Region, WordFilter};
use escala_pipelines::render::{RenderInput, answers};
use escala_weights::Terminal;
use futures_util::{Stream, StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::pin::pin;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict labels photo.jpg --render labelled.png
  escala predict labels photos --max-labels 5 --min-confidence 10 --properties --json")]
pub struct LabelsArgs {
    #[command(flatten)]
    inputs: Inputs,
    /// Most labels for each image.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    max_labels: u32,
    /// Least confidence in percent.
    #[arg(long, default_value_t = 10.0, value_parser = percent)]
    min_confidence: f32,
    /// Also print dominant colours, brightness, sharpness and contrast.
    #[arg(long)]
    properties: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict image-text scans --recursive --json
  escala predict image-text poster.jpg --min-confidence 80 --region 0,0.5,1,0.5")]
pub struct TextArgs {
    #[command(flatten)]
    inputs: Inputs,
    /// Least confidence of a word in percent.
    #[arg(long, default_value_t = 0.0, value_parser = percent)]
    min_confidence: f32,
    /// Only words whose middle is there, as shares of the image; may be given several times.
    #[arg(long = "region", value_name = "LEFT,TOP,WIDTH,HEIGHT", value_parser = region)]
    regions: Vec<Region>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict moderation photos --render drawn
  escala predict moderation photo.jpg --min-confidence 80")]
pub struct ModerationArgs {
    #[command(flatten)]
    inputs: Inputs,
    /// Least confidence of a label in percent.
    #[arg(long, default_value_t = moderation::LEAST, value_parser = percent)]
    min_confidence: f32,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict faces photo.jpg --render faces.png
  escala predict bodies photos --recursive --json")]
pub struct ImagesArgs {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict classify-image photo.jpg --model image-classes=org/name
  escala predict classify-image photos --max-classes 3 --json --model image-classes=./my-classes")]
pub struct ClassifyArgs {
    #[command(flatten)]
    inputs: Inputs,
    /// Most classes for each image, most likely first.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CLASSES as u64, value_parser = clap::value_parser!(u64).range(1..))]
    max_classes: u64,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict compare passport.jpg crowd.jpg --render compared.png")]
pub struct CompareArgs {
    /// The image whose largest face is looked for, or `-` for standard input.
    source: PathBuf,
    /// The image in whose faces it is looked for.
    target: PathBuf,
    /// Least likeness of the faces that are told, in percent.
    #[arg(long, default_value_t = 0.0, value_parser = percent)]
    threshold: f32,
    /// What is asked of faces.
    #[arg(long, default_value = "none", value_parser = QUALITIES)]
    quality: String,
    /// Draw both beside each other into this `.png` file.
    #[arg(long, value_name = "PNG")]
    render: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// What may be asked of faces.
pub const QUALITIES: [&str; 5] = ["none", "auto", "low", "medium", "high"];

/// What is asked of faces by one of [`QUALITIES`].
pub fn bar(quality: &str) -> Bar {
    Bar::named(&quality.to_ascii_uppercase()).unwrap_or(Bar::NONE)
}

pub fn percent(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    (0.0..=100.0)
        .contains(&value)
        .then_some(value)
        .ok_or_else(|| "must be between 0 and 100".to_owned())
}

pub fn labels(config: &Config, args: LabelsArgs) -> Result<(), Stop> {
    let images = args.inputs.find()?;
    let machine = Machine::for_commands(config)?;
    machine.prepare(&machine.labels)?;
    if let Err(error) = machine.warm(&machine.objects, &Terminal::new()) {
        // Whoever names a detector wants that one.
        if config.checkpoints.objects.is_some() {
            return Err(Stop::failed(&error));
        }
        note!("warning: labels have no boxes: {}", chain(&error));
    }
    let options = LabelsOptions {
        max_labels: args.max_labels as usize,
        min_confidence: args.min_confidence,
        filters: LabelFilters::default(),
        properties: args.properties.then_some(DEFAULT_DOMINANT_COLORS),
        ..LabelsOptions::default()
    };
    let ask = async |app: &App, image: Bytes| {
        let options = options.clone();
        let image = image.into();
        let input = LabelsInput { image, options };
        let objects = app.images.objects.as_deref();
        located(&*app.labels, objects, input, patient()).await
    };
    let show = Show {
        draw: |image, found: &LocatedLabels| {
            RenderInput::one(image, answers::labels(&found.labels))
        },
        answer: LabelsResponse::from,
        table: labels_table,
    };
    each(config, &machine, images, args.output, ask, show)
}

pub fn faces(config: &Config, args: ImagesArgs) -> Result<(), Stop> {
    let images = args.inputs.find()?;
    let machine = Machine::for_commands(config)?;
    machine.prepare(&machine.faces)?;
    let options = FacesOptions {
        looks: true,
        gaze: true,
        ..FacesOptions::default()
    };
    let ask = async |app: &App, image: Bytes| {
        let input = FacesInput { image, options };
        one(&*app.images.faces, input, patient()).await
    };
    let show = Show {
        draw: |image, found| RenderInput::one(image, answers::faces(found)),
        answer: FacesAnswer::from,
        table: |answer: &FacesAnswer| value_table(answer, faces_rows),
    };
    each(config, &machine, images, args.output, ask, show)
}

/// A row for each of a list of faces.
fn faces_rows(answer: &Value) -> Vec<Vec<String>> {
    let columns = [
        "score", "age", "gender", "emotion", "left", "top", "width", "height",
    ];
    let line = |face: &Value| {
        let mut line = face["box"].clone();
        line["emotion"] = face["emotions"][0]["name"].clone();
        for name in ["score", "age", "gender"] {
            line[name] = face[name].clone();
        }
        line
    };
    let faces = answer["faces"].as_array().into_iter().flatten();
    rows(&json!(faces.map(line).collect::<Vec<Value>>()), &columns)
}

pub fn text(config: &Config, args: TextArgs) -> Result<(), Stop> {
    let images = args.inputs.find()?;
    let machine = Machine::for_commands(config)?;
    machine.prepare(&machine.image_text)?;
    let filter = WordFilter {
        least: args.min_confidence / 100.0,
        regions: args.regions,
        ..WordFilter::default()
    };
    let ask = async |app: &App, image: Bytes| {
        let found = one(&*app.images.text, OcrInput { image }, patient()).await;
        found.map(|found| filter.apply(found))
    };
    let show = Show {
        draw: |image, found| RenderInput::one(image, answers::text(found)),
        answer: ImageTextAnswer::from,
        table: |answer: &ImageTextAnswer| {
            value_table(answer, |answer| rows(&answer["lines"], &["score", "text"]))
        },
    };
    each(config, &machine, images, args.output, ask, show)
}

pub fn moderation(config: &Config, args: ModerationArgs) -> Result<(), Stop> {
    let images = args.inputs.find()?;
    let machine = Machine::for_commands(config)?;
    machine.prepare(&machine.moderation)?;
    let terminal = Terminal::new();
    let others = machine.warm(&machine.labels, &terminal);
    if let Err(error) = others.and_then(|()| machine.warm(&machine.objects, &terminal)) {
        note!(
            "warning: swimwear, weapons and drinks may be missed: {}",
            chain(&error)
        );
    }
    let ask = async |app: &App, image: Bytes| {
        let input = ModerationInput {
            image: image.into(),
        };
        let least = args.min_confidence;
        let found = one(&*app.images.moderation, input, patient()).await;
        found.map(|found| Judged { found, least })
    };
    let show = Show {
        draw: moderation::picture,
        answer: ModerationAnswer::from,
        table: |answer: &ModerationAnswer| {
            value_table(answer, |answer| {
                rows(&answer["labels"], &["name", "confidence"])
            })
        },
    };
    each(config, &machine, images, args.output, ask, show)
}

pub fn bodies(config: &Config, args: ImagesArgs) -> Result<(), Stop> {
    let images = args.inputs.find()?;
    let machine = Machine::for_commands(config)?;
    machine.prepare(&machine.bodies)?;
    let ask = async |app: &App, image: Bytes| {
        let input = BodiesInput { image, most: MOST };
        one(&*app.images.bodies, input, patient()).await
    };
    let show = Show {
        draw: |image, found| RenderInput::one(image, answers::bodies(found)),
        answer: BodiesAnswer::from,
        table: |answer: &BodiesAnswer| value_table(answer, bodies_rows),
    };
    each(config, &machine, images, args.output, ask, show)
}

fn bodies_rows(answer: &Value) -> Vec<Vec<String>> {
    let line = |person: &Value| {
        let mut line = person["box"].clone();
        line["score"] = person["score"].clone();
        let parts = person["parts"].as_array().into_iter().flatten();
        let names: Vec<&str> = parts.filter_map(|part| part["name"].as_str()).collect();
        line["parts"] = json!(names.join(" "));
        line
    };
    let persons = answer["persons"].as_array().into_iter().flatten();
    let columns = ["score", "left", "top", "width", "height", "parts"];
    rows(&json!(persons.map(line).collect::<Vec<Value>>()), &columns)
}

pub fn classify(config: &Config, args: ClassifyArgs) -> Result<(), Stop> {
    let images = args.inputs.find()?;
    let machine = Machine::for_commands(config)?;
    let Some(handle) = &machine.image_classes else {
        return Err(Stop::Usage(NO_CLASSIFIER.to_owned()));
    };
    machine.prepare(handle)?;
    let most = args.max_classes as usize;
    let ask = async |_: &App, image: Bytes| {
        let mut classes = one(handle, image, patient()).await?;
        classes.truncate(most);
        Ok(classes)
    };
    let show = Show {
        draw: |image, found: &Classes| RenderInput::one(image, answers::classes(found)),
        answer: ClassesAnswer::from,
        table: |answer: &ClassesAnswer| {
            value_table(answer, |answer| {
                rows(&answer["classes"], &["name", "score"])
            })
        },
    };
    each(config, &machine, images, args.output, ask, show)
}

pub fn compare(config: &Config, args: CompareArgs) -> Result<(), Stop> {
    let files = [args.source, args.target];
    let terms = Terms {
        least: args.threshold,
        bar: bar(&args.quality),
    };
    let picture = args.render.as_deref().map(|to| single(to, &files));
    let picture = picture.transpose()?;
    let machine = Machine::for_commands(config)?;
    machine.prepare(&machine.faces)?;
    let names = files.each_ref().map(|file| file.display().to_string());
    let mut faults = Faults::default();
    let asked = app(&machine, config)?;
    let mut line = match compared_files(config, asked, &files, terms, picture.as_deref()) {
        Ok(answer) => serde_json::to_value(answer).map_err(|error| Stop::failed(&error))?,
        Err(message) => {
            faults.report(&names.join(" in "), &message, args.output)?;
            return faults.end();
        }
    };
    if args.output.json {
        line["files"] = json!(names);
        if let Some(to) = &picture {
            line["picture"] = json!(to.display().to_string());
        }
        return output::json(&line);
    }
    let alike = line["faces"].as_array().into_iter().flatten();
    let alike: Vec<Value> = alike
        .map(|compared| {
            let mut row = compared["face"]["box"].clone();
            for name in ["similarity", "distance"] {
                row[name] = compared[name].clone();
            }
            row
        })
        .collect();
    let columns = ["similarity", "distance", "left", "top", "width", "height"];
    let title = title(&names.join(" in "), picture.as_deref());
    output::print(&format!("{title}{}", table(&rows(&json!(alike), &columns))))
}

/// The answer for two files, after its picture was written where one is wanted.
fn compared_files(
    config: &Config,
    (app, runtime): (App, tokio::runtime::Runtime),
    files: &[PathBuf; 2],
    terms: Terms,
    picture: Option<&Path>,
) -> Result<CompareAnswer, String> {
    let read = |file: &PathBuf| {
        read_image(file, &config.limits).map_err(|message| format!("{}: {message}", file.display()))
    };
    let images = [read(&files[0])?, read(&files[1])?];
    let found = compared::compare(&*app.images.faces, &images, terms, patient());
    let found = runtime.block_on(found).map_err(|error| chain(&error))?;
    if let Some(to) = picture {
        let drawn = one(&*app.images.render, found.picture(images), patient());
        let file = runtime.block_on(drawn).map_err(|error| chain(&error))?;
        write(to, &file)?;
    }
    Ok(found.into())
}

/// How the answers of a command are shown.
struct Show<F, A> {
    /// What is drawn of what was found.
    draw: fn(Bytes, &F) -> RenderInput,
    /// What is printed of it.
    answer: fn(F) -> A,
    /// That as a table.
    table: fn(&A) -> Result<String, Stop>,
}

/// Asks about each image, some ahead of the one whose answer is printed next, so that every lane has work; draws and
/// prints what was found, and reports what cannot be answered and goes on.
fn each<F, A: Serialize>(
    config: &Config,
    machine: &Machine,
    images: Vec<Image>,
    output: Output,
    ask: impl AsyncFn(&App, Bytes) -> Prediction<F>,
    show: Show<F, A>,
) -> Result<(), Stop> {
    let (app, runtime) = app(machine, config)?;
    // Enough for the next batch of each lane; each holds an encoded image.
    let ahead = (16 * machine.engine.config().lanes).clamp(16, 64);
    let progress = Progress::new(images.len());
    let one = async |image: Image| {
        let found = answered(&app, &config.limits, &image, &ask, show.draw).await;
        (image, found)
    };
    let answers = stream::iter(images).map(one).buffered(ahead);
    runtime.block_on(print_all(answers, output, &progress, &show))
}

/// What was found in one image, after its picture was written where one is wanted.
async fn answered<F>(
    app: &App,
    limits: &Limits,
    image: &Image,
    ask: &impl AsyncFn(&App, Bytes) -> Prediction<F>,
    draw: fn(Bytes, &F) -> RenderInput,
) -> Result<F, String> {
    if let Some(fault) = &image.fault {
        return Err(fault.clone());
    }
    let (path, limits) = (image.path.clone(), limits.clone());
    let bytes = away(move || read_image(&path, &limits)).await?;
    let found = ask(app, bytes.clone())
        .await
        .map_err(|error| chain(&error))?;
    if let Some(picture) = image.picture.clone() {
        let drawn = one(&*app.images.render, draw(bytes, &found), patient()).await;
        let file = drawn.map_err(|error| chain(&error))?;
        away(move || write(&picture, &file)).await?;
    }
    Ok(found)
}

/// Prints answers as they come.
async fn print_all<F, A: Serialize>(
    answers: impl Stream<Item = (Image, Result<F, String>)>,
    output: Output,
    progress: &Progress,
    show: &Show<F, A>,
) -> Result<(), Stop> {
    let mut faults = Faults::default();
    let mut answers = pin!(answers);
    while let Some((image, found)) = answers.next().await {
        let name = image.path.display().to_string();
        progress.aside(|| match found {
            Err(message) => faults.report(&name, &message, output),
            Ok(found) if output.json => {
                let mut line = serde_json::to_value((show.answer)(found))
                    .map_err(|error| Stop::failed(&error))?;
                line["file"] = json!(name);
                if let Some(picture) = &image.picture {
                    line["picture"] = json!(picture.display().to_string());
                }
                output::json(&line)
            }
            Ok(found) => {
                let title = title(&name, image.picture.as_deref());
                let table = (show.table)(&(show.answer)(found))?;
                output::print(&format!("{title}{table}"))
            }
        })?;
        progress.step();
    }
    progress.end();
    faults.end()
}

/// The line above a table.
fn title(name: &str, picture: Option<&Path>) -> String {
    match picture {
        Some(picture) => format!("{name} -> {}\n", picture.display()),
        None => format!("{name}\n"),
    }
}

fn value_table<A: Serialize>(
    answer: &A,
    rows: impl Fn(&Value) -> Vec<Vec<String>>,
) -> Result<String, Stop> {
    let value = serde_json::to_value(answer).map_err(|error| Stop::failed(&error))?;
    Ok(table(&rows(&value)))
}

/// How far a command has come: a bar on a terminal where there is more than one image, else nothing.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(images: usize) -> Self {
        if images < 2 || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let style = ProgressStyle::with_template("{bar:32} {pos} of {len} images, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(Some(ProgressBar::new(images as u64).with_style(style)))
    }

    /// Prints beside the bar.
    fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn step(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Answers file after file (those of a folder by name), each when the one before is done: a line of JSON with the file's
/// name, or a table under it.
pub fn images_in<A: Serialize>(
    files: &[PathBuf],
    recursive: bool,
    output: Output,
    rows: impl Fn(&Value) -> Vec<Vec<String>>,
    answer: impl Fn(&Path) -> Result<A, String>,
) -> Result<(), Stop> {
    let mut faults = Faults::default();
    let images = below(files, recursive, None);
    let progress = Progress::new(images.len());
    for image in images {
        let name = image.path.display().to_string();
        let found = image.fault.map_or_else(|| answer(&image.path), Err);
        progress.aside(|| match found {
            Err(message) => faults.report(&name, &message, output),
            Ok(found) => {
                let mut line = serde_json::to_value(found).map_err(|error| Stop::failed(&error))?;
                if output.json {
                    line["file"] = json!(name);
                    return output::json(&line);
                }
                output::print(&format!("{}{}", title(&name, None), table(&rows(&line))))
            }
        })?;
        progress.step();
    }
    progress.end();
    faults.end()
}

/// Runs what waits for the disk beside what asks.
async fn away<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(error.to_string()))
}

pub fn read_image(path: &Path, limits: &Limits) -> Result<Bytes, String> {
    let limit = limits.image;
    let bytes = read_within(path, limit.get()).map_err(|error| error.to_string())?;
    let bytes =
        bytes.ok_or_else(|| format!("the image is larger than `limits.image` ({limit})"))?;
    check_image(&bytes, limits).map_err(|failure: Failure| failure.message)?;
    Ok(bytes.into())
}

/// Writes a picture, with the folders above it.
fn write(to: &Path, file: &[u8]) -> Result<(), String> {
    let written = match to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::create_dir_all(folder),
        None => Ok(()),
    };
    written
        .and_then(|()| std::fs::write(to, file))
        .map_err(|error| format!("{}: {error}", to.display()))
}

fn labels_table(labels: &LabelsResponse) -> Result<String, Stop> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for label in &labels.labels {
        rows.push(vec![
            format!("  {:6.2}%", label.confidence),
            label.name.clone(),
            label.parents.join(" > "),
            label.categories.join(", "),
        ]);
        rows.extend(instances(label));
    }
    if rows.is_empty() {
        rows.push(vec!["  no label has this confidence".to_owned()]);
    }
    let properties = labels.properties.as_ref().map(properties);
    Ok(format!(
        "{}{}",
        table(&rows),
        properties.unwrap_or_default()
    ))
}

/// A row for each thing of a label.
fn instances(label: &LabelView) -> impl Iterator<Item = Vec<String>> + '_ {
    label.instances.iter().map(|instance| {
        let area = &instance.area;
        vec![
            format!("  {:6.2}%", instance.confidence),
            format!(
                "  {:.0} x {:.0} at {:.0}, {:.0}",
                area.width, area.height, area.left, area.top
            ),
        ]
    })
}

fn properties(properties: &PropertiesView) -> String {
    let mut rows = vec![vec![
        format!("  brightness {:.1}", properties.brightness),
        format!("sharpness {:.1}", properties.sharpness),
        format!("contrast {:.1}", properties.contrast),
    ]];
    for color in &properties.dominant_colors {
        rows.push(vec![
            format!("  {:6.2}%", color.pixel_percent),
            color.hex.clone(),
            color.css_color.clone(),
            color.simplified_color.clone(),
        ]);
    }
    table(&rows)
}
