//! What a Batch Transform job of SageMaker does to an object: cut it into requests, filter what a model is asked, join its
//! answers with what they are of, and put the output together.
//!
//! ```text
//! record.rs   objects -> records (lines, RecordIO, TFRecord) -> requests
//! path.rs     the paths of filters
//! mod.rs      records -> what is asked;  answers -> what is written
//! ```
//!
//! Nothing here asks a model or writes a file. Source: the SageMaker API reference (`CreateTransformJob`, `TransformInput`,
//! `DataProcessing`) and the developer guide, "Associate Prediction Results with Input Records".

pub mod path;
pub mod record;

use path::Path;
use record::{Split, Strategy};
use serde_json::{Map, Value};

/// The member of a joined object that has the answer.
const OUTPUT: &str = "SageMakerOutput";
/// The member of a joined object that has the record, where that is no object.
const INPUT: &str = "SageMakerInput";
/// Most megabytes of a request.
const LARGEST: usize = 100;

/// What a job is asked to do, in the words of `CreateTransformJob`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `TransformInput.ContentType`.
    pub content_type: Option<String>,
    /// `TransformOutput.Accept`.
    pub accept: Option<String>,
    /// `TransformInput.SplitType`.
    pub split: Split,
    /// `BatchStrategy`.
    pub strategy: Strategy,
    /// `TransformOutput.AssembleWith` is `Line`.
    pub assemble_lines: bool,
    /// `MaxPayloadInMB`; 6 when left out.
    pub payload: Option<usize>,
    /// `MaxConcurrentTransforms`; 1 when left out or 0.
    pub concurrent: Option<usize>,
    /// `DataProcessing.InputFilter`.
    pub input_filter: Option<String>,
    /// `DataProcessing.JoinSource` is `Input`.
    pub join: bool,
    /// `DataProcessing.OutputFilter`.
    pub output_filter: Option<String>,
}

/// Why a job cannot be done, or a record not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The options do not go together.
    #[error("{0}")]
    Options(String),
    /// A filter is no path, or chooses nothing of a record.
    #[error(transparent)]
    Path(#[from] path::Error),
    /// A record or an answer is not in its format.
    #[error("{what} is no {format}")]
    Format {
        /// What it is.
        what: &'static str,
        /// What it would have to be.
        format: &'static str,
    },
    /// A model answered a request with another number of records.
    #[error("{asked} records were asked about and {answered} answered")]
    Count {
        /// Records of the request.
        asked: usize,
        /// Records of the answer.
        answered: usize,
    },
}

/// The format of records that are filtered or joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
    JsonLines,
}

impl Format {
    fn of(mime: Option<&str>) -> Option<Self> {
        let kind = mime?.split(';').next()?.trim().to_ascii_lowercase();
        match kind.as_str() {
            "text/csv" => Some(Self::Csv),
            "application/json" => Some(Self::Json),
            "application/jsonlines" | "application/x-jsonlines" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// A transform that can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    split: Split,
    strategy: Strategy,
    lines: bool,
    payload: usize,
    concurrent: usize,
    association: Option<Association>,
}

/// Filters and join.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Association {
    format: Format,
    input: Path,
    join: bool,
    output: Path,
}

impl Transform {
    /// Looks at what is asked.
    ///
    /// # Errors
    /// [`Error::Options`] for what does not go together, [`Error::Path`] for a filter that is none.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let refuse = |why: &str| Err(Error::Options(why.to_owned()));
        let megabytes = options.payload.unwrap_or(6);
        let concurrent = options.concurrent.filter(|many| *many > 0).unwrap_or(1);
        if megabytes > LARGEST || megabytes.saturating_mul(concurrent) > LARGEST {
            return refuse(
                "MaxPayloadInMB, and MaxPayloadInMB times MaxConcurrentTransforms, are at most 100",
            );
        }
        if options.strategy == Strategy::MultiRecord && options.split == Split::None {
            return refuse("MultiRecord takes a SplitType");
        }
        let filter = |path: &Option<String>| Path::parse(path.as_deref().unwrap_or("$"));
        let (input, output) = (
            filter(&options.input_filter)?,
            filter(&options.output_filter)?,
        );
        let association = match options.join || !input.is_everything() || !output.is_everything() {
            false => None,
            true => {
                let kinds = [&options.content_type, &options.accept];
                let [Some(asked), Some(answered)] = kinds.map(|kind| Format::of(kind.as_deref()))
                else {
                    return refuse(
                        "DataProcessing takes a ContentType and an Accept of text/csv, application/json or application/jsonlines",
                    );
                };
                if asked != answered {
                    return refuse("with DataProcessing, ContentType and Accept are the same");
                }
                let lines = options.split == Split::Line && options.assemble_lines;
                if asked != Format::Json && !lines {
                    return refuse(
                        "DataProcessing of lines takes the SplitType Line and AssembleWith Line",
                    );
                }
                Some(Association {
                    format: asked,
                    input,
                    join: options.join,
                    output,
                })
            }
        };
        Ok(Self {
            split: options.split,
            strategy: options.strategy,
            lines: options.assemble_lines,
            // Nothing would fit into nothing: as much as may be.
            payload: if megabytes == 0 { LARGEST } else { megabytes } << 20,
            concurrent,
            association,
        })
    }

