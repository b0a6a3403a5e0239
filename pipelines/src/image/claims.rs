//! What a file claims of itself that its decoder would believe before anybody can tell it limits.
//!
//! The decoder of TIFF makes room for as many values as a tag says it has, up to 256 MiB, before it reads one; that of WebP
//! makes room for a lossy frame of the size that stands inside the frame, up to 16,383 pixels a side, before it compares
//! it with the image's. Both lists are read here first. What else may be wrong with a file is left to its decoder.

/// Values of a list that describes where a TIFF's pixels are; 100 megapixels in the smallest tiles need 390,625.
const MOST_PARTS: u64 = 1 << 19;

/// Tags whose values a decoder of TIFF lists: sizes, samples, strips and tiles.
const LISTED: [u16; 23] = [
    256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338,
    339, 530, 531, 532,
];

/// Whether the first directory of a TIFF claims no more than the file can have. True of what is no TIFF.
pub(super) fn tiff_is_plausible(bytes: &[u8]) -> bool {
    directory(bytes).is_none_or(|mut entries| entries.all(|entry| entry.is_plausible(bytes.len())))
}

/// An entry of a directory.
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
}

impl Entry {
    fn is_plausible(&self, file: usize) -> bool {
        let size: u64 = match self.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            // Of a type that nobody knows nothing is read.
            _ => return true,
        };
        let fits = self
            .count
            .checked_mul(size)
            .is_some_and(|all| all <= file as u64);
        fits && (self.count <= MOST_PARTS || !LISTED.contains(&self.tag))
    }
}

/// The entries of a TIFF's first directory, as far as they lie in the file.
fn directory(bytes: &[u8]) -> Option<impl Iterator<Item = Entry> + '_> {
    let little = match bytes.get(..2)? {
        b"II" => true,
        b"MM" => false,
        _ => return None,
    };
    // A number of up to eight bytes.
    let number = move |at: usize, size: usize| -> Option<u64> {
        let digits = bytes.get(at..at.checked_add(size)?)?;
        let add = |sum: u64, digit: &u8| sum << 8 | u64::from(*digit);
        Some(match little {
            true => digits.iter().rev().fold(0, add),
            false => digits.iter().fold(0, add),
        })
    };
    let big = number(2, 2)? == 43;
    // Sizes of an offset, of the number of entries, and of an entry.
    let (offset, counter, entry) = if big { (8, 8, 20) } else { (4, 2, 12) };
    let first = usize::try_from(number(if big { 8 } else { 4 }, offset)?).ok()?;
    let count = usize::try_from(number(first, counter)?).ok()?;
    let start = first.checked_add(counter)?;
    let most = bytes.len() / entry;
    Some((0..count.min(most)).map_while(move |index| {
        let at = start.checked_add(index * entry)?;
        Some(Entry {
            tag: number(at, 2)? as u16,
            kind: number(at + 2, 2)? as u16,
            count: number(at + 4, offset)?,
        })
    }))
}

/// Whether no lossy frame of a WebP with a canvas is larger than the canvas. True of what is no such file.
pub(super) fn webp_is_plausible(bytes: &[u8]) -> bool {
    let Some(canvas) = bytes.get(12..30).filter(|head| head.starts_with(b"VP8X")) else {
        // Without a canvas the frame's size is the image's, which has been checked.
        return true;
    };
    let side = |at: usize| 1 + u32::from_le_bytes([canvas[at], canvas[at + 1], canvas[at + 2], 0]);
    frames_fit(&bytes[12..], [side(12), side(15)], false)
}

/// Whether the lossy frames among some chunks fit, those inside an animation's frames included; a frame in a frame is none.
fn frames_fit(mut chunks: &[u8], canvas: [u32; 2], inside: bool) -> bool {
    while let Some((head, rest)) = chunks.split_at_checked(8) {
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let body = &rest[..size.min(rest.len())];
        let fits = match &head[..4] {
            b"VP8 " => lossy_size(body).is_none_or(|[wide, high]| {
                u32::from(wide) <= canvas[0] && u32::from(high) <= canvas[1]
            }),
            // Place, size and time come before the frame's own chunks.
            b"ANMF" if !inside => body
                .get(16..)
                .is_none_or(|frame| frames_fit(frame, canvas, true)),
            _ => true,
        };
        if !fits {
            return false;
        }
        // Chunks begin at even places.
        let next = size.saturating_add(size & 1);
        chunks = rest.get(next..).unwrap_or_default();
    }
    true
}

