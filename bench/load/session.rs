//! One session's conversation: which requests are unanswered since when, and what their replies must look like.
//!
//! Called by the drivers with the bytes that came in; owns no socket and reads no clock. Invariants: replies come in
//! request order (ZooKeeper's promise per connection), so the unanswered requests are a queue, and a reply whose xid
//! isn't the queue's front is a fault that ends the session. Tested: `session_test.rs`.

use crate::protocol::{self, Front};
use crate::recorder::Recorder;
use crate::workload::Kind;
use std::collections::VecDeque;

struct Unanswered {
    xid: i32,
    kind: Kind,
    /// Of a right reply, after its header.
    body_bytes: u32,
    /// When it was sent; in an open loop, when it should have been sent. Nanoseconds of the generator's clock.
    start: u64,
}

/// Why a session can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    BadFrameLength,
    ReplyOutOfOrder,
    ReplyTooShort,
    UnexpectedReply,
}

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Fault::BadFrameLength => "bad frame length",
            Fault::ReplyOutOfOrder => "reply out of order",
            Fault::ReplyTooShort => "reply shorter than its header",
            Fault::UnexpectedReply => "reply to nothing asked",
        }
    }
}

pub struct Session {
    pub index: usize,
    unanswered: VecDeque<Unanswered>,
    next_xid: i32,
    /// The beginning of a frame whose rest hasn't come.
    partial: Vec<u8>,
    /// Creates whose znode is there already count as done: for trees that a run before may have made.
    exists_is_fine: bool,
    /// Bytes of requests which the socket hasn't taken; `sent` of them are gone.
    pub output: Vec<u8>,
    pub sent: usize,
    /// The session said goodbye or broke: nothing more is asked.
    pub broken: bool,
    last_request: u64,
    pings: u32,
}

impl Session {
    pub fn new(index: usize, exists_is_fine: bool) -> Session {
        Session {
            index,
            unanswered: VecDeque::new(),
            next_xid: 1,
            partial: Vec::new(),
            exists_is_fine,
            output: Vec::new(),
            sent: 0,
            broken: false,
            last_request: 0,
            pings: 0,
        }
    }

    pub fn unanswered_count(&self) -> usize {
        self.unanswered.len()
    }

    /// The xid which the next request must carry.
    pub fn next_xid(&self) -> i32 {
        self.next_xid
    }

    /// Notes a request that was appended to `output` with [`Session::next_xid`].
    pub fn asked(&mut self, kind: Kind, body_bytes: u32, start: u64) {
        self.unanswered.push_back(Unanswered { xid: self.next_xid, kind, body_bytes, start });
        self.skip_xid();
        self.last_request = self.last_request.max(start);
    }

    pub fn skip_xid(&mut self) {
        self.next_xid = self.next_xid.checked_add(1).unwrap_or(1);
    }

    /// Asks for a ping if nothing was sent for `idle` nanoseconds. True if `output` has grown.
    pub fn ping_if_idle(&mut self, now: u64, idle: u64) -> bool {
        let due = !self.broken && now.saturating_sub(self.last_request) >= idle;
        if due {
            self.last_request = now;
            self.pings += 1;
            protocol::ping(&mut self.output);
        }
        due
    }

    /// Takes `bytes` that arrived by `now`; answered requests go to the recorder.
    pub fn on_bytes(&mut self, mut bytes: &[u8], now: u64, recorder: &mut Recorder) -> Result<(), Fault> {
        if !self.partial.is_empty() {
            let mut joined = std::mem::take(&mut self.partial);
            joined.extend_from_slice(bytes);
            let used = self.on_frames(&joined, now, recorder)?;
            joined.drain(..used);
            self.partial = joined;
            return Ok(());
        }
        let used = self.on_frames(bytes, now, recorder)?;
        bytes = &bytes[used..];
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// Returns how many bytes were whole frames.
    fn on_frames(&mut self, bytes: &[u8], now: u64, recorder: &mut Recorder) -> Result<usize, Fault> {
        let mut used = 0;
        loop {
            match protocol::front(&bytes[used..]) {
                Front::Partial => return Ok(used),
                Front::BadLength(_) => return Err(Fault::BadFrameLength),
                Front::Frame(frame) => {
                    used += 4 + frame.len();
                    self.on_reply(frame, now, recorder)?;
                }
            }
        }
    }

    fn on_reply(&mut self, frame: &[u8], now: u64, recorder: &mut Recorder) -> Result<(), Fault> {
        if frame.len() < protocol::REPLY_HEADER_BYTES {
            return Err(Fault::ReplyTooShort);
        }
        let (Some(xid), Some(code)) = (protocol::int_at(frame, 0), protocol::int_at(frame, 12)) else {
            return Err(Fault::ReplyTooShort);
        };
        if xid == protocol::XID_NOTIFICATION {
            return Ok(());
        }
        if xid == protocol::XID_PING {
            self.pings = self.pings.checked_sub(1).ok_or(Fault::UnexpectedReply)?;
            return Ok(());
        }
        let Some(request) = self.unanswered.pop_front() else { return Err(Fault::UnexpectedReply) };
        if request.xid != xid {
            return Err(Fault::ReplyOutOfOrder);
        }
        let body = frame.len() - protocol::REPLY_HEADER_BYTES;
        if code == 0 && body == request.body_bytes as usize {
            recorder.answered(request.kind, request.start, now);
        } else if code == 0 {
            recorder.error("wrong length of reply (other data size than --bytes?)");
        } else if code == protocol::NODE_EXISTS && self.exists_is_fine {
            recorder.answered(request.kind, request.start, now);
        } else {
            recorder.error(protocol::error_name(code));
        }
        Ok(())
    }

    /// Ends the session on the generator's side; its unanswered requests are errors.
    pub fn fail(&mut self, reason: &str, recorder: &mut Recorder) {
        if !self.broken {
            self.broken = true;
            recorder.error(reason);
            recorder.errors("unanswered", self.unanswered.len() as u64);
            self.unanswered.clear();
            self.output.clear();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
#[path = "session_test.rs"]
mod tests;
