//! Curator 5 and Apache's Java client: the framework, all recipes in use, service discovery (`java/curator`).

use crate::java::Compiled;
use crate::program::Program;
use crate::support::{Config, Server};

fn run(server: &Server, class: &str) {
    let compiled = Compiled::new(server, "curator");
    Program::start(server, class, compiled.run(server, class)).finish();
}

#[test]
fn curator_nodes_transactions_acls_and_watches() {
    // Reaping is looked at within the test: the default interval is a minute.
    let server =
        Config::default().set("extendedTypesEnabled", true).set("znode.container.checkIntervalMs", 200);
    run(&server.start(), "Nodes");
}

#[test]
fn curator_locks_semaphores_leaders_and_barriers() {
    run(&Server::start(), "Locks");
}

#[test]
fn curator_queues_caches_counters_and_services() {
    run(&Server::start(), "Shared");
}
