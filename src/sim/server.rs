//! One life of a server process: the replica, its shards, and the threads they run on.
//!
//! With one shard everything runs in one loop (`one_loop.rs`). With more, the replica and each shard have a loop of
//! their own with bounded rings between them (`many_loops.rs`), whose turns are cut into steps that `world` lets run in
//! any order that real threads could have. Both do what room `server` does, in the same order: what a driver owes the
//! core is part of what is tested. Here is what both share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::base::{ConnectionId, Instant, Now, Prng, ShardId, Zxid};
use crate::log;
use crate::messages::{Changes, Identity, Notice, Request};
use crate::replica::{self, Replica, SnapshotCommand};
use crate::shard::{self, Shard};
use crate::tree::{self, Reader};

use super::identity;
use super::many_loops::{ReplicaStage, ShardStage};
use super::plan::{Canary, Shape};

/// What a shard's loop has received and not yet taken.
#[derive(Debug)]
pub enum Arrival {
    Accepted { connection: ConnectionId },
    Received { connection: ConnectionId, bytes: Vec<u8> },
    Sent { connection: ConnectionId, buffer: Vec<u8> },
    Ended { connection: ConnectionId },
    Closed { connection: ConnectionId },
}

/// What the world has to carry out.
#[derive(Debug)]
pub enum Effect {
    Log(log::Command),
    Snapshot(SnapshotCommand),
    Send {
        shard: usize,
        connection: ConnectionId,
        bytes: Vec<u8>,
    },
    Pause {
        shard: usize,
        connection: ConnectionId,
    },
    Resume {
        shard: usize,
        connection: ConnectionId,
    },
    Close {
        shard: usize,
        connection: ConnectionId,
        /// Without waiting for what is being sent.
        at_once: bool,
        /// Others need the room.
        for_room: bool,
    },
    /// These bytes were handed to the shard: their session was heard of.
    Heard {
        shard: usize,
        connection: ConnectionId,
    },
    Published {
        zxid: Zxid,
    },
}

pub(super) struct Lane {
    pub shard: Shard,
    pub arrivals: VecDeque<Arrival>,
    /// The ring to the replica, and what found it full.
    pub requests: VecDeque<Request>,
    pub held: VecDeque<Request>,
    pub notices: VecDeque<Arc<Notice>>,
    pub stage: ShardStage,
    /// The version that was published when this turn began to drain the ring.
    pub seen: Zxid,
    /// When it looks again whether the replica's ring has room.
    pub retry: Option<Instant>,
}

pub struct Server {
    pub replica: Replica,
    pub(super) lanes: Vec<Lane>,
    /// One reader more than there are shards: the auditor's.
    pub auditor: Reader,
    /// For the replica, from the disk.
    pub inputs: VecDeque<replica::Input>,
    /// The replica's, several loops only.
    pub(super) outputs: VecDeque<replica::Output>,
    /// Applied, all notices handed out, and not published yet.
    pub(super) unpublished: Option<Zxid>,
    pub(super) stage: ReplicaStage,
    /// When the replica looks again whether the shards' rings have room.
    pub(super) retry: Option<Instant>,
    pub(super) prng: Prng,
    pub(super) ring: usize,
    pub(super) request_ring: usize,
    pub(super) canary: Option<Canary>,
    address: std::net::SocketAddr,
    /// Inputs taken, for the check that nobody spins.
    pub work: u64,
    /// Watches, at the most, of connections whose end their shard hasn't heard of.
    pub leaving: BTreeMap<(usize, ConnectionId), u64>,
}

impl Server {
    pub fn new(
        start: replica::Start,
        settings: &shard::Settings,
        now: Now,
        prng: Prng,
        shape: &Shape,
        canary: Option<Canary>,
    ) -> Server {
        let replica::Start { replica, mut readers, history: _ } = start;
        let auditor = readers.pop().expect("one reader more than there are shards");
        let lanes = readers.into_iter().enumerate().map(|(index, reader)| Lane {
            shard: Shard::new(ShardId(index as u16), settings.clone(), reader, now),
            arrivals: VecDeque::new(),
            requests: VecDeque::new(),
            held: VecDeque::new(),
            notices: VecDeque::new(),
            stage: ShardStage::Asleep,
            seen: Zxid::ZERO,
            retry: None,
        });
        Server {
            replica,
            lanes: lanes.collect(),
            auditor,
            inputs: VecDeque::new(),
            outputs: VecDeque::new(),
            unpublished: None,
            stage: ReplicaStage::Asleep,
            retry: None,
            prng,
            ring: shape.ring,
            request_ring: shape.request_ring,
            canary,
            address: std::net::SocketAddr::from((identity::ADDRESS, 40_000)),
            work: 0,
            leaving: BTreeMap::new(),
        }
    }

