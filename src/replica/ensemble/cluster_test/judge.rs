//! What must be true of the whole, seen from outside: one history, written down as it is first applied anywhere.
//!
//! * The history only grows at its end, and every server applies it in its order without a gap: what was discarded never
//!   comes back, prefixes are equal. Equal zxid means equal bytes and an equal digest behind them, the one that the leader
//!   had foretold.
//! * What is applied for the first time is durable on a quorum. A leader that serves has all of it, unless a later one is there already. An
//!   epoch has one.
//!   What is behind a reconfiguration needs a quorum of the new configuration; itself, of both.
//! * The history makes sense (versions follow each other, parents and sessions exist, a session ends once and takes its
//!   ephemerals along), by a naive model that keeps every state of every znode.

use super::*;
use crate::tree::Owner;
use crate::wire::txn::{Entry, Txn, TxnHeader};
use crate::wire::{Decode, Reader};

struct Known {
    payload: Bytes,
    /// Behind it. Unknown of what a leader brought along.
    digest: Option<u64>,
    header: TxnHeader,
    err: i32,
}

/// A znode at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub data: Vec<u8>,
    pub version: i32,
    pub mzxid: Zxid,
    pub owner: Option<SessionId>,
}

#[derive(Debug)]
pub struct Life {
    pub opened: Zxid,
    pub closed: Option<Zxid>,
    pub timeout_ms: i32,
}

#[derive(Default)]
pub struct Judge {
    /// In the order in which they came into force; the first has no transaction.
    configs: Vec<Arc<Config>>,
    txns: BTreeMap<Zxid, Known>,
    nodes: BTreeMap<String, Vec<(Zxid, Option<State>)>>,
    pub sessions: BTreeMap<SessionId, Life>,
    /// Who has led which epoch, as which process.
    pub leaders: BTreeMap<Epoch, (usize, u64)>,
    /// The newest write that any client was told of.
    pub acked: Zxid,
    pub acked_writes: u64,
    /// When the newest acknowledged write of a session was asked for.
    pub heard: BTreeMap<SessionId, u64>,
}

/// What the history has begun with: the end of a session that nobody asked for.
pub struct Expired(pub SessionId);

/// What the transaction makes of the configuration.
pub fn reconfigured(payload: &[u8]) -> Option<Arc<Config>> {
    let Entry { txn, .. } = Entry::decode(&mut Reader::new(payload)).expect("it can be read");
    let Txn::Reconfig(set) = txn else { return None };
    let text = std::str::from_utf8(set.data.expect("a configuration")).expect("text");
    Some(Arc::new(Config::parse(text).expect("a configuration")))
}

impl Judge {
    pub fn new(first: Arc<Config>) -> Judge {
        Judge { configs: vec![first], ..Judge::default() }
    }

    pub fn first_config(&self) -> &Arc<Config> {
        &self.configs[0]
    }

    pub fn config(&self) -> &Arc<Config> {
        self.configs.last().expect("there is a first one")
    }

    /// In force for the transaction: what is behind a reconfiguration is committed by the new one.
    fn config_before(&self, zxid: Zxid) -> &Arc<Config> {
        let mut before = self.configs.iter().rev().filter(|config| Zxid(config.version()) < zxid);
        before.next().expect("the first one is version 0")
    }

    pub fn last(&self) -> Zxid {
        self.txns.last_key_value().map_or(Zxid::ZERO, |(zxid, _)| *zxid)
    }

    /// The newest, oldest first.
    pub fn last_zxids(&self, count: usize) -> Vec<Zxid> {
        self.txns.keys().copied().skip(self.txns.len().saturating_sub(count)).collect()
    }

    pub fn knows(&self, zxid: Zxid) -> bool {
        self.txns.contains_key(&zxid)
    }

    pub fn digest(&self, zxid: Zxid) -> Option<u64> {
        self.txns.get(&zxid).and_then(|known| known.digest)
    }

