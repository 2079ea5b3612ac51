//! Clients in three more languages, and the two programs of the tutorials: each is one program that checks everything.

use std::process::Command;

use crate::java::Compiled;
use crate::program::{Program, installed, source};
use crate::support::{Config, Server};

fn server() -> Server {
    // Nodes with a time to live are refused without it.
    Config::default().set("extendedTypesEnabled", true).start()
}

#[test]
fn zkclient_of_the_tutorials() {
    let server = server();
    let compiled = Compiled::new(&server, "zkclient");
    Program::start(&server, "zkclient", compiled.run(&server, "TutorialZkClient")).finish();
}

#[test]
fn curator_2_of_the_tutorials() {
    let server = server();
    let compiled = Compiled::new(&server, "curator2");
    Program::start(&server, "curator2", compiled.run(&server, "TutorialCurator")).finish();
}

/// Builds with a cache of its own, without the network, and runs what came out.
#[test]
fn go_client() {
    let server = server();
    let binary = server.file("go-binary");
    let mut build = Command::new("go");
    build.args(["build", "-mod=readonly", "-o"]).arg(&binary).arg(".").current_dir(source("go"));
    build.env("GOMODCACHE", installed("go/modules")).env("GOCACHE", installed("go/cache"));
    build.env("GOPROXY", "off").env("GOTOOLCHAIN", "local").env("GOFLAGS", "-modcacherw");
    Program::start(&server, "go build", build).finish();
    let mut command = Command::new(&binary);
    command.arg(server.address().to_string());
    Program::start(&server, "go-client", command).finish();
}

#[test]
fn node_client() {
    let server = server();
    let mut command = Command::new("node");
    command.env("NODE_PATH", installed("node/node_modules"));
    command.arg(source("node/client.js")).arg(server.address().to_string());
    Program::start(&server, "node", command).finish();
}

#[test]
fn rust_client() {
    let server = server();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--offline"]).current_dir(source("rust"));
    // None of this run's own settings: it is another package.
    build.env("CARGO_TARGET_DIR", installed("rust")).env_remove("RUSTFLAGS");
    Program::start(&server, "cargo build", build).finish();
    let mut command = Command::new(installed("rust/debug/ringkeeper-client-rust"));
    command.arg(server.address().to_string());
    Program::start(&server, "rust", command).finish();
}
