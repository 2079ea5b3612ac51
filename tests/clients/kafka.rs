//! A Kafka broker that keeps its metadata in ZooKeeper, end to end, with Kafka's own tools.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use crate::java::java;
use crate::program::{Program, source};
use crate::support::Server;

struct Kafka<'a> {
    server: &'a Server,
    address: String,
}

impl<'a> Kafka<'a> {
    fn new(server: &'a Server) -> Kafka<'a> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = free.unwrap_or_else(|error| panic!("no free port: {error}")).to_string();
        let config = [
            "broker.id=7".to_owned(),
            format!("listeners=PLAINTEXT://{address}"),
            // Its tree is below a node that the broker makes itself.
            format!("zookeeper.connect={}/kafka/cluster", server.address()),
            "zookeeper.session.timeout.ms=6000".to_owned(),
            format!("log.dirs={}", server.file("kafka-logs").display()),
            "offsets.topic.num.partitions=1".to_owned(),
            "offsets.topic.replication.factor=1".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
            "log.cleaner.dedupe.buffer.size=2097152".to_owned(),
            "log.index.size.max.bytes=65536".to_owned(),
        ];
        let path = server.file("kafka.properties");
        fs::write(&path, config.join("\n")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Kafka { server, address }
    }

    fn start_broker(&self) -> Program {
        let mut command = java("kafka", "kafka.Kafka");
        command.arg(self.server.file("kafka.properties"));
        let log = source("java/kafka/log4j.properties");
        command.env("JDK_JAVA_OPTIONS", format!("-Dlog4j.configuration=file:{}", log.display()));
        let mut broker = Program::start(self.server, "kafka", command);
        broker.prints("[KafkaServer id=7] started");
        broker
    }

    fn tool(&self, class: &str, words: &[&str]) -> Command {
        let mut command = java("kafka", class);
        command.args(["--bootstrap-server", &self.address]).args(words);
        command
    }

    fn topics(&self, words: &[&str]) -> String {
        let tool = self.tool("org.apache.kafka.tools.TopicCommand", words);
        Program::start(self.server, "TopicCommand", tool).finish()
    }

    fn produce(&self, topic: &str, messages: &[&str]) {
        let tool = self.tool("kafka.tools.ConsoleProducer", &["--topic", topic, "--sync"]);
        let mut producer = Program::start(self.server, "ConsoleProducer", tool);
        for message in messages {
            producer.send(message);
        }
        producer.finish();
    }

    /// The first `count` messages of a topic, by one of a group's consumers.
    fn consume(&self, topic: &str, count: usize) -> Vec<String> {
        let count = count.to_string();
        let words = [
            "--topic",
            topic,
            "--from-beginning",
            "--max-messages",
            &count,
            "--timeout-ms",
            "60000",
            "--group",
            "g",
        ];
        let tool = self.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &words);
        let output = Program::start_apart(self.server, "ConsoleConsumer", tool).finish();
        output.lines().map(str::to_owned).collect()
    }
}

#[test]
fn kafka_broker_creates_topics_produces_consumes_and_restarts() {
    let mut server = Server::start();
    let kafka = Kafka::new(&server);
    let address = kafka.address.clone();
    let mut broker = kafka.start_broker();
    kafka.topics(&["--create", "--topic", "orders", "--partitions", "1", "--replication-factor", "1"]);
    kafka.produce("orders", &["one", "two"]);
    assert_eq!(kafka.consume("orders", 2), ["one", "two"]);

    // The server dies and comes back under a running broker: its session goes on, and its controller works.
    server.kill();
    server.restart();
    let kafka = Kafka { server: &server, address };
    kafka.topics(&["--create", "--topic", "bills", "--partitions", "2", "--replication-factor", "1"]);
    broker.signal("TERM");
    broker.exit_code();

    let mut broker = kafka.start_broker();
    let topics = kafka.topics(&["--list"]);
    assert!(topics.contains("orders") && topics.contains("bills"), "{topics}");
    kafka.produce("orders", &["three"]);
    // The group's offsets were kept: only what is new comes.
    assert_eq!(kafka.consume("orders", 1), ["three"]);
    broker.signal("TERM");
    broker.exit_code();
}
