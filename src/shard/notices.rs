//! Acts on what the replica says, in zxid order: events first, then the reply, then the reads that waited for it.

use std::sync::Arc;

use crate::base::{ConnectionId, SessionId, Zxid, limits};
use crate::messages::{AclRef, Answer, AnswerBody, Change, ChangeKind, Client, Notice, Service};
use crate::tree::{Reading, acl};
use crate::wire::acl::perms;
use crate::wire::client::header::{begin_reply, encode_bare_reply, encode_frame, encode_reply, end_reply};
use crate::wire::client::watch::encode_notification;
use crate::wire::client::{ConnectResponse, Create2Response, CreateResponse, EventType, SetDataResponse};
use crate::wire::{ErrorCode, Opcode, Text};

use super::connection::{Pending, Phase};
use super::watches::Table;
use super::{Output, State};

/// From so many on, those who may read a node are put in order before they are told of it.
const MANY_RECEIVERS: usize = 8;

impl State {
    /// Acts on every notice up to `published`.
    pub(super) fn act_on_notices(
        &mut self,
        reading: &Reading<'_>,
        published: Zxid,
        outputs: &mut Vec<Output>,
    ) {
        assert!(published >= self.version && published <= reading.published());
        while self.notices.front().is_some_and(|notice| notice.zxid <= published) {
            let Some(notice) = self.notices.pop_front() else { break };
            assert!(notice.zxid >= self.version, "notices come in zxid order");
            if let Some(answer) = &notice.answer
                && answer.to.shard == self.id
            {
                self.run_reads_before_answer(reading, answer.to.connection);
            }
            self.version = notice.zxid;
            self.act_on(&notice, reading, outputs);
        }
        self.version = published;
    }

    /// Reads that were sent before the request answered now and still wait for room: they see the tree without it, so
    /// they are answered while `version` is below its zxid, room or not. A connection can pile up
    /// `CONNECTION_OUTPUT_BYTES_MAX` that way; above, its client takes nothing and is closed.
    fn run_reads_before_answer(&mut self, reading: &Reading<'_>, id: ConnectionId) {
        self.run_reads(reading, id, true);
        let Some(connection) = self.connection(id) else { return };
        if let Some(Pending::Read { .. } | Pending::Refused { .. }) = connection.pending.front() {
            self.drop_deaf(id);
        }
    }

    fn act_on(&mut self, notice: &Arc<Notice>, reading: &Reading<'_>, outputs: &mut Vec<Output>) {
        if !self.watches.is_empty() {
            let mut unwatched = None;
            for change in notice.changes.as_slice() {
                self.fire(notice.zxid, change, &mut unwatched);
            }
        }
        if let Some((session, owner)) = notice.moved {
            self.give_up_session(session, owner);
        }
        if let Some(answer) = &notice.answer
            && answer.to.shard == self.id
        {
            self.on_answer(notice, answer, reading, outputs);
        }
        if let Some(session) = notice.ended
            && let Some(&id) = self.sessions.get(&session)
        {
            self.begin_close(id);
        }
    }

    /// The session came back through another connection: ours is closed.
    fn give_up_session(&mut self, session: SessionId, owner: Option<Client>) {
        if let Some(&id) = self.sessions.get(&session)
            && owner.is_none_or(|owner| owner.shard != self.id || owner.connection != id)
        {
            self.begin_close(id);
        }
    }

    fn on_answer(
        &mut self,
        notice: &Notice,
        answer: &Answer,
        reading: &Reading<'_>,
        outputs: &mut Vec<Output>,
    ) {
        let (zxid, id) = (notice.zxid, answer.to.connection);
        let Some(connection) = self.connection(id) else { return };
        match connection.phase {
            Phase::Closing | Phase::Greeting => return,
            Phase::Connecting { read_only } => {
                self.on_session(id, read_only, &answer.body);
                return self.advance(reading, id, outputs);
            }
            Phase::Active { .. } => {}
        }
        let Some(Pending::Write { xid, opcode, since, .. }) = connection.unqueue() else {
            panic!("an answer without a request before it: {answer:?}");
        };
        self.count_writes(id);
        let Some(connection) = self.connection(id) else { return };
        assert_eq!(xid, answer.xid, "answers come in request order");
        let out = &mut connection.output;
        let before = out.len();
        match &answer.body {
            AnswerBody::Error(code) => encode_bare_reply(out, xid, zxid, *code),
            AnswerBody::Created { path } => {
                encode_reply(out, xid, zxid, &CreateResponse { path: Text::from_bytes(path.bytes()) });
            }
            AnswerBody::CreatedWithStat { path, stat } => {
                let path = Text::from_bytes(path.bytes());
                encode_reply(out, xid, zxid, &Create2Response { path, stat: *stat });
            }
            AnswerBody::Stat(stat) => encode_reply(out, xid, zxid, &SetDataResponse { stat: *stat }),
            AnswerBody::Raw(body) if body.len() > limits::REPLY_BYTES_MAX => return self.drop_too_large(id),
            AnswerBody::Raw(body) => {
                connection.large = connection.large.max(body.len());
                let reply = begin_reply(out, xid, zxid, ErrorCode::Ok);
                out.extend_from_slice(body);
                end_reply(out, reply);
            }
            AnswerBody::SessionMoved | AnswerBody::Session { .. } | AnswerBody::SessionRefused => {
                return self.begin_close(id);
            }
        }
        let size = connection.output.len() - before;
        connection.asks &= opcode != Opcode::GetEphemerals;
        self.count_answer(id, zxid, since, size, true);
        if self.is_slow(since) {
            self.note_slow_write(id, opcode, since, zxid, notice.stages.as_deref());
        }
        if opcode == Opcode::CloseSession {
            self.begin_close(id);
        }
        self.advance_later(reading, id, outputs);
    }

