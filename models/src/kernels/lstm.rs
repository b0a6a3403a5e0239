//! One step of a long short-term memory (Hochreiter and Schmidhuber 1997) for several rows.
//!
//! The four gates of a vector of units are summed in registers, from the projected input on, and the new state is
//! made from the sums before anything is stored: nothing but states goes through memory. The gates' sigmoid is the
//! hard one of Keras 2, `clip(x / 5 + 1/2)`, which is what the networks here were trained with.
//!
//! Weights and projected inputs are laid out in blocks of a vector's units, four gates side by side in each
//! ([`Cell::place`] says where an element is). Units that fill the last vector have no weights, and their state
//! stays zero. A row's result does not depend on the rows beside it, to the last bit.

use super::aligned::AlignedVec;
use super::math;
use super::simd::{Isa, Simd, multiversion};

/// Gates of a unit, in the order in which Keras has them: input, forget, candidate, output.
pub const GATES: usize = 4;

/// The recurrent weights of one direction.
pub struct Cell {
    weights: AlignedVec,
    units: usize,
    isa: Isa,
}

/// Rows that take a step: where their inputs and states are.
#[derive(Clone, Copy)]
pub struct Rows {
    /// How many.
    pub count: usize,
    /// Projected input of row 0, [`Cell::width`] values.
    pub input: *const f32,
    /// Distance between the inputs of rows; 0 when all have the same.
    pub input_row: usize,
    /// Hidden state of row 0 before the step.
    pub before: *const f32,
    /// Hidden state of row 0 after the step.
    pub after: *mut f32,
    /// Memory of row 0.
    pub memory: *mut f32,
    /// Largest hidden state of row 0 so far, element by element.
    pub peak: *mut f32,
    /// Distance between the states of rows, at least [`Cell::padded`].
    pub row: usize,
}

impl Cell {
    /// Packs recurrent weights, stored as `[units, 4 units]` with the gates in the order of [`GATES`].
    ///
    /// # Panics
    /// When the length does not agree.
    pub fn new(weights: &[f32], units: usize, isa: Isa) -> Self {
        assert_eq!(
            weights.len(),
            units * GATES * units,
            "weights must be [units, 4 units]"
        );
        let lanes = isa.lanes();
        let blocks = units.div_ceil(lanes);
        let step = GATES * lanes;
        let mut packed = AlignedVec::zeroed(blocks * units * step);
        for from in 0..units {
            for gate in 0..GATES {
                for unit in 0..units {
                    let (block, lane) = (unit / lanes, unit % lanes);
                    packed[(block * units + from) * step + gate * lanes + lane] =
                        weights[from * GATES * units + gate * units + unit];
                }
            }
        }
        Self {
            weights: packed,
            units,
            isa,
        }
    }

    /// Length of a projected input.
    pub fn width(&self) -> usize {
        GATES * self.padded()
    }

    /// Length of a state: the units, and zeros up to whole vectors.
    pub fn padded(&self) -> usize {
        self.units.next_multiple_of(self.isa.lanes())
    }

