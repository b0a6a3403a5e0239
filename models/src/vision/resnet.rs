//! ResNet as a classifier: the residual network that detectors have as their backbone, and a product on its mean.
//!
//! Paper: He and others, "Deep Residual Learning for Image Recognition" (2015). Reference:
//! `ResNetForImageClassification` of transformers 5.24, whose blocks halve maps in the 3 x 3 convolution ("v1.5")
//! unless `downsample_in_bottleneck` is set. Tensors: `resnet.embedder.embedder.{convolution,normalization}.*`,
//! `resnet.encoder.stages.S.layers.L.{shortcut,layer.N}.{convolution,normalization}.*`, `classifier.1.*`.

use super::pooled;
use crate::detr::layers::{Layers, Wide};
use crate::detr::resnet::File;
use crate::error::{Error, Result};
use crate::graph::Reduction;

/// What the classes are told by, and the name of the product that tells them.
pub(super) fn features(
    config: &File,
    layers: &mut Layers<'_>,
    image: Wide,
) -> Result<(Wide, &'static str)> {
    let maps = config
        .resnet(false)?
        .build(layers, image.value, "resnet.")?;
    let last = maps.last().copied();
    let last = last.ok_or_else(|| Error::unsupported("a network without stages"))?;
    let mean = pooled(layers, "resnet.pooler", Reduction::Mean, last, false);
    Ok((mean, "classifier.1"))
}
