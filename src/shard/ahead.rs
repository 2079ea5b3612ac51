//! The znodes of reads that came together are looked at together, before each is answered (`tree::ahead` says why).
//!
//! Called by `intake`, on what a socket gave. Nothing depends on it: what can't be read here is passed over. Tested: here, and what it
//! gains in perf/tried.md.

use crate::base::ConnectionId;
use crate::tree::Reading;
use crate::wire::{Opcode, Reader};

use super::State;

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
        let (mut paths, mut count) = ([&[][..]; BATCH], 0);
        let seen = gather(bytes, |path| {
            paths[count] = path;
            count += 1;
        });
        if count > FEW {
            reading.look_ahead(&paths[..count], self.version);
        }
        seen
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

/// Of a whole frame.
fn body_at_front(bytes: &[u8]) -> Option<&[u8]> {
    Reader::new(bytes).bytes().ok()
}

/// What a request reads, if it is one znode.
fn path_in(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    reader.i32().ok()?;
    match Opcode::from_i32(reader.i32().ok()?)? {
        Opcode::GetData | Opcode::Exists | Opcode::GetChildren | Opcode::GetChildren2 | Opcode::GetAcl => {
            reader.bytes().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn frames_are_taken_whole() {
        let mut frame = vec![];
        encode_bytes(&mut frame, b"body");
        assert_eq!(body_at_front(&frame), Some(&b"body"[..]));
        for bytes in [&frame[..frame.len() - 1], &frame[..3], &[0xff; 8], &[]] {
            assert_eq!(body_at_front(bytes), None);
        }
    }
}