    /// How many requests may be asked at the same time.
    pub fn concurrent(&self) -> usize {
        self.concurrent
    }

    /// The requests of an object: the records of each. `first` records of it are not in what is read.
    pub fn requests<R: std::io::BufRead>(&self, object: R, first: u64) -> record::Requests<R> {
        record::Requests::new(object, self.split, self.strategy, self.payload, first)
    }

    /// Whether an object has records that may be read apart from the others.
    pub fn is_split(&self) -> bool {
        self.split != Split::None
    }

    /// What a model is asked about the records of a request.
    ///
    /// # Errors
    /// [`Error::Format`] and [`Error::Path`] of a record.
    pub fn ask(&self, records: &[Vec<u8>]) -> Result<Vec<u8>, Error> {
        let filtered: Vec<Vec<u8>> = match &self.association {
            Some(association) if !association.input.is_everything() => records
                .iter()
                .map(|record| {
                    let value = association.read(record, "a record")?;
                    association.write(&association.input.of(&value)?)
                })
                .collect::<Result<_, _>>()?,
            _ => return Ok(self.joined(records)),
        };
        Ok(self.joined(&filtered))
    }

    /// Records one after the other, lines as lines.
    fn joined(&self, records: &[Vec<u8>]) -> Vec<u8> {
        match (self.split, records) {
            (_, [one]) => one.clone(),
            (Split::Line, records) => records.join(&b'\n'),
            (_, records) => records.concat(),
        }
    }

    /// What is written of the answer to a request.
    ///
    /// # Errors
    /// [`Error::Count`], where the answers to several records cannot be told apart; [`Error::Format`] and [`Error::Path`].
    pub fn answer(&self, records: &[Vec<u8>], answer: &[u8]) -> Result<Vec<u8>, Error> {
        let mut written = match &self.association {
            None => answer.to_owned(),
            Some(association) => association.answer(records, answer)?,
        };
        if self.lines && written.last() != Some(&b'\n') {
            written.push(b'\n');
        }
        Ok(written)
    }
}

impl Association {
    fn answer(&self, records: &[Vec<u8>], answer: &[u8]) -> Result<Vec<u8>, Error> {
        let answers = match (self.format, records) {
            (Format::Json, [_]) => vec![answer],
            _ => lines(answer),
        };
        if answers.len() != records.len() {
            return Err(Error::Count {
                asked: records.len(),
                answered: answers.len(),
            });
        }
        let mut written = Vec::new();
        for (record, answer) in records.iter().zip(answers) {
            let mut value = self.read(answer, "an answer")?;
            if self.join {
                value = join(self.read(record, "a record")?, value);
            }
            if !written.is_empty() {
                written.push(b'\n');
            }
            written.extend(self.write(&self.output.of(&value)?)?);
        }
        Ok(written)
    }

