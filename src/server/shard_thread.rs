//! One shard on a thread of its own: its sockets, its half of the tree, its ends of the rings.

use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::Sender;

use crate::base::Now;
use crate::io::{AcceptedSocket, Clock, Event, Loop};
use crate::shard::{self, Shard};

use super::admission::{Addresses, Admission};
use super::census::ShardCensus;
use super::client_listener::ClientListener;
use super::rings::{ShardEnd, ToShard};
use super::words::Question;
use super::{Fatal, GOODBYE};

/// A held request is tried again after this, should no notice wake us before.
const HELD_RETRY: Duration = Duration::from_millis(1);

pub struct ShardThread {
    pub io: Loop,
    pub shard: Shard,
    pub end: ShardEnd,
    pub admission: Arc<Admission>,
    /// Accepted sockets are dealt out in turn; only the first shard accepts.
    pub dealer: Option<Dealer>,
    pub questions: Sender<Question>,
}

/// Deals accepted sockets to all shards, itself included.
pub struct Dealer {
    pub clients: ClientListener,
    pub shards: Vec<(Sender<ToShard>, super::rings::Bell)>,
    pub next: usize,
}

impl Dealer {
    fn deal(&mut self, socket: AcceptedSocket) {
        let (to_shard, bell) = &self.shards[self.next % self.shards.len()];
        self.next += 1;
        if to_shard.send(ToShard::Socket(socket)).is_ok() {
            bell.ring();
        }
    }
}

#[derive(Default)]
struct Turn {
    now: Now,
    outputs: Vec<shard::Output>,
    addresses: Addresses,
    stopping: bool,
    asked: bool,
}

impl ShardThread {
    pub fn run(mut self) -> Result<(), Fatal> {
        let mut turn = Turn::default();
        let mut deadline = None;
        loop {
            self.turn(&mut turn)?;
            if turn.stopping {
                let deadline = *deadline.get_or_insert_with(|| Clock::instant() + GOODBYE);
                if self.shard.connections_count() == 0 || Clock::instant() >= deadline {
                    return Ok(());
                }
            }
        }
    }

    fn turn(&mut self, turn: &mut Turn) -> Result<(), Fatal> {
        let timeout = self.timeout(turn);
        self.io.wait(timeout).map_err(Fatal::Io)?;
        self.end.bell.awake();
        turn.now = Clock::now();
        self.take_words(turn);
        // The version first, then the ring: what is published had its notices pushed before.
        self.take_notices(turn);
        if self.end.push_held() {
            self.take_events(turn);
        } else {
            self.shard.step(turn.now, shard::Input::Deaf, &mut turn.outputs);
        }
        if self.shard.next_wakeup().is_some_and(|at| turn.now.instant >= at) {
            self.shard.step(turn.now, shard::Input::Wakeup, &mut turn.outputs);
            self.carry_out(turn);
        }
        self.shard.step(turn.now, shard::Input::TurnEnd, &mut turn.outputs);
        self.carry_out(turn);
        if std::mem::take(&mut turn.asked) {
            self.end.replica.ring();
        }
        Ok(())
    }

    fn timeout(&mut self, turn: &Turn) -> Option<Duration> {
        if self.end.is_held() {
            return Some(HELD_RETRY);
        }
        let now = Clock::instant();
        let wakeup = self.shard.next_wakeup().map(|at| at.since(now));
        let limit = if turn.stopping { Some(Duration::from_millis(50)) } else { None };
        let timeout = [wakeup, limit].into_iter().flatten().min();
        if timeout == Some(Duration::ZERO) || !self.end.bell.may_sleep() {
            return Some(Duration::ZERO);
        }
        timeout
    }

