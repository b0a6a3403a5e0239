//! From rows of coefficients to rows of pixels.

use super::coefficients::pitch;
use super::colour;
use super::markers::{Colours, Frame, Quantizer};
use super::transform::transform;
use super::upsample::{Upsampling, upsample};

/// Groups of rows that are kept from the row of units before: one whose pixels wait for the rows below, and one above it.
const KEPT: usize = 2;

/// Sizes of a picture and its components when each side is divided.
///
/// Components have as many samples of a block as saves upsampling. What all have in common is the group: the least number of
/// rows of each that belong together, of which each makes `rows` rows of pixels.
#[derive(Debug)]
pub struct Geometry {
    width: usize,
    height: usize,
    /// Rows of pixels of a group.
    rows: usize,
    /// Groups in a row of units.
    groups: usize,
    parts: Vec<Samples>,
    units_down: usize,
}

/// A component's samples.
#[derive(Debug)]
struct Samples {
    /// Samples along a side of a block: 8, 4, 2 or 1.
    size: usize,
    /// Samples that count.
    width: usize,
    height: usize,
    /// Samples in a row of the buffer.
    stride: usize,
    /// Rows in a group.
    rows: usize,
    /// Blocks down in a unit.
    down: usize,
    /// Blocks across.
    blocks: usize,
    upsampling: Upsampling,
}

impl Geometry {
    /// Of a frame at its size divided by 1, 2, 4 or 8.
    pub fn new(frame: &Frame, divisor: usize) -> Option<Self> {
        if !matches!(divisor, 1 | 2 | 4 | 8) {
            return None;
        }
        let least = 8 / divisor;
        let (most_across, most_down) = (frame.most_across, frame.most_down);
        let parts = frame.components.iter().map(|part| {
            let mut size = least;
            while size < 8
                && (most_across * least).is_multiple_of(part.across * size * 2)
                && (most_down * least).is_multiple_of(part.down * size * 2)
            {
                size *= 2;
            }
            let width = (frame.width * part.across * size).div_ceil(8 * most_across);
            let height = (frame.height * part.down * size).div_ceil(8 * most_down);
            let (columns, rows) = (part.across * size / least, part.down * size / least);
            let blocks = pitch(frame, part);
            Samples {
                size,
                width,
                height,
                stride: blocks * size,
                rows,
                down: part.down,
                blocks,
                upsampling: Upsampling::new(
                    (most_across / columns, most_down / rows),
                    least > 1,
                    width > 2,
                ),
            }
        });
        let parts = parts.collect();
        Some(Self {
            width: frame.width.div_ceil(divisor),
            height: frame.height.div_ceil(divisor),
            rows: most_down,
            groups: least,
            parts,
            units_down: frame.units_down(),
        })
    }

    /// Bytes of pixels and of all that is held to make them.
    pub fn bytes(&self) -> u64 {
        let samples: usize = self
            .parts
            .iter()
            .map(|part| part.stride * part.rows * (KEPT + self.groups))
            .sum();
        (self.width * self.height * 3 + samples) as u64
    }
}

/// Makes pixels of rows of units, given one after the other.
#[derive(Debug)]
pub struct Renderer {
    geometry: Geometry,
    colours: Colours,
    quantizers: Vec<Quantizer>,
    /// Rows of samples of each component: the last groups of the row of units before, then those of this one.
    samples: Vec<Vec<u8>>,
    /// A row of each component as wide as the picture.
    wide: Vec<Vec<u8>>,
    sums: Vec<u16>,
    pixels: Vec<u8>,
    /// Rows of units so far.
    units: usize,
    /// Groups of which pixels were made.
    done: usize,
}

