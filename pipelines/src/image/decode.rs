//! From the bytes of a file to upright RGB pixels, within limits.
//!
//! The format is told by content: JPEG, PNG, WebP, GIF (first frame), BMP, TIFF. The header is read
//! first, so that an image that is too large is refused before anything of its size is allocated
//! (decompression bombs), and every decoder works under an allocation limit.
//!
//! What comes out: 8 bits per channel (16-bit samples are scaled, grey is spread over the three channels,
//! CMYK is converted), upright (the EXIF or TIFF orientation is applied), opaque (transparent pixels are
//! laid over white, as a browser page shows them; dropping the alpha channel would show colours that
//! nobody sees). Embedded colour profiles are not applied.
//!
//! JPEGs are decoded by [`jpeg`], as libjpeg-turbo decodes them; what it does not know or finds damaged goes to the decoder
//! of `image`, which may read it, or says what is wrong.
//!
//! Bytes that are not a whole image are an error of kind `InvalidImage`.

// Named, so that the fuzz target, which takes this file alone, finds it too.
#[path = "claims.rs"]
mod claims;
#[path = "jpeg/mod.rs"]
mod jpeg;

use crate::error::{Error, Kind, Result};
use claims::{tiff_is_plausible, webp_is_plausible};
use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage,
};
pub use jpeg::{Alone, Threads};
use std::io::Cursor;

/// Most bytes that a decoder may hold for one image: 100 megapixels of RGBA.
const MAX_ALLOCATION: u64 = 400_000_000;
/// Most bytes that reading a header may hold: one row of pixels, and a colour profile, which a PNG compresses.
const MAX_HEADER_ALLOCATION: u64 = 16 << 20;

/// Bounds on an image. The defaults are those of Rekognition's DetectLabels for inline images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Most bytes of the encoded image.
    pub max_bytes: usize,
    /// Most pixels, width times height.
    pub max_pixels: u64,
    /// Most pixels along either side.
    pub max_side: u32,
    /// Least pixels along either side.
    pub min_side: u32,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self {
            max_bytes: 5_242_880,
            max_pixels: 100_000_000,
            max_side: 10_000,
            min_side: 80,
        }
    }
}

impl ImageLimits {
    /// The same for images of any size down to one pixel: the least is Rekognition's, not that of networks.
    pub fn of_any_size(self) -> Self {
        Self {
            min_side: 1,
            ..self
        }
    }

    /// What an image costs before it is decoded: its pixels, or its bytes where these are more. Nothing for one
    /// that will be refused.
    pub fn cost(&self, bytes: &[u8]) -> u64 {
        self.check(bytes).map_or(0, |(width, height)| {
            (u64::from(width) * u64::from(height)).max(bytes.len() as u64)
        })
    }

    /// Reads the header and checks every bound; width and height as stored in the file.
    ///
    /// # Errors
    /// `TooLarge` above a bound, `InvalidInput` below the smallest side, and those of [`dimensions`].
    pub fn check(&self, bytes: &[u8]) -> Result<(u32, u32)> {
        if bytes.len() > self.max_bytes {
            return Err(Error::new(
                Kind::TooLarge,
                format!(
                    "the image has {} bytes; at most {} are allowed",
                    bytes.len(),
                    self.max_bytes
                ),
            ));
        }
        let (width, height) = dimensions(bytes)?;
        if width > self.max_side || height > self.max_side {
            return Err(Error::new(
                Kind::TooLarge,
                format!(
                    "the image is {width}x{height} pixels; at most {} a side are allowed",
                    self.max_side
                ),
            ));
        }
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(Error::new(
                Kind::TooLarge,
                format!(
                    "the image is {width}x{height} pixels; at most {} are allowed",
                    self.max_pixels
                ),
            ));
        }
        if width < self.min_side || height < self.min_side {
            return Err(Error::new(
                Kind::InvalidInput,
                format!(
                    "the image is {width}x{height} pixels; at least {} a side are needed",
                    self.min_side
                ),
            ));
        }
        Ok((width, height))
    }
}

