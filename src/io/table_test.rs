//! The table against a fake ring: short and failed operations, EINTR, ENOBUFS, EALREADY, late and shuffled completions.
//! Descriptors are copies of /dev/null's: only their opening and closing matters here.

use std::fs::File;

use crate::base::{Map, Prng};

use super::super::error::ErrorKind;
use super::*;

/// A submission the fake kernel works on.
#[derive(Debug)]
struct Pending {
    token: Token,
    submission: Submission,
    /// Only has to say that it was cancelled.
    cancelled: bool,
}

/// Answers submissions as a kernel may, as a generator decides. Remembers what each connection's peer got to see.
struct FakeRing {
    prng: Prng,
    pending: Vec<Pending>,
    /// What the peer received.
    delivered: Map<(u32, u32), Vec<u8>>,
    /// Number of the next chunk from the peer, which goes as the buffer's number.
    chunks: Map<(u32, u32), u16>,
    /// No more transient failures and data: everything ends as it is cancelled.
    calm: bool,
    /// How often each oddity came up.
    oddities: Map<&'static str, usize>,
}

impl FakeRing {
    fn new(seed: u64) -> FakeRing {
        FakeRing {
            prng: Prng::salted(seed, "fake ring"),
            pending: Vec::new(),
            delivered: Map::default(),
            chunks: Map::default(),
            calm: false,
            oddities: Map::default(),
        }
    }

    /// In order, as the kernel takes them. A cancel acts here; its completions come whenever.
    fn take(&mut self, table: &mut Table) {
        while let Some(submission) = table.submissions.pop_front() {
            let (Submission::Accept { token, .. }
            | Submission::Receive { token, .. }
            | Submission::Send { token, .. }
            | Submission::Wake { token, .. }
            | Submission::Connect { token, .. }
            | Submission::Persist { token, .. }
            | Submission::Cancel { token, .. }) = submission;
            let twin = self.pending.iter().any(|p| p.token == token);
            assert!(!twin || matches!(submission, Submission::Cancel { .. }), "{token:?} is in flight twice");
            self.pending.push(Pending { token, submission, cancelled: false });
        }
    }

    fn odd(&mut self, what: &'static str) {
        *self.oddities.entry(what).or_default() += 1;
    }