    /// The gate and unit at a place of a projected input, if one is there.
    pub fn place(&self, at: usize) -> Option<(usize, usize)> {
        let lanes = self.isa.lanes();
        let (block, gate, lane) = (at / (GATES * lanes), at / lanes % GATES, at % lanes);
        let unit = block * lanes + lane;
        (unit < self.units).then_some((gate, unit))
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// Takes one step.
    ///
    /// # Safety
    /// Inputs and states of all rows are readable, and those that are not `*const` writable, in the lengths of
    /// [`Rows`]; `before` and `after` do not overlap, and nobody else touches the states meanwhile.
    pub unsafe fn step(&self, rows: Rows) {
        // SAFETY: the caller's contract; the weights hold every block.
        unsafe { step(self.isa, self.weights.as_ptr(), self.units, rows) }
    }
}

multiversion! {
    /// All blocks of all rows.
    ///
    /// # Safety
    /// As [`Cell::step`], with the weights of a cell of `units`.
    unsafe fn step(isa, weights: *const f32, units: usize, rows: Rows) = step_body
}

#[inline(always)]
unsafe fn step_body<S: Simd>(weights: *const f32, units: usize, rows: Rows) {
    let blocks = units.div_ceil(S::LANES);
    // Sums of four gates for four rows fit 32 registers, for two rows 16.
    let tile_rows = if S::LANES > 8 { 4 } else { 2 };
    // SAFETY: the caller's contract; every tile is inside the rows and blocks.
    unsafe {
        if rows.count == 1 {
            // One row alone would wait for the latency of its four sums: two blocks at a time.
            for block in (0..blocks - blocks % 2).step_by(2) {
                tile::<S, 1, 2>(weights, units, block, 0, rows);
            }
            if blocks % 2 == 1 {
                tile::<S, 1, 1>(weights, units, blocks - 1, 0, rows);
            }
            return;
        }
        for block in 0..blocks {
            let mut row = 0;
            while row < rows.count {
                let left = rows.count - row;
                let take = if left < tile_rows { left } else { tile_rows };
                match take {
                    1 => tile::<S, 1, 1>(weights, units, block, row, rows),
                    2 => tile::<S, 2, 1>(weights, units, block, row, rows),
                    3 => tile::<S, 3, 1>(weights, units, block, row, rows),
                    _ => tile::<S, 4, 1>(weights, units, block, row, rows),
                }
                row += take;
            }
        }
    }
}

/// Repeats the body for constants below a bound, written out for the reason that `matmul` gives.
macro_rules! unroll {
    ($at:ident < $bound:ident $body:block) => {
        unroll!(@ $at $bound $body 0 1 2 3)
    };
    (@ $at:ident $bound:ident $body:block $($i:literal)*) => {
        $(if $bound > $i {
            const $at: usize = $i;
            $body
        })*
    };
}

#[inline(always)]
unsafe fn tile<S: Simd, const ROWS: usize, const BLOCKS: usize>(
    weights: *const f32,
    units: usize,
    block: usize,
    row: usize,
    rows: Rows,
) {
    let step = GATES * S::LANES;
    // SAFETY: the caller's contract of `Cell::step`.
    unsafe {
        let mut sums = [[[S::splat(0.0); GATES]; BLOCKS]; ROWS];
        unroll!(R < ROWS {
            unroll!(B < BLOCKS {
                let input = rows.input.add((row + R) * rows.input_row + (block + B) * step);
                sums[R][B][0] = S::load(input);
                sums[R][B][1] = S::load(input.add(S::LANES));
                sums[R][B][2] = S::load(input.add(2 * S::LANES));
                sums[R][B][3] = S::load(input.add(3 * S::LANES));
            });
        });
        let mut weights = weights.add(block * units * step);
        let mut before = rows.before.add(row * rows.row);
        for _ in 0..units {
            unroll!(B < BLOCKS {
                let column = weights.add(B * units * step);
                let w0 = S::load(column);
                let w1 = S::load(column.add(S::LANES));
                let w2 = S::load(column.add(2 * S::LANES));
                let w3 = S::load(column.add(3 * S::LANES));
                unroll!(R < ROWS {
                    let x = S::splat(*before.add(R * rows.row));
                    sums[R][B][0] = S::fma(x, w0, sums[R][B][0]);
                    sums[R][B][1] = S::fma(x, w1, sums[R][B][1]);
                    sums[R][B][2] = S::fma(x, w2, sums[R][B][2]);
                    sums[R][B][3] = S::fma(x, w3, sums[R][B][3]);
                });
            });
            weights = weights.add(step);
            before = before.add(1);
        }
        unroll!(R < ROWS {
            unroll!(B < BLOCKS {
                let at = (row + R) * rows.row + (block + B) * S::LANES;
                let input = hard_sigmoid::<S>(sums[R][B][0]);
                let forget = hard_sigmoid::<S>(sums[R][B][1]);
                let candidate = math::tanh::<S>(sums[R][B][2]);
                let output = hard_sigmoid::<S>(sums[R][B][3]);
                let memory = rows.memory.add(at);
                let kept = S::fma(forget, S::load(memory), S::mul(input, candidate));
                S::store(memory, kept);
                let hidden = S::mul(output, math::tanh::<S>(kept));
                S::store(rows.after.add(at), hidden);
                let peak = rows.peak.add(at);
                // What is not a number stays in the hidden state to the last step, so it is seen here.
                S::store(peak, S::max(S::load(peak), hidden));
            });
        });
    }
}

#[inline(always)]
unsafe fn hard_sigmoid<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's contract.
    unsafe {
        let line = S::fma(x, S::splat(0.2), S::splat(0.5));
        S::min(S::splat(1.0), S::max(S::splat(0.0), line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(seed: u64, len: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            })
            .collect()
    }

    /// A step in double precision as Keras defines it; gives hidden state and memory.
    fn reference(
        weights: &[f32],
        input: &[f32],
        before: &[f32],
        memory: &[f32],
    ) -> (Vec<f64>, Vec<f64>) {
        let units = before.len();
        let gate = |gate: usize, unit: usize| -> f64 {
            let at = gate * units + unit;
            let sum: f64 = (0..units)
                .map(|from| f64::from(before[from]) * f64::from(weights[from * GATES * units + at]))
                .sum();
            sum + f64::from(input[at])
        };
        let hard = |x: f64| (x / 5.0 + 0.5).clamp(0.0, 1.0);
        let memory: Vec<f64> = (0..units)
            .map(|unit| {
                hard(gate(1, unit)) * f64::from(memory[unit])
                    + hard(gate(0, unit)) * gate(2, unit).tanh()
            })
            .collect();
        let hidden = (0..units)
            .map(|unit| hard(gate(3, unit)) * memory[unit].tanh())
            .collect();
        (hidden, memory)
    }

    #[test]
    fn a_step_is_the_definition_for_every_number_of_rows_and_units() {
        for isa in Isa::available() {
            for units in [1, 7, 16, 37, 50] {
                let weights = values(1, units * GATES * units);
                let cell = Cell::new(&weights, units, isa);
                let (padded, width) = (cell.padded(), cell.width());
                for count in [1, 2, 3, 4, 5, 9] {
                    let inputs: Vec<Vec<f32>> = (0..count)
                        .map(|row| {
                            let input = values(2 + row, GATES * units);
                            input.iter().map(|x| 4.0 * x).collect()
                        })
                        .collect();
                    let mut packed = vec![0.0; count as usize * width];
                    for (row, input) in inputs.iter().enumerate() {
                        for at in 0..width {
                            if let Some((gate, unit)) = cell.place(at) {
                                packed[row * width + at] = input[gate * units + unit];
                            }
                        }
                    }
                    let state = |seed| {
                        let mut state = values(seed, count as usize * padded);
                        let padding = |(at, x): (usize, &mut f32)| {
                            if at % padded >= units {
                                *x = 0.0;
                            }
                        };
                        state.iter_mut().enumerate().for_each(padding);
                        state
                    };
                    let (before, old) = (state(80), state(81));
                    let (mut after, mut memory) = (vec![f32::NAN; before.len()], old.clone());
                    let mut peak = vec![-0.1; before.len()];
                    let rows = Rows {
                        count: count as usize,
                        input: packed.as_ptr(),
                        input_row: width,
                        before: before.as_ptr(),
                        after: after.as_mut_ptr(),
                        memory: memory.as_mut_ptr(),
                        peak: peak.as_mut_ptr(),
                        row: padded,
                    };
                    // SAFETY: the buffers hold `count` rows of the cell's lengths.
                    unsafe { cell.step(rows) };
                    for (row, input) in inputs.iter().enumerate() {
                        let at = row * padded..row * padded + units;
                        let (hidden, kept) =
                            reference(&weights, input, &before[at.clone()], &old[at.clone()]);
                        for unit in 0..units {
                            let at = row * padded + unit;
                            // Sums of fifty products, each rounded once, and 4e-7 for the tangent.
                            let error = (f64::from(after[at]) - hidden[unit]).abs();
                            assert!(error < 4e-6, "{isa:?} {units} {count}: {error}");
                            let error = (f64::from(memory[at]) - kept[unit]).abs();
                            assert!(error < 4e-6, "{isa:?} {units} {count}: {error}");
                            assert_eq!(peak[at], after[at].max(-0.1));
                        }
                        for at in row * padded + units..(row + 1) * padded {
                            assert_eq!((after[at], memory[at]), (0.0, 0.0));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_visible() {
        for isa in Isa::available() {
            let cell = Cell::new(&values(1, 100), 5, isa);
            let input = vec![f32::NAN; cell.width()];
            let before = vec![0.0; cell.padded()];
            let (mut after, mut memory, mut peak) =
                (before.clone(), before.clone(), before.clone());
            let rows = Rows {
                count: 1,
                input: input.as_ptr(),
                input_row: 0,
                before: before.as_ptr(),
                after: after.as_mut_ptr(),
                memory: memory.as_mut_ptr(),
                peak: peak.as_mut_ptr(),
                row: cell.padded(),
            };
            // SAFETY: the buffers hold one row of the cell's lengths.
            unsafe { cell.step(rows) };
            assert!(
                after[..5].iter().chain(&peak[..5]).all(|x| x.is_nan()),
                "{isa:?}"
            );
        }
    }
}
