//! What the broker counts, as Prometheus text.

use super::Code;
use super::groups::{Directory, peopled};
use crate::wire::Api;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// APIs have keys below this.
const KEYS: usize = 128;

/// The counters of a broker.
#[derive(Debug)]
pub struct Metrics {
    /// Requests by the key of their API.
    requests: [AtomicU64; KEYS],
    /// Partitions of Produce and Fetch that were answered with an error: as many as there are codes.
    errors: Mutex<BTreeMap<(Api, i16), (Code, u64)>>,
    open: AtomicI64,
    accepted: AtomicU64,
    refused: AtomicU64,
    groups: Directory,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: [const { AtomicU64::new(0) }; KEYS],
            errors: Mutex::default(),
            open: AtomicI64::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            groups: Directory::default(),
        }
    }
}

/// Counts a connection as open as long as it lives.
pub(crate) struct Open<'a>(&'a Metrics);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Metrics {
    pub(crate) fn opens(&self) -> Open<'_> {
        self.accepted.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        Open(self)
    }

    /// A connection was closed at once because there were too many.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn asked(&self, api: Api) {
        if let Some(count) = self.requests.get(api as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// A partition of a request is answered with an error.
    pub(crate) fn failed(&self, api: Api, code: Code) {
        let mut errors = self.errors.lock();
        errors.entry((api, code.number())).or_insert((code, 0)).1 += 1;
    }

    /// Where the broker keeps the groups that have members.
    pub(crate) fn directory(&self) -> &Directory {
        &self.groups
    }

    /// The groups that have members, with how many these are, whether they have committed anything or not.
    pub fn groups(&self) -> BTreeMap<String, usize> {
        peopled(&self.groups)
    }

    /// Writes everything counted so far, in the text format of Prometheus.
    pub fn write(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = self.write_all(out);
    }

    fn write_all(&self, out: &mut String) -> fmt::Result {
        let name = "escala_kafka_requests_total";
        writeln!(out, "# HELP {name} Requests of Kafka's clients.")?;
        writeln!(out, "# TYPE {name} counter")?;
        for (key, count) in self.requests.iter().enumerate() {
            let count = count.load(Relaxed);
            if let Some(api) = Api::of(key as i16).filter(|_| count > 0) {
                writeln!(out, "{name}{{api=\"{api:?}\"}} {count}")?;
            }
        }
        let name = "escala_kafka_errors_total";
        writeln!(
            out,
            "# HELP {name} Partitions of Produce and Fetch that were answered with an error."
        )?;
        writeln!(out, "# TYPE {name} counter")?;
        for ((api, _), (code, count)) in self.errors.lock().iter() {
            writeln!(out, "{name}{{api=\"{api:?}\",error=\"{code:?}\"}} {count}")?;
        }
        let groups = self.groups();
        let single = [
            (
                "groups",
                "gauge",
                "Groups that have members.",
                groups.len().to_string(),
            ),
            (
                "group_members",
                "gauge",
                "Members of groups.",
                groups.values().sum::<usize>().to_string(),
            ),
            (
                "connections_open",
                "gauge",
                "Open connections of Kafka's clients.",
                self.open.load(Relaxed).to_string(),
            ),
            (
                "connections_total",
                "counter",
                "Connections of Kafka's clients.",
                self.accepted.load(Relaxed).to_string(),
            ),
            (
                "connections_refused_total",
                "counter",
                "Connections closed at once because too many were open.",
                self.refused.load(Relaxed).to_string(),
            ),
        ];
        for (name, kind, help, value) in single {
            writeln!(out, "# HELP escala_kafka_{name} {help}")?;
            writeln!(out, "# TYPE escala_kafka_{name} {kind}")?;
            writeln!(out, "escala_kafka_{name} {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_by_api_and_errors_by_name() {
        let metrics = Metrics::default();
        metrics.asked(Api::Produce);
        metrics.asked(Api::IncrementalAlterConfigs);
        metrics.asked(Api::Produce);
        metrics.failed(Api::Fetch, Code::OffsetOutOfRange);
        let first = metrics.opens();
        let second = metrics.opens();
        drop(first);
        let mut text = String::new();
        metrics.write(&mut text);
        for line in [
            r#"escala_kafka_requests_total{api="Produce"} 2"#,
            r#"escala_kafka_requests_total{api="IncrementalAlterConfigs"} 1"#,
            r#"escala_kafka_errors_total{api="Fetch",error="OffsetOutOfRange"} 1"#,
            "escala_kafka_connections_open 1",
            "escala_kafka_connections_total 2",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} in\n{text}");
        }
        drop(second);
    }
}
