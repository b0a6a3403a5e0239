//! Windows that move over maps, and maps read at other places.

use super::wire::Node;
use super::{Importer, Result, small};
use crate::graph::Value;
use crate::graph::op::{
    Conv, Coordinates, Deconv, GridSample, Op, Outside, Padding, Pool, PoolKind, Resize,
    ResizeMode, ResizeTarget, Window,
};

impl Node<'_> {
    /// Two small sizes, such as strides.
    fn two(&self, name: &str) -> Result<Option<[usize; 2]>> {
        match self.integers(name) {
            None => Ok(None),
            Some(&[down, right]) => match (small(down), small(right)) {
                (Some(down), Some(right)) => Ok(Some([down, right])),
                _ => Err(self.unsupported(format!("{name} {:?}", [down, right]))),
            },
            Some(other) => Err(self.unsupported(format!("{name} {other:?}"))),
        }
    }

    fn window(&self) -> Result<Window> {
        let padding = match self.text("auto_pad") {
            None | Some("NOTSET" | "") => match self.integers("pads") {
                None => Padding::VALID,
                Some(&[top, left, bottom, right]) => match [top, left, bottom, right].map(small) {
                    [Some(top), Some(left), Some(bottom), Some(right)] => {
                        Padding::Explicit([top, left, bottom, right])
                    }
                    _ => return Err(self.unsupported("these pads")),
                },
                Some(other) => return Err(self.unsupported(format!("pads {other:?}"))),
            },
            Some("VALID") => Padding::VALID,
            Some("SAME_UPPER") => Padding::Same,
            Some("SAME_LOWER") => Padding::SameLower,
            Some(other) => return Err(self.unsupported(format!("auto_pad {other}"))),
        };
        Ok(Window {
            size: self.two("kernel_shape")?.unwrap_or([1, 1]),
            strides: self.two("strides")?.unwrap_or([1, 1]),
            dilations: self.two("dilations")?.unwrap_or([1, 1]),
            padding,
            ceil: self.integer("ceil_mode", 0) != 0,
        })
    }
}

impl Importer {
    /// What reads maps through windows or at places between their pixels.
    pub(super) fn windows(&mut self, node: &Node) -> Result<Option<Value>> {
        match node.op.as_str() {
            "Conv" => self.conv(node),
            "ConvTranspose" => self.deconv(node),
            "MaxPool" | "AveragePool" => self.pool(node),
            "Resize" | "Upsample" => self.resize(node),
            "GridSample" => self.grid_sample(node),
            _ => return Ok(None),
        }
        .map(Some)
    }

    fn conv(&mut self, node: &Node) -> Result<Value> {
        let weights = self.known(node, 1)?;
        let bias = match self.maybe(node, 2)? {
            Some(_) => Some(self.known(node, 2)?),
            None => None,
        };
        let groups = small(node.integer("group", 1)).unwrap_or(0);
        let conv = Conv::new(
            &node.name,
            weights.as_ref().clone(),
            bias.as_ref().map(|bias| bias.data()),
            node.window()?,
            groups,
        )?;
        self.spatial(node, Op::Conv(conv), &[])
    }

    fn deconv(&mut self, node: &Node) -> Result<Value> {
        let weights = self.known(node, 1)?;
        let bias = match self.maybe(node, 2)? {
            Some(_) => Some(self.known(node, 2)?),
            None => None,
        };
        let window = node.window()?;
        let size = weights.shape().get(2..).unwrap_or(&[]);
        let apart = window.strides.as_slice() == size
            && window.dilations == [1, 1]
            && window.padding == Padding::VALID
            && node.integer("group", 1) == 1
            && node
                .integers("output_padding")
                .is_none_or(|pads| pads.iter().all(|&pad| pad == 0));
        if !apart || node.attributes.contains_key("output_shape") {
            return Err(node.unsupported("windows that overlap or are cut"));
        }
        let deconv = Deconv::new(
            &node.name,
            weights.as_ref().clone(),
            bias.as_ref().map(|bias| bias.data()),
        )?;
        self.spatial(node, Op::Deconv(deconv), &[])
    }

