//! Image networks that an operator brings, ready to run.
//!
//! | what is named | what it is |
//! | --- | --- |
//! | a model of the catalogue | ONNX with the entry's declaration, or files in the layout of transformers |
//! | a folder, `org/name`, `org/name@revision` | ONNX with `model.toml`, or files in the layout of transformers |

use super::network::{Answers, Network};
use super::preprocess::{self, Shown};
use super::processor;
use crate::error::{Error, Kind, Result};
use crate::image::Detail;
use crate::task::{LoadContext, unavailable};
use escala_models::Compute;
use escala_models::graph::{Graph, Tensor};
use escala_models::{detr, rtdetr, vision};
use escala_weights::declaration::{
    self, Classes, Declaration, Decoder, Detections, Input, Resize, Task,
};
use escala_weights::{ModelFiles, Progress, Silent, Store, Tensors};
use image::RgbImage;

/// Bytes of a configuration.
const MOST_CONFIG: u64 = 16 << 20;

/// An image network with what it reads and what its numbers mean.
pub(crate) struct ImageModel {
    network: Network,
    input: Input,
    pub(crate) decoder: Decoder,
    /// The outputs that the decoder reads, in its order.
    outputs: Vec<String>,
    pub(crate) classes: Classes,
    pub(crate) detections: Detections,
}

/// The files of an image network, pulled where they are missing.
///
/// # Errors
/// What cannot be pulled or is not one.
pub(crate) fn fetch(
    reference: &str,
    store: &Store,
    progress: &dyn Progress,
) -> std::result::Result<ModelFiles, escala_weights::Error> {
    match store.catalog().get(reference) {
        Some(_) => store.ensure(reference, progress),
        None => store.image_checkpoint(reference, progress),
    }
}

impl ImageModel {
    /// What is named, which must do `task`.
    ///
    /// # Errors
    /// `Unavailable` with what is missing or does not fit, and what to do.
    pub(crate) fn load(reference: &str, task: Task, context: &LoadContext<'_>) -> Result<Self> {
        let cannot = |cause: escala_weights::Error| unavailable(reference, cause);
        let files = fetch(reference, context.weights, &Silent).map_err(cannot)?;
        let entry = context.weights.catalog().get(reference);
        let declared = match (entry, files.path(declaration::FILE)) {
            (Some(entry), _) => entry.declaration.clone(),
            (None, Ok(path)) => Some(Declaration::open(&path).map_err(cannot)?),
            (None, Err(_)) => None,
        };
        let model = match declared {
            Some(declaration) => Self::declared(reference, &files, declaration)?,
            None => Self::transformers(reference, &files)?,
        };
        if model.decoder.task() != task {
            return Err(refused(
                reference,
                &format!("it is {}, not {task}", model.decoder.task()),
            ));
        }
        Ok(model)
    }

    /// An ONNX file and its declaration.
    fn declared(reference: &str, files: &ModelFiles, declared: Declaration) -> Result<Self> {
        let path = |name: &str| {
            files
                .path(name)
                .map_err(|cause| unavailable(reference, cause))
        };
        let classes = match (declared.classes, &declared.classes_file) {
            (Some(classes), _) => classes,
            (None, Some(file)) => {
                let names = Declaration::read_classes(&path(file)?);
                Classes::Names(names.map_err(|cause| unavailable(reference, cause))?)
            }
            (None, None) => return Err(refused(reference, "nothing names its classes")),
        };
        let graph = Graph::open_onnx(path(&declared.file)?)
            .map_err(|cause| unavailable(reference, cause))?;
        let model = Self {
            network: Network::compile(reference, graph)?,
            input: declared.input,
            decoder: declared.decoder,
            outputs: declared.outputs,
            classes,
            detections: declared.detections.unwrap_or_default(),
        };
        model.fitted(reference)
    }

    /// `config.json`, `preprocessor_config.json` and `model.safetensors`.
    fn transformers(reference: &str, files: &ModelFiles) -> Result<Self> {
        let read = |name: &str| -> Result<Vec<u8>> {
            let path = files
                .path(name)
                .map_err(|cause| unavailable(reference, cause))?;
            let large = std::fs::metadata(&path)
                .map_err(|cause| unavailable(reference, cause))?
                .len()
                > MOST_CONFIG;
            if large {
                return Err(refused(reference, &format!("{name} is too large")));
            }
            std::fs::read(&path).map_err(|cause| unavailable(reference, cause))
        };
        let config = read("config.json")?;
        let family = vision::model_type(&config).map_err(|cause| unavailable(reference, cause))?;
        let input = processor::read(&read(processor::FILE)?)
            .map_err(|why| refused(reference, &format!("{}: {why}", processor::FILE)))?;
        let path = files
            .path("model.safetensors")
            .map_err(|cause| unavailable(reference, cause))?;
        let tensors = Tensors::open(path).map_err(|cause| unavailable(reference, cause))?;
        let (graph, labels, decoder) = built(&family, &config, &tensors, &input)
            .map_err(|cause| unavailable(reference, cause))?;
        let model = Self {
            network: Network::compile(reference, graph)?,
            input,
            decoder,
            outputs: Vec::new(),
            classes: Classes::Names(labels),
            detections: Detections::default(),
        };
        model.fitted(reference)
    }

