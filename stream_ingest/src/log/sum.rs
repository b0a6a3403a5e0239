//! CRC-32C: the sum of Kafka's batches, and of everything else that the log writes. Every byte is summed when it comes, when
//! it is written and when it is read from the disk, so this is much of what the log computes; the crate has the widest
//! carry-less multiplications that the processor has.

use crc_fast::{CrcAlgorithm, Digest, checksum};

/// Castagnoli's polynomial, which iSCSI took up (RFC 3720).
const ALGORITHM: CrcAlgorithm = CrcAlgorithm::Crc32Iscsi;

/// The CRC-32C of these bytes.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    checksum(ALGORITHM, bytes) as u32
}

/// The CRC-32C of bytes that lie in pieces.
pub(crate) struct Sum(Digest);

impl Default for Sum {
    fn default() -> Self {
        Self(Digest::new(ALGORITHM))
    }
}

impl Sum {
    /// Goes on with these.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all that were added.
    pub fn crc32c(&self) -> u32 {
        self.0.finalize() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 3720, appendix B.4.
    #[test]
    fn sums_are_those_of_the_standard() {
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&rising), 0x46dd_794e);
        assert_eq!(crc32c(&falling), 0x113f_db5c);
    }

    #[test]
    fn pieces_have_the_sum_of_the_whole() {
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i * i / 3) as u8).collect();
        for length in [0, 1, 3, 15, 16, 17, 63, 200, 255, 256, 1000, 4999] {
            let wanted = ::crc32c::crc32c(&bytes[..length]);
            assert_eq!(crc32c(&bytes[..length]), wanted, "{length}");
            for cut in [0, 1, length / 3, length / 2, length.saturating_sub(1)] {
                let cut = cut.min(length);
                let mut sum = Sum::default();
                sum.add(&bytes[..cut]);
                sum.add(&bytes[cut..length]);
                assert_eq!(sum.crc32c(), wanted, "{cut} of {length}");
            }
        }
    }
}
