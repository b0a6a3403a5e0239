//! What tests of this crate share: small models that were learned, and their archives.

use crate::archive;
use escala_learn::{Channels, Parameters, Table, Unwatched, registry};
use std::path::Path;

/// Learns from 200 rows of two columns; the label is whether the first is above 50.
pub fn learn(name: &str, folder: &Path) {
    let given: &[(&str, &str)] = match name {
        "xgboost" => &[("num_round", "3"), ("objective", "binary:logistic")],
        "linear-learner" => &[("predictor_type", "binary_classifier")],
        "kmeans" => &[("k", "2"), ("feature_dim", "2")],
        "pca" => &[
            ("num_components", "1"),
            ("feature_dim", "2"),
            ("mini_batch_size", "10"),
        ],
        "knn" => &[
            ("k", "3"),
            ("sample_size", "100"),
            ("predictor_type", "classifier"),
            ("feature_dim", "2"),
        ],
        _ => &[("feature_dim", "2")],
    };
    let values: Vec<f32> = (0..400).map(|at| ((at * 7919) % 101) as f32).collect();
    let labels = values
        .chunks(2)
        .map(|row| f32::from(u8::from(row[0] > 50.0)))
        .collect();
    let rows = Table::dense(2, values).unwrap();
    let algorithm = registry::of_name(name).unwrap();
    let parameters = Parameters::read(algorithm.parameters(), given.iter().copied()).unwrap();
    let train = match algorithm.labelled() {
        true => rows.labelled(labels).unwrap(),
        false => rows,
    };
    let channels = Channels {
        train,
        validation: None,
        test: None,
    };
    let model = algorithm.train(&parameters, &channels, &mut Unwatched);
    model.unwrap().write(folder).unwrap();
}

/// The archive of a model that was learned.
pub fn archive(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    learn(name, folder.path());
    let mut bytes = Vec::new();
    archive::pack(folder.path(), &mut bytes).unwrap();
    bytes
}

/// Who asks in tests.
pub fn caller() -> crate::Caller {
    crate::Caller {
        account: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
    }
}
