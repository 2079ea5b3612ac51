//! Who dials whom for the election, and what is sent on which connection.
//!
//! Called by the driver of the election port, one object per server. Of two servers the one with the **larger id** dials;
//! the other one's dial is only a request to be dialled, and is closed behind its hello (quorum-protocol.md §3.2).
//! The driver reads hellos and notifications off the connections (`wire::peer`), keeps the deadlines of connects and of
//! hellos, and hands the rest in here.
//!
//! * Each peer has at most one connection that counts. A newer one replaces it.
//! * Each peer has at most one message waiting; a newer one replaces it. When a connection comes up and nothing waits,
//!   the last message is sent again: the peer may have been restarted.
//! * A peer is dialled only while a message waits for it. A dial that fails is repeated after 1 ms, then after twice as
//!   long each time, up to a second (design decision 17).
//!
//! Limits: ids as configurations have them, others are refused; of those that are in no configuration (joiners, and who
//! pretends to be one) `STRANGERS_MAX` are served at a time. Tested: election_links_test.rs; the simulator.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::member::{Member, check_id};
use crate::base::{Instant, ServerId};
use crate::wire::peer::hello::HelloVersion;
use crate::wire::peer::{Address, Encode, Hello, OwnedNotification};

/// The first pause before a peer is dialled again.
pub const REDIAL_MIN: Duration = Duration::from_millis(1);
/// What it is doubled up to.
pub const REDIAL_MAX: Duration = Duration::from_secs(1);
/// How long a server with the larger id has to dial back.
pub const DIAL_BACK_WAIT: Duration = Duration::from_millis(100);
/// Connections of servers in no configuration. More are closed at their hello.
pub const STRANGERS_MAX: usize = 16;

/// The driver's name for a connection; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