    /// A server went from `before` to `zxid` by this transaction.
    pub fn on_applied(
        &mut self,
        server: usize,
        before: Zxid,
        zxid: Zxid,
        payload: &Bytes,
        digest: Option<u64>,
    ) -> Option<Expired> {
        if let Some((between, _)) = self.txns.range(before.next()..).next().filter(|(next, _)| **next < zxid)
        {
            panic!("server {server} applies {zxid} behind {before}, and {between} is between");
        }
        if let Some(known) = self.txns.get_mut(&zxid) {
            assert!(known.payload == payload, "{zxid} is another transaction at server {server}");
            known.digest = known.digest.or(digest);
            assert!(known.digest == digest, "server {server}'s tree differs at {zxid}");
            return None;
        }
        let last = self.last();
        assert!(zxid > last, "server {server} applies {zxid}, which was not there when {last} was applied");
        let Entry { header, txn, .. } =
            Entry::decode(&mut Reader::new(payload)).expect("the history can be read");
        assert!(header.zxid == zxid);
        let err = if let Txn::Error(error) = &txn { error.err } else { 0 };
        let expired = self.advance(&header, &txn);
        self.txns.insert(zxid, Known { payload: payload.clone(), digest, header, err });
        expired
    }

    fn advance(&mut self, header: &TxnHeader, txn: &Txn<'_>) -> Option<Expired> {
        let (zxid, session) = (header.zxid, header.client_id);
        let text = |path: &crate::wire::Text<'_>| path.to_str_lossy().into_owned();
        match txn {
            Txn::CreateSession(txn) => {
                let life = Life { opened: zxid, closed: None, timeout_ms: txn.timeout_ms };
                let before = self.sessions.insert(session, life);
                assert!(before.is_none(), "session {session} is opened twice, again at {zxid}");
            }
            Txn::CloseSession(_) => {
                let owned = self.owned_by(session);
                let life = self.sessions.get_mut(&session);
                let life = life.unwrap_or_else(|| panic!("{zxid} closes session {session}, which never was"));
                assert!(life.closed.is_none(), "session {session} ends twice: {life:?}, and at {zxid}");
                life.closed = Some(zxid);
                for path in owned {
                    self.change(path, zxid, None);
                }
                return (header.cxid == 0).then_some(Expired(session));
            }
            Txn::Create(create) | Txn::Create2(create) => {
                let path = text(&create.path);
                assert!(self.at(&path, zxid).is_none(), "{zxid} creates {path}, which is there");
                let owner = create.ephemeral.then_some(session);
                let lives = self.sessions.get(&session).is_some_and(|life| life.closed.is_none());
                assert!(lives, "{zxid} creates {path} for session {session}, which is over");
                let data = create.data.unwrap_or_default().to_vec();
                self.change(path, zxid, Some(State { data, version: 0, mzxid: zxid, owner }));
            }
            Txn::Delete(delete) => {
                let path = text(&delete.path);
                assert!(self.at(&path, zxid).is_some(), "{zxid} deletes {path}, which is not there");
                self.change(path, zxid, None);
            }
            Txn::SetData(set) => {
                let path = text(&set.path);
                let Some(state) = self.at(&path, zxid).cloned() else {
                    panic!("{zxid} sets {path}, which is not there")
                };
                assert!(
                    set.version == state.version + 1,
                    "{zxid} makes version {} of {state:?}",
                    set.version
                );
                let data = set.data.unwrap_or_default().to_vec();
                self.change(path, zxid, Some(State { data, version: set.version, mzxid: zxid, ..state }));
            }
            Txn::Multi(multi) => {
                for sub in multi.iter() {
                    self.advance(header, &sub.0);
                }
            }
            Txn::Reconfig(set) => {
                let text = std::str::from_utf8(set.data.expect("a configuration")).expect("text");
                let config = Config::parse(text).expect("a configuration");
                assert!(config.version() == zxid.0, "{zxid} makes version {:x}", config.version());
                self.configs.push(Arc::new(config));
            }
            Txn::Error(_) => {}
            other => panic!("nobody asked for {other:?}"),
        }
        None
    }

    fn change(&mut self, path: String, zxid: Zxid, state: Option<State>) {
        self.nodes.entry(path).or_default().push((zxid, state));
    }

    /// The znode as of `zxid`.
    pub fn at(&self, path: &str, zxid: Zxid) -> Option<&State> {
        let states = self.nodes.get(path)?;
        let behind = states.partition_point(|(at, _)| *at <= zxid);
        states[..behind].last().and_then(|(_, state)| state.as_ref())
    }

