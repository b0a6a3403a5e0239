//! Functions of every element, sums and products of two tensors, softmax and reductions, over blocks of rows.
//!
//! A block is `rows` rows of `columns` neighbouring values; the distance between its rows is free, and zero
//! repeats a row. Convolutions use the same blocks for what follows their sums while those are in cache.

use super::math;
use super::simd::{Simd, multiversion};

/// A function of one number.
#[derive(Clone, Copy, Debug)]
pub enum Map {
    /// The number itself.
    Identity,
    /// Not below the first, not above the second.
    Clip(f32, f32),
    /// Negative numbers times this.
    Leaky(f32),
    /// Negative numbers times the value of their column.
    Prelu(*const f32),
    /// `clip(slope x + offset, 0, 1)`
    HardSigmoid(f32, f32),
    /// `x clip(x + 3, 0, 6) / 6`
    HardSwish,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `x / (1 + e^-x)`
    Silu,
    /// `x/2 (1 + erf(x/sqrt 2))`
    Gelu,
    /// Hyperbolic tangent.
    Tanh,
    /// `e^x`
    Exp,
    /// The first times x plus the second.
    Affine(f32, f32),
}

/// Where [`map`] reads and writes. Input and output may be the same block.
#[derive(Clone, Copy)]
pub struct Block {
    /// First result.
    pub out: *mut f32,
    /// Distance between rows of results.
    pub out_row: usize,
    /// First value.
    pub input: *const f32,
    /// Distance between rows of values.
    pub input_row: usize,
    /// Added before the function; null for nothing.
    pub residual: *const f32,
    /// Distance between its rows.
    pub residual_row: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

/// A function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Quotient.
    Div,
    /// The larger.
    Max,
    /// The smaller.
    Min,
    /// Square of the difference.
    SquaredDifference,
}

