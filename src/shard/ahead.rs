//! The znodes of reads that came together are looked at together, before each is answered (`tree::ahead` says why).
//!
//! Called by `intake`, on what a socket gave, and by `answering`, on what waited behind a write. Nothing depends on it: what can't
//! be read here is passed over. Tested: here, and what it gains in perf/tried.md.

use std::collections::VecDeque;

use crate::base::{ConnectionId, Zxid};
use crate::tree::Reading;
use crate::wire::{Opcode, Reader};

use super::State;
use super::connection::Pending;

/// So many are looked at together, and so few aren't worth it.
const BATCH: usize = Reading::LOOKED_AT_MAX;
const FEW: usize = 3;

impl State {
    /// What comes next from this client waits for nothing before it.
    pub(super) fn answers_at_once(&mut self, id: ConnectionId) -> bool {
        self.connection(id).is_some_and(|connection| connection.pending.is_empty())
    }

    /// Looks at what the requests at the front of `bytes` will read. Returns up to where it has looked.
    pub(super) fn look_ahead(&self, reading: &Reading<'_>, bytes: &[u8]) -> usize {
        let mut paths = Paths::default();
        let seen = gather(bytes, |path| paths.push(path));
        paths.look_at(reading, self.version);
        seen
    }

    /// The same of the reads at the front of this client's queue. Returns how many of the queue it has gone through.
    pub(super) fn look_at_queued(&self, reading: &Reading<'_>, id: ConnectionId) -> usize {
        let Some(connection) = self.connections.get(id.slot as usize).and_then(Option::as_ref) else {
            return 0;
        };
        let mut paths = Paths::default();
        let seen = gather_queued(&connection.pending, |path| paths.push(path));
        paths.look_at(reading, self.version);
        seen
    }
}

#[derive(Default)]
struct Paths<'b> {
    paths: [&'b [u8]; BATCH],
    count: usize,
}

impl<'b> Paths<'b> {
    fn push(&mut self, path: &'b [u8]) {
        self.paths[self.count] = path;
        self.count += 1;
    }

    fn look_at(&self, reading: &Reading<'_>, at: Zxid) {
        if self.count > FEW {
            reading.look_ahead(&self.paths[..self.count], at);
        }
    }
}

/// The paths of reads among so many whole requests of any kind: a long backlog of which little is taken isn't gone through each
/// time. Returns the bytes that these have.
fn gather<'b>(bytes: &'b [u8], mut each: impl FnMut(&'b [u8])) -> usize {
    let mut seen = 0;
    for _ in 0..BATCH {
        let Some(body) = body_at_front(&bytes[seen..]) else { break };
        seen += 4 + body.len();
        if let Some(path) = path_in(body) {
            each(path);
        }
    }
    seen
}

/// The same of what waits, up to the first write. Returns how many reads there are.
fn gather_queued<'b>(queue: &'b VecDeque<Pending>, mut each: impl FnMut(&'b [u8])) -> usize {
    let reads = queue.iter().take(BATCH).map_while(|pending| match pending {
        Pending::Read { opcode, body, .. } => Some(path_of(*opcode, Reader::new(body))),
        Pending::Write { .. } | Pending::Refused { .. } => None,
    });
    reads.inspect(|path| path.iter().for_each(|path| each(path))).count()
}

/// Of a whole frame.
fn body_at_front(bytes: &[u8]) -> Option<&[u8]> {
    Reader::new(bytes).bytes().ok()
}

/// What a request reads, if it is one znode.
fn path_in(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    reader.i32().ok()?;
    path_of(Opcode::from_i32(reader.i32().ok()?)?, reader)
}

/// `reader`: behind the request's header.
fn path_of(opcode: Opcode, mut reader: Reader<'_>) -> Option<&[u8]> {
    match opcode {
        Opcode::GetData | Opcode::Exists | Opcode::GetChildren | Opcode::GetChildren2 | Opcode::GetAcl => {
            reader.bytes().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Instant;
    use crate::wire::client::{GetDataRequest, SetDataRequest};
    use crate::wire::{Encode, jute::encode_bytes};

    fn request(opcode: Opcode, record: &impl Encode) -> Vec<u8> {
        let mut body = 7i32.to_be_bytes().to_vec();
        body.extend_from_slice(&opcode.code().to_be_bytes());
        record.encode(&mut body);
        body
    }

    #[test]
    fn a_read_of_one_znode_is_known_by_its_path_and_everything_else_is_passed_over() {
        let get = GetDataRequest { path: "/a/b".into(), watch: true };
        for opcode in [Opcode::GetData, Opcode::Exists, Opcode::GetChildren, Opcode::GetChildren2] {
            assert_eq!(path_in(&request(opcode, &get)), Some(&b"/a/b"[..]), "{opcode:?}");
        }
        let set = SetDataRequest { path: "/a".into(), data: None, version: 1 };
        assert_eq!(path_in(&request(Opcode::SetData, &set)), None);
        let whole = request(Opcode::GetData, &get);
        for end in 0..whole.len() - 1 {
            assert_eq!(path_in(&whole[..end]), None, "{end}");
        }
        assert_eq!(path_in(&[0xff; 30]), None);
    }

    #[test]
    fn no_more_requests_are_gone_through_than_are_looked_at_whatever_they_are() {
        let get = request(Opcode::GetData, &GetDataRequest { path: "/a".into(), watch: false });
        let set = request(Opcode::SetData, &SetDataRequest { path: "/a".into(), data: None, version: 1 });
        for (body, paths) in [(get, BATCH), (set, 0)] {
            let mut bytes = vec![];
            for _ in 0..3 * BATCH {
                encode_bytes(&mut bytes, &body);
            }
            let mut count = 0;
            assert_eq!(gather(&bytes, |_| count += 1), BATCH * (4 + body.len()));
            assert_eq!(count, paths);
        }
    }

    #[test]
    fn of_what_waits_reads_are_looked_at_up_to_the_first_write() {
        let read = |opcode: Opcode, path: &str| {
            let whole = request(opcode, &GetDataRequest { path: path.into(), watch: false });
            Pending::Read { xid: 1, opcode, body: whole[8..].into(), since: Instant::default() }
        };
        let write =
            || Pending::Write { xid: 1, opcode: Opcode::SetData, since: Instant::default(), bytes: 9 };
        let paths_of = |queue: &VecDeque<Pending>| {
            let mut paths = vec![];
            (gather_queued(queue, |path| paths.push(String::from_utf8_lossy(path).into_owned())), paths)
        };
        let queue: VecDeque<_> =
            [read(Opcode::GetData, "/a"), read(Opcode::WhoAmI, ""), read(Opcode::Exists, "/b"), write()]
                .into();
        assert_eq!(paths_of(&queue), (3, vec!["/a".to_owned(), "/b".to_owned()]));
        assert_eq!(paths_of(&[write(), read(Opcode::GetData, "/a")].into()), (0, vec![]));
        assert_eq!(paths_of(&[Pending::Refused { xid: 1 }].into()), (0, vec![]));
        let many = (0..3 * BATCH).map(|_| read(Opcode::GetData, "/a")).collect();
        assert_eq!(paths_of(&many), (BATCH, vec!["/a".to_owned(); BATCH]));
    }

    #[test]
    fn frames_are_taken_whole() {
        let mut frame = vec![];
        encode_bytes(&mut frame, b"body");
        assert_eq!(body_at_front(&frame), Some(&b"body"[..]));
        for bytes in [&frame[..frame.len() - 1], &frame[..3], &[0xff; 8], &[]] {
            assert_eq!(body_at_front(bytes), None);
        }
    }
}
