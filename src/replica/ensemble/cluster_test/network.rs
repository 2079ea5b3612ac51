//! The virtual network between the servers: connections that keep their order, and cuts that go one way.
//!
//! What is sent into a cut comes late, when it is whole again, or is lost with all behind it, and both ends are told then.
//! The other direction goes on meanwhile.

use super::*;
use crate::wire::peer::{AckEpoch, packet};

/// Ends a stream of SNAP.
const SNAPSHOT_END: &[u8] = b"\0\0\0\x0aBenWasHere";

/// A connection between two servers; end 0 has dialled.
pub struct Wire {
    pub ends: [(usize, u64, Link); 2],
    /// When the last that was sent to each end arrives.
    last: [u64; 2],
    /// What is sent to this end is lost.
    is_lost: [bool; 2],
    is_quorum: bool,
    /// What goes to this end just now is a snapshot.
    is_snapshot: [bool; 2],
}

/// Cuts that last so long end by a word.
pub const FOREVER: u64 = 1 << 50;

fn pair(prng: &mut Prng, count: usize) -> (usize, usize) {
    (prng.below(count as u64) as usize, prng.below(count as u64) as usize)
}

impl World {
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|until| self.now < *until)
    }

    pub fn cut(&mut self, from: usize, to: usize, nanos: u64) {
        if from != to {
            self.cuts.insert((from, to), self.now.saturating_add(nanos));
        }
    }

    /// Both ways, from everybody.
    pub fn isolate(&mut self, node: usize, nanos: u64) {
        for other in 0..self.nodes.len() {
            self.cut(node, other, nanos);
            self.cut(other, node, nanos);
        }
    }

    pub fn heal(&mut self) {
        let now = self.now;
        self.cuts.values_mut().for_each(|until| *until = now);
        // Those who were not told of the end of a connection are told soon.
        for wire in 0..self.wires.len() {
            let is_open = |end: &usize| self.ends.contains_key(&self.wires[wire].ends[*end]);
            let open: Vec<usize> = (0..2).filter(is_open).collect();
            if open.len() == 1 || self.wires[wire].is_lost.contains(&true) {
                for end in open {
                    let delay = self.prng.below(200_000_000);
                    self.at(delay, Event::Gone { wire, end });
                }
            }
        }
    }

    /// A random cut of one of the usual shapes.
    pub fn cut_something(&mut self, nanos: u64) {
        let count = self.nodes.len();
        let (a, b) = pair(&mut self.prng, count);
        match self.prng.below(4) {
            0 => self.cut(a, b, nanos),
            1 => {
                self.cut(a, b, nanos);
                self.cut(b, a, nanos);
            }
            2 => self.isolate(a, nanos),
            _ => {
                // Two halves, or only one way between them.
                let one_way = self.prng.chance(1, 2);
                let side: Vec<bool> = (0..count).map(|_| self.prng.chance(1, 2)).collect();
                for from in 0..count {
                    for to in 0..count {
                        if side[from] != side[to] && (side[from] || !one_way) {
                            self.cut(from, to, nanos);
                        }
                    }
                }
            }
        }
    }

    pub fn break_something(&mut self) {
        let nth = self.prng.below(self.ends.len().max(1) as u64) as usize;
        if let Some(&(wire, _)) = self.ends.values().nth(nth) {
            for end in 0..2 {
                let delay = self.prng.below(20_000_000);
                self.at(delay, Event::Gone { wire, end });
            }
        }
    }

    fn delay(&mut self, from: usize, to: usize) -> u64 {
        let mut delay = 20_000 + self.prng.below(400_000);
        if self.has_faults && self.plan.faults.slow && self.prng.chance(1, 100) {
            delay += self.prng.below(250_000_000);
        }
        delay * self.nodes[from].slow.max(self.nodes[to].slow)
    }

    /// This process has none of its connections any more; the others hear of it after `silence`.
    pub fn close_all(&mut self, node: usize, silence: u64) {
        let life = self.nodes[node].life;
        let range = (node, life, Link(0))..=(node, life, Link(u64::MAX));
        let own: Vec<(usize, usize)> = self.ends.range(range).map(|(_, found)| *found).collect();
        for (wire, end) in own {
            self.close(wire, end, silence);
        }
    }

    /// `end` has closed it: the other one hears of that.
    fn close(&mut self, wire: usize, end: usize, silence: u64) {
        let ends = self.wires[wire].ends;
        self.ends.remove(&ends[end]);
        let (from, to) = (ends[end].0, ends[1 - end].0);
        let delay = self.delay(from, to) + silence;
        let healed = self.cuts.get(&(from, to)).map_or(0, |until| (*until).min(self.now + FOREVER));
        let at = self.wires[wire].last[1 - end].max(self.now + delay).max(healed) + 1;
        self.wires[wire].last[1 - end] = at;
        self.at(at - self.now, Event::Gone { wire, end: 1 - end });
    }

    pub fn on_gone(&mut self, wire: usize, end: usize) {
        let (node, life, link) = self.wires[wire].ends[end];
        if self.ends.remove(&(node, life, link)).is_some() {
            self.peer(node, PeerInput::Disconnected { link });
        }
    }

    pub fn carry_out_peer(&mut self, node: usize, output: PeerOutput) {
        let life = self.nodes[node].life;
        match output {
            PeerOutput::Dial { link, addresses } => {
                let delay = 50_000 + self.prng.below(500_000);
                let port = addresses[0].port;
                self.at(delay, Event::Dialled { node, life, link, port });
            }
            PeerOutput::Send { link, bytes } => {
                self.at(10_000, Event::Sent { node, life, link });
                let Some(&(wire, end)) = self.ends.get(&(node, life, link)) else { return };
                self.hash.bytes(&bytes);
                self.look_at(wire, end, &bytes);
                self.transmit(wire, 1 - end, bytes);
            }
            PeerOutput::Close { link } => {
                if let Some(&(wire, end)) = self.ends.get(&(node, life, link)) {
                    self.close(wire, end, 0);
                }
            }
            PeerOutput::PersistEpochs(_) | PeerOutput::Reload { .. } | PeerOutput::Configured(_) => {
                unreachable!("carried out before")
            }
        }
    }

    /// Towards this end.
    fn transmit(&mut self, wire: usize, end: usize, bytes: Bytes) {
        let ends = self.wires[wire].ends;
        let (from, to) = (ends[1 - end].0, ends[end].0);
        if self.wires[wire].is_lost[end] {
            return;
        }
        if self.held.contains(&(from, to)) {
            return self.held_bytes.push((wire, end, bytes));
        }
        let mut earliest = 0;
        if self.is_cut(from, to) {
            let healed = self.cuts[&(from, to)];
            if healed >= self.now + FOREVER || self.prng.chance(1, 2) {
                let at = (healed - self.now).saturating_add(self.prng.below(200_000_000));
                self.wires[wire].is_lost[end] = true;
                for end in 0..2 {
                    self.at(at, Event::Gone { wire, end });
                }
                return;
            }
            earliest = healed;
        }
        let delay = self.delay(from, to);
        let arrives = self.wires[wire].last[end].max(self.now + delay).max(earliest) + 1;
        self.wires[wire].last[end] = arrives;
        self.at(arrives - self.now, Event::Bytes { wire, end, bytes });
    }

    /// A test lets through what it held back.
    pub fn release(&mut self, from: usize, to: usize) {
        self.held.remove(&(from, to));
        for (wire, end, bytes) in std::mem::take(&mut self.held_bytes) {
            self.transmit(wire, end, bytes);
        }
    }

    pub fn on_dialled(&mut self, node: usize, life: u64, link: Link, port: u16) {
        if self.nodes[node].life != life || self.nodes[node].member.is_none() {
            return;
        }
        let (is_quorum, to) = (port < 3000, (port % 1000) as usize);
        let is_up = self.nodes[to].member.is_some();
        let is_cut = self.is_cut(node, to) || self.is_cut(to, node);
        if is_cut || !is_up {
            return self.peer(node, PeerInput::DialFailed { link, refused: !is_cut });
        }
        let found = &mut self.nodes[to];
        found.accepted += 1;
        let theirs = accepted_link(found.accepted);
        let ends = [(node, life, link), (to, found.life, theirs)];
        let last = [self.now; 2];
        let wire = self.wires.len();
        self.ends.insert(ends[0], (wire, 0));
        self.ends.insert(ends[1], (wire, 1));
        self.wires.push(Wire { ends, last, is_lost: [false; 2], is_quorum, is_snapshot: [false; 2] });
        let port = if is_quorum { PeerPort::Quorum } else { PeerPort::Election };
        self.peer(to, PeerInput::Accepted { link: theirs, port });
        self.peer(node, PeerInput::Connected { link });
    }

    pub fn on_bytes(&mut self, wire: usize, end: usize, bytes: &[u8]) {
        let (node, life, link) = self.wires[wire].ends[end];
        // In pieces, as sockets do it.
        let cut = self.prng.below(bytes.len() as u64 + 1) as usize;
        for bytes in [&bytes[..cut], &bytes[cut..]] {
            if !bytes.is_empty() && self.ends.contains_key(&(node, life, link)) {
                self.peer(node, PeerInput::Received { link, bytes });
            }
        }
    }

    /// What a server says on its quorum port has to be true.
    fn look_at(&mut self, wire: usize, end: usize, bytes: &Bytes) {
        let found = &mut self.wires[wire];
        if !found.is_quorum {
            return;
        }
        let node = found.ends[end].0;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            if self.wires[wire].is_snapshot[1 - end] {
                self.wires[wire].is_snapshot[1 - end] = !rest.ends_with(SNAPSHOT_END);
                return;
            }
            let Ok(Some((packet, length))) = packet::decode_prefix(rest, 1 << 20) else {
                panic!("server {} sends what is no packet: {rest:02x?}", node + 1)
            };
            rest = &rest[length..];
            let (kind, zxid) = (packet.kind, packet.zxid);
            if kind == Kind::Snap {
                let to = self.wires[wire].ends[1 - end].0;
                self.wires[wire].is_snapshot[1 - end] = true;
                let sent = self.nodes[node].log.range(..=zxid).map(|(zxid, it)| (*zxid, it.clone()));
                self.nodes[to].coming = sent.collect();
            }
            self.packets.push((node, self.wires[wire].ends[1 - end].0, kind, zxid));
            if self.plan.taps {
                let promise = packet.payload::<AckEpoch>().ok().and_then(|ack| ack.current_epoch);
                self.check_said(node, kind, zxid, promise.is_some());
            }
            let to = self.wires[wire].ends[1 - end].0;
            let lies = self.plan.has_bug(Canary::CommitWithoutQuorum)
                || self.plan.has_bug(Canary::NewVotersWithoutQuorum) && !self.plan.is_voter(to);
            if lies && kind == Kind::Proposal {
                let mut ack = vec![];
                packet::encode_ack(zxid, &mut ack);
                self.at(1, Event::Bytes { wire, end, bytes: ack.into() });
            }
        }
    }

    fn check_said(&self, node: usize, kind: Kind, zxid: Zxid, counts: bool) {
        let (found, id) = (&self.nodes[node], node + 1);
        let counter = zxid.0 & 0xffff_ffff;
        match kind {
            // A blank one's does not count.
            Kind::AckEpoch => assert!(
                found.epochs.accepted == found.epoch() || !counts && found.epochs == Epochs::default(),
                "server {id} promises {:?}, and its disk says {:?}",
                found.epoch(),
                found.epochs
            ),
            Kind::Ack if counter == 0 => {
                let behind = found.log.range(..zxid).next_back().filter(|(last, _)| **last > found.durable);
                assert!(behind.is_none(), "server {id} acknowledges NEWLEADER {zxid}, and lacks {behind:?}");
                assert!(
                    found.epochs.current == zxid.epoch(),
                    "server {id}: the epoch of {zxid} is not durable"
                );
            }
            Kind::Ack => assert!(
                found.durable >= zxid,
                "server {id} acknowledges {zxid}, and its disk ends at {}",
                found.durable
            ),
            _ => {}
        }
    }
}
