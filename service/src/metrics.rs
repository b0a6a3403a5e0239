//! What the doors count, as Prometheus text.
//!
//! Promises: counting costs a few atomic additions; the number of series is bounded whatever callers
//! send ([`MOST_SERIES`] operations, a fixed list of statuses), so memory is bounded too.

pub mod disks;
mod process;

use parking_lot::RwLock;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];
/// Statuses counted by their number; every other one is counted as its class: `2xx`, `4xx` …
const STATUSES: [u16; 16] = [
    200, 400, 401, 403, 404, 405, 408, 411, 413, 415, 429, 499, 500, 501, 503, 504,
];
/// Most pairs of door and operation; further ones are counted under the operation `other`.
pub const MOST_SERIES: usize = 1024;

/// Door and operation.
type Name = (&'static str, Cow<'static, str>);

/// The counters of one server.
#[derive(Default)]
pub struct Metrics {
    series: RwLock<BTreeMap<Name, Arc<Series>>>,
    /// Requests being answered now.
    in_flight: AtomicI64,
    /// Connections open now.
    connections: AtomicI64,
    /// Connections since the start.
    accepted: AtomicU64,
    /// Connections refused because too many were open.
    refused: AtomicU64,
    /// Bytes of request bodies read.
    bytes_in: AtomicU64,
}

/// One door and operation.
#[derive(Default)]
struct Series {
    statuses: [AtomicU64; STATUSES.len()],
    /// By class of status, for those not in the list.
    classes: [AtomicU64; 6],
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    nanos: AtomicU64,
}

/// Counts something that is there as long as this value lives.
pub struct Gauge {
    metrics: Arc<Metrics>,
    of: fn(&Metrics) -> &AtomicI64,
}

impl Drop for Gauge {
    fn drop(&mut self) {
        (self.of)(&self.metrics).fetch_sub(1, Relaxed);
    }
}

impl Metrics {
    /// Counts a request as being answered until the value is dropped.
    pub fn request_begins(self: &Arc<Self>) -> Gauge {
        self.gauge(|metrics| &metrics.in_flight)
    }

    /// Counts a connection as open until the value is dropped.
    pub fn connection_opens(self: &Arc<Self>) -> Gauge {
        self.accepted.fetch_add(1, Relaxed);
        self.gauge(|metrics| &metrics.connections)
    }

    fn gauge(self: &Arc<Self>, of: fn(&Self) -> &AtomicI64) -> Gauge {
        of(self).fetch_add(1, Relaxed);
        Gauge {
            metrics: self.clone(),
            of,
        }
    }

    /// Counts a connection that was refused.
    pub fn connection_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Counts bytes of a request's body.
    pub fn read(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Relaxed);
    }

    /// Counts one request that was answered (499: whose caller went away) after `took`.
    pub fn answered(
        &self,
        door: &'static str,
        operation: Cow<'static, str>,
        status: u16,
        took: Duration,
    ) {
        let series = self.series(door, operation);
        match STATUSES.iter().position(|known| *known == status) {
            Some(index) => series.statuses[index].fetch_add(1, Relaxed),
            None => series.classes[usize::from(status / 100).min(5)].fetch_add(1, Relaxed),
        };
        let seconds = took.as_secs_f64();
        if let Some(index) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            series.buckets[index].fetch_add(1, Relaxed);
        }
        series.count.fetch_add(1, Relaxed);
        series
            .nanos
            .fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn series(&self, door: &'static str, operation: Cow<'static, str>) -> Arc<Series> {
        let key = (door, operation);
        if let Some(series) = self.series.read().get(&key) {
            return series.clone();
        }
        let mut all = self.series.write();
        // The few names for what does not fit always fit.
        let key = if all.len() < MOST_SERIES {
            key
        } else {
            (door, Cow::Borrowed("other"))
        };
        all.entry(key).or_default().clone()
    }

    /// Everything counted so far and the state of the process, in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut out = String::with_capacity(16 << 10);
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        process::write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let series: Vec<_> = self
            .series
            .read()
            .iter()
            .map(|((door, operation), series)| (*door, operation.clone(), series.clone()))
            .collect();
        writeln!(
            out,
            "# HELP escala_requests_total Requests answered, by door, operation and status; 499 means that the caller went away."
        )?;
        writeln!(out, "# TYPE escala_requests_total counter")?;
        for (door, operation, series) in &series {
            for (status, count) in STATUSES.iter().zip(&series.statuses) {
                line(
                    out,
                    door,
                    operation,
                    &status.to_string(),
                    count.load(Relaxed),
                )?;
            }
            for (class, count) in series.classes.iter().enumerate() {
                line(
                    out,
                    door,
                    operation,
                    &format!("{class}xx"),
                    count.load(Relaxed),
                )?;
            }
        }
        writeln!(
            out,
            "# HELP escala_request_seconds Time from a request's head to its answer."
        )?;
        writeln!(out, "# TYPE escala_request_seconds histogram")?;
        for (door, operation, series) in &series {
            let labels = format!("door=\"{door}\",operation=\"{operation}\"");
            let mut below = 0;
            for (bound, count) in BUCKETS.iter().zip(&series.buckets) {
                below += count.load(Relaxed);
                writeln!(
                    out,
                    "escala_request_seconds_bucket{{{labels},le=\"{bound}\"}} {below}"
                )?;
            }
            // Read after the buckets, so that no bucket is above it while requests go on.
            let count = series.count.load(Relaxed).max(below);
            writeln!(
                out,
                "escala_request_seconds_bucket{{{labels},le=\"+Inf\"}} {count}"
            )?;
            writeln!(
                out,
                "escala_request_seconds_sum{{{labels}}} {}",
                series.nanos.load(Relaxed) as f64 / 1e9
            )?;
            writeln!(out, "escala_request_seconds_count{{{labels}}} {count}")?;
        }
        let single = [
            (
                "escala_requests_in_flight",
                "gauge",
                "Requests being answered.",
                self.in_flight.load(Relaxed).to_string(),
            ),
            (
                "escala_connections_open",
                "gauge",
                "Open connections.",
                self.connections.load(Relaxed).to_string(),
            ),
            (
                "escala_connections_total",
                "counter",
                "Connections accepted.",
                self.accepted.load(Relaxed).to_string(),
            ),
            (
                "escala_connections_refused_total",
                "counter",
                "Connections refused because too many were open.",
                self.refused.load(Relaxed).to_string(),
            ),
            (
                "escala_request_bytes_total",
                "counter",
                "Bytes of request bodies read.",
                self.bytes_in.load(Relaxed).to_string(),
            ),
        ];
        for (name, kind, help, value) in single {
            writeln!(
                out,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            )?;
        }
        writeln!(
            out,
            "# HELP escala_build_info The version that runs.\n# TYPE escala_build_info gauge"
        )?;
        writeln!(
            out,
            "escala_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        )
    }
}

