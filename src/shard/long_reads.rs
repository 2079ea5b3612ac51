//! Reads too long for one turn: a getChildren of many children, a getAllChildrenNumber of a large tree, a long multiRead.
//!
//! All reads of a shard share `TURN_BUDGET` units a turn, trifles excepted ([`super::reads::CHEAP`]). One that finds nothing
//! left waits at the head of its connection's queue; connections that wait are served in turn, before what comes anew. A
//! read longer than a whole budget is a long read: one at a time per shard, at most half of each turn. A long read
//! is exact: it goes on at the version it began at, which the shard's reader keeps readable until it is done. To its
//! connection it is a gap in the output: what follows is appended behind the gap ([`Connection::gap`]) and sent when the
//! gap is filled. So neither an event nor a reply overtakes it, and the watch that a getChildren leaves can't fire before
//! the list it belongs to is with the client.
//!
//! A write behind a read that still *waits* finds it unanswered when its own answer comes: then the read is carried out at
//! once and as a whole (`State::run_reads_before_answer`). So that this costs no more than a turn, nothing is taken from a
//! connection while what waits there costs more ([`Connection::owed`]).
//!
//! setWatches needs no gap: what it registered stays registered. It goes on at whatever version its next turn finds.
//!
//! Limits: `limits::REPLY_BYTES_MAX`. What writers supersede while a long read runs is kept until its end: tenths of a
//! second for a million children. Tested: long_reads_test.rs, tests/conformance/reads_more.rs.

use std::cell::Cell;
use std::sync::Arc;

use crate::base::{ConnectionId, Instant, Path, Zxid, limits};
use crate::messages::Identity;
use crate::tree::Reading;
use crate::wire::client::header::{begin_reply, end_reply};
use crate::wire::client::multi::encode_end;
use crate::wire::client::{
    GetAllChildrenNumberRequest, GetAllChildrenNumberResponse, GetChildrenRequest, MultiReadRequest,
};
use crate::wire::jute::{Encode, VectorWriter};
use crate::wire::{ErrorCode, Opcode, Text};

use super::connection::{Connection, Pending};
use super::reads::{Read, TooLarge, decode, extra};
use super::watches::{Modes, Table, Watches};
use super::{Output, State, multi_read};

#[derive(Debug)]
pub struct LongRead {
    pub connection: ConnectionId,
    pub at: Zxid,
    pub since: Instant,
    xid: i32,
    opcode: Opcode,
    body: Box<[u8]>,
    identities: Arc<[Identity]>,
    skip_acl: bool,
    /// What it counts among the large requests until it is answered.
    large: usize,
    reply: Vec<u8>,
    work: Work,
}

#[derive(Debug)]
enum Work {
    /// Position in the parent's bag of children.
    Children { parent: Path, position: u32, names: VectorWriter },
    /// Nodes with children that were not looked at, and where among the children of the first of them we are.
    Count { todo: Vec<Path>, position: u32, total: usize },
    /// Operations done.
    MultiRead { done: usize },
}

/// What a turn's work came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

