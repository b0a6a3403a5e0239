//! The names of what a job writes. They are known when it is planned, so that what cannot be written need not be begun.

use super::{OF_INPUTS, OF_OUTPUT, Trouble, file_of, output_name};
use crate::job::{Form, Input, Piece, Source, Spec, Target, is_joined, table_name};
use std::collections::BTreeMap;

/// What becomes of an input's pieces.
pub enum Named {
    /// A file of this name. Of a job that was stopped it has everything that was done, or what is before the first piece
    /// that was not.
    Whole {
        /// The name.
        name: String,
        /// Whether it may have gaps.
        gaps: bool,
    },
    /// A file for each, named by a stem and an ending.
    Pieces(String, String),
}

impl Named {
    /// What becomes of the pieces of an input with this name; `None` where no input has files of its own.
    pub fn of(form: &Form, file: &str) -> Option<Self> {
        match form {
            Form::Files { suffix } => Some(Self::Whole {
                name: format!("{file}{suffix}"),
                gaps: true,
            }),
            Form::Tables { ending } => {
                let (stem, ending) = table_name(file, ending.as_deref());
                Some(match is_joined(ending) {
                    true => Self::Whole {
                        name: format!("{stem}.{ending}"),
                        gaps: false,
                    },
                    false => Self::Pieces(stem.to_owned(), ending.to_owned()),
                })
            }
            _ => None,
        }
    }

    /// The name of the file that has a piece of an input.
    pub fn file(&self, input: &Input, piece: &Piece) -> String {
        match self {
            Self::Whole { name, .. } => name.clone(),
            Self::Pieces(stem, ending) => match piece.documents == input.documents {
                true => format!("{stem}.{ending}"),
                // By its first row, so that the name is the same whatever else is there.
                false => format!("{stem}-{:010}.{ending}", piece.first),
            },
        }
    }
}

/// The name of an input's file: its key without so many bytes of a root, where there is one, or without the job's folder.
pub fn file<'a>(source: &Source, root: Option<usize>, key: &'a str) -> &'a str {
    match root {
        Some(root) => key.get(root..).unwrap_or(key),
        None => file_of(source, key),
    }
}

