//! Dubbo, whose registry is ZooKeeper: providers and a consumer, each a process of its own (`java/dubbo`).

use std::net::{Ipv4Addr, TcpListener};

use crate::java::Compiled;
use crate::program::Program;
use crate::support::Server;

/// 127.0.0.1, as one number.
const LOOPBACK: &str = "2130706433";

struct Registry {
    server: Server,
    compiled: Compiled,
}

impl Registry {
    fn start(&self, name: &str, words: &[&str]) -> Program {
        let mut command = self.compiled.run(&self.server, "Registry");
        command.args(words);
        // Left alone Dubbo offers the machine's own address, and binds all of them; whatever begins with 127 it refuses.
        // This number is 127.0.0.1.
        command.env("DUBBO_IP_TO_BIND", LOOPBACK).env("DUBBO_IP_TO_REGISTRY", LOOPBACK);
        // Its caches would go to the home directory.
        let home = format!("-Duser.home={}", self.server.file(name).with_extension("home").display());
        command.env("JDK_JAVA_OPTIONS", home);
        Program::start(&self.server, name, command)
    }

    fn provider(&self, name: &str) -> Program {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.unwrap_or_else(|error| panic!("no free port: {error}")).port().to_string();
        let mut provider = self.start(name, &["provide", name, &port]);
        provider.prints(&format!("provides {name}"));
        provider
    }
}

#[test]
fn dubbo_consumer_finds_providers_as_they_come_and_go() {
    let server = Server::start();
    let compiled = Compiled::new(&server, "dubbo");
    let registry = Registry { server, compiled };
    let first = registry.provider("first");
    let mut consumer = registry.start("consumer", &["consume"]);
    consumer.send("first");
    consumer.prints("ok first\n");
    let _second = registry.provider("second");
    consumer.send("first second");
    consumer.prints("ok first second\n");
    first.finish();
    consumer.send("second");
    consumer.prints("ok second\n");
    consumer.finish();
}
