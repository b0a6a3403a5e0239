//! Arrays of 32-bit floats that lie at known places of a file, whatever the file is.
//!
//! A file that is pinned by its SHA-256 has its arrays always at the same places. Where a container stores them
//! contiguous and uncompressed (HDF5 as Keras writes it), the places are data of the catalogue and a reader of
//! the container would add nothing.

use super::safetensors::{Contents, Tensor};
use super::{Bytes, Error};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Raised when the conversion of the same file changes.
pub const REVISION: u32 = 1;

/// Where an array lies: little-endian 32-bit floats, row-major, without gaps.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// Its first byte.
    pub offset: usize,
    /// Its dimensions.
    pub shape: Vec<usize>,
}

/// The arrays as tensors under their names.
///
/// # Errors
/// When an array is not inside the file.
pub fn convert(file: &[u8], tensors: &BTreeMap<String, Slice>) -> Result<Contents, Error> {
    let mut contents = Contents::default();
    for (name, slice) in tensors {
        const WHAT: &str = "an array of the catalogue";
        let mut bytes = Bytes::new(file);
        bytes.take(slice.offset, WHAT)?;
        let count = slice
            .shape
            .iter()
            .try_fold(1_usize, |n, &side| n.checked_mul(side))
            .ok_or(Error::Truncated {
                at: slice.offset,
                what: WHAT,
            })?;
        let values = bytes.f32s(count, WHAT)?;
        contents
            .tensors
            .insert(name.clone(), Tensor::f32(&slice.shape, &values));
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(offset: usize, shape: &[usize]) -> BTreeMap<String, Slice> {
        let shape = shape.to_vec();
        BTreeMap::from([("a".to_owned(), Slice { offset, shape })])
    }

    #[test]
    fn arrays_are_read_where_they_lie() {
        let mut file = b"head".to_vec();
        file.extend([1.5_f32, -2.0, 7.0].iter().flat_map(|v| v.to_le_bytes()));
        let contents = convert(&file, &one(4, &[1, 2])).unwrap();
        assert_eq!(contents.tensors["a"], Tensor::f32(&[1, 2], &[1.5, -2.0]));
        let contents = convert(&file, &one(8, &[2])).unwrap();
        assert_eq!(contents.tensors["a"], Tensor::f32(&[2], &[-2.0, 7.0]));
    }

    #[test]
    fn arrays_outside_the_file_are_errors() {
        let file = [0; 16];
        for (offset, shape) in [
            (0, &[5][..]),
            (13, &[1]),
            (17, &[0]),
            (usize::MAX, &[1]),
            (0, &[usize::MAX]),
            (0, &[usize::MAX, usize::MAX]),
        ] {
            let result = convert(&file, &one(offset, shape));
            assert!(
                matches!(result, Err(Error::Truncated { .. })),
                "{offset} {shape:?}"
            );
        }
    }
}
