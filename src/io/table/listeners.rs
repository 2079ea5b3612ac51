//! The listening half of the table: accepts in flight, and what to do when they fail.
//!
//! Invariant: an open listener either has an accept in flight or is starved, and then waits for `retry_accepts` instead
//! of failing again at once.

use std::os::fd::{AsRawFd, OwnedFd};

use super::super::error::Error;
use super::super::operation::{Completion, GENERATION_MASK, Kind, Submission, Token};
use super::super::socket::{self, AcceptedSocket};
use super::{Flight, Outcome, Table};

/// A listening socket of one loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
pub(super) struct Listener {
    generation: u32,
    /// None when closed.
    pub(super) fd: Option<OwnedFd>,
    accept: Flight,
    cancels: u8,
    closing: bool,
    /// Accepting failed for want of descriptors or memory: `retry_accepts` arms it again.
    starved: bool,
}

impl Table {
    pub(in super::super) fn listen(&mut self, fd: OwnedFd) -> ListenerId {
        let fresh = Listener {
            generation: 0,
            fd: Some(fd),
            accept: Flight::Idle,
            cancels: 0,
            closing: false,
            starved: false,
        };
        let index = match self.listeners.iter().position(|l| l.fd.is_none()) {
            Some(index) => {
                let generation = (self.listeners[index].generation + 1) & GENERATION_MASK;
                self.listeners[index] = Listener { generation, ..fresh };
                index
            }
            None => {
                self.listeners.push(fresh);
                self.listeners.len() - 1
            }
        };
        self.arm_accept(index as u32);
        self.listener_id(index as u32)
    }

    /// Sockets the kernel has accepted already still come out.
    pub(in super::super) fn close_listener(&mut self, id: ListenerId) {
        let Some(listener) = self.listeners.get_mut(id.index as usize) else { return };
        if listener.generation != id.generation || listener.fd.is_none() || listener.closing {
            return;
        }
        listener.closing = true;
        listener.starved = false;
        if listener.accept == Flight::Armed {
            let fd = listener.fd.as_ref().expect("checked above").as_raw_fd();
            listener.accept = Flight::Cancelling;
            listener.cancels += 1;
            self.cancel(Kind::CancelAccept, Kind::Accept, id.generation, id.index, fd);
        }
        self.settle_listener(id.index);
    }

    /// Arms listeners which ran out of descriptors or memory.
    pub(in super::super) fn retry_accepts(&mut self) {
        for index in 0..self.listeners.len() {
            if std::mem::take(&mut self.listeners[index].starved) {
                self.arm_accept(index as u32);
            }
        }
    }

    pub(super) fn on_accepted(&mut self, completion: Completion) -> Option<Outcome> {
        let index = completion.token.slot();
        let listener = &mut self.listeners[index as usize];
        assert!(listener.generation == completion.token.generation() && listener.accept != Flight::Idle);
        if !completion.more {
            listener.accept = Flight::Idle;
        }
        let id = ListenerId { index, generation: listener.generation };
        let mut outcome = None;
        match completion.result {
            // A peer that has gone already is nobody's news.
            fd @ 0.. => outcome = AcceptedSocket::new(socket::own(fd)).map(|s| Outcome::Accepted(id, s)),
            code if completion.more || listener.closing || is_gone_in_backlog(-code) => {}
            code => {
                // Would fail at once again.
                listener.starved = true;
                outcome = Some(Outcome::AcceptFailed(id, Error::of_code("accept a connection", -code)));
            }
        }
        self.settle_listener(index);
        outcome
    }

    pub(super) fn on_accept_cancelled(&mut self, completion: Completion) {
        let index = completion.token.slot();
        let listener = &mut self.listeners[index as usize];
        assert!(listener.generation == completion.token.generation() && listener.cancels > 0);
        listener.cancels -= 1;
        self.settle_listener(index);
    }

    pub(super) fn settle_listener(&mut self, index: u32) {
        let listener = &mut self.listeners[index as usize];
        if listener.accept != Flight::Idle {
            return;
        }
        if listener.closing {
            if listener.cancels == 0 {
                listener.fd = None;
            }
        } else if !listener.starved {
            self.arm_accept(index);
        }
    }

    pub(super) fn listener_id(&self, index: u32) -> ListenerId {
        ListenerId { index, generation: self.listeners[index as usize].generation }
    }

    pub(super) fn arm_accept(&mut self, index: u32) {
        let listener = &mut self.listeners[index as usize];
        assert!(listener.accept == Flight::Idle && !listener.closing);
        listener.accept = Flight::Armed;
        self.in_flight += 1;
        let token = Token::new(Kind::Accept, listener.generation, index);
        let fd = listener.fd.as_ref().expect("an open listener has a descriptor").as_raw_fd();
        self.submissions.push_back(Submission::Accept { token, fd });
    }
}

/// accept(2): errors of one connection that died while it waited, to be treated as "try again".
fn is_gone_in_backlog(errno: i32) -> bool {
    matches!(
        errno,
        libc::ECONNABORTED
            | libc::EINTR
            | libc::EAGAIN
            | libc::ENETDOWN
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
    )
}
