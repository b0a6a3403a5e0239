//! What only another Kafka can do to a flow: share its partitions among servers, go away and come back, be left by a server
//! that was killed or stopped.
//!
//! The servers that are killed are this program itself, started with `ESCALA_FLOW_SERVER` set. `ESCALA_FLOW_KILLS` sets
//! how often.

use super::other::{Broker, Other};
use super::port::free_port;
use super::*;
use crate::flow::tests::ground::Ground;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const PARTITIONS: u32 = 3;

/// Records of a partition of `in`, from a number on.
async fn send(ground: &Ground, partition: u32, from: usize, count: usize) {
    let drafts: Vec<Draft> = (from..from + count)
        .map(|at| draft("k", &format!("{partition} {at}")))
        .collect();
    ground.append(partition, &drafts).await;
}

/// What was asked, as the answers of a partition tell, in their order.
fn said(ground: &Ground, topic: &str, partition: u32) -> Vec<String> {
    let answers = ground.read(topic, partition);
    let said = answers
        .iter()
        .map(|answer| value(answer)["prediction"].as_str().unwrap().to_owned());
    said.collect()
}

fn expected(partition: u32, count: usize) -> Vec<String> {
    (0..count).map(|at| format!("{partition} {at}")).collect()
}

/// Two servers share the partitions; one takes over what the other leaves, and every record has one answer.
async fn servers_share_a_flow(ground: &Ground) {
    let (echo, name) = (Arc::new(Echo::default()), ground.name("f"));
    ground.create_topic("in", PARTITIONS, &[]).await;
    let one = ground.flows_in("one.json", &echo);
    one.create(ground.wanted()).await.unwrap();
    let two = ground.flows_in("two.json", &echo);
    two.create(ground.wanted()).await.unwrap();
    let mut sent = 0;
    let records = async |flows: &Flows| flows.describe(&name).await.unwrap().records;
    for before in [0, 1] {
        // Until both have worked since.
        let (first, second) = (records(&one).await, records(&two).await);
        until("work for both", async || {
            for partition in 0..PARTITIONS {
                send(ground, partition, sent, 100).await;
            }
            sent += 100;
            records(&one).await > first && records(&two).await > second
        })
        .await;
        // One rests in the middle of it, and the other does it all.
        two.pause(&name).await.unwrap();
        let rested = records(&two).await;
        for partition in 0..PARTITIONS {
            send(ground, partition, sent, 500).await;
        }
        sent += 500;
        through(&one, &name).await;
        assert_eq!(records(&two).await, rested);
        if before == 0 {
            two.resume(&name).await.unwrap();
        }
    }
    drop(two);
    through(&one, &name).await;
    for partition in 0..PARTITIONS {
        let answers = said(ground, "out", partition);
        assert_eq!(answers, expected(partition, sent), "{partition}");
    }
}

