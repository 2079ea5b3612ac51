//! One session's conversation: which requests are unanswered since when, and what their replies must look like.
//!
//! Called by the drivers with the bytes that came in; owns no socket and reads no clock. Invariants: replies come in
//! request order (ZooKeeper's promise per connection), so the unanswered requests are a queue, and a reply whose xid
//! isn't the queue's front is a fault that ends the session. Requests that were asked together and are answered alike are one
//! entry of the queue. An operation of several requests (`cycle`) has one of them in the queue, or waits for an event. Tested:
//! `session_test.rs`.

use crate::bench::cycle::{Cycle, Step};
use crate::bench::protocol::{self, Front};
use crate::bench::recorder::Recorder;
use crate::bench::workload::{Asked, Expect, Kind};
use std::collections::VecDeque;

/// `count` requests of the same kind, asked at the same time, with consecutive xids from `xid` on.
struct Unanswered {
    xid: i32,
    count: u32,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// An operation of one request. `start`: when it was sent; in an open loop, when it should have been sent. Nanoseconds of
    /// the generator's clock.
    Single { kind: Kind, expect: Expect, start: u64 },
    /// A step of that cycle.
    Step(u32),
    /// The read that leaves a watch for the fan-out.
    Arm,
}

/// Where a session stands that watches for the fan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    Nothing,
    /// The watch is asked for.
    Asked,
    /// It is there, and nobody has taken note.
    Answered,
    Armed,
    /// The event has come.
    Told,
}

/// Noted where a znode that was to be made was there already.
pub const EXISTED: &str = "znodes that were there already";

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
    unanswered_count: usize,
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
    /// Of the fan-out, which takes note of it.
    pub watching: Watching,
    /// Operations of several requests that are under way, and the places of those that have ended.
    cycles: Vec<Option<Box<Cycle>>>,
    free_cycles: Vec<u32>,
    /// Cycles that wait for an event, by its path.
    waiting: Vec<(Vec<u8>, u32)>,
    last_request: u64,
    pings: u32,
}

impl Session {
    pub fn new(index: usize, exists_is_fine: bool) -> Session {
        Session {
            index,
            unanswered: VecDeque::new(),
            unanswered_count: 0,
            next_xid: 1,
            partial: Vec::new(),
            exists_is_fine,
            output: Vec::new(),
            sent: 0,
            broken: false,
            watching: Watching::Nothing,
            cycles: Vec::new(),
            free_cycles: Vec::new(),
            waiting: Vec::new(),
            last_request: 0,
            pings: 0,
        }
    }

    /// Operations that were begun and haven't ended.
    pub fn under_way(&self) -> usize {
        // A cycle either has its request in the queue, or waits for an event.
        self.unanswered_count + self.waiting.len()
    }

    /// The xid which the next request must carry.
    pub fn next_xid(&self) -> i32 {
        self.next_xid
    }

    /// Notes a request that was appended to `output` with [`Session::next_xid`], and is measured from `start`.
    pub fn asked(&mut self, asked: Asked, start: u64) {
        let what = match asked {
            Asked::Single(kind, expect) => What::Single { kind, expect, start },
            Asked::Cycle(cycle) => What::Step(self.keep(cycle)),
        };
        self.note(what);
        self.last_request = self.last_request.max(start);
    }

    /// As [`Session::asked`], of `count` requests with consecutive xids, which don't reach the last one.
    pub fn asked_alike(&mut self, kind: Kind, expect: Expect, start: u64, count: u32) {
        debug_assert!(count > 0, "an entry of the queue is of some request");
        let what = What::Single { kind, expect, start };
        self.unanswered.push_back(Unanswered { xid: self.next_xid, count, what });
        self.unanswered_count += count as usize;
        self.next_xid += count as i32;
        self.last_request = self.last_request.max(start);
    }

    fn note(&mut self, what: What) {
        self.unanswered.push_back(Unanswered { xid: self.next_xid, count: 1, what });
        self.unanswered_count += 1;
        self.skip_xid();
    }

    fn keep(&mut self, cycle: Box<Cycle>) -> u32 {
        match self.free_cycles.pop() {
            Some(place) => {
                self.cycles[place as usize] = Some(cycle);
                place
            }
            None => {
                self.cycles.push(Some(cycle));
                (self.cycles.len() - 1) as u32
            }
        }
    }

    /// Reads the znode at `path` and leaves a watch.
    pub fn arm(&mut self, path: &[u8], now: u64) {
        protocol::get_data(&mut self.output, self.next_xid, path, true);
        self.note(What::Arm);
        self.watching = Watching::Asked;
        self.last_request = self.last_request.max(now);
    }

