//! Requests that took longer than `Settings::slow_request`: a few of them are told, the others counted.
//!
//! Called where a reply is made, with the latency that is tallied there anyway: what isn't slow costs one comparison.
//! Limit: [`LINES_A_SECOND`]. What is left out is counted in the next one. Tested: slow_test.rs.

use std::time::Duration;

use crate::base::{ConnectionId, Instant, SessionId, Zxid};
use crate::messages::Stages;
use crate::wire::client::{MultiReadOp, Request};
use crate::wire::{Opcode, Reader};

use super::{Output, State};

const LINES_A_SECOND: u32 = 5;
const SECOND: Duration = Duration::from_secs(1);

/// What can be told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowRequest {
    pub session: SessionId,
    pub opcode: Opcode,
    /// Of a multi the first. Of a write that failed it isn't known any more.
    pub path: Option<String>,
    /// As its reply says.
    pub zxid: Zxid,
    /// Its last byte was here; its reply was made.
    pub received: Instant,
    pub answered: Instant,
    /// Of a write.
    pub stages: Option<Stages>,
    /// Slow ones since the last that was told.
    pub left_out: u64,
}

#[derive(Debug, Default)]
pub struct SlowRequests {
    waiting: Vec<SlowRequest>,
    /// When the second began in which `told` were told.
    since: Instant,
    told: u32,
    left_out: u64,
}

impl SlowRequests {
    /// Whether there is a line for one more.
    fn admits(&mut self, now: Instant) -> bool {
        if now.since(self.since) >= SECOND {
            self.since = now;
            self.told = 0;
        }
        let admits = self.told < LINES_A_SECOND;
        if admits {
            self.told += 1;
        } else {
            self.left_out += 1;
        }
        admits
    }

    /// The end of a turn.
    pub fn tell(&mut self, outputs: &mut Vec<Output>) {
        outputs.extend(self.waiting.drain(..).map(|slow| Output::Slow(Box::new(slow))));
    }
}

impl State {
    /// Of a request that is answered now.
    pub(super) fn is_slow(&self, since: Instant) -> bool {
        self.now.instant.since(since) >= self.settings.slow_request
    }

    #[cold]
    pub(super) fn note_slow_read(
        &mut self,
        id: ConnectionId,
        opcode: Opcode,
        body: &[u8],
        since: Instant,
        zxid: Zxid,
    ) {
        self.note_slow(id, opcode, since, zxid, || (path_of(opcode, body), None));
    }

    #[cold]
    pub(super) fn note_slow_write(
        &mut self,
        id: ConnectionId,
        opcode: Opcode,
        since: Instant,
        zxid: Zxid,
        stages: Option<&Stages>,
    ) {
        let text = |stages: &Stages| {
            stages.path.as_ref().map(|path| String::from_utf8_lossy(path.bytes()).into_owned())
        };
        self.note_slow(id, opcode, since, zxid, || (stages.and_then(text), stages.cloned()));
    }

    fn note_slow(
        &mut self,
        id: ConnectionId,
        opcode: Opcode,
        received: Instant,
        zxid: Zxid,
        more: impl FnOnce() -> (Option<String>, Option<Stages>),
    ) {
        let answered = self.now.instant;
        let session = self.connection(id).and_then(|connection| connection.session());
        if !self.slow.admits(answered) {
            return;
        }
        let (path, stages) = more();
        let left_out = std::mem::take(&mut self.slow.left_out);
        let session = session.unwrap_or(SessionId::NONE);
        let slow = SlowRequest { session, opcode, path, zxid, received, answered, stages, left_out };
        self.slow.waiting.push(slow);
    }
}

fn path_of(opcode: Opcode, body: &[u8]) -> Option<String> {
    let path = match Request::decode(opcode, &mut Reader::new(body)).ok()? {
        Request::Exists(read) => read.path,
        Request::GetData(read) => read.path,
        Request::GetAcl(read) => read.path,
        Request::GetChildren(read) | Request::GetChildren2(read) => read.path,
        Request::GetAllChildrenNumber(read) => read.path,
        Request::MultiRead(reads) => match reads.iter().next()? {
            MultiReadOp::GetData(read) => read.path,
            MultiReadOp::GetChildren(read) => read.path,
        },
        _ => return None,
    };
    Some(path.to_str_lossy().into_owned())
}

#[cfg(test)]
#[path = "slow_test.rs"]
mod tests;
