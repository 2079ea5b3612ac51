//! The witness: what the server logged, in zxid order, and what it had promised at every moment.
//!
//! Fed from outside: with every group that goes to the disk, every request a client sent, and every reply that left the
//! server. From the log it drives the [`Model`]; what the log says must be what the model says the requests do.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::{SessionId, WallMillis, Zxid};
use crate::wire::txn::{Txn, TxnHeader};
use crate::wire::{Decode, ErrorCode, Reader, Text};

use super::model::{Model, Outcome, Rules};
use super::operation::Operation;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub check: &'static str,
    pub detail: String,
}

pub type Checked<T = ()> = Result<T, Violation>;

pub fn violation<T>(check: &'static str, detail: String) -> Checked<T> {
    Err(Violation { check, detail })
}

/// One request that a client sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub operation: Operation,
    /// What any client had been told of by then.
    pub told: Zxid,
    /// The digests that the connection had shown.
    pub users: Vec<String>,
}

/// One logged transaction.
#[derive(Clone, Debug)]
pub struct Record {
    pub session: SessionId,
    pub cxid: i32,
    pub payload: Bytes,
    pub outcome: Outcome,
}

/// When a session was heard of, for the check that none expires early.
#[derive(Clone, Copy, Debug)]
struct Heard {
    timeout_ns: u64,
    /// The smallest that was ever agreed on: a start may fall back to it, as a resumed session's new one is not logged.
    timeout_ns_min: u64,
    last_ns: u64,
    /// End of the last long silence.
    silent_until_ns: u64,
    /// There was one since the last group went to the disk: an expiry decided then may be logged only now.
    was_silent: bool,
}

pub struct History {
    pub model: Model,
    records: Vec<Record>,
    sent: BTreeMap<(SessionId, i32), Sent>,
    /// Zxid of each logged request.
    logged: BTreeMap<(SessionId, i32), Zxid>,
    last_cxid: BTreeMap<SessionId, i32>,
    heard: BTreeMap<SessionId, Heard>,
    /// Every zxid that left the server in a reply or event, or was durable when a start ended.
    pub promised: Zxid,
    /// What any client has received.
    pub told: Zxid,
    /// Silence that makes an expiry plausible although the session was heard of a moment ago: news travel in batches.
    pub news_ns: u64,
    stalled_until_ns: u64,
    /// Sessions that expired, and nodes that the reaper deleted.
    pub expired: u64,
    pub reaped: u64,
}

impl History {
    pub fn new(rules: Rules, news_ns: u64) -> History {
        let root =
            Record { session: SessionId::NONE, cxid: 0, payload: Bytes::new(), outcome: Outcome::Deleted };
        History {
            model: Model::new(rules),
            records: vec![root],
            sent: BTreeMap::new(),
            logged: BTreeMap::new(),
            last_cxid: BTreeMap::new(),
            heard: BTreeMap::new(),
            promised: Zxid::ZERO,
            told: Zxid::ZERO,
            news_ns,
            stalled_until_ns: 0,
            expired: 0,
            reaped: 0,
        }
    }

    pub fn last(&self) -> Zxid {
        self.model.last()
    }

    pub fn record(&self, zxid: Zxid) -> Option<&Record> {
        self.records.get(usize::try_from(zxid.0).ok()?).filter(|_| zxid > Zxid::ZERO)
    }

    /// Where this request is in the log, if it is.
    pub fn zxid_of(&self, session: SessionId, cxid: i32) -> Option<Zxid> {
        self.logged.get(&(session, cxid)).copied()
    }

    pub fn on_sent(&mut self, session: SessionId, cxid: i32, operation: Operation, users: Vec<String>) {
        let told = self.told;
        self.sent.insert((session, cxid), Sent { operation, told, users });
    }

    /// A packet of this session was handed to the server.
    pub fn on_heard(&mut self, session: SessionId, now_ns: u64, timeout_ms: i32) {
        let heard = self.heard.entry(session);
        let timeout_ns = u64::try_from(timeout_ms).unwrap_or(0) * 1_000_000;
        let heard = heard.or_insert(Heard {
            timeout_ns,
            timeout_ns_min: timeout_ns,
            last_ns: now_ns,
            silent_until_ns: now_ns,
            was_silent: false,
        });
        heard.timeout_ns = timeout_ns;
        heard.timeout_ns_min = heard.timeout_ns_min.min(timeout_ns);
        if now_ns.saturating_sub(heard.last_ns) > heard.timeout_ns / 2 {
            heard.silent_until_ns = now_ns;
            heard.was_silent = true;
        }
        heard.last_ns = heard.last_ns.max(now_ns);
    }

