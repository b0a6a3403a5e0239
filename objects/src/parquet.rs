//! What objects of Parquet say of themselves, read before anybody trusts it.
//!
//! Who reads the columns calls itself for each level at which one lies in others, and a stack that is full ends the whole process: a
//! file of some kilobytes can have thousands. And who unpacks a page makes room for as much as its head says. Both are told here
//! without recursion and without room: the list of columns is one of elements behind one another, each with the number of those that are in it
//! (`SchemaElement.num_children` of parquet.thrift, in Thrift's compact protocol), and heads are small.

use std::io::{Read, Result, Seek, SeekFrom};

/// Most levels that are read.
pub const MOST_LEVELS: usize = 100;

/// Bytes of the stack of a thread that reads them: as many as a hundred levels take several times over, and the thousand operators that a
/// query may have.
pub const STACK: usize = 64 << 20;

/// Bytes at the end of a file: the length of what is said of it, and `PAR1`.
pub const END: usize = 8;

/// Most levels of Thrift's own structures in one that is passed over.
const THRIFT: usize = 64;

/// The bytes before its end in which a file says what it has, by this end; none where it is no end of a Parquet file.
pub fn said(end: [u8; END]) -> Option<u64> {
    let [a, b, c, d, mark @ ..] = end;
    (mark == *b"PAR1").then(|| u64::from(u32::from_le_bytes([a, b, c, d])))
}

/// The levels of the columns of a file; none where it is no Parquet file, which is left to whoever reads it.
///
/// # Errors
/// It cannot be read.
pub fn levels_of(file: &mut (impl Read + Seek)) -> Result<Option<usize>> {
    let length = file.seek(SeekFrom::End(0))?;
    let Some(start) = length.checked_sub(END as u64) else {
        return Ok(None);
    };
    let mut end = [0; END];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut end)?;
    let Some(from) = said(end).and_then(|said| start.checked_sub(said)) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(start - from).read_to_end(&mut bytes)?;
    Ok(levels(&bytes))
}

/// The levels of the columns that a file's end tells of; none where the bytes cannot be read so far.
pub fn levels(said: &[u8]) -> Option<usize> {
    let mut bytes = Bytes(said);
    let mut id = 0;
    loop {
        let kind = bytes.field(&mut id)?;
        if id == 2 && kind == LIST {
            break;
        }
        bytes.skip(kind, 0)?;
    }
    let (count, kind) = bytes.list()?;
    if kind != STRUCT {
        return None;
    }
    let (mut deepest, mut open) = (0, Vec::new());
    for _ in 0..count {
        let children = bytes.element()?;
        // Those that have all that is in them are done.
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        if children > 0 {
            open.push(children);
        }
        deepest = deepest.max(open.len());
    }
    Some(deepest)
}

/// What the head of a page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Bytes of the head.
    pub head: usize,
    /// Bytes of the page, as they are in the file.
    pub packed: usize,
    /// Bytes of the page, unpacked.
    pub unpacked: usize,
}

