//! All algorithms by their names, and folders that have a model of one of them.

use crate::boost::Xgboost;
use crate::forest::RandomCutForest;
use crate::kmeans::KMeans;
use crate::knn::Knn;
use crate::linear::LinearLearner;
use crate::pca::Pca;
use crate::text::blazing::{self, BlazingText};
use crate::{Algorithm, Model, Result, TextAlgorithm, TextModel, store};
use std::path::Path;

/// They, in the order in which they are listed.
pub const ALGORITHMS: [&dyn Algorithm; 6] = [
    &Xgboost,
    &LinearLearner,
    &KMeans,
    &Pca,
    &Knn,
    &RandomCutForest,
];

/// The one of a name.
pub fn of_name(name: &str) -> Option<&'static dyn Algorithm> {
    ALGORITHMS.into_iter().find(|one| one.name() == name)
}

/// Those that learn from lines of text.
pub const TEXT_ALGORITHMS: [&dyn TextAlgorithm; 1] = [&BlazingText];

/// The one of a name that learns from lines of text.
pub fn text_of_name(name: &str) -> Option<&'static dyn TextAlgorithm> {
    TEXT_ALGORITHMS.into_iter().find(|one| one.name() == name)
}

fn unknown(folder: &Path, name: &str) -> crate::Error {
    let folder = folder.display();
    crate::Error::Input(format!("{folder}: there is no algorithm {name:?}"))
}

/// The model in a folder, whichever algorithm's for tables it is: the files of most say so, and others are XGBoost's.
///
/// # Errors
///
/// As [`Algorithm::open`].
pub fn open(folder: &Path) -> Result<(&'static dyn Algorithm, Box<dyn Model>)> {
    let algorithm: &'static dyn Algorithm = match store::algorithm(folder)? {
        Some(name) => of_name(&name).ok_or_else(|| unknown(folder, &name))?,
        None => &Xgboost,
    };
    Ok((algorithm, algorithm.open(folder)?))
}

