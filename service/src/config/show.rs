//! Prints the configuration in force as TOML that loads back, each value with its origin.

use super::keys::{KEYS, Key};
use super::load::Loaded;
use crate::machine;
use std::fmt::Write;
use std::path::PathBuf;

/// What stands in place of a secret.
pub const REDACTED: &str = "(set, not shown)";

/// The configuration as TOML. Values that are not defaults carry a comment with their origin; settings
/// without a value stand there as comments.
pub fn show(loaded: &Loaded) -> String {
    let table = table(loaded);
    let mut out = String::new();
    match &loaded.file {
        Some(path) => writeln!(out, "# file: {}", path.display()),
        None => writeln!(out, "# no configuration file"),
    }
    .expect("writing to a string cannot fail");
    let mut section = "";
    for key in &KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != section {
            section = of;
            writeln!(out, "\n[{section}]").expect("writing to a string cannot fail");
        }
        let origin = loaded
            .origins
            .get(key.name)
            .map(|origin| format!("  # {origin}"))
            .unwrap_or_default();
        match value(&table, key) {
            Some(value) => writeln!(out, "{name} = {value}{origin}"),
            None => match unset(loaded, key) {
                Some(folder) => writeln!(out, "# {name} is not set: {}", folder.display()),
                None => writeln!(out, "# {name} is not set"),
            },
        }
        .expect("writing to a string cannot fail");
    }
    out
}

/// The folder that is taken where a setting names none.
fn unset(loaded: &Loaded, key: &Key) -> Option<PathBuf> {
    let what = match key.name {
        "models.dir" => "models",
        "data.dir" => "data",
        "data.objects" => "objects",
        "s3.dir" => "s3",
        _ => return None,
    };
    let mut folders = machine::folders(&loaded.config).into_iter();
    folders
        .find(|(of, _)| *of == what)
        .map(|(_, folder)| folder)
}

/// The configuration as a JSON object by setting: `{"listen": {"value": …, "origin": "default"}, …}`; a folder that is taken
/// because none is named is `taken`.
pub fn json(loaded: &Loaded) -> serde_json::Value {
    let table = table(loaded);
    let entries = KEYS.iter().map(|key| {
        let origin = loaded
            .origins
            .get(key.name)
            .map_or_else(|| "default".to_owned(), ToString::to_string);
        let value = value(&table, key).and_then(|value| serde_json::to_value(value).ok());
        let mut entry =
            serde_json::json!({ "value": value, "origin": origin, "variable": key.variable() });
        if value.is_none()
            && let Some(folder) = unset(loaded, key)
        {
            entry["taken"] = folder.to_string_lossy().into();
        }
        (key.name.to_owned(), entry)
    });
    serde_json::Value::Object(entries.collect())
}

fn table(loaded: &Loaded) -> toml::Table {
    toml::Table::try_from(&loaded.config).expect("every setting is a TOML value")
}

fn value(table: &toml::Table, key: &Key) -> Option<toml::Value> {
    let value = match key.name.split_once('.') {
        None => table.get(key.name),
        Some((section, name)) => table.get(section).and_then(|section| section.get(name)),
    };
    value.map(|value| {
        if key.secret {
            toml::Value::String(REDACTED.to_owned())
        } else {
            value.clone()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Flag, load};
    use crate::config::units::Secret;

    #[test]
    fn origins_are_shown_and_secrets_are_not() {
        let nowhere = tempfile::tempdir().expect("temporary folder");
        let secret = "hf_do_not_show";
        let variables = [("ESCALA_MODELS_HUB_TOKEN".to_owned(), secret.to_owned())];
        let flags = [Flag {
            key: "listen".into(),
            value: "127.0.0.1:9".into(),
            flag: "--listen",
        }];
        let loaded = load(None, variables, &flags, nowhere.path()).expect("loads");
        assert_eq!(
            loaded.config.models.hub_token.as_ref().map(Secret::reveal),
            Some(secret)
        );
        let text = show(&loaded);
        assert!(
            text.contains("listen = \"127.0.0.1:9\"  # flag --listen"),
            "{text}"
        );
        assert!(text.contains(REDACTED) && !text.contains(secret), "{text}");
        assert!(!json(&loaded).to_string().contains(secret));
        assert!(!format!("{loaded:?}").contains(secret));
    }

    #[test]
    fn folders_that_are_not_named_are_shown() {
        let nowhere = tempfile::tempdir().expect("temporary folder");
        let data = [Flag {
            key: "data.dir".into(),
            value: "/somewhere".into(),
            flag: "--set",
        }];
        let loaded = load(None, [], &data, nowhere.path()).expect("loads");
        let text = show(&loaded);
        assert!(text.contains("# dir is not set: /somewhere/s3"), "{text}");
        assert!(
            text.contains("# objects is not set: /somewhere/objects"),
            "{text}"
        );
        assert_eq!(json(&loaded)["s3.dir"]["taken"], "/somewhere/s3");
    }

    #[test]
    fn what_is_shown_loads_back() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let set = |key: &str, value: &str| Flag {
            key: key.into(),
            value: value.into(),
            flag: "--set",
        };
        let flags = [
            set("limits.text", "7KB"),
            #[cfg(feature = "remote")]
            set(
                "objects.remote",
                r#"{ photos = { url = "s3://there/in a folder", timeout = "5s" }, "b.c" = { url = "gs://d", anonymous = true } }"#,
            ),
        ];
        let loaded = load(None, [], &flags, folder.path()).expect("loads");
        std::fs::write(folder.path().join("escala.toml"), show(&loaded)).expect("file");
        let again = load(None, [], &[], folder.path()).expect("loads back");
        assert_eq!(again.config, loaded.config);
    }
}
