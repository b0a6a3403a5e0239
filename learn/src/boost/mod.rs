//! Gradient boosting of trees, as XGBoost does it: SageMaker's `xgboost`.
//!
//! Begin with [`train`]: rounds of gradients ([`objective`]), trees ([`grow`]) and metrics ([`metric`]). A tree is grown on
//! values that were cut into bins ([`cuts`], [`bins`]) by sums of gradients in those ([`histogram`], [`split`]). [`forest`]
//! predicts, and [`file`] reads and writes XGBoost's own models ([`document`]). Boosters other than `gbtree` are [`drops`]
//! (`dart`) and [`linear`] (`gblinear`); [`cox`] is the one objective that looks at all rows together.
//!
//! Facts are those of XGBoost 3.2.0 (dmlc/xgboost at 7991260): cuts, gains, the order in which splits are taken and base scores
//! come out the same, so that without drawing the trees do, too. What is drawn (`subsample`, `colsample_*`) is drawn with
//! other random numbers. All tree methods are `hist`.

mod bins;
mod cox;
mod cuts;
mod document;
mod draw;
mod drops;
mod file;
mod forest;
mod grow;
mod histogram;
mod linear;
mod metric;
mod objective;
mod settings;
mod split;
mod train;
mod tree;

use crate::algorithm::Objective;
use crate::{
    Algorithm, Answers, Channels, Error, Model, Parameter, Parameters, Result, Table, Watch,
};
use forest::{Forest, Walk};
use settings::Settings;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The file that models are left in, as SageMaker's container names it.
const FILE: &str = "xgboost-model";

/// Other endings of files with models.
const ENDINGS: [&str; 4] = ["json", "ubj", "bst", "model"];

/// The most bytes of a file with a model.
const LARGEST: u64 = 4 << 30;

/// Gradient boosting of trees.
#[derive(Clone, Copy, Debug, Default)]
pub struct Xgboost;

impl Algorithm for Xgboost {
    fn name(&self) -> &'static str {
        "xgboost"
    }

    fn labelled(&self) -> bool {
        true
    }

    fn parameters(&self) -> &'static [Parameter] {
        settings::PARAMETERS
    }

    fn train(
        &self,
        parameters: &Parameters,
        channels: &Channels,
        watch: &mut dyn Watch,
    ) -> Result<Box<dyn Model>> {
        Ok(Box::new(Boosted::train(parameters, channels, watch)?))
    }

    fn open(&self, folder: &Path) -> Result<Box<dyn Model>> {
        Ok(Box::new(Boosted::open(folder)?))
    }
}

/// Trees that were learned.
#[derive(Debug)]
pub struct Boosted {
    forest: Forest,
    dense: OnceLock<Walk>,
    sparse: OnceLock<Walk>,
}

impl Boosted {
    fn new(forest: Forest) -> Self {
        Self {
            forest,
            dense: OnceLock::new(),
            sparse: OnceLock::new(),
        }
    }

    /// Learns.
    ///
    /// # Errors
    ///
    /// As [`Algorithm::train`].
    pub fn train(
        parameters: &Parameters,
        channels: &Channels,
        watch: &mut dyn Watch,
    ) -> Result<Self> {
        let settings = Settings::read(parameters, channels.train.columns())?;
        Ok(Self::new(train::train(&settings, channels, watch)?))
    }

    /// Reads `xgboost-model`, or the one file of the folder that ends in `.json`, `.ubj`, `.bst` or `.model`. Where training
    /// stopped early it answers with the rounds up to the best one, as SageMaker's container and XGBoost's scikit-learn classes do.
    ///
    /// # Errors
    ///
    /// As [`Algorithm::open`].
    pub fn open(folder: &Path) -> Result<Self> {
        let path = find(folder)?;
        let file = |source| Error::File {
            path: path.clone(),
            source,
        };
        let model = |why: String| Error::Model {
            path: path.clone(),
            algorithm: "xgboost",
            why,
        };
        let size = fs::metadata(&path).map_err(file)?.len();
        if size > LARGEST {
            return Err(model(format!(
                "it has {size} bytes, and at most {LARGEST} are read"
            )));
        }
        let bytes = fs::read(&path).map_err(file)?;
        let mut forest = file::read(&bytes).map_err(model)?;
        forest.keep_best();
        Ok(Self::new(forest))
    }

    /// Reads a model that XGBoost wrote as JSON or as Universal Binary JSON.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with it.
    pub fn read(bytes: &[u8]) -> std::result::Result<Self, String> {
        file::read(bytes).map(Self::new)
    }

    /// The model as XGBoost's JSON.
    pub fn json(&self) -> Vec<u8> {
        file::json(&self.forest)
    }

    /// The model as XGBoost's Universal Binary JSON.
    pub fn ubj(&self) -> Vec<u8> {
        file::ubj(&self.forest)
    }
}

impl Model for Boosted {
    fn columns(&self) -> Option<usize> {
        Some(self.forest.columns)
    }

    fn predict(&self, table: &Table) -> Result<Answers> {
        let walk = match &table.features {
            crate::Features::Dense { .. } => &self.dense,
            crate::Features::Sparse(_) => &self.sparse,
        };
        let walk = walk.get_or_init(|| self.forest.walk(&table.features));
        self.forest.predict(walk, table)
    }

    fn objective(&self) -> Option<Objective<'_>> {
        let objective = &self.forest.objective;
        Some(Objective {
            name: objective.name(),
            classes: match objective {
                objective::Objective::Softmax { classes, .. } => *classes as u32,
                _ => 0,
            },
        })
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        fs::write(&path, self.ubj()).map_err(|source| Error::File { path, source })
    }
}

/// The file with the model.
fn find(folder: &Path) -> Result<PathBuf> {
    let named = folder.join(FILE);
    if named.is_file() {
        return Ok(named);
    }
    let broken = |source| Error::File {
        path: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(broken)? {
        let path = entry.map_err(broken)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            found.push(path);
        }
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        several => Err(Error::Model {
            path: folder.to_owned(),
            algorithm: "xgboost",
            why: match several.len() {
                0 => format!(
                    "it has neither {FILE} nor a file that ends in .json, .ubj, .bst or .model"
                ),
                count => format!("it has {count} files that could be it, and none is {FILE}"),
            },
        }),
    }
}