    /// The server process stands still from `now_ns` on: nobody can be heard for `gap_ns`. It counts as one tick of silence.
    pub fn on_stall(&mut self, now_ns: u64, gap_ns: u64, tick_ns: u64) {
        // Stall upon stall: a tick of each, before the news of those who were heard in between has gone round.
        let again = now_ns.saturating_sub(self.stalled_until_ns) <= self.news_ns;
        self.stalled_until_ns = now_ns + gap_ns;
        for heard in self.heard.values_mut() {
            heard.last_ns += gap_ns.saturating_sub(tick_ns);
            heard.silent_until_ns += gap_ns.saturating_sub(tick_ns);
            if again {
                heard.silent_until_ns = now_ns + gap_ns;
            }
        }
    }

    /// A (new) server process counts from zero.
    pub fn on_start(&mut self, now_ns: u64) {
        for heard in self.heard.values_mut() {
            heard.last_ns = now_ns;
            heard.silent_until_ns = now_ns;
            heard.timeout_ns = heard.timeout_ns_min;
        }
    }

    /// A group of records on its way to the disk: the layout is in `log/entry.rs`, read here once more. `wall`: the span
    /// of the wall clock since the last group.
    pub fn on_group(&mut self, group: &[u8], now_ns: u64, wall: (WallMillis, WallMillis)) -> Checked {
        let mut at = 64;
        while at < group.len() {
            let payload_bytes = u32::from_le_bytes(array(&group[at + 4..])) as usize;
            let zxid = Zxid(i64::from_le_bytes(array(&group[at + 8..])));
            let payload = &group[at + 20..at + 20 + payload_bytes];
            if zxid <= self.last() {
                self.check_same(zxid, payload)?; // a repair copies the tail
            } else {
                self.on_transaction(zxid, payload, now_ns, wall)?;
            }
            at += 20 + payload_bytes;
        }
        self.heard.values_mut().for_each(|heard| heard.was_silent = false);
        Ok(())
    }

    /// Equal zxid means equal transaction, for ever.
    pub fn check_same(&self, zxid: Zxid, payload: &[u8]) -> Checked {
        match self.record(zxid) {
            Some(record) if record.payload == payload => Ok(()),
            Some(record) => violation(
                "one transaction per zxid",
                format!("{zxid} was {:02x?} and is {payload:02x?}", &record.payload[..]),
            ),
            None => violation("no garbage", format!("{zxid} appears, which was never logged")),
        }
    }

    fn on_transaction(
        &mut self,
        zxid: Zxid,
        payload: &[u8],
        now_ns: u64,
        wall: (WallMillis, WallMillis),
    ) -> Checked {
        if zxid != self.last().next() {
            return violation("zxids are dense", format!("{zxid} follows {}", self.last()));
        }
        let mut reader = Reader::new(payload);
        let decoded = TxnHeader::decode(&mut reader)
            .and_then(|header| Txn::decode(header.kind, &mut reader).map(|txn| (header, txn)));
        let Ok((header, txn)) = decoded else {
            return violation("transactions decode", format!("{zxid}: {payload:02x?}"));
        };
        if header.zxid != zxid {
            return violation("transactions decode", format!("{zxid} calls itself {}", header.zxid));
        }
        if header.time < wall.0.min(wall.1) || header.time > wall.0.max(wall.1) {
            return violation(
                "times come from the wall clock",
                format!("{zxid}: {:?} is not within {wall:?}", header.time),
            );
        }
        let (session, cxid) = (header.client_id, header.cxid);
        let outcome = match &txn {
            Txn::CreateSession(_) => {
                if self.model.sessions.contains_key(&session) {
                    return violation("session ids are unique", format!("{zxid} opens {session} again"));
                }
                self.model.open_session(session)
            }
            Txn::CloseSession(_) if cxid == 0 => {
                self.check_expiry(zxid, session, now_ns)?;
                self.expired += 1;
                self.model.decide(session, header.time, &Operation::CloseSession, &[])
            }
            Txn::DeleteContainer(delete) if session == SessionId::NONE && cxid == 0 => {
                match self.model.reap(header.time, delete.path.as_bytes()) {
                    Ok(outcome) => {
                        self.reaped += 1;
                        outcome
                    }
                    Err(why) => {
                        let what = format!("{zxid} deletes {}: {why}", delete.path);
                        return violation("containers and TTL nodes go in their time", what);
                    }
                }
            }
            _ => {
                let Some(sent) = self.sent.get(&(session, cxid)) else {
                    return violation("no garbage", format!("{zxid}: nobody sent xid {cxid} of {session}"));
                };
                if let Some(before) = self.logged.get(&(session, cxid)) {
                    return violation(
                        "a request happens once",
                        format!("xid {cxid} of {session} is {before} and {zxid}"),
                    );
                }
                if zxid <= sent.told {
                    return violation(
                        "linearizable writes",
                        format!("xid {cxid} of {session} got {zxid}, sent after {} was told", sent.told),
                    );
                }
                let (operation, users) = (sent.operation.clone(), sent.users.clone());
                self.logged.insert((session, cxid), zxid);
                let outcome = self.model.decide(session, header.time, &operation, &users);
                let last = self.last_cxid.entry(session).or_insert(cxid);
                // What the connection before still had under way may be refused late, for its form alone.
                if *last > cxid && outcome.has_effect() {
                    return violation(
                        "session order",
                        format!("{zxid}: xid {cxid} of {session} after its xid {last}"),
                    );
                }
                *last = cxid.max(*last);
                outcome
            }
        };
        if let Err(why) = agrees(&txn, &outcome) {
            return violation(
                "the model decides the same",
                format!("{zxid}, xid {cxid} of {session}: logged {txn:?}, the model says {outcome:?}: {why}"),
            );
        }
        let payload = Bytes::copy_from_slice(payload);
        self.records.push(Record { session, cxid, payload, outcome });
        Ok(())
    }

