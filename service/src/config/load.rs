//! Reads the sources and lays them over each other, remembering where each value came from.

use super::keys::{KEYS, Key, nearest};
use super::{Config, Error};
use escala_models::kernels::Isa;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The variable that chooses the instructions of kernels, which the kernels read themselves.
const ISA: &str = "ESCALA_ISA";
/// Variables with our prefix that are not settings: the path of the file, and what is read elsewhere.
const OTHER_VARIABLES: [&str; 2] = ["ESCALA_CONFIG", ISA];
/// A name that the weights themselves use for a setting; the setting's own variable comes first.
const ALIAS: (&str, &str) = ("ESCALA_WEIGHTS_DIR", "models.local_dir");
/// Variables with these prefixes belong to the test and bench programs and are left alone.
const OTHER_PREFIXES: [&str; 2] = ["ESCALA_TEST_", "ESCALA_BENCH_"];

/// Whether a variable is one that Kubernetes (and Docker's links) sets in every container beside a service
/// named `escala`: `ESCALA_SERVICE_HOST`, `ESCALA_SERVICE_PORT`, `ESCALA_PORT`, `ESCALA_PORT_4566_TCP_ADDR` …
/// Nobody wrote these, so they are no mistakes in our settings.
fn is_service_link(name: &str) -> bool {
    name.strip_prefix("ESCALA_").is_some_and(|rest| {
        rest == "PORT"
            || rest == "SERVICE_HOST"
            || rest == "SERVICE_PORT"
            || rest.starts_with("SERVICE_PORT_")
            || rest
                .strip_prefix("PORT_")
                .is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// A setting given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The setting's name.
    pub key: String,
    /// Its value as text.
    pub value: String,
    /// The flag as the user knows it: `--listen`.
    pub flag: &'static str,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A command line flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// The configuration in force and the origin of everything that is not a default.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration in force, checked.
    pub config: Config,
    /// By setting; a setting that is absent has its default.
    pub origins: BTreeMap<&'static str, Origin>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// Reads all sources. `file` is the one asked for by flag; `variables` is the environment; `here` is
/// the folder in which `escala.toml` is looked for.
///
/// # Errors
/// The first source that cannot be read, key that is unknown, or value that does not fit.
pub fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
    here: &Path,
) -> Result<Loaded, Error> {
    let variables: BTreeMap<String, String> = variables
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let mut table = toml::Table::new();
    let mut origins = BTreeMap::new();

    let file = find_file(file, &variables, here);
    if let Some(path) = &file {
        read_file(path, &mut table, &mut origins)?;
    }
    if let Some(isa) = variables.get(ISA) {
        let available = Isa::available();
        let names: Vec<_> = available.iter().map(|isa| isa.name()).collect();
        if !names.contains(&isa.as_str()) {
            return Err(Error::Value {
                key: ISA.to_owned(),
                origin: "the environment".to_owned(),
                message: format!("this machine has no `{isa}`, only {}", names.join(", ")),
            });
        }
    }
    for (name, value) in &variables {
        if !name.starts_with("ESCALA_")
            || OTHER_VARIABLES.contains(&name.as_str())
            || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || is_service_link(name)
        {
            continue;
        }
        let key = match name == ALIAS.0 {
            true => Key::find(ALIAS.1).filter(|key| !variables.contains_key(&key.variable())),
            false => KEYS.iter().find(|key| key.variable() == *name),
        };
        if name == ALIAS.0 && key.is_none() {
            continue;
        }
        let Some(key) = key else {
            let near = nearest(name, KEYS.iter().map(Key::variable));
            return Err(Error::UnknownKey {
                key: name.clone(),
                origin: "the environment".to_owned(),
                near,
            });
        };
        put(
            &mut table,
            &mut origins,
            key,
            value,
            Origin::Variable(name.clone()),
        )?;
    }
    for Flag {
        key: name,
        value,
        flag,
    } in flags
    {
        let key = known(name, &Origin::Flag(flag))?;
        put(&mut table, &mut origins, key, value, Origin::Flag(flag))?;
    }

    let config = typed(&table, &origins)?;
    config.check()?;
    Ok(Loaded {
        config,
        origins,
        file,
    })
}

/// The file to read: one that was asked for must exist; the others are read when they are there.
fn find_file(
    asked: Option<&Path>,
    variables: &BTreeMap<String, String>,
    here: &Path,
) -> Option<PathBuf> {
    if let Some(path) = asked {
        return Some(path.to_owned());
    }
    if let Some(path) = variables.get("ESCALA_CONFIG") {
        return Some(PathBuf::from(path));
    }
    let user = variables
        .get("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| {
            variables
                .get("HOME")
                .map(|home| Path::new(home).join(".config"))
        });
    [
        Some(here.join("escala.toml")),
        user.map(|user| user.join("escala").join("escala.toml")),
    ]
    .into_iter()
    .flatten()
    .find(|path| path.is_file())
}

fn read_file(
    path: &Path,
    table: &mut toml::Table,
    origins: &mut BTreeMap<&'static str, Origin>,
) -> Result<(), Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let parsed: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| Error::Syntax {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
    let origin = Origin::File(path.to_owned());
    for (name, value) in parsed {
        match value {
            toml::Value::Table(section) => {
                for (key, value) in section {
                    let key = known(&format!("{name}.{key}"), &origin)?;
                    insert(table, key, value);
                    origins.insert(key.name, origin.clone());
                }
            }
            value => {
                let key = known(&name, &origin)?;
                insert(table, key, value);
                origins.insert(key.name, origin.clone());
            }
        }
    }
    Ok(())
}

fn known(name: &str, origin: &Origin) -> Result<&'static Key, Error> {
    Key::find(name).ok_or_else(|| Error::UnknownKey {
        key: name.to_owned(),
        origin: origin.to_string(),
        near: nearest(name, KEYS.iter().map(|key| key.name.to_owned())),
    })
}