    /// The replica answered the connect request.
    fn on_session(&mut self, id: ConnectionId, read_only: Option<bool>, body: &AnswerBody) {
        let since = self.now.instant;
        let version = self.version;
        // The byte goes to those who sent theirs.
        let read_only = read_only.map(|_| self.service == Service::ReadOnly);
        let Some(connection) = self.connection(id) else { return };
        if let AnswerBody::Session { session, password, timeout_ms } = body {
            let response = ConnectResponse {
                protocol_version: 0,
                timeout_ms: *timeout_ms,
                session_id: *session,
                password: Some(password),
                read_only,
            };
            let before = connection.output.len();
            encode_frame(&mut connection.output, &response);
            let size = connection.output.len() - before;
            connection.phase = Phase::Active { session: *session, timeout_ms: *timeout_ms };
            self.watch_silence(id);
            self.sessions.insert(*session, id);
            self.count_answer(id, version, since, size, true);
            return;
        }
        // A refusal is the word on which clients give up their session; anything else (no room for a new one on the
        // disk) only closes the connection, and they try again.
        if matches!(body, AnswerBody::SessionRefused) {
            encode_frame(&mut connection.output, &ConnectResponse::rejection(read_only));
        }
        self.begin_close(id);
    }

    /// The events of one change (client-protocol.md §12.3). `unwatched`: a parent whose children nobody watches, as was found
    /// at an earlier change of the transaction; a hundred thousand siblings may go in one.
    fn fire<'c>(&mut self, zxid: Zxid, change: &'c Change, unwatched: &mut Option<&'c [u8]>) {
        let path = change.path.bytes();
        let kind = match change.kind {
            ChangeKind::DataChanged => EventType::NodeDataChanged,
            ChangeKind::Created => EventType::NodeCreated,
            ChangeKind::Deleted => EventType::NodeDeleted,
        };
        let mut receivers = std::mem::take(&mut self.receivers);
        self.watches.begin_event();
        self.watches.trigger(Table::Data, path, &mut receivers);
        if change.kind == ChangeKind::Deleted {
            // Of the same event: who was told by the data table is not told again.
            self.watches.trigger(Table::Child, path, &mut receivers);
        }
        self.notify(zxid, &mut receivers, kind, path, &change.acl);
        if change.kind != ChangeKind::DataChanged
            && let Some(parent) = change.path.parent().filter(|parent| *unwatched != Some(*parent))
        {
            self.watches.begin_event();
            if !self.watches.trigger(Table::Child, parent, &mut receivers) {
                *unwatched = Some(parent);
            }
            self.notify(zxid, &mut receivers, EventType::NodeChildrenChanged, parent, &change.parent_acl);
        }
        self.receivers = receivers;
    }

    /// Tells all of them, and empties the list.
    fn notify(
        &mut self,
        zxid: Zxid,
        receivers: &mut Vec<ConnectionId>,
        kind: EventType,
        path: &[u8],
        allowed: &AclRef,
    ) {
        if receivers.is_empty() {
            return;
        }
        let is_wide = receivers.len() > self.settings.bounds.turn_notices;
        let skip_acl = self.settings.skip_acl;
        let gate = (!skip_acl && receivers.len() >= MANY_RECEIVERS)
            .then(|| acl::Gate::new(allowed.as_deref(), perms::READ));
        let mut event = std::mem::take(&mut self.event);
        encode_notification(&mut event, zxid, kind, Text::from_bytes(path));
        let mut told = 0;
        for id in receivers.drain(..) {
            let Some(connection) = self.connection(id).filter(|connection| !connection.is_closing()) else {
                continue;
            };
            // Who may not read the node isn't told; the watch is used up all the same.
            let may_read = match &gate {
                _ if skip_acl => true,
                Some(gate) => gate.admits(&connection.identities),
                None => acl::check(allowed.as_deref(), perms::READ, &connection.identities).is_ok(),
            };
            if !may_read {
                continue;
            }
            connection.output.extend_from_slice(&event);
            connection.stats.sent += 1;
            self.sent += 1;
            told += 1;
            if self.is_overfed(id) {
                self.drop_deaf(id);
            } else if is_wide {
                self.mark_told(id);
            } else {
                self.mark_dirty(id);
            }
        }
        self.tallies.watch_bytes += told * event.len() as u64;
        match kind {
            EventType::NodeCreated => self.tallies.created.add(told),
            EventType::NodeDeleted => self.tallies.deleted.add(told),
            EventType::NodeDataChanged => self.tallies.changed.add(told),
            EventType::NodeChildrenChanged => self.tallies.children.add(told),
            _ => {}
        }
        event.clear();
        self.event = event;
    }

    /// A client that takes none of its events or replies is closed; its session lives on, and its watches come back with it.
    pub(super) fn drop_deaf(&mut self, id: ConnectionId) {
        let is_out_of_room = self.is_out_of_room();
        if let Some(connection) = self.connection(id) {
            connection.is_cut_for_room = is_out_of_room;
            tracing::warn!(address = %connection.address, "closing a connection: the client doesn't read what it is sent");
            connection.output = vec![];
            connection.gap = None;
        }
        self.begin_close(id);
    }
}
