//! Residual networks (He et al., 2016) as backbones.
//!
//! The stride of a bottleneck lies in its window of three ("v1.5"). The deep form (ResNet-D, He et al., 2019) begins
//! with three small windows in place of a large one, and its shortcuts pool before they project.

use super::layers::{EPSILON, Layers, Normalised, Wide};
use crate::error::{Error, Result};
use crate::graph::{Function, Padding, PoolKind, Value, Window};
use serde::Deserialize;

/// Whose names the tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// `layer1.0.conv1`, `layer1.0.bn1`, `layer1.0.downsample.0`
    Timm,
    /// `encoder.stages.0.layers.0.layer.0.convolution`, `.normalization`, `.shortcut`
    Transformers,
}

/// A residual network's shape; how wide its layers are is said by their tensors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResNet {
    pub(crate) names: Names,
    /// Blocks of every stage.
    pub(crate) depths: Vec<usize>,
    /// Three convolutions a block, of which the middle one is narrow, or two.
    pub(crate) bottleneck: bool,
    /// ResNet-D.
    pub(crate) deep: bool,
    /// Whether the first convolution of a bottleneck has the stride.
    pub(crate) early: bool,
    /// Whether the first stage halves the map.
    pub(crate) halving: bool,
}

/// The part of a configuration that is about a residual network of transformers.
#[derive(Debug, Deserialize)]
pub(crate) struct File {
    #[serde(default)]
    pub(crate) model_type: String,
    #[serde(default = "depths")]
    depths: Vec<usize>,
    #[serde(default = "bottleneck")]
    layer_type: String,
    #[serde(default = "relu")]
    hidden_act: String,
    #[serde(default)]
    downsample_in_first_stage: bool,
    #[serde(default)]
    downsample_in_bottleneck: bool,
    num_channels: Option<usize>,
    /// Of timm.
    pub(crate) backbone: Option<String>,
    /// Where timm's strides become dilations.
    pub(crate) output_stride: Option<usize>,
    out_features: Option<Vec<String>>,
    out_indices: Option<Vec<usize>>,
}

fn depths() -> Vec<usize> {
    vec![3, 4, 6, 3]
}

fn bottleneck() -> String {
    "bottleneck".to_owned()
}

fn relu() -> String {
    "relu".to_owned()
}

impl File {
    pub(crate) fn resnet(&self, deep: bool) -> Result<ResNet> {
        let bottleneck = match self.layer_type.as_str() {
            "bottleneck" => true,
            "basic" => false,
            other => return Err(Error::unsupported(format!("layer type `{other}`"))),
        };
        if self.hidden_act != "relu" {
            let what = format!("activation `{}` in the backbone", self.hidden_act);
            return Err(Error::unsupported(what));
        }
        if self.num_channels.is_some_and(|channels| channels != 3) {
            return Err(Error::unsupported("a backbone of other than three colours"));
        }
        let resnet = ResNet {
            names: Names::Transformers,
            depths: self.depths.clone(),
            bottleneck,
            deep,
            early: self.downsample_in_bottleneck,
            halving: self.downsample_in_first_stage,
        };
        resnet.check()?;
        Ok(resnet)
    }

    /// The stages whose maps are given, from 0; absent where the file does not say.
    pub(crate) fn stages(&self) -> Option<Vec<usize>> {
        if let Some(indices) = &self.out_indices {
            // 0 is what comes before the first stage.
            return indices.iter().map(|index| index.checked_sub(1)).collect();
        }
        let names = self.out_features.as_ref()?;
        let number = |name: &String| -> Option<usize> {
            let number: usize = name.strip_prefix("stage")?.parse().ok()?;
            number.checked_sub(1)
        };
        names.iter().map(number).collect()
    }
}

