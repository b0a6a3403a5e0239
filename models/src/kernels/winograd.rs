//! Convolutions of windows of 3x3 with stride one by 16 products where the plain way takes 36: minimal filtering
//! F(2x2, 3x3) (Winograd 1980; Lavin and Gray 2015, arXiv:1509.09308).
//!
//! Outputs are made by tiles of 2x2, each of a tile of 4x4 inputs. Both sides are transformed, with sums and halves only:
//!
//! ```text
//! input tile d                B^T d B       [16][tiles, inputs]   ([`spread`])
//! window g        once        G g G^T       [16][inputs, outputs] ([`WinogradFilter`])
//! their products                            [16][tiles, outputs]  (one packed product for each of the 16)
//! output tile                 A^T m A       [2, 2, outputs]       ([`gather`])
//! ```
//!
//! A row of outputs is not made of the row of inputs beyond its window: a tile at the edge of what is there may have anything
//! in its place, and has the same answer to the last bit.

use super::matmul::{Activation, Left, Right};
use super::simd::{Isa, Simd, multiversion};
use super::{AlignedVec, PackedMatrix};

/// Rows and columns of outputs that a tile has.
pub const TILE: usize = 2;

/// Rows and columns of inputs that a tile is made of.
pub const SEEN: usize = 4;

/// Products of a tile: one for each of what it is made of.
pub const PRODUCTS: usize = SEEN * SEEN;

/// Inputs must be a multiple of this: whole vectors of every instruction set.
const INPUTS: usize = 16;

/// Fewer inputs or outputs are not worth the transforms.
const FEWEST: usize = 32;

/// More weights are: the transformed ones are 16 to 9, and where there are many they, not products, take the time.
const MOST: usize = 256 * 256;

/// The product in which a tile's bias is: it is added to each of the tile's outputs.
const BIASED: usize = SEEN + 1;

/// A filter as the products take it.
pub struct WinogradFilter {
    products: Vec<PackedMatrix>,
    isa: Isa,
}

impl WinogradFilter {
    /// Whether a filter of 3x3 windows with so many inputs and outputs is faster this way.
    pub fn suits(inputs: usize, outputs: usize) -> bool {
        inputs.is_multiple_of(INPUTS)
            && inputs >= FEWEST
            && outputs >= FEWEST
            && inputs * outputs <= MOST
    }

    /// Transforms `weights` `[outputs, inputs, 3, 3]`; `bias` is of length `outputs`, or empty.
    ///
    /// # Panics
    /// When the lengths do not agree.
    pub fn new(weights: &[f32], bias: &[f32], outputs: usize, inputs: usize, isa: Isa) -> Self {
        assert_eq!(
            weights.len(),
            outputs * inputs * 9,
            "weights must be [outputs, inputs, 3, 3]"
        );
        let mut spread = AlignedVec::zeroed(PRODUCTS * outputs * inputs);
        let all = outputs * inputs;
        for (place, window) in weights.chunks_exact(9).enumerate() {
            for (product, value) in transformed(window).into_iter().enumerate() {
                spread[product * all + place] = value;
            }
        }
        let product = |number: usize| {
            let weights = &spread[number * all..(number + 1) * all];
            let bias = if number == BIASED { bias } else { &[] };
            PackedMatrix::from_outputs(weights, bias, outputs, inputs, isa)
        };
        Self {
            products: (0..PRODUCTS).map(product).collect(),
            isa,
        }
    }

    /// Channels of the input.
    pub fn inputs(&self) -> usize {
        self.products[0].k()
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        self.products[0].n()
    }

    /// Panels that the outputs are in.
    pub fn panels(&self) -> usize {
        self.products[0].panels()
    }

    /// Outputs of a panel.
    pub fn panel_width(&self) -> usize {
        self.products[0].panel_width()
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.products.iter().map(PackedMatrix::bytes).sum()
    }