    pub fn arrive(&mut self, shard: usize, arrival: Arrival) {
        self.lanes[shard].arrivals.push_back(arrival);
    }

    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.lanes.iter().map(|lane| &lane.shard)
    }

    pub(super) fn is_one_loop(&self) -> bool {
        self.lanes.len() == 1
    }

    /// Threads: one, or the replica's and one per shard.
    pub fn threads(&self) -> usize {
        if self.is_one_loop() { 1 } else { 1 + self.lanes.len() }
    }

    /// When this thread wants to be woken by the clock. A thread in the middle of a turn doesn't: it goes on anyway.
    pub fn next_wakeup(&self, thread: usize) -> Option<Instant> {
        if self.is_one_loop() {
            let both = [self.replica.next_wakeup(), self.lanes[0].shard.next_wakeup()];
            return both.into_iter().flatten().min();
        }
        let (asleep, wakeups) = match thread.checked_sub(1).map(|index| &self.lanes[index]) {
            None => (self.stage == ReplicaStage::Asleep, [self.replica.next_wakeup(), self.retry]),
            Some(lane) => (lane.stage == ShardStage::Asleep, [lane.shard.next_wakeup(), lane.retry]),
        };
        wakeups.into_iter().flatten().min().filter(|_| asleep)
    }

    /// Is there something for this thread to do now, whatever the clock says?
    pub fn is_busy(&self, thread: usize) -> bool {
        if self.is_one_loop() {
            return !self.inputs.is_empty()
                || self.replica.has_work()
                || self.replica.has_open_group()
                || (!self.lanes[0].arrivals.is_empty() && self.replica.takes_requests());
        }
        match thread.checked_sub(1).map(|index| &self.lanes[index]) {
            None => self.stage != ReplicaStage::Asleep || self.has_replica_work(),
            Some(lane) => lane.stage != ShardStage::Asleep || lane.has_work(),
        }
    }

    fn has_replica_work(&self) -> bool {
        !self.outputs.is_empty()
            || !self.inputs.is_empty()
            || (self.retry.is_none() && self.replica.has_work())
            || (self.replica.takes_requests() && self.lanes.iter().any(|lane| !lane.requests.is_empty()))
    }

    /// What each thread still has to do, for a message.
    pub fn business(&self) -> String {
        let lanes = self.lanes.iter().map(|lane| {
            format!(
                "{:?}, {} + {} requests, {} arrivals, {} notices, published {} acted {}",
                lane.stage,
                lane.requests.len(),
                lane.held.len(),
                lane.arrivals.len(),
                lane.notices.len(),
                lane.shard.published(),
                lane.shard.version()
            )
        });
        let lanes = lanes.collect::<Vec<_>>().join("; ");
        format!("{:?}, {} outputs, {} inputs; {lanes}", self.stage, self.outputs.len(), self.inputs.len())
    }

    /// What this connection asked for first isn't answered yet.
    pub fn is_undecided(&self, shard: usize, connection: ConnectionId) -> bool {
        let lane = &self.lanes[shard];
        let of_it = |arrival: &Arrival| matches!(arrival, Arrival::Received { connection: of, .. } if *of == connection);
        let asks = |found: &crate::shard::Connection| {
            found.id == connection
                && matches!(found.phase, shard::Phase::Greeting | shard::Phase::Connecting { .. })
        };
        lane.arrivals.iter().any(of_it) || lane.shard.connections().any(asks)
    }

    /// A shard is about to hear of something, or of what it asked.
    pub fn tells_something(&self) -> bool {
        !self.outputs.is_empty()
            || self.unpublished.is_some()
            || self
                .lanes
                .iter()
                .any(|lane| !lane.notices.is_empty() || lane.shard.published() > lane.shard.version())
    }

    /// Nothing is on its way between the threads.
    pub fn is_idle(&self) -> bool {
        // Heartbeats begin turns that find nothing to do; where the steps are slow, somebody is always in one.
        let replica_idle = if self.is_one_loop() { !self.is_busy(0) } else { !self.has_replica_work() };
        let unsent = |lane: &Lane| lane.shard.connections().any(|connection| !connection.output.is_empty());
        let lane_idle = |lane: &Lane| !lane.has_work() && lane.held.is_empty() && !unsent(lane);
        replica_idle && self.replica.is_idle() && self.lanes.iter().all(lane_idle)
    }

    /// One turn of the only loop, or one step of one of several.
    pub fn step(&mut self, thread: usize, now: Now, effects: &mut Vec<Effect>) {
        if self.is_one_loop() {
            self.turn(now, effects);
        } else if thread == 0 {
            self.replica_step(now, effects);
        } else {
            self.shard_step(thread - 1, now, effects);
        }
    }

    /// Hands an arrival to its shard.
    pub(super) fn take(
        &mut self,
        index: usize,
        arrival: Arrival,
        now: Now,
        outputs: &mut Vec<shard::Output>,
        effects: &mut Vec<Effect>,
    ) {
        self.work += 1;
        let address = self.address;
        let shard = &mut self.lanes[index].shard;
        match arrival {
            Arrival::Accepted { connection } => {
                shard.step(now, shard::Input::Accepted { connection, address }, outputs);
            }
            Arrival::Received { connection, bytes } => {
                effects.push(Effect::Heard { shard: index, connection });
                shard.step(now, shard::Input::Received { connection, bytes: &bytes }, outputs);
            }
            Arrival::Sent { connection, buffer } => {
                shard.step(now, shard::Input::Sent { connection, buffer }, outputs);
            }
            Arrival::Ended { connection } => shard.step(now, shard::Input::Ended { connection }, outputs),
            Arrival::Closed { connection } => {
                shard.step(now, shard::Input::Closed { connection }, outputs);
                self.leaving.remove(&(index, connection));
            }
        }
    }

    /// What a shard asks of its driver. Gives back what is the replica's.
    pub(super) fn carry_out_of_shard(
        &mut self,
        index: usize,
        output: shard::Output,
        effects: &mut Vec<Effect>,
    ) -> Option<Request> {
        let shard = index;
        match output {
            shard::Output::Request(request) => return Some(self.doctored(request)),
            shard::Output::Send { connection, bytes } => {
                effects.push(Effect::Send { shard, connection, bytes });
            }
            shard::Output::Pause { connection } => effects.push(Effect::Pause { shard, connection }),
            shard::Output::Resume { connection } => effects.push(Effect::Resume { shard, connection }),
            shard::Output::Close { connection } => {
                let for_room = self.lanes[index].shard.is_cut_for_room(connection);
                effects.push(Effect::Close { shard, connection, at_once: false, for_room });
            }
            shard::Output::Abort { connection } => {
                let for_room = self.lanes[index].shard.is_cut_for_room(connection);
                effects.push(Effect::Close { shard, connection, at_once: true, for_room });
            }
            shard::Output::Slow(_) => unreachable!("none is slow enough"),
            shard::Output::Word { connection, word, .. } => {
                let text = if &word == b"ruok" { &b"imok"[..] } else { b"" };
                self.lanes[index].shard.finish_with(connection, text);
            }
        }
        None
    }

    // The bugs put in on purpose.

    fn doctored(&self, request: Request) -> Request {
        match (request, self.canary) {
            (
                Request::Connect { from, session, password: Some(_), timeout_ms },
                Some(Canary::PasswordIgnored),
            ) => {
                let password = Some(tree::password::of(session));
                Request::Connect { from, session, password, timeout_ms }
            }
            (Request::Write { from, session, xid, opcode, body, .. }, Some(Canary::AclIgnored)) => {
                let root = Identity { scheme: "super".to_owned(), id: String::new() };
                Request::Write { from, session, xid, opcode, body, identities: Arc::from([root]) }
            }
            (request, _) => request,
        }
    }

    pub(super) fn doctored_notice(&mut self, notice: Arc<Notice>) -> Arc<Notice> {
        let hit = matches!(self.canary, Some(Canary::WatchLost | Canary::EventTwice));
        if !hit || !self.prng.chance(1, 20) {
            return notice;
        }
        match Arc::try_unwrap(notice) {
            Ok(notice) => {
                let twice = self.canary == Some(Canary::EventTwice);
                let all = notice.changes.as_slice().iter();
                let changes = if twice { all.clone().chain(all).cloned().collect() } else { vec![] };
                Arc::new(Notice { changes: Changes::Many(changes), ..notice })
            }
            Err(shared) => shared,
        }
    }

    pub(super) fn swap_if_canary(&mut self, outputs: &mut [replica::Output]) {
        if self.canary == Some(Canary::NoticeAfterPublish)
            && let [_, replica::Output::Publish { .. }, ..] = outputs
        {
            outputs.swap(0, 1);
        }
    }
}

impl Lane {
    fn has_work(&self) -> bool {
        // Every shard is rung after a publication.
        let behind = self.shard.published() > self.shard.version();
        (!self.arrivals.is_empty() && self.held.is_empty()) || !self.notices.is_empty() || behind
    }
}
