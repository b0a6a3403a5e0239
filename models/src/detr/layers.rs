//! A graph that grows by layers whose weights have PyTorch's names.

use crate::error::{Error, Result};
use crate::graph::{
    Arithmetic, Function, Graph, Linear, Normalise, Op, Padding, Pool, PoolKind, Tensor, Value,
    Window,
};
use escala_weights::{Tensors, tensors};
use half::{bf16, f16};
use safetensors::tensor::Dtype;
use std::sync::Arc;

/// What batch normalisations add to the variance.
pub(crate) const EPSILON: f32 = 1e-5;

/// A value with the size of its last axis: a map's channels, or the width of rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wide {
    pub(crate) value: Value,
    pub(crate) width: usize,
}

/// A convolution without a bias and the batch normalisation after it, by their names.
pub(crate) struct Normalised<'a> {
    pub(crate) conv: &'a str,
    pub(crate) norm: &'a str,
    pub(crate) epsilon: f32,
}

/// Weights `[outputs, inputs, height, width]` of a convolution, and one bias an output.
pub(crate) struct Kernel {
    pub(crate) shape: [usize; 4],
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

pub(crate) struct Layers<'a> {
    pub(crate) graph: Graph,
    weights: &'a Tensors,
}

impl<'a> Layers<'a> {
    pub(crate) fn new(weights: &'a Tensors) -> Self {
        Self {
            graph: Graph::new(),
            weights,
        }
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.weights.info(name).is_ok()
    }

    /// A tensor's dimensions and numbers; stored in half precision, they are expanded.
    pub(crate) fn tensor(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let (kind, shape) = self.weights.info(name)?;
        let shape = shape.to_vec();
        let halves = |read: fn([u8; 2]) -> f32| -> Result<Vec<f32>> {
            let bytes = self.weights.raw(name)?.as_chunks::<2>().0;
            Ok(bytes.iter().map(|&bytes| read(bytes)).collect())
        };
        let data = match kind {
            Dtype::F16 => halves(|bytes| f16::from_le_bytes(bytes).to_f32())?,
            Dtype::BF16 => halves(|bytes| bf16::from_le_bytes(bytes).to_f32())?,
            _ => self.weights.f32(name)?.1.into_owned(),
        };
        Ok((shape, data))
    }

    /// A tensor of exactly these dimensions.
    pub(crate) fn tensor_of(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (found, data) = self.tensor(name)?;
        if found == shape {
            return Ok(data);
        }
        Err(tensors::Error::WrongShape {
            path: self.weights.path().to_owned(),
            name: name.to_owned(),
            wanted: shape.to_vec(),
            found,
        }
        .into())
    }

    /// The weights of a convolution over `inputs` channels with a square window, the batch normalisation after it
    /// taken up.
    pub(crate) fn kernel(
        &self,
        names: &Normalised<'_>,
        inputs: usize,
        side: usize,
    ) -> Result<Kernel> {
        let name = format!("{}.weight", names.conv);
        let (found, mut weights) = self.tensor(&name)?;
        let outputs = found.first().copied().unwrap_or(0);
        let shape = [outputs, inputs, side, side];
        if found != shape || outputs == 0 {
            // Names the tensor and the file.
            self.tensor_of(&name, &shape)?;
            return Err(Error::unsupported(format!("{name} has no outputs")));
        }
        let part = |part: &str| self.tensor_of(&format!("{}.{part}", names.norm), &[outputs]);
        let (gamma, mut bias) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let size = weights.len() / outputs;
        for (output, bias) in bias.iter_mut().enumerate() {
            let scale = gamma[output] / (variance[output] + names.epsilon).sqrt();
            *bias -= mean[output] * scale;
            for weight in &mut weights[output * size..(output + 1) * size] {
                *weight *= scale;
            }
        }
        Ok(Kernel {
            shape,
            weights,
            bias,
        })
    }

    /// A convolution whose window is surrounded so that a step of one keeps the size.
    pub(crate) fn convolve(
        &mut self,
        name: &str,
        x: Wide,
        kernel: Kernel,
        stride: usize,
    ) -> Result<Wide> {
        let [outputs, _, side, _] = kernel.shape;
        let weights = Tensor::new(&kernel.shape, kernel.weights)?;
        let window = Window::square(side, stride, Padding::Explicit([side / 2; 4]));
        let bias = Some(kernel.bias.as_slice());
        let value = self.graph.conv(name, x.value, weights, bias, window, 1)?;
        Ok(Wide {
            value,
            width: outputs,
        })
    }