    #[cfg(test)]
    pub fn skip_xids_to(&mut self, xid: i32) {
        self.next_xid = xid;
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
            let alike = self.on_alike(&bytes[used..], now, recorder);
            if alike > 0 {
                used += alike;
                continue;
            }
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

    /// Takes the replies at the front of `bytes` that are just what the first entry of the queue expects. Returns how many bytes they
    /// are. All others are left to [`Session::on_reply`].
    fn on_alike(&mut self, bytes: &[u8], now: u64, recorder: &mut Recorder) -> usize {
        let Some(first) = self.unanswered.front_mut() else { return 0 };
        let What::Single { kind, expect, start } = first.what else { return 0 };
        let (mut used, mut count) = (0, 0);
        while count < first.count
            && let Front::Frame(frame) = protocol::front(&bytes[used..])
            && protocol::is_success(frame, first.xid + count as i32)
            && expect.holds(&frame[protocol::REPLY_HEADER_BYTES..])
        {
            used += 4 + frame.len();
            count += 1;
        }
        if count > 0 {
            recorder.replied(count as u64, now);
            recorder.answered_alike(kind, start, now, count as u64);
            self.take(count);
        }
        used
    }

    /// The first so many of the first entry are answered.
    fn take(&mut self, count: u32) {
        self.unanswered_count -= count as usize;
        let first = self.unanswered.front_mut().expect("who takes has seen it");
        first.count -= count;
        first.xid = first.xid.wrapping_add(count as i32);
        if first.count == 0 {
            self.unanswered.pop_front();
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
            self.on_event(&frame[protocol::REPLY_HEADER_BYTES..]);
            return Ok(());
        }
        if xid == protocol::XID_PING {
            self.pings = self.pings.checked_sub(1).ok_or(Fault::UnexpectedReply)?;
            return Ok(());
        }
        let Some(request) = self.unanswered.front() else { return Err(Fault::UnexpectedReply) };
        if request.xid != xid {
            return Err(Fault::ReplyOutOfOrder);
        }
        let what = request.what;
        self.take(1);
        recorder.replied(1, now);
        let body = &frame[protocol::REPLY_HEADER_BYTES..];
        match what {
            What::Single { kind, expect, start } => {
                if code == 0 && expect.holds(body) {
                    recorder.answered(kind, start, now);
                } else if code == 0 {
                    recorder.error("wrong length of reply (other data size than --bytes?)");
                } else if code == protocol::NODE_EXISTS && self.exists_is_fine {
                    recorder.answered(kind, start, now);
                    recorder.note(EXISTED);
                } else {
                    recorder.error(protocol::error_name(code));
                }
            }
            What::Arm if code == 0 => self.watching = Watching::Answered,
            What::Arm => recorder.error(protocol::error_name(code)),
            What::Step(place) => {
                let xid = self.next_xid;
                let cycle = self.cycles[place as usize].as_mut().expect("a step is of a cycle that goes on");
                let step = cycle.on_reply(code, body, now, xid, &mut self.output, recorder);
                self.carry_out(step, place, now);
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, step: Step, place: u32, now: u64) {
        match step {
            Step::Asked => {
                self.note(What::Step(place));
                self.last_request = self.last_request.max(now);
            }
            Step::Waits(path) => self.waiting.push((path, place)),
            Step::Ended => {
                self.cycles[place as usize] = None;
                self.free_cycles.push(place);
            }
        }
    }

    /// Whoever waits for an event of this path goes on.
    fn on_event(&mut self, body: &[u8]) {
        let Some(path) = protocol::notified_path(body) else { return };
        if self.watching == Watching::Armed {
            self.watching = Watching::Told;
        }
        let mut at = 0;
        while at < self.waiting.len() {
            if self.waiting[at].0 != path {
                at += 1;
                continue;
            }
            let (_, place) = self.waiting.swap_remove(at);
            let xid = self.next_xid;
            let cycle = self.cycles[place as usize].as_mut().expect("who waits goes on");
            let step = cycle.on_event(xid, &mut self.output);
            self.carry_out(step, place, 0);
        }
    }

    /// Ends the session on the generator's side; its unanswered requests are errors.
    pub fn fail(&mut self, reason: &str, recorder: &mut Recorder) {
        if !self.broken {
            self.broken = true;
            recorder.error(reason);
            recorder.errors("unanswered", self.under_way() as u64);
            recorder.sessions_lost += 1;
            self.unanswered.clear();
            self.unanswered_count = 0;
            self.waiting.clear();
            self.output.clear();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
#[path = "session_test.rs"]
mod tests;
