//! Who dials, who hangs up, what is said again; and all servers of an ensemble linked with each other.

use super::super::quorum::tests::equals;
use super::*;
use crate::base::{Epoch, Prng, Zxid};
use crate::wire::peer::PeerState;

const MS: u64 = 1_000_000;

fn vote(round: i64) -> OwnedNotification {
    OwnedNotification {
        state: PeerState::Looking,
        leader: ServerId(1),
        zxid: Zxid(0),
        round,
        peer_epoch: Epoch(0),
        config: "".into(),
    }
}

fn frame(round: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    vote(round).encode(&mut bytes);
    bytes
}

fn hello(server: i64) -> Hello {
    Hello {
        version: HelloVersion::V1,
        server: ServerId(server),
        addresses: vec![Address::new(&format!("h{server}"), 3888)],
    }
}

fn hello_bytes(server: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    hello(server).encode(&mut bytes);
    bytes
}

struct Server {
    links: Links,
    now: Instant,
}

impl Server {
    /// One of 1, 2 and 3.
    fn new(me: i64) -> Server {
        let links = Links::new(ServerId(me), vec![Address::new(&format!("h{me}"), 3888)], false);
        let mut server = Server { links, now: Instant(0) };
        let members = equals(1..=3, 0).members().cloned().collect();
        assert_eq!(server.input(Input::Configured { members }), []);
        server
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.links.step(self.now, input, &mut outputs);
        outputs
    }

    fn send(&mut self, to: i64, round: i64) -> Vec<Output> {
        self.input(Input::Send { to: ServerId(to), notification: vote(round) })
    }

    fn dialled(&mut self, peer: i64, link: u64) -> Vec<Output> {
        self.input(Input::Dialled { peer: ServerId(peer), link: LinkId(link) })
    }

    fn accepted(&mut self, from: i64, link: u64) -> Vec<Output> {
        self.input(Input::Accepted { link: LinkId(link), hello: hello(from) })
    }

    fn transmitted(&mut self, link: u64) -> Vec<Output> {
        self.input(Input::Transmitted { link: LinkId(link) })
    }

    fn wakeup_in(&self) -> Option<u64> {
        self.links.next_wakeup().map(|at| (at.0 - self.now.0) / MS)
    }

    fn after(&mut self, millis: u64) -> Vec<Output> {
        self.now = Instant(self.now.0 + millis * MS);
        self.input(Input::Wakeup)
    }
}

fn dial(peer: i64) -> Output {
    Output::Dial { peer: ServerId(peer), addresses: vec![Address::new(&format!("h{peer}"), 3888)] }
}

fn transmit(link: u64, bytes: Vec<u8>) -> Output {
    Output::Transmit { link: LinkId(link), bytes }
}

fn close(link: u64) -> Output {
    Output::Close { link: LinkId(link) }
}

fn up(peer: i64, link: u64) -> Output {
    Output::Up { peer: ServerId(peer), link: LinkId(link) }
}

#[test]
fn the_larger_id_dials_and_keeps_and_only_the_newest_message_waits() {
    let mut server = Server::new(2);
    assert_eq!(server.send(1, 1), [dial(1)]);
    assert_eq!(server.send(1, 2), []);
    assert_eq!(server.dialled(1, 7), [transmit(7, hello_bytes(2)), up(1, 7)]);
    assert_eq!(server.links.link(ServerId(1)), Some(LinkId(7)));
    assert_eq!(server.send(1, 3), []);
    assert_eq!(server.transmitted(7), [transmit(7, frame(3))]);
    assert_eq!(server.send(1, 4), []);
    assert_eq!(server.send(1, 5), []);
    assert_eq!(server.transmitted(7), [transmit(7, frame(5))]);
    assert_eq!(server.transmitted(7), []);
    assert_eq!(server.send(1, 6), [transmit(7, frame(6))]);
}

#[test]
fn the_smaller_id_asks_to_be_dialled_and_asks_again() {
    let mut server = Server::new(2);
    assert_eq!(server.send(3, 1), [dial(3)]);
    assert_eq!(server.dialled(3, 7), [transmit(7, hello_bytes(2)), close(7)]);
    assert_eq!(server.wakeup_in(), Some(100));
    assert_eq!(server.after(99), []);
    assert_eq!(server.after(1), [dial(3)]);
    // It dials while we do: ours is not needed any more.
    assert_eq!(server.accepted(3, 8), [up(3, 8), transmit(8, frame(1))]);
    assert_eq!(server.dialled(3, 9), [close(9)]);
    assert_eq!(server.wakeup_in(), None);
    // A newer connection replaces it, and what was said last is said again.
    assert_eq!(server.accepted(3, 10), [close(8), up(3, 10), transmit(10, frame(1))]);
    assert_eq!(server.input(Input::Closed { link: LinkId(8) }), [], "no link of ours any more");
}

