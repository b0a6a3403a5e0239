//! The list of settings by name, which the file, the environment and the flags are checked against.

/// What a value that arrives as text is turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, sizes, times, addresses, folders.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Texts, separated by commas.
    List,
    /// A table of tables, as text one of TOML's inline tables.
    Table,
}

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// `section.key`, or `key` at the top.
    pub name: &'static str,
    /// What its text means.
    pub kind: Kind,
    /// Must not be shown.
    pub secret: bool,
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key {
        name,
        kind,
        secret: false,
    }
}

/// Every setting.
pub const KEYS: [Key; 86] = [
    key("listen", Kind::Text),
    key("server.origins", Kind::List),
    key("server.hosts", Kind::List),
    key("models.dir", Kind::Text),
    key("models.local_dir", Kind::Text),
    key("models.catalog_dir", Kind::Text),
    key("models.offline", Kind::Switch),
    Key {
        name: "models.hub_token",
        kind: Kind::Text,
        secret: true,
    },
    key("models.preload", Kind::List),
    key("data.dir", Kind::Text),
    key("data.objects", Kind::Text),
    key("s3.dir", Kind::Text),
    key("objects.folders", Kind::List),
    key("objects.writable", Kind::List),
    key("objects.remote", Kind::Table),
    key("kafka.listen", Kind::Text),
    key("kafka.advertised", Kind::Text),
    key("kafka.auto_create", Kind::Switch),
    key("kafka.partitions", Kind::Number),
    key("kafka.accept_replication", Kind::Switch),
    key("kafka.topic_defaults", Kind::List),
    key("kafka.connections", Kind::Number),
    key("kafka.group_members", Kind::Number),
    key("kafka.group_initial_delay", Kind::Text),
    key("kafka.group_shortest_session", Kind::Text),
    key("kafka.group_longest_session", Kind::Text),
    key("kafka.reserve", Kind::Text),
    key("kafka.cache", Kind::Text),
    key("kafka.transactional_id_expiration", Kind::Text),
    key("kafka.offsets_retention", Kind::Text),
    key("kafka.external", Kind::List),
    key("jobs.running", Kind::Number),
    key("jobs.tasks", Kind::Number),
    key("jobs.live", Kind::Number),
    key("jobs.task_bytes", Kind::Text),
    key("jobs.task_documents", Kind::Number),
    key("jobs.patience", Kind::Text),
    key("jobs.retention", Kind::Text),
    key("jobs.behind", Kind::Switch),
    key("collections.collections", Kind::Number),
    key("collections.faces", Kind::Number),
    key("collections.users", Kind::Number),
    key("collections.faces_of_user", Kind::Number),
    key("collections.tags", Kind::Number),
    key("checkpoints.embeddings", Kind::Text),
    key("checkpoints.entities", Kind::Text),
    key("checkpoints.sentiment", Kind::Text),
    key("checkpoints.sentiment_multilingual", Kind::Text),
    key("checkpoints.toxicity", Kind::Text),
    key("checkpoints.classify", Kind::Text),
    key("checkpoints.objects", Kind::Text),
    key("checkpoints.labels", Kind::Text),
    key("checkpoints.image_classes", Kind::Text),
    key("checkpoints.covers", Kind::Text),
    key("sql.folders", Kind::List),
    key("sql.memory", Kind::Text),
    key("sql.spill", Kind::Text),
    key("sql.queries", Kind::Number),
    key("engine.device", Kind::Text),
    key("engine.precision", Kind::Text),
    key("engine.lanes", Kind::Number),
    key("engine.threads", Kind::Number),
    key("engine.memory", Kind::Text),
    key("limits.body", Kind::Text),
    key("limits.buffered", Kind::Text),
    key("limits.image", Kind::Text),
    key("limits.image_pixels", Kind::Number),
    key("limits.image_side", Kind::Number),
    key("limits.text", Kind::Text),
    key("limits.rest_text", Kind::Text),
    key("limits.texts", Kind::Number),
    key("limits.deadline", Kind::Text),
    key("limits.body_pause", Kind::Text),
    key("limits.idle", Kind::Text),
    key("limits.connections", Kind::Number),
    key("limits.streams", Kind::Number),
    key("sagemaker.training_bytes", Kind::Text),
    key("sagemaker.training_threads", Kind::Number),
    key("sagemaker.memory", Kind::Text),
    key("aws.account", Kind::Text),
    key("aws.long_texts", Kind::Switch),
    key("aws.pii_extensions", Kind::Switch),
    key("log.level", Kind::Text),
    key("log.format", Kind::Text),
    key("shutdown.delay", Kind::Text),
    key("shutdown.grace", Kind::Text),
];

impl Key {
    /// The setting with this name.
    pub fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!(
            "ESCALA_{}",
            self.name.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// Its value from text, as the environment and flags give it.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn value(&self, text: &str) -> Result<toml::Value, String> {
        match self.kind {
            Kind::Text => Ok(toml::Value::String(text.to_owned())),
            Kind::Number => text
                .trim()
                .parse::<i64>()
                .map(toml::Value::Integer)
                .map_err(|_| format!("`{text}` is not a whole number")),
            Kind::Switch => match text.trim() {
                "true" | "1" | "yes" | "on" => Ok(toml::Value::Boolean(true)),
                "false" | "0" | "no" | "off" => Ok(toml::Value::Boolean(false)),
                _ => Err(format!("`{text}` is neither true nor false")),
            },
            Kind::Table => {
                let table = format!("table = {text}").parse::<toml::Table>();
                let table = table.ok().and_then(|mut table| table.remove("table"));
                let table = table.filter(toml::Value::is_table);
                table.ok_or_else(|| {
                    "write an inline table of TOML, such as { photos = { url = \"s3://bucket\" } }"
                        .to_owned()
                })
            }
            Kind::List => Ok(toml::Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| toml::Value::String(item.to_owned()))
                    .collect(),
            )),
        }
    }
}

/// The setting whose name is nearest, if one is near enough to be what was meant.
pub fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    candidates
        .map(|candidate| (distance(name, &candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = || KEYS.iter().map(|key| key.name.to_owned());
        assert_eq!(
            nearest("engine.thread", names()).as_deref(),
            Some("engine.threads")
        );
        assert_eq!(
            nearest("limits.bodypause", names()).as_deref(),
            Some("limits.body_pause")
        );
        assert_eq!(nearest("colour", names()), None);
    }

    #[test]
    fn no_two_settings_share_a_variable() {
        let variables: std::collections::BTreeSet<_> = KEYS.iter().map(Key::variable).collect();
        assert_eq!(variables.len(), KEYS.len());
        assert!(variables.contains("ESCALA_MODELS_DIR"));
    }
}
