//! The algorithms of [`escala_learn`] as trainers: channels become tables.

use super::channels::{Channel, File};
use super::trainer::{Failure, Lesson, Trainer};
use crate::served::Container;
use escala_learn::formats::{Format, Reader};
use escala_learn::registry::{self, ALGORITHMS};
use escala_learn::{Algorithm, Channels, Error, Parameters, Table, Watch};

/// All of them.
pub struct Tables;

/// The algorithm that a repository stands for.
pub fn algorithm(repository: &str) -> Option<&'static dyn Algorithm> {
    registry::of_name(match repository {
        "sagemaker-xgboost" => "xgboost",
        other => other,
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Input(why) | Error::Diverged(why) => Self::Client(why),
            Error::Stopped => Self::Stopped,
            // A file of learn's is an object here: its name is the object's.
            error @ Error::File { .. } => Self::Client(error.to_string()),
            error => Self::Algorithm(error.to_string()),
        }
    }
}

/// What a file is, where the channel does not say: its name may; else what the algorithm takes by default at SageMaker.
fn told(key: &str, algorithm: &str) -> &'static str {
    let ending = key.rsplit_once('.').map(|(_, ending)| ending);
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => "text/csv",
        Some("libsvm" | "svm") => "text/libsvm",
        Some("jsonl" | "ndjson") => "application/jsonlines",
        Some("json") => "application/json",
        Some("parquet") => PARQUET,
        Some("recordio" | "rec" | "pbr") => "application/x-recordio-protobuf",
        _ if algorithm == "xgboost" => "text/libsvm",
        _ => "application/x-recordio-protobuf",
    }
}

/// The content type of Parquet files.
const PARQUET: &str = "application/x-parquet";

/// Whether a content type is that of Parquet files; XGBoost's container has a short name for it.
fn is_parquet(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    [PARQUET, "parquet"]
        .iter()
        .any(|one| kind.eq_ignore_ascii_case(one))
}

#[cfg(feature = "parquet")]
use super::parquet::table as parquet;

#[cfg(not(feature = "parquet"))]
fn parquet(_: &Lesson<'_>, channel: &Channel, _: bool) -> Result<Table, Failure> {
    Err(Failure::Client(format!(
        "channel {:?}: this build reads no Parquet (it was made without the feature `sql`)",
        channel.name
    )))
}

fn table(
    algorithm: &dyn Algorithm,
    lesson: &Lesson<'_>,
    channel: &Channel,
    weighted: bool,
) -> Result<Table, Failure> {
    if !channel.attributes.is_empty() {
        return Err(Failure::Client(format!(
            "channel {:?}: rows of numbers are not read from an augmented manifest",
            channel.name
        )));
    }
    let kind_of = |file: &File| -> String {
        let key = match channel.gzip {
            true => file.key.trim_end_matches(".gz"),
            false => &file.key,
        };
        let kind = channel.content_type.as_deref();
        kind.unwrap_or_else(|| told(key, algorithm.name()))
            .to_owned()
    };
    if channel
        .files
        .first()
        .is_some_and(|file| is_parquet(&kind_of(file)))
    {
        return parquet(lesson, channel, algorithm.labelled());
    }
    let mut reader: Option<Reader> = None;
    for file in &channel.files {
        let kind = &kind_of(file);
        let mut format = Format::of(kind, algorithm.labelled())?;
        if let Format::Csv { weighted: has, .. } = &mut format {
            *has = weighted;
        }
        let reader = reader.get_or_insert_with(|| Reader::new(format));
        reader.read(&file.to_string(), lesson.open(channel, file)?)?;
    }
    match reader {
        Some(reader) => Ok(reader.table()?),
        None => Err(Failure::Client(format!(
            "channel {:?} has no files",
            channel.name
        ))),
    }
}

impl Trainer for Tables {
    fn repositories(&self) -> Vec<&'static str> {
        let names = ALGORITHMS.iter().map(|one| one.name());
        names.chain(["sagemaker-xgboost"]).collect()
    }

    fn images(&self) -> bool {
        false
    }

    fn train(
        &self,
        container: &Container<'_>,
        lesson: &Lesson<'_>,
        watch: &mut dyn Watch,
    ) -> Result<(), Failure> {
        let Some(algorithm) = algorithm(container.repository) else {
            return Err(Failure::Algorithm(format!(
                "there is no algorithm {}",
                container.repository
            )));
        };
        let mut given = lesson.hyperparameters.clone();
        // A word about the files, not about what is learned.
        let weighted = match given.remove("csv_weights").as_deref() {
            None | Some("0") => false,
            Some("1") => true,
            Some(other) => {
                return Err(Failure::Client(format!(
                    "hyperparameter csv_weights is {other:?}: it is 0 or 1"
                )));
            }
        };
        let pairs = given
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let parameters = Parameters::read(algorithm.parameters(), pairs)?;
        let train = lesson.train_channel(&["train", "validation", "test"])?;
        lesson.check_size()?;
        let read = |channel: &Channel| table(algorithm, lesson, channel, weighted);
        let other = |name: &str| lesson.channel(name).map(read).transpose();
        let channels = Channels {
            train: read(train)?,
            validation: other("validation")?,
            test: other("test")?,
        };
        let (rows, columns) = (channels.train.rows(), channels.train.columns());
        watch.log(&format!("{rows} rows of {columns} columns to learn from"));
        lesson.learning();
        let model = algorithm.train(&parameters, &channels, watch)?;
        Ok(model.write(lesson.folder)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parquet_is_known_by_its_content_type_and_by_its_ending() {
        for kind in [
            PARQUET,
            "application/x-parquet; charset=binary",
            "Application/X-Parquet",
            " parquet ",
            "PARQUET;a=b",
        ] {
            assert!(is_parquet(kind), "{kind}");
        }
        for kind in [
            "",
            "text/csv",
            "application/parquet",
            "x-parquet",
            "text/csv; parquet",
        ] {
            assert!(!is_parquet(kind), "{kind}");
        }
        assert!(is_parquet(told("rows/part-0.PARQUET", "xgboost")));
        assert!(!is_parquet(told("parquet/rows", "kmeans")));
    }
}