    /// A record as a value; a row of a CSV file is an array of texts.
    fn read(&self, record: &[u8], what: &'static str) -> Result<Value, Error> {
        if self.format != Format::Csv {
            let format = "JSON";
            return serde_json::from_slice(record).map_err(|_| Error::Format { what, format });
        }
        let broken = || Error::Format {
            what,
            format: "row of a CSV file",
        };
        let mut rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(record)
            .into_records();
        let row = rows.next().unwrap_or_else(|| Ok(csv::StringRecord::new()));
        let row = row.map_err(|_| broken())?;
        match rows.next() {
            None => Ok(row.iter().map(Value::from).collect()),
            Some(_) => Err(broken()),
        }
    }

    fn write(&self, value: &Value) -> Result<Vec<u8>, Error> {
        if self.format != Format::Csv {
            // A value that was read can be written.
            return serde_json::to_vec(value).map_err(|_| Error::Format {
                what: "a value",
                format: "JSON",
            });
        }
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let columns = match value {
            Value::Array(columns) => columns.iter().map(text).collect(),
            one => vec![text(one)],
        };
        let mut writer = csv::WriterBuilder::new()
            .flexible(true)
            .from_writer(Vec::new());
        let written = writer.write_record(columns);
        let bytes = written.ok().and_then(|()| writer.into_inner().ok());
        let mut bytes = bytes.ok_or(Error::Format {
            what: "a value",
            format: "row of a CSV file",
        })?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        Ok(bytes)
    }
}

/// The lines of an answer; an end of the last line begins no other.
fn lines(answer: &[u8]) -> Vec<&[u8]> {
    let answer = answer.strip_suffix(b"\n").unwrap_or(answer);
    let line = |line: &'_ [u8]| -> usize { line.strip_suffix(b"\r").unwrap_or(line).len() };
    answer
        .split(|byte| *byte == b'\n')
        .map(|text| &text[..line(text)])
        .collect()
}