/// Where [`pair`] reads and writes.
#[derive(Clone, Copy)]
pub struct Pair {
    /// First result.
    pub out: *mut f32,
    /// Distance between rows of results.
    pub out_row: usize,
    /// First value of each side.
    pub input: [*const f32; 2],
    /// Distance between rows of each side.
    pub row: [usize; 2],
    /// Distance between columns of each side: 1, or 0 for one value a row.
    pub step: [usize; 2],
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

multiversion! {
    /// `out = function(input + residual)`
    ///
    /// # Safety
    /// The block's rows are readable and writable; nobody else touches the results meanwhile.
    pub unsafe fn map(isa, function: Map, block: Block) = map_body
}

multiversion! {
    /// `out = function(input[0], input[1])`
    ///
    /// # Safety
    /// As [`map`].
    pub unsafe fn pair(isa, function: Pairing, block: Pair) = pair_body
}

multiversion! {
    /// The softmax of every row of a block; its residual is not used.
    ///
    /// # Safety
    /// As [`map`].
    pub unsafe fn softmax(isa, block: Block) = softmax_body
}

multiversion! {
    /// `out[column] = scale * sum over rows` of a block; its residual and `out_row` are not used.
    ///
    /// # Safety
    /// As [`map`].
    pub unsafe fn sum_rows(isa, block: Block, scale: f32) = sum_rows_body
}

multiversion! {
    /// The sum of `count` neighbouring values.
    ///
    /// # Safety
    /// The values are readable.
    pub unsafe fn sum(isa, values: *const f32, count: usize) -> f32 = sum_body
}

multiversion! {
    /// `out = (1 - w1) ((1 - w0) a + w0 b) + w1 ((1 - w0) c + w0 d)` for `count` neighbouring values of the
    /// four corners.
    ///
    /// # Safety
    /// As [`map`].
    pub unsafe fn blend(isa, out: *mut f32, corners: [*const f32; 4], weights: [f32; 2], count: usize) = blend_body
}

multiversion! {
    /// `out = w0 a + w1 b + w2 c + w3 d` for `count` neighbouring values of the four corners, added to what is
    /// there if `add`.
    ///
    /// # Safety
    /// As [`map`].
    pub unsafe fn mix(isa, out: *mut f32, corners: [*const f32; 4], weights: [f32; 4], count: usize, add: bool) = mix_body
}

/// A value for every vector of a line of columns: `whole` columns in whole vectors, then `rest`. A macro and not
/// a function of a function: a closure is not sure to be inlined, and outside of the entry point the vector
/// instructions are not enabled.
macro_rules! line {
    ($simd:ident, $out:expr, $whole:expr, $rest:expr, |$column:ident, $lanes:ident| $value:expr) => {{
        let mut $column = 0;
        while $column < $whole {
            let $lanes = $simd::LANES;
            let value = $value;
            $simd::store($out.add($column), value);
            $column += $simd::LANES;
        }
        if $rest > 0 {
            let $lanes = $rest;
            let value = $value;
            $simd::store_part($out.add($column), value, $rest);
        }
    }};
}

#[inline(always)]
unsafe fn read<S: Simd>(at: *const f32, lanes: usize) -> S::V {
    // SAFETY: the caller's contract.
    unsafe {
        if lanes == S::LANES {
            S::load(at)
        } else {
            S::load_part(at, lanes)
        }
    }
}

#[inline(always)]
unsafe fn blend_body<S: Simd>(
    out: *mut f32,
    corners: [*const f32; 4],
    weights: [f32; 2],
    count: usize,
) {
    let whole = count / S::LANES * S::LANES;
    let rest = count - whole;
    // SAFETY: the caller's contract.
    unsafe {
        let (right, down) = (S::splat(weights[0]), S::splat(weights[1]));
        line!(S, out, whole, rest, |column, lanes| {
            let a = read::<S>(corners[0].add(column), lanes);
            let b = read::<S>(corners[1].add(column), lanes);
            let c = read::<S>(corners[2].add(column), lanes);
            let d = read::<S>(corners[3].add(column), lanes);
            let above = S::fma(S::sub(b, a), right, a);
            let below = S::fma(S::sub(d, c), right, c);
            S::fma(S::sub(below, above), down, above)
        });
    }
}

#[inline(always)]
unsafe fn mix_body<S: Simd>(
    out: *mut f32,
    corners: [*const f32; 4],
    weights: [f32; 4],
    count: usize,
    add: bool,
) {
    let whole = count / S::LANES * S::LANES;
    let rest = count - whole;
    // SAFETY: the caller's contract.
    unsafe {
        let (a, b) = (S::splat(weights[0]), S::splat(weights[1]));
        let (c, d) = (S::splat(weights[2]), S::splat(weights[3]));
        line!(S, out, whole, rest, |column, lanes| {
            let before = if add {
                read::<S>(out.add(column).cast_const(), lanes)
            } else {
                S::splat(0.0)
            };
            let sum = S::fma(a, read::<S>(corners[0].add(column), lanes), before);
            let sum = S::fma(b, read::<S>(corners[1].add(column), lanes), sum);
            let sum = S::fma(c, read::<S>(corners[2].add(column), lanes), sum);
            S::fma(d, read::<S>(corners[3].add(column), lanes), sum)
        });
    }
}

#[inline(always)]
unsafe fn map_body<S: Simd>(function: Map, mut block: Block) {
    let add = !block.residual.is_null();
    if !matches!(function, Map::Prelu(_))
        && block.out_row == block.columns
        && block.input_row == block.columns
        && (!add || block.residual_row == block.columns)
    {
        block.columns *= block.rows;
        block.rows = 1;
    }
    let whole = block.columns / S::LANES * S::LANES;
    let rest = block.columns - whole;
    macro_rules! each {
        (|$x:ident, $column:ident, $lanes:ident| $value:expr) => {
            for row in 0..block.rows {
                let input = block.input.add(row * block.input_row);
                let out = block.out.add(row * block.out_row);
                if add {
                    let residual = block.residual.add(row * block.residual_row);
                    line!(S, out, whole, rest, |$column, $lanes| {
                        let $x = S::add(
                            read::<S>(input.add($column), $lanes),
                            read::<S>(residual.add($column), $lanes),
                        );
                        $value
                    });
                } else {
                    line!(S, out, whole, rest, |$column, $lanes| {
                        let $x = read::<S>(input.add($column), $lanes);
                        $value
                    });
                }
            }
        };
    }
    // SAFETY: the caller's contract; vectors past the last column are masked.
    unsafe {
        let (zero, one) = (S::splat(0.0), S::splat(1.0));
        match function {
            Map::Identity => each!(|x, column, lanes| x),
            // The bound comes first: what is not a number stays so.
            Map::Clip(low, high) => {
                let (low, high) = (S::splat(low), S::splat(high));
                each!(|x, column, lanes| S::min(high, S::max(low, x)))
            }
            Map::Leaky(slope) => {
                let slope = S::splat(slope);
                each!(|x, column, lanes| S::fma(slope, S::min(zero, x), S::max(zero, x)))
            }
            Map::Prelu(slopes) => each!(|x, column, lanes| {
                let slope = read::<S>(slopes.add(column), lanes);
                S::fma(slope, S::min(zero, x), S::max(zero, x))
            }),
            Map::HardSigmoid(slope, offset) => {
                let (slope, offset) = (S::splat(slope), S::splat(offset));
                each!(|x, column, lanes| S::min(one, S::max(zero, S::fma(slope, x, offset))))
            }
            Map::HardSwish => {
                let (three, six, sixth) = (S::splat(3.0), S::splat(6.0), S::splat(1.0 / 6.0));
                each!(|x, column, lanes| {
                    let gate = S::min(six, S::max(zero, S::add(x, three)));
                    S::mul(S::mul(x, gate), sixth)
                })
            }
            Map::Sigmoid => each!(|x, column, lanes| {
                S::div(one, S::add(one, math::exp::<S>(S::sub(zero, x))))
            }),
            Map::Silu => each!(|x, column, lanes| {
                S::div(x, S::add(one, math::exp::<S>(S::sub(zero, x))))
            }),
            Map::Gelu => each!(|x, column, lanes| math::gelu::<S>(x)),
            Map::Tanh => each!(|x, column, lanes| math::tanh::<S>(x)),
            Map::Exp => each!(|x, column, lanes| math::exp::<S>(x)),
            Map::Affine(scale, shift) => {
                let (scale, shift) = (S::splat(scale), S::splat(shift));
                each!(|x, column, lanes| S::fma(scale, x, shift))
            }
        }
    }
}

#[inline(always)]
unsafe fn pair_body<S: Simd>(function: Pairing, mut block: Pair) {
    if block.out_row == block.columns
        && block.step == [1, 1]
        && block.row == [block.columns, block.columns]
    {
        block.columns *= block.rows;
        block.rows = 1;
    }
    let whole = block.columns / S::LANES * S::LANES;
    let rest = block.columns - whole;
    macro_rules! each {
        (|$x:ident, $y:ident| $value:expr) => {
            for row in 0..block.rows {
                let left = block.input[0].add(row * block.row[0]);
                let right = block.input[1].add(row * block.row[1]);
                let out = block.out.add(row * block.out_row);
                // A side with one value a row is read only there.
                let (first, second) = (S::splat(*left), S::splat(*right));
                match block.step {
                    [0, 0] => line!(S, out, whole, rest, |_column, _lanes| {
                        let ($x, $y) = (first, second);
                        $value
                    }),
                    [0, _] => line!(S, out, whole, rest, |column, lanes| {
                        let ($x, $y) = (first, read::<S>(right.add(column), lanes));
                        $value
                    }),
                    [_, 0] => line!(S, out, whole, rest, |column, lanes| {
                        let ($x, $y) = (read::<S>(left.add(column), lanes), second);
                        $value
                    }),
                    _ => line!(S, out, whole, rest, |column, lanes| {
                        let $x = read::<S>(left.add(column), lanes);
                        let $y = read::<S>(right.add(column), lanes);
                        $value
                    }),
                }
            }
        };
    }
    if block.columns == 0 {
        return;
    }
    // SAFETY: the caller's contract; vectors past the last column are masked.
    unsafe {
        match function {
            Pairing::Add => each!(|x, y| S::add(x, y)),
            Pairing::Sub => each!(|x, y| S::sub(x, y)),
            Pairing::Mul => each!(|x, y| S::mul(x, y)),
            Pairing::Div => each!(|x, y| S::div(x, y)),
            Pairing::Max => each!(|x, y| S::max(x, y)),
            Pairing::Min => each!(|x, y| S::min(x, y)),
            Pairing::SquaredDifference => each!(|x, y| {
                let difference = S::sub(x, y);
                S::mul(difference, difference)
            }),
        }
    }
}

#[inline(always)]
unsafe fn softmax_body<S: Simd>(block: Block) {
    let whole = block.columns / S::LANES * S::LANES;
    let rest = block.columns - whole;
    for row in 0..block.rows {
        // SAFETY: the caller's contract.
        unsafe {
            let input = block.input.add(row * block.input_row);
            let out = block.out.add(row * block.out_row);
            let mut largest = S::splat(f32::NEG_INFINITY);
            let mut column = 0;
            while column < whole {
                largest = S::max(largest, S::load(input.add(column)));
                column += S::LANES;
            }
            let mut largest = S::maximum(largest);
            for column in whole..block.columns {
                largest = largest.max(*input.add(column));
            }
            let shift = S::splat(largest);
            let mut total = S::splat(0.0);
            let mut column = 0;
            while column < whole {
                let y = math::exp::<S>(S::sub(S::load(input.add(column)), shift));
                total = S::add(total, y);
                S::store(out.add(column), y);
                column += S::LANES;
            }
            let mut total = S::sum(total);
            if rest > 0 {
                let y = math::exp::<S>(S::sub(S::load_part(input.add(whole), rest), shift));
                S::store_part(out.add(whole), y, rest);
                for column in whole..block.columns {
                    total += *out.add(column);
                }
            }
            let scale = S::splat(1.0 / total);
            line!(S, out, whole, rest, |column, lanes| {
                S::mul(read::<S>(out.add(column).cast_const(), lanes), scale)
            });
        }
    }
}

#[inline(always)]
unsafe fn sum_rows_body<S: Simd>(block: Block, scale: f32) {
    let mut column = 0;
    while column < block.columns {
        let lanes = S::LANES.min(block.columns - column);
        // SAFETY: the caller's contract; lanes past the last column are masked.
        unsafe {
            let at = block.input.add(column);
            let step = block.input_row;
            // Four sums, so that additions do not wait for each other.
            let zero = S::splat(0.0);
            let (mut a, mut b, mut c, mut d) = (zero, zero, zero, zero);
            let mut row = 0;
            while row + 4 <= block.rows {
                a = S::add(a, read::<S>(at.add(row * step), lanes));
                b = S::add(b, read::<S>(at.add((row + 1) * step), lanes));
                c = S::add(c, read::<S>(at.add((row + 2) * step), lanes));
                d = S::add(d, read::<S>(at.add((row + 3) * step), lanes));
                row += 4;
            }
            while row < block.rows {
                a = S::add(a, read::<S>(at.add(row * step), lanes));
                row += 1;
            }
            let sum = S::mul(S::add(S::add(a, b), S::add(c, d)), S::splat(scale));
            let out = block.out.add(column);
            if lanes == S::LANES {
                S::store(out, sum);
            } else {
                S::store_part(out, sum, lanes);
            }
        }
        column += lanes;
    }
}

#[inline(always)]
unsafe fn sum_body<S: Simd>(values: *const f32, count: usize) -> f32 {
    let whole = count / S::LANES * S::LANES;
    // SAFETY: the caller's contract.
    unsafe {
        let mut total = S::splat(0.0);
        let mut at = 0;
        while at < whole {
            total = S::add(total, S::load(values.add(at)));
            at += S::LANES;
        }
        if whole < count {
            total = S::add(total, S::load_part(values.add(whole), count - whole));
        }
        S::sum(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::Isa;

    fn block(input: &[f32], out: &mut [f32], rows: usize, columns: usize) -> Block {
        Block {
            out: out.as_mut_ptr(),
            out_row: columns,
            input: input.as_ptr(),
            input_row: columns,
            residual: std::ptr::null(),
            residual_row: 0,
            rows,
            columns,
        }
    }

    #[test]
    fn functions_are_their_definitions() {
        let (rows, columns) = (3, 37);
        let input: Vec<f32> = (0..rows * columns)
            .map(|i| (i as f32 - 55.0) / 9.0)
            .collect();
        let slopes: Vec<f32> = (0..columns).map(|i| i as f32 / 40.0).collect();
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        type Definition<'a> = Box<dyn Fn(f32, usize) -> f32 + 'a>;
        let cases: Vec<(Map, Definition<'_>)> = vec![
            (Map::Identity, Box::new(|x, _| x)),
            (Map::Clip(-1.0, 2.0), Box::new(|x, _| x.clamp(-1.0, 2.0))),
            (
                Map::Leaky(0.1),
                Box::new(|x, _| if x < 0.0 { 0.1 * x } else { x }),
            ),
            (
                Map::Prelu(slopes.as_ptr()),
                Box::new(|x, column| if x < 0.0 { slopes[column] * x } else { x }),
            ),
            (
                Map::HardSigmoid(0.2, 0.5),
                Box::new(|x, _| (0.2 * x + 0.5).clamp(0.0, 1.0)),
            ),
            (
                Map::HardSwish,
                Box::new(|x, _| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
            ),
            (Map::Sigmoid, Box::new(move |x, _| sigmoid(x))),
            (Map::Silu, Box::new(move |x, _| x * sigmoid(x))),
            (Map::Tanh, Box::new(|x, _| x.tanh())),
            (Map::Exp, Box::new(|x, _| x.exp())),
            (Map::Affine(2.0, -1.0), Box::new(|x, _| 2.0 * x - 1.0)),
        ];
        for isa in Isa::available() {
            for (function, definition) in &cases {
                let mut out = vec![f32::NAN; input.len()];
                // SAFETY: rows and columns are those of both buffers.
                unsafe { map(isa, *function, block(&input, &mut out, rows, columns)) };
                for (at, (&x, &y)) in input.iter().zip(&out).enumerate() {
                    let want = definition(x, at % columns);
                    assert!(
                        (y - want).abs() <= 1e-6 * want.abs().max(1.0),
                        "{isa:?} {function:?} {x}: {y} {want}"
                    );
                }
            }
        }
    }

    #[test]
    fn pairs_broadcast_and_softmax_sums_to_one() {
        let (rows, columns) = (4, 21);
        let left: Vec<f32> = (0..rows * columns).map(|i| (i as f32).sin()).collect();
        let right: Vec<f32> = (0..columns).map(|i| 1.5 + (i as f32).cos()).collect();
        for isa in Isa::available() {
            for step in [0, 1] {
                let mut out = vec![f32::NAN; left.len()];
                let operands = Pair {
                    out: out.as_mut_ptr(),
                    out_row: columns,
                    input: [left.as_ptr(), right.as_ptr()],
                    row: [columns, 0],
                    step: [1, step],
                    rows,
                    columns,
                };
                // SAFETY: the sizes are those of the buffers.
                unsafe { pair(isa, Pairing::Div, operands) };
                for at in 0..left.len() {
                    let want = left[at] / right[at % columns * step];
                    assert!((out[at] - want).abs() < 1e-6, "{isa:?} {at}");
                }
            }
            let mut out = vec![f32::NAN; left.len()];
            // SAFETY: as above.
            unsafe { softmax(isa, block(&left, &mut out, rows, columns)) };
            for (x, y) in left.chunks(columns).zip(out.chunks(columns)) {
                let total: f64 = x.iter().map(|&x| f64::from(x).exp()).sum();
                for (x, y) in x.iter().zip(y) {
                    let want = f64::from(*x).exp() / total;
                    assert!((f64::from(*y) - want).abs() < 1e-6, "{isa:?}");
                }
            }
            let mut sums = vec![f32::NAN; columns];
            let mut whole = block(&left, &mut sums, rows, columns);
            whole.out_row = 0;
            // SAFETY: one row of results, as the kernel writes.
            unsafe { sum_rows(isa, whole, 0.25) };
            for (column, sum) in sums.iter().enumerate() {
                let want: f32 = (0..rows).map(|row| left[row * columns + column]).sum();
                assert!((sum - 0.25 * want).abs() < 1e-6, "{isa:?}");
            }
            // SAFETY: the whole buffer.
            let total = unsafe { sum(isa, left.as_ptr(), left.len()) };
            assert!((total - left.iter().sum::<f32>()).abs() < 1e-4, "{isa:?}");
        }
    }
}
