//! Segments of a file: sizes, tables, and what a scan brings.

use super::huffman::{AcTable, DcTable};
use std::sync::Arc;

/// Places of coefficients in the order of the file; natural order is row by row.
pub const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Steps of quantization in natural order.
pub type Quantizer = [u16; 64];

/// A colour's part of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// By this scans name it.
    name: u8,
    /// Blocks of a unit across.
    pub across: usize,
    /// Blocks of a unit down.
    pub down: usize,
    /// Which quantizer it has.
    quantizer: usize,
}

/// What a frame's header says, of the kinds that are read here.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Columns of pixels.
    pub width: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Whether scans refine each other.
    pub progressive: bool,
    /// One or three.
    pub components: Vec<Component>,
    /// Most blocks of a unit across.
    pub most_across: usize,
    /// Most blocks of a unit down.
    pub most_down: usize,
}

impl Frame {
    fn read(marker: u8, body: &[u8]) -> Option<Self> {
        let (&[precision, h1, h0, w1, w0, count], parts) = body.split_first_chunk()?;
        let parts = parts.as_chunks::<3>();
        let well = precision == 8 && parts.0.len() == usize::from(count) && parts.1.is_empty();
        if !well || !matches!(count, 1 | 3) || !matches!(marker, 0xc0..=0xc2) {
            return None;
        }
        let mut components: Vec<Component> = parts
            .0
            .iter()
            .map(|&[name, factors, quantizer]| Component {
                name,
                across: usize::from(factors >> 4),
                down: usize::from(factors & 15),
                quantizer: usize::from(quantizer),
            })
            .collect();
        // Factors of one component alone say nothing.
        if let [only] = &mut components[..]
            && (1..=4).contains(&only.across)
            && (1..=4).contains(&only.down)
        {
            (only.across, only.down) = (1, 1);
        }
        let most_across = components.iter().map(|part| part.across).max()?;
        let most_down = components.iter().map(|part| part.down).max()?;
        let plain = components.iter().all(|part| {
            (1..=4).contains(&part.across)
                && (1..=4).contains(&part.down)
                && most_across.is_multiple_of(part.across)
                && most_down.is_multiple_of(part.down)
                && part.quantizer < 4
        });
        let blocks: usize = components.iter().map(|part| part.across * part.down).sum();
        let names_differ = components
            .iter()
            .enumerate()
            .all(|(at, part)| components[..at].iter().all(|other| other.name != part.name));
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        (plain && blocks <= 10 && names_differ && width > 0 && height > 0).then_some(Self {
            width: width.into(),
            height: height.into(),
            progressive: marker == 0xc2,
            components,
            most_across,
            most_down,
        })
    }

    /// Units in a row.
    pub fn units_across(&self) -> usize {
        self.width.div_ceil(8 * self.most_across)
    }

    /// Rows of units.
    pub fn units_down(&self) -> usize {
        self.height.div_ceil(8 * self.most_down)
    }

    /// Blocks of a component that hold pixels: across and down. In scans of this component alone there are no others.
    pub fn blocks_of(&self, part: &Component) -> (usize, usize) {
        let across = (self.width * part.across).div_ceil(8 * self.most_across);
        let down = (self.height * part.down).div_ceil(8 * self.most_down);
        (across, down)
    }

    /// Blocks of all components, with those that only fill units.
    pub fn blocks(&self) -> u64 {
        let rows = self
            .components
            .iter()
            .map(|part| super::coefficients::pitch(self, part) * part.down * self.units_down());
        rows.sum::<usize>() as u64
    }
}

/// What three components are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// One component.
    Grey,
    /// Luminance and two differences of colour.
    YCbCr,
    /// Red, green and blue.
    Rgb,
}

/// A component in a scan.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its place in the frame.
    pub component: usize,
    /// Codes of first coefficients.
    pub dc: Option<Arc<DcTable>>,
    /// Codes of the others.
    pub ac: Option<Arc<AcTable>>,
}