    fn take_words(&mut self, turn: &mut Turn) {
        while let Ok(word) = self.end.words.try_recv() {
            match word {
                ToShard::Socket(socket) => self.adopt(socket, turn),
                ToShard::Listen(address) => {
                    if let Some(dealer) = &mut self.dealer {
                        dealer.clients.move_to(&mut self.io, address);
                    }
                }
                ToShard::Text { connection, text } => self.shard.finish_with(connection, text.as_bytes()),
                ToShard::Census(ask, answer) => {
                    // Who asked may have given up.
                    let _ = answer.send(ShardCensus::take(&mut self.shard, ask, false));
                }
                ToShard::Look(mut look, answer) => {
                    self.shard.look(&mut look);
                    let _ = answer.send(look);
                }
                ToShard::Serve(service) => {
                    self.shard.step(turn.now, shard::Input::Serve(service), &mut turn.outputs);
                    self.carry_out(turn);
                }
                ToShard::Restart(reader, notices) => {
                    self.end.notices = notices;
                    self.shard.restart(*reader);
                }
                ToShard::Stop => {
                    turn.stopping = true;
                    self.shard.close_all();
                }
            }
        }
    }

    fn take_notices(&mut self, turn: &mut Turn) {
        let published = self.shard.published();
        let mut any = false;
        while self.end.notices.peek().is_some_and(|notice| notice.zxid <= published)
            && let Some(notice) = self.end.notices.pop()
        {
            self.shard.step(turn.now, shard::Input::Notice(notice), &mut turn.outputs);
            any = true;
        }
        if any || published > self.shard.version() {
            self.shard.step(turn.now, shard::Input::Published { zxid: published }, &mut turn.outputs);
            self.carry_out(turn);
        }
    }

    fn take_events(&mut self, turn: &mut Turn) {
        let now = turn.now;
        while !self.end.is_held()
            && let Some(event) = self.io.next_event()
        {
            match event {
                Event::Accepted { socket, .. } => self.on_accepted(socket, turn),
                Event::AcceptFailed { error, .. } => tracing::warn!(%error, "no connection can be accepted"),
                Event::Received { connection, bytes } => {
                    let input = shard::Input::Received { connection, bytes };
                    self.shard.step(now, input, &mut turn.outputs);
                    self.carry_out(turn);
                }
                Event::Sent { connection, buffer } => {
                    self.shard.step(now, shard::Input::Sent { connection, buffer }, &mut turn.outputs);
                    self.carry_out(turn);
                }
                Event::Ended { connection } => {
                    self.shard.step(now, shard::Input::Ended { connection }, &mut turn.outputs);
                    self.carry_out(turn);
                }
                Event::Closed { connection, .. } => {
                    self.admission.leave(&mut turn.addresses, connection);
                    self.shard.step(now, shard::Input::Closed { connection }, &mut turn.outputs);
                    self.carry_out(turn);
                }
                Event::Connected { .. } => unreachable!("this loop dials nobody"),
                Event::Woken => {}
            }
        }
    }

    fn on_accepted(&mut self, socket: AcceptedSocket, turn: &Turn) {
        let address = socket.peer();
        if turn.stopping {
            return;
        }
        match self.admission.enter(address.ip()) {
            Err(refusal) => tracing::warn!(%address, %refusal, "connection refused"),
            Ok(()) => {
                if let Some(dealer) = &mut self.dealer {
                    dealer.deal(socket);
                }
            }
        }
    }

    fn adopt(&mut self, socket: AcceptedSocket, turn: &mut Turn) {
        let address = socket.peer();
        match self.io.adopt(socket) {
            Ok(connection) => {
                self.admission.remember(&mut turn.addresses, connection, address.ip());
                self.shard.step(turn.now, shard::Input::Accepted { connection, address }, &mut turn.outputs);
            }
            Err(socket) => {
                self.admission.forget(address.ip());
                tracing::warn!(%address, "connection refused: all slots of its event loop are taken");
                drop(socket);
            }
        }
    }

    fn carry_out(&mut self, turn: &mut Turn) {
        for output in turn.outputs.drain(..) {
            match output {
                shard::Output::Request(request) => {
                    self.end.request(request);
                    turn.asked = true;
                }
                shard::Output::Send { connection, bytes } => self.io.send(connection, bytes),
                shard::Output::Pause { connection } => self.io.pause_receive(connection),
                shard::Output::Resume { connection } => self.io.resume_receive(connection),
                shard::Output::Close { connection } => self.io.close(connection),
                shard::Output::Abort { connection } => self.io.close_now(connection),
                shard::Output::Slow(slow) => super::slow::tell(&slow),
                shard::Output::Word { connection, word, argument } => {
                    let asker = self.shard.id();
                    let _ = self.questions.send(Question { asker, connection, word, argument });
                }
            }
        }
    }
}
