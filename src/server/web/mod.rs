//! The ports that speak HTTP: the admin server's and that of the Prometheus provider.
//!
//! Two threads, started before recovery: "admin" carries the connections of both ports (hyper over a runtime of its own),
//! "facts" asks the loops and makes the answers, one at a time; a restore has a thread of its own as long as it lasts. None is in
//! the way of a client of ZooKeeper's: a loop takes one question a turn at most.
//!
//! Not by room `io`: its ring is for the data path, and a library that well-known speaks HTTP better than we would
//! (design decision 23).
//!
//! Limits, each with what happens there: [`CONNECTIONS_MAX`] (the oldest is cut off), [`HEADER_BYTES_MAX`] and
//! `admin.idleTimeout` (cut off), [`QUEUE_MAX`] questions and [`UNREAD_BYTES_MAX`] of answers that wait (503).
//! A port that can't be opened: one line, and the server runs without.
//! Tested: tests/admin.rs; answers against Apache ZooKeeper's: tests/admin_of_java.rs.

mod clerk;
mod connections;
mod request;
mod restore;
mod silence;
mod tree;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::config::Config;

use super::facts::Background;
use super::inquiry::Inquiry;
use super::{Fatal, Lines, ReadSnapshot, spawn};

use clerk::Clerk;
use silence::Silence;

/// Connections of one port.
const CONNECTIONS_MAX: usize = 128;
/// Of one request.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Questions that wait for the thread "facts".
const QUEUE_MAX: usize = 64;
/// Of answers which were begun to be sent. One more is always begun.
const UNREAD_BYTES_MAX: usize = 128 << 20;
/// A connection that says nothing for so long is cut off, on the metrics port: as `admin.idleTimeout` by default.
const METRICS_IDLE: Duration = Duration::from_secs(30);

/// What the answers are made of, once the server has recovered. A copy each, of handles.
#[derive(Clone)]
pub struct Desk {
    pub background: Background,
    pub inquiry: Inquiry,
}

/// Empty while the server starts.
pub type Place = Arc<OnceLock<Desk>>;

/// One port.
#[derive(Clone)]
struct Port {
    /// For people.
    name: &'static str,
    /// The settings that say where it is.
    keys: &'static str,
    address: SocketAddr,
    idle: Duration,
    /// `None`: the metrics port.
    command_url: Option<Arc<str>>,
}

/// Starts the threads, if there is a port to be opened.
pub fn start(config: &Config, lines: Lines, read_snapshot: ReadSnapshot) -> Result<Place, Fatal> {
    let place = Place::default();
    let admin = config.admin_server.as_ref().map(|admin| Port {
        name: "admin server",
        keys: "admin.serverPort",
        address: admin.address,
        idle: admin.idle_timeout,
        command_url: Some(admin.command_url.as_str().into()),
    });
    let metrics = config.metrics_server.as_ref().map(|metrics| Port {
        name: "metrics",
        keys: "metricsProvider.httpPort",
        address: metrics.address,
        idle: METRICS_IDLE,
        command_url: None,
    });
    let ports: Vec<Port> = [admin, metrics].into_iter().flatten().collect();
    if ports.is_empty() {
        return Ok(place);
    }
    let (questions, asked) = crossbeam::channel::bounded(QUEUE_MAX);
    let silence = Arc::new(Silence::default());
    let clerk = Clerk::new(config, place.clone(), silence.clone(), lines, read_snapshot);
    spawn("facts", move || clerk.run(&asked))?;
    spawn("admin", move || connections::run(ports, questions, silence))?;
    Ok(place)
}

/// From now on the loops can be asked.
pub fn open(place: &Place, background: &Background, inquiry: Inquiry) {
    let desk = Desk { background: background.clone(), inquiry };
    assert!(place.set(desk).is_ok(), "a server starts once");
}
