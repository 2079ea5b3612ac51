//! One life of a server process: the replica, its shards, and the threads they run on.
//!
//! With one shard everything runs in one loop, and each committed transaction is published, and the reads behind it are
//! served, before the next is applied. With more, the replica and each shard have a loop of their own; between them are
//! queues, and a loop's turn is cut into steps of one input or one output each, which `world` lets run in any order
//! that real threads could have: so a publication may come between the notices of two shards, or in the middle of a
//! shard's turn.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::{ConnectionId, Instant, Now, Prng, ShardId, Zxid};
use crate::log;
use crate::messages::{Changes, Notice, Request};
use crate::replica::{self, Replica, SnapshotCommand};
use crate::shard::{self, Shard};
use crate::tree::{self, Reader};

use super::plan::Canary;

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

/// Where a shard's turn stands (several loops only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShardStage {
    Asleep,
    /// Takes notices from its ring.
    Draining,
    Publishing,
    Taking {
        left: usize,
    },
    Ending,
}

/// Where the replica's turn stands (several loops only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplicaStage {
    Asleep,
    Taking { left: usize },
    Ending,
    Applying { left: usize },
}

struct Lane {
    shard: Shard,
    arrivals: VecDeque<Arrival>,
    requests: VecDeque<Request>,
    notices: VecDeque<Arc<Notice>>,
    stage: ShardStage,
    /// The version that was published when this turn began to drain the ring.
    seen: Zxid,
}

pub struct Server {
    pub replica: Replica,
    lanes: Vec<Lane>,
    /// One reader more than there are shards: the auditor's.
    pub auditor: Reader,
    /// For the replica, from the disk.
    pub inputs: VecDeque<replica::Input>,
    outputs: VecDeque<replica::Output>,
    /// Applied, all notices handed out, and not published yet.
    unpublished: Option<Zxid>,
    stage: ReplicaStage,
    prng: Prng,
    ring: usize,
    canary: Option<Canary>,
    address: std::net::SocketAddr,
    pub steps: u64,
}

impl Server {
    pub fn new(
        start: replica::Start,
        settings: &shard::Settings,
        now: Now,
        prng: Prng,
        ring: usize,
        canary: Option<Canary>,
    ) -> Server {
        let replica::Start { replica, mut readers } = start;
        let auditor = readers.pop().expect("one reader more than there are shards");
        let lanes = readers.into_iter().enumerate().map(|(index, reader)| Lane {
            shard: Shard::new(ShardId(index as u16), settings.clone(), reader, now),
            arrivals: VecDeque::new(),
            requests: VecDeque::new(),
            notices: VecDeque::new(),
            stage: ShardStage::Asleep,
            seen: Zxid::ZERO,
        });
        Server {
            replica,
            lanes: lanes.collect(),
            auditor,
            inputs: VecDeque::new(),
            outputs: VecDeque::new(),
            unpublished: None,
            stage: ReplicaStage::Asleep,
            prng,
            ring,
            canary,
            address: std::net::SocketAddr::from(([127, 0, 0, 1], 40_000)),
            steps: 0,
        }
    }