/// Width and height from the header, as stored in the file (before orientation). Decodes no pixels.
///
/// # Errors
/// `InvalidImage` when the bytes are not of a supported format or the header is damaged.
pub fn dimensions(bytes: &[u8]) -> Result<(u32, u32)> {
    if let Some(header) = jpeg::Header::read(bytes) {
        return Ok((header.width, header.height));
    }
    let (width, height) = decoder(bytes)?.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::new(Kind::InvalidImage, "the image has no pixels"));
    }
    Ok((width, height))
}

/// Decodes an image that keeps `limits` into upright RGB pixels.
///
/// # Errors
/// `TooLarge` and `InvalidInput` as [`ImageLimits::check`], `InvalidImage` when the bytes are not of a
/// supported format, end early or are damaged.
pub fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<RgbImage> {
    decode_for(bytes, limits, Detail::Whole, &Alone).map(|decoded| decoded.pixels)
}

/// How much of an image its reader needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All its pixels.
    Whole,
    /// At least so many pixels along the shorter side, where there are as many.
    Shorter(u32),
    /// At least so many along the longer side.
    Longer(u32),
}

impl Detail {
    /// The largest of 8, 4 and 2 by which an image of this size may be made smaller.
    fn divisor(self, width: u32, height: u32) -> u32 {
        let (side, least) = match self {
            Self::Whole => return 1,
            Self::Shorter(least) => (width.min(height), least),
            Self::Longer(least) => (width.max(height), least),
        };
        let enough = |by: &u32| side / by >= least.max(1);
        [8, 4, 2].into_iter().find(enough).unwrap_or(1)
    }
}

/// An upright image, perhaps smaller than that of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// Its pixels.
    pub pixels: RgbImage,
    /// Columns of the file's image, upright.
    pub width: u32,
    /// Rows of the file's image, upright.
    pub height: u32,
}

/// As [`decode`], but a JPEG comes out at a half, a quarter or an eighth of its size where `detail` allows it, and `threads`
/// may share the work.
///
/// Pixels of the smaller image are made from the low frequencies of each block of 8 x 8, as libjpeg makes them (and
/// Pillow's `draft`): nothing of a large image's size is held, and most of the time that pixels take is saved.
///
/// # Errors
/// As [`decode`].
pub fn decode_for(
    bytes: &[u8],
    limits: &ImageLimits,
    detail: Detail,
    threads: &dyn Threads,
) -> Result<Decoded> {
    let (width, height) = limits.check(bytes)?;
    let (image, orientation) = match photograph(bytes, detail, threads) {
        Some(photograph) => photograph,
        None => other(bytes, limits, (width, height), detail)?,
    };
    let mut upright = DynamicImage::ImageRgb8(image);
    upright.apply_orientation(orientation);
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let lies = matches!(
        orientation,
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH
    );
    let (width, height) = if lies {
        (height, width)
    } else {
        (width, height)
    };
    Ok(Decoded {
        pixels: upright.into_rgb8(),
        width,
        height,
    })
}

/// A JPEG of the usual kinds, and how it lies. `None` for every other file, and for what is damaged.
fn photograph(
    bytes: &[u8],
    detail: Detail,
    threads: &dyn Threads,
) -> Option<(RgbImage, Orientation)> {
    let header = jpeg::Header::read(bytes)?;
    let divisor = detail.divisor(header.width, header.height);
    let size = (
        header.width.div_ceil(divisor),
        header.height.div_ceil(divisor),
    );
    let pixels = jpeg::decode(bytes, divisor as usize, MAX_ALLOCATION, threads)?;
    let image = RgbImage::from_raw(size.0, size.1, pixels)?;
    let orientation = header.exif.and_then(Orientation::from_exif_chunk);
    Some((image, orientation.unwrap_or(Orientation::NoTransforms)))
}

