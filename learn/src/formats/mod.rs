//! The bytes that tables come in and answers go out as, under the content types of SageMaker's built-in algorithms.
//!
//! [`Reader`] makes one table of one or many files; it reads them as streams, holds no more of a file than one row, and
//! says of what it cannot read in which file and row that is. [`render`] makes the bytes of answers.
//!
//! | content type | read | written |
//! |---|---|---|
//! | `text/csv` | no header; the label first where `label_size=1` says so | yes |
//! | `text/libsvm` | `label[:weight] index:value …`, indices as they are | |
//! | `application/json` | `{"instances": […]}` | yes |
//! | `application/jsonlines` | one instance a line; of rows to learn from with `"label": 1` | yes |
//! | `application/x-recordio-protobuf` | records of `aialgs.data.Record` | yes |
//! | `application/x-npy` | an array of NumPy's, a row for each of its first index | yes |

mod csv;
mod json;
mod libsvm;
pub mod npy;
pub mod record;
mod recordio;
mod rows;

use crate::{Answers, Error, Result, Table, Values};
use rows::Rows;
use std::io::{BufRead, BufReader, Read};

pub use recordio::write_table;

/// The longest row that is read, in bytes: a line, or a record.
pub const MAX_ROW: usize = 64 << 20;
/// The longest body of `application/json` that is read, in bytes; it has no rows to cut it at.
pub const MAX_JSON: usize = 64 << 20;
/// The most columns a table may have. Algorithms keep numbers of every column, so a single key must not claim memory for four
/// milliards of them.
pub const MAX_COLUMNS: usize = 1 << 24;

/// What bytes of rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Numbers with commas between them, a row a line.
    Csv {
        /// Whether the first column is what is to be learned.
        labelled: bool,
        /// Whether the column after the label is how much the row counts.
        weighted: bool,
    },
    /// `label index:value …`, a row a line.
    Libsvm,
    /// One object with a list of instances.
    Json,
    /// An instance a line.
    JsonLines,
    /// Records of Protocol Buffers.
    RecordIo,
    /// An array of NumPy's.
    Npy,
}

impl Format {
    /// The format that a content type names. `text/csv` has labels in its first column where `label_size=1` says so; without the
    /// parameter, where `labelled` does: files that supervised algorithms learn from have them, bodies to predict have none.
    ///
    /// # Errors
    ///
    /// If it is none of these, or its parameters cannot be.
    pub fn of(content_type: &str, labelled: bool) -> Result<Self> {
        let mut parts = content_type.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut label_size = None;
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("label_size") {
                label_size = Some(match value {
                    "0" => false,
                    "1" => true,
                    _ => {
                        return Err(Error::input(format!(
                            "label_size={value} of {content_type:?} is neither 0 nor 1: rows have one label or none"
                        )));
                    }
                });
            }
        }
        match kind.as_str() {
            "text/csv" | "csv" => Ok(Self::Csv {
                labelled: label_size.unwrap_or(labelled),
                weighted: false,
            }),
            "text/libsvm" | "text/x-libsvm" | "libsvm" => Ok(Self::Libsvm),
            "application/json" => Ok(Self::Json),
            "application/jsonlines" | "application/x-jsonlines" => Ok(Self::JsonLines),
            "application/x-recordio-protobuf" | "recordio-protobuf" => Ok(Self::RecordIo),
            "application/x-npy" => Ok(Self::Npy),
            _ => Err(Error::input(format!(
                "content type {content_type:?} is none of text/csv, text/libsvm, application/json, application/jsonlines, \
                 application/x-recordio-protobuf, application/x-npy"
            ))),
        }
    }
}

/// Reads files into one table.
pub struct Reader {
    format: Format,
    rows: Rows,
}

impl Reader {
    /// A table without rows, yet.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            rows: Rows::default(),
        }
    }

    /// The rows of a file, below those that were read before. `name` is what errors call it.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is not of the format; a value that is no number is named with its row and column, from 1.
    pub fn read(&mut self, name: &str, input: impl Read) -> Result<()> {
        let input = BufReader::with_capacity(1 << 17, input);
        match self.format {
            Format::Csv { labelled, weighted } => {
                csv::read(&mut self.rows, name, input, labelled, weighted)
            }
            Format::Libsvm => libsvm::read(&mut self.rows, name, input),
            Format::Json => json::read(&mut self.rows, name, input),
            Format::JsonLines => json::read_lines(&mut self.rows, name, input),
            Format::RecordIo => recordio::read(&mut self.rows, name, input),
            Format::Npy => npy::read(&mut self.rows, name, input),
        }
    }

    /// The table.
    ///
    /// # Errors
    ///
    /// If there are no rows.
    pub fn table(self) -> Result<Table> {
        self.rows.table()
    }
}

