//! The rings between the replica's thread and the shards' threads, and who wakes whom.
//!
//! Each shard has one ring of requests to the replica and one ring of notices from it; order holds inside a ring. Rare
//! words (a socket to take over, a census, stop) go over a channel beside them. A thread about to sleep says so at its
//! doorbell; only then does a ringer pay for a system call.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, unbounded};

use crate::base::{ConnectionId, limits};
use crate::io::{AcceptedSocket, Waker};
use crate::lockfree::{Consumer, Doorbell, Producer, ring};
use crate::messages::{Notice, Request};
use crate::shard::Look;
use crate::tree::Reader;

use super::census::{Ask, ReplicaCensus, ShardCensus};

/// Rings a thread's bell.
#[derive(Clone)]
pub struct Bell {
    doorbell: Arc<Doorbell>,
    waker: Waker,
}

impl Bell {
    pub fn new(waker: Waker) -> Bell {
        Bell { doorbell: Arc::new(Doorbell::new()), waker }
    }

    pub fn ring(&self) {
        if self.doorbell.ring() {
            self.waker.wake();
        }
    }

    /// False: something came meanwhile, don't sleep.
    pub fn may_sleep(&self) -> bool {
        self.doorbell.prepare_sleep()
    }

    pub fn awake(&self) {
        self.doorbell.awake();
    }
}

/// Rare words to a shard.
pub enum ToShard {
    Socket(AcceptedSocket),
    /// Where clients connect from now on.
    Listen(SocketAddr),
    /// The answer to a four-letter word.
    Text {
        connection: ConnectionId,
        text: String,
    },
    Census(Ask, Sender<ShardCensus>),
    Look(Box<Look>, Sender<Box<Look>>),
    /// Whether clients are served.
    Serve(crate::messages::Service),
    /// The tree was made anew: from here on this reader, and these notices. What the old ring still holds is of the old tree,
    /// as is what the old reader would read: both go.
    Restart(Box<Reader>, Consumer<Arc<Notice>>),
    Stop,
}

/// Rare words to the replica.
pub enum ToReplica {
    Census(Ask, Sender<ReplicaCensus>),
    /// A shard's connections are closed.
    Stopped,
    /// A shard can't go on.
    Failed(super::Fatal),
}

/// The replica's end of one shard's rings.
pub struct ReplicaEnd {
    pub requests: Consumer<Request>,
    notices: Producer<Arc<Notice>>,
    /// Answers that found the ring full: one transaction may release many. Nothing more is applied, so nothing more
    /// is published, until they are in the ring. At most as many as there are unanswered requests.
    held: VecDeque<Arc<Notice>>,
    pub bell: Bell,
}

impl ReplicaEnd {
    /// May another transaction be applied?
    pub fn has_room(&mut self) -> bool {
        while let Some(notice) = self.held.pop_front() {
            if let Err(notice) = self.notices.push(notice) {
                self.held.push_front(notice);
                return false;
            }
        }
        !self.notices.is_full()
    }

    /// A fresh ring for the notices of a fresh tree; its other end is for the shard.
    pub fn restart(&mut self) -> Consumer<Arc<Notice>> {
        let (notices_in, notices) = ring(limits::NOTICES_MAX);
        self.notices = notices_in;
        self.held.clear();
        notices
    }

    pub fn notify(&mut self, notice: Arc<Notice>) {
        if !self.held.is_empty() {
            return self.held.push_back(notice);
        }
        if let Err(notice) = self.notices.push(notice) {
            self.held.push_back(notice);
        }
    }
}

/// The shard's end.
pub struct ShardEnd {
    requests: Producer<Request>,
    /// Requests that found the ring full; while there are any, the shard takes nothing from its sockets.
    held: VecDeque<Request>,
    pub notices: Consumer<Arc<Notice>>,
    pub replica: Bell,
    pub bell: Bell,
    pub words: Receiver<ToShard>,
}

impl ShardEnd {
    pub fn request(&mut self, request: Request) {
        if !self.held.is_empty() {
            return self.held.push_back(request);
        }
        if let Err(request) = self.requests.push(request) {
            self.held.push_back(request);
        }
    }

    /// Pushes what was held; true if the ring takes more.
    pub fn push_held(&mut self) -> bool {
        while let Some(request) = self.held.pop_front() {
            if let Err(request) = self.requests.push(request) {
                self.held.push_front(request);
                return false;
            }
        }
        true
    }

    pub fn is_held(&self) -> bool {
        !self.held.is_empty()
    }
}

/// Both ends for one shard, and the sender of rare words to it. `requests_max`: a power of two.
pub fn ends(replica: &Bell, shard: &Bell, requests_max: usize) -> (ReplicaEnd, ShardEnd, Sender<ToShard>) {
    let (requests, request_out) = ring(requests_max);
    let (notices_in, notices) = ring(limits::NOTICES_MAX);
    let (to_shard, words) = unbounded();
    let replica_end =
        ReplicaEnd { requests: request_out, notices: notices_in, held: VecDeque::new(), bell: shard.clone() };
    let shard_end = ShardEnd {
        requests,
        held: VecDeque::new(),
        notices,
        replica: replica.clone(),
        bell: shard.clone(),
        words,
    };
    (replica_end, shard_end, to_shard)
}
