//! From received bytes to requests: frames, the handshake, and the order of one connection's requests.

use bytes::Bytes;

use crate::base::{ConnectionId, Zxid, limits};
use crate::messages::{Client, Identity, Request};
use crate::tree::Reading;
use crate::wire::client::header::{encode_bare_reply, encode_reply};
use crate::wire::client::{
    AuthPacket, ConnectRequest, CreateMode, CreateTtlRequest, GetEphemeralsRequest, GetSaslRequest,
    RequestHeader, SetSaslResponse, SyncRequest,
};
use crate::wire::frame::{Frame, split};
use crate::wire::jute::encode_bytes;
use crate::wire::{Decode, Encode, ErrorCode, Opcode, Reader, java_text};

use super::answering::ReadRequest;
use super::connection::{Pending, Phase};
use super::flow::is_congested;
use super::reads;
use super::{Output, State, auth};

/// Room for input that a connection keeps when it is empty.
const INPUT_KEPT_BYTES: usize = 4 << 10;

/// For each identity that a connection has shown: what a write's checks of ACLs may cost, in units of a turn's budget.
const UNITS_A_CHECK: usize = 2;

/// What became of the bytes looked at.
enum Taken {
    /// This many were used; look again.
    Bytes(usize),
    Wait,
}

impl State {
    pub(super) fn on_received(
        &mut self,
        reading: &Reading<'_>,
        id: ConnectionId,
        bytes: &[u8],
        outputs: &mut Vec<Output>,
    ) {
        let heard = self.heard_now();
        self.bytes_received += bytes.len() as u64;
        let Some(connection) = self.connection(id) else { return };
        if connection.is_closing() || connection.is_draining {
            return;
        }
        connection.heard = heard;
        // Also of requests that can't be taken yet, since long answers come first: their client lives.
        if let Phase::Active { session, .. } = connection.phase
            && !std::mem::replace(&mut connection.touched, true)
        {
            self.touched.push(session);
        }
        let Some(connection) = self.connection(id) else { return };
        if connection.input.is_empty() {
            // The usual case: whole frames, taken where they lie.
            let used = self.take_all(reading, id, bytes, outputs);
            if let Some(connection) = self.connection(id).filter(|connection| !connection.is_closing()) {
                connection.input.extend_from_slice(&bytes[used..]);
            }
        } else {
            connection.input.extend_from_slice(bytes);
            self.take_buffered(reading, id, outputs);
        }
        self.control_flow(id, outputs);
        self.refuse_input(id, outputs);
    }

    /// Something moved: queued reads may run, held-back input may be taken, the socket may be read again.
    pub(super) fn advance(&mut self, reading: &Reading<'_>, id: ConnectionId, outputs: &mut Vec<Output>) {
        self.run_queued_reads(reading, id);
        if self.connection(id).is_some_and(|connection| !connection.input.is_empty()) {
            self.take_buffered(reading, id, outputs);
        }
        self.control_flow(id, outputs);
    }

    /// A write of this connection was answered: the reads behind it run now, and what may be taken for it is taken at the end of the
    /// turn, in one go for all of its answers, so that the replica has many requests at a time.
    pub(super) fn advance_later(
        &mut self,
        reading: &Reading<'_>,
        id: ConnectionId,
        outputs: &mut Vec<Output>,
    ) {
        self.run_queued_reads(reading, id);
        if let Some(connection) = self.connection(id)
            && connection.untaken() > 0
            && !std::mem::replace(&mut connection.answered, true)
        {
            self.answered.push(id);
        }
        self.control_flow(id, outputs);
    }

    pub(super) fn go_on_with_answered(&mut self, reading: &Reading<'_>, outputs: &mut Vec<Output>) {
        if self.answered.is_empty() {
            return;
        }
        let mut answered = std::mem::take(&mut self.answered);
        for id in answered.drain(..) {
            if let Some(connection) = self.connection(id) {
                connection.answered = false;
                self.advance(reading, id, outputs);
            }
        }
        self.answered = answered;
        self.flush_replies(outputs);
    }

    fn take_buffered(&mut self, reading: &Reading<'_>, id: ConnectionId, outputs: &mut Vec<Output>) {
        let Some(connection) = self.connection(id) else { return };
        let mut input = std::mem::take(&mut connection.input);
        let before = std::mem::take(&mut connection.input_used);
        let used = before + self.take_all(reading, id, &input[before..], outputs);
        if let Some(connection) = self.connection(id).filter(|connection| !connection.is_closing()) {
            // What is left is moved when it is the lesser part: a turn of a long backlog takes little of it.
            connection.input_used = if used > input.len() / 2 {
                input.drain(..used);
                if input.is_empty() && input.capacity() > INPUT_KEPT_BYTES {
                    input = vec![];
                }
                0
            } else {
                used
            };
            connection.input = input;
        }
    }

