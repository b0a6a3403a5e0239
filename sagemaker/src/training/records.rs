//! Record files of MXNet: images with their classes, one after another, as `im2rec` packs them for SageMaker's algorithms on
//! images.
//!
//! ```text
//! record   flag u32, label f32, id u64, id u64, `flag` labels f32, the image's bytes
//! file     0xced7230a u32, which part u32 (3 bits) and length (29 bits), bytes, zeros up to a multiple of 4; and again
//! ```
//!
//! All of it is little-endian. A record that has the magic number within, at a multiple of four, is split there into parts, and
//! has it between them when they are joined. Where `flag` is not 0, the labels are what follows.
//!
//! A channel of such files is shown to trainers as the folders that its images would lie in: one for each file, in that one for
//! each class, and in these the images, whose names say where in the file they are. Images of several labels lie in folders of
//! all of them, with commas between: `0,1,1`.
//!
//! Source: dmlc-core, `include/dmlc/recordio.h`; apache/mxnet 1.9.1, `python/mxnet/recordio.py`.

use super::channels::{Channel, File};
use super::trainer::{Failure, unread};
use escala_objects::{ObjectName, WritableStore};
use std::io::{BufReader, Cursor, ErrorKind, Read};
use std::ops::Range;

/// The content type of such files.
const KIND: &str = "application/x-recordio";
const MAGIC: u32 = 0xced7_230a;
/// The lower bits of a part's head; those above say which part of a record it is.
const LENGTH: u32 = (1 << 29) - 1;
/// Bytes of a record before its labels.
const HEAD: usize = 24;
/// Most bytes of a record.
const LARGEST: usize = 64 << 20;
/// Most images of a channel.
const MOST: usize = 1_000_000;
/// Classes that a 32-bit number tells apart.
const CLASSES: f32 = 16_777_216.0;
/// Most labels of a record.
const LABELS: usize = 10_000;

/// Whether a channel has such files.
pub(super) fn are_in(channel: &Channel) -> bool {
    let plain = channel.attributes.is_empty();
    plain
        && match channel.content_type.as_deref() {
            Some(said) => {
                let kind = said.split(';').next().unwrap_or_default();
                kind.trim().eq_ignore_ascii_case(KIND)
            }
            None => {
                let mut files = channel.files.iter();
                files.any(|file| file.key.ends_with(".rec"))
            }
        }
}

/// Puts the images of a channel in the place of its record files.
///
/// # Errors
/// A file is none, or has a label that is no whole number; `stopped` is asked for each image.
pub(super) fn unpack(
    objects: &dyn WritableStore,
    channel: &mut Channel,
    stopped: impl Fn() -> bool,
) -> Result<(), Failure> {
    if channel.gzip {
        return Err(Failure::Client(format!(
            "channel {:?}: record files are not packed with gzip: leave CompressionType out",
            channel.name
        )));
    }
    let mut images = Vec::new();
    // What im2rec leaves beside them.
    let beside = |file: &&File| !file.key.ends_with(".idx") && !file.key.ends_with(".lst");
    for file in channel.files.iter().filter(beside) {
        let name = ObjectName::new(&file.bucket, &file.key, None);
        let object = name.and_then(|name| objects.open(&name));
        let object = object.map_err(|error| unread(&file.to_string(), &error))?;
        if object.length != file.length || object.etag != file.etag {
            return Err(changed(file));
        }
        let mut records = Records::new(BufReader::new(object.bytes));
        let mut record = Vec::new();
        for number in 1_u64.. {
            if stopped() {
                return Err(Failure::Stopped);
            }
            let failed = |error| failure(error, &format!("{file}: record {number}"));
            let Some(at) = records.next(&mut record).map_err(failed)? else {
                break;
            };
            let (class, image) = parse(&record).map_err(|why| failed(Error::Wrong(why)))?;
            if images.len() == MOST {
                return Err(Failure::Client(format!(
                    "channel {:?} has more than {MOST} images",
                    channel.name
                )));
            }
            images.push(File {
                bucket: file.bucket.clone(),
                key: format!("{}/{class}/{}-{}", file.key, at.start, at.end),
                length: image.len() as u64,
                etag: file.etag.clone(),
            });
        }
    }
    channel.files = images;
    channel.records = true;
    Ok(())
}