    /// Checks that the network reads what it is going to be shown, and finds the outputs that nobody named.
    fn fitted(mut self, reference: &str) -> Result<Self> {
        let inputs: Vec<_> = self.network.inputs().collect();
        let [only] = inputs.as_slice() else {
            let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(refused(
                reference,
                &format!(
                    "it reads {} ({}), not an image alone",
                    names.len(),
                    names.join(", ")
                ),
            ));
        };
        let shape = preprocess::shape(self.input.layout, [self.input.width, self.input.height]);
        let any = matches!(self.input.resize, Resize::Within { .. });
        let fits = only.shape.len() == shape.len()
            && only.shape.iter().zip(shape).all(|(wanted, size)| {
                let free = any && size != 1 && size != 3;
                wanted.is_none_or(|wanted| wanted == size && !free)
            });
        if !fits {
            let wanted: Vec<String> = only
                .shape
                .iter()
                .map(|size| size.map_or_else(|| "any".to_owned(), |size| size.to_string()))
                .collect();
            return Err(refused(
                reference,
                &format!(
                    "`input` and `layout` make {shape:?} of an image, but it reads [{}]",
                    wanted.join(", ")
                ),
            ));
        }
        let given: Vec<&str> = self.network.outputs().collect();
        let outputs = match (self.outputs.as_slice(), given.as_slice()) {
            ([], [only]) if self.decoder.outputs() == 1 => vec![(*only).to_owned()],
            ([], _) => ["logits", "pred_boxes"][..self.decoder.outputs()]
                .iter()
                .map(|&name| name.to_owned())
                .collect(),
            (named, _) => named.to_vec(),
        };
        if let Some(absent) = outputs.iter().find(|name| !given.contains(&name.as_str())) {
            return Err(refused(
                reference,
                &format!(
                    "it gives {}, and no {absent}: name its `outputs`",
                    given.join(", ")
                ),
            ));
        }
        self.outputs = outputs;
        Ok(self)
    }

    /// How much of an image the network needs to be shown it.
    pub(crate) fn detail(&self) -> Detail {
        preprocess::detail(&self.input)
    }

    /// What the network is shown of an image.
    pub(crate) fn show(&self, image: &RgbImage) -> Shown {
        preprocess::show(&self.input, image)
    }

    /// Numbers that the network is shown.
    pub(crate) fn values(&self) -> usize {
        self.input.width as usize * self.input.height as usize * 3
    }

    /// Columns and rows of what the network is shown, where that is one size.
    pub(crate) fn size(&self) -> [u32; 2] {
        [self.input.width, self.input.height]
    }

    /// Runs the network on what [`ImageModel::show`] gave, of this many columns and rows. Must not be called from
    /// inside a team's region.
    pub(crate) fn run(&self, compute: &Compute, pixels: &[f32], size: [u32; 2]) -> Result<Answers> {
        let shape = preprocess::shape(self.input.layout, size);
        self.network.run(compute, &shape, pixels)
    }

    /// The decoder's output of this number.
    pub(crate) fn output<'a>(&self, answers: &'a Answers, number: usize) -> Result<&'a Tensor> {
        answers.tensor(self.outputs.get(number).map_or("", String::as_str))
    }

    /// Bytes that the network holds.
    pub(crate) fn memory(&self) -> u64 {
        self.network.memory()
    }
}

/// The network of a family of transformers, the names of its classes, and what its numbers mean.
fn built(
    family: &str,
    config: &[u8],
    tensors: &Tensors,
    input: &Input,
) -> escala_models::Result<(Graph, Vec<String>, Decoder)> {
    match family {
        "rt_detr" => {
            let config = rtdetr::Config::read(config)?;
            if input.width != input.height {
                return Err(escala_models::Error::Unsupported {
                    what: format!(
                        "RT-DETR sees squares, not {} x {}",
                        input.width, input.height
                    ),
                });
            }
            let graph = rtdetr::graph(&config, tensors, input.height as usize)?;
            Ok((graph, config.labels, Decoder::Rtdetr))
        }
        "detr" => {
            let config = detr::Config::read(config)?;
            let graph = detr::graph(&config, tensors)?;
            Ok((graph, config.labels, Decoder::Detr))
        }
        _ => {
            let size = [input.height as usize, input.width as usize];
            let classifier = vision::classifier(config, tensors, size)?;
            let decoder = match classifier.exclusive {
                true => Decoder::Softmax,
                false => Decoder::Sigmoid,
            };
            Ok((classifier.graph, classifier.labels, decoder))
        }
    }
}

/// What is named cannot take the place.
pub(crate) fn refused(reference: &str, why: &str) -> Error {
    Error::new(
        Kind::Unavailable,
        format!("the model {reference} cannot be loaded: {why}"),
    )
}
