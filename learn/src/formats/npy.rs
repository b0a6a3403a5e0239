//! `application/x-npy`: arrays as NumPy writes them into files (`numpy.lib.format`, versions 1 to 3).
//!
//! Whole numbers, floats and booleans of either byte order are read as 32-bit floats; arrays are written as `<f4`. Objects, texts
//! and records are refused: the first would be code.

use super::rows::{Beside, Rows};
use super::{MAX_COLUMNS, MAX_JSON, unreadable};
use crate::{Answers, Error, Result, Values};
use std::io::Read;

const MAGIC: &[u8] = b"\x93NUMPY";
/// Most bytes of what stands before the numbers.
const MAX_HEADER: usize = 64 << 10;
/// Most dimensions.
const MAX_DIMENSIONS: usize = 8;

/// An array of numbers, the last index going fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its dimensions; none of a single number.
    pub shape: Vec<usize>,
    /// As many numbers as the product of the dimensions.
    pub values: Vec<f32>,
}

/// What stands before the numbers.
struct Header<'a> {
    kind: &'a str,
    fortran: bool,
    shape: Vec<usize>,
}

impl Array {
    /// Reads an array.
    ///
    /// # Errors
    /// A sentence with what is wrong with it.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let (header, body) = split(bytes)?;
        let header = read_header(header)?;
        let count = header
            .shape
            .iter()
            .try_fold(1_usize, |all, one| all.checked_mul(*one));
        let (order, kind) = match header.kind.split_at_checked(1) {
            Some((order @ ("<" | ">" | "|" | "="), kind)) => (order, kind),
            _ => ("<", header.kind),
        };
        let (width, number) = reader(kind).ok_or_else(|| {
            format!(
                "its numbers are {:?}; whole numbers, f4, f8 and booleans are read",
                header.kind
            )
        })?;
        let whole = count.and_then(|count| count.checked_mul(width));
        if whole != Some(body.len()) {
            return Err(format!(
                "it has {} bytes of numbers, and its shape {:?} says another number",
                body.len(),
                header.shape
            ));
        }
        let mut swapped = [0_u8; 8];
        let values = body.chunks_exact(width).map(|bytes| match order {
            ">" => {
                let swapped = &mut swapped[..width];
                swapped.copy_from_slice(bytes);
                swapped.reverse();
                number(swapped)
            }
            _ => number(bytes),
        });
        let values: Vec<f32> = values.collect();
        Ok(match (header.fortran, &header.shape[..]) {
            (true, [rows, columns]) => {
                let (rows, columns) = (*rows, *columns);
                let at = |index: usize| values[index % columns * rows + index / columns];
                Self {
                    values: (0..values.len()).map(at).collect(),
                    shape: header.shape,
                }
            }
            (true, [_, _, _, ..]) => {
                return Err(
                    "it has its first index going fastest; write it in C's order".to_owned(),
                );
            }
            _ => Self {
                shape: header.shape,
                values,
            },
        })
    }

    /// The array as a file.
    pub fn write(&self) -> Vec<u8> {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        // A tuple of one has a comma behind it.
        let one = if shape.len() == 1 { "," } else { "" };
        let mut header = format!(
            "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}{one}), }}",
            shape.join(", ")
        );
        // The numbers begin at a multiple of 64.
        let before = MAGIC.len() + 4 + header.len() + 1;
        header.push_str(&" ".repeat(before.next_multiple_of(64) - before));
        header.push('\n');
        let mut out = Vec::with_capacity(before + 64 + 4 * self.values.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[1, 0]);
        out.extend_from_slice(&(header.len() as u16).to_le_bytes());
        out.extend_from_slice(header.as_bytes());
        for value in &self.values {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out
    }
}

/// What stands before the numbers, and they.
fn split(bytes: &[u8]) -> std::result::Result<(&str, &[u8]), String> {
    let cut = || "it is cut off".to_owned();
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or("it is no array of NumPy's: it does not begin with \\x93NUMPY")?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        other => return Err(format!("its version {other} is not read; 1 to 3 are")),
    };
    if length > MAX_HEADER {
        return Err("its header is too long".to_owned());
    }
    let (header, body) = rest.split_at_checked(length).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is no text")?;
    Ok((header, body))
}

