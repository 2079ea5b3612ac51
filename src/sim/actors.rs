//! What clients do, and what they make of what comes back.

use std::time::Duration;

use crate::base::{SessionId, Zxid};
use crate::wire::client::{ConnectResponse, ReplyHeader};
use crate::wire::frame::{Frame, split};
use crate::wire::{Decode, Reader};

use super::client::{News, State};
use super::history::{Checked, violation};
use super::network::Up;
use super::operation::Operation;
use super::world::{Actor, Event, Phase, World};

/// How a client's connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// All that was sent arrives, then the end.
    Close,
    /// What is under way is lost.
    Reset,
    /// The server hears of it late, if ever.
    Silence,
}

/// Usual time after which a client that found no server tries again.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

impl World {
    /// A client does its next thing.
    pub(super) fn act(&mut self, index: usize) -> Checked {
        match self.actors[index].client.state {
            State::Disconnected => self.connect(index),
            State::Connecting { .. } => {}
            State::Active => self.request(index),
        }
        Ok(())
    }

    fn connect(&mut self, index: usize) {
        let done = self.phase == Phase::Closing && self.actors[index].client.session.is_none();
        if done || self.actors[index].socket.is_some() {
            return;
        }
        let dishonest = self.phase == Phase::Faults
            && self.plan.faults.cut
            && self.actors[index].client.session.is_some()
            && self.acting.chance(1, 8);
        let ticks = [0, 2, 5, 30][self.acting.below(4) as usize];
        let timeout_ms = i32::try_from((self.shape.tick * ticks).as_millis()).unwrap_or(i32::MAX);
        let byte = self.acting.chance(1, 2);
        let bytes = self.actors[index].client.connect(!dishonest, byte, timeout_ms);
        let socket = self.open_socket(index);
        self.trace.note("connect", &[index as u64, socket]);
        self.send_up(socket, bytes);
    }

    fn request(&mut self, index: usize) {
        let Some(socket) = self.actors[index].socket else { return };
        let client = &self.actors[index].client;
        if client.closing {
            return;
        }
        let mut bytes = vec![];
        let room = self.shape.pipeline.saturating_sub(client.outstanding.len()) as u64;
        match self.phase {
            Phase::Faults => {
                for _ in 0..self.acting.below(room + 1) {
                    let last = match self.acting.below(1_600) {
                        0..=3 => Some(Operation::CloseSession),
                        4 => Some(Operation::Auth { user: None }),
                        _ => None,
                    };
                    let stops = last.is_some();
                    let operation = last.unwrap_or_else(|| self.actors[index].workload.operation());
                    self.ask(index, operation, &mut bytes);
                    if stops {
                        break;
                    }
                }
            }
            Phase::Healed => {
                let count = self.acting.below(room + 1).min(self.actors[index].left);
                self.actors[index].left -= count;
                for _ in 0..count {
                    let operation = self.actors[index].workload.operation();
                    self.ask(index, operation, &mut bytes);
                }
            }
            Phase::Quiet | Phase::Still | Phase::Stopped => {}
            Phase::Closing => self.ask(index, Operation::CloseSession, &mut bytes),
        }
        let silent_since = self.actors[index].heard_ns;
        let third = self.keepalive(index);
        let now = self.now_ns();
        let still = self.phase == Phase::Still;
        if bytes.is_empty() && !still && now - silent_since >= third.as_nanos() as u64 / 2 {
            self.ask(index, Operation::Ping, &mut bytes);
        }
        let silent = bytes.is_empty();
        if !bytes.is_empty() {
            self.actors[index].heard_ns = now;
            self.trace.note("request", &[index as u64, bytes.len() as u64]);
            self.send_up(socket, bytes);
        }
        // It lets itself be heard in time, whatever else it does. With nothing to send it waits to be answered.
        let pause = if silent {
            third / 2
        } else {
            Self::jitter(&mut self.acting, self.shape.think, true).min(third)
        };
        self.act_in(index, pause);
    }

    /// The server's output as it leaves: the newest zxid that it tells anybody.
    pub(super) fn tap(&mut self, socket: u64, bytes: &[u8]) -> Checked<Zxid> {
        let mut promised = Zxid::ZERO;
        let Some(found) = self.sockets.get_mut(&socket) else { return Ok(promised) };
        let mut rest = bytes;
        while !rest.is_empty() {
            let Frame::Complete { body } = split(rest, 16 << 20) else {
                return violation("replies are framed", format!("socket {socket}: {rest:02x?}"));
            };
            let mut reader = Reader::new(&rest[body.clone()]);
            rest = &rest[body.end..];
            let zxid = if std::mem::replace(&mut found.greeted, true) {
                ReplyHeader::decode(&mut reader).map_or(Zxid::ZERO, |header| header.zxid)
            } else {
                let session = ConnectResponse::decode(&mut reader).map_or(SessionId::NONE, |r| r.session_id);
                self.history.model.sessions.get(&session).map_or(Zxid::ZERO, |life| life.opened)
            };
            promised = promised.max(zxid);
        }
        Ok(promised)
    }

