//! The placement for one or two cores: one event loop with replica and shard together, no ring between them.
//!
//! A turn: wait for the kernel; take what the disk finished and apply it, one transaction at a time, each published and
//! its waiting reads served before the next; take what clients sent; seal the log's group; send the replies. The log
//! and snapshot threads stand beside it.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Now, Zxid, limits};
use crate::io::cpu::Cpus;
use crate::io::{Clock, Event, Loop};
use crate::replica::ensemble::{PeerInput, PeerOutput};
use crate::replica::{self, Replica, Start};
use crate::shard::{self, Shard};

use super::admission::Admission;
use super::attention::Attention;
use super::boot::{self, Booted, CONNECTIONS_OF_A_LOOP, Parts};
use super::census::{ReplicaCensus, ShardCensus};
use super::disk::{Disk, Done};
use super::gather::Gather;
use super::reload::Reloader;
use super::words::Words;
use super::{Fatal, GOODBYE, Stop};

/// How long a full pipeline waits for the disk at a time.
const DISK_PATIENCE: Duration = Duration::from_millis(1);

pub struct OneLoop {
    io: Loop,
    replica: Replica,
    shard: Shard,
    disk: Disk,
    reloader: Reloader,
    admission: Arc<Admission>,
    words: Words,
    stop: Stop,
    attention: Attention,
}

impl OneLoop {
    pub fn build(booted: Booted) -> Result<OneLoop, Fatal> {
        let connections_max = booted.config.max_cnxns.min(CONNECTIONS_OF_A_LOOP);
        let processors = Cpus::detect().map_err(Fatal::Io)?.usable();
        let attention = Attention::new(booted.config.look, processors);
        let mut io = boot::event_loop(&booted.config, connections_max)?;
        let stop = Stop::on_signals(&io.doorbell())?;
        let bound = boot::listen(&booted.config, &mut io)?;
        booted.ready_line().tell(bound);
        let parts = booted.into_parts(&io.doorbell())?;
        let Parts { replica, disk, reloader, admission, words, mut shards } = parts;
        let shard = shards.pop().expect("this placement has one shard");
        let words = words.at_port(bound.port());
        Ok(OneLoop { io, replica, shard, disk, reloader, admission, words, stop, attention })
    }

    pub fn run(mut self) -> Result<(), Fatal> {
        let mut turn = Turn::default();
        while !self.stop.is_asked() {
            self.turn(&mut turn)?;
        }
        self.finish(&mut turn)
    }

