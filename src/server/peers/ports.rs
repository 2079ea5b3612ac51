//! The ports that a member listens on for the others, opened anew where the committed configuration says something else of
//! them, as in Apache's `QuorumPeer.processReconfig`.
//!
//! The new ones are opened first; when all are there, the old ones are closed. Connections that came through those stay. A port
//! that can't be opened (it is taken, by another of ours perhaps) is told, and the old one stays.
//! What that configuration says of the client port is handed on to whoever has it (`client_listener.rs`).
//! Tested: tests/ensemble/own_ports.rs.

use std::net::SocketAddr;

use crate::io::{ListenerId, Loop};
use crate::replica::ensemble::PeerPort;
use crate::zab::Config;

use super::super::member::OwnLine;
use super::super::{Fatal, PortOf, boot};
use super::Settings;

/// Connections that wait to be accepted, per port.
const BACKLOG: i32 = 128;

#[derive(Debug)]
struct Port {
    listener: ListenerId,
    kind: PeerPort,
    /// As it was asked for: the port may be any.
    address: SocketAddr,
    bound: SocketAddr,
    /// What a closed one had accepted comes out later.
    is_open: bool,
}

#[derive(Debug, Default)]
pub(super) struct Ports {
    ports: Vec<Port>,
    /// Not yet handed on.
    pub client_address: Option<SocketAddr>,
}

fn opened(kind: PeerPort, address: SocketAddr, (listener, bound): (ListenerId, SocketAddr)) -> Port {
    let comers = match kind {
        PeerPort::Quorum => "learners",
        PeerPort::Election => "elections",
    };
    tracing::info!("listening for {comers} on {bound}");
    Port { listener, kind, address, bound, is_open: true }
}

impl Ports {
    /// A port still held by a server that ended just now is waited for a little.
    pub fn listen(settings: &Settings, io: &mut Loop) -> Result<Ports, Fatal> {
        let quorum = settings.quorum.iter().map(|address| (PeerPort::Quorum, *address));
        let election = settings.election.iter().map(|address| (PeerPort::Election, *address));
        let mut ports = Ports::default();
        for (kind, address) in quorum.chain(election) {
            let of = match kind {
                PeerPort::Quorum => PortOf::Learners,
                PeerPort::Election => PortOf::Elections,
            };
            ports.ports.push(opened(kind, address, boot::listen_at(io, address, BACKLOG, of)?));
        }
        Ok(ports)
    }

    pub fn kind_of(&self, listener: ListenerId) -> Option<PeerPort> {
        self.ports.iter().find(|port| port.listener == listener).map(|port| port.kind)
    }

    #[cfg(test)]
    pub fn bound(&self, kind: PeerPort) -> SocketAddr {
        let open = self.ports.iter().find(|port| port.is_open && port.kind == kind);
        open.expect("there is one of each kind").bound
    }

    /// `own`: this server's line as it was; none, if its ports stay as they are.
    pub fn follow(&mut self, io: &mut Loop, own: &mut Option<OwnLine>, members: &Config) {
        let Some(own) = own else { return };
        let Some(member) = members.member(own.member.id).cloned() else { return };
        let before = std::mem::replace(&mut own.member, member);
        if own.member.client != before.client {
            match own.client_address() {
                Some(Ok(address)) => self.client_address = Some(address),
                Some(Err(why)) => {
                    tracing::error!(
                        "{why}; clients go on connecting where they did. Name an address of this host"
                    );
                }
                None => {}
            }
        }
        if own.member.endpoints != before.endpoints {
            match own.addresses() {
                Ok((quorum, election)) => {
                    self.move_to(io, PeerPort::Quorum, &quorum);
                    self.move_to(io, PeerPort::Election, &election);
                }
                Err(why) => tracing::error!("{why}. The ports of before stay open"),
            }
        }
    }

    fn move_to(&mut self, io: &mut Loop, kind: PeerPort, wanted: &[SocketAddr]) {
        let mut all_open = true;
        for &address in wanted {
            let is_there = |port: &Port| port.is_open && port.kind == kind && port.address == address;
            if self.ports.iter().any(is_there) {
                continue;
            }
            match boot::listen_once(io, address, BACKLOG) {
                Ok(listening) => self.ports.push(opened(kind, address, listening)),
                Err(error) => {
                    tracing::error!(
                        "{error}: the configuration names this address for this server, and the others will look for it \
                         there. Free it and start the server again, or reconfigure; the port of before stays open"
                    );
                    all_open = false;
                }
            }
        }
        let is_old = |port: &&mut Port| port.is_open && port.kind == kind && !wanted.contains(&port.address);
        for port in self.ports.iter_mut().filter(is_old).filter(|_| all_open) {
            port.is_open = false;
            io.close_listener(port.listener);
            tracing::info!("no more listening on {}: the configuration has changed", port.bound);
        }
    }
}