/// The markers after the last record are no lag, so that a flow of a flow comes to an end, too.
async fn a_flow_reads_what_another_wrote_to_its_end(ground: &Ground) {
    let echo = Arc::new(Echo::default());
    ground.create_topic("in", 1, &[]).await;
    send(ground, 0, 0, 300).await;
    let flows = ground.flows(&echo);
    flows.create(ground.wanted()).await.unwrap();
    through(&flows, &ground.name("f")).await;
    let next = Wanted {
        name: ground.name("g"),
        from: ground.name("out"),
        to: ground.name("twice"),
        field: Some("prediction".to_owned()),
        ..ground.wanted()
    };
    flows.create(next).await.unwrap();
    let about = through(&flows, &ground.name("g")).await;
    assert_eq!(about.answers, 300);
    // Past the last record: the marker of its transaction.
    let last = ground.read("out", 0).pop().unwrap();
    assert!(about.lag[0].position > last.offset + 1);
    assert_eq!(said(ground, "twice", 0), expected(0, 300));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_share_a_flow_on_escalas_broker() {
    let mut broker = Broker::start().await;
    servers_share_a_flow(&broker.ground()).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_reads_what_another_wrote_on_escalas_broker() {
    let mut broker = Broker::start().await;
    a_flow_reads_what_another_wrote_to_its_end(&broker.ground()).await;
    broker.stop().await;
}

/// A Kafka that goes away is waited for, and what was under way is done once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_that_goes_away_is_waited_for() {
    let mut broker = Broker::start().await;
    let ground = broker.ground();
    let echo = Arc::new(Echo::default());
    ground.create_topic("in", 2, &[]).await;
    let flows = ground.flows(&echo);
    flows.create(ground.wanted()).await.unwrap();
    let mut sent = 0;
    for round in 0..4 {
        for partition in 0..2 {
            send(&ground, partition, sent, 2000).await;
        }
        sent += 2000;
        let enough = (sent as u64 - 2000) * 2 + 1 + round * 300;
        until("some answers", async || {
            flows.describe("f").await.unwrap().records >= enough
        })
        .await;
        broker.stop().await;
        let brokers = broker.address.to_string();
        until("the reason", async || {
            match flows.describe("f").await.unwrap().state {
                State::Waiting(why) => why.contains(&brokers),
                _ => false,
            }
        })
        .await;
        broker.start_again().await;
    }
    let about = through(&flows, "f").await;
    until("its health", async || {
        flows.describe("f").await.unwrap().state == State::Running
    })
    .await;
    assert_eq!(about.dead, 0);
    for partition in 0..2 {
        assert_eq!(said(&ground, "out", partition), expected(partition, sent));
    }
    drop(flows);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_that_is_not_there_is_said() {
    let folder = TempDir::new().unwrap();
    let echo = Arc::new(Echo::default());
    let brokers = format!("127.0.0.1:{}", free_port());
    let ground = Ground::other(Other::at(&brokers), "");
    let flows = ground.flows(&echo);
    let error = flows.create(ground.wanted()).await.unwrap_err();
    assert!(matches!(&error, Error::Kafka { .. }), "{error}");
    assert!(error.to_string().contains(&brokers), "{error}");
    // Properties that cannot be are said, too, without their values.
    let path = folder.path().join("bad.conf");
    for property in ["sasl.pass", "security.protocol"] {
        let text = format!("bootstrap.servers={brokers}\n{property}=hush");
        std::fs::write(&path, text).unwrap();
        let external = External::read([&*path]).unwrap();
        let kept = folder.path().join("flows.json");
        let flows = Flows::open(ground.log(), external, kept, echo.clone()).unwrap();
        let error = flows.create(ground.wanted()).await.unwrap_err().to_string();
        assert!(error.contains(property), "{error}");
    }
}

/// A server in a process of its own.
struct Server {
    command: Command,
    process: Child,
}

impl Server {
    fn start(ground: &Ground, file: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "flow::tests::external::server", "--ignored"])
            .env("ESCALA_FLOW_SERVER", ground.folder.path())
            .env("ESCALA_FLOW_FILE", file)
            .env("ESCALA_FLOW_BROKERS", ground.wanted().brokers.unwrap())
            .stdout(Stdio::null());
        let process = command.spawn().unwrap();
        Self { command, process }
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.process = self.command.spawn().unwrap();
    }

    /// Stops or continues it, by the name of the signal.
    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a server's process does.
#[test]
#[ignore = "a part of the tests that kill it"]
fn server() {
    let Ok(folder) = std::env::var("ESCALA_FLOW_SERVER") else {
        return;
    };
    let (folder, file) = (
        PathBuf::from(folder),
        std::env::var("ESCALA_FLOW_FILE").unwrap(),
    );
    let brokers = std::env::var("ESCALA_FLOW_BROKERS").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let _in = runtime.enter();
    let log = log(&folder.join(format!("log-of-{file}")));
    let external = Other::at(&brokers).external(&folder);
    let pace = Duration::from_millis(4);
    let echo = Arc::new(Echo {
        pace,
        ..Echo::default()
    });
    let _flows = Flows::open(log, external, folder.join(file), echo).unwrap();
    runtime.block_on(std::future::pending::<()>());
}

fn kills() -> usize {
    std::env::var("ESCALA_FLOW_KILLS").map_or(6, |kills| kills.parse().unwrap())
}

/// How many answers there are.
fn answers(ground: &Ground) -> usize {
    (0..PARTITIONS)
        .map(|partition| ground.read_now("out", partition).len())
        .sum()
}

/// Two servers; one is killed at any moment and starts again, or is stopped until the other has its partitions and then
/// goes on as if nothing had happened. Every record has one answer.
async fn servers_that_are_killed_and_stopped_answer_once(ground: &Ground) {
    let (echo, name) = (Arc::new(Echo::default()), ground.name("f"));
    ground.create_topic("in", PARTITIONS, &[]).await;
    // Both servers know the flow.
    for file in ["one.json", "two.json"] {
        let flows = ground.flows_in(file, &echo);
        let paused = true;
        flows
            .create(Wanted {
                paused,
                ..ground.wanted()
            })
            .await
            .unwrap();
        drop(flows);
        let path = ground.folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"paused\": true", "\"paused\": false")).unwrap();
    }
    let mut servers = ["one.json", "two.json"].map(|file| Server::start(ground, file));
    let (mut sent, mut cut) = (0, 0);
    for kill in 0..kills() {
        for partition in 0..PARTITIONS {
            send(ground, partition, sent, 3000).await;
        }
        sent += 3000;
        let enough = (sent - 3000) * PARTITIONS as usize + 1 + kill * 977 % 3000;
        until("some answers", async || answers(ground) >= enough).await;
        let all = sent * PARTITIONS as usize;
        let server = &mut servers[kill % 2];
        match kill % 3 {
            2 => {
                server.signal("-STOP");
                cut += usize::from(answers(ground) < all);
                // The other does the rest while this one sleeps, in the middle of whatever it did.
                until("the other's answers", async || answers(ground) >= all).await;
                server.signal("-CONT");
            }
            _ => {
                server.kill();
                cut += usize::from(answers(ground) < all);
                server.start_again();
            }
        }
    }
    let kills = kills();
    assert!(cut >= kills / 2, "at work only {cut} times of {kills}");
    let flows = ground.flows_in("watching.json", &echo);
    let paused = true;
    flows
        .create(Wanted {
            paused,
            ..ground.wanted()
        })
        .await
        .unwrap();
    through(&flows, &name).await;
    drop(servers);
    for partition in 0..PARTITIONS {
        let answers = said(ground, "out", partition);
        assert_eq!(answers, expected(partition, sent), "{partition}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_killed_answer_once_on_escalas_broker() {
    let mut broker = Broker::start().await;
    servers_that_are_killed_and_stopped_answer_once(&broker.ground()).await;
    broker.stop().await;
}

/// What opens Apache Kafka's keys, and the password of its user `ana`.
const PASSWORD: &str = "open-sesame";

/// The keys of Apache Kafka's TLS, and the certificate that tells it.
struct Keys {
    store: PathBuf,
    #[cfg_attr(not(feature = "kafka-tls"), allow(dead_code, reason = "nobody asks"))]
    certificate: PathBuf,
}

impl Keys {
    /// Makes them with Java's own tool.
    fn make(folder: &Path) -> Self {
        let (store, certificate) = (folder.join("keys.p12"), folder.join("certificate.pem"));
        let tool = |arguments: &[&str]| {
            let mut command = Command::new("keytool");
            command.args(arguments).args(["-alias", "kafka"]);
            command.args(["-storetype", "PKCS12", "-storepass", PASSWORD]);
            command.arg("-keystore").arg(&store).stderr(Stdio::null());
            assert!(command.status().unwrap().success());
        };
        let name = ["-dname", "CN=kafka", "-ext", "SAN=ip:127.0.0.1"];
        tool(&[&["-genkeypair", "-keyalg", "RSA"][..], &name].concat());
        let file = certificate.to_str().unwrap();
        tool(&["-exportcert", "-rfc", "-file", file]);
        Self { store, certificate }
    }
}

/// Apache Kafka, one node, killed when it is dropped.
struct Apache {
    address: SocketAddr,
    /// Where it wants TLS, a name and a password.
    #[cfg(feature = "kafka-tls")]
    secret: SocketAddr,
    #[cfg(feature = "kafka-tls")]
    keys: Keys,
    folder: TempDir,
    libs: String,
    node: Option<Child>,
}

fn java(libs: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("java");
    command
        .args(["-Xmx512m", "-cp", &format!("{libs}/*")])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

impl Apache {
    /// Starts one; nothing where Java or Maven is missing.
    fn start() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let jars = Command::new("bash")
            .arg(root.join("benches/peers/kafka/jars.sh"))
            .output()
            .ok()?;
        if !jars.status.success() {
            let why = String::from_utf8_lossy(&jars.stderr);
            eprintln!(
                "WARNING: no Apache Kafka to test flows with: {}",
                why.trim()
            );
            return None;
        }
        let libs = String::from_utf8(jars.stdout).unwrap().trim().to_owned();
        let [address, controller, secret] =
            [(); 3].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let keys = Keys::make(folder.path());
        let properties = [
            "process.roles=broker,controller".to_owned(),
            "node.id=1".to_owned(),
            format!("controller.quorum.voters=1@{controller}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            format!("listeners=PLAINTEXT://{address},CONTROLLER://{controller},SASL_SSL://{secret}"),
            format!("advertised.listeners=PLAINTEXT://{address},SASL_SSL://{secret}"),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL".to_owned(),
            "inter.broker.listener.name=PLAINTEXT".to_owned(),
            "sasl.enabled.mechanisms=SCRAM-SHA-512".to_owned(),
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;".to_owned(),
            format!("ssl.keystore.location={}", keys.store.display()),
            format!("ssl.keystore.password={PASSWORD}"),
            "ssl.keystore.type=PKCS12".to_owned(),
            format!("log.dirs={}", data.display()),
            "offsets.topic.num.partitions=1".to_owned(),
            "offsets.topic.replication.factor=1".to_owned(),
            "transaction.state.log.num.partitions=1".to_owned(),
            "transaction.state.log.replication.factor=1".to_owned(),
            "transaction.state.log.min.isr=1".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
            "group.min.session.timeout.ms=100".to_owned(),
        ];
        let path = folder.path().join("server.properties");
        std::fs::write(&path, properties.join("\n")).unwrap();
        let path = path.to_str().unwrap();
        let format = [
            "kafka.tools.StorageTool",
            "format",
            "-t",
            "MkU3OEVBNTcwNTJENDM2Qg",
            "-c",
            path,
            "--add-scram",
            &format!("SCRAM-SHA-512=[name=ana,password={PASSWORD}]"),
        ];
        assert!(java(&libs, &format).status().unwrap().success());
        let mut apache = Self {
            address,
            #[cfg(feature = "kafka-tls")]
            secret,
            #[cfg(feature = "kafka-tls")]
            keys,
            folder,
            libs,
            node: None,
        };
        apache.run();
        Some(apache)
    }

    fn run(&mut self) {
        let path = self.folder.path().join("server.properties");
        let node = java(&self.libs, &["kafka.Kafka", path.to_str().unwrap()]).spawn();
        self.node = Some(node.unwrap());
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(begun.elapsed() < PATIENCE, "Apache Kafka does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGKILL.
    fn kill(&mut self) {
        if let Some(mut node) = self.node.take() {
            node.kill().unwrap();
            node.wait().unwrap();
        }
    }

    fn ground(&self, name: &str) -> Ground {
        let other = Other::at(&self.address.to_string());
        Ground::other(other, &format!("{name}."))
    }

    /// By TLS, with a password.
    #[cfg(feature = "kafka-tls")]
    fn secret_ground(&self, name: &str, password: &str) -> Ground {
        let settings = [
            ("security.protocol", "SASL_SSL"),
            ("ssl.ca.location", self.keys.certificate.to_str().unwrap()),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "ana"),
            ("sasl.password", password),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let other = Other::behind(&self.secret.to_string(), settings.to_vec());
        Ground::other(other, &format!("{name}."))
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The suite, and what is above, on Apache Kafka.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_holds_on_apache_kafka() {
    let Some(mut apache) = Apache::start() else {
        return;
    };
    let only = std::env::var("ESCALA_FLOW_ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only == name;
    if wanted("suite") {
        suite_on(|name| apache.ground(name)).await;
    }
    if wanted("share") {
        servers_share_a_flow(&apache.ground("share")).await;
    }
    if wanted("twice") {
        a_flow_reads_what_another_wrote_to_its_end(&apache.ground("twice")).await;
    }
    if wanted("killed") {
        servers_that_are_killed_and_stopped_answer_once(&apache.ground("killed")).await;
    }
    #[cfg(feature = "kafka-tls")]
    if wanted("tls") {
        every_record_has_its_answer_in_its_place(&apache.secret_ground("tls", PASSWORD)).await;
        let ground = apache.secret_ground("tls", "hush-hush");
        let flows = ground.flows(&Arc::default());
        let refused = flows.create(ground.wanted()).await.unwrap_err().to_string();
        assert!(refused.contains(&apache.secret.to_string()), "{refused}");
        assert!(!refused.contains("hush-hush"), "{refused}");
    }
    if wanted("node") {
        let ground = apache.ground("node");
        a_node_that_is_killed_is_waited_for(&ground, &mut apache).await;
    }
}

async fn a_node_that_is_killed_is_waited_for(ground: &Ground, apache: &mut Apache) {
    // Some seconds for all, so that it is not through before the node is killed.
    let echo = Arc::new(Echo {
        pace: Duration::from_micros(200),
        ..Echo::default()
    });
    let name = ground.name("f");
    ground.create_topic("in", 2, &[]).await;
    let flows = ground.flows(&echo);
    flows.create(ground.wanted()).await.unwrap();
    for partition in 0..2 {
        send(ground, partition, 0, 20_000).await;
    }
    until("some answers", async || {
        flows.describe(&name).await.unwrap().records > 2000
    })
    .await;
    let left = flows.describe(&name).await.unwrap().records;
    apache.kill();
    assert!(left < 40_000, "it was through before");
    until("the reason", async || {
        matches!(
            flows.describe(&name).await.unwrap().state,
            State::Waiting(_)
        )
    })
    .await;
    apache.run();
    through(&flows, &name).await;
    for partition in 0..2 {
        let answers = said(ground, "out", partition);
        let all: BTreeSet<&String> = answers.iter().collect();
        assert_eq!(all.len(), answers.len(), "an answer came twice");
        assert_eq!(answers, expected(partition, 20_000), "{partition}");
    }
}
