//! The checksums that S3 knows, computed while bytes pass by.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A checksum that S3 knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    /// The CRC of zip and PNG.
    Crc32,
    /// Castagnoli's.
    Crc32c,
    /// That of NVM Express.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// All of them.
pub const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::Crc32,
    Algorithm::Crc32c,
    Algorithm::Crc64Nvme,
    Algorithm::Sha1,
    Algorithm::Sha256,
];

impl Algorithm {
    /// As S3 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The one that S3 writes so.
    pub fn named(name: &str) -> Option<Self> {
        ALGORITHMS.into_iter().find(|one| one.name() == name)
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Whether the checksums of parts can be made that of the whole.
    pub fn combines(self) -> bool {
        self.crc().is_some()
    }

    fn bytes(self, crc: u64) -> Vec<u8> {
        let bytes = crc.to_be_bytes();
        match self {
            Self::Crc64Nvme => bytes.to_vec(),
            _ => bytes[4..].to_vec(),
        }
    }

    /// The checksum of bytes.
    pub fn of(self, bytes: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(self);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The checksum of two pieces one after the other, of which the second has so many bytes; none where that cannot be
    /// known from those of the pieces.
    pub fn combined(self, first: &[u8], second: &[u8], length: u64) -> Option<Vec<u8>> {
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let crc = self.crc()?;
        let both = crc_fast::checksum_combine(crc, number(first), number(second), length);
        Some(self.bytes(both))
    }
}

/// A checksum and what it is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// How it was computed.
    pub algorithm: Algorithm,
    /// It, in base64; of a composite one also a hyphen and how many parts there are.
    pub value: String,
    /// Whether it is of the parts' checksums, not of the bytes.
    pub composite: bool,
}

impl Checksum {
    /// That of bytes.
    pub fn whole(algorithm: Algorithm, bytes: &[u8]) -> Self {
        Self {
            algorithm,
            value: STANDARD.encode(bytes),
            composite: false,
        }
    }

    /// Its bytes, where it is of bytes.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self.composite {
            true => None,
            false => STANDARD.decode(&self.value).ok(),
        }
    }
}

enum Hasher {
    Crc(Algorithm, crc_fast::Digest),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match (algorithm, algorithm.crc()) {
            (_, Some(crc)) => Self::Crc(algorithm, crc_fast::Digest::new(crc)),
            (Algorithm::Sha1, None) => Self::Sha1(Sha1::new()),
            (_, None) => Self::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(_, digest) => digest.update(bytes),
            Self::Sha1(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc(algorithm, digest) => algorithm.bytes(digest.finalize()),
            Self::Sha1(hash) => hash.finalize().to_vec(),
            Self::Sha256(hash) => hash.finalize().to_vec(),
        }
    }
}

/// The MD5 of what passes by, and other checksums of it.
pub struct Digests {
    md5: Md5,
    others: Vec<(Algorithm, Hasher)>,
}

/// What [`Digests`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summed {
    /// The MD5.
    pub md5: [u8; 16],
    /// The others.
    pub others: Vec<(Algorithm, Vec<u8>)>,
}

impl Digests {
    /// The MD5 and these.
    pub fn new(others: &[Algorithm]) -> Self {
        let others = others.iter().map(|one| (*one, Hasher::new(*one)));
        Self {
            md5: Md5::new(),
            others: others.collect(),
        }
    }

    /// More bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        for (_, hasher) in &mut self.others {
            hasher.update(bytes);
        }
    }

    /// No more bytes.
    pub fn finish(self) -> Summed {
        let others = self.others.into_iter();
        Summed {
            md5: self.md5.finalize().into(),
            others: others.map(|(one, hasher)| (one, hasher.finish())).collect(),
        }
    }
}

/// Bytes in hexadecimal digits, as ETags are written.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the catalogue of CRCs and of FIPS 180, all of the same nine digits; those of the SHAs were made
    /// with `sha1sum` and `sha256sum`.
    #[test]
    fn the_published_values_come_out() {
        for (algorithm, value) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (
                Algorithm::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ] {
            let mut digests = Digests::new(&[algorithm]);
            digests.update(b"1234");
            digests.update(b"56789");
            let summed = digests.finish();
            assert_eq!(hex(&summed.others[0].1), value, "{algorithm:?}");
            assert_eq!(hex(&summed.md5), "25f9e794323b453885f5181f1b624d0b");
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
            let combined = algorithm.combined(&algorithm.of(b"1234"), &algorithm.of(b"56789"), 5);
            assert_eq!(
                combined.map(|bytes| hex(&bytes)),
                algorithm.combines().then(|| value.to_owned())
            );
        }
    }
}