/// Any image of this size, and how it lies.
fn other(
    bytes: &[u8],
    limits: &ImageLimits,
    (width, height): (u32, u32),
    detail: Detail,
) -> Result<(RgbImage, Orientation)> {
    let mut divisor = 1;
    if is_jpeg(bytes) {
        let jpeg = Jpeg::scan(bytes)?;
        jpeg.check(width, height)?;
        if jpeg.can_shrink {
            divisor = detail.divisor(width, height);
        }
    }
    let mut decoder = decoder(bytes)?;
    if decoder.dimensions() != (width, height) {
        return Err(Error::new(
            Kind::InvalidImage,
            "the image is damaged: its headers contradict each other",
        ));
    }
    // A picture with unreadable metadata is still a picture; viewers show it as stored.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let small = (divisor > 1).then(|| shrunk(bytes, (width, height), divisor));
    if let Some(small) = small.flatten() {
        return Ok((small, orientation));
    }
    // What one decoder finds damaged another may read.
    let mut bounds = Limits::default();
    bounds.max_image_width = Some(limits.max_side);
    bounds.max_image_height = Some(limits.max_side);
    // The pixels once more for the way to them, and what a header may hold.
    let needed = decoder.total_bytes().saturating_mul(2);
    let needed = needed.saturating_add(MAX_HEADER_ALLOCATION);
    bounds.max_alloc = Some(needed.min(MAX_ALLOCATION));
    decoder.set_limits(bounds).map_err(damaged)?;
    if decoder.total_bytes() > MAX_ALLOCATION {
        return Err(too_much(decoder.total_bytes()));
    }
    Ok((opaque(decoder)?, orientation))
}

fn too_much(bytes: u64) -> Error {
    Error::new(
        Kind::TooLarge,
        format!("the image needs {bytes} bytes when decoded; at most {MAX_ALLOCATION} are allowed"),
    )
}

/// A JPEG of this size, each side divided and rounded up. `None` when it cannot be had so.
fn shrunk(bytes: &[u8], (width, height): (u32, u32), divisor: u32) -> Option<RgbImage> {
    let (columns, rows) = (width.div_ceil(divisor), height.div_ceil(divisor));
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(MAX_ALLOCATION as usize);
    let asked = (u16::try_from(columns).ok()?, u16::try_from(rows).ok()?);
    if decoder.scale(asked.0, asked.1).ok()? != asked {
        return None;
    }
    let pixels = decoder.decode().ok()?;
    let grey = (columns * rows) as usize;
    if pixels.len() == grey {
        let spread = pixels.into_iter().flat_map(|value| [value; 3]).collect();
        return RgbImage::from_raw(columns, rows, spread);
    }
    // `from_raw` would take a longer list, too.
    (pixels.len() == 3 * grey)
        .then(|| RgbImage::from_raw(columns, rows, pixels))
        .flatten()
}

/// A decoder for the format that the content shows, with what its header may hold.
fn decoder(bytes: &[u8]) -> Result<impl ImageDecoder + '_> {
    let unsupported = || {
        Error::new(
            Kind::InvalidImage,
            "the image is not a JPEG, PNG, WebP, GIF, BMP or TIFF file",
        )
    };
    let format = image::guess_format(bytes).map_err(|source| unsupported().with_source(source))?;
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    if !matches!(format, Jpeg | Png | WebP | Gif | Bmp | Tiff) {
        return Err(unsupported());
    }
    let plausible = match format {
        Tiff => tiff_is_plausible(bytes),
        WebP => webp_is_plausible(bytes),
        _ => true,
    };
    if !plausible {
        return Err(Error::new(
            Kind::InvalidImage,
            "the image is damaged: its header claims more than the file can hold",
        ));
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut bounds = Limits::no_limits();
    bounds.max_alloc = Some(MAX_HEADER_ALLOCATION);
    reader.limits(bounds);
    reader.into_decoder().map_err(damaged)
}

fn damaged(source: ImageError) -> Error {
    let error = match &source {
        ImageError::Limits(_) => Error::new(
            Kind::TooLarge,
            "the image needs more memory than is allowed",
        ),
        ImageError::Unsupported(_) => Error::new(
            Kind::InvalidImage,
            format!("the image uses a feature that is not supported: {source}"),
        ),
        _ => Error::new(
            Kind::InvalidImage,
            format!("the image is damaged: {source}"),
        ),
    };
    error.with_source(source)
}

