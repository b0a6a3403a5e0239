//! Image files that are odd, damaged or made to do harm, each a few bytes to a megabyte, made here by hand.

use super::images;
use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, RgbaImage};

/// The name of the largest image that is one.
pub const HUGE: &str = "10,000 pixels a side";

/// What may be answered to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is an image.
    Answer,
    /// It is none, or a damaged one.
    NoImage,
    /// It is larger than what is allowed, or none.
    TooLarge,
    /// An image to some and damaged to others.
    Either,
}

/// All files, with their names.
pub fn files() -> Vec<(String, Vec<u8>, Expected)> {
    use Expected::{Answer, Either, NoImage, TooLarge};
    let picture = DynamicImage::from(images::decoded("coffee.png").to_rgb8()).thumbnail(160, 120);
    let picture = &picture;
    let mut files = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>, expected| {
        files.push((name.to_owned(), bytes, expected));
    };

    // Odd, and images.
    add(
        "CMYK",
        Jpeg::new(160, 120).parts(4).adobe(0).write(),
        Answer,
    );
    add(
        "CMYK with luminance",
        Jpeg::new(160, 120).parts(4).adobe(2).write(),
        Answer,
    );
    add(
        "progressive",
        Jpeg::new(160, 120).progressive().write(),
        Answer,
    );
    add("grey", Jpeg::new(160, 120).parts(1).write(), Answer);
    add("RGB in JPEG", Jpeg::new(160, 120).adobe(0).write(), Answer);
    add("2,560 pixels a side", Jpeg::new(2560, 2560).write(), Answer);
    let deep = DynamicImage::ImageRgba16(picture.to_rgba16());
    let mut bytes = std::io::Cursor::new(Vec::new());
    deep.write_to(&mut bytes, ImageFormat::Png).expect("PNG");
    add("16 bits with alpha", bytes.into_inner(), Answer);
    add("palette", palette(160, 120, 256), Answer);
    add("palette that is too short", palette(160, 120, 3), Either);
    add("animated GIF", animated_gif(), Answer);
    add("animated WebP", animated_webp(picture), Either);
    add("animated PNG", animated_png(picture), Answer);

    // Metadata that leads nowhere.
    let jpeg = images::jpeg(picture);
    for (name, exif) in [
        (
            "EXIF without end",
            &b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff"[..],
        ),
        (
            "EXIF in a circle",
            b"Exif\0\0II\x2a\0\x08\0\0\0\0\0\x08\0\0\0\x08\0\0\0",
        ),
        ("EXIF far away", b"Exif\0\0MM\0\x2a\xff\xff\xff\xf0\0\x01"),
        (
            "orientation 99",
            b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0",
        ),
        (
            "four billion orientations",
            b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff\xff\xff\0\x06\0\0\0\0\0\0",
        ),
        ("empty EXIF", b"Exif\0\0"),
    ] {
        add(name, with_segment(&jpeg, 0xe1, exif), Answer);
    }

    // Two things at once. (As a GIF, the script is 12,079 pixels wide.)
    let png = images::encoded(picture, ImageFormat::Png);
    add(
        "JPEG with a page in a comment",
        with_segment(&jpeg, 0xfe, b"--><script>x</script>"),
        Answer,
    );
    add(
        "JPEG before a ZIP",
        [&jpeg[..], b"PK\x03\x04junk"].concat(),
        Answer,
    );
    add(
        "PNG before a page",
        [&png[..], b"<html><script>x</script>"].concat(),
        Answer,
    );
    add(
        "GIF that is a script",
        b"GIF89a/*\xff\xff*/=1;alert(1)//".to_vec(),
        TooLarge,
    );
    add(
        "PDF before a JPEG",
        [b"%PDF-1.7\n", &jpeg[..]].concat(),
        NoImage,
    );
    add(
        "SVG",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>".to_vec(),
        NoImage,
    );
    add(
        "PNG's name and a JPEG",
        [b"\x89PNG\r\n\x1a\n", &jpeg[..]].concat(),
        NoImage,
    );

    // Cut off.
    for format in [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ] {
        let whole = images::encoded(picture, format);
        for (part, share) in [("a tenth", 10), ("half", 50), ("nearly all", 95)] {
            let cut = whole[..whole.len() * share / 100].to_vec();
            add(&format!("{part} of {format:?}"), cut, NoImage);
        }
    }

    // Sizes that are not there.
    add("PNG of 65,535", images::png_bomb(65_535, 65_535), TooLarge);
    add(
        "JPEG of 65,535",
        images::jpeg_bomb(65_535, 65_535),
        TooLarge,
    );
    add("GIF of 65,535", images::gif_bomb(), TooLarge);
    add("BMP of 65,535", bmp_bomb(65_535), TooLarge);
    add("TIFF of 65,535", tiff_bomb(65_535), TooLarge);
    add("WebP of 16,384", webp_bomb(), TooLarge);
    add(
        "PNG of 10,000 without pixels",
        images::png_bomb(10_000, 10_000),
        NoImage,
    );
    add("TIFF of 10,000 without pixels", tiff_bomb(10_000), TooLarge);
    // Sizes that are: as large as is allowed, in a megabyte.
    add(HUGE, Jpeg::new(10_000, 10_000).write(), Answer);
    // Coefficients of 10,000 x 10,000 are 600 MB.
    let progressive = Jpeg::new(10_000, 10_000).progressive().write();
    add("10,000 progressive pixels a side", progressive, TooLarge);

    // Not known.
    add(
        "12 bits",
        Jpeg::new(160, 120).precision(12).write(),
        NoImage,
    );
    add(
        "arithmetic coding",
        Jpeg::new(160, 120).frame(0xc9).write(),
        NoImage,
    );
    add("lossless", Jpeg::new(160, 120).frame(0xc3).write(), NoImage);
    add(
        "two components",
        Jpeg::new(160, 120).parts(2).write(),
        Either,
    );
    add(
        "no components",
        Jpeg::new(160, 120).parts(0).write(),
        NoImage,
    );
    add("no rows", Jpeg::new(160, 0).write(), NoImage);
    add("noise", images::noise(50_000), NoImage);
    add("nothing but a name", b"\xff\xd8\xff\xe0".to_vec(), NoImage);
    files
}