fn put(
    table: &mut toml::Table,
    origins: &mut BTreeMap<&'static str, Origin>,
    key: &'static Key,
    text: &str,
    origin: Origin,
) -> Result<(), Error> {
    let value = key.value(text).map_err(|message| Error::Value {
        key: key.name.to_owned(),
        origin: origin.to_string(),
        message,
    })?;
    insert(table, key, value);
    origins.insert(key.name, origin);
    Ok(())
}

fn insert(table: &mut toml::Table, key: &Key, value: toml::Value) {
    match key.name.split_once('.') {
        None => {
            table.insert(key.name.to_owned(), value);
        }
        Some((section, name)) => {
            let section = table
                .entry(section.to_owned())
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(section) = section {
                section.insert(name.to_owned(), value);
            }
        }
    }
}

/// Reads the merged table; when it does not fit, finds the value at fault by trying each one alone.
fn typed(table: &toml::Table, origins: &BTreeMap<&'static str, Origin>) -> Result<Config, Error> {
    let error = match table.clone().try_into::<Config>() {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    for (name, origin) in origins {
        let value = match name.split_once('.') {
            None => table.get(*name),
            Some((section, name)) => table.get(section).and_then(|section| section.get(name)),
        };
        if let (Some(key), Some(value)) = (Key::find(name), value) {
            let mut alone = toml::Table::new();
            insert(&mut alone, key, value.clone());
            if let Err(error) = alone.try_into::<Config>() {
                // The value of a secret must not reach a terminal or a log.
                let message = if key.secret {
                    "the value does not fit".to_owned()
                } else {
                    error.message().to_owned()
                };
                return Err(Error::Value {
                    key: (*name).to_owned(),
                    origin: origin.to_string(),
                    message,
                });
            }
        }
    }
    Err(Error::Conflict(error.message().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;
    use crate::config::units::Size;

    fn flag(key: &str, value: &str) -> Flag {
        Flag {
            key: key.to_owned(),
            value: value.to_owned(),
            flag: "--set",
        }
    }

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn folder_with(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("escala.toml"), text).expect("file");
        folder
    }

    #[test]
    fn later_sources_win() {
        let folder = folder_with(
            "listen = \"127.0.0.1:1\"\n[engine]\nthreads = 1\nlanes = 2\n[limits]\ntext = \"5KB\"\n",
        );
        let loaded = load(
            None,
            variables(&[
                ("ESCALA_LISTEN", "127.0.0.1:2"),
                ("ESCALA_ENGINE_THREADS", "2"),
                ("ESCALA_LOG_FORMAT", "json"),
            ]),
            &[flag("listen", "127.0.0.1:3")],
            folder.path(),
        )
        .expect("loads");
        assert_eq!(loaded.config.listen.port(), 3);
        assert_eq!(loaded.config.engine.threads, 2);
        assert_eq!(loaded.config.engine.lanes, 2);
        assert_eq!(loaded.config.limits.text, Size::bytes(5000));
        assert_eq!(loaded.config.log.format, LogFormat::Json);
        assert_eq!(loaded.config.limits.texts, Config::default().limits.texts);
        assert_eq!(loaded.origins["listen"], Origin::Flag("--set"));
        assert_eq!(
            loaded.origins["engine.threads"],
            Origin::Variable("ESCALA_ENGINE_THREADS".into())
        );
        assert_eq!(
            loaded.origins["engine.lanes"],
            Origin::File(folder.path().join("escala.toml"))
        );
        assert!(!loaded.origins.contains_key("limits.texts"));
    }

    #[test]
    fn the_file_is_found_in_order() {
        let (asked, named, here, user) = (
            folder_with("[engine]\nthreads = 1\n"),
            folder_with("[engine]\nthreads = 2\n"),
            folder_with("[engine]\nthreads = 3\n"),
            tempfile::tempdir().expect("temporary folder"),
        );
        let empty = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir(user.path().join("escala")).expect("folder");
        std::fs::write(
            user.path().join("escala/escala.toml"),
            "[engine]\nthreads = 4\n",
        )
        .expect("file");
        let named = named.path().join("escala.toml").display().to_string();
        let user = user.path().display().to_string();
        let all = [
            ("ESCALA_CONFIG", named.as_str()),
            ("XDG_CONFIG_HOME", user.as_str()),
        ];
        let threads = |asked: Option<&Path>, vars: &[(&str, &str)], here: &Path| {
            load(asked, variables(vars), &[], here)
                .expect("loads")
                .config
                .engine
                .threads
        };
        assert_eq!(
            threads(Some(&asked.path().join("escala.toml")), &all, here.path()),
            1
        );
        assert_eq!(threads(None, &all, here.path()), 2);
        assert_eq!(threads(None, &all[1..], here.path()), 3);
        assert_eq!(threads(None, &all[1..], empty.path()), 4);
        assert_eq!(threads(None, &[], empty.path()), 0);
    }

    #[test]
    fn unknown_keys_are_refused_by_name_from_every_source() {
        let nowhere = tempfile::tempdir().expect("temporary folder");
        let folder = folder_with("[limits]\nbdy = \"1MiB\"\n");
        let error = load(None, [], &[], folder.path())
            .expect_err("file")
            .to_string();
        assert!(
            error.contains("`limits.bdy`") && error.contains("did you mean `limits.body`"),
            "{error}"
        );
        let folder = folder_with("[extra.deep]\nx = 1\n");
        assert!(
            load(None, [], &[], folder.path())
                .expect_err("section")
                .to_string()
                .contains("`extra.deep`")
        );
        let error = load(
            None,
            variables(&[("ESCALA_LISTN", "x")]),
            &[],
            nowhere.path(),
        )
        .expect_err("env")
        .to_string();
        assert!(
            error.contains("`ESCALA_LISTN`") && error.contains("ESCALA_LISTEN"),
            "{error}"
        );
        let error = load(None, [], &[flag("engine.thread", "1")], nowhere.path())
            .expect_err("flag")
            .to_string();
        assert!(
            error.contains("`engine.thread`") && error.contains("--set"),
            "{error}"
        );
        load(
            None,
            variables(&[
                ("ESCALA_TEST_X", "1"),
                ("PATH", "/bin"),
                ("ESCALA_PORT", "tcp://10.0.0.1:4566"),
                ("ESCALA_PORT_4566_TCP_ADDR", "10.0.0.1"),
                ("ESCALA_SERVICE_HOST", "10.0.0.1"),
                ("ESCALA_SERVICE_PORT_HTTP", "4566"),
            ]),
            &[],
            nowhere.path(),
        )
        .expect("left alone");
    }

    #[test]
    fn the_weights_own_variable_stands_for_the_setting_that_it_means() {
        let nowhere = tempfile::tempdir().expect("temporary folder");
        let both = [
            ("ESCALA_WEIGHTS_DIR", "/a"),
            ("ESCALA_MODELS_LOCAL_DIR", "/b"),
        ];
        for (given, dir) in [(&both[..1], "/a"), (&both[..], "/b")] {
            let loaded = load(None, variables(given), &[], nowhere.path()).expect("loads");
            assert_eq!(
                loaded.config.models.local_dir.as_deref(),
                Some(Path::new(dir))
            );
        }
    }

    #[test]
    fn values_that_do_not_fit_name_key_and_origin() {
        let nowhere = tempfile::tempdir().expect("temporary folder");
        for (name, value) in [
            ("ESCALA_LISTEN", "here"),
            ("ESCALA_ENGINE_THREADS", "many"),
            ("ESCALA_ENGINE_THREADS", "-1"),
            ("ESCALA_ENGINE_DEVICE", "gpu"),
            ("ESCALA_MODELS_OFFLINE", "maybe"),
            ("ESCALA_LIMITS_BODY", "big"),
            ("ESCALA_LIMITS_DEADLINE", "30"),
            ("ESCALA_LOG_FORMAT", "xml"),
        ] {
            let error = load(None, variables(&[(name, value)]), &[], nowhere.path())
                .expect_err(name)
                .to_string();
            let key = KEYS
                .iter()
                .find(|key| key.variable() == name)
                .expect("known")
                .name;
            assert!(
                error.contains(key) && error.contains(name),
                "{name}: {error}"
            );
        }
        let folder = folder_with("engine = 3\n");
        load(None, [], &[], folder.path()).expect_err("a section is not a number");
        let folder = folder_with("listen = ");
        assert!(matches!(
            load(None, [], &[], folder.path()),
            Err(Error::Syntax { .. })
        ));
        assert!(matches!(
            load(
                Some(Path::new("/nonexistent/escala.toml")),
                [],
                &[],
                nowhere.path()
            ),
            Err(Error::Read { .. })
        ));
    }

    #[test]
    fn the_sample_equals_the_defaults_and_names_every_setting() {
        let sample = include_str!("../../escala.sample.toml");
        let folder = folder_with(sample);
        let loaded = load(None, [], &[], folder.path()).expect("the sample loads");
        assert_eq!(loaded.config, Config::default());
        // Settings without a default stand there as comments; with them uncommented all are named.
        let whole: String = sample
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line).to_owned() + "\n")
            .collect();
        let folder = folder_with(&whole);
        let loaded = load(None, [], &[], folder.path()).expect("the whole sample loads");
        let missing: Vec<_> = KEYS
            .iter()
            .filter(|key| !loaded.origins.contains_key(key.name))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