    fn take_all(
        &mut self,
        reading: &Reading<'_>,
        id: ConnectionId,
        bytes: &[u8],
        outputs: &mut Vec<Output>,
    ) -> usize {
        let (mut used, mut first, mut seen) = (0, 0, 0);
        while used < bytes.len() {
            match self.take_one(reading, id, &bytes[used..], outputs) {
                Taken::Bytes(count) => used += count,
                Taken::Wait => break,
            }
            if first == 0 {
                // Often it is all there is, or all that is taken now.
                first = used;
            } else if used >= seen && used < bytes.len() && self.answers_at_once(id) {
                seen = used + self.look_ahead(reading, &bytes[used..]);
            }
        }
        used
    }

    fn take_one(
        &mut self,
        reading: &Reading<'_>,
        id: ConnectionId,
        bytes: &[u8],
        outputs: &mut Vec<Output>,
    ) -> Taken {
        let (limit, gate, bounds) = (self.settings.frame_bytes_max, self.gate(), self.settings.bounds);
        let (has_room, turn, heard) = (self.has_room(), self.turn, self.heard_now());
        let is_spent = self.left == 0 || !self.waiting.is_empty() && !self.serves_waiting;
        let Some(connection) = self.connection(id) else { return Taken::Wait };
        if connection.pending.is_empty() {
            connection.owed = 0;
        }
        match connection.phase {
            Phase::Closing | Phase::Connecting { .. } => return Taken::Wait,
            Phase::Active { .. }
                if is_congested(connection) || gate.holds(connection) || connection.is_draining =>
            {
                return Taken::Wait;
            }
            // What its writes cost in checks of ACLs only the replica finds out.
            Phase::Active { .. } if connection.identities.len() > reads::FEW_IDENTITIES && is_spent => {
                self.wait_for_turn(id);
                return Taken::Wait;
            }
            Phase::Active { .. } | Phase::Greeting => {}
        }
        let is_greeting = connection.phase == Phase::Greeting;
        let frame = split(bytes, limit);
        if is_greeting && !matches!(frame, Frame::Bad(_)) && self.is_refused(bytes) {
            self.begin_close(id);
            return Taken::Wait;
        }
        if !self.may_begin(id, &frame) {
            return Taken::Wait;
        }
        let Some(connection) = self.connection(id) else { return Taken::Wait };
        match frame {
            Frame::Complete { body } => {
                let end = body.end;
                connection.incomplete_since = None;
                match connection.phase {
                    Phase::Greeting => {
                        connection.has_begun = false;
                        self.on_greeting(id, &bytes[body], outputs);
                    }
                    Phase::Active { .. }
                        if connection.taken.0 == turn && connection.taken.1 >= bounds.turn_requests =>
                    {
                        self.wait_for_turn(id);
                        return Taken::Wait;
                    }
                    // Its answer is the replica's: it doesn't wait when it comes.
                    Phase::Active { .. } if !has_room && is_get_ephemerals(&bytes[body.clone()]) => {
                        self.wait_for_room(id);
                        return Taken::Wait;
                    }
                    _ => {
                        let taken = if connection.taken.0 == turn { connection.taken.1 } else { 0 };
                        connection.taken = (turn, taken + 1);
                        connection.has_begun = false;
                        self.taken += 1;
                        self.on_request(reading, id, &bytes[body], outputs);
                        self.count_large(id);
                    }
                }
                Taken::Bytes(end)
            }
            Frame::NeedMore { .. } => {
                connection.incomplete_since.get_or_insert(heard);
                Taken::Wait
            }
            Frame::Bad(fault) => {
                if connection.phase == Phase::Greeting
                    && let Some(&word) = bytes.first_chunk::<4>()
                    && word.iter().all(u8::is_ascii_lowercase)
                {
                    // stmk is followed by eight bytes; whatever comes in the same packet is handed over.
                    let argument = bytes[4..].to_vec();
                    connection.phase = Phase::Closing;
                    connection.awaits_text = true;
                    connection.stats.received += 1;
                    self.received += 1;
                    outputs.push(Output::Word { connection: id, word, argument });
                    return Taken::Wait;
                }
                tracing::warn!(address = %connection.address, %fault, "closing a connection: bad frame");
                self.begin_close(id);
                Taken::Wait
            }
        }
    }

