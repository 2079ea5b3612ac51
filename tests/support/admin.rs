//! Servers with an admin port, and members that have a port more.

use std::cell::RefCell;

use super::http::try_get;
use super::server::free_port;
use super::{Config, Ensemble, Server, until};

/// A configuration with an admin port, and that port.
pub fn with_admin(config: Config) -> (Config, u16) {
    let port = free_port();
    let config = config
        .set("admin.enableServer", true)
        .set("admin.serverAddress", "127.0.0.1")
        .set("admin.serverPort", port);
    (config, port)
}

/// A server that serves, and its admin port.
pub fn start(config: Config) -> (Server, u16) {
    let (config, port) = with_admin(config);
    let server = config.start();
    until("the admin port to be open", || try_get(port, "/livez"));
    (server, port)
}

/// Three voters and an observer, not started, and the port that `with_port` gave to each: that of server `n` at `n`.
pub fn members(with_port: impl Fn(usize, Config) -> (Config, u16)) -> (Ensemble, Vec<u16>) {
    let ports = RefCell::new(vec![0; 5]);
    let ensemble = Ensemble::prepare(3, 1, |id, config| {
        let (config, port) = with_port(id, config);
        ports.borrow_mut()[id] = port;
        config
    });
    (ensemble, ports.into_inner())
}