    /// The first change of the znode in (after, to].
    pub fn change_in(&self, path: &str, after: Zxid, to: Zxid) -> Option<Zxid> {
        let states = self.nodes.get(path)?;
        states.iter().map(|(zxid, _)| *zxid).find(|zxid| *zxid > after && *zxid <= to)
    }

    fn owned_by(&self, session: SessionId) -> Vec<String> {
        let last = |states: &Vec<(Zxid, Option<State>)>| states.last().and_then(|(_, state)| state.clone());
        let owned = self
            .nodes
            .iter()
            .filter(|(_, states)| last(states).is_some_and(|state| state.owner == Some(session)));
        owned.map(|(path, _)| path.clone()).collect()
    }

    pub fn owned_at(&self, session: SessionId, zxid: Zxid) -> BTreeSet<String> {
        let is_owned = |path: &&String| self.at(path, zxid).is_some_and(|state| state.owner == Some(session));
        self.nodes.keys().filter(is_owned).cloned().collect()
    }

    /// A client was told this of its write.
    pub fn on_acknowledged(&self, zxid: Zxid, session: SessionId, xid: i32, err: i32) {
        let Some(Known { header, err: logged, .. }) = self.txns.get(&zxid) else {
            panic!("{session} was told of {zxid}, which nobody has applied")
        };
        let same = (header.client_id, header.cxid, *logged) == (session, xid, err);
        assert!(same, "{session} xid {xid} was told {err} of {zxid}, which is {header:?} with {logged}");
    }

    /// The tree of a server that has applied everything.
    pub fn check_tree(&self, server: usize, replica: &Replica) {
        assert!(replica.applied() == self.last(), "server {server} has come to {}", replica.applied());
        assert!(Some(replica.store().digest()) == self.digest(self.last()), "server {server} differs");
        for (path, states) in &self.nodes {
            let (zxid, state) = states.last().expect("a node has a state");
            let found = replica.store().find(path.as_bytes()).map(|(_, node)| State {
                data: node.data().unwrap_or_default().to_vec(),
                version: node.version,
                mzxid: Zxid(node.mzxid),
                owner: node.ephemeral_owner(),
            });
            assert!(found == *state, "server {server}: {path} is {found:?}, and at {zxid} was {state:?}");
        }
        let open: BTreeSet<SessionId> =
            self.sessions.iter().filter(|(_, life)| life.closed.is_none()).map(|(id, _)| *id).collect();
        let found: BTreeSet<SessionId> = replica.sessions().list().into_iter().map(|(id, _)| id).collect();
        assert!(found == open, "server {server} has sessions {found:?}, open are {open:?}");
    }
}

impl World {
    pub fn on_applied(&mut self, node: usize, zxid: Zxid, digest: u64) {
        self.hash.add(&[2, node as u64, zxid.0 as u64, digest]);
        let found = &mut self.nodes[node];
        let mismatches = found.replica().map_or(0, |replica| replica.facts().digest_mismatches);
        assert!(mismatches == 0, "server {}: its leader's digest is another one behind {zxid}", node + 1);
        let before = std::mem::replace(&mut found.applied, zxid);
        if let Some(snapshot) = found.disk.walking {
            found.overlaps.push((snapshot, zxid));
        }
        let payload = found.log.get(&zxid).cloned();
        let payload = payload.unwrap_or_else(|| panic!("server {} applies {zxid}, unlogged", node + 1));
        let is_new = !self.judge.knows(zxid);
        if is_new && self.plan.taps {
            let holds = |other: &Node| {
                let same = other.log.get(&zxid).is_none_or(|found| *found == payload);
                other.is_wiped || other.durable >= zxid && same
            };
            let holders = self.nodes.iter().enumerate().filter(|(_, other)| holds(other));
            let holders = holders.map(|(at, _)| ServerId(at as i64 + 1)).collect();
            // Those of the configuration that it ends, and of the one that it begins.
            let configs = [Some(self.judge.config_before(zxid).clone()), reconfigured(&payload)];
            for config in configs.iter().flatten() {
                assert!(
                    config.has_quorum(&holders),
                    "{zxid} is applied, {holders} have it, and of {} that is no quorum",
                    config.voters()
                );
            }
        }
        self.bring(node, before);
        let expired = self.judge.on_applied(node + 1, before, zxid, &payload, Some(digest));
        if let Some(Expired(session)) = expired {
            self.on_expired(session, zxid);
        }
    }