/// The table in one body.
///
/// # Errors
///
/// As [`Reader::read`] and [`Reader::table`].
pub fn read(format: Format, name: &str, input: impl Read) -> Result<Table> {
    let mut reader = Reader::new(format);
    reader.read(name, input)?;
    reader.table()
}

fn unreadable(name: &str, source: std::io::Error) -> Error {
    Error::File {
        path: name.into(),
        source,
    }
}

/// Calls for each line without its end, and its number from 1.
fn lines(
    name: &str,
    mut input: impl BufRead,
    mut each: impl FnMut(usize, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        let read = (&mut input)
            .take(MAX_ROW as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|source| unreadable(name, source))?;
        if read == 0 {
            return Ok(());
        }
        if read > MAX_ROW {
            return Err(Error::input(format!(
                "{name}: row {number} is longer than {MAX_ROW} bytes"
            )));
        }
        while let [rest @ .., b'\n' | b'\r'] = line.as_slice() {
            let length = rest.len();
            line.truncate(length);
        }
        let text = match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if number == 1 => rest,
            _ => &line,
        };
        each(number, text)?;
    }
}

/// What bytes of answers are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// One object with a list of objects.
    Json,
    /// An object a line.
    JsonLines,
    /// Numbers with commas between them, a row a line.
    Csv,
    /// Records of Protocol Buffers, what is said being their labels.
    RecordIo,
    /// An array of NumPy's.
    Npy,
}

impl Accept {
    /// The form that a header names first of those that there are, and whether it asks for all that can be said
    /// (`application/json; verbose=true`).
    ///
    /// # Errors
    ///
    /// If it names none of them.
    pub fn of(accept: &str) -> Result<(Self, bool)> {
        for one in accept.split(',') {
            let mut parts = one.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let found = match kind.as_str() {
                "" | "*/*" | "application/*" | "application/json" => Self::Json,
                "application/jsonlines" | "application/x-jsonlines" => Self::JsonLines,
                "text/csv" | "text/*" => Self::Csv,
                "application/x-recordio-protobuf" => Self::RecordIo,
                "application/x-npy" => Self::Npy,
                _ => continue,
            };
            let verbose = parts.any(|part| part.eq_ignore_ascii_case("verbose=true"));
            return Ok((found, verbose));
        }
        Err(Error::input(format!(
            "{accept:?} asks for none of application/json, application/jsonlines, text/csv, application/x-recordio-protobuf, \
             application/x-npy"
        )))
    }

    /// The content type of what it makes.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonlines",
            Self::Csv => "text/csv",
            Self::RecordIo => "application/x-recordio-protobuf",
            Self::Npy => "application/x-npy",
        }
    }
}

/// The bytes of answers.
///
/// # Errors
///
/// [`Error::Diverged`] if a number is not finite: none of the forms of JSON has such numbers, and no caller expects them.
/// [`Error::Input`] if a row is longer than a record can be.
pub fn render(answers: &Answers, accept: Accept) -> Result<Vec<u8>> {
    for field in &answers.fields {
        let numbers = match &field.values {
            Values::Numbers(values) | Values::Vectors { values, .. } => values.as_slice(),
            Values::Whole(_) => &[],
        };
        if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
            return Err(Error::Diverged(format!(
                "{} of row {} is {}",
                field.name,
                at / field.values.width() + 1,
                numbers[at]
            )));
        }
    }
    match accept {
        Accept::Json => Ok(json::render(answers)),
        Accept::JsonLines => Ok(json::render_lines(answers)),
        Accept::Csv => Ok(csv::render(answers)),
        Accept::Npy => Ok(npy::render(answers)),
        Accept::RecordIo => recordio::render(answers).map_err(|why| Error::input(why.to_string())),
    }
}