#[test]
fn who_asks_is_dialled_back_where_he_says_he_is() {
    let mut server = Server::new(2);
    let mut asks = hello(1);
    asks.addresses = vec![Address::new("elsewhere", 1)];
    let back = Output::Dial {
        peer: ServerId(1),
        addresses: vec![Address::new("elsewhere", 1), Address::new("h1", 3888)],
    };
    assert_eq!(
        server.input(Input::Accepted { link: LinkId(1), hello: asks.clone() }),
        [close(1), back.clone()]
    );
    assert_eq!(
        server.input(Input::Accepted { link: LinkId(2), hello: asks.clone() }),
        [close(2)],
        "under way"
    );
    assert_eq!(server.dialled(1, 3), [transmit(3, hello_bytes(2)), up(1, 3)]);
    assert_eq!(server.transmitted(3), []);
    assert_eq!(server.send(1, 4), [transmit(3, frame(4))]);
    server.transmitted(3);
    // It asks again: it has lost the connection, whatever we think of it.
    let outputs = server.input(Input::Accepted { link: LinkId(4), hello: asks });
    assert_eq!(outputs, [close(4), close(3), back]);
    server.dialled(1, 5);
    assert_eq!(server.transmitted(5), [transmit(5, frame(4))], "said again");
}

#[test]
fn a_dial_is_repeated_after_a_millisecond_and_then_less_often() {
    let mut server = Server::new(2);
    assert_eq!(server.send(1, 1), [dial(1)]);
    let mut waits = Vec::new();
    for attempt in 0..12 {
        let refused = attempt % 2 == 0;
        let told = server.input(Input::DialFailed { peer: ServerId(1), refused });
        let expected = if refused { vec![Output::Unreachable { peer: ServerId(1) }] } else { vec![] };
        assert_eq!(told, expected);
        assert_eq!(server.send(1, attempt), [], "not before its time");
        let wait = server.wakeup_in().expect("a timer");
        waits.push(wait);
        assert_eq!(server.after(wait), [dial(1)]);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000]);
    server.dialled(1, 7);
    server.transmitted(7);
    server.transmitted(7);
    // A link that breaks with nothing to say is left alone.
    assert_eq!(server.input(Input::Closed { link: LinkId(7) }), []);
    assert_eq!(server.wakeup_in(), None);
    assert_eq!(server.send(1, 9), [dial(1)]);
    server.dialled(1, 8);
    server.transmitted(8);
    // One that breaks while something is being said is mended.
    assert_eq!(server.input(Input::Closed { link: LinkId(8) }), [dial(1)]);
}

#[test]
fn strangers_are_answered_and_there_are_not_many() {
    let mut server = Server::new(2);
    assert_eq!(server.send(9, 1), [], "nobody knows where it is");
    assert_eq!(server.accepted(9, 1), [up(9, 1)]);
    assert_eq!(server.send(9, 1), [transmit(1, frame(1))]);
    assert_eq!(server.input(Input::Closed { link: LinkId(1) }), []);
    assert!(!server.links.peers.contains_key(&ServerId(9)), "forgotten");
    assert_eq!(server.accepted(0, 2), [close(2), dial(0)], "a smaller one is dialled back");
    server.input(Input::DialFailed { peer: ServerId(0), refused: true });
    assert_eq!(server.wakeup_in(), None);
    for stranger in 0..STRANGERS_MAX as i64 {
        assert_eq!(server.accepted(10 + stranger, 100 + stranger as u64).len(), 1);
    }
    let refused = |link, reason| [Output::Refused { link: LinkId(link), reason }, close(link)];
    assert_eq!(server.accepted(200, 5), refused(5, RefusedReason::Strangers));
    assert_eq!(server.accepted(2, 5), refused(5, RefusedReason::OwnId));
    for bad in [-1, 256, i64::MAX, i64::MIN] {
        assert_eq!(server.accepted(bad, 6), refused(6, RefusedReason::BadId(ServerId(bad))));
    }
    assert_eq!(server.accepted(3, 7), [up(3, 7)], "members come in all the same");
    // A member that is removed keeps its connection; it is dialled no more.
    let members = equals([2], 0).members().cloned().collect();
    assert_eq!(server.input(Input::Configured { members }), []);
    assert_eq!(server.send(3, 8), [transmit(7, frame(8))]);
    assert_eq!(server.input(Input::Closed { link: LinkId(7) }), []);
    assert_eq!(server.wakeup_in(), None);
}