impl LongRead {
    /// For a read that was found too long just now, at this version: its checks have passed.
    fn begin(
        id: ConnectionId,
        pending: Pending,
        identities: Arc<[Identity]>,
        skip_acl: bool,
        (reading, at): (&Reading<'_>, Zxid),
        watches: &mut Watches,
    ) -> Option<LongRead> {
        let Pending::Read { xid, opcode, body, since } = pending else { return None };
        let mut reply = vec![];
        let _ = begin_reply(&mut reply, xid, at, ErrorCode::Ok);
        let work = match opcode {
            Opcode::GetAllChildrenNumber => {
                let request: GetAllChildrenNumberRequest = decode(&body).ok()?;
                let node = reading.node(request.path.as_bytes(), at)?;
                Work::Count { todo: vec![node.path.clone()], position: 0, total: extra(request.path) }
            }
            Opcode::MultiRead => Work::MultiRead { done: 0 },
            _ => {
                let request: GetChildrenRequest = decode(&body).ok()?;
                let node = reading.node(request.path.as_bytes(), at)?;
                if request.watch {
                    let path = request.path.as_bytes();
                    watches.add(Table::Child, path, Some(&node.path), id, Modes::STANDARD);
                }
                let names = VectorWriter::begin(&mut reply);
                Work::Children { parent: node.path.clone(), position: 0, names }
            }
        };
        let large = 0;
        Some(LongRead {
            connection: id,
            at,
            since,
            xid,
            opcode,
            body,
            identities,
            skip_acl,
            large,
            reply,
            work,
        })
    }

    /// Goes on for about `budget` units.
    fn go_on(&mut self, reading: &Reading<'_>, budget: usize) -> Result<Progress, TooLarge> {
        let at = self.at;
        match &mut self.work {
            Work::Children { parent, position, names } => {
                let node = reading.node(parent.bytes(), at).expect("the version it began at is kept");
                let out = &mut self.reply;
                let next = reading.some_children(node, at, *position, budget, |child| {
                    names.push(out, &Text::from_bytes(child.path.name()));
                });
                if self.reply.len() > limits::REPLY_BYTES_MAX {
                    return Err(TooLarge);
                }
                Ok(match next {
                    Some(next) => {
                        *position = next;
                        Progress::More
                    }
                    None => Progress::Done,
                })
            }
            Work::Count { todo, position, total } => {
                let mut left = budget;
                while let Some(parent) = todo.last().filter(|_| left > 0).cloned() {
                    let node = reading.node(parent.bytes(), at).expect("the version it began at is kept");
                    let here = todo.len() - 1;
                    let next = reading.some_children(node, at, *position, left, |child| {
                        *total += 1;
                        if child.children_count > 0 {
                            todo.push(child.path.clone());
                        }
                    });
                    match next {
                        // What was found below goes first or last: either way all of it is looked at once.
                        Some(next) => {
                            let last = todo.len() - 1;
                            todo.swap(here, last);
                            *position = next;
                            left = 0;
                        }
                        None => {
                            todo.swap_remove(here);
                            *position = 0;
                            left = left.saturating_sub(1 + node.children_count as usize);
                        }
                    }
                }
                Ok(if todo.is_empty() { Progress::Done } else { Progress::More })
            }
            Work::MultiRead { done } => {
                let read = Read {
                    connection: self.connection,
                    identities: &self.identities,
                    xid: self.xid,
                    opcode: self.opcode,
                    body: &self.body,
                    skip_acl: self.skip_acl,
                    budget,
                    left: &Cell::new(budget),
                    done: 0,
                };
                let Ok(request) = decode::<MultiReadRequest<'_>>(&self.body) else { return Err(TooLarge) };
                let mut used = 0;
                for op in request.iter().skip(*done) {
                    if used > budget {
                        return Ok(Progress::More);
                    }
                    used += multi_read::cost(&op, reading, at);
                    multi_read::result(&op, &read, reading, at, &mut self.reply, 0)?;
                    *done += 1;
                }
                Ok(Progress::Done)
            }
        }
    }

    /// The whole reply.
    fn finish(mut self, reading: &Reading<'_>) -> Vec<u8> {
        match self.work {
            Work::Children { parent, names, .. } => {
                names.end(&mut self.reply);
                if self.opcode == Opcode::GetChildren2 {
                    let node =
                        reading.node(parent.bytes(), self.at).expect("the version it began at is kept");
                    node.stat().encode(&mut self.reply);
                }
            }
            Work::Count { total, .. } => {
                let total_number = i32::try_from(total).unwrap_or(i32::MAX);
                GetAllChildrenNumberResponse { total_number }.encode(&mut self.reply);
            }
            Work::MultiRead { .. } => encode_end(&mut self.reply),
        }
        end_reply(&mut self.reply, 0);
        self.reply
    }
}

impl State {
    /// The read at the head of this connection's queue is too long for a turn that it shares.
    pub(super) fn take_its_turn(&mut self, reading: &Reading<'_>, id: ConnectionId) {
        let (at, skip_acl) = (self.version, self.settings.skip_acl);
        let is_free = self.long_read.is_none();
        let Some(connection) = self.connection(id) else { return };
        if !is_free || connection.gap.is_some() {
            connection.is_long = true;
            return self.wait_for_turn(id);
        }
        let Some(pending) = connection.unqueue() else { return };
        let identities = connection.identities.clone();
        let large = connection.large_bytes(&pending);
        let begun = LongRead::begin(id, pending, identities, skip_acl, (reading, at), &mut self.watches);
        let Some(connection) = self.connection(id) else { return };
        connection.gap = Some(std::mem::take(&mut connection.output));
        connection.large_asked += large;
        self.long_read = begun.map(|begun| LongRead { large, ..begun });
        assert!(self.long_read.is_some(), "a read that was found too long passed its checks");
    }

