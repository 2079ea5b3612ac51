//! The placement for one or two cores: one event loop with replica and shard together, no ring between them.
//!
//! A turn: wait for the kernel; take what the disk finished and apply it, one transaction at a time, each published and
//! its waiting reads served before the next; take what clients sent; seal the log's group; send the replies. The log
//! is written by the loop's own ring (`ring_log.rs`); the threads for files stand beside it.
//!
//! A member of an ensemble has its peers' sockets on the same loop. While the replica takes no requests, clients' events
//! stay in the ring of a standalone server; a member takes them all, keeps those (`stash.rs`) and hears its peers.

mod asked;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, bounded};

use crate::base::{Now, Zxid, limits};
use crate::io::cpu::Cpus;
use crate::io::{Clock, Event, Loop};
use crate::replica::ensemble::{PeerInput, PeerOutput};
use crate::replica::{self, Replica, Start};
use crate::shard::{self, Shard};

use super::admission::Admission;
use super::attention::Attention;
use super::audit::Audit;
use super::boot::{self, Booted, CONNECTIONS_OF_A_LOOP, Member, Parts};
use super::client_listener::ClientListener;
use super::disk::{Disk, Done};
use super::gather::Gather;
use super::inquiry::{self, Inquiry};
use super::peers::{self, Peers};
use super::reload::Reloader;
use super::stash::{Kept, Stash};
use super::words::Words;
use super::{Fatal, GOODBYE, Stop, web};

/// How long a full pipeline waits for the disk at a time.
const DISK_PATIENCE: Duration = Duration::from_millis(1);

pub struct OneLoop {
    io: Loop,
    clients: ClientListener,
    replica: Replica,
    shard: Shard,
    disk: Disk,
    reloader: Reloader,
    admission: Arc<Admission>,
    words: Words,
    audit: Option<Audit>,
    /// From the ports that speak HTTP, and the watchdog.
    questions: Receiver<inquiry::Question>,
    stop: Stop,
    attention: Attention,
    /// In an ensemble.
    /// Until it has joined.
    member: Option<Member>,
    peers: Option<Peers>,
}

impl OneLoop {
    pub fn build(
        booted: Booted,
        peers: Option<peers::Settings>,
        desk: &web::Place,
        audit: Option<Audit>,
    ) -> Result<OneLoop, Fatal> {
        let connections_max = booted.config.max_cnxns.min(CONNECTIONS_OF_A_LOOP);
        let processors = Cpus::detect().map_err(Fatal::Io)?.usable();
        let attention = Attention::new(booted.config.look, processors);
        let of_peers = peers.as_ref().map_or(0, peers::Settings::connections_max);
        let mut io = boot::event_loop(&booted.config, connections_max + of_peers)?;
        let stop = Stop::on_signals(&io.doorbell(), &booted.supervisor)?;
        let (clients, bound) = ClientListener::open(&booted.config, &mut io)?;
        let peers = peers.map(|settings| Peers::listen(settings, &mut io)).transpose()?;
        let ready = booted.ready_line();
        let parts = booted.into_parts(&io)?;
        let Parts { replica, disk, reloader, admission, words, mut shards, member } = parts;
        let shard = shards.pop().expect("this placement has one shard");
        let words = words.at_port(bound.port());
        let (ask, questions) = bounded(inquiry::ASKERS);
        web::open(desk, &words.0, Inquiry::One { ask, bell: io.doorbell() });
        ready.tell(bound);
        audit.iter().for_each(Audit::on_start);
        Ok(OneLoop {
            io,
            clients,
            replica,
            shard,
            disk,
            reloader,
            admission,
            words,
            audit,
            questions,
            stop,
            attention,
            peers,
            member,
        })
    }

    pub fn run(mut self) -> Result<(), Fatal> {
        let mut turn = Turn { now: Clock::now(), ..Turn::default() };
        if let Some(Member { settings, history }) = self.member.take() {
            self.replica.join(turn.now, settings, history, &mut turn.from_replica);
            self.carry_out(&mut turn);
        }
        while !self.stop.is_asked() {
            self.turn(&mut turn)?;
        }
        self.finish(&mut turn)
    }

