//! Objects cut into records, and records into requests.
//!
//! Framed records (RecordIO, TFRecord) keep their frames: a model that reads the format reads it from a request as well.
//! Sources: MXNet's `dmlc/recordio.h`; TensorFlow's `record_writer.cc` for the frame and its masked CRC-32C.

use std::io::{self, BufRead, Read};

/// Where one record ends and the next begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// An object is one record.
    #[default]
    None,
    /// A record is a line, without its end.
    Line,
    /// MXNet's RecordIO.
    RecordIo,
    /// TensorFlow's records.
    TfRecord,
}

/// How many records a request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// One.
    #[default]
    SingleRecord,
    /// As many as fit.
    MultiRecord,
}

/// Why an object cannot be cut.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A record has more bytes than a request may have.
    #[error("record {number} has more than {most} bytes")]
    Large {
        /// Its number, from 0.
        number: u64,
        /// Most bytes of a request.
        most: usize,
    },
    /// A frame is not of the format.
    #[error("record {number} is no {format}: {why}")]
    Damaged {
        /// Its number, from 0.
        number: u64,
        /// The format.
        format: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The object cannot be read.
    #[error("the object cannot be read")]
    Unread(#[from] io::Error),
}

/// The first bytes of a RecordIO frame.
const MAGIC: [u8; 4] = 0xced7_230a_u32.to_le_bytes();
/// Bits of the length in a RecordIO frame; the others say which part of a record it is.
const LENGTH: u32 = (1 << 29) - 1;

/// A record, and where it ends in its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What a model is asked about.
    pub bytes: Vec<u8>,
    /// The bytes that it takes in the object, counted: those of a line's end are among them.
    pub whole: u64,
}

/// The records of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// They.
    pub records: Vec<Vec<u8>>,
    /// The number of the first one in its object, from 0.
    pub first: u64,
    /// The bytes that they take in the object, counted.
    pub whole: u64,
}

/// The records of an object, read as they are asked for. After an error there are none.
#[derive(Debug)]
pub struct Records<R> {
    from: R,
    split: Split,
    most: usize,
    number: u64,
    ended: bool,
}

impl<R: BufRead> Records<R> {
    /// Records of at most so many bytes.
    pub fn new(from: R, split: Split, most: usize) -> Self {
        Self {
            from,
            split,
            most,
            number: 0,
            ended: false,
        }
    }

    fn large(&self) -> Error {
        Error::Large {
            number: self.number,
            most: self.most,
        }
    }

    fn read(&mut self) -> Result<Option<Record>, Error> {
        let frame = match self.split {
            Split::None => self.whole(),
            Split::Line => return self.line(),
            Split::RecordIo => self.recordio(),
            Split::TfRecord => self.tfrecord(),
        };
        Ok(frame?.map(|bytes| Record {
            whole: bytes.len() as u64,
            bytes,
        }))
    }

