//! Networks from their published files, with this crate's errors.

use crate::error::{Error, Kind, Result};
use crate::image::Threads;
use crate::task::{LoadContext, unavailable};
use escala_models::Compute;
use escala_models::faces;
use escala_models::graph::{self, Declared, Graph, Input, Network as Compiled, Output, Tensor};
use escala_weights::{ModelFiles, Silent, Tensors};
use std::path::PathBuf;
use std::sync::Arc;

/// A model's published files; pulls them when they are missing.
pub(crate) fn files(context: &LoadContext<'_>, model: &str) -> Result<ModelFiles> {
    context
        .weights
        .ensure(model, &Silent)
        .map_err(|cause| unavailable(model, cause))
}

/// One file of a model.
pub(crate) fn path(files: &ModelFiles, model: &str, name: &str) -> Result<PathBuf> {
    files.path(name).map_err(|cause| unavailable(model, cause))
}

/// The tensors of a model.
pub(crate) fn tensors(context: &LoadContext<'_>, model: &str) -> Result<Tensors> {
    let path = path(&files(context, model)?, model, "model.safetensors")?;
    Tensors::open(path).map_err(|cause| unavailable(model, cause))
}

/// A network that is ready to run.
pub(crate) struct Network {
    model: Arc<str>,
    compiled: Compiled,
}

impl Network {
    /// From an ONNX file of a model.
    pub(crate) fn onnx(files: &ModelFiles, model: &str, name: &str) -> Result<Self> {
        let path = path(files, model, name)?;
        Self::compile(
            model,
            Graph::open_onnx(path).map_err(|cause| unavailable(model, cause))?,
        )
    }

    /// From `graph.json` and `model.safetensors`.
    pub(crate) fn tfjs(context: &LoadContext<'_>, model: &str) -> Result<Self> {
        let files = files(context, model)?;
        let topology = std::fs::read(path(&files, model, "graph.json")?)
            .map_err(|cause| unavailable(model, cause))?;
        let tensors = tensors(context, model)?;
        let tensor = |name: &str| -> Option<Tensor> {
            // Integers are sizes and indices, exact as floats.
            let (shape, data) = match tensors.f32(name) {
                Ok((shape, data)) => (shape, data.into_owned()),
                Err(_) => {
                    let (shape, data) = tensors.i32(name).ok()?;
                    (shape, data.iter().map(|&value| value as f32).collect())
                }
            };
            Tensor::new(&shape, data).ok()
        };
        let graph =
            Graph::open_tfjs(&topology, tensor).map_err(|cause| unavailable(model, cause))?;
        Self::compile(model, graph)
    }

    /// From an architecture and `model.safetensors`.
    pub(crate) fn built(
        context: &LoadContext<'_>,
        model: &str,
        build: impl Fn(&Tensors) -> std::result::Result<Graph, faces::Error>,
    ) -> Result<Self> {
        let tensors = tensors(context, model)?;
        Self::compile(
            model,
            build(&tensors).map_err(|cause| unavailable(model, cause))?,
        )
    }

    /// From a graph.
    pub(crate) fn compile(model: &str, graph: Graph) -> Result<Self> {
        let compiled = Compiled::compile(graph).map_err(|cause| unavailable(model, cause))?;
        let model = model.into();
        Ok(Self { model, compiled })
    }

    /// What it reads.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &Declared> {
        self.compiled.inputs()
    }

    /// The names of what it gives.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &str> {
        self.compiled.outputs()
    }

    /// Runs a network that reads one thing. Must not be called from inside a team's region.
    pub(crate) fn run(&self, compute: &Compute, shape: &[usize], data: &[f32]) -> Result<Answers> {
        let name = self.input();
        let input = Input { name, shape, data };
        self.answers(self.compiled.run(compute, &[input]))
    }

    /// As [`Network::run`] of a picture that lies in the upper left corner of what is read.
    pub(crate) fn run_letterboxed(
        &self,
        compute: &Compute,
        shape: &[usize],
        data: &[f32],
    ) -> Result<Answers> {
        let name = self.input();
        let input = Input { name, shape, data };
        self.answers(self.compiled.run_letterboxed(compute, input))
    }

    /// The name of what a network reads.
    fn input(&self) -> &str {
        let declared = self.compiled.inputs().next();
        declared.map_or("", |declared| &declared.name)
    }

    /// As [`Network::run`]; `fill` writes what is read into the memory of the run.
    pub(crate) fn run_filled(
        &self,
        compute: &Compute,
        shape: &[usize],
        fill: impl FnOnce(&mut [f32]),
    ) -> Result<Answers> {
        self.answers(self.compiled.run_filled(compute, shape, fill))
    }

    fn answers(&self, outputs: graph::Result<Vec<Output>>) -> Result<Answers> {
        let failed = |source: graph::Error| {
            Error::new(Kind::Internal, format!("the network {} failed", self.model))
                .with_source(source)
        };
        Ok(Answers {
            model: self.model.clone(),
            outputs: outputs.map_err(failed)?,
        })
    }

    /// Bytes that the network holds.
    pub(crate) fn memory(&self) -> u64 {
        self.compiled.memory()
    }
}

/// What a network gave.
pub(crate) struct Answers {
    model: Arc<str>,
    outputs: Vec<Output>,
}

impl Answers {
    /// The numbers of an output.
    pub(crate) fn of(&self, name: &str) -> Result<&[f32]> {
        self.tensor(name).map(Tensor::data)
    }

    /// An output.
    pub(crate) fn tensor(&self, name: &str) -> Result<&Tensor> {
        let output = self.outputs.iter().find(|output| output.name == name);
        output.map(|output| &output.tensor).ok_or_else(|| {
            let message = format!("the network {} gives no {name}", self.model);
            Error::new(Kind::Internal, message)
        })
    }

    /// The numbers of the first output.
    pub(crate) fn only(&self) -> Result<&[f32]> {
        self.outputs
            .first()
            .map(|output| output.tensor.data())
            .ok_or_else(|| {
                Error::new(
                    Kind::Internal,
                    format!("the network {} gives nothing", self.model),
                )
            })
    }
}

/// Decodes the images of a batch in parallel, one to a thread at a time. An image that is alone has all threads.
pub(crate) fn decode_all<I: Sync, P: Send>(
    compute: &Compute,
    batch: &[I],
    prepare: impl Fn(&I, &dyn Threads) -> Result<P> + Sync,
) -> Vec<Result<P>> {
    let threads = crate::image::threads(compute, batch.len());
    crate::task::each(compute, batch, |item| prepare(item, threads))
}
