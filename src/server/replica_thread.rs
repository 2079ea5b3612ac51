//! The replica on a thread of its own: requests from all shards in, notices to all shards out.

use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender};

use crate::base::{Now, WallMillis, Zxid};
use crate::io::{Clock, Event, Loop};
use crate::messages::Notice;
use crate::replica::ensemble::{PeerInput, PeerOutput};
use crate::replica::{self, Replica, Start};

use super::audit::Audit;
use super::boot::Member;
use super::census::ReplicaCensus;
use super::disk::{Disk, Done};
use super::peers::Peers;
use super::reload::Reloader;
use super::rings::{Bell, ReplicaEnd, ToReplica, ToShard};
use super::{Fatal, GOODBYE, Stop};

/// Requests taken from one shard before the next one's turn.
const REQUESTS_A_TURN: usize = 1024;
/// A full ring of notices is looked at again after this: a sleeping shard was rung, a busy one drains.
const ROOM_RETRY: Duration = Duration::from_micros(200);

pub struct ReplicaThread {
    /// Carries the bell and the peers' sockets; no client's.
    pub io: Loop,
    pub replica: Replica,
    pub disk: Disk,
    pub reloader: Reloader,
    pub bell: Bell,
    /// In an ensemble.
    pub peers: Option<Peers>,
    /// Until it has joined.
    pub member: Option<Member>,
    pub shards: Vec<ReplicaEnd>,
    pub to_shards: Vec<Sender<ToShard>>,
    pub words: Receiver<ToReplica>,
    pub audit: Option<Audit>,
    pub stop: Stop,
}

#[derive(Default)]
struct Turn {
    now: Now,
    outputs: Vec<replica::Output>,
    publish: Option<Zxid>,
    notified: bool,
    /// Apply waits for room in a shard's ring.
    blocked: bool,
    stopped_shards: usize,
    /// The member asked for it.
    reload: Option<Zxid>,
    /// The server can't go on after this turn.
    failed: Option<Fatal>,
}

impl ReplicaThread {
    pub fn run(mut self) -> Result<(), Fatal> {
        let mut turn = Turn { now: Clock::now(), ..Turn::default() };
        if let Some(Member { settings, history }) = self.member.take() {
            self.replica.join(turn.now, settings, history, &mut turn.outputs);
            self.carry_out(&mut turn);
        }
        while !self.stop.is_asked() {
            self.turn(&mut turn)?;
        }
        self.stop.tell();
        for (to_shard, end) in self.to_shards.iter().zip(&self.shards) {
            let _ = to_shard.send(ToShard::Stop);
            end.bell.ring();
        }
        let deadline = Clock::instant() + GOODBYE * 2;
        while Clock::instant() < deadline
            && !(turn.stopped_shards == self.shards.len() && self.replica.is_idle())
        {
            self.turn(&mut turn)?;
        }
        self.disk.finish(&mut self.io, &mut self.replica)
    }

    fn turn(&mut self, turn: &mut Turn) -> Result<(), Fatal> {
        if let Some(peers) = &mut self.peers {
            peers.flush(&mut self.io, turn.now.instant);
        }
        let timeout = self.timeout(turn);
        self.io.wait(timeout).map_err(Fatal::Io)?;
        self.bell.awake();
        turn.now = Clock::now();
        self.take_words(turn)?;
        self.take_events(turn);
        self.take_done(turn)?;
        self.apply(turn);
        self.take_requests(turn);
        if self.replica.next_wakeup().is_some_and(|at| turn.now.instant >= at) {
            self.replica.step(turn.now, replica::Input::Wakeup, &mut turn.outputs);
        }
        self.replica.step(turn.now, replica::Input::TurnEnd, &mut turn.outputs);
        self.carry_out(turn);
        self.publish(turn);
        turn.failed.take().map_or(Ok(()), Err)
    }

    fn timeout(&mut self, turn: &Turn) -> Option<Duration> {
        if turn.blocked {
            return Some(ROOM_RETRY);
        }
        let now = Clock::instant();
        let wakeups = [self.replica.next_wakeup(), self.peers.as_ref().and_then(Peers::next_wakeup)];
        let wakeup = wakeups.into_iter().flatten().min().map(|at| at.since(now));
        let waiting = self.replica.has_work()
            || self.disk.has_done()
            || (self.replica.takes_requests() && self.shards.iter().any(|end| !end.requests.is_empty()));
        let timeout = if self.stop.is_asked() { Some(Duration::from_millis(50)) } else { wakeup };
        if waiting || timeout == Some(Duration::ZERO) || !self.bell.may_sleep() {
            return Some(Duration::ZERO);
        }
        timeout
    }

    /// What came from peers. Nothing here waits for room: who must say that a proposal is durable has to be heard.
    fn take_events(&mut self, turn: &mut Turn) {
        let Some(peers) = &mut self.peers else {
            while let Some(event) = self.io.next_event() {
                debug_assert!(matches!(event, Event::Woken), "without peers this loop has no socket");
            }
            return;
        };
        peers.wake_up(&mut self.io, turn.now.instant);
        self.carry_out(turn);
        while let Some(event) = self.io.next_event() {
            let Some(peers) = &mut self.peers else { return };
            let replica = &mut self.replica;
            let news = peers.receive(event, |input| replica.peer(turn.now, input, &mut turn.outputs));
            if let Some(news) = news {
                peers.take(&mut self.io, turn.now.instant, news);
            }
            self.carry_out(turn);
        }
    }

    fn take_words(&mut self, turn: &mut Turn) -> Result<(), Fatal> {
        while let Ok(word) = self.words.try_recv() {
            match word {
                ToReplica::Census(ask, answer) => {
                    let _ = answer.send(ReplicaCensus::take(&mut self.replica, ask, turn.now.instant));
                }
                ToReplica::Stopped => turn.stopped_shards += 1,
                ToReplica::Failed(fatal) => return Err(fatal),
            }
        }
        Ok(())
    }

