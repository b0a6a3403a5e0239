//! safetensors, written: what other formats are converted to. (`tensors.rs` reads it.)
//!
//! The writer gives the same bytes for the same tensors (the `safetensors` crate writes metadata in the random
//! order of a hash map), so a converted file has the same checksum on every machine. Tensors are ordered by
//! falling element size and then by name, which keeps every one aligned to its element size.

use super::{Error, invalid};
use safetensors::tensor::{Dtype, TensorInfo};
use std::collections::BTreeMap;
use std::io::Write;

/// A tensor to write: its elements little-endian, row-major, contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: Vec<u8>,
}

impl Tensor {
    /// A tensor of 32-bit floats.
    pub fn f32(shape: &[usize], data: &[f32]) -> Self {
        Self::of(
            Dtype::F32,
            shape,
            data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        )
    }

    /// A tensor of signed 32-bit integers.
    pub fn i32(shape: &[usize], data: &[i32]) -> Self {
        Self::of(
            Dtype::I32,
            shape,
            data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        )
    }

    /// A vector of unsigned 32-bit integers.
    pub fn u32(data: &[u32]) -> Self {
        Self::of(
            Dtype::U32,
            &[data.len()],
            data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        )
    }

    /// A vector of signed 64-bit integers.
    pub fn i64(data: &[i64]) -> Self {
        Self::of(
            Dtype::I64,
            &[data.len()],
            data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        )
    }

    /// A vector of bytes.
    pub fn u8(data: Vec<u8>) -> Self {
        Self::of(Dtype::U8, &[data.len()], data)
    }

    fn of(dtype: Dtype, shape: &[usize], data: Vec<u8>) -> Self {
        Self {
            dtype,
            shape: shape.to_vec(),
            data,
        }
    }
}

/// What a file holds: tensors by name, and text by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// The tensors.
    pub tensors: BTreeMap<String, Tensor>,
    /// The metadata.
    pub metadata: BTreeMap<String, String>,
}

/// Writes a file.
///
/// # Errors
/// [`Error::Invalid`] when a tensor's bytes are not what its shape and type need; [`Error::Io`].
pub fn write(contents: &Contents, to: &mut impl Write) -> Result<(), Error> {
    let mut order: Vec<_> = contents.tensors.iter().collect();
    // Stable: within one element size the names stay sorted.
    order.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype.bitsize()));
    let mut header = serde_json::Map::new();
    if !contents.metadata.is_empty() {
        header.insert("__metadata__".to_owned(), json(&contents.metadata)?);
    }
    let mut end = 0usize;
    for (name, tensor) in &order {
        let start = end;
        let elements = tensor
            .shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d));
        let bytes = elements
            .and_then(|n| n.checked_mul(tensor.dtype.bitsize()))
            .map(|bits| bits / 8);
        if bytes != Some(tensor.data.len()) {
            return Err(invalid(format!(
                "tensor \"{name}\" of shape {:?} and type {:?} has {} bytes",
                tensor.shape,
                tensor.dtype,
                tensor.data.len()
            )));
        }
        end += tensor.data.len();
        let info = TensorInfo {
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            data_offsets: (start, end),
        };
        header.insert((*name).clone(), json(&info)?);
    }
    let mut head = json(&header)?.to_string().into_bytes();
    head.resize(head.len().next_multiple_of(8), b' ');
    to.write_all(&(head.len() as u64).to_le_bytes())?;
    to.write_all(&head)?;
    for (_, tensor) in &order {
        to.write_all(&tensor.data)?;
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<serde_json::Value, Error> {
    serde_json::to_value(value).map_err(|e| invalid(format!("header: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    #[test]
    fn what_is_written_reads_back_through_the_safetensors_crate() {
        let mut contents = Contents::default();
        contents
            .tensors
            .insert("bytes".into(), Tensor::u8(vec![1, 2, 3]));
        contents
            .tensors
            .insert("f".into(), Tensor::f32(&[2, 1], &[1.5, -2.0]));
        contents.tensors.insert("n".into(), Tensor::i64(&[-7]));
        contents.tensors.insert("none".into(), Tensor::u32(&[]));
        contents.metadata.insert("dim".into(), "16".into());
        let mut file = Vec::new();
        write(&contents, &mut file).unwrap();
        let read = SafeTensors::deserialize(&file).unwrap();
        assert_eq!(read.len(), 4);
        for (name, tensor) in &contents.tensors {
            let view = read.tensor(name).unwrap();
            assert_eq!(
                (view.dtype(), view.shape(), view.data()),
                (tensor.dtype, &*tensor.shape, &*tensor.data)
            );
        }
        let (_, header) = SafeTensors::read_metadata(&file).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["dim"], "16");
        let mut again = Vec::new();
        write(&contents, &mut again).unwrap();
        assert_eq!(file, again);
    }

    #[test]
    fn bytes_that_do_not_fit_the_shape_are_refused() {
        let mut contents = Contents::default();
        contents
            .tensors
            .insert("f".into(), Tensor::f32(&[3], &[1.0]));
        assert!(matches!(
            write(&contents, &mut Vec::new()),
            Err(Error::Invalid { .. })
        ));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let mut contents = Contents::default();
        contents
            .tensors
            .insert("f".into(), Tensor::f32(&[2], &[1.5, -2.0]));
        let mut file = Vec::new();
        write(&contents, &mut file).unwrap();
        for length in 0..file.len() {
            assert!(
                SafeTensors::read_metadata(&file[..length]).is_err(),
                "{length}"
            );
        }
    }
}
