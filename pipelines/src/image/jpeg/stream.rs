//! The bytes of a scan without stuffing and markers.

/// Coded bytes, cut where the coder began anew.
#[derive(Debug, Default)]
pub struct Stream {
    bytes: Vec<u8>,
    /// Where each part ends.
    ends: Vec<usize>,
}

/// Whether one of eight bytes is 0xff.
fn has_ff(word: u64) -> bool {
    let inverse = !word;
    inverse.wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080 != 0
}

impl Stream {
    /// Reads from `at` in the file up to the marker that ends the scan, and answers its place. `None` when there is none or
    /// when restart markers are out of order.
    pub fn read(&mut self, file: &[u8], mut at: usize) -> Option<usize> {
        self.bytes.clear();
        self.ends.clear();
        let mut restart = 0;
        loop {
            let mut words = file.get(at..)?.as_chunks::<8>().0.iter();
            let start = at;
            at += 8 * words
                .position(|&word| has_ff(u64::from_ne_bytes(word)))
                .unwrap_or(words.len());
            at += file[at..].iter().position(|&byte| byte == 0xff)?;
            self.bytes.extend_from_slice(&file[start..at]);
            let mut mark = at + 1;
            while *file.get(mark)? == 0xff {
                mark += 1;
            }
            match file[mark] {
                0 => self.bytes.push(0xff),
                found @ 0xd0..=0xd7 if found & 7 == restart => {
                    restart = (restart + 1) & 7;
                    self.ends.push(self.bytes.len());
                }
                0xd0..=0xd7 => return None,
                _ => {
                    self.ends.push(self.bytes.len());
                    return Some(at);
                }
            }
            at = mark + 1;
        }
    }

    /// A part by its number.
    pub fn part(&self, number: usize) -> Option<&[u8]> {
        let end = *self.ends.get(number)?;
        let start = if number == 0 {
            0
        } else {
            self.ends[number - 1]
        };
        Some(&self.bytes[start..end])
    }

    /// The first part, which is all of a scan that has no restarts: what a damaged file has behind one is nobody's.
    pub fn first(&self) -> &[u8] {
        self.part(0).unwrap_or_default()
    }

    /// Number of parts.
    pub fn parts(&self) -> usize {
        self.ends.len()
    }
}
