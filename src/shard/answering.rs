//! Reads: answered at once, put back until there is room, or queued behind the writes before them.
//!
//! Called by `intake.rs` for what was received, and wherever a queue has moved. Tested: shard_test.rs, room_test.rs.

use std::cell::Cell;

use crate::base::{ConnectionId, Instant, Zxid};
use crate::tree::Reading;
use crate::wire::client::header::encode_bare_reply;
use crate::wire::{ErrorCode, Opcode};

use super::State;
use super::connection::Pending;
use super::reads::{self, Answered, Read};

/// A read as it came.
#[derive(Clone, Copy)]
pub(super) struct ReadRequest<'a> {
    pub xid: i32,
    pub opcode: Opcode,
    pub body: &'a [u8],
    pub since: Instant,
}

impl State {
    /// Answers a read whose turn it is among those of its connection, or puts it (back) at the head of the queue. True if
    /// it is answered. `is_urgent`: without regard to what it costs.
    pub(super) fn answer_read(
        &mut self,
        reading: &Reading<'_>,
        id: ConnectionId,
        request: ReadRequest<'_>,
        is_urgent: bool,
    ) -> bool {
        let (version, skip_acl) = (self.version, self.settings.skip_acl);
        let ReadRequest { xid, opcode, body, since } = request;
        if !self.is_let_in(reading, (opcode, body), is_urgent) {
            let done = self.connection(id).map_or(0, |connection| connection.done);
            let read = Pending::Read { xid, opcode, body: body.into(), since };
            self.put_back(reading, id, read, Answered::NoRoom, done);
            return false;
        }
        // Who waits for a turn goes first.
        let given = if self.waiting.is_empty() || self.serves_waiting { self.left } else { 0 };
        let left = Cell::new(given);
        let Some(connection) = self.connection(id) else { return false };
        let identities = connection.identities.clone();
        let done = std::mem::take(&mut connection.done);
        let mut output = std::mem::take(&mut connection.output);
        let before = output.len();
        let budget = if is_urgent { reads::URGENT } else { self.settings.turn_budget };
        let left_of = &left;
        let read = Read {
            connection: id,
            identities: &identities,
            xid,
            opcode,
            body,
            skip_acl,
            budget,
            left: left_of,
            done,
        };
        let answered = reads::answer(&read, reading, version, &mut self.watches, &mut output);
        self.left -= given - left.get();
        let size = output.len() - before;
        if let Some(connection) = self.connection(id) {
            connection.large = connection.large.max(size);
            connection.output = output;
        }
        if answered == Answered::Whole {
            self.count_answer(id, version, since, size, false);
            if self.is_slow(since) {
                self.note_slow_read(id, opcode, body, since, version);
            }
            return true;
        }
        self.put_back(reading, id, Pending::Read { xid, opcode, body: body.into(), since }, answered, done);
        false
    }

    /// A read that could not be answered as a whole.
    pub(super) fn put_back(
        &mut self,
        reading: &Reading<'_>,
        id: ConnectionId,
        read: Pending,
        answered: Answered,
        done: usize,
    ) {
        let Some(connection) = self.connection(id) else { return };
        if let Answered::Whole | Answered::TooLarge = answered {
            return self.drop_too_large(id);
        }
        connection.requeue(read);
        connection.done = done;
        // Nothing more is taken before it is answered: the answer to a write behind it must not find it waiting.
        connection.owed = usize::MAX;
        match answered {
            Answered::TooLong => self.take_its_turn(reading, id),
            Answered::Partly(done) => {
                connection.done = done;
                self.mark_dirty(id);
                self.wait_for_turn(id);
            }
            Answered::NoRoom => self.wait_for_room(id),
            Answered::NotNow | Answered::Whole | Answered::TooLarge => self.wait_for_turn(id),
        }
    }

    /// Answers the reads at the front of the queue, up to the first request that waits for the replica, as long as the
    /// client takes what it is sent.
    pub(super) fn run_queued_reads(&mut self, reading: &Reading<'_>, id: ConnectionId) {
        self.run_reads(reading, id, false);
    }

    /// The same; if it can't wait, without regard to what the answers cost and to how much output waits already.
    pub(super) fn run_reads(&mut self, reading: &Reading<'_>, id: ConnectionId, at_once: bool) {
        // Not before the first: often it is only one that has room.
        let mut until_look = 1;
        loop {
            let (is_scarce, has_room_at_once) = (self.is_room_scarce(), self.has_room_for_next(reading, id));
            let Some(connection) = self.connection(id) else { return };
            let waits = match at_once {
                true => connection.is_deaf() || !has_room_at_once,
                false => {
                    connection.waits
                        || connection.lacks_room
                        || connection.is_unread()
                        || is_scarce && connection.unsent() > 0
                }
            };
            if waits {
                return;
            }
            match connection.pending.front() {
                None | Some(Pending::Write { .. }) => return,
                Some(Pending::Read { .. }) => {
                    if until_look == 0 {
                        until_look = self.look_at_queued(reading, id);
                    }
                    until_look = until_look.saturating_sub(1);
                    let Some(connection) = self.connection(id) else { return };
                    let Some(Pending::Read { xid, opcode, body, since }) = connection.unqueue() else {
                        return;
                    };
                    let request = ReadRequest { xid, opcode, body: &body, since };
                    if !self.answer_read(reading, id, request, at_once) {
                        return;
                    }
                }
                Some(&Pending::Refused { xid }) => {
                    encode_bare_reply(&mut connection.output, xid, Zxid(-1), ErrorCode::Unimplemented);
                    return self.begin_close(id);
                }
            }
        }
    }

    /// A reply of `size` bytes was appended to the connection's output.
    pub(super) fn count_answer(
        &mut self,
        id: ConnectionId,
        zxid: Zxid,
        since: Instant,
        size: usize,
        is_update: bool,
    ) {
        let now = self.now.instant;
        let waited = now.since(since);
        self.sent += 1;
        let times = if is_update { &mut self.tallies.updates } else { &mut self.tallies.reads };
        times.add(waited.as_micros() as u64);
        self.tallies.sizes.add(size as u64);
        if let Some(connection) = self.connection(id) {
            connection.stats.sent += 1;
            connection.stats.last_zxid = zxid;
            connection.stats.last_response_ms = now.millis();
            connection.stats.latency_ms.add(waited.as_millis() as u64);
        }
        self.mark_dirty(id);
    }
}