    fn check_expiry(&self, zxid: Zxid, session: SessionId, now_ns: u64) -> Checked {
        if !self.model.is_alive(session) {
            return violation("sessions end once", format!("{zxid} closes {session}, which is closed"));
        }
        let Some(heard) = self.heard.get(&session) else { return Ok(()) };
        let silence = now_ns.saturating_sub(heard.last_ns);
        let late_news = now_ns.saturating_sub(heard.silent_until_ns) <= self.news_ns;
        if silence < heard.timeout_ns / 2 && !late_news && !heard.was_silent {
            return violation(
                "no session expires early",
                format!(
                    "{zxid}: {session} with {} ms was heard of {} ms ago",
                    heard.timeout_ns / 1_000_000,
                    silence / 1_000_000
                ),
            );
        }
        Ok(())
    }

    /// What a start found: every entry behind the snapshot, the last zxid.
    pub fn check_recovered<'a>(
        &self,
        snapshot: Zxid,
        entries: impl Iterator<Item = (Zxid, &'a [u8])>,
        last: Zxid,
        floor: Zxid,
    ) -> Checked {
        if last < floor {
            return violation(
                "acknowledged is durable",
                format!("the log ends at {last}, but {floor} was promised"),
            );
        }
        if snapshot > self.last() {
            return violation("no garbage", format!("a snapshot of {snapshot}, which was never logged"));
        }
        let mut expected = snapshot;
        for (zxid, payload) in entries {
            expected = expected.next();
            if zxid != expected {
                return violation("no gaps", format!("{zxid} is recovered where {expected} belongs"));
            }
            self.check_same(zxid, payload)?;
        }
        if expected != last {
            return violation("no gaps", format!("entries end at {expected}, the log says {last}"));
        }
        Ok(())
    }

    /// The server goes on from here; what was logged behind it never happened.
    pub fn truncate(&mut self, last: Zxid) {
        self.model.truncate(last);
        self.records.truncate(last.0 as usize + 1);
        self.logged.retain(|_, zxid| *zxid <= last);
        self.last_cxid.clear();
        for &(session, cxid) in self.logged.keys() {
            let newest = self.last_cxid.entry(session).or_insert(cxid);
            *newest = (*newest).max(cxid);
        }
        self.promised = self.promised.max(last);
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("the group was framed by the writer")
}

/// Does the log say what the model says?
fn agrees(txn: &Txn<'_>, outcome: &Outcome) -> Result<(), &'static str> {
    let same = match (txn, outcome) {
        (Txn::CreateSession(_), Outcome::SessionOpened) => true,
        (Txn::CloseSession(Some(paths)), Outcome::SessionClosed(expected)) => {
            paths.len() == expected.len()
                && paths.iter().map(Text::as_bytes).zip(expected).all(|(path, expected)| path == expected)
        }
        (Txn::Create(create), Outcome::Created { path, stat, with_stat: false })
        | (Txn::Create2(create), Outcome::Created { path, stat, with_stat: true }) => {
            create.path.as_bytes() == path && create.ephemeral == (stat.ephemeral_owner != SessionId::NONE)
        }
        (Txn::CreateContainer(create), Outcome::Created { path, .. }) => create.path.as_bytes() == path,
        (Txn::CreateTtl(create), Outcome::Created { path, .. }) => create.path.as_bytes() == path,
        (Txn::Multi(txns), Outcome::Multi(outcomes)) => {
            txns.len() == outcomes.len()
                && txns.iter().zip(outcomes).all(|(txn, outcome)| agrees(&txn.0, outcome).is_ok())
        }
        (Txn::Check(_), Outcome::Checked) | (Txn::DeleteContainer(_), Outcome::Deleted) => true,
        (Txn::Delete(_), Outcome::Deleted) => true,
        (Txn::SetData(set), Outcome::Changed(stat)) => set.version == stat.version,
        (Txn::SetAcl(set), Outcome::Changed(stat)) => set.version == stat.aversion,
        (Txn::Error(error), Outcome::Error(expected)) => error.code() == *expected,
        (Txn::Error(error), Outcome::NoSession) => {
            matches!(error.code(), ErrorCode::SessionExpired | ErrorCode::UnknownSession)
        }
        // Closing a session that is over closes nothing.
        (Txn::CloseSession(paths), Outcome::NoSession) => paths.is_none_or(|paths| paths.is_empty()),
        _ => false,
    };
    if same { Ok(()) } else { Err("they differ") }
}