/// A literal of Python's: `{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }`.
fn read_header(header: &str) -> std::result::Result<Header<'_>, String> {
    let member = |name: &str| {
        let (_, rest) = header.split_once(&format!("'{name}':"))?;
        Some(rest.trim_start())
    };
    let kind = member("descr").and_then(|rest| rest.strip_prefix('\''));
    let kind = kind
        .and_then(|rest| rest.split_once('\''))
        .map(|(kind, _)| kind);
    let fortran = member("fortran_order").and_then(|rest| match rest {
        rest if rest.starts_with("True") => Some(true),
        rest if rest.starts_with("False") => Some(false),
        _ => None,
    });
    let shape = member("shape").and_then(|rest| rest.strip_prefix('('));
    let shape = shape.and_then(|rest| {
        let (inside, _) = rest.split_once(')')?;
        let sizes = inside
            .split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty());
        sizes
            .map(|one| one.parse().ok())
            .collect::<Option<Vec<usize>>>()
    });
    match (kind, fortran, shape) {
        (Some(kind), Some(fortran), Some(shape)) if shape.len() <= MAX_DIMENSIONS => Ok(Header {
            kind,
            fortran,
            shape,
        }),
        _ => Err("its header is not one of an array of numbers".to_owned()),
    }
}

type Number = fn(&[u8]) -> f32;

/// How many bytes a number has, and what it is.
fn reader(kind: &str) -> Option<(usize, Number)> {
    macro_rules! number {
        ($kind:ty) => {
            (size_of::<$kind>(), |bytes: &[u8]| {
                <[u8; size_of::<$kind>()]>::try_from(bytes)
                    .map_or(f32::NAN, |bytes| <$kind>::from_le_bytes(bytes) as f32)
            })
        };
    }
    Some(match kind {
        "f4" => number!(f32),
        "f8" => number!(f64),
        "i1" => number!(i8),
        "i2" => number!(i16),
        "i4" => number!(i32),
        "i8" => number!(i64),
        "u1" | "b1" => number!(u8),
        "u2" => number!(u16),
        "u4" => number!(u32),
        "u8" => number!(u64),
        _ => return None,
    })
}

/// The rows of an array of two dimensions; of one, it is one row.
pub(super) fn read(rows: &mut Rows, name: &str, input: impl Read) -> Result<()> {
    let wrong = |why: &str| Error::input(format!("{name}: {why}"));
    let mut bytes = Vec::new();
    let read = input.take(MAX_JSON as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|source| unreadable(name, source))?;
    if bytes.len() > MAX_JSON {
        return Err(wrong(&format!("it is longer than {MAX_JSON} bytes")));
    }
    let array = Array::parse(&bytes).map_err(|why| wrong(&why))?;
    let columns = match array.shape[..] {
        [columns] | [_, columns] => columns,
        _ => {
            return Err(wrong(&format!(
                "it has the shape {:?}; rows are an array of two dimensions",
                array.shape
            )));
        }
    };
    if columns == 0 || columns > MAX_COLUMNS {
        return Err(wrong(&format!("it has {columns} columns")));
    }
    for (number, row) in array.values.chunks_exact(columns).enumerate() {
        let number = number + 1;
        if let Some(column) = row.iter().position(|value| value.is_infinite()) {
            return Err(wrong(&format!(
                "row {number}: column {} is infinite, or too large",
                column + 1
            )));
        }
        rows.dense(row, Beside::default())
            .map_err(|why| wrong(&format!("row {number}: {why}")))?;
    }
    Ok(())
}

