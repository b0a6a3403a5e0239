//! Scans of progressive files, which bring some coefficients, or one more bit of them.

use super::bits::{Bits, extend};
use super::coefficients::Coefficients;
use super::huffman::{AcTable, DcTable};
use super::markers::{Frame, Reader, Scan, ZIGZAG};
use super::sequential::Units;
use super::stream::Stream;

/// Bits of each coefficient of each component that are still missing; `None` for one that no scan brought yet.
pub struct Precision(Vec<[Option<u32>; 64]>);

impl Precision {
    /// Nothing is known yet.
    pub fn new(frame: &Frame) -> Self {
        Self(vec![[None; 64]; frame.components.len()])
    }

    /// Notes what a scan brings. `None` when it does not go on where earlier ones stopped.
    fn note(&mut self, scan: &Scan) -> Option<()> {
        for part in &scan.components {
            let known = self.0.get_mut(part.component)?;
            // Other coefficients come after the first.
            if scan.start > 0 && known[0].is_none() {
                return None;
            }
            for known in &mut known[scan.start..=scan.end] {
                let wanted = (scan.high > 0).then_some(scan.high);
                if *known != wanted {
                    return None;
                }
                *known = Some(scan.low);
            }
        }
        Some(())
    }
}

/// Reads a scan.
pub fn scan(
    reader: &mut Reader<'_>,
    scan: &Scan,
    frame: &Frame,
    to: &mut Coefficients,
    precision: &mut Precision,
) -> Option<()> {
    precision.note(scan)?;
    let mut stream = Stream::default();
    reader.at = stream.read(reader.bytes(), reader.at)?;
    if scan.start == 0 {
        return first_coefficients(&stream, scan, frame, to);
    }
    let [part] = &scan.components[..] else {
        return None;
    };
    let table = part.ac.as_deref()?;
    let (across, down) = frame.blocks_of(&frame.components[part.component]);
    let (mut counted, mut bits) = Units::new(&stream, scan.interval, across * down)?;
    let plane = to.plane(part.component);
    // Blocks that follow and bring nothing new.
    let mut empty = 0;
    for row in 0..down {
        for column in 0..across {
            if counted.next(&mut bits)? {
                empty = 0;
            }
            let block = plane.block(row, column)?;
            if scan.high == 0 {
                begin(&mut bits, table, scan, &mut empty, block)?;
            } else {
                refine(&mut bits, table, scan, &mut empty, block)?;
            }
        }
    }
    (!bits.is_over()).then_some(())
}

/// Reads the first coefficient of each block, or one more bit of it.
fn first_coefficients(
    stream: &Stream,
    scan: &Scan,
    frame: &Frame,
    to: &mut Coefficients,
) -> Option<()> {
    let alone = scan.components.len() == 1;
    // In a scan of one component a unit is a block.
    let (across, down) = if alone {
        frame.blocks_of(&frame.components[scan.components[0].component])
    } else {
        (frame.units_across(), frame.units_down())
    };
    let (mut counted, mut bits) = Units::new(stream, scan.interval, across * down)?;
    let mut last = [0_i32; 4];
    for row in 0..down {
        for column in 0..across {
            if counted.next(&mut bits)? {
                last = [0; 4];
            }
            for (part, last) in scan.components.iter().zip(&mut last) {
                let component = &frame.components[part.component];
                let (wide, high) = if alone {
                    (1, 1)
                } else {
                    (component.across, component.down)
                };
                let plane = to.plane(part.component);
                for place in 0..wide * high {
                    let (below, beside) = (place / wide, place % wide);
                    let block = plane.block(row * high + below, column * wide + beside)?;
                    bits.fill();
                    if scan.high == 0 {
                        let table: &DcTable = part.dc.as_deref()?;
                        *last = last.wrapping_add(table.read(&mut bits)?);
                        block[0] = (*last << scan.low) as i16;
                    } else {
                        block[0] |= (bits.take(1) << scan.low) as i16;
                    }
                }
            }
        }
    }
    (!bits.is_over()).then_some(())
}

/// The number of blocks that an end of band of this class stands for.
fn band(bits: &mut Bits<'_>, class: u32) -> u32 {
    (1 << class) + bits.take(class)
}

/// Reads the coefficients of a band for the first time (T.81, G.1.2.2).
#[inline(always)]
fn begin(
    bits: &mut Bits<'_>,
    table: &AcTable,
    scan: &Scan,
    empty: &mut u32,
    block: &mut [i16; 64],
) -> Option<()> {
    if *empty > 0 {
        *empty -= 1;
        return Some(());
    }
    let mut place = scan.start;
    while place <= scan.end {
        bits.fill();
        let entry = table.look(bits);
        let value = if entry.value() != 0 {
            bits.skip(entry.bits());
            place += entry.run();
            entry.value()
        } else {
            let symbol = table.symbol(entry, bits)?;
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 {
                if run < 15 {
                    *empty = band(bits, run) - 1;
                    return Some(());
                }
                place += 16;
                continue;
            }
            place += run as usize;
            extend(bits.take(size), size) as i16
        };
        if place > scan.end {
            return None;
        }
        block[usize::from(ZIGZAG[place & 63])] = value << scan.low;
        place += 1;
    }
    // Zeros may not lead beyond the band either.
    (place == scan.end + 1).then_some(())
}

/// Reads one more bit of the coefficients that are not zero, and those that become so (T.81, G.1.2.3).
#[inline(always)]
fn refine(
    bits: &mut Bits<'_>,
    table: &AcTable,
    scan: &Scan,
    empty: &mut u32,
    block: &mut [i16; 64],
) -> Option<()> {
    let bit = 1_i16 << scan.low;
    let mut place = scan.start;
    if *empty == 0 {
        while place <= scan.end {
            bits.fill();
            let entry = table.look(bits);
            let (mut zeros, value) = if entry.value() != 0 {
                bits.skip(entry.bits());
                (entry.run(), entry.value())
            } else {
                let symbol = table.symbol(entry, bits)?;
                let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
                if size == 0 && run < 15 {
                    *empty = band(bits, run);
                    break;
                }
                let value = extend(bits.take(size), size) as i16;
                (run as usize, value)
            };
            if !matches!(value, -1..=1) {
                return None;
            }
            // Past so many zeros, and all that is not zero on the way, to a zero.
            loop {
                if place > scan.end {
                    return None;
                }
                let at = &mut block[usize::from(ZIGZAG[place & 63])];
                place += 1;
                if *at != 0 {
                    correct(bits, at, bit);
                } else if zeros > 0 {
                    zeros -= 1;
                } else {
                    *at = value * bit;
                    break;
                }
            }
        }
    }
    if *empty > 0 {
        *empty -= 1;
        for &at in &ZIGZAG[place..scan.end + 1] {
            let at = &mut block[usize::from(at)];
            if *at != 0 {
                correct(bits, at, bit);
            }
        }
    }
    Some(())
}

/// Reads one more bit of a coefficient.
#[inline(always)]
fn correct(bits: &mut Bits<'_>, value: &mut i16, bit: i16) {
    bits.fill();
    // A bit that is already there would be a damaged file's.
    if bits.take(1) != 0 && *value & bit == 0 {
        *value = value.wrapping_add(if *value < 0 { -bit } else { bit });
    }
}
