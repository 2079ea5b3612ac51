//! What a shard is told and what it asks for.
//!
//! As in the replica's contract, every output may be carried out the moment it is emitted.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::{ConnectionId, Zxid};
use crate::messages::{Notice, Request, Service};

use super::slow::SlowRequest;

#[derive(Debug)]
pub enum Input<'a> {
    Accepted {
        connection: ConnectionId,
        address: SocketAddr,
    },
    Received {
        connection: ConnectionId,
        bytes: &'a [u8],
    },
    /// The bytes of the last `Send` are with the kernel; the buffer comes back to be used again.
    Sent {
        connection: ConnectionId,
        buffer: Vec<u8>,
    },
    /// The peer will send nothing more; it may still read.
    Ended {
        connection: ConnectionId,
    },
    /// The connection is gone, whoever closed it. The last input that names it.
    Closed {
        connection: ConnectionId,
    },
    /// From the replica, in order. Acted on once the published version reaches it.
    Notice(Arc<Notice>),
    /// The published version was loaded, and every notice up to it has been handed in: act on them. The driver loads it
    /// ([`super::Shard::published`]) *before* it empties its ring of notices; the other way round a notice could be
    /// published and not yet seen.
    Published {
        zxid: Zxid,
    },
    Wakeup,
    /// Whom to serve from here on; for those that are connected, nobody means that they are closed. What was asked is
    /// forgotten here; the replica may still carry it out, as when a connection is lost.
    Serve(Service),
    /// The driver takes nothing from the sockets now, as the replica is full: silence is not the clients'.
    Deaf,
    /// The driver has no more inputs for now: replies are emitted, and requests that answers have made room for.
    TurnEnd,
}

#[derive(Debug)]
pub enum Output {
    /// For the replica, in order.
    Request(Request),
    /// At most one is in flight per connection.
    Send {
        connection: ConnectionId,
        bytes: Vec<u8>,
    },
    /// Stop receiving from the socket: TCP pushes back.
    Pause {
        connection: ConnectionId,
    },
    Resume {
        connection: ConnectionId,
    },
    /// Close once the send in flight, if any, has ended.
    Close {
        connection: ConnectionId,
    },
    /// Close at once, whatever is being sent: the peer doesn't take it. Asking again changes nothing.
    Abort {
        connection: ConnectionId,
    },
    /// A four-letter word came instead of a connect request: the driver, who knows the whole server, answers through
    /// [`super::Shard::finish_with`].
    Word {
        connection: ConnectionId,
        word: [u8; 4],
        argument: Vec<u8>,
    },
    /// A request that took longer than the operator wants, for a line: not more than a few in a second.
    Slow(Box<SlowRequest>),
}
