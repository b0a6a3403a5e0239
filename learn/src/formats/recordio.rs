//! `application/x-recordio-protobuf`: messages of [`Record`] one after another, each behind eight bytes: a magic number and
//! its length, both little-endian. Records begin at multiples of four bytes.

use super::record::{Record, Tensor};
use super::rows::{Beside, Rows};
use super::{MAX_ROW, unreadable};
use crate::{Answers, Error, Features, Result, Table, Values};
use std::io::{BufRead, ErrorKind, Read, Write};

const MAGIC: u32 = 0xced7_230a;
/// The upper bits of a length say which part of a record this is; whole ones have none set.
const LENGTH: u32 = (1 << 29) - 1;

pub(super) fn read(rows: &mut Rows, name: &str, mut input: impl BufRead) -> Result<()> {
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        if input
            .fill_buf()
            .map_err(|source| unreadable(name, source))?
            .is_empty()
        {
            return Ok(());
        }
        number += 1;
        let wrong = |why: String| Error::input(format!("{name}: record {number}: {why}"));
        let failed = |source: std::io::Error| match source.kind() {
            ErrorKind::UnexpectedEof => wrong("the file ends within it".to_owned()),
            _ => unreadable(name, source),
        };
        let mut head = [0; 8];
        input.read_exact(&mut head).map_err(failed)?;
        let [magic, length] = [0, 4]
            .map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        if magic != MAGIC {
            return Err(wrong(format!(
                "it begins with {magic:#010x}, and records of RecordIO do with {MAGIC:#010x}"
            )));
        }
        if length & !LENGTH != 0 {
            return Err(wrong("it is a part of a record that was split".to_owned()));
        }
        let length = length as usize;
        if length > MAX_ROW {
            return Err(wrong(format!(
                "it has {length} bytes, and records have at most {MAX_ROW}"
            )));
        }
        bytes.clear();
        // `take` grows with what is there: a length without the bytes reserves nothing.
        let padded = length.next_multiple_of(4);
        (&mut input)
            .take(padded as u64)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let bytes = bytes
            .get(..length)
            .ok_or_else(|| wrong("the file ends within it".to_owned()))?;
        Record::decode(bytes)
            .and_then(|record| push(rows, record))
            .map_err(wrong)?;
    }
}

fn push(rows: &mut Rows, record: Record) -> std::result::Result<(), String> {
    let mut beside = Beside::default();
    for (name, tensor) in &record.label {
        let slot = match name.as_str() {
            "values" => &mut beside.label,
            "weights" => &mut beside.weight,
            _ => continue,
        };
        let [value] = tensor.values.as_slice() else {
            return Err(format!(
                "its label has {} {name}, and rows have one",
                tensor.values.len()
            ));
        };
        *slot = Some(*value);
    }
    let names: Vec<_> = record
        .features
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    // Of an entry that is there twice, the last counts, as in every map of Protocol Buffers.
    let tensor = record
        .features
        .into_iter()
        .rev()
        .find_map(|(name, tensor)| (name == "values").then_some(tensor))
        .ok_or_else(|| format!("its features are {names:?}, and a row is named \"values\""))?;
    if tensor.values.iter().any(|value| value.is_infinite()) {
        return Err("a value is infinite".to_owned());
    }
    let whole = |list: Vec<u64>| {
        list.into_iter()
            .map(|one| u32::try_from(one).map_err(|_| format!("{one} is too large a key or shape")))
            .collect::<std::result::Result<Vec<_>, _>>()
    };
    let shape: Vec<_> = whole(tensor.shape)?
        .into_iter()
        .map(|side| side as usize)
        .collect();
    rows.tensor(tensor.values, whole(tensor.keys)?, &shape, beside)
}

fn frame(out: &mut impl Write, message: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(message.len())
        .ok()
        .filter(|length| *length <= LENGTH)
        .ok_or_else(|| std::io::Error::new(ErrorKind::InvalidData, "a row is too long"))?;
    out.write_all(&MAGIC.to_le_bytes())?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(message)?;
    out.write_all(&[0; 3][..message.len().next_multiple_of(4) - message.len()])
}

