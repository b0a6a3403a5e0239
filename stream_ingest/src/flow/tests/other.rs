//! Another Kafka for the suite: Escala's broker in this process, or Apache Kafka.

use super::ground::{Ground, log, until};
use crate::broker;
use crate::flow::External;
use crate::log::Log;
use crate::records::{Draft, Header, Record};
use bytes::Bytes;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Headers as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message, Offset, TopicPartitionList};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(30);

/// Another Kafka, and how to ask it.
pub struct Other {
    pub brokers: String,
    /// What it takes to be let in.
    settings: Vec<(String, String)>,
    producer: BaseProducer,
}

fn config(brokers: &str, settings: &[(String, String)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    for (name, value) in settings {
        config.set(name, value);
    }
    config
}

impl Other {
    pub fn at(brokers: &str) -> Self {
        Self::behind(brokers, Vec::new())
    }

    /// One that lets in whoever has these properties.
    pub fn behind(brokers: &str, settings: Vec<(String, String)>) -> Self {
        let mut config = config(brokers, &settings);
        config.set("enable.idempotence", "true");
        config.set("linger.ms", "0");
        // What is too large is for the topics to say.
        config.set("message.max.bytes", "5000000");
        Self {
            brokers: brokers.to_owned(),
            settings,
            producer: config.create().unwrap(),
        }
    }

    fn config(&self) -> ClientConfig {
        config(&self.brokers, &self.settings)
    }

    /// Settings for flows: a server that is gone is missed soon.
    pub fn external(&self, folder: &Path) -> External {
        let path = folder.join("other.conf");
        let mut text = format!(
            "bootstrap.servers={}\nsession.timeout.ms=2000\nheartbeat.interval.ms=300\ntopic.metadata.refresh.interval.ms=1000\n",
            self.brokers
        );
        for (name, value) in &self.settings {
            text += &format!("{name}={value}\n");
        }
        std::fs::write(&path, text).unwrap();
        External::read([&*path]).unwrap()
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    pub async fn create_topic(&self, name: &str, partitions: u32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(1));
        topic.config = settings.to_vec();
        let admin = self.admin();
        let made = admin.create_topics([&topic], &AdminOptions::new());
        made.await.unwrap().pop().unwrap().unwrap();
    }

    pub async fn setting(&self, topic: &str, name: &str) -> String {
        let topic = [ResourceSpecifier::Topic(topic)];
        let admin = self.admin();
        let described = admin.describe_configs(&topic, &AdminOptions::new());
        let described = described.await.unwrap().pop().unwrap().unwrap();
        described.get(name).unwrap().value.clone().unwrap()
    }

    pub async fn add_partitions(&self, name: &str, partitions: u32) {
        let wanted = NewPartitions::new(name, partitions as usize);
        let admin = self.admin();
        let made = admin.create_partitions([&wanted], &AdminOptions::new());
        made.await.unwrap().pop().unwrap().unwrap();
    }

    pub async fn delete_records(&self, name: &str, partition: u32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition as i32, Offset::Offset(before))
            .unwrap();
        let admin = self.admin();
        let deleted = admin.delete_records(&list, &AdminOptions::new());
        deleted.await.unwrap();
    }

    pub fn append(&self, topic: &str, partition: u32, drafts: &[Draft]) {
        let (producer, begun) = (&self.producer, Instant::now());
        for draft in drafts {
            let mut headers = OwnedHeaders::new();
            for (name, value) in &draft.headers {
                headers = headers.insert(rdkafka::message::Header {
                    key: name,
                    value: value.as_deref(),
                });
            }
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord {
                topic,
                partition: Some(partition as i32),
                payload: draft.value.as_deref(),
                key: draft.key.as_deref(),
                timestamp: Some(draft.timestamp),
                headers: Some(headers),
                delivery_opaque: (),
            };
            while let Err((error, back)) = producer.send(record) {
                // It has not heard of a new partition.
                let code = error.rdkafka_error_code();
                assert_eq!(code, Some(RDKafkaErrorCode::UnknownPartition), "{error}");
                assert!(begun.elapsed() < PATIENCE, "{topic} has no {partition}");
                let metadata = producer.client().fetch_metadata(Some(topic), PATIENCE);
                metadata.unwrap();
                record = back;
            }
        }
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::from_millis(1));
            assert!(begun.elapsed() < PATIENCE, "{topic} takes nothing");
        }
    }

    fn reader(&self, isolation: &str) -> BaseConsumer {
        self.config()
            .set("group.id", "nobody")
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "20")
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap()
    }

    /// What readers of committed records are shown once nothing is open: a transaction may be committed a moment before
    /// they see it.
    pub fn read(&self, topic: &str, partition: u32) -> Vec<Record> {
        let (all, shown) = (
            self.reader("read_uncommitted"),
            self.reader("read_committed"),
        );
        let end = |reader: &BaseConsumer| {
            let marks = reader.fetch_watermarks(topic, partition as i32, PATIENCE);
            marks.unwrap().1
        };
        let begun = Instant::now();
        while end(&shown) < end(&all) {
            assert!(begun.elapsed() < PATIENCE, "{topic} stays open");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.read_now(topic, partition)
    }

    /// What readers of committed records are shown now.
    pub fn read_now(&self, topic: &str, partition: u32) -> Vec<Record> {
        let consumer = self.reader("read_committed");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition as i32, Offset::Beginning)
            .unwrap();
        consumer.assign(&list).unwrap();
        let (mut all, begun) = (Vec::new(), Instant::now());
        loop {
            assert!(begun.elapsed() < PATIENCE, "{topic} has no end");
            let message = match consumer.poll(PATIENCE) {
                Some(Ok(message)) => message,
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return all,
                // What is wrong with a connection passes.
                Some(Err(_)) | None => continue,
            };
            let headers = message.headers().into_iter().flat_map(|all| all.iter());
            let headers: Vec<Header> = headers
                .map(|header| {
                    (
                        header.key.to_owned(),
                        header.value.map(Bytes::copy_from_slice),
                    )
                })
                .collect();
            all.push(Record {
                offset: message.offset(),
                timestamp: message.timestamp().to_millis().unwrap(),
                key: message.key().map(Bytes::copy_from_slice),
                value: message.payload().map(Bytes::copy_from_slice),
                headers,
            });
        }
    }

    pub fn committed(&self, group: &str, topic: &str, partition: u32) -> Option<i64> {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition as i32);
        let found = consumer.committed_offsets(list, PATIENCE).unwrap();
        match found.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }
}

