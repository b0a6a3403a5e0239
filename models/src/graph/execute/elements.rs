//! Steps that go over all elements: functions, copies, one value everywhere.

use super::Run;
use crate::graph::op::Arithmetic;
use crate::graph::plan::{Copied, Filled, Mapped, Paired};
use crate::kernels::Isa;
use crate::kernels::elementwise::{self, Block, Pair, Pairing};
use crate::team::Member;

fn kernel_pair(arithmetic: Arithmetic) -> Option<Pairing> {
    Some(match arithmetic {
        Arithmetic::Add => Pairing::Add,
        Arithmetic::Sub => Pairing::Sub,
        Arithmetic::Mul => Pairing::Mul,
        Arithmetic::Div => Pairing::Div,
        Arithmetic::Max => Pairing::Max,
        Arithmetic::Min => Pairing::Min,
        Arithmetic::SquaredDifference => Pairing::SquaredDifference,
        Arithmetic::Pow
        | Arithmetic::FloorDiv
        | Arithmetic::Modulo
        | Arithmetic::Remainder
        | Arithmetic::Equal
        | Arithmetic::Less
        | Arithmetic::LessOrEqual
        | Arithmetic::Greater
        | Arithmetic::GreaterOrEqual
        | Arithmetic::And
        | Arithmetic::Or
        | Arithmetic::Xor => return None,
    })
}

impl Run<'_> {
    pub(super) fn function(&self, member: Member<'_>, index: usize, step: &Mapped) {
        let Mapped {
            function,
            loops,
            output,
            input,
        } = step;
        let (to, from) = (self.write(*output), self.read(*input));
        self.grid(
            member,
            index,
            loops,
            |grid, offsets, rows, columns, first| {
                let block = Block {
                    out: to.wrapping_add(offsets[0]),
                    out_row: grid.rows.strides[0],
                    input: from.wrapping_add(offsets[1]),
                    input_row: grid.rows.strides[1],
                    residual: std::ptr::null(),
                    residual_row: 0,
                    rows,
                    columns,
                };
                self.map(function, block, first);
            },
        );
    }

    pub(super) fn pair(&self, member: Member<'_>, index: usize, step: &Paired) {
        let Paired {
            arithmetic,
            loops,
            output,
            inputs,
        } = step;
        let to = self.write(*output);
        let from = inputs.map(|slot| self.read(slot));
        self.grid(member, index, loops, |grid, offsets, rows, columns, _| {
            let block = Pair {
                out: to.wrapping_add(offsets[0]),
                out_row: grid.rows.strides[0],
                input: [
                    from[0].wrapping_add(offsets[1]),
                    from[1].wrapping_add(offsets[2]),
                ],
                row: [grid.rows.strides[1], grid.rows.strides[2]],
                step: [grid.steps[1], grid.steps[2]],
                rows,
                columns,
            };
            pair_block(self.isa, *arithmetic, block);
        });
    }

    pub(super) fn copy(&self, member: Member<'_>, index: usize, step: &Copied) {
        let Copied {
            loops,
            output,
            input,
        } = step;
        let (to, from) = (self.write(*output), self.read(*input));
        self.grid(member, index, loops, |grid, offsets, rows, columns, _| {
            for row in 0..rows {
                let to = to.wrapping_add(offsets[0] + row * grid.rows.strides[0]);
                let from = from.wrapping_add(offsets[1] + row * grid.rows.strides[1]);
                // SAFETY: see the module.
                unsafe {
                    if grid.steps[1] == 1 {
                        to.copy_from_nonoverlapping(from, columns);
                    } else {
                        for column in 0..columns {
                            *to.add(column) = *from;
                        }
                    }
                }
            }
        });
    }

    pub(super) fn fill(&self, member: Member<'_>, index: usize, step: &Filled) {
        let Filled {
            loops,
            output,
            value,
        } = step;
        let to = self.write(*output);
        self.grid(member, index, loops, |grid, offsets, rows, columns, _| {
            for row in 0..rows {
                let to = to.wrapping_add(offsets[0] + row * grid.rows.strides[0]);
                for column in 0..columns {
                    // SAFETY: see the module.
                    unsafe { *to.add(column) = *value };
                }
            }
        });
    }
}

fn pair_block(isa: Isa, arithmetic: Arithmetic, block: Pair) {
    if let Some(pairing) = kernel_pair(arithmetic) {
        // SAFETY: see the module.
        return unsafe { elementwise::pair(isa, pairing, block) };
    }
    for row in 0..block.rows {
        for column in 0..block.columns {
            // SAFETY: see the module.
            unsafe {
                let side = |side: usize| {
                    *block.input[side].add(row * block.row[side] + column * block.step[side])
                };
                *block.out.add(row * block.out_row + column) = arithmetic.of(side(0), side(1));
            }
        }
    }
}
