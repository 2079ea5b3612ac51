//! The page at `/` of the admin port in a real browser: Chromium without a window, driven over WebDriver.
//!
//! `tests/run --prepare` installs it on Debian; where it is missing that is a failure, with the remedy. Nothing but 127.0.0.1
//! can be reached by this browser, and what it tried to reach is asked of it. Screenshots of each test go to `target/page`.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "page_in_browser/browser.rs"]
mod browser;
#[path = "page_in_browser/live.rs"]
mod live;
#[path = "page_in_browser/tree.rs"]
mod tree;

use support::server::free_port;
use support::{Config, Server, until};

/// A configuration with an admin port, and that port.
fn with_admin(config: Config) -> (Config, u16) {
    let port = free_port();
    let config = config
        .set("admin.enableServer", true)
        .set("admin.serverAddress", "127.0.0.1")
        .set("admin.serverPort", port);
    (config, port)
}

fn start(config: Config) -> (Server, u16) {
    let (config, port) = with_admin(config);
    let server = config.start();
    until("the admin port to be open", || support::http::try_get(port, "/livez"));
    (server, port)
}
