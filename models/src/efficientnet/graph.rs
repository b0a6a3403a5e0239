//! The network in plain candle operations, for any device.

use super::{
    BlockShape, FEATURES, Folded, INPUT, LAST, Predictions, SIDE, STEM, blocks, folded, layer,
    same_padding,
};
use crate::error::Result;
use candle_core::{D, Device, Tensor};
use escala_weights::Tensors;

/// The network on a device.
pub(super) struct Network {
    stem: Conv,
    blocks: Vec<Block>,
    head: Conv,
    classes: Tensor,
    bias: Tensor,
    device: Device,
}

struct Conv {
    weight: Tensor,
    /// `[1, outputs, 1, 1]`
    bias: Tensor,
    side: usize,
    stride: usize,
    groups: usize,
    relu6: bool,
}

struct Block {
    expand: Option<Conv>,
    depthwise: Conv,
    project: Conv,
    residual: bool,
}

impl Network {
    pub(super) fn new(tensors: &Tensors, device: &Device) -> Result<Self> {
        let conv = |folded: Folded,
                    shape: [usize; 4],
                    stride: usize,
                    groups: usize,
                    relu6: bool|
         -> Result<Conv> {
            Ok(Conv {
                weight: Tensor::from_vec(folded.weight, &shape[..], device)?,
                bias: Tensor::from_vec(folded.bias, (1, shape[0], 1, 1), device)?,
                side: shape[3],
                stride,
                groups,
                relu6,
            })
        };
        let shape = [STEM, 3, 3, 3];
        let stem = conv(
            folded(tensors, "_conv_stem", "_bn0", shape)?,
            shape,
            2,
            1,
            true,
        )?;
        let blocks = blocks()
            .iter()
            .enumerate()
            .map(|(index, block): (usize, &BlockShape)| {
                let at = |name: &str| format!("_blocks.{index}.{name}");
                let inner = block.inner();
                let shape = [inner, block.inputs, 1, 1];
                let expand = (block.expand > 1)
                    .then(|| {
                        conv(
                            folded(tensors, &at("_expand_conv"), &at("_bn0"), shape)?,
                            shape,
                            1,
                            1,
                            true,
                        )
                    })
                    .transpose()?;
                let shape = [inner, 1, block.side, block.side];
                let filters = folded(tensors, &at("_depthwise_conv"), &at("_bn1"), shape)?;
                let depthwise = conv(filters, shape, block.stride, inner, true)?;
                let shape = [block.outputs, inner, 1, 1];
                let project = conv(
                    folded(tensors, &at("_project_conv"), &at("_bn2"), shape)?,
                    shape,
                    1,
                    1,
                    false,
                )?;
                Ok(Block {
                    expand,
                    depthwise,
                    project,
                    residual: block.residual(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let shape = [FEATURES, LAST, 1, 1];
        let head = conv(
            folded(tensors, "_conv_head", "_bn1", shape)?,
            shape,
            1,
            1,
            true,
        )?;
        let (layer, count) = layer(tensors)?;
        let classes = Tensor::from_vec(layer.weight, (count, FEATURES), device)?
            .t()?
            .contiguous()?;
        let bias = Tensor::from_vec(layer.bias, count, device)?;
        Ok(Self {
            stem,
            blocks,
            head,
            classes,
            bias,
            device: device.clone(),
        })
    }

    pub(super) fn classes(&self) -> usize {
        self.bias.elem_count()
    }

    pub(super) fn memory(&self) -> u64 {
        let convs = self.blocks.iter().flat_map(|block| {
            block
                .expand
                .iter()
                .chain([&block.depthwise, &block.project])
        });
        let convs: usize = convs
            .chain([&self.stem, &self.head])
            .map(|conv| conv.weight.elem_count())
            .sum();
        ((convs + self.classes.elem_count()) * size_of::<f32>()) as u64
    }

    pub(super) fn forward(&self, images: &[f32]) -> Result<Predictions> {
        let count = images.len() / INPUT;
        let x = Tensor::from_slice(images, (count, SIDE, SIDE, 3), &self.device)?
            .permute((0, 3, 1, 2))?
            .contiguous()?;
        let mut x = self.stem.forward(&x)?;
        for block in &self.blocks {
            let inner = block
                .expand
                .as_ref()
                .map_or(Ok(x.clone()), |expand| expand.forward(&x))?;
            let y = block.project.forward(&block.depthwise.forward(&inner)?)?;
            x = if block.residual { (y + &x)? } else { y };
        }
        let features = self.head.forward(&x)?.mean((D::Minus2, D::Minus1))?;
        let logits = features.matmul(&self.classes)?.broadcast_add(&self.bias)?;
        Ok(Predictions {
            logits: logits.flatten_all()?.to_vec1()?,
            features: features.flatten_all()?.to_vec1()?,
        })
    }
}

impl Conv {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, height, width) = x.dims4()?;
        let (top, bottom, _) = same_padding(height, self.side, self.stride);
        let (left, right, _) = same_padding(width, self.side, self.stride);
        let x = x
            .pad_with_zeros(2, top, bottom)?
            .pad_with_zeros(3, left, right)?;
        let y = x
            .conv2d(&self.weight, 0, self.stride, 1, self.groups)?
            .broadcast_add(&self.bias)?;
        Ok(if self.relu6 { y.clamp(0f32, 6f32)? } else { y })
    }
}
