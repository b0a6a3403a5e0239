//! The state of a run as one safetensors file, written beside its name and renamed into place.

use crate::error::{Error, Result};
use escala_weights::Tensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Version of the file's layout.
const VERSION: &str = "1";

/// Everything a run needs to go on.
#[derive(Debug, PartialEq)]
pub struct Checkpoint {
    /// What the run was started with.
    pub fingerprint: u64,
    /// Steps done.
    pub steps: u64,
    /// Evaluations since the best one.
    pub since_best: u32,
    /// Loss of the best evaluation.
    pub best_loss: Option<f64>,
    /// The figure of the last evaluation that was an improvement. Of files without it that is the best loss.
    pub mark: Option<f64>,
    /// What learns.
    pub parameters: Vec<Saved>,
}

/// One parameter.
#[derive(Debug, PartialEq)]
pub struct Saved {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Vec<f32>,
    /// The optimiser's means.
    pub means: [Vec<f32>; 2],
    /// Its value at the best evaluation.
    pub best: Option<Vec<f32>>,
}

impl Checkpoint {
    /// Writes the checkpoint in place of an older one: a reader finds one or the other, whole.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        let names: Vec<&str> = self.parameters.iter().map(|p| p.name.as_str()).collect();
        let metadata = HashMap::from([
            ("version".to_owned(), VERSION.to_owned()),
            ("fingerprint".to_owned(), self.fingerprint.to_string()),
            ("steps".to_owned(), self.steps.to_string()),
            ("since_best".to_owned(), self.since_best.to_string()),
            ("best_loss".to_owned(), bits(self.best_loss)),
            ("mark".to_owned(), bits(self.mark)),
            ("parameters".to_owned(), names.join("\n")),
        ]);
        let mut parts: Vec<(String, &[f32])> = Vec::new();
        for parameter in &self.parameters {
            parts.push((format!("value.{}", parameter.name), &parameter.value));
            for (mean, values) in ["first", "second"].iter().zip(&parameter.means) {
                parts.push((format!("{mean}.{}", parameter.name), values));
            }
            if let Some(best) = &parameter.best {
                parts.push((format!("best.{}", parameter.name), best));
            }
        }
        write_f32(
            path,
            &parts
                .iter()
                .map(|(n, v)| (n.as_str(), vec![v.len()], *v))
                .collect::<Vec<_>>(),
            metadata,
        )
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// When the file cannot be read or is not a checkpoint of this version.
    pub fn read(path: &Path) -> Result<Self> {
        let tensors = Tensors::open(path)?;
        let version: String = tensors.metadata_as("version")?;
        if version != VERSION {
            return Err(Error::unsupported(format!(
                "{} is a checkpoint of version {version}, not {VERSION}",
                path.display()
            )));
        }
        let names: String = tensors.metadata_as("parameters")?;
        let get = |kind: &str, name: &str| -> Result<Vec<f32>> {
            Ok(tensors.f32(&format!("{kind}.{name}"))?.1.into_owned())
        };
        let figure = |key: &str, bits: &str| match bits {
            "" => Ok(None),
            bits => match bits.parse() {
                Ok(bits) => Ok(Some(f64::from_bits(bits))),
                Err(_) => Err(Error::unsupported(format!(
                    "{} has no {key}",
                    path.display()
                ))),
            },
        };
        let best_loss = figure("best_loss", &tensors.metadata_as::<String>("best_loss")?)?;
        let mark = match tensors.metadata("mark") {
            Some(mark) => figure("mark", mark)?,
            None => best_loss,
        };
        Ok(Self {
            fingerprint: tensors.metadata_as("fingerprint")?,
            steps: tensors.metadata_as("steps")?,
            since_best: tensors.metadata_as("since_best")?,
            best_loss,
            mark,
            parameters: names
                .lines()
                .map(|name| {
                    Ok(Saved {
                        name: name.to_owned(),
                        value: get("value", name)?,
                        means: [get("first", name)?, get("second", name)?],
                        best: best_loss.map(|_| get("best", name)).transpose()?,
                    })
                })
                .collect::<Result<_>>()?,
        })
    }
}

/// A number by its bits, so that nothing is lost on the way; nothing of none.
fn bits(figure: Option<f64>) -> String {
    figure.map_or_else(String::new, |figure| figure.to_bits().to_string())
}

/// Writes named `f32` tensors atomically.
pub(super) fn write_f32(
    path: &Path,
    tensors: &[(&str, Vec<usize>, &[f32])],
    metadata: HashMap<String, String>,
) -> Result<()> {
    let views = tensors
        .iter()
        .map(|(name, shape, values)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values));
            view.map(|view| (*name, view))
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| Error::unsupported(error.to_string()))?;
    let bytes = safetensors::serialize(views, Some(metadata))
        .map_err(|error| Error::unsupported(error.to_string()))?;
    publish(path, &bytes)
}

/// Writes `bytes` to a file beside `path`, to the disk, and renames it.
pub(super) fn publish(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = |source: std::io::Error| Error::File {
        path: path.into(),
        source,
    };
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let mut out = File::create(&partial).map_err(file)?;
    out.write_all(bytes).map_err(file)?;
    out.sync_all().map_err(file)?;
    drop(out);
    fs::rename(&partial, path).map_err(file)?;
    // The rename itself must reach the disk too.
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(file)?;
    }
    Ok(())
}