    fn take_done(&mut self, turn: &mut Turn) -> Result<(), Fatal> {
        while let Some(done) = self.disk.next_done(&mut self.io) {
            let input = match done {
                Done::Failed { error } => return Err(Fatal::of_log(error)),
                Done::EpochsDurable => {
                    self.replica.peer(turn.now, PeerInput::EpochsDurable, &mut turn.outputs);
                    self.carry_out(turn);
                    continue;
                }
                done => done.into_input(),
            };
            self.replica.step(turn.now, input, &mut turn.outputs);
            self.carry_out(turn);
        }
        Ok(())
    }

    /// Applies what is committed as far as every shard's ring has room, then publishes it at once.
    fn apply(&mut self, turn: &mut Turn) {
        turn.blocked = false;
        loop {
            if !self.shards.iter_mut().all(ReplicaEnd::has_room) {
                turn.blocked = true;
                turn.notified = true;
                break;
            }
            if !self.replica.apply_next(&mut turn.outputs) {
                break;
            }
            self.carry_out(turn);
        }
        self.publish(turn);
    }

    fn take_requests(&mut self, turn: &mut Turn) {
        for at in 0..self.shards.len() {
            for _ in 0..REQUESTS_A_TURN {
                if !self.replica.takes_requests() {
                    return;
                }
                let Some(request) = self.shards[at].requests.pop() else { break };
                if let Some(audit) = &mut self.audit {
                    audit.on_request(&request);
                }
                self.replica.step(turn.now, replica::Input::Request(request), &mut turn.outputs);
                self.carry_out(turn);
            }
        }
    }

    /// What the replica asks for, and what the peers' sockets say to it at once.
    fn carry_out(&mut self, turn: &mut Turn) {
        loop {
            self.carry_out_replica(turn);
            if let Some(to) = turn.reload.take() {
                self.reload(to, turn);
                continue;
            }
            let Some(input) = self.peers.as_mut().and_then(Peers::next_input) else { return };
            self.replica.peer(turn.now, input, &mut turn.outputs);
        }
    }

    fn carry_out_replica(&mut self, turn: &mut Turn) {
        let mut outputs = std::mem::take(&mut turn.outputs);
        for output in outputs.drain(..) {
            match output {
                replica::Output::Log(command) => self.disk.log(command),
                replica::Output::Snapshot(command) => self.disk.snapshot(command),
                replica::Output::Peer(PeerOutput::PersistEpochs(epochs)) => {
                    self.disk.persist_epochs(&mut self.io, epochs);
                }
                replica::Output::Peer(PeerOutput::Reload { to }) => turn.reload = Some(to),
                replica::Output::Peer(output) => {
                    let peers = self.peers.as_mut().expect("only a member of an ensemble has peers");
                    peers.carry_out(&mut self.io, turn.now.instant, output);
                    // The first shard accepts.
                    if let Some(address) = peers.take_client_address() {
                        let _ = self.to_shards[0].send(ToShard::Listen(address));
                        self.shards[0].bell.ring();
                    }
                }
                replica::Output::Serve(service) => {
                    self.audit.iter_mut().for_each(Audit::on_service);
                    for (to_shard, end) in self.to_shards.iter().zip(&self.shards) {
                        let _ = to_shard.send(ToShard::Serve(service));
                        end.bell.ring();
                    }
                }
                replica::Output::Notify { shard: None, notice } => {
                    self.note(turn.now.wall, &notice);
                    for end in &mut self.shards {
                        end.notify(Arc::clone(&notice));
                    }
                    turn.notified = true;
                }
                replica::Output::Notify { shard: Some(shard), notice } => {
                    self.note(turn.now.wall, &notice);
                    self.shards[usize::from(shard.0)].notify(notice);
                    turn.notified = true;
                }
                replica::Output::Publish { zxid } => turn.publish = Some(zxid),
            }
        }
        turn.outputs = outputs;
        if self.disk.has_commands() {
            // Proposals first: their way is the longer one.
            if let Some(peers) = &mut self.peers {
                peers.flush(&mut self.io, turn.now.instant);
            }
            self.disk.submit(&mut self.io);
        }
    }

    fn note(&mut self, at: WallMillis, notice: &Arc<Notice>) {
        if let Some(audit) = &mut self.audit {
            audit.on_notice(at, notice);
        }
    }

    /// The shards were told before that nobody is served, by the same channel over which they get their new readers.
    fn reload(&mut self, to: Zxid, turn: &mut Turn) {
        let (start, left) = match self.reloader.reload(&mut self.disk, &mut self.io, to, turn.now) {
            Ok(reloaded) => reloaded,
            Err(fatal) => return turn.failed = Some(fatal),
        };
        let Start { replica, readers, history } = start;
        // Of the old tree.
        turn.publish = None;
        for ((reader, end), to_shard) in readers.into_iter().zip(&mut self.shards).zip(&self.to_shards) {
            let _ = to_shard.send(ToShard::Restart(Box::new(reader), end.restart()));
            end.bell.ring();
        }
        let old = std::mem::replace(&mut self.replica, replica);
        self.replica.take_over(old, history, &mut turn.outputs);
        if left.epochs_durable {
            self.replica.peer(turn.now, PeerInput::EpochsDurable, &mut turn.outputs);
        }
    }

    /// After the notices, once for all of them.
    fn publish(&mut self, turn: &mut Turn) {
        if let Some(zxid) = turn.publish.take() {
            self.replica.publish(zxid);
        }
        if std::mem::take(&mut turn.notified) {
            for end in &self.shards {
                end.bell.ring();
            }
        }
    }
}