    /// The first frame: a connect request (client-protocol.md §4.2 has the order of checks).
    fn on_greeting(&mut self, id: ConnectionId, frame: &[u8], outputs: &mut Vec<Output>) {
        let version = self.version;
        let from = Client { shard: self.id, connection: id };
        let request = ConnectRequest::decode(&mut Reader::new(frame));
        let is_admitted = request.as_ref().is_ok_and(|request| self.admits(request.read_only));
        self.tallies.connection_requests += 1;
        let Some(connection) = self.connection(id) else { return };
        let Ok(request) = request else {
            tracing::warn!(address = %connection.address, "closing a connection: its first frame is no connect request");
            return self.begin_close(id);
        };
        if !is_admitted {
            tracing::info!(
                address = %connection.address,
                "closing a connection: the client doesn't take a read-only server, and there is no leader"
            );
            return self.begin_close(id);
        }
        if request.last_zxid_seen > version {
            tracing::info!(
                address = %connection.address, seen = %request.last_zxid_seen, %version,
                "closing a connection: the client has seen a later zxid than this server"
            );
            return self.begin_close(id);
        }
        connection.phase = Phase::Connecting { read_only: request.read_only };
        connection.stats.received += 1;
        self.received += 1;
        let session = request.session_id;
        // A password of another length is nobody's; the replica answers what it answers to any wrong one.
        let password = request.password.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        outputs.push(Output::Request(Request::Connect {
            from,
            session,
            password,
            timeout_ms: request.timeout_ms,
        }));
    }

    fn on_request(
        &mut self,
        reading: &Reading<'_>,
        id: ConnectionId,
        frame: &[u8],
        outputs: &mut Vec<Output>,
    ) {
        let (shard, version, now) = (self.id, self.version, self.now);
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader);
        let body = reader.rest();
        let Some(connection) = self.connection(id) else { return };
        let Ok(header) = header else {
            tracing::warn!(address = %connection.address, "closing a connection: a frame too short for a request");
            return self.begin_close(id);
        };
        let Phase::Active { session, .. } = connection.phase else { return };
        connection.stats.received += 1;
        connection.stats.last_opcode = Some(header.opcode);
        connection.stats.last_cxid = header.xid;
        if !self.may_be_asked(id, header.opcode, body.len()) {
            self.received += 1;
            return;
        }
        let Some(connection) = self.connection(id) else { return };
        let newly_touched = !std::mem::replace(&mut connection.touched, true);
        let xid = header.xid;
        let from = Client { shard, connection: id };
        let since = now.instant;
        match Opcode::from_i32(header.opcode) {
            Some(opcode) if reads::is_read(opcode) => {
                if connection.pending.is_empty() {
                    self.answer_read(reading, id, ReadRequest { xid, opcode, body, since }, false);
                } else {
                    let cost = reads::estimate(opcode, body, &connection.identities, reading, version);
                    connection.owed = connection.owed.saturating_add(cost);
                    connection.queue(Pending::Read { xid, opcode, body: body.into(), since });
                }
            }
            Some(opcode @ (Opcode::Sync | Opcode::GetEphemerals)) => {
                let Some(request) = to_the_replica(opcode, body, from, session, xid) else {
                    // What can't be decoded is answered in its turn, as the reads are.
                    connection.queue(Pending::Read { xid, opcode, body: body.into(), since });
                    self.run_queued_reads(reading, id);
                    return self.count_request(session, newly_touched);
                };
                connection.queue(Pending::Write { xid, opcode, since, bytes: body.len() });
                connection.asks = opcode == Opcode::GetEphemerals;
                self.count_writes(id);
                outputs.push(Output::Request(request));
            }
            Some(opcode @ Opcode::CreateTtl) if is_poison(body) => {
                connection.queue(Pending::Read { xid, opcode, body: body.into(), since });
                self.run_queued_reads(reading, id);
            }
            Some(opcode) if is_write(opcode) => {
                connection.queue(Pending::Write { xid, opcode, since, bytes: body.len() });
                let identities = connection.identities.clone();
                self.count_writes(id);
                let body = Bytes::copy_from_slice(body);
                if identities.len() > reads::FEW_IDENTITIES {
                    self.left = self.left.saturating_sub(UNITS_A_CHECK * identities.len());
                }
                outputs.push(Output::Request(Request::Write {
                    from,
                    session,
                    xid,
                    opcode,
                    body,
                    identities,
                }));
            }
            // At once, before what still waits, as ZooKeeper's I/O thread does.
            Some(Opcode::Auth) => match AuthPacket::decode(&mut Reader::new(body)) {
                Ok(packet) => self.on_auth(id, xid, &packet),
                Err(_) => return self.begin_close(id),
            },
            // What a server without SASL answers, at once: no token, no error. A null token is an exception there.
            Some(Opcode::Sasl) => match GetSaslRequest::decode(&mut Reader::new(body)) {
                Ok(GetSaslRequest { token: Some(_) }) => {
                    let nothing = SetSaslResponse { token: None };
                    encode_reply(&mut connection.output, xid, Zxid::ZERO, &nothing);
                    self.mark_dirty(id);
                }
                Ok(GetSaslRequest { token: None }) | Err(_) => return self.begin_close(id),
            },
            _ => {
                connection.queue(Pending::Refused { xid });
                self.run_queued_reads(reading, id);
            }
        }
        self.count_request(session, newly_touched);
    }

    fn count_request(&mut self, session: crate::base::SessionId, newly_touched: bool) {
        self.received += 1;
        if newly_touched {
            self.touched.push(session);
        }
    }

    /// An auth packet: the connection is somebody more from here on, or it is closed.
    fn on_auth(&mut self, id: ConnectionId, xid: i32, packet: &AuthPacket<'_>) {
        let super_digest = self.settings.super_digest.clone();
        let Some(connection) = self.connection(id) else { return };
        let ip = connection.identities.iter().find(|identity| identity.scheme == "ip");
        let ip = ip.expect("every connection begins with its address").clone();
        let shown = auth::authenticate(packet, &ip, super_digest.as_deref());
        let room = limits::IDENTITIES_MAX.saturating_sub(connection.identities.len());
        let fits = |shown: &Vec<Identity>| {
            shown.len() <= room && shown.iter().all(|shown| shown.id.len() <= limits::IDENTITY_BYTES_MAX)
        };
        let Some(shown) = shown.filter(fits) else {
            tracing::warn!(
                address = %connection.address, scheme = ?packet.scheme,
                "closing a connection: its auth packet has an unknown scheme, or is too long, or one too many"
            );
            encode_bare_reply(&mut connection.output, xid, Zxid::ZERO, ErrorCode::AuthFailed);
            self.tallies.auth_failures += 1;
            return self.begin_close(id);
        };
        let mut identities = connection.identities.to_vec();
        for identity in shown {
            if !identities.contains(&identity) {
                identities.push(identity);
            }
        }
        connection.identities = identities.into();
        encode_bare_reply(&mut connection.output, xid, Zxid::ZERO, ErrorCode::Ok);
        self.mark_dirty(id);
    }
}

