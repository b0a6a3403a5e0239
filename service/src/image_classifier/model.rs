//! A layer on what the network of labels sees, or on what that network sees after it was tuned: files, and answers.
//!
//! Questions are images (`image/jpeg`, `image/png`, …, `application/x-image`, or base64 in JSON); an answer is a list of the probabilities of all
//! classes in their order (each for itself where images are of several classes), as SageMaker's container answers, or with `application/json;verbose` objects with their names. Source:
//! the developer guide, "Image Classification - inference".

use super::REPOSITORY;
use crate::failure::chain;
use crate::hosted::{Alone, Answers, answers, images, refuse, told};
use escala_models::Compute;
use escala_models::compute::Device;
use escala_models::train::loss::Loss;
use escala_pipelines::image::{File, ImageLimits};
use escala_pipelines::labels::features::{ImageFeatures, WIDTH};
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{About, Asked, Container, Opener, Said, Served, Unanswered};
use escala_weights::Store;
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The file that a model is.
const FILE: &str = "image-classifier.json";
/// The tuned network beside it, where there is one.
pub const NETWORK: &str = "image-network.safetensors";
/// Most bytes of a file.
const LARGEST: u64 = 1 << 30;
/// Most classes.
pub const CLASSES: usize = 10_000;
/// Images that the network sees at a time.
const AT_ONCE: usize = 32;

/// What was learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// The network below it, so that another is not taken for it.
    pub network: String,
    /// Whether that was tuned, and lies beside this file as [`NETWORK`].
    #[serde(default)]
    pub tuned: bool,
    /// Whether each class holds or does not by itself, so that probabilities do not sum to one.
    #[serde(default)]
    pub multi_label: bool,
    /// The classes, in the order of the numbers.
    pub classes: Vec<String>,
    /// [`WIDTH`] weights for each class.
    pub weight: Vec<f32>,
    /// A bias for each class.
    pub bias: Vec<f32>,
}

impl Layer {
    /// Writes it into a folder.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(self)?;
        fs::write(folder.join(FILE), bytes)
    }

    /// Reads what [`Layer::write`] left; nothing of it is believed.
    ///
    /// # Errors
    /// A sentence with what is wrong with the file.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        let wrong = |why: String| format!("{FILE} {why}");
        let length =
            fs::metadata(&path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        if length.len() > LARGEST {
            return Err(wrong("is too large".to_owned()));
        }
        let bytes = fs::read(&path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let read: Self = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("is no classifier of images: {error}")))?;
        let classes = read.classes.len();
        let sane = (2..=CLASSES).contains(&classes)
            && read.bias.len() == classes
            && read.weight.len() == classes * WIDTH
            && read
                .weight
                .iter()
                .chain(&read.bias)
                .all(|one| one.is_finite());
        match sane {
            true => Ok(read),
            false => Err(wrong("has numbers that do not fit its classes".to_owned())),
        }
    }

    /// The probability of each class.
    pub fn probabilities(&self, vector: &[f32]) -> Vec<f32> {
        let rows = self.weight.chunks_exact(WIDTH);
        let logits = rows.zip(&self.bias).map(|(row, bias)| {
            bias + row
                .iter()
                .zip(vector)
                .map(|(weight, value)| weight * value)
                .sum::<f32>()
        });
        let logits: Vec<f32> = logits.collect();
        let loss = match self.multi_label {
            false => Loss::Softmax,
            // Weights are of what was learned, not of what is said.
            true => Loss::Sigmoid(Vec::new()),
        };
        loss.probabilities(&logits)
    }
}

/// Who opens them.
pub struct Opened {
    /// Where weights come from.
    pub weights: Arc<Store>,
    /// What computes.
    pub device: Device,
    /// Threads of a model.
    pub threads: usize,
    /// What an image may have.
    pub limits: ImageLimits,
}

impl Opened {
    fn load(&self, container: &Container<'_>) -> Result<Arc<dyn Served>, String> {
        let folder = container.folder;
        let folder = folder.ok_or("there is no model: give ModelDataUrl")?;
        let layer = Layer::read(folder)?;
        let context = LoadContext {
            weights: &self.weights,
            target: (&self.device).into(),
        };
        let features = match layer.tuned {
            false => ImageFeatures::load(&context, self.limits),
            true => {
                let path = folder.join(NETWORK);
                let length = fs::metadata(&path)
                    .map_err(|error| format!("{NETWORK} cannot be read: {error}"))?;
                if length.len() > LARGEST {
                    return Err(format!("{NETWORK} is too large"));
                }
                ImageFeatures::open(&path, &self.device, self.limits)
            }
        };
        let features = features.map_err(|error| chain(&error))?;
        if layer.tuned && features.classes() != layer.classes.len() {
            return Err(format!(
                "{NETWORK} is for {} classes, {FILE} for {}",
                features.classes(),
                layer.classes.len()
            ));
        }
        let compute = Compute::new(self.device.clone(), self.threads);
        Ok(Arc::new(Alone::new(
            Classifier { layer, features },
            compute,
        )))
    }
}