/// The shortest text that reads back as this number, with a point or an exponent, as JSON and CSV take it.
fn number(out: &mut Vec<u8>, number: f32) {
    use std::io::Write;
    // Writing to memory cannot fail.
    let _ = write!(out, "{number:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Features, Field};
    use proptest::prelude::*;

    const CSV: Format = Format::Csv {
        labelled: true,
        weighted: false,
    };

    fn dense(table: &Table) -> &[f32] {
        match &table.features {
            Features::Dense { values, .. } => values,
            Features::Sparse(_) => panic!("sparse"),
        }
    }

    #[test]
    fn content_types_say_what_bytes_are() {
        assert_eq!(Format::of("text/csv", true).unwrap(), CSV);
        let unlabelled = Format::Csv {
            labelled: false,
            weighted: false,
        };
        for text in [
            "text/csv; label_size=0",
            "Text/CSV;label_size=0;charset=utf-8",
        ] {
            assert_eq!(Format::of(text, true).unwrap(), unlabelled);
        }
        assert_eq!(Format::of("text/csv;label_size=1", false).unwrap(), CSV);
        assert!(Format::of("text/csv;label_size=2", true).is_err());
        assert!(Format::of("image/png", true).is_err());
        // XGBoost's container has short names.
        for (short, long) in [
            ("csv", "text/csv"),
            ("libsvm", "text/libsvm"),
            ("recordio-protobuf", "application/x-recordio-protobuf"),
        ] {
            let (short, long) = (Format::of(short, true), Format::of(long, true));
            assert_eq!(short.unwrap(), long.unwrap());
        }
        assert_eq!(
            Accept::of("text/html, application/json; verbose=true").unwrap(),
            (Accept::Json, true)
        );
        assert!(Accept::of("text/html").is_err());
    }

    #[test]
    fn csv_has_labels_first_and_missing_values() {
        let table = read(
            CSV,
            "a",
            &b"\xef\xbb\xbf1,2.5,,\"4\"\r\n\n0, -1e3 ,nan,7"[..],
        )
        .unwrap();
        assert_eq!(table.labels.as_deref(), Some(&[1.0, 0.0][..]));
        assert_eq!(table.columns(), 3);
        let values = dense(&table);
        assert_eq!((values[0], values[2], values[3]), (2.5, 4.0, -1000.0));
        assert!(values[1].is_nan() && values[4].is_nan());

        for text in ["1;2.5;\n0;-1;7", "1\t2.5\t\n0\t-1\t7", "1|2.5|\n0|-1|7"] {
            let table = read(CSV, "a", text.as_bytes()).unwrap();
            assert_eq!(table.labels.as_deref(), Some(&[1.0, 0.0][..]), "{text}");
            let values = dense(&table);
            assert_eq!(
                (values[0], values[2], values[3]),
                (2.5, -1.0, 7.0),
                "{text}"
            );
            assert!(values[1].is_nan(), "{text}");
        }

        let weighted = Format::Csv {
            labelled: true,
            weighted: true,
        };
        let table = read(weighted, "a", &b"1,0.5,9\n0,2,8"[..]).unwrap();
        assert_eq!(table.weights.as_deref(), Some(&[0.5, 2.0][..]));
        assert_eq!(dense(&table), [9.0, 8.0]);
    }

    #[test]
    fn lines_of_json_have_their_labels_beside_the_features() {
        for text in [
            "{\"label\": 1, \"features\": [2, 3]}\n{\"features\": [4, 5], \"label\": 0.5}",
            "{\"label\": [1], \"data\": {\"features\": {\"values\": [2, 3]}}}\n{\"label\": {\"values\": [0.5]}, \"features\": [4, 5]}",
        ] {
            let table = read(Format::JsonLines, "a", text.as_bytes()).unwrap();
            assert_eq!(table.labels.as_deref(), Some(&[1.0, 0.5][..]), "{text}");
            assert_eq!(dense(&table), [2.0, 3.0, 4.0, 5.0], "{text}");
        }
        // A row may be its numbers alone.
        let lists = b"[2, 3]\n[4, null]";
        let table = read(Format::JsonLines, "a", &lists[..]).unwrap();
        assert_eq!(dense(&table)[..3], [2.0, 3.0, 4.0]);
        let body = b"{\"instances\": [[2, 3], {\"features\": [4, 5]}]}";
        let table = read(Format::Json, "a", &body[..]).unwrap();
        assert_eq!(dense(&table), [2.0, 3.0, 4.0, 5.0]);
        let nested = read(Format::JsonLines, "a", &b"[[2, 3]]"[..])
            .unwrap_err()
            .to_string();
        assert!(nested.contains("invalid type: sequence"), "{nested}");
        // What no number is, is no label; a row to predict may have one.
        let text = b"{\"label\": \"cat\", \"features\": [2, 3]}";
        let table = read(Format::JsonLines, "a", &text[..]).unwrap();
        assert!(table.labels.is_none());
        let some = b"{\"label\": 1, \"features\": [2]}\n{\"features\": [4]}";
        let why = read(Format::JsonLines, "a", &some[..])
            .unwrap_err()
            .to_string();
        assert!(why.contains("others have none"), "{why}");
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_place() {
        for (format, bytes, say) in [
            (CSV, &b"1,2\n1,two"[..], "a.csv: row 2: column 2 is \"two\""),
            (CSV, b"y,x\n1,2", "no header"),
            (
                CSV,
                b"1,2\n1,2,3",
                "a.csv: row 2: there are 2 columns, and 1 in the rows before",
            ),
            (CSV, b",2", "a.csv: row 1: the label is missing"),
            (CSV, b"1", "a.csv: row 1: there are no columns"),
            (CSV, b"1,1e39", "a.csv: row 1: column 2 is \"1e39\""),
            (CSV, b"", "no rows"),
            (Format::Libsvm, b"1 2:3 x:1", "a.csv: row 1: \"x:1\""),
            (Format::Libsvm, b"1 2:3 2:4", "column 2 is there twice"),
            (
                Format::Json,
                b"{\"instances\": [{\"features\": [1, \"a\"]}]}",
                "a.csv: ",
            ),
            (
                Format::Json,
                b"{\"instances\": [{}]}",
                "row 1: there are no features",
            ),
            (
                Format::JsonLines,
                b"{\"features\": [1]}\n{\"features\":",
                "a.csv: row 2",
            ),
            (
                Format::JsonLines,
                b"{\"data\":{\"features\":{\"keys\":[5],\"shape\":[5],\"values\":[1]}}}",
                "column 5",
            ),
            (
                Format::JsonLines,
                b"{\"data\":{\"features\":{\"keys\":[5],\"shape\":[4000000000],\"values\":[1]}}}",
                "of at most 16777216 columns",
            ),
            (Format::Libsvm, b"1 4000000000:1", "column 4000000000"),
            (
                Format::RecordIo,
                b"\x0a\x23\xd7\xce\x04\0\0\0ab",
                "a.csv: record 1",
            ),
            (
                Format::RecordIo,
                b"\x0b\x23\xd7\xce\0\0\0\0",
                "a.csv: record 1",
            ),
        ] {
            let error = read(format, "a.csv", bytes).unwrap_err().to_string();
            assert!(error.contains(say), "{error:?} has no {say:?}");
        }
    }

    #[test]
    fn files_are_rows_of_one_table() {
        let mut reader = Reader::new(CSV);
        reader.read("a", &b"1,2"[..]).unwrap();
        reader.read("b", &b"0,3\n"[..]).unwrap();
        assert_eq!(dense(&reader.table().unwrap()), [2.0, 3.0]);
    }

    #[test]
    fn libsvm_keeps_indices_and_weights() {
        let bytes = &b"1:0.5 0:1 7:2 # last\n0:2\n"[..];
        let table = read(Format::Libsvm, "a", bytes).unwrap();
        let Features::Sparse(csr) = &table.features else {
            panic!("dense")
        };
        assert_eq!(csr.columns, 8);
        assert_eq!(csr.row(0), (&[0, 7][..], &[1.0, 2.0][..]));
        assert_eq!(csr.row(1), (&[][..], &[][..]));
        assert_eq!(table.weights.as_deref(), Some(&[0.5, 2.0][..]));
    }

    #[test]
    fn instances_are_dense_or_sparse() {
        let body = br#"{"instances": [
            {"features": [1.5, null]}, {"data": {"features": {"values": [2, 3]}}, "configuration": {}}]}"#;
        let table = read(Format::Json, "body", &body[..]).unwrap();
        assert_eq!(dense(&table)[..1], [1.5]);
        assert!(dense(&table)[1].is_nan());
        assert_eq!(dense(&table)[2..], [2.0, 3.0]);

        let body = br#"{"data":{"features":{"keys":[4,1],"shape":[6],"values":[1,2]}}}
{"features": [0, 0, 3, 0, 0, 0]}"#;
        let table = read(Format::JsonLines, "body", &body[..]).unwrap();
        let Features::Sparse(csr) = &table.features else {
            panic!("dense")
        };
        assert_eq!(
            (csr.columns, csr.row(0)),
            (6, (&[1, 4][..], &[2.0, 1.0][..]))
        );
        assert_eq!(csr.row(1), (&[2][..], &[3.0][..]));
    }

    fn answers() -> Answers {
        Answers {
            list: "predictions",
            fields: vec![
                Field {
                    name: "score",
                    values: Values::Vectors {
                        width: 2,
                        values: vec![0.25, 0.75, 1.0, 1e-9],
                    },
                },
                Field {
                    name: "predicted_label",
                    values: Values::Whole(vec![1, 0]),
                },
                Field {
                    name: "distance_to_cluster",
                    values: Values::Numbers(vec![3.0, 0.1]),
                },
            ],
        }
    }

    #[test]
    fn answers_take_the_documented_forms() {
        let text = |accept| String::from_utf8(render(&answers(), accept).unwrap()).unwrap();
        let first = r#"{"score": [0.25, 0.75], "predicted_label": 1, "distance_to_cluster": 3.0}"#;
        let second = r#"{"score": [1.0, 1e-9], "predicted_label": 0, "distance_to_cluster": 0.1}"#;
        assert_eq!(
            text(Accept::Json),
            format!("{{\"predictions\": [{first}, {second}]}}")
        );
        assert_eq!(text(Accept::JsonLines), format!("{first}\n{second}\n"));
        assert_eq!(text(Accept::Csv), "0.25,0.75,1,3.0\n1.0,1e-9,0,0.1\n");
        let json: serde_json::Value = serde_json::from_str(&text(Accept::Json)).unwrap();
        assert_eq!(json["predictions"][1]["predicted_label"], 0);
    }

    #[test]
    fn what_is_no_number_is_no_answer() {
        let mut bad = answers();
        bad.fields[2].values = Values::Numbers(vec![1.0, f32::NAN]);
        for accept in [
            Accept::Json,
            Accept::JsonLines,
            Accept::Csv,
            Accept::RecordIo,
        ] {
            let error = render(&bad, accept).unwrap_err().to_string();
            assert_eq!(error, "distance_to_cluster of row 2 is NaN");
        }
    }

    fn formats() -> impl Strategy<Value = Format> {
        prop_oneof![
            Just(CSV),
            Just(Format::Libsvm),
            Just(Format::Json),
            Just(Format::JsonLines),
            Just(Format::RecordIo),
            Just(Format::Npy),
        ]
    }

    proptest! {
        #[test]
        fn no_bytes_bring_a_panic(format in formats(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(format, "any", bytes.as_slice());
        }

        #[test]
        fn no_change_of_a_table_brings_a_panic(
            format in formats(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut bytes = match format {
                Format::Csv { .. } => b"1,2,3\n4,5,6\n".to_vec(),
                Format::Libsvm => b"1:2 0:1 3:4\n0 1:2\n".to_vec(),
                Format::Json => br#"{"instances":[{"data":{"features":{"keys":[1],"shape":[3],"values":[2]}}}]}"#.to_vec(),
                Format::JsonLines => br#"{"features":[1,2,3]}"#.to_vec(),
                Format::RecordIo => {
                    let table = Table::dense(2, vec![1.0, 2.0, 3.0, 4.0]).unwrap().labelled(vec![0.0, 1.0]).unwrap();
                    let mut bytes = Vec::new();
                    write_table(&table, &mut bytes).unwrap();
                    bytes
                }
                Format::Npy => npy::Array { shape: vec![2, 2], values: vec![1.0; 4] }.write(),
            };
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = read(format, "any", bytes.as_slice());
        }

        #[test]
        fn csv_reads_the_numbers_that_were_written(values in proptest::collection::vec(-1e30_f32..1e30, 1..20)) {
            let mut text = Vec::new();
            for value in &values {
                number(&mut text, *value);
                text.push(b',');
            }
            text.pop();
            let format = Format::Csv { labelled: false, weighted: false };
            let table = read(format, "any", text.as_slice()).unwrap();
            prop_assert_eq!(dense(&table), values.as_slice());
        }
    }
}
