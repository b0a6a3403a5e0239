//! SHA-256 of files and streams, read once, in bounded memory.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

/// A SHA-256 digest, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Hex([u8; 32]);

impl Sha256Hex {
    /// The first 12 digits.
    pub(crate) fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256Hex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("\"{text}\" is not a SHA-256 (64 hexadecimal digits)");
        let mut digits = text.chars();
        let mut digest = [0; 32];
        for byte in &mut digest {
            let mut nibble = || {
                digits
                    .next()
                    .and_then(|c| c.to_digit(16))
                    .ok_or_else(refuse)
            };
            // Two hexadecimal digits fit a byte.
            *byte = (nibble()? << 4 | nibble()?) as u8;
        }
        if digits.next().is_some() {
            Err(refuse())
        } else {
            Ok(Self(digest))
        }
    }
}

impl TryFrom<String> for Sha256Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Sha256Hex> for String {
    fn from(digest: Sha256Hex) -> Self {
        digest.to_string()
    }
}

/// The digest of bytes in memory.
pub(crate) fn of_bytes(bytes: &[u8]) -> Sha256Hex {
    Sha256Hex(Sha256::digest(bytes).into())
}

/// The digest and size of a file.
pub(crate) fn of_file(path: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<(Sha256Hex, u64)> {
    copy(&mut File::open(path)?, &mut io::sink(), u64::MAX, progress)
}

/// Copies at most `limit` bytes, and gives the digest and count of what was copied. `progress` is told the
/// count so far. A reader that has more than `limit` is an error ([`io::ErrorKind::FileTooLarge`]).
pub(crate) fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    limit: u64,
    progress: &mut dyn FnMut(u64),
) -> io::Result<(Sha256Hex, u64)> {
    let mut digest = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut total = 0u64;
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        total += read as u64;
        if total > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("more than the {limit} bytes expected"),
            ));
        }
        digest.update(&chunk[..read]);
        to.write_all(&chunk[..read])?;
        progress(total);
    }
    Ok((Sha256Hex(digest.finalize().into()), total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_match_the_published_vectors() {
        // FIPS 180-2, appendix B, and the empty message.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of_bytes(b"abc").to_string(), abc);
        assert_eq!(of_bytes(b"").to_string(), empty);
        let mut out = Vec::new();
        let (digest, total) = copy(&mut &b"abc"[..], &mut out, 3, &mut |_| ()).unwrap();
        assert_eq!(
            (digest, total, out.as_slice()),
            (abc.parse().unwrap(), 3, &b"abc"[..])
        );
    }

    #[test]
    fn a_longer_stream_than_expected_is_cut_off() {
        let error = copy(&mut &b"abcd"[..], &mut Vec::new(), 3, &mut |_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn only_64_digits_are_a_digest() {
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(65), &"é".repeat(32)] {
            assert!(bad.parse::<Sha256Hex>().is_err(), "{bad}");
        }
    }
}
