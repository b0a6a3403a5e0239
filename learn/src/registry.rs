//! All algorithms by their names, and folders that have a model of one of them.

use crate::boost::Xgboost;
use crate::forest::RandomCutForest;
use crate::kmeans::KMeans;
use crate::knn::Knn;
use crate::linear::LinearLearner;
use crate::pca::Pca;
use crate::{Algorithm, Model, Result, store};
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

/// The model in a folder, whichever algorithm's it is: the files of most say so, and others are XGBoost's.
///
/// # Errors
///
/// As [`Algorithm::open`].
pub fn open(folder: &Path) -> Result<(&'static dyn Algorithm, Box<dyn Model>)> {
    let algorithm: &'static dyn Algorithm = match store::algorithm(folder)? {
        Some(name) => match of_name(&name) {
            Some(algorithm) => algorithm,
            None => {
                return Err(crate::Error::Input(format!(
                    "{}: there is no algorithm {name:?}",
                    folder.display()
                )));
            }
        },
        None => &Xgboost,
    };
    Ok((algorithm, algorithm.open(folder)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channels, Parameters, Table, Watch};

    struct Nobody;

    impl Watch for Nobody {
        fn log(&mut self, _: &str) {}
        fn metric(&mut self, _: &str, _: f64) {}
        fn progress(&mut self, _: u64, _: u64) {}
        fn stopped(&mut self) -> bool {
            false
        }
        fn checkpoint(&mut self, _: &mut dyn FnMut() -> Vec<u8>) {}
        fn resume(&mut self) -> Option<Vec<u8>> {
            None
        }
    }

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
                .train(&parameters, &channels, &mut Nobody)
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
        std::fs::write(folder.path().join("model.safetensors"), b"nothing").unwrap();
        assert!(open(folder.path()).is_err());
    }
}