/// The bytes of an image that [`unpack`] found.
///
/// # Errors
/// The record file cannot be read, or has changed.
pub(super) fn open(
    objects: &dyn WritableStore,
    image: &File,
) -> Result<Box<dyn Read + Send>, Failure> {
    let broken = || Failure::Algorithm(format!("{image} is no image of a record file"));
    let (rest, place) = image.key.rsplit_once('/').ok_or_else(broken)?;
    let (key, _) = rest.rsplit_once('/').ok_or_else(broken)?;
    let place = place.split_once('-');
    let range = place.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    let name = ObjectName::new(&image.bucket, key, None);
    let range = range.ok_or_else(broken)?;
    let object = name.and_then(|name| objects.open_range(&name, range));
    let object = object.map_err(|error| unread(&image.to_string(), &error))?;
    if object.etag != image.etag {
        return Err(changed(image));
    }
    let mut record = Vec::new();
    let found = Records::new(BufReader::new(object.bytes)).next(&mut record);
    found.map_err(|error| failure(error, &image.to_string()))?;
    let (_, bytes) = parse(&record).map_err(|_| changed(image))?;
    if bytes.len() as u64 != image.length {
        return Err(changed(image));
    }
    let mut record = Cursor::new(record);
    record.set_position(record.get_ref().len() as u64 - image.length);
    Ok(Box::new(record))
}

fn changed(file: &File) -> Failure {
    Failure::Client(format!("{file} has changed while it was learned from"))
}

fn failure(error: Error, what: &str) -> Failure {
    match error {
        Error::Wrong(why) => Failure::Client(format!("{what}: {why}")),
        Error::Unread(error) => Failure::Now(format!("{what} cannot be read: {error}")),
    }
}

/// The labels of a record, with commas between, and its image.
fn parse(record: &[u8]) -> Result<(String, &[u8]), String> {
    let short = || format!("it has {} bytes, which are less than a head", record.len());
    let word = |at: usize| -> Result<[u8; 4], String> {
        let bytes = record.get(at..at + 4);
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(short)
    };
    let labels = u32::from_le_bytes(word(0)?) as usize;
    if labels > LABELS {
        return Err(format!(
            "it has {labels} labels, which are more than {LABELS}"
        ));
    }
    // The one label is in the head, where no others follow.
    let places = match labels {
        0 => 4..8,
        many => HEAD..HEAD + 4 * many,
    };
    let mut text = String::new();
    for at in places.step_by(4) {
        let label = f32::from_le_bytes(word(at)?);
        if label.fract() != 0.0 || !(0.0..CLASSES).contains(&label) {
            return Err(format!(
                "its label is {label}, and classes are whole numbers from 0"
            ));
        }
        if !text.is_empty() {
            text.push(',');
        }
        text += &(label as u32).to_string();
    }
    let image = record.get(HEAD + 4 * labels..).ok_or_else(short)?;
    Ok((text, image))
}

/// Why there is no next record.
#[derive(Debug)]
enum Error {
    /// What is wrong with it.
    Wrong(String),
    Unread(std::io::Error),
}

/// The records of a file, one after another.
struct Records<R> {
    input: R,
    /// Bytes that were read.
    at: u64,
}

impl<R: Read> Records<R> {
    fn new(input: R) -> Self {
        Self { input, at: 0 }
    }

