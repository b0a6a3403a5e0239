//! The one message of Protocol Buffers that SageMaker's algorithms speak, `aialgs.data.Record`, written out by hand: it has
//! five fields and will not change.
//!
//! ```text
//! Record        { map<string, Value> features = 1; map<string, Value> label = 2; string uid = 3; string metadata = 4; … }
//! Value         { oneof { Float32Tensor = 2; Float64Tensor = 3; Int32Tensor = 7; Bytes = 9 } }
//! …Tensor       { repeated values = 1; repeated uint64 keys = 2; repeated uint64 shape = 3 }   // packed
//! ```

/// A tensor of any of the three types, its values made `f32`. With keys, it has values only there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// The values.
    pub values: Vec<f32>,
    /// Where each value is, counted from 0 through the whole shape.
    pub keys: Vec<u64>,
    /// How long each side is; none where it need not be said.
    pub shape: Vec<u64>,
}

/// What a record says of itself: tensors with names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// What is known. That of a table is named `values`.
    pub features: Vec<(String, Tensor)>,
    /// What is to be learned, or was answered.
    pub label: Vec<(String, Tensor)>,
}

type Read<T> = Result<T, String>;

/// Bytes of one message, read field by field.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Read<u64> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or("it ends within a number")?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number is longer than 64 bits".to_owned())
    }

    fn take(&mut self, length: u64) -> Read<&'a [u8]> {
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.0.len());
        let (bytes, rest) = self.0.split_at(length.ok_or("it ends within a field")?);
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (bytes, rest) = self
            .0
            .split_first_chunk()
            .ok_or("it ends within a number")?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn next(&mut self) -> Read<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Fixed64(self.array()?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(self.array()?),
            other => return Err(format!("it has a field of wire type {other}")),
        };
        Ok(Some((tag >> 3, value)))
    }
}

impl Record {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// A sentence about what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Read<Self> {
        let mut record = Self::default();
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            let side = match number {
                1 => &mut record.features,
                2 => &mut record.label,
                _ => continue,
            };
            let Value::Bytes(bytes) = value else {
                return Err(format!("field {number} is no message"));
            };
            side.extend(entry(bytes)?);
        }
        Ok(record)
    }

    /// Writes a message, its tensors as `Float32Tensor`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, side) in [(1, &self.features), (2, &self.label)] {
            for (name, tensor) in side {
                let mut inner = Vec::new();
                message(&mut inner, 1, &f32s(&tensor.values));
                message(&mut inner, 2, &varints(&tensor.keys));
                message(&mut inner, 3, &varints(&tensor.shape));
                let mut value = Vec::new();
                field(&mut value, 2, &inner);
                let mut entry = Vec::new();
                field(&mut entry, 1, name.as_bytes());
                field(&mut entry, 2, &value);
                field(&mut out, number, &entry);
            }
        }
        out
    }
}

