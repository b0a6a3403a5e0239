//! The flags that every command takes, each standing for a setting.

use crate::config::Flag;
use clap::Args;
use std::path::PathBuf;

/// Settings, for this run only.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Any setting by name; may be given several times.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Use another model (`org/name` of a hub, a folder, or a name of the catalogue for those on images) in the place of
    /// a task's own: embeddings, entities, sentiment, sentiment-multilingual, toxicity, classify, objects, labels,
    /// image-classes, covers. May be given several times.
    #[arg(long = "model", global = true, value_name = "TASK=CHECKPOINT")]
    checkpoints: Vec<String>,
    /// Folder with catalogue entries of your own.
    #[arg(long, global = true, value_name = "DIR")]
    catalog: Option<String>,
    /// Folder of the models.
    #[arg(long, global = true, value_name = "DIR")]
    models_dir: Option<String>,
    /// Folder with downloaded originals, tried before the network.
    #[arg(long, global = true, value_name = "DIR")]
    local_dir: Option<String>,
    /// Never use the network.
    #[arg(long, global = true)]
    offline: bool,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, global = true)]
    device: Option<String>,
    /// full, or int8: text encoders in a fraction of the time, with answers that differ a little.
    #[arg(long, global = true)]
    precision: Option<String>,
    /// Threads that compute together on one batch.
    #[arg(long, global = true, value_name = "N")]
    threads: Option<String>,
    /// error, warn, info, debug, trace, or directives.
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json.
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// One flag, if it was given.
pub fn flag(key: &str, flag: &'static str, value: Option<&String>) -> Option<Flag> {
    value.map(|value| Flag {
        key: key.to_owned(),
        value: value.clone(),
        flag,
    })
}

impl Settings {
    /// The settings that were given.
    ///
    /// # Errors
    /// When `--set` or `--model` is not given a name and a value.
    pub fn flags(&self) -> Result<Vec<Flag>, String> {
        let mut flags = Vec::new();
        for set in &self.set {
            let (key, value) = set
                .split_once('=')
                .ok_or_else(|| format!("--set wants KEY=VALUE, not `{set}`"))?;
            flags.push(Flag {
                key: key.trim().to_owned(),
                value: value.to_owned(),
                flag: "--set",
            });
        }
        for checkpoint in &self.checkpoints {
            let (task, reference) = checkpoint
                .split_once('=')
                .ok_or_else(|| format!("--model wants TASK=CHECKPOINT, not `{checkpoint}`"))?;
            flags.push(Flag {
                key: format!("checkpoints.{}", task.trim().replace('-', "_")),
                value: reference.trim().to_owned(),
                flag: "--model",
            });
        }
        let offline = self.offline.then(|| "true".to_owned());
        let named = [
            flag("models.dir", "--models-dir", self.models_dir.as_ref()),
            flag("models.catalog_dir", "--catalog", self.catalog.as_ref()),
            flag("models.local_dir", "--local-dir", self.local_dir.as_ref()),
            flag("models.offline", "--offline", offline.as_ref()),
            flag("engine.device", "--device", self.device.as_ref()),
            flag("engine.precision", "--precision", self.precision.as_ref()),
            flag("engine.threads", "--threads", self.threads.as_ref()),
            flag("log.level", "--log-level", self.log_level.as_ref()),
            flag("log.format", "--log-format", self.log_format.as_ref()),
        ];
        flags.extend(named.into_iter().flatten());
        Ok(flags)
    }
}
