//! The client port, opened elsewhere when the committed configuration says so: Apache's `ServerCnxnFactory.reconfigure`.
//!
//! Who is connected stays connected. The new port is opened first. One that overlaps with the old (the same port on other
//! addresses) can't be opened beside it: that is told, and counts from the next start, as does any that can't be opened.
//! Tested: tests/ensemble/own_ports.rs.

use std::net::SocketAddr;

use crate::config::Config;
use crate::io::{ListenerId, Loop};

use super::{Fatal, PortOf, boot};

pub struct ClientListener {
    listener: ListenerId,
    /// As it was asked for.
    address: SocketAddr,
    backlog: i32,
}

impl ClientListener {
    /// Also: the address that was bound.
    pub fn open(config: &Config, io: &mut Loop) -> Result<(ClientListener, SocketAddr), Fatal> {
        let (address, backlog) = (config.client.socket_address(), boot::client_backlog(config));
        let (listener, bound) = boot::listen_at(io, address, backlog, PortOf::Clients)?;
        Ok((ClientListener { listener, address, backlog }, bound))
    }

    pub fn move_to(&mut self, io: &mut Loop, address: SocketAddr) {
        if address == self.address {
            return;
        }
        match boot::listen_once(io, address, self.backlog) {
            Ok((listener, bound)) => {
                io.close_listener(std::mem::replace(&mut self.listener, listener));
                self.address = address;
                tracing::info!("clients connect to {bound} from now on; those who are connected stay");
            }
            Err(error) => tracing::error!(
                "{error}: the configuration names this address for clients, who go on connecting to {}. Free it, and start \
                 the server again",
                self.address
            ),
        }
    }
}
