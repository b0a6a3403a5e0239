//! Labelled texts from files: JSON lines, or CSV as Comprehend's custom classification takes it.
//!
//! * `.jsonl`: an object a line with `text`, or `source` in its place, and either `label` (a name, or a number, whose
//!   name is how it is written) or `target` (an object of names and probabilities); other members are ignored.
//! * `.csv`, `.tsv`: `label,text` a row; a first row that says just that is a heading.

use crate::error::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Most bytes of one line.
const LINE: u64 = 4 << 20;

/// A text with what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// The text.
    pub text: String,
    /// Probabilities by label; they sum to one.
    pub target: BTreeMap<String, f32>,
}

/// A label by its name or by its number.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a label is a name or a number")]
enum Label {
    Name(String),
    Number(serde_json::Number),
}

#[derive(Deserialize)]
struct Line {
    #[serde(alias = "source")]
    text: String,
    label: Option<Label>,
    target: Option<BTreeMap<String, f32>>,
}

/// Reads the examples of `path`.
///
/// # Errors
/// When the file cannot be read, or with the number of the line that is not an example.
pub fn read(path: &Path) -> Result<Vec<Labelled>> {
    let file = |source: std::io::Error| Error::File {
        path: path.into(),
        source,
    };
    let extension = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    let separator = match extension {
        "jsonl" | "ndjson" => None,
        "csv" => Some(b','),
        "tsv" => Some(b'\t'),
        _ => {
            return Err(Error::unsupported(format!(
                "{}: examples are read from .jsonl, .csv and .tsv files",
                path.display()
            )));
        }
    };
    let reader = BufReader::new(File::open(path).map_err(file)?);
    let bad = |line: usize, why: &str| {
        Error::unsupported(format!("{}, line {line}: {why}", path.display()))
    };
    let mut all = Vec::new();
    if let Some(separator) = separator {
        let mut rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(separator)
            .flexible(true)
            .from_reader(reader);
        for (index, row) in rows.records().enumerate() {
            let row = row.map_err(|error| bad(index + 1, &error.to_string()))?;
            match (row.get(0), row.get(1), row.len()) {
                // What the columns are called, which nobody says of a text.
                (Some(label), Some(text), 2)
                    if index == 0
                        && label.trim().eq_ignore_ascii_case("label")
                        && text.trim().eq_ignore_ascii_case("text") => {}
                (Some(label), Some(text), 2) => all.push(Labelled {
                    text: text.to_owned(),
                    target: BTreeMap::from([(label.trim().to_owned(), 1.0)]),
                }),
                _ => return Err(bad(index + 1, "a row is `label,text`")),
            }
        }
        return Ok(all);
    }
    let mut reader = reader;
    let mut number = 0;
    loop {
        let mut line = String::new();
        let read = (&mut reader)
            .take(LINE)
            .read_line(&mut line)
            .map_err(file)?;
        number += 1;
        if read == 0 {
            return Ok(all);
        }
        if read as u64 == LINE {
            return Err(bad(number, "the line is longer than 4 MiB"));
        }
        if line.trim().is_empty() {
            continue;
        }
        let line: Line =
            serde_json::from_str(&line).map_err(|error| bad(number, &error.to_string()))?;
        let mut target = match (line.label, line.target) {
            (Some(Label::Name(label)), None) => BTreeMap::from([(label, 1.0)]),
            (Some(Label::Number(label)), None) => BTreeMap::from([(label.to_string(), 1.0)]),
            (None, Some(target)) => target,
            _ => return Err(bad(number, "either `label` or `target` is needed")),
        };
        let total: f32 = target.values().sum();
        if target.values().any(|p| !p.is_finite() || *p < 0.0) || total <= 0.0 {
            return Err(bad(number, "probabilities must be positive"));
        }
        target.values_mut().for_each(|p| *p /= total);
        all.push(Labelled {
            text: line.text,
            target,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<Vec<Labelled>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        read(&path)
    }

    #[test]
    fn json_lines_carry_labels_or_distributions() {
        let all = read_text(
            "a.jsonl",
            "{\"text\":\"x\",\"label\":\"A\"}\n\n{\"text\":\"y\",\"target\":{\"A\":1,\"B\":3},\"more\":1}\n",
        )
        .expect("examples");
        assert_eq!(all[0].target, BTreeMap::from([("A".to_owned(), 1.0)]));
        assert_eq!(
            all[1].target,
            BTreeMap::from([("A".to_owned(), 0.25), ("B".to_owned(), 0.75)])
        );
    }

    /// As SageMaker's own text classification takes them.
    #[test]
    fn labels_may_be_numbers() {
        let lines = "{\"text\":\"x\",\"label\":1}\n{\"source\":\"y\",\"label\":0}\n{\"text\":\"z\",\"label\":-2.5}\n";
        let all = read_text("a.jsonl", lines).expect("examples");
        let names: Vec<&String> = all.iter().flat_map(|one| one.target.keys()).collect();
        assert_eq!(names, ["1", "0", "-2.5"]);
        assert_eq!(all[1].text, "y");
        let all = read_text("a.csv", "1,x\n0,y\n").expect("examples");
        assert_eq!(all[0].target.keys().collect::<Vec<_>>(), ["1"]);
        for label in ["true", "[1]", "{}"] {
            let line = format!("{{\"text\":\"x\",\"label\":{label}}}\n");
            let error = read_text("a.jsonl", &line)
                .expect_err("refused")
                .to_string();
            assert!(
                error.contains("line 1") && error.contains("a label is a name or a number"),
                "{error}"
            );
        }
    }

    #[test]
    fn csv_is_label_and_text_with_quotes() {
        let all = read_text("a.csv", "Label,text\nA,\"one, two\"\nB,three\n").expect("examples");
        assert_eq!(all[0].text, "one, two");
        assert_eq!(all[1].target.keys().collect::<Vec<_>>(), ["B"]);
    }

    #[test]
    fn what_is_no_example_is_refused_with_its_line() {
        for (name, text) in [
            (
                "a.jsonl",
                "{\"text\":\"x\",\"label\":\"A\"}\n{\"text\":\"x\"}\n",
            ),
            ("a.jsonl", "{\"text\":\"x\",\"label\":\"A\"}\nnot json\n"),
            (
                "a.jsonl",
                "{\"text\":\"x\",\"label\":\"A\"}\n{\"text\":\"x\",\"target\":{\"A\":-1}}\n",
            ),
            ("a.csv", "A,x\nonly one\n"),
        ] {
            let error = read_text(name, text).expect_err("refused").to_string();
            assert!(error.contains("line 2"), "{error}");
        }
        assert!(read_text("a.txt", "").is_err());
    }
}
