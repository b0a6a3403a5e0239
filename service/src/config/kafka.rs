//! The settings of the event log.

use super::units::{self, Listen, Size, Span};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The event log, in `log` of the data folder, and the port for Kafka's clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// Address that Kafka's clients connect to, or `off`: then the log is not opened either.
    #[serde(with = "units::text")]
    pub listen: Listen,
    /// `host:port` that clients are told to connect to, where that is not the address they came to: behind a mapped port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertised: Option<String>,
    /// Whether a topic is made when a client that allows it asks for one that is not there.
    pub auto_create: bool,
    /// Partitions of a topic whose maker did not say.
    pub partitions: u32,
    /// Whether a topic whose maker asks for more replicas than the one that there is is made all the same, with one.
    pub accept_replication: bool,
    /// Settings that topics have whose makers do not say otherwise, each `name=value` with Kafka's name.
    pub topic_defaults: Vec<String>,
    /// Most open connections, as far as the process may open files: Kafka's `max.connections`.
    pub connections: usize,
    /// Most members of a group: Kafka's `group.max.size`.
    pub group_members: usize,
    /// How long an empty group waits for more members after the first: Kafka's `group.initial.rebalance.delay.ms`.
    pub group_initial_delay: Span,
    /// Shortest session that a member may ask for: Kafka's `group.min.session.timeout.ms`.
    pub group_shortest_session: Span,
    /// Longest session that a member may ask for: Kafka's `group.max.session.timeout.ms`.
    pub group_longest_session: Span,
    /// Bytes kept in a file that is given up when the disk is full; as many must be free for records to be taken.
    pub reserve: Size,
    /// Bytes of the newest records that are kept in memory for readers; older ones are read from the disk.
    pub cache: Size,
    /// Time without a transaction after which a transactional id is forgotten: Kafka's
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration: Span,
    /// Time after which the offsets of a group that nobody is in and nobody commits for are forgotten: Kafka's
    /// `offsets.retention.minutes`.
    pub offsets_retention: Span,
    /// Files with librdkafka's properties, each for flows on the other Kafka whose `bootstrap.servers` it names.
    pub external: Vec<PathBuf>,
}

impl Kafka {
    /// Host and port of `advertised`.
    pub fn advertised(&self) -> Option<(String, u16)> {
        let (host, port) = self.advertised.as_deref()?.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (!host.is_empty()).then(|| (host.to_owned(), port))
    }

    /// Names and values of `topic_defaults`; `None` where one is not `name=value`. A list of the environment is cut at every
    /// comma, so what has no `=` goes on with the value before.
    pub fn topic_settings(&self) -> Option<Vec<(String, String)>> {
        let mut settings: Vec<(String, String)> = Vec::new();
        for setting in &self.topic_defaults {
            match (setting.split_once('='), settings.last_mut()) {
                (Some((name, value)), _) => {
                    settings.push((name.trim().to_owned(), value.trim().to_owned()));
                }
                (None, Some((_, value))) => {
                    value.push(',');
                    value.push_str(setting.trim());
                }
                (None, None) => return None,
            }
        }
        Some(settings)
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            listen: Listen::on(SocketAddr::from(([127, 0, 0, 1], 9092))),
            advertised: None,
            auto_create: true,
            partitions: 1,
            accept_replication: false,
            topic_defaults: Vec::new(),
            connections: 1000,
            group_members: 1000,
            group_initial_delay: Span::seconds(3),
            group_shortest_session: Span::seconds(6),
            group_longest_session: Span::seconds(1800),
            reserve: Size::bytes(32 << 20),
            cache: Size::bytes(256 << 20),
            transactional_id_expiration: Span::seconds(7 * 24 * 3600),
            offsets_retention: Span::seconds(7 * 24 * 3600),
            external: Vec::new(),
        }
    }
}