#[derive(Clone, Debug)]
pub enum Input {
    /// `next_wakeup()` has come.
    Wakeup,
    /// From the election.
    Send { to: ServerId, notification: OwnedNotification },
    /// A [`Output::Dial`] has a connection.
    Dialled { peer: ServerId, link: LinkId },
    /// It has none.
    DialFailed { peer: ServerId, refused: bool },
    /// A connection that was accepted has said who it is.
    Accepted { link: LinkId, hello: Hello },
    /// All of the last `Transmit` of this connection is on its way.
    Transmitted { link: LinkId },
    /// The connection is gone; not said of those which were closed from here.
    Closed { link: LinkId },
    /// The members of the committed configuration and the next one, without repetition.
    Configured { members: Vec<Member> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect to any of these. One at a time per peer; ends with `Dialled` or `DialFailed`.
    Dial { peer: ServerId, addresses: Vec<Address> },
    /// In one write: a server of Apache hangs up on a hello in pieces.
    Transmit { link: LinkId, bytes: Vec<u8> },
    /// After what was transmitted.
    Close { link: LinkId },
    /// What is read from this connection from now on are the notifications of this peer. For the election too:
    /// `Connected`.
    Up { peer: ServerId, link: LinkId },
    /// For the election: the peer's port refuses connections.
    Unreachable { peer: ServerId },
    /// For the log; a `Close` follows.
    Refused { link: LinkId, reason: RefusedReason },
}

/// Why a connection was closed at its hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedReason {
    /// It bears our own id: two servers with one `myid`, or an address of ours in another's line.
    OwnId,
    /// No configuration can hold this id.
    BadId(ServerId),
    /// There are enough of those that are in no configuration.
    Strangers,
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RefusedReason::OwnId => f.write_str(
                "it has this server's own id: are two servers given the same myid, or the same address?",
            ),
            RefusedReason::BadId(ServerId(id)) => write!(f, "no server can have the id {id}"),
            RefusedReason::Strangers => {
                f.write_str("too many servers call that this server's configuration doesn't name")
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Links {
    me: ServerId,
    version: HelloVersion,
    hello: Vec<u8>,
    now: Instant,
    peers: BTreeMap<ServerId, Peer>,
}

#[derive(Debug, Default)]
struct Peer {
    /// From the configuration; empty: in none.
    addresses: Vec<Address>,
    /// From its hello: where it wants to be dialled back.
    hello_addresses: Vec<Address>,
    link: Option<LinkId>,
    /// A transmission is under way on `link`.
    is_busy: bool,
    waiting: Option<OwnedNotification>,
    last_sent: Option<OwnedNotification>,
    dial: Dial,
    /// The next pause; zero: as short as can be.
    pause: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Dial {
    #[default]
    Idle,
    UnderWay,
    /// Not before then.
    Pause(Instant),
}

impl Links {
    /// `addresses`: our own election addresses, at least one; `several`: `multiAddress.enabled`, tell all of them.
    pub fn new(me: ServerId, addresses: Vec<Address>, several: bool) -> Links {
        let version = if several { HelloVersion::V2 } else { HelloVersion::V1 };
        let mut links = Links { me, version, hello: vec![], now: Instant(0), peers: BTreeMap::new() };
        links.say_from_now_on(addresses);
        links
    }

    fn say_from_now_on(&mut self, addresses: Vec<Address>) {
        self.hello.clear();
        Hello { version: self.version, server: self.me, addresses }.encode(&mut self.hello);
    }

    /// When `Wakeup` is due.
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.peers.values().filter(|peer| peer.wants_dial()).filter_map(Peer::paused_until).min()
    }

    /// The connection to this peer, if there is one.
    pub fn link(&self, peer: ServerId) -> Option<LinkId> {
        self.peers.get(&peer)?.link
    }

    /// One input; what is to be done is appended to `outputs`.
    pub fn step(&mut self, now: Instant, input: Input, outputs: &mut Vec<Output>) {
        assert!(now >= self.now, "time is monotone");
        self.now = now;
        match input {
            Input::Wakeup => {}
            Input::Send { to, notification } => {
                assert!(to != self.me, "the election hears itself without a connection");
                // Strangers are answered on the connection they asked on, and never dialled for themselves.
                if let Some(peer) = self.peers.get_mut(&to) {
                    peer.waiting = Some(notification);
                    peer.transmit(outputs);
                }
            }
            Input::Dialled { peer, link } => self.on_dialled(peer, link, outputs),
            Input::DialFailed { peer: id, refused } => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.pause(now, REDIAL_MIN);
                    if refused {
                        outputs.push(Output::Unreachable { peer: id });
                    }
                }
            }
            Input::Accepted { link, hello } => self.on_accepted(link, hello, outputs),
            Input::Transmitted { link } => {
                if let Some(peer) = self.peers.values_mut().find(|peer| peer.link == Some(link)) {
                    peer.is_busy = false;
                    peer.transmit(outputs);
                }
            }
            Input::Closed { link } => {
                if let Some(peer) = self.peers.values_mut().find(|peer| peer.link == Some(link)) {
                    peer.drop_link();
                }
            }
            Input::Configured { members } => self.on_configured(&members),
        }
        self.maintain(outputs);
    }

    fn on_dialled(&mut self, id: ServerId, link: LinkId, outputs: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else {
            outputs.push(Output::Close { link });
            return;
        };
        peer.dial = Dial::Idle;
        if id > self.me && peer.link.is_some() {
            // It dialled meanwhile. Our hello would only make it dial again.
            outputs.push(Output::Close { link });
            return;
        }
        outputs.push(Output::Transmit { link, bytes: self.hello.clone() });
        if id > self.me {
            // It will dial back. If it doesn't, ask again.
            outputs.push(Output::Close { link });
            peer.pause(self.now, DIAL_BACK_WAIT);
            return;
        }
        peer.replace_link(link, outputs);
        outputs.push(Output::Up { peer: id, link });
        peer.is_busy = true;
        peer.say_again();
    }

    fn on_accepted(&mut self, link: LinkId, hello: Hello, outputs: &mut Vec<Output>) {
        let id = hello.server;
        let strangers = self.peers.values().filter(|peer| peer.addresses.is_empty()).count();
        let refused = if id == self.me {
            Some(RefusedReason::OwnId)
        } else if check_id(id.0).is_err() {
            Some(RefusedReason::BadId(id))
        } else if !self.peers.contains_key(&id) && strangers >= STRANGERS_MAX {
            Some(RefusedReason::Strangers)
        } else {
            None
        };
        if let Some(reason) = refused {
            outputs.push(Output::Refused { link, reason });
            outputs.push(Output::Close { link });
            return;
        }
        let peer = self.peers.entry(id).or_default();
        peer.hello_addresses = hello.addresses;
        if id > self.me {
            peer.replace_link(link, outputs);
            outputs.push(Output::Up { peer: id, link });
            peer.say_again();
            peer.transmit(outputs);
            return;
        }
        // It asks to be dialled: whatever connection there is, it has lost it.
        outputs.push(Output::Close { link });
        if let Some(old) = peer.link {
            outputs.push(Output::Close { link: old });
            peer.drop_link();
        }
        if peer.dial != Dial::UnderWay {
            peer.dial(id, outputs);
        }
    }