    /// Its end is in somebody's log and not applied yet, or is being proposed: its leader lets nobody have it any more.
    pub fn is_closing(&self, session: SessionId) -> bool {
        let is_logged = self.logged.range(self.judge.last().next()..).any(|(_, payload)| {
            let entry = Entry::decode(&mut Reader::new(payload)).expect("it can be read");
            entry.header.client_id == session && matches!(entry.txn, Txn::CloseSession(_))
        });
        let is_marked = |replica: &Replica| {
            let sessions = replica.sessions();
            let nobody = Owner::Server(ServerId(0));
            sessions.list().iter().any(|(id, _)| *id == session)
                && sessions.check(session, nobody, false) == Err(ErrorCode::SessionExpired)
        };
        is_logged || self.nodes.iter().filter_map(Node::replica).any(is_marked)
    }

    /// What it had in its log when it started, and is now known to be committed, is history up to here.
    fn bring(&mut self, node: usize, to: Zxid) {
        let last = self.judge.last();
        let all = self.nodes[node].log.iter().filter(|(zxid, _)| **zxid > last && **zxid <= to);
        let brought: Vec<(Zxid, Bytes)> = all.map(|(zxid, payload)| (*zxid, payload.clone())).collect();
        for (zxid, payload) in brought {
            let expired = self.judge.on_applied(node + 1, self.judge.last(), zxid, &payload, None);
            if let Some(Expired(session)) = expired {
                self.on_expired(session, zxid);
            }
        }
    }

    /// Sessions live as long as they were promised to, from the last time that the leader must have heard of them.
    fn on_expired(&mut self, session: SessionId, zxid: Zxid) {
        let life = &self.judge.sessions[&session];
        let timeout = life.timeout_ms as u64 * 1_000_000;
        let fastest = self.nodes.iter().map(|node| node.rate).max().unwrap_or(1000);
        let silence = self.judge.heard.get(&session).map_or(u64::MAX, |heard| self.now - heard);
        assert!(
            silence >= timeout / fastest * 1000,
            "session {session} expires at {zxid}, {} ms after it was heard of",
            silence / 1_000_000
        );
        let holds = |person: &&Person| person.session == session && person.is_on();
        if let Some(person) = self.people.iter().find(holds) {
            let since = self.now - person.on_since.max(self.calm_since);
            assert!(since < 3 * timeout, "session {session} expires at {zxid}, and its client is here");
        }
    }

    /// It begins to serve clients.
    pub fn on_serving(&mut self, node: usize) {
        let found = &self.nodes[node];
        let (Some(replica), life, epoch) = (found.replica(), found.life, found.epoch()) else { return };
        let (last, applied) = (self.judge.last(), replica.applied());
        if found.leads() {
            let first = *self.judge.leaders.entry(epoch).or_insert((node, life));
            assert!(first == (node, life), "servers {} and {} lead {epoch:?}", first.0 + 1, node + 1);
            // One of an epoch that is over may hear of its quorum late. It learns that, and commits nothing.
            let is_over = self.judge.leaders.range(epoch..).nth(1).is_some();
            assert!(
                applied >= last || is_over,
                "server {} leads {epoch:?} from {applied}, and {last} is committed",
                node + 1
            );
        }
        self.bring(node, applied);
        let found = &self.nodes[node];
        let Some(replica) = found.replica() else { return };
        if let Some(digest) = self.judge.digest(applied) {
            assert!(
                digest == replica.store().digest(),
                "server {} serves another tree at {applied}",
                node + 1
            );
        }
        self.nodes[node].applied = applied;
    }

    /// Who was wiped, or is new, and has it all by now.
    pub fn look_for_histories(&mut self) {
        let last = self.judge.last();
        for node in &mut self.nodes {
            if !node.has_history && node.serves && node.durable >= last && last > Zxid::ZERO {
                (node.has_history, node.is_wiped) = (true, false);
            }
        }
    }
}
