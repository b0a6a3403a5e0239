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

    /// Zeros for a single row of so many units, of which [`Self::part`] gives as many as the frame has in a row.
    pub fn strip(frame: &Frame, units: usize) -> Self {
        let parts = frame.components.iter().map(|part| {
            // Transforms make two blocks at once, perhaps one behind the last.
            let pitch = units * part.across + 1;
            Plane {
                values: vec![0; part.down * pitch * 64],
                pitch,
                down: part.down,
            }
        });
        Self {
            parts: parts.collect(),
        }
    }

    /// The rows of blocks of a component in a row of units.
    pub fn rows(&self, component: usize, row: usize) -> Vec<&[i16]> {
        let plane = &self.parts[component];
        let size = plane.pitch * 64;
        let rows = &plane.values[row * plane.down * size..][..plane.down * size];
        rows.chunks_exact(size).collect()
    }

    /// The rows of blocks of a component of a frame in a strip, as they are from the unit `first` on.
    pub fn part(&self, frame: &Frame, component: usize, first: usize) -> Vec<&[i16]> {
        let plane = &self.parts[component];
        let part = &frame.components[component];
        let (start, size) = (64 * first * part.across, 64 * pitch(frame, part));
        let rows = plane.values.chunks_exact(64 * plane.pitch);
        rows.map(|row| &row[start..start + size]).collect()
    }
}

impl Plane {
    /// A block by its place among all.
    pub fn block(&mut self, row: usize, column: usize) -> Option<&mut [i16; 64]> {
        let at = 64 * (row * self.pitch + column);
        self.values.get_mut(at..at + 64)?.try_into().ok()
    }
}