    /// Reads the next record, in the place of what `record` has; where its parts are in the file, or nothing at the file's end.
    fn next(&mut self, record: &mut Vec<u8>) -> Result<Option<Range<u64>>, Error> {
        record.clear();
        let begin = self.at;
        loop {
            let mut head = Vec::with_capacity(8);
            self.fill(8, &mut head)?;
            if head.is_empty() && self.at == begin {
                return Ok(None);
            }
            let word = |at: usize| -> Result<u32, Error> {
                let bytes = head.get(at..at + 4);
                let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
                bytes.map(u32::from_le_bytes).ok_or_else(cut)
            };
            let (magic, length) = (word(0)?, word(4)?);
            if magic != MAGIC {
                return Err(Error::Wrong(format!(
                    "it begins with {magic:#010x}, and records of MXNet do with {MAGIC:#010x}"
                )));
            }
            // 0: a whole record, 1: its first part, 2: one between, 3: its last.
            let part = length >> 29;
            let first = self.at - begin == 8;
            if first != (part <= 1) || part > 3 {
                return Err(Error::Wrong("its parts are not in order".to_owned()));
            }
            if !first {
                record.extend_from_slice(&MAGIC.to_le_bytes());
            }
            let length = (length & LENGTH) as usize;
            let padded = length.next_multiple_of(4);
            if record.len() + padded > LARGEST {
                return Err(Error::Wrong(format!("it has more than {LARGEST} bytes")));
            }
            let before = record.len();
            self.fill(padded, record)?;
            if record.len() != before + padded {
                return Err(cut());
            }
            record.truncate(before + length);
            if part == 0 || part == 3 {
                return Ok(Some(begin..self.at));
            }
        }
    }

    /// Reads so many bytes, or up to the file's end. What is not there takes no memory.
    fn fill(&mut self, bytes: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        let read = self.input.by_ref().take(bytes as u64).read_to_end(out);
        self.at += read.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => cut(),
            _ => Error::Unread(error),
        })? as u64;
        Ok(())
    }
}