impl ResNet {
    /// One of timm's by its name.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let (bottleneck, depths) = match name {
            "resnet18" => (false, [2, 2, 2, 2]),
            "resnet34" => (false, [3, 4, 6, 3]),
            "resnet50" => (true, [3, 4, 6, 3]),
            "resnet101" => (true, [3, 4, 23, 3]),
            "resnet152" => (true, [3, 8, 36, 3]),
            other => return Err(Error::unsupported(format!("backbone `{other}`"))),
        };
        Ok(Self {
            names: Names::Timm,
            depths: depths.to_vec(),
            bottleneck,
            deep: false,
            early: false,
            halving: false,
        })
    }

    fn check(&self) -> Result<()> {
        let fits = (1..=8).contains(&self.depths.len())
            && self.depths.iter().all(|depth| (1..=256).contains(depth));
        if !fits {
            let what = format!("a backbone with stages of {:?}", self.depths);
            return Err(Error::unsupported(what));
        }
        Ok(())
    }

    /// The map after every stage; the first has a quarter of the image's sides, each other half of the one before.
    /// `prefix` comes before all names.
    pub(crate) fn build(
        &self,
        layers: &mut Layers<'_>,
        image: Value,
        prefix: &str,
    ) -> Result<Vec<Wide>> {
        let image = Wide {
            value: image,
            width: 3,
        };
        let mut x = self.stem(layers, image, prefix)?;
        let window = Window::square(3, 2, Padding::Explicit([1; 4]));
        x = layers.pool("pooler", PoolKind::Max, x, window);
        let mut maps = Vec::new();
        for (stage, &depth) in self.depths.iter().enumerate() {
            for block in 0..depth {
                let halves = block == 0 && (stage > 0 || self.halving);
                let name = match self.names {
                    Names::Timm => format!("{prefix}layer{}.{block}", stage + 1),
                    Names::Transformers => {
                        format!("{prefix}encoder.stages.{stage}.layers.{block}")
                    }
                };
                x = self.block(layers, x, &name, if halves { 2 } else { 1 })?;
            }
            maps.push(x);
        }
        Ok(maps)
    }

    fn stem(&self, layers: &mut Layers<'_>, image: Wide, prefix: &str) -> Result<Wide> {
        if !self.deep {
            let (conv, norm) = match self.names {
                Names::Timm => ("conv1", "bn1"),
                Names::Transformers => (
                    "embedder.embedder.convolution",
                    "embedder.embedder.normalization",
                ),
            };
            let names = [conv, norm].map(|name| format!("{prefix}{name}"));
            return pair(layers, image, &names, 7, 2, Function::RELU);
        }
        let mut x = image;
        for layer in 0..3 {
            let name = format!("{prefix}embedder.embedder.{layer}");
            let names = ["convolution", "normalization"].map(|part| format!("{name}.{part}"));
            let stride = if layer == 0 { 2 } else { 1 };
            x = pair(layers, x, &names, 3, stride, Function::RELU)?;
        }
        Ok(x)
    }

    fn block(&self, layers: &mut Layers<'_>, x: Wide, name: &str, stride: usize) -> Result<Wide> {
        // The side of each window; which of them has the stride.
        let (sides, strided): (&[usize], _) = match (self.bottleneck, self.early) {
            (true, early) => (&[1, 3, 1], usize::from(!early)),
            (false, _) => (&[3, 3], 0),
        };
        let mut y = x;
        for (layer, &side) in sides.iter().enumerate() {
            let names = match self.names {
                Names::Timm => ["conv", "bn"].map(|part| format!("{name}.{part}{}", layer + 1)),
                Names::Transformers => ["convolution", "normalization"]
                    .map(|part| format!("{name}.layer.{layer}.{part}")),
            };
            let function = if layer + 1 < sides.len() {
                Function::RELU
            } else {
                Function::Identity
            };
            let stride = if layer == strided { stride } else { 1 };
            y = pair(layers, y, &names, side, stride, function)?;
        }
        let residual = self.shortcut(layers, x, name, stride)?;
        if residual.width != y.width {
            return Err(Error::unsupported(format!(
                "{name} adds {} channels to {}",
                residual.width, y.width
            )));
        }
        let sum = layers.add(name, y, residual.value);
        Ok(layers.map(name, Function::RELU, sum))
    }

    /// The block's input, projected where there are weights for that; the deep form pools it before where it would
    /// be halved.
    fn shortcut(
        &self,
        layers: &mut Layers<'_>,
        x: Wide,
        name: &str,
        stride: usize,
    ) -> Result<Wide> {
        // A projection after a pool is the second of two.
        let [plain, pooled] = match self.names {
            Names::Timm => [["downsample.0", "downsample.1"]; 2],
            Names::Transformers => [
                ["shortcut.convolution", "shortcut.normalization"],
                ["shortcut.1.convolution", "shortcut.1.normalization"],
            ],
        }
        .map(|names| names.map(|part| format!("{name}.{part}")));
        let there = |names: &[String; 2]| layers.has(&format!("{}.weight", names[0]));
        if self.deep && (there(&pooled) || (self.bottleneck && stride == 2)) {
            let window = Window {
                ceil: true,
                ..Window::square(2, 2, Padding::VALID)
            };
            let small = layers.pool(name, PoolKind::Average, x, window);
            return pair(layers, small, &pooled, 1, 1, Function::Identity);
        }
        if there(&plain) || stride != 1 {
            return pair(layers, x, &plain, 1, stride, Function::Identity);
        }
        Ok(x)
    }
}

/// A convolution and its normalisation by their names.
fn pair(
    layers: &mut Layers<'_>,
    x: Wide,
    names: &[String; 2],
    side: usize,
    stride: usize,
    function: Function,
) -> Result<Wide> {
    let names = Normalised {
        conv: &names[0],
        norm: &names[1],
        epsilon: EPSILON,
    };
    layers.normalised(&names, x, side, stride, function)
}