#[test]
fn a_server_that_has_moved_says_where_to() {
    let mut server = Server::new(2);
    let mut members: Vec<Member> = equals(1..=3, 0).members().cloned().collect();
    members[1].endpoints[0].election_port = 3999;
    assert_eq!(server.input(Input::Configured { members }), []);
    let mut moved = hello(2);
    moved.addresses[0].port = 3999;
    let mut bytes = vec![];
    moved.encode(&mut bytes);
    assert_eq!(server.send(1, 8), [Output::Dial { peer: ServerId(1), addresses: hello(1).addresses }]);
    assert_eq!(server.dialled(1, 7)[0], transmit(7, bytes));
}

/// Three servers that all want to tell each other something, over connections which come up at random moments and break
/// at random moments: in the end each has heard the last word of each.
#[test]
fn in_the_end_everybody_hears_the_last_word() {
    for seed in 0..200 {
        let mut prng = Prng::new(seed);
        let mut servers: Vec<Server> = (1..=3).map(Server::new).collect();
        // Ends of connections: (server, link) to (server, link); and what is under way.
        let mut ends: BTreeMap<(usize, u64), (usize, u64)> = BTreeMap::new();
        let mut heard: BTreeMap<(usize, usize), i64> = BTreeMap::new();
        let mut todo: Vec<(usize, Input)> = Vec::new();
        let mut fresh = 0;
        for round in 1..=5 {
            for from in 0..3 {
                for to in (0..3_usize).filter(|to| *to != from) {
                    let to = ServerId(to as i64 + 1);
                    todo.push((from, Input::Send { to, notification: vote(round) }));
                }
            }
            let mut steps = 0;
            loop {
                steps += 1;
                assert!(steps < 5_000, "seed {seed} never comes to rest");
                if todo.is_empty() {
                    let Some(at) = servers.iter().filter_map(|server| server.links.next_wakeup()).min()
                    else {
                        break;
                    };
                    for (index, server) in servers.iter_mut().enumerate() {
                        server.now = server.now.max(at);
                        todo.push((index, Input::Wakeup));
                    }
                }
                // Inputs about one connection stay in order: only the first of each server may be next.
                let at = prng.below(3) as usize;
                let Some(position) = todo.iter().position(|(server, _)| *server == at) else { continue };
                let (at, input) = todo.remove(position);
                for output in servers[at].input(input) {
                    match output {
                        Output::Dial { peer, .. } => {
                            let to = peer.0 as usize - 1;
                            if steps < 300 && prng.chance(1, 3) {
                                todo.push((at, Input::DialFailed { peer, refused: prng.chance(1, 2) }));
                            } else {
                                fresh += 2;
                                ends.insert((at, fresh), (to, fresh + 1));
                                ends.insert((to, fresh + 1), (at, fresh));
                                todo.push((at, Input::Dialled { peer, link: LinkId(fresh) }));
                            }
                        }
                        Output::Transmit { link, bytes } => {
                            let Some(&(to, other)) = ends.get(&(at, link.0)) else { continue };
                            if bytes.starts_with(&[0xff; 6]) {
                                let hello = hello(at as i64 + 1);
                                todo.push((to, Input::Accepted { link: LinkId(other), hello }));
                                todo.push((at, Input::Transmitted { link }));
                            } else if steps < 300 && prng.chance(1, 6) {
                                ends.remove(&(at, link.0));
                                ends.remove(&(to, other));
                                todo.push((at, Input::Closed { link }));
                                todo.push((to, Input::Closed { link: LinkId(other) }));
                            } else {
                                let round = i64::from_be_bytes(*bytes[24..].first_chunk().expect("a vote"));
                                heard.insert((at, to), round);
                                todo.push((at, Input::Transmitted { link }));
                            }
                        }
                        Output::Close { link } => {
                            if let Some((to, other)) = ends.remove(&(at, link.0)) {
                                ends.remove(&(to, other));
                                todo.push((to, Input::Closed { link: LinkId(other) }));
                            }
                        }
                        Output::Up { .. } | Output::Unreachable { .. } => {}
                        Output::Refused { .. } => panic!("{output:?}"),
                    }
                }
            }
            for from in 0..3 {
                for to in (0..3).filter(|to| *to != from) {
                    assert_eq!(heard.get(&(from, to)), Some(&round), "seed {seed}: {from} to {to}");
                }
            }
        }
    }
}
