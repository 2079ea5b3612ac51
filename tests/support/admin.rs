//! Servers with an admin port.

use super::http::try_get;
use super::server::free_port;
use super::{Config, Server, until};

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