    /// A convolution, a batch normalisation and a function.
    pub(crate) fn normalised(
        &mut self,
        names: &Normalised<'_>,
        x: Wide,
        side: usize,
        stride: usize,
        function: Function,
    ) -> Result<Wide> {
        let kernel = self.kernel(names, x.width, side)?;
        let y = self.convolve(names.conv, x, kernel, stride)?;
        Ok(self.map(names.conv, function, y))
    }

    pub(crate) fn map(&mut self, name: &str, function: Function, x: Wide) -> Wide {
        if function == Function::Identity {
            return x;
        }
        Wide {
            value: self.graph.map(name, function, x.value),
            ..x
        }
    }

    /// The sum of two values, of which the first has all elements.
    pub(crate) fn add(&mut self, name: &str, x: Wide, other: Value) -> Wide {
        Wide {
            value: self.graph.add(name, x.value, other),
            ..x
        }
    }

    pub(crate) fn multiply(&mut self, name: &str, x: Wide, other: Value) -> Wide {
        let op = Op::Arithmetic(Arithmetic::Mul);
        Wide {
            value: self.graph.apply(name, op, &[x.value, other]),
            ..x
        }
    }

    pub(crate) fn pool(&mut self, name: &str, kind: PoolKind, x: Wide, window: Window) -> Wide {
        let op = Op::Pool(Pool { kind, window });
        Wide {
            value: self.graph.apply(name, op, &[x.value]),
            ..x
        }
    }

    /// A product with `NAME.weight` and a bias, both times `scale`.
    pub(crate) fn scaled_linear(
        &mut self,
        name: &str,
        x: Wide,
        outputs: usize,
        scale: f32,
    ) -> Result<Wide> {
        let stored = self.tensor_of(&format!("{name}.weight"), &[outputs, x.width])?;
        let bias = self.tensor_of(&format!("{name}.bias"), &[outputs])?;
        let bias: Vec<f32> = bias.iter().map(|value| value * scale).collect();
        let mut weights = vec![0.0; stored.len()];
        for (output, row) in stored.chunks_exact(x.width.max(1)).enumerate() {
            for (input, value) in row.iter().enumerate() {
                weights[input * outputs + output] = value * scale;
            }
        }
        let weights = Arc::new(Tensor::new(&[x.width, outputs], weights)?);
        let linear = Linear::new(name, weights, Some(&bias))?;
        Ok(Wide {
            value: self.graph.apply(name, Op::Linear(linear), &[x.value]),
            width: outputs,
        })
    }

    /// A product with `NAME.weight` and a bias.
    pub(crate) fn linear(&mut self, name: &str, x: Wide, outputs: usize) -> Result<Wide> {
        self.scaled_linear(name, x, outputs, 1.0)
    }

    /// Products with a function between them: `NAME.layers.0`, `NAME.layers.1`, ...
    pub(crate) fn perceptron(&mut self, name: &str, mut x: Wide, widths: &[usize]) -> Result<Wide> {
        for (layer, &width) in widths.iter().enumerate() {
            let name = format!("{name}.layers.{layer}");
            x = self.linear(&name, x, width)?;
            if layer + 1 < widths.len() {
                x = self.map(&name, Function::RELU, x);
            }
        }
        Ok(x)
    }

    /// A layer normalisation.
    pub(crate) fn layer_norm(&mut self, name: &str, x: Wide, epsilon: f32) -> Result<Wide> {
        let part = |part: &str| self.tensor_of(&format!("{name}.{part}"), &[x.width]);
        let (gamma, beta) = (part("weight")?, part("bias")?);
        let op = Op::Normalise(Normalise {
            axes: 1,
            epsilon,
            gamma: Some(gamma.into()),
            beta: Some(beta.into()),
        });
        Ok(Wide {
            value: self.graph.apply(name, op, &[x.value]),
            ..x
        })
    }

    /// The same elements in another shape; 0 keeps a size, -1 is what is left.
    pub(crate) fn reshape(&mut self, name: &str, x: Value, shape: &[i64]) -> Value {
        let shape = self.graph.integers(shape);
        let op = Op::Reshape { keep_zeros: true };
        self.graph.apply(name, op, &[x, shape])
    }

    /// A map's pixels as rows: `[batch, height * width, channels]`.
    pub(crate) fn rows(&mut self, name: &str, map: Wide) -> Wide {
        Wide {
            value: self.reshape(name, map.value, &[0, -1, map.width as i64]),
            ..map
        }
    }
}

/// The function of this name.
pub(crate) fn activation(name: &str) -> Result<Function> {
    Ok(match name {
        "relu" => Function::RELU,
        "silu" | "swish" => Function::Silu,
        "gelu" | "gelu_python" => Function::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Function::GeluTanh,
        other => return Err(Error::unsupported(format!("activation `{other}`"))),
    })
}