/// Writes a table as records, as SageMaker's Python SDK does.
///
/// # Errors
///
/// If the writer fails, or a row has more than 512 MiB.
pub fn write_table(table: &Table, out: &mut impl Write) -> std::io::Result<()> {
    let one = |values: &Option<Vec<f32>>, row: usize| {
        values.as_ref().map(|values| Tensor {
            values: vec![values[row]],
            ..Tensor::default()
        })
    };
    for row in 0..table.rows() {
        let tensor = match &table.features {
            Features::Dense { columns, values } => Tensor {
                values: values[row * columns..][..*columns].to_vec(),
                ..Tensor::default()
            },
            Features::Sparse(csr) => {
                let (keys, values) = csr.row(row);
                Tensor {
                    values: values.to_vec(),
                    keys: keys.iter().map(|key| u64::from(*key)).collect(),
                    shape: vec![csr.columns as u64],
                }
            }
        };
        let mut label = Vec::new();
        for (name, values) in [("values", &table.labels), ("weights", &table.weights)] {
            label.extend(one(values, row).map(|tensor| (name.to_owned(), tensor)));
        }
        let record = Record {
            features: vec![("values".to_owned(), tensor)],
            label,
        };
        frame(out, &record.encode())?;
    }
    Ok(())
}

pub(super) fn render(answers: &Answers) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    for row in 0..answers.rows() {
        let label = answers.fields.iter().map(|field| {
            let values = match &field.values {
                Values::Numbers(values) => vec![values[row]],
                Values::Whole(values) => vec![values[row] as f32],
                Values::Vectors { width, values } => values[row * width..][..*width].to_vec(),
            };
            let tensor = Tensor {
                values,
                ..Tensor::default()
            };
            (field.name.to_owned(), tensor)
        });
        let record = Record {
            features: Vec::new(),
            label: label.collect(),
        };
        frame(&mut out, &record.encode())?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Field;
    use crate::formats::{Accept, Format, read, render};

    fn table(bytes: &[u8]) -> Table {
        read(Format::RecordIo, "golden", bytes).unwrap()
    }

    fn written(table: &Table) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_table(table, &mut bytes).unwrap();
        bytes
    }

    /// Files of `tests/golden/formats.py`, made by SageMaker's Python SDK.
    const DENSE: &[u8] = include_bytes!("../../tests/golden/formats/dense32.pbr");
    const DENSE64: &[u8] = include_bytes!("../../tests/golden/formats/dense64.pbr");
    const WHOLE: &[u8] = include_bytes!("../../tests/golden/formats/int32.pbr");
    const SPARSE: &[u8] = include_bytes!("../../tests/golden/formats/sparse32.pbr");
    const ANSWERS: &[u8] = include_bytes!("../../tests/golden/formats/answers.pbr");

    #[test]
    fn dense_records_of_the_sdk_are_read_and_written() {
        let expected = Table::dense(3, vec![1.5, -2.0, 3.25, 0.0, 1e-3, 1e6])
            .unwrap()
            .labelled(vec![1.0, 0.0])
            .unwrap();
        assert_eq!(table(DENSE), expected);
        assert_eq!(written(&expected), DENSE);
        assert_eq!(table(DENSE64), expected);
    }

    #[test]
    fn whole_numbers_of_the_sdk_are_read() {
        let expected = Table::dense(2, vec![1.0, -2.0, 300.0, 0.0])
            .unwrap()
            .labelled(vec![7.0, -1.0])
            .unwrap();
        assert_eq!(table(WHOLE), expected);
    }

    #[test]
    fn sparse_records_of_the_sdk_are_read_and_written() {
        let table = table(SPARSE);
        let Features::Sparse(csr) = &table.features else {
            panic!("dense")
        };
        assert_eq!(csr.columns, 300);
        assert_eq!(csr.row(0), (&[0, 200][..], &[1.0, 2.5][..]));
        assert_eq!(csr.row(1), (&[][..], &[][..]));
        assert_eq!(csr.row(2), (&[299][..], &[-4.0][..]));
        assert_eq!(table.labels.as_deref(), Some(&[1.0, 0.0, 1.0][..]));
        assert_eq!(written(&table), SPARSE);
    }

    #[test]
    fn answers_are_the_records_that_the_sdk_would_write() {
        let answers = Answers {
            list: "predictions",
            fields: vec![
                Field {
                    name: "closest_cluster",
                    values: Values::Whole(vec![5, 2]),
                },
                Field {
                    name: "distance_to_cluster",
                    values: Values::Numbers(vec![36.5, 90.25]),
                },
            ],
        };
        assert_eq!(render(&answers, Accept::RecordIo).unwrap(), ANSWERS);
    }
}