    fn whole(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.number > 0 {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let most = self.most as u64 + 1;
        self.from.by_ref().take(most).read_to_end(&mut bytes)?;
        match bytes.len() > self.most {
            true => Err(self.large()),
            false => Ok(Some(bytes)),
        }
    }

    fn line(&mut self) -> Result<Option<Record>, Error> {
        let mut line = Vec::new();
        // Room for its end.
        let most = self.most as u64 + 2;
        self.from.by_ref().take(most).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        let whole = line.len() as u64;
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        match line.len() > self.most {
            true => Err(self.large()),
            false => Ok(Some(Record { bytes: line, whole })),
        }
    }

    /// Reads so many bytes more of a frame that has begun.
    fn more(
        &mut self,
        frame: &mut Vec<u8>,
        bytes: usize,
        format: &'static str,
    ) -> Result<(), Error> {
        let whole = frame.len() + bytes;
        if whole > self.most {
            return Err(self.large());
        }
        let read = self.from.by_ref().take(bytes as u64).read_to_end(frame)?;
        match read == bytes {
            true => Ok(()),
            false => Err(self.damaged(format, "it ends too soon")),
        }
    }

    fn damaged(&self, format: &'static str, why: &'static str) -> Error {
        Error::Damaged {
            number: self.number,
            format,
            why,
        }
    }

    fn recordio(&mut self) -> Result<Option<Vec<u8>>, Error> {
        const FORMAT: &str = "RecordIO";
        let mut frame = Vec::new();
        // A record that has the magic bytes inside is written in parts.
        loop {
            if frame.is_empty() && self.from.fill_buf()?.is_empty() {
                return Ok(None);
            }
            let at = frame.len();
            self.more(&mut frame, 8, FORMAT)?;
            let head = &frame[at..];
            if head[..4] != MAGIC {
                return Err(self.damaged(FORMAT, "its first bytes are others"));
            }
            let word = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let (part, length) = (word >> 29, (word & LENGTH) as usize);
            let begins = at == 0;
            // 0: all of it; 1: the first part; 2: one in the middle; 3: the last.
            if begins != matches!(part, 0 | 1) || part > 3 {
                return Err(self.damaged(FORMAT, "its parts are out of order"));
            }
            self.more(&mut frame, length.next_multiple_of(4), FORMAT)?;
            if matches!(part, 0 | 3) {
                return Ok(Some(frame));
            }
        }
    }

    fn tfrecord(&mut self) -> Result<Option<Vec<u8>>, Error> {
        const FORMAT: &str = "TFRecord";
        if self.from.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut frame = Vec::new();
        self.more(&mut frame, 12, FORMAT)?;
        let (length, check) = frame.split_at(8);
        let mut eight = [0; 8];
        eight.copy_from_slice(length);
        if masked(length).to_le_bytes() != check {
            return Err(self.damaged(FORMAT, "the checksum of its length is another"));
        }
        let length = usize::try_from(u64::from_le_bytes(eight)).unwrap_or(usize::MAX);
        if length > self.most {
            return Err(self.large());
        }
        self.more(&mut frame, length + 4, FORMAT)?;
        let (data, check) = frame[12..].split_at(length);
        match masked(data).to_le_bytes() == check {
            true => Ok(Some(frame)),
            false => Err(self.damaged(FORMAT, "the checksum of its bytes is another")),
        }
    }
}

/// TensorFlow's masked CRC-32C.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.read().transpose();
        self.ended = !matches!(record, Some(Ok(_)));
        self.number += 1;
        record
    }
}

/// Records as requests: each request's records, whose bytes together (with an end for each line) are at most so many.
#[derive(Debug)]
pub struct Requests<R: BufRead> {
    records: std::iter::Peekable<Records<R>>,
    split: Split,
    strategy: Strategy,
    most: usize,
    next: u64,
}

impl<R: BufRead> Requests<R> {
    /// The requests of an object, or of what is behind its first records: so many.
    pub fn new(from: R, split: Split, strategy: Strategy, most: usize, first: u64) -> Self {
        let mut records = Records::new(from, split, most);
        records.number = first;
        Self {
            records: records.peekable(),
            split,
            strategy,
            most,
            next: first,
        }
    }
}