impl Renderer {
    /// For the components' quantizers.
    pub fn new(geometry: Geometry, colours: Colours, quantizers: Vec<Quantizer>) -> Self {
        let samples = geometry.parts.iter();
        let samples =
            samples.map(|part| vec![0; part.stride * part.rows * (KEPT + geometry.groups)]);
        let samples = samples.collect();
        let widest = geometry
            .parts
            .iter()
            .map(|part| part.width)
            .max()
            .unwrap_or(0);
        // Whole samples, each up to four times.
        let wide = geometry.parts.iter().map(|_| vec![0; 4 * (widest + 1)]);
        let wide = wide.collect();
        Self {
            colours,
            quantizers,
            samples,
            wide,
            sums: vec![0; widest + 2],
            pixels: vec![0; geometry.width * geometry.height * 3],
            units: 0,
            done: 0,
            geometry,
        }
    }

    /// Whether a component is made of first coefficients alone.
    pub fn is_flat(&self, component: usize) -> bool {
        self.geometry.parts[component].size == 1
    }

    /// Whether the picture is smaller than that of the file.
    pub fn is_smaller(&self) -> bool {
        self.geometry.groups < 8
    }

    /// Takes the next row of units: what `blocks` gives are the rows of blocks of a component.
    pub fn add<'a>(&mut self, blocks: &dyn Fn(usize) -> Vec<&'a [i16]>) {
        let geometry = &self.geometry;
        for (component, part) in geometry.parts.iter().enumerate() {
            let samples = &mut self.samples[component];
            let kept = part.stride * part.rows * KEPT;
            let end = samples.len();
            samples.copy_within(end - kept..end, 0);
            let rows = samples[kept..].chunks_exact_mut(part.stride * part.size);
            for (blocks, to) in blocks(component).into_iter().zip(rows) {
                debug_assert_eq!(blocks.len(), part.blocks * 64);
                transform(part.size, blocks, &self.quantizers[component], to);
            }
            debug_assert_eq!(part.down * part.size, part.rows * geometry.groups);
        }
        self.units += 1;
        let all = self.units * geometry.groups;
        let ready = if self.units == geometry.units_down {
            all
        } else {
            all - 1
        };
        for group in self.done..ready {
            self.group(group);
        }
        self.done = ready;
    }

    /// Makes the pixels of a group.
    fn group(&mut self, group: usize) {
        let geometry = &self.geometry;
        // Groups that came, and those of them in the buffer.
        let (all, held) = (self.units * geometry.groups, KEPT + geometry.groups);
        for line in 0..geometry.rows {
            let y = group * geometry.rows + line;
            if y >= geometry.height {
                return;
            }
            let samples = geometry.parts.iter().zip(&self.samples);
            let mut lines = samples.zip(&mut self.wide).map(|((part, samples), wide)| {
                // Below the last row is the last row.
                let row = |y: usize| {
                    let y = y.min(part.height - 1) + held * part.rows - all * part.rows;
                    &samples[y * part.stride..][..part.width]
                };
                // Lines of pixels of a row of samples.
                let lines = geometry.rows / part.rows;
                let (at, place) = (group * part.rows + line / lines, line % lines);
                let near = row(at);
                if part.upsampling == Upsampling::None {
                    return &near[..geometry.width];
                }
                let far = row(if place == 0 {
                    at.saturating_sub(1)
                } else {
                    at + 1
                });
                upsample(part.upsampling, (near, far), place, wide, &mut self.sums);
                &wide[..geometry.width]
            });
            let to = &mut self.pixels[3 * y * geometry.width..][..3 * geometry.width];
            match (lines.next(), lines.next(), lines.next()) {
                (Some(luma), Some(blue), Some(red)) if self.colours == Colours::YCbCr => {
                    colour::from_ycbcr(luma, blue, red, to);
                }
                (Some(red), Some(green), Some(blue)) => {
                    colour::together(red, green, blue, to);
                }
                (Some(grey), ..) => colour::together(grey, grey, grey, to),
                (None, ..) => {}
            }
        }
    }

    /// The pixels. `None` when rows of units are missing.
    pub fn finish(self) -> Option<Vec<u8>> {
        (self.units == self.geometry.units_down).then_some(self.pixels)
    }
}