/// A model that was read, with its algorithm.
pub enum Opened {
    /// Of rows of tables.
    Table(&'static dyn Algorithm, Box<dyn Model>),
    /// Of lines of text.
    Text(&'static dyn TextAlgorithm, Box<dyn TextModel>),
}

/// The model in a folder, of tables or of text: one of our files, or of XGBoost's or fastText's own.
///
/// # Errors
///
/// As [`Algorithm::open`] and [`TextAlgorithm::open`].
pub fn open_any(folder: &Path) -> Result<Opened> {
    if blazing::is_theirs(folder)? {
        return Ok(Opened::Text(&BlazingText, BlazingText.open(folder)?));
    }
    let name = store::algorithm(folder)?;
    match name.as_deref().and_then(text_of_name) {
        Some(algorithm) => Ok(Opened::Text(algorithm, algorithm.open(folder)?)),
        None => open(folder).map(|(algorithm, model)| Opened::Table(algorithm, model)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Line;
    use crate::{Channels, Parameters, Table, Texts, Unwatched};

    /// What an algorithm must be told here.
    fn given(name: &str) -> Vec<(&'static str, &'static str)> {
        match name {
            "xgboost" => vec![("num_round", "3"), ("objective", "binary:logistic")],
            "linear-learner" => vec![("predictor_type", "binary_classifier")],
            "kmeans" => vec![("k", "2"), ("feature_dim", "2")],
            "pca" => vec![
                ("num_components", "1"),
                ("feature_dim", "2"),
                ("mini_batch_size", "10"),
            ],
            "knn" => vec![
                ("k", "3"),
                ("sample_size", "100"),
                ("predictor_type", "classifier"),
                ("feature_dim", "2"),
            ],
            _ => vec![("feature_dim", "2")],
        }
    }

    #[test]
    fn every_algorithm_learns_and_its_folder_says_whose_it_is() {
        let values: Vec<f32> = (0..200).map(|at| ((at * 7919) % 101) as f32).collect();
        let labels = values
            .chunks(2)
            .map(|row| f32::from(u8::from(row[0] > 50.0)))
            .collect();
        let rows = Table::dense(2, values).unwrap();
        for algorithm in ALGORITHMS {
            let name = algorithm.name();
            assert_eq!(of_name(name).map(|one| one.name()), Some(name));
            let parameters = Parameters::read(algorithm.parameters(), given(name)).unwrap();
            let train = match algorithm.labelled() {
                true => rows.clone().labelled(Vec::clone(&labels)).unwrap(),
                false => rows.clone(),
            };
            let channels = Channels {
                train,
                validation: None,
                test: None,
            };
            let model = algorithm
                .train(&parameters, &channels, &mut Unwatched)
                .unwrap();
            let said = model.predict(&rows).unwrap();
            assert_eq!(said.rows(), 100, "{name}");
            let folder = tempfile::tempdir().unwrap();
            model.write(folder.path()).unwrap();
            let (whose, again) = open(folder.path()).unwrap();
            assert_eq!(whose.name(), name);
            assert_eq!(again.predict(&rows).unwrap(), said, "{name}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(open(folder.path()).is_err());
        let endless = u64::MAX.to_le_bytes();
        for bytes in [
            &b"nothing"[..],
            b"\x02\0\0\0\0\0\0\0{}",
            b"\x09\0\0\0\0\0\0\0{}",
            &endless,
        ] {
            std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
            assert!(open(folder.path()).is_err(), "{bytes:?}");
        }
    }

    /// What is longer than the part in which the algorithm's name stands.
    #[test]
    fn a_model_of_many_megabytes_is_opened() {
        let rows = 300_000;
        let values: Vec<f32> = (0..rows * 4).map(|at| (at % 97) as f32).collect();
        let labels: Vec<f32> = values.chunks(4).map(|row| row[0]).collect();
        let train = Table::dense(4, values).unwrap().labelled(labels).unwrap();
        let given = [
            ("k", "1"),
            ("predictor_type", "regressor"),
            ("sample_size", "300000"),
        ];
        let algorithm = of_name("knn").unwrap();
        let parameters = Parameters::read(algorithm.parameters(), given).unwrap();
        let channels = Channels {
            train,
            validation: None,
            test: None,
        };
        let model = algorithm
            .train(&parameters, &channels, &mut Unwatched)
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        model.write(folder.path()).unwrap();
        let length = std::fs::metadata(folder.path().join("model.safetensors")).unwrap();
        assert!(length.len() > 4 << 20);
        let (whose, again) = open(folder.path()).unwrap();
        assert_eq!(whose.name(), "knn");
        let row = Table::dense(4, vec![0.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(again.predict(&row).unwrap(), model.predict(&row).unwrap());
    }

    #[test]
    fn a_folder_says_whether_it_is_of_tables_or_of_text() {
        let folder = tempfile::tempdir().unwrap();
        for algorithm in TEXT_ALGORITHMS {
            let name = algorithm.name();
            assert_eq!(text_of_name(name).map(|one| one.name()), Some(name));
            assert!(of_name(name).is_none());
            let given = [
                ("mode", "supervised"),
                ("min_count", "1"),
                ("vector_dim", "2"),
            ];
            let parameters = Parameters::read(algorithm.parameters(), given).unwrap();
            let texts = Texts {
                train: vec![Line {
                    labels: vec!["__label__a".to_owned()],
                    text: "some words".to_owned(),
                }],
                validation: None,
            };
            let model = algorithm
                .train(&parameters, &texts, &mut Unwatched)
                .unwrap();
            model.write(folder.path()).unwrap();
            match open_any(folder.path()).unwrap() {
                Opened::Text(whose, again) => {
                    assert_eq!(whose.name(), name);
                    assert_eq!(again.classify("words", 1), [("__label__a", 1.0)]);
                }
                Opened::Table(..) => panic!("{name} is of text"),
            }
            let refused = open(folder.path()).err().unwrap().to_string();
            assert!(refused.contains(name), "{refused}");
        }
        let table = tempfile::tempdir().unwrap();
        let given = [("k", "1"), ("feature_dim", "1")];
        let parameters = Parameters::read(KMeans.parameters(), given).unwrap();
        let channels = Channels {
            train: Table::dense(1, vec![1.0, 2.0]).unwrap(),
            validation: None,
            test: None,
        };
        let model = KMeans
            .train(&parameters, &channels, &mut Unwatched)
            .unwrap();
        model.write(table.path()).unwrap();
        assert!(matches!(open_any(table.path()), Ok(Opened::Table(..))));
    }
}