impl<R: BufRead> Iterator for Requests<R> {
    type Item = Result<Request, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = match self.records.next()? {
            Ok(first) => first,
            Err(error) => return Some(Err(error)),
        };
        let end = usize::from(self.split == Split::Line);
        let mut bytes = first.bytes.len() + end;
        let mut request = Request {
            records: vec![first.bytes],
            first: self.next,
            whole: first.whole,
        };
        if self.strategy == Strategy::MultiRecord && self.split != Split::None {
            let most = self.most;
            let fits = |record: &Result<Record, Error>| {
                let more = record
                    .as_ref()
                    .map_or(usize::MAX, |record| record.bytes.len() + end);
                bytes = bytes.saturating_add(more);
                bytes <= most
            };
            let mut fits = fits;
            while let Some(Ok(record)) = self.records.next_if(&mut fits) {
                request.whole += record.whole;
                request.records.push(record.bytes);
            }
        }
        self.next += request.records.len() as u64;
        Some(Ok(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(bytes: &[u8], split: Split, most: usize) -> Result<Vec<Vec<u8>>, String> {
        let all = Records::new(bytes, split, most).map(|record| record.map(|record| record.bytes));
        let all: Result<Vec<_>, _> = all.collect();
        all.map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_records_without_their_ends() {
        let lines = |bytes: &[u8]| records(bytes, Split::Line, 5);
        assert_eq!(lines(b"").expect("none"), Vec::<Vec<u8>>::new());
        let three: [&[u8]; 4] = [b"a", b"", b"bc", b"12345"];
        assert_eq!(lines(b"a\n\r\nbc\r\n12345").expect("lines"), three);
        assert_eq!(lines(b"12345\r\n").expect("a line"), [b"12345"]);
        let large = lines(b"a\n123456\nb\n").expect_err("too large");
        assert_eq!(large, "record 1 has more than 5 bytes");
        assert_eq!(records(b"a\nb", Split::None, 3).expect("whole"), [b"a\nb"]);
        assert!(records(b"abcd", Split::None, 3).is_err());
    }

    fn recordio(part: u32, data: &[u8]) -> Vec<u8> {
        let word = (part << 29) | data.len() as u32;
        let mut frame = [MAGIC, word.to_le_bytes()].concat();
        frame.extend(data);
        frame.resize(frame.len().next_multiple_of(4), 0);
        frame
    }

    #[test]
    fn recordio_is_cut_at_its_frames() {
        let (one, two) = (recordio(0, b"hello"), recordio(0, b""));
        let parts = [recordio(1, b"ab"), recordio(2, b"cdef"), recordio(3, b"g")].concat();
        let all = [&one[..], &two, &parts].concat();
        let cut = records(&all, Split::RecordIo, 100).expect("records");
        assert_eq!(cut, [one.clone(), two, parts]);
        for (bytes, why) in [
            (&one[..15], "too soon"),
            (&one[..5], "too soon"),
            (b"abcdefgh", "first bytes"),
            (&recordio(2, b"x"), "out of order"),
            (&recordio(7, b"x"), "out of order"),
            (
                &[recordio(1, b"x"), recordio(0, b"y")].concat(),
                "out of order",
            ),
            (
                &[MAGIC, [0xff, 0xff, 0xff, 0x1f]].concat(),
                "more than 100 bytes",
            ),
        ] {
            let said = records(bytes, Split::RecordIo, 100).expect_err(why);
            assert!(said.contains(why), "{said}");
        }
    }

    /// Records as the writer of the Python package tfrecord 1.14.6 frames them: "hello" and nothing.
    const TENSORFLOW: [&str; 2] = [
        "0500000000000000eab2043e68656c6c6fbb1f1c19",
        "000000000000000029039807d8ea82a2",
    ];

    #[test]
    fn tfrecords_are_cut_at_their_frames() {
        let hex = |text: &str| -> Vec<u8> {
            let byte = |pair: &[u8]| {
                let text = std::str::from_utf8(pair).expect("digits");
                u8::from_str_radix(text, 16).expect("a byte")
            };
            text.as_bytes().chunks(2).map(byte).collect()
        };
        let frames = TENSORFLOW.map(hex);
        let all = frames.concat();
        let cut = records(&all, Split::TfRecord, 100).expect("records");
        assert_eq!(cut, frames);
        let mut torn = all.clone();
        torn[13] ^= 1;
        for (bytes, most, why) in [
            (&all[..20], 100, "too soon"),
            (&torn[..], 100, "bytes is another"),
            (&all[1..], 100, "length is another"),
            (&all[..], 20, "more than 20 bytes"),
        ] {
            let said = records(bytes, Split::TfRecord, most).expect_err(why);
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn requests_are_filled() {
        let cut = |strategy, most| -> Vec<usize> {
            let bytes = &b"aa\nbb\ncc\ndd\nee\n"[..];
            let requests = Requests::new(bytes, Split::Line, strategy, most, 0);
            requests
                .map(|request| request.expect("a request").records.len())
                .collect()
        };
        assert_eq!(cut(Strategy::SingleRecord, 100), [1; 5]);
        assert_eq!(cut(Strategy::MultiRecord, 6), [2, 2, 1]);
        assert_eq!(cut(Strategy::MultiRecord, 8), [2, 2, 1]);
        assert_eq!(cut(Strategy::MultiRecord, 9), [3, 2]);
        assert_eq!(cut(Strategy::MultiRecord, 2), [1; 5]);
        let mut requests = Requests::new(
            &b"a\nb\r\nlong\nc"[..],
            Split::Line,
            Strategy::MultiRecord,
            3,
            7,
        );
        for (record, first, whole) in [(b"a", 7, 2), (b"b", 8, 3)] {
            let request = Request {
                records: vec![record.to_vec()],
                first,
                whole,
            };
            assert_eq!(requests.next().map(|got| got.expect("one")), Some(request));
        }
        assert!(matches!(
            requests.next(),
            Some(Err(Error::Large { number: 9, .. }))
        ));
        assert!(requests.next().is_none());
    }
}
