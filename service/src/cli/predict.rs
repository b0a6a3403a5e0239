//! `escala predict language` and `escala predict labels`.

use super::output::{self, for_each_group, short, table};
use super::{Output, Stop};
use crate::config::Config;
use crate::failure::{Failure, chain};
use crate::machine::Machine;
use crate::rest::labels::{LabelsResponse, PropertiesView, check_image};
use bytes::Bytes;
use clap::{Args, Subcommand};
use escala_pipelines::labels::{LabelFilters, LabelsInput, LabelsOptions};
use escala_pipelines::language::Language;
use escala_pipelines::{Options, Result as Prediction};
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub enum Predict {
    /// The language of each text.
    Language(LanguageArgs),
    /// What each image shows.
    Labels(LabelsArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict language \"¿Dónde está la biblioteca?\"
  cat lines.txt | escala predict language - --json")]
pub struct LanguageArgs {
    /// Texts, or `-` for the lines of standard input.
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict labels photo.jpg
  escala predict labels *.png --max-labels 5 --min-confidence 10 --properties --json")]
pub struct LabelsArgs {
    /// Image files (JPEG, PNG, WebP, GIF, BMP, TIFF), or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
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

fn percent(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    (0.0..=100.0)
        .contains(&value)
        .then_some(value)
        .ok_or_else(|| "must be between 0 and 100".to_owned())
}

pub fn run(config: &Config, predict: Predict) -> Result<(), Stop> {
    match predict {
        Predict::Language(args) => language(config, args),
        Predict::Labels(args) => labels(config, args),
    }
}

/// How the command line asks: nobody waits behind it, so it has all the time it needs.
pub fn patient() -> Options {
    Options::within(std::time::Duration::from_secs(24 * 3600))
}

/// Collects what went wrong with items while the others are answered.
#[derive(Default)]
pub struct Faults(usize);

impl Faults {
    pub fn report(&mut self, what: &str, message: &str, output: Output) -> Result<(), Stop> {
        self.0 += 1;
        eprintln!("error: {what}: {message}");
        match output.json {
            true => output::json(&json!({ "input": what, "error": message })),
            false => Ok(()),
        }
    }

    pub fn end(self) -> Result<(), Stop> {
        if self.0 == 0 {
            Ok(())
        } else {
            Err(Stop::Silent)
        }
    }
}

fn language(config: &Config, args: LanguageArgs) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    let mut faults = Faults::default();
    machine.prepare(&machine.language)?;
    for_each_group(args.texts, config.limits.text.get(), |texts| {
        let answers = machine
            .language
            .predict_many_blocking(texts.clone(), patient());
        for (text, answer) in texts.iter().zip(answers) {
            match answer {
                Ok(languages) => print_languages(text, &languages, args.output)?,
                Err(error) => faults.report(&short(text, 60), &chain(&error), args.output)?,
            }
        }
        Ok(())
    })?;
    faults.end()
}

fn print_languages(text: &str, languages: &[Language], output: Output) -> Result<(), Stop> {
    if output.json {
        return output::json(&json!({ "text": text, "languages": languages }));
    }
    // One line for each text; the next candidates only where they are worth a look.
    let worth = languages
        .iter()
        .enumerate()
        .filter(|(rank, language)| *rank == 0 || language.score >= 0.05)
        .take(3);
    let cells: Vec<String> = worth
        .map(|(_, language)| format!("{} {:.3}", language.code, language.score))
        .collect();
    output::print(&format!("{:<32}  {}\n", cells.join("  "), short(text, 80)))
}

fn labels(config: &Config, args: LabelsArgs) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    let mut faults = Faults::default();
    machine.prepare(&machine.labels)?;
    let options = LabelsOptions {
        max_labels: args.max_labels as usize,
        min_confidence: args.min_confidence,
        filters: LabelFilters::default(),
        properties: args
            .properties
            .then_some(escala_pipelines::image::properties::DEFAULT_DOMINANT_COLORS),
        ..LabelsOptions::default()
    };
    for file in &args.files {
        let name = file.display().to_string();
        let answer = read_image(file, config).and_then(|image| {
            predicted(machine.labels.predict_blocking(
                LabelsInput {
                    image,
                    options: options.clone(),
                },
                patient(),
            ))
        });
        match answer {
            Ok(labels) => print_labels(&name, labels.into(), args.output)?,
            Err(message) => faults.report(&name, &message, args.output)?,
        }
    }
    faults.end()
}

fn predicted<T>(answer: Prediction<T>) -> Result<T, String> {
    answer.map_err(|error| chain(&error))
}

fn read_image(path: &Path, config: &Config) -> Result<Bytes, String> {
    // One byte more than allowed, so that a file that is too large is noticed without being read whole.
    let most = config.limits.image.get().saturating_add(1);
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 == most {
        return Err(format!(
            "the image is larger than `limits.image` ({})",
            config.limits.image
        ));
    }
    check_image(&bytes, &config.limits).map_err(|failure: Failure| failure.message)?;
    Ok(bytes.into())
}

fn print_labels(name: &str, labels: LabelsResponse, output: Output) -> Result<(), Stop> {
    if output.json {
        let mut line = serde_json::to_value(&labels).map_err(|error| Stop::failed(&error))?;
        line["file"] = json!(name);
        return output::json(&line);
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    for label in &labels.labels {
        let path = label.parents.join(" > ");
        rows.push(vec![
            format!("  {:6.2}%", label.confidence),
            label.name.clone(),
            path,
            label.categories.join(", "),
        ]);
    }
    if rows.is_empty() {
        rows.push(vec!["  no label has this confidence".to_owned()]);
    }
    let properties = labels
        .properties
        .as_ref()
        .map(properties)
        .unwrap_or_default();
    output::print(&format!("{name}\n{}{properties}", table(&rows)))
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