/// RGB over white. Pixels of more bytes are packed where they lie, so that large images are held once.
fn opaque(decoder: impl ImageDecoder) -> Result<RgbImage> {
    let (width, height) = decoder.dimensions();
    let kind = decoder.color_type();
    if !matches!(
        kind,
        ColorType::Rgba8 | ColorType::Rgb16 | ColorType::Rgba16 | ColorType::La16
    ) {
        let image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
        if !image.color().has_alpha() {
            return Ok(image.into_rgb8());
        }
        let source = image.into_rgba8();
        let flat = source.pixels().flat_map(|pixel| over_white(pixel.0));
        return RgbImage::from_raw(width, height, flat.collect()).ok_or_else(shapeless);
    }
    let mut pixels = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut pixels).map_err(damaged)?;
    // 16 bits to 8, rounded.
    let top = |high: u8, low: u8| ((u32::from(u16::from_ne_bytes([high, low])) + 128) / 257) as u8;
    match kind {
        ColorType::Rgba8 => pack(&mut pixels, over_white),
        ColorType::Rgb16 => pack(&mut pixels, |[a, b, c, d, e, f]| {
            [top(a, b), top(c, d), top(e, f)]
        }),
        ColorType::La16 => pack(&mut pixels, |[a, b, c, d]| {
            let grey = top(a, b);
            over_white([grey, grey, grey, top(c, d)])
        }),
        _ => pack(&mut pixels, |[a, b, c, d, e, f, g, h]| {
            over_white([top(a, b), top(c, d), top(e, f), top(g, h)])
        }),
    }
    RgbImage::from_raw(width, height, pixels).ok_or_else(shapeless)
}

/// Makes pixels of three bytes of such of `SIZE`, which are as many or more, in place.
fn pack<const SIZE: usize>(pixels: &mut Vec<u8>, rgb: impl Fn([u8; SIZE]) -> [u8; 3]) {
    let count = pixels.len() / SIZE;
    let mut pixel = [0; SIZE];
    for at in 0..count {
        pixel.copy_from_slice(&pixels[at * SIZE..(at + 1) * SIZE]);
        pixels[at * 3..at * 3 + 3].copy_from_slice(&rgb(pixel));
    }
    pixels.truncate(count * 3);
    pixels.shrink_to_fit();
}

fn over_white([red, green, blue, alpha]: [u8; 4]) -> [u8; 3] {
    let alpha = u32::from(alpha);
    // Rounded division by 255; at most 255.
    [red, green, blue]
        .map(|value| ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
}

fn shapeless() -> Error {
    Error::new(Kind::Internal, "a decoder gave another number of pixels")
}

fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// What the segments of a JPEG file say.
#[derive(Debug, PartialEq)]
struct Jpeg {
    /// Bytes that coefficients take while they are collected: those of a file of several scans, else none.
    coefficients: u64,
    /// Whether it is of the kinds that the decoder for smaller images knows.
    can_shrink: bool,
}

impl Jpeg {
    /// Follows the segments to the end-of-image marker.
    ///
    /// A decoder fills what is missing of a truncated file with grey and reports success, which would give a
    /// confident answer about a picture that nobody sent.
    ///
    /// # Errors
    /// `InvalidImage` when they do not lead there.
    fn scan(bytes: &[u8]) -> Result<Self> {
        let cut = || Error::new(Kind::InvalidImage, "the image is damaged: it ends early");
        let mut jpeg = Self {
            coefficients: 0,
            can_shrink: true,
        };
        let (mut frames, mut scans) = (0, 0);
        let (mut blocks, mut all_at_once) = (0, true);
        let mut at = 2;
        loop {
            // Markers may be preceded by any number of fill bytes.
            while bytes.get(at) == Some(&0xff) && bytes.get(at + 1) == Some(&0xff) {
                at += 1;
            }
            let (Some(&0xff), Some(&marker)) = (bytes.get(at), bytes.get(at + 1)) else {
                return Err(cut());
            };
            at += 2;
            match marker {
                0xd9 => break,
                // Markers without a length: restarts, a repeated start, and TEM.
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let (Some(&high), Some(&low)) = (bytes.get(at), bytes.get(at + 1)) else {
                return Err(cut());
            };
            let length = usize::from(u16::from_be_bytes([high, low])).max(2);
            let segment = bytes.get(at + 2..at + length).unwrap_or_default();
            at += length;
            match marker {
                // Frames: all of 0xc0 to 0xcf but tables of Huffman codes, an extension and arithmetic coding.
                0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                    frames += 1;
                    all_at_once = matches!(marker, 0xc0 | 0xc1);
                    let frame = Frame::read(segment);
                    jpeg.can_shrink &=
                        matches!(marker, 0xc0..=0xc2) && frame.is_some_and(|f| f.is_plain);
                    blocks = frame.map_or(0, |frame| frame.blocks);
                }
                // Adobe's: what the components are. 1 is luminance and two colours.
                0xee if segment.starts_with(b"Adobe") => {
                    jpeg.can_shrink &= segment.get(11) == Some(&1);
                }
                _ => {}
            }
            if marker == 0xda {
                scans += 1;
                // Compressed data: up to a 0xff that is neither stuffed (00) nor a restart marker.
                loop {
                    let Some(skipped) = bytes
                        .get(at..)
                        .and_then(|rest| rest.iter().position(|&byte| byte == 0xff))
                    else {
                        return Err(cut());
                    };
                    at += skipped;
                    match bytes.get(at + 1) {
                        None => return Err(cut()),
                        Some(0x00 | 0xd0..=0xd7) => at += 2,
                        Some(_) => break,
                    }
                }
            }
        }
        jpeg.can_shrink &= frames == 1 && scans > 0;
        if !all_at_once || scans > 1 {
            // 64 numbers of 16 bits each.
            jpeg.coefficients = blocks * 128;
        }
        Ok(jpeg)
    }

    /// Whether decoding keeps the limit on memory, which decoders for JPEG do not know.
    fn check(&self, width: u32, height: u32) -> Result<()> {
        let needed = self.coefficients + 3 * u64::from(width) * u64::from(height);
        if needed > MAX_ALLOCATION {
            return Err(too_much(needed));
        }
        Ok(())
    }
}

/// What the header of a JPEG's frame says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Frame {
    /// Blocks of 8 x 8 of all components together.
    blocks: u64,
    /// Whether it is grey, or of luminance and two colours, in 8 bits.
    is_plain: bool,
}