/// A request that needs no transaction and that only the replica can answer. `None` if it can't be decoded.
fn to_the_replica(
    opcode: Opcode,
    body: &[u8],
    from: Client,
    session: crate::base::SessionId,
    xid: i32,
) -> Option<Request> {
    let mut reader = Reader::new(body);
    if opcode == Opcode::Sync {
        let body = echo_of_sync(&SyncRequest::decode(&mut reader).ok()?);
        return Some(Request::Sync { from, session, xid, body });
    }
    let request = GetEphemeralsRequest::decode(&mut reader).ok()?;
    let prefix = request.prefix_path.map_or(&[][..], |prefix| prefix.as_bytes());
    Some(Request::Ephemerals { from, session, xid, prefix: Bytes::copy_from_slice(prefix) })
}

fn is_get_ephemerals(frame: &[u8]) -> bool {
    let header = RequestHeader::decode(&mut Reader::new(frame));
    header.is_ok_and(|header| header.opcode == Opcode::GetEphemerals as i32)
}

/// Requests for the replica. Not deleteContainer, which is the server's own, nor check, which only a multi may hold:
/// these are as unknown here as a number without a name.
fn is_write(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Create
            | Opcode::Create2
            | Opcode::Delete
            | Opcode::SetData
            | Opcode::SetAcl
            | Opcode::CloseSession
            | Opcode::CreateContainer
            | Opcode::CreateTtl
            | Opcode::Multi
            | Opcode::Reconfig
    )
}

/// A createTTL without a TTL node's flags and without a time: a leader of Apache's takes it, and it ends every server of Apache's
/// that applies it. It is refused here, as the leader may be one.
fn is_poison(body: &[u8]) -> bool {
    CreateTtlRequest::decode(&mut Reader::new(body)).is_ok_and(|request| {
        request.ttl < 0 && CreateMode::from_flags(request.flags).is_some_and(|mode| !mode.is_ttl())
    })
}

/// The body of a sync's reply: its path as Java writes it, without what a client may have sent behind it.
fn echo_of_sync(request: &SyncRequest<'_>) -> Bytes {
    let mut out = Vec::new();
    match request.path {
        Some(path) => encode_bytes(&mut out, &java_text::echo(path.as_bytes())),
        None => SyncRequest { path: None }.encode(&mut out),
    }
    out.into()
}