    /// This connection goes on in one of the next turns.
    pub(super) fn wait_for_turn(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id)
            && !connection.waits
        {
            connection.waits = true;
            self.waiting.push_back(id);
        }
    }

    /// Once a turn: a piece of the long read, and those who wait as far as the turn goes.
    pub(super) fn go_on(&mut self, reading: &Reading<'_>, outputs: &mut Vec<Output>) {
        if let Some(mut read) = self.long_read.take()
            && self.connection(read.connection).is_some_and(|connection| connection.gap.is_some())
        {
            let piece = (self.settings.turn_budget / 2).max(1);
            self.left = self.left.saturating_sub(piece);
            match read.go_on(reading, piece) {
                Ok(Progress::More) => self.long_read = Some(read),
                Ok(Progress::Done) => {
                    let (id, at, since, large) = (read.connection, read.at, read.since, read.large);
                    if self.is_slow(since) {
                        self.note_slow_read(id, read.opcode, &read.body, since, at);
                    }
                    let reply = read.finish(reading);
                    let size = reply.len();
                    if let Some(connection) = self.connection(id) {
                        connection.large_asked -= large;
                    }
                    self.fill_gap(id, reply);
                    self.count_answer(id, at, since, size, false);
                    self.advance(reading, id, outputs);
                }
                Err(TooLarge) => self.drop_too_large(read.connection),
            }
        }
        self.serves_waiting = true;
        // Each of them once: who has to wait again stands behind the others.
        for _ in 0..self.waiting.len() {
            if self.left == 0 || self.taken >= self.settings.bounds.turn_requests_waiting {
                break;
            }
            let Some(id) = self.waiting.pop_front() else { break };
            let is_free = self.long_read.is_none();
            if let Some(connection) = self.connection(id) {
                if connection.is_long && !is_free {
                    self.waiting.push_back(id);
                    continue;
                }
                connection.waits = false;
                connection.is_long = false;
                self.advance(reading, id, outputs);
            }
        }
        self.serves_waiting = false;
    }

    fn fill_gap(&mut self, id: ConnectionId, reply: Vec<u8>) {
        let Some(connection) = self.connection(id) else { return };
        let behind = std::mem::take(&mut connection.output);
        let mut output = connection.gap.take().unwrap_or_default();
        connection.large = reply.len();
        if output.is_empty() {
            output = reply;
        } else {
            output.extend_from_slice(&reply);
        }
        output.extend_from_slice(&behind);
        connection.output = output;
    }

    pub(super) fn drop_too_large(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id) {
            tracing::warn!(
                address = %connection.address, limit = limits::REPLY_BYTES_MAX,
                "closing a connection: the reply to one of its requests is larger than any that is sent"
            );
            connection.gap = None;
        }
        self.begin_close(id);
    }

    /// The oldest version that is still read.
    pub(super) fn floor(&self, newest: Zxid) -> Zxid {
        self.long_read.as_ref().map_or(newest, |read| read.at.min(newest))
    }

    pub(super) fn has_long_work(&self) -> bool {
        self.long_read.is_some() || !self.waiting.is_empty() || !self.told.is_empty()
    }
}

impl Connection {
    /// More waits for this client than it could take if it read: one large reply doesn't count, it asked for that.
    pub fn is_deaf(&self) -> bool {
        self.output.len().saturating_sub(self.large) > limits::CONNECTION_OUTPUT_BYTES_MAX
    }
}

#[cfg(test)]
#[path = "long_reads_test.rs"]
mod tests;