    /// The products of `tiles` transformed tiles `[16][tiles, inputs]` with a panel, into `[16][tiles, panel_width]`.
    ///
    /// # Safety
    /// `from` has as many readable values and `to` as many writable ones; they do not overlap, and nobody else touches `to`.
    pub unsafe fn multiply(&self, from: *const f32, tiles: usize, panel: usize, to: *mut f32) {
        let (inputs, width) = (self.inputs(), self.panel_width());
        for (number, product) in self.products.iter().enumerate() {
            // SAFETY: the caller's promise, of which this is a sixteenth.
            unsafe {
                let left = Left::rows(from.add(number * tiles * inputs), inputs);
                let right = Right {
                    start: to.add(number * tiles * width),
                    row: width,
                    residual: None,
                    activation: Activation::None,
                };
                product.multiply_panel(left, tiles, panel, right);
            }
        }
    }

    /// The instruction set that it is packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}

/// `G g G^T` of a window, in double precision until the end.
fn transformed(window: &[f32]) -> [f32; PRODUCTS] {
    let along = |a: f64, b: f64, c: f64| [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c];
    let at = |y: usize, x: usize| window.get(y * 3 + x).copied().map_or(0.0, f64::from);
    let down: [[f64; SEEN]; 3] = std::array::from_fn(|x| along(at(0, x), at(1, x), at(2, x)));
    let mut out = [0.0; PRODUCTS];
    for y in 0..SEEN {
        let row = along(down[0][y], down[1][y], down[2][y]);
        for (x, value) in row.into_iter().enumerate() {
            out[y * SEEN + x] = value as f32;
        }
    }
    out
}

/// Tiles beside each other, and where what they are made of is.
#[derive(Clone, Copy)]
pub struct Tiles {
    /// The first pixel of each of the four rows of inputs; pixels are `channels` apart.
    pub rows: [*const f32; SEEN],
    /// Channels of a pixel, a multiple of 16.
    pub channels: usize,
    /// Tiles.
    pub count: usize,
}

multiversion! {
    /// Transforms tiles of inputs: product `i` of tile `t` is at `out + i * step + t * channels`.
    ///
    /// # Safety
    /// `isa` is one this machine has, each row has `2 * count + 2` readable pixels, and what is said of `out` is writable, does
    /// not overlap them, and is touched by nobody else.
    pub unsafe fn spread(isa, tiles: Tiles, out: *mut f32, step: usize) = spread_body
}

#[inline(always)]
unsafe fn spread_body<S: Simd>(tiles: Tiles, out: *mut f32, step: usize) {
    let channels = tiles.channels;
    for tile in 0..tiles.count {
        let mut channel = 0;
        while channel < channels {
            // SAFETY: the caller's promise; channels are whole vectors.
            unsafe {
                let column = |x: usize| {
                    let at = (TILE * tile + x) * channels + channel;
                    across::<S>([
                        S::load(tiles.rows[0].add(at)),
                        S::load(tiles.rows[1].add(at)),
                        S::load(tiles.rows[2].add(at)),
                        S::load(tiles.rows[3].add(at)),
                    ])
                };
                let columns = [column(0), column(1), column(2), column(3)];
                let out = out.add(tile * channels + channel);
                for y in 0..SEEN {
                    let row = across::<S>(columns.map(|column| column[y]));
                    for (x, value) in row.into_iter().enumerate() {
                        S::store(out.add((y * SEEN + x) * step), value);
                    }
                }
            }
            channel += S::LANES;
        }
    }
}

/// `B^T d` of four values.
#[inline(always)]
unsafe fn across<S: Simd>(d: [S::V; SEEN]) -> [S::V; SEEN] {
    // SAFETY: as the caller has it.
    unsafe {
        [
            S::sub(d[0], d[2]),
            S::add(d[1], d[2]),
            S::sub(d[2], d[1]),
            S::sub(d[1], d[3]),
        ]
    }
}

/// Where the outputs of tiles beside each other go.
#[derive(Clone, Copy)]
pub struct Outputs {
    /// The first pixel of each of the two rows; the second may be none, then nothing is written there.
    pub rows: [*mut f32; TILE],
    /// Distance between pixels, in elements.
    pub pixel: usize,
    /// Columns that there are: at most two for each tile.
    pub columns: usize,
    /// Channels of them that are written.
    pub channels: usize,
}

multiversion! {
    /// Makes outputs of the products of tiles `[16][…, width]`, product `i` of tile `t` at `from + i * step + t * width`.
    ///
    /// # Safety
    /// `isa` is one this machine has, `from` is readable for as many tiles as the columns take, `width` is two vectors of `isa`,
    /// and what is said of the outputs is writable, does not overlap it, and is touched by nobody else.
    pub unsafe fn gather(isa, from: *const f32, step: usize, width: usize, outputs: Outputs) = gather_body
}

#[inline(always)]
unsafe fn gather_body<S: Simd>(from: *const f32, step: usize, width: usize, outputs: Outputs) {
    for tile in 0..outputs.columns.div_ceil(TILE) {
        let mut channel = 0;
        while channel < outputs.channels {
            let lanes = (outputs.channels - channel).min(S::LANES);
            // SAFETY: the caller's promise; a panel is whole vectors, of which only those lanes are written that there are.
            unsafe {
                let from = from.add(tile * width + channel);
                let column = |x: usize| {
                    together::<S>([
                        S::load(from.add(x * step)),
                        S::load(from.add((SEEN + x) * step)),
                        S::load(from.add((2 * SEEN + x) * step)),
                        S::load(from.add((3 * SEEN + x) * step)),
                    ])
                };
                let columns = [column(0), column(1), column(2), column(3)];
                for (y, row) in outputs.rows.into_iter().enumerate() {
                    if row.is_null() {
                        continue;
                    }
                    let made = together::<S>(columns.map(|column| column[y]));
                    for (x, value) in made.into_iter().enumerate() {
                        if TILE * tile + x < outputs.columns {
                            let to = row.add((TILE * tile + x) * outputs.pixel + channel);
                            match lanes == S::LANES {
                                true => S::store(to, value),
                                false => S::store_part(to, value, lanes),
                            }
                        }
                    }
                }
            }
            channel += S::LANES;
        }
    }
}

/// `A^T m` of four values.
#[inline(always)]
unsafe fn together<S: Simd>(m: [S::V; SEEN]) -> [S::V; TILE] {
    // SAFETY: as the caller has it.
    unsafe {
        [
            S::add(S::add(m[0], m[1]), m[2]),
            S::sub(S::sub(m[1], m[2]), m[3]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor
            .contiguous()
            .and_then(|t| t.flatten_all())
            .and_then(|t| t.to_vec1::<f32>())
            .expect("values")
    }

    fn random(shape: &[usize]) -> Tensor {
        Tensor::randn(0f32, 1.0, shape, &Device::Cpu).expect("random")
    }

    /// One row of tiles, with what follows it or without.
    #[test]
    fn rows_of_tiles_are_candles_convolution() {
        for (inputs, outputs, columns) in [(32, 32, 8_usize), (48, 40, 7), (16, 3, 1), (32, 33, 2)]
        {
            let tiles = columns.div_ceil(TILE);
            let width = TILE * tiles + 2;
            let image = random(&[1, inputs, SEEN, width]);
            let weights = random(&[outputs, inputs, 3, 3]);
            let bias = random(&[outputs]);
            let want = image.conv2d(&weights, 0, 1, 1, 1).expect("candle's");
            let want = bias
                .reshape((1, outputs, 1, 1))
                .and_then(|bias| want.broadcast_add(&bias))
                .and_then(|want| want.permute((0, 2, 3, 1)))
                .expect("channels last");
            let want = flat(&want);
            let pixels = flat(&image.permute((0, 2, 3, 1)).expect("channels last"));
            let row = width * inputs;
            for isa in Isa::available() {
                let filter =
                    WinogradFilter::new(&flat(&weights), &flat(&bias), outputs, inputs, isa);
                assert_eq!((filter.inputs(), filter.outputs()), (inputs, outputs));
                let step = tiles * inputs;
                let mut spreads = vec![f32::NAN; PRODUCTS * step];
                let across = filter.panel_width();
                let mut made = vec![f32::NAN; PRODUCTS * tiles * across];
                let rows: [*const f32; SEEN] = std::array::from_fn(|y| pixels[y * row..].as_ptr());
                let (above, mut below) = (
                    vec![f32::NAN; columns * outputs],
                    vec![f32::NAN; columns * outputs],
                );
                for second in [true, false] {
                    let mut above = above.clone();
                    // SAFETY: all buffers have the shapes; `tiles` tiles take `width` columns.
                    unsafe {
                        let tiles = Tiles {
                            rows,
                            channels: inputs,
                            count: tiles,
                        };
                        spread(isa, tiles, spreads.as_mut_ptr(), step);
                        for panel in 0..filter.panels() {
                            let first = panel * across;
                            filter.multiply(
                                spreads.as_ptr(),
                                tiles.count,
                                panel,
                                made.as_mut_ptr(),
                            );
                            let to = Outputs {
                                rows: [
                                    above[first..].as_mut_ptr(),
                                    match second {
                                        true => below[first..].as_mut_ptr(),
                                        false => std::ptr::null_mut(),
                                    },
                                ],
                                pixel: outputs,
                                columns,
                                channels: (outputs - first).min(across),
                            };
                            gather(isa, made.as_ptr(), tiles.count * across, across, to);
                        }
                    }
                    let all = width - 2;
                    for (line, got) in [&above, &below].into_iter().enumerate() {
                        for (at, got) in got.iter().enumerate() {
                            let want = want[line * all * outputs + at];
                            let near = (got - want).abs() < 3e-5 * (1.0 + want.abs());
                            assert!(near, "{isa:?} {inputs} {line} {at}: {got}, not {want}");
                        }
                    }
                }
            }
        }
    }

    /// What a row is not made of does not change it by a bit.
    #[test]
    fn rows_beyond_a_window_are_not_seen() {
        let inputs = 16;
        let pixels: Vec<f32> = (0..SEEN * SEEN * inputs)
            .map(|n| (n as f32).sin())
            .collect();
        let weights: Vec<f32> = (0..32 * inputs * 9).map(|n| (n as f32).cos()).collect();
        for isa in Isa::available() {
            let filter = WinogradFilter::new(&weights, &[], 32, inputs, isa);
            let run = |pixels: &[f32]| {
                let row = SEEN * inputs;
                let width = filter.panel_width();
                let mut spreads = vec![0.0; PRODUCTS * inputs];
                let mut made = vec![0.0; PRODUCTS * width];
                let mut out = [vec![0.0; 2 * width], vec![0.0; 2 * width]];
                let [above, below] = &mut out;
                // SAFETY: one tile, and buffers for it.
                unsafe {
                    let tiles = Tiles {
                        rows: std::array::from_fn(|y| pixels[y * row..].as_ptr()),
                        channels: inputs,
                        count: 1,
                    };
                    spread(isa, tiles, spreads.as_mut_ptr(), inputs);
                    filter.multiply(spreads.as_ptr(), 1, 0, made.as_mut_ptr());
                    let to = Outputs {
                        rows: [above.as_mut_ptr(), below.as_mut_ptr()],
                        pixel: width,
                        columns: 2,
                        channels: width,
                    };
                    gather(isa, made.as_ptr(), width, width, to);
                }
                out
            };
            let all = run(&pixels);
            let mut other = pixels.clone();
            other[..SEEN * inputs].fill(0.0);
            assert_eq!(
                run(&other)[1],
                all[1],
                "{isa:?}: the first row is not in the second's window"
            );
            let mut other = pixels.clone();
            other[3 * SEEN * inputs..].fill(7.0);
            assert_eq!(
                run(&other)[0],
                all[0],
                "{isa:?}: the last row is not in the first's window"
            );
        }
    }
}