    fn pool(&mut self, node: &Node) -> Result<Value> {
        let kind = match (node.op.as_str(), node.integer("count_include_pad", 0)) {
            ("MaxPool", _) => PoolKind::Max,
            (_, 0) => PoolKind::Average,
            _ => PoolKind::AverageWithPadding,
        };
        let window = node.window()?;
        self.spatial(node, Op::Pool(Pool { kind, window }), &[])
    }

    fn resize(&mut self, node: &Node) -> Result<Value> {
        let coordinates = match node.text("coordinate_transformation_mode") {
            Some("asymmetric") => Coordinates::Asymmetric,
            Some("half_pixel" | "pytorch_half_pixel") => Coordinates::HalfPixel,
            Some("align_corners") => Coordinates::AlignCorners,
            None if node.op == "Upsample" => Coordinates::Asymmetric,
            None => Coordinates::HalfPixel,
            Some(other) => return Err(node.unsupported(format!("coordinates {other}"))),
        };
        let mode = match (node.text("mode"), node.text("nearest_mode")) {
            (Some("linear"), _) => ResizeMode::Linear,
            (Some("nearest") | None, Some("floor")) => ResizeMode::NearestFloor,
            (Some("nearest") | None, None | Some("round_prefer_floor")) => {
                if node.op == "Upsample" {
                    ResizeMode::NearestFloor
                } else {
                    ResizeMode::NearestPreferFloor
                }
            }
            (Some("nearest") | None, Some("round_prefer_ceil")) => ResizeMode::NearestPreferCeil,
            (Some("nearest") | None, Some("ceil")) => ResizeMode::NearestCeil,
            other => return Err(node.unsupported(format!("mode {other:?}"))),
        };
        let plain = node.integer("antialias", 0) == 0
            && node.integers("axes").is_none_or(|axes| axes == [2, 3])
            && node
                .text("keep_aspect_ratio_policy")
                .is_none_or(|policy| policy == "stretch");
        if !plain {
            return Err(node.unsupported("other axes, a smoothed or a fitted target"));
        }
        // Sizes of all four axes, or only of the two.
        let skipped = if node.integers("axes").is_none() {
            2
        } else {
            0
        };
        let scales = if node.op == "Upsample" { 1 } else { 2 };
        let is_there = |importer: &Self, index| -> Result<Option<Value>> {
            let value = importer.maybe(node, index)?;
            Ok(value.filter(|&value| {
                importer
                    .graph
                    .constant_of(value)
                    .is_none_or(|tensor| !tensor.data().is_empty())
            }))
        };
        let (all, target) = match (is_there(self, scales)?, is_there(self, scales + 1)?) {
            (Some(scales), None) => (scales, ResizeTarget::Scales),
            (_, Some(sizes)) => (sizes, ResizeTarget::Sizes),
            (None, None) => return Err(node.unsupported("neither scales nor sizes")),
        };
        // The two of height and width.
        let bounds = [skipped, skipped + 2].map(|bound| self.graph.integers(&[bound]));
        let two = self
            .graph
            .apply(&node.name, Op::Slice, &[all, bounds[0], bounds[1]]);
        let resize = Resize {
            mode,
            coordinates,
            target,
        };
        self.spatial(node, Op::Resize(resize), &[two])
    }

    fn grid_sample(&mut self, node: &Node) -> Result<Value> {
        let nearest = match node.text("mode") {
            None | Some("bilinear" | "linear") => false,
            Some("nearest") => true,
            Some(other) => return Err(node.unsupported(format!("mode {other}"))),
        };
        let outside = match node.text("padding_mode") {
            None | Some("zeros") => Outside::Zero,
            Some("border") => Outside::Border,
            Some(other) => return Err(node.unsupported(format!("padding {other}"))),
        };
        let sample = GridSample {
            nearest,
            outside,
            align_corners: node.integer("align_corners", 0) != 0,
        };
        let grid = self.value(node, 1)?;
        self.spatial(node, Op::GridSample(sample), &[grid])
    }
}
