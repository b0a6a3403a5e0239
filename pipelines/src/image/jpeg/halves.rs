//! Both halves of a scan's codes at once.
//!
//! Huffman codes find themselves again: a reader that begins anywhere soon reads the same codes as one that began at the
//! front. So a second thread begins in the middle, takes that for the start of a unit, and notes where each of its units begins.
//! When the first has come to the middle it goes on until it begins a unit where the second began one. From there
//! on both would read the same, but for the first coefficients, which are differences to those before: they are off
//! by what the two had before that unit. Nothing depends on luck but time: where they do not meet, the first reads all.

use super::Threads;
use super::bits::Bits;
use super::coefficients::Coefficients;
use super::markers::Frame;
use super::render::Renderer;
use super::sequential::{Part, Run, Units, units};
use super::stream::Stream;
use parking_lot::Mutex;

/// Fewer bytes are not worth another thread's start. Tests have small files.
const LEAST: usize = if cfg!(test) { 64 } else { 1 << 17 };
/// Most bytes of coefficients for a whole picture, of which the second half is held.
const MOST: u64 = 1 << 26;
/// A reader that meets what is no code after fewer units has not found itself yet.
const FOUND: usize = 256;
/// How often it may begin again.
const TRIES: usize = 1000;

#[cfg(test)]
thread_local! {
    /// How often two readers of this thread met.
    pub static MET: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Whether a scan without restarts is better read so. At full size there is enough to do for a second thread, and it needs less memory.
pub fn pays(stream: &Stream, frame: &Frame, renderer: &Renderer) -> bool {
    renderer.is_smaller() && stream.first().len() >= LEAST && frame.blocks() * 128 <= MOST
}

/// Where a unit of the second half begins.
struct Start {
    /// Its first bit.
    bit: usize,
    /// The components' last first coefficients.
    last: [i32; 3],
}

/// What the second thread has read.
struct Second {
    /// Its units, one behind the other.
    strip: Coefficients,
    /// Their starts, and that of the one that would follow.
    starts: Vec<Start>,
}

/// The last first coefficients.
fn last(parts: &[Part<'_>]) -> [i32; 3] {
    let mut last = [0; 3];
    for (last, part) in last.iter_mut().zip(parts) {
        *last = part.last;
    }
    last
}

impl Second {
    /// Reads from the middle to the end.
    fn read(stream: &Stream, frame: &Frame, first: &[Part<'_>]) -> Option<Self> {
        let most = frame.units_across() * frame.units_down();
        let bytes = stream.first();
        let mut second = Self {
            strip: Coefficients::strip(frame, most),
            starts: Vec::new(),
        };
        let mut parts = first.to_vec();
        let (mut counted, _) = Units::new(stream, 0, most)?;
        let mut bits = Bits::at(bytes, bytes.len() / 2);
        for _ in 0..TRIES {
            while second.starts.len() < most && !bits.is_over() {
                let unit = second.starts.len();
                second.starts.push(Start {
                    bit: bits.place(),
                    last: last(&parts),
                });
                let run = Run {
                    row: 0,
                    units: unit..unit + 1,
                    stop: usize::MAX,
                };
                let from = (&mut counted, &mut bits);
                if units(&mut parts, from, &mut second.strip, run).is_none() {
                    break;
                }
            }
            if second.starts.len() >= FOUND || bits.is_over() {
                return Some(second);
            }
            // Not at a code: once more from the next byte.
            let bit = second.starts.last()?.bit;
            second.starts.clear();
            parts = first.to_vec();
            bits = Bits::at(bytes, bit / 8 + 1);
        }
        None
    }

    /// Which of its units begins at this bit, with `wanted` whole ones from there on.
    fn unit(&self, bit: usize, wanted: usize, bits: usize) -> Option<usize> {
        let unit = self.starts.binary_search_by_key(&bit, |start| start.bit);
        let unit = unit.ok()?;
        // The next one's start tells that the last is whole.
        (self.starts.get(unit + wanted)?.bit <= bits).then_some(unit)
    }

    /// Adds to the first coefficients of some units what was missing before.
    fn raise(&mut self, parts: &[Part<'_>], missing: [i32; 3], units: std::ops::Range<usize>) {
        for (part, missing) in parts.iter().zip(missing) {
            let plane = self.strip.plane(part.component);
            for down in 0..part.down {
                for column in units.start * part.across..units.end * part.across {
                    if let Some(block) = plane.block(down, column) {
                        block[0] = block[0].wrapping_add(missing as i16);
                    }
                }
            }
        }
    }
}

/// What the first thread is about.
struct First<'a> {
    parts: Vec<Part<'a>>,
    counted: Units<'a>,
    bits: Bits<'a>,
    /// The row under way, and its next unit.
    coefficients: Coefficients,
    row: usize,
    unit: usize,
    renderer: Renderer,
}

impl First<'_> {
    /// Reads units that begin before this bit.
    fn read(&mut self, frame: &Frame, stop: usize) -> Option<()> {
        while self.row < frame.units_down() {
            let run = Run {
                row: 0,
                units: self.unit..frame.units_across(),
                stop,
            };
            let from = (&mut self.counted, &mut self.bits);
            self.unit = units(&mut self.parts, from, &mut self.coefficients, run)?;
            if self.unit < frame.units_across() {
                return Some(());
            }
            self.renderer
                .add(&|component| self.coefficients.rows(component, 0));
            (self.row, self.unit) = (self.row + 1, 0);
        }
        Some(())
    }
}

/// Decodes a file's only scan to pixels.
pub fn read(
    stream: &Stream,
    frame: &Frame,
    parts: Vec<Part<'_>>,
    renderer: Renderer,
    threads: &dyn Threads,
) -> Option<Vec<u8>> {
    let (across, down) = (frame.units_across(), frame.units_down());
    let (counted, bits) = Units::new(stream, 0, across * down)?;
    let second = Mutex::new(None);
    let first = Mutex::new(Some(First {
        parts: parts.clone(),
        counted,
        bits,
        coefficients: Coefficients::new(frame, 1),
        row: 0,
        unit: 0,
        renderer,
    }));
    threads.run(&|thread| match thread {
        0 => {
            let mut first = first.lock();
            let read = first
                .as_mut()
                .and_then(|first| first.read(frame, 4 * stream.first().len()));
            if read.is_none() {
                *first = None;
            }
        }
        1 => *second.lock() = Second::read(stream, frame, &parts),
        _ => {}
    });
    let mut first = first.into_inner()?;
    let Some(mut second) = second.into_inner() else {
        first.read(frame, usize::MAX)?;
        return first.renderer.finish();
    };
    let bits = 8 * stream.first().len();
    while first.row < down {
        let (bit, done) = (first.bits.place(), first.row * across + first.unit);
        let Some(unit) = second.unit(bit, across * down - done, bits) else {
            first.read(frame, bit + 1)?;
            continue;
        };
        let before = second.starts[unit].last;
        let mut missing = last(&first.parts);
        for (missing, before) in missing.iter_mut().zip(before) {
            *missing = missing.wrapping_sub(before);
        }
        #[cfg(test)]
        MET.set(MET.get() + 1);
        second.raise(&first.parts, missing, unit..unit + across * down - done);
        // The rest of a row that is under way goes where its beginning is.
        let mut next = unit;
        if first.unit > 0 {
            next += across - first.unit;
            for part in &first.parts {
                let from = second.strip.plane(part.component);
                let to = first.coefficients.plane(part.component);
                for down in 0..part.down {
                    let columns = first.unit * part.across..across * part.across;
                    for (at, column) in columns.enumerate() {
                        let from = from.block(down, unit * part.across + at)?;
                        *to.block(down, column)? = *from;
                    }
                }
            }
            let row = &first.coefficients;
            first.renderer.add(&|component| row.rows(component, 0));
            first.row += 1;
        }
        for row in 0..down - first.row {
            let strip = &second.strip;
            first
                .renderer
                .add(&|component| strip.part(frame, component, next + row * across));
        }
        break;
    }
    first.renderer.finish()
}
