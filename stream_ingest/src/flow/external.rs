//! Where another Kafka is and how it is reached.
//!
//! A flow names its brokers and nothing else; what it takes to be let in (TLS, a name, a password) is in files of the
//! operator's, in the form of librdkafka's and kcat's: `property=value` lines. A file is for the cluster whose
//! `bootstrap.servers` it names, so that a password is shown to no other.

use super::definition::Definition;
use super::error::Error;
use super::event_log::EventLog;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most bytes of a list of brokers.
const LONGEST: usize = 10_000;

/// Properties that say what a flow does, and are not the operator's.
const OURS: [&str; 15] = [
    "allow.auto.create.topics",
    "auto.offset.reset",
    "check.crcs",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "message.max.bytes",
    "partition.assignment.strategy",
    "statistics.interval.ms",
    "transactional.id",
];

/// How other Kafkas are reached.
#[derive(Clone, Default)]
pub struct External(Vec<Cluster>);

#[derive(Clone)]
struct Cluster {
    brokers: BTreeSet<String>,
    settings: BTreeMap<String, String>,
}

/// Where they are; the rest may be secret.
impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brokers = self.0.iter().map(|cluster| &cluster.brokers);
        f.debug_list().entries(brokers).finish()
    }
}

/// Why a file cannot be used. Never shows a value.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct Unusable {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

impl External {
    /// Reads files of properties, each for the cluster whose `bootstrap.servers` it names.
    ///
    /// # Errors
    /// [`Unusable`] for the first that cannot be read, says nothing about its brokers, or sets what is the flow's.
    pub fn read<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<Self, Unusable> {
        let read = |path: &Path| {
            let text = fs::read_to_string(path).map_err(|error| error.to_string());
            text.and_then(|text| cluster(&text))
                .map_err(|why| Unusable {
                    path: path.to_owned(),
                    why,
                })
        };
        let clusters: Result<_, _> = files.into_iter().map(read).collect();
        clusters.map(Self)
    }

    /// The Kafka at these brokers, for a flow.
    #[cfg(feature = "kafka")]
    pub(super) fn open(
        &self,
        brokers: &str,
        flow: &Definition,
    ) -> Result<Arc<dyn EventLog>, Error> {
        let kafka = super::kafka::Kafka::new(brokers, self.settings(brokers), flow)?;
        Ok(Arc::new(kafka))
    }

    /// There is none.
    #[cfg(not(feature = "kafka"))]
    pub(super) fn open(&self, _: &str, _: &Definition) -> Result<Arc<dyn EventLog>, Error> {
        Err(Error::NoKafka)
    }

    /// The properties for the cluster with exactly these brokers; none where no file is for it.
    #[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "nobody is reached"))]
    fn settings(&self, brokers: &str) -> BTreeMap<String, String> {
        let brokers = set(brokers);
        let found = self.0.iter().find(|cluster| cluster.brokers == brokers);
        found
            .map(|found| found.settings.clone())
            .unwrap_or_default()
    }
}

fn cluster(text: &str) -> Result<Cluster, String> {
    let mut settings = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err(format!("line {number} is not `property=value`"));
        };
        let (name, value) = (name.trim(), value.trim());
        if OURS.contains(&name) {
            return Err(format!("`{name}` is the flow's own and cannot be set"));
        }
        if settings.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("`{name}` is set twice"));
        }
    }
    let wanted = settings.remove("bootstrap.servers");
    let wanted =
        wanted.ok_or("`bootstrap.servers` is missing: it says whose settings these are")?;
    Ok(Cluster {
        brokers: set(&brokers(&wanted)?),
        settings,
    })
}

/// A list of brokers as it is kept: `host:port`, and more after commas.
///
/// # Errors
/// A sentence where it is none.
pub fn brokers(list: &str) -> Result<String, String> {
    let wrong = |what: &str| {
        let what: String = what.chars().take(100).collect();
        format!("`{what}` is no broker; name them as host:port, and more after commas")
    };
    if list.len() > LONGEST {
        return Err(wrong(list));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    let mut all = Vec::new();
    for broker in list.split(',').map(str::trim) {
        let (host, port) = broker.rsplit_once(':').ok_or_else(|| wrong(broker))?;
        // An address of IPv6 stands in brackets.
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let is_host = match bare {
            Some(address) => !address.is_empty() && address.chars().all(legal),
            None => !host.is_empty() && !host.contains(':') && host.chars().all(legal),
        };
        if !is_host || !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(wrong(broker));
        }
        all.push(broker);
    }
    Ok(all.join(","))
}

fn set(brokers: &str) -> BTreeSet<String> {
    brokers.split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_for_the_brokers_they_name_and_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prod.conf");
        let text = "# the cluster\nbootstrap.servers = b:2, a:1\nsecurity.protocol=SASL_SSL\n\nsasl.password = a=b#c\n";
        fs::write(&path, text).unwrap();
        let external = External::read([&*path]).unwrap();
        let settings = external.settings("a:1,b:2");
        let expected = [
            ("sasl.password", "a=b#c"),
            ("security.protocol", "SASL_SSL"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(settings, BTreeMap::from(expected));
        for others in ["a:1", "a:1,b:2,c:3", "a:1,b:3"] {
            assert_eq!(external.settings(others), BTreeMap::new());
        }
        assert_eq!(format!("{external:?}"), r#"[{"a:1", "b:2"}]"#);
    }

    #[test]
    fn files_that_cannot_be_used_are_refused_without_their_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prod.conf");
        for (text, why) in [
            ("sasl.password=hush", "bootstrap.servers"),
            ("bootstrap.servers=hush", "no broker"),
            ("bootstrap.servers=a:1\nhush", "line 2"),
            ("bootstrap.servers=a:1\ngroup.id=hush", "group.id"),
            (
                "bootstrap.servers=a:1\nssl.key.password=hush\nssl.key.password=hush",
                "twice",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let error = External::read([&*path]).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(error.contains("prod.conf"), "{error}");
            assert!(why == "no broker" || !error.contains("hush"), "{error}");
        }
        let nothing = folder.path().join("nothing");
        assert!(External::read([&*nothing]).is_err());
    }

    #[test]
    fn brokers_have_a_host_and_a_port() {
        assert_eq!(brokers("a:1").unwrap(), "a:1");
        assert_eq!(
            brokers(" b-1.x_y:9092 , [::1]:2").unwrap(),
            "b-1.x_y:9092,[::1]:2"
        );
        for wrong in [
            "",
            "a",
            "a:",
            "a:0",
            "a:70000",
            ":1",
            "a:1,",
            "a b:1",
            "::1:2",
            "[]:1",
            "http://a:1",
        ] {
            assert!(brokers(wrong).is_err(), "{wrong}");
        }
    }
}