fn cut() -> Error {
    Error::Wrong("the file ends within it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use escala_objects::memory::Memory;
    use proptest::prelude::*;

    /// Files of `tests/golden/records.py`, made by MXNet.
    const IMAGES: &[u8] = include_bytes!("../../tests/golden/records/images.rec");
    const SEVERAL: &[u8] = include_bytes!("../../tests/golden/records/labels.rec");
    const HALF: &[u8] = include_bytes!("../../tests/golden/records/half.rec");

    fn channel(objects: &Memory, files: &[(&str, &[u8])]) -> Channel {
        objects.bucket("box");
        let files = files.iter().map(|(key, bytes)| {
            objects.put("box", key, bytes);
            super::super::channels::one(objects, "box", key).unwrap()
        });
        Channel {
            name: "train".to_owned(),
            content_type: Some("application/x-recordio".to_owned()),
            gzip: false,
            files: files.collect(),
            attributes: Vec::new(),
            records: false,
        }
    }

    fn never() -> bool {
        false
    }

    #[test]
    fn records_of_mxnet_are_images_in_folders_of_their_classes() {
        let objects = Memory::default();
        let files = [("a/images.rec", IMAGES), ("a/images.idx", b"0\t0\n")];
        let mut channel = channel(&objects, &files);
        assert!(are_in(&channel));
        unpack(&objects, &mut channel, never).unwrap();
        assert!(channel.records);
        let magic = MAGIC.to_le_bytes();
        let magic = magic.as_slice();
        let expected = [
            ("3", b"plain".to_vec()),
            ("1", [b"12345678", magic, b"after", magic].concat()),
            ("0", [magic, magic, b"x"].concat()),
            ("3", [b"y", magic, b"within"].concat()),
            ("2", b"z".to_vec()),
        ];
        assert_eq!(channel.files.len(), expected.len());
        for (file, (class, image)) in channel.files.iter().zip(expected) {
            let folder = format!("a/images.rec/{class}/");
            assert!(file.key.starts_with(&folder), "{file}");
            assert_eq!(file.length, image.len() as u64);
            let mut bytes = Vec::new();
            let mut opened = open(&objects, file).unwrap();
            opened.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, image, "{file}");
        }
        objects.put("box", "a/images.rec", HALF);
        let why = open(&objects, &channel.files[0]).err().unwrap();
        assert!(
            matches!(&why, Failure::Client(why) if why.contains("has changed")),
            "{why:?}"
        );
    }

    #[test]
    fn images_of_several_labels_are_in_folders_of_all_of_them() {
        let objects = Memory::default();
        let mut channel = channel(&objects, &[("a.rec", SEVERAL)]);
        unpack(&objects, &mut channel, never).unwrap();
        let mut found = Vec::new();
        for (file, folder) in channel.files.iter().zip(["a.rec/1/", "a.rec/1,2/"]) {
            assert!(file.key.starts_with(folder), "{file}");
            let mut bytes = Vec::new();
            let mut opened = open(&objects, file).unwrap();
            opened.read_to_end(&mut bytes).unwrap();
            found.push(bytes);
        }
        assert_eq!(found, [b"one", b"two"]);
    }

    #[test]
    fn what_is_no_record_file_is_said() {
        let objects = Memory::default();
        for (bytes, why) in [
            (HALF, "record 1: its label is 0.5"),
            (b"\x89PNG\r\n\x1a\n", "record 1: it begins with 0x474e5089"),
            (&IMAGES[..6], "record 1: the file ends within it"),
            (&IMAGES[..20], "record 1: the file ends within it"),
            // The first part of a record, and then another.
            (
                b"\x0a\x23\xd7\xce\0\0\0\x20\x0a\x23\xd7\xce\0\0\0\0",
                "record 1: its parts are not in order",
            ),
            (
                b"\x0a\x23\xd7\xce\xff\xff\xff\x1f",
                "record 1: it has more than 67108864 bytes",
            ),
            (
                b"\x0a\x23\xd7\xce\x04\0\0\0\0\0\0\0",
                "record 1: it has 4 bytes, which are less than a head",
            ),
            (
                b"\x0a\x23\xd7\xce\x04\0\0\0\xff\xff\xff\xff",
                "record 1: it has 4294967295 labels, which are more than 10000",
            ),
        ] {
            let mut channel = channel(&objects, &[("a.rec", bytes)]);
            let found = unpack(&objects, &mut channel, never).unwrap_err();
            let said = format!("s3://box/a.rec: {why}");
            assert!(
                matches!(&found, Failure::Client(found) if found.starts_with(&said)),
                "{found:?} {said}"
            );
        }
        let mut packed = channel(&objects, &[("a.rec", IMAGES)]);
        packed.gzip = true;
        let found = unpack(&objects, &mut packed, never).unwrap_err();
        assert!(matches!(&found, Failure::Client(why) if why.contains("CompressionType")));
        let mut stopped = channel(&objects, &[("a.rec", IMAGES)]);
        let found = unpack(&objects, &mut stopped, || true).unwrap_err();
        assert_eq!(found, Failure::Stopped);
    }

    #[test]
    fn the_content_type_says_where_records_are() {
        let objects = Memory::default();
        let mut channel = channel(&objects, &[("a.rec", IMAGES)]);
        for (said, is) in [
            (Some("Application/X-RecordIO; charset=binary"), true),
            (Some("application/x-recordio-protobuf"), false),
            (Some("application/x-image"), false),
            (None, true),
        ] {
            channel.content_type = said.map(str::to_owned);
            assert_eq!(are_in(&channel), is, "{said:?}");
        }
        channel.files[0].key = "a.jpg".to_owned();
        assert!(!are_in(&channel));
    }

    proptest! {
        /// Whatever a file has, it is read to an end: to records that lie in it, or to what is wrong.
        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>, at in 0..IMAGES.len(), with: u8) {
            let mut changed = IMAGES.to_vec();
            changed[at] = with;
            for bytes in [bytes, changed] {
                let mut records = Records::new(bytes.as_slice());
                let mut record = Vec::new();
                let mut end = 0;
                while let Ok(Some(range)) = records.next(&mut record) {
                    prop_assert_eq!(range.start, end);
                    prop_assert!(range.end <= bytes.len() as u64);
                    end = range.end;
                    let _ = parse(&record);
                }
            }
        }
    }
}