/// Checks that what is written of inputs, by key, and their pieces has names that objects can have, that no two inputs have one
/// name, and that nothing comes into the place of an input.
///
/// # Errors
/// [`Trouble::Fails`] with the inputs that it is so with.
pub fn check<'a>(
    spec: &Spec,
    inputs: &'a [Input],
    pieces: impl Iterator<Item = &'a Piece>,
    root: Option<usize>,
) -> Result<(), Trouble> {
    let Target { bucket, form, .. } = &spec.output;
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let mut take = |name: String, of: &'a str| {
        let object = output_name(&spec.output, &name)?;
        let key = object.key();
        let same = |input: &Input| input.key.as_str().cmp(key);
        if *bucket == spec.input.bucket && inputs.binary_search_by(same).is_ok() {
            let why = format!("{OF_OUTPUT}s3://{bucket}/{key} would replace an input of the job");
            return Err(Trouble::Fails(why));
        }
        match taken.get(&name) {
            Some(other) if *other != of => Err(Trouble::Fails(format!(
                "{OF_INPUTS}`{other}` and `{of}` would both be written to s3://{bucket}/{key}"
            ))),
            _ => {
                taken.insert(name, of);
                Ok(())
            }
        }
    };
    match form {
        Form::Archive { name, .. } | Form::Collected { name, .. } | Form::Joined { name } => {
            take(name.clone(), "")
        }
        Form::Summed { name, summary } => {
            take(name.clone(), "")?;
            take(summary.clone(), "")
        }
        // What is in it is known when it is there.
        Form::Unpacked { .. } => Ok(()),
        Form::Files { .. } | Form::Tables { .. } => {
            let named = |input: &Input| Named::of(form, file(&spec.input, root, &input.key));
            for input in inputs {
                if let Some(Named::Whole { name, .. }) = named(input) {
                    take(name, &input.key)?;
                }
            }
            for piece in pieces {
                let input = usize::try_from(piece.input).ok();
                if let Some(input) = input.and_then(|number| inputs.get(number))
                    && let Some(named @ Named::Pieces(..)) = named(input)
                {
                    take(named.file(input, piece), &input.key)?;
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Split;
    use serde_json::Value;

    fn tables(ending: Option<&str>) -> Form {
        let ending = ending.map(str::to_owned);
        Form::Tables { ending }
    }

    /// What is said of inputs of two pieces of two rows each, below `lake/`.
    fn checked(form: &Form, output: (&str, &str), keys: &[&str]) -> Option<String> {
        let spec = Spec {
            kind: "kind".to_owned(),
            name: None,
            priority: 0,
            input: Source {
                bucket: "lake".to_owned(),
                prefix: "in/".to_owned(),
                split: Split::Rows,
            },
            output: Target {
                bucket: output.0.to_owned(),
                folder: output.1.to_owned(),
                form: form.clone(),
            },
            question: Value::Null,
            details: Value::Null,
        };
        let input = |key: &&str| Input {
            key: (*key).to_owned(),
            length: 4,
            etag: "e".to_owned(),
            documents: 4,
        };
        let inputs: Vec<Input> = keys.iter().map(input).collect();
        let piece = |input: usize, first: u64| Piece {
            input: input as u64,
            from: first,
            to: first + 2,
            first,
            documents: 2,
        };
        let pieces = (0..keys.len()).flat_map(|input| [piece(input, 0), piece(input, 2)]);
        let pieces: Vec<Piece> = pieces.collect();
        match check(&spec, &inputs, pieces.iter(), None) {
            Ok(()) => None,
            Err(Trouble::Fails(why)) => Some(why),
            Err(trouble) => panic!("{trouble:?}"),
        }
    }

    #[test]
    fn inputs_whose_outputs_have_one_name_are_told() {
        let out = ("scored", "out/");
        for (form, keys) in [
            (tables(Some("parquet")), ["in/a.csv", "in/a.jsonl"]),
            (tables(Some("csv")), ["in/a.csv", "in/a.jsonl"]),
            (tables(Some("csv")), ["in/b/a", "in/b/a.tsv"]),
        ] {
            let why = checked(&form, out, &keys).expect("they have one name");
            assert!(why.starts_with(OF_INPUTS), "{why}");
            assert!(
                keys.iter().all(|key| why.contains(&format!("`{key}`"))),
                "{why}"
            );
        }
        for (form, keys) in [
            (tables(None), ["in/a.csv", "in/a.jsonl"]),
            (tables(Some("parquet")), ["in/a.csv", "in/b/a.csv"]),
            (
                Form::Files {
                    suffix: ".out".to_owned(),
                },
                ["in/a.csv", "in/a.jsonl"],
            ),
        ] {
            assert_eq!(checked(&form, out, &keys), None, "{keys:?}");
        }
    }

    #[test]
    fn no_output_is_in_the_place_of_an_input() {
        let suffix = ".out".to_owned();
        let files = Form::Files { suffix };
        let joined = |name: &str| Form::Joined {
            name: name.to_owned(),
        };
        for (form, folder, keys) in [
            (tables(None), "in/", ["in/a.csv", "in/b.csv"]),
            (tables(Some("csv")), "in/", ["in/a.csv", "in/b.jsonl"]),
            (
                tables(None),
                "in/",
                ["in/a-0000000002.parquet", "in/a.parquet"],
            ),
            (files, "in/", ["in/a", "in/a.out"]),
            (joined("labels.jsonl"), "in/", ["in/a", "in/labels.jsonl"]),
        ] {
            let why = checked(&form, ("lake", folder), &keys).expect("it is");
            assert!(why.starts_with(OF_OUTPUT), "{why}");
            assert_eq!(checked(&form, ("scored", folder), &keys), None, "{keys:?}");
            assert_eq!(checked(&form, ("lake", "out/"), &keys), None, "{keys:?}");
        }
    }

    #[test]
    fn a_name_that_no_object_can_have_is_told() {
        let long = format!("in/{}.csv", "x".repeat(1000));
        let keys = ["in/a.csv", long.as_str()];
        assert_eq!(checked(&tables(None), ("scored", "out/"), &keys), None);
        let folder = "y".repeat(20) + "/";
        for form in [tables(None), tables(Some("parquet"))] {
            let why = checked(&form, ("scored", &folder), &keys).expect("it is too long");
            assert!(why.contains("1024 bytes"), "{why}");
        }
    }
}