/// The head of the page that begins here; none where these bytes are no head.
pub fn page(bytes: &[u8]) -> Option<Page> {
    let mut rest = Bytes(bytes);
    let (mut id, mut sizes) = (0, [None; 2]);
    loop {
        if rest.0.first() == Some(&0) {
            rest.byte()?;
            break;
        }
        let kind = rest.field(&mut id)?;
        match (id, kind) {
            // `uncompressed_page_size` and `compressed_page_size`.
            (2 | 3, I32) => {
                let size = usize::try_from(zigzag(rest.number()?)).ok()?;
                sizes[usize::from(id == 3)] = Some(size);
            }
            _ => rest.skip(kind, 0)?,
        }
    }
    let [unpacked, packed] = sizes;
    Some(Page {
        head: bytes.len() - rest.0.len(),
        packed: packed?,
        unpacked: unpacked?,
    })
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const STRUCT: u8 = 12;
/// Of the compact protocol it is 5.
const I32: u8 = 5;
const MAP: u8 = 11;
const UUID: u8 = 13;

/// What is not read yet.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// The kind of the next field, whose number is put into `id`; none at the end of a structure.
    fn field(&mut self, id: &mut i64) -> Option<u8> {
        let head = self.byte()?;
        if head == 0 {
            return None;
        }
        match head >> 4 {
            0 => *id = zigzag(self.number()?),
            more => *id += i64::from(more),
        }
        Some(head & 15)
    }

    /// The number of elements of a list, and their kind.
    fn list(&mut self) -> Option<(u64, u8)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.number()?,
            few => u64::from(few),
        };
        Some((count, head & 15))
    }

    /// The number of columns in the next one of the list.
    fn element(&mut self) -> Option<u64> {
        let (mut id, mut children) = (0, 0);
        loop {
            if self.0.first() == Some(&0) {
                self.byte()?;
                return Some(children);
            }
            let kind = self.field(&mut id)?;
            match (id, kind) {
                (5, I32) => children = u64::try_from(zigzag(self.number()?)).unwrap_or(0),
                _ => self.skip(kind, 0)?,
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > THRIFT {
            return None;
        }
        match kind {
            TRUE | FALSE => Some(()),
            BYTE => self.byte().map(drop),
            4..=I64 => self.number().map(drop),
            DOUBLE => self.taken(8),
            BINARY => {
                let length = self.number()?;
                self.taken(length)
            }
            UUID => self.taken(16),
            MAP => {
                let count = self.number()?;
                if count == 0 {
                    return Some(());
                }
                let kinds = self.byte()?;
                for _ in 0..count {
                    self.member(kinds >> 4, depth)?;
                    self.member(kinds & 15, depth)?;
                }
                Some(())
            }
            LIST | SET => {
                let (count, kind) = self.list()?;
                for _ in 0..count {
                    self.member(kind, depth)?;
                }
                Some(())
            }
            STRUCT => {
                let mut id = 0;
                loop {
                    if self.0.first() == Some(&0) {
                        return self.byte().map(drop);
                    }
                    let kind = self.field(&mut id)?;
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => None,
        }
    }

    /// An element of a list, a set or a map.
    fn member(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            // Among others they are bytes.
            TRUE | FALSE => self.byte().map(drop),
            kind => self.skip(kind, depth + 1),
        }
    }

    fn taken(&mut self, length: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(length).ok()?..)?;
        Some(())
    }
}

fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// What a file says that has a column in so many others, in Thrift's words.
    fn file(levels: u8) -> Vec<u8> {
        // `version`, then `schema`: a list of so many structures.
        let mut said = vec![0x15, 2, 0x19, 0xfc, levels + 2];
        for _ in 0..=levels {
            // `name` and `num_children` of an element.
            said.extend([0x48, 1, b'a', 0x15, 2, 0]);
        }
        said.extend([0x48, 1, b'b', 0, 0]);
        let length = said.len() as u32;
        let mut file = b"PAR1".to_vec();
        file.extend(&said);
        file.extend(length.to_le_bytes());
        file.extend(b"PAR1");
        file
    }

    #[test]
    fn levels_are_counted() {
        for levels in [0, 1, 99, 120] {
            let found = levels_of(&mut Cursor::new(file(levels))).expect("read");
            assert_eq!(found, Some(usize::from(levels) + 1), "{levels}");
        }
        for other in [
            &b""[..],
            b"PAR1",
            b"abcdefghijklPAR1",
            b"\xff\xff\xff\xffPAR1",
        ] {
            let found = levels_of(&mut Cursor::new(other)).expect("read");
            assert_eq!(found, None, "{other:?}");
        }
    }

    #[test]
    fn heads_of_pages_say_how_large_they_are() {
        // `type`, the two sizes, and a structure of a map and a list of truths that is passed over.
        let head = [
            0x15, 0, 0x15, 0x90, 0x03, 0x15, 20, 0x2c, 0x1b, 1, 0x58, 2, 1, b'x', 0x19, 0x21, 1, 2,
            0, 0,
        ];
        let page = page(&[&head[..], b"packed"].concat()).expect("a head");
        assert_eq!(
            (page.head, page.unpacked, page.packed),
            (head.len(), 200, 10)
        );
        for end in 0..head.len() {
            assert_eq!(super::page(&head[..end]), None, "{end}");
        }
        // Negative sizes are none.
        assert_eq!(super::page(&[0x15, 0, 0x15, 1, 0x15, 20, 0]), None);
    }

    #[test]
    fn damage_is_no_panic() {
        let whole = file(3);
        for at in 0..whole.len() {
            levels(&whole[4..][..at.saturating_sub(4)]);
            for bit in 0..8 {
                let mut broken = whole.clone();
                broken[at] ^= 1 << bit;
                let _ = levels_of(&mut Cursor::new(&broken));
                page(&broken[at..]);
            }
        }
    }
}
