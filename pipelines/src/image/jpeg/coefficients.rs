//! Room for coefficients.

use super::markers::{Component, Frame};

/// Blocks that a row of blocks has room for: whole units, and an even number, since transforms make two at once.
pub fn pitch(frame: &Frame, part: &Component) -> usize {
    (frame.units_across() * part.across).next_multiple_of(2)
}

/// Coefficients of some rows of units, in natural order, block after block; what is beyond the units is zero.
pub struct Coefficients {
    parts: Vec<Plane>,
}

/// Those of a component.
pub struct Plane {
    /// 64 for each block.
    pub values: Vec<i16>,
    /// Blocks in a row of blocks.
    pub pitch: usize,
    /// Rows of blocks in a unit.
    pub down: usize,
}

impl Coefficients {
    /// Zeros for `rows` rows of units.
    pub fn new(frame: &Frame, rows: usize) -> Self {
        let parts = frame.components.iter().map(|part| {
            let pitch = pitch(frame, part);
            Plane {
                values: vec![0; rows * part.down * pitch * 64],
                pitch,
                down: part.down,
            }
        });
        Self {
            parts: parts.collect(),
        }
    }

    /// A component's.
    pub fn plane(&mut self, component: usize) -> &mut Plane {
        &mut self.parts[component]
    }

    /// The rows of blocks of a component in a row of units.
    pub fn rows(&self, component: usize, row: usize) -> std::slice::ChunksExact<'_, i16> {
        let plane = &self.parts[component];
        let size = plane.pitch * 64;
        plane.values[row * plane.down * size..][..plane.down * size].chunks_exact(size)
    }
}

impl Plane {
    /// A block by its place among all.
    pub fn block(&mut self, row: usize, column: usize) -> Option<&mut [i16; 64]> {
        let at = 64 * (row * self.pitch + column);
        self.values.get_mut(at..at + 64)?.try_into().ok()
    }
}