impl Opener for Opened {
    fn open(&self, container: &Container<'_>) -> Option<Result<Arc<dyn Served>, String>> {
        self.knows(container.repository)
            .then(|| self.load(container))
    }

    fn knows(&self, repository: &str) -> bool {
        repository == REPOSITORY
    }

    fn accepts(&self) -> String {
        format!("{REPOSITORY} with what training left")
    }
}

struct Classifier {
    layer: Layer,
    features: ImageFeatures,
}

impl Classifier {
    /// `lines` says that the answer is a line of JSON Lines, where SageMaker's algorithm names what it says.
    fn row(&self, vector: &[f32], verbose: bool, lines: bool) -> Value {
        let found = self.layer.probabilities(vector);
        if !verbose {
            return match lines {
                true => json!({"prediction": found}),
                false => json!(found),
            };
        }
        let mut named: Vec<(&String, f32)> = self.layer.classes.iter().zip(found).collect();
        named.sort_by(|one, other| other.1.total_cmp(&one.1));
        let object = |(label, score): (&String, f32)| json!({"label": label, "score": score});
        Value::Array(named.into_iter().map(object).collect())
    }
}

impl Answers for Classifier {
    fn about(&self) -> About {
        About::Images
    }

    fn answer(&mut self, compute: &Compute, asked: &Asked) -> Result<Said, Unanswered> {
        let asked_about = images(asked)?;
        let accept = asked.accept.as_deref();
        let verbose = accept.is_some_and(|accept| accept.contains("verbose"));
        let said = accept.or(asked.content_type.as_deref());
        let lines = said.is_some_and(|kind| kind.contains("jsonlines"));
        let mut rows = Vec::with_capacity(asked_about.items.len());
        for some in asked_about.items.chunks(AT_ONCE) {
            let files: Vec<File> = some.iter().cloned().map(File::new).collect();
            let seen = self.features.vectors(compute, &files);
            for vector in seen.map_err(|error| told(&error))? {
                let vector = vector.map_err(|error| told(&error))?;
                let row = to_raw_value(&self.row(&vector, verbose, lines));
                rows.push(row.map_err(|error| refuse(500, error.to_string()))?);
            }
        }
        answers(asked_about.answered(), accept, &rows)
    }

    fn memory(&self) -> u64 {
        self.features.memory() + 4 * self.layer.weight.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Layer {
        let mut weight = vec![0.0; 2 * WIDTH];
        weight[0] = 1.0;
        Layer {
            network: "x".to_owned(),
            tuned: false,
            multi_label: false,
            classes: vec!["a".to_owned(), "b".to_owned()],
            weight,
            bias: vec![0.0, 1.0],
        }
    }

    #[test]
    fn a_layer_is_read_as_it_was_written_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Layer::read(folder.path()).is_err());
        layer().write(folder.path()).expect("written");
        let read = Layer::read(folder.path()).expect("read");
        assert_eq!(read, layer());
        let mut vector = vec![0.0; WIDTH];
        vector[0] = 3.0;
        let found = read.probabilities(&vector);
        assert!((found[0] - 0.880_797).abs() < 1e-5 && (found[0] + found[1] - 1.0).abs() < 1e-6);
        let several = Layer {
            multi_label: true,
            ..layer()
        };
        several.write(folder.path()).expect("written");
        let read = Layer::read(folder.path()).expect("read");
        let found = read.probabilities(&vector);
        assert!((found[0] - 0.952_574).abs() < 1e-5 && (found[1] - 0.731_059).abs() < 1e-5);
        for broken in [
            Layer {
                classes: vec!["a".to_owned()],
                ..layer()
            },
            Layer {
                bias: vec![0.0],
                ..layer()
            },
            Layer {
                weight: vec![0.0; WIDTH],
                ..layer()
            },
        ] {
            broken.write(folder.path()).expect("written");
            assert!(Layer::read(folder.path()).is_err(), "{:?}", broken.classes);
        }
        // One from before networks were tuned.
        let mut old = serde_json::to_value(layer()).expect("a value");
        let members = old.as_object_mut().expect("an object");
        members.remove("tuned");
        members.remove("multi_label");
        fs::write(folder.path().join(FILE), old.to_string()).expect("written");
        assert_eq!(Layer::read(folder.path()), Ok(layer()));
        fs::write(folder.path().join(FILE), b"{").expect("written");
        assert!(Layer::read(folder.path()).is_err());
    }
}