/// A scan's header.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Its components in the order of the file.
    pub components: Vec<Part>,
    /// First coefficient, in the order of the file.
    pub start: usize,
    /// Last coefficient.
    pub end: usize,
    /// Bits that an earlier scan brought the precision to; zero for a first.
    pub high: u32,
    /// Bits that are still missing afterwards.
    pub low: u32,
    /// Units between restart markers; zero for none.
    pub interval: usize,
}

/// What follows.
#[derive(Debug)]
pub enum Step {
    /// The data of a scan; where it begins is the reader's place.
    Scan(Scan),
    /// The end of the image.
    End,
}

/// Goes through segments and keeps the tables they define.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// The place of the next segment, or of a scan's data.
    pub at: usize,
    frame: Option<Frame>,
    quantizers: [Option<Quantizer>; 4],
    dc: [Option<Arc<DcTable>>; 4],
    ac: [Option<Arc<AcTable>>; 4],
    interval: usize,
    jfif: bool,
    adobe: Option<u8>,
}

/// The next marker with its segment, and the place behind it. Markers without a segment have an empty one.
fn segment(bytes: &[u8], mut at: usize) -> Option<(u8, &[u8], usize)> {
    if *bytes.get(at)? != 0xff {
        return None;
    }
    // Any number of fill bytes.
    while *bytes.get(at + 1)? == 0xff {
        at += 1;
    }
    let marker = bytes[at + 1];
    if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd9) {
        return Some((marker, &[], at + 2));
    }
    let length = bytes.get(at + 2..at + 4)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let end = at + 2 + length;
    Some((marker, bytes.get(at + 4..end)?, end))
}

/// What stands before the first scan, as far as it concerns those who decode no pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Header<'a> {
    /// Columns as stored.
    pub width: u32,
    /// Rows as stored.
    pub height: u32,
    /// The EXIF segment's TIFF.
    pub exif: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// Reads it. `None` for what [`super::decode`] would not decode whatever follows.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (0xd8, _, mut at) = segment(bytes, 0)? else {
            return None;
        };
        let mut exif = None;
        let mut frame = None;
        loop {
            let (marker, body, next) = segment(bytes, at)?;
            at = next;
            match marker {
                0xda => break,
                0xe1 if exif.is_none() => exif = body.strip_prefix(b"Exif\0\0"),
                0xc4 | 0xcc | 0xdb | 0xdd | 0xe0..=0xef | 0xfe => {}
                0xc0..=0xc2 if frame.is_none() => frame = Some(Frame::read(marker, body)?),
                _ => return None,
            }
        }
        let frame = frame?;
        Some(Self {
            width: frame.width as u32,
            height: frame.height as u32,
            exif,
        })
    }
}

