//! Images that no library would write: with an orientation, cut off, or announcing what they do not hold.

use image::{DynamicImage, ImageFormat};
use std::io::Cursor;

/// A golden image, decoded.
pub fn decoded(name: &str) -> DynamicImage {
    image::load_from_memory(&super::golden_image(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The image in a format.
pub fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let rgb = DynamicImage::ImageRgb8(image.to_rgb8());
    rgb.write_to(&mut bytes, format)
        .unwrap_or_else(|error| panic!("{format:?}: {error}"));
    bytes.into_inner()
}

/// A high-quality JPEG.
pub fn jpeg(image: &DynamicImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 97);
    image.to_rgb8().write_with_encoder(encoder).expect("JPEG");
    bytes
}

/// Stored so that a reader who honours EXIF orientation `orientation` (1 to 8) sees `upright`.
pub fn jpeg_with_orientation(upright: &DynamicImage, orientation: u16) -> Vec<u8> {
    // The inverse of what the tag asks the reader to do (CIPA DC-008, tag 0x0112).
    let stored = match orientation {
        1 => upright.clone(),
        2 => upright.fliph(),
        3 => upright.rotate180(),
        4 => upright.flipv(),
        5 => upright.rotate90().fliph(),
        6 => upright.rotate270(),
        7 => upright.rotate270().fliph(),
        8 => upright.rotate90(),
        other => panic!("no orientation {other}"),
    };
    let jpeg = jpeg(&stored);
    // Big-endian TIFF with one entry: tag 0x0112, type SHORT, count 1.
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
    exif.extend_from_slice(&orientation.to_be_bytes());
    exif.extend_from_slice(&[0; 6]);
    let length = u16::try_from(exif.len() + 2).expect("a short segment");
    let mut out = jpeg[..2].to_vec();
    out.extend_from_slice(&[0xff, 0xe1]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&exif);
    out.extend_from_slice(&jpeg[2..]);
    out
}

/// A PNG of a few bytes whose header announces this size.
pub fn png_bomb(width: u32, height: u32) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = width.to_be_bytes().to_vec();
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    chunk(&mut out, b"IHDR", &header);
    // An empty zlib stream: the announced pixels are not there.
    chunk(&mut out, b"IDAT", &[0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]);
    chunk(&mut out, b"IEND", &[]);
    out
}

/// Adds a chunk of a PNG.
pub fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend_from_slice(&u32::try_from(data.len()).expect("short").to_be_bytes());
    let start = out.len();
    out.extend_from_slice(kind);
    out.extend_from_slice(data);
    let crc = crc32(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
}

/// The checksum of PNG chunks (ISO 3309).
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// A real JPEG whose frame header was changed to announce this size.
pub fn jpeg_bomb(width: u16, height: u16) -> Vec<u8> {
    let mut jpeg = jpeg(&DynamicImage::new_rgb8(96, 96));
    let at = jpeg
        .windows(2)
        .position(|marker| marker == [0xff, 0xc0])
        .expect("a baseline frame header");
    jpeg[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
    jpeg[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
    jpeg
}

/// A real GIF whose screen and frame were changed to announce the largest size there is.
pub fn gif_bomb() -> Vec<u8> {
    let mut gif = encoded(&DynamicImage::new_rgb8(96, 96), ImageFormat::Gif);
    gif[6..10].fill(0xff);
    let side = 96_u16.to_le_bytes();
    let size = [side[0], side[1], side[0], side[1]];
    let at = gif
        .windows(9)
        .position(|bytes| bytes[0] == 0x2c && bytes[5..9] == size)
        .expect("an image descriptor");
    gif[at + 5..at + 9].fill(0xff);
    gif
}

/// Bytes that follow no format, the same on every run.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