/// A JPEG of one colour, bit by bit: every code is the shortest there is.
pub struct Jpeg {
    width: u16,
    height: u16,
    parts: u8,
    precision: u8,
    frame: u8,
    adobe: Option<u8>,
}

impl Jpeg {
    /// In luminance and two colours.
    pub fn new(width: u16, height: u16) -> Self {
        Self {
            width,
            height,
            parts: 3,
            precision: 8,
            frame: 0xc0,
            adobe: None,
        }
    }

    fn parts(self, parts: u8) -> Self {
        Self { parts, ..self }
    }

    fn precision(self, precision: u8) -> Self {
        Self { precision, ..self }
    }

    fn frame(self, frame: u8) -> Self {
        Self { frame, ..self }
    }

    fn progressive(self) -> Self {
        self.frame(0xc2)
    }

    fn adobe(self, transform: u8) -> Self {
        Self {
            adobe: Some(transform),
            ..self
        }
    }

    /// The file.
    pub fn write(&self) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8];
        let mut segment = |marker: u8, body: &[u8]| {
            out.extend([0xff, marker]);
            out.extend((body.len() as u16 + 2).to_be_bytes());
            out.extend(body);
        };
        if let Some(transform) = self.adobe {
            let adobe = [b"Adobe\0\x64\0\0\0\0", &[transform][..]].concat();
            segment(0xee, &adobe);
        }
        segment(0xdb, &[&[0][..], &[1; 64]].concat());
        let [height, width] = [self.height, self.width].map(u16::to_be_bytes);
        let mut frame = vec![
            self.precision,
            height[0],
            height[1],
            width[0],
            width[1],
            self.parts,
        ];
        let mut scan = vec![self.parts];
        for part in 1..=self.parts {
            frame.extend([part, 0x11, 0]);
            scan.extend([part, 0]);
        }
        segment(self.frame, &frame);
        // One code of one bit: "no difference" among the first coefficients, "end of block" among the others.
        for table in [0x00, 0x10] {
            let mut body = vec![table, 1];
            body.extend([0; 15]);
            body.push(0);
            segment(0xc4, &body);
        }
        let progressive = self.frame == 0xc2;
        scan.extend([0, if progressive { 0 } else { 63 }, 0]);
        segment(0xda, &scan);
        let blocks = |side: u16| usize::from(side).div_ceil(8);
        let blocks = blocks(self.width) * blocks(self.height) * usize::from(self.parts);
        let bits = if progressive { blocks } else { 2 * blocks };
        out.extend(std::iter::repeat_n(0, bits.div_ceil(8)));
        out.extend([0xff, 0xd9]);
        out
    }
}

/// The JPEG with one more segment behind its first marker.
fn with_segment(jpeg: &[u8], marker: u8, body: &[u8]) -> Vec<u8> {
    let mut out = jpeg[..2].to_vec();
    out.extend([0xff, marker]);
    out.extend((body.len() as u16 + 2).to_be_bytes());
    out.extend(body);
    out.extend(&jpeg[2..]);
    out
}