impl<'a> Reader<'a> {
    /// A reader behind the first marker.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (0xd8, _, at) = segment(bytes, 0)? else {
            return None;
        };
        Some(Self {
            bytes,
            at,
            frame: None,
            quantizers: [None; 4],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            interval: 0,
            jfif: false,
            adobe: None,
        })
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The frame, once its header was met.
    pub fn frame(&self) -> Option<&Frame> {
        self.frame.as_ref()
    }

    /// Reads segments up to the next scan, or the end.
    pub fn step(&mut self) -> Option<Step> {
        loop {
            let (marker, body, next) = segment(self.bytes, self.at)?;
            self.at = next;
            match marker {
                0xd9 => return self.frame.is_some().then_some(Step::End),
                0xda => return self.scan(body).map(Step::Scan),
                0xdb => self.add_quantizers(body)?,
                0xc4 => self.add_codes(body)?,
                0xdd => {
                    let interval: [u8; 2] = body.try_into().ok()?;
                    self.interval = u16::from_be_bytes(interval).into();
                }
                0xc0..=0xc2 if self.frame.is_none() => {
                    self.frame = Some(Frame::read(marker, body)?);
                }
                0xe0 if body.starts_with(b"JFIF\0") => self.jfif = true,
                0xee if body.starts_with(b"Adobe") => {
                    self.adobe = body.get(11).copied().or(self.adobe);
                }
                // Arithmetic coding's tables mean nothing here.
                0xcc | 0xe0..=0xef | 0xfe => {}
                _ => return None,
            }
        }
    }

    fn add_quantizers(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&head, rest)) = body.split_first() {
            let (wide, place) = (head >> 4, usize::from(head & 15));
            let mut quantizer = [0; 64];
            let size = if wide == 0 { 64 } else { 128 };
            let (values, rest) = rest.split_at_checked(size)?;
            for (at, &natural) in ZIGZAG.iter().enumerate() {
                quantizer[usize::from(natural)] = match wide {
                    0 => values[at].into(),
                    1 => u16::from_be_bytes([values[2 * at], values[2 * at + 1]]),
                    _ => return None,
                };
            }
            *self.quantizers.get_mut(place)? = Some(quantizer);
            body = rest;
        }
        Some(())
    }

    fn add_codes(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&head, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let count = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(count)?;
            let place = usize::from(head & 15);
            match head >> 4 {
                0 => {
                    *self.dc.get_mut(place)? = Some(Arc::new(DcTable::new(counts, symbols)?));
                }
                1 => {
                    *self.ac.get_mut(place)? = Some(Arc::new(AcTable::new(counts, symbols)?));
                }
                _ => return None,
            }
            body = rest;
        }
        Some(())
    }

    fn scan(&self, body: &[u8]) -> Option<Scan> {
        let frame = self.frame()?;
        let (&count, rest) = body.split_first()?;
        let (parts, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let &[start, end, bits] = rest else {
            return None;
        };
        let mut components = Vec::new();
        for &[name, tables] in parts.as_chunks::<2>().0 {
            let is_named = |part: &Component| part.name == name;
            let component = frame.components.iter().position(is_named)?;
            // Each once, in the order of the frame.
            if components
                .last()
                .is_some_and(|last: &Part| last.component >= component)
            {
                return None;
            }
            components.push(Part {
                component,
                dc: self.dc.get(usize::from(tables >> 4))?.clone(),
                ac: self.ac.get(usize::from(tables & 15))?.clone(),
            });
        }
        let scan = Scan {
            components,
            start: start.into(),
            end: end.into(),
            high: (bits >> 4).into(),
            low: (bits & 15).into(),
            interval: self.interval,
        };
        let whole = (scan.start, scan.end, scan.high, scan.low) == (0, 63, 0, 0);
        let refines = if scan.start == 0 {
            scan.end == 0
        } else {
            scan.end >= scan.start && scan.end < 64 && scan.components.len() == 1
        };
        let step = scan.low <= 13 && (scan.high == 0 || scan.high == scan.low + 1);
        let fits = if frame.progressive {
            refines && step
        } else {
            whole
        };
        (fits && !scan.components.is_empty()).then_some(scan)
    }

    /// Fixes the quantizers of components that are scanned for the first time: tables may be defined anew later.
    pub fn latch(&self, scan: &Scan, quantizers: &mut [Option<Quantizer>]) -> Option<()> {
        let frame = self.frame()?;
        for part in &scan.components {
            let to = quantizers.get_mut(part.component)?;
            if to.is_none() {
                *to = Some(self.quantizers[frame.components[part.component].quantizer]?);
            }
        }
        Some(())
    }

    /// What the components are, as libjpeg tells it: a JFIF file is YCbCr, else Adobe's segment says it, else names.
    pub fn colours(&self) -> Option<Colours> {
        let parts = &self.frame()?.components;
        let [red, green, blue] = &parts[..] else {
            return Some(Colours::Grey);
        };
        let named_rgb = [red.name, green.name, blue.name] == *b"RGB";
        Some(match (self.jfif, self.adobe) {
            (false, Some(0)) => Colours::Rgb,
            (false, None) if named_rgb => Colours::Rgb,
            _ => Colours::YCbCr,
        })
    }
}