    pub fn arrive(&mut self, shard: usize, arrival: Arrival) {
        self.lanes[shard].arrivals.push_back(arrival);
    }

    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.lanes.iter().map(|lane| &lane.shard)
    }

    /// Threads: one, or the replica's and one per shard.
    pub fn threads(&self) -> usize {
        if self.lanes.len() == 1 { 1 } else { 1 + self.lanes.len() }
    }

    /// When this thread wants to be woken by the clock.
    pub fn next_wakeup(&self, thread: usize) -> Option<Instant> {
        let shard = |lane: &Lane| lane.shard.next_wakeup();
        if self.lanes.len() == 1 {
            let both = [self.replica.next_wakeup(), shard(&self.lanes[0])];
            return both.into_iter().flatten().min();
        }
        if thread == 0 {
            // In the middle of a turn it asks no clock: with a ring full and a deadline past it would run through its stages
            // without end, faster than any shard could drain the ring.
            return if self.stage == ReplicaStage::Asleep { self.replica.next_wakeup() } else { None };
        }
        shard(&self.lanes[thread - 1])
    }

    /// Is there something for this thread to do now, whatever the clock says?
    pub fn is_busy(&self, thread: usize) -> bool {
        if self.lanes.len() == 1 {
            let lane = &self.lanes[0];
            return !lane.arrivals.is_empty()
                || !self.inputs.is_empty()
                || (!lane.requests.is_empty() && !self.replica.is_full());
        }
        if thread == 0 {
            return self.stage != ReplicaStage::Asleep || self.has_replica_work();
        }
        let lane = &self.lanes[thread - 1];
        // Every shard is rung after a publication.
        let behind = lane.shard.published() > lane.shard.version();
        lane.stage != ShardStage::Asleep || !lane.arrivals.is_empty() || !lane.notices.is_empty() || behind
    }

    fn has_replica_work(&self) -> bool {
        !self.outputs.is_empty()
            || !self.inputs.is_empty()
            || (!self.replica.is_full() && self.lanes.iter().any(|lane| !lane.requests.is_empty()))
    }

    /// What each thread still has to do, for a message.
    pub fn business(&self) -> String {
        let lanes = self.lanes.iter().map(|lane| {
            format!(
                "{:?}, {} requests, {} arrivals, {} notices, published {} acted {}",
                lane.stage,
                lane.requests.len(),
                lane.arrivals.len(),
                lane.notices.len(),
                lane.shard.published(),
                lane.shard.version()
            )
        });
        let lanes = lanes.collect::<Vec<_>>().join("; ");
        format!("{:?}, {} outputs, {} inputs; {lanes}", self.stage, self.outputs.len(), self.inputs.len())
    }

    /// Nothing is on its way between the threads.
    pub fn is_idle(&self) -> bool {
        // The replica's heartbeat begins turns that find nothing to do; where its steps are slow, it is always in one.
        let replica_idle = if self.lanes.len() == 1 { !self.is_busy(0) } else { !self.has_replica_work() };
        let first_shard = usize::from(self.lanes.len() > 1);
        replica_idle
            && (first_shard..self.threads()).all(|thread| !self.is_busy(thread))
            && self.replica.facts().outstanding == 0
    }

    pub fn step(&mut self, thread: usize, now: Now, effects: &mut Vec<Effect>) {
        self.steps += 1;
        if self.lanes.len() == 1 {
            self.turn(now, effects);
        } else if thread == 0 {
            self.replica_step(now, effects);
        } else {
            self.shard_step(thread - 1, now, effects);
        }
    }

    // One loop.

    fn turn(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let arrivals = self.prng.below(self.lanes[0].arrivals.len() as u64 + 1).max(1);
        for _ in 0..arrivals {
            let Some(arrival) = self.lanes[0].arrivals.pop_front() else { break };
            self.take(0, arrival, now, effects);
        }
        while let Some(input) = self.inputs.pop_front() {
            self.tell_replica(now, input, effects);
        }
        if self.replica.next_wakeup().is_some_and(|at| at <= now.instant) {
            self.tell_replica(now, replica::Input::Wakeup, effects);
        }
        if self.lanes[0].shard.next_wakeup().is_some_and(|at| at <= now.instant) {
            self.tell_shard(0, now, shard::Input::Wakeup, effects);
        }
        loop {
            let mut requests = 0;
            while !self.replica.is_full()
                && let Some(request) = self.lanes[0].requests.pop_front()
            {
                requests += 1;
                let request = self.doctored(request);
                self.tell_replica(now, replica::Input::Request(request), effects);
            }
            self.tell_replica(now, replica::Input::TurnEnd, effects);
            let mut outputs = vec![];
            while self.replica.apply_next(&mut outputs) {
                self.swap_if_canary(&mut outputs);
                self.carry_out(outputs.drain(..), now, effects);
            }
            if requests == 0 {
                break;
            }
        }
        self.tell_shard(0, now, shard::Input::TurnEnd, effects);
    }

    fn tell_replica(&mut self, now: Now, input: replica::Input, effects: &mut Vec<Effect>) {
        let mut outputs = vec![];
        self.replica.step(now, input, &mut outputs);
        self.carry_out(outputs.drain(..), now, effects);
    }

    /// In the one-loop placement each output is carried out at once.
    fn carry_out(
        &mut self,
        outputs: impl Iterator<Item = replica::Output>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let mut unseen = false;
        for output in outputs {
            match output {
                replica::Output::Log(command) => effects.push(Effect::Log(command)),
                replica::Output::Snapshot(command) => effects.push(Effect::Snapshot(command)),
                replica::Output::Notify { shard: _, notice } => {
                    let notice = self.doctored_notice(notice);
                    self.tell_shard(0, now, shard::Input::Notice(notice), effects);
                    unseen = true;
                }
                replica::Output::Publish { zxid } => {
                    self.replica.publish(zxid);
                    effects.push(Effect::Published { zxid });
                    self.act_on_published(now, effects);
                    unseen = false;
                }
            }
        }
        if unseen {
            self.act_on_published(now, effects);
        }
    }

    fn act_on_published(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let zxid = self.lanes[0].shard.published();
        self.tell_shard(0, now, shard::Input::Published { zxid }, effects);
    }

    // Several loops.

    fn replica_step(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if let Some(output) = self.outputs.pop_front() {
            match output {
                replica::Output::Log(command) => effects.push(Effect::Log(command)),
                replica::Output::Snapshot(command) => effects.push(Effect::Snapshot(command)),
                // The bug put in on purpose dawdles between the publication and its notice.
                replica::Output::Notify { .. }
                    if self.canary == Some(Canary::NoticeAfterPublish) && self.prng.chance(7, 8) =>
                {
                    self.outputs.push_front(output);
                    return self.publish(effects);
                }
                replica::Output::Notify { shard, notice } => {
                    let notice = self.doctored_notice(notice);
                    // One ring at a time, as a thread does it: the other shards' turns come next.
                    let first = shard.map_or(0, |shard| usize::from(shard.0));
                    if shard.is_none() {
                        for other in (1..self.lanes.len()).rev() {
                            let (shard, notice) = (Some(ShardId(other as u16)), notice.clone());
                            self.outputs.push_front(replica::Output::Notify { shard, notice });
                        }
                    }
                    self.lanes[first].notices.push_back(notice);
                }
                // Several transactions may be published at once.
                replica::Output::Publish { zxid } => self.unpublished = Some(zxid),
            }
            if self.prng.chance(1, 2) {
                self.publish(effects);
            }
            return;
        }
        match self.stage {
            ReplicaStage::Asleep => {
                self.stage = ReplicaStage::Taking { left: 1 + self.prng.below(16) as usize };
                if self.replica.next_wakeup().is_some_and(|at| at <= now.instant) {
                    self.ask_replica(now, replica::Input::Wakeup);
                }
            }
            ReplicaStage::Taking { left } => {
                let input = if left == 0 { None } else { self.next_input() };
                match input {
                    Some(input) => {
                        self.ask_replica(now, input);
                        self.stage = ReplicaStage::Taking { left: left - 1 };
                    }
                    None => self.stage = ReplicaStage::Ending,
                }
            }
            ReplicaStage::Ending => {
                self.ask_replica(now, replica::Input::TurnEnd);
                self.stage = ReplicaStage::Applying { left: 1 + self.prng.below(16) as usize };
            }
            ReplicaStage::Applying { left } => {
                // A full ring makes apply wait, while log and commits go on.
                let room = self.lanes.iter().all(|lane| lane.notices.len() < self.ring);
                let mut outputs = vec![];
                if left > 0 && room && self.replica.apply_next(&mut outputs) {
                    self.swap_if_canary(&mut outputs);
                    self.outputs.extend(outputs);
                    self.stage = ReplicaStage::Applying { left: left - 1 };
                } else if left == 0 || !room {
                    self.stage = ReplicaStage::Taking { left: 4 };
                } else {
                    self.publish(effects);
                    self.stage = ReplicaStage::Asleep;
                }
            }
        }
    }

    fn publish(&mut self, effects: &mut Vec<Effect>) {
        if let Some(zxid) = self.unpublished.take() {
            self.replica.publish(zxid);
            effects.push(Effect::Published { zxid });
        }
    }

    fn ask_replica(&mut self, now: Now, input: replica::Input) {
        let mut outputs = vec![];
        self.replica.step(now, input, &mut outputs);
        self.outputs.extend(outputs);
    }

    fn next_input(&mut self) -> Option<replica::Input> {
        if !self.inputs.is_empty() && (self.prng.chance(1, 2) || self.replica.is_full()) {
            return self.inputs.pop_front();
        }
        let waiting: Vec<usize> =
            (0..self.lanes.len()).filter(|index| !self.lanes[*index].requests.is_empty()).collect();
        if waiting.is_empty() || self.replica.is_full() {
            return self.inputs.pop_front();
        }
        let lane = waiting[self.prng.below(waiting.len() as u64) as usize];
        let request = self.lanes[lane].requests.pop_front()?;
        Some(replica::Input::Request(self.doctored(request)))
    }

    fn shard_step(&mut self, index: usize, now: Now, effects: &mut Vec<Effect>) {
        let lane = &mut self.lanes[index];
        match lane.stage {
            ShardStage::Asleep => {
                lane.stage = ShardStage::Draining;
                // Before the ring is looked at: what is published had its notices pushed before.
                lane.seen = lane.shard.published();
                if lane.shard.next_wakeup().is_some_and(|at| at <= now.instant) {
                    self.tell_shard(index, now, shard::Input::Wakeup, effects);
                }
            }
            ShardStage::Draining => {
                let due = lane.notices.front().is_some_and(|notice| notice.zxid <= lane.seen);
                let notice = if due || self.prng.chance(1, 2) { lane.notices.pop_front() } else { None };
                match notice {
                    Some(notice) => self.tell_shard(index, now, shard::Input::Notice(notice), effects),
                    None => lane.stage = ShardStage::Publishing,
                }
            }
            ShardStage::Publishing => {
                let left = self.prng.below(lane.arrivals.len() as u64 + 1).max(1) as usize;
                lane.stage = ShardStage::Taking { left };
                let zxid = lane.seen;
                self.tell_shard(index, now, shard::Input::Published { zxid }, effects);
            }
            ShardStage::Taking { left } => {
                let arrival = if left == 0 { None } else { lane.arrivals.pop_front() };
                match arrival {
                    Some(arrival) => {
                        lane.stage = ShardStage::Taking { left: left - 1 };
                        self.take(index, arrival, now, effects);
                    }
                    None => lane.stage = ShardStage::Ending,
                }
            }
            ShardStage::Ending => {
                lane.stage = ShardStage::Asleep;
                self.tell_shard(index, now, shard::Input::TurnEnd, effects);
            }
        }
    }

    // Both.

    fn take(&mut self, index: usize, arrival: Arrival, now: Now, effects: &mut Vec<Effect>) {
        match arrival {
            Arrival::Accepted { connection } => {
                let address = self.address;
                self.tell_shard(index, now, shard::Input::Accepted { connection, address }, effects);
            }
            Arrival::Received { connection, bytes } => {
                effects.push(Effect::Heard { shard: index, connection });
                self.tell_shard(index, now, shard::Input::Received { connection, bytes: &bytes }, effects);
            }
            Arrival::Sent { connection, buffer } => {
                self.tell_shard(index, now, shard::Input::Sent { connection, buffer }, effects);
            }
            Arrival::Ended { connection } => {
                self.tell_shard(index, now, shard::Input::Ended { connection }, effects);
            }
            Arrival::Closed { connection } => {
                self.tell_shard(index, now, shard::Input::Closed { connection }, effects);
            }
        }
    }

    fn tell_shard(&mut self, index: usize, now: Now, input: shard::Input<'_>, effects: &mut Vec<Effect>) {
        let lane = &mut self.lanes[index];
        let mut outputs = vec![];
        lane.shard.step(now, input, &mut outputs);
        for output in outputs {
            match output {
                shard::Output::Request(request) => lane.requests.push_back(request),
                shard::Output::Send { connection, bytes } => {
                    effects.push(Effect::Send { shard: index, connection, bytes });
                }
                shard::Output::Pause { connection } => {
                    effects.push(Effect::Pause { shard: index, connection })
                }
                shard::Output::Resume { connection } => {
                    effects.push(Effect::Resume { shard: index, connection });
                }
                shard::Output::Close { connection } | shard::Output::Abort { connection } => {
                    effects.push(Effect::Close { shard: index, connection })
                }
                shard::Output::Word { connection, word, .. } => {
                    let text = if &word == b"ruok" { &b"imok"[..] } else { b"" };
                    lane.shard.finish_with(connection, text);
                }
            }
        }
    }

    // The bugs put in on purpose.

    fn doctored(&self, request: Request) -> Request {
        match request {
            Request::Connect { from, session, password: Some(_), timeout_ms }
                if self.canary == Some(Canary::PasswordIgnored) =>
            {
                let password = Some(tree::password::of(session));
                Request::Connect { from, session, password, timeout_ms }
            }
            request => request,
        }
    }

    fn doctored_notice(&mut self, notice: Arc<Notice>) -> Arc<Notice> {
        if self.canary != Some(Canary::WatchLost) || !self.prng.chance(1, 20) {
            return notice;
        }
        match Arc::try_unwrap(notice) {
            Ok(notice) => Arc::new(Notice { changes: Changes::None, ..notice }),
            Err(shared) => shared,
        }
    }

    fn swap_if_canary(&mut self, outputs: &mut [replica::Output]) {
        if self.canary == Some(Canary::NoticeAfterPublish) && outputs.len() >= 2 {
            outputs.swap(0, 1);
        }
    }
}
