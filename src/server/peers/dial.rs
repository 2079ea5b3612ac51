//! From a dial to a connection or none: names first, then each address in turn.
//!
//! Called by `peers.rs`. The whole of looking names up has one timeout, each address another.
//! Tested: peers_test.rs.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::base::Instant;
use crate::io::Loop;
use crate::replica::ensemble::PeerInput;
use crate::wire::peer::Address;
use crate::zab::Link;

use super::super::resolver;
use super::Peers;
use super::peer::{Peer, State};

/// An address to dial.
#[derive(Debug)]
pub(super) enum Place {
    Known(SocketAddr),
    Asked(Address),
}

impl Peers {
    pub fn dial(&mut self, io: &mut Loop, now: Instant, link: Link, addresses: Vec<Address>) {
        let mut places: Vec<Place> = vec![];
        let mut asks = false;
        for address in addresses {
            match address.host.parse::<IpAddr>() {
                Ok(ip) => places.push(Place::Known(SocketAddr::new(ip, address.port))),
                Err(_) => {
                    self.resolver.ask(&address.host);
                    asks = true;
                    places.push(Place::Asked(address));
                }
            }
        }
        let mut peer = Peer::new(State::Resolving(places), None);
        if asks {
            peer.deadline = Some(now + self.settings.connect_timeout);
            self.wake_at(now + self.settings.connect_timeout);
        }
        let before = self.links.insert(link, peer);
        assert!(before.is_none(), "{link:?} names one connection only");
        if !asks {
            self.begin(io, now, link);
        }
    }

    pub(super) fn on_resolved(&mut self, io: &mut Loop, now: Instant, answer: &resolver::Answer) {
        match &answer.addresses {
            Err(why) if self.unknown.is_news(&answer.host, now) => {
                tracing::warn!(host = answer.host, why, "a peer's name can't be resolved; it is tried on");
            }
            Ok(_) if self.unknown.is_found(&answer.host) => {
                tracing::info!(host = answer.host, "a peer's name can be resolved again");
            }
            Ok(_) | Err(_) => {}
        }
        let mut resolved = vec![];
        for (link, peer) in &mut self.links {
            let State::Resolving(places) = &mut peer.state else { continue };
            let mut is_known = true;
            let mut known: Vec<Place> = vec![];
            for place in places.drain(..) {
                match place {
                    Place::Asked(address) if address.host == answer.host => {
                        let ips = answer.addresses.iter().flatten();
                        known.extend(ips.map(|ip| Place::Known(SocketAddr::new(*ip, address.port))));
                    }
                    other => {
                        is_known &= matches!(other, Place::Known(_));
                        known.push(other);
                    }
                }
            }
            *places = known;
            if is_known {
                resolved.push(*link);
            }
        }
        for link in resolved {
            self.begin(io, now, link);
        }
    }

    /// All addresses are known.
    fn begin(&mut self, io: &mut Loop, now: Instant, link: Link) {
        let peer = self.links.get_mut(&link).expect("the caller has it");
        let State::Resolving(places) = &peer.state else { return };
        let known = |place: &Place| match place {
            Place::Known(address) => Some(*address),
            Place::Asked(_) => None,
        };
        let left: VecDeque<SocketAddr> = places.iter().filter_map(known).collect();
        // Of a name without an address nobody can say that nobody listens there.
        let all_refused = !left.is_empty();
        peer.state = State::Dialling { left, all_refused };
        self.try_next(io, now, link);
    }

    pub(super) fn try_next(&mut self, io: &mut Loop, now: Instant, link: Link) {
        let timeout = self.settings.connect_timeout;
        loop {
            let peer = self.links.get_mut(&link).expect("the caller has it");
            let State::Dialling { left, all_refused } = &mut peer.state else { return };
            let Some(address) = left.pop_front() else {
                let refused = *all_refused;
                return self.fail_dial(link, refused);
            };
            match io.connect(address) {
                Ok(connection) => {
                    peer.connection = Some(connection);
                    peer.deadline = Some(now + timeout);
                    self.own(connection, link, false);
                    return self.wake_at(now + timeout);
                }
                Err(error) => {
                    tracing::warn!(%error, "a peer can't be dialled");
                    *all_refused = false;
                }
            }
        }
    }

    pub(super) fn fail_dial(&mut self, link: Link, refused: bool) {
        self.links.remove(&link);
        self.inputs.push_back(PeerInput::DialFailed { link, refused });
    }
}
