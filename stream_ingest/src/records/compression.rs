//! Decompression of what producers compressed, within a bound, and compression of what compaction leaves of it or a topic wants.

use bytes::Bytes;
use std::io::{Cursor, Read, Write};

/// What [`xerial`]'s stream begins with.
const XERIAL: &[u8] = b"\x82SNAPPY\0";
/// Bytes of its head: the magic and two versions.
const XERIAL_HEAD: usize = 16;

/// The codec, and what is wrong.
pub(crate) type Why = (&'static str, String);

/// The bytes that were compressed with a batch's codec (1 to 4), at most `most`.
pub fn unpack(codec: i16, packed: &Bytes, most: usize) -> Result<Bytes, Why> {
    match codec {
        1 => read("gzip", flate2::read::GzDecoder::new(&packed[..]), most),
        2 => snappy(packed, most),
        3 => {
            let decoder = lz4_flex::frame::FrameDecoder::new(&packed[..]);
            read("lz4", decoder, most)
        }
        4 => read("zstd", zstd(packed)?, most),
        _ => Err(("unknown", "there is no such compression".to_owned())),
    }
}

/// The same bytes one after the other, without keeping them: Snappy's alone are unpacked first, at most `most` of them.
pub fn reader<'a>(codec: i16, packed: &'a [u8], most: usize) -> Result<Box<dyn Read + 'a>, Why> {
    Ok(match codec {
        1 => Box::new(flate2::read::GzDecoder::new(packed)),
        3 => Box::new(lz4_flex::frame::FrameDecoder::new(packed)),
        4 => Box::new(zstd(packed)?),
        codec => {
            let packed = Bytes::copy_from_slice(packed);
            Box::new(Cursor::new(unpack(codec, &packed, most)?))
        }
    })
}

/// These bytes, compressed with a batch's codec: Snappy as one raw block, the others as one frame. Gzip has levels (1 to 9), and
/// Zstandard (up to 22). `None` where that cannot be done.
pub fn pack(codec: i16, level: Option<i32>, bytes: &[u8]) -> Option<Bytes> {
    let packed = match codec {
        1 => {
            let level = level.and_then(|level| u32::try_from(level).ok());
            let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).ok()?;
            encoder.finish().ok()?
        }
        2 => snap::raw::Encoder::new().compress_vec(bytes).ok()?,
        3 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(bytes).ok()?;
            encoder.finish().ok()?
        }
        4 => zstd::bulk::compress(bytes, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL)).ok()?,
        _ => return None,
    };
    // The original goes away, so no encoder is believed.
    let packed = Bytes::from(packed);
    let read = unpack(codec, &packed, bytes.len()).ok()?;
    (read == bytes).then_some(packed)
}

fn too_large(codec: &'static str, most: usize) -> Why {
    (codec, format!("it holds more than {most} bytes"))
}

fn read(codec: &'static str, decoder: impl Read, most: usize) -> Result<Bytes, Why> {
    let mut bytes = Vec::new();
    let limit = most as u64 + 1;
    let read = decoder.take(limit).read_to_end(&mut bytes);
    read.map_err(|error| (codec, error.to_string()))?;
    match bytes.len() > most {
        true => Err(too_large(codec, most)),
        false => Ok(bytes.into()),
    }
}

/// Zstandard's frames. One that asks for a window of more than 128 MiB is refused, as by Kafka's library.
fn zstd(packed: &[u8]) -> Result<impl Read + '_, Why> {
    zstd::Decoder::with_buffer(packed).map_err(|error| ("zstd", error.to_string()))
}

/// Snappy as librdkafka writes it, one raw block, or as Java's clients do ([xerial's] stream of blocks).
///
/// [xerial's]: https://github.com/xerial/snappy-java/blob/master/src/main/java/org/xerial/snappy/SnappyOutputStream.java
fn snappy(packed: &Bytes, most: usize) -> Result<Bytes, Why> {
    let mut decoded = Vec::new();
    if !packed.starts_with(XERIAL) {
        block(packed, &mut decoded, most)?;
        return Ok(decoded.into());
    }
    let broken = || ("snappy", "a block is not whole".to_owned());
    let mut left = packed.get(XERIAL_HEAD..).ok_or_else(broken)?;
    while let Some((length, rest)) = left.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| broken())?;
        let (packed, rest) = rest.split_at_checked(length).ok_or_else(broken)?;
        block(packed, &mut decoded, most)?;
        left = rest;
    }
    match left.is_empty() {
        true => Ok(decoded.into()),
        false => Err(broken()),
    }
}

fn block(packed: &[u8], decoded: &mut Vec<u8>, most: usize) -> Result<(), Why> {
    let failed = |error: snap::Error| ("snappy", error.to_string());
    let length = snap::raw::decompress_len(packed).map_err(failed)?;
    // Snappy makes at most 64 bytes of three: what claims more is not believed.
    let before = decoded.len();
    if length > most - before {
        return Err(too_large("snappy", most));
    }
    if length / 64 > packed.len() {
        return Err(("snappy", "it claims more than it can hold".to_owned()));
    }
    decoded.resize(before + length, 0);
    let mut decoder = snap::raw::Decoder::new();
    let written = decoder.decompress(packed, &mut decoded[before..]);
    decoded.truncate(before + written.map_err(failed)?);
    Ok(())
}