/// All that is said of a row, one number after the other; an array of one dimension where that is one number.
pub(super) fn render(answers: &Answers) -> Vec<u8> {
    let rows = answers.rows();
    let width: usize = answers
        .fields
        .iter()
        .map(|field| field.values.width())
        .sum();
    let mut values = Vec::with_capacity(rows * width);
    for row in 0..rows {
        for field in &answers.fields {
            match &field.values {
                Values::Numbers(numbers) => values.push(numbers[row]),
                Values::Whole(numbers) => values.push(numbers[row] as f32),
                Values::Vectors { width, values: all } => {
                    values.extend_from_slice(&all[row * width..][..*width]);
                }
            }
        }
    }
    let shape = match width {
        1 => vec![rows],
        width => vec![rows, width],
    };
    Array { shape, values }.write()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Format, read};
    use crate::{Features, Field};
    use proptest::prelude::*;

    fn file(header: &str, body: &[u8]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&[1, 0]);
        out.extend_from_slice(&(header.len() as u16).to_le_bytes());
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(body);
        out
    }

    /// As NumPy 2.4 writes it.
    fn header(kind: &str, fortran: &str, shape: &str) -> String {
        let begin =
            format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
        format!("{begin:117}\n")
    }

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits = (0..hexadecimal.len()).step_by(2);
        digits
            .map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap())
            .collect()
    }

    /// The numbers are what `numpy.save` of NumPy 2.4 wrote of these arrays.
    #[test]
    fn arrays_of_either_order_are_rows() {
        let body = bytes(
            "000000000000f03f0000000000000440000000000000f87f00000000000008c000000000000000000000000000001040",
        );
        let whole = file(&header("<f8", "False", "(2, 3)"), &body);
        let table = read(Format::Npy, "a", &whole[..]).unwrap();
        let Features::Dense { columns, values } = &table.features else {
            panic!("sparse")
        };
        assert_eq!(*columns, 3);
        assert!(values[2].is_nan());
        assert_eq!((values[0], values[1], values[3]), (1.0, 2.5, -3.0));

        let body = bytes("3f800000c040000040200000000000004110000040800000");
        let array = Array::parse(&file(&header(">f4", "True", "(2, 3)"), &body)).unwrap();
        assert_eq!(array.values, [1.0, 2.5, 9.0, -3.0, 0.0, 4.0]);
        let array = Array::parse(&file(&header("|u1", "False", "(2,)"), &[7, 255])).unwrap();
        assert_eq!((array.shape, array.values), (vec![2], vec![7.0, 255.0]));
    }

    #[test]
    fn what_is_written_is_as_numpy_writes_it() {
        let array = Array {
            shape: vec![2, 3],
            values: vec![1.0, 2.5, 3.0, -3.0, 0.0, 4.0],
        };
        let written = array.write();
        assert_eq!(Array::parse(&written).unwrap(), array);
        let numbers = bytes("0000803f0000204000004040000040c00000000000008040");
        assert_eq!(written, file(&header("<f4", "False", "(2, 3)"), &numbers));
        let one = Array {
            shape: vec![1],
            values: vec![1.0],
        };
        let numbers = 1_f32.to_le_bytes();
        assert_eq!(one.write(), file(&header("<f4", "False", "(1,)"), &numbers));
    }

    #[test]
    fn answers_are_arrays() {
        let field = |name, values| Field { name, values };
        let one = Answers {
            list: "predictions",
            fields: vec![field("score", Values::Numbers(vec![0.5, 1.0]))],
        };
        assert_eq!(Array::parse(&render(&one)).unwrap().shape, [2]);
        let many = Answers {
            list: "predictions",
            fields: vec![
                field("predicted_label", Values::Whole(vec![1, 0])),
                field(
                    "score",
                    Values::Vectors {
                        width: 2,
                        values: vec![0.1, 0.9, 0.8, 0.2],
                    },
                ),
            ],
        };
        let array = Array::parse(&render(&many)).unwrap();
        assert_eq!(array.shape, [2, 3]);
        assert_eq!(array.values, [1.0, 0.1, 0.9, 0.0, 0.8, 0.2]);
    }

    #[test]
    fn what_is_no_array_of_numbers_is_refused() {
        for (bytes, why) in [
            (b"PK".to_vec(), "no array of NumPy's"),
            (MAGIC.to_vec(), "cut off"),
            (
                file(&header("|O", "False", "(1,)"), &[0; 8]),
                "its numbers are \"|O\"",
            ),
            (
                file(&header("<f4", "False", "(2,)"), &[0; 4]),
                "another number",
            ),
            (
                file(&header("<f4", "False", "(4611686018427387904, 4)"), &[]),
                "another number",
            ),
            (file("{}", &[]), "its header"),
            (
                file(&header("<f4", "True", "(1, 1, 1)"), &[0; 4]),
                "C's order",
            ),
        ] {
            let refused = Array::parse(&bytes).expect_err(why);
            assert!(refused.contains(why), "{refused}");
        }
        for (shape, why) in [("()", "shape []"), ("(1, 1, 1)", "shape [1, 1, 1]")] {
            let bytes = file(&header("<f4", "False", shape), &[0; 4]);
            let refused = read(Format::Npy, "a", &bytes[..])
                .expect_err(why)
                .to_string();
            assert!(refused.contains(why), "{refused}");
        }
        let bytes = file(&header("<f8", "False", "(1, 1)"), &1e300_f64.to_le_bytes());
        let refused = read(Format::Npy, "a", &bytes[..])
            .expect_err("refused")
            .to_string();
        assert!(refused.contains("too large"), "{refused}");
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}(),:'<>|a-z0-9 ]{0,80}") {
            let _ = Array::parse(&bytes);
            let _ = Array::parse(&file(&text, &bytes));
        }
    }
}