/// An entry of a map; none where its value is no tensor.
fn entry(bytes: &[u8]) -> Read<Option<(String, Tensor)>> {
    let mut name = String::new();
    let mut tensor = None;
    let mut fields = Fields(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) => {
                name = String::from_utf8(bytes.to_vec()).map_err(|_| "a name is no text")?;
            }
            (2, Value::Bytes(bytes)) => {
                let mut inner = Fields(bytes);
                while let Some(field) = inner.next()? {
                    match field {
                        (2, Value::Bytes(bytes)) => tensor = Some(floats(bytes)?),
                        (3, Value::Bytes(bytes)) => tensor = Some(doubles(bytes)?),
                        (7, Value::Bytes(bytes)) => tensor = Some(integers(bytes)?),
                        (9, Value::Bytes(_)) => {
                            return Err(format!("{name:?} is bytes, and no tensor of numbers"));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(tensor.map(|tensor| (name, tensor)))
}

/// Reads what the three tensors share and leaves their values to the caller.
fn tensor(bytes: &[u8], mut value: impl FnMut(&mut Vec<f32>, Value) -> Read<()>) -> Read<Tensor> {
    let mut tensor = Tensor::default();
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        let list = match number {
            1 => {
                value(&mut tensor.values, field)?;
                continue;
            }
            2 => &mut tensor.keys,
            3 => &mut tensor.shape,
            _ => continue,
        };
        match field {
            Value::Number(one) => list.push(one),
            Value::Bytes(bytes) => {
                let mut packed = Fields(bytes);
                while !packed.0.is_empty() {
                    list.push(packed.varint()?);
                }
            }
            _ => return Err("keys and shapes are whole numbers".to_owned()),
        }
    }
    Ok(tensor)
}

fn floats(bytes: &[u8]) -> Read<Tensor> {
    tensor(bytes, |values, field| match field {
        Value::Fixed32(one) => {
            values.push(f32::from_le_bytes(one));
            Ok(())
        }
        Value::Bytes(bytes) => {
            let (chunks, []) = bytes.as_chunks() else {
                return Err("it ends within a value".to_owned());
            };
            values.extend(chunks.iter().map(|one| f32::from_le_bytes(*one)));
            Ok(())
        }
        _ => Err("a value is no number of 32 bits".to_owned()),
    })
}

fn doubles(bytes: &[u8]) -> Read<Tensor> {
    tensor(bytes, |values, field| match field {
        Value::Fixed64(one) => {
            values.push(f64::from_le_bytes(one) as f32);
            Ok(())
        }
        Value::Bytes(bytes) => {
            let (chunks, []) = bytes.as_chunks() else {
                return Err("it ends within a value".to_owned());
            };
            values.extend(chunks.iter().map(|one| f64::from_le_bytes(*one) as f32));
            Ok(())
        }
        _ => Err("a value is no number of 64 bits".to_owned()),
    })
}

fn integers(bytes: &[u8]) -> Read<Tensor> {
    // Negative ones are sent as 64 bits; the lower 32 are the number.
    let whole = |number: u64| number as i32 as f32;
    tensor(bytes, |values, field| match field {
        Value::Number(one) => {
            values.push(whole(one));
            Ok(())
        }
        Value::Bytes(bytes) => {
            let mut packed = Fields(bytes);
            while !packed.0.is_empty() {
                values.push(whole(packed.varint()?));
            }
            Ok(())
        }
        _ => Err("a value is no whole number".to_owned()),
    })
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of bytes.
fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A packed list, which is left out when it is empty.
fn message(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    if !bytes.is_empty() {
        field(out, number, bytes);
    }
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn varints(values: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        varint(&mut out, *value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tensors() -> impl Strategy<Value = Vec<(String, Tensor)>> {
        let tensor = (
            proptest::collection::vec(-1e6_f32..1e6, 0..5),
            proptest::collection::vec(any::<u64>(), 0..5),
            proptest::collection::vec(any::<u64>(), 0..3),
        );
        proptest::collection::vec(
            ("[a-z]{0,6}", tensor).prop_map(|(name, (values, keys, shape))| {
                let tensor = Tensor {
                    values,
                    keys,
                    shape,
                };
                (name, tensor)
            }),
            0..3,
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(features in tensors(), label in tensors()) {
            let record = Record { features, label };
            prop_assert_eq!(Record::decode(&record.encode()).unwrap(), record);
        }

        #[test]
        fn no_bytes_bring_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Record::decode(&bytes);
        }
    }

    #[test]
    fn lists_that_are_not_packed_are_read() {
        // features { "v": float32_tensor { values: 1.5, values: 2.5, keys: 3, shape: 300 } }
        let tensor = [
            0x0d, 0, 0, 0xc0, 0x3f, 0x0d, 0, 0, 0x20, 0x40, 0x10, 3, 0x18, 0xac, 0x02,
        ];
        let mut value = Vec::new();
        field(&mut value, 2, &tensor);
        let mut entry = Vec::new();
        field(&mut entry, 1, b"v");
        field(&mut entry, 2, &value);
        let mut bytes = Vec::new();
        field(&mut bytes, 1, &entry);
        let record = Record::decode(&bytes).unwrap();
        let expected = Tensor {
            values: vec![1.5, 2.5],
            keys: vec![3],
            shape: vec![300],
        };
        assert_eq!(record.features, [("v".to_owned(), expected)]);
    }
}