    fn on_configured(&mut self, members: &[Member]) {
        for peer in self.peers.values_mut() {
            peer.addresses.clear();
        }
        // The configuration in force is the first.
        if let Some(own) = members.iter().find(|member| member.id == self.me) {
            self.say_from_now_on(own.election_addresses().collect());
        }
        for member in members.iter().filter(|member| member.id != self.me) {
            let peer = self.peers.entry(member.id).or_default();
            let addresses: Vec<Address> = member.election_addresses().collect();
            for address in addresses {
                if !peer.addresses.contains(&address) {
                    peer.addresses.push(address);
                }
            }
        }
        // A stranger without a connection has nothing that is worth keeping. One with a connection keeps it: a removed
        // member may want to know who leads.
        self.peers.retain(|_, peer| peer.is_worth_keeping());
    }

    /// Dials whoever a message waits for, and forgets strangers that are gone.
    fn maintain(&mut self, outputs: &mut Vec<Output>) {
        for (id, peer) in &mut self.peers {
            if peer.wants_dial() && peer.paused_until().is_none_or(|until| self.now >= until) {
                peer.dial(*id, outputs);
            }
        }
        self.peers.retain(|_, peer| peer.is_worth_keeping());
    }
}

impl Peer {
    fn is_worth_keeping(&self) -> bool {
        !self.addresses.is_empty() || self.link.is_some() || self.dial == Dial::UnderWay
    }

    fn wants_dial(&self) -> bool {
        self.link.is_none()
            && self.waiting.is_some()
            && self.dial != Dial::UnderWay
            && !self.addresses.is_empty()
    }

    fn paused_until(&self) -> Option<Instant> {
        match self.dial {
            Dial::Pause(until) => Some(until),
            Dial::Idle | Dial::UnderWay => None,
        }
    }

    /// `at_least` the first time, then twice as long each time.
    fn pause(&mut self, now: Instant, at_least: Duration) {
        self.pause = self.pause.max(at_least);
        self.dial = Dial::Pause(now + self.pause);
        self.pause = (self.pause * 2).min(REDIAL_MAX);
    }

    /// Where the peer wants to be dialled, and where the configuration says it is.
    fn dial(&mut self, id: ServerId, outputs: &mut Vec<Output>) {
        let mut addresses = self.hello_addresses.clone();
        addresses
            .extend(self.addresses.iter().filter(|address| !self.hello_addresses.contains(address)).cloned());
        if addresses.is_empty() {
            return;
        }
        self.dial = Dial::UnderWay;
        outputs.push(Output::Dial { peer: id, addresses });
    }

    /// What was being said may be lost with it.
    fn drop_link(&mut self) {
        if self.is_busy {
            self.say_again();
        }
        self.link = None;
        self.is_busy = false;
    }

    fn replace_link(&mut self, link: LinkId, outputs: &mut Vec<Output>) {
        if let Some(old) = self.link.replace(link) {
            outputs.push(Output::Close { link: old });
        }
        self.is_busy = false;
        if self.dial != Dial::UnderWay {
            self.dial = Dial::Idle;
        }
        self.pause = Duration::ZERO;
    }

    /// If nothing waits, what was said last does.
    fn say_again(&mut self) {
        if self.waiting.is_none() {
            self.waiting = self.last_sent.take();
        }
    }

    fn transmit(&mut self, outputs: &mut Vec<Output>) {
        let Some(link) = self.link.filter(|_| !self.is_busy) else { return };
        let Some(notification) = self.waiting.take() else { return };
        let mut bytes = Vec::new();
        notification.encode(&mut bytes);
        self.last_sent = Some(notification);
        self.is_busy = true;
        outputs.push(Output::Transmit { link, bytes });
    }
}

#[cfg(test)]
#[path = "election_links_test.rs"]
mod tests;