/// Escala's broker, on a log of its own.
pub struct Broker {
    pub address: SocketAddr,
    folder: TempDir,
    running: Option<(Log, oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Broker {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut broker = Self {
            address: listener.local_addr().unwrap(),
            folder: TempDir::new().unwrap(),
            running: None,
        };
        broker.serve(listener);
        broker
    }

    fn serve(&mut self, listener: TcpListener) {
        let log = log(self.folder.path());
        let mut options = broker::Options::default();
        options.groups.initial_delay = Duration::ZERO;
        options.groups.shortest_session = Duration::from_millis(100);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = broker::serve(listener, log.clone(), options, async {
            let _ = stopped.await;
        });
        self.running = Some((log, stop, tokio::spawn(serving)));
    }

    /// Ends; whoever is connected is cut off.
    pub async fn stop(&mut self) {
        if let Some((log, stop, serving)) = self.running.take() {
            drop(stop);
            serving.await.unwrap();
            log.close().await.unwrap();
        }
    }

    /// Starts again on the same port and log.
    pub async fn start_again(&mut self) {
        let mut listener = None;
        until("the port", async || {
            listener = TcpListener::bind(self.address).await.ok();
            listener.is_some()
        })
        .await;
        self.serve(listener.unwrap());
    }

    pub fn ground(&self) -> Ground {
        Ground::other(Other::at(&self.address.to_string()), "")
    }
}