    fn turn(&mut self, turn: &mut Turn) -> Result<(), Fatal> {
        let is_due = self.replica.has_work()
            // What the last turn's end took.
            || self.replica.has_open_group()
            || self.disk.has_done()
            || (!turn.stash.is_empty() && self.replica.takes_requests());
        let timeout = if is_due { Some(Duration::ZERO) } else { self.timeout() };
        let waits_for_disk =
            !self.replica.takes_requests() && !self.replica.has_work() && !self.replica.has_open_group();
        if self.peers.is_none() && waits_for_disk {
            // Events wait, so the ring would not: only the disk can make room.
            self.disk.wait_done(&mut self.io, DISK_PATIENCE)?;
        }
        self.flush_peers(turn);
        self.wait(timeout)?;
        turn.now = Clock::now();
        self.answer_questions(turn.now.instant);
        self.take_done(turn)?;
        self.take_events(turn);
        if self.peers.is_some() {
            // What a peer's word has committed.
            self.apply(turn);
        }
        // The replies first: who gets one often has the next request at once, and it should join this group.
        self.shard.step(turn.now, shard::Input::TurnEnd, &mut turn.from_shard);
        self.carry_out(turn);
        while self.replica.is_about_to_seal()
            && let Some((events, patience)) = turn.gather.patience(Clock::instant())
        {
            self.flush_peers(turn);
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

    fn timeout(&self) -> Option<Duration> {
        let now = Clock::instant();
        let of_peers = self.peers.as_ref().and_then(Peers::next_wakeup);
        let wakeups = [self.replica.next_wakeup(), self.shard.next_wakeup(), of_peers];
        wakeups.into_iter().flatten().min().map(|at| at.since(now))
    }

    /// What the disk threads have finished; then whatever that committed is applied.
    fn take_done(&mut self, turn: &mut Turn) -> Result<(), Fatal> {
        while let Some(done) = self.disk.next_done(&mut self.io) {
            let input = match done {
                Done::Failed { error } => return Err(Fatal::of_log(error)),
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
        self.apply(turn);
        Ok(())
    }

    fn apply(&mut self, turn: &mut Turn) {
        while self.replica.apply_next(&mut turn.from_replica) {
            self.carry_out(turn);
        }
    }

    fn take_events(&mut self, turn: &mut Turn) {
        if !self.replica.takes_requests() {
            self.shard.step(turn.now, shard::Input::Deaf, &mut turn.from_shard);
        }
        if self.peers.is_some() {
            return self.take_events_of_member(turn);
        }
        while self.replica.takes_requests()
            && let Some(event) = self.io.next_event()
        {
            match event {
                Event::Received { connection, bytes } => {
                    turn.gather.on_received();
                    let input = shard::Input::Received { connection, bytes };
                    self.shard.step(turn.now, input, &mut turn.from_shard);
                    self.carry_out(turn);
                }
                other => {
                    if let Some(event) = Kept::of(other) {
                        self.on_client(event, turn);
                    }
                }
            }
        }
    }

    /// All that the ring holds: peers' at once, clients' when the replica takes requests.
    fn take_events_of_member(&mut self, turn: &mut Turn) {
        if let Some(peers) = &mut self.peers {
            peers.wake_up(&mut self.io, turn.now.instant);
            self.carry_out(turn);
        }
        loop {
            while self.replica.takes_requests()
                && let Some(kept) = turn.stash.next(&mut self.io)
            {
                self.on_client(kept, turn);
            }
            let Some(peers) = &mut self.peers else { return };
            let Some(event) = self.io.next_event() else { return };
            if peers.concerns(&event) {
                let replica = &mut self.replica;
                let news =
                    peers.receive(event, |input| replica.peer(turn.now, input, &mut turn.from_replica));
                if let Some(news) = news {
                    peers.take(&mut self.io, turn.now.instant, news);
                }
                self.carry_out(turn);
            } else if !self.replica.takes_requests() {
                if let Some(connection) = turn.stash.keep(event) {
                    self.io.pause_receive(connection);
                }
            } else if let Event::Received { connection, bytes } = event {
                turn.gather.on_received();
                let input = shard::Input::Received { connection, bytes };
                self.shard.step(turn.now, input, &mut turn.from_shard);
                self.carry_out(turn);
            } else if let Some(event) = Kept::of(event) {
                self.on_client(event, turn);
            }
        }
    }

    fn on_client(&mut self, event: Kept, turn: &mut Turn) {
        let input = match event {
            Kept::Accepted(socket) => return self.on_accepted(socket, turn),
            Kept::Received(connection, bytes) => {
                turn.gather.on_received();
                let input = shard::Input::Received { connection, bytes: &bytes };
                self.shard.step(turn.now, input, &mut turn.from_shard);
                return self.carry_out(turn);
            }
            Kept::Sent(connection, buffer) => shard::Input::Sent { connection, buffer },
            Kept::Ended(connection) => shard::Input::Ended { connection },
            Kept::Closed(connection) => {
                self.admission.leave(&mut turn.addresses, connection);
                turn.stash.on_resume(connection);
                shard::Input::Closed { connection }
            }
        };
        self.shard.step(turn.now, input, &mut turn.from_shard);
        self.carry_out(turn);
    }

    /// What the replica sends to its peers goes out before anything is waited for.
    fn flush_peers(&mut self, turn: &Turn) {
        if let Some(peers) = &mut self.peers {
            peers.flush(&mut self.io, turn.now.instant);
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

    /// Until none has anything to say to another. Not by recursion: a client decides how often they answer each other
    /// at once.
    fn carry_out(&mut self, turn: &mut Turn) {
        loop {
            if !turn.from_shard.is_empty() {
                self.carry_out_shard(turn);
            } else if !turn.from_replica.is_empty() {
                self.carry_out_replica(turn);
            } else if let Some(input) = self.peers.as_mut().and_then(Peers::next_input) {
                self.replica.peer(turn.now, input, &mut turn.from_replica);
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
                replica::Output::Peer(PeerOutput::PersistEpochs(epochs)) => {
                    self.disk.persist_epochs(&mut self.io, epochs);
                }
                replica::Output::Peer(PeerOutput::Reload { to }) => reload = Some(to),
                replica::Output::Peer(output) => {
                    let peers = self.peers.as_mut().expect("only a member of an ensemble has peers");
                    peers.carry_out(&mut self.io, turn.now.instant, output);
                    if let Some(address) = peers.take_client_address() {
                        self.clients.move_to(&mut self.io, address);
                    }
                    continue;
                }
                replica::Output::Serve(service) => {
                    self.audit.iter_mut().for_each(Audit::on_service);
                    self.shard.step(turn.now, shard::Input::Serve(service), &mut turn.from_shard);
                }
                replica::Output::Notify { notice, .. } => {
                    self.audit.iter_mut().for_each(|audit| audit.on_notice(turn.now.wall, &notice));
                    self.shard.step(turn.now, shard::Input::Notice(notice), &mut turn.from_shard);
                }
                replica::Output::Publish { zxid } => {
                    self.replica.publish(zxid);
                }
            }
            turn.notices = true;
        }
        turn.from_replica = outputs;
        if self.disk.has_commands() {
            // Proposals first: their way is the longer one.
            self.flush_peers(turn);
            self.disk.submit(&mut self.io);
        }
        if let Some(to) = reload {
            self.reload(to, turn);
        }
        if std::mem::take(&mut turn.notices) {
            let zxid = self.shard.published();
            self.shard.step(turn.now, shard::Input::Published { zxid }, &mut turn.from_shard);
        }
    }

    /// The old tree goes with the old replica, once the member, or the lone server, has moved.
    fn reload(&mut self, to: Zxid, turn: &mut Turn) {
        let (start, left) = match self.reloader.reload(&mut self.disk, &mut self.io, to, turn.now) {
            Ok(reloaded) => reloaded,
            Err(fatal) => return turn.failed = Some(fatal),
        };
        let Start { replica, mut readers, history } = start;
        self.shard.restart(readers.pop().expect("this placement has one shard"));
        let old = std::mem::replace(&mut self.replica, replica);
        self.replica.take_over(old, history, &mut turn.from_replica);
        if left.epochs_durable {
            self.replica.peer(turn.now, PeerInput::EpochsDurable, &mut turn.from_replica);
        }
    }

    fn carry_out_shard(&mut self, turn: &mut Turn) {
        let mut outputs = std::mem::take(&mut turn.from_shard);
        self.replica.look_ahead(outputs.iter().filter_map(|output| match output {
            shard::Output::Request(request) => Some(request),
            _ => None,
        }));
        for output in outputs.drain(..) {
            match output {
                shard::Output::Request(request) => {
                    self.audit.iter_mut().for_each(|audit| audit.on_request(&request));
                    self.replica.step(turn.now, replica::Input::Request(request), &mut turn.from_replica);
                }
                shard::Output::Send { connection, bytes } => {
                    turn.gather.on_sent();
                    self.io.send(connection, bytes);
                }
                shard::Output::Pause { connection } => {
                    turn.stash.on_pause(connection);
                    self.io.pause_receive(connection);
                }
                shard::Output::Resume { connection } => {
                    turn.stash.on_resume(connection);
                    self.io.resume_receive(connection);
                }
                shard::Output::Close { connection } => self.io.close(connection),
                shard::Output::Abort { connection } => self.io.close_now(connection),
                shard::Output::Slow(slow) => super::slow::tell(&slow),
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

    /// Nothing new is taken; what is proposed is made durable, answered and sent; then the log is sealed with a mark.
    fn finish(mut self, turn: &mut Turn) -> Result<(), Fatal> {
        self.stop.tell();
        let deadline = Clock::instant() + GOODBYE;
        self.shard.close_all();
        loop {
            self.turn(turn)?;
            let idle = self.replica.is_idle() && self.shard.connections_count() == 0;
            if idle || Clock::instant() >= deadline {
                break;
            }
        }
        self.disk.finish(&mut self.io, &mut self.replica)
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
    stash: Stash,
    /// The server can't go on after this turn.
    failed: Option<Fatal>,
}