fn line(
    out: &mut String,
    door: &str,
    operation: &str,
    status: &str,
    count: u64,
) -> std::fmt::Result {
    if count == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "escala_requests_total{{door=\"{door}\",operation=\"{operation}\",status=\"{status}\"}} {count}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_door_operation_and_status() {
        let metrics = Arc::new(Metrics::default());
        for (status, millis) in [(200, 1), (200, 3), (418, 30), (499, 20_000)] {
            metrics.answered(
                "rest",
                Cow::Borrowed("/v1/x"),
                status,
                Duration::from_millis(millis),
            );
        }
        let text = metrics.text();
        for line in [
            r#"escala_requests_total{door="rest",operation="/v1/x",status="200"} 2"#,
            r#"escala_requests_total{door="rest",operation="/v1/x",status="4xx"} 1"#,
            r#"escala_requests_total{door="rest",operation="/v1/x",status="499"} 1"#,
            r#"escala_request_seconds_bucket{door="rest",operation="/v1/x",le="0.001"} 1"#,
            r#"escala_request_seconds_bucket{door="rest",operation="/v1/x",le="10"} 3"#,
            r#"escala_request_seconds_bucket{door="rest",operation="/v1/x",le="+Inf"} 4"#,
            r#"escala_request_seconds_count{door="rest",operation="/v1/x"} 4"#,
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn gauges_go_back_when_what_they_count_is_gone() {
        let metrics = Arc::new(Metrics::default());
        let one = metrics.request_begins();
        let two = metrics.request_begins();
        assert!(metrics.text().contains("escala_requests_in_flight 2\n"));
        drop((one, two));
        assert!(metrics.text().contains("escala_requests_in_flight 0\n"));
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let metrics = Metrics::default();
        for number in 0..MOST_SERIES * 2 {
            metrics.answered(
                "aws",
                Cow::Owned(format!("Operation{number}")),
                200,
                Duration::ZERO,
            );
        }
        assert!(metrics.series.read().len() <= MOST_SERIES + 1);
        assert!(metrics.text().contains("operation=\"other\""));
    }

    #[test]
    fn every_line_is_prometheus_text() {
        let metrics = Arc::new(Metrics::default());
        metrics.answered(
            "rest",
            Cow::Borrowed("/v1/x"),
            200,
            Duration::from_millis(1),
        );
        for line in metrics.text().lines() {
            if line.starts_with("# HELP ") || line.starts_with("# TYPE ") {
                continue;
            }
            let (name, value) = line.rsplit_once(' ').expect("name and value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let bare = name.split('{').next().expect("name");
            assert!(
                bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
                "{line}"
            );
            assert_eq!(name.contains('{'), name.ends_with('}'), "{line}");
        }
    }
}
