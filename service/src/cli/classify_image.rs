//! `escala predict classify-image`: the classes of images, by a classifier of the operator's own.

use super::predict::{Faults, patient, predicted, read_image, rows};
use super::{Output, Stop, output};
use crate::config::Config;
use crate::machine::Machine;
use crate::rest::classify_image::{DEFAULT_CLASSES, NO_CLASSIFIER, answer};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict classify-image photo.jpg --model image-classes=org/name
  escala predict classify-image *.png --max-classes 3 --json --model image-classes=./my-classes")]
pub struct ClassifyImageArgs {
    /// Image files, or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Most classes, most likely first.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CLASSES as u64, value_parser = clap::value_parser!(u64).range(1..))]
    max_classes: u64,
    #[command(flatten)]
    output: Output,
}

pub fn run(config: &Config, args: ClassifyImageArgs) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    let Some(handle) = &machine.image_classes else {
        return Err(Stop::Usage(NO_CLASSIFIER.to_owned()));
    };
    machine.prepare(handle)?;
    let mut faults = Faults::default();
    for file in &args.files {
        let name = file.display().to_string();
        let found = read_image(file, config)
            .and_then(|image| predicted(handle.predict_blocking(image, patient())));
        let classes = match found {
            Ok(classes) => answer(classes, args.max_classes as usize),
            Err(message) => {
                faults.report(&name, &message, args.output)?;
                continue;
            }
        };
        let mut line = serde_json::to_value(classes).map_err(|error| Stop::failed(&error))?;
        if args.output.json {
            line["file"] = json!(name);
            output::json(&line)?;
        } else {
            let rows = rows(&line["classes"], &["name", "score"]);
            output::print(&format!("{name}\n{}", output::table(&rows)))?;
        }
    }
    faults.end()
}