/// Columns and rows of a lossy frame.
fn lossy_size(frame: &[u8]) -> Option<[u16; 2]> {
    let head = frame
        .get(..10)
        .filter(|head| head[3..6] == [0x9d, 0x01, 0x2a])?;
    let side = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]) & 0x3fff;
    Some([side(6), side(8)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
    use std::io::Cursor;

    fn tiff() -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let image = RgbImage::from_pixel(90, 80, Rgb([1, 2, 3]));
        DynamicImage::from(image)
            .write_to(&mut file, ImageFormat::Tiff)
            .expect("a TIFF");
        file.into_inner()
    }

    #[test]
    fn a_tiff_that_claims_more_values_than_bytes_is_not_believed() {
        let file = tiff();
        assert!(tiff_is_plausible(&file));
        let entries: Vec<Entry> = directory(&file).expect("a directory").collect();
        assert!(entries.iter().any(|entry| entry.tag == 273), "strips");
        // Each entry's count in turn, in the byte order of the file.
        let first = u32::from_le_bytes(file[4..8].try_into().expect("four")) as usize;
        assert_eq!(&file[..2], b"II");
        for index in 0..entries.len() {
            let mut damaged = file.clone();
            let at = first + 2 + 12 * index + 4;
            damaged[at..at + 4].copy_from_slice(&0x0080_0000_u32.to_le_bytes());
            assert!(!tiff_is_plausible(&damaged), "entry {index}");
        }
        // Lists are short even in a long file.
        let mut long = file.clone();
        long.resize(4 << 20, 0);
        let strips = entries
            .iter()
            .position(|entry| entry.tag == 273)
            .expect("strips");
        let at = first + 2 + 12 * strips + 4;
        long[at..at + 4].copy_from_slice(&0x0009_0000_u32.to_le_bytes());
        assert!(!tiff_is_plausible(&long));
    }

    /// A canvas of 16 x 16 and a lossy frame, alone or in an animation.
    fn webp(wide: u16, high: u16, animated: bool) -> Vec<u8> {
        let chunk = |name: &[u8; 4], body: &[u8]| {
            let mut out = name.to_vec();
            out.extend((body.len() as u32).to_le_bytes());
            out.extend(body);
            out.extend(vec![0; body.len() % 2]);
            out
        };
        let mut frame = vec![0x10, 0, 0, 0x9d, 0x01, 0x2a];
        frame.extend(wide.to_le_bytes());
        frame.extend(high.to_le_bytes());
        frame.push(7);
        let mut image = chunk(b"VP8 ", &frame);
        if animated {
            let mut inner = vec![0; 16];
            inner.extend(chunk(b"ALPH", &[1, 2, 3]));
            inner.extend(image);
            image = chunk(b"ANMF", &inner);
        }
        let mut body = b"WEBP".to_vec();
        body.extend(chunk(b"VP8X", &[0, 0, 0, 0, 15, 0, 0, 15, 0, 0]));
        body.extend(chunk(b"EXIF", b"odd"));
        body.extend(image);
        chunk(b"RIFF", &body)
    }

    #[test]
    fn a_webp_frame_larger_than_its_canvas_is_not_believed() {
        for animated in [false, true] {
            assert!(webp_is_plausible(&webp(16, 16, animated)));
            assert!(!webp_is_plausible(&webp(16_383, 16, animated)));
            assert!(!webp_is_plausible(&webp(16, 17, animated)));
        }
    }

    #[test]
    fn what_is_cut_off_anywhere_is_left_to_its_decoder() {
        for file in [tiff(), webp(16, 16, true)] {
            for end in 0..file.len().min(400) {
                let part = &file[..end];
                // Counts no longer fit the file; nothing panics.
                let _ = tiff_is_plausible(part);
                assert!(webp_is_plausible(part));
            }
        }
    }
}