/// A record and its answer as one value.
fn join(record: Value, answer: Value) -> Value {
    match (record, answer) {
        (Value::Array(mut columns), Value::Array(more))
            if columns.iter().chain(&more).all(Value::is_string) =>
        {
            columns.extend(more);
            Value::Array(columns)
        }
        (Value::Object(mut members), answer) => {
            members.insert(OUTPUT.to_owned(), answer);
            Value::Object(members)
        }
        (record, answer) => {
            let members = [(INPUT.to_owned(), record), (OUTPUT.to_owned(), answer)];
            Value::Object(Map::from_iter(members))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("text")
    }

    fn lines_of(kind: &str) -> Options {
        Options {
            content_type: Some(kind.to_owned()),
            accept: Some(kind.to_owned()),
            split: Split::Line,
            assemble_lines: true,
            ..Options::default()
        }
    }

    /// What is asked about one record, and what is written of an answer.
    fn one(options: Options, record: &str, answer: &str) -> (String, String) {
        let transform = Transform::new(&options).expect("a transform");
        let records = [record.as_bytes().to_owned()];
        let asked = transform.ask(&records).expect("a request");
        let written = transform
            .answer(&records, answer.as_bytes())
            .expect("an answer");
        (text(&asked).to_owned(), text(&written).to_owned())
    }

    /// The guide's examples: an id is left out of what is asked and stands beside what is answered.
    #[test]
    fn records_are_filtered_and_joined_as_the_guide_shows() {
        let csv = Options {
            input_filter: Some("$[1:]".to_owned()),
            join: true,
            output_filter: Some("$[0,-1]".to_owned()),
            ..lines_of("text/csv")
        };
        let (asked, written) = one(csv.clone(), "7,\"a, b\",3.50", "0.9");
        assert_eq!(
            (asked.as_str(), written.as_str()),
            ("\"a, b\",3.50", "7,0.9\n")
        );
        let all = Options {
            input_filter: None,
            output_filter: None,
            ..csv
        };
        assert_eq!(one(all, "7,x", "0.9,0.1\n").1, "7,x,0.9,0.1\n");

        let json = Options {
            input_filter: Some("$.features".to_owned()),
            join: true,
            output_filter: Some("$['id','SageMakerOutput']".to_owned()),
            ..lines_of("application/jsonlines")
        };
        let (asked, written) = one(
            json.clone(),
            r#"{"id": 7, "features": [1, 2.5]}"#,
            "{\"p\": 0.9}",
        );
        assert_eq!(asked, "[1,2.5]");
        assert_eq!(written, "{\"SageMakerOutput\":{\"p\":0.9},\"id\":7}\n");
        // What is no object becomes a member of one.
        let array = Options {
            input_filter: None,
            output_filter: None,
            ..json
        };
        let written = one(array, "[1, 2]", "0.5").1;
        assert_eq!(
            written,
            "{\"SageMakerInput\":[1,2],\"SageMakerOutput\":0.5}\n"
        );
        // A whole object of JSON is one record, over several lines.
        let whole = Options {
            split: Split::None,
            assemble_lines: false,
            join: true,
            ..lines_of("application/json")
        };
        assert_eq!(
            one(whole, "{\n\"a\": 1\n}", "[\n2\n]").1,
            "{\"SageMakerOutput\":[2],\"a\":1}"
        );
    }

    #[test]
    fn requests_of_several_records_are_told_apart() {
        let options = Options {
            strategy: Strategy::MultiRecord,
            input_filter: Some("$[1]".to_owned()),
            join: true,
            ..lines_of("text/csv; charset=utf-8")
        };
        let transform = Transform::new(&options).expect("a transform");
        let mut requests = transform.requests(&b"1,a\n2,b\n3,c"[..], 0);
        let request = requests.next().expect("one").expect("a request");
        let records = request.records;
        assert!(requests.next().is_none());
        assert_eq!(text(&transform.ask(&records).expect("asked")), "a\nb\nc");
        let written = transform
            .answer(&records, b"x\r\ny\r\nz\r\n")
            .expect("an answer");
        assert_eq!(text(&written), "1,a,x\n2,b,y\n3,c,z\n");
        let short = transform.answer(&records, b"x\ny");
        let count = Error::Count {
            asked: 3,
            answered: 2,
        };
        assert_eq!(short, Err(count));
        let records = [b"1".to_vec()];
        assert!(matches!(transform.ask(&records), Err(Error::Path(_))));
    }

    #[test]
    fn without_filters_nothing_is_looked_at() {
        let options = Options {
            split: Split::Line,
            strategy: Strategy::MultiRecord,
            ..Options::default()
        };
        let transform = Transform::new(&options).expect("a transform");
        let records = [b"\xff".to_vec(), b"{".to_vec()];
        assert_eq!(transform.ask(&records).expect("asked"), b"\xff\n{");
        assert_eq!(
            transform.answer(&records, b"\xfe").expect("an answer"),
            b"\xfe"
        );
        assert_eq!(transform.concurrent(), 1);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let changed = |change: fn(&mut Options)| {
            let mut options = lines_of("text/csv");
            options.join = true;
            change(&mut options);
            Transform::new(&options).map(drop)
        };
        assert_eq!(changed(|_| ()), Ok(()));
        for (change, why) in [
            (
                (|options| options.accept = Some("application/json".to_owned()))
                    as fn(&mut Options),
                "the same",
            ),
            (|options| options.accept = None, "ContentType"),
            (
                |options| options.content_type = Some("image/png".to_owned()),
                "ContentType",
            ),
            (|options| options.assemble_lines = false, "AssembleWith"),
            (|options| options.payload = Some(101), "at most 100"),
            (
                |options| (options.payload, options.concurrent) = (Some(20), Some(6)),
                "at most 100",
            ),
            (
                |options| (options.split, options.strategy) = (Split::None, Strategy::MultiRecord),
                "SplitType",
            ),
            (
                |options| options.input_filter = Some("$..a".to_owned()),
                "`..`",
            ),
        ] {
            let refused = changed(change).expect_err(why).to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
