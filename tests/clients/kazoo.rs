//! kazoo, the Python client: its own calls (`kazoo/basic.py`) and its recipes (`kazoo/recipes.py`).

use std::process::Command;

use crate::program::{Program, installed, source};
use crate::support::{Client, Ensemble, Server, until};

fn start(server: &Server, script: &str, check: &str) -> Program {
    let mut command = Command::new(installed("venv/bin/python"));
    command.arg(source("kazoo").join(script)).arg(server.port.to_string()).arg(check);
    // No compiled files among the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Program::start(server, "kazoo", command)
}

/// A test for each check of a script, each with a server of its own.
macro_rules! checks {
    ($script:literal: $($check:ident),* $(,)?) => {
        $(
            #[test]
            fn $check() {
                let server = Server::start();
                start(&server, $script, stringify!($check)).finish();
            }
        )*
    };
}

checks!("basic.py":
    create_get_set_delete,
    children,
    ephemerals_and_sequences,
    one_time_watches,
    watch_recipes,
    locks,
    lock_of_a_lost_session,
    commands,
    transactions,
    auth_and_acls,
);

checks!("recipes.py":
    read_and_write_locks,
    semaphores,
    elections,
    queues,
    locking_queues,
    barriers,
    double_barriers,
    counters,
    parties,
    tree_caches,
    leases,
    partitioners,
    watchers_stop_and_go_on,
);

#[test]
fn keeps_its_session_over_a_kill_and_a_restart() {
    let mut server = Server::start();
    let mut kazoo = start(&server, "basic.py", "survives_a_restart");
    kazoo.prints("kill");
    server.kill();
    server.restart();
    kazoo.finish();
}

/// Apache's needs local sessions for it; ours doesn't mind.
#[test]
fn reads_from_a_server_without_a_leader() {
    let mut ensemble = Ensemble::prepare(2, 0, |_, config| {
        config.property("readonlymode.enabled", true).set("localSessionsEnabled", true)
    });
    ensemble.launch_all();
    ensemble.settle();
    Client::connect(&ensemble.servers[0]).create("/before", b"data", 0);
    ensemble.servers[1].kill();
    until("the server to be read-only", || (ensemble.servers[0].word("isro") == "ro").then_some(()));
    let mut kazoo = start(&ensemble.servers[0], "basic.py", "reads_without_a_leader");
    kazoo.prints("heal");
    ensemble.servers[1].restart();
    kazoo.finish();
}