impl Frame {
    fn read(segment: &[u8]) -> Option<Self> {
        let (&[precision, h1, h0, w1, w0, count], components) = segment.split_first_chunk()?;
        let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
        let components = components.get(..3 * usize::from(count))?.as_chunks::<3>().0;
        let across = || components.iter().map(|part| u64::from(part[1] >> 4));
        let down = || components.iter().map(|part| u64::from(part[1] & 15));
        let (most_across, most_down) = (across().max()?, down().max()?);
        // Whole units, which hold as many blocks of a component as its factors say.
        let units = |side: u16, most: u64| u64::from(side).div_ceil(8 * most.max(1));
        let units = units(width, most_across) * units(height, most_down);
        let each = across().zip(down()).map(|(a, d)| a * d);
        let names: Vec<u8> = components.iter().map(|part| part[0]).collect();
        Some(Self {
            blocks: units * each.sum::<u64>(),
            is_plain: precision == 8 && (count == 1 || count == 3 && names != *b"RGB"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{GenericImageView, GrayImage, ImageBuffer, Luma, Rgb, Rgba, RgbaImage};
    use proptest::prelude::*;

    const ANY: ImageLimits = ImageLimits {
        max_bytes: usize::MAX,
        max_pixels: 100_000_000,
        max_side: 10_000,
        min_side: 1,
    };
    const FORMATS: [ImageFormat; 6] = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ];

    /// A picture without symmetry: red grows to the right, green downwards, blue in one corner.
    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let corner = if x < width / 4 && y < height / 4 {
                255
            } else {
                0
            };
            Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, corner])
        })
    }

    fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
        assert_eq!(a.dimensions(), b.dimensions());
        let sum: u64 = a
            .as_raw()
            .iter()
            .zip(b.as_raw())
            .map(|(&a, &b)| u64::from(a.abs_diff(b)))
            .sum();
        sum as f64 / a.as_raw().len() as f64
    }

    #[test]
    fn every_format_is_told_by_content_and_decoded() {
        let original = picture(100, 90);
        for format in FORMATS {
            let bytes = encode(&DynamicImage::ImageRgb8(original.clone()), format);
            assert_eq!(dimensions(&bytes).unwrap(), (100, 90), "{format:?}");
            let decoded = decode(&bytes, &ImageLimits::default()).unwrap();
            // JPEG is lossy and a GIF has 256 colours; the others are exact.
            let allowed = match format {
                ImageFormat::Jpeg => 6.0,
                ImageFormat::Gif => 8.0,
                _ => 0.0,
            };
            assert!(difference(&decoded, &original) <= allowed, "{format:?}");
        }
    }

    #[test]
    fn deep_grey_and_transparent_pixels_become_opaque_rgb8() {
        let deep: ImageBuffer<Rgb<u16>, Vec<u16>> =
            ImageBuffer::from_fn(80, 80, |x, _| Rgb([(x * 800) as u16, 0, 65535]));
        let decoded = decode(
            &encode(&DynamicImage::ImageRgb16(deep), ImageFormat::Png),
            &ANY,
        )
        .unwrap();
        assert_eq!(
            decoded.get_pixel(79, 0).0,
            [((79 * 800 + 128) / 257) as u8, 0, 255]
        );

        let grey = GrayImage::from_fn(80, 80, |x, _| Luma([x as u8]));
        let decoded = decode(
            &encode(&DynamicImage::ImageLuma8(grey), ImageFormat::Png),
            &ANY,
        )
        .unwrap();
        assert_eq!(decoded.get_pixel(33, 5).0, [33; 3]);

        let glass = RgbaImage::from_fn(80, 80, |x, _| {
            Rgba([10, 20, 30, [0, 128, 255, 64][x as usize % 4]])
        });
        let decoded = decode(
            &encode(&DynamicImage::ImageRgba8(glass), ImageFormat::Png),
            &ANY,
        )
        .unwrap();
        assert_eq!(decoded.get_pixel(0, 0).0, [255; 3]);
        assert_eq!(decoded.get_pixel(1, 0).0, [132, 137, 142]);
        assert_eq!(decoded.get_pixel(2, 0).0, [10, 20, 30]);
    }

    /// The same JPEG with an EXIF segment that says `orientation`, in either byte order.
    fn with_orientation(jpeg: &[u8], orientation: u8, little: bool) -> Vec<u8> {
        let two = |value: u16| {
            if little {
                value.to_le_bytes()
            } else {
                value.to_be_bytes()
            }
        };
        let four = |value: u32| {
            if little {
                value.to_le_bytes()
            } else {
                value.to_be_bytes()
            }
        };
        let mut tiff = if little {
            b"II".to_vec()
        } else {
            b"MM".to_vec()
        };
        tiff.extend(two(42));
        tiff.extend(four(8));
        tiff.extend(two(1));
        tiff.extend(two(0x0112));
        tiff.extend(two(3));
        tiff.extend(four(1));
        tiff.extend(two(u16::from(orientation)));
        tiff.extend(two(0));
        tiff.extend(four(0));
        let mut segment = vec![0xff, 0xe1];
        segment.extend((2 + 6 + tiff.len() as u16).to_be_bytes());
        segment.extend(b"Exif\0\0");
        segment.extend(tiff);
        [&jpeg[..2], &segment, &jpeg[2..]].concat()
    }

    #[test]
    fn all_eight_orientations_come_out_upright() {
        let upright = picture(96, 80);
        let (width, height) = upright.dimensions();
        // What a camera stores for each value: the EXIF specification (CIPA DC-008, tag 0x0112) says where
        // row 0 and column 0 of the stored picture are in the upright one.
        for orientation in 1..=8u8 {
            let (stored_width, stored_height) = if orientation < 5 {
                (width, height)
            } else {
                (height, width)
            };
            let stored = RgbImage::from_fn(stored_width, stored_height, |column, row| {
                let (x, y) = match orientation {
                    1 => (column, row),                          // row 0 top, column 0 left
                    2 => (width - 1 - column, row),              // top, right
                    3 => (width - 1 - column, height - 1 - row), // bottom, right
                    4 => (column, height - 1 - row),             // bottom, left
                    5 => (row, column),                          // left, top
                    6 => (width - 1 - row, column),              // right, top
                    7 => (width - 1 - row, height - 1 - column), // right, bottom
                    _ => (row, height - 1 - column),             // left, bottom
                };
                *upright.get_pixel(x, y)
            });
            let mut jpeg = Vec::new();
            JpegEncoder::new_with_quality(&mut jpeg, 98)
                .encode_image(&stored)
                .unwrap();
            for little in [true, false] {
                let bytes = with_orientation(&jpeg, orientation, little);
                assert_eq!(dimensions(&bytes).unwrap(), (stored_width, stored_height));
                let decoded = decode(&bytes, &ANY).unwrap();
                assert!(
                    difference(&decoded, &upright) < 4.0,
                    "orientation {orientation}"
                );
            }
        }
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 98)
            .encode_image(&upright)
            .unwrap();
        for nonsense in [0, 9, 255] {
            let decoded = decode(&with_orientation(&jpeg, nonsense, true), &ANY).unwrap();
            assert!(
                difference(&decoded, &upright) < 4.0,
                "orientation {nonsense}"
            );
        }
    }

    #[test]
    fn limits_are_checked_on_the_header() {
        let bytes = encode(&DynamicImage::ImageRgb8(picture(120, 90)), ImageFormat::Png);
        let kind =
            |limits: ImageLimits| decode(&bytes, &limits).expect_err("must be refused").kind();
        assert_eq!(
            kind(ImageLimits {
                max_bytes: bytes.len() - 1,
                ..ANY
            }),
            Kind::TooLarge
        );
        assert_eq!(
            kind(ImageLimits {
                max_side: 119,
                ..ANY
            }),
            Kind::TooLarge
        );
        assert_eq!(
            kind(ImageLimits {
                max_pixels: 120 * 90 - 1,
                ..ANY
            }),
            Kind::TooLarge
        );
        assert_eq!(
            kind(ImageLimits {
                min_side: 91,
                ..ANY
            }),
            Kind::InvalidInput
        );
        let exact = ImageLimits {
            max_bytes: bytes.len(),
            max_pixels: 120 * 90,
            max_side: 120,
            min_side: 90,
        };
        assert_eq!(decode(&bytes, &exact).unwrap().dimensions(), (120, 90));
    }

    /// CRC-32 as PNG uses it.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                if crc & 1 == 1 {
                    (crc >> 1) ^ 0xedb8_8320
                } else {
                    crc >> 1
                }
            })
        })
    }

    #[test]
    fn bombs_are_refused_before_they_are_decoded() {
        // A small PNG whose header claims a gigantic picture, with a correct checksum.
        let mut bytes = encode(&DynamicImage::ImageRgb8(picture(120, 90)), ImageFormat::Png);
        for (width, height) in [
            (100_000u32, 100_000u32),
            (0x7fff_ffff, 0x7fff_ffff),
            (20_000, 80),
        ] {
            bytes[16..20].copy_from_slice(&width.to_be_bytes());
            bytes[20..24].copy_from_slice(&height.to_be_bytes());
            let sum = crc(&bytes[12..29]).to_be_bytes();
            bytes[29..33].copy_from_slice(&sum);
            let error = decode(&bytes, &ImageLimits::default()).expect_err("a bomb");
            assert!(
                matches!(error.kind(), Kind::TooLarge | Kind::InvalidImage),
                "{error}"
            );
        }
        // A real one: 90 megapixels of one colour are a few hundred kilobytes; 16-bit samples with alpha
        // need 720 MB, more than a decoder may hold.
        bytes[16..20].copy_from_slice(&9_500u32.to_be_bytes());
        bytes[20..24].copy_from_slice(&9_500u32.to_be_bytes());
        bytes[24] = 16;
        bytes[25] = 6;
        let sum = crc(&bytes[12..29]).to_be_bytes();
        bytes[29..33].copy_from_slice(&sum);
        assert_eq!(
            decode(&bytes, &ImageLimits::default())
                .expect_err("too deep")
                .kind(),
            Kind::TooLarge
        );
        // A JPEG that claims 65,500 pixels a side.
        let mut jpeg = encode(
            &DynamicImage::ImageRgb8(picture(120, 90)),
            ImageFormat::Jpeg,
        );
        let frame = jpeg
            .windows(2)
            .position(|pair| pair == [0xff, 0xc0])
            .unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
        assert_eq!(
            decode(&jpeg, &ImageLimits::default())
                .expect_err("a bomb")
                .kind(),
            Kind::TooLarge
        );
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for bytes in [
            &b""[..],
            b"\0",
            b"not an image at all",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff",
            b"GIF89a",
            b"BM",
            b"RIFF\0\0\0\0WEBPVP8 ",
            b"II*\0\xff\xff\xff\xff",
            b"\0\0\x01\0\x01\0",
        ] {
            assert_eq!(
                decode(bytes, &ANY).expect_err("no image").kind(),
                Kind::InvalidImage,
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn a_truncated_image_is_an_error_at_every_length() {
        for format in FORMATS {
            let bytes = encode(&DynamicImage::ImageRgb8(picture(90, 84)), format);
            // Up to the last bytes: trailers (a GIF's end mark, padding, TIFF tags) carry no pixels.
            for length in (0..bytes.len().saturating_sub(64)).step_by(1 + bytes.len() / 400) {
                let result = decode(&bytes[..length], &ANY);
                assert!(
                    result.is_err(),
                    "{format:?} cut to {length} of {}",
                    bytes.len()
                );
            }
        }
    }

    #[test]
    fn a_jpeg_may_carry_a_thumbnail_and_trailing_bytes() {
        let thumbnail = encode(&DynamicImage::ImageRgb8(picture(16, 16)), ImageFormat::Jpeg);
        let jpeg = encode(&DynamicImage::ImageRgb8(picture(90, 84)), ImageFormat::Jpeg);
        let mut segment = vec![0xff, 0xe5];
        segment.extend((2 + thumbnail.len() as u16).to_be_bytes());
        segment.extend(&thumbnail);
        let with_both = [&jpeg[..2], &segment, &jpeg[2..], b"trailing"].concat();
        assert_eq!(decode(&with_both, &ANY).unwrap().dimensions(), (90, 84));
        // The end mark inside the thumbnail does not make a cut file whole.
        let cut = &with_both[..with_both.len() - jpeg.len() / 2];
        assert_eq!(
            decode(cut, &ANY).expect_err("cut").kind(),
            Kind::InvalidImage
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(
            std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1000)
        ))]

        #[test]
        fn damaged_bytes_never_panic(
            format in 0usize..6,
            deep in any::<bool>(),
            cut in 0.0f64..1.3,
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            insert in prop::option::of((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..20))),
        ) {
            let format = FORMATS[format];
            let image = DynamicImage::ImageRgb8(picture(33, 29));
            let image = if deep && matches!(format, ImageFormat::Png | ImageFormat::Tiff | ImageFormat::WebP) {
                DynamicImage::ImageRgba8(image.into_rgba8())
            } else { image };
            let mut bytes = encode(&image, format);
            for (index, value) in flips {
                let at = index.index(bytes.len());
                bytes[at] ^= value;
            }
            if let Some((index, more)) = insert {
                let at = index.index(bytes.len());
                bytes.splice(at..at, more);
            }
            bytes.truncate((bytes.len() as f64 * cut) as usize);
            // Small limits: a flipped size is refused instead of making the test slow.
            let limits = ImageLimits { max_bytes: 1 << 20, max_pixels: 1 << 20, max_side: 4096, min_side: 1 };
            match decode(&bytes, &limits) {
                Ok(decoded) => {
                    let (width, height) = DynamicImage::ImageRgb8(decoded).dimensions();
                    prop_assert!(width > 0 && height > 0 && u64::from(width) * u64::from(height) <= limits.max_pixels);
                }
                Err(error) => {
                    prop_assert!(matches!(error.kind(), Kind::InvalidImage | Kind::TooLarge | Kind::InvalidInput));
                    prop_assert!(!error.message().is_empty());
                }
            }
        }

        #[test]
        fn noise_behind_a_signature_never_panics(
            signature in prop::sample::select(vec![
                &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], b"\xff\xd8\xff\xe0", b"GIF89a", b"BM",
                b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08",
                b"RIFF\xff\0\0\0WEBPVP8L", b"RIFF\xff\0\0\0WEBPVP8 ", b"RIFF\xff\0\0\0WEBPVP8X",
            ]),
            noise in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let bytes = [signature, &noise].concat();
            let limits = ImageLimits { max_bytes: 1 << 20, max_pixels: 1 << 20, max_side: 4096, min_side: 1 };
            if let Err(error) = decode(&bytes, &limits) {
                prop_assert!(matches!(error.kind(), Kind::InvalidImage | Kind::TooLarge | Kind::InvalidInput));
            }
        }
    }
}