    fn turn(&mut self, turn: &mut Turn) -> Result<(), Fatal> {
        let timeout = if self.replica.has_work() { Some(Duration::ZERO) } else { self.timeout() };
        if !self.replica.takes_requests() && !self.replica.has_work() {
            // Events wait, so the ring would not: only the disk can make room.
            self.disk.wait_done(DISK_PATIENCE);
        }
        self.wait(timeout)?;
        turn.now = Clock::now();
        self.take_done(turn)?;
        self.take_events(turn);
        // The replies first: who gets one often has the next request at once, and it should join this group.
        self.shard.step(turn.now, shard::Input::TurnEnd, &mut turn.from_shard);
        self.carry_out(turn);
        while self.replica.is_about_to_seal()
            && let Some((events, patience)) = turn.gather.patience(Clock::instant())
        {
            self.io.wait_for(events, Some(patience)).map_err(Fatal::Io)?;
            self.take_events(turn);
            self.shard.step(turn.now, shard::Input::TurnEnd, &mut turn.from_shard);
            self.carry_out(turn);
        }
        turn.gather.on_turn_end();
        self.wake_up(turn);
        self.replica.step(turn.now, replica::Input::TurnEnd, &mut turn.from_replica);
        self.carry_out(turn);
        self.shard.step(turn.now, shard::Input::TurnEnd, &mut turn.from_shard);
        self.carry_out(turn);
        turn.failed.take().map_or(Ok(()), Err)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Fatal> {
        if timeout == Some(Duration::ZERO) {
            return self.io.wait(timeout).map_err(Fatal::Io);
        }
        if !self.replica.is_idle() || self.attention.rests() {
            return self.io.wait(timeout).map_err(Fatal::Io);
        }
        let idle = Clock::instant();
        if let Some(patience) = self.attention.patience() {
            let until = idle + timeout.map_or(patience, |timeout| timeout.min(patience));
            loop {
                self.io.wait(Some(Duration::ZERO)).map_err(Fatal::Io)?;
                let now = Clock::instant();
                if self.io.has_events() {
                    self.attention.on_event(idle, now);
                    return Ok(());
                }
                if now >= until {
                    break;
                }
            }
        }
        self.io.wait(timeout).map_err(Fatal::Io)?;
        self.attention.on_event(idle, Clock::instant());
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        let now = Clock::instant();
        let wakeups = [self.replica.next_wakeup(), self.shard.next_wakeup()];
        wakeups.into_iter().flatten().min().map(|at| at.since(now))
    }

    /// What the disk threads have finished; then whatever that committed is applied.
    fn take_done(&mut self, turn: &mut Turn) -> Result<(), Fatal> {
        while let Some(done) = self.disk.next_done() {
            let input = match done {
                Done::Failed { error } => return Err(Fatal::Log(error)),
                Done::EpochsDurable => {
                    self.replica.peer(turn.now, PeerInput::EpochsDurable, &mut turn.from_replica);
                    self.carry_out(turn);
                    continue;
                }
                done => done.into_input(),
            };
            if let replica::Input::Durable { .. } = input {
                turn.gather.on_durable(turn.now.instant);
                self.attention.on_write();
            }
            self.replica.step(turn.now, input, &mut turn.from_replica);
            self.carry_out(turn);
        }
        while self.replica.apply_next(&mut turn.from_replica) {
            self.carry_out(turn);
        }
        Ok(())
    }

    fn take_events(&mut self, turn: &mut Turn) {
        if !self.replica.takes_requests() {
            self.shard.step(turn.now, shard::Input::Deaf, &mut turn.from_shard);
        }
        while self.replica.takes_requests()
            && let Some(event) = self.io.next_event()
        {
            let now = turn.now;
            match event {
                Event::Accepted { socket, .. } => self.on_accepted(socket, turn),
                Event::AcceptFailed { error, .. } => tracing::warn!(%error, "no connection can be accepted"),
                Event::Received { connection, bytes } => {
                    turn.gather.on_received();
                    let input = shard::Input::Received { connection, bytes };
                    self.shard.step(now, input, &mut turn.from_shard);
                    self.carry_out(turn);
                }
                Event::Sent { connection, buffer } => {
                    self.shard.step(now, shard::Input::Sent { connection, buffer }, &mut turn.from_shard);
                    self.carry_out(turn);
                }
                Event::Ended { connection } => {
                    self.shard.step(now, shard::Input::Ended { connection }, &mut turn.from_shard);
                    self.carry_out(turn);
                }
                Event::Closed { connection, .. } => {
                    self.admission.leave(&mut turn.addresses, connection);
                    self.shard.step(now, shard::Input::Closed { connection }, &mut turn.from_shard);
                    self.carry_out(turn);
                }
                Event::Connected { .. } => unreachable!("this loop dials nobody"),
                Event::Woken => {}
            }
        }
    }

    fn on_accepted(&mut self, socket: crate::io::AcceptedSocket, turn: &mut Turn) {
        let address = socket.peer();
        if let Err(refusal) = self.admission.enter(address.ip()) {
            tracing::warn!(%address, %refusal, "connection refused");
            return;
        }
        match self.io.adopt(socket) {
            Ok(connection) => {
                self.admission.remember(&mut turn.addresses, connection, address.ip());
                self.shard.step(
                    turn.now,
                    shard::Input::Accepted { connection, address },
                    &mut turn.from_shard,
                );
            }
            Err(socket) => {
                self.admission.forget(address.ip());
                tracing::warn!(%address, limit = limits::CONNECTIONS_MAX, "connection refused: all slots are taken");
                drop(socket);
            }
        }
    }

    fn wake_up(&mut self, turn: &mut Turn) {
        if self.replica.next_wakeup().is_some_and(|at| turn.now.instant >= at) {
            self.replica.step(turn.now, replica::Input::Wakeup, &mut turn.from_replica);
            self.carry_out(turn);
        }
        if self.shard.next_wakeup().is_some_and(|at| turn.now.instant >= at) {
            self.shard.step(turn.now, shard::Input::Wakeup, &mut turn.from_shard);
            self.carry_out(turn);
        }
    }

    /// Until neither has anything to say to the other. Not by recursion: a client decides how often they answer each other
    /// at once.
    fn carry_out(&mut self, turn: &mut Turn) {
        loop {
            if !turn.from_shard.is_empty() {
                self.carry_out_shard(turn);
            } else if !turn.from_replica.is_empty() {
                self.carry_out_replica(turn);
            } else {
                return;
            }
        }
    }

    fn carry_out_replica(&mut self, turn: &mut Turn) {
        let mut outputs = std::mem::take(&mut turn.from_replica);
        let mut reload = None;
        for output in outputs.drain(..) {
            match output {
                replica::Output::Log(command) => {
                    if let crate::log::Command::Persist { .. } = command {
                        turn.gather.on_submitted(turn.now.instant);
                    }
                    self.disk.log(command);
                }
                replica::Output::Snapshot(command) => self.disk.snapshot(command),
                replica::Output::Peer(PeerOutput::PersistEpochs(epochs)) => self.disk.persist_epochs(epochs),
                replica::Output::Peer(PeerOutput::Reload { to }) => reload = Some(to),
                replica::Output::Serve(serves) => {
                    self.shard.step(turn.now, shard::Input::Serve(serves), &mut turn.from_shard);
                }
                replica::Output::Peer(_) => unreachable!("no ensembles yet"),
                replica::Output::Notify { notice, .. } => {
                    self.shard.step(turn.now, shard::Input::Notice(notice), &mut turn.from_shard);
                }
                replica::Output::Publish { zxid } => {
                    self.replica.publish(zxid);
                }
            }
            turn.notices = true;
        }
        turn.from_replica = outputs;
        self.disk.submit();
        if let Some(to) = reload {
            self.reload(to, turn);
        }
        if std::mem::take(&mut turn.notices) {
            let zxid = self.shard.published();
            self.shard.step(turn.now, shard::Input::Published { zxid }, &mut turn.from_shard);
        }
    }

    /// The old tree goes with the old replica, once the member has moved.
    fn reload(&mut self, to: Zxid, turn: &mut Turn) {
        let (start, left) = match self.reloader.reload(&mut self.disk, to, turn.now) {
            Ok(reloaded) => reloaded,
            Err(fatal) => return turn.failed = Some(fatal),
        };
        let Start { replica, mut readers, history } = start;
        self.shard.restart(readers.pop().expect("this placement has one shard"));
        let old = std::mem::replace(&mut self.replica, replica);
        let history = history.expect("a member has one");
        self.replica.take_over(old, history, &mut turn.from_replica);
        if left.epochs_durable {
            self.replica.peer(turn.now, PeerInput::EpochsDurable, &mut turn.from_replica);
        }
    }

    fn carry_out_shard(&mut self, turn: &mut Turn) {
        let mut outputs = std::mem::take(&mut turn.from_shard);
        for output in outputs.drain(..) {
            match output {
                shard::Output::Request(request) => {
                    self.replica.step(turn.now, replica::Input::Request(request), &mut turn.from_replica);
                }
                shard::Output::Send { connection, bytes } => {
                    turn.gather.on_sent();
                    self.io.send(connection, bytes);
                }
                shard::Output::Pause { connection } => self.io.pause_receive(connection),
                shard::Output::Resume { connection } => self.io.resume_receive(connection),
                shard::Output::Close { connection } => self.io.close(connection),
                shard::Output::Abort { connection } => self.io.close_now(connection),
                shard::Output::Word { connection, word, argument } => {
                    let text = self.answer_word(word, &argument, turn.now.instant);
                    self.shard.finish_with(connection, text.as_bytes());
                }
            }
        }
        if turn.from_shard.is_empty() {
            turn.from_shard = outputs;
        }
    }

    fn answer_word(&mut self, word: [u8; 4], argument: &[u8], now: crate::base::Instant) -> String {
        let Some(ask) = self.words.ask(word) else { return String::new() };
        let in_replica = ReplicaCensus::take(&self.replica, ask, now);
        let census = vec![ShardCensus::take(&mut self.shard, ask, true)];
        self.words.answer(word, argument, in_replica, census)
    }

    /// Nothing new is taken; what is proposed is made durable, answered and sent; then the log is sealed with a mark.
    fn finish(mut self, turn: &mut Turn) -> Result<(), Fatal> {
        tracing::info!("stopping");
        let deadline = Clock::instant() + GOODBYE;
        self.shard.close_all();
        loop {
            self.turn(turn)?;
            let idle = self.replica.is_idle() && self.shard.connections_count() == 0;
            if idle || Clock::instant() >= deadline {
                break;
            }
        }
        self.disk.finish(&mut self.replica)
    }
}

/// Scratch of a turn, kept between turns.
#[derive(Default)]
pub struct Turn {
    now: Now,
    from_replica: Vec<replica::Output>,
    from_shard: Vec<shard::Output>,
    addresses: super::admission::Addresses,
    notices: bool,
    gather: Gather,
    /// The server can't go on after this turn.
    failed: Option<Fatal>,
}