    pub(super) fn on_received(&mut self, index: usize, bytes: &[u8]) -> Checked {
        self.trace.note("read", &[index as u64, bytes.len() as u64]);
        let mut news = vec![];
        let client = &mut self.actors[index].client;
        let answered = client.answered;
        client.receive(bytes, &mut self.history, &mut news)?;
        self.counts.replies += self.actors[index].client.answered - answered;
        // A ping at the least was sent and answered since.
        let everything =
            answered < self.actors[index].client.answered && self.actors[index].client.outstanding.is_empty();
        self.actors[index].unproven &= self.phase == Phase::Faults || !everything;
        for news in news {
            self.on_news(index, news)?;
        }
        self.act_later(index);
        Ok(())
    }

    /// The client says what it watched.
    fn watch_again(&mut self, index: usize) {
        let Actor { client, workload, socket: Some(socket), .. } = &mut self.actors[index] else { return };
        let socket = *socket;
        let Some(operation) = workload.comes_back(&client.watched, client.last_zxid) else { return };
        let mut bytes = vec![];
        self.ask(index, operation, &mut bytes);
        self.send_up(socket, bytes);
    }

    /// Appends the client's request to what it is about to send.
    fn ask(&mut self, index: usize, operation: Operation, bytes: &mut Vec<u8>) {
        let actor = &mut self.actors[index];
        if let Some(found) = actor.socket.and_then(|socket| self.sockets.get_mut(&socket)) {
            found.watches_max += operation.watches_max();
        }
        actor.client.request(operation, &mut self.history, bytes);
    }

    fn on_news(&mut self, index: usize, news: News) -> Checked {
        // A client may read late what was said while the disk was full.
        let was_full = self.space_low || self.space_low_ns > 0;
        match news {
            News::Opened => self.trace.note("opened", &[index as u64]),
            News::Resumed => {
                self.counts.resumed += 1;
                self.watch_again(index);
            }
            News::Event => self.counts.events += 1,
            News::Reply => {}
            News::SystemError if was_full => {}
            News::SystemError => {
                return violation(
                    "writes are refused only while the disk is full",
                    format!("client {index}"),
                );
            }
            News::NotOpened if !was_full => {
                return violation("a new session is opened", format!("client {index} was refused"));
            }
            News::Refused | News::NotOpened => self.cut(index, Cut::Close),
            News::SessionOver => self.cut(index, Cut::Close),
        }
        Ok(())
    }

    /// The client sees the end of its connection. `for_room`: it was in the way of the others, where little may be unsent.
    pub(super) fn on_disconnected(&mut self, index: usize, socket: u64, for_room: bool) -> Checked {
        if self.actors[index].socket != Some(socket) {
            return Ok(());
        }
        self.actors[index].unproven = false;
        let client = &self.actors[index].client;
        if self.steady && !for_room && client.state == State::Active && !client.closing {
            return violation(
                "a healthy connection stays",
                format!("client {index} lost it, {} requests unanswered", client.outstanding.len()),
            );
        }
        let refused = matches!(client.state, State::Connecting { .. });
        self.actors[index].socket = None;
        self.actors[index].client.disconnected();
        if refused {
            // Nobody is there: it doesn't try in vain all the time.
            let delay = Self::jitter(&mut self.acting, REFUSED_PAUSE, false);
            self.act_in(index, delay);
        } else {
            self.act_later(index);
        }
        Ok(())
    }

    /// The client gives its connection up.
    pub(super) fn cut(&mut self, index: usize, cut: Cut) {
        let Some(socket) = self.actors[index].socket.take() else { return };
        self.trace.note("cut", &[index as u64, socket, cut as u64]);
        self.actors[index].client.disconnected();
        self.act_later(index);
        let late = self.shape.tick * self.network_below(40) as u32;
        let soon = self.packet_delay();
        let Some(found) = self.sockets.get_mut(&socket) else { return };
        found.client_open = false;
        found.down.clear();
        if !found.server_open {
            self.sockets.remove(&socket);
            return;
        }
        match cut {
            Cut::Close => self.send_one(socket, Up::End),
            Cut::Reset | Cut::Silence => {
                found.up.clear();
                let delay = if cut == Cut::Reset { soon } else { late };
                self.after(delay, Event::Reset { socket });
            }
        }
    }
}