    /// One completion of some pending operation.
    fn step(&mut self) -> Option<Completion> {
        if self.pending.is_empty() {
            return None;
        }
        let index = self.prng.below(self.pending.len() as u64) as usize;
        let (token, submission) = (self.pending[index].token, self.pending[index].submission);
        let key = (token.slot(), token.generation());
        let done = |result| Completion { token, result, more: false, buffer: None };
        if self.pending[index].cancelled {
            self.pending.remove(index);
            return Some(done(-libc::ECANCELED));
        }
        match submission {
            Submission::Cancel { target, .. } => {
                let victim = self.pending.iter().position(|p| p.token == target && !p.cancelled);
                let Some(victim) = victim else {
                    self.pending.remove(index);
                    self.odd("cancel came too late");
                    return Some(done(-libc::ENOENT));
                };
                if !self.calm && self.prng.chance(1, 4) {
                    self.pending.remove(index);
                    self.odd("cancel found it busy");
                    return Some(done(-libc::EALREADY));
                }
                self.pending[victim].cancelled = true;
                self.pending.remove(index);
                Some(done(0))
            }
            Submission::Receive { .. } => {
                if self.calm {
                    return None;
                }
                if self.prng.chance(1, 8) {
                    self.pending.remove(index);
                    let errors = [libc::ENOBUFS, libc::EINTR, libc::EAGAIN];
                    self.odd("receive stopped without a reason that matters");
                    return Some(done(-errors[self.prng.below(3) as usize]));
                }
                if self.prng.chance(1, 40) {
                    self.pending.remove(index);
                    let codes = [0, -libc::ECONNRESET];
                    self.odd("peer ended or reset");
                    return Some(done(codes[self.prng.below(2) as usize]));
                }
                let more = self.prng.chance(3, 4);
                if !more {
                    self.odd("multishot receive ended after data");
                    self.pending.remove(index);
                }
                let chunk = self.chunks.entry(key).or_default();
                *chunk += 1;
                Some(Completion { token, result: 1, more, buffer: Some(BufferId(*chunk)) })
            }
            Submission::Send { bytes, length, .. } => {
                if self.calm {
                    return None; // only a cancel ends it: the peer doesn't read any more
                }
                self.pending.remove(index);
                if self.prng.chance(1, 8) {
                    self.odd("send interrupted");
                    return Some(done(-libc::EINTR));
                }
                if self.prng.chance(1, 60) {
                    self.odd("send failed");
                    return Some(done(-libc::EPIPE));
                }
                let count = 1 + self.prng.below(length as u64) as usize;
                if count < length {
                    self.odd("short send");
                }
                // SAFETY: the very claim under test: the table keeps the bytes until this completion.
                let piece = unsafe { std::slice::from_raw_parts(bytes, count) };
                self.delivered.entry(key).or_default().extend_from_slice(piece);
                Some(done(count as i32))
            }
            Submission::Connect { .. } => {
                self.pending.remove(index);
                let refused = self.prng.chance(1, 4);
                Some(done(if refused { -libc::ECONNREFUSED } else { 0 }))
            }
            Submission::Accept { .. } | Submission::Wake { .. } | Submission::Persist { .. } => None,
        }
    }
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

fn socket_to_nowhere() -> AcceptedSocket {
    AcceptedSocket { fd: null(), peer: ([127, 0, 0, 1], 1).into() }
}

/// What the driver believes about one connection.
#[derive(Default)]
struct Believed {
    sending: bool,
    connected: bool,
    paused: bool,
    ended: bool,
    closing: bool,
    sent: Vec<u8>,
    chunk: u16,
}

/// One random history: calls and completions interleaved, then stop and drain.
fn run(seed: u64) -> (FakeRing, usize) {
    let mut prng = Prng::salted(seed, "driver");
    let mut ring = FakeRing::new(seed);
    let mut table = Table::new(8, 1000);
    let mut connections: Map<ConnectionId, Believed> = Map::default();
    let (mut closed, mut next_byte) = (0, 0u8);
    let mut step = |table: &mut Table, ring: &mut FakeRing, connections: &mut Map<ConnectionId, Believed>| {
        let mut outcome = table.next_outcome();
        if outcome.is_none()
            && let Some(completion) = ring.step()
        {
            outcome = table.complete(completion);
        }
        match outcome {
            None => {}
            Some(Outcome::Received(c, buffer, _)) => {
                let believed = connections.get_mut(&c).expect("received from a connection that was closed");
                assert!(!believed.closing && !believed.ended);
                assert_eq!(buffer.0, believed.chunk + 1, "a chunk was lost or reordered");
                believed.chunk = buffer.0;
            }
            Some(Outcome::Ended(c)) => {
                let believed = connections.get_mut(&c).unwrap();
                assert!(!believed.ended && !believed.closing);
                believed.ended = true;
            }
            Some(Outcome::Sent(c, buffer)) => {
                let believed = connections.get_mut(&c).unwrap();
                assert!(std::mem::take(&mut believed.sending) && buffer.is_empty());
                assert!(
                    ring.delivered.get(&(c.slot, c.generation)) == Some(&believed.sent),
                    "not all was sent"
                );
            }
            Some(Outcome::Connected(c)) => connections.get_mut(&c).unwrap().connected = true,
            Some(Outcome::Closed(c, reason)) => {
                let believed = connections.remove(&c).expect("closed twice");
                assert!(believed.closing || matches!(reason, CloseReason::Failed(_)));
                let got = ring.delivered.get(&(c.slot, c.generation)).cloned().unwrap_or_default();
                assert!(believed.sent.starts_with(&got), "the peer saw bytes we never sent in that order");
                closed += 1;
            }
            Some(other) => panic!("{other:?}"),
        }
    };
    for _ in 0..600 {
        let ids: Vec<ConnectionId> = {
            let mut ids: Vec<_> = connections.keys().copied().collect();
            ids.sort_by_key(|c| (c.slot, c.generation));
            ids
        };
        let pick = (!ids.is_empty()).then(|| ids[prng.below(ids.len() as u64) as usize]);
        match (prng.below(16), pick) {
            (0, _) => match table.adopt(socket_to_nowhere()) {
                Ok(c) => {
                    let fresh = connections.insert(c, Believed { connected: true, ..Believed::default() });
                    assert!(fresh.is_none(), "two connections share an id");
                }
                Err(_) => assert_eq!(connections.len(), 8, "refused with room left"),
            },
            (1, _) if !table.is_full() => {
                let c = table.connect(null(), ([127, 0, 0, 1], 1).into());
                assert!(connections.insert(c, Believed::default()).is_none());
            }
            (2..5, Some(c)) => {
                let believed = connections.get_mut(&c).unwrap();
                if !believed.sending && believed.connected && !believed.closing {
                    let bytes: Vec<u8> = (0..1 + prng.below(40))
                        .map(|_| {
                            next_byte = next_byte.wrapping_add(1);
                            next_byte
                        })
                        .collect();
                    believed.sent.extend_from_slice(&bytes);
                    believed.sending = true;
                    table.send(c, bytes);
                }
            }
            (5, Some(c)) => {
                table.pause_receive(c);
                connections.get_mut(&c).unwrap().paused = true;
            }
            (6, Some(c)) => {
                table.resume_receive(c);
                connections.get_mut(&c).unwrap().paused = false;
            }
            (7, Some(c)) if prng.chance(1, 3) => {
                table.close(c);
                connections.get_mut(&c).unwrap().closing = true;
            }
            (8, Some(c)) if prng.chance(1, 6) => {
                table.close_now(c);
                connections.get_mut(&c).unwrap().closing = true;
            }
            _ => {}
        }
        if prng.chance(3, 4) {
            ring.take(&mut table);
        }
        step(&mut table, &mut ring, &mut connections);
    }
    // Liveness: whoever isn't paused, ended or closing has a receive in flight once everything is settled.
    ring.take(&mut table);
    for (c, believed) in &connections {
        let armed = ring.pending.iter().any(|p| p.token == Token::new(Kind::Receive, c.generation, c.slot));
        let expected = believed.connected && !believed.paused && !believed.ended && !believed.closing;
        let slot = &table.slots[c.slot as usize];
        let failing = !matches!(slot.closing, Closing::No);
        assert!(armed || !expected || failing, "nobody paused {c:?}, yet it isn't received from: {slot:?}");
    }
    table.stop();
    for believed in connections.values_mut() {
        believed.closing = true;
    }
    ring.calm = true;
    for _ in 0..100_000 {
        ring.take(&mut table);
        // The wake-up and its cancel answer like any other.
        step(&mut table, &mut ring, &mut connections);
        if table.in_flight() == 0 && !table.has_outcomes() {
            break;
        }
    }
    assert_eq!(table.in_flight(), 0, "operations were left in flight: {:?}", ring.pending);
    assert!(ring.pending.is_empty() && connections.is_empty());
    assert!(table.slots.iter().all(|slot| slot.fd.is_none()), "a descriptor leaked");
    (ring, closed)
}

#[test]
fn random_histories_end_well() {
    let (mut oddities, mut closed): (Map<&str, usize>, usize) = (Map::default(), 0);
    for seed in 0..400 {
        let (ring, count) = run(seed);
        closed += count;
        for (what, count) in ring.oddities {
            *oddities.entry(what).or_default() += count;
        }
    }
    assert!(closed > 1000);
    assert_eq!(oddities.len(), 8, "an oddity never came up, so it wasn't tested: {oddities:?}");
}

fn table_with_listener() -> (Table, ListenerId, Token) {
    let mut table = Table::new(4, 1000);
    let id = table.listen(null());
    let Some(Submission::Accept { token, .. }) = table.submissions.pop_back() else { panic!() };
    (table, id, token)
}

#[test]
fn a_listener_without_descriptors_waits_instead_of_spinning() {
    let (mut table, id, token) = table_with_listener();
    table.submissions.clear();
    let failed = Completion { token, result: -libc::EMFILE, more: false, buffer: None };
    match table.complete(failed) {
        Some(Outcome::AcceptFailed(listener, error)) => {
            assert_eq!((listener, error.kind()), (id, ErrorKind::Exhausted));
        }
        other => panic!("{other:?}"),
    }
    assert!(table.submissions.is_empty(), "it would fail again at once");
    table.retry_accepts();
    assert!(matches!(table.submissions.pop_front(), Some(Submission::Accept { .. })));
    table.retry_accepts();
    assert!(table.submissions.is_empty(), "armed once");
}

#[test]
fn a_connection_that_died_in_the_backlog_does_not_stop_the_listener() {
    let (mut table, _, token) = table_with_listener();
    table.submissions.clear();
    let failed = Completion { token, result: -libc::ECONNABORTED, more: false, buffer: None };
    assert!(table.complete(failed).is_none());
    assert!(matches!(table.submissions.pop_front(), Some(Submission::Accept { .. })));
}

#[test]
fn a_starved_listener_can_be_closed() {
    let (mut table, id, token) = table_with_listener();
    table.complete(Completion { token, result: -libc::ENFILE, more: false, buffer: None });
    table.close_listener(id);
    assert!(table.listeners[0].fd.is_none());
    table.retry_accepts();
    let next = table.listen(null());
    assert_ne!(next, id, "the place is used again under the next generation");
}

#[test]
#[should_panic(expected = "completed after its slot was given away")]
fn a_stale_completion_is_a_bug() {
    let mut table = Table::new(1, 1000);
    let old = table.adopt(socket_to_nowhere()).unwrap();
    let token = Token::new(Kind::Receive, old.generation, old.slot);
    table.close_now(old);
    table.complete(Completion { token, result: -libc::ECANCELED, more: false, buffer: None });
    let cancel = Token::new(Kind::CancelReceive, old.generation, old.slot);
    table.complete(Completion { token: cancel, result: 0, more: false, buffer: None });
    assert!(matches!(table.next_outcome(), Some(Outcome::Closed(..))));
    table.adopt(socket_to_nowhere()).unwrap();
    table.complete(Completion { token, result: 0, more: false, buffer: None });
}

#[test]
#[should_panic(expected = "one send per connection")]
fn two_sends_at_once_are_a_bug() {
    let mut table = Table::new(1, 1000);
    let connection = table.adopt(socket_to_nowhere()).unwrap();
    table.send(connection, b"a".to_vec());
    table.send(connection, b"b".to_vec());
}

#[test]
fn generations_wrap_within_their_24_bits() {
    let token = Token::new(Kind::CancelSend, GENERATION_MASK, u32::MAX);
    assert_eq!(
        (token.kind(), token.generation(), token.slot()),
        (Kind::CancelSend, GENERATION_MASK, u32::MAX)
    );
    let mut table = Table::new(1, 1000);
    table.slots.push(Slot { generation: GENERATION_MASK, ..Slot::free() });
    table.free.push(0);
    let last = table.adopt(socket_to_nowhere()).unwrap();
    assert_eq!(last.generation, GENERATION_MASK);
    table.close_now(last);
    for (kind, result) in [(Kind::Receive, -libc::ECANCELED), (Kind::CancelReceive, 0)] {
        let token = Token::new(kind, last.generation, 0);
        table.complete(Completion { token, result, more: false, buffer: None });
    }
    table.next_outcome();
    assert_eq!(table.adopt(socket_to_nowhere()).unwrap().generation, 0);
}