/// A PNG whose pixels count through 256 places of a palette that has `colours`.
fn palette(width: u32, height: u32, colours: usize) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 3, 0, 0, 0]);
    let table: Vec<u8> = (0..3 * colours).map(|i| (i * 7) as u8).collect();
    let rows = (0..height).flat_map(|y| {
        let row = (0..width).map(move |x| (x + y) as u8);
        std::iter::once(0).chain(row)
    });
    let rows: Vec<u8> = rows.collect();
    // Deflate without compression: at most 65,535 bytes a block.
    let mut data = vec![0x78, 0x01, 0x01];
    let length = rows.len() as u16;
    data.extend(length.to_le_bytes());
    data.extend((!length).to_le_bytes());
    data.extend(&rows);
    let (mut a, mut b) = (1_u32, 0_u32);
    for &byte in &rows {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    data.extend((b << 16 | a).to_be_bytes());
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, body) in [(b"IHDR", &header), (b"PLTE", &table), (b"IDAT", &data)] {
        images::chunk(&mut out, kind, body);
    }
    images::chunk(&mut out, b"IEND", &[]);
    out
}

fn animated_gif() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    let frame = |level| {
        Frame::new(RgbaImage::from_pixel(
            120,
            100,
            image::Rgba([level, 9, 9, 255]),
        ))
    };
    encoder
        .encode_frames([10, 90, 200].map(frame))
        .expect("GIF");
    drop(encoder);
    bytes
}

/// A PNG that announces a thousand frames behind the picture.
fn animated_png(picture: &DynamicImage) -> Vec<u8> {
    let still = images::encoded(picture, ImageFormat::Png);
    let mut control = Vec::new();
    images::chunk(&mut control, b"acTL", &[0, 0, 0x03, 0xe8, 0, 0, 0, 0]);
    // Behind the signature and the header.
    [&still[..33], &control, &still[33..]].concat()
}

fn riff(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (kind, data) in chunks {
        body.extend(*kind);
        body.extend((data.len() as u32).to_le_bytes());
        body.extend(data);
        if data.len() % 2 == 1 {
            body.push(0);
        }
    }
    let mut out = b"RIFF".to_vec();
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(body);
    out
}

/// Three bytes, little end first.
fn three(value: u32) -> [u8; 3] {
    let [a, b, c, _] = value.to_le_bytes();
    [a, b, c]
}

/// A WebP of two frames, both the picture.
fn animated_webp(picture: &DynamicImage) -> Vec<u8> {
    let still = images::encoded(picture, ImageFormat::WebP);
    // The only chunk of a still picture.
    let data = &still[12..];
    let (width, height) = (three(picture.width() - 1), three(picture.height() - 1));
    let extended = [&[0x02, 0, 0, 0][..], &width, &height].concat();
    let frame = [&[0; 6][..], &width, &height, &three(100), &[0], data].concat();
    riff(&[
        (b"VP8X", extended),
        (b"ANIM", vec![0; 6]),
        (b"ANMF", frame.clone()),
        (b"ANMF", frame),
    ])
}

/// A WebP header of the largest canvas, without a picture.
fn webp_bomb() -> Vec<u8> {
    let extended = [&[0, 0, 0, 0][..], &three(16_383), &three(16_383)].concat();
    riff(&[
        (b"VP8X", extended),
        (b"VP8L", vec![0x2f, 0xff, 0xff, 0xff, 0x0f]),
    ])
}

fn bmp_bomb(side: u32) -> Vec<u8> {
    let mut out = b"BM".to_vec();
    for word in [54_u32, 0, 54, 40, side, side] {
        out.extend(word.to_le_bytes());
    }
    // One plane of 24 bits, not compressed.
    out.extend([1, 0, 24, 0]);
    out.extend([0; 24]);
    out
}

/// A TIFF of 16-bit RGBA pixels in one strip that is not there.
fn tiff_bomb(side: u32) -> Vec<u8> {
    let entries: [(u16, u32); 9] = [
        (256, side),
        (257, side),
        (258, 16),
        (259, 1),
        (262, 2),
        (273, 8),
        (277, 4),
        (278, side),
        (279, u32::MAX),
    ];
    let mut out = b"II\x2a\0\x08\0\0\0".to_vec();
    out.extend((entries.len() as u16).to_le_bytes());
    for (tag, value) in entries {
        out.extend(tag.to_le_bytes());
        // A long number.
        out.extend([4, 0, 1, 0, 0, 0]);
        out.extend(value.to_le_bytes());
    }
    out.extend([0; 4]);
    out
}
